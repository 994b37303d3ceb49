//! Compiled conditions: a typed tree of tests, walked over a record.
//!
//! The checker builds the tree; here it is evaluated, without allocating. Names and types are
//! settled: a test reads fields by their id and cannot fail. Every test is the positive form;
//! `!=`, `!~` and `not in` are [`Test::Not`] around it. Depth is bounded by the checker.

use super::ast::{BitOperator, LogicOperator, SumOperator};
use super::matcher::{self, TextMatcher};
use super::template::TemplateMatcher;
use super::types::{FieldId, IpNet, Record};
use std::ops::Range;
use std::rc::Rc;

/// The most registers of one rule: each multiplies the evaluations by the iterator's length.
pub(super) const MAX_REGISTERS: usize = 2;

/// A rule ready for evaluation.
#[derive(Debug)]
pub struct Compiled {
    pub(super) test: Test,
    pub(super) events: Vec<&'static str>,
    pub(super) fields: Vec<FieldId>,
    /// For each register the fields read through it.
    pub(super) registers: Vec<Vec<FieldId>>,
}

impl Compiled {
    /// The event types the rule can be about: those that have all of its fields. Empty means any.
    pub fn events(&self) -> &[&'static str] {
        &self.events
    }

    /// Every field and variable it reads, each once.
    pub fn fields(&self) -> &[FieldId] {
        &self.fields
    }

    /// Every string that a text field is compared with, in the order of the rule.
    pub fn texts_of(&self, field: FieldId) -> Vec<&str> {
        let mut texts = Vec::new();
        self.test.visit(&mut |test| {
            if let Test::TextIn(Text::Field { select, .. }, matcher, _) = test {
                if select.field == field {
                    texts.extend(matcher.strings());
                }
            }
        });
        texts
    }

    /// Whether the record satisfies the rule. Does not allocate.
    pub fn matches(&self, record: &dyn Record) -> bool {
        self.bind(&mut View::new(record), 0)
    }

    /// Tries the registers from the given one on, each over all its elements.
    fn bind(&self, view: &mut View<'_>, register: usize) -> bool {
        let Some(fields) = self.registers.get(register) else {
            return self.test.holds(view);
        };
        let turns = fields
            .iter()
            .map(|field| view.record.iterations(*field))
            .max()
            .unwrap_or(0);
        // With no element there is still the rest of the rule to be judged.
        (0..turns.max(1)).any(|turn| {
            if let Some(slot) = view.registers.get_mut(register) {
                *slot = turn;
            }
            self.bind(view, register + 1)
        })
    }
}

/// A record with the elements that the registers stand for.
pub(super) struct View<'a> {
    pub(super) record: &'a dyn Record,
    registers: [usize; MAX_REGISTERS],
}

impl<'a> View<'a> {
    /// The record, with every register at its first element.
    pub(super) fn new(record: &'a dyn Record) -> View<'a> {
        View {
            record,
            registers: [0; MAX_REGISTERS],
        }
    }
}

/// A condition.
#[derive(Debug)]
pub(super) enum Test {
    Constant(bool),
    /// A right-recursive chain without precedence.
    Logic(Box<Test>, Vec<(LogicOperator, Test)>),
    Not(Box<Test>),
    /// Both hold or both do not.
    Same(Box<Test>, Box<Test>),
    /// Some element is that boolean.
    Flag(Select, bool),
    /// Some elements of the two compare so.
    Order(Int, Order, Int),
    IntIn(Int, Vec<i64>, Quantifier),
    /// Elements of the left are among the elements of the right.
    IntAmong(Int, Int, Quantifier),
    TextIn(Text, Rc<TextMatcher>, Quantifier),
    /// As `TextIn`, with texts among them that have variables in them.
    TextLike(Text, TextMatcher, Vec<TemplateMatcher>, Quantifier),
    TextAmong {
        left: Text,
        right: Text,
        fold_case: bool,
        quantifier: Quantifier,
    },
    IpIn(Ip, Vec<IpNet>, Quantifier),
    IpAmong(Ip, Ip, Quantifier),
}

/// How many elements of the left have to fit.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Quantifier {
    Some,
    Every,
}

/// Comparisons of numbers; the negative one is `Not(Equal)`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Order {
    Equal,
    Greater,
    GreaterOrEqual,
    Less,
    LessOrEqual,
}

/// A field and which of its elements are meant.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Select {
    pub(super) field: FieldId,
    pub(super) which: Which,
}

/// Which elements of a field are meant.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Which {
    /// The only one, of a scalar.
    Only,
    Every,
    /// Those of one turn of the iterator.
    Turn(usize),
    /// Those of the turn that a register stands for.
    Register(usize),
}

impl Select {
    fn range(&self, view: &View<'_>) -> Range<usize> {
        match self.which {
            Which::Only => 0..1,
            Which::Every => 0..view.record.count(self.field),
            Which::Turn(turn) => self.turn(view, turn),
            Which::Register(register) => {
                self.turn(view, view.registers.get(register).copied().unwrap_or(0))
            }
        }
    }

    fn turn(&self, view: &View<'_>, turn: usize) -> Range<usize> {
        if turn < view.record.iterations(self.field) {
            view.record.elements(self.field, turn)
        } else {
            0..0
        }
    }
}

/// A number with as many elements as the one field of several elements in it has.
#[derive(Debug)]
pub(super) struct Int {
    pub(super) value: IntValue,
    /// What it runs over; absent for constants and scalars.
    pub(super) over: Option<Select>,
}

/// How a number is had.
#[derive(Debug)]
pub(super) enum IntValue {
    Constant(i64),
    Field(Select),
    /// The bytes of a text.
    Length(Select),
    /// The number of elements.
    Count(Select),
    Negative(Box<IntValue>),
    Complement(Box<IntValue>),
    Sum(Box<IntValue>, Vec<(SumOperator, IntValue)>),
    /// A right-recursive chain.
    Bits(Box<IntValue>, Vec<(BitOperator, IntValue)>),
}

/// A text, or the texts of a field.
#[derive(Debug)]
pub(super) enum Text {
    Constant(Box<str>),
    Field { select: Select, root_domain: bool },
}

/// An address or network, or those of a field.
#[derive(Clone, Copy, Debug)]
pub(super) enum Ip {
    Constant(IpNet),
    Field(Select),
}

impl Test {
    /// Shows every test in it that is no logic.
    fn visit<'a>(&'a self, see: &mut dyn FnMut(&'a Test)) {
        match self {
            Test::Logic(first, rest) => {
                first.visit(see);
                rest.iter().for_each(|(_, test)| test.visit(see));
            }
            Test::Not(inner) => inner.visit(see),
            Test::Same(left, right) => {
                left.visit(see);
                right.visit(see);
            }
            test => see(test),
        }
    }

    /// The set of constant texts of a single test, negated or not.
    pub(super) fn matcher_mut(&mut self) -> Option<&mut Rc<TextMatcher>> {
        match self {
            Test::TextIn(_, matcher, _) => Some(matcher),
            Test::Not(inner) => inner.matcher_mut(),
            _ => None,
        }
    }

    pub(super) fn holds(&self, view: &View<'_>) -> bool {
        match self {
            Test::Constant(value) => *value,
            Test::Logic(first, rest) => logic(first, rest, view),
            Test::Not(inner) => !inner.holds(view),
            Test::Same(left, right) => left.holds(view) == right.holds(view),
            Test::Flag(select, wanted) => select
                .range(view)
                .any(|index| view.record.boolean(select.field, index) == *wanted),
            Test::Order(left, order, right) => {
                any_pair(left.range(view), right.range(view), |l, r| {
                    order.holds(left.at(view, l), right.at(view, r))
                })
            }
            Test::IntIn(left, list, quantifier) => quantifier.over(left.range(view), |index| {
                list.binary_search(&left.at(view, index)).is_ok()
            }),
            Test::IntAmong(left, right, quantifier) => {
                quantifier.among(left.range(view), right.range(view), |l, r| {
                    left.at(view, l) == right.at(view, r)
                })
            }
            Test::TextIn(left, matcher, quantifier) => quantifier.over(left.range(view), |index| {
                matcher.matches(left.at(view, index))
            }),
            Test::TextLike(left, matcher, templates, quantifier) => {
                quantifier.over(left.range(view), |index| {
                    let text = left.at(view, index);
                    matcher.matches(text) || templates.iter().any(|one| one.matches(view, text))
                })
            }
            Test::TextAmong {
                left,
                right,
                fold_case,
                quantifier,
            } => quantifier.among(left.range(view), right.range(view), |l, r| {
                same_text(left.at(view, l), right.at(view, r), *fold_case)
            }),
            Test::IpIn(left, nets, quantifier) => quantifier.over(left.range(view), |index| {
                left.at(view, index)
                    .is_some_and(|ip| nets.iter().any(|net| net.contains(&ip)))
            }),
            Test::IpAmong(left, right, quantifier) => {
                quantifier.among(left.range(view), right.range(view), |l, r| {
                    same_ip(left.at(view, l), right.at(view, r))
                })
            }
        }
    }
}

/// `a && rest` is decided by a false `a`, `a || rest` by a true one; otherwise by the rest.
fn logic(first: &Test, rest: &[(LogicOperator, Test)], view: &View<'_>) -> bool {
    let mut value = first.holds(view);
    for (operator, test) in rest {
        match operator {
            LogicOperator::And if !value => return false,
            LogicOperator::Or if value => return true,
            _ => value = test.holds(view),
        }
    }
    value
}

fn any_pair(left: Range<usize>, right: Range<usize>, fits: impl Fn(usize, usize) -> bool) -> bool {
    left.into_iter().any(|l| right.clone().any(|r| fits(l, r)))
}

fn same_text(left: &str, right: &str, fold_case: bool) -> bool {
    if fold_case {
        left.eq_ignore_ascii_case(right)
    } else {
        left == right
    }
}

fn same_ip(left: Option<IpNet>, right: Option<IpNet>) -> bool {
    match (left, right) {
        (Some(left), Some(right)) => right.contains(&left) || left.contains(&right),
        _ => false,
    }
}

impl Quantifier {
    fn over(self, mut left: Range<usize>, fits: impl Fn(usize) -> bool) -> bool {
        match self {
            Quantifier::Some => left.any(fits),
            Quantifier::Every => left.all(fits),
        }
    }

    fn among(
        self,
        left: Range<usize>,
        right: Range<usize>,
        fits: impl Fn(usize, usize) -> bool,
    ) -> bool {
        self.over(left, |l| right.clone().any(|r| fits(l, r)))
    }
}

impl Order {
    /// Whether the two numbers are in that order.
    pub(super) fn holds(self, left: i64, right: i64) -> bool {
        match self {
            Order::Equal => left == right,
            Order::Greater => left > right,
            Order::GreaterOrEqual => left >= right,
            Order::Less => left < right,
            Order::LessOrEqual => left <= right,
        }
    }
}

impl Int {
    pub(super) fn range(&self, view: &View<'_>) -> Range<usize> {
        self.over.map_or(0..1, |select| select.range(view))
    }

    pub(super) fn at(&self, view: &View<'_>, index: usize) -> i64 {
        self.value.at(view, index)
    }
}

impl IntValue {
    fn at(&self, view: &View<'_>, index: usize) -> i64 {
        match self {
            IntValue::Constant(value) => *value,
            IntValue::Field(select) => view.record.int(select.field, select.index(index)),
            IntValue::Length(select) => {
                length(view.record.text(select.field, select.index(index)).len())
            }
            IntValue::Count(select) => length(select.range(view).len()),
            IntValue::Negative(inner) => inner.at(view, index).wrapping_neg(),
            IntValue::Complement(inner) => !inner.at(view, index),
            IntValue::Sum(first, rest) => {
                let rest = rest
                    .iter()
                    .map(|(operator, value)| (*operator, value.at(view, index)));
                sum(first.at(view, index), rest)
            }
            IntValue::Bits(first, rest) => {
                let rest = rest
                    .iter()
                    .map(|(operator, value)| (*operator, value.at(view, index)));
                bits(first.at(view, index), rest)
            }
        }
    }

    /// The value when it needs no record.
    pub(super) fn constant(&self) -> Option<i64> {
        match self {
            IntValue::Constant(value) => Some(*value),
            _ => None,
        }
    }
}

/// Adds and subtracts from left to right, wrapping at 64 bits.
pub(super) fn sum(first: i64, rest: impl Iterator<Item = (SumOperator, i64)>) -> i64 {
    rest.fold(first, |sum, (operator, value)| match operator {
        SumOperator::Plus => sum.wrapping_add(value),
        SumOperator::Minus => sum.wrapping_sub(value),
    })
}

/// Combines bits from right to left: `a & b | c` is `a & (b | c)`.
pub(super) fn bits(first: i64, rest: impl DoubleEndedIterator<Item = (BitOperator, i64)>) -> i64 {
    let apply = |left: i64, pending: Option<(BitOperator, i64)>| match pending {
        None => left,
        Some((BitOperator::And, right)) => left & right,
        Some((BitOperator::Or, right)) => left | right,
        Some((BitOperator::Xor, right)) => left ^ right,
    };
    let pending = rest.rev().fold(None, |pending, (operator, value)| {
        Some((operator, apply(value, pending)))
    });
    apply(first, pending)
}

fn length(elements: usize) -> i64 {
    i64::try_from(elements).unwrap_or(i64::MAX)
}

impl Select {
    /// Where to read, given the element of the field that is run over: scalars have one only.
    fn index(&self, element: usize) -> usize {
        match self.which {
            Which::Only => 0,
            _ => element,
        }
    }
}

impl Text {
    pub(super) fn range(&self, view: &View<'_>) -> Range<usize> {
        match self {
            Text::Constant(_) => 0..1,
            Text::Field { select, .. } => select.range(view),
        }
    }

    pub(super) fn at<'a>(&'a self, view: &View<'a>, index: usize) -> &'a str {
        match self {
            Text::Constant(text) => text,
            Text::Field {
                select,
                root_domain,
            } => {
                let text = view.record.text(select.field, index);
                if *root_domain {
                    matcher::root_domain(text)
                } else {
                    text
                }
            }
        }
    }
}

impl Ip {
    pub(super) fn range(&self, view: &View<'_>) -> Range<usize> {
        match self {
            Ip::Constant(_) => 0..1,
            Ip::Field(select) => select.range(view),
        }
    }

    pub(super) fn at(&self, view: &View<'_>, index: usize) -> Option<IpNet> {
        match self {
            Ip::Constant(net) => Some(*net),
            Ip::Field(select) => view.record.ip(select.field, index),
        }
    }
}
