//! Any bytes as a policy file: it is loaded or reported, and the rules that load run.

#![no_main]

mod events;

use libfuzzer_sys::fuzz_target;
use security_agent::event::types::RULE_TYPES;
use security_agent::event::Fields;
use security_agent::policy::{Host, Options, RuleSet, Source};

fuzz_target!(|bytes: &[u8]| {
    // Two files with the same definitions take the ways of merging too.
    let (first, second) = match bytes.iter().position(|byte| *byte == 0) {
        Some(end) => (&bytes[..end], &bytes[end + 1..]),
        None => (bytes, bytes),
    };
    let sources = [source("first.policy", first), source("second.policy", second)];
    let options = Options {
        host: Host::default(),
        events: RULE_TYPES.to_vec(),
        enforcement_disabled: false,
        enforcement_sources: Vec::new(),
    };
    let mut rules = RuleSet::load(&sources, &options, &Fields);
    events::with_some(|event| {
        for rule in rules.rules(event.kind.name()) {
            if rule.compiled.matches(event) {
                rule.allow(event, 1_000_000_000);
            }
        }
    });
    let _ = format!("{:?} {:?}", rules.report(), rules.event_types());
    let _ = rules.take_declarations();
});

fn source(name: &str, text: &[u8]) -> Source {
    Source {
        name: name.to_owned(),
        kind: "file",
        text: text.to_vec(),
    }
}
