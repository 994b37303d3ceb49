//! `runtime policy eval`: one rule, one event from a file, and why it matches or does not.

use std::collections::BTreeMap;
use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::exit::Exit;
use super::flags::{DEBUG, EVENT_FILE, RULE_ID};
use super::parse::Arguments;
use super::{policy, print, settings};
use crate::event::sample::{self, Catalog};
use crate::event::{fields, Fields, Sample};
use crate::policy::variable::{ProcessKey, Store, Subject};
use crate::policy::{explain, PolicyReport, Rule, RuleSet, Status};
use crate::secl::{self, Approval, Record};
use crate::sys::files;

/// Largest event file in bytes.
const MAX_FILE: usize = 1 << 20;

/// Why a rule could not be evaluated.
#[derive(Debug)]
enum Error {
    /// A flag is missing.
    Flag(&'static str),
    /// The event file cannot be read.
    Read(PathBuf, io::Error),
    /// The event file is larger than events are.
    TooLarge(PathBuf),
    /// The event file is not what it should be.
    Json(PathBuf, serde_json::Error),
    /// The event cannot be.
    Sample(sample::Error),
    /// There is no such rule; perhaps this one was meant.
    UnknownRule(String, Option<String>),
    /// The rule does not load.
    NotLoaded(String, String),
}

impl fmt::Display for Error {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Error::Flag(flag) => write!(out, "the flag `--{flag}` is missing"),
            Error::Read(path, error) => {
                write!(out, "{} cannot be read: {error}", path.display())
            }
            Error::TooLarge(path) => write!(
                out,
                "{} has more than {} MiB, the most that is read of an event",
                path.display(),
                MAX_FILE >> 20
            ),
            Error::Json(path, error) => write!(
                out,
                "{} is not an event such as {{\"Type\": \"open\", \"Values\": {{…}}}}: {error}",
                path.display()
            ),
            Error::Sample(error) => error.fmt(out),
            Error::UnknownRule(id, None) => write!(out, "no rule has the id `{id}`"),
            Error::UnknownRule(id, Some(nearest)) => {
                write!(out, "no rule has the id `{id}`, did you mean `{nearest}`?")
            }
            Error::NotLoaded(id, message) => write!(out, "rule `{id}` error: {message}"),
        }
    }
}

impl std::error::Error for Error {}

/// An event as a file holds it.
#[derive(Debug, Deserialize, Serialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
struct WrittenEvent {
    #[serde(rename = "Type")]
    kind: String,
    #[serde(default)]
    values: Map<String, Value>,
}

/// What is printed.
#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
struct Report<'a> {
    succeeded: bool,
    approvers: BTreeMap<String, Vec<String>>,
    event: &'a WrittenEvent,
    /// Why the rule could not be evaluated, or cannot match.
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<String>,
    /// With `--debug`: the parts of the rule.
    #[serde(skip_serializing_if = "Option::is_none")]
    debug: Option<Vec<Part>>,
}

/// A part of the rule and its value; a list where there may be several.
#[derive(Debug, Serialize)]
struct Part {
    expression: String,
    value: Value,
}

/// What evaluating led to.
struct Verdict {
    matched: bool,
    /// By which values of which fields the kernel could leave events out for this rule alone.
    approvers: BTreeMap<String, Vec<String>>,
    /// Why the rule cannot match at all.
    reason: Option<String>,
    debug: Vec<Part>,
}

/// Evaluates the rule and prints the report.
pub fn main(arguments: &Arguments) -> Exit {
    let (id, event) = match read(arguments) {
        Ok(read) => read,
        Err(error) => {
            print::error(&error);
            return match error {
                Error::Flag(_) => Exit::Usage,
                _ => Exit::Failure,
            };
        }
    };
    let rules = policy::load(arguments, &settings::of_client(arguments));
    let debug = arguments.has(&DEBUG);
    let mut report = Report {
        succeeded: false,
        approvers: BTreeMap::new(),
        event: &event,
        error: None,
        debug: None,
    };
    let exit = match evaluate(&rules, &id, &event) {
        Ok(verdict) => {
            report.succeeded = verdict.matched;
            report.approvers = verdict.approvers;
            report.error = verdict.reason;
            report.debug = debug.then_some(verdict.debug);
            match verdict.matched {
                true => Exit::Success,
                false => Exit::NoMatch,
            }
        }
        Err(error) => {
            print::error(&error);
            report.error = Some(error.to_string());
            Exit::Failure
        }
    };
    print::line(&pretty(&report));
    exit
}

/// The rule's id and the event that the flags name.
fn read(arguments: &Arguments) -> Result<(String, WrittenEvent), Error> {
    let id = arguments
        .value(&RULE_ID)
        .ok_or(Error::Flag(RULE_ID.long))?
        .to_string_lossy();
    let file = arguments
        .value(&EVENT_FILE)
        .ok_or(Error::Flag(EVENT_FILE.long))?;
    Ok((id.into_owned(), read_event(Path::new(file))?))
}

fn read_event(path: &Path) -> Result<WrittenEvent, Error> {
    let bytes = files::read_limited(path, MAX_FILE + 1)
        .map_err(|error| Error::Read(path.to_owned(), error))?;
    if bytes.len() > MAX_FILE {
        return Err(Error::TooLarge(path.to_owned()));
    }
    serde_json::from_slice(&bytes).map_err(|error| Error::Json(path.to_owned(), error))
}

fn evaluate(rules: &RuleSet, id: &str, event: &WrittenEvent) -> Result<Verdict, Error> {
    let catalog = Catalog::new(&Fields);
    let sample = Sample::new(&catalog, &event.kind, &event.values).map_err(Error::Sample)?;
    let rule = find(rules, id)?;
    let own = rules.rules(sample.event()).iter().find(|one| one.id == id);
    let Some(own) = own else {
        let mut kinds = rules.event_types();
        kinds.retain(|kind| rules.rules(kind).iter().any(|one| one.id == id));
        return Ok(Verdict {
            matched: false,
            approvers: BTreeMap::new(),
            reason: Some(format!(
                "rule `{id}` is about events of the type `{}`, not `{}`",
                kinds.join(", "),
                sample.event()
            )),
            debug: parts(rule, rules, &sample),
        });
    };
    let variables = Store::new(rules.declarations());
    let record = variables.scoped(&sample, &Nobody);
    Ok(Verdict {
        matched: own.compiled.matches(&record),
        approvers: approvers(own, sample.event()),
        reason: None,
        debug: parts(own, rules, &record),
    })
}

/// The event belongs to nobody: every variable holds its default.
struct Nobody;

impl Subject for Nobody {
    fn process(&self) -> Option<ProcessKey> {
        None
    }

    fn container(&self) -> &str {
        ""
    }

    fn cgroup(&self) -> &str {
        ""
    }

    fn find(&self, _: u32) -> Option<ProcessKey> {
        None
    }
}

fn approvers(rule: &Rule, event: &str) -> BTreeMap<String, Vec<String>> {
    let capabilities = fields::capabilities(event);
    match secl::approve([(rule.id.as_str(), &rule.compiled)], &capabilities) {
        Approval::Approvers(approvers) => approvers
            .fields()
            .map(|(field, values)| (fields::name_of(field), values.texts()))
            .collect(),
        Approval::AcceptAll { .. } => BTreeMap::new(),
    }
}

/// The rule of that id, about whatever type.
fn find<'r>(rules: &'r RuleSet, id: &str) -> Result<&'r Rule, Error> {
    if let Some(rule) = rules.all().find(|rule| rule.id == id) {
        return Ok(rule);
    }
    let policies = rules.report().policies.iter();
    let known: Vec<_> = policies.flat_map(|policy| &policy.rules).collect();
    let broken = known
        .iter()
        .find(|rule| rule.id == id && rule.status != Status::Loaded);
    if let Some(rule) = broken {
        return Err(Error::NotLoaded(id.to_owned(), rule.message.clone()));
    }
    let disabled = |policy: &PolicyReport| policy.disabled.iter().any(|one| one == id);
    if rules.report().policies.iter().any(disabled) {
        let message = "it is switched off".to_owned();
        return Err(Error::NotLoaded(id.to_owned(), message));
    }
    let ids: Vec<String> = known.iter().map(|rule| rule.id.clone()).collect();
    Err(Error::UnknownRule(id.to_owned(), secl::nearest(id, &ids)))
}

fn parts(rule: &Rule, rules: &RuleSet, record: &dyn Record) -> Vec<Part> {
    let declarations = rules.declarations();
    let scheme = declarations.scheme(&Fields);
    let parts = explain::explain(&rule.expression_text, rules.macros(), &scheme, record);
    let shown = parts.unwrap_or_default().into_iter().map(|part| Part {
        expression: part.text,
        value: value(part.value),
    });
    shown.collect()
}

fn value(value: secl::Value) -> Value {
    match value {
        secl::Value::Bool(value) => Value::from(value),
        secl::Value::Int(value) => Value::from(value),
        secl::Value::Text(value) => Value::from(value),
        secl::Value::Ip(value) => Value::from(value.to_string()),
        secl::Value::List(values) => values.into_iter().map(self::value).collect(),
    }
}

/// JSON with an indentation of four spaces.
fn pretty(report: &Report<'_>) -> String {
    let mut out = Vec::new();
    let formatter = serde_json::ser::PrettyFormatter::with_indent(b"    ");
    let mut serializer = serde_json::Serializer::with_formatter(&mut out, formatter);
    match report.serialize(&mut serializer) {
        Ok(()) => String::from_utf8_lossy(&out).into_owned(),
        Err(error) => format!("the report cannot be written: {error}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::Source;
    use serde_json::json;

    const POLICY: &str = "\
macros:
  - id: WRITING
    expression: open.flags & (O_WRONLY|O_RDWR) > 0
rules:
  - id: shadow_written
    expression: open.file.path == \"/etc/shadow\" && WRITING
  - id: remembers
    expression: open.file.path in ${seen} || ${count} == 4
    actions:
      - set: {name: seen, field: open.file.path, append: true}
      - set: {name: count, value: 1, default_value: 3}
  - id: broken
    expression: open.file.pth == \"x\"
  - id: off
    disabled: true
    expression: open.file.path == \"x\"
";

    fn rules() -> RuleSet {
        let source = Source {
            name: "x.policy".to_owned(),
            kind: "file",
            text: POLICY.as_bytes().to_vec(),
        };
        RuleSet::load(&[source], &policy::options(), &Fields)
    }

    fn event(kind: &str, values: Value) -> WrittenEvent {
        serde_json::from_value(json!({"Type": kind, "Values": values})).unwrap()
    }

    #[test]
    fn a_rule_is_judged_and_explained() {
        let event = event(
            "open",
            json!({"open.file.path": "/etc/shadow", "open.flags": "O_RDWR"}),
        );
        let verdict = evaluate(&rules(), "shadow_written", &event).unwrap();
        assert!(verdict.matched && verdict.reason.is_none());
        let debug = serde_json::to_value(&verdict.debug).unwrap();
        let expected = json!([
            {"expression": "open.file.path == \"/etc/shadow\" && WRITING", "value": true},
            {"expression": "open.file.path == \"/etc/shadow\"", "value": true},
            {"expression": "open.file.path", "value": "/etc/shadow"},
            {"expression": "WRITING", "value": true},
        ]);
        assert_eq!(debug, expected);
    }

    #[test]
    fn what_does_not_match_is_no_error() {
        let values = json!({"open.file.path": "/etc/shadow", "open.flags": "O_RDONLY"});
        let verdict = evaluate(&rules(), "shadow_written", &event("open", values)).unwrap();
        assert!(!verdict.matched && verdict.reason.is_none());
        let verdict = evaluate(&rules(), "shadow_written", &event("exec", json!({}))).unwrap();
        let reason = "rule `shadow_written` is about events of the type `open`, not `exec`";
        assert_eq!(
            (verdict.matched, verdict.reason.as_deref()),
            (false, Some(reason))
        );
    }

    #[test]
    fn variables_hold_their_defaults() {
        let event = event("open", json!({"open.file.path": ""}));
        let verdict = evaluate(&rules(), "remembers", &event).unwrap();
        assert!(!verdict.matched);
        let debug = serde_json::to_value(&verdict.debug).unwrap();
        assert!(debug
            .to_string()
            .contains("{\"expression\":\"${count}\",\"value\":3}"));
        assert!(debug
            .to_string()
            .contains("{\"expression\":\"${seen}\",\"value\":[]}"));
    }

    #[test]
    fn what_cannot_be_judged_is_said() {
        for (id, kind, expected) in [
            (
                "shadow_writen",
                "open",
                "no rule has the id `shadow_writen`, did you mean `shadow_written`?",
            ),
            ("x", "open", "no rule has the id `x`"),
            ("broken", "open", "rule `broken` error: unknown field"),
            ("off", "open", "rule `off` error: it is switched off"),
            ("shadow_written", "opn", "unknown event type `opn`"),
        ] {
            let Err(error) = evaluate(&rules(), id, &event(kind, json!({}))) else {
                panic!("{id}");
            };
            assert!(error.to_string().starts_with(expected), "{error}");
        }
    }

    #[test]
    fn the_report_has_the_event_as_given() {
        let event = event("exec", json!({"exec.file.path": "/bin/ls"}));
        let mut report = Report {
            succeeded: true,
            approvers: BTreeMap::new(),
            event: &event,
            error: None,
            debug: None,
        };
        let expected =
            "{\n    \"Succeeded\": true,\n    \"Approvers\": {},\n    \"Event\": {\n        \
                        \"Type\": \"exec\",\n        \"Values\": {\n            \
                        \"exec.file.path\": \"/bin/ls\"\n        }\n    }\n}";
        assert_eq!(pretty(&report), expected);
        report.error = Some("why".to_owned());
        assert!(pretty(&report).ends_with(",\n    \"Error\": \"why\"\n}"));
    }

    #[test]
    fn event_files_have_a_type_and_values() {
        let directory = std::env::temp_dir();
        let path = directory.join(format!("policy-eval-{}.json", std::process::id()));
        for (text, expected) in [
            ("{\"Type\": \"open\"}", Ok("open")),
            (
                "{\"Type\": \"open\", \"Value\": {}}",
                Err("unknown field `Value`"),
            ),
            ("{\"Values\": {}}", Err("missing field `Type`")),
            ("[", Err("is not an event")),
            (&" ".repeat(MAX_FILE + 1), Err("more than 1 MiB")),
        ] {
            std::fs::write(&path, text).unwrap();
            match (read_event(&path), expected) {
                (Ok(event), Ok(kind)) => assert_eq!(event.kind, kind),
                (Err(error), Err(expected)) => {
                    assert!(error.to_string().contains(expected), "{error}");
                }
                (found, _) => panic!("{found:?}"),
            }
        }
        std::fs::remove_file(&path).unwrap();
        let error = read_event(&path).unwrap_err().to_string();
        assert!(error.contains("cannot be read"), "{error}");
    }
}
