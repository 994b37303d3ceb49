//! Pods that come and go: waves of namespaces with a pair of interfaces each, while a script like that
//! of a network plug-in replaces filters of its own. Nothing piles up in the agent, no namespace is
//! held, and what is left has its filters.
//!
//! 40 pods; 500 with `SOAK=1`. That nobody holds a namespace shows at the node's end of the pair,
//! which goes with it.

use std::time::Instant;

use crate::classifiers::{filters, of_others};
use crate::delivery::is_full;
use crate::harness::Agent;
use crate::net_agent::{self, descriptors, resident, wait_attached};
use crate::net_places::{addressed, Namespace, INTERFACE};
use crate::report::{ensure, Failure, Outcome, Report};
use crate::scratch::{patience, wait_for};

const PODS: usize = 40;
const PODS_IN_FULL: usize = 500;
const PODS_IN_A_WAVE: usize = 10;
/// Every so many pods one stays.
const STAYS: usize = 20;
/// Pods whose way to their filters is timed, and the seconds that they may wait; but for the fastest
/// one only in full, since others may have had bad luck with a busy machine.
const TIMED: usize = 5;
const ATTACH_SECONDS: u64 = 2;
/// Seconds for the namespaces of pods that went to be gone, all of them.
const GONE_SECONDS: u64 = 30;
/// Seconds for the agent to let go of what it held of them.
const SETTLE_SECONDS: u64 = 60;
/// Descriptors that it may have more than before the first pod.
const MORE_DESCRIPTORS: usize = 8;
/// Kilobytes that it may have more than after the first wave.
const MORE_MEMORY: u64 = 4096;
/// Where the plug-in puts its filter.
const PLUGIN: &[&str] = &["ingress", "prio", "49152", "handle", "1", "protocol", "all"];

/// Runs the tests of this file.
pub(crate) fn run(report: &mut Report) {
    report.case("churn_waves", waves);
    report.case("churn_renamed_and_moved", renamed_and_moved);
}

/// A namespace and the node's end of its pair.
struct Pod {
    namespace: Namespace,
    interface: String,
}

/// What a plug-in does for a new pod.
fn start_pod(node: &Namespace, number: usize) -> Result<Pod, Failure> {
    let namespace = Namespace::new()?;
    let interface = format!("cwstv{number}");
    let mut lines = vec![format!(
        "link add {interface} type veth peer name {INTERFACE} netns {}",
        namespace.name()
    )];
    lines.extend(addressed(&interface, &[]));
    node.ip_lines(&lines)?;
    namespace.ip_lines(&addressed(INTERFACE, &["10.80.0.2/24"]))?;
    // The agent may have been faster.
    let _ = node.tc(&["qdisc", "add", "dev", &interface, "clsact"]);
    for code in ["1,6 0 0 0", "1,6 0 0 4294967295"] {
        replace_filter(node, &interface, code)?;
    }
    Ok(Pod {
        namespace,
        interface,
    })
}

fn replace_filter(node: &Namespace, interface: &str, code: &str) -> Outcome {
    let mut arguments = vec!["filter", "replace", "dev", interface];
    arguments.extend(PLUGIN);
    arguments.extend(["bpf", "direct-action", "bytecode", code]);
    node.tc(&arguments).map(drop)
}

fn probe(agent: &Agent) -> Result<i32, Failure> {
    Ok(agent.roles().ok_or("the roles do not say their pids")?.0)
}

fn waves() -> Outcome {
    let total = if is_full() { PODS_IN_FULL } else { PODS };
    let node = Namespace::new()?;
    let agent = net_agent::launch("churn")?.start()?;
    let probe = probe(&agent)?;
    let descriptors_before = descriptors(probe)?.len();
    let mut memory_before = 0;
    let (mut staying, mut gone): (Vec<Pod>, Vec<String>) = (Vec::new(), Vec::new());
    for first in (0..total).step_by(PODS_IN_A_WAVE) {
        let mut wave = Vec::new();
        for number in first..first + PODS_IN_A_WAVE {
            wave.push(start_pod(&node, number)?);
        }
        for pod in &staying {
            replace_filter(&node, &pod.interface, "1,6 0 0 0")?;
        }
        for (place, pod) in wave.into_iter().enumerate() {
            if (first + place) % STAYS == 0 {
                staying.push(pod);
            } else {
                gone.push(pod.interface);
                pod.namespace.remove()?;
            }
        }
        if first == 0 {
            memory_before = resident(probe)?;
        }
    }
    expect_gone(&node, &gone)?;
    expect_attached(&agent, &node, &staying)?;
    time_attaching(&agent, &node, total)?;
    expect_settled(probe, descriptors_before, staying.len())?;
    let mut memory = resident(probe)?;
    // Of processes that others started meanwhile it knows for a while after their end.
    wait_for(patience(5), || {
        memory = memory.min(resident(probe).ok()?);
        (memory <= memory_before + MORE_MEMORY).then_some(())
    });
    println!(
        "figure: {total} pods; {memory_before} KB after the first wave, {memory} KB at the end"
    );
    ensure(memory <= memory_before + MORE_MEMORY, || {
        format!("system-probe grew from {memory_before} to {memory} KB")
    })
}

/// The ends of pairs whose other ends were in namespaces that are gone.
fn expect_gone(node: &Namespace, interfaces: &[String]) -> Outcome {
    let started = Instant::now();
    let mut left = Vec::new();
    let gone = wait_for(patience(GONE_SECONDS), || {
        let shown = node.ip(&["-brief", "link", "show"]).ok()?;
        let names: Vec<&str> = shown
            .lines()
            .filter_map(|line| line.split(['@', ' ']).next())
            .collect();
        left = interfaces
            .iter()
            .filter(|name| names.contains(&name.as_str()))
            .cloned()
            .collect();
        left.is_empty().then_some(())
    });
    println!(
        "figure: {} namespaces gone {:.1} s after the last was removed",
        interfaces.len(),
        started.elapsed().as_secs_f64()
    );
    ensure(gone.is_some(), || {
        format!("somebody holds the namespaces behind {left:?}")
    })
}

/// Both ends of every pod that stayed have our filters, and the node's end has the plug-in's.
fn expect_attached(agent: &Agent, node: &Namespace, pods: &[Pod]) -> Outcome {
    let ends: Vec<String> = pods.iter().map(|pod| pod.interface.clone()).collect();
    wait_attached(agent, node, &ends, |_| true)?;
    for pod in pods {
        wait_attached(agent, &pod.namespace, &[INTERFACE.to_owned()], |_| true)?;
    }
    let others = of_others(&filters(node, &ends)?);
    ensure(others.len() == pods.len(), || {
        format!(
            "of {} filters of the plug-in there are {others:?}",
            pods.len()
        )
    })
}

/// How long a new pod waits for its filters.
fn time_attaching(agent: &Agent, node: &Namespace, first: usize) -> Outcome {
    let mut times = Vec::new();
    for number in first..first + TIMED {
        let pod = start_pod(node, number)?;
        let started = Instant::now();
        wait_attached(agent, node, &[pod.interface], |_| true)?;
        wait_attached(agent, &pod.namespace, &[INTERFACE.to_owned()], |_| true)?;
        times.push(started.elapsed());
    }
    times.sort();
    println!("figure: new pods have their filters after {times:.2?}");
    let limit = patience(ATTACH_SECONDS);
    let judged = if is_full() {
        times.last()
    } else {
        times.first()
    };
    ensure(judged.is_some_and(|time| *time <= limit), || {
        format!("new pods had no filters within {limit:?}: {times:.2?}")
    })
}

/// No descriptor for what is gone; one may be held for each pod that is there.
fn expect_settled(probe: i32, before: usize, pods: usize) -> Outcome {
    let limit = before + pods + MORE_DESCRIPTORS;
    let settled = wait_for(patience(SETTLE_SECONDS), || {
        let now = descriptors(probe).ok()?.len();
        (now <= limit).then_some(now)
    });
    let now = settled
        .ok_or_else(|| format!("more than {limit} descriptors: {:?}", descriptors(probe)))?;
    println!("figure: {before} descriptors before, {now} after");
    Ok(())
}

/// An interface that is moved into a namespace and renamed there, as plug-ins do it, has its filters in
/// the end, once.
fn renamed_and_moved() -> Outcome {
    let (node, pod) = (Namespace::new()?, Namespace::new()?);
    let agent = net_agent::launch("moved")?.start()?;
    node.ip(&[
        "link", "add", "cwstv0", "type", "veth", "peer", "name", "cwsttmp",
    ])?;
    let ends = ["cwstv0".to_owned(), "cwsttmp".to_owned()];
    wait_attached(&agent, &node, &ends, |_| true)?;
    node.ip(&["link", "set", "cwsttmp", "netns", pod.name()])?;
    pod.ip(&["link", "set", "cwsttmp", "name", INTERFACE])?;
    pod.ip_lines(&addressed(INTERFACE, &["10.80.0.2/24"]))?;
    node.ip(&["link", "set", "cwstv0", "up"])?;
    wait_attached(&agent, &pod, &[INTERFACE.to_owned()], |_| true)?;
    wait_attached(&agent, &node, &["cwstv0".to_owned()], |_| true)?;
    pod.remove()?;
    expect_gone(&node, &["cwstv0".to_owned()])
}
