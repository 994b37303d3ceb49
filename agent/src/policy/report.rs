//! What became of every policy, macro and rule of a load.
//!
//! Filled by [`super::load`], read by `policy check`, `status` and the `ruleset_loaded` event.
//! Serialised as it stands it has the shape of that event; [`Report::check_json`] gives the
//! shorter one of `policy check --json`.

use super::file::position::Location;
use super::file::source::ReadError;
use crate::secl::{self, Approval, FieldId};
use serde::Serialize;
use std::collections::BTreeMap;
use std::fmt;

/// What became of a rule.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Status {
    /// It runs.
    Loaded,
    /// Left out: it is meant for other versions of the agent.
    AgentVersionError,
    /// Left out: none of its filters is true on this host.
    AgentFilterError,
    /// It is about an event type that is not enabled.
    EventTypeDisabled,
    /// Its expression cannot be read.
    SyntaxError,
    /// Anything else is wrong with it.
    Error,
    /// It is switched off. Settled reports have such rules in [`PolicyReport::disabled`] only.
    Disabled,
}

impl Status {
    /// Whether something is wrong with the rule itself, rather than with where it is loaded.
    pub fn is_error(self) -> bool {
        matches!(self, Status::SyntaxError | Status::Error)
    }

    /// Whether the rule is left out on purpose, by its own filters or version.
    pub fn is_excluded(self) -> bool {
        matches!(self, Status::AgentVersionError | Status::AgentFilterError)
    }
}

/// What became of a policy as a whole.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum PolicyStatus {
    /// Every rule that is meant for this host runs.
    Loaded,
    /// Some rules run, others do not.
    PartiallyLoaded,
    /// No rule runs.
    Error,
}

/// One rule of one policy.
#[derive(Debug, Clone, Serialize)]
pub struct RuleReport {
    /// Its id, or "".
    pub id: String,
    /// Its version.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub version: String,
    /// Its expression, after overrides.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub expression: String,
    /// What became of it.
    pub status: Status,
    /// Why it does not run, or "".
    #[serde(skip_serializing_if = "String::is_empty")]
    pub message: String,
    /// Its tags.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub tags: BTreeMap<String, String>,
    /// Its product tags.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub product_tags: Vec<String>,
    /// Its actions as written, a JSON list; "" without any. Text takes a tenth of what a tree takes.
    #[serde(skip_serializing_if = "String::is_empty", serialize_with = "as_json")]
    pub actions: String,
    /// Names of the policies that changed it.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub modified_by: Vec<String>,
    /// The policy and the place in it that `message` is about, or where the rule begins.
    #[serde(skip)]
    pub place: Place,
}

/// Writes a text that is JSON as what it stands for.
fn as_json<S: serde::Serializer>(text: &str, serializer: S) -> Result<S::Ok, S::Error> {
    let value: serde_json::Value = serde_json::from_str(text).unwrap_or_default();
    value.serialize(serializer)
}

/// A place in a policy file.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Place {
    /// Name of the file.
    pub file: String,
    /// Line and column, when they could be found.
    pub location: Option<Location>,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.location {
            Some(location) => write!(f, "{}:{location}", self.file),
            None => f.write_str(&self.file),
        }
    }
}

/// Something wrong in a policy, as a person reads it: ``FILE:LINE:COLUMN: rule `ID` error: …``.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// Where.
    pub place: Place,
    /// What.
    pub message: String,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.place, self.message)
    }
}

/// One policy of a load.
#[derive(Debug, Clone, Serialize)]
pub struct PolicyReport {
    /// File name.
    pub name: String,
    /// Its version, or "".
    pub version: String,
    /// Where it comes from: `file`, `embedded` or `self-test`.
    pub source: &'static str,
    /// What became of it.
    pub status: PolicyStatus,
    /// What is wrong with the file or its macros, or "".
    #[serde(skip_serializing_if = "String::is_empty")]
    pub message: String,
    /// Its rules in order, without those switched off.
    pub rules: Vec<RuleReport>,
    /// Ids of rules that are switched off.
    #[serde(skip)]
    pub disabled: Vec<String>,
    /// What is wrong with the file or its macros, one by one.
    #[serde(skip)]
    pub problems: Vec<Problem>,
    /// Sentences about what is in the file and has no effect.
    #[serde(skip)]
    pub warnings: Vec<String>,
}

impl PolicyReport {
    /// A policy of which nothing is known yet.
    pub fn new(name: String, source: &'static str) -> PolicyReport {
        PolicyReport {
            name,
            version: String::new(),
            source,
            status: PolicyStatus::Error,
            message: String::new(),
            rules: Vec::new(),
            disabled: Vec::new(),
            problems: Vec::new(),
            warnings: Vec::new(),
        }
    }

    /// Number of its rules that run.
    pub fn loaded(&self) -> usize {
        let loaded = |rule: &&RuleReport| rule.status == Status::Loaded;
        self.rules.iter().filter(loaded).count()
    }

    /// Number of its rules that do not run and were meant to.
    pub fn failed(&self) -> usize {
        self.missing().count()
    }

    /// Name, state and numbers of rules, as a JSON object.
    pub fn summary(&self) -> serde_json::Value {
        serde_json::json!({
            "name": self.name,
            "version": self.version,
            "source": self.source,
            "status": self.status,
            "rules_loaded": self.loaded(),
            "rules_failed": self.failed(),
        })
    }

    /// Name, version, source and state, as a JSON object.
    pub fn identity(&self) -> serde_json::Value {
        serde_json::json!({
            "name": self.name,
            "version": self.version,
            "source": self.source,
            "status": self.status,
        })
    }

    /// Everything wrong in it, in the order of the file.
    pub fn problems(&self) -> Vec<Problem> {
        let rules = self.missing().map(RuleReport::problem);
        self.problems.iter().cloned().chain(rules).collect()
    }

    /// Settles status and message once every rule has its own.
    pub fn settle(&mut self) {
        let messages: Vec<&str> = self
            .problems
            .iter()
            .map(|one| one.message.as_str())
            .collect();
        self.message = messages.join("; ");
        let disabled = self
            .rules
            .iter()
            .filter(|rule| rule.status == Status::Disabled);
        self.disabled = disabled.map(|rule| rule.id.clone()).collect();
        self.rules.retain(|rule| rule.status != Status::Disabled);
        self.status = match (self.loaded(), self.failed() + self.problems.len()) {
            (_, 0) => PolicyStatus::Loaded,
            (0, _) => PolicyStatus::Error,
            _ => PolicyStatus::PartiallyLoaded,
        };
    }

    fn missing(&self) -> impl Iterator<Item = &RuleReport> {
        let missing =
            |rule: &&RuleReport| rule.status != Status::Loaded && !rule.status.is_excluded();
        self.rules.iter().filter(missing)
    }
}

impl RuleReport {
    fn problem(&self) -> Problem {
        Problem {
            place: self.place.clone(),
            message: format!("rule `{}` error: {}", self.id, self.message),
        }
    }
}

/// The whole load.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Report {
    /// The policies in load order.
    pub policies: Vec<PolicyReport>,
}

impl Report {
    /// Adds the policies that could not even be read.
    pub fn add_unread(&mut self, errors: &[ReadError]) {
        for error in errors {
            let mut policy = PolicyReport::new(error.name(), "file");
            policy.problems.push(Problem {
                place: Place {
                    file: error.name(),
                    location: None,
                },
                message: load_error(&policy.name, policy.source, &error.cause),
            });
            policy.settle();
            self.policies.push(policy);
        }
    }

    /// Everything wrong, in load order. Rules left out by their own filters are not among it.
    pub fn problems(&self) -> Vec<Problem> {
        self.policies
            .iter()
            .flat_map(PolicyReport::problems)
            .collect()
    }

    /// The policies as JSON of at most about `limit` bytes: with their rules where they fit, else
    /// with the numbers of rules, else the first policies only.
    pub fn policies_json(&self, limit: usize) -> String {
        let whole = serde_json::to_string(&self.policies).unwrap_or_default();
        if whole.len() <= limit {
            return whole;
        }
        let mut left = limit;
        let short = self
            .policies
            .iter()
            .map(|policy| policy.summary().to_string());
        let fitting: Vec<String> = short
            .take_while(|policy| {
                let fits = policy.len() < left;
                left = left.saturating_sub(policy.len() + 1);
                fits
            })
            .collect();
        format!("[{}]", fitting.join(","))
    }

    /// Whether a file, macro or rule is wrong in itself. A rule on an event type that is not
    /// enabled is not wrong, it only does not run.
    pub fn has_errors(&self) -> bool {
        self.policies.iter().any(|policy| {
            !policy.problems.is_empty() || policy.rules.iter().any(|rule| rule.status.is_error())
        })
    }

    /// The object that `policy check --json` prints, on one line; `approvals` says by event type
    /// what the kernel may go by, `name` names fields.
    pub fn check_json(
        &self,
        approvals: &[(&str, Approval)],
        name: impl Fn(FieldId) -> String,
    ) -> String {
        let by_event = approvals.iter().map(|(event, approval)| (*event, approval));
        let check = Check {
            policies: self.policies.iter().map(CheckPolicy::new).collect(),
            approvers: secl::approve::Report::new(by_event, name),
            accept_mode_rules: accepting(approvals),
        };
        serde_json::to_string(&check).unwrap_or_default()
    }
}

/// The message for a policy that does not load as a whole.
pub fn load_error(name: &str, source: &str, cause: &dyn fmt::Display) -> String {
    format!("error loading policy `{name}` from source `{source}`: {cause}")
}

/// The rules without which the kernel could leave events out, each once.
pub fn accepting<'a>(approvals: &'a [(&str, Approval)]) -> Vec<&'a str> {
    let mut all: Vec<&str> = Vec::new();
    for (_, approval) in approvals {
        if let Approval::AcceptAll { rules } = approval {
            all.extend(rules.iter().map(String::as_str));
        }
    }
    all.sort_unstable();
    all.dedup();
    all
}

#[derive(Serialize)]
struct Check<'a> {
    policies: Vec<CheckPolicy<'a>>,
    approvers: secl::approve::Report,
    accept_mode_rules: Vec<&'a str>,
}

#[derive(Serialize)]
struct CheckPolicy<'a> {
    name: &'a str,
    status: PolicyStatus,
    #[serde(skip_serializing_if = "str::is_empty")]
    message: String,
    rules: Vec<CheckRule<'a>>,
}

#[derive(Serialize)]
struct CheckRule<'a> {
    id: &'a str,
    status: Status,
    message: String,
}

impl<'a> CheckPolicy<'a> {
    fn new(policy: &'a PolicyReport) -> CheckPolicy<'a> {
        let problems: Vec<String> = policy.problems.iter().map(Problem::to_string).collect();
        CheckPolicy {
            name: &policy.name,
            status: policy.status,
            message: problems.join("; "),
            rules: policy.rules.iter().map(CheckRule::new).collect(),
        }
    }
}

impl<'a> CheckRule<'a> {
    fn new(rule: &'a RuleReport) -> CheckRule<'a> {
        let message = if rule.status.is_error() {
            rule.problem().to_string()
        } else {
            rule.message.clone()
        };
        CheckRule {
            id: &rule.id,
            status: rule.status,
            message,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_report_that_does_not_fit_is_shortened() {
        let mut policy = PolicyReport::new("a.policy".to_owned(), "file");
        policy.problems.push(Problem {
            place: Place::default(),
            message: "x".repeat(10_000),
        });
        policy.settle();
        let report = Report {
            policies: vec![policy.clone(), policy],
        };
        for (limit, policies, holds_message) in [
            (1 << 20, 2, true),
            (1000, 2, false),
            (150, 1, false),
            (0, 0, false),
        ] {
            let json = report.policies_json(limit);
            let parsed: Vec<serde_json::Value> = serde_json::from_str(&json).unwrap();
            assert_eq!(parsed.len(), policies, "{limit}");
            assert_eq!(json.contains("xxx"), holds_message, "{limit}");
        }
    }
}
