//! The network side switched off, in a file or by a variable: on interfaces that it would otherwise
//! take, no filter and no qdisc is added, and system-probe holds no netlink socket.

use crate::classifiers::{filters, qdiscs, Filter};
use crate::harness::{policy, rule, Agent, Launch};
use crate::net_agent::{
    self, descriptors, kill_all, netlink_sockets, wait_attached, wait_bridged, ENABLED, INTERFACES,
};
use crate::net_places::{join, Bridged, CLIENT, INTERFACE, SERVER};
use crate::report::{ensure, Failure, Outcome, Report};
use crate::scratch::{self, patience, wait_for};
use crate::sender::{ask, Server};

const PORT: u16 = 7820;
const EXCLUDED_INTERFACES: &str = "DD_RUNTIME_SECURITY_CONFIG_NETWORK_INTERFACES_EXCLUDE";
/// An interface that is taken wherever the network side is on.
const CONTROL: &str = "cwstyes";
/// Seconds in which an agent would have attached what it must not; it takes two at most.
const CHANCE_SECONDS: u64 = 3;
/// Seconds in which every namespace of the machine has been visited.
const GONE_SECONDS: u64 = 30;
const OFF: &str = "runtime_security_config:\n  network:\n    enabled: false\n";

/// Runs the tests of this file.
pub(crate) fn run(report: &mut Report) {
    report.case("network_off_file", || {
        scratch::needs_fast_machine()?;
        untouched(from_file()?, true)
    });
    report.case("network_off_variable", || {
        scratch::needs_fast_machine()?;
        untouched(from_variable()?, true)
    });
    report.case("network_off_other_interfaces", || {
        scratch::needs_fast_machine()?;
        untouched(other_interfaces()?, false)
    });
    report.case("network_off_excluded_interfaces", || {
        scratch::needs_own_machine()?;
        untouched(excluded_interfaces()?, false)
    });
    report.case("network_off_after_kill", after_kill);
    report.case("network_on_netlink", netlink_is_found);
}

fn launch() -> Result<Launch, Failure> {
    let connect = format!("connect.addr.port == {PORT}");
    let rules = [
        rule("connected", &connect, ""),
        rule("asked", "dns.question.name == \"off.cwst\"", ""),
    ];
    Ok(net_agent::launch("network-off")?.policy("off.policy", policy(&rules))?)
}

fn from_file() -> Result<Launch, Failure> {
    let launch = launch()?.without(ENABLED);
    let file = launch.file("system-probe.yaml", OFF)?;
    Ok(launch.arguments(&["run", "--json", "--sysprobe-config", &file]))
}

fn from_variable() -> Result<Launch, Failure> {
    Ok(launch()?.env(ENABLED, "false"))
}

/// On, but for another interface; netlink may be used to see that.
fn other_interfaces() -> Result<Launch, Failure> {
    Ok(launch()?.env(INTERFACES, CONTROL))
}

/// On for all interfaces but these, also for those of the machine.
fn excluded_interfaces() -> Result<Launch, Failure> {
    let launch = launch()?.env(INTERFACES, "");
    Ok(launch.env(EXCLUDED_INTERFACES, "lo cwst0 cwstp* cwstbr"))
}

fn probe(agent: &Agent) -> Result<i32, Failure> {
    Ok(agent.roles().ok_or("the roles do not say their pids")?.0)
}

/// The qdiscs and filters of every interface but the control.
fn look(bed: &Bridged) -> Result<Vec<String>, Failure> {
    let mut seen = Vec::new();
    for (namespace, interfaces) in bed.places() {
        seen.extend(qdiscs(namespace)?);
        let filters = filters(namespace, &interfaces)?;
        seen.extend(filters.iter().map(|filter| format!("{filter:?}")));
    }
    seen.retain(|line| !line.contains(CONTROL));
    Ok(seen)
}

/// `is_off`: nothing of the network side is there, not even what would watch for interfaces. Where it
/// is there, it takes the control.
fn untouched(launch: Launch, is_off: bool) -> Outcome {
    let bed = Bridged::new()?;
    join(CONTROL, (&bed.client, &[]), (&bed.server, &[]))?;
    let before = look(&bed)?;
    let agent = launch.start()?;
    if !is_off {
        for namespace in [&bed.client, &bed.server] {
            wait_attached(&agent, namespace, &[CONTROL.to_owned()], |_| true)?;
        }
    }
    let target = format!("{SERVER}:{PORT}");
    let _listener = Server::start(&bed.server, &["listen", &target])?;
    let _dns = Server::start(&bed.server, &["dns-serve", SERVER, "fd78::2", SERVER])?;
    ask(
        &bed.client,
        &["dns-ask", "connected", SERVER, "off.cwst", "a"],
    )?;
    let said = ask(&bed.client, &["connect", &target])?;
    // System calls are seen without any filter.
    agent.event_of("connected", said.pid)?;
    let changed = wait_for(patience(CHANCE_SECONDS), || match look(&bed) {
        Ok(now) => (now != before).then(|| format!("{before:?} became {now:?}")),
        Err(failure) => Some(format!("{failure:?}")),
    });
    changed.map_or(Ok(()), |what| Err(Failure::Failed(what)))?;
    let lines = agent.lines();
    let seen = lines.iter().any(|line| line.event["evt"]["name"] == "dns");
    ensure(!seen, || format!("a question of {CLIENT} was seen"))?;
    if is_off {
        let pid = probe(&agent)?;
        let sockets = netlink_sockets(pid)?;
        ensure(sockets.is_empty(), || {
            format!("system-probe holds {sockets:?} of {:?}", descriptors(pid))
        })?;
    }
    Ok(())
}

/// What a killed run left goes when the next one has its network side off, which is then as if it had
/// never been on.
fn after_kill() -> Outcome {
    let bed = Bridged::new()?;
    let mut agent = launch()?.start()?;
    wait_bridged(&agent, &bed)?;
    kill_all(&mut agent)?;
    let ours = || {
        let mut all = Vec::new();
        for (namespace, interfaces) in bed.places() {
            all.extend(filters(namespace, &interfaces)?);
        }
        all.retain(Filter::is_ours);
        Ok::<_, Failure>(all)
    };
    ensure(!ours()?.is_empty(), || "kill -9 left nothing".to_owned())?;
    let agent = agent.again().env(ENABLED, "false").start()?;
    let gone = wait_for(patience(GONE_SECONDS), || {
        let pid = probe(&agent).ok()?;
        let is_clean = ours().ok()?.is_empty() && netlink_sockets(pid).ok()?.is_empty();
        is_clean.then_some(())
    });
    ensure(gone.is_some(), || {
        format!("{:?}; log: {}", ours(), agent.log())
    })?;
    let status = agent.command_status().unwrap_or_default();
    let network = &status["network"];
    ensure(network["enabled"] == false, || network.to_string())
}

/// What the tests above do not find is there when the network side is on.
fn netlink_is_found() -> Outcome {
    let bed = Bridged::new()?;
    let agent = launch()?.start()?;
    wait_attached(&agent, &bed.client, &[INTERFACE.to_owned()], |_| true)?;
    let sockets = netlink_sockets(probe(&agent)?)?;
    ensure(!sockets.is_empty(), || {
        "system-probe holds no netlink socket although its network side is on".to_owned()
    })
}
