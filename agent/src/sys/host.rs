//! Where a process in a container finds what belongs to the host.
//!
//! `HOST_ROOT` names the place where the host's root directory is mounted, `HOST_PROC` its /proc
//! (`/host/proc` without); container images set them. Files of the host go through [`file`],
//! processes through [`process`], because the probes know them by the numbers of the kernel's first
//! process namespace. What is about this process itself (`/proc/self`) does not come here. Outside
//! of containers everything is where it always is.

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use nix::sched::{setns, CloneFlags};

/// Inode of the first process namespace (PROC_PID_INIT_INO of include/linux/proc_ns.h).
const FIRST_PIDS: u64 = 0xeffffffc;
/// Inode of the first cgroup namespace (PROC_CGROUP_INIT_INO).
const FIRST_CGROUPS: u64 = 0xeffffffb;
const PROC: &str = "/proc";

/// What the numbers of processes that the probes tell are here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Numbers {
    /// The same.
    Same,
    /// Others, but the host's /proc is mounted.
    Mounted,
    /// Others, and the processes cannot be seen.
    Unseen,
}

struct Host {
    root: Option<PathBuf>,
    proc: String,
    numbers: Numbers,
}

fn host() -> &'static Host {
    static HOST: OnceLock<Host> = OnceLock::new();
    HOST.get_or_init(|| {
        let mounted = std::env::var("HOST_PROC").unwrap_or_else(|_| "/host/proc".to_owned());
        let first = namespace(&format!("{mounted}/1"), "pid");
        let numbers = numbers(namespace("/proc/self", "pid"), first);
        Host {
            root: std::env::var_os("HOST_ROOT")
                .filter(|root| !root.is_empty())
                .map(PathBuf::from),
            proc: match numbers {
                Numbers::Mounted => mounted,
                _ => PROC.to_owned(),
            },
            numbers,
        }
    })
}

/// From our own process namespace and that of the first process in the other /proc. Without /proc
/// there is nothing to go by.
fn numbers(own: Option<u64>, first: Option<u64>) -> Numbers {
    match (own, first) {
        (None | Some(FIRST_PIDS), _) => Numbers::Same,
        (_, Some(FIRST_PIDS)) => Numbers::Mounted,
        _ => Numbers::Unseen,
    }
}

/// Inode of a namespace of the process with this directory in /proc.
fn namespace(process: &str, kind: &str) -> Option<u64> {
    let found = fs::metadata(format!("{process}/ns/{kind}"));
    found.ok().map(|found| found.ino())
}

/// What the probes' numbers of processes are here.
pub fn process_numbers() -> Numbers {
    host().numbers
}

/// The /proc that has the host's processes, as far as it can be seen.
pub fn proc() -> &'static str {
    &host().proc
}

/// A file about a process of the host, such as `exe` or `ns/net`.
pub fn process(pid: u32, name: &str) -> PathBuf {
    PathBuf::from(format!("{}/{pid}/{name}", proc()))
}

/// The number by which the probes know this process or one of its children, given the one that it
/// has here; `None` when that cannot be told.
pub fn number_of(pid: u32) -> Option<u32> {
    match process_numbers() {
        Numbers::Same => Some(pid),
        Numbers::Mounted if pid == std::process::id() => {
            let link = fs::read_link(Path::new(proc()).join("self")).ok()?;
            link.to_str()?.parse().ok()
        }
        _ => None,
    }
}

/// The same for this process itself; its own number when that cannot be told.
pub fn own_number() -> u32 {
    let own = std::process::id();
    number_of(own).unwrap_or(own)
}

/// A file of the host by its absolute path there; without `HOST_ROOT`, or where it lacks there, the
/// file of this path here.
pub fn file(path: &str) -> PathBuf {
    below(host().root.as_deref(), path)
}

fn below(root: Option<&Path>, path: &str) -> PathBuf {
    let there = root.map(|root| root.join(path.trim_start_matches('/')));
    let there = there.filter(|there| there.exists());
    there.unwrap_or_else(|| PathBuf::from(path))
}

/// Whether paths of cgroups begin at the root of the host.
pub fn sees_cgroups() -> bool {
    namespace("/proc/self", "cgroup") == Some(FIRST_CGROUPS)
}

/// Moves this thread, and all that it will start, to the cgroup namespace of the host's first
/// process. In one of its own it would see the cgroups of others by paths that lead out of it.
///
/// # Errors
/// When that process cannot be seen, may not be followed, or is not in the first namespace either.
pub fn join_cgroups() -> io::Result<()> {
    let first = File::open(process(1, "ns/cgroup"))?;
    if first.metadata()?.ino() != FIRST_CGROUPS {
        return Err(io::ErrorKind::NotFound.into());
    }
    Ok(setns(first, CloneFlags::CLONE_NEWCGROUP)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_those_of_the_first_namespace() {
        for (own, first, expected) in [
            (Some(FIRST_PIDS), None, Numbers::Same),
            (Some(FIRST_PIDS), Some(FIRST_PIDS), Numbers::Same),
            (None, None, Numbers::Same),
            (Some(7), Some(FIRST_PIDS), Numbers::Mounted),
            (Some(7), Some(7), Numbers::Unseen),
            (Some(7), None, Numbers::Unseen),
        ] {
            assert_eq!(numbers(own, first), expected, "{own:?} {first:?}");
        }
    }

    #[test]
    fn files_of_the_host_come_first() {
        let base = std::env::temp_dir().join(format!("host-{}", std::process::id()));
        fs::create_dir_all(base.join("etc")).unwrap();
        fs::write(base.join("etc/passwd"), "").unwrap();
        assert_eq!(below(Some(&base), "/etc/passwd"), base.join("etc/passwd"));
        let group = PathBuf::from("/etc/group");
        assert_eq!(below(Some(&base), "/etc/group"), group);
        assert_eq!(below(None, "/etc/group"), group);
        fs::remove_dir_all(&base).unwrap();
    }

    #[test]
    fn this_process_has_a_number() {
        let status = fs::read_to_string(process(own_number(), "status"));
        let name = fs::read_to_string("/proc/self/comm").unwrap();
        if process_numbers() != Numbers::Unseen {
            assert!(status.unwrap().contains("Name:"), "{name}");
        }
    }
}
