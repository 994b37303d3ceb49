//! Comparisons and memberships: two typed values and an operator to a test.
//!
//! Only the types decide here which test it is, and whether there is one at all. Errors point at the
//! operand that does not fit.

use super::value::{List, Value};
use crate::secl::ast::{CompareOperator, LogicOperator, Membership};
use crate::secl::compile::{Ip, Order, Quantifier, Select, Test, Text, Which};
use crate::secl::matcher::{self, TextItem, TextMatcher};
use crate::secl::template::Template;
use crate::secl::types::TextKind;
use crate::secl::Error;
use std::ops::Range;

/// The bytes of the left and the right operand.
type Spans<'a> = (&'a Range<usize>, &'a Range<usize>);

/// `left operator right`.
pub(super) fn compare(
    values: (Value, Value),
    operator: CompareOperator,
    spans: Spans<'_>,
) -> Result<Test, Error> {
    let ((left, right), operator, spans) = fields_first(values, operator, spans);
    let test = match (left, right) {
        (Value::List(_), _) | (_, Value::List(_)) => {
            let message = format!(
                "`{}` cannot compare with a list; write `in`",
                operator.symbol()
            );
            return Err(Error::new(message, spans.1.clone()));
        }
        (left @ (Value::Test(_) | Value::Flag(_)), right @ (Value::Test(_) | Value::Flag(_)))
            if is_equality(operator) =>
        {
            same(left, right)
        }
        (Value::Int(left), Value::Int(right)) => match order(operator) {
            Some(order) => Test::Order(left, order, right),
            None => return Err(cannot(operator, "numbers", spans)),
        },
        (Value::Text(left, kind), right @ (Value::Text(..) | Value::Item(_))) => {
            text((left, kind), operator, right, spans)?
        }
        (Value::Ip(left), Value::Ip(right)) if is_equality(operator) => ip(left, right),
        (Value::Test(_) | Value::Flag(_), Value::Test(_) | Value::Flag(_)) => {
            return Err(cannot(operator, "booleans", spans));
        }
        (Value::Ip(_), Value::Ip(_)) => return Err(cannot(operator, "IP addresses", spans)),
        (Value::Item(_), _) => {
            let message = "a pattern or regexp must have a string to compare with on its left";
            return Err(Error::new(message, spans.0.clone()));
        }
        (left, right) => {
            let message = format!(
                "{} cannot be compared with {}",
                left.describe(),
                right.describe()
            );
            return Err(Error::new(message, spans.1.clone()));
        }
    };
    Ok(match operator {
        CompareOperator::NotEqual | CompareOperator::DoesNotMatch => Test::Not(Box::new(test)),
        _ => test,
    })
}

/// Puts a constant to the right, where the two sides mean the same.
fn fields_first<'a>(
    (left, right): (Value, Value),
    operator: CompareOperator,
    spans: Spans<'a>,
) -> ((Value, Value), CompareOperator, Spans<'a>) {
    let mirrored = match operator {
        CompareOperator::Equal | CompareOperator::NotEqual => operator,
        CompareOperator::Greater => CompareOperator::Less,
        CompareOperator::GreaterOrEqual => CompareOperator::LessOrEqual,
        CompareOperator::Less => CompareOperator::Greater,
        CompareOperator::LessOrEqual => CompareOperator::GreaterOrEqual,
        CompareOperator::Matches | CompareOperator::DoesNotMatch => {
            return ((left, right), operator, spans);
        }
    };
    if left.is_constant() && (!right.is_constant() || matches!(right, Value::Text(..))) {
        ((right, left), mirrored, (spans.1, spans.0))
    } else {
        ((left, right), operator, spans)
    }
}

fn is_equality(operator: CompareOperator) -> bool {
    matches!(operator, CompareOperator::Equal | CompareOperator::NotEqual)
}

fn order(operator: CompareOperator) -> Option<Order> {
    Some(match operator {
        CompareOperator::Equal | CompareOperator::NotEqual => Order::Equal,
        CompareOperator::Greater => Order::Greater,
        CompareOperator::GreaterOrEqual => Order::GreaterOrEqual,
        CompareOperator::Less => Order::Less,
        CompareOperator::LessOrEqual => Order::LessOrEqual,
        CompareOperator::Matches | CompareOperator::DoesNotMatch => return None,
    })
}

fn cannot(operator: CompareOperator, what: &str, spans: Spans<'_>) -> Error {
    let message = format!("`{}` cannot compare {what}", operator.symbol());
    Error::new(
        message,
        spans.0.start.min(spans.1.start)..spans.0.end.max(spans.1.end),
    )
}

/// A boolean field compares element by element, any other condition as the one truth it is.
fn same(left: Value, right: Value) -> Test {
    match (left, right) {
        (Value::Flag(select), Value::Test(Test::Constant(wanted)))
        | (Value::Test(Test::Constant(wanted)), Value::Flag(select)) => Test::Flag(select, wanted),
        (Value::Flag(left), Value::Flag(right)) => both(left, right),
        (Value::Flag(select), other) | (other, Value::Flag(select)) => flag_is(select, other),
        (left, right) => Test::Same(Box::new(truth(left)), Box::new(truth(right))),
    }
}

fn truth(value: Value) -> Test {
    match value {
        Value::Test(test) => test,
        Value::Flag(select) => Test::Flag(select, true),
        // Only conditions are compared here.
        _ => Test::Constant(false),
    }
}

/// Some elements of the two fields are equal.
fn both(left: Select, right: Select) -> Test {
    let each_is = |wanted| and(Test::Flag(left, wanted), Test::Flag(right, wanted));
    or(each_is(true), each_is(false))
}

/// Some element of the field is what the condition is: so it is when the elements differ, and when
/// there is one at all and all are what the condition is.
fn flag_is(select: Select, condition: Value) -> Test {
    let (is_true, is_false) = (|| Test::Flag(select, true), || Test::Flag(select, false));
    let same = Test::Same(Box::new(is_true()), Box::new(truth(condition)));
    if select.which == Which::Only {
        return same;
    }
    or(
        and(is_true(), is_false()),
        and(or(is_true(), is_false()), same),
    )
}

fn and(left: Test, right: Test) -> Test {
    Test::Logic(Box::new(left), vec![(LogicOperator::And, right)])
}

fn or(left: Test, right: Test) -> Test {
    Test::Logic(Box::new(left), vec![(LogicOperator::Or, right)])
}

fn text(
    (left, kind): (Text, TextKind),
    operator: CompareOperator,
    right: Value,
    spans: Spans<'_>,
) -> Result<Test, Error> {
    let matching = matches!(
        operator,
        CompareOperator::Matches | CompareOperator::DoesNotMatch
    );
    if !matching && !is_equality(operator) {
        return Err(cannot(operator, "strings", spans));
    }
    let item = match right {
        Value::Item(TextItem::Template(template)) => TextItem::Template(Template {
            is_pattern: template.is_pattern || matching,
            ..template
        }),
        Value::Item(item) => item,
        Value::Text(Text::Constant(text), _) if matching => TextItem::Pattern(text.into()),
        Value::Text(Text::Constant(text), _) => TextItem::Plain(text.into()),
        Value::Text(right, right_kind) if !matching => {
            return Ok(text_among(
                (left, kind),
                (right, right_kind),
                Quantifier::Some,
            ));
        }
        _ => {
            let message = format!(
                "after `{}` stands a string, a pattern or a regexp; fields compare with `==`",
                operator.symbol()
            );
            return Err(Error::new(message, spans.1.clone()));
        }
    };
    text_in(left, kind, &[(item, spans.1.clone())], Quantifier::Some)
}

fn text_among(left: (Text, TextKind), right: (Text, TextKind), quantifier: Quantifier) -> Test {
    let fold_case = left.1.folds_case() || right.1.folds_case();
    Test::TextAmong {
        left: left.0,
        right: right.0,
        fold_case,
        quantifier,
    }
}

fn ip(left: Ip, right: Ip) -> Test {
    match right {
        Ip::Constant(net) => Test::IpIn(left, vec![net], Quantifier::Some),
        Ip::Field(_) => Test::IpAmong(left, right, Quantifier::Some),
    }
}

/// `left in right`.
pub(super) fn member(
    (left, right): (Value, Value),
    membership: Membership,
    spans: Spans<'_>,
) -> Result<Test, Error> {
    let quantifier = match membership {
        Membership::In | Membership::NotIn => Quantifier::Some,
        Membership::AllIn => Quantifier::Every,
    };
    let test = if right.is_constant() {
        let described = right.describe();
        match right.into_list(spans.1) {
            Some(list) => in_list(left, list, quantifier, spans)?,
            None => return Err(no_list(membership, described, spans)),
        }
    } else if has_many(&right) {
        among(left, right, quantifier, spans)?
    } else {
        return Err(no_list(membership, "a single value", spans));
    };
    Ok(match membership {
        Membership::NotIn => Test::Not(Box::new(test)),
        Membership::In | Membership::AllIn => test,
    })
}

fn no_list(membership: Membership, found: &str, spans: Spans<'_>) -> Error {
    let message = format!(
        "`{}` needs a list, an array field or a list macro; this is {found}",
        membership.symbol()
    );
    Error::new(message, spans.1.clone())
}

fn has_many(value: &Value) -> bool {
    let many = |select: &Select| select.which != Which::Only;
    match value {
        Value::Int(int) => int.over.is_some(),
        Value::Text(Text::Field { select, .. }, _) | Value::Ip(Ip::Field(select)) => many(select),
        _ => false,
    }
}

fn in_list(
    left: Value,
    list: List,
    quantifier: Quantifier,
    spans: Spans<'_>,
) -> Result<Test, Error> {
    Ok(match (left, list) {
        (Value::Int(left), List::Empty) => Test::IntIn(left, Vec::new(), quantifier),
        (Value::Int(left), List::Ints(mut numbers)) => {
            numbers.sort_unstable();
            numbers.dedup();
            Test::IntIn(left, numbers, quantifier)
        }
        (Value::Text(left, kind), List::Empty) => text_in(left, kind, &[], quantifier)?,
        (Value::Text(left, kind), List::Texts(items)) => text_in(left, kind, &items, quantifier)?,
        (Value::Ip(left), List::Empty) => Test::IpIn(left, Vec::new(), quantifier),
        (Value::Ip(left), List::Ips(nets)) => Test::IpIn(left, nets, quantifier),
        (left @ (Value::Test(_) | Value::Flag(_) | Value::Item(_) | Value::List(_)), _) => {
            let message = format!("{} cannot be looked up in a list", left.describe());
            return Err(Error::new(message, spans.0.clone()));
        }
        (left, _) => {
            let message = format!("{} cannot be in this list of another type", left.describe());
            return Err(Error::new(message, spans.1.clone()));
        }
    })
}

fn text_in(
    left: Text,
    kind: TextKind,
    items: &[(TextItem, Range<usize>)],
    quantifier: Quantifier,
) -> Result<Test, Error> {
    let placed = |(at, message): (usize, String)| {
        let span = items.get(at).map_or(0..0, |(_, span)| span.clone());
        Error::new(message, span)
    };
    let all = || items.iter().map(|(item, _)| item);
    let matcher = TextMatcher::new(all(), kind).map_err(placed)?;
    let templates = matcher::templates(all(), kind).map_err(placed)?;
    Ok(match templates.is_empty() {
        true => Test::TextIn(left, matcher.into(), quantifier),
        false => Test::TextLike(left, matcher, templates, quantifier),
    })
}

fn among(
    left: Value,
    right: Value,
    quantifier: Quantifier,
    spans: Spans<'_>,
) -> Result<Test, Error> {
    Ok(match (left, right) {
        (Value::Int(left), Value::Int(right)) => Test::IntAmong(left, right, quantifier),
        (Value::Text(left, left_kind), Value::Text(right, right_kind)) => {
            text_among((left, left_kind), (right, right_kind), quantifier)
        }
        (Value::Ip(left), Value::Ip(right)) => Test::IpAmong(left, right, quantifier),
        (left, _) => {
            let message = format!("{} cannot be in an array of another type", left.describe());
            return Err(Error::new(message, spans.1.clone()));
        }
    })
}
