//! What a rule does when it has matched: actions, checked and ready.
//!
//! [`definition`] reads them from YAML, [`compile`](Action::compile) checks them against the event
//! type of their rule. `set` is carried out by [`super::variable`]; signals, hashes and log lines
//! are the business of whoever runs the rules.

pub mod definition;
mod error;

pub use definition::{Log, NetworkFilter, Scope};
pub use error::Error;

use crate::secl::{self, ast, Compiled, FieldId, Formula, Kind, Macros, Scheme};
use definition::Definition;
use std::time::Duration;

/// One action of a rule on one event type.
#[derive(Debug)]
pub struct Action {
    /// It is carried out only when this holds.
    pub filter: Option<Compiled>,
    /// What is done.
    pub kind: ActionKind,
}

/// What an action does.
#[derive(Debug)]
pub enum ActionKind {
    /// Gives a value to a variable.
    Set(Box<Set>),
    /// Sends a signal.
    Kill(Kill),
    /// Hashes a file.
    Hash(Hash),
    /// Writes to the agent's log.
    Log(Log),
    /// Filters packets of a process or cgroup.
    NetworkFilter(NetworkFilter),
    /// Saves the memory of the process; not supported.
    CoreDump,
}

/// Gives a value to a variable.
#[derive(Debug)]
pub struct Set {
    /// Name by which rules refer to the variable.
    pub variable: String,
    /// Where the value comes from.
    pub formula: Formula,
    /// The field that names the process whose variable it is, instead of the event's.
    pub scope_field: Option<FieldId>,
    /// The value joins what is there.
    pub append: bool,
    /// Entries that are kept.
    pub size: usize,
    /// How long the value lasts.
    pub ttl: Option<Duration>,
}

/// Sends a signal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Kill {
    /// Number of the signal.
    pub signal: i32,
    /// Its name.
    pub signal_name: String,
    /// What is signalled.
    pub scope: Scope,
    /// Also when many containers were hit.
    pub ignores_container_disarmer: bool,
    /// Also when many programs were hit.
    pub ignores_executable_disarmer: bool,
}

/// Hashes a file of the event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hash {
    /// The file's field, such as `exec.file`.
    pub field: String,
    /// The largest file that is hashed, in bytes, where the rule says so.
    pub max_file_size: Option<u64>,
}

/// What actions are checked against.
pub struct Surroundings<'a> {
    /// Macros of the rule set.
    pub macros: &'a Macros,
    /// Fields, constants and variables.
    pub scheme: &'a dyn Scheme,
    /// Whether rules may act.
    pub enforcement: bool,
}

impl Action {
    /// Makes an action of a rule on `event` ready.
    pub fn compile(
        definition: &Definition,
        event: &str,
        around: &Surroundings<'_>,
    ) -> Result<Action, Error> {
        if let Some(action) = definition.kind.enforcing().filter(|_| !around.enforcement) {
            return Err(Error::EnforcementDisabled(action));
        }
        Ok(Action {
            filter: filter(&definition.filter, event, around)?,
            kind: match &definition.kind {
                definition::Kind::Set(set) => {
                    ActionKind::Set(Box::new(self::set(set, event, around)?))
                }
                definition::Kind::Kill(kill) => ActionKind::Kill(self::kill(kill, around)?),
                definition::Kind::Hash(hash) => ActionKind::Hash(self::hash(hash, event, around)?),
                definition::Kind::Log(log) => ActionKind::Log(log.clone()),
                definition::Kind::NetworkFilter(filter) => {
                    ActionKind::NetworkFilter(filter.clone())
                }
                definition::Kind::CoreDump => ActionKind::CoreDump,
            },
        })
    }

    /// A sentence about an action that is understood and has no effect in this release.
    pub fn without_effect(definition: &Definition) -> Option<&'static str> {
        match definition.kind {
            definition::Kind::CoreDump => {
                Some("the action `coredump` is not supported and has no effect")
            }
            _ => None,
        }
    }
}

fn filter(text: &str, event: &str, around: &Surroundings<'_>) -> Result<Option<Compiled>, Error> {
    if text.trim().is_empty() {
        return Ok(None);
    }
    let wrong = |error| Error::Filter {
        filter: text.to_owned(),
        error,
    };
    let parsed = secl::parse(text).map_err(wrong)?;
    let compiled = secl::compile(&parsed, around.macros, around.scheme).map_err(wrong)?;
    check_event(compiled.events(), event, &format!("filter `{text}`"))?;
    Ok(Some(compiled))
}

fn check_event(events: &[&'static str], event: &str, what: &str) -> Result<(), Error> {
    match events.is_empty() || events.contains(&event) {
        true => Ok(()),
        false => Err(Error::Unavailable {
            what: what.to_owned(),
            event: event.to_owned(),
            available: events.join(", "),
        }),
    }
}

fn set(definition: &definition::Set, event: &str, around: &Surroundings<'_>) -> Result<Set, Error> {
    let formula = formula(definition, around)?;
    let what = format!("field `{}`", definition.source_text());
    check_event(formula.events(), event, &what)?;
    Ok(Set {
        variable: definition.full_name(),
        formula,
        scope_field: scope_field(&definition.scope_field, event, around)?,
        append: definition.append,
        size: definition.size,
        ttl: definition.ttl,
    })
}

/// What gives a value to the variable of a `set`.
pub fn formula(definition: &definition::Set, around: &Surroundings<'_>) -> Result<Formula, Error> {
    if let Some(value) = &definition.value {
        return Ok(Formula::constant(value.clone()));
    }
    let text = definition.source_text();
    let wrong = |error| Error::Value {
        text: text.to_owned(),
        error,
    };
    let parsed = match definition.field.is_empty() {
        true => secl::parse_macro(text).map_err(wrong)?,
        // A field is a name and nothing else.
        false => ast::Macro::field(text),
    };
    secl::formula(&parsed, around.macros, around.scheme).map_err(wrong)
}

impl definition::Set {
    fn source_text(&self) -> &str {
        match self.field.is_empty() {
            true => &self.expression,
            false => &self.field,
        }
    }
}

fn scope_field(
    name: &str,
    event: &str,
    around: &Surroundings<'_>,
) -> Result<Option<FieldId>, Error> {
    if name.is_empty() {
        return Ok(None);
    }
    let wrong = |reason| Error::ScopeField {
        field: name.to_owned(),
        reason,
    };
    // `process.parent` stands for the process as `process.parent.pid` does.
    let found = around
        .scheme
        .field(name)
        .or_else(|| around.scheme.field(&format!("{name}.pid")));
    let field = found.ok_or_else(|| wrong("no such field"))?;
    if field.ty.kind != Kind::Int || (field.ty.many && !field.iterator) {
        return Err(wrong("it must be a process id"));
    }
    check_event(field.events, event, &format!("field `{name}`"))?;
    Ok(Some(field.id))
}

fn kill(definition: &definition::Kill, around: &Surroundings<'_>) -> Result<Kill, Error> {
    let name = &definition.signal;
    let unsupported = || Error::Signal(name.clone());
    if !name.starts_with("SIG") {
        return Err(unsupported());
    }
    let Some(secl::Constant::Int(number)) = around.scheme.constant(name) else {
        return Err(unsupported());
    };
    Ok(Kill {
        signal: i32::try_from(number).map_err(|_| unsupported())?,
        signal_name: name.clone(),
        scope: definition.scope,
        ignores_container_disarmer: definition.ignores_container_disarmer,
        ignores_executable_disarmer: definition.ignores_executable_disarmer,
    })
}

fn hash(
    definition: &definition::Hash,
    event: &str,
    around: &Surroundings<'_>,
) -> Result<Hash, Error> {
    let field = match (definition.field.as_str(), event) {
        ("", "exec") => "exec.file",
        ("", "open") => "open.file",
        ("", _) => return Err(Error::HashField(event.to_owned())),
        (field, _) => field,
    };
    let incompatible = || Error::HashIncompatible {
        field: field.to_owned(),
        event: event.to_owned(),
    };
    let path = around.scheme.field(&format!("{field}.path"));
    let path = path
        .filter(|path| !path.iterator)
        .ok_or_else(incompatible)?;
    if !path.events.is_empty() && !path.events.contains(&event) {
        return Err(incompatible());
    }
    Ok(Hash {
        field: field.to_owned(),
        max_file_size: definition.max_file_size,
    })
}
