//! What changes in the network namespaces: one rtnetlink socket hears of the links of all of them.
//!
//! The kernel passes on what happens in a namespace that has a number in ours (`attach` gives it
//! one), and says when such a namespace ends. No namespace is kept alive by this. Datagrams enter,
//! [`Change`]s leave; nothing waits.

use std::io::{self, IoSliceMut};
use std::mem::size_of;
use std::os::fd::{AsRawFd, OwnedFd};
use std::ptr::from_ref;

use nix::cmsg_space;
use nix::errno::Errno;
use nix::sys::socket::{
    bind, recvmsg, setsockopt, socket, sockopt, AddressFamily, ControlMessageOwned, MsgFlags,
    NetlinkAddr, RecvMsg, SockFlag, SockProtocol, SockType,
};

use super::message::{self, Message, Messages};
use super::Interface;

/// RTNLGRP_LINK and RTNLGRP_NSID of linux/rtnetlink.h, as bits.
const GROUPS: u32 = 1 | 1 << (28 - 1);
/// A link takes some KiB at most; what is longer counts as missed.
const ROOM: usize = 32 << 10;
/// Bytes that may wait in the kernel.
const BACKLOG: usize = 1 << 20;

/// What happened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// A link is new or not as it was.
    Link(Interface),
    /// The link of this number is gone.
    LinkGone(u32),
    /// The namespace that has this number here is gone.
    NamespaceGone(i32),
    /// Something was missed: everything must be looked at again.
    Missed,
}

/// The socket.
#[derive(Debug)]
pub struct Watch {
    socket: OwnedFd,
    buffer: Vec<u8>,
}

impl Watch {
    /// Listens from now on.
    ///
    /// # Errors
    /// Those of socket(2), setsockopt(2) and bind(2).
    pub fn open() -> io::Result<Watch> {
        let socket = socket(
            AddressFamily::Netlink,
            SockType::Raw,
            SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK,
            SockProtocol::NetlinkRoute,
        )?;
        listen_everywhere(&socket)?;
        // With less, something is missed sooner, which is noticed.
        let _ = setsockopt(&socket, sockopt::RcvBufForce, &BACKLOG);
        bind(socket.as_raw_fd(), &NetlinkAddr::new(0, GROUPS))?;
        Ok(Watch {
            socket,
            buffer: vec![0; ROOM],
        })
    }

    /// Takes what waits, at most `most` datagrams. Each change comes with the number of the
    /// namespace that it was heard in, `None` for our own.
    pub fn read(&mut self, most: usize, take: &mut dyn FnMut(Option<i32>, Change)) {
        for _ in 0..most {
            match self.receive() {
                Ok((count, namespace)) => {
                    let datagram = self.buffer.get(..count).unwrap_or_default();
                    for change in Messages(datagram).filter_map(|message| change(&message)) {
                        take(namespace, change);
                    }
                }
                Err(Errno::EAGAIN) => return,
                Err(Errno::EINTR) => {}
                Err(_) => return take(None, Change::Missed),
            }
        }
    }

    /// Receives a datagram: its length, and the number of the namespace that it comes from. What
    /// somebody else than the kernel sent is as good as empty: whoever has CAP_NET_ADMIN in a
    /// namespace can send to these groups there.
    fn receive(&mut self) -> Result<(usize, Option<i32>), Errno> {
        let mut control = cmsg_space!(i32);
        let room = self.buffer.len();
        let mut parts = [IoSliceMut::new(&mut self.buffer)];
        // With MSG_TRUNC the length is the datagram's, also when it did not fit.
        let flags = MsgFlags::MSG_DONTWAIT | MsgFlags::MSG_TRUNC;
        let socket = self.socket.as_raw_fd();
        let received = recvmsg::<NetlinkAddr>(socket, &mut parts, Some(&mut control), flags)?;
        if received.address.is_none_or(|sender| sender.pid() != 0) {
            return Ok((0, None));
        }
        if received.bytes > room {
            return Err(Errno::ENOBUFS);
        }
        Ok((received.bytes, namespace_of(&received)?))
    }
}

/// Sets NETLINK_LISTEN_ALL_NSID (4.2).
fn listen_everywhere(socket: &OwnedFd) -> io::Result<()> {
    let on: libc::c_int = 1;
    // SAFETY: the option takes an int, which lives through the call, and its size goes with it.
    let result = unsafe {
        libc::setsockopt(
            socket.as_raw_fd(),
            libc::SOL_NETLINK,
            libc::NETLINK_LISTEN_ALL_NSID,
            from_ref(&on).cast(),
            size_of::<libc::c_int>() as libc::socklen_t,
        )
    };
    Ok(Errno::result(result).map(drop)?)
}

fn namespace_of(received: &RecvMsg<'_, '_, NetlinkAddr>) -> Result<Option<i32>, Errno> {
    let number = received.cmsgs()?.find_map(|control| match control {
        ControlMessageOwned::Unknown(control)
            if control.cmsg_header.cmsg_level == libc::SOL_NETLINK
                && control.cmsg_header.cmsg_type == libc::NETLINK_LISTEN_ALL_NSID =>
        {
            control.data_bytes.first_chunk().copied()
        }
        _ => None,
    });
    Ok(number.map(i32::from_ne_bytes))
}

fn change(message: &Message<'_>) -> Option<Change> {
    let body = message.body;
    match message.kind {
        message::NEW_LINK | message::DELETE_LINK if !message::is_of_link(body) => None,
        message::NEW_LINK => message::link(body).map(Change::Link),
        message::DELETE_LINK => Some(Change::LinkGone(message::link(body)?.index)),
        message::DELETE_NAMESPACE => message::namespace_number(body).map(Change::NamespaceGone),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernel::tc::route::Route;
    use crate::sys::child;
    use nix::sched::{unshare, CloneFlags};
    use nix::sys::socket::sendto;
    use std::fs::File;
    use std::io::Write;
    use std::time::Duration;

    #[test]
    fn only_what_matters_is_a_change() {
        let mut bridge = vec![0; 16];
        let mut link = vec![0; 16];
        (bridge[0], bridge[4]) = (7, 5);
        link[4] = 5;
        let mut namespace = vec![0; 4];
        namespace.extend([8_u16.to_ne_bytes(), 1_u16.to_ne_bytes()].concat());
        namespace.extend(9_i32.to_ne_bytes());
        let interface = Interface {
            index: u32::from_ne_bytes([5, 0, 0, 0]),
            ..Interface::default()
        };
        let gone = Change::LinkGone(interface.index);
        for (kind, body, expected) in [
            (message::NEW_LINK, &link, Some(Change::Link(interface))),
            (message::DELETE_LINK, &link, Some(gone)),
            // A port that leaves its bridge still exists.
            (message::DELETE_LINK, &bridge, None),
            (message::NEW_LINK, &bridge, None),
            (message::DELETE_LINK, &Vec::new(), None),
            (
                message::DELETE_NAMESPACE,
                &namespace,
                Some(Change::NamespaceGone(9)),
            ),
            (message::NEW_NAMESPACE, &namespace, None),
        ] {
            let message = Message {
                kind,
                flags: 0,
                sequence: 0,
                body,
            };
            assert_eq!(change(&message), expected, "{kind}");
        }
    }

    /// In a child with a namespace of its own: the names of the links that are heard of when
    /// somebody else tells of one, and the kernel of the loopback interface.
    fn hear_others() -> io::Result<String> {
        unshare(CloneFlags::CLONE_NEWNET)?;
        let mut watch = Watch::open()?;
        let mut body = vec![0; 16];
        body.extend([10_u16.to_ne_bytes(), 3_u16.to_ne_bytes()].concat());
        body.extend(b"forged\0\0");
        let mut forged = Vec::new();
        let message = Message {
            kind: message::NEW_LINK,
            flags: 0,
            sequence: 0,
            body: &body,
        };
        message::write(&mut forged, &message);
        let kinds = (SockType::Raw, SockProtocol::NetlinkRoute);
        let flags = SockFlag::SOCK_CLOEXEC;
        let forger = socket(AddressFamily::Netlink, kinds.0, flags, kinds.1)?;
        let everybody = NetlinkAddr::new(0, GROUPS);
        sendto(forger.as_raw_fd(), &forged, &everybody, MsgFlags::empty())?;
        let up = [0, 1, 1, 1_u32].map(u32::to_ne_bytes).concat();
        Route::open()?.ask(message::NEW_LINK, message::ACKNOWLEDGE, &up)?;
        let mut names = Vec::new();
        watch.read(100, &mut |_, change| match change {
            Change::Link(link) => names.push(link.name),
            other => names.push(format!("{other:?}")),
        });
        names.dedup();
        Ok(names.join(" "))
    }

    #[test]
    fn what_others_send_is_not_heard() {
        if !nix::unistd::geteuid().is_root() {
            println!("not run: a new network namespace needs root");
            return;
        }
        let mut work = |out: &mut File| {
            let heard = hear_others().unwrap_or_else(|error| error.to_string());
            let _ = out.write_all(heard.as_bytes());
        };
        let heard = child::output_of(&mut work, 10_000, Duration::from_secs(60)).unwrap();
        assert_eq!(String::from_utf8(heard).unwrap(), "lo");
    }

    #[test]
    fn an_idle_socket_does_not_wait() {
        let mut watch = Watch::open().unwrap();
        watch.read(100, &mut |_, _| {});
    }
}
