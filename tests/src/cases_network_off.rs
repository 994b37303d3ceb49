//! The network side switched off, in a file or by a variable: on interfaces that it would otherwise
//! take, no filter and no qdisc is added, and system-probe holds no netlink socket.

use crate::classifiers::{filters, qdiscs};
use crate::harness::{policy, rule, Agent, Launch};
use crate::net_agent::{self, descriptors, netlink_sockets, wait_attached, ENABLED, INTERFACES};
use crate::net_places::{Bridged, Namespace, CLIENT, INTERFACE, SERVER};
use crate::report::{ensure, Failure, Outcome, Report};
use crate::sender::{ask, Server};

const PORT: u16 = 7820;
const OFF: &str = "runtime_security_config:\n  network:\n    enabled: false\n";

/// Runs the tests of this file.
pub(crate) fn run(report: &mut Report) {
    report.case("network_off_file", || untouched(from_file()?, true));
    report.case("network_off_variable", || untouched(from_variable()?, true));
    report.case("network_off_other_interfaces", || {
        untouched(other_interfaces()?, false)
    });
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

/// On, but for interfaces that are not there; netlink may be used to see that.
fn other_interfaces() -> Result<Launch, Failure> {
    Ok(launch()?.env(INTERFACES, "cwstnone*"))
}

fn probe(agent: &Agent) -> Result<i32, Failure> {
    Ok(agent.roles().ok_or("the roles do not say their pids")?.0)
}

/// `no_netlink`: nothing of the network side is there, not even what would watch for interfaces.
fn untouched(launch: Launch, no_netlink: bool) -> Outcome {
    let bed = Bridged::new()?;
    let ports = ["cwstbr", "cwstp0", "cwstp1"].map(str::to_owned);
    let end = [INTERFACE.to_owned()];
    let places: [(&Namespace, &[String]); 3] =
        [(&bed.client, &end), (&bed.server, &end), (&bed.hub, &ports)];
    let look = || {
        let looks = places.iter().map(|(namespace, interfaces)| {
            Ok((filters(namespace, interfaces)?, qdiscs(namespace)?))
        });
        looks.collect::<Result<Vec<_>, Failure>>()
    };
    let before = look()?;
    let agent = launch.start()?;
    let target = format!("{SERVER}:{PORT}");
    let _listener = Server::start(&bed.server, &["listen", &target])?;
    let _dns = Server::start(&bed.server, &["dns-serve", SERVER, "fd78::2", SERVER])?;
    ask(
        &bed.client,
        &["dns-ask", "connected", SERVER, "off.cwst", "a"],
    )?;
    let said = ask(&bed.client, &["connect", &target])?;
    // System calls are seen without any filter; after this event the agent had its chance.
    agent.event_of("connected", said.pid)?;
    let after = look()?;
    ensure(after == before, || {
        format!("before: {before:?}; after: {after:?}")
    })?;
    let lines = agent.lines();
    let seen = lines.iter().any(|line| line.event["evt"]["name"] == "dns");
    ensure(!seen, || format!("a question of {CLIENT} was seen"))?;
    if no_netlink {
        let pid = probe(&agent)?;
        let sockets = netlink_sockets(pid)?;
        ensure(sockets.is_empty(), || {
            format!("system-probe holds {sockets:?} of {:?}", descriptors(pid))
        })?;
    }
    Ok(())
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
