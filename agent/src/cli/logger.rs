//! The log: one line a message on standard error, for every role the same.
//!
//! A message is written whole or not at all. When nobody reads standard error the message is
//! dropped and counted, because a role must never wait for its log; the next line that gets
//! through says how many are missing.

use std::io;
use std::os::fd::AsFd;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::SystemTime;

use log::{LevelFilter, Log, Metadata, Record};

use crate::event::json::write_time;
use crate::sys::terminal::{printable, write_some};

/// Bytes of a line; longer ones are cut. A pipe takes so many at once.
const LONGEST_LINE: usize = 4096;

struct Logger {
    role: &'static str,
    missing: AtomicUsize,
}

/// Starts the log of this process; a second call only changes the level.
pub fn start(role: &'static str, level: LevelFilter) {
    let logger = Logger {
        role,
        missing: AtomicUsize::new(0),
    };
    // An error means that there is a logger already, which is as good.
    let _ = log::set_boxed_logger(Box::new(logger));
    log::set_max_level(level);
}

/// The level that a configuration names; `None` for a name that is none.
pub fn level(name: &str) -> Option<LevelFilter> {
    match name.to_ascii_lowercase().as_str() {
        "trace" => Some(LevelFilter::Trace),
        "debug" => Some(LevelFilter::Debug),
        "info" => Some(LevelFilter::Info),
        "warn" | "warning" => Some(LevelFilter::Warn),
        "error" | "critical" => Some(LevelFilter::Error),
        "off" => Some(LevelFilter::Off),
        _ => None,
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
        let missing = self.missing.swap(0, Ordering::Relaxed);
        if missing > 0 {
            let text = format!("{missing} messages before this one could not be written");
            self.write(&line(self.role, "WARN", &text), missing);
        }
        self.write(
            &line(
                self.role,
                record.level().as_str(),
                &record.args().to_string(),
            ),
            1,
        );
    }

    fn flush(&self) {}
}

impl Logger {
    /// Writes a line that stands for this many messages.
    fn write(&self, line: &str, messages: usize) {
        let written = write_some(io::stderr().as_fd(), line.as_bytes());
        if !matches!(written, Ok(count) if count > 0) {
            self.missing.fetch_add(messages, Ordering::Relaxed);
        }
    }
}

fn line(role: &str, level: &str, message: &str) -> String {
    let mut line = now();
    line.push_str(&format!(" {level:<5} {role}: {}", printable(message)));
    if line.len() >= LONGEST_LINE {
        let mut end = LONGEST_LINE - 4;
        while !line.is_char_boundary(end) {
            end -= 1;
        }
        line.truncate(end);
        line.push('…');
    }
    line.push('\n');
    line
}

/// The time as RFC 3339 in UTC.
fn now() -> String {
    let since = SystemTime::now()
        .duration_since(SystemTime::UNIX_EPOCH)
        .unwrap_or_default();
    let mut text = String::with_capacity(128);
    write_time(&mut text, u64::try_from(since.as_nanos()).unwrap_or(0));
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_one_line_of_bounded_length() {
        let text = line(
            "role",
            "INFO",
            &format!("first\nsecond {}", "ß".repeat(5000)),
        );
        assert_eq!(text.matches('\n').count(), 1);
        assert!(text.len() <= LONGEST_LINE && text.ends_with("…\n"));
        assert!(text.contains("INFO  role: first\\u{a}second"), "{text}");
    }

    #[test]
    fn levels_have_their_usual_names() {
        assert_eq!(level("WARNING"), Some(LevelFilter::Warn));
        assert_eq!(level("off"), Some(LevelFilter::Off));
        assert_eq!(level("loud"), None);
    }
}
