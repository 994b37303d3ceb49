//! This process, its parent and its children.
//!
//! A supervised role ties itself to its supervisor here; the supervisor collects here what has
//! ended. Pids enter, plain values leave.

use std::fmt;

use nix::errno::Errno;
use nix::sys::prctl;
use nix::sys::signal::{kill, Signal};
use nix::sys::wait::{waitpid, WaitPidFlag, WaitStatus};
use nix::unistd::{getppid, Pid};

/// How a child ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    /// It returned this exit code.
    Code(i32),
    /// This signal ended it.
    Signal(i32),
}

impl fmt::Display for Ending {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Ending::Code(code) => write!(f, "exited with code {code}"),
            Ending::Signal(signal) => write!(f, "was ended by signal {signal}"),
        }
    }
}

/// Resident memory of this process in bytes (proc_pid_statm(5)); 0 when /proc does not tell.
pub fn resident_bytes() -> u64 {
    let statm = std::fs::read_to_string("/proc/self/statm").unwrap_or_default();
    let pages = statm.split_whitespace().nth(1);
    let pages: u64 = pages.and_then(|pages| pages.parse().ok()).unwrap_or(0);
    let page = nix::unistd::sysconf(nix::unistd::SysconfVar::PAGE_SIZE);
    pages
        * page
            .ok()
            .flatten()
            .and_then(|size| u64::try_from(size).ok())
            .unwrap_or(4096)
}

/// Asks the kernel to send SIGTERM when the parent dies, and says whether `supervisor` still is
/// the parent: one that died before the request was made would never be noticed.
pub fn follow(supervisor: u32) -> bool {
    if let Err(error) = prctl::set_pdeathsig(Signal::SIGTERM) {
        log::warn!("this role cannot be told when its supervisor dies: {error}");
    }
    u32::try_from(getppid().as_raw()) == Ok(supervisor)
}

/// Asks the kernel to kill this process when its parent dies.
pub fn die_with_parent() {
    if let Err(error) = prctl::set_pdeathsig(Signal::SIGKILL) {
        log::warn!("this process cannot be ended with its parent: {error}");
    }
}

/// The next child that has ended, adopted orphans included; `None` when there is none now.
pub fn reap() -> Option<(u32, Ending)> {
    loop {
        let (pid, ending) = match waitpid(None, Some(WaitPidFlag::WNOHANG)) {
            Ok(WaitStatus::Exited(pid, code)) => (pid, Ending::Code(code)),
            Ok(WaitStatus::Signaled(pid, signal, _)) => (pid, Ending::Signal(signal as i32)),
            Ok(WaitStatus::StillAlive) => return None,
            Ok(_) | Err(Errno::EINTR) => continue,
            Err(_) => return None,
        };
        if let Ok(pid) = u32::try_from(pid.as_raw()) {
            return Some((pid, ending));
        }
    }
}

/// Sends a signal to a child that has not been reaped; one that is gone is no error.
pub fn send(pid: u32, signal: Signal) {
    let Ok(pid) = i32::try_from(pid) else { return };
    if let Err(error) = kill(Pid::from_raw(pid), signal) {
        log::debug!("{signal} could not be sent to process {pid}: {error}");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_parent_is_the_supervisor() {
        let parent = u32::try_from(getppid().as_raw()).unwrap();
        assert!(follow(parent));
        assert!(!follow(std::process::id()));
        prctl::set_pdeathsig(None).unwrap();
    }

    #[test]
    fn endings_read_as_sentences() {
        assert_eq!(Ending::Code(3).to_string(), "exited with code 3");
        assert_eq!(Ending::Signal(9).to_string(), "was ended by signal 9");
    }
}
