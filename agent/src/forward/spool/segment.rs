//! One segment file: its name, and reading records out of it.
//!
//! An open file and a place in it enter, checked records leave through a callback in the order of
//! their numbers. Reading ends at the first byte that is not as it was written.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;

use super::format::{self, Entry, Parsed, HEADER, LONGEST, NUMBER_LIMIT, OVERHEAD};

/// Bytes of a file that are looked at; more than a segment with the longest record has.
const LONGEST_FILE: u64 = 2 * (LONGEST + HEADER + OVERHEAD) as u64;
/// Bytes that are read at once.
const CHUNK: usize = 64 * 1024;
/// What a file takes of the disk is a multiple of this, in bytes.
const BLOCK: u64 = 4096;

/// What is known of a segment file. It holds at least one record.
#[derive(Clone, Copy, Debug)]
pub struct Segment {
    /// Number of its first record.
    pub first: u64,
    /// Number after its last record.
    pub next: u64,
    /// First number that the segments before it do not account for.
    pub follows: u64,
    /// Bytes up to the end of its last record.
    pub length: u64,
    /// Time of its first record, in ms.
    pub oldest: u64,
    /// Latest time of a record, in ms.
    pub newest: u64,
    /// It may not be on the disk itself yet.
    pub is_dirty: bool,
    /// Nothing is appended to it any more.
    pub is_sealed: bool,
}

/// A place where a record begins, or would begin.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    /// The segment, by its first number.
    pub segment: u64,
    /// Number of the record.
    pub number: u64,
    /// Its first byte in the file.
    pub offset: u64,
}

/// Why reading ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// Everything was read.
    Whole,
    /// The callback did not want the next record.
    Stopped,
    /// There is no valid record at the place that was reached.
    Damaged,
}

/// What was found in a file.
#[derive(Debug)]
pub struct Loaded {
    /// The valid part; `None` when not even one record is.
    pub segment: Option<Segment>,
    /// Bytes after it.
    pub damaged: u64,
}

impl Segment {
    /// The place of the first record.
    pub fn start(&self) -> Place {
        Place {
            segment: self.first,
            number: self.first,
            offset: HEADER as u64,
        }
    }

    /// The place after the last record.
    pub fn end(&self) -> Place {
        Place {
            segment: self.first,
            number: self.next,
            offset: self.length,
        }
    }

    /// What it takes of the disk, in bytes.
    pub fn size(&self) -> u64 {
        self.length.next_multiple_of(BLOCK)
    }

    /// Reads a file that was there before us.
    pub fn load(file: &File, first: u64) -> io::Result<Loaded> {
        let found = file.metadata()?.len();
        let mut head = [0; HEADER];
        let header = match file.read_exact_at(&mut head, 0) {
            Ok(()) => format::read_header(&head).filter(|header| header.first == first),
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => None,
            Err(error) => return Err(error),
        };
        let Some(header) = header else {
            return Ok(Loaded {
                segment: None,
                damaged: found,
            });
        };
        let mut segment = Segment::new(first, header.follows);
        let mut times: Option<(u64, u64)> = None;
        let limit = found.min(LONGEST_FILE);
        let (end, _) = scan(file, segment.start(), limit, &mut |entry| {
            let (oldest, newest) = times.unwrap_or((entry.time, entry.time));
            times = Some((oldest, newest.max(entry.time)));
            true
        })?;
        (segment.next, segment.length) = (end.number, end.offset);
        let (oldest, newest) = times.unwrap_or_default();
        (segment.oldest, segment.newest) = (oldest, newest);
        let is_empty = segment.next == first;
        Ok(Loaded {
            segment: (!is_empty).then_some(segment),
            damaged: if is_empty { found } else { found - end.offset },
        })
    }

    /// A segment without records.
    pub fn new(first: u64, follows: u64) -> Segment {
        Segment {
            first,
            next: first,
            follows,
            length: HEADER as u64,
            oldest: 0,
            newest: 0,
            is_dirty: false,
            is_sealed: false,
        }
    }
}

/// The file name of a segment.
pub fn name(first: u64) -> String {
    format!("{first:016x}.spool")
}

/// The first number that a file name tells; `None` for other names.
pub fn number_in(name: &str) -> Option<u64> {
    let digits = name.strip_suffix(".spool")?;
    let number = u64::from_str_radix(digits, 16).ok()?;
    (self::name(number) == name && number < NUMBER_LIMIT).then_some(number)
}

/// Hands the records from a place up to the byte `limit` to `take`, until it answers `false`, and
/// returns the place that was reached.
pub fn scan(
    file: &File,
    start: Place,
    limit: u64,
    take: &mut dyn FnMut(&Entry<'_>) -> bool,
) -> io::Result<(Place, End)> {
    let mut place = start;
    let mut buffer = Vec::new();
    let mut wanted = CHUNK;
    while place.offset < limit {
        let left = limit - place.offset;
        let size = usize::try_from(left).map_or(wanted, |left| wanted.min(left));
        buffer.resize(size, 0);
        match file.read_exact_at(&mut buffer, place.offset) {
            Ok(()) => {}
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => {
                return Ok((place, End::Damaged))
            }
            Err(error) => return Err(error),
        }
        match scan_chunk(&buffer, &mut place, take) {
            Chunk::More(needed) if needed as u64 <= limit - place.offset => {
                wanted = needed.max(CHUNK);
            }
            Chunk::More(_) if place.offset == limit => {}
            Chunk::More(_) => return Ok((place, End::Damaged)),
            Chunk::Ended(end) => return Ok((place, end)),
        }
    }
    Ok((place, End::Whole))
}

enum Chunk {
    /// The record at the place reached needs so many bytes.
    More(usize),
    Ended(End),
}

fn scan_chunk(
    mut bytes: &[u8],
    place: &mut Place,
    take: &mut dyn FnMut(&Entry<'_>) -> bool,
) -> Chunk {
    loop {
        match format::read_record(bytes, place.number) {
            Parsed::Whole(entry) => {
                if !take(&entry) {
                    return Chunk::Ended(End::Stopped);
                }
                place.number += 1;
                place.offset += entry.size();
                let size = OVERHEAD + entry.payload.len();
                bytes = bytes.get(size..).unwrap_or_default();
            }
            Parsed::Short(needed) => return Chunk::More(needed),
            Parsed::Damaged => return Chunk::Ended(End::Damaged),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_names_that_we_give_are_ours() {
        assert_eq!(number_in(&name(0xab)), Some(0xab));
        for name in [
            "00000000000000AB.spool",
            "ab.spool",
            "+0000000000000ab.spool",
            "ffffffffffffffff.spool",
            "00000000000000ab.spool.old",
        ] {
            assert_eq!(number_in(name), None, "{name}");
        }
    }
}
