//! Any text as a rule and as a macro over the fields of events: it is refused with a place within
//! it, or evaluated without harm.

#![no_main]

mod events;

use libfuzzer_sys::fuzz_target;
use security_agent::event::Fields;
use security_agent::secl::{compile, formula, parse, parse_macro, position, Error, Macros};

const MACROS: &[(&str, &str)] = &[
    ("shells", "[\"/bin/sh\", ~\"/usr/bin/*sh\"]"),
    ("writes", "open.flags & (O_CREAT | O_RDWR) > 0"),
    ("limit", "5s"),
];

fuzz_target!(|text: &str| {
    let macros = macros();
    let rule = parse(text).and_then(|expression| compile(&expression, &macros, &Fields));
    match rule {
        Ok(rule) => events::with_some(|event| {
            rule.matches(event);
        }),
        Err(error) => check(text, &error),
    }
    let definition = parse_macro(text);
    match definition.and_then(|definition| formula(&definition, &macros, &Fields)) {
        Ok(formula) => events::with_some(|event| {
            if let Some(value) = formula.evaluate(event) {
                let _ = value.to_string();
            }
        }),
        Err(error) => check(text, &error),
    }
});

fn check(text: &str, error: &Error) {
    assert!(text.get(error.span.clone()).is_some(), "{error:?}");
    let (line, column) = position(text, error.span.start);
    assert!(line > 0 && column > 0 && !error.to_string().is_empty());
}

fn macros() -> Macros {
    let mut macros = Macros::new();
    for (id, text) in MACROS {
        if let Ok(definition) = parse_macro(text) {
            macros.insert(id, definition);
        }
    }
    macros
}
