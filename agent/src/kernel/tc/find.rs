//! Finding the network namespaces of the host: those that processes live in and those that have a
//! name.
//!
//! A forked child looks at every process, which takes milliseconds that no loop has, and writes to a
//! pipe what it found; the parent makes values of the bytes. Nothing is opened, so that no namespace
//! is kept alive.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::fs::{self, File};
use std::io::{self, Write};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;
use std::time::Duration;

use super::survey;
use crate::sys::child::{self, Running};
use crate::sys::host;

/// Time for all of it.
const PATIENCE: Duration = Duration::from_secs(5);
/// Namespaces that are found; those that are known already may be as many more.
pub const MOST: usize = 1_024;
/// Bytes that the child may write.
const LONGEST: usize = 1 << 20;
/// Processes that are told of a namespace: some may be gone when it is entered.
const PROCESSES: usize = 2;
/// Files in all that are told of a namespace.
const PLACES: usize = 4;
/// What the child writes last: that it found all, or that there are more.
const END: &[u8] = b"end";
const MORE: &[u8] = b"more";

/// What a search found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Search {
    /// The namespaces. One that was known and is not among them was not there.
    pub found: Vec<Found>,
    /// Whether these are all.
    pub is_whole: bool,
}

/// A network namespace.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    /// Its inode in nsfs.
    pub inode: u32,
    /// Files that stand for it.
    pub places: Vec<PathBuf>,
}

/// Starts to look. The namespaces that are known by their inodes are found however many there are.
///
/// # Errors
/// Those of fork(2) and pipe(2).
pub fn start(is_known: &dyn Fn(u32) -> bool) -> io::Result<Running> {
    let mut work = |out: &mut File| {
        // Without the parent there is nobody to tell.
        let _ = look(is_known, MOST).map(|search| out.write_all(&to_bytes(&search)));
    };
    child::start(&mut work, LONGEST, PATIENCE)
}

/// The inode of the network namespace of this process.
///
/// # Errors
/// Those of stat(2); /proc may not be there.
pub fn own() -> io::Result<u32> {
    let inode = fs::metadata(survey::OWN)?.ino();
    u32::try_from(inode).map_err(|_| io::ErrorKind::InvalidData.into())
}

/// What changes when a namespace gets or loses its name: a digest of the names there are. The
/// kernel has the directories in memory, so this does not wait.
pub fn names() -> u64 {
    let entries = survey::named_directories().flat_map(fs::read_dir);
    let names = entries.flatten().flatten().map(|entry| entry.file_name());
    digest(&mut names.map(OsString::into_vec))
}

/// FNV-1a of each name, added up: their order means nothing.
fn digest(names: &mut dyn Iterator<Item = Vec<u8>>) -> u64 {
    names.fold(0, |digest, name| {
        let hash = name.iter().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
            (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3)
        });
        digest.wrapping_add(hash)
    })
}

fn look(is_known: &dyn Fn(u32) -> bool, most: usize) -> Option<Search> {
    let mut found: BTreeMap<u32, Vec<PathBuf>> = BTreeMap::new();
    let own = fs::metadata(survey::OWN).ok()?;
    let mut is_whole = true;
    // Users can make as many of the second as they like.
    for (path, _) in survey::named().chain(survey::processes()) {
        // A file may be no namespace at all.
        let Ok(file) = fs::metadata(&path) else {
            continue;
        };
        let Ok(inode) = u32::try_from(file.ino()) else {
            continue;
        };
        if file.dev() != own.dev() {
            continue;
        }
        if !found.contains_key(&inode) && found.len() >= most && !is_known(inode) {
            is_whole = false;
            continue;
        }
        let places = found.entry(inode).or_default();
        let limit = match path.starts_with(host::proc()) {
            true => PLACES,
            false => PLACES - PROCESSES,
        };
        if places.len() < limit {
            places.push(path);
        }
    }
    let found = found.into_iter();
    let found = found.map(|(inode, places)| Found { inode, places });
    Some(Search {
        found: found.collect(),
        is_whole,
    })
}

/// Pieces that end with a zero byte: an inode, then its places; empty before the next inode.
fn to_bytes(search: &Search) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut put = |piece: &[u8]| {
        bytes.extend_from_slice(piece);
        bytes.push(0);
    };
    for Found { inode, places } in &search.found {
        put(inode.to_string().as_bytes());
        for place in places {
            put(place.as_os_str().as_bytes());
        }
        put(b"");
    }
    put(if search.is_whole { END } else { MORE });
    bytes
}

/// What the child found; `None` when it did not come to its end.
pub fn understand(bytes: &[u8]) -> Option<Search> {
    let mut pieces = bytes.strip_suffix(b"\0")?.split(|byte| *byte == 0);
    let mut search = Search::default();
    loop {
        let first = pieces.next()?;
        if first == END || first == MORE {
            search.is_whole = first == END;
            return Some(search);
        }
        let inode = OsStr::from_bytes(first).to_str()?.parse().ok()?;
        let places = pieces.by_ref().take_while(|piece| !piece.is_empty());
        let places = places.map(|piece| OsString::from_vec(piece.to_vec()).into());
        search.found.push(Found {
            inode,
            places: places.collect(),
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_found_is_understood() {
        let found = vec![
            Found {
                inode: 7,
                places: vec!["/proc/1/ns/net".into(), "/run/netns/a\nb".into()],
            },
            Found {
                inode: 4_026_531_840,
                places: Vec::new(),
            },
        ];
        for is_whole in [true, false] {
            let found = found.clone();
            let search = Search { found, is_whole };
            let bytes = to_bytes(&search);
            assert_eq!(understand(&bytes), Some(search));
            for end in 0..bytes.len() {
                assert_eq!(understand(&bytes[..end]), None, "{end}");
            }
        }
        assert_eq!(understand(b"x\0\0end\0"), None);
    }

    #[test]
    fn a_digest_changes_with_the_names_only() {
        let of = |names: &[&str]| {
            let mut names = names.iter().map(|name| name.as_bytes().to_vec());
            digest(&mut names)
        };
        assert_eq!(of(&["a", "b"]), of(&["b", "a"]));
        // One directory may be seen twice.
        for other in [&[][..], &["a", "a"], &["a", "a", "b", "c"]] {
            assert_ne!(of(&["a", "a", "b", "b"]), of(other), "{other:?}");
        }
    }

    #[test]
    fn the_own_namespace_is_found() {
        let own = own().unwrap();
        let search = look(&|_| false, MOST).unwrap();
        let found = &search.found;
        let here = found.iter().find(|found| found.inode == own).unwrap();
        assert!(here.places.iter().any(|place| place.starts_with("/proc")));
        assert!(found.iter().all(|found| found.places.len() <= PLACES));
    }

    #[test]
    fn known_namespaces_are_found_however_many_there_are() {
        let own = own().unwrap();
        let none = look(&|_| false, 0).unwrap();
        assert_eq!((none.found.len(), none.is_whole), (0, false));
        let search = look(&|inode| inode == own, 0).unwrap();
        let inodes: Vec<u32> = search.found.iter().map(|found| found.inode).collect();
        assert_eq!(inodes, [own]);
    }
}
