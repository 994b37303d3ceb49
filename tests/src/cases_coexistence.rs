//! Living with classifiers of others: whatever the agent does (starts, ends, is killed, starts
//! again), theirs stay as they are, packets that they let pass pass, those that they drop do not, and
//! `runtime network check` says of each interface what the guide says.

use std::cmp::Ordering;

use nix::sys::signal::{kill, Signal};
use nix::unistd::Pid;
use serde_json::Value;

use crate::classifiers::{self, of_others, qdiscs, Filter, Foreign, DIRECTIONS};
use crate::harness::{rule_of, Agent};
use crate::neighbours::Neighbours;
use crate::net_agent::{self, check, check_text, kill_all, wait_attached};
use crate::net_places::{join, Namespace};
use crate::report::{ensure, Failure, Outcome, Report};
use crate::scratch::{self, patience, wait_for, wait_until_right};

/// The provider that the guide gives up on, one below our priority, one at it, one above.
const PRIORITIES: &[u32] = &[1, 5, 10, 49152];
const OUR_PRIORITY: u64 = 10;
/// Seconds for a lost filter to be missed, which is looked for every minute.
const MISSED_SECONDS: u64 = 90;

/// Runs the tests of this file.
pub(crate) fn run(report: &mut Report) {
    report.case("coexistence_table", table);
    report.case("coexistence_added_later", added_later);
    report.case("coexistence_ingress_qdisc", ingress_qdisc);
    report.case("coexistence_priority", own_priority);
    report.case("coexistence_one_direction", one_direction);
    report.case("coexistence_lost_filter", lost_filter);
}

/// The neighbours and what was there of them before the agent.
struct Table {
    neighbours: Neighbours,
    filters: Vec<Filter>,
    qdiscs: Vec<String>,
}

impl Table {
    fn new() -> Result<Table, Failure> {
        let neighbours = Neighbours::new(PRIORITIES)?;
        Ok(Table {
            filters: neighbours.filters()?,
            qdiscs: qdiscs(&neighbours.near)?,
            neighbours,
        })
    }

    /// What is not the agent's is as it was, to the letter.
    fn expect_untouched(&self, step: &str) -> Outcome {
        let others = of_others(&self.neighbours.filters()?);
        ensure(others == self.filters, || {
            let gone = self.filters.iter().find(|one| !others.contains(one));
            let new = others.iter().find(|one| !self.filters.contains(one));
            format!("{step}: filters of others changed: {gone:?} became {new:?}")
        })?;
        let qdiscs = qdiscs(&self.neighbours.near)?;
        ensure(qdiscs == self.qdiscs, || {
            format!("{step}: qdiscs were {:?} and are {qdiscs:?}", self.qdiscs)
        })
    }

    /// Waits until the filters of one start of the agent, and of no other, are everywhere.
    fn attached_run(&self, agent: &Agent, old: &str) -> Result<String, Failure> {
        let one_run = |filters: &[Filter]| {
            let mut ours = filters.iter().filter(|filter| filter.is_ours());
            let first = ours.clone().next().map(Filter::run).unwrap_or_default();
            first != old && ours.all(|filter| filter.run() == first)
        };
        let neighbours = &self.neighbours;
        let filters = wait_attached(agent, &neighbours.near, &neighbours.interfaces, one_run)?;
        let ours = filters.iter().find(|filter| filter.is_ours());
        let ours = ours.ok_or("no filter of ours")?;
        ensure(ours.priority == OUR_PRIORITY, || format!("{ours:?}"))?;
        Ok(ours.run().to_owned())
    }

    fn ours(&self) -> Result<Vec<Filter>, Failure> {
        let filters = self.neighbours.filters()?;
        Ok(filters.into_iter().filter(Filter::is_ours).collect())
    }

    /// One line of advice for each interface, as the guide has it.
    fn expect_advice(&self, agent: &Agent, running: bool) -> Outcome {
        let interfaces = check(agent, &self.neighbours.near)?;
        for one in &self.neighbours.foreign {
            let said = interfaces
                .iter()
                .find(|said| said["name"] == *one.interface);
            let said = said.ok_or_else(|| format!("{} is not checked", one.interface))?;
            expect_row(one, said, running).map_err(|failure| failure.at(&format!("{one:?}")))?;
        }
        Ok(())
    }
}

fn expect_row(one: &Foreign, said: &Value, running: bool) -> Outcome {
    let code = match one.priority {
        1 => "impossible",
        2..=10 => "lower_priority",
        _ => "nothing",
    };
    ensure(said["code"] == code, || {
        format!("expected the advice `{code}`: {said}")
    })?;
    let advice = said["advice"].as_str().unwrap_or_default();
    ensure(!advice.is_empty() && !advice.contains('\n'), || {
        format!("the advice is not one line: {advice:?}")
    })?;
    let classifiers = said["classifiers"].as_array().cloned().unwrap_or_default();
    let is_ours = |said: &&Value| said["ours"] == true;
    let theirs = classifiers.iter().find(|said| !is_ours(said));
    let theirs = theirs.ok_or_else(|| format!("the classifier is not seen: {said}"))?;
    let right = theirs["priority"] == one.priority && theirs["direction"] == one.direction;
    ensure(right, || format!("seen as {theirs}"))?;
    // At the same priority handles decide, and the kernel gives out those of ours.
    let place = match u64::from(one.priority).cmp(&OUR_PRIORITY) {
        Ordering::Less => Some("before"),
        Ordering::Equal => None,
        Ordering::Greater => Some("after"),
    };
    ensure(
        place.is_none_or(|place| theirs["position"] == place),
        || format!("expected {place:?} ours: {theirs}"),
    )?;
    let ours = classifiers.iter().filter(is_ours).count();
    let expected = if running { DIRECTIONS.len() } else { 0 };
    ensure(ours == expected, || {
        format!("{ours} of {expected} filters of ours are seen: {said}")
    })
}

fn stop(agent: &mut Agent) -> Outcome {
    let status = agent.stop()?;
    ensure(status.code() == Some(0), || {
        format!("ended with {status}; log: {}", agent.log())
    })
}

fn table() -> Outcome {
    let table = Table::new()?;
    let flood = table.neighbours.flood()?;
    let mut agent = net_agent::launch("coexistence")?.start()?;
    let first = table.attached_run(&agent, "")?;
    table.expect_untouched("start")?;
    table.expect_advice(&agent, true)?;
    stop(&mut agent)?;
    let ours = table.ours()?;
    ensure(ours.is_empty(), || format!("left after a stop: {ours:?}"))?;
    table.expect_untouched("stop")?;
    table.expect_advice(&agent, false)?;

    let mut agent = agent.again().start()?;
    let second = table.attached_run(&agent, &first)?;
    table.expect_untouched("second start")?;
    kill_all(&mut agent)?;
    let stale = table.ours()?;
    let are_stale = stale.iter().all(|filter| filter.run() == second);
    ensure(are_stale && !stale.is_empty(), || {
        format!("after kill -9: {stale:?}")
    })?;
    table.expect_untouched("kill -9")?;

    let mut agent = agent.again().start()?;
    let third = table.attached_run(&agent, &second)?;
    table.expect_untouched("start after kill -9")?;
    let (probe, _) = agent.roles().ok_or("the roles do not say their pids")?;
    kill(Pid::from_raw(probe), Signal::SIGKILL)?;
    table.attached_run(&agent, &third)?;
    table.expect_untouched("kill -9 of system-probe alone")?;
    // It may be back before its supervisor knows that it is.
    agent.wait_until_up()?;
    stop(&mut agent)?;
    let ours = table.ours()?;
    ensure(ours.is_empty(), || format!("left at the end: {ours:?}"))?;
    table.expect_untouched("end")?;
    flood.expect_undisturbed()
}

/// A classifier that comes, and one that replaces it, while the agent is there.
fn added_later() -> Outcome {
    let (near, far) = (Namespace::new()?, Namespace::new()?);
    join("cwst0", (&near, &[]), (&far, &[]))?;
    let interfaces = ["cwst0".to_owned()];
    let mut agent = net_agent::launch("added-later")?.start()?;
    let before = wait_attached(&agent, &near, &interfaces, |_| true)?;
    let filter = ["prio", "5", "handle", "1", "protocol", "all"];
    for (verb, code) in [("add", "1,6 0 0 0"), ("replace", "1,6 0 0 4294967295")] {
        let mut arguments = vec!["filter", verb, "dev", "cwst0", "ingress"];
        arguments.extend(filter);
        arguments.extend(["bpf", "direct-action", "bytecode", code]);
        near.tc(&arguments)?;
        let now = classifiers::filters(&near, &interfaces)?;
        let (ours, others): (Vec<Filter>, Vec<Filter>) = now.into_iter().partition(Filter::is_ours);
        ensure(ours == before && others.len() == 1, || {
            format!("after {verb}: {ours:?} and {others:?}")
        })?;
        let said = check(&agent, &near)?;
        let code = said.iter().find(|one| one["name"] == "cwst0");
        let code = code.map(|one| one["code"].clone()).unwrap_or_default();
        ensure(code == "lower_priority", || format!("{said:?}"))?;
    }
    near.tc(&["filter", "del", "dev", "cwst0", "ingress", "prio", "5"])?;
    let now = classifiers::filters(&near, &interfaces)?;
    ensure(now == before, || format!("{before:?} became {now:?}"))?;
    stop(&mut agent)?;
    let left = classifiers::filters(&near, &interfaces)?;
    ensure(left.is_empty(), || format!("left: {left:?}"))?;
    // The qdisc may have got other users meanwhile, so it stays.
    let qdiscs = qdiscs(&near)?;
    let stays = qdiscs.iter().any(|line| line.contains("clsact"));
    ensure(stays, || format!("the qdisc is gone: {qdiscs:?}"))
}

/// Where the place of ours is taken in one direction, the other one is watched all the same.
fn one_direction() -> Outcome {
    let (near, far) = (Namespace::new()?, Namespace::new()?);
    join("cwst0", (&near, &[]), (&far, &[]))?;
    near.tc(&["qdisc", "add", "dev", "cwst0", "clsact"])?;
    // Filters of one priority have one protocol, and ours have another.
    let taken = [
        "filter", "add", "dev", "cwst0", "ingress", "prio", "10", "protocol", "ip",
    ];
    near.tc(&[
        &taken[..],
        &["bpf", "direct-action", "bytecode", "1,6 0 0 4294967295"],
    ]
    .concat())?;
    let agent = net_agent::launch("one-direction")?.start()?;
    let interfaces = ["cwst0".to_owned()];
    let attached = wait_for(patience(MISSED_SECONDS), || {
        let now = classifiers::filters(&near, &interfaces).ok()?;
        let ours: Vec<Filter> = now.into_iter().filter(Filter::is_ours).collect();
        (ours.len() == 1 && ours[0].direction == "egress").then_some(())
    });
    ensure(attached.is_some(), || agent.log())?;
    wait_until_right(patience(MISSED_SECONDS), || {
        let said = agent.command_status().unwrap_or_default()["network"]["interfaces"].take();
        ensure(said.to_string().contains("cwst0"), || {
            format!("nothing is said of it: {said}")
        })
    })
}

/// Where somebody has the older qdisc, which has no egress, nothing is attached and it stays; other
/// qdiscs of the same interfaces stay too.
fn ingress_qdisc() -> Outcome {
    let (near, far) = (Namespace::new()?, Namespace::new()?);
    join("cwst0", (&near, &[]), (&far, &[]))?;
    join("cwst1", (&near, &[]), (&far, &[]))?;
    near.tc(&["qdisc", "add", "dev", "cwst0", "ingress"])?;
    for name in ["cwst0", "cwst1"] {
        near.tc(&[
            "qdisc", "add", "dev", name, "root", "handle", "42:", "pfifo",
        ])?;
    }
    let before = qdiscs(&near)?;
    let mut agent = net_agent::launch("ingress-qdisc")?.start()?;
    let (older, free) = (["cwst0".to_owned()], ["cwst1".to_owned()]);
    // Both are in the same namespace: what was to be done is done when the second one has its filters.
    wait_attached(&agent, &near, &free, |_| true)?;
    let filters = classifiers::filters(&near, &older)?;
    ensure(filters.is_empty(), || {
        format!("attached to it: {filters:?}")
    })?;
    let said = check(&agent, &near)?;
    let named = said.iter().any(|one| one["name"] == "cwst0");
    ensure(named, || format!("cwst0 is not checked: {said:?}"))?;
    stop(&mut agent)?;
    let after = qdiscs(&near)?;
    let kept = before.iter().all(|line| after.contains(line));
    let added = after.iter().filter(|line| !before.contains(line));
    let added: Vec<&String> = added.collect();
    let only_ours = added
        .iter()
        .all(|line| line.contains("clsact") && line.contains("cwst1"));
    ensure(kept && only_ours, || {
        format!("before: {before:?}; after: {after:?}")
    })
}

/// Another priority, as the advice has it: below the provider's; and a handle that was asked for.
fn own_priority() -> Outcome {
    let (near, far) = (Namespace::new()?, Namespace::new()?);
    join("cwst0", (&near, &[]), (&far, &[]))?;
    let foreign = Foreign {
        interface: "cwst0".to_owned(),
        direction: "ingress",
        priority: 5,
        verdict: classifiers::Verdict::Pass,
        program: classifiers::Program::Extended,
    };
    classifiers::prepare(&near, ["cwst0"].into_iter())?;
    classifiers::attach(&near, &[foreign])?;
    let priority = "DD_RUNTIME_SECURITY_CONFIG_NETWORK_CLASSIFIER_PRIORITY";
    let [handle, raw] = ["CLASSIFIER_HANDLE", "RAW_CLASSIFIER_HANDLE"]
        .map(|key| format!("DD_EVENT_MONITORING_CONFIG_NETWORK_{key}"));
    let agent = net_agent::launch("priority")?
        .env(priority, "4")
        .env(&handle, "7")
        .env(&raw, "8")
        .start()?;
    let interfaces = ["cwst0".to_owned()];
    let filters = wait_attached(&agent, &near, &interfaces, |_| true)?;
    let ours: Vec<&Filter> = filters.iter().filter(|filter| filter.is_ours()).collect();
    let is_right = |filter: &&Filter| filter.priority == 4 && filter.handle() == "0x7";
    ensure(ours.iter().all(is_right), || format!("{ours:?}"))?;
    let said = check(&agent, &near)?;
    let row = said.iter().find(|one| one["name"] == "cwst0");
    let good = row.is_some_and(|one| one["code"] == "nothing");
    ensure(good, || format!("{said:?}"))?;
    let text = check_text(&agent, &near)?;
    let lines: Vec<&str> = text.lines().map(str::trim).collect();
    let has = |beginning: &str, end: &str| {
        let mut lines = lines.iter();
        lines.any(|line| line.starts_with(beginning) && line.ends_with(end))
    };
    let good = has(
        "ingress priority=4 handle=0x7 security-agent/",
        "security-agent",
    ) && has(
        "ingress priority=5 handle=0x1 ",
        ", what it returns is unknown",
    ) && lines.iter().any(|line| line.contains(", behind ours"))
        && has("advice: ", "");
    ensure(good, || text)
}

/// One that somebody removes is told of and attached again.
fn lost_filter() -> Outcome {
    scratch::needs_fast_machine()?;
    let (near, far) = (Namespace::new()?, Namespace::new()?);
    join("cwst0", (&near, &[]), (&far, &[]))?;
    let agent = net_agent::launch("lost-filter")?.start()?;
    let interfaces = ["cwst0".to_owned()];
    wait_attached(&agent, &near, &interfaces, |_| true)?;
    near.tc(&["filter", "del", "dev", "cwst0", "ingress", "prio", "10"])?;
    let back = wait_for(patience(MISSED_SECONDS), || {
        let now = classifiers::filters(&near, &interfaces).ok()?;
        classifiers::all_attached(&now, &interfaces).then_some(())
    });
    ensure(back.is_some(), || {
        format!("the filter is not attached again; log: {}", agent.log())
    })?;
    let told = agent.event(|event| rule_of(event) == "hook_lost");
    ensure(told.is_some(), || {
        format!("no hook_lost event; log: {}", agent.log())
    })
}
