//! What a part of an expression holds on a record: for people who ask why a rule matches.
//!
//! Made by [`super::read`], which checks the part on its own. The way of events never comes here:
//! reading allocates, evaluating does not.

use super::types::IpNet;

/// One value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Element {
    /// True or false.
    Bool(bool),
    /// A number.
    Int(i64),
    /// A string.
    Text(String),
    /// An address or a network.
    Ip(IpNet),
}

/// The values of a part of an expression.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reading {
    /// Every value; an absent address is none.
    pub elements: Vec<Element>,
    /// Whether there may be any number of them.
    pub many: bool,
}

impl Reading {
    /// A condition's.
    pub(super) fn condition(value: bool) -> Reading {
        Reading {
            elements: vec![Element::Bool(value)],
            many: false,
        }
    }
}
