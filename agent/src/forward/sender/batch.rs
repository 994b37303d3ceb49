//! From records of the spool to the body of one request.
//!
//! Records enter in their order; as many as the limits allow and as go to one track leave as one
//! body. Records are freed one by one while the body grows, so that a batch is not held twice.

use std::time::{SystemTime, UNIX_EPOCH};

use serde::Serialize;

use super::endpoint::{Endpoint, Shape};
use super::line::Line;
use super::{falco, Record};
use crate::config::{keys, Settings};

/// `service` and `ddsource` of every log entry.
const SERVICE: &str = "runtime-security-agent";
/// Events of the agent that say what it does, and the track they go to.
const INFORMATION: [&str; 2] = ["ruleset_loaded", "heartbeat"];
const INFORMATION_TRACK: &str = "secinfo";

/// What every entry says of this host.
#[derive(Clone, Debug)]
pub(super) struct Host {
    pub(super) name: String,
    /// Tags of the host, separated by commas.
    pub(super) tags: String,
}

impl Host {
    pub(super) fn new(settings: &Settings) -> Host {
        let hostname = settings.text(&keys::HOSTNAME);
        let mut tags = settings.list(&keys::TAGS).to_vec();
        tags.extend_from_slice(settings.list(&keys::EXTRA_TAGS));
        let env = settings.text(&keys::ENV);
        if !env.is_empty() {
            tags.push(format!("env:{env}"));
        }
        Host {
            name: crate::resolve::host::detect(hostname).hostname,
            tags: tags.join(","),
        }
    }
}

/// How large a batch may become.
#[derive(Clone, Copy, Debug)]
pub(super) struct Limits {
    pub(super) events: usize,
    /// Before compression.
    pub(super) bytes: usize,
}

/// The body of one request.
#[derive(Debug, Default)]
pub(super) struct Batch {
    pub(super) body: Vec<u8>,
    pub(super) track: &'static str,
    pub(super) events: usize,
    /// Records that are no events, or events that no batch can hold.
    pub(super) dropped: u64,
    /// Number of the last record that was taken or dropped.
    pub(super) through: u64,
    /// When the last event came, in milliseconds since the epoch.
    pub(super) last: u64,
}

/// One entry of the array that the intake takes.
#[derive(Serialize)]
struct Entry<'a> {
    message: &'a str,
    status: &'static str,
    timestamp: u64,
    hostname: &'a str,
    service: &'static str,
    ddsource: &'static str,
    ddtags: String,
}

impl Batch {
    /// Takes what fits of these records.
    pub(super) fn new(
        endpoint: &Endpoint,
        host: &Host,
        limits: Limits,
        records: Vec<Record>,
    ) -> Batch {
        let mut batch = Batch::default();
        for record in records {
            if batch.events >= limits.events || !batch.take(endpoint, host, limits, &record) {
                break;
            }
        }
        if endpoint.shape == Shape::Intake {
            batch.body.push(b']');
        }
        batch.body.shrink_to_fit();
        batch
    }

    /// Whether the record was taken or dropped; false when it belongs to the next batch.
    fn take(&mut self, endpoint: &Endpoint, host: &Host, limits: Limits, record: &Record) -> bool {
        let Some(line) = Line::parse(&record.payload) else {
            self.drop(record);
            return true;
        };
        let track = track(endpoint, &line.rule);
        if self.events > 0 && self.track != track {
            return false;
        }
        let before = self.body.len();
        let written = self.write(endpoint.shape, host, &line, record.time);
        if written.is_err() || self.body.len() >= limits.bytes {
            self.body.truncate(before);
            if self.events > 0 {
                return false;
            }
            self.drop(record);
            return true;
        }
        self.events += 1;
        self.track = track;
        self.through = record.number;
        self.last = milliseconds(record.time);
        true
    }

    fn drop(&mut self, record: &Record) {
        self.dropped += 1;
        self.through = record.number;
    }

    fn write(
        &mut self,
        shape: Shape,
        host: &Host,
        line: &Line<'_>,
        time: SystemTime,
    ) -> serde_json::Result<()> {
        match shape {
            Shape::Intake => {
                self.body.push(if self.events == 0 { b'[' } else { b',' });
                let mut tags = line.tags.join(",");
                if !tags.is_empty() && !host.tags.is_empty() {
                    tags.push(',');
                }
                tags.push_str(&host.tags);
                let entry = Entry {
                    message: line.event,
                    status: "info",
                    timestamp: milliseconds(time),
                    hostname: &host.name,
                    service: SERVICE,
                    ddsource: SERVICE,
                    ddtags: tags,
                };
                serde_json::to_writer(&mut self.body, &entry)
            }
            Shape::Native => {
                self.body.extend_from_slice(line.event.as_bytes());
                self.body.push(b'\n');
                Ok(())
            }
            Shape::Falco => {
                let time = milliseconds(time).saturating_mul(1_000_000);
                serde_json::to_writer(&mut self.body, &falco::object(line, &host.name, time))
            }
        }
    }
}

fn track(endpoint: &Endpoint, rule: &str) -> &'static str {
    match endpoint.shape {
        Shape::Intake if INFORMATION.contains(&rule) => INFORMATION_TRACK,
        Shape::Intake => endpoint.track,
        Shape::Native | Shape::Falco => "",
    }
}

/// Milliseconds since the epoch.
pub(super) fn milliseconds(time: SystemTime) -> u64 {
    let since = time.duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}
