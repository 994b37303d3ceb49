//! A small scheme and records for the tests of the language; nothing of it is in the product.

use super::types::{Constant, Field, FieldId, FieldType, IpNet, Kind, Record, Scheme, TextKind};
use std::ops::Range;

/// Name, kind, text kind, many, event types, iterator.
type Row = (
    &'static str,
    Kind,
    TextKind,
    bool,
    &'static [&'static str],
    bool,
);

const PLAIN: TextKind = TextKind::Plain;
const PATH: TextKind = TextKind::Path;
const FOLD: TextKind = TextKind::CaseInsensitive;

/// Every field; its place in the table is its id. Variables begin with `$`.
const ROWS: &[Row] = &[
    ("open.file.path", Kind::Text, PATH, false, &["open"], false),
    ("open.file.name", Kind::Text, PLAIN, false, &["open"], false),
    (
        "open.file.extension",
        Kind::Text,
        TextKind::Extension,
        false,
        &["open"],
        false,
    ),
    ("open.flags", Kind::Int, PLAIN, false, &["open"], false),
    ("open.retval", Kind::Int, PLAIN, false, &["open"], false),
    (
        "open.file.in_upper_layer",
        Kind::Bool,
        PLAIN,
        false,
        &["open"],
        false,
    ),
    ("exec.file.path", Kind::Text, PATH, false, &["exec"], false),
    ("process.pid", Kind::Int, PLAIN, false, &[], false),
    ("process.uid", Kind::Int, PLAIN, false, &[], false),
    ("process.created_at", Kind::Int, PLAIN, false, &[], false),
    ("process.file.path", Kind::Text, PATH, false, &[], false),
    ("process.file.name", Kind::Text, PLAIN, false, &[], false),
    ("process.comm", Kind::Text, PLAIN, false, &[], false),
    ("process.args", Kind::Text, PLAIN, false, &[], false),
    ("process.argv", Kind::Text, PLAIN, true, &[], false),
    ("process.is_kworker", Kind::Bool, PLAIN, false, &[], false),
    ("process.tty_name", Kind::Text, PLAIN, false, &[], false),
    ("process.ancestors", Kind::Int, PLAIN, true, &[], true),
    ("process.ancestors.pid", Kind::Int, PLAIN, true, &[], true),
    ("process.ancestors.uid", Kind::Int, PLAIN, true, &[], true),
    (
        "process.ancestors.file.name",
        Kind::Text,
        PLAIN,
        true,
        &[],
        true,
    ),
    (
        "process.ancestors.file.path",
        Kind::Text,
        PATH,
        true,
        &[],
        true,
    ),
    (
        "process.ancestors.is_kworker",
        Kind::Bool,
        PLAIN,
        true,
        &[],
        true,
    ),
    ("process.ancestors.argv", Kind::Text, PLAIN, true, &[], true),
    (
        "connect.addr.ip",
        Kind::Ip,
        PLAIN,
        false,
        &["connect"],
        false,
    ),
    (
        "connect.addr.hostname",
        Kind::Text,
        FOLD,
        true,
        &["connect"],
        false,
    ),
    (
        "dns.question.name",
        Kind::Text,
        FOLD,
        false,
        &["dns"],
        false,
    ),
    (
        "network.size",
        Kind::Int,
        PLAIN,
        false,
        &["dns", "imds"],
        false,
    ),
    ("host.ips", Kind::Ip, PLAIN, true, &[], false),
    ("host.ports", Kind::Int, PLAIN, true, &[], false),
    ("$process.seen", Kind::Text, PLAIN, true, &[], false),
    ("$limit", Kind::Int, PLAIN, false, &[], false),
    ("$name", Kind::Text, PLAIN, false, &[], false),
    ("$shell", Kind::Text, PLAIN, false, &[], false),
    ("$top", Kind::Text, PLAIN, false, &[], false),
    ("$conf", Kind::Text, PLAIN, false, &[], false),
    ("$stars", Kind::Text, PLAIN, false, &[], false),
];

const CONSTANTS: &[(&str, Constant)] = &[
    ("true", Constant::Bool(true)),
    ("false", Constant::Bool(false)),
    ("O_RDONLY", Constant::Int(0)),
    ("O_WRONLY", Constant::Int(1)),
    ("O_RDWR", Constant::Int(2)),
    ("O_CREAT", Constant::Int(64)),
    ("EACCES", Constant::Int(13)),
    ("NAME", Constant::Text("passwd")),
];

/// The fake scheme.
pub(super) struct TestScheme;

fn find(name: &str) -> Option<Field> {
    let at = ROWS.iter().position(|row| row.0 == name)?;
    let (_, kind, text, many, events, iterator) = ROWS[at];
    let id = FieldId(u32::try_from(at).unwrap());
    Some(Field {
        id,
        ty: FieldType { kind, many, text },
        events,
        iterator,
    })
}

impl Scheme for TestScheme {
    fn field(&self, name: &str) -> Option<Field> {
        find(name).filter(|_| !name.starts_with('$'))
    }

    fn constant(&self, name: &str) -> Option<Constant> {
        CONSTANTS.iter().find(|row| row.0 == name).map(|row| row.1)
    }

    fn variable(&self, name: &str) -> Option<Field> {
        find(&format!("${name}"))
    }

    fn names(&self) -> Vec<String> {
        ROWS.iter().map(|row| row.0.to_owned()).collect()
    }

    fn event_types(&self) -> &'static [&'static str] {
        &["open", "exec", "connect", "dns", "imds"]
    }
}

/// What a field of a fake record holds.
#[derive(Clone)]
pub(super) enum Held {
    Ints(Vec<i64>),
    Texts(Vec<&'static str>),
    Flags(Vec<bool>),
    Ips(Vec<IpNet>),
    /// For each turn of the iterator its texts.
    Nested(Vec<Vec<&'static str>>),
}

/// A fake record; what it was not given is absent.
#[derive(Clone, Default)]
pub(super) struct TestRecord(Vec<(FieldId, Held)>);

impl TestRecord {
    pub(super) fn with(mut self, name: &str, held: Held) -> TestRecord {
        self.0.push((find(name).unwrap().id, held));
        self
    }

    pub(super) fn int(self, name: &str, value: i64) -> TestRecord {
        self.with(name, Held::Ints(vec![value]))
    }

    pub(super) fn text(self, name: &str, value: &'static str) -> TestRecord {
        self.with(name, Held::Texts(vec![value]))
    }

    pub(super) fn texts(self, name: &str, values: &[&'static str]) -> TestRecord {
        self.with(name, Held::Texts(values.to_vec()))
    }

    fn held(&self, field: FieldId) -> Option<&Held> {
        self.0
            .iter()
            .find(|(id, _)| *id == field)
            .map(|(_, held)| held)
    }
}

impl Record for TestRecord {
    fn count(&self, field: FieldId) -> usize {
        let many = ROWS[field.0 as usize].3;
        match self.held(field) {
            _ if !many => 1,
            Some(Held::Ints(values)) => values.len(),
            Some(Held::Texts(values)) => values.len(),
            Some(Held::Flags(values)) => values.len(),
            Some(Held::Ips(values)) => values.len(),
            Some(Held::Nested(turns)) => turns.iter().map(Vec::len).sum(),
            None => 0,
        }
    }

    fn int(&self, field: FieldId, index: usize) -> i64 {
        match self.held(field) {
            Some(Held::Ints(values)) => values.get(index).copied().unwrap_or(0),
            _ => 0,
        }
    }

    fn boolean(&self, field: FieldId, index: usize) -> bool {
        match self.held(field) {
            Some(Held::Flags(values)) => values.get(index).copied().unwrap_or(false),
            _ => false,
        }
    }

    fn text(&self, field: FieldId, index: usize) -> &str {
        match self.held(field) {
            Some(Held::Texts(values)) => values.get(index).copied().unwrap_or(""),
            Some(Held::Nested(turns)) => turns.iter().flatten().nth(index).copied().unwrap_or(""),
            _ => "",
        }
    }

    fn ip(&self, field: FieldId, index: usize) -> Option<IpNet> {
        match self.held(field) {
            Some(Held::Ips(values)) => values.get(index).copied(),
            _ => None,
        }
    }

    fn iterations(&self, field: FieldId) -> usize {
        match self.held(field) {
            Some(Held::Nested(turns)) => turns.len(),
            _ => self.count(field),
        }
    }

    fn elements(&self, field: FieldId, iteration: usize) -> Range<usize> {
        match self.held(field) {
            Some(Held::Nested(turns)) => {
                let start = turns.iter().take(iteration).map(Vec::len).sum();
                start..start + turns.get(iteration).map_or(0, Vec::len)
            }
            _ => iteration..iteration + 1,
        }
    }
}

/// Pseudo-random numbers, the same in every run.
pub(super) struct Numbers(pub(super) u64);

impl Numbers {
    pub(super) fn below(&mut self, limit: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 % u64::try_from(limit).unwrap()).unwrap()
    }

    pub(super) fn choose<T: Copy>(&mut self, from: &[T]) -> T {
        from[self.below(from.len())]
    }

    /// Some of them, each with its place in the order.
    pub(super) fn some<T: Copy>(&mut self, from: &[T]) -> Vec<T> {
        from.iter()
            .copied()
            .filter(|_| self.below(3) == 0)
            .collect()
    }
}
