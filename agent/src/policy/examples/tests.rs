use super::*;
use crate::event::sample::Catalog;
use crate::event::types::RULE_TYPES;
use crate::event::{Fields, Sample};
use crate::policy::{Host, Options, Source};

const POLICY: &str = "\
rules:
  - id: shadow_read
    expression: open.file.path == \"/etc/shadow\" && process.file.name != \"sshd\"
  - id: etc_written
    expression: open.file.path =~ ~\"/etc/**\" && open.flags & (O_WRONLY|O_RDWR) > 0
  - id: shell
    expression: exec.file.name in [\"sh\", \"bash\"]
";

fn outcomes(tests: &str) -> Vec<Outcome> {
    outcomes_of(POLICY, tests)
}

fn outcomes_of(policy: &str, tests: &str) -> Vec<Outcome> {
    let source = Source {
        name: "x.policy".to_owned(),
        kind: "file",
        text: policy.as_bytes().to_vec(),
    };
    let options = Options {
        host: Host::default(),
        events: RULE_TYPES.to_vec(),
        ..Options::default()
    };
    let rules = RuleSet::load(&[source], &options, &Fields);
    assert!(rules.report().problems().is_empty());
    let catalog = Catalog::new(&Fields);
    let examples = Examples::read(tests).unwrap();
    let around = Surroundings {
        make: &|event| match Sample::new(&catalog, &event.kind, &event.values) {
            Ok(sample) => Ok(Box::new(sample)),
            Err(error) => Err(error.to_string()),
        },
        scheme: &Fields,
    };
    run(&rules, &examples, &around)
}

fn shown(outcome: &Outcome) -> String {
    let mut text = outcome.name.clone();
    for failure in &outcome.failures {
        let step = failure.step.map(|step| format!("{step}: "));
        text += &format!("; {}{}", step.unwrap_or_default(), failure.difference);
    }
    text
}

#[test]
fn every_test_is_judged() {
    let found = outcomes(
        "tests:
  - name: good
    event: {type: open, values: {open.file.path: /etc/shadow, open.flags: O_RDONLY}}
    expect: [shadow_read]
  - name: all that match are to be named
    event: {type: open, values: {open.file.path: /etc/shadow, open.flags: O_RDWR}}
    expect: etc_written
  - name: none
    event: {type: exec, values: {exec.file.path: /bin/ls}}
    expect: []
  - name: wrong
    event: {type: open, values: {open.file.path: /etc/x}}
    expect: [shadow_read, etc_writen]
  - name: no such field
    event: {type: open, values: {open.file.pth: /etc/x}}
    expect: []
  - name: steps
    steps:
      - event: {type: exec, values: {exec.file.path: /bin/sh}}
        expect: [shell]
      - after: 10m
        event: {type: exec, values: {exec.file.path: /bin/sh}}
        expect: [shadow_read]
      - event: {type: exec}
        expect: []
",
    );
    let expected = [
        (2, "good"),
        (5, "all that match are to be named; + shadow_read"),
        (8, "none"),
        (
            11,
            "wrong; - shadow_read; no rule has the id `etc_writen`, did you mean `etc_written`?",
        ),
        (
            14,
            "no such field; unknown field `open.file.pth`, did you mean `open.file.path`?",
        ),
        (17, "steps; 2: - shadow_read; 2: + shell"),
    ];
    assert_eq!(found.len(), expected.len());
    for (outcome, (line, text)) in found.iter().zip(expected) {
        assert_eq!(
            (outcome.line, shown(outcome)),
            (Some(line), text.to_owned())
        );
    }
}

/// What a script of events shows of the life of variables.
#[test]
fn variables_are_set_inherited_ended_and_released() {
    let policy = "\
rules:
  - id: marks
    expression: open.file.name == \"mark\"
    actions:
      - set: {name: seen, field: open.file.name, scope: process, append: true, inherited: true, ttl: 10m}
      - set: {name: own, value: true, scope: process}
      - set: {name: place, field: container.id, scope: cgroup}
        filter: container.id != \"\"
  - id: asks_seen
    expression: open.file.name == \"ask\" && \"mark\" in ${process.seen}
  - id: asks_own
    expression: open.file.name == \"ask\" && ${process.own}
  - id: asks_place
    expression: open.file.name == \"ask\" && ${cgroup.place} == \"c1\"
  - id: ends
    expression: exit.code == 0
";
    let event = |kind: &str, file: &str, pid: u32, more: &str| {
        let file = match file {
            "" => String::new(),
            file => format!(", {kind}.file.path: /x/{file}"),
        };
        let ids = "cgroup.id: /g, container.id: c1";
        format!("event: {{type: {kind}, values: {{process.pid: {pid}, {ids}{file}{more}}}}}")
    };
    let steps = [
        (event("open", "ask", 10, ""), ""),
        (event("open", "mark", 10, ""), "marks"),
        (
            event("open", "ask", 10, ""),
            "asks_seen, asks_own, asks_place",
        ),
        (
            event("open", "ask", 11, ", process.ancestors.pid: [10]"),
            "asks_seen, asks_place",
        ),
        (
            event("open", "ask", 12, ", process.ancestors.pid: [1]"),
            "asks_place",
        ),
        (event("exit", "", 10, ", exit.code: 0"), "ends"),
        (event("open", "ask", 10, ""), "asks_place"),
        (
            event("open", "ask", 11, ", process.ancestors.pid: [10]"),
            "asks_seen, asks_place",
        ),
    ];
    let mut tests = "tests:\n  - name: life\n    steps:\n".to_owned();
    for (event, expect) in &steps {
        tests += &format!("      - {{{event}, expect: [{expect}]}}\n");
    }
    let last = event("open", "ask", 11, ", process.ancestors.pid: [10]");
    tests += &format!("      - {{after: 10m, {last}, expect: [asks_place]}}\n");
    let found: Vec<String> = outcomes_of(policy, &tests).iter().map(shown).collect();
    assert_eq!(found, ["life"]);
}

#[test]
fn files_are_read_with_their_steps_and_policies() {
    let text = "policies: [a.policy, b.policy]\ntests: [{name: x, steps: [\
                {after: 1h30m, event: {type: exec}, expect: []}]}]\n";
    let examples = Examples::read(text).unwrap();
    assert_eq!(
        examples.policies,
        Some(vec!["a.policy".to_owned(), "b.policy".to_owned()])
    );
    let step = &examples.tests[0].steps[0];
    assert_eq!(step.after, Duration::from_secs(5400));
    assert_eq!(step.event.kind, "exec");
    assert_eq!(examples.tests[0].line, None);
}

fn refuses(rows: &[(String, &str, Option<usize>)]) {
    for (text, expected, line) in rows {
        let error = Examples::read(text).unwrap_err();
        assert!(error.to_string().contains(expected), "{text}: {error}");
        assert_eq!(error.line(), *line, "{text}");
    }
}

#[test]
fn bad_files_are_refused_in_words() {
    let event = "event: {type: exec}";
    refuses(&[
        (String::new(), "the file is empty", None),
        ("[".to_owned(), "the YAML cannot be read", Some(2)),
        ("5".to_owned(), "`the file` must be a mapping", None),
        ("tests: []".to_owned(), "the file has no `tests`", None),
        ("tests: 5".to_owned(), "`tests` must be a list", None),
        (
            "test: []".to_owned(),
            "the key `test` is not known, did you mean `tests`?",
            None,
        ),
        (
            "policies: {}\ntests: []".to_owned(),
            "`policies` must be",
            None,
        ),
        (
            format!("tests:\n  - {{name: a, {event}, expct: []}}"),
            "test 1: the key `expct` is not known, did you mean `expect`?",
            Some(2),
        ),
        (
            format!("tests:\n  - {{name: a, {event}, expect: []}}\n  - {event}\n    expect: []"),
            "test 2: the key `name` is missing",
            Some(3),
        ),
    ]);
}

#[test]
fn bad_tests_are_refused_in_words() {
    let event = "event: {type: exec}";
    refuses(&[
        (
            format!("tests:\n- {{name: a, {event}}}"),
            "the key `expect` is missing",
            Some(2),
        ),
        (
            format!("tests:\n- {{name: a, {event}, expect: {{}}}}"),
            "`expect` must be",
            Some(2),
        ),
        (
            format!("tests:\n- {{name: a, {event}, expect: [], steps: []}}"),
            "either `steps` or",
            Some(2),
        ),
        (
            "tests:\n- {name: a, steps: []}".to_owned(),
            "the key `steps` is missing",
            Some(2),
        ),
        (
            format!("tests:\n- {{name: a, steps: [{{{event}, expect: [], after: soon}}]}}"),
            "`after` must be a duration",
            Some(2),
        ),
        (
            format!("tests:\n- {{name: a, after: 1s, {event}, expect: []}}"),
            "the key `after` is not known",
            Some(2),
        ),
        (
            "tests:\n- {name: a, event: {type: exec, value: {}}, expect: []}".to_owned(),
            "did you mean `values`?",
            Some(2),
        ),
        (
            "tests:\n- {name: a, event: {type: exec, values: []}, expect: []}".to_owned(),
            "`values` must be",
            Some(2),
        ),
        (
            "tests:\n- {name: a, event: {}, expect: []}".to_owned(),
            "the key `type` is missing",
            Some(2),
        ),
        (
            format!("tests:\n- {{name: \"a\\nb\", {event}, expect: []}}"),
            "`name` must be one line",
            Some(2),
        ),
    ]);
}
