//! Which rows stand under which prefix: the composition of the table.
//!
//! A prefix that is the beginning of another one (`process` and `process.parent`) does no harm:
//! a name is looked for in every group whose prefix it has. A group that no probe fills yet is
//! [`Subject::Absent`]: its fields have their types and read as empty.

use super::rows::*;
use super::Row;
use std::collections::HashMap;
use std::sync::LazyLock;

/// Whose lineage member a group reads.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Subject {
    /// The process of the event.
    Own,
    /// Its parent.
    Parent,
    /// Each of its ancestors.
    Ancestors,
    /// Something that no probe observes yet.
    Absent,
    /// A list of such things: an iterator without turns.
    AbsentEach,
}

impl Subject {
    /// Whether the fields are read through an iterator.
    pub(super) fn iterates(self) -> bool {
        matches!(self, Subject::Ancestors | Subject::AbsentEach)
    }
}

/// Which file a group reads.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Part {
    /// The program of the process.
    Program,
    /// The interpreter of its script.
    Interpreter,
    /// The file that the event is about.
    Object,
}

/// Rows under a prefix.
pub(super) struct Group {
    pub(super) prefix: &'static str,
    pub(super) rows: &'static [Row],
    pub(super) subject: Subject,
    pub(super) part: Part,
    /// The event types that have it; empty means every one.
    pub(super) events: &'static [&'static str],
}

const EVERY: &[&str] = &[];
/// The events about a packet.
const PACKETS: &[&str] = &["dns", "failed_dns", "imds", "packet"];

const fn group(
    prefix: &'static str,
    rows: &'static [Row],
    subject: Subject,
    part: Part,
    events: &'static [&'static str],
) -> Group {
    Group {
        prefix,
        rows,
        subject,
        part,
        events,
    }
}

/// The six groups of a process: its own, its files, its cgroup, container and user session.
macro_rules! process {
    ($prefix:literal, $subject:expr, $events:expr) => {
        [
            group($prefix, PROCESS, $subject, Part::Program, $events),
            group(
                concat!($prefix, ".file"),
                FILE,
                $subject,
                Part::Program,
                $events,
            ),
            group(
                concat!($prefix, ".interpreter.file"),
                FILE,
                $subject,
                Part::Interpreter,
                $events,
            ),
            group(
                concat!($prefix, ".cgroup"),
                CGROUP,
                $subject,
                Part::Program,
                $events,
            ),
            group(
                concat!($prefix, ".container"),
                CONTAINER,
                $subject,
                Part::Program,
                $events,
            ),
            group(
                concat!($prefix, ".user_session"),
                SESSION,
                $subject,
                Part::Program,
                $events,
            ),
        ]
    };
}

/// The two groups of an event about a file: the file, and what is particular to the call.
macro_rules! file_event {
    ($name:literal, $subject:expr, $rows:expr) => {
        [
            group(
                concat!($name, ".file"),
                FILE,
                $subject,
                Part::Object,
                &[$name],
            ),
            group($name, $rows, $subject, Part::Object, &[$name]),
        ]
    };
}

const fn single(
    prefix: &'static str,
    rows: &'static [Row],
    events: &'static [&'static str],
) -> [Group; 1] {
    [group(prefix, rows, Subject::Own, Part::Program, events)]
}

const fn absent(
    prefix: &'static str,
    rows: &'static [Row],
    events: &'static [&'static str],
) -> [Group; 1] {
    [group(prefix, rows, Subject::Absent, Part::Object, events)]
}

/// The whole table, in families of groups.
pub(super) static FAMILIES: &[&[Group]] = &[
    &single("event", EVENT, EVERY),
    &single("container", CONTAINER, EVERY),
    &single("cgroup", CGROUP, EVERY),
    &process!("process", Subject::Own, EVERY),
    &single("process", ANCESTRY, EVERY),
    &process!("process.parent", Subject::Parent, EVERY),
    &process!("process.ancestors", Subject::Ancestors, EVERY),
    &single("network", NETWORK, PACKETS),
    // Files.
    &file_event!("open", Subject::Own, OPEN),
    &file_event!("chmod", Subject::Own, CHMOD),
    &file_event!("chown", Subject::Own, CHOWN),
    &file_event!("mkdir", Subject::Absent, MKDIR),
    &file_event!("rmdir", Subject::Absent, PATH_ONLY),
    &file_event!("chdir", Subject::Absent, PATH_ONLY),
    &file_event!("utimes", Subject::Absent, PATH_ONLY),
    &file_event!("unlink", Subject::Absent, UNLINK),
    &file_event!("link", Subject::Absent, TWO_PATHS),
    &absent("link.file.destination", FILE, &["link"]),
    &file_event!("rename", Subject::Absent, TWO_PATHS),
    &absent("rename.file.destination", FILE, &["rename"]),
    &file_event!("setxattr", Subject::Absent, ATTRIBUTE),
    &file_event!("removexattr", Subject::Absent, ATTRIBUTE),
    &file_event!("splice", Subject::Absent, SPLICE),
    &absent("mount", MOUNT, &["mount"]),
    // Processes.
    &process!("exec", Subject::Own, &["exec"]),
    &single("exec", EXEC, &["exec"]),
    &process!("exit", Subject::Own, &["exit"]),
    &single("exit", EXIT, &["exit"]),
    &absent("setuid", SETUID, &["setuid"]),
    &absent("setgid", SETGID, &["setgid"]),
    &absent("capset", CAPSET, &["capset"]),
    &absent("capabilities", CAPABILITIES, &["capabilities"]),
    &absent("prctl", PRCTL, &["prctl"]),
    &absent("signal", SIGNAL, &["signal"]),
    &process!("signal.target", Subject::Absent, &["signal"]),
    &absent("signal.target", ANCESTRY, &["signal"]),
    &process!("signal.target.parent", Subject::Absent, &["signal"]),
    &process!("signal.target.ancestors", Subject::AbsentEach, &["signal"]),
    &absent("setrlimit", SETRLIMIT, &["setrlimit"]),
    &process!("setrlimit.target", Subject::Absent, &["setrlimit"]),
    &absent("setrlimit.target", ANCESTRY, &["setrlimit"]),
    &process!("setrlimit.target.parent", Subject::Absent, &["setrlimit"]),
    &process!(
        "setrlimit.target.ancestors",
        Subject::AbsentEach,
        &["setrlimit"]
    ),
    // The network.
    &single("bind", BIND, &["bind"]),
    &single("connect", CONNECT, &["connect"]),
    &single("accept", ACCEPT, &["accept"]),
    &absent("setsockopt", SETSOCKOPT, &["setsockopt"]),
    &absent("socket", SOCKET, &["socket"]),
    &single("dns", DNS, &["dns"]),
    &single("imds", IMDS, &["imds"]),
    &single("packet", PACKET, &["packet"]),
    &single("packet", NETWORK, &["packet"]),
    &absent(
        "network_flow_monitor",
        FLOW_MONITOR,
        &["network_flow_monitor"],
    ),
    &[group(
        "network_flow_monitor.flows",
        FLOW,
        Subject::AbsentEach,
        Part::Object,
        &["network_flow_monitor"],
    )],
    // The kernel.
    &absent("bpf", BPF, &["bpf"]),
    &absent("ptrace", PTRACE, &["ptrace"]),
    &process!("ptrace.tracee", Subject::Absent, &["ptrace"]),
    &absent("ptrace.tracee", ANCESTRY, &["ptrace"]),
    &process!("ptrace.tracee.parent", Subject::Absent, &["ptrace"]),
    &process!("ptrace.tracee.ancestors", Subject::AbsentEach, &["ptrace"]),
    &file_event!("mmap", Subject::Absent, MMAP),
    &absent("mprotect", MPROTECT, &["mprotect"]),
    &file_event!("load_module", Subject::Absent, LOAD_MODULE),
    &absent("unload_module", UNLOAD_MODULE, &["unload_module"]),
    &absent("selinux", SELINUX, &["selinux"]),
    &absent("sysctl", SYSCTL, &["sysctl"]),
    &file_event!("cgroup_write", Subject::Absent, CGROUP_WRITE),
    &absent("unshare", UNSHARE, &["unshare"]),
    &absent("ondemand", ONDEMAND, &["ondemand"]),
];

/// Where a group is: its family's and its own place.
pub(super) type Place = (usize, usize);

/// Every group with its place.
pub(super) fn all() -> impl Iterator<Item = (Place, &'static Group)> {
    FAMILIES.iter().enumerate().flat_map(|(family, groups)| {
        let numbered = groups.iter().enumerate();
        numbered.map(move |(place, group)| ((family, place), group))
    })
}

static BY_PREFIX: LazyLock<HashMap<&'static str, Vec<(Place, &'static Group)>>> =
    LazyLock::new(|| {
        let mut map: HashMap<_, Vec<_>> = HashMap::new();
        for (place, group) in all() {
            map.entry(group.prefix).or_default().push((place, group));
        }
        map
    });

/// The groups with this prefix.
pub(super) fn with_prefix(prefix: &str) -> &'static [(Place, &'static Group)] {
    BY_PREFIX.get(prefix).map_or(&[], Vec::as_slice)
}
