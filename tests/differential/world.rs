//! A small scheme with a field of every shape, and records with values from small domains.
//!
//! A record holds for each field its turns, and for each turn its elements: a scalar has one turn
//! with one element, an array one turn, a field behind an iterator one element in each turn.

use crate::random::Random;
use security_agent::secl::{
    Constant, Field, FieldId, FieldType, IpNet, Kind, Record, Scheme, TextKind,
};
use std::ops::Range;

/// How many elements a field has, and where from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shape {
    Scalar,
    Array,
    /// Behind the iterator of that number.
    Iterator(usize),
    /// An array behind the iterator of that number.
    Nested(usize),
}

/// A line of the scheme.
#[derive(Clone, Copy, Debug)]
pub struct Row {
    pub name: &'static str,
    pub kind: Kind,
    pub text: TextKind,
    pub shape: Shape,
}

const fn row(name: &'static str, kind: Kind, shape: Shape) -> Row {
    let text = TextKind::Plain;
    Row {
        name,
        kind,
        text,
        shape,
    }
}

const fn text(name: &'static str, text: TextKind, shape: Shape) -> Row {
    let kind = Kind::Text;
    Row {
        name,
        kind,
        text,
        shape,
    }
}

/// Every field; its place is its id. Names of variables begin with `$`.
pub const ROWS: &[Row] = &[
    row("pid", Kind::Int, Shape::Scalar),
    row("uid", Kind::Int, Shape::Scalar),
    row("ports", Kind::Int, Shape::Array),
    row("is_new", Kind::Bool, Shape::Scalar),
    row("flags", Kind::Bool, Shape::Array),
    text("name", TextKind::Plain, Shape::Scalar),
    text("file.path", TextKind::Path, Shape::Scalar),
    text("host", TextKind::CaseInsensitive, Shape::Scalar),
    text("argv", TextKind::Plain, Shape::Array),
    text("hosts", TextKind::CaseInsensitive, Shape::Array),
    text("paths", TextKind::Path, Shape::Array),
    row("addr", Kind::Ip, Shape::Scalar),
    row("addrs", Kind::Ip, Shape::Array),
    row("up", Kind::Int, Shape::Iterator(0)),
    row("up.pid", Kind::Int, Shape::Iterator(0)),
    row("up.uid", Kind::Int, Shape::Iterator(0)),
    row("up.is_new", Kind::Bool, Shape::Iterator(0)),
    row("up.addr", Kind::Ip, Shape::Iterator(0)),
    text("up.name", TextKind::Plain, Shape::Iterator(0)),
    text("up.file.path", TextKind::Path, Shape::Iterator(0)),
    text("up.argv", TextKind::Plain, Shape::Nested(0)),
    row("up.ports", Kind::Int, Shape::Nested(0)),
    row("peer.port", Kind::Int, Shape::Iterator(1)),
    text("peer.host", TextKind::CaseInsensitive, Shape::Iterator(1)),
    row("$limit", Kind::Int, Shape::Scalar),
    row("$seen", Kind::Bool, Shape::Scalar),
    text("$word", TextKind::Plain, Shape::Scalar),
    text("$words", TextKind::Plain, Shape::Array),
    row("$numbers", Kind::Int, Shape::Array),
    row("$from", Kind::Ip, Shape::Scalar),
];

/// Names that stand for values.
pub const CONSTANTS: &[(&str, Constant)] = &[
    ("true", Constant::Bool(true)),
    ("false", Constant::Bool(false)),
    ("ONE", Constant::Int(1)),
    ("WORD", Constant::Text("ab")),
];

/// Texts of names, arguments and hosts.
pub const WORDS: &[&str] = &[
    "",
    "a",
    "b",
    "ab",
    "aab",
    "ba",
    "A",
    "aB",
    "ü",
    "a*",
    "a\"b",
    "1",
    "a.b",
    "x.a.b",
    "b.co.uk",
    "z.B.CO.uk",
];

/// Texts of paths.
pub const PATHS: &[&str] = &[
    "", "/", "/a", "/b", "/a/b", "/a/a", "/a/b/a", "/ab/b", "/a/", "a", "//a", "/A",
];

/// Addresses.
pub const ADDRESSES: &[&str] = &[
    "10.0.0.1",
    "10.1.0.1",
    "0.0.0.0",
    "::1",
    "fe80::1",
    "::ffff:10.0.0.1",
    "255.255.255.255",
];

/// Numbers.
pub const NUMBERS: &[i64] = &[0, 1, 2, 3, -1, -2, 5, 7, 64, i64::MAX, i64::MIN];

/// One element.
#[derive(Clone, Debug, PartialEq)]
pub enum Element {
    Bool(bool),
    Int(i64),
    Text(&'static str),
    Ip(Option<IpNet>),
}

/// Finds a field, or a variable with its `$`.
pub fn find(name: &str) -> Option<(usize, Row)> {
    let at = ROWS.iter().position(|row| row.name == name)?;
    Some((at, ROWS[at]))
}

/// The scheme.
pub struct World;

fn described(name: &str) -> Option<Field> {
    let (at, row) = find(name)?;
    let iterator = matches!(row.shape, Shape::Iterator(_) | Shape::Nested(_));
    Some(Field {
        id: FieldId(u32::try_from(at).unwrap()),
        ty: FieldType {
            kind: row.kind,
            many: row.shape != Shape::Scalar,
            text: row.text,
        },
        events: &[],
        iterator,
    })
}

impl Scheme for World {
    fn field(&self, name: &str) -> Option<Field> {
        described(name).filter(|_| !name.starts_with('$'))
    }

    fn constant(&self, name: &str) -> Option<Constant> {
        let found = CONSTANTS.iter().find(|(own, _)| *own == name);
        found.map(|(_, constant)| *constant)
    }

    fn variable(&self, name: &str) -> Option<Field> {
        described(&format!("${name}"))
    }

    fn names(&self) -> Vec<String> {
        ROWS.iter().map(|row| row.name.to_owned()).collect()
    }

    fn event_types(&self) -> &'static [&'static str] {
        &[]
    }
}

/// What each field holds, by its id.
#[derive(Clone, Debug)]
pub struct Reading {
    pub turns: Vec<Vec<Vec<Element>>>,
    /// All elements of a field one behind the other.
    flat: Vec<Vec<Element>>,
}

impl Reading {
    /// A record with random values.
    pub fn random(random: &mut Random) -> Reading {
        let lengths = [random.below(4), random.below(3)];
        let turns: Vec<Vec<Vec<Element>>> = ROWS
            .iter()
            .map(|row| {
                let sizes = match row.shape {
                    Shape::Scalar => vec![1],
                    Shape::Array => vec![random.below(4)],
                    Shape::Iterator(number) => vec![1; lengths[number]],
                    Shape::Nested(number) => {
                        (0..lengths[number]).map(|_| random.below(3)).collect()
                    }
                };
                let turn = |size| (0..size).map(|_| element(*row, random)).collect();
                sizes.into_iter().map(turn).collect()
            })
            .collect();
        let flat = turns.iter().map(|turns| turns.concat()).collect();
        Reading { turns, flat }
    }

    fn element(&self, field: FieldId, index: usize) -> Option<&Element> {
        self.flat[field.0 as usize].get(index)
    }
}

fn element(row: Row, random: &mut Random) -> Element {
    match row.kind {
        Kind::Bool => Element::Bool(random.once_in(2)),
        Kind::Int => Element::Int(random.pick(NUMBERS)),
        Kind::Text if row.text == TextKind::Path => Element::Text(random.pick(PATHS)),
        Kind::Text => Element::Text(random.pick(WORDS)),
        Kind::Ip if random.once_in(6) => Element::Ip(None),
        Kind::Ip => Element::Ip(random.pick(ADDRESSES).parse().ok()),
    }
}

impl Record for Reading {
    fn count(&self, field: FieldId) -> usize {
        self.flat[field.0 as usize].len()
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
            Some(Element::Ip(value)) => *value,
            _ => None,
        }
    }

    fn iterations(&self, field: FieldId) -> usize {
        self.turns[field.0 as usize].len()
    }

    fn elements(&self, field: FieldId, iteration: usize) -> Range<usize> {
        let turns = &self.turns[field.0 as usize];
        let start = turns.iter().take(iteration).map(Vec::len).sum();
        start..start + turns.get(iteration).map_or(0, Vec::len)
    }
}
