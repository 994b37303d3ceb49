//! A pattern and a text on two lines: every way of matching them agrees with the slow one.

#![no_main]

#[path = "../../differential/stars.rs"]
mod stars;
mod words;

use libfuzzer_sys::fuzz_target;
use security_agent::secl::ast::ExpressionKind;
use security_agent::secl::TextKind;
use stars::Manner;
use words::{halves, matching, Word, FIELDS};

fuzz_target!(|text: &str| {
    let (pattern, text) = halves(text);
    if pattern.contains("${") {
        return;
    }
    for (field, kind) in FIELDS {
        let manner = Manner {
            is_path: kind == TextKind::Path,
            fold_case: kind == TextKind::CaseInsensitive,
        };
        let compiled = matching(field, ExpressionKind::Pattern(pattern.to_owned()));
        let steps = stars::steps(pattern, manner);
        assert_eq!(compiled.is_ok(), steps.is_some(), "{field} {pattern:?}");
        if let (Ok(compiled), Some(steps)) = (compiled, steps) {
            let found = compiled.matches(&Word(text));
            let expected = stars::leads(&steps, text, manner);
            assert_eq!(found, expected, "{field} {pattern:?} {text:?}");
        }
    }
});
