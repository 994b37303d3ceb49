//! Unit tests of rules: events with the rules that they match.
//!
//! [`Examples::read`] takes the text of a test file, [`run`] judges its tests against a rule set.
//! How a written event becomes a record is told by the caller, as no event is known here. Files
//! are read, rules loaded and outcomes printed by the caller too.

mod owner;
mod read;

use std::fmt;
use std::time::Duration;

use crate::policy::variable::Store;
use crate::policy::RuleSet;
use crate::secl::{self, Record, Scheme};
use owner::Owners;

pub use read::Error;

/// A test file.
#[derive(Clone, Debug, PartialEq)]
pub struct Examples {
    /// The policies that it tests, by path; `None` for those that the agent would run.
    pub policies: Option<Vec<String>>,
    /// Its tests.
    pub tests: Vec<Test>,
}

/// A test: events one after the other.
#[derive(Clone, Debug, PartialEq)]
pub struct Test {
    /// Its name, one line.
    pub name: String,
    /// Line of the file where it begins, when it could be found.
    pub line: Option<usize>,
    /// Its steps, at least one.
    pub steps: Vec<Step>,
}

/// An event and what is expected of it.
#[derive(Clone, Debug, PartialEq)]
pub struct Step {
    /// How far the clock moves on before it.
    pub after: Duration,
    /// The event.
    pub event: WrittenEvent,
    /// Ids of the rules that match it; no other rule does.
    pub expect: Vec<String>,
}

/// An event as it was written.
#[derive(Clone, Debug, PartialEq)]
pub struct WrittenEvent {
    /// Its type.
    pub kind: String,
    /// Values by field name.
    pub values: serde_json::Map<String, serde_json::Value>,
}

/// What turns written events into records; the error is a sentence.
pub type MakeRecord<'a> = dyn Fn(&WrittenEvent) -> Result<Box<dyn Record + 'a>, String> + 'a;

/// What the run has to know of whoever owns the fields.
pub struct Surroundings<'a, 'r> {
    /// Turns written events into records.
    pub make: &'a MakeRecord<'r>,
    /// Knows the fields that say to whom an event belongs.
    pub scheme: &'a dyn Scheme,
}

/// How a test ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outcome {
    /// Its name.
    pub name: String,
    /// Line of the file where it begins, when it could be found.
    pub line: Option<usize>,
    /// What was not as expected; empty when the test passed.
    pub failures: Vec<Failure>,
}

/// What was not as expected of a step.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// The step, from 1; `None` for a test of a single event.
    pub step: Option<usize>,
    /// The difference.
    pub difference: Difference,
}

/// How a step differs from what was expected.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Difference {
    /// The event cannot be read; a sentence.
    Event(String),
    /// An expected rule does not exist.
    UnknownRule {
        /// Its id.
        id: String,
        /// A rule that was perhaps meant.
        suggestion: Option<String>,
    },
    /// A rule should have matched and did not.
    Missing(String),
    /// A rule should not have matched and did.
    Unexpected(String),
}

impl fmt::Display for Difference {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Difference::Event(sentence) => out.write_str(sentence),
            Difference::UnknownRule { id, suggestion } => {
                write!(out, "no rule has the id `{id}`")?;
                match suggestion {
                    Some(suggestion) => write!(out, ", did you mean `{suggestion}`?"),
                    None => Ok(()),
                }
            }
            Difference::Missing(id) => write!(out, "- {id}"),
            Difference::Unexpected(id) => write!(out, "+ {id}"),
        }
    }
}

impl Examples {
    /// Reads a test file.
    pub fn read(text: &str) -> Result<Examples, Error> {
        read::examples(text)
    }
}

/// Runs every test against the rules. Variables begin empty with each test and live from one of its
/// steps to the next; of actions only those are carried out that set variables.
pub fn run(rules: &RuleSet, examples: &Examples, around: &Surroundings<'_, '_>) -> Vec<Outcome> {
    let outcome = |test: &Test| Outcome {
        name: test.name.clone(),
        line: test.line,
        failures: Run::new(rules, around).test(test),
    };
    examples.tests.iter().map(outcome).collect()
}

/// One test under way: what lasts from one of its steps to the next belongs here.
struct Run<'a, 'r> {
    rules: &'a RuleSet,
    make: &'a MakeRecord<'r>,
    owners: Owners,
    variables: Store,
    /// Time since the test began.
    clock: Duration,
}

impl<'a, 'r> Run<'a, 'r> {
    fn new(rules: &'a RuleSet, around: &Surroundings<'a, 'r>) -> Run<'a, 'r> {
        Run {
            rules,
            make: around.make,
            owners: Owners::new(around.scheme),
            variables: Store::new(rules.declarations()),
            clock: Duration::ZERO,
        }
    }

    fn test(&mut self, test: &Test) -> Vec<Failure> {
        let mut failures = Vec::new();
        for (number, step) in (1..).zip(&test.steps) {
            let differences = match self.step(step) {
                Ok(matches) => self.compare(&step.expect, &matches),
                Err(sentence) => vec![Difference::Event(sentence)],
            };
            let step = (test.steps.len() > 1).then_some(number);
            failures.extend(
                differences
                    .into_iter()
                    .map(|difference| Failure { step, difference }),
            );
        }
        failures
    }

    /// Moves the clock on and gives the ids of the rules that match the event.
    fn step(&mut self, step: &Step) -> Result<Vec<&'a str>, String> {
        self.clock = self.clock.saturating_add(step.after);
        let now = u64::try_from(self.clock.as_nanos()).unwrap_or(u64::MAX);
        let record = (self.make)(&step.event)?;
        let owner = self.owners.of(&*record);
        if let Some((parent, child)) = self.owners.birth(&owner) {
            self.variables.fork(parent, child);
        }
        self.variables.advance(&owner, now);
        let mut matching = Vec::new();
        for rule in self.rules.rules(&step.event.kind) {
            let scoped = self.variables.scoped(&*record, &owner);
            if rule.compiled.matches(&scoped) {
                matching.push(rule.id.as_str());
                rule.set_variables(&mut self.variables, &*record, &owner, now);
            }
        }
        if step.event.kind == "exit" {
            self.owners.end(&owner, &mut self.variables);
        }
        Ok(matching)
    }

    fn compare(&self, expected: &[String], matches: &[&str]) -> Vec<Difference> {
        let mut differences = Vec::new();
        for id in expected {
            if !self.rules.all().any(|rule| rule.id == *id) {
                differences.push(self.unknown(id));
            } else if !matches.contains(&id.as_str()) {
                differences.push(Difference::Missing(id.clone()));
            }
        }
        let unexpected = matches
            .iter()
            .filter(|id| !expected.iter().any(|expected| expected == **id));
        differences.extend(unexpected.map(|id| Difference::Unexpected((*id).to_owned())));
        differences
    }

    fn unknown(&self, id: &str) -> Difference {
        let ids: Vec<String> = self.rules.all().map(|rule| rule.id.clone()).collect();
        Difference::UnknownRule {
            id: id.to_owned(),
            suggestion: secl::nearest(id, &ids),
        }
    }
}

#[cfg(test)]
mod tests;
