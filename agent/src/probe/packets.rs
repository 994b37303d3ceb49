//! Packets and rules: which packets the kernel reports as a whole, and which filters of rules a
//! packet passes.
//!
//! The pcap expressions of `packet.filter` are compiled into one program of the kernel, so that
//! only packets that some rule can match are copied; which of the expressions it was is found out
//! here, over the copy. What the kernel does not take (too many or too long expressions) is judged
//! here alone, over as many packets as the limiter lets pass.

use std::collections::BTreeSet;

use log::warn;
use serde_json::{json, Value};

use crate::config::{keys, Settings};
use crate::event::model::Body;
use crate::event::{Event, Fields};
use crate::kernel::{Filters, Nobody, PacketPrograms, NEXT_DROP, REPORT};
use crate::packet::filter::{self, Filter};
use crate::policy::RuleSet;
use crate::secl::approve::Values;
use crate::secl::{Approval, CapabilityKind, Scheme};

const EVENT: &str = "packet";
const FIELD: &str = "packet.filter";

/// What rules want of packets.
#[derive(Default)]
pub(super) struct Packets {
    nobody: Nobody,
    rate: u64,
    filters: Vec<(String, Filter)>,
    /// The kernel reports only packets that one of the filters lets pass.
    are_picked: bool,
    /// Packets that the kernel's filters let pass and none here: what decides lies behind the bytes
    /// that are captured, or the rules have changed since.
    unmatched: u64,
    /// Why the kernel reports no packets although rules want them, or does not pick them; empty
    /// when it does.
    problem: String,
}

impl Packets {
    pub(super) fn new(settings: &Settings) -> Packets {
        let nobody = match settings.text(&keys::NETWORK_RAW_PACKET_FILTER) {
            "all" => Nobody::All,
            "none" => Nobody::None,
            "no_pid_tcp_syn" => Nobody::Beginnings,
            other => {
                warn!(
                    "event_monitoring_config.network.raw_packet.filter is {other}, which is none of \
                     no_pid_tcp_syn, all and none; no_pid_tcp_syn is taken"
                );
                Nobody::Beginnings
            }
        };
        Packets {
            nobody,
            rate: settings.count(&keys::NETWORK_RAW_PACKET_LIMITER_RATE),
            ..Packets::default()
        }
    }

    /// Notes why no packet will ever be reported.
    pub(super) fn give_up(&mut self, sentence: &str) {
        self.problem = sentence.to_owned();
    }

    /// Follows the rules that run from now on.
    pub(super) fn follow(&mut self, rules: &RuleSet, programs: &PacketPrograms, gates: &Filters) {
        let wants = !rules.rules(EVENT).is_empty();
        self.filters = compiled(rules);
        self.problem.clear();
        let installed = match wants {
            true => self.install(needed(rules).as_ref(), programs),
            false => Ok(()),
        };
        if let Err(sentence) = &installed {
            warn!("rules on packets see none: {sentence}");
            self.problem.clone_from(sentence);
        }
        if let Err(error) = gates.set_packets(wants && installed.is_ok(), self.nobody) {
            warn!("{error}");
        }
    }

    /// Lets the kernel report packets that pass one of the filters that are needed, or, when it
    /// does not take these, every packet.
    fn install(
        &mut self,
        needed: Option<&BTreeSet<String>>,
        programs: &PacketPrograms,
    ) -> Result<(), String> {
        programs
            .set_rate(self.rate)
            .map_err(|error| error.to_string())?;
        self.are_picked = false;
        if let Some(needed) = needed {
            let filters = self.filters.iter();
            let filters = filters.filter(|(text, _)| needed.contains(text));
            let filters: Vec<&Filter> = filters.map(|(_, filter)| filter).collect();
            match load(&filters, programs) {
                Ok(()) => {
                    self.are_picked = true;
                    return Ok(());
                }
                Err(sentence) => {
                    warn!("the kernel does not pick packets for rules: {sentence}");
                    self.problem = format!("every packet counts towards the limit, as {sentence}");
                }
            }
        }
        let everything = Filter::parse("").map_err(|error| error.to_string())?;
        load(&[&everything], programs)
    }

    /// Notes with an event about a packet which filters it passes; `data` is what was captured.
    pub(super) fn judge(&mut self, event: &mut Event, data: &[u8]) {
        if let Body::Packet(network, seen) = &mut event.body {
            let passed = self.filters.iter();
            let passed = passed.filter(|(_, filter)| filter.matches(data, network.size));
            seen.filters = passed.map(|(text, _)| text.clone()).collect();
            if self.are_picked && seen.filters.is_empty() {
                self.unmatched += 1;
            }
        }
    }

    pub(super) fn json(&self) -> Value {
        json!({
            "filters": self.filters.len(),
            "unmatched": self.unmatched,
            "problem": self.problem,
        })
    }
}

/// Lets the kernel report packets that pass one of these filters; the error is a sentence.
fn load(filters: &[&Filter], programs: &PacketPrograms) -> Result<(), String> {
    let code = filter::program(filters, programs.descriptor(), REPORT, NEXT_DROP);
    let code = code.map_err(|error| error.to_string())?;
    let installed = programs.set_filters(&code);
    installed.map_err(|error| error.to_string())
}

/// Every filter that a rule names, each once.
fn compiled(rules: &RuleSet) -> Vec<(String, Filter)> {
    let Some(field) = Fields.field(FIELD) else {
        return Vec::new();
    };
    let lists = rules.rules(EVENT).iter();
    let texts: BTreeSet<&str> = lists
        .flat_map(|rule| rule.compiled.texts_of(field.id))
        .collect();
    // What is no filter was refused when the rules were loaded.
    let filters = texts.into_iter();
    filters
        .filter_map(|text| Some((text.to_owned(), Filter::parse(text).ok()?)))
        .collect()
}

/// The filters of which a packet has to pass one for any rule to match; `None` when some rule can
/// match without.
fn needed(rules: &RuleSet) -> Option<BTreeSet<String>> {
    let capability = [(FIELD, CapabilityKind::Element)];
    let capabilities = crate::event::fields::capabilities_of(&capability, &Fields);
    let Approval::Approvers(approvers) = rules.approval(EVENT, &capabilities) else {
        return None;
    };
    let mut all = BTreeSet::new();
    for (_, values) in approvers.fields() {
        if let Values::Texts(texts) = values {
            all.extend(texts.iter().cloned());
        }
    }
    Some(all)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::testing::{network_event, packet, seen};
    use crate::event::EventType;

    fn packets(texts: &[String]) -> (Packets, BTreeSet<String>) {
        let filters = texts.iter();
        let filters = filters.map(|text| (text.clone(), Filter::parse(text).unwrap()));
        let packets = Packets {
            filters: filters.collect(),
            ..Packets::default()
        };
        (packets, texts.iter().cloned().collect())
    }

    #[test]
    fn filters_that_are_too_long_together_are_judged_here() {
        let programs = PacketPrograms::testing(1);
        let many: Vec<String> = (0..2_000).map(|port| format!("port {port}")).collect();
        let (mut packets, needed) = packets(&many);
        packets.install(Some(&needed), &programs).unwrap();
        assert!(programs.has_filters() && !packets.are_picked);
        assert!(
            packets.problem.contains("instructions"),
            "{}",
            packets.problem
        );
    }

    #[test]
    fn packets_that_only_the_kernel_lets_pass_are_counted() {
        let programs = PacketPrograms::testing(1);
        let (mut packets, needed) = packets(&["ether[300] == 1".to_owned()]);
        packets.install(Some(&needed), &programs).unwrap();
        assert_eq!(packets.problem, "");
        let body = Body::Packet(packet(), seen());
        let mut event = network_event(EventType::Packet, body);
        packets.judge(&mut event, &[0; 256]);
        assert_eq!(packets.json()["unmatched"], 1);
        // Where the kernel picks none, most pass no filter.
        packets.install(None, &programs).unwrap();
        packets.judge(&mut event, &[0; 256]);
        assert_eq!(packets.json()["unmatched"], 1);
    }
}
