//! What events say of the process: how it was started, by whom, as whom, and how it ended.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

use crate::cgroup::Cgroup;
use crate::harness::{policy, rule, Agent, Launch};
use crate::report::{ensure, Failure, Outcome, Report};
use crate::scratch;
use crate::terminal::Terminal;
use crate::tool::{self, Waiting};

/// What the opened files are called; the part before is the rule's name.
const SUFFIX: &str = ".process-e2e";
const OPEN_RULES: &[&str] = &["forked", "changed_user", "moved", "ancestry", "snapshot"];
const NOBODY: i64 = 65534;
/// A name that only a container's cgroup has: the runner's pid in 64 hexadecimal digits.
const CONTAINER_DIGITS: usize = 64;

type Test = fn(&Agent, &Path) -> Outcome;

const TESTS: &[(&str, Test)] = &[
    ("process_exec", exec),
    ("process_many_arguments", many_arguments),
    ("process_script", script),
    ("process_terminal", terminal),
    ("process_exit_code", exit_code),
    ("process_exit_signal", exit_signal),
    ("process_fork", fork),
    ("process_user", user),
    ("process_cgroup", cgroup),
    ("process_ancestors", ancestors),
];
const SNAPSHOT: &str = "process_snapshot";

/// Runs the tests of this file.
pub(crate) fn run(report: &mut Report) {
    if !report.wants_any(TESTS.iter().map(|(name, _)| *name).chain([SNAPSHOT])) {
        return;
    }
    let (directory, waiting, agent) = match start() {
        Ok(started) => started,
        Err(failure) => return report.not_started("process_start", failure),
    };
    report.case(SNAPSHOT, || snapshot(&agent, waiting));
    for (name, test) in TESTS {
        report.case(name, || test(&agent, &directory));
    }
}

/// One process is there before the agent.
fn start() -> Result<(PathBuf, Waiting, Agent), Failure> {
    let directory = scratch::directory("process")?.canonicalize()?;
    let path = file(&directory, "snapshot")?;
    let waiting = Waiting::start(&["--wait", "openat", "AT_FDCWD", &path, "0", "s:marker"])?;
    let mut rules: Vec<String> = OPEN_RULES
        .iter()
        .map(|name| rule(name, &format!("open.file.name == \"{name}{SUFFIX}\""), ""))
        .collect();
    let tool = "exec.file.name == \"syscalls\"";
    rules.push(rule(
        "started",
        &format!("{tool} && exec.args =~ \"getpid s:marker*\""),
        "",
    ));
    rules.push(rule("script", "exec.file.name == \"script.e2e\"", ""));
    let ended = "exit.file.name == \"syscalls\"";
    rules.push(rule(
        "ended",
        &format!("{ended} && exit.cause == EXITED && exit.code == 7"),
        "",
    ));
    rules.push(rule(
        "killed",
        &format!("{ended} && exit.cause != EXITED && exit.code == 9"),
        "",
    ));
    let agent = Launch::new("process")?
        .policy("process.policy", policy(&rules))?
        .start()?;
    Ok((directory, waiting, agent))
}

/// Makes the file that the rule of this name is about.
fn file(directory: &Path, rule: &str) -> Result<String, Failure> {
    let path = directory.join(format!("{rule}{SUFFIX}"));
    fs::write(&path, "")?;
    Ok(path.to_string_lossy().into_owned())
}

fn tool_path() -> Result<String, Failure> {
    Ok(scratch::tool("syscalls")
        .canonicalize()?
        .to_string_lossy()
        .into_owned())
}

/// Fails with both values when they differ.
fn same(what: &str, found: &Value, expected: impl Into<Value>) -> Outcome {
    let expected = expected.into();
    ensure(*found == expected, || {
        format!("{what} is {found}, expected {expected}")
    })
}

fn strings(value: &Value) -> Vec<&str> {
    value
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(Value::as_str)
        .collect()
}

fn snapshot(agent: &Agent, waiting: Waiting) -> Outcome {
    let call = waiting.release()?;
    let event = agent.event_of("snapshot", call.pid)?;
    let process = &event["process"];
    same("source", &process["source"], "snapshot")?;
    same("executable", &process["executable"]["path"], tool_path()?)?;
    same("ppid", &process["ppid"], std::process::id())?;
    let arguments = strings(&process["args"]);
    ensure(arguments.last() == Some(&"s:marker"), || {
        format!("args are {arguments:?}")
    })
}

fn exec(agent: &Agent, _: &Path) -> Outcome {
    let mut command = tool::command(&["getpid", "s:marker", "s:two  words", "s:quo\"te\n\u{e9}"]);
    command
        .arg0("another name")
        .env_clear()
        .env("E2E_FIRST", "secret-value")
        .env("E2E_SECOND", "");
    let child = command.spawn()?;
    let pid = i64::from(child.id());
    child.wait_with_output()?;
    let event = agent.event_of("started", pid)?;
    let process = &event["process"];
    same("event", &event["evt"]["name"], "exec")?;
    same("category", &event["evt"]["category"], "Process Activity")?;
    same("executable", &process["executable"]["path"], tool_path()?)?;
    same("argv0", &process["argv0"], "another name")?;
    same("comm", &process["comm"], "syscalls")?;
    same("source", &process["source"], "runtime")?;
    let arguments = ["getpid", "s:marker", "s:two  words", "s:quo\"te\n\u{e9}"];
    same("args", &process["args"], arguments.to_vec())?;
    let envs = strings(&process["envs"]);
    ensure(envs == ["E2E_FIRST", "E2E_SECOND"], || {
        format!("envs are {envs:?}")
    })?;
    ensure(!event.to_string().contains("secret-value"), || {
        "a variable's value leaks".to_owned()
    })
}

/// More than an event holds: it says so, and what it has is right.
fn many_arguments(agent: &Agent, _: &Path) -> Outcome {
    let mut arguments = vec!["getpid".to_owned(), "s:marker".to_owned()];
    arguments.extend((0..2000).map(|number| format!("s:argument-{number}-{}", "x".repeat(40))));
    let call = tool::run(&arguments)?;
    let event = agent.event_of("started", call.pid)?;
    let process = &event["process"];
    same("args_truncated", &process["args_truncated"], true)?;
    let found = strings(&process["args"]);
    ensure(found.len() > 100 && found.len() < arguments.len(), || {
        format!("{} args", found.len())
    })?;
    // The last one may be cut.
    let whole = found.get(..found.len() - 1).unwrap_or_default();
    let wrong = whole
        .iter()
        .zip(&arguments)
        .find(|(found, given)| *found != given);
    ensure(wrong.is_none(), || {
        format!("an argument differs: {wrong:?}")
    })
}

fn script(agent: &Agent, directory: &Path) -> Outcome {
    let tool = tool_path()?;
    let path = directory.join("script.e2e");
    fs::write(&path, format!("#!{tool} getpid\n"))?;
    fs::set_permissions(&path, Permissions::from_mode(0o755))?;
    let child = Command::new(&path)
        .stdout(std::process::Stdio::null())
        .spawn()?;
    let pid = i64::from(child.id());
    child.wait_with_output()?;
    let event = agent.event_of("script", pid)?;
    let process = &event["process"];
    same(
        "executable",
        &process["executable"]["path"],
        path.to_string_lossy().into_owned(),
    )?;
    same("interpreter", &process["interpreter"]["path"], tool)
}

fn terminal(agent: &Agent, _: &Path) -> Outcome {
    let terminal = Terminal::open()?;
    let name = &terminal.name;
    let tool = tool_path()?;
    let arguments = [
        "--fork", "--tty", name, "exec", &tool, "getpid", "s:marker", "s:tty",
    ];
    let call = tool::run(&arguments)?;
    let event = agent.event_of("started", call.pid)?;
    let number = name.rsplit('/').next().unwrap_or_default();
    same("tty", &event["process"]["tty"], format!("pts{number}"))
}

fn exit_code(agent: &Agent, _: &Path) -> Outcome {
    let child = tool::command(&["exit_group", "7"]).spawn()?;
    let pid = i64::from(child.id());
    child.wait_with_output()?;
    let event = agent.event_of("ended", pid)?;
    same("event", &event["evt"]["name"], "exit")?;
    same("cause", &event["exit"]["cause"], "EXITED")?;
    same("code", &event["exit"]["code"], 7)
}

fn exit_signal(agent: &Agent, _: &Path) -> Outcome {
    let child = tool::command(&["kill", "self", "9"]).spawn()?;
    let pid = i64::from(child.id());
    child.wait_with_output()?;
    let event = agent.event_of("killed", pid)?;
    same("cause", &event["exit"]["cause"], "SIGNALED")?;
    same("code", &event["exit"]["code"], 9)
}

/// A child that executes nothing is its parent's image with a pid of its own.
fn fork(agent: &Agent, directory: &Path) -> Outcome {
    let path = file(directory, "forked")?;
    let call = tool::run(&["--fork", "openat", "AT_FDCWD", &path, "0"])?;
    ensure(call.pid != call.tool_pid, || {
        "the tool did not fork".to_owned()
    })?;
    let event = agent.event_of("forked", call.pid)?;
    let process = &event["process"];
    same("ppid", &process["ppid"], call.tool_pid)?;
    same("parent.pid", &process["parent"]["pid"], call.tool_pid)?;
    same("executable", &process["executable"]["path"], tool_path()?)?;
    same(
        "parent.executable",
        &process["parent"]["executable"]["path"],
        tool_path()?,
    )
}

fn user(agent: &Agent, directory: &Path) -> Outcome {
    let path = file(directory, "changed_user")?;
    let call = tool::run(&["--uid", "65534", "openat", "AT_FDCWD", &path, "0"])?;
    let event = agent.event_of("changed_user", call.pid)?;
    let process = &event["process"];
    for id in ["uid", "gid", "euid", "egid", "fsuid", "fsgid"] {
        same(id, &process["credentials"][id], NOBODY)?;
    }
    same("uid", &process["uid"], NOBODY)?;
    same("parent's uid", &process["parent"]["credentials"]["uid"], 0)
}

fn cgroup(agent: &Agent, directory: &Path) -> Outcome {
    let outer = Cgroup::new("process")?;
    let id = format!("{:0CONTAINER_DIGITS$x}", std::process::id());
    let inner = outer.child(&id)?;
    let path = file(directory, "moved")?;
    let place = inner.directory();
    let call = tool::run(&["--cgroup", &place, "openat", "AT_FDCWD", &path, "0"])?;
    let event = agent.event_of("moved", call.pid)?;
    let found = event["cgroup"]["id"].as_str().unwrap_or_default();
    ensure(found.ends_with(&format!("/{id}")), || {
        format!("cgroup.id is `{found}`")
    })?;
    same("container.id", &event["container"]["id"], id.clone())?;
    drop(inner);
    drop(outer);
    Ok(())
}

/// The chain of parents up to the first process, each once, as /proc tells it.
fn lineage(pid: u32) -> Result<Vec<i64>, Failure> {
    let mut chain = Vec::new();
    let mut current = i64::from(pid);
    while current > 0 {
        chain.push(current);
        let stat = fs::read_to_string(format!("/proc/{current}/stat"))?;
        let rest = stat.rsplit_once(')').map_or("", |(_, rest)| rest);
        current = rest
            .split_whitespace()
            .nth(1)
            .and_then(|word| word.parse().ok())
            .unwrap_or(0);
    }
    Ok(chain)
}

fn ancestors(agent: &Agent, directory: &Path) -> Outcome {
    let path = file(directory, "ancestry")?;
    let call = tool::run(&["--fork", "openat", "AT_FDCWD", &path, "0"])?;
    let event = agent.event_of("ancestry", call.pid)?;
    let ancestors = event["process"]["ancestors"]
        .as_array()
        .cloned()
        .unwrap_or_default();
    let mut found: Vec<i64> = ancestors
        .iter()
        .filter_map(|ancestor| ancestor["pid"].as_i64())
        .collect();
    // Each program that a process executed is an ancestor of the next one.
    found.dedup();
    let mut expected = vec![call.tool_pid];
    expected.extend(lineage(std::process::id())?);
    ensure(found == expected, || {
        format!("ancestors are {found:?}, expected {expected:?}")
    })
}
