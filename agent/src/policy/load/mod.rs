//! From the bytes of policies to a set of compiled rules.
//!
//! Three passes over all policies in load order: read the files, join macros, join rules; then
//! every rule is compiled on its own. Nothing fails as a whole: what is wrong goes to the report
//! with its place, and the rest is loaded.

use crate::policy::action::Surroundings;
use crate::policy::compile;
use crate::policy::condition::filter::Filters;
use crate::policy::condition::host::Host;
use crate::policy::error::Error;
use crate::policy::file::definition;
use crate::policy::file::document::{Document, List};
use crate::policy::file::source::{ReadError, Source};
use crate::policy::limiter::Limiter;
use crate::policy::merge::{self, MergedRule, Origin};
use crate::policy::report::{Place, PolicyReport, Problem, Report, RuleReport, Status};
use crate::policy::rule::Rule;
use crate::policy::variable::{self, Declarations};
use crate::secl::{self, Approval, Candidates, Capability, Index, Macros, Record, Scheme};
use std::collections::{BTreeMap, HashMap};
use std::rc::Rc;

mod actions;

/// What a load depends on besides the policies.
#[derive(Debug, Clone, Default)]
pub struct Options {
    /// The facts that filters ask for.
    pub host: Host,
    /// The event types that rules can be about on this host.
    pub events: Vec<&'static str>,
    /// Whether rules that kill are refused.
    pub enforcement_disabled: bool,
    /// The sources whose rules may kill; every source when empty.
    pub enforcement_sources: Vec<String>,
}

/// The rules that run, by event type.
#[derive(Debug, Default)]
pub struct RuleSet {
    rules: BTreeMap<&'static str, EventRules>,
    macros: Macros,
    report: Report,
    declarations: Rc<Declarations>,
}

/// The rules about one event type, and how those are found that can match an event.
#[derive(Debug, Default)]
struct EventRules {
    list: Vec<Rc<Rule>>,
    index: Index,
}

impl EventRules {
    fn new(list: Vec<Rc<Rule>>) -> EventRules {
        // A rule's actions may change variables while the rules behind it still wait.
        let is_fixed = |field| !variable::is_variable(field);
        let index = Index::with_keys(list.iter().map(|rule| &rule.compiled), &is_fixed);
        EventRules { list, index }
    }
}

impl RuleSet {
    /// Loads policies in the order given. Never fails; see [`RuleSet::report`].
    pub fn load(sources: &[Source], options: &Options, scheme: &dyn Scheme) -> RuleSet {
        let mut loader = Loader {
            options,
            scheme,
            filters: Filters::new(&options.host),
            documents: Vec::new(),
            report: Report::default(),
        };
        for source in sources {
            let (document, report) = Document::read(source);
            loader.documents.push(document);
            loader.report.policies.push(report);
        }
        let macros = loader.macros();
        let mut merged = loader.rules();
        let declarations = loader.declare(&mut merged, &macros);
        let mut rules: BTreeMap<&'static str, Vec<Rc<Rule>>> = BTreeMap::new();
        for merged in &merged {
            loader.compile(merged, &macros, &declarations.scheme(scheme), &mut rules);
        }
        loader
            .report
            .policies
            .iter_mut()
            .for_each(PolicyReport::settle);
        let indexed = rules.into_iter();
        RuleSet {
            rules: indexed
                .map(|(event, list)| (event, EventRules::new(list)))
                .collect(),
            macros,
            report: loader.report,
            declarations: Rc::new(declarations),
        }
    }

    /// Adds the files that [`super::read_directory`] could not read to the report.
    pub fn add_unread(&mut self, errors: &[ReadError]) {
        self.report.add_unread(errors);
    }

    /// The variables that its actions set.
    pub fn declarations(&self) -> Rc<Declarations> {
        Rc::clone(&self.declarations)
    }

    /// What became of every policy and rule.
    pub fn report(&self) -> &Report {
        &self.report
    }

    /// The macros that the rules can name.
    pub fn macros(&self) -> &Macros {
        &self.macros
    }

    /// The rules about one event type, in load order.
    pub fn rules(&self, event: &str) -> &[Rc<Rule>] {
        self.rules.get(event).map_or(&[], |rules| &rules.list)
    }

    /// Puts the places of the rules about an event type that may match the record into
    /// `candidates`; all others cannot. Does not allocate once `candidates` has been used.
    pub fn candidates(&self, event: &str, record: &dyn Record, candidates: &mut Candidates) {
        match self.rules.get(event) {
            Some(rules) => rules.index.candidates(record, candidates),
            None => Index::default().candidates(record, candidates),
        }
    }

    /// By which values of these fields events of a type can be left out before any rule sees them.
    pub fn approval(&self, event: &str, capabilities: &[Capability]) -> Approval {
        let rules = self.rules(event).iter();
        let rules = rules.map(|rule| (rule.id.as_str(), &rule.compiled));
        secl::approve(rules, capabilities)
    }

    /// Every rule, by event type.
    pub fn all(&self) -> impl Iterator<Item = &Rule> {
        let lists = self.rules.values().flat_map(|rules| &rules.list);
        lists.map(|rule| &**rule)
    }

    /// The event types with at least one rule.
    pub fn event_types(&self) -> Vec<&'static str> {
        self.rules.keys().copied().collect()
    }
}

/// A load under way; `documents` and the policies of `report` have the same indices.
struct Loader<'a> {
    options: &'a Options,
    scheme: &'a dyn Scheme,
    filters: Filters<'a>,
    documents: Vec<Document<'a>>,
    report: Report,
}

impl<'a> Loader<'a> {
    /// Joins the macros of all policies and parses them.
    fn macros(&mut self) -> Macros {
        let mut order: Vec<(definition::Macro, Origin)> = Vec::new();
        let mut by_id: HashMap<String, usize> = HashMap::new();
        for origin in self.origins(|document| document.macros.len()) {
            let Some(found) = self.take_macro(origin) else {
                continue;
            };
            let earlier = by_id.get(&found.id).and_then(|at| order.get_mut(*at));
            let Some((earlier, place)) = earlier else {
                by_id.insert(found.id.clone(), order.len());
                order.push((found, origin));
                continue;
            };
            match merge::join_macro(earlier, found) {
                Ok(true) => *place = origin,
                Ok(false) => {}
                Err(error) => self.macro_problem(origin, &Error::Merge(error), ""),
            }
        }
        let mut macros = Macros::new();
        for (definition, origin) in order {
            if let Err(error) = add_macro(&mut macros, &definition) {
                self.macro_problem(origin, &error, &definition.expression);
            }
        }
        macros
    }

    /// Every item of every document, in load order.
    fn origins(&self, count: impl Fn(&Document<'a>) -> usize) -> Vec<Origin> {
        let documents = self.documents.iter().enumerate();
        documents
            .flat_map(|(policy, document)| {
                (0..count(document)).map(move |item| Origin { policy, item })
            })
            .collect()
    }

    /// The macro at `origin` when it counts on this host; otherwise the reason is reported.
    fn take_macro(&mut self, origin: Origin) -> Option<definition::Macro> {
        let document = self.documents.get_mut(origin.policy)?;
        let item = document.macros.get_mut(origin.item)?;
        let taken = std::mem::replace(&mut item.definition, Ok(definition::Macro::default()));
        let checked = taken.map_err(Error::Shape).and_then(|found| {
            self.filters
                .admit(&found.conditions)
                .map_err(Error::Condition)?;
            Ok(found)
        });
        match checked {
            Ok(found) if is_identifier(&found.id) => Some(found),
            Ok(found) => {
                self.macro_problem(origin, &Error::MacroIdPattern, &found.expression);
                None
            }
            Err(error) if error.status().is_excluded() => None,
            Err(error) => {
                self.macro_problem(origin, &error, "");
                None
            }
        }
    }

    fn macro_problem(&mut self, origin: Origin, error: &Error, expression: &str) {
        let Some(document) = self.documents.get(origin.policy) else {
            return;
        };
        let id = document.id(List::Macros, origin.item);
        let message = if id.is_empty() {
            format!("no ID defined for macro with expression `{expression}`")
        } else {
            format!("macro `{id}` definition error: {error}")
        };
        let detail = error.offset().filter(|_| !expression.is_empty());
        let detail = detail.map(|offset| (expression, offset));
        let place = document.place(List::Macros, origin.item, detail);
        if let Some(policy) = self.report.policies.get_mut(origin.policy) {
            policy.problems.push(Problem { place, message });
        }
    }

    /// Joins the rules of all policies.
    fn rules(&mut self) -> Vec<MergedRule> {
        let mut order: Vec<MergedRule> = Vec::new();
        let mut by_id: HashMap<String, usize> = HashMap::new();
        for origin in self.origins(|document| document.rules.len()) {
            let joined = self.take_rule(origin).and_then(|found| {
                if let Some(earlier) = by_id.get(&found.id).and_then(|at| order.get_mut(*at)) {
                    return earlier.join(found, origin).map_err(Error::Merge);
                }
                by_id.insert(found.id.clone(), order.len());
                order.push(MergedRule::new(found, origin));
                Ok(())
            });
            if let Err(error) = joined {
                self.rule_error(origin, &error, None);
            }
        }
        order
    }

    /// The rule at `origin` when it counts on this host.
    fn take_rule(&mut self, origin: Origin) -> Result<definition::Rule, Error> {
        let item = self
            .documents
            .get_mut(origin.policy)
            .and_then(|document| document.rules.get_mut(origin.item))
            .ok_or(Error::NoRuleId)?;
        let taken = std::mem::replace(&mut item.definition, Ok(definition::Rule::default()));
        let found = taken.map_err(Error::Shape)?;
        if found.id.is_empty() {
            return Err(Error::NoRuleId);
        }
        if !is_identifier(&found.id) {
            return Err(Error::IdPattern);
        }
        self.filters
            .admit(&found.conditions)
            .map_err(Error::Condition)?;
        Ok(found)
    }

    /// Reports why the entry at `origin` does not run; `place` says where the reason stands, if
    /// that is not where the item begins.
    fn rule_error(&mut self, origin: Origin, error: &Error, place: Option<Place>) {
        let Some(document) = self.documents.get(origin.policy) else {
            return;
        };
        let place = place.unwrap_or_else(|| document.place(List::Rules, origin.item, None));
        if let Some(report) = self.rule_report(origin) {
            report.status = error.status();
            report.message = error.to_string();
            report.place = place;
        }
    }

    fn rule_report(&mut self, origin: Origin) -> Option<&mut RuleReport> {
        let policy = self.report.policies.get_mut(origin.policy)?;
        policy.rules.get_mut(origin.item)
    }

    /// Compiles one rule into `rules` and completes its entries in the report.
    fn compile(
        &mut self,
        merged: &MergedRule,
        macros: &Macros,
        scheme: &dyn Scheme,
        rules: &mut BTreeMap<&'static str, Vec<Rc<Rule>>>,
    ) {
        self.describe(merged);
        if merged.rule.disabled {
            return self.disable(merged);
        }
        if merged.is_refused {
            return;
        }
        let around = Surroundings {
            macros,
            scheme,
            enforcement: !self.options.enforcement_disabled,
        };
        match self.ready(merged, &around) {
            Ok(ready) => {
                for (event, rule) in ready {
                    rules.entry(event).or_default().push(Rc::new(rule));
                }
            }
            Err(error) => self.refuse(merged, &error),
        }
    }

    /// The rules that a definition becomes: one for each event type that it is about.
    fn ready(
        &self,
        merged: &MergedRule,
        around: &Surroundings<'_>,
    ) -> Result<Vec<(&'static str, Rule)>, Error> {
        let expression = &merged.rule.expression;
        let (macros, scheme) = (around.macros, around.scheme);
        let compiled = compile::compile(expression, macros, scheme, &self.options.events)?;
        let policy = self.report.policies.get(merged.origin.policy);
        let (name, version) = policy.map_or(("", ""), |one| (&one.name, &one.version));
        let source = policy.map_or("", |one| one.source);
        let ready = compiled.into_iter().map(|(event, compiled)| {
            let actions = self.actions(merged, event, source, around)?;
            let limiter = limiter(&merged.rule, event, scheme)?;
            let rule = Rule::new(&merged.rule, (name, version), compiled, actions, limiter);
            Ok((event, rule))
        });
        ready.collect()
    }

    /// Reports an error in all entries of a rule.
    fn refuse(&mut self, merged: &MergedRule, error: &Error) {
        let place = self.expression_place(merged, error);
        for origin in merged.origins() {
            self.rule_error(origin, error, place.clone());
        }
    }

    /// Where in the expression an error is.
    fn expression_place(&self, merged: &MergedRule, error: &Error) -> Option<Place> {
        let detail = (merged.rule.expression.as_str(), error.offset()?);
        let Origin { policy, item } = merged.expression;
        let document = self.documents.get(policy)?;
        Some(document.place(List::Rules, item, Some(detail)))
    }

    /// Writes what overrides made of a rule into all its entries.
    fn describe(&mut self, merged: &MergedRule) {
        let name = |origin: &Origin| {
            self.documents
                .get(origin.policy)
                .map(|one| one.name.to_owned())
        };
        let modified_by: Vec<String> = merged.modified_by.iter().filter_map(name).collect();
        let actions = match merged.rule.actions.as_slice() {
            [] => String::new(),
            some => serde_json::to_string(some).unwrap_or_default(),
        };
        for origin in merged.origins() {
            if let Some(report) = self.rule_report(origin) {
                report.version.clone_from(&merged.rule.version);
                report.expression.clone_from(&merged.rule.expression);
                report.tags.clone_from(&merged.rule.tags);
                report.product_tags.clone_from(&merged.rule.product_tags);
                report.modified_by.clone_from(&modified_by);
                report.actions.clone_from(&actions);
            }
        }
    }

    fn disable(&mut self, merged: &MergedRule) {
        for origin in merged.origins() {
            if let Some(report) = self.rule_report(origin) {
                report.status = Status::Disabled;
            }
        }
    }
}

/// The limiter of a rule on one event type.
fn limiter(rule: &definition::Rule, event: &str, scheme: &dyn Scheme) -> Result<Limiter, Error> {
    let field = |name: &String| {
        let wrong = || Error::LimiterToken(name.clone());
        let field = scheme.field(name).ok_or_else(wrong)?;
        let is_there = field.events.is_empty() || field.events.contains(&event);
        is_there
            .then_some((field.id, field.ty.kind))
            .ok_or_else(wrong)
    };
    let token: Result<Vec<_>, Error> = rule.limiter_token.iter().map(field).collect();
    Ok(Limiter::new(rule.every, token?))
}

fn is_identifier(id: &str) -> bool {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
    !id.is_empty() && id.bytes().all(allowed)
}

fn add_macro(macros: &mut Macros, definition: &definition::Macro) -> Result<(), Error> {
    if !definition.expression.is_empty() {
        let parsed = secl::parse_macro(&definition.expression).map_err(Error::Syntax)?;
        macros.insert(&definition.id, parsed);
        return Ok(());
    }
    if definition.values.is_empty() {
        return Err(Error::NoValues);
    }
    macros
        .from_values(&definition.id, &definition.values)
        .map_err(Error::Syntax)
}
