//! One expression to a condition for each event type that it can be about.

use super::error::Error;
use super::fim;
use crate::secl::ast::{Array, ArrayKind, Chain, Expression, ExpressionKind, Macro};
use crate::secl::{self, Macros, Scheme};
use std::collections::HashSet;

/// Compiles an expression once for each enabled event type that it can be about.
pub fn compile(
    expression: &str,
    macros: &Macros,
    scheme: &dyn Scheme,
    enabled: &[&'static str],
) -> Result<Vec<(&'static str, secl::Compiled)>, Error> {
    if expression.trim().is_empty() {
        return Err(Error::NoExpression);
    }
    let parsed = secl::parse(expression).map_err(Error::Syntax)?;
    let prefixes = prefixes(&parsed, macros);
    let is_virtual = |name: &str| name.starts_with(fim::PREFIX);
    if names(&parsed, macros).iter().any(|name| is_virtual(name)) {
        return expand(&parsed, macros, scheme, enabled);
    }
    // A rule on a type that is not enabled is told so, rather than that its fields do not fit.
    let disabled = |one: &&str| scheme.event_types().contains(one) && !enabled.contains(one);
    if prefixes.iter().any(disabled) {
        return Err(Error::EventDisabled);
    }
    let compiled = secl::compile(&parsed, macros, scheme).map_err(Error::Expression)?;
    let mut events = compiled.events().to_vec();
    if events.is_empty() {
        return Err(Error::NoEvent);
    }
    events.retain(|event| enabled.contains(event));
    let Some((first, others)) = events.split_first() else {
        return Err(Error::EventDisabled);
    };
    let mut all = vec![(*first, compiled)];
    for event in others {
        let again = secl::compile(&parsed, macros, scheme).map_err(Error::Expression)?;
        all.push((*event, again));
    }
    Ok(all)
}

/// A rule on `fim.write`: once for each enabled event type that this stands for.
fn expand(
    parsed: &Expression,
    macros: &Macros,
    scheme: &dyn Scheme,
    enabled: &[&'static str],
) -> Result<Vec<(&'static str, secl::Compiled)>, Error> {
    let is_of_one_event = |name: &&str| {
        let field = scheme.field(name);
        field.is_some_and(|field| !field.events.is_empty())
    };
    if names(parsed, macros).iter().any(is_of_one_event) {
        return Err(Error::SeveralEvents);
    }
    let mut all = Vec::new();
    for event in fim::event_types().filter(|event| enabled.contains(event)) {
        for (expression, macros) in fim::expand(parsed, macros, event) {
            let compiled = secl::compile(&expression, &macros, scheme);
            all.push((event, compiled.map_err(Error::Expression)?));
        }
    }
    match all.is_empty() {
        true => Err(Error::EventDisabled),
        false => Ok(all),
    }
}

/// First parts of the dotted names in an expression and in the macros that it uses.
fn prefixes<'a>(expression: &'a Expression, macros: &'a Macros) -> HashSet<&'a str> {
    let names = names(expression, macros).into_iter();
    names
        .filter_map(|name| Some(name.split_once('.')?.0))
        .collect()
}

/// The dotted names in an expression and in the macros that it uses.
fn names<'a>(expression: &'a Expression, macros: &'a Macros) -> HashSet<&'a str> {
    let mut names = Names {
        macros,
        macros_seen: HashSet::new(),
        pending: Vec::new(),
        found: HashSet::new(),
    };
    names.expression(expression);
    // One macro after the other, so that a long chain of macros is no deep recursion.
    while let Some(definition) = names.pending.pop() {
        match definition {
            Macro::Expression(expression) => names.expression(expression),
            Macro::Array(array) => names.array(array),
        }
    }
    names.found
}

/// A walk over the names of an expression and of the macros that it uses, each macro once.
struct Names<'a> {
    macros: &'a Macros,
    macros_seen: HashSet<&'a str>,
    pending: Vec<&'a Macro>,
    found: HashSet<&'a str>,
}

impl<'a> Names<'a> {
    fn expression(&mut self, expression: &'a Expression) {
        match &expression.kind {
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
            ExpressionKind::Identifier(name) => self.name(name),
            _ => {}
        }
    }

    fn chain<Operator>(&mut self, chain: &'a Chain<Operator>) {
        self.expression(&chain.first);
        for (_, operand) in &chain.rest {
            self.expression(operand);
        }
    }

    fn array(&mut self, array: &'a Array) {
        match &array.kind {
            ArrayKind::List(elements) => elements.iter().for_each(|one| self.expression(one)),
            ArrayKind::Identifier(name) => self.name(name),
            _ => {}
        }
    }

    fn name(&mut self, name: &'a str) {
        if let Some(definition) = self.macros.get(name) {
            if self.macros_seen.insert(name) {
                self.pending.push(definition);
            }
        } else if name.contains('.') {
            self.found.insert(name);
        }
    }
}
