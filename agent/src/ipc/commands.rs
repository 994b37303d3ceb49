//! The command server: one request line, one reply line.
//!
//! A role names its commands as a type that is read from the JSON object of the request; who may
//! ask for what follows from the command. Every peer that may have sent something is served once
//! in a turn of the loop, with one command at most, so that none of them holds up the others or
//! the events.

use std::marker::PhantomData;
use std::time::{Duration, Instant};

use serde::de::DeserializeOwned;

use super::connection::{Connection, Input};

/// Bytes of a request, and of the replies that wait for one peer.
const LONGEST_REQUEST: usize = 64 << 10;
const ROOM: usize = 8 << 20;

/// What the peers of a socket may ask for; the whole request is read as this.
pub trait Command: DeserializeOwned {
    /// Whether only root and the user that this process runs as may ask for it; else everyone
    /// who is admitted.
    fn is_for_owner(&self) -> bool;

    /// Whether its reply comes in a later turn, by [`Commands::reply_late`]. A peer waits for one
    /// such reply at a time, and is not closed meanwhile.
    fn takes_long(&self) -> bool {
        false
    }
}

/// Who asks.
struct Peer {
    token: usize,
    connection: Connection,
    /// When it connected, asked or was answered, whichever was last.
    active: Instant,
    /// There may be input that nobody has read; the poll does not tell of it again.
    unread: bool,
    /// What takes long has not been answered.
    awaits: bool,
    /// It sends nothing any more and goes once it has its replies.
    ended: bool,
}

/// Peers of a command socket whose commands are `C`.
pub struct Commands<C> {
    peers: Vec<Peer>,
    commands: PhantomData<C>,
}

impl<C> Default for Commands<C> {
    fn default() -> Commands<C> {
        Commands {
            peers: Vec::new(),
            commands: PhantomData,
        }
    }
}

impl<C: Command> Commands<C> {
    /// Longest request, and the room for replies.
    pub const LIMITS: (usize, usize) = (LONGEST_REQUEST, ROOM);

    /// Takes a new connection in, made with [`Commands::LIMITS`].
    pub fn add(&mut self, token: usize, connection: Connection) {
        self.peers.push(Peer {
            token,
            connection,
            active: Instant::now(),
            unread: true,
            awaits: false,
            ended: false,
        });
    }

    /// Connections at this time.
    pub fn connected(&self) -> usize {
        self.peers.len()
    }

    /// Notes that this peer can be read from or written to.
    pub fn wake(&mut self, token: usize) {
        if let Some(peer) = self.peers.iter_mut().find(|peer| peer.token == token) {
            peer.unread = true;
        }
    }

    /// The peers that want a turn.
    pub fn pending(&self) -> Vec<usize> {
        let pending = self.peers.iter().filter(|peer| peer.unread);
        pending.map(|peer| peer.token).collect()
    }

    /// Whether some peer wants a turn, without which the loop may wait.
    pub fn has_pending(&self) -> bool {
        self.peers.iter().any(|peer| peer.unread)
    }

    /// Gives this peer its turn: the one command that it may have sent. Requests that make no
    /// sense, or are not for this peer to make, are answered here.
    pub fn ready(&mut self, token: usize) -> Option<C> {
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
    pub fn reply(&mut self, token: usize, reply: &str) {
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

    /// Sends the reply to what took long, if the peer is still there.
    pub fn reply_late(&mut self, token: usize, reply: &str) {
        if let Some(peer) = self.peers.iter_mut().find(|peer| peer.token == token) {
            peer.awaits = false;
        }
        self.reply(token, reply);
    }

    /// Gives the connection of a peer away, once it has all that was said to it.
    pub fn take(&mut self, token: usize) -> Option<Connection> {
        let index = self.peers.iter().position(|peer| peer.token == token)?;
        let peer = self.peers.swap_remove(index);
        (peer.connection.waiting() == 0).then_some(peer.connection)
    }

    /// Closes what has been idle for longer than `limit` and waits for nothing.
    pub fn expire(&mut self, limit: Duration) {
        self.peers
            .retain(|peer| peer.awaits || peer.active.elapsed() <= limit);
    }
}

impl Peer {
    /// Sends what waits and reads at most one request: the command, or a sentence on why it is
    /// refused. An error means that the peer is gone.
    fn take_request<C: Command>(&mut self) -> Result<Option<Result<C, String>>, ()> {
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

    fn understand<C: Command>(&mut self, line: &str) -> Result<C, String> {
        let command: C = serde_json::from_str(line)
            .map_err(|error| format!("the request is not understood: {error}"))?;
        if command.is_for_owner() && !self.connection.credentials.is_owner() {
            return Err("only root or the user that this agent runs as may ask for this".into());
        }
        if command.takes_long() {
            if self.awaits {
                return Err("a reply to this is already waited for on this connection".into());
            }
            self.awaits = true;
        }
        Ok(command)
    }

    /// Whether there is still something to read from it or to send to it.
    fn is_wanted(&self) -> bool {
        !self.ended || self.awaits || self.connection.waiting() > 0
    }
}

/// The reply to what went well and has nothing to say.
pub const SUCCESS: &str = "{\"ok\":true}";

/// The reply that carries a sentence on what went wrong.
pub fn failure(sentence: &str) -> String {
    serde_json::json!({ "ok": false, "error": sentence }).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sys::socket::Credentials;
    use serde::Deserialize;
    use std::io::{Read, Write};
    use std::net::Shutdown;
    use std::os::unix::net::UnixStream;

    #[derive(Debug, PartialEq, Deserialize)]
    #[serde(tag = "command", rename_all = "snake_case")]
    enum Question {
        Status,
        SelfTest,
        Stop,
    }

    impl Command for Question {
        fn is_for_owner(&self) -> bool {
            *self == Question::Stop
        }

        fn takes_long(&self) -> bool {
            *self == Question::SelfTest
        }
    }

    fn join(uid: u32, text: &str) -> (Commands<Question>, UnixStream) {
        let credentials = Credentials {
            pid: 7,
            uid,
            gid: 0,
            groups: Vec::new(),
        };
        let (ours, mut theirs) =
            Connection::pair(credentials, Commands::<Question>::LIMITS).unwrap();
        theirs.write_all(text.as_bytes()).unwrap();
        let mut commands = Commands::default();
        commands.add(1, ours);
        (commands, theirs)
    }

    const STATUS: &str = "{\"command\":\"status\"}\n";
    const SELF_TEST: &str = "{\"command\":\"self_test\"}\n";

    #[test]
    fn a_peer_that_keeps_writing_gets_one_command_a_turn() {
        let (mut commands, _peer) = join(0, &STATUS.repeat(3));
        for _ in 0..3 {
            assert_eq!(commands.pending(), [1]);
            assert_eq!(commands.ready(1), Some(Question::Status));
        }
        assert_eq!(commands.ready(1), None);
        assert!(!commands.has_pending());
        assert_eq!(commands.connected(), 1);
    }

    #[test]
    fn a_peer_that_has_ended_its_side_gets_its_reply() {
        let (mut commands, mut peer) = join(0, SELF_TEST);
        peer.shutdown(Shutdown::Write).unwrap();
        assert_eq!(commands.ready(1), Some(Question::SelfTest));
        assert_eq!(commands.ready(1), None);
        commands.expire(Duration::ZERO);
        commands.reply_late(1, SUCCESS);
        assert_eq!(commands.connected(), 0);
        let mut text = String::new();
        peer.read_to_string(&mut text).unwrap();
        assert_eq!(text, format!("{SUCCESS}\n"));
    }

    #[test]
    fn a_member_of_the_group_cannot_ask_for_what_is_the_owners() {
        let (mut commands, mut peer) = join(12345, "{\"command\":\"stop\"}\n");
        assert_eq!(commands.ready(1), None);
        drop(commands);
        let mut text = String::new();
        peer.read_to_string(&mut text).unwrap();
        assert!(text.contains("only root"), "{text}");
    }

    #[test]
    fn a_second_self_test_is_refused_while_the_first_is_waited_for() {
        let (mut commands, _peer) = join(0, &SELF_TEST.repeat(3));
        assert_eq!(commands.ready(1), Some(Question::SelfTest));
        assert_eq!(commands.ready(1), None);
        commands.reply_late(1, SUCCESS);
        assert_eq!(commands.ready(1), Some(Question::SelfTest));
    }

    #[test]
    fn a_silent_peer_is_closed_in_time() {
        let (mut commands, _peer) = join(0, "{");
        assert_eq!(commands.ready(1), None);
        commands.expire(Duration::from_secs(600));
        assert_eq!(commands.connected(), 1);
        commands.expire(Duration::ZERO);
        assert_eq!(commands.connected(), 0);
    }
}
