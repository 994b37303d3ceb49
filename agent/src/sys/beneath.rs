//! Reading what lies below a directory that others can write.
//!
//! A directory and a path below it enter; an open regular file, or the names in a directory, leave.
//! No link leads out of the directory, and nothing but regular files is opened for reading: what a
//! path leads to is looked at first, through a descriptor that only names it.

use std::ffi::{OsStr, OsString};
use std::fs::{File, OpenOptions};
use std::io;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Component, Path};

use nix::dir::{Dir, Type};
use nix::errno::Errno;
use nix::fcntl::{openat2, OFlag, OpenHow, ResolveFlag};
use nix::sys::stat::Mode;

use super::files::{self, Last};

/// Opens a regular file for reading, wherever it is; links are followed.
pub fn open_regular(path: &Path) -> io::Result<File> {
    read(files::open_path(path, Last::Follow)?)
}

/// Opens the regular file at `path` below `root`; links are followed as long as they stay there.
/// Before Linux 5.6 none is followed.
pub fn open_beneath(root: &Path, path: &Path) -> io::Result<File> {
    read(name_beneath(root, path)?)
}

/// The names in a directory at `path` below `root`, in no order, and whether each is a directory
/// itself; links are none. The root may be a link, what is below it may not.
pub fn list_beneath(root: &Path, path: &Path) -> io::Result<Vec<(OsString, bool)>> {
    let named = match path.as_os_str().is_empty() {
        true => files::open_path(root, Last::Follow)?,
        false => name_beneath(root, path)?,
    };
    let flags = OFlag::O_RDONLY | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC | OFlag::O_NONBLOCK;
    let mut directory = Dir::openat(named.as_fd(), ".", flags, Mode::empty())?;
    let mut found = Vec::new();
    for entry in directory.iter() {
        let entry = entry?;
        let name = OsStr::from_bytes(entry.file_name().to_bytes());
        if name == "." || name == ".." {
            continue;
        }
        let is_directory = match entry.file_type() {
            Some(kind) => kind == Type::Directory,
            // Some file systems do not tell.
            None => files::open_entry(named.as_fd(), name.as_bytes())
                .and_then(|entry| files::metadata(entry.as_fd()))
                .is_ok_and(|found| is(found.mode, libc::S_IFDIR)),
        };
        found.push((name.to_owned(), is_directory));
    }
    Ok(found)
}

/// A descriptor that only names what is at `path` below `root`.
fn name_beneath(root: &Path, path: &Path) -> io::Result<OwnedFd> {
    let root = files::open_path(root, Last::Follow)?;
    let how = OpenHow::new()
        .flags(OFlag::O_PATH | OFlag::O_CLOEXEC)
        .resolve(ResolveFlag::RESOLVE_BENEATH | ResolveFlag::RESOLVE_NO_MAGICLINKS);
    match openat2(root.as_fd(), path, how) {
        Ok(named) => Ok(named),
        // Older seccomp profiles of containers forbid what they do not know.
        Err(Errno::ENOSYS | Errno::EPERM) => step_by_step(root, path),
        Err(Errno::EXDEV) => Err(io::Error::other("it leads out of its directory")),
        Err(error) => Err(error.into()),
    }
}

/// The same where the kernel cannot do it at once: each part by itself, none of them a link.
fn step_by_step(root: OwnedFd, path: &Path) -> io::Result<OwnedFd> {
    let mut at = root;
    for part in path.components() {
        let Component::Normal(name) = part else {
            return Err(io::Error::other("it leads out of its directory"));
        };
        at = files::open_entry(at.as_fd(), name.as_bytes())?;
    }
    Ok(at)
}

/// Opens for reading what a descriptor names, if it is a regular file.
fn read(named: OwnedFd) -> io::Result<File> {
    let found = files::metadata(named.as_fd())?;
    if !is(found.mode, libc::S_IFREG) {
        return Err(io::Error::other("it is not a regular file"));
    }
    OpenOptions::new()
        .read(true)
        .custom_flags(libc::O_NONBLOCK | libc::O_NOCTTY)
        .open(format!("/proc/self/fd/{}", named.as_raw_fd()))
}

fn is(mode: u16, kind: libc::mode_t) -> bool {
    u32::from(mode) & libc::S_IFMT == kind
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use std::io::Read;
    use std::os::unix::fs::symlink;

    #[test]
    fn nothing_outside_is_reached() {
        let base = std::env::temp_dir().join(format!("beneath-{}", std::process::id()));
        let root = base.join("root");
        fs::create_dir_all(root.join("deep")).unwrap();
        fs::write(base.join("secret"), "secret").unwrap();
        fs::write(root.join("deep/file"), "inside").unwrap();
        symlink("../secret", root.join("up")).unwrap();
        symlink(base.join("secret"), root.join("absolute")).unwrap();
        symlink("deep/file", root.join("link")).unwrap();
        for path in ["up", "absolute", "../secret", "deep", "missing"] {
            assert!(open_beneath(&root, Path::new(path)).is_err(), "{path}");
        }
        let mut text = String::new();
        let mut file = open_beneath(&root, Path::new("deep/file")).unwrap();
        file.read_to_string(&mut text).unwrap();
        assert_eq!(text, "inside");
        let mut names = list_beneath(&root, Path::new("")).unwrap();
        names.sort();
        let names: Vec<_> = names
            .iter()
            .map(|(name, is_directory)| (name.to_str().unwrap(), *is_directory))
            .collect();
        let expected = [
            ("absolute", false),
            ("deep", true),
            ("link", false),
            ("up", false),
        ];
        assert_eq!(names, expected);
        let named = files::open_path(&root, Last::Follow).unwrap();
        assert!(step_by_step(named.try_clone().unwrap(), Path::new("deep/file")).is_ok());
        let link = step_by_step(named.try_clone().unwrap(), Path::new("link")).unwrap();
        assert!(
            read(link).is_err(),
            "a link is not followed where it cannot be checked"
        );
        assert!(step_by_step(named, Path::new("../secret")).is_err());
        fs::remove_dir_all(&base).unwrap();
    }
}
