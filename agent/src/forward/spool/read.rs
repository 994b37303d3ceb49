//! Reading records back: finding a consumer's place on disk, and going on where a file is damaged.
//!
//! A consumer and limits enter, records leave, those on disk before those in memory. No cursor
//! moves but over damage.

use super::format::Entry;
use super::segment::{End, Place};
use super::{Record, Spool};

impl Spool {
    /// The records from the consumer's cursor on, which does not move: at most so many, and at
    /// most so many bytes of payload, but at least one when there is one.
    pub fn read(&mut self, consumer: usize, max_records: usize, max_bytes: usize) -> Vec<Record> {
        let mut batch = Batch {
            records: Vec::new(),
            bytes: 0,
            max_records,
            max_bytes,
        };
        let mut number = self.consumers.get(consumer).map_or(0, |found| found.number);
        let mut ahead = None;
        let is_read = loop {
            let Some(segment) = self.store.segment_of(number) else {
                break true;
            };
            let Some(start) = self.place(consumer, number) else {
                let moved = self.consumers.get(consumer).map_or(0, |found| found.number);
                if moved <= number {
                    break false;
                }
                number = moved;
                continue;
            };
            let Some((place, end)) = self.scan(start, &mut |entry| batch.take(entry)) else {
                break false;
            };
            ahead = Some(place);
            number = segment.next;
            match end {
                End::Stopped => break false,
                End::Whole => {}
                End::Damaged => self.cut(place),
            }
        };
        if is_read {
            for record in self.store.memory.from(number) {
                if !batch.take(&record.entry()) {
                    break;
                }
                ahead = None;
            }
        }
        if let (Some(found), Some(last)) = (self.consumers.get_mut(consumer), batch.records.last())
        {
            found.gave(last.number, ahead);
        }
        batch.records
    }

    /// The place on disk of the consumer's record of this number, or of the first one in the
    /// next segment.
    pub(super) fn place(&mut self, consumer: usize, number: u64) -> Option<Place> {
        let segment = self.store.segment_of(number)?;
        let found = self.consumers.get(consumer)?;
        if number <= segment.first {
            return Some(segment.start());
        }
        if let Some(place) = found.place_in(&segment) {
            return Some(place);
        }
        let start = segment.start();
        let (place, end) = self.scan(start, &mut |entry| entry.number < number)?;
        if end == End::Damaged {
            self.cut(place);
            return None;
        }
        self.consumers.get_mut(consumer)?.found(place);
        Some(place)
    }

    /// Reads from a place on; `None` when the file cannot be opened at this time. One that cannot
    /// be read at all is damaged.
    fn scan(
        &mut self,
        place: Place,
        take: &mut dyn FnMut(&Entry<'_>) -> bool,
    ) -> Option<(Place, End)> {
        match self.store.disk.as_ref()?.scan(place, take) {
            Ok(reached) => Some(reached),
            Err(error) if error.is_passing() => {
                log::debug!("{error}");
                None
            }
            Err(error) => {
                self.notice(format!("the spool cannot be read: {error}"));
                Some((place, End::Damaged))
            }
        }
    }

    pub(super) fn cut(&mut self, place: Place) {
        let damage = self.store.disk.as_mut().and_then(|disk| disk.cut(place));
        if let Some(damage) = damage {
            self.damaged_bytes += damage.bytes;
            self.notice(damage.notice);
        }
        for consumer in &mut self.consumers {
            consumer.settle(&self.store);
        }
    }
}

/// Records that are collected for a consumer.
struct Batch {
    records: Vec<Record>,
    bytes: usize,
    max_records: usize,
    max_bytes: usize,
}

impl Batch {
    fn take(&mut self, entry: &Entry<'_>) -> bool {
        let bytes = self.bytes + entry.payload.len();
        let is_full = self.records.len() >= self.max_records;
        if is_full || bytes > self.max_bytes && !self.records.is_empty() {
            return false;
        }
        self.bytes = bytes;
        self.records.push(Record::of(entry));
        true
    }
}
