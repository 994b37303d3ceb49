use super::*;

const LIMITS: Limits = Limits {
    size: 1 << 18,
    cache: 1 << 18,
};

fn matches(regexp: &str, text: &str, fold_case: bool) -> bool {
    compile(&[regexp], fold_case, LIMITS)
        .unwrap()
        .is_match(text)
}

#[test]
fn case_is_folded_where_flags_say_so() {
    let rows = [
        ("(?i)nginx", "NginX", true),
        ("nginx", "Nginx", false),
        ("(?i)a(?-i)b", "Ab", true),
        ("(?i)a(?-i)b", "AB", false),
        ("(?i:a)b", "Ab", true),
        ("(?i:a)b", "AB", false),
        ("a(?i)b|c", "C", true),
        ("x(a(?i)b)c", "xaBc", true),
        ("x(a(?i)b)c", "xaBC", false),
        ("(?i)[a-c]+$", "ABC", true),
        ("(?i)^[^a-c]$", "B", false),
        ("(?i)[[:lower:]]", "A", true),
        ("(?i)^[B-z]$", "b", true),
        ("(?i)(?m:^a)", "x\nA", true),
        ("(?i)grün", "GRÜN", true),
        ("(?i)[ä-ü]", "Ö", true),
        ("(?i)привет", "ПРИВЕТ", true),
        ("(?i)^.$", "é", true),
        ("(?i)a{2}", "aA", true),
        ("(?i)\x41", "a", true),
        ("(?is)a.b", "A\nB", true),
        ("(?i)stra\u{df}e", "STRASSE", false),
        ("(?i)stra\u{df}e", "STRA\u{1e9e}E", true),
        ("(?i)^k$", "\u{212a}", true),
        ("(?i)^\u{212a}$", "k", true),
        ("(?i)^[j-l]$", "\u{212a}", true),
        ("(?i)^s$", "ſ", true),
        ("(?i)^ſ$", "s", true),
        ("(?i)^σ$", "ς", true),
        ("(?i)^ς$", "σ", true),
        ("(?i)^å$", "\u{212b}", true),
        ("(?i)^i$", "ı", false),
        ("(?i)^ı$", "i", false),
        ("(?i)^ı$", "I", false),
        ("^k$", "\u{212a}", false),
    ];
    for (regexp, text, expected) in rows {
        assert_eq!(matches(regexp, text, false), expected, "{regexp} {text}");
    }
    assert!(matches("nginx[a-c]", "NGINXB", true));
    assert!(!matches("(?-i)nginx", "NGINX", true));
}

#[test]
fn classes_are_those_of_go() {
    let rows = [
        (r"^\w+$", "ab_9", true),
        (r"^\w$", "é", false),
        (r"^\W$", "é", true),
        (r"^[\w-]+$", "a-b", true),
        (r"^[^\w]$", "é", true),
        (r"^\d$", "٣", false),
        (r"^\D$", "٣", true),
        (r"^\s$", "\u{2003}", false),
        (r"^\s+$", " \t\n\r\u{c}", true),
        (r"^\s$", "\u{b}", false),
        (r"^[\s]$", "\u{b}", false),
        (r"^\S$", "\u{b}", true),
        (r"^[^\S]$", "\t", true),
        (r"^[[:space:]]$", "\u{b}", true),
        (r"^\p{Z}+$", " \u{a0}\u{2003}\u{2028}", true),
        (r"\pZ", "\t\n\u{85}", false),
        (r"^\p{Zs}+$", " \u{a0}\u{2003}", true),
        (r"\p{Zs}", "\t\u{2028}\u{2029}", false),
        (r"\bcat\b", "a cat.", true),
        (r"\bcat\b", "concat", false),
        (r"é\b", "é", false),
        (r"\Bcat", "concat", true),
        (r"^[\d&&[3-5]]$", "4", true),
        (r"^.$", "語", true),
        (r"^\pL$", "語", true),
        (r"^\p{Lu}$", "Ü", true),
        (r"^\p{Lu}$", "ü", false),
        (r"(?i)^\p{Lu}$", "ü", true),
        (r"^\P{Ll}$", "ü", false),
        (r"^[\p{N}x]+$", "x٣", true),
    ];
    for (regexp, text, expected) in rows {
        assert_eq!(matches(regexp, text, false), expected, "{regexp} {text}");
    }
}

#[test]
fn errors_are_sentences() {
    let refused = |regexp: &str| compile(&[regexp], false, LIMITS).unwrap_err().to_string();
    assert_eq!(refused("a("), "this is no valid regexp: unclosed group");
    assert!(refused("(a{1000}){1000}").starts_with("this regexp takes more than"));
    for unknown in [r"\p{Greek}", r"\p{Nd}", r"[\pP]", r"\pS", r"\pM"] {
        assert!(refused(unknown).contains("Unicode"), "{unknown}");
    }
}

#[test]
fn what_rewriting_makes_is_bounded() {
    let size = Err(Error::Size(LIMITS.size));
    let parsed = |text: String| parse(&text, true, LIMITS.size).map(|_| ());
    for part in [r"\pL", r"[\PL]", r"[a\p{Cc}]", "[\u{400}-\u{7ff}]"] {
        assert_eq!(parsed(part.repeat(20_000)), size, "{part}");
        assert_eq!(parsed(part.repeat(3)), Ok(()), "{part}");
    }
    assert_eq!(parsed("[a-z][0-9]".repeat(1_000)), Ok(()));
}

#[test]
fn several_are_told_apart() {
    let regex = compile(&["a", "(?i)b"], false, LIMITS).unwrap();
    assert_eq!(regex.find("xB").unwrap().pattern().as_usize(), 1);
}
