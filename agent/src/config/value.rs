//! Values of configuration keys: from text or YAML to something typed.
//!
//! A kind and what stands in a file or in the environment enter; a [`Value`] leaves, or a phrase
//! that says what would have been right, for the caller to put into a sentence.

use std::time::Duration;

use serde_yaml::Value as Yaml;

/// What the value of a key is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// True or false.
    Flag,
    /// A whole number from 0.
    Count,
    /// A span of time.
    Duration,
    /// Any text.
    Text,
    /// Texts in order.
    List,
    /// A number of bytes.
    Size,
    /// Lists and objects as YAML and JSON know them.
    Json,
}

impl Kind {
    /// Its name in documentation.
    pub fn name(self) -> &'static str {
        match self {
            Kind::Flag => "flag",
            Kind::Count => "count",
            Kind::Duration => "duration",
            Kind::Text => "text",
            Kind::List => "list",
            Kind::Size => "size",
            Kind::Json => "json",
        }
    }

    /// What a right value looks like, for messages.
    pub fn expected(self) -> &'static str {
        match self {
            Kind::Flag => "true or false",
            Kind::Count => "a whole number from 0",
            Kind::Duration => "a duration such as 500ms, 10s or 1h30m",
            Kind::Text => "a text",
            Kind::List => "a list of texts",
            Kind::Size => "a number of bytes such as 5000000, 512Kb or 10Mb",
            Kind::Json => "a list or an object",
        }
    }
}

/// The value of a key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Value {
    /// See [`Kind::Flag`].
    Flag(bool),
    /// See [`Kind::Count`].
    Count(u64),
    /// See [`Kind::Duration`].
    Duration(Duration),
    /// See [`Kind::Text`].
    Text(String),
    /// See [`Kind::List`].
    List(Vec<String>),
    /// See [`Kind::Size`].
    Size(u64),
    /// See [`Kind::Json`].
    Json(serde_json::Value),
}

/// The text or the YAML is not of the kind; [`Kind::expected`] says what would be.
#[derive(Debug, PartialEq, Eq)]
pub struct WrongKind;

impl Value {
    /// Reads a value as it stands in the environment. Lists are separated by white space, or a
    /// JSON array; numbers alone are seconds where a duration is wanted.
    pub fn from_text(kind: Kind, text: &str) -> Result<Value, WrongKind> {
        let trimmed = text.trim();
        match kind {
            Kind::Flag => flag(trimmed).map(Value::Flag),
            Kind::Count => trimmed.parse().ok().map(Value::Count),
            Kind::Duration => duration(trimmed).map(Value::Duration),
            Kind::Text => Some(Value::Text(trimmed.to_owned())),
            Kind::List => list(trimmed).map(Value::List),
            Kind::Size => size(trimmed).map(Value::Size),
            Kind::Json => json(trimmed).map(Value::Json),
        }
        .ok_or(WrongKind)
    }

    /// Reads a value as it stands in a file. Quoted flags, numbers and durations are understood.
    pub fn from_yaml(kind: Kind, yaml: &Yaml) -> Result<Value, WrongKind> {
        match (kind, yaml) {
            (Kind::List, Yaml::Sequence(items)) => {
                let items: Option<Vec<String>> = items.iter().map(scalar).collect();
                items.map(Value::List).ok_or(WrongKind)
            }
            (Kind::Json, Yaml::Sequence(_) | Yaml::Mapping(_)) => serde_json::to_value(yaml)
                .map(Value::Json)
                .map_err(|_| WrongKind),
            _ => Value::from_text(kind, &scalar(yaml).ok_or(WrongKind)?),
        }
    }
}

impl Value {
    /// The value as JSON has it; durations are texts such as `1h30m`.
    pub fn to_json(&self) -> serde_json::Value {
        match self {
            Value::Flag(flag) => (*flag).into(),
            Value::Count(number) | Value::Size(number) => (*number).into(),
            Value::Duration(duration) => duration_text(*duration).into(),
            Value::Text(text) => text.as_str().into(),
            Value::List(items) => items.as_slice().into(),
            Value::Json(value) => value.clone(),
        }
    }
}

/// A duration as [`Value::from_text`] reads it.
fn duration_text(duration: Duration) -> String {
    let (seconds, below) = (duration.as_secs(), duration.subsec_nanos());
    if duration.is_zero() {
        return "0s".to_owned();
    }
    let parts = [
        (seconds / 3600, "h"),
        (seconds / 60 % 60, "m"),
        (seconds % 60, "s"),
        (u64::from(below / 1_000_000), "ms"),
        (u64::from(below / 1_000 % 1_000), "us"),
        (u64::from(below % 1_000), "ns"),
    ];
    let parts = parts.into_iter().filter(|(number, _)| *number > 0);
    parts
        .map(|(number, unit)| format!("{number}{unit}"))
        .collect()
}

fn scalar(yaml: &Yaml) -> Option<String> {
    match yaml {
        Yaml::Bool(value) => Some(value.to_string()),
        Yaml::Number(value) => Some(value.to_string()),
        Yaml::String(value) => Some(value.clone()),
        _ => None,
    }
}

fn flag(text: &str) -> Option<bool> {
    match text.to_ascii_lowercase().as_str() {
        "true" | "t" | "yes" | "y" | "on" | "1" => Some(true),
        "false" | "f" | "no" | "n" | "off" | "0" => Some(false),
        _ => None,
    }
}

/// A JSON array, or words; the first of them may be a pattern that begins with a set, as `[ev]th0`.
fn list(text: &str) -> Option<Vec<String>> {
    let is_json = |inside: &str| {
        let inside = inside.trim_start();
        inside.starts_with(['"', ']']) || !inside.contains(']')
    };
    if text.strip_prefix('[').is_some_and(is_json) {
        return serde_json::from_str(text).ok();
    }
    Some(text.split_whitespace().map(String::from).collect())
}

/// A number, and K, M or G for powers of 1,000 or Ki, Mi or Gi for powers of 1,024, with a B that
/// says nothing.
fn size(text: &str) -> Option<u64> {
    let (number, unit) = split_while(text, |c| c.is_ascii_digit());
    let unit = unit.trim().to_ascii_lowercase();
    let factor = match unit.strip_suffix('b').unwrap_or(&unit) {
        "" => 1,
        "k" => 1_000,
        "m" => 1_000_000,
        "g" => 1_000_000_000,
        "ki" => 1 << 10,
        "mi" => 1 << 20,
        "gi" => 1 << 30,
        _ => return None,
    };
    number.parse::<u64>().ok()?.checked_mul(factor)
}

fn json(text: &str) -> Option<serde_json::Value> {
    let value: serde_json::Value = serde_json::from_str(text).ok()?;
    (value.is_array() || value.is_object()).then_some(value)
}

/// Sums parts such as `1h30m`; a number without a unit is seconds.
fn duration(text: &str) -> Option<Duration> {
    if let Ok(seconds) = text.parse() {
        return Some(Duration::from_secs(seconds));
    }
    let mut rest = text;
    let mut total = Duration::ZERO;
    while !rest.is_empty() {
        let (number, after) = split_while(rest, |c| c.is_ascii_digit() || c == '.');
        let (unit, after) = split_while(after, |c| !c.is_ascii_digit() && c != '.');
        let seconds = number.parse::<f64>().ok()? * unit_seconds(unit)?;
        total = total.checked_add(Duration::try_from_secs_f64(seconds).ok()?)?;
        rest = after;
    }
    (!text.is_empty()).then_some(total)
}

fn unit_seconds(unit: &str) -> Option<f64> {
    match unit {
        "ns" => Some(1e-9),
        "us" | "µs" => Some(1e-6),
        "ms" => Some(1e-3),
        "s" => Some(1.0),
        "m" => Some(60.0),
        "h" => Some(3600.0),
        _ => None,
    }
}

fn split_while(text: &str, belongs: impl Fn(char) -> bool) -> (&str, &str) {
    let end = text.find(|c| !belongs(c)).unwrap_or(text.len());
    text.split_at_checked(end).unwrap_or((text, ""))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_becomes_values() {
        let seconds = |s| Some(Value::Duration(Duration::from_secs(s)));
        let list =
            |items: &[&str]| Some(Value::List(items.iter().map(|i| i.to_string()).collect()));
        let cases = [
            (Kind::Flag, " True ", Some(Value::Flag(true))),
            (Kind::Flag, "0", Some(Value::Flag(false))),
            (Kind::Flag, "flase", None),
            (Kind::Flag, "", None),
            (Kind::Count, "10000", Some(Value::Count(10000))),
            (Kind::Count, "-1", None),
            (Kind::Count, "99999999999999999999", None),
            (Kind::Duration, "6s", seconds(6)),
            (Kind::Duration, "1h30m", seconds(5400)),
            (
                Kind::Duration,
                "1500ms",
                Some(Value::Duration(Duration::from_millis(1500))),
            ),
            (Kind::Duration, "20", seconds(20)),
            (Kind::Duration, "", None),
            (Kind::Duration, "s", None),
            (Kind::Duration, "5 parsecs", None),
            (Kind::Duration, "999999999999999999999h", None),
            (Kind::Text, " x ", Some(Value::Text("x".into()))),
            (Kind::List, "a b  c", list(&["a", "b", "c"])),
            (Kind::List, r#"["a b", "c"]"#, list(&["a b", "c"])),
            (Kind::List, "[ev]th* lo", list(&["[ev]th*", "lo"])),
            (Kind::List, "[1", None),
            (Kind::List, "[ev]th[0-9]", list(&["[ev]th[0-9]"])),
            (Kind::List, "[ ]", list(&[])),
            (Kind::List, "[\"a", None),
            (Kind::List, "", list(&[])),
            (Kind::Size, "10Mb", Some(Value::Size(10_000_000))),
            (Kind::Size, "64 KiB", Some(Value::Size(65_536))),
            (Kind::Size, "7", Some(Value::Size(7))),
            (Kind::Size, "7 miles", None),
            (Kind::Size, "99999999999G", None),
            (Kind::Json, "[1]", Some(Value::Json(serde_json::json!([1])))),
            (Kind::Json, "1", None),
        ];
        for (kind, text, expected) in cases {
            assert_eq!(
                Value::from_text(kind, text).ok(),
                expected,
                "{kind:?} {text:?}"
            );
        }
    }

    #[test]
    fn values_become_json_that_is_read_as_the_same() {
        let cases = [
            (Kind::Duration, "0s", "0s"),
            (Kind::Duration, "90s", "1m30s"),
            (Kind::Duration, "26h", "26h"),
            (Kind::Duration, "1500ms", "1s500ms"),
            (Kind::Size, "64KiB", "65536"),
            (Kind::Flag, "yes", "true"),
            (Kind::Json, "{\"a\": [1]}", "{\"a\":[1]}"),
        ];
        for (kind, text, expected) in cases {
            let value = Value::from_text(kind, text).unwrap();
            let json = value.to_json();
            let again = json
                .as_str()
                .map_or_else(|| json.to_string(), str::to_owned);
            assert_eq!(again, expected, "{text}");
            assert_eq!(Value::from_text(kind, &again), Ok(value), "{text}");
        }
    }

    #[test]
    fn yaml_becomes_values() {
        let cases = [
            (Kind::Flag, "true", true),
            (Kind::Flag, "'false'", true),
            (Kind::Flag, "{a: 1}", false),
            (Kind::Count, "7", true),
            (Kind::Count, "7.5", false),
            (Kind::Text, "5", true),
            (Kind::Text, "[a]", false),
            (Kind::List, "[a, 1]", true),
            (Kind::List, "[[a]]", false),
            (Kind::List, "a b", true),
        ];
        for (kind, text, right) in cases {
            let yaml: Yaml = serde_yaml::from_str(text).unwrap();
            assert_eq!(
                Value::from_yaml(kind, &yaml).is_ok(),
                right,
                "{kind:?} {text}"
            );
        }
    }
}
