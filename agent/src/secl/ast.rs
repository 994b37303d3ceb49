//! The shape of an expression as it was written.
//!
//! Every node knows its bytes in the source. No name is looked up and no type known here; that is
//! the work of the checker. Chains (`a && b || c`, `a | b`, `a + b`) are kept flat, so that a long
//! rule is no deep tree.

use super::types::IpNet;
use std::ops::Range;

/// Part of an expression with its place in the source.
#[derive(Clone, Debug, PartialEq)]
pub struct Expression {
    /// What it is.
    pub kind: ExpressionKind,
    /// Byte offsets in the source.
    pub span: Range<usize>,
}

/// What an expression is.
#[derive(Clone, Debug, PartialEq)]
pub enum ExpressionKind {
    /// `a && b || c`: right-recursive without precedence, so this means `a && (b || c)`.
    Logic(Chain<LogicOperator>),
    /// `a == b` and its like.
    Compare(Box<Expression>, CompareOperator, Box<Expression>),
    /// `a in […]` and its like.
    Member(Box<Expression>, Membership, Array),
    /// `a + b - c`, from left to right.
    Sum(Chain<SumOperator>),
    /// `a & b | c`, right-recursive: `a & (b | c)`.
    Bits(Chain<BitOperator>),
    /// `!a`, `-a`, `^a`.
    Unary(UnaryOperator, Box<Expression>),
    /// A field, a constant or a macro.
    Identifier(String),
    /// `${name}`.
    Variable(String),
    /// A number.
    Integer(i64),
    /// A duration, in nanoseconds.
    Duration(i64),
    /// `"…"`.
    Text(String),
    /// `~"…"`.
    Pattern(String),
    /// `r"…"`.
    Regexp(String),
    /// An address or a network.
    Ip(IpNet),
}

/// Operands with the operators between them: always at least two operands and one operator each
/// after the first.
#[derive(Clone, Debug, PartialEq)]
pub struct Chain<Operator> {
    /// The leftmost operand.
    pub first: Box<Expression>,
    /// The others, each with the operator before it.
    pub rest: Vec<(Operator, Expression)>,
}

/// What follows `in`, `not in` and `allin`.
#[derive(Clone, Debug, PartialEq)]
pub struct Array {
    /// What it is.
    pub kind: ArrayKind,
    /// Byte offsets in the source.
    pub span: Range<usize>,
}

/// What a list is.
#[derive(Clone, Debug, PartialEq)]
pub enum ArrayKind {
    /// `[ … ]`: strings, patterns and regexps, or numbers, or addresses and networks; constants
    /// stand for their values.
    List(Vec<Expression>),
    /// A macro or an array field.
    Identifier(String),
    /// `${name}`.
    Variable(String),
    /// One address or network without brackets.
    Ip(IpNet),
}

/// What a macro stands for.
#[derive(Clone, Debug, PartialEq)]
pub enum Macro {
    /// A condition or a single value.
    Expression(Expression),
    /// A list.
    Array(Array),
}

impl Macro {
    /// The field of that name and nothing else.
    pub fn field(name: &str) -> Macro {
        Macro::Expression(Expression {
            kind: ExpressionKind::Identifier(name.to_owned()),
            span: 0..name.len(),
        })
    }
}

/// `&&` and `||`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogicOperator {
    /// `&&`, `and`.
    And,
    /// `||`, `or`.
    Or,
}

/// Comparisons of two values.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CompareOperator {
    /// `==`
    Equal,
    /// `!=`
    NotEqual,
    /// `>`
    Greater,
    /// `>=`
    GreaterOrEqual,
    /// `<`
    Less,
    /// `<=`
    LessOrEqual,
    /// `=~`
    Matches,
    /// `!~`
    DoesNotMatch,
}

impl CompareOperator {
    /// How it is written.
    pub fn symbol(self) -> &'static str {
        match self {
            CompareOperator::Equal => "==",
            CompareOperator::NotEqual => "!=",
            CompareOperator::Greater => ">",
            CompareOperator::GreaterOrEqual => ">=",
            CompareOperator::Less => "<",
            CompareOperator::LessOrEqual => "<=",
            CompareOperator::Matches => "=~",
            CompareOperator::DoesNotMatch => "!~",
        }
    }
}

/// Comparisons of a value with a list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Membership {
    /// `in`: some element is in the list.
    In,
    /// `not in`: no element is in the list.
    NotIn,
    /// `allin`: every element is in the list.
    AllIn,
}

impl Membership {
    /// How it is written.
    pub fn symbol(self) -> &'static str {
        match self {
            Membership::In => "in",
            Membership::NotIn => "not in",
            Membership::AllIn => "allin",
        }
    }
}

/// `+` and `-` between two numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SumOperator {
    /// `+`
    Plus,
    /// `-`
    Minus,
}

/// Bit by bit operations of two numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BitOperator {
    /// `&`
    And,
    /// `|`
    Or,
    /// `^`
    Xor,
}

/// Operators with one operand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum UnaryOperator {
    /// `!`, `not`
    Not,
    /// `-`
    Minus,
    /// `^`: every bit the other way round.
    Complement,
}
