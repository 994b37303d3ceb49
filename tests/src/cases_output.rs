//! What is printed: JSON lines for programs, sentences for people, one object from `status -j`.

use std::fs;
use std::os::unix::fs::symlink;
use std::process::Command;

use serde_json::Value;

use crate::finished::finish;
use crate::harness::{rule_of, Agent, Launch};
use crate::report::{ensure, Outcome, Report};
use crate::scratch::{self, patience, wait_for};
use crate::terminal::Terminal;
use crate::tool;

/// What every event of a rule has at its top.
const EVENT_KEYS: &[&str] = &["agent", "title", "date", "evt", "process", "usr", "file"];
const AGENT_KEYS: &[&str] = &["rule_id", "policy_name", "version", "os", "arch", "origin"];
/// The types that the first release knows.
const EVENT_TYPES: &[&str] = &["open", "chmod", "chown", "exec", "exit"];

/// Runs the tests of this file.
pub(crate) fn run(report: &mut Report) {
    report.case("output_json", json);
    report.case("output_terminal", terminal);
    report.case("output_status", status);
    report.case("output_status_half", status_half);
    report.case("output_names", names);
    report.case("output_help", help);
}

/// Does what the built-in policy reports as an event of a file: chmod 777 of a file in /tmp.
fn provoke(agent: &Agent) -> Result<(String, Value), crate::report::Failure> {
    let path = scratch::directory("provoke")?.canonicalize()?.join("file");
    fs::write(&path, "")?;
    let path = path.to_string_lossy().into_owned();
    let call = tool::run(&["fchmodat", "AT_FDCWD", &path, "0777"])?;
    let found = agent.event(|event| {
        event["file"]["path"] == path.as_str() && event["process"]["pid"] == call.pid
    });
    let event = found.ok_or_else(|| format!("no event for {path}; log: {}", agent.log()))?;
    Ok((path, event))
}

fn json() -> Outcome {
    let mut agent = Launch::new("json")?.default_policy().start()?;
    let (_, event) = provoke(&agent)?;
    for key in EVENT_KEYS {
        ensure(event.get(key).is_some(), || {
            format!("the event has no `{key}`: {event}")
        })?;
    }
    for key in AGENT_KEYS {
        ensure(event["agent"].get(key).is_some(), || {
            format!("its agent has no `{key}`: {event}")
        })?;
    }
    agent.stop()?;
    let invalid = agent.invalid_lines();
    ensure(invalid.is_empty(), || format!("not JSON: {invalid:?}"))?;
    for line in agent.lines() {
        let known = !rule_of(&line.event).is_empty() && line.event.get("date").is_some();
        ensure(known, || format!("no event: {}", line.text))?;
        ensure(is_compact(&line.text), || {
            format!("not compact: {}", line.text)
        })?;
    }
    Ok(())
}

/// Written without spaces between its parts.
fn is_compact(text: &str) -> bool {
    let mut in_string = false;
    let mut escaped = false;
    for character in text.chars() {
        match character {
            _ if escaped => escaped = false,
            '\\' if in_string => escaped = true,
            '"' => in_string = !in_string,
            ' ' | '\t' if !in_string => return false,
            _ => {}
        }
    }
    true
}

fn terminal() -> Outcome {
    let screen = Terminal::open()?;
    let launch = Launch::new("terminal")?
        .default_policy()
        .arguments(&["run"]);
    let agent = launch.stdout(screen.output.try_clone()?).spawn()?;
    let shown = || format!("{}\n{}", screen.text(), agent.log());
    let passed = wait_for(patience(15), || {
        shown().contains("Runtime self test: OK").then_some(())
    });
    ensure(passed.is_some(), || format!("no self-test: {}", shown()))?;
    for event in EVENT_TYPES {
        ensure(shown().contains(event), || {
            format!("the rung of {event} is not told: {}", shown())
        })?;
    }
    let path = scratch::directory("provoke")?.canonicalize()?.join("file");
    fs::write(&path, "")?;
    let path = path.to_string_lossy().into_owned();
    tool::run(&["fchmodat", "AT_FDCWD", &path, "0777"])?;
    let line = wait_for(patience(5), || {
        screen
            .text()
            .lines()
            .find(|line| line.contains(&path))
            .map(str::to_owned)
    });
    let line = line.ok_or_else(|| format!("no line for {path}: {}", shown()))?;
    ensure(!line.starts_with('{'), || {
        format!("JSON on a terminal: {line}")
    })
}

fn status() -> Outcome {
    let mut agent = Launch::new("status")?.default_policy().start()?;
    let (code, value) = agent.status()?;
    ensure(code == Some(0) && value.is_object(), || {
        format!("code {code:?}: {value}")
    })?;
    let text = agent.command(&["status"])?;
    ensure(text.code == Some(0), || text.said())?;
    for word in ["open", "chmod", "chown", "exec", "default.policy"] {
        ensure(text.stdout.contains(word), || {
            format!("`{word}` is missing: {}", text.stdout)
        })?;
    }
    agent.stop()?;
    let (code, value) = agent.status()?;
    ensure(code == Some(1) && value.is_object(), || {
        format!("stopped: code {code:?}: {value}")
    })
}

/// One role alone is not enough for `status`, and enough for the self-test.
fn status_half() -> Outcome {
    let launch = Launch::new("half")?
        .default_policy()
        .arguments(&["system-probe", "run"]);
    let agent = launch.spawn()?;
    let hooked = || {
        agent
            .command_status()
            .filter(|status| status["hooks_attached"] == true)
    };
    let up = wait_for(patience(10), hooked);
    ensure(up.is_some(), || {
        format!("system-probe is not up: {}", agent.log())
    })?;
    let (code, value) = agent.status()?;
    ensure(code == Some(1), || format!("code {code:?}: {value}"))?;
    let finished = agent.command(&["runtime", "self-test"])?;
    ensure(finished.code == Some(0), || finished.said())
}

/// The binary goes by its own name, by other names, and by its first argument.
fn names() -> Outcome {
    let directory = scratch::directory("names")?;
    for name in ["system-probe", "security-agent"] {
        let link = directory.join(name);
        symlink(scratch::agent_binary(), &link)?;
        let mut command = Command::new(&link);
        command.arg("version");
        let finished = finish(command, patience(5))?;
        ensure(finished.code == Some(0), || {
            format!("{name}: {}", finished.said())
        })?;
        let mut command = Command::new(scratch::agent_binary());
        command.args([name, "version"]);
        let finished = finish(command, patience(5))?;
        ensure(finished.code == Some(0), || {
            format!("{name} by argument: {}", finished.said())
        })?;
    }
    Ok(())
}

fn help() -> Outcome {
    let commands: &[&[&str]] = &[
        &["--help"],
        &["run", "--help"],
        &["start", "--help"],
        &["system-probe", "run", "--help"],
        &["runtime", "--help"],
        &["runtime", "self-test", "--help"],
        &["runtime", "policy", "check", "--help"],
        &["status", "--help"],
        &["version", "--help"],
    ];
    for arguments in commands {
        let mut command = Command::new(scratch::agent_binary());
        command.args(*arguments);
        let finished = finish(command, patience(5))?;
        let good = finished.code == Some(0) && finished.stdout.to_lowercase().contains("usage");
        ensure(good, || {
            format!("{}: {}", arguments.join(" "), finished.said())
        })?;
    }
    let mut command = Command::new(scratch::agent_binary());
    command.arg("no-such-command");
    let finished = finish(command, patience(5))?;
    ensure(
        finished.code == Some(2) && !finished.stderr.is_empty(),
        || finished.said(),
    )
}
