//! Every field by name and type, written down apart from the table.

use super::*;
use crate::event::types::RULE_TYPES;
use std::collections::BTreeMap;

const FILE: &str = "path: path; string: name extension filesystem user group package.name \
    package.version package.release package.source_version package.source_release; \
    int: inode mount_id mode rights uid gid change_time modification_time package.epoch \
    package.source_epoch; bool: in_upper_layer mount_visible mount_detached; string[]: hashes";

const CGROUP: &str = "string: id manager; int: version created_at file.inode file.mount_id";

const CONTAINER: &str = "string: id; int: created_at; string[]: tags";

const PROCESS: &str =
    "int: pid tid ppid sid netns mntns created_at cookie uid gid euid egid fsuid \
    fsgid auid cap_effective cap_permitted caps_attempted caps_used; \
    string: comm tty_name user group euser egroup fsuser fsgroup argv0 args; \
    bool: is_kworker is_thread is_exec args_truncated envs_truncated; \
    string[]: argv args_flags args_options envs envp";

const SESSION: &str = "string: id k8s_username k8s_uid ssh_username ssh_public_key; \
    string[]: k8s_groups; int: session_type ssh_port ssh_auth_method; ip: ssh_client_ip";

const NETWORK: &str =
    "string: device.ifname; int: device.netns l3_protocol l4_protocol source.port \
    destination.port network_direction size type; ip: source.ip destination.ip; \
    bool: source.is_public destination.is_public";

const FLOW: &str = "ip: source.ip destination.ip; bool: source.is_public destination.is_public; \
    int: source.port destination.port l3_protocol l4_protocol ingress.data_size \
    ingress.packet_count egress.data_size egress.packet_count";

/// Prefixes of files, apart from those of processes.
const FILES: &str = "open chmod chown mkdir rmdir chdir utimes unlink link rename setxattr \
    removexattr splice mmap load_module cgroup_write";

/// Processes that have a lineage.
const PROCESSES: &[(&str, &str)] = &[
    ("process", ""),
    ("ptrace.tracee", "ptrace"),
    ("signal.target", "signal"),
    ("setrlimit.target", "setrlimit"),
];

/// What is particular to an event: its name, and its fields by type.
const OWN: &[(&str, &str)] = &[
    (
        "open",
        "int: flags file.destination.mode syscall.flags syscall.mode retval; string: syscall.path",
    ),
    (
        "chmod",
        "int: file.destination.mode file.destination.rights syscall.mode retval; \
         string: syscall.path",
    ),
    (
        "chown",
        "int: file.destination.uid file.destination.gid syscall.uid syscall.gid retval; \
         string: file.destination.user file.destination.group syscall.path",
    ),
    (
        "mkdir",
        "int: file.destination.mode file.destination.rights syscall.mode retval; \
         string: syscall.path",
    ),
    ("rmdir", "string: syscall.path; int: retval"),
    ("chdir", "string: syscall.path; int: retval"),
    ("utimes", "string: syscall.path; int: retval"),
    (
        "unlink",
        "int: flags syscall.dirfd syscall.flags retval; string: syscall.path",
    ),
    (
        "link",
        "string: syscall.path syscall.destination.path; int: retval",
    ),
    (
        "rename",
        "string: syscall.path syscall.destination.path; int: retval",
    ),
    (
        "setxattr",
        "string: file.destination.namespace file.destination.name; int: retval",
    ),
    (
        "removexattr",
        "string: file.destination.namespace file.destination.name; int: retval",
    ),
    ("splice", "int: pipe_entry_flag pipe_exit_flag retval"),
    (
        "mount",
        "string: fs_type syscall.source.path syscall.mountpoint.path syscall.fs_type; \
         bool: detached visible; path: mountpoint.path source.path root.path; int: retval",
    ),
    (
        "exec",
        "int: file.metadata.size file.metadata.type file.metadata.architecture file.metadata.abi \
         file.metadata.compression retval; bool: file.metadata.is_executable \
         file.metadata.is_upx_packed file.metadata.is_garble_obfuscated; string: syscall.path",
    ),
    ("exit", "int: cause code"),
    (
        "setuid",
        "int: uid euid fsuid retval; string: user euser fsuser",
    ),
    (
        "setgid",
        "int: gid egid fsgid retval; string: group egroup fsgroup",
    ),
    ("capset", "int: cap_effective cap_permitted retval"),
    ("capabilities", "int: attempted used"),
    ("signal", "int: type pid retval"),
    ("setrlimit", "int: resource rlim_cur rlim_max retval"),
    (
        "prctl",
        "int: option retval; string: new_name; bool: is_name_truncated",
    ),
    (
        "bind",
        "ip: addr.ip; int: addr.port addr.family protocol retval; bool: addr.is_public",
    ),
    (
        "connect",
        "ip: addr.ip; int: addr.port addr.family protocol retval; bool: addr.is_public; \
         string[]: addr.hostname",
    ),
    (
        "accept",
        "ip: addr.ip; int: addr.port addr.family retval; bool: addr.is_public; \
         string[]: addr.hostname",
    ),
    (
        "setsockopt",
        "int: socket_type socket_family socket_protocol level optname filter_len retval; \
         bool: is_filter_truncated; string: filter_instructions filter_hash; \
         int[]: used_immediates",
    ),
    ("socket", "int: domain type protocol retval"),
    (
        "dns",
        "int: id question.type question.class question.length question.count response.code; \
         string: question.name",
    ),
    (
        "imds",
        "string: type cloud_provider url host user_agent server aws.security_credentials.type; \
         bool: aws.is_imds_v2",
    ),
    ("packet", "string[]: filter; int: tls.version"),
    ("packet", NETWORK),
    (
        "network_flow_monitor",
        "string: device.ifname; int: device.netns flows.length",
    ),
    (
        "bpf",
        "int: cmd map.type prog.type prog.attach_type retval; string: map.name prog.name prog.tag; \
         int[]: prog.helpers",
    ),
    ("ptrace", "int: request retval"),
    ("mmap", "int: protection flags retval"),
    ("mprotect", "int: vm_protection req_protection retval"),
    (
        "load_module",
        "string: name args; string[]: argv; bool: loaded_from_memory args_truncated; int: retval",
    ),
    ("unload_module", "string: name; int: retval"),
    (
        "selinux",
        "string: bool.name bool.state enforce.status; bool: bool_commit.state",
    ),
    (
        "sysctl",
        "int: action file_position; string: name old_value value; \
         bool: name_truncated old_value_truncated value_truncated",
    ),
    ("cgroup_write", "int: pid"),
    ("unshare", "int: flags retval"),
    (
        "ondemand",
        "string: name arg1.str arg2.str arg3.str arg4.str arg5.str arg6.str; \
         int: arg1.uint arg2.uint arg3.uint arg4.uint arg5.uint arg6.uint",
    ),
];

/// Type and events by name.
#[derive(Default)]
struct Expected(BTreeMap<String, (String, String)>);

impl Expected {
    /// Adds `type: name name; type: name` under a prefix; `events` is a list with blanks.
    fn add(&mut self, prefix: &str, events: &str, iterator: bool, fields: &str) {
        for (ty, names) in fields.split("; ").filter_map(|part| part.split_once(": ")) {
            for name in names.split_whitespace() {
                let mut ty = ty.to_owned();
                if iterator && !ty.ends_with("[]") {
                    ty.push_str("[]");
                }
                let before = self
                    .0
                    .insert(format!("{prefix}.{name}"), (ty, events.to_owned()));
                assert_eq!(before, None, "{prefix}.{name}");
            }
        }
    }

    fn add_process(&mut self, prefix: &str, events: &str, iterator: bool) {
        for (part, fields) in [
            ("", PROCESS),
            (".file", FILE),
            (".interpreter.file", FILE),
            (".cgroup", CGROUP),
            (".container", CONTAINER),
            (".user_session", SESSION),
        ] {
            self.add(&format!("{prefix}{part}"), events, iterator, fields);
        }
    }

    fn all() -> Expected {
        let mut expected = Expected::default();
        let event = "int: timestamp; bool: async; string[]: rule.tags; \
                     string: hostname origin os service source signature";
        expected.add("event", "", false, event);
        expected.add("container", "", false, CONTAINER);
        expected.add("cgroup", "", false, CGROUP);
        expected.add("network", "dns failed_dns imds packet", false, NETWORK);
        for (prefix, events) in PROCESSES {
            expected.add_process(prefix, events, false);
            expected.add_process(&format!("{prefix}.parent"), events, false);
            expected.add_process(&format!("{prefix}.ancestors"), events, true);
            expected.add(prefix, events, false, "int: ancestors.length");
        }
        for event in ["exec", "exit"] {
            expected.add_process(event, event, false);
        }
        for event in FILES.split_whitespace() {
            expected.add(&format!("{event}.file"), event, false, FILE);
        }
        for event in ["link", "rename"] {
            expected.add(&format!("{event}.file.destination"), event, false, FILE);
        }
        for (event, fields) in OWN {
            expected.add(event, event, false, fields);
        }
        let monitor = "network_flow_monitor";
        expected.add(&format!("{monitor}.flows"), monitor, true, FLOW);
        expected
    }
}

#[test]
fn the_table_has_these_names_with_these_types_and_events() {
    let expected = Expected::all().0;
    for row in all() {
        let found = (row.type_name(), row.field.events.join(" "));
        assert_eq!(Some(&found), expected.get(&row.name), "{}", row.name);
    }
    for (name, (_, events)) in &expected {
        assert!(Fields.field(name).is_some(), "{name}");
        for event in events.split_whitespace() {
            assert!(RULE_TYPES.contains(&event), "{name} of {event}");
        }
    }
    assert!(expected.len() > 2_000, "{}", expected.len());
}

#[test]
fn every_type_has_fields() {
    for name in RULE_TYPES {
        let has = all().any(|row| row.field.events.contains(name));
        assert!(has, "{name}");
    }
}

#[test]
fn names_of_hosts_compare_without_regard_to_case() {
    for (name, text) in [
        ("dns.question.name", TextKind::CaseInsensitive),
        ("connect.addr.hostname", TextKind::CaseInsensitive),
        ("accept.addr.hostname", TextKind::CaseInsensitive),
        ("mkdir.file.extension", TextKind::Extension),
        ("mkdir.file.name", TextKind::Plain),
        ("mkdir.file.path", TextKind::Path),
    ] {
        assert_eq!(Fields.field(name).unwrap().ty.text, text, "{name}");
    }
}
