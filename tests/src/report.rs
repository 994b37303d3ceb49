//! How tests end and how that is told.
//!
//! A test is a name and a closure that returns an [`Outcome`]; [`Report`] runs those whose name
//! was asked for, prints a line for each and counts.

use std::fmt::Display;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use crate::scratch::not_in_vm;

/// How a test ended when it did not pass.
#[derive(Debug)]
pub(crate) enum Failure {
    /// It failed; the text says what was expected and what came.
    Failed(String),
    /// It could not run here; the text says what is missing. A skip is never a success.
    Skipped(String),
    /// It has no meaning on this kernel; the text says why. It does not count.
    NotApplicable(String),
}

/// What a test returns.
pub(crate) type Outcome = Result<(), Failure>;

impl<E: Display> From<E> for Failure {
    fn from(error: E) -> Failure {
        Failure::Failed(error.to_string())
    }
}

impl Failure {
    /// The same with a few words in front that say where it happened.
    pub(crate) fn at(self, place: &str) -> Failure {
        match self {
            Failure::Failed(why) => Failure::Failed(format!("{place}: {why}")),
            Failure::Skipped(why) => Failure::Skipped(format!("{place}: {why}")),
            Failure::NotApplicable(why) => Failure::NotApplicable(format!("{place}: {why}")),
        }
    }
}

/// Fails with a sentence unless the condition holds.
pub(crate) fn ensure(condition: bool, sentence: impl FnOnce() -> String) -> Outcome {
    if condition {
        Ok(())
    } else {
        Err(Failure::Failed(sentence()))
    }
}

/// Which tests run, and how they ended.
pub(crate) struct Report {
    filters: Vec<String>,
    passed: usize,
    failed: usize,
    skipped: usize,
    /// Of all those that were run, also such as do not count.
    run: usize,
}

impl Report {
    /// A report of the tests whose names contain one of the filters; of all when there is none.
    pub(crate) fn new(filters: Vec<String>) -> Report {
        Report {
            filters,
            passed: 0,
            failed: 0,
            skipped: 0,
            run: 0,
        }
    }

    /// Whether this test was asked for.
    pub(crate) fn wants(&self, name: &str) -> bool {
        self.filters.is_empty()
            || self
                .filters
                .iter()
                .any(|filter| name.contains(filter.as_str()))
    }

    /// Whether one of these tests was asked for.
    pub(crate) fn wants_any<'a>(&self, mut names: impl Iterator<Item = &'a str>) -> bool {
        names.any(|name| self.wants(name))
    }

    /// Runs a test when it was asked for.
    pub(crate) fn case(&mut self, name: &str, test: impl FnOnce() -> Outcome) {
        if !self.wants(name) {
            return;
        }
        let start = Instant::now();
        let outcome = test();
        self.count(name, outcome, start.elapsed());
    }

    /// The same for a test to which no kernel makes a difference.
    pub(crate) fn case_of_user_space(&mut self, name: &str, test: impl FnOnce() -> Outcome) {
        self.case(name, || not_in_vm().and_then(|()| test()));
    }

    /// Counts what several tests need and could not be had. No filter applies to its name: one of
    /// those that need it was asked for.
    pub(crate) fn not_started(&mut self, name: &str, failure: Failure) {
        self.count(name, Err(failure), Duration::ZERO);
    }

    fn count(&mut self, name: &str, outcome: Outcome, time: Duration) {
        self.run += 1;
        match outcome {
            Ok(()) => {
                self.passed += 1;
                println!("ok {name} ({:.1} s)", time.as_secs_f64());
            }
            Err(Failure::Failed(why)) => self.failed(name, &why),
            Err(Failure::Skipped(why)) => {
                self.skipped += 1;
                println!("skip {name}: {}", one_line(&why));
            }
            Err(Failure::NotApplicable(why)) => {
                println!("not applicable: {name}: {}", one_line(&why));
            }
        }
    }

    /// Counts a failure without running anything.
    pub(crate) fn failed(&mut self, name: &str, why: &str) {
        self.failed += 1;
        println!("FAIL {name}: {}", one_line(why));
    }

    /// Prints the sum; success only when nothing failed, and something was run.
    pub(crate) fn finish(&mut self) -> ExitCode {
        if self.run + self.failed == 0 {
            let names = self.filters.join(" ");
            self.failed("filters", &format!("no test has a name with {names}"));
        }
        println!(
            "{} passed, {} failed, {} skipped",
            self.passed, self.failed, self.skipped
        );
        if self.failed == 0 {
            ExitCode::SUCCESS
        } else {
            ExitCode::FAILURE
        }
    }
}

/// The scripts around us read line by line.
fn one_line(text: &str) -> String {
    text.trim().replace('\n', " | ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_tests_need_is_counted_whatever_was_asked_for() {
        let mut report = Report::new(vec!["network_attached".to_owned()]);
        report.not_started("network_start", Failure::Failed("no agent".to_owned()));
        assert_eq!((report.passed, report.failed), (0, 1));
        assert_eq!(report.finish(), ExitCode::FAILURE);
    }

    #[test]
    fn names_that_no_test_has_are_a_failure() {
        let mut report = Report::new(vec!["nosuch".to_owned()]);
        report.case("network_attached", || Ok(()));
        assert_eq!(report.finish(), ExitCode::FAILURE);
        let mut report = Report::new(vec!["network".to_owned()]);
        report.case("network_attached", || {
            Err(Failure::NotApplicable("here".to_owned()))
        });
        assert_eq!(report.finish(), ExitCode::SUCCESS);
    }
}
