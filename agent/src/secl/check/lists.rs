//! Lists, and what is looked up in them.

use super::value::{List, Value};
use super::{operators, Checker};
use crate::secl::ast::{Array, ArrayKind, Expression, Membership};
use crate::secl::compile::Test;
use crate::secl::Error;

impl<'a> Checker<'a> {
    /// `left in array` and its like. The sets of macros are shared by the rules that name them.
    pub(super) fn member(
        &mut self,
        left: &'a Expression,
        membership: Membership,
        array: &'a Array,
    ) -> Result<Test, Error> {
        let values = (self.value(left)?, self.array(array)?);
        let kind = values.0.text_kind();
        let mut test = operators::member(values, membership, (&left.span, &array.span))?;
        if let (ArrayKind::Identifier(name), Some(kind)) = (&array.kind, kind) {
            if let Some(matcher) = test.matcher_mut() {
                self.macros.share(name, kind, matcher);
            }
        }
        Ok(test)
    }

    pub(super) fn array(&mut self, array: &'a Array) -> Result<Value, Error> {
        match &array.kind {
            ArrayKind::List(elements) => self.list(elements).map(Value::List),
            ArrayKind::Identifier(name) => self.identifier(name, &array.span),
            ArrayKind::Variable(name) => self.variable(name, &array.span),
            ArrayKind::Ip(net) => Ok(Value::List(List::Ips(vec![*net]))),
        }
    }

    fn list(&mut self, elements: &'a [Expression]) -> Result<List, Error> {
        let mut list = List::Empty;
        for element in elements {
            let span = &element.span;
            let value = self.value(element)?;
            let Some(part) = value.into_list(span) else {
                let message = "a list holds constants only; name a field after `in` by itself";
                return Err(Error::new(message, span.clone()));
            };
            if let List::Texts(texts) = &part {
                texts.iter().try_for_each(|_| self.count_node(span))?;
            }
            list = list
                .with(part)
                .map_err(|message| Error::new(message, span.clone()))?;
        }
        Ok(list)
    }
}
