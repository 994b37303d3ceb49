//! The part of the spool that is on disk: segments in order, the last of them written to.
//!
//! Records enter with [`Disk::write`], one write(2) each, and leave with [`Disk::scan`]. A file
//! that is damaged is cut behind its last valid record. Who still needs a segment is decided
//! above.

use std::collections::VecDeque;
use std::fs::File;
use std::io;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::Path;

use sha2::{Digest, Sha256};

use super::directory::{Directory, Error};
use super::format::{self, Entry, Header, HEADER, OVERHEAD};
use super::segment::{self, End, Loaded, Place, Segment};
use super::Options;

/// Bytes of a segment at most, but for one that holds a single longer record.
const LONGEST_SEGMENT: u64 = 1024 * 1024;
/// Segments at least that the spool is divided into, by size and by age: as the oldest goes as a
/// whole, this is how finely the bounds are kept.
const PARTS: u32 = 16;
/// Bytes of a segment at least.
const SHORTEST_SEGMENT: u64 = 4096;
/// Segments that are synced in one call, so that a slow disk stops nobody for long.
const SYNCED_AT_ONCE: usize = 4;
/// Room for building a record that is kept between two, in bytes.
const KEPT_ROOM: usize = 256 * 1024;
/// Bytes of a cursor file at most.
const LONGEST_CURSOR: u64 = 4096;
/// The end of the names of cursor files.
const CURSOR: &str = ".cursor";

/// A damaged file.
#[derive(Debug)]
pub struct Damage {
    /// What happened and what was done, as a sentence.
    pub notice: String,
    /// Bytes that are gone.
    pub bytes: u64,
}

/// What a cursor file says.
#[derive(Debug, PartialEq, Eq)]
pub enum Cursor {
    /// There is none.
    Missing,
    /// It is not as it was written, or cannot be read.
    Damaged,
    /// The number of the first record that was not accepted.
    At(u64),
}

/// Segments on disk.
#[derive(Debug)]
pub struct Disk {
    directory: Directory,
    segments: VecDeque<Segment>,
    /// The last segment, once something was written to it.
    active: Option<File>,
    buffer: Vec<u8>,
    segment_bytes: u64,
    segment_age: u64,
    has_new_names: bool,
    /// Bytes that still fit, for tests of a full disk.
    #[cfg(test)]
    pub room: Option<usize>,
}

/// A disk with what was found on it.
#[derive(Debug)]
pub struct Opened {
    /// The segments that are usable.
    pub disk: Disk,
    /// A number above those of all records that were found.
    pub next: u64,
    /// What was cut.
    pub damages: Vec<Damage>,
    /// Cursor files that are there.
    pub cursors: Vec<String>,
}

impl Disk {
    /// Locks the directory and reads what a process before us left.
    pub fn open(path: &Path, options: &Options) -> Result<Opened, Error> {
        let directory = Directory::open(path)?;
        let names = directory.names()?;
        let parts = u64::from(PARTS);
        let mut opened = Opened {
            disk: Disk {
                directory,
                segments: VecDeque::new(),
                active: None,
                buffer: Vec::new(),
                segment_bytes: (options.max_bytes / parts).clamp(SHORTEST_SEGMENT, LONGEST_SEGMENT),
                segment_age: milliseconds(options.max_age / PARTS),
                has_new_names: false,
                #[cfg(test)]
                room: None,
            },
            next: 1,
            damages: Vec::new(),
            cursors: Vec::new(),
        };
        let mut numbers: Vec<u64> = names
            .iter()
            .filter_map(|name| segment::number_in(name))
            .collect();
        numbers.sort_unstable();
        for number in numbers {
            opened.load(number);
        }
        opened.cursors = names;
        opened.cursors.retain(|name| name.ends_with(CURSOR));
        Ok(opened)
    }

    /// The directory.
    pub fn directory(&self) -> &Directory {
        &self.directory
    }

    /// All segments, oldest first.
    pub fn segments(&self) -> &VecDeque<Segment> {
        &self.segments
    }

    /// The first segment that ends behind this number.
    pub fn segment_of(&self, number: u64) -> Option<&Segment> {
        let index = self.index_of(number);
        self.segments.get(index)
    }

    fn index_of(&self, number: u64) -> usize {
        self.segments
            .partition_point(|segment| segment.next <= number)
    }

    /// What the segments take of the disk, in bytes.
    pub fn size(&self) -> u64 {
        self.segments.iter().map(Segment::size).sum()
    }

    /// How many bytes more the spool may take when this record is written; 0 while it fits into
    /// the segment that is there.
    pub fn growth(&self, entry: &Entry<'_>) -> u64 {
        match self.fits(entry) {
            true => 0,
            false => self
                .segment_bytes
                .max((HEADER as u64 + entry.size()).next_multiple_of(SHORTEST_SEGMENT)),
        }
    }

    fn fits(&self, entry: &Entry<'_>) -> bool {
        self.segments.back().is_some_and(|last| {
            !last.is_sealed
                && last.next == entry.number
                && last.length + entry.size() <= self.segment_bytes
                && entry.time.saturating_sub(last.oldest) <= self.segment_age
        })
    }

    /// Writes a record behind all others. `follows` is the first number that is not accounted
    /// for. What was written of it when the disk is full is cut off.
    pub fn write(&mut self, entry: &Entry<'_>, follows: u64) -> Result<(), Error> {
        self.buffer.clear();
        self.buffer.shrink_to(KEPT_ROOM);
        match self.fits(entry) {
            true => self.extend(entry),
            false => self.begin(entry, follows),
        }
    }

    fn extend(&mut self, entry: &Entry<'_>) -> Result<(), Error> {
        let Some(last) = self.segments.back() else {
            return Ok(());
        };
        let (length, name) = (last.length, last.first);
        if self.active.is_none() {
            let file = self.directory.open_writable(&segment::name(name))?;
            self.active = Some(file);
        }
        format::write_record(&mut self.buffer, entry);
        let written = match &self.active {
            Some(file) => self.write_at(file, length),
            None => Ok(()),
        };
        #[cfg(test)]
        self.use_room();
        if let Err(error) = written {
            let cut = self.active.take().map(|file| file.set_len(length));
            if let (Some(Err(_)), Some(last)) = (cut, self.segments.back_mut()) {
                last.is_sealed = true;
            }
            return Err(self.directory.error(&segment::name(name), error));
        }
        self.count(entry);
        Ok(())
    }

    fn begin(&mut self, entry: &Entry<'_>, follows: u64) -> Result<(), Error> {
        self.active = None;
        let name = segment::name(entry.number);
        let file = self.directory.create(&name)?;
        let header = Header {
            first: entry.number,
            follows: follows.min(entry.number),
        };
        format::write_header(&mut self.buffer, header);
        format::write_record(&mut self.buffer, entry);
        let written = self.write_at(&file, 0);
        #[cfg(test)]
        self.use_room();
        if let Err(error) = written {
            let _ = self.directory.remove(&name);
            return Err(self.directory.error(&name, error));
        }
        let mut segment = Segment::new(entry.number, header.follows);
        (segment.oldest, segment.newest) = (entry.time, entry.time);
        self.segments.push_back(segment);
        self.active = Some(file);
        self.has_new_names = true;
        self.count(entry);
        Ok(())
    }

    fn count(&mut self, entry: &Entry<'_>) {
        if let Some(last) = self.segments.back_mut() {
            last.next = entry.number + 1;
            last.length += entry.size();
            last.newest = last.newest.max(entry.time);
            last.is_dirty = true;
        }
    }

    fn write_at(&self, file: &File, offset: u64) -> io::Result<()> {
        #[cfg(test)]
        if let Some(room) = self.room.filter(|room| *room < self.buffer.len()) {
            file.write_all_at(&self.buffer[..room], offset)?;
            return Err(io::Error::from_raw_os_error(libc::ENOSPC));
        }
        file.write_all_at(&self.buffer, offset)
    }

    #[cfg(test)]
    fn use_room(&mut self) {
        self.room = self.room.map(|room| room.saturating_sub(self.buffer.len()));
    }

    /// Hands the records from a place to the end of its segment to `take`.
    pub fn scan(
        &self,
        place: Place,
        take: &mut dyn FnMut(&Entry<'_>) -> bool,
    ) -> Result<(Place, End), Error> {
        let segment = self.segment_of(place.segment);
        let Some(segment) = segment.filter(|found| found.first == place.segment) else {
            return Ok((place, End::Damaged));
        };
        let next = segment.next;
        let name = segment::name(segment.first);
        let file = self.directory.open_file(&name)?;
        let (reached, end) = segment::scan(&file, place, segment.length, &mut |entry| {
            entry.number < next && take(entry)
        })
        .map_err(|error| self.directory.error(&name, error))?;
        // Valid records, but not those that were written: the file was replaced.
        let is_short = end == End::Whole && reached.number != next;
        Ok((reached, if is_short { End::Damaged } else { end }))
    }

    /// The time of the record at a place, in ms; `None` when it cannot be read.
    pub fn time_at(&self, place: Place) -> Option<u64> {
        let file = self
            .directory
            .open_file(&segment::name(place.segment))
            .ok()?;
        let mut head = [0; OVERHEAD];
        file.read_exact_at(&mut head, place.offset).ok()?;
        format::read_time(&head)
    }

    /// The beginning of the segment that is written to, when somebody removed its file.
    pub fn vanished(&self) -> Option<Place> {
        let found = self.active.as_ref()?.metadata().ok()?;
        let last = self.segments.back()?;
        (found.nlink() == 0).then(|| last.start())
    }

    /// Gives up everything of a segment from this place on.
    pub fn cut(&mut self, place: Place) -> Option<Damage> {
        let index = self.index_of(place.number);
        let is_last = index + 1 == self.segments.len();
        let segment = self.segments.get_mut(index)?;
        if segment.first != place.segment {
            return None;
        }
        let bytes = segment.length.saturating_sub(place.offset);
        (segment.next, segment.length) = (place.number, place.offset);
        segment.is_sealed = true;
        let is_empty = segment.next <= segment.first;
        if is_last {
            self.active = None;
        }
        let damage = self.cut_file(place, is_empty, bytes);
        if is_empty {
            self.segments.remove(index);
        }
        Some(damage)
    }

    /// Cuts a file behind its last valid record, or removes it when there is none.
    fn cut_file(&self, place: Place, is_empty: bool, bytes: u64) -> Damage {
        let name = segment::name(place.segment);
        let result = match is_empty {
            true => self.directory.remove(&name),
            false => self.directory.open_writable(&name).and_then(|file| {
                file.set_len(place.offset)
                    .map_err(|error| self.directory.error(&name, error))
            }),
        };
        let done = match (result, is_empty) {
            (Ok(()), true) => "it was removed".to_owned(),
            (Ok(()), false) => "they were cut off".to_owned(),
            (Err(error), _) => format!("they are skipped ({error})"),
        };
        let path = self.directory.path().join(name);
        Damage {
            notice: format!(
                "the spool file {} is damaged: {bytes} bytes from byte {} on cannot be used; {done}",
                path.display(),
                if is_empty { 0 } else { place.offset },
            ),
            bytes,
        }
    }

    /// Removes the oldest segment.
    pub fn remove_oldest(&mut self) -> Option<Segment> {
        let segment = self.segments.pop_front()?;
        if self.segments.is_empty() {
            self.active = None;
        }
        if let Err(error) = self.directory.remove(&segment::name(segment.first)) {
            log::debug!("{error}");
        }
        Some(segment)
    }

    /// Waits until what was written is on the disk itself; much of it in more calls than one.
    pub fn sync(&mut self) -> Result<(), Error> {
        let last = self.segments.len().saturating_sub(1);
        let dirty = self.segments.iter_mut().enumerate();
        let dirty = dirty.filter(|(_, segment)| segment.is_dirty);
        for (index, segment) in dirty.take(SYNCED_AT_ONCE) {
            let name = segment::name(segment.first);
            let synced = match &self.active {
                Some(file) if index == last => file.sync_data(),
                _ => match self.directory.open_file(&name) {
                    Ok(file) => file.sync_data(),
                    Err(error) if error.is_passing() => continue,
                    // Whoever reads it will say so.
                    Err(_) => Ok(()),
                },
            };
            // A second try would find the pages marked clean, so there is none.
            segment.is_dirty = false;
            synced.map_err(|error| self.directory.error(&name, error))?;
        }
        if std::mem::take(&mut self.has_new_names) {
            self.directory.sync()?;
        }
        Ok(())
    }

    /// What the cursor file of this consumer says.
    pub fn cursor(&self, consumer: &str) -> Cursor {
        match self.directory.read(&cursor_name(consumer), LONGEST_CURSOR) {
            Ok(None) => Cursor::Missing,
            Ok(Some(bytes)) => {
                format::read_cursor(&bytes, consumer).map_or(Cursor::Damaged, Cursor::At)
            }
            Err(_) => Cursor::Damaged,
        }
    }

    /// Writes the cursor file of this consumer.
    pub fn save_cursor(&mut self, consumer: &str, number: u64, sync: bool) -> Result<(), Error> {
        #[cfg(test)]
        if self.room == Some(0) {
            let full = io::Error::from_raw_os_error(libc::ENOSPC);
            return Err(self.directory.error(&cursor_name(consumer), full));
        }
        let bytes = format::cursor(consumer, number);
        self.directory
            .replace(&cursor_name(consumer), &bytes, sync)?;
        self.has_new_names |= sync;
        Ok(())
    }
}

impl Opened {
    fn load(&mut self, first: u64) {
        let disk = &mut self.disk;
        let name = segment::name(first);
        if first < self.next && !disk.segments.is_empty() {
            let _ = disk.directory.remove(&name);
            let path = disk.directory.path().join(name);
            self.damages.push(Damage {
                notice: format!(
                    "the spool file {} was removed, because another has the same records",
                    path.display()
                ),
                bytes: 0,
            });
            return;
        }
        self.next = self.next.max(first);
        let file = disk.directory.open_file(&name);
        let loaded = file.and_then(|file| {
            Segment::load(&file, first).map_err(|error| disk.directory.error(&name, error))
        });
        match loaded {
            Ok(Loaded {
                mut segment,
                damaged,
            }) => {
                let end = segment.map_or(Segment::new(first, first).start(), |found| found.end());
                if damaged > 0 || segment.is_none() {
                    let damage = disk.cut_file(end, segment.is_none(), damaged);
                    self.damages.extend((damaged > 0).then_some(damage));
                }
                if let Some(segment) = &mut segment {
                    segment.is_sealed = damaged > 0;
                }
                self.next = self.next.max(end.number);
                disk.segments.extend(segment);
            }
            Err(error) => self.damages.push(Damage {
                notice: format!("a spool file is left out: {error}"),
                bytes: 0,
            }),
        }
    }
}

/// Consumers are called as people like, so their names do not serve as file names.
pub fn cursor_name(consumer: &str) -> String {
    let hash = Sha256::digest(consumer.as_bytes());
    let digits: String = hash
        .iter()
        .take(8)
        .map(|byte| format!("{byte:02x}"))
        .collect();
    format!("{digits}{CURSOR}")
}

fn milliseconds(duration: std::time::Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
