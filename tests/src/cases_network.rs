//! Questions to name servers and their answers, and packets that a filter picks, seen in three
//! namespaces that a bridge joins: with the right process at both ends, in both directions.

use std::fs;
use std::path::Path;

use serde_json::Value;

use crate::harness::{policy, rule, rule_of, Agent};
use crate::net_agent::{self, network_count, wait_bridged};
use crate::net_places::{Bridged, CLIENT, CLIENT_6, INTERFACE, SERVER, SERVER_6};
use crate::report::{ensure, Failure, Outcome, Report};
use crate::scratch::{self, patience, wait_for};
use crate::sender::{ask, Server};

const ASKED: &str = "asked";
const ALWAYS: &str = "    every: 0s\n";
/// The port whose connections the packet filter picks, and one that it does not.
const PICKED: u16 = 7810;
const PASSED_OVER: u16 = 7811;
/// Packets in one go, far more than are reported in a second.
const MANY: usize = 200;
/// Messages that no parser can read: cut in the header, a name that points at itself, a name that
/// ends before its label, and a label of a kind that there is not (RFC 1035, 4.1.4).
const MALFORMED: &[&str] = &[
    "1234",
    "123401000001000000000000c00c00010001",
    "1234010000010000000000003f6161",
    "12340100000100000000000081610000010001",
];

type Test = fn(&Bed) -> Outcome;

const TESTS: &[(&str, Test)] = &[
    ("network_attached", attached),
    ("network_dns_connected", |bed| questions(bed, "connected")),
    ("network_dns_unconnected", |bed| {
        questions(bed, "unconnected")
    }),
    ("network_dns_tcp", |bed| questions(bed, "tcp")),
    ("network_dns_extension_headers", extension_headers),
    ("network_dns_no_such_name", no_such_name),
    ("network_packet_filter", packet_filter),
    ("network_namespace_dump", dump),
];

/// The namespaces, who serves in them, and the agent.
struct Bed {
    agent: Agent,
    dns: Server,
    _listener: Server,
    places: Bridged,
}

/// Runs the tests of this file.
pub(crate) fn run(report: &mut Report) {
    report.case("network_dns_malformed", malformed);
    report.case("network_packet_programs", packet_programs);
    report.case("network_packet_limit", packet_limit);
    if !report.wants_any(TESTS.iter().map(|(name, _)| *name)) {
        return;
    }
    let bed = match start() {
        Ok(bed) => bed,
        Err(failure) => return report.not_started("network_start", failure),
    };
    for (name, test) in TESTS {
        report.case(name, || test(&bed));
    }
}

fn start() -> Result<Bed, Failure> {
    let places = Bridged::new()?;
    let serve = ["dns-serve", SERVER, SERVER_6, SERVER, SERVER_6];
    let dns = Server::start(&places.server, &serve)?;
    let ports = [PICKED, PASSED_OVER].map(|port| format!("{SERVER}:{port}"));
    let listener = Server::start(&places.server, &["listen", &ports[0], &ports[1]])?;
    let filter = format!("tcp dst port {PICKED} and tcp[tcpflags] & tcp-syn != 0");
    let rules = [
        rule(ASKED, "dns.question.name =~ \"*.detect.cwst\"", ALWAYS),
        rule(
            "address_asked",
            "dns.question.type == A && dns.question.name == \"A-And-AAAA.cwst\"",
            ALWAYS,
        ),
        rule("picked", &format!("packet.filter == \"{filter}\""), ALWAYS),
    ];
    let agent = net_agent::launch("network")?
        .env("TMPDIR", &scratch::root().to_string_lossy())
        .policy("network.policy", policy(&rules))?
        .start()?;
    let bed = Bed {
        agent,
        dns,
        _listener: listener,
        places,
    };
    attached(&bed)?;
    Ok(bed)
}

/// Every interface of the three namespaces has a filter in each direction.
fn attached(bed: &Bed) -> Outcome {
    let filters = wait_bridged(&bed.agent, &bed.places)?;
    let wrong = filters.iter().find(|filter| filter.priority != 10);
    ensure(wrong.is_none(), || format!("not at priority 10: {wrong:?}"))
}

/// What an event about a packet has to say.
struct Wanted<'a> {
    rule: &'static str,
    process: i64,
    namespace: u64,
    direction: &'static str,
    source: &'a str,
    destination: &'a str,
    ports: (Option<i64>, Option<i64>),
}

impl Wanted<'_> {
    fn is(&self, event: &Value) -> bool {
        let network = &event["network"];
        let port =
            |end: &str, wanted: Option<i64>| wanted.is_none_or(|port| network[end]["port"] == port);
        rule_of(event) == self.rule
            && event["process"]["pid"] == self.process
            && network["device"]["netns"] == self.namespace
            && network["device"]["ifname"] == INTERFACE
            && network["network_direction"] == self.direction
            && network["source"]["ip"] == self.source
            && network["destination"]["ip"] == self.destination
            && port("source", self.ports.0)
            && port("destination", self.ports.1)
    }

    /// The event for which this holds as well.
    fn find(&self, agent: &Agent, holds: impl Fn(&Value) -> bool) -> Result<Value, Failure> {
        let found = agent.event(|event| self.is(event) && holds(event));
        found.ok_or_else(|| {
            let lines = agent.lines();
            let of_rule = lines
                .iter()
                .filter(|line| rule_of(&line.event) == self.rule);
            let near: Vec<String> = of_rule
                .map(|line| {
                    let event = &line.event;
                    format!(
                        "pid {} {} {}",
                        event["process"]["pid"], event["network"], event["dns"]
                    )
                })
                .collect();
            let near = near.get(near.len().saturating_sub(6)..).unwrap_or_default();
            Failure::Failed(format!(
                "no {} event of rule {} for pid {} from {} to {}; the last ones: {near:?}",
                self.direction, self.rule, self.process, self.source, self.destination
            ))
        })
    }
}

/// Question and answer, each where it is sent and where it arrives, in both versions of IP.
fn questions(bed: &Bed, way: &str) -> Outcome {
    let versions = [(CLIENT, SERVER, "a"), (CLIENT_6, SERVER_6, "aaaa")];
    for (client, server, kind) in versions {
        let name = format!("alias.{way}.{kind}.detect.cwst");
        let said = ask(&bed.places.client, &["dns-ask", way, server, &name, kind])?;
        let port = said.number("port")?;
        for (at_client, is_question) in [(true, true), (false, true), (false, false), (true, false)]
        {
            let wanted = Wanted {
                rule: ASKED,
                process: if at_client { said.pid } else { bed.dns.pid },
                namespace: if at_client {
                    bed.places.client.inode()?
                } else {
                    bed.places.server.inode()?
                },
                direction: if at_client == is_question {
                    "EGRESS"
                } else {
                    "INGRESS"
                },
                source: if is_question { client } else { server },
                destination: if is_question { server } else { client },
                ports: if is_question {
                    (Some(port), Some(53))
                } else {
                    (Some(53), Some(port))
                },
            };
            let event = wanted.find(&bed.agent, |event| {
                let dns = &event["dns"];
                dns["question"]["name"] == name.as_str() && dns["is_query"] == is_question
            })?;
            expect_question(&event, kind)?;
            expect_protocols(&event, kind, way)?;
        }
    }
    Ok(())
}

fn expect_question(event: &Value, kind: &str) -> Outcome {
    let question = &event["dns"]["question"];
    let good = event["evt"]["name"] == "dns"
        && event["evt"]["category"] == "Network Activity"
        && question["type"] == kind.to_uppercase().as_str()
        && question["class"] == "CLASS_INET"
        && question["count"] == 1;
    ensure(good, || format!("{} {question}", event["evt"]))
}

fn expect_protocols(event: &Value, kind: &str, way: &str) -> Outcome {
    let network = &event["network"];
    let third = if kind == "a" {
        "ETH_P_IP"
    } else {
        "ETH_P_IPV6"
    };
    let fourth = if way == "tcp" {
        "IP_PROTO_TCP"
    } else {
        "IP_PROTO_UDP"
    };
    let good = network["l3_protocol"] == third && network["l4_protocol"] == fourth;
    ensure(good, || network.to_string())
}

/// A packet whose header is not the next thing after the address; nobody's socket sent it.
fn extension_headers(bed: &Bed) -> Outcome {
    let name = "extended.detect.cwst";
    let arguments = ["raw-dns", CLIENT_6, SERVER_6, "4053", name];
    ask(&bed.places.client, &arguments)?;
    let wanted = Wanted {
        rule: ASKED,
        process: bed.dns.pid,
        namespace: bed.places.server.inode()?,
        direction: "INGRESS",
        source: CLIENT_6,
        destination: SERVER_6,
        ports: (Some(4053), Some(53)),
    };
    let named = |event: &Value| event["dns"]["question"]["name"] == name;
    wanted.find(&bed.agent, named).map(drop)
}

fn no_such_name(bed: &Bed) -> Outcome {
    let name = "missing.detect.cwst";
    let arguments = ["dns-ask", "connected", SERVER, name, "a"];
    let said = ask(&bed.places.client, &arguments)?;
    let wanted = Wanted {
        rule: ASKED,
        process: said.pid,
        namespace: bed.places.client.inode()?,
        direction: "INGRESS",
        source: SERVER,
        destination: CLIENT,
        ports: (Some(53), None),
    };
    let event = wanted.find(&bed.agent, |event| {
        event["dns"]["question"]["name"] == name && event["dns"]["is_query"] == false
    })?;
    let code = &event["dns"]["response"]["code"];
    ensure(*code == "NXDOMAIN" || *code == 3, || {
        format!("the code of the response is {code}")
    })?;
    // Names are compared without case, and a rule can ask for the type of the question.
    let name = "a-and-aaaa.cwst";
    ask(
        &bed.places.client,
        &["dns-ask", "connected", SERVER_6, name, "aaaa"],
    )?;
    let said = ask(
        &bed.places.client,
        &["dns-ask", "connected", SERVER, name, "a"],
    )?;
    let event = bed.agent.event_of("address_asked", said.pid)?;
    ensure(event["dns"]["question"]["type"] == "A", || {
        event["dns"].to_string()
    })
}

/// Each of them is an event of its own kind, of the process that sent it, and counted; questions that
/// follow are still seen.
fn malformed() -> Outcome {
    let places = Bridged::new()?;
    let serve = ["dns-serve", SERVER, SERVER_6, SERVER];
    let _dns = Server::start(&places.server, &serve)?;
    // A rule of all events about packets.
    let rules = [rule("port_53", "network.destination.port == 53", ALWAYS)];
    let agent = net_agent::launch("malformed")?
        .policy("malformed.policy", policy(&rules))?
        .start()?;
    wait_bridged(&agent, &places)?;
    let mut arguments = vec!["send", "10.78.0.2:53"];
    arguments.extend(MALFORMED);
    let said = ask(&places.client, &arguments)?;
    let namespace = places.client.inode()?;
    let told = || {
        let lines = agent.lines();
        let told = lines.iter().filter(|line| {
            let event = &line.event;
            event["evt"]["name"] == "failed_dns"
                && event["process"]["pid"] == said.pid
                && event["network"]["device"]["netns"] == namespace
        });
        told.count()
    };
    let all = wait_for(patience(10), || (told() >= MALFORMED.len()).then_some(()));
    ensure(all.is_some(), || {
        format!("{} of {} messages are told of", told(), MALFORMED.len())
    })?;
    // More than that: they are seen on other interfaces, too.
    let counted = network_count(&agent, "/failed_dns")?;
    ensure(counted >= MALFORMED.len() as u64, || {
        format!("status counts {counted} of {}", MALFORMED.len())
    })?;
    let name = "still.detect.cwst";
    let said = ask(&places.client, &["dns-ask", "connected", SERVER, name, "a"])?;
    let seen = agent.event(|event| {
        event["process"]["pid"] == said.pid && event["dns"]["question"]["name"] == name
    });
    ensure(seen.is_some(), || {
        "a question after them was not seen".to_owned()
    })?;
    // What came before that question has come.
    ensure(told() == MALFORMED.len(), || {
        format!("{} messages are told of {} times", MALFORMED.len(), told())
    })
}

/// The verifier of this kernel takes what expressions of every sort become, all of them together.
fn packet_programs() -> Outcome {
    let deep = format!("{}tcp port 1{}", "not (".repeat(15), ")".repeat(15));
    let ports: Vec<String> = (1..=25).map(|port| port.to_string()).collect();
    let long = format!("tcp port {}", ports.join(" or "));
    let expressions = [
        deep.as_str(),
        long.as_str(),
        "len / (len - 54) % 3 ^ 1 != -1 * 2 << 3",
        "1000 / tcp[4] + 1000 % ip[8] > 2000",
        "ip[0] << (ip[1] & 31) >> ip[8] << ip[9] = 7",
        "tcp[((tcp[12] & 0xf0) >> 2):4] = 0x47455420",
        "udp[udp[4:2] - 4:4] = 0x12345678 and ip[ip[8] + ip[9]:2] > 9",
        "ip6 and icmp6[icmp6type] == icmp6-echo and not src net fd00::/8",
        "net 10.99.0.0/16 or 192.168 or dst net 172.16.0.0 mask 255.240.0.0",
        "ether src 02:00:00:00:00:0a or arp host 10.99.0.1 or sctp portrange 20-25",
    ];
    let rules = (0..).zip(expressions).map(|(number, text)| {
        let name = format!("picks_{number}");
        rule(&name, &format!("packet.filter == \"{text}\""), "")
    });
    let rules: Vec<String> = rules.collect();
    let agent = net_agent::launch("packet-programs")?
        .policy("packets.policy", policy(&rules))?
        .start()?;
    let status = agent.command_status().unwrap_or_default();
    let packets = &status["network"]["packets"];
    let good = packets["filters"] == rules.len() && packets["problem"] == "";
    ensure(good, || format!("{packets}; log: {}", agent.log()))
}

/// Packets beyond the rate are counted instead of reported: none is missing.
fn packet_limit() -> Outcome {
    let places = Bridged::new()?;
    let port = format!("{SERVER}:{PASSED_OVER}");
    let filter = format!("packet.filter == \"udp dst port {PASSED_OVER}\"");
    let agent = net_agent::launch("packet-limit")?
        .policy("limit.policy", policy(&[rule("limited", &filter, ALWAYS)]))?
        .start()?;
    wait_bridged(&agent, &places)?;
    let mut arguments = vec!["send", &port];
    arguments.extend(["00"; MANY]);
    ask(&places.client, &arguments)?;
    let reported = || {
        let lines = agent.lines();
        let ours = lines
            .iter()
            .filter(|line| rule_of(&line.event) == "limited");
        ours.count() as u64
    };
    let limited = || network_count(&agent, "/limited").unwrap_or_default();
    let all = wait_for(patience(10), || {
        (reported() + limited() == MANY as u64).then_some(())
    });
    let (reported, limited) = (reported(), limited());
    ensure(all.is_some() && reported > 0 && limited > 0, || {
        format!("of {MANY} packets {reported} are reported, {limited} counted as limited")
    })
}

/// Only what the expression picks: the first packet of a connection to one port. On the bridge it is
/// nobody's, which is counted.
fn packet_filter(bed: &Bed) -> Outcome {
    let nobodys = || network_count(&bed.agent, "/without_process");
    let before = nobodys()?;
    let targets = [PASSED_OVER, PICKED].map(|port| format!("{SERVER}:{port}"));
    ask(&bed.places.client, &["connect", &targets[0]])?;
    let said = ask(&bed.places.client, &["connect", &targets[1]])?;
    let wanted = Wanted {
        rule: "picked",
        process: said.pid,
        namespace: bed.places.client.inode()?,
        direction: "EGRESS",
        source: CLIENT,
        destination: SERVER,
        ports: (Some(said.number("port")?), Some(PICKED.into())),
    };
    let event = wanted.find(&bed.agent, |_| true)?;
    ensure(event["evt"]["name"] == "packet", || {
        event["evt"].to_string()
    })?;
    let counted = wait_for(patience(10), || (nobodys().ok()? > before).then_some(()));
    ensure(counted.is_some(), || {
        format!("packets without a process are not counted: still {before}")
    })?;
    let lines = bed.agent.lines();
    let picked = lines.iter().filter(|line| rule_of(&line.event) == "picked");
    let wrong = picked
        .map(|line| &line.event["network"])
        .find(|network| network["destination"]["port"] != PICKED);
    ensure(wrong.is_none(), || {
        format!("the filter does not pick this: {wrong:?}")
    })
}

/// The namespaces of the tests are in the dump, which is a file that the command names.
fn dump(bed: &Bed) -> Outcome {
    let finished = bed
        .agent
        .command(&["runtime", "network-namespace", "dump"])?;
    ensure(finished.code == Some(0), || finished.said())?;
    let place = scratch::root();
    let lines: Vec<&str> = finished.stdout.lines().collect();
    let [dump, graph] = lines[..] else {
        return Err(Failure::Failed(finished.said()));
    };
    let mut told = String::new();
    for (line, name) in [(dump, "dump"), (graph, "dump graph")] {
        let path = line.strip_prefix(&format!("Network namespace {name}: "));
        let path = path.ok_or_else(|| line.to_owned())?;
        ensure(Path::new(path).starts_with(&place), || line.to_owned())?;
        let text = fs::read_to_string(path)?;
        fs::remove_file(path)?;
        ensure(text.contains(INTERFACE), || text.clone())?;
        told += &text;
    }
    let arguments = [
        "runtime",
        "network-namespace",
        "dump",
        "--snapshot-interfaces=false",
    ];
    let finished = bed.agent.command(&arguments)?;
    for path in finished
        .stdout
        .lines()
        .filter_map(|line| line.split_once(": "))
    {
        let text = fs::read_to_string(path.1)?;
        fs::remove_file(path.1)?;
        ensure(!text.contains(INTERFACE), || text.clone())?;
    }
    for namespace in [&bed.places.client, &bed.places.server, &bed.places.hub] {
        let inode = namespace.inode()?.to_string();
        ensure(told.contains(&inode), || {
            format!(
                "the namespace {inode} is not told of: {told}; {}",
                finished.said()
            )
        })?;
    }
    Ok(())
}
