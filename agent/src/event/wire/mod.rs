//! The records of the probes, as bytes and as Rust values.
//!
//! `probes/include/wire.h` defines the layout; this module reads the same offsets without any
//! `unsafe`, borrowing strings from the record. Bytes enter from the event stream, a
//! [`Record`] leaves. What a record means (which process, which file) is not decided here.

mod decode;
mod flow;

use std::fmt;
use std::net::SocketAddr;

pub use decode::timestamp;
pub use flow::Flow;

/// Size in bytes of the header that begins every record (`struct record`).
pub const HEADER_SIZE: usize = 64;
/// Size in bytes of `struct file_block`.
pub const FILE_BLOCK_SIZE: usize = 56;
/// Size in bytes of `struct file_record` before its data.
pub const FILE_RECORD_SIZE: usize = 168;
/// Size in bytes of `struct fork_record`.
pub const FORK_RECORD_SIZE: usize = 112;
/// Size in bytes of `struct exec_record` before its data.
pub const EXEC_RECORD_SIZE: usize = 248;
/// Size in bytes of `struct exit_record`.
pub const EXIT_RECORD_SIZE: usize = 88;
/// Size in bytes of `struct arguments_record` before its data.
pub const ARGUMENTS_RECORD_SIZE: usize = 80;
/// Size in bytes of `struct cgroup_record` before its path.
pub const CGROUP_RECORD_SIZE: usize = 88;
/// Size in bytes of `struct session_record` before its message.
pub const SESSION_RECORD_SIZE: usize = 80;
/// Size in bytes of `struct socket_record`.
pub const SOCKET_RECORD_SIZE: usize = 112;
/// Size in bytes of `struct packet_record` before the packet.
pub const PACKET_RECORD_SIZE: usize = 104;
/// Where the counters of the probes have the messages that were refused because their process
/// had sent too many; no kind has this number.
pub const SESSION_FLOOD: usize = 7;
/// Number of record kinds that the counters of the probes have room for.
pub const KINDS: usize = 32;

/// The kind of a record, as `enum record_kind` numbers it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[repr(u16)]
pub enum Kind {
    /// A new thread group.
    Fork = 1,
    /// A successful execve or execveat.
    Exec = 2,
    /// The last thread of a group is gone.
    Exit = 3,
    /// A piece of argv or of the environment.
    Arguments = 4,
    /// A task changed its cgroup.
    Cgroup = 5,
    /// A message about a user's session.
    Session = 6,
    /// open, openat, openat2, creat or truncate.
    Open = 8,
    /// The chmod family.
    Chmod = 9,
    /// The chown family.
    Chown = 10,
    /// connect.
    Connect = 11,
    /// bind.
    Bind = 12,
    /// accept and accept4.
    Accept = 13,
    /// A packet of DNS.
    Dns = 14,
    /// A packet from or to a metadata service.
    Imds = 15,
    /// A packet that some filter lets pass.
    Packet = 16,
}

impl Kind {
    /// Every kind.
    pub const ALL: [Kind; 15] = [
        Kind::Fork,
        Kind::Exec,
        Kind::Exit,
        Kind::Arguments,
        Kind::Cgroup,
        Kind::Session,
        Kind::Open,
        Kind::Chmod,
        Kind::Chown,
        Kind::Connect,
        Kind::Bind,
        Kind::Accept,
        Kind::Dns,
        Kind::Imds,
        Kind::Packet,
    ];

    /// The kind with this number.
    pub fn from_number(number: u16) -> Option<Kind> {
        Kind::ALL.into_iter().find(|kind| *kind as u16 == number)
    }

    /// The name used in counters and reports.
    pub fn name(self) -> &'static str {
        match self {
            Kind::Fork => "fork",
            Kind::Exec => "exec",
            Kind::Exit => "exit",
            Kind::Arguments => "args_envs",
            Kind::Cgroup => "cgroup",
            Kind::Session => "user_session",
            Kind::Open => "open",
            Kind::Chmod => "chmod",
            Kind::Chown => "chown",
            Kind::Connect => "connect",
            Kind::Bind => "bind",
            Kind::Accept => "accept",
            Kind::Dns => "dns",
            Kind::Imds => "imds",
            Kind::Packet => "packet",
        }
    }
}

/// Why bytes are not a record.
#[derive(Debug, PartialEq, Eq)]
pub enum Error {
    /// The bytes end before the field at this offset.
    Short {
        /// Where the missing field begins.
        offset: usize,
    },
    /// No kind has this number.
    UnknownKind(u16),
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Error::Short { offset } => write!(f, "the record ends before its field at {offset}"),
            Error::UnknownKind(kind) => write!(f, "no record has the kind {kind}"),
        }
    }
}

impl std::error::Error for Error {}

/// The eight identities of `struct cred`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Identity {
    /// Real user.
    pub uid: u32,
    /// Real group.
    pub gid: u32,
    /// Saved user.
    pub suid: u32,
    /// Saved group.
    pub sgid: u32,
    /// Effective user.
    pub euid: u32,
    /// Effective group.
    pub egid: u32,
    /// File system user.
    pub fsuid: u32,
    /// File system group.
    pub fsgid: u32,
}

/// What every record says of the task that caused it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    /// `CLOCK_MONOTONIC` in nanoseconds, just before output.
    pub timestamp: u64,
    /// What happened.
    pub kind: Kind,
    /// Process id (thread group), in the initial pid namespace.
    pub tgid: u32,
    /// Thread id.
    pub tid: u32,
    /// Result of the system call; negative is `-errno`.
    pub retval: i32,
    /// Who did it.
    pub identity: Identity,
}

/// What the kernel said of an inode; absent when it was not read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct FileBlock {
    /// Inode number.
    pub inode: u64,
    /// Modification time, nanoseconds since the epoch.
    pub modified: u64,
    /// Change time, nanoseconds since the epoch.
    pub changed: u64,
    /// Mount id as in `/proc/<pid>/mountinfo`.
    pub mount_id: u32,
    /// Device number of the super block (kernel encoding: major << 20 | minor).
    pub device: u32,
    /// Magic number of the file system (`linux/magic.h`).
    pub magic: u32,
    /// Owner.
    pub uid: u32,
    /// Group.
    pub gid: u32,
    /// Type and permissions (`st_mode`).
    pub mode: u16,
    /// Link count; 0 for an unlinked file.
    pub links: u32,
}

/// Names that the kernel walked, and how they name the file.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct WalkedPath<'a> {
    /// Names, leaf first, each ended by a zero byte.
    pub names: &'a [u8],
    /// Bits of `enum path_how`.
    pub how: u16,
}

impl WalkedPath<'_> {
    /// The names lead to the directory that the user's string starts from.
    pub const FROM_STRING: u16 = 1;
    /// A symlink in the last place is not followed.
    pub const NO_FOLLOW: u16 = 2;
    /// The walk ended before it met the root.
    pub const TRUNCATED: u16 = 4;
    /// The user's string could not be read.
    pub const NO_STRING: u16 = 8;
    /// The walk ended in a mount that belongs to no tree.
    pub const DETACHED: u16 = 16;

    /// Whether all of these bits are set.
    pub fn is(&self, bits: u16) -> bool {
        self.how & bits == bits
    }

    /// The absolute path, root first; `/` when there are no names.
    pub fn join(&self) -> String {
        let mut path = String::with_capacity(self.names.len() + 1);
        let names = self.names.strip_suffix(&[0]).unwrap_or(self.names);
        for name in names.rsplit(|byte| *byte == 0) {
            if !name.is_empty() {
                path.push('/');
                path.push_str(&String::from_utf8_lossy(name));
            }
        }
        if path.is_empty() {
            path.push('/');
        }
        path
    }
}

/// open, chmod and chown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct File<'a> {
    /// The inode, when the rung can see it.
    pub file: Option<FileBlock>,
    /// open: flags, mode; chmod: mode; chown: uid, gid.
    pub arguments: [u32; 4],
    /// The file, or where the string starts.
    pub path: WalkedPath<'a>,
    /// The path as the user gave it; empty when there was none.
    pub string: &'a [u8],
    /// The directory descriptor of the call.
    pub dirfd: i32,
    /// Number of the system call; `u32::MAX` where the rung does not know it.
    pub syscall: u32,
    /// The task's root directory; walked ([`WalkedPath::FROM_STRING`]) when the string is
    /// relative.
    pub root: WalkedPath<'a>,
}

/// A new thread group; the header is its parent's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fork {
    /// Start of the child, boot time in nanoseconds.
    pub start_time: u64,
    /// Id of its cgroup in the unified hierarchy.
    pub cgroup_id: u64,
    /// Its process id.
    pub child: u32,
    /// Inode of its mount namespace.
    pub mount_namespace: u32,
    /// Inode of its network namespace.
    pub net_namespace: u32,
    /// Its session id.
    pub session: u32,
    /// The process that forked it: its parent, except with `CLONE_PARENT`.
    pub caller: u32,
}

/// A successful execve.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Exec<'a> {
    /// Shared with the chunks of arguments.
    pub exec_id: u64,
    /// Start of the process, boot time in nanoseconds.
    pub start_time: u64,
    /// Id of its cgroup in the unified hierarchy.
    pub cgroup_id: u64,
    /// Effective capabilities.
    pub cap_effective: u64,
    /// Permitted capabilities.
    pub cap_permitted: u64,
    /// Process id of the parent.
    pub parent: u32,
    /// Session id.
    pub session: u32,
    /// Login user; `u32::MAX` when unset.
    pub login_uid: u32,
    /// Inode of the mount namespace.
    pub mount_namespace: u32,
    /// Inode of the network namespace.
    pub net_namespace: u32,
    /// Bytes of argv in the process's memory.
    pub arguments_size: u32,
    /// Bytes of the environment in the process's memory.
    pub environment_size: u32,
    /// The string names a script and `file` is its interpreter.
    pub script: bool,
    /// Name of the task, at most 15 bytes.
    pub comm: &'a [u8],
    /// Name of the terminal; empty without one.
    pub tty: &'a [u8],
    /// Inode of the file that runs.
    pub file: Option<FileBlock>,
    /// Path of the file that runs.
    pub path: WalkedPath<'a>,
    /// Where the script's string starts.
    pub directory: WalkedPath<'a>,
    /// The script as it was named.
    pub string: &'a [u8],
}

/// The end of a thread group.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Exit {
    /// Start of the process, boot time in nanoseconds.
    pub start_time: u64,
    /// Status as wait(2) gives it.
    pub code: u32,
    /// Process id of the parent.
    pub parent: u32,
}

/// A piece of argv or of the environment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Arguments<'a> {
    /// The exec it belongs to.
    pub exec_id: u64,
    /// Position among the pieces of its kind.
    pub index: u16,
    /// The environment rather than argv.
    pub environment: bool,
    /// Zero-separated strings, cut anywhere.
    pub data: &'a [u8],
}

/// A task moved to another cgroup.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cgroup<'a> {
    /// Id of the new cgroup.
    pub cgroup_id: u64,
    /// Id of the hierarchy; 0 is the unified one.
    pub hierarchy: u32,
    /// The task that moved.
    pub pid: u32,
    /// The whole thread group moved.
    pub whole_group: bool,
    /// Path of the new cgroup within its hierarchy.
    pub path: &'a [u8],
}

/// A message about a user's session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Session<'a> {
    /// Start of the process, boot time in nanoseconds; 0 when another thread than its first one
    /// sent the message.
    pub start_time: u64,
    /// What was sent; empty when it could not be read.
    pub message: &'a [u8],
}

/// connect, bind or accept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Socket {
    /// Address family (`AF_*`).
    pub family: u16,
    /// Address and port, for the families that have them.
    pub address: Option<SocketAddr>,
    /// Protocol of the socket (`IPPROTO_*`).
    pub protocol: u16,
    /// Type of the socket (`SOCK_*`).
    pub kind: u16,
    /// Inode of the network namespace.
    pub net_namespace: u32,
    /// The descriptor of the call; for accept the new one.
    pub descriptor: u32,
    /// Number that the kernel gave the socket; 0 when it has given none yet.
    pub cookie: u64,
}

/// A packet on an interface; the header's tgid is 0 when no process is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Packet<'a> {
    /// Number of the socket that sent it; 0 when there is none on this host.
    pub cookie: u64,
    /// `CLOCK_MONOTONIC` in nanoseconds, when it became known whose it is; 0 when it is not.
    pub learnt: u64,
    /// Inode of the network namespace that the interface is in.
    pub net_namespace: u32,
    /// Index of the interface.
    pub interface: u32,
    /// Bytes of the packet.
    pub length: u32,
    /// Bytes of payload of each of the packets that it will be cut into; 0 when it stays one.
    pub segment: u16,
    /// Out of the interface, rather than into it.
    pub egress: bool,
    /// The beginning of the packet, from its link layer on.
    pub data: &'a [u8],
}

/// What follows the header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Body<'a> {
    /// See [`Fork`].
    Fork(Fork),
    /// See [`Exec`].
    Exec(Exec<'a>),
    /// See [`Exit`].
    Exit(Exit),
    /// See [`Arguments`].
    Arguments(Arguments<'a>),
    /// See [`Cgroup`].
    Cgroup(Cgroup<'a>),
    /// See [`Session`].
    Session(Session<'a>),
    /// See [`File`]; the header's kind says which call.
    File(File<'a>),
    /// See [`Socket`]; the header's kind says which call.
    Socket(Socket),
    /// See [`Packet`]; the header's kind says why it was taken.
    Packet(Packet<'a>),
}

/// A whole record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Record<'a> {
    /// Who and when.
    pub header: Header,
    /// What.
    pub body: Body<'a>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn joins_names_leaf_first() {
        for (names, path) in [
            (&b""[..], "/"),
            (b"passwd\0etc\0", "/etc/passwd"),
            (b"a\0", "/a"),
            (b"d\0c\0b\0a\0", "/a/b/c/d"),
        ] {
            assert_eq!(WalkedPath { names, how: 0 }.join(), path);
        }
    }
}
