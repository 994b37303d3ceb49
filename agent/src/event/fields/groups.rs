//! Which rows stand under which prefix: the composition of the table.
//!
//! A prefix that is the beginning of another one (`process` and `process.parent`) does no harm:
//! a name is looked for in every group whose prefix it has.

use super::rows::{
    ANCESTRY, CGROUP, CHMOD, CHOWN, CONTAINER, EVENT, EXEC, EXIT, FILE, OPEN, PROCESS, SESSION,
};
use super::Row;

/// Whose lineage member a group reads.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Subject {
    /// The process of the event.
    Own,
    /// Its parent.
    Parent,
    /// Each of its ancestors.
    Ancestors,
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

/// The two groups of a file system call: the file, and what is particular to the call.
macro_rules! file_event {
    ($name:literal, $rows:expr) => {
        [
            group(
                concat!($name, ".file"),
                FILE,
                Subject::Own,
                Part::Object,
                &[$name],
            ),
            group($name, $rows, Subject::Own, Part::Object, &[$name]),
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

/// The whole table, in families of groups.
pub(super) static FAMILIES: &[&[Group]] = &[
    &single("event", EVENT, EVERY),
    &single("container", CONTAINER, EVERY),
    &single("cgroup", CGROUP, EVERY),
    &process!("process", Subject::Own, EVERY),
    &single("process", ANCESTRY, EVERY),
    &process!("process.parent", Subject::Parent, EVERY),
    &process!("process.ancestors", Subject::Ancestors, EVERY),
    &process!("exec", Subject::Own, &["exec"]),
    &single("exec", EXEC, &["exec"]),
    &process!("exit", Subject::Own, &["exit"]),
    &single("exit", EXIT, &["exit"]),
    &file_event!("open", OPEN),
    &file_event!("chmod", CHMOD),
    &file_event!("chown", CHOWN),
];

/// Every group with its family's and its own place.
pub(super) fn all() -> impl Iterator<Item = (usize, usize, &'static Group)> {
    FAMILIES.iter().enumerate().flat_map(|(family, groups)| {
        let numbered = groups.iter().enumerate();
        numbered.map(move |(place, group)| (family, place, group))
    })
}
