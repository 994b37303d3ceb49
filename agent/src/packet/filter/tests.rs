//! Filters over fixed packets, and what is refused.

use super::*;

/// Names of the packets that match, blanks between.
fn matching(text: &str) -> String {
    let filter = Filter::parse(text).unwrap_or_else(|error| panic!("{text}: {error}"));
    let packets = samples::packets();
    let found = packets
        .iter()
        .filter(|(_, packet)| filter.matches(packet, packet.len() as u32));
    let names: Vec<&str> = found.map(|(name, _)| *name).collect();
    names.join(" ")
}

#[test]
fn packets_match_as_with_libpcap() {
    for (text, names) in samples::ANSWERS {
        assert_eq!(matching(text), *names, "{text}");
    }
}

#[test]
fn spellings_that_libpcap_does_not_know_mean_what_they_say() {
    let rows = [
        ("8.8.8.8", "host 8.8.8.8"),
        ("tcp and 10.0.0.1", "tcp and host 10.0.0.1"),
        ("(8.8.8.8) or 1.2.3.4", "host 8.8.8.8 or host 1.2.3.4"),
        ("::1 or fe80::1", "host ::1 or host fe80::1"),
        ("net 10/8", "net 10.0.0.0/8"),
        ("ip proto tcp", "ip proto 6"),
        ("proto sctp", "proto 132"),
        ("ether proto arp", "ether proto 0x806"),
        ("len-4 = 38", "len - 4 = 38"),
        ("ip[12-3] = 6", "ip[12 - 3] = 6"),
        (
            "portrange 20-25 or 30 - 40",
            "portrange 20-25 or portrange 30-40",
        ),
        ("port http or https", "port 80 or port 443"),
        ("\n tcp\tand\r\nudp ", "tcp and udp"),
    ];
    for (text, meaning) in rows {
        let filter = Filter::parse(text).unwrap_or_else(|error| panic!("{text}: {error}"));
        assert_eq!(Ok(filter), Filter::parse(meaning), "{text}");
    }
}

#[test]
fn every_header_that_a_comparison_reads_must_be_there() {
    let rows = [
        ("ip[0] + tcp[0] >= 0", "syn http"),
        ("len & udp[0] >= 0", "dns first mdns all long"),
        ("0 = udp[0] - tcp[0]", ""),
        (
            "not tcp[0] >= 0 and not udp[0] >= 0 and ip",
            "later echo unreach sctp",
        ),
    ];
    for (text, names) in rows {
        assert_eq!(matching(text), names, "{text}");
    }
}

#[test]
fn the_length_is_that_of_the_whole_packet() {
    let filter = Filter::parse("len = 1500 and greater 1000 and not less 1000").unwrap();
    assert!(filter.matches(&[0; 60], 1_500));
    assert!(!filter.matches(&[0; 60], 60));
}

#[test]
fn a_packet_that_cannot_be_judged_does_not_match() {
    for text in [
        "ip[60:4] = 0",
        "len / (len - 60) = 0",
        "len % (len & 3) = 0",
        "ip[65535] = 0",
    ] {
        for text in [format!("ip and {text}"), format!("ip and not {text}")] {
            let filter = Filter::parse(&text).unwrap();
            let mut packet = [0; 60];
            packet[12] = 8;
            assert!(!filter.matches(&packet, 60), "{text}");
            assert!(!filter.matches(&packet[..13], 13), "{text}");
        }
    }
}

#[test]
fn any_part_of_a_packet_ends_without_harm() {
    let packets = samples::packets();
    for (text, _) in samples::ANSWERS {
        let filter = Filter::parse(text).unwrap();
        for (_, packet) in &packets {
            for end in 0..packet.len().min(80) {
                filter.matches(&packet[..end], u32::MAX);
            }
        }
    }
}

#[test]
fn any_part_of_an_expression_ends_without_harm() {
    for (text, _) in samples::ANSWERS {
        for end in 0..text.len() {
            let _ = Filter::parse(&text[..end]);
            let _ = Filter::parse(&text[end..]);
        }
    }
}

#[test]
fn what_is_not_understood_is_refused_where_it_stands() {
    let rows = [
        ("vlan 3", 1, "\"vlan\" is not supported; supported are host"),
        ("tcp and mpls", 9, "\"mpls\" is not supported"),
        ("port 80 or inbound", 12, "\"inbound\" is not supported"),
        ("gateway 1.2.3.4", 1, "\"gateway\" is not supported"),
        ("\\tcp", 1, "\"\\tcp\" is not supported"),
        ("TCP", 1, "\"TCP\" is not supported"),
        (
            "tcp vlan",
            5,
            "expected `and`, `or` or the end, found \"vlan\"",
        ),
        ("host example.com", 6, "names of hosts are not looked up"),
        ("dst my-host", 5, "names of hosts are not looked up"),
        (
            "host 10",
            6,
            "write `port` before it, or all of the address",
        ),
        ("tcp src 80", 9, "write `port` before it"),
        ("host", 5, "the end is no address"),
        (
            "tcp host 1.2.3.4",
            5,
            "\"host\" does not go with tcp, but with ether, ip",
        ),
        ("tcp src 1.2.3.4", 9, "is no address that tcp has"),
        ("ip host ::1", 9, "is no address that ip has"),
        ("ip6 host 1.2.3.4", 10, "is no address that ip6 has"),
        ("host 02:00:00:00:00:01", 6, "goes with `ether host`"),
        ("ether host 1.2.3.4", 12, "goes with an address such as"),
        (
            "ether host aa-bb-cc-dd-ee-ff",
            12,
            "goes with an address such as",
        ),
        ("ether", 6, "expected host, src, dst, proto"),
        ("host 10.0.0.0/8", 14, "goes with `net`"),
        ("src 10.0.0.0 mask 255.0.0.0", 14, "goes with `net`"),
        ("net 10.0.0.1/8", 5, "has bits behind its prefix"),
        ("net 10.1 mask 255.0.0.0", 5, "has bits behind its prefix"),
        ("net ::1/64", 5, "has bits behind its prefix"),
        ("net 10.0.0.0/33", 14, "a prefix of 0 to 32 bits"),
        ("net ::/129", 8, "a prefix of 0 to 128 bits"),
        ("net 10.0.0.0 mask 8", 19, "a mask such as"),
        ("port 65536", 6, "\"65536\" is no port"),
        ("port", 5, "the end is no port"),
        ("port smtp", 6, "\"smtp\" is no port"),
        ("port 80 or 1.2.3.4", 12, "\"1.2.3.4\" is no port"),
        ("portrange 5-", 13, "the end is no port"),
        (
            "ip port 80",
            4,
            "\"port\" does not go with ip, but with tcp",
        ),
        ("icmp proto 4", 6, "\"proto\" does not go with icmp"),
        ("src proto 6", 5, "expected an address, host"),
        ("ip proto 256", 10, "a number from 0 to 255"),
        ("ip proto ospf", 10, "no protocol here"),
        ("ether proto 5", 13, "a number from 1536 to 65535"),
        ("tcp broadcast", 5, "goes with ether, ip or ip6"),
        ("less", 5, "expected a number of bytes"),
        ("less len", 6, "expected a number of bytes"),
        ("80", 1, "not compared with anything"),
        ("tcp and 80", 9, "not compared with anything"),
        ("(len & 1)", 2, "not compared with anything"),
        ("len", 1, "not compared with anything"),
        ("1 < 2 < 3", 7, "expected `and`, `or` or the end"),
        ("len = ", 7, "expected a number, found the end"),
        ("len = 1 +", 10, "expected a number, found the end"),
        ("len = tcp", 10, "expected `[`, found the end"),
        ("len = foo", 7, "expected a number, len or bytes"),
        ("tcp[0:3] = 1", 7, "a size of 1, 2 or 4 bytes"),
        ("tcp[0 = 1", 7, "expected `]`"),
        ("len / 0 = 1", 7, "division by zero"),
        ("len % 0 = 1", 7, "division by zero"),
        ("len << 32 = 1", 8, "shifted by at most 31"),
        ("(tcp", 5, "expected `)`, found the end"),
        ("tcp)", 4, "expected `and`, `or` or the end"),
        ("tcp and", 8, "expected a primitive"),
        ("and tcp", 1, "\"and\" is not supported"),
        ("not", 4, "expected a primitive"),
        ("()", 2, "expected a primitive"),
        ("tcp and = 1", 9, "expected a primitive"),
        ("tcp tcp", 5, "expected `and`, `or` or the end"),
    ];
    for (text, column, message) in rows {
        let error = Filter::parse(text).expect_err(text);
        let whole = error.to_string();
        assert!(
            whole.starts_with(&format!("column {column}: ")),
            "{text}: {whole}"
        );
        assert!(whole.contains(message), "{text}: {whole}");
    }
}

#[test]
fn length_depth_and_count_have_bounds() {
    let nested = |text: &str, end: &str, depth| text.repeat(depth) + "tcp" + &end.repeat(depth);
    let chain = |part: &str, count| vec![part; count].join(" or ");
    let sum = |count| format!("{} = 1", vec!["len"; count].join(" + "));
    let rows = [
        (nested("(", ")", 32), nested("(", ")", 33), "nests deeper"),
        (
            nested("not ", "", 32),
            nested("not ", "", 33),
            "nests deeper",
        ),
        (
            nested("! (", ")", 16),
            nested("! (", ")", 17),
            "nests deeper",
        ),
        (
            "-".repeat(32) + "1 = 1",
            "-".repeat(33) + "1 = 1",
            "nests deeper",
        ),
        (chain("tcp", 256), chain("tcp", 257), "more than 256"),
        (
            chain("ip host 1.1.1.1", 200),
            chain("len = 1", 129),
            "more than 256",
        ),
        (sum(255), sum(256), "more than 256"),
        (
            " ".repeat(MAX_LENGTH),
            " ".repeat(MAX_LENGTH + 1),
            "at most 4096",
        ),
    ];
    for (good, bad, message) in rows {
        assert!(Filter::parse(&good).is_ok(), "{good}");
        let error = Filter::parse(&bad).expect_err(&bad);
        assert!(error.message.contains(message), "{bad}: {error}");
    }
}

#[test]
fn a_program_has_at_most_4000_instructions() {
    let count = |text: &str| {
        let filter = Filter::parse(text).unwrap();
        program(&[&filter], 3, 1, 2).map(|code| code.len() / 8)
    };
    assert!(count("").unwrap() < 15);
    assert!(count("tcp dst port 5555").unwrap() < 100);
    assert!(count("port 80").unwrap() < 150);
    let ports = |count| vec!["port 80"; count].join(" or ");
    assert!(count(&ports(25)).unwrap() <= MAX_INSTRUCTIONS);
    let error = count(&ports(256)).unwrap_err();
    assert!(error.instructions > 25_000, "{error}");
    assert!(error.to_string().contains("at most 4000"), "{error}");
    let one = Filter::parse(&ports(20)).unwrap();
    assert!(program(&[&one, &one], 3, 1, 2).is_err());
}
