//! What an action gives to a variable: an expression that is evaluated to a value.
//!
//! The checker makes it, [`Formula::evaluate`] reads a record and gives an owned value. Unlike
//! conditions, formulas run only when a rule has matched, so they may allocate.

use super::compile::{Compiled, Int, Ip, Text, View, Which};
use super::template::Template;
use super::types::{FieldId, Kind, Record, Value};

/// An expression ready to be evaluated to a value.
#[derive(Debug)]
pub struct Formula {
    pub(super) source: Source,
    pub(super) events: Vec<&'static str>,
    pub(super) fields: Vec<FieldId>,
}

/// Where the value comes from.
#[derive(Debug)]
pub(super) enum Source {
    Constant(Value),
    Condition(Compiled),
    Int(Int),
    Text(Text),
    Template(Template),
    Ip(Ip),
}

impl Formula {
    /// Always the same value.
    pub fn constant(value: Value) -> Formula {
        Formula {
            source: Source::Constant(value),
            events: Vec::new(),
            fields: Vec::new(),
        }
    }

    /// The event types that have every field of it. Empty means any.
    pub fn events(&self) -> &[&'static str] {
        &self.events
    }

    /// Every field and variable it reads, each once.
    pub fn fields(&self) -> &[FieldId] {
        &self.fields
    }

    /// The kind of its value, and whether that is a list.
    pub fn kind(&self) -> (Kind, bool) {
        match &self.source {
            Source::Constant(value) => value.kind(),
            Source::Condition(_) => (Kind::Bool, false),
            Source::Int(int) => (Kind::Int, int.over.is_some()),
            Source::Template(_) | Source::Text(Text::Constant(_)) => (Kind::Text, false),
            Source::Text(Text::Field { select, .. }) => (Kind::Text, select.which != Which::Only),
            Source::Ip(Ip::Constant(_)) => (Kind::Ip, false),
            Source::Ip(Ip::Field(select)) => (Kind::Ip, select.which != Which::Only),
        }
    }

    /// The value for this record. An address that is absent gives none.
    pub fn evaluate(&self, record: &dyn Record) -> Option<Value> {
        let view = &View::new(record);
        let (_, is_list) = self.kind();
        let each = |range: std::ops::Range<usize>, value: &dyn Fn(usize) -> Option<Value>| {
            if is_list {
                Some(Value::List(range.filter_map(value).collect()))
            } else {
                value(0)
            }
        };
        match &self.source {
            Source::Constant(value) => Some(value.clone()),
            Source::Condition(compiled) => Some(Value::Bool(compiled.matches(record))),
            Source::Int(int) => each(int.range(view), &|at| Some(Value::Int(int.at(view, at)))),
            Source::Text(text) => each(text.range(view), &|at| {
                Some(Value::Text(text.at(view, at).to_owned()))
            }),
            Source::Template(template) => Some(Value::Text(template.joined(view))),
            Source::Ip(ip) => each(ip.range(view), &|at| ip.at(view, at).map(Value::Ip)),
        }
    }
}
