//! Loss: what the probes emitted was delivered or counted as lost, whatever the flood.

use std::fs;
use std::time::Instant;

use nix::sys::signal::{kill, Signal};
use nix::unistd::Pid;
use serde_json::Value;

use crate::harness::{policy, rule, rule_of, Agent, Launch};
use crate::report::{ensure, Failure, Outcome, Report};
use crate::scratch::{self, patience, wait_for};
use crate::tool;

const BURST: u64 = 200_000;
/// More than the buffers hold; they are smaller where there is little memory.
const OVERFLOW: u64 = 600_000;
const OVERFLOW_IN_VM: u64 = 100_000;
/// Seconds for the counters to agree once the flood is over.
const SETTLE_SECONDS: u64 = 10;

/// Runs the tests of this file.
pub(crate) fn run(report: &mut Report) {
    report.case("loss_flood", flood);
    report.case("loss_overflow", overflow);
}

/// The counters of open events.
#[derive(Clone, Copy, Debug)]
struct Counters {
    emitted: u64,
    delivered: u64,
    lost: u64,
}

fn counters(agent: &Agent) -> Option<Counters> {
    let status = agent.command_status()?;
    let read = |name: &str| status["events"]["open"][name].as_u64();
    Some(Counters {
        emitted: read("emitted")?,
        delivered: read("delivered")?,
        lost: read("lost")?,
    })
}

/// The counters once every emitted event is accounted for; the last ones if that never comes.
fn settled(agent: &Agent) -> Option<Counters> {
    let mut last = None;
    let agree = wait_for(patience(SETTLE_SECONDS), || {
        last = counters(agent);
        last.filter(|now| now.emitted == now.delivered + now.lost)
    });
    agree.or(last)
}

fn start() -> Result<Agent, Failure> {
    let rules = [rule("flooded", "open.file.name == \"flooded.e2e\"", "")];
    Launch::new("loss")?
        .policy("loss.policy", policy(&rules))?
        .start()
}

/// Opens a matching file so many times; returns the pid of who did it.
fn burst(count: u64) -> Result<i64, Failure> {
    let path = scratch::directory("loss")?.join("flooded.e2e");
    fs::write(&path, "")?;
    let start = Instant::now();
    let call = tool::run(&["burst", &count.to_string(), &path.to_string_lossy()])?;
    println!(
        "figure: {count} opens in {:.2} s",
        start.elapsed().as_secs_f64()
    );
    ensure(u64::try_from(call.result) == Ok(count), || {
        format!("{} opens", call.result)
    })?;
    Ok(call.pid)
}

/// What was emitted since `before` is delivered or counted as lost; returns how much was lost.
fn expect_accounted(agent: &Agent, before: Counters, count: u64) -> Result<u64, Failure> {
    let after = settled(agent).ok_or("status has no counters of open events")?;
    let (emitted, lost) = (after.emitted - before.emitted, after.lost - before.lost);
    println!(
        "figure: {emitted} emitted, {} delivered, {lost} lost",
        after.delivered - before.delivered
    );
    ensure(after.emitted == after.delivered + after.lost, || {
        format!("emitted is not delivered + lost: {after:?}")
    })?;
    ensure(emitted >= count, || {
        format!("only {emitted} of {count} events are accounted for")
    })?;
    Ok(lost)
}

fn flood() -> Outcome {
    let agent = start()?;
    let before = settled(&agent).ok_or("status has no counters of open events")?;
    let pid = burst(BURST)?;
    expect_accounted(&agent, before, BURST)?;
    agent.event_of("flooded", pid).map(drop)
}

/// Nobody reads for a while, so that the buffers of the kernel overflow.
fn overflow() -> Outcome {
    let agent = start()?;
    let before = settled(&agent).ok_or("status has no counters of open events")?;
    let (probe, _) = agent.roles().ok_or("the roles do not say their pids")?;
    let probe = Pid::from_raw(probe);
    let count = if scratch::in_vm() {
        OVERFLOW_IN_VM
    } else {
        OVERFLOW
    };
    kill(probe, Signal::SIGSTOP)?;
    let pid = burst(count);
    kill(probe, Signal::SIGCONT)?;
    let lost = expect_accounted(&agent, before, count)?;
    ensure(lost > 0, || {
        "nothing was lost, so nothing was tested".to_owned()
    })?;
    agent.event_of("flooded", pid?)?;
    let is_loss = |event: &Value| rule_of(event) == "lost_events";
    ensure(agent.event(is_loss).is_some(), || {
        format!("{lost} events were lost and no lost_events event came")
    })
}
