//! The way to system-probe: connected, or about to try again.
//!
//! A [`Link`] remembers up to which event everything was passed on, so that a new connection goes
//! on from there; what the loop does with the events is not known here.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use mio::{Registry, Token};
use serde_json::{json, Value};

use super::connection::{Connection, Incoming, Subscription};

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
    /// The session that events are taken from; empty before the first.
    session: String,
    /// The last of its events that was passed on.
    passed_on: u64,
    /// The last that system-probe was told of. It is told only news: being told makes room in the
    /// socket, which wakes this loop.
    told: u64,
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
            session: String::new(),
            passed_on: 0,
            told: 0,
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
        let subscription = Subscription {
            acknowledge: true,
            resume: (!self.session.is_empty()).then(|| (self.session.clone(), self.passed_on)),
            ..Subscription::default()
        };
        match Connection::open(&self.socket, &subscription, registry, token) {
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
    pub(super) fn turn(&mut self, quiet: bool, mut take: impl FnMut(&[u8], &[u8]) -> bool) -> Turn {
        let State::Up(connection) = &mut self.state else {
            return Turn::Nothing;
        };
        let ended = loop {
            match connection.next_message() {
                Ok(Some(Incoming::Hello {
                    pid,
                    version,
                    session,
                })) => {
                    log::info!("connected to system-probe {version}, pid {pid}");
                    self.peer = Some((pid, version));
                    if self.session != session {
                        self.sessions += 1;
                        self.session = session;
                        self.passed_on = 0;
                    }
                    // A subscription that resumes says where.
                    self.told = self.passed_on;
                }
                Ok(Some(Incoming::Event {
                    line,
                    event,
                    sequence,
                    ..
                })) => {
                    let goes_on = take(line, event);
                    // What was told to us alone has no number.
                    self.passed_on = self.passed_on.max(sequence);
                    if !goes_on {
                        acknowledge(connection, self.passed_on, &mut self.told);
                        return Turn::More;
                    }
                }
                Ok(Some(Incoming::End)) => {}
                Ok(None) => {
                    acknowledge(connection, self.passed_on, &mut self.told);
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
            "acknowledged": self.passed_on,
        })
    }
}

/// Tells system-probe what was passed on, if that is news.
fn acknowledge(connection: &mut Connection, passed_on: u64, told: &mut u64) {
    if passed_on > *told {
        *told = passed_on;
        connection.acknowledge(passed_on);
    }
}

fn pause_after(failures: u32) -> Duration {
    let short = PAUSES.iter().find(|(limit, _)| failures < *limit);
    short.map_or(LONG_PAUSE, |(_, pause)| *pause)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{BufRead, BufReader, ErrorKind, Read, Write};
    use std::os::unix::net::UnixListener;

    #[test]
    fn an_acknowledgement_is_sent_once_and_not_with_every_turn() {
        let path = std::env::temp_dir().join(format!("link-{}", std::process::id()));
        let listener = UnixListener::bind(&path).unwrap();
        let poll = mio::Poll::new().unwrap();
        let mut link = Link::new(path.clone());
        link.connect_when_due(poll.registry(), Token(0));
        let (probe, _) = listener.accept().unwrap();
        std::fs::remove_file(&path).unwrap();
        let mut probe = BufReader::new(probe);
        let mut line = String::new();
        probe.read_line(&mut line).unwrap();
        let hello = "{\"hello\":{\"protocol\":2,\"version\":\"1\",\"pid\":1,\"session\":\"0a\",\"acknowledge\":true}}\n";
        let event =
            "{\"seq\":7,\"rule_id\":\"r\",\"silent\":false,\"tags\":[],\"event\":{\"x\":1}}\n";
        let stream = probe.get_mut();
        stream.write_all(hello.as_bytes()).unwrap();
        stream.write_all(event.as_bytes()).unwrap();
        let mut events = 0;
        while events == 0 {
            link.turn(true, |_, _| {
                events += 1;
                true
            });
        }
        for _ in 0..5 {
            assert_eq!(link.turn(true, |_, _| true), Turn::Nothing);
        }
        line.clear();
        probe.read_line(&mut line).unwrap();
        assert_eq!(line, "{\"ack\":7}\n");
        probe.get_ref().set_nonblocking(true).unwrap();
        let error = probe.read(&mut [0; 16]).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::WouldBlock);
    }
}
