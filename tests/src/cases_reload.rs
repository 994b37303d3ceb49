//! How rules are replaced while the agent runs.

use std::fs::{self, File};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

use crate::cases_actions::on_open;
use crate::harness::{policy, rule_of, Launch};
use crate::report::{ensure, Outcome, Report};
use crate::scratch::{self, patience, wait_for};
use crate::tool;

/// Opens that may be ahead of what is printed: far less than what the way to there holds.
const AHEAD: u64 = 64;

/// Runs the tests of this file.
pub(crate) fn run(report: &mut Report) {
    report.case("rules_are_replaced_without_a_gap", replace);
    report.case("a_broken_set_keeps_the_old_one", broken_set);
}

/// While rules are replaced many times, no open of a file that both sets watch goes unseen.
fn replace() -> Outcome {
    let watch = || on_open("watches", "watched.e2e", "", "");
    let other = |number: usize| on_open(&format!("other_{number}"), "nothing.e2e", "", "");
    let path = scratch::directory("replace-files")?.join("watched.e2e");
    fs::write(&path, "")?;
    let launch = Launch::new("replace")?.policy("a.policy", policy(&[watch(), other(0)]))?;
    let agent = launch.start()?;
    let (opened, is_done) = (AtomicU64::new(0), AtomicBool::new(false));
    let reloads = thread::scope(|scope| {
        scope.spawn(|| {
            while !is_done.load(Ordering::SeqCst) {
                // A reader that is flooded loses events, which is another test's business.
                let seen = agent.lines().len() as u64;
                if opened.load(Ordering::SeqCst) < seen + AHEAD {
                    opened.fetch_add(u64::from(File::open(&path).is_ok()), Ordering::SeqCst);
                }
                thread::sleep(Duration::from_millis(1));
            }
        });
        let reload = || -> Outcome {
            for number in 1..=10 {
                fs::write(
                    agent.policies().join("a.policy"),
                    policy(&[watch(), other(number)]),
                )?;
                let done = agent.command(&["runtime", "policy", "reload"])?;
                ensure(done.code == Some(0) && done.stdout.is_empty(), || {
                    done.said()
                })?;
            }
            Ok(())
        };
        let result = reload();
        is_done.store(true, Ordering::SeqCst);
        result
    });
    reloads?;
    let expected = opened.load(Ordering::SeqCst);
    let count = || {
        let lines = agent.lines();
        let own = lines
            .iter()
            .filter(|line| rule_of(&line.event) == "watches");
        own.count() as u64
    };
    wait_for(patience(20), || (count() >= expected).then_some(()));
    ensure(count() == expected && expected > 0, || {
        let loss = agent
            .command_status()
            .map(|status| status["loss"].to_string());
        format!("{expected} opens, {} events; loss: {loss:?}", count())
    })
}

fn broken_set() -> Outcome {
    let good = policy(&[on_open("stays", "watched.e2e", "", "")]);
    let agent = Launch::new("broken")?.policy("a.policy", &good)?.start()?;
    let path = scratch::directory("broken-files")?.join("watched.e2e");
    fs::write(&path, "")?;
    let path = path.to_string_lossy().into_owned();
    for broken in [
        "rules: [}",
        "rules:\n  - id: a\n    expression: open.file.pth == \"x\"\n",
    ] {
        fs::write(agent.policies().join("b.policy"), broken)?;
        let done = agent.command(&["runtime", "policy", "reload"])?;
        ensure(done.code == Some(1), || done.said())?;
        ensure(
            done.stderr.contains("unable to reload policies: ") && done.stderr.contains("b.policy"),
            || done.said(),
        )?;
        let call = tool::run(&["openat", "AT_FDCWD", &path, "0"])?;
        agent.event_of("stays", call.pid)?;
    }
    fs::write(
        agent.policies().join("b.policy"),
        good.replace("stays", "joins"),
    )?;
    let done = agent.command(&["runtime", "policy", "reload"])?;
    ensure(done.code == Some(0), || done.said())?;
    let call = tool::run(&["openat", "AT_FDCWD", &path, "0"])?;
    agent.event_of("joins", call.pid)?;
    agent.event_of("stays", call.pid)?;
    Ok(())
}
