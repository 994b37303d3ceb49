//! The keys of a policy file, typed.
//!
//! A YAML tree enters, definitions of rules and macros leave, each on its own: an item with a key
//! of the wrong shape is an error of that item and the others stay. Scalars are read as Go reads
//! them for such files (a number where text is wanted is its text, `yes` is true). What the
//! definitions mean together is decided in [`super::merge`].

use super::keys::{scalar, wrong, Error, Keys};
use serde_yaml::Value;
use std::collections::BTreeMap;
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
        return Err(wrong(
            "rules",
            "a list of at most 20,000 items; split the policy",
        ));
    }
    let mut policy = Policy {
        version: root.text("version")?,
        ..Policy::default()
    };
    policy.warnings = root.unknown(POLICY_KEYS, "the policy");
    for item in rule_items {
        let owner = format!("rule `{}`", id_of(item));
        policy
            .warnings
            .extend(unknown_keys(item, RULE_KEYS, &owner));
        policy.rules.push(Item {
            id: id_of(item),
            definition: Keys::of(item, "a rule").and_then(|keys| rule(&keys)),
        });
    }
    for item in macro_items {
        let owner = format!("macro `{}`", id_of(item));
        policy
            .warnings
            .extend(unknown_keys(item, MACRO_KEYS, &owner));
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
    Keys::of(item, owner)
        .map(|keys| keys.unknown(known, owner))
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
        assert_eq!(
            rule.override_fields,
            [OverrideField::Tags, OverrideField::All]
        );
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
            (
                "override_options: {fields: [x]}",
                "`override_options.fields` must be some of",
            ),
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
            (
                "just text",
                "`a policy` must be a mapping of keys to values",
            ),
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
        for name in [
            "`color` of the policy",
            "`expresion` of rule `a`",
            "`x` of macro `m`",
        ] {
            assert!(warnings.contains(name), "{warnings}");
        }
    }
}
