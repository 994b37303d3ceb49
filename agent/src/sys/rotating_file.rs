//! A file of lines that is rotated by its size.
//!
//! A path and lines enter; at the path is the newest file, `path.1` the one before it, and so on.
//! Whoever moves the file away (logrotate) is noticed within a second. A symbolic link at the
//! path is never followed, and nothing but a regular file is written to.

use std::ffi::OsString;
use std::fs::{self, File, OpenOptions, Permissions};
use std::io::{self, Write};
use std::os::unix::fs::{fchown, MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use super::directory;

/// The owner writes, the agent's group reads.
const MODE: u32 = 0o640;
/// Pause between two looks at whether the path still names the file.
const LOOK: Duration = Duration::from_secs(1);
/// Old files that are kept at most, whatever is asked for.
const MOST_FILES: usize = 1000;
/// Room for building a line that is kept between two, in bytes.
const KEPT_ROOM: usize = 64 * 1024;

/// The file.
#[derive(Debug)]
pub struct RotatingFile {
    path: PathBuf,
    max_size: u64,
    count: usize,
    /// `None` after it could not be opened again.
    file: Option<File>,
    size: u64,
    looked: Instant,
    buffer: Vec<u8>,
}

impl RotatingFile {
    /// Opens the file, or makes it with mode 0640 for the agent's group; lines go behind those
    /// that are there. Before it grows over `max_size` bytes (0: never) it is renamed, and
    /// `count` old files are kept; with a count of 0 it is emptied.
    pub fn open(path: &Path, max_size: u64, count: usize) -> io::Result<RotatingFile> {
        let (file, size) = open(path)?;
        Ok(RotatingFile {
            path: path.to_owned(),
            max_size,
            count: count.min(MOST_FILES),
            file: Some(file),
            size,
            looked: Instant::now(),
            buffer: Vec::new(),
        })
    }

    /// The path of the newest file.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Writes a line with one call; its end is added here. When this fails nothing of the line
    /// remains in the file. A line longer than the file may be has a file for itself.
    pub fn write_line(&mut self, line: &[u8]) -> io::Result<()> {
        if self.file.is_none() || self.looked.elapsed() >= LOOK {
            self.look()?;
        }
        let length = line.len() as u64 + 1;
        if self.is_full_for(length) {
            // Somebody else may have rotated it since the last look.
            self.look()?;
            if self.is_full_for(length) {
                self.rotate()?;
            }
        }
        self.buffer.clear();
        self.buffer.shrink_to(KEPT_ROOM);
        self.buffer.extend_from_slice(line);
        self.buffer.push(b'\n');
        let Some(file) = &mut self.file else {
            return Err(io::Error::from(io::ErrorKind::NotFound));
        };
        write_or_cut(file, &self.buffer, self.size)?;
        self.size += length;
        Ok(())
    }

    fn is_full_for(&self, length: u64) -> bool {
        self.max_size > 0 && self.size > 0 && self.size + length > self.max_size
    }

    /// Opens the path again, as after a rotation by somebody else.
    pub fn reopen(&mut self) -> io::Result<()> {
        self.file = None;
        let (file, size) = open(&self.path)?;
        (self.file, self.size, self.looked) = (Some(file), size, Instant::now());
        Ok(())
    }

    /// Opens the path again when it names another file, and takes over the size that it has.
    fn look(&mut self) -> io::Result<()> {
        self.looked = Instant::now();
        let ours = self.file.as_ref().map(File::metadata).transpose()?;
        let named = fs::symlink_metadata(&self.path).ok();
        match (ours, named) {
            (Some(ours), Some(named)) if ours.dev() == named.dev() && ours.ino() == named.ino() => {
                self.size = ours.len();
                Ok(())
            }
            _ => self.reopen(),
        }
    }

    fn rotate(&mut self) -> io::Result<()> {
        if self.count == 0 {
            if let Some(file) = &self.file {
                file.set_len(0)?;
                self.size = 0;
            }
            return Ok(());
        }
        for index in (1..self.count).rev() {
            match fs::rename(self.old(index), self.old(index + 1)) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                _ => {}
            }
        }
        fs::rename(&self.path, self.old(1))?;
        self.reopen()
    }

    fn old(&self, index: usize) -> PathBuf {
        let mut name = OsString::from(&self.path);
        name.push(format!(".{index}"));
        PathBuf::from(name)
    }
}

fn open(path: &Path) -> io::Result<(File, u64)> {
    let file = OpenOptions::new()
        .append(true)
        .create(true)
        .mode(MODE)
        .custom_flags(libc::O_NOFOLLOW | libc::O_NONBLOCK | libc::O_NOCTTY)
        .open(path)?;
    let found = file.metadata()?;
    if !found.is_file() {
        return Err(io::Error::other("it is not a regular file"));
    }
    if found.len() == 0 {
        // Whoever may not do this has a file that fewer can read.
        let _ = file.set_permissions(Permissions::from_mode(MODE));
        let _ = fchown(&file, None, directory::agent_group());
    }
    Ok((file, found.len()))
}

/// Appends to a file of this size; what was written before an error is cut off again, unless
/// somebody else wrote there too.
fn write_or_cut(file: &mut File, bytes: &[u8], size: u64) -> io::Result<()> {
    let mut written = 0;
    let failed = loop {
        match file.write(bytes.get(written..).unwrap_or_default()) {
            Ok(0) => break io::Error::from(io::ErrorKind::WriteZero),
            Ok(count) => written += count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => break error,
        }
        if written >= bytes.len() {
            return Ok(());
        }
    };
    if written > 0 && file.metadata()?.len() == size + written as u64 {
        file.set_len(size)?;
    }
    Err(failed)
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Scratch(PathBuf);

    impl Scratch {
        fn new(name: &str) -> Scratch {
            let path = std::env::temp_dir().join(format!("rotate-{}-{name}", std::process::id()));
            fs::create_dir(&path).unwrap();
            Scratch(path)
        }

        fn path(&self) -> PathBuf {
            self.0.join("agent.log")
        }

        fn names(&self) -> Vec<String> {
            let entries = fs::read_dir(&self.0).unwrap();
            let mut names: Vec<String> = entries
                .map(|entry| entry.unwrap().file_name().into_string().unwrap())
                .collect();
            names.sort();
            names
        }

        fn text(&self, name: &str) -> String {
            fs::read_to_string(self.0.join(name)).unwrap()
        }
    }

    impl Drop for Scratch {
        fn drop(&mut self) {
            fs::remove_dir_all(&self.0).unwrap();
        }
    }

    #[test]
    fn lines_are_continued_and_the_oldest_file_goes() {
        let scratch = Scratch::new("continue");
        for line in 0..9 {
            // Opened anew each time, so the size is that of the file.
            let mut file = RotatingFile::open(&scratch.path(), 14, 2).unwrap();
            file.write_line(format!("line {line}").as_bytes()).unwrap();
        }
        assert_eq!(scratch.names(), ["agent.log", "agent.log.1", "agent.log.2"]);
        assert_eq!(scratch.text("agent.log"), "line 8\n");
        assert_eq!(scratch.text("agent.log.1"), "line 6\nline 7\n");
        assert_eq!(scratch.text("agent.log.2"), "line 4\nline 5\n");
        let mode = fs::metadata(scratch.path()).unwrap().mode();
        assert_eq!(mode & 0o7777, MODE);
    }

    #[test]
    fn without_old_files_it_is_emptied() {
        let scratch = Scratch::new("empty");
        let mut file = RotatingFile::open(&scratch.path(), 8, 0).unwrap();
        for line in ["one", "two", "a line that is too long", "four"] {
            file.write_line(line.as_bytes()).unwrap();
        }
        assert_eq!(scratch.names(), ["agent.log"]);
        assert_eq!(scratch.text("agent.log"), "four\n");
    }

    #[test]
    fn what_is_moved_away_is_left_alone() {
        let scratch = Scratch::new("moved");
        let mut file = RotatingFile::open(&scratch.path(), 20, 1).unwrap();
        file.write_line(b"before").unwrap();
        fs::rename(scratch.path(), scratch.0.join("moved")).unwrap();
        file.reopen().unwrap();
        file.write_line(b"after").unwrap();
        fs::rename(scratch.path(), scratch.0.join("again")).unwrap();
        // It is looked at before it is rotated, too.
        file.write_line(b"a longer line").unwrap();
        file.write_line(b"a longer line").unwrap();
        assert_eq!(scratch.text("moved"), "before\n");
        assert!(scratch.text("again").starts_with("after\n"));
        assert!(scratch.text("agent.log").ends_with("a longer line\n"));
    }

    #[test]
    fn links_and_other_kinds_are_refused() {
        let scratch = Scratch::new("kinds");
        let target = scratch.0.join("target");
        std::os::unix::fs::symlink(&target, scratch.path()).unwrap();
        assert!(RotatingFile::open(&scratch.path(), 10, 1).is_err());
        assert!(!target.exists());
        fs::remove_file(scratch.path()).unwrap();
        fs::create_dir(scratch.path()).unwrap();
        assert!(RotatingFile::open(&scratch.path(), 10, 1).is_err());
        assert!(RotatingFile::open(Path::new("/dev/null"), 10, 1).is_err());
    }

    #[test]
    fn a_full_disk_is_an_error_and_leaves_no_part_of_a_line() {
        let mut full = OpenOptions::new().append(true).open("/dev/full").unwrap();
        let error = write_or_cut(&mut full, b"line\n", 0).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::StorageFull);
    }
}
