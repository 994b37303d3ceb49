use super::*;

const TAG: u16 = 0x8100;
const OUTER_TAG: u16 = 0x88a8;
const IPV4: u16 = 0x0800;
const IPV6: u16 = 0x86dd;
const TCP: u8 = 6;
const UDP: u8 = 17;
const SOURCE_4: [u8; 4] = [10, 0, 0, 1];
const DESTINATION_4: [u8; 4] = [192, 0, 2, 7];
const ACK_AND_SYN: u8 = 0x12;

fn ethernet(types: &[u16], packet: &[u8]) -> Vec<u8> {
    let mut frame = vec![0xaa; 12];
    for (place, number) in types.iter().enumerate() {
        if place > 0 {
            frame.extend([0x20, 0x05]);
        }
        frame.extend(number.to_be_bytes());
    }
    frame.extend(packet);
    frame
}

fn ipv4(protocol: u8, options: usize, fragment: u16, payload: &[u8]) -> Vec<u8> {
    let header = 20 + options;
    let mut packet = vec![0x40 | (header / 4) as u8, 0];
    packet.extend(((header + payload.len()) as u16).to_be_bytes());
    packet.extend([0, 9]);
    packet.extend(fragment.to_be_bytes());
    packet.extend([64, protocol, 0, 0]);
    packet.extend(SOURCE_4);
    packet.extend(DESTINATION_4);
    packet.extend(vec![1; options]);
    packet.extend(payload);
    packet
}

fn ipv6(next: u8, payload: &[u8]) -> Vec<u8> {
    let mut packet = vec![0x60, 0, 0, 0];
    packet.extend((payload.len() as u16).to_be_bytes());
    packet.extend([next, 64]);
    packet.extend([0x20; 16]);
    packet.extend([0xfe; 16]);
    packet.extend(payload);
    packet
}

/// An extension header of IPv6 of this many bytes, its length in units.
fn extension(next: u8, length: u8, size: usize) -> Vec<u8> {
    let mut header = vec![0; size];
    header[..2].copy_from_slice(&[next, length]);
    header
}

fn fragment(next: u8, offset_and_flags: u16) -> Vec<u8> {
    let mut header = vec![next, 0xff];
    header.extend(offset_and_flags.to_be_bytes());
    header.extend([0, 0, 0, 1]);
    header
}

fn tcp(options: usize, payload: &[u8]) -> Vec<u8> {
    let mut segment = vec![0x9c, 0x40, 0, 80];
    segment.extend([1; 8]);
    segment.extend([((20 + options) / 4 * 16) as u8, ACK_AND_SYN]);
    segment.extend([2; 6]);
    segment.extend(vec![1; options]);
    segment.extend(payload);
    segment
}

fn udp(length: u16, payload: &[u8]) -> Vec<u8> {
    let mut datagram = vec![0x9c, 0x40, 0, 53];
    datagram.extend(length.to_be_bytes());
    datagram.extend([0, 0]);
    datagram.extend(payload);
    datagram
}

fn parsed(frame: &[u8]) -> Parsed<'_> {
    parse(frame).unwrap()
}

#[test]
fn a_segment_of_tcp_over_ipv4_with_options() {
    for (ip_options, tcp_options) in [(0, 0), (4, 12), (40, 40)] {
        let packet = ipv4(TCP, ip_options, 0x4000, &tcp(tcp_options, b"hello"));
        let frame = ethernet(&[IPV4], &packet);
        let expected = Headers {
            l3_protocol: IPV4,
            l4_protocol: TCP.into(),
            source: Some(SOURCE_4.into()),
            destination: Some(DESTINATION_4.into()),
            source_port: 40_000,
            destination_port: 80,
            icmp_type: 0,
            tcp_flags: ACK_AND_SYN,
        };
        let found = parsed(&frame);
        assert_eq!(found.headers, expected);
        assert_eq!((found.payload, found.is_fragment), (&b"hello"[..], false));
    }
}

#[test]
fn a_datagram_of_udp_over_ipv6() {
    let frame = ethernet(&[IPV6], &ipv6(UDP, &udp(11, b"abc")));
    let expected = Headers {
        l3_protocol: IPV6,
        l4_protocol: UDP.into(),
        source: Some([0x20; 16].into()),
        destination: Some([0xfe; 16].into()),
        source_port: 40_000,
        destination_port: 53,
        ..Headers::default()
    };
    let found = parsed(&frame);
    assert_eq!((found.headers, found.payload), (expected, &b"abc"[..]));
}

#[test]
fn messages_of_icmp_have_a_type() {
    let message = [&[8, 0, 1, 1, 0, 7, 0, 1][..], b"ping"].concat();
    for (frame, protocol) in [
        (ethernet(&[IPV4], &ipv4(1, 0, 0, &message)), 1),
        (ethernet(&[IPV6], &ipv6(58, &message)), 58),
    ] {
        let found = parsed(&frame);
        let headers = (found.headers.l4_protocol, found.headers.icmp_type);
        assert_eq!(headers, (protocol, 8));
        assert_eq!(
            (found.headers.source_port, found.payload),
            (0, &b"ping"[..])
        );
    }
}

#[test]
fn other_protocols_keep_what_is_behind_ip() {
    let frame = ethernet(&[IPV4], &ipv4(132, 0, 0, b"sctp"));
    let found = parsed(&frame);
    assert_eq!(found.headers.l4_protocol, 132);
    assert_eq!(
        (found.headers.source_port, found.payload),
        (0, &b"sctp"[..])
    );
}

#[test]
fn tags_of_virtual_networks_are_passed_over() {
    let packet = ipv4(UDP, 0, 0, &udp(9, b"x"));
    for (types, l3_protocol, port) in [
        (&[TAG, IPV4][..], IPV4, 53),
        (&[OUTER_TAG, TAG, IPV4], IPV4, 53),
        (&[OUTER_TAG, TAG, TAG, IPV4], TAG, 0),
    ] {
        let frame = ethernet(types, &packet);
        let headers = parsed(&frame).headers;
        let found = (headers.l3_protocol, headers.destination_port);
        assert_eq!(found, (l3_protocol, port), "{types:x?}");
    }
}

#[test]
fn what_is_not_ip_has_only_its_type() {
    for (l3_protocol, packet) in [
        (0x0806, ipv4(UDP, 0, 0, &udp(9, b"x"))),
        (0x88cc, vec![]),
        (IPV4, ipv6(UDP, &udp(9, b"x"))),
        (IPV6, ipv4(UDP, 0, 0, &udp(9, b"x"))),
        (IPV4, vec![0x44; 40]),
        (TAG, vec![0]),
    ] {
        let frame = ethernet(&[l3_protocol], &packet);
        let headers = Headers {
            l3_protocol,
            ..Headers::default()
        };
        let expected = Parsed {
            headers,
            ..Parsed::default()
        };
        assert_eq!(parsed(&frame), expected, "{l3_protocol:#x}");
    }
}

#[test]
fn later_fragments_have_no_ports_and_first_ones_do() {
    const MORE: u16 = 0x2000;
    let datagram = udp(100, b"half");
    let six = |offset| ipv6(44, &[fragment(UDP, offset), datagram.clone()].concat());
    for (frame, is_fragment) in [
        (ethernet(&[IPV4], &ipv4(UDP, 0, MORE, &datagram)), false),
        (ethernet(&[IPV4], &ipv4(UDP, 0, MORE | 3, &datagram)), true),
        (ethernet(&[IPV4], &ipv4(UDP, 0, 0x1000, &datagram)), true),
        (ethernet(&[IPV6], &six(1)), false),
        (ethernet(&[IPV6], &six(8)), true),
        (ethernet(&[IPV6], &six(0x8001)), true),
    ] {
        let found = parsed(&frame);
        assert_eq!(found.is_fragment, is_fragment);
        assert_eq!(found.headers.l4_protocol, u16::from(UDP));
        assert!(found.headers.source.is_some());
        let (port, payload) = match is_fragment {
            true => (0, &b""[..]),
            false => (53, &b"half"[..]),
        };
        let of_udp = (found.headers.destination_port, found.payload);
        assert_eq!(of_udp, (port, payload));
    }
}

#[test]
fn extension_headers_of_ipv6_are_passed_over() {
    let datagram = udp(9, b"x");
    for headers in [
        vec![(0, extension(43, 0, 8)), (43, extension(UDP, 2, 24))],
        vec![(60, extension(UDP, 1, 16))],
        vec![(51, extension(UDP, 4, 24))],
        vec![(44, fragment(60, 0)), (60, extension(UDP, 0, 8))],
        vec![(0, extension(44, 0, 8)), (44, fragment(UDP, 1))],
    ] {
        let mut payload: Vec<u8> = Vec::new();
        let first = headers[0].0;
        headers
            .iter()
            .for_each(|(_, header)| payload.extend(header));
        payload.extend(&datagram);
        let frame = ethernet(&[IPV6], &ipv6(first, &payload));
        let found = parsed(&frame);
        let of_udp = (found.headers.l4_protocol, found.headers.destination_port);
        assert_eq!(of_udp, (UDP.into(), 53), "{headers:?}");
        assert_eq!(found.payload, b"x", "{headers:?}");
    }
}

#[test]
fn extension_headers_without_end_are_given_up() {
    let chain = extension(60, 0, 8).repeat(100);
    let frame = ethernet(&[IPV6], &ipv6(60, &chain));
    let found = parsed(&frame);
    assert_eq!((found.headers.l4_protocol, found.payload), (0, &b""[..]));
    assert!(found.headers.destination.is_some());
}

#[test]
fn a_later_fragment_that_begins_in_an_extension_header_has_no_protocol() {
    let packet = ipv6(44, &[fragment(60, 64), extension(UDP, 0, 8)].concat());
    let frame = ethernet(&[IPV6], &packet);
    let found = parsed(&frame);
    assert_eq!((found.headers.l4_protocol, found.is_fragment), (0, true));
}

#[test]
fn padding_of_ethernet_is_no_payload() {
    for mut frame in [
        ethernet(&[IPV4], &ipv4(TCP, 0, 0, &tcp(0, b""))),
        ethernet(&[IPV4], &ipv4(UDP, 0, 0, &udp(8, b""))),
        ethernet(&[IPV6], &ipv6(TCP, &tcp(0, b""))),
    ] {
        frame.extend([0; 6]);
        let found = parsed(&frame);
        assert_eq!(found.headers.source_port, 40_000);
        assert_eq!(found.payload, b"");
    }
}

#[test]
fn lengths_bound_the_payload_but_cannot_stretch_it() {
    for (length, payload) in [
        (0, &b"abcdef"[..]),
        (7, b""),
        (8, b""),
        (11, b"abc"),
        (14, b"abcdef"),
        (u16::MAX, b"abcdef"),
    ] {
        let frame = ethernet(&[IPV4], &ipv4(UDP, 0, 0, &udp(length, b"abcdef")));
        assert_eq!(parsed(&frame).payload, payload, "{length}");
    }
    for (total, payload, port) in [
        (0, &b"abcdef"[..], 80),
        (19, b"", 0),
        (22, b"", 0),
        (24, b"", 80),
        (42, b"ab", 80),
        (u16::MAX, b"abcdef", 80),
    ] {
        let mut packet = ipv4(TCP, 0, 0, &tcp(0, b"abcdef"));
        packet[2..4].copy_from_slice(&total.to_be_bytes());
        let frame = ethernet(&[IPV4], &packet);
        let found = parsed(&frame);
        let expected = (payload, port);
        assert_eq!(
            (found.payload, found.headers.destination_port),
            expected,
            "{total}"
        );
    }
}

#[test]
fn a_packet_beyond_64_kib_says_that_it_has_no_length() {
    let mut packet = ipv6(TCP, &tcp(0, b"abcdef"));
    packet[4..6].copy_from_slice(&[0, 0]);
    let frame = ethernet(&[IPV6], &packet);
    assert_eq!(parsed(&frame).payload, b"abcdef");
}

#[test]
fn headers_of_tcp_that_lie_about_their_length_have_no_payload() {
    for offset in [0x00, 0x40, 0xf0] {
        let mut segment = tcp(0, b"abc");
        segment[12] = offset;
        let frame = ethernet(&[IPV4], &ipv4(TCP, 0, 0, &segment));
        let found = parsed(&frame);
        assert_eq!(found.payload, b"", "{offset:#x}");
        assert_eq!(found.headers.tcp_flags, ACK_AND_SYN);
    }
}

/// Whether what is known of a part says nothing else than the whole.
fn agrees<T: PartialEq + Default>(part: T, whole: T) -> bool {
    part == T::default() || part == whole
}

#[test]
fn what_is_left_of_a_cut_frame_is_right() {
    let extensions = [extension(60, 0, 8), extension(TCP, 0, 8)].concat();
    let six = [extensions, tcp(4, b"payload")].concat();
    for frame in [
        ethernet(&[TAG, IPV4], &ipv4(TCP, 8, 0, &tcp(4, b"payload"))),
        ethernet(&[IPV4], &ipv4(UDP, 0, 0, &udp(15, b"payload"))),
        ethernet(&[IPV4], &ipv4(1, 0, 0, &[8, 0, 1, 1, 0, 7, 0, 1])),
        ethernet(&[IPV6], &ipv6(0, &six)),
    ] {
        let whole = parsed(&frame);
        for end in 0..frame.len() {
            let Some(part) = parse(&frame[..end]) else {
                assert!(end < 14);
                continue;
            };
            assert!(end >= 14);
            let (part, payload) = (part.headers, part.payload);
            let all = whole.headers.clone();
            assert!([TAG, all.l3_protocol].contains(&part.l3_protocol));
            assert!(agrees(part.l4_protocol, all.l4_protocol));
            assert!(agrees(part.source, all.source));
            assert!(agrees(part.destination, all.destination));
            assert!(agrees(part.source_port, all.source_port));
            assert!(agrees(part.destination_port, all.destination_port));
            assert!(agrees(part.icmp_type, all.icmp_type));
            assert!(agrees(part.tcp_flags, all.tcp_flags));
            assert!(whole.payload.starts_with(payload), "{end}");
        }
    }
}

#[test]
fn any_changed_byte_is_survived() {
    let payload = [fragment(60, 1), extension(UDP, 0, 8), udp(9, b"x")].concat();
    let frame = ethernet(&[TAG, IPV6], &ipv6(44, &payload));
    for position in 0..frame.len() {
        for byte in 0..=u8::MAX {
            let mut changed = frame.clone();
            changed[position] = byte;
            assert!(parsed(&changed).payload.len() < frame.len());
        }
    }
}
