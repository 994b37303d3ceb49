//! From the rules to what the kernel may leave out: nothing that a rule could match.

use std::collections::BTreeMap;

use serde_json::{json, Value};

use crate::event::wire::Kind;
use crate::event::{fields, Fields};
use crate::kernel::{Error, Filters, Gate};
use crate::policy::RuleSet;
use crate::secl::approve::Values;
use crate::secl::{Approval, CapabilityKind};

/// Kinds whose records pass a gate in the kernel.
const GATED: [Kind; 8] = [
    Kind::Open,
    Kind::Chmod,
    Kind::Chown,
    Kind::Connect,
    Kind::Bind,
    Kind::Accept,
    Kind::Dns,
    Kind::Imds,
];
/// What the kernel compares of an open, by field.
const KERNEL_CAPABILITIES: [(&str, CapabilityKind); 3] = [
    ("open.file.path", CapabilityKind::Basename),
    ("open.file.name", CapabilityKind::Basename),
    ("open.flags", CapabilityKind::Flags),
];

/// What besides the rules decides how the gates stand.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Options {
    /// Otherwise what some rule is about is let through whole.
    pub(super) filtering: bool,
    /// Packets are watched.
    pub(super) packets: bool,
    /// Addresses are named after the answers of name servers.
    pub(super) names: bool,
}

/// How the gates stand.
#[derive(Debug, Default)]
pub(super) struct Gates {
    by_kind: BTreeMap<&'static str, Gate>,
}

impl Gates {
    /// Sets every gate as the rules need it.
    pub(super) fn set(
        filters: &mut Filters,
        rules: &RuleSet,
        options: Options,
    ) -> Result<Gates, Error> {
        let mut gates = Gates::default();
        filters.learn_flows(options.packets)?;
        for kind in GATED {
            let gate = filters.set(kind, wanted(kind, rules, options))?;
            gates.by_kind.insert(kind.name(), gate);
        }
        Ok(gates)
    }

    /// Closes every gate.
    pub(super) fn close(filters: &mut Filters) {
        for kind in GATED {
            // The process ends, and the gates with it.
            let _ = filters.set(kind, Gate::Closed);
        }
    }

    /// The gates for `status`.
    pub(super) fn json(&self) -> Value {
        let one = |gate: &Gate| match gate {
            Gate::Closed => json!({"mode": "closed"}),
            Gate::Open => json!({"mode": "accept"}),
            Gate::Filtered { flags, names } => {
                json!({"mode": "deny", "names": names.len(), "flags": format!("{flags:#x}")})
            }
        };
        let all = self.by_kind.iter();
        all.map(|(kind, gate)| ((*kind).to_owned(), one(gate)))
            .collect::<serde_json::Map<_, _>>()
            .into()
    }
}

/// What became of the rules that run, and by what events could be left out: as `policy check --json`
/// prints it.
pub(super) fn report(rules: &RuleSet) -> String {
    let types = rules.event_types().into_iter();
    let approvals: Vec<(&str, Approval)> = types
        .map(|event| (event, rules.approval(event, &fields::capabilities(event))))
        .collect();
    rules.report().check_json(&approvals, fields::name_of)
}

/// The event types that records of a kind serve.
fn served_by(kind: Kind, options: Options) -> &'static [&'static str] {
    match kind {
        Kind::Dns if options.names => &["dns", "failed_dns", "connect", "accept"],
        Kind::Dns => &["dns", "failed_dns"],
        Kind::Open => &["open"],
        Kind::Chmod => &["chmod"],
        Kind::Chown => &["chown"],
        Kind::Connect => &["connect"],
        Kind::Bind => &["bind"],
        Kind::Accept => &["accept"],
        Kind::Imds => &["imds"],
        _ => &[],
    }
}

fn wanted(kind: Kind, rules: &RuleSet, options: Options) -> Gate {
    let event = kind.name();
    let served = served_by(kind, options);
    if served.iter().all(|event| rules.rules(event).is_empty()) {
        return Gate::Closed;
    }
    if !options.filtering || kind != Kind::Open {
        return Gate::Open;
    }
    let capabilities = fields::capabilities_of(&KERNEL_CAPABILITIES, &Fields);
    let Approval::Approvers(approvers) = rules.approval(event, &capabilities) else {
        return Gate::Open;
    };
    let flags = approvers.fields().filter_map(|(_, values)| match values {
        Values::Flags(mask) => Some(*mask),
        _ => None,
    });
    // Flags beyond 32 bits are no flags of open: no event has them.
    let flags = flags.fold(0, |all, mask| all | mask) & i64::from(u32::MAX);
    Gate::Filtered {
        flags: u32::try_from(flags).unwrap_or(u32::MAX),
        names: approvers
            .basenames()
            .into_iter()
            .map(str::to_owned)
            .collect(),
    }
}
