//! All ring buffers as one stream of records in the order of their stamps.
//!
//! A turn notes the time, drains every ring, and releases what is older than a millisecond
//! before; the rest waits for the next turn, because a slower CPU may still output something
//! earlier. What comes later than that all the same is released at once and counted.

use std::io;
use std::os::fd::RawFd;

use super::perf::Ring;
use crate::event::wire;

/// How long a record may be on its way between its stamp and its ring, in nanoseconds.
const SETTLING: u64 = 1_000_000;
/// Bytes taken from one ring in one turn.
const TURN_BUDGET: usize = 4 << 20;
/// Bytes that wait before the kernel wakes the reader.
const WATERMARK: u32 = 64 << 10;

struct Slot {
    stamp: u64,
    start: usize,
    length: usize,
}

/// What the stream has seen, since the start.
#[derive(Clone, Copy, Debug, Default)]
pub struct Seen {
    /// Records taken from the rings.
    pub records: u64,
    /// Records released after a younger one.
    pub late: u64,
    /// Records that the kernel reported lost; the probes count the same ones by kind.
    pub lost: u64,
}

/// The rings of every CPU.
pub struct EventStream {
    rings: Vec<Ring>,
    bytes: Vec<u8>,
    slots: Vec<Slot>,
    spare: Vec<u8>,
    newest_released: u64,
    seen: Seen,
}

impl EventStream {
    /// A stream without rings.
    pub fn new() -> EventStream {
        EventStream {
            rings: Vec::new(),
            bytes: Vec::new(),
            slots: Vec::new(),
            spare: Vec::new(),
            newest_released: 0,
            seen: Seen::default(),
        }
    }

    /// Opens a ring on every CPU that is online and tells `register` its CPU and descriptor.
    pub fn add_rings(
        &mut self,
        cpus: &[u32],
        size: usize,
        mut register: impl FnMut(u32, RawFd) -> io::Result<()>,
    ) -> io::Result<()> {
        for cpu in cpus {
            match Ring::open(*cpu, size, WATERMARK.min(size as u32 / 4)) {
                Err(error) if error.raw_os_error() == Some(libc::ENODEV) => {}
                ring => {
                    let ring = ring?;
                    register(*cpu, ring.raw_fd())?;
                    self.rings.push(ring);
                }
            }
        }
        Ok(())
    }

    /// Descriptors that become readable at the watermark.
    pub fn descriptors(&self) -> impl Iterator<Item = RawFd> + '_ {
        self.rings.iter().map(Ring::raw_fd)
    }

    /// What was seen until now.
    pub fn seen(&self) -> Seen {
        Seen {
            lost: self.rings.iter().map(|ring| ring.lost).sum(),
            ..self.seen
        }
    }

    /// One turn at the time `now` (CLOCK_MONOTONIC, ns): releases records in order, and says of
    /// each whether it is late: older than one that was released before.
    ///
    /// Returns whether more waits and another turn should follow at once.
    pub fn turn(&mut self, now: u64, mut release: impl FnMut(&[u8], bool)) -> bool {
        let horizon = self.fill(now.saturating_sub(SETTLING));
        self.slots.sort_by_key(|slot| slot.stamp);
        let due = self.slots.partition_point(|slot| slot.stamp <= horizon);
        for slot in self.slots.iter().take(due) {
            let is_late = slot.stamp < self.newest_released;
            self.seen.late += u64::from(is_late);
            self.newest_released = self.newest_released.max(slot.stamp);
            if let Some(record) = self.bytes.get(slot.start..slot.start + slot.length) {
                release(record, is_late);
            }
        }
        self.keep_from(due);
        horizon < now.saturating_sub(SETTLING)
    }

    /// Releases everything that is left, for the end.
    pub fn flush(&mut self, mut release: impl FnMut(&[u8], bool)) {
        while self.turn(u64::MAX, &mut release) {}
    }

    /// Drains the rings; returns until when the stream is complete.
    fn fill(&mut self, settled: u64) -> u64 {
        let mut horizon = settled;
        for ring in &mut self.rings {
            let (bytes, slots, seen) = (&mut self.bytes, &mut self.slots, &mut self.seen);
            let mut newest = 0;
            let is_empty = ring.drain(TURN_BUDGET, |first, second| {
                let start = bytes.len();
                bytes.extend_from_slice(first);
                bytes.extend_from_slice(second);
                let stamp = bytes.get(start..).map_or(0, wire::timestamp);
                newest = stamp;
                seen.records += 1;
                slots.push(Slot {
                    stamp,
                    start,
                    length: bytes.len() - start,
                });
            });
            if !is_empty {
                horizon = horizon.min(newest);
            }
        }
        horizon
    }

    /// Moves the records that are not yet due to the front.
    fn keep_from(&mut self, due: usize) {
        self.spare.clear();
        self.slots.drain(..due);
        for slot in &mut self.slots {
            let start = self.spare.len();
            if let Some(record) = self.bytes.get(slot.start..slot.start + slot.length) {
                self.spare.extend_from_slice(record);
            }
            slot.start = start;
        }
        std::mem::swap(&mut self.bytes, &mut self.spare);
        self.spare.clear();
        shrink(&mut self.spare);
        shrink(&mut self.bytes);
    }
}

impl Default for EventStream {
    fn default() -> EventStream {
        EventStream::new()
    }
}

/// Gives the memory of a burst back once it is over.
fn shrink(buffer: &mut Vec<u8>) {
    const KEPT: usize = 1 << 20;
    if buffer.capacity() > KEPT && buffer.len() < KEPT {
        buffer.shrink_to(KEPT);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with_records(stamps: &[u64]) -> EventStream {
        let mut stream = EventStream::new();
        for stamp in stamps {
            let start = stream.bytes.len();
            stream.bytes.extend(stamp.to_le_bytes());
            stream.slots.push(Slot {
                stamp: *stamp,
                start,
                length: 8,
            });
        }
        stream
    }

    fn released(stream: &mut EventStream, now: u64) -> Vec<u64> {
        let mut stamps = Vec::new();
        stream.turn(now, |record, _| stamps.push(wire::timestamp(record)));
        stamps
    }

    #[test]
    fn releases_in_order_what_has_settled() {
        let mut stream = with_records(&[5, 3, 2_000_000, 1]);
        assert_eq!(released(&mut stream, SETTLING + 10), [1, 3, 5]);
        assert_eq!(released(&mut stream, SETTLING + 20), Vec::<u64>::new());
        assert_eq!(released(&mut stream, 4_000_000), [2_000_000]);
        assert_eq!(stream.seen().late, 0);
    }

    #[test]
    fn counts_and_flags_what_comes_late() {
        let mut stream = with_records(&[10]);
        assert_eq!(released(&mut stream, u64::MAX), [10]);
        stream.bytes.extend(7u64.to_le_bytes());
        stream.slots.push(Slot {
            stamp: 7,
            start: 0,
            length: 8,
        });
        let mut flags = Vec::new();
        stream.turn(u64::MAX, |record, late| {
            flags.push((wire::timestamp(record), late))
        });
        assert_eq!(flags, [(7, true)]);
        assert_eq!(stream.seen().late, 1);
    }
}
