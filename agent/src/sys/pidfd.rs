//! Process descriptors: a process that cannot become another one between a look and a signal.
//!
//! `pidfd_open(2)` is in Linux 5.3 and later, `pidfd_send_signal(2)` in 5.1 and later; nix has
//! neither.

use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};

/// A descriptor of one process, living or a zombie.
#[derive(Debug)]
pub struct PidFd(OwnedFd);

impl PidFd {
    /// Opens the process that has this id now.
    pub fn open(pid: u32) -> io::Result<PidFd> {
        let pid = libc::pid_t::try_from(pid).map_err(|_| io::ErrorKind::InvalidInput)?;
        // SAFETY: pidfd_open takes a pid and flags, both plain numbers; it touches no memory of
        // ours. The kernel sets close-on-exec itself.
        let result = unsafe { libc::syscall(libc::SYS_pidfd_open, pid, 0) };
        let descriptor = i32::try_from(result).map_err(|_| io::ErrorKind::InvalidData)?;
        if descriptor < 0 {
            return Err(io::Error::last_os_error());
        }
        // SAFETY: the call succeeded, so the descriptor is open and nobody else owns it.
        Ok(PidFd(unsafe { OwnedFd::from_raw_fd(descriptor) }))
    }

    /// Sends a signal to exactly this process; ESRCH when it has ended.
    pub fn signal(&self, signal: i32) -> io::Result<()> {
        let no_information: *const libc::siginfo_t = std::ptr::null();
        // SAFETY: the descriptor is open for the whole call. A null siginfo is allowed and means
        // what kill(2) would send; the other arguments are plain numbers.
        let result = unsafe {
            libc::syscall(
                libc::SYS_pidfd_send_signal,
                self.0.as_raw_fd(),
                signal,
                no_information,
                0,
            )
        };
        match result {
            0 => Ok(()),
            _ => Err(io::Error::last_os_error()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::process::ExitStatusExt;
    use std::process::Command;

    #[test]
    fn a_signal_reaches_the_process_and_no_other() {
        let mut child = Command::new("sleep").arg("60").spawn().unwrap();
        let descriptor = PidFd::open(child.id()).unwrap();
        descriptor.signal(0).unwrap();
        descriptor.signal(libc::SIGKILL).unwrap();
        assert_eq!(child.wait().unwrap().signal(), Some(libc::SIGKILL));
        let error = descriptor.signal(libc::SIGKILL).unwrap_err();
        assert_eq!(error.raw_os_error(), Some(libc::ESRCH));
        assert!(PidFd::open(u32::MAX).is_err());
    }
}
