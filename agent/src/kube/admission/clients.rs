//! Everybody who is connected: so many at most, none for longer than it may take.
//!
//! Sockets enter, and places under which the loop knows them; what is asked in them is none of its
//! business.

use std::sync::Arc;
use std::time::Instant;

use mio::net::TcpStream;
use mio::{Interest, Registry, Token};
use rustls::ServerConfig;

use super::connection::{Connection, Phase};
use super::metrics::{End, Metrics};

/// Connections at one time.
pub(super) const MAX: usize = 512;
/// Bytes of requests that all of them may hold.
const MAX_HELD: usize = 64 << 20;
/// Too much is held by too many.
const UNAVAILABLE: u16 = 503;

/// A place, and who of those that had it is meant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Client {
    place: usize,
    number: u64,
}

/// Who is connected.
pub(super) struct Clients {
    places: Vec<Option<(u64, Connection)>>,
    /// The token of the first place.
    first: usize,
    number: u64,
}

impl Clients {
    /// Nobody yet; tokens begin with `first`.
    pub(super) fn new(first: usize) -> Clients {
        Clients {
            places: Vec::new(),
            first,
            number: 0,
        }
    }

    /// How many there are.
    pub(super) fn count(&self) -> usize {
        self.iter().count()
    }

    fn iter(&self) -> impl Iterator<Item = &Connection> {
        self.places
            .iter()
            .flatten()
            .map(|(_, connection)| connection)
    }

    fn iter_mut(&mut self) -> impl Iterator<Item = &mut Connection> {
        let taken = self.places.iter_mut().flatten();
        taken.map(|(_, connection)| connection)
    }

    /// Takes somebody in; where all places are taken, the oldest that asks for nothing leaves.
    pub(super) fn add(
        &mut self,
        mut stream: TcpStream,
        config: Arc<ServerConfig>,
        (registry, metrics, now): (&Registry, &mut Metrics, Instant),
    ) {
        metrics.accept();
        if self.count() >= MAX && !self.replace(metrics) {
            metrics.end(End::Replaced);
            return;
        }
        let free = self.places.iter().position(Option::is_none);
        let place = free.unwrap_or(self.places.len());
        let _ = stream.set_nodelay(true);
        let interest = Interest::READABLE | Interest::WRITABLE;
        let registered = registry.register(&mut stream, Token(self.first + place), interest);
        let made = Connection::new(stream, config, now);
        let (Ok(()), Ok(connection)) = (registered, made) else {
            metrics.end(End::Closed);
            return;
        };
        self.number += 1;
        let entry = Some((self.number, connection));
        match self.places.get_mut(place) {
            Some(free) => *free = entry,
            None => self.places.push(entry),
        }
    }

    /// Lets the oldest one leave that is not owed an answer: one between two requests if there is,
    /// otherwise one that has not said what it wants, otherwise one that is slow to say or to read.
    pub(super) fn replace(&mut self, metrics: &mut Metrics) -> bool {
        let rank = |phase| match phase {
            Phase::Idle => Some(0),
            Phase::Lingering => Some(1),
            Phase::Handshake | Phase::Head => Some(2),
            // API servers are soon done with these, so that the oldest is none of them.
            Phase::Body | Phase::Answer(_) => Some(3),
            Phase::Waiting => None,
        };
        let candidates = self.places.iter_mut().filter_map(|place| {
            let (_, connection) = place.as_ref()?;
            let (phase, since) = connection.phase();
            Some(((rank(phase)?, since), place))
        });
        let oldest = candidates.min_by_key(|(key, _)| *key);
        oldest.is_some_and(|(_, place)| {
            metrics.end(End::Replaced);
            place.take().is_some()
        })
    }

    /// Notes that a token has become readable or writable.
    pub(super) fn wake(&mut self, token: Token) {
        let place = token.0.checked_sub(self.first);
        let entry = place.and_then(|place| self.places.get_mut(place)?.as_mut());
        if let Some((_, connection)) = entry {
            connection.is_ready = true;
        }
    }

    /// Everybody who has something to read or to write.
    pub(super) fn ready(&self) -> Vec<Client> {
        let entries = self.places.iter().enumerate();
        let ready = entries.filter_map(|(place, entry)| {
            let (number, connection) = entry.as_ref()?;
            let number = *number;
            connection.is_ready.then_some(Client { place, number })
        });
        ready.collect()
    }

    /// The connection of a client that is still there.
    pub(super) fn get(&mut self, client: Client) -> Option<&mut Connection> {
        let (number, connection) = self.places.get_mut(client.place)?.as_mut()?;
        (*number == client.number).then_some(connection)
    }

    /// Closes the connection of a client.
    pub(super) fn close(&mut self, client: Client, metrics: &mut Metrics) {
        if self.get(client).is_some() {
            metrics.end(End::Closed);
            if let Some(place) = self.places.get_mut(client.place) {
                *place = None;
            }
        }
    }

    /// Closes who has had its time, and refuses who holds most while too much is held.
    pub(super) fn expire(&mut self, metrics: &mut Metrics, now: Instant) {
        for place in &mut self.places {
            let deadline = place.as_ref().and_then(|(_, one)| one.deadline());
            if deadline.is_some_and(|deadline| deadline <= now) {
                metrics.end(End::Late);
                *place = None;
            }
        }
        self.shed(MAX_HELD, metrics, now);
    }

    fn shed(&mut self, limit: usize, metrics: &mut Metrics, now: Instant) {
        while self.iter().map(Connection::held).sum::<usize>() > limit {
            let reading = self.iter_mut().filter(|one| one.phase().0 == Phase::Body);
            let Some(most) = reading.max_by_key(|one| one.held()) else {
                return;
            };
            metrics.refuse();
            most.refuse(UNAVAILABLE, now);
        }
    }

    /// When the next one has had its time; at once while somebody is ready.
    pub(super) fn deadline(&self, now: Instant) -> Option<Instant> {
        let times = self.iter().filter_map(|one| match one.is_ready {
            true => Some(now),
            false => one.deadline(),
        });
        times.min()
    }

    /// Lets everybody go: at once between two requests, after its answer otherwise.
    pub(super) fn dismiss(&mut self, metrics: &mut Metrics) {
        for place in &mut self.places {
            match place {
                Some((_, connection)) if connection.phase().0 == Phase::Idle => {
                    metrics.end(End::Closed);
                    *place = None;
                }
                Some((_, connection)) => connection.finish(),
                None => {}
            }
        }
    }
}

#[cfg(test)]
#[path = "clients/tests.rs"]
mod tests;
