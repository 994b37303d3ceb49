//! The keys of a policy file, typed.
//!
//! A YAML tree enters, definitions of rules and macros leave, each on its own: an item with a key
//! of the wrong shape is an error of that item and the others stay. Scalars are read as Go reads
//! them for such files (a number where text is wanted is its text, `yes` is true). What the
//! definitions mean together is decided in [`super::merge`].

use serde_yaml::{Mapping, Value};
use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

/// Rules and macros that one file may hold.
const MAX_ITEMS: usize = 20_000;

const POLICY_KEYS: &[&str] = &["version", "type", "macros", "rules", "name", "description"];
const RULE_KEYS: &[&str] = &[
    "id",
    "version",
    "expression",
    "description",
    "tags",
    "product_tags",
    "agent_version",
    "filters",
    "disabled",
    "combine",
    "override_options",
    "actions",
    "every",
    "limiter_token",
    "silent",
    "group_id",
    "priority",
];
const MACRO_KEYS: &[&str] = &[
    "id",
    "expression",
    "values",
    "description",
    "agent_version",
    "filters",
    "combine",
];

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

/// A whole file.
#[derive(Debug, Default)]
pub struct Policy {
    /// `version`, or "".
    pub version: String,
    /// The items of `rules`, in order.
    pub rules: Vec<Item<Rule>>,
    /// The items of `macros`, in order.
    pub macros: Vec<Item<Macro>>,
    /// Sentences about keys that have no effect.
    pub warnings: Vec<String>,
}

/// An item of a list: its id as far as it could be read, and what was read.
#[derive(Debug)]
pub struct Item<T> {
    /// The id, or "".
    pub id: String,
    /// The definition, or the first key that cannot be read.
    pub definition: Result<T, Error>,
}

/// How a definition joins an earlier one with the same id.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Combine {
    /// It does not: the same id twice is an error.
    #[default]
    None,
    /// The values of macros are joined.
    Merge,
    /// The later one replaces the earlier one, or the parts that it names.
    Override,
}

/// A part of a rule that an override replaces (`override_options.fields`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OverrideField {
    /// The whole rule.
    All,
    /// Its expression.
    Expression,
    /// Its actions.
    Actions,
    /// Its limiter.
    Every,
    /// Its tags.
    Tags,
    /// Its product tags.
    ProductTags,
}

/// Conditions on the agent and the host under which a definition counts.
#[derive(Debug, Clone, Default)]
pub struct Conditions {
    /// `agent_version`, a version constraint, or "".
    pub agent_version: String,
    /// `filters`: expressions of which one must be true; none means always.
    pub filters: Vec<String>,
}

/// One item of `rules`.
#[derive(Debug, Clone, Default)]
pub struct Rule {
    /// `id`, or "".
    pub id: String,
    /// `version`, or "".
    pub version: String,
    /// `expression`, or "".
    pub expression: String,
    /// `description`, or "".
    pub description: String,
    /// `tags`.
    pub tags: BTreeMap<String, String>,
    /// `product_tags`.
    pub product_tags: Vec<String>,
    /// `agent_version` and `filters`.
    pub conditions: Conditions,
    /// `disabled`.
    pub disabled: bool,
    /// `combine`.
    pub combine: Combine,
    /// `override_options.fields`.
    pub override_fields: Vec<OverrideField>,
    /// `actions`, as written.
    pub actions: Vec<Value>,
    /// `every`.
    pub every: Option<Duration>,
    /// `limiter_token`.
    pub limiter_token: Vec<String>,
    /// `silent`.
    pub silent: bool,
    /// `group_id`.
    pub group_id: Option<String>,
    /// `priority`.
    pub priority: i64,
}

/// One item of `macros`.
#[derive(Debug, Clone, Default)]
pub struct Macro {
    /// `id`, or "".
    pub id: String,
    /// `expression`, or "".
    pub expression: String,
    /// `values`.
    pub values: Vec<String>,
    /// `agent_version` and `filters`.
    pub conditions: Conditions,
    /// `combine`.
    pub combine: Combine,
}

/// Reads a whole file; only the shape of the file itself can fail it.
pub fn policy(document: &Value) -> Result<Policy, Error> {
    let root = Keys::of(document, "a policy")?;
    let rule_items = root.sequence("rules")?;
    let macro_items = root.sequence("macros")?;
    if rule_items.len().saturating_add(macro_items.len()) > MAX_ITEMS {
        return Err(wrong("rules", "a list of at most 20,000 items; split the policy"));
    }
    let mut policy = Policy {
        version: root.text("version")?,
        ..Policy::default()
    };
    policy.warnings = root.unknown(POLICY_KEYS, "the policy");
    for item in rule_items {
        let owner = format!("rule `{}`", id_of(item));
        policy.warnings.extend(unknown_keys(item, RULE_KEYS, &owner));
        policy.rules.push(Item {
            id: id_of(item),
            definition: Keys::of(item, "a rule").and_then(|keys| rule(&keys)),
        });
    }
    for item in macro_items {
        let owner = format!("macro `{}`", id_of(item));
        policy.warnings.extend(unknown_keys(item, MACRO_KEYS, &owner));
        policy.macros.push(Item {
            id: id_of(item),
            definition: Keys::of(item, "a macro").and_then(|keys| macro_definition(&keys)),
        });
    }
    Ok(policy)
}

fn id_of(item: &Value) -> String {
    item.get("id").and_then(scalar).unwrap_or_default()
}

fn unknown_keys(item: &Value, known: &[&str], owner: &str) -> Vec<String> {
    item.as_mapping()
        .map(|mapping| Keys { mapping }.unknown(known, owner))
        .unwrap_or_default()
}

fn rule(keys: &Keys<'_>) -> Result<Rule, Error> {
    Ok(Rule {
        id: keys.text("id")?,
        version: keys.text("version")?,
        expression: keys.text("expression")?,
        description: keys.text("description")?,
        tags: keys.texts_by_name("tags")?,
        product_tags: keys.texts("product_tags")?,
        conditions: conditions(keys)?,
        disabled: keys.boolean("disabled")?,
        combine: combine(keys)?,
        override_fields: override_fields(keys)?,
        actions: keys.sequence("actions")?.to_vec(),
        every: keys.duration("every")?,
        limiter_token: keys.texts("limiter_token")?,
        silent: keys.boolean("silent")?,
        group_id: Some(keys.text("group_id")?).filter(|id| !id.is_empty()),
        priority: keys.integer("priority")?,
    })
}

fn macro_definition(keys: &Keys<'_>) -> Result<Macro, Error> {
    Ok(Macro {
        id: keys.text("id")?,
        expression: keys.text("expression")?,
        values: keys.texts("values")?,
        conditions: conditions(keys)?,
        combine: combine(keys)?,
    })
}

fn conditions(keys: &Keys<'_>) -> Result<Conditions, Error> {
    Ok(Conditions {
        agent_version: keys.text("agent_version")?,
        filters: keys.texts("filters")?,
    })
}

fn combine(keys: &Keys<'_>) -> Result<Combine, Error> {
    match keys.text("combine")?.as_str() {
        "" => Ok(Combine::None),
        "merge" => Ok(Combine::Merge),
        "override" => Ok(Combine::Override),
        _ => Err(wrong("combine", "`merge` or `override`")),
    }
}

fn override_fields(keys: &Keys<'_>) -> Result<Vec<OverrideField>, Error> {
    let Some(options) = keys.get("override_options") else {
        return Ok(Vec::new());
    };
    let names = Keys::of(options, "override_options")?.texts("fields")?;
    let field = |name: &String| match name.as_str() {
        "all" => Ok(OverrideField::All),
        "expression" => Ok(OverrideField::Expression),
        "actions" => Ok(OverrideField::Actions),
        "every" => Ok(OverrideField::Every),
        "tags" => Ok(OverrideField::Tags),
        "product_tags" => Ok(OverrideField::ProductTags),
        _ => Err(wrong(
            "override_options.fields",
            "some of `all`, `expression`, `actions`, `every`, `tags` and `product_tags`",
        )),
    };
    names.iter().map(field).collect()
}

fn wrong(key: &str, wanted: &'static str) -> Error {
    Error {
        key: key.to_owned(),
        wanted,
    }
}

/// Text of a scalar; lists, mappings and null have none.
fn scalar(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        Value::Bool(truth) => Some(truth.to_string()),
        _ => None,
    }
}

/// Typed access to the keys of one mapping; a key that is absent or null reads as its default.
struct Keys<'a> {
    mapping: &'a Mapping,
}

impl<'a> Keys<'a> {
    fn of(value: &'a Value, what: &str) -> Result<Keys<'a>, Error> {
        let mapping = value.as_mapping();
        mapping
            .map(|mapping| Keys { mapping })
            .ok_or_else(|| wrong(what, "a mapping of keys to values"))
    }

    fn get(&self, key: &str) -> Option<&'a Value> {
        self.mapping.get(key).filter(|value| !value.is_null())
    }

    fn unknown(&self, known: &[&str], owner: &str) -> Vec<String> {
        let names = self.mapping.keys().map(|key| scalar(key).unwrap_or_default());
        names
            .filter(|name| !known.contains(&name.as_str()))
            .map(|name| format!("the key `{name}` of {owner} is not known and has no effect"))
            .collect()
    }

    fn text(&self, key: &str) -> Result<String, Error> {
        match self.get(key) {
            None => Ok(String::new()),
            Some(value) => scalar(value).ok_or_else(|| wrong(key, "text")),
        }
    }

    fn integer(&self, key: &str) -> Result<i64, Error> {
        let value = self.get(key);
        value.map_or(Ok(0), |value| {
            value.as_i64().ok_or_else(|| wrong(key, "a whole number"))
        })
    }

    fn boolean(&self, key: &str) -> Result<bool, Error> {
        match self.text(key)?.to_ascii_lowercase().as_str() {
            "true" | "yes" | "on" => Ok(true),
            "" | "false" | "no" | "off" => Ok(false),
            _ => Err(wrong(key, "true or false")),
        }
    }

    fn sequence(&self, key: &str) -> Result<&'a [Value], Error> {
        match self.get(key) {
            None => Ok(&[]),
            Some(Value::Sequence(items)) => Ok(items),
            Some(_) => Err(wrong(key, "a list")),
        }
    }

    fn texts(&self, key: &str) -> Result<Vec<String>, Error> {
        if let Some(text) = self.get(key).and_then(scalar) {
            return Ok(vec![text]);
        }
        let items = self.sequence(key)?;
        items
            .iter()
            .map(|item| scalar(item).ok_or_else(|| wrong(key, "a list of texts")))
            .collect()
    }

    fn texts_by_name(&self, key: &str) -> Result<BTreeMap<String, String>, Error> {
        let error = || wrong(key, "a mapping of names to texts");
        let Some(value) = self.get(key) else {
            return Ok(BTreeMap::new());
        };
        let mapping = value.as_mapping().ok_or_else(error)?;
        let entry = |(name, value): (&Value, &Value)| {
            let value = if value.is_null() { Some(String::new()) } else { scalar(value) };
            Ok((scalar(name).ok_or_else(error)?, value.ok_or_else(error)?))
        };
        mapping.iter().map(entry).collect()
    }

    fn duration(&self, key: &str) -> Result<Option<Duration>, Error> {
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

    fn read(text: &str) -> Result<Policy, Error> {
        policy(&serde_yaml::from_str(text).unwrap())
    }

    fn rule_of(keys: &str) -> Result<Rule, Error> {
        let mut policy = read(&format!("rules: [{{{keys}}}]")).unwrap();
        policy.rules.pop().unwrap().definition
    }

    #[test]
    fn every_key_of_a_rule_is_read() {
        let rule = rule_of(
            "id: a, version: 1.2, expression: e, description: d, tags: {t: T1, n: 5}, \
             product_tags: [x], agent_version: '>= 7', filters: f, disabled: yes, \
             combine: override, override_options: {fields: [tags, all]}, \
             actions: [{set: {name: n}}], every: 90s, limiter_token: [process.pid], \
             silent: true, group_id: g, priority: 3",
        )
        .unwrap();
        assert_eq!((rule.id.as_str(), rule.version.as_str()), ("a", "1.2"));
        assert_eq!(rule.tags["n"], "5");
        assert_eq!(rule.conditions.filters, ["f"]);
        assert_eq!(rule.override_fields, [OverrideField::Tags, OverrideField::All]);
        assert_eq!(rule.every, Some(Duration::from_secs(90)));
        assert!(rule.disabled && rule.silent && rule.actions.len() == 1);
        assert_eq!(rule.group_id.as_deref(), Some("g"));
    }

    #[test]
    fn a_wrong_shape_is_an_error_of_its_item() {
        let table = [
            ("tags: 5", "`tags` must be a mapping of names to texts"),
            ("tags: [a]", "`tags` must be a mapping of names to texts"),
            ("expression: [a]", "`expression` must be text"),
            ("disabled: maybe", "`disabled` must be true or false"),
            ("filters: [[a]]", "`filters` must be a list of texts"),
            ("filters: {a: b}", "`filters` must be a list"),
            ("combine: add", "`combine` must be `merge` or `override`"),
            ("priority: high", "`priority` must be a whole number"),
            ("override_options: {fields: [x]}", "`override_options.fields` must be some of"),
        ];
        for (keys, message) in table {
            let error = rule_of(keys).unwrap_err().to_string();
            assert!(error.starts_with(message), "{error}");
        }
        let policy = read("rules: [5, {id: b, expression: e}]").unwrap();
        assert!(policy.rules[0].definition.is_err());
        assert!(policy.rules[1].definition.is_ok());
    }

    #[test]
    fn a_file_must_be_a_mapping_of_lists() {
        for (text, message) in [
            ("- a", "`a policy` must be a mapping of keys to values"),
            ("just text", "`a policy` must be a mapping of keys to values"),
            ("rules: {a: b}", "`rules` must be a list"),
        ] {
            assert_eq!(read(text).unwrap_err().to_string(), message);
        }
        let many = format!("rules: [{}]", "{},".repeat(MAX_ITEMS + 1));
        assert!(read(&many).is_err());
    }

    #[test]
    fn keys_without_effect_are_named() {
        let policy = read("color: red\nrules: [{id: a, expresion: e}]\nmacros: [{id: m, x: 1}]");
        let warnings = policy.unwrap().warnings.join("\n");
        for name in ["`color` of the policy", "`expresion` of rule `a`", "`x` of macro `m`"] {
            assert!(warnings.contains(name), "{warnings}");
        }
    }

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
