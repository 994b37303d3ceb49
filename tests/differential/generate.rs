//! Random expressions that are well typed over the scheme of [`crate::world`].

use crate::random::Random;
use crate::world::{ADDRESSES, NUMBERS, PATHS, WORDS};

/// Macros that expressions name: id and definition.
pub const MACROS: &[(&str, &str)] = &[
    ("is_small", "pid in [0, 1, 2] || up[A].pid < 0"),
    ("both", "is_small && (name != \"a\" || flags)"),
    ("words", "[\"a\", ~\"b*\", r\"^a+b\", WORD]"),
    ("more_words", "[words, \"${word}\", \"x.a.b\"]"),
    ("roads", "[\"/a\", ~\"/a/*\", ~\"/ab/**\"]"),
    ("numbers", "[0, 1, -2, 64]"),
    ("nets", "[10.0.0.0/8, ::1, fe80::/10]"),
    ("one_word", "\"ab\""),
    ("one_pattern", "~\"*a*b\""),
    ("five", "2 + 3"),
    ("own", "pid"),
    ("nothing", "[]"),
];

const REGEXPS: &[&str] = &[
    "^a",
    "a+b$",
    "^$",
    "[^a]b",
    "ü|b",
    "^a\\.b$",
    "(?:a|b){2}",
    "A",
];
const PATTERNS: &[&str] = &[
    "*", "a*", "*b", "*a*", "a*b", "a**b", "*.b", "*.co.*", "", "ab", "*A*B", "a*a*b", "*\\\"b",
];
const GLOBS: &[&str] = &[
    "**", "/**", "/*", "/a/**", "/a/*", "/*/b", "/*b/*", "*", "/a", "/a*/*a", "*/*", "//*", "/*/**",
];
const NETS: &[&str] = &[
    "10.0.0.0/8",
    "0.0.0.0/0",
    "::/0",
    "10.0.0.1",
    "10.1.2.3/9",
    "::ffff:10.0.0.0/104",
    "::1",
    "fe80::/10",
    "255.255.255.255/31",
    "::ffff:0:0/96",
    "::/127",
];
const ORDERS: &[&str] = &["==", "!=", "<", "<=", ">", ">="];
const EQUALITIES: &[&str] = &["==", "!=", "=~", "!~"];
const MEMBERSHIPS: &[&str] = &["in", "not in", "allin"];
const BRACKETS: &[&str] = &["", "", "[0]", "[1]", "[7]", "[A]", "[A]", "[B]"];

/// How the texts of a field compare; decides which literals suit it.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Words {
    Plain,
    Path,
}

/// A rule.
pub fn rule(random: &mut Random) -> String {
    condition(random, 3)
}

fn condition(random: &mut Random, depth: usize) -> String {
    if depth == 0 || random.once_in(3) {
        return test(random, depth);
    }
    if random.once_in(5) {
        let sign = random.pick(&["!", "not "]);
        return format!("{sign}({})", condition(random, depth - 1));
    }
    let mut text = operand(random, depth);
    for _ in 0..1 + random.below(3) {
        let operator = random.pick(&["&&", "||", "and", "or"]);
        text = format!("{text} {operator} {}", operand(random, depth));
    }
    text
}

fn operand(random: &mut Random, depth: usize) -> String {
    match random.below(3) {
        0 => format!("({})", condition(random, depth - 1)),
        _ => test(random, depth - 1),
    }
}

fn test(random: &mut Random, depth: usize) -> String {
    match random.below(12) {
        0 => flag_test(random, depth),
        1..=3 => int_test(random),
        4..=8 => text_test(random),
        9 | 10 => ip_test(random),
        _ => random
            .pick(&["is_small", "both", "true", "false"])
            .to_owned(),
    }
}

fn flag(random: &mut Random) -> String {
    match random.below(5) {
        0 => "is_new".to_owned(),
        1 => "${seen}".to_owned(),
        2 => "flags".to_owned(),
        _ => format!("up{}.is_new", random.pick(BRACKETS)),
    }
}

fn flag_test(random: &mut Random, depth: usize) -> String {
    let left = flag(random);
    match random.below(4) {
        0 => left,
        1 => format!("!{left}"),
        _ => {
            let operator = random.pick(&["==", "!="]);
            let right = match random.below(5) {
                0 => flag(random),
                1 if depth > 0 => format!("({})", condition(random, depth - 1)),
                2 => format!("({} == {})", flag(random), random.pick(&["true", "false"])),
                _ => random.pick(&["true", "false"]).to_owned(),
            };
            match random.once_in(3) {
                true => format!("{right} {operator} {left}"),
                false => format!("{left} {operator} {right}"),
            }
        }
    }
}

fn number(random: &mut Random) -> String {
    match random.below(8) {
        0 => random
            .pick(&["ONE", "five", "010", "2ns", "1us", "+3"])
            .to_owned(),
        _ => match random.pick(NUMBERS) {
            // Its digits do not fit without their sign.
            i64::MIN => "(-9223372036854775807 - 1)".to_owned(),
            number => number.to_string(),
        },
    }
}

fn scalar_int(random: &mut Random) -> String {
    let names = [
        "pid",
        "uid",
        "own",
        "${limit}",
        "${pid}",
        "ports.length",
        "argv.length",
        "name.length",
        "file.path.length",
        "up.length",
        "${words.length}",
        "${word.length}",
        "flags.length",
        "up[A].ports.length",
        "up[1].ports.length",
        "up.is_new.length",
    ];
    random.pick(&names).to_owned()
}

fn many_ints(random: &mut Random) -> String {
    let brackets = random.pick(BRACKETS);
    match random.below(8) {
        0 => "ports".to_owned(),
        1 => "${numbers}".to_owned(),
        2 => format!("up{brackets}"),
        3 => format!("up{brackets}.ports"),
        4 => format!("up{brackets}.name.length"),
        5 => format!("up{brackets}.argv.length"),
        6 => format!("peer{brackets}.port"),
        _ => format!("up{brackets}.{}", random.pick(&["pid", "uid"])),
    }
}

fn sign(random: &mut Random, text: String) -> String {
    match random.below(8) {
        0 => format!("-{text}"),
        1 => format!("^{text}"),
        2 => format!("({text})"),
        _ => text,
    }
}

/// Numbers with at most one operand of many elements, or two of the same turns.
fn ints(random: &mut Random) -> String {
    if random.once_in(12) {
        let index = random.pick(&["[0]", "[1]", "[A]", "[B]"]);
        let operator = random.pick(&["+", "-", "&", "|"]);
        return format!("up{index}.pid {operator} up{index}.uid");
    }
    let length = 1 + random.below(6).saturating_sub(2);
    let place_of_many = random.below(2 * length);
    let mut text = String::new();
    for place in 0..length {
        let one = match random.below(3) {
            _ if place == place_of_many => many_ints(random),
            0 => number(random),
            _ => scalar_int(random),
        };
        if place > 0 {
            text += random.pick(&[" + ", " - ", " & ", " | ", " ^ "]);
        }
        text += &sign(random, one);
    }
    text
}

fn int_test(random: &mut Random) -> String {
    let left = ints(random);
    if random.once_in(3) {
        let membership = random.pick(MEMBERSHIPS);
        let array = match random.below(5) {
            0 => "numbers".to_owned(),
            1 => "ports".to_owned(),
            2 => random
                .pick(&["${numbers}", "up.ports", "up[A].pid", "nothing"])
                .to_owned(),
            _ => list(random, |random| {
                random.pick(&["0", "1", "-2", "64", "ONE"]).to_owned()
            }),
        };
        return format!("{left} {membership} {array}");
    }
    let operator = random.pick(ORDERS);
    let right = match random.below(3) {
        0 => ints(random),
        _ => number(random),
    };
    format!("{left} {operator} {right}")
}

fn list(random: &mut Random, element: impl Fn(&mut Random) -> String) -> String {
    let length = random.below(5);
    let elements: Vec<String> = (0..length).map(|_| element(random)).collect();
    format!("[{}]", elements.join(", "))
}

fn text_field(random: &mut Random) -> (String, Words) {
    let brackets = random.pick(BRACKETS);
    match random.below(14) {
        0 | 1 => ("name".to_owned(), Words::Plain),
        2 => ("host".to_owned(), Words::Plain),
        3 => (format!("host{}", ".root_domain"), Words::Plain),
        4 => ("argv".to_owned(), Words::Plain),
        5 => (
            random.pick(&["hosts", "hosts.root_domain"]).to_owned(),
            Words::Plain,
        ),
        6 => (
            random.pick(&["${word}", "${words}", "${name}"]).to_owned(),
            Words::Plain,
        ),
        7 => (format!("up{brackets}.name"), Words::Plain),
        8 => (format!("up{brackets}.argv"), Words::Plain),
        9 => (format!("peer{brackets}.host"), Words::Plain),
        10 => ("paths".to_owned(), Words::Path),
        11 => (format!("up{brackets}.file.path"), Words::Path),
        _ => ("file.path".to_owned(), Words::Path),
    }
}

fn plain(random: &mut Random, words: Words) -> String {
    match words {
        Words::Path => random.pick(PATHS).to_owned(),
        Words::Plain => random.pick(WORDS).replace('"', "\\\""),
    }
}

fn pattern(random: &mut Random, words: Words) -> String {
    random
        .pick(if words == Words::Path {
            GLOBS
        } else {
            PATTERNS
        })
        .to_owned()
}

fn variable(random: &mut Random) -> &'static str {
    random.pick(&[
        "${word}",
        "${limit}",
        "${seen}",
        "${from}",
        "${ name }",
        "${file.path}",
    ])
}

/// A text or pattern with a variable in it.
fn interpolated(random: &mut Random, words: Words) -> String {
    let is_pattern = random.once_in(2);
    let mark = if is_pattern { "~" } else { "" };
    let before = match (is_pattern, words) {
        (false, words) => plain(random, words),
        (true, Words::Path) => random.pick(&["", "/", "/*/", "/*", "*"]).to_owned(),
        (true, Words::Plain) => random.pick(&["", "*", "a*", "*a*"]).to_owned(),
    };
    let after = match words {
        Words::Path => random.pick(&["", "/b", "/*", "/**", "*", "*/*"]),
        Words::Plain => random.pick(&["", "b", "*", "*b", "."]),
    };
    let middle = match random.below(4) {
        0 => format!(
            "{}{}{}",
            variable(random),
            random.pick(&["", "*", "a"]),
            variable(random)
        ),
        _ => variable(random).replace(' ', if random.once_in(2) { " " } else { "" }),
    };
    format!("{mark}\"{before}{middle}{after}\"")
}

/// A literal to compare with. A variable of several elements takes none that is interpolated.
fn literal(random: &mut Random, words: Words) -> String {
    match random.below(10) {
        0 | 1 => format!("~\"{}\"", pattern(random, words)),
        2 if words == Words::Plain => format!("r\"{}\"", random.pick(REGEXPS)),
        3 | 4 => interpolated(random, words),
        5 if words == Words::Plain => random.pick(&["WORD", "one_word", "one_pattern"]).to_owned(),
        _ => format!("\"{}\"", plain(random, words)),
    }
}

fn text_test(random: &mut Random) -> String {
    let (left, words) = text_field(random);
    match random.below(10) {
        0 => {
            let (right, _) = text_field(random);
            format!("{left} {} {right}", random.pick(&["==", "!="]))
        }
        1 => format!(
            "{} {} {left}",
            literal(random, words),
            random.pick(&["==", "!="])
        ),
        2 => {
            let (right, _) = text_field(random);
            let arrays = [
                "argv",
                "hosts",
                "paths",
                "${words}",
                "up.name",
                "up[A].argv",
                "peer[B].host",
            ];
            let array = random.pick(&arrays);
            let left = if random.once_in(3) {
                format!("\"{}\"", plain(random, words))
            } else {
                right
            };
            format!("{left} {} {array}", random.pick(MEMBERSHIPS))
        }
        3 | 4 => {
            let array = match (random.below(3), words) {
                (0, Words::Plain) => random
                    .pick(&["words", "more_words", "one_word", "nothing"])
                    .to_owned(),
                (0, Words::Path) => "roads".to_owned(),
                _ => list(random, |random| literal(random, words)),
            };
            format!("{left} {} {array}", random.pick(MEMBERSHIPS))
        }
        5 => {
            // A plain text after `=~` is a pattern.
            let right = pattern(random, words);
            format!("{left} {} \"{right}\"", random.pick(&["=~", "!~"]))
        }
        6 => format!(
            "\"ab\" {} {}",
            random.pick(&["==", "!="]),
            literal(random, Words::Plain)
        ),
        _ => {
            let operator = random.pick(EQUALITIES);
            let right = match operator {
                "=~" | "!~" => match random.once_in(4) {
                    // Stars of a text with variables would have to be placed as in a pattern.
                    true => format!("~\"{}\"", pattern(random, words)),
                    false => literal_for_match(random, words),
                },
                _ => literal(random, words),
            };
            format!("{left} {operator} {right}")
        }
    }
}

fn literal_for_match(random: &mut Random, words: Words) -> String {
    match literal(random, words) {
        text if text.starts_with("\"/") && text.contains("**") => "\"\"".to_owned(),
        text => text,
    }
}

fn ip_field(random: &mut Random) -> String {
    match random.below(4) {
        0 => "addrs".to_owned(),
        1 => format!("up{}.addr", random.pick(BRACKETS)),
        2 => "${from}".to_owned(),
        _ => "addr".to_owned(),
    }
}

fn ip_test(random: &mut Random) -> String {
    let left = ip_field(random);
    match random.below(6) {
        0 => format!("{left} {} {}", random.pick(&["==", "!="]), ip_field(random)),
        1 => {
            let address = random.pick(ADDRESSES);
            format!("{address} {} {left}", random.pick(&["==", "!="]))
        }
        2 => format!(
            "{left} {} {}",
            random.pick(&["==", "!="]),
            random.pick(NETS)
        ),
        3 => format!(
            "{left} {} {}",
            random.pick(MEMBERSHIPS),
            random.pick(&["addrs", "up.addr", "nets", "nothing"])
        ),
        4 => format!("{left} {} {}", random.pick(MEMBERSHIPS), random.pick(NETS)),
        _ => {
            let nets = list(random, |random| random.pick(NETS).to_owned());
            format!("{left} {} {nets}", random.pick(MEMBERSHIPS))
        }
    }
}
