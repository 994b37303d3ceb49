//! What the loop does for packets: classifiers where they belong, whose the sockets are, which
//! filters the rules need, and what became of all that.

use std::rc::Rc;
use std::time::Instant;

use log::warn;
use serde_json::{json, Value};

use super::Agent;
use crate::event::json as lines;
use crate::kernel::{PacketCounts, PacketPrograms};
use crate::probe::network::Network;
use crate::probe::packets::Packets;
use crate::probe::unix_now;
use crate::resolve::{self, cgroup, clock::monotonic_now};

impl Agent {
    /// Begins to watch packets, where that is wanted; otherwise only what killed runs left is
    /// removed. What does not work is a sentence in `status`: everything else goes on.
    pub(super) fn watch_packets(&mut self) {
        if self.gate_options.packets {
            self.find_sockets();
            self.pipeline.packets = Packets::new(&self.settings);
            self.open_packet_programs();
        }
        match Network::start(&self.settings, self.probes.constants()) {
            Ok(network) => self.network = Some(network),
            Err(error) => self.note_problem(error.to_string()),
        }
    }

    /// Gives the programs behind the classifiers to those who fill them, or says why not.
    fn open_packet_programs(&mut self) {
        let opened = match self.probes.packets_unseen() {
            "" => PacketPrograms::open()
                .map(Rc::new)
                .map_err(|error| error.to_string()),
            unseen => Err(unseen.to_owned()),
        };
        if let Err(sentence) = &opened {
            self.pipeline.packets.give_up(sentence);
            self.note_problem(format!(
                "rules on packets see none, and network_filter drops none: {sentence}"
            ));
        }
        self.packet_programs = opened.as_ref().ok().cloned();
        self.pipeline.actions.use_packet_programs(opened);
    }

    fn note_problem(&mut self, sentence: String) {
        warn!("{sentence}");
        self.warnings.push(sentence);
    }

    /// Tells the kernel whose the sockets are that were there before.
    fn find_sockets(&mut self) {
        // What the probes learn meanwhile is newer than what is read here, and stays.
        if let Err(error) = self.probes.filters().learn_flows(true) {
            self.note_problem(format!("packets will have no process: {error}"));
        }
        let flows = self.probes.flows();
        let now = monotonic_now();
        let mut left = 0_u32;
        let mut cgroup = (0, 0);
        let is_whole = resolve::sockets::walk(&mut |flow, pid| {
            // One process after the other.
            if cgroup.0 != pid {
                cgroup = (pid, cgroup::read(pid).map_or(0, |cgroup| cgroup.inode));
            }
            left += u32::from(flows.add(flow, pid, cgroup.1, now).is_err());
        });
        if !is_whole || left > 0 {
            warn!("not every socket that was there before could be looked at; packets of some have no process");
        }
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

    /// What became of packets that filters let pass.
    pub(super) fn packet_counts(&self) -> PacketCounts {
        let programs = self.packet_programs.as_ref();
        let counts = programs.and_then(|programs| programs.counts().ok());
        counts.unwrap_or_default()
    }

    /// What `status` says of packets.
    pub(super) fn network_status(&self) -> Value {
        let watched = self.network.as_ref().filter(|_| self.gate_options.packets);
        let Some(network) = watched else {
            return json!({ "enabled": false });
        };
        let counts = self.packet_counts();
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
            "unread_dns": seen.unread,
            "outlived_sockets": seen.outlived,
            "hostnames": seen.hostnames.count(),
        })
    }
}
