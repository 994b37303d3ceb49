//! Requests to the command socket of a role.
//!
//! One line goes out, one line comes back, within a limit of time. The socket's path and a JSON
//! value enter, the reply leaves when it says that all went well. This waits: it is for commands
//! that people type, not for a loop.

use std::fmt;
use std::io::{self, ErrorKind, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::thread::sleep;
use std::time::{Duration, Instant};

use serde_json::Value;

/// Longest reply that is read, in bytes.
const LONGEST_REPLY: u64 = 16 * 1024 * 1024;
/// Longest reply after which something else follows, in bytes.
const LONGEST_AGREEMENT: usize = 4 * 1024;
/// Pause before a socket whose queue is full is tried again.
const PAUSE: Duration = Duration::from_millis(50);

/// The role that loads the probes.
pub const SYSTEM_PROBE: &str = "system-probe";
/// The role that passes events on.
pub const SECURITY_AGENT: &str = "security-agent";

/// Why there is no reply to use.
#[derive(Debug)]
pub enum Error {
    /// Nobody answers on the socket.
    Connect {
        /// The role that was asked.
        role: &'static str,
        /// The socket.
        socket: PathBuf,
        /// What the system answered.
        source: io::Error,
    },
    /// The connection broke, or the reply did not come in time.
    Reply {
        /// The role that was asked.
        role: &'static str,
        /// The socket.
        socket: PathBuf,
        /// What happened.
        source: io::Error,
    },
    /// The reply is not one.
    Malformed {
        /// The role that was asked.
        role: &'static str,
        /// The socket.
        socket: PathBuf,
    },
    /// The role refused, in its own words.
    Refused(String),
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Error::Connect {
                role,
                socket,
                source,
            } => {
                let advice = match source.kind() {
                    ErrorKind::PermissionDenied => {
                        "run this as root or as a member of the group dd-agent".to_owned()
                    }
                    _ => format!(
                        "start the agent (`security-agent run` or `{role} {}`), or name the \
                         configuration that it runs with",
                        verb(role)
                    ),
                };
                let socket = socket.display();
                write!(f, "{role} does not answer on {socket}: {source}; {advice}")
            }
            Error::Reply {
                role,
                socket,
                source,
            } if source.kind() == ErrorKind::TimedOut => write!(
                f,
                "{role} did not reply on {} in time; look for the reason in its log",
                socket.display()
            ),
            Error::Reply {
                role,
                socket,
                source,
            } => write!(
                f,
                "the connection to {role} on {} broke: {source}; it may have been stopped",
                socket.display()
            ),
            Error::Malformed { role, socket } => write!(
                f,
                "what answers on {} is no {role} of this version; see what listens there",
                socket.display()
            ),
            Error::Refused(sentence) => f.write_str(sentence),
        }
    }
}

/// The command that starts this role alone.
fn verb(role: &str) -> &'static str {
    match role {
        SECURITY_AGENT => "start",
        _ => "run",
    }
}

impl std::error::Error for Error {}

/// Sends `request` to system-probe, whose command socket this is; see [`request_of`].
pub fn request(socket: &Path, request: &Value, limit: Duration) -> Result<Value, Error> {
    request_of(SYSTEM_PROBE, socket, request, limit)
}

/// Sends `request` to a role and returns the reply, all within `limit`. A reply with `"ok": false`
/// is [`Error::Refused`].
pub fn request_of(
    role: &'static str,
    socket: &Path,
    request: &Value,
    limit: Duration,
) -> Result<Value, Error> {
    let deadline = Instant::now() + limit;
    let mut stream = connect(socket, deadline).map_err(|source| Error::Connect {
        role,
        socket: socket.to_owned(),
        source,
    })?;
    let line = exchange(&mut stream, request, deadline).map_err(|source| Error::Reply {
        role,
        socket: socket.to_owned(),
        source,
    })?;
    understand(role, socket, &line)
}

fn understand(role: &'static str, socket: &Path, line: &[u8]) -> Result<Value, Error> {
    let malformed = || Error::Malformed {
        role,
        socket: socket.to_owned(),
    };
    let reply: Value = serde_json::from_slice(line).map_err(|_| malformed())?;
    match reply.get("ok").and_then(Value::as_bool) {
        Some(true) => Ok(reply),
        Some(false) => {
            let sentence = reply.get("error").and_then(Value::as_str);
            Err(Error::Refused(
                sentence.unwrap_or("it gave no reason").to_owned(),
            ))
        }
        None => Err(malformed()),
    }
}

/// Sends `request` to system-probe and returns the connection, on which more than a reply comes
/// once system-probe has agreed. It must do so within `limit`.
pub fn open(socket: &Path, request: &Value, limit: Duration) -> Result<UnixStream, Error> {
    let deadline = Instant::now() + limit;
    let (role, socket) = (SYSTEM_PROBE, socket.to_owned());
    let mut stream = match connect(&socket, deadline) {
        Ok(stream) => stream,
        Err(source) => {
            return Err(Error::Connect {
                role,
                socket,
                source,
            })
        }
    };
    match exchange_line(&mut stream, request, deadline) {
        Ok(line) => understand(role, &socket, &line).map(|_| stream),
        Err(source) => Err(Error::Reply {
            role,
            socket,
            source,
        }),
    }
}

/// The reply of a line that nothing behind the line is read with.
fn exchange_line(
    stream: &mut UnixStream,
    request: &Value,
    deadline: Instant,
) -> io::Result<Vec<u8>> {
    send(stream, request, deadline)?;
    let mut line = Vec::new();
    let mut byte = [0; 1];
    while line.len() < LONGEST_AGREEMENT {
        stream.set_read_timeout(Some(left(deadline)?))?;
        stream.read_exact(&mut byte).map_err(in_time)?;
        match byte {
            [b'\n'] => break,
            [other] => line.push(other),
        }
    }
    stream.set_read_timeout(None)?;
    Ok(line)
}

/// Connects without waiting for a place in a full queue, which would have no limit of time.
fn connect(socket: &Path, deadline: Instant) -> io::Result<UnixStream> {
    loop {
        match mio::net::UnixStream::connect(socket) {
            Ok(stream) => {
                let stream = UnixStream::from(stream);
                stream.set_nonblocking(false)?;
                return Ok(stream);
            }
            Err(error) if error.kind() == ErrorKind::WouldBlock && Instant::now() < deadline => {
                sleep(PAUSE);
            }
            Err(error) => return Err(error),
        }
    }
}

fn exchange(stream: &mut UnixStream, request: &Value, deadline: Instant) -> io::Result<Vec<u8>> {
    send(stream, request, deadline)?;
    let mut reply = Vec::new();
    let mut piece = [0; 16 * 1024];
    loop {
        stream.set_read_timeout(Some(left(deadline)?))?;
        let count = match stream.read(&mut piece) {
            Ok(0) => return Err(ErrorKind::UnexpectedEof.into()),
            Ok(count) => count,
            Err(error) if error.kind() == ErrorKind::Interrupted => continue,
            Err(error) => return Err(in_time(error)),
        };
        let read = piece.get(..count).unwrap_or_default();
        if let Some(line) = read
            .split(|byte| *byte == b'\n')
            .next()
            .filter(|line| line.len() < count)
        {
            reply.extend_from_slice(line);
            return Ok(reply);
        }
        reply.extend_from_slice(read);
        if reply.len() as u64 > LONGEST_REPLY {
            return Err(io::Error::new(
                ErrorKind::InvalidData,
                "the reply is too long",
            ));
        }
    }
}

fn send(stream: &mut UnixStream, request: &Value, deadline: Instant) -> io::Result<()> {
    stream.set_write_timeout(Some(left(deadline)?))?;
    let line = format!("{request}\n");
    stream.write_all(line.as_bytes()).map_err(in_time)
}

fn left(deadline: Instant) -> io::Result<Duration> {
    let left = deadline.saturating_duration_since(Instant::now());
    if left.is_zero() {
        return Err(ErrorKind::TimedOut.into());
    }
    Ok(left)
}

/// A socket with a limit of time says "would block" when the limit is reached.
fn in_time(error: io::Error) -> io::Error {
    match error.kind() {
        ErrorKind::WouldBlock => ErrorKind::TimedOut.into(),
        _ => error,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;
    use std::os::unix::net::UnixListener;
    use std::thread::{spawn, JoinHandle};

    fn serve(name: &str, reply: &'static [u8]) -> (PathBuf, JoinHandle<()>) {
        let path = std::env::temp_dir().join(format!("client-test-{}-{name}", std::process::id()));
        let _ = std::fs::remove_file(&path);
        let listener = UnixListener::bind(&path).unwrap();
        let server = spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            let mut request = [0; 64];
            let _ = stream.read(&mut request);
            let _ = stream.write_all(reply);
            if reply.is_empty() {
                // Until the other end gives up.
                let _ = stream.read_to_end(&mut Vec::new());
            }
        });
        (path, server)
    }

    #[test]
    fn replies_become_values_or_sentences() {
        let cases: [(&str, &'static [u8], &str); 5] = [
            ("ok", b"{\"ok\":true,\"x\":1}\n", ""),
            (
                "refused",
                b"{\"ok\":false,\"error\":\"no hook\"}\n",
                "no hook",
            ),
            ("broken", b"{\"ok\":tr", "broke"),
            ("malformed", b"HTTP/1.1 400\n", "is no system-probe"),
            ("late", b"", "in time"),
        ];
        for (name, reply, expected) in cases {
            let (path, server) = serve(name, reply);
            let limit = Duration::from_millis(if reply.is_empty() { 200 } else { 30_000 });
            match request(&path, &json!({"command": "status"}), limit) {
                Ok(reply) => assert_eq!((name, &reply["x"]), ("ok", &json!(1))),
                Err(error) => {
                    let text = error.to_string();
                    assert!(
                        !expected.is_empty() && text.contains(expected),
                        "{name}: {text}"
                    );
                }
            }
            server.join().unwrap();
            std::fs::remove_file(&path).unwrap();
        }
    }

    #[test]
    fn without_a_server_the_sentence_names_the_socket() {
        let path = Path::new("/nonexistent/cmd.sock");
        let error = request(path, &json!({}), Duration::from_millis(50))
            .unwrap_err()
            .to_string();
        assert!(
            error.contains("/nonexistent/cmd.sock") && error.contains("system-probe run"),
            "{error}"
        );
        let error = request_of(SECURITY_AGENT, path, &json!({}), Duration::from_millis(50))
            .unwrap_err()
            .to_string();
        assert!(error.contains("security-agent start"), "{error}");
    }
}
