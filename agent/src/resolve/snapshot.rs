//! Processes as /proc shows them: those that ran before the probes did, and those that the
//! probes missed.
//!
//! A process id enters, a [`ProcessSnapshot`] leaves. Times of start have the resolution of
//! clock ticks; who compares them must know ([`TICK`]).

use std::rc::Rc;

use super::arguments::{EnvironmentFilter, Strings};
use super::cgroup;
use super::clock::{monotonic_now, Clock};
use super::file::from_metadata;
use super::path::Mounts;
use super::scrub::Scrubber;
use crate::event::constants::LOGIN_UID_UNSET;
use crate::event::process::ProcessInfo;
use crate::event::wire::Identity;
use crate::event::{Cgroup, File, Image, PathSource};
use crate::sys::files::{metadata_of, read_limited, read_link};
use crate::sys::host;

/// Length of a clock tick of /proc in nanoseconds: `USER_HZ` is 100 everywhere that we run.
pub const TICK: u64 = 10_000_000;
/// The most bytes that are read of a file in /proc; arguments are cut much below.
const MAX_FILE: usize = 64 * 1024;

/// A process at the time that it was looked at.
#[derive(Clone, Debug)]
pub struct ProcessSnapshot {
    /// Ids and times; the start is rounded down to a [`TICK`].
    pub info: ProcessInfo,
    /// What it runs.
    pub image: Rc<Image>,
    /// Its credentials.
    pub identity: Identity,
    /// Its cgroup.
    pub cgroup: Cgroup,
    /// Monotonic time after the last look at it.
    pub looked: u64,
}

/// What reading needs beside the id.
pub struct Reader<'a> {
    /// Which environment variables keep their value.
    pub filter: &'a EnvironmentFilter,
    /// What masks secrets in arguments.
    pub scrubber: &'a Scrubber,
    /// Types of file systems.
    pub mounts: &'a mut Mounts,
    /// From boot time to the time of day.
    pub clock: &'a Clock,
}

/// Every process that /proc lists, in no order.
pub fn walk(reader: &mut Reader<'_>) -> Vec<ProcessSnapshot> {
    let Ok(entries) = std::fs::read_dir(host::proc()) else {
        return Vec::new();
    };
    entries
        .flatten()
        .filter_map(|entry| entry.file_name().to_str()?.parse().ok())
        .filter_map(|pid| read(pid, reader))
        .collect()
}

/// The process with this id; `None` when there is none.
pub fn read(pid: u32, reader: &mut Reader<'_>) -> Option<ProcessSnapshot> {
    let stat = Stat::read(pid)?;
    let status = Status::parse(&text(pid, "status")?);
    let arguments = Strings::split(&bytes(pid, "cmdline").unwrap_or_default(), false);
    let environment = Strings::split(&bytes(pid, "environ").unwrap_or_default(), false);
    let environment = environment.filtered(reader.filter);
    let login_uid = text(pid, "loginuid").and_then(|text| text.trim().parse().ok());
    let started = reader.clock.from_boot(stat.start_time);
    let image = Image {
        comm: stat.comm,
        file: executable(pid, reader.mounts),
        masked_args: reader.scrubber.mask(&arguments.elements),
        args: arguments.elements,
        args_truncated: arguments.truncated,
        envs: environment.elements,
        envs_truncated: environment.truncated,
        ..Image::default()
    };
    let info = ProcessInfo {
        pid,
        ppid: stat.parent,
        start_time: stat.start_time,
        fork_time: started,
        tty: stat.tty,
        login_uid: login_uid.unwrap_or(LOGIN_UID_UNSET),
        cap_effective: status.cap_effective,
        cap_permitted: status.cap_permitted,
        session: stat.session,
        mount_namespace: namespace(pid, "mnt"),
        net_namespace: namespace(pid, "net"),
        snapshot: true,
        ..ProcessInfo::default()
    };
    Some(ProcessSnapshot {
        info,
        image: Rc::new(image),
        identity: status.identity,
        cgroup: cgroup::read(pid).unwrap_or_default(),
        looked: monotonic_now(),
    })
}

/// The inode of a namespace of a process; 0 when it cannot be read.
pub fn namespace(pid: u32, kind: &str) -> u32 {
    let link = host::process(pid, &format!("ns/{kind}"));
    let target = read_link(&link).unwrap_or_default();
    let target = String::from_utf8_lossy(&target);
    target
        .split_once(":[")
        .and_then(|(_, rest)| rest.strip_suffix(']')?.parse().ok())
        .unwrap_or(0)
}

fn bytes(pid: u32, name: &str) -> Option<Vec<u8>> {
    read_limited(&host::process(pid, name), MAX_FILE).ok()
}

fn text(pid: u32, name: &str) -> Option<String> {
    bytes(pid, name).map(|bytes| String::from_utf8_lossy(&bytes).into_owned())
}

/// The program that a process runs; kernel threads have none.
fn executable(pid: u32, mounts: &mut Mounts) -> File {
    let link = host::process(pid, "exe");
    let Ok(target) = read_link(&link) else {
        return File {
            source: PathSource::Absent,
            ..File::default()
        };
    };
    let target = target.strip_suffix(b" (deleted)").unwrap_or(&target);
    let file = match metadata_of(&link) {
        Ok(metadata) => from_metadata(&metadata, mounts.filesystem(pid, &metadata)),
        Err(_) => File::default(),
    };
    File {
        path: String::from_utf8_lossy(target).into_owned(),
        source: PathSource::Proc,
        ..file
    }
}

/// What `/proc/<pid>/stat` tells.
#[derive(Debug, PartialEq, Eq)]
pub struct Stat {
    comm: String,
    parent: u32,
    session: u32,
    tty: String,
    /// The kernel's flags of the task (`PF_…` of include/linux/sched.h).
    pub flags: u64,
    /// Nanoseconds since boot, rounded down to a [`TICK`].
    pub start_time: u64,
}

impl Stat {
    /// The process that has this id now; `None` when there is none.
    pub fn read(pid: u32) -> Option<Stat> {
        Stat::parse(&text(pid, "stat")?)
    }

    /// `pid (comm) state ppid pgrp session tty …`; the name may hold spaces and parentheses.
    fn parse(text: &str) -> Option<Stat> {
        let (before, after) = text.rsplit_once(')')?;
        let (_, comm) = before.split_once('(')?;
        let mut fields = after.split_whitespace();
        let parent = fields.nth(1)?.parse().ok()?;
        let session = fields.nth(1)?.parse().unwrap_or(0);
        let tty = terminal(fields.next()?.parse().ok()?);
        let flags = fields.nth(1)?.parse().ok()?;
        let ticks: u64 = fields.nth(12)?.parse().ok()?;
        Some(Stat {
            comm: comm.to_owned(),
            parent,
            session,
            tty,
            flags,
            start_time: ticks.saturating_mul(TICK),
        })
    }
}

/// The kernel's name of a terminal by its device number, for the kinds that have logins.
fn terminal(device: i64) -> String {
    let device = device as u32;
    let major = device >> 8 & 0xfff;
    let minor = device & 0xff | device >> 12 & 0xf_ff00;
    match (major, minor) {
        (136..=143, _) => format!("pts{}", ((major - 136) << 8) + minor),
        (4, 0..=63) => format!("tty{minor}"),
        (4, _) => format!("ttyS{}", minor - 64),
        (204, 64..=79) => format!("ttyAMA{}", minor - 64),
        (229, _) => format!("hvc{minor}"),
        _ => String::new(),
    }
}

/// What `/proc/<pid>/status` tells.
#[derive(Debug, Default, PartialEq, Eq)]
struct Status {
    identity: Identity,
    cap_effective: u64,
    cap_permitted: u64,
}

impl Status {
    fn parse(text: &str) -> Status {
        let mut status = Status::default();
        let identity = &mut status.identity;
        for (key, value) in text.lines().filter_map(|line| line.split_once(':')) {
            let mut ids = value.split_whitespace().map(|id| id.parse().unwrap_or(0));
            let mut next = || ids.next().unwrap_or(0);
            match key {
                "Uid" => {
                    identity.uid = next();
                    identity.euid = next();
                    identity.suid = next();
                    identity.fsuid = next();
                }
                "Gid" => {
                    identity.gid = next();
                    identity.egid = next();
                    identity.sgid = next();
                    identity.fsgid = next();
                }
                "CapEff" => status.cap_effective = mask(value),
                "CapPrm" => status.cap_permitted = mask(value),
                _ => {}
            }
        }
        status
    }
}

fn mask(value: &str) -> u64 {
    u64::from_str_radix(value.trim(), 16).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stat_is_parsed_whatever_the_name() {
        let rest = "S 7 8 9 34817 10 4194560 1 2 3 4 5 6 7 8 20 0 1 0 12345 1 2";
        for name in ["cat", "a b", "x) S 1 (y", "", "()"] {
            let stat = Stat::parse(&format!("42 ({name}) {rest}\n")).unwrap();
            let expected = Stat {
                comm: name.to_owned(),
                parent: 7,
                session: 9,
                tty: "pts1".to_owned(),
                flags: 4_194_560,
                start_time: 12_345 * TICK,
            };
            assert_eq!(stat, expected);
        }
        for cut in ["", "42 (cat", "42 (cat) S 7", "42 (cat) S x y z"] {
            assert_eq!(Stat::parse(cut), None);
        }
    }

    #[test]
    fn terminals_have_the_kernels_names() {
        for (device, name) in [
            (0, ""),
            (136 << 8 | 5, "pts5"),
            (137 << 8 | 1, "pts257"),
            (4 << 8 | 1, "tty1"),
            (4 << 8 | 64, "ttyS0"),
            (5 << 8 | 1, ""),
        ] {
            assert_eq!(terminal(device), name, "{device}");
        }
    }

    #[test]
    fn status_is_parsed() {
        let status = Status::parse("Name:\tx\nUid:\t1\t2\t3\t4\nGid:\t5\t6\t7\t8\nCapEff:\t00ff\n");
        let identity = Identity {
            uid: 1,
            euid: 2,
            suid: 3,
            fsuid: 4,
            gid: 5,
            egid: 6,
            sgid: 7,
            fsgid: 8,
        };
        assert_eq!(status.identity, identity);
        assert_eq!((status.cap_effective, status.cap_permitted), (255, 0));
    }

    #[test]
    fn we_find_ourselves() {
        let (filter, clock) = (EnvironmentFilter::default(), Clock::measure());
        let mut reader = Reader {
            filter: &filter,
            scrubber: &Scrubber::default(),
            mounts: &mut Mounts::default(),
            clock: &clock,
        };
        let own = read(std::process::id(), &mut reader).unwrap();
        let exe = std::env::current_exe().unwrap();
        assert_eq!(own.image.file.path, exe.to_str().unwrap());
        assert!(own.image.file.known && own.image.file.inode != 0);
        assert_eq!(own.image.args.len(), std::env::args().count());
        assert!(own.info.mount_namespace != 0 && own.info.ppid != 0);
        assert!(own.info.fork_time > 1_600_000_000_000_000_000);
        let all = walk(&mut reader);
        assert!(all.iter().any(|found| found.info.pid == own.info.pid));
        assert!(read(u32::MAX, &mut reader).is_none());
    }
}
