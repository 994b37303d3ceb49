//! Looks into the namespaces of this host, which are only read, and into one of the test's own.

use std::os::fd::AsRawFd;

use nix::sched::unshare;

use super::*;
use crate::kernel::tc::dump;

/// The loopback interface of a new namespace.
const LOOPBACK: u32 = 1;

#[test]
fn the_own_namespace_is_found() {
    let own = fs::metadata(OWN).unwrap().ino();
    let found = survey();
    let namespace = found
        .namespaces
        .iter()
        .find(|namespace| namespace.inode == own)
        .unwrap();
    assert_eq!(namespace.problem, "");
    assert!(namespace.found_at.starts_with("pid "));
    let loopback = &namespace.interfaces[0];
    assert_eq!((loopback.index, &*loopback.name), (1, "lo"));
}

#[test]
fn what_cannot_be_entered_is_told() {
    let no_namespace = File::open("/proc/self/stat").unwrap();
    let namespace = visit(Some(&no_namespace), &mut { LONGEST });
    assert!(namespace.problem.starts_with("it cannot be entered: "));
    assert!(namespace.interfaces.is_empty());
}

#[test]
fn what_is_too_much_is_not_read() {
    let mut room = 100;
    let namespace = visit(None, &mut room);
    assert!(namespace.problem.starts_with("it could not be read: "));
    assert!(namespace.interfaces.is_empty());
    assert_eq!(room, 0);
}

fn attribute(kind: u16, value: &[u8]) -> Vec<u8> {
    let length = (value.len() + 4) as u16;
    let mut bytes = [length.to_ne_bytes(), kind.to_ne_bytes()].concat();
    bytes.extend_from_slice(value);
    bytes.resize(bytes.len().next_multiple_of(4), 0);
    bytes
}

/// Sends a request that changes the namespace of this thread.
fn create(route: &mut Route, kind: u16, parts: &[Vec<u8>]) -> io::Result<()> {
    route.ask(kind, message::CREATE, &parts.concat()).map(drop)
}

/// Makes a dummy interface, and on the loopback interface a clsact qdisc with an ingress filter of
/// classic BPF, which is a program without number and name.
fn furnish() -> io::Result<()> {
    let words =
        |words: &[u32]| -> Vec<u8> { words.iter().flat_map(|word| word.to_ne_bytes()).collect() };
    let mut route = Route::open()?;
    let kind = attribute(18, &attribute(1, b"dummy\0"));
    let name = attribute(3, b"cwst0\0");
    // A kernel without dummy interfaces goes without.
    let _ = create(&mut route, message::NEW_LINK, &[words(&[0; 4]), name, kind]);
    let qdisc = words(&[0, LOOPBACK, 0xffff_0000, 0xffff_fff1, 0]);
    create(
        &mut route,
        message::NEW_QDISC,
        &[qdisc, attribute(1, b"clsact\0")],
    )?;
    let accept_all = [6_u16.to_ne_bytes(), [0; 2], [0xff; 2], [0xff; 2]].concat();
    let options = [
        attribute(4, &1_u16.to_ne_bytes()),
        attribute(5, &accept_all),
        attribute(8, &words(&[1])),
    ];
    let information = 9 << 16 | u32::from(3_u16.to_be());
    let filter = words(&[0, LOOPBACK, 1, 0xffff_fff2, information]);
    let kind = attribute(1, b"bpf\0");
    create(
        &mut route,
        message::NEW_FILTER,
        &[filter, kind, attribute(2, &options.concat())],
    )
}

/// Attaches a program to what TCX runs for the loopback interface; false where there is no TCX.
fn attach_early() -> bool {
    // r0 = -1 (TCX_NEXT); exit
    let instructions = [
        [0xb7, 0, 0, 0, 0xff, 0xff, 0xff, 0xff],
        [0x95, 0, 0, 0, 0, 0, 0, 0],
    ];
    let program = bpf_sys::load_program(&bpf_sys::ProgramLoad {
        kind: bpf_sys::program_kind::SCHED_CLS,
        expected_attach_type: 0,
        attach_btf_id: 0,
        name: "early",
        license: c"GPL",
        kern_version: 0,
        instructions: &instructions.concat(),
    })
    .unwrap();
    let interface = LOOPBACK.cast_signed();
    // SAFETY: numbers alone; the place of the target is that of the interface's number.
    let result = unsafe {
        bpf_sys::bpf_prog_attach(
            program.as_raw_fd(),
            interface,
            Direction::Egress.attach_type(),
            0,
        )
    };
    result == 0
}

/// In a child: makes a namespace, goes back, and looks into it.
fn look_from_outside(out: &mut File) -> io::Result<()> {
    let home = File::open(OWN)?;
    unshare(CloneFlags::CLONE_NEWNET)?;
    let inside = File::open("/proc/thread-self/ns/net")?;
    furnish()?;
    let has_early = attach_early();
    setns(&home, CloneFlags::CLONE_NEWNET)?;
    let namespace = visit(Some(&inside), &mut { LONGEST });
    let found = Survey {
        namespaces: vec![namespace],
        left_out: 2,
    };
    dump::render(&found, out)?;
    let early = "     filter egress chain=0 protocol=all priority=0 handle=0x0 tcx name=- id=";
    let mut text = Vec::new();
    dump::render(&found, &mut text)?;
    let is_shown = String::from_utf8_lossy(&text).contains(early);
    writeln!(out, "tcx is told of: {}", is_shown == has_early)
}

#[test]
fn a_namespace_of_our_own_is_read_from_outside() {
    if !nix::unistd::geteuid().is_root() {
        println!("not run: a new network namespace needs root");
        return;
    }
    let mut work = |out: &mut File| {
        if let Err(error) = look_from_outside(out) {
            let _ = write!(out, "{error}");
        }
    };
    let text = child::output_of(&mut work, 100_000, PATIENCE * 4).unwrap();
    let text = String::from_utf8(text).unwrap();
    for line in [
        "  1: lo state=down mac=00:00:00:00:00:00",
        "     qdisc clsact handle=ffff: parent=ffff:fff1",
        "     filter ingress chain=0 protocol=all priority=9 handle=0x1 bpf name=- id=0 \
         tag=0000000000000000 direct-action",
        "2 more network namespaces are not shown",
        "tcx is told of: true",
    ] {
        assert!(text.lines().any(|found| found == line), "{line}\n{text}");
    }
}
