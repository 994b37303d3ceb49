mod names;
mod network;

use super::*;
use crate::event::testing::{cat, event, file_event, jane};
use crate::event::{Body, EventType};

fn field(name: &str) -> FieldId {
    Fields.field(name).unwrap_or_else(|| panic!("{name}")).id
}

/// Every element of a field, as text.
fn read(event: &Event, name: &str) -> String {
    let found = Fields.field(name).unwrap_or_else(|| panic!("{name}"));
    let one = |index| match found.ty.kind {
        Kind::Bool => event.boolean(found.id, index).to_string(),
        Kind::Int => event.int(found.id, index).to_string(),
        Kind::Text => event.text(found.id, index).to_owned(),
        Kind::Ip => format!("{:?}", event.ip(found.id, index)),
    };
    let all: Vec<String> = (0..event.count(found.id)).map(one).collect();
    all.join(" ")
}

#[test]
fn fields_of_an_open() {
    let event = file_event(EventType::Open, "/etc/shadow.TXT", [0o1101, 0o640, 0, 0]);
    for (name, expected) in [
        ("open.file.path", "/etc/shadow.TXT"),
        ("open.file.name", "shadow.TXT"),
        ("open.file.extension", ".TXT"),
        ("open.file.filesystem", "ext4"),
        ("open.file.mode", "33261"),
        ("open.file.rights", "493"),
        ("open.file.user", "root"),
        ("open.file.change_time", "3600000000000"),
        ("open.file.package.name", ""),
        ("open.file.hashes", ""),
        ("open.flags", "577"),
        ("open.file.destination.mode", "416"),
        ("open.syscall.path", "/etc/shadow.TXT"),
        ("open.retval", "0"),
        ("event.timestamp", "1767323045678000000"),
        ("event.hostname", "edge-1"),
        ("container.id", "abc"),
        ("container.created_at", "60000000000"),
        ("cgroup.id", "/system.slice/docker-abc.scope"),
        ("process.pid", "1001"),
        ("process.tid", "1001"),
        ("process.file.path", "/usr/bin/cat"),
        ("process.interpreter.file.path", ""),
        ("process.args", "-n /etc/shadow"),
        ("process.argv", "-n /etc/shadow"),
        ("process.argv0", "cat"),
        ("process.args_flags", "n"),
        ("process.args_options", "n=/etc/shadow"),
        ("process.envs", "HOME PATH"),
        ("process.envp", "HOME PATH=/usr/bin:/bin"),
        ("process.user", "root"),
        ("process.auid", "1000"),
        ("process.created_at", "10000000000"),
        ("process.is_exec", "true"),
        ("process.user_session.k8s_groups", ""),
        ("process.parent.file.path", "/usr/bin/bash"),
        ("process.parent.cgroup.id", "/system.slice/docker-abc.scope"),
        ("process.ancestors.pid", "1000 1"),
        ("process.ancestors.file.name", "bash systemd"),
        ("process.ancestors.container.id", "abc abc"),
        ("process.ancestors.envs", "HOME PATH HOME PATH"),
        ("process.ancestors.length", "2"),
    ] {
        assert_eq!(read(&event, name), expected, "{name}");
    }
}

#[test]
fn fields_of_a_user_session() {
    let event = event(EventType::Exec, cat());
    let shell = event.process.parent.as_ref().unwrap();
    shell.join_session(&jane());
    for (name, expected) in [
        ("process.user_session.id", ""),
        ("process.user_session.session_type", "0"),
        ("process.parent.user_session.id", "5eed0000abcd"),
        ("process.parent.user_session.session_type", "1"),
        ("process.parent.user_session.k8s_username", "jane"),
        ("process.parent.user_session.k8s_uid", "u-1"),
        ("process.parent.user_session.k8s_groups", "dev ops"),
        ("process.ancestors.user_session.k8s_username", "jane "),
        ("process.ancestors.user_session.k8s_groups", "dev ops"),
        ("exec.user_session.k8s_username", ""),
    ] {
        assert_eq!(read(&event, name), expected, "{name}");
    }
    event.process.inherit_session(Some(shell));
    assert_eq!(read(&event, "exec.user_session.k8s_username"), "jane");
}

#[test]
fn an_unchanged_owner_is_minus_one() {
    let event = file_event(EventType::Chown, "/x", [u32::MAX, 42, 0, 0]);
    assert_eq!(read(&event, "chown.file.destination.uid"), "-1");
    assert_eq!(read(&event, "chown.file.destination.user"), "");
    assert_eq!(read(&event, "chown.file.destination.group"), "shadow");
}

#[test]
fn exit_has_cause_and_code() {
    let mut event = event(EventType::Exit, cat());
    event.body = Body::Exit { cause: 2, code: 9 };
    assert_eq!(read(&event, "exit.cause"), "2");
    assert_eq!(read(&event, "exit.code"), "9");
    assert_eq!(read(&event, "exit.file.path"), "/usr/bin/cat");
}

#[test]
fn a_missing_parent_reads_as_absent() {
    let mut event = event(EventType::Exec, cat());
    event.process = crate::event::testing::process(1, &["init"], "/init", None);
    assert_eq!(read(&event, "process.parent.file.path"), "");
    assert_eq!(read(&event, "process.parent.pid"), "0");
    assert_eq!(read(&event, "process.parent.argv"), "");
    assert_eq!(event.count(field("process.ancestors.pid")), 0);
    assert_eq!(event.count(field("process.ancestors.argv")), 0);
}

#[test]
fn lists_behind_the_iterator_belong_to_their_ancestor() {
    let event = event(EventType::Exec, cat());
    let envs = field("process.ancestors.envs");
    assert_eq!(event.iterations(envs), 2);
    assert_eq!(event.elements(envs, 1), 2..4);
    assert_eq!(event.text(envs, 3), "PATH");
    assert_eq!(event.text(envs, 4), "");
    let pid = field("process.ancestors.pid");
    assert_eq!(event.elements(pid, 1), 1..2);
}

#[test]
fn credentials_of_the_event_are_those_of_its_process_only() {
    let mut event = event(EventType::Exec, cat());
    event.identity.uid = 1000;
    event.tid = 1005;
    assert_eq!(read(&event, "process.user"), "ann");
    assert_eq!(read(&event, "process.tid"), "1005");
    assert_eq!(read(&event, "process.parent.user"), "root");
    assert_eq!(read(&event, "process.parent.tid"), "1000");
}

#[test]
fn unknown_times_are_infinitely_old() {
    let mut event = file_event(EventType::Open, "/x", [0; 4]);
    if let Body::File { file, .. } = &mut event.body {
        file.changed = 0;
    }
    assert_eq!(event.int(field("open.file.change_time"), 0), i64::MAX);
}

#[test]
fn every_name_is_found_once_and_describes_itself() {
    let mut names = std::collections::HashSet::new();
    for row in all() {
        assert!(names.insert(row.name.clone()), "{} twice", row.name);
        assert_eq!(Fields.field(&row.name), Some(row.field), "{}", row.name);
        assert!(!row.about.is_empty());
    }
    assert!(names.len() > 400, "{}", names.len());
    for name in ["process", "process.", "open.file", "nothing.at.all", ""] {
        assert_eq!(Fields.field(name), None, "{name}");
    }
}

#[test]
fn fields_say_where_they_may_stand() {
    assert_eq!(Fields.field("process.pid").unwrap().events, [""; 0]);
    assert_eq!(Fields.field("open.flags").unwrap().events, ["open"]);
    assert_eq!(Fields.field("exec.file.path").unwrap().events, ["exec"]);
    assert!(Fields.field("process.ancestors.pid").unwrap().iterator);
    assert!(Fields.field("process.ancestors.pid").unwrap().ty.many);
    assert!(!Fields.field("process.argv").unwrap().iterator);
    assert_eq!(Fields.variable("process.pid"), Fields.field("process.pid"));
}

#[test]
fn an_unknown_field_id_reads_as_absent() {
    let event = event(EventType::Exec, cat());
    let wrong = FieldId(u32::MAX);
    assert_eq!(event.text(wrong, 0), "");
    assert_eq!(event.int(wrong, 7), 0);
}

#[test]
fn what_an_event_does_not_have_reads_as_empty() {
    let event = file_event(EventType::Open, "/etc/shadow", [1; 4]);
    for (name, expected) in [
        ("mkdir.file.path", ""),
        ("mkdir.file.mode", "0"),
        ("connect.addr.ip", "None"),
        ("connect.addr.is_public", "false"),
        ("connect.addr.hostname", ""),
        ("network.network_direction", "0"),
        ("packet.filter", ""),
        ("imds.type", ""),
        ("bpf.prog.helpers", ""),
        ("ptrace.tracee.pid", "0"),
        ("ptrace.tracee.argv", ""),
        ("ptrace.tracee.parent.file.name", ""),
        ("ptrace.tracee.ancestors.length", "0"),
        ("process.cookie", "0"),
        ("process.user_session.ssh_client_ip", "None"),
        ("process.ancestors.container.tags", ""),
    ] {
        assert_eq!(read(&event, name), expected, "{name}");
    }
    for name in [
        "ptrace.tracee.ancestors.pid",
        "ptrace.tracee.ancestors.argv",
        "network_flow_monitor.flows.source.ip",
    ] {
        let id = field(name);
        assert!(Fields.field(name).unwrap().iterator, "{name}");
        assert_eq!((event.count(id), event.iterations(id)), (0, 0), "{name}");
        assert_eq!(event.elements(id, 0), 0..0, "{name}");
    }
}

#[test]
fn rows_know_whether_they_are_observed() {
    let observed = |name: &str| all().find(|row| row.name == name).unwrap().observed;
    for name in [
        "open.file.hashes",
        "process.ancestors.argv",
        "exec.retval",
        "connect.addr.hostname",
        "dns.id",
        "network.source.ip",
        "packet.filter",
    ] {
        assert!(observed(name), "{name}");
    }
    for name in [
        "open.file.package.name",
        "unlink.file.path",
        "socket.domain",
        "setsockopt.level",
        "network_flow_monitor.flows.source.ip",
    ] {
        assert!(!observed(name), "{name}");
    }
    for row in all().filter(|row| row.observed) {
        let events = row.field.events;
        let types = crate::event::types::OBSERVED;
        assert!(events.is_empty() || events.iter().any(|event| types.contains(event)));
    }
}

/// Rules on many types, and the types that they are about.
const RULES: &[(&str, &str)] = &[
    (
        "connect.addr.ip in [10.0.0.0/8] && connect.addr.family == AF_INET",
        "connect",
    ),
    (
        "connect.addr.hostname.length > 0 && connect.addr.hostname == \"A.b\"",
        "connect",
    ),
    (
        "dns.question.type == TXT && dns.question.name =~ \"*.X\" && network.size > 5",
        "dns",
    ),
    (
        "dns.question.name.root_domain == \"b.c\" && dns.question.name.length > 9",
        "dns",
    ),
    (
        "network.destination.ip not in [127.0.0.0/8, ::1/128]",
        "dns failed_dns imds packet",
    ),
    (
        "packet.filter == \"tcp\" && process.ancestors[A].pid == 1",
        "packet",
    ),
    (
        "network_flow_monitor.flows.length > 3 && network_flow_monitor.flows[0].source.ip == 1.1.1.1",
        "network_flow_monitor",
    ),
    (
        "ptrace.tracee.ancestors[A].pid == 1 && ptrace.tracee.ancestors.length > 1",
        "ptrace",
    ),
    (
        "CAP_SYS_ADMIN & capabilities.used > 0 && process.cookie == 0",
        "capabilities",
    ),
    (
        "rename.file.destination.path == ~\"/etc/*\" && rename.retval == 0",
        "rename",
    ),
    ("bpf.prog.helpers == 3 && bpf.retval >= 0", "bpf"),
    ("setsockopt.used_immediates in [1, 3]", "setsockopt"),
    (
        "event.rule.tags == \"a\" && open.file.path.length > 3",
        "open",
    ),
];

#[test]
fn rules_on_every_kind_of_field_compile() {
    for (rule, events) in RULES {
        let parsed = crate::secl::parse(rule).unwrap_or_else(|error| panic!("{rule}: {error}"));
        let compiled = crate::secl::compile(&parsed, &crate::secl::Macros::new(), &Fields)
            .unwrap_or_else(|error| panic!("{rule}: {error}"));
        assert_eq!(compiled.events().join(" "), *events, "{rule}");
    }
}

/// Processor time of this thread: others that run meanwhile do not count.
fn used() -> std::time::Duration {
    let time = nix::time::clock_gettime(nix::time::ClockId::CLOCK_THREAD_CPUTIME_ID).unwrap();
    time.into()
}

/// Ten thousand rules with ten names each are looked up in less than a second.
#[test]
fn look_ups_are_fast() {
    let names = Fields.names();
    let start = used();
    let found = names.iter().filter(|name| Fields.field(name).is_some());
    assert_eq!(found.count(), names.len());
    let each = (used() - start) / u32::try_from(names.len()).unwrap();
    // Far above what it takes, for machines that are slow.
    assert!(each < std::time::Duration::from_micros(20), "{each:?}");
}
