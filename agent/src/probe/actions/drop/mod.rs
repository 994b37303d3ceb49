//! The `network_filter` action: packets of a process or a cgroup that a pcap filter names are
//! dropped, or kept from being dropped, in the kernel.
//!
//! A rule's filter becomes a program of the kernel when it first matches; whose packets it is about
//! is a table there, so that what matches later only adds an entry. All of it goes with the rule
//! and with enforcement, a process's part with the process, a cgroup's with its last process. The
//! agent itself, loopback (probes/network.c) and what enforcement excludes are left alone.
//!
//! The kernel asks the filters in the order of their [`places`] and stops at the first that
//! matches. Loading a program keeps the loop waiting for as long as the kernel checks it: once for
//! each rule, unless places are scarce.

mod places;

use std::collections::BTreeMap;
use std::rc::Rc;

use super::target::{lies_in, Refusal};
use crate::config::{keys, Settings};
use crate::event::{Cgroup, Event, Process};
use crate::kernel::{PacketPrograms, Scope, DROP, NEXT_DROP};
use crate::packet::filter::{self, Filter};
use crate::policy::action::{self, NetworkFilter};
use crate::resolve::cgroup;
use crate::resolve::process::ProcessCache;
use crate::resolve::snapshot::{Stat, TICK};
pub(super) use places::Demand;
use places::{bit, Places};

/// A place without a program: a tail call to it fails, and the packet passes.
const PASS: u32 = 4;
/// Processes and cgroups whose packets are looked at; the kernel's table has as many entries.
const MOST_SCOPES: usize = 1_024;
/// Processes that one sweep looks for in /proc.
const LOOKS: usize = 128;
/// The id of the root of the unified hierarchy.
const ROOT: u64 = 1;

/// What a `network_filter` action did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::probe) struct DropReport {
    filter: String,
    drops: bool,
    scope: &'static str,
    /// Why it was not done; empty when it was.
    problem: String,
}

impl DropReport {
    pub(super) fn json(&self) -> serde_json::Value {
        let status = match self.problem.is_empty() {
            true => "performed",
            false => "error",
        };
        serde_json::json!({
            "type": "network_filter",
            "filter": self.filter,
            "policy": if self.drops { "drop" } else { "allow" },
            "scope": self.scope,
            "status": status,
            "message": self.problem,
        })
    }
}

/// What is in force for a process or cgroup.
#[derive(Clone, Copy, Default)]
struct Target {
    /// One bit for each place; never 0 in the table.
    drops: u64,
    /// Start of the process in ticks since boot: its id may be another's one day. 0 for a cgroup,
    /// whose id is never given again.
    start: u64,
}

/// Carries `network_filter` actions out.
pub(in crate::probe) struct Dropper {
    /// Or the sentence why nothing can be dropped.
    programs: Result<Rc<PacketPrograms>, String>,
    only_cgroup: String,
    excluded: Vec<String>,
    places: Places,
    /// What the kernel's table holds.
    scopes: BTreeMap<Scope, Target>,
    /// The last process that a sweep looked for; 0 when the next begins anew.
    swept: u32,
}

impl Dropper {
    pub(super) fn new(settings: &Settings) -> Dropper {
        Dropper {
            programs: Err(NOT_WATCHED.to_owned()),
            only_cgroup: settings.text(&keys::ENFORCEMENT_ONLY_CGROUP).to_owned(),
            excluded: settings.list(&keys::ENFORCEMENT_EXCLUDE_BINARIES).to_vec(),
            places: Places::default(),
            scopes: BTreeMap::new(),
            swept: 0,
        }
    }

    /// Gives it the kernel's programs, or the sentence why there are none.
    pub(super) fn use_programs(&mut self, programs: Result<Rc<PacketPrograms>, String>) {
        self.programs = programs;
    }

    /// Carries the action of a rule out.
    pub(super) fn carry_out(
        &mut self,
        demand: Demand<'_>,
        event: &Event,
        protected: &[u32],
    ) -> DropReport {
        let done = self
            .refusal(event, protected)
            .map_or_else(|| self.put_in_force(demand, event, protected), Err);
        DropReport {
            filter: demand.action.filter.clone(),
            drops: demand.action.drops,
            scope: demand.action.scope.name(),
            problem: done.err().unwrap_or_default(),
        }
    }

    /// Why this process must be left alone.
    fn refusal(&self, event: &Event, protected: &[u32]) -> Option<String> {
        let process = &event.process;
        let pid = process.info.pid;
        let excluded = self.excluded.contains(&process.image.file.path);
        let outside =
            !self.only_cgroup.is_empty() && !lies_in(&event.cgroup.path, &self.only_cgroup);
        let reason = match () {
            () if pid == 0 => "the process is not known",
            () if pid == 1 => "it is the first process",
            () if process.is_kernel_thread() => "it belongs to the kernel",
            () if protected.contains(&pid) => "it would cut off the agent itself",
            () if excluded => "its program is excluded by enforcement.exclude_binaries",
            () if outside => "it is outside of enforcement.only_cgroup",
            () => return None,
        };
        Some(reason.to_owned())
    }

    fn put_in_force(
        &mut self,
        demand: Demand<'_>,
        event: &Event,
        protected: &[u32],
    ) -> Result<(), String> {
        let (scope, start) = scope_of(demand.action, event)?;
        let known = self.scopes.get(&scope);
        let known = known.filter(|known| known.start == start);
        let drops = known.map_or(0, |known| known.drops);
        let place = self.places.of(demand);
        if place.is_some_and(|place| drops & bit(place) != 0) {
            return Ok(());
        }
        check(scope, event, protected)?;
        if self.scopes.len() >= MOST_SCOPES && !self.scopes.contains_key(&scope) {
            return Err("too many processes and cgroups have a filter".to_owned());
        }
        let place = place.map_or_else(|| self.load(demand), Ok)?;
        let drops = drops | bit(place);
        self.write(scope, Target { drops, start })
    }

    /// Loads a filter, and says into which place.
    fn load(&mut self, demand: Demand<'_>) -> Result<usize, String> {
        let programs = self.programs.as_ref().map_err(String::clone)?;
        let code = code(demand.action, programs)?;
        let place = self.places.free(demand.action.drops, self.used())?;
        let number = u32::try_from(place).map_err(|error| error.to_string())?;
        programs
            .set_drop(number, &code)
            .map_err(|error| error.to_string())?;
        self.places.put(place, demand);
        Ok(place)
    }

    /// Writes what is in force for a process or cgroup; without drops its entry goes. What the
    /// kernel refuses is not noted here either.
    fn write(&mut self, scope: Scope, target: Target) -> Result<(), String> {
        let programs = self.programs.as_ref().map_err(String::clone)?;
        let look = |wanted| programs.look_for_drops(wanted);
        if self.scopes.is_empty() {
            look(true).map_err(|error| error.to_string())?;
        }
        let written = programs.set_scope(scope, target.drops);
        if written.is_ok() {
            match target.drops {
                0 => self.scopes.remove(&scope),
                _ => self.scopes.insert(scope, target),
            };
        }
        let closed = match self.scopes.is_empty() {
            true => look(false),
            false => Ok(()),
        };
        written.and(closed).map_err(|error| error.to_string())
    }

    /// Takes back some of what is in force for a process or cgroup; what fails stays, and is tried
    /// again by a sweep.
    fn rewrite(&mut self, scope: Scope, target: Target) {
        if let Err(sentence) = self.write(scope, target) {
            log::warn!("a network filter cannot be taken back: {sentence}");
        }
    }

    /// Places whose filters are in force for someone, one bit for each.
    fn used(&self) -> u64 {
        let targets = self.scopes.values();
        targets.fold(0, |used, target| used | target.drops)
    }

    fn forget(&mut self, scope: Scope) {
        if self.scopes.contains_key(&scope) {
            self.rewrite(scope, Target::default());
        }
    }

    /// Forgets a process that has ended.
    pub(super) fn note_exit(&mut self, pid: u32) {
        self.forget(Scope::Process(pid));
    }

    /// Forgets processes and cgroups that are no more, and those of the agent, which may have come
    /// to be its own only after they got a filter.
    pub(super) fn sweep(&mut self, processes: &ProcessCache, protected: &[u32]) {
        if self.scopes.is_empty() {
            return;
        }
        for pid in self.gone_processes(protected) {
            self.forget(Scope::Process(pid));
        }
        for id in self.gone_cgroups(processes, protected) {
            self.forget(Scope::Cgroup(id));
        }
    }

    /// Of the next few processes those that /proc does not know, or knows as others: the record of
    /// an exit may be lost, or have come before the filter.
    fn gone_processes(&mut self, protected: &[u32]) -> Vec<u32> {
        let after = self.swept;
        let next = |(scope, target): (&Scope, &Target)| match scope {
            Scope::Process(pid) if *pid > after => Some((*pid, target.start)),
            Scope::Process(_) | Scope::Cgroup(_) => None,
        };
        let looked: Vec<(u32, u64)> = self.scopes.iter().filter_map(next).take(LOOKS).collect();
        let is_full = looked.len() == LOOKS;
        let last = looked.last().filter(|_| is_full);
        self.swept = last.map_or(0, |(pid, _)| *pid);
        let is_gone = |(pid, start): &(u32, u64)| {
            let stat = Stat::read(*pid);
            let lives = stat.is_some_and(|stat| stat.start_time / TICK == *start);
            !lives || protected.contains(pid)
        };
        let gone = looked.into_iter().filter(is_gone);
        gone.map(|(pid, _)| pid).collect()
    }

    /// The cgroups in which no process is known to live, or one of the agent does.
    fn gone_cgroups(&self, processes: &ProcessCache, protected: &[u32]) -> Vec<u64> {
        let of_cgroup = |scope: &Scope| match scope {
            Scope::Cgroup(id) => Some((*id, false)),
            Scope::Process(_) => None,
        };
        // The table is in the order of the ids.
        let mut ids: Vec<(u64, bool)> = self.scopes.keys().filter_map(of_cgroup).collect();
        if ids.is_empty() {
            return Vec::new();
        }
        let mut note = |process: &Process, lives: bool| {
            let id = process.cgroup().inode;
            let at = ids.binary_search_by_key(&id, |(id, _)| *id);
            if let Some(found) = at.ok().and_then(|at| ids.get_mut(at)) {
                found.1 = lives;
            }
        };
        processes.living().for_each(|process| note(process, true));
        for process in protected.iter().filter_map(|pid| processes.get(*pid)) {
            note(&process, false);
        }
        let gone = ids.iter().filter(|(_, lives)| !lives);
        gone.map(|(id, _)| *id).collect()
    }

    /// Takes back the filters that are not wanted any more; `is_wanted` says so.
    pub(super) fn keep(&mut self, is_wanted: &dyn Fn(Demand<'_>) -> bool) {
        let gone = self.places.keep(is_wanted);
        let scopes = self.scopes.iter();
        let changed: Vec<(Scope, Target)> = scopes
            .filter(|(_, target)| target.drops & gone != 0)
            .map(|(scope, target)| (*scope, *target))
            .collect();
        for (scope, target) in changed {
            let drops = target.drops & !gone;
            self.rewrite(scope, Target { drops, ..target });
        }
    }

    /// Filters in force, and processes and cgroups that they are about.
    pub(in crate::probe) fn size(&self) -> (usize, usize) {
        (self.used().count_ones() as usize, self.scopes.len())
    }
}

const NOT_WATCHED: &str =
    "packets are not watched; set event_monitoring_config.network.enabled to true";

/// Whose packets an action is about; of a process also its start, as in [`Target`].
fn scope_of(action: &NetworkFilter, event: &Event) -> Result<(Scope, u64), String> {
    let info = &event.process.info;
    if action.scope == action::Scope::Process {
        return Ok((Scope::Process(info.pid), info.start_time / TICK));
    }
    let cgroup = &event.cgroup;
    match () {
        () if cgroup.version != 2 || cgroup.inode == 0 => {
            Err("the process is in no cgroup of the unified hierarchy".to_owned())
        }
        () if cgroup.path == "/" || cgroup.inode == ROOT => {
            Err("its cgroup is that of the whole host".to_owned())
        }
        () => Ok((Scope::Cgroup(cgroup.inode), 0)),
    }
}

/// Whether a filter may still be put in force: the process lives, the cgroup is not the agent's.
fn check(scope: Scope, event: &Event, protected: &[u32]) -> Result<(), String> {
    match scope {
        Scope::Process(_) => check_life(&event.process).map_err(|refusal| refusal.to_string()),
        Scope::Cgroup(inode) => {
            let path = &event.cgroup.path;
            let is_same = |own: Cgroup| own.inode == inode || own.path == *path;
            let mut own = protected.iter().filter_map(|pid| cgroup::read(*pid));
            match own.any(is_same) {
                true => Err("it would cut off the agent itself".to_owned()),
                false => Ok(()),
            }
        }
    }
}

/// Its exit may have been told already: what is put in force now would stay for whoever gets its
/// id next.
fn check_life(process: &Process) -> Result<(), Refusal> {
    if process.exit_time() != 0 {
        return Err(Refusal::Gone);
    }
    let stat = Stat::read(process.info.pid).ok_or(Refusal::Gone)?;
    match stat.start_time / TICK == process.info.start_time / TICK {
        true => Ok(()),
        false => Err(Refusal::Replaced),
    }
}

fn code(action: &NetworkFilter, programs: &PacketPrograms) -> Result<Vec<u8>, String> {
    let filter = Filter::parse(&action.filter).map_err(|error| error.to_string())?;
    let matched = if action.drops { DROP } else { PASS };
    let code = filter::program(&[&filter], programs.descriptor(), matched, NEXT_DROP);
    code.map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests;
