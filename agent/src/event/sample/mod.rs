//! Events written in files: a type, and values by field name.
//!
//! People write them to ask whether a rule matches. A [`Sample`] is built from the written values
//! and answers as a [`Record`] for every field of a scheme, also for those that nothing observes:
//! [`Catalog`] knows the shapes of the fields, `value` reads what was written, `derive` fills in
//! what follows from it. A field without a value reads as absent. Which file the values stand in
//! is the caller's business.

mod catalog;
mod derive;
mod error;
mod forms;
mod value;

use std::collections::HashMap;
use std::ops::Range;

use serde_json::{Map, Value};

use super::model::MAX_ANCESTORS;
use crate::secl::{FieldId, IpNet, Record, Value as Element};

pub use catalog::Catalog;
use catalog::Shape;
use derive::Draft;
pub use error::Error;
use value::Turns;

/// The most elements of one field.
const MAX_ELEMENTS: usize = 4096;
/// The most turns of an iterator.
const MAX_TURNS: usize = MAX_ANCESTORS;

/// The values of one field.
#[derive(Debug)]
struct Stored {
    /// The elements of all turns in one row; `None` where a turn has nothing.
    elements: Vec<Option<Element>>,
    /// Where the elements of each turn end.
    ends: Vec<usize>,
}

impl Stored {
    fn new(turns: Turns) -> Stored {
        let mut stored = Stored {
            elements: Vec::new(),
            ends: Vec::with_capacity(turns.len()),
        };
        for turn in turns {
            stored.elements.extend(turn);
            stored.ends.push(stored.elements.len());
        }
        stored
    }

    fn turn(&self, turn: usize) -> Range<usize> {
        let end = |turn: usize| self.ends.get(turn).copied();
        let start = turn.checked_sub(1).map_or(Some(0), end);
        match (start, end(turn)) {
            (Some(start), Some(end)) => start..end,
            _ => 0..0,
        }
    }
}

/// An event as it was written, with what follows from it.
#[derive(Debug)]
pub struct Sample<'c> {
    catalog: &'c Catalog<'c>,
    event: &'static str,
    fields: HashMap<FieldId, Stored>,
    /// The number of turns of each iterator.
    turns: Vec<usize>,
}

impl<'c> Sample<'c> {
    /// Reads an event of the type `event`.
    pub fn new(
        catalog: &'c Catalog<'c>,
        event: &str,
        values: &Map<String, Value>,
    ) -> Result<Sample<'c>, Error> {
        let mut draft = Draft::new(catalog, catalog.event(event)?);
        for (name, written) in values {
            draft.write(name, written)?;
        }
        draft.complete()?;
        let turns = draft.count_turns()?;
        let mut sample = Sample {
            catalog,
            event: draft.event,
            fields: HashMap::new(),
            turns,
        };
        for entry in draft.entries.into_values() {
            sample.store(entry.id, entry.shape, entry.turns);
        }
        Ok(sample)
    }

    /// The type.
    pub fn event(&self) -> &'static str {
        self.event
    }

    /// Keeps the values of a field; an iterator's field gets as many turns as the iterator has.
    fn store(&mut self, id: FieldId, shape: Shape, mut turns: Turns) {
        if let Shape::Turns { root, nested } = shape {
            let missing = match nested {
                true => Vec::new(),
                false => vec![None],
            };
            turns.resize(self.turns_of(root), missing);
        }
        self.fields.insert(id, Stored::new(turns));
    }

    fn turns_of(&self, root: usize) -> usize {
        self.turns.get(root).copied().unwrap_or(0)
    }

    fn element(&self, field: FieldId, index: usize) -> Option<&Element> {
        self.fields.get(&field)?.elements.get(index)?.as_ref()
    }
}

impl Record for Sample<'_> {
    fn count(&self, field: FieldId) -> usize {
        if let Some(stored) = self.fields.get(&field) {
            return stored.elements.len();
        }
        match self.catalog.shape(field) {
            Shape::One => 1,
            Shape::List | Shape::Turns { nested: true, .. } => 0,
            Shape::Turns { root, .. } => self.turns_of(root),
        }
    }

    fn int(&self, field: FieldId, index: usize) -> i64 {
        match self.element(field, index) {
            Some(Element::Int(value)) => *value,
            _ => 0,
        }
    }

    fn boolean(&self, field: FieldId, index: usize) -> bool {
        matches!(self.element(field, index), Some(Element::Bool(true)))
    }

    fn text(&self, field: FieldId, index: usize) -> &str {
        match self.element(field, index) {
            Some(Element::Text(value)) => value,
            _ => "",
        }
    }

    fn ip(&self, field: FieldId, index: usize) -> Option<IpNet> {
        match self.element(field, index) {
            Some(Element::Ip(value)) => Some(*value),
            _ => None,
        }
    }

    fn iterations(&self, field: FieldId) -> usize {
        match self.catalog.shape(field) {
            Shape::Turns { root, .. } => self.turns_of(root),
            _ => 1,
        }
    }

    fn elements(&self, field: FieldId, iteration: usize) -> Range<usize> {
        match (self.catalog.shape(field), self.fields.get(&field)) {
            (Shape::Turns { .. }, Some(stored)) => stored.turn(iteration),
            (Shape::Turns { nested: true, .. }, None) => 0..0,
            (Shape::Turns { .. }, None) => iteration..iteration.saturating_add(1),
            _ => 0..self.count(field),
        }
    }
}

#[cfg(test)]
mod tests;
