//! A regexp and a text on two lines: it is refused, or says what the regex crate says.

#![no_main]

mod words;

use libfuzzer_sys::fuzz_target;
use regex::RegexBuilder;
use security_agent::secl::ast::ExpressionKind;
use security_agent::secl::TextKind;
use words::{halves, matching, Word, FIELDS};

fuzz_target!(|text: &str| {
    let (regexp, text) = halves(text);
    for (field, kind) in FIELDS {
        let compiled = matching(field, ExpressionKind::Regexp(regexp.to_owned()));
        if kind == TextKind::Path {
            assert!(compiled.is_err());
            continue;
        }
        match compiled {
            Ok(compiled) => {
                let plain = RegexBuilder::new(regexp)
                    .case_insensitive(kind == TextKind::CaseInsensitive)
                    .build();
                let expected = plain.map(|plain| plain.is_match(text));
                let found = compiled.matches(&Word(text));
                assert_eq!(Ok(found), expected, "{field} {regexp:?} {text:?}");
            }
            Err(error) => assert!(!error.to_string().is_empty()),
        }
    }
});
