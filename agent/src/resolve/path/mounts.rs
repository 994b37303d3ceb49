//! Mount tables: the type of file system behind a mount, and what must be left alone.
//!
//! `/proc/<pid>/mountinfo` enters; names of types leave, remembered by mount id and device, and
//! for the length of one walk the [`Borders`] that it must not cross.

use std::collections::{HashMap, HashSet};

use crate::resolve::file::filesystem_named;
use crate::sys::files::{read_limited, Metadata};
use crate::sys::host;

/// The longest mount table that is read, in bytes.
const MAX_TABLE: usize = 4 << 20;
/// The most mounts that are remembered.
const MAX_MOUNTS: usize = 4_096;
/// File systems whose server may keep a caller waiting for ever, or that act on being looked at.
const WAITING: &[&str] = &[
    "fuse", "virtiofs", "nfs", "cifs", "smb3", "ceph", "9p", "afs", "coda", "autofs", "lustre",
    "gfs2", "ocfs2",
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

    fn waits(&self) -> bool {
        WAITING.contains(&self.filesystem)
    }

    /// The last name of the mount point, its octal escapes undone.
    fn name(&self) -> Vec<u8> {
        let escaped = self.point.rsplit('/').next().unwrap_or("");
        let mut parts = escaped.split('\\');
        let mut name = parts.next().unwrap_or("").as_bytes().to_vec();
        for part in parts {
            let digits = part.get(..3).unwrap_or("");
            match u8::from_str_radix(digits, 8) {
                Ok(byte) => name.push(byte),
                Err(_) => name.extend_from_slice(digits.as_bytes()),
            }
            name.extend_from_slice(part.as_bytes().get(3..).unwrap_or(&[]));
        }
        name
    }
}

/// Types of the file systems of mounts that were seen.
#[derive(Debug, Default)]
pub struct Mounts {
    types: HashMap<(u32, u32), &'static str>,
}

fn table(pid: u32) -> String {
    let path = host::process(pid, "mountinfo");
    let bytes = read_limited(&path, MAX_TABLE).unwrap_or_default();
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

/// Where a walk that must not wait has to end: it may neither enter a file system whose server
/// may keep the caller waiting, nor be in one.
#[derive(Debug, Default)]
pub struct Borders {
    /// Types by mount id.
    types: HashMap<u32, &'static str>,
    /// Last names of the mount points of such file systems: already entering may ask the server.
    names: HashSet<Vec<u8>>,
}

impl Borders {
    /// The borders in the mount table of process `pid`. The table of a process in a chroot lacks
    /// the mount that its root is on when that is not a mount point: ours may have it.
    pub fn of(pid: u32) -> Borders {
        let mut borders = Borders::default();
        borders.learn(&table(pid));
        let own = host::own_number();
        if pid != own {
            borders.learn(&table(own));
        }
        borders
    }

    /// Takes in the text of a mount table.
    pub(super) fn learn(&mut self, table: &str) {
        for mount in table.lines().filter_map(Mount::parse) {
            if mount.waits() {
                self.names.insert(mount.name());
            }
            self.types.insert(mount.id, mount.filesystem);
        }
    }

    /// Whether something named so may be a mount point beyond which a server is asked. Another
    /// directory of that name counts as well, since only the name is compared.
    pub fn may_enter(&self, name: &[u8]) -> bool {
        !self.names.contains(name)
    }

    /// Whether what is in this mount can be looked at without waiting; not so when the mount is
    /// not known.
    pub fn is_safe(&self, mount_id: u32) -> bool {
        let listed = self.types.get(&mount_id);
        listed.is_some_and(|filesystem| !WAITING.contains(filesystem))
    }

    /// Whether a mount is one of /proc.
    pub fn is_proc(&self, mount_id: u32) -> bool {
        self.types.get(&mount_id) == Some(&"proc")
    }

    /// The borders in this text.
    #[cfg(test)]
    pub fn parse(table: &str) -> Borders {
        let mut borders = Borders::default();
        borders.learn(table);
        borders
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::sys::files::metadata_of;

    const TABLE: &str = "\
21 1 8:1 / / rw,relatime shared:1 - ext4 /dev/sda1 rw
22 21 0:20 / /mnt/share rw - nfs4 server:/x rw
23 21 0:21 / /home/ann/remote rw shared:3 master:1 - fuse.sshfs ann@x: rw
24 21 0:22 / /data rw - btrfs /dev/sdb rw
25 21 0:23 / /mnt/my\\040disk rw - virtiofs tag rw
nonsense
";

    #[test]
    fn borders_are_known_by_name_and_by_mount() {
        let borders = Borders::parse(TABLE);
        for (name, free) in [
            ("share", false),
            ("remote", false),
            ("my disk", false),
            ("shared", true),
            ("mnt", true),
            ("data", true),
        ] {
            assert_eq!(borders.may_enter(name.as_bytes()), free, "{name}");
        }
        for (id, safe) in [
            (21, true),
            (22, false),
            (23, false),
            (24, true),
            (25, false),
        ] {
            assert_eq!(borders.is_safe(id), safe, "{id}");
        }
        assert!(!borders.is_safe(0) && !borders.is_safe(99));
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
    fn our_own_borders_are_known() {
        let version = metadata_of(Path::new("/proc/version")).unwrap();
        for pid in [std::process::id(), u32::MAX] {
            let borders = Borders::of(pid);
            assert!(borders.is_safe(version.mount_id) && borders.is_proc(version.mount_id));
        }
    }
}
