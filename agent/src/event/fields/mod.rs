//! Every field that a rule can name: one table, used to check, to evaluate and to document.
//!
//! The table is made of groups: rows such as those of a file appear under many prefixes
//! (`open.file`, `process.parent.file`…) and are written once, in [`rows`]. A field's id is the
//! place of its group and row, so reading one is two look-ups and a call, never a search by name.
//! What a row reads is in the event; nothing here asks the system.

mod capabilities;
mod groups;
mod rows;

pub use capabilities::{capabilities, capabilities_of};

use std::net::IpAddr;
use std::ops::Range;

use super::constants;
use super::model::{Cgroup, Event, File};
use super::process::Process;
use super::types::RULE_TYPES;
use super::wire::Identity;
use crate::secl::{Constant, Field, FieldId, FieldType, IpNet, Kind, Record, Scheme, TextKind};
use groups::{Group, Part, Place, Subject, FAMILIES};

/// What a row reads from: a process of the event's lineage and a file of it.
#[derive(Clone, Copy)]
struct View<'a> {
    event: &'a Event,
    process: &'a Process,
    /// 0 for the process of the event, 1 for its parent and so on.
    generation: usize,
    file: &'a File,
}

impl<'a> View<'a> {
    /// The credentials: those of the event for its own process.
    fn identity(self) -> Identity {
        match self.generation {
            0 => self.event.identity,
            _ => self.process.identity(),
        }
    }

    fn thread(self) -> u32 {
        match self.generation {
            0 => self.event.tid,
            _ => self.process.info.pid,
        }
    }

    fn cgroup(self) -> Option<&'a Cgroup> {
        match self.generation.checked_sub(1) {
            None => Some(&self.event.cgroup),
            Some(index) => self.event.ancestor_cgroups().get(index).map(|rc| &**rc),
        }
    }

    /// How long ago `time` was when the event happened, in nanoseconds; an unknown time is
    /// infinitely long ago, so that rules about new things do not match it.
    fn age(self, time: u64) -> i64 {
        match time {
            0 => i64::MAX,
            _ => i64::try_from(self.event.unix_time().saturating_sub(time)).unwrap_or(i64::MAX),
        }
    }
}

/// How to read a row, which also says what type it has.
#[derive(Clone, Copy)]
enum Read {
    Int(fn(View<'_>) -> i64),
    /// How long ago something was; infinitely long where there is nothing.
    Age(fn(View<'_>) -> i64),
    Bool(fn(View<'_>) -> bool),
    Text(TextKind, for<'a> fn(View<'a>) -> &'a str),
    Ip(fn(View<'_>) -> Option<IpAddr>),
    /// A list, and what of each element the field shows.
    List(
        TextKind,
        for<'a> fn(View<'a>) -> &'a [String],
        for<'a> fn(&'a str) -> &'a str,
    ),
    /// Nothing provides it yet.
    Empty(FieldType),
}

impl Read {
    fn field_type(self) -> FieldType {
        let (kind, many, text) = match self {
            Read::Int(_) | Read::Age(_) => (Kind::Int, false, TextKind::Plain),
            Read::Bool(_) => (Kind::Bool, false, TextKind::Plain),
            Read::Text(text, _) => (Kind::Text, false, text),
            Read::Ip(_) => (Kind::Ip, false, TextKind::Plain),
            Read::List(text, ..) => (Kind::Text, true, text),
            Read::Empty(ty) => return ty,
        };
        FieldType { kind, many, text }
    }
}

/// A line of the table.
struct Row {
    name: &'static str,
    read: Read,
    about: &'static str,
}

/// A field as documentation shows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FieldRow {
    /// Full name.
    pub name: String,
    /// Type; see [`FieldType::many`] for lists.
    pub field: Field,
    /// What it says, a phrase.
    pub about: &'static str,
    /// Whether this release can put anything into it.
    pub observed: bool,
}

impl FieldRow {
    /// The word for its type, such as `int` or `path[]`.
    pub fn type_name(&self) -> String {
        let FieldType { kind, many, text } = self.field.ty;
        let word = match (kind, text) {
            (Kind::Bool, _) => "bool",
            (Kind::Int, _) => "int",
            (Kind::Ip, _) => "ip",
            (Kind::Text, TextKind::Path) => "path",
            (Kind::Text, _) => "string",
        };
        format!("{word}{}", if many { "[]" } else { "" })
    }
}

/// The fields, constants and variables of events, as the language asks for them.
#[derive(Clone, Copy, Debug, Default)]
pub struct Fields;

/// The place of a row in one number: 8 bits of family, 8 of group, 16 of row.
fn identifier((family, group): Place, row: usize) -> FieldId {
    FieldId((family as u32) << 24 | (group as u32) << 16 | row as u32)
}

fn locate(field: FieldId) -> Option<(&'static Group, &'static Row)> {
    let family = FAMILIES.get((field.0 >> 24) as usize)?;
    let group = family.get((field.0 >> 16 & 0xff) as usize)?;
    let row = group.rows.get((field.0 & 0xffff) as usize)?;
    Some((group, row))
}

fn describe(id: FieldId, group: &Group, row: &Row) -> Field {
    let ty = row.read.field_type();
    let iterator = group.subject.iterates();
    Field {
        id,
        ty: FieldType {
            many: ty.many || iterator,
            ..ty
        },
        events: group.events,
        iterator,
    }
}

/// Whether this release can put anything into the fields of the row.
fn is_observed(group: &Group, row: &Row) -> bool {
    let absent = matches!(group.subject, Subject::Absent | Subject::AbsentEach);
    !absent && !matches!(row.read, Read::Empty(_))
}

/// The full name of a field; empty for what is none.
pub fn name_of(id: FieldId) -> String {
    locate(id).map_or_else(String::new, |(group, row)| {
        format!("{}.{}", group.prefix, row.name)
    })
}

/// Every field, in the order of the table.
pub fn all() -> impl Iterator<Item = FieldRow> {
    groups::all().flat_map(|(place, group)| {
        let rows = group.rows.iter().enumerate();
        rows.map(move |(r, row)| FieldRow {
            name: format!("{}.{}", group.prefix, row.name),
            field: describe(identifier(place, r), group, row),
            about: row.about,
            observed: is_observed(group, row),
        })
    })
}

/// The field `rest` of one of the groups with this prefix.
fn find(prefix: &str, rest: &str) -> Option<Field> {
    groups::with_prefix(prefix)
        .iter()
        .find_map(|(place, group)| {
            let r = group.rows.iter().position(|row| row.name == rest)?;
            let row = group.rows.get(r)?;
            Some(describe(identifier(*place, r), group, row))
        })
}

impl Scheme for Fields {
    fn field(&self, name: &str) -> Option<Field> {
        // Prefixes and rows both have dots: each may be the one between them.
        name.match_indices('.').find_map(|(dot, _)| {
            let (prefix, rest) = name.split_at_checked(dot)?;
            find(prefix, rest.strip_prefix('.')?)
        })
    }

    fn constant(&self, name: &str) -> Option<Constant> {
        constants::find(name)
    }

    fn variable(&self, name: &str) -> Option<Field> {
        match name {
            "process.pid" => self.field(name),
            _ => None,
        }
    }

    fn names(&self) -> Vec<String> {
        all().map(|row| row.name).collect()
    }

    fn event_types(&self) -> &'static [&'static str] {
        RULE_TYPES
    }
}

/// The view of `group` on the event; `turn` counts ancestors and is ignored elsewhere.
fn view<'a>(event: &'a Event, group: &Group, turn: usize) -> Option<View<'a>> {
    let own: &Process = &event.process;
    match group.subject {
        Subject::Own => view_of(event, group, own, 0),
        Subject::Parent => view_of(event, group, own.parent.as_deref()?, 1),
        Subject::Ancestors => view_of(event, group, event.ancestor(turn)?, turn + 1),
        Subject::Absent | Subject::AbsentEach => None,
    }
}

/// The view of `group` on a process of the event's lineage.
fn view_of<'a>(
    event: &'a Event,
    group: &Group,
    process: &'a Process,
    generation: usize,
) -> Option<View<'a>> {
    let file = match group.part {
        Part::Program => &process.image.file,
        Part::Interpreter => process.image.interpreter.as_ref()?,
        Part::Object => event.file(),
    };
    Some(View {
        event,
        process,
        generation,
        file,
    })
}

/// Where element `index` of a field is: its view, and its place in that view's list.
fn element<'a>(
    event: &'a Event,
    field: FieldId,
    index: usize,
) -> Option<(View<'a>, &'static Row, usize)> {
    let (group, row) = locate(field)?;
    match (row.read, group.subject) {
        (Read::List(_, list, _), Subject::Ancestors) => {
            let mut before = 0;
            for (turn, process) in event.process.ancestors().enumerate() {
                let Some(view) = view_of(event, group, process, turn + 1) else {
                    continue;
                };
                let size = list(view).len();
                if index < before + size {
                    return Some((view, row, index - before));
                }
                before += size;
            }
            None
        }
        (_, Subject::Ancestors) => Some((view(event, group, index)?, row, 0)),
        (Read::List(..), _) => Some((view(event, group, 0)?, row, index)),
        _ => Some((view(event, group, 0)?, row, 0)),
    }
}

/// How many elements of a list one turn of the iterator has.
fn size(event: &Event, group: &Group, row: &Row, turn: usize) -> usize {
    match (row.read, view(event, group, turn)) {
        (Read::List(_, list, _), Some(view)) => list(view).len(),
        (Read::List(..), None) => 0,
        (Read::Empty(ty), _) if ty.many => 0,
        _ => 1,
    }
}

impl Record for Event {
    fn count(&self, field: FieldId) -> usize {
        let turns = self.iterations(field);
        match locate(field) {
            Some((group, row)) if row.read.field_type().many => {
                (0..turns).map(|turn| size(self, group, row, turn)).sum()
            }
            _ => turns,
        }
    }

    fn int(&self, field: FieldId, index: usize) -> i64 {
        let Some((_, row)) = locate(field) else {
            return 0;
        };
        let view = element(self, field, index).map(|(view, ..)| view);
        match (row.read, view) {
            (Read::Int(get) | Read::Age(get), Some(view)) => get(view),
            (Read::Age(_), None) => i64::MAX,
            _ => 0,
        }
    }

    fn boolean(&self, field: FieldId, index: usize) -> bool {
        match element(self, field, index) {
            Some((
                view,
                Row {
                    read: Read::Bool(get),
                    ..
                },
                _,
            )) => get(view),
            _ => false,
        }
    }

    fn text(&self, field: FieldId, index: usize) -> &str {
        match element(self, field, index) {
            Some((
                view,
                Row {
                    read: Read::Text(_, get),
                    ..
                },
                _,
            )) => get(view),
            Some((
                view,
                Row {
                    read: Read::List(_, list, show),
                    ..
                },
                place,
            )) => list(view).get(place).map_or("", |text| show(text)),
            _ => "",
        }
    }

    fn ip(&self, field: FieldId, index: usize) -> Option<IpNet> {
        match element(self, field, index) {
            Some((
                view,
                Row {
                    read: Read::Ip(get),
                    ..
                },
                _,
            )) => get(view).map(IpNet::single),
            _ => None,
        }
    }

    fn iterations(&self, field: FieldId) -> usize {
        match locate(field).map(|(group, _)| group.subject) {
            Some(Subject::Ancestors) => self.process.ancestors_count(),
            Some(Subject::AbsentEach) => 0,
            _ => 1,
        }
    }

    fn elements(&self, field: FieldId, iteration: usize) -> Range<usize> {
        match locate(field) {
            Some((group, row)) if group.subject == Subject::Ancestors => {
                let before = if row.read.field_type().many {
                    (0..iteration)
                        .map(|turn| size(self, group, row, turn))
                        .sum()
                } else {
                    iteration
                };
                before..before + size(self, group, row, iteration)
            }
            _ => 0..self.count(field),
        }
    }
}

#[cfg(test)]
mod tests;
