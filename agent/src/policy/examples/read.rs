//! Text of a test file to tests. Unknown keys are errors, so that a misspelt `expect` is no test
//! that always passes.

use std::fmt;
use std::time::Duration;

use serde_json::Map;
use serde_yaml::Value;

use super::{Examples, Step, Test, WrittenEvent};
use crate::policy::file::keys::{self, scalar, wrong, Keys};
use crate::policy::file::yaml;
use crate::secl;

const FILE_KEYS: &[&str] = &["policies", "tests"];
const TEST_KEYS: &[&str] = &["name", "event", "expect", "steps"];
const STEP_KEYS: &[&str] = &["after", "event", "expect"];
const EVENT_KEYS: &[&str] = &["type", "values"];

/// Why a test file cannot be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Error {
    /// It is no YAML that is read.
    Yaml(yaml::Error),
    /// It has no tests.
    NoTests,
    /// A key is not known.
    UnknownKey {
        /// The key.
        key: String,
        /// A key that was perhaps meant.
        suggestion: Option<String>,
    },
    /// A key is missing.
    Missing(&'static str),
    /// A key has a value of the wrong shape.
    Shape(keys::Error),
    /// A test has steps beside an event of its own.
    StepsAndEvent,
    /// Something is wrong with one test.
    Test {
        /// Its place in the list, from 1.
        number: usize,
        /// Line of the file where it begins, when it could be found.
        line: Option<usize>,
        /// What.
        cause: Box<Error>,
    },
}

impl fmt::Display for Error {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Error::Yaml(yaml::Error::Empty) => out.write_str("the file is empty"),
            Error::Yaml(error) => error.fmt(out),
            Error::NoTests => out.write_str("the file has no `tests`"),
            Error::UnknownKey { key, suggestion } => {
                write!(out, "the key `{key}` is not known")?;
                match suggestion {
                    Some(suggestion) => write!(out, ", did you mean `{suggestion}`?"),
                    None => Ok(()),
                }
            }
            Error::Missing(key) => write!(out, "the key `{key}` is missing"),
            Error::Shape(error) => error.fmt(out),
            Error::StepsAndEvent => {
                out.write_str("a test has either `steps` or an `event` with what to `expect`")
            }
            Error::Test { number, cause, .. } => write!(out, "test {number}: {cause}"),
        }
    }
}

impl std::error::Error for Error {}

impl Error {
    /// The line that it is about, when it is known.
    pub fn line(&self) -> Option<usize> {
        match self {
            Error::Yaml(yaml::Error::Syntax { location, .. }) => {
                location.map(|location| location.line)
            }
            Error::Test { line, .. } => *line,
            _ => None,
        }
    }
}

impl From<keys::Error> for Error {
    fn from(error: keys::Error) -> Error {
        Error::Shape(error)
    }
}

/// Reads a whole file.
pub(super) fn examples(text: &str) -> Result<Examples, Error> {
    let value = yaml::parse(text).map_err(Error::Yaml)?;
    let keys = strict(&value, "the file", FILE_KEYS)?;
    let policies = match keys.get("policies") {
        Some(_) => Some(keys.texts("policies")?),
        None => None,
    };
    let written = keys.sequence("tests")?;
    if written.is_empty() {
        return Err(Error::NoTests);
    }
    let lines = item_lines(text, written.len());
    let mut tests = Vec::with_capacity(written.len());
    for (index, value) in written.iter().enumerate() {
        let line = lines.get(index).copied();
        let read = test(value, line).map_err(|cause| Error::Test {
            number: index + 1,
            line,
            cause: Box::new(cause),
        });
        tests.push(read?);
    }
    Ok(Examples { policies, tests })
}

fn test(value: &Value, line: Option<usize>) -> Result<Test, Error> {
    let keys = strict(value, "a test", TEST_KEYS)?;
    let name = keys.text("name")?;
    if name.is_empty() {
        return Err(Error::Missing("name"));
    }
    if name.contains(char::is_control) {
        return Err(wrong("name", "one line of text").into());
    }
    let own = keys.get("event").is_some() || keys.get("expect").is_some();
    let steps = match (keys.get("steps"), own) {
        (Some(_), true) => return Err(Error::StepsAndEvent),
        (None, _) => vec![step(&keys)?],
        (Some(_), false) => {
            let written = keys.sequence("steps")?.iter();
            let steps = written.map(|value| step(&strict(value, "a step", STEP_KEYS)?));
            steps.collect::<Result<Vec<Step>, Error>>()?
        }
    };
    if steps.is_empty() {
        return Err(Error::Missing("steps"));
    }
    Ok(Test { name, line, steps })
}

fn step(keys: &Keys<'_>) -> Result<Step, Error> {
    let event = keys.get("event").ok_or(Error::Missing("event"))?;
    if keys.get("expect").is_none() {
        return Err(Error::Missing("expect"));
    }
    Ok(Step {
        after: keys.duration("after")?.unwrap_or(Duration::ZERO),
        event: written(event)?,
        expect: keys.texts("expect")?,
    })
}

fn written(event: &Value) -> Result<WrittenEvent, Error> {
    let keys = strict(event, "event", EVENT_KEYS)?;
    let kind = keys.text("type")?;
    if kind.is_empty() {
        return Err(Error::Missing("type"));
    }
    let error = || wrong("values", "a mapping of field names to values");
    let mut values = Map::new();
    if let Some(mapping) = keys.get("values") {
        for (name, value) in mapping.as_mapping().ok_or_else(error)? {
            let name = scalar(name).ok_or_else(error)?;
            let value = serde_json::to_value(value).map_err(|_| error())?;
            values.insert(name, value);
        }
    }
    Ok(WrittenEvent { kind, values })
}

/// The keys of a mapping that has no others than `known`.
fn strict<'a>(value: &'a Value, what: &str, known: &[&str]) -> Result<Keys<'a>, Error> {
    let keys = Keys::of(value, what)?;
    let names = value.as_mapping().into_iter().flat_map(|all| all.keys());
    let mut names = names.map(|key| scalar(key).unwrap_or_default());
    match names.find(|name| !known.contains(&name.as_str())) {
        None => Ok(keys),
        Some(key) => {
            let known: Vec<String> = known.iter().map(|name| (*name).to_owned()).collect();
            Err(Error::UnknownKey {
                suggestion: secl::nearest(&key, &known),
                key,
            })
        }
    }
}

/// The lines where the items of `tests` begin, for files in block style; none when there are not
/// as many as the parser found.
fn item_lines(text: &str, expected: usize) -> Vec<usize> {
    let mut lines = Vec::new();
    let mut inside = false;
    let mut item_indent = None;
    for (number, line) in (1..).zip(text.lines()) {
        let content = line.trim_start_matches(' ');
        if content.trim().is_empty() || content.starts_with('#') {
            continue;
        }
        let indent = line.len() - content.len();
        let dash = content.starts_with("- ") || content.trim_end() == "-";
        if indent == 0 && !dash {
            inside = content.starts_with("tests:");
        } else if inside && dash && *item_indent.get_or_insert(indent) == indent {
            lines.push(number);
        }
    }
    if lines.len() != expected {
        lines.clear();
    }
    lines
}
