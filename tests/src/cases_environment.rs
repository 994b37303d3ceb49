//! Hosts that lack something: no room in /tmp, no BTF, no tracing file systems. Each in a mount
//! namespace of its own; the agent runs with less or says what is missing.

use std::fs;
use std::path::Path;

use crate::harness::{Agent, Launch};
use crate::namespace::{mount_tmpfs, with_own_mounts};
use crate::report::{ensure, Outcome, Report};
use crate::scratch::{self, patience, wait_for};
use crate::tool;

const BTF: &str = "/sys/kernel/btf";
const TRACING: &[&str] = &["/sys/kernel/debug", "/sys/kernel/tracing"];

/// Runs the tests of this file.
pub(crate) fn run(report: &mut Report) {
    report.case("environment_full_tmp", || with_own_mounts(full_tmp));
    report.case("environment_no_btf", || {
        with_own_mounts(|| hidden(&[BTF], &["btf", "offset"]))
    });
    report.case("environment_no_tracing", || {
        with_own_mounts(|| hidden(TRACING, &["trac", "debugfs"]))
    });
}

/// A self-test that cannot make its file says so; everything else works.
fn full_tmp() -> Outcome {
    let temporary = scratch::directory("full")?;
    // One inode: that of the directory itself.
    mount_tmpfs(&temporary, "size=4k,nr_inodes=1")?;
    let launch = Launch::new("full")?
        .default_policy()
        .env("TMPDIR", &temporary.to_string_lossy());
    let mut agent = launch.spawn()?;
    let up = wait_for(patience(10), || agent.command_status().map(drop));
    ensure(up.is_some(), || format!("it is not up: {}", agent.log()))?;
    let finished = agent.command(&["runtime", "self-test"])?;
    ensure(finished.code == Some(1), || finished.said())?;
    let told = finished.stdout.starts_with("Runtime self test: error: ")
        && finished.stdout.contains(&*temporary.to_string_lossy());
    ensure(told, || finished.said())?;
    expect_event(&agent)?;
    agent.stop()?;
    ensure(!agent.log().contains("panicked"), || agent.log())
}

/// With something hidden the agent is up, or it ends with a sentence about it.
fn hidden(directories: &[&str], words: &[&str]) -> Outcome {
    for directory in directories.iter().map(Path::new) {
        if directory.exists() {
            mount_tmpfs(directory, "size=4k")?;
        }
    }
    let mut agent = Launch::new("hidden")?.default_policy().spawn()?;
    wait_for(patience(10), || {
        let up = matches!(agent.status(), Ok((Some(0), _)));
        (up || agent.has_ended()).then_some(())
    });
    ensure(!agent.log().contains("panicked"), || agent.log())?;
    if agent.has_ended() {
        expect_sentence(&mut agent, words)
    } else {
        expect_event(&agent)
    }
}

fn expect_sentence(agent: &mut Agent, words: &[&str]) -> Outcome {
    let status = agent.wait_end(patience(1));
    let log = agent.log();
    let failed = status.is_some_and(|status| !status.success());
    ensure(failed, || format!("ended with {status:?}: {log}"))?;
    let said = log.to_lowercase();
    ensure(words.iter().any(|word| said.contains(word)), || {
        format!("ended, and none of {words:?} is said: {log}")
    })
}

/// The built-in policy reports a chmod 777.
fn expect_event(agent: &Agent) -> Outcome {
    let path = scratch::directory("provoke")?.canonicalize()?.join("file");
    fs::write(&path, "")?;
    let path = path.to_string_lossy().into_owned();
    let call = tool::run(&["fchmodat", "AT_FDCWD", &path, "0777"])?;
    let found = agent.event(|event| {
        event["file"]["path"] == path.as_str() && event["process"]["pid"] == call.pid
    });
    ensure(found.is_some(), || {
        format!("no event for {path}; log: {}", agent.log())
    })
}
