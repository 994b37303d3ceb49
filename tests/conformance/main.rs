//! The conformance suite of the rule language: tables of rules, events and what is true of them.
//!
//! Every YAML file in this folder is a table and a test of its own. Most have rows of an
//! expression, the name of an event and the truth ([`rows`]); others have errors with their column
//! ([`errors`]), values of formulas, or cases of whole policies ([`policies`]). All of them go
//! through the public interface of the agent's library, with its real fields. A failing test names
//! every row that fails, by its line.

mod errors;
mod policies;
mod rows;
mod table;

use security_agent::event::types::RULE_TYPES;
use std::collections::{BTreeSet, HashSet};
use table::Table;

/// Fewer rows than this, and some have been lost.
const LEAST_ROWS: usize = 1_200;
/// The same for the rows about errors.
const LEAST_ERRORS: usize = 200;

/// The tables whose items are cases of whole policies and no rows.
const CASES: &[&str] = &["actions", "merging", "policies"];

/// Judges a table and gives a sentence for each row that is not as it should be.
type Judge = fn(&Table) -> Vec<String>;

macro_rules! tables {
    ($($name:ident by $judge:path;)*) => {
        $(
            #[test]
            fn $name() {
                judge(stringify!($name), $judge);
            }
        )*

        /// The tables by name.
        const TABLES: &[&str] = &[$(stringify!($name)),*];
    };
}

tables! {
    actions by policies::cases;
    addresses by rows::truths;
    booleans by rows::truths;
    constants by rows::truths;
    durations by rows::truths;
    empty by rows::truths;
    errors by errors::errors;
    every_event by rows::truths;
    formulas by rows::values;
    interpolation by rows::truths;
    iterators by rows::truths;
    lists by rows::truths;
    macros by rows::truths;
    merging by policies::cases;
    numbers by rows::truths;
    paths by rows::truths;
    policies by policies::cases;
    precedence by rows::truths;
    registers by rows::truths;
    sessions by rows::truths;
    strings by rows::truths;
}

fn judge(name: &str, judge: Judge) {
    let table = Table::read(name);
    let failures = judge(&table);
    for failure in &failures {
        eprintln!("{failure}");
    }
    let (failed, all) = (failures.len(), table.rows.len());
    assert!(failed == 0, "{failed} of {all} rows of {name}.yaml fail");
}

/// The tables whose items are rows.
fn tables_of_rows() -> impl Iterator<Item = Table> {
    let names = TABLES.iter().filter(|name| !CASES.contains(name));
    names.map(|name| Table::read(name))
}

#[test]
fn there_are_enough_rows_and_no_row_stands_twice() {
    let (mut rows, mut errors) = (0, 0);
    for table in tables_of_rows() {
        let mut seen = HashSet::new();
        for row in &table.rows {
            let text = row.expression();
            let place = format!("{}.yaml:{}: {text}", table.name, row.line);
            let event = match table.events.is_empty() {
                true => String::new(),
                false => row.text(1),
            };
            assert!(seen.insert((event, text)), "{place} stands twice");
        }
        match table.name.as_str() {
            "errors" => errors += table.rows.len(),
            _ => rows += table.rows.len(),
        }
    }
    assert!(rows >= LEAST_ROWS, "{rows} rows");
    assert!(errors >= LEAST_ERRORS, "{errors} rows about errors");
}

#[test]
fn every_table_is_a_test() {
    let entries = std::fs::read_dir(table::FOLDER).unwrap();
    let names = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let found: BTreeSet<String> = names
        .filter_map(|name| Some(name.strip_suffix(".yaml")?.to_owned()))
        .collect();
    let known: BTreeSet<String> = TABLES.iter().map(|name| (*name).to_owned()).collect();
    assert_eq!(found, known);
}

#[test]
fn fields_of_every_event_type_are_asked_for() {
    let mut missing: BTreeSet<&str> = RULE_TYPES.iter().copied().collect();
    for table in tables_of_rows().filter(|table| !table.events.is_empty()) {
        for event in rows::events_asked_for(&table) {
            missing.remove(event);
        }
    }
    // It has no field of its own yet.
    missing.remove("failed_dns");
    assert!(missing.is_empty(), "no row is about {missing:?}");
}
