//! SECL, the language of rules: text in, a compiled condition out.
//!
//! A rule's text goes through [`parse`] (lexer, parser) to an [`ast::Expression`], and through
//! [`compile`] (checker) to a [`Compiled`] tree of typed tests, which [`Compiled::matches`] walks
//! over a borrowed [`Record`] without allocating. Names come from a [`Scheme`], macros from
//! [`Macros`]. Of many rules an [`Index`] finds those that can match, and [`approve()`] what an event
//! needs for any to match. This folder knows no event, reads no file and does no I/O.
//!
//! Meaning, where the grammar leaves it open:
//! - Logic is right-recursive without precedence: `a && b || c` is `a && (b || c)`.
//! - A comparison of a field with many elements is true when some element compares so; the
//!   negative forms `!=`, `!~` and `not in` are the exact opposite of `==`, `=~` and `in`. So with no
//!   element at all, or an index beyond the last one, positive forms are false, negative ones true.
//!   Only `allin` is true then: no element is outside of the list.
//! - `=~` and `!~` take a plain string as a pattern; `==` never does.
//! - A number with a leading zero is octal, as modes are written: `0777`.
//! - `${name}` is a variable, or else the field of that name; within strings and patterns it stands
//!   for what it holds, in which a `*` is no star.
//! - A rule with a register `[A]` is true when it is true for some element, the same one wherever
//!   `[A]` stands.

pub mod approve;
pub mod ast;
mod check;
mod compile;
mod formula;
pub mod index;
mod lexer;
mod macros;
mod matcher;
mod necessary;
mod parser;
pub(crate) mod pattern;
mod template;
pub mod types;

#[cfg(test)]
mod testing;
#[cfg(test)]
mod tests;

pub use approve::{approve, Approval, Approvers, Capability, CapabilityKind};
pub use check::{nearest, nearest_within};
pub use compile::Compiled;
pub use formula::Formula;
pub use index::{Candidates, Index};
pub use macros::Macros;
pub use types::{
    Constant, Field, FieldId, FieldType, IpNet, Kind, Record, Scheme, TextKind, Value,
};

use std::fmt;
use std::ops::Range;

/// The longest expression that is read, in bytes. The longest seen in public policies has 1,600.
pub const MAX_LENGTH: usize = 64 * 1024;

/// Why an expression is refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Error {
    /// A sentence without its full stop.
    pub message: String,
    /// The bytes of the expression that it is about.
    pub span: Range<usize>,
    /// A name that was perhaps meant.
    pub suggestion: Option<String>,
}

impl Error {
    pub(crate) fn new(message: impl Into<String>, span: Range<usize>) -> Error {
        Error {
            message: message.into(),
            span,
            suggestion: None,
        }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.suggestion {
            Some(name) => write!(out, "{}, did you mean `{name}`?", self.message),
            None => out.write_str(&self.message),
        }
    }
}

impl std::error::Error for Error {}

/// The line and column of a byte offset, both from 1, columns in characters. An offset beyond the
/// end is the end.
pub fn position(text: &str, offset: usize) -> (usize, usize) {
    let before = text
        .char_indices()
        .take_while(|(at, _)| *at < offset)
        .map(|(_, letter)| letter);
    before.fold((1, 1), |(line, column), letter| match letter {
        '\n' => (line + 1, 1),
        _ => (line, column + 1),
    })
}

/// Where the tokens of an expression stand: what is between them are blanks and comments.
pub fn token_places(text: &str) -> Result<Vec<Range<usize>>, Error> {
    let mut tokens = lexer::tokens(text)?;
    // The last one is the end, which has no text.
    tokens.pop();
    Ok(tokens.into_iter().map(|token| token.span).collect())
}

/// Reads the expression of a rule.
pub fn parse(text: &str) -> Result<ast::Expression, Error> {
    parser::expression(text)
}

/// Reads the expression of a macro: a condition, a list, or a single value.
pub fn parse_macro(text: &str) -> Result<ast::Macro, Error> {
    parser::definition(text)
}

/// Checks names and types and makes an expression ready for evaluation. Spans of errors are those
/// of the expression, also when the cause lies in a macro that it uses.
pub fn compile(
    expression: &ast::Expression,
    macros: &Macros,
    scheme: &dyn Scheme,
) -> Result<Compiled, Error> {
    check::rule(expression, macros, scheme)
}

/// Checks the expression that an action gives to a variable: a single value, a list, or a
/// condition, whose truth is the value.
pub fn formula(
    definition: &ast::Macro,
    macros: &Macros,
    scheme: &dyn Scheme,
) -> Result<Formula, Error> {
    check::formula(definition, macros, scheme)
}

/// The number that a text such as `O_CREAT | O_WRONLY`, `0644`, `-1` or `10m` stands for.
pub fn number(text: &str, scheme: &dyn Scheme) -> Result<i64, Error> {
    check::number(&parse(text)?, scheme)
}
