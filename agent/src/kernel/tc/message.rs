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
/// RTM_DELLINK.
pub(super) const DELETE_LINK: u16 = 17;
/// RTM_NEWQDISC.
pub(super) const NEW_QDISC: u16 = 36;
/// RTM_GETQDISC.
pub(super) const GET_QDISC: u16 = 38;
/// RTM_NEWTFILTER.
pub(super) const NEW_FILTER: u16 = 44;
/// RTM_DELTFILTER.
pub(super) const DELETE_FILTER: u16 = 45;
/// RTM_GETTFILTER.
pub(super) const GET_FILTER: u16 = 46;
/// RTM_NEWNSID.
pub(super) const NEW_NAMESPACE: u16 = 88;
/// RTM_DELNSID.
pub(super) const DELETE_NAMESPACE: u16 = 89;
/// RTM_GETNSID.
pub(super) const GET_NAMESPACE: u16 = 90;
/// NLMSG_ERROR.
pub(super) const ERROR: u16 = 2;
/// NLMSG_DONE.
pub(super) const DONE: u16 = 3;
/// No kind of the kernel: a sentence of ours in a stream of messages.
pub(super) const SENTENCE: u16 = u16::MAX;
/// No kind of the kernel: programs of TCX on an interface.
pub(super) const EARLY_PROGRAMS: u16 = u16::MAX - 1;
/// NLM_F_DUMP_INTR: the tables changed during the dump.
pub(super) const INTERRUPTED: u16 = 0x10;
/// NLM_F_REQUEST | NLM_F_DUMP.
pub(super) const DUMP: u16 = 0x301;
/// NLM_F_REQUEST | NLM_F_ACK.
pub(super) const ACKNOWLEDGE: u16 = 0x5;
/// NLM_F_REQUEST | NLM_F_ACK | NLM_F_ECHO: one object is asked for. Without the echo, kernels before
/// 4.10 tell it to everybody but who asked.
pub(super) const ANSWER: u16 = 0xd;
/// NLM_F_REQUEST | NLM_F_ACK | NLM_F_EXCL | NLM_F_CREATE: something new, replacing nothing.
pub(super) const CREATE: u16 = 0x605;

/// struct nlmsghdr.
const HEADER: usize = 16;
/// struct ifinfomsg.
const LINK_HEADER: usize = 16;
/// struct tcmsg.
const TC_HEADER: usize = 20;
/// IFNAMSIZ without the zero byte.
const LONGEST_NAME: usize = 15;
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
const TCA_BPF_FD: u16 = 6;
const TCA_BPF_NAME: u16 = 7;
const TCA_BPF_FLAGS: u16 = 8;
const TCA_BPF_TAG: u16 = 10;
const TCA_BPF_ID: u16 = 11;
const TCA_BPF_FLAG_ACT_DIRECT: u32 = 1;
const NETNSA_NSID: u16 = 1;
const NETNSA_FD: u16 = 3;
/// struct rtgenmsg, and what it is padded with.
const NAMESPACE_HEADER: usize = 4;
/// TC_H_CLSACT: where a clsact or ingress qdisc hangs.
pub(super) const CLSACT: Handle = Handle(0xffff_fff1);
/// The handle of such a qdisc.
const CLSACT_HANDLE: Handle = Handle(0xffff_0000);
/// ETH_P_ALL as it is on the wire.
const EVERY_PROTOCOL: u16 = 3_u16.to_be();
/// NETNSA_NSID_NOT_ASSIGNED; in a request, the kernel chooses.
const NO_NAMESPACE: i32 = -1;

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
    put(
        &mut body,
        IFLA_EXT_MASK,
        &RTEXT_FILTER_SKIP_STATS.to_ne_bytes(),
    );
    body
}

/// Asks for the filters of one parent of an interface; with zeros for every qdisc.
pub(super) fn tc_request(interface: u32, parent: Handle) -> Vec<u8> {
    words(&[0, interface, 0, parent.0, 0])
}

/// Asks for the filters of a direction that see every protocol at one priority.
pub(super) fn place_request(interface: u32, direction: Direction, priority: u16) -> Vec<u8> {
    words(&[0, interface, 0, direction.parent().0, place(priority)])
}

/// tcm_info: where filters for every protocol are.
fn place(priority: u16) -> u32 {
    u32::from(priority) << 16 | u32::from(EVERY_PROTOCOL)
}

/// A clsact qdisc for an interface.
pub(super) fn new_qdisc(interface: u32) -> Vec<u8> {
    let mut body = words(&[0, interface, CLSACT_HANDLE.0, CLSACT.0, 0]);
    put(&mut body, TCA_KIND, b"clsact\0");
    body
}

/// What a filter of ours is made of.
#[derive(Clone, Copy, Debug)]
pub(super) struct NewFilter<'a> {
    /// Number of the interface.
    pub(super) interface: u32,
    pub(super) direction: Direction,
    pub(super) priority: u16,
    /// Number within the priority; the kernel chooses when 0.
    pub(super) handle: u32,
    /// Descriptor of the program.
    pub(super) program: i32,
    pub(super) name: &'a str,
}

/// A filter that shows every packet to a program, whose result decides.
pub(super) fn new_filter(filter: &NewFilter<'_>) -> Vec<u8> {
    let mut options = Vec::new();
    put(&mut options, TCA_BPF_FD, &filter.program.to_ne_bytes());
    put(
        &mut options,
        TCA_BPF_NAME,
        &[filter.name.as_bytes(), b"\0"].concat(),
    );
    put(
        &mut options,
        TCA_BPF_FLAGS,
        &TCA_BPF_FLAG_ACT_DIRECT.to_ne_bytes(),
    );
    let (interface, parent) = (filter.interface, filter.direction.parent());
    let place = place(filter.priority);
    let mut body = words(&[0, interface, filter.handle, parent.0, place]);
    put(&mut body, TCA_KIND, b"bpf\0");
    put(&mut body, TCA_OPTIONS, &options);
    body
}

/// Names one filter, to ask for it or to delete it. `None` without priority or handle, which would
/// stand for everybody's filters.
pub(super) fn one_filter(interface: u32, filter: &Filter) -> Option<Vec<u8>> {
    if filter.priority == 0 || filter.handle == 0 {
        return None;
    }
    let information = u32::from(filter.priority) << 16 | u32::from(filter.protocol.to_be());
    let parent = filter.direction.parent();
    let mut body = words(&[0, interface, filter.handle, parent.0, information]);
    put(&mut body, TCA_KIND, b"bpf\0");
    put(&mut body, TCA_CHAIN, &filter.chain.to_ne_bytes());
    Some(body)
}

/// Asks for the number of the network namespace behind a descriptor, or with
/// [`NEW_NAMESPACE`] to give it one.
pub(super) fn namespace_request(descriptor: i32, kind: u16) -> Vec<u8> {
    let mut body = vec![0; NAMESPACE_HEADER];
    if kind == NEW_NAMESPACE {
        put(&mut body, NETNSA_NSID, &NO_NAMESPACE.to_ne_bytes());
    }
    put(&mut body, NETNSA_FD, &descriptor.to_ne_bytes());
    body
}

/// The number of a network namespace; `None` when it has none.
pub(super) fn namespace_number(body: &[u8]) -> Option<i32> {
    let value = attribute(Attributes(body.get(NAMESPACE_HEADER..)?), NETNSA_NSID)?;
    let number = u32_at(value, 0)? as i32;
    (number != NO_NAMESPACE).then_some(number)
}

/// Whether a message is about a link itself, and not about what it is to a bridge (ifi_family is
/// AF_UNSPEC).
pub(super) fn is_of_link(body: &[u8]) -> bool {
    body.first() == Some(&0)
}

/// An interface, without its qdiscs and filters.
pub(super) fn link(body: &[u8]) -> Option<Interface> {
    let mut link = Interface {
        hardware: u16_at(body, 2)?,
        index: u32_at(body, 4)?,
        ..Interface::default()
    };
    for (kind, value) in Attributes(body.get(LINK_HEADER..)?) {
        match kind {
            IFLA_ADDRESS => link.address = value.to_vec(),
            IFLA_IFNAME => link.name = text(value.get(..LONGEST_NAME).unwrap_or(value)),
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

/// The filters in an answer about a direction.
pub(super) fn filters(answer: &[u8], direction: Direction) -> Vec<Filter> {
    let found = Messages(answer).filter(|message| message.kind == NEW_FILTER);
    found
        .filter_map(|message| filter(message.body, direction))
        .collect()
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

/// Appends an attribute.
fn put(out: &mut Vec<u8>, kind: u16, value: &[u8]) {
    let length = value.len() + 4;
    out.extend_from_slice(&(length as u16).to_ne_bytes());
    out.extend_from_slice(&kind.to_ne_bytes());
    out.extend_from_slice(value);
    out.resize(out.len() + aligned(length) - length, 0);
}

fn words(words: &[u32]) -> Vec<u8> {
    words.iter().flat_map(|word| word.to_ne_bytes()).collect()
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
