//! As much of the template language of Go, with the functions of Helm, as the chart uses.
//!
//! Text and a value enter, text leaves. [`parse`] makes nodes of a template, [`evaluate`] texts of
//! nodes, [`functions`] are what a pipeline can call. Where Helm would fail on a missing value this
//! is lenient: the chart is tested against Helm itself. What is wrong with a template is said by a
//! fixed sentence, as only who changes the chart will read it.

mod evaluate;
mod functions;
mod parse;

use std::collections::BTreeMap;

use serde_json::Value;

use parse::Node;

/// What is wrong with a template.
type Wrong = &'static str;

/// Templates by name: files, and what they define.
#[derive(Debug, Default)]
pub(super) struct Templates {
    by_name: BTreeMap<String, Vec<Node>>,
}

impl Templates {
    /// Adds a file.
    pub(super) fn add(&mut self, name: &str, text: &str) -> Result<(), Wrong> {
        let (nodes, defined) = parse::file(text)?;
        self.by_name.insert(name.to_owned(), nodes);
        self.by_name.extend(defined);
        Ok(())
    }

    /// The text of a template, or of a definition, for a value.
    pub(super) fn render(&self, name: &str, dot: &Value) -> Result<String, Wrong> {
        let nodes = self.by_name.get(name).ok_or("there is no such template")?;
        let mut text = String::new();
        evaluate::Scope::new(self, dot).nodes(nodes, dot, &mut text)?;
        Ok(text)
    }
}
