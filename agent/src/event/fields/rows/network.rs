//! Sockets, packets and what is in them.

use std::net::{IpAddr, SocketAddr};

use super::{
    boolean, domain, domains, empty_bool, empty_int, empty_ints, empty_ip, empty_result,
    empty_text, int, ip, result, text, whole, Read, Row, TextKind, View,
};
use crate::event::network::imds_type;
use crate::event::Network;
use crate::packet::headers::Headers;

fn address(view: View<'_>) -> Option<SocketAddr> {
    view.event.socket()?.address
}

/// The address of a socket.
fn address_ip(view: View<'_>) -> Option<IpAddr> {
    Some(address(view)?.ip())
}

fn address_port(view: View<'_>) -> i64 {
    address(view).map_or(0, |address| address.port().into())
}

fn is_public(view: View<'_>) -> bool {
    view.event.socket().is_some_and(|socket| socket.is_public)
}

fn family(view: View<'_>) -> i64 {
    view.event.socket().map_or(0, |socket| socket.family.into())
}

fn protocol(view: View<'_>) -> i64 {
    view.event
        .socket()
        .map_or(0, |socket| socket.protocol.into())
}

fn hostnames(view: View<'_>) -> &[String] {
    view.event.socket().map_or(&[], |socket| &socket.hostnames)
}

fn headers(view: View<'_>) -> Option<&Headers> {
    Some(&view.event.network()?.headers)
}

pub(in super::super) static BIND: &[Row] = &[
    ip("addr.ip", "address that was bound", address_ip),
    int("addr.port", "port that was bound", address_port),
    boolean("addr.is_public", "the address is a public one", is_public),
    int("addr.family", "family of the address", family),
    int("protocol", "protocol of the socket", protocol),
    result(),
];

pub(in super::super) static CONNECT: &[Row] = &[
    ip("addr.ip", "address that was connected to", address_ip),
    int("addr.port", "port that was connected to", address_port),
    boolean("addr.is_public", "the address is a public one", is_public),
    int("addr.family", "family of the address", family),
    domains(
        "addr.hostname",
        "names that were resolved to the address",
        hostnames,
    ),
    int("protocol", "protocol of the socket", protocol),
    result(),
];

pub(in super::super) static ACCEPT: &[Row] = &[
    ip("addr.ip", "address of the peer", address_ip),
    int("addr.port", "port of the peer", address_port),
    boolean("addr.is_public", "the address is a public one", is_public),
    int("addr.family", "family of the address", family),
    domains(
        "addr.hostname",
        "names that were resolved to the address",
        hostnames,
    ),
    result(),
];

pub(in super::super) static SETSOCKOPT: &[Row] = &[
    empty_int("socket_type", "type of the socket"),
    empty_int("socket_family", "address family of the socket"),
    empty_int("socket_protocol", "protocol of the socket"),
    empty_int("level", "level of the option"),
    empty_int("optname", "number of the option"),
    empty_int("filter_len", "number of instructions of the filter"),
    empty_bool("is_filter_truncated", "some of the filter is missing"),
    empty_text("filter_instructions", "the filter as text"),
    empty_text("filter_hash", "SHA-256 of the filter"),
    empty_ints("used_immediates", "constants that the filter compares with"),
    empty_result(),
];

pub(in super::super) static SOCKET: &[Row] = &[
    empty_int("domain", "address family"),
    empty_int("type", "type of the socket"),
    empty_int("protocol", "protocol of the socket"),
    empty_result(),
];

pub(in super::super) static DNS: &[Row] = &[
    int("id", "id of the request", |v| {
        v.event.dns().map_or(0, |dns| dns.id.into())
    }),
    domain("question.name", "name that was asked for", |v| {
        v.event.dns().map_or("", |dns| &dns.name)
    }),
    int("question.type", "type of record that was asked for", |v| {
        v.event.dns().map_or(0, |dns| dns.kind.into())
    }),
    int("question.class", "class that was asked for", |v| {
        v.event.dns().map_or(0, |dns| dns.class.into())
    }),
    int("question.length", "size of the message in bytes", |v| {
        v.event.dns().map_or(0, |dns| dns.size.into())
    }),
    int("question.count", "number of questions", |v| {
        v.event.dns().map_or(0, |dns| dns.questions.into())
    }),
    int(
        "response.code",
        "code of the response, 0 for a request",
        |v| v.event.dns().map_or(0, |dns| dns.code.into()),
    ),
];

pub(in super::super) static IMDS: &[Row] = &[
    text("type", "request or response", |v| {
        v.event.imds().map_or("", imds_type)
    }),
    text(
        "cloud_provider",
        "cloud provider of the metadata service",
        |v| v.event.imds().map_or("", |imds| imds.provider),
    ),
    text("url", "path of the request", |v| {
        v.event.imds().map_or("", |imds| &imds.url)
    }),
    text("host", "host of the request", |v| {
        v.event.imds().map_or("", |imds| &imds.host)
    }),
    text("user_agent", "user agent of the request", |v| {
        v.event.imds().map_or("", |imds| &imds.user_agent)
    }),
    text("server", "server of the response", |v| {
        v.event.imds().map_or("", |imds| &imds.server)
    }),
    boolean(
        "aws.is_imds_v2",
        "it uses version 2 of the metadata service",
        |v| v.event.imds().is_some_and(|imds| imds.is_imds_v2),
    ),
    text(
        "aws.security_credentials.type",
        "type of the credentials in the response",
        |v| {
            let credentials = v.event.imds().and_then(|imds| imds.credentials.as_ref());
            credentials.map_or("", |credentials| &credentials.kind)
        },
    ),
];

pub(in super::super) static PACKET: &[Row] = &[
    Row {
        name: "filter",
        read: Read::List(
            TextKind::PacketFilter,
            |v| v.event.seen().map_or(&[], |seen| &seen.filters),
            whole,
        ),
        about: "pcap filters that the packet passes",
    },
    int("tls.version", "version of TLS", |v| {
        v.event.seen().map_or(0, |seen| seen.tls_version.into())
    }),
];

/// Of every event about a packet: its device, addresses and size.
pub(in super::super) static NETWORK: &[Row] = &[
    text("device.ifname", "name of the network device", |v| {
        v.event.network().map_or("", |network| &network.device)
    }),
    int("device.netns", "network namespace of the device", |v| {
        v.event
            .network()
            .map_or(0, |network| network.namespace.into())
    }),
    int("l3_protocol", "protocol of the network layer", |v| {
        headers(v).map_or(0, |headers| headers.l3_protocol.into())
    }),
    int("l4_protocol", "protocol of the transport layer", |v| {
        headers(v).map_or(0, |headers| headers.l4_protocol.into())
    }),
    ip("source.ip", "source address", |v| headers(v)?.source),
    int("source.port", "source port", |v| {
        headers(v).map_or(0, |headers| headers.source_port.into())
    }),
    boolean(
        "source.is_public",
        "the source address is a public one",
        |v| {
            let network = v.event.network();
            network.is_some_and(|network| network.is_source_public)
        },
    ),
    ip("destination.ip", "destination address", |v| {
        headers(v)?.destination
    }),
    int("destination.port", "destination port", |v| {
        headers(v).map_or(0, |headers| headers.destination_port.into())
    }),
    boolean(
        "destination.is_public",
        "the destination address is a public one",
        |v| {
            let network = v.event.network();
            network.is_some_and(|network| network.is_destination_public)
        },
    ),
    int("network_direction", "INGRESS or EGRESS", |v| {
        v.event.network().map_or(0, Network::direction)
    }),
    int("size", "size of the packet in bytes", |v| {
        v.event.network().map_or(0, |network| network.size.into())
    }),
    int("type", "type of the packet, for ICMP", |v| {
        headers(v).map_or(0, |headers| headers.icmp_type.into())
    }),
];

pub(in super::super) static FLOW_MONITOR: &[Row] = &[
    empty_text("device.ifname", "name of the network device"),
    empty_int("device.netns", "network namespace of the device"),
    empty_int("flows.length", "number of flows"),
];

/// Of each flow.
pub(in super::super) static FLOW: &[Row] = &[
    empty_int("l3_protocol", "protocol of the network layer"),
    empty_int("l4_protocol", "protocol of the transport layer"),
    empty_ip("source.ip", "source address"),
    empty_int("source.port", "source port"),
    empty_bool("source.is_public", "the source address is a public one"),
    empty_ip("destination.ip", "destination address"),
    empty_int("destination.port", "destination port"),
    empty_bool(
        "destination.is_public",
        "the destination address is a public one",
    ),
    empty_int("ingress.data_size", "bytes received"),
    empty_int("ingress.packet_count", "packets received"),
    empty_int("egress.data_size", "bytes sent"),
    empty_int("egress.packet_count", "packets sent"),
];
