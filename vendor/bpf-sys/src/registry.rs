//! The table of the maps that were made in this process: name to descriptor.
//!
//! redbpf makes maps and keeps their descriptors private; the agent's loader needs them to patch the
//! programs that redbpf cannot load. Every map made through this crate enters the table with its full
//! name. The table owns no descriptor: an answer is checked against what the kernel says now, so
//! that a number that was closed and given to something else is never handed out.

use std::os::fd::RawFd;
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::map::{read_map_info, MapInfo};

static TABLE: Mutex<Table> = Mutex::new(Table {
    maps: Vec::new(),
    unfilled: Vec::new(),
});

/// What is known of one map. `info` is `None` where the kernel (before 4.13) does not tell.
#[derive(Clone, Debug)]
struct Entry {
    name: String,
    fd: RawFd,
    info: Option<MapInfo>,
}

/// Maps by name, and the `.rodata` maps that are not filled yet.
#[derive(Debug, Default)]
struct Table {
    maps: Vec<Entry>,
    unfilled: Vec<RawFd>,
}

impl Table {
    fn insert(&mut self, entry: Entry) {
        // A number that comes back from the kernel was closed before: older entries of it are dead.
        self.maps
            .retain(|old| old.name != entry.name && old.fd != entry.fd);
        self.unfilled.retain(|fd| *fd != entry.fd);
        if entry.name.starts_with(".rodata") {
            self.unfilled.push(entry.fd);
        }
        self.maps.push(entry);
    }

    fn find(&self, name: &str) -> Option<&Entry> {
        self.maps.iter().find(|entry| entry.name == name)
    }

    fn take_unfilled(&mut self, fd: RawFd) -> bool {
        let before = self.unfilled.len();
        self.unfilled.retain(|other| *other != fd);
        self.unfilled.len() != before
    }
}

fn table() -> MutexGuard<'static, Table> {
    TABLE.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Descriptor of the map made last under `name`, the full name, not the kernel's 15 bytes.
///
/// `None` when no such map was made, or when its descriptor was closed since. The number belongs to
/// whoever made the map (redbpf's `Map` closes it on drop); to keep the map, take a
/// [`MapHandle::named`](crate::MapHandle::named), which has a descriptor of its own.
pub fn map_fd(name: &str) -> Option<RawFd> {
    let entry = table().find(name).cloned()?;
    match entry.info {
        Some(known) => match read_map_info(entry.fd) {
            Ok(now) if now == known => Some(entry.fd),
            _ => None,
        },
        None => Some(entry.fd),
    }
}

/// Forgets every map. The maps themselves stay.
pub fn forget_maps() {
    let mut table = table();
    table.maps.clear();
    table.unfilled.clear();
}

/// Enters a map that was just made.
pub(crate) fn record_map(name: &str, fd: RawFd) {
    let info = read_map_info(fd).ok();
    table().insert(Entry {
        name: name.to_owned(),
        fd,
        info,
    });
}

/// True once per `.rodata` map: at the first attempt to fill it.
pub(crate) fn take_unfilled_rodata(fd: RawFd) -> bool {
    table().take_unfilled(fd)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(name: &str, fd: RawFd) -> Entry {
        Entry {
            name: name.to_owned(),
            fd,
            info: None,
        }
    }

    #[test]
    fn the_last_map_of_a_name_wins() {
        let mut table = Table::default();
        table.insert(entry("events", 3));
        table.insert(entry("events", 7));
        assert_eq!(table.find("events").map(|found| found.fd), Some(7));
        assert_eq!(table.maps.len(), 1);
        assert!(table.find("event").is_none());
    }

    #[test]
    fn a_reused_number_drops_the_older_entry() {
        let mut table = Table::default();
        table.insert(entry("old", 3));
        table.insert(entry("new", 3));
        assert!(table.find("old").is_none());
    }

    #[test]
    fn only_rodata_waits_to_be_filled_and_only_once() {
        let mut table = Table::default();
        table.insert(entry(".data", 3));
        table.insert(entry(".rodata", 4));
        table.insert(entry(".rodata.cst16", 5));
        assert!(!table.take_unfilled(3));
        assert!(table.take_unfilled(4));
        assert!(!table.take_unfilled(4));
        assert!(table.take_unfilled(5));
    }

    #[test]
    fn closed_descriptors_are_not_handed_out() {
        let known = MapInfo {
            kind: 1,
            id: u32::MAX,
            key_size: 4,
            value_size: 4,
            max_entries: 1,
            flags: 0,
            name: String::new(),
        };
        table().insert(Entry {
            info: Some(known),
            ..entry("closed descriptor test", 1_000_000)
        });
        assert_eq!(map_fd("closed descriptor test"), None);
    }
}
