//! One reader of the event socket: what it asked for, what it has got, what it has missed.
//!
//! Its lines enter from its connection; lines of the journal are sent straight from there. A
//! reader owns no copies, but for the rest of a line that it has taken in part.

use std::io::{self, IoSlice};
use std::time::Instant;

use super::journal::{self, Journal};
use super::subscription::{acknowledged, understand, Resume, Role, Wants, PROTOCOL};
use super::unix_now;
use crate::event::{json, HostInfo};
use crate::ipc::{Connection, Input};

/// Lines that are handed to the system at once.
const LINES_AT_ONCE: usize = 128;
/// Lines of a reader that are looked at in one turn.
const LINES_A_TURN: usize = 64;

/// What all readers read from, and what is counted of them.
pub(super) struct Shared {
    pub(super) journal: Journal,
    /// Random, of this start: 16 hexadecimal digits.
    pub(super) session: String,
    pub(super) host: HostInfo,
    /// Lines that nobody got.
    pub(super) unread: u64,
    /// Lines that a reader did not get although it was there, or had to be.
    pub(super) slow: u64,
    /// Lines that left before they were acknowledged and are in neither of those counters: they
    /// may yet turn out to have been got.
    pub(super) unproven: u64,
    /// Sequence number of the latest of those.
    pub(super) unproven_last: u64,
    /// Some reader has acknowledged in this session.
    pub(super) had_role: bool,
    /// Notices of loss so far.
    pub(super) notices: u64,
}

/// One reader.
pub(super) struct Reader {
    pub(super) token: usize,
    pub(super) connection: Connection,
    pub(super) connected: Instant,
    /// There may be input that nobody has read; the poll does not tell of it again.
    pub(super) has_input: bool,
    /// What it asked for; nothing until its line has come.
    pub(super) wants: Option<Wants>,
    /// Place of the next line that it gets.
    pub(super) place: u64,
    /// Place of the line whose rest waits in the connection.
    pub(super) part: Option<u64>,
    /// Lines that it wanted and will not get, and has not been told of.
    pub(super) lost: u64,
    /// Sequence number of the latest line that was sent to it.
    sent: u64,
    /// Place before which it wants to end.
    end: Option<u64>,
    /// It has been told that this is the end.
    is_over: bool,
}

impl Reader {
    /// Nothing is known of it yet.
    pub(super) fn new(token: usize, connection: Connection) -> Reader {
        Reader {
            token,
            connection,
            connected: Instant::now(),
            has_input: true,
            wants: None,
            place: 0,
            part: None,
            lost: 0,
            sent: 0,
            end: None,
            is_over: false,
        }
    }

    /// Whether it wants such lines.
    pub(super) fn wants(&self, silent: bool) -> bool {
        let wants = self.wants.as_ref();
        wants.is_some_and(|wants| wants.silent || !silent)
    }

    /// Whether it has yet to get the line at this place.
    pub(super) fn awaits(&self, place: u64, silent: bool) -> bool {
        self.wants(silent) && place >= self.place && self.end.is_none_or(|end| place < end)
    }

    /// Who it is, as far as that is believed.
    pub(super) fn role(&self) -> Option<Role> {
        self.wants.as_ref().map(|wants| wants.role)
    }

    /// Whether it says what it has got.
    pub(super) fn acknowledges(&self) -> bool {
        let wants = self.wants.as_ref();
        wants.is_some_and(|wants| wants.acknowledges)
    }

    /// Whether a line counts as got once it has been sent to it.
    pub(super) fn takes(&self) -> bool {
        let role = self.role();
        role.is_some_and(|role| role != Role::SelfTest) && !self.acknowledges()
    }

    /// Its process, if it is the security-agent role.
    pub(super) fn role_pid(&self) -> Option<u32> {
        let is_role = self.role() == Some(Role::SecurityAgent);
        is_role.then_some(self.connection.credentials.pid as u32)
    }

    /// Reads what it has sent; false when it is gone or said what is not said here. `is_read`
    /// tells whether somebody else gets the events.
    pub(super) fn read(&mut self, shared: &mut Shared, is_read: bool) -> bool {
        for _ in 0..LINES_A_TURN {
            let result = match self.connection.next_line() {
                Input::Ended | Input::Closed => return false,
                Input::Nothing => {
                    self.has_input = false;
                    let is_early = self.connection.has_part() && !self.may_speak();
                    return !is_early || self.refuse(ONE_LINE);
                }
                Input::Line(line) if self.wants.is_none() => self.begin(&line, shared, is_read),
                Input::Line(line) => self.note(&line, shared),
            };
            if let Err(sentence) = result {
                return self.refuse(&sentence);
            }
        }
        true
    }

    fn may_speak(&self) -> bool {
        self.wants.is_none() || self.acknowledges()
    }

    /// Takes its request.
    fn begin(&mut self, line: &str, shared: &mut Shared, is_read: bool) -> Result<(), String> {
        let mut wants = understand(line)?;
        let is_role = wants.role == Role::SecurityAgent;
        // Whoever else says so would hide its own file events, and take lines from that role.
        if !(is_role && self.connection.credentials.runs_our_program()) {
            wants.acknowledges = false;
            if is_role {
                wants.role = Role::Other;
            }
        }
        self.place = shared.place_for(&wants, is_read);
        self.end = (!wants.follow).then(|| shared.journal.end());
        let resumed = shared.resumed(&wants);
        self.sent = resumed.unwrap_or(0);
        self.lost = shared.missed(resumed, wants.acknowledges);
        let hello = shared.hello(wants.acknowledges);
        self.connection.queue(&[&hello]);
        self.wants = Some(wants);
        Ok(())
    }

    /// Takes a line that is not its first: an acknowledgement.
    fn note(&mut self, line: &str, shared: &mut Shared) -> Result<(), String> {
        if !self.acknowledges() {
            return Err(ONE_LINE.to_owned());
        }
        let sequence = acknowledged(line)?;
        if sequence > self.sent {
            return Err(format!(
                "line {sequence} was acknowledged, but the last one that was sent is {}",
                self.sent
            ));
        }
        shared.acknowledge(sequence);
        Ok(())
    }

    /// Says why this reader is closed.
    fn refuse(&mut self, sentence: &str) -> bool {
        let error = serde_json::json!({ "error": sentence }).to_string();
        self.connection.queue(&[&error, "\n"]);
        // Whether the sentence arrives is the reader's concern.
        let _ = self.connection.flush();
        false
    }

    /// Sends what it has yet to get, as far as it takes that now; false when it is gone or has
    /// got all that it asked for.
    pub(super) fn pump(&mut self, shared: &mut Shared) -> bool {
        loop {
            if self.connection.flush().is_err() {
                return false;
            }
            if self.connection.waiting() > 0 {
                return true;
            }
            if let Some(place) = self.part.take() {
                if self.takes() {
                    shared.journal.take(place, place + 1);
                }
            }
            if self.is_over {
                return false;
            }
            if self.wants.is_none() {
                return true;
            }
            if self.lost > 0 {
                let notice = shared.notice(std::mem::take(&mut self.lost));
                self.connection.queue(&[&notice]);
                continue;
            }
            match self.send_lines(shared) {
                Ok(true) => {}
                Ok(false) if self.end.is_some_and(|end| self.place >= end) => {
                    self.connection.queue(&["{\"end\":true}\n"]);
                    self.is_over = true;
                }
                Ok(false) => return true,
                Err(_) => return false,
            }
        }
    }

    /// Sends lines once; false when there were none, or it takes none now.
    fn send_lines(&mut self, shared: &mut Shared) -> io::Result<bool> {
        let journal = &shared.journal;
        let start = self.place.max(journal.start());
        let end = self.end.unwrap_or(u64::MAX).min(journal.end());
        let silent = self.wants(true);
        let lines = || {
            let lines = journal.from(start).zip(start..end);
            lines.filter(move |(kept, _)| silent || !kept.silent)
        };
        let mut pieces = [IoSlice::new(&[]); LINES_AT_ONCE];
        let mut count = 0;
        for (piece, (kept, _)) in pieces.iter_mut().zip(lines()) {
            *piece = IoSlice::new(kept.text.as_bytes());
            count += 1;
        }
        if count == 0 {
            self.place = start.max(end);
            return Ok(false);
        }
        let sent = self
            .connection
            .send(pieces.get(..count).unwrap_or_default())?;
        let mut left = sent;
        for (kept, place) in lines() {
            if left == 0 {
                break;
            }
            self.place = place + 1;
            if !kept.silent {
                self.sent = kept.sequence;
            }
            let text = kept.text.as_bytes();
            if let Some(rest) = text.get(left..).filter(|rest| !rest.is_empty()) {
                self.connection.queue_rest(rest);
                self.part = Some(place);
                break;
            }
            left -= text.len();
        }
        if sent > 0 && self.takes() {
            let got = self.part.unwrap_or(self.place);
            shared.journal.take(start, got);
        }
        Ok(sent > 0)
    }
}

const ONE_LINE: &str = "a reader sends one line only; connect again to ask for something else";

impl Shared {
    fn hello(&self, acknowledges: bool) -> String {
        let (version, pid, session) = (&self.host.version, std::process::id(), &self.session);
        format!(
            "{{\"hello\":{{\"protocol\":{PROTOCOL},\"version\":\"{version}\",\"pid\":{pid},\
             \"session\":\"{session}\",\"acknowledge\":{acknowledges}}}}}\n"
        )
    }

    /// The sequence number after which this reader goes on, if it has been here in this session.
    fn resumed(&self, wants: &Wants) -> Option<u64> {
        let is_ours = |resume: &&Resume| {
            resume.session == self.session && resume.after <= self.journal.sequence()
        };
        let resume = wants.resume.as_ref().filter(is_ours);
        resume.map(|resume| resume.after)
    }

    /// Where a reader begins.
    fn place_for(&self, wants: &Wants, is_read: bool) -> u64 {
        if let Some(after) = self.resumed(wants) {
            return self.journal.after(after);
        }
        if wants.role == Role::SelfTest {
            self.journal.end() // It wants what happens from now on.
        } else if wants.acknowledges {
            // What another one has acknowledged is safe.
            self.journal.after(self.journal.acknowledged())
        } else if wants.resume.is_some() {
            self.journal.start()
        } else if wants.recent {
            self.journal.recent()
        } else if is_read {
            self.journal.end()
        } else {
            self.journal.unread()
        }
    }

    /// How many lines this reader has missed while it was not here.
    fn missed(&mut self, resumed: Option<u64>, acknowledges: bool) -> u64 {
        if !acknowledges {
            return resumed.map_or(0, |after| self.journal.gone_after(after));
        }
        let had_role = std::mem::replace(&mut self.had_role, true);
        self.acknowledge(resumed.unwrap_or(0));
        let missed = match (resumed, had_role) {
            (Some(after), _) => self.journal.gone_after(after),
            (None, true) => self.journal.gone_after(self.journal.acknowledged()),
            (None, false) => self.unread,
        };
        // Now it is known that they were not got.
        if had_role {
            self.slow += self.unproven;
        }
        self.unproven = 0;
        missed
    }

    fn acknowledge(&mut self, sequence: u64) {
        self.journal.acknowledge(sequence);
        let open = self
            .unproven_last
            .saturating_sub(self.journal.acknowledged());
        self.unproven = self.unproven.min(open);
    }

    /// What a reader is told that has missed lines.
    fn notice(&mut self, lost: u64) -> String {
        self.notices += 1;
        let event = json::lost_events(&self.host, unix_now(), "reader", &[("all", lost)]);
        let id = format_args!("{}-lost-{}", self.session, self.notices);
        journal::line(0, LOSS, false, LOSS_TAGS, id, &event)
    }
}

/// Rule id of a notice of loss.
const LOSS: &str = "lost_events";
const LOSS_TAGS: &str = "[\"rule_id:lost_events\"]";
