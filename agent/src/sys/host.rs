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
/// What every root directory of a host has.
const OF_ROOT: &str = "etc";

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
        let numbers = numbers(own_namespace("pid"), || shows_kernel(&mounted));
        Host {
            root: given("HOST_ROOT").filter(|root| root.join(OF_ROOT).is_dir()),
            proc: match numbers {
                Numbers::Mounted => mounted,
                _ => PROC.to_owned(),
            },
            numbers,
        }
    })
}

/// The path in this variable.
fn given(variable: &str) -> Option<PathBuf> {
    let path = std::env::var_os(variable).filter(|path| !path.is_empty());
    path.map(PathBuf::from)
}

/// Variables that name a place where nothing of the host is mounted, and that place.
pub fn unmounted() -> impl Iterator<Item = (&'static str, PathBuf)> {
    let places = [("HOST_ROOT", OF_ROOT), ("HOST_PROC", "1")];
    places.into_iter().filter_map(|(variable, part)| {
        let path = given(variable)?;
        (!path.join(part).is_dir()).then_some((variable, path))
    })
}

/// From our own process namespace, and whether the other /proc is that of the first one. Without
/// /proc there is nothing to go by.
fn numbers(own: Option<u64>, is_mounted: impl FnOnce() -> bool) -> Numbers {
    match own {
        None | Some(FIRST_PIDS) => Numbers::Same,
        _ if is_mounted() => Numbers::Mounted,
        _ => Numbers::Unseen,
    }
}

/// Whether this /proc has the kernel's own threads, which only the first process namespace has. That
/// can be read where the namespaces of other processes cannot.
fn shows_kernel(proc: &str) -> bool {
    let second = fs::read_to_string(format!("{proc}/2/stat")).unwrap_or_default();
    let state = second.strip_prefix("2 (kthreadd) ");
    // Neither parent, nor process group, nor session.
    state.is_some_and(|state| state.get(1..).is_some_and(|ids| ids.starts_with(" 0 0 0 ")))
}

/// Inode of a namespace that we are in.
fn own_namespace(kind: &str) -> Option<u64> {
    let found = fs::metadata(format!("{PROC}/self/ns/{kind}"));
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

/// A file of the host by its absolute path there; the file of this path here where the host's root
/// directory is not mounted. What the host lacks is not looked for here: users of the container are
/// not those of the host.
pub fn file(path: &str) -> PathBuf {
    below(host().root.as_deref(), path)
}

fn below(root: Option<&Path>, path: &str) -> PathBuf {
    match root {
        Some(root) => root.join(path.trim_start_matches('/')),
        None => PathBuf::from(path),
    }
}

/// Whether paths of cgroups begin at the root of the host.
pub fn sees_cgroups() -> bool {
    own_namespace("cgroup") == Some(FIRST_CGROUPS)
}

/// Moves this thread, and all that it will start, to the cgroup namespace of the host's first
/// process. In one of its own it would see the cgroups of others by paths that lead out of it.
///
/// # Errors
/// When that process is not seen, may not be followed (SYS_PTRACE), or is in another one, too.
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
        for (own, is_mounted, expected) in [
            (Some(FIRST_PIDS), false, Numbers::Same),
            (Some(FIRST_PIDS), true, Numbers::Same),
            (None, false, Numbers::Same),
            (Some(7), true, Numbers::Mounted),
            (Some(7), false, Numbers::Unseen),
        ] {
            assert_eq!(
                numbers(own, || is_mounted),
                expected,
                "{own:?} {is_mounted}"
            );
        }
        let is_first = own_namespace("pid") == Some(FIRST_PIDS);
        assert_eq!(shows_kernel(PROC), is_first);
    }

    #[test]
    fn files_of_the_host_are_not_mixed_with_those_here() {
        let root = Path::new("/host/root");
        assert_eq!(below(Some(root), "/etc/none"), root.join("etc/none"));
        assert_eq!(below(None, "/etc/group"), Path::new("/etc/group"));
    }

    #[test]
    fn this_process_has_a_number() {
        if process_numbers() == Numbers::Unseen {
            return;
        }
        // The last number is that in the innermost namespace, which is ours.
        let status = fs::read_to_string(process(own_number(), "status")).unwrap();
        let mut lines = status.lines();
        let numbers = lines.find_map(|line| line.strip_prefix("NSpid:")).unwrap();
        let own = numbers.split_whitespace().last().unwrap().parse();
        assert_eq!(own, Ok(std::process::id()));
    }
}
