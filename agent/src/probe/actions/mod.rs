//! What rules do when they match, beside reporting: signals, network filters, hashes, log lines.
//!
//! A matched rule and its event enter [`Actions::carry_out`], reports leave. An event whose reports
//! are not complete (a hash is being computed, a killed process has not ended) is held back by
//! [`held`] until they are, or their time is up. Variables are the business of
//! [`crate::policy::variable`].

mod disarm;
mod drop;
mod hash;
mod held;
mod kill;
mod target;
pub mod worker;

pub(super) use held::{Complete, Held};
pub(super) use kill::Moment;

use drop::{Demand, DropReport, Dropper};
use hash::{Hasher, Hashing};
use kill::{KillReport, Killer};

use std::rc::Rc;

use crate::config::{keys, Settings};
use crate::event::{Event, Hashes};
use crate::kernel::PacketPrograms;
use crate::policy::action::{Action, ActionKind};
use crate::policy::{Rule, RuleSet};
use crate::resolve::process::ProcessCache;
use crate::secl::Record;

/// What one action did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Report {
    Kill(KillReport),
    Drop(DropReport),
    Hash {
        /// The file's field.
        field: String,
        hashing: Hashing,
    },
}

impl Report {
    /// Whether something is still to come.
    fn is_open(&self) -> bool {
        match self {
            Report::Kill(report) => report.is_open(),
            Report::Drop(_) => false,
            Report::Hash { hashing, .. } => matches!(hashing, Hashing::Asked(_)),
        }
    }

    fn json(&self, event: &Event) -> serde_json::Value {
        match self {
            Report::Kill(report) => report.json(),
            Report::Drop(report) => report.json(),
            Report::Hash { field, hashing } => {
                let path = event.file_of(field).map_or("", |file| &file.path);
                let state = match hashing {
                    Hashing::Asked(_) => "HashFailed",
                    Hashing::Done(hashes) => hashes.state(),
                };
                serde_json::json!({"type": "hash", "path": path, "state": state})
            }
        }
    }
}

/// The reports as a JSON list; empty without any.
pub(super) fn json(reports: &[Report], event: &Event) -> String {
    if reports.is_empty() {
        return String::new();
    }
    let reports = reports.iter().map(|report| report.json(event));
    serde_json::Value::Array(reports.collect()).to_string()
}

/// Carries actions out.
pub(super) struct Actions {
    killer: Killer,
    dropper: Dropper,
    hasher: Hasher,
    /// Nothing is killed and nothing put in force while this is false.
    enforces: bool,
}

impl Actions {
    pub(super) fn new(settings: &Settings) -> Actions {
        Actions {
            killer: Killer::new(settings),
            dropper: Dropper::new(settings),
            hasher: Hasher::new(settings),
            enforces: settings.flag(&keys::ENFORCEMENT_ENABLED),
        }
    }

    /// Switches killing and dropping on or off for the rules that run; what is in force is taken
    /// back with it.
    pub(super) fn set_enforcement(&mut self, enabled: bool) {
        self.enforces = enabled;
        if !enabled {
            self.dropper.keep(&|_| false);
        }
    }

    /// Gives it the programs that drop packets, or the sentence why there are none.
    pub(super) fn use_packet_programs(&mut self, programs: Result<Rc<PacketPrograms>, String>) {
        self.dropper.use_programs(programs);
    }

    /// These rules run from now on.
    pub(super) fn follow(&mut self, rules: &RuleSet) {
        self.killer.reset();
        self.dropper.keep(&|held| {
            let filters = |action: &Action| {
                matches!(&action.kind, ActionKind::NetworkFilter(other) if other == held.action)
            };
            rules.all().any(|rule| {
                let same = rule.id == held.rule && rule.expression_text == held.expression;
                same && rule.actions.iter().any(filters)
            })
        });
    }

    /// Forgets what is gone; to be called every second. `protected` are processes of the agent.
    pub(super) fn sweep(&mut self, processes: &ProcessCache, protected: &[u32]) {
        self.dropper.sweep(processes, protected);
    }

    /// A process has ended.
    pub(super) fn note_exit(&mut self, pid: u32) {
        self.dropper.note_exit(pid);
    }

    /// Network filters in force, and processes and cgroups that they are about.
    pub(super) fn drops(&self) -> (usize, usize) {
        self.dropper.size()
    }

    /// The process that hashes files, if it runs.
    pub(super) fn worker(&self) -> Option<u32> {
        self.hasher.worker()
    }

    /// Ends what runs on its own.
    pub(super) fn stop(&mut self) {
        self.hasher.stop();
    }

    /// Carries out what a rule does whether or not its event is sent: signals and network filters.
    pub(super) fn enforce(
        &mut self,
        rule: &Rule,
        event: &Event,
        record: &dyn Record,
        moment: &Moment<'_>,
    ) -> Vec<Report> {
        let mut reports = Vec::new();
        if !self.enforces {
            return reports;
        }
        for action in wanted(rule, record) {
            match &action.kind {
                ActionKind::Kill(kill) => {
                    let report = self.killer.kill(kill, &rule.id, event, moment);
                    reports.push(Report::Kill(report));
                }
                ActionKind::NetworkFilter(filter) => {
                    let demand = Demand {
                        rule: &rule.id,
                        expression: &rule.expression_text,
                        action: filter,
                    };
                    let report = self.dropper.carry_out(demand, event, moment.protected);
                    reports.push(Report::Drop(report));
                }
                _ => {}
            }
        }
        reports
    }

    /// Carries out what belongs to an event that is sent: hashes and log lines.
    pub(super) fn accompany(
        &mut self,
        rule: &Rule,
        event: &Event,
        record: &dyn Record,
        now: u64,
        reports: &mut Vec<Report>,
    ) {
        for action in wanted(rule, record) {
            match &action.kind {
                ActionKind::Hash(hash) => {
                    let hashing = self.hasher.hash(hash, event, now);
                    if let Hashing::Done(hashes) = &hashing {
                        event.set_hashes(&hash.field, hashes);
                    }
                    reports.push(Report::Hash {
                        field: hash.field.clone(),
                        hashing,
                    });
                }
                ActionKind::Log(line) if line.message.is_empty() => {
                    log::log!(line.level, "Rule {} triggered", rule.id);
                }
                ActionKind::Log(line) => log::log!(line.level, "{}", line.message),
                ActionKind::Set(_)
                | ActionKind::Kill(_)
                | ActionKind::NetworkFilter(_)
                | ActionKind::CoreDump => {}
            }
        }
    }

    /// The hashes that have come since the last look, by the number of the request.
    pub(super) fn hashes(&mut self) -> Vec<(u64, Hashes)> {
        self.hasher.answers()
    }
}

/// The actions of a rule whose filter holds.
pub(super) fn wanted<'a>(
    rule: &'a Rule,
    record: &'a dyn Record,
) -> impl Iterator<Item = &'a Action> + 'a {
    let holds = |action: &&Action| {
        let filter = action.filter.as_ref();
        filter.is_none_or(|filter| filter.matches(record))
    };
    rule.actions.iter().filter(holds)
}
