//! What is known of the network namespaces and their interfaces, and who is to be visited when.
//!
//! Names of namespaces, changes that the kernel tells and reports of visits enter, each with its
//! time; [`Order`]s and [`Lost`] filters leave. Nothing here talks to the kernel or waits. Both
//! tables are bounded, and no namespace is held open by being known.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::time::{Duration, Instant};

use crate::kernel::tc::attach::Choice;
use crate::kernel::tc::find::{self, Found, Search};
use crate::kernel::tc::watch::Change;
use crate::kernel::tc::{Both, Direction, Interface};

mod settle;
mod space;
mod status;
#[cfg(test)]
mod tests;

use space::{longer, Entry, Space};

/// Interfaces that are known, of all namespaces.
const INTERFACES: usize = 4_096;
/// Those among them that are kept for our own namespace.
const OWN_INTERFACES: usize = 1_024;
/// Of each other namespace: however many the others have, and however few.
const FEW_INTERFACES: usize = 4;
const MANY_INTERFACES: usize = 256;
/// How long a namespace may have no process and no name before it is forgotten.
const ABSENCE: Duration = Duration::from_secs(10);
/// Shortest time between two looks at everything because something was missed. Users can make the
/// kernel drop messages at will.
const MISSED_PAUSE: Duration = Duration::from_secs(5);
/// Numbers of unknown namespaces that are remembered.
const UNKNOWN: usize = 1_024;
/// A visit is over in this time.
const VISIT: Duration = Duration::from_secs(10);

/// A namespace that is to be visited now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Order {
    pub(super) inode: u32,
    /// Tells this namespace from a later one with the same inode.
    pub(super) serial: u64,
    pub(super) places: Vec<PathBuf>,
    pub(super) programs: Both<u32>,
    pub(super) given_up: Vec<(u32, Direction)>,
    /// Interfaces that are new.
    pub(super) fresh: Vec<u32>,
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
    /// Their inodes by the numbers that the kernel calls them by.
    numbers: BTreeMap<i32, u32>,
    serial: u64,
    /// Numbers that changes were heard of before the visit that tells whose they are was over.
    unknown: BTreeSet<i32>,
    /// Numbers whose end was heard of before such a visit was over, and when.
    ended: BTreeMap<i32, Instant>,
    /// Inodes of which a process was seen since the kernel was last listened to.
    noted: BTreeSet<u32>,
    lost: u64,
    /// The last serial number when the first whole search was over.
    searched: Option<u64>,
    wants_search: bool,
    has_missed: bool,
    /// Until when nothing is done about what is missed, and how long that pause is.
    missed: (Instant, Duration),
    has_forgotten: bool,
    /// Whether a namespace was forgotten in which filters of dead runs may be.
    has_skipped: bool,
    /// Whether a namespace that is not settled comes next.
    takes_new: bool,
}

impl Table {
    /// A table that knows our own namespace.
    pub(super) fn new(own: u32, choice: Choice, lazy: Vec<String>, now: Instant) -> Table {
        let mut table = Table {
            own,
            choice,
            lazy,
            spaces: BTreeMap::new(),
            numbers: BTreeMap::new(),
            serial: 0,
            unknown: BTreeSet::new(),
            ended: BTreeMap::new(),
            noted: BTreeSet::new(),
            lost: 0,
            searched: None,
            wants_search: false,
            has_missed: false,
            missed: (now, Duration::ZERO),
            has_forgotten: false,
            has_skipped: false,
            takes_new: false,
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
        self.noted.insert(inode);
    }

    /// All that the kernel had to tell was told.
    pub(super) fn heard(&mut self) {
        self.noted.clear();
    }

    /// What a search found that began at `started`.
    pub(super) fn found(&mut self, search: Search, started: Instant, now: Instant) {
        let own = self.own;
        let inodes: BTreeSet<u32> = search.found.iter().map(|found| found.inode).collect();
        for Found { inode, places } in search.found {
            let space = self.space(inode, now);
            // Ours is entered by the place that it has from the start.
            if inode != own {
                space.places = places;
            }
            // What it saw first may have ended since.
            space.hear(started);
        }
        let others = self.spaces.iter_mut().filter(|(inode, space)| {
            **inode != own && !inodes.contains(inode) && space.heard < started
        });
        for (_, space) in others {
            space.places.clear();
            space.process = None;
            space.absent.get_or_insert(now);
        }
        if search.is_whole {
            self.searched.get_or_insert(self.serial);
        }
    }

    /// Something happened in the namespace of this number, or in ours.
    pub(super) fn changed(&mut self, heard_in: Option<i32>, change: Change, now: Instant) {
        match change {
            Change::Missed => {
                self.wants_search |= now >= self.missed.0;
                self.has_missed = true;
            }
            // Others have numbers of their own.
            Change::NamespaceGone(number) if self.is_own(heard_in) => self.ended(number, now),
            Change::NamespaceGone(_) => {}
            Change::Link(interface) => self.link(heard_in, &interface, now),
            Change::LinkGone(index) => {
                if let Some(space) = self.numbered(heard_in) {
                    space.entries.remove(&index);
                    space.fresh.remove(&index);
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
            None if is_wanted => space.meet(interface.index, now),
            None => {}
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
        self.make_up(now);
        self.ended
            .retain(|_, ended| now.duration_since(*ended) < VISIT);
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
            let is_told = space.number.is_some() && space.doubtful.is_none();
            is_absent && (!is_told || space.entries.values().all(is_lazy))
        });
        let gone: Vec<u32> = gone.map(|(inode, _)| *inode).collect();
        for inode in gone {
            self.forget(inode);
        }
    }

    /// Looks at everything again when something was missed, but not all the time.
    fn make_up(&mut self, now: Instant) {
        let (until, pause) = self.missed;
        if !self.has_missed {
            if now >= until + pause {
                self.missed.1 = Duration::ZERO;
            }
        } else if now >= until {
            let pause = longer(pause, MISSED_PAUSE);
            self.missed = (now + pause, pause);
            self.has_missed = false;
            self.wants_search = true;
            self.revisit(now);
            for space in self.spaces.values_mut() {
                space.doubtful = Some(now);
            }
        }
    }

    /// Whether a search is wanted before its time; asking takes the wish back.
    pub(super) fn take_wish(&mut self) -> bool {
        std::mem::take(&mut self.wants_search)
    }

    /// The namespace whose visit is due the longest, in turn of those that are settled and of those
    /// that are not: a flood of new ones does not hold up the others, nor do they it. It counts as
    /// being visited from now on.
    pub(super) fn begin(&mut self, now: Instant) -> Option<Order> {
        let due = |is_new: bool| {
            let spaces = self.spaces.iter().filter(|(_, space)| {
                space.is_settled != is_new && !space.is_running && space.has_places()
            });
            let due = spaces.filter_map(|(inode, space)| Some((space.due?, *inode)));
            let (_, inode) = due.filter(|(due, _)| *due <= now).min()?;
            Some((inode, is_new))
        };
        let (inode, is_new) = due(self.takes_new).or_else(|| due(!self.takes_new))?;
        self.takes_new = !is_new;
        let mut order = self.order(inode)?;
        order.fresh = self.spaces.get_mut(&inode)?.fresh(now);
        Some(order)
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
        let (all, is_own) = (self.count(), inode == self.own);
        let space = self.spaces.get_mut(&inode)?;
        let others = all.saturating_sub(space.entries.len());
        space.due = None;
        space.is_running = true;
        space.was_open = std::mem::replace(&mut space.is_open, true);
        space.haste = space.haste.saturating_add(1);
        Some(Order {
            inode,
            serial: space.serial,
            places: space.places(),
            programs: space.programs,
            given_up: space.given_up(),
            fresh: Vec::new(),
            // What has filters is not forgotten because others came.
            room: room(others, is_own).max(space.entries.len()),
        })
    }

    /// Whether nothing is left of dead runs: every namespace that there was when the first whole
    /// search was over has been seen to, or is gone.
    pub(super) fn is_swept(&self) -> bool {
        let mut spaces = self.spaces.values();
        self.searched.is_some_and(|last| {
            !self.has_skipped && spaces.all(|space| space.is_settled || space.serial > last)
        })
    }

    /// How many filters somebody else has removed.
    pub(super) fn lost(&self) -> u64 {
        self.lost
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

    /// The namespace of an inode; a new one takes the place of the one that is worth least.
    fn space(&mut self, inode: u32, now: Instant) -> &mut Space {
        if !self.spaces.contains_key(&inode) && self.spaces.len() >= find::MOST {
            let own = self.own;
            let others = self.spaces.iter().filter(|(inode, _)| **inode != own);
            let least = others.min_by_key(|(_, space)| space.worth());
            let least = least.map(|(inode, space)| {
                let is_old = self.searched.is_none_or(|last| space.serial <= last);
                (*inode, is_old && !space.is_settled)
            });
            if let Some((inode, is_skipped)) = least {
                self.has_skipped |= is_skipped;
                self.forget(inode);
            }
        }
        let serial = &mut self.serial;
        self.spaces.entry(inode).or_insert_with(|| {
            *serial += 1;
            Space::new(*serial, now)
        })
    }

    fn forget(&mut self, inode: u32) {
        let space = self.remove(inode);
        self.has_forgotten |= space.is_some_and(|space| space.has_filters());
    }

    fn remove(&mut self, inode: u32) -> Option<Space> {
        self.numbers.retain(|_, numbered| *numbered != inode);
        self.spaces.remove(&inode)
    }

    /// The kernel says that a namespace is gone, and with it all that was in it.
    fn ended(&mut self, number: i32, now: Instant) {
        self.unknown.remove(&number);
        let Some(inode) = self.numbers.get(&number).copied() else {
            // A visit may be on its way with that number.
            if self.spaces.values().any(|space| space.is_running) {
                match self.ended.len() < UNKNOWN {
                    true => drop(self.ended.insert(number, now)),
                    false => self.has_missed = true,
                }
            }
            return;
        };
        if inode == self.own {
            return;
        }
        let ended = self.remove(inode);
        // A process seen since then may be in another namespace that got its inode.
        if self.noted.contains(&inode) {
            self.space(inode, now).process = ended.and_then(|space| space.process);
        }
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
        let inode = match number {
            Some(number) => self.numbers.get(&number)?,
            None => &self.own,
        };
        self.spaces.get_mut(inode)
    }

    /// Interfaces of all namespaces.
    fn count(&self) -> usize {
        self.spaces.values().map(|space| space.entries.len()).sum()
    }
}

/// How many interfaces a namespace may have where those of the others are so many.
fn room(others: usize, is_own: bool) -> usize {
    let free = INTERFACES.saturating_sub(others);
    match is_own {
        true => free.max(OWN_INTERFACES),
        false => free
            .saturating_sub(OWN_INTERFACES)
            .clamp(FEW_INTERFACES, MANY_INTERFACES),
    }
}
