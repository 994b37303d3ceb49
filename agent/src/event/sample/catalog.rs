//! What samples need to know of the fields beyond a scheme: which iterator a field belongs to, and
//! how many values it takes.
//!
//! Made once for many samples, as it asks for every name of the scheme.

use std::collections::HashMap;
use std::fmt;

use super::error::Error;
use crate::secl::{self, Field, FieldId, Scheme};

/// How many values a field takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Shape {
    /// One.
    One,
    /// Any number.
    List,
    /// One for each turn of an iterator, or a list for each.
    Turns {
        /// The place of the iterator in the catalog.
        root: usize,
        /// Whether each turn has a list.
        nested: bool,
    },
}

/// The fields that samples can have.
pub struct Catalog<'s> {
    scheme: &'s dyn Scheme,
    names: Vec<String>,
    shapes: HashMap<FieldId, Shape>,
    /// The names of the iterators, such as `process.ancestors`.
    roots: Vec<String>,
}

impl fmt::Debug for Catalog<'_> {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "Catalog of {} fields", self.names.len())
    }
}

impl<'s> Catalog<'s> {
    /// The catalog of the scheme's fields.
    pub fn new(scheme: &'s dyn Scheme) -> Catalog<'s> {
        let mut catalog = Catalog {
            scheme,
            names: scheme.names(),
            shapes: HashMap::new(),
            roots: Vec::new(),
        };
        let names = std::mem::take(&mut catalog.names);
        for name in &names {
            if let Some(field) = scheme.field(name) {
                let shape = catalog.make_shape(name, &field);
                catalog.shapes.insert(field.id, shape);
            }
        }
        catalog.names = names;
        catalog
    }

    /// The scheme.
    pub(super) fn scheme(&self) -> &'s dyn Scheme {
        self.scheme
    }

    /// The names of the iterators, in the order of their places.
    pub(super) fn roots(&self) -> &[String] {
        &self.roots
    }

    /// The shape of a field; one that is not known takes one value.
    pub(super) fn shape(&self, field: FieldId) -> Shape {
        self.shapes.get(&field).copied().unwrap_or(Shape::One)
    }

    /// The type of that name, as the scheme spells it.
    pub(super) fn event(&self, name: &str) -> Result<&'static str, Error> {
        let types = self.scheme.event_types();
        let found = types.iter().find(|known| **known == name).copied();
        found.ok_or_else(|| {
            let types: Vec<String> = types.iter().map(|name| (*name).to_owned()).collect();
            Error::UnknownEvent {
                suggestion: secl::nearest(name, &types),
                name: name.to_owned(),
            }
        })
    }

    /// The field of that name, when events of the type `event` have it.
    pub(super) fn available(&self, name: &str, event: &str) -> Option<Field> {
        let field = self.scheme.field(name)?;
        (field.events.is_empty() || field.events.contains(&event)).then_some(field)
    }

    /// The same, with the reason when there is none.
    pub(super) fn find(&self, name: &str, event: &'static str) -> Result<Field, Error> {
        let known = self.scheme.field(name).ok_or_else(|| Error::UnknownField {
            name: name.to_owned(),
            suggestion: secl::nearest(name, &self.names),
        })?;
        self.available(name, event)
            .ok_or_else(|| Error::NotAvailable {
                name: name.to_owned(),
                event,
                available: known.events.join(", "),
            })
    }

    fn make_shape(&mut self, name: &str, field: &Field) -> Shape {
        if !field.iterator {
            return match field.ty.many {
                true => Shape::List,
                false => Shape::One,
            };
        }
        let root = self.root(name);
        // The same field of the process itself says whether it is a list.
        let parts = self.roots.get(root).and_then(|root| {
            let (owner, _) = root.rsplit_once('.')?;
            Some((owner, name.strip_prefix(root)?))
        });
        let own = parts.and_then(|(owner, rest)| self.scheme.field(&format!("{owner}{rest}")));
        Shape::Turns {
            root,
            nested: own.is_some_and(|own| own.ty.many),
        }
    }

    /// The place of the iterator that the field of that name is read through: the shortest
    /// beginning of the name that has a length.
    fn root(&mut self, name: &str) -> usize {
        let below = |root: &String| {
            name.strip_prefix(root.as_str())
                .is_some_and(|rest| rest.starts_with('.'))
        };
        if let Some(place) = self.roots.iter().position(below) {
            return place;
        }
        let mut beginnings = name.match_indices('.').filter_map(|(at, _)| name.get(..at));
        let counted = |root: &&str| {
            let length = self.scheme.field(&format!("{root}.length"));
            length.is_some_and(|length| !length.iterator)
        };
        let root = beginnings.find(counted);
        let owner = name.rsplit_once('.').map(|(owner, _)| owner);
        let root = root.or(owner).unwrap_or(name);
        self.roots.push(root.to_owned());
        self.roots.len() - 1
    }
}
