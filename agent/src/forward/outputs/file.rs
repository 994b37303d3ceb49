//! Events in a file, a line of JSON each.
//!
//! The file is rotated by size ([`RotatingFile`]). A file that cannot be written is tried again
//! every few seconds; events until then are counted as lost, and the file says how many it misses
//! once it works again.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use serde_json::{json, Value};

use crate::config::{keys, Settings};
use crate::event::{json as event_json, HostInfo};
use crate::resolve::clock::unix_now;
use crate::sys::rotating_file::RotatingFile;

/// Pause before a file that failed is tried again.
const PAUSE: Duration = Duration::from_secs(5);

/// The file, or what is wrong with it.
pub(super) struct FileOutput {
    path: PathBuf,
    max_size: u64,
    max_files: usize,
    file: Option<RotatingFile>,
    /// Why it is not written now; empty when it is.
    problem: String,
    retry: Option<Instant>,
    written: u64,
    lost: u64,
    untold: u64,
}

impl FileOutput {
    /// The file that the settings name; it is opened with the first event.
    pub(super) fn new(settings: &Settings) -> FileOutput {
        let files = settings.count(&keys::OUTPUTS_FILE_MAX_FILES);
        FileOutput {
            path: PathBuf::from(settings.text(&keys::OUTPUTS_FILE_PATH)),
            max_size: settings.size(&keys::OUTPUTS_FILE_MAX_SIZE),
            max_files: usize::try_from(files).unwrap_or(usize::MAX),
            file: None,
            problem: String::new(),
            retry: None,
            written: 0,
            lost: 0,
            untold: 0,
        }
    }

    /// Writes a line, or counts it as lost.
    pub(super) fn add_line(&mut self, line: &[u8], host: &HostInfo, now: Instant) {
        if self.retry.is_some_and(|retry| now < retry) {
            return self.lose();
        }
        match self.write(line, host) {
            Ok(()) => {
                self.written += 1;
                if !self.problem.is_empty() {
                    log::info!("events are written to {} again", self.path.display());
                    self.problem.clear();
                }
            }
            Err(error) => {
                self.lose();
                self.retry = Some(now + PAUSE);
                let problem = error.to_string();
                if problem != self.problem {
                    log::warn!(
                        "events cannot be written to {}: {problem}; make room or see its permissions, they are counted as lost until then",
                        self.path.display()
                    );
                    self.problem = problem;
                }
            }
        }
    }

    fn lose(&mut self) {
        self.lost += 1;
        self.untold += 1;
    }

    fn write(&mut self, line: &[u8], host: &HostInfo) -> std::io::Result<()> {
        let file = match &mut self.file {
            Some(file) => file,
            closed => {
                let file = RotatingFile::open(&self.path, self.max_size, self.max_files)?;
                closed.insert(file)
            }
        };
        if self.untold > 0 {
            let lost = [("all", self.untold)];
            let notice = event_json::lost_events(host, unix_now(), "file", &lost);
            file.write_line(notice.as_bytes())?;
            self.untold = 0;
        }
        file.write_line(line)?;
        self.retry = None;
        Ok(())
    }

    /// Opens it again with the next event.
    pub(super) fn reopen(&mut self) {
        self.file = None;
        self.retry = None;
    }

    /// What `status` says of it.
    pub(super) fn status(&self) -> Value {
        json!({
            "path": self.path.to_string_lossy(),
            "problem": self.problem,
            "events": self.written,
            "lost": self.lost,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Value as ConfigValue;
    use std::fs;

    #[test]
    fn a_file_that_fails_says_what_it_missed_once_it_works() {
        let directory = std::env::temp_dir().join(format!("file-output-{}", std::process::id()));
        let path = directory.join("events.json");
        let mut settings = Settings::empty(true);
        let text = path.to_string_lossy().into_owned();
        settings.set(&keys::OUTPUTS_FILE_PATH, ConfigValue::Text(text), "test");
        let mut output = FileOutput::new(&settings);
        let host = HostInfo::default();
        let now = Instant::now();
        output.add_line(b"{\"n\":1}", &host, now);
        output.add_line(b"{\"n\":2}", &host, now);
        assert_eq!(output.status()["lost"], 2);
        assert!(!output.status()["problem"].as_str().unwrap().is_empty());

        fs::create_dir(&directory).unwrap();
        output.add_line(b"{\"n\":3}", &host, now + PAUSE);
        let written = fs::read_to_string(&path).unwrap();
        let lines: Vec<&str> = written.lines().collect();
        assert_eq!(lines.len(), 2);
        assert!(
            lines[0].contains("\"map\":\"file\",\"lost\":2"),
            "{written}"
        );
        assert_eq!(lines[1], "{\"n\":3}");
        assert_eq!(output.status()["problem"], "");
        fs::remove_dir_all(&directory).unwrap();
    }
}
