//! Rows of an expression, an event and what the expression is on it: true, false, or a value.
//!
//! Beside the truth itself the index of rules is judged: it must not miss a rule that matches.

use crate::table::{Row, Table};
use security_agent::event::sample::Catalog;
use security_agent::event::{Fields, Sample};
use security_agent::secl::{self, Candidates, Compiled, Index, Macros, Value};
use std::collections::BTreeMap;

/// The events of a table by name.
fn samples<'c>(table: &Table, catalog: &'c Catalog<'c>) -> BTreeMap<String, Sample<'c>> {
    let read = |(name, written): (&String, &crate::table::WrittenEvent)| {
        let sample = Sample::new(catalog, &written.kind, &written.values);
        let sample = sample.unwrap_or_else(|error| panic!("event {name}: {error}"));
        (name.clone(), sample)
    };
    table.events.iter().map(read).collect()
}

fn compiled(row: &Row, macros: &Macros) -> Result<Compiled, secl::Error> {
    let parsed = secl::parse(&row.expression())?;
    secl::compile(&parsed, macros, &Fields)
}

fn named<'s, 'c>(samples: &'s BTreeMap<String, Sample<'c>>, row: &Row) -> &'s Sample<'c> {
    let name = row.text(1);
    let found = samples.get(&name);
    found.unwrap_or_else(|| panic!("line {}: there is no event {name}", row.line))
}

fn failure(table: &Table, row: &Row, sentence: impl std::fmt::Display) -> String {
    let (file, line) = (&table.name, row.line);
    format!("{file}.yaml:{line}: {}: {sentence}", row.expression())
}

/// Judges rows whose last column is `true` or `false`.
pub fn truths(table: &Table) -> Vec<String> {
    let catalog = Catalog::new(&Fields);
    let samples = samples(table, &catalog);
    let macros = table.macros();
    let mut failures = Vec::new();
    let mut by_event: BTreeMap<String, Vec<(&Row, Compiled)>> = BTreeMap::new();
    for row in &table.rows {
        let sample = named(&samples, row);
        match compiled(row, &macros) {
            Err(error) => failures.push(failure(table, row, error)),
            Ok(compiled) => {
                failures.extend(truth(row, &compiled, sample).map(|one| failure(table, row, one)));
                by_event
                    .entry(row.text(1))
                    .or_default()
                    .push((row, compiled));
            }
        }
    }
    for (event, rules) in by_event {
        let missed = missed(&rules, &samples[&event]);
        failures.extend(missed.map(|row| failure(table, row, "the index does not find it")));
    }
    failures
}

/// What is wrong with the truth of a rule on an event.
fn truth(row: &Row, rule: &Compiled, sample: &Sample<'_>) -> Option<String> {
    let event = sample.event();
    if !rule.events().is_empty() && !rule.events().contains(&event) {
        return Some(format!("it is about {:?}, not {event}", rule.events()));
    }
    let expected = row.expected().as_bool();
    let expected = expected.unwrap_or_else(|| panic!("line {}: no truth", row.line));
    let found = rule.matches(sample);
    (found != expected).then(|| format!("is {found}"))
}

/// The rows that match and that an index of all these rules leaves out.
fn missed<'r>(
    rules: &'r [(&'r Row, Compiled)],
    sample: &'r Sample<'_>,
) -> impl Iterator<Item = &'r Row> {
    let index = Index::new(rules.iter().map(|(_, rule)| rule));
    let mut candidates = Candidates::new();
    index.candidates(sample, &mut candidates);
    let found: Vec<usize> = candidates.iter().collect();
    let numbered = rules.iter().enumerate();
    let missed =
        numbered.filter(move |(place, (_, rule))| rule.matches(sample) && !found.contains(place));
    missed.map(|(_, (row, _))| *row)
}

/// Judges rows whose last column is the value of a formula.
pub fn values(table: &Table) -> Vec<String> {
    let catalog = Catalog::new(&Fields);
    let samples = samples(table, &catalog);
    let macros = table.macros();
    let mut failures = Vec::new();
    for row in &table.rows {
        let sample = named(&samples, row);
        let parsed = secl::parse_macro(&row.expression());
        let formula = parsed.and_then(|parsed| secl::formula(&parsed, &macros, &Fields));
        match formula.map(|formula| formula.evaluate(sample)) {
            Err(error) => failures.push(failure(table, row, error)),
            Ok(found) => {
                let found = found.map_or(serde_yaml::Value::Null, |value| written(&value));
                if found != *row.expected() {
                    failures.push(failure(table, row, format!("is {found:?}")));
                }
            }
        }
    }
    failures
}

fn written(value: &Value) -> serde_yaml::Value {
    match value {
        Value::Bool(truth) => (*truth).into(),
        Value::Int(number) => (*number).into(),
        Value::Text(text) => text.as_str().into(),
        Value::Ip(net) => net.to_string().into(),
        Value::List(all) => serde_yaml::Value::Sequence(all.iter().map(written).collect()),
    }
}

/// The event types that are the only ones which some row of the table can be about.
pub fn events_asked_for(table: &Table) -> Vec<&'static str> {
    let macros = table.macros();
    let compiled = table
        .rows
        .iter()
        .filter_map(|row| compiled(row, &macros).ok());
    compiled
        .filter_map(|rule| match rule.events() {
            [only] => Some(*only),
            _ => None,
        })
        .collect()
}
