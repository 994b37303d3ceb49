//! A few hand-made events for the targets that evaluate rules.

use security_agent::event::process::ProcessInfo;
use security_agent::event::{Body, Cgroup, Event, EventType, File, Image, Names, Process};
use std::rc::Rc;
use std::time::{Duration, UNIX_EPOCH};

thread_local! {
    static EVENTS: [Event; 2] = [open(), exec()];
}

/// Calls `each` with an open and an exec event.
pub fn with_some(each: impl FnMut(&Event)) {
    EVENTS.with(|events| events.iter().for_each(each));
}

fn open() -> Event {
    let mut event = event(EventType::Open);
    event.retval = -13;
    event.body = Body::File {
        file: file("/etc/passwd.bak"),
        arguments: [0o102, 0o644, 0, 0],
        syscall_path: "passwd.bak".to_owned(),
        syscall: 257,
    };
    event
}

fn exec() -> Event {
    let mut event = event(EventType::Exec);
    event.body = Body::Exec {
        syscall_path: "/bin/sh".to_owned(),
    };
    event
}

fn event(kind: EventType) -> Event {
    let init = process(1, "/sbin/init", &["init"], None);
    let shell = process(10, "/bin/sh", &["sh", "-c", "a"], Some(init));
    let own = process(
        11,
        "/usr/bin/cat",
        &["cat", "--all", "-n", "x=1"],
        Some(shell),
    );
    let names = Names {
        users: [(0, "root".to_owned())].into(),
        groups: [(0, "root".to_owned())].into(),
    };
    let time = UNIX_EPOCH + Duration::from_secs(1_700_000_000);
    Event::new(kind, time, own, Rc::new(names), "host".into())
}

fn file(path: &str) -> File {
    File {
        path: path.to_owned(),
        known: true,
        inode: 7,
        mode: 0o100_755,
        ..File::default()
    }
}

fn process(pid: u32, path: &str, args: &[&str], parent: Option<Rc<Process>>) -> Rc<Process> {
    let info = ProcessInfo {
        pid,
        ppid: parent.as_ref().map_or(0, |parent| parent.info.pid),
        exec_time: 1_699_999_999_000_000_000,
        ..ProcessInfo::default()
    };
    let image = Image {
        comm: "name".to_owned(),
        file: file(path),
        args: args.iter().map(|arg| (*arg).to_owned()).collect(),
        envs: vec!["A=b".to_owned()],
        ..Image::default()
    };
    let cgroup = Rc::new(Cgroup::default());
    Rc::new(Process::new(
        info,
        Rc::new(image),
        parent,
        Default::default(),
        cgroup,
    ))
}
