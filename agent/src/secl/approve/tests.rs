//! Approvers of single rules and of sets, and that nothing that could match is left out.

use super::{approve, Approval, Approvers, Capability, CapabilityKind, Report};
use crate::secl::testing::{Held, Numbers, TestRecord, TestScheme};
use crate::secl::types::{FieldId, Scheme};
use crate::secl::{compile, parse, Compiled, Macros};
use CapabilityKind::{Basename, Boolean, Flags, Range, Text, Value};

fn rule(text: &str) -> Compiled {
    compile(&parse(text).unwrap(), &Macros::new(), &TestScheme)
        .unwrap_or_else(|error| panic!("{text}: {error}"))
}

const CAPABLE: &[(&str, CapabilityKind)] = &[
    ("open.file.path", Basename),
    ("open.file.name", Basename),
    ("open.file.extension", Text),
    ("open.flags", Flags),
    ("open.retval", Range),
    ("open.file.in_upper_layer", Boolean),
    ("process.uid", Value),
    ("process.comm", Text),
    ("process.argv", Text),
    ("process.ancestors.pid", Value),
];

fn capability((name, kind): (&str, CapabilityKind)) -> Capability {
    let field = TestScheme.field(name).unwrap().id;
    Capability { field, kind }
}

fn name(field: FieldId) -> String {
    let mut names = CAPABLE.iter().map(|(name, _)| *name);
    names
        .find(|name| TestScheme.field(name).unwrap().id == field)
        .unwrap()
        .to_owned()
}

fn approval(rules: &[(&str, &Compiled)]) -> Approval {
    let capabilities: Vec<Capability> = CAPABLE.iter().copied().map(capability).collect();
    approve(rules.iter().copied(), &capabilities)
}

/// The report's JSON for one rule, without the event's name; "all" when every event is accepted.
fn derived(text: &str) -> String {
    let approval = approval(&[("rule", &rule(text))]);
    if matches!(approval, Approval::AcceptAll { .. }) {
        return "all".to_owned();
    }
    let json = serde_json::to_string(&Report::new([("open", &approval)], name)).unwrap();
    json.replace("{\"open\":", "").replace("}}", "}")
}

fn check(rows: &[(&str, &str)]) {
    for (text, expected) in rows {
        assert_eq!(derived(text), *expected, "{text}");
    }
}

#[test]
fn texts() {
    check(&[
        (
            "open.file.path == \"/etc/passwd\"",
            r#"{"open.file.path":["passwd"]}"#,
        ),
        (
            "open.file.path in [\"/a/x\", ~\"/*/y\", \"/b/x\"]",
            r#"{"open.file.path":["x","y"]}"#,
        ),
        ("open.file.path =~ \"/etc/*\"", "all"),
        ("open.file.path =~ ~\"/etc/**\"", "all"),
        ("open.file.path =~ ~\"**\"", "all"),
        ("open.file.path in [\"/a/x\", ~\"/etc/*\"]", "all"),
        ("open.file.path =~ \"/etc/*.conf\"", "all"),
        ("open.file.path == \"/\"", "all"),
        ("open.file.path == \"\"", "all"),
        ("open.file.path == \"/etc/\"", "all"),
        ("open.file.path =~ \"/*/\"", "all"),
        ("open.file.path in []", "{}"),
        ("open.file.path not in []", "all"),
        (
            "open.file.path allin [\"/a/x\"]",
            r#"{"open.file.path":["x"]}"#,
        ),
        ("open.file.path != \"/a/x\"", "all"),
        ("open.file.path not in [\"/a/x\"]", "all"),
        (
            "!(open.file.path not in [\"/a/x\"])",
            r#"{"open.file.path":["x"]}"#,
        ),
        ("open.file.name == \"x\"", r#"{"open.file.name":["x"]}"#),
        ("open.file.name =~ \"x*\"", "all"),
        ("open.file.name =~ r\"^x$\"", "all"),
        ("open.file.name == process.comm", "all"),
        ("open.file.name.length == 4", "all"),
        ("open.file.extension == \".sh\"", "all"),
        (
            "process.comm in [\"a/b\", \"c\"]",
            r#"{"process.comm":["a/b","c"]}"#,
        ),
        ("process.comm == \"\"", r#"{"process.comm":[""]}"#),
        ("process.comm in [\"a\", ~\"b*\"]", "all"),
        ("process.argv == \"a\"", "all"),
        ("process.ancestors.pid == 1", "all"),
        ("process.ancestors[A].pid == 1", "all"),
    ]);
}

#[test]
fn flags() {
    let mask = |mask: &str| format!("{{\"open.flags\":[\"{mask}\"]}}");
    let rows = [
        ("open.flags & O_CREAT > 0", mask("0x40")),
        ("open.flags & O_CREAT != 0", mask("0x40")),
        ("!(open.flags & O_CREAT == 0)", mask("0x40")),
        ("O_CREAT & open.flags > 0", mask("0x40")),
        ("open.flags & (O_CREAT | O_WRONLY) > 0", mask("0x41")),
        ("open.flags & O_CREAT | O_WRONLY > 0", mask("0x41")),
        ("open.flags & 3 == O_RDWR", mask("0x2")),
        ("open.flags & 3 == O_RDONLY", "all".to_owned()),
        ("open.flags & 3 in [O_WRONLY, O_RDWR]", mask("0x3")),
        ("open.flags & 3 in [O_RDONLY, O_RDWR]", "all".to_owned()),
        ("open.flags & 3 not in [O_RDONLY]", mask("0x3")),
        ("open.flags & 3 == 4", "{}".to_owned()),
        ("open.flags & O_RDONLY > 0", "{}".to_owned()),
        ("open.flags & O_CREAT == 0", "all".to_owned()),
        ("open.flags & O_CREAT >= 0", "all".to_owned()),
        ("open.flags & 3 < 2", "all".to_owned()),
        ("open.flags & 3 != 2", "all".to_owned()),
        ("open.flags == O_CREAT", mask("0x40")),
        ("open.flags == O_RDONLY", "all".to_owned()),
        ("open.flags > 0", mask("0xffffffffffffffff")),
        ("open.flags | O_CREAT > 0", "all".to_owned()),
        ("open.flags + 1 > 0", "all".to_owned()),
    ];
    for (text, expected) in rows {
        assert_eq!(derived(text), expected, "{text}");
    }
}

#[test]
fn numbers_and_booleans() {
    check(&[
        ("open.retval == -13", r#"{"open.retval":["-13"]}"#),
        ("open.retval < 0", r#"{"open.retval":["..-1"]}"#),
        ("0 > open.retval", r#"{"open.retval":["..-1"]}"#),
        ("open.retval != 0", r#"{"open.retval":["..-1","1.."]}"#),
        (
            "open.retval not in [1, 3]",
            r#"{"open.retval":["..0","2","4.."]}"#,
        ),
        (
            "open.retval in [1, 2, 5]",
            r#"{"open.retval":["1..2","5"]}"#,
        ),
        ("open.retval < 0 || open.retval > -3", "all"),
        ("open.retval <= 9223372036854775807", "all"),
        ("open.retval & 1 == 1", "all"),
        ("process.uid == 0", r#"{"process.uid":["0"]}"#),
        ("process.uid in [1, 2]", r#"{"process.uid":["1","2"]}"#),
        ("process.uid > 0", "all"),
        ("process.uid != 0", "all"),
        (
            "open.file.in_upper_layer",
            r#"{"open.file.in_upper_layer":["true"]}"#,
        ),
        (
            "!open.file.in_upper_layer",
            r#"{"open.file.in_upper_layer":["false"]}"#,
        ),
        (
            "open.file.in_upper_layer == false",
            r#"{"open.file.in_upper_layer":["false"]}"#,
        ),
        (
            "open.file.in_upper_layer || !open.file.in_upper_layer",
            "all",
        ),
    ]);
}

#[test]
fn logic() {
    check(&[
        (
            "open.file.name == \"x\" && process.uid == 0",
            r#"{"open.file.name":["x"]}"#,
        ),
        (
            "open.file.path =~ \"/etc/*\" && open.flags & O_CREAT > 0",
            r#"{"open.flags":["0x40"]}"#,
        ),
        (
            "open.file.name in [\"x\", \"y\"] && open.file.name == \"x\"",
            r#"{"open.file.name":["x"]}"#,
        ),
        (
            "open.file.name == \"x\" && open.file.name != \"y\"",
            r#"{"open.file.name":["x"]}"#,
        ),
        (
            "open.file.name == \"x\" || open.file.path == \"/a/y\"",
            r#"{"open.file.name":["x"],"open.file.path":["y"]}"#,
        ),
        (
            "open.file.name == \"x\" || open.flags & O_CREAT > 0",
            r#"{"open.file.name":["x"],"open.flags":["0x40"]}"#,
        ),
        ("open.file.name == \"x\" || process.pid == 1", "all"),
        (
            "open.file.name == \"x\" && process.pid == 1 || process.pid == 2",
            r#"{"open.file.name":["x"]}"#,
        ),
        (
            "process.pid == 2 || process.pid == 1 && open.file.name == \"x\"",
            "all",
        ),
        (
            "!(open.file.name != \"x\" || process.pid == 1)",
            r#"{"open.file.name":["x"]}"#,
        ),
        (
            "process.ancestors[A].pid > 1 && open.file.name == \"x\"",
            r#"{"open.file.name":["x"]}"#,
        ),
        ("false", "{}"),
        ("true", "all"),
    ]);
}

#[test]
fn every_rule_must_approve() {
    let rules = [
        ("names", rule("open.file.name == \"x\" && process.pid == 1")),
        ("paths", rule("open.file.path in [\"/a/y\", \"/a/x\"]")),
        ("results", rule("open.retval in [2, 4]")),
        ("failures", rule("open.retval < 3")),
    ];
    let mut rules: Vec<(&str, &Compiled)> = rules.iter().map(|(id, rule)| (*id, rule)).collect();
    let Approval::Approvers(approvers) = approval(&rules) else {
        panic!("all rules approve");
    };
    assert_eq!(
        approvers.basenames().into_iter().collect::<Vec<_>>(),
        ["x", "y"]
    );
    let approval_of_all = Approval::Approvers(approvers);
    let report = Report::new([("open", &approval_of_all)], name);
    assert_eq!(
        serde_json::to_string(&report).unwrap(),
        concat!(
            r#"{"open":{"open.file.name":["x"],"open.file.path":["x","y"],"#,
            r#""open.retval":["..2","4"]}}"#
        )
    );
    let (any, other) = (rule("process.pid == 1"), rule("open.flags & 3 == 0"));
    rules.insert(1, ("any", &any));
    rules.push(("reading", &other));
    let accepting = vec!["any".to_owned(), "reading".to_owned()];
    let accept = approval(&rules);
    assert_eq!(accept, Approval::AcceptAll { rules: accepting });
    let report = Report::new([("open", &accept)], name);
    assert_eq!(serde_json::to_string(&report).unwrap(), "{}");
    assert_eq!(approval(&[]), Approval::Approvers(Approvers::default()));
    assert!(!Approvers::default().approves(&TestRecord::default()));
}

/// Tests of one field each, with whether the field can approve by it.
const TESTS: &[&[(&str, bool)]] = &[
    &[
        ("open.file.path == \"/a/x\"", true),
        ("open.file.path in [\"/b/y\", ~\"/*/z\"]", true),
        ("open.file.path =~ \"/a/*\"", false),
        ("open.file.path =~ ~\"/a/**\"", false),
        ("open.file.path == \"/\"", false),
    ],
    &[
        ("open.flags & O_CREAT > 0", true),
        ("open.flags & 65 != 0", true),
        ("open.flags & 3 == 2", true),
        ("open.flags in [1, 64]", true),
        ("open.flags & 3 == 0", false),
        ("open.flags == 0", false),
    ],
    &[
        ("open.retval == 0", true),
        ("open.retval < 0", true),
        ("open.retval not in [0]", true),
    ],
    &[
        ("process.comm == \"a\"", true),
        ("process.comm in [\"a\", \"b\"]", true),
        ("process.comm =~ \"a*\"", false),
    ],
    &[
        ("open.file.in_upper_layer", true),
        ("open.file.in_upper_layer == false", true),
    ],
    &[
        ("process.uid == 0", true),
        ("process.uid in [0, 5]", true),
        ("process.uid > 0", false),
    ],
    &[("process.pid == 1", false)],
    &[("process.args == \"x\"", false)],
];

/// Every record over small domains, in which the name of a file is that of its path.
fn domain() -> Vec<TestRecord> {
    let mut records = vec![TestRecord::default()];
    let mut extend = |with: &[&dyn Fn(TestRecord) -> TestRecord]| {
        records = records
            .iter()
            .flat_map(|record| with.iter().map(|with| with(record.clone())))
            .collect();
    };
    let path = |path: &'static str, name: &'static str| {
        move |record: TestRecord| {
            record
                .text("open.file.path", path)
                .text("open.file.name", name)
        }
    };
    let int = |name: &'static str, value: i64| move |record: TestRecord| record.int(name, value);
    let text = |name: &'static str, value| move |record: TestRecord| record.text(name, value);
    extend(&[
        &path("/a/x", "x"),
        &path("/b/y", "y"),
        &path("/a/c/z", "z"),
        &path("/q/z", "z"),
        &path("/", ""),
    ]);
    let flags = |value| int("open.flags", value);
    extend(&[&flags(0), &flags(1), &flags(2), &flags(64), &flags(66)]);
    extend(&[
        &int("open.retval", 0),
        &int("open.retval", -2),
        &int("open.retval", 3),
    ]);
    extend(&[&text("process.comm", "a"), &text("process.comm", "c")]);
    let upper = |value| {
        move |record: TestRecord| record.with("open.file.in_upper_layer", Held::Flags(vec![value]))
    };
    extend(&[&upper(false), &upper(true)]);
    extend(&[&int("process.uid", 0), &int("process.uid", 7)]);
    extend(&[&int("process.pid", 1), &int("process.pid", 2)]);
    extend(&[&text("process.args", "x"), &text("process.args", "y")]);
    records
}

fn combine(numbers: &mut Numbers, tests: &[&str]) -> String {
    let negated = numbers.below(4) == 0;
    let text = match tests {
        [only] => (*only).to_owned(),
        _ => {
            let (left, right) = tests.split_at(1 + numbers.below(tests.len() - 1));
            let sides = (combine(numbers, left), combine(numbers, right));
            format!(
                "{} {} {}",
                sides.0,
                numbers.choose(&["&&", "&&", "||"]),
                sides.1
            )
        }
    };
    match negated {
        true => format!("!({text})"),
        false => format!("({text})"),
    }
}

#[test]
fn whatever_matches_is_approved() {
    let mut numbers = Numbers(0xa99);
    let domain = domain();
    let all: Vec<&str> = TESTS
        .iter()
        .flat_map(|field| field.iter().map(|test| test.0))
        .collect();
    let (mut denying, mut dropped) = (0, 0);
    for _ in 0..2_000 {
        let texts: Vec<String> = (0..1 + numbers.below(3))
            .map(|_| {
                let tests: Vec<&str> = (0..1 + numbers.below(4))
                    .map(|_| numbers.choose(&all))
                    .collect();
                combine(&mut numbers, &tests)
            })
            .collect();
        let rules: Vec<Compiled> = texts.iter().map(|text| rule(text)).collect();
        let capabilities: Vec<Capability> = numbers
            .some(CAPABLE)
            .into_iter()
            .chain(numbers.some(CAPABLE))
            .map(capability)
            .collect();
        let rules_with_ids = texts.iter().map(String::as_str).zip(&rules);
        let Approval::Approvers(approvers) = approve(rules_with_ids, &capabilities) else {
            continue;
        };
        denying += 1;
        for _ in 0..300 {
            let record = &domain[numbers.below(domain.len())];
            if !approvers.approves(record) {
                dropped += 1;
                assert!(!rules.iter().any(|rule| rule.matches(record)), "{texts:?}");
            }
        }
    }
    assert!(denying > 200 && dropped > 10_000, "{denying} {dropped}");
}

#[test]
fn approvers_are_found_where_there_are_some() {
    let mut numbers = Numbers(0xc0);
    let domain = domain();
    let (mut found, mut refused) = (0, 0);
    for _ in 0..300 {
        let tests: Vec<(&str, bool)> = numbers
            .some(TESTS)
            .iter()
            .map(|of| numbers.choose(of))
            .collect();
        if tests.is_empty() {
            continue;
        }
        let names: Vec<&str> = tests.iter().map(|test| test.0).collect();
        let text = combine(&mut numbers, &names);
        let compiled = rule(&text);
        let matching: Vec<&TestRecord> = domain.iter().filter(|r| compiled.matches(*r)).collect();
        let by_one_field = tests.iter().filter(|test| test.1).any(|(test, _)| {
            let test = rule(test);
            matching.iter().all(|record| test.matches(*record))
        });
        let approval = approval(&[("rule", &compiled)]);
        if matches!(approval, Approval::Approvers(_)) {
            found += 1;
        } else {
            refused += 1;
            assert!(!by_one_field, "{text}");
        }
    }
    assert!(found > 50 && refused > 50, "{found} {refused}");
}
