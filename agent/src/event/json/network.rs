//! The objects of sockets and packets: `connect`, `network`, `dns`, `imds`, `packet`.
//!
//! Numbers that have a name in rules are written by it, others as numbers.

use std::net::IpAddr;

use super::writer::Object;
use crate::event::constants::{self, Family};
use crate::event::model::{Body, Event, Network, Seen, Socket};
use crate::event::network::imds_type;
use crate::packet::{dns, imds};

/// Writes what an event of the network is about; nothing for others.
pub(super) fn write(object: &mut Object<'_>, event: &Event) {
    if let Some(network) = event.network() {
        object.object("network", |out| write_network(out, network));
    }
    match &event.body {
        Body::Socket(socket) => {
            object.object(event.kind.name(), |out| write_socket(out, socket));
        }
        Body::Dns(_, message) => object.object("dns", |out| write_dns(out, message)),
        Body::Imds(_, message) => object.object("imds", |out| write_imds(out, message)),
        Body::Packet(network, seen) => {
            object.object("packet", |out| write_packet(out, network, seen));
        }
        _ => {}
    }
}

fn write_named(out: &mut Object<'_>, key: &str, family: Family, number: u16) {
    match family.name_of(number.into()) {
        "" => out.number(key, number),
        name => out.text(key, name),
    }
}

fn write_socket(out: &mut Object<'_>, socket: &Socket) {
    out.object("addr", |addr| {
        write_named(addr, "family", constants::ADDRESS_FAMILY, socket.family);
        if let Some(address) = socket.address {
            addr.text("ip", &address.ip().to_string());
            addr.number("port", address.port());
        }
    });
    match socket.address {
        Some(_) => write_named(out, "protocol", constants::SOCKET_PROTOCOL, socket.protocol),
        // Families without such addresses number protocols in their own way.
        None => out.positive("protocol", socket.protocol.into()),
    }
    out.texts("hostnames", &socket.hostnames);
}

fn write_network(out: &mut Object<'_>, network: &Network) {
    let headers = &network.headers;
    let is = |protocol: i32| i32::from(headers.l4_protocol) == protocol;
    out.object("device", |device| {
        device.positive("netns", network.namespace.into());
        device.positive("ifindex", network.interface.into());
        device.text("ifname", &network.device);
    });
    write_named(
        out,
        "l3_protocol",
        constants::NETWORK_PROTOCOL,
        headers.l3_protocol,
    );
    if headers.l4_protocol != 0 {
        write_named(
            out,
            "l4_protocol",
            constants::TRANSPORT_PROTOCOL,
            headers.l4_protocol,
        );
    }
    let has_ports = is(libc::IPPROTO_TCP) || is(libc::IPPROTO_UDP);
    for (key, address, port) in [
        ("source", headers.source, headers.source_port),
        ("destination", headers.destination, headers.destination_port),
    ] {
        write_end(out, key, address, has_ports.then_some(port));
    }
    out.number("size", network.size);
    out.text(
        "network_direction",
        constants::DIRECTION.name_of(network.direction()),
    );
    if is(libc::IPPROTO_ICMP) || is(libc::IPPROTO_ICMPV6) {
        out.number("type", headers.icmp_type);
    }
}

fn write_end(out: &mut Object<'_>, key: &str, address: Option<IpAddr>, port: Option<u16>) {
    out.object(key, |end| {
        if let Some(address) = address {
            end.text("ip", &address.to_string());
        }
        if let Some(port) = port {
            end.number("port", port);
        }
    });
}

fn write_dns(out: &mut Object<'_>, message: &dns::Message) {
    out.number("id", message.id);
    out.boolean("is_query", !message.is_response);
    out.object("question", |question| {
        write_named(question, "class", constants::DNS_CLASS, message.class);
        write_named(question, "type", constants::DNS_TYPE, message.kind);
        question.text("name", &message.name);
        question.number("size", message.size);
        question.number("count", message.questions);
    });
    if message.is_response {
        out.object("response", |response| response.number("code", message.code));
    }
}

fn write_imds(out: &mut Object<'_>, message: &imds::Message) {
    out.text("type", imds_type(message));
    out.text("cloud_provider", message.provider);
    out.text("url", &message.url);
    out.text("host", &message.host);
    out.text("user_agent", &message.user_agent);
    out.text("server", &message.server);
    if message.provider == "AWS" || message.credentials.is_some() {
        out.object("aws", |aws| {
            aws.boolean("is_imds_v2", message.is_imds_v2);
            if let Some(credentials) = &message.credentials {
                aws.object("security_credentials", |out| {
                    write_credentials(out, credentials);
                });
            }
        });
    }
}

fn write_credentials(out: &mut Object<'_>, credentials: &imds::Credentials) {
    out.text("code", &credentials.code);
    out.text("type", &credentials.kind);
    out.text("access_key_id", &credentials.access_key_id);
    out.text("last_updated", &credentials.last_updated);
    out.text("expiration", &credentials.expiration);
}

/// Readers look for what is known of the packet here too, besides in `network`.
fn write_packet(out: &mut Object<'_>, network: &Network, seen: &Seen) {
    write_network(out, network);
    if seen.tls_version != 0 {
        out.object("tls", |tls| {
            write_named(tls, "version", constants::TLS_VERSION, seen.tls_version);
        });
    }
}
