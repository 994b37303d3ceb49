//! The event types: names as rules and readers know them.
//!
//! A type is what a rule is about; the records of the probes that only feed the process cache
//! (arguments, cgroup moves) have none.

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
}

/// The names of the types that rules can be about, in the order of [`EventType::ALL`].
pub const RULE_TYPES: &[&str] = &["exec", "exit", "open", "chmod", "chown"];

impl EventType {
    /// Every type.
    pub const ALL: [EventType; 6] = [
        EventType::Fork,
        EventType::Exec,
        EventType::Exit,
        EventType::Open,
        EventType::Chmod,
        EventType::Chown,
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
        }
    }

    /// The category in the JSON of an event (`evt.category`).
    pub fn category(self) -> &'static str {
        match self {
            EventType::Fork | EventType::Exec | EventType::Exit => "Process Activity",
            EventType::Open | EventType::Chmod | EventType::Chown => "File Activity",
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
            Kind::Arguments | Kind::Cgroup => None,
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
            assert_eq!(RULE_TYPES.contains(&kind.name()), kind != EventType::Fork);
        }
        assert_eq!(EventType::from_name("mkdir"), None);
    }
}
