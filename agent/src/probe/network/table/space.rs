//! One network namespace of the table, and its interfaces.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use crate::kernel::tc::attach::{Device, State};
use crate::kernel::tc::{Both, Direction};
use crate::sys::host;

/// Between a change and the visit to its namespace: changes come in groups.
pub(super) const PAUSE: Duration = Duration::from_millis(50);
/// The same where somebody changes things all the time.
pub(super) const LONG_PAUSE: Duration = Duration::from_secs(1);
/// Visits in a row, less two a second, that count as all the time.
pub(super) const HASTE: u32 = 20;
/// Between the first sign of an interface and its qdisc: a network plug-in that is about to add one
/// of its own would fail. What has a clsact qdisc does not wait.
pub(super) const SETTLING: Duration = Duration::from_secs(1);
/// Interfaces that may be new at once; more count as old.
const FRESH: usize = 1_024;
/// Shortest and longest pause after a visit that was no success; they double.
const SHORTEST_PAUSE: Duration = Duration::from_secs(1);
pub(super) const LONGEST_PAUSE: Duration = Duration::from_secs(60);
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
    /// Whether a visit was begun of which no whole report came: nobody knows what it did. Before the
    /// visit under way, too.
    pub(super) is_open: bool,
    pub(super) was_open: bool,
    /// Whether a visit has seen to all filters of dead runs.
    pub(super) is_settled: bool,
    /// How many visits in a row have found no way in.
    pub(super) unreachable: u32,
    /// When its end may have been missed.
    pub(super) doubtful: Option<Instant>,
    pub(super) haste: u32,
    /// The last pause after a visit that was no success.
    pub(super) pause: Duration,
    pub(super) programs: Both<u32>,
    /// The interfaces that filters belong on, and those about which there is something to say.
    pub(super) entries: BTreeMap<u32, Entry>,
    /// New interfaces, and since when they are known.
    pub(super) fresh: BTreeMap<u32, Instant>,
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
            was_open: false,
            is_settled: false,
            unreachable: 0,
            doubtful: None,
            haste: 0,
            pause: Duration::ZERO,
            programs: Both::default(),
            entries: BTreeMap::new(),
            fresh: BTreeMap::new(),
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

    /// It was in use at this time, or after it.
    pub(super) fn hear(&mut self, at: Instant) {
        self.heard = self.heard.max(at);
        self.absent = None;
        self.doubtful = self.doubtful.filter(|since| *since > at);
    }

    /// An interface was heard of that is not known.
    pub(super) fn meet(&mut self, interface: u32, now: Instant) {
        if self.fresh.contains_key(&interface) {
            return;
        }
        if self.fresh.len() < FRESH {
            self.fresh.insert(interface, now);
        }
        self.stir(now);
    }

    /// The interfaces that are new.
    pub(super) fn fresh(&mut self, now: Instant) -> Vec<u32> {
        self.fresh
            .retain(|_, since| now.saturating_duration_since(*since) < SETTLING);
        self.fresh.keys().copied().collect()
    }

    /// A visit was no success: the next one comes later each time.
    pub(super) fn back_off(&mut self, now: Instant) {
        self.pause = longer(self.pause, SHORTEST_PAUSE);
        self.schedule(now + self.pause);
    }

    /// A visit found no way in. True the first time.
    pub(super) fn lose(&mut self, now: Instant) -> bool {
        self.places.clear();
        self.process = None;
        self.unreachable = self.unreachable.saturating_add(1);
        if self.unreachable == 1 {
            // Where another way is found, it is tried at once.
            self.schedule(now + PAUSE);
            return true;
        }
        // Most are just gone, which is no problem.
        "it cannot be entered: none of the files that led to it does any more"
            .clone_into(&mut self.problem);
        self.back_off(now);
        false
    }

    /// What is evicted first has the lowest worth: what is gone, what was never visited, what has no
    /// filters, what was not heard of for long. Users can make namespaces as fast as they like.
    pub(super) fn worth(&self) -> (bool, bool, bool, bool, Instant) {
        let is_lost = self.unreachable > 0 || self.absent.is_some();
        (
            self.is_running,
            !is_lost,
            self.is_settled,
            self.has_filters(),
            self.heard,
        )
    }

    pub(super) fn has_places(&self) -> bool {
        !self.places.is_empty() || self.process.is_some()
    }

    pub(super) fn places(&self) -> Vec<PathBuf> {
        let process = self.process.map(|pid| host::process(pid, "ns/net"));
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

/// The pause after this one.
pub(super) fn longer(pause: Duration, shortest: Duration) -> Duration {
    pause.saturating_mul(2).clamp(shortest, LONGEST_PAUSE)
}
