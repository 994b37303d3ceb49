//! An event with the variables that it sees.

use super::declare::{Declaration, Declarations, UUID_ID};
use super::store::{Held, Holder};
use crate::policy::action::Scope;
use crate::secl::{FieldId, IpNet, Record, Value};
use std::cell::OnceCell;
use std::fmt::Write;
use std::io::Read;
use std::ops::Range;

/// A record of fields, and of the variables of those to whom the event belongs. Made anew for each
/// event; see [`super::Store::scoped`].
pub struct Scoped<'a> {
    pub(super) record: &'a dyn Record,
    pub(super) declarations: &'a Declarations,
    /// One for each scope, in the order of [`slot`].
    pub(super) holders: [Option<&'a Holder>; 4],
    pub(super) uuid: OnceCell<String>,
}

/// Where the holder of a scope is in [`Scoped::holders`].
pub(super) fn slot(scope: Scope) -> usize {
    match scope {
        Scope::Global => 0,
        Scope::Process => 1,
        Scope::Container => 2,
        Scope::Cgroup => 3,
    }
}

/// What a variable holds: what was set, else its default.
enum Content<'a> {
    Held(&'a Held),
    Default(&'a Value),
    Nothing,
}

impl<'a> Scoped<'a> {
    fn content(&self, place: usize) -> Content<'a> {
        let Some(declaration) = self.declarations.all().get(place) else {
            return Content::Nothing;
        };
        match (self.held(place, declaration), &declaration.default) {
            (Some(held), _) => Content::Held(held),
            (None, Some(default)) => Content::Default(default),
            (None, None) => Content::Nothing,
        }
    }

    fn held(&self, place: usize, declaration: &Declaration) -> Option<&'a Held> {
        let holder = self
            .holders
            .get(slot(declaration.scope))
            .copied()
            .flatten()?;
        holder.get(place)
    }

    fn value(&self, place: usize, index: usize) -> Option<&'a Value> {
        match self.content(place) {
            Content::Held(held) => held.get(index),
            Content::Default(Value::List(values)) => values.get(index),
            Content::Default(value) => (index == 0).then_some(value),
            Content::Nothing => None,
        }
    }

    /// The variables of one scope that hold something and are shown in events: name and value.
    pub fn shown(&self, scope: Scope) -> impl Iterator<Item = (&'a str, Vec<&'a Value>)> + '_ {
        let declared = self.declarations.all().iter().enumerate();
        declared.filter_map(move |(place, declaration)| {
            if declaration.scope != scope || declaration.private {
                return None;
            }
            let values: Vec<&Value> = self.held(place, declaration)?.iter().collect();
            (!values.is_empty()).then(|| (declaration.short_name(), values))
        })
    }

    /// Whether a variable is a list, by the name that [`Scoped::shown`] gives.
    pub fn is_list(&self, scope: Scope, short_name: &str) -> bool {
        let named = |one: &&Declaration| one.scope == scope && one.short_name() == short_name;
        let found = self.declarations.all().iter().find(named);
        found.is_some_and(|one| one.many)
    }
}

impl Record for Scoped<'_> {
    fn count(&self, field: FieldId) -> usize {
        let Some(place) = Declarations::place(field) else {
            return self.record.count(field);
        };
        let is_list = self
            .declarations
            .all()
            .get(place)
            .is_some_and(|one| one.many);
        match self.content(place) {
            _ if !is_list => 1,
            Content::Held(held) => held.len(),
            Content::Default(Value::List(values)) => values.len(),
            Content::Default(_) => 1,
            Content::Nothing => 0,
        }
    }

    fn int(&self, field: FieldId, index: usize) -> i64 {
        match Declarations::place(field) {
            None => self.record.int(field, index),
            Some(place) => match self.value(place, index) {
                Some(Value::Int(value)) => *value,
                _ => 0,
            },
        }
    }

    fn boolean(&self, field: FieldId, index: usize) -> bool {
        match Declarations::place(field) {
            None => self.record.boolean(field, index),
            Some(place) => matches!(self.value(place, index), Some(Value::Bool(true))),
        }
    }

    fn text(&self, field: FieldId, index: usize) -> &str {
        match Declarations::place(field) {
            None => self.record.text(field, index),
            Some(_) if field == UUID_ID => self.uuid.get_or_init(uuid),
            Some(place) => match self.value(place, index) {
                Some(Value::Text(text)) => text,
                _ => "",
            },
        }
    }

    fn ip(&self, field: FieldId, index: usize) -> Option<IpNet> {
        match Declarations::place(field) {
            None => self.record.ip(field, index),
            Some(place) => match self.value(place, index) {
                Some(Value::Ip(net)) => Some(*net),
                _ => None,
            },
        }
    }

    fn iterations(&self, field: FieldId) -> usize {
        match Declarations::place(field) {
            None => self.record.iterations(field),
            Some(_) => self.count(field),
        }
    }

    fn elements(&self, field: FieldId, iteration: usize) -> Range<usize> {
        match Declarations::place(field) {
            None => self.record.elements(field, iteration),
            Some(_) => iteration..iteration.saturating_add(1),
        }
    }
}

/// A random identifier (RFC 9562, version 4); empty when the system has no randomness.
fn uuid() -> String {
    let mut bytes = [0u8; 16];
    let read = std::fs::File::open("/dev/urandom").and_then(|mut file| file.read_exact(&mut bytes));
    let mut text = String::with_capacity(36);
    if read.is_err() {
        return text;
    }
    for (place, byte) in bytes.into_iter().enumerate() {
        let byte = match place {
            6 => byte & 0x0f | 0x40,
            8 => byte & 0x3f | 0x80,
            _ => byte,
        };
        if matches!(place, 4 | 6 | 8 | 10) {
            text.push('-');
        }
        // Writing into a String cannot fail.
        let _ = write!(text, "{byte:02x}");
    }
    text
}
