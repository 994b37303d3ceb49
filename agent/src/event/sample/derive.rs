//! What follows from the values that were written: the same process under another name, the parts
//! of a path, the forms of arguments, the family of an address.
//!
//! Nothing that was written is changed. Fields that are the same by definition and were given
//! different values are an error, as no event could be so.

use std::collections::BTreeMap;

use serde_json::Value;

use super::catalog::{Catalog, Shape};
use super::error::Error;
use super::forms::forms;
use super::value::{Reader, Turns};
use super::Element;
use super::MAX_TURNS;
use crate::secl::{FieldId, Kind};

/// What is so in every event, unless it is written otherwise.
const CONSTANT: &[(&str, &str)] = &[
    ("event.os", "linux"),
    ("event.origin", "ebpf"),
    ("event.source", "runtime"),
];

/// The values of one field.
#[derive(Clone, Debug)]
pub(super) struct Entry {
    pub(super) id: FieldId,
    pub(super) shape: Shape,
    pub(super) turns: Turns,
}

impl Entry {
    /// The value of a field that has one.
    fn only(&self) -> Option<Element> {
        self.turns.first()?.first()?.clone()
    }
}

/// A sample that is being made.
pub(super) struct Draft<'c> {
    catalog: &'c Catalog<'c>,
    pub(super) event: &'static str,
    /// By field name.
    pub(super) entries: BTreeMap<String, Entry>,
}

impl<'c> Draft<'c> {
    /// One without values.
    pub(super) fn new(catalog: &'c Catalog<'c>, event: &'static str) -> Draft<'c> {
        Draft {
            catalog,
            event,
            entries: BTreeMap::new(),
        }
    }

    /// Reads a value that was written.
    pub(super) fn write(&mut self, name: &str, written: &Value) -> Result<(), Error> {
        let field = self.catalog.find(name, self.event)?;
        let shape = self.catalog.shape(field.id);
        let reader = Reader {
            scheme: self.catalog.scheme(),
            name,
            field,
            shape,
        };
        let entry = Entry {
            id: field.id,
            shape,
            turns: reader.read(written)?,
        };
        self.entries.insert(name.to_owned(), entry);
        Ok(())
    }

    /// Fills in what follows, until nothing more does.
    pub(super) fn complete(&mut self) -> Result<(), Error> {
        loop {
            let before = self.entries.len();
            if matches!(self.event, "exec" | "exit") {
                self.same(&format!("{}.", self.event), "process.")?;
            }
            if self.event == "packet" {
                self.same("packet.", "network.")?;
            }
            self.same("container.", "process.container.")?;
            self.same("cgroup.", "process.cgroup.")?;
            self.parents()?;
            self.siblings();
            if self.entries.len() == before {
                break;
            }
        }
        for (name, value) in CONSTANT {
            self.add(name, vec![vec![Some(Element::Text((*value).to_owned()))]]);
        }
        Ok(())
    }

    /// The number of turns of each iterator, which its length then says too.
    pub(super) fn count_turns(&mut self) -> Result<Vec<usize>, Error> {
        let roots = self.catalog.roots();
        let mut all = vec![0; roots.len()];
        for entry in self.entries.values() {
            if let Shape::Turns { root, .. } = entry.shape {
                if let Some(turns) = all.get_mut(root) {
                    *turns = entry.turns.len().max(*turns);
                }
            }
        }
        for (root, turns) in roots.iter().zip(&mut all) {
            let name = format!("{root}.length");
            let written = self.entries.get(&name).and_then(Entry::only);
            let Some(Element::Int(length)) = written else {
                let length = i64::try_from(*turns).unwrap_or(i64::MAX);
                self.add(&name, vec![vec![Some(Element::Int(length))]]);
                continue;
            };
            match usize::try_from(length) {
                Ok(length) if length > MAX_TURNS => return Err(Error::TooManyTurns { name }),
                Ok(length) if length >= *turns => *turns = length,
                _ => {
                    return Err(Error::Length {
                        iterator: root.clone(),
                        turns: *turns,
                    })
                }
            }
        }
        Ok(all)
    }

    /// Gives fields under two prefixes each other's values.
    fn same(&mut self, left: &str, right: &str) -> Result<(), Error> {
        for (from, to) in [(left, right), (right, left)] {
            for (name, rest) in self.below(from) {
                let other = format!("{to}{rest}");
                let Some(turns) = self.entries.get(&name).map(|entry| entry.turns.clone()) else {
                    continue;
                };
                let known = self.entries.get(&other);
                if known.is_some_and(|entry| entry.turns != turns) {
                    return Err(contradiction(name, other));
                }
                self.add(&other, turns);
            }
        }
        Ok(())
    }

    /// Gives a parent and the first of the ancestors each other's values.
    fn parents(&mut self) -> Result<(), Error> {
        let names: Vec<String> = self.entries.keys().cloned().collect();
        for name in names {
            let Some(other) = counterpart(&name) else {
                continue;
            };
            let first = self
                .entries
                .get(&name)
                .and_then(|entry| entry.turns.first());
            let Some(first) = first.cloned() else {
                continue;
            };
            let known = self.entries.get(&other);
            let known = known.map(|entry| entry.turns.first() == Some(&first));
            if known == Some(false) {
                return Err(contradiction(name, other));
            }
            self.add(&other, vec![first]);
        }
        Ok(())
    }

    /// Fills in the fields that stand beside others and show the same in another form.
    fn siblings(&mut self) {
        let mut found = Vec::new();
        for (name, entry) in &self.entries {
            let Some((stem, leaf)) = name.rsplit_once('.') else {
                continue;
            };
            for (form, turns) in forms(leaf, &entry.turns) {
                found.push((format!("{stem}.{form}"), turns));
            }
        }
        for (name, turns) in found {
            self.add(&name, turns);
        }
    }

    /// Adds values that follow from others, unless the field has some, does not exist or is of
    /// another type.
    fn add(&mut self, name: &str, turns: Turns) {
        if self.entries.contains_key(name) {
            return;
        }
        let Some(field) = self.catalog.available(name, self.event) else {
            return;
        };
        let shape = self.catalog.shape(field.id);
        if suits(field.ty.kind, shape, &turns) {
            let id = field.id;
            self.entries
                .insert(name.to_owned(), Entry { id, shape, turns });
        }
    }

    /// The names that have values and begin with the prefix, and what follows it.
    fn below(&self, prefix: &str) -> Vec<(String, String)> {
        let names = self.entries.keys();
        names
            .filter_map(|name| Some((name.clone(), name.strip_prefix(prefix)?.to_owned())))
            .collect()
    }
}

fn contradiction(left: String, right: String) -> Error {
    Error::Contradiction { left, right }
}

/// The name under which a parent's field is that of the first ancestor, and the other way round.
fn counterpart(name: &str) -> Option<String> {
    const PARENT: &str = ".parent.";
    const ANCESTORS: &str = ".ancestors.";
    match (name.split_once(PARENT), name.split_once(ANCESTORS)) {
        (Some((owner, rest)), None) => Some(format!("{owner}{ANCESTORS}{rest}")),
        (None, Some((owner, rest))) => Some(format!("{owner}{PARENT}{rest}")),
        _ => None,
    }
}

/// Whether a field of that kind and shape can have these values.
fn suits(kind: Kind, shape: Shape, turns: &Turns) -> bool {
    let of_kind = |element: &Element| element.kind() == (kind, false);
    let single = turns.iter().all(|turn| turn.len() == 1);
    let shaped = match shape {
        Shape::One => turns.len() == 1 && single,
        Shape::List => turns.len() == 1,
        Shape::Turns { nested, .. } => nested || single,
    };
    shaped && turns.iter().flatten().flatten().all(of_kind)
}
