//! The spool: events that were not yet accepted by every endpoint, on disk, so that they outlive
//! an outage, a restart, kill -9 and a power cut.
//!
//! Records enter in order with [`Spool::append`] and are numbered. Each consumer (an endpoint)
//! reads from its own cursor on and moves it with [`Spool::accept`]; what all have accepted is
//! removed. A record may be read again after a restart, but it is never skipped silently: what is
//! dropped to keep the bounds, or damaged, is counted for each consumer that had not accepted it.
//!
//! The directory holds segments of records ([`format`]), named after the number of their first
//! one, and a cursor file for each consumer. [`disk`] writes and reads them through
//! [`directory`], which trusts no path. While the disk does not take records they wait in
//! [`memory`], which is bounded, and are written, in order, when it does again. A process that
//! dies then loses them, and their numbers are given once more.
//!
//! What goes wrong never fails a caller; it becomes a sentence of [`Spool::take_notices`].

mod consumer;
mod directory;
mod disk;
mod format;
mod memory;
mod read;
mod recover;
mod segment;
#[cfg(test)]
mod tests;

use std::path::PathBuf;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use consumer::{Consumer, Reason, Store};
use format::Entry;
use memory::Memory;

pub use consumer::Losses;

/// Pause between two attempts to use a disk that failed.
const RETRY: Duration = Duration::from_secs(30);
/// Bytes that a spool is given at least, whatever is configured.
const LEAST_BYTES: u64 = 64 * 1024;
/// Sentences that wait to be taken; further ones are left out and counted.
const MOST_NOTICES: usize = 64;

/// What the configuration decides.
#[derive(Clone, Debug)]
pub struct Options {
    /// The directory; `None` keeps records in memory only.
    pub directory: Option<PathBuf>,
    /// Bytes of all segments at most.
    pub max_bytes: u64,
    /// How long a record waits at most.
    pub max_age: Duration,
}

/// One thing that was appended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// Its number; later ones have larger numbers.
    pub number: u64,
    /// When it was appended, in whole milliseconds.
    pub time: SystemTime,
    /// What was appended.
    pub payload: Vec<u8>,
}

impl Record {
    fn of(entry: &Entry<'_>) -> Record {
        Record {
            number: entry.number,
            time: time(entry.time),
            payload: entry.payload.to_vec(),
        }
    }

    fn entry(&self) -> Entry<'_> {
        Entry {
            number: self.number,
            time: milliseconds(self.time),
            payload: &self.payload,
        }
    }
}

/// What waits for a consumer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Pending {
    /// Records.
    pub records: u64,
    /// Their bytes as they are stored.
    pub bytes: u64,
    /// When the first of them was appended.
    pub oldest: Option<SystemTime>,
}

/// What happened since the spool was opened.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// Lost records of each consumer, in the order they were named.
    pub consumers: Vec<Losses>,
    /// Bytes in damaged files that could not be used.
    pub damaged_bytes: u64,
    /// Attempts to write that failed.
    pub write_errors: u64,
}

/// The spool.
#[derive(Debug)]
pub struct Spool {
    options: Options,
    store: Store,
    consumers: Vec<Consumer>,
    /// Why the disk is not written to, and since when that was tried last.
    trouble: Option<(String, SystemTime)>,
    /// The last such reason that became a notice, until the disk works again.
    told: Option<String>,
    /// The time as the caller said it last.
    now: SystemTime,
    damaged_bytes: u64,
    write_errors: u64,
    notices: Vec<String>,
    untold: u64,
}

impl Spool {
    /// Opens the spool for these consumers. What is wrong with the disk becomes a notice, and
    /// memory is used. A consumer that is not known here starts at the end, or at the beginning
    /// when none is known; one that is no longer named is forgotten.
    pub fn open(mut options: Options, consumers: &[String], now: SystemTime) -> Spool {
        options.max_bytes = options.max_bytes.max(LEAST_BYTES);
        let mut spool = Spool {
            options,
            store: Store {
                disk: None,
                memory: Memory::default(),
                next: 1,
                follows: 1,
            },
            consumers: consumers.iter().map(|name| Consumer::new(name)).collect(),
            trouble: None,
            told: None,
            now,
            damaged_bytes: 0,
            write_errors: 0,
            notices: Vec::new(),
            untold: 0,
        };
        spool.join();
        spool.drop_old();
        spool
    }

    /// Adds a record and returns its number. When this returns the kernel has the record, or it
    /// is in memory because the disk does not take it. One of more than 2 MiB is dropped.
    pub fn append(&mut self, payload: &[u8], now: SystemTime) -> u64 {
        self.now = now;
        let number = self.store.next;
        let entry = Entry {
            number,
            time: milliseconds(now),
            payload,
        };
        // The number counts as given only when the record is somewhere, or a consumer that stands
        // at the end would be moved over it while room is made.
        let is_too_long = payload.len() > format::LONGEST || entry.size() > self.options.max_bytes;
        if is_too_long || self.consumers.is_empty() {
            self.store.next += 1;
            self.lose(number, number + 1, Reason::Size);
        } else if self.write(&entry) {
            self.store.next += 1;
        } else {
            self.store.memory.push(Record::of(&entry));
            self.store.next += 1;
            while let Some(record) = self.store.memory.excess(self.options.max_bytes) {
                self.lose(record.number, record.number + 1, Reason::Size);
            }
        }
        number
    }

    /// Moves the consumer's cursor behind this record, which it was given by [`Spool::read`];
    /// nothing that it was not given is accepted. What all consumers have passed is removed.
    pub fn accept(&mut self, consumer: usize, through: u64) {
        if let Some(found) = self.consumers.get_mut(consumer) {
            let to = through.saturating_add(1).min(found.given);
            found.advance(&self.store, to);
            let number = found.number;
            self.place(consumer, number);
            self.tidy(false);
        }
    }

    /// To be called about once a second: brings to the disk itself what is not there yet, keeps
    /// the bounds, and tries a disk again that failed.
    pub fn maintain(&mut self, now: SystemTime) {
        self.now = now;
        self.check_directory();
        self.retry();
        self.drop_old();
        self.tidy(true);
        self.sync();
    }

    /// What waits for a consumer.
    pub fn pending(&self, consumer: usize) -> Pending {
        let mut pending = Pending::default();
        let Some(found) = self.consumers.get(consumer) else {
            return pending;
        };
        let number = found.number;
        if let Some(disk) = &self.store.disk {
            for segment in disk.segments().iter().filter(|part| part.next > number) {
                let start = found.place_in(segment).unwrap_or(segment.start());
                if pending.records == 0 {
                    pending.oldest = disk.time_at(start).map(time);
                }
                pending.records += segment.next - number.max(segment.first);
                pending.bytes += segment.length.saturating_sub(start.offset);
            }
        }
        for record in self.store.memory.from(number) {
            pending.oldest.get_or_insert(record.time);
            pending.records += 1;
            pending.bytes += (format::OVERHEAD + record.payload.len()) as u64;
        }
        pending
    }

    /// Records that wait for a consumer in memory alone, and are lost when this process ends.
    pub fn unsaved(&self, consumer: usize) -> u64 {
        let found = self.consumers.get(consumer);
        found.map_or(0, |found| {
            self.store.memory.from(found.number).count() as u64
        })
    }

    /// What was lost, and what failed.
    pub fn counters(&self) -> Counters {
        Counters {
            consumers: self.consumers.iter().map(|found| found.losses).collect(),
            damaged_bytes: self.damaged_bytes,
            write_errors: self.write_errors,
        }
    }

    /// What the segments take of the disk, in bytes.
    pub fn disk_bytes(&self) -> u64 {
        self.store.disk.as_ref().map_or(0, |disk| disk.size())
    }

    /// Whether new records go to disk.
    pub fn is_on_disk(&self) -> bool {
        self.store.disk.is_some() && self.trouble.is_none()
    }

    /// Where new records go and why, for people.
    pub fn state(&self) -> String {
        match (&self.trouble, &self.options.directory) {
            (Some((reason, _)), _) => format!("in memory, because {reason}"),
            (None, Some(directory)) => format!("in {}", directory.display()),
            (None, None) => "in memory, as configured".to_owned(),
        }
    }

    /// Sentences for the log since the last call.
    pub fn take_notices(&mut self) -> Vec<String> {
        let mut notices = std::mem::take(&mut self.notices);
        let untold = std::mem::take(&mut self.untold);
        if untold > 0 {
            notices.push(format!("{untold} more messages of the spool are left out"));
        }
        notices
    }

    fn notice(&mut self, sentence: String) {
        match self.notices.len() < MOST_NOTICES {
            true => self.notices.push(sentence),
            false => self.untold += 1,
        }
    }

    /// Writes to disk, if that works at this time.
    fn write(&mut self, entry: &Entry<'_>) -> bool {
        if self.trouble.is_some() {
            return false;
        }
        self.make_room(entry);
        let follows = self.store.follows;
        let Some(disk) = &mut self.store.disk else {
            return false;
        };
        match disk.write(entry, follows) {
            Ok(()) => {
                self.store.follows = entry.number + 1;
                true
            }
            Err(error) => {
                self.fail(error.to_string());
                false
            }
        }
    }

    /// Drops what must go before this record can be written.
    fn make_room(&mut self, entry: &Entry<'_>) {
        let disk = self.store.disk.as_ref();
        let growth = disk.map_or(0, |disk| disk.growth(entry));
        let limit = self.options.max_bytes.saturating_sub(growth);
        while growth > 0 && self.disk_bytes() > limit && self.drop_oldest(Reason::Size) {}
    }

    /// Gives up what is older than it may get. A record from the future is new.
    fn drop_old(&mut self) {
        let Some(limit) = self.now.checked_sub(self.options.max_age) else {
            return;
        };
        let limit_ms = milliseconds(limit);
        while self
            .store
            .segment_of(0)
            .is_some_and(|segment| segment.newest < limit_ms)
        {
            self.drop_oldest(Reason::Age);
        }
        while self
            .store
            .memory
            .front()
            .is_some_and(|record| record.time < limit)
        {
            if let Some(record) = self.store.memory.pop() {
                self.lose(record.number, record.number + 1, Reason::Age);
            }
        }
    }

    fn drop_oldest(&mut self, reason: Reason) -> bool {
        let disk = self.store.disk.as_mut();
        let Some(segment) = disk.and_then(|disk| disk.remove_oldest()) else {
            return false;
        };
        self.lose(segment.first, segment.next, reason);
        true
    }

    fn lose(&mut self, first: u64, next: u64, reason: Reason) {
        for consumer in &mut self.consumers {
            consumer.lose(first, next, reason);
            consumer.settle(&self.store);
        }
    }

    /// Saves the cursors, and removes what all have passed: the segment that is written to only
    /// once in a while, because the next record needs one again.
    fn tidy(&mut self, last_too: bool) {
        let Some(passed) = self.consumers.iter().map(|found| found.number).min() else {
            return;
        };
        self.save_cursors(false);
        while self
            .store
            .memory
            .front()
            .is_some_and(|record| record.number < passed)
        {
            self.store.memory.pop();
        }
        let Some(disk) = &mut self.store.disk else {
            return;
        };
        while disk.segments().front().is_some_and(|first| {
            first.next <= passed && (last_too || disk.segments().len() > 1 || first.is_sealed)
        }) {
            disk.remove_oldest();
        }
    }

    fn save_cursors(&mut self, sync: bool) {
        if self.trouble.is_some() {
            return;
        }
        let Some(disk) = &mut self.store.disk else {
            return;
        };
        let mut failure = None;
        for consumer in &mut self.consumers {
            if consumer.is_unsaved || sync && consumer.is_unsynced {
                match disk.save_cursor(&consumer.name, consumer.number, sync) {
                    Ok(()) => {
                        consumer.is_unsaved = false;
                        consumer.is_unsynced = !sync;
                    }
                    Err(error) => {
                        failure = Some(error.to_string());
                        break;
                    }
                }
            }
        }
        if let Some(reason) = failure {
            self.fail(reason);
        }
    }
}

fn milliseconds(time: SystemTime) -> u64 {
    let since = time.duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}

fn time(milliseconds: u64) -> SystemTime {
    UNIX_EPOCH
        .checked_add(Duration::from_millis(milliseconds))
        .unwrap_or(UNIX_EPOCH)
}
