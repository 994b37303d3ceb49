//! Two namespaces with many interface pairs between them, on each of which somebody else has a
//! classifier: every priority with every verdict, in both directions, classic and extended.
//!
//! The classifiers are at the near ends, called `cwst0` and on. A flood of counted datagrams through
//! all of them tells at its end whether each verdict held all the time.

use crate::classifiers::{self, Filter, Foreign, Program, Verdict, DIRECTIONS};
use crate::net_places::{addressed, wait_up, Namespace};
use crate::report::{ensure, Failure, Outcome};
use crate::sender::Server;
use crate::traffic_flood::BLOCKED;

const PORT: u16 = 7000;

/// The namespaces and what is in them.
pub(crate) struct Neighbours {
    /// Where the classifiers are.
    pub(crate) near: Namespace,
    /// Where the datagrams are sent back.
    pub(crate) far: Namespace,
    /// One classifier for each interface.
    pub(crate) foreign: Vec<Foreign>,
    /// The near ends, in the order of the classifiers.
    pub(crate) interfaces: Vec<String>,
}

impl Neighbours {
    /// The whole table for these priorities.
    pub(crate) fn new(priorities: &[u32]) -> Result<Neighbours, Failure> {
        let foreign = table(priorities);
        let interfaces: Vec<String> = foreign.iter().map(|one| one.interface.clone()).collect();
        let (near, far) = (Namespace::new()?, Namespace::new()?);
        let (mut near_lines, mut far_lines) = (Vec::new(), Vec::new());
        for (number, name) in interfaces.iter().enumerate() {
            near_lines.push(format!(
                "link add {name} type veth peer name {name} netns {}",
                far.name()
            ));
            near_lines.extend(addressed(name, &[&format!("10.79.{number}.1/24")]));
            far_lines.extend(addressed(name, &[&format!("10.79.{number}.2/24")]));
        }
        near.ip_lines(&near_lines)?;
        far.ip_lines(&far_lines)?;
        wait_up(&[&near, &far])?;
        // At both ends: the kernel takes a device out of service for a moment when it gets this qdisc
        // (qdisc_graft in net/sched/sch_api.c), whoever adds it, and packets of that moment are gone.
        for end in [&near, &far] {
            classifiers::prepare(end, interfaces.iter().map(String::as_str))?;
        }
        classifiers::attach(&near, &foreign)?;
        Ok(Neighbours {
            near,
            far,
            foreign,
            interfaces,
        })
    }

    /// All filters at the near ends.
    pub(crate) fn filters(&self) -> Result<Vec<Filter>, Failure> {
        classifiers::filters(&self.near, &self.interfaces)
    }

    /// Starts who sends back, and the flood.
    pub(crate) fn flood(&self) -> Result<Flood, Failure> {
        let (mut serve, mut send) = (vec!["echo-serve".to_owned()], vec!["echo-flood".to_owned()]);
        for (number, one) in self.foreign.iter().enumerate() {
            let target = format!("10.79.{number}.2:{PORT}");
            let blocked = if one.verdict.lets_pass() {
                String::new()
            } else {
                BLOCKED.to_string()
            };
            send.push(format!("{blocked}{target}"));
            serve.push(target);
        }
        let start = |namespace: &Namespace, arguments: &[String]| {
            let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
            Server::start(namespace, &arguments)
        };
        let echo = start(&self.far, &serve)?;
        let sender = start(&self.near, &send)?;
        Ok(Flood { echo, sender })
    }
}

fn table(priorities: &[u32]) -> Vec<Foreign> {
    let mut foreign = Vec::new();
    for priority in priorities {
        for verdict in Verdict::ALL {
            for direction in DIRECTIONS {
                for program in [Program::Classic, Program::Extended] {
                    foreign.push(Foreign {
                        interface: format!("cwst{}", foreign.len()),
                        direction,
                        priority: *priority,
                        verdict,
                        program,
                    });
                }
            }
        }
    }
    foreign
}

/// Datagrams on their way through every interface.
pub(crate) struct Flood {
    /// Ends after the sender, which is dropped first.
    sender: Server,
    echo: Server,
}

impl Flood {
    /// Ends it: every datagram that may pass came back, and no other one.
    pub(crate) fn expect_undisturbed(self) -> Outcome {
        let said = self.sender.end()?;
        drop(self.echo);
        println!(
            "figure: {} rounds of datagrams, the slowest echo after {} ms",
            said.text("rounds"),
            said.text("slowest")
        );
        let undisturbed = said.number("lost")? == 0 && said.number("leaked")? == 0;
        ensure(undisturbed, || {
            format!("packets were lost, or passed where they must not: {said:?}")
        })
    }
}
