//! From nodes to text.

use serde_json::Value;

use super::functions;
use super::parse::{Base, Block, Kind, Node, Operand, Pipeline};
use super::{Templates, Wrong};

/// The variables that can be seen while a template is rendered.
pub(super) struct Scope<'a> {
    templates: &'a Templates,
    variables: Vec<(String, Value)>,
}

impl<'a> Scope<'a> {
    /// That of a template which begins with this value.
    pub(super) fn new(templates: &'a Templates, dot: &Value) -> Scope<'a> {
        Scope {
            templates,
            variables: vec![(String::new(), dot.clone())],
        }
    }

    /// Adds the text of these nodes.
    pub(super) fn nodes(
        &mut self,
        nodes: &[Node],
        dot: &Value,
        text: &mut String,
    ) -> Result<(), Wrong> {
        for node in nodes {
            match node {
                Node::Text(fixed) => text.push_str(fixed),
                Node::Action(pipeline) => {
                    let value = self.value_of(pipeline, dot)?;
                    match pipeline.names.as_slice() {
                        [] => text.push_str(&functions::text(&value)),
                        [name] => self.assign(name, value, pipeline.declares)?,
                        _ => return Err("two variables outside of range"),
                    }
                }
                Node::Block(block) => {
                    let seen = self.variables.len();
                    self.block(block, dot, text)?;
                    self.variables.truncate(seen);
                }
            }
        }
        Ok(())
    }

    fn block(&mut self, block: &Block, dot: &Value, text: &mut String) -> Result<(), Wrong> {
        let value = self.value_of(&block.of, dot)?;
        if !functions::is_true(&value) {
            return self.nodes(&block.otherwise, dot, text);
        }
        match block.kind {
            Kind::If => self.nodes(&block.body, dot, text),
            Kind::With => self.nodes(&block.body, &value, text),
            Kind::Range => self.range(block, &value, text),
        }
    }

    fn range(&mut self, block: &Block, over: &Value, text: &mut String) -> Result<(), Wrong> {
        let items: Vec<(Value, &Value)> = match over {
            Value::Array(items) => {
                let numbered = items.iter().enumerate();
                numbered.map(|(index, item)| (index.into(), item)).collect()
            }
            Value::Object(fields) => fields
                .iter()
                .map(|(name, field)| (Value::from(name.as_str()), field))
                .collect(),
            _ => return Err("a range over something that has no parts"),
        };
        let seen = self.variables.len();
        for (key, item) in items {
            match block.of.names.as_slice() {
                [] => {}
                [value] => self.variables.push((value.clone(), item.clone())),
                [name, value] => {
                    self.variables.push((name.clone(), key));
                    self.variables.push((value.clone(), item.clone()));
                }
                _ => return Err("more than two variables of a range"),
            }
            self.nodes(&block.body, item, text)?;
            self.variables.truncate(seen);
        }
        Ok(())
    }

    fn assign(&mut self, name: &str, value: Value, declares: bool) -> Result<(), Wrong> {
        if declares || name == "_" {
            self.variables.push((name.to_owned(), value));
        } else {
            *self.variable(name)? = value;
        }
        Ok(())
    }

    fn variable(&mut self, name: &str) -> Result<&mut Value, Wrong> {
        let mut latest = self.variables.iter_mut().rev();
        let found = latest.find(|(known, _)| known == name);
        found.map(|(_, value)| value).ok_or("an unknown variable")
    }

    fn value_of(&mut self, pipeline: &Pipeline, dot: &Value) -> Result<Value, Wrong> {
        let mut last = None;
        for command in &pipeline.commands {
            last = Some(self.command(command, last, dot)?);
        }
        last.ok_or("an action without a command")
    }

    fn command(
        &mut self,
        command: &[Operand],
        last: Option<Value>,
        dot: &Value,
    ) -> Result<Value, Wrong> {
        let (first, others) = command.split_first().ok_or("a command without a word")?;
        let Base::Function(function) = &first.base else {
            return match (others, last) {
                ([], None) => self.operand(first, dot),
                _ => Err("a value with arguments"),
            };
        };
        let mut arguments = Vec::with_capacity(others.len() + 1);
        for other in others {
            arguments.push(self.operand(other, dot)?);
        }
        arguments.extend(last);
        if let ("set" | "unset", [target, ..]) = (function.as_str(), others) {
            return self.change(target, &arguments);
        }
        if let ("include", [Value::String(name), dot]) = (function.as_str(), arguments.as_slice()) {
            return Ok(self.templates.render(name, dot)?.into());
        }
        functions::call(function, &arguments)
    }

    /// `set` and `unset` change the dictionary that a variable holds.
    fn change(&mut self, target: &Operand, arguments: &[Value]) -> Result<Value, Wrong> {
        let Base::Variable(name) = &target.base else {
            return Err("set needs a variable");
        };
        let fields = self.variable(name)?.as_object_mut();
        let fields = fields.ok_or("set needs a dictionary")?;
        match arguments {
            [_, key] => {
                fields.remove(&*functions::text(key));
            }
            [_, key, value] => {
                fields.insert(functions::text(key).into_owned(), value.clone());
            }
            _ => return Err("set needs a key and a value"),
        }
        Ok(Value::Null)
    }

    fn operand(&mut self, operand: &Operand, dot: &Value) -> Result<Value, Wrong> {
        let base = match &operand.base {
            Base::Dot => dot.clone(),
            Base::Variable(name) => self.variable(name)?.clone(),
            Base::Literal(value) => value.clone(),
            Base::Group(pipeline) => self.value_of(pipeline, dot)?,
            Base::Function(name) => functions::call(name, &[])?,
        };
        let fields = operand.fields.iter();
        Ok(fields.fold(base, |mut value, field| {
            value.get_mut(field).map(Value::take).unwrap_or_default()
        }))
    }
}
