//! The way to system-probe: connected, or about to try again.
//!
//! A [`Link`] remembers up to which event everything was passed on, so that a new connection goes
//! on from there; what the loop does with the events is not known here.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use mio::{Registry, Token};
use serde_json::{json, Value};

use super::connection::{Connection, Incoming, Resume};

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

/// The connection to system-probe, or when it is tried again.
pub(super) struct Link {
    socket: PathBuf,
    state: State,
    resume: Resume,
    /// Attempts to connect that failed since the last connection.
    failures: u32,
    /// Connections so far.
    connections: u64,
    /// Starts of system-probe that were seen.
    sessions: u64,
    /// Process id and version of system-probe, once it said so.
    peer: Option<(u64, String)>,
}

enum State {
    Down { retry: Instant },
    Up(Connection),
}

/// Why a turn ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Turn {
    /// There may be more.
    More,
    /// There is nothing now; the loop is woken when there is.
    Nothing,
}

impl Link {
    /// Not connected yet, and due at once.
    pub(super) fn new(socket: PathBuf) -> Link {
        Link {
            socket,
            state: State::Down {
                retry: Instant::now(),
            },
            resume: Resume::default(),
            failures: 0,
            connections: 0,
            sessions: 0,
            peer: None,
        }
    }

    /// Whether there is a connection.
    pub(super) fn is_up(&self) -> bool {
        matches!(self.state, State::Up(_))
    }

    /// When the next attempt is due.
    pub(super) fn retry(&self) -> Option<Instant> {
        match self.state {
            State::Down { retry } => Some(retry),
            State::Up(_) => None,
        }
    }

    /// Connects if it is time to.
    pub(super) fn connect_when_due(&mut self, registry: &Registry, token: Token) {
        match self.state {
            State::Down { retry } if Instant::now() >= retry => {}
            _ => return,
        }
        match Connection::open(&self.socket, registry, token, &self.resume) {
            Ok(connection) => {
                self.failures = 0;
                self.connections += 1;
                self.state = State::Up(connection);
            }
            Err(error) => {
                self.failures = self.failures.saturating_add(1);
                if self.failures == WORTH_A_WORD {
                    let socket = self.socket.display();
                    log::info!("waiting for system-probe on {socket} ({error})");
                }
                self.wait();
            }
        }
    }

    /// Hands the events that have come to `take`, the whole line and the event in it, until it says
    /// that it has enough. What was handed over counts as passed on, and system-probe may forget
    /// it. A connection that ended is tried again later; `quiet` says that this is no news.
    pub(super) fn turn(
        &mut self,
        quiet: bool,
        mut take: impl FnMut(&[u8], &[u8]) -> bool,
    ) -> Turn {
        let State::Up(connection) = &mut self.state else {
            return Turn::Nothing;
        };
        let ended = loop {
            match connection.next_message() {
                Ok(Some(Incoming::Hello(hello))) => {
                    log::info!("connected to system-probe {}, pid {}", hello.version, hello.pid);
                    self.sessions += u64::from(self.resume.session != hello.session);
                    self.resume.begin(&hello.session);
                    self.peer = Some((hello.pid, hello.version));
                }
                Ok(Some(Incoming::Event(event))) => {
                    self.resume.after = event.sequence;
                    if !take(event.line, event.event) {
                        connection.acknowledge(self.resume.after);
                        return Turn::More;
                    }
                }
                Ok(None) => {
                    connection.acknowledge(self.resume.after);
                    return Turn::Nothing;
                }
                Err(error) => break error,
            }
        };
        if !quiet {
            log::warn!("{ended}; connecting again");
        }
        self.peer = None;
        self.wait();
        Turn::Nothing
    }

    fn wait(&mut self) {
        self.state = State::Down {
            retry: Instant::now() + pause_after(self.failures),
        };
    }

    /// What `status` says of it.
    pub(super) fn status(&self) -> Value {
        let (pid, version) = match &self.peer {
            Some((pid, version)) => (Some(pid), Some(version)),
            None => (None, None),
        };
        json!({
            "connected": self.peer.is_some(),
            "pid": pid,
            "version": version,
            "connections": self.connections,
            "sessions": self.sessions,
            "acknowledged": self.resume.after,
        })
    }
}

fn pause_after(failures: u32) -> Duration {
    let short = PAUSES.iter().find(|(limit, _)| failures < *limit);
    short.map_or(LONG_PAUSE, |(_, pause)| *pause)
}
