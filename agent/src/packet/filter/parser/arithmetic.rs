//! Numbers: constants, `len`, bytes of headers, and operators between them.

use super::super::ast::{Arithmetic, Condition, Operator, Size};
use super::super::lexer::{Token, TokenKind};
use super::super::{names, primitives, Error};
use super::{merge, Parser};

/// How tightly operators bind, as in libpcap. `%` and `^` have no rank there: they take what stands
/// right before them, and everything behind.
const OPERATORS: &[(&str, Operator, Option<u32>)] = &[
    ("|", Operator::Or, Some(1)),
    ("&", Operator::And, Some(2)),
    ("<<", Operator::ShiftLeft, Some(3)),
    (">>", Operator::ShiftRight, Some(3)),
    ("+", Operator::Add, Some(4)),
    ("-", Operator::Subtract, Some(4)),
    ("*", Operator::Multiply, Some(5)),
    ("/", Operator::Divide, Some(5)),
    ("%", Operator::Remainder, None),
    ("^", Operator::Xor, None),
];

/// Above every operator that has a rank.
const TIGHTEST: u32 = 6;

/// A number with what it needs.
pub(super) struct Value<'a> {
    pub(super) number: Arithmetic,
    /// What must hold for a packet to have the headers that are read.
    pub(super) checks: Vec<Condition>,
    /// Where it begins.
    pub(super) at: usize,
    /// Its token, when it has only one.
    token: Option<Token<'a>>,
}

impl<'a> Value<'a> {
    fn plain(number: Arithmetic, token: Token<'a>) -> Value<'a> {
        Value {
            number,
            checks: Vec::new(),
            at: token.at,
            token: Some(token),
        }
    }

    /// The token of a number that stands alone.
    pub(super) fn bare(&self) -> Option<Token<'a>> {
        self.token
    }
}

impl<'a> Parser<'a> {
    /// A whole number with its operators.
    fn arithmetic(&mut self) -> Result<Value<'a>, Error> {
        let first = self.operand()?;
        self.operations(first, 0)
    }

    /// What follows `left` as long as it binds at least as tightly as `lowest`.
    pub(super) fn operations(
        &mut self,
        mut left: Value<'a>,
        lowest: u32,
    ) -> Result<Value<'a>, Error> {
        while let Some((operator, rank)) = self.operator(lowest) {
            self.take();
            let start = self.current();
            let right = self.nested(|parser| {
                let first = parser.operand()?;
                parser.operations(first, rank.map_or(0, |rank| rank + 1))
            })?;
            check_operand(operator, &right.number, start)?;
            merge(&mut left.checks, right.checks);
            left.number =
                Arithmetic::Binary(Box::new(left.number), operator, Box::new(right.number));
            left.token = None;
        }
        Ok(left)
    }

    fn operator(&self, lowest: u32) -> Option<(Operator, Option<u32>)> {
        let TokenKind::Symbol(symbol) = self.current().kind else {
            return None;
        };
        let found = OPERATORS.iter().find(|(name, _, _)| *name == symbol);
        let (_, operator, rank) = found?;
        rank.is_none_or(|rank| rank >= lowest)
            .then_some((*operator, *rank))
    }

    /// A number without operators behind it.
    pub(super) fn operand(&mut self) -> Result<Value<'a>, Error> {
        self.count()?;
        let token = self.current();
        match token.kind {
            TokenKind::Number(number) => {
                self.take();
                Ok(Value::plain(Arithmetic::Number(number), token))
            }
            TokenKind::Symbol("(") => {
                self.take();
                let inner = self.nested(Parser::arithmetic)?;
                self.expect(")")?;
                Ok(inner)
            }
            TokenKind::Symbol("-") => self.negative(),
            TokenKind::Word("len") => {
                self.take();
                let mut value = Value::plain(Arithmetic::Length, token);
                value.token = None;
                Ok(value)
            }
            TokenKind::Word(word) => self.name(word),
            _ => Err(self.unexpected("a number")),
        }
    }

    fn negative(&mut self) -> Result<Value<'a>, Error> {
        let start = self.take();
        let inner = self.nested(|parser| {
            let first = parser.operand()?;
            parser.operations(first, TIGHTEST)
        })?;
        Ok(Value {
            number: Arithmetic::Negative(Box::new(inner.number)),
            at: start.at,
            token: None,
            ..inner
        })
    }

    /// A constant by its name, or bytes of a header.
    fn name(&mut self, word: &str) -> Result<Value<'a>, Error> {
        if let Some(number) = names::constant(word) {
            let token = self.take();
            return Ok(Value::plain(Arithmetic::Number(number), token));
        }
        let Some(protocol) = names::protocol(word) else {
            return Err(self.unexpected("a number, len or bytes of a header such as tcp[13]"));
        };
        let start = self.take();
        self.expect("[")?;
        let offset = self.nested(Parser::arithmetic)?;
        let size = self.size()?;
        self.expect("]")?;
        let (number, checks) = primitives::element(protocol, offset.number, size);
        let mut all = offset.checks;
        merge(&mut all, checks);
        Ok(Value {
            number,
            checks: all,
            at: start.at,
            token: None,
        })
    }

    fn size(&mut self) -> Result<Size, Error> {
        if !self.take_if(":") {
            return Ok(Size::One);
        }
        let size = match self.current().kind {
            TokenKind::Number(1) => Size::One,
            TokenKind::Number(2) => Size::Two,
            TokenKind::Number(4) => Size::Four,
            _ => return Err(self.unexpected("a size of 1, 2 or 4 bytes")),
        };
        self.take();
        Ok(size)
    }
}

/// Refuses what can never give a number that was meant.
fn check_operand(operator: Operator, right: &Arithmetic, start: Token<'_>) -> Result<(), Error> {
    let message = match (operator, right) {
        (Operator::Divide | Operator::Remainder, Arithmetic::Number(0)) => "division by zero",
        (Operator::ShiftLeft | Operator::ShiftRight, Arithmetic::Number(32..)) => {
            "a number has 32 bits and is shifted by at most 31"
        }
        _ => return Ok(()),
    };
    Err(Error::new(start.at, message))
}
