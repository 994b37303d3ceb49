//! Unix sockets: listening ones that only one process can have, and who is at the other end.
//!
//! A path enters, a [`Listener`] leaves: bound under a lock file beside it, mode 0660 in a
//! directory of mode 0750, for root and the agent's group. A stale socket is replaced, a live one
//! is not. What is said over the sockets is not known here.

use std::fmt;
use std::fs;
use std::io;
use std::mem;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use mio::net::{UnixListener, UnixStream};
use mio::{event::Source, Interest, Registry, Token};
use nix::sys::socket::{getsockopt, sockopt};
use nix::sys::stat::{umask, Mode};
use nix::unistd::geteuid;

use super::lock::{self, LockFile};
use super::{descriptor, directory};

/// Bytes of a socket's path: sun_path without its zero byte.
const LONGEST_PATH: usize = 107;
/// Supplementary groups of a peer that are looked at.
const GROUP_LIMIT: usize = 1024;

/// Why there is no listening socket.
#[derive(Debug)]
pub enum Error {
    /// The lock beside the socket was not obtained; most often another agent lives.
    Lock(lock::Error),
    /// A program that does not hold our lock answers on the socket.
    Occupied {
        /// The socket.
        path: PathBuf,
        /// The process that listens.
        pid: Option<i32>,
    },
    /// Something that is no socket has the name.
    NotASocket(PathBuf),
    /// The name does not fit into a socket address (unix(7)).
    TooLong(PathBuf),
    /// The system refused.
    Io {
        /// The socket.
        path: PathBuf,
        /// What the system answered.
        source: io::Error,
    },
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Error::Lock(error) => error.fmt(f),
            Error::Occupied { path, pid } => {
                write!(f, "already running")?;
                if let Some(pid) = pid {
                    write!(f, ", pid {pid}")?;
                }
                let path = path.display();
                write!(
                    f,
                    ": a program listens on {path}; stop it or choose another socket"
                )
            }
            Error::NotASocket(path) => write!(
                f,
                "{} exists and is no socket; move it away or choose another socket",
                path.display()
            ),
            Error::TooLong(path) => write!(
                f,
                "the socket {} has a path of more than {LONGEST_PATH} bytes; choose a shorter \
                 run_path or runtime_security_config.socket",
                path.display()
            ),
            Error::Io { path, source } => write!(
                f,
                "the socket {} cannot be opened: {source}; see that its directory can be written",
                path.display()
            ),
        }
    }
}

impl std::error::Error for Error {}

/// Who is at the other end of a connection, as the kernel noted it when they connected.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Credentials {
    /// Process id, in our pid namespace; 0 for one outside of it.
    pub pid: i32,
    /// Effective user.
    pub uid: u32,
    /// Effective group.
    pub gid: u32,
    /// Supplementary groups.
    pub groups: Vec<u32>,
}

impl Credentials {
    /// Whether it is root or our own user.
    pub fn is_owner(&self) -> bool {
        self.uid == 0 || self.uid == geteuid().as_raw()
    }

    /// Whether it is root or our own user, and its process runs the same executable file as we do.
    pub fn runs_our_program(&self) -> bool {
        let program = |process: &str| {
            let file = fs::metadata(format!("/proc/{process}/exe")).ok()?;
            Some((file.dev(), file.ino()))
        };
        let ours = program("self");
        self.is_owner() && ours.is_some() && program(&self.pid.to_string()) == ours
    }
}

/// A new connection. Whoever is not admitted gets a sentence at most.
#[derive(Debug)]
pub struct Peer {
    /// The connection; it does not block.
    pub stream: UnixStream,
    /// Who it is.
    pub credentials: Credentials,
    /// Root, our own user, or a member of the agent's group.
    pub admitted: bool,
}

/// A listening socket; dropping it removes the socket and its lock file.
#[derive(Debug)]
pub struct Listener {
    listener: UnixListener,
    path: PathBuf,
    group: Option<u32>,
    owner: u32,
    // Freed after the socket is removed.
    _lock: LockFile,
}

impl Listener {
    /// Listens on `path`, which becomes absolute no sooner than the caller makes it so. Missing
    /// directories are made.
    pub fn bind(path: &Path) -> Result<Listener, Error> {
        let failed = |source| Error::Io {
            path: path.to_owned(),
            source,
        };
        if path.as_os_str().len() > LONGEST_PATH {
            return Err(Error::TooLong(path.to_owned()));
        }
        let lock = LockFile::acquire(&lock_path(path)).map_err(Error::Lock)?;
        remove_stale(path)?;
        let listener = bind_private(path).map_err(failed)?;
        let group = directory::agent_group();
        directory::give_to_group(path, group);
        let owner = std::process::id();
        Ok(Listener {
            listener,
            path: path.to_owned(),
            group,
            owner,
            _lock: lock,
        })
    }

    /// The path of the socket.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The next connection; `None` when nobody waits. Errors are those of accept(2), such as too
    /// many open files; the socket stays usable.
    pub fn accept(&self) -> io::Result<Option<Peer>> {
        loop {
            let stream = match self.listener.accept() {
                Ok((stream, _)) => stream,
                Err(error) => match error.kind() {
                    io::ErrorKind::WouldBlock => return Ok(None),
                    io::ErrorKind::Interrupted | io::ErrorKind::ConnectionAborted => continue,
                    _ => return Err(error),
                },
            };
            let Ok(credentials) = credentials(&stream) else {
                continue;
            };
            let admitted = may_talk(&credentials, geteuid().as_raw(), self.group);
            // The peer, too, is to learn at once that this process was killed.
            let stream = UnixStream::from(descriptor::raise(OwnedFd::from(stream)));
            return Ok(Some(Peer {
                stream,
                credentials,
                admitted,
            }));
        }
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        if self.owner == std::process::id() {
            let _ = fs::remove_file(&self.path);
        }
    }
}

impl Source for Listener {
    fn register(
        &mut self,
        registry: &Registry,
        token: Token,
        interest: Interest,
    ) -> io::Result<()> {
        self.listener.register(registry, token, interest)
    }

    fn reregister(
        &mut self,
        registry: &Registry,
        token: Token,
        interest: Interest,
    ) -> io::Result<()> {
        self.listener.reregister(registry, token, interest)
    }

    fn deregister(&mut self, registry: &Registry) -> io::Result<()> {
        self.listener.deregister(registry)
    }
}

/// Who is at the other end of this connection.
pub fn credentials(stream: &impl AsFd) -> io::Result<Credentials> {
    let peer = getsockopt(&stream.as_fd(), sockopt::PeerCredentials)?;
    let groups = peer_groups(stream);
    Ok(Credentials {
        pid: peer.pid(),
        uid: peer.uid(),
        gid: peer.gid(),
        groups,
    })
}

/// The lock file that belongs to a socket.
pub fn lock_path(socket: &Path) -> PathBuf {
    let mut name = socket.as_os_str().to_owned();
    name.push(".lock");
    PathBuf::from(name)
}

fn may_talk(peer: &Credentials, own: u32, group: Option<u32>) -> bool {
    let member = |group| peer.gid == group || peer.groups.contains(&group);
    peer.uid == 0 || peer.uid == own || group.is_some_and(member)
}

/// Supplementary groups; none where the kernel (before 4.13) does not tell.
fn peer_groups(stream: &impl AsFd) -> Vec<u32> {
    let mut groups = vec![0_u32; GROUP_LIMIT];
    let mut size = (GROUP_LIMIT * mem::size_of::<u32>()) as libc::socklen_t;
    // SAFETY: `groups` has room for `size` bytes, both live through the call, and the kernel
    // writes whole u32 values up to `size` and then the size that it used.
    let result = unsafe {
        libc::getsockopt(
            stream.as_fd().as_raw_fd(),
            libc::SOL_SOCKET,
            libc::SO_PEERGROUPS,
            groups.as_mut_ptr().cast(),
            &mut size,
        )
    };
    let count = if result == 0 {
        size as usize / mem::size_of::<u32>()
    } else {
        0
    };
    groups.truncate(count);
    groups
}

/// Removes what a dead process left; called with the lock held.
fn remove_stale(path: &Path) -> Result<(), Error> {
    match fs::symlink_metadata(path) {
        Err(_) => return Ok(()),
        Ok(found) if !found.file_type().is_socket() => {
            return Err(Error::NotASocket(path.to_owned()));
        }
        Ok(_) => {}
    }
    match UnixStream::connect(path) {
        Ok(stream) => {
            let pid = credentials(&stream).ok().map(|peer| peer.pid);
            return Err(Error::Occupied {
                path: path.to_owned(),
                pid,
            });
        }
        // Its queue of connections is full: somebody listens.
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
            return Err(Error::Occupied {
                path: path.to_owned(),
                pid: None,
            });
        }
        Err(_) => {}
    }
    fs::remove_file(path).map_err(|source| Error::Io {
        path: path.to_owned(),
        source,
    })
}

/// Binds so that the socket never has more than mode 0660, not even for an instant.
fn bind_private(path: &Path) -> io::Result<UnixListener> {
    // The mask is that of all threads: two at once would each put back that of the other.
    static MASK: Mutex<()> = Mutex::new(());
    let _held = MASK.lock().unwrap_or_else(PoisonError::into_inner);
    let before = umask(Mode::from_bits_truncate(0o117));
    let result = UnixListener::bind(path);
    umask(before);
    Ok(UnixListener::from(descriptor::raise(OwnedFd::from(
        result?,
    ))))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    fn scratch(name: &str) -> PathBuf {
        std::env::temp_dir().join(format!("socket-test-{}-{name}", std::process::id()))
    }

    #[test]
    fn a_listener_is_private_and_leaves_nothing() {
        let path = scratch("private/s.sock");
        let listener = Listener::bind(&path).unwrap();
        let mode = fs::metadata(&path).unwrap().permissions().mode() & 0o777;
        assert_eq!(mode, 0o660);
        assert!(listener.accept().unwrap().is_none());
        let client = UnixStream::connect(&path).unwrap();
        let peer = listener.accept().unwrap().unwrap();
        assert!(peer.admitted);
        assert_eq!(u32::try_from(peer.credentials.pid), Ok(std::process::id()));
        drop(client);
        drop(listener);
        assert!(!path.exists() && !lock_path(&path).exists());
        fs::remove_dir(path.parent().unwrap()).unwrap();
    }

    #[test]
    fn a_live_socket_is_refused_and_a_stale_one_replaced() {
        let path = scratch("live");
        let listener = Listener::bind(&path).unwrap();
        let error = Listener::bind(&path).unwrap_err().to_string();
        let expected = format!("already running, pid {}", std::process::id());
        assert!(error.starts_with(&expected), "{error}");
        drop(listener);

        let foreign = std::os::unix::net::UnixListener::bind(&path).unwrap();
        let error = Listener::bind(&path).unwrap_err();
        assert!(
            matches!(error, Error::Occupied { pid: Some(_), .. }),
            "{error}"
        );
        drop(foreign);
        drop(Listener::bind(&path).unwrap());
    }

    #[test]
    fn a_file_of_somebody_else_is_not_removed() {
        let path = scratch("file");
        fs::write(&path, "precious").unwrap();
        assert!(matches!(Listener::bind(&path), Err(Error::NotASocket(_))));
        assert_eq!(fs::read_to_string(&path).unwrap(), "precious");
        fs::remove_file(&path).unwrap();
    }

    #[test]
    fn another_program_is_not_taken_for_ours() {
        let peer = |pid, uid| Credentials {
            pid,
            uid,
            gid: 0,
            groups: Vec::new(),
        };
        let own = i32::try_from(std::process::id()).unwrap();
        let mut other = std::process::Command::new("sleep")
            .arg("60")
            .spawn()
            .unwrap();
        let other_pid = i32::try_from(other.id()).unwrap();
        assert!(peer(own, geteuid().as_raw()).runs_our_program());
        assert!(!peer(own, 12345).runs_our_program());
        assert!(!peer(other_pid, geteuid().as_raw()).runs_our_program());
        assert!(!peer(0, 0).runs_our_program());
        other.kill().unwrap();
        other.wait().unwrap();
    }

    #[test]
    fn only_root_ourselves_and_the_group_may_talk() {
        let peer = |uid, gid, groups: &[u32]| Credentials {
            pid: 1,
            uid,
            gid,
            groups: groups.into(),
        };
        let cases = [
            (peer(0, 0, &[]), None, true),
            (peer(500, 5, &[]), None, true),
            (peer(501, 5, &[6]), None, false),
            (peer(501, 5, &[6]), Some(7), false),
            (peer(501, 7, &[]), Some(7), true),
            (peer(501, 5, &[6, 7]), Some(7), true),
        ];
        for (credentials, group, expected) in cases {
            assert_eq!(
                may_talk(&credentials, 500, group),
                expected,
                "{credentials:?}"
            );
        }
    }
}
