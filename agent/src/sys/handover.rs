//! Telling the probes something by an ioctl(2) that no device knows, and random numbers for it.
//!
//! A message enters; whether anybody has seen it cannot be told.

use std::io;
use std::os::fd::AsRawFd;

use nix::errno::Errno;
use nix::libc;

/// Calls ioctl(2) with this command and each of the messages. The descriptor is a pipe of our own:
/// it is there when every standard stream is closed, and no driver gets to see the command.
///
/// # Errors
/// Those of pipe(2) and ioctl(2), but for `ENOTTY`, which is what a pipe answers.
pub fn send<const SIZE: usize>(
    command: u32,
    messages: impl Iterator<Item = [u8; SIZE]>,
) -> io::Result<()> {
    let (pipe, _writer) = io::pipe()?;
    for message in messages {
        // SAFETY: a pipe refuses the command without looking at the message, and what watches the
        // call reads at most the message's bytes, which live until it returns.
        let answer = unsafe { libc::ioctl(pipe.as_raw_fd(), command as _, message.as_ptr()) };
        match Errno::result(answer) {
            Ok(_) | Err(Errno::ENOTTY) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Ok(())
}

/// A random number; never waits.
///
/// # Errors
/// Those of getrandom(2).
pub fn random() -> io::Result<u32> {
    let mut bytes = [0; 4];
    // SAFETY: the kernel writes at most as many bytes as the array has.
    let count =
        unsafe { libc::getrandom(bytes.as_mut_ptr().cast(), bytes.len(), libc::GRND_NONBLOCK) };
    match Errno::result(count)? {
        4 => Ok(u32::from_ne_bytes(bytes)),
        _ => Err(io::ErrorKind::UnexpectedEof.into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nobody_has_to_listen() {
        send(0xdead_c001, [[0u8; 257]; 5].into_iter()).unwrap();
        // FIONREAD is known to pipes: whatever an ioctl answers is no error.
        send(libc::FIONREAD as u32, [[0u8; 8]].into_iter()).unwrap();
    }

    #[test]
    fn random_numbers_differ() {
        let numbers: Vec<u32> = (0..4).map(|_| random().unwrap()).collect();
        assert!(numbers.iter().any(|number| *number != numbers[0]));
    }
}
