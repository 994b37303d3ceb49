//! What the embedded policy matches and what it leaves alone.
//!
//! The cases for and against each rule are in `tests/policies/default_policy.yaml`, which
//! `runtime policy test` reads too; here they are judged as well, with what holds for all rules.

use std::collections::BTreeSet;

use serde_json::{json, Map, Value};

use super::options;
use crate::event::sample::{Catalog, Sample};
use crate::event::testing::{event, file_event, process};
use crate::event::{EventType, Fields};
use crate::policy::{RuleSet, Source};
use crate::secl::Record;

const CASES: &str = include_str!("../../../../tests/policies/default_policy.yaml");

fn default_policy() -> RuleSet {
    RuleSet::load(&[Source::embedded()], &options(), &Fields)
}

fn matching(set: &RuleSet, event: &str, record: &dyn Record) -> Vec<String> {
    let rules = set.rules(event).iter();
    rules
        .filter(|rule| rule.compiled.matches(record))
        .map(|rule| rule.id.clone())
        .collect()
}

fn matching_values(
    set: &RuleSet,
    catalog: &Catalog<'_>,
    event: &str,
    values: &Value,
) -> Vec<String> {
    let sample = Sample::new(catalog, event, values.as_object().unwrap());
    matching(set, event, &sample.unwrap())
}

#[test]
fn the_default_policy_loads_whole() {
    let set = default_policy();
    let problems: Vec<String> = set
        .report()
        .problems()
        .iter()
        .map(ToString::to_string)
        .collect();
    assert!(problems.is_empty(), "{}", problems.join("\n"));
    let warnings = &set.report().policies[0].warnings;
    assert!(warnings.is_empty(), "{warnings:?}");
    assert_eq!(
        set.event_types(),
        ["chmod", "chown", "exec", "exit", "open"]
    );
    assert!(set.all().count() >= 60);
}

#[test]
fn every_rule_says_what_it_is_about() {
    let tactic = regex_lite::Regex::new("^TA00[0-9]{2}-[a-z-]+$").unwrap();
    let technique = regex_lite::Regex::new(r"^T1[0-9]{3}(\.[0-9]{3})?-[a-z0-9-]+$").unwrap();
    for rule in default_policy().all() {
        assert!(!rule.description.is_empty(), "{}", rule.id);
        assert!(tactic.is_match(&rule.tags["tactic"]), "{}", rule.id);
        assert!(technique.is_match(&rule.tags["technique"]), "{}", rule.id);
    }
}

/// The parts of an expression between an operator that stands outside of brackets.
fn parts<'e>(expression: &'e str, operator: &str) -> Vec<&'e str> {
    let (mut depth, mut start, mut found) = (0, 0, Vec::new());
    for (at, letter) in expression.char_indices() {
        match letter {
            '(' | '[' => depth += 1,
            ')' | ']' => depth -= 1,
            _ if depth == 0 && expression[at..].starts_with(operator) => {
                found.push(expression[start..at].trim());
                start = at + operator.len();
            }
            _ => {}
        }
    }
    found.push(expression[start..].trim());
    found
}

/// Whether the kernel can sort out by this condition which opens to report.
fn narrows(condition: &str) -> bool {
    let is_name = |condition: &str| {
        let names = ["open.file.path", "open.file.name"];
        let positive = ["in [", "== \""];
        let field = names.iter().find_map(|name| condition.strip_prefix(name));
        let named = field.is_some_and(|rest| positive.iter().any(|p| rest[1..].starts_with(p)));
        let mut literals = condition.split('"').skip(1).step_by(2);
        named && literals.all(|path| !path.rsplit('/').next().unwrap().contains('*'))
    };
    let flags = condition.starts_with("open.flags & ") && condition.ends_with("> 0");
    let group = condition
        .strip_prefix('(')
        .and_then(|rest| rest.strip_suffix(')'));
    condition == "opened_for_writing"
        || flags
        || parts(group.unwrap_or(condition), "||")
            .into_iter()
            .all(is_name)
}

#[test]
fn what_narrows_opens() {
    for (condition, expected) in [
        ("opened_for_writing", true),
        ("open.flags & O_TRUNC > 0", true),
        ("open.flags & O_TRUNC == 0", false),
        (
            r#"open.file.path in ["/etc/shadow", ~"/home/*/.ssh/id_rsa"]"#,
            true,
        ),
        (
            r#"open.file.path in ["/etc/shadow", ~"/home/*/.ssh/id_*"]"#,
            false,
        ),
        (r#"open.file.path not in ["/etc/shadow"]"#, false),
        (
            r#"(open.file.path == "/a" || open.file.name in ["b"])"#,
            true,
        ),
        (
            r#"(open.file.path == "/a" || process.file.name == "b")"#,
            false,
        ),
    ] {
        assert_eq!(narrows(condition), expected, "{condition}");
    }
}

#[test]
fn no_rule_makes_the_kernel_report_every_open() {
    let set = default_policy();
    for rule in set.rules("open") {
        let words: Vec<&str> = rule.expression_text.split_whitespace().collect();
        let expression = words.join(" ");
        let bound = parts(&expression, "&&").into_iter().any(narrows);
        assert!(bound, "{}: {expression}", rule.id);
    }
}

/// A case of the file: its name, event type and values, and the rules that match.
fn case(test: &Value) -> (&str, &str, &Value, Vec<&str>) {
    let event = &test["event"];
    let expected = test["expect"].as_array().unwrap();
    (
        test["name"].as_str().unwrap(),
        event["type"].as_str().unwrap(),
        &event["values"],
        expected.iter().map(|id| id.as_str().unwrap()).collect(),
    )
}

#[test]
fn cases_of_the_default_policy() {
    let (set, catalog) = (default_policy(), Catalog::new(&Fields));
    let file: Value = serde_yaml::from_str(CASES).unwrap();
    let (mut wrong, mut unseen) = (Vec::new(), BTreeSet::new());
    unseen.extend(set.all().map(|rule| rule.id.as_str()));
    for test in file["tests"].as_array().unwrap() {
        let (name, event, values, mut expected) = case(test);
        expected.sort_unstable();
        let mut found = matching_values(&set, &catalog, event, values);
        found.sort_unstable();
        if found != expected {
            wrong.push(format!("{name}: {found:?} instead of {expected:?}"));
        }
        unseen.retain(|id| !expected.contains(id));
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(unseen.is_empty(), "no case for {unseen:?}");
}

const INSTALLERS: &[&str] = &[
    "/usr/bin/dpkg",
    "/usr/bin/rpm",
    "/usr/bin/dnf-3",
    "/usr/bin/dnf5",
    "/sbin/apk",
];

const INSTALLED: &[&str] = &[
    "/bin/busybox",
    "/etc/apk/repositories",
    "/etc/apt/apt.conf.d/01x",
    "/etc/audit/rules.d/x.rules",
    "/etc/cron.d/x",
    "/etc/datadog-agent/system-probe.yaml",
    "/etc/init.d/x",
    "/etc/ld.so.conf.d/x.conf",
    "/etc/modprobe.d/x.conf",
    "/etc/pam.d/x",
    "/etc/profile.d/x.sh",
    "/etc/selinux/config",
    "/etc/ssh/sshd_config",
    "/etc/sudoers.d/x",
    "/etc/update-motd.d/x",
    "/etc/xdg/autostart/x.desktop",
    "/usr/bin/passwd",
    "/usr/bin/runc",
    "/usr/lib/modules/6.1.0/x.ko",
    "/usr/lib/python3/sitecustomize.py",
    "/usr/lib/systemd/system/x.service",
    "/usr/lib/systemd/system/x.timer",
    "/usr/lib/udev/rules.d/x.rules",
    "/usr/share/ca-certificates/x.crt",
];

/// An event on a file, by a package manager or by the script of a package.
fn installing(event: &str, path: &str, rest: &[(&str, Value)], who: (&str, &str)) -> Value {
    let (program, ancestor) = who;
    let mut values = Map::new();
    values.insert(format!("{event}.file.path"), json!(path));
    values.insert(format!("{event}.file.mode"), json!("S_IFREG|0755"));
    values.insert("process.file.path".to_owned(), json!(program));
    values.insert("process.ancestors.file.path".to_owned(), json!([ancestor]));
    for (name, value) in rest {
        values.insert(format!("{event}.{name}"), value.clone());
    }
    Value::Object(values)
}

#[test]
fn packages_are_installed_in_silence() {
    let (set, catalog) = (default_policy(), Catalog::new(&Fields));
    let mode = |mode: &str| ("file.destination.mode", json!(mode));
    let calls = [
        ("open", ("flags", json!("O_RDWR|O_CREAT|O_TRUNC"))),
        ("chmod", mode("04755")),
        ("chmod", mode("02755")),
        ("chown", ("file.destination.uid", json!(0))),
    ];
    for installer in INSTALLERS {
        for path in INSTALLED {
            for (event, argument) in &calls {
                let rest = std::slice::from_ref(argument);
                for who in [(*installer, "/usr/bin/bash"), ("/usr/bin/cp", *installer)] {
                    let values = installing(event, path, rest, who);
                    let found = matching_values(&set, &catalog, event, &values);
                    assert!(found.is_empty(), "{event} {path} by {who:?}: {found:?}");
                }
            }
        }
    }
}

#[test]
fn package_scripts_are_trusted_below_their_manager_only() {
    let set = default_policy();
    let mut event = file_event(EventType::Open, "/etc/shadow", [0; 4]);
    let dpkg = process(900, &["dpkg"], "/usr/bin/dpkg", None);
    let script = process(
        901,
        &["x.postinst"],
        "/var/lib/dpkg/info/x.postinst",
        Some(&dpkg),
    );
    event.process = process(902, &["grep"], "/usr/bin/grep", Some(&script));
    assert!(matching(&set, "open", &event).is_empty());
    event.process = process(902, &["grep"], "/usr/bin/grep", None);
    assert_eq!(matching(&set, "open", &event), ["shadow_file_accessed"]);
}

#[test]
fn observed_executions_are_matched() {
    let set = default_policy();
    let nginx = process(1000, &["nginx"], "/usr/sbin/nginx", None);
    let shell = process(1001, &["sh", "-c", "ls"], "/usr/bin/dash", Some(&nginx));
    let found = matching(&set, "exec", &event(EventType::Exec, shell));
    assert_eq!(found, ["shell_from_network_service"]);
}
