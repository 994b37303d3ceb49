//! Which capabilities and mounts system-probe lacks, and what each of them costs.
//!
//! Settings enter, sentences leave, which are logged, too: before the probes start, so that they are
//! read where nothing starts. What tells by itself that something is missing is not repeated here:
//! BTF, tracefs, the directories of sockets and tests, and CAP_NET_BROADCAST, without which packets
//! are not watched at all. CAP_NET_RAW is needed by nothing. Namespaces are looked at elsewhere.

use std::path::Path;

use log::warn;

use crate::config::{keys, Settings};
use crate::policy::Host;
use crate::sys::files::read_limited;
use crate::sys::{directory, host};

/// More than `/proc/self/status` has.
const MAX_STATUS: usize = 16 << 10;
/// The first kernel that does not count BPF maps against RLIMIT_MEMLOCK.
const COUNTS_MAPS_BY_CGROUP: (i64, i64, i64) = (5, 11, 0);

/// Capabilities by their numbers in include/uapi/linux/capability.h.
const CHOWN: u64 = 1;
const DAC_OVERRIDE: u64 = 1 << 1;
const DAC_READ_SEARCH: u64 = 1 << 2;
const KILL: u64 = 1 << 5;
const NET_ADMIN: u64 = 1 << 12;
const IPC_LOCK: u64 = 1 << 14;
const SYS_PTRACE: u64 = 1 << 19;
const SYS_ADMIN: u64 = 1 << 21;
const SYS_RESOURCE: u64 = 1 << 24;
const PERFMON_AND_BPF: u64 = 1 << 38 | 1 << 39;

/// What some capabilities are needed for only.
#[derive(Clone, Copy, Debug)]
struct Uses {
    packets: bool,
    kills: bool,
    agent_group: bool,
    counted_maps: bool,
}

/// What is missing, as sentences; they are logged, too. `packets`: whether they are to be watched.
pub(super) fn missing(settings: &Settings, packets: bool) -> Vec<String> {
    let uses = Uses {
        packets,
        kills: settings.flag(&keys::ENFORCEMENT_ENABLED),
        agent_group: directory::agent_group().is_some(),
        counted_maps: Host::read().kernel < COUNTS_MAPS_BY_CGROUP,
    };
    let mut sentences = capabilities(effective(), uses);
    let cgroups = host::file("/sys/fs/cgroup");
    let sees_cgroups = std::fs::read_dir(&cgroups).is_ok_and(|mut found| found.next().is_some());
    if !sees_cgroups {
        sentences.push(format!(
            "{} is not mounted: cgroups of processes stay without their numbers, and network_filter \
             actions cannot be limited to one; mount the host's / at HOST_ROOT with what is below it",
            cgroups.display()
        ));
    }
    for sentence in &sentences {
        warn!("{sentence}");
    }
    sentences
}

/// One sentence for each capability that is not in `held`. None where there is no capability at
/// all: nothing starts then, and the reason says so.
fn capabilities(held: u64, uses: Uses) -> Vec<String> {
    if held == 0 {
        return Vec::new();
    }
    let loads = held & PERFMON_AND_BPF == PERFMON_AND_BPF;
    let rights = [
        (SYS_ADMIN, "SYS_ADMIN", !loads, "no probe can be loaded"),
        (
            SYS_ADMIN,
            "SYS_ADMIN",
            loads,
            "tracefs cannot be mounted, and network namespaces cannot be entered",
        ),
        (
            SYS_RESOURCE,
            "SYS_RESOURCE",
            uses.counted_maps,
            "before Linux 5.11, BPF maps do not fit into the limit of locked memory",
        ),
        (
            SYS_PTRACE,
            "SYS_PTRACE",
            true,
            "programs, files and arguments of processes with other rights cannot be read in /proc",
        ),
        (
            NET_ADMIN,
            "NET_ADMIN",
            uses.packets,
            "no classifier can be attached, so packets are not watched",
        ),
        (
            IPC_LOCK,
            "IPC_LOCK",
            true,
            "event buffers are smaller, so events are lost in smaller bursts",
        ),
        (
            CHOWN,
            "CHOWN",
            uses.agent_group,
            "the group dd-agent cannot use sockets and logs",
        ),
        (
            DAC_READ_SEARCH | DAC_OVERRIDE,
            "DAC_READ_SEARCH",
            true,
            "files in private directories of other users cannot be looked at or hashed",
        ),
        (
            KILL,
            "KILL",
            uses.kills,
            "kill actions cannot end processes of other users",
        ),
    ];
    rights
        .into_iter()
        .filter(|(bits, _, matters, _)| *matters && held & bits == 0)
        .map(|(_, name, _, loss)| {
            format!("CAP_{name} is missing: {loss}; add {name} to the container's capabilities")
        })
        .collect()
}

/// The effective capabilities of this process; all where they cannot be read.
fn effective() -> u64 {
    let text = read_limited(Path::new("/proc/self/status"), MAX_STATUS).unwrap_or_default();
    let text = String::from_utf8_lossy(&text);
    let held = text.lines().find_map(|line| line.strip_prefix("CapEff:"));
    held.and_then(|held| u64::from_str_radix(held.trim(), 16).ok())
        .unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALL: Uses = Uses {
        packets: true,
        kills: true,
        agent_group: true,
        counted_maps: true,
    };
    const NONE: Uses = Uses {
        packets: false,
        kills: false,
        agent_group: false,
        counted_maps: false,
    };
    const DOCUMENTED: u64 = CHOWN
        | DAC_READ_SEARCH
        | KILL
        | NET_ADMIN
        | IPC_LOCK
        | SYS_PTRACE
        | SYS_ADMIN
        | SYS_RESOURCE;

    #[test]
    fn each_missing_capability_is_named_where_it_matters() {
        for (bit, name, matters_always) in [
            (CHOWN, "CHOWN", false),
            (DAC_READ_SEARCH, "DAC_READ_SEARCH", true),
            (KILL, "KILL", false),
            (NET_ADMIN, "NET_ADMIN", false),
            (IPC_LOCK, "IPC_LOCK", true),
            (SYS_PTRACE, "SYS_PTRACE", true),
            (SYS_ADMIN, "SYS_ADMIN", true),
            (SYS_RESOURCE, "SYS_RESOURCE", false),
        ] {
            let told = capabilities(DOCUMENTED & !bit, ALL);
            let [sentence] = told.as_slice() else {
                panic!("{name}: {told:?}");
            };
            assert!(sentence.starts_with(&format!("CAP_{name} is missing: ")));
            assert!(sentence.ends_with(&format!("; add {name} to the container's capabilities")));
            let told = capabilities(DOCUMENTED & !bit, NONE);
            assert_eq!(told.len(), usize::from(matters_always), "{name}: {told:?}");
        }
    }

    #[test]
    fn what_stands_in_for_another_is_enough() {
        let told = capabilities(DOCUMENTED & !DAC_READ_SEARCH | DAC_OVERRIDE, ALL);
        assert!(told.is_empty(), "{told:?}");
        let told = capabilities(DOCUMENTED & !SYS_ADMIN | PERFMON_AND_BPF, ALL);
        assert!(told.concat().contains("namespaces"), "{told:?}");
        assert_eq!(told.len(), 1);
    }

    #[test]
    fn nothing_is_said_where_all_or_none_is_held() {
        assert!(capabilities(u64::MAX, ALL).is_empty());
        assert!(capabilities(DOCUMENTED, ALL).is_empty());
        assert!(capabilities(0, ALL).is_empty());
    }
}
