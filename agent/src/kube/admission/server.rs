//! The loop of the webhook: one thread that never blocks.
//!
//! Settings enter with a way to read them again; connections, signals, what was prepared, and time
//! wake the loop. Every review that came is answered before the API server's patience ends.

use std::io::{self, ErrorKind};
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::{Duration, Instant};

use mio::net::TcpListener;
use mio::{Events, Interest, Poll, Registry, Token};

use super::certificate::Certificate;
use super::clients::{self, Client, Clients};
use super::connection::Turn;
use super::exec::Session;
use super::http::Request;
use super::metrics::{Decision, Metrics};
use super::options::Options;
use super::prepare::Prepare;
use super::review::{judge, Answer, Review, Verdict, Webhook};
use super::Error;
use crate::config::{keys, Settings};
use crate::kube::job::{Job, Outcome};
use crate::sys::signals::{Signal, Signals};

const SIGNALS: Token = Token(0);
/// One listener for each family of addresses.
const LISTENERS: usize = 1;
const FIRST_CLIENT: usize = 16;
/// The first token that [`Prepare`] may register something under.
pub const FIRST_PREPARE: usize = FIRST_CLIENT + clients::MAX;
/// Connections that are taken in before others have their turn.
const ACCEPTED: usize = 64;
/// How long to wait where no connection can be taken in.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);
/// The part of the API server's patience that is left for the way of the answer.
const MARGIN: u32 = 4;
/// How long clients may take to end once this process is to end.
const FAREWELL: Duration = Duration::from_secs(3);
const HEALTH: &str = "/healthz";
const METRICS: &str = "/metrics";
const TEXT: &str = "text/plain; version=0.0.4";
const JSON: &str = "application/json";

/// The webhook.
pub struct Server {
    poll: Poll,
    signals: Signals,
    listeners: Vec<TcpListener>,
    /// When to try to take in connections; `None` until a listener is woken.
    accept_at: Option<Instant>,
    clients: Clients,
    certificate: Certificate,
    options: Options,
    reload: Box<dyn Fn() -> Options>,
    prepare: Box<dyn Prepare>,
    waiting: Vec<Waiting>,
    metrics: Metrics,
    /// When this process ends at the latest, once it is to end.
    end: Option<Instant>,
}

/// A review whose container is being prepared.
struct Waiting {
    ticket: u64,
    client: Client,
    answer: Answer,
    session: Session,
    asked: Instant,
    deadline: Instant,
}

impl Server {
    /// Listens as the settings say. `reload` reads the options again, `prepare` makes who prepares
    /// containers; its tokens begin with [`FIRST_PREPARE`].
    pub fn new(
        settings: &Settings,
        reload: Box<dyn Fn() -> Options>,
        prepare: impl FnOnce(&Registry) -> io::Result<Box<dyn Prepare>>,
    ) -> Result<Server, Error> {
        let poll = Poll::new().map_err(Error::Loop)?;
        let registry = poll.registry();
        let wanted = [Signal::SIGTERM, Signal::SIGINT, Signal::SIGHUP];
        let mut signals = Signals::block(&wanted).map_err(Error::Loop)?;
        registry
            .register(&mut signals, SIGNALS, Interest::READABLE)
            .map_err(Error::Loop)?;
        let now = Instant::now();
        let certificate = Certificate::new(settings, now)?;
        let listeners = listen(settings.count(&keys::ADMISSION_PORT), registry)?;
        Ok(Server {
            listeners,
            accept_at: Some(now),
            clients: Clients::new(FIRST_CLIENT),
            certificate,
            options: reload(),
            reload,
            prepare: prepare(registry).map_err(Error::Loop)?,
            waiting: Vec::new(),
            metrics: Metrics::new(),
            end: None,
            signals,
            poll,
        })
    }

    /// Serves until a signal ends it.
    pub fn run(mut self) -> Result<(), Error> {
        self.say();
        let mut events = Events::with_capacity(256);
        while !self.wake(&mut events)? {}
        Ok(())
    }

    /// Waits for something to do and does it; true when this process may end.
    fn wake(&mut self, events: &mut Events) -> Result<bool, Error> {
        let now = Instant::now();
        let timeout = self.deadline(now).map(|at| at.duration_since(now));
        match self.poll.poll(events, timeout) {
            Err(error) if error.kind() != ErrorKind::Interrupted => return Err(Error::Loop(error)),
            _ => {}
        }
        let now = Instant::now();
        for event in events.iter() {
            match event.token() {
                SIGNALS => {}
                Token(LISTENERS..FIRST_CLIENT) => self.accept_at = Some(now),
                token => self.clients.wake(token),
            }
        }
        Ok(self.turn(now))
    }

    /// Everything that is to be done; true when this process may end.
    fn turn(&mut self, now: Instant) -> bool {
        while let Some(signal) = self.signals.next() {
            match signal {
                Signal::SIGHUP => self.read_options(now),
                _ => self.stop(now),
            }
        }
        self.certificate.turn(now);
        self.accept(now);
        for client in self.clients.ready() {
            match self.clients.get(client).map(|one| one.turn(now)) {
                Some(Turn::Asked(request)) => self.serve(client, request, now),
                Some(Turn::Closed) => self.clients.close(client, &mut self.metrics),
                Some(Turn::Refused) => self.metrics.refuse(),
                Some(Turn::Nothing) | None => {}
            }
        }
        // Whoever prepares gives up at the same time, and would call that a failure.
        let late = self.waiting.extract_if(.., |one| one.deadline <= now);
        for waiting in late.collect::<Vec<_>>() {
            self.leave(waiting, Decision::Late, now);
        }
        for (ticket, outcome) in self.prepare.turn(now) {
            let found = self.waiting.iter().position(|one| one.ticket == ticket);
            if let Some(waiting) = found.map(|place| self.waiting.swap_remove(place)) {
                self.go_on(waiting, outcome, now);
            }
        }
        self.clients.expire(&mut self.metrics, now);
        self.end
            .is_some_and(|end| end <= now || self.clients.count() == 0)
    }

    /// When to look again without being woken.
    fn deadline(&self, now: Instant) -> Option<Instant> {
        let waiting = self.waiting.iter().map(|one| one.deadline);
        [
            self.accept_at,
            self.clients.deadline(now),
            self.certificate.deadline(),
            self.prepare.deadline(),
            self.end,
        ]
        .into_iter()
        .flatten()
        .chain(waiting)
        .min()
    }

    fn accept(&mut self, now: Instant) {
        if self.accept_at.is_none_or(|at| at > now) {
            return;
        }
        self.accept_at = None;
        for listener in &self.listeners {
            for taken in 0.. {
                if taken == ACCEPTED {
                    self.accept_at = Some(now);
                    break;
                }
                match listener.accept() {
                    Ok((stream, _)) => {
                        let with = (self.poll.registry(), &mut self.metrics, now);
                        self.clients.add(stream, self.certificate.config(), with);
                    }
                    Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                    Err(error)
                        if matches!(
                            error.kind(),
                            ErrorKind::Interrupted | ErrorKind::ConnectionAborted
                        ) => {}
                    Err(error) => {
                        // There are no descriptors left; somebody else's may do.
                        log::warn!("a connection to the webhook was not taken in: {error}");
                        self.clients.replace(&mut self.metrics);
                        self.accept_at = Some(now + ACCEPT_PAUSE);
                        break;
                    }
                }
            }
        }
    }

    fn serve(&mut self, client: Client, request: Request, now: Instant) {
        let path = request.path.as_str();
        let webhook = if path == self.options.pod_endpoint {
            Some(Webhook::Pod)
        } else if path == self.options.command_endpoint {
            Some(Webhook::Command)
        } else {
            None
        };
        let (status, body) = match (webhook, request.method.as_str()) {
            (Some(webhook), "POST") => return self.review(client, webhook, &request.body, now),
            (None, "GET") if path == HEALTH => (200, "ok\n".to_owned()),
            (None, "GET") if path == METRICS => {
                let is_on = self.options.off.is_none();
                (200, self.metrics.render(is_on, self.clients.count()))
            }
            (None, _) if path != HEALTH && path != METRICS => (404, String::new()),
            _ => (405, String::new()),
        };
        if status != 200 {
            self.metrics.refuse();
        }
        self.answer(client, status, (TEXT, &body), now);
    }

    fn answer(&mut self, client: Client, status: u16, content: (&str, &str), now: Instant) {
        let is_ending = self.end.is_some();
        if let Some(connection) = self.clients.get(client) {
            if is_ending {
                connection.finish();
            }
            connection.answer(status, content, now);
        }
    }

    fn review(&mut self, client: Client, webhook: Webhook, body: &[u8], now: Instant) {
        let asked = self.clients.get(client).map_or(now, |one| one.asked());
        let review = Review::read(body);
        let mut patch = None;
        let decision = match self.options.off {
            Some(_) => Decision::Off,
            None => match judge(webhook, &review, &self.options) {
                Verdict::Leave(reason) => Decision::Left(reason),
                Verdict::Change(change) => {
                    patch = Some(change);
                    Decision::Changed
                }
                Verdict::Prepare(job, session) => {
                    let patience = self.options.timeout - self.options.timeout / MARGIN;
                    let deadline = asked + patience;
                    if deadline > now {
                        let answer = review.into_answer();
                        let waiting = (client, answer, session, asked, deadline);
                        return self.prepare(job, waiting, now);
                    }
                    Decision::Late
                }
            },
        };
        self.metrics.review(webhook, decision, now - asked);
        let body = review.into_answer().render(patch.as_ref());
        self.answer(client, 200, (JSON, &body), now);
    }

    fn prepare(
        &mut self,
        job: Job,
        (client, answer, session, asked, deadline): (Client, Answer, Session, Instant, Instant),
        now: Instant,
    ) {
        let timeout = deadline - now;
        let ticket = self.prepare.submit(Job { timeout, ..job }, now);
        self.waiting.push(Waiting {
            ticket,
            client,
            answer,
            session,
            asked,
            deadline,
        });
    }

    /// Answers a review whose container has been seen to.
    fn go_on(&mut self, waiting: Waiting, outcome: Outcome, now: Instant) {
        match outcome {
            Outcome::Skip(reason) => self.leave(waiting, Decision::Left(reason), now),
            Outcome::Ready { path } => {
                let patch = waiting.session.patch(&path);
                let body = waiting.answer.render(Some(&patch));
                let took = now - waiting.asked;
                self.metrics
                    .review(Webhook::Command, Decision::Changed, took);
                self.answer(waiting.client, 200, (JSON, &body), now);
            }
        }
    }

    fn leave(&mut self, waiting: Waiting, decision: Decision, now: Instant) {
        let took = now - waiting.asked;
        self.metrics.review(Webhook::Command, decision, took);
        let body = waiting.answer.render(None);
        self.answer(waiting.client, 200, (JSON, &body), now);
    }

    /// Takes over what the configuration says now. Nobody waits any longer where that is nothing.
    fn read_options(&mut self, now: Instant) {
        self.options = (self.reload)();
        self.say();
        if self.options.off.is_some() {
            for waiting in std::mem::take(&mut self.waiting) {
                self.leave(waiting, Decision::Off, now);
            }
        }
    }

    /// Takes nobody in any more, and answers what is under way.
    fn stop(&mut self, now: Instant) {
        if self.end.is_none() {
            log::info!("the webhook ends");
            self.listeners.clear();
            self.end = Some(now + FAREWELL.max(self.options.timeout));
            self.clients.dismiss(&mut self.metrics);
        }
    }

    /// Says what becomes of reviews now.
    fn say(&self) {
        let options = &self.options;
        match (&options.off, &options.mode) {
            (Some(why), _) => log::warn!("every review is allowed unmodified: {why}"),
            (None, None) => log::warn!(
                "every review is allowed unmodified: {} is unknown; set it to remote_copy or \
                 init_container",
                keys::ADMISSION_MODE.name
            ),
            (None, Some(_)) => log::info!(
                "reviews of pods are answered at {}, of commands at {}",
                options.pod_endpoint,
                options.command_endpoint
            ),
        }
    }
}

/// Listens on all addresses of both families, as far as the system has them.
fn listen(port: u64, registry: &Registry) -> Result<Vec<TcpListener>, Error> {
    let number =
        u16::try_from(port).map_err(|_| Error::Port(port, ErrorKind::InvalidInput.into()))?;
    let addresses: [SocketAddr; 2] = [
        (Ipv6Addr::UNSPECIFIED, number).into(),
        (Ipv4Addr::UNSPECIFIED, number).into(),
    ];
    let mut listeners = Vec::new();
    for (place, address) in addresses.into_iter().enumerate() {
        let bound = TcpListener::bind(address).and_then(|mut listener| {
            registry.register(&mut listener, Token(LISTENERS + place), Interest::READABLE)?;
            Ok(listener)
        });
        match bound {
            Ok(listener) => listeners.push(listener),
            // The first one may serve both families, or there may be no IPv6 at all.
            Err(error) if place > 0 && listeners.is_empty() => {
                return Err(Error::Port(port, error));
            }
            Err(_) => {}
        }
    }
    Ok(listeners)
}

#[cfg(test)]
#[path = "server/tests.rs"]
mod tests;
