//! Variables: by themselves, and within strings and patterns.

use super::names::{self, View};
use super::suggest;
use super::value::Value;
use super::Checker;
use crate::secl::compile::Which;
use crate::secl::template::{self, Part, Piece, Template, MAX_VARIABLES};
use crate::secl::types::Field;
use crate::secl::Error;
use std::ops::Range;

impl<'a> Checker<'a> {
    pub(super) fn variable(&mut self, name: &'a str, span: &Range<usize>) -> Result<Value, Error> {
        let (field, view) = self.held_by(name, span)?;
        let which = if field.ty.many {
            Which::Every
        } else {
            Which::Only
        };
        Ok(self.read(&field, which, view))
    }

    /// The variable of that name, or else the field.
    fn held_by(&mut self, name: &str, span: &Range<usize>) -> Result<(Field, View), Error> {
        let Some((field, view)) = names::variable(self.scheme, name) else {
            let known = self.scheme.variables();
            return Err(Error {
                suggestion: suggest::nearest(name, &known),
                ..Error::new(format!("unknown variable `${{{name}}}`"), span.clone())
            });
        };
        self.restrict(&field, name, span)?;
        Ok((field, view))
    }

    /// A text with variables in it, if it has any.
    pub(super) fn template(
        &mut self,
        text: &str,
        span: &Range<usize>,
    ) -> Result<Option<Template>, Error> {
        let Some(parts) = template::split(text) else {
            return Ok(None);
        };
        let mut pieces = Vec::with_capacity(parts.len());
        let mut variables = 0;
        for part in parts {
            pieces.push(match part {
                Part::Literal(text) => Piece::Literal(text.into()),
                Part::Variable(name) => {
                    variables += 1;
                    self.piece(name, span)?
                }
            });
        }
        if variables > MAX_VARIABLES {
            let message = format!("a string can have {MAX_VARIABLES} variables in it");
            return Err(Error::new(message, span.clone()));
        }
        Ok(Some(Template {
            pieces,
            is_pattern: false,
        }))
    }

    fn piece(&mut self, name: &str, span: &Range<usize>) -> Result<Piece, Error> {
        let (field, view) = self.held_by(name, span)?;
        if view != View::Plain {
            let message = format!("`${{{name}}}` cannot stand within a string");
            return Err(Error::new(message, span.clone()));
        }
        self.note(field.id);
        Ok(Piece::Value {
            field: field.id,
            kind: field.ty.kind,
            many: field.ty.many,
        })
    }
}
