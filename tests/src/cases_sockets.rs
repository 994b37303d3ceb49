//! connect, bind and accept inside a namespace: addresses, ports, families, what is public, and the
//! names that answers of a name server gave to addresses.

use std::net::SocketAddr;

use serde_json::Value;

use crate::harness::{policy, rule, rule_of, Agent};
use crate::net_agent::{self, wait_bridged};
use crate::net_places::{addressed, Bridged, CLIENT, CLIENT_6, INTERFACE, SERVER, SERVER_6};
use crate::report::{ensure, Failure, Outcome, Report};
use crate::sender::{ask, Server};

const ALWAYS: &str = "    every: 0s\n";
/// Somebody's public addresses; inside the namespaces they are the server's, and nothing leaves them.
const PUBLIC: &str = "9.9.9.9";
const PUBLIC_6: &str = "2620:fe::fe";
/// Where the server listens, and where nobody does.
const OPEN: u16 = 7801;
const CLOSED: u16 = 7802;
const BOUND: u16 = 7803;
/// ECONNREFUSED.
const REFUSED: &str = "111";
const NAMED: &str = "www.named.cwst";

type Test = fn(&Bed) -> Outcome;

const TESTS: &[(&str, Test)] = &[
    ("sockets_connect", connect),
    ("sockets_connect_refused", connect_refused),
    ("sockets_connect_public", connect_public),
    ("sockets_accept", accept),
    ("sockets_bind", bind),
    ("sockets_hostname", hostname),
];

struct Bed {
    agent: Agent,
    listener: Server,
    _dns: Server,
    places: Bridged,
}

/// Runs the tests of this file.
pub(crate) fn run(report: &mut Report) {
    if !report.wants_any(TESTS.iter().map(|(name, _)| *name)) {
        return;
    }
    let bed = match start() {
        Ok(bed) => bed,
        Err(failure) => return report.not_started("sockets_start", failure),
    };
    for (name, test) in TESTS {
        report.case(name, || test(&bed));
    }
}

fn rules() -> Vec<String> {
    let open = format!("connect.addr.port == {OPEN}");
    let table = [
        (
            "connect_four",
            format!("{open} && connect.addr.family == AF_INET && connect.addr.ip == {SERVER}"),
        ),
        (
            "connect_six",
            format!("{open} && connect.addr.family == AF_INET6 && connect.addr.ip == {SERVER_6}"),
        ),
        ("connect_refused", format!("connect.addr.port == {CLOSED}")),
        (
            "connect_public",
            format!("{open} && connect.addr.is_public == true"),
        ),
        (
            "connect_private",
            format!("{open} && connect.addr.is_public == false"),
        ),
        (
            "accept_four",
            format!("accept.addr.family == AF_INET && accept.addr.ip in {CLIENT}/32"),
        ),
        (
            "accept_six",
            format!("accept.addr.family == AF_INET6 && accept.addr.ip == {CLIENT_6}"),
        ),
        ("bind", format!("bind.addr.port == {BOUND}")),
        ("hostname", format!("connect.addr.hostname == \"{NAMED}\"")),
        (
            "alias",
            format!("connect.addr.hostname == \"alias.{NAMED}\""),
        ),
        (
            "answered",
            "dns.question.name =~ \"*.named.cwst\"".to_owned(),
        ),
    ];
    table
        .iter()
        .map(|(name, expression)| rule(name, expression, ALWAYS))
        .collect()
}

fn start() -> Result<Bed, Failure> {
    let places = Bridged::new()?;
    let (four, six) = (format!("{PUBLIC}/32"), format!("{PUBLIC_6}/128"));
    let addresses = [four.as_str(), &six];
    places.server.ip_lines(&addressed(INTERFACE, &addresses))?;
    for address in addresses {
        places
            .client
            .ip(&["route", "add", address, "dev", INTERFACE])?;
    }
    let listener = Server::start(
        &places.server,
        &[
            "listen",
            &format!("{SERVER}:{OPEN}"),
            &format!("[{SERVER_6}]:{OPEN}"),
            &format!("{PUBLIC}:{OPEN}"),
            &format!("[{PUBLIC_6}]:{OPEN}"),
        ],
    )?;
    let serve = ["dns-serve", PUBLIC, SERVER_6, SERVER];
    let dns = Server::start(&places.server, &serve)?;
    let agent = net_agent::launch("sockets")?
        .policy("sockets.policy", policy(&rules()))?
        .start()?;
    wait_bridged(&agent, &places)?;
    Ok(Bed {
        agent,
        listener,
        _dns: dns,
        places,
    })
}

fn expect_address(event: &Value, kind: &str, family: &str, ip: &str, port: u16) -> Outcome {
    let address = &event[kind]["addr"];
    let good = event["evt"]["name"] == kind
        && address["family"] == family
        && address["ip"] == ip
        && (port == 0 || address["port"] == port);
    ensure(good, || format!("{} {}", event["evt"], event[kind]))
}

fn connect(bed: &Bed) -> Outcome {
    let table = [
        (
            "connect_four",
            "AF_INET",
            SERVER,
            format!("{SERVER}:{OPEN}"),
        ),
        (
            "connect_six",
            "AF_INET6",
            SERVER_6,
            format!("[{SERVER_6}]:{OPEN}"),
        ),
    ];
    for (rule, family, ip, target) in table {
        let said = ask(&bed.places.client, &["connect", &target])?;
        ensure(said.text("error") == "0", || format!("{said:?}"))?;
        let event = bed.agent.event_of(rule, said.pid)?;
        expect_address(&event, "connect", family, ip, OPEN)?;
    }
    Ok(())
}

/// A refused connection is evidence too.
fn connect_refused(bed: &Bed) -> Outcome {
    let target = format!("{SERVER}:{CLOSED}");
    let said = ask(&bed.places.client, &["connect", &target])?;
    ensure(said.text("error") == REFUSED, || format!("{said:?}"))?;
    let event = bed.agent.event_of("connect_refused", said.pid)?;
    expect_address(&event, "connect", "AF_INET", SERVER, CLOSED)
}

/// Both versions of IP have public addresses and others.
fn connect_public(bed: &Bed) -> Outcome {
    let table = [
        (PUBLIC, "connect_public"),
        (PUBLIC_6, "connect_public"),
        (SERVER, "connect_private"),
        (SERVER_6, "connect_private"),
    ];
    for (ip, rule) in table {
        let target = SocketAddr::new(ip.parse()?, OPEN);
        let said = ask(&bed.places.client, &["connect", &target.to_string()])?;
        let event = bed.agent.event_of(rule, said.pid)?;
        ensure(event["connect"]["addr"]["ip"] == ip, || {
            event["connect"].to_string()
        })?;
    }
    Ok(())
}

/// The event is the server's, and its address the client's.
fn accept(bed: &Bed) -> Outcome {
    let table = [
        ("accept_four", "AF_INET", CLIENT, format!("{SERVER}:{OPEN}")),
        (
            "accept_six",
            "AF_INET6",
            CLIENT_6,
            format!("[{SERVER_6}]:{OPEN}"),
        ),
    ];
    for (rule, family, ip, target) in table {
        let said = ask(&bed.places.client, &["connect", &target])?;
        let port = said.number("port")?;
        let found = bed.agent.event(|event| {
            rule_of(event) == rule
                && event["process"]["pid"] == bed.listener.pid
                && event["accept"]["addr"]["port"] == port
        });
        let event = found.ok_or_else(|| format!("no event of {rule} from port {port}"))?;
        expect_address(&event, "accept", family, ip, 0)?;
    }
    Ok(())
}

fn bind(bed: &Bed) -> Outcome {
    for kind in ["udp", "tcp"] {
        for (family, ip, target) in [
            ("AF_INET", CLIENT, format!("{CLIENT}:{BOUND}")),
            ("AF_INET6", CLIENT_6, format!("[{CLIENT_6}]:{BOUND}")),
        ] {
            let said = ask(&bed.places.client, &["bind", kind, &target])?;
            let event = bed.agent.event_of("bind", said.pid)?;
            expect_address(&event, "bind", family, ip, BOUND)?;
        }
    }
    Ok(())
}

/// One process asks, another one connects to what it was told: under the name, and under the name
/// that stands for it.
fn hostname(bed: &Bed) -> Outcome {
    for (rule, name) in [
        ("hostname", NAMED.to_owned()),
        ("alias", format!("alias.{NAMED}")),
    ] {
        let arguments = ["dns-ask", "unconnected", SERVER, &name, "a"];
        let asked = ask(&bed.places.client, &arguments)?;
        ensure(asked.text("answer") == PUBLIC, || format!("{asked:?}"))?;
        let answered = bed.agent.event(|event| {
            rule_of(event) == "answered"
                && event["dns"]["question"]["name"] == name.as_str()
                && event["dns"]["is_query"] == false
        });
        ensure(answered.is_some(), || {
            format!("the answer for {name} was not seen")
        })?;
        let said = ask(
            &bed.places.client,
            &["connect", &format!("{PUBLIC}:{OPEN}")],
        )?;
        let event = bed.agent.event_of(rule, said.pid)?;
        let names = event["connect"]["hostnames"].as_array();
        let told = names.is_some_and(|names| names.iter().any(|one| *one == name.as_str()));
        ensure(told, || format!("{}", event["connect"]))?;
    }
    Ok(())
}
