//! A subscription to the event socket.
//!
//! Bytes enter from the socket, without waiting; [`Incoming`] messages leave, borrowed from the
//! buffer. A line of at most 2 MiB is accepted; anything that system-probe would not say ends the
//! connection with a sentence.

use std::fmt;
use std::io::{self, ErrorKind, Read, Write};
use std::path::Path;

use mio::net::UnixStream;
use mio::{Interest, Registry, Token};
use serde_json::Value;

/// Version of the protocol that is spoken.
const PROTOCOL: u64 = 1;
/// Longest line, in bytes.
const LONGEST_LINE: usize = 2 << 20;
/// Bytes that are read at once.
const PIECE: usize = 64 * 1024;

/// What separates the envelope of an event line from the event. No text inside of the envelope
/// can hold it, because its quotes would be escaped.
const SEPARATOR: &[u8] = b",\"event\":";

/// A message of system-probe.
#[derive(Debug, PartialEq, Eq)]
pub enum Incoming<'a> {
    /// The subscription was accepted.
    Hello {
        /// Process id of system-probe.
        pid: u64,
        /// Its version.
        version: String,
    },
    /// The JSON object of an event, on one line, without the line end.
    Event(&'a [u8]),
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
}

impl Connection {
    /// Connects and asks for events; the answer comes as [`Incoming::Hello`].
    pub fn open(socket: &Path, registry: &Registry, token: Token) -> io::Result<Connection> {
        let mut stream = UnixStream::connect(socket)?;
        let request =
            format!("{{\"subscribe\":\"events\",\"protocol\":{PROTOCOL},\"silent\":false,\"role\":\"security-agent\"}}\n");
        // A new connection has room for a hundred bytes.
        stream.write_all(request.as_bytes())?;
        registry.register(&mut stream, token, Interest::READABLE)?;
        Ok(Connection {
            stream,
            buffer: Vec::new(),
            done: 0,
            searched: 0,
            greeted: false,
        })
    }

    /// The next message; `None` when none is there yet.
    pub fn next_message(&mut self) -> Result<Option<Incoming<'_>>, Error> {
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
            return event_of(line)
                .map(Some)
                .ok_or(Error::Malformed("sends what is no event"));
        }
        self.greeted = true;
        hello_of(line).map(Some)
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

/// The event of an event line: everything after the envelope, without its closing brace.
fn event_of(line: &[u8]) -> Option<Incoming<'_>> {
    let mut windows = line.windows(SEPARATOR.len());
    let start = windows.position(|window| window == SEPARATOR)? + SEPARATOR.len();
    let event = line.strip_suffix(b"}")?.get(start..)?;
    let is_object = event.starts_with(b"{") && event.ends_with(b"}");
    is_object.then_some(Incoming::Event(event))
}

fn hello_of<'a>(line: &[u8]) -> Result<Incoming<'a>, Error> {
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
    let pid = hello.get("pid").and_then(Value::as_u64).unwrap_or(0);
    let version = hello
        .get("version")
        .and_then(Value::as_str)
        .unwrap_or("?")
        .to_owned();
    Ok(Incoming::Hello { pid, version })
}

#[cfg(test)]
mod tests {
    use super::*;
    use mio::Poll;
    use std::os::unix::net::UnixListener;

    const HELLO: &[u8] = b"{\"hello\":{\"protocol\":1,\"version\":\"0.1.0\",\"pid\":5}}\n";

    /// What a client sees of these bytes, as texts, up to the end.
    fn messages(name: &str, pieces: &[&[u8]]) -> (Vec<String>, String) {
        let path = std::env::temp_dir().join(format!("forward-{}-{name}", std::process::id()));
        let listener = UnixListener::bind(&path).unwrap();
        let poll = Poll::new().unwrap();
        let mut connection = Connection::open(&path, poll.registry(), Token(0)).unwrap();
        let (mut server, _) = listener.accept().unwrap();
        std::fs::remove_file(&path).unwrap();
        let mut pieces = pieces.iter();
        let mut server = Some(&mut server);
        let mut seen = Vec::new();
        loop {
            match connection.next_message() {
                Ok(Some(Incoming::Hello { pid, version })) => {
                    seen.push(format!("hello {pid} {version}"))
                }
                Ok(Some(Incoming::Event(event))) => {
                    seen.push(String::from_utf8_lossy(event).into_owned());
                }
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
        let event = r#"{"seq":1,"rule_id":"a\",\"event\":{","silent":false,"event":{"title":"x","event":{}}}"#;
        let stream = [
            HELLO,
            event.as_bytes(),
            b"\n",
            event.as_bytes(),
            b"\n{\"seq\":",
        ]
        .concat();
        let expected = [
            "hello 5 0.1.0",
            r#"{"title":"x","event":{}}"#,
            r#"{"title":"x","event":{}}"#,
        ];
        let one: Vec<&[u8]> = vec![&stream];
        let many: Vec<&[u8]> = stream.chunks(3).collect();
        for (name, pieces) in [("one", one), ("many", many)] {
            let (seen, end) = messages(name, &pieces);
            assert_eq!(seen, expected);
            assert!(end.contains("closed"), "{end}");
        }
    }

    #[test]
    fn strangers_are_left_with_a_sentence() {
        let long = vec![b'x'; LONGEST_LINE + 1];
        let pieces: Vec<&[u8]> = long.chunks(PIECE).collect();
        assert!(messages("long", &pieces).1.contains("more than 2 MiB"));
        let cases: [(&str, &[u8], &str); 5] = [
            ("refused", b"{\"error\":\"not you\"}\n", "refused: not you"),
            ("text", b"SSH-2.0\n", "is no system-probe"),
            (
                "other",
                b"{\"hello\":{\"protocol\":2}}\n",
                "another protocol",
            ),
            ("binary", b"\xff\x00\n", "is no system-probe"),
            (
                "event",
                &[HELLO, b"{\"seq\":1,\"event\":3}\n"].concat(),
                "no event",
            ),
        ];
        for (name, bytes, expected) in cases {
            let (_, end) = messages(name, &[bytes]);
            assert!(end.contains(expected), "{name}: {end}");
        }
    }
}
