//! A subscription to the event socket.
//!
//! Bytes enter from the socket, without waiting; [`Incoming`] messages leave, borrowed from the
//! buffer, and acknowledgements go back. A line of at most 2 MiB is accepted; anything that
//! system-probe would not say ends the connection with a sentence.

use std::fmt;
use std::io::{self, ErrorKind, Read, Write};
use std::path::Path;

use mio::net::UnixStream;
use mio::{Interest, Registry, Token};
use serde_json::{json, Value};

/// Version of the protocol that is spoken.
const PROTOCOL: u64 = 2;
/// Longest line, in bytes.
const LONGEST_LINE: usize = 2 << 20;
/// Bytes that are read at once.
const PIECE: usize = 64 * 1024;

/// What separates the envelope of an event line from the event. No text inside of the envelope
/// can hold it, because its quotes would be escaped.
const SEPARATOR: &[u8] = b",\"event\":";

/// What is asked of system-probe.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Subscription {
    /// We are the security-agent role and say what we have got, by [`Connection::acknowledge`].
    pub acknowledge: bool,
    /// Where we have stopped before: the session, and the last sequence number that we have.
    pub resume: Option<(String, u64)>,
    /// First what happened recently.
    pub recent: bool,
    /// Only what is there already; then [`Incoming::End`] comes.
    pub ends: bool,
}

impl Subscription {
    fn request(&self) -> String {
        let role = if self.acknowledge {
            "security-agent"
        } else {
            "events"
        };
        let mut request = json!({
            "subscribe": "events",
            "protocol": PROTOCOL,
            "silent": false,
            "role": role,
            "acknowledge": self.acknowledge,
            "recent": self.recent,
            "follow": !self.ends,
        });
        if let (Some((session, after)), Some(request)) = (&self.resume, request.as_object_mut()) {
            request.insert("session".to_owned(), json!(session));
            request.insert("after".to_owned(), json!(after));
        }
        format!("{request}\n")
    }
}

/// A message of system-probe.
#[derive(Debug, PartialEq, Eq)]
pub enum Incoming<'a> {
    /// The subscription was accepted.
    Hello {
        /// Process id of system-probe.
        pid: u64,
        /// Its version.
        version: String,
        /// The name of this start of it; sequence numbers are of one session.
        session: String,
    },
    /// An event.
    Event {
        /// The whole line, without the line end.
        line: &'a [u8],
        /// The JSON object of the event.
        event: &'a [u8],
        /// The number of the event in this session; 0 for what was told to us alone.
        sequence: u64,
        /// The rule that it is of.
        rule_id: &'a str,
    },
    /// Nothing more will come, as we asked.
    End,
}

/// Why a connection ended.
#[derive(Debug)]
pub enum Error {
    /// It was closed by the other side.
    Closed,
    /// It broke.
    Io(io::Error),
    /// system-probe refused the subscription, in its own words.
    Refused(String),
    /// A line was too long or no message.
    Malformed(&'static str),
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Error::Closed => write!(f, "system-probe closed the connection"),
            Error::Io(error) => write!(f, "the connection to system-probe broke: {error}"),
            Error::Refused(sentence) => write!(f, "system-probe refused: {sentence}"),
            Error::Malformed(what) => write!(f, "what answers on the event socket {what}"),
        }
    }
}

impl std::error::Error for Error {}

/// An open subscription.
#[derive(Debug)]
pub struct Connection {
    stream: UnixStream,
    buffer: Vec<u8>,
    /// Bytes at the begin of the buffer that are done with.
    done: usize,
    /// Bytes after `done` that hold no line end.
    searched: usize,
    greeted: bool,
    /// system-probe has agreed to be told what we have got.
    acknowledges: bool,
    /// The latest acknowledgement that is not on its way.
    owed: Option<u64>,
    /// The rest of one that is on its way.
    outgoing: Vec<u8>,
}

impl Connection {
    /// Connects and asks for events; the answer comes as [`Incoming::Hello`]. The loop is woken
    /// under this token when there is something to read, or room again for acknowledgements.
    pub fn open(
        socket: &Path,
        subscription: &Subscription,
        registry: &Registry,
        token: Token,
    ) -> io::Result<Connection> {
        let stream = UnixStream::connect(socket)?;
        let mut connection = Connection::begin(stream, subscription)?;
        let interest = Interest::READABLE | Interest::WRITABLE;
        registry.register(&mut connection.stream, token, interest)?;
        Ok(connection)
    }

    /// Asks for events over this new connection, for a caller that polls it by itself.
    pub fn over(
        stream: std::os::unix::net::UnixStream,
        subscription: &Subscription,
    ) -> io::Result<Connection> {
        stream.set_nonblocking(true)?;
        Connection::begin(UnixStream::from_std(stream), subscription)
    }

    fn begin(mut stream: UnixStream, subscription: &Subscription) -> io::Result<Connection> {
        // A new connection has room for a few hundred bytes.
        stream.write_all(subscription.request().as_bytes())?;
        Ok(Connection {
            stream,
            buffer: Vec::new(),
            done: 0,
            searched: 0,
            greeted: false,
            acknowledges: false,
            owed: None,
            outgoing: Vec::new(),
        })
    }

    /// The next message; `None` when none is there yet.
    pub fn next_message(&mut self) -> Result<Option<Incoming<'_>>, Error> {
        self.send_owed();
        let (start, end) = loop {
            if let Some(line) = self.next_line() {
                break line;
            }
            if self.buffer.len() - self.done > LONGEST_LINE {
                return Err(Error::Malformed("sends lines of more than 2 MiB"));
            }
            if !self.read_more()? {
                return Ok(None);
            }
        };
        let line = self.buffer.get(start..end).unwrap_or_default();
        if self.greeted {
            return message_of(line).map(Some);
        }
        self.greeted = true;
        let (hello, acknowledges) = hello_of(line)?;
        self.acknowledges = acknowledges;
        Ok(Some(hello))
    }

    /// Says that everything up to this sequence number is safe with us. It is sent as soon as
    /// there is room, which is tried again with each [`Connection::next_message`]; nothing is sent
    /// if system-probe does not want to know. A connection that breaks by it says so there, too.
    pub fn acknowledge(&mut self, sequence: u64) {
        if self.acknowledges && sequence > 0 {
            self.owed = Some(sequence);
            self.send_owed();
        }
    }

    /// Sends acknowledgements as far as there is room. A later one stands for all before it.
    fn send_owed(&mut self) {
        loop {
            if self.outgoing.is_empty() {
                let Some(sequence) = self.owed.take() else {
                    return;
                };
                self.outgoing = format!("{{\"ack\":{sequence}}}\n").into_bytes();
            }
            match self.stream.write(&self.outgoing) {
                Ok(sent) => {
                    self.outgoing.drain(..sent);
                }
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(_) => return,
            }
        }
    }

    /// Where the next whole line stands in the buffer; it counts as done with from now on.
    fn next_line(&mut self) -> Option<(usize, usize)> {
        let unsearched = self.buffer.get(self.done + self.searched..)?;
        let Some(found) = unsearched.iter().position(|byte| *byte == b'\n') else {
            self.searched += unsearched.len();
            return None;
        };
        let start = self.done;
        let end = start + self.searched + found;
        self.done = end + 1;
        self.searched = 0;
        Some((start, end))
    }

    /// Reads a piece; false when there is nothing to read now.
    fn read_more(&mut self) -> Result<bool, Error> {
        self.buffer.drain(..self.done);
        self.done = 0;
        let before = self.buffer.len();
        self.buffer.resize(before + PIECE, 0);
        let room = self.buffer.get_mut(before..).unwrap_or_default();
        let result = self.stream.read(room);
        self.buffer
            .truncate(before + *result.as_ref().unwrap_or(&0));
        match result {
            Ok(0) => Err(Error::Closed),
            Ok(_) => Ok(true),
            Err(error) if error.kind() == ErrorKind::WouldBlock => Ok(false),
            Err(error) if error.kind() == ErrorKind::Interrupted => Ok(true),
            Err(error) => Err(Error::Io(error)),
        }
    }
}

/// What an ordinary line says.
fn message_of(line: &[u8]) -> Result<Incoming<'_>, Error> {
    if line == b"{\"end\":true}" {
        return Ok(Incoming::End);
    }
    if let Some(event) = event_of(line) {
        return Ok(event);
    }
    let answer = serde_json::from_slice::<Value>(line).ok();
    let error = answer.as_ref().and_then(|answer| answer.get("error"));
    match error.and_then(Value::as_str) {
        Some(sentence) => Err(Error::Refused(sentence.to_owned())),
        None => Err(Error::Malformed("sends what is no event")),
    }
}

/// The parts of an event line. Rule ids hold only letters, digits and underscores.
fn event_of(line: &[u8]) -> Option<Incoming<'_>> {
    let envelope = line.strip_prefix(b"{\"seq\":")?;
    let comma = envelope.iter().position(|byte| *byte == b',')?;
    let (digits, envelope) = envelope.split_at(comma);
    let sequence = std::str::from_utf8(digits).ok()?.parse().ok()?;
    let envelope = envelope.strip_prefix(b",\"rule_id\":\"")?;
    let is_word = |byte: &u8| byte.is_ascii_alphanumeric() || *byte == b'_';
    let length = envelope.iter().take_while(|byte| is_word(byte)).count();
    let (rule_id, envelope) = envelope.split_at(length);
    let rule_id = std::str::from_utf8(rule_id).ok()?;
    let mut windows = envelope.windows(SEPARATOR.len());
    let start = windows.position(|window| window == SEPARATOR)? + SEPARATOR.len();
    let event = envelope.strip_suffix(b"}")?.get(start..)?;
    let is_object = event.starts_with(b"{") && event.ends_with(b"}");
    is_object.then_some(Incoming::Event {
        line,
        event,
        sequence,
        rule_id,
    })
}

/// The hello, and whether acknowledgements are wanted.
fn hello_of<'a>(line: &[u8]) -> Result<(Incoming<'a>, bool), Error> {
    const STRANGER: Error = Error::Malformed("is no system-probe");
    let answer: Value = serde_json::from_slice(line).map_err(|_| STRANGER)?;
    if let Some(sentence) = answer.get("error").and_then(Value::as_str) {
        return Err(Error::Refused(sentence.to_owned()));
    }
    let hello = answer.get("hello").ok_or(STRANGER)?;
    if hello.get("protocol").and_then(Value::as_u64) != Some(PROTOCOL) {
        return Err(Error::Malformed(
            "speaks another protocol; run both roles in one version",
        ));
    }
    let text = |name: &str| hello.get(name).and_then(Value::as_str);
    let acknowledges = hello.get("acknowledge").and_then(Value::as_bool);
    let hello = Incoming::Hello {
        pid: hello.get("pid").and_then(Value::as_u64).unwrap_or(0),
        version: text("version").unwrap_or("?").to_owned(),
        session: text("session").ok_or(STRANGER)?.to_owned(),
    };
    Ok((hello, acknowledges.unwrap_or(false)))
}

#[cfg(test)]
mod tests {
    use super::*;

    const HELLO: &[u8] = b"{\"hello\":{\"protocol\":2,\"version\":\"0.1.0\",\"pid\":5,\"session\":\"0f\",\"acknowledge\":true}}\n";

    /// A subscription, and the other end of it, which has read the request.
    fn pair(subscription: &Subscription) -> (Connection, std::os::unix::net::UnixStream, Value) {
        let (ours, mut theirs) = std::os::unix::net::UnixStream::pair().unwrap();
        let connection = Connection::over(ours, subscription).unwrap();
        let mut request = [0; 4096];
        let length = theirs.read(&mut request).unwrap();
        let request = serde_json::from_slice(&request[..length]).unwrap();
        (connection, theirs, request)
    }

    /// What a client sees of these bytes, as texts, up to the end.
    fn messages(pieces: &[&[u8]]) -> (Vec<String>, String) {
        let (mut connection, mut server, _) = pair(&Subscription::default());
        let mut pieces = pieces.iter();
        let mut server = Some(&mut server);
        let mut seen = Vec::new();
        loop {
            match connection.next_message() {
                Ok(Some(Incoming::Hello {
                    pid,
                    version,
                    session,
                })) => seen.push(format!("hello {pid} {version} {session}")),
                Ok(Some(Incoming::Event {
                    event,
                    sequence,
                    rule_id,
                    ..
                })) => {
                    let event = String::from_utf8_lossy(event);
                    seen.push(format!("{sequence} {rule_id} {event}"));
                }
                Ok(Some(Incoming::End)) => seen.push("end".to_owned()),
                Ok(None) => match (pieces.next(), &mut server) {
                    (Some(piece), Some(server)) => server.write_all(piece).unwrap(),
                    (None, Some(stream)) => {
                        stream.shutdown(std::net::Shutdown::Both).unwrap();
                        server = None;
                    }
                    (_, None) => {}
                },
                Err(error) => return (seen, error.to_string()),
            }
        }
    }

    #[test]
    fn events_come_out_as_they_went_in_however_they_are_cut() {
        let event = r#"{"seq":1,"rule_id":"a_1","silent":false,"tags":["x\",\"event\":{","event"],"event":{"title":"x","event":{}}}"#;
        let stream = [
            HELLO,
            event.as_bytes(),
            b"\n",
            event.as_bytes(),
            b"\n{\"end\":true}\n{\"seq\":",
        ]
        .concat();
        let expected = [
            "hello 5 0.1.0 0f",
            r#"1 a_1 {"title":"x","event":{}}"#,
            r#"1 a_1 {"title":"x","event":{}}"#,
            "end",
        ];
        let one: Vec<&[u8]> = vec![&stream];
        let many: Vec<&[u8]> = stream.chunks(3).collect();
        for pieces in [one, many] {
            let (seen, end) = messages(&pieces);
            assert_eq!(seen, expected);
            assert!(end.contains("closed"), "{end}");
        }
    }

    #[test]
    fn strangers_are_left_with_a_sentence() {
        let long = vec![b'x'; LONGEST_LINE + 1];
        let pieces: Vec<&[u8]> = long.chunks(PIECE).collect();
        assert!(messages(&pieces).1.contains("more than 2 MiB"));
        let event = |text: &str| [HELLO, text.as_bytes(), b"\n"].concat();
        let cases: [(&[u8], &str); 8] = [
            (b"{\"error\":\"not you\"}\n", "refused: not you"),
            (b"SSH-2.0\n", "is no system-probe"),
            (b"{\"hello\":{\"protocol\":1}}\n", "another protocol"),
            (b"{\"hello\":{\"protocol\":2}}\n", "is no system-probe"),
            (b"\xff\x00\n", "is no system-probe"),
            (&event("{\"seq\":1,\"event\":3}"), "no event"),
            (
                &event("{\"seq\":-1,\"rule_id\":\"a\",\"event\":{}}"),
                "no event",
            ),
            (&event("{\"error\":\"one line only\"}"), "refused: one line"),
        ];
        for (bytes, expected) in cases {
            let (_, end) = messages(&[bytes]);
            assert!(end.contains(expected), "{expected}: {end}");
        }
    }

    #[test]
    fn a_request_says_where_we_stopped() {
        let subscription = Subscription {
            acknowledge: true,
            resume: Some(("0f".to_owned(), 7)),
            ..Subscription::default()
        };
        let (_, _, request) = pair(&subscription);
        assert_eq!(request["role"], "security-agent");
        assert_eq!(
            (&request["session"], &request["after"]),
            (&json!("0f"), &json!(7))
        );
        assert_eq!(
            (&request["acknowledge"], &request["follow"]),
            (&json!(true), &json!(true))
        );
        let (_, _, request) = pair(&Subscription::default());
        assert!(request.get("session").is_none() && request["acknowledge"] == false);
    }

    #[test]
    fn a_later_acknowledgement_stands_for_those_that_found_no_room() {
        let (mut connection, mut server, _) = pair(&Subscription::default());
        connection.acknowledge(1);
        server.write_all(HELLO).unwrap();
        connection.next_message().unwrap();
        // Nobody reads: at some point there is no room.
        let mut last = 1;
        while connection.owed.is_none() {
            last += 1;
            connection.acknowledge(last);
        }
        for _ in 0..100 {
            last += 1;
            connection.acknowledge(last);
        }
        assert!(connection.outgoing.len() < 64);
        let mut text = Vec::new();
        server.set_nonblocking(true).unwrap();
        while !text.ends_with(format!("{{\"ack\":{last}}}\n").as_bytes()) {
            let _ = server.read_to_end(&mut text);
            connection.next_message().unwrap();
        }
        let text = String::from_utf8(text).unwrap();
        assert!(text.starts_with("{\"ack\":2}\n{\"ack\":3}\n"), "{text:.60}");
    }
}
