//! The lines of the event socket, kept once for all of its readers.
//!
//! A line enters at the end and gets a place; readers remember the place of the next line that
//! they want. Lines leave at the front: once they are acknowledged and no reader still wants them,
//! or because the room is used up. The latest ones stay for who asks what happened recently.

use std::collections::VecDeque;
use std::fmt::Write;
use std::mem;

/// Bytes of all lines, with what keeping them costs.
pub(super) const ROOM: usize = 4 << 20;
/// Lines, and their bytes, that stay although everyone has got them.
const HISTORY: (usize, usize) = (256, 512 << 10);
/// What the allocator adds to a line, in bytes.
const OVERHEAD: usize = 16;

/// One line.
#[derive(Debug)]
pub(super) struct Kept {
    /// Its sequence number. Events of silent rules, of which most readers never hear, have the
    /// number of the line before them, so that all others see numbers without gaps.
    pub(super) sequence: u64,
    /// Only for readers that ask for the events of silent rules.
    pub(super) silent: bool,
    /// Some reader that does not acknowledge has got it.
    pub(super) taken: bool,
    /// As it is sent, its newline included.
    pub(super) text: String,
}

impl Kept {
    fn cost(&self) -> usize {
        self.text.capacity() + mem::size_of::<Kept>() + OVERHEAD
    }
}

/// The lines that are kept.
#[derive(Debug, Default)]
pub(super) struct Journal {
    lines: VecDeque<Kept>,
    bytes: usize,
    /// Lines that have left: the place of the first one that is kept.
    first: u64,
    /// Sequence number of the latest line.
    sequence: u64,
    /// Events of silent rules, which have numbers of their own.
    silent: u64,
    /// Sequence number up to which everything is acknowledged.
    acknowledged: u64,
    /// Sequence number of the latest line that has left.
    left: u64,
}

impl Journal {
    /// Adds the line of an event: `tags` is a JSON list, `event` a JSON object. `session` makes
    /// the event's id unique for ever.
    pub(super) fn push(
        &mut self,
        session: &str,
        rule_id: &str,
        silent: bool,
        tags: &str,
        event: &str,
    ) {
        self.silent += u64::from(silent);
        self.sequence += u64::from(!silent);
        let number = if silent { self.silent } else { self.sequence };
        let mark = if silent { "silent-" } else { "" };
        let id = format_args!("{session}-{mark}{number}");
        let text = line(self.sequence, rule_id, silent, tags, id, event);
        let kept = Kept {
            sequence: self.sequence,
            silent,
            taken: false,
            text,
        };
        self.bytes += kept.cost();
        self.lines.push_back(kept);
    }

    /// Counts an event of a silent rule that nobody asks for.
    pub(super) fn skip_silent(&mut self) {
        self.silent += 1;
    }

    /// Bytes of what is kept.
    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    /// Whether more is kept than there is room for.
    pub(super) fn is_too_large(&self) -> bool {
        self.bytes > ROOM
    }

    /// The oldest line leaves, whoever may still want it; its place goes with it.
    pub(super) fn pop(&mut self) -> Option<(u64, Kept)> {
        let kept = self.lines.pop_front()?;
        let place = self.first;
        self.first += 1;
        self.bytes -= kept.cost();
        self.left = kept.sequence;
        Some((place, kept))
    }

    /// Lets go what is acknowledged, and before this place, and no longer recent.
    pub(super) fn trim(&mut self, wanted: u64) {
        while self.first < wanted && (self.lines.len() > HISTORY.0 || self.bytes > HISTORY.1) {
            let front = self.lines.front();
            let is_done = front.is_some_and(|kept| kept.sequence <= self.acknowledged);
            if !is_done {
                return;
            }
            self.pop();
        }
        if self.lines.is_empty() {
            self.lines.shrink_to(HISTORY.0);
        }
    }

    /// Everything up to this sequence number has reached its end.
    pub(super) fn acknowledge(&mut self, sequence: u64) {
        self.acknowledged = self.acknowledged.max(sequence);
    }

    /// Whether this line has been acknowledged.
    pub(super) fn is_acknowledged(&self, kept: &Kept) -> bool {
        kept.sequence <= self.acknowledged
    }

    /// Lines up to the latest that has left which come after this sequence number: what cannot be
    /// had any more.
    pub(super) fn gone_after(&self, sequence: u64) -> u64 {
        self.left.saturating_sub(sequence)
    }

    /// Sequence number up to which everything is acknowledged.
    pub(super) fn acknowledged(&self) -> u64 {
        self.acknowledged
    }

    /// Sequence number of the latest line.
    pub(super) fn sequence(&self) -> u64 {
        self.sequence
    }

    /// The place of the first line that is kept.
    pub(super) fn start(&self) -> u64 {
        self.first
    }

    /// The place of the next line that will come.
    pub(super) fn end(&self) -> u64 {
        self.first + self.lines.len() as u64
    }

    /// The place of the first line after this sequence number.
    pub(super) fn after(&self, sequence: u64) -> u64 {
        let before = self.lines.partition_point(|kept| kept.sequence <= sequence);
        self.first + before as u64
    }

    /// The place of the first line that nobody has got.
    pub(super) fn unread(&self) -> u64 {
        let got = |kept: &Kept| kept.silent || kept.taken || self.is_acknowledged(kept);
        let count = self.lines.iter().take_while(|kept| got(kept)).count();
        self.first + count as u64
    }

    /// The place where the recent lines begin.
    pub(super) fn recent(&self) -> u64 {
        let mut bytes = 0;
        let recent = self.lines.iter().rev().take(HISTORY.0);
        let count = recent
            .take_while(|kept| {
                bytes += kept.cost();
                bytes <= HISTORY.1
            })
            .count();
        self.end() - count as u64
    }

    /// The lines from this place on.
    pub(super) fn from(&self, place: u64) -> impl Iterator<Item = &Kept> {
        let skipped = usize::try_from(place.saturating_sub(self.first)).unwrap_or(usize::MAX);
        self.lines.range(skipped.min(self.lines.len())..)
    }

    /// Notes that a reader has got the lines from this place up to that one.
    pub(super) fn take(&mut self, from: u64, to: u64) {
        let index = |place: u64| {
            let index = usize::try_from(place.saturating_sub(self.first)).unwrap_or(usize::MAX);
            index.min(self.lines.len())
        };
        let (from, to) = (index(from), index(to));
        for kept in self.lines.range_mut(from..to.max(from)) {
            kept.taken = true;
        }
    }
}

/// The line of an event, with `id` put into it. Rule ids hold only letters, digits and
/// underscores; `event` is a JSON object.
pub(super) fn line(
    sequence: u64,
    rule_id: &str,
    silent: bool,
    tags: &str,
    id: std::fmt::Arguments<'_>,
    event: &str,
) -> String {
    // The words between, two numbers and the id have less than 160 bytes.
    let mut line = String::with_capacity(rule_id.len() + tags.len() + event.len() + 160);
    let rest = event.strip_prefix('{').unwrap_or("}");
    let comma = if rest.starts_with('}') { "" } else { "," };
    // Writing to a string does not fail.
    let _ = writeln!(
        line,
        "{{\"seq\":{sequence},\"rule_id\":\"{rule_id}\",\"silent\":{silent},\"tags\":{tags},\
         \"event\":{{\"event_id\":\"{id}\"{comma}{rest}}}"
    );
    line
}

#[cfg(test)]
mod tests {
    use super::*;

    fn filled(count: u64, size: usize) -> Journal {
        let mut journal = Journal::default();
        let event = format!("{{\"x\":\"{}\"}}", "y".repeat(size));
        for _ in 0..count {
            journal.push("s", "rule", false, "[]", &event);
        }
        journal
    }

    #[test]
    fn a_line_holds_the_event_with_its_id() {
        let id = format_args!("00ff-7");
        assert_eq!(
            line(7, "r", false, "[\"a:b\"]", id, "{\"x\":1}"),
            "{\"seq\":7,\"rule_id\":\"r\",\"silent\":false,\"tags\":[\"a:b\"],\
             \"event\":{\"event_id\":\"00ff-7\",\"x\":1}}\n"
        );
        let empty = line(7, "r", true, "[]", id, "{}");
        assert!(empty.ends_with("\"event\":{\"event_id\":\"00ff-7\"}}\n"));
    }

    #[test]
    fn silent_lines_leave_no_gap() {
        let mut journal = Journal::default();
        for silent in [false, true, true, false] {
            journal.push("s", "rule", silent, "[]", "{}");
        }
        let numbers: Vec<u64> = journal.from(0).map(|kept| kept.sequence).collect();
        assert_eq!(numbers, [1, 1, 1, 2]);
        let ids = ["\"s-1\"", "\"s-silent-1\"", "\"s-silent-2\"", "\"s-2\""];
        for (kept, id) in journal.from(0).zip(ids) {
            assert!(kept.text.contains(id), "{}", kept.text);
        }
        assert_eq!(journal.after(1), 3);
    }

    #[test]
    fn acknowledged_lines_leave_but_the_recent_ones_stay() {
        let mut journal = filled(1000, 10);
        journal.trim(journal.end());
        assert_eq!(journal.start(), 0);
        journal.acknowledge(990);
        journal.trim(journal.end());
        assert_eq!((journal.start(), journal.end()), (744, 1000));
        assert_eq!((journal.recent(), journal.after(999)), (744, 999));
        journal.acknowledge(500);
        assert_eq!(journal.acknowledged(), 990);
        let mut large = filled(100, 20_000);
        large.acknowledge(100);
        large.trim(50);
        assert_eq!(large.start(), 50);
        large.trim(large.end());
        assert!(large.bytes <= HISTORY.1 && large.start() < 100);
        assert_eq!(large.recent(), large.start());
    }

    #[test]
    fn what_has_left_is_known_by_number() {
        let mut journal = filled(10, 10);
        journal.pop();
        journal.pop();
        assert_eq!((journal.gone_after(0), journal.gone_after(1)), (2, 1));
        assert_eq!((journal.gone_after(2), journal.gone_after(9)), (0, 0));
        assert_eq!(journal.from(0).next().map(|kept| kept.sequence), Some(3));
        journal.take(0, 4);
        assert_eq!(journal.unread(), 4);
    }
}
