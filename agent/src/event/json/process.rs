//! The `process` object, with its parent and ancestors.
//!
//! All but the ids is written once per process entry and kept there; an event by other
//! credentials than the entry's gets its own copy. The user session is not kept so, as its user
//! may become known later. The lists of capabilities, which are long for
//! root, are written for the process of the event only.

use std::rc::Rc;

use super::writer::Object;
use super::{write_cgroup, write_file, Variables};
use crate::event::constants;
use crate::event::model::{Event, Names};
use crate::event::process::{JsonRole, Process};
use crate::event::wire::Identity;

/// Writes the process of `event` and its lineage; `variables` is JSON already, or empty.
pub(super) fn write(object: &mut Object<'_>, event: &Event, variables: &str) {
    let process = &*event.process;
    object.object("process", |out| {
        out.number("pid", process.info.pid);
        out.number("tid", event.tid);
        if event.identity == process.identity() {
            out.splice(&fields(process, JsonRole::Actor, &event.names));
        } else {
            out.splice(&make(
                process,
                JsonRole::Actor,
                event.identity,
                &event.names,
            ));
        }
        write_session(out, process);
        if let Some(parent) = &process.parent {
            out.object("parent", |out| write_ancestor(out, parent, &event.names));
        }
        out.objects("ancestors", process.ancestors(), |out, ancestor| {
            write_ancestor(out, ancestor, &event.names);
        });
        out.flag("truncated_ancestors", process.ancestors_truncated());
        out.raw_unless_empty("variables", variables);
    });
}

fn write_ancestor(out: &mut Object<'_>, process: &Process, names: &Names) {
    out.number("pid", process.info.pid);
    out.number("tid", process.info.pid);
    out.splice(&fields(process, JsonRole::Ancestor, names));
    write_session(out, process);
}

fn write_session(out: &mut Object<'_>, process: &Process) {
    let Some(session) = process.user_session() else {
        return;
    };
    out.object("user_session", |out| {
        out.text("id", &session.id);
        out.text("session_type", session.kind.name());
        if let Some(user) = session.kubernetes_user() {
            out.text("k8s_username", &user.username);
            out.text("k8s_uid", &user.uid);
            out.texts("k8s_groups", &user.groups);
            out.object("k8s_extra", |out| {
                for (key, values) in &user.extra {
                    out.texts(key, values);
                }
            });
        }
    });
}

/// The kept fields of a process.
fn fields(process: &Process, role: JsonRole, names: &Names) -> Rc<str> {
    process.cached_json(role, || make(process, role, process.identity(), names))
}

fn make(process: &Process, role: JsonRole, identity: Identity, names: &Names) -> String {
    let mut text = String::with_capacity(1024);
    let out = &mut Object::fragment(&mut text);
    let (info, image) = (&process.info, &process.image);
    out.positive("ppid", info.ppid.into());
    out.number("uid", identity.uid);
    out.number("gid", identity.gid);
    out.text("user", names.user(identity.uid));
    out.text("group", names.group(identity.gid));
    out.text("path_resolution_error", image.file.path_error);
    out.text("comm", &image.comm);
    out.text("tty", &info.tty);
    out.time("fork_time", info.fork_time);
    out.time("exec_time", info.exec_time);
    out.time("exit_time", process.exit_time());
    out.object("credentials", |out| {
        write_credentials(out, identity, names);
        out.number("auid", info.login_uid);
        if role == JsonRole::Actor {
            out.texts("cap_effective", constants::capabilities(info.cap_effective));
            out.texts("cap_permitted", constants::capabilities(info.cap_permitted));
        }
    });
    out.object("executable", |out| write_file(out, &image.file, names));
    if let Some(interpreter) = &image.interpreter {
        out.object("interpreter", |out| write_file(out, interpreter, names));
    }
    write_cgroup(out, &process.cgroup(), &Variables::default());
    let mut args = image.shown_args().iter();
    out.text("argv0", args.next().map_or("", String::as_str));
    out.texts("args", args);
    out.flag("args_truncated", image.args_truncated);
    out.texts("envs", &image.envs);
    out.flag("envs_truncated", image.envs_truncated);
    out.flag("is_thread", !info.is_exec);
    out.flag("is_kworker", process.is_kernel_thread());
    out.flag("is_exec_child", info.is_exec_child);
    out.text("source", if info.snapshot { "snapshot" } else { "runtime" });
    text
}

fn write_credentials(out: &mut Object<'_>, identity: Identity, names: &Names) {
    for (user, name, uid) in [
        ("uid", "user", identity.uid),
        ("euid", "euser", identity.euid),
        ("fsuid", "fsuser", identity.fsuid),
    ] {
        out.number(user, uid);
        out.text(name, names.user(uid));
    }
    for (group, name, gid) in [
        ("gid", "group", identity.gid),
        ("egid", "egroup", identity.egid),
        ("fsgid", "fsgroup", identity.fsgid),
    ] {
        out.number(group, gid);
        out.text(name, names.group(gid));
    }
}
