//! Runs of the C tools: `syscalls` makes exactly one system call with the arguments it is given,
//! `user_session` sends messages about sessions of users and may become the other one.

use std::ffi::{OsStr, OsString};
use std::io::{BufRead, BufReader, Write};
use std::os::unix::ffi::OsStringExt;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

use crate::report::Failure;
use crate::scratch;

/// What the kernel answers to a call that it does not know.
pub(crate) const ENOSYS: i64 = -38;

/// What a run of the tool said.
#[derive(Debug)]
pub(crate) struct Call {
    /// The process that made the call; that of the tool, or of a child of it with `--fork`.
    pub(crate) pid: i64,
    /// What the kernel returned.
    pub(crate) result: i64,
    /// What /proc says of the descriptor that the call opened, seen by the caller.
    pub(crate) link: Option<PathBuf>,
    /// The process of the tool itself.
    pub(crate) tool_pid: i64,
}

/// The tool with these arguments, not started.
pub(crate) fn command<S: AsRef<OsStr>>(arguments: &[S]) -> Command {
    command_of("syscalls", arguments)
}

fn command_of<S: AsRef<OsStr>>(tool: &str, arguments: &[S]) -> Command {
    let mut command = Command::new(scratch::tool(tool));
    command
        .args(arguments)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    command
}

/// Runs the tool to its end.
pub(crate) fn run<S: AsRef<OsStr>>(arguments: &[S]) -> Result<Call, Failure> {
    let child = command(arguments).spawn()?;
    finish(child)
}

/// Runs the tool that sends messages about sessions to its end.
pub(crate) fn run_session<S: AsRef<OsStr>>(arguments: &[S]) -> Result<Call, Failure> {
    let child = command_of("user_session", arguments).spawn()?;
    finish(child)
}

/// A tool that waits before its call.
pub(crate) struct Waiting {
    child: Child,
}

impl Waiting {
    /// Starts the tool; the arguments hold `--wait`.
    pub(crate) fn start<S: AsRef<OsStr>>(arguments: &[S]) -> Result<Waiting, Failure> {
        let child = command(arguments).stdin(Stdio::piped()).spawn()?;
        Ok(Waiting { child })
    }

    /// Starts the tool that sends messages about sessions; the arguments hold `--wait`.
    pub(crate) fn start_session<S: AsRef<OsStr>>(arguments: &[S]) -> Result<Waiting, Failure> {
        let child = command_of("user_session", arguments)
            .stdin(Stdio::piped())
            .spawn()?;
        Ok(Waiting { child })
    }

    /// Lets it make its call; returns when it has ended.
    pub(crate) fn release(mut self) -> Result<Call, Failure> {
        if let Some(mut input) = self.child.stdin.take() {
            input.write_all(b"\n")?;
        }
        finish(self.child)
    }
}

/// A tool that has made its call and is still there; it ends when dropped.
pub(crate) struct Staying(Child);

impl Staying {
    /// Starts the tool with `--stay` and returns once it has made its call.
    pub(crate) fn start(arguments: &[OsString]) -> Result<(Call, Staying), Failure> {
        let mut words = vec![OsString::from("--stay")];
        words.extend_from_slice(arguments);
        let mut child = command(&words).stdin(Stdio::piped()).spawn()?;
        let pid = i64::from(child.id());
        let output = child.stdout.take();
        let staying = Staying(child);
        let mut line = String::new();
        if let Some(output) = output {
            BufReader::new(output).read_line(&mut line)?;
        }
        Ok((parse(line.into_bytes(), pid)?, staying))
    }
}

impl Drop for Staying {
    fn drop(&mut self) {
        drop(self.0.stdin.take());
        let _ = self.0.wait();
    }
}

fn finish(child: Child) -> Result<Call, Failure> {
    let tool_pid = i64::from(child.id());
    let output = child.wait_with_output()?;
    if output.status.code() == Some(2) {
        let reason = String::from_utf8_lossy(&output.stderr).into_owned();
        return Err(Failure::Failed(format!(
            "the tool could not prepare its call: {reason}"
        )));
    }
    parse(output.stdout, tool_pid)
}

/// Reads `pid=PID result=RESULT` and `link=PATH`, which may hold line breaks and ends the output.
fn parse(output: Vec<u8>, tool_pid: i64) -> Result<Call, Failure> {
    let marker = b"\nlink=";
    let split = output
        .windows(marker.len())
        .position(|window| window == marker);
    let (first, link) = match split {
        Some(at) => {
            let mut rest = output.get(at + marker.len()..).unwrap_or_default().to_vec();
            rest.pop();
            (
                output.get(..at).unwrap_or_default().to_vec(),
                Some(PathBuf::from(OsString::from_vec(rest))),
            )
        }
        None => (output, None),
    };
    let text = String::from_utf8_lossy(&first).into_owned();
    let number = |key: &str| {
        text.split_whitespace()
            .find_map(|word| word.strip_prefix(key)?.parse::<i64>().ok())
    };
    match (number("pid="), number("result=")) {
        (Some(pid), Some(result)) => Ok(Call {
            pid,
            result,
            link,
            tool_pid,
        }),
        _ => Err(Failure::Failed(format!("the tool said `{text}`"))),
    }
}
