//! Why a rule is true or false of an event: the value of each part of its expression.
//!
//! Each part is read on its own with the macros of the rule set. Constants and literals are left
//! out, as they are what they say; a part that has no value by itself is too.

use crate::secl::ast::{Array, ArrayKind, Chain, Expression, ExpressionKind, Macro};
use crate::secl::{self, Macros, Record, Scheme, Value};
use std::collections::HashSet;

/// A part of an expression and what it is on an event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Part {
    /// The part as written.
    pub text: String,
    /// Its value.
    pub value: Value,
}

/// Reads every part of an expression, a whole before its parts, each text once.
pub fn explain(
    expression: &str,
    macros: &Macros,
    scheme: &dyn Scheme,
    record: &dyn Record,
) -> Result<Vec<Part>, secl::Error> {
    let parsed = secl::parse(expression)?;
    let mut walk = Walk {
        expression,
        macros,
        scheme,
        record,
        seen: HashSet::new(),
        parts: Vec::new(),
    };
    walk.expression(&parsed);
    Ok(walk.parts)
}

struct Walk<'a> {
    expression: &'a str,
    macros: &'a Macros,
    scheme: &'a dyn Scheme,
    record: &'a dyn Record,
    seen: HashSet<&'a str>,
    parts: Vec<Part>,
}

impl Walk<'_> {
    fn expression(&mut self, part: &Expression) {
        match &part.kind {
            ExpressionKind::Identifier(name) => return self.name(name, part),
            ExpressionKind::Integer(_)
            | ExpressionKind::Duration(_)
            | ExpressionKind::Text(_)
            | ExpressionKind::Pattern(_)
            | ExpressionKind::Regexp(_)
            | ExpressionKind::Ip(_) => return,
            _ => self.add(part),
        }
        match &part.kind {
            ExpressionKind::Logic(chain) => self.chain(chain),
            ExpressionKind::Sum(chain) => self.chain(chain),
            ExpressionKind::Bits(chain) => self.chain(chain),
            ExpressionKind::Compare(left, _, right) => {
                self.expression(left);
                self.expression(right);
            }
            ExpressionKind::Member(left, _, array) => {
                self.expression(left);
                self.array(array);
            }
            ExpressionKind::Unary(_, operand) => self.expression(operand),
            _ => {}
        }
    }

    fn chain<Operator>(&mut self, chain: &Chain<Operator>) {
        self.expression(&chain.first);
        for (_, operand) in &chain.rest {
            self.expression(operand);
        }
    }

    /// A field or a variable that stands for a list.
    fn array(&mut self, array: &Array) {
        let kind = match &array.kind {
            ArrayKind::Identifier(name) => ExpressionKind::Identifier(name.clone()),
            ArrayKind::Variable(name) => ExpressionKind::Variable(name.clone()),
            ArrayKind::List(_) | ArrayKind::Ip(_) => return,
        };
        self.expression(&Expression {
            kind,
            span: array.span.clone(),
        });
    }

    fn name(&mut self, name: &str, part: &Expression) {
        let is_macro = self.macros.get(name).is_some();
        if !is_macro && self.scheme.constant(name).is_some() {
            return;
        }
        match without_register(name) {
            None => self.add(part),
            Some(name) => self.add(&Expression {
                kind: ExpressionKind::Identifier(name),
                span: part.span.clone(),
            }),
        }
    }

    fn add(&mut self, part: &Expression) {
        let Some(text) = self.expression.get(part.span.clone()) else {
            return;
        };
        if !self.seen.insert(text) {
            return;
        }
        let part = Macro::Expression(part.clone());
        let formula = secl::formula(&part, self.macros, self.scheme);
        if let Some(value) = formula.ok().and_then(|found| found.evaluate(self.record)) {
            let text = text.to_owned();
            self.parts.push(Part { text, value });
        }
    }
}

/// The name of a field without a register: what `[A]` stands for is known only within the whole
/// rule, so every element is shown.
fn without_register(name: &str) -> Option<String> {
    let (before, rest) = name.split_once('[')?;
    let (inner, after) = rest.split_once(']')?;
    let number = inner.starts_with(|first: char| first.is_ascii_digit());
    (!number).then(|| format!("{before}{after}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::testing::{cat, event};
    use crate::event::{EventType, Fields};

    fn shown(expression: &str) -> Vec<String> {
        let mut macros = Macros::new();
        let condition = secl::parse_macro("process.uid == 0").unwrap();
        macros.insert("IS_ROOT", condition);
        macros
            .from_values("SHELLS", &["bash".to_owned(), "sh".to_owned()])
            .unwrap();
        let event = event(EventType::Exec, cat());
        let parts = explain(expression, &macros, &Fields, &event).unwrap();
        let show = |part: &Part| format!("{} -> {}", part.text, part.value);
        parts.iter().map(show).collect()
    }

    #[test]
    fn every_part_is_shown_once_a_whole_before_its_parts() {
        for (expression, expected) in [
            (
                "exec.file.name == \"cat\" && (!(IS_ROOT) || process.pid > O_CREAT)",
                &[
                    "exec.file.name == \"cat\" && (!(IS_ROOT) || process.pid > O_CREAT) -> true",
                    "exec.file.name == \"cat\" -> true",
                    "exec.file.name -> cat",
                    "(!(IS_ROOT) || process.pid > O_CREAT) -> true",
                    "!(IS_ROOT) -> false",
                    "(IS_ROOT) -> true",
                    "process.pid > O_CREAT -> true",
                    "process.pid -> 1001",
                ][..],
            ),
            (
                "process.ancestors[A].file.name in SHELLS && process.ancestors[A].pid == 1",
                &[
                    "process.ancestors[A].file.name in SHELLS && process.ancestors[A].pid == 1 -> false",
                    "process.ancestors[A].file.name in SHELLS -> true",
                    "process.ancestors[A].file.name -> bash,systemd",
                    "SHELLS -> bash,sh",
                    "process.ancestors[A].pid == 1 -> true",
                    "process.ancestors[A].pid -> 1000,1",
                ],
            ),
            (
                "exec.pid == ${process.pid} && exec.pid + 1 > 0 && exec.argv in process.argv",
                &[
                    "exec.pid == ${process.pid} && exec.pid + 1 > 0 && exec.argv in process.argv -> true",
                    "exec.pid == ${process.pid} -> true",
                    "exec.pid -> 1001",
                    "${process.pid} -> 1001",
                    "exec.pid + 1 > 0 -> true",
                    "exec.pid + 1 -> 1002",
                    "exec.argv in process.argv -> true",
                    "exec.argv -> -n,/etc/shadow",
                    "process.argv -> -n,/etc/shadow",
                ],
            ),
        ] {
            assert_eq!(shown(expression), expected, "{expression}");
        }
    }

    #[test]
    fn what_cannot_be_read_is_an_error_or_left_out() {
        let event = event(EventType::Exec, cat());
        assert!(explain("a ==", &Macros::new(), &Fields, &event).is_err());
        let parts = explain("no.field == 1", &Macros::new(), &Fields, &event);
        assert_eq!(parts, Ok(Vec::new()));
    }
}
