//! The talk with rtnetlink: one request, all its answers.
//!
//! A [`Route`] belongs to the network namespace that the process was in when it was opened. The
//! kind and body of a request enter, the bytes of its answers leave; what they mean is in
//! `message`. Waiting and memory are bounded.

use std::io::{self, IoSliceMut};
use std::os::fd::{AsRawFd, OwnedFd};
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::sys::socket::{
    connect, recvmsg, send, setsockopt, socket, sockopt, AddressFamily, MsgFlags, NetlinkAddr,
    SockFlag, SockProtocol, SockType,
};
use nix::sys::time::TimeVal;

use super::message::{self, Message, Messages, DONE, DUMP, ERROR, INTERRUPTED};

/// The kernel's dumps come in pieces of at most 32 KiB, single large messages excepted.
const ROOM: usize = 128 << 10;
/// How often a dump is begun that the kernel interrupts because its tables changed.
const TRIES: u32 = 5;
/// Time until an answer must have come, and how long its next part may take.
const PATIENCE: Duration = Duration::from_secs(3);
const PART_PATIENCE: TimeVal = TimeVal::new(1, 0);
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
        Ok(Route {
            socket: open_socket()?,
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
        let result = self.talk(kind, flags, body);
        let is_broken = result.as_ref().is_err_and(|error| {
            matches!(
                error.kind(),
                io::ErrorKind::FileTooLarge | io::ErrorKind::TimedOut
            )
        });
        if is_broken {
            // The rest of the answer would be in the way of the next one.
            self.socket = open_socket()?;
        }
        result
    }

    fn talk(&mut self, kind: u16, flags: u16, body: &[u8]) -> io::Result<Option<Vec<u8>>> {
        let deadline = Instant::now() + PATIENCE;
        self.sequence = self.sequence.wrapping_add(1);
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
            let count = self.receive(deadline)?;
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

    /// Receives one datagram of the kernel; returns its length.
    fn receive(&mut self, deadline: Instant) -> io::Result<usize> {
        let room = self.buffer.len();
        while Instant::now() < deadline {
            let mut parts = [IoSliceMut::new(&mut self.buffer)];
            // With MSG_TRUNC the length is the datagram's, also when it did not fit.
            let flags = MsgFlags::MSG_TRUNC;
            let socket = self.socket.as_raw_fd();
            match recvmsg::<NetlinkAddr>(socket, &mut parts, None, flags) {
                Ok(part) if part.address.is_none_or(|sender| sender.pid() != 0) => {}
                Ok(part) if part.bytes > room => return Err(io::ErrorKind::FileTooLarge.into()),
                Ok(part) => return Ok(part.bytes),
                Err(Errno::EINTR | Errno::EAGAIN) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Err(io::ErrorKind::TimedOut.into())
    }
}

fn open_socket() -> io::Result<OwnedFd> {
    let socket = socket(
        AddressFamily::Netlink,
        SockType::Raw,
        SockFlag::SOCK_CLOEXEC,
        SockProtocol::NetlinkRoute,
    )?;
    setsockopt(&socket, sockopt::ReceiveTimeout, &PART_PATIENCE)?;
    // Whoever rules the namespace could send answers, too; now the kernel queues none but its own.
    connect(socket.as_raw_fd(), &NetlinkAddr::new(0, 0))?;
    Ok(socket)
}

/// Whether a message ends its dump; its error when it ends badly.
fn is_last(message: &Message<'_>) -> io::Result<bool> {
    match (message.kind, message.errno()) {
        (ERROR | DONE, 0) => Ok(true),
        (ERROR | DONE, errno) => Err(io::Error::from_raw_os_error(errno)),
        _ => Ok(false),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use nix::sys::socket::{getsockname, recv, sendto};

    fn is_empty(route: &Route) -> bool {
        let flags = MsgFlags::MSG_DONTWAIT;
        recv(route.socket.as_raw_fd(), &mut [0; 64], flags) == Err(Errno::EAGAIN)
    }

    #[test]
    fn nobody_but_the_kernel_can_answer() {
        let mut route = Route::open().unwrap();
        let address: NetlinkAddr = getsockname(route.socket.as_raw_fd()).unwrap();
        let forger = open_socket().unwrap();
        let mut forged = Vec::new();
        let message = Message {
            kind: message::NEW_LINK,
            flags: 0,
            sequence: 1,
            body: &[0; 16],
        };
        message::write(&mut forged, &message);
        let to = NetlinkAddr::new(address.pid(), 0);
        let sent = sendto(forger.as_raw_fd(), &forged, &to, MsgFlags::empty());
        // Without the right to send at all it is another error.
        assert!(sent.is_err());
        let links = route.dump(message::GET_LINK, &message::link_request());
        assert!(Messages(&links.unwrap()).all(|message| message.body != [0; 16]));
    }

    #[test]
    fn what_is_left_of_a_long_answer_is_not_in_the_way() {
        let mut route = Route::open().unwrap();
        let room = std::mem::replace(&mut route.buffer, vec![0; 32]);
        let error = route.dump(message::GET_LINK, &message::link_request());
        assert_eq!(error.unwrap_err().kind(), io::ErrorKind::FileTooLarge);
        assert!(is_empty(&route));
        route.buffer = room;
        assert!(route
            .dump(message::GET_LINK, &message::link_request())
            .is_ok());
    }
}
