//! From a value as it was written to the elements of a field.

use serde_json::Value;

use super::catalog::Shape;
use super::error::Error;
use super::Element;
use super::{MAX_ELEMENTS, MAX_TURNS};
use crate::secl::{self, Field, Kind, Scheme};

/// The elements of a field, by the turns of its iterator; a field without one has a single turn.
/// `None` is a turn without a value.
pub(super) type Turns = Vec<Vec<Option<Element>>>;

/// A field whose value is read.
pub(super) struct Reader<'a> {
    pub(super) scheme: &'a dyn Scheme,
    pub(super) name: &'a str,
    pub(super) field: Field,
    pub(super) shape: Shape,
}

impl Reader<'_> {
    /// Reads the value.
    pub(super) fn read(&self, written: &Value) -> Result<Turns, Error> {
        let turns = match (self.shape, written) {
            (Shape::One, one) => vec![vec![Some(self.element(one)?)]],
            (Shape::List, Value::Array(all)) => vec![self.list(all)?],
            (Shape::List, one) => vec![vec![Some(self.element(one)?)]],
            (Shape::Turns { nested, .. }, Value::Array(turns)) => {
                let turn = |written| self.turn(written, nested);
                turns.iter().map(turn).collect::<Result<_, _>>()?
            }
            (Shape::Turns { nested: false, .. }, one) => vec![self.turn(one, false)?],
            (Shape::Turns { .. }, other) => return Err(self.wrong(NESTED, other)),
        };
        self.bounded(turns)
    }

    fn bounded(&self, turns: Turns) -> Result<Turns, Error> {
        let name = || self.name.to_owned();
        if turns.iter().map(Vec::len).sum::<usize>() > MAX_ELEMENTS {
            return Err(Error::TooMany { name: name() });
        }
        if turns.len() > MAX_TURNS {
            return Err(Error::TooManyTurns { name: name() });
        }
        Ok(turns)
    }

    /// The elements of one turn; null is a turn that has nothing to say.
    fn turn(&self, written: &Value, nested: bool) -> Result<Vec<Option<Element>>, Error> {
        match (written, nested) {
            (Value::Null, true) => Ok(Vec::new()),
            (Value::Null, false) => Ok(vec![None]),
            (Value::Array(all), true) => self.list(all),
            (other, true) => Err(self.wrong(NESTED, other)),
            (one, false) => Ok(vec![Some(self.element(one)?)]),
        }
    }

    fn list(&self, all: &[Value]) -> Result<Vec<Option<Element>>, Error> {
        all.iter().map(|one| self.element(one).map(Some)).collect()
    }

    fn element(&self, written: &Value) -> Result<Element, Error> {
        match (self.field.ty.kind, written) {
            (Kind::Bool, Value::Bool(value)) => Ok(Element::Bool(*value)),
            (Kind::Text, Value::String(text)) => Ok(Element::Text(text.clone())),
            // YAML takes `80` for a number in a list of arguments too.
            (Kind::Text, Value::Number(number)) if !number.is_f64() => {
                Ok(Element::Text(number.to_string()))
            }
            (Kind::Int, Value::String(text)) => self.number(text),
            (Kind::Int, Value::Number(number)) => number
                .as_i64()
                // Masks and inodes have 64 bits without a sign.
                .or_else(|| number.as_u64().map(|number| number as i64))
                .map(Element::Int)
                .ok_or_else(|| self.wrong(NUMBER, written)),
            (Kind::Ip, Value::String(text)) => {
                let net = text.parse().map(Element::Ip);
                net.map_err(|_| self.wrong(wanted(Kind::Ip), written))
            }
            (kind, other) => Err(self.wrong(wanted(kind), other)),
        }
    }

    fn number(&self, text: &str) -> Result<Element, Error> {
        secl::number(text, self.scheme)
            .map(Element::Int)
            .map_err(|cause| Error::Number {
                name: self.name.to_owned(),
                cause,
            })
    }

    fn wrong(&self, wanted: &'static str, found: &Value) -> Error {
        let found = match found {
            Value::Array(_) => "a list".to_owned(),
            Value::Object(_) => "a mapping".to_owned(),
            Value::Null => "nothing".to_owned(),
            Value::String(text) => format!("the string `{text}`"),
            other => format!("`{other}`"),
        };
        Error::Type {
            name: self.name.to_owned(),
            wanted,
            found,
        }
    }
}

const NESTED: &str = "a list of lists, one list for each turn";
const NUMBER: &str = "a whole number, or names of numbers such as \"O_CREAT|O_WRONLY\"";

fn wanted(kind: Kind) -> &'static str {
    match kind {
        Kind::Bool => "true or false",
        Kind::Int => NUMBER,
        Kind::Text => "a string",
        Kind::Ip => "an IP address such as 10.0.0.1, or a network such as 10.0.0.0/8",
    }
}
