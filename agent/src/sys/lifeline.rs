//! A socket pair that tells a supervisor at once when a role is dead.
//!
//! A killed role is reaped only after the kernel has taken down its hooks, which takes seconds.
//! The supervisor gives each role one end of a socket pair as its standard input; the role moves
//! it to a high descriptor at start ([`hold`]), and its end of file reaches the supervisor first.
//! A process that the role forks without exec must call [`release`], or it would keep the line up.

use std::fs::File;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::sync::Mutex;

use super::descriptor;

static HELD: Mutex<Option<OwnedFd>> = Mutex::new(None);

/// Both ends of a new line: the first stays with the supervisor and does not block, the second
/// becomes the standard input of the role.
pub fn pair() -> io::Result<(UnixStream, UnixStream)> {
    let (ours, theirs) = UnixStream::pair()?;
    ours.set_nonblocking(true)?;
    Ok((ours, theirs))
}

/// Takes the line from standard input, which becomes `/dev/null`; called once, by a supervised
/// role, before it opens anything.
pub fn hold() -> io::Result<()> {
    let line = descriptor::raise(nix::unistd::dup(io::stdin())?);
    nix::unistd::dup2_stdin(File::open("/dev/null")?)?;
    if let Ok(mut held) = HELD.lock() {
        *held = Some(line);
    }
    Ok(())
}

/// Lets go of the line; for children that were forked and not exec'ed.
pub fn release() {
    if let Ok(mut held) = HELD.lock() {
        *held = None;
    }
}
