//! Cases of whole policies: what is said of them, what becomes of each rule, and which rules match
//! a row of events while their `set` actions are carried out.

use crate::table::{Row, Table, WrittenEvent};
use security_agent::event::sample::Catalog;
use security_agent::event::types::RULE_TYPES;
use security_agent::event::{Fields, Sample};
use security_agent::policy::action::ActionKind;
use security_agent::policy::variable::{ProcessKey, Store, Subject};
use security_agent::policy::{Host, Options, Report, Rule, RuleSet, Source};
use security_agent::secl::{Record, Scheme};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::rc::Rc;

/// A case as it is written.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Case {
    name: String,
    /// By file name, in load order.
    policies: serde_yaml::Mapping,
    /// The event types that are enabled; every one when it is left out.
    events: Option<Vec<String>>,
    #[serde(default)]
    kernel: String,
    #[serde(default)]
    os_release: String,
    #[serde(default)]
    enforcement_disabled: bool,
    #[serde(default)]
    enforcement_sources: Vec<String>,
    /// How each problem begins, in order; a part of it after `…`.
    #[serde(default)]
    problems: Vec<String>,
    /// Parts of the warnings, in order.
    #[serde(default)]
    warnings: Vec<String>,
    /// What became of each policy.
    #[serde(default)]
    policy_status: Vec<String>,
    /// What became of each rule, for each policy.
    #[serde(default)]
    rule_status: Vec<Vec<String>>,
    #[serde(default)]
    steps: Vec<Step>,
}

/// An event, and the rules that match it in load order.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Step {
    /// Seconds since the step before.
    #[serde(default)]
    after: u64,
    event: WrittenEvent,
    expect: Vec<String>,
}

/// Judges all cases.
pub fn cases(table: &Table) -> Vec<String> {
    let judged = table.rows.iter().flat_map(|row| {
        let case = read(row);
        let failures = failures(&case);
        failures.into_iter().map(move |sentence| {
            let (file, line, name) = (&table.name, row.line, &case.name);
            format!("{file}.yaml:{line}: {name}: {sentence}")
        })
    });
    judged.collect()
}

fn read(row: &Row) -> Case {
    let case = serde_yaml::from_value(row.value.clone());
    case.unwrap_or_else(|error| panic!("line {}: {error}", row.line))
}

fn failures(case: &Case) -> Vec<String> {
    let mut rules = load(case);
    let mut failures = differences(case, rules.report());
    failures.extend(run(case, &mut rules));
    failures
}

fn load(case: &Case) -> RuleSet {
    let source = |(name, text): (&serde_yaml::Value, &serde_yaml::Value)| Source {
        name: name.as_str().unwrap().to_owned(),
        kind: "file",
        text: text.as_str().unwrap().as_bytes().to_vec(),
    };
    let sources: Vec<Source> = case.policies.iter().map(source).collect();
    let is_enabled = |name: &&&str| match &case.events {
        Some(events) => events.iter().any(|event| event == *name),
        None => true,
    };
    let mut host = Host::default();
    host.set_kernel(&case.kernel);
    host.set_os_release(&case.os_release);
    let options = Options {
        host,
        events: RULE_TYPES.iter().filter(is_enabled).copied().collect(),
        enforcement_disabled: case.enforcement_disabled,
        enforcement_sources: case.enforcement_sources.clone(),
    };
    RuleSet::load(&sources, &options, &Fields)
}

/// How the report differs from what the case says.
fn differences(case: &Case, report: &Report) -> Vec<String> {
    let problems: Vec<String> = report.problems().iter().map(ToString::to_string).collect();
    let warnings: Vec<String> = { report.policies.iter() }
        .flat_map(|policy| policy.warnings.clone())
        .collect();
    let mut differences = Vec::new();
    let fits = |problem: &str, wanted: &str| match wanted.split_once('…') {
        Some((start, part)) => problem.starts_with(start) && problem.contains(part),
        None => problem.starts_with(wanted),
    };
    if !each(&problems, &case.problems, fits) {
        differences.push(format!("problems {problems:#?}"));
    }
    if !each(&warnings, &case.warnings, |one, part| one.contains(part)) {
        differences.push(format!("warnings {warnings:#?}"));
    }
    let policies: Vec<String> = { report.policies.iter() }
        .map(|policy| word(&policy.status))
        .collect();
    if !case.policy_status.is_empty() && policies != case.policy_status {
        differences.push(format!("policies {policies:?}"));
    }
    let rules: Vec<Vec<String>> = { report.policies.iter() }
        .map(|policy| policy.rules.iter().map(|rule| word(&rule.status)).collect())
        .collect();
    if !case.rule_status.is_empty() && rules != case.rule_status {
        differences.push(format!("rules {rules:?}"));
    }
    differences
}

fn each(found: &[String], wanted: &[String], fits: impl Fn(&str, &str) -> bool) -> bool {
    let mut pairs = found.iter().zip(wanted);
    found.len() == wanted.len() && pairs.all(|(found, wanted)| fits(found, wanted))
}

/// The word for a status in reports.
fn word(status: &impl Serialize) -> String {
    let value = serde_json::to_value(status).unwrap();
    value.as_str().unwrap().to_owned()
}

/// Lets the events of a case happen, and says where other rules match than expected.
fn run(case: &Case, rules: &mut RuleSet) -> Vec<String> {
    let catalog = Catalog::new(&Fields);
    let mut store = Store::new(rules.declarations());
    let mut failures = Vec::new();
    let mut now = 1_000_000_000;
    for (number, step) in (1..).zip(&case.steps) {
        now += step.after * 1_000_000_000;
        let sample = Sample::new(&catalog, &step.event.kind, &step.event.values);
        let sample = sample.unwrap_or_else(|error| panic!("{}, step {number}: {error}", case.name));
        let matching = happen(rules.rules(sample.event()), &sample, &mut store, now);
        if matching != step.expect {
            failures.push(format!("step {number}: {matching:?} match"));
        }
    }
    failures
}

/// Judges an event by each rule and carries out the actions of those that match.
fn happen(rules: &[Rc<Rule>], sample: &Sample<'_>, store: &mut Store, now: u64) -> Vec<String> {
    let owner = Owner::of(sample);
    store.advance(&owner, now);
    let mut matching = Vec::new();
    for rule in rules {
        if !rule.compiled.matches(&store.scoped(sample, &owner)) {
            continue;
        }
        matching.push(rule.id.clone());
        for action in &rule.actions {
            let filter = action.filter.as_ref();
            let applies = filter.is_none_or(|one| one.matches(&store.scoped(sample, &owner)));
            if let (true, ActionKind::Set(set)) = (applies, &action.kind) {
                store.set(set, sample, &owner, now);
            }
        }
    }
    matching
}

/// To whom a written event belongs.
struct Owner {
    pid: u32,
    texts: BTreeMap<&'static str, String>,
}

impl Owner {
    fn of(sample: &Sample<'_>) -> Owner {
        let id = |name: &str| Fields.field(name).unwrap().id;
        let text = |name| (name, sample.text(id(name), 0).to_owned());
        Owner {
            pid: u32::try_from(sample.int(id("process.pid"), 0)).unwrap(),
            texts: ["process.container.id", "process.cgroup.id"]
                .map(text)
                .into(),
        }
    }

    fn key(pid: u32) -> ProcessKey {
        ProcessKey { pid, start: 1 }
    }
}

impl Subject for Owner {
    fn process(&self) -> Option<ProcessKey> {
        Some(Owner::key(self.pid))
    }

    fn container(&self) -> &str {
        &self.texts["process.container.id"]
    }

    fn cgroup(&self) -> &str {
        &self.texts["process.cgroup.id"]
    }

    fn find(&self, pid: u32) -> Option<ProcessKey> {
        Some(Owner::key(pid))
    }
}
