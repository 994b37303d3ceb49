//! Files, and the events of what is done to them.

use super::{
    age, boolean, empty_bool, empty_int, empty_path, empty_result, empty_text, int, list, path,
    result, text, whole, Read, Row, TextKind,
};
use crate::event::model::DETACHED;

/// An id argument of a system call, where all ones mean "leave it".
fn id_argument(value: u32) -> i64 {
    i64::from(value as i32)
}

pub(in super::super) static FILE: &[Row] = &[
    path("path", "absolute path", |v| &v.file.path),
    text("name", "last component of the path", |v| v.file.name()),
    Row {
        name: "extension",
        read: Read::Text(TextKind::Extension, |v| v.file.extension()),
        about: "extension of the name, with its dot",
    },
    text("filesystem", "type of the file system", |v| {
        v.file.filesystem
    }),
    int("inode", "inode number", |v| v.file.inode as i64),
    int("mount_id", "mount id", |v| v.file.mount_id.into()),
    int("mode", "type and permissions", |v| v.file.mode.into()),
    int("rights", "permissions", |v| (v.file.mode & 0o7777).into()),
    int("uid", "owner", |v| v.file.uid.into()),
    text("user", "name of the owner", |v| {
        if v.file.known {
            v.event.names.user(v.file.uid)
        } else {
            ""
        }
    }),
    int("gid", "group", |v| v.file.gid.into()),
    text("group", "name of the group", |v| {
        if v.file.known {
            v.event.names.group(v.file.gid)
        } else {
            ""
        }
    }),
    age(
        "change_time",
        "age of the last change of the inode, nanoseconds",
        |v| v.age(v.file.changed),
    ),
    age(
        "modification_time",
        "age of the last change of the content, nanoseconds",
        |v| v.age(v.file.modified),
    ),
    empty_bool(
        "in_upper_layer",
        "the file is in the upper layer of an overlay",
    ),
    boolean("mount_visible", "the mount belongs to a tree", |v| {
        v.file.path_error != DETACHED
    }),
    boolean("mount_detached", "the mount belongs to no tree", |v| {
        v.file.path_error == DETACHED
    }),
    list(
        "hashes",
        "hashes of the content, once a rule has asked for them",
        |v| v.file.hashes.get().map_or(&[], |hashes| hashes.all()),
        whole,
    ),
    empty_text("package.name", "package that the file belongs to"),
    empty_text("package.version", "version of the package"),
    empty_int("package.epoch", "epoch of the package"),
    empty_text("package.release", "release of the package"),
    empty_text("package.source_version", "version of the source package"),
    empty_int("package.source_epoch", "epoch of the source package"),
    empty_text("package.source_release", "release of the source package"),
];

pub(in super::super) static OPEN: &[Row] = &[
    int("flags", "flags of the call", |v| v.event.argument(0).into()),
    int("file.destination.mode", "mode of a file to be made", |v| {
        v.event.argument(1).into()
    }),
    text("syscall.path", "path as the caller gave it", |v| {
        v.event.syscall_path()
    }),
    int("syscall.flags", "flags as the caller gave them", |v| {
        v.event.argument(0).into()
    }),
    int("syscall.mode", "mode as the caller gave it", |v| {
        v.event.argument(1).into()
    }),
    result(),
];

pub(in super::super) static CHMOD: &[Row] = &[
    int("file.destination.mode", "new mode", |v| {
        v.event.argument(0).into()
    }),
    int("file.destination.rights", "new permissions", |v| {
        (v.event.argument(0) & 0o7777).into()
    }),
    text("syscall.path", "path as the caller gave it", |v| {
        v.event.syscall_path()
    }),
    int("syscall.mode", "mode as the caller gave it", |v| {
        v.event.argument(0).into()
    }),
    result(),
];

pub(in super::super) static CHOWN: &[Row] = &[
    int(
        "file.destination.uid",
        "new owner, -1 for the old one",
        |v| id_argument(v.event.argument(0)),
    ),
    text("file.destination.user", "name of the new owner", |v| {
        v.event.names.user(v.event.argument(0))
    }),
    int(
        "file.destination.gid",
        "new group, -1 for the old one",
        |v| id_argument(v.event.argument(1)),
    ),
    text("file.destination.group", "name of the new group", |v| {
        v.event.names.group(v.event.argument(1))
    }),
    text("syscall.path", "path as the caller gave it", |v| {
        v.event.syscall_path()
    }),
    int("syscall.uid", "owner as the caller gave it", |v| {
        id_argument(v.event.argument(0))
    }),
    int("syscall.gid", "group as the caller gave it", |v| {
        id_argument(v.event.argument(1))
    }),
    result(),
];

pub(in super::super) static MKDIR: &[Row] = &[
    empty_int("file.destination.mode", "mode of the new directory"),
    empty_int(
        "file.destination.rights",
        "permissions of the new directory",
    ),
    empty_text("syscall.path", "path as the caller gave it"),
    empty_int("syscall.mode", "mode as the caller gave it"),
    empty_result(),
];

/// Of calls that take a path and nothing else of interest.
pub(in super::super) static PATH_ONLY: &[Row] = &[
    empty_text("syscall.path", "path as the caller gave it"),
    empty_result(),
];

pub(in super::super) static UNLINK: &[Row] = &[
    empty_int("flags", "flags of the call"),
    empty_int("syscall.dirfd", "directory that the path begins at"),
    empty_text("syscall.path", "path as the caller gave it"),
    empty_int("syscall.flags", "flags as the caller gave them"),
    empty_result(),
];

/// Of link and rename.
pub(in super::super) static TWO_PATHS: &[Row] = &[
    empty_text("syscall.path", "old path as the caller gave it"),
    empty_text("syscall.destination.path", "new path as the caller gave it"),
    empty_result(),
];

/// Of setxattr and removexattr.
pub(in super::super) static ATTRIBUTE: &[Row] = &[
    empty_text(
        "file.destination.namespace",
        "namespace of the extended attribute",
    ),
    empty_text("file.destination.name", "name of the extended attribute"),
    empty_result(),
];

pub(in super::super) static SPLICE: &[Row] = &[
    empty_int("pipe_entry_flag", "flags of the pipe that was read from"),
    empty_int("pipe_exit_flag", "flags of the pipe that was written to"),
    empty_result(),
];

pub(in super::super) static MOUNT: &[Row] = &[
    empty_text("fs_type", "type of the file system"),
    empty_bool("detached", "the mount belongs to no tree"),
    empty_bool("visible", "the mount belongs to a tree"),
    empty_path("mountpoint.path", "where it was mounted"),
    empty_path("source.path", "what was mounted, for a bind mount"),
    empty_path("root.path", "root of the mount in its file system"),
    empty_text("syscall.source.path", "source as the caller gave it"),
    empty_text(
        "syscall.mountpoint.path",
        "mount point as the caller gave it",
    ),
    empty_text("syscall.fs_type", "type as the caller gave it"),
    empty_result(),
];
