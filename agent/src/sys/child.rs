//! Work in a forked child, for what would change or could hang this process.
//!
//! The work enters as a closure with a pipe to write to; the bytes that it wrote leave. The child
//! has until a deadline, is killed when it is late or says too much, and is reaped, unless the kernel
//! does not let go of it. Who may wait calls [`output_of`]; a loop calls [`start`] and asks the
//! [`Running`] child at every turn.

use std::fs::File;
use std::io::{self, Read};
use std::os::fd::AsFd;
use std::thread::sleep;
use std::time::{Duration, Instant};

use nix::fcntl::{fcntl, FcntlArg, OFlag};
use nix::poll::{poll, PollFd, PollFlags, PollTimeout};
use nix::sys::signal::{kill, Signal};
use nix::sys::wait::{waitpid, WaitPidFlag, WaitStatus};
use nix::unistd::{fork, pipe2, ForkResult, Pid};

use super::{lifeline, process};

/// Bytes that are read at once.
const PIECE: usize = 16 << 10;
/// How long a child that is done, or was killed, may take to be gone.
const GRACE: Duration = Duration::from_secs(2);
/// Between two looks whether it is.
const PAUSE: Duration = Duration::from_millis(1);

/// Does `work` in a child and returns what it wrote, at most `limit` bytes.
///
/// # Errors
/// Those of fork(2) and pipe(2); `TimedOut` when the child was not done within `patience`;
/// `FileTooLarge` when it wrote more.
pub fn output_of(
    work: &mut dyn FnMut(&mut File),
    limit: usize,
    patience: Duration,
) -> io::Result<Vec<u8>> {
    let mut running = start(work, limit, patience)?;
    loop {
        if let Some(result) = running.take() {
            return result;
        }
        running.wait();
    }
}

/// Begins `work` in a child and returns at once; the limits are those of [`output_of`].
///
/// # Errors
/// Those of fork(2) and pipe(2).
pub fn start(
    work: &mut dyn FnMut(&mut File),
    limit: usize,
    patience: Duration,
) -> io::Result<Running> {
    let (output, input) = pipe2(OFlag::O_CLOEXEC)?;
    // The child's end is another open file and still waits.
    fcntl(&output, FcntlArg::F_SETFL(OFlag::O_NONBLOCK))?;
    // SAFETY: the roles and commands have a single thread, so that no lock is held by a thread
    // that the child does not have. Tests have more: there the child does nothing but its work,
    // the allocator that musl has made ready for it in fork(2), and _exit.
    match unsafe { fork() }? {
        ForkResult::Child => {
            drop(output);
            be_child(work, &mut File::from(input))
        }
        ForkResult::Parent { child } => Ok(Running {
            child,
            output: File::from(output),
            bytes: Vec::new(),
            limit,
            deadline: Instant::now() + patience,
            ending: None,
            is_reaped: false,
        }),
    }
}

/// A child at work. Dropping it ends the child.
#[derive(Debug)]
pub struct Running {
    child: Pid,
    output: File,
    bytes: Vec<u8>,
    limit: usize,
    deadline: Instant,
    /// How its output ended, and until when it may take to be gone.
    ending: Option<(io::Result<()>, Instant)>,
    is_reaped: bool,
}

impl Running {
    /// Its process id.
    pub fn pid(&self) -> u32 {
        self.child.as_raw().unsigned_abs()
    }

    /// Reads what there is, without waiting; once the child is done and gone, all that it wrote or
    /// the errors of [`output_of`]. Not to be called again after that.
    pub fn take(&mut self) -> Option<io::Result<Vec<u8>>> {
        let now = Instant::now();
        if self.ending.is_none() {
            let result = self.read(now)?;
            if result.is_err() {
                self.send_kill();
            }
            self.ending = Some((result, now + GRACE));
        }
        let is_late = self.ending.as_ref().is_some_and(|(_, until)| now >= *until);
        // One that the kernel keeps in a call that no signal ends is left to whoever is pid 1
        // after us.
        if !self.is_gone() && !is_late {
            return None;
        }
        let (result, _) = self.ending.take()?;
        Some(result.map(|()| std::mem::take(&mut self.bytes)))
    }

    /// Ends the child early: [`Running::take`] tells when it is gone, with `Interrupted`.
    pub fn end(&mut self) {
        if self.ending.is_none() {
            self.send_kill();
            let result = Err(io::ErrorKind::Interrupted.into());
            self.ending = Some((result, Instant::now() + GRACE));
        }
    }

    /// Waits until [`Running::take`] may have something new to do.
    fn wait(&self) {
        let left = self.deadline.saturating_duration_since(Instant::now());
        let left = PollTimeout::try_from(left).unwrap_or(PollTimeout::MAX);
        let mut output = [PollFd::new(self.output.as_fd(), PollFlags::POLLIN)];
        if self.ending.is_some() || poll(&mut output, left).is_err() {
            sleep(PAUSE);
        }
    }

    /// Reads until nothing is there; `None` while more may come.
    fn read(&mut self, now: Instant) -> Option<io::Result<()>> {
        let mut piece = [0; PIECE];
        loop {
            match self.output.read(&mut piece) {
                Ok(0) => return Some(Ok(())),
                Ok(count) if self.bytes.len() + count > self.limit => {
                    return Some(Err(io::ErrorKind::FileTooLarge.into()));
                }
                Ok(count) => self
                    .bytes
                    .extend_from_slice(piece.get(..count).unwrap_or_default()),
                Err(error) => match error.kind() {
                    io::ErrorKind::Interrupted => {}
                    io::ErrorKind::WouldBlock if now < self.deadline => return None,
                    io::ErrorKind::WouldBlock => {
                        return Some(Err(io::ErrorKind::TimedOut.into()));
                    }
                    _ => return Some(Err(error)),
                },
            }
        }
    }

    /// Whether it has ended; then it is reaped.
    fn is_gone(&mut self) -> bool {
        if !self.is_reaped {
            let status = waitpid(self.child, Some(WaitPidFlag::WNOHANG));
            // Somebody who collects all children may have been faster.
            self.is_reaped = !matches!(status, Ok(WaitStatus::StillAlive));
        }
        self.is_reaped
    }

    fn send_kill(&self) {
        if !self.is_reaped {
            // It has not been reaped, so the number is still its own.
            let _ = kill(self.child, Signal::SIGKILL);
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.send_kill();
        self.is_gone();
    }
}

/// Ends the process when it is dropped, also by a panic: nothing that the parent owns may be
/// cleaned up a second time.
struct Ending;

impl Drop for Ending {
    fn drop(&mut self) {
        // SAFETY: _exit takes a number and ends the process without touching its memory.
        unsafe { libc::_exit(0) };
    }
}

fn be_child(work: &mut dyn FnMut(&mut File), input: &mut File) -> ! {
    let _ending = Ending;
    lifeline::release();
    process::die_with_parent();
    work(input);
    // SAFETY: as in `Ending`.
    unsafe { libc::_exit(0) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    const LONG: Duration = Duration::from_secs(60);

    fn hang(_: &mut File) {
        loop {
            sleep(LONG);
        }
    }

    #[test]
    fn what_the_child_writes_arrives() {
        let mut work = |out: &mut File| out.write_all(&[7; 100_000]).unwrap();
        let bytes = output_of(&mut work, 100_000, LONG).unwrap();
        assert_eq!(bytes, [7; 100_000]);
    }

    #[test]
    fn a_child_that_says_too_much_is_ended() {
        let mut work = |out: &mut File| while out.write_all(&[7; 4_096]).is_ok() {};
        let error = output_of(&mut work, 10_000, LONG).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::FileTooLarge);
    }

    #[test]
    fn a_child_that_hangs_is_killed_and_reaped() {
        let error = output_of(&mut hang, 4, Duration::from_millis(50)).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
    }

    #[test]
    fn a_running_child_is_asked_without_waiting() {
        let mut running = start(&mut hang, 4, LONG).unwrap();
        assert!(running.take().is_none());
        running.end();
        let result = loop {
            match running.take() {
                Some(result) => break result,
                None => running.wait(),
            }
        };
        assert_eq!(result.unwrap_err().kind(), io::ErrorKind::Interrupted);
        assert!(running.is_reaped);
    }

    #[test]
    fn a_dropped_child_is_ended() {
        let running = start(&mut hang, 4, LONG).unwrap();
        let child = running.child;
        drop(running);
        // Either it was reaped at once, or it ends now.
        assert!(!matches!(
            waitpid(child, None),
            Ok(WaitStatus::Exited(_, _))
        ));
    }
}
