//! What variables hold, by scope, bounded in number and in bytes.
//!
//! Scopes end with their process, container or cgroup, values with their time to live. What is
//! beyond the bounds is dropped, the scope that was set longest ago first, and counted.

use super::declare::{Declaration, Declarations};
use super::scoped::Scoped;
use super::{ProcessKey, Subject};
use crate::policy::action::{Scope, Set};
use crate::secl::{Record, Value};
use std::cell::OnceCell;
use std::collections::{HashMap, VecDeque};
use std::hash::Hash;
use std::rc::Rc;

/// Processes, containers and cgroups, each, whose variables are kept.
const MAX_SCOPES: usize = 4_096;
/// Bytes of one string; longer ones are cut.
const MAX_TEXT: usize = 4_096;
/// Bytes of all values together.
const MAX_BYTES: usize = 4 << 20;
/// What a value takes beside its text.
const OVERHEAD: usize = 64;

/// What one variable holds in one scope.
#[derive(Debug, Default, Clone)]
pub(super) struct Held {
    values: VecDeque<(Value, u64)>,
}

impl Held {
    pub(super) fn get(&self, index: usize) -> Option<&Value> {
        self.values.get(index).map(|(value, _)| value)
    }

    pub(super) fn len(&self) -> usize {
        self.values.len()
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &Value> {
        self.values.iter().map(|(value, _)| value)
    }

    fn bytes(&self) -> usize {
        self.iter().map(size).sum()
    }
}

fn size(value: &Value) -> usize {
    match value {
        Value::Text(text) => OVERHEAD + text.len(),
        Value::List(values) => values.iter().map(size).sum(),
        Value::Bool(_) | Value::Int(_) | Value::Ip(_) => OVERHEAD,
    }
}

/// The variables of one scope.
#[derive(Debug, Default)]
pub(super) struct Holder {
    /// By the variable's place among the declarations.
    held: Vec<(usize, Held)>,
    /// When the first value ends; `u64::MAX` when none does.
    next_end: u64,
    touched: u64,
}

impl Holder {
    pub(super) fn get(&self, place: usize) -> Option<&Held> {
        let mut held = self.held.iter();
        held.find(|(own, _)| *own == place).map(|(_, held)| held)
    }

    fn bytes(&self) -> usize {
        self.held.iter().map(|(_, held)| held.bytes()).sum()
    }

    /// Drops what has ended; returns the bytes that were freed.
    fn expire(&mut self, now: u64) -> usize {
        if now < self.next_end {
            return 0;
        }
        let before = self.bytes();
        for (_, held) in &mut self.held {
            held.values.retain(|(_, end)| *end > now);
        }
        self.held.retain(|(_, held)| !held.values.is_empty());
        self.settle();
        before - self.bytes()
    }

    fn settle(&mut self) {
        let ends = self.held.iter().flat_map(|(_, held)| &held.values);
        self.next_end = ends.map(|(_, end)| *end).min().unwrap_or(u64::MAX);
    }

    /// Gives values to a variable: in place of what it holds, or behind it.
    fn put(&mut self, place: usize, values: Vec<Value>, end: u64, set: &Set) {
        let known = self.held.iter().position(|(own, _)| *own == place);
        let at = known.unwrap_or_else(|| {
            self.held.push((place, Held::default()));
            self.held.len() - 1
        });
        let Some((_, held)) = self.held.get_mut(at) else {
            return;
        };
        if !set.append {
            held.values.clear();
        }
        for value in values {
            // A value that is there already begins its time anew.
            held.values.retain(|(known, _)| *known != value);
            held.values.push_back((value, end));
        }
        while held.values.len() > set.size.max(1) {
            held.values.pop_front();
        }
        self.settle();
    }
}

/// Scopes of one kind.
#[derive(Debug)]
struct Scopes<Key> {
    holders: HashMap<Key, Holder>,
}

impl<Key> Default for Scopes<Key> {
    fn default() -> Self {
        Scopes {
            holders: HashMap::new(),
        }
    }
}

impl<Key: Eq + Hash + Clone> Scopes<Key> {
    /// Removes the scope that was set longest ago.
    fn evict(&mut self) -> Option<Holder> {
        let oldest = self.holders.iter().min_by_key(|(_, holder)| holder.touched);
        let key = oldest.map(|(key, _)| key.clone())?;
        self.holders.remove(&key)
    }

    fn oldest(&self) -> u64 {
        let touched = self.holders.values().map(|holder| holder.touched);
        touched.min().unwrap_or(u64::MAX)
    }
}

/// What was dropped.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counters {
    /// Scopes that were dropped before they ended, for want of room.
    pub evicted: u64,
    /// Strings that were cut.
    pub cut: u64,
}

/// What the variables of a rule set hold.
#[derive(Debug, Default)]
pub struct Store {
    declarations: Rc<Declarations>,
    global: Holder,
    processes: Scopes<ProcessKey>,
    containers: Scopes<String>,
    cgroups: Scopes<String>,
    bytes: usize,
    clock: u64,
    counters: Counters,
}

impl Store {
    /// No variable holds anything.
    pub fn new(declarations: Rc<Declarations>) -> Store {
        Store {
            declarations,
            ..Store::default()
        }
    }

    /// The variables.
    pub fn declarations(&self) -> &Declarations {
        &self.declarations
    }

    /// Whether there are variables at all.
    pub fn is_used(&self) -> bool {
        !self.declarations.all().is_empty()
    }

    /// Scopes that hold something, and bytes of values.
    pub fn size(&self) -> (usize, usize) {
        let scopes = self.processes.holders.len()
            + self.containers.holders.len()
            + self.cgroups.holders.len();
        (scopes, self.bytes)
    }

    /// What was dropped so far.
    pub fn counters(&self) -> Counters {
        self.counters
    }

    /// Drops the values that have ended in the scopes of this subject; to be called before rules
    /// are evaluated on an event of it.
    pub fn advance(&mut self, subject: &dyn Subject, now: u64) {
        if self.bytes == 0 {
            return;
        }
        let process = subject.process();
        let mut freed = self.global.expire(now);
        let holder = process.and_then(|key| self.processes.holders.get_mut(&key));
        freed += holder.map_or(0, |holder| holder.expire(now));
        let holder = self.containers.holders.get_mut(subject.container());
        freed += holder.map_or(0, |holder| holder.expire(now));
        let holder = self.cgroups.holders.get_mut(subject.cgroup());
        freed += holder.map_or(0, |holder| holder.expire(now));
        self.bytes = self.bytes.saturating_sub(freed);
    }

    /// The record together with the variables that its subject sees.
    pub fn scoped<'a>(&'a self, record: &'a dyn Record, subject: &dyn Subject) -> Scoped<'a> {
        let mut holders = [None; 4];
        if self.bytes > 0 {
            let process = subject.process();
            holders = [
                Some(&self.global),
                process.and_then(|key| self.processes.holders.get(&key)),
                self.containers.holders.get(subject.container()),
                self.cgroups.holders.get(subject.cgroup()),
            ];
        }
        Scoped {
            record,
            declarations: &self.declarations,
            holders,
            uuid: OnceCell::new(),
        }
    }

    /// Carries a `set` action out.
    pub fn set(&mut self, set: &Set, record: &dyn Record, subject: &dyn Subject, now: u64) {
        let Some(place) = self.declarations.find(&set.variable) else {
            return;
        };
        let scoped = self.scoped(record, subject);
        let Some(value) = set.formula.evaluate(&scoped) else {
            return;
        };
        let process = match set.scope_field {
            None => subject.process(),
            Some(field) => {
                let pid = (scoped.count(field) > 0).then(|| scoped.int(field, 0));
                pid.and_then(|pid| subject.find(u32::try_from(pid).ok()?))
            }
        };
        let values = self.bounded(value);
        let end = set.ttl.map_or(u64::MAX, |ttl| {
            now.saturating_add(u64::try_from(ttl.as_nanos()).unwrap_or(u64::MAX))
        });
        let scope = self.declarations.all().get(place).map(|one| one.scope);
        let Some(holder) = scope.and_then(|scope| self.holder(scope, process, subject)) else {
            return;
        };
        let before = holder.bytes();
        holder.put(place, values, end, set);
        let after = holder.bytes();
        self.bytes = self.bytes.saturating_sub(before).saturating_add(after);
        self.make_room();
    }

    /// The holder of a scope, made if need be; `None` when the event has no such scope.
    fn holder(
        &mut self,
        scope: Scope,
        process: Option<ProcessKey>,
        subject: &dyn Subject,
    ) -> Option<&mut Holder> {
        self.clock += 1;
        let named = |name: &str| (!name.is_empty()).then(|| name.to_owned());
        let holder = match scope {
            Scope::Global => &mut self.global,
            Scope::Process => self.processes.holders.entry(process?).or_default(),
            Scope::Container => {
                let name = named(subject.container())?;
                self.containers.holders.entry(name).or_default()
            }
            Scope::Cgroup => {
                let name = named(subject.cgroup())?;
                self.cgroups.holders.entry(name).or_default()
            }
        };
        holder.touched = self.clock;
        Some(holder)
    }

    /// The elements of a value, long texts cut.
    fn bounded(&mut self, value: Value) -> Vec<Value> {
        let mut values = match value {
            Value::List(values) => values,
            single => vec![single],
        };
        for value in &mut values {
            if let Value::Text(text) = value {
                if text.len() > MAX_TEXT {
                    let end = text.floor_char_boundary(MAX_TEXT);
                    text.truncate(end);
                    self.counters.cut += 1;
                }
            }
        }
        values
    }

    /// Drops scopes until the bounds hold.
    fn make_room(&mut self) {
        while self.processes.holders.len() > MAX_SCOPES {
            let evicted = self.processes.evict();
            self.drop_holder(evicted);
        }
        while self.containers.holders.len() > MAX_SCOPES {
            let evicted = self.containers.evict();
            self.drop_holder(evicted);
        }
        while self.cgroups.holders.len() > MAX_SCOPES {
            let evicted = self.cgroups.evict();
            self.drop_holder(evicted);
        }
        while self.bytes > MAX_BYTES {
            let (processes, containers) = (self.processes.oldest(), self.containers.oldest());
            let oldest = processes.min(containers).min(self.cgroups.oldest());
            if oldest == u64::MAX {
                // Only the host's own variables are left.
                self.global = Holder::default();
                self.counters.evicted += 1;
                self.bytes = 0;
                return;
            }
            let evicted = if oldest == processes {
                self.processes.evict()
            } else if oldest == containers {
                self.containers.evict()
            } else {
                self.cgroups.evict()
            };
            self.drop_holder(evicted);
        }
    }

    fn drop_holder(&mut self, holder: Option<Holder>) {
        if let Some(holder) = holder {
            self.bytes = self.bytes.saturating_sub(holder.bytes());
            self.counters.evicted += 1;
        }
    }

    /// A process was forked: the child gets a copy of what is inherited.
    pub fn fork(&mut self, parent: ProcessKey, child: ProcessKey) {
        let all = self.declarations.all();
        let is_inherited = |place: usize| {
            all.get(place)
                .is_some_and(|one: &Declaration| one.inherited)
        };
        let Some(from) = self.processes.holders.get(&parent) else {
            return;
        };
        let held = from.held.iter().filter(|(place, _)| is_inherited(*place));
        let mut copy = Holder {
            held: held.cloned().collect(),
            next_end: u64::MAX,
            touched: from.touched,
        };
        if copy.held.is_empty() {
            return;
        }
        copy.settle();
        self.bytes = self.bytes.saturating_add(copy.bytes());
        let replaced = self.processes.holders.insert(child, copy);
        let freed = replaced.map_or(0, |holder| holder.bytes());
        self.bytes = self.bytes.saturating_sub(freed);
        self.make_room();
    }

    /// A process has ended, and its variables with it.
    pub fn release_process(&mut self, key: ProcessKey) {
        if let Some(holder) = self.processes.holders.remove(&key) {
            self.bytes = self.bytes.saturating_sub(holder.bytes());
        }
    }

    /// Drops the variables of processes, containers and cgroups that are gone, and all values that
    /// have ended.
    pub fn sweep(
        &mut self,
        now: u64,
        process_lives: impl Fn(ProcessKey) -> bool,
        container_lives: impl Fn(&str) -> bool,
        cgroup_lives: impl Fn(&str) -> bool,
    ) {
        self.global.expire(now);
        self.processes.holders.retain(|key, holder| {
            holder.expire(now);
            !holder.held.is_empty() && process_lives(*key)
        });
        self.containers.holders.retain(|name, holder| {
            holder.expire(now);
            !holder.held.is_empty() && container_lives(name)
        });
        self.cgroups.holders.retain(|name, holder| {
            holder.expire(now);
            !holder.held.is_empty() && cgroup_lives(name)
        });
        let named = self.containers.holders.values();
        let named = named.chain(self.cgroups.holders.values());
        let holders = self.processes.holders.values().chain(named);
        self.bytes = self.global.bytes() + holders.map(Holder::bytes).sum::<usize>();
    }

    /// Takes over what variables of the same name and type held in another store.
    pub fn take_over(&mut self, old: Store) {
        let places: HashMap<usize, usize> = old
            .declarations
            .all()
            .iter()
            .enumerate()
            .filter_map(|(place, was)| {
                let now = self.declarations.find(&was.name)?;
                let same = self.declarations.all().get(now)?;
                (same.kind == was.kind && same.many == was.many).then_some((place, now))
            })
            .collect();
        let moved = |holder: Holder| {
            let held = holder.held.into_iter();
            let mut holder = Holder {
                held: held
                    .filter_map(|(place, held)| Some((*places.get(&place)?, held)))
                    .collect(),
                ..Holder::default()
            };
            holder.settle();
            holder
        };
        self.global = moved(old.global);
        let processes = old.processes.holders.into_iter();
        self.processes.holders = processes.map(|(key, one)| (key, moved(one))).collect();
        let containers = old.containers.holders.into_iter();
        self.containers.holders = containers.map(|(key, one)| (key, moved(one))).collect();
        let cgroups = old.cgroups.holders.into_iter();
        self.cgroups.holders = cgroups.map(|(key, one)| (key, moved(one))).collect();
        self.counters = old.counters;
        self.sweep(0, |_| true, |_| true, |_| true);
    }
}
