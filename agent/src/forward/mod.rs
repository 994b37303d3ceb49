//! The security-agent role: takes events from the event socket and passes them on.
//!
//! A single-threaded loop. Lines of events enter from system-probe ([`link`]); they leave for the
//! local outputs ([`outputs`]) and, through the spool, for intakes and collectors ([`delivery`]).
//! What was passed on is acknowledged, so that system-probe keeps nothing longer than it must.
//! Commands are answered on a socket of this role's own ([`serving`]), metrics in [`metrics`].
//! Nothing in the loop waits: what can take its time happens in worker processes.

mod clock;
pub mod connection;
pub mod delivery;
mod link;
pub mod metrics;
mod outputs;
pub mod sender;
mod serving;
pub mod spool;
mod status;
pub mod summary;

use std::fmt;
use std::io;
use std::time::{Duration, Instant, SystemTime};

use mio::{Events, Interest, Poll, Token};

use crate::config::Settings;
use crate::event::HostInfo;
use crate::resolve;
use crate::sys::memory::ProgramPages;
use crate::sys::signals::{Signal, Signals};
use crate::sys::terminal;
use clock::ClockWatch;
use delivery::Delivery;
use link::{Link, Turn};
use metrics::Metrics;
use outputs::Outputs;
use serving::Server;

const SIGNALS: Token = Token(0);
const SOCKET: Token = Token(1);
const OUTPUT: Token = Token(2);
const COMMANDS: Token = Token(3);
const METRICS: Token = Token(4);
const PROBE_STATUS: Token = Token(5);
/// Token of the first sender.
const FIRST_SENDER: usize = 16;
/// Token of the first peer of the sockets, above those of all senders.
const FIRST_PEER: usize = 1 << 16;

/// How long the last lines of a system-probe that stops at the same time are waited for.
const LAST_LINES: Duration = Duration::from_millis(500);
/// How long answers to the last batches are waited for after that.
const LAST_BATCHES: Duration = Duration::from_secs(3);
/// Lines that are taken in one turn before signals are looked at again.
const LINES_A_TURN: usize = 4096;
/// Between two looks after what no event of the loop tells of.
const LOOK: Duration = Duration::from_secs(1);

/// What the command line decides.
#[derive(Clone, Copy, Debug, Default)]
pub struct Options {
    /// JSON lines, even on a terminal.
    pub json: bool,
}

/// Why the role ended.
#[derive(Debug)]
pub enum Error {
    /// The loop itself does not work.
    Loop(io::Error),
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Error::Loop(error) => write!(f, "the loop of this role cannot go on: {error}"),
        }
    }
}

impl std::error::Error for Error {}

impl From<io::Error> for Error {
    fn from(error: io::Error) -> Error {
        Error::Loop(error)
    }
}

/// Passes events on until SIGTERM or SIGINT; a system-probe that is not there is waited for.
pub fn run(settings: &Settings, options: &Options) -> Result<(), Error> {
    Forwarder::new(settings, options)?.run()
}

struct Forwarder {
    poll: Poll,
    signals: Signals,
    settings: Settings,
    link: Link,
    outputs: Outputs,
    delivery: Option<Delivery>,
    server: Server,
    metrics: Metrics,
    clock: ClockWatch,
    started: Instant,
    pages: ProgramPages,
    looked_after: Instant,
    received: u64,
    /// The last turn ended with lines left to take.
    more: bool,
    /// The end, once it was told to stop.
    end: Option<End>,
}

/// An end that is under way.
#[derive(Clone, Copy)]
struct End {
    /// When no more lines of system-probe are waited for.
    lines: Instant,
    /// When no more answers are waited for.
    batches: Instant,
}

impl Forwarder {
    fn new(settings: &Settings, options: &Options) -> io::Result<Forwarder> {
        let mut signals = Signals::block(&[Signal::SIGTERM, Signal::SIGINT, Signal::SIGHUP])?;
        let poll = Poll::new()?;
        let registry = poll.registry();
        registry.register(&mut signals, SIGNALS, Interest::READABLE)?;
        let server = Server::new(settings, (registry, COMMANDS));
        let metrics = Metrics::new(settings, registry, METRICS);
        let host: HostInfo = resolve::host::detect(settings.text(&crate::config::keys::HOSTNAME));
        let delivery = Delivery::new(settings, (registry, FIRST_SENDER))?;
        let summaries = !options.json && terminal::stdout_is_terminal();
        let others = delivery.is_some();
        let outputs = Outputs::new(settings, &host, summaries, others, (registry, OUTPUT));
        Ok(Forwarder {
            signals,
            settings: settings.clone(),
            link: Link::new(settings.event_socket()),
            outputs,
            delivery,
            server,
            metrics,
            clock: ClockWatch::new(Instant::now(), SystemTime::now()),
            started: Instant::now(),
            pages: ProgramPages::new(Instant::now()),
            looked_after: Instant::now(),
            received: 0,
            more: false,
            end: None,
            poll,
        })
    }

    fn run(mut self) -> Result<(), Error> {
        let mut events = Events::with_capacity(64);
        while !self.is_done() {
            self.turn();
            match self.poll.poll(&mut events, self.timeout()) {
                Err(error) if error.kind() != io::ErrorKind::Interrupted => {
                    return Err(error.into())
                }
                _ => {}
            }
            for event in &events {
                self.wake(event.token());
            }
        }
        self.outputs.close(self.poll.registry());
        if let Some(delivery) = &self.delivery {
            delivery.end();
        }
        Ok(())
    }

    /// What is to be done each time something woke the loop.
    fn turn(&mut self) {
        self.outputs.flush();
        self.take_lines();
        self.outputs.flush();
        if let Some(delivery) = &mut self.delivery {
            delivery.turn(Instant::now(), SystemTime::now());
        }
        self.serve();
        self.scrape();
        self.look_after();
    }

    /// Answers who reads the metrics.
    fn scrape(&mut self) {
        let mut metrics = std::mem::take(&mut self.metrics);
        let tokens = (METRICS, PROBE_STATUS);
        metrics.turn(self.poll.registry(), tokens, || self.status());
        self.metrics = metrics;
    }

    /// What is due once a second.
    fn look_after(&mut self) {
        let now = Instant::now();
        if now.saturating_duration_since(self.looked_after) < LOOK {
            return;
        }
        self.looked_after = now;
        self.pages.release_when_due(now);
        self.server.expire();
        if let Some(sentence) = self.clock.look(now, SystemTime::now()) {
            log::warn!("{sentence}");
        }
    }

    /// Passes on what has come, as far as the outputs have room.
    fn take_lines(&mut self) {
        self.link.connect_when_due(self.poll.registry(), SOCKET);
        let now = Instant::now();
        let wall = SystemTime::now();
        let quiet = self.end.is_some();
        let (outputs, delivery) = (&mut self.outputs, &mut self.delivery);
        if !outputs.has_room() {
            self.more = true;
            return;
        }
        let mut taken = 0;
        let turn = self.link.turn(quiet, |line, event| {
            taken += 1;
            outputs.add(event, now);
            if let Some(delivery) = delivery {
                delivery.add(line, wall);
            }
            taken < LINES_A_TURN && outputs.has_room()
        });
        self.received += taken as u64;
        self.more = turn == Turn::More;
    }

    /// Whether it was told to stop, system-probe, which is told the same, has said its last, and
    /// what was taken is where it belongs.
    fn is_done(&mut self) -> bool {
        self.take_signals();
        let Some(end) = self.end else {
            return false;
        };
        let now = Instant::now();
        if self.link.is_up() && now < end.lines {
            return false;
        }
        match &mut self.delivery {
            Some(delivery) if now < end.batches => {
                delivery.hurry();
                delivery.turn(now, SystemTime::now());
                delivery.is_settled()
            }
            _ => true,
        }
    }

    fn take_signals(&mut self) {
        while let Some(signal) = self.signals.next() {
            if signal == Signal::SIGHUP {
                self.outputs.reopen();
                continue;
            }
            let lines = Instant::now() + LAST_LINES;
            let batches = lines + LAST_BATCHES;
            self.end.get_or_insert(End { lines, batches });
        }
    }

    /// Notes what woke the loop.
    fn wake(&mut self, token: Token) {
        match token {
            METRICS => self.metrics.wake(),
            token if token == COMMANDS || token.0 >= FIRST_PEER => self.server.wake(token),
            // Everything else is looked at in every turn.
            _ => {}
        }
    }

    fn timeout(&self) -> Option<Duration> {
        let now = Instant::now();
        let left = |at: Instant| at.saturating_duration_since(now);
        let has_lines = self.more && self.outputs.has_room();
        if has_lines || self.server.has_pending() {
            return Some(Duration::ZERO);
        }
        let second = self.looked_after + LOOK;
        let delivery = self.delivery.as_ref().map(Delivery::deadline);
        let end = self
            .end
            .map(|end| match self.link.is_up() && now < end.lines {
                true => end.lines,
                false => end.batches,
            });
        let metrics = self.metrics.deadline();
        let deadlines = [Some(second), self.link.retry(), delivery, metrics, end];
        let next = deadlines.into_iter().flatten().map(left).min();
        next.into_iter().chain(self.outputs.retry_after()).min()
    }
}
