//! Tests of numbers, as bits and as ranges.

use crate::secl::ast::BitOperator;
use crate::secl::compile::{self, IntValue, Order, Select};
use std::ops::RangeInclusive;

/// A comparison with constants.
#[derive(Clone, Copy, Debug)]
pub(super) enum Comparison<'a> {
    Order(Order, i64),
    In(&'a [i64]),
}

impl<'a> Comparison<'a> {
    /// Whether a number compares so.
    pub(super) fn holds(self, number: i64) -> bool {
        match self {
            Comparison::Order(order, with) => order.holds(number, with),
            Comparison::In(list) => list.contains(&number),
        }
    }

    /// The only numbers that compare so, when they are listed.
    pub(super) fn listed(self) -> Option<Vec<i64>> {
        match self {
            Comparison::Order(Order::Equal, number) => Some(vec![number]),
            Comparison::Order(..) => None,
            Comparison::In(list) => Some(list.to_vec()),
        }
    }

    /// All numbers that compare so, or those that do not.
    pub(super) fn ranges(self, wanted: bool) -> Vec<RangeInclusive<i64>> {
        let below = |number: i64| number.checked_sub(1).map(|last| i64::MIN..=last);
        let above = |number: i64| number.checked_add(1).map(|first| first..=i64::MAX);
        let ranges = match self {
            Comparison::Order(Order::Equal, number) => vec![number..=number],
            Comparison::Order(Order::Less, number) => below(number).into_iter().collect(),
            Comparison::Order(Order::Greater, number) => above(number).into_iter().collect(),
            Comparison::Order(Order::LessOrEqual, number) => vec![i64::MIN..=number],
            Comparison::Order(Order::GreaterOrEqual, number) => vec![number..=i64::MAX],
            Comparison::In(list) => list.iter().map(|number| *number..=*number).collect(),
        };
        match wanted {
            true => joined(ranges),
            false => rest(joined(ranges)),
        }
    }
}

/// The ranges in order, those that overlap or touch made one.
pub(super) fn joined(mut ranges: Vec<RangeInclusive<i64>>) -> Vec<RangeInclusive<i64>> {
    ranges.sort_unstable_by_key(|range| (*range.start(), *range.end()));
    let mut all: Vec<RangeInclusive<i64>> = Vec::new();
    for range in ranges {
        match all.last_mut() {
            Some(last) if *range.start() <= last.end().saturating_add(1) => {
                *last = *last.start()..=*last.end().max(range.end());
            }
            _ => all.push(range),
        }
    }
    all
}

/// What lies between joined ranges and outside of them.
fn rest(ranges: Vec<RangeInclusive<i64>>) -> Vec<RangeInclusive<i64>> {
    let mut gaps = Vec::new();
    let mut first = Some(i64::MIN);
    for range in ranges {
        if let (Some(first), Some(last)) = (first, range.start().checked_sub(1)) {
            gaps.extend((first <= last).then_some(first..=last));
        }
        first = range.end().checked_add(1);
    }
    gaps.extend(first.map(|first| first..=i64::MAX));
    gaps
}

/// The field of a number that is a field, or a field of which the bits of a constant are taken.
pub(super) fn masked(value: &IntValue) -> Option<(&Select, Option<i64>)> {
    match value {
        IntValue::Field(select) => Some((select, None)),
        IntValue::Bits(first, rest) => match (&**first, rest.as_slice()) {
            // `field & A | B` is `field & (A | B)`.
            (IntValue::Field(select), [(BitOperator::And, mask), more @ ..]) => {
                let more: Option<Vec<(BitOperator, i64)>> = more
                    .iter()
                    .map(|(operator, value)| Some((*operator, value.constant()?)))
                    .collect();
                let mask = compile::bits(mask.constant()?, more?.into_iter());
                Some((select, Some(mask)))
            }
            (IntValue::Constant(mask), [(BitOperator::And, IntValue::Field(select))]) => {
                Some((select, Some(*mask)))
            }
            _ => None,
        },
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIN: i64 = i64::MIN;
    const MAX: i64 = i64::MAX;

    #[test]
    fn ranges_of_comparisons() {
        use Order::{Equal, Greater, GreaterOrEqual, Less, LessOrEqual};
        type Row = (
            Comparison<'static>,
            &'static [(i64, i64)],
            &'static [(i64, i64)],
        );
        let rows: [Row; 10] = [
            (
                Comparison::Order(Equal, 3),
                &[(3, 3)],
                &[(MIN, 2), (4, MAX)],
            ),
            (
                Comparison::Order(Equal, MIN),
                &[(MIN, MIN)],
                &[(MIN + 1, MAX)],
            ),
            (Comparison::Order(Less, 3), &[(MIN, 2)], &[(3, MAX)]),
            (Comparison::Order(Less, MIN), &[], &[(MIN, MAX)]),
            (Comparison::Order(Greater, MAX), &[], &[(MIN, MAX)]),
            (Comparison::Order(Greater, 3), &[(4, MAX)], &[(MIN, 3)]),
            (Comparison::Order(LessOrEqual, MAX), &[(MIN, MAX)], &[]),
            (
                Comparison::Order(GreaterOrEqual, 3),
                &[(3, MAX)],
                &[(MIN, 2)],
            ),
            (Comparison::In(&[]), &[], &[(MIN, MAX)]),
            (
                Comparison::In(&[1, 2, 5]),
                &[(1, 2), (5, 5)],
                &[(MIN, 0), (3, 4), (6, MAX)],
            ),
        ];
        for (comparison, holding, failing) in rows {
            for (wanted, expected) in [(true, holding), (false, failing)] {
                let ranges = comparison.ranges(wanted);
                let pairs: Vec<_> = ranges.iter().map(|r| (*r.start(), *r.end())).collect();
                assert_eq!(pairs, expected, "{comparison:?} {wanted}");
            }
        }
    }
}
