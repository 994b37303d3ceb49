//! The private directory in which an archive is made, next to where it will be.
//!
//! It belongs to us alone (mode 0700) and is locked with flock(2) as long as we live. It goes with
//! us; what a killed run has left is removed by the next one, which knows by the lock that nobody
//! needs it. Its files are reached through the descriptor that holds the lock, so that it does not
//! matter what the owner of the directory around it puts in its place.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io;
use std::os::fd::AsRawFd;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

/// What the names of these directories begin with.
const PREFIX: &str = ".security-agent-flare-";
/// The file that becomes the archive.
const ARCHIVE: &str = "archive.tar.gz";
/// The file that holds what is about to enter it.
const ENTRY: &str = "entry";
/// Names that are tried for one directory.
const ATTEMPTS: u32 = 100;
/// Directories of others that are looked at; where there are more, somebody plays with us.
const MOST_OTHERS: usize = 1_000;

/// The directory.
#[derive(Debug)]
pub(super) struct Staging {
    path: PathBuf,
    /// Holds the lock, and leads to the files.
    directory: File,
}

impl Staging {
    /// Makes one in this directory, and removes what runs before left there.
    pub(super) fn make(parent: &Path) -> io::Result<Staging> {
        remove_abandoned(parent);
        for attempt in 0..ATTEMPTS {
            let path = parent.join(format!("{PREFIX}{}-{attempt}", std::process::id()));
            match DirBuilder::new().mode(0o700).create(&path) {
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => continue,
                made => made?,
            }
            let directory = match lock(&path) {
                Ok(directory) => directory,
                // Another run takes it for abandoned, as it was not locked yet.
                Err(error) if is_taken(error.kind()) => continue,
                Err(error) => {
                    let _ = fs::remove_dir(&path);
                    return Err(error);
                }
            };
            let found = directory.metadata()?;
            // It gets the set-group-ID bit of a parent that has it.
            let is_own = found.uid() == own() && found.mode() & 0o777 == 0o700;
            if found.nlink() > 0 && is_own {
                return Ok(Staging { path, directory });
            }
        }
        Err(io::ErrorKind::AlreadyExists.into())
    }

    /// The file that becomes the archive, empty.
    pub(super) fn archive(&self) -> io::Result<File> {
        create(&inside(&self.directory, ARCHIVE))
    }

    /// The file for what is about to enter the archive, empty.
    pub(super) fn entry(&self) -> io::Result<File> {
        create(&inside(&self.directory, ENTRY))
    }

    /// Gives the archive the first of these names that is free, in place of none that exists.
    pub(super) fn publish(&self, mut names: impl Iterator<Item = PathBuf>) -> io::Result<PathBuf> {
        let from = inside(&self.directory, ARCHIVE);
        loop {
            let to = names.next().ok_or(io::ErrorKind::AlreadyExists)?;
            match rename(&from, &to) {
                Ok(()) => return Ok(to),
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
                Err(error) => return Err(error),
            }
        }
    }
}

impl Drop for Staging {
    fn drop(&mut self) {
        remove(&self.path, &self.directory);
    }
}

fn own() -> u32 {
    nix::unistd::geteuid().as_raw()
}

fn is_taken(kind: io::ErrorKind) -> bool {
    matches!(kind, io::ErrorKind::NotFound | io::ErrorKind::WouldBlock)
}

/// A name in an open directory, wherever that is now.
fn inside(directory: &File, name: &str) -> PathBuf {
    PathBuf::from(format!("/proc/self/fd/{}/{name}", directory.as_raw_fd()))
}

fn create(path: &Path) -> io::Result<File> {
    OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .custom_flags(libc::O_NOFOLLOW)
        .open(path)
}

fn lock(path: &Path) -> io::Result<File> {
    let directory = OpenOptions::new()
        .read(true)
        .custom_flags(libc::O_DIRECTORY | libc::O_NOFOLLOW | libc::O_NONBLOCK)
        .open(path)?;
    directory.try_lock().map_err(io::Error::from)?;
    Ok(directory)
}

/// Renames without replacing: the name is taken first, by an empty file of ours.
fn rename(from: &Path, to: &Path) -> io::Result<()> {
    OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(to)?;
    fs::rename(from, to).inspect_err(|_| {
        let _ = fs::remove_file(to);
    })
}

/// Removes directories of ours that no living process has locked.
fn remove_abandoned(parent: &Path) {
    let Ok(entries) = fs::read_dir(parent) else {
        return;
    };
    let named = entries
        .filter_map(Result::ok)
        .filter(|entry| entry.file_name().to_string_lossy().starts_with(PREFIX));
    for entry in named.take(MOST_OTHERS) {
        let path = entry.path();
        let is_own = fs::symlink_metadata(&path).is_ok_and(|found| found.uid() == own());
        if let Some(directory) = is_own.then(|| lock(&path).ok()).flatten() {
            remove(&path, &directory);
        }
    }
}

/// Removes a directory and the files that we make in it.
fn remove(path: &Path, directory: &File) {
    for name in [ARCHIVE, ENTRY] {
        let _ = fs::remove_file(inside(directory, name));
    }
    let _ = fs::remove_dir(path);
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;
    use std::os::unix::fs::PermissionsExt;

    fn scratch(name: &str) -> PathBuf {
        let path = std::env::temp_dir().join(format!("staging-{name}-{}", std::process::id()));
        fs::create_dir_all(&path).unwrap();
        path
    }

    #[test]
    fn a_parent_with_the_set_group_id_bit_is_no_obstacle() {
        let parent = scratch("setgid");
        fs::set_permissions(&parent, fs::Permissions::from_mode(0o2755)).unwrap();
        let staging = Staging::make(&parent).unwrap();
        let mode = fs::metadata(&staging.path).unwrap().permissions().mode();
        assert_eq!(mode & 0o7777, 0o2700);
        drop(staging);
        assert_eq!(fs::read_dir(&parent).unwrap().count(), 0);
        fs::remove_dir(&parent).unwrap();
    }

    fn names(parent: &Path) -> Vec<String> {
        let entries = fs::read_dir(parent).unwrap();
        let name = |entry: io::Result<fs::DirEntry>| entry.unwrap().file_name();
        let mut names: Vec<String> = entries
            .map(|entry| name(entry).to_string_lossy().into_owned())
            .collect();
        names.sort();
        names
    }

    #[test]
    fn an_archive_replaces_nothing() {
        let parent = scratch("publish");
        fs::write(parent.join("a"), "old").unwrap();
        let staging = Staging::make(&parent).unwrap();
        staging.archive().unwrap().write_all(b"new").unwrap();
        staging.entry().unwrap();
        let wanted = ["a", "b"].map(|name| parent.join(name));
        let published = staging.publish(wanted.into_iter()).unwrap();
        assert_eq!(published, parent.join("b"));
        drop(staging);
        assert_eq!(names(&parent), ["a", "b"]);
        assert_eq!(fs::read(parent.join("a")).unwrap(), b"old");
        assert_eq!(fs::metadata(published).unwrap().mode() & 0o777, 0o600);
        fs::remove_dir_all(&parent).unwrap();
    }

    #[test]
    fn what_a_killed_run_left_is_removed_and_a_living_one_is_not() {
        let parent = scratch("abandoned");
        let dead = parent.join(format!("{PREFIX}1-0"));
        fs::create_dir(&dead).unwrap();
        fs::write(dead.join(ARCHIVE), "x").unwrap();
        let living = Staging::make(&parent).unwrap();
        let other = Staging::make(&parent).unwrap();
        assert!(!dead.exists() && living.path.exists() && other.path.exists());
        drop((living, other));
        assert!(names(&parent).is_empty());
        fs::remove_dir_all(&parent).unwrap();
    }
}
