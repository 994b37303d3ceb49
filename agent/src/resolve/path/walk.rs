//! Finding a file below a root directory that is not our own.
//!
//! The kernel does it (`openat2`), from its memory alone where it can. Kernels that have no
//! `openat2` get the same walk component by component. A root and a path enter, a descriptor
//! that only names the file leaves.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use nix::errno::Errno;

use crate::sys::files::{metadata, open_entry, open_in_root, read_link_at, Last};

/// The most symbolic links that are followed, as in the kernel.
const MAX_LINKS: usize = 40;
/// The most components that are walked, links included.
const MAX_STEPS: usize = 4_096;
/// How often a walk is repeated that something else got in the way of.
const ATTEMPTS: usize = 3;

/// What this kernel can do; learned from its first refusals.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Walker {
    has_openat2: bool,
    has_cached: bool,
}

impl Default for Walker {
    fn default() -> Walker {
        Walker {
            has_openat2: true,
            has_cached: true,
        }
    }
}

impl Walker {
    /// A walker that never uses `openat2`.
    #[cfg(test)]
    pub(super) fn by_hand() -> Walker {
        Walker {
            has_openat2: false,
            has_cached: false,
        }
    }

    /// The file at `path` below `root`. `may_wait` is asked before anything is done that could
    /// keep the caller waiting; if it could, the error is `EWOULDBLOCK`.
    pub fn open(
        &mut self,
        root: BorrowedFd<'_>,
        path: &[u8],
        last: Last,
        may_wait: impl FnOnce() -> bool,
    ) -> Result<OwnedFd, Errno> {
        if self.has_openat2 && self.has_cached {
            match open_in_root(root, path, last, true) {
                Err(Errno::EINVAL) => self.has_cached = false,
                Err(Errno::ENOSYS | Errno::EPERM) => self.has_openat2 = false,
                Err(Errno::EAGAIN) => {}
                result => return result,
            }
        }
        if may_wait() {
            return Err(Errno::EWOULDBLOCK);
        }
        for _ in 0..ATTEMPTS {
            if !self.has_openat2 {
                break;
            }
            match open_in_root(root, path, last, false) {
                Err(Errno::EAGAIN) => {}
                Err(Errno::ENOSYS | Errno::EPERM) => self.has_openat2 = false,
                result => return result,
            }
        }
        walk(root, path, last)
    }
}

/// The components of a path, last first, without empty ones and `.`.
fn reversed(path: &[u8]) -> Vec<Vec<u8>> {
    path.rsplit(|byte| *byte == b'/')
        .filter(|name| !name.is_empty() && *name != b".")
        .map(<[u8]>::to_vec)
        .collect()
}

/// The walk by hand: a stack of directories, which `..` cannot pop below the root.
fn walk(root: BorrowedFd<'_>, path: &[u8], last: Last) -> Result<OwnedFd, Errno> {
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
        let entry = open_entry(here, &name)?;
        let follow = !ahead.is_empty() || directory_wanted || last == Last::Follow;
        if !follow || !metadata(entry.as_fd())?.is_link() {
            behind.push(entry);
            continue;
        }
        links += 1;
        if links > MAX_LINKS {
            return Err(Errno::ELOOP);
        }
        let target = read_link_at(entry.as_fd())?;
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
                    .open(root.as_fd(), path.as_bytes(), last, || false)
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

    #[test]
    fn nothing_is_done_that_may_wait() {
        let root = open_path(Path::new("/"), Last::Follow).unwrap();
        let result = Walker::by_hand().open(root.as_fd(), b"/etc", Last::Follow, || true);
        assert_eq!(result.unwrap_err(), Errno::EWOULDBLOCK);
    }
}
