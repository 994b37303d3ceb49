//! What each primitive compares, on an Ethernet link.
//!
//! Qualifiers and numbers enter, conditions leave; offsets are those of the headers (RFC 791, 8200,
//! 826, 9293). The parser has seen to it that qualifiers and values go together.

use super::ast::{Arithmetic, Condition, Load, Operator, Relation, Size};
use super::names::Protocol;

/// Bytes of an Ethernet header.
const ETHERNET: u32 = 14;
/// Bytes of an Ethernet and an IPv6 header.
const BEHIND_IP6: u32 = ETHERNET + 40;

const TYPE_IP: u32 = 0x0800;
const TYPE_ARP: u32 = 0x0806;
const TYPE_RARP: u32 = 0x8035;
const TYPE_IP6: u32 = 0x86dd;

const PROTOCOL_ICMP: u32 = 1;
const PROTOCOL_TCP: u32 = 6;
const PROTOCOL_UDP: u32 = 17;
/// The header of a fragment of IPv6 (RFC 8200, 4.5); the next protocol is its first byte.
const PROTOCOL_FRAGMENT: u32 = 44;
const PROTOCOL_ICMP6: u32 = 58;
const PROTOCOL_SCTP: u32 = 132;

/// The bits of the IPv4 fragment field that tell the offset.
const FRAGMENT_OFFSET: u32 = 0x1fff;

/// What stands before an address, a port or a number; it also holds for those that follow `and`
/// and `or` without words of their own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Qualifiers {
    pub(super) protocol: Option<Protocol>,
    pub(super) direction: Direction,
    pub(super) kind: Kind,
}

/// Which ends of a packet are compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Direction {
    Source,
    Destination,
    Either,
    Both,
}

/// What a value is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Host,
    Net,
    Port,
    PortRange,
    Protocol,
}

/// A number `offset` bytes behind the Ethernet header.
fn network(offset: u32, size: Size) -> Arithmetic {
    load(ETHERNET, false, Arithmetic::Number(offset), size)
}

fn link(offset: u32, size: Size) -> Arithmetic {
    load(0, false, Arithmetic::Number(offset), size)
}

fn load(base: u32, behind_ip_header: bool, offset: Arithmetic, size: Size) -> Arithmetic {
    Arithmetic::Load(Box::new(Load {
        base,
        behind_ip_header,
        offset,
        size,
    }))
}

fn equal(left: Arithmetic, right: u32) -> Condition {
    Condition::Compare(left, Relation::Equal, Arithmetic::Number(right))
}

/// Equal in the bits of the mask.
fn masked(left: Arithmetic, mask: u32, right: u32) -> Condition {
    match mask {
        u32::MAX => equal(left, right),
        _ => equal(and(left, mask), right),
    }
}

fn and(left: Arithmetic, mask: u32) -> Arithmetic {
    let mask = Box::new(Arithmetic::Number(mask));
    Arithmetic::Binary(Box::new(left), Operator::And, mask)
}

fn one_of(left: &Arithmetic, values: &[u32]) -> Condition {
    match values {
        [value] => equal(left.clone(), *value),
        _ => Condition::Any(
            values
                .iter()
                .map(|value| equal(left.clone(), *value))
                .collect(),
        ),
    }
}

/// Applies a test of one end, told whether that is the source, to the ends that are asked for.
fn directed(direction: Direction, test: &dyn Fn(bool) -> Condition) -> Condition {
    match direction {
        Direction::Source => test(true),
        Direction::Destination => test(false),
        Direction::Either => Condition::Any(vec![test(true), test(false)]),
        Direction::Both => Condition::All(vec![test(true), test(false)]),
    }
}

/// A type of Ethernet.
pub(super) fn ether_type(value: u32) -> Condition {
    equal(link(12, Size::Two), value)
}

/// A protocol above IPv4.
fn ip_protocol(value: u32) -> Condition {
    let protocol = equal(network(9, Size::One), value);
    Condition::All(vec![ether_type(TYPE_IP), protocol])
}

/// A protocol above IPv6, also when the header of a fragment stands between.
fn ip6_protocol(value: u32) -> Condition {
    let fragment = Condition::All(vec![
        equal(network(6, Size::One), PROTOCOL_FRAGMENT),
        equal(network(40, Size::One), value),
    ]);
    let direct = equal(network(6, Size::One), value);
    let either = Condition::Any(vec![direct, fragment]);
    Condition::All(vec![ether_type(TYPE_IP6), either])
}

/// `proto`: a number above Ethernet, IPv4, IPv6, or either IP.
pub(super) fn numbered(protocol: Option<Protocol>, value: u32) -> Condition {
    match protocol {
        Some(Protocol::Ether) => ether_type(value),
        Some(Protocol::Ip) => ip_protocol(value),
        Some(Protocol::Ip6) => ip6_protocol(value),
        _ => Condition::Any(vec![ip_protocol(value), ip6_protocol(value)]),
    }
}

/// A protocol by its keyword; `None` for Ethernet, which every packet has.
pub(super) fn named(protocol: Protocol) -> Option<Condition> {
    Some(match protocol {
        Protocol::Ether => return None,
        Protocol::Ip => ether_type(TYPE_IP),
        Protocol::Ip6 => ether_type(TYPE_IP6),
        Protocol::Arp => ether_type(TYPE_ARP),
        Protocol::Tcp => numbered(None, PROTOCOL_TCP),
        Protocol::Udp => numbered(None, PROTOCOL_UDP),
        Protocol::Sctp => numbered(None, PROTOCOL_SCTP),
        Protocol::Icmp => ip_protocol(PROTOCOL_ICMP),
        Protocol::Icmp6 => ip6_protocol(PROTOCOL_ICMP6),
    })
}

/// The first fragment of an IPv4 packet, or its whole.
fn unfragmented() -> Condition {
    equal(and(network(6, Size::Two), FRAGMENT_OFFSET), 0)
}

/// A number at `offset` of the header of `protocol`, and what must hold for a packet to have one.
pub(super) fn element(
    protocol: Protocol,
    offset: Arithmetic,
    size: Size,
) -> (Arithmetic, Vec<Condition>) {
    match protocol {
        Protocol::Ether => (load(0, false, offset, size), Vec::new()),
        Protocol::Ip | Protocol::Ip6 | Protocol::Arp => {
            let checks = named(protocol).into_iter().collect();
            (load(ETHERNET, false, offset, size), checks)
        }
        Protocol::Icmp6 => {
            let direct = equal(network(6, Size::One), PROTOCOL_ICMP6);
            let checks = vec![ether_type(TYPE_IP6), direct];
            (load(BEHIND_IP6, false, offset, size), checks)
        }
        Protocol::Tcp => behind_ip(PROTOCOL_TCP, offset, size),
        Protocol::Udp => behind_ip(PROTOCOL_UDP, offset, size),
        Protocol::Sctp => behind_ip(PROTOCOL_SCTP, offset, size),
        Protocol::Icmp => behind_ip(PROTOCOL_ICMP, offset, size),
    }
}

fn behind_ip(protocol: u32, offset: Arithmetic, size: Size) -> (Arithmetic, Vec<Condition>) {
    let checks = vec![
        ether_type(TYPE_IP),
        equal(network(9, Size::One), protocol),
        unfragmented(),
    ];
    (load(ETHERNET, true, offset, size), checks)
}

/// `host` and `net` with an IPv4 address: of IPv4, and of ARP and RARP, which carry such ones.
pub(super) fn ip_address(qualifiers: &Qualifiers, address: u32, mask: u32) -> Condition {
    let at = |types: &[u32], source: u32, destination: u32| {
        let kind = one_of(&link(12, Size::Two), types);
        if mask == 0 {
            return kind;
        }
        let ends = directed(qualifiers.direction, &|is_source| {
            let offset = if is_source { source } else { destination };
            masked(network(offset, Size::Four), mask, address)
        });
        Condition::All(vec![kind, ends])
    };
    match qualifiers.protocol {
        Some(Protocol::Ip) => at(&[TYPE_IP], 12, 16),
        Some(Protocol::Arp) => at(&[TYPE_ARP], 14, 24),
        _ => Condition::Any(vec![
            at(&[TYPE_IP], 12, 16),
            at(&[TYPE_ARP, TYPE_RARP], 14, 24),
        ]),
    }
}

/// `host` and `net` with an IPv6 address.
pub(super) fn ip6_address(direction: Direction, address: u128, mask: u128) -> Condition {
    let kind = ether_type(TYPE_IP6);
    if mask == 0 {
        return kind;
    }
    let ends = directed(direction, &|is_source| {
        let start = if is_source { 8 } else { 24 };
        // Words of 32 bits from the first; what the mask leaves out entirely is not read.
        let words = [(0, 96), (4, 64), (8, 32), (12, 0)].map(|(offset, shift)| {
            let word = |value: u128| ((value >> shift) & 0xffff_ffff) as u32;
            (start + offset, word(mask), word(address))
        });
        let used = words.into_iter().filter(|(_, mask, _)| *mask != 0);
        Condition::All(
            used.map(|(offset, mask, word)| masked(network(offset, Size::Four), mask, word))
                .collect(),
        )
    });
    Condition::All(vec![kind, ends])
}

/// `ether host`.
pub(super) fn ethernet_address(direction: Direction, address: [u8; 6]) -> Condition {
    let [a, b, c, d, e, f] = address;
    directed(direction, &|is_source| {
        let start = if is_source { 6 } else { 0 };
        Condition::All(vec![
            equal(link(start, Size::Four), u32::from_be_bytes([a, b, c, d])),
            equal(
                link(start + 4, Size::Two),
                u32::from(u16::from_be_bytes([e, f])),
            ),
        ])
    })
}

/// `port` and `portrange`, `first` and `last` included.
pub(super) fn ports(qualifiers: &Qualifiers, first: u32, last: u32) -> Condition {
    let protocols: &[u32] = match qualifiers.protocol {
        Some(Protocol::Tcp) => &[PROTOCOL_TCP],
        Some(Protocol::Udp) => &[PROTOCOL_UDP],
        Some(Protocol::Sctp) => &[PROTOCOL_SCTP],
        _ => &[PROTOCOL_TCP, PROTOCOL_UDP, PROTOCOL_SCTP],
    };
    let ends = |base: u32, behind_ip_header: bool| {
        directed(qualifiers.direction, &|is_source| {
            let offset = Arithmetic::Number(if is_source { 0 } else { 2 });
            within(load(base, behind_ip_header, offset, Size::Two), first, last)
        })
    };
    Condition::Any(vec![
        Condition::All(vec![
            ether_type(TYPE_IP),
            one_of(&network(9, Size::One), protocols),
            unfragmented(),
            ends(ETHERNET, true),
        ]),
        Condition::All(vec![
            ether_type(TYPE_IP6),
            one_of(&network(6, Size::One), protocols),
            ends(BEHIND_IP6, false),
        ]),
    ])
}

fn within(number: Arithmetic, first: u32, last: u32) -> Condition {
    if first == last {
        return equal(number, first);
    }
    let compare =
        |relation, bound| Condition::Compare(number.clone(), relation, Arithmetic::Number(bound));
    Condition::All(vec![
        compare(Relation::GreaterOrEqual, first),
        compare(Relation::LessOrEqual, last),
    ])
}

/// What the empty expression says.
pub(super) fn always() -> Condition {
    equal(Arithmetic::Number(0), 0)
}

/// `less` and `greater`.
pub(super) fn length(relation: Relation, bound: u32) -> Condition {
    Condition::Compare(Arithmetic::Length, relation, Arithmetic::Number(bound))
}

/// `broadcast`; `None` where the protocol has no such thing. Of IPv4, only the addresses of all
/// zeros and all ones are known: a filter does not know the masks of networks.
pub(super) fn broadcast(protocol: Option<Protocol>) -> Option<Condition> {
    match protocol {
        None | Some(Protocol::Ether) => Some(ethernet_address(Direction::Destination, [0xff; 6])),
        Some(Protocol::Ip) => Some(Condition::All(vec![
            ether_type(TYPE_IP),
            one_of(&network(16, Size::Four), &[0, u32::MAX]),
        ])),
        _ => None,
    }
}

/// `multicast`; `None` where the protocol has no such thing.
pub(super) fn multicast(protocol: Option<Protocol>) -> Option<Condition> {
    match protocol {
        None | Some(Protocol::Ether) => Some(equal(and(link(0, Size::One), 1), 1)),
        Some(Protocol::Ip) => Some(Condition::All(vec![
            ether_type(TYPE_IP),
            Condition::Compare(
                network(16, Size::One),
                Relation::GreaterOrEqual,
                Arithmetic::Number(224),
            ),
        ])),
        Some(Protocol::Ip6) => Some(Condition::All(vec![
            ether_type(TYPE_IP6),
            equal(network(24, Size::One), 255),
        ])),
        _ => None,
    }
}
