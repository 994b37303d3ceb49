//! The way of events to intakes and collectors: through the spool to one sender each.
//!
//! Lines of events enter the spool; each endpoint's sender reads from it where that endpoint is,
//! and tells it what was accepted. Without an endpoint there is no spool.

use std::io;
use std::time::{Duration, Instant, SystemTime};

use mio::{Registry, Token};
use serde_json::{json, Value};

use super::sender::{Endpoint, Sender, Source};
use super::spool::{self, Pending, Record, Spool};
use crate::config::{keys, Settings};

/// Directory of the spool below the run path.
pub const DIRECTORY: &str = "spool";
/// Between two looks after bounds and disk.
const MAINTENANCE: Duration = Duration::from_secs(1);

impl Source for Spool {
    fn pending(&self, consumer: usize) -> Pending {
        Spool::pending(self, consumer)
    }

    fn read(&mut self, consumer: usize, max_records: usize, max_bytes: usize) -> Vec<Record> {
        Spool::read(self, consumer, max_records, max_bytes)
    }

    fn accept(&mut self, consumer: usize, through: u64) {
        Spool::accept(self, consumer, through);
    }
}

/// The spool and what reads it.
pub(super) struct Delivery {
    spool: Spool,
    senders: Vec<Sender>,
    maintained: Instant,
}

impl Delivery {
    /// Opens the spool for the endpoints of the settings; `None` when there are none. The senders
    /// wake the loop under tokens from `first` on.
    pub(super) fn new(
        settings: &Settings,
        (registry, first): (&Registry, usize),
    ) -> io::Result<Option<Delivery>> {
        let (endpoints, notices) = Endpoint::all(settings);
        for notice in notices {
            log::warn!("{notice}");
        }
        if endpoints.is_empty() {
            return Ok(None);
        }
        let consumers: Vec<String> = endpoints.iter().map(|it| it.name.clone()).collect();
        let on_disk = settings.flag(&keys::SPOOL_ENABLED);
        let options = spool::Options {
            directory: on_disk.then(|| settings.run_path().join(DIRECTORY)),
            max_bytes: settings.size(&keys::SPOOL_MAX_SIZE),
            max_age: settings.duration(&keys::SPOOL_MAX_AGE),
        };
        let spool = Spool::open(options, &consumers, SystemTime::now());
        let mut senders = Vec::new();
        for (number, endpoint) in endpoints.into_iter().enumerate() {
            log::info!("events are sent to {}", endpoint.label);
            let token = Token(first + number);
            senders.push(Sender::new(endpoint, settings, number, registry, token)?);
        }
        let mut delivery = Delivery {
            spool,
            senders,
            maintained: Instant::now(),
        };
        delivery.tell();
        Ok(Some(delivery))
    }

    /// Keeps the line of an event until every endpoint has it.
    pub(super) fn add(&mut self, line: &[u8], wall: SystemTime) {
        self.spool.append(line, wall);
    }

    /// Sends what is due and takes answers.
    pub(super) fn turn(&mut self, now: Instant, wall: SystemTime) {
        for sender in &mut self.senders {
            sender.turn(&mut self.spool, now, wall);
        }
        if now.saturating_duration_since(self.maintained) >= MAINTENANCE {
            self.maintained = now;
            self.spool.maintain(wall);
        }
        self.tell();
    }

    fn tell(&mut self) {
        for notice in self.spool.take_notices() {
            log::warn!("{notice}");
        }
    }

    /// When the next turn is due.
    pub(super) fn deadline(&self) -> Instant {
        let maintenance = self.maintained + MAINTENANCE;
        let senders = self.senders.iter().filter_map(Sender::deadline);
        senders.fold(maintenance, Instant::min)
    }

    /// Sends what waits without waiting for more, because this process is about to end.
    pub(super) fn hurry(&mut self) {
        self.senders.iter_mut().for_each(Sender::hurry);
    }

    /// Whether every endpoint has everything, or does not take it now.
    pub(super) fn is_settled(&self) -> bool {
        let all = self.senders.iter().enumerate();
        all.fold(true, |settled, (number, sender)| {
            settled && (sender.is_failing() || self.spool.pending(number).records == 0)
        })
    }

    /// Says what is lost now that this process ends.
    pub(super) fn end(&self) {
        for (number, sender) in self.senders.iter().enumerate() {
            let lost = self.spool.unsaved(number);
            if lost > 0 {
                let label = &sender.endpoint().label;
                log::warn!("{lost} events for {label} waited in memory only and are lost");
            }
        }
    }

    /// What `status` says of spool and endpoints.
    pub(super) fn status(&self, wall: SystemTime) -> Value {
        let counters = self.spool.counters();
        let endpoints = self.senders.iter().enumerate().map(|(number, sender)| {
            let lost = counters.consumers.get(number).cloned().unwrap_or_default();
            let pending = self.spool.pending(number);
            let age = pending
                .oldest
                .and_then(|oldest| wall.duration_since(oldest).ok());
            let mut status = sender.status();
            if let Some(fields) = status.as_object_mut() {
                fields.insert("waiting_events".to_owned(), json!(pending.records));
                fields.insert("waiting_bytes".to_owned(), json!(pending.bytes));
                let seconds = age.map_or(0, |age| age.as_secs());
                fields.insert("oldest_seconds".to_owned(), json!(seconds));
                fields.insert("dropped_for_size".to_owned(), json!(lost.dropped_for_size));
                fields.insert("dropped_for_age".to_owned(), json!(lost.dropped_for_age));
                fields.insert("damaged".to_owned(), json!(lost.damaged));
            }
            status
        });
        json!({
            "endpoints": endpoints.collect::<Vec<_>>(),
            "spool": {
                "on_disk": self.spool.is_on_disk(),
                "state": self.spool.state(),
                "bytes": self.spool.disk_bytes(),
                "damaged_bytes": counters.damaged_bytes,
                "write_errors": counters.write_errors,
            },
        })
    }
}
