//! A client of the agent's two sockets: a JSON value a line, in both directions.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

use serde_json::Value;

/// More than any line that the agent writes.
const LINE_LIMIT: u64 = 4 << 20;

/// A connection to one of the sockets.
pub(crate) struct Client {
    reader: BufReader<UnixStream>,
}

impl Client {
    /// Connects; every later read fails after `limit`.
    pub(crate) fn connect(path: &Path, limit: Duration) -> io::Result<Client> {
        let stream = UnixStream::connect(path)?;
        stream.set_read_timeout(Some(limit))?;
        stream.set_write_timeout(Some(limit))?;
        Ok(Client {
            reader: BufReader::new(stream),
        })
    }

    /// Sends one line.
    pub(crate) fn send(&mut self, line: &str) -> io::Result<()> {
        self.send_bytes(format!("{line}\n").as_bytes())
    }

    /// Sends bytes as they are.
    pub(crate) fn send_bytes(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.reader.get_mut().write_all(bytes)
    }

    /// The next line; `None` when the agent has closed the connection.
    pub(crate) fn receive(&mut self) -> io::Result<Option<Value>> {
        let mut line = String::new();
        if self.reader.by_ref().take(LINE_LIMIT).read_line(&mut line)? == 0 {
            return Ok(None);
        }
        let value = serde_json::from_str(&line)
            .map_err(|error| io::Error::other(format!("no JSON ({error}): {line}")))?;
        Ok(Some(value))
    }

    /// Sends a line and returns the answer.
    pub(crate) fn ask(&mut self, line: &str) -> io::Result<Value> {
        self.send(line)?;
        self.receive()?
            .ok_or_else(|| io::Error::other(format!("closed instead of answering {line}")))
    }
}
