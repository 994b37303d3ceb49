//! Values of a chart: reading them, laying them over the defaults, and what is unknown in them.

use serde_json::{Map, Value};
use serde_yaml::Value as Yaml;

use super::Error;
use crate::secl::nearest_within;

/// Sentences about unknown keys; a file of something else entirely has no end of them.
const MAX_UNKNOWN: usize = 40;
/// Bytes of a name that is compared: the cost is quadratic, and no known one is longer.
const COMPARED: usize = 128;
/// Longest distance of a name to the one that is suggested.
const FAR: usize = 3;

/// What a text of YAML holds; an empty one holds an empty object.
pub(super) fn read(text: &str) -> Result<Value, Error> {
    let malformed = |error: serde_yaml::Error| Error::Malformed(error.to_string());
    let mut yaml: Yaml = serde_yaml::from_str(text).map_err(malformed)?;
    yaml.apply_merge().map_err(malformed)?;
    match to_json(yaml) {
        Value::Null => Ok(Value::Object(Map::new())),
        object @ Value::Object(_) => Ok(object),
        _ => Err(Error::NotValues),
    }
}

fn to_json(yaml: Yaml) -> Value {
    match yaml {
        Yaml::Null => Value::Null,
        Yaml::Bool(flag) => flag.into(),
        Yaml::String(text) => text.into(),
        Yaml::Number(number) => match (number.as_i64(), number.as_u64(), number.as_f64()) {
            (Some(number), ..) => number.into(),
            (_, Some(number), _) => number.into(),
            (.., number) => number.into(),
        },
        Yaml::Sequence(items) => items.into_iter().map(to_json).collect(),
        Yaml::Mapping(fields) => {
            let fields = fields.into_iter();
            let fields = fields.map(|(key, value)| (name_of(key), to_json(value)));
            Value::Object(fields.collect())
        }
        Yaml::Tagged(tagged) => to_json(tagged.value),
    }
}

/// A key as text; YAML knows others.
fn name_of(key: Yaml) -> String {
    match to_json(key) {
        Value::String(text) => text,
        other => other.to_string(),
    }
}

/// Given values over defaults, as Helm does it: null takes a default away.
pub(super) fn laid_over(defaults: Value, given: Value) -> Value {
    match (defaults, given) {
        (Value::Object(mut defaults), Value::Object(given)) => {
            for (key, value) in given {
                match (defaults.remove(&key), value) {
                    (_, Value::Null) => {}
                    (Some(default), value) => {
                        defaults.insert(key, laid_over(default, value));
                    }
                    (None, value) => {
                        defaults.insert(key, value);
                    }
                }
            }
            Value::Object(defaults)
        }
        (_, given) => given,
    }
}

/// Sets a value by its dotted name; sections on the way are made.
pub(super) fn set(values: &mut Value, name: &str, value: Value) {
    let mut place = values;
    for part in name.split('.') {
        if !place.is_object() {
            *place = Value::Object(Map::new());
        }
        let Value::Object(fields) = place else { return };
        place = fields.entry(part).or_insert(Value::Null);
    }
    *place = value;
}

/// Uses this image, which may have a tag or a digest.
pub(super) fn set_image(values: &mut Value, image: &str) {
    let (image, digest) = image.split_once('@').unwrap_or((image, ""));
    // A colon before the last slash is that of a port.
    let name = image.rfind('/').map_or(0, |slash| slash + 1);
    let colon = image.rfind(':').filter(|colon| *colon > name);
    let (repository, tag) = match colon.and_then(|colon| image.split_at_checked(colon)) {
        Some((repository, tag)) => (repository, tag.trim_start_matches(':')),
        None if digest.is_empty() => (image, "latest"),
        None => (image, ""),
    };
    for (key, text) in [("repository", repository), ("tag", tag), ("digest", digest)] {
        set(values, &format!("agents.image.{key}"), text.into());
    }
}

/// Says which of the given keys the chart does not know. Words that mean yes and no in older YAML
/// become flags where the chart has one, as they do with Helm.
pub(super) fn check(given: &mut Value, defaults: &Value, warnings: &mut Vec<String>) {
    let mut known = Vec::new();
    collect(defaults, "", &mut known);
    let mut checking = Checking {
        known: &known,
        unknown: Vec::new(),
    };
    if let Some(slip) = given.get_mut("securityAgent") {
        // The notes of the chart say where it belongs.
        let right = &defaults["datadog"]["securityAgent"];
        checking.walk(slip, right, "datadog.securityAgent");
    }
    checking.walk(given, defaults, "");
    let more = checking.unknown.len().saturating_sub(MAX_UNKNOWN);
    warnings.extend(checking.unknown.into_iter().take(MAX_UNKNOWN));
    if more > 0 {
        warnings.push(format!("{more} more keys have no effect either"));
    }
}

struct Checking<'a> {
    known: &'a [String],
    unknown: Vec<String>,
}

impl Checking<'_> {
    fn walk(&mut self, given: &mut Value, defaults: &Value, path: &str) {
        let (Value::Object(given), Value::Object(defaults)) = (given, defaults) else {
            return;
        };
        for (key, value) in given {
            let name = joined(path, key);
            match defaults.get(key) {
                None if name == "securityAgent" => {}
                None => self.unknown.push(unknown(&name, self.known)),
                Some(Value::Bool(_) | Value::Null) => as_flag(value),
                // An empty one is the user's own.
                Some(Value::Object(section)) if section.is_empty() => {}
                Some(section @ Value::Object(_)) if value.is_object() || value.is_null() => {
                    self.walk(value, section, &name);
                }
                Some(Value::Object(_)) => self.unknown.push(no_section(&name)),
                Some(_) => {}
            }
        }
    }
}

/// The sentence about a value where a section belongs.
pub(super) fn no_section(name: &str) -> String {
    format!("`{name}` has no effect: it must hold further keys")
}

/// The sentence about a key that has no effect, with the nearest one that has.
pub(super) fn unknown(name: &str, known: &[String]) -> String {
    match nearest(name, known) {
        Some(nearest) => format!("`{name}` has no effect; did you mean `{nearest}`?"),
        None => format!("`{name}` has no effect"),
    }
}

/// The known key that looks most like this one, or the only one that is called so elsewhere.
fn nearest(name: &str, known: &[String]) -> Option<String> {
    let key = name.rsplit('.').next().unwrap_or(name);
    let near = (key.len() / 3).clamp(1, FAR);
    if name.len() <= COMPARED {
        if let Some(similar) = nearest_within(name, known, near) {
            return Some(similar);
        }
    }
    let ending = format!(".{key}");
    let mut called_so = known.iter().filter(|other| other.ends_with(&ending));
    match (called_so.next(), called_so.next()) {
        (Some(only), None) => Some(only.clone()),
        _ => None,
    }
}

fn joined(path: &str, key: &str) -> String {
    match path {
        "" => key.to_owned(),
        path => format!("{path}.{key}"),
    }
}

/// Every name in these values, those of sections as well.
fn collect(values: &Value, path: &str, names: &mut Vec<String>) {
    let Value::Object(fields) = values else {
        return;
    };
    for (key, value) in fields {
        let name = joined(path, key);
        collect(value, &name, names);
        names.push(name);
    }
}

fn as_flag(value: &mut Value) {
    let flag = match value.as_str() {
        Some("yes" | "Yes" | "YES" | "on" | "On" | "ON" | "y" | "Y") => true,
        Some("no" | "No" | "NO" | "off" | "Off" | "OFF" | "n" | "N") => false,
        _ => return,
    };
    *value = flag.into();
}
