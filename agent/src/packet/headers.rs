//! The headers of a packet: Ethernet, IPv4 and IPv6, TCP, UDP and ICMP.
//!
//! A frame enters as it was captured, which may end anywhere; what its headers say leaves, and the
//! bytes behind them. What a header would say that is cut or wrong stays unset. Fragments are not
//! put together, and what is tunnelled within IP is payload.

use std::net::IpAddr;

use super::cursor::Cursor;

#[cfg(test)]
mod tests;

/// Tags of virtual networks that may stand before the type of the payload (802.1Q, 802.1ad).
const MAX_TAGS: usize = 2;
/// Bytes of the header of IPv4 without options.
const IPV4_HEADER: usize = 20;
/// Where the fragment's offset stands in its word of IPv4, in units of 8 bytes.
const IPV4_OFFSET: u16 = 0x1fff;
/// The same in the fragment header of IPv6 (RFC 8200, 4.5).
const IPV6_OFFSET: u16 = 0xfff8;
/// Extension headers of IPv6 that are passed over; no more than one of each sort makes sense.
const MAX_EXTENSIONS: usize = 8;
/// Bytes of the header of TCP without options.
const TCP_HEADER: usize = 20;
/// Bytes of the header of UDP.
const UDP_HEADER: usize = 8;

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

/// A packet taken apart.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Parsed<'a> {
    /// What its headers say.
    pub headers: Headers,
    /// What was captured behind the headers of TCP, UDP or ICMP, or behind that of IP for other
    /// protocols, without the padding of Ethernet. Empty for what is not IP, and for fragments.
    pub payload: &'a [u8],
    /// A fragment that is not the first one of its packet: it has no ports.
    pub is_fragment: bool,
}

/// Takes an Ethernet frame apart; `None` when it has no whole Ethernet header.
pub fn parse(frame: &[u8]) -> Option<Parsed<'_>> {
    let mut cursor = Cursor::new(frame);
    // The addresses of the hardware.
    cursor.take(12)?;
    let mut parsed = Parsed::default();
    parsed.headers.l3_protocol = cursor.u16()?;
    // `None` is a header that is cut or wrong; what stands before it was noted.
    let _ = parsed.network(cursor);
    Some(parsed)
}

impl<'a> Parsed<'a> {
    fn network(&mut self, mut cursor: Cursor<'a>) -> Option<()> {
        for _ in 0..MAX_TAGS {
            if !is_tag(self.headers.l3_protocol) {
                break;
            }
            cursor.skip(2);
            self.headers.l3_protocol = cursor.u16()?;
        }
        match self.headers.l3_protocol.into() {
            libc::ETH_P_IP => self.ipv4(&mut cursor)?,
            libc::ETH_P_IPV6 => self.ipv6(&mut cursor)?,
            _ => return None,
        }
        match self.headers.l4_protocol.into() {
            libc::IPPROTO_TCP => self.tcp(&mut cursor)?,
            libc::IPPROTO_UDP => self.udp(&mut cursor)?,
            libc::IPPROTO_ICMP | libc::IPPROTO_ICMPV6 => self.icmp(&mut cursor)?,
            _ => {}
        }
        self.payload = cursor.rest();
        Some(())
    }

    /// RFC 791, 3.1. `None` also for a fragment that is not the first.
    fn ipv4(&mut self, cursor: &mut Cursor<'a>) -> Option<()> {
        let first = cursor.u8()?;
        let header = usize::from(first & 0x0f) * 4;
        let options = header.checked_sub(IPV4_HEADER)?;
        if first >> 4 != 4 {
            return None;
        }
        cursor.skip(1);
        let total = usize::from(cursor.u16()?);
        cursor.skip(2);
        self.is_fragment = cursor.u16()? & IPV4_OFFSET != 0;
        cursor.skip(1);
        self.headers.l4_protocol = cursor.u8()?.into();
        cursor.skip(2);
        self.headers.source = Some(cursor.array::<4>()?.into());
        self.headers.destination = Some(cursor.array::<4>()?.into());
        cursor.take(options)?;
        // 0 is what the kernel says of a packet beyond 64 KiB that a device will cut later.
        if total != 0 {
            cursor.limit(total.saturating_sub(header));
        }
        (!self.is_fragment).then_some(())
    }

    /// RFC 8200, 3. `None` also for a fragment that is not the first.
    fn ipv6(&mut self, cursor: &mut Cursor<'a>) -> Option<()> {
        let first = cursor.u8()?;
        if first >> 4 != 6 {
            return None;
        }
        cursor.skip(3);
        let length = usize::from(cursor.u16()?);
        let next = cursor.u8()?;
        if !is_extension(next) {
            self.headers.l4_protocol = next.into();
        }
        cursor.skip(1);
        self.headers.source = Some(cursor.array::<16>()?.into());
        self.headers.destination = Some(cursor.array::<16>()?.into());
        // 0 is a packet beyond 64 KiB (RFC 2675).
        if length != 0 {
            cursor.limit(length);
        }
        self.extensions(next, cursor)
    }

    fn extensions(&mut self, mut next: u8, cursor: &mut Cursor<'a>) -> Option<()> {
        for _ in 0..MAX_EXTENSIONS {
            // What follows in a later fragment is the middle of something.
            if self.is_fragment || !is_extension(next) {
                break;
            }
            let this = i32::from(next);
            next = cursor.u8()?;
            let length = usize::from(cursor.u8()?);
            match this {
                // Its second byte is no length.
                libc::IPPROTO_FRAGMENT => {
                    self.is_fragment = cursor.u16()? & IPV6_OFFSET != 0;
                    cursor.skip(4);
                }
                // Counts words of 4 bytes, without the first two (RFC 4302, 2.2).
                libc::IPPROTO_AH => cursor.skip(length * 4 + 6),
                _ => cursor.skip(length * 8 + 6),
            }
        }
        if is_extension(next) {
            return None;
        }
        self.headers.l4_protocol = next.into();
        (!self.is_fragment).then_some(())
    }

    fn ports(&mut self, cursor: &mut Cursor<'a>) -> Option<()> {
        self.headers.source_port = cursor.u16()?;
        self.headers.destination_port = cursor.u16()?;
        Some(())
    }

    /// RFC 9293, 3.1.
    fn tcp(&mut self, cursor: &mut Cursor<'a>) -> Option<()> {
        self.ports(cursor)?;
        // The numbers of the first byte here and of the next one there.
        cursor.skip(8);
        let header = usize::from(cursor.u8()? >> 4) * 4;
        self.headers.tcp_flags = cursor.u8()?;
        cursor.take(6)?;
        cursor.take(header.checked_sub(TCP_HEADER)?)?;
        Some(())
    }

    /// RFC 768.
    fn udp(&mut self, cursor: &mut Cursor<'a>) -> Option<()> {
        self.ports(cursor)?;
        let length = usize::from(cursor.u16()?);
        cursor.take(2)?;
        // 0 is a packet beyond 64 KiB (RFC 2675, 4).
        if length != 0 {
            cursor.limit(length.checked_sub(UDP_HEADER)?);
        }
        Some(())
    }

    /// RFC 792 and RFC 4443, 2.1.
    fn icmp(&mut self, cursor: &mut Cursor<'a>) -> Option<()> {
        self.headers.icmp_type = cursor.u8()?;
        cursor.take(7)?;
        Some(())
    }
}

fn is_tag(l3_protocol: u16) -> bool {
    matches!(l3_protocol.into(), libc::ETH_P_8021Q | libc::ETH_P_8021AD)
}

/// Whether the header with this number may have another one of IPv6 behind it.
fn is_extension(number: u8) -> bool {
    matches!(
        number.into(),
        libc::IPPROTO_HOPOPTS
            | libc::IPPROTO_ROUTING
            | libc::IPPROTO_FRAGMENT
            | libc::IPPROTO_AH
            | libc::IPPROTO_DSTOPTS
    )
}
