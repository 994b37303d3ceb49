//! The `network_filter` action: packets of a process or a cgroup that a pcap filter names are
//! dropped, or kept from being dropped, in the kernel.
//!
//! A rule's filter becomes a program of the kernel when it first matches; whose packets it is about
//! is a table there, so that what matches later only adds an entry. All of it goes with the rule,
//! a process's part with the process. The agent itself, loopback (probes/network.c) and what
//! enforcement excludes are left alone.

use std::collections::BTreeMap;

use super::target::lies_in;
use crate::config::{keys, Settings};
use crate::event::Event;
use crate::kernel::{PacketPrograms, Scope, DROP, DROPS, NEXT_DROP};
use crate::packet::filter::{self, Filter};
use crate::policy::action::{self, NetworkFilter};

/// A place without a program: a tail call to it fails, and the packet passes.
const PASS: u32 = 4;
/// Processes and cgroups whose packets are looked at; the kernel's table has as many entries.
const MOST_SCOPES: usize = 1_024;

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

/// One filter in force, in its place.
struct InForce {
    rule: String,
    action: NetworkFilter,
}

/// Carries `network_filter` actions out.
pub(in crate::probe) struct Dropper {
    /// Absent where packets are not watched.
    programs: Option<PacketPrograms>,
    only_cgroup: String,
    excluded: Vec<String>,
    places: [Option<InForce>; DROPS],
    scopes: BTreeMap<Scope, u64>,
}

impl Dropper {
    pub(super) fn new(settings: &Settings) -> Dropper {
        Dropper {
            programs: None,
            only_cgroup: settings.text(&keys::ENFORCEMENT_ONLY_CGROUP).to_owned(),
            excluded: settings.list(&keys::ENFORCEMENT_EXCLUDE_BINARIES).to_vec(),
            places: [const { None }; DROPS],
            scopes: BTreeMap::new(),
        }
    }

    /// Gives it the kernel's programs.
    pub(super) fn use_programs(&mut self, programs: PacketPrograms) {
        self.programs = Some(programs);
    }

    /// Carries the action of a rule out.
    pub(super) fn carry_out(
        &mut self,
        action: &NetworkFilter,
        rule: &str,
        event: &Event,
        protected: &[u32],
    ) -> DropReport {
        let done = self
            .refusal(event, protected)
            .map_or_else(|| self.put_in_force(action, rule, event, protected), Err);
        DropReport {
            filter: action.filter.clone(),
            drops: action.drops,
            scope: action.scope.name(),
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
            () if protected.contains(&pid) => "it would cut off the agent itself",
            () if excluded => "its program is excluded by enforcement.exclude_binaries",
            () if outside => "it is outside of enforcement.only_cgroup",
            () => return None,
        };
        Some(reason.to_owned())
    }

    fn put_in_force(
        &mut self,
        action: &NetworkFilter,
        rule: &str,
        event: &Event,
        protected: &[u32],
    ) -> Result<(), String> {
        let scope = scope_of(action, event, protected)?;
        let place = self.place_of(action, rule)?;
        let programs = self.programs.as_ref().ok_or(NOT_WATCHED)?;
        if self.scopes.len() == MOST_SCOPES && !self.scopes.contains_key(&scope) {
            return Err("too many processes and cgroups have a filter".to_owned());
        }
        let drops = self.scopes.entry(scope).or_default();
        *drops |= 1 << place;
        programs
            .set_scope(scope, *drops)
            .map_err(|error| error.to_string())
    }

    /// The place of a rule's filter, which is put into force when it is not yet.
    fn place_of(&mut self, action: &NetworkFilter, rule: &str) -> Result<usize, String> {
        let is_same = |held: &InForce| held.rule == rule && held.action == *action;
        let known = |held: &Option<InForce>| held.as_ref().is_some_and(is_same);
        if let Some(place) = self.places.iter().position(known) {
            return Ok(place);
        }
        let free = self.places.iter().position(Option::is_none);
        let place = free.ok_or_else(|| format!("{DROPS} network filters are in force already"))?;
        let programs = self.programs.as_mut().ok_or(NOT_WATCHED)?;
        let code = code(action, programs)?;
        let number = u32::try_from(place).unwrap_or(u32::MAX);
        programs
            .set_drop(number, Some(&code))
            .map_err(|error| error.to_string())?;
        if let Some(slot) = self.places.get_mut(place) {
            *slot = Some(InForce {
                rule: rule.to_owned(),
                action: action.clone(),
            });
        }
        Ok(place)
    }

    /// Forgets a process that has ended.
    pub(super) fn note_exit(&mut self, pid: u32) {
        let scope = Scope::Process(pid);
        if self.scopes.remove(&scope).is_some() {
            self.write_scope(scope, 0);
        }
    }

    /// Takes back the filters of rules that are no more; `is_wanted` says so of a rule and its
    /// action.
    pub(super) fn keep(&mut self, is_wanted: &dyn Fn(&str, &NetworkFilter) -> bool) {
        for place in 0..DROPS {
            let Some(slot) = self.places.get_mut(place) else {
                continue;
            };
            let gone = slot.take_if(|held| !is_wanted(&held.rule, &held.action));
            if gone.is_some() {
                self.take_back(place);
            }
        }
    }

    fn take_back(&mut self, place: usize) {
        let changed: Vec<(Scope, u64)> = self
            .scopes
            .iter()
            .filter(|(_, drops)| **drops & 1 << place != 0)
            .map(|(scope, drops)| (*scope, drops & !(1 << place)))
            .collect();
        for (scope, drops) in changed {
            match drops {
                0 => self.scopes.remove(&scope),
                _ => self.scopes.insert(scope, drops),
            };
            self.write_scope(scope, drops);
        }
        let number = u32::try_from(place).unwrap_or(u32::MAX);
        if let Some(programs) = &mut self.programs {
            if let Err(error) = programs.set_drop(number, None) {
                log::warn!("{error}");
            }
        }
    }

    fn write_scope(&self, scope: Scope, drops: u64) {
        if let Some(Err(error)) = self
            .programs
            .as_ref()
            .map(|programs| programs.set_scope(scope, drops))
        {
            log::warn!("{error}");
        }
    }

    /// Filters in force, and processes and cgroups that they are about.
    pub(in crate::probe) fn size(&self) -> (usize, usize) {
        (self.places.iter().flatten().count(), self.scopes.len())
    }
}

const NOT_WATCHED: &str =
    "packets are not watched; set event_monitoring_config.network.enabled to true";

fn scope_of(action: &NetworkFilter, event: &Event, protected: &[u32]) -> Result<Scope, String> {
    if action.scope == action::Scope::Process {
        return Ok(Scope::Process(event.process.info.pid));
    }
    let cgroup = &event.cgroup;
    let has_agent = protected
        .iter()
        .any(|pid| crate::resolve::cgroup::read(*pid).is_some_and(|own| own.path == cgroup.path));
    match () {
        () if cgroup.version != 2 || cgroup.inode == 0 => {
            Err("the process is in no cgroup of the unified hierarchy".to_owned())
        }
        () if has_agent => Err("it would cut off the agent itself".to_owned()),
        () => Ok(Scope::Cgroup(cgroup.inode)),
    }
}

fn code(action: &NetworkFilter, programs: &PacketPrograms) -> Result<Vec<u8>, String> {
    let filter = Filter::parse(&action.filter).map_err(|error| error.to_string())?;
    let map = programs.descriptor().ok_or(NOT_WATCHED)?;
    let matched = if action.drops { DROP } else { PASS };
    filter::program(&[&filter], map, matched, NEXT_DROP).map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::testing::file_event;
    use crate::event::EventType;

    fn dropper() -> Dropper {
        Dropper::new(&Settings::empty(true))
    }

    fn refusal(dropper: &Dropper, pid: u32, protected: &[u32]) -> String {
        let mut event = file_event(EventType::Open, "/x", [0; 4]);
        let process = std::rc::Rc::get_mut(&mut event.process).unwrap();
        process.info.pid = pid;
        dropper.refusal(&event, protected).unwrap_or_default()
    }

    #[test]
    fn the_agent_and_what_enforcement_excludes_are_left_alone() {
        let mut dropper = dropper();
        assert_eq!(refusal(&dropper, 7, &[8]), "");
        assert!(refusal(&dropper, 7, &[8, 7]).contains("the agent itself"));
        assert!(refusal(&dropper, 0, &[]).contains("not known"));
        assert!(refusal(&dropper, 1, &[]).contains("first process"));
        dropper.only_cgroup = "/elsewhere".to_owned();
        assert!(refusal(&dropper, 7, &[]).contains("only_cgroup"));
    }

    #[test]
    fn without_classifiers_the_report_says_why_nothing_is_dropped() {
        let action = NetworkFilter {
            filter: "tcp".to_owned(),
            drops: true,
            scope: action::Scope::Process,
        };
        let event = file_event(EventType::Open, "/x", [0; 4]);
        let report = dropper().carry_out(&action, "rule", &event, &[]).json();
        assert_eq!(report["status"], "error");
        assert!(report["message"]
            .as_str()
            .unwrap()
            .contains("network.enabled"));
    }
}
