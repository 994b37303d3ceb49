//! The log of this process: behind the `log` crate, for every role the same.
//!
//! A message of any module enters; its secrets are masked, repeats are held back, and the line
//! goes to the sinks of the configuration: standard error, a file, syslog. A message is written
//! whole or not at all. What a sink does not take is dropped and counted, because a role must never
//! wait for its log. `format` makes lines, `sink` and `syslog` write them, `repeats` counts.
//!
//! Only the process that started the log writes to its file and to syslog; a process that it
//! forked has standard error, as two must not rotate one file.

mod format;
mod options;
mod repeats;
mod sink;
mod syslog;

use std::fmt;
use std::hash::Hash;
use std::sync::{Mutex, MutexGuard, TryLockError};
use std::time::{Instant, SystemTime};

use log::{Level, LevelFilter, Log, Metadata, Record};

use crate::scrub::Scrubber;
use format::Message;
pub use options::Options;
use repeats::Repeats;
use sink::{Console, Counted, LogFile, SyslogSink};

/// Levels by their names, the usual name of each first.
const LEVELS: &[(&str, LevelFilter)] = &[
    ("trace", LevelFilter::Trace),
    ("debug", LevelFilter::Debug),
    ("info", LevelFilter::Info),
    ("warn", LevelFilter::Warn),
    ("warning", LevelFilter::Warn),
    ("error", LevelFilter::Error),
    ("critical", LevelFilter::Error),
    ("off", LevelFilter::Off),
];
/// What is written when there is nothing that could mask secrets.
const UNFIT: &str = "this message is left out: secrets in it could not be masked";

static LOGGER: Logger = Logger(Mutex::new(State::new()));

/// A name that is none of a level.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnknownLevel(pub String);

impl fmt::Display for UnknownLevel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "`{}` is none of trace, debug, info, warn, error, critical, off",
            self.0
        )
    }
}

impl std::error::Error for UnknownLevel {}

/// Starts the log of this process, or starts it anew with other options.
pub fn start(role: &'static str, options: &Options) {
    let (state, complaints) = State::started(role, options, Instant::now());
    let previous = LOGGER
        .state()
        .map(|mut now| std::mem::replace(&mut *now, state));
    drop(previous);
    // An error means that it is the logger already.
    let _ = log::set_logger(&LOGGER);
    log::set_max_level(options.level);
    for (level, complaint) in complaints {
        log::log!(level, "{complaint}");
    }
}

/// Changes the lowest level that is written, until the next start.
pub fn set_level(name: &str) -> Result<(), UnknownLevel> {
    let level = level_of(name)?;
    if level != log::max_level() {
        log::set_max_level(level);
        log::debug!("the lowest level that is logged is {} now", self::level());
    }
    Ok(())
}

/// The name of the lowest level that is written.
pub fn level() -> &'static str {
    let current = log::max_level();
    let known = LEVELS.iter().find(|(_, level)| *level == current);
    known.map_or("off", |(name, _)| name)
}

/// Hides these texts from now on wherever they stand in a message; see [`Scrubber::add_secrets`].
pub fn add_secrets(secrets: &[String]) {
    if let Some(mut state) = LOGGER.state() {
        if let Some(scrubber) = &mut state.scrubber {
            scrubber.add_secrets(secrets);
        }
    }
}

fn level_of(name: &str) -> Result<LevelFilter, UnknownLevel> {
    let known = LEVELS
        .iter()
        .find(|(known, _)| known.eq_ignore_ascii_case(name));
    known
        .map(|(_, level)| *level)
        .ok_or_else(|| UnknownLevel(name.to_owned()))
}

struct Logger(Mutex<State>);

impl Logger {
    /// The state, unless it is in use: by a message that is made while another is written.
    fn state(&self) -> Option<MutexGuard<'_, State>> {
        match self.0.try_lock() {
            Ok(state) => Some(state),
            Err(TryLockError::Poisoned(error)) => Some(error.into_inner()),
            Err(TryLockError::WouldBlock) => None,
        }
    }
}

impl Log for Logger {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        // redbpf warns of what is tried and handled here; what matters of it is in our own errors.
        let is_foreign = metadata.target().starts_with("redbpf");
        let limit = log::max_level();
        metadata.level() <= limit && (!is_foreign || limit >= LevelFilter::Debug)
    }

    fn log(&self, record: &Record<'_>) {
        if !self.enabled(record.metadata()) {
            return;
        }
        // Made before the state is in use, as making it may log.
        let text = record.args().to_string();
        let place = (record.target(), record.file(), record.line());
        if let Some(mut state) = self.state() {
            state.log(Instant::now(), record.level(), place, &text);
        }
    }

    /// Tells of the repeats that are still held back.
    fn flush(&self) {
        if let Some(mut state) = self.state() {
            state.flush(Instant::now());
        }
    }
}

struct State {
    role: &'static str,
    /// The process that started the log.
    pid: u32,
    scrubber: Option<Scrubber>,
    repeats: Repeats,
    console: Option<Counted<Console>>,
    file: Option<Counted<LogFile>>,
    syslog: Option<Counted<SyslogSink>>,
}

impl State {
    const fn new() -> State {
        State {
            role: "",
            pid: 0,
            scrubber: None,
            repeats: Repeats::new(),
            console: None,
            file: None,
            syslog: None,
        }
    }

    /// A log as the options want it, and what is to be said of it.
    fn started(
        role: &'static str,
        options: &Options,
        now: Instant,
    ) -> (State, Vec<(Level, String)>) {
        let mut complaints = options.complaints.clone();
        let json = options.json;
        let file = options.file.as_ref();
        let file = file.and_then(|file| match LogFile::open(file, now) {
            Ok(file) => Some(Counted::new(file)),
            Err(reason) => {
                complaints.push((file.level_of_absence(), reason));
                None
            }
        });
        let syslog = options.syslog.clone().map(|syslog| {
            let sink = SyslogSink::new(syslog.target, syslog.rfc5424, syslog.host);
            Counted::new(sink)
        });
        let state = State {
            role,
            pid: std::process::id(),
            scrubber: options.scrubber.clone(),
            repeats: Repeats::new(),
            console: options.console.then(|| Counted::new(Console { json })),
            file,
            syslog,
        };
        (state, complaints)
    }

    fn log(&mut self, now: Instant, level: Level, place: impl Hash, text: &str) {
        let text = match &self.scrubber {
            Some(scrubber) => scrubber.line(text).into_owned(),
            None => UNFIT.to_owned(),
        };
        while let Some(summary) = self.repeats.due(now) {
            self.write(now, summary.level, &summary.text);
        }
        if self.repeats.admits(now, level, place, &text) {
            self.write(now, level, &text);
        }
    }

    fn flush(&mut self, now: Instant) {
        for summary in self.repeats.all() {
            self.write(now, summary.level, &summary.text);
        }
    }

    /// Writes a message without secrets to every sink.
    fn write(&mut self, now: Instant, level: Level, text: &str) {
        let message = Message {
            role: self.role,
            time: SystemTime::now(),
            level,
            text,
        };
        if let Some(console) = &mut self.console {
            console.send(now, &message);
        }
        if std::process::id() != self.pid {
            return;
        }
        if let Some(syslog) = &mut self.syslog {
            syslog.send(now, &message);
        }
        let Some(file) = &mut self.file else {
            return;
        };
        file.send(now, &message);
        if let Some(complaint) = file.sink.take_complaint() {
            let message = Message {
                level: Level::Error,
                text: &complaint,
                ..message
            };
            // It is said even where nothing else goes there.
            let mut standard = Counted::new(Console { json: false });
            self.console
                .as_mut()
                .unwrap_or(&mut standard)
                .send(now, &message);
        }
    }
}

#[cfg(test)]
mod tests;
