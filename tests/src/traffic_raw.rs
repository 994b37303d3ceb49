//! A question to a name server in an IPv6 packet that has extension headers, which no ordinary
//! socket makes: the packet is built here and sent through a raw socket.

use std::io;
use std::net::{Ipv6Addr, SocketAddr, UdpSocket};

use nix::sys::socket::{socket, AddressFamily, SockFlag, SockProtocol, SockType};

use crate::traffic::{answer_time, parsed, usage};
use crate::traffic_dns::{self, PORT};

/// Numbers of the headers (IANA, protocol numbers).
const HOP_BY_HOP: u8 = 0;
const UDP: u8 = 17;
const DESTINATION_OPTIONS: u8 = 60;
const HOP_LIMIT: u8 = 64;
/// An option that only fills: a header of eight bytes without effect (RFC 8200, 4.2).
const PADDING: [u8; 6] = [1, 4, 0, 0, 0, 0];

/// `raw-dns SOURCE DESTINATION PORT NAME`: asks for AAAA; prints the size of the answer.
pub(crate) fn ask(arguments: &[String]) -> io::Result<String> {
    let [source, destination, port, name] = arguments else {
        return Err(usage("SOURCE DESTINATION PORT NAME"));
    };
    let (source, destination): (Ipv6Addr, Ipv6Addr) = (parsed(source)?, parsed(destination)?);
    let question = traffic_dns::question(7, name, "aaaa")?;
    let port = parsed(port)?;
    let packet = packet(source, destination, port, &question);
    let raw = socket(
        AddressFamily::Inet6,
        SockType::Raw,
        SockFlag::SOCK_CLOEXEC,
        SockProtocol::Raw,
    )?;
    let receiver = UdpSocket::bind(SocketAddr::from((source, port)))?;
    receiver.set_read_timeout(Some(answer_time()))?;
    // It is no UDP socket, but sending is the same call.
    let sender = UdpSocket::from(raw);
    sender.send_to(&packet, SocketAddr::from((destination, 0)))?;
    Ok(format!("size={}", receiver.recv(&mut [0; 2048])?))
}

fn packet(source: Ipv6Addr, destination: Ipv6Addr, port: u16, payload: &[u8]) -> Vec<u8> {
    let datagram = datagram(source, destination, port, payload);
    let mut rest = vec![DESTINATION_OPTIONS, 0];
    rest.extend(PADDING);
    rest.extend([UDP, 0]);
    rest.extend(PADDING);
    rest.extend(datagram);
    let mut packet = vec![0x60, 0, 0, 0];
    packet.extend(length_of(&rest));
    packet.extend([HOP_BY_HOP, HOP_LIMIT]);
    packet.extend(source.octets());
    packet.extend(destination.octets());
    packet.extend(rest);
    packet
}

fn length_of(bytes: &[u8]) -> [u8; 2] {
    u16::try_from(bytes.len()).unwrap_or(u16::MAX).to_be_bytes()
}

/// A datagram with its checksum (RFC 768; RFC 8200, 8.1).
fn datagram(source: Ipv6Addr, destination: Ipv6Addr, port: u16, payload: &[u8]) -> Vec<u8> {
    let mut datagram = Vec::new();
    datagram.extend(port.to_be_bytes());
    datagram.extend(PORT.to_be_bytes());
    datagram.extend(length_of(&[&[0; 8], payload].concat()));
    datagram.extend([0, 0]);
    datagram.extend(payload);
    let mut summed = [source.octets(), destination.octets()].concat();
    summed.extend([0, 0]);
    summed.extend(length_of(&datagram));
    summed.extend([0, 0, 0, UDP]);
    summed.extend(&datagram);
    let sum = !ones_complement_sum(&summed);
    let sum = if sum == 0 { u16::MAX } else { sum };
    if let Some(place) = datagram.get_mut(6..8) {
        place.copy_from_slice(&sum.to_be_bytes());
    }
    datagram
}

fn ones_complement_sum(bytes: &[u8]) -> u16 {
    let words = bytes.chunks(2).map(|pair| {
        let second = pair.get(1).copied().unwrap_or(0);
        u32::from(u16::from_be_bytes([pair[0], second]))
    });
    let mut sum: u32 = words.sum();
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    u16::try_from(sum).unwrap_or(u16::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_packet_sums_up_to_all_ones() {
        let (source, destination) = (Ipv6Addr::LOCALHOST, Ipv6Addr::UNSPECIFIED);
        let packet = packet(source, destination, 4000, b"odd");
        assert_eq!(packet.len(), 40 + 8 + 8 + 8 + 3);
        assert_eq!(
            (packet[6], packet[40], packet[48]),
            (HOP_BY_HOP, DESTINATION_OPTIONS, UDP)
        );
        let mut summed = packet.get(8..40).unwrap().to_vec();
        summed.extend([0, 0, 0, 11, 0, 0, 0, UDP]);
        summed.extend(packet.get(56..).unwrap());
        assert_eq!(ones_complement_sum(&summed), 0xffff);
    }
}
