//! The line of JSON that an event becomes.
//!
//! One compact object per event: `agent` and `title` say which rule matched, the rest says what
//! happened, to which file or over which network, by whom. Empty fields are left out; `uid` and
//! `gid` are written whenever they are known, 0 included. The JSON of a process is made once and
//! kept in it. An event and a rule enter, a line without its newline leaves.

mod custom;
mod network;
mod process;
mod writer;

pub use custom::{heartbeat, hook_lost, lost_events, ruleset_loaded, self_test};
pub use writer::write_time;

use super::constants;
use super::model::{Body, Cgroup, Event, File, HostInfo, Names};
use super::types::EventType;
use writer::Object;

/// What the JSON says of the rule that matched.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RuleInfo<'a> {
    /// Id of the rule.
    pub id: &'a str,
    /// Version of the rule; may be empty.
    pub version: &'a str,
    /// Description of the rule, the title of the event.
    pub description: &'a str,
    /// Id of the group that the rule reports under.
    pub group_id: Option<&'a str>,
    /// Name of its policy.
    pub policy_name: &'a str,
    /// Version of its policy; may be empty.
    pub policy_version: &'a str,
    /// Reports on its actions, a JSON list; empty without any.
    pub actions: &'a str,
    /// What the rules' variables held.
    pub variables: Variables<'a>,
}

/// What variables held when an event happened: JSON objects, empty where there is nothing to show.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Variables<'a> {
    /// Of the whole host.
    pub global: &'a str,
    /// Of the event's process.
    pub process: &'a str,
    /// Of its container.
    pub container: &'a str,
    /// Of its cgroup.
    pub cgroup: &'a str,
}

/// Appends the line of `event` to `out`, without a newline.
pub fn serialize(event: &Event, rule: &RuleInfo<'_>, host: &HostInfo, out: &mut String) {
    let mut object = Object::begin(out);
    object.object("agent", |agent| {
        agent.text("rule_id", rule.group_id.unwrap_or(rule.id));
        agent.text("original_rule_id", rule.id);
        agent.text("rule_version", rule.version);
        agent.text("policy_name", rule.policy_name);
        agent.text("policy_version", rule.policy_version);
        agent.raw_unless_empty("rule_actions", rule.actions);
        write_host(agent, host);
    });
    object.text("title", rule.description);
    object.time("date", event.unix_time());
    object.object("evt", |evt| {
        evt.text("name", event.kind.name());
        evt.text("category", event.kind.category());
        evt.text("outcome", event.outcome());
        evt.flag("async", event.flags.asynchronous);
        evt.flag("late", event.flags.late);
        evt.raw_unless_empty("variables", rule.variables.global);
    });
    if event.is_of_network() {
        network::write(&mut object, event);
    } else {
        object.object("file", |file| write_event_file(file, event));
    }
    process::write(&mut object, event, rule.variables.process);
    object.object("usr", |usr| {
        usr.text("id", event.names.user(event.identity.uid));
        usr.text("group", event.names.group(event.identity.gid));
    });
    write_cgroup(&mut object, &event.cgroup, &rule.variables);
    if let Body::Exit { cause, code } = event.body {
        object.object("exit", |exit| {
            exit.text("cause", constants::exit_cause(cause));
            exit.number("code", code);
        });
    }
    object.object("syscall", |syscall| {
        syscall.object(event.kind.name(), |call| write_syscall(call, event));
    });
    object.end();
}

/// Version, system and host: the part of `agent` that every event has.
fn write_host(agent: &mut Object<'_>, host: &HostInfo) {
    agent.text("version", &host.version);
    agent.text("os", "linux");
    agent.text("arch", &host.arch);
    agent.text("origin", "ebpf");
    agent.text("kernel_version", &host.kernel_version);
    agent.text("distribution", &host.distribution);
}

/// `container` and `cgroup`.
fn write_cgroup(object: &mut Object<'_>, cgroup: &Cgroup, variables: &Variables<'_>) {
    if !cgroup.container_id.is_empty() {
        object.object("container", |container| {
            container.text("id", &cgroup.container_id);
            container.time("created_at", cgroup.created);
            container.raw_unless_empty("variables", variables.container);
        });
    }
    object.object("cgroup", |object| {
        object.text("id", &cgroup.path);
        object.text("manager", cgroup.manager);
        object.raw_unless_empty("variables", variables.cgroup);
    });
}

fn write_file(object: &mut Object<'_>, file: &File, names: &Names) {
    object.text("path", &file.path);
    object.text("name", file.name());
    object.text("extension", file.extension());
    object.text("path_resolution_error", file.path_error);
    object.text("path_resolution", file.source.name());
    if file.known {
        object.positive("inode", file.inode);
        object.positive("mode", file.mode.into());
        object.positive("mount_id", file.mount_id.into());
        object.text("filesystem", file.filesystem);
        object.number("uid", file.uid);
        object.number("gid", file.gid);
        object.text("user", names.user(file.uid));
        object.text("group", names.group(file.gid));
        object.time("modification_time", file.modified);
        object.time("change_time", file.changed);
    }
    if let Some(hashes) = file.hashes.get() {
        object.texts("hashes", hashes.all());
        object.text("hash_state", hashes.state());
    }
}

fn write_event_file(object: &mut Object<'_>, event: &Event) {
    write_file(object, event.file(), &event.names);
    match event.kind {
        EventType::Open => {
            object.texts("flags", constants::open_flags(event.argument(0)));
            object.object("destination", |destination| {
                destination.positive("mode", event.argument(1).into());
            });
        }
        EventType::Chmod => object.object("destination", |destination| {
            destination.number("mode", event.argument(0));
        }),
        EventType::Chown => object.object("destination", |destination| {
            write_owner(destination, event);
        }),
        _ => {}
    }
}

/// The new owner and group of a chown; all ones mean that the old one stays.
fn write_owner(object: &mut Object<'_>, event: &Event) {
    let (uid, gid) = (event.argument(0), event.argument(1));
    if uid != u32::MAX {
        object.number("uid", uid);
        object.text("user", event.names.user(uid));
    }
    if gid != u32::MAX {
        object.number("gid", gid);
        object.text("group", event.names.group(gid));
    }
}

/// The arguments as the caller gave them.
fn write_syscall(object: &mut Object<'_>, event: &Event) {
    object.text("path", event.syscall_path());
    match event.kind {
        EventType::Open => {
            object.number("flags", event.argument(0));
            object.number("mode", event.argument(1));
        }
        EventType::Chmod => object.number("mode", event.argument(0)),
        EventType::Chown => {
            object.number("uid", event.argument(0) as i32);
            object.number("gid", event.argument(1) as i32);
        }
        _ => {}
    }
}

#[cfg(test)]
mod tests;
