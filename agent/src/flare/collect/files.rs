//! Files of the agent: configuration, policies, logs, the spool's directory.
//!
//! Directories may be written by others than who collects, so nothing outside of a directory is
//! reached through it: links are followed only as long as they stay below it (openat2(2),
//! `RESOLVE_BENEATH`; none at all before Linux 5.6), and what is no regular file is named and left
//! alone. Numbers of files, depth and bytes are bounded.

use std::ffi::OsString;
use std::fs::File;
use std::io::{self, BufRead, BufReader, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use super::{Configuration, Sources};
use crate::flare::stream::Writer;
use crate::sys::beneath::{list_beneath, open_beneath, open_regular};

/// Bytes of one configuration file.
const CONFIGURATION: u64 = 2 << 20;
/// Bytes of one policy.
const POLICY: u64 = 2 << 20;
/// Bytes of one log file; its end is what matters.
const LOG: u64 = 8 << 20;
/// Bytes of the file of events.
const OUTPUT: u64 = 2 << 20;
/// Files of a directory and of those below it, and how far below.
const MOST_FILES: usize = 500;
const DEEPEST: usize = 8;
/// Bytes that are copied at once.
const PIECE: usize = 32 << 10;

/// The configuration files that are in use. Of those that the user has named, links are followed.
pub(super) fn configuration(sources: &Sources, out: &mut Writer<'_>) -> io::Result<()> {
    for Configuration {
        name,
        path,
        is_named,
    } in &sources.configuration
    {
        let opened = match is_named {
            true => open_regular(path),
            false => open_in_its_directory(path),
        };
        match opened {
            Ok(file) => copy(&format!("etc/{name}"), path, file, CONFIGURATION, out)?,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => out.note(&format!("{}: {error}", path.display()))?,
        }
    }
    Ok(())
}

/// Opens a file that others may have put a link in the place of, which is not to lead anywhere.
fn open_in_its_directory(path: &Path) -> io::Result<File> {
    let (parent, name) = path
        .parent()
        .zip(path.file_name())
        .ok_or(io::ErrorKind::NotFound)?;
    open_beneath(parent, Path::new(name))
}

/// The policies, and the rules of compliance where another agent has some.
pub(super) fn policies(sources: &Sources, out: &mut Writer<'_>) -> io::Result<()> {
    let all = |_: &str| true;
    directory("runtime-security.d", &sources.policies, POLICY, &all, out)?;
    directory("compliance.d", &sources.compliance, POLICY, &all, out)
}

/// Every log file, rotated ones too.
pub(super) fn logs(sources: &Sources, out: &mut Writer<'_>) -> io::Result<()> {
    for path in &sources.logs {
        directory("logs", path, LOG, &is_log, out)?;
    }
    Ok(())
}

/// Whether a name is `*.log` or `*.log.N`.
fn is_log(name: &str) -> bool {
    let (stem, end) = name.rsplit_once('.').unwrap_or((name, ""));
    let is_number = !end.is_empty() && end.bytes().all(|byte| byte.is_ascii_digit());
    end == "log" || is_number && stem.ends_with(".log")
}

/// The latest events of the file that they are written to, which is there when nobody answers.
pub(super) fn output(sources: &Sources, out: &mut Writer<'_>) -> io::Result<()> {
    let path = &sources.output;
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    match open_in_its_directory(path) {
        Ok(file) => copy(&format!("outputs/{name}"), path, file, OUTPUT, out),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) => out.note(&format!("{}: {error}", path.display())),
    }
}

/// What lies in the spool; its contents are events, which the agent itself tells.
pub(super) fn spool(sources: &Sources, out: &mut Writer<'_>) -> io::Result<()> {
    let entries = match std::fs::read_dir(&sources.spool) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return out.note(&format!("{}: {error}", sources.spool.display())),
    };
    out.file("spool.txt", POLICY);
    for entry in entries.take(MOST_FILES).filter_map(Result::ok) {
        if let Ok(found) = entry.path().symlink_metadata() {
            let (mode, bytes, changed) = (found.mode(), found.len(), found.mtime());
            let name = entry.file_name().to_string_lossy().into_owned();
            writeln!(out, "{mode:06o} {bytes:>12} {changed} {name}")?;
        }
    }
    Ok(())
}

/// The files of a directory whose names are wanted, under the same names below `folder`.
fn directory(
    folder: &str,
    path: &Path,
    limit: u64,
    wanted: &dyn Fn(&str) -> bool,
    out: &mut Writer<'_>,
) -> io::Result<()> {
    let mut found = Vec::new();
    if let Err(error) = walk(path, &PathBuf::new(), wanted, &mut found) {
        return match error.kind() {
            io::ErrorKind::NotFound => Ok(()),
            _ => out.note(&format!("{}: {error}", path.display())),
        };
    }
    if found.len() >= MOST_FILES {
        let sentence = format!(
            "{}: only {MOST_FILES} of its files are looked at",
            path.display()
        );
        out.note(&sentence)?;
    }
    for below in found {
        let whole = path.join(&below);
        let inside = format!("{folder}/{}", below.to_string_lossy());
        match open_beneath(path, &below) {
            Ok(file) => copy(&inside, &whole, file, limit, out)?,
            Err(error) => out.note(&format!("{}: left alone: {error}", whole.display()))?,
        }
    }
    Ok(())
}

/// The paths of the wanted files in a directory, and then of those below it.
fn walk(
    root: &Path,
    below: &Path,
    wanted: &dyn Fn(&str) -> bool,
    found: &mut Vec<PathBuf>,
) -> io::Result<()> {
    let mut entries = list_beneath(root, below)?;
    // Kubernetes keeps the files of a volume in hidden directories, with links to them.
    entries.retain(|(name, _)| !is_hidden(name));
    entries.sort();
    let (directories, files): (Vec<_>, Vec<_>) = entries.into_iter().partition(|one| one.1);
    for (name, _) in files {
        if found.len() < MOST_FILES && wanted(&name.to_string_lossy()) {
            found.push(below.join(name));
        }
    }
    for (name, _) in directories {
        if found.len() < MOST_FILES && below.components().count() < DEEPEST {
            // One that cannot be read costs its own files only.
            let _ = walk(root, &below.join(name), wanted, found);
        }
    }
    Ok(())
}

fn is_hidden(name: &OsString) -> bool {
    name.to_string_lossy().starts_with("..")
}

/// Copies a file, or the end of one that is longer than `limit`, and says whose it is.
fn copy(
    name: &str,
    path: &Path,
    mut file: File,
    limit: u64,
    out: &mut Writer<'_>,
) -> io::Result<()> {
    let found = match file.metadata() {
        Ok(found) => found,
        Err(error) => return out.note(&format!("{}: {error}", path.display())),
    };
    let (mode, owner, group) = (found.mode() & 0o7777, found.uid(), found.gid());
    out.permissions(&format!("{mode:04o} {owner}:{group} {}", path.display()))?;
    out.file(name, limit);
    let mut from = BufReader::with_capacity(PIECE, &mut file);
    if found.len() > limit {
        let sentence = format!("{}: only its last {limit} bytes are here", path.display());
        out.note(&sentence)?;
        let start = from.seek(SeekFrom::Start(found.len() - limit));
        match start.and_then(|_| past_the_cut(&mut from)) {
            Ok(first) => out.write_all(&first)?,
            Err(error) => return out.note(&format!("{}: {error}", path.display())),
        }
    }
    pour(name, &mut from, out).map(drop)
}

/// Passes over what a reader that comes into the middle of a text cannot know to be a secret: the
/// rest of a line, and lines that may be the rest of a key in PEM. The first line behind these.
fn past_the_cut(from: &mut dyn BufRead) -> io::Result<Vec<u8>> {
    let mut line = Vec::new();
    let mut next = || {
        line.clear();
        (&mut *from).take(LOG).read_until(b'\n', &mut line)?;
        Ok::<_, io::Error>(line.clone())
    };
    next()?;
    loop {
        let line = next()?;
        let text = line.trim_ascii();
        let is_base64 = |byte: &u8| byte.is_ascii_alphanumeric() || b"+/=".contains(byte);
        if text.starts_with(b"-----END ") {
            return next();
        }
        if line.is_empty() || !text.iter().all(is_base64) {
            return Ok(line);
        }
    }
}

/// Copies what can be read, and says whether that was all.
pub(super) fn pour(name: &str, from: &mut dyn Read, out: &mut Writer<'_>) -> io::Result<bool> {
    let mut piece = vec![0; PIECE];
    while !out.is_cut() {
        match from.read(&mut piece) {
            Ok(0) => return Ok(true),
            Ok(read) => out.write_all(piece.get(..read).unwrap_or_default())?,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => {
                out.note(&format!("{name}: reading ended early: {error}"))?;
                return Ok(false);
            }
        }
    }
    out.note(&format!("{name}: it is longer than what is here"))?;
    Ok(false)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use std::os::unix::fs::symlink;

    use crate::flare::stream::Frame;

    fn collected(collect: impl Fn(&mut Writer<'_>) -> io::Result<()>) -> Vec<Frame> {
        let mut bytes = Vec::new();
        collect(&mut Writer::new(&mut bytes)).unwrap();
        let mut rest = bytes.as_slice();
        std::iter::from_fn(|| Frame::read(&mut rest).unwrap()).collect()
    }

    fn notes(frames: &[Frame]) -> String {
        let note = |frame: &Frame| match frame {
            Frame::Note(sentence) => Some(sentence.clone()),
            _ => None,
        };
        frames
            .iter()
            .filter_map(note)
            .collect::<Vec<_>>()
            .join("\n")
    }

    #[test]
    fn logs_are_known_by_their_names() {
        let cases = [
            ("a.log", true),
            ("a.log.1", true),
            ("a.log.12", true),
            ("a.log.gz", false),
            ("a.log.", false),
            ("log", false),
            ("a.txt.1", false),
        ];
        for (name, expected) in cases {
            assert_eq!(is_log(name), expected, "{name}");
        }
    }

    #[test]
    fn links_out_of_a_directory_and_what_is_no_file_are_left_alone() {
        let base = std::env::temp_dir().join(format!("flare-files-{}", std::process::id()));
        let logs = base.join("logs");
        fs::create_dir_all(logs.join("deep")).unwrap();
        fs::create_dir_all(logs.join("..2026")).unwrap();
        fs::write(base.join("outside.log"), "hidden").unwrap();
        fs::write(logs.join("..2026/real.log"), "linked").unwrap();
        fs::write(logs.join("deep/a.log"), "deep").unwrap();
        fs::write(logs.join("b.txt"), "no log").unwrap();
        symlink("../outside.log", logs.join("relative.log")).unwrap();
        symlink(base.join("outside.log"), logs.join("absolute.log")).unwrap();
        symlink("..2026/real.log", logs.join("inside.log")).unwrap();
        let fifo = logs.join("fifo.log");
        nix::unistd::mkfifo(fifo.as_path(), nix::sys::stat::Mode::S_IRWXU).unwrap();
        let frames = collected(|out| directory("logs", &logs, 100, &is_log, out));
        let data: Vec<_> = frames
            .iter()
            .filter_map(|frame| match frame {
                Frame::Data(bytes) => Some(String::from_utf8_lossy(bytes).into_owned()),
                _ => None,
            })
            .collect();
        let notes = notes(&frames);
        assert!(data.contains(&"deep".to_owned()) && !data.contains(&"hidden".to_owned()));
        assert!(!data.contains(&"no log".to_owned()));
        for name in ["relative.log", "absolute.log", "fifo.log"] {
            assert!(notes.contains(name), "{name}: {notes}");
        }
        // Where openat2 is missing, no link is followed.
        assert!(data.contains(&"linked".to_owned()) || notes.contains("inside.log"));
        fs::remove_dir_all(&base).unwrap();
    }

    #[test]
    fn events_that_were_written_to_a_file_are_taken_along() {
        let path = std::env::temp_dir().join(format!("flare-output-{}.json", std::process::id()));
        let sources = Sources {
            output: path.clone(),
            ..Sources::default()
        };
        assert!(
            collected(|out| output(&sources, out)).is_empty(),
            "there is none"
        );
        fs::write(&path, "{}\n").unwrap();
        let name = format!("outputs/{}", path.file_name().unwrap().to_str().unwrap());
        let frames = collected(|out| output(&sources, out));
        assert!(frames.contains(&Frame::File(name)), "{frames:?}");
        fs::remove_file(&path).unwrap();
    }

    #[test]
    fn of_a_long_file_the_end_is_kept() {
        let path = std::env::temp_dir().join(format!("flare-long-{}", std::process::id()));
        let key = "-----BEGIN PRIVATE KEY-----\nMIIB\nQUJD\n-----END PRIVATE KEY-----\n";
        let cases = [
            ("a one\na two\na three\n".to_owned(), 12, "a three\n"),
            ("password=hidden\nthe last\n".to_owned(), 14, "the last\n"),
            (format!("{key}it is after\n"), 45, "it is after\n"),
            (format!("{key}it is after\n"), 20, "it is after\n"),
            ("a long line without an end".to_owned(), 9, ""),
        ];
        for (text, limit, expected) in cases {
            fs::write(&path, &text).unwrap();
            let frames = collected(|out| copy("logs/x.log", &path, File::open(&path)?, limit, out));
            let data = frames.iter().filter_map(|frame| match frame {
                Frame::Data(bytes) => Some(String::from_utf8_lossy(bytes).into_owned()),
                _ => None,
            });
            assert_eq!(data.collect::<String>(), expected, "{text}");
            assert!(notes(&frames).contains(&format!("last {limit} bytes")));
        }
        fs::remove_file(&path).unwrap();
    }
}
