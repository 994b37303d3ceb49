//! What no expression can do: exhaust the stack or the memory, or make the language panic.

use super::{compiled, reading};
use crate::secl::testing::{Numbers, TestRecord, TestScheme};
use crate::secl::{compile, parse, parse_macro, Macros, MAX_LENGTH};

#[test]
fn sizes_are_bounded() {
    let nested = |levels: usize| "(".repeat(levels) + "true" + &")".repeat(levels);
    assert!(compiled(&nested(100)).unwrap().matches(&reading()));
    for text in [
        nested(101),
        nested(30_000),
        "!".repeat(60_000) + "true",
        "1 == ".repeat(10_000) + "1",
        "(1 + 1 & 1 == ".repeat(4_000),
    ] {
        let error = compiled(&text).unwrap_err();
        assert!(
            error.message.contains("nests deeper than 100 levels"),
            "{error}"
        );
    }
    let long = "a".repeat(MAX_LENGTH + 1);
    assert!(parse(&long)
        .unwrap_err()
        .message
        .starts_with("the expression has 65537 bytes"));
}

#[test]
fn long_chains_are_no_deep_trees() {
    let any = "process.uid == 1 || ".repeat(3_000) + "process.uid == 1000";
    assert!(compiled(&any).unwrap().matches(&reading()));
    let bits = "0 | ".repeat(15_000) + "process.uid == 1000";
    assert!(compiled(&bits).unwrap().matches(&reading()));
    let sum = "1 + ".repeat(10_000) + "process.uid == 11000";
    assert!(compiled(&sum).unwrap().matches(&reading()));
}

#[test]
fn macros_of_macros_cannot_blow_up() {
    let mut macros = Macros::new();
    macros.insert("m0", parse_macro("process.uid == 1").unwrap());
    for level in 1..40 {
        let before = level - 1;
        let text = format!("m{before} || m{before}");
        macros.insert(&format!("m{level}"), parse_macro(&text).unwrap());
    }
    let error = compile(&parse("m39").unwrap(), &macros, &TestScheme).unwrap_err();
    assert!(error.message.contains("more than 100000 parts"), "{error}");
    let deep = "(!(1 == 1 && ".repeat(30) + "NEXT" + &"))".repeat(30);
    for level in 0..20 {
        let text = deep.replace("NEXT", &format!("d{}", level + 1));
        macros.insert(&format!("d{level}"), parse_macro(&text).unwrap());
    }
    macros.insert("d20", parse_macro("true").unwrap());
    let error = compile(&parse("d0").unwrap(), &macros, &TestScheme).unwrap_err();
    assert!(
        error.message.contains("nest deeper than 500 levels"),
        "{error}"
    );
}

const PIECES: &[&str] = &[
    "open.file.path",
    "open.flags",
    "process.argv",
    "process.ancestors[A].pid",
    "process.uid",
    "process.ancestors[7].argv",
    "process.is_kworker",
    "host.ips",
    "connect.addr.hostname.length",
    "dns.question.name.root_domain",
    "${limit}",
    "${process.seen}",
    "O_CREAT",
    "true",
    "shells",
    "files",
    "ping",
    "==",
    "!=",
    "=~",
    "!~",
    ">",
    "<=",
    "in",
    "not in",
    "allin",
    "not",
    "!",
    "&&",
    "||",
    "and",
    "or",
    "&",
    "|",
    "^",
    "+",
    "-",
    "(",
    ")",
    "[",
    "]",
    ",",
    "\"a\"",
    "~\"/e*/**\"",
    "r\"a+\"",
    "1",
    "-9223372036854775808",
    "9223372036854775807",
    "5s",
    "10.0.0.0/8",
    "::1",
    "#",
    "\"",
    "ü",
    "\\",
];

#[test]
fn random_pieces_never_panic() {
    let mut numbers = Numbers(0x5eed);
    let record = reading();
    let mut good = 0;
    for _ in 0..100_000 {
        let length = 1 + numbers.below(9);
        let pieces: Vec<&str> = (0..length)
            .map(|_| PIECES[numbers.below(PIECES.len())])
            .collect();
        let text = pieces.join(" ");
        match compiled(&text) {
            Ok(rule) => {
                rule.matches(&record);
                good += 1;
            }
            Err(error) => assert!(error.span.end <= text.len(), "{text}: {error:?}"),
        }
    }
    assert!(good > 100, "only {good} expressions were good ones");
}

/// An engine that goes back and forth would need longer than anyone waits.
#[test]
fn a_catastrophic_regexp_ends() {
    let text: &'static str = Box::leak(("a".repeat(20_000) + "b").into_boxed_str());
    let record = TestRecord::default().text("process.args", text);
    for pattern in [
        "^(a+)+$",
        "(a|aa)+$",
        "(.*)*c",
        "^(([a-z])+.)+[A-Z]([a-z])+$",
    ] {
        let rule = compiled(&format!("process.args =~ r\"{pattern}\"")).unwrap();
        assert!(!rule.matches(&record), "{pattern}");
    }
}
