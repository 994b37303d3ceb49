//! What a filter means: comparisons of numbers that are read from a packet.
//!
//! Names, addresses and qualifiers are gone here; `primitives` has turned them into loads. Numbers
//! have 32 bits without sign and wrap.

/// Whether a packet matches. A load beyond its bytes and a division by zero reject the packet,
/// wherever they stand in the tree.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Condition {
    /// The opposite.
    Not(Box<Condition>),
    /// Every one, asked in this order until one is false. Never empty.
    All(Vec<Condition>),
    /// Some one, asked in this order until one is true. Never empty.
    Any(Vec<Condition>),
    /// Two numbers compare so.
    Compare(Arithmetic, Relation, Arithmetic),
}

/// How two numbers compare, without sign.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Relation {
    Equal,
    NotEqual,
    Greater,
    GreaterOrEqual,
    Less,
    LessOrEqual,
}

impl Relation {
    /// The relation that holds where this one does not.
    pub(super) fn opposite(self) -> Relation {
        match self {
            Relation::Equal => Relation::NotEqual,
            Relation::NotEqual => Relation::Equal,
            Relation::Greater => Relation::LessOrEqual,
            Relation::GreaterOrEqual => Relation::Less,
            Relation::Less => Relation::GreaterOrEqual,
            Relation::LessOrEqual => Relation::Greater,
        }
    }
}

/// A number.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Arithmetic {
    /// It stands in the expression.
    Number(u32),
    /// Bytes of the whole packet.
    Length,
    /// It is read from the packet.
    Load(Box<Load>),
    /// Zero minus this.
    Negative(Box<Arithmetic>),
    /// Left operand, operator, right operand.
    Binary(Box<Arithmetic>, Operator, Box<Arithmetic>),
}

/// A number of the packet, in network byte order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Load {
    /// Where a header begins, in bytes from the Ethernet header.
    pub(super) base: u32,
    /// The length of the IPv4 header comes on top: four times the low half of byte 14.
    pub(super) behind_ip_header: bool,
    /// Bytes from there. The sum with the length of the IPv4 header wraps; with `base` it does not.
    pub(super) offset: Arithmetic,
    /// How many bytes are read.
    pub(super) size: Size,
}

/// Bytes of a load.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Size {
    One = 1,
    Two = 2,
    Four = 4,
}

/// What is done with two numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Operator {
    Add,
    Subtract,
    Multiply,
    Divide,
    Remainder,
    And,
    Or,
    Xor,
    /// By 32 and more gives 0.
    ShiftLeft,
    /// By 32 and more gives 0.
    ShiftRight,
}
