//! The functions that the chart calls.

use std::borrow::Cow;
use std::time::SystemTime;

use serde_json::{json, Map, Value};

use super::Wrong;
use crate::http::base64;
use crate::kube::certificate;
use crate::kube::render::values;

/// The value of a function.
pub(super) fn call(name: &str, arguments: &[Value]) -> Result<Value, Wrong> {
    Ok(match (name, arguments) {
        ("default", [fallback, value]) => if_true(value).unwrap_or(fallback).clone(),
        ("or", [.., last]) => arguments.iter().find_map(if_true).unwrap_or(last).clone(),
        ("and", [.., last]) => {
            let mut false_ones = arguments.iter().filter(|value| !is_true(value));
            false_ones.next().unwrap_or(last).clone()
        }
        ("not", [value]) => (!is_true(value)).into(),
        ("eq", [one, others @ ..]) => others.contains(one).into(),
        ("ne", [one, other]) => (one != other).into(),
        ("sub", [one, other]) => integer(one).saturating_sub(integer(other)).into(),
        ("max", [one, other]) => integer(one).max(integer(other)).into(),
        ("list", items) => items.into(),
        ("dict", pairs) => dictionary(pairs),
        ("get", [fields, key]) => fields.get(&*text(key)).cloned().unwrap_or("".into()),
        ("hasKey", [fields, key]) => fields.get(&*text(key)).is_some().into(),
        ("hasPrefix", [part, value]) => text(value).starts_with(&*text(part)).into(),
        ("lookup", [_, _, _, _]) => Value::Object(Map::new()),
        ("fromYaml", [value]) => values::read(&text(value)).map_err(|_| "no YAML")?,
        ("toYaml", [value]) => {
            let text = serde_yaml::to_string(value).map_err(|_| "no value of YAML")?;
            text.trim_end().into()
        }
        ("genSelfSignedCert", [_, _, Value::Array(names), _]) => {
            let names: Vec<String> = names.iter().map(|name| text(name).into_owned()).collect();
            let made =
                certificate::make(&names, SystemTime::now()).ok_or("no certificate can be made")?;
            json!({"Cert": made.certificate, "Key": made.key})
        }
        (_, [.., last]) => of_text(name, arguments, &text(last))?.into(),
        _ => return Err("an unknown function"),
    })
}

/// Functions whose last argument is a text, or becomes one.
fn of_text(name: &str, arguments: &[Value], last: &str) -> Result<String, Wrong> {
    Ok(match (name, arguments) {
        ("toString", [Value::Null]) => "<nil>".to_owned(),
        ("toString", [_]) => last.to_owned(),
        ("quote", [Value::Null]) => String::new(),
        ("quote", [_]) => Value::from(last).to_string(),
        ("trim", [_]) => last.trim().to_owned(),
        ("b64enc", [_]) => base64(last.as_bytes()),
        ("trimPrefix", [part, _]) => last.strip_prefix(&*text(part)).unwrap_or(last).to_owned(),
        ("trimSuffix", [part, _]) => last.strip_suffix(&*text(part)).unwrap_or(last).to_owned(),
        ("trunc", [length, _]) => {
            let length = length.as_u64().unwrap_or(0) as usize;
            last.chars().take(length).collect()
        }
        ("nindent", [width, _]) => {
            let width = width.as_u64().unwrap_or(0) as usize;
            let begin = format!("\n{}", " ".repeat(width));
            format!("{begin}{}", last.replace('\n', &begin))
        }
        ("join", [separator, Value::Array(items)]) => {
            let items: Vec<Cow<'_, str>> = items.iter().map(text).collect();
            items.join(&text(separator))
        }
        ("printf", [Value::String(form), others @ ..]) => {
            let fill = |form: String, value| form.replacen("%s", &text(value), 1);
            others.iter().fold(form.clone(), fill)
        }
        _ => return Err("an unknown function, or one with other arguments"),
    })
}

fn integer(value: &Value) -> i64 {
    text(value).parse().unwrap_or(0)
}

fn dictionary(pairs: &[Value]) -> Value {
    let pairs = pairs.chunks(2).map(|pair| match pair {
        [key, value] => (text(key).into_owned(), value.clone()),
        _ => (String::new(), Value::Null),
    });
    pairs.collect()
}

fn if_true(value: &Value) -> Option<&Value> {
    is_true(value).then_some(value)
}

/// Whether Go takes it for true: not zero and not empty.
pub(super) fn is_true(value: &Value) -> bool {
    match value {
        Value::Null => false,
        Value::Bool(flag) => *flag,
        Value::Number(number) => number.as_f64() != Some(0.0),
        Value::String(text) => !text.is_empty(),
        Value::Array(items) => !items.is_empty(),
        Value::Object(fields) => !fields.is_empty(),
    }
}

/// How a value is printed.
pub(super) fn text(value: &Value) -> Cow<'_, str> {
    match value {
        Value::Null => "".into(),
        Value::String(text) => text.as_str().into(),
        other => other.to_string().into(),
    }
}
