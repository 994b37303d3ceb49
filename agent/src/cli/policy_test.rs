//! `runtime policy test`: unit tests of rules, from files.
//!
//! Reads the files and the policies that they name and prints what
//! [`crate::policy::examples`] finds.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

use super::exit::Exit;
use super::flags::TEST_FILES;
use super::parse::Arguments;
use super::{policy, print, settings};
use crate::event::sample::Catalog;
use crate::event::{Fields, Sample};
use crate::policy::examples::{self, Examples, Outcome, Surroundings, WrittenEvent};
use crate::policy::file::yaml;
use crate::policy::{read_policy, Problem, ReadError, RuleSet};
use crate::secl::Record;
use crate::sys::files;

/// Largest test file in bytes.
const MAX_FILE: usize = 1 << 20;

/// Why the tests of a file could not be run.
#[derive(Debug)]
enum Error {
    /// The file cannot be read.
    Read(PathBuf, io::Error),
    /// The file is larger than is read.
    TooLarge(PathBuf),
    /// The file is no text.
    Text(PathBuf, yaml::Error),
    /// The file has no tests that can be run.
    Examples(PathBuf, examples::Error),
    /// A policy that it names cannot be read.
    Policy(ReadError),
    /// The policies do not load; one sentence each.
    Load(Vec<Problem>),
}

impl fmt::Display for Error {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Error::Read(path, error) => {
                write!(out, "{} cannot be read: {error}", path.display())
            }
            Error::TooLarge(path) => write!(
                out,
                "{} has more than {} MiB, the most that is read of tests; split it",
                path.display(),
                MAX_FILE >> 20
            ),
            Error::Text(path, error) => write!(out, "{}: {error}", path.display()),
            Error::Examples(path, error) => {
                write!(out, "{}: {error}", place(path, error.line()))
            }
            Error::Policy(error) => error.fmt(out),
            Error::Load(problems) => {
                out.write_str("the policies do not load")?;
                problems
                    .iter()
                    .try_for_each(|problem| write!(out, "\n  {problem}"))
            }
        }
    }
}

impl std::error::Error for Error {}

/// `FILE:LINE`, or the file alone.
fn place(path: &Path, line: Option<usize>) -> String {
    match line {
        Some(line) => format!("{}:{line}", path.display()),
        None => path.display().to_string(),
    }
}

/// Runs the tests of every file that is named.
pub fn main(arguments: &Arguments) -> Exit {
    let paths = arguments.paths(&TEST_FILES);
    if paths.is_empty() {
        print::error(&"name at least one test file");
        return Exit::Usage;
    }
    let settings = settings::of_client(arguments);
    let (mut passed, mut failed, mut unusable) = (0, 0, 0);
    for path in &paths {
        let outcomes = match run(path, || policy::load(arguments, &settings)) {
            Ok(outcomes) => outcomes,
            Err(error) => {
                print::error(&error);
                unusable += 1;
                continue;
            }
        };
        for outcome in outcomes {
            print::line(&shown(path, &outcome));
            match outcome.failures.is_empty() {
                true => passed += 1,
                false => failed += 1,
            }
        }
    }
    print::line(&format!("{passed} passed, {failed} failed"));
    match failed + unusable {
        0 => Exit::Success,
        _ => Exit::Failure,
    }
}

/// Runs the tests of one file; `configured` loads the policies for a file that names none.
fn run(path: &Path, configured: impl FnOnce() -> RuleSet) -> Result<Vec<Outcome>, Error> {
    let examples = read(path)?;
    let rules = match &examples.policies {
        Some(names) => load(path, names)?,
        None => configured(),
    };
    let problems = rules.report().problems();
    if !problems.is_empty() {
        return Err(Error::Load(problems));
    }
    let catalog = Catalog::new(&Fields);
    let around = Surroundings {
        make: &|event| record(&catalog, event),
        scheme: &Fields,
    };
    Ok(examples::run(&rules, &examples, &around))
}

fn record<'c>(
    catalog: &'c Catalog<'c>,
    event: &WrittenEvent,
) -> Result<Box<dyn Record + 'c>, String> {
    match Sample::new(catalog, &event.kind, &event.values) {
        Ok(sample) => Ok(Box::new(sample)),
        Err(error) => Err(error.to_string()),
    }
}

fn read(path: &Path) -> Result<Examples, Error> {
    let bytes = files::read_limited(path, MAX_FILE + 1)
        .map_err(|error| Error::Read(path.to_owned(), error))?;
    if bytes.len() > MAX_FILE {
        return Err(Error::TooLarge(path.to_owned()));
    }
    let text = yaml::text(&bytes).map_err(|error| Error::Text(path.to_owned(), error))?;
    Examples::read(text).map_err(|error| Error::Examples(path.to_owned(), error))
}

/// Loads the policies that a test file names, relative to itself.
fn load(path: &Path, names: &[String]) -> Result<RuleSet, Error> {
    let directory = path.parent().unwrap_or(Path::new(""));
    let sources = names.iter().map(|name| read_policy(&directory.join(name)));
    let sources: Vec<_> = sources.collect::<Result<_, _>>().map_err(Error::Policy)?;
    Ok(RuleSet::load(&sources, &policy::options(), &Fields))
}

/// `ok NAME`, or `FAIL NAME` with the differences below.
fn shown(path: &Path, outcome: &Outcome) -> String {
    if outcome.failures.is_empty() {
        return format!("ok {}", outcome.name);
    }
    let mut lines = vec![format!(
        "FAIL {} ({})",
        outcome.name,
        place(path, outcome.line)
    )];
    let mut last = None;
    for failure in &outcome.failures {
        if failure.step.is_some() && failure.step != last {
            let step = failure.step.unwrap_or_default();
            lines.push(format!("  step {step}:"));
        }
        last = failure.step;
        lines.push(format!("  {}", failure.difference));
    }
    lines.join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    struct Directory(PathBuf);

    impl Directory {
        fn new(name: &str) -> Directory {
            let name = format!("policy-test-{}-{name}", std::process::id());
            let path = std::env::temp_dir().join(name);
            fs::create_dir_all(&path).unwrap();
            Directory(path)
        }

        fn write(&self, name: &str, text: &str) -> PathBuf {
            let path = self.0.join(name);
            fs::write(&path, text).unwrap();
            path
        }
    }

    impl Drop for Directory {
        fn drop(&mut self) {
            let _ = fs::remove_dir_all(&self.0);
        }
    }

    const GOOD: &str = "rules:\n- {id: a, expression: open.file.name == \"a\"}\n\
                        - {id: b, expression: open.file.path == \"/b\"}\n";

    fn said(path: &Path) -> String {
        match run(path, RuleSet::default) {
            Ok(outcomes) => {
                let lines: Vec<String> = outcomes.iter().map(|one| shown(path, one)).collect();
                lines.join("\n")
            }
            Err(error) => error.to_string(),
        }
        .replace(&format!("{}/", path.parent().unwrap().display()), "")
    }

    #[test]
    fn outcomes_are_shown_with_their_place() {
        let directory = Directory::new("outcomes");
        directory.write("good.policy", GOOD);
        let path = directory.write(
            "good.yaml",
            "policies: good.policy\ntests:\n\
             - name: one\n  event: {type: open, values: {open.file.path: /x/a}}\n  expect: [a]\n\
             - name: two\n  event: {type: open, values: {open.file.path: /b}}\n  expect: [a]\n\
             - name: three\n  steps:\n\
             \x20 - {event: {type: open}, expect: []}\n\
             \x20 - {after: 1s, event: {type: open}, expect: [a, b]}\n",
        );
        let expected = "ok one\nFAIL two (good.yaml:6)\n  - a\n  + b\n\
                        FAIL three (good.yaml:9)\n  step 2:\n  - a\n  - b";
        assert_eq!(said(&path), expected);
    }

    #[test]
    fn files_that_cannot_be_run_are_named() {
        let directory = Directory::new("bad");
        directory.write(
            "bad.policy",
            "rules:\n- {id: a, expression: no.field == 1}\n",
        );
        let test = "tests:\n- {name: x, event: {type: open}, expect: []}\n";
        let with = |policy: &str| format!("policies: [{policy}]\n{test}");
        for (name, text, expected) in [
            (
                "a.yaml",
                with("bad.policy"),
                "the policies do not load\n  bad.policy:2",
            ),
            (
                "b.yaml",
                with("none.policy"),
                "none.policy: it cannot be read",
            ),
            (
                "c.yaml",
                "tests:\n- {nam: x}\n".to_owned(),
                "c.yaml:2: test 1: the key `nam`",
            ),
            ("d.yaml", "a\0".to_owned(), "d.yaml: the file is not text"),
            (
                "e.yaml",
                "#".repeat(MAX_FILE + 1),
                "e.yaml has more than 1 MiB",
            ),
            (
                "f.yaml",
                "{".to_owned(),
                "f.yaml:2: the YAML cannot be read",
            ),
        ] {
            let path = directory.write(name, &text);
            let said = said(&path);
            assert!(said.starts_with(expected), "{name}: {said}");
        }
        let missing = said(&directory.0.join("missing.yaml"));
        assert!(
            missing.starts_with("missing.yaml cannot be read"),
            "{missing}"
        );
    }
}
