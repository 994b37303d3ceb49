//! Filters for packets in the language of pcap-filter(7), as rules and actions hold them.
//!
//! Text enters through [`Filter::parse`]: `lexer` cuts it, `parser` reads the words with the tables
//! of `names`, `primitives` says what each one compares, and what remains is a tree of comparisons
//! (`ast`). Two readers walk that tree: [`Filter::matches`] (`evaluate`) over captured bytes, and
//! [`program`] (`code`, `assembler`), which makes a classifier that the kernel runs. They agree on
//! every packet, as long as it is captured whole. Nothing here does I/O or knows an event.
//!
//! `GRAMMAR.md` beside this file has the grammar, its meaning and what differs from libpcap.

mod assembler;
mod ast;
mod code;
mod evaluate;
mod lexer;
mod names;
mod parser;
mod primitives;

#[cfg(test)]
pub(crate) mod samples;
#[cfg(test)]
mod tests;

pub use code::{program, TooLong, MAX_INSTRUCTIONS};

use std::fmt;

/// The longest expression that is read, in bytes.
pub const MAX_LENGTH: usize = 4096;

/// How deep parentheses, brackets, `not`, minus and operators within operators may nest.
pub const MAX_DEPTH: usize = 32;

/// How many primitives and operands one expression may have.
pub const MAX_PRIMITIVES: usize = 256;

/// A filter that was read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Filter {
    condition: ast::Condition,
}

impl Filter {
    /// Reads an expression. An empty one matches every packet.
    ///
    /// # Errors
    /// Where the first thing stands that is not understood, not supported or over a limit.
    pub fn parse(text: &str) -> Result<Filter, Error> {
        parser::parse(text).map(|condition| Filter { condition })
    }

    /// Whether a packet matches.
    ///
    /// `packet` has the captured bytes from the Ethernet header on, `length` the bytes of the whole
    /// packet. A packet that the filter would have to read beyond its captured bytes does not match,
    /// and neither does one that makes it divide by zero.
    pub fn matches(&self, packet: &[u8], length: u32) -> bool {
        evaluate::holds(&self.condition, packet, length)
    }
}

/// Why an expression is refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Error {
    /// The first byte that it is about, counted from 1; one behind the last byte for the end.
    pub column: usize,
    /// A sentence without its full stop.
    pub message: String,
}

impl Error {
    /// `at` counts bytes from 0.
    fn new(at: usize, message: impl Into<String>) -> Error {
        Error {
            column: at.saturating_add(1),
            message: message.into(),
        }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "column {}: {}", self.column, self.message)
    }
}

impl std::error::Error for Error {}
