//! Byte offsets of structure members, from the kernel's own type information.
//!
//! Reads BTF (Documentation/bpf/btf.rst) as bytes: one linear pass notes where each type begins
//! and which of the wanted structures it is; members are looked up after. Kinds it does not know
//! end the pass, and what was found until then stands. It knows nothing of probes.

use std::collections::HashMap;
use std::fmt;

const MAGIC: u16 = 0xeb9f;
const MAXIMUM_DEPTH: usize = 16;

/// Why type information cannot be used.
#[derive(Debug, PartialEq, Eq)]
pub enum Error {
    /// The bytes do not begin as BTF does.
    NotBtf,
    /// The header points outside the bytes.
    Truncated,
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Error::NotBtf => write!(f, "this is not BTF type information"),
            Error::Truncated => write!(f, "the BTF type information is cut short"),
        }
    }
}

impl std::error::Error for Error {}

/// A parsed index over BTF bytes, good for the structures it was asked for.
pub struct Btf<'a> {
    types: &'a [u8],
    strings: &'a [u8],
    /// Where type `index + 1` begins in `types`.
    starts: Vec<u32>,
    structures: HashMap<&'a str, u32>,
}

#[derive(Clone, Copy)]
struct Type {
    start: usize,
    name: u32,
    info: u32,
    /// Size in bytes, or the type that this one refers to.
    size_or_type: u32,
}

/// A member of a structure.
#[derive(Clone, Copy)]
struct Member {
    /// In bits, from the beginning of the structure.
    offset: u64,
    /// The number of its type.
    kind: u32,
    field_bits: u64,
}

impl Type {
    fn kind(self) -> u32 {
        (self.info >> 24) & 0x1f
    }

    fn length(self) -> usize {
        (self.info & 0xffff) as usize
    }

    fn is_structure(self) -> bool {
        matches!(self.kind(), 4 | 5)
    }

    /// Bytes that follow the 12 of the type; `None` for a kind from the future.
    fn trailing(self) -> Option<usize> {
        Some(match self.kind() {
            1 | 14 | 17 => 4,
            3 => 12,
            4 | 5 | 15 | 19 => self.length() * 12,
            6 | 13 => self.length() * 8,
            2 | 7..=12 | 16 | 18 => 0,
            _ => return None,
        })
    }
}

impl<'a> Btf<'a> {
    /// Indexes `bytes`, remembering the structures named in `wanted`.
    pub fn parse(bytes: &'a [u8], wanted: &[&str]) -> Result<Btf<'a>, Error> {
        if word(bytes, 0).map(|first| first as u16) != Some(MAGIC) {
            return Err(Error::NotBtf);
        }
        let section = |offset_at: usize| -> Option<&'a [u8]> {
            let header = word(bytes, 4)? as usize;
            let offset = word(bytes, offset_at)? as usize;
            let length = word(bytes, offset_at + 4)? as usize;
            bytes.get(header..)?.get(offset..)?.get(..length)
        };
        let mut btf = Btf {
            types: section(8).ok_or(Error::Truncated)?,
            strings: section(16).ok_or(Error::Truncated)?,
            starts: Vec::new(),
            structures: HashMap::new(),
        };
        btf.index(wanted);
        Ok(btf)
    }

    fn index(&mut self, wanted: &[&str]) {
        let mut start = 0;
        while let Some(found) = self.read(start) {
            self.starts.push(start as u32);
            if found.is_structure() && found.length() > 0 {
                let name = self.text(found.name);
                if wanted.contains(&name) {
                    let id = self.starts.len() as u32;
                    self.structures.entry(name).or_insert(id);
                }
            }
            let Some(trailing) = found.trailing() else {
                return;
            };
            start += 12 + trailing;
        }
    }

    /// Byte offset of a dotted member of a structure; `None` when either does not exist.
    pub fn offset(&self, structure: &str, path: &str) -> Option<u64> {
        let mut id = *self.structures.get(structure)?;
        let mut bits = 0;
        for name in path.split('.') {
            let member = self.member(id, name, 0)?;
            bits += member.offset;
            id = member.kind;
        }
        Some(bits / 8)
    }

    /// The size in bits of a member that is a bit field; 0 for one that is none.
    pub fn field_bits(&self, structure: &str, name: &str) -> Option<u64> {
        let id = *self.structures.get(structure)?;
        Some(self.member(id, name, 0)?.field_bits)
    }

    /// A member, of anonymous structures and unions, too.
    fn member(&self, id: u32, name: &str, depth: usize) -> Option<Member> {
        if depth > MAXIMUM_DEPTH {
            return None;
        }
        let structure = self.resolved(id)?;
        if !structure.is_structure() {
            return None;
        }
        let is_packed = structure.info >> 31 != 0;
        for index in 0..structure.length() {
            let start = structure.start + 12 + index * 12;
            let member_name = self.text(word(self.types, start)?);
            let kind = word(self.types, start + 4)?;
            let packed = word(self.types, start + 8)?;
            let (offset, field_bits) = match is_packed {
                true => (packed & 0xff_ffff, packed >> 24),
                false => (packed, 0),
            };
            let offset = u64::from(offset);
            if member_name == name {
                return Some(Member {
                    offset,
                    kind,
                    field_bits: field_bits.into(),
                });
            }
            if member_name.is_empty() {
                if let Some(inner) = self.member(kind, name, depth + 1) {
                    let offset = offset + inner.offset;
                    return Some(Member { offset, ..inner });
                }
            }
        }
        None
    }

    /// The type behind typedefs and qualifiers.
    fn resolved(&self, id: u32) -> Option<Type> {
        let mut found = self.by_id(id)?;
        for _ in 0..MAXIMUM_DEPTH {
            if !matches!(found.kind(), 8..=11 | 18) {
                return Some(found);
            }
            found = self.by_id(found.size_or_type)?;
        }
        None
    }

    fn by_id(&self, id: u32) -> Option<Type> {
        let start = *self.starts.get((id as usize).checked_sub(1)?)?;
        self.read(start as usize)
    }

    fn read(&self, start: usize) -> Option<Type> {
        Some(Type {
            start,
            name: word(self.types, start)?,
            info: word(self.types, start + 4)?,
            size_or_type: word(self.types, start + 8)?,
        })
    }

    fn text(&self, offset: u32) -> &'a str {
        let rest = self.strings.get(offset as usize..).unwrap_or(&[]);
        let name = rest.split(|byte| *byte == 0).next().unwrap_or(&[]);
        std::str::from_utf8(name).unwrap_or("")
    }
}

fn word(bytes: &[u8], offset: usize) -> Option<u32> {
    let array = bytes.get(offset..)?.first_chunk::<4>()?;
    Some(u32::from_le_bytes(*array))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// struct outer { int a : 8; struct { int b; } ; typedef-to-inner c; } with inner { int d; int e; }
    fn sample() -> Vec<u8> {
        let strings = b"\0outer\0a\0b\0c\0inner\0d\0e\0alias\0";
        let at = |name: &str| {
            let needle = format!("\0{name}\0");
            let found = strings
                .windows(needle.len())
                .position(|window| window == needle.as_bytes());
            found.map_or(0, |position| position as u32 + 1)
        };
        let mut types: Vec<u32> = Vec::new();
        types.extend([0, 1 << 24, 4, 32]); // 1: int
        types.extend([0, (4 << 24) | 1, 4, at("b"), 1, 0]); // 2: anonymous
        types.extend([at("inner"), (4 << 24) | 2, 8, at("d"), 1, 0, at("e"), 1, 32]); // 3
        types.extend([at("alias"), 8 << 24, 3]); // 4: typedef of 3
        types.extend([at("outer"), (1 << 31) | (4 << 24) | 3, 16]); // 5
        types.extend([at("a"), 1, 8 << 24, 0, 2, 32, at("c"), 4, 64]);
        let mut bytes = vec![0x9f, 0xeb, 1, 0];
        for value in [
            24,
            0,
            types.len() as u32 * 4,
            types.len() as u32 * 4,
            strings.len() as u32,
        ] {
            bytes.extend(u32::to_le_bytes(value));
        }
        types
            .iter()
            .for_each(|value| bytes.extend(value.to_le_bytes()));
        bytes.extend(strings);
        bytes
    }

    #[test]
    fn finds_members_through_anonymous_structures_and_typedefs() {
        let bytes = sample();
        let btf = Btf::parse(&bytes, &["outer"]).unwrap();
        for (path, offset) in [
            ("a", Some(0)),
            ("b", Some(4)),
            ("c", Some(8)),
            ("c.e", Some(12)),
            ("x", None),
            ("a.b", None),
        ] {
            assert_eq!(btf.offset("outer", path), offset, "{path}");
        }
        assert_eq!(btf.offset("inner", "d"), None, "it was not wanted");
        assert_eq!(btf.field_bits("outer", "a"), Some(8));
        assert_eq!(btf.field_bits("outer", "b"), Some(0));
    }

    #[test]
    fn any_cut_or_changed_byte_is_survived() {
        let bytes = sample();
        for end in 0..bytes.len() {
            if let Ok(btf) = Btf::parse(&bytes[..end], &["outer"]) {
                let _ = btf.offset("outer", "c.e");
            }
        }
        for position in 0..bytes.len() {
            let mut changed = bytes.clone();
            changed[position] ^= 0xff;
            if let Ok(btf) = Btf::parse(&changed, &["outer"]) {
                let _ = btf.offset("outer", "c.e");
            }
        }
    }
}
