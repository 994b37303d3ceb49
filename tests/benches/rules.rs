//! What it costs to judge one event by all rules about its type.
//!
//! `policy` has the 300 rules of a public policy, `ladder` ever more rules about one type. Events
//! are made anew for each judgement, because what they compute once (joined arguments, cgroups of
//! ancestors) belongs to the price; making them does not.

mod generated;

use divan::{black_box, Bencher};
use security_agent::event::process::ProcessInfo;
use security_agent::event::types::RULE_TYPES;
use security_agent::event::{Body, Cgroup, Event, EventType, Fields, File, Image, Names, Process};
use security_agent::policy::{Options, RuleSet, Source};
use security_agent::secl::Candidates;
use std::cell::RefCell;
use std::rc::Rc;
use std::time::{Duration, UNIX_EPOCH};

const NOW: u64 = 1_767_323_045_678_000_000;

fn main() {
    divan::main();
}

/// The rules of a set that an event matches: the one place that knows how they are evaluated.
fn judge(set: &RuleSet, event: &Event) -> usize {
    thread_local! {
        static CANDIDATES: RefCell<Candidates> = RefCell::new(Candidates::new());
    }
    let kind = event.kind.name();
    let rules = set.rules(kind);
    CANDIDATES.with_borrow_mut(|candidates| {
        set.candidates(kind, event, candidates);
        let matching = candidates.iter().filter_map(|place| rules.get(place));
        matching.filter(|rule| rule.compiled.matches(event)).count()
    })
}

/// Rules of all types, as many of each as the public policy has; what it has of types that are
/// not here is given to the file events.
#[divan::bench(args = ["open", "open_matching", "exec", "exec_matching"])]
fn policy(bencher: Bencher<'_, '_>, what: &str) {
    let wanted = [
        ("exec", 107),
        ("open", 49),
        ("chmod", 72),
        ("chown", 71),
        ("exit", 1),
    ];
    run(bencher, &wanted, what);
}

/// Rules about one type only.
#[divan::bench(consts = [10, 100, 1_000, 10_000], args = ["open", "exec"])]
fn ladder<const RULES: usize>(bencher: Bencher<'_, '_>, what: &str) {
    run(bencher, &[(what, RULES)], what);
}

fn run(bencher: Bencher<'_, '_>, wanted: &[(&str, usize)], what: &str) {
    let set = load(&generated::policy(wanted));
    let rules: usize = wanted.iter().map(|(_, count)| count).sum();
    assert_eq!(set.all().count(), rules, "{:?}", refused(&set));
    let shell = shell();
    let matches = judge(&set, &event(what, &shell));
    assert_eq!(matches > 0, what.ends_with("matching"), "{what}: {matches}");
    bencher
        .with_inputs(|| event(what, &shell))
        .bench_local_refs(|event| judge(black_box(&set), event));
}

/// Why rules did not load.
fn refused(set: &RuleSet) -> Vec<&str> {
    let rules = set.report().policies.iter().flat_map(|one| &one.rules);
    let messages = rules.map(|rule| rule.message.as_str());
    messages.filter(|message| !message.is_empty()).collect()
}

fn load(text: &str) -> RuleSet {
    let source = Source {
        name: "bench.policy".to_owned(),
        kind: "file",
        text: text.as_bytes().to_vec(),
    };
    let options = Options {
        events: RULE_TYPES.to_vec(),
        ..Options::default()
    };
    RuleSet::load(&[source], &options, &Fields)
}

/// init, a supervisor, a login and a shell: what most processes of a server have above them.
fn shell() -> Rc<Process> {
    let mut parent = None;
    for (pid, path) in [
        (1, "/usr/lib/systemd/systemd"),
        (700, "/usr/sbin/sshd"),
        (900, "/usr/lib/openssh/sshd-session"),
        (901, "/usr/bin/bash"),
        (950, "/usr/bin/make"),
        (1000, "/usr/bin/dash"),
    ] {
        parent = Some(process(pid, path, &[path, "-c", "true"], parent));
    }
    parent.unwrap()
}

fn event(what: &str, shell: &Rc<Process>) -> Event {
    match what {
        "open" => open(shell, "/usr/lib/x86_64-linux-gnu/libc.so.6", 0o2_000_000),
        "open_matching" => open(shell, "/etc/cron1.d/job", 0o1101),
        "exec" => exec(
            shell,
            &["cc", "-O2", "-Wall", "-c", "main.c", "-o", "main.o"],
        ),
        _ => exec(shell, &["x", "--pool 2", "-o", "stratum2+tcp://pool:3333"]),
    }
}

fn open(process: &Rc<Process>, path: &str, flags: u32) -> Event {
    let body = Body::File {
        file: file(path),
        arguments: [flags, 0, 0, 0],
        syscall_path: path.to_owned(),
        syscall: 257,
    };
    made(EventType::Open, Rc::clone(process), body)
}

fn exec(shell: &Rc<Process>, args: &[&str]) -> Event {
    let program = process(1001, "/usr/bin/cc", args, Some(Rc::clone(shell)));
    let body = Body::Exec {
        syscall_path: "/usr/bin/cc".to_owned(),
    };
    made(EventType::Exec, program, body)
}

fn made(kind: EventType, process: Rc<Process>, body: Body) -> Event {
    let time = UNIX_EPOCH + Duration::from_nanos(NOW);
    let mut event = Event::new(
        kind,
        time,
        process,
        Rc::new(Names::default()),
        "host".into(),
    );
    event.body = body;
    event
}

fn file(path: &str) -> File {
    File {
        path: path.to_owned(),
        known: true,
        inode: 1234,
        mode: 0o100_755,
        ..File::default()
    }
}

fn process(pid: u32, path: &str, args: &[&str], parent: Option<Rc<Process>>) -> Rc<Process> {
    let info = ProcessInfo {
        pid,
        ppid: parent.as_ref().map_or(0, |parent| parent.info.pid),
        exec_time: NOW - 20_000_000_000,
        is_exec: true,
        ..ProcessInfo::default()
    };
    let image = Image {
        comm: path.rsplit('/').next().unwrap_or("").to_owned(),
        file: file(path),
        args: args.iter().map(|arg| (*arg).to_owned()).collect(),
        envs: vec!["HOME=/root".to_owned(), "PATH=/usr/bin:/bin".to_owned()],
        ..Image::default()
    };
    let cgroup = Cgroup {
        path: "/user.slice/session-1.scope".to_owned(),
        version: 2,
        ..Cgroup::default()
    };
    Rc::new(Process::new(
        info,
        Rc::new(image),
        parent,
        Default::default(),
        Rc::new(cgroup),
    ))
}
