//! Names and types: from an expression as written to a tree of tests.
//!
//! Every identifier is looked up (macro, then constant, then field), macros are expanded where they
//! are named, and each operator's operands are brought to types that fit. What comes out cannot
//! fail any more. Depth and size are bounded, so that macros of macros cannot blow up.

mod lists;
mod names;
mod operators;
mod part;
mod suggest;
mod value;
mod variables;

pub(super) use part::number;
pub use suggest::{nearest, nearest_within};

use super::ast::{BitOperator, LogicOperator, SumOperator};
use super::ast::{Chain, Expression, ExpressionKind, Macro, UnaryOperator};
use super::compile::{self, Compiled, Int, IntValue, Ip, Select, Test, Text, Which, MAX_REGISTERS};
use super::formula::Formula;
use super::matcher::TextItem;
use super::template::Template;
use super::types::{Field, FieldId, Kind, Scheme, TextKind};
use super::{Error, Macros};
use names::{Index, View};
use std::ops::Range;
use value::{List, Value};

/// How deep the tree may get, macros included. The parser's own limit alone leads to 400.
const MAX_DEPTH: usize = 500;

/// How many nodes and list elements a rule may have, macros expanded.
const MAX_NODES: usize = 100_000;

/// Checks a whole rule.
pub(super) fn rule(
    expression: &Expression,
    macros: &Macros,
    scheme: &dyn Scheme,
) -> Result<Compiled, Error> {
    let mut checker = Checker::new(macros, scheme);
    let test = checker.condition(expression)?;
    Ok(checker.finish(test))
}

/// Checks what an action gives to a variable.
pub(super) fn formula(
    definition: &Macro,
    macros: &Macros,
    scheme: &dyn Scheme,
) -> Result<Formula, Error> {
    let mut checker = Checker::new(macros, scheme);
    let (value, span) = match definition {
        Macro::Expression(expression) => (checker.value(expression)?, expression.span.clone()),
        Macro::Array(array) => (checker.array(array)?, array.span.clone()),
    };
    let (events, fields) = (checker.events.clone(), checker.fields.clone());
    let source = value.into_source(|test| checker.finish(test));
    Ok(Formula {
        source: source.map_err(|message| Error::new(message, span))?,
        events,
        fields,
    })
}

struct Checker<'a> {
    macros: &'a Macros,
    scheme: &'a dyn Scheme,
    fields: Vec<FieldId>,
    /// The event types that have every field so far; empty before the first restriction.
    events: Vec<&'static str>,
    registers: Vec<(String, Vec<FieldId>)>,
    /// The macros that are being expanded, outermost first.
    expanding: Vec<&'a str>,
    depth: usize,
    nodes: usize,
}

impl<'a> Checker<'a> {
    fn new(macros: &'a Macros, scheme: &'a dyn Scheme) -> Checker<'a> {
        Checker {
            macros,
            scheme,
            fields: Vec::new(),
            events: Vec::new(),
            registers: Vec::new(),
            expanding: Vec::new(),
            depth: 0,
            nodes: 0,
        }
    }

    /// Joins the whole condition with what was learnt of it.
    fn finish(self, test: Test) -> Compiled {
        let registers = self.registers.into_iter().map(|(_, fields)| fields);
        Compiled {
            test,
            events: self.events,
            fields: self.fields,
            registers: registers.collect(),
        }
    }

    fn count_node(&mut self, span: &Range<usize>) -> Result<(), Error> {
        self.nodes += 1;
        if self.nodes > MAX_NODES {
            let message =
                format!("with its macros expanded the rule has more than {MAX_NODES} parts");
            return Err(Error::new(message, span.clone()));
        }
        Ok(())
    }

    fn condition(&mut self, expression: &'a Expression) -> Result<Test, Error> {
        let message = match self.value(expression)? {
            Value::Test(test) => return Ok(test),
            Value::Flag(select) => return Ok(Test::Flag(select, true)),
            Value::Int(_) => {
                "this is a number where a condition is needed; compare it, for example with `> 0`"
                    .to_owned()
            }
            other => {
                format!(
                    "this is {} where a condition is needed; compare it",
                    other.describe()
                )
            }
        };
        Err(Error::new(message, expression.span.clone()))
    }

    fn number(&mut self, expression: &'a Expression) -> Result<Int, Error> {
        match self.value(expression)? {
            Value::Int(int) => Ok(int),
            other => Err(Error::new(
                format!("this is {} where a number is needed", other.describe()),
                expression.span.clone(),
            )),
        }
    }

    fn value(&mut self, expression: &'a Expression) -> Result<Value, Error> {
        self.count_node(&expression.span)?;
        self.depth += 1;
        if self.depth > MAX_DEPTH {
            let message = format!("the rule and its macros nest deeper than {MAX_DEPTH} levels");
            return Err(Error::new(message, expression.span.clone()));
        }
        let value = self.value_of_kind(expression)?;
        self.depth -= 1;
        Ok(value)
    }

    fn value_of_kind(&mut self, expression: &'a Expression) -> Result<Value, Error> {
        let span = &expression.span;
        match &expression.kind {
            ExpressionKind::Logic(chain) => self.logic(chain).map(Value::Test),
            ExpressionKind::Compare(left, operator, right) => {
                let values = (self.value(left)?, self.value(right)?);
                operators::compare(values, *operator, (&left.span, &right.span)).map(Value::Test)
            }
            ExpressionKind::Member(left, membership, array) => {
                self.member(left, *membership, array).map(Value::Test)
            }
            ExpressionKind::Sum(chain) => self.sum(chain).map(Value::Int),
            ExpressionKind::Bits(chain) => self.bits(chain).map(Value::Int),
            ExpressionKind::Unary(operator, operand) => self.unary(*operator, operand),
            ExpressionKind::Identifier(name) => self.identifier(name, span),
            ExpressionKind::Variable(name) => self.variable(name, span),
            ExpressionKind::Integer(value) | ExpressionKind::Duration(value) => {
                Ok(Value::Int(Int::constant(*value)))
            }
            ExpressionKind::Text(text) => match self.template(text, span)? {
                Some(template) => Ok(Value::Item(TextItem::Template(template))),
                None => {
                    let constant = Text::Constant(text.as_str().into());
                    Ok(Value::Text(constant, TextKind::Plain))
                }
            },
            ExpressionKind::Pattern(text) => match self.template(text, span)? {
                Some(template) => Ok(Value::Item(TextItem::Template(Template {
                    is_pattern: true,
                    ..template
                }))),
                None => Ok(Value::Item(TextItem::Pattern(text.clone()))),
            },
            ExpressionKind::Regexp(text) => Ok(Value::Item(TextItem::Regexp(text.clone()))),
            ExpressionKind::Ip(net) => Ok(Value::Ip(Ip::Constant(*net))),
        }
    }

    fn logic(&mut self, chain: &'a Chain<LogicOperator>) -> Result<Test, Error> {
        let first = self.condition(&chain.first)?;
        let mut rest = Vec::with_capacity(chain.rest.len());
        for (operator, operand) in &chain.rest {
            rest.push((*operator, self.condition(operand)?));
        }
        Ok(Test::Logic(Box::new(first), rest))
    }

    fn unary(&mut self, operator: UnaryOperator, operand: &'a Expression) -> Result<Value, Error> {
        if operator == UnaryOperator::Not {
            return Ok(Value::Test(Test::Not(Box::new(self.condition(operand)?))));
        }
        let Int { value, over } = self.number(operand)?;
        let value = match (operator, value.constant()) {
            (UnaryOperator::Minus, Some(number)) => IntValue::Constant(number.wrapping_neg()),
            (UnaryOperator::Minus, None) => IntValue::Negative(Box::new(value)),
            (_, Some(number)) => IntValue::Constant(!number),
            (_, None) => IntValue::Complement(Box::new(value)),
        };
        Ok(Value::Int(Int { value, over }))
    }

    fn sum(&mut self, chain: &'a Chain<SumOperator>) -> Result<Int, Error> {
        let (first, rest, over) = self.operands(chain)?;
        let value = match constants(&first, &rest) {
            Some((first, rest)) => IntValue::Constant(compile::sum(first, rest.into_iter())),
            None => IntValue::Sum(Box::new(first), rest),
        };
        Ok(Int { value, over })
    }

    fn bits(&mut self, chain: &'a Chain<BitOperator>) -> Result<Int, Error> {
        let (first, rest, over) = self.operands(chain)?;
        let value = match constants(&first, &rest) {
            Some((first, rest)) => IntValue::Constant(compile::bits(first, rest.into_iter())),
            None => IntValue::Bits(Box::new(first), rest),
        };
        Ok(Int { value, over })
    }

    /// Numbers of a chain, with the elements that they run over together.
    fn operands<T: Copy>(&mut self, chain: &'a Chain<T>) -> Result<Operands<T>, Error> {
        let Int {
            value: first,
            mut over,
        } = self.number(&chain.first)?;
        let mut has_lengths = first.has_lengths();
        let mut rest = Vec::with_capacity(chain.rest.len());
        for (operator, operand) in &chain.rest {
            let int = self.number(operand)?;
            has_lengths |= int.value.has_lengths();
            over = match (over, int.over) {
                (one, None) | (None, one) => one,
                (Some(left), Some(right)) if left.goes_along_with(&right, has_lengths) => {
                    Some(left)
                }
                _ => {
                    return Err(Error::new(
                        "only one operand may have several elements; name one with [0] or [A]",
                        operand.span.clone(),
                    ));
                }
            };
            rest.push((*operator, int.value));
        }
        Ok((first, rest, over))
    }

    fn identifier(&mut self, name: &'a str, span: &Range<usize>) -> Result<Value, Error> {
        if let Some(definition) = self.macros.get(name) {
            return self.expand(name, definition, span);
        }
        if let Some(constant) = self.scheme.constant(name) {
            return Ok(Value::constant(constant));
        }
        self.field(name, span)
    }

    /// The value of a macro; its errors are shown where it is named.
    fn expand(
        &mut self,
        name: &'a str,
        definition: &'a Macro,
        span: &Range<usize>,
    ) -> Result<Value, Error> {
        if self.expanding.contains(&name) {
            return Err(Error::new(
                format!("macro `{name}` refers to itself"),
                span.clone(),
            ));
        }
        self.expanding.push(name);
        let value = match definition {
            Macro::Expression(expression) => self.value(expression),
            Macro::Array(array) => self.array(array),
        };
        self.expanding.pop();
        match value {
            Ok(Value::List(List::Texts(mut texts))) => {
                texts
                    .iter_mut()
                    .for_each(|(_, place)| *place = span.clone());
                Ok(Value::List(List::Texts(texts)))
            }
            Ok(other) => Ok(other),
            Err(error) => Err(Error {
                message: format!("in macro `{name}`: {}", error.message),
                span: span.clone(),
                ..error
            }),
        }
    }

    fn field(&mut self, word: &str, span: &Range<usize>) -> Result<Value, Error> {
        let placed = |message: String| Error::new(message, span.clone());
        let reference = names::reference(word).map_err(placed)?;
        let Some((field, view)) = names::lookup(self.scheme, &reference.name) else {
            return Err(self.unknown(&reference.name, span));
        };
        self.restrict(&field, &reference.name, span)?;
        let which = match reference.index {
            Some(_) if !field.iterator => {
                let name = &reference.name;
                return Err(placed(format!(
                    "`{name}` is not read through an iterator and cannot be indexed"
                )));
            }
            Some(Index::Number(turn)) => Which::Turn(turn),
            Some(Index::Register(name)) => {
                Which::Register(self.register(name, field.id).map_err(placed)?)
            }
            None if field.ty.many || field.iterator => Which::Every,
            None => Which::Only,
        };
        Ok(self.read(&field, which, view))
    }

    fn unknown(&self, name: &str, span: &Range<usize>) -> Error {
        let what = if name.contains('.') {
            "field"
        } else {
            "field, constant or macro"
        };
        let suggestion = suggest::nearest(name, &self.scheme.names());
        Error {
            suggestion,
            ..Error::new(format!("unknown {what} `{name}`"), span.clone())
        }
    }

    /// The number of the register of that name, which now also stands for elements of the field.
    fn register(&mut self, name: String, field: FieldId) -> Result<usize, String> {
        let known = self
            .registers
            .iter_mut()
            .zip(0..)
            .find(|((known, _), _)| *known == name);
        if let Some(((_, fields), number)) = known {
            if !fields.contains(&field) {
                fields.push(field);
            }
            return Ok(number);
        }
        let number = self.registers.len();
        if number >= MAX_REGISTERS {
            return Err(format!(
                "a rule can have {MAX_REGISTERS} registers, `[{name}]` is one more"
            ));
        }
        self.registers.push((name, vec![field]));
        Ok(number)
    }

    /// Leaves the event types that have this field too.
    fn restrict(&mut self, field: &Field, name: &str, span: &Range<usize>) -> Result<(), Error> {
        if field.events.is_empty() {
            return Ok(());
        }
        if self.events.is_empty() {
            self.events = field.events.to_vec();
            return Ok(());
        }
        let before = self.events.join(", ");
        self.events.retain(|event| field.events.contains(event));
        if self.events.is_empty() {
            let available = field.events.join(", ");
            let message = format!(
                "field `{name}` not available for event type `{before}`, \
                 available for `[{available}]`"
            );
            return Err(Error::new(message, span.clone()));
        }
        Ok(())
    }

    /// Keeps that the rule reads this field.
    fn note(&mut self, field: FieldId) {
        if !self.fields.contains(&field) {
            self.fields.push(field);
        }
    }

    fn read(&mut self, field: &Field, which: Which, view: View) -> Value {
        self.note(field.id);
        let select = Select {
            field: field.id,
            which,
        };
        let over = (which != Which::Only).then_some(select);
        match (view, field.ty.kind) {
            (View::Count, _) => Value::Int(Int {
                value: IntValue::Count(select),
                over: None,
            }),
            (View::Length, _) => Value::Int(Int {
                value: IntValue::Length(select),
                over,
            }),
            (View::RootDomain, _) => Value::Text(
                Text::Field {
                    select,
                    root_domain: true,
                },
                field.ty.text,
            ),
            (View::Plain, Kind::Bool) => Value::Flag(select),
            (View::Plain, Kind::Int) => Value::Int(Int {
                value: IntValue::Field(select),
                over,
            }),
            (View::Plain, Kind::Text) => Value::Text(
                Text::Field {
                    select,
                    root_domain: false,
                },
                field.ty.text,
            ),
            (View::Plain, Kind::Ip) => Value::Ip(Ip::Field(select)),
        }
    }
}

/// The first operand, the others with their operators, and what they run over.
type Operands<T> = (IntValue, Vec<(T, IntValue)>, Option<Select>);

/// The numbers of a chain that needs no record.
fn constants<T: Copy>(first: &IntValue, rest: &[(T, IntValue)]) -> Option<(i64, Vec<(T, i64)>)> {
    let rest: Option<Vec<(T, i64)>> = rest
        .iter()
        .map(|(operator, value)| Some((*operator, value.constant()?)))
        .collect();
    Some((first.constant()?, rest?))
}

impl Select {
    /// Whether an element of the one belongs with the same element of the other. A turn has one
    /// number of a field, but of the lengths of texts perhaps many.
    fn goes_along_with(&self, other: &Select, has_lengths: bool) -> bool {
        self == other || (self.which == other.which && self.which != Which::Every && !has_lengths)
    }
}

impl IntValue {
    /// Whether lengths of the texts behind an iterator are in it.
    fn has_lengths(&self) -> bool {
        match self {
            IntValue::Length(select) => select.which != Which::Only,
            IntValue::Negative(inner) | IntValue::Complement(inner) => inner.has_lengths(),
            IntValue::Sum(first, rest) => {
                first.has_lengths() || rest.iter().any(|(_, one)| one.has_lengths())
            }
            IntValue::Bits(first, rest) => {
                first.has_lengths() || rest.iter().any(|(_, one)| one.has_lengths())
            }
            IntValue::Constant(_) | IntValue::Field(_) | IntValue::Count(_) => false,
        }
    }
}
