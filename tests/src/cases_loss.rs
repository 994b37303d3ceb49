//! Loss: what the probes emitted was delivered or counted as lost, whatever the flood.

use std::fs;
use std::time::Instant;

use serde_json::Value;

use crate::harness::{policy, rule, Agent, Launch};
use crate::report::{ensure, Outcome, Report};
use crate::scratch::{self, patience, wait_for};
use crate::tool;

const BURST: u64 = 200_000;
/// Seconds for the counters to agree once the flood is over.
const SETTLE_SECONDS: u64 = 10;

/// Runs the tests of this file.
pub(crate) fn run(report: &mut Report) {
    report.case("loss_flood", flood);
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

fn flood() -> Outcome {
    let rules = [rule("flooded", "open.file.name == \"flooded.e2e\"", "")];
    let agent = Launch::new("loss")?
        .policy("loss.policy", policy(&rules))?
        .start()?;
    let path = scratch::directory("loss")?.join("flooded.e2e");
    fs::write(&path, "")?;
    let before = settled(&agent).ok_or("status has no counters of open events")?;
    let start = Instant::now();
    let call = tool::run(&["burst", &BURST.to_string(), &path.to_string_lossy()])?;
    let seconds = start.elapsed().as_secs_f64();
    ensure(u64::try_from(call.result) == Ok(BURST), || {
        format!("{} opens", call.result)
    })?;
    let after = settled(&agent).ok_or("status has no counters of open events")?;
    let emitted = after.emitted - before.emitted;
    println!(
        "figure: {BURST} opens in {seconds:.2} s: {emitted} emitted, {} delivered, {} lost",
        after.delivered - before.delivered,
        after.lost - before.lost
    );
    ensure(after.emitted == after.delivered + after.lost, || {
        format!("emitted is not delivered + lost: {after:?}")
    })?;
    ensure(emitted >= BURST, || {
        format!("only {emitted} of {BURST} events are accounted for")
    })?;
    agent.event_of("flooded", call.pid)?;
    told_of_loss(&agent, after.lost - before.lost)
}

/// What was lost is an event, too.
fn told_of_loss(agent: &Agent, lost: u64) -> Outcome {
    if lost == 0 {
        return Ok(());
    }
    let is_loss = |event: &Value| crate::harness::rule_of(event) == "lost_events";
    ensure(agent.event(is_loss).is_some(), || {
        format!("{lost} events were lost and no lost_events event came")
    })
}
