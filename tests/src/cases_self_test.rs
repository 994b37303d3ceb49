//! The self-test: it says OK when events come through, and names the one that does not.

use std::fs;
use std::path::Path;

use crate::harness::{Agent, Launch};
use crate::report::{ensure, Outcome, Report};
use crate::scratch;
use crate::tool;

const OK: &str = "Runtime self test: OK\n";
const ERROR: &str = "Runtime self test: error: ";
const RUNS: usize = 10;
/// Every hook of the ladder that sees a chmod.
const CHMOD_HOOKS: &str =
    "sys_exit_chmod sys_exit_fchmod sys_exit_fchmodat sys_exit_fchmodat2 chmod_common";

/// Runs the tests of this file.
pub(crate) fn run(report: &mut Report) {
    report.case("self_test_ten_times", ten_times);
    report.case("self_test_under_load", under_load);
    report.case("self_test_at_once", at_once);
    report.case("self_test_stopped", stopped);
    report.case("self_test_hook_off", hook_off);
    report.case("self_test_socket_blocked", socket_blocked);
}

fn launch() -> std::io::Result<Launch> {
    Ok(Launch::new("self-test")?.default_policy())
}

/// Directories that a self-test left in the agent's temporary directory.
fn leftovers(temporary: &Path) -> Vec<String> {
    let entries = fs::read_dir(temporary).into_iter().flatten().flatten();
    entries
        .map(|entry| entry.file_name().to_string_lossy().into_owned())
        .collect()
}

fn expect_ok(agent: &Agent) -> Outcome {
    let finished = agent.command(&["runtime", "self-test"])?;
    ensure(finished.code == Some(0) && finished.stdout == OK, || {
        finished.said()
    })
}

fn ten_times() -> Outcome {
    let temporary = scratch::directory("tmp")?;
    let mut agent = launch()?
        .env("TMPDIR", &temporary.to_string_lossy())
        .start()?;
    for number in 1..=RUNS {
        expect_ok(&agent).map_err(|failure| failure.at(&format!("run {number}")))?;
    }
    agent.stop()?;
    let left = leftovers(&temporary);
    ensure(left.is_empty(), || format!("left behind: {left:?}"))
}

fn under_load() -> Outcome {
    let agent = launch()?.start()?;
    let path = scratch::directory("load")?.join("file");
    fs::write(&path, "")?;
    let path = path.to_string_lossy();
    let load = tool::command(&["burst", "300000", &path]).spawn()?;
    let outcome = expect_ok(&agent);
    load.wait_with_output()?;
    outcome
}

/// Who asks while a test runs waits for it and gets one of his own.
fn at_once() -> Outcome {
    let agent = launch()?.start()?;
    let mut tests = Vec::new();
    for _ in 0..4 {
        tests.push(agent.begin(&["runtime", "self-test"])?);
    }
    for mut test in tests {
        let status = test.wait()?;
        ensure(status.success(), || {
            format!("one of four ended with {status}; log: {}", agent.log())
        })?;
    }
    Ok(())
}

/// Without system-probe: a sentence that names the socket.
fn stopped() -> Outcome {
    let mut agent = launch()?.start()?;
    agent.stop()?;
    let finished = agent.command(&["runtime", "self-test"])?;
    let said = format!("{}{}", finished.stdout, finished.stderr);
    let socket = agent.command_socket();
    ensure(finished.code.is_some_and(|code| code != 0), || {
        finished.said()
    })?;
    ensure(
        said.contains("unable to create a runtime security client instance"),
        || said.clone(),
    )?;
    ensure(said.contains(&*socket.to_string_lossy()), || {
        format!("the socket is not named: {said}")
    })
}

fn expect_error(agent: &Agent, words: &[&str]) -> Outcome {
    let finished = agent.command(&["runtime", "self-test"])?;
    let sentence = finished.stdout.strip_prefix(ERROR).unwrap_or_default();
    ensure(finished.code == Some(1) && !sentence.is_empty(), || {
        finished.said()
    })?;
    ensure(words.iter().any(|word| sentence.contains(word)), || {
        format!("none of {words:?} is named: {sentence}")
    })
}

fn hook_off() -> Outcome {
    let agent = launch()?
        .env("DD_EVENT_MONITORING_CONFIG_DISABLED_HOOKS", CHMOD_HOOKS)
        .spawn()?;
    let answers = || agent.command_status().is_some().then_some(());
    let up = scratch::wait_for(scratch::patience(10), answers);
    ensure(up.is_some(), || {
        format!("system-probe does not answer: {}", agent.log())
    })?;
    expect_error(&agent, &["chmod"])
}

/// The events are read from the event socket: without it there are none.
fn socket_blocked() -> Outcome {
    let temporary = scratch::directory("tmp")?;
    let mut agent = launch()?
        .env("TMPDIR", &temporary.to_string_lossy())
        .start()?;
    // The test at the start must be over, it has its connection already.
    expect_ok(&agent)?;
    let socket = agent.event_socket();
    let moved = socket.with_extension("moved");
    fs::rename(&socket, &moved)?;
    let outcome = expect_error(&agent, &["open", "chmod", "chown"]);
    fs::rename(&moved, &socket)?;
    outcome?;
    expect_ok(&agent).map_err(|failure| failure.at("with the socket back"))?;
    agent.stop()?;
    let left = leftovers(&temporary);
    ensure(left.is_empty(), || format!("left behind: {left:?}"))
}
