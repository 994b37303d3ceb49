//! What the loop does for packets: classifiers where they belong, whose the sockets are, which
//! filters the rules need, and what became of all that.

use std::time::Instant;

use log::warn;
use serde_json::{json, Value};

use super::Agent;
use crate::event::json as lines;
use crate::kernel::PacketPrograms;
use crate::probe::network::Network;
use crate::probe::packets::Packets;
use crate::probe::unix_now;
use crate::resolve;

impl Agent {
    /// Begins to watch packets, where that is wanted. What does not work is a sentence in `status`:
    /// everything else goes on.
    pub(super) fn watch_packets(&mut self) {
        if !self.gate_options.packets {
            return;
        }
        self.find_sockets();
        self.pipeline.packets = Packets::new(&self.settings);
        match PacketPrograms::open() {
            Ok(programs) => self.pipeline.actions.use_packet_programs(programs),
            Err(error) => self.note_problem(format!("packets cannot be dropped: {error}")),
        }
        match PacketPrograms::open() {
            Ok(programs) => self.packet_programs = Some(programs),
            Err(error) => self.note_problem(format!("rules on packets see none: {error}")),
        }
        match Network::start(&self.settings, self.probes.constants()) {
            Ok(network) => self.network = Some(network),
            Err(error) => self.note_problem(error.to_string()),
        }
    }

    fn note_problem(&mut self, sentence: String) {
        warn!("{sentence}");
        self.warnings.push(sentence);
    }

    /// Tells the kernel whose the sockets are that were there before.
    fn find_sockets(&self) {
        let flows = self.probes.flows();
        resolve::sockets::walk(&mut |flow, pid| {
            if let Err(error) = flows.add(flow, pid) {
                warn!("the process of a socket cannot be noted: {error}");
            }
        });
    }

    /// Lets the kernel report the packets that the rules can match.
    pub(super) fn set_packet_filters(&mut self) {
        if let Some(programs) = &self.packet_programs {
            let pipeline = &mut self.pipeline;
            let filters = self.probes.filters();
            pipeline.packets.follow(&pipeline.rules, programs, filters);
        }
    }

    /// Keeps the classifiers where they belong, and tells the readers which were lost.
    pub(super) fn look_after_network(&mut self) {
        let Some(network) = &mut self.network else {
            return;
        };
        for lost in network.turn(Instant::now()) {
            let hook = format!("classifier/{}", lost.direction.name());
            let place = format!("{} in network namespace {}", lost.interface, lost.namespace);
            let (host, again) = (&self.pipeline.host, lost.attached_again);
            let line = lines::hook_lost(host, unix_now(), &hook, &place, again);
            self.pipeline.subscribers.tell("hook_lost", &line);
        }
    }

    /// What `status` says of packets.
    pub(super) fn network_status(&self) -> Value {
        let Some(network) = &self.network else {
            return json!({ "enabled": false });
        };
        let counts = self.packet_programs.as_ref();
        let counts = counts.and_then(|programs| programs.counts().ok());
        let counts = counts.unwrap_or_default();
        let (filters, scopes) = self.pipeline.actions.drops();
        let seen = &self.pipeline.resolver.network;
        json!({
            "enabled": true,
            "interfaces": network.status(),
            "sockets": self.probes.sockets_unseen(),
            "packets": self.pipeline.packets.json(),
            "limited": counts.limited,
            "dropped": counts.dropped,
            "filters_in_force": filters,
            "filtered_scopes": scopes,
            "without_process": seen.unattributed,
            "copies": seen.copies,
            "failed_dns": seen.malformed,
            "hostnames": seen.hostnames.count(),
        })
    }
}
