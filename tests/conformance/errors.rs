//! Rows of a bad expression, a part of what is said of it, and the column that is shown.
//!
//! A column is a number from 1, counted in characters; `"2:3"` is column 3 of line 2.

use crate::table::{Row, Table};
use security_agent::event::Fields;
use security_agent::secl::{self, Macros};
use serde_yaml::Value;

/// Judges all rows.
pub fn errors(table: &Table) -> Vec<String> {
    let macros = table.macros();
    let wrong = |row: &Row| {
        let sentence = wrong(row, &macros)?;
        let shown: String = row.expression().chars().take(200).collect();
        Some(format!(
            "{}.yaml:{}: {shown}: {sentence}",
            table.name, row.line
        ))
    };
    table.rows.iter().filter_map(wrong).collect()
}

/// What is wrong with the error of a row.
fn wrong(row: &Row, macros: &Macros) -> Option<String> {
    let text = row.expression();
    let parsed = secl::parse(&text);
    let Err(error) = parsed.and_then(|parsed| secl::compile(&parsed, macros, &Fields)) else {
        return Some("is no error".to_owned());
    };
    let (line, column) = secl::position(&text, error.span.start);
    let place = match line {
        1 => Value::from(column),
        _ => Value::from(format!("{line}:{column}")),
    };
    if place != *row.expected() {
        return Some(format!("{error} (column {place:?})"));
    }
    if error.span.start > error.span.end || error.span.end > text.len() {
        return Some(format!("the error is about the bytes {:?}", error.span));
    }
    (!error.to_string().contains(&row.text(1))).then(|| error.to_string())
}
