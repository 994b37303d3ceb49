use super::*;
use crate::event::session::{messages, SessionKind};
use crate::event::wire::{Arguments, FileBlock, Identity, Kind};

/// Ids that no process can have.
const NOBODY: u32 = 5_000_000;
const CHILD: u32 = 5_000_001;
const CONTAINER: &str = "3f5a3f5a3f5a3f5a3f5a3f5a3f5a3f5a3f5a3f5a3f5a3f5a3f5a3f5a3f5a3f5a";

fn header(kind: Kind, tgid: u32) -> Header {
    Header {
        timestamp: 1_000_000_000,
        kind,
        tgid,
        tid: tgid,
        retval: 0,
        identity: Identity::default(),
    }
}

fn resolver() -> Resolver {
    Resolver::new(Options {
        envs_with_value: vec!["PATH".to_owned()],
        hostname: "edge-1".to_owned(),
        ..Options::default()
    })
}

fn resolve(resolver: &mut Resolver, header: Header, body: wire::Body<'_>) -> Option<Event> {
    resolver.resolve(&Record { header, body })
}

fn fork(resolver: &mut Resolver, parent: u32, child: u32) -> Event {
    let fork = wire::Fork {
        start_time: 5,
        cgroup_id: 0,
        child,
        mount_namespace: 9,
        net_namespace: 8,
        session: 7,
        caller: parent,
    };
    resolve(resolver, header(Kind::Fork, parent), wire::Body::Fork(fork)).unwrap()
}

fn exec_of(script: bool) -> wire::Exec<'static> {
    wire::Exec {
        exec_id: 77,
        start_time: 5,
        cgroup_id: 0,
        cap_effective: 1,
        cap_permitted: 3,
        parent: NOBODY,
        session: 7,
        login_uid: 1000,
        mount_namespace: 9,
        net_namespace: 8,
        arguments_size: 6,
        environment_size: 14,
        script,
        comm: b"cat",
        tty: b"pts0",
        file: Some(FileBlock {
            inode: 42,
            mode: 0o100755,
            ..FileBlock::default()
        }),
        path: WalkedPath {
            names: b"cat\0bin\0usr\0",
            how: 0,
        },
        directory: WalkedPath {
            names: b"ann\0home\0",
            how: WalkedPath::FROM_STRING,
        },
        string: b"../ann/./a.sh",
    }
}

fn exec(resolver: &mut Resolver, script: bool) -> Event {
    for (index, environment, data) in [
        (0, false, &b"cat\0"[..]),
        (1, false, b"-n"),
        (0, true, b"PATH=/x\0KEY=y\0"),
    ] {
        let piece = Arguments {
            exec_id: 77,
            index,
            environment,
            data,
        };
        let body = wire::Body::Arguments(piece);
        assert!(resolve(resolver, header(Kind::Arguments, CHILD), body).is_none());
    }
    let body = wire::Body::Exec(exec_of(script));
    resolve(resolver, header(Kind::Exec, CHILD), body).unwrap()
}

fn open(tgid: u32, tid: u32, uid: u32) -> (Header, wire::File<'static>) {
    let mut header = header(Kind::Open, tgid);
    header.tid = tid;
    header.identity.uid = uid;
    let file = wire::File {
        file: Some(FileBlock {
            inode: 7,
            magic: 0xef53,
            ..FileBlock::default()
        }),
        arguments: [0o1101, 0o600, 0, 0],
        path: WalkedPath {
            names: b"shadow\0etc\0",
            how: 0,
        },
        string: b"/etc/shadow",
        dirfd: -100,
        syscall: 257,
        root: wire::WalkedPath::default(),
    };
    (header, file)
}

#[test]
fn an_exec_gets_its_arguments_and_program() {
    let mut resolver = resolver();
    fork(&mut resolver, NOBODY, CHILD);
    let event = exec(&mut resolver, false);
    let process = &event.process;
    assert_eq!(event.kind, EventType::Exec);
    assert_eq!(process.image.file.path, "/usr/bin/cat");
    assert_eq!(process.image.file.inode, 42);
    assert_eq!(process.image.args, ["cat", "-n"]);
    assert!(!process.image.args_truncated && !process.image.envs_truncated);
    assert_eq!(process.image.envs, ["PATH=/x", "KEY"]);
    assert_eq!(process.info.tty, "pts0");
    assert_eq!(process.info.mount_namespace, 9);
    assert!(process.image.interpreter.is_none());
}

#[test]
fn a_script_is_the_program_and_has_an_interpreter() {
    let mut resolver = resolver();
    let event = exec(&mut resolver, true);
    let image = &event.process.image;
    assert_eq!(image.file.path, "/home/ann/a.sh");
    assert_eq!(image.file.source, PathSource::Lexical);
    assert_eq!(image.interpreter.as_ref().unwrap().path, "/usr/bin/cat");
    assert_eq!(event.syscall_path(), "../ann/./a.sh");
}

#[test]
fn a_file_event_says_who_and_what() {
    let mut resolver = resolver();
    exec(&mut resolver, false);
    let (header, file) = open(CHILD, CHILD, 1000);
    let event = resolve(&mut resolver, header, wire::Body::File(file)).unwrap();
    assert_eq!(event.file().path, "/etc/shadow");
    assert_eq!(event.file().filesystem, "ext4");
    assert_eq!(event.argument(0), 0o1101);
    assert_eq!(event.process.image.comm, "cat");
    assert!(!event.flags.no_process);
    assert_eq!(event.process.identity().uid, 1000);
    let (header, file) = open(CHILD, CHILD + 1, 5);
    let event = resolve(&mut resolver, header, wire::Body::File(file)).unwrap();
    assert_eq!((event.identity.uid, event.tid), (5, CHILD + 1));
    assert_eq!(event.process.identity().uid, 1000);
}

#[test]
fn an_unknown_process_is_said_to_be_unknown() {
    let mut resolver = resolver();
    let (header, file) = open(NOBODY, NOBODY, 0);
    let event = resolve(&mut resolver, header, wire::Body::File(file)).unwrap();
    assert!(event.flags.no_process && event.process.info.lineage_broken);
    assert_eq!(event.process.info.pid, NOBODY);
    assert!(resolver.unknown.contains_key(&NOBODY));
    resolver.expire(header.timestamp + ASK_AGAIN);
    assert!(resolver.unknown.is_empty());
}

#[test]
fn a_process_that_no_record_introduced_is_read_from_proc() {
    let mut resolver = resolver();
    let own = std::process::id();
    let (header, file) = open(own, own, 0);
    let event = resolve(&mut resolver, header, wire::Body::File(file)).unwrap();
    assert!(!event.flags.no_process && event.process.info.snapshot);
    assert!(event.process.parent.is_some());
    let exe = std::env::current_exe().unwrap();
    assert_eq!(event.process.image.file.path, exe.to_str().unwrap());
}

#[test]
fn a_snapshot_holds_this_process() {
    let mut resolver = resolver();
    resolver.snapshot();
    assert!(resolver.processes.get(std::process::id()).is_some());
}

#[test]
fn exits_have_cause_and_code() {
    for (code, expected) in [
        (0x0300, Body::Exit { cause: 0, code: 3 }),
        (9, Body::Exit { cause: 2, code: 9 }),
        (0x8b, Body::Exit { cause: 1, code: 11 }),
    ] {
        let mut resolver = resolver();
        exec(&mut resolver, false);
        let exit = wire::Exit {
            start_time: 5,
            code,
            parent: 1,
        };
        let body = wire::Body::Exit(exit);
        let event = resolve(&mut resolver, header(Kind::Exit, CHILD), body).unwrap();
        assert_eq!(event.body, expected);
        assert_eq!(event.process.image.comm, "cat");
        assert_ne!(event.process.exit_time(), 0);
    }
}

#[test]
fn a_move_changes_the_cgroup() {
    let mut resolver = resolver();
    exec(&mut resolver, false);
    let docker = format!("/docker/{CONTAINER}");
    for (hierarchy, path, expected) in [
        (0, "/a.slice", "/a.slice"),
        (4, "/b.slice", "/a.slice"),
        (4, &docker, &docker),
        (0, "/", &docker),
    ] {
        let moved = wire::Cgroup {
            cgroup_id: 12,
            hierarchy,
            pid: CHILD,
            whole_group: true,
            path: path.as_bytes(),
        };
        let body = wire::Body::Cgroup(moved);
        assert!(resolve(&mut resolver, header(Kind::Cgroup, 1), body).is_none());
        let process = resolver.processes.get(CHILD).unwrap();
        assert_eq!(process.cgroup().path, *expected, "{path}");
    }
    let event = fork(&mut resolver, CHILD, CHILD + 1);
    assert_eq!(event.process.cgroup().container_id, CONTAINER);
    assert_eq!(event.cgroup.manager, "docker");
}

#[test]
fn threads_that_end_together_once_gave_an_exit_each() {
    let mut resolver = resolver();
    exec(&mut resolver, false);
    let exit = wire::Exit {
        start_time: 5,
        code: 0,
        parent: 1,
    };
    for (tid, told) in [(CHILD, true), (CHILD + 1, false)] {
        let mut header = header(Kind::Exit, CHILD);
        header.tid = tid;
        let body = wire::Body::Exit(exit);
        let event = resolve(&mut resolver, header, body);
        assert_eq!(event.is_some(), told, "{tid}");
    }
    assert_eq!(resolver.processes.counters.repeated_exits, 1);
}

#[test]
fn a_clock_that_was_set_once_went_unnoticed() {
    let mut resolver = resolver();
    resolver.clock = Clock::default();
    resolver.expire(0);
    let now = Clock::measure().monotonic_to_unix;
    let distance = resolver.clock.monotonic_to_unix.abs_diff(now);
    assert!(distance < 1_000_000_000);
}

#[test]
fn secrets_reach_rules_but_not_readers() {
    let mut resolver = Resolver::new(Options {
        sensitive_words: vec!["n".to_owned()],
        ..Options::default()
    });
    let piece = Arguments {
        exec_id: 77,
        index: 0,
        environment: false,
        data: b"a\0-n\0b\0",
    };
    let body = wire::Body::Arguments(piece);
    resolve(&mut resolver, header(Kind::Arguments, CHILD), body);
    let body = wire::Body::Exec(exec_of(false));
    let event = resolve(&mut resolver, header(Kind::Exec, CHILD), body).unwrap();
    let image = &event.process.image;
    assert_eq!(image.args, ["a", "-n", "b"]);
    assert_eq!(image.shown_args(), ["a", "-n", "********"]);
}

#[test]
fn an_eviction_is_no_way_out_of_a_session() {
    let mut resolver = Resolver::new(Options {
        process_cache_size: 2,
        ..Options::default()
    });
    let own = std::process::id();
    let take = |resolver: &mut Resolver, id, pid| {
        let message = messages(id, SessionKind::Kubernetes, b"{}").next().unwrap();
        let body = wire::Body::Session(wire::Session {
            start_time: 0,
            message: &message,
        });
        resolve(resolver, header(Kind::Session, pid), body);
    };
    let id = |process: &Process| process.user_session().map(|session| session.id.clone());
    take(&mut resolver, 0xa1, own);
    fork(&mut resolver, NOBODY, CHILD);
    take(&mut resolver, 0xc1, CHILD);
    // Both are evicted; the one comes back through /proc, the other through its exec.
    for child in CHILD + 1..CHILD + 4 {
        fork(&mut resolver, NOBODY, child);
    }
    assert!(resolver.processes.get(own).is_none() && resolver.processes.get(CHILD).is_none());
    take(&mut resolver, 0xb1, own);
    assert_eq!(id(&resolver.processes.get(own).unwrap()).unwrap(), "a1");
    assert_eq!(id(&exec(&mut resolver, false).process).unwrap(), "c1");
}

#[test]
fn a_message_puts_its_process_into_a_session() {
    let mut resolver = resolver();
    fork(&mut resolver, NOBODY, CHILD);
    let data = br#"{"username":"jane"}"#;
    let message = messages(0xa1, SessionKind::Kubernetes, data)
        .next()
        .unwrap();
    for (pid, start_time) in [(CHILD, 6), (NOBODY, 0), (CHILD, 5)] {
        let body = wire::Body::Session(wire::Session {
            start_time,
            message: &message,
        });
        assert!(resolve(&mut resolver, header(Kind::Session, pid), body).is_none());
    }
    let process = exec(&mut resolver, false).process;
    let session = process.user_session().unwrap();
    assert_eq!(session.kubernetes_user().unwrap().username, "jane");
    assert_eq!(session.id, "a1");
    let unknown = resolver.sessions.refused().find(|(_, count)| *count > 0);
    assert_eq!(unknown, Some(("unknown_process", 2)));
}
