//! The values of one field that approve.

use super::numbers;
use crate::secl::types::{FieldId, Record};
use std::collections::BTreeSet;
use std::ops::RangeInclusive;

/// One value of a field, or one range of them.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Value<'a> {
    Text(&'a str),
    Basename(&'a str),
    /// Any bit of the mask.
    Mask(i64),
    Int(i64),
    Range(i64, i64),
    Boolean(bool),
}

/// The values of a field of which an event has to have one.
#[derive(Clone, Debug, PartialEq)]
pub enum Values {
    /// Whole texts.
    Texts(BTreeSet<String>),
    /// What stands behind the last slash.
    Basenames(BTreeSet<String>),
    /// At least one of these bits.
    Flags(i64),
    /// Single numbers.
    Ints(BTreeSet<i64>),
    /// Ranges of numbers, in order, none next to another.
    Ranges(Vec<RangeInclusive<i64>>),
    /// Booleans.
    Booleans(BTreeSet<bool>),
}

impl Values {
    pub(super) fn of(value: Value<'_>) -> Values {
        match value {
            Value::Text(text) => Values::Texts([text.to_owned()].into()),
            Value::Basename(name) => Values::Basenames([name.to_owned()].into()),
            Value::Mask(mask) => Values::Flags(mask),
            Value::Int(number) => Values::Ints([number].into()),
            Value::Range(first, last) => Values::Ranges(vec![first..=last]),
            Value::Boolean(boolean) => Values::Booleans([boolean].into()),
        }
    }

    /// Adds another value of the same field. A field has one capability, so it is of the same kind.
    pub(super) fn add(&mut self, value: Value<'_>) {
        match (self, value) {
            (Values::Texts(all), Value::Text(text))
            | (Values::Basenames(all), Value::Basename(text)) => {
                all.insert(text.to_owned());
            }
            (Values::Flags(all), Value::Mask(mask)) => *all |= mask,
            (Values::Ints(all), Value::Int(number)) => {
                all.insert(number);
            }
            (Values::Ranges(all), Value::Range(first, last)) => {
                all.push(first..=last);
            }
            (Values::Booleans(all), Value::Boolean(boolean)) => {
                all.insert(boolean);
            }
            _ => {}
        }
    }

    /// Brings ranges into order once all values are there.
    pub(super) fn settle(&mut self) {
        if let Values::Ranges(all) = self {
            *all = numbers::joined(std::mem::take(all));
        }
    }

    /// Whether a field, or for texts an element of it, has one of them.
    pub(super) fn hold(&self, field: FieldId, record: &dyn Record) -> bool {
        match self {
            Values::Texts(texts) => {
                let mut elements = 0..record.count(field);
                elements.any(|element| texts.contains(record.text(field, element)))
            }
            Values::Basenames(names) => names.contains(basename(record.text(field, 0))),
            Values::Flags(mask) => record.int(field, 0) & mask != 0,
            Values::Ints(numbers) => numbers.contains(&record.int(field, 0)),
            Values::Ranges(ranges) => {
                let number = record.int(field, 0);
                ranges.iter().any(|range| range.contains(&number))
            }
            Values::Booleans(booleans) => booleans.contains(&record.boolean(field, 0)),
        }
    }

    /// Each value as a person reads it: masks in hexadecimal, ranges as `1..9`, `..9` or `1..`,
    /// their ends included.
    pub fn texts(&self) -> Vec<String> {
        match self {
            Values::Texts(texts) | Values::Basenames(texts) => texts.iter().cloned().collect(),
            Values::Flags(mask) => vec![format!("{mask:#x}")],
            Values::Ints(numbers) => numbers.iter().map(i64::to_string).collect(),
            Values::Ranges(ranges) => ranges.iter().map(range).collect(),
            Values::Booleans(booleans) => booleans.iter().map(bool::to_string).collect(),
        }
    }
}

fn range(range: &RangeInclusive<i64>) -> String {
    match (*range.start(), *range.end()) {
        (first, last) if first == last => first.to_string(),
        (i64::MIN, last) => format!("..{last}"),
        (first, i64::MAX) => format!("{first}.."),
        (first, last) => format!("{first}..{last}"),
    }
}

/// What stands behind the last slash.
pub(super) fn basename(path: &str) -> &str {
    path.rsplit('/').next().unwrap_or(path)
}
