//! Every rule that matches is a candidate, and rules that wait for something else are none.

use super::{Candidates, Index};
use crate::secl::testing::{Held, Numbers, TestRecord, TestScheme};
use crate::secl::types::Scheme;
use crate::secl::{compile, parse, Compiled, Macros};

fn rule(text: &str) -> Compiled {
    try_rule(text).unwrap_or_else(|| panic!("{text}"))
}

fn try_rule(text: &str) -> Option<Compiled> {
    compile(&parse(text).unwrap(), &Macros::new(), &TestScheme).ok()
}

fn candidates(rules: &[Compiled], record: &TestRecord) -> Vec<usize> {
    let mut candidates = Candidates::new();
    Index::new(rules.iter()).candidates(record, &mut candidates);
    candidates.iter().collect()
}

fn reading() -> TestRecord {
    TestRecord::default()
        .text("open.file.path", "/etc/passwd")
        .text("open.file.name", "passwd")
        .text("open.file.extension", ".Conf")
        .text("process.file.name", "cat")
        .int("process.uid", 1000)
        .texts("process.argv", &["-n", "/etc/passwd"])
        .with("process.ancestors", Held::Ints(vec![0, 0]))
        .with("process.ancestors.pid", Held::Ints(vec![50, 1]))
        .texts("process.ancestors.file.name", &["bash", "init"])
        .with(
            "process.ancestors.argv",
            Held::Nested(vec![vec!["-l"], vec![]]),
        )
}

#[test]
fn rules_wait_for_what_they_need() {
    let rows = [
        ("open.file.path == \"/etc/passwd\"", true),
        ("open.file.path == \"/etc/shadow\"", false),
        ("open.file.path in [\"/a\", ~\"/etc/**\"]", true),
        ("open.file.path in [\"/a\", ~\"/var/**\"]", false),
        ("open.file.path =~ \"/*/passwd\"", true),
        ("open.file.path =~ \"/*/shadow\"", false),
        ("open.file.path in []", false),
        ("open.file.path not in [\"/a\"]", true),
        ("!(open.file.path != \"/a\")", false),
        ("!(open.file.path == \"/a\")", true),
        ("!(open.file.path != \"/a\" || process.uid == 1)", false),
        ("(open.file.path == \"/a\") == false", true),
        ("(open.file.path == \"/a\") == true", false),
        ("open.file.name =~ \"*sh*\"", true),
        ("open.file.name =~ r\"^sh\"", true),
        ("open.file.extension == \".cONF\"", true),
        ("open.file.extension =~ \"*oNf\"", true),
        ("open.file.extension =~ \"*.sh\"", false),
        ("process.uid == 0 && open.file.name =~ \"*sh*\"", false),
        ("process.uid == 0 || open.file.name =~ \"*sh*\"", true),
        ("process.uid == 0 || open.file.name == \"x\"", false),
        ("process.uid in [0, 1000]", true),
        ("process.uid not in [0, 1000]", true),
        ("process.uid > 0", true),
        // `a && (b || c)`, so that the first one is needed.
        (
            "process.uid == 0 && process.uid > 1 || process.uid > 2",
            false,
        ),
        (
            "process.uid > 0 || process.uid > 1 && process.uid == 0",
            true,
        ),
        ("process.argv in [\"-n\", \"-x\"]", true),
        ("process.argv == \"-x\"", false),
        ("process.argv allin [\"-x\"]", true),
        ("process.ancestors.file.name == \"init\"", true),
        ("process.ancestors.file.name == \"sshd\"", false),
        ("process.ancestors[1].file.name == \"sshd\"", false),
        ("process.ancestors[A].file.name == \"sshd\"", false),
        ("process.ancestors[A].pid == 1", true),
        ("process.ancestors[A].pid == 2", false),
        ("process.ancestors.argv == \"-l\"", true),
        ("process.ancestors.argv == \"-d\"", false),
        ("dns.question.name.root_domain == \"example.com\"", false),
        ("false && process.uid > 0", false),
        ("true", true),
    ];
    let rules: Vec<Compiled> = rows.iter().map(|(text, _)| rule(text)).collect();
    let found = candidates(&rules, &reading());
    for (number, (text, expected)) in rows.iter().enumerate() {
        assert_eq!(found.contains(&number), *expected, "{text}");
    }
    assert!(candidates(&[], &reading()).is_empty());
}

#[test]
fn names_are_looked_up_rather_than_numbers_and_elements() {
    let mut candidates = Candidates::new();
    let rows = [
        "process.uid == 1000 && open.file.path == \"/x\"",
        "open.file.path =~ \"/**\" && process.file.name == \"x\"",
        "process.argv == \"-n\" && process.file.name =~ \"xy*\"",
        "process.ancestors.file.name == \"x\" && process.uid == 1000",
    ];
    for text in rows {
        Index::new([rule(text)].iter()).candidates(&reading(), &mut candidates);
        assert_eq!(candidates.iter().count(), 0, "{text}");
    }
}

#[test]
fn fields_that_change_are_not_looked_up() {
    let text = "${limit} == 4 && process.uid > 0";
    let limit = TestScheme.variable("limit").unwrap().id;
    let mut candidates = Candidates::new();
    let rules = [rule(text)];
    Index::with_keys(rules.iter(), &|field| field != limit).candidates(&reading(), &mut candidates);
    assert_eq!(candidates.iter().collect::<Vec<_>>(), [0]);
    Index::new(rules.iter()).candidates(&reading(), &mut candidates);
    assert_eq!(candidates.iter().count(), 0);
}

#[test]
fn host_names_are_looked_up_by_their_root_domain_too() {
    let rules = [
        rule("dns.question.name.root_domain == \"example.COM\""),
        rule("dns.question.name == \"example.com\""),
        rule("dns.question.name == \"www.example.com\""),
        rule("dns.question.name =~ \"*.example.com\""),
    ];
    let record = TestRecord::default().text("dns.question.name", "www.EXAMPLE.com");
    assert_eq!(candidates(&rules, &record), [0, 2, 3]);
}

const TEXT_FIELDS: &[&str] = &[
    "open.file.path",
    "open.file.name",
    "open.file.extension",
    "process.file.path",
    "process.argv",
    "process.ancestors.file.name",
    "process.ancestors[A].file.name",
    "process.ancestors[1].file.path",
    "process.ancestors.argv",
    "process.ancestors[A].argv",
    "${process.seen}",
];

const INT_FIELDS: &[&str] = &[
    "open.flags",
    "process.uid",
    "process.ancestors.pid",
    "process.ancestors[A].pid",
    "process.ancestors[B].uid",
    "host.ports",
    "process.argv.length",
    "open.flags & 3",
];

const TEXTS: &[&str] = &[
    "", "/", "/a", "/a/b", "/A/B", "/a/bc", "/a/b/c", "a", "b", "bc", "B", ".c", "/ab", "ab",
];

const PATTERNS: &[&str] = &[
    "~\"/a/*\"",
    "~\"/a/**\"",
    "~\"/*/b\"",
    "~\"/a*/b*\"",
    "~\"a*\"",
    "~\"*b\"",
    "~\"*b*\"",
    "~\"*\"",
    "~\"**\"",
    "~\"A*C\"",
    "~\"/a\"",
];

fn comparison(numbers: &mut Numbers) -> String {
    let number = numbers.below(4);
    if numbers.below(3) == 0 {
        let field = numbers.choose(INT_FIELDS);
        return match numbers.below(4) {
            0 => format!("{field} in [{number}, {}]", numbers.below(4)),
            1 => format!("{field} allin [{number}]"),
            2 => format!("{field} not in [{number}]"),
            _ => format!(
                "{field} {} {number}",
                numbers.choose(&["==", "!=", ">", "<="])
            ),
        };
    }
    let field = numbers.choose(TEXT_FIELDS);
    let quoted = |text: &str| format!("\"{text}\"");
    let mut list: Vec<String> = numbers.some(TEXTS).into_iter().map(quoted).collect();
    list.extend(numbers.some(PATTERNS).into_iter().map(str::to_owned));
    match numbers.below(6) {
        0 => format!(
            "{field} {} [{}]",
            numbers.choose(&["in", "not in", "allin"]),
            list.join(",")
        ),
        1 => format!(
            "{field} {} {}",
            numbers.choose(&["=~", "!~"]),
            numbers.choose(PATTERNS)
        ),
        2 => format!("{field} =~ r\"^a\""),
        3 => format!(
            "{field} == {}",
            numbers.choose(&["process.file.name", "process.args"])
        ),
        _ => format!(
            "{field} {} \"{}\"",
            numbers.choose(&["==", "!="]),
            numbers.choose(TEXTS)
        ),
    }
}

fn condition(numbers: &mut Numbers, depth: usize) -> String {
    if depth == 0 {
        return comparison(numbers);
    }
    let sides = (condition(numbers, depth - 1), condition(numbers, depth - 1));
    match numbers.below(8) {
        0 => format!("!({})", sides.0),
        1 => format!("({}) {} true", sides.0, numbers.choose(&["==", "!="])),
        2 => format!("({}) == ({})", sides.0, sides.1),
        3 => format!("{} || {}", sides.0, sides.1),
        4 => format!("({}) || ({})", sides.0, sides.1),
        5 => format!("{} && {}", sides.0, sides.1),
        _ => format!("({}) && ({})", sides.0, sides.1),
    }
}

fn record(numbers: &mut Numbers) -> TestRecord {
    let mut turns = |_| numbers.some(TEXTS);
    let nested: Vec<Vec<&'static str>> = (0..2).map(&mut turns).collect();
    let mut ints = |count: usize| {
        let values = (0..count).map(|_| i64::try_from(numbers.below(4)).unwrap());
        Held::Ints(values.collect())
    };
    let record = TestRecord::default()
        .with("process.ancestors", ints(2))
        .with("process.ancestors.pid", ints(2))
        .with("process.ancestors.uid", ints(2))
        .with("host.ports", ints(3))
        .with("open.flags", ints(1))
        .with("process.uid", ints(1))
        .with("process.ancestors.argv", Held::Nested(nested))
        .texts("process.argv", &numbers.some(&TEXTS[..2]))
        .texts("$process.seen", &numbers.some(TEXTS));
    let several = ["process.ancestors.file.name", "process.ancestors.file.path"];
    let record = several.iter().fold(record, |record, field| {
        record.texts(field, &[numbers.choose(TEXTS), numbers.choose(TEXTS)])
    });
    let single = [
        "open.file.path",
        "open.file.name",
        "open.file.extension",
        "process.file.path",
        "process.file.name",
    ];
    single.iter().fold(record, |record, field| {
        record.text(field, numbers.choose(TEXTS))
    })
}

#[test]
fn whatever_matches_is_a_candidate() {
    let mut numbers = Numbers(0x1d3);
    let mut found = Candidates::new();
    let (mut matched, mut named, mut all) = (0, 0, 0);
    for _ in 0..60 {
        let texts: Vec<String> = (0..200)
            .map(|_| {
                let depth = numbers.below(4);
                condition(&mut numbers, depth)
            })
            .collect();
        let rules: Vec<(&String, Compiled)> = texts
            .iter()
            .filter_map(|text| Some((text, try_rule(text)?)))
            .collect();
        let index = Index::new(rules.iter().map(|(_, rule)| rule));
        for _ in 0..40 {
            let record = record(&mut numbers);
            index.candidates(&record, &mut found);
            let found: Vec<usize> = found.iter().collect();
            for (number, (text, rule)) in rules.iter().enumerate() {
                if rule.matches(&record) {
                    assert!(found.contains(&number), "{text}");
                    matched += 1;
                }
            }
            named += found.len();
            all += rules.len();
        }
    }
    assert!(all > 200_000 && matched > 50_000, "{matched} of {all}");
    assert!(
        named < all * 9 / 10,
        "{named} named of {all}, {matched} match"
    );
}
