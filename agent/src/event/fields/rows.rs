//! The rows of the table: name, how to read it, what it says.
//!
//! Fields that nothing resolves yet (packages, hashes, user sessions…) are here and read as
//! empty, so that rules that name them load.

use super::{Read, Row, View};
use crate::secl::TextKind;

const fn int(name: &'static str, about: &'static str, get: fn(View<'_>) -> i64) -> Row {
    let read = Read::Int(get);
    Row { name, read, about }
}

const fn boolean(name: &'static str, about: &'static str, get: fn(View<'_>) -> bool) -> Row {
    let read = Read::Bool(get);
    Row { name, read, about }
}

const fn text(
    name: &'static str,
    about: &'static str,
    get: for<'a> fn(View<'a>) -> &'a str,
) -> Row {
    let read = Read::Text(TextKind::Plain, get);
    Row { name, read, about }
}

const fn list(
    name: &'static str,
    about: &'static str,
    get: for<'a> fn(View<'a>) -> &'a [String],
    show: for<'a> fn(&'a str) -> &'a str,
) -> Row {
    let read = Read::List(get, show);
    Row { name, read, about }
}

const fn path(
    name: &'static str,
    about: &'static str,
    get: for<'a> fn(View<'a>) -> &'a str,
) -> Row {
    let read = Read::Text(TextKind::Path, get);
    Row { name, read, about }
}

const fn empty_text(name: &'static str, about: &'static str) -> Row {
    text(name, about, |_| "")
}

const fn empty_int(name: &'static str, about: &'static str) -> Row {
    int(name, about, |_| 0)
}

const fn empty_list(name: &'static str, about: &'static str) -> Row {
    list(name, about, |_| &[], whole)
}

fn whole(element: &str) -> &str {
    element
}

/// The name of an environment variable, without its value.
fn variable_name(element: &str) -> &str {
    element.split_once('=').map_or(element, |(name, _)| name)
}

/// An id argument of a system call, where all ones mean "leave it".
fn id_argument(value: u32) -> i64 {
    i64::from(value as i32)
}

pub(super) static EVENT: &[Row] = &[
    int(
        "timestamp",
        "when it happened, nanoseconds since the epoch",
        |v| i64::try_from(v.event.unix_time()).unwrap_or(i64::MAX),
    ),
    text("hostname", "name of the host", |v| &v.event.hostname),
    text("origin", "how it was observed: ebpf", |_| "ebpf"),
    text("os", "operating system: linux", |_| "linux"),
    text("service", "DD_SERVICE of the process", |v| {
        v.process.image.env("DD_SERVICE").unwrap_or("")
    }),
    text(
        "source",
        "runtime, or snapshot when read from /proc",
        |_| "runtime",
    ),
    boolean("async", "the kernel did it on behalf of the task", |v| {
        v.event.flags.asynchronous
    }),
    empty_list("rule.tags", "tags of the rule that matched"),
    empty_text("signature", "signature of the event"),
];

pub(super) static CONTAINER: &[Row] = &[
    text("id", "container id", |v| {
        v.cgroup().map_or("", |cgroup| &cgroup.container_id)
    }),
    int("created_at", "age of the container, nanoseconds", |v| {
        let container = v.cgroup().filter(|cgroup| !cgroup.container_id.is_empty());
        v.age(container.map_or(0, |cgroup| cgroup.created))
    }),
    empty_list("tags", "tags of the container"),
];

pub(super) static CGROUP: &[Row] = &[
    text("id", "path of the cgroup in its hierarchy", |v| {
        v.cgroup().map_or("", |cgroup| &cgroup.path)
    }),
    int("version", "version of the cgroup hierarchy, 1 or 2", |v| {
        v.cgroup().map_or(0, |cgroup| i64::from(cgroup.version))
    }),
    text("manager", "who made the cgroup", |v| {
        v.cgroup().map_or("", |cgroup| cgroup.manager)
    }),
    int("created_at", "age of the cgroup, nanoseconds", |v| {
        v.age(v.cgroup().map_or(0, |cgroup| cgroup.created))
    }),
    int("file.inode", "inode of the cgroup's directory", |v| {
        v.cgroup().map_or(0, |cgroup| cgroup.inode as i64)
    }),
    empty_int("file.mount_id", "mount id of the cgroup's directory"),
];

pub(super) static PROCESS: &[Row] = &[
    int("pid", "process id", |v| v.process.info.pid.into()),
    int("tid", "thread id", |v| v.thread().into()),
    int("ppid", "process id of the parent", |v| {
        v.process.info.ppid.into()
    }),
    int("sid", "session id", |v| v.process.info.session.into()),
    int("netns", "inode of the network namespace", |v| {
        v.process.info.net_namespace.into()
    }),
    int("mntns", "inode of the mount namespace", |v| {
        v.process.info.mount_namespace.into()
    }),
    text("comm", "name of the task", |v| &v.process.image.comm),
    text("tty_name", "name of the terminal", |v| &v.process.info.tty),
    boolean("is_kworker", "a thread of the kernel", |v| {
        v.process.is_kernel_thread()
    }),
    boolean("is_thread", "a fork child that executed nothing", |v| {
        !v.process.info.is_exec
    }),
    boolean("is_exec", "it came into being by an exec", |v| {
        v.process.info.is_exec
    }),
    int("created_at", "age of the process, nanoseconds", |v| {
        v.age(v.process.created())
    }),
    int("uid", "real user", |v| v.identity().uid.into()),
    text("user", "name of the real user", |v| {
        v.event.names.user(v.identity().uid)
    }),
    int("gid", "real group", |v| v.identity().gid.into()),
    text("group", "name of the real group", |v| {
        v.event.names.group(v.identity().gid)
    }),
    int("euid", "effective user", |v| v.identity().euid.into()),
    text("euser", "name of the effective user", |v| {
        v.event.names.user(v.identity().euid)
    }),
    int("egid", "effective group", |v| v.identity().egid.into()),
    text("egroup", "name of the effective group", |v| {
        v.event.names.group(v.identity().egid)
    }),
    int("fsuid", "file system user", |v| v.identity().fsuid.into()),
    text("fsuser", "name of the file system user", |v| {
        v.event.names.user(v.identity().fsuid)
    }),
    int("fsgid", "file system group", |v| v.identity().fsgid.into()),
    text("fsgroup", "name of the file system group", |v| {
        v.event.names.group(v.identity().fsgid)
    }),
    int(
        "auid",
        "login user, AUDIT_AUID_UNSET without a login",
        |v| v.process.info.login_uid.into(),
    ),
    int("cap_effective", "effective capabilities", |v| {
        v.process.info.cap_effective as i64
    }),
    int("cap_permitted", "permitted capabilities", |v| {
        v.process.info.cap_permitted as i64
    }),
    empty_int("caps_attempted", "capabilities it tried to use"),
    empty_int("caps_used", "capabilities it used"),
    text("argv0", "zeroth argument", |v| v.process.image.argv0()),
    text(
        "args",
        "arguments joined by spaces, without the zeroth",
        |v| v.process.image.args_joined(),
    ),
    list(
        "argv",
        "arguments, without the zeroth",
        |v| v.process.image.argv(),
        whole,
    ),
    list(
        "args_flags",
        "arguments that are flags",
        |v| v.process.image.args_flags(),
        whole,
    ),
    list(
        "args_options",
        "arguments that are options with a value",
        |v| v.process.image.args_options(),
        whole,
    ),
    boolean("args_truncated", "some arguments are missing", |v| {
        v.process.image.args_truncated
    }),
    list(
        "envs",
        "names of environment variables",
        |v| &v.process.image.envs,
        variable_name,
    ),
    list(
        "envp",
        "environment variables, with the values that are kept",
        |v| &v.process.image.envs,
        whole,
    ),
    boolean("envs_truncated", "some variables are missing", |v| {
        v.process.image.envs_truncated
    }),
];

/// What only the process of the event has.
pub(super) static ANCESTRY: &[Row] = &[int("ancestors.length", "number of ancestors", |v| {
    v.process.ancestors().count() as i64
})];

pub(super) static SESSION: &[Row] = &[
    empty_text("id", "id of the user session"),
    empty_int("session_type", "kind of the user session"),
    empty_text("k8s_username", "Kubernetes user of the session"),
    empty_text("k8s_uid", "Kubernetes user id of the session"),
    empty_list("k8s_groups", "Kubernetes groups of the session's user"),
    empty_text("ssh_username", "user of the SSH session"),
    empty_int("ssh_port", "client port of the SSH session"),
    Row {
        name: "ssh_client_ip",
        read: Read::Ip,
        about: "client address of the SSH session",
    },
    empty_int("ssh_auth_method", "authentication of the SSH session"),
    empty_text("ssh_public_key", "fingerprint of the SSH session's key"),
];

pub(super) static FILE: &[Row] = &[
    path("path", "absolute path", |v| &v.file.path),
    text("name", "last component of the path", |v| v.file.name()),
    Row {
        name: "extension",
        read: Read::Text(TextKind::CaseInsensitive, |v| v.file.extension()),
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
    int(
        "change_time",
        "age of the last change of the inode, nanoseconds",
        |v| v.age(v.file.changed),
    ),
    int(
        "modification_time",
        "age of the last change of the content, nanoseconds",
        |v| v.age(v.file.modified),
    ),
    boolean(
        "in_upper_layer",
        "the file is in the upper layer of an overlay",
        |_| false,
    ),
    boolean("mount_visible", "the mount belongs to a tree", |v| {
        v.file.path_error != crate::event::model::DETACHED
    }),
    boolean("mount_detached", "the mount belongs to no tree", |v| {
        v.file.path_error == crate::event::model::DETACHED
    }),
    empty_list("hashes", "hashes of the content"),
    empty_text("package.name", "package that the file belongs to"),
    empty_text("package.version", "version of the package"),
    empty_int("package.epoch", "epoch of the package"),
    empty_text("package.release", "release of the package"),
    empty_text("package.source_version", "version of the source package"),
    empty_int("package.source_epoch", "epoch of the source package"),
    empty_text("package.source_release", "release of the source package"),
];

pub(super) static EXEC: &[Row] = &[
    text("syscall.path", "the program as the caller named it", |v| {
        v.event.syscall_path()
    }),
    empty_int("file.metadata.size", "size of the program"),
    empty_int("file.metadata.type", "type of the program"),
    boolean(
        "file.metadata.is_executable",
        "the program is executable",
        |_| false,
    ),
    empty_int("file.metadata.architecture", "architecture of the program"),
    empty_int("file.metadata.abi", "ABI of the program"),
    boolean(
        "file.metadata.is_upx_packed",
        "the program is packed",
        |_| false,
    ),
    empty_int("file.metadata.compression", "compression of the program"),
    boolean(
        "file.metadata.is_garble_obfuscated",
        "the program is obfuscated",
        |_| false,
    ),
];

pub(super) static EXIT: &[Row] = &[
    int("cause", "EXITED, SIGNALED or COREDUMPED", |v| {
        v.event.exit().0.into()
    }),
    int("code", "exit code or number of the signal", |v| {
        v.event.exit().1.into()
    }),
];

pub(super) static OPEN: &[Row] = &[
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
    int("retval", "result of the system call", |v| v.event.retval),
];

pub(super) static CHMOD: &[Row] = &[
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
    int("retval", "result of the system call", |v| v.event.retval),
];

pub(super) static CHOWN: &[Row] = &[
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
    int("retval", "result of the system call", |v| v.event.retval),
];
