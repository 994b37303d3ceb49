//! Approvers: what an event must hold for any rule of its type to match it.
//!
//! Whoever produces events can leave out those that no rule can match, when every rule of a type
//! needs one of a few values of a field that is at hand early. The fields that are, and how
//! they are compared there, come in as [`Capability`]s; [`approve`] finds the values, or the rules
//! for which there are none.
//!
//! A set of values approves for a rule when the rule is false in every assignment of its tests in
//! which no field holds one of them: the tests that these values enumerate are false then,
//! every other test may be either. Where a rule has several such sets, the one that
//! probably lets fewest events pass is taken. The values may be of several fields, as for
//! `open.file.name == "a" || open.flags & O_CREAT > 0`: an event passes when any of them is there.
//! Nothing here knows an event or the kernel.

mod numbers;
mod report;
mod rule;
#[cfg(test)]
mod tests;
mod values;

pub use report::Report;
pub use values::Values;

use super::compile::Compiled;
use super::types::{FieldId, Record};
use std::collections::{BTreeMap, BTreeSet};

/// A field that can approve. Only the one element of a scalar does; case counts, so that
/// fields on which it does not cannot approve.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Capability {
    /// The field.
    pub field: FieldId,
    /// How its values are compared.
    pub kind: CapabilityKind,
}

/// How the values of a field are compared where events are filtered, and so which tests of rules
/// it can approve.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CapabilityKind {
    /// The whole text: tests for texts without patterns.
    Text,
    /// One element of a list of texts: tests whether some element is one of texts without patterns.
    Element,
    /// The last component of a path, or the text of a name: tests for texts, and for path
    /// patterns whose last component has no star. An empty last component, as that of `/`, cannot
    /// approve.
    Basename,
    /// Whether it has any bit of a mask: `field & MASK > 0`, `field & MASK != 0`, `field == FLAGS`
    /// and whatever else is false as long as no bit of some mask is set. What is true without any
    /// bit, such as `field & O_ACCMODE == O_RDONLY`, cannot approve.
    Flags,
    /// A single number: tests for equality.
    Value,
    /// A number or a range: equality and order, also negated.
    Range,
    /// A boolean.
    Boolean,
}

/// What was derived for an event type.
#[derive(Clone, Debug, PartialEq)]
pub enum Approval {
    /// Only events that these approve can match a rule.
    Approvers(Approvers),
    /// Every event may match a rule.
    AcceptAll {
        /// The ids of the rules for which no value approves, in the order they came in.
        rules: Vec<String>,
    },
}

/// For each field that approves, with which values.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Approvers {
    values: BTreeMap<FieldId, Values>,
}

impl Approvers {
    /// The fields and their values; an event passes when any field has one of its values. Without
    /// any field no rule can match.
    pub fn fields(&self) -> impl Iterator<Item = (FieldId, &Values)> {
        self.values.iter().map(|(field, values)| (*field, values))
    }

    /// The basenames of all fields together, for a filter that keeps one set for an event type. It
    /// passes at least what [`Approvers::approves`] accepts.
    pub fn basenames(&self) -> BTreeSet<&str> {
        let sets = self.values.values().filter_map(|values| match values {
            Values::Basenames(names) => Some(names),
            _ => None,
        });
        sets.flatten().map(String::as_str).collect()
    }

    /// Whether the record passes. Where this is false, no rule matches. Does not allocate.
    pub fn approves(&self, record: &dyn Record) -> bool {
        self.fields()
            .any(|(field, values)| values.hold(field, record))
    }
}

/// What the events that the rules of one event type can match have in common. Rules come with
/// their ids; at most one capability of a field counts, the first.
pub fn approve<'a>(
    rules: impl IntoIterator<Item = (&'a str, &'a Compiled)>,
    capabilities: &[Capability],
) -> Approval {
    let mut approvers = Approvers::default();
    let mut accepting = Vec::new();
    for (id, compiled) in rules {
        match rule::approvers(compiled, capabilities) {
            Some(needed) => needed.into_iter().for_each(|(field, value)| {
                let held = approvers.values.entry(field);
                held.and_modify(|values| values.add(value))
                    .or_insert_with(|| Values::of(value));
            }),
            None => accepting.push(id.to_owned()),
        }
    }
    approvers.values.values_mut().for_each(Values::settle);
    if accepting.is_empty() {
        Approval::Approvers(approvers)
    } else {
        Approval::AcceptAll { rules: accepting }
    }
}
