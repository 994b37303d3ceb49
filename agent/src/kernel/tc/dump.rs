//! The namespaces, interfaces, qdiscs and filters of the host as text for support.

use std::io::{self, Write};

use super::{Filter, Interface, Namespace, Survey};
use crate::kernel::inventory::shown;

/// Names of RFC 2863 states, in the order of IF_OPER_* in linux/if.h.
const STATES: &str = "unknown notpresent down lowerlayerdown testing dormant up";

/// Writes what a survey has found. Errors are those of `out`.
pub fn render(found: &Survey, out: &mut dyn Write) -> io::Result<()> {
    for namespace in &found.namespaces {
        write_namespace(namespace, out)?;
    }
    match found.left_out {
        0 => Ok(()),
        count => writeln!(out, "{count} more network namespaces are not shown"),
    }
}

/// The name of an RFC 2863 state.
pub fn state_name(state: u8) -> &'static str {
    STATES.split(' ').nth(state.into()).unwrap_or("unknown")
}

fn write_namespace(namespace: &Namespace, out: &mut dyn Write) -> io::Result<()> {
    let Namespace {
        inode, found_at, ..
    } = namespace;
    writeln!(out, "network namespace {inode} ({found_at})")?;
    for interface in &namespace.interfaces {
        write_interface(interface, out)?;
    }
    match namespace.problem.as_str() {
        "" => Ok(()),
        problem => writeln!(out, "  {problem}"),
    }
}

fn write_interface(interface: &Interface, out: &mut dyn Write) -> io::Result<()> {
    write!(out, "  {}: {}", interface.index, shown(&interface.name))?;
    if !interface.kind.is_empty() {
        write!(out, " kind={}", shown(&interface.kind))?;
    }
    write!(out, " state={}", state_name(interface.state))?;
    for (place, byte) in interface.address.iter().enumerate() {
        let before = if place == 0 { " mac=" } else { ":" };
        write!(out, "{before}{byte:02x}")?;
    }
    writeln!(out)?;
    for qdisc in &interface.qdiscs {
        let (kind, handle, parent) = (shown(&qdisc.kind), qdisc.handle, qdisc.parent);
        writeln!(out, "     qdisc {kind} handle={handle} parent={parent}")?;
    }
    for filter in &interface.filters {
        write_filter(filter, out)?;
    }
    Ok(())
}

fn write_filter(filter: &Filter, out: &mut dyn Write) -> io::Result<()> {
    write!(
        out,
        "     filter {} chain={} protocol=",
        filter.direction.name(),
        filter.chain
    )?;
    match filter.protocol {
        3 => out.write_all(b"all")?,
        other => write!(out, "{other:#06x}")?,
    }
    let (priority, handle) = (filter.priority, filter.handle);
    write!(
        out,
        " priority={priority} handle={handle:#x} {}",
        shown(&filter.kind)
    )?;
    if let Some(program) = &filter.program {
        let tag = u64::from_be_bytes(program.tag);
        let (name, id) = (shown(&program.name), program.id);
        write!(out, " name={name} id={id} tag={tag:016x}")?;
        if program.is_direct {
            write!(out, " direct-action")?;
        }
    }
    writeln!(out)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernel::tc::{Direction, Handle, Program, Qdisc};

    #[test]
    fn values_become_lines() {
        let filter = |kind: &str, protocol, program| Filter {
            direction: Direction::Egress,
            chain: 0,
            kind: kind.to_owned(),
            protocol,
            priority: 1,
            handle: 1,
            program,
        };
        let program = Program {
            name: "cil_from_netdev".to_owned(),
            id: 123,
            tag: [0xab; 8],
            is_direct: true,
        };
        let interface = Interface {
            index: 2,
            hardware: 1,
            name: "eth\x1b0".to_owned(),
            kind: "veth".to_owned(),
            state: 6,
            address: vec![2, 0, 0xfc, 0, 0, 1],
            qdiscs: vec![Qdisc {
                kind: "clsact".to_owned(),
                handle: Handle(0xffff_0000),
                parent: Handle(0xffff_fff1),
            }],
            filters: vec![filter("bpf", 3, Some(program)), filter("u32", 0x800, None)],
        };
        let found = Survey {
            namespaces: vec![
                Namespace {
                    inode: 4_026_531_840,
                    found_at: "pid 1".to_owned(),
                    interfaces: vec![interface, Interface::default()],
                    problem: String::new(),
                },
                Namespace {
                    inode: 7,
                    found_at: "/run/netns/blue".to_owned(),
                    problem: "it cannot be entered".to_owned(),
                    ..Namespace::default()
                },
            ],
            left_out: 0,
        };
        let mut bytes = Vec::new();
        render(&found, &mut bytes).unwrap();
        let expected = "\
network namespace 4026531840 (pid 1)
  2: eth?0 kind=veth state=up mac=02:00:fc:00:00:01
     qdisc clsact handle=ffff: parent=ffff:fff1
     filter egress chain=0 protocol=all priority=1 handle=0x1 bpf name=cil_from_netdev id=123 \
tag=abababababababab direct-action
     filter egress chain=0 protocol=0x0800 priority=1 handle=0x1 u32
  0: - state=unknown
network namespace 7 (/run/netns/blue)
  it cannot be entered
";
        assert_eq!(String::from_utf8(bytes).unwrap(), expected);
    }
}
