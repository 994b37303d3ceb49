//! The event socket: who reads events, and what each of them has yet to get.
//!
//! A reader sends one line that says what it wants and gets a hello, then a line per event. All
//! lines are kept once, in the journal; a reader that is too slow for its bounds is told how many
//! it has missed, and they are counted. While nobody reads, the latest lines wait for the next
//! reader; until security-agent has acknowledged them they wait for it. `PROTOCOL.md` says what is
//! spoken.

use std::collections::hash_map::RandomState;
use std::hash::{BuildHasher, Hasher};
use std::time::Duration;

use log::warn;

use super::journal::{Journal, Kept, ROOM};
use super::reader::{Reader, Shared};
use super::subscription::Role;
use crate::event::HostInfo;
use crate::ipc::Connection;

/// Bytes of a line; what is longer is counted as lost. Readers accept twice as much.
const LONGEST_LINE: usize = 1 << 20;
/// Bytes of a line that a reader sends.
const LONGEST_REQUEST: usize = 4096;
/// Bytes of what is said to one reader alone and waits for it.
const WORDS: usize = 64 << 10;
/// Bytes of new lines after which they are sent, although the events of the turn are still taken:
/// readers work meanwhile, and the journal does not fill up.
const PIECE: usize = 64 << 10;

/// All readers of the event socket.
pub struct Subscribers {
    readers: Vec<Reader>,
    shared: Shared,
    /// Bytes of lines since they were sent last.
    fresh: usize,
    /// Security-agent roles that are gone and were not asked for yet.
    gone: Vec<u32>,
}

/// What became of a reader after its input was read.
#[derive(Debug, PartialEq, Eq)]
pub enum Change {
    /// Nothing to do.
    None,
    /// The security-agent role reads; its file events are its own.
    Role(u32),
    /// It is gone; its process id if it was the security-agent role.
    Gone(Option<u32>),
}

impl Subscribers {
    /// No readers yet.
    pub fn new(host: HostInfo) -> Subscribers {
        // The standard library seeds this from the system's random numbers.
        let session = RandomState::new().build_hasher().finish();
        Subscribers {
            readers: Vec::new(),
            shared: Shared {
                journal: Journal::default(),
                session: format!("{session:016x}"),
                host,
                unread: 0,
                slow: 0,
                unproven: 0,
                unproven_last: 0,
                had_role: false,
                notices: 0,
            },
            fresh: 0,
            gone: Vec::new(),
        }
    }

    /// Longest line that a reader may send, and the room for what is said to it alone.
    pub const LIMITS: (usize, usize) = (LONGEST_REQUEST, WORDS);

    /// Takes a new connection in, made with [`Subscribers::LIMITS`].
    pub fn add(&mut self, token: usize, connection: Connection) {
        self.readers.push(Reader::new(token, connection));
    }

    /// Readers that have said what they want.
    pub fn count(&self) -> usize {
        let wanting = self.readers.iter().filter(|reader| reader.wants.is_some());
        wanting.count()
    }

    /// Connections, whether they have said what they want or not.
    pub fn connected(&self) -> usize {
        self.readers.len()
    }

    /// Lines that nobody got, and no reader was told of as its own loss: there was none, or the
    /// line was too long.
    pub fn lost(&self) -> u64 {
        self.shared.unread
    }

    /// Lines that readers did not get: they were too slow, or were away for too long.
    pub fn slow(&self) -> u64 {
        self.shared.slow
    }

    /// Bytes of lines that wait in the connections of readers.
    pub fn waiting(&self) -> usize {
        let waiting = self
            .readers
            .iter()
            .map(|reader| reader.connection.waiting());
        waiting.sum()
    }

    /// Bytes of the lines that are kept for all of them.
    pub fn kept(&self) -> usize {
        self.shared.journal.bytes()
    }

    /// What `status` says of the lines: the session, how many there were, how many of them
    /// security-agent has not acknowledged, and how many are kept in how many bytes.
    pub fn journal(&self) -> serde_json::Value {
        let journal = &self.shared.journal;
        serde_json::json!({
            "session": self.shared.session,
            "events": journal.sequence(),
            "unacknowledged": journal.sequence() - journal.acknowledged(),
            "kept": journal.end() - journal.start(),
            "bytes": journal.bytes(),
        })
    }

    /// Whether this token belongs to a reader.
    pub fn owns(&self, token: usize) -> bool {
        self.readers.iter().any(|reader| reader.token == token)
    }

    /// Reads what this reader sent and sends what waits for it.
    pub fn ready(&mut self, token: usize) -> Change {
        let Some(index) = self.readers.iter().position(|reader| reader.token == token) else {
            return Change::None;
        };
        let is_read = self.is_read();
        let Some(reader) = self.readers.get_mut(index) else {
            return Change::None;
        };
        reader.has_input = true;
        let had_wants = reader.wants.is_some();
        let is_open = reader.read(&mut self.shared, is_read) && reader.pump(&mut self.shared);
        let role = reader.role_pid();
        if !is_open {
            let gone = self.readers.swap_remove(index);
            return Change::Gone(self.shared.close(&gone).filter(|_| had_wants));
        }
        match role.filter(|_| !had_wants) {
            Some(pid) => Change::Role(pid),
            None => Change::None,
        }
    }

    /// Whether somebody gets the events that happen.
    fn is_read(&self) -> bool {
        let mut readers = self.readers.iter();
        readers.any(|reader| reader.takes() || reader.acknowledges())
    }

    /// Closes the connections that have not asked for anything within `limit`.
    pub fn expire(&mut self, limit: Duration) {
        self.readers
            .retain(|reader| reader.wants.is_some() || reader.connected.elapsed() <= limit);
    }

    /// Queues an event of a rule for every reader; they get it at the next [`Subscribers::flush`]
    /// at the latest. `tags` is a JSON list, `event` a JSON object.
    pub fn publish(&mut self, rule_id: &str, silent: bool, tags: &str, event: &str) {
        if silent && !self.readers.iter().any(|reader| reader.wants(true)) {
            return self.shared.journal.skip_silent();
        }
        let length = tags.len() + event.len();
        if length > LONGEST_LINE {
            self.shared.unread += u64::from(!silent);
            return warn!("an event of {length} bytes for {rule_id} is too long");
        }
        let Shared {
            journal, session, ..
        } = &mut self.shared;
        journal.push(session, rule_id, silent, tags, event);
        self.fresh += length;
        if self.fresh >= PIECE {
            self.send();
        }
        while self.shared.journal.is_too_large() {
            let Some((place, line)) = self.shared.journal.pop() else {
                return;
            };
            self.count_loss(place, &line);
        }
    }

    /// Queues an event that the agent tells of itself.
    pub fn tell(&mut self, rule_id: &str, event: &str) {
        let tags = format!("[\"rule_id:{rule_id}\"]");
        self.publish(rule_id, false, &tags, event);
    }

    /// Counts a line that has left, for who has not got it: once for each reader that is here, or
    /// once in all when there is none.
    fn count_loss(&mut self, place: u64, line: &Kept) {
        let shared = &mut self.shared;
        let mut is_counted = false;
        let mut is_taken = line.taken;
        let mut has_role = false;
        let mut role_lost = false;
        for reader in &mut self.readers {
            has_role |= reader.acknowledges();
            is_taken |= reader.takes() && reader.part == Some(place);
            if reader.awaits(place, line.silent) {
                reader.lost += 1;
                if reader.role() != Some(Role::SelfTest) {
                    shared.slow += 1;
                    is_counted = true;
                    role_lost |= reader.acknowledges();
                }
            }
        }
        if line.silent || shared.journal.is_acknowledged(line) || role_lost {
            return;
        }
        if has_role || is_taken || is_counted {
            shared.unproven += 1;
            shared.unproven_last = line.sequence;
        } else {
            shared.unread += 1;
        }
    }

    /// Reads what is left of what readers sent, and sends what waits for them. Returns the
    /// security-agent roles that have come, and those that turned out to be gone.
    pub fn flush(&mut self) -> Vec<Change> {
        let is_read = self.is_read();
        let mut changes = self.gone();
        let Subscribers {
            readers,
            shared,
            gone,
            ..
        } = self;
        readers.retain_mut(|reader| {
            let had_wants = reader.wants.is_some();
            let is_open = !reader.has_input || reader.read(shared, is_read);
            // The request of a new reader may be there before the poll tells of it.
            match is_open {
                true if !had_wants => changes.extend(reader.role_pid().map(Change::Role)),
                true => {}
                false => gone.extend(shared.close(reader).filter(|_| had_wants)),
            }
            is_open
        });
        self.send();
        let end = self.shared.journal.end();
        let wanting = self.readers.iter().filter(|reader| reader.wants.is_some());
        let wanted = wanting.map(|reader| reader.place).min().unwrap_or(end);
        self.shared.journal.trim(wanted);
        changes.extend(self.gone());
        changes
    }

    /// The security-agent roles that are gone and were not asked for yet.
    fn gone(&mut self) -> Vec<Change> {
        let gone = self.gone.drain(..);
        gone.map(|pid| Change::Gone(Some(pid))).collect()
    }

    /// Sends what waits. Should the rests of very long lines be too much together, who holds the
    /// most of it is closed.
    fn send(&mut self) {
        self.fresh = 0;
        let Subscribers {
            readers,
            shared,
            gone,
            ..
        } = self;
        readers.retain_mut(|reader| {
            let is_open = reader.pump(shared);
            if !is_open {
                gone.extend(shared.close(reader));
            }
            is_open
        });
        while self.waiting() > ROOM {
            let waiting = |(_, reader): &(usize, &Reader)| reader.connection.waiting();
            let Some((index, _)) = self.readers.iter().enumerate().max_by_key(waiting) else {
                return;
            };
            let closed = self.readers.swap_remove(index);
            self.gone.extend(self.shared.close(&closed));
        }
    }
}

impl Shared {
    /// Counts what a reader leaves behind that is gone; returns its process id if it was the
    /// security-agent role.
    fn close(&mut self, reader: &Reader) -> Option<u32> {
        let has_left = |place: u64| place < self.journal.start();
        // A line that is still kept is there for the next reader.
        if reader.takes() && reader.part.is_some_and(has_left) {
            self.slow += 1;
        }
        reader.role_pid()
    }
}

#[cfg(test)]
mod tests;
