//! What the classifiers cost: a stream through a pair of interfaces with and without the agent, and a
//! flood of questions to a name server, of which none is lost uncounted.
//!
//! Speed is printed, and judged with `BENCH=1` only, which takes more data: the machine decides it.

use std::fs;
use std::path::Path;

use serde_json::Value;

use crate::harness::{policy, rule, Agent};
use crate::net_agent::{self, wait_attached, wait_quiet};
use crate::net_places::{join, Namespace, INTERFACE};
use crate::report::{ensure, Failure, Outcome, Report};
use crate::scratch::{self, patience, wait_for};
use crate::sender::{ask, Server};

/// Rounds with and without the agent, in turn.
const ROUNDS: usize = 7;
const STREAMS_IN_FULL: usize = 4;
const MEGABYTES: &str = "64";
const MEGABYTES_IN_FULL: &str = "1024";
const QUESTIONS: u64 = 40_000;
const QUESTIONS_IN_FULL: u64 = 200_000;
const QUESTIONS_IN_VM: u64 = 4_000;
const QUESTIONS_PER_SECOND: u64 = 20_000;
/// The figure to meet.
const RATIO: f64 = 0.95;
const SETTLE_SECONDS: u64 = 90;
const TARGET: &str = "10.81.0.2";
const RULE: &str = "flooded";

/// Runs the tests of this file.
pub(crate) fn run(report: &mut Report) {
    report.case("throughput_stream", stream);
    report.case("throughput_dns", dns);
}

fn in_full() -> bool {
    std::env::var_os("BENCH").is_some_and(|value| value == "1")
}

/// Two namespaces with a pair of interfaces.
fn pair() -> Result<(Namespace, Namespace), Failure> {
    let (near, far) = (Namespace::new()?, Namespace::new()?);
    join(
        INTERFACE,
        (&near, &["10.81.0.1/24"]),
        (&far, &[&format!("{TARGET}/24")]),
    )?;
    Ok((near, far))
}

fn wait_both(agent: &Agent, near: &Namespace, far: &Namespace) -> Outcome {
    for namespace in [near, far] {
        wait_attached(agent, namespace, &[INTERFACE.to_owned()], |_| true)?;
    }
    Ok(())
}

/// Megabytes in a second, once.
fn rate(near: &Namespace) -> Result<f64, Failure> {
    let target = format!("{TARGET}:7900");
    let amount = if in_full() {
        MEGABYTES_IN_FULL
    } else {
        MEGABYTES
    };
    let said = ask(near, &["bulk", &target, amount])?;
    let (bytes, time) = (said.number("bytes")?, said.number("microseconds")?);
    Ok(bytes as f64 / time.max(1) as f64)
}

/// What a round measures: one stream, more when it is to be judged.
fn round(near: &Namespace) -> Result<Vec<f64>, Failure> {
    let streams = if in_full() { STREAMS_IN_FULL } else { 1 };
    (0..streams).map(|_| rate(near)).collect()
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(0.0)
}

fn spread(values: &[f64]) -> String {
    let low = values.iter().copied().fold(f64::INFINITY, f64::min);
    let high = values.iter().copied().fold(0.0, f64::max);
    format!("{low:.0} to {high:.0}")
}

/// An agent for each round with filters, so that both sorts of rounds see the same machine.
fn stream() -> Outcome {
    if scratch::in_vm() {
        return Err(Failure::NotApplicable(
            "an emulated processor says nothing about speed".to_owned(),
        ));
    }
    let (near, far) = pair()?;
    let _server = Server::start(&far, &["bulk-serve", &format!("{TARGET}:7900")])?;
    let (mut bare, mut watched) = (Vec::new(), Vec::new());
    rate(&near)?;
    for _ in 0..ROUNDS {
        bare.extend(round(&near)?);
        let agent = net_agent::launch("throughput")?.default_policy().start()?;
        wait_both(&agent, &near, &far)?;
        wait_quiet(&agent);
        watched.extend(round(&near)?);
    }
    let spreads = format!("bare {}, watched {}", spread(&bare), spread(&watched));
    let ratio = median(watched) / median(bare);
    println!("figure: a stream through a pair has {ratio:.3} of its bare speed (>= {RATIO}); MB/s: {spreads}");
    let least = if in_full() { RATIO } else { f64::MIN_POSITIVE };
    ensure(ratio >= least, || {
        format!("a stream has {ratio:.3} of its bare speed; {spreads}")
    })
}

/// The counters of packets of name servers: emitted, delivered, lost.
fn counters(agent: &Agent) -> Option<(u64, u64, u64)> {
    let status = agent.command_status()?;
    let read = |name: &str| status["events"]["dns"][name].as_u64();
    Some((read("emitted")?, read("delivered")?, read("lost")?))
}

/// The counters once everything is accounted for; the last ones if that never comes.
fn settled(agent: &Agent) -> Result<(u64, u64, u64), Failure> {
    let mut last = None;
    wait_for(patience(SETTLE_SECONDS), || {
        last = counters(agent).or(last);
        last.filter(|(emitted, delivered, lost)| *emitted == delivered + lost)
    });
    Ok(last.ok_or("status has no counters of dns events")?)
}

/// Every question leaves one interface and enters another one; whether each came is told by its name.
fn dns() -> Outcome {
    let (near, far) = pair()?;
    let _sink = Server::start(&far, &["sink", &format!("{TARGET}:53")])?;
    let rules = [rule(
        RULE,
        "dns.question.name =~ \"*.flood.cwst\"",
        "    every: 0s\n",
    )];
    let output = scratch::directory("flood")?.join("events");
    let agent = net_agent::launch("flood")?
        .policy("flood.policy", policy(&rules))?
        .stdout(fs::File::create(&output)?)
        .start()?;
    wait_both(&agent, &near, &far)?;
    let before = settled(&agent)?;
    let count = match (scratch::in_vm(), in_full()) {
        (true, _) => QUESTIONS_IN_VM,
        (_, true) => QUESTIONS_IN_FULL,
        _ => QUESTIONS,
    };
    let (amount, rate) = (count.to_string(), QUESTIONS_PER_SECOND.to_string());
    let said = ask(&near, &["dns-flood", TARGET, &amount, &rate, "flood.cwst"])?;
    let after = settled(&agent)?;
    let (emitted, delivered, lost) = (after.0 - before.0, after.1 - before.1, after.2 - before.2);
    println!(
        "figure: {count} questions in {} ms: {emitted} emitted, {delivered} delivered, {lost} lost",
        said.text("milliseconds")
    );
    ensure(after.0 == after.1 + after.2, || {
        format!("emitted is not delivered + lost: {after:?}")
    })?;
    ensure(emitted >= 2 * count, || {
        format!("of {count} questions, each seen twice, {emitted} are accounted for")
    })?;
    let told = || (printed(&output), lost_later(&agent));
    let all = wait_for(patience(SETTLE_SECONDS), || {
        let (printed, lost) = told();
        (printed + lost? >= delivered).then_some(())
    });
    let (printed, lost) = told();
    println!("figure: {printed} lines printed, {lost:?} lost behind the rules");
    ensure(all.is_some(), || {
        format!(
            "of {delivered} delivered events {printed} were printed and {lost:?} counted as lost"
        )
    })
}

/// Lines that were lost on their way from the rules to standard output, as both roles count them.
fn lost_later(agent: &Agent) -> Option<u64> {
    let (probe, role) = (agent.command_status()?, agent.agent_status()?);
    let count = |status: &Value, at: &str| status.pointer(at)?.as_u64();
    let unread = count(&probe, "/loss/unread")? + count(&probe, "/loss/slow_readers")?;
    Some(unread + count(&role, "/outputs/stdout/lost")?)
}

/// The events of the rule that were printed. They are many, so none is parsed.
fn printed(output: &Path) -> u64 {
    let text = fs::read_to_string(output).unwrap_or_default();
    let mark = format!("\"agent\":{{\"rule_id\":\"{RULE}\"");
    text.lines().filter(|line| line.contains(&mark)).count() as u64
}
