//! Numbered events: a rule that sees files named by numbers, who opens them, and who counts which
//! numbers came through.

use std::fs::{self, OpenOptions};
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde_json::Value;

use crate::harness::{policy, rule};
use crate::report::{Failure, Outcome};
use crate::scratch;

/// Name of the rule.
pub(crate) const RULE: &str = "numbered";
/// Missing numbers that a message names.
const NAMED: usize = 10;

/// The directory of the numbered files.
pub(crate) struct Numbers {
    directory: PathBuf,
}

impl Numbers {
    /// An empty directory.
    pub(crate) fn new() -> Result<Numbers, Failure> {
        let directory = scratch::directory("numbered")?;
        Ok(Numbers { directory })
    }

    /// The policy whose one rule reports every number, without a limit on how many.
    pub(crate) fn policy(&self) -> String {
        let expression = format!(
            "open.file.path =~ \"{}/*\" && open.flags & O_CREAT > 0",
            self.directory.display()
        );
        policy(&[rule(RULE, &expression, "    every: 0s\n")])
    }

    /// Makes one event for each of these numbers; no file is left.
    pub(crate) fn open(&self, numbers: Range<usize>) -> Outcome {
        for number in numbers {
            let path = self.directory.join(format!("{number:06}"));
            OpenOptions::new()
                .write(true)
                .create(true)
                .truncate(true)
                .open(&path)?;
            fs::remove_file(&path)?;
        }
        Ok(())
    }

    /// Nothing counted yet of the numbers below `end`.
    pub(crate) fn tally(&self, end: usize) -> Tally {
        Tally {
            directory: Arc::from(self.directory.as_path()),
            times: vec![0; end],
        }
    }
}

/// How often each number came.
pub(crate) struct Tally {
    directory: Arc<Path>,
    times: Vec<u32>,
}

impl Tally {
    /// Counts an event, when it is one of the numbers.
    pub(crate) fn add(&mut self, event: &Value) {
        let path = event["file"]["path"].as_str().map(Path::new);
        let name = path.and_then(|path| path.strip_prefix(&self.directory).ok());
        let number: Option<usize> = name.and_then(|name| name.to_str()?.parse().ok());
        if let Some(times) = number.and_then(|number| self.times.get_mut(number)) {
            *times += 1;
        }
    }

    /// How many of the numbers below `end` have not come.
    pub(crate) fn missing_below(&self, end: usize) -> usize {
        self.times
            .iter()
            .take(end)
            .filter(|times| **times == 0)
            .count()
    }

    /// Whether this number has come.
    pub(crate) fn has(&self, number: usize) -> bool {
        self.times.get(number).is_some_and(|times| *times > 0)
    }

    /// How many numbers have come.
    pub(crate) fn arrived(&self) -> usize {
        self.times.len() - self.missing_below(self.times.len())
    }

    /// How often a number came again.
    pub(crate) fn duplicates(&self) -> u64 {
        let again = self
            .times
            .iter()
            .map(|times| u64::from(times.saturating_sub(1)));
        again.sum()
    }

    /// A few words about what is there and what is not.
    pub(crate) fn summary(&self) -> String {
        let missing: Vec<usize> = (0..)
            .zip(&self.times)
            .filter(|(_, times)| **times == 0)
            .map(|(number, _)| number)
            .collect();
        let first: Vec<&usize> = missing.iter().take(NAMED).collect();
        format!(
            "{} of {} numbers came, {} came again, the first missing ones are {first:?}",
            self.arrived(),
            self.times.len(),
            self.duplicates()
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_tally_tells_missing_numbers_from_repeated_ones() {
        let numbers = Numbers {
            directory: PathBuf::from("/n"),
        };
        let mut tally = numbers.tally(4);
        for path in [
            "/n/000001",
            "/n/000003",
            "/n/000001",
            "/n/000009",
            "/m/000002",
            "/n/x",
        ] {
            tally.add(&json!({ "file": { "path": path } }));
        }
        tally.add(&json!({}));
        assert_eq!((tally.arrived(), tally.duplicates()), (2, 1));
        assert_eq!((tally.missing_below(2), tally.missing_below(4)), (1, 2));
        assert!(tally.summary().contains("[0, 2]"), "{}", tally.summary());
    }
}
