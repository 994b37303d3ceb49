//! One connection of a unix socket: lines in, lines out, both bounded, never blocking.
//!
//! Bytes enter from the socket and leave to it; lines are taken from here and queued here.

use std::io::{self, IoSlice, Read, Write};

use mio::net::UnixStream;

use crate::sys::socket::Credentials;

/// Bytes read at once.
const PIECE: usize = 4096;

/// What reading found.
#[derive(Debug, PartialEq, Eq)]
pub enum Input {
    /// A whole line, without its newline.
    Line(String),
    /// Nothing more for now.
    Nothing,
    /// The peer sends nothing any more; it may still read.
    Ended,
    /// The connection broke, or the peer sent more than a line may have.
    Closed,
}

/// A peer, with what it has sent and what it will get.
#[derive(Debug)]
pub struct Connection {
    stream: UnixStream,
    /// Who it is.
    pub credentials: Credentials,
    incoming: Vec<u8>,
    longest_line: usize,
    outgoing: Vec<u8>,
    sent: usize,
    limit: usize,
}

impl Connection {
    /// A connection whose lines have at most `longest_line` bytes, and for which at most `limit`
    /// bytes wait to be sent.
    pub fn new(
        stream: UnixStream,
        credentials: Credentials,
        longest_line: usize,
        limit: usize,
    ) -> Connection {
        Connection {
            stream,
            credentials,
            incoming: Vec::new(),
            longest_line,
            outgoing: Vec::new(),
            sent: 0,
            limit,
        }
    }

    /// A connection to ourselves, and its other end: what an admitted peer would have.
    pub fn pair(
        credentials: Credentials,
        (longest_line, limit): (usize, usize),
    ) -> io::Result<(Connection, std::os::unix::net::UnixStream)> {
        let (ours, theirs) = std::os::unix::net::UnixStream::pair()?;
        ours.set_nonblocking(true)?;
        let stream = UnixStream::from_std(ours);
        let connection = Connection::new(stream, credentials, longest_line, limit);
        Ok((connection, theirs))
    }

    /// For registration.
    pub fn stream(&mut self) -> &mut UnixStream {
        &mut self.stream
    }

    /// The socket alone, for who goes on with it without lines.
    pub fn into_stream(self) -> UnixStream {
        self.stream
    }

    /// The next line that has arrived.
    pub fn next_line(&mut self) -> Input {
        loop {
            if let Some(end) = self.incoming.iter().position(|byte| *byte == b'\n') {
                let rest = self.incoming.split_off(end + 1);
                let mut line = std::mem::replace(&mut self.incoming, rest);
                line.truncate(end);
                return Input::Line(String::from_utf8_lossy(&line).into_owned());
            }
            if self.incoming.len() > self.longest_line {
                return Input::Closed;
            }
            let mut piece = [0; PIECE];
            match self.stream.read(&mut piece) {
                Ok(0) => return Input::Ended,
                Ok(read) => self.incoming.extend(piece.iter().take(read)),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Input::Nothing,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(_) => return Input::Closed,
            }
        }
    }

    /// Whether part of a line has come.
    pub fn has_part(&self) -> bool {
        !self.incoming.is_empty()
    }

    /// Bytes that wait to be sent.
    pub fn waiting(&self) -> usize {
        self.outgoing.len() - self.sent
    }

    /// Queues pieces of a line; returns false, and queues nothing, when there is no room.
    pub fn queue(&mut self, pieces: &[&str]) -> bool {
        let length: usize = pieces.iter().map(|piece| piece.len()).sum();
        if self.waiting() + length > self.limit {
            return false;
        }
        if self.sent > 0 && self.sent == self.outgoing.len() {
            self.outgoing.clear();
            self.sent = 0;
        }
        for piece in pieces {
            self.outgoing.extend_from_slice(piece.as_bytes());
        }
        true
    }

    /// Sends what waits, as far as the peer takes it; an error means that it is gone.
    pub fn flush(&mut self) -> io::Result<()> {
        while let Some(rest) = self
            .outgoing
            .get(self.sent..)
            .filter(|rest| !rest.is_empty())
        {
            match self.stream.write(rest) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(written) => self.sent += written,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    self.compact();
                    return Ok(());
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        self.outgoing.clear();
        self.sent = 0;
        self.outgoing.shrink_to(16 << 10);
        Ok(())
    }

    /// Sends pieces that belong to others, as far as the peer takes them; returns how many bytes
    /// it took, 0 when it takes none now. To be called with nothing waiting. An error means that
    /// the peer is gone.
    pub fn send(&mut self, pieces: &[IoSlice<'_>]) -> io::Result<usize> {
        loop {
            match self.stream.write_vectored(pieces) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(written) => return Ok(written),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(0),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
    }

    /// Queues the rest of a line that was sent in part; there is always room for it.
    pub fn queue_rest(&mut self, rest: &[u8]) {
        self.outgoing.extend_from_slice(rest);
    }

    /// Moves the unsent rest to the front once the sent part outweighs it.
    fn compact(&mut self) {
        if self.sent > self.outgoing.len() / 2 {
            self.outgoing.drain(..self.sent);
            self.sent = 0;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pair(longest: usize, limit: usize) -> (Connection, std::os::unix::net::UnixStream) {
        let credentials = Credentials {
            pid: 1,
            uid: 0,
            gid: 0,
            groups: Vec::new(),
        };
        Connection::pair(credentials, (longest, limit)).unwrap()
    }

    #[test]
    fn lines_come_whole_and_bounded() {
        let (mut connection, mut peer) = pair(10, 100);
        peer.write_all(b"one\ntw").unwrap();
        assert_eq!(connection.next_line(), Input::Line("one".into()));
        assert_eq!(connection.next_line(), Input::Nothing);
        peer.write_all(b"o\n").unwrap();
        assert_eq!(connection.next_line(), Input::Line("two".into()));
        peer.write_all(b"much too long a line").unwrap();
        assert_eq!(connection.next_line(), Input::Closed);
    }

    #[test]
    fn what_finds_no_room_is_refused_whole() {
        let (mut connection, mut peer) = pair(10, 8);
        assert!(connection.queue(&["abc", "\n"]));
        assert!(!connection.queue(&["12345", "\n"]));
        connection.flush().unwrap();
        assert!(connection.queue(&["12345", "\n"]));
        connection.flush().unwrap();
        let mut read = [0; 10];
        peer.read_exact(&mut read).unwrap();
        assert_eq!(&read, b"abc\n12345\n");
    }
}
