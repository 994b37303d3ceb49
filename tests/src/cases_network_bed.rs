//! The bed of the network tests itself, without an agent: that packets get where they should, that
//! classifiers of others do what their verdict says, that dumps show them, and that nothing stays.

use crate::classifiers::of_others;
use crate::neighbours::Neighbours;
use crate::net_places::{join, Bridged, Namespace, INTERFACE, SERVER, SERVER_6};
use crate::report::{ensure, Outcome, Report};
use crate::scratch::{patience, wait_for};
use crate::sender::{ask, Server};

/// Runs the tests of this file.
pub(crate) fn run(report: &mut Report) {
    report.case("network_bed_bridge", bridge);
    report.case("network_bed_classifiers", verdicts);
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
    ensure(said.text("code") == "3", || format!("{said:?}"))
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
