//! Hostile directories of logs: what somebody who may write there can put there to make a flare
//! hang, grow without end, leave its archive or carry off what is not its own.

use std::ffi::{OsStr, OsString};
use std::fs::{self, File, OpenOptions};
use std::io::Write;
use std::os::unix::ffi::OsStringExt;
use std::os::unix::fs::symlink;
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::Duration;

use nix::sys::stat::Mode;
use nix::unistd::mkfifo;

use crate::report::Failure;
use crate::scratch;

/// What stands in a file that is nobody's log.
pub(crate) const FOREIGN: &str = "root:$6$Zq3vXn7k$not-for-anybody:19000:0:99999:7:::";
/// Bytes that a sparse file seems to have.
const SPARSE: u64 = 1 << 40;
/// Directories within each other.
const DEPTH: usize = 40;
/// Small files beside each other.
const MANY: usize = 300;
/// Bytes that a growing file grows to at most, and by.
const LARGEST: usize = 64 << 20;
const PIECE: usize = 16 << 10;
const PAUSE: Duration = Duration::from_millis(2);

/// Fills a directory of logs. What must stay open for it to be hostile leaves.
pub(crate) fn fill(logs: &Path) -> Result<UnixListener, Failure> {
    let outside = scratch::directory("outside")?;
    fs::write(outside.join("shadow"), FOREIGN)?;
    fs::write(outside.join("other.log"), FOREIGN)?;
    symlink(outside.join("shadow"), logs.join("shadow.log"))?;
    symlink(&outside, logs.join("directory"))?;
    symlink("../../../../../../etc/passwd", logs.join("relative.log"))?;
    symlink("loop.log", logs.join("loop.log"))?;
    symlink("/dev/zero", logs.join("zero.log"))?;
    symlink(logs, logs.join("again"))?;
    mkfifo(&logs.join("fifo.log"), Mode::from_bits_truncate(0o644))?;
    File::create(logs.join("sparse.log"))?.set_len(SPARSE)?;
    for name in odd_names() {
        fs::write(logs.join(name), "a line of an odd file\n")?;
    }
    let mut deep = logs.to_path_buf();
    for _ in 0..DEPTH {
        deep.push("deep");
        fs::create_dir(&deep)?;
    }
    fs::write(deep.join("bottom.log"), "a line of a deep file\n")?;
    for number in 0..MANY {
        fs::write(logs.join(format!("many-{number}.log")), "one of many\n")?;
    }
    Ok(UnixListener::bind(logs.join("socket.log"))?)
}

/// Names that are trouble in listings, on terminals or in archives.
fn odd_names() -> Vec<OsString> {
    let mut names: Vec<OsString> = [
        "new\nline.log",
        "return\r.log",
        "\u{1b}[31mred\u{1b}[0m.log",
        "..log",
        "...log",
        ".. .log",
        "-rf.log",
        "--checkpoint-action=exec=false.log",
        "back\\slash.log",
        "..\\..\\up.log",
        "quote\"'`.log",
        " .log",
        "umlaut-\u{e4}\u{202e}gpj.log",
        "zero.log.1",
    ]
    .map(OsString::from)
    .into();
    names.push(OsString::from_vec(b"bytes-\xff\xfe.log".to_vec()));
    names.push("x".repeat(251).into());
    if let Some(last) = names.last_mut() {
        last.push(OsStr::new(".log"));
    }
    names
}

/// A log that somebody writes to all the time; no longer when it is dropped.
pub(crate) struct Growing {
    stop: Arc<AtomicBool>,
    writing: Option<JoinHandle<()>>,
}

impl Growing {
    /// Begins to write.
    pub(crate) fn start(path: PathBuf) -> Result<Growing, Failure> {
        let mut file = OpenOptions::new().create(true).append(true).open(path)?;
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = Arc::clone(&stop);
        let writing = thread::spawn(move || {
            let piece = "a line of a log that grows all the time\n".repeat(PIECE / 40);
            let mut size = 0;
            while size < LARGEST && !stopped.load(Ordering::Relaxed) {
                if file.write_all(piece.as_bytes()).is_err() {
                    return;
                }
                size += piece.len();
                thread::sleep(PAUSE);
            }
        });
        Ok(Growing {
            stop,
            writing: Some(writing),
        })
    }
}

impl Drop for Growing {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(writing) = self.writing.take() {
            let _ = writing.join();
        }
    }
}
