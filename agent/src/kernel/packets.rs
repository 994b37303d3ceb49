//! What packets go through behind their classifier: filters that rules name, reports and drops
//! (probes/network.c).
//!
//! Filters enter as instructions that end in a tail call to one of the places here; which
//! expression they stand for is not known here. When this process ends the kernel empties the
//! table, and packets pass.

use std::io;
use std::os::fd::{AsRawFd, OwnedFd};

use bpf_sys::{LoadError, MapHandle, ProgramLoad};

use super::filter::GateMap;
use super::Error;

/// Place of the program that lets pass what some rule wants to see.
const FILTERS: u32 = 0;
/// Place of the program that reports a packet.
pub const REPORT: u32 = 1;
/// Place of the program that goes on to the next drop.
pub const NEXT_DROP: u32 = 2;
/// Place of the program that drops.
pub const DROP: u32 = 3;
const FIRST_DROP: u32 = 8;
/// The most drops that are in force at once.
pub const DROPS: usize = 12;
/// The programs with a fixed place.
pub(super) const FIXED: [(&str, u32); 3] = [
    ("classifier/report_packet", REPORT),
    ("classifier/next_drop", NEXT_DROP),
    ("classifier/drop", DROP),
];
const TYPE_SCHED_CLS: u32 = 3;
/// Size in bytes of `struct packet_limit`.
const LIMIT: usize = 40;

/// Whose packets a drop is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Scope {
    /// A thread group.
    Process(u32),
    /// A cgroup of the unified hierarchy, by its id.
    Cgroup(u64),
}

impl Scope {
    /// `struct drop_scope`.
    fn key(self) -> [u8; 16] {
        let (kind, id) = match self {
            Scope::Process(tgid) => (1_u64, u64::from(tgid)),
            Scope::Cgroup(id) => (2, id),
        };
        (u128::from(id) << 64 | u128::from(kind)).to_le_bytes()
    }
}

/// What became of packets that filters let pass.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PacketCounts {
    /// Not reported because there were too many in their second.
    pub limited: u64,
    /// Dropped for a rule.
    pub dropped: u64,
}

/// The table of programs, with its contents.
pub struct PacketPrograms {
    programs: MapHandle,
    limits: MapHandle,
    drops: MapHandle,
    gates: GateMap,
    /// One bit for each drop.
    in_force: u64,
}

impl PacketPrograms {
    /// The tables that [`super::Probes::start`] has made.
    pub fn open() -> Result<PacketPrograms, Error> {
        Ok(PacketPrograms {
            programs: super::named("packet_programs")?,
            limits: super::named("packet_limits")?,
            drops: super::named("drops")?,
            gates: GateMap(super::named("gates")?),
            in_force: 0,
        })
    }

    /// The descriptor that instructions name the table by.
    pub fn descriptor(&self) -> Option<i32> {
        bpf_sys::map_fd("packet_programs")
    }

    pub(super) fn put(&self, place: u32, program: &OwnedFd) -> Result<(), Error> {
        let fd = program.as_raw_fd().to_le_bytes();
        let result = self.programs.update(&place.to_le_bytes(), &fd, 0);
        result.map_err(|error| Error::Map("packet_programs", error))
    }

    /// Reports the packets that these instructions let pass, or, without any, none.
    pub fn set_filters(&self, code: Option<&[u8]>) -> Result<(), Error> {
        self.set(FILTERS, code)
    }

    /// Lets these instructions decide over the packets of a drop, or removes it. `place` is below
    /// [`DROPS`].
    pub fn set_drop(&mut self, place: u32, code: Option<&[u8]>) -> Result<(), Error> {
        self.set(FIRST_DROP + place, code)?;
        let bit = 1_u64.checked_shl(place).unwrap_or(0);
        match code {
            Some(_) => self.in_force |= bit,
            None => self.in_force &= !bit,
        }
        self.gates.look_for_drops(self.in_force != 0)
    }

    fn set(&self, place: u32, code: Option<&[u8]>) -> Result<(), Error> {
        let Some(code) = code else {
            // It may have been empty.
            let _ = self.programs.delete(&place.to_le_bytes());
            return Ok(());
        };
        let program =
            load(code).map_err(|error| Error::Program(super::program::Error::Refused(error)))?;
        self.put(place, &program)
    }

    /// Says which drops, one bit for each, are about the packets of this scope.
    pub fn set_scope(&self, scope: Scope, drops: u64) -> Result<(), Error> {
        let key = scope.key();
        let result = match drops {
            0 => self.drops.delete(&key).map(|_| ()),
            _ => self.drops.update(&key, &drops.to_le_bytes(), 0),
        };
        result.map_err(|error| Error::Map("drops", error))
    }

    /// How many packets may be reported in a second.
    pub fn set_rate(&self, rate: u64) -> Result<(), Error> {
        let mut value = [0; LIMIT];
        for (to, from) in value.iter_mut().zip(rate.to_le_bytes()) {
            *to = from;
        }
        let result = self.limits.update(&0u32.to_le_bytes(), &value, 0);
        result.map_err(|error| Error::Map("packet_limits", error))
    }

    /// What became of packets so far.
    pub fn counts(&self) -> io::Result<PacketCounts> {
        let mut value = [0; LIMIT];
        self.limits.lookup(&0u32.to_le_bytes(), &mut value)?;
        let number = |at: usize| {
            let bytes = value.get(at..).and_then(|rest| rest.first_chunk::<8>());
            bytes.map_or(0, |bytes| u64::from_le_bytes(*bytes))
        };
        Ok(PacketCounts {
            limited: number(24),
            dropped: number(32),
        })
    }
}

fn load(code: &[u8]) -> Result<OwnedFd, LoadError> {
    bpf_sys::load_program(&ProgramLoad {
        kind: TYPE_SCHED_CLS,
        expected_attach_type: 0,
        attach_btf_id: 0,
        name: "packet_filter",
        license: c"GPL",
        kern_version: 0,
        instructions: code,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scopes_lie_as_the_probes_look_them_up() {
        let process = Scope::Process(7).key();
        assert_eq!((process[0], process[8]), (1, 7));
        let cgroup = Scope::Cgroup(0x0102_0304_0506_0708).key();
        assert_eq!(cgroup[..8], [2, 0, 0, 0, 0, 0, 0, 0]);
        assert_eq!(cgroup[8..], [8, 7, 6, 5, 4, 3, 2, 1]);
    }
}
