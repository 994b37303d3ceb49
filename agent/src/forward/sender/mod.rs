//! Sending events to the places that want them, at least once.
//!
//! A [`Sender`] stands for one [`Endpoint`]: it takes records from the spool ([`Source`]) in their
//! order, makes a [`batch`] of them, has it sent by its own [`Worker`], and tells the spool what
//! was accepted. What fails stays in the spool and is sent again after a pause ([`backoff`]).
//! Senders share nothing, so one slow endpoint stops no other. Nothing here blocks; the loop
//! calls [`Sender::turn`] whenever the worker's socket is ready, the deadline has come, or there
//! are new records.

mod backoff;
mod batch;
pub mod endpoint;
mod falco;
mod line;

use std::io;
use std::time::{Duration, Instant, SystemTime};

use mio::{Registry, Token};
use serde_json::{json, Value};

use crate::config::{keys, Settings};
use crate::http::worker::Job;
use crate::http::{Answer, Request, Worker};
use backoff::Backoff;
use batch::{milliseconds, Batch, Host, Limits};
pub use endpoint::{Endpoint, Shape};

use super::spool::{Pending, Record};

/// Bytes of a batch at most, whatever is configured; the worker takes no more.
const MOST_BYTES: u64 = 10_000_000;

/// Where records come from: the spool, in which each endpoint is a consumer with its own cursor.
pub trait Source {
    /// What is behind the cursor.
    fn pending(&self, consumer: usize) -> Pending;
    /// Records behind the cursor in their order, which does not move; at least one when there is
    /// one, however long it is.
    fn read(&mut self, consumer: usize, max_records: usize, max_bytes: usize) -> Vec<Record>;
    /// Moves the cursor behind the record with this number.
    fn accept(&mut self, consumer: usize, through: u64);
}

/// Sends to one endpoint.
pub struct Sender {
    endpoint: Endpoint,
    consumer: usize,
    worker: Worker,
    host: Host,
    limits: Limits,
    wait: Duration,
    compression: Option<u32>,
    backoff: Backoff,
    /// A number from -1 to 1 for each pause.
    chance: fn() -> f64,
    under_way: Option<UnderWay>,
    narrowed: Option<Narrowed>,
    /// Nothing is sent before.
    pause: Option<Instant>,
    /// When the next batch is due, as far as is known.
    due: Option<Instant>,
    trouble: Option<Trouble>,
    counters: Counters,
}

/// The batch that waits for its answer.
struct UnderWay {
    through: u64,
    events: u64,
    bytes: u64,
    /// Records in between that can never be sent; they count once the batch is over.
    dropped: u64,
}

/// A batch was refused: smaller ones are sent until what was in it is through.
struct Narrowed {
    events: usize,
    through: u64,
}

/// Why nothing is accepted now.
#[derive(PartialEq, Eq)]
struct Trouble {
    /// 0 where there was no answer.
    status: u16,
    pause_ends: SystemTime,
}

#[derive(Default)]
struct Counters {
    batches: u64,
    events: u64,
    bytes: u64,
    dropped: u64,
    retries: u64,
    last_status: u16,
    last_time: Option<SystemTime>,
    last_error: String,
}

impl Sender {
    /// A sender for an endpoint, which is this consumer of the spool; its worker wakes the loop
    /// under the token.
    pub fn new(
        endpoint: Endpoint,
        settings: &Settings,
        consumer: usize,
        registry: &Registry,
        token: Token,
    ) -> io::Result<Sender> {
        let worker = Worker::new(registry, token)?;
        Ok(Sender::with(endpoint, settings, consumer, worker))
    }

    fn with(endpoint: Endpoint, settings: &Settings, consumer: usize, worker: Worker) -> Sender {
        let events = settings.count(&keys::ENDPOINTS_BATCH_MAX_SIZE).max(1);
        let bytes = settings.count(&keys::ENDPOINTS_BATCH_MAX_CONTENT_SIZE);
        let number = |count: u64| usize::try_from(count).unwrap_or(usize::MAX);
        let is_single = endpoint.shape == Shape::Falco;
        let is_compressed = settings.flag(&keys::ENDPOINTS_USE_COMPRESSION);
        let level = settings.count(&keys::ENDPOINTS_COMPRESSION_LEVEL).min(9) as u32;
        let compression = (is_compressed && endpoint.shape == Shape::Intake).then_some(level);
        Sender {
            limits: Limits {
                events: if is_single { 1 } else { number(events) },
                bytes: number(bytes.clamp(1, MOST_BYTES)),
            },
            wait: settings.duration(&keys::ENDPOINTS_BATCH_WAIT),
            compression,
            backoff: Backoff::new(settings),
            chance: chance_of_system,
            host: Host::new(settings),
            endpoint,
            consumer,
            worker,
            under_way: None,
            narrowed: None,
            pause: None,
            due: None,
            trouble: None,
            counters: Counters::default(),
        }
    }

    /// The endpoint.
    pub fn endpoint(&self) -> &Endpoint {
        &self.endpoint
    }

    /// From now on nothing waits for more events to come.
    pub fn hurry(&mut self) {
        self.wait = Duration::ZERO;
    }

    /// Whether the endpoint takes nothing now.
    pub fn is_failing(&self) -> bool {
        self.trouble.is_some()
    }

    /// When [`Sender::turn`] must be called at the latest; it must be called for new records, too.
    pub fn deadline(&self) -> Option<Instant> {
        self.worker.deadline().or(self.due)
    }

    /// Goes on with the batch under way, and begins the next one when it is due.
    pub fn turn(&mut self, source: &mut dyn Source, now: Instant, wall: SystemTime) {
        if let Some(result) = self.worker.turn(now) {
            self.settle(result, source, now, wall);
        }
        if !self.worker.is_busy() {
            self.due = self.begin(source, now, wall);
        }
    }

    /// Begins a batch; otherwise says when the next one is due, if there is one.
    fn begin(
        &mut self,
        source: &mut dyn Source,
        now: Instant,
        wall: SystemTime,
    ) -> Option<Instant> {
        let due = self.due(source.pending(self.consumer), now, wall)?;
        if due > now {
            return Some(due);
        }
        let limits = Limits {
            events: self
                .narrowed
                .as_ref()
                .map_or(self.limits.events, |one| one.events),
            ..self.limits
        };
        let records = source.read(self.consumer, limits.events, limits.bytes);
        if records.is_empty() {
            return Some(now + self.wait.max(Duration::from_secs(1)));
        }
        let mut batch = Batch::new(&self.endpoint, &self.host, limits, records);
        if batch.events == 0 {
            source.accept(self.consumer, batch.through);
            self.counters.dropped += batch.dropped;
            return Some(now);
        }
        self.under_way = Some(UnderWay {
            through: batch.through,
            events: batch.events as u64,
            bytes: batch.body.len() as u64,
            dropped: batch.dropped,
        });
        let job = self.job(&mut batch, wall);
        if let Err(sentence) = self.worker.submit(job, now) {
            self.settle(Err(sentence), source, now, wall);
            return self.pause;
        }
        None
    }

    /// When the next batch is due: at once when it is full or parts of a refused one are left,
    /// otherwise when its oldest record has waited. A clock that went backwards is no reason to
    /// wait.
    fn due(&self, pending: Pending, now: Instant, wall: SystemTime) -> Option<Instant> {
        if pending.records == 0 {
            return None;
        }
        let is_full = pending.records >= self.limits.events as u64
            || pending.bytes >= self.limits.bytes as u64
            || self.narrowed.is_some();
        let age = pending
            .oldest
            .and_then(|oldest| wall.duration_since(oldest).ok());
        let rest = match age {
            Some(age) if !is_full => self.wait.saturating_sub(age),
            _ => Duration::ZERO,
        };
        let due = now + rest;
        Some(self.pause.map_or(due, |pause| pause.max(due)))
    }

    fn job(&self, batch: &mut Batch, wall: SystemTime) -> Job {
        let endpoint = &self.endpoint;
        let mut headers = endpoint.headers.clone();
        let mut url = endpoint.url.clone();
        if endpoint.shape == Shape::Intake {
            url.push_str("/api/v2/");
            url.push_str(batch.track);
            for (name, time) in [
                ("dd-message-timestamp", batch.last),
                ("dd-current-timestamp", milliseconds(wall)),
            ] {
                headers.push((name.to_owned(), time.to_string()));
            }
        }
        Job {
            transport: endpoint.transport.clone(),
            request: Request {
                method: "POST".to_owned(),
                url,
                headers,
                body: std::mem::take(&mut batch.body),
            },
            compression: self.compression,
        }
    }

    /// What an answer, or none, means for the batch under way.
    fn settle(
        &mut self,
        result: Result<Answer, String>,
        source: &mut dyn Source,
        now: Instant,
        wall: SystemTime,
    ) {
        let Some(batch) = self.under_way.take() else {
            return;
        };
        self.counters.last_time = Some(wall);
        self.counters.last_status = result.as_ref().map_or(0, |answer| answer.status);
        match result {
            Ok(answer) if (200..300).contains(&answer.status) => self.accepted(&batch, source),
            Ok(answer) if matches!(answer.status, 400 | 413) => {
                self.refused(&answer, &batch, source, now, wall);
            }
            Ok(answer) => {
                let sentence = self.sentence(&answer);
                self.wait_after(sentence, answer.status, answer.retry_after, now, wall);
            }
            Err(sentence) => self.wait_after(sentence, 0, None, now, wall),
        }
    }

    fn accepted(&mut self, batch: &UnderWay, source: &mut dyn Source) {
        source.accept(self.consumer, batch.through);
        self.counters.batches += 1;
        self.counters.events += batch.events;
        self.counters.bytes += batch.bytes;
        self.counters.dropped += batch.dropped;
        self.pause = None;
        self.backoff.succeed();
        self.narrowed = self
            .narrowed
            .take()
            .filter(|one| batch.through < one.through);
        if let Some(narrowed) = &mut self.narrowed {
            narrowed.events = narrowed.events.saturating_mul(2).min(self.limits.events);
        }
        if self.trouble.take().is_some() {
            log::info!("events are sent to {} again", self.endpoint.label);
        }
    }

    /// Halves a batch that is too large or has an event that is not taken, down to that event,
    /// which is dropped. A pause follows where the endpoint may refuse whatever comes.
    fn refused(
        &mut self,
        answer: &Answer,
        batch: &UnderWay,
        source: &mut dyn Source,
        now: Instant,
        wall: SystemTime,
    ) {
        if batch.events > 1 {
            let known = self.narrowed.as_ref().map_or(0, |one| one.through);
            self.narrowed = Some(Narrowed {
                events: usize::try_from(batch.events / 2).unwrap_or(1),
                through: known.max(batch.through),
            });
            self.counters.retries += 1;
            return;
        }
        source.accept(self.consumer, batch.through);
        self.counters.dropped += 1 + batch.dropped;
        self.narrowed = self
            .narrowed
            .take()
            .filter(|one| batch.through < one.through);
        let sentence = match answer.status {
            413 => "an event is too large for it and was dropped (status 413)",
            _ => "it refused an event, which was dropped (status 400)",
        };
        match answer.status {
            413 => {
                log::warn!("{}: {sentence}", self.endpoint.label);
                self.counters.last_error = sentence.to_owned();
            }
            status => {
                self.wait_after(sentence.to_owned(), status, answer.retry_after, now, wall);
            }
        }
    }

    fn sentence(&self, answer: &Answer) -> String {
        let status = answer.status;
        match status {
            401 | 403 if self.endpoint.shape == Shape::Intake => {
                format!("the API key is not accepted (status {status}); check api_key and site")
            }
            401 | 403 => format!("access is denied (status {status})"),
            300..=399 => format!("it points to another URL (status {status}); configure that one"),
            429 => "it asks to send less (status 429)".to_owned(),
            _ => format!("it answered with status {status}"),
        }
    }

    /// Keeps the batch for later. People are told when the trouble is a new one.
    fn wait_after(
        &mut self,
        sentence: String,
        status: u16,
        asked: Option<Duration>,
        now: Instant,
        wall: SystemTime,
    ) {
        let pause = self.backoff.fail(asked, (self.chance)());
        self.pause = Some(now + pause);
        self.counters.retries += 1;
        if self.trouble.as_ref().is_none_or(|old| old.status != status) {
            let label = &self.endpoint.label;
            log::warn!("events wait for {label}: {sentence}; they are sent later");
        }
        self.trouble = Some(Trouble {
            status,
            pause_ends: wall + pause,
        });
        self.counters.last_error = sentence;
    }

    /// What `status` shows.
    pub fn status(&self) -> Value {
        let counters = &self.counters;
        let trouble = self.trouble.as_ref();
        json!({
            "name": self.endpoint.name,
            "url": self.endpoint.label,
            "shape": self.endpoint.shape.name(),
            "state": if trouble.is_some() { "waiting" } else { "ok" },
            "last_status": counters.last_status,
            "last_time": counters.last_time.map(time),
            "last_error": counters.last_error,
            "sent_batches": counters.batches,
            "sent_events": counters.events,
            "sent_bytes": counters.bytes,
            "dropped": counters.dropped,
            "retries": counters.retries,
            "backoff_until": trouble.map(|trouble| time(trouble.pause_ends)),
            "worker": self.worker.process(),
        })
    }
}

fn time(time: SystemTime) -> String {
    let mut text = String::new();
    crate::event::json::write_time(&mut text, milliseconds(time).saturating_mul(1_000_000));
    text
}

/// A number from -1 to 1, from the keys that the standard library draws for its hash maps.
fn chance_of_system() -> f64 {
    use std::hash::{BuildHasher, Hasher};
    let drawn = std::hash::RandomState::new().build_hasher().finish();
    (drawn as f64 / u64::MAX as f64) * 2.0 - 1.0
}

#[cfg(test)]
mod tests;
