//! What is made good again, and what is not touched for it.

use std::process::Command;

use super::super::interfaces::remove;
use super::*;

/// Numbers and handles of the egress filters.
fn numbers(scene: &mut Scene<'_>) -> io::Result<Vec<(u32, u32)>> {
    let filters = scene.filters(Direction::Egress)?.into_iter();
    let number = |filter: Filter| (filter.program.map_or(0, |one| one.id), filter.handle);
    Ok(filters.map(number).collect())
}

fn egress_only() -> Options {
    Options {
        ingress: false,
        ..options()
    }
}

#[test]
fn a_handle_of_our_own_choice_is_in_nobodys_way() {
    compare(
        |scene| {
            let options = egress_only();
            scene.add_qdisc(&message::new_qdisc(LOOPBACK))?;
            scene.add_filter("cil_from_container", 0x1_0007)?;
            scene.visit(&visit(&options))?;
            scene.add_filter("cil_from_container", 1)?;
            let found = numbers(scene)?;
            let small = found.iter().filter(|(_, handle)| *handle <= 0xffff);
            writeln!(scene.out, "{} {}", found.len(), small.count())?;
            Ok(())
        },
        "Unwanted Attached \n3 1\n",
    );
}

#[test]
fn a_filter_that_has_taken_a_handle_meanwhile_stays() {
    compare(
        |scene| {
            scene.add_qdisc(&message::new_qdisc(LOOPBACK))?;
            let own = name::of(RUN, Direction::Egress);
            scene.add_filter(&own, 1)?;
            let read = scene.filters(Direction::Egress)?;
            let read = read.into_iter().find(|filter| filter.handle == 1);
            let read = read.ok_or("no filter")?;
            scene.delete(&own)?;
            writeln!(scene.out, "{}", remove(&mut scene.route, LOOPBACK, &read)?)?;
            for name in ["cil_from_container", &own] {
                // Another program has another number.
                scene.foreign = returning(0)?;
                scene.add_filter(name, 1)?;
                writeln!(scene.out, "{}", remove(&mut scene.route, LOOPBACK, &read)?)?;
                scene.delete(name)?;
            }
            scene.add_filter(&own, 1)?;
            let read = scene.filters(Direction::Egress)?.into_iter().next_back();
            let read = read.ok_or("no filter")?;
            writeln!(scene.out, "{}", remove(&mut scene.route, LOOPBACK, &read)?)?;
            scene.show()?;
            Ok(())
        },
        "false\nfalse\nfalse\ntrue\n  clsact\n",
    );
}

#[test]
fn what_a_killed_visit_attached_is_used_for_all() {
    compare(
        |scene| {
            let options = egress_only();
            scene.visit(&visit(&options))?;
            let before = numbers(scene)?;
            let ip = [
                "link", "add", "cwst0", "type", "veth", "peer", "name", "cwst1",
            ];
            let added = Command::new("ip").args(ip).status()?;
            // Nobody knows which program is there.
            let report = scene.visit(&visit(&options))?;
            let programs = report.devices.iter().map(|one| one.sides.egress.program);
            let mut programs: Vec<u32> = programs.filter(|program| *program > 0).collect();
            let count = programs.len();
            programs.dedup();
            let is_one = programs.len() == 1 && before == numbers(scene)?;
            writeln!(scene.out, "{} {count} {is_one}", added.success())?;
            Ok(())
        },
        "Unwanted Attached \nUnwanted Kept \ntrue 3 true\n",
    );
}

#[test]
fn our_name_on_another_program_is_not_believed() {
    compare(
        |scene| {
            let options = egress_only();
            let own = name::of(RUN, Direction::Egress);
            scene.foreign = returning(0)?;
            scene.add_qdisc(&message::new_qdisc(LOOPBACK))?;
            scene.add_filter(&own, 1)?;
            let mut visit = visit(&options);
            let report = scene.visit(&visit)?;
            scene.show()?;
            let device = report.devices.first().ok_or("no interface")?;
            visit.programs.egress = device.sides.egress.program;
            scene.add_filter(&own, 1)?;
            scene.visit(&visit)?;
            scene.show()?;
            // Our own, but twice.
            scene.foreign = bpf_sys::Objects::Programs
                .open(visit.programs.egress)?
                .ok_or("no program")?;
            scene.add_filter(&own, 1)?;
            scene.visit(&visit)?;
            scene.show()?;
            Ok(())
        },
        "\
Unwanted Attached \n  clsact
  egress 10 security-agent/0000000000000007/egress
Unwanted Kept \n  clsact
  egress 10 security-agent/0000000000000007/egress
Unwanted Kept \n  clsact
  egress 10 security-agent/0000000000000007/egress
",
    );
}

#[test]
fn no_qdisc_is_added_that_would_have_no_filter() {
    compare(
        |scene| {
            let options = options();
            let mut visit = visit(&options);
            visit.given_up = Direction::ALL.map(|one| (LOOPBACK, one)).to_vec();
            scene.visit(&visit)?;
            visit.given_up.clear();
            let mut report = Report::default();
            visit.settle(&mut |_, _| Err("no program".to_owned()), &mut report)?;
            let device = report.devices.first().ok_or("no interface")?;
            writeln!(scene.out, "{}", device.sentence)?;
            visit.fresh = vec![LOOPBACK];
            let mut report = Report::default();
            visit.settle(&mut |_, _| program(), &mut report)?;
            writeln!(scene.out, "{} told", report.devices.len())?;
            scene.show()?;
            // What is there already may be used at once.
            scene.add_qdisc(&message::new_qdisc(LOOPBACK))?;
            scene.visit(&visit)?;
            Ok(())
        },
        "Missing Missing \nlo: no program\n0 told\nAttached Attached \n",
    );
}

#[test]
fn a_loopback_interface_that_is_down_and_alone_costs_nothing() {
    compare(
        |scene| {
            let options = egress_only();
            scene.switch(false)?;
            scene.visit(&visit(&options))?;
            scene.show()?;
            let ip = [
                "link", "add", "cwst0", "type", "veth", "peer", "name", "cwst1",
            ];
            let added = Command::new("ip").args(ip).status()?;
            writeln!(scene.out, "{}", added.success())?;
            scene.visit(&visit(&options))?;
            Ok(())
        },
        "Unwanted Unwanted \ntrue\nUnwanted Attached \n",
    );
}

#[test]
fn what_cannot_be_tidied_is_told() {
    compare(
        |scene| {
            let options = egress_only();
            scene.add_qdisc(&message::new_qdisc(LOOPBACK))?;
            scene.add_filter(&name::of(RUN, Direction::Egress), 1)?;
            let mut report = Report::default();
            let visit = visit(&options);
            visit.settle(&mut |_, _| Err("no program".to_owned()), &mut report)?;
            writeln!(scene.out, "{} {}", report.untidy, report.is_whole())?;
            Ok(())
        },
        "1 false\n",
    );
}
