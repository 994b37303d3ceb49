//! Messages that come again and again, and when they are too many.
//!
//! A message enters with the time and the place in the program that it came from; whether it may
//! be written leaves, and later how many like it were not. What is remembered is bounded: when it
//! is too much, the oldest is forgotten and what it kept back is told first.

use std::collections::VecDeque;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::time::{Duration, Instant};

use log::Level;

/// How long messages are counted together.
const WINDOW: Duration = Duration::from_secs(10);
/// The same text may be written so often in that time.
const SAME_TEXT: u32 = 5;
/// One place in the program may write so many texts in that time; more than any list that is
/// written at once.
const SAME_PLACE: u32 = 500;
/// Texts and places that are remembered.
const MOST_ENTRIES: usize = 64;
/// Characters of a message that are repeated when its repeats are told.
const SHOWN: usize = 80;

/// Repeats that were kept back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Summary {
    pub(super) level: Level,
    pub(super) text: String,
}

#[derive(Debug)]
struct Entry {
    key: u64,
    since: Instant,
    count: u32,
    kept_back: u32,
    level: Level,
    start: String,
}

impl Entry {
    fn summary(&self) -> Option<Summary> {
        let times = match self.kept_back {
            0 => return None,
            1 => String::from("once"),
            count => format!("{count} times"),
        };
        let text = format!("the previous message was repeated {times}: {}", self.start);
        Some(Summary {
            level: self.level,
            text,
        })
    }
}

/// How often something came lately, the oldest first.
#[derive(Debug)]
struct Counts {
    entries: VecDeque<Entry>,
    limit: u32,
}

impl Counts {
    const fn new(limit: u32) -> Counts {
        Counts {
            entries: VecDeque::new(),
            limit,
        }
    }

    /// Counts one more; false when that is too many.
    fn count(&mut self, key: u64, entry: impl FnOnce() -> Entry) -> bool {
        let Some(known) = self.entries.iter_mut().find(|known| known.key == key) else {
            self.entries.push_back(Entry { key, ..entry() });
            return true;
        };
        known.count = known.count.saturating_add(1);
        let is_admitted = known.count <= self.limit;
        if !is_admitted {
            known.kept_back = known.kept_back.saturating_add(1);
        }
        is_admitted
    }

    fn due(&mut self, now: Instant) -> Option<Summary> {
        while let Some(oldest) = self.entries.front() {
            let is_over = now.saturating_duration_since(oldest.since) >= WINDOW;
            if !is_over && self.entries.len() < MOST_ENTRIES {
                return None;
            }
            let summary = self.entries.pop_front().and_then(|entry| entry.summary());
            if summary.is_some() {
                return summary;
            }
        }
        None
    }
}

/// What was written lately, by text and by place in the program.
#[derive(Debug)]
pub(super) struct Repeats {
    texts: Counts,
    places: Counts,
}

impl Repeats {
    pub(super) const fn new() -> Repeats {
        Repeats {
            texts: Counts::new(SAME_TEXT),
            places: Counts::new(SAME_PLACE),
        }
    }

    /// Whether a message may be written now. [`Repeats::due`] comes first.
    pub(super) fn admits(
        &mut self,
        now: Instant,
        level: Level,
        place: impl Hash,
        text: &str,
    ) -> bool {
        let entry = || Entry {
            key: 0,
            since: now,
            count: 1,
            kept_back: 0,
            level,
            start: text.chars().take(SHOWN).collect(),
        };
        self.texts.count(key((level, text)), entry) && self.places.count(key((level, place)), entry)
    }

    /// What was kept back in windows that are over, or whose place is needed; each is told once.
    pub(super) fn due(&mut self, now: Instant) -> Option<Summary> {
        self.texts.due(now).or_else(|| self.places.due(now))
    }

    /// Everything that is kept back, before the end.
    pub(super) fn all(&mut self) -> Vec<Summary> {
        let texts = self.texts.entries.drain(..);
        let entries = texts.chain(self.places.entries.drain(..));
        entries.filter_map(|entry| entry.summary()).collect()
    }
}

fn key(what: impl Hash) -> u64 {
    let mut hasher = DefaultHasher::new();
    what.hash(&mut hasher);
    hasher.finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Sends a message; returns what was told before it and whether it may be written.
    fn send(repeats: &mut Repeats, now: Instant, place: u32, text: &str) -> (Vec<String>, bool) {
        let told = std::iter::from_fn(|| repeats.due(now)).map(|summary| summary.text);
        let told = told.collect();
        (told, repeats.admits(now, Level::Warn, place, text))
    }

    #[test]
    fn the_sixth_message_is_kept_back_and_told_when_the_window_is_over() {
        let mut repeats = Repeats::new();
        let start = Instant::now();
        let written = (0..100).filter(|_| send(&mut repeats, start, 1, "same").1);
        assert_eq!(written.count(), 5);
        let at = |seconds| start + Duration::from_secs(seconds);
        assert_eq!(send(&mut repeats, at(9), 2, "other"), (vec![], true));
        let told = String::from("the previous message was repeated 95 times: same");
        assert_eq!(send(&mut repeats, at(10), 1, "same"), (vec![told], true));
        assert_eq!(send(&mut repeats, at(10), 1, "same"), (vec![], true));
    }

    #[test]
    fn texts_that_differ_are_limited_by_their_place_only() {
        let mut repeats = Repeats::new();
        let now = Instant::now();
        let written = (0..1_000).filter(|n| send(&mut repeats, now, 1, &n.to_string()).1);
        assert_eq!(written.count(), 500);
        assert!(send(&mut repeats, now, 2, "x").1);
        let told: Vec<_> = repeats.all().into_iter().map(|told| told.text).collect();
        assert_eq!(told, ["the previous message was repeated 500 times: 0"]);
        assert!(repeats.all().is_empty());
    }

    #[test]
    fn what_is_remembered_is_bounded_and_nothing_kept_back_is_forgotten() {
        let mut repeats = Repeats::new();
        let now = Instant::now();
        let mut told = Vec::new();
        for _ in 0..7 {
            told.extend(send(&mut repeats, now, 1, "same").0);
        }
        for number in 0..10_000 {
            told.extend(send(&mut repeats, now, number, &number.to_string()).0);
            assert!(repeats.texts.entries.len() <= MOST_ENTRIES);
            assert!(repeats.places.entries.len() <= MOST_ENTRIES);
        }
        assert_eq!(told, ["the previous message was repeated 2 times: same"]);
    }

    #[test]
    fn a_clock_that_goes_back_does_no_harm() {
        let mut repeats = Repeats::new();
        let now = Instant::now();
        assert!(send(&mut repeats, now + Duration::from_secs(60), 1, "a").1);
        assert!(send(&mut repeats, now, 1, "a").1);
    }
}
