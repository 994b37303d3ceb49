//! Joins definitions with the same id: overrides, merged lists, and rules switched off.
//!
//! Definitions enter in load order, one for each id leaves. Conditions are judged before, so
//! definitions that do not count on this host never meet here.

use super::action;
use super::file::definition::{Combine, Macro, OverrideField, Rule};
use std::fmt;

/// Where a definition stands: which policy of the load, which item of its list.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Origin {
    /// Index of the policy.
    pub policy: usize,
    /// Index of the item in `rules` or `macros` of that policy.
    pub item: usize,
}

/// Why a definition cannot join an earlier one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Error {
    /// Neither says how they combine.
    Conflict,
    /// Only lists of values can be merged.
    Merge,
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Error::Conflict => "multiple definition with the same ID",
            Error::Merge => "cannot merge expression",
        })
    }
}

impl std::error::Error for Error {}

/// A rule with everything that later definitions changed in it.
#[derive(Debug)]
pub struct MergedRule {
    /// The definition as it holds.
    pub rule: Rule,
    /// Where it was defined first.
    pub origin: Origin,
    /// Where its expression stands.
    pub expression: Origin,
    /// The later definitions that changed it.
    pub modified_by: Vec<Origin>,
    /// Its actions, once they were read.
    pub actions: Vec<action::definition::Definition>,
    /// Its actions are wrong, which is reported already.
    pub is_refused: bool,
}

impl MergedRule {
    /// A rule that nothing changed yet.
    pub fn new(rule: Rule, origin: Origin) -> MergedRule {
        MergedRule {
            rule,
            origin,
            expression: origin,
            modified_by: Vec::new(),
            actions: Vec::new(),
            is_refused: false,
        }
    }

    /// Every definition that takes part: the first, then those that changed it.
    pub fn origins(&self) -> Vec<Origin> {
        let mut origins = vec![self.origin];
        origins.extend(&self.modified_by);
        origins
    }

    /// Joins a later definition with the same id.
    ///
    /// With `combine: override` it replaces what it names. Without, its only use is to switch the
    /// rule off or on; anything else is a conflict.
    pub fn join(&mut self, later: Rule, origin: Origin) -> Result<(), Error> {
        if later.combine != Combine::Override && later.disabled == self.rule.disabled {
            return Err(Error::Conflict);
        }
        self.rule.disabled = later.disabled;
        if later.combine == Combine::Override {
            self.replace(later, origin);
        }
        self.modified_by.push(origin);
        Ok(())
    }

    fn replace(&mut self, later: Rule, origin: Origin) {
        let names = later.override_fields.clone();
        let named = |field| names.contains(&field);
        let expression = names.is_empty() || named(OverrideField::Expression);
        if named(OverrideField::All) {
            self.rule = later;
            self.expression = origin;
            return;
        }
        if expression && !later.expression.is_empty() {
            self.rule.expression = later.expression;
            self.expression = origin;
        }
        if named(OverrideField::Actions) {
            self.rule.actions = later.actions;
        }
        if named(OverrideField::Every) {
            self.rule.every = later.every;
        }
        if named(OverrideField::Tags) {
            self.rule.tags = later.tags;
        }
        if named(OverrideField::ProductTags) {
            self.rule.product_tags = later.product_tags;
        }
    }
}

/// Joins a later macro with the same id to `earlier`; true when the later one replaced it.
pub fn join_macro(earlier: &mut Macro, later: Macro) -> Result<bool, Error> {
    match later.combine {
        Combine::None => Err(Error::Conflict),
        Combine::Override => {
            *earlier = later;
            Ok(true)
        }
        Combine::Merge if earlier.expression.is_empty() && later.expression.is_empty() => {
            earlier.values.extend(later.values);
            Ok(false)
        }
        Combine::Merge => Err(Error::Merge),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    const FIRST: Origin = Origin { policy: 0, item: 0 };
    const LATER: Origin = Origin { policy: 1, item: 3 };

    fn rule(expression: &str) -> Rule {
        Rule {
            id: "r".to_owned(),
            expression: expression.to_owned(),
            ..Rule::default()
        }
    }

    fn joined(later: Rule) -> (Result<(), Error>, MergedRule) {
        let mut merged = MergedRule::new(rule("first"), FIRST);
        let result = merged.join(later, LATER);
        (result, merged)
    }

    fn overriding(fields: &[OverrideField]) -> Rule {
        Rule {
            combine: Combine::Override,
            override_fields: fields.to_vec(),
            every: Some(Duration::from_secs(1)),
            silent: true,
            ..rule("later")
        }
    }

    #[test]
    fn the_same_id_twice_is_a_conflict() {
        assert_eq!(joined(rule("later")).0, Err(Error::Conflict));
    }

    #[test]
    fn a_bare_disabled_switches_off_and_on() {
        let off = Rule {
            disabled: true,
            ..rule("")
        };
        let (result, mut merged) = joined(off);
        assert!(result.is_ok() && merged.rule.disabled);
        assert_eq!(merged.rule.expression, "first");
        merged.join(rule(""), LATER).unwrap();
        assert!(!merged.rule.disabled);
    }

    #[test]
    fn an_override_replaces_what_it_names() {
        let (_, merged) = joined(overriding(&[]));
        assert_eq!(merged.rule.expression, "later");
        assert_eq!(
            (merged.expression, merged.modified_by),
            (LATER, vec![LATER])
        );
        assert_eq!(merged.rule.every, None);

        let (_, merged) = joined(overriding(&[OverrideField::Every]));
        assert_eq!(merged.rule.expression, "first");
        assert_eq!(merged.rule.every, Some(Duration::from_secs(1)));
        assert!(!merged.rule.silent);

        let (_, merged) = joined(overriding(&[OverrideField::All]));
        assert_eq!(merged.rule.expression, "later");
        assert!(merged.rule.silent);
    }

    #[test]
    fn macros_merge_values_only() {
        let values = |values: &[&str], combine| Macro {
            values: values.iter().map(|value| (*value).to_owned()).collect(),
            combine,
            ..Macro::default()
        };
        let mut earlier = values(&["a"], Combine::None);
        assert_eq!(
            join_macro(&mut earlier, values(&["b"], Combine::Merge)),
            Ok(false)
        );
        assert_eq!(earlier.values, ["a", "b"]);
        let expression = Macro {
            expression: "x".to_owned(),
            combine: Combine::Merge,
            ..Macro::default()
        };
        assert_eq!(join_macro(&mut earlier, expression), Err(Error::Merge));
        assert_eq!(
            join_macro(&mut earlier, values(&[], Combine::None)),
            Err(Error::Conflict)
        );
        assert_eq!(
            join_macro(&mut earlier, values(&["c"], Combine::Override)),
            Ok(true)
        );
        assert_eq!(earlier.values, ["c"]);
    }
}
