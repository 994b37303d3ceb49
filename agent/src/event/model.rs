//! What an event is: who did it, to what, with which result.
//!
//! `resolve` builds these values, [`super::fields`] and [`super::json`] read them. A process is
//! shared by all of its events and descendants; what a fork child shares with its parent is its
//! [`Image`]. Times are nanoseconds since the epoch unless a name says otherwise; 0 is unknown.

use std::cell::OnceCell;
use std::collections::HashMap;
use std::rc::Rc;
use std::time::{SystemTime, UNIX_EPOCH};

use super::process::Process;
use super::types::EventType;
use super::wire::Identity;
use crate::packet::{dns, imds};

pub use super::network::{Network, Seen, Socket};

/// The most ancestors that rules and JSON look at.
pub const MAX_ANCESTORS: usize = 200;

/// Ancestors that are cheaper to walk to than to list.
const NEAR: usize = 8;

/// `path_error` of a file on a mount that belongs to no tree.
pub const DETACHED: &str = "detached_mount";
/// `path_error` of a file whose path has more components than the kernel's walk takes.
pub const TRUNCATED: &str = "truncated_path";
/// `path_error` of a file whose name in the caller's memory could not be read.
pub const UNREADABLE: &str = "unreadable_string";
/// `path_error` of a file that nothing named.
pub const NOT_AVAILABLE: &str = "not_available_on_rung";

/// How a path was found.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum PathSource {
    /// The kernel's own walk from the file to the root.
    #[default]
    Kernel,
    /// The user's string, resolved in the process's root.
    Resolved,
    /// The user's string, joined and normalised without looking at the file system.
    Lexical,
    /// Read from /proc.
    Proc,
    /// There is no path.
    Absent,
}

impl PathSource {
    /// The word in JSON; empty for the kernel's walk, which needs no remark.
    pub fn name(self) -> &'static str {
        match self {
            PathSource::Kernel | PathSource::Proc | PathSource::Absent => "",
            PathSource::Resolved => "resolved",
            PathSource::Lexical => "lexical",
        }
    }
}

/// A file as an event or a process names it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct File {
    /// Absolute, as seen from the root of the process's mount namespace; empty when unknown.
    pub path: String,
    /// How the path was found.
    pub source: PathSource,
    /// Why the path is absent or may be wrong; empty when it is sound.
    pub path_error: &'static str,
    /// Whether the numbers below were read; they are 0 otherwise.
    pub known: bool,
    /// Inode number.
    pub inode: u64,
    /// Mount id as in `/proc/<pid>/mountinfo`.
    pub mount_id: u32,
    /// Device number (major << 20 | minor).
    pub device: u32,
    /// Name of the file system type; empty when unknown.
    pub filesystem: &'static str,
    /// Type and permissions (`st_mode`).
    pub mode: u16,
    /// Owner.
    pub uid: u32,
    /// Group.
    pub gid: u32,
    /// Link count.
    pub links: u32,
    /// Modification time.
    pub modified: u64,
    /// Change time.
    pub changed: u64,
    /// Hashes of the content, once a rule has asked for them.
    pub hashes: OnceCell<Hashes>,
}

/// Hashes of a file's content, or why there are none.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Hashes {
    state: String,
    all: Vec<String>,
}

impl Hashes {
    /// The state, such as `Done` or `FileTooBig`, and the hashes as `algorithm:hexadecimal`.
    pub fn new(state: &str, all: Vec<String>) -> Hashes {
        Hashes {
            state: state.to_owned(),
            all,
        }
    }

    /// The state.
    pub fn state(&self) -> &str {
        &self.state
    }

    /// The hashes.
    pub fn all(&self) -> &[String] {
        &self.all
    }

    /// Whether the content was hashed.
    pub fn is_done(&self) -> bool {
        self.state == "Done"
    }
}

impl File {
    /// The last component of the path.
    pub fn name(&self) -> &str {
        self.path.rsplit('/').next().unwrap_or("")
    }

    /// The extension with its dot (`.txt`); empty without one.
    pub fn extension(&self) -> &str {
        let name = self.name();
        match name.rfind('.') {
            Some(dot) => name.get(dot..).unwrap_or(""),
            None => "",
        }
    }
}

/// The cgroup of a process, and the container that it stands for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Cgroup {
    /// Path within its hierarchy; empty when unknown.
    pub path: String,
    /// Who made it (`docker`, `systemd`…); empty when unknown.
    pub manager: &'static str,
    /// Container id; empty outside containers.
    pub container_id: String,
    /// Version of the hierarchy, 1 or 2; 0 when unknown.
    pub version: u8,
    /// Inode of its directory; 0 when unknown.
    pub inode: u64,
    /// When its first process was seen.
    pub created: u64,
}

/// Names of users and groups at one time.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Names {
    /// By user id.
    pub users: HashMap<u32, String>,
    /// By group id.
    pub groups: HashMap<u32, String>,
}

impl Names {
    /// The name of a user; empty when there is none.
    pub fn user(&self, uid: u32) -> &str {
        self.users.get(&uid).map_or("", String::as_str)
    }

    /// The name of a group; empty when there is none.
    pub fn group(&self, gid: u32) -> &str {
        self.groups.get(&gid).map_or("", String::as_str)
    }
}

/// What events say of the host that they come from.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct HostInfo {
    /// Name of the host.
    pub hostname: String,
    /// Release of this agent.
    pub version: String,
    /// Release of the kernel.
    pub kernel_version: String,
    /// `<ID> - <VERSION_ID>` of os-release.
    pub distribution: String,
    /// Architecture, as `uname -m` names it.
    pub arch: String,
}

/// What is worth knowing of how an event came about.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Flags {
    /// The kernel did it on behalf of the task (io_uring).
    pub asynchronous: bool,
    /// It arrived after younger events had been delivered.
    pub late: bool,
    /// Nothing is known of the process but its id.
    pub no_process: bool,
}

/// What is particular to the type of an event.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Body {
    /// Nothing (fork).
    #[default]
    None,
    /// exec.
    Exec {
        /// The program as the caller named it; empty when unknown.
        syscall_path: String,
    },
    /// exit.
    Exit {
        /// Why: 0 exited, 1 dumped core, 2 killed by a signal.
        cause: u32,
        /// Exit code or signal number.
        code: u32,
    },
    /// open, chmod, chown.
    File {
        /// The file.
        file: File,
        /// open: flags, mode; chmod: mode; chown: uid, gid.
        arguments: [u32; 4],
        /// The path as the caller gave it; empty when it gave none.
        syscall_path: String,
        /// Number of the system call; `u32::MAX` when unknown.
        syscall: u32,
    },
    /// accept, bind, connect.
    Socket(Box<Socket>),
    /// dns.
    Dns(Box<Network>, Box<dns::Message>),
    /// failed_dns.
    FailedDns(Box<Network>),
    /// imds.
    Imds(Box<Network>, Box<imds::Message>),
    /// packet.
    Packet(Box<Network>, Box<Seen>),
}

/// One thing that happened.
#[derive(Debug)]
pub struct Event {
    /// What.
    pub kind: EventType,
    /// When.
    pub time: SystemTime,
    /// Who.
    pub process: Rc<Process>,
    /// The credentials it was done with.
    pub identity: Identity,
    /// The thread that did it.
    pub tid: u32,
    /// Result of the system call; negative is `-errno`.
    pub retval: i64,
    /// Particulars of the type.
    pub body: Body,
    /// How it came about.
    pub flags: Flags,
    /// The cgroup of the process when it happened.
    pub cgroup: Rc<Cgroup>,
    /// Names for the ids in it.
    pub names: Rc<Names>,
    /// Name of the host.
    pub hostname: Rc<str>,
    lineage: OnceCell<Vec<Rc<Cgroup>>>,
    ancestors: OnceCell<Vec<Rc<Process>>>,
}

impl Event {
    /// An event of `process` now, with its credentials and cgroup, thread id the process id.
    pub fn new(
        kind: EventType,
        time: SystemTime,
        process: Rc<Process>,
        names: Rc<Names>,
        hostname: Rc<str>,
    ) -> Event {
        Event {
            kind,
            time,
            identity: process.identity(),
            tid: process.info.pid,
            retval: 0,
            body: Body::None,
            flags: Flags::default(),
            cgroup: process.cgroup(),
            process,
            names,
            hostname,
            lineage: OnceCell::new(),
            ancestors: OnceCell::new(),
        }
    }

    /// The time in nanoseconds since the epoch.
    pub fn unix_time(&self) -> u64 {
        let since = self.time.duration_since(UNIX_EPOCH).unwrap_or_default();
        u64::try_from(since.as_nanos()).unwrap_or(u64::MAX)
    }

    /// The file that the event is about: the object of a file event, else the program.
    pub fn file(&self) -> &File {
        match &self.body {
            Body::File { file, .. } => file,
            _ => &self.process.image.file,
        }
    }

    /// The file that a field such as `exec.file` or `process.parent.file` names.
    pub fn file_of(&self, field: &str) -> Option<&File> {
        let process = &*self.process;
        match field {
            "exec.file" | "exit.file" | "process.file" => Some(&process.image.file),
            "exec.interpreter.file" | "exit.interpreter.file" | "process.interpreter.file" => {
                process.image.interpreter.as_ref()
            }
            "process.parent.file" => process.parent.as_ref().map(|parent| &parent.image.file),
            "process.parent.interpreter.file" => {
                process.parent.as_ref()?.image.interpreter.as_ref()
            }
            _ => match &self.body {
                Body::File { file, .. }
                    if field.strip_suffix(".file") == Some(self.kind.name()) =>
                {
                    Some(file)
                }
                _ => None,
            },
        }
    }

    /// Notes the hashes of the file that a field names.
    pub fn set_hashes(&self, field: &str, hashes: &Hashes) {
        if let Some(file) = self.file_of(field) {
            // What was noted first is of the same content.
            let _ = file.hashes.set(hashes.clone());
        }
        self.process.forget_json();
        if let Some(parent) = &self.process.parent {
            parent.forget_json();
        }
    }

    /// An argument of the system call of a file event; 0 for other types.
    pub fn argument(&self, index: usize) -> u32 {
        match &self.body {
            Body::File { arguments, .. } => arguments.get(index).copied().unwrap_or(0),
            _ => 0,
        }
    }

    /// The path as the caller gave it.
    pub fn syscall_path(&self) -> &str {
        match &self.body {
            Body::File { syscall_path, .. } | Body::Exec { syscall_path } => syscall_path,
            _ => "",
        }
    }

    /// Cause and code of an exit event; 0 for other types.
    pub fn exit(&self) -> (u32, u32) {
        match self.body {
            Body::Exit { cause, code } => (cause, code),
            _ => (0, 0),
        }
    }

    /// The ancestor of the process that comes in this place, the parent in place 0. The nearest are
    /// found by walking; for long lineages all are put into a list once, so that rules over each of
    /// them do not walk from the beginning every time.
    pub fn ancestor(&self, place: usize) -> Option<&Process> {
        if place < NEAR {
            return self.process.ancestors().nth(place);
        }
        let all = self.ancestors.get_or_init(|| {
            let first = self.process.parent.clone();
            let all = std::iter::successors(first, |process| process.parent.clone());
            all.take(MAX_ANCESTORS).collect()
        });
        all.get(place).map(|process| &**process)
    }

    /// The cgroups of the ancestors, parent first.
    pub fn ancestor_cgroups(&self) -> &[Rc<Cgroup>] {
        self.lineage
            .get_or_init(|| self.process.ancestors().map(Process::cgroup).collect())
    }

    /// `Success`, `Refused` or `Error`, by the result.
    pub fn outcome(&self) -> &'static str {
        const REFUSED: [i64; 2] = [-(libc::EACCES as i64), -(libc::EPERM as i64)];
        match self.retval {
            0.. => "Success",
            // A connection that is under way: the caller asked not to wait for it.
            result if result == -i64::from(libc::EINPROGRESS) => "Success",
            result if REFUSED.contains(&result) => "Refused",
            _ => "Error",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_extensions() {
        for (path, name, extension) in [
            ("/etc/passwd", "passwd", ""),
            ("/a.b/c.tar.gz", "c.tar.gz", ".gz"),
            ("/", "", ""),
            ("", "", ""),
        ] {
            let file = File {
                path: path.to_owned(),
                ..File::default()
            };
            assert_eq!((file.name(), file.extension()), (name, extension), "{path}");
        }
    }
}
