//! Paths: from what the probes saw to one absolute path and what is known of the file.
//!
//! Where the kernel walked from the file to the root there is nothing to do. Where a probe has
//! only the caller's string, the string is resolved from the walked directory in the root of
//! the process, without ever waiting for a server; when that is impossible, it is joined and
//! normalised as text. Paths are those seen from the root of the process's mount namespace, so
//! that what is inside a chroot keeps the chroot's own path in front.

mod mounts;
mod proc;
mod walk;

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use nix::errno::Errno;

use super::file::{from_block, from_metadata};
use crate::event::model::{DETACHED, NOT_AVAILABLE, TRUNCATED, UNREADABLE};
use crate::event::wire::{FileBlock, WalkedPath};
use crate::event::{File, PathSource};
use crate::sys::files::{descriptor_path, metadata, open_path, read_link, Last, Metadata};
use crate::sys::host;
use mounts::Borders;
pub use mounts::Mounts;
use walk::Walker;

/// What the kernel appends to the path of a file without a name.
const DELETED: &[u8] = b" (deleted)";

/// The most handles in /proc that a path is followed through.
const MAX_HANDLES: usize = 8;

/// Who named a file, as far as it matters for finding it.
#[derive(Clone, Copy)]
pub struct Caller<'a> {
    /// Process id.
    pub pid: u32,
    /// Inode of its mount namespace; 0 when unknown.
    pub mount_namespace: u32,
    /// Finds another living process in that namespace; asked when the caller is gone.
    pub neighbour: &'a dyn Fn() -> Option<u32>,
}

/// A file as a record names it.
#[derive(Clone, Copy, Debug)]
pub struct Named<'a> {
    /// What the kernel said of the inode.
    pub block: Option<&'a FileBlock>,
    /// What the kernel walked.
    pub walked: &'a WalkedPath<'a>,
    /// The caller's root directory as the kernel walked it, for a relative string.
    pub root: Option<&'a WalkedPath<'a>>,
    /// The caller's string.
    pub string: &'a [u8],
}

/// Finds files; remembers mounts and what the kernel can do.
#[derive(Debug, Default)]
pub struct PathResolver {
    /// Types of file systems.
    pub mounts: Mounts,
    walker: Walker,
    own_namespace: Option<u32>,
}

/// A root directory to search from.
struct Root {
    directory: OwnedFd,
    /// Its path in its mount namespace, without a slash at the end.
    path: Vec<u8>,
    /// A process whose mount table is that of the root.
    pid: u32,
}

/// A file that was found.
struct Found {
    path: Vec<u8>,
    metadata: Option<Metadata>,
}

impl PathResolver {
    /// The file that a record names.
    pub fn resolve(&mut self, named: &Named<'_>, caller: &Caller<'_>) -> File {
        let mut file = from_block(named.block);
        file.path_error = walk_error(named.walked);
        if !named.walked.is(WalkedPath::FROM_STRING) {
            if named.block.is_none() && named.walked.names.is_empty() {
                file.path_error = NOT_AVAILABLE;
                file.source = PathSource::Absent;
            } else {
                file.path = text(&join(named.walked));
                file.source = PathSource::Kernel;
            }
            return file;
        }
        if named.walked.is(WalkedPath::NO_STRING) {
            file.path_error = UNREADABLE;
            file.source = PathSource::Absent;
            return file;
        }
        let found = match file.path_error {
            "" => self.find(named, caller),
            _ => None,
        };
        match found {
            Some((found, pid)) => self.found(file, found, pid),
            None => {
                file.path = lexical(&join(named.walked), named.string);
                file.source = PathSource::Lexical;
                file
            }
        }
    }

    /// Completes `file` with what was found; what a record knows already stays.
    fn found(&mut self, file: File, found: Found, pid: u32) -> File {
        let known = match found.metadata {
            Some(metadata) if !file.known => {
                from_metadata(&metadata, self.mounts.filesystem(pid, &metadata))
            }
            _ => file,
        };
        File {
            path: text(&found.path),
            source: PathSource::Resolved,
            ..known
        }
    }

    /// Looks for the file in the file system; `None` when it cannot or must not be done.
    fn find(&mut self, named: &Named<'_>, caller: &Caller<'_>) -> Option<(Found, u32)> {
        let last = match named.walked.is(WalkedPath::NO_FOLLOW) {
            true => Last::Keep,
            false => Last::Follow,
        };
        let base = join(named.walked);
        let is_absolute = named.string.starts_with(b"/");
        let known_root = match is_absolute {
            true => Some(base.clone()),
            false => named.root.map(join),
        };
        let nearest = self.root(caller)?;
        let root = self.root_at(nearest, known_root)?;
        let path = match is_absolute {
            true => named.string.to_vec(),
            false => [inside(&base, &root.path)?, b"/", named.string].concat(),
        };
        Some((self.follow(&root, path, last, caller)?, root.pid))
    }

    /// `root`, or the directory below it that the kernel says was the caller's root: when the
    /// caller is gone, `root` is another process's.
    fn root_at(&mut self, root: Root, known: Option<Vec<u8>>) -> Option<Root> {
        let Some(mut known) = known else {
            return Some(root);
        };
        if known == b"/" {
            known.clear();
        }
        if known == root.path {
            return Some(root);
        }
        let chroot = self.open(&root, inside(&known, &root.path)?, Last::Follow);
        Some(Root {
            directory: chroot.ok()?,
            path: known,
            pid: root.pid,
        })
    }

    /// The root directory to search in: the caller's, our own, or a neighbour's.
    fn root(&mut self, caller: &Caller<'_>) -> Option<Root> {
        let own = *self.own_namespace.get_or_insert_with(own_namespace);
        let ours = caller.mount_namespace == own && own != 0;
        root_of(caller.pid)
            .or_else(|| root_of(ours.then(host::own_number)?))
            .or_else(|| root_of((caller.neighbour)()?))
    }

    /// The file at `path` below `root`, or its place in an existing directory.
    fn search(&mut self, root: &Root, path: &[u8], last: Last) -> Option<Found> {
        match self.open(root, path, last) {
            Ok(file) => describe(file.as_fd()),
            Err(Errno::ENOENT) => {
                let (parent, name) = split(path)?;
                let parent = self.open(root, parent, Last::Follow).ok()?;
                let parent = describe(parent.as_fd())?;
                Some(Found {
                    path: [
                        parent.path.strip_suffix(b"/").unwrap_or(&parent.path),
                        b"/",
                        name,
                    ]
                    .concat(),
                    metadata: None,
                })
            }
            Err(_) => None,
        }
    }

    fn open(&mut self, root: &Root, path: &[u8], last: Last) -> Result<OwnedFd, Errno> {
        let borders = || Borders::of(root.pid);
        self.walker
            .open(root.directory.as_fd(), path, last, borders)
    }

    /// The file at `path` below `root`, also where the path goes through the handles in /proc
    /// that only the kernel can follow: what one leads to is taken from our view of it, and the
    /// rest is searched from there.
    fn follow(
        &mut self,
        root: &Root,
        mut path: Vec<u8>,
        last: Last,
        caller: &Caller<'_>,
    ) -> Option<Found> {
        for _ in 0..MAX_HANDLES {
            let Some((handle, rest)) = proc::handle(&path, caller.pid) else {
                let mut found = self.search(root, &path, last)?;
                proc::correct_self(&mut found.path, caller.pid).then(|| found.metadata.take());
                return Some(found);
            };
            let kept = rest.is_empty() && last == Last::Keep;
            let target = open_path(&handle, if kept { Last::Keep } else { Last::Follow }).ok()?;
            let found = describe(target.as_fd())?;
            if rest.is_empty() {
                return Some(found);
            }
            path = [inside(&found.path, &root.path)?, b"/", &rest].concat();
        }
        None
    }
}

/// Why a walked path is not sound; empty when it is.
fn walk_error(walked: &WalkedPath<'_>) -> &'static str {
    if walked.is(WalkedPath::DETACHED) {
        DETACHED
    } else if walked.is(WalkedPath::TRUNCATED) {
        TRUNCATED
    } else {
        ""
    }
}

fn text(path: &[u8]) -> String {
    String::from_utf8_lossy(path).into_owned()
}

/// The walked names as a path, byte for byte.
fn join(walked: &WalkedPath<'_>) -> Vec<u8> {
    let mut path = Vec::with_capacity(walked.names.len() + 1);
    for name in walked.names.rsplit(|byte| *byte == 0) {
        if !name.is_empty() {
            path.push(b'/');
            path.extend_from_slice(name);
        }
    }
    if path.is_empty() {
        path.push(b'/');
    }
    path
}

/// `string` from `base`, with `.` and `..` taken out, as text.
fn lexical(base: &[u8], string: &[u8]) -> String {
    let mut names: Vec<&[u8]> = Vec::new();
    let components = [base, string];
    for name in components
        .iter()
        .flat_map(|path| path.split(|byte| *byte == b'/'))
    {
        match name {
            b"" | b"." => {}
            b".." => {
                names.pop();
            }
            _ => names.push(name),
        }
    }
    let mut path = String::new();
    for name in names {
        path.push('/');
        path.push_str(&String::from_utf8_lossy(name));
    }
    if path.is_empty() {
        path.push('/');
    }
    path
}

/// `path` as seen from the root directory `root`; `None` when it is not below it.
fn inside<'a>(path: &'a [u8], root: &[u8]) -> Option<&'a [u8]> {
    let rest = path.strip_prefix(root)?;
    (rest.is_empty() || rest.starts_with(b"/")).then_some(rest)
}

/// Directory and last name of a path; `None` when the last name is no name.
fn split(path: &[u8]) -> Option<(&[u8], &[u8])> {
    let end = path.iter().rposition(|byte| *byte != b'/')?;
    let path = path.get(..=end)?;
    let (parent, name) = match path.iter().rposition(|byte| *byte == b'/') {
        Some(slash) => (path.get(..=slash)?, path.get(slash + 1..)?),
        None => (&b"/"[..], path),
    };
    (name != b"." && name != b"..").then_some((parent, name))
}

/// Inode of the mount namespace that we are in; 0 when it cannot be read.
fn own_namespace() -> u32 {
    super::snapshot::namespace(host::own_number(), "mnt")
}

fn root_of(pid: u32) -> Option<Root> {
    let link = host::process(pid, "root");
    let directory = open_path(&link, Last::Follow).ok()?;
    let path = read_link(&link).ok()?;
    let path = path.strip_suffix(b"/").unwrap_or(&path).to_vec();
    Some(Root {
        directory,
        path,
        pid,
    })
}

/// Path and attributes of an open file.
fn describe(file: BorrowedFd<'_>) -> Option<Found> {
    let mut path = descriptor_path(file).ok()?;
    let metadata = metadata(file).ok();
    let unlinked = metadata.is_some_and(|metadata| metadata.links == 0);
    if unlinked && path.ends_with(DELETED) {
        path.truncate(path.len() - DELETED.len());
    }
    path.starts_with(b"/").then_some(Found { path, metadata })
}

#[cfg(test)]
mod tests;
