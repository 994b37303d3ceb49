//! Bad expressions: what is said, and at which column.

use super::compiled;
use crate::secl::{position, Macros};

/// Expression, column of the error, how its sentence begins.
const ERRORS: &[(&str, usize, &str)] = &[
    ("", 1, "the expression is empty"),
    ("  # only this", 1, "the expression is empty"),
    ("process.uid =", 13, "`=` is no operator"),
    ("process.uid = 1", 13, "`=` is no operator"),
    (
        "process.uid == ",
        16,
        "expected a field or value, found the end",
    ),
    (
        "process.uid == 1 2",
        18,
        "expected an operator or the end, found a number",
    ),
    (
        "process.uid == 0x10",
        16,
        "`0x10` is neither a decimal number nor a duration",
    ),
    ("process.uid == 5w", 16, "`5w` is neither"),
    (
        "process.uid == 089",
        16,
        "`089` begins with 0 and is therefore octal",
    ),
    (
        "process.uid == 99999999999999999999",
        16,
        "`99999999999999999999` does not fit",
    ),
    ("process.created_at > 99999999999999d", 22, "the duration"),
    (
        "process.comm == \"cat",
        17,
        "this string has no closing quote",
    ),
    (
        "process.comm == 'cat'",
        17,
        "strings are written with double quotes",
    ),
    ("process.comm == ~cat", 17, "`~` must be followed by"),
    ("process.comm == ${x", 17, "this variable has no closing"),
    ("process.comm == ${a b}", 17, "a variable is written"),
    ("process.comm == ${nope}", 17, "unknown variable `${nope}`"),
    (
        "process.comm == \"a ${x} b\"",
        17,
        "unknown variable `${x}`",
    ),
    ("process.comm =~ ~\"${x}*\"", 17, "unknown variable `${x}`"),
    ("process.comm ; 1", 14, "unexpected character `;`"),
    ("(process.uid == 1", 1, "this parenthesis is never closed"),
    (
        "process.uid == 1)",
        17,
        "expected an operator or the end, found `)`",
    ),
    ("process.uid in [1, 2", 16, "this list is never closed"),
    ("process.uid in [1 2]", 19, "expected `,` or `]`"),
    ("process.uid in [1, (2)]", 20, "expected a value, found `(`"),
    ("process.uid in \"a\"", 16, "expected a list"),
    ("process.uid not 1", 17, "expected `in` after `not`"),
    ("process.uid == [1]", 16, "a list can only stand after"),
    ("in [1]", 1, "expected a field or value, found `in`"),
    ("open.file.pth == \"x\"", 1, "unknown field `open.file.pth`"),
    ("é.b == 1", 1, "unexpected character `é`"),
    (
        "process.comm == \"é\" && nope",
        24,
        "unknown field, constant or macro `nope`",
    ),
    ("\n  open.nope == 1", 3, "unknown field `open.nope`"),
    (
        "open.flags == O_CREATE",
        15,
        "unknown field, constant or macro `O_CREATE`",
    ),
    (
        "open.flags.length == 1",
        1,
        "unknown field `open.flags.length`",
    ),
    (
        "process.argv[0] == \"x\"",
        1,
        "`process.argv` is not read through an iterator",
    ),
    (
        "process.comm[A] == \"x\"",
        1,
        "`process.comm` is not read through",
    ),
    (
        "process.ancestors[0].file[1].name == \"\"",
        1,
        "`process.ancestors[0].file[1].name` has",
    ),
    (
        "open.flags",
        1,
        "this is a number where a condition is needed",
    ),
    (
        "open.flags & O_CREAT",
        1,
        "this is a number where a condition is needed",
    ),
    (
        "true && process.comm",
        9,
        "this is a string where a condition is needed",
    ),
    (
        "true && ~\"x*\"",
        9,
        "this is a pattern where a condition is needed",
    ),
    ("!open.flags", 2, "this is a number where a condition"),
    (
        "!process.comm == \"x\"",
        2,
        "this is a string where a condition",
    ),
    (
        "-process.comm == 1",
        2,
        "this is a string where a number is needed",
    ),
    (
        "open.flags & true > 0",
        14,
        "this is a boolean where a number is needed",
    ),
    (
        "process.uid == \"root\"",
        16,
        "a number cannot be compared with a string",
    ),
    (
        "process.comm == 1",
        17,
        "a string cannot be compared with a number",
    ),
    (
        "process.comm == 10.0.0.1",
        17,
        "a string cannot be compared with an IP address",
    ),
    (
        "process.is_kworker == 1",
        23,
        "a boolean cannot be compared with a number",
    ),
    (
        "1 == 1 == true",
        11,
        "a number cannot be compared with a boolean",
    ),
    ("process.comm > \"a\"", 1, "`>` cannot compare strings"),
    (
        "process.is_kworker > true",
        1,
        "`>` cannot compare booleans",
    ),
    ("process.uid =~ 1", 1, "`=~` cannot compare numbers"),
    (
        "connect.addr.ip > 10.0.0.1",
        1,
        "`>` cannot compare IP addresses",
    ),
    ("\"c*\" =~ process.comm", 9, "after `=~` stands a string"),
    (
        "~\"c*\" =~ process.comm",
        1,
        "a pattern or regexp must have a string",
    ),
    (
        "process.comm =~ process.file.name",
        17,
        "after `=~` stands a string",
    ),
    (
        "process.comm =~ shells",
        17,
        "`=~` cannot compare with a list; write `in`",
    ),
    (
        "process.comm == shells",
        17,
        "`==` cannot compare with a list; write `in`",
    ),
    ("process.comm in process.file.name", 17, "`in` needs a list"),
    ("process.comm in ${limit}", 17, "`in` needs a list"),
    ("process.comm allin true", 20, "`allin` needs a list"),
    (
        "process.comm in [\"a\", 1]",
        23,
        "a list holds values of one type; this is a number",
    ),
    (
        "process.uid in [1, process.pid]",
        20,
        "a list holds constants only",
    ),
    (
        "process.uid in [\"a\"]",
        16,
        "a number cannot be in this list",
    ),
    ("process.comm in [1]", 17, "a string cannot be in this list"),
    (
        "process.comm in host.ports",
        17,
        "a string cannot be in an array",
    ),
    (
        "process.is_kworker in [true]",
        24,
        "a list holds constants only",
    ),
    (
        "process.comm in [is_cat]",
        18,
        "a list holds constants only",
    ),
    (
        "open.file.path =~ r\"x\"",
        19,
        "a path cannot be matched with a regexp",
    ),
    (
        "open.file.path in [\"a\", r\"x\"]",
        25,
        "a path cannot be matched with a regexp",
    ),
    (
        "open.file.path =~ ~\"/a/**/b\"",
        19,
        "in a path pattern `**`",
    ),
    (
        "~\"/a/**/b\" == open.file.path",
        1,
        "in a path pattern `**`",
    ),
    (
        "open.file.path in [\"a\", ~\"**x*\"]",
        25,
        "in a path pattern `**`",
    ),
    (
        "process.comm =~ r\"a(\"",
        17,
        "this is no valid regexp: unclosed group",
    ),
    (
        "process.comm =~ r\"(a{999}){999}\"",
        17,
        "this regexp takes more than",
    ),
    (
        "connect.addr.ip in 10.0.0.0/33",
        20,
        "`10.0.0.0/33` is neither",
    ),
    ("connect.addr.ip in 1.2.3.256", 20, "`1.2.3.256` is neither"),
    (
        "open.flags > 0 && exec.file.path == \"\"",
        19,
        "field `exec.file.path` not available for",
    ),
    (
        "true && loop",
        9,
        "in macro `loop`: macro `loop` refers to itself",
    ),
    (
        "ping",
        1,
        "in macro `ping`: in macro `pong`: macro `ping` refers to itself",
    ),
    (
        "true && broken",
        9,
        "in macro `broken`: unknown field `open.file.pth`",
    ),
    ("open.file.path in bad_glob", 19, "in a path pattern `**`"),
    (
        "host.ports + process.ancestors.pid > 1",
        14,
        "only one operand may have several",
    ),
    (
        "process.ancestors[A].pid == 1 && process.ancestors[B].pid == 1 \
         && process.ancestors[C].pid == 1",
        67,
        "a rule can have 2 registers, `[C]` is one more",
    ),
];

#[test]
fn errors_say_what_and_where() {
    for (text, column, start) in ERRORS {
        let error = compiled(text).expect_err(text);
        assert!(error.message.starts_with(start), "{text}: {error}");
        assert_eq!(
            position(text, error.span.start).1,
            *column,
            "{text}: {error}"
        );
        assert!(
            error.span.start <= error.span.end && error.span.end <= text.len(),
            "{text}"
        );
    }
}

#[test]
fn errors_suggest_the_nearest_field() {
    let error = compiled("open.file.pth == \"x\"").unwrap_err();
    let expected = "unknown field `open.file.pth`, did you mean `open.file.path`?";
    assert_eq!(error.to_string(), expected);
    let error = compiled("exec.file.path == \"\" && open.flags > 0").unwrap_err();
    let expected = "field `open.flags` not available for event type `exec`, available for `[open]`";
    assert_eq!(error.to_string(), expected);
}

#[test]
fn positions_count_lines_and_characters() {
    let text = "aé\nb";
    let places = [
        (0, (1, 1)),
        (1, (1, 2)),
        (3, (1, 3)),
        (4, (2, 1)),
        (5, (2, 2)),
        (99, (2, 2)),
    ];
    for (offset, expected) in places {
        assert_eq!(position(text, offset), expected, "{offset}");
    }
}

#[test]
fn values_of_macros_are_literals_or_plain() {
    let mut macros = Macros::new();
    let error = macros
        .from_values("bad", &["~\"open".to_owned()])
        .unwrap_err();
    assert!(
        error
            .message
            .starts_with("value `~\"open`: this string has no"),
        "{error}"
    );
    let error = macros
        .from_values("bad", &["\"a\" == \"b\"".to_owned()])
        .unwrap_err();
    assert!(error.message.contains("is not a single string"), "{error}");
}
