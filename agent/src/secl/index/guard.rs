//! What a rule needs in order to match, as keys that can be looked up.
//!
//! Only tests that are false when none of their keys is there give keys: an equality, a list, a
//! pattern with a literal beginning or end. Fields of several elements do as well, as then some
//! element has to be the key; `allin` on them does not, being true without any element.

use crate::secl::compile::{Compiled, Int, IntValue, Order, Quantifier, Select, Test, Text, Which};
use crate::secl::matcher::TextMatcher;
use crate::secl::necessary::{self, Keys};
use crate::secl::pattern::Pattern;
use crate::secl::types::FieldId;

/// What is read from a record to look keys up.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Source {
    pub(super) field: FieldId,
    /// Whether every element counts, or there is one only.
    pub(super) many: bool,
    pub(super) reading: Reading,
}

/// What of a field is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Reading {
    Int,
    Text { root_domain: bool, fold_case: bool },
}

/// What an element of the source has to be.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Value<'a> {
    Int(i64),
    Exact(&'a str),
    Prefix(&'a str),
    Suffix(&'a str),
}

/// A source and what it has to hold.
pub(super) type Key<'a> = (Source, Value<'a>);

/// The keys of which the rule needs one; none when it has to be evaluated always. Only fields that
/// `usable` accepts are read.
pub(super) fn of<'a>(
    rule: &'a Compiled,
    usable: &dyn Fn(FieldId) -> bool,
) -> Option<Keys<Key<'a>>> {
    necessary::of(&rule.test, true, &|test, wanted| {
        let keys = if wanted { leaf(test) } else { None };
        keys.filter(|keys| keys.keys.iter().all(|(source, _)| usable(source.field)))
    })
}

fn leaf(test: &Test) -> Option<Keys<Key<'_>>> {
    match test {
        Test::Order(
            Int {
                value: IntValue::Field(select),
                ..
            },
            Order::Equal,
            right,
        ) => Some(ints(select, &[right.value.constant()?])),
        Test::IntIn(
            Int {
                value: IntValue::Field(select),
                ..
            },
            list,
            quantifier,
        ) if needs_one(select, *quantifier) => Some(ints(select, list)),
        Test::TextIn(
            Text::Field {
                select,
                root_domain,
            },
            matcher,
            quantifier,
        ) if needs_one(select, *quantifier) => texts(select, *root_domain, matcher),
        _ => None,
    }
}

/// Whether a test with that quantifier is false when no element fits.
fn needs_one(select: &Select, quantifier: Quantifier) -> bool {
    quantifier == Quantifier::Some || select.which == Which::Only
}

fn ints<'a>(select: &Select, list: &[i64]) -> Keys<Key<'a>> {
    let source = Source {
        field: select.field,
        many: select.which != Which::Only,
        reading: Reading::Int,
    };
    keys(source, list.iter().map(|number| Value::Int(*number)))
}

fn texts<'a>(
    select: &Select,
    root_domain: bool,
    matcher: &'a TextMatcher,
) -> Option<Keys<Key<'a>>> {
    let (plain, patterns) = matcher.strings_and_patterns()?;
    let source = Source {
        field: select.field,
        many: select.which != Which::Only,
        reading: Reading::Text {
            root_domain,
            fold_case: plain.folds_case(),
        },
    };
    let patterns: Option<Vec<Value<'a>>> = patterns.iter().map(end).collect();
    let exact = plain.strings().map(Value::Exact);
    Some(keys(source, exact.chain(patterns?)))
}

/// The longer of the two literal ends of a pattern: it tells more.
fn end(pattern: &Pattern) -> Option<Value<'_>> {
    let (prefix, suffix) = (pattern.prefix(), pattern.suffix());
    match prefix.len().max(suffix.len()) {
        0 => None,
        longest if longest == prefix.len() => Some(Value::Prefix(prefix)),
        _ => Some(Value::Suffix(suffix)),
    }
}

fn keys<'a>(source: Source, values: impl Iterator<Item = Value<'a>>) -> Keys<Key<'a>> {
    let keys: Vec<Key<'a>> = values.map(|value| (source, value)).collect();
    let weakness = keys.iter().map(weakness).max().unwrap_or(0);
    Keys { keys, weakness }
}

/// A guess of how many events have the key: names tell more than their ends, one element more
/// than several; numbers are mostly users, flags and results, which many events share.
fn weakness((source, value): &Key<'_>) -> u8 {
    let of_one = match value {
        Value::Exact("") => 7,
        Value::Prefix(text) | Value::Suffix(text) if text.len() < 2 => 7,
        Value::Exact(_) => 0,
        Value::Prefix(_) => 1,
        Value::Suffix(_) => 2,
        Value::Int(_) => return 6 + u8::from(source.many),
    };
    of_one + 3 * u8::from(source.many)
}
