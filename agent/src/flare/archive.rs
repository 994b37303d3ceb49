//! The archive: everything that enters it is scrubbed on the way, hashed and listed.
//!
//! Contents enter under their paths, with [`Archive::add`], and sentences about what is missing,
//! with [`Archive::note`]; a file `datadog-agent-….tar.gz` leaves, with one folder in it. A content
//! goes to a private file first, because tar has to know its length. What would make the archive
//! too large, or what the disk has no room for, is left out with a note; nothing but a disk that
//! fails costs the archive itself.

use std::collections::BTreeSet;
use std::fs::File;
use std::io::{self, Read, Seek, Write};
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use flate2::write::GzEncoder;
use flate2::Compression;
use nix::sys::statvfs::{fstatvfs, statvfs, Statvfs};
use serde_json::json;
use sha2::{Digest, Sha256};

use super::name;
use super::staging::Staging;
use super::Error;
use crate::scrub::{Kind, Scrubber};

/// Bytes of an archive at most.
pub(super) const LARGEST: u64 = 50 << 20;
/// Bytes of the archive, and of the disk, that are kept for what is written last.
const RESERVE: u64 = 64 << 10;
/// Bytes that headers and bad luck in compressing may add to a content.
const OVERHEAD: u64 = 4 << 10;
/// Archives of one second.
const MOST_OF_ONE_NAME: u32 = 100;
/// Bytes of the notes, which belong to what is written last.
const MOST_NOTES: usize = 32 << 10;
/// Bytes of a content before it is packed.
const LARGEST_CONTENT: u64 = 32 << 20;
/// Files, and rows on files, of an archive.
const MOST_FILES: usize = 2_000;
/// Bytes of the disk that a directory is taken for without a look at the others.
const ENOUGH: u64 = 4 << 20;
/// Bytes that are copied at once.
const PIECE: usize = 64 << 10;

/// Where sentences about what could not be collected are.
const LOG: &str = "flare_creation.log";
/// Where owners and modes of the files that were copied are.
const PERMISSIONS: &str = "permissions.log";
const COLUMNS: &str = "mode owner:group path";
/// Where the list of everything is.
const MANIFEST: &str = "manifest.json";

/// What an archive is called and where it goes.
pub struct Place {
    /// Directories; the first that can be written and has room is taken.
    pub directories: Vec<PathBuf>,
    /// The very path instead.
    pub output: Option<PathBuf>,
    /// The level of the agent's log, for the name.
    pub log_level: String,
}

/// An archive that is being made. Dropping it removes it.
pub struct Archive<'s> {
    scrubber: &'s Scrubber,
    staging: Staging,
    tar: tar::Builder<GzEncoder<File>>,
    names: Names,
    root: String,
    largest: u64,
    now: u64,
    taken: BTreeSet<String>,
    files: Vec<serde_json::Value>,
    permissions: Vec<String>,
    notes: String,
}

/// The paths that the archive may have.
enum Names {
    Exactly(PathBuf),
    In(PathBuf, String),
}

impl<'s> Archive<'s> {
    /// Begins an archive of this host.
    pub fn begin(
        place: &Place,
        hostname: &str,
        scrubber: &'s Scrubber,
    ) -> Result<Archive<'s>, Error> {
        let now = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .map_or(0, |since| since.as_secs());
        let (staging, names) = match &place.output {
            Some(output) => exactly(output)?,
            None => {
                let (staging, directory) = first_of(&place.directories)?;
                let name = name::of_archive(now, &place.log_level);
                (staging, Names::In(directory, name))
            }
        };
        let failed = |error| Error::Write(names.first(), error);
        let file = staging.archive().map_err(failed)?;
        let encoder = GzEncoder::new(file, Compression::default());
        Ok(Archive {
            scrubber,
            staging,
            tar: tar::Builder::new(encoder),
            root: name::of_host(&scrubber.line(hostname)),
            names,
            largest: LARGEST,
            now,
            taken: BTreeSet::new(),
            files: Vec::new(),
            permissions: Vec::new(),
            notes: String::new(),
        })
    }

    /// Adds a sentence about what could not be collected.
    pub fn note(&mut self, sentence: &str) {
        if self.notes.len() + sentence.len() < MOST_NOTES {
            self.notes.push_str(&sentence.replace('\n', " "));
            self.notes.push('\n');
        }
    }

    /// Adds a row on the owner and the mode of a file.
    pub fn permissions(&mut self, row: String) {
        if self.permissions.len() < MOST_FILES {
            self.permissions.push(row);
        }
    }

    /// Adds a content under a path; what cannot be read to its end is in the archive as far as it
    /// could be read. Fails only when the archive cannot be written.
    pub fn add(&mut self, path: &str, content: &mut dyn Read) -> Result<(), Error> {
        let kind = Kind::of(path);
        let path = self.free_name(path);
        if self.files.len() >= MOST_FILES && !is_last(&path) {
            self.note(&format!(
                "{path}: left out, as there are many files already"
            ));
            return Ok(());
        }
        let (mut entry, replacements) = match self.stage(kind, content) {
            Ok(staged) => staged,
            Err(error) => {
                self.note(&format!("{path}: it could not be copied: {error}"));
                return Ok(());
            }
        };
        let length = match self.fitting(&mut entry, &path) {
            Ok(length) => length,
            Err(error) => {
                self.note(&format!("{path}: {error}"));
                return Ok(());
            }
        };
        self.append(&path, &mut entry, length, replacements)
    }

    /// Adds a short content that is there already.
    pub fn add_bytes(&mut self, path: &str, content: &[u8]) -> Result<(), Error> {
        self.add(path, &mut &*content)
    }

    /// Ends the archive and gives it its name.
    pub fn finish(mut self) -> Result<PathBuf, Error> {
        self.permissions.sort();
        self.permissions.dedup();
        let permissions = format!("{COLUMNS}\n{}\n", self.permissions.join("\n"));
        self.add_bytes(PERMISSIONS, permissions.as_bytes())?;
        let notes = std::mem::take(&mut self.notes);
        self.add_bytes(LOG, notes.as_bytes())?;
        self.write_manifest()?;
        let first = self.names.first();
        let failed = |error| Error::Write(first.clone(), error);
        let encoder = self.tar.into_inner().map_err(failed)?;
        let file = encoder.finish().map_err(failed)?;
        file.sync_all().map_err(failed)?;
        let published = self.staging.publish(self.names.all());
        published.map_err(|error| match (&self.names, error.kind()) {
            (Names::Exactly(path), io::ErrorKind::AlreadyExists) => Error::Exists(path.clone()),
            _ => Error::Write(first.clone(), error),
        })
    }

    /// The list of what is in the archive, which has no line about itself.
    fn write_manifest(&mut self) -> Result<(), Error> {
        let manifest = json!({
            "created": self.now,
            "agent_version": env!("CARGO_PKG_VERSION"),
            "files": std::mem::take(&mut self.files),
        });
        let failed = |error| Error::Write(self.names.first(), error);
        let mut entry = self.staging.entry().map_err(failed)?;
        let text = format!("{manifest:#}\n");
        entry.write_all(text.as_bytes()).map_err(failed)?;
        entry.rewind().map_err(failed)?;
        self.append(MANIFEST, &mut entry, text.len() as u64, 0)
    }

    /// The path without what must not be in one, and with a number when there is one already.
    fn free_name(&mut self, path: &str) -> String {
        let clean = name::of_entry(&self.scrubber.line(path));
        let folder = clean.rfind('/').map_or(0, |slash| slash + 1);
        let dot = clean.get(folder..).and_then(|name| name.rfind('.'));
        let stem = dot.map_or(clean.len(), |dot| folder + dot);
        let (stem, extension) = clean.split_at(stem);
        let mut numbers = (2..).map(|number: u32| format!("{stem}-{number}{extension}"));
        let mut free = clean.clone();
        while self.taken.contains(&free) {
            free = numbers.next().unwrap_or_default();
        }
        self.taken.insert(free.clone());
        free
    }

    /// Copies a content, without its secrets, to the file that enters the archive.
    fn stage(&mut self, kind: Kind, content: &mut dyn Read) -> io::Result<(File, u64)> {
        let mut entry = self.staging.entry()?;
        let mut out = io::BufWriter::with_capacity(PIECE, &mut entry);
        let mut content = content.take(LARGEST_CONTENT);
        let copied = self.scrubber.copy(kind, &mut content, &mut out);
        let written = out.flush();
        drop(out);
        entry.rewind()?;
        match (copied, written) {
            (Ok(replacements), Ok(())) => Ok((entry, replacements)),
            (Err(error), _) | (_, Err(error)) => Err(error),
        }
    }

    /// How much of the file can enter the archive: all of it, but for the limits.
    fn fitting(&mut self, entry: &mut File, path: &str) -> Result<u64, String> {
        let said = |error: io::Error| error.to_string();
        let length = entry.metadata().map_err(said)?.len();
        let archive = self.tar.get_ref().get_ref();
        let written = archive.metadata().map_err(said)?.len();
        let room = self.largest.saturating_sub(written + RESERVE + OVERHEAD);
        let disk = fstatvfs(archive).map_err(|error| error.to_string())?;
        if length.saturating_add(OVERHEAD + RESERVE) > free(&disk) && !is_last(path) {
            return Err("left out, as the disk has no room for it".to_owned());
        }
        match room {
            room if length <= room || is_last(path) => Ok(length),
            0 => Err("left out, as the archive is large already".to_owned()),
            room => {
                self.note(&format!(
                    "{path}: cut after {room} bytes, as the archive is large already"
                ));
                entry.set_len(room).map_err(said)?;
                Ok(room)
            }
        }
    }

    fn append(
        &mut self,
        path: &str,
        entry: &mut File,
        length: u64,
        replacements: u64,
    ) -> Result<(), Error> {
        let mut header = tar::Header::new_gnu();
        header.set_entry_type(tar::EntryType::Regular);
        header.set_mode(0o644);
        header.set_mtime(self.now);
        header.set_size(length);
        let mut hashed = Hashed {
            inner: entry.take(length),
            hash: Sha256::new(),
        };
        let inside = format!("{}/{path}", self.root);
        self.tar
            .append_data(&mut header, inside, &mut hashed)
            .map_err(|error| Error::Write(self.names.first(), error))?;
        let hash = hashed.hash.finalize();
        let sha256: String = hash.iter().map(|byte| format!("{byte:02x}")).collect();
        self.files.push(json!({
            "path": path,
            "bytes": length,
            "sha256": sha256,
            "replacements": replacements,
        }));
        Ok(())
    }
}

/// Whether this is one of the files that room is kept for.
fn is_last(path: &str) -> bool {
    [LOG, PERMISSIONS, MANIFEST].contains(&path)
}

impl Names {
    fn first(&self) -> PathBuf {
        match self {
            Names::Exactly(path) => path.clone(),
            Names::In(directory, name) => directory.join(format!("{name}.tar.gz")),
        }
    }

    /// The path, and those for archives of the same second.
    fn all(&self) -> Box<dyn Iterator<Item = PathBuf> + '_> {
        let first = std::iter::once(self.first());
        match self {
            Names::Exactly(_) => Box::new(first),
            Names::In(directory, name) => {
                let numbers = 2..MOST_OF_ONE_NAME;
                let others = numbers.map(move |n| directory.join(format!("{name}-{n}.tar.gz")));
                Box::new(first.chain(others))
            }
        }
    }
}

fn exactly(output: &Path) -> Result<(Staging, Names), Error> {
    if output.symlink_metadata().is_ok() {
        return Err(Error::Exists(output.to_owned()));
    }
    let parent = match output.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    let staging = Staging::make(parent).map_err(|error| Error::Write(output.to_owned(), error))?;
    Ok((staging, Names::Exactly(output.to_owned())))
}

/// A private directory in one of these, and that one: the first that can be written and has room,
/// or else the one with the most room.
fn first_of(directories: &[PathBuf]) -> Result<(Staging, PathBuf), Error> {
    let mut tried = Vec::new();
    let mut best: Option<(u64, Staging, PathBuf)> = None;
    for directory in directories {
        match Staging::make(directory) {
            Ok(staging) => {
                let room = statvfs(directory).map_or(0, |disk| free(&disk));
                if best
                    .as_ref()
                    .is_none_or(|(most, ..)| room.min(ENOUGH) > *most)
                {
                    best = Some((room.min(ENOUGH), staging, directory.clone()));
                }
                if room >= ENOUGH {
                    break;
                }
            }
            Err(error) => tried.push((directory.clone(), error)),
        }
    }
    match best {
        Some((_, staging, directory)) => Ok((staging, directory)),
        None => Err(Error::NoPlace(tried)),
    }
}

/// Bytes of a file system that there is room for.
// The types of these two differ from one platform to another.
#[allow(clippy::unnecessary_cast)]
fn free(disk: &Statvfs) -> u64 {
    (disk.blocks_available() as u64).saturating_mul(disk.fragment_size() as u64)
}

/// Hashes what is read.
struct Hashed<R> {
    inner: R,
    hash: Sha256,
}

impl<R: Read> Read for Hashed<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.inner.read(buffer)?;
        self.hash.update(buffer.get(..read).unwrap_or_default());
        Ok(read)
    }
}

#[cfg(test)]
mod tests;
