//! Ends and restarts: of each role, of all, by signal, by hand; and several agents at once.

use std::fs;
use std::path::Path;
use std::time::Instant;

use nix::sys::signal::{kill, killpg, Signal};
use nix::unistd::Pid;

use crate::harness::{policy, rule, Agent, Launch, STOP_SECONDS};
use crate::report::{ensure, Failure, Outcome, Report};
use crate::scratch::{self, patience, wait_for};
use crate::tool;

/// Seconds for a killed role to be back on a machine that is busy; the figure to meet is one.
const BACK_SECONDS: u64 = 20;
/// Self-tests that may pass before one is caught at work.
const SELF_TESTS: usize = 20;
const RULE: &str = "watched";

/// Runs the tests of this file.
pub(crate) fn run(report: &mut Report) {
    report.case("supervisor_kill_system_probe", kill_system_probe);
    report.case("supervisor_kill_security_agent", kill_security_agent);
    report.case("supervisor_kill_supervisor", kill_supervisor);
    report.case("supervisor_kill_all", kill_all);
    report.case("supervisor_kill_in_self_test", kill_in_self_test);
    report.case("supervisor_interrupt", || ends_by(Signal::SIGINT, false));
    report.case("supervisor_interrupt_group", || {
        ends_by(Signal::SIGINT, true)
    });
    report.case("supervisor_terminate", || ends_by(Signal::SIGTERM, false));
    report.case("supervisor_second_refused", second_refused);
    report.case("supervisor_side_by_side", side_by_side);
    report.case("supervisor_reload", reload);
}

fn launch(name: &str) -> std::io::Result<Launch> {
    let rules = [rule(RULE, "open.file.name == \"watched.e2e\"", "")];
    Launch::new(name)?.policy("watched.policy", policy(&rules))
}

/// Opens the watched file; the event must come.
fn expect_event(agent: &Agent) -> Outcome {
    let path = scratch::directory("watched")?.join("watched.e2e");
    fs::write(&path, "")?;
    let call = tool::run(&["openat", "AT_FDCWD", &path.to_string_lossy(), "0"])?;
    agent.event_of(RULE, call.pid).map(drop)
}

fn roles(agent: &Agent) -> Result<(i32, i32), Failure> {
    Ok(wait_for(patience(5), || agent.roles()).ok_or("the roles do not say their pids")?)
}

/// Waits until the roles are others than before and the agent is up; prints how long it took.
fn expect_back(
    agent: &mut Agent,
    killed: Instant,
    changed: impl Fn((i32, i32)) -> bool,
) -> Outcome {
    let limit = patience(BACK_SECONDS);
    let back = wait_for(limit, || {
        agent.roles().filter(|now| changed(*now))?;
        matches!(agent.status(), Ok((Some(0), _))).then(|| killed.elapsed())
    });
    let seconds =
        back.ok_or_else(|| format!("not back after {} s; log: {}", limit.as_secs(), agent.log()))?;
    println!("figure: back after {:.2} s", seconds.as_secs_f64());
    Ok(())
}

fn kill_system_probe() -> Outcome {
    let mut agent = launch("kill-probe")?.start()?;
    let before = roles(&agent)?;
    kill(Pid::from_raw(before.0), Signal::SIGKILL)?;
    expect_back(&mut agent, Instant::now(), |now| now.0 != before.0)?;
    let now = roles(&agent)?;
    ensure(now.1 == before.1, || {
        "security-agent was restarted as well".to_owned()
    })?;
    expect_event(&agent)
}

fn kill_security_agent() -> Outcome {
    let mut agent = launch("kill-agent")?.start()?;
    let before = roles(&agent)?;
    kill(Pid::from_raw(before.1), Signal::SIGKILL)?;
    expect_back(&mut agent, Instant::now(), |now| now.1 != before.1)?;
    let now = roles(&agent)?;
    ensure(now.0 == before.0, || {
        "system-probe was restarted as well".to_owned()
    })?;
    expect_event(&agent)
}

/// The roles do not outlive their supervisor.
fn kill_supervisor() -> Outcome {
    let mut agent = launch("kill-supervisor")?.start()?;
    kill(agent.pid(), Signal::SIGKILL)?;
    agent.wait_end(patience(STOP_SECONDS));
    expect_gone(&agent)?;
    let again = agent.again().start()?;
    expect_event(&again)
}

/// Killed all at once, it starts again at once on the same run path.
fn kill_all() -> Outcome {
    let mut agent = launch("kill-all")?.start()?;
    let (probe, forwarder) = roles(&agent)?;
    kill(agent.pid(), Signal::SIGKILL)?;
    for pid in [probe, forwarder] {
        // Without their supervisor they may have ended before it is their turn.
        let _ = kill(Pid::from_raw(pid), Signal::SIGKILL);
    }
    agent.wait_end(patience(STOP_SECONDS));
    let started = Instant::now();
    let mut again = agent.again().start()?;
    println!(
        "figure: up again after {:.2} s",
        started.elapsed().as_secs_f64()
    );
    expect_event(&again)?;
    again.stop()?;
    expect_gone(&again)?;
    expect_nothing_left(&again.run_path())
}

/// Killed while a self-test has its files on the disk; the next run removes them.
fn kill_in_self_test() -> Outcome {
    let temporary = scratch::directory("tmp")?;
    let variable = temporary.to_string_lossy().into_owned();
    let agent = launch("kill-test")?.env("TMPDIR", &variable).start()?;
    let mut seen = false;
    for _ in 0..SELF_TESTS {
        let mut test = agent.begin(&["runtime", "self-test"])?;
        while !seen && test.try_wait()?.is_none() {
            seen = fs::read_dir(&temporary)?.next().is_some();
        }
        if seen {
            for pid in agent.processes() {
                // One of them may have ended by itself meanwhile.
                let _ = kill(Pid::from_raw(pid), Signal::SIGKILL);
            }
        }
        test.wait()?;
        if seen {
            break;
        }
    }
    ensure(seen, || {
        "no self-test left a trace to be killed at".to_owned()
    })?;
    let mut again = agent.again().start()?;
    again.stop()?;
    expect_nothing_left(&temporary)
}

/// No process of it is left; those that only wait for the kernel may take their time.
fn expect_gone(agent: &Agent) -> Outcome {
    let gone = wait_for(patience(STOP_SECONDS), || {
        agent.processes().is_empty().then_some(())
    });
    ensure(gone.is_some(), || {
        format!("processes are left: {:?}", agent.processes())
    })
}

fn expect_nothing_left(directory: &Path) -> Outcome {
    let left: Vec<String> = fs::read_dir(directory)?
        .flatten()
        .map(|entry| entry.file_name().to_string_lossy().into_owned())
        .collect();
    ensure(left.is_empty(), || {
        format!("files are left in the run path: {left:?}")
    })
}

/// Ctrl-C on a terminal signals the whole process group, a service manager only the first process.
fn ends_by(signal: Signal, whole_group: bool) -> Outcome {
    let temporary = scratch::directory("tmp")?;
    let launch = launch("ends")?.env("TMPDIR", &temporary.to_string_lossy());
    let mut agent = launch.own_group().start()?;
    expect_event(&agent)?;
    let start = Instant::now();
    match whole_group {
        true => killpg(agent.pid(), signal)?,
        false => kill(agent.pid(), signal)?,
    }
    let status = agent
        .wait_end(patience(STOP_SECONDS))
        .ok_or_else(|| format!("still there after {STOP_SECONDS} s; log: {}", agent.log()))?;
    println!("figure: ended after {:.2} s", start.elapsed().as_secs_f64());
    ensure(status.success(), || {
        format!("ended with {status}; log: {}", agent.log())
    })?;
    expect_gone(&agent)?;
    expect_nothing_left(&agent.run_path())?;
    expect_nothing_left(&temporary)
}

fn second_refused() -> Outcome {
    let agent = launch("second")?.start()?;
    for arguments in [&["run", "--json"][..], &["system-probe", "run"], &["start"]] {
        let finished = agent.command(arguments)?;
        let command = arguments.join(" ");
        ensure(finished.code.is_some_and(|code| code != 0), || {
            format!("`{command}` was not refused: {}", finished.said())
        })?;
        ensure(finished.stderr.contains("already running, pid "), || {
            format!("`{command}`: {}", finished.said())
        })?;
    }
    expect_event(&agent)
}

fn side_by_side() -> Outcome {
    let first = launch("first")?.start()?;
    let second = launch("second")?.start()?;
    let path = scratch::directory("watched")?.join("watched.e2e");
    fs::write(&path, "")?;
    let call = tool::run(&["openat", "AT_FDCWD", &path.to_string_lossy(), "0"])?;
    first
        .event_of(RULE, call.pid)
        .map_err(|failure| failure.at("the first agent"))?;
    second
        .event_of(RULE, call.pid)
        .map_err(|failure| failure.at("the second agent"))?;
    drop(first);
    expect_event(&second).map_err(|failure| failure.at("after the first has ended"))
}

/// SIGHUP reads the policies again.
fn reload() -> Outcome {
    let agent = launch("reload")?.start()?;
    let rules = [rule("added", "open.file.name == \"added.e2e\"", "")];
    fs::write(agent.policies().join("added.policy"), policy(&rules))?;
    kill(agent.pid(), Signal::SIGHUP)?;
    let loaded = wait_for(patience(10), || {
        let status = agent.command_status()?;
        status["policies"]
            .as_array()?
            .iter()
            .any(|policy| policy["name"] == "added.policy")
            .then_some(())
    });
    ensure(loaded.is_some(), || {
        format!("the new policy is not loaded; log: {}", agent.log())
    })?;
    let path = scratch::directory("added")?.join("added.e2e");
    fs::write(&path, "")?;
    let call = tool::run(&["openat", "AT_FDCWD", &path.to_string_lossy(), "0"])?;
    agent.event_of("added", call.pid)?;
    expect_event(&agent).map_err(|failure| failure.at("the rule from before"))
}
