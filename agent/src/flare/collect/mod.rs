//! What is collected, and how: one table, one line a collector.
//!
//! Collectors run in a process of their own ([`super::worker`]), because a file may hang whoever
//! opens it. They read the host and the files that [`Sources`] names, and write to a
//! [`Writer`]; what they cannot get becomes a note, an error only says that nobody reads any more.

mod files;
mod host;
mod roles;

use std::io;
use std::path::PathBuf;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::stream::Writer;

/// Where the files of this agent are, and who runs.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sources {
    /// Configuration files.
    pub configuration: Vec<Configuration>,
    /// Directories of log files.
    pub logs: Vec<PathBuf>,
    /// Directory of policies.
    pub policies: PathBuf,
    /// Directory of the rules of compliance.
    pub compliance: PathBuf,
    /// File that events are written to, where that is configured.
    pub output: PathBuf,
    /// Directory of the spool.
    pub spool: PathBuf,
    /// Processes of the agent: role and pid.
    pub processes: Vec<(String, u32)>,
    /// Whether who gets this may not see all that root may.
    pub is_restricted: bool,
}

/// A configuration file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Configuration {
    /// What it is called in the archive.
    pub name: String,
    /// Where it is.
    pub path: PathBuf,
    /// Whether the user has named it, rather than that it is where such files usually are.
    pub is_named: bool,
}

/// Who can collect something.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum By {
    /// Root, on the host: system-probe if it answers. Such collectors use no path of [`Sources`],
    /// so that nobody can have a file read to him that he may not read.
    Root,
    /// Whoever wants the archive.
    User,
}

/// Collects something.
type Collect = fn(&Sources, &mut Writer<'_>) -> io::Result<()>;

/// One entry of the table.
pub(super) struct Collector {
    pub(super) name: &'static str,
    pub(super) by: By,
    /// How long it may take.
    pub(super) limit: Duration,
    pub(super) run: Collect,
}

const fn collector(name: &'static str, by: By, seconds: u64, run: Collect) -> Collector {
    Collector {
        name,
        by,
        limit: Duration::from_secs(seconds),
        run,
    }
}

/// Every collector. What was broken when the user called comes first, so that limits of size cost
/// the bulky tables of the kernel rather than the logs.
pub(super) static COLLECTORS: &[Collector] = &[
    collector("configuration", By::User, 10, files::configuration),
    collector("policies", By::User, 10, files::policies),
    collector("logs", By::User, 20, files::logs),
    collector("output", By::User, 10, files::output),
    collector("spool", By::User, 10, files::spool),
    collector("processes", By::User, 10, roles::processes),
    collector("kernel", By::Root, 10, host::kernel),
    collector("lockdown", By::Root, 10, host::lockdown),
    collector("btf", By::Root, 10, host::btf),
    collector("bpf", By::Root, 10, host::bpf),
    collector("tc", By::Root, 20, host::tc),
    collector("mountinfo", By::Root, 10, host::mountinfo),
    collector("dmesg", By::Root, 10, host::dmesg),
    collector("tracefs", By::Root, 20, host::tracefs),
    collector("kallsyms", By::Root, 20, host::kallsyms),
];

/// The collector of this name.
pub(super) fn find(name: &str) -> Option<&'static Collector> {
    COLLECTORS.iter().find(|collector| collector.name == name)
}
