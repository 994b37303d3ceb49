//! A table as it stands in its file: YAML in, rows with their lines out.
//!
//! The items of a table are the last part of its file (`rows:` or `cases:`), and each begins on a
//! line of its own, so that it can be named by that line. What the columns mean is the business of
//! the judges.

use security_agent::secl::{self, Macros};
use serde::Deserialize;
use serde_yaml::Value;
use std::collections::BTreeMap;

/// Where the tables are.
pub const FOLDER: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../tests/conformance");

/// A whole file.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Table {
    /// The name of the file without its ending.
    #[serde(skip)]
    pub name: String,
    /// The events that rows name.
    #[serde(default)]
    pub events: BTreeMap<String, WrittenEvent>,
    /// Macros by id: an expression, or a list of values.
    #[serde(default)]
    macros: BTreeMap<String, Value>,
    /// The rows.
    #[serde(alias = "cases")]
    pub rows: Vec<Row>,
}

/// An event as events are written in files.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WrittenEvent {
    /// Its type.
    #[serde(rename = "type")]
    pub kind: String,
    /// Its values by field name.
    #[serde(default)]
    pub values: serde_json::Map<String, serde_json::Value>,
}

/// A row, or another item of a file.
#[derive(Debug, Deserialize)]
#[serde(transparent)]
pub struct Row {
    /// Where it begins.
    #[serde(skip)]
    pub line: usize,
    /// What it says.
    pub value: Value,
}

/// Text that is too long to be written out.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Generated {
    #[serde(default)]
    before: String,
    repeat: String,
    times: usize,
    #[serde(default)]
    after: String,
}

impl Table {
    /// Reads the file of that name.
    pub fn read(name: &str) -> Table {
        let text = std::fs::read_to_string(format!("{FOLDER}/{name}.yaml")).unwrap();
        let table: Result<Table, _> = serde_yaml::from_str(&text);
        let mut table = table.unwrap_or_else(|error| panic!("{name}.yaml: {error}"));
        name.clone_into(&mut table.name);
        let lines = item_lines(&text);
        assert_eq!(
            lines.len(),
            table.rows.len(),
            "{name}.yaml: one item a line"
        );
        for (row, line) in table.rows.iter_mut().zip(lines) {
            row.line = line;
        }
        table
    }

    /// The macros, read.
    pub fn macros(&self) -> Macros {
        let mut macros = Macros::new();
        for (id, value) in &self.macros {
            match value {
                Value::String(text) => macros.insert(id, secl::parse_macro(text).unwrap()),
                values => {
                    let values: Vec<String> = serde_yaml::from_value(values.clone()).unwrap();
                    macros.from_values(id, &values).unwrap();
                }
            }
        }
        macros
    }
}

/// The lines on which the items of the last list begin.
fn item_lines(text: &str) -> Vec<usize> {
    let numbered = (1..).zip(text.lines());
    let behind = numbered.skip_while(|(_, line)| !matches!(*line, "rows:" | "cases:"));
    behind
        .filter(|(_, line)| line.starts_with("  - "))
        .map(|(number, _)| number)
        .collect()
}

impl Row {
    fn column(&self, column: usize) -> &Value {
        let found = self.value.get(column);
        found.unwrap_or_else(|| panic!("line {}: there are three columns", self.line))
    }

    /// The text in a column.
    pub fn text(&self, column: usize) -> String {
        match self.column(column) {
            Value::String(text) => text.clone(),
            other => panic!("line {}: {other:?} is no text", self.line),
        }
    }

    /// The expression, in the first column.
    pub fn expression(&self) -> String {
        let first = self.column(0);
        if first.is_string() {
            return self.text(0);
        }
        let parts: Generated = serde_yaml::from_value(first.clone()).unwrap();
        parts.before + &parts.repeat.repeat(parts.times) + &parts.after
    }

    /// What is expected, in the last column.
    pub fn expected(&self) -> &Value {
        self.column(2)
    }
}
