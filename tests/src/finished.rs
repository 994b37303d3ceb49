//! Commands that run to their end: what they printed and how they ended.

use std::ffi::OsStr;
use std::fs::{self, File};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use crate::report::Failure;
use crate::scratch::{self, wait_for};

/// A command that has ended.
#[derive(Debug)]
pub(crate) struct Finished {
    /// Its exit code; `None` when a signal ended it.
    pub(crate) code: Option<i32>,
    /// What it printed.
    pub(crate) stdout: String,
    /// What it complained about.
    pub(crate) stderr: String,
}

impl Finished {
    /// Both outputs and the code, for messages.
    pub(crate) fn said(&self) -> String {
        format!(
            "code {:?}, stdout `{}`, stderr `{}`",
            self.code, self.stdout, self.stderr
        )
    }
}

/// Runs a command to its end; kills it and fails after `limit`.
pub(crate) fn finish(mut command: Command, limit: Duration) -> Result<Finished, Failure> {
    let directory = scratch::directory("command")?;
    let (out, err) = (directory.join("out"), directory.join("err"));
    let name = describe(&command);
    let mut child = command
        .stdin(Stdio::null())
        .stdout(File::create(&out)?)
        .stderr(File::create(&err)?)
        .spawn()?;
    let status = wait_for(limit, || child.try_wait().ok().flatten());
    if status.is_none() {
        let _ = child.kill();
        let _ = child.wait();
    }
    let finished = Finished {
        code: status.and_then(|status| status.code()),
        stdout: read_text(&out),
        stderr: read_text(&err),
    };
    fs::remove_dir_all(&directory)?;
    match status {
        Some(_) => Ok(finished),
        None => Err(Failure::Failed(format!(
            "`{name}` had not ended after {} s: {}",
            limit.as_secs(),
            finished.said()
        ))),
    }
}

fn describe(command: &Command) -> String {
    let words: Vec<&OsStr> = std::iter::once(command.get_program())
        .chain(command.get_args())
        .collect();
    words.join(OsStr::new(" ")).to_string_lossy().into_owned()
}

fn read_text(path: &Path) -> String {
    String::from_utf8_lossy(&fs::read(path).unwrap_or_default()).into_owned()
}
