//! The action `network_filter`: packets of a process or of a cgroup are dropped while the rule that says
//! so is loaded, those of others never.

use std::fs;

use serde_json::Value;

use crate::cgroup::Cgroup;
use crate::harness::{policy, rule, Agent, Launch};
use crate::net_agent::{self, network_count, wait_attached, wait_bridged, INTERFACES};
use crate::net_places::{Bridged, SERVER};
use crate::report::{ensure, Failure, Outcome, Report};
use crate::scratch::{self, patience, wait_until_right};
use crate::sender::Server;

/// Whose packets are dropped, and what tells that a process is to be cut off.
const ECHO: u16 = 7830;
const TRIGGER: u16 = 7839;
const LOOPBACK: &str = "127.0.0.1:7830";
const POLICY: &str = "filter.policy";
const RULE: &str = "cuts";
/// Seconds in which a process that was cut off would notice.
const CHANCE_SECONDS: u64 = 2;
/// Seconds for the counter of dropped packets to move.
const COUNT_SECONDS: u64 = 10;
/// Why such a rule is refused where nothing may be enforced.
const DISABLED: &str = "'network_filter' action is disabled globally";

/// Runs the tests of this file.
pub(crate) fn run(report: &mut Report) {
    report.case("network_filter_drops_by_process", by_process);
    report.case("network_filter_drops_by_cgroup", by_cgroup);
    report.case("network_filter_drops_what_comes_in", what_comes_in);
    report.case("network_filter_leaves_others_alone", leaves_alone);
    report.case("network_filter_leaves_loopback_alone", loopback);
    report.case("network_filter_needs_enforcement", needs_enforcement);
}

/// A rule that cuts off whoever connects to the trigger from what it sends (`dst`) or gets (`src`).
fn cutting(scope: &str, side: &str) -> String {
    let action = format!(
        "    every: 0s\n    actions:\n      - network_filter: \
         {{filter: \"udp {side} port {ECHO}\", policy: drop, scope: {scope}}}\n"
    );
    let expression = format!("connect.addr.port == {TRIGGER}");
    policy(&[rule(RULE, &expression, &action)])
}

/// A policy that does nothing with it.
fn harmless() -> String {
    policy(&[rule(RULE, &format!("connect.addr.port == {TRIGGER}"), "")])
}

/// Client and server, who sends back, and a cgroup for those who are to be cut off.
struct Bed {
    places: Bridged,
    _echo: Server,
    cgroup: Cgroup,
    echo: String,
    trigger: String,
}

impl Bed {
    fn new() -> Result<Bed, Failure> {
        let places = Bridged::new()?;
        let [echo, trigger] = [ECHO, TRIGGER].map(|port| format!("{SERVER}:{port}"));
        Ok(Bed {
            _echo: Server::start(&places.server, &["echo-serve", &echo])?,
            cgroup: Cgroup::new("network-filter")?,
            places,
            echo,
            trigger,
        })
    }

    /// Starts a sender of the client.
    fn send(&self, arguments: &[&str]) -> Result<Server, Failure> {
        Server::start(&self.places.client, arguments)
    }

    /// Starts a sender of the client in the cgroup.
    fn send_within(&self, arguments: &[&str]) -> Result<Server, Failure> {
        let directory = self.cgroup.directory();
        self.send(&[&["within", &directory], arguments].concat())
    }
}

/// An agent that may enforce, with a rule of this scope.
fn enforcing(scope: &str) -> Result<Launch, Failure> {
    let enforce = "DD_RUNTIME_SECURITY_CONFIG_ENFORCEMENT_ENABLED";
    let launch = net_agent::launch("network-filter")?.env(enforce, "true");
    Ok(launch.policy(POLICY, cutting(scope, "dst"))?)
}

/// The same, but limited to a cgroup.
fn limited(scope: &str, cgroup: &Cgroup) -> Result<Launch, Failure> {
    let only = "DD_RUNTIME_SECURITY_CONFIG_ENFORCEMENT_ONLY_CGROUP";
    Ok(enforcing(scope)?.env(only, &cgroup.path()?))
}

/// What the rule's action says that it did about a process.
fn report_of(agent: &Agent, pid: i64) -> Result<Value, Failure> {
    let event = agent.event_of(RULE, pid)?;
    Ok(event["agent"]["rule_actions"][0].clone())
}

fn expect_cut(agent: &Agent, watched: &mut Server) -> Outcome {
    let said = watched.next()?;
    ensure(said.text("cut") == "1", || {
        let log = agent.log();
        format!("its packets are not dropped: {said:?}; log: {log}")
    })
}

fn expect_back(watched: &mut Server) -> Outcome {
    let said = watched.next()?;
    ensure(said.text("back") == "1", || {
        format!("they are dropped without the rule: {said:?}")
    })
}

fn expect_undisturbed(flood: Server) -> Outcome {
    let said = flood.end()?;
    ensure(said.number("lost")? == 0, || {
        format!("packets of another process were dropped: {said:?}")
    })
}

fn take_rule_back(agent: &Agent) -> Outcome {
    fs::write(agent.policies().join(POLICY), harmless())?;
    let done = agent.command(&["runtime", "policy", "reload"])?;
    ensure(done.code == Some(0), || done.said())
}

fn by_process() -> Outcome {
    let bed = Bed::new()?;
    let agent = limited("process", &bed.cgroup)?.start()?;
    wait_bridged(&agent, &bed.places)?;
    let before = network_count(&agent, "/dropped")?;
    let others = [
        bed.send(&["echo-flood", &bed.echo])?,
        bed.send_within(&["echo-flood", &bed.echo])?,
    ];
    let mut watched = bed.send_within(&["echo-watch", &bed.echo, &bed.trigger])?;
    let report = report_of(&agent, watched.pid)?;
    ensure(report["status"] == "performed", || report.to_string())?;
    expect_cut(&agent, &mut watched)?;
    wait_until_right(patience(COUNT_SECONDS), || {
        let dropped = network_count(&agent, "/dropped")?;
        ensure(dropped > before, || {
            format!("status counts {dropped} dropped packets, as before")
        })
    })?;
    take_rule_back(&agent)?;
    expect_back(&mut watched)?;
    others.into_iter().try_for_each(expect_undisturbed)
}

/// Everybody in the cgroup of who gave the reason, nobody else.
fn by_cgroup() -> Outcome {
    let bed = Bed::new()?;
    let agent = limited("cgroup", &bed.cgroup)?.start()?;
    wait_bridged(&agent, &bed.places)?;
    let other = bed.send(&["echo-flood", &bed.echo])?;
    let mut bystander = bed.send_within(&["echo-watch", &bed.echo])?;
    let mut watched = bed.send_within(&["echo-watch", &bed.echo, &bed.trigger])?;
    let report = report_of(&agent, watched.pid)?;
    ensure(
        report["status"] == "performed" && report["scope"] == "cgroup",
        || report.to_string(),
    )?;
    expect_cut(&agent, &mut watched)?;
    expect_cut(&agent, &mut bystander)?;
    take_rule_back(&agent)?;
    expect_back(&mut watched)?;
    expect_back(&mut bystander)?;
    expect_undisturbed(other)
}

/// The answers to a process, and to a cgroup; also those to a socket that is older than the agent.
fn what_comes_in() -> Outcome {
    // Which of them it is makes no difference to the kernel, and takes a minute in the machine.
    let scopes = match scratch::in_vm() {
        true => &["cgroup"][..],
        false => &["process", "cgroup"],
    };
    for scope in scopes {
        let bed = Bed::new()?;
        let mut older = bed.send_within(&["echo-watch", &bed.echo])?;
        let agent = limited(scope, &bed.cgroup)?
            .policy(POLICY, cutting(scope, "src"))?
            .start()?;
        wait_bridged(&agent, &bed.places)?;
        let other = bed.send(&["echo-flood", &bed.echo])?;
        let mut watched = bed.send_within(&["echo-watch", &bed.echo, &bed.trigger])?;
        let report = report_of(&agent, watched.pid)?;
        ensure(report["status"] == "performed", || report.to_string())?;
        expect_cut(&agent, &mut watched).map_err(|failure| failure.at(scope))?;
        if *scope == "cgroup" {
            expect_cut(&agent, &mut older).map_err(|failure| failure.at("older"))?;
        }
        take_rule_back(&agent)?;
        expect_back(&mut watched)?;
        if *scope == "cgroup" {
            expect_back(&mut older)?;
        }
        expect_undisturbed(other)?;
    }
    Ok(())
}

/// Whoever is outside of the cgroup that enforcement is limited to, and the cgroup of the agent itself,
/// which is that of the tests.
fn leaves_alone() -> Outcome {
    scratch::needs_fast_machine()?;
    let bed = Bed::new()?;
    let table = [
        (
            limited("process", &bed.cgroup)?,
            ["enforcement.only_cgroup"; 2],
        ),
        // Agent and sender are in the same cgroup, which on many machines is the root.
        (enforcing("cgroup")?, ["the agent itself", "the whole host"]),
    ];
    for (launch, reasons) in table {
        let agent = launch.start()?;
        wait_bridged(&agent, &bed.places)?;
        let blocked = format!("!{}", bed.trigger);
        let flood = bed.send(&["echo-flood", &bed.echo, &blocked])?;
        let report = report_of(&agent, flood.pid)?;
        let message = report["message"].as_str().unwrap_or_default();
        ensure(
            report["status"] == "error" && reasons.iter().any(|reason| message.contains(reason)),
            || report.to_string(),
        )?;
        flood.is_silent(patience(CHANCE_SECONDS))?;
        expect_undisturbed(flood)?;
    }
    Ok(())
}

/// On loopback nothing is dropped, not even of a process that is cut off.
fn loopback() -> Outcome {
    scratch::needs_own_machine()?;
    let bed = Bed::new()?;
    let _echo = Server::start(&bed.places.client, &["echo-serve", LOOPBACK])?;
    let launch = limited("cgroup", &bed.cgroup)?.env(INTERFACES, "cwst* lo");
    let agent = launch.start()?;
    wait_bridged(&agent, &bed.places)?;
    wait_attached(&agent, &bed.places.client, &["lo".to_owned()], |_| true)?;
    let inside = bed.send_within(&["echo-flood", LOOPBACK])?;
    let mut watched = bed.send_within(&["echo-watch", &bed.echo, &bed.trigger])?;
    expect_cut(&agent, &mut watched)?;
    inside.is_silent(patience(CHANCE_SECONDS))?;
    expect_undisturbed(inside)?;
    take_rule_back(&agent)?;
    expect_back(&mut watched)
}

/// Without enforcement the rule is refused, so that nothing comes of it.
fn needs_enforcement() -> Outcome {
    scratch::needs_fast_machine()?;
    let bed = Bed::new()?;
    let agent = net_agent::launch("no-enforcement")?
        .policy(POLICY, cutting("process", "dst"))?
        .start()?;
    wait_bridged(&agent, &bed.places)?;
    ensure(agent.log().contains(DISABLED), || agent.log())?;
    // It connects to the trigger and stays.
    let blocked = format!("!{}", bed.trigger);
    let flood = bed.send(&["echo-flood", &bed.echo, &blocked])?;
    flood.is_silent(patience(CHANCE_SECONDS))?;
    expect_undisturbed(flood)
}
