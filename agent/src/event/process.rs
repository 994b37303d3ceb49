//! A process and the image that it runs.
//!
//! `resolve` makes the entries; rules, events and descendants share them. Only what may change
//! during a life (credentials, cgroup, user session, end) is a cell. Times as in [`super::model`].

use std::cell::{Cell, OnceCell, RefCell};
use std::rc::Rc;

use super::model::{Cgroup, File, MAX_ANCESTORS};
use super::session::UserSession;
use super::wire::Identity;

/// What a process runs: shared by a fork child with its parent until it executes something else.
#[derive(Clone, Debug, Default)]
pub struct Image {
    /// Name of the task.
    pub comm: String,
    /// The program, or the script when it was started as one.
    pub file: File,
    /// The interpreter of the script.
    pub interpreter: Option<File>,
    /// Arguments, the zeroth first.
    pub args: Vec<String>,
    /// The arguments with secrets masked, for the JSON; `None` when there is nothing to mask.
    pub masked_args: Option<Vec<String>>,
    /// Some arguments are missing or cut.
    pub args_truncated: bool,
    /// Environment: names, or `NAME=value` where the configuration wants the value.
    pub envs: Vec<String>,
    /// Some variables are missing or cut.
    pub envs_truncated: bool,
    /// Forms of the arguments that rules ask for, made at first use.
    pub derived: Derived,
}

/// What [`Image`] computes of its arguments, once.
#[derive(Clone, Debug, Default)]
pub struct Derived {
    joined: OnceCell<String>,
    flags: OnceCell<Vec<String>>,
    options: OnceCell<Vec<String>>,
}

impl Image {
    /// The zeroth argument; empty without one.
    pub fn argv0(&self) -> &str {
        self.args.first().map_or("", String::as_str)
    }

    /// The arguments after the zeroth.
    pub fn argv(&self) -> &[String] {
        self.args.get(1..).unwrap_or(&[])
    }

    /// The arguments as readers of events get them, secrets masked, the zeroth first.
    pub fn shown_args(&self) -> &[String] {
        self.masked_args.as_deref().unwrap_or(&self.args)
    }

    /// The arguments after the zeroth, joined by spaces.
    pub fn args_joined(&self) -> &str {
        self.derived.joined.get_or_init(|| self.argv().join(" "))
    }

    /// Arguments that begin with hyphens and carry no value of their own; short ones also letter
    /// by letter (`-la` gives `la`, `l` and `a`).
    pub fn args_flags(&self) -> &[String] {
        self.derived.flags.get_or_init(|| flags(self.argv()))
    }

    /// Arguments that begin with hyphens, with their value (`-p 80` gives `p=80`).
    pub fn args_options(&self) -> &[String] {
        self.derived.options.get_or_init(|| options(self.argv()))
    }

    /// The value of an environment variable; `None` when it is unset or was not kept.
    pub fn env(&self, name: &str) -> Option<&str> {
        self.envs
            .iter()
            .find_map(|entry| entry.split_once('=').filter(|(key, _)| *key == name))
            .map(|(_, value)| value)
    }
}

/// The name behind one or two hyphens.
fn hyphenated(argument: &str) -> Option<(&str, bool)> {
    let (name, long) = match argument.strip_prefix("--") {
        Some(name) => (name, true),
        None => (argument.strip_prefix('-')?, false),
    };
    (!name.is_empty()).then_some((name, long))
}

fn flags(argv: &[String]) -> Vec<String> {
    let mut flags: Vec<String> = Vec::new();
    let mut push = |flag: String| {
        if !flags.contains(&flag) {
            flags.push(flag);
        }
    };
    for (name, long) in argv.iter().filter_map(|argument| hyphenated(argument)) {
        if name.contains('=') {
            continue;
        }
        push(name.to_owned());
        let letters = name.chars().all(char::is_alphanumeric) && name.len() <= 16;
        if !long && letters {
            name.chars().for_each(|letter| push(letter.to_string()));
        }
    }
    flags
}

fn options(argv: &[String]) -> Vec<String> {
    let mut options = Vec::new();
    let mut rest = argv.iter().peekable();
    while let Some(argument) = rest.next() {
        let Some((name, _)) = hyphenated(argument) else {
            continue;
        };
        if name.contains('=') {
            options.push(name.to_owned());
        } else if let Some(value) = rest.next_if(|next| !next.starts_with('-')) {
            options.push(format!("{name}={value}"));
        }
    }
    options
}

/// What is fixed when a process entry is made; see [`Process`].
#[derive(Clone, Debug, Default)]
pub struct ProcessInfo {
    /// Process id in the initial pid namespace.
    pub pid: u32,
    /// Id of the parent as the kernel named it.
    pub ppid: u32,
    /// Start, nanoseconds since boot: with the pid, the identity of the process.
    pub start_time: u64,
    /// When it was forked.
    pub fork_time: u64,
    /// When its image was executed; 0 for a fork child that executed nothing.
    pub exec_time: u64,
    /// Terminal; empty without one.
    pub tty: String,
    /// Login user; `u32::MAX` when unset.
    pub login_uid: u32,
    /// Effective capabilities.
    pub cap_effective: u64,
    /// Permitted capabilities.
    pub cap_permitted: u64,
    /// Session id.
    pub session: u32,
    /// Inode of the mount namespace.
    pub mount_namespace: u32,
    /// Inode of the network namespace.
    pub net_namespace: u32,
    /// This entry came into being by an exec.
    pub is_exec: bool,
    /// The parent entry is the same process before its exec.
    pub is_exec_child: bool,
    /// Read from /proc rather than from the probes.
    pub snapshot: bool,
    /// The parent is not known although there is one.
    pub lineage_broken: bool,
}

/// The part that a process plays in the JSON of an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum JsonRole {
    /// It did it.
    Actor,
    /// It is an ancestor of who did it.
    Ancestor,
}

#[derive(Debug, Default)]
struct CachedJson {
    actor: Option<Rc<str>>,
    ancestor: Option<Rc<str>>,
}

impl CachedJson {
    fn of(&mut self, role: JsonRole) -> &mut Option<Rc<str>> {
        match role {
            JsonRole::Actor => &mut self.actor,
            JsonRole::Ancestor => &mut self.ancestor,
        }
    }
}

/// A process between two execs: each exec makes a new entry.
#[derive(Debug)]
pub struct Process {
    /// Ids, times and the like.
    pub info: ProcessInfo,
    /// What it runs.
    pub image: Rc<Image>,
    /// Who forked it, or what it was before its exec.
    pub parent: Option<Rc<Process>>,
    /// How many ancestors are linked.
    pub depth: usize,
    identity: Cell<Identity>,
    exit_time: Cell<u64>,
    cgroup: RefCell<Rc<Cgroup>>,
    user_session: OnceCell<Rc<UserSession>>,
    json: RefCell<CachedJson>,
}

impl Process {
    /// An entry below `parent`; a chain longer than twice [`MAX_ANCESTORS`] is cut to it, so
    /// that no sequence of forks and execs holds unbounded memory.
    pub fn new(
        info: ProcessInfo,
        image: Rc<Image>,
        parent: Option<Rc<Process>>,
        identity: Identity,
        cgroup: Rc<Cgroup>,
    ) -> Process {
        let parent = match parent {
            Some(parent) if parent.depth >= 2 * MAX_ANCESTORS => Some(shortened(&parent)),
            parent => parent,
        };
        let depth = parent.as_ref().map_or(0, |parent| parent.depth + 1);
        Process {
            info,
            image,
            parent,
            depth,
            identity: Cell::new(identity),
            exit_time: Cell::new(0),
            cgroup: RefCell::new(cgroup),
            user_session: OnceCell::new(),
            json: RefCell::default(),
        }
    }

    /// The credentials it was last seen with.
    pub fn identity(&self) -> Identity {
        self.identity.get()
    }

    /// Notes other credentials.
    pub fn set_identity(&self, identity: Identity) {
        if self.identity.replace(identity) != identity {
            self.json.take();
        }
    }

    /// When it ended; 0 while it runs.
    pub fn exit_time(&self) -> u64 {
        self.exit_time.get()
    }

    /// Notes its end.
    pub fn set_exit_time(&self, time: u64) {
        if self.exit_time.replace(time) != time {
            self.json.take();
        }
    }

    /// The cgroup that it is in now.
    pub fn cgroup(&self) -> Rc<Cgroup> {
        Rc::clone(&self.cgroup.borrow())
    }

    /// Notes a move to another cgroup.
    pub fn set_cgroup(&self, cgroup: Rc<Cgroup>) {
        self.cgroup.replace(cgroup);
        self.json.take();
    }

    /// The session of a user that it is part of. The kept JSON does not show it, as the session's
    /// user may become known later.
    pub fn user_session(&self) -> Option<&Rc<UserSession>> {
        self.user_session.get()
    }

    /// Makes it part of a session, unless it is part of one already.
    pub fn join_session(&self, session: &Rc<UserSession>) {
        // It never leaves the session that it is in.
        let _ = self.user_session.set(Rc::clone(session));
    }

    /// Makes it part of the session of the process that it comes from.
    pub fn inherit_session(&self, from: Option<&Process>) {
        if let Some(session) = from.and_then(Process::user_session) {
            self.join_session(session);
        }
    }

    /// The time that its age counts from: the exec of its image, or its fork.
    pub fn created(&self) -> u64 {
        match self.info.exec_time {
            0 => self.info.fork_time,
            time => time,
        }
    }

    /// The ancestors, parent first, at most [`MAX_ANCESTORS`].
    pub fn ancestors(&self) -> impl Iterator<Item = &Process> {
        std::iter::successors(self.parent.as_deref(), |process| process.parent.as_deref())
            .take(MAX_ANCESTORS)
    }

    /// How many ancestors [`Process::ancestors`] gives.
    pub fn ancestors_count(&self) -> usize {
        self.depth.min(MAX_ANCESTORS)
    }

    /// Whether there are more ancestors than [`Process::ancestors`] gives.
    pub fn ancestors_truncated(&self) -> bool {
        self.depth > MAX_ANCESTORS
    }

    /// A thread of the kernel, or a child of kthreadd.
    pub fn is_kernel_thread(&self) -> bool {
        self.info.pid == 2 || self.info.ppid == 2
    }

    /// Something that the JSON shows has changed.
    pub(super) fn forget_json(&self) {
        self.json.take();
    }

    /// The JSON that `make` writes for this role, made once and kept until something that it
    /// shows changes.
    pub(super) fn cached_json(&self, role: JsonRole, make: impl FnOnce() -> String) -> Rc<str> {
        if let Some(json) = self.json.borrow_mut().of(role) {
            return Rc::clone(json);
        }
        let made: Rc<str> = make().into();
        *self.json.borrow_mut().of(role) = Some(Rc::clone(&made));
        made
    }

    /// The same entry with another parent.
    fn with_parent(&self, parent: Option<Rc<Process>>) -> Process {
        let copy = Process::new(
            self.info.clone(),
            Rc::clone(&self.image),
            parent,
            self.identity(),
            self.cgroup(),
        );
        copy.set_exit_time(self.exit_time());
        copy.inherit_session(Some(self));
        copy
    }
}

/// A copy of the chain from `last` up that ends after [`MAX_ANCESTORS`] entries.
fn shortened(last: &Process) -> Rc<Process> {
    let mut kept: Vec<&Process> = std::iter::once(last).chain(last.ancestors()).collect();
    let oldest = kept.pop().unwrap_or(last);
    let mut chain = Rc::new(oldest.with_parent(None));
    while let Some(process) = kept.pop() {
        chain = Rc::new(process.with_parent(Some(chain)));
    }
    chain
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(text: &str) -> Vec<String> {
        text.split(' ').map(str::to_owned).collect()
    }

    #[test]
    fn arguments_give_flags_and_options() {
        for (line, expected_flags, expected_options) in [
            ("cat --version", "version", ""),
            ("netstat -ln", "ln l n", ""),
            ("ls -T 8 --width=8", "T", "T=8 width=8"),
            ("bash -c id", "c", "c=id"),
            ("tar -- -x", "x", ""),
            ("grep -", "", ""),
        ] {
            let image = Image {
                args: words(line),
                ..Image::default()
            };
            assert_eq!(image.args_flags().join(" "), expected_flags, "{line}");
            assert_eq!(image.args_options().join(" "), expected_options, "{line}");
        }
    }

    #[test]
    fn chains_are_bounded_and_keep_the_nearest() {
        let mut last: Option<Rc<Process>> = None;
        for pid in 0..5_000 {
            let info = ProcessInfo {
                pid,
                ..ProcessInfo::default()
            };
            last = Some(Rc::new(Process::new(
                info,
                Rc::default(),
                last.take(),
                Identity::default(),
                Rc::default(),
            )));
        }
        let last = last.unwrap();
        assert!(last.depth <= 2 * MAX_ANCESTORS);
        assert!(last.ancestors_truncated());
        let pids: Vec<u32> = last.ancestors().map(|process| process.info.pid).collect();
        assert_eq!(pids, (4_799..4_999).rev().collect::<Vec<_>>());
    }

    #[test]
    fn cached_json_lasts_until_a_change() {
        let process = Process::new(
            ProcessInfo::default(),
            Rc::default(),
            None,
            Identity::default(),
            Rc::default(),
        );
        assert_eq!(
            &*process.cached_json(JsonRole::Actor, || "a".to_owned()),
            "a"
        );
        assert_eq!(
            &*process.cached_json(JsonRole::Actor, || "b".to_owned()),
            "a"
        );
        process.set_identity(Identity::default());
        assert_eq!(
            &*process.cached_json(JsonRole::Actor, || "b".to_owned()),
            "a"
        );
        process.set_cgroup(Rc::default());
        assert_eq!(
            &*process.cached_json(JsonRole::Actor, || "c".to_owned()),
            "c"
        );
        process.set_exit_time(5);
        assert_eq!(
            &*process.cached_json(JsonRole::Actor, || "d".to_owned()),
            "d"
        );
    }
}
