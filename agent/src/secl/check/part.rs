//! Numbers that are written as in rules, outside of rules.

use super::Checker;
use crate::secl::ast::Expression;
use crate::secl::types::Scheme;
use crate::secl::{Error, Macros};

/// The number that an expression of numbers and constants stands for.
pub(in crate::secl) fn number(part: &Expression, scheme: &dyn Scheme) -> Result<i64, Error> {
    let macros = Macros::new();
    let number = Checker::new(&macros, scheme).number(part)?;
    number.value.constant().ok_or_else(|| {
        let message = "this names a field where a number or constant is needed";
        Error::new(message, part.span.clone())
    })
}
