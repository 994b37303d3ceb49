//! The event types: names as rules and readers know them.
//!
//! A type is what a rule is about; the records of the probes that only feed the process cache
//! (arguments, cgroup moves) have none. Rules may name every type of the table; an [`EventType`]
//! is one that a probe observes.

use super::wire::Kind;

/// What happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum EventType {
    /// A new process; internal, no rule can be about it.
    Fork,
    /// A successful execve.
    Exec,
    /// The end of a process.
    Exit,
    /// open, openat, openat2, creat, truncate.
    Open,
    /// The chmod family.
    Chmod,
    /// The chown family.
    Chown,
    /// accept and accept4.
    Accept,
    /// bind.
    Bind,
    /// connect.
    Connect,
    /// A question to, or an answer of, a name server.
    Dns,
    /// A packet on the port of name servers that is no message of theirs.
    FailedDns,
    /// A request to, or an answer of, the metadata service of a cloud.
    Imds,
    /// A packet that the filter of some rule lets pass.
    Packet,
}

/// A type that rules can be about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RuleType {
    /// Its name: the first part of the names of its fields.
    pub name: &'static str,
    /// Its category, as in the JSON of an event (`evt.category`).
    pub category: &'static str,
}

impl RuleType {
    /// Whether a probe of this release observes it.
    pub fn observed(&self) -> bool {
        OBSERVED.contains(&self.name)
    }
}

const FILE: &str = "File Activity";
const PROCESS: &str = "Process Activity";
const KERNEL: &str = "Kernel Activity";
const NETWORK: &str = "Network Activity";

macro_rules! rule_types {
    ($($category:ident: $($name:literal)*;)*) => {
        /// Every type that rules can be about, by category.
        pub const TYPES: &[RuleType] = &[$($(RuleType { name: $name, category: $category }),*),*];

        /// The names of [`TYPES`].
        pub const RULE_TYPES: &[&str] = &[$($($name),*),*];
    };
}

rule_types! {
    FILE: "chdir" "chmod" "chown" "link" "mkdir" "mount" "open" "removexattr" "rename" "rmdir"
        "setxattr" "splice" "unlink" "utimes";
    PROCESS: "capabilities" "capset" "exec" "exit" "prctl" "setgid" "setrlimit" "setuid" "signal";
    KERNEL: "bpf" "cgroup_write" "load_module" "mmap" "mprotect" "ondemand" "ptrace" "selinux"
        "sysctl" "unload_module" "unshare";
    NETWORK: "accept" "bind" "connect" "dns" "failed_dns" "imds" "network_flow_monitor" "packet"
        "setsockopt" "socket";
}

/// The names of the types that a probe of this release observes, in the order of
/// [`EventType::ALL`].
pub const OBSERVED: &[&str] = &[
    "exec",
    "exit",
    "open",
    "chmod",
    "chown",
    "accept",
    "bind",
    "connect",
    "dns",
    "failed_dns",
    "imds",
    "packet",
];

impl EventType {
    /// Every type.
    pub const ALL: [EventType; 13] = [
        EventType::Fork,
        EventType::Exec,
        EventType::Exit,
        EventType::Open,
        EventType::Chmod,
        EventType::Chown,
        EventType::Accept,
        EventType::Bind,
        EventType::Connect,
        EventType::Dns,
        EventType::FailedDns,
        EventType::Imds,
        EventType::Packet,
    ];

    /// The name in rules, JSON and counters.
    pub fn name(self) -> &'static str {
        match self {
            EventType::Fork => "fork",
            EventType::Exec => "exec",
            EventType::Exit => "exit",
            EventType::Open => "open",
            EventType::Chmod => "chmod",
            EventType::Chown => "chown",
            EventType::Accept => "accept",
            EventType::Bind => "bind",
            EventType::Connect => "connect",
            EventType::Dns => "dns",
            EventType::FailedDns => "failed_dns",
            EventType::Imds => "imds",
            EventType::Packet => "packet",
        }
    }

    /// The category in the JSON of an event (`evt.category`).
    pub fn category(self) -> &'static str {
        match self {
            EventType::Fork | EventType::Exec | EventType::Exit => PROCESS,
            EventType::Open | EventType::Chmod | EventType::Chown => FILE,
            EventType::Accept
            | EventType::Bind
            | EventType::Connect
            | EventType::Dns
            | EventType::FailedDns
            | EventType::Imds
            | EventType::Packet => NETWORK,
        }
    }

    /// The type with this name.
    pub fn from_name(name: &str) -> Option<EventType> {
        EventType::ALL.into_iter().find(|kind| kind.name() == name)
    }

    /// The type of the events that records of this kind become; `None` for bookkeeping records.
    pub fn from_record(kind: Kind) -> Option<EventType> {
        match kind {
            Kind::Fork => Some(EventType::Fork),
            Kind::Exec => Some(EventType::Exec),
            Kind::Exit => Some(EventType::Exit),
            Kind::Open => Some(EventType::Open),
            Kind::Chmod => Some(EventType::Chmod),
            Kind::Chown => Some(EventType::Chown),
            Kind::Connect => Some(EventType::Connect),
            Kind::Bind => Some(EventType::Bind),
            Kind::Accept => Some(EventType::Accept),
            Kind::Dns => Some(EventType::Dns),
            Kind::Imds => Some(EventType::Imds),
            Kind::Packet => Some(EventType::Packet),
            Kind::Arguments | Kind::Cgroup | Kind::Session => None,
        }
    }

    /// Whether events of this type are about a file of their own.
    pub fn has_file(self) -> bool {
        matches!(self, EventType::Open | EventType::Chmod | EventType::Chown)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_lead_back_to_their_type() {
        for kind in EventType::ALL {
            assert_eq!(EventType::from_name(kind.name()), Some(kind));
            assert_eq!(OBSERVED.contains(&kind.name()), kind != EventType::Fork);
        }
        assert_eq!(EventType::from_name("mkdir"), None);
    }

    #[test]
    fn the_table_has_every_type_once_and_agrees_with_what_is_observed() {
        let mut names = std::collections::HashSet::new();
        for (row, name) in TYPES.iter().zip(RULE_TYPES) {
            assert_eq!(row.name, *name);
            assert!(names.insert(row.name), "{name} twice");
            let kind = EventType::from_name(name);
            assert_eq!(kind.is_some(), row.observed(), "{name}");
            assert!(kind.is_none_or(|kind| kind.category() == row.category));
        }
        assert_eq!((TYPES.len(), RULE_TYPES.len()), (44, 44));
        assert!(OBSERVED.iter().all(|name| names.contains(name)));
    }
}
