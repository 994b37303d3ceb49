//! The spool's directory: opened once, locked, and the only way to its files.
//!
//! A path enters; file names are then looked up below the descriptor, so whoever replaces the
//! path later cannot lead the agent elsewhere. Symbolic links are never followed. What the files
//! hold is not known here.

use std::fmt;
use std::fs::{self, DirBuilder, File, OpenOptions, Permissions, TryLockError};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use nix::dir::Dir;
use nix::fcntl::{openat, renameat, OFlag};
use nix::sys::stat::Mode;
use nix::unistd::{geteuid, unlinkat, UnlinkatFlags};

use crate::sys::directory::make;

/// Only we may look into it.
const DIRECTORY_MODE: u32 = 0o700;
/// Files of a directory that are looked at; the spool's own bounds stay far below.
const MOST_FILES: usize = 65_536;
/// What a file is called until it is whole.
const UNFINISHED: &str = ".tmp";

/// Why the directory or a file in it cannot be used.
#[derive(Debug)]
pub enum Error {
    /// The path names a link or a file.
    NoDirectory(PathBuf),
    /// The directory belongs to another user.
    Foreign {
        /// The directory.
        path: PathBuf,
        /// Its owner.
        owner: u32,
    },
    /// Another process holds the lock.
    InUse(PathBuf),
    /// The path names another directory than the one that was opened, or none.
    Replaced(PathBuf),
    /// The system refused.
    Io {
        /// What was to be used.
        path: PathBuf,
        /// What the system answered.
        source: io::Error,
    },
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Error::NoDirectory(path) => write!(
                f,
                "{} is a link or no directory; remove it, the agent makes its own",
                path.display()
            ),
            Error::Foreign { path, owner } => write!(
                f,
                "{} belongs to user {owner}; give it to the user of the agent or remove it",
                path.display()
            ),
            Error::InUse(path) => write!(
                f,
                "another process uses {}; stop it or choose another run_path",
                path.display()
            ),
            Error::Replaced(path) => {
                write!(f, "{} was removed or replaced; see who did", path.display())
            }
            Error::Io { path, source } => {
                let advice = match source.kind() {
                    io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => "free some space",
                    io::ErrorKind::ReadOnlyFilesystem => "mount it writable",
                    io::ErrorKind::PermissionDenied => "give it to the user of the agent",
                    _ => "see that the disk works",
                };
                write!(f, "{} cannot be used: {source}; {advice}", path.display())
            }
        }
    }
}

impl std::error::Error for Error {}

impl Error {
    /// Whether the file is as it was, only that there is no descriptor or memory for it now.
    pub fn is_passing(&self) -> bool {
        let Error::Io { source, .. } = self else {
            return false;
        };
        matches!(
            source.raw_os_error(),
            Some(libc::EMFILE | libc::ENFILE | libc::ENOMEM | libc::EINTR)
        )
    }
}

/// The directory, locked against other processes until it is dropped.
#[derive(Debug)]
pub struct Directory {
    file: File,
    path: PathBuf,
    owner: u32,
}

impl Directory {
    /// Opens and locks the directory; it and its parents are made when they are missing.
    pub fn open(path: &Path) -> Result<Directory, Error> {
        let failed = |source| Error::Io {
            path: path.to_owned(),
            source,
        };
        if let Some(parent) = path.parent() {
            make(parent).map_err(failed)?;
        }
        match DirBuilder::new().mode(DIRECTORY_MODE).create(path) {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => {
                // What is there already can still be read where nothing can be made.
                fs::symlink_metadata(path).map_err(|_| failed(error))?;
            }
            _ => {}
        }
        let file = OpenOptions::new()
            .read(true)
            .custom_flags(libc::O_DIRECTORY | libc::O_NOFOLLOW)
            .open(path)
            .map_err(|source| match source.raw_os_error() {
                Some(libc::ENOTDIR | libc::ELOOP) => Error::NoDirectory(path.to_owned()),
                _ => failed(source),
            })?;
        let found = file.metadata().map_err(failed)?;
        if found.uid() != geteuid().as_raw() {
            return Err(Error::Foreign {
                path: path.to_owned(),
                owner: found.uid(),
            });
        }
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Err(Error::InUse(path.to_owned())),
            Err(TryLockError::Error(error)) => return Err(failed(error)),
        }
        if found.mode() & 0o7777 != DIRECTORY_MODE {
            // A read-only file system refuses; reading what is there does no harm.
            let _ = file.set_permissions(Permissions::from_mode(DIRECTORY_MODE));
        }
        Ok(Directory {
            file,
            path: path.to_owned(),
            owner: std::process::id(),
        })
    }

    /// The path it was opened by.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Fails when the path names another directory by now, or none.
    pub fn check(&self) -> Result<(), Error> {
        match (self.file.metadata(), fs::symlink_metadata(&self.path)) {
            (Ok(ours), Ok(named)) if ours.dev() == named.dev() && ours.ino() == named.ino() => {
                Ok(())
            }
            _ => Err(Error::Replaced(self.path.clone())),
        }
    }

    /// Names of the files in it, without those that were never finished, which are removed.
    pub fn names(&self) -> Result<Vec<String>, Error> {
        let flags = OFlag::O_RDONLY | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC;
        let mut dir = Dir::openat(&self.file, ".", flags, Mode::empty())
            .map_err(|error| self.error(".", error.into()))?;
        let mut names = Vec::new();
        for entry in dir.iter().take(MOST_FILES) {
            let entry = entry.map_err(|error| self.error(".", error.into()))?;
            let Ok(name) = entry.file_name().to_str() else {
                continue;
            };
            if name.ends_with(UNFINISHED) {
                let _ = self.remove(name);
            } else {
                names.push(name.to_owned());
            }
        }
        Ok(names)
    }

    /// Opens a regular file for reading.
    pub fn open_file(&self, name: &str) -> Result<File, Error> {
        self.open_at(name, OFlag::O_RDONLY)
    }

    /// Opens a regular file for reading and writing.
    pub fn open_writable(&self, name: &str) -> Result<File, Error> {
        self.open_at(name, OFlag::O_RDWR)
    }

    /// Makes an empty file.
    pub fn create(&self, name: &str) -> Result<File, Error> {
        self.open_at(name, OFlag::O_RDWR | OFlag::O_CREAT | OFlag::O_TRUNC)
    }

    /// At most `limit` bytes of a file; `None` when there is no such file.
    pub fn read(&self, name: &str, limit: u64) -> Result<Option<Vec<u8>>, Error> {
        let file = match self.open_file(name) {
            Err(Error::Io { source, .. }) if source.kind() == io::ErrorKind::NotFound => {
                return Ok(None)
            }
            file => file?,
        };
        let mut bytes = Vec::new();
        match file.take(limit).read_to_end(&mut bytes) {
            Ok(_) => Ok(Some(bytes)),
            Err(error) => Err(self.error(name, error)),
        }
    }

    /// Replaces a file as a whole; on the disk itself before its name is given, when `sync`.
    pub fn replace(&self, name: &str, bytes: &[u8], sync: bool) -> Result<(), Error> {
        let unfinished = format!("{name}{UNFINISHED}");
        let mut file = self.create(&unfinished)?;
        let written = file
            .write_all(bytes)
            .and_then(|()| if sync { file.sync_data() } else { Ok(()) })
            .and_then(|()| {
                renameat(&self.file, unfinished.as_str(), &self.file, name).map_err(io::Error::from)
            });
        written.map_err(|error| {
            let _ = self.remove(&unfinished);
            self.error(name, error)
        })
    }

    /// Removes a file.
    pub fn remove(&self, name: &str) -> Result<(), Error> {
        unlinkat(&self.file, name, UnlinkatFlags::NoRemoveDir)
            .map_err(|error| self.error(name, error.into()))
    }

    /// Waits until the names of new files are on the disk itself.
    pub fn sync(&self) -> Result<(), Error> {
        self.file.sync_all().map_err(|error| self.error(".", error))
    }

    /// An error of a file in this directory.
    pub fn error(&self, name: &str, source: io::Error) -> Error {
        let path = match name {
            "." => self.path.clone(),
            name => self.path.join(name),
        };
        Error::Io { path, source }
    }

    fn open_at(&self, name: &str, flags: OFlag) -> Result<File, Error> {
        let flags = flags | OFlag::O_NOFOLLOW | OFlag::O_NONBLOCK | OFlag::O_CLOEXEC;
        let mode = Mode::S_IRUSR | Mode::S_IWUSR;
        let file = openat(&self.file, name, flags, mode)
            .map(File::from)
            .map_err(|error| self.error(name, error.into()))?;
        match file.metadata() {
            Ok(found) if found.is_file() => Ok(file),
            Ok(_) => Err(self.error(name, io::Error::other("it is not a regular file"))),
            Err(error) => Err(self.error(name, error)),
        }
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        // Closing would not do while a forked child still has the descriptor; and a forked
        // child must not give up what is not its own.
        if self.owner == std::process::id() {
            let _ = self.file.unlock();
        }
    }
}
