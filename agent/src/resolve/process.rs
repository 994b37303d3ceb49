//! The process cache: every process that events may be about, by id.
//!
//! Entries come from the probes' fork and exec records and from /proc; they leave some time
//! after the exit, or when there are too many. Lineage is in the entries themselves, so that a
//! parent outlives its place here. The identity of a process is its id with its start time: of
//! two that claim an id the one that started later is right.

use std::collections::{HashMap, VecDeque};
use std::rc::Rc;

use super::clock::Clock;
use super::snapshot::{ProcessSnapshot, TICK};
use crate::event::process::ProcessInfo;
use crate::event::wire::{Exec, Exit, Fork, Header};
use crate::event::{Cgroup, Image, Process};

/// How long an entry stays after its exit, in nanoseconds: late events still find it.
const GRACE: u64 = 2_000_000_000;
/// How much later than a look at /proc an exec that it saw may be stamped, in nanoseconds: the
/// kernel shows the new program before the probe runs.
const STAMP_DELAY: u64 = 50_000_000;
/// The part of the cache that is evicted at once when nothing in it has exited.
const EVICTED_PART: usize = 16;

/// What happened to the cache since it was made.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// Entries that left before their grace was over, or while they lived.
    pub evicted: u64,
    /// Processes whose parent was nowhere to be found.
    pub broken_lineage: u64,
    /// Exits of processes whose exit was told already.
    pub repeated_exits: u64,
}

/// What an exit was to the cache.
#[derive(Debug)]
pub enum Ended {
    /// The end of this process.
    Now(Rc<Process>),
    /// The end of a process that had ended already.
    Before,
    /// The end of a process that is not known.
    Unknown,
}

#[derive(Debug)]
struct Entry {
    process: Rc<Process>,
    /// Monotonic time of the look at /proc; 0 for entries of the probes.
    looked: u64,
    exited: bool,
    order: u64,
}

/// The processes; see the module.
#[derive(Debug)]
pub struct ProcessCache {
    entries: HashMap<u32, Entry>,
    /// Id, start and monotonic time of exit, in the order of exits.
    exited: VecDeque<(u32, u64, u64)>,
    limit: usize,
    next_order: u64,
    /// What happened so far.
    pub counters: Counters,
}

/// Whether two starts, in nanoseconds since boot, are of one process; those from /proc are
/// rounded down to ticks. An unknown start (0) contradicts nothing.
pub(super) fn same_start(recorded: u64, entry: &ProcessInfo) -> bool {
    let known = entry.start_time;
    recorded == 0
        || known == 0
        || recorded == known
        || entry.snapshot && recorded / TICK == known / TICK
}

impl ProcessCache {
    /// A cache of at most `limit` entries, at least one.
    pub fn new(limit: usize) -> ProcessCache {
        ProcessCache {
            entries: HashMap::new(),
            exited: VecDeque::new(),
            limit: limit.max(1),
            next_order: 0,
            counters: Counters::default(),
        }
    }

    /// The process with this id, for some time also after its exit.
    pub fn get(&self, pid: u32) -> Option<Rc<Process>> {
        self.entries
            .get(&pid)
            .map(|entry| Rc::clone(&entry.process))
    }

    /// How many entries there are.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether there is no entry.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// The most entries that there may be.
    pub fn limit(&self) -> usize {
        self.limit
    }

    /// Every entry, and whether its process has ended.
    pub fn all(&self) -> impl Iterator<Item = (&Process, bool)> {
        let entries = self.entries.values();
        entries.map(|entry| (&*entry.process, entry.exited))
    }

    /// Every process that has not ended.
    pub fn living(&self) -> impl Iterator<Item = &Rc<Process>> {
        let living = self.entries.values().filter(|entry| !entry.exited);
        living.map(|entry| &entry.process)
    }

    /// A living process other than `pid` in a mount namespace: the one with the lowest id, which
    /// of a container's processes is the likeliest to stay.
    pub fn neighbour(&self, pid: u32, mount_namespace: u32) -> Option<u32> {
        let living = self.entries.values().filter(|entry| !entry.exited);
        living
            .map(|entry| &entry.process.info)
            .filter(|info| info.mount_namespace == mount_namespace && info.pid != pid)
            .map(|info| info.pid)
            .min()
    }

    /// Takes in what /proc showed. Entries that started later than what it shows stay; parents
    /// come before their children, whatever the order given. `share` makes cgroups shared ones,
    /// `rejoin` puts processes back into their sessions before their children inherit these.
    pub fn insert_snapshot(
        &mut self,
        snapshots: Vec<ProcessSnapshot>,
        mut share: impl FnMut(Cgroup, u64) -> Rc<Cgroup>,
        rejoin: &dyn Fn(&Process),
    ) {
        let mut waiting: HashMap<u32, ProcessSnapshot> = snapshots
            .into_iter()
            .map(|snapshot| (snapshot.info.pid, snapshot))
            .collect();
        let pids: Vec<u32> = waiting.keys().copied().collect();
        for pid in pids {
            let mut line = Vec::new();
            let mut next = pid;
            while let Some(snapshot) = waiting.remove(&next) {
                next = snapshot.info.ppid;
                line.push(snapshot);
            }
            while let Some(mut snapshot) = line.pop() {
                let cgroup = std::mem::take(&mut snapshot.cgroup);
                let cgroup = share(cgroup, snapshot.info.fork_time);
                self.insert_one(snapshot, cgroup, rejoin);
            }
        }
    }

    fn insert_one(
        &mut self,
        snapshot: ProcessSnapshot,
        cgroup: Rc<Cgroup>,
        rejoin: &dyn Fn(&Process),
    ) {
        let mut info = snapshot.info;
        let known = self.entries.get(&info.pid).map(|entry| &entry.process.info);
        if known.is_some_and(|known| known.start_time / TICK >= info.start_time / TICK) {
            return;
        }
        let parent = self
            .get(info.ppid)
            .filter(|parent| parent.info.pid != info.pid);
        info.lineage_broken = parent.is_none() && info.ppid != 0;
        let of_parent = parent
            .as_ref()
            .is_some_and(|parent| same_image(&parent.image, &snapshot.image));
        let is_program = !snapshot.image.file.path.is_empty() || !snapshot.image.args.is_empty();
        info.is_exec = is_program && !of_parent;
        info.exec_time = if info.is_exec { info.fork_time } else { 0 };
        self.note_lineage(&info);
        let process = Process::new(info, snapshot.image, parent, snapshot.identity, cgroup);
        rejoin(&process);
        process.inherit_session(process.parent.as_deref());
        self.insert(Rc::new(process), snapshot.looked);
    }

    /// Takes in a fork; `parent` is the entry of the process that the header names. What /proc
    /// has shown of the child already stays.
    pub fn fork(
        &mut self,
        header: &Header,
        fork: &Fork,
        parent: Option<Rc<Process>>,
        cgroup: Rc<Cgroup>,
        clock: &Clock,
    ) -> Rc<Process> {
        // With CLONE_PARENT nobody leaves a session either.
        let caller = self.get(fork.caller).or_else(|| parent.clone());
        if let Some(entry) = self.entries.get(&fork.child) {
            let started = entry.process.info.start_time;
            let known = fork.start_time != 0 && same_start(fork.start_time, &entry.process.info);
            if known {
                entry.process.inherit_session(caller.as_deref());
            }
            if known || fork.start_time != 0 && started > fork.start_time {
                return Rc::clone(&entry.process);
            }
        }
        let inherited = parent.as_ref().map(|parent| &parent.info);
        let info = ProcessInfo {
            pid: fork.child,
            ppid: header.tgid,
            start_time: fork.start_time,
            fork_time: clock.from_monotonic(header.timestamp),
            exec_time: 0,
            session: fork.session,
            mount_namespace: fork.mount_namespace,
            net_namespace: fork.net_namespace,
            is_exec: false,
            is_exec_child: false,
            snapshot: false,
            lineage_broken: parent.is_none(),
            ..inherited.cloned().unwrap_or_default()
        };
        let image = parent.as_ref().map(|parent| Rc::clone(&parent.image));
        self.note_lineage(&info);
        let process = Rc::new(Process::new(
            info,
            image.unwrap_or_default(),
            parent,
            header.identity,
            cgroup,
        ));
        process.inherit_session(caller.as_deref());
        self.insert(Rc::clone(&process), 0);
        process
    }

    /// Takes in an exec: a new entry replaces that of the process, below it if that had executed
    /// something itself. `parent` is the entry of the process that the record names as parent,
    /// for a process that is not known; whose session that one is in is left to the caller.
    pub fn exec(
        &mut self,
        header: &Header,
        exec: &Exec<'_>,
        image: Image,
        parent: Option<Rc<Process>>,
        cgroup: Rc<Cgroup>,
        clock: &Clock,
    ) -> Rc<Process> {
        let entry = self.entries.get(&header.tgid);
        let entry = entry.filter(|entry| same_start(exec.start_time, &entry.process.info));
        let seen = entry.is_some_and(|entry| saw_exec(entry, header, &image));
        let previous = entry.map(|entry| Rc::clone(&entry.process));
        let (parent, is_exec_child) = match &previous {
            None => (parent, false),
            Some(process) if seen => (process.parent.clone(), process.info.is_exec_child),
            Some(process) if !process.info.is_exec => (process.parent.clone(), false),
            Some(process) => (Some(Rc::clone(process)), true),
        };
        let before = previous.as_ref().map(|process| &process.info);
        let info = ProcessInfo {
            pid: header.tgid,
            ppid: exec.parent,
            start_time: match exec.start_time {
                0 => before.map_or(0, |info| info.start_time),
                time => time,
            },
            fork_time: before.map_or(clock.from_boot(exec.start_time), |info| info.fork_time),
            exec_time: clock.from_monotonic(header.timestamp),
            tty: String::from_utf8_lossy(exec.tty).into_owned(),
            login_uid: exec.login_uid,
            cap_effective: exec.cap_effective,
            cap_permitted: exec.cap_permitted,
            session: exec.session,
            mount_namespace: exec.mount_namespace,
            net_namespace: exec.net_namespace,
            is_exec: true,
            is_exec_child,
            snapshot: false,
            lineage_broken: parent.is_none() && exec.parent != 0,
        };
        if previous.is_none() {
            self.note_lineage(&info);
        }
        let image = Rc::new(image);
        let process = Rc::new(Process::new(info, image, parent, header.identity, cgroup));
        process.inherit_session(previous.as_deref());
        self.insert(Rc::clone(&process), 0);
        process
    }

    /// Takes in an exit; the entry stays for a while.
    pub fn exit(&mut self, header: &Header, exit: &Exit, clock: &Clock) -> Ended {
        let entry = self.entries.get_mut(&header.tgid);
        let Some(entry) = entry.filter(|entry| same_start(exit.start_time, &entry.process.info))
        else {
            return Ended::Unknown;
        };
        if std::mem::replace(&mut entry.exited, true) {
            self.counters.repeated_exits += 1;
            return Ended::Before;
        }
        let process = Rc::clone(&entry.process);
        process.set_exit_time(clock.from_monotonic(header.timestamp));
        let start = process.info.start_time;
        self.exited
            .push_back((header.tgid, start, header.timestamp));
        Ended::Now(process)
    }

    /// Forgets what exited long enough before `now`, in monotonic nanoseconds.
    pub fn expire(&mut self, now: u64) {
        while let Some((_, _, exited)) = self.exited.front() {
            if exited.saturating_add(GRACE) > now {
                break;
            }
            self.forget_exited();
        }
    }

    /// Removes the entry that exited first; whether there was one.
    fn forget_exited(&mut self) -> bool {
        let Some((pid, start, _)) = self.exited.pop_front() else {
            return false;
        };
        let same = |entry: &Entry| entry.exited && entry.process.info.start_time == start;
        if self.entries.get(&pid).is_some_and(same) {
            self.entries.remove(&pid);
        }
        true
    }

    fn note_lineage(&mut self, info: &ProcessInfo) {
        if info.lineage_broken {
            self.counters.broken_lineage += 1;
        }
    }

    fn insert(&mut self, process: Rc<Process>, looked: u64) {
        self.next_order += 1;
        let entry = Entry {
            looked,
            exited: false,
            order: self.next_order,
            process,
        };
        self.entries.insert(entry.process.info.pid, entry);
        while self.entries.len() > self.limit {
            let before = self.entries.len();
            if !self.forget_exited() {
                self.evict_oldest();
            }
            self.counters.evicted += (before - self.entries.len()) as u64;
        }
    }

    /// Removes the oldest part of the entries, so that a full cache is not searched each time.
    fn evict_oldest(&mut self) {
        let mut orders: Vec<u64> = self.entries.values().map(|entry| entry.order).collect();
        let count = (orders.len() / EVICTED_PART).max(1);
        let (_, newest_evicted, _) = orders.select_nth_unstable(count - 1);
        let newest_evicted = *newest_evicted;
        self.entries.retain(|_, entry| entry.order > newest_evicted);
    }
}

/// Whether two images are one program with the same arguments.
fn same_image(one: &Image, other: &Image) -> bool {
    one.file.inode == other.file.inode && one.file.path == other.file.path && one.args == other.args
}

/// Whether the look at /proc that made an entry has seen this exec already, so that the entry
/// is not what ran before it.
fn saw_exec(entry: &Entry, header: &Header, image: &Image) -> bool {
    let same_file = entry.process.image.file.inode == image.file.inode;
    entry.looked != 0
        && (header.timestamp <= entry.looked
            || same_file && header.timestamp <= entry.looked.saturating_add(STAMP_DELAY))
}

#[cfg(test)]
mod tests;
