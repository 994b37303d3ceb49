//! Why a written event is no event.

use std::fmt;

use super::{MAX_ELEMENTS, MAX_TURNS};
use crate::secl;

/// Why a written event is no event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Error {
    /// There is no such event type.
    UnknownEvent {
        /// As it was written.
        name: String,
        /// A type that was perhaps meant.
        suggestion: Option<String>,
    },
    /// There is no such field.
    UnknownField {
        /// As it was written.
        name: String,
        /// A field that was perhaps meant.
        suggestion: Option<String>,
    },
    /// Events of the type do not have this field.
    NotAvailable {
        /// The field.
        name: String,
        /// The type of the event.
        event: &'static str,
        /// The types that have it.
        available: String,
    },
    /// A value is not of the field's type.
    Type {
        /// The field.
        name: String,
        /// What its values are.
        wanted: &'static str,
        /// What was found.
        found: String,
    },
    /// A text that should name a number does not.
    Number {
        /// The field.
        name: String,
        /// The reason.
        cause: secl::Error,
    },
    /// A field has more elements than are read.
    TooMany {
        /// The field.
        name: String,
    },
    /// An iterator has more turns than are read.
    TooManyTurns {
        /// A field of the iterator.
        name: String,
    },
    /// Two values that are always the same differ.
    Contradiction {
        /// One field.
        left: String,
        /// The other.
        right: String,
    },
    /// An iterator has more turns than its length says.
    Length {
        /// The iterator.
        iterator: String,
        /// Its turns.
        turns: usize,
    },
}

fn ending(suggestion: &Option<String>) -> String {
    match suggestion {
        Some(name) => format!(", did you mean `{name}`?"),
        None => String::new(),
    }
}

impl fmt::Display for Error {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Error::UnknownEvent { name, suggestion } => {
                write!(out, "unknown event type `{name}`{}", ending(suggestion))
            }
            Error::UnknownField { name, suggestion } => {
                write!(out, "unknown field `{name}`{}", ending(suggestion))
            }
            Error::NotAvailable {
                name,
                event,
                available,
            } => write!(
                out,
                "field `{name}` not available for event type `{event}`, \
                 available for `[{available}]`"
            ),
            Error::Type {
                name,
                wanted,
                found,
            } => write!(out, "the value of `{name}` must be {wanted}, not {found}"),
            Error::Number { name, cause } => {
                write!(out, "the value of `{name}` is no number: {cause}")
            }
            Error::TooMany { name } => write!(
                out,
                "`{name}` has more than {MAX_ELEMENTS} elements, the most that is read"
            ),
            Error::TooManyTurns { name } => write!(
                out,
                "`{name}` has more than {MAX_TURNS} turns, the most that is read"
            ),
            Error::Contradiction { left, right } => write!(
                out,
                "`{left}` and `{right}` are the same in every event of this type and have \
                 different values; give one of them"
            ),
            Error::Length { iterator, turns } => write!(
                out,
                "`{iterator}.length` is less than the {turns} values that `{iterator}` has"
            ),
        }
    }
}

impl std::error::Error for Error {}
