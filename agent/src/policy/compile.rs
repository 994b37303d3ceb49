//! One expression to a condition for each event type that it can be about.

use super::error::Error;
use crate::secl::ast::{Array, ArrayKind, Chain, Expression, ExpressionKind, Macro};
use crate::secl::{self, Macros, Scheme};
use std::collections::HashSet;

/// First parts of field names that belong to event types of the reference; a rule that uses one
/// whose events are not enabled is told so, rather than that the field is unknown.
const EVENT_PREFIXES: &[&str] = &[
    "accept",
    "bind",
    "bpf",
    "capabilities",
    "capset",
    "cgroup_write",
    "chdir",
    "chmod",
    "chown",
    "connect",
    "dns",
    "exec",
    "exit",
    "failed_dns",
    "fim",
    "imds",
    "link",
    "load_module",
    "mkdir",
    "mmap",
    "mount",
    "mprotect",
    "network",
    "network_flow_monitor",
    "ondemand",
    "open",
    "packet",
    "prctl",
    "ptrace",
    "removexattr",
    "rename",
    "rmdir",
    "selinux",
    "setgid",
    "setrlimit",
    "setsockopt",
    "setuid",
    "setxattr",
    "signal",
    "socket",
    "splice",
    "sysctl",
    "unlink",
    "unload_module",
    "unshare",
    "utimes",
];

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
    let compiled = secl::compile(&parsed, macros, scheme).map_err(|error| {
        if uses_other_events(&parsed, macros, enabled) {
            Error::EventDisabled
        } else {
            Error::Expression(error)
        }
    })?;
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

/// Whether an expression, or a macro that it uses, has a field of an event type that is known and
/// not enabled.
fn uses_other_events(expression: &Expression, macros: &Macros, enabled: &[&str]) -> bool {
    let mut names = Names {
        macros,
        macros_seen: HashSet::new(),
        pending: Vec::new(),
        found: false,
        enabled,
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
    found: bool,
    enabled: &'a [&'a str],
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
        } else if let Some((prefix, _)) = name.split_once('.') {
            let known = EVENT_PREFIXES.contains(&prefix);
            self.found |= known && !self.enabled.contains(&prefix);
        }
    }
}
