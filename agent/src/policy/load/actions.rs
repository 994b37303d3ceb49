//! The actions of a load: read for all rules first, because together they declare the variables
//! that expressions name.

use super::Loader;
use crate::policy::action::definition::{self, Definition, Kind};
use crate::policy::action::{self, Action, Surroundings};
use crate::policy::error::Error;
use crate::policy::merge::MergedRule;
use crate::policy::variable::Declarations;
use crate::secl::Macros;

/// Actions of one rule.
const MAX_ACTIONS: usize = 100;

impl Loader<'_> {
    /// Reads the actions of all rules that are switched on, and declares their variables.
    pub(super) fn declare(&mut self, rules: &mut [MergedRule], macros: &Macros) -> Declarations {
        for merged in rules.iter_mut().filter(|merged| !merged.rule.disabled) {
            match read(merged) {
                Ok(actions) => {
                    self.warn_of(merged, &actions);
                    merged.actions = actions;
                }
                Err(error) => {
                    merged.is_refused = true;
                    self.refuse(merged, &Error::Action(error));
                }
            }
        }
        let owners: Vec<(usize, &definition::Set)> = rules
            .iter()
            .enumerate()
            .flat_map(|(at, merged)| sets(merged).map(move |set| (at, set)))
            .collect();
        let all: Vec<&definition::Set> = owners.iter().map(|(_, set)| *set).collect();
        let (declarations, wrong) = Declarations::of(&all, macros, self.scheme);
        let refused: Vec<(usize, action::Error)> = wrong
            .into_iter()
            .filter_map(|(set, error)| Some((owners.get(set)?.0, error)))
            .collect();
        for (at, error) in refused {
            if let Some(merged) = rules.get_mut(at) {
                merged.is_refused = true;
                self.refuse(merged, &Error::Action(error));
            }
        }
        declarations
    }

    fn warn_of(&mut self, merged: &MergedRule, actions: &[Definition]) {
        let Some(policy) = self.report.policies.get_mut(merged.origin.policy) else {
            return;
        };
        for sentence in actions.iter().filter_map(Action::without_effect) {
            let id = &merged.rule.id;
            policy.warnings.push(format!("rule `{id}`: {sentence}"));
        }
    }

    /// The actions of a rule on one event type.
    pub(super) fn actions(
        &self,
        merged: &MergedRule,
        event: &str,
        source: &'static str,
        around: &Surroundings<'_>,
    ) -> Result<Vec<Action>, Error> {
        let sources = &self.options.enforcement_sources;
        let may_enforce = sources.is_empty() || sources.iter().any(|one| one == source);
        let ready = merged.actions.iter().map(|definition| {
            if let Some(action) = definition.kind.enforcing().filter(|_| !may_enforce) {
                return Err(Error::Action(action::Error::Source { action, source }));
            }
            Action::compile(definition, event, around).map_err(Error::Action)
        });
        ready.collect()
    }
}

fn read(merged: &MergedRule) -> Result<Vec<Definition>, action::Error> {
    if merged.rule.actions.len() > MAX_ACTIONS {
        return Err(action::Error::TooManyActions(MAX_ACTIONS));
    }
    merged.rule.actions.iter().map(definition::read).collect()
}

fn sets(merged: &MergedRule) -> impl Iterator<Item = &definition::Set> {
    merged.actions.iter().filter_map(|one| match &one.kind {
        Kind::Set(set) => Some(set),
        _ => None,
    })
}
