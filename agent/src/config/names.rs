//! What a name in a file or in the environment means, and what to say about it.
//!
//! The files are shared with other programs, so a name is a mistake only inside one of our
//! sections, or at the top level when it looks like one of ours. Layers and variables enter,
//! sentences leave.

use std::collections::{BTreeMap, BTreeSet};

use serde_yaml::Value as Yaml;

use super::file::Layer;
use super::keys::idle::{self, Notice};
use super::keys::{self, variable_of, Key};
use crate::secl::nearest_within;

/// Sentences about the names of one file, at most: each costs a look through its text.
const MAX_WARNINGS: usize = 20;
/// Sections in which every key should be known.
const OWN_SECTIONS: [&str; 3] = [
    "runtime_security_config",
    "event_monitoring_config",
    "proxy",
];
/// Sections that other programs have keys in, too.
const SHARED_SECTIONS: [&str; 2] = ["system_probe_config", "security_agent"];
/// Longest distance of a name in a section to the one that is suggested.
const FAR: usize = 4;
/// The same at the top level, where most names are not ours.
const NEAR: usize = 2;
/// Names of the Datadog agent at the top level that look like ours.
const FOREIGN: [&str; 25] = [
    "apm_config",
    "bind_host",
    "cmd_host",
    "cmd_port",
    "compliance_config",
    "conf_path",
    "confd_path",
    "dogstatsd_port",
    "dogstatsd_tags",
    "expvar_port",
    "gui_port",
    "host_aliases",
    "hostname_file",
    "hostname_fqdn",
    "log_enabled",
    "log_file",
    "logs_config",
    "logs_enabled",
    "network_config",
    "process_config",
    "secret_backend_config",
    "secret_backend_type",
    "service_monitoring_config",
    "syslog_key",
    "syslog_pem",
];

/// What a dotted name is.
#[derive(Debug)]
enum Meaning {
    /// A key, by its present or its old name.
    Known,
    /// Understood, without effect.
    Idle(&'static idle::Idle),
    /// A value where a section belongs, or the other way round.
    Shape(String),
    /// A mistake, and what may have been meant.
    Unknown(Option<String>),
    /// None of our business.
    Foreign,
}

/// Every name of every key.
pub struct Names(BTreeMap<String, &'static Key>);

impl Names {
    /// Collects them from the table.
    pub fn new() -> Names {
        let named = |key: &&'static Key| {
            let key = *key;
            key.names().map(move |name| (name, key))
        };
        Names(keys::ALL.iter().flat_map(named).collect())
    }

    fn meaning(&self, name: &str) -> Meaning {
        if self.0.contains_key(name) {
            return Meaning::Known;
        }
        if let Some(idle) = idle::find(name) {
            return Meaning::Idle(idle);
        }
        let section = format!("{name}.");
        let below = self.0.range(section.clone()..).next();
        if below.is_some_and(|(known, _)| known.starts_with(&section)) {
            return Meaning::Shape("it is a section, write its keys below it".to_owned());
        }
        let mut above = name;
        while let Some((shorter, _)) = above.rsplit_once('.') {
            above = shorter;
            if let Some(key) = self.0.get(above) {
                return Meaning::Shape(format!("{above} must be {}", key.kind.expected()));
            }
        }
        self.unknown(name)
    }

    fn unknown(&self, name: &str) -> Meaning {
        let sections = OWN_SECTIONS.iter().chain(&SHARED_SECTIONS);
        let sections = sections.map(|section| (*section).to_owned());
        let section = name.split_once('.').map(|(section, _)| section);
        let top = section.unwrap_or(name);
        let is_own = OWN_SECTIONS.contains(&top);
        let is_ours = is_own || SHARED_SECTIONS.contains(&top);
        let near = (top.chars().count() / 3).clamp(1, NEAR);
        if section.is_none() {
            let keys = self.0.keys().filter(|known| !known.contains('.'));
            let candidates: Vec<String> = keys.cloned().chain(sections).collect();
            return match nearest_within(name, &candidates, near) {
                Some(meant) if !FOREIGN.contains(&name) => Meaning::Unknown(Some(meant)),
                _ => Meaning::Foreign,
            };
        }
        let sections: Vec<String> = sections.collect();
        if !is_ours && (FOREIGN.contains(&top) || nearest_within(top, &sections, near).is_none()) {
            return Meaning::Foreign;
        }
        let candidates: Vec<String> = self.0.keys().cloned().collect();
        match nearest_within(name, &candidates, FAR) {
            None if !is_own => Meaning::Foreign,
            meant => Meaning::Unknown(meant),
        }
    }

    /// Sentences about the names of a file; those of keys without effect are added to `idle`.
    pub fn judge_file(&self, layer: &Layer, idle: &mut BTreeSet<String>) -> Vec<String> {
        let mut warnings = Vec::new();
        let mut more = 0_usize;
        for (name, yaml) in &layer.values {
            let problem = match self.meaning(name) {
                Meaning::Known | Meaning::Foreign => continue,
                Meaning::Shape(_) if is_nothing(yaml) => continue,
                Meaning::Shape(problem) => format!("is ignored: {problem}"),
                Meaning::Unknown(meant) => unknown(meant),
                Meaning::Idle(entry) => {
                    idle.insert(name.clone());
                    let on = matches!(yaml, Yaml::Bool(true)) || yaml.as_str().is_some_and(is_true);
                    if !is_worth_a_word(entry, name, on, is_nothing(yaml)) {
                        continue;
                    }
                    without_effect(entry)
                }
            };
            if warnings.len() < MAX_WARNINGS {
                warnings.push(format!("{name} ({}) {problem}", layer.place(name)));
            } else {
                more = more.saturating_add(1);
            }
        }
        if more > 0 {
            let file = layer.path.display();
            warnings.push(format!(
                "{more} more keys of {file} are not understood; see `security-agent config schema`"
            ));
        }
        warnings
    }

    /// The same for the variables of the environment.
    pub fn judge_environment(
        &self,
        environment: &BTreeMap<String, String>,
        idle: &mut BTreeSet<String>,
    ) -> Vec<String> {
        let known: BTreeSet<String> = self
            .0
            .iter()
            .flat_map(|(name, key)| key.variable_names().into_iter().chain([variable_of(name)]))
            .collect();
        let names: Vec<String> = known.iter().cloned().collect();
        let mut warnings = Vec::new();
        let ours = |variable: &str| {
            let mut sections = OWN_SECTIONS.iter();
            sections.any(|section| variable.starts_with(&format!("{}_", variable_of(section))))
        };
        let odd = environment
            .iter()
            .filter(|(name, _)| ours(name) && !known.contains(*name));
        for (variable, value) in odd.take(MAX_WARNINGS) {
            let Some(entry) = idle_variable(variable) else {
                let problem = unknown(nearest_within(variable, &names, FAR));
                warnings.push(format!("environment variable {variable} {problem}"));
                continue;
            };
            idle.insert(variable.clone());
            let name = variable.to_lowercase().replace("_enabled", ".enabled");
            if is_worth_a_word(entry, &name, is_true(value), value.trim().is_empty()) {
                let problem = without_effect(entry);
                warnings.push(format!("environment variable {variable} {problem}"));
            }
        }
        warnings
    }
}

/// The entry that a variable belongs to.
fn idle_variable(variable: &str) -> Option<&'static idle::Idle> {
    idle::IDLE.iter().find(|entry| {
        let names = [Some(entry.name.to_owned()), keys::old_name(entry.name)];
        names
            .into_iter()
            .flatten()
            .any(|name| match variable_of(&name).strip_suffix("_*") {
                Some(section) => variable
                    .strip_prefix(section)
                    .is_some_and(|rest| rest.starts_with('_')),
                None => variable == variable_of(&name),
            })
    })
}

fn is_worth_a_word(entry: &idle::Idle, name: &str, on: bool, nothing: bool) -> bool {
    match entry.notice {
        Notice::Never => false,
        Notice::Enabled => on && name.rsplit('.').next() == Some("enabled"),
        Notice::Set => !nothing,
    }
}

fn without_effect(entry: &idle::Idle) -> String {
    let reason = entry.reason.trim_end_matches('.');
    let mut letters = reason.chars();
    let first = letters.next().map(|letter| letter.to_ascii_lowercase());
    let reason: String = first.into_iter().chain(letters).collect();
    format!("has no effect in this agent: {reason}")
}

fn unknown(meant: Option<String>) -> String {
    match meant {
        Some(meant) => format!("is not known; did you mean {meant}?"),
        None => "is not known; see `security-agent config schema`".to_owned(),
    }
}

fn is_true(text: &str) -> bool {
    matches!(
        text.trim().to_ascii_lowercase().as_str(),
        "true" | "yes" | "on" | "1"
    )
}

/// Whether a value says no more than its absence.
fn is_nothing(yaml: &Yaml) -> bool {
    match yaml {
        Yaml::Null => true,
        Yaml::String(text) => text.trim().is_empty(),
        Yaml::Sequence(items) => items.is_empty(),
        Yaml::Mapping(entries) => entries.is_empty(),
        _ => false,
    }
}
