//! Consumers of the spool: how far each of them is, and what it lost.
//!
//! A consumer always stands at a record that exists, or behind the newest one. Each move over a
//! gap counts what is missing there, so a loss is counted once, when the consumer comes to it.

use super::disk::Disk;
use super::memory::Memory;
use super::segment::{Place, Segment};

/// Records that a consumer will never get, by the reason.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Losses {
    /// Dropped to keep the bounds in bytes, or longer than a record may be.
    pub dropped_for_size: u64,
    /// Dropped because they were too old.
    pub dropped_for_age: u64,
    /// Damaged or gone when they were to be read.
    pub damaged: u64,
}

/// Why records are dropped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reason {
    /// There is no room.
    Size,
    /// They are too old.
    Age,
}

/// Where the records are: first those on disk, then those in memory.
#[derive(Debug)]
pub struct Store {
    /// Records on disk.
    pub disk: Option<Disk>,
    /// Records that are newer than all on disk.
    pub memory: Memory,
    /// Number of the next record that is appended.
    pub next: u64,
    /// First number that is not accounted for by what was written to disk.
    pub follows: u64,
}

impl Store {
    /// The first segment that ends behind this number.
    pub fn segment_of(&self, number: u64) -> Option<Segment> {
        self.disk.as_ref()?.segment_of(number).copied()
    }
}

/// A consumer.
#[derive(Debug)]
pub struct Consumer {
    /// Its name.
    pub name: String,
    /// Number of the first record that it has not accepted.
    pub number: u64,
    /// Number after the last record that it was given.
    pub given: u64,
    /// What it lost.
    pub losses: Losses,
    /// The number is not in its file yet.
    pub is_unsaved: bool,
    /// Its file may not be on the disk itself yet.
    pub is_unsynced: bool,
    /// Where `number` is on disk, when known.
    here: Option<Place>,
    /// Where the last read ended.
    ahead: Option<Place>,
}

impl Consumer {
    /// A consumer at the first record.
    pub fn new(name: &str) -> Consumer {
        Consumer {
            name: name.to_owned(),
            number: 1,
            given: 1,
            losses: Losses::default(),
            is_unsaved: false,
            is_unsynced: false,
            here: None,
            ahead: None,
        }
    }

    /// Puts it somewhere else.
    pub fn place_at(&mut self, number: u64) {
        self.number = number;
        self.given = number;
        self.is_unsaved = true;
        (self.here, self.ahead) = (None, None);
    }

    /// Remembers what it was given.
    pub fn gave(&mut self, through: u64, place: Option<Place>) {
        self.given = self.given.max(through + 1);
        self.ahead = place;
    }

    /// Remembers where its next record is.
    pub fn found(&mut self, place: Place) {
        self.here = Some(place);
    }

    /// The place of its next record in this segment, when it is known.
    pub fn place_in(&self, segment: &Segment) -> Option<Place> {
        if self.number <= segment.first {
            return Some(segment.start());
        }
        let known = [self.here, self.ahead].into_iter().flatten();
        known
            .into_iter()
            .find(|place| place.segment == segment.first && place.number == self.number)
    }

    /// Moves up to this number and counts what is missing on the way.
    pub fn advance(&mut self, store: &Store, to: u64) {
        while self.number < to {
            self.number = match store.segment_of(self.number) {
                Some(segment) => segment.next.min(to),
                None => to,
            };
            self.is_unsaved = true;
            self.settle(store);
        }
    }

    /// Moves over a gap to the next record that exists.
    pub fn settle(&mut self, store: &Store) {
        let (target, follows) = match store.segment_of(self.number) {
            Some(segment) => (segment.first, segment.follows),
            None => {
                let waiting = store.memory.from(self.number).next();
                (
                    waiting.map_or(store.next, |record| record.number),
                    store.follows,
                )
            }
        };
        if self.number < target {
            self.losses.damaged += follows.min(target).saturating_sub(self.number);
            self.number = target;
            self.is_unsaved = true;
        }
    }

    /// Counts the records from `first` up to `next`, which are dropped.
    pub fn lose(&mut self, first: u64, next: u64, reason: Reason) {
        let count = next.saturating_sub(first.max(self.number));
        match reason {
            Reason::Size => self.losses.dropped_for_size += count,
            Reason::Age => self.losses.dropped_for_age += count,
        }
        if self.number >= first && self.number < next {
            self.number = next;
            self.is_unsaved = true;
        }
    }
}
