//! One client: a socket, TLS over it, and one request after the other in it.
//!
//! Bytes enter and leave by the socket and never block; whole requests leave [`Connection::turn`],
//! and [`Connection::answer`] takes what they are answered. Every phase has its time, so that a
//! client that sends little by little does not stay for long.

use std::io::{self, ErrorKind, Read};
use std::net::Shutdown;
use std::sync::Arc;
use std::time::{Duration, Instant};

use mio::net::TcpStream;
use rustls::{ServerConfig, ServerConnection};

use super::http::{self, Progress, Reader, Request};

/// How long the handshake may take.
const HANDSHAKE: Duration = Duration::from_secs(5);
/// How long a head may take, from its first byte or the end of the handshake.
const HEAD: Duration = Duration::from_secs(5);
/// How long a body may take.
const BODY: Duration = Duration::from_secs(10);
/// How long a client may take to read its answer.
const ANSWER: Duration = Duration::from_secs(10);
/// How long nothing may be asked; API servers close what they do not use before.
const IDLE: Duration = Duration::from_secs(120);
/// How long a client may have been waiting for an answer before its first request began: it counts
/// from before it connected.
const CONNECTING: Duration = Duration::from_millis(500);
/// How long a client that was refused may go on sending before it is cut off.
const LINGER: Duration = Duration::from_secs(1);
/// Times that a socket is read in one turn; then others have theirs.
const READS: usize = 8;
/// Bytes read at once.
const PIECE: usize = 4096;

/// What a client is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Phase {
    /// TLS is being agreed on.
    Handshake,
    /// Nothing since the last answer.
    Idle,
    /// A head is on its way.
    Head,
    /// A body is on its way.
    Body,
    /// A request waits for its answer.
    Waiting,
    /// An answer is on its way; whether another request may follow.
    Answer(bool),
    /// It was refused, and may still be sending.
    Lingering,
}

/// What a turn brought.
#[derive(Debug)]
pub(super) enum Turn {
    /// Nothing until it is woken again.
    Nothing,
    /// A request that is to be answered.
    Asked(Request),
    /// A request that was refused.
    Refused,
    /// It is over.
    Closed,
}

/// A client.
pub(super) struct Connection {
    stream: TcpStream,
    tls: ServerConnection,
    reader: Reader,
    phase: Phase,
    /// When the phase began.
    since: Instant,
    /// When the client connected, or began the request that it is at.
    asked: Instant,
    /// Whether there may be something to read or to write.
    pub(super) is_ready: bool,
    keep_alive: bool,
}

impl Connection {
    /// A client that has just connected.
    pub(super) fn new(
        stream: TcpStream,
        config: Arc<ServerConfig>,
        now: Instant,
    ) -> Result<Connection, rustls::Error> {
        let mut tls = ServerConnection::new(config)?;
        // Answers are bounded by requests.
        tls.set_buffer_limit(None);
        Ok(Connection {
            stream,
            tls,
            reader: Reader::default(),
            phase: Phase::Handshake,
            since: now,
            asked: now,
            is_ready: true,
            keep_alive: false,
        })
    }

    /// What it is doing, and since when.
    pub(super) fn phase(&self) -> (Phase, Instant) {
        (self.phase, self.since)
    }

    /// Since when the client has been waiting for its present answer.
    pub(super) fn asked(&self) -> Instant {
        self.asked
    }

    /// Bytes of a request that are held.
    pub(super) fn held(&self) -> usize {
        self.reader.held()
    }

    /// When it is to be closed if nothing changes; who waits for us is not.
    pub(super) fn deadline(&self) -> Option<Instant> {
        let patience = match self.phase {
            Phase::Handshake => HANDSHAKE,
            Phase::Idle => IDLE,
            Phase::Head => HEAD,
            Phase::Body => BODY,
            Phase::Waiting => return None,
            Phase::Answer(_) => ANSWER,
            Phase::Lingering => LINGER,
        };
        Some(self.since + patience)
    }

    /// Goes on with what can be read and written.
    pub(super) fn turn(&mut self, now: Instant) -> Turn {
        self.is_ready = false;
        let turn = match self.step(now) {
            Ok(turn) => turn,
            Err(_) => Turn::Closed,
        };
        if matches!(turn, Turn::Closed) {
            // An alert says why, if the socket takes it.
            let _ = self.flush();
        }
        turn
    }

    /// Answers the request that is waiting.
    pub(super) fn answer(&mut self, status: u16, content: (&str, &str), now: Instant) {
        self.queue(status, content, self.keep_alive, now);
    }

    /// Tells it to go away, whatever it was sending.
    pub(super) fn refuse(&mut self, status: u16, now: Instant) {
        self.reader = Reader::default();
        self.queue(status, ("text/plain", ""), false, now);
    }

    /// Lets it go after its present answer.
    pub(super) fn finish(&mut self) {
        self.keep_alive = false;
        if let Phase::Answer(_) = self.phase {
            self.phase = Phase::Answer(false);
        }
    }

    fn queue(
        &mut self,
        status: u16,
        (content_type, body): (&str, &str),
        keep_alive: bool,
        now: Instant,
    ) {
        let bytes = http::answer(status, content_type, body, keep_alive);
        self.write(&bytes);
        self.enter(Phase::Answer(keep_alive), now);
        self.is_ready = true;
    }

    /// There is always room: the buffer has no limit.
    fn write(&mut self, bytes: &[u8]) {
        let _ = io::Write::write_all(&mut self.tls.writer(), bytes);
    }

    fn enter(&mut self, phase: Phase, now: Instant) {
        self.phase = phase;
        self.since = now;
    }

    fn step(&mut self, now: Instant) -> io::Result<Turn> {
        self.flush()?;
        if let Phase::Answer(keep_alive) = self.phase {
            if self.tls.wants_write() {
                return Ok(Turn::Nothing);
            }
            self.end_answer(keep_alive, now)?;
        }
        match self.phase {
            Phase::Waiting => Ok(Turn::Nothing),
            Phase::Lingering => self.linger(),
            _ => self.read(now),
        }
    }

    fn end_answer(&mut self, keep_alive: bool, now: Instant) -> io::Result<()> {
        if keep_alive {
            self.enter(Phase::Idle, now);
            return Ok(());
        }
        self.tls.send_close_notify();
        self.flush()?;
        // Closing with something unread would take the answer back.
        let _ = self.stream.shutdown(Shutdown::Write);
        self.enter(Phase::Lingering, now);
        Ok(())
    }

    /// Reads on, until the socket has no more, a request is whole, or others are to have a turn.
    fn read(&mut self, now: Instant) -> io::Result<Turn> {
        for _ in 0..READS {
            if let Some(turn) = self.next_request(now) {
                return Ok(turn);
            }
            match self.tls.read_tls(&mut self.stream) {
                Ok(0) => return Ok(Turn::Closed),
                Ok(_) => {}
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(Turn::Nothing),
                Err(error) if error.kind() == ErrorKind::Interrupted => continue,
                Err(error) => return Err(error),
            }
            self.tls
                .process_new_packets()
                .map_err(|_| io::Error::from(ErrorKind::InvalidData))?;
            if self.tls.wants_write() {
                self.flush()?;
            }
            if self.phase == Phase::Handshake && !self.tls.is_handshaking() {
                self.enter(Phase::Head, now);
            }
            let is_first = self.phase == Phase::Head && self.reader.is_empty();
            let is_open = self.decrypt()?;
            if is_first && !self.reader.is_empty() {
                let earliest = now.checked_sub(CONNECTING).unwrap_or(now);
                self.asked = self.asked.max(earliest);
            }
            if !is_open {
                // The end may have come with a request, which is answered.
                let turn = self.next_request(now);
                self.keep_alive = false;
                return Ok(turn.unwrap_or(Turn::Closed));
            }
        }
        self.is_ready = true;
        Ok(Turn::Nothing)
    }

    /// Moves what was decrypted to the reader; false when the client has ended.
    fn decrypt(&mut self) -> io::Result<bool> {
        let mut piece = [0; PIECE];
        loop {
            match self.tls.reader().read(&mut piece) {
                Ok(0) => return Ok(false),
                Ok(count) => self.reader.push(piece.get(..count).unwrap_or_default()),
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(true),
                Err(error) => return Err(error),
            }
        }
    }

    fn next_request(&mut self, now: Instant) -> Option<Turn> {
        if self.phase == Phase::Handshake || self.reader.is_empty() {
            return None;
        }
        if self.phase == Phase::Idle {
            self.enter(Phase::Head, now);
            self.asked = now;
        }
        let progress = self.reader.next();
        if self.phase == Phase::Head && self.reader.has_head() {
            self.enter(Phase::Body, now);
        }
        match progress {
            Progress::Partial => None,
            Progress::Continue => {
                self.write(b"HTTP/1.1 100 Continue\r\n\r\n");
                // What does not go at once goes with the next turn.
                let _ = self.flush();
                None
            }
            Progress::Whole(request) => {
                self.keep_alive = request.keep_alive;
                self.enter(Phase::Waiting, now);
                Some(Turn::Asked(request))
            }
            Progress::Refused(status) => {
                self.refuse(status, now);
                Some(Turn::Refused)
            }
        }
    }

    /// Sends what waits, as far as the socket takes it.
    fn flush(&mut self) -> io::Result<()> {
        while self.tls.wants_write() {
            match self.tls.write_tls(&mut self.stream) {
                Ok(0) => return Err(ErrorKind::WriteZero.into()),
                Ok(_) => {}
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// Throws away what still comes.
    fn linger(&mut self) -> io::Result<Turn> {
        let mut piece = [0; PIECE];
        for _ in 0..READS {
            match self.stream.read(&mut piece) {
                Ok(0) => return Ok(Turn::Closed),
                Ok(_) => {}
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(Turn::Nothing),
                Err(error) => return Err(error),
            }
        }
        self.is_ready = true;
        Ok(Turn::Nothing)
    }
}
