//! The event socket: who reads events, and what each of them has yet to get.
//!
//! A reader sends one line that says what it wants and gets a hello, then a line per event. A
//! slow reader is bounded: what finds no room is counted and told to it once there is room. While
//! nobody reads, a bounded backlog keeps the latest lines for the next reader.

use std::collections::VecDeque;
use std::time::{Duration, Instant, SystemTime};

use log::warn;

use super::connection::{Connection, Input};
use super::subscription::{understand, Wants, PROTOCOL};
use crate::event::{json, HostInfo};

/// Bytes that may wait for one reader, and in the backlog.
const ROOM: usize = 4 << 20;
/// Bytes of a line; what is longer is counted as lost. Readers accept twice as much.
const LONGEST_LINE: usize = 1 << 20;
/// Bytes of the one line that a reader sends.
const LONGEST_REQUEST: usize = 4096;

/// One reader.
struct Subscriber {
    token: usize,
    connection: Connection,
    connected: Instant,
    /// What it asked for; nothing until its line has come.
    wants: Option<Wants>,
    lost: u64,
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
    /// Lines that were too much for a reader, or that one left behind.
    slow: u64,
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
            slow: 0,
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
            connected: Instant::now(),
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

    /// Lines that readers did not get: they were too slow, or went while lines waited for them.
    pub(super) fn slow(&self) -> u64 {
        self.slow
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
            let gone = self.readers.swap_remove(index);
            self.slow += gone.left_behind();
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
            self.slow += reader.give(kept.silent, &kept.line, &self.host);
        }
        self.backlog_bytes = 0;
    }

    /// Closes the connections that have not asked for anything within `limit`.
    pub(super) fn expire(&mut self, limit: Duration) {
        self.readers
            .retain(|reader| reader.wants.is_some() || reader.connected.elapsed() <= limit);
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
            self.slow += reader.give(silent, &line, &self.host);
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
            if !is_open {
                self.slow += reader.left_behind();
                let is_role = reader.wants.is_some_and(|wants| wants.role);
                gone.extend(is_role.then_some(reader.connection.credentials.pid as u32));
            }
            is_open
        });
        gone
    }
}

impl Subscriber {
    /// Reads the one line that a reader sends; false when it is gone or sent anything else.
    fn read(&mut self, hello: &str) -> bool {
        if self.wants.is_none() {
            match self.connection.next_line() {
                Input::Nothing => return true,
                Input::Ended | Input::Closed => return false,
                Input::Line(line) => match understand(&line) {
                    Ok(wants) => {
                        // Whoever else says so would hide its own file events.
                        let role = wants.role && self.connection.credentials.runs_our_program();
                        self.wants = Some(Wants { role, ..wants });
                        self.connection.queue(&[hello]);
                    }
                    Err(sentence) => return self.refuse(&sentence),
                },
            }
        }
        match self.connection.next_line() {
            Input::Nothing if !self.connection.has_part() => true,
            Input::Ended | Input::Closed => false,
            Input::Nothing | Input::Line(_) => {
                self.refuse("a reader sends one line only; connect again to ask for something else")
            }
        }
    }

    /// Says why this reader is closed.
    fn refuse(&mut self, sentence: &str) -> bool {
        let error = serde_json::json!({ "error": sentence }).to_string();
        self.connection.queue(&[&error, "\n"]);
        self.flush();
        false
    }

    /// Queues a line, if the reader wants it; returns how many lines it has lost by that.
    fn give(&mut self, silent: bool, line: &str, host: &HostInfo) -> u64 {
        if silent && !self.wants.is_some_and(|wants| wants.silent) {
            return 0;
        }
        let notice = match self.lost {
            0 => String::new(),
            lost => envelope(0, "lost_events", false, &loss(host, lost)),
        };
        // Notice and line go together, or a full buffer would fill with notices.
        let pieces = [notice.as_str(), line];
        // The room may be there: nothing is sent while the events of a turn are taken.
        if self.connection.queue(&pieces) || (self.flush() && self.connection.queue(&pieces)) {
            self.lost = 0;
            return 0;
        }
        self.lost += 1;
        1
    }

    /// Lines that wait for it and will not be sent any more. The self-test's reader leaves as
    /// soon as it has what it wants.
    fn left_behind(&self) -> u64 {
        match self.wants {
            Some(wants) if !wants.silent => self.connection.unsent_lines(),
            _ => 0,
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sys::socket::Credentials;
    use std::io::{BufRead, BufReader, Read, Write};
    use std::os::unix::net::UnixStream;

    fn join(subscribers: &mut Subscribers, token: usize, request: &str) -> BufReader<UnixStream> {
        join_as(subscribers, token, 0, request)
    }

    fn join_as(
        subscribers: &mut Subscribers,
        token: usize,
        pid: i32,
        request: &str,
    ) -> BufReader<UnixStream> {
        let (ours, mut theirs) = UnixStream::pair().unwrap();
        ours.set_nonblocking(true).unwrap();
        let credentials = Credentials {
            pid,
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
    fn a_reader_that_keeps_writing_is_closed() {
        for more in ["{}\n", "part"] {
            let mut subscribers = Subscribers::new(HostInfo::default());
            let mut reader = join(&mut subscribers, 1, &format!("{LOUD}{more}"));
            assert_eq!(subscribers.ready(1), Change::Gone(None));
            assert!(line(&mut reader).contains("hello"));
            assert!(line(&mut reader).contains("one line only"));
        }
    }

    #[test]
    fn another_program_is_not_believed_to_be_the_security_agent() {
        let request = "{\"subscribe\":\"events\",\"protocol\":1,\"role\":\"security-agent\"}\n";
        let mut subscribers = Subscribers::new(HostInfo::default());
        // Process 0 is nobody's.
        let _reader = join_as(&mut subscribers, 1, 0, request);
        assert_eq!(subscribers.ready(1), Change::None);
        let own = std::process::id();
        let _own = join_as(&mut subscribers, 2, own as i32, request);
        assert_eq!(subscribers.ready(2), Change::Role(own));
    }

    #[test]
    fn who_asks_for_nothing_is_closed_in_time() {
        let mut subscribers = Subscribers::new(HostInfo::default());
        let _reader = join(&mut subscribers, 1, LOUD);
        let _mute = join(&mut subscribers, 2, "{");
        subscribers.ready(1);
        subscribers.ready(2);
        subscribers.expire(Duration::ZERO);
        assert!(subscribers.owns(1) && !subscribers.owns(2));
    }

    #[test]
    fn lines_that_a_closed_reader_left_are_counted() {
        let mut subscribers = Subscribers::new(HostInfo::default());
        let reader = join(&mut subscribers, 1, LOUD);
        subscribers.ready(1);
        subscribers.publish("left", false, "{}");
        drop(reader);
        subscribers.flush();
        assert_eq!((subscribers.connected(), subscribers.slow()), (0, 1));
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
        assert_eq!(subscribers.slow(), 8 - came as u64);
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
