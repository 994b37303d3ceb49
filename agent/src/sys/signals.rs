//! Signals as readable events of a loop.
//!
//! The signals of a role are blocked and read from a signalfd(2), so nothing runs in a handler.
//! Children inherit the mask, so every process of ours begins with [`unblock_all`]. Register
//! [`Signals`] with mio as an event source and call [`Signals::next`] until it returns `None`.

use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};

use mio::unix::SourceFd;
use mio::{event::Source, Interest, Registry, Token};
use nix::sys::signal::SigSet;
pub use nix::sys::signal::Signal;
use nix::sys::signalfd::{SfdFlags, SignalFd};

/// Lets every signal through again. A signal that came while a parent's mask held it back is
/// delivered at once, which ends the process as it would have before.
pub fn unblock_all() {
    if let Err(error) = SigSet::empty().thread_set_mask() {
        log::debug!("the inherited signal mask stays: {error}");
    }
}

/// Blocked signals, waiting to be read.
#[derive(Debug)]
pub struct Signals {
    descriptor: SignalFd,
}

impl Signals {
    /// Blocks these signals in this thread and starts to collect them.
    pub fn block(signals: &[Signal]) -> io::Result<Signals> {
        let mask = SigSet::from_iter(signals.iter().copied());
        mask.thread_block()?;
        let flags = SfdFlags::SFD_NONBLOCK | SfdFlags::SFD_CLOEXEC;
        Ok(Signals {
            descriptor: SignalFd::with_flags(&mask, flags)?,
        })
    }

    /// The next signal that has come; never blocks.
    pub fn next(&self) -> Option<Signal> {
        loop {
            let info = self.descriptor.read_signal().ok().flatten()?;
            let number = i32::try_from(info.ssi_signo).unwrap_or(0);
            if let Ok(signal) = Signal::try_from(number) {
                return Some(signal);
            }
        }
    }
}

/// For polling without mio.
impl AsFd for Signals {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.descriptor.as_fd()
    }
}

impl Source for Signals {
    fn register(
        &mut self,
        registry: &Registry,
        token: Token,
        interest: Interest,
    ) -> io::Result<()> {
        SourceFd(&self.descriptor.as_raw_fd()).register(registry, token, interest)
    }

    fn reregister(
        &mut self,
        registry: &Registry,
        token: Token,
        interest: Interest,
    ) -> io::Result<()> {
        SourceFd(&self.descriptor.as_raw_fd()).reregister(registry, token, interest)
    }

    fn deregister(&mut self, registry: &Registry) -> io::Result<()> {
        SourceFd(&self.descriptor.as_raw_fd()).deregister(registry)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use nix::sys::signal::raise;

    #[test]
    fn a_blocked_signal_is_read_once() {
        let signals = Signals::block(&[Signal::SIGUSR2]).unwrap();
        assert_eq!(signals.next(), None);
        raise(Signal::SIGUSR2).unwrap();
        assert_eq!(signals.next(), Some(Signal::SIGUSR2));
        assert_eq!(signals.next(), None);
        unblock_all();
        assert_eq!(SigSet::thread_get_mask().unwrap(), SigSet::empty());
    }
}
