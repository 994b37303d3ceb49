//! The event socket: who reads events, and what each of them has yet to get.
//!
//! A reader sends one line that says what it wants and gets a hello, then a line per event. A
//! slow reader is bounded: what finds no room is counted and told to it once there is room. While
//! nobody reads, a bounded backlog keeps the latest lines for the next reader.

use std::collections::VecDeque;
use std::time::SystemTime;

use log::warn;
use serde::Deserialize;

use super::connection::{Connection, Input};
use crate::event::{json, HostInfo};

/// Version of what is said on the event socket.
pub(super) const PROTOCOL: u32 = 1;
/// Bytes that may wait for one reader, and in the backlog.
const ROOM: usize = 4 << 20;
/// Bytes of a line; what is longer is counted as lost. Readers accept twice as much.
const LONGEST_LINE: usize = 1 << 20;
/// Bytes of the one line that a reader sends.
const LONGEST_REQUEST: usize = 4096;

/// What a reader asks for.
#[derive(Deserialize)]
struct Request {
    subscribe: String,
    protocol: u32,
    #[serde(default)]
    silent: bool,
    #[serde(default)]
    role: String,
}

/// One reader.
struct Subscriber {
    token: usize,
    connection: Connection,
    /// What it asked for; nothing until its line has come.
    wants: Option<Wants>,
    lost: u64,
}

#[derive(Clone, Copy)]
struct Wants {
    silent: bool,
    role: bool,
}

/// A line that waits for a reader.
struct Kept {
    silent: bool,
    line: String,
}

/// All readers of the event socket.
pub(super) struct Subscribers {
    readers: Vec<Subscriber>,
    backlog: VecDeque<Kept>,
    backlog_bytes: usize,
    sequence: u64,
    lost: u64,
    hello: String,
    host: HostInfo,
}

/// What became of a reader after its input was read.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Change {
    /// Nothing to do.
    None,
    /// The security-agent role reads; its file events are its own.
    Role(u32),
    /// It is gone; its process id if it was the security-agent role.
    Gone(Option<u32>),
}

impl Subscribers {
    /// No readers yet.
    pub(super) fn new(host: HostInfo) -> Subscribers {
        let (version, pid) = (&host.version, std::process::id());
        Subscribers {
            readers: Vec::new(),
            backlog: VecDeque::new(),
            backlog_bytes: 0,
            sequence: 0,
            lost: 0,
            hello: format!(
                "{{\"hello\":{{\"protocol\":{PROTOCOL},\"version\":\"{version}\",\"pid\":{pid}}}}}\n"
            ),
            host,
        }
    }

    /// Longest line that a reader may send, and the room that it gets.
    pub(super) const LIMITS: (usize, usize) = (LONGEST_REQUEST, ROOM);

    /// Takes a new connection in.
    pub(super) fn add(&mut self, token: usize, connection: Connection) {
        self.readers.push(Subscriber {
            token,
            connection,
            wants: None,
            lost: 0,
        });
    }

    /// Readers that have said what they want.
    pub(super) fn count(&self) -> usize {
        self.readers
            .iter()
            .filter(|reader| reader.wants.is_some())
            .count()
    }

    /// Connections, whether they have said what they want or not.
    pub(super) fn connected(&self) -> usize {
        self.readers.len()
    }

    /// Lines that no reader got: the backlog was full.
    pub(super) fn lost(&self) -> u64 {
        self.lost
    }

    /// Whether this token belongs to a reader.
    pub(super) fn owns(&self, token: usize) -> bool {
        self.readers.iter().any(|reader| reader.token == token)
    }

    /// Reads what this reader sent and sends what waits for it.
    pub(super) fn ready(&mut self, token: usize) -> Change {
        let Some(index) = self.readers.iter().position(|reader| reader.token == token) else {
            return Change::None;
        };
        let Some(reader) = self.readers.get_mut(index) else {
            return Change::None;
        };
        let role_pid = reader.connection.credentials.pid as u32;
        let had_wants = reader.wants.is_some();
        let is_open = reader.read(&self.hello);
        let started = !had_wants && reader.wants.is_some();
        let is_role = reader.wants.is_some_and(|wants| wants.role);
        if started {
            self.hand_over(index);
        }
        let flushed = self.readers.get_mut(index).map(Subscriber::flush);
        if !is_open || flushed != Some(true) {
            self.readers.swap_remove(index);
            return Change::Gone(is_role.then_some(role_pid));
        }
        match started && is_role {
            true => Change::Role(role_pid),
            false => Change::None,
        }
    }

    /// Gives the backlog to a reader that has just begun.
    fn hand_over(&mut self, index: usize) {
        let Some(reader) = self.readers.get_mut(index) else {
            return;
        };
        let silent = reader.wants.is_some_and(|wants| wants.silent);
        if !reader.wants.is_some_and(|wants| wants.role) && silent {
            return; // The self-test's reader wants what happens from now on.
        }
        for kept in self.backlog.drain(..) {
            reader.give(kept.silent, &kept.line, &self.host);
        }
        self.backlog_bytes = 0;
    }

    /// Queues an event for every reader; they get it at the next [`Subscribers::flush`].
    pub(super) fn publish(&mut self, rule_id: &str, silent: bool, event: &str) {
        if event.len() > LONGEST_LINE {
            self.lost += 1;
            return warn!(
                "an event of {} bytes for {rule_id} is too long",
                event.len()
            );
        }
        self.sequence += 1;
        let line = envelope(self.sequence, rule_id, silent, event);
        let mut is_taken = silent;
        for reader in &mut self.readers {
            let Some(wants) = reader.wants else { continue };
            reader.give(silent, &line, &self.host);
            is_taken |= !wants.silent;
        }
        if !is_taken {
            self.keep(silent, line);
        }
    }

    fn keep(&mut self, silent: bool, line: String) {
        self.backlog_bytes += line.len();
        self.backlog.push_back(Kept { silent, line });
        while self.backlog_bytes > ROOM {
            let Some(oldest) = self.backlog.pop_front() else {
                return;
            };
            self.backlog_bytes -= oldest.line.len();
            self.lost += 1;
        }
    }

    /// Sends what waits. Returns the security-agent roles that turned out to be gone.
    pub(super) fn flush(&mut self) -> Vec<u32> {
        let mut gone = Vec::new();
        self.readers.retain_mut(|reader| {
            let is_open = reader.flush();
            if !is_open && reader.wants.is_some_and(|wants| wants.role) {
                gone.push(reader.connection.credentials.pid as u32);
            }
            is_open
        });
        gone
    }
}

impl Subscriber {
    /// Reads lines; false when the reader is gone or cannot be spoken to.
    fn read(&mut self, hello: &str) -> bool {
        loop {
            match self.connection.next_line() {
                Input::Nothing => return true,
                Input::Closed => return false,
                Input::Line(_) if self.wants.is_some() => {}
                Input::Line(line) => match understand(&line) {
                    Ok(wants) => {
                        self.wants = Some(wants);
                        self.connection.queue(&[hello]);
                    }
                    Err(sentence) => {
                        let error = serde_json::json!({ "error": sentence }).to_string();
                        self.connection.queue(&[&error, "\n"]);
                        self.flush();
                        return false;
                    }
                },
            }
        }
    }

    fn give(&mut self, silent: bool, line: &str, host: &HostInfo) {
        if silent && !self.wants.is_some_and(|wants| wants.silent) {
            return;
        }
        let notice = match self.lost {
            0 => String::new(),
            lost => envelope(0, "lost_events", false, &loss(host, lost)),
        };
        // Notice and line go together, or a full buffer would fill with notices.
        if self.connection.queue(&[&notice, line]) {
            self.lost = 0;
        } else {
            self.lost += 1;
        }
    }

    fn flush(&mut self) -> bool {
        self.connection.flush().is_ok()
    }
}

/// The line of an event. Rule ids hold only letters, digits and underscores.
fn envelope(sequence: u64, rule_id: &str, silent: bool, event: &str) -> String {
    format!(
        "{{\"seq\":{sequence},\"rule_id\":\"{rule_id}\",\"silent\":{silent},\"event\":{event}}}\n"
    )
}

/// What a reader is told that was too slow.
fn loss(host: &HostInfo, lost: u64) -> String {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    let now = u64::try_from(since.unwrap_or_default().as_nanos()).unwrap_or(0);
    json::lost_events(host, now, "reader", &[("all", lost)])
}

fn understand(line: &str) -> Result<Wants, String> {
    let request: Request = serde_json::from_str(line)
        .map_err(|error| format!("the request is not understood: {error}"))?;
    if request.protocol != PROTOCOL {
        return Err(format!(
            "this agent speaks version {PROTOCOL} of the event protocol, not {}; use a reader of \
             the same release",
            request.protocol
        ));
    }
    if request.subscribe != "events" {
        return Err(format!(
            "nothing is known of `{}`; subscribe to `events`",
            request.subscribe
        ));
    }
    Ok(Wants {
        silent: request.silent,
        role: request.role == "security-agent",
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sys::socket::Credentials;
    use std::io::{BufRead, BufReader, Read, Write};
    use std::os::unix::net::UnixStream;

    fn join(subscribers: &mut Subscribers, token: usize, request: &str) -> BufReader<UnixStream> {
        let (ours, mut theirs) = UnixStream::pair().unwrap();
        ours.set_nonblocking(true).unwrap();
        let credentials = Credentials {
            pid: 7,
            uid: 0,
            gid: 0,
            groups: Vec::new(),
        };
        let (line, room) = Subscribers::LIMITS;
        let stream = mio::net::UnixStream::from_std(ours);
        subscribers.add(token, Connection::new(stream, credentials, line, room));
        theirs.write_all(request.as_bytes()).unwrap();
        BufReader::new(theirs)
    }

    fn line(reader: &mut BufReader<UnixStream>) -> String {
        let mut line = String::new();
        reader.read_line(&mut line).unwrap();
        line
    }

    const LOUD: &str = "{\"subscribe\":\"events\",\"protocol\":1}\n";
    const SILENT: &str = "{\"subscribe\":\"events\",\"protocol\":1,\"silent\":true}\n";

    #[test]
    fn silent_events_reach_only_who_asked() {
        let mut subscribers = Subscribers::new(HostInfo::default());
        let mut loud = join(&mut subscribers, 1, LOUD);
        let mut all = join(&mut subscribers, 2, SILENT);
        assert_eq!(subscribers.ready(1), Change::None);
        assert_eq!(subscribers.ready(2), Change::None);
        subscribers.publish("a", true, "{}");
        subscribers.publish("b", false, "{}");
        subscribers.flush();
        assert!(line(&mut loud).contains("hello"));
        assert!(line(&mut loud).contains("\"rule_id\":\"b\""));
        assert!(line(&mut all).contains("hello"));
        assert!(line(&mut all).contains("\"rule_id\":\"a\""));
        assert!(line(&mut all).contains("\"seq\":2,\"rule_id\":\"b\""));
    }

    #[test]
    fn what_nobody_reads_waits_for_the_next_reader() {
        let mut subscribers = Subscribers::new(HostInfo::default());
        subscribers.publish("early", false, "{}");
        let mut reader = join(&mut subscribers, 1, LOUD);
        subscribers.ready(1);
        assert!(line(&mut reader).contains("hello"));
        assert!(line(&mut reader).contains("early"));
    }

    #[test]
    fn another_protocol_is_refused_in_words() {
        let mut subscribers = Subscribers::new(HostInfo::default());
        let request = "{\"subscribe\":\"events\",\"protocol\":9}\n";
        let mut reader = join(&mut subscribers, 1, request);
        assert_eq!(subscribers.ready(1), Change::Gone(None));
        assert!(line(&mut reader).contains("version 1 of the event protocol"));
    }

    /// Everything that reaches a reader who reads as fast as it is sent to.
    fn all_of(subscribers: &mut Subscribers, reader: &mut BufReader<UnixStream>) -> String {
        reader.get_ref().set_nonblocking(true).unwrap();
        let mut text = Vec::new();
        let mut quiet = 0;
        while quiet < 2 {
            subscribers.flush();
            let before = text.len();
            // Ends with an error as soon as nothing waits.
            let _ = reader.read_to_end(&mut text);
            quiet = if text.len() == before { quiet + 1 } else { 0 };
        }
        String::from_utf8(text).unwrap()
    }

    #[test]
    fn a_slow_reader_is_told_what_it_lost() {
        let mut subscribers = Subscribers::new(HostInfo::default());
        let mut reader = join(&mut subscribers, 1, LOUD);
        subscribers.ready(1);
        let large = format!("\"{}\"", "x".repeat(LONGEST_LINE - 2));
        for _ in 0..8 {
            subscribers.publish("flood", false, &large);
        }
        let first = all_of(&mut subscribers, &mut reader);
        let came = first.matches("flood").count();
        assert!((1..8).contains(&came), "{came}");
        subscribers.publish("after", false, "{}");
        let second = all_of(&mut subscribers, &mut reader);
        let notice = second.lines().next().unwrap();
        assert!(notice.contains("\"rule_id\":\"lost_events\""), "{notice}");
        assert!(
            notice.contains(&format!("\"lost\":{},", 8 - came)),
            "{notice}"
        );
        assert!(second.contains("after"));
    }
}
