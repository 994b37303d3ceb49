//! The macros of a rule set, by name.
//!
//! A macro arrives parsed, or as a list of values; it is expanded where a rule names it, while
//! that rule is checked. Merging and overriding are the policy loader's.

use super::ast::{Array, ArrayKind, Expression, ExpressionKind, Macro};
use super::matcher::TextMatcher;
use super::types::TextKind;
use super::{parser, Error};
use std::cell::RefCell;
use std::collections::HashMap;
use std::rc::Rc;

/// Macros by id.
#[derive(Clone, Debug, Default)]
pub struct Macros {
    by_id: HashMap<String, Macro>,
    /// Lists as they were made ready for a kind of text, so that the rules that name one share it.
    ready: RefCell<HashMap<(String, TextKind), Rc<TextMatcher>>>,
}

impl Macros {
    /// None.
    pub fn new() -> Macros {
        Macros::default()
    }

    /// Adds a macro, in place of one with the same id.
    pub fn insert(&mut self, id: &str, definition: Macro) {
        self.by_id.insert(id.to_owned(), definition);
        // Lists may name other macros.
        self.ready.take();
    }

    /// Adds a list. A value written as a literal (`"a"`, `~"a*"`, `r"a+"`) is read as such, any
    /// other is a string as it stands; a list of nothing but numbers, or nothing but addresses and
    /// networks, is one of these. An error's span is within the value it quotes.
    pub fn from_values(&mut self, id: &str, values: &[String]) -> Result<(), Error> {
        let elements = numbers(values)
            .or_else(|| addresses(values))
            .map_or_else(|| values.iter().map(|value| literal(value)).collect(), Ok)?;
        let array = Array {
            kind: ArrayKind::List(elements),
            span: 0..0,
        };
        self.insert(id, Macro::Array(array));
        Ok(())
    }

    /// The same macros, each changed by `change`.
    pub fn map(&self, change: impl Fn(&Macro) -> Macro) -> Macros {
        let by_id = self.by_id.iter();
        Macros {
            by_id: by_id.map(|(id, one)| (id.clone(), change(one))).collect(),
            ready: RefCell::default(),
        }
    }

    /// Puts the set that other rules got for the same macro in the place of `matcher`.
    pub(super) fn share(&self, id: &str, kind: TextKind, matcher: &mut Rc<TextMatcher>) {
        if self.by_id.contains_key(id) {
            let mut ready = self.ready.borrow_mut();
            let known = ready.entry((id.to_owned(), kind));
            *matcher = Rc::clone(known.or_insert_with(|| Rc::clone(matcher)));
        }
    }

    /// The macro of that id.
    pub fn get(&self, id: &str) -> Option<&Macro> {
        self.by_id.get(id)
    }
}

fn numbers(values: &[String]) -> Option<Vec<Expression>> {
    let number = |value: &String| value.parse().ok().map(ExpressionKind::Integer);
    values
        .iter()
        .map(|value| number(value).map(unplaced))
        .collect()
}

fn addresses(values: &[String]) -> Option<Vec<Expression>> {
    let address = |value: &String| value.parse().ok().map(ExpressionKind::Ip);
    values
        .iter()
        .map(|value| address(value).map(unplaced))
        .collect()
}

fn literal(value: &str) -> Result<Expression, Error> {
    let quoted = ["\"", "~\"", "r\""]
        .iter()
        .any(|open| value.starts_with(open));
    if !quoted {
        return Ok(unplaced(ExpressionKind::Text(value.to_owned())));
    }
    let parsed = parser::expression(value).map_err(|error| Error {
        message: format!("value `{value}`: {}", error.message),
        ..error
    })?;
    match parsed.kind {
        kind @ (ExpressionKind::Text(_)
        | ExpressionKind::Pattern(_)
        | ExpressionKind::Regexp(_)) => Ok(unplaced(kind)),
        _ => Err(Error::new(
            format!("value `{value}` is not a single string, pattern or regexp"),
            parsed.span,
        )),
    }
}

fn unplaced(kind: ExpressionKind) -> Expression {
    Expression { kind, span: 0..0 }
}
