//! Files as events show them, from what the probes or the kernel say of an inode.
//!
//! The path is found elsewhere (`path`); here are the numbers and the names of file systems.

use crate::event::wire::FileBlock;
use crate::event::File;
use crate::sys::files::Metadata;

/// Magic numbers of file systems and the names of their types, as `linux/magic.h` and the file
/// systems' own headers have them. ext2, ext3 and ext4 share one.
const FILE_SYSTEMS: &[(u32, &str)] = &[
    (0xef53, "ext4"),
    (0x5846_5342, "xfs"),
    (0x9123_683e, "btrfs"),
    (0x0102_1994, "tmpfs"),
    (0x794c_7630, "overlay"),
    (0x9fa0, "proc"),
    (0x6265_6572, "sysfs"),
    (0x6469_6d65, "debugfs"),
    (0x7472_6163, "tracefs"),
    (0x7363_6673, "securityfs"),
    (0xf97c_ff8c, "selinuxfs"),
    (0x8584_58f6, "ramfs"),
    (0x1cd1, "devpts"),
    (0x6969, "nfs"),
    (0x6573_5546, "fuse"),
    (0x4d44, "vfat"),
    (0x2011_bab0, "exfat"),
    (0x7366_746e, "ntfs3"),
    (0x7371_7368, "squashfs"),
    (0xe0f5_e1e2, "erofs"),
    (0xf2f5_2010, "f2fs"),
    (0x0027_e0eb, "cgroup"),
    (0x6367_7270, "cgroup2"),
    (0x5049_5045, "pipefs"),
    (0x534f_434b, "sockfs"),
    (0x6e73_6673, "nsfs"),
    (0x0904_1934, "anon_inodefs"),
    (0x6264_6576, "bdev"),
    (0xcafe_4a11, "bpf"),
    (0x9584_58f6, "hugetlbfs"),
    (0x1980_0202, "mqueue"),
    (0x6165_676c, "pstore"),
    (0x6265_6570, "configfs"),
    (0x4249_4e4d, "binfmt_misc"),
    (0xde5e_81e4, "efivarfs"),
    (0x0187, "autofs"),
    (0xff53_4d42, "cifs"),
    (0xfe53_4d42, "smb3"),
    (0x00c3_6400, "ceph"),
    (0x0102_1997, "9p"),
    (0x5346_414f, "afs"),
    (0x7375_7245, "coda"),
    (0x9660, "iso9660"),
    (0x1501_3346, "udf"),
    (0x2fc1_2fc1, "zfs"),
    (0xca45_1a4e, "bcachefs"),
    (0x3153_464a, "jfs"),
    (0x3434, "nilfs2"),
    (0x7265_6973, "reiserfs"),
    (0x72b6, "jffs2"),
    (0x2405_1905, "ubifs"),
    (0x28cd_3d45, "cramfs"),
    (0x7275, "romfs"),
    (0x5049_4446, "pidfs"),
    (0x444d_4142, "dmabuf"),
    (0x0bd0_0bd0, "lustre"),
    (0x0116_1970, "gfs2"),
    (0x7461_636f, "ocfs2"),
];

/// Other names under which mount tables list a type, and the name used here.
const ALIASES: &[(&str, &str)] = &[
    ("ext2", "ext4"),
    ("ext3", "ext4"),
    ("nfs4", "nfs"),
    ("fuseblk", "fuse"),
    ("msdos", "vfat"),
    ("virtiofs", "virtiofs"),
    ("devtmpfs", "devtmpfs"),
    ("rootfs", "rootfs"),
];

/// The name of the file system type with this magic number; empty when unknown.
pub fn filesystem(magic: u32) -> &'static str {
    FILE_SYSTEMS
        .iter()
        .find(|(known, _)| *known == magic)
        .map_or("", |(_, name)| name)
}

/// The name used here for a type as a mount table names it (`fuse.sshfs` is `fuse`); empty when
/// unknown.
pub fn filesystem_named(listed: &str) -> &'static str {
    let listed = listed.split('.').next().unwrap_or(listed);
    let alias = ALIASES.iter().find(|(name, _)| *name == listed);
    let known = FILE_SYSTEMS.iter().map(|(_, name)| *name);
    match alias {
        Some((_, name)) => name,
        None => known.into_iter().find(|name| *name == listed).unwrap_or(""),
    }
}

/// The file with this path-less block of the probes.
pub fn from_block(block: Option<&FileBlock>) -> File {
    let Some(block) = block else {
        return File::default();
    };
    File {
        known: true,
        inode: block.inode,
        mount_id: block.mount_id,
        device: block.device,
        filesystem: filesystem(block.magic),
        mode: block.mode,
        uid: block.uid,
        gid: block.gid,
        links: block.links,
        modified: block.modified,
        changed: block.changed,
        ..File::default()
    }
}

/// The file with these attributes and this type of file system, without a path.
pub fn from_metadata(metadata: &Metadata, filesystem: &'static str) -> File {
    File {
        known: true,
        inode: metadata.inode,
        mount_id: metadata.mount_id,
        device: metadata.device,
        filesystem,
        mode: metadata.mode,
        uid: metadata.uid,
        gid: metadata.gid,
        links: metadata.links,
        modified: metadata.modified,
        changed: metadata.changed,
        ..File::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn file_systems_have_names() {
        assert_eq!(filesystem(0xef53), "ext4");
        assert_eq!(filesystem(1), "");
        for (listed, name) in [
            ("ext3", "ext4"),
            ("fuse.sshfs", "fuse"),
            ("nfs4", "nfs"),
            ("overlay", "overlay"),
            ("unheard_of", ""),
        ] {
            assert_eq!(filesystem_named(listed), name, "{listed}");
        }
    }

    #[test]
    fn a_file_without_a_block_is_unknown() {
        assert!(!from_block(None).known);
        let block = FileBlock {
            inode: 7,
            magic: 0x0102_1994,
            ..FileBlock::default()
        };
        let file = from_block(Some(&block));
        assert_eq!(
            (file.known, file.inode, file.filesystem),
            (true, 7, "tmpfs")
        );
    }
}
