//! What packets go through behind their classifier: filters that rules name, reports and drops
//! (probes/network.c).
//!
//! Filters enter as instructions that end in a tail call to one of the places here; which
//! expression they stand for is not known here. A place is filled again, never emptied: the kernel
//! may wait for all of its readers (`synchronize_rcu`) when it takes a program out, and a drop that
//! no scope names is not asked. When this process ends the kernel empties the table, and packets
//! pass.

use std::io;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};

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
}

impl PacketPrograms {
    /// The tables that [`super::Probes::start`] has made.
    pub fn open() -> Result<PacketPrograms, Error> {
        Ok(PacketPrograms {
            programs: super::named("packet_programs")?,
            limits: super::named("packet_limits")?,
            drops: super::named("drops")?,
            gates: GateMap(super::named("gates")?),
        })
    }

    /// The descriptor that instructions name the table by.
    pub fn descriptor(&self) -> i32 {
        self.programs.as_fd().as_raw_fd()
    }

    pub(super) fn put(&self, place: u32, program: &OwnedFd) -> Result<(), Error> {
        let fd = program.as_raw_fd().to_le_bytes();
        let result = self.programs.update(&place.to_le_bytes(), &fd, 0);
        result.map_err(|error| Error::Map("packet_programs", error))
    }

    /// Reports the packets that these instructions let pass.
    pub fn set_filters(&self, code: &[u8]) -> Result<(), Error> {
        self.set(FILTERS, code)
    }

    /// Lets these instructions decide over the packets of a drop. `place` is below [`DROPS`].
    pub fn set_drop(&self, place: u32, code: &[u8]) -> Result<(), Error> {
        self.set(FIRST_DROP.saturating_add(place), code)
    }

    fn set(&self, place: u32, code: &[u8]) -> Result<(), Error> {
        let program =
            load(code).map_err(|error| Error::Program(super::program::Error::Refused(error)))?;
        self.put(place, &program)
    }

    /// Lets classifiers look for drops, or not: for whom there are none that is wasted time.
    pub fn look_for_drops(&self, wanted: bool) -> Result<(), Error> {
        self.gates.look_for_drops(wanted)
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

    /// How many packets may be reported in a second. What was counted so far stays.
    pub fn set_rate(&self, rate: u64) -> Result<(), Error> {
        self.write_rate(rate)
            .map_err(|error| Error::Map("packet_limits", error))
    }

    /// The kernel counts in the same value: it is written only when the rate is another.
    fn write_rate(&self, rate: u64) -> io::Result<()> {
        let mut value = self.limit()?;
        let wanted = rate.to_le_bytes();
        if value.starts_with(&wanted) {
            return Ok(());
        }
        for (to, from) in value.iter_mut().zip(wanted) {
            *to = from;
        }
        self.limits.update(&0u32.to_le_bytes(), &value, 0)
    }

    fn limit(&self) -> io::Result<[u8; LIMIT]> {
        let mut value = [0; LIMIT];
        self.limits.lookup(&0u32.to_le_bytes(), &mut value)?;
        Ok(value)
    }

    /// What became of packets so far.
    pub fn counts(&self) -> io::Result<PacketCounts> {
        let value = self.limit()?;
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

/// The tables on their own, on the running kernel. This needs root.
#[cfg(test)]
impl PacketPrograms {
    /// Empty tables, of which that of scopes takes so many.
    pub(crate) fn testing(scopes: u32) -> PacketPrograms {
        use bpf_sys::{create_map, map_kind, MapSpec};
        let make = |kind, key_size, value_size, max_entries| {
            let map = create_map(&MapSpec {
                kind,
                key_size,
                value_size,
                max_entries,
                flags: 0,
                name: "packet_tests",
            });
            MapHandle::new(map.unwrap()).unwrap()
        };
        PacketPrograms {
            programs: make(map_kind::PROG_ARRAY, 4, 4, FIRST_DROP + DROPS as u32),
            limits: make(map_kind::ARRAY, 4, LIMIT as u32, 1),
            drops: make(map_kind::HASH, 16, 8, scopes),
            gates: GateMap(make(map_kind::ARRAY, 4, 8, 32)),
        }
    }

    /// The drops of a scope, as the kernel has them.
    pub(crate) fn drops_of(&self, scope: Scope) -> u64 {
        let mut drops = [0; 8];
        self.drops.lookup(&scope.key(), &mut drops).unwrap();
        u64::from_le_bytes(drops)
    }

    /// Whether classifiers look for drops.
    pub(crate) fn looks_for_drops(&self) -> bool {
        let mut gate = [0; 8];
        self.gates
            .0
            .lookup(&31u32.to_le_bytes(), &mut gate)
            .unwrap();
        gate != [0; 8]
    }

    /// Whether some filter decides which packets are reported.
    pub(crate) fn has_filters(&self) -> bool {
        let mut id = [0; 4];
        self.programs
            .lookup(&FILTERS.to_le_bytes(), &mut id)
            .unwrap()
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

    #[test]
    fn what_was_counted_outlives_another_rate() {
        let programs = PacketPrograms::testing(1);
        programs.set_rate(500).unwrap();
        let mut value = programs.limit().unwrap();
        assert_eq!(value[..8], 500u64.to_le_bytes());
        value[24] = 7;
        value[32] = 9;
        let key = 0u32.to_le_bytes();
        programs.limits.update(&key, &value, 0).unwrap();
        for rate in [500, 3] {
            programs.set_rate(rate).unwrap();
            let counts = programs.counts().unwrap();
            assert_eq!((counts.limited, counts.dropped), (7, 9));
        }
        assert_eq!(programs.limit().unwrap()[..8], 3u64.to_le_bytes());
    }
}
