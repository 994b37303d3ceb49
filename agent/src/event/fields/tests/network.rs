//! Fields of sockets and packets, and rules over them.

use super::*;
use crate::event::testing::{credentials, network_event, packet, question, seen, socket};

fn check(event: &Event, rows: &[(&str, &str)]) {
    for (name, expected) in rows {
        assert_eq!(read(event, name), *expected, "{name}");
    }
}

fn matches(event: &Event, rule: &str) -> bool {
    let parsed = crate::secl::parse(rule).unwrap_or_else(|error| panic!("{rule}: {error}"));
    let compiled = crate::secl::compile(&parsed, &crate::secl::Macros::new(), &Fields);
    let compiled = compiled.unwrap_or_else(|error| panic!("{rule}: {error}"));
    compiled.matches(event)
}

fn check_rules(event: &Event, rows: &[(&str, bool)]) {
    for (rule, expected) in rows {
        assert_eq!(matches(event, rule), *expected, "{rule}");
    }
}

#[test]
fn sockets() {
    for (kind, hostnames) in [
        (EventType::Bind, false),
        (EventType::Connect, true),
        (EventType::Accept, true),
    ] {
        let mut event = network_event(kind, Body::Socket(socket()));
        event.retval = -115;
        let name = kind.name();
        let rows = [
            ("addr.ip", "Some(IpNet { addr: 192.0.2.1, prefix: 32 })"),
            ("addr.port", "443"),
            ("addr.is_public", "true"),
            ("addr.family", "2"),
            ("retval", "-115"),
        ];
        for (field, expected) in rows {
            assert_eq!(read(&event, &format!("{name}.{field}")), expected);
        }
        if hostnames {
            let found = read(&event, &format!("{name}.addr.hostname"));
            assert_eq!(found, "www.example.com cdn.example.net");
        }
    }
    let event = network_event(EventType::Connect, Body::Socket(socket()));
    check(&event, &[("connect.protocol", "6")]);
}

#[test]
fn rules_on_sockets() {
    let event = network_event(EventType::Connect, Body::Socket(socket()));
    let rows = [
        ("connect.addr.ip in [192.0.2.0/24, ::1]", true),
        ("connect.addr.ip not in [10.0.0.0/8]", true),
        ("connect.addr.ip == 192.0.2.2", false),
        (
            "connect.addr.family == AF_INET && connect.addr.is_public",
            true,
        ),
        ("connect.addr.hostname == \"CDN.example.net\"", true),
        ("connect.addr.hostname =~ \"*.EXAMPLE.com\"", true),
        ("connect.addr.hostname != \"cdn.example.net\"", false),
        ("connect.addr.hostname.length == 2", true),
    ];
    check_rules(&event, &rows);
}

#[test]
fn a_socket_without_address_has_none() {
    let unix = crate::event::Socket {
        family: 1,
        ..crate::event::Socket::default()
    };
    let event = network_event(EventType::Connect, Body::Socket(unix.into()));
    check(
        &event,
        &[
            ("connect.addr.ip", "None"),
            ("connect.addr.port", "0"),
            ("connect.addr.family", "1"),
            ("connect.addr.hostname", ""),
        ],
    );
    let rows = [
        ("connect.addr.ip in [0.0.0.0/0, ::/0]", false),
        ("connect.addr.ip not in [10.0.0.0/8]", true),
        ("connect.addr.hostname != \"a\"", true),
    ];
    check_rules(&event, &rows);
}

#[test]
fn messages_of_name_servers() {
    let mut event = network_event(EventType::Dns, Body::Dns(packet(), question()));
    check(
        &event,
        &[
            ("dns.id", "4660"),
            ("dns.question.name", "Www.Example.com"),
            ("dns.question.type", "1"),
            ("dns.question.class", "1"),
            ("dns.question.length", "33"),
            ("dns.question.count", "1"),
            ("dns.response.code", "0"),
            ("network.device.ifname", "eth0"),
            ("network.device.netns", "4026531840"),
            ("network.l3_protocol", "2048"),
            ("network.l4_protocol", "17"),
            (
                "network.source.ip",
                "Some(IpNet { addr: 10.0.0.2, prefix: 32 })",
            ),
            ("network.source.port", "40000"),
            ("network.source.is_public", "false"),
            ("network.destination.port", "53"),
            ("network.destination.is_public", "true"),
            ("network.network_direction", "1"),
            ("network.size", "75"),
            ("network.type", "0"),
        ],
    );
    let rows = [
        ("dns.question.name == \"WWW.example.COM\"", true),
        ("dns.question.name.root_domain == \"example.com\"", true),
        (
            "dns.question.name.length == 15 && dns.question.type == A",
            true,
        ),
        ("network.network_direction == EGRESS && dns.id > 0", true),
    ];
    check_rules(&event, &rows);
    if let Body::Dns(network, message) = &mut event.body {
        network.egress = false;
        message.is_response = true;
        message.code = 3;
    }
    let rows = [(
        "dns.response.code == NXDOMAIN && network.network_direction == INGRESS",
        true,
    )];
    check_rules(&event, &rows);
}

#[test]
fn a_packet_that_is_no_message_has_its_headers() {
    let event = network_event(EventType::FailedDns, Body::FailedDns(packet()));
    check(
        &event,
        &[("network.size", "75"), ("network.l4_protocol", "17")],
    );
}

#[test]
fn messages_of_metadata_services() {
    let mut event = network_event(EventType::Imds, Body::Imds(packet(), credentials()));
    check(
        &event,
        &[
            ("imds.type", "response"),
            ("imds.cloud_provider", "AWS"),
            ("imds.server", "EC2ws"),
            ("imds.url", ""),
            ("imds.aws.is_imds_v2", "true"),
            ("imds.aws.security_credentials.type", "AWS-HMAC"),
            ("network.device.ifname", "eth0"),
        ],
    );
    let request = crate::packet::imds::Message {
        url: "/latest".to_owned(),
        host: "169.254.169.254".to_owned(),
        user_agent: "curl".to_owned(),
        ..Default::default()
    };
    event.body = Body::Imds(packet(), request.into());
    check(
        &event,
        &[
            ("imds.type", "request"),
            ("imds.url", "/latest"),
            ("imds.host", "169.254.169.254"),
            ("imds.user_agent", "curl"),
            ("imds.aws.security_credentials.type", ""),
        ],
    );
}

#[test]
fn packets() {
    let mut event = network_event(EventType::Packet, Body::Packet(packet(), seen()));
    check(
        &event,
        &[
            ("packet.filter", "udp port 53 host 192.0.2.53"),
            ("packet.tls.version", "771"),
            ("packet.destination.port", "53"),
            ("network.destination.port", "53"),
        ],
    );
    let rows = [
        ("packet.filter == \"host 192.0.2.53\"", true),
        ("packet.filter in [\"udp port 53\", \"icmp\"]", true),
        ("packet.filter == \"udp\"", false),
        ("packet.filter != \"udp\"", true),
        ("packet.filter != \"udp port 53\"", false),
        ("packet.filter == \"udp port 53\" && packet.size > 74", true),
        ("packet.tls.version == TLS_1_2", true),
    ];
    check_rules(&event, &rows);
    if let Body::Packet(network, _) = &mut event.body {
        network.headers.l4_protocol = 1;
        network.headers.icmp_type = 8;
    }
    check(&event, &[("packet.type", "8")]);
}
