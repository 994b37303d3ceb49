//! One policy file as read: its definitions, and its text for finding their places.

use super::definition::{self, Item};
use super::position::{self, Index, Location};
use super::source::Source;
use super::yaml;
use crate::policy::report::{load_error, Place, PolicyReport, Problem, RuleReport, Status};
use std::cell::Cell;
use std::collections::BTreeMap;

/// Places looked for by searching the text, in files whose style was not recognised; each search
/// may read the whole file.
const MAX_SEARCHES: usize = 100;

/// A file that was read; without definitions when it could not be.
#[derive(Debug, Default)]
pub struct Document<'a> {
    /// Its name.
    pub name: &'a str,
    /// The items of `rules`.
    pub rules: Vec<Item<definition::Rule>>,
    /// The items of `macros`.
    pub macros: Vec<Item<definition::Macro>>,
    text: &'a str,
    index: Index,
    searches: Cell<usize>,
}

/// One of the two lists of a policy.
#[derive(Debug, Clone, Copy)]
pub enum List {
    /// `rules`
    Rules,
    /// `macros`
    Macros,
}

/// A whole file that does not load: the reason, and where if known.
type Failure = (String, Option<Location>);

impl<'a> Document<'a> {
    /// Reads a file, and begins its report; a file that cannot be read is a problem there.
    pub fn read(source: &'a Source) -> (Document<'a>, PolicyReport) {
        let mut report = PolicyReport::new(source.name.clone(), source.kind);
        let mut document = Document {
            name: &source.name,
            ..Document::default()
        };
        if let Err((message, location)) = document.fill(source, &mut report) {
            let file = source.name.clone();
            report.problems.push(Problem {
                place: Place { file, location },
                message: load_error(&source.name, source.kind, &message),
            });
        }
        (document, report)
    }

    fn fill(&mut self, source: &'a Source, report: &mut PolicyReport) -> Result<(), Failure> {
        self.text = yaml::text(&source.text).map_err(failure)?;
        let value = yaml::parse(self.text).map_err(failure)?;
        let read = definition::policy(&value).map_err(|error| (error.to_string(), None))?;
        if read.rules.is_empty() && read.macros.is_empty() {
            return Err(failure(yaml::Error::Empty));
        }
        report.version = read.version;
        report.warnings = read.warnings;
        report.rules = read
            .rules
            .iter()
            .map(|item| first_report(self.name, &item.id))
            .collect();
        self.rules = read.rules;
        self.macros = read.macros;
        self.index = Index::new(self.text);
        self.index.trust(self.rules.len(), self.macros.len());
        Ok(())
    }

    /// The place of an item, or of the byte `offset` of its expression, given as
    /// `(expression, offset)`.
    pub fn place(&self, list: List, item: usize, detail: Option<(&str, usize)>) -> Place {
        let range = match list {
            List::Rules => self.index.rules.get(item),
            List::Macros => self.index.macros.get(item),
        };
        let offset = match (range, detail) {
            (Some(range), Some((expression, offset))) => Some(position::inside(
                self.text,
                range,
                "expression",
                expression,
                offset,
            )),
            (Some(range), None) => Some(range.start),
            (None, _) => self.search(self.id(list, item)),
        };
        Place {
            file: self.name.to_owned(),
            location: offset.map(|offset| self.index.location(self.text, offset)),
        }
    }

    /// The id of an item, or "".
    pub fn id(&self, list: List, item: usize) -> &str {
        let id = match list {
            List::Rules => self.rules.get(item).map(|found| &found.id),
            List::Macros => self.macros.get(item).map(|found| &found.id),
        };
        id.map_or("", String::as_str)
    }

    fn search(&self, id: &str) -> Option<usize> {
        let searches = self.searches.get();
        self.searches.set(searches.saturating_add(1));
        (searches < MAX_SEARCHES).then(|| position::find_id(self.text, id))?
    }
}

fn failure(error: yaml::Error) -> Failure {
    let location = match &error {
        yaml::Error::Syntax { location, .. } => *location,
        _ => None,
    };
    (error.to_string(), location)
}

fn first_report(file: &str, id: &str) -> RuleReport {
    RuleReport {
        id: id.to_owned(),
        version: String::new(),
        expression: String::new(),
        status: Status::Loaded,
        message: String::new(),
        tags: BTreeMap::new(),
        product_tags: Vec::new(),
        actions: String::new(),
        modified_by: Vec::new(),
        place: Place {
            file: file.to_owned(),
            location: None,
        },
    }
}
