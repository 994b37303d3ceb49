//! Finding a file below a root directory that is not our own, without ever waiting for a server.
//!
//! The kernel does it (`openat2`) where its memory suffices. Else it is done component by
//! component, so that a link or a `..` on the way cannot lead into a file system that must be
//! left alone. A root and a path enter, a descriptor that only names the file leaves.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use nix::errno::Errno;

use super::mounts::Borders;
use crate::sys::files::{metadata, mount_id, open_cached, open_entry, read_link_at, Last};

/// The most symbolic links that are followed, as in the kernel.
const MAX_LINKS: usize = 40;
/// The most components that are walked, links included.
const MAX_STEPS: usize = 4_096;

/// Whether this kernel opens from memory alone; learned from its first refusal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Walker {
    has_cached: bool,
}

impl Default for Walker {
    fn default() -> Walker {
        Walker { has_cached: true }
    }
}

impl Walker {
    /// A walker that never uses `openat2`.
    #[cfg(test)]
    pub(super) fn by_hand() -> Walker {
        Walker { has_cached: false }
    }

    /// The file at `path` below `root`. What the kernel's memory does not hold is searched
    /// within `borders`, which are asked for only then; at one the error is `EWOULDBLOCK`.
    pub fn open(
        &mut self,
        root: BorrowedFd<'_>,
        path: &[u8],
        last: Last,
        borders: impl FnOnce() -> Borders,
    ) -> Result<OwnedFd, Errno> {
        if self.has_cached {
            match open_cached(root, path, last) {
                Err(Errno::EINVAL | Errno::ENOSYS | Errno::EPERM) => self.has_cached = false,
                Err(Errno::EAGAIN) => {}
                result => return result,
            }
        }
        walk(root, path, last, &borders())
    }
}

/// The components of a path, last first, without empty ones and `.`.
fn reversed(path: &[u8]) -> Vec<Vec<u8>> {
    path.rsplit(|byte| *byte == b'/')
        .filter(|name| !name.is_empty() && *name != b".")
        .map(<[u8]>::to_vec)
        .collect()
}

/// An entry of a directory, and the target where it is a link.
struct Entry {
    file: OwnedFd,
    link: Option<Vec<u8>>,
}

/// The entry `name` of `directory`, which is within the borders. `EWOULDBLOCK` when the entry is
/// not; `EXDEV`, as of the kernel, for a link that only the kernel can follow.
fn entry(
    directory: BorrowedFd<'_>,
    name: &[u8],
    follow: bool,
    borders: &Borders,
) -> Result<Entry, Errno> {
    if !borders.may_enter(name) {
        return Err(Errno::EWOULDBLOCK);
    }
    let file = open_entry(directory, name)?;
    let (is_link, mount) = looked_at(file.as_fd(), borders)?;
    if !is_link || !follow {
        return Ok(Entry { file, link: None });
    }
    let target = read_link_at(file.as_fd())?;
    let is_handle = target.starts_with(b"/") || target.windows(2).any(|pair| pair == b":[");
    if is_handle && borders.is_proc(mount) {
        return Err(Errno::EXDEV);
    }
    Ok(Entry {
        file,
        link: Some(target),
    })
}

/// Whether an open file is a link, and its mount; `EWOULDBLOCK` when it is beyond the borders.
fn looked_at(file: BorrowedFd<'_>, borders: &Borders) -> Result<(bool, u32), Errno> {
    let metadata = metadata(file)?;
    let mount = mount_id(file, &metadata);
    match borders.is_safe(mount) {
        true => Ok((metadata.is_link(), mount)),
        false => Err(Errno::EWOULDBLOCK),
    }
}

/// The walk by hand: a stack of directories, which `..` cannot pop below the root.
fn walk(
    root: BorrowedFd<'_>,
    path: &[u8],
    last: Last,
    borders: &Borders,
) -> Result<OwnedFd, Errno> {
    looked_at(root, borders)?;
    let directory_wanted = path.ends_with(b"/");
    let mut ahead = reversed(path);
    let mut behind: Vec<OwnedFd> = Vec::new();
    let mut links = 0;
    for _ in 0..MAX_STEPS {
        let Some(name) = ahead.pop() else {
            return match behind.pop() {
                Some(file) => Ok(file),
                None => root.try_clone_to_owned().map_err(|_| Errno::EMFILE),
            };
        };
        if name == b".." {
            behind.pop();
            continue;
        }
        let here = behind.last().map_or(root, |directory| directory.as_fd());
        let follow = !ahead.is_empty() || directory_wanted || last == Last::Follow;
        let Entry { file, link } = entry(here, &name, follow, borders)?;
        let Some(target) = link else {
            behind.push(file);
            continue;
        };
        links += 1;
        if links > MAX_LINKS {
            return Err(Errno::ELOOP);
        }
        if target.starts_with(b"/") {
            behind.clear();
        }
        ahead.extend(reversed(&target));
    }
    Err(Errno::ENAMETOOLONG)
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::symlink;
    use std::path::Path;

    use super::*;
    use crate::sys::files::{descriptor_path, open_path};

    /// Builds a small tree and checks both walkers on it.
    #[test]
    fn both_walkers_find_the_same() {
        let base = std::env::temp_dir().join(format!("walk-test-{}", std::process::id()));
        fs::create_dir_all(base.join("a/b/c")).unwrap();
        fs::write(base.join("a/b/c/file"), "").unwrap();
        symlink("/a/b", base.join("absolute")).unwrap();
        symlink("../a/b", base.join("a/relative")).unwrap();
        symlink("loop", base.join("loop")).unwrap();
        symlink("/a/b/c/file", base.join("a/last")).unwrap();
        for (path, last, expected) in [
            ("/a/b/c/file", Last::Follow, Ok("/a/b/c/file")),
            ("a//b/./c/../c/file", Last::Follow, Ok("/a/b/c/file")),
            ("/absolute/c/file", Last::Follow, Ok("/a/b/c/file")),
            ("/a/relative/c/file", Last::Keep, Ok("/a/b/c/file")),
            ("/../../../a/b", Last::Follow, Ok("/a/b")),
            ("/", Last::Follow, Ok("")),
            ("/a/last", Last::Follow, Ok("/a/b/c/file")),
            ("/a/last", Last::Keep, Ok("/a/last")),
            ("/absolute/", Last::Keep, Ok("/a/b")),
            ("/loop", Last::Follow, Err(Errno::ELOOP)),
            ("/loop", Last::Keep, Ok("/loop")),
            ("/a/nothing", Last::Follow, Err(Errno::ENOENT)),
            ("/a/b/c/file/x", Last::Follow, Err(Errno::ENOTDIR)),
        ] {
            for mut walker in [Walker::default(), Walker::by_hand()] {
                let root = open_path(Path::new(&base), Last::Follow).unwrap();
                let found = walker
                    .open(root.as_fd(), path.as_bytes(), last, own)
                    .map(|file| descriptor_path(file.as_fd()).unwrap());
                let expected = expected.map(|rest| {
                    let base = base.to_str().unwrap();
                    format!("{base}{rest}").into_bytes()
                });
                assert_eq!(found, expected, "{path} {last:?} {walker:?}");
            }
        }
        fs::remove_dir_all(&base).unwrap();
    }

    fn own() -> Borders {
        Borders::of(std::process::id())
    }

    /// A table where `/` is an ordinary file system and `name` one that waits.
    fn table(name: &str) -> Borders {
        let root = open_path(Path::new("/"), Last::Follow).unwrap();
        let id = metadata(root.as_fd()).unwrap().mount_id;
        let lines = format!(
            "{id} 1 8:1 / / rw - ext4 /dev/sda rw\n999999 {id} 0:9 / /srv/{name} rw - nfs4 a:/ rw"
        );
        Borders::parse(&lines)
    }

    #[test]
    fn a_link_into_a_waiting_mount_once_hung_the_loop() {
        let base = std::env::temp_dir().join(format!("walk-border-{}", std::process::id()));
        fs::create_dir_all(base.join("fs/share/dir")).unwrap();
        fs::create_dir_all(base.join("ordinary")).unwrap();
        symlink("/fs/share/dir", base.join("harmless")).unwrap();
        symlink("../harmless", base.join("ordinary/again")).unwrap();
        let root = open_path(Path::new(&base), Last::Follow).unwrap();
        let known = metadata(root.as_fd()).unwrap().mount_id;
        let mut tmp_too = table("share");
        tmp_too.learn(&format!("{known} 1 8:1 / /tmp rw - ext4 /dev/sda rw"));
        for (path, last, expected) in [
            ("/fs/share/x", Last::Follow, Some(Errno::EWOULDBLOCK)),
            ("/harmless", Last::Follow, Some(Errno::EWOULDBLOCK)),
            ("/harmless/", Last::Keep, Some(Errno::EWOULDBLOCK)),
            ("/ordinary/again/x", Last::Keep, Some(Errno::EWOULDBLOCK)),
            ("/harmless", Last::Keep, None),
            ("/ordinary", Last::Follow, None),
        ] {
            let found = walk(root.as_fd(), path.as_bytes(), last, &tmp_too);
            assert_eq!(found.err(), expected, "{path}");
        }
        fs::remove_dir_all(&base).unwrap();
    }

    #[test]
    fn a_mount_that_waits_or_is_unknown_is_left_alone() {
        let root = open_path(Path::new("/"), Last::Follow).unwrap();
        for (path, expected) in [
            ("/", None),
            ("/proc/version", Some(Errno::EWOULDBLOCK)),
            ("/proc", Some(Errno::EWOULDBLOCK)),
        ] {
            let found = walk(root.as_fd(), path.as_bytes(), Last::Follow, &table("x"));
            assert_eq!(found.err(), expected, "{path}");
        }
        let found = Walker::by_hand().open(root.as_fd(), b"/etc", Last::Follow, Borders::default);
        assert_eq!(found.unwrap_err(), Errno::EWOULDBLOCK);
    }

    #[test]
    fn handles_of_proc_are_not_followed_as_text() {
        let root = open_path(Path::new("/"), Last::Follow).unwrap();
        for (path, expected) in [
            ("/proc/self/exe", Some(Errno::EXDEV)),
            ("/proc/self/ns/mnt", Some(Errno::EXDEV)),
            ("/proc/self/root/etc", Some(Errno::EXDEV)),
            ("/proc/mounts", None),
            ("/proc/self/status", None),
        ] {
            let found = walk(root.as_fd(), path.as_bytes(), Last::Follow, &own());
            assert_eq!(found.err(), expected, "{path}");
        }
    }
}
