//! Which of many rules can match an event, found without evaluating each.
//!
//! Nearly every rule needs some field to be one of a few constants. An [`Index`] turns that round:
//! it reads each such field of an event once, looks up what it holds, and gets the rules that wait
//! for it. The rules it leaves out cannot match; those it names are evaluated as before. The rules
//! are those of one event type and are known by their place in load order.

mod candidates;
mod guard;
mod tables;
#[cfg(test)]
mod tests;

pub use candidates::Candidates;

use super::compile::Compiled;
use super::matcher;
use super::types::{FieldId, Record};
use guard::{Reading, Source, Value};
use std::collections::HashMap;
use tables::{Ends, Ints, Strings};

/// The rules of one event type, by what they need in order to match.
#[derive(Debug, Default)]
pub struct Index {
    rules: usize,
    /// The rules that are evaluated always: places of 64 rules and their bits.
    always: Vec<(usize, u64)>,
    lookups: Vec<(Source, Lookup)>,
}

/// Where what a source holds is looked up.
#[derive(Debug)]
enum Lookup {
    Ints(Ints),
    Texts {
        whole: Strings,
        beginnings: Ends,
        ends: Ends,
    },
}

impl Index {
    /// An index of the rules, in load order. Fields must hold the same while the candidates of an
    /// event are evaluated as when they were asked for: where actions set variables in between, use
    /// [`Index::with_keys`].
    pub fn new<'a>(rules: impl Iterator<Item = &'a Compiled>) -> Index {
        Index::with_keys(rules, &|_| true)
    }

    /// An index that looks up only fields that `usable` accepts, such as those that no action
    /// changes between two rules.
    pub fn with_keys<'a>(
        rules: impl Iterator<Item = &'a Compiled>,
        usable: &dyn Fn(FieldId) -> bool,
    ) -> Index {
        let mut index = Index::default();
        let mut waiting: HashMap<Source, Vec<(Value<'a>, u32)>> = HashMap::new();
        let mut sources = Vec::new();
        for rule in rules {
            let number = index.rules;
            index.rules += 1;
            // Beyond four thousand million rules there is nothing to look up.
            match (guard::of(rule, usable), u32::try_from(number)) {
                (Some(keys), Ok(short)) => {
                    for (source, value) in keys.keys {
                        let entries = waiting.entry(source).or_default();
                        if entries.is_empty() {
                            sources.push(source);
                        }
                        entries.push((value, short));
                    }
                }
                _ => index.evaluate_always(number),
            }
        }
        let lookups = sources.into_iter().map(|source| {
            let entries = waiting.remove(&source).unwrap_or_default();
            (source, Lookup::new(source, &entries))
        });
        index.lookups = lookups.collect();
        index
    }

    fn evaluate_always(&mut self, rule: usize) {
        let (word, bit) = (rule / 64, 1 << (rule % 64));
        match self.always.last_mut() {
            Some((last, mask)) if *last == word => *mask |= bit,
            _ => self.always.push((word, bit)),
        }
    }

    /// The number of rules.
    pub fn len(&self) -> usize {
        self.rules
    }

    /// Whether there is no rule.
    pub fn is_empty(&self) -> bool {
        self.rules == 0
    }

    /// Puts the rules that may match the record into `candidates` and takes out all others. Does
    /// not allocate once `candidates` has been used with an index of this size.
    pub fn candidates(&self, record: &dyn Record, candidates: &mut Candidates) {
        candidates.reset(self.rules);
        for (word, mask) in &self.always {
            candidates.add(*word, *mask);
        }
        for (source, lookup) in &self.lookups {
            let elements = match source.many {
                true => record.count(source.field),
                false => 1,
            };
            for element in 0..elements {
                lookup.find(*source, record, element, candidates);
            }
        }
    }
}

impl Lookup {
    fn new(source: Source, entries: &[(Value<'_>, u32)]) -> Lookup {
        let Reading::Text { fold_case, .. } = source.reading else {
            return Lookup::Ints(Ints::new(entries.iter().filter_map(
                |(value, rule)| match value {
                    Value::Int(number) => Some((*number, *rule)),
                    _ => None,
                },
            )));
        };
        let mut whole = Vec::new();
        let mut beginnings = Vec::new();
        let mut ends = Vec::new();
        for (value, rule) in entries {
            match value {
                Value::Exact(text) => whole.push((*text, *rule)),
                Value::Prefix(text) => beginnings.push((*text, *rule)),
                Value::Suffix(text) => ends.push((*text, *rule)),
                Value::Int(_) => {}
            }
        }
        Lookup::Texts {
            whole: Strings::new(&whole, fold_case),
            beginnings: Ends::new(&beginnings, false, fold_case),
            ends: Ends::new(&ends, true, fold_case),
        }
    }

    fn find(&self, source: Source, record: &dyn Record, element: usize, to: &mut Candidates) {
        let mut add = |rules: &[u32]| {
            for rule in rules {
                to.add(*rule as usize / 64, 1 << (rule % 64));
            }
        };
        match (self, source.reading) {
            (Lookup::Ints(ints), _) => add(ints.find(record.int(source.field, element))),
            (
                Lookup::Texts {
                    whole,
                    beginnings,
                    ends,
                },
                reading,
            ) => {
                let mut text = record.text(source.field, element);
                if matches!(
                    reading,
                    Reading::Text {
                        root_domain: true,
                        ..
                    }
                ) {
                    text = matcher::root_domain(text);
                }
                add(whole.find(text));
                beginnings.find(text, &mut add);
                ends.find(text, &mut add);
            }
        }
    }
}
