//! What events about sockets and packets hold besides what every event does.
//!
//! The shapes, and the ways to them from an event of any type: `None` for a type that has no such
//! thing. The messages inside packets have their shapes in [`crate::packet`].

use std::net::SocketAddr;

use super::constants;
use super::model::{Body, Event};
use crate::packet::headers::Headers;
use crate::packet::{dns, imds};

/// The end of a connection, or what a socket was bound to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Socket {
    /// Address family (`AF_*`).
    pub family: u16,
    /// Address and port, for the families that have them.
    pub address: Option<SocketAddr>,
    /// Protocol of the socket (`IPPROTO_*`).
    pub protocol: u16,
    /// The address is none of the configured private ones.
    pub is_public: bool,
    /// Names that answers of name servers gave the address.
    pub hostnames: Vec<String>,
}

/// A packet: where it was seen, from whom to whom.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Network {
    /// Name of the interface; empty when unknown.
    pub device: String,
    /// Index of the interface.
    pub interface: u32,
    /// Inode of the network namespace that it is in.
    pub namespace: u32,
    /// Out of the interface, rather than into it.
    pub egress: bool,
    /// Bytes of the packet.
    pub size: u32,
    /// What its headers say.
    pub headers: Headers,
    /// The source is none of the configured private addresses.
    pub is_source_public: bool,
    /// The destination is none of them.
    pub is_destination_public: bool,
}

/// What rules about packets look at besides the headers.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Seen {
    /// The filters of rules (`packet.filter`) that let it pass, as the rules wrote them.
    pub filters: Vec<String>,
    /// Version in a record of TLS, as it stands there (0x0303 is TLS 1.2); 0 without one.
    pub tls_version: u16,
}

impl Network {
    /// Into or out of the interface, as rules number it ([`constants::EGRESS`]).
    pub fn direction(&self) -> i64 {
        match self.egress {
            true => constants::EGRESS,
            false => constants::INGRESS,
        }
    }
}

/// The word of rules for what a message of a metadata service is.
pub(super) fn imds_type(message: &imds::Message) -> &'static str {
    match message.is_response {
        true => "response",
        false => "request",
    }
}

impl Event {
    /// Whether it is about a socket or a packet.
    pub fn is_of_network(&self) -> bool {
        self.socket().is_some() || self.network().is_some()
    }

    /// The socket that was bound, connected or accepted.
    pub fn socket(&self) -> Option<&Socket> {
        match &self.body {
            Body::Socket(socket) => Some(socket),
            _ => None,
        }
    }

    /// The packet that the event is about.
    pub fn network(&self) -> Option<&Network> {
        match &self.body {
            Body::Dns(network, _)
            | Body::FailedDns(network)
            | Body::Imds(network, _)
            | Body::Packet(network, _) => Some(network),
            _ => None,
        }
    }

    /// The same, to complete it.
    pub fn network_mut(&mut self) -> Option<&mut Network> {
        match &mut self.body {
            Body::Dns(network, _)
            | Body::FailedDns(network)
            | Body::Imds(network, _)
            | Body::Packet(network, _) => Some(network),
            _ => None,
        }
    }

    /// The message to or from a name server.
    pub fn dns(&self) -> Option<&dns::Message> {
        match &self.body {
            Body::Dns(_, message) => Some(message),
            _ => None,
        }
    }

    /// The message to or from a metadata service.
    pub fn imds(&self) -> Option<&imds::Message> {
        match &self.body {
            Body::Imds(_, message) => Some(message),
            _ => None,
        }
    }

    /// What filters saw in the packet.
    pub fn seen(&self) -> Option<&Seen> {
        match &self.body {
            Body::Packet(_, seen) => Some(seen),
            _ => None,
        }
    }
}
