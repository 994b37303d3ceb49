//! The command socket: one request line, one reply line.
//!
//! Every peer that may have sent something is served once in a turn of the loop, with one command
//! at most, so that none of them holds up the others or the events.

use std::time::{Duration, Instant};

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

/// Who asks.
struct Peer {
    token: usize,
    connection: Connection,
    /// When it connected, asked or was answered, whichever was last.
    active: Instant,
    /// There may be input that nobody has read; the poll does not tell of it again.
    unread: bool,
    /// Its self-test has not been answered.
    awaits_test: bool,
    /// It sends nothing any more and goes once it has its replies.
    ended: bool,
}

/// Peers of the command socket.
#[derive(Default)]
pub(super) struct Commands {
    peers: Vec<Peer>,
}

impl Commands {
    /// Longest request, and the room for replies.
    pub(super) const LIMITS: (usize, usize) = (LONGEST_REQUEST, ROOM);

    /// Takes a new connection in.
    pub(super) fn add(&mut self, token: usize, connection: Connection) {
        self.peers.push(Peer {
            token,
            connection,
            active: Instant::now(),
            unread: true,
            awaits_test: false,
            ended: false,
        });
    }

    /// Connections at this time.
    pub(super) fn connected(&self) -> usize {
        self.peers.len()
    }

    /// Notes that this peer can be read from or written to.
    pub(super) fn wake(&mut self, token: usize) {
        if let Some(peer) = self.peers.iter_mut().find(|peer| peer.token == token) {
            peer.unread = true;
        }
    }

    /// The peers that want a turn.
    pub(super) fn pending(&self) -> Vec<usize> {
        let pending = self.peers.iter().filter(|peer| peer.unread);
        pending.map(|peer| peer.token).collect()
    }

    /// Whether some peer wants a turn, without which the loop may wait.
    pub(super) fn has_pending(&self) -> bool {
        self.peers.iter().any(|peer| peer.unread)
    }

    /// Gives this peer its turn: the one command that it may have sent. Requests that make no
    /// sense, or are not for this peer to make, are answered here.
    pub(super) fn ready(&mut self, token: usize) -> Option<Command> {
        let index = self.peers.iter().position(|peer| peer.token == token)?;
        let peer = self.peers.get_mut(index)?;
        match peer.take_request() {
            Ok(Some(Ok(command))) => Some(command),
            Ok(Some(Err(sentence))) => {
                self.reply(token, &failure(&sentence));
                None
            }
            Ok(None) if peer.is_wanted() => None,
            Ok(None) | Err(()) => {
                self.peers.swap_remove(index);
                None
            }
        }
    }

    /// Sends a reply, if the peer is still there.
    pub(super) fn reply(&mut self, token: usize, reply: &str) {
        let Some(index) = self.peers.iter().position(|peer| peer.token == token) else {
            return;
        };
        let Some(peer) = self.peers.get_mut(index) else {
            return;
        };
        peer.active = Instant::now();
        let sent = peer.connection.queue(&[reply, "\n"]) && peer.connection.flush().is_ok();
        if !sent || !peer.is_wanted() {
            self.peers.swap_remove(index);
        }
    }

    /// Sends the reply to a self-test, if the peer is still there.
    pub(super) fn reply_to_test(&mut self, token: usize, reply: &str) {
        if let Some(peer) = self.peers.iter_mut().find(|peer| peer.token == token) {
            peer.awaits_test = false;
        }
        self.reply(token, reply);
    }

    /// Closes what has been idle for longer than `limit` and waits for nothing.
    pub(super) fn expire(&mut self, limit: Duration) {
        self.peers
            .retain(|peer| peer.awaits_test || peer.active.elapsed() <= limit);
    }
}

impl Peer {
    /// Sends what waits and reads at most one request: the command, or a sentence on why it is
    /// refused. An error means that the peer is gone.
    fn take_request(&mut self) -> Result<Option<Result<Command, String>>, ()> {
        self.unread = false;
        self.connection.flush().map_err(|_| ())?;
        if self.ended {
            return Ok(None);
        }
        match self.connection.next_line() {
            Input::Line(line) => {
                self.unread = true;
                self.active = Instant::now();
                Ok(Some(self.understand(&line)))
            }
            Input::Nothing => Ok(None),
            Input::Ended => {
                self.ended = true;
                Ok(None)
            }
            Input::Closed => Err(()),
        }
    }

    fn understand(&mut self, line: &str) -> Result<Command, String> {
        let request: Request = serde_json::from_str(line)
            .map_err(|error| format!("the request is not understood: {error}"))?;
        match request.command {
            Command::Stop | Command::ReloadPolicies if !self.connection.credentials.is_owner() => {
                Err("only root or the user that system-probe runs as may ask for this".to_string())
            }
            Command::SelfTest if self.awaits_test => {
                Err("a self-test is already waited for on this connection".to_string())
            }
            Command::SelfTest => {
                self.awaits_test = true;
                Ok(request.command)
            }
            command => Ok(command),
        }
    }

    /// Whether there is still something to read from it or to send to it.
    fn is_wanted(&self) -> bool {
        !self.ended || self.awaits_test || self.connection.waiting() > 0
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
    use crate::sys::socket::Credentials;
    use std::io::{Read, Write};
    use std::net::Shutdown;
    use std::os::unix::net::UnixStream;

    fn join(uid: u32, text: &str) -> (Commands, UnixStream) {
        let (ours, mut theirs) = UnixStream::pair().unwrap();
        ours.set_nonblocking(true).unwrap();
        theirs.write_all(text.as_bytes()).unwrap();
        let credentials = Credentials {
            pid: 7,
            uid,
            gid: 0,
            groups: Vec::new(),
        };
        let (line, room) = Commands::LIMITS;
        let stream = mio::net::UnixStream::from_std(ours);
        let mut commands = Commands::default();
        commands.add(1, Connection::new(stream, credentials, line, room));
        (commands, theirs)
    }

    const STATUS: &str = "{\"command\":\"status\"}\n";
    const SELF_TEST: &str = "{\"command\":\"self_test\"}\n";

    #[test]
    fn a_peer_that_keeps_writing_gets_one_command_a_turn() {
        let (mut commands, _peer) = join(0, &STATUS.repeat(3));
        for _ in 0..3 {
            assert_eq!(commands.pending(), [1]);
            assert_eq!(commands.ready(1), Some(Command::Status));
        }
        assert_eq!(commands.ready(1), None);
        assert!(!commands.has_pending());
        assert_eq!(commands.connected(), 1);
    }

    #[test]
    fn a_peer_that_has_ended_its_side_gets_its_reply() {
        let (mut commands, mut peer) = join(0, SELF_TEST);
        peer.shutdown(Shutdown::Write).unwrap();
        assert_eq!(commands.ready(1), Some(Command::SelfTest));
        assert_eq!(commands.ready(1), None);
        commands.expire(Duration::ZERO);
        commands.reply_to_test(1, SUCCESS);
        assert_eq!(commands.connected(), 0);
        let mut text = String::new();
        peer.read_to_string(&mut text).unwrap();
        assert_eq!(text, format!("{SUCCESS}\n"));
    }

    #[test]
    fn a_member_of_the_group_cannot_stop_the_probe() {
        for command in ["stop", "reload_policies"] {
            let text = format!("{{\"command\":\"{command}\"}}\n");
            let (mut commands, mut peer) = join(12345, &text);
            assert_eq!(commands.ready(1), None);
            drop(commands);
            let mut text = String::new();
            peer.read_to_string(&mut text).unwrap();
            assert!(text.contains("only root"), "{text}");
        }
    }

    #[test]
    fn a_second_self_test_is_refused_while_the_first_is_waited_for() {
        let (mut commands, _peer) = join(0, &SELF_TEST.repeat(3));
        assert_eq!(commands.ready(1), Some(Command::SelfTest));
        assert_eq!(commands.ready(1), None);
        commands.reply_to_test(1, SUCCESS);
        assert_eq!(commands.ready(1), Some(Command::SelfTest));
    }

    #[test]
    fn a_silent_peer_is_closed_in_time() {
        let (mut commands, _peer) = join(0, "{");
        assert_eq!(commands.ready(1), None);
        commands.expire(Duration::from_secs(5));
        assert_eq!(commands.connected(), 1);
        commands.expire(Duration::ZERO);
        assert_eq!(commands.connected(), 0);
    }

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
