//! Parts of rules read on their own, and numbers written as in rules.

use super::super::{formula, number, parse_macro, Macros};
use super::{reading, TestScheme};

#[test]
fn parts_of_rules_have_values() {
    let mut macros = Macros::new();
    let definition = parse_macro("process.uid == 1000").unwrap();
    macros.insert("IS_ANN", definition);
    for (part, expected) in [
        ("open.file.path", "/etc/passwd"),
        ("open.flags", "66"),
        ("open.flags & O_CREAT", "64"),
        ("open.flags & O_CREAT > 0", "true"),
        ("open.file.in_upper_layer", "true"),
        ("!open.file.in_upper_layer", "false"),
        ("IS_ANN", "true"),
        ("process.ancestors.file.name", "bash,sshd,init"),
        ("process.ancestors[1].argv", "-D,-e"),
        ("process.ancestors[A].pid == 20", "true"),
        ("process.ancestors.pid + 1", "51,21,2"),
        ("host.ips", "10.0.0.1,fe80::1"),
        ("${limit}", "3"),
        ("${process.seen}", "passwd,shadow"),
    ] {
        let parsed = parse_macro(part).unwrap();
        let found = formula(&parsed, &macros, &TestScheme).unwrap();
        let value = found.evaluate(&reading()).unwrap();
        assert_eq!(value.to_string(), expected, "{part}");
    }
    let pattern = parse_macro("~\"a*\"").unwrap();
    let error = formula(&pattern, &macros, &TestScheme).unwrap_err();
    assert_eq!(error.message, "a pattern is no value");
}

#[test]
fn numbers_are_written_as_in_rules() {
    for (text, expected) in [
        ("O_CREAT|O_WRONLY", Some(65)),
        ("O_RDONLY", Some(0)),
        ("-EACCES", Some(-13)),
        ("0644", Some(0o644)),
        ("1h", Some(3_600_000_000_000)),
        ("12 - 2", Some(10)),
        ("process.pid", None),
        ("O_NOTHING", None),
        ("NAME", None),
        ("true", None),
        ("", None),
        ("1 2", None),
    ] {
        assert_eq!(number(text, &TestScheme).ok(), expected, "{text}");
    }
}
