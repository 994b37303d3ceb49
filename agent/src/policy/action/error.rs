//! Why an action is refused.

use crate::policy::file::keys;
use crate::secl::{self, Kind};
use std::fmt;

/// Why an action is refused; the rule that has it does not load.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Error {
    /// A key has a value of the wrong shape.
    Shape(keys::Error),
    /// An item names no action.
    NoAction,
    /// An item names more than one action.
    SeveralActions,
    /// A rule has more actions than are carried out.
    TooManyActions(usize),
    /// A variable has no name.
    NoVariableName,
    /// A variable's name has characters that names do not have.
    VariableName(String),
    /// A variable gets no value.
    NoValue,
    /// A variable gets its value from several places.
    SeveralValues,
    /// The value before the first one is of another type.
    DefaultType(Kind, Kind),
    /// Nothing says which type a variable has.
    Untyped(String),
    /// Two actions give values of different types to a variable.
    Conflict(String, Kind, Kind),
    /// The name belongs to the agent.
    Reserved(String),
    /// There are more variables than are kept.
    TooMany,
    /// Only processes have children.
    Inherited,
    /// Only variables of processes can belong to another process.
    ScopeFieldScope,
    /// The field that names the process is none.
    ScopeField {
        /// As written.
        field: String,
        /// What is wrong with it.
        reason: &'static str,
    },
    /// What a variable gets is no valid expression or field.
    Value {
        /// As written.
        text: String,
        /// What is wrong with it.
        error: secl::Error,
    },
    /// A filter is no valid expression.
    Filter {
        /// As written.
        filter: String,
        /// What is wrong with it.
        error: secl::Error,
    },
    /// A filter or field is about other event types than its rule.
    Unavailable {
        /// What it is, and as it is written.
        what: String,
        /// The event type of the rule.
        event: String,
        /// The event types that have it.
        available: String,
    },
    /// There is no such scope for this action.
    Scope(String),
    /// Rules may not act in this way, by the name of the action.
    EnforcementDisabled(&'static str),
    /// Rules from such a source may not act.
    Source {
        /// The name of the action.
        action: &'static str,
        /// The source.
        source: &'static str,
    },
    /// No signal is named.
    NoSignal,
    /// There is no such signal.
    Signal(String),
    /// Events of that type have no file that is hashed without being named.
    HashField(String),
    /// Events of that type do not have that file.
    HashIncompatible {
        /// The file's field.
        field: String,
        /// The event type of the rule.
        event: String,
    },
    /// There is no such log level, or none is named.
    LogLevel,
    /// The packet filter is empty.
    NoPacketFilter,
    /// The packet filter is none; why, as a sentence.
    PacketFilter(String),
    /// A core dump of nothing.
    EmptyCoreDump,
}

impl std::error::Error for Error {}

impl Error {
    /// The sentence of an error that says nothing of its own.
    fn fixed(&self) -> Option<&'static str> {
        Some(match self {
            Error::NoAction => {
                "either `set`, `kill`, `hash`, `log`, `network_filter` or `coredump` section of \
                 an action must be specified"
            }
            Error::SeveralActions => "only one action can be specified",
            Error::NoVariableName => "variable name is empty",
            Error::NoValue => "either 'value', 'field' or 'expression' must be specified",
            Error::SeveralValues => {
                "only one of 'value', 'field' and 'expression' can be specified"
            }
            Error::TooMany => "there are too many variables; set fewer",
            Error::Inherited => "only variables scoped to process can be marked as inherited",
            Error::ScopeFieldScope => {
                "only variables scoped to process can have a custom scope_field"
            }
            Error::NoSignal => "a valid signal has to be specified to the 'kill' action",
            Error::LogLevel => "a valid log level must be specified to the 'log' action",
            Error::NoPacketFilter => {
                "a valid BPF filter must be specified to the 'network_filter' action"
            }
            Error::EmptyCoreDump => {
                "one of 'process', 'mount' and 'dentry' must be true in 'coredump'"
            }
            _ => return None,
        })
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(sentence) = self.fixed() {
            return f.write_str(sentence);
        }
        match self {
            Error::Shape(error) => error.fmt(f),
            Error::TooManyActions(most) => write!(f, "a rule can have {most} actions"),
            Error::VariableName(name) => write!(
                f,
                "variable name `{name}`: letters, digits, `_` and `.` only"
            ),
            Error::DefaultType(default, value) => write!(
                f,
                "'default_value' and 'value' must be of the same type ({} != {})",
                default.name(),
                value.name()
            ),
            Error::Untyped(name) => write!(
                f,
                "failed to infer type for variable '{name}', please set 'default_value'"
            ),
            Error::Conflict(name, first, second) => write!(
                f,
                "conflicting types for variable '{name}': {} here, {} before",
                second.name(),
                first.name()
            ),
            Error::Reserved(name) => {
                write!(f, "variable '{name}' is the agent's own and cannot be set")
            }
            Error::ScopeField { field, reason } => {
                write!(f, "scope_field `{field}` error: {reason}")
            }
            Error::EnforcementDisabled(action) => {
                write!(f, "'{action}' action is disabled globally")
            }
            Error::PacketFilter(reason) => write!(
                f,
                "a valid BPF filter must be specified to the 'network_filter' action: {reason}"
            ),
            Error::Value { text, error } => write!(f, "value `{text}` error: {error}"),
            Error::Filter { filter, error } => write!(f, "filter `{filter}` error: {error}"),
            Error::Unavailable {
                what,
                event,
                available,
            } => write!(
                f,
                "{what} not available for event type `{event}`, available for `[{available}]`"
            ),
            Error::Scope(scope) => write!(f, "invalid scope '{scope}'"),
            Error::Source { action, source } => write!(
                f,
                "'{action}' action is not allowed for rules from source `{source}`"
            ),
            Error::Signal(name) => write!(f, "unsupported signal '{name}'"),
            Error::HashField(event) => {
                write!(f, "`field` attribute is mandatory for '{event}' rules")
            }
            Error::HashIncompatible { field, event } => {
                write!(f, "field '{field}' is not compatible with '{event}' rules")
            }
            // The others have a sentence of their own, above.
            _ => f.write_str("the action cannot be carried out"),
        }
    }
}
