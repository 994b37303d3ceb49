//! Taking connections in: who may not talk is turned away, and so is one too many.

use std::collections::BTreeSet;

use log::warn;
use mio::{Interest, Registry, Token};

use super::commands::failure;
use super::connection::Connection;
use crate::sys::socket::{Listener, Peer};

/// Connections of each socket at one time.
pub const PEERS: usize = 64;

/// Gives every connection of a loop a token of its own, and knows at which sockets somebody waits:
/// accept(2) makes a socket and a file before it finds that nobody does, which is too much for each
/// turn of a loop.
#[derive(Debug)]
pub struct Reception {
    next_token: usize,
    /// The tokens of listeners.
    visited: BTreeSet<usize>,
}

impl Reception {
    /// Tokens begin with this one.
    pub fn new(first_token: usize) -> Reception {
        Reception {
            next_token: first_token,
            visited: BTreeSet::new(),
        }
    }

    /// The listener of this token is ready: somebody came since it was last found empty.
    pub fn knock(&mut self, door: Token) {
        self.visited.insert(door.0);
    }

    /// Takes in who waits at a listener, given with its token, where `connected` peers are talking
    /// already, and hands each to `add`, polled and under its token. `limits` are those of
    /// [`Connection::new`]. At most [`PEERS`] are looked at, so that the loop goes on: to be called
    /// in every turn, and does nothing until there was a [`knock`](Reception::knock).
    pub fn admit(
        &mut self,
        (door, listener): (Token, &Listener),
        registry: &Registry,
        mut connected: usize,
        limits: (usize, usize),
        mut add: impl FnMut(usize, Connection),
    ) {
        if !self.visited.contains(&door.0) {
            return;
        }
        for _ in 0..PEERS {
            let peer = match listener.accept() {
                Ok(Some(peer)) => peer,
                Ok(None) => {
                    self.visited.remove(&door.0);
                    return;
                }
                Err(error) => return warn!("a connection could not be accepted: {error}"),
            };
            let Some(mut connection) = welcome(peer, connected, limits) else {
                continue;
            };
            let token = self.next_token;
            let interest = Interest::READABLE | Interest::WRITABLE;
            if let Err(error) = registry.register(connection.stream(), Token(token), interest) {
                warn!("a connection could not be polled: {error}");
                continue;
            }
            self.next_token += 1;
            connected += 1;
            add(token, connection);
        }
    }
}

/// The connection, unless its peer has to go.
fn welcome(peer: Peer, connected: usize, (line, room): (usize, usize)) -> Option<Connection> {
    if !peer.admitted {
        let credentials = peer.credentials;
        warn!(
            "process {} of user {} was refused",
            credentials.pid, credentials.uid
        );
        return None;
    }
    let mut connection = Connection::new(peer.stream, peer.credentials, line, room);
    if connected < PEERS {
        return Some(connection);
    }
    let sentence = format!("too many connections; close one of the {PEERS} that are open");
    connection.queue(&[&failure(&sentence), "\n"]);
    // Whether the sentence arrives is the peer's concern.
    let _ = connection.flush();
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Read;
    use std::os::unix::net::UnixStream;

    #[test]
    fn one_connection_too_many_gets_a_sentence() {
        let path = std::env::temp_dir().join(format!("reception-{}", std::process::id()));
        let listener = Listener::bind(&path).unwrap();
        let poll = mio::Poll::new().unwrap();
        let mut reception = Reception::new(7);
        let mut peers: Vec<UnixStream> = Vec::new();
        let mut taken = Vec::new();
        for _ in 0..PEERS + 1 {
            peers.push(UnixStream::connect(&path).unwrap());
            let connected = taken.len();
            reception.knock(Token(1));
            reception.admit(
                (Token(1), &listener),
                poll.registry(),
                connected,
                (9, 999),
                |token, _| {
                    taken.push(token);
                },
            );
        }
        assert_eq!(taken, (7..7 + PEERS).collect::<Vec<_>>());
        let mut text = String::new();
        peers.pop().unwrap().read_to_string(&mut text).unwrap();
        assert!(text.contains("too many connections"), "{text}");
    }

    #[test]
    fn who_came_while_others_were_taken_in_is_not_forgotten() {
        let path = std::env::temp_dir().join(format!("reception-more-{}", std::process::id()));
        let listener = Listener::bind(&path).unwrap();
        let poll = mio::Poll::new().unwrap();
        let mut reception = Reception::new(7);
        let _peers: Vec<UnixStream> = (0..PEERS + 1)
            .map(|_| UnixStream::connect(&path).unwrap())
            .collect();
        let turn = |reception: &mut Reception| {
            let mut taken = 0;
            let door = (Token(1), &listener);
            reception.admit(door, poll.registry(), 0, (9, 999), |_, _| taken += 1);
            taken
        };
        assert_eq!(turn(&mut reception), 0, "nobody knocked");
        reception.knock(Token(1));
        let taken = [(); 3].map(|()| turn(&mut reception));
        assert_eq!(taken, [PEERS, 1, 0]);
    }
}
