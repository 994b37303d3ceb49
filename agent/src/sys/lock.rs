//! Lock files: one process at a time, and the pid of the one that is there.
//!
//! A path enters, a [`LockFile`] leaves that holds an exclusive flock(2) until it is dropped. The
//! lock says who lives; the pid inside is only for people, so a stale file is no obstacle. The
//! descriptor is raised (see [`super::descriptor`]), so that the lock of a killed process is free
//! before the kernel has taken down its hooks. [`LockFile::take_over`] is for who cleans up behind
//! a process that is dead.

use std::fmt;
use std::fs::{self, File, OpenOptions, Permissions, TryLockError};
use std::io::{self, Read, Seek, Write};
use std::os::fd::OwnedFd;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::thread::sleep;
use std::time::Duration;

use nix::unistd::geteuid;

use super::{descriptor, directory};

/// Whoever can read the file can hold up the lock, so only the agent's group may.
const MODE: u32 = 0o640;
/// Mode of a lock that nobody else has to ask about.
const PRIVATE: u32 = 0o600;
/// Tries before a held lock counts as held: one who only asks ([`holder`]) has it for an instant.
const ATTEMPTS: usize = 5;
/// Pause between two tries.
const PAUSE: Duration = Duration::from_millis(10);
/// Bytes of a lock file that are read.
const CONTENT_LIMIT: u64 = 32;

/// Why a lock was not obtained.
#[derive(Debug)]
pub enum Error {
    /// Another process holds it.
    AlreadyRunning {
        /// The lock file.
        path: PathBuf,
        /// What the file says of its holder; `None` when it does not say.
        pid: Option<u32>,
    },
    /// The file could not be made or used.
    Io {
        /// The lock file.
        path: PathBuf,
        /// What the system answered.
        source: io::Error,
    },
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Error::AlreadyRunning { path, pid: Some(pid) } => write!(
                f,
                "already running, pid {pid} (it holds {}); stop it first or choose another run_path",
                path.display()
            ),
            Error::AlreadyRunning { path, pid: None } => write!(
                f,
                "already running: a process holds {}; stop it first or choose another run_path",
                path.display()
            ),
            Error::Io { path, source } => {
                let advice = match source.kind() {
                    io::ErrorKind::PermissionDenied => "run as root",
                    _ => "see that its directory can be written",
                };
                let path = path.display();
                write!(f, "the lock file {path} cannot be used: {source}; {advice}")
            }
        }
    }
}

impl std::error::Error for Error {}

impl Error {
    /// Whether only the file system stands in the way: it is read-only or full. Who can do without
    /// the lock may go on.
    pub fn is_of_file_system(&self) -> bool {
        use io::ErrorKind::{QuotaExceeded, ReadOnlyFilesystem, StorageFull};
        let Error::Io { source, .. } = self else {
            return false;
        };
        matches!(
            source.kind(),
            QuotaExceeded | ReadOnlyFilesystem | StorageFull
        )
    }
}

/// An exclusive lock; dropping it removes the file and frees the lock.
#[derive(Debug)]
pub struct LockFile {
    file: File,
    path: PathBuf,
    owner: u32,
}

impl LockFile {
    /// Takes the lock and writes the pid of this process into the file. Missing directories are
    /// made. Returns at once, give or take [`ATTEMPTS`] short pauses.
    pub fn acquire(path: &Path) -> Result<LockFile, Error> {
        LockFile::acquire_with(path, MODE)
    }

    /// As [`LockFile::acquire`], but nobody else can open the file.
    pub fn acquire_private(path: &Path) -> Result<LockFile, Error> {
        LockFile::acquire_with(path, PRIVATE)
    }

    fn acquire_with(path: &Path, mode: u32) -> Result<LockFile, Error> {
        let failed = |source| Error::Io {
            path: path.to_owned(),
            source,
        };
        if let Some(parent) = path.parent() {
            directory::make(parent).map_err(failed)?;
        }
        for _ in 0..ATTEMPTS {
            let file = open(path, mode).map_err(failed)?;
            match file.try_lock() {
                Ok(()) if is_at(&file, path) => return LockFile::hold(file, path).map_err(failed),
                // Its last holder removed the name while we waited for the lock.
                Ok(()) => {}
                Err(TryLockError::WouldBlock) => sleep(PAUSE),
                Err(TryLockError::Error(error)) => return Err(failed(error)),
            }
        }
        Err(Error::AlreadyRunning {
            path: path.to_owned(),
            pid: read_pid(path),
        })
    }

    /// Takes the lock of a file of ours that exists, if its holder is gone. Returns at once; `None`
    /// also for what is no such file.
    pub fn take_over(path: &Path) -> Option<LockFile> {
        let file = OpenOptions::new()
            .read(true)
            .custom_flags(libc::O_NOFOLLOW | libc::O_NONBLOCK)
            .open(path)
            .ok()?;
        let found = file.metadata().ok()?;
        let is_ours = found.is_file() && found.uid() == geteuid().as_raw();
        let is_taken = is_ours && file.try_lock().is_ok() && is_at(&file, path);
        is_taken.then(|| LockFile {
            file: File::from(descriptor::raise(OwnedFd::from(file))),
            path: path.to_owned(),
            owner: std::process::id(),
        })
    }

    /// Frees the lock, but leaves the file for somebody who takes it over.
    pub fn leave(mut self) {
        let _ = self.file.unlock();
        // Nobody's: so the file stays.
        self.owner = 0;
    }

    /// The path of the file.
    pub fn path(&self) -> &Path {
        &self.path
    }

    fn hold(file: File, path: &Path) -> io::Result<LockFile> {
        let mut file = File::from(descriptor::raise(OwnedFd::from(file)));
        let owner = std::process::id();
        directory::give_to_group(path, directory::agent_group());
        file.set_len(0)?;
        file.rewind()?;
        writeln!(file, "{owner}")?;
        Ok(LockFile {
            file,
            path: path.to_owned(),
            owner,
        })
    }
}

impl Drop for LockFile {
    fn drop(&mut self) {
        // A forked child shares the lock, but it is not its to give up.
        if self.owner != std::process::id() {
            return;
        }
        if is_at(&self.file, &self.path) {
            let _ = fs::remove_file(&self.path);
        }
        // Closing would not do while a forked child still has the descriptor.
        let _ = self.file.unlock();
    }
}

/// Whether a living process holds the lock, and its pid as the file has it (0 when it has none).
/// A missing file is an unheld lock.
pub fn holder(path: &Path) -> Result<Option<u32>, Error> {
    let file = match OpenOptions::new()
        .read(true)
        .custom_flags(libc::O_NOFOLLOW)
        .open(path)
    {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(source) => {
            return Err(Error::Io {
                path: path.to_owned(),
                source,
            })
        }
    };
    match file.try_lock_shared() {
        Ok(()) => Ok(None),
        Err(TryLockError::WouldBlock) => Ok(Some(read_pid(path).unwrap_or(0))),
        Err(TryLockError::Error(source)) => Err(Error::Io {
            path: path.to_owned(),
            source,
        }),
    }
}

fn open(path: &Path, mode: u32) -> io::Result<File> {
    let file = OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .mode(mode)
        .custom_flags(libc::O_NOFOLLOW | libc::O_NONBLOCK)
        .open(path)?;
    let found = file.metadata()?;
    if found.uid() == geteuid().as_raw() && found.mode() & 0o777 != mode {
        file.set_permissions(Permissions::from_mode(mode))?;
    }
    Ok(file)
}

/// Whether the open file is still the one that the path names.
fn is_at(file: &File, path: &Path) -> bool {
    match (file.metadata(), fs::symlink_metadata(path)) {
        (Ok(ours), Ok(named)) => ours.dev() == named.dev() && ours.ino() == named.ino(),
        _ => false,
    }
}

fn read_pid(path: &Path) -> Option<u32> {
    let mut text = String::new();
    let file = OpenOptions::new()
        .read(true)
        .custom_flags(libc::O_NOFOLLOW)
        .open(path)
        .ok()?;
    file.take(CONTENT_LIMIT).read_to_string(&mut text).ok()?;
    text.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scratch(name: &str) -> PathBuf {
        std::env::temp_dir().join(format!("lock-test-{}-{name}", std::process::id()))
    }

    #[test]
    fn a_second_holder_is_refused_and_told_the_pid() {
        let path = scratch("second");
        let held = LockFile::acquire(&path).unwrap();
        let error = LockFile::acquire(&path).unwrap_err();
        let expected = format!("already running, pid {}", std::process::id());
        assert!(error.to_string().starts_with(&expected), "{error}");
        assert_eq!(holder(&path).unwrap(), Some(std::process::id()));
        drop(held);
        assert!(!path.exists());
        assert_eq!(holder(&path).unwrap(), None);
        LockFile::acquire(&path).unwrap();
    }

    #[test]
    fn a_stale_file_is_taken_over() {
        let path = scratch("stale");
        fs::write(&path, "4194304999 and much more text than a pid has\n").unwrap();
        let held = LockFile::acquire(&path).unwrap();
        let text = fs::read_to_string(&path).unwrap();
        assert_eq!(text, format!("{}\n", std::process::id()));
        drop(held);
    }

    #[test]
    fn an_ordinary_user_cannot_open_the_file() {
        let path = scratch("mode");
        fs::write(&path, "").unwrap();
        fs::set_permissions(&path, Permissions::from_mode(0o644)).unwrap();
        let held = LockFile::acquire(&path).unwrap();
        assert_eq!(fs::metadata(&path).unwrap().mode() & 0o777, MODE);
        drop(held);
    }

    #[test]
    fn only_the_lock_of_a_dead_holder_is_taken_over() {
        let path = scratch("over");
        assert!(LockFile::take_over(&path).is_none());
        let held = LockFile::acquire_private(&path).unwrap();
        assert_eq!(fs::metadata(&path).unwrap().mode() & 0o777, PRIVATE);
        assert!(LockFile::take_over(&path).is_none());
        held.leave();
        assert!(path.exists());
        let taken = LockFile::take_over(&path).unwrap();
        assert!(LockFile::take_over(&path).is_none());
        drop(taken);
        assert!(!path.exists());
        std::os::unix::fs::symlink("/proc/self/stat", &path).unwrap();
        assert!(LockFile::take_over(&path).is_none());
        fs::remove_file(&path).unwrap();
    }

    #[test]
    fn a_symlink_is_not_followed() {
        let path = scratch("link");
        let target = scratch("target");
        std::os::unix::fs::symlink(&target, &path).unwrap();
        assert!(matches!(LockFile::acquire(&path), Err(Error::Io { .. })));
        assert!(!target.exists());
        fs::remove_file(&path).unwrap();
    }
}
