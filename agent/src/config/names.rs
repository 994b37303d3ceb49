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
const SHARED_SECTIONS: [&str; 3] = [
    "system_probe_config",
    "security_agent",
    "admission_controller",
];
/// Beginnings of variables, besides those of [`OWN_SECTIONS`], of which every one should be known.
const OWN_VARIABLES: [&str; 2] = [
    "DD_ADMISSION_CONTROLLER_CWS_INSTRUMENTATION_",
    "DD_RUNTIME_ADMISSION_CONTROLLER_",
];
/// Longest distance of a name in a section to the one that is suggested.
const FAR: usize = 4;
/// The same in a section that other programs have keys in, too.
const SHARED_FAR: usize = 3;
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
    pub fn collect() -> Names {
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
        let far = if is_own { FAR } else { SHARED_FAR };
        match nearest_within(name, &candidates, far) {
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
            let mut beginnings = OWN_VARIABLES.iter();
            sections.any(|section| variable.starts_with(&format!("{}_", variable_of(section))))
                || beginnings.any(|beginning| variable.starts_with(beginning))
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

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::Path;

    fn judge(text: &str) -> (Vec<String>, BTreeSet<String>) {
        let layer = Layer::from_text(Path::new("x.yaml"), text.to_owned()).unwrap();
        let mut idle = BTreeSet::new();
        (Names::collect().judge_file(&layer, &mut idle), idle)
    }

    #[test]
    fn mistakes_are_named_with_their_line_and_what_was_meant() {
        let cases = [
            (
                "site: x\nruntime_security_config:\n  enbled: false\n",
                "runtime_security_config.enbled (x.yaml line 3) is not known; did you mean runtime_security_config.enabled?",
            ),
            ("api_kye: x", "api_kye (x.yaml line 1) is not known; did you mean api_key?"),
            ("runtime_security_confg: {enabled: true}", "did you mean runtime_security_config.enabled?"),
            ("runtime_security_confg: true", "did you mean runtime_security_config?"),
            ("event_monitoring_config: {network: {enable: true}}", "did you mean event_monitoring_config.network.enabled?"),
            ("proxy: {htp: x}", "did you mean proxy.http?"),
            ("runtime_security_config: {what_is_this: 1}", "is not known; see `security-agent config schema`"),
            ("system_probe_config: {btf_pth: x}", "did you mean system_probe_config.btf_path?"),
            ("runtime_security_config: [a]", "(x.yaml line 1) is ignored: it is a section"),
            ("log_level: {a: b}", "log_level.a (x.yaml line 1) is ignored: log_level must be a text"),
            ("runtime_security_config: {sbom: {enabled: true}}", "has no effect in this agent: this agent does not have this feature"),
            ("compliance_config:\n  enabled: 'true'", "compliance_config.enabled (x.yaml line 2) has no effect"),
            ("event_monitoring_config: {custom_sensitive_regexps: [a]}", "has no effect"),
            ("event_monitoring_config: {env_vars_resolution: {enabled: false}}", "has no effect"),
        ];
        for (text, expected) in cases {
            let (warnings, _) = judge(text);
            let [warning] = warnings.as_slice() else {
                panic!("{text}: {warnings:?}");
            };
            assert!(warning.contains(expected), "{text}: {warning}");
        }
    }

    #[test]
    fn what_belongs_to_others_or_has_no_effect_is_no_mistake() {
        let cases = [
            ("logs_enabled: true\napm_config: {enabled: true}\nprocess_config: {x: 1}\nlog_file: x", 0),
            ("network_config: {enabled: true}\ncheck_runners: 4\nproxi: 1", 1),
            ("system_probe_config: {enabled: true, some_module: {x: 1}}", 0),
            ("security_agent: {cmd_port: 5010}", 0),
            ("runtime_security_config: {activity_dump: {enabled: false, dump_duration: 5s}}", 0),
            ("runtime_security_config: {span_tracking: {enabled: false}, log_tags: []}", 0),
            ("runtime_security_config:\nproxy: {}\nhostname:", 0),
            ("runtime_security_config: {outputs: {http: {headers: {X-Key: a, enabled: b}}}}", 0),
        ];
        for (text, expected) in cases {
            let (warnings, _) = judge(text);
            assert_eq!(warnings.len(), expected, "{warnings:?}");
        }
        let (_, idle) =
            judge("runtime_security_config: {sbom: {enabled: true, refresh_interval: 1}}");
        assert_eq!(idle.len(), 2);
    }

    #[test]
    fn a_file_of_mistakes_gives_a_bounded_number_of_sentences() {
        let lines = (0..1_000).map(|number| format!("  key{number}: 1\n"));
        let text = format!("runtime_security_config:\n{}", lines.collect::<String>());
        let (warnings, _) = judge(&text);
        assert_eq!(warnings.len(), MAX_WARNINGS + 1);
        assert!(warnings.last().unwrap().starts_with("980 more keys"));
    }

    #[test]
    fn variables_are_judged_as_keys_are() {
        let cases = [
            (
                "DD_RUNTIME_SECURITY_CONFIG_ENBLED",
                "false",
                "is not known; did you mean DD_RUNTIME_SECURITY_CONFIG_ENABLED?",
                0,
            ),
            (
                "DD_RUNTIME_SECURITY_CONFIG_ACTIVITY_DUMP_ENABLED",
                "true",
                "has no effect",
                1,
            ),
            (
                "DD_RUNTIME_SECURITY_CONFIG_ACTIVITY_DUMP_ENABLED",
                "false",
                "",
                1,
            ),
            (
                "DD_EVENT_MONITORING_CONFIG_SPAN_TRACKING_ENABLED",
                "1",
                "has no effect",
                1,
            ),
            ("DD_RUNTIME_SECURITY_CONFIG_SOCKET", "/x", "", 0),
            ("DD_RUNTIME_SECURITY_CONFIG_NETWORK_ENABLED", "true", "", 0),
            ("DD_LOGS_ENABLED", "true", "", 0),
            ("DD_API_KYE", "x", "", 0),
        ];
        for (variable, value, expected, without_effect) in cases {
            let environment = BTreeMap::from([(variable.to_owned(), value.to_owned())]);
            let mut idle = BTreeSet::new();
            let warnings = Names::collect().judge_environment(&environment, &mut idle);
            assert_eq!(idle.len(), without_effect, "{variable}");
            match warnings.as_slice() {
                [] => assert_eq!(expected, "", "{variable}"),
                [warning] => assert!(
                    !expected.is_empty() && warning.contains(expected),
                    "{warning}"
                ),
                more => panic!("{more:?}"),
            }
        }
    }
}
