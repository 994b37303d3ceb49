//! From records to events: who did it, to which file, in which container, under which name.
//!
//! Records of the probes enter a [`Resolver`] in the order of their time; those that are events
//! leave as [`Event`]s, the others feed the caches. /proc is read at start and where a record
//! names a process that no record has introduced. Everything kept here is bounded.

pub mod arguments;
pub mod cgroup;
pub mod clock;
pub mod file;
pub mod host;
pub mod names;
pub mod network;
pub mod path;
pub mod process;
pub mod ranges;
pub mod scrub;
pub mod sessions;
pub mod snapshot;
pub mod sockets;
pub mod user;

use std::collections::HashMap;
use std::rc::Rc;
use std::time::{Duration, UNIX_EPOCH};

use crate::event::process::ProcessInfo;
use crate::event::wire::{self, Header, Record, WalkedPath};
use crate::event::{Body, Cgroup, Event, EventType, File, Image, PathSource, Process};
use arguments::{EnvironmentFilter, Pieces};
use cgroup::Cgroups;
use clock::Clock;
use names::Hostnames;
use network::NetworkState;
use path::{Caller, Named, PathResolver};
use process::{Ended, ProcessCache};
use ranges::PrivateRanges;
use scrub::Scrubber;
use sessions::Sessions;
use snapshot::{ProcessSnapshot, Reader};
use user::Users;

/// How long a process that /proc did not know is not asked for again, in nanoseconds.
const ASK_AGAIN: u64 = 1_000_000_000;
/// The most such processes that are remembered.
const MAX_UNKNOWN: usize = 1_024;
/// The most ancestors that are read from /proc for one process.
const MAX_LINE: usize = 64;

/// What a resolver is told at start.
#[derive(Clone, Debug)]
pub struct Options {
    /// The most processes in the cache (`event_monitoring_config.pid_cache_size`).
    pub process_cache_size: usize,
    /// Environment variables whose value is kept (`event_monitoring_config.envs_with_value`).
    pub envs_with_value: Vec<String>,
    /// Words that mark arguments as secret, besides the usual ones
    /// (`event_monitoring_config.custom_sensitive_words`).
    pub sensitive_words: Vec<String>,
    /// Name of the host.
    pub hostname: String,
    /// Addresses whose names are remembered; 0 remembers none
    /// (`event_monitoring_config.dns_resolution`).
    pub hostnames: usize,
    /// Aliases of a name that are followed.
    pub alias_depth: usize,
    /// Addresses that are not public.
    pub private_ranges: PrivateRanges,
    /// The most sessions of users that are remembered
    /// (`runtime_security_config.user_sessions.cache_size`).
    pub sessions: usize,
}

impl Default for Options {
    fn default() -> Options {
        Options {
            process_cache_size: 10_000,
            envs_with_value: Vec::new(),
            sensitive_words: Vec::new(),
            hostname: String::new(),
            hostnames: 1_024,
            alias_depth: 2,
            private_ranges: PrivateRanges::default(),
            sessions: 1_024,
        }
    }
}

/// The caches that events are made with.
#[derive(Debug)]
pub struct Resolver {
    /// Processes.
    pub processes: ProcessCache,
    /// From the kernel's clocks to the time of day; measured at start and every second, as
    /// the clock may be set and the machine suspended.
    pub clock: Clock,
    /// What is known of addresses and packets.
    pub network: NetworkState,
    /// Sessions of users.
    pub sessions: Sessions,
    cgroups: Cgroups,
    users: Users,
    paths: PathResolver,
    pieces: Pieces,
    filter: EnvironmentFilter,
    scrubber: Scrubber,
    hostname: Rc<str>,
    /// Processes that /proc did not know, and when it was asked (monotonic).
    unknown: HashMap<u32, u64>,
}

impl Resolver {
    /// A resolver that knows nothing yet; see [`Resolver::snapshot`].
    pub fn new(options: Options) -> Resolver {
        Resolver {
            processes: ProcessCache::new(options.process_cache_size),
            clock: Clock::measure(),
            network: NetworkState::new(
                Hostnames::new(options.hostnames, options.alias_depth),
                options.private_ranges,
            ),
            sessions: Sessions::new(options.sessions),
            cgroups: Cgroups::default(),
            users: Users::default(),
            paths: PathResolver::default(),
            pieces: Pieces::default(),
            filter: EnvironmentFilter::new(options.envs_with_value),
            scrubber: Scrubber::new(&options.sensitive_words),
            hostname: options.hostname.into(),
            unknown: HashMap::new(),
        }
    }

    /// Takes in every process that /proc lists. Records that came since the probes were attached
    /// are resolved after this, in order: none is counted twice.
    pub fn snapshot(&mut self) {
        let found = snapshot::walk(&mut Reader {
            filter: &self.filter,
            scrubber: &self.scrubber,
            mounts: &mut self.paths.mounts,
            clock: &self.clock,
        });
        self.insert(found);
    }

    fn insert(&mut self, found: Vec<ProcessSnapshot>) {
        let (cgroups, sessions) = (&mut self.cgroups, &self.sessions);
        let share = |cgroup, seen| cgroups.share(cgroup, seen);
        self.processes
            .insert_snapshot(found, share, &|process| sessions.rejoin(process));
    }

    /// A text with the secrets in it masked.
    pub fn masked(&self, text: &str) -> String {
        let text = text.to_owned();
        match self.scrubber.mask(std::slice::from_ref(&text)) {
            Some(masked) => masked.into_iter().next().unwrap_or_default(),
            None => text,
        }
    }

    /// How many execs lost pieces of their arguments to the limits.
    pub fn dropped_arguments(&self) -> u64 {
        self.pieces.dropped
    }

    /// Forgets what is too old at `now`, in monotonic nanoseconds, and measures the clocks again;
    /// to be called every second.
    pub fn expire(&mut self, now: u64) {
        self.clock = Clock::measure();
        self.processes.expire(now);
        self.unknown
            .retain(|_, asked| now.saturating_sub(*asked) < ASK_AGAIN);
    }

    /// The event that a record is; `None` for those that only feed the caches.
    pub fn resolve(&mut self, record: &Record<'_>) -> Option<Event> {
        let header = &record.header;
        match &record.body {
            wire::Body::Arguments(piece) => {
                self.pieces.add(piece);
                None
            }
            wire::Body::Cgroup(moved) => {
                self.moved(header, moved);
                None
            }
            wire::Body::Session(sent) => {
                let process = self.known(header.tgid, header.timestamp);
                let process = process.as_deref();
                self.sessions.take(process, sent.start_time, sent.message);
                None
            }
            wire::Body::Fork(fork) => Some(self.fork(header, fork)),
            wire::Body::Exec(exec) => Some(self.exec(header, exec)),
            wire::Body::Exit(exit) => self.exit(header, exit),
            wire::Body::File(file) => self.file(header, file),
            wire::Body::Socket(socket) => self.socket(header, socket),
            wire::Body::Packet(packet) => self.packet(header, packet),
        }
    }

    fn event(&mut self, kind: EventType, header: &Header, process: Rc<Process>) -> Event {
        let time = self.clock.from_monotonic(header.timestamp);
        let time = UNIX_EPOCH + Duration::from_nanos(time);
        let names = self.users.names(header.timestamp);
        let mut event = Event::new(kind, time, process, names, Rc::clone(&self.hostname));
        event.identity = header.identity;
        event.tid = header.tid;
        event.retval = header.retval.into();
        event
    }

    fn fork(&mut self, header: &Header, fork: &wire::Fork) -> Event {
        let parent = self.known(header.tgid, header.timestamp);
        if let Some(parent) = &parent {
            note_identity(parent, header);
        }
        // Who forked a sibling may have been evicted, and be in a session.
        self.known(fork.caller, header.timestamp);
        self.unknown.remove(&fork.child);
        let cgroup = parent.as_ref().map(|parent| parent.cgroup());
        let cgroup = self.cgroup(fork.child, fork.cgroup_id, cgroup);
        let clock = self.clock;
        let child = self.processes.fork(header, fork, parent, cgroup, &clock);
        let mut event = self.event(EventType::Fork, header, child);
        event.tid = fork.child;
        event
    }

    fn exec(&mut self, header: &Header, exec: &wire::Exec<'_>) -> Event {
        let previous = self.processes.get(header.tgid);
        let parent = match &previous {
            Some(_) => self.processes.get(exec.parent),
            None => self.known(exec.parent, header.timestamp),
        };
        self.unknown.remove(&header.tgid);
        let cgroup = previous.as_ref().or(parent.as_ref());
        let cgroup = cgroup.map(|process| process.cgroup());
        let cgroup = self.cgroup(header.tgid, exec.cgroup_id, cgroup);
        let image = self.image(header, exec);
        let clock = self.clock;
        let process = self
            .processes
            .exec(header, exec, image, parent, cgroup, &clock);
        if previous.is_none() {
            self.sessions.rejoin(&process);
            process.inherit_session(process.parent.as_deref());
        }
        let mut event = self.event(EventType::Exec, header, process);
        event.body = Body::Exec {
            syscall_path: String::from_utf8_lossy(exec.string).into_owned(),
        };
        event
    }

    /// What an exec runs: for a script the script, with its interpreter beside it.
    fn image(&mut self, header: &Header, exec: &wire::Exec<'_>) -> Image {
        let sizes = (exec.arguments_size, exec.environment_size);
        let (args, envs) = self.pieces.take(exec.exec_id, sizes.0, sizes.1);
        let envs = envs.filtered(&self.filter);
        let program = Named {
            block: exec.file.as_ref(),
            walked: &exec.path,
            root: None,
            string: b"",
        };
        let program = self.find(&program, header.tgid, exec.mount_namespace);
        let (file, interpreter) = match exec.script {
            false => (program, None),
            true => {
                let script = self.script(header, exec);
                (script, Some(program))
            }
        };
        Image {
            comm: String::from_utf8_lossy(exec.comm).into_owned(),
            file,
            interpreter,
            masked_args: self.scrubber.mask(&args.elements),
            args: args.elements,
            args_truncated: args.truncated,
            envs: envs.elements,
            envs_truncated: envs.truncated,
            ..Image::default()
        }
    }

    fn script(&mut self, header: &Header, exec: &wire::Exec<'_>) -> File {
        let walked = WalkedPath {
            how: exec.directory.how | WalkedPath::FROM_STRING,
            ..exec.directory
        };
        let named = Named {
            block: None,
            walked: &walked,
            root: None,
            string: exec.string,
        };
        self.find(&named, header.tgid, exec.mount_namespace)
    }

    /// The exit of a process; `None` for one that has been told already, as the threads of a
    /// process that end at the same time may each take themselves for the last.
    fn exit(&mut self, header: &Header, exit: &wire::Exit) -> Option<Event> {
        let clock = self.clock;
        let process = match self.processes.exit(header, exit, &clock) {
            Ended::Now(process) => Some(process),
            Ended::Before => return None,
            Ended::Unknown if self.processes.get(header.tgid).is_some() => None,
            Ended::Unknown => {
                let read = self.known(header.tgid, header.timestamp);
                match self.processes.exit(header, exit, &clock) {
                    Ended::Now(process) => Some(process),
                    Ended::Before | Ended::Unknown => read,
                }
            }
        };
        let unknown = process.is_none();
        let process = process.unwrap_or_else(|| stand_in(header, exit.parent));
        let mut event = self.event(EventType::Exit, header, process);
        event.flags.no_process = unknown;
        event.body = exit_body(exit.code);
        Some(event)
    }

    fn file(&mut self, header: &Header, record: &wire::File<'_>) -> Option<Event> {
        let kind = EventType::from_record(header.kind)?;
        let process = self.known(header.tgid, header.timestamp);
        let unknown = process.is_none();
        let process = process.unwrap_or_else(|| stand_in(header, 0));
        note_identity(&process, header);
        let named = Named {
            block: record.file.as_ref(),
            walked: &record.path,
            root: Some(&record.root).filter(|root| root.is(WalkedPath::FROM_STRING)),
            string: record.string,
        };
        let file = self.find(&named, header.tgid, process.info.mount_namespace);
        let mut event = self.event(kind, header, process);
        event.flags.no_process = unknown;
        event.body = Body::File {
            file,
            arguments: record.arguments,
            syscall_path: String::from_utf8_lossy(record.string).into_owned(),
            syscall: record.syscall,
        };
        Some(event)
    }

    /// The file that a process in this mount namespace named.
    fn find(&mut self, named: &Named<'_>, pid: u32, mount_namespace: u32) -> File {
        let processes = &self.processes;
        let caller = Caller {
            pid,
            mount_namespace,
            neighbour: &|| processes.neighbour(pid, mount_namespace),
        };
        self.paths.resolve(named, &caller)
    }

    /// The process with this id, from the cache or else, once, from /proc with its line of
    /// parents. `now` is monotonic.
    fn known(&mut self, pid: u32, now: u64) -> Option<Rc<Process>> {
        if let Some(process) = self.processes.get(pid) {
            return Some(process);
        }
        let asked = self.unknown.get(&pid);
        if pid == 0 || asked.is_some_and(|asked| now.saturating_sub(*asked) < ASK_AGAIN) {
            return None;
        }
        let found = self.read_line(pid);
        if found.is_empty() {
            if self.unknown.len() >= MAX_UNKNOWN {
                self.unknown.clear();
            }
            self.unknown.insert(pid, now);
            return None;
        }
        self.insert(found);
        self.processes.get(pid)
    }

    /// A process and those of its parents that the cache does not know, from /proc.
    fn read_line(&mut self, pid: u32) -> Vec<ProcessSnapshot> {
        let mut reader = Reader {
            filter: &self.filter,
            scrubber: &self.scrubber,
            mounts: &mut self.paths.mounts,
            clock: &self.clock,
        };
        let mut line = Vec::new();
        let mut next = pid;
        while line.len() < MAX_LINE && next != 0 && self.processes.get(next).is_none() {
            let Some(found) = snapshot::read(next, &mut reader) else {
                break;
            };
            next = found.info.ppid;
            line.push(found);
        }
        line
    }

    /// The cgroup of a process that the kernel says is in the unified cgroup `id`: the one given
    /// when that is it or cannot be told, else what /proc says.
    fn cgroup(&mut self, pid: u32, id: u64, expected: Option<Rc<Cgroup>>) -> Rc<Cgroup> {
        let expected = match expected {
            Some(cgroup) if cgroup.version != 2 || cgroup.inode == 0 => return cgroup,
            Some(cgroup) if id == 0 || cgroup.inode == id => return cgroup,
            expected => expected,
        };
        let Some(mut read) = cgroup::read(pid) else {
            return expected.unwrap_or_default();
        };
        if read.version == 2 && id != 0 {
            read.inode = id;
        }
        let now = self.clock.from_monotonic(clock::monotonic_now());
        self.cgroups.share(read, now)
    }

    /// A task moved to another cgroup. Of v1 hierarchies only moves into containers count,
    /// unless the process is known by such a hierarchy already.
    fn moved(&mut self, header: &Header, moved: &wire::Cgroup<'_>) {
        let Some(process) = self.processes.get(moved.pid) else {
            return;
        };
        let version = if moved.hierarchy == 0 { 2 } else { 1 };
        let path = String::from_utf8_lossy(moved.path);
        let mut cgroup = cgroup::from_path(&path, version);
        if version == 2 {
            cgroup.inode = moved.cgroup_id;
        }
        let before = process.cgroup();
        let counts = match (version, cgroup.container_id.is_empty()) {
            (_, false) => true,
            (2, true) => before.version != 1,
            _ => before.version == 1 && before.container_id.is_empty(),
        };
        if counts {
            let seen = self.clock.from_monotonic(header.timestamp);
            process.set_cgroup(self.cgroups.share(cgroup, seen));
        }
    }
}

/// Notes the credentials of an event with its process, unless a thread of its own changed them.
fn note_identity(process: &Process, header: &Header) {
    if header.tid == header.tgid {
        process.set_identity(header.identity);
    }
}

/// An entry for a process of which nothing is known but what the record says.
fn stand_in(header: &Header, parent: u32) -> Rc<Process> {
    let info = ProcessInfo {
        pid: header.tgid,
        ppid: parent,
        login_uid: crate::event::constants::LOGIN_UID_UNSET,
        lineage_broken: true,
        ..ProcessInfo::default()
    };
    let file = File {
        source: PathSource::Absent,
        path_error: crate::event::model::NOT_AVAILABLE,
        ..File::default()
    };
    let image = Image {
        file,
        ..Image::default()
    };
    let cgroup = Rc::default();
    Rc::new(Process::new(
        info,
        Rc::new(image),
        None,
        header.identity,
        cgroup,
    ))
}

/// Cause and code of a wait status.
fn exit_body(status: u32) -> Body {
    let signal = status & 0x7f;
    let dumped = status & 0x80 != 0;
    match signal {
        0 => Body::Exit {
            cause: 0,
            code: status >> 8 & 0xff,
        },
        _ => Body::Exit {
            cause: if dumped { 1 } else { 2 },
            code: signal,
        },
    }
}

#[cfg(test)]
mod tests;
