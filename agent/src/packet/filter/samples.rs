//! Packets and expressions for tests: fixed ones with what is known of them, and random ones, the
//! same in every run.

/// Packets from the Ethernet header on, by name.
pub(crate) fn packets() -> Vec<(&'static str, Vec<u8>)> {
    let syn = tcp(40_000, 5_555, 0x02);
    let http = tcp(80, 50_000, 0x18);
    let dns = udp(5_353, 53);
    let ip6 = |next, payload: &[u8]| ip6("2001:db8::1", "2001:db8:1::2", next, payload);
    vec![
        ("syn", ip("10.0.0.1", "10.1.0.2", 6, 0, &syn)),
        ("http", ip_with_options("192.168.1.5", "10.0.0.1", 6, &http)),
        ("dns", ip("10.0.0.1", "8.8.8.8", 17, 0, &dns)),
        ("first", ip("10.0.0.1", "8.8.8.8", 17, 0x2000, &dns)),
        ("later", ip("10.0.0.1", "8.8.8.8", 17, 0x0003, &dns)),
        (
            "mdns",
            ether(
                "01:00:5e:00:00:fb",
                ip("10.0.0.9", "224.0.0.251", 17, 0, &dns),
            ),
        ),
        (
            "all",
            ether(
                "ff:ff:ff:ff:ff:ff",
                ip("0.0.0.0", "255.255.255.255", 17, 0, &udp(68, 67)),
            ),
        ),
        (
            "echo",
            ip("10.0.0.1", "1.2.3.4", 1, 0, &[8, 0, 1, 2, 0, 1, 0, 2]),
        ),
        (
            "unreach",
            ip("1.2.3.4", "10.0.0.1", 1, 0, &[3, 1, 1, 2, 0, 0, 0, 0]),
        ),
        ("sctp", ip("10.0.0.1", "10.0.0.2", 132, 0, &tcp(80, 81, 0))),
        ("syn6", ip6(6, &tcp(40_000, 443, 0x02))),
        ("dns6", ip6(17, &dns)),
        ("echo6", ip6(58, &[128, 0, 1, 2, 0, 1, 0, 2])),
        (
            "fragment6",
            ip6(44, &[&[6, 0, 0, 0, 0, 0, 0, 1], &syn[..]].concat()),
        ),
        ("neighbor", neighbor()),
        ("arp", arp(0x0806)),
        ("rarp", arp(0x8035)),
        ("cut", cut(ip("10.0.0.1", "10.1.0.2", 6, 0, &syn), 30)),
        ("cut6", cut(ip6(6, &syn), 56)),
        ("header", cut(ip("10.0.0.1", "10.1.0.2", 6, 0, &syn), 14)),
        (
            "long",
            ip(
                "172.16.0.1",
                "172.16.0.2",
                17,
                0,
                &udp(1_000, 2_000).repeat(60),
            ),
        ),
    ]
}

/// Expressions and the packets that match, as libpcap 1.10.3 has it. An independent answer: libpcap
/// compiled and ran them over these very packets.
pub(crate) const ANSWERS: &[(&str, &str)] = &[
    ("", "syn http dns first later mdns all echo unreach sctp syn6 dns6 echo6 fragment6 neighbor arp rarp cut cut6 header long"),
    ("tcp", "syn http syn6 fragment6 cut cut6"),
    ("udp", "dns first later mdns all dns6 long"),
    ("sctp", "sctp"),
    ("icmp", "echo unreach"),
    ("icmp6", "echo6 neighbor"),
    ("ip", "syn http dns first later mdns all echo unreach sctp cut header long"),
    ("ip6", "syn6 dns6 echo6 fragment6 neighbor cut6"),
    ("arp", "arp"),
    ("not ip and not ip6", "arp rarp"),
    ("tcp dst port 5555", "syn"),
    ("tcp dst port 5555 and tcp[tcpflags] == tcp-syn", "syn"),
    ("tcp[tcpflags] & (tcp-syn|tcp-fin) != 0", "syn"),
    ("tcp[13] & 2 != 0", "syn"),
    ("tcp[13] = 0x18", "http"),
    ("port 53", "dns first mdns dns6"),
    ("udp port 53", "dns first mdns dns6"),
    ("src port 53", ""),
    ("dst port domain", "dns first mdns dns6"),
    ("not port 53", "syn http later all echo unreach sctp syn6 echo6 fragment6 neighbor arp rarp long"),
    ("port 80", "http sctp"),
    ("sctp port 80", "sctp"),
    ("port (80 or 81)", "http sctp"),
    ("tcp port 80 or 443", "http syn6"),
    ("port 80 or (443)", "http sctp syn6"),
    ("not port 80 or 443", "syn dns first later mdns all echo unreach syn6 dns6 echo6 fragment6 neighbor arp rarp long"),
    ("src port 40000 and dst port 443 or 5555", "syn syn6"),
    ("src and dst port 53", ""),
    ("src or dst port 5353", "dns first mdns dns6"),
    ("portrange 50-60", "dns first mdns dns6"),
    ("portrange 60-50", "dns first mdns dns6"),
    ("tcp portrange 80-5555", "syn http syn6"),
    ("portrange 53", "dns first mdns dns6"),
    ("host 10.0.0.1", "syn http dns first later echo unreach sctp arp rarp cut"),
    ("src host 10.0.0.1", "syn dns first later echo sctp arp rarp cut"),
    ("dst 10.0.0.1", "http unreach"),
    ("src 10.0.0.1 and not 8.8.8.8", "syn dns first later echo sctp arp rarp cut"),
    ("src and dst host 10.0.0.1", ""),
    ("src or dst host 8.8.8.8", "dns first later"),
    ("ip host 10.0.0.1", "syn http dns first later echo unreach sctp cut"),
    ("arp host 10.0.0.1", "arp"),
    ("arp dst host 10.0.0.2", "arp"),
    ("host 10.0.0.2 or 1.2.3.4", "echo unreach sctp arp rarp"),
    ("host (10.0.0.2 or 1.2.3.4)", "echo unreach sctp arp rarp"),
    ("host not 10.0.0.1", "mdns all syn6 dns6 echo6 fragment6 neighbor cut6 long"),
    ("host 10.1", "syn"),
    ("net 10", "syn http dns first later mdns echo unreach sctp arp rarp cut"),
    ("net 10.1", "syn"),
    ("net 10.0.0.0/8", "syn http dns first later mdns echo unreach sctp arp rarp cut"),
    ("src net 192.168.0.0/16", "http"),
    ("dst net 10.0.0.0 mask 255.0.0.0", "syn http unreach sctp arp rarp"),
    ("net 10.0 mask 255.254.0.0", "syn http dns first later mdns echo unreach sctp arp rarp cut"),
    ("net 0.0.0.0/0", "syn http dns first later mdns all echo unreach sctp arp rarp cut header long"),
    ("net 192.168.1 or 172.16.0.0/12", "http long"),
    ("host 2001:db8::1", "syn6 dns6 echo6 fragment6 cut6"),
    ("src host 2001:db8::1", "syn6 dns6 echo6 fragment6 cut6"),
    ("dst host 2001:db8::1", ""),
    ("ip6 net 2001:db8::/32", "syn6 dns6 echo6 fragment6 cut6"),
    ("dst net 2001:db8:1::/48", "syn6 dns6 echo6 fragment6 cut6"),
    ("net ::/0", "syn6 dns6 echo6 fragment6 neighbor cut6"),
    ("host ff02::1:ff00:2", "neighbor"),
    ("proto 17", "dns first later mdns all dns6 long"),
    ("proto \\tcp", "syn http syn6 fragment6 cut cut6"),
    ("ip proto 6", "syn http cut"),
    ("ip proto \\udp", "dns first later mdns all long"),
    ("ip6 proto 6", "syn6 fragment6 cut6"),
    ("ip6 proto 44", "fragment6"),
    ("ip proto 6 or 17", "syn http dns first later mdns all cut long"),
    ("ether proto 0x0806", "arp"),
    ("ether proto \\ip6", "syn6 dns6 echo6 fragment6 neighbor cut6"),
    ("ether proto \\rarp", "rarp"),
    ("less 42", "echo unreach arp rarp cut header"),
    ("greater 60", "syn6 dns6 echo6 fragment6 neighbor long"),
    ("len > 54", "http syn6 dns6 echo6 fragment6 neighbor cut6 long"),
    ("len = 14", "header"),
    ("len <= 30", "cut header"),
    ("broadcast", "all arp rarp"),
    ("ether broadcast", "all arp rarp"),
    ("ip broadcast", "all"),
    ("multicast", "mdns all neighbor arp rarp"),
    ("ether multicast", "mdns all neighbor arp rarp"),
    ("ip multicast", "mdns all"),
    ("ip6 multicast", "neighbor"),
    ("ether src 02:00:00:00:00:0a", "syn http dns first later mdns all echo unreach sctp syn6 dns6 echo6 fragment6 neighbor arp rarp cut cut6 header long"),
    ("ether dst ff:ff:ff:ff:ff:ff", "all arp rarp"),
    ("ether host 02:00:00:00:00:0b", "syn http dns first later echo unreach sctp syn6 dns6 echo6 fragment6 cut cut6 header long"),
    ("ether src host 2:0:0:0:0:a", "syn http dns first later mdns all echo unreach sctp syn6 dns6 echo6 fragment6 neighbor arp rarp cut cut6 header long"),
    ("ether[0] & 1 = 0 and ip[16] >= 224", ""),
    ("ether[0] & 1 != 0", "mdns all neighbor arp rarp"),
    ("ether[12:2] = 0x86dd", "syn6 dns6 echo6 fragment6 neighbor cut6"),
    ("ip[0] & 0xf != 5", "http"),
    ("ip[6:2] & 0x1fff = 0", "syn http dns first mdns all echo unreach sctp cut long"),
    ("ip[2:2] > 100", "long"),
    ("ip[8] < 100", "syn http dns first later mdns all echo unreach sctp cut long"),
    ("ip6[6] = 58", "echo6 neighbor"),
    ("arp[6:2] = 1", "arp"),
    ("udp[4:2] = 12", "dns first mdns all long"),
    ("not udp[4:2] = 12", "syn http later echo unreach sctp syn6 dns6 echo6 fragment6 neighbor arp rarp cut cut6"),
    ("icmp[icmptype] = icmp-echo", "echo"),
    ("icmp[icmptype] != icmp-echo and icmp[icmptype] != icmp-echoreply", "unreach"),
    ("icmp[0] = icmp-unreach && icmp[icmpcode] = 1", "unreach"),
    ("icmp6[icmp6type] = icmp6-echo", "echo6"),
    ("icmp6[0] = icmp6-neighborsolicit", "neighbor"),
    ("tcp[((tcp[12:1] & 0xf0) >> 2):4] = 0", ""),
    ("tcp[ip[0] & 0xf] = 0", "syn http"),
    ("(tcp[12] >> 4) * 4 = 20", "syn http"),
    ("(len) > ((60))", "syn6 dns6 echo6 fragment6 neighbor long"),
    ("(len & 1) = 0 and (not (len & 2 = 0))", "syn http dns first later mdns all echo unreach sctp syn6 dns6 echo6 fragment6 neighbor arp rarp cut header long"),
    ("len - 1 = ip[2:2] + 13", "syn http dns first later mdns all echo unreach sctp long"),
    ("-len < 0xffffff00", "long"),
    ("ip[9] ^ 6 = 0", "syn http cut"),
    ("2 + 3 % 2 = 3", "syn http dns first later mdns all echo unreach sctp syn6 dns6 echo6 fragment6 neighbor arp rarp cut cut6 header long"),
    ("3 % 2 + 1 = 0", "syn http dns first later mdns all echo unreach sctp syn6 dns6 echo6 fragment6 neighbor arp rarp cut cut6 header long"),
    ("1 + 2 ^ 3 = 2", "syn http dns first later mdns all echo unreach sctp syn6 dns6 echo6 fragment6 neighbor arp rarp cut cut6 header long"),
    ("7 & 3 ^ 1 = 2", "syn http dns first later mdns all echo unreach sctp syn6 dns6 echo6 fragment6 neighbor arp rarp cut cut6 header long"),
    ("10 - 4 - 3 = 3", "syn http dns first later mdns all echo unreach sctp syn6 dns6 echo6 fragment6 neighbor arp rarp cut cut6 header long"),
    ("1 << 2 + 1 = 8", "syn http dns first later mdns all echo unreach sctp syn6 dns6 echo6 fragment6 neighbor arp rarp cut cut6 header long"),
    ("2 | 1 & 3 = 3", "syn http dns first later mdns all echo unreach sctp syn6 dns6 echo6 fragment6 neighbor arp rarp cut cut6 header long"),
    ("ip[20 - ip[0] & 0xf] = 1", "syn http dns first later echo sctp cut long"),
    ("ether[len - 1] = 0", "syn http unreach sctp syn6 fragment6 neighbor header"),
    ("ether[-1] = 0", ""),
    ("ip[100] = 0", ""),
    ("not ip[100] = 0", "syn6 dns6 echo6 fragment6 neighbor arp rarp cut6 long"),
    ("len / (len - 14) = 1", "syn http dns first later mdns all echo unreach sctp syn6 dns6 echo6 fragment6 neighbor arp rarp cut cut6 long"),
    ("tcp or udp and port 53", "dns first mdns dns6"),
    ("tcp or (udp and port 53)", "syn http dns first mdns syn6 dns6 fragment6 cut cut6"),
    ("not tcp and not udp", "echo unreach sctp echo6 neighbor arp rarp"),
    ("!tcp && !(udp || icmp)", "sctp echo6 neighbor arp rarp"),
    ("not not tcp", "syn http syn6 fragment6 cut cut6"),
    ("not (tcp or udp)", "echo unreach sctp echo6 neighbor arp rarp"),
    ("tcp and (port 80 or 443)", "http syn6"),
    ("ip and (src host 10.0.0.1 or dst host 10.0.0.1) and not tcp", "dns first later echo unreach sctp"),
    ("host 10.0.0.1 and tcp port 5555 or 80", "syn http"),
];

fn ethernet(kind: u16, payload: &[u8]) -> Vec<u8> {
    let addresses = [0x02, 0, 0, 0, 0, 0x0b, 0x02, 0, 0, 0, 0, 0x0a];
    [&addresses[..], &kind.to_be_bytes(), payload].concat()
}

fn ether(destination: &str, mut packet: Vec<u8>) -> Vec<u8> {
    for (byte, part) in packet.iter_mut().zip(destination.split(':')) {
        *byte = u8::from_str_radix(part, 16).unwrap();
    }
    packet
}

fn ip(source: &str, destination: &str, protocol: u8, fragment: u16, payload: &[u8]) -> Vec<u8> {
    let source: std::net::Ipv4Addr = source.parse().unwrap();
    let destination: std::net::Ipv4Addr = destination.parse().unwrap();
    let length = (20 + payload.len()) as u16;
    let header = [
        &[0x45, 0][..],
        &length.to_be_bytes(),
        &[0x12, 0x34],
        &fragment.to_be_bytes(),
        &[64, protocol, 0, 0],
        &source.octets(),
        &destination.octets(),
        payload,
    ];
    ethernet(0x0800, &header.concat())
}

fn ip_with_options(source: &str, destination: &str, protocol: u8, payload: &[u8]) -> Vec<u8> {
    let options = [&[1, 1, 1, 0], payload].concat();
    let mut packet = ip(source, destination, protocol, 0, &options);
    packet[14] = 0x46;
    packet
}

fn ip6(source: &str, destination: &str, next: u8, payload: &[u8]) -> Vec<u8> {
    let source: std::net::Ipv6Addr = source.parse().unwrap();
    let destination: std::net::Ipv6Addr = destination.parse().unwrap();
    let header = [
        &[0x60, 0, 0, 0][..],
        &(payload.len() as u16).to_be_bytes(),
        &[next, 64],
        &source.octets(),
        &destination.octets(),
        payload,
    ];
    ethernet(0x86dd, &header.concat())
}

fn tcp(source: u16, destination: u16, flags: u8) -> Vec<u8> {
    let ports = [source.to_be_bytes(), destination.to_be_bytes()].concat();
    let rest = [0, 0, 0, 7, 0, 0, 0, 9, 0x50, flags, 0x20, 0, 0, 0, 0, 0];
    [&ports[..], &rest].concat()
}

fn udp(source: u16, destination: u16) -> Vec<u8> {
    let ports = [source.to_be_bytes(), destination.to_be_bytes()].concat();
    [&ports[..], &[0, 12, 0, 0], b"data"].concat()
}

fn neighbor() -> Vec<u8> {
    let solicitation = [135, 0, 1, 2, 0, 0, 0, 0];
    let packet = ip6("fe80::1", "ff02::1:ff00:2", 58, &solicitation);
    ether("33:33:ff:00:00:02", packet)
}

fn arp(kind: u16) -> Vec<u8> {
    let body = [
        0, 1, 8, 0, 6, 4, 0, 1, 2, 0, 0, 0, 0, 0x0a, 10, 0, 0, 1, 0, 0, 0, 0, 0, 0, 10, 0, 0, 2,
    ];
    ether("ff:ff:ff:ff:ff:ff", ethernet(kind, &body))
}

fn cut(mut packet: Vec<u8>, length: usize) -> Vec<u8> {
    packet.truncate(length);
    packet
}

/// Numbers without pattern, by Marsaglia's xorshift.
pub(crate) struct Random(pub(crate) u64);

impl Random {
    /// A number below `bound`.
    pub(crate) fn below(&mut self, bound: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 33) as usize % bound
    }

    fn pick<'a>(&mut self, choices: &[&'a str]) -> &'a str {
        choices[self.below(choices.len())]
    }
}

/// One of `packets` with some bytes changed, perhaps cut, with at least an Ethernet header.
pub(crate) fn random_packet(random: &mut Random, packets: &[(&str, Vec<u8>)]) -> Vec<u8> {
    let mut packet = packets[random.below(packets.len())].1.clone();
    for _ in 0..random.below(4) {
        let at = random.below(packet.len().min(64));
        packet[at] = match random.below(3) {
            0 => random.below(256) as u8,
            1 => packet[at] ^ (1 << random.below(8)),
            _ => [0, 0xff, 6, 17, 44][random.below(5)],
        };
    }
    if random.below(4) == 0 {
        packet.truncate(14 + random.below(60));
    }
    packet
}

/// An expression that is understood, at most `depth` levels deep.
pub(crate) fn random_expression(random: &mut Random, depth: usize) -> String {
    let left = random_term(random, depth);
    match random.below(4) {
        0 if depth > 0 => left,
        1 => left,
        choice => {
            let word = if choice == 2 { "and" } else { "or" };
            format!("{left} {word} {}", random_term(random, depth))
        }
    }
}

fn random_term(random: &mut Random, depth: usize) -> String {
    match random.below(6) {
        0 if depth > 0 => format!("({})", random_expression(random, depth - 1)),
        1 if depth > 0 => format!("not {}", random_term(random, depth - 1)),
        2 | 3 => random.pick(PRIMITIVES).to_owned(),
        _ => {
            let relation = random.pick(&[">", "<", ">=", "<=", "=", "==", "!="]);
            let left = random_number(random, depth.min(3));
            let right = random_number(random, depth.min(1));
            format!("{left} {relation} {right}")
        }
    }
}

fn random_number(random: &mut Random, depth: usize) -> String {
    let protocols = ["ether", "ip", "ip6", "tcp", "udp", "icmp", "icmp6", "arp"];
    match random.below(if depth == 0 { 4 } else { 8 }) {
        0 => random.below(70).to_string(),
        1 => random
            .pick(&["0xffffffff", "0x80000000", "len", "31", "2"])
            .to_owned(),
        2 | 3 => {
            let size = random.pick(&["", ":2", ":4"]);
            let offset = random.below(24);
            format!("{}[{offset}{size}]", random.pick(&protocols))
        }
        4 => format!("-{}", random_number(random, depth - 1)),
        5 => {
            let offset = random_number(random, depth - 1);
            format!("{}[{offset} & 31]", random.pick(&protocols))
        }
        _ => {
            let operator = random.pick(OPERATORS);
            let left = random_number(random, depth - 1);
            let right = random_number(random, depth - 1);
            format!("({left} {operator} {right})")
        }
    }
}

const OPERATORS: &[&str] = &[
    "+", "-", "*", "&", "|", "^", "% 1 +", "/ 3 +", "<< 3 |", ">> 5 +",
];

const PRIMITIVES: &[&str] = &[
    "tcp",
    "udp",
    "ip6",
    "icmp",
    "icmp6",
    "arp",
    "host 10.0.0.1",
    "src host 10.0.0.1",
    "net 10",
    "dst net 10.1.0.0/16",
    "port 53",
    "tcp dst port 5555",
    "udp src port 5353",
    "portrange 50-90",
    "host 2001:db8::1",
    "dst net 2001:db8:1::/48",
    "ip proto 17",
    "ip6 proto 6",
    "less 60",
    "greater 60",
    "broadcast",
    "ip multicast",
    "ether src 02:00:00:00:00:0a",
];
