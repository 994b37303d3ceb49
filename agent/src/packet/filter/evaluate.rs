//! Filters over captured bytes.
//!
//! `None` stands for a rejected packet: a load went beyond the bytes, or a divisor was zero. Depth
//! of the recursion is bounded by what the parser lets pass.

use super::ast::{Arithmetic, Condition, Load, Operator, Relation};

/// Where the first byte of an IPv4 header is, whose low half is its length in words.
const IP_HEADER: usize = 14;

/// Whether `condition` holds for these bytes of a packet of `length` bytes.
pub(super) fn holds(condition: &Condition, bytes: &[u8], length: u32) -> bool {
    Packet { bytes, length }.test(condition) == Some(true)
}

struct Packet<'a> {
    bytes: &'a [u8],
    length: u32,
}

impl Packet<'_> {
    fn test(&self, condition: &Condition) -> Option<bool> {
        match condition {
            Condition::Not(inner) => self.test(inner).map(|held| !held),
            Condition::All(all) => self.test_until(all, false),
            Condition::Any(any) => self.test_until(any, true),
            Condition::Compare(left, relation, right) => {
                Some(compare(self.number(left)?, *relation, self.number(right)?))
            }
        }
    }

    /// Asks in order until one answers `wanted`.
    fn test_until(&self, conditions: &[Condition], wanted: bool) -> Option<bool> {
        for condition in conditions {
            if self.test(condition)? == wanted {
                return Some(wanted);
            }
        }
        Some(!wanted)
    }

    fn number(&self, arithmetic: &Arithmetic) -> Option<u32> {
        match arithmetic {
            Arithmetic::Number(number) => Some(*number),
            Arithmetic::Length => Some(self.length),
            Arithmetic::Load(load) => self.load(load),
            Arithmetic::Negative(inner) => self.number(inner).map(u32::wrapping_neg),
            Arithmetic::Binary(left, operator, right) => {
                combine(self.number(left)?, *operator, self.number(right)?)
            }
        }
    }

    fn load(&self, load: &Load) -> Option<u32> {
        let mut offset = self.number(&load.offset)?;
        if load.behind_ip_header {
            let first = *self.bytes.get(IP_HEADER)?;
            offset = offset.wrapping_add(u32::from(first & 0x0f) * 4);
        }
        let start = usize::try_from(load.base.checked_add(offset)?).ok()?;
        let end = start.checked_add(load.size as usize)?;
        let bytes = self.bytes.get(start..end)?;
        Some(
            bytes
                .iter()
                .fold(0, |number, byte| (number << 8) | u32::from(*byte)),
        )
    }
}

fn compare(left: u32, relation: Relation, right: u32) -> bool {
    match relation {
        Relation::Equal => left == right,
        Relation::NotEqual => left != right,
        Relation::Greater => left > right,
        Relation::GreaterOrEqual => left >= right,
        Relation::Less => left < right,
        Relation::LessOrEqual => left <= right,
    }
}

fn combine(left: u32, operator: Operator, right: u32) -> Option<u32> {
    Some(match operator {
        Operator::Add => left.wrapping_add(right),
        Operator::Subtract => left.wrapping_sub(right),
        Operator::Multiply => left.wrapping_mul(right),
        Operator::Divide => left.checked_div(right)?,
        Operator::Remainder => left.checked_rem(right)?,
        Operator::And => left & right,
        Operator::Or => left | right,
        Operator::Xor => left ^ right,
        Operator::ShiftLeft => left.checked_shl(right).unwrap_or(0),
        Operator::ShiftRight => left.checked_shr(right).unwrap_or(0),
    })
}
