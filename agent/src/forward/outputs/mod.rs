//! The local outputs: standard output and a file.
//!
//! Events enter one by one, as JSON; lines leave. No output stops another: what one cannot take is
//! counted for it, and it is told how much it missed once it works again. Only when standard output
//! is all there is, nothing is read while it has no room, so that the loss is system-probe's to
//! bound and to count.

mod file;
mod stdout;

use std::time::{Duration, Instant};

use mio::{Registry, Token};
use serde_json::{json, Value};

use super::summary;
use crate::config::{keys, Settings};
use crate::event::HostInfo;
use file::FileOutput;
use stdout::Stdout;

/// Everything that events are written to on this host.
pub(super) struct Outputs {
    stdout: Option<Stdout>,
    /// Lines for people instead of JSON.
    summaries: bool,
    file: Option<FileOutput>,
    /// Standard output may hold up everything, because there is nothing else.
    is_alone: bool,
    host: HostInfo,
}

impl Outputs {
    /// The outputs that the settings want; `summaries` asks for lines for people on standard
    /// output, `others` says that events go somewhere else, too.
    pub(super) fn new(
        settings: &Settings,
        host: &HostInfo,
        summaries: bool,
        others: bool,
        (registry, token): (&Registry, Token),
    ) -> Outputs {
        let wants_stdout = settings.flag(&keys::OUTPUTS_STDOUT_ENABLED);
        let wants_file = settings.flag(&keys::OUTPUTS_FILE_ENABLED);
        Outputs {
            stdout: wants_stdout.then(|| Stdout::new(registry, token)),
            summaries,
            file: wants_file.then(|| FileOutput::new(settings)),
            is_alone: !wants_file && !others,
            host: host.clone(),
        }
    }

    /// Whether more events can be taken now.
    pub(super) fn has_room(&self) -> bool {
        let is_full = self.stdout.as_ref().is_some_and(|out| !out.has_room());
        !(self.is_alone && is_full)
    }

    /// Takes the JSON of an event.
    pub(super) fn add(&mut self, event: &[u8], now: Instant) {
        if let Some(stdout) = &mut self.stdout {
            match self.summaries {
                true => {
                    let line = summary::line(event);
                    if !line.is_empty() {
                        stdout.add_line(line.as_bytes(), &self.host);
                    }
                }
                false => stdout.add_line(event, &self.host),
            }
        }
        if let Some(file) = &mut self.file {
            file.add_line(event, &self.host, now);
        }
    }

    /// Writes what waits and finds room.
    pub(super) fn flush(&mut self) {
        if let Some(stdout) = &mut self.stdout {
            stdout.flush();
        }
    }

    /// Writes what still goes, because this process is about to end.
    pub(super) fn close(&mut self, registry: &Registry) {
        if let Some(stdout) = &mut self.stdout {
            stdout.close(registry);
        }
    }

    /// When to look again for room that the loop is not told of.
    pub(super) fn retry_after(&self) -> Option<Duration> {
        self.stdout.as_ref().and_then(Stdout::retry_after)
    }

    /// Opens the file again, if somebody moved it away.
    pub(super) fn reopen(&mut self) {
        if let Some(file) = &mut self.file {
            file.reopen();
        }
    }

    /// Switches standard output on or off.
    pub(super) fn set_stdout(&mut self, enabled: bool, registry: &Registry, token: Token) {
        match (enabled, &self.stdout) {
            (true, None) => self.stdout = Some(Stdout::new(registry, token)),
            (false, Some(_)) => {
                if let Some(mut stdout) = self.stdout.take() {
                    stdout.close(registry);
                }
            }
            _ => {}
        }
    }

    /// What `status` says of them, by name.
    pub(super) fn status(&self) -> Value {
        json!({
            "stdout": self.stdout.as_ref().map(Stdout::status),
            "file": self.file.as_ref().map(FileOutput::status),
        })
    }
}
