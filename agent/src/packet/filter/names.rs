//! The names that a filter may hold, as tables.

/// A protocol that qualifies what follows or is loaded from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Protocol {
    Ether,
    Ip,
    Ip6,
    Arp,
    Tcp,
    Udp,
    Sctp,
    Icmp,
    Icmp6,
}

/// Protocols that are keywords.
const PROTOCOLS: &[(&str, Protocol)] = &[
    ("ether", Protocol::Ether),
    ("ip", Protocol::Ip),
    ("ip6", Protocol::Ip6),
    ("arp", Protocol::Arp),
    ("tcp", Protocol::Tcp),
    ("udp", Protocol::Udp),
    ("sctp", Protocol::Sctp),
    ("icmp", Protocol::Icmp),
    ("icmp6", Protocol::Icmp6),
];

/// Numbers above IP (IANA, Assigned Internet Protocol Numbers), for `proto`.
const IP_PROTOCOLS: &[(&str, u32)] = &[
    ("icmp", 1),
    ("igmp", 2),
    ("tcp", 6),
    ("udp", 17),
    ("gre", 47),
    ("esp", 50),
    ("ah", 51),
    ("icmp6", 58),
    ("sctp", 132),
];

/// Types of Ethernet (linux/if_ether.h), for `ether proto`.
const ETHER_TYPES: &[(&str, u32)] = &[
    ("ip", 0x0800),
    ("arp", 0x0806),
    ("rarp", 0x8035),
    ("ip6", 0x86dd),
];

/// Ports with a name.
const SERVICES: &[(&str, u32)] = &[
    ("ssh", 22),
    ("domain", 53),
    ("http", 80),
    ("ntp", 123),
    ("https", 443),
];

/// Names that stand for numbers (pcap-filter(7)).
const CONSTANTS: &[(&str, u32)] = &[
    ("tcpflags", 13),
    ("tcp-fin", 0x01),
    ("tcp-syn", 0x02),
    ("tcp-rst", 0x04),
    ("tcp-push", 0x08),
    ("tcp-ack", 0x10),
    ("tcp-urg", 0x20),
    ("tcp-ece", 0x40),
    ("tcp-cwr", 0x80),
    ("icmptype", 0),
    ("icmpcode", 1),
    ("icmp-echoreply", 0),
    ("icmp-unreach", 3),
    ("icmp-sourcequench", 4),
    ("icmp-redirect", 5),
    ("icmp-echo", 8),
    ("icmp-routeradvert", 9),
    ("icmp-routersolicit", 10),
    ("icmp-timxceed", 11),
    ("icmp-paramprob", 12),
    ("icmp-tstamp", 13),
    ("icmp-tstampreply", 14),
    ("icmp-ireq", 15),
    ("icmp-ireqreply", 16),
    ("icmp-maskreq", 17),
    ("icmp-maskreply", 18),
    ("icmp6type", 0),
    ("icmp6code", 1),
    // The odd spelling is libpcap's own.
    ("icmp6-destinationrunreach", 1),
    ("icmp6-packettoobig", 2),
    ("icmp6-timeexceeded", 3),
    ("icmp6-parameterproblem", 4),
    ("icmp6-echo", 128),
    ("icmp6-echoreply", 129),
    ("icmp6-multicastlistenerquery", 130),
    ("icmp6-multicastlistenerreportv1", 131),
    ("icmp6-multicastlistenerdone", 132),
    ("icmp6-routersolicit", 133),
    ("icmp6-routeradvert", 134),
    ("icmp6-neighborsolicit", 135),
    ("icmp6-neighboradvert", 136),
    ("icmp6-redirect", 137),
    ("icmp6-multicastlistenerreportv2", 143),
];

/// A protocol that is a keyword.
pub(super) fn protocol(word: &str) -> Option<Protocol> {
    find(PROTOCOLS, word)
}

/// The keyword of a protocol.
pub(super) fn keyword(protocol: Protocol) -> &'static str {
    let found = PROTOCOLS.iter().find(|(_, known)| *known == protocol);
    found.map_or("", |(name, _)| name)
}

/// The number of a protocol above IP.
pub(super) fn ip_protocol(word: &str) -> Option<u32> {
    find(IP_PROTOCOLS, word)
}

/// The number of a protocol above Ethernet.
pub(super) fn ether_type(word: &str) -> Option<u32> {
    find(ETHER_TYPES, word)
}

/// The port of a service.
pub(super) fn service(word: &str) -> Option<u32> {
    find(SERVICES, word)
}

/// The number that a name stands for.
pub(super) fn constant(word: &str) -> Option<u32> {
    find(CONSTANTS, word)
}

fn find<T: Copy>(table: &[(&str, T)], word: &str) -> Option<T> {
    let found = table.iter().find(|(name, _)| *name == word);
    found.map(|(_, value)| *value)
}
