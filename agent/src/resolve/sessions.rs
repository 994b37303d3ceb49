//! Sessions of users: from the messages that any process may send to what its events show.
//!
//! A process that sends the first piece of a session is in that session from then on, and so are
//! its children; nothing takes it out or puts it into another one, not even its being forgotten by
//! the process cache and found again in /proc. Only this process adds pieces, each once. Everything
//! else that is sent changes a counter and nothing more. The number of sessions that are remembered
//! is bounded; a forgotten one stays with its processes.

use std::rc::Rc;

use super::process::same_start;
use super::snapshot::TICK;
use crate::event::session::{Chunk, UserInfo, UserSession, OPERATION};
use crate::event::Process;

/// Why a message changed nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(usize)]
pub enum Refusal {
    /// It could not be read, or is no piece of a session.
    Malformed,
    /// It asks for something that only a part of the agent may ask for, and that none does.
    Operation,
    /// Nothing is known of its process.
    UnknownProcess,
    /// Its process is in another session.
    OtherSession,
    /// The session was begun by another process.
    OtherProcess,
    /// This piece of the session is there already.
    Repeated,
}

impl Refusal {
    const COUNT: usize = Refusal::Repeated as usize + 1;
    /// Their names in `status`, in their order.
    const NAMES: [&str; Refusal::COUNT] = [
        "malformed",
        "operation",
        "unknown_process",
        "other_session",
        "other_process",
        "repeated",
    ];
}

/// A session and what is there of its data.
#[derive(Debug)]
struct Entry {
    id: u64,
    /// Pid and start, in ticks, of the process that began it.
    owner: (u32, u64),
    session: Rc<UserSession>,
    /// The pieces by their place; empty once the session is complete.
    pieces: [Vec<u8>; Chunk::MAX as usize],
    is_complete: bool,
    order: u64,
}

/// The sessions; see the module.
#[derive(Debug)]
pub struct Sessions {
    entries: Vec<Entry>,
    limit: usize,
    next_order: u64,
    refused: [u64; Refusal::COUNT],
    /// Complete sessions whose data describes no user.
    pub without_user: u64,
}

fn identity(process: &Process) -> (u32, u64) {
    (process.info.pid, process.info.start_time / TICK)
}

impl Sessions {
    /// Remembers at most `limit` sessions, at least one.
    pub fn new(limit: usize) -> Sessions {
        Sessions {
            entries: Vec::new(),
            limit: limit.max(1),
            next_order: 0,
            refused: [0; Refusal::COUNT],
            without_user: 0,
        }
    }

    /// How many sessions are remembered, and how many may be.
    pub fn size(&self) -> (usize, usize) {
        (self.entries.len(), self.limit)
    }

    /// How many messages were refused, by the name of the reason.
    pub fn refused(&self) -> impl Iterator<Item = (&'static str, u64)> + '_ {
        Refusal::NAMES.into_iter().zip(self.refused)
    }

    /// Takes a message that a process sent which started at `start_time`, or that is not known to
    /// (0).
    pub fn take(&mut self, process: Option<&Process>, start_time: u64, message: &[u8]) {
        if let Err(refusal) = self.try_take(process, start_time, message) {
            if let Some(count) = self.refused.get_mut(refusal as usize) {
                *count += 1;
            }
        }
    }

    fn try_take(
        &mut self,
        process: Option<&Process>,
        start_time: u64,
        message: &[u8],
    ) -> Result<(), Refusal> {
        if message.first().is_some_and(|first| *first != OPERATION) {
            return Err(Refusal::Operation);
        }
        let chunk = Chunk::parse(message).ok_or(Refusal::Malformed)?;
        // Without a start the sender may be the next process with the id of one that has ended.
        let is_sender = |process: &&Process| {
            same_start(start_time, &process.info) && (start_time != 0 || process.exit_time() == 0)
        };
        let process = process.filter(is_sender).ok_or(Refusal::UnknownProcess)?;
        let entry = self.entry(process, &chunk)?;
        if entry.add(&chunk)? == Some(false) {
            self.without_user += 1;
        }
        Ok(())
    }

    /// Makes a process that was read again part of the session that it began.
    pub fn rejoin(&self, process: &Process) {
        let owner = identity(process);
        if let Some(entry) = self.entries.iter().find(|entry| entry.owner == owner) {
            process.join_session(&entry.session);
        }
    }

    /// The session that the piece belongs to, of which the process is part now.
    fn entry(&mut self, process: &Process, chunk: &Chunk<'_>) -> Result<&mut Entry, Refusal> {
        self.rejoin(process);
        let owner = identity(process);
        let place = self.entries.iter().position(|entry| entry.id == chunk.id);
        let place = match (process.user_session(), place) {
            (None, None) => {
                self.begin(owner, chunk);
                self.entries.len().saturating_sub(1)
            }
            (Some(_), None) => return Err(Refusal::OtherSession),
            (_, Some(place)) => place,
        };
        let entry = self.entries.get_mut(place).ok_or(Refusal::OtherProcess)?;
        let current = process.user_session();
        if current.is_some_and(|session| !Rc::ptr_eq(session, &entry.session)) {
            return Err(Refusal::OtherSession);
        }
        if entry.owner != owner {
            return Err(Refusal::OtherProcess);
        }
        process.join_session(&entry.session);
        Ok(entry)
    }

    /// Begins a session, in the last place; when there are too many the oldest one is forgotten,
    /// of those that no process is in if there are such.
    fn begin(&mut self, owner: (u32, u64), chunk: &Chunk<'_>) {
        if self.entries.len() >= self.limit {
            let numbered = self.entries.iter().enumerate();
            let oldest = numbered
                .min_by_key(|(_, entry)| (Rc::strong_count(&entry.session) > 1, entry.order));
            if let Some((place, _)) = oldest {
                self.entries.swap_remove(place);
            }
        }
        self.next_order += 1;
        self.entries.push(Entry {
            id: chunk.id,
            owner,
            session: Rc::new(UserSession::new(chunk.id, chunk.kind)),
            pieces: Default::default(),
            is_complete: false,
            order: self.next_order,
        });
    }
}

impl Entry {
    /// Adds a piece; when the session is complete with it, says whether the data describes a user.
    fn add(&mut self, chunk: &Chunk<'_>) -> Result<Option<bool>, Refusal> {
        if chunk.kind != self.session.kind {
            return Err(Refusal::Malformed);
        }
        let place = usize::from(chunk.index).saturating_sub(1);
        let piece = self.pieces.get_mut(place).ok_or(Refusal::Malformed)?;
        if self.is_complete || !piece.is_empty() {
            return Err(Refusal::Repeated);
        }
        piece.extend_from_slice(chunk.data);
        Ok(self.complete())
    }

    /// Finds out whether the session is complete. It is when the last one of the pieces that
    /// follow on each other from the first one is not filled, or when they are a user already:
    /// data may end where a piece does.
    fn complete(&mut self) -> Option<bool> {
        let is_there = |piece: &&Vec<u8>| !piece.is_empty();
        let mut data = Vec::new();
        let mut is_last = false;
        let mut count = 0;
        for piece in self.pieces.iter().take_while(is_there) {
            data.extend_from_slice(piece);
            count += 1;
            is_last = count == self.pieces.len() || !Chunk::is_full(piece.len());
            if is_last {
                break;
            }
        }
        let user = UserInfo::from_data(&data);
        if !is_last && user.is_none() {
            return None;
        }
        self.is_complete = true;
        self.pieces = Default::default();
        let has_user = user.is_some();
        if let Some(user) = user {
            self.session.set_user(user);
        }
        Some(has_user)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::session::{messages, SessionKind, MESSAGE_SIZE};
    use crate::event::testing::process;

    const JANE: &str = r#"{"username":"jane","groups":["dev"]}"#;

    fn one(pid: u32) -> Rc<Process> {
        process(pid, &["inject"], "/inject", None)
    }

    fn sent(id: u64, data: &str) -> Vec<[u8; MESSAGE_SIZE]> {
        messages(id, SessionKind::Kubernetes, data.as_bytes()).collect()
    }

    fn name(process: &Process) -> Option<&str> {
        let user = process.user_session()?.kubernetes_user();
        Some(user.map_or("?", |user| &user.username))
    }

    /// The refusals that there were, by name.
    fn refused(sessions: &Sessions) -> String {
        let counts = sessions.refused().filter(|(_, count)| *count > 0);
        let words: Vec<String> = counts.map(|(name, n)| format!("{name}={n}")).collect();
        words.join(" ")
    }

    /// A user whose data has `size` bytes.
    fn long(size: usize) -> String {
        let frame = r#"{"username":"jane","uid":""}"#.len();
        let uid = "u".repeat(size - frame);
        format!(r#"{{"username":"jane","uid":"{uid}"}}"#)
    }

    #[test]
    fn pieces_make_a_session_in_any_order() {
        // 478 and 717 end where a piece does.
        for size in [40, 238, 240, 478, 700, 717, 1024] {
            let all = sent(7, &long(size));
            for turn in 0..all.len() {
                let mut sessions = Sessions::new(4);
                let process = one(10);
                let (first, last) = all.split_at(turn);
                let order: Vec<_> = last.iter().chain(first).collect();
                for (count, message) in order.iter().enumerate() {
                    let before = if count == 0 { None } else { Some("?") };
                    assert_eq!(name(&process), before, "{size} {turn}");
                    sessions.take(Some(&process), 0, *message);
                }
                assert_eq!(name(&process), Some("jane"), "{size} {turn}");
                assert_eq!(process.user_session().unwrap().id, "7");
                assert_eq!(
                    (refused(&sessions).as_str(), sessions.without_user),
                    ("", 0)
                );
            }
        }
    }

    #[test]
    fn a_process_stays_in_its_session() {
        let mut sessions = Sessions::new(4);
        let process = one(10);
        let child = one(11);
        sessions.take(Some(&process), 0, &sent(7, JANE)[0]);
        child.inherit_session(Some(&process));
        for process in [&process, &child] {
            sessions.take(Some(process), 0, &sent(8, "{}")[0]);
            assert_eq!(process.user_session().unwrap().id, "7");
        }
        assert_eq!(refused(&sessions), "other_session=2");
        assert_eq!(sessions.size(), (1, 4));
        sessions.take(Some(&process), 0, &sent(7, "{}")[0]);
        sessions.take(Some(&child), 0, &sent(7, "{}")[0]);
        assert_eq!(
            refused(&sessions),
            "other_session=2 other_process=1 repeated=1"
        );
        assert_eq!(name(&process), Some("jane"));
    }

    #[test]
    fn a_process_that_is_read_again_is_in_its_session() {
        let mut sessions = Sessions::new(4);
        let (process, again, later) = (one(10), one(10), one(10));
        sessions.take(Some(&process), 0, &sent(7, JANE)[0]);
        sessions.take(Some(&again), 0, &sent(8, "{}")[0]);
        assert_eq!(refused(&sessions), "other_session=1");
        sessions.rejoin(&later);
        sessions.rejoin(&one(11));
        assert_eq!((name(&again), name(&later)), (Some("jane"), Some("jane")));
        assert_eq!(sessions.size(), (1, 4));
    }

    #[test]
    fn the_id_of_a_process_that_has_ended_is_not_enough() {
        let mut sessions = Sessions::new(4);
        let process = one(10);
        process.set_exit_time(1);
        sessions.take(Some(&process), 0, &sent(7, JANE)[0]);
        assert_eq!(refused(&sessions), "unknown_process=1");
        sessions.take(Some(&process), process.info.start_time, &sent(7, JANE)[0]);
        assert_eq!(name(&process), Some("jane"));
    }

    #[test]
    fn nobody_else_adds_to_a_session() {
        let mut sessions = Sessions::new(4);
        let all = sent(7, &long(300));
        let (owner, child, other) = (one(10), one(11), one(12));
        sessions.take(Some(&owner), 0, &all[0]);
        child.inherit_session(Some(&owner));
        for process in [&child, &other] {
            sessions.take(Some(process), 0, &all[1]);
        }
        assert_eq!(refused(&sessions), "other_process=2");
        assert_eq!((name(&owner), name(&other)), (Some("?"), None));
        sessions.take(Some(&owner), 0, &all[1]);
        assert_eq!((name(&owner), name(&child)), (Some("jane"), Some("jane")));
    }

    #[test]
    fn the_next_process_with_the_id_is_another_one() {
        let mut sessions = Sessions::new(4);
        let process = one(10);
        let start = process.info.start_time;
        let all = sent(7, &long(300));
        sessions.take(Some(&process), start, &all[0]);
        sessions.take(Some(&process), start + TICK, &all[1]);
        sessions.take(None, start, &all[1]);
        assert_eq!(refused(&sessions), "unknown_process=2");
        let info = crate::event::ProcessInfo {
            start_time: start + 5 * TICK,
            ..process.info.clone()
        };
        let later = Process::new(
            info,
            Rc::default(),
            None,
            process.identity(),
            process.cgroup(),
        );
        sessions.take(Some(&later), start + 5 * TICK, &all[1]);
        assert_eq!(refused(&sessions), "unknown_process=2 other_process=1");
        assert_eq!((name(&process), name(&later)), (Some("?"), None));
    }

    #[test]
    fn what_is_no_message_changes_a_counter() {
        let good = sent(7, JANE)[0];
        let mut other_kind = sent(7, &long(300))[1];
        other_kind[17] = SessionKind::Ssh as u8;
        let first = sent(7, &long(300))[0];
        let mut operation = good;
        operation[0] = 4;
        let mut index = good;
        index[9] = Chunk::MAX + 1;
        for (message, reason) in [
            (&good[..0], "malformed=1"),
            (&good[..18], "malformed=1"),
            (&index, "malformed=1"),
            (&other_kind, "malformed=1"),
            (&first, "repeated=1"),
            (&operation, "operation=1"),
        ] {
            let mut sessions = Sessions::new(4);
            let process = one(10);
            sessions.take(Some(&process), 0, &first);
            sessions.take(Some(&process), 0, message);
            assert_eq!(refused(&sessions), reason);
            assert_eq!(name(&process), Some("?"));
        }
    }

    #[test]
    fn data_that_describes_nobody_leaves_a_session_without_user() {
        for data in ["jane", "[1]", r#"{"username":1}"#, r#"{"groups":["a""#] {
            let mut sessions = Sessions::new(4);
            let process = one(10);
            sessions.take(Some(&process), 0, &sent(7, data)[0]);
            assert_eq!(name(&process), Some("?"), "{data}");
            assert_eq!(sessions.without_user, 1, "{data}");
            sessions.take(Some(&process), 0, &sent(7, JANE)[0]);
            assert_eq!(refused(&sessions), "repeated=1", "{data}");
        }
    }

    #[test]
    fn a_forgotten_session_stays_with_its_processes() {
        let mut sessions = Sessions::new(2);
        let first = one(10);
        sessions.take(Some(&first), 0, &sent(1, JANE)[0]);
        // That of a process that is gone is forgotten before one that is in use.
        for id in 2..10 {
            let gone = one(20 + u32::try_from(id).unwrap());
            sessions.take(Some(&gone), 0, &sent(id, JANE)[0]);
        }
        assert_eq!(sessions.size(), (2, 2));
        sessions.take(Some(&one(11)), 0, &sent(1, JANE)[0]);
        assert_eq!(refused(&sessions), "other_process=1");
        let (second, third) = (one(12), one(13));
        sessions.take(Some(&second), 0, &sent(21, JANE)[0]);
        sessions.take(Some(&third), 0, &sent(22, JANE)[0]);
        assert_eq!(sessions.size(), (2, 2));
        sessions.take(Some(&first), 0, &sent(1, JANE)[0]);
        assert_eq!(refused(&sessions), "other_session=1 other_process=1");
        assert_eq!(name(&first), Some("jane"));
    }
}
