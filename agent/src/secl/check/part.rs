//! Parts of rules, checked and read on their own: to explain a rule, and to read numbers that are
//! written as in rules.

use super::value::Value;
use super::Checker;
use crate::secl::ast::Expression;
use crate::secl::reading::Reading;
use crate::secl::types::{Record, Scheme};
use crate::secl::{Error, Macros};

/// What a part of a rule holds on a record.
pub(in crate::secl) fn read(
    part: &Expression,
    macros: &Macros,
    scheme: &dyn Scheme,
    record: &dyn Record,
) -> Result<Reading, Error> {
    let mut checker = Checker::new(macros, scheme);
    match checker.value(part)? {
        Value::Test(test) => Ok(Reading::condition(checker.finish(test).matches(record))),
        Value::Int(int) => Ok(int.read(record)),
        Value::Text(text, _) => Ok(text.read(record)),
        Value::Ip(ip) => Ok(ip.read(record)),
        other => Err(Error::new(
            format!("{} has no value by itself", other.describe()),
            part.span.clone(),
        )),
    }
}

/// The number that an expression of numbers and constants stands for.
pub(in crate::secl) fn number(part: &Expression, scheme: &dyn Scheme) -> Result<i64, Error> {
    let macros = Macros::new();
    let number = Checker::new(&macros, scheme).number(part)?;
    number.value.constant().ok_or_else(|| {
        let message = "this names a field where a number or constant is needed";
        Error::new(message, part.span.clone())
    })
}
