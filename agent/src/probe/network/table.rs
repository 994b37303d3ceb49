//! What is known of the network namespaces and their interfaces, and who is to be visited when.
//!
//! Names of namespaces, changes that the kernel tells and reports of visits enter, each with its
//! time; [`Order`]s and [`Lost`] filters leave. Nothing here talks to the kernel or waits. Both
//! tables are bounded, and no namespace is held open by being known.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::time::{Duration, Instant};

use super::Lost;
use crate::kernel::tc::attach::{Choice, Device, Report, State};
use crate::kernel::tc::find::{self, Found};
use crate::kernel::tc::watch::Change;
use crate::kernel::tc::{Both, Direction, Interface};

mod space;
mod status;
#[cfg(test)]
mod tests;

use space::{Entry, Space};

/// Interfaces that are known, of all namespaces.
const INTERFACES: usize = 4_096;
/// How long a namespace may have no process and no name before it is forgotten.
const ABSENCE: Duration = Duration::from_secs(10);
/// Numbers of unknown namespaces that are remembered.
const UNKNOWN: usize = 1_024;

/// A namespace that is to be visited now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Order {
    pub(super) inode: u32,
    /// Tells this namespace from a later one with the same inode.
    pub(super) serial: u64,
    pub(super) places: Vec<PathBuf>,
    pub(super) programs: Both<u32>,
    pub(super) given_up: Vec<(u32, Direction)>,
    /// How many interfaces may be known of it.
    pub(super) room: usize,
}

/// The namespaces.
#[derive(Debug)]
pub(super) struct Table {
    own: u32,
    choice: Choice,
    /// Beginnings of names of interfaces that keep no namespace alive.
    lazy: Vec<String>,
    spaces: BTreeMap<u32, Space>,
    serial: u64,
    /// Numbers that changes were heard of before the visit that tells whose they are was over.
    unknown: BTreeSet<i32>,
    lost: u64,
    is_searched: bool,
    wants_search: bool,
    has_missed: bool,
    has_forgotten: bool,
}

impl Table {
    /// A table that knows our own namespace.
    pub(super) fn new(own: u32, choice: Choice, lazy: Vec<String>, now: Instant) -> Table {
        let mut table = Table {
            own,
            choice,
            lazy,
            spaces: BTreeMap::new(),
            serial: 0,
            unknown: BTreeSet::new(),
            lost: 0,
            is_searched: false,
            wants_search: false,
            has_missed: false,
            has_forgotten: false,
        };
        let own = table.space(own, now);
        own.places.push("/proc/self/ns/net".into());
        table
    }

    /// A process was seen in a namespace.
    pub(super) fn note(&mut self, inode: u32, pid: u32, now: Instant) {
        if inode == 0 {
            return;
        }
        let space = self.space(inode, now);
        space.process = Some(pid);
        space.hear(now);
    }

    /// All namespaces that were found by a search that began at `started`.
    pub(super) fn found(&mut self, found: Vec<Found>, started: Instant, now: Instant) {
        self.is_searched = true;
        let own = self.own;
        let inodes: BTreeSet<u32> = found.iter().map(|found| found.inode).collect();
        for Found { inode, places } in found {
            let space = self.space(inode, now);
            // Ours is entered by the place that it has from the start.
            if inode != own {
                space.places = places;
            }
            space.hear(now);
        }
        let others = self.spaces.iter_mut().filter(|(inode, space)| {
            **inode != own && !inodes.contains(inode) && space.heard < started
        });
        for (_, space) in others {
            space.places.clear();
            space.process = None;
            space.absent.get_or_insert(now);
        }
    }

    /// Something happened in the namespace of this number, or in ours.
    pub(super) fn changed(&mut self, heard_in: Option<i32>, change: Change, now: Instant) {
        match change {
            Change::Missed => {
                self.wants_search = true;
                self.has_missed = true;
            }
            // Others have numbers of their own.
            Change::NamespaceGone(number) if self.is_own(heard_in) => self.ended(number),
            Change::NamespaceGone(_) => {}
            Change::Link(interface) => self.link(heard_in, &interface, now),
            Change::LinkGone(index) => {
                if let Some(space) = self.numbered(heard_in) {
                    space.entries.remove(&index);
                    // The visit may have seen it before it went.
                    if space.is_running {
                        space.stir(now);
                    }
                }
            }
        }
    }

    fn link(&mut self, heard_in: Option<i32>, interface: &Interface, now: Instant) {
        let is_wanted = self.choice.takes(interface);
        let is_full = self.count() >= INTERFACES;
        let Some(space) = self.numbered(heard_in) else {
            let number = heard_in.filter(|_| self.unknown.len() < UNKNOWN);
            self.unknown.extend(number);
            return;
        };
        if space.is_running {
            space.stir(now);
        }
        if interface.name.is_empty() {
            return;
        }
        match space.entries.get_mut(&interface.index) {
            Some(entry) => {
                entry.device.name.clone_from(&interface.name);
                if entry.is_wanted() != is_wanted {
                    space.stir(now);
                }
            }
            None if is_wanted => space.stir(now),
            None if is_full => {}
            None => {
                let mut entry = Entry::default();
                entry.device.index = interface.index;
                entry.device.name.clone_from(&interface.name);
                space.entries.insert(interface.index, entry);
            }
        }
    }

    /// Every namespace is to be looked at again.
    pub(super) fn revisit(&mut self, now: Instant) {
        for space in self.spaces.values_mut().filter(|space| space.has_places()) {
            space.schedule(now);
        }
    }

    /// What is due once a second.
    pub(super) fn expire(&mut self, now: Instant) {
        if std::mem::take(&mut self.has_missed) {
            self.revisit(now);
        }
        for space in self.spaces.values_mut() {
            space.haste = space.haste.saturating_sub(2);
        }
        let lazy = &self.lazy;
        let is_lazy = |entry: &Entry| {
            lazy.iter()
                .any(|prefix| entry.device.name.starts_with(&**prefix))
        };
        let gone = self.spaces.iter().filter(|(_, space)| {
            let is_absent = space
                .absent
                .is_some_and(|since| now.duration_since(since) >= ABSENCE);
            // The kernel tells only of the end of those that have a number.
            is_absent && (space.number.is_none() || space.entries.values().all(is_lazy))
        });
        let gone: Vec<u32> = gone.map(|(inode, _)| *inode).collect();
        for inode in gone {
            self.forget(inode);
        }
    }

    /// Whether a search is wanted before its time; asking takes the wish back.
    pub(super) fn take_wish(&mut self) -> bool {
        std::mem::take(&mut self.wants_search)
    }

    /// The namespace whose visit is due the longest. It counts as being visited from now on.
    pub(super) fn begin(&mut self, now: Instant) -> Option<Order> {
        let due = self.spaces.iter().filter_map(|(inode, space)| {
            let due = space
                .due
                .filter(|due| *due <= now && !space.is_running && space.has_places())?;
            Some((due, *inode))
        });
        let (_, inode) = due.min()?;
        self.order(inode)
    }

    /// Namespaces in which there is, or may be, a filter of ours.
    pub(super) fn with_filters(&self) -> Vec<u32> {
        let spaces = self.spaces.iter();
        spaces
            .filter(|(_, space)| space.has_filters())
            .map(|(inode, _)| *inode)
            .collect()
    }

    /// A visit to a namespace, whether it is due or not.
    pub(super) fn order(&mut self, inode: u32) -> Option<Order> {
        let all = self.count();
        let space = self.spaces.get_mut(&inode)?;
        let others = all.saturating_sub(space.entries.len());
        space.due = None;
        space.is_running = true;
        space.is_open = true;
        space.haste = space.haste.saturating_add(1);
        Some(Order {
            inode,
            serial: space.serial,
            places: space.places(),
            programs: space.programs,
            given_up: space.given_up(),
            room: INTERFACES.saturating_sub(others),
        })
    }

    /// A visit that came to nothing; the sentence says why.
    pub(super) fn failed(&mut self, inode: u32, serial: u64, sentence: String) {
        if let Some(space) = self.visited(inode, serial) {
            space.problem = sentence;
        }
    }

    /// What a visit found. Returns the filters that somebody else has removed.
    pub(super) fn settled(
        &mut self,
        inode: u32,
        serial: u64,
        report: Report,
        now: Instant,
    ) -> Vec<Lost> {
        let is_heard = report
            .number
            .is_some_and(|number| self.unknown.remove(&number));
        let Some(space) = self.visited(inode, serial) else {
            return Vec::new();
        };
        space.is_open = false;
        if report.is_gone {
            space.places.clear();
            space.process = None;
            space.is_unreachable = true;
            self.wants_search = true;
            return Vec::new();
        }
        let is_another = space.number.is_some() && space.number != report.number;
        if is_another && report.number.is_some() {
            // The inode was given to a new namespace, and the end of the old one was missed.
            space.entries.clear();
        }
        space.number = report.number.or(space.number);
        if is_heard {
            space.stir(now);
        }
        space.is_settled |= report.problem.is_empty();
        space.left_out = report.left_out;
        let mut before = std::mem::take(&mut space.entries);
        let mut lost = Vec::new();
        for device in report.devices {
            let old = before.remove(&device.index).unwrap_or_default();
            let entry = compare(&old, device, inode, &mut lost);
            space.entries.insert(entry.device.index, entry);
        }
        if !report.problem.is_empty() {
            // What could not be read is not gone for that.
            space.entries.append(&mut before);
        }
        space.problem = report.problem;
        space.note_programs();
        self.lost += lost.len() as u64;
        lost
    }

    /// Whether every namespace that can be entered was visited after a search.
    pub(super) fn is_swept(&self) -> bool {
        let mut spaces = self.spaces.values();
        self.is_searched && spaces.all(|space| space.is_settled || !space.has_places())
    }

    /// Whether filters of ours may be in a namespace that is not known any more.
    pub(super) fn has_forgotten(&self) -> bool {
        self.has_forgotten
    }

    /// Whether a namespace is known.
    pub(super) fn knows(&self, inode: u32) -> bool {
        self.spaces.contains_key(&inode)
    }

    /// The name of an interface.
    pub(super) fn device_name(&self, namespace: u32, index: u32) -> Option<&str> {
        let entry = self.spaces.get(&namespace)?.entries.get(&index)?;
        Some(&entry.device.name)
    }

    /// The namespace of an inode; a new one takes the place of the one unheard of for longest.
    fn space(&mut self, inode: u32, now: Instant) -> &mut Space {
        if !self.spaces.contains_key(&inode) && self.spaces.len() >= find::MOST {
            let own = self.own;
            let others = self.spaces.iter().filter(|(inode, _)| **inode != own);
            let oldest = others.min_by_key(|(_, space)| space.heard);
            let oldest = oldest.map(|(inode, _)| *inode);
            oldest.into_iter().for_each(|inode| self.forget(inode));
        }
        let serial = &mut self.serial;
        self.spaces.entry(inode).or_insert_with(|| {
            *serial += 1;
            Space::new(*serial, now)
        })
    }

    fn forget(&mut self, inode: u32) {
        if let Some(space) = self.spaces.remove(&inode) {
            self.has_forgotten |= space.has_filters();
        }
    }

    /// The kernel says that a namespace is gone, and with it all that was in it.
    fn ended(&mut self, number: i32) {
        let own = self.own;
        self.spaces
            .retain(|inode, space| *inode == own || space.number != Some(number));
        self.unknown.remove(&number);
    }

    fn visited(&mut self, inode: u32, serial: u64) -> Option<&mut Space> {
        let space = self.spaces.get_mut(&inode);
        let space = space.filter(|space| space.serial == serial)?;
        space.is_running = false;
        Some(space)
    }

    fn is_own(&self, heard_in: Option<i32>) -> bool {
        let own = self.spaces.get(&self.own).and_then(|space| space.number);
        heard_in.is_none() || heard_in == own
    }

    /// The namespace that has a number; ours without one.
    fn numbered(&mut self, number: Option<i32>) -> Option<&mut Space> {
        if number.is_none() {
            return self.spaces.get_mut(&self.own);
        }
        self.spaces
            .values_mut()
            .find(|space| space.number == number)
    }

    /// Interfaces of all namespaces.
    fn count(&self) -> usize {
        self.spaces.values().map(|space| space.entries.len()).sum()
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
                });
            }
            _ => {}
        }
    }
    Entry { device, losses }
}
