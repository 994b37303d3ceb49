//! The probes' own counters: how many records of each kind they output, and how many were lost.

use std::io;

use bpf_sys::MapHandle;

use crate::event::wire::{Kind, KINDS};

/// Emitted and lost records, by kind number.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Outputs that were tried.
    pub emitted: [u64; KINDS],
    /// Outputs that found no room.
    pub lost: [u64; KINDS],
}

impl Counts {
    /// Emitted and lost records of one kind.
    pub fn of(&self, kind: Kind) -> (u64, u64) {
        let index = kind as usize;
        let at = |counts: &[u64; KINDS]| counts.get(index).copied().unwrap_or(0);
        (at(&self.emitted), at(&self.lost))
    }
}

/// The map behind the counts: one pair per kind and CPU.
pub struct Counters {
    map: MapHandle,
}

impl Counters {
    pub(super) fn open() -> io::Result<Counters> {
        Ok(Counters {
            map: MapHandle::named("counts")?,
        })
    }

    /// Sums over all CPUs.
    pub(super) fn read(&self) -> io::Result<Counts> {
        let mut counts = Counts::default();
        let mut value = vec![0; self.map.value_len()];
        let rows = counts.emitted.iter_mut().zip(counts.lost.iter_mut());
        for (kind, (emitted, lost)) in rows.enumerate() {
            self.map.lookup(&(kind as u32).to_le_bytes(), &mut value)?;
            for cpu in value.chunks_exact(16) {
                *emitted += word(cpu, 0);
                *lost += word(cpu, 8);
            }
        }
        Ok(counts)
    }
}

fn word(bytes: &[u8], offset: usize) -> u64 {
    let array = bytes.get(offset..).and_then(|rest| rest.first_chunk());
    array.map_or(0, |array| u64::from_le_bytes(*array))
}
