use super::*;
use crate::event::session::{SessionKind, UserSession};
use crate::event::wire::{Identity, Kind, WalkedPath};
use crate::event::{File, PathSource};

const SECOND: u64 = 1_000_000_000;

fn header(kind: Kind, tgid: u32, timestamp: u64) -> Header {
    Header {
        timestamp,
        kind,
        tgid,
        tid: tgid,
        retval: 0,
        identity: Identity::default(),
    }
}

fn image(path: &str) -> Image {
    Image {
        file: File {
            path: path.to_owned(),
            inode: path.len() as u64,
            source: PathSource::Kernel,
            ..File::default()
        },
        ..Image::default()
    }
}

/// A cache with the verbs of the tests; record times are in nanoseconds.
struct Bench(ProcessCache);

impl Bench {
    fn new(limit: usize) -> Bench {
        Bench(ProcessCache::new(limit))
    }

    fn fork(&mut self, parent: u32, child: u32, start_time: u64) -> Rc<Process> {
        self.fork_by(parent, parent, child, start_time)
    }

    fn fork_by(&mut self, caller: u32, parent: u32, child: u32, start_time: u64) -> Rc<Process> {
        let fork = Fork {
            start_time,
            cgroup_id: 0,
            child,
            mount_namespace: 1,
            net_namespace: 2,
            session: 3,
            caller,
        };
        let header = header(Kind::Fork, parent, start_time);
        let parent = self.0.get(parent);
        self.0
            .fork(&header, &fork, parent, Rc::default(), &Clock::default())
    }

    fn exec(&mut self, pid: u32, start_time: u64, timestamp: u64, path: &str) -> Rc<Process> {
        let exec = Exec {
            exec_id: 1,
            start_time,
            cgroup_id: 0,
            cap_effective: 0,
            cap_permitted: 0,
            parent: 1,
            session: 3,
            login_uid: 0,
            mount_namespace: 1,
            net_namespace: 2,
            arguments_size: 0,
            environment_size: 0,
            script: false,
            comm: b"x",
            tty: b"",
            file: None,
            path: WalkedPath::default(),
            directory: WalkedPath::default(),
            string: b"",
        };
        let header = header(Kind::Exec, pid, timestamp);
        let parent = self.0.get(exec.parent);
        let clock = Clock::default();
        self.0
            .exec(&header, &exec, image(path), parent, Rc::default(), &clock)
    }

    fn exit(&mut self, pid: u32, start_time: u64, timestamp: u64) -> Option<Rc<Process>> {
        let exit = Exit {
            start_time,
            code: 0,
            parent: 1,
        };
        let header = header(Kind::Exit, pid, timestamp);
        match self.0.exit(&header, &exit, &Clock::default()) {
            Ended::Now(process) => Some(process),
            Ended::Before | Ended::Unknown => None,
        }
    }

    fn snapshot(&mut self, rows: &[(u32, u32, u64, &str, u64)]) {
        let snapshots = rows.iter().map(|(pid, ppid, start_time, path, looked)| {
            let info = ProcessInfo {
                pid: *pid,
                ppid: *ppid,
                start_time: start_time / TICK * TICK,
                snapshot: true,
                ..ProcessInfo::default()
            };
            ProcessSnapshot {
                info,
                image: Rc::new(image(path)),
                identity: Identity::default(),
                cgroup: Cgroup::default(),
                looked: *looked,
            }
        });
        let snapshots = snapshots.collect();
        self.0
            .insert_snapshot(snapshots, |_, _| Rc::default(), &|_| {});
    }

    /// The programs of a process and its ancestors.
    fn line(&self, pid: u32) -> String {
        let process = self.0.get(pid).unwrap();
        let line = std::iter::once(&*process).chain(process.ancestors());
        let paths: Vec<&str> = line
            .map(|process| process.image.file.path.as_str())
            .collect();
        paths.join(" ")
    }
}

#[test]
fn lineage_follows_forks_and_execs() {
    let mut bench = Bench::new(10);
    bench.exec(1, 5, 5, "init");
    bench.fork(1, 10, 100);
    assert_eq!(bench.line(10), "init init");
    assert!(!bench.0.get(10).unwrap().info.is_exec);
    bench.exec(10, 100, 200, "sh");
    assert_eq!(bench.line(10), "sh init");
    assert!(!bench.0.get(10).unwrap().info.is_exec_child);
    bench.exec(10, 100, 300, "cat");
    assert_eq!(bench.line(10), "cat sh init");
    let cat = bench.0.get(10).unwrap();
    assert!(cat.info.is_exec_child);
    assert_eq!((cat.info.fork_time, cat.info.exec_time), (100, 300));
}

#[test]
fn a_missing_parent_breaks_the_lineage() {
    let mut bench = Bench::new(10);
    let child = bench.fork(99, 100, 50);
    assert!(child.info.lineage_broken && child.parent.is_none());
    assert_eq!(child.info.ppid, 99);
    assert_eq!(bench.0.counters.broken_lineage, 1);
}

#[test]
fn the_exited_stay_for_a_while() {
    let mut bench = Bench::new(10);
    bench.fork(1, 10, 100);
    bench.exec(10, 100, 200, "sh");
    bench.fork(10, 11, 300);
    assert!(bench.exit(10, 100, SECOND).is_some());
    bench.0.expire(2 * SECOND);
    assert_eq!(bench.0.get(10).unwrap().exit_time(), SECOND);
    bench.0.expire(3 * SECOND);
    assert!(bench.0.get(10).is_none());
    assert_eq!(bench.line(11), "sh sh");
    assert!(bench.exit(10, 100, 4 * SECOND).is_none());
}

#[test]
fn an_id_that_is_used_again_survives_the_old_ones_end() {
    let mut bench = Bench::new(10);
    bench.fork(1, 10, 100);
    bench.exit(10, 100, 200);
    bench.fork(1, 10, 300);
    assert!(bench.exit(10, 100, 400).is_none());
    bench.0.expire(10 * SECOND);
    assert_eq!(bench.0.get(10).unwrap().info.start_time, 300);
    let stranger = bench.exec(10, 555, 600, "other");
    assert!(!stranger.info.is_exec_child);
}

#[test]
fn the_cache_is_bounded_and_evicts_the_exited_first() {
    let mut bench = Bench::new(4);
    for pid in 10..14 {
        bench.fork(1, pid, u64::from(pid));
    }
    bench.exit(12, 12, 50);
    bench.fork(1, 20, 60);
    assert!(bench.0.get(12).is_none() && bench.0.get(10).is_some());
    bench.fork(1, 21, 70);
    assert!(bench.0.get(10).is_none() && bench.0.get(21).is_some());
    assert_eq!((bench.0.len(), bench.0.counters.evicted), (4, 2));
    for pid in 100..10_000 {
        bench.fork(1, pid, u64::from(pid) * 1_000);
        bench.exit(pid, u64::from(pid) * 1_000, SECOND);
    }
    assert!(bench.0.len() <= 4 && bench.0.exited.len() <= 5);
}

#[test]
fn a_snapshot_links_parents_in_any_order() {
    for reversed in [false, true] {
        let mut bench = Bench::new(10);
        let mut rows = [
            (1, 0, 0, "init", 1),
            (10, 1, SECOND, "sh", 1),
            (11, 10, 2 * SECOND, "cat", 1),
            (12, 10, 2 * SECOND, "sh", 1),
        ];
        if reversed {
            rows.reverse();
        }
        bench.snapshot(&rows);
        assert_eq!(bench.line(11), "cat sh init");
        assert!(bench.0.get(11).unwrap().info.is_exec);
        assert!(!bench.0.get(12).unwrap().info.is_exec);
        assert_eq!(bench.0.counters.broken_lineage, 0);
    }
}

#[test]
fn a_snapshot_of_a_circle_ends() {
    let mut bench = Bench::new(10);
    bench.snapshot(&[
        (10, 11, 5, "a", 1),
        (11, 10, 5, "b", 1),
        (12, 12, 5, "c", 1),
    ]);
    assert_eq!(bench.0.len(), 3);
}

#[test]
fn replayed_records_neither_double_nor_lose() {
    let start = 5 * SECOND + 123;
    let looked = 6 * SECOND;
    let mut bench = Bench::new(10);
    bench.snapshot(&[(1, 0, 0, "init", looked), (10, 1, start, "sh", looked)]);
    // The fork and the exec that the look at /proc saw.
    bench.fork(1, 10, start);
    assert_eq!(bench.line(10), "sh init");
    bench.exec(10, start, 5 * SECOND + 500, "sh");
    assert_eq!(bench.line(10), "sh init");
    assert!(!bench.0.get(10).unwrap().info.snapshot);
    // One that came after it.
    bench.exec(10, start, 7 * SECOND, "cat");
    assert_eq!(bench.line(10), "cat sh init");
    // A process that came and went before.
    bench.fork(1, 20, start);
    assert_eq!(bench.line(20), "init init");
    assert!(bench.exit(20, start, start + 10).is_some());
}

#[test]
fn two_execs_before_the_look_keep_their_order() {
    let start = 5 * SECOND;
    let mut bench = Bench::new(10);
    bench.snapshot(&[(1, 0, 0, "init", start), (10, 1, start, "cat", 6 * SECOND)]);
    bench.exec(10, start, start + 100, "sh");
    bench.exec(10, start, start + 200, "cat");
    assert_eq!(bench.line(10), "cat sh init");
}

#[test]
fn an_exec_stamped_just_after_the_look_is_the_one_it_saw() {
    let start = 5 * SECOND;
    for (path, delay, expected) in [
        ("cat", STAMP_DELAY, "cat init"),
        ("cat", STAMP_DELAY + 1, "cat cat init"),
        ("other", STAMP_DELAY, "other cat init"),
    ] {
        let mut bench = Bench::new(10);
        bench.snapshot(&[(1, 0, 0, "init", start), (10, 1, start, "cat", start)]);
        bench.exec(10, start, start + delay, path);
        assert_eq!(bench.line(10), expected, "{path} {delay}");
    }
}

#[test]
fn the_newer_start_wins() {
    let mut bench = Bench::new(10);
    bench.fork(1, 10, 5 * SECOND);
    bench.snapshot(&[(10, 1, 4 * SECOND, "old", 1)]);
    assert_eq!(bench.line(10), "");
    bench.snapshot(&[(10, 1, 6 * SECOND, "new", 1)]);
    assert_eq!(bench.line(10), "new");
    bench.fork(1, 10, 5 * SECOND);
    assert_eq!(bench.line(10), "new");
    assert!(bench.exit(10, 5 * SECOND, 7 * SECOND).is_none());
    assert!(bench.exit(10, 6 * SECOND + 1, 7 * SECOND).is_some());
}

#[test]
fn unknown_starts_contradict_nothing() {
    let mut bench = Bench::new(10);
    bench.snapshot(&[(10, 1, 4 * SECOND, "sh", 1)]);
    bench.exec(10, 0, 5 * SECOND, "cat");
    assert_eq!(bench.line(10), "cat sh");
    assert!(bench.exit(10, 0, 6 * SECOND).is_some());
    bench.fork(1, 10, 0);
    assert_eq!(bench.0.get(10).unwrap().exit_time(), 0);
}

#[test]
fn neighbours_live_in_the_same_namespace() {
    let mut bench = Bench::new(10);
    bench.fork(1, 10, 100);
    assert_eq!(bench.0.neighbour(10, 1), None);
    bench.fork(1, 11, 200);
    assert_eq!(bench.0.neighbour(10, 1), Some(11));
    assert_eq!(bench.0.neighbour(10, 9), None);
    bench.exit(11, 200, 300);
    assert_eq!(bench.0.neighbour(10, 1), None);
}

#[test]
fn the_exit_of_a_process_with_threads_was_once_doubled() {
    let mut bench = Bench::new(10);
    bench.fork(1, 10, 100);
    assert!(bench.exit(10, 100, 200).is_some());
    assert!(bench.exit(10, 100, 201).is_none());
    assert_eq!(bench.0.counters.repeated_exits, 1);
    assert_eq!(bench.0.get(10).unwrap().exit_time(), 200);
    bench.fork(1, 10, 300);
    assert!(bench.exit(10, 300, 400).is_some());
    assert_eq!(bench.0.counters.repeated_exits, 1);
}

#[test]
fn user_sessions_are_inherited_and_kept() {
    let mut bench = Bench::new(20);
    bench.fork(1, 9, 50);
    bench.fork(9, 10, 100);
    bench.exec(10, 100, 110, "sh");
    let session = Rc::new(UserSession::new(7, SessionKind::Kubernetes));
    bench.0.get(10).unwrap().join_session(&session);
    bench.exec(10, 100, 120, "bash");
    bench.fork(10, 11, 200);
    bench.fork(11, 12, 300);
    bench.exec(12, 300, 310, "ls");
    // With CLONE_PARENT: a child of 9 that 10 forked.
    bench.fork_by(10, 9, 13, 400);
    // What /proc has shown before its fork was told.
    bench.snapshot(&[(14, 10, 5 * SECOND, "ls", 1)]);
    bench.snapshot(&[(15, 9, 5 * SECOND, "ls", 1)]);
    bench.fork_by(10, 9, 15, 5 * SECOND);
    // An id that is somebody else's now.
    bench.fork(9, 12, 6 * SECOND);
    let mut inside = Vec::new();
    for pid in 9..=15 {
        let process = bench.0.get(pid).unwrap();
        inside.extend(process.user_session().map(|_| pid));
    }
    assert_eq!(inside, [10, 11, 13, 14, 15]);
}
