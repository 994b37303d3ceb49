//! Events about sockets and packets: whose they are, what the packets say, which names their
//! addresses have.
//!
//! Records of the network enter, events leave. A packet that only passes through this host was
//! mostly seen where it was sent or will be seen where it arrives; such copies without a process
//! are told from packets of unknown processes by a short memory of what went by, and counted.

use std::collections::{HashMap, VecDeque};
use std::hash::{BuildHasher, Hash, RandomState};
use std::net::IpAddr;
use std::rc::Rc;

use super::names::Hostnames;
use super::ranges::PrivateRanges;
use super::{stand_in, Resolver};
use crate::event::model::{Body, Event, Network, Seen, Socket};
use crate::event::process::Process;
use crate::event::types::EventType;
use crate::event::wire::{self, Header, Identity, Kind};
use crate::packet::headers::{self, Headers, Parsed};
use crate::packet::{dns, imds, tls};

/// Messages that are remembered, to know their copies by and answers by their questions.
const REMEMBERED: usize = 4_096;
/// How long after a message another one that is alike counts as its copy, in nanoseconds.
const COPY: u64 = 1_000_000_000;
/// How long a question waits for its answer.
const ANSWER: u64 = 5_000_000_000;
/// The port of name servers.
const NAME_SERVER: u16 = 53;
/// Messages of one packet that are read: the kernel cuts large ones into at most so many
/// (UDP_MAX_SEGMENTS in include/linux/udp.h, 64 before 6.9).
const MOST_SEGMENTS: usize = 128;
/// By how much the clocks of processes and packets may differ, in nanoseconds.
const SLACK: u64 = 100_000_000;
const TCP: u16 = libc::IPPROTO_TCP as u16;

/// What is needed to make events of packets and addresses.
#[derive(Debug)]
pub struct NetworkState {
    /// Names that answers of name servers gave to addresses.
    pub hostnames: Hostnames,
    /// Which addresses are not public.
    pub ranges: PrivateRanges,
    /// Packets whose process is not known.
    pub unattributed: u64,
    /// Packets without a process that were seen before, on another interface.
    pub copies: u64,
    /// Packets on the port of name servers that were none of their messages.
    pub malformed: u64,
    /// Messages that did not fit into the record of their packet.
    pub unread: u64,
    /// Packets of a process that is younger than what is known of their socket.
    pub outlived: u64,
    hasher: RandomState,
    /// When messages came, by what they are.
    recent: HashMap<u64, u64>,
    waiting: VecDeque<Event>,
}

impl NetworkState {
    /// Nothing seen yet.
    pub fn new(hostnames: Hostnames, ranges: PrivateRanges) -> NetworkState {
        NetworkState {
            hostnames,
            ranges,
            unattributed: 0,
            copies: 0,
            malformed: 0,
            unread: 0,
            outlived: 0,
            hasher: RandomState::new(),
            recent: HashMap::new(),
            waiting: VecDeque::new(),
        }
    }

    fn names_of(&self, address: Option<IpAddr>) -> Vec<String> {
        let names = address.map(|address| self.hostnames.names_of(address));
        names.unwrap_or_default().to_vec()
    }

    fn is_public(&self, address: Option<IpAddr>) -> bool {
        address.is_some_and(|address| self.ranges.is_public(address))
    }

    /// Remembers a message of a name server; whether one like it came a moment ago.
    fn is_copy(&mut self, message: &dns::Message, protocol: u16, now: u64) -> bool {
        let contents = (&message.addresses, &message.aliases, message.code);
        let key = self.key(message, (message.is_response, protocol, contents));
        self.came_within(key, COPY, now)
    }

    /// Takes the names of an answer to a question that was seen. Anybody may send what looks like
    /// an answer; only who is allowed to use its port can send it from there.
    fn learn_names(&mut self, headers: &Headers, message: &dns::Message, now: u64) {
        let question = |port: u16, network: &NetworkState| network.key(message, port);
        if !message.is_response {
            let key = question(headers.source_port, self);
            self.came_within(key, ANSWER, now);
            return;
        }
        let key = question(headers.destination_port, self);
        let asked = self.recent.get(&key);
        let is_asked = asked.is_some_and(|asked| now.saturating_sub(*asked) < ANSWER);
        if is_asked && headers.source_port == NAME_SERVER {
            self.hostnames.note(message);
        }
    }

    fn key(&self, message: &dns::Message, more: impl Hash) -> u64 {
        let question = (message.id, &message.name, message.kind);
        self.hasher.hash_one((question, more))
    }

    /// Remembers that something came now; whether it came before, not longer ago than that.
    fn came_within(&mut self, key: u64, age: u64, now: u64) -> bool {
        if self.recent.len() >= REMEMBERED {
            self.recent.retain(|_, at| now.saturating_sub(*at) < COPY);
            if self.recent.len() >= REMEMBERED {
                self.recent.clear();
            }
        }
        let before = self.recent.insert(key, now);
        before.is_some_and(|before| now.saturating_sub(before) < age)
    }
}

/// Bytes of the packet that were not captured.
fn missing(record: &wire::Packet<'_>) -> usize {
    (record.length as usize).saturating_sub(record.data.len())
}

/// The payloads of the packets that this one will be cut into, as far as they were captured whole,
/// and how many there are besides.
fn segments<'a>(record: &wire::Packet<'_>, payload: &'a [u8]) -> (Vec<&'a [u8]>, usize) {
    let size = match usize::from(record.segment) {
        0 => return (vec![payload], 0),
        size => size,
    };
    let all = (payload.len() + missing(record)).div_ceil(size);
    let whole = |segment: &&[u8]| missing(record) == 0 || segment.len() == size;
    let segments = payload.chunks(size).filter(whole);
    let found: Vec<&[u8]> = segments.take(MOST_SEGMENTS).collect();
    let others = all - found.len();
    (found, others)
}

impl Resolver {
    /// Another event of the record that was resolved last: a segment of TCP may hold several
    /// messages.
    pub fn next_of_record(&mut self) -> Option<Event> {
        self.network.waiting.pop_front()
    }

    pub(super) fn socket(&mut self, header: &Header, record: &wire::Socket) -> Option<Event> {
        let kind = EventType::from_record(header.kind)?;
        let process = self.known(header.tgid, header.timestamp);
        let unknown = process.is_none();
        let process = process.unwrap_or_else(|| stand_in(header, 0));
        super::note_identity(&process, header);
        let mut event = self.event(kind, header, process);
        event.flags.no_process = unknown;
        let ip = record.address.map(|address| address.ip());
        let hostnames = match kind {
            EventType::Bind => Vec::new(),
            _ => self.network.names_of(ip),
        };
        event.body = Body::Socket(Box::new(Socket {
            family: record.family,
            address: record.address,
            protocol: record.protocol,
            is_public: self.network.is_public(ip),
            hostnames,
        }));
        Some(event)
    }

    pub(super) fn packet(&mut self, header: &Header, record: &wire::Packet<'_>) -> Option<Event> {
        let parsed = headers::parse(record.data)?;
        match header.kind {
            Kind::Dns => self.name_server(header, record, &parsed),
            Kind::Imds => {
                let message = imds::Message::parse(parsed.payload)?;
                let network = Box::new(self.seen_on(record, &parsed.headers));
                let body = Body::Imds(network, Box::new(message));
                Some(self.packet_event(header, record, EventType::Imds, body))
            }
            _ => {
                let network = Box::new(self.seen_on(record, &parsed.headers));
                let seen = Box::new(Seen {
                    filters: Vec::new(),
                    tls_version: tls::version(parsed.payload),
                });
                let body = Body::Packet(network, seen);
                Some(self.packet_event(header, record, EventType::Packet, body))
            }
        }
    }

    /// The first event of a packet of DNS; those of its other messages wait.
    fn name_server(
        &mut self,
        header: &Header,
        record: &wire::Packet<'_>,
        parsed: &Parsed<'_>,
    ) -> Option<Event> {
        // A lone acknowledgement may be padded to the shortest frame.
        if parsed.payload.is_empty() || parsed.is_fragment {
            return None;
        }
        let (messages, unread) = match parsed.headers.l4_protocol {
            TCP => {
                let messages = dns::messages_of_stream(parsed.payload);
                (messages, usize::from(missing(record) > 0))
            }
            _ => {
                let (segments, others) = segments(record, parsed.payload);
                let messages = segments.into_iter().map(dns::Message::parse).collect();
                (messages, others)
            }
        };
        self.network.unread += unread as u64;
        // A message that was cut by the capture is not wrong.
        let is_cut = record.segment == 0 && missing(record) > 0;
        for message in messages {
            let event = match message {
                Some(message) => self.message(header, record, &parsed.headers, message),
                None if is_cut => {
                    self.network.unread += 1;
                    None
                }
                None => self.malformed(header, record, &parsed.headers),
            };
            self.network.waiting.extend(event);
        }
        self.next_of_record()
    }

    fn message(
        &mut self,
        header: &Header,
        record: &wire::Packet<'_>,
        headers: &Headers,
        message: dns::Message,
    ) -> Option<Event> {
        self.network
            .learn_names(headers, &message, header.timestamp);
        let protocol = headers.l4_protocol;
        let is_copy = self.network.is_copy(&message, protocol, header.timestamp);
        if is_copy && header.tgid == 0 {
            self.network.copies += 1;
            return None;
        }
        let network = Box::new(self.seen_on(record, headers));
        let body = Body::Dns(network, Box::new(message));
        Some(self.packet_event(header, record, EventType::Dns, body))
    }

    fn malformed(
        &mut self,
        header: &Header,
        record: &wire::Packet<'_>,
        headers: &Headers,
    ) -> Option<Event> {
        self.network.malformed += 1;
        let network = Box::new(self.seen_on(record, headers));
        let body = Body::FailedDns(network);
        Some(self.packet_event(header, record, EventType::FailedDns, body))
    }

    /// Whether a process began after it was learnt whose the socket is: then another one had its
    /// number.
    fn is_younger(&mut self, process: &Process, learnt: u64) -> bool {
        let learnt = self.clock.from_monotonic(learnt).saturating_add(SLACK);
        let is_younger = process.info.fork_time > learnt;
        self.network.outlived += u64::from(is_younger);
        is_younger
    }

    /// Where the packet was seen; the name of the interface is filled in by who knows it.
    fn seen_on(&self, record: &wire::Packet<'_>, headers: &Headers) -> Network {
        Network {
            device: String::new(),
            interface: record.interface,
            namespace: record.net_namespace,
            egress: record.egress,
            size: record.length,
            headers: headers.clone(),
            is_source_public: self.network.is_public(headers.source),
            is_destination_public: self.network.is_public(headers.destination),
        }
    }

    /// An event of the process at this end, which is not the one that ran when it was seen.
    fn packet_event(
        &mut self,
        header: &Header,
        record: &wire::Packet<'_>,
        kind: EventType,
        body: Body,
    ) -> Event {
        let process = match header.tgid {
            0 => None,
            tgid => self.known(tgid, header.timestamp),
        };
        let process = process.filter(|process| !self.is_younger(process, record.learnt));
        let unknown = process.is_none();
        if unknown {
            self.network.unattributed += 1;
        }
        let process = process.unwrap_or_else(|| stand_in(header, 0));
        let identity = match unknown {
            // Nobody: 0 would be root.
            true => nobody(),
            false => process.identity(),
        };
        let mut event = self.event(kind, header, Rc::clone(&process));
        event.identity = identity;
        event.tid = process.info.pid;
        event.flags.no_process = unknown;
        event.body = body;
        event
    }
}

fn nobody() -> Identity {
    const UNSET: u32 = u32::MAX;
    Identity {
        uid: UNSET,
        gid: UNSET,
        suid: UNSET,
        sgid: UNSET,
        euid: UNSET,
        egid: UNSET,
        fsuid: UNSET,
        fsgid: UNSET,
    }
}

#[cfg(test)]
mod tests;
