//! Typed access to the keys of a YAML mapping.
//!
//! Scalars are read as Go reads them for policy files: a number where text is wanted is its text,
//! `yes` is true. Which keys there are is the business of [`super::definition`].

use serde_yaml::{Mapping, Value};
use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

/// A key whose value has the wrong shape.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Error {
    key: String,
    wanted: &'static str,
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "`{}` must be {}", self.key, self.wanted)
    }
}

impl std::error::Error for Error {}

/// The error of a key that must be `wanted`.
pub fn wrong(key: &str, wanted: &'static str) -> Error {
    Error {
        key: key.to_owned(),
        wanted,
    }
}

/// Text of a scalar; lists, mappings and null have none.
pub fn scalar(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        Value::Bool(truth) => Some(truth.to_string()),
        _ => None,
    }
}

/// Typed access to the keys of one mapping; a key that is absent or null reads as its default.
pub struct Keys<'a> {
    mapping: &'a Mapping,
}

impl<'a> Keys<'a> {
    /// The keys of a mapping; `what` names it in the error.
    pub fn of(value: &'a Value, what: &str) -> Result<Keys<'a>, Error> {
        let mapping = value.as_mapping();
        mapping
            .map(|mapping| Keys { mapping })
            .ok_or_else(|| wrong(what, "a mapping of keys to values"))
    }

    /// The value of a key, when there is one and it is not null.
    pub fn get(&self, key: &str) -> Option<&'a Value> {
        self.mapping.get(key).filter(|value| !value.is_null())
    }

    /// A sentence for each key that is not among `known`.
    pub fn unknown(&self, known: &[&str], owner: &str) -> Vec<String> {
        let names = self
            .mapping
            .keys()
            .map(|key| scalar(key).unwrap_or_default());
        names
            .filter(|name| !known.contains(&name.as_str()))
            .map(|name| format!("the key `{name}` of {owner} is not known and has no effect"))
            .collect()
    }

    /// Text, or "".
    pub fn text(&self, key: &str) -> Result<String, Error> {
        match self.get(key) {
            None => Ok(String::new()),
            Some(value) => scalar(value).ok_or_else(|| wrong(key, "text")),
        }
    }

    /// A whole number, or 0.
    pub fn integer(&self, key: &str) -> Result<i64, Error> {
        let value = self.get(key);
        value.map_or(Ok(0), |value| {
            value.as_i64().ok_or_else(|| wrong(key, "a whole number"))
        })
    }

    /// A truth value, or false.
    pub fn boolean(&self, key: &str) -> Result<bool, Error> {
        match self.text(key)?.to_ascii_lowercase().as_str() {
            "true" | "yes" | "on" => Ok(true),
            "" | "false" | "no" | "off" => Ok(false),
            _ => Err(wrong(key, "true or false")),
        }
    }

    /// A list, or the empty one.
    pub fn sequence(&self, key: &str) -> Result<&'a [Value], Error> {
        match self.get(key) {
            None => Ok(&[]),
            Some(Value::Sequence(items)) => Ok(items),
            Some(_) => Err(wrong(key, "a list")),
        }
    }

    /// A list of texts, or the empty one; a single text is a list of one.
    pub fn texts(&self, key: &str) -> Result<Vec<String>, Error> {
        if let Some(text) = self.get(key).and_then(scalar) {
            return Ok(vec![text]);
        }
        let items = self.sequence(key)?;
        items
            .iter()
            .map(|item| scalar(item).ok_or_else(|| wrong(key, "a list of texts")))
            .collect()
    }

    /// A mapping of names to texts, or the empty one.
    pub fn texts_by_name(&self, key: &str) -> Result<BTreeMap<String, String>, Error> {
        let error = || wrong(key, "a mapping of names to texts");
        let Some(value) = self.get(key) else {
            return Ok(BTreeMap::new());
        };
        let mapping = value.as_mapping().ok_or_else(error)?;
        let entry = |(name, value): (&Value, &Value)| {
            let value = if value.is_null() {
                Some(String::new())
            } else {
                scalar(value)
            };
            Ok((scalar(name).ok_or_else(error)?, value.ok_or_else(error)?))
        };
        mapping.iter().map(entry).collect()
    }

    /// A duration such as `1h30m`, or a number of nanoseconds.
    pub fn duration(&self, key: &str) -> Result<Option<Duration>, Error> {
        let text = self.text(key)?;
        if text.is_empty() {
            return Ok(None);
        }
        let error = || wrong(key, "a duration such as `30s` or `1h30m`, or nanoseconds");
        parse_duration(&text).map(Some).ok_or_else(error)
    }
}

/// Reads `1h30m`, `1.5s`, `300ms`, or a plain number of nanoseconds.
fn parse_duration(text: &str) -> Option<Duration> {
    if text.bytes().all(|byte| byte.is_ascii_digit()) {
        return text.parse().ok().map(Duration::from_nanos);
    }
    let mut total = Duration::ZERO;
    let mut rest = text;
    while !rest.is_empty() {
        let unit_at = rest.find(|c: char| !c.is_ascii_digit() && c != '.')?;
        let (number, tail) = rest.split_at_checked(unit_at)?;
        let end = tail
            .find(|c: char| c.is_ascii_digit() || c == '.')
            .unwrap_or(tail.len());
        let (unit, tail) = tail.split_at_checked(end)?;
        let seconds = number.parse::<f64>().ok()? * unit_seconds(unit)?;
        total = total.checked_add(Duration::try_from_secs_f64(seconds).ok()?)?;
        rest = tail;
    }
    Some(total)
}

fn unit_seconds(unit: &str) -> Option<f64> {
    match unit {
        "ns" => Some(1e-9),
        "us" | "µs" | "μs" => Some(1e-6),
        "ms" => Some(1e-3),
        "s" => Some(1.0),
        "m" => Some(60.0),
        "h" => Some(3600.0),
        "d" => Some(86_400.0),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations() {
        let table = [
            ("0", Some(0)),
            ("0s", Some(0)),
            ("1500", Some(1500)),
            ("300ms", Some(300_000_000)),
            ("1h30m", Some(5_400_000_000_000)),
            ("1.5s", Some(1_500_000_000)),
            ("5us", Some(5000)),
            ("-1s", None),
            ("1", Some(1)),
            ("1w", None),
            ("s", None),
            ("1..5s", None),
            ("99999999999999999999", None),
            ("99999999999999999999h", None),
        ];
        for (text, nanoseconds) in table {
            let found = parse_duration(text).map(|duration| duration.as_nanos());
            assert_eq!(found, nanoseconds, "{text}");
        }
    }
}
