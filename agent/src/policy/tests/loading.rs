//! What becomes of good, bad and damaged policies.

use super::options;
use crate::event::testing::file_event;
use crate::event::{EventType, Fields};
use crate::policy::{PolicyStatus, RuleSet, Source, Status};

fn load(policies: &[(&str, &str)]) -> RuleSet {
    let source = |(name, text): &(&str, &str)| Source {
        name: (*name).to_owned(),
        kind: "file",
        text: text.as_bytes().to_vec(),
    };
    let sources: Vec<Source> = policies.iter().map(source).collect();
    RuleSet::load(&sources, &options(), &Fields)
}

fn problems(policy: &str) -> Vec<String> {
    let set = load(&[("x.policy", policy)]);
    set.report()
        .problems()
        .iter()
        .map(ToString::to_string)
        .collect()
}

fn rule(id: &str, rest: &str) -> String {
    format!("- id: {id}\n  {rest}\n")
}

const OPEN: &str = "expression: open.file.path == \"/a\"";

#[test]
fn a_broken_rule_is_named_with_its_place_and_the_others_run() {
    let text = "version: 1.2.3\nrules:\n  - id: good\n    expression: open.file.path == \"/a\"\n\
                \x20 - id: bad\n    description: x\n    expression: >-\n      open.file.path == \"/a\"\n\
                \x20     && open.file.pth == \"b\"\n  - id: worse\n    expression: open.file.path == ==\n";
    let set = load(&[("x.policy", text)]);
    let found: Vec<String> = set
        .report()
        .problems()
        .iter()
        .map(ToString::to_string)
        .collect();
    assert_eq!(found.len(), 2, "{found:?}");
    assert!(
        found[0].starts_with("x.policy:9:10: rule `bad` error: "),
        "{}",
        found[0]
    );
    assert!(
        found[0].contains("did you mean `open.file.path`?"),
        "{}",
        found[0]
    );
    assert!(
        found[1].starts_with("x.policy:11:35: rule `worse` error: syntax error `"),
        "{}",
        found[1]
    );
    let ids: Vec<&str> = set
        .rules("open")
        .iter()
        .map(|rule| rule.id.as_str())
        .collect();
    assert_eq!(ids, ["good"]);
    assert_eq!(set.event_types(), ["open"]);
    let policy = &set.report().policies[0];
    assert_eq!(policy.status, PolicyStatus::PartiallyLoaded);
    assert_eq!((policy.loaded(), policy.failed()), (1, 2));
    assert_eq!(policy.version, "1.2.3");
    assert_eq!(policy.rules[2].status, Status::SyntaxError);
    assert!(set.report().has_errors());
}

#[test]
fn every_way_a_rule_can_fail_has_its_words() {
    let table = [
        (
            "- description: x\n",
            "x.policy:2:1: rule `` error: no rule ID",
        ),
        (
            &rule("a-b", OPEN),
            "x.policy:2:1: rule `a-b` error: rule ID pattern error",
        ),
        (
            &rule("a", "description: d"),
            "x.policy:2:1: rule `a` error: no rule expression",
        ),
        (
            &rule("a", "tags: 5"),
            "x.policy:2:1: rule `a` error: `tags` must be",
        ),
        (
            &rule("a", "expression: process.pid == 1"),
            "no event in the rule definition",
        ),
        (
            &rule("a", "expression: unlink.file.path == \"/a\""),
            "event type not enabled",
        ),
        (
            &rule("a", "expression: bpf.cmd == 1"),
            "event type not enabled",
        ),
        (
            &rule(
                "a",
                "expression: network.size > 1 || fim.write.file.path == \"a\"",
            ),
            "multiple event categories in the same rule expansion",
        ),
        (
            &rule("a", "expression: open.file.path in ${list}"),
            "x.policy:3:33: rule `a` error: ",
        ),
        (
            &rule("a", "filters: [os ==]\n  expression: x"),
            "rule `a` error: filter `os ==` error: ",
        ),
        (
            &rule("a", "agent_version: newest"),
            "rule `a` error: `newest` is no version",
        ),
        (
            &(rule("a", OPEN) + &rule("a", OPEN)),
            "x.policy:4:1: rule `a` error: multiple definition",
        ),
    ];
    for (rules, expected) in table {
        let found = problems(&format!("rules:\n{rules}"));
        assert_eq!(found.len(), 1, "{rules}: {found:?}");
        assert!(found[0].contains(expected), "{rules}: {}", found[0]);
    }
}

#[test]
fn every_way_a_macro_can_fail_has_its_words() {
    let table = [
        (
            "- id: m\n  expression: a ==",
            "x.policy:2:1",
            "macro `m` definition error: syntax error `",
        ),
        (
            "- id: m",
            "x.policy:2:1",
            "macro `m` definition error: a macro needs",
        ),
        (
            "- expression: x",
            "x.policy:2:1",
            "no ID defined for macro with expression `x`",
        ),
        (
            "- id: m\n  values: {}",
            "x.policy:2:1",
            "macro `m` definition error: `values` must be",
        ),
        (
            "- {id: m, values: [a]}\n- {id: m, values: [a]}",
            "x.policy:3:1",
            "multiple definition",
        ),
        (
            "- {id: m, values: [a]}\n- {id: m, expression: '[a]', combine: merge}",
            "x.policy:3:1",
            "macro `m` definition error: cannot merge expression",
        ),
    ];
    for (macros, place, message) in table {
        let found = problems(&format!("macros:\n{macros}\n"));
        assert_eq!(found.len(), 1, "{macros}: {found:?}");
        assert!(found[0].starts_with(&place[..9]), "{macros}: {}", found[0]);
        assert!(found[0].contains(message), "{macros}: {}", found[0]);
    }
}

#[test]
fn files_that_are_no_policy_are_named() {
    let table = [
        (
            "",
            "error loading policy `x.policy` from source `file`: the policy is empty",
        ),
        ("rules: []", "the policy is empty"),
        ("\0\x01", "not text"),
        ("[1, 2]", "must be a mapping"),
        ("rules:\n  - id: [", "x.policy:"),
    ];
    for (text, expected) in table {
        let found = problems(text);
        assert_eq!(found.len(), 1, "{text}");
        assert!(found[0].contains(expected), "{text:?}: {}", found[0]);
    }
    let report = load(&[("x.policy", "")]);
    assert_eq!(report.report().policies[0].status, PolicyStatus::Error);
}

#[test]
fn excluded_rules_are_no_errors_and_leave_room_for_their_twins() {
    let text = format!(
        "rules:\n{}{}{}",
        rule(
            "a",
            "filters: ['os == \"windows\"']\n  expression: nonsense =="
        ),
        rule("a", "agent_version: '< 7.0'\n  expression: nonsense =="),
        rule("a", &format!("filters: ['os == \"linux\"']\n  {OPEN}")),
    );
    let set = load(&[("x.policy", &text)]);
    assert_eq!(set.rules("open").len(), 1);
    assert!(!set.report().has_errors());
    let statuses: Vec<Status> = set.report().policies[0]
        .rules
        .iter()
        .map(|one| one.status)
        .collect();
    let expected = [
        Status::AgentFilterError,
        Status::AgentVersionError,
        Status::Loaded,
    ];
    assert_eq!(statuses, expected);
    assert_eq!(set.report().policies[0].status, PolicyStatus::Loaded);
}

#[test]
fn later_policies_override_and_switch_off() {
    let first = format!("version: 1\nrules:\n{}{}", rule("a", OPEN), rule("b", OPEN));
    let later = format!(
        "version: 2\nrules:\n{}{}",
        rule(
            "a",
            "combine: override\n  expression: chmod.file.path == \"/b\""
        ),
        rule("b", "disabled: true"),
    );
    let set = load(&[("default.policy", &first), ("x.policy", &later)]);
    assert!(set.rules("open").is_empty());
    let rule = &set.rules("chmod")[0];
    assert_eq!(
        (rule.id.as_str(), rule.policy_name.as_str()),
        ("a", "default.policy")
    );
    let report = set.report();
    assert!(!report.has_errors());
    assert_eq!(report.policies[0].rules[0].modified_by, ["x.policy"]);
    assert_eq!(report.policies[0].disabled, ["b"]);
    assert_eq!(report.policies[1].loaded(), 1);
}

#[test]
fn an_error_in_an_override_is_placed_where_the_override_stands() {
    let first = format!("rules:\n{}", rule("a", OPEN));
    let later = format!(
        "rules:\n{}",
        rule("a", "combine: override\n  expression: open.no == 1")
    );
    let set = load(&[("default.policy", &first), ("x.policy", &later)]);
    let found = set.report().problems();
    assert_eq!(found.len(), 2);
    assert!(
        found[0].to_string().starts_with("x.policy:4:15: rule `a`"),
        "{}",
        found[0]
    );
}

#[test]
fn macros_of_all_policies_serve_all_rules() {
    let first = "rules:\n- id: a\n  expression: open.file.path in paths\n\
                 - id: b\n  expression: unlinks && process.pid > 1\n\
                 macros:\n- id: paths\n  values: [/a]\n- id: unlinks\n  expression: unlink.retval == 0\n";
    let later = "macros:\n- id: paths\n  combine: merge\n  values: ['~\"/b/*\"']\n";
    let set = load(&[("x.policy", first), ("y.policy", later)]);
    assert_eq!(
        set.report().policies[0].rules[1].status,
        Status::EventTypeDisabled
    );
    let matches = |path: &str| {
        let event = file_event(EventType::Open, path, [0; 4]);
        set.rules("open")[0].compiled.matches(&event)
    };
    assert!(matches("/a") && matches("/b/c") && !matches("/c"));
}

#[test]
fn the_report_of_policy_check() {
    let text = format!(
        "rules:\n{}{}",
        rule("a", OPEN),
        rule("b", "expression: open.no == 1")
    );
    let json = load(&[("x.policy", &text)])
        .report()
        .check_json(&[], crate::event::fields::name_of);
    let start = "{\"policies\":[{\"name\":\"x.policy\",\"status\":\"partially_loaded\",\"rules\":[\
                 {\"id\":\"a\",\"status\":\"loaded\",\"message\":\"\"},\
                 {\"id\":\"b\",\"status\":\"error\",\"message\":\"x.policy:5:15: rule `b` error: ";
    assert!(json.starts_with(start), "{json}");
    assert!(
        json.ends_with("}]}],\"approvers\":{},\"accept_mode_rules\":[]}"),
        "{json}"
    );
}

#[test]
fn unknown_keys_are_warned_about() {
    let rest = format!("{OPEN}\n  color: red");
    let set = load(&[("x.policy", &format!("rules:\n{}", rule("a", &rest)))]);
    assert_eq!(set.rules("open").len(), 1);
    let warnings = &set.report().policies[0].warnings;
    assert_eq!(warnings.len(), 1, "{warnings:?}");
}

/// Texts cut and shuffled at random: whatever comes in, a report comes out.
#[test]
fn damaged_policies_never_panic() {
    let whole = String::from_utf8(Source::embedded().text).unwrap();
    let mut state = 0x2545_f491_4f6c_dd1d_u64;
    let mut random = |below: usize| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        usize::try_from(state).unwrap() % below
    };
    let bytes = whole.as_bytes();
    for _ in 0..60 {
        let start = random(bytes.len());
        let mut text = bytes[start..(start + random(6000)).min(bytes.len())].to_vec();
        for _ in 0..random(20) {
            if let Some(byte) = text
                .len()
                .checked_sub(1)
                .map(|last| &mut text[random(last + 1)])
            {
                *byte = b"\n -:#\"'[{&*|>\0\xff"[random(15)];
            }
        }
        let mut damaged = b"rules:\n  - id: x\n".to_vec();
        damaged.extend(text);
        let source = Source {
            name: "x.policy".to_owned(),
            kind: "file",
            text: damaged,
        };
        RuleSet::load(&[source], &options(), &Fields);
    }
}
