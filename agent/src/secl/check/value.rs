//! Typed parts of an expression while it is checked: values and lists of constants.

use crate::secl::compile::{Compiled, Int, IntValue, Ip, Select, Test, Text};
use crate::secl::formula::Source;
use crate::secl::matcher::TextItem;
use crate::secl::types::{self, Constant, IpNet, TextKind};
use std::ops::Range;

/// A part of an expression with its type.
#[derive(Debug)]
pub(super) enum Value {
    Test(Test),
    /// A boolean field by itself: unlike other conditions it may have many elements.
    Flag(Select),
    Int(Int),
    Text(Text, TextKind),
    /// A pattern or regexp.
    Item(TextItem),
    Ip(Ip),
    List(List),
}

/// A list of constants.
#[derive(Debug)]
pub(super) enum List {
    /// Of no type yet.
    Empty,
    Ints(Vec<i64>),
    /// With the bytes in the rule that an error is about.
    Texts(Vec<(TextItem, Range<usize>)>),
    Ips(Vec<IpNet>),
}

impl Int {
    /// A number that needs no record.
    pub(super) fn constant(value: i64) -> Int {
        Int {
            value: IntValue::Constant(value),
            over: None,
        }
    }
}

impl Value {
    /// The value of a named constant.
    pub(super) fn constant(constant: Constant) -> Value {
        match constant {
            Constant::Int(value) => Value::Int(Int::constant(value)),
            Constant::Bool(value) => Value::Test(Test::Constant(value)),
            Constant::Text(text) => Value::Text(Text::Constant(text.into()), TextKind::Plain),
        }
    }

    /// What it is, with an article.
    pub(super) fn describe(&self) -> &'static str {
        match self {
            Value::Test(_) | Value::Flag(_) => "a boolean",
            Value::Int(_) => "a number",
            Value::Text(..) => "a string",
            Value::Item(item) => item.describe(),
            Value::Ip(_) => "an IP address",
            Value::List(_) => "a list",
        }
    }

    /// How its text compares, if it is one.
    pub(super) fn text_kind(&self) -> Option<TextKind> {
        match self {
            Value::Text(_, kind) => Some(*kind),
            _ => None,
        }
    }

    /// Whether it needs no record.
    pub(super) fn is_constant(&self) -> bool {
        match self {
            Value::Test(test) => matches!(test, Test::Constant(_)),
            Value::Int(int) => int.value.constant().is_some(),
            Value::Text(text, _) => matches!(text, Text::Constant(_)),
            Value::Ip(ip) => matches!(ip, Ip::Constant(_)),
            Value::Item(_) | Value::List(_) => true,
            Value::Flag(_) => false,
        }
    }

    /// A constant as a list of one, a list as it is, anything else not at all.
    pub(super) fn into_list(self, span: &Range<usize>) -> Option<List> {
        let texts = |item| List::Texts(vec![(item, span.clone())]);
        match self {
            Value::List(list) => Some(list),
            Value::Int(int) => int.value.constant().map(|value| List::Ints(vec![value])),
            Value::Text(Text::Constant(text), _) => Some(texts(TextItem::Plain(text.into()))),
            Value::Item(item) => Some(texts(item)),
            Value::Ip(Ip::Constant(net)) => Some(List::Ips(vec![net])),
            Value::Text(..) | Value::Ip(_) | Value::Test(_) | Value::Flag(_) => None,
        }
    }
}

impl Value {
    /// What gives it to a variable; `condition` completes a test. The error is a sentence.
    pub(super) fn into_source(
        self,
        condition: impl FnOnce(Test) -> Compiled,
    ) -> Result<Source, String> {
        Ok(match self {
            Value::Test(test) => Source::Condition(condition(test)),
            Value::Flag(select) => Source::Condition(condition(Test::Flag(select, true))),
            Value::Int(int) => Source::Int(int),
            Value::Text(text, _) => Source::Text(text),
            Value::Ip(ip) => Source::Ip(ip),
            Value::Item(TextItem::Template(template)) if !template.is_pattern => {
                Source::Template(template)
            }
            Value::Item(item) => return Err(format!("{} is no value", item.describe())),
            Value::List(list) => Source::Constant(list.into_values()?),
        })
    }
}

impl List {
    fn into_values(self) -> Result<types::Value, String> {
        let values: Result<Vec<types::Value>, String> = match self {
            List::Empty => Ok(Vec::new()),
            List::Ints(all) => Ok(all.into_iter().map(types::Value::Int).collect()),
            List::Ips(all) => Ok(all.into_iter().map(types::Value::Ip).collect()),
            List::Texts(all) => {
                let text = |(item, _): (TextItem, _)| match item {
                    TextItem::Plain(text) => Ok(types::Value::Text(text)),
                    other => Err(format!("{} is no value of a variable", other.describe())),
                };
                all.into_iter().map(text).collect()
            }
        };
        values.map(types::Value::List)
    }

    /// What its elements are, with an article.
    fn describe(&self) -> &'static str {
        match self {
            List::Empty => "nothing",
            List::Ints(_) => "a number",
            List::Texts(_) => "a string",
            List::Ips(_) => "an IP address",
        }
    }

    /// Both together. The error is a sentence.
    pub(super) fn with(mut self, part: List) -> Result<List, String> {
        match (&mut self, part) {
            (_, List::Empty) => {}
            (List::Empty, part) => return Ok(part),
            (List::Ints(all), List::Ints(mut more)) => all.append(&mut more),
            (List::Texts(all), List::Texts(mut more)) => all.append(&mut more),
            (List::Ips(all), List::Ips(mut more)) => all.append(&mut more),
            (all, part) => {
                return Err(format!(
                    "a list holds values of one type; this is {}, the first is {}",
                    part.describe(),
                    all.describe()
                ));
            }
        }
        Ok(self)
    }
}
