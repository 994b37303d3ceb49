//! Numbers for Prometheus, over HTTP on a unix socket or a port of the loopback interface.
//!
//! One request a connection, whatever it asks for: the answer is the text of all metrics (text
//! format 0.0.4). The numbers are those of `status`: system-probe's, asked for over its command
//! socket while they are wanted, and this role's own. Nothing is listened on unless configured.

pub mod text;

use std::io::{self, ErrorKind, Read, Write};
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use mio::net::{TcpListener, TcpStream, UnixStream};
use mio::{Interest, Registry, Token};
use serde_json::Value;

use crate::config::{keys, Settings};
use crate::sys::socket::Listener;

/// Scrapes at one time; more wait in the queue of the socket.
const PEERS: usize = 8;
/// Bytes of a request.
const LONGEST_REQUEST: usize = 8 << 10;
/// Bytes of system-probe's status.
const LONGEST_STATUS: usize = 16 << 20;
/// How long a scrape may take, from connecting to its last byte.
const PATIENCE: Duration = Duration::from_secs(5);
/// How long system-probe may take to answer before its numbers are left out.
const PROBE_PATIENCE: Duration = Duration::from_secs(2);

/// Who listens, and what they are being told.
#[derive(Default)]
pub(super) struct Metrics {
    unix: Option<Listener>,
    tcp: Option<TcpListener>,
    /// Somebody may wait at a listener.
    is_visited: bool,
    peers: Vec<Peer>,
    command_socket: PathBuf,
    question: Option<Question>,
}

/// A scrape.
struct Peer {
    stream: Stream,
    since: Instant,
    request: Vec<u8>,
    /// The whole request has come.
    is_asked: bool,
    answer: Vec<u8>,
    sent: usize,
}

enum Stream {
    Unix(UnixStream),
    Tcp(TcpStream),
}

/// The request for system-probe's status.
struct Question {
    stream: UnixStream,
    since: Instant,
    sent: bool,
    answer: Vec<u8>,
}

impl Metrics {
    /// Listens as the settings say; what cannot be had is a sentence in the log.
    pub(super) fn new(settings: &Settings, registry: &Registry, token: Token) -> Metrics {
        let mut metrics = Metrics {
            command_socket: settings.command_socket(),
            ..Metrics::default()
        };
        let socket = settings.text(&keys::METRICS_SOCKET);
        if !socket.is_empty() {
            match listen_unix(Path::new(socket), registry, token) {
                Ok(listener) => metrics.unix = Some(listener),
                Err(error) => log::warn!("metrics cannot be read: {error}"),
            }
        }
        let port = settings.count(&keys::METRICS_PORT);
        if port != 0 {
            match listen_tcp(port, registry, token) {
                Ok(listener) => metrics.tcp = Some(listener),
                Err(error) => log::warn!(
                    "metrics cannot be read on port {port} of 127.0.0.1: {error}; choose another {}",
                    keys::METRICS_PORT.name
                ),
            }
        }
        metrics
    }

    /// Goes on with every scrape; `own` makes the status of this role.
    pub(super) fn turn(
        &mut self,
        registry: &Registry,
        (listening, asking): (Token, Token),
        own: impl Fn() -> Value,
    ) {
        if self.unix.is_none() && self.tcp.is_none() {
            return;
        }
        self.accept(registry, listening);
        self.peers.retain_mut(Peer::read);
        let asked = self
            .peers
            .iter()
            .any(|peer| peer.is_asked && peer.answer.is_empty());
        match asked {
            true => self.answer(registry, asking, own),
            // Who asked has gone; its deadline must not wake the loop for ever.
            false => self.question = None,
        }
        self.peers.retain_mut(Peer::write);
    }

    /// Notes that a listener or a scrape is ready.
    pub(super) fn wake(&mut self) {
        self.is_visited = true;
    }

    fn accept(&mut self, registry: &Registry, token: Token) {
        while self.is_visited && self.peers.len() < PEERS {
            let mut stream = match self.next_stream() {
                Ok(Some(stream)) => stream,
                Ok(None) => {
                    self.is_visited = false;
                    return;
                }
                // One who may not read; who else waits is seen to in the next turn.
                Err(_) => return,
            };
            let interest = Interest::READABLE | Interest::WRITABLE;
            let registered = match &mut stream {
                Stream::Unix(stream) => registry.register(stream, token, interest),
                Stream::Tcp(stream) => registry.register(stream, token, interest),
            };
            if registered.is_ok() {
                self.peers.push(Peer::new(stream));
            }
        }
    }

    /// The next one who may read; `None` when nobody waits.
    fn next_stream(&self) -> io::Result<Option<Stream>> {
        if let Some(unix) = &self.unix {
            match unix.accept()? {
                Some(peer) if peer.admitted => return Ok(Some(Stream::Unix(peer.stream))),
                Some(_) => return Err(ErrorKind::PermissionDenied.into()),
                None => {}
            }
        }
        match self.tcp.as_ref().map(TcpListener::accept) {
            Some(Ok((stream, _))) => Ok(Some(Stream::Tcp(stream))),
            Some(Err(error)) if error.kind() != ErrorKind::WouldBlock => Err(error),
            _ => Ok(None),
        }
    }

    /// Gives the numbers to everyone who waits for them, once system-probe's are there or it has
    /// had its time.
    fn answer(&mut self, registry: &Registry, token: Token, own: impl Fn() -> Value) {
        let question = match &mut self.question {
            Some(question) => Some(question),
            none => match Question::ask(&self.command_socket, registry, token) {
                Ok(question) => Some(none.insert(question)),
                Err(_) => None,
            },
        };
        let probe = match question.map(Question::poll) {
            Some(Progress::Waiting) => return,
            Some(Progress::Answered(status)) => Some(status),
            Some(Progress::Failed) | None => None,
        };
        self.question = None;
        let body = text::render(probe.as_ref(), &own());
        for peer in self.peers.iter_mut().filter(|peer| peer.is_asked) {
            if peer.answer.is_empty() {
                peer.answer = response(&body);
            }
        }
    }

    /// When to look again without being woken.
    pub(super) fn deadline(&self) -> Option<Instant> {
        let question = self.question.as_ref().map(|it| it.since + PROBE_PATIENCE);
        let peers = self.peers.iter().map(|peer| peer.since + PATIENCE).min();
        question.into_iter().chain(peers).min()
    }
}

impl Peer {
    fn new(stream: Stream) -> Peer {
        Peer {
            stream,
            since: Instant::now(),
            request: Vec::new(),
            is_asked: false,
            answer: Vec::new(),
            sent: 0,
        }
    }

    /// Reads the request; false when this peer is done with.
    fn read(&mut self) -> bool {
        if self.since.elapsed() > PATIENCE {
            return false;
        }
        let mut piece = [0; 1024];
        while !self.is_asked {
            match self.stream.read(&mut piece) {
                Ok(0) => return false,
                Ok(count) => self.request.extend(piece.iter().take(count)),
                Err(error) if error.kind() == ErrorKind::WouldBlock => return true,
                Err(error) if error.kind() == ErrorKind::Interrupted => continue,
                Err(_) => return false,
            }
            self.is_asked = self.request.windows(4).any(|end| end == b"\r\n\r\n");
            if self.request.len() > LONGEST_REQUEST {
                return false;
            }
        }
        true
    }

    /// Writes the answer; false when this peer is done with.
    fn write(&mut self) -> bool {
        while let Some(rest) = self.answer.get(self.sent..).filter(|rest| !rest.is_empty()) {
            match self.stream.write(rest) {
                Ok(0) => return false,
                Ok(count) => self.sent += count,
                Err(error) if error.kind() == ErrorKind::WouldBlock => return true,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(_) => return false,
            }
        }
        self.answer.is_empty()
    }
}

impl Read for Stream {
    fn read(&mut self, room: &mut [u8]) -> io::Result<usize> {
        match self {
            Stream::Unix(stream) => stream.read(room),
            Stream::Tcp(stream) => stream.read(room),
        }
    }
}

impl Write for Stream {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Stream::Unix(stream) => stream.write(bytes),
            Stream::Tcp(stream) => stream.write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

enum Progress {
    Waiting,
    Answered(Value),
    Failed,
}

impl Question {
    fn ask(socket: &Path, registry: &Registry, token: Token) -> io::Result<Question> {
        let mut stream = UnixStream::connect(socket)?;
        let interest = Interest::READABLE | Interest::WRITABLE;
        registry.register(&mut stream, token, interest)?;
        Ok(Question {
            stream,
            since: Instant::now(),
            sent: false,
            answer: Vec::new(),
        })
    }

    fn poll(&mut self) -> Progress {
        let is_late = self.since.elapsed() > PROBE_PATIENCE;
        match self.read_status() {
            Ok(Some(status)) => Progress::Answered(status),
            Ok(None) if !is_late => Progress::Waiting,
            Ok(None) | Err(_) => Progress::Failed,
        }
    }

    fn read_status(&mut self) -> io::Result<Option<Value>> {
        if !self.sent {
            // A new connection has room for so short a line.
            self.stream.write_all(b"{\"command\":\"status\"}\n")?;
            self.sent = true;
        }
        let mut piece = [0; 16 << 10];
        loop {
            match self.stream.read(&mut piece) {
                Ok(0) => return Err(ErrorKind::UnexpectedEof.into()),
                Ok(count) => self.answer.extend(piece.iter().take(count)),
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(None),
                Err(error) if error.kind() == ErrorKind::Interrupted => continue,
                Err(error) => return Err(error),
            }
            if self.answer.ends_with(b"\n") {
                let mut reply: Value = serde_json::from_slice(&self.answer)?;
                return Ok(reply.get_mut("status").map(Value::take));
            }
            if self.answer.len() > LONGEST_STATUS {
                return Err(ErrorKind::InvalidData.into());
            }
        }
    }
}

fn listen_unix(path: &Path, registry: &Registry, token: Token) -> Result<Listener, String> {
    let mut listener = Listener::bind(path).map_err(|error| error.to_string())?;
    registry
        .register(&mut listener, token, Interest::READABLE)
        .map_err(|error| error.to_string())?;
    Ok(listener)
}

fn listen_tcp(port: u64, registry: &Registry, token: Token) -> io::Result<TcpListener> {
    let port = u16::try_from(port).map_err(|_| ErrorKind::InvalidInput)?;
    let mut listener = TcpListener::bind(SocketAddr::from((Ipv4Addr::LOCALHOST, port)))?;
    registry.register(&mut listener, token, Interest::READABLE)?;
    Ok(listener)
}

fn response(body: &str) -> Vec<u8> {
    let length = body.len();
    format!(
        "HTTP/1.1 200 OK\r\nContent-Type: text/plain; version=0.0.4\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n{body}"
    )
    .into_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;
    use mio::Poll;

    #[test]
    fn a_question_ends_with_the_last_scrape_that_waits_for_it() {
        let directory = std::env::temp_dir().join(format!("metrics-{}", std::process::id()));
        std::fs::create_dir(&directory).unwrap();
        let (own, silent) = (directory.join("own"), directory.join("silent"));
        let _silent = std::os::unix::net::UnixListener::bind(&silent).unwrap();
        let poll = Poll::new().unwrap();
        let (listening, asking) = (Token(0), Token(1));
        let mut metrics = Metrics {
            unix: Some(listen_unix(&own, poll.registry(), listening).unwrap()),
            command_socket: silent,
            ..Metrics::default()
        };
        let turn = |metrics: &mut Metrics| {
            metrics.turn(poll.registry(), (listening, asking), || Value::Null);
        };
        let mut scraper = std::os::unix::net::UnixStream::connect(&own).unwrap();
        scraper.write_all(b"GET / HTTP/1.1\r\n\r\n").unwrap();
        metrics.wake();
        turn(&mut metrics);
        assert!(metrics.question.is_some() && metrics.peers.len() == 1);
        metrics.peers[0].since -= 2 * PATIENCE;
        turn(&mut metrics);
        assert_eq!(metrics.deadline(), None);
        drop(metrics);
        std::fs::remove_dir_all(&directory).unwrap();
    }
}
