//! `runtime policy check` and `runtime policy reload`.

use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_json::{json, Value};

use super::client::{self, Error};
use super::exit::Exit;
use super::flags::{JSON, LOADED_POLICIES, POLICIES_DIR};
use super::parse::Arguments;
use super::{print, settings};
use crate::config::{keys, Settings};
use crate::event::types::RULE_TYPES;
use crate::event::{fields, Fields};
use crate::policy::{self, Host, Options, PolicyReport, Report, RuleSet};
use crate::secl::Approval;

/// Rules that are named of those that need every event of a type.
const MAX_NAMED: usize = 3;
/// How long system-probe may take to load its policies.
const LIMIT: Duration = Duration::from_secs(30);

/// Loads the policies as system-probe would, without running them.
pub fn check(arguments: &Arguments) -> Exit {
    let settings = settings::of_client(arguments);
    if arguments.has(&LOADED_POLICIES) {
        return loaded(&settings, arguments.has(&JSON));
    }
    let rules = load(arguments, &settings);
    let report = rules.report();
    if arguments.has(&JSON) {
        print::line(&check_json(&rules));
    } else {
        print::line(&text(report));
        print::line(&filters(&approvals(&rules)));
    }
    match report.has_errors() {
        true => Exit::Failure,
        false => Exit::Success,
    }
}

/// What each event type lets the kernel drop.
fn approvals(rules: &RuleSet) -> Vec<(&'static str, Approval)> {
    let types = rules.event_types().into_iter();
    types
        .map(|event| (event, rules.approval(event, &fields::capabilities(event))))
        .collect()
}

/// The report on a rule set as JSON.
pub(super) fn check_json(rules: &RuleSet) -> String {
    rules
        .report()
        .check_json(&approvals(rules), fields::name_of)
}

/// Loads the policies of the directory that is named or configured, with every event type
/// enabled.
pub(super) fn load(arguments: &Arguments, settings: &Settings) -> RuleSet {
    let directory = match arguments.value(&POLICIES_DIR) {
        Some(directory) => PathBuf::from(directory),
        None => settings.policies_dir(),
    };
    load_from(&directory, settings)
}

/// Loads the policies of this directory, with every event type enabled.
pub(super) fn load_from(directory: &Path, settings: &Settings) -> RuleSet {
    let embedded = settings.flag(&keys::POLICIES_DEFAULT_ENABLED);
    let (sources, unread) = policy::read_directory(directory, embedded);
    let options = Options {
        enforcement_disabled: !settings.flag(&keys::ENFORCEMENT_ENABLED),
        enforcement_sources: settings.list(&keys::ENFORCEMENT_SOURCES).to_vec(),
        ..options()
    };
    let mut rules = RuleSet::load(&sources, &options, &Fields);
    rules.add_unread(&unread);
    rules
}

/// This host, with every event type enabled and every action allowed.
pub(super) fn options() -> Options {
    Options {
        host: Host::read(),
        events: RULE_TYPES.to_vec(),
        ..Options::default()
    }
}

/// Makes system-probe read its policies again; says nothing when that went well.
pub fn reload(arguments: &Arguments) -> Exit {
    let settings = settings::of_client(arguments);
    let request = json!({"command": "reload_policies"});
    match client::request(&settings.command_socket(), &request, LIMIT) {
        Ok(_) => Exit::Success,
        Err(error @ Error::Connect { .. }) => {
            print::error(&format!(
                "unable to create a runtime security client instance: {error}"
            ));
            Exit::Failure
        }
        Err(error) => {
            print::error(&format!("unable to reload policies: {error}"));
            Exit::Failure
        }
    }
}

/// Prints what system-probe says of the policies that it runs.
fn loaded(settings: &Settings, as_json: bool) -> Exit {
    let request = json!({"command": "loaded_policies"});
    match client::request(&settings.command_socket(), &request, LIMIT) {
        Ok(reply) => {
            let check = reply.get("check").unwrap_or(&Value::Null);
            match as_json {
                true => print::line(&check.to_string()),
                false => print::line(&format!("{check:#}")),
            }
            Exit::Success
        }
        Err(Error::Refused(sentence)) => {
            print::error(&format!("get policies request failed: {sentence}"));
            Exit::Failure
        }
        Err(error) => {
            print::error(&format!("unable to send request to system-probe: {error}"));
            Exit::Failure
        }
    }
}

fn text(report: &Report) -> String {
    let mut lines: Vec<String> = Vec::new();
    for policy in &report.policies {
        lines.push(summary(policy));
        lines.extend(
            policy
                .problems()
                .iter()
                .map(|problem| format!("  {problem}")),
        );
        lines.extend(
            policy
                .warnings
                .iter()
                .map(|warning| format!("  warning: {warning}")),
        );
    }
    if lines.is_empty() {
        lines.push("there are no policies".to_owned());
    }
    lines.join("\n")
}

/// Which events the kernel can leave out, and which rules stand in the way.
fn filters(approvals: &[(&str, Approval)]) -> String {
    let lines = approvals.iter().map(|(event, approval)| match approval {
        Approval::Approvers(approvers) => {
            let fields = approvers.fields().map(|(field, values)| {
                format!("{} ({})", fields::name_of(field), values.texts().len())
            });
            let fields: Vec<String> = fields.collect();
            format!("{event}: the kernel can go by {}", fields.join(", "))
        }
        Approval::AcceptAll { rules } => {
            let named: Vec<&str> = rules.iter().take(MAX_NAMED).map(String::as_str).collect();
            let more = match rules.len() {
                count if count > MAX_NAMED => format!(" and {} more", count - MAX_NAMED),
                _ => String::new(),
            };
            format!(
                "{event}: every event is needed by {}{more}",
                named.join(", ")
            )
        }
    });
    lines.collect::<Vec<_>>().join("\n")
}

fn summary(policy: &PolicyReport) -> String {
    let version = match policy.version.as_str() {
        "" => String::new(),
        version => format!(", version {version}"),
    };
    let name = &policy.name;
    let (loaded, failed) = (policy.loaded(), policy.failed());
    format!(
        "{name} ({}{version}): {loaded} rules loaded, {failed} failed",
        policy.source
    )
}
