//! What `diagnosis` says of this role, as one JSON object: what the verifier said of refused
//! programs, and what the process cache is made of.
//!
//! Refusals and cache enter, the reply leaves. It has a bound, so has the walk through the cache:
//! the loop makes it between two turns.

use std::collections::{HashMap, HashSet};

use serde_json::{json, Value};

use crate::kernel::Refusal;
use crate::resolve::process::ProcessCache;

/// Bytes of the reply.
const LONGEST_REPLY: usize = 512 << 10;
/// Entries of the process cache that are looked at.
const MOST_ENTRIES: usize = 50_000;
/// Executables that are named, those of the most processes.
const MOST_EXECUTABLES: usize = 50;
/// Bytes of an executable's path.
const LONGEST_PATH: usize = 1_024;

/// The reply to a request for the diagnosis; `now` in nanoseconds since the epoch.
pub(super) fn reply(refusals: &[Refusal], processes: &ProcessCache, now: u64) -> String {
    let cache = process_cache(processes, now);
    let mut shown = refusals;
    loop {
        let logs: Value = shown.iter().map(verifier_log).collect();
        let diagnosis = json!({ "verifier_logs": logs, "process_cache": cache });
        let reply = json!({ "ok": true, "diagnosis": diagnosis }).to_string();
        match shown.split_last() {
            Some((_, fewer)) if reply.len() > LONGEST_REPLY => shown = fewer,
            _ => return reply,
        }
    }
}

fn verifier_log(refusal: &Refusal) -> Value {
    json!({ "program": refusal.program, "errno": refusal.errno, "log": refusal.log })
}

fn process_cache(processes: &ProcessCache, now: u64) -> Value {
    let (mut exited, mut from_proc, mut orphaned) = (0, 0, 0);
    let mut oldest = now;
    let mut containers = HashSet::new();
    let mut counts: HashMap<&str, u32> = HashMap::new();
    for (process, has_exited) in processes.all().take(MOST_ENTRIES) {
        exited += u32::from(has_exited);
        from_proc += u32::from(process.info.snapshot);
        orphaned += u32::from(process.info.lineage_broken);
        if process.info.fork_time != 0 {
            oldest = oldest.min(process.info.fork_time);
        }
        let cgroup = process.cgroup();
        if !cgroup.container_id.is_empty() {
            containers.insert(cgroup.inode);
        }
        *counts.entry(&process.image.file.path).or_default() += 1;
    }
    json!({
        "entries": processes.len(),
        "limit": processes.limit(),
        "by_state": {
            "living": processes.len().min(MOST_ENTRIES) - exited as usize,
            "exited": exited,
            "from_proc": from_proc,
            "lineage_broken": orphaned,
        },
        "executables": executables(counts),
        "containers": containers.len(),
        "oldest_seconds": (now - oldest) / 1_000_000_000,
    })
}

/// The paths that most processes run, the most frequent first; empty is one that is not known.
fn executables(counts: HashMap<&str, u32>) -> Value {
    let mut counts: Vec<(&str, u32)> = counts.into_iter().collect();
    counts.sort_unstable_by(|one, other| other.1.cmp(&one.1).then(one.0.cmp(other.0)));
    let shown = counts.into_iter().take(MOST_EXECUTABLES);
    shown
        .map(|(path, count)| {
            let end = path.floor_char_boundary(LONGEST_PATH);
            json!({ "path": path.get(..end), "count": count })
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use std::rc::Rc;

    use super::*;
    use crate::event::process::ProcessInfo;
    use crate::event::wire::Identity;
    use crate::event::{Cgroup, File, Image};
    use crate::resolve::snapshot::ProcessSnapshot;

    fn snapshot(pid: u32, path: &str, container: u64) -> ProcessSnapshot {
        let container_id = match container {
            0 => String::new(),
            number => number.to_string(),
        };
        ProcessSnapshot {
            info: ProcessInfo {
                pid,
                fork_time: 1_000_000_000 * u64::from(pid),
                snapshot: true,
                ..ProcessInfo::default()
            },
            image: Rc::new(Image {
                file: File {
                    path: path.to_owned(),
                    ..File::default()
                },
                ..Image::default()
            }),
            identity: Identity::default(),
            cgroup: Cgroup {
                container_id,
                inode: container,
                ..Cgroup::default()
            },
            looked: 1,
        }
    }

    fn cache(snapshots: Vec<ProcessSnapshot>) -> ProcessCache {
        let mut cache = ProcessCache::new(100);
        cache.insert_snapshot(snapshots, |cgroup, _| Rc::new(cgroup), &|_| {});
        cache
    }

    fn parsed(reply: &str) -> Value {
        serde_json::from_str(reply).unwrap()
    }

    #[test]
    fn the_cache_is_counted() {
        let cache = cache(vec![
            snapshot(5, "/bin/b", 7),
            snapshot(6, "/bin/b", 7),
            snapshot(7, "/bin/a", 8),
            snapshot(8, "/bin/c", 0),
        ]);
        let reply = parsed(&reply(&[], &cache, 25_000_000_000));
        assert_eq!(reply["ok"], true);
        assert_eq!(
            reply["diagnosis"],
            json!({
                "verifier_logs": [],
                "process_cache": {
                    "entries": 4,
                    "limit": 100,
                    "by_state": { "living": 4, "exited": 0, "from_proc": 4, "lineage_broken": 0 },
                    "executables": [
                        { "path": "/bin/b", "count": 2 },
                        { "path": "/bin/a", "count": 1 },
                        { "path": "/bin/c", "count": 1 },
                    ],
                    "containers": 2,
                    "oldest_seconds": 20,
                },
            })
        );
    }

    #[test]
    fn the_reply_is_bounded_whatever_it_is_made_of() {
        let long = "\u{1}".repeat(4_000);
        let paths = (1..=100).map(|pid| snapshot(pid, &format!("/{pid}{long}"), 0));
        let refusals = vec![
            Refusal {
                program: "sys_exit_open".to_owned(),
                errno: 13,
                log: "\n".repeat(8 << 10),
            };
            32
        ];
        let reply = reply(&refusals, &cache(paths.collect()), 0);
        assert!(reply.len() <= LONGEST_REPLY, "{}", reply.len());
        let reply = parsed(&reply);
        let executables = &reply["diagnosis"]["process_cache"]["executables"];
        assert_eq!(executables.as_array().unwrap().len(), MOST_EXECUTABLES);
        let first = &reply["diagnosis"]["verifier_logs"][0];
        assert_eq!(first["program"], "sys_exit_open");
        assert_eq!(first["log"].as_str().unwrap().len(), 8 << 10);
    }
}
