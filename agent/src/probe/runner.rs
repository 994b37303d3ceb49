//! The self-test's runner and its triggers: processes of their own, started by system-probe.
//!
//! The runner subscribes to the event socket, silent rules included, starts one process for each
//! action, waits for the three events, and prints what came as one line of JSON.

use std::fs::{self, OpenOptions};
use std::io::{self, BufRead, BufReader, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use serde::Deserialize;

use super::self_test::{Outcome, TESTS};
use super::subscription::PROTOCOL;

/// How long the three events may take in all.
const PATIENCE: Duration = Duration::from_secs(10);

/// What the runner reads of an event line.
#[derive(Deserialize)]
struct Line {
    #[serde(default)]
    rule_id: String,
}

/// `self-test-runner SOCKET TARGET`: prints an [`Outcome`].
pub fn run(arguments: &[String]) -> io::Result<()> {
    let [socket, target] = arguments else {
        return Err(io::Error::other("usage: self-test-runner SOCKET TARGET"));
    };
    let outcome = match subscribe(Path::new(socket)) {
        Ok(events) => observe(events, target),
        Err(error) => {
            Outcome::failure(format!("the event socket {socket} cannot be read: {error}"))
        }
    };
    let answer = serde_json::to_string(&outcome)?;
    io::stdout().write_all(answer.as_bytes())
}

/// `self-test-trigger ACTION TARGET`: does one of the three actions.
pub fn trigger(arguments: &[String]) -> io::Result<()> {
    let [action, target] = arguments else {
        return Err(io::Error::other("usage: self-test-trigger ACTION TARGET"));
    };
    match action.as_str() {
        "open" => OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .custom_flags(nix::libc::O_NOFOLLOW)
            .open(target)
            .map(drop),
        "chmod" => fs::set_permissions(target, fs::Permissions::from_mode(0o777)),
        "chown" => {
            let owner = fs::symlink_metadata(target)?.uid();
            std::os::unix::fs::chown(target, Some(owner), None)
        }
        other => Err(io::Error::other(format!("unknown action {other}"))),
    }
}

/// Connects, and waits for the hello.
fn subscribe(socket: &Path) -> io::Result<BufReader<UnixStream>> {
    let mut stream = UnixStream::connect(socket)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    let request = format!(
        "{{\"subscribe\":\"events\",\"protocol\":{PROTOCOL},\"silent\":true,\"role\":\"self-test\"}}\n"
    );
    stream.write_all(request.as_bytes())?;
    let mut events = BufReader::new(stream);
    let mut hello = String::new();
    events.read_line(&mut hello)?;
    match hello.contains("\"hello\"") {
        true => Ok(events),
        false => Err(io::Error::other(format!("it answered {}", hello.trim()))),
    }
}

fn observe(mut events: BufReader<UnixStream>, target: &str) -> Outcome {
    let mut outcome = Outcome::default();
    for (action, _) in TESTS {
        if let Err(reason) = start_trigger(action, target) {
            outcome.reason = reason;
            break;
        }
    }
    if outcome.reason.is_empty() {
        outcome.reason = wait_for_events(&mut events, &mut outcome.succeeded);
    }
    let came = |name: &str| outcome.succeeded.iter().any(|succeeded| succeeded == name);
    let names = TESTS.iter().map(|(name, _)| *name);
    outcome.failed = names
        .filter(|name| !came(name))
        .map(str::to_string)
        .collect();
    outcome
}

/// Runs one trigger to its end; an error is a sentence.
fn start_trigger(action: &str, target: &str) -> Result<(), String> {
    let output = Command::new("/proc/self/exe")
        .args(["self-test-trigger", action, target])
        .stdin(Stdio::null())
        .output()
        .map_err(|error| format!("the {action} trigger could not be started: {error}"))?;
    if output.status.success() {
        return Ok(());
    }
    let said = String::from_utf8_lossy(&output.stderr);
    Err(format!("the {action} trigger failed: {}", said.trim()))
}

/// Reads events until all three came; returns why it stopped earlier, or nothing.
fn wait_for_events(events: &mut BufReader<UnixStream>, succeeded: &mut Vec<String>) -> String {
    let started = Instant::now();
    let mut line = String::new();
    while succeeded.len() < TESTS.len() && started.elapsed() < PATIENCE {
        let left = PATIENCE
            .saturating_sub(started.elapsed())
            .max(Duration::from_millis(1));
        let _ = events.get_ref().set_read_timeout(Some(left));
        line.clear();
        match events.read_line(&mut line) {
            Ok(0) => return "the event socket was closed".to_string(),
            Ok(_) => note(&line, succeeded),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return format!("the event socket failed: {error}"),
        }
    }
    String::new()
}

fn note(line: &str, succeeded: &mut Vec<String>) {
    let rule = serde_json::from_str::<Line>(line).map(|line| line.rule_id);
    let rule = rule.unwrap_or_default();
    if let Some((name, _)) = TESTS.iter().find(|(_, id)| *id == rule) {
        if !succeeded.iter().any(|known| known == name) {
            succeeded.push((*name).to_string());
        }
    }
}
