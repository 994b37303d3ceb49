//! Traffic control: which network namespaces, interfaces, qdiscs and filters there are, and our
//! classifiers among them.
//!
//! [`survey`] visits every namespace and gathers typed values, spoken over rtnetlink without the
//! help of tc(8); [`dump`] renders them. [`find`] only lists the namespaces, [`watch`] tells what
//! changes in them, [`attach`] puts our filters into one of them. The bytes of netlink are known to
//! `message` alone, the talk with the kernel is in `route`.
//!
//! Nothing here deletes or replaces a qdisc, or touches a filter that does not have our [`name`].

pub mod attach;
pub mod check;
pub mod dump;
#[cfg(test)]
mod filter_tests;
pub mod find;
mod message;
pub mod name;
mod route;
mod survey;
pub mod watch;

use std::fmt;

use bpf_sys::attach_kind;

pub use survey::{survey, Survey};

/// A network namespace.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Namespace {
    /// Inode in nsfs, which the kernel also calls it by.
    pub inode: u64,
    /// Where it was found: `pid 812` or `/run/netns/blue`.
    pub found_at: String,
    /// Its interfaces in the kernel's order.
    pub interfaces: Vec<Interface>,
    /// Why something is missing, as a sentence; empty when nothing is.
    pub problem: String,
}

/// A network interface.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Interface {
    /// Number, unique in its namespace.
    pub index: u32,
    /// Name, at most 15 bytes.
    pub name: String,
    /// Type of its hardware (ARPHRD_* in linux/if_arp.h).
    pub hardware: u16,
    /// Kind of a virtual one (`veth`, `bridge`…); empty for devices.
    pub kind: String,
    /// RFC 2863 state (IF_OPER_* in linux/if.h).
    pub state: u8,
    /// Link-layer address; six bytes for Ethernet.
    pub address: Vec<u8>,
    /// Its queueing disciplines.
    pub qdiscs: Vec<Qdisc>,
    /// What TCX runs, and the filters of its clsact or ingress qdisc.
    pub filters: Vec<Filter>,
}

/// A queueing discipline.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Qdisc {
    /// `clsact`, `fq_codel`…
    pub kind: String,
    /// Its handle.
    pub handle: Handle,
    /// Where it hangs.
    pub parent: Handle,
}

/// Which way the packets go that a filter sees.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Direction {
    /// Into the interface.
    Ingress,
    /// Out of it.
    Egress,
}

impl Direction {
    /// Both of them.
    pub const ALL: [Direction; 2] = [Direction::Ingress, Direction::Egress];

    /// TC_H_MAKE(TC_H_CLSACT, TC_H_MIN_INGRESS or TC_H_MIN_EGRESS) of linux/pkt_sched.h.
    fn parent(self) -> Handle {
        match self {
            Direction::Ingress => Handle(0xffff_fff2),
            Direction::Egress => Handle(0xffff_fff3),
        }
    }

    /// What a program of TCX is attached as.
    fn attach_type(self) -> u32 {
        match self {
            Direction::Ingress => attach_kind::TCX_INGRESS,
            Direction::Egress => attach_kind::TCX_EGRESS,
        }
    }

    /// As tc(8) calls it.
    pub fn name(self) -> &'static str {
        match self {
            Direction::Ingress => "ingress",
            Direction::Egress => "egress",
        }
    }
}

/// Something for each direction.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Both<T> {
    /// For what comes in.
    pub ingress: T,
    /// For what goes out.
    pub egress: T,
}

impl<T> Both<T> {
    /// That of a direction.
    pub fn of(&self, direction: Direction) -> &T {
        match direction {
            Direction::Ingress => &self.ingress,
            Direction::Egress => &self.egress,
        }
    }

    /// That of a direction, to be changed.
    pub fn of_mut(&mut self, direction: Direction) -> &mut T {
        match direction {
            Direction::Ingress => &mut self.ingress,
            Direction::Egress => &mut self.egress,
        }
    }
}

/// A filter on a clsact or ingress qdisc.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Filter {
    /// What it sees.
    pub direction: Direction,
    /// Its chain; packets enter at 0.
    pub chain: u32,
    /// `bpf`, `flower`, `u32`…; `tcx` for a program of TCX, which is asked before every filter.
    pub kind: String,
    /// EtherType, ETH_P_ALL (3) for every packet.
    pub protocol: u16,
    /// The lowest is asked first; 0 for TCX.
    pub priority: u16,
    /// Number within its priority.
    pub handle: u32,
    /// The program of a `bpf` filter.
    pub program: Option<Program>,
}

/// The program of a `bpf` filter.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Program {
    /// The filter's name for it, which is not cut to 15 bytes.
    pub name: String,
    /// Number of the program (4.13).
    pub id: u32,
    /// Its tag.
    pub tag: [u8; 8],
    /// Its result decides over the packet, no action follows.
    pub is_direct: bool,
}

/// Name of a qdisc or class: 16 bits before the colon and 16 behind it (tc(8)).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Handle(pub u32);

impl fmt::Display for Handle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (major, minor) = (self.0 >> 16, self.0 & 0xffff);
        match (self.0, minor) {
            (u32::MAX, _) => f.write_str("root"),
            (_, 0) => write!(f, "{major:x}:"),
            _ => write!(f, "{major:x}:{minor:x}"),
        }
    }
}
