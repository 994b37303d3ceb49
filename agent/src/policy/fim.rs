//! `fim.write`: one name for every way in which a file is written.
//!
//! A rule on `fim.write.file.*` stands for one rule on each event type that changes a file. Here
//! an expression is rewritten for one of them; it enters and leaves parsed.

use crate::secl::ast::{Array, ArrayKind, Chain, Expression, ExpressionKind, LogicOperator, Macro};
use crate::secl::{self, Macros};

/// What the fields of the virtual event begin with.
pub const PREFIX: &str = "fim.write.";

/// The event types that it stands for, what its fields are called there, and what else must hold.
const EXPANSIONS: &[(&str, &[&str], &str)] = &[
    (
        "open",
        &["open."],
        "open.flags & (O_CREAT | O_TRUNC | O_APPEND | O_RDWR | O_WRONLY) > 0",
    ),
    ("chmod", &["chmod."], ""),
    ("chown", &["chown."], ""),
    ("link", &["link.", "link.file.destination."], ""),
    ("rename", &["rename.", "rename.file.destination."], ""),
    ("unlink", &["unlink."], ""),
    ("utimes", &["utimes."], ""),
];

/// The event types that `fim.write` stands for.
pub fn event_types() -> impl Iterator<Item = &'static str> {
    EXPANSIONS.iter().map(|(event, ..)| *event)
}

/// The expression as it is for one event type, and the macros as it uses them.
pub fn expand(expression: &Expression, macros: &Macros, event: &str) -> Vec<(Expression, Macros)> {
    let Some((_, prefixes, condition)) = EXPANSIONS.iter().find(|(name, ..)| *name == event) else {
        return Vec::new();
    };
    let expanded = prefixes.iter().map(|prefix| {
        let renamed = |name: &str| rename(name, prefix);
        let own = macros.map(|definition| match definition {
            Macro::Expression(expression) => Macro::Expression(walk(expression, &renamed)),
            Macro::Array(array) => Macro::Array(walk_array(array, &renamed)),
        });
        (both(condition, walk(expression, &renamed)), own)
    });
    expanded.collect()
}

/// `fim.write.file.path` to `open.file.path`; a prefix that names the file itself, as
/// `link.file.destination.`, takes the place of `fim.write.file.`.
fn rename(name: &str, prefix: &str) -> Option<String> {
    let rest = name.strip_prefix(PREFIX)?;
    let names_file = prefix.contains(".file.");
    let rest = match names_file {
        true => rest.strip_prefix("file.").unwrap_or(rest),
        false => rest,
    };
    Some(format!("{prefix}{rest}"))
}

/// The condition and the expression; the expression alone when there is no condition.
fn both(condition: &str, expression: Expression) -> Expression {
    let Ok(first) = secl::parse(condition) else {
        return expression;
    };
    Expression {
        span: expression.span.clone(),
        kind: ExpressionKind::Logic(Chain {
            first: Box::new(first),
            rest: vec![(LogicOperator::And, expression)],
        }),
    }
}

type Rename<'a> = &'a dyn Fn(&str) -> Option<String>;

fn walk(expression: &Expression, renamed: Rename<'_>) -> Expression {
    let boxed = |inner: &Expression| Box::new(walk(inner, renamed));
    let kind = match &expression.kind {
        ExpressionKind::Logic(chain) => ExpressionKind::Logic(walk_chain(chain, renamed)),
        ExpressionKind::Sum(chain) => ExpressionKind::Sum(walk_chain(chain, renamed)),
        ExpressionKind::Bits(chain) => ExpressionKind::Bits(walk_chain(chain, renamed)),
        ExpressionKind::Compare(left, operator, right) => {
            ExpressionKind::Compare(boxed(left), *operator, boxed(right))
        }
        ExpressionKind::Member(left, membership, array) => {
            ExpressionKind::Member(boxed(left), *membership, walk_array(array, renamed))
        }
        ExpressionKind::Unary(operator, operand) => {
            ExpressionKind::Unary(*operator, boxed(operand))
        }
        ExpressionKind::Identifier(name) => {
            ExpressionKind::Identifier(renamed(name).unwrap_or_else(|| name.clone()))
        }
        other => other.clone(),
    };
    Expression {
        kind,
        span: expression.span.clone(),
    }
}

fn walk_chain<Operator: Copy>(chain: &Chain<Operator>, renamed: Rename<'_>) -> Chain<Operator> {
    let rest = chain.rest.iter();
    Chain {
        first: Box::new(walk(&chain.first, renamed)),
        rest: rest
            .map(|(operator, operand)| (*operator, walk(operand, renamed)))
            .collect(),
    }
}

fn walk_array(array: &Array, renamed: Rename<'_>) -> Array {
    let kind = match &array.kind {
        ArrayKind::List(elements) => {
            ArrayKind::List(elements.iter().map(|one| walk(one, renamed)).collect())
        }
        ArrayKind::Identifier(name) => {
            ArrayKind::Identifier(renamed(name).unwrap_or_else(|| name.clone()))
        }
        other => other.clone(),
    };
    Array {
        kind,
        span: array.span.clone(),
    }
}
