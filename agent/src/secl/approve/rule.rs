//! The values that approve for one rule.

use super::numbers::{self, Comparison};
use super::values::{self, Value, Values};
use super::{Capability, CapabilityKind};
use crate::secl::compile::{Compiled, Int, Quantifier, Select, Test, Text, Which};
use crate::secl::matcher::TextMatcher;
use crate::secl::necessary::{self, Keys};
use crate::secl::types::FieldId;
use std::collections::HashMap;

/// Values of fields of which the rule needs one; none when it can match without.
pub(super) fn approvers<'a>(
    rule: &'a Compiled,
    capabilities: &[Capability],
) -> Option<Vec<(FieldId, Value<'a>)>> {
    let capable = Capable(capabilities);
    let keys = necessary::of(&rule.test, true, &|test, wanted| capable.keys(test, wanted))?.keys;
    (!pass_everything(&keys)).then_some(keys)
}

/// Whether some field always has one of its values: `field > 0 || field < 1`.
fn pass_everything(keys: &[(FieldId, Value<'_>)]) -> bool {
    let mut ranges: HashMap<FieldId, Vec<_>> = HashMap::new();
    let mut booleans: HashMap<FieldId, Values> = HashMap::new();
    for (field, value) in keys {
        match value {
            Value::Range(first, last) => ranges.entry(*field).or_default().push(*first..=*last),
            Value::Boolean(_) => booleans
                .entry(*field)
                .or_insert_with(|| Values::of(*value))
                .add(*value),
            _ => {}
        }
    }
    ranges
        .into_values()
        .any(|ranges| numbers::joined(ranges) == [i64::MIN..=i64::MAX])
        || booleans
            .into_values()
            .any(|values| values == Values::Booleans([false, true].into()))
}

/// The fields that can approve.
struct Capable<'c>(&'c [Capability]);

impl Capable<'_> {
    /// How a field can approve; one of several elements only where that is what the capability is.
    fn kind(&self, select: &Select) -> Option<CapabilityKind> {
        let mut capabilities = self.0.iter();
        let found = capabilities.find(|capability| capability.field == select.field)?;
        let fits = match select.which {
            Which::Only => true,
            Which::Every => found.kind == CapabilityKind::Element,
            Which::Turn(_) | Which::Register(_) => false,
        };
        fits.then_some(found.kind)
    }

    /// The values of which one is there whenever the test is `wanted`.
    fn keys<'a>(&self, test: &'a Test, wanted: bool) -> Option<Keys<(FieldId, Value<'a>)>> {
        let (field, values) = match test {
            Test::TextIn(
                Text::Field {
                    select,
                    root_domain: false,
                },
                matcher,
                quantifier,
            ) if wanted && (select.which == Which::Only || *quantifier == Quantifier::Some) => {
                let kind = self.kind(select)?;
                (select.field, texts(kind, matcher)?)
            }
            Test::Flag(select, expected) if self.kind(select)? == CapabilityKind::Boolean => {
                (select.field, vec![Value::Boolean(*expected == wanted)])
            }
            Test::Order(left, order, right) => {
                let comparison = Comparison::Order(*order, right.value.constant()?);
                self.numbers(left, comparison, wanted)?
            }
            Test::IntIn(left, list, _) => self.numbers(left, Comparison::In(list), wanted)?,
            _ => return None,
        };
        let weakness = values.iter().map(weakness).max().unwrap_or(0);
        let keys = values.into_iter().map(|value| (field, value)).collect();
        Some(Keys { keys, weakness })
    }

    fn numbers<'a>(
        &self,
        left: &Int,
        comparison: Comparison<'_>,
        wanted: bool,
    ) -> Option<(FieldId, Vec<Value<'a>>)> {
        let (select, mask) = numbers::masked(&left.value)?;
        let values = match (self.kind(select)?, mask) {
            (CapabilityKind::Flags, mask) => masks(mask.unwrap_or(!0), comparison, wanted)?,
            (CapabilityKind::Value, None) if wanted => {
                let listed = comparison.listed()?;
                listed.into_iter().map(Value::Int).collect()
            }
            (CapabilityKind::Range, None) => ranges(comparison, wanted)?,
            _ => return None,
        };
        Some((select.field, values))
    }
}

fn texts(kind: CapabilityKind, matcher: &TextMatcher) -> Option<Vec<Value<'_>>> {
    let (plain, patterns) = matcher.strings_and_patterns()?;
    if plain.folds_case() {
        return None;
    }
    match kind {
        CapabilityKind::Text | CapabilityKind::Element if patterns.is_empty() => {
            Some(plain.strings().map(Value::Text).collect())
        }
        CapabilityKind::Basename => {
            let plain = plain.strings().map(|text| Some(values::basename(text)));
            let names = plain.chain(patterns.iter().map(|pattern| pattern.basename()));
            names
                .map(|name| name.filter(|name| !name.is_empty()).map(Value::Basename))
                .collect()
        }
        _ => None,
    }
}

/// Masks of which some bit is set whenever `field & mask` compares as wanted.
fn masks<'a>(mask: i64, comparison: Comparison<'_>, wanted: bool) -> Option<Vec<Value<'a>>> {
    if comparison.holds(0) == wanted {
        return None;
    }
    // Bits beyond the mask are never left by it, so a number with such bits is never found.
    let masks = match comparison.listed() {
        Some(listed) if wanted => listed
            .into_iter()
            .filter(|bits| bits & !mask == 0)
            .collect(),
        _ if mask == 0 => Vec::new(),
        _ => vec![mask],
    };
    Some(masks.into_iter().map(Value::Mask).collect())
}

fn ranges<'a>(comparison: Comparison<'_>, wanted: bool) -> Option<Vec<Value<'a>>> {
    let ranges = comparison.ranges(wanted);
    let values = ranges
        .iter()
        .map(|range| Value::Range(*range.start(), *range.end()));
    (ranges != [i64::MIN..=i64::MAX]).then(|| values.collect())
}

/// A guess of how many events have the value.
fn weakness(value: &Value<'_>) -> u8 {
    match value {
        Value::Text(_) | Value::Basename(_) => 0,
        Value::Int(_) => 1,
        Value::Range(first, last) if first == last => 1,
        Value::Mask(_) => 2,
        Value::Boolean(_) => 3,
        Value::Range(..) => 4,
    }
}
