//! The `kill` action: a signal to the process of an event, or to all of its container or cgroup.
//!
//! What may be signalled is checked on the living process, after it was pinned by a descriptor:
//! that it is the one of the event, that it is not protected, and that it lies in the cgroup that
//! enforcement is limited to. What is left undone is in the report, never in silence.

use std::collections::HashMap;
use std::rc::Rc;

use log::info;

use super::disarm::Disarmer;
use super::target::{self, Refusal};
use crate::config::{keys, Settings};
use crate::event::{Event, Process};
use crate::policy::action::{Kill, Scope};
use crate::resolve::process::ProcessCache;

/// The most processes that one action signals.
const MAX_TARGETS: usize = 4_096;

/// What a `kill` action did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::probe) struct KillReport {
    pub(super) signal: String,
    pub(super) scope: &'static str,
    pub(super) status: &'static str,
    /// Which disarmer held it back, or "".
    pub(super) disarmer: &'static str,
    /// Why something was not signalled, or "".
    pub(super) message: String,
    /// The process of the event.
    pub(super) pid: u32,
    pub(super) created_at: u64,
    pub(super) detected_at: u64,
    /// 0 when nothing was signalled.
    pub(super) killed_at: u64,
    /// 0 until the process of the event has ended.
    pub(super) exited_at: u64,
}

/// Carries `kill` actions out.
#[derive(Debug)]
pub(in crate::probe) struct Killer {
    only_cgroup: String,
    excluded: Vec<String>,
    containers: Disarming,
    executables: Disarming,
}

/// One kind of disarmer, for each rule its own.
#[derive(Debug)]
struct Disarming {
    enabled: bool,
    allowed: usize,
    period: u64,
    by_rule: HashMap<String, Disarmer>,
}

impl Disarming {
    fn new(enabled: bool, allowed: u64, period: std::time::Duration) -> Disarming {
        Disarming {
            enabled,
            allowed: usize::try_from(allowed).unwrap_or(usize::MAX),
            period: u64::try_from(period.as_nanos()).unwrap_or(u64::MAX),
            by_rule: HashMap::new(),
        }
    }

    /// Whether the rule may hit one more of what `name` names.
    fn allows(&mut self, rule: &str, name: &str, now: u64) -> bool {
        if !self.enabled || name.is_empty() {
            return true;
        }
        let (allowed, period) = (self.allowed, self.period);
        let disarmer = self.by_rule.entry(rule.to_owned()).or_default();
        disarmer.allows(name, now, allowed, period)
    }
}

/// The times and surroundings of an action.
pub(in crate::probe) struct Moment<'a> {
    /// Processes that are known.
    pub(in crate::probe) processes: &'a ProcessCache,
    /// Processes of the agent.
    pub(in crate::probe) protected: &'a [u32],
    /// Monotonic nanoseconds.
    pub(in crate::probe) now: u64,
    /// Nanoseconds since the epoch.
    pub(in crate::probe) unix_now: u64,
}

impl Killer {
    pub(super) fn new(settings: &Settings) -> Killer {
        Killer {
            only_cgroup: settings.text(&keys::ENFORCEMENT_ONLY_CGROUP).to_owned(),
            excluded: settings.list(&keys::ENFORCEMENT_EXCLUDE_BINARIES).to_vec(),
            containers: Disarming::new(
                settings.flag(&keys::DISARMER_CONTAINER_ENABLED),
                settings.count(&keys::DISARMER_CONTAINER_MAX),
                settings.duration(&keys::DISARMER_CONTAINER_PERIOD),
            ),
            executables: Disarming::new(
                settings.flag(&keys::DISARMER_EXECUTABLE_ENABLED),
                settings.count(&keys::DISARMER_EXECUTABLE_MAX),
                settings.duration(&keys::DISARMER_EXECUTABLE_PERIOD),
            ),
        }
    }

    /// Other rules run from now on: their disarmers begin anew.
    pub(super) fn reset(&mut self) {
        self.containers.by_rule.clear();
        self.executables.by_rule.clear();
    }

    /// Carries the action of a rule out.
    pub(super) fn kill(
        &mut self,
        kill: &Kill,
        rule: &str,
        event: &Event,
        moment: &Moment<'_>,
    ) -> KillReport {
        let process = &event.process;
        let mut report = KillReport {
            signal: kill.signal_name.clone(),
            scope: kill.scope.name(),
            status: "error",
            disarmer: "",
            message: String::new(),
            pid: process.info.pid,
            created_at: process.created(),
            detected_at: event.unix_time(),
            killed_at: 0,
            exited_at: 0,
        };
        report.disarmer = self.disarmed(kill, rule, event, moment.now);
        if !report.disarmer.is_empty() {
            report.status = "rule_disarmed";
            return report;
        }
        let targets = targets(kill.scope, event, moment.processes);
        let mut done = 0;
        for process in &targets {
            match self.signal(kill.signal, process, moment.protected) {
                Ok(()) => done += 1,
                Err(refusal) => report.message = format!("process {}: {refusal}", process.info.pid),
            }
        }
        if targets.is_empty() {
            report.message = format!("the event has no {}", kill.scope.name());
        }
        report.status = match done {
            0 => "error",
            all if all == targets.len() => "performed",
            _ => "partially_performed",
        };
        if done > 0 {
            report.killed_at = moment.unix_now;
        }
        info!(
            "rule {rule}: {} to {done} of {} processes {}",
            kill.signal_name,
            targets.len(),
            report.message
        );
        report
    }

    /// The disarmer that holds the rule back, or "".
    fn disarmed(&mut self, kill: &Kill, rule: &str, event: &Event, now: u64) -> &'static str {
        let container = &event.cgroup.container_id;
        let executable = &event.process.image.file.path;
        if !kill.ignores_container_disarmer && !self.containers.allows(rule, container, now) {
            return "container";
        }
        if !kill.ignores_executable_disarmer && !self.executables.allows(rule, executable, now) {
            return "executable";
        }
        ""
    }

    fn signal(&self, signal: i32, process: &Process, protected: &[u32]) -> Result<(), Refusal> {
        if protected.contains(&process.info.pid) {
            return Err(Refusal::Agent);
        }
        if self.excluded.contains(&process.image.file.path) {
            return Err(Refusal::Excluded);
        }
        target::signal(process, signal, &self.only_cgroup)
    }
}

/// The processes that an action is about.
fn targets(scope: Scope, event: &Event, processes: &ProcessCache) -> Vec<Rc<Process>> {
    let cgroup = &event.cgroup;
    let belongs = |process: &Process| {
        let own = process.cgroup();
        match scope {
            Scope::Container => own.container_id == cgroup.container_id,
            _ => own.path == cgroup.path,
        }
    };
    let is_there = match scope {
        Scope::Global | Scope::Process => return vec![Rc::clone(&event.process)],
        Scope::Container => !cgroup.container_id.is_empty(),
        Scope::Cgroup => !cgroup.path.is_empty(),
    };
    let living = processes
        .living()
        .filter(|process| is_there && belongs(process));
    living.take(MAX_TARGETS).cloned().collect()
}

impl KillReport {
    /// Whether the end of the process is still to come.
    pub(super) fn is_open(&self) -> bool {
        self.killed_at > 0 && self.exited_at == 0
    }

    /// The report as JSON.
    pub(super) fn json(&self) -> serde_json::Value {
        let time = |nanoseconds: u64| {
            let mut text = String::new();
            crate::event::json::write_time(&mut text, nanoseconds);
            text
        };
        let mut json = serde_json::json!({
            "type": "kill",
            "signal": self.signal,
            "scope": self.scope,
            "status": self.status,
        });
        let mut put = |key: &str, value: String| {
            if let Some(object) = json.as_object_mut().filter(|_| !value.is_empty()) {
                object.insert(key.to_owned(), value.into());
            }
        };
        put("disarmer_type", self.disarmer.to_owned());
        put("message", self.message.clone());
        for (key, nanoseconds) in [
            ("created_at", self.created_at),
            ("detected_at", self.detected_at),
            ("killed_at", self.killed_at),
            ("exited_at", self.exited_at),
        ] {
            if nanoseconds > 0 {
                put(key, time(nanoseconds));
            }
        }
        if self.exited_at > 0 {
            let taken = self.exited_at.saturating_sub(self.detected_at);
            put(
                "ttr",
                format!("{:?}", std::time::Duration::from_nanos(taken)),
            );
        }
        json
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::testing::{cat, event};
    use crate::event::EventType;

    fn killer(change: impl FnOnce(&mut Killer)) -> Killer {
        let mut killer = Killer::new(&Settings::empty(true));
        change(&mut killer);
        killer
    }

    fn kill() -> Kill {
        Kill {
            signal: libc::SIGKILL,
            signal_name: "SIGKILL".to_owned(),
            scope: Scope::Process,
            ignores_container_disarmer: false,
            ignores_executable_disarmer: false,
        }
    }

    #[test]
    fn the_agent_and_excluded_programs_are_left_alone_and_rules_disarmed() {
        let event = event(EventType::Exec, cat());
        let processes = ProcessCache::new(10);
        let own = [event.process.info.pid];
        let moment = |protected| Moment {
            processes: &processes,
            protected,
            now: 1,
            unix_now: 1,
        };
        let report = killer(|_| {}).kill(&kill(), "r", &event, &moment(&own));
        assert_eq!(report.status, "error");
        assert!(
            report.message.ends_with("it belongs to the agent"),
            "{}",
            report.message
        );
        let excluding = |killer: &mut Killer| killer.excluded = vec!["/usr/bin/cat".to_owned()];
        let report = killer(excluding).kill(&kill(), "r", &event, &moment(&[]));
        assert!(
            report.message.contains("exclude_binaries"),
            "{}",
            report.message
        );
        let disarmed = |killer: &mut Killer| killer.containers.allowed = 0;
        let report = killer(disarmed).kill(&kill(), "r", &event, &moment(&own));
        assert_eq!(
            (report.status, report.disarmer),
            ("rule_disarmed", "container")
        );
        let insisting = Kill {
            ignores_container_disarmer: true,
            ..kill()
        };
        let report = killer(disarmed).kill(&insisting, "r", &event, &moment(&own));
        assert_eq!(report.status, "error");
        assert!(report.json()["killed_at"].is_null());
    }
}
