//! Actions, variables and the virtual event within whole loads.

use super::options;
use crate::event::testing::file_event;
use crate::event::{EventType, Fields};
use crate::policy::action::ActionKind;
use crate::policy::{Options, RuleSet, Source};

fn load_with(policy: &str, options: &Options) -> RuleSet {
    let source = Source {
        name: "x.policy".to_owned(),
        kind: "file",
        text: policy.as_bytes().to_vec(),
    };
    RuleSet::load(&[source], options, &Fields)
}

fn problems(policy: &str) -> Vec<String> {
    let set = load_with(policy, &options());
    let problems = set.report().problems();
    problems.iter().map(ToString::to_string).collect()
}

#[test]
fn rules_may_name_variables_that_later_rules_set() {
    let policy = "rules:\n\
        - id: asks\n  expression: open.file.path in ${process.opened} && ${count} > 2\n\
        - id: sets\n  expression: open.file.path != \"\"\n  actions:\n\
        \x20 - set: {name: opened, field: open.file.path, scope: process, append: true, ttl: 1h}\n\
        \x20 - set: {name: count, expression: '${total} + 1'}\n\
        \x20   filter: process.uid == 0\n\
        \x20 - set: {name: total, expression: '${count} + 1', default_value: 0}\n\
        \x20 - hash: {}\n\
        \x20 - log: {level: info}\n\
        \x20 - kill: {signal: SIGKILL, scope: cgroup}\n";
    assert_eq!(problems(policy), [""; 0]);
    let set = load_with(policy, &options());
    let rule = &set.rules("open")[1];
    assert_eq!(rule.actions.len(), 6);
    assert!(rule.actions[1].filter.is_some());
    let ActionKind::Kill(kill) = &rule.actions[5].kind else {
        panic!();
    };
    assert_eq!(kill.signal, libc::SIGKILL);
    assert_eq!(set.declarations().all().len(), 3);
}

#[test]
fn errors_of_actions_are_errors_of_their_rule() {
    let rule = |action: &str| {
        format!(
            "rules:\n- id: a\n  expression: open.file.path == \"/a\"\n  actions:\n  - {action}\n"
        )
    };
    for (action, message) in [
        ("set: {value: 1}", "variable name is empty"),
        ("set: {name: process.pid, value: 1}", "variable 'process.pid' is the agent's own"),
        ("set: {name: a, expression: '${a} + 1'}", "failed to infer type for variable 'a', please set 'default_value'"),
        ("set: {name: a, field: exec.file.path}", "field `exec.file.path` not available for event type `open`, available for `[exec]`"),
        ("set: {name: a, field: open.file.pth}", "value `open.file.pth` error: unknown field `open.file.pth`, did you mean `open.file.path`?"),
        ("set: {name: a, value: 1, scope: process, scope_field: open.file.path}", "scope_field `open.file.path` error: it must be a process id"),
        ("{set: {name: a, value: 1}, filter: process.pid ==}", "filter `process.pid ==` error: "),
        ("kill: {signal: SIGNOTHING}", "unsupported signal 'SIGNOTHING'"),
        ("kill: {signal: O_CREAT}", "unsupported signal 'O_CREAT'"),
        ("hash: {field: exec.file}", "field 'exec.file' is not compatible with 'open' rules"),
        ("5", "`an action` must be a mapping"),
    ] {
        let found = problems(&rule(action));
        assert_eq!(found.len(), 1, "{action}: {found:?}");
        assert!(found[0].contains("rule `a` error: ") && found[0].contains(message), "{}", found[0]);
    }
    let chmod = rule("hash: {}").replace("open.file.path", "chmod.file.path");
    assert!(problems(&chmod)[0].contains("`field` attribute is mandatory for 'chmod' rules"));
}

#[test]
fn conflicting_types_are_told_of_the_later_rule() {
    let policy = "rules:\n\
        - id: a\n  expression: open.file.path == \"/a\"\n  actions: [{set: {name: v, value: 1}}]\n\
        - id: b\n  expression: open.file.path == \"/a\"\n  actions: [{set: {name: v, value: text}}]\n";
    let found = problems(policy);
    assert_eq!(found.len(), 1);
    assert!(
        found[0].contains("rule `b` error: conflicting types for variable 'v'"),
        "{}",
        found[0]
    );
}

#[test]
fn kill_is_refused_where_rules_may_not_act() {
    let policy = "rules:\n- id: a\n  expression: open.file.path == \"/a\"\n  actions: [{kill: {signal: SIGTERM}}]\n";
    let disabled = Options {
        enforcement_disabled: true,
        ..options()
    };
    let elsewhere = Options {
        enforcement_sources: vec!["remote-config".to_owned()],
        ..options()
    };
    for (options, message) in [
        (disabled, "'kill' action is disabled globally"),
        (
            elsewhere,
            "'kill' action is not allowed for rules from source `file`",
        ),
    ] {
        let set = load_with(policy, &options);
        let found = set.report().problems();
        assert!(found[0].message.contains(message), "{}", found[0]);
    }
}

#[test]
fn actions_without_effect_are_warned_of() {
    let policy = "rules:\n- id: a\n  expression: open.file.path == \"/a\"\n  actions:\n\
        \x20 - coredump: {process: true}\n";
    let set = load_with(policy, &options());
    assert!(set.report().problems().is_empty());
    let warnings = set.report().policies[0].warnings.join("\n");
    assert!(
        warnings.contains("`coredump` is not supported"),
        "{warnings}"
    );
}

#[test]
fn fim_write_stands_for_every_way_to_write() {
    let policy = "macros:\n- id: secret\n  expression: fim.write.file.name == \"shadow\"\n\
        rules:\n- id: a\n  expression: (secret || fim.write.file.path =~ ~\"/etc/*\") && process.uid == 0\n";
    assert_eq!(problems(policy), [""; 0]);
    let set = load_with(policy, &options());
    for event in ["open", "chmod", "chown"] {
        assert_eq!(set.rules(event).len(), 1, "{event}");
    }
    assert!(set.rules("exec").is_empty());
    let write = u32::try_from(libc::O_WRONLY).unwrap();
    for (kind, path, flags, expected) in [
        (EventType::Open, "/etc/passwd", write, true),
        (EventType::Open, "/etc/passwd", 0, false),
        (EventType::Open, "/x/shadow", write, true),
        (EventType::Chmod, "/etc/passwd", 0, true),
        (EventType::Chown, "/tmp/x", 0, false),
    ] {
        let event = file_event(kind, path, [flags, 0, 0, 0]);
        let matched = set.rules(kind.name())[0].compiled.matches(&event);
        assert_eq!(matched, expected, "{kind:?} {path} {flags}");
    }
}

#[test]
fn fim_write_and_one_event_do_not_mix() {
    let policy = "rules:\n- id: a\n  expression: fim.write.file.path == \"/a\" && open.flags > 0\n";
    let found = problems(policy);
    assert!(
        found[0].contains("multiple event categories in the same rule expansion"),
        "{found:?}"
    );
    let typo = "rules:\n- id: a\n  expression: fim.write.file.pth == \"/a\"\n";
    assert!(
        problems(typo)[0].contains("did you mean `open.file.path`"),
        "{:?}",
        problems(typo)
    );
}

#[test]
fn limiter_tokens_must_be_fields_of_the_event() {
    let rule = |token: &str| {
        format!(
            "rules:\n- id: a\n  expression: open.file.path == \"/a\"\n  limiter_token: [{token}]\n"
        )
    };
    assert_eq!(problems(&rule("process.pid, open.file.path")), [""; 0]);
    for token in ["exec.file.path", "nope"] {
        assert!(problems(&rule(token))[0].contains("is no field of the rule's event type"));
    }
}

#[test]
fn the_report_shows_actions_as_written() {
    let policy = "rules:\n- id: a\n  expression: open.file.path == \"/a\"\n  actions:\n\
        \x20 - set: {name: v, value: [1, 2]}\n    filter: process.pid > 1\n";
    let report = load_with(policy, &options())
        .report()
        .policies_json(1 << 20);
    let expected = r#""actions":[{"filter":"process.pid > 1","set":{"name":"v","value":[1,2]}}]"#;
    assert!(report.contains(expected), "{report}");
}
