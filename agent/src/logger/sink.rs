//! Where messages go, and how many did not get there.
//!
//! Messages enter; lines leave to standard error, a file or syslog. A sink takes a message whole
//! or refuses it. [`Counted`] counts what was refused, and the next message that gets through is
//! preceded by one that says how many are missing.

use std::io;
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use log::Level;

use super::format::{self, Message};
use super::syslog::{Syslog, Target};
use crate::sys::rotating_file::RotatingFile;
use crate::sys::terminal::write_some;

/// Pause before a file that could not be written is tried again.
const PAUSE: Duration = Duration::from_secs(30);

/// Something that takes messages.
pub(super) trait Sink {
    /// Whether the message was taken.
    fn take(&mut self, now: Instant, message: &Message<'_>) -> bool;
}

/// A sink, and how many messages it refused since it took one.
#[derive(Debug)]
pub(super) struct Counted<S> {
    pub(super) sink: S,
    missing: u64,
}

impl<S: Sink> Counted<S> {
    pub(super) fn new(sink: S) -> Counted<S> {
        Counted { sink, missing: 0 }
    }

    pub(super) fn send(&mut self, now: Instant, message: &Message<'_>) {
        if self.missing > 0 {
            let count = self.missing;
            let notice = Message {
                level: Level::Warn,
                text: &format!("{count} messages before this one could not be written"),
                ..*message
            };
            if self.sink.take(now, &notice) {
                self.missing = 0;
            }
        }
        if !self.sink.take(now, message) {
            self.missing = self.missing.saturating_add(1);
        }
    }
}

/// Standard error, which is never waited for.
#[derive(Debug)]
pub(super) struct Console {
    pub(super) json: bool,
}

impl Sink for Console {
    fn take(&mut self, _now: Instant, message: &Message<'_>) -> bool {
        let line = format::line(message, self.json);
        matches!(write_some(io::stderr().as_fd(), line.as_bytes()), Ok(count) if count > 0)
    }
}

/// Datagrams to syslog.
#[derive(Debug)]
pub(super) struct SyslogSink {
    syslog: Syslog,
    rfc5424: bool,
    /// Name of this host for a daemon that cannot know it.
    host: Option<String>,
}

impl SyslogSink {
    pub(super) fn new(target: Target, rfc5424: bool, host: String) -> SyslogSink {
        let host = Some(host).filter(|_| rfc5424 || target.is_remote());
        SyslogSink {
            syslog: Syslog::new(target),
            rfc5424,
            host,
        }
    }
}

impl Sink for SyslogSink {
    fn take(&mut self, now: Instant, message: &Message<'_>) -> bool {
        let datagram = format::syslog(message, self.rfc5424, self.host.as_deref());
        self.syslog.send(now, datagram.as_bytes())
    }
}

/// Which file, and when it is rotated.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct FileOptions {
    pub(super) path: PathBuf,
    /// Bytes.
    pub(super) max_size: u64,
    /// Old files that are kept.
    pub(super) rolls: usize,
    pub(super) json: bool,
}

impl FileOptions {
    /// How loudly it is said that the file is not written: a directory that is not there is how
    /// people do without.
    pub(super) fn level_of_absence(&self) -> Level {
        match self.path.parent().is_some_and(Path::is_dir) {
            true => Level::Warn,
            false => Level::Debug,
        }
    }
}

/// A log file. One that cannot be written is complained about once, and tried again later.
#[derive(Debug)]
pub(super) struct LogFile {
    options: FileOptions,
    file: Option<RotatingFile>,
    retry_at: Option<Instant>,
    complaint: Option<String>,
}

impl LogFile {
    /// Opens the file. The error says why this process is not to write one at all: the directory
    /// is not there, or not for us to write.
    pub(super) fn open(options: &FileOptions, now: Instant) -> Result<LogFile, String> {
        let path = options.path.display();
        let parent = options.path.parent().unwrap_or(Path::new("/"));
        if !parent.is_dir() {
            return Err(format!(
                "{path} is not written: its directory does not exist"
            ));
        }
        let mut file = LogFile {
            options: options.clone(),
            file: None,
            retry_at: None,
            complaint: None,
        };
        match file.reopen() {
            Ok(()) => {}
            Err(error) if is_not_ours(&error) => {
                return Err(format!("{path} is not written: {error}"));
            }
            Err(error) => file.fail(now, &error),
        }
        Ok(file)
    }

    /// What is to be said of the file where people see it; once for each time it fails.
    pub(super) fn take_complaint(&mut self) -> Option<String> {
        self.complaint.take()
    }

    fn reopen(&mut self) -> io::Result<()> {
        let options = &self.options;
        let file = RotatingFile::open(&options.path, options.max_size, options.rolls)?;
        self.file = Some(file);
        Ok(())
    }

    fn write(&mut self, line: &[u8]) -> io::Result<()> {
        if self.file.is_none() {
            self.reopen()?;
        }
        match &mut self.file {
            Some(file) => file.write_line(line),
            None => Err(io::Error::from(io::ErrorKind::NotFound)),
        }
    }

    fn fail(&mut self, now: Instant, error: &io::Error) {
        if self.retry_at.is_none() {
            let path = self.options.path.display();
            self.complaint = Some(format!(
                "the log file {path} cannot be written: {error}; it is tried again every {} seconds",
                PAUSE.as_secs()
            ));
        }
        self.file = None;
        self.retry_at = Some(now + PAUSE);
    }
}

impl Sink for LogFile {
    fn take(&mut self, now: Instant, message: &Message<'_>) -> bool {
        if self.retry_at.is_some_and(|at| now < at) {
            return false;
        }
        let line = format::line(message, self.options.json);
        match self.write(line.trim_end_matches('\n').as_bytes()) {
            Ok(()) => {
                self.retry_at = None;
                true
            }
            Err(error) => {
                self.fail(now, &error);
                false
            }
        }
    }
}

/// Whether writing is not for this process, rather than not possible now.
fn is_not_ours(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem
    )
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::time::SystemTime;

    use super::*;

    /// A directory that is removed at the end.
    struct Scratch(PathBuf);

    impl Scratch {
        fn new(name: &str) -> Scratch {
            let name = format!("log-sink-test-{name}-{}", std::process::id());
            let path = std::env::temp_dir().join(name);
            fs::create_dir_all(&path).unwrap();
            Scratch(path)
        }

        fn options(&self) -> FileOptions {
            FileOptions {
                path: self.0.join("agent.log"),
                max_size: 1_000_000,
                rolls: 1,
                json: false,
            }
        }

        /// What the lines of the log say.
        fn messages(&self) -> Vec<String> {
            let text = fs::read_to_string(self.0.join("agent.log")).unwrap();
            let said = text.lines().filter_map(|line| line.split_once(": "));
            said.map(|(_, message)| message.to_owned()).collect()
        }
    }

    impl Drop for Scratch {
        fn drop(&mut self) {
            let _ = fs::remove_dir_all(&self.0);
        }
    }

    fn message(text: &str) -> Message<'_> {
        Message {
            role: "role",
            time: SystemTime::UNIX_EPOCH,
            level: Level::Info,
            text,
        }
    }

    #[test]
    fn messages_are_lines_of_the_file() {
        let scratch = Scratch::new("lines");
        let now = Instant::now();
        let mut file = Counted::new(LogFile::open(&scratch.options(), now).unwrap());
        file.send(now, &message("one\ntwo"));
        file.send(now, &message("three"));
        assert_eq!(scratch.messages(), ["one\\u{a}two", "three"]);
    }

    #[test]
    fn a_file_without_a_directory_is_none() {
        let scratch = Scratch::new("none");
        let options = FileOptions {
            path: scratch.0.join("missing/agent.log"),
            ..scratch.options()
        };
        let reason = LogFile::open(&options, Instant::now()).unwrap_err();
        assert!(reason.ends_with("its directory does not exist"), "{reason}");
    }

    #[test]
    fn a_file_that_fails_is_said_once_and_tried_again_later() {
        let scratch = Scratch::new("fails");
        let start = Instant::now();
        let path = scratch.options().path;
        fs::create_dir(&path).unwrap();
        let mut file = Counted::new(LogFile::open(&scratch.options(), start).unwrap());
        assert!(file.sink.take_complaint().is_some());
        file.send(start, &message("lost"));
        file.send(start + PAUSE, &message("lost"));
        assert_eq!(file.sink.take_complaint(), None);
        fs::remove_dir(&path).unwrap();
        file.send(start + PAUSE + PAUSE / 2, &message("lost"));
        file.send(start + PAUSE * 2, &message("found"));
        let notice = "3 messages before this one could not be written";
        assert_eq!(scratch.messages(), [notice, "found"]);
    }

    #[test]
    fn a_full_disk_is_said() {
        let scratch = Scratch::new("full");
        let now = Instant::now();
        let mut file = LogFile::open(&scratch.options(), now).unwrap();
        file.fail(now, &io::Error::from(io::ErrorKind::StorageFull));
        let complaint = file.take_complaint().unwrap();
        assert!(
            complaint.contains("cannot be written: no storage space"),
            "{complaint}"
        );
    }
}
