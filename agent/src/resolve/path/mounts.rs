//! Mount tables: the type of file system behind a mount, and what must be left alone.
//!
//! `/proc/<pid>/mountinfo` enters; names of types leave, remembered by mount id and device.

use std::collections::HashMap;
use std::path::Path;

use crate::resolve::file::filesystem_named;
use crate::sys::files::{read_limited, Metadata};

/// The longest mount table that is read, in bytes.
const MAX_TABLE: usize = 4 << 20;
/// The most mounts that are remembered.
const MAX_MOUNTS: usize = 4_096;
/// File systems whose server may keep a caller waiting for ever, or that act on being looked at.
const WAITING: &[&str] = &[
    "fuse", "nfs", "cifs", "smb3", "ceph", "9p", "afs", "coda", "autofs", "lustre", "gfs2", "ocfs2",
];

/// A line of a mount table.
struct Mount<'a> {
    id: u32,
    device: u32,
    /// Where it is mounted, seen from the root of the process; octal escapes are kept.
    point: &'a str,
    filesystem: &'static str,
}

impl<'a> Mount<'a> {
    /// `id parent major:minor root point options [tags] - type source options`
    fn parse(line: &'a str) -> Option<Mount<'a>> {
        let (before, after) = line.split_once(" - ")?;
        let mut fields = before.split(' ');
        let id = fields.next()?.parse().ok()?;
        let (major, minor) = fields.nth(1)?.split_once(':')?;
        let (major, minor): (u32, u32) = (major.parse().ok()?, minor.parse().ok()?);
        Some(Mount {
            id,
            device: major.checked_mul(1 << 20)? | minor,
            point: fields.nth(1)?,
            filesystem: filesystem_named(after.split(' ').next()?),
        })
    }

    /// Whether `path` is at or below the mount point.
    fn holds(&self, path: &str) -> bool {
        let below = path.strip_prefix(self.point.trim_end_matches('/'));
        below.is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
    }
}

/// Types of the file systems of mounts that were seen.
#[derive(Debug, Default)]
pub struct Mounts {
    types: HashMap<(u32, u32), &'static str>,
}

fn table(pid: u32) -> String {
    let path = format!("/proc/{pid}/mountinfo");
    let bytes = read_limited(Path::new(&path), MAX_TABLE).unwrap_or_default();
    String::from_utf8_lossy(&bytes).into_owned()
}

impl Mounts {
    /// The type of the file system that a file is on; `pid` is a process in whose mount table
    /// it is listed. Empty when unknown.
    pub fn filesystem(&mut self, pid: u32, file: &Metadata) -> &'static str {
        let key = (file.mount_id, file.device);
        if !self.types.contains_key(&key) {
            if self.types.len() >= MAX_MOUNTS {
                self.types.clear();
            }
            self.learn(&table(pid));
            // A file of btrfs has another device than its mount: remember the pair as asked.
            let listed = self.types.iter().find(|((id, _), _)| *id == file.mount_id);
            let name = listed.map_or("", |(_, name)| *name);
            self.types.entry(key).or_insert(name);
        }
        self.types.get(&key).copied().unwrap_or("")
    }

    fn learn(&mut self, table: &str) {
        let free = MAX_MOUNTS.saturating_sub(self.types.len());
        for mount in table.lines().filter_map(Mount::parse).take(free) {
            self.types
                .insert((mount.id, mount.device), mount.filesystem);
        }
    }
}

/// Whether a path, as process `pid` sees it, leads into a file system whose server may keep the
/// caller waiting. A table that cannot be read counts as such.
pub fn may_wait(pid: u32, path: &str) -> bool {
    let table = table(pid);
    table.is_empty() || leads_into_waiting(&table, path)
}

fn leads_into_waiting(table: &str, path: &str) -> bool {
    table
        .lines()
        .filter_map(Mount::parse)
        .any(|mount| WAITING.contains(&mount.filesystem) && mount.holds(path))
}

#[cfg(test)]
mod tests {
    use super::*;

    const TABLE: &str = "\
21 1 8:1 / / rw,relatime shared:1 - ext4 /dev/sda1 rw
22 21 0:20 / /mnt/share rw - nfs4 server:/x rw
23 21 0:21 / /home/ann/remote rw shared:3 master:1 - fuse.sshfs ann@x: rw
24 21 0:22 / /data rw - btrfs /dev/sdb rw
nonsense
";

    #[test]
    fn servers_are_recognised_by_prefix() {
        for (path, waits) in [
            ("/etc/passwd", false),
            ("/mnt/share", true),
            ("/mnt/share/a", true),
            ("/mnt/shared", false),
            ("/home/ann/remote/x", true),
            ("/home/ann", false),
        ] {
            assert_eq!(leads_into_waiting(TABLE, path), waits, "{path}");
        }
    }

    #[test]
    fn types_are_remembered() {
        let mut mounts = Mounts::default();
        mounts.learn(TABLE);
        let file = |mount_id, device| Metadata {
            mount_id,
            device,
            ..Metadata::default()
        };
        assert_eq!(mounts.filesystem(u32::MAX, &file(21, 8 << 20 | 1)), "ext4");
        assert_eq!(mounts.filesystem(u32::MAX, &file(24, 99)), "btrfs");
        assert_eq!(mounts.filesystem(u32::MAX, &file(77, 1)), "");
        assert_eq!(mounts.types.get(&(77, 1)), Some(&""));
    }

    #[test]
    fn a_process_that_is_gone_has_no_table() {
        assert!(may_wait(u32::MAX, "/"));
        assert!(!may_wait(std::process::id(), "/proc/version"));
    }
}
