//! Compiled rules against a naive evaluation of the same text.
//!
//! Random well-typed expressions over a small scheme are evaluated on random records both ways,
//! and must agree. `DIFFERENTIAL_CASES` is how many pairs of the two are tried, and
//! `DIFFERENTIAL_SEED` where to begin; each expression has a seed of its own, which a failure
//! names, so that one expression can be tried again by itself.

mod comparing;
mod generate;
mod naive;
mod random;
mod stars;
mod world;

use naive::{Definitions, Naive};
use random::Random;
use security_agent::secl::{compile, parse, parse_macro, position, Error, Macros};
use std::collections::BTreeSet;
use world::{Reading, World};

/// Records that each expression is evaluated on.
const RECORDS: u64 = 4;

fn setting(name: &str, default: u64) -> u64 {
    let value = std::env::var(name).ok();
    value.map_or(default, |text| text.parse().expect("a number"))
}

fn macros() -> (Macros, Definitions) {
    let mut macros = Macros::new();
    let mut definitions = Definitions::new();
    for (id, text) in generate::MACROS {
        let definition = parse_macro(text).unwrap();
        macros.insert(id, definition.clone());
        definitions.insert(id, definition);
    }
    (macros, definitions)
}

#[test]
fn both_evaluations_agree() {
    let cases = setting("DIFFERENTIAL_CASES", 100_000);
    let start = setting("DIFFERENTIAL_SEED", 1);
    let (macros, definitions) = macros();
    let (mut trues, mut texts) = (0, BTreeSet::new());
    for seed in start..start + cases.div_ceil(RECORDS) {
        let mut random = Random::new(seed);
        let text = generate::rule(&mut random);
        let expression = parse(&text).unwrap_or_else(|error| panic!("{seed}: {text}: {error}"));
        let compiled = compile(&expression, &macros, &World);
        let compiled = match compiled {
            Ok(compiled) => compiled,
            Err(error) if error.message.contains("2 registers") => continue,
            Err(error) => panic!("seed {seed}: {text}\n{error} at {:?}", error.span),
        };
        for _ in 0..RECORDS {
            let reading = Reading::random(&mut random);
            let found = compiled.matches(&reading);
            let expected = Naive::new(&reading, &definitions).matches(&expression);
            assert_eq!(found, expected, "seed {seed}: {text}\n{}", shown(&reading));
            trues += u64::from(found);
        }
        texts.insert(text.len());
    }
    // The domains are small so that both outcomes are frequent.
    assert!(
        trues > cases / 5 && trues < cases / 5 * 4,
        "{trues} are true"
    );
    assert!(
        cases < 1_000 || texts.len() > 50,
        "expressions are of many lengths"
    );
}

fn shown(reading: &Reading) -> String {
    let rows = world::ROWS.iter().zip(&reading.turns);
    let lines = rows.map(|(row, turns)| format!("  {}: {turns:?}\n", row.name));
    lines.collect()
}

#[test]
fn spoiled_expressions_are_refused_in_words_or_run() {
    let cases = setting("DIFFERENTIAL_CASES", 100_000) / 5;
    let (macros, _) = macros();
    let reading = Reading::random(&mut Random::new(1));
    let mut refused = 0;
    for seed in 1..=cases {
        let mut random = Random::new(seed);
        let text = spoiled(&generate::rule(&mut random), &mut random);
        let compiled = parse(&text).and_then(|parsed| compile(&parsed, &macros, &World));
        match compiled {
            Ok(compiled) => {
                compiled.matches(&reading);
                let _ = format!("{compiled:?}");
            }
            Err(error) => {
                check(&text, &error);
                refused += 1;
            }
        }
    }
    assert!(refused > cases / 4, "{refused}");
}

fn check(text: &str, error: &Error) {
    assert!(text.get(error.span.clone()).is_some(), "{text}: {error:?}");
    assert!(!error.to_string().is_empty(), "{text}");
    let (line, column) = position(text, error.span.start);
    assert!(line >= 1 && column >= 1, "{text}");
}

/// The text with a piece of it gone, doubled or moved.
fn spoiled(text: &str, random: &mut Random) -> String {
    let letters: Vec<char> = text.chars().collect();
    let start = random.below(letters.len());
    let end = start + random.below(letters.len() - start + 1).min(8);
    let (before, piece, behind) = (&letters[..start], &letters[start..end], &letters[end..]);
    let parts = match random.below(3) {
        0 => [before, behind, &[]],
        1 => [before, piece, &letters[start..]],
        _ => [piece, before, behind],
    };
    parts.concat().into_iter().collect()
}
