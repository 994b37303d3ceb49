//! A command in a container: the exec endpoint of the API server, over a WebSocket (RFC 6455).
//!
//! The first byte of each message is a channel: input and outputs of the command, and the status
//! that says how it ended (`v4.channel.k8s.io`); in `v5.channel.k8s.io` a channel can also be
//! closed. A [`Target`] and a command enter, input is written, an [`Ending`] leaves; what the command
//! prints is thrown away.

use serde_json::Value;
use sha1::{Digest, Sha1};

use super::cluster::Cluster;
use super::connection::{Connection, Head};
use super::frame::{self, Opcode};
use super::message::{Message, Messages};
use super::Error;
use crate::http::client::base64;
use crate::kube::job::Job;

const V5: &str = "v5.channel.k8s.io";
const V4: &str = "v4.channel.k8s.io";
/// What the server adds to our key, to show that it speaks this protocol (RFC 6455, 1.3).
const KEY_SUFFIX: &[u8] = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11";

const INPUT: u8 = 0;
const STATUS: u8 = 3;
/// Closes the channel that follows, in v5.
const CLOSE: u8 = 255;

/// Normal closure (RFC 6455, 7.4.1).
const NORMAL: [u8; 2] = [0x03, 0xe8];

/// How a command ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    /// With code 0.
    Success,
    /// With another one, or it was not started.
    Failure,
    /// The server did not say.
    Unknown,
}

/// A command that runs.
pub struct Session<'a> {
    cluster: &'a Cluster,
    connection: Connection,
    messages: Messages,
    /// Whether the end of its input can be told.
    closes_input: bool,
}

impl Session<'_> {
    /// Starts a command in a container of the job's pod.
    ///
    /// # Errors
    /// Those of the connection; `Status` when the server does not start it; `Answer` when it
    /// does not speak the protocol.
    pub fn start<'a>(
        cluster: &'a Cluster,
        job: &Job,
        container: &str,
        command: &[&str],
        has_input: bool,
    ) -> Result<Session<'a>, Error> {
        let mut key = [0; 16];
        cluster.randomize(&mut key)?;
        let key = base64(&key);
        let headers = format!(
            "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\
             Sec-WebSocket-Key: {key}\r\nSec-WebSocket-Protocol: {V5}, {V4}\r\n"
        );
        let path = path(job, container, command, has_input);
        let (connection, head) = cluster.connect(&path, &headers)?;
        if head.status() != 101 {
            return Err(Error::Status(head.status()));
        }
        Ok(Session {
            cluster,
            connection,
            messages: Messages::default(),
            closes_input: closes_input(&head, &key)?,
        })
    }

    /// Gives the command input, at most a frame of it.
    ///
    /// # Errors
    /// Those of the connection.
    pub fn write(&mut self, input: &[u8]) -> Result<(), Error> {
        let mut payload = Vec::with_capacity(input.len() + 1);
        payload.push(INPUT);
        payload.extend_from_slice(input);
        self.send(Opcode::Data, &payload)
    }

    /// Ends the input. A server that cannot pass that on closes everything, and the ending stays
    /// unknown.
    ///
    /// # Errors
    /// Those of the connection.
    pub fn end_input(&mut self) -> Result<(), Error> {
        match self.closes_input {
            true => self.send(Opcode::Data, &[CLOSE, INPUT]),
            false => self.send(Opcode::Close, &NORMAL),
        }
    }

    /// Waits for the end of the command.
    ///
    /// # Errors
    /// Those of the connection, and frames that are forbidden.
    pub fn finish(mut self) -> Result<Ending, Error> {
        loop {
            while let Some(message) = self.messages.next_message()? {
                match message {
                    Message::Data(payload) => {
                        // An empty one only tells that the channel is there.
                        if let [STATUS, status @ ..] = payload.as_slice() {
                            if !status.is_empty() {
                                return ending(status);
                            }
                        }
                    }
                    Message::Ping(payload) => self.send(Opcode::Pong, &payload)?,
                    Message::Close => return Ok(Ending::Unknown),
                }
            }
            let messages = &mut self.messages;
            if self.connection.read(&mut |bytes| messages.feed(bytes))? == 0 {
                return Ok(Ending::Unknown);
            }
        }
    }

    fn send(&mut self, opcode: Opcode, payload: &[u8]) -> Result<(), Error> {
        let mut mask = [0; 4];
        self.cluster.randomize(&mut mask)?;
        self.connection.write(&frame::write(opcode, payload, mask))
    }
}

fn ending(status: &[u8]) -> Result<Ending, Error> {
    let status: Value =
        serde_json::from_slice(status).map_err(|_| Error::Answer("a status is no JSON"))?;
    Ok(match status["status"] == "Success" {
        true => Ending::Success,
        false => Ending::Failure,
    })
}

/// Whether the server took the newer protocol.
fn closes_input(head: &Head, key: &str) -> Result<bool, Error> {
    let is_websocket = head.header("upgrade").eq_ignore_ascii_case("websocket");
    if !is_websocket || head.header("sec-websocket-accept") != accepted(key) {
        return Err(Error::Answer("it is no WebSocket"));
    }
    match head.header("sec-websocket-protocol") {
        V5 => Ok(true),
        V4 => Ok(false),
        _ => Err(Error::Answer("it chose another protocol for exec")),
    }
}

/// What the server makes of our key.
fn accepted(key: &str) -> String {
    let digest = Sha1::new().chain_update(key).chain_update(KEY_SUFFIX);
    base64(&digest.finalize())
}

fn path(job: &Job, container: &str, command: &[&str], has_input: bool) -> String {
    let mut path = format!(
        "/api/v1/namespaces/{}/pods/{}/exec?stdout=true&stderr=true",
        job.namespace, job.pod
    );
    if has_input {
        path.push_str("&stdin=true");
    }
    append(&mut path, "&container=", container);
    for word in command {
        append(&mut path, "&command=", word);
    }
    path
}

/// Adds a parameter; whatever could mean something in a URL is escaped.
fn append(path: &mut String, name: &str, value: &str) {
    const DIGITS: [char; 16] = [
        '0', '1', '2', '3', '4', '5', '6', '7', '8', '9', 'A', 'B', 'C', 'D', 'E', 'F',
    ];
    path.push_str(name);
    for byte in value.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~/".contains(&byte) {
            path.push(char::from(byte));
            continue;
        }
        path.push('%');
        for half in [byte >> 4, byte & 15] {
            path.extend(DIGITS.get(usize::from(half)));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kube::job::Mode;
    use std::time::Duration;

    #[test]
    fn the_answer_to_a_key_is_that_of_the_standard() {
        assert_eq!(
            accepted("dGhlIHNhbXBsZSBub25jZQ=="),
            "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="
        );
    }

    #[test]
    fn commands_are_escaped() {
        let job = Job {
            namespace: "shop".to_owned(),
            pod: "web-0".to_owned(),
            container: String::new(),
            mode: Mode::InitContainer,
            mutate_unlabelled: false,
            timeout: Duration::from_secs(1),
        };
        assert_eq!(
            path(&job, "app", &["tar", "-C", "/a b&c=%\u{fc}"], true),
            "/api/v1/namespaces/shop/pods/web-0/exec?stdout=true&stderr=true&stdin=true\
             &container=app&command=tar&command=-C&command=/a%20b%26c%3D%25%C3%BC"
        );
    }

    #[test]
    fn endings_are_told_apart() {
        let cases: [(&str, Result<Ending, ()>); 6] = [
            (r#"{"metadata":{},"status":"Success"}"#, Ok(Ending::Success)),
            (
                r#"{"status":"Failure","reason":"NonZeroExitCode"}"#,
                Ok(Ending::Failure),
            ),
            (r#"{"status":1}"#, Ok(Ending::Failure)),
            ("[]", Ok(Ending::Failure)),
            ("Success", Err(())),
            ("\u{fc}", Err(())),
        ];
        for (status, expected) in cases {
            let got = ending(status.as_bytes()).map_err(|_| ());
            assert_eq!(got, expected, "{status}");
        }
    }
}
