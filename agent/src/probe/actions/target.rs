//! One process as the target of a signal: pinned, compared with the event's, then signalled.

use std::fmt;

use crate::event::Process;
use crate::resolve::cgroup;
use crate::resolve::snapshot::{Stat, TICK};
use crate::sys::files;
use crate::sys::host::{self, Numbers};
use crate::sys::pidfd::PidFd;

/// PF_KTHREAD of include/linux/sched.h, which /proc/<pid>/stat shows.
const KERNEL_THREAD: u64 = 0x0020_0000;
/// Why a process was not signalled.
#[derive(Debug)]
pub(super) enum Refusal {
    /// It belongs to the agent.
    Agent,
    /// It is the first process of the host.
    Init,
    /// It belongs to the kernel.
    KernelThread,
    /// The configuration excludes its program.
    Excluded,
    /// It has ended.
    Gone,
    /// Another process has its id now.
    Replaced,
    /// It runs another program now.
    Changed,
    /// It lies outside of the cgroup that enforcement is limited to.
    OutsideCgroup,
    /// Processes have other numbers here.
    OtherNamespace,
    /// The kernel cannot pin processes, or refuses the signal.
    System(std::io::Error),
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Refusal::Agent => f.write_str("it belongs to the agent"),
            Refusal::Init => f.write_str("it is the first process"),
            Refusal::KernelThread => f.write_str("it belongs to the kernel"),
            Refusal::Excluded => {
                f.write_str("its program is excluded by enforcement.exclude_binaries")
            }
            Refusal::Gone => f.write_str("it has ended already"),
            Refusal::Replaced => f.write_str("its id belongs to another process now"),
            Refusal::Changed => f.write_str("it runs another program now"),
            Refusal::OutsideCgroup => f.write_str("it is outside of enforcement.only_cgroup"),
            Refusal::OtherNamespace => {
                f.write_str("the agent is in another process namespace; set hostPID: true")
            }
            Refusal::System(error) => write!(f, "it cannot be signalled: {error}"),
        }
    }
}

/// Signals a process if it is still the one of the event; `only_cgroup` limits where, if it is not
/// empty.
pub(super) fn signal(process: &Process, signal: i32, only_cgroup: &str) -> Result<(), Refusal> {
    let pid = process.info.pid;
    if pid <= 1 {
        return Err(Refusal::Init);
    }
    if process.is_kernel_thread() {
        return Err(Refusal::KernelThread);
    }
    // The same number is another process here.
    if host::process_numbers() != Numbers::Same {
        return Err(Refusal::OtherNamespace);
    }
    let pinned = PidFd::open(pid).map_err(refusal)?;
    let stat = Stat::read(pid).ok_or(Refusal::Gone)?;
    if stat.flags & KERNEL_THREAD != 0 {
        return Err(Refusal::KernelThread);
    }
    if stat.start_time / TICK != process.info.start_time / TICK {
        return Err(Refusal::Replaced);
    }
    if !runs_the_same(process) {
        return Err(Refusal::Changed);
    }
    if !only_cgroup.is_empty()
        && !cgroup::read(pid).is_some_and(|own| lies_in(&own.path, only_cgroup))
    {
        return Err(Refusal::OutsideCgroup);
    }
    pinned.signal(signal).map_err(refusal)
}

fn refusal(error: std::io::Error) -> Refusal {
    match error.raw_os_error() {
        Some(libc::ESRCH) => Refusal::Gone,
        _ => Refusal::System(error),
    }
}

/// Whether a cgroup is the other one or beneath it.
pub(super) fn lies_in(path: &str, cgroup: &str) -> bool {
    let cgroup = cgroup.trim_end_matches('/');
    let beneath = path.strip_prefix(cgroup);
    beneath.is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

/// Whether the process runs the program that it ran when the event happened: the same file, or one
/// under the same path where inode numbers do not agree (layered file systems).
fn runs_the_same(process: &Process) -> bool {
    let image = &process.image;
    let file = image.interpreter.as_ref().unwrap_or(&image.file);
    let link = host::process(process.info.pid, "exe");
    let link = link.as_path();
    let inode = files::metadata_of(link).map(|found| found.inode);
    if inode.is_ok_and(|inode| inode != 0 && inode == file.inode) {
        return true;
    }
    let path = files::read_link(link).unwrap_or_default();
    let path = path.strip_suffix(b" (deleted)").unwrap_or(&path);
    !path.is_empty() && path == file.path.as_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::wire::Identity;
    use crate::event::{File, Image, ProcessInfo};
    use std::os::unix::process::ExitStatusExt;
    use std::process::Command;
    use std::rc::Rc;

    /// A process with these ids that runs `path`.
    fn process(pid: u32, ppid: u32, start_time: u64, path: &str) -> Process {
        let info = ProcessInfo {
            pid,
            ppid,
            start_time,
            ..ProcessInfo::default()
        };
        let image = Image {
            file: File {
                path: path.to_owned(),
                ..File::default()
            },
            ..Image::default()
        };
        Process::new(info, image.into(), None, Identity::default(), Rc::default())
    }

    #[test]
    fn only_the_process_of_the_event_is_signalled() {
        let mut child = Command::new("/bin/sleep").arg("60").spawn().unwrap();
        let pid = child.id();
        let start = Stat::read(pid).unwrap().start_time;
        let link = std::fs::read_link(format!("/proc/{pid}/exe")).unwrap();
        let path = link.to_string_lossy().into_owned();
        let elsewhere = "/no/such/cgroup";
        for (process, cgroup, refusal) in [
            (process(1, 0, start, &path), "", "it is the first process"),
            (process(0, 0, start, &path), "", "it is the first process"),
            (
                process(pid, 2, start, &path),
                "",
                "it belongs to the kernel",
            ),
            (
                process(pid, 1, start + TICK, &path),
                "",
                "its id belongs to another",
            ),
            (
                process(pid, 1, start, "/bin/true"),
                "",
                "it runs another program",
            ),
            (process(pid, 1, start, &path), elsewhere, "it is outside of"),
            (
                process(u32::MAX, 1, start, &path),
                "",
                "it cannot be signalled",
            ),
        ] {
            let refused = signal(&process, libc::SIGKILL, cgroup).unwrap_err();
            assert!(refused.to_string().starts_with(refusal), "{refused}");
        }
        assert!(
            child.try_wait().unwrap().is_none(),
            "nothing has killed it yet"
        );
        signal(&process(pid, 1, start, &path), libc::SIGKILL, "").unwrap();
        assert_eq!(child.wait().unwrap().signal(), Some(libc::SIGKILL));
        let refused = signal(&process(pid, 1, start, &path), libc::SIGKILL, "").unwrap_err();
        assert_eq!(refused.to_string(), "it has ended already");
    }

    #[test]
    fn cgroups_lie_in_their_parents() {
        for (path, cgroup, expected) in [
            ("/a/b", "/a/b", true),
            ("/a/b/c", "/a/b/", true),
            ("/a/bc", "/a/b", false),
            ("/a", "/a/b", false),
            ("/a", "/", true),
        ] {
            assert_eq!(lies_in(path, cgroup), expected, "{path} {cgroup}");
        }
    }
}
