//! Work in a forked child, for what would change or could hang this process.
//!
//! The work enters as a closure with a pipe to write to; the bytes that it wrote leave. The child
//! has until a deadline, is killed when it is late or says too much, and is reaped, unless the kernel
//! does not let go of it. Who may wait calls [`output_of`]; a loop calls [`start`] and asks the
//! [`Running`] child at every turn.
//!
//! A child holds nothing by which others tell that the parent lives: it closes all descriptors that
//! were raised ([`super::descriptor`]). It ends with its parent, and by its deadline without one.

use std::fs::{self, File};
use std::io::{self, Read};
use std::os::fd::{AsFd, AsRawFd};
use std::thread::sleep;
use std::time::{Duration, Instant};

use nix::fcntl::{fcntl, FcntlArg, OFlag};
use nix::poll::{poll, PollFd, PollFlags, PollTimeout};
use nix::sys::signal::{kill, Signal};
use nix::sys::wait::{waitpid, WaitPidFlag, WaitStatus};
use nix::unistd::{alarm, fork, getpid, getppid, pipe2, ForkResult, Pid};

use super::descriptor::HIGH;
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
    let parent = getpid();
    // SAFETY: the roles and commands have a single thread, so that no lock is held by a thread
    // that the child does not have. Tests have more: there the child does nothing but its work,
    // the allocator that musl has made ready for it in fork(2), and _exit.
    match unsafe { fork() }? {
        ForkResult::Child => {
            drop(output);
            be_child(work, &mut File::from(input), parent, patience)
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
        // The kernel may keep it in a call that no signal ends.
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

    /// Whether it has ended; then it is reaped. It may not have when [`Running::take`] gave up.
    pub fn is_gone(&mut self) -> bool {
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

fn be_child(
    work: &mut dyn FnMut(&mut File),
    input: &mut File,
    parent: Pid,
    patience: Duration,
) -> ! {
    let _ending = Ending;
    lifeline::release();
    close_raised(input.as_raw_fd());
    process::die_with_parent();
    // A parent that is stopped, or dies slowly, kills nobody.
    let seconds = patience.saturating_add(GRACE).as_secs();
    alarm::set(u32::try_from(seconds).unwrap_or(u32::MAX));
    // One that died before it was followed would not be noticed.
    if getppid() == parent {
        work(input);
    }
    // SAFETY: as in `Ending`.
    unsafe { libc::_exit(0) }
}

/// Closes all raised descriptors but one.
fn close_raised(kept: i32) {
    let above = kept.saturating_add(1).max(HIGH);
    for (first, last) in [(HIGH, kept.saturating_sub(1)), (above, i32::MAX)] {
        if first <= last && !close_range(first, last) {
            return close_each(kept);
        }
    }
}

/// Closes what is open between two numbers; false before Linux 5.9.
fn close_range(first: i32, last: i32) -> bool {
    // SAFETY: the call takes numbers only. Owners of what it closes exist in this child, too, but
    // nothing uses or drops them: it does its work, which was given none of them, and ends.
    unsafe { libc::syscall(libc::SYS_close_range, first, last, 0) == 0 }
}

fn close_each(kept: i32) {
    let entries = fs::read_dir("/proc/self/fd").into_iter().flatten();
    let names = entries.flatten().map(|entry| entry.file_name());
    let numbers = names.filter_map(|name| name.to_str()?.parse().ok());
    let raised: Vec<i32> = numbers.filter(|one| *one >= HIGH && *one != kept).collect();
    for descriptor in raised {
        // SAFETY: as in `close_range`.
        unsafe { libc::close(descriptor) };
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sys::descriptor;
    use std::io::Write;
    use std::os::fd::IntoRawFd;

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

    /// In a child: whether its copies of two raised descriptors are open, before and after the older
    /// way of closing them, and whether it has a deadline.
    fn look_at_itself(out: &mut File, raised: [i32; 2]) -> Option<()> {
        // SAFETY: asking for the flags of a number changes nothing, whether it is open or not.
        let is_open = |one: i32| unsafe { libc::fcntl(one, libc::F_GETFD) } >= 0;
        let before = raised.map(is_open);
        let null = File::open("/dev/null").ok()?;
        // Owned by nobody, since it is closed below.
        let number = descriptor::raise(null.into()).into_raw_fd();
        write!(out, "{before:?} {}", is_open(number)).ok()?;
        close_each(out.as_raw_fd());
        write!(out, " {} {}", is_open(number), alarm::cancel().is_some()).ok()
    }

    #[test]
    fn a_child_holds_nothing_that_was_raised_and_has_a_deadline() {
        let raise = || descriptor::raise(File::open("/dev/null").unwrap().into());
        let raised = [raise(), raise()];
        let numbers = [raised[0].as_raw_fd(), raised[1].as_raw_fd()];
        let mut work = |out: &mut File| {
            let _ = look_at_itself(out, numbers);
        };
        let bytes = output_of(&mut work, 100, LONG).unwrap();
        let text = String::from_utf8(bytes).unwrap();
        assert_eq!(text, "[false, false] true false true");
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
