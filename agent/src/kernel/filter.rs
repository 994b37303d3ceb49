//! What decides in the kernel which records are reported at all: a gate for each kind, and the
//! names of files that rules on open need (probes/include/record.h).
//!
//! While the names are exchanged the gate stands open, so that nothing is missed in between.

use std::collections::BTreeSet;
use std::io;

use bpf_sys::MapHandle;

use super::Error;
use crate::event::wire::Kind;

/// Bytes of a name in the filter, its zero byte included.
const NAME: usize = 64;
/// Names that the map takes.
const MAX_NAMES: usize = 4_096;

/// The gate of what classifiers know of sockets (probes/include/network.h).
const GATE_FLOWS: u16 = 0;
const GATE_DROPS: u16 = 31;

const CLOSED: u32 = 0;
const OPEN: u32 = 1;
const FILTERED: u32 = 2;

/// What of a kind is let through.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Gate {
    /// Nothing.
    #[default]
    Closed,
    /// Everything.
    Open,
    /// Opens with one of the flags, or of a file with one of the names.
    Filtered {
        /// Bits of the flags of open.
        flags: u32,
        /// Last components of paths.
        names: BTreeSet<String>,
    },
}

/// Which packets without a process are reported (probes/network.c).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(u32)]
pub enum Nobody {
    /// All.
    All = 0,
    /// Those that begin a connection of TCP.
    #[default]
    Beginnings = 1,
    /// None.
    None = 2,
}

/// The map of the gates.
pub(super) struct GateMap(pub(super) MapHandle);

impl GateMap {
    /// Lets classifiers look for drops, or not.
    pub(super) fn look_for_drops(&self, wanted: bool) -> Result<(), Error> {
        self.write(GATE_DROPS, if wanted { OPEN } else { CLOSED }, 0)
    }

    fn write(&self, number: u16, state: u32, flags: u32) -> Result<(), Error> {
        let key = u32::from(number).to_le_bytes();
        let mut value = [0; 8];
        let (first, second) = value.split_at_mut(4);
        first.copy_from_slice(&state.to_le_bytes());
        second.copy_from_slice(&flags.to_le_bytes());
        let written = self.0.update(&key, &value, 0);
        written.map_err(|error| Error::Map("gates", error))
    }
}

/// The gates as they stand.
pub struct Filters {
    gates: GateMap,
    names: MapHandle,
    present: BTreeSet<[u8; NAME]>,
}

impl Filters {
    pub(super) fn new(gates: MapHandle, names: MapHandle) -> Filters {
        Filters {
            gates: GateMap(gates),
            names,
            present: BTreeSet::new(),
        }
    }

    /// Sets the gate of a kind, and says how it stands then: open where the kernel has no room for
    /// the names.
    pub fn set(&mut self, kind: Kind, gate: Gate) -> Result<Gate, Error> {
        let Gate::Filtered { flags, names } = &gate else {
            let state = if gate == Gate::Closed { CLOSED } else { OPEN };
            self.write(kind, state, 0)?;
            return Ok(gate);
        };
        self.write(kind, OPEN, 0)?;
        let keys = names.iter().map(|name| key(name)).collect();
        if names.len() > MAX_NAMES || self.replace_names(keys).is_err() {
            return Ok(Gate::Open);
        }
        self.write(kind, FILTERED, *flags)?;
        Ok(gate)
    }

    /// Lets the probes learn whose sockets are, or not.
    pub fn learn_flows(&self, wanted: bool) -> Result<(), Error> {
        let state = if wanted { OPEN } else { CLOSED };
        self.gates.write(GATE_FLOWS, state, 0)
    }

    /// Opens the gate of packets that filters let pass; `nobody` says which of those without a
    /// process are left out (`raw_packet.filter`).
    pub fn set_packets(&self, open: bool, nobody: Nobody) -> Result<(), Error> {
        let state = if open { OPEN } else { CLOSED };
        self.gates.write(Kind::Packet as u16, state, nobody as u32)
    }

    fn write(&self, kind: Kind, state: u32, flags: u32) -> Result<(), Error> {
        self.gates.write(kind as u16, state, flags)
    }

    fn replace_names(&mut self, wanted: BTreeSet<[u8; NAME]>) -> io::Result<()> {
        for name in self.present.difference(&wanted) {
            self.names.delete(name)?;
        }
        for name in wanted.difference(&self.present) {
            self.names.update(name, &1u32.to_le_bytes(), 0)?;
        }
        self.present = wanted;
        Ok(())
    }
}

/// A name as the kernel looks it up: cut, and filled with zero bytes.
fn key(name: &str) -> [u8; NAME] {
    let mut key = [0; NAME];
    let room = key.iter_mut().take(NAME - 1);
    for (to, from) in room.zip(name.bytes()) {
        *to = from;
    }
    key
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_cut_as_the_kernel_cuts_them() {
        assert_eq!(&key("ab")[..3], b"ab\0");
        let long = key(&"x".repeat(300));
        assert!(long[..NAME - 1].iter().all(|byte| *byte == b'x'));
        assert_eq!(long[NAME - 1], 0);
    }
}
