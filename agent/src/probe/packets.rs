//! Packets and rules: which packets the kernel reports as a whole, and which filters of rules a
//! packet passes.
//!
//! The pcap expressions of `packet.filter` are compiled into one program of the kernel, so that
//! only packets that some rule can match are copied; which of the expressions it was is found out
//! here, over the copy.

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
    /// Why the kernel reports no packets although rules want them; empty when it does.
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

    /// Follows the rules that run from now on.
    pub(super) fn follow(&mut self, rules: &RuleSet, programs: &PacketPrograms, gates: &Filters) {
        let list = rules.rules(EVENT);
        self.filters = compiled(rules);
        self.problem.clear();
        let result = match list.is_empty() {
            true => Ok(()),
            false => self.install(rules, programs),
        };
        if let Err(sentence) = result {
            warn!("rules on packets see none: {sentence}");
            self.problem = sentence;
        }
        let open = !list.is_empty() && self.problem.is_empty();
        if let Err(error) = gates.set_packets(open, self.nobody) {
            warn!("{error}");
        }
    }

    fn install(&self, rules: &RuleSet, programs: &PacketPrograms) -> Result<(), String> {
        let everything = Filter::parse("").map_err(|error| error.to_string())?;
        let filters: Vec<&Filter> = match needed(rules) {
            Some(needed) => {
                let filters = self.filters.iter();
                let needed = filters.filter(|(text, _)| needed.contains(text));
                needed.map(|(_, filter)| filter).collect()
            }
            None => vec![&everything],
        };
        let map = programs
            .descriptor()
            .ok_or("the probes have no table of programs")?;
        let code = filter::program(&filters, map, REPORT, NEXT_DROP);
        let code = code.map_err(|error| error.to_string())?;
        let installed = programs.set_rate(self.rate);
        let installed = installed.and_then(|()| programs.set_filters(Some(&code)));
        installed.map_err(|error| error.to_string())
    }

    /// Notes with an event about a packet which filters it passes; `data` is what was captured.
    pub(super) fn judge(&self, event: &mut Event, data: &[u8]) {
        if let Body::Packet(network, seen) = &mut event.body {
            let passed = self.filters.iter();
            let passed = passed.filter(|(_, filter)| filter.matches(data, network.size));
            seen.filters = passed.map(|(text, _)| text.clone()).collect();
        }
    }

    pub(super) fn json(&self) -> Value {
        json!({ "filters": self.filters.len(), "problem": self.problem })
    }
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
