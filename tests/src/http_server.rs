//! A web server that does what it is told: answers, hangs, resets, cuts its answer, is slow, is
//! down. It also serves as a proxy, for whole URLs and for CONNECT, to one server whatever name it
//! is asked for: so names that nobody resolves can be used.
//!
//! Threads and plain HTTP on a port of 127.0.0.1. A test queues one [`Behaviour`] for each request
//! to come; what was received is kept, apart by whether it was accepted with 2xx. [`request`] reads
//! the requests.

mod connection;
mod request;

use std::collections::VecDeque;
use std::io;
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, Weak};
use std::thread::{self, JoinHandle};
use std::time::Duration;

pub(crate) use request::Request;

/// What happens to one request.
#[derive(Clone, Debug)]
pub(crate) enum Behaviour {
    /// An answer with this code and these further headers.
    Status(u16, Vec<(&'static str, String)>),
    /// 413 when the body has more bytes than this, 202 otherwise.
    TooLarge(usize),
    /// No answer before [`HttpServer::release`]; 202 then.
    Hang,
    /// The request is read and the connection reset.
    Reset,
    /// The connection ends in the middle of a 202.
    HalfAnswer,
    /// 202, byte by byte with this pause between them.
    Slow(Duration),
}

impl Behaviour {
    /// An answer without further headers.
    pub(crate) fn status(code: u16) -> Behaviour {
        Behaviour::Status(code, Vec::new())
    }
}

/// The server; down when dropped.
pub(crate) struct HttpServer {
    address: SocketAddr,
    shared: Arc<Shared>,
    listening: Option<JoinHandle<()>>,
}

/// What the threads have in common.
struct Shared {
    /// The server behind the proxy; `None` for what is none.
    behind: Option<SocketAddr>,
    state: Mutex<State>,
    /// Told when [`State::releases`] or [`State::down`] has changed.
    changed: Condvar,
}

struct State {
    queue: VecDeque<Behaviour>,
    default: Behaviour,
    accepted: Vec<Request>,
    others: Vec<Request>,
    /// Not kept open from here: a reset takes the last descriptor to be closed.
    connections: Vec<Weak<TcpStream>>,
    hanging: usize,
    releases: u64,
    down: bool,
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits for the next release; false when the server went down instead.
    fn wait_for_release(&self) -> bool {
        let mut state = self.state();
        let before = state.releases;
        state.hanging += 1;
        while state.releases == before && !state.down {
            state = self
                .changed
                .wait(state)
                .unwrap_or_else(PoisonError::into_inner);
        }
        state.hanging -= 1;
        state.releases != before
    }
}

impl HttpServer {
    /// A server that is up and answers 202 to everything.
    pub(crate) fn start() -> io::Result<HttpServer> {
        HttpServer::before(None)
    }

    /// A proxy to this server that is up; what it passed on counts as accepted.
    pub(crate) fn start_proxy(behind: SocketAddr) -> io::Result<HttpServer> {
        HttpServer::before(Some(behind))
    }

    fn before(behind: Option<SocketAddr>) -> io::Result<HttpServer> {
        let state = State {
            queue: VecDeque::new(),
            default: Behaviour::status(202),
            accepted: Vec::new(),
            others: Vec::new(),
            connections: Vec::new(),
            hanging: 0,
            releases: 0,
            down: true,
        };
        let mut server = HttpServer {
            address: SocketAddr::from((Ipv4Addr::LOCALHOST, 0)),
            shared: Arc::new(Shared {
                behind,
                state: Mutex::new(state),
                changed: Condvar::new(),
            }),
            listening: None,
        };
        server.up()?;
        Ok(server)
    }

    /// Its URL.
    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Where it listens, or did.
    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// What is to happen to the next requests, one each.
    pub(crate) fn then(&self, behaviours: impl IntoIterator<Item = Behaviour>) {
        self.shared.state().queue.extend(behaviours);
    }

    /// What happens to requests that nothing is queued for.
    pub(crate) fn always(&self, behaviour: Behaviour) {
        self.shared.state().default = behaviour;
    }

    /// How many of the queued behaviours no request has met yet.
    pub(crate) fn still_queued(&self) -> usize {
        self.shared.state().queue.len()
    }

    /// How many requests hang at this moment.
    pub(crate) fn hanging(&self) -> usize {
        self.shared.state().hanging
    }

    /// Lets what hangs go on.
    pub(crate) fn release(&self) {
        self.shared.state().releases += 1;
        self.shared.changed.notify_all();
    }

    /// The requests that were accepted with 2xx since this was asked last.
    pub(crate) fn take_accepted(&self) -> Vec<Request> {
        std::mem::take(&mut self.shared.state().accepted)
    }

    /// The other requests since this was asked last.
    pub(crate) fn take_others(&self) -> Vec<Request> {
        std::mem::take(&mut self.shared.state().others)
    }

    /// Closes the port and all connections.
    pub(crate) fn down(&mut self) {
        let Some(listening) = self.listening.take() else {
            return;
        };
        let connections = {
            let mut state = self.shared.state();
            state.down = true;
            std::mem::take(&mut state.connections)
        };
        self.shared.changed.notify_all();
        for connection in connections.iter().filter_map(Weak::upgrade) {
            // The other side may have been faster.
            let _ = connection.shutdown(Shutdown::Both);
        }
        // The listener waits for a connection: this one tells it to look around.
        let _ = TcpStream::connect(self.address);
        let _ = listening.join();
    }

    /// Opens the port again, the same as before.
    pub(crate) fn up(&mut self) -> io::Result<()> {
        if self.listening.is_some() {
            return Ok(());
        }
        let listener = TcpListener::bind(self.address)?;
        self.address = listener.local_addr()?;
        self.shared.state().down = false;
        let shared = Arc::clone(&self.shared);
        self.listening = Some(thread::spawn(move || listen(&listener, &shared)));
        Ok(())
    }
}

impl Drop for HttpServer {
    fn drop(&mut self) {
        self.down();
    }
}

fn listen(listener: &TcpListener, shared: &Arc<Shared>) {
    for stream in listener.incoming() {
        let Ok(stream) = stream else { continue };
        let stream = Arc::new(stream);
        {
            let mut state = shared.state();
            if state.down {
                return;
            }
            state.connections.retain(|other| other.strong_count() > 0);
            state.connections.push(Arc::downgrade(&stream));
        }
        let shared = Arc::clone(shared);
        thread::spawn(move || connection::serve(&stream, &shared));
    }
}

#[cfg(test)]
mod tests;
