//! Visits to namespaces of the tests' own, on the real kernel: each in a child, which writes what
//! it sees and is compared as text.

use std::io::Write;

use nix::sched::unshare;

use super::super::message::NewFilter;
use super::super::{name, Filter, Handle};
use super::*;

mod repair;

const RUN: u64 = 7;
const OLD_RUN: u64 = 6;
/// Its loopback interface.
const LOOPBACK: u32 = 1;
const LONG: Duration = Duration::from_secs(60);

/// A classifier that leaves every packet to the next.
fn program() -> Result<OwnedFd, String> {
    returning(0xff)
}

/// A classifier: r0 = a number of four equal bytes; exit.
fn returning(byte: u8) -> Result<OwnedFd, String> {
    let code = [
        [0xb7, 0, 0, 0, byte, byte, byte, byte],
        [0x95, 0, 0, 0, 0, 0, 0, 0],
    ];
    bpf_sys::load_program(&bpf_sys::ProgramLoad {
        kind: 3,
        expected_attach_type: 0,
        attach_btf_id: 0,
        name: "cwst",
        license: c"GPL",
        kern_version: 0,
        instructions: &code.concat(),
    })
    .map_err(|error| error.to_string())
}

fn options() -> Options {
    Options {
        choice: Choice::default(),
        ingress: true,
        priority: 10,
        handle: 0,
    }
}

fn visit(options: &Options) -> Visit<'_> {
    Visit {
        options,
        run: RUN,
        stale: &[OLD_RUN],
        removes: false,
        inode: 0,
        places: Vec::new(),
        programs: Both::default(),
        given_up: Vec::new(),
        fresh: Vec::new(),
        room: 10,
    }
}

/// What a test writes and how it asks the kernel, in its own namespace.
struct Scene<'a> {
    out: &'a mut File,
    route: Route,
    foreign: OwnedFd,
}

impl Scene<'_> {
    /// Visits, and writes what became of the loopback interface.
    fn visit(&mut self, visit: &Visit<'_>) -> Result<Report, String> {
        let mut report = Report::default();
        visit.settle(&mut |_, _| program(), &mut report)?;
        let device = report.devices.first().ok_or("no interface")?;
        let state = |side: Side| format!("{:?}", side.state);
        let Both { ingress, egress } = device.sides;
        let (ingress, egress) = (state(ingress), state(egress));
        let said = writeln!(self.out, "{ingress} {egress} {}", device.sentence);
        said.map_err(|error| error.to_string())?;
        Ok(report)
    }

    /// Writes the qdiscs and filters of the loopback interface.
    fn show(&mut self) -> io::Result<()> {
        let request = message::tc_request(0, Handle(0));
        let answer = self.route.dump(message::GET_QDISC, &request)?;
        for (_, qdisc) in Messages(&answer).filter_map(|message| message::qdisc(message.body)) {
            if qdisc.parent == message::CLSACT {
                writeln!(self.out, "  {}", qdisc.kind)?;
            }
        }
        for direction in Direction::ALL {
            for filter in self.filters(direction)? {
                let program = filter.program.unwrap_or_default();
                let (priority, name) = (filter.priority, program.name);
                writeln!(self.out, "  {} {priority} {name}", direction.name())?;
            }
        }
        Ok(())
    }

    fn filters(&mut self, direction: Direction) -> io::Result<Vec<Filter>> {
        let request = message::tc_request(LOOPBACK, direction.parent());
        let answer = self.route.dump(message::GET_FILTER, &request)?;
        let found = Messages(&answer);
        Ok(found
            .filter_map(|message| message::filter(message.body, direction))
            .collect())
    }

    fn add_qdisc(&mut self, body: &[u8]) -> io::Result<()> {
        let kind = message::NEW_QDISC;
        self.route.ask(kind, message::CREATE, body).map(drop)
    }

    /// Switches the loopback interface.
    fn switch(&mut self, is_up: bool) -> io::Result<()> {
        // struct ifinfomsg with IFF_UP in its flags and in what changes of them.
        let words = [0, LOOPBACK, u32::from(is_up), 1];
        let body = words.map(u32::to_ne_bytes).concat();
        let kind = message::NEW_LINK;
        self.route.ask(kind, message::ACKNOWLEDGE, &body).map(drop)
    }

    /// An egress filter at our priority.
    fn add_filter(&mut self, name: &str, handle: u32) -> io::Result<()> {
        let body = message::new_filter(&NewFilter {
            interface: LOOPBACK,
            direction: Direction::Egress,
            priority: 10,
            handle,
            program: self.foreign.as_raw_fd(),
            name,
        });
        let kind = message::NEW_FILTER;
        self.route.ask(kind, message::CREATE, &body).map(drop)
    }

    /// Deletes the egress filters of this name, as somebody else might.
    fn delete(&mut self, name: &str) -> io::Result<()> {
        for filter in self.filters(Direction::Egress)? {
            let found = filter.program.as_ref().is_some_and(|one| one.name == name);
            if let Some(body) = message::one_filter(LOOPBACK, &filter).filter(|_| found) {
                let kind = message::DELETE_FILTER;
                self.route.ask(kind, message::ACKNOWLEDGE, &body)?;
            }
        }
        Ok(())
    }
}

type Play = fn(&mut Scene<'_>) -> Result<(), Box<dyn std::error::Error>>;

/// Plays in a child with a network namespace of its own; what it wrote must be `expected`.
fn compare(play: Play, expected: &str) {
    if !nix::unistd::geteuid().is_root() {
        println!("not run: a new network namespace needs root");
        return;
    }
    let mut work = |out: &mut File| {
        let mut begin = || -> Result<(), Box<dyn std::error::Error>> {
            unshare(CloneFlags::CLONE_NEWNET)?;
            let route = Route::open()?;
            let foreign = program()?;
            let mut scene = Scene {
                out: &mut *out,
                route,
                foreign,
            };
            scene.switch(true)?;
            play(&mut scene)
        };
        if let Err(error) = begin() {
            let _ = write!(out, "failed: {error}");
        }
    };
    let text = child::output_of(&mut work, 100_000, LONG).unwrap();
    assert_eq!(String::from_utf8(text).unwrap(), expected);
}

#[test]
fn filters_are_attached_once_and_removed_without_the_qdisc() {
    compare(
        |scene| {
            let options = options();
            let mut visit = visit(&options);
            let first = scene.visit(&visit)?;
            scene.show()?;
            scene.visit(&visit)?;
            let sides = first.devices.first().ok_or("no interface")?.sides;
            visit.programs = Both {
                ingress: sides.ingress.program,
                egress: sides.egress.program,
            };
            let third = scene.visit(&visit)?;
            writeln!(scene.out, "{}", third.devices.len())?;
            scene.show()?;
            visit.removes = true;
            scene.visit(&visit)?;
            scene.show()?;
            Ok(())
        },
        "\
Attached Attached \n  clsact
  ingress 10 security-agent/0000000000000007/ingress
  egress 10 security-agent/0000000000000007/egress
Kept Kept \nKept Kept \n1
  clsact
  ingress 10 security-agent/0000000000000007/ingress
  egress 10 security-agent/0000000000000007/egress
Unwanted Unwanted \n  clsact
",
    );
}

#[test]
fn filters_of_others_stay_and_those_of_dead_runs_go() {
    compare(
        |scene| {
            scene.add_qdisc(&message::new_qdisc(LOOPBACK))?;
            scene.add_filter("cil_from_container", 3)?;
            scene.add_filter(&name::of(OLD_RUN, Direction::Egress), 1)?;
            scene.add_filter("security-agent/0000000000000005/egress", 9)?;
            let mut options = options();
            (options.ingress, options.handle) = (false, 1);
            let mut visit = visit(&options);
            let report = scene.visit(&visit)?;
            writeln!(scene.out, "{} removed", report.removed)?;
            scene.show()?;
            visit.removes = true;
            scene.visit(&visit)?;
            scene.show()?;
            Ok(())
        },
        "\
Unwanted Attached \n1 removed
  clsact
  egress 10 security-agent/0000000000000007/egress
  egress 10 security-agent/0000000000000005/egress
  egress 10 cil_from_container
Unwanted Unwanted \n  clsact
  egress 10 security-agent/0000000000000005/egress
  egress 10 cil_from_container
",
    );
}

#[test]
fn a_taken_handle_is_left_to_its_owner() {
    compare(
        |scene| {
            scene.add_qdisc(&message::new_qdisc(LOOPBACK))?;
            scene.add_filter("cil_from_container", 1)?;
            let mut options = options();
            (options.ingress, options.handle) = (false, 1);
            scene.visit(&visit(&options))?;
            scene.show()?;
            Ok(())
        },
        "\
Unwanted Refused lo: handle 1 at priority 10 belongs to somebody else's filter; choose another \
network.classifier_handle, or 0
  clsact
  egress 10 cil_from_container
",
    );
}

#[test]
fn a_foreign_ingress_qdisc_is_left_alone() {
    compare(
        |scene| {
            let mut body = message::new_qdisc(LOOPBACK);
            // The same length of attribute, with its zero byte and padding.
            let place = body.windows(6).position(|bytes| bytes == b"clsact");
            let place = place.ok_or("no kind")?;
            body.get_mut(place..place + 8)
                .ok_or("no kind")?
                .copy_from_slice(b"ingress\0");
            if let Some(length) = body.get_mut(20) {
                *length = 12;
            }
            scene.add_qdisc(&body)?;
            let options = options();
            let mut visit = visit(&options);
            scene.visit(&visit)?;
            scene.show()?;
            visit.removes = true;
            scene.visit(&visit)?;
            scene.show()?;
            Ok(())
        },
        "\
Refused Refused lo: it has a qdisc of the kind ingress, which is left alone and leaves no place \
for a classifier; who added it may use clsact instead
  ingress
Unwanted Unwanted \n  ingress
",
    );
}

#[test]
fn a_lost_filter_comes_back_unless_it_is_given_up() {
    compare(
        |scene| {
            let options = options();
            let mut visit = visit(&options);
            scene.visit(&visit)?;
            let own = name::of(RUN, Direction::Egress);
            scene.delete(&own)?;
            scene.visit(&visit)?;
            scene.delete(&own)?;
            visit.given_up = vec![(LOOPBACK, Direction::Egress)];
            scene.visit(&visit)?;
            scene.show()?;
            Ok(())
        },
        "\
Attached Attached \nKept Attached \nKept Missing \n  clsact
  ingress 10 security-agent/0000000000000007/ingress
",
    );
}

/// Visits with these patterns.
fn look(scene: &mut Scene<'_>, include: &[&str], exclude: &[&str]) -> Result<(), String> {
    let texts = |list: &[&str]| -> Vec<String> { list.iter().map(|one| (*one).into()).collect() };
    let options = Options {
        choice: Choice::new(&texts(include), &texts(exclude)),
        ..options()
    };
    scene.visit(&visit(&options)).map(drop)
}

#[test]
fn what_is_not_chosen_is_not_touched() {
    compare(
        |scene| {
            look(scene, &["cwst*"], &[])?;
            look(scene, &[], &["l*"])?;
            scene.show()?;
            look(scene, &["lo"], &["*"])?;
            // Once touched, and then renamed or excluded: what is ours goes.
            look(scene, &[], &["lo"])?;
            scene.show()?;
            let options = options();
            let mut visit = visit(&options);
            visit.room = 0;
            let mut report = Report::default();
            visit.settle(&mut |_, _| program(), &mut report)?;
            writeln!(
                scene.out,
                "{} looked at, left out: {}",
                report.devices.len(),
                report.left_out > 0
            )?;
            Ok(())
        },
        "\
Unwanted Unwanted \nUnwanted Unwanted \nAttached Attached \nUnwanted Unwanted \n  clsact
0 looked at, left out: true
",
    );
}

#[test]
fn another_namespace_is_entered_by_its_file_only() {
    compare(
        |scene| {
            let inside = File::open("/proc/thread-self/ns/net")?;
            let inode = u32::try_from(inside.metadata()?.ino())?;
            unshare(CloneFlags::CLONE_NEWNET)?;
            let place = format!("/proc/self/fd/{}", inside.as_raw_fd());
            let options = options();
            let mut visit = visit(&options);
            visit.places = vec!["/proc/self/stat".into(), place.into()];
            for right in [inode, 1] {
                visit.inode = right;
                let mut report = Report::default();
                visit.carry_out(&mut |_, _| program(), &mut report)?;
                let attached = report
                    .devices
                    .iter()
                    .any(|device| device.sides.egress.is_attached());
                let (numbered, gone) = (report.number.is_some(), report.is_gone);
                writeln!(scene.out, "{numbered} {attached} {gone}")?;
            }
            Ok(())
        },
        "true true false\nfalse false true\n",
    );
}
