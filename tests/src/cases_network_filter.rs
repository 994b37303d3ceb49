//! The action `network_filter`: packets of a process are dropped while the rule that says so is
//! loaded, those of others never.

use std::fs;

use crate::cgroup::Cgroup;
use crate::harness::{policy, rule};
use crate::net_agent::{self, wait_attached};
use crate::net_places::{Bridged, INTERFACE, SERVER};
use crate::report::{ensure, Outcome, Report};
use crate::sender::Server;

/// Whose packets are dropped, and what tells that a process is to be cut off.
const ECHO: u16 = 7830;
const TRIGGER: u16 = 7839;
const POLICY: &str = "filter.policy";

/// Runs the tests of this file.
pub(crate) fn run(report: &mut Report) {
    report.case("network_filter_drops_by_process", by_process);
    report.case("network_filter_needs_enforcement", needs_enforcement);
}

/// Why such a rule is refused where nothing may be enforced.
const DISABLED: &str = "'network_filter' action is disabled globally";

/// A rule that cuts off whoever connects to the trigger.
fn cutting() -> String {
    let action = format!(
        "    every: 0s\n    actions:\n      - network_filter: \
         {{filter: \"udp dst port {ECHO}\", policy: drop, scope: process}}\n"
    );
    let expression = format!("connect.addr.port == {TRIGGER}");
    policy(&[rule("cuts", &expression, &action)])
}

/// A policy that does nothing with it.
fn harmless() -> String {
    policy(&[rule("cuts", &format!("connect.addr.port == {TRIGGER}"), "")])
}

fn targets() -> [String; 2] {
    [ECHO, TRIGGER].map(|port| format!("{SERVER}:{port}"))
}

fn by_process() -> Outcome {
    let bed = Bridged::new()?;
    let [echo, trigger] = targets();
    let _echo = Server::start(&bed.server, &["echo-serve", &echo])?;
    // Whatever is enforced is limited to this cgroup.
    let cgroup = Cgroup::new("network-filter")?;
    let agent = net_agent::launch("network-filter")?
        .env("DD_RUNTIME_SECURITY_CONFIG_ENFORCEMENT_ENABLED", "true")
        .env(
            "DD_RUNTIME_SECURITY_CONFIG_ENFORCEMENT_ONLY_CGROUP",
            &cgroup.path()?,
        )
        .policy(POLICY, cutting())?
        .start()?;
    wait_attached(&agent, &bed.client, &[INTERFACE.to_owned()], |_| true)?;
    let other = Server::start(&bed.client, &["echo-flood", &echo])?;
    let watch = ["echo-watch", &cgroup.directory(), &echo, &trigger];
    let mut watched = Server::start(&bed.client, &watch)?;
    agent.event_of("cuts", watched.pid)?;
    let said = watched.next()?;
    ensure(said.text("cut") == "1", || {
        format!(
            "its packets are not dropped: {said:?}; log: {}",
            agent.log()
        )
    })?;
    fs::write(agent.policies().join(POLICY), harmless())?;
    let done = agent.command(&["runtime", "policy", "reload"])?;
    ensure(done.code == Some(0), || done.said())?;
    let said = watched.next()?;
    ensure(said.text("back") == "1", || {
        format!("they are dropped without the rule: {said:?}")
    })?;
    let said = other.end()?;
    ensure(said.number("lost")? == 0, || {
        format!("packets of another process were dropped: {said:?}")
    })
}

/// Without enforcement the rule reports only.
fn needs_enforcement() -> Outcome {
    let bed = Bridged::new()?;
    let [echo, trigger] = targets();
    let _echo = Server::start(&bed.server, &["echo-serve", &echo])?;
    let agent = net_agent::launch("no-enforcement")?
        .policy(POLICY, cutting())?
        .start()?;
    wait_attached(&agent, &bed.client, &[INTERFACE.to_owned()], |_| true)?;
    let other = Server::start(&bed.client, &["echo-flood", &echo])?;
    // The flood is no trigger; this is one, and it stays.
    let watched = Server::start(&bed.client, &["echo-flood", &echo, &format!("!{trigger}")])?;
    ensure(agent.log().contains(DISABLED), || agent.log())?;
    for flood in [watched, other] {
        let said = flood.end()?;
        ensure(said.number("lost")? == 0, || format!("{said:?}"))?;
    }
    Ok(())
}
