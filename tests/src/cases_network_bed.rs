//! The bed of the network tests itself, without an agent: that packets get where they should, that
//! classifiers of others do what their verdict says, that dumps show them, and that nothing stays.

use crate::cgroup::Cgroup;
use crate::classifiers::{attach, of_others, prepare, Foreign, Program, Verdict};
use crate::neighbours::Neighbours;
use crate::net_places::{join, Bridged, Namespace, CLIENT, CLIENT_6, INTERFACE, SERVER, SERVER_6};
use crate::report::{ensure, Outcome, Report};
use crate::scratch::{patience, wait_for};
use crate::sender::{ask, Server};
use crate::traffic_metadata::ADDRESS;

/// Runs the tests of this file.
pub(crate) fn run(report: &mut Report) {
    report.case("network_bed_bridge", bridge);
    report.case("network_bed_talk", talk);
    report.case("network_bed_classifiers", verdicts);
    report.case("network_bed_watch", watch);
    report.case("network_bed_removal", removal);
}

fn bridge() -> Outcome {
    let bed = Bridged::new()?;
    let server = ["dns-serve", SERVER, SERVER_6, SERVER, SERVER_6];
    let _server = Server::start(&bed.server, &server)?;
    for way in ["connected", "unconnected", "tcp"] {
        for (address, kind) in [(SERVER, "a"), (SERVER_6, "aaaa")] {
            let said = ask(
                &bed.client,
                &["dns-ask", way, address, "alias.bed.cwst", kind],
            )?;
            ensure(said.text("answer") == address, || {
                format!("{way}: {said:?}")
            })?;
        }
    }
    let said = ask(
        &bed.client,
        &["dns-ask", "connected", SERVER, "missing.cwst", "a"],
    )?;
    ensure(said.text("code") == "3", || format!("{said:?}"))?;
    let said = ask(
        &bed.client,
        &["raw-dns", CLIENT_6, SERVER_6, "4053", "bed.cwst"],
    )?;
    ensure(said.number("size")? > 0, || format!("{said:?}"))
}

/// The other senders and servers.
fn talk() -> Outcome {
    let bed = Bridged::new()?;
    let address = format!("{ADDRESS}/32");
    let change = |namespace: &Namespace, what: &str| {
        namespace.ip(&[what, "add", &address, "dev", INTERFACE])
    };
    change(&bed.server, "address")?;
    change(&bed.client, "route")?;
    let listening = format!("{SERVER}:7000");
    let _servers = [
        Server::start(&bed.server, &["metadata-serve"])?,
        Server::start(&bed.server, &["listen", &listening])?,
        Server::start(&bed.server, &["bulk-serve", "[fd78::2]:7001"])?,
        Server::start(&bed.server, &["sink", "10.78.0.2:53"])?,
    ];
    let path = "/latest/meta-data/iam/security-credentials/role";
    let silent = format!("{CLIENT}:7002");
    let table: [(&[&str], &str, &str); 6] = [
        (&["metadata-ask", "GET", path, "A: b"], "status", "200"),
        (&["connect", &listening], "error", "0"),
        (&["connect", "10.78.0.2:7009"], "error", "111"),
        (&["bulk", "[fd78::2]:7001", "2"], "bytes", "2097152"),
        (
            &["dns-flood", SERVER, "100", "20000", "bed.cwst"],
            "sent",
            "100",
        ),
        (&["bind", "udp", &silent], "port", ""),
    ];
    for (arguments, name, value) in table {
        let said = ask(&bed.client, arguments)?;
        ensure(said.text(name) == value, || {
            format!("{arguments:?}: {said:?}")
        })?;
    }
    let said = ask(&bed.client, &["send", "10.78.0.2:53", "1234", "00"])?;
    ensure(said.number("port")? > 0, || format!("{said:?}"))
}

/// Each verdict in each direction, as a classic and as an extended program.
fn verdicts() -> Outcome {
    let neighbours = Neighbours::new(&[5])?;
    let shown = neighbours.filters()?;
    ensure(shown.len() == neighbours.foreign.len(), || {
        format!("{} filters are shown", shown.len())
    })?;
    ensure(of_others(&shown) == shown, || {
        format!("one is taken for ours: {shown:?}")
    })?;
    neighbours.flood()?.expect_undisturbed()?;
    ensure(neighbours.filters()? == shown, || {
        "the same filters are shown in another way".to_owned()
    })
}

/// A watcher sees when its datagrams are dropped and when no longer.
fn watch() -> Outcome {
    let bed = Bridged::new()?;
    let cgroup = Cgroup::new("network-bed")?;
    let _echo = Server::start(&bed.server, &["echo-serve", "10.78.0.2:7830"])?;
    let directory = cgroup.directory();
    let watch = ["within", &directory, "echo-watch", "10.78.0.2:7830"];
    let mut watched = Server::start(&bed.client, &watch)?;
    prepare(&bed.client, [INTERFACE].into_iter())?;
    let drops = Foreign {
        interface: INTERFACE.to_owned(),
        direction: "egress",
        priority: 1,
        verdict: Verdict::Drop,
        program: Program::Classic,
    };
    attach(&bed.client, &[drops])?;
    let said = watched.next()?;
    ensure(said.text("cut") == "1", || format!("{said:?}"))?;
    bed.client
        .tc(&["filter", "del", "dev", INTERFACE, "egress", "prio", "1"])?;
    let said = watched.next()?;
    ensure(said.text("back") == "1", || format!("{said:?}"))
}

/// The near end goes when the far namespace does: how the tests see that nobody holds it.
fn removal() -> Outcome {
    let (near, far) = (Namespace::new()?, Namespace::new()?);
    join(INTERFACE, (&near, &[]), (&far, &[]))?;
    ensure(near.has_interface(INTERFACE), || "no interface".to_owned())?;
    far.remove()?;
    let gone = wait_for(patience(10), || {
        (!near.has_interface(INTERFACE)).then_some(())
    });
    ensure(gone.is_some(), || "the interface stays".to_owned())
}
