//! Sockets, packets and what is in them.

use super::{
    empty_bool, empty_domain, empty_domains, empty_int, empty_ints, empty_ip, empty_result,
    empty_text, Row,
};

pub(in super::super) static BIND: &[Row] = &[
    empty_ip("addr.ip", "address that was bound"),
    empty_int("addr.port", "port that was bound"),
    empty_bool("addr.is_public", "the address is a public one"),
    empty_int("addr.family", "family of the address"),
    empty_int("protocol", "protocol of the socket"),
    empty_result(),
];

pub(in super::super) static CONNECT: &[Row] = &[
    empty_ip("addr.ip", "address that was connected to"),
    empty_int("addr.port", "port that was connected to"),
    empty_bool("addr.is_public", "the address is a public one"),
    empty_int("addr.family", "family of the address"),
    empty_domains("addr.hostname", "names that were resolved to the address"),
    empty_int("protocol", "protocol of the socket"),
    empty_result(),
];

pub(in super::super) static ACCEPT: &[Row] = &[
    empty_ip("addr.ip", "address of the peer"),
    empty_int("addr.port", "port of the peer"),
    empty_bool("addr.is_public", "the address is a public one"),
    empty_int("addr.family", "family of the address"),
    empty_domains("addr.hostname", "names that were resolved to the address"),
    empty_result(),
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
    empty_int("id", "id of the request"),
    empty_domain("question.name", "name that was asked for"),
    empty_int("question.type", "type of record that was asked for"),
    empty_int("question.class", "class that was asked for"),
    empty_int("question.length", "size of the request in bytes"),
    empty_int("question.count", "number of questions"),
    empty_int("response.code", "code of the response"),
];

pub(in super::super) static IMDS: &[Row] = &[
    empty_text("type", "request or response"),
    empty_text("cloud_provider", "cloud provider of the metadata service"),
    empty_text("url", "path of the request"),
    empty_text("host", "host of the request"),
    empty_text("user_agent", "user agent of the request"),
    empty_text("server", "server of the response"),
    empty_bool(
        "aws.is_imds_v2",
        "it uses version 2 of the metadata service",
    ),
    empty_text(
        "aws.security_credentials.type",
        "type of the credentials in the response",
    ),
];

pub(in super::super) static PACKET: &[Row] = &[
    empty_text("filter", "pcap filter that the packet passes"),
    empty_int("tls.version", "version of TLS"),
];

/// Of every event about a packet: its device, addresses and size.
pub(in super::super) static NETWORK: &[Row] = &[
    empty_text("device.ifname", "name of the network device"),
    empty_int("device.netns", "network namespace of the device"),
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
    empty_int("network_direction", "INGRESS or EGRESS"),
    empty_int("size", "size of the packet in bytes"),
    empty_int("type", "type of the packet, for ICMP"),
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
