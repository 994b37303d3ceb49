//! The bytes of segments, records and cursors.
//!
//! Bytes enter and checked values leave, or the other way round; no file is opened here. All
//! numbers are little endian, and every checksum is a CRC-32 over all other bytes of its item:
//!
//! ```text
//! segment  magic[8] "wpspool\1", u64 first, u64 follows, u32 crc, then records
//! record   u32 length of the payload, u32 crc, u64 number, u64 time in ms, payload
//! cursor   magic[8] "wpcursr\1", u64 number, u32 crc, name of the consumer
//! ```
//!
//! `first` is the number of the first record; each further record has the next number. What lies
//! between `follows` and `first` was dropped and counted before the segment was begun, so a gap
//! in front of `follows` is damage.

use crc32fast::Hasher;

/// Bytes before the first record of a segment.
pub const HEADER: usize = 28;
/// Bytes of a record before its payload.
pub const OVERHEAD: usize = 24;
/// Bytes of a payload at most.
pub const LONGEST: usize = 2 * 1024 * 1024;
/// Numbers stay below; there is no way to count so far, only to be damaged so.
pub const NUMBER_LIMIT: u64 = 1 << 62;

const SEGMENT: &[u8; 8] = b"wpspool\x01";
const CURSOR: &[u8; 8] = b"wpcursr\x01";

/// What a segment says of itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    /// Number of its first record.
    pub first: u64,
    /// First number that is not accounted for by the segments before it.
    pub follows: u64,
}

/// A record as it stands in a buffer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Entry<'a> {
    /// Its number.
    pub number: u64,
    /// When it was appended, in milliseconds since the epoch.
    pub time: u64,
    /// What was appended.
    pub payload: &'a [u8],
}

impl Entry<'_> {
    /// Its bytes in a segment.
    pub fn size(&self) -> u64 {
        (OVERHEAD + self.payload.len()) as u64
    }
}

/// What stands at a place where a record is expected.
#[derive(Debug, PartialEq, Eq)]
pub enum Parsed<'a> {
    /// A record.
    Whole(Entry<'a>),
    /// The beginning of a record, which needs so many bytes.
    Short(usize),
    /// Something else.
    Damaged,
}

/// Appends the header of a segment.
pub fn write_header(buffer: &mut Vec<u8>, header: Header) {
    let start = buffer.len();
    buffer.extend_from_slice(SEGMENT);
    buffer.extend_from_slice(&header.first.to_le_bytes());
    buffer.extend_from_slice(&header.follows.to_le_bytes());
    let crc = checksum(&[buffer.get(start..).unwrap_or_default()]);
    buffer.extend_from_slice(&crc.to_le_bytes());
}

/// The header at the beginning of a segment; `None` when it is damaged.
pub fn read_header(bytes: &[u8]) -> Option<Header> {
    let (content, rest) = bytes.split_at_checked(HEADER - 4)?;
    let (crc, _) = u32_of(rest)?;
    let numbers = content.strip_prefix(SEGMENT)?;
    let (first, rest) = u64_of(numbers)?;
    let (follows, _) = u64_of(rest)?;
    let is_sane = follows <= first && first < NUMBER_LIMIT;
    (is_sane && crc == checksum(&[content])).then_some(Header { first, follows })
}

/// Appends a record.
pub fn write_record(buffer: &mut Vec<u8>, entry: &Entry<'_>) {
    let length = (entry.payload.len() as u32).to_le_bytes();
    let (number, time) = (entry.number.to_le_bytes(), entry.time.to_le_bytes());
    let crc = checksum(&[&length, &number, &time, entry.payload]);
    buffer.extend_from_slice(&length);
    buffer.extend_from_slice(&crc.to_le_bytes());
    buffer.extend_from_slice(&number);
    buffer.extend_from_slice(&time);
    buffer.extend_from_slice(entry.payload);
}

/// What these bytes begin with, where the record of this number is expected.
pub fn read_record(bytes: &[u8], expected: u64) -> Parsed<'_> {
    let Some((head, rest)) = bytes.split_at_checked(OVERHEAD) else {
        return Parsed::Short(OVERHEAD);
    };
    let Some((length, crc, number, time)) = fields(head) else {
        return Parsed::Damaged;
    };
    let size = length as usize;
    if number != expected || size > LONGEST {
        return Parsed::Damaged;
    }
    let Some(payload) = rest.get(..size) else {
        return Parsed::Short(OVERHEAD + size);
    };
    let (stamp, second) = (time.to_le_bytes(), number.to_le_bytes());
    match crc == checksum(&[&length.to_le_bytes(), &second, &stamp, payload]) {
        true => Parsed::Whole(Entry {
            number,
            time,
            payload,
        }),
        false => Parsed::Damaged,
    }
}

/// The time in the first bytes of a record, in milliseconds; nothing is checked.
pub fn read_time(head: &[u8]) -> Option<u64> {
    fields(head).map(|(_, _, _, time)| time)
}

/// The bytes of a cursor file.
pub fn cursor(name: &str, number: u64) -> Vec<u8> {
    let crc = checksum(&[CURSOR, &number.to_le_bytes(), name.as_bytes()]);
    let mut bytes = CURSOR.to_vec();
    bytes.extend_from_slice(&number.to_le_bytes());
    bytes.extend_from_slice(&crc.to_le_bytes());
    bytes.extend_from_slice(name.as_bytes());
    bytes
}

/// The number in the cursor file of this consumer; `None` when it is damaged.
pub fn read_cursor(bytes: &[u8], name: &str) -> Option<u64> {
    let (number, rest) = u64_of(bytes.strip_prefix(CURSOR)?)?;
    let (crc, found) = u32_of(rest)?;
    let expected = checksum(&[CURSOR, &number.to_le_bytes(), name.as_bytes()]);
    let is_right = found == name.as_bytes() && crc == expected && number < NUMBER_LIMIT;
    is_right.then_some(number)
}

fn fields(head: &[u8]) -> Option<(u32, u32, u64, u64)> {
    let (length, rest) = u32_of(head)?;
    let (crc, rest) = u32_of(rest)?;
    let (number, rest) = u64_of(rest)?;
    let (time, _) = u64_of(rest)?;
    Some((length, crc, number, time))
}

fn u32_of(bytes: &[u8]) -> Option<(u32, &[u8])> {
    let (value, rest) = bytes.split_first_chunk()?;
    Some((u32::from_le_bytes(*value), rest))
}

fn u64_of(bytes: &[u8]) -> Option<(u64, &[u8])> {
    let (value, rest) = bytes.split_first_chunk()?;
    Some((u64::from_le_bytes(*value), rest))
}

fn checksum(parts: &[&[u8]]) -> u32 {
    let mut hasher = Hasher::new();
    for part in parts {
        hasher.update(part);
    }
    hasher.finalize()
}

#[cfg(test)]
mod tests {
    use super::*;

    const ENTRY: Entry<'static> = Entry {
        number: 7,
        time: 1_700_000_000_123,
        payload: b"{\"seq\":7}",
    };

    #[test]
    fn a_record_is_read_back_and_any_other_byte_is_noticed() {
        let mut bytes = Vec::new();
        write_record(&mut bytes, &ENTRY);
        assert_eq!(bytes.len() as u64, ENTRY.size());
        assert_eq!(read_record(&bytes, 7), Parsed::Whole(ENTRY));
        assert_eq!(read_record(&bytes, 8), Parsed::Damaged);
        for end in 0..bytes.len() {
            assert!(matches!(read_record(&bytes[..end], 7), Parsed::Short(_)));
        }
        for place in 0..bytes.len() {
            bytes[place] ^= 0x10;
            assert!(!matches!(read_record(&bytes, 7), Parsed::Whole(_)));
            bytes[place] ^= 0x10;
        }
    }

    #[test]
    fn headers_and_cursors_are_whole_or_nothing() {
        let header = Header {
            first: 9,
            follows: 4,
        };
        let mut bytes = Vec::new();
        write_header(&mut bytes, header);
        assert_eq!(bytes.len(), HEADER);
        assert_eq!(read_header(&bytes), Some(header));
        let cursor = cursor("intake", 12);
        assert_eq!(read_cursor(&cursor, "intake"), Some(12));
        assert_eq!(read_cursor(&cursor, "intakf"), None);
        for place in 0..cursor.len().max(bytes.len()) {
            let flip = |bytes: &[u8]| {
                let mut copy = bytes.to_vec();
                if let Some(byte) = copy.get_mut(place) {
                    *byte ^= 1;
                }
                copy
            };
            if place < bytes.len() {
                assert_eq!(read_header(&flip(&bytes)), None);
                assert_eq!(read_header(&bytes[..place]), None);
            }
            if place < cursor.len() {
                assert_eq!(read_cursor(&flip(&cursor), "intake"), None);
                assert_eq!(read_cursor(&cursor[..place], "intake"), None);
            }
        }
    }
}
