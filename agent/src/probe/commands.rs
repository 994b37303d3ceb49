//! The command socket: one request line, one reply line.

use serde::Deserialize;

use super::connection::{Connection, Input};

/// Bytes of a request, and of the replies that wait for one peer.
const LONGEST_REQUEST: usize = 64 << 10;
const ROOM: usize = 8 << 20;

/// What a peer asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Command {
    /// What is attached, loaded, counted.
    Status,
    /// Run the self-test; the reply comes when it has ended.
    SelfTest,
    /// Read the policies again.
    ReloadPolicies,
    /// The report on the rules that run.
    LoadedPolicies,
    /// End this process.
    Stop,
}

#[derive(Deserialize)]
struct Request {
    command: Command,
}

/// Peers of the command socket.
#[derive(Default)]
pub(super) struct Commands {
    peers: Vec<(usize, Connection)>,
}

impl Commands {
    /// Longest request, and the room for replies.
    pub(super) const LIMITS: (usize, usize) = (LONGEST_REQUEST, ROOM);

    /// Takes a new connection in.
    pub(super) fn add(&mut self, token: usize, connection: Connection) {
        self.peers.push((token, connection));
    }

    /// Connections at this time.
    pub(super) fn connected(&self) -> usize {
        self.peers.len()
    }

    /// Reads what this peer sent; requests that make no sense are answered here.
    pub(super) fn ready(&mut self, token: usize) -> Vec<Command> {
        let mut commands = Vec::new();
        let Some(index) = self.peers.iter().position(|(owner, _)| *owner == token) else {
            return commands;
        };
        let mut is_open = true;
        if let Some((_, peer)) = self.peers.get_mut(index) {
            loop {
                match peer.next_line() {
                    Input::Line(line) => match serde_json::from_str::<Request>(&line) {
                        Ok(request) => commands.push(request.command),
                        Err(error) => {
                            let sentence = format!("the request is not understood: {error}");
                            peer.queue(&[&failure(&sentence), "\n"]);
                        }
                    },
                    Input::Nothing => break,
                    Input::Closed => {
                        is_open = false;
                        break;
                    }
                }
            }
            is_open &= peer.flush().is_ok();
        }
        if !is_open {
            self.peers.swap_remove(index);
        }
        commands
    }

    /// Sends a reply, if the peer is still there.
    pub(super) fn reply(&mut self, token: usize, reply: &str) {
        let Some(index) = self.peers.iter().position(|(owner, _)| *owner == token) else {
            return;
        };
        let sent = self
            .peers
            .get_mut(index)
            .is_some_and(|(_, peer)| peer.queue(&[reply, "\n"]) && peer.flush().is_ok());
        if !sent {
            self.peers.swap_remove(index);
        }
    }
}

/// The reply to what went well and has nothing to say.
pub(super) const SUCCESS: &str = "{\"ok\":true}";

/// The reply that carries a sentence on what went wrong.
pub(super) fn failure(sentence: &str) -> String {
    serde_json::json!({ "ok": false, "error": sentence }).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_are_known_by_their_names() {
        for (text, command) in [
            ("{\"command\":\"status\"}", Some(Command::Status)),
            ("{\"command\":\"self_test\"}", Some(Command::SelfTest)),
            (
                "{\"command\":\"reload_policies\"}",
                Some(Command::ReloadPolicies),
            ),
            (
                "{\"command\":\"loaded_policies\"}",
                Some(Command::LoadedPolicies),
            ),
            ("{\"command\":\"stop\"}", Some(Command::Stop)),
            ("{\"command\":\"other\"}", None),
            ("status", None),
        ] {
            let parsed = serde_json::from_str::<Request>(text).ok();
            assert_eq!(parsed.map(|request| request.command), command, "{text}");
        }
    }
}
