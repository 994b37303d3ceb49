//! Netlink messages of links, qdiscs and filters: bytes to values and back.
//!
//! Layouts are those of linux/netlink.h, linux/rtnetlink.h, linux/if_link.h and linux/pkt_cls.h,
//! in the machine's byte order, as rtnetlink(7) tells. Lengths inside the bytes are believed only
//! as far as there are bytes; what is cut or lies ends the list that it is in. Nothing here talks
//! to the kernel.

use super::{Direction, Filter, Handle, Interface, Program, Qdisc};

/// RTM_NEWLINK.
pub(super) const NEW_LINK: u16 = 16;
/// RTM_GETLINK.
pub(super) const GET_LINK: u16 = 18;
/// RTM_NEWQDISC.
pub(super) const NEW_QDISC: u16 = 36;
/// RTM_GETQDISC.
pub(super) const GET_QDISC: u16 = 38;
/// RTM_NEWTFILTER.
pub(super) const NEW_FILTER: u16 = 44;
/// RTM_GETTFILTER.
pub(super) const GET_FILTER: u16 = 46;
/// NLMSG_ERROR.
pub(super) const ERROR: u16 = 2;
/// NLMSG_DONE.
pub(super) const DONE: u16 = 3;
/// No kind of the kernel: a sentence of ours in a stream of messages.
pub(super) const SENTENCE: u16 = u16::MAX;
/// NLM_F_DUMP_INTR: the tables changed during the dump.
pub(super) const INTERRUPTED: u16 = 0x10;
/// NLM_F_REQUEST | NLM_F_DUMP.
pub(super) const DUMP: u16 = 0x301;

/// struct nlmsghdr.
const HEADER: usize = 16;
/// struct ifinfomsg.
const LINK_HEADER: usize = 16;
/// struct tcmsg.
const TC_HEADER: usize = 20;
/// NLA_TYPE_MASK: without the flags for nesting and byte order.
const KIND_MASK: u16 = 0x3fff;

const IFLA_ADDRESS: u16 = 1;
const IFLA_IFNAME: u16 = 3;
const IFLA_OPERSTATE: u16 = 16;
const IFLA_LINKINFO: u16 = 18;
const IFLA_INFO_KIND: u16 = 1;
const IFLA_EXT_MASK: u16 = 29;
const RTEXT_FILTER_SKIP_STATS: u32 = 8;
const TCA_KIND: u16 = 1;
const TCA_OPTIONS: u16 = 2;
const TCA_CHAIN: u16 = 11;
const TCA_BPF_NAME: u16 = 7;
const TCA_BPF_FLAGS: u16 = 8;
const TCA_BPF_TAG: u16 = 10;
const TCA_BPF_ID: u16 = 11;
const TCA_BPF_FLAG_ACT_DIRECT: u32 = 1;

/// One message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Message<'a> {
    /// RTM_* or NLMSG_*.
    pub(super) kind: u16,
    /// NLM_F_*.
    pub(super) flags: u16,
    /// That of the request.
    pub(super) sequence: u32,
    /// What follows the header.
    pub(super) body: &'a [u8],
}

/// The messages of a datagram or of several in a row.
pub(super) struct Messages<'a>(pub(super) &'a [u8]);

impl<'a> Iterator for Messages<'a> {
    type Item = Message<'a>;

    fn next(&mut self) -> Option<Message<'a>> {
        let length = u32_at(self.0, 0)? as usize;
        let message = Message {
            kind: u16_at(self.0, 4)?,
            flags: u16_at(self.0, 6)?,
            sequence: u32_at(self.0, 8)?,
            body: self.0.get(HEADER..length)?,
        };
        self.0 = self.0.get(aligned(length)..).unwrap_or_default();
        Some(message)
    }
}

impl Message<'_> {
    /// The number in an [`ERROR`] or at the end of a dump ([`DONE`]): 0, or an errno.
    pub(super) fn errno(&self) -> i32 {
        u32_at(self.body, 0).map_or(0, |number| (number as i32).saturating_neg())
    }
}

/// Appends a message.
pub(super) fn write(out: &mut Vec<u8>, message: &Message<'_>) {
    let length = HEADER + message.body.len();
    out.extend_from_slice(&(length as u32).to_ne_bytes());
    out.extend_from_slice(&message.kind.to_ne_bytes());
    out.extend_from_slice(&message.flags.to_ne_bytes());
    out.extend_from_slice(&message.sequence.to_ne_bytes());
    out.extend_from_slice(&[0; 4]);
    out.extend_from_slice(message.body);
    out.resize(out.len() + aligned(length) - length, 0);
}

/// Asks for every link, without statistics.
pub(super) fn link_request() -> Vec<u8> {
    let mut body = vec![0; LINK_HEADER];
    body.extend_from_slice(&8_u16.to_ne_bytes());
    body.extend_from_slice(&IFLA_EXT_MASK.to_ne_bytes());
    body.extend_from_slice(&RTEXT_FILTER_SKIP_STATS.to_ne_bytes());
    body
}

/// Asks for the filters of one parent of an interface; with zeros for every qdisc.
pub(super) fn tc_request(interface: u32, parent: Handle) -> Vec<u8> {
    let words = [0, interface, 0, parent.0, 0];
    words.iter().flat_map(|word| word.to_ne_bytes()).collect()
}

/// An interface, without its qdiscs and filters.
pub(super) fn link(body: &[u8]) -> Option<Interface> {
    let mut link = Interface {
        index: u32_at(body, 4)?,
        ..Interface::default()
    };
    for (kind, value) in Attributes(body.get(LINK_HEADER..)?) {
        match kind {
            IFLA_ADDRESS => link.address = value.to_vec(),
            IFLA_IFNAME => link.name = text(value),
            IFLA_OPERSTATE => link.state = value.first().copied().unwrap_or(0),
            IFLA_LINKINFO => {
                let found = Attributes(value).find(|(kind, _)| *kind == IFLA_INFO_KIND);
                link.kind = found.map(|(_, value)| text(value)).unwrap_or_default();
            }
            _ => {}
        }
    }
    Some(link)
}

/// The index of an interface and a qdisc of it.
pub(super) fn qdisc(body: &[u8]) -> Option<(u32, Qdisc)> {
    let attributes = Attributes(body.get(TC_HEADER..)?);
    let qdisc = Qdisc {
        kind: text(attribute(attributes, TCA_KIND)?),
        handle: Handle(u32_at(body, 8)?),
        parent: Handle(u32_at(body, 12)?),
    };
    Some((u32_at(body, 4)?, qdisc))
}

/// The interface and the direction that a request for filters was about.
pub(super) fn filter_request(body: &[u8]) -> Option<(u32, Direction)> {
    let parent = Handle(u32_at(body, 12)?);
    let directions = [Direction::Ingress, Direction::Egress];
    let direction = directions
        .into_iter()
        .find(|direction| direction.parent() == parent)?;
    Some((u32_at(body, 4)?, direction))
}

/// A filter; `None` also for what only stands before the filters of a priority.
pub(super) fn filter(body: &[u8], direction: Direction) -> Option<Filter> {
    let information = u32_at(body, 16)?;
    let attributes = Attributes(body.get(TC_HEADER..)?);
    let options = attribute(attributes, TCA_OPTIONS)?;
    let kind = text(attribute(attributes, TCA_KIND)?);
    let chain = attribute(attributes, TCA_CHAIN).and_then(|value| u32_at(value, 0));
    Some(Filter {
        direction,
        chain: chain.unwrap_or(0),
        program: (kind == "bpf").then(|| program(options)),
        kind,
        // The lower half is the EtherType as it is on the wire.
        protocol: u16::from_be(information as u16),
        priority: (information >> 16) as u16,
        handle: u32_at(body, 8)?,
    })
}

fn program(options: &[u8]) -> Program {
    let mut program = Program::default();
    for (kind, value) in Attributes(options) {
        let number = u32_at(value, 0).unwrap_or(0);
        match kind {
            TCA_BPF_NAME => program.name = text(value),
            TCA_BPF_ID => program.id = number,
            TCA_BPF_FLAGS => program.is_direct = number & TCA_BPF_FLAG_ACT_DIRECT != 0,
            TCA_BPF_TAG => program.tag = value.first_chunk().copied().unwrap_or_default(),
            _ => {}
        }
    }
    program
}

/// Attributes: kind and value.
#[derive(Clone, Copy)]
struct Attributes<'a>(&'a [u8]);

impl<'a> Iterator for Attributes<'a> {
    type Item = (u16, &'a [u8]);

    fn next(&mut self) -> Option<(u16, &'a [u8])> {
        let length = usize::from(u16_at(self.0, 0)?);
        let kind = u16_at(self.0, 2)? & KIND_MASK;
        let value = self.0.get(4..length)?;
        self.0 = self.0.get(aligned(length)..).unwrap_or_default();
        Some((kind, value))
    }
}

fn attribute<'a>(mut attributes: Attributes<'a>, wanted: u16) -> Option<&'a [u8]> {
    attributes
        .find(|(kind, _)| *kind == wanted)
        .map(|(_, value)| value)
}

/// A string up to its zero byte, if it has one.
fn text(value: &[u8]) -> String {
    let letters = value.split(|byte| *byte == 0).next().unwrap_or_default();
    String::from_utf8_lossy(letters).into_owned()
}

/// Messages and attributes begin at multiples of four.
fn aligned(length: usize) -> usize {
    length.next_multiple_of(4)
}

fn u16_at(bytes: &[u8], at: usize) -> Option<u16> {
    let bytes = bytes.get(at..)?.first_chunk()?;
    Some(u16::from_ne_bytes(*bytes))
}

fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    let bytes = bytes.get(at..)?.first_chunk()?;
    Some(u32::from_ne_bytes(*bytes))
}

#[cfg(test)]
mod tests;
