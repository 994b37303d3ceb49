//! A program that talks with somebody at a pseudo terminal, which is its controlling terminal:
//! what it shows is read all the time, keys are pressed as a test says.

use std::fs::{File, OpenOptions};
use std::io::{Read, Write};
use std::os::fd::AsFd;
use std::os::unix::fs::OpenOptionsExt;
use std::process::{Child, Command, ExitStatus};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};

use nix::fcntl::OFlag;
use nix::pty::{grantpt, posix_openpt, ptsname_r, unlockpt};
use nix::sys::signal::{SigSet, SigmaskHow};

use crate::report::{Failure, Outcome};
use crate::scratch::{patience, wait_for};

/// End of file, when typed at the start of a line.
pub(crate) const CONTROL_D: &str = "\u{4}";
/// The key that interrupts.
pub(crate) const CONTROL_C: &str = "\u{3}";

/// A running program and its terminal; killed when dropped.
pub(crate) struct Conversation {
    child: Child,
    keyboard: File,
    screen: Arc<Mutex<Vec<u8>>>,
    reading: JoinHandle<()>,
    /// Bytes of the screen that were looked at.
    seen: usize,
}

impl Conversation {
    /// Starts a command at a new terminal. setsid makes the terminal the program's own, so that
    /// keys can interrupt it, and leaves its process id as it is.
    pub(crate) fn start(command: &Command) -> Result<Conversation, Failure> {
        let mut master = posix_openpt(OFlag::O_RDWR | OFlag::O_NOCTTY | OFlag::O_CLOEXEC)?;
        grantpt(&master)?;
        unlockpt(&master)?;
        let slave = OpenOptions::new()
            .read(true)
            .write(true)
            .custom_flags(OFlag::O_NOCTTY.bits())
            .open(ptsname_r(&master)?)?;
        let mut own = Command::new("setsid");
        own.arg("-c")
            .arg(command.get_program())
            .args(command.get_args())
            .stdin(slave.try_clone()?)
            .stdout(slave.try_clone()?)
            .stderr(slave);
        for (name, value) in command.get_envs() {
            match value {
                Some(value) => own.env(name, value),
                None => own.env_remove(name),
            };
        }
        // What the guard blocks stays blocked in programs that the tests start, and keys are for those.
        let blocked = SigSet::empty().thread_swap_mask(SigmaskHow::SIG_SETMASK)?;
        let child = own.spawn();
        blocked.thread_set_mask()?;
        let child = child?;
        // The command keeps the terminal's other end open; without it the reader never ends.
        drop(own);
        let keyboard = File::from(master.as_fd().try_clone_to_owned()?);
        let screen = Arc::new(Mutex::new(Vec::new()));
        let shown = Arc::clone(&screen);
        let reading = thread::spawn(move || {
            let mut piece = [0; 4096];
            // Fails when the last program has closed the other end.
            while let Ok(size @ 1..) = master.read(&mut piece) {
                let bytes = piece.get(..size).unwrap_or_default();
                let mut shown = shown.lock().unwrap_or_else(PoisonError::into_inner);
                shown.extend_from_slice(bytes);
            }
        });
        Ok(Conversation {
            child,
            keyboard,
            screen,
            reading,
            seen: 0,
        })
    }

    /// What has been shown so far.
    pub(crate) fn text(&self) -> String {
        let bytes = self.screen.lock().unwrap_or_else(PoisonError::into_inner);
        String::from_utf8_lossy(&bytes).into_owned()
    }

    /// Waits for this text behind what was waited for before.
    pub(crate) fn expect(&mut self, wanted: &str, seconds: u64) -> Outcome {
        let seen = self.seen;
        let found = wait_for(patience(seconds), || {
            let bytes = self.screen.lock().unwrap_or_else(PoisonError::into_inner);
            let new = bytes.get(seen..).unwrap_or_default();
            let mut parts = new.windows(wanted.len());
            parts.position(|part| part == wanted.as_bytes())
        });
        match found {
            Some(at) => {
                self.seen = seen + at + wanted.len();
                Ok(())
            }
            None => Err(Failure::Failed(format!(
                "{wanted:?} is not shown: {:?}",
                self.text()
            ))),
        }
    }

    /// Presses these keys.
    pub(crate) fn press(&mut self, keys: &str) -> Outcome {
        Ok(self.keyboard.write_all(keys.as_bytes())?)
    }

    /// Waits for the program's end; how it ended and all that was shown.
    pub(crate) fn end(mut self, seconds: u64) -> Result<(ExitStatus, String), Failure> {
        let status = wait_for(patience(seconds), || self.child.try_wait().ok().flatten());
        let status = status.ok_or_else(|| format!("it has not ended: {:?}", self.text()))?;
        // The last words may still be on their way.
        wait_for(patience(seconds), || {
            self.reading.is_finished().then_some(())
        });
        Ok((status, self.text()))
    }
}

impl Drop for Conversation {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
