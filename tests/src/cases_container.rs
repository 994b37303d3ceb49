//! An agent in namespaces of its own, as containers have them: what it finds of the host all the
//! same, and what it says when something of it is missing.

use std::path::Path;

use nix::sys::signal::{kill, Signal};
use nix::unistd::Pid;
use serde_json::Value;

use crate::harness::{policy, rule, Agent, Launch};
use crate::report::{ensure, Failure, Outcome, Report};
use crate::scratch;
use crate::tool::Waiting;

type Test = fn() -> Outcome;

const TESTS: &[(&str, Test)] = &[
    ("container_host_processes", host_processes),
    ("container_own_processes", own_processes),
    ("container_own_cgroups", own_cgroups),
];

/// Runs the tests of this file.
pub(crate) fn run(report: &mut Report) {
    for (name, test) in TESTS {
        report.case(name, test);
    }
}

/// An agent that is started by a shell line, in which `"$@"` stands for it.
fn start(script: &str, places: &[(&str, &Path)]) -> Result<Agent, Failure> {
    if scratch::in_vm() {
        let sentence = "unshare(1) of the test virtual machine knows too little";
        return Err(Failure::NotApplicable(sentence.to_owned()));
    }
    let agent = scratch::agent_binary();
    let agent = agent.to_string_lossy();
    let mut launch = Launch::new("container")?.policy(
        "container.policy",
        policy(&[rule("seen", "open.file.name == \"container.e2e\"", "")]),
    )?;
    for (name, place) in places {
        launch = launch.env(name, &place.to_string_lossy());
    }
    // The helper becomes the shell without a process in between.
    let session = [
        "cws-instrumentation",
        "inject",
        "--session-type=k8s",
        "--data={}",
        "--",
    ];
    let shell = ["sh", "-c", script, "sh", &agent, "run", "--json"];
    launch.arguments(&[&session[..], &shell].concat()).start()
}

fn warnings(agent: &Agent) -> Result<Vec<String>, Failure> {
    let status = agent.command_status().ok_or("there is no status")?;
    let warnings = status["warnings"].as_array();
    let warnings = warnings.ok_or_else(|| status.to_string())?.iter();
    let about_host = warnings
        .filter_map(Value::as_str)
        .filter(|text| text.contains("namespace of its own"));
    Ok(about_host.map(str::to_owned).collect())
}

/// Ends it: unshare(1), which is its parent, keeps signals to itself.
fn end(agent: &Agent) {
    for pid in agent.processes() {
        let _ = kill(Pid::from_raw(pid), Signal::SIGTERM);
    }
}

/// The open of a process that was there before the agent.
fn seen(agent: &Agent, resident: Waiting) -> Result<Value, Failure> {
    let call = resident.release()?;
    agent.event_of("seen", call.pid)
}

fn resident(directory: &Path) -> Result<Waiting, Failure> {
    let path = directory.join("container.e2e");
    std::fs::write(&path, "")?;
    Waiting::start(&["--wait", "openat", "AT_FDCWD", &path.to_string_lossy(), "0"])
}

/// With the host's /proc and root mounted, processes and users are those of the host.
fn host_processes() -> Outcome {
    let directory = scratch::directory("container-host")?;
    let resident = resident(&directory)?;
    let (proc, root) = (directory.join("proc"), directory.join("root"));
    std::fs::create_dir_all(root.join("etc"))?;
    std::fs::write(root.join("etc/passwd"), "hostroot:x:0:0::/root:/bin/sh\n")?;
    std::fs::create_dir(&proc)?;
    let agent = start(
        "exec unshare --mount sh -c 'mount --rbind /proc \"$HOST_PROC\" &&
         exec unshare --pid --fork --kill-child --mount-proc \"$@\"' sh \"$@\"",
        &[("HOST_PROC", &proc), ("HOST_ROOT", &root)],
    )?;
    let event = seen(&agent, resident)?;
    let process = &event["process"];
    let tool = scratch::tool("syscalls").canonicalize()?;
    ensure(
        process["source"] == "snapshot"
            && process["executable"]["path"] == *tool.to_string_lossy()
            && process["user"] == "hostroot",
        || process.to_string(),
    )?;
    let said = warnings(&agent)?;
    end(&agent);
    ensure(
        matches!(&said[..], [one] if one.contains("rules cannot kill")),
        || format!("{said:?}"),
    )
}

/// Without them, one sentence says what is missing.
fn own_processes() -> Outcome {
    let directory = scratch::directory("container-own")?;
    let agent = start(
        "exec unshare --pid --fork --kill-child --mount-proc \"$@\"",
        &[("HOST_PROC", &directory)],
    )?;
    let said = warnings(&agent)?;
    end(&agent);
    ensure(
        matches!(&said[..], [one] if one.contains("hostPID: true") && one.contains("--pid host")),
        || format!("{said:?}"),
    )
}

/// From a cgroup namespace of its own it goes back to that of the host, if it may follow its first
/// process there.
fn own_cgroups() -> Outcome {
    let agent = start("exec unshare --cgroup \"$@\"", &[])?;
    let said = warnings(&agent)?;
    if std::fs::metadata("/proc/1/ns/cgroup").is_err() {
        return ensure(
            matches!(&said[..], [one] if one.contains("--cgroupns host")),
            || format!("{said:?}"),
        );
    }
    ensure(said.is_empty(), || format!("{said:?}"))?;
    let probe = agent.command_status().ok_or("there is no status")?["pid"].to_string();
    let namespace = |process: &str| std::fs::read_link(format!("/proc/{process}/ns/cgroup"));
    ensure(namespace(&probe)? == namespace("self")?, || {
        format!("system-probe, pid {probe}, is in another cgroup namespace")
    })
}
