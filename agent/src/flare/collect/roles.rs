//! The processes of the agent: what they use and what they may use.

use std::ffi::OsStr;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use crate::flare::collect::Sources;
use crate::flare::stream::Writer;
use crate::sys::files::read_limited;

const LIMIT: u64 = 1 << 20;
/// Bytes of one file.
const SHORT: usize = 64 << 10;
/// Where cgroups are, version 2 or the mixed form.
const CGROUPS: [&str; 2] = ["/sys/fs/cgroup", "/sys/fs/cgroup/unified"];
/// Files of a process.
const OF_PROCESS: &[&str] = &["status", "limits", "cgroup", "oom_score_adj"];
/// Files of a cgroup: what it uses, and its limits (Documentation/admin-guide/cgroup-v2.rst).
const OF_CGROUP: &[&str] = &[
    "memory.current",
    "memory.peak",
    "memory.high",
    "memory.max",
    "memory.events",
    "memory.swap.current",
    "memory.pressure",
    "cpu.max",
    "cpu.stat",
    "cpu.pressure",
    "pids.current",
    "pids.max",
];
/// The same of version 1, with the controller that has it.
const OF_OLD_CGROUP: &[(&str, &str)] = &[
    ("memory", "memory.usage_in_bytes"),
    ("memory", "memory.limit_in_bytes"),
    ("memory", "memory.failcnt"),
    ("cpu", "cpu.cfs_quota_us"),
    ("cpu", "cpu.cfs_period_us"),
    ("cpu", "cpu.stat"),
    ("pids", "pids.max"),
];

/// Processes of the agent with their cgroups; of the process that collects when none is known.
pub(super) fn processes(sources: &Sources, out: &mut Writer<'_>) -> io::Result<()> {
    out.file("cgroup.txt", LIMIT);
    let own = [("flare".to_owned(), std::process::id())];
    let known = match sources.processes.is_empty() {
        true => own.as_slice(),
        false => sources.processes.as_slice(),
    };
    for (role, pid) in known {
        let process = PathBuf::from(format!("/proc/{pid}"));
        writeln!(out, "= {role}, pid {pid}")?;
        if !is_ours(&process) {
            writeln!(
                out,
                "(it is not seen from here, or this number is another's here)"
            )?;
            continue;
        }
        for name in OF_PROCESS {
            value(&process.join(name), out)?;
        }
        let lines = read_limited(&process.join("cgroup"), SHORT).unwrap_or_default();
        for line in String::from_utf8_lossy(&lines).lines() {
            cgroup(line, out)?;
        }
    }
    Ok(())
}

/// Whether this is a process of the agent: numbers are others in another pid namespace.
fn is_ours(process: &Path) -> bool {
    let program = std::fs::read_link(process.join("exe"));
    let own = std::fs::read_link("/proc/self/exe");
    let name = |path: &PathBuf| path.file_name().map(OsStr::to_owned);
    program.is_ok_and(|program| own.is_ok_and(|own| name(&program) == name(&own)))
}

/// The cgroup of a line `id:controllers:path` (cgroups(7)).
fn cgroup(line: &str, out: &mut Writer<'_>) -> io::Result<()> {
    let mut parts = line.splitn(3, ':').skip(1);
    let (Some(controllers), Some(path)) = (parts.next(), parts.next()) else {
        return Ok(());
    };
    // A path of another cgroup namespace climbs above what is mounted here.
    let path = path.trim_start_matches('/').trim_start_matches("../");
    if controllers.is_empty() {
        for name in OF_CGROUP {
            for root in CGROUPS {
                value(&Path::new(root).join(path).join(name), out)?;
            }
        }
        return Ok(());
    }
    for (controller, name) in OF_OLD_CGROUP {
        if controllers.split(',').any(|known| known == *controller) {
            value(
                &Path::new("/sys/fs/cgroup")
                    .join(controller)
                    .join(path)
                    .join(name),
                out,
            )?;
        }
    }
    Ok(())
}

/// The content of a file under its name; nothing of what cannot be read.
fn value(path: &Path, out: &mut Writer<'_>) -> io::Result<()> {
    match read_limited(path, SHORT) {
        Ok(value) => {
            let value = String::from_utf8_lossy(&value);
            writeln!(out, "\n== {}\n{}", path.display(), value.trim_end())
        }
        Err(_) => Ok(()),
    }
}
