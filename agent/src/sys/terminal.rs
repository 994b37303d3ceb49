//! Standard output and standard error: what they are, and writing to them without waiting.
//!
//! A loop must not stop because a pager was paused or a log collector hangs. Output goes out in
//! pieces that the kernel takes whole whenever it says that there is room; what it has no room for
//! stays with the caller. Text of strangers passes through [`printable`] first.

use std::borrow::Cow;
use std::fmt::Write as _;
use std::io::{self, IsTerminal};
use std::os::fd::{AsFd, BorrowedFd};

use nix::poll::{poll, PollFd, PollFlags, PollTimeout};

/// A descriptor that polls as writable takes this many bytes without blocking (`PIPE_BUF`).
const PIECE: usize = 4096;

/// Whether people read standard output.
pub fn stdout_is_terminal() -> bool {
    io::stdout().is_terminal()
}

/// Writes as much as goes without waiting; returns the number of bytes written, which is 0 when
/// there is no room at all. Errors are those of write(2), `EPIPE` among them.
pub fn write_some(descriptor: BorrowedFd<'_>, bytes: &[u8]) -> io::Result<usize> {
    let mut written = 0;
    for piece in bytes.chunks(PIECE) {
        if !writable(descriptor)? {
            break;
        }
        let count = match nix::unistd::write(descriptor.as_fd(), piece) {
            Ok(count) => count,
            Err(nix::errno::Errno::EAGAIN | nix::errno::Errno::EINTR) => 0,
            Err(error) => return Err(error.into()),
        };
        written += count;
        if count < piece.len() {
            break;
        }
    }
    Ok(written)
}

fn writable(descriptor: BorrowedFd<'_>) -> io::Result<bool> {
    let mut waiting = [PollFd::new(descriptor, PollFlags::POLLOUT)];
    match poll(&mut waiting, PollTimeout::ZERO) {
        Ok(count) => Ok(count > 0),
        Err(nix::errno::Errno::EINTR) => Ok(false),
        Err(error) => Err(error.into()),
    }
}

/// The text without anything that a terminal would obey: control characters, and those that
/// change the direction of text, become `\u{…}`.
pub fn printable(text: &str) -> Cow<'_, str> {
    if !text.chars().any(is_command) {
        return Cow::Borrowed(text);
    }
    let mut clean = String::with_capacity(text.len() + 8);
    for character in text.chars() {
        if is_command(character) {
            let _ = write!(clean, "{}", character.escape_unicode());
        } else {
            clean.push(character);
        }
    }
    Cow::Owned(clean)
}

/// Whether a terminal would obey the character, or turn around what follows.
pub fn is_command(character: char) -> bool {
    character.is_control()
        || matches!(character, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{2028}' | '\u{2029}')
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Read;

    #[test]
    fn control_characters_do_not_reach_a_terminal() {
        let cases = [
            ("/tmp/ordinary name", "/tmp/ordinary name"),
            ("/tmp/\u{1b}[2J", "/tmp/\\u{1b}[2J"),
            ("a\nb\u{202e}c", "a\\u{a}b\\u{202e}c"),
            ("größe", "größe"),
        ];
        for (text, expected) in cases {
            assert_eq!(printable(text), expected);
        }
    }

    #[test]
    fn a_full_pipe_takes_nothing_and_does_not_wait() {
        let (mut reader, writer) = io::pipe().unwrap();
        let block = vec![b'x'; 1 << 20];
        let first = write_some(writer.as_fd(), &block).unwrap();
        assert!(first >= PIECE && first < block.len());
        assert_eq!(write_some(writer.as_fd(), &block).unwrap(), 0);
        let mut taken = vec![0; first];
        reader.read_exact(&mut taken).unwrap();
        assert!(write_some(writer.as_fd(), &block).unwrap() >= PIECE);
    }
}
