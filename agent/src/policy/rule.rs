//! One rule that is ready to be evaluated, with what its events say about it.

use super::action::{Action, ActionKind};
use super::file::definition;
use super::limiter::Limiter;
use super::variable::{Store, Subject};
use crate::secl::{self, Record};
use std::collections::BTreeMap;

/// A compiled rule.
#[derive(Debug)]
pub struct Rule {
    /// Its id, unique in the set.
    pub id: String,
    /// Its version, or "".
    pub version: String,
    /// A sentence about it, or "".
    pub description: String,
    /// Its tags by name.
    pub tags: BTreeMap<String, String>,
    /// Its product tags.
    pub product_tags: Vec<String>,
    /// Name of the policy that defines it.
    pub policy_name: String,
    /// Version of that policy, or "".
    pub policy_version: String,
    /// Whether its events are kept from ordinary subscribers.
    pub silent: bool,
    /// The id that its events bear instead of its own.
    pub group_id: Option<String>,
    /// Its priority.
    pub priority: i64,
    /// The expression as written.
    pub expression_text: String,
    /// What it does when it matches.
    pub actions: Vec<Action>,
    /// The condition.
    pub compiled: secl::Compiled,
    /// Its rate limiter.
    pub limiter: Limiter,
}

impl Rule {
    /// Joins a definition with its compiled expression.
    pub fn new(
        definition: &definition::Rule,
        policy: (&str, &str),
        compiled: secl::Compiled,
        actions: Vec<Action>,
        limiter: Limiter,
    ) -> Rule {
        let (policy_name, policy_version) = policy;
        Rule {
            id: definition.id.clone(),
            version: definition.version.clone(),
            description: definition.description.clone(),
            tags: definition.tags.clone(),
            product_tags: definition.product_tags.clone(),
            policy_name: policy_name.to_owned(),
            policy_version: policy_version.to_owned(),
            silent: definition.silent,
            group_id: definition.group_id.clone(),
            priority: definition.priority,
            expression_text: definition.expression.clone(),
            actions,
            compiled,
            limiter,
        }
    }

    /// Carries out the actions that set variables, each if its filter holds.
    pub fn set_variables(
        &self,
        variables: &mut Store,
        record: &dyn Record,
        subject: &dyn Subject,
        now_ns: u64,
    ) {
        for action in &self.actions {
            let ActionKind::Set(set) = &action.kind else {
                continue;
            };
            let filter = action.filter.as_ref();
            let holds =
                filter.is_none_or(|filter| filter.matches(&variables.scoped(record, subject)));
            if holds {
                variables.set(set, record, subject, now_ns);
            }
        }
    }

    /// Whether a match at `now_ns` (monotonic nanoseconds) may become an event.
    pub fn allow(&self, record: &dyn Record, now_ns: u64) -> bool {
        self.limiter.allow(record, now_ns)
    }
}
