//! Files of the agent: configuration, policies, logs, the spool's directory.
//!
//! Directories may be written by others than who collects, so nothing outside of a directory is
//! reached through it: links are followed only as long as they stay below it (openat2(2),
//! `RESOLVE_BENEATH`; none at all before Linux 5.6), and what is no regular file is named and left
//! alone. Numbers of files, depth and bytes are bounded.

use std::ffi::OsString;
use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use super::Sources;
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

/// The configuration files that are in use. They are named by the user, so links are followed.
pub(super) fn configuration(sources: &Sources, out: &mut Writer<'_>) -> io::Result<()> {
    for (name, path) in &sources.configuration {
        match open_regular(path) {
            Ok(file) => copy(&format!("etc/{name}"), path, file, CONFIGURATION, out)?,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => out.note(&format!("{}: {error}", path.display()))?,
        }
    }
    Ok(())
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
    match open_regular(path) {
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
    if let Err(error) = walk(path, &PathBuf::new(), 0, &mut found) {
        return match error.kind() {
            io::ErrorKind::NotFound => Ok(()),
            _ => out.note(&format!("{}: {error}", path.display())),
        };
    }
    found.sort();
    if found.len() >= MOST_FILES {
        let sentence = format!(
            "{}: only {MOST_FILES} of its files are looked at",
            path.display()
        );
        out.note(&sentence)?;
    }
    for below in found {
        let name = below.file_name().unwrap_or_default().to_string_lossy();
        if !wanted(&name) {
            continue;
        }
        let whole = path.join(&below);
        let inside = format!("{folder}/{}", below.to_string_lossy());
        match open_beneath(path, &below) {
            Ok(file) => copy(&inside, &whole, file, limit, out)?,
            Err(error) => out.note(&format!("{}: left alone: {error}", whole.display()))?,
        }
    }
    Ok(())
}

/// The paths of what is in a directory and below it, as far as it is no directory.
fn walk(root: &Path, below: &Path, depth: usize, found: &mut Vec<PathBuf>) -> io::Result<()> {
    for (name, is_directory) in list_beneath(root, below)? {
        if found.len() >= MOST_FILES {
            break;
        }
        // Kubernetes keeps the files of a volume in hidden directories, with links to them.
        if is_hidden(&name) {
            continue;
        }
        let path = below.join(&name);
        match is_directory {
            true if depth < DEEPEST => {
                // One that cannot be read costs its own files only.
                let _ = walk(root, &path, depth + 1, found);
            }
            true => {}
            false => found.push(path),
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
    if found.len() > limit {
        let sentence = format!("{}: only its last {limit} bytes are here", path.display());
        out.note(&sentence)?;
        if let Err(error) = file.seek(SeekFrom::Start(found.len() - limit)) {
            return out.note(&format!("{}: {error}", path.display()));
        }
    }
    // A file that grows meanwhile is read as far as it was long.
    pour(name, &mut file.take(limit), out)
}

/// Copies what can be read.
pub(super) fn pour(name: &str, from: &mut dyn Read, out: &mut Writer<'_>) -> io::Result<()> {
    let mut piece = vec![0; PIECE];
    while !out.is_cut() {
        match from.read(&mut piece) {
            Ok(0) => return Ok(()),
            Ok(read) => out.write_all(piece.get(..read).unwrap_or_default())?,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return out.note(&format!("{name}: reading ended early: {error}")),
        }
    }
    out.note(&format!("{name}: it is longer than what is here"))
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
        fs::write(&path, "0123456789").unwrap();
        let file = File::open(&path).unwrap();
        let frames = collected(|out| copy("logs/x.log", &path, file.try_clone()?, 4, out));
        assert!(
            frames.contains(&Frame::Data(b"6789".to_vec())),
            "{frames:?}"
        );
        assert!(notes(&frames).contains("last 4 bytes"));
        fs::remove_file(&path).unwrap();
    }
}
