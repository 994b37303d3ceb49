//! What reports of visits mean for the table.

use std::time::{Duration, Instant};

use super::space::{Entry, Space, SETTLING};
use super::Table;
use crate::kernel::tc::attach::{Device, Report, State};
use crate::kernel::tc::Direction;
use crate::probe::network::Lost;

/// Lost filters that are told of one visit: users may make interfaces and filters at will.
const TOLD: usize = 16;
/// Interfaces without filters that there is something to say about, in one namespace.
const UNWANTED: usize = 16;

impl Table {
    /// A visit that came to nothing; the sentence says why.
    pub(in crate::probe::network) fn failed(
        &mut self,
        inode: u32,
        serial: u64,
        sentence: String,
        now: Instant,
    ) {
        if let Some(space) = self.visited(inode, serial) {
            space.problem = sentence;
            space.back_off(now);
        }
    }

    /// What a visit found. Returns the filters that somebody else has removed, at most 16.
    pub(in crate::probe::network) fn settled(
        &mut self,
        inode: u32,
        serial: u64,
        report: Report,
        now: Instant,
    ) -> Vec<Lost> {
        let is_heard = report
            .number
            .is_some_and(|number| self.unknown.remove(&number));
        let ended = report.number.and_then(|number| self.ended.remove(&number));
        let Some(space) = self.visited(inode, serial) else {
            return Vec::new();
        };
        // Or its number has been given to another one: the next searches tell.
        space.doubtful = ended.filter(|at| *at >= space.heard).or(space.doubtful);
        if report.is_gone {
            // It was not even opened.
            space.is_open = space.was_open;
            self.wants_search |= space.lose(now);
            return Vec::new();
        }
        space.unreachable = 0;
        if is_heard {
            space.stir(now);
        }
        match report.is_whole() {
            true => (space.is_open, space.pause) = (false, Duration::ZERO),
            false => space.back_off(now),
        }
        if let Some(number) = report.number {
            self.number(inode, number);
        }
        let Some(space) = self.spaces.get_mut(&inode) else {
            return Vec::new();
        };
        let mut lost = space.update(report, inode);
        self.lost += lost.len() as u64;
        lost.truncate(TOLD);
        lost
    }

    /// Notes what the kernel calls a namespace by.
    fn number(&mut self, inode: u32, number: i32) {
        let before = self.numbers.insert(number, inode);
        // The end of the one before it was missed.
        let ended = before.filter(|before| *before != inode && *before != self.own);
        if let Some(ended) = ended {
            self.remove(ended);
        }
        let Some(space) = self.spaces.get_mut(&inode) else {
            return;
        };
        let old = space.number.replace(number).filter(|old| *old != number);
        if let Some(old) = old {
            // The inode was given to a new namespace, and the end of the old one was missed.
            space.entries.clear();
            if self.numbers.get(&old) == Some(&inode) {
                self.numbers.remove(&old);
            }
        }
    }
}

impl Space {
    /// Takes over what a report says; returns all filters that somebody else has removed.
    fn update(&mut self, report: Report, inode: u32) -> Vec<Lost> {
        self.is_settled |= report.problem.is_empty() && report.left_out == 0 && report.untidy == 0;
        self.left_out = report.left_out;
        let mut before = std::mem::take(&mut self.entries);
        let mut lost = Vec::new();
        let mut unwanted = 0;
        for device in report.devices {
            let old = before.remove(&device.index).unwrap_or_default();
            let entry = compare(&old, device, inode, &mut lost);
            if !entry.is_wanted() {
                let is_silent = entry.device.sentence.is_empty();
                if is_silent || unwanted == UNWANTED {
                    continue;
                }
                unwanted += 1;
            }
            self.entries.insert(entry.device.index, entry);
        }
        if !report.problem.is_empty() {
            // What could not be read is not gone for that.
            self.entries.append(&mut before);
        }
        self.problem = report.problem;
        self.note_programs();
        // Those that were new now, or came meanwhile.
        if let Some(first) = self.fresh.values().min() {
            self.schedule(*first + SETTLING);
        }
        lost
    }
}

/// An interface as it is now, after what it was before; notes the filters that were lost.
fn compare(old: &Entry, mut device: Device, namespace: u32, lost: &mut Vec<Lost>) -> Entry {
    let mut losses = old.losses;
    for direction in Direction::ALL {
        let before = *old.device.sides.of(direction);
        let side = device.sides.of_mut(direction);
        match side.state {
            State::Unknown => *side = before,
            State::Attached | State::Missing | State::Refused if before.is_attached() => {
                let count = losses.of_mut(direction);
                *count = count.saturating_add(1);
                lost.push(Lost {
                    namespace,
                    interface: device.name.clone(),
                    direction,
                    attached_again: side.is_attached(),
                });
            }
            _ => {}
        }
    }
    Entry { device, losses }
}
