//! What has to be true for a condition to hold: walking a compiled condition for necessary keys.
//!
//! A key is something about a field that can be looked up, such as "this path is /etc/passwd". The
//! caller says which keys one test needs; [`of`] combines them over the logic around the tests. Of
//! the keys that come out at least one is true whenever the condition holds. [`super::index`] and
//! [`super::approve`] live on that: it is all that they know of a rule.

use super::ast::LogicOperator;
use super::compile::Test;

/// Keys of which one is true whenever the condition holds. Without any, it never holds.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Keys<K> {
    pub(super) keys: Vec<K>,
    /// How little the weakest of them tells; of two equally necessary sets the one with less of it
    /// is taken.
    pub(super) weakness: u8,
}

impl<K> Keys<K> {
    /// The condition never holds.
    pub(super) fn never() -> Keys<K> {
        Keys {
            keys: Vec::new(),
            weakness: 0,
        }
    }

    fn either(mut self, mut other: Keys<K>) -> Keys<K> {
        // Chains are folded from their end: the longer side is moved as rarely as possible.
        if self.keys.len() < other.keys.len() {
            std::mem::swap(&mut self, &mut other);
        }
        self.keys.extend(other.keys);
        self.weakness = self.weakness.max(other.weakness);
        self
    }

    fn better(self, other: Keys<K>) -> Keys<K> {
        let rank = |keys: &Keys<K>| (!keys.keys.is_empty(), keys.weakness, keys.keys.len());
        if rank(&other) < rank(&self) {
            other
        } else {
            self
        }
    }
}

/// The keys of which one is true whenever `test` is `wanted`; none when nothing of use is known.
/// `leaf` says so for a single test, which is never logic.
pub(super) fn of<'a, K>(
    test: &'a Test,
    wanted: bool,
    leaf: &dyn Fn(&'a Test, bool) -> Option<Keys<K>>,
) -> Option<Keys<K>> {
    match test {
        Test::Constant(value) => (*value != wanted).then(Keys::never),
        Test::Not(inner) => of(inner, !wanted, leaf),
        Test::Same(side, other) => match (&**side, &**other) {
            (Test::Constant(value), side) | (side, Test::Constant(value)) => {
                of(side, *value == wanted, leaf)
            }
            _ => None,
        },
        Test::Logic(first, rest) => logic(first, rest, wanted, leaf),
        _ => leaf(test, wanted),
    }
}

/// `a && b || c` is `a && (b || c)`: from the last operand to the first.
fn logic<'a, K>(
    first: &'a Test,
    rest: &'a [(LogicOperator, Test)],
    wanted: bool,
    leaf: &dyn Fn(&'a Test, bool) -> Option<Keys<K>>,
) -> Option<Keys<K>> {
    // A failing `&&` has a failing side as a holding `||` has a holding one.
    let needs_all = match wanted {
        true => LogicOperator::And,
        false => LogicOperator::Or,
    };
    let operators = rest.iter().map(|(operator, _)| *operator);
    let operands = std::iter::once(first).chain(rest.iter().map(|(_, test)| test));
    let mut found = operands.map(|operand| of(operand, wanted, leaf)).rev();
    let last = found.next()?;
    operators
        .rev()
        .zip(found)
        .fold(last, |behind, (operator, before)| {
            if operator == needs_all {
                match (before, behind) {
                    (Some(before), Some(behind)) => Some(before.better(behind)),
                    (one, other) => one.or(other),
                }
            } else {
                Some(before?.either(behind?))
            }
        })
}
