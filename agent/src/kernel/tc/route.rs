//! The talk with rtnetlink: one request, all its answers.
//!
//! A [`Route`] belongs to the network namespace that the process was in when it was opened. The
//! kind and body of a request enter, the bytes of its answers leave; what they mean is in
//! `message`. Waiting and memory are bounded.

use std::io;
use std::os::fd::{AsRawFd, OwnedFd};

use nix::errno::Errno;
use nix::sys::socket::{
    recv, send, setsockopt, socket, sockopt, AddressFamily, MsgFlags, SockFlag, SockProtocol,
    SockType,
};
use nix::sys::time::TimeVal;

use super::message::{self, Message, Messages, DONE, DUMP, ERROR, INTERRUPTED};

/// The kernel's dumps come in pieces of at most 32 KiB, single large messages excepted.
const ROOM: usize = 128 << 10;
/// How often a dump is begun that the kernel interrupts because its tables changed.
const TRIES: u32 = 5;
/// Seconds until an answer must have come.
const PATIENCE: i64 = 3;
/// Bytes of one dump: some thousand interfaces.
pub(super) const LONGEST_DUMP: usize = 8 << 20;

/// An rtnetlink socket.
pub(super) struct Route {
    socket: OwnedFd,
    sequence: u32,
    buffer: Vec<u8>,
}

impl Route {
    /// A socket in the network namespace of this thread.
    pub(super) fn open() -> io::Result<Route> {
        let socket = socket(
            AddressFamily::Netlink,
            SockType::Raw,
            SockFlag::SOCK_CLOEXEC,
            SockProtocol::NetlinkRoute,
        )?;
        setsockopt(&socket, sockopt::ReceiveTimeout, &TimeVal::new(PATIENCE, 0))?;
        Ok(Route {
            socket,
            sequence: 0,
            buffer: vec![0; ROOM],
        })
    }

    /// Asks for a table and returns all its messages.
    pub(super) fn dump(&mut self, kind: u16, body: &[u8]) -> io::Result<Vec<u8>> {
        for _ in 0..TRIES {
            if let Some(answer) = self.ask(kind, DUMP, body)? {
                return Ok(answer);
            }
        }
        Err(io::Error::other(
            "the tables of the kernel kept changing while they were read; try again",
        ))
    }

    /// Sends a request, which must be one that the kernel answers or acknowledges, and returns
    /// all messages of the answer; `None` when the tables changed meanwhile.
    pub(super) fn ask(
        &mut self,
        kind: u16,
        flags: u16,
        body: &[u8],
    ) -> io::Result<Option<Vec<u8>>> {
        self.sequence += 1;
        let message = Message {
            kind,
            flags,
            sequence: self.sequence,
            body,
        };
        let mut request = Vec::new();
        message::write(&mut request, &message);
        send(self.socket.as_raw_fd(), &request, MsgFlags::empty())?;
        let mut answer = Vec::new();
        let mut interrupted = false;
        loop {
            let count = self.receive()?;
            let datagram = self.buffer.get(..count).unwrap_or_default();
            // Answers to a request that timed out may still come.
            if Messages(datagram).any(|message| message.sequence != self.sequence) {
                continue;
            }
            if answer.len() + count > LONGEST_DUMP {
                return Err(io::ErrorKind::FileTooLarge.into());
            }
            answer.extend_from_slice(datagram);
            answer.resize(answer.len().next_multiple_of(4), 0);
            for message in Messages(datagram) {
                interrupted |= message.flags & INTERRUPTED != 0;
                if is_last(&message)? {
                    return Ok((!interrupted).then_some(answer));
                }
            }
        }
    }

    /// Receives one datagram; returns its length.
    fn receive(&mut self) -> io::Result<usize> {
        loop {
            // With MSG_TRUNC the length is the datagram's, also when it did not fit.
            match recv(
                self.socket.as_raw_fd(),
                &mut self.buffer,
                MsgFlags::MSG_TRUNC,
            ) {
                Ok(count) if count > self.buffer.len() => {
                    return Err(io::ErrorKind::FileTooLarge.into());
                }
                Ok(count) => return Ok(count),
                Err(Errno::EINTR) => {}
                Err(Errno::EAGAIN) => return Err(io::ErrorKind::TimedOut.into()),
                Err(error) => return Err(error.into()),
            }
        }
    }
}

/// Whether a message ends its dump; its error when it ends badly.
fn is_last(message: &Message<'_>) -> io::Result<bool> {
    match (message.kind, message.errno()) {
        (ERROR | DONE, 0) => Ok(true),
        (ERROR | DONE, errno) => Err(io::Error::from_raw_os_error(errno)),
        _ => Ok(false),
    }
}
