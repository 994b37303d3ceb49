//! The headers of a packet: Ethernet, IPv4 and IPv6, TCP, UDP and ICMP.

use std::net::IpAddr;

/// What the headers of a packet say.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Headers {
    /// EtherType (0x0800 is IPv4).
    pub l3_protocol: u16,
    /// Protocol above IP (`IPPROTO_*`); 0 when it is not known.
    pub l4_protocol: u16,
    /// Where it comes from; `None` for what is not IP.
    pub source: Option<IpAddr>,
    /// Where it goes.
    pub destination: Option<IpAddr>,
    /// Port of the source, for TCP and UDP.
    pub source_port: u16,
    /// Port of the destination, for TCP and UDP.
    pub destination_port: u16,
    /// Type of an ICMP or ICMPv6 message; 0 for others.
    pub icmp_type: u8,
    /// Flags of TCP, the lowest bit FIN; 0 for others.
    pub tcp_flags: u8,
}
