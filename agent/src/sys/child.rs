//! Work in a forked child, for what would change or could hang this process.
//!
//! The work enters as a closure with a pipe to write to; the bytes that it wrote leave. The child
//! has until a deadline, is killed when it is late or says too much, and is reaped, unless the kernel
//! does not let go of it.

use std::fs::File;
use std::io::{self, Read};
use std::os::fd::AsFd;
use std::thread::sleep;
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::fcntl::OFlag;
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
    let (output, input) = pipe2(OFlag::O_CLOEXEC)?;
    // SAFETY: the roles and commands have a single thread, so that no lock is held by a thread
    // that the child does not have. Tests have more: there the child does nothing but its work,
    // the allocator that musl has made ready for it in fork(2), and _exit.
    match unsafe { fork() }? {
        ForkResult::Child => {
            drop(output);
            be_child(work, &mut File::from(input))
        }
        ForkResult::Parent { child } => {
            drop(input);
            let result = read_until(&mut File::from(output), limit, Instant::now() + patience);
            if result.is_err() {
                // It has not been reaped, so the number is still its own.
                let _ = kill(child, Signal::SIGKILL);
            }
            reap(child, Instant::now() + GRACE);
            result
        }
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

fn read_until(output: &mut File, limit: usize, deadline: Instant) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    let mut piece = vec![0; PIECE];
    loop {
        wait_readable(output, deadline)?;
        let count = output.read(&mut piece)?;
        if count == 0 {
            return Ok(bytes);
        }
        if bytes.len() + count > limit {
            return Err(io::ErrorKind::FileTooLarge.into());
        }
        bytes.extend_from_slice(piece.get(..count).unwrap_or_default());
    }
}

fn wait_readable(output: &File, deadline: Instant) -> io::Result<()> {
    loop {
        let left = deadline.saturating_duration_since(Instant::now());
        let left = PollTimeout::try_from(left).unwrap_or(PollTimeout::MAX);
        match poll(&mut [PollFd::new(output.as_fd(), PollFlags::POLLIN)], left) {
            Ok(0) => return Err(io::ErrorKind::TimedOut.into()),
            Err(Errno::EINTR) => {}
            Ok(_) => return Ok(()),
            Err(error) => return Err(error.into()),
        }
    }
}

/// Waits for the end of a child that has closed its pipe or was killed. One that the kernel keeps
/// in a call that no signal ends is left to whoever is pid 1 after us.
fn reap(child: Pid, deadline: Instant) {
    loop {
        match waitpid(child, Some(WaitPidFlag::WNOHANG)) {
            Ok(WaitStatus::StillAlive) if Instant::now() < deadline => sleep(PAUSE),
            Err(Errno::EINTR) => {}
            // Somebody who collects all children may have been faster.
            _ => return,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    const LONG: Duration = Duration::from_secs(60);

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
        let mut work = |_: &mut File| loop {
            std::thread::sleep(LONG);
        };
        let error = output_of(&mut work, 4, Duration::from_millis(50)).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
    }
}
