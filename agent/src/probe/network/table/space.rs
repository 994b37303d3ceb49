//! One network namespace of the table, and its interfaces.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use crate::kernel::tc::attach::{Device, State};
use crate::kernel::tc::{Both, Direction};

/// Between a change and the visit to its namespace: changes come in groups.
pub(super) const PAUSE: Duration = Duration::from_millis(50);
/// The same where somebody changes things all the time.
pub(super) const LONG_PAUSE: Duration = Duration::from_secs(1);
/// Visits in a row, less two a second, that count as all the time.
pub(super) const HASTE: u32 = 20;
/// How often a filter that somebody removed is attached again.
const RETRIES: u8 = 3;

/// An interface, and how often its filters were removed by somebody else.
#[derive(Clone, Debug, Default)]
pub(super) struct Entry {
    pub(super) device: Device,
    pub(super) losses: Both<u8>,
}

impl Entry {
    pub(super) fn is_wanted(&self) -> bool {
        let Both { ingress, egress } = &self.device.sides;
        ingress.state != State::Unwanted || egress.state != State::Unwanted
    }

    pub(super) fn is_attached(&self) -> bool {
        let Both { ingress, egress } = &self.device.sides;
        ingress.is_attached() || egress.is_attached()
    }
}

/// A network namespace.
#[derive(Debug)]
pub(super) struct Space {
    pub(super) serial: u64,
    /// What the kernel calls it by in our namespace.
    pub(super) number: Option<i32>,
    pub(super) places: Vec<PathBuf>,
    /// A process that was seen in it lately.
    pub(super) process: Option<u32>,
    /// When it was last seen to be in use, and since when it is not.
    pub(super) heard: Instant,
    pub(super) absent: Option<Instant>,
    pub(super) due: Option<Instant>,
    pub(super) is_running: bool,
    /// Whether a visit was begun whose report did not come: nobody knows what it did.
    pub(super) is_open: bool,
    /// Whether a visit has succeeded; whether the last one found no way in.
    pub(super) is_settled: bool,
    pub(super) is_unreachable: bool,
    pub(super) haste: u32,
    pub(super) programs: Both<u32>,
    pub(super) entries: BTreeMap<u32, Entry>,
    pub(super) left_out: usize,
    pub(super) problem: String,
}

impl Space {
    pub(super) fn new(serial: u64, now: Instant) -> Space {
        Space {
            serial,
            number: None,
            places: Vec::new(),
            process: None,
            heard: now,
            absent: None,
            due: Some(now),
            is_running: false,
            is_open: false,
            is_settled: false,
            is_unreachable: false,
            haste: 0,
            programs: Both::default(),
            entries: BTreeMap::new(),
            left_out: 0,
            problem: String::new(),
        }
    }

    pub(super) fn schedule(&mut self, at: Instant) {
        self.due = Some(self.due.map_or(at, |due| due.min(at)));
    }

    /// Something changed in it.
    pub(super) fn stir(&mut self, now: Instant) {
        let is_hasty = self.haste >= HASTE;
        self.schedule(now + if is_hasty { LONG_PAUSE } else { PAUSE });
    }

    /// It is in use.
    pub(super) fn hear(&mut self, now: Instant) {
        self.heard = now;
        self.absent = None;
        if std::mem::take(&mut self.is_unreachable) && !self.is_running {
            self.stir(now);
        }
    }

    pub(super) fn has_places(&self) -> bool {
        !self.places.is_empty() || self.process.is_some()
    }

    pub(super) fn places(&self) -> Vec<PathBuf> {
        let process = self.process.map(|pid| format!("/proc/{pid}/ns/net").into());
        self.places.iter().cloned().chain(process).collect()
    }

    /// Whether there is, or may be, a filter of ours.
    pub(super) fn has_filters(&self) -> bool {
        self.is_open || self.entries.values().any(Entry::is_attached)
    }

    pub(super) fn given_up(&self) -> Vec<(u32, Direction)> {
        let sides = self.entries.iter().flat_map(|(index, entry)| {
            Direction::ALL.map(|direction| (*index, direction, *entry.losses.of(direction)))
        });
        sides
            .filter(|(_, _, losses)| *losses >= RETRIES)
            .map(|(index, direction, _)| (index, direction))
            .collect()
    }

    /// Remembers the program that the filters of each direction have.
    pub(super) fn note_programs(&mut self) {
        for direction in Direction::ALL {
            let entries = self.entries.values();
            let mut sides = entries.map(|entry| entry.device.sides.of(direction));
            let found = sides.rfind(|side| side.is_attached());
            *self.programs.of_mut(direction) = found.map_or(0, |side| side.program);
        }
    }
}
