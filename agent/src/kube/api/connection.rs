//! One connection to the API server: TLS, the head of one answer, and its body.
//!
//! A host and a request enter, a [`Head`] and bytes leave. Every read and every write ends when the
//! job has to be over; all that is read is bounded. What is asked is not known here.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{TcpStream, ToSocketAddrs};
use std::sync::Arc;
use std::time::{Duration, Instant};

use rustls::pki_types::ServerName;
use rustls::{ClientConfig, ClientConnection, StreamOwned};

use super::Error;

/// Bytes of a head.
const MAX_HEAD: u64 = 32 << 10;
/// Bytes of a body; the cluster stores objects of 1.5 MB at most.
const MAX_BODY: u64 = 4 << 20;
/// Bytes of the line before a chunk.
const MAX_LINE: u64 = 256;

/// A connection.
pub struct Connection(BufReader<StreamOwned<ClientConnection, Timed>>);

impl Connection {
    /// Connects; whether the server is the right one shows with the first write.
    pub fn open(
        host: &str,
        port: u16,
        tls: &Arc<ClientConfig>,
        until: Instant,
    ) -> Result<Connection, Error> {
        let name = ServerName::try_from(host.to_owned())
            .map_err(|_| Error::Connection(format!("{host} is no name of a server")))?;
        let mut result = Err(Error::Connection(format!("{host} has no address")));
        for address in (host, port).to_socket_addrs()? {
            result = TcpStream::connect_timeout(&address, left(until)?).map_err(Error::from);
            if result.is_ok() {
                break;
            }
        }
        let socket = result?;
        socket.set_nodelay(true)?;
        let client = ClientConnection::new(Arc::clone(tls), name)
            .map_err(|error| Error::Connection(error.to_string()))?;
        let timed = Timed { socket, until };
        Ok(Connection(BufReader::new(StreamOwned::new(client, timed))))
    }

    /// Writes all of it.
    pub fn write(&mut self, bytes: &[u8]) -> Result<(), Error> {
        let stream = self.0.get_mut();
        stream.write_all(bytes)?;
        Ok(stream.flush()?)
    }

    /// Takes what has come, at least one byte unless the peer is done.
    pub fn read(&mut self, take: &mut dyn FnMut(&[u8])) -> Result<usize, Error> {
        let bytes = self.0.fill_buf()?;
        let read = bytes.len();
        take(bytes);
        self.0.consume(read);
        Ok(read)
    }

    /// Status line and headers of an answer.
    pub fn head(&mut self) -> Result<Head, Error> {
        let mut text = Vec::new();
        let mut limited = self.0.by_ref().take(MAX_HEAD);
        loop {
            let before = text.len();
            limited.read_until(b'\n', &mut text)?;
            match text.get(before..) {
                Some(b"\r\n" | b"\n") => return Head::parse(text),
                Some(line) if line.ends_with(b"\n") => {}
                _ => return Err(Error::Answer("its head does not end")),
            }
        }
    }

    /// The body that comes after this head.
    pub fn body(&mut self, head: &Head) -> Result<Vec<u8>, Error> {
        let is_chunked = head
            .header("transfer-encoding")
            .to_ascii_lowercase()
            .ends_with("chunked");
        let mut body = Vec::new();
        if is_chunked {
            while self.chunk(&mut body)? > 0 {}
            return Ok(body);
        }
        match head.header("content-length") {
            "" => {
                let limit = MAX_BODY + 1;
                if self.0.by_ref().take(limit).read_to_end(&mut body)? as u64 == limit {
                    return Err(Error::Answer("it is too long"));
                }
            }
            length => {
                let length = length.parse();
                let length = length.map_err(|_| Error::Answer("its length is no number"))?;
                self.exactly(length, &mut body)?;
            }
        }
        Ok(body)
    }

    /// Adds a chunk to a body; 0 when it was the last.
    fn chunk(&mut self, body: &mut Vec<u8>) -> Result<u64, Error> {
        let mut line = Vec::new();
        self.0
            .by_ref()
            .take(MAX_LINE)
            .read_until(b'\n', &mut line)?;
        let line = String::from_utf8_lossy(&line);
        let digits = line.split(';').next().unwrap_or("").trim();
        let size = match digits.starts_with('+') {
            true => None,
            false => u64::from_str_radix(digits, 16).ok(),
        };
        let size = size.ok_or(Error::Answer("a chunk has no size"))?;
        if size == 0 {
            return Ok(0);
        }
        self.exactly(size, body)?;
        let mut end = [0; 2];
        self.0.read_exact(&mut end)?;
        match &end {
            b"\r\n" => Ok(size),
            _ => Err(Error::Answer("a chunk does not end")),
        }
    }

    /// Adds so many bytes to a body.
    fn exactly(&mut self, length: u64, body: &mut Vec<u8>) -> Result<(), Error> {
        if length.saturating_add(body.len() as u64) > MAX_BODY {
            return Err(Error::Answer("it is too long"));
        }
        match self.0.by_ref().take(length).read_to_end(body)? as u64 == length {
            true => Ok(()),
            false => Err(Error::Answer("it ends too early")),
        }
    }
}

/// Status and headers of an answer.
#[derive(Debug, PartialEq, Eq)]
pub struct Head {
    status: u16,
    text: String,
}

impl Head {
    fn parse(text: Vec<u8>) -> Result<Head, Error> {
        let wrong = Error::Answer("it does not begin as HTTP/1.1 does");
        let text = String::from_utf8(text).map_err(|_| wrong.clone())?;
        let mut words = text.lines().next().unwrap_or("").split(' ');
        match (words.next(), words.next().map(str::parse)) {
            (Some("HTTP/1.1" | "HTTP/1.0"), Some(Ok(status))) => Ok(Head { status, text }),
            _ => Err(wrong),
        }
    }

    /// The status, such as 200.
    pub fn status(&self) -> u16 {
        self.status
    }

    /// The value of a header; empty when there is none.
    pub fn header(&self, name: &str) -> &str {
        let mut pairs = self.text.lines().filter_map(|line| line.split_once(':'));
        let found = pairs.find(|(one, _)| one.eq_ignore_ascii_case(name));
        found.map_or("", |(_, value)| value.trim())
    }
}

/// A socket whose calls end when it is time.
struct Timed {
    socket: TcpStream,
    until: Instant,
}

impl Read for Timed {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.socket.set_read_timeout(Some(left(self.until)?))?;
        self.socket.read(buffer)
    }
}

impl Write for Timed {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.socket.set_write_timeout(Some(left(self.until)?))?;
        self.socket.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// The time that is left; an error when there is none.
fn left(until: Instant) -> io::Result<Duration> {
    let left = until.saturating_duration_since(Instant::now());
    match left.is_zero() {
        true => Err(io::ErrorKind::TimedOut.into()),
        false => Ok(left),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn heads_are_read() {
        let head = b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nA:b\r\n\r\n";
        let head = Head::parse(head.to_vec()).unwrap();
        assert_eq!(head.status(), 101);
        assert_eq!(head.header("upgrade"), "websocket");
        assert_eq!(head.header("a"), "b");
        assert_eq!(head.header("c"), "");
        let cases: [&[u8]; 6] = [
            b"",
            b"\r\n",
            b"HTTP/2 200\r\n\r\n",
            b"HTTP/1.1\r\n\r\n",
            b"HTTP/1.1 99999 x\r\n\r\n",
            b"HTTP/1.1 200 \xff\r\n\r\n",
        ];
        for case in cases {
            assert!(Head::parse(case.to_vec()).is_err(), "{case:?}");
        }
    }
}
