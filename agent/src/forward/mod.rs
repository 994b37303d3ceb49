//! The security-agent role: takes events from the event socket and passes them on.
//!
//! A single-threaded loop over signals, the socket ([`connection`]) and standard output
//! ([`output`]). Lines of events enter; JSON lines or [`summary`] lines leave. While the output
//! has no room nothing is read, so it is system-probe that bounds and counts what a slow reader
//! loses. Sending to an intake is not done here yet.

pub mod connection;
pub mod output;
pub mod sender;
pub mod summary;

use std::fmt;
use std::io;
use std::time::{Duration, Instant};

use mio::{Events, Interest, Poll, Token};

use crate::config::Settings;
use crate::sys::signals::{Signal, Signals};
use crate::sys::terminal;
use connection::{Connection, Incoming};
use output::Output;

const SIGNALS: Token = Token(0);
const SOCKET: Token = Token(1);
const OUTPUT: Token = Token(2);

/// Pauses between attempts to connect, each up to a number of failures: at first as short as
/// system-probe takes to start, so that its first event is not waited for.
const PAUSES: [(u32, Duration); 2] = [
    (50, Duration::from_millis(20)),
    (95, Duration::from_millis(200)),
];
/// Pause between all later attempts.
const LONG_PAUSE: Duration = Duration::from_secs(1);
/// Failures in a row after which people are told.
const WORTH_A_WORD: u32 = 50;
/// How long the last lines of a system-probe that stops at the same time are waited for.
const LAST_LINES: Duration = Duration::from_millis(500);
/// Lines that are taken in one turn before signals are looked at again.
const LINES_A_TURN: usize = 4096;

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
    output: Output,
    json: bool,
    socket: std::path::PathBuf,
    link: Link,
    /// Attempts to connect that failed since the last connection.
    failures: u32,
    /// The last turn ended with lines left to take.
    more: bool,
    /// When it ends at the latest, once it was told to stop.
    end: Option<Instant>,
}

enum Link {
    Down { retry: Instant },
    Up(Connection),
}

impl Forwarder {
    fn new(settings: &Settings, options: &Options) -> io::Result<Forwarder> {
        let mut signals = Signals::block(&[Signal::SIGTERM, Signal::SIGINT, Signal::SIGHUP])?;
        let poll = Poll::new()?;
        poll.registry()
            .register(&mut signals, SIGNALS, Interest::READABLE)?;
        let output = Output::stdout(poll.registry(), OUTPUT);
        Ok(Forwarder {
            poll,
            signals,
            output,
            json: options.json || !terminal::stdout_is_terminal(),
            socket: settings.event_socket(),
            link: Link::Down {
                retry: Instant::now(),
            },
            failures: 0,
            more: false,
            end: None,
        })
    }

    fn run(mut self) -> Result<(), Error> {
        let mut events = Events::with_capacity(8);
        while !self.is_done() {
            self.output.flush();
            self.take_lines();
            self.output.flush();
            match self.poll.poll(&mut events, self.timeout()) {
                Err(error) if error.kind() != io::ErrorKind::Interrupted => {
                    return Err(error.into())
                }
                _ => {}
            }
        }
        self.output.flush();
        Ok(())
    }

    /// Whether it was told to stop and system-probe, which is told the same, has said its last.
    fn is_done(&mut self) -> bool {
        if self.is_told_to_stop() {
            self.end.get_or_insert(Instant::now() + LAST_LINES);
        }
        let is_down = matches!(self.link, Link::Down { .. });
        self.end.is_some_and(|end| is_down || Instant::now() >= end)
    }

    fn is_told_to_stop(&self) -> bool {
        std::iter::from_fn(|| self.signals.next()).any(|signal| signal != Signal::SIGHUP)
    }

    fn timeout(&self) -> Option<Duration> {
        let left = |end: Instant| end.saturating_duration_since(Instant::now());
        let end = self.end.map(left);
        match (self.pause(), end) {
            (Some(pause), Some(end)) => Some(pause.min(end)),
            (pause, end) => pause.or(end),
        }
    }

    fn pause(&self) -> Option<Duration> {
        match &self.link {
            Link::Down { retry } => Some(retry.saturating_duration_since(Instant::now())),
            Link::Up(_) if self.more && self.output.has_room() => Some(Duration::ZERO),
            Link::Up(_) => self.output.retry_after(),
        }
    }

    /// Connects when it is time to, and passes on what has come.
    fn take_lines(&mut self) {
        if let Link::Down { retry } = &self.link {
            if Instant::now() < *retry {
                return;
            }
            self.connect();
        }
        let Link::Up(connection) = &mut self.link else {
            return;
        };
        self.more = false;
        let mut taken = 0;
        let end = loop {
            if taken >= LINES_A_TURN || !self.output.has_room() {
                self.more = true;
                return;
            }
            taken += 1;
            match connection.next_message() {
                Ok(Some(Incoming::Hello { pid, version })) => {
                    log::info!("connected to system-probe {version}, pid {pid}");
                }
                Ok(Some(Incoming::Event(line))) if self.json => self.output.add_line(line),
                Ok(Some(Incoming::Event(line))) => {
                    let line = summary::line(line);
                    if !line.is_empty() {
                        self.output.add_line(line.as_bytes());
                    }
                }
                Ok(None) => return,
                Err(error) => break error,
            }
        };
        if self.end.is_none() {
            log::warn!("{end}; connecting again");
        }
        self.link = Link::Down {
            retry: Instant::now() + pause_after(0),
        };
    }

    fn connect(&mut self) {
        match Connection::open(&self.socket, self.poll.registry(), SOCKET) {
            Ok(connection) => {
                self.failures = 0;
                self.link = Link::Up(connection);
            }
            Err(error) => {
                self.failures = self.failures.saturating_add(1);
                if self.failures == WORTH_A_WORD {
                    let socket = self.socket.display();
                    log::info!("waiting for system-probe on {socket} ({error})");
                }
                let pause = pause_after(self.failures);
                self.link = Link::Down {
                    retry: Instant::now() + pause,
                };
            }
        }
    }
}

fn pause_after(failures: u32) -> Duration {
    let short = PAUSES.iter().find(|(limit, _)| failures < *limit);
    short.map_or(LONG_PAUSE, |(_, pause)| *pause)
}
