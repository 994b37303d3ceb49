//! Records that are not on disk: a bounded queue, the oldest given up first.
//!
//! Records enter in the order of their numbers and leave for the disk, for a reader, or because
//! there is no room; the caller counts those.

use std::collections::VecDeque;

use super::Record;

/// Bytes that wait in memory at most.
const LIMIT: u64 = 4 * 1024 * 1024;
/// What a record costs beside its payload, in bytes.
const OVERHEAD: u64 = 64;

/// The queue.
#[derive(Debug, Default)]
pub struct Memory {
    records: VecDeque<Record>,
    bytes: u64,
}

impl Memory {
    /// Adds the newest record; whatever is too much then is taken with [`Memory::excess`].
    pub fn push(&mut self, record: Record) {
        self.bytes += cost(&record);
        self.records.push_back(record);
    }

    /// Removes and returns the oldest record when the queue is over its limit.
    pub fn excess(&mut self, max_bytes: u64) -> Option<Record> {
        (self.bytes > LIMIT.min(max_bytes))
            .then(|| self.pop())
            .flatten()
    }

    /// The oldest record.
    pub fn front(&self) -> Option<&Record> {
        self.records.front()
    }

    /// Removes the oldest record.
    pub fn pop(&mut self) -> Option<Record> {
        let record = self.records.pop_front()?;
        self.bytes = self.bytes.saturating_sub(cost(&record));
        if self.records.is_empty() {
            self.records = VecDeque::new();
        }
        Some(record)
    }

    /// The records from this number on.
    pub fn from(&self, number: u64) -> impl Iterator<Item = &Record> {
        let start = self
            .records
            .partition_point(|record| record.number < number);
        self.records.range(start..)
    }

    /// Raises all numbers.
    pub fn renumber(&mut self, shift: u64) {
        for record in &mut self.records {
            record.number += shift;
        }
    }
}

fn cost(record: &Record) -> u64 {
    OVERHEAD + record.payload.len() as u64
}
