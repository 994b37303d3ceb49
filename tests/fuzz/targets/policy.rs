//! Any bytes as a policy file: it is loaded or reported, and the rules that load run.

#![no_main]

mod events;

use libfuzzer_sys::fuzz_target;
use security_agent::event::types::RULE_TYPES;
use security_agent::event::{fields, Fields};
use security_agent::policy::{Host, Options, RuleSet, Source};
use security_agent::secl::{Approval, Candidates};

fuzz_target!(|bytes: &[u8]| {
    // Two files with the same definitions take the ways of merging too.
    let (first, second) = match bytes.iter().position(|byte| *byte == 0) {
        Some(end) => (&bytes[..end], &bytes[end + 1..]),
        None => (bytes, bytes),
    };
    let sources = [
        source("first.policy", first),
        source("second.policy", second),
    ];
    let options = Options {
        host: Host::default(),
        events: RULE_TYPES.to_vec(),
        enforcement_disabled: false,
        enforcement_sources: Vec::new(),
    };
    let rules = RuleSet::load(&sources, &options, &Fields);
    let mut candidates = Candidates::new();
    events::with_some(|event| {
        let kind = event.kind.name();
        rules.candidates(kind, event, &mut candidates);
        let found: Vec<usize> = candidates.iter().collect();
        let approval = rules.approval(kind, &fields::capabilities(kind));
        for (place, rule) in rules.rules(kind).iter().enumerate() {
            if rule.compiled.matches(event) {
                assert!(found.contains(&place), "the index misses a rule");
                if let Approval::Approvers(approvers) = &approval {
                    assert!(approvers.approves(event), "an event of a rule is left out");
                }
                rule.allow(event, 1_000_000_000);
            }
        }
    });
    let _ = format!("{:?} {:?}", rules.report(), rules.declarations());
});

fn source(name: &str, text: &[u8]) -> Source {
    Source {
        name: name.to_owned(),
        kind: "file",
        text: text.to_vec(),
    }
}
