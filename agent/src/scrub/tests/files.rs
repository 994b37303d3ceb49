//! Whole files: what is kept of them, and what must hold whatever they contain.

use std::io;

use super::super::{Kind, Scrubber, MASK};
use super::{copied, scrubber, written, HEX32, HEX40};

const KINDS: [Kind; 3] = [Kind::Lines, Kind::Yaml, Kind::Json];

#[test]
fn the_name_says_what_a_file_holds() {
    for (name, kind) in [
        ("etc/datadog.yaml", Kind::Yaml),
        ("a.YML", Kind::Yaml),
        ("policies/default.policy", Kind::Yaml),
        ("status.json", Kind::Json),
        ("logs/agent.log", Kind::Lines),
        ("yaml", Kind::Lines),
    ] {
        assert_eq!(Kind::of(name), kind, "{name}");
    }
}

#[test]
fn everything_but_the_secrets_is_kept() {
    let scrubber = scrubber();
    let cases = [
        (
            Kind::Yaml,
            "# The site.\nsite: x.eu   # ours\napi_key: {32}\n\npassword: two words # and why\nlist:\n- a\n-   b\n",
            "# The site.\nsite: x.eu   # ours\napi_key: \"{s28}cdef\"\n\npassword: \"{m}\" # and why\nlist:\n- a\n-   b\n",
        ),
        (
            Kind::Yaml,
            "additional_endpoints:\n  \"https://a\":\n    - {32}\n  https://b: [shortkey]\n",
            "additional_endpoints:\n  \"https://a\":\n    - \"{s28}cdef\"\n  https://b: [\"{m}\"]\n",
        ),
        (
            Kind::Yaml,
            "app_key: '{40}'\nscript: |\n  a=1\n  token=x\nrules:\n  - expression: >-\n      open.file.path == \"/a\"\n      && b\n",
            "app_key: \"{s36}4567\"\nscript: |\n  a=1\n  token={m}\nrules:\n  - expression: >-\n      open.file.path == \"/a\"\n      && b\n",
        ),
        // A secret by its name only where the alias stands: the tree is written anew.
        (
            Kind::Yaml,
            "a: &x abc\npassword: *x\n",
            "{\n  \"a\": \"abc\",\n  \"password\": \"{m}\"\n}\n",
        ),
        (
            Kind::Json,
            "{\"z\": 1.50, \"password\":\"x\",\n \"a\": null}\r\n",
            "{\"z\": 1.50, \"password\":\"{m}\",\n \"a\": null}\r\n",
        ),
        (
            Kind::Json,
            "{\"b\":1,\"a\":\"token=x y\"}\nno json\n",
            "{\"b\":1,\"a\":\"token={m} y\"}\nno json\n",
        ),
        (Kind::Lines, "a\r\ntoken: x\r\n\nlast", "a\r\ntoken: {m}\r\n\nlast"),
    ];
    for (kind, text, expected) in cases {
        let (clean, replaced) = copied(&scrubber, kind, &written(text));
        assert_eq!(clean, written(expected));
        assert!(replaced > 0);
    }
}

#[test]
fn secrets_of_the_configuration_show_as_much_as_their_shape_allows() {
    let known = [
        HEX32,
        HEX40,
        "hunter2hunter",
        "p@ss w/rd",
        "one line of a key\nanother one of it",
    ];
    let scrubber = Scrubber::new(&known.map(str::to_owned), &[]).unwrap();
    for (text, expected) in [
        ("x{32}x", "x{s28}cdefx"),
        ("x{40}x", "x{s36}4567x"),
        ("hunter2hunter", "{m}"),
        // Whole in base64, and as part of `ann:hunter2hunter` in both alphabets.
        ("a aHVudGVyMmh1bnRlcg== b", "a {m} b"),
        ("Basic YW5uOmh1bnRlcjJodW50ZXI= b", "Basic {m} b"),
        ("?x=p%40ss%20w%2Frd&b", "?x={m}&b"),
        ("?x=p%40ss%20w%2frd&b", "?x={m}&b"),
        ("the line: another one of it", "the line: {m}"),
    ] {
        assert_eq!(scrubber.line(&written(text)), written(expected));
    }
    assert_eq!(format!("{scrubber:?}"), "Scrubber");
}

#[test]
fn bytes_that_are_no_text_are_replaced() {
    let mut out = Vec::new();
    let input: &[u8] = b"a\xff\npassword=\xfe\n";
    let replaced = scrubber()
        .copy(Kind::Lines, &mut { input }, &mut out)
        .unwrap();
    assert_eq!(
        (out.as_slice(), replaced),
        ("a\u{fffd}\npassword=********\n".as_bytes(), 1)
    );
}

/// Gives so many bytes of one letter and fails then.
struct Endless(usize);

impl io::Read for Endless {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let length = buffer.len().min(self.0);
        if length == 0 {
            return Err(io::Error::other("the end"));
        }
        buffer[..length].fill(b'x');
        self.0 -= length;
        Ok(length)
    }
}

#[test]
fn long_lines_and_files_are_bounded() {
    let scrubber = scrubber();
    let long = "x".repeat(3 << 20);
    let text = format!("a\n{long}password=hunter2\nb\n{long}");
    let expected = format!("a\n{MASK}\nb\n{MASK}");
    assert_eq!(copied(&scrubber, Kind::Lines, &text), (expected, 2));
    // Beyond the bound YAML and JSON are lines.
    let text = "password: x\n".repeat(400_000);
    for kind in KINDS {
        let (clean, replaced) = copied(&scrubber, kind, &text);
        assert_eq!((clean.lines().count(), replaced), (400_000, 400_000));
    }
    for kind in KINDS {
        let error = scrubber.copy(kind, &mut Endless(100_000), &mut io::sink());
        assert_eq!(error.unwrap_err().to_string(), "the end");
    }
}

#[test]
fn a_bomb_of_aliases_is_lines() {
    let mut bomb = String::from("a0: &a0 [x,x,x,x,x,x,x,x,x]\n");
    for level in 1..12 {
        let items = format!("*a{},", level - 1).repeat(9);
        bomb.push_str(&format!("a{level}: &a{level} [{items}]\n"));
    }
    bomb.push_str(&format!("pad: [{}]\npassword: x\n", "x,".repeat(50_000)));
    let (clean, replaced) = copied(&scrubber(), Kind::Yaml, &bomb);
    assert_eq!(replaced, 1);
    assert!(clean.ends_with("\npassword: ********\n"));
    for open in ["[", "{a: ", "- ", "? ", "[{"] {
        copied(&scrubber(), Kind::Yaml, &open.repeat(60_000));
        copied(&scrubber(), Kind::Json, &open.repeat(60_000));
    }
}

#[test]
fn texts_that_once_changed_a_second_time() {
    let scrubber = Scrubber::new(&["hunter2hunter".to_owned()], &[]).unwrap();
    for text in [
        "-----BEGIN A-----aHVudGVyMmh1bnRlcg==-----END A-----\n  aHVudGVyMmh1bnRlcg==-----END A-----[",
        "-----BEGIN A-----x-----END A-----\0additional_endpoints: \n- x y",
        "!t A_TOKEN==---\nA_TOKEN=\"token: ]password: ",
        "2.50hunter2huntercookie: redis-cli -a ",
        "# \tcommunity_strings:\n# ",
        "password: \n- https://a:b@c:token: ghp_abcdefghijklm",
        "a: &x abc\npassword: *x\n",
    ] {
        for kind in KINDS {
            copied(&scrubber, kind, text);
        }
    }
}

#[test]
fn whatever_a_file_holds_the_second_time_changes_nothing() {
    let pieces = [
        "password",
        "token: ",
        "api_key",
        ": ",
        ":",
        "\n",
        "\n  ",
        "\n- ",
        "- ",
        "? ",
        "'",
        "\"",
        "\\",
        "{",
        "}",
        "[",
        "]",
        ", ",
        ",",
        "|\n",
        ">-\n",
        "|2\n",
        "&a ",
        "*a",
        "!t ",
        "# ",
        "---\n",
        "x",
        "x y",
        "1",
        "null",
        "~",
        HEX32,
        HEX40,
        "-----BEGIN A-----",
        "-----END A-----",
        "LS0tLS1CRUdJTi",
        "--token",
        "-p",
        "mysql",
        "curl -u a:b",
        "\0",
        "\r\n",
        "\t",
        "additional_endpoints: ",
        "ENC[a]",
        MASK,
        "\"a\":",
        "=",
        "https://a:b@c",
        "ß",
        "A_TOKEN=",
        "eyJa.eyJb.c",
        "<<: ",
        "  token: | # c\n",
        "password: [\n",
        "password: \"",
        "additional_endpoints: {\n",
        "Secret(\"",
        "b'",
        "&a=",
        "Bearer '",
        " #",
    ];
    let scrubber = Scrubber::new(&["hunter2hunter".to_owned()], &[]).unwrap();
    let mut state: usize = 7;
    let mut next = |limit: usize| {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1);
        (state >> 33) % limit
    };
    for _ in 0..20_000 {
        let length = next(14);
        let text: String = (0..length).map(|_| pieces[next(pieces.len())]).collect();
        for kind in KINDS {
            copied(&scrubber, kind, &text);
        }
    }
}

/// A search that takes the square of the length would need hours for these.
#[test]
fn the_worst_files_once_looked_endless() {
    let scrubber = scrubber();
    let hex = format!("{HEX32}-");
    for piece in [
        "x-",
        "eyJ-",
        "eyJa.eyJ",
        "-p ",
        " -p",
        "mysql -p",
        "curl -u",
        "LS0tLS1CRUdJTi\n",
        "--token\0",
        "\0",
        "\"",
        "'",
        "a: ",
        "- ",
        "{a: ",
        "# ",
        "|\n ",
        "token: |\n",
        "password:\n ",
        "additional_endpoints: {",
        "A_TOKEN=",
        "\"token=",
        "&key=",
        &hex,
        "\\",
    ] {
        let body = piece.repeat((1 << 16) / piece.len());
        for start in ["", "x-", "://", "a: \""] {
            let kind = if start.is_empty() {
                Kind::Yaml
            } else {
                Kind::Lines
            };
            copied(&scrubber, kind, &format!("{start}{body}"));
        }
        copied(&scrubber, Kind::Lines, &body.repeat(2).replace('\n', " "));
    }
}

#[test]
fn what_the_configuration_has_too_many_of_is_said() {
    use crate::config::{keys, Settings, Value};
    let mut settings = Settings::empty(true);
    let texts = |start: &str| Value::List((0..300).map(|n| format!("{start} {n:03}")).collect());
    settings.set(&keys::SCRUBBER_ADDITIONAL_PATTERNS, texts("card"), "");
    settings.set(&keys::SCRUBBER_ADDITIONAL_KEYS, texts("name"), "");
    let (scrubber, warnings) = Scrubber::of_settings(&settings).unwrap();
    assert_eq!(
        scrubber.line("card 255, name 255: x"),
        "********, name 255: ********"
    );
    for (key, most) in [("keys", "give 256 names"), ("patterns", "give 256 at most")] {
        let start = format!("scrubber.additional_{key}: ");
        let is_said = |text: &String| text.starts_with(&start) && text.contains(most);
        assert!(warnings.iter().any(is_said), "{key}: {warnings:?}");
    }
}

/// Looking at all of the long word for each item would take the square of the length.
#[test]
fn many_items_without_a_value_once_looked_endless() {
    let text = format!("{}- {}\n", "- \n".repeat(200_000), "x".repeat(3_000_000));
    copied(&scrubber(), Kind::Yaml, &text);
    let text = "- null\n- ~\n-\n- nullable\n- null: null\n- NULL\npassword: x\n";
    copied(&scrubber(), Kind::Yaml, text);
}

#[test]
fn a_stray_line_does_not_hide_a_log() {
    let line = "2026-01-01 INFO started in 12 ms\n".repeat(20);
    let begin = "cannot read c.pem: expected \"-----BEGIN CERTIFICATE-----\", found nothing\n";
    let (clean, _) = copied(&scrubber(), Kind::Lines, &format!("{begin}{line}"));
    assert!(clean.lines().count() >= 13, "{clean}");
    let yaml = "# -----BEGIN X-----\na: 1\n# a comment\nb: 2\n";
    let (clean, _) = copied(&scrubber(), Kind::Yaml, yaml);
    assert_eq!(clean, yaml.replace("-----BEGIN X-----", MASK));
}

#[test]
fn a_value_without_an_end_does_not_hide_a_whole_file() {
    for (name, line) in [
        ("Password:\n", "  Kp7xW2\n"),
        ("  token:\n", "  - Kp7xW2\n"),
    ] {
        let text = format!(
            "{name}{}{}",
            line.repeat(1_001),
            "      shown\n".repeat(1_500)
        );
        let (clean, _) = copied(&scrubber(), Kind::Lines, &text);
        assert!(!clean.contains("Kp7xW2"), "{clean}");
        assert_eq!(clean.matches("shown").count(), 1_500);
    }
}

#[test]
fn a_line_once_became_json_by_losing_a_secret() {
    let scrubber = Scrubber::new(&[], &[]).unwrap();
    let text =
        "{\"password\": 1\u{1}, \"c\": {\"token\": {\"d\": \"hidden\"}}}\n{\"f\": 1}\nno json\n";
    let copy = |text: &str| {
        let mut out = Vec::new();
        let replaced = scrubber
            .copy(Kind::Json, &mut text.as_bytes(), &mut out)
            .unwrap();
        (String::from_utf8(out).unwrap(), replaced)
    };
    let (once, replaced) = copy(text);
    assert!(replaced > 1 && !once.contains("hidden"), "{once}");
    assert_eq!(copy(&once), (once.clone(), 0));
}
