//! Any text as tokens: they stand in order, within the text, and nothing but blanks and comments
//! lies between them.

#![no_main]

use libfuzzer_sys::fuzz_target;
use security_agent::secl::{position, token_places};

fuzz_target!(|text: &str| {
    match token_places(text) {
        Ok(places) => {
            let mut end = 0;
            for place in places {
                assert!(place.start >= end && place.end > place.start, "{place:?}");
                assert!(is_nothing(&text[end..place.start]), "{place:?}");
                end = place.end;
            }
            assert!(is_nothing(&text[end..]));
        }
        Err(error) => {
            assert!(text.get(error.span.clone()).is_some(), "{error:?}");
            let (line, column) = position(text, error.span.start);
            assert!(line > 0 && column > 0 && !error.to_string().is_empty());
        }
    }
});

/// Whether a text holds blanks and comments only.
fn is_nothing(text: &str) -> bool {
    text.lines().all(|line| {
        let line = line.trim_start();
        line.is_empty() || line.starts_with('#') || line.starts_with("//")
    })
}
