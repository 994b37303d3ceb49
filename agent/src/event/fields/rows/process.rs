//! Processes, and the events of what they are and may do.

use super::{
    age, boolean, empty_bool, empty_int, empty_ip, empty_result, empty_text, int, list, result,
    text, whole, Row, View,
};
use crate::event::session::{UserInfo, UserSession};

/// The name of an environment variable, without its value.
fn variable_name(element: &str) -> &str {
    element.split_once('=').map_or(element, |(name, _)| name)
}

pub(in super::super) static PROCESS: &[Row] = &[
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
    age("created_at", "age of the process, nanoseconds", |v| {
        v.age(v.process.created())
    }),
    empty_int("cookie", "old: number that marks the process"),
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
pub(in super::super) static ANCESTRY: &[Row] =
    &[int("ancestors.length", "number of ancestors", |v| {
        v.process.ancestors_count() as i64
    })];

fn session(view: View<'_>) -> Option<&UserSession> {
    view.process.user_session().map(|session| &**session)
}

fn user(view: View<'_>) -> Option<&UserInfo> {
    session(view)?.kubernetes_user()
}

pub(in super::super) static SESSION: &[Row] = &[
    text("id", "id of the user session, hexadecimal", |v| {
        session(v).map_or("", |session| &session.id)
    }),
    int("session_type", "K8S or SSH, 0 without a session", |v| {
        session(v).map_or(0, |session| session.kind as i64)
    }),
    text("k8s_username", "Kubernetes user of the session", |v| {
        user(v).map_or("", |user| &user.username)
    }),
    text("k8s_uid", "Kubernetes user id of the session", |v| {
        user(v).map_or("", |user| &user.uid)
    }),
    list(
        "k8s_groups",
        "Kubernetes groups of the session's user",
        |v| user(v).map_or(&[], |user| &user.groups),
        whole,
    ),
    empty_text("ssh_username", "user of the SSH session"),
    empty_int("ssh_port", "client port of the SSH session"),
    empty_ip("ssh_client_ip", "client address of the SSH session"),
    empty_int("ssh_auth_method", "authentication of the SSH session"),
    empty_text("ssh_public_key", "fingerprint of the SSH session's key"),
];

pub(in super::super) static EXEC: &[Row] = &[
    text("syscall.path", "the program as the caller named it", |v| {
        v.event.syscall_path()
    }),
    empty_int("file.metadata.size", "size of the program"),
    empty_int("file.metadata.type", "type of the program"),
    empty_bool("file.metadata.is_executable", "the program is executable"),
    empty_int("file.metadata.architecture", "architecture of the program"),
    empty_int("file.metadata.abi", "ABI of the program"),
    empty_bool("file.metadata.is_upx_packed", "the program is packed"),
    empty_int("file.metadata.compression", "compression of the program"),
    empty_bool(
        "file.metadata.is_garble_obfuscated",
        "the program is obfuscated",
    ),
    result(),
];

pub(in super::super) static EXIT: &[Row] = &[
    int("cause", "EXITED, SIGNALED or COREDUMPED", |v| {
        v.event.exit().0.into()
    }),
    int("code", "exit code or number of the signal", |v| {
        v.event.exit().1.into()
    }),
];

pub(in super::super) static SETUID: &[Row] = &[
    empty_int("uid", "new real user"),
    empty_text("user", "name of the new real user"),
    empty_int("euid", "new effective user"),
    empty_text("euser", "name of the new effective user"),
    empty_int("fsuid", "new file system user"),
    empty_text("fsuser", "name of the new file system user"),
    empty_result(),
];

pub(in super::super) static SETGID: &[Row] = &[
    empty_int("gid", "new real group"),
    empty_text("group", "name of the new real group"),
    empty_int("egid", "new effective group"),
    empty_text("egroup", "name of the new effective group"),
    empty_int("fsgid", "new file system group"),
    empty_text("fsgroup", "name of the new file system group"),
    empty_result(),
];

pub(in super::super) static CAPSET: &[Row] = &[
    empty_int("cap_effective", "new effective capabilities"),
    empty_int("cap_permitted", "new permitted capabilities"),
    empty_result(),
];

pub(in super::super) static CAPABILITIES: &[Row] = &[
    empty_int("attempted", "capabilities it tried to use"),
    empty_int("used", "capabilities it used"),
];

pub(in super::super) static SIGNAL: &[Row] = &[
    empty_int("type", "number of the signal"),
    empty_int("pid", "process id that it was sent to"),
    empty_result(),
];

pub(in super::super) static SETRLIMIT: &[Row] = &[
    empty_int("resource", "which limit"),
    empty_int("rlim_cur", "new soft limit"),
    empty_int("rlim_max", "new hard limit"),
    empty_result(),
];

pub(in super::super) static PRCTL: &[Row] = &[
    empty_int("option", "what was asked for"),
    empty_text("new_name", "new name of the task"),
    empty_bool("is_name_truncated", "the new name is cut off"),
    empty_result(),
];
