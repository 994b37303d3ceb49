//! What `status` says of this role, as one JSON object.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::{Duration, SystemTime};

use serde_json::{json, Map, Value};

use super::filters::Gates;
use super::self_test::Outcome;
use super::turns::Turns;
use crate::event::json::write_time;
use crate::event::wire::{Kind, KINDS, SESSION_FLOOD};
use crate::kernel::{Counts, Probes};
use crate::policy::variable::Store;
use crate::policy::{Report, RuleSet};
use crate::resolve::sessions::Sessions;
use crate::sys::files::read_limited;
use crate::sys::process;

/// The last self-test.
pub(super) struct LastTest {
    pub(super) at: SystemTime,
    pub(super) outcome: Outcome,
}

/// Everything that the status is made of.
pub(super) struct View<'a> {
    pub(super) uptime: Duration,
    pub(super) probes: &'a Probes,
    pub(super) counts: Counts,
    pub(super) delivered: &'a [u64; KINDS],
    pub(super) late: u64,
    pub(super) skipped: u64,
    pub(super) rules: &'a RuleSet,
    pub(super) variables: &'a Store,
    pub(super) gates: &'a Gates,
    pub(super) last_test: Option<&'a LastTest>,
    pub(super) subscribers: usize,
    pub(super) unread: u64,
    pub(super) slow_readers: u64,
    pub(super) undecodable: u64,
    pub(super) dropped_arguments: u64,
    pub(super) evicted: u64,
    pub(super) broken_lineage: u64,
    pub(super) turns: &'a Turns,
    pub(super) journal: Value,
    pub(super) cache: (usize, usize),
    pub(super) sessions: &'a Sessions,
    pub(super) network: Value,
    pub(super) warnings: &'a [String],
}

/// The reply to a status request.
pub(super) fn reply(view: &View<'_>) -> String {
    let attached = view.probes.rungs().iter().all(|rung| rung.rung != "none");
    let constants = view.probes.constants();
    let status = json!({
        "pid": std::process::id(),
        "version": env!("CARGO_PKG_VERSION"),
        "uptime_seconds": view.uptime.as_secs(),
        "events": events(view),
        "hooks_attached": attached,
        "policies": policies(view.rules.report()),
        "self_test": view.last_test.map(self_test),
        "warnings": view.warnings,
        "subscribers": view.subscribers,
        "process_cache": { "entries": view.cache.0, "limit": view.cache.1 },
        "user_sessions": sessions(view),
        "rules": rules(view.rules),
        "variables": variables(view.variables),
        "filters": view.gates.json(),
        "network": view.network,
        "loss": {
            "late": view.late,
            "recursion_misses": view.skipped,
            "unread": view.unread,
            "slow_readers": view.slow_readers,
            "undecodable": view.undecodable,
            "dropped_arguments": view.dropped_arguments,
            "evicted_processes": view.evicted,
            "broken_lineage": view.broken_lineage,
        },
        "slow_turns": view.turns.slow(),
        "turns": view.turns.json(),
        "journal": view.journal,
        "memory": { "resident_bytes": process::resident_bytes() },
        "kernel": kernel(),
        "constants": {
            "from": constants.origin,
            "missing": constants.missing,
            "values": constants.offsets().collect::<BTreeMap<_, _>>(),
        },
        "buffer_bytes": view.probes.ring_bytes(),
    });
    json!({ "ok": true, "status": status }).to_string()
}

/// The kernel that runs, as far as it decides what the probes may do.
fn kernel() -> Value {
    let release = nix::sys::utsname::uname()
        .map(|names| names.release().to_string_lossy().into_owned())
        .unwrap_or_default();
    json!({ "release": release, "lockdown": lockdown() })
}

/// The chosen one of `[none] integrity confidentiality` (kernel_lockdown(7)).
fn lockdown() -> String {
    let path = Path::new("/sys/kernel/security/lockdown");
    let text = read_limited(path, 256).unwrap_or_default();
    let text = String::from_utf8_lossy(&text);
    let chosen = text
        .split_once('[')
        .and_then(|(_, rest)| rest.split_once(']'));
    chosen.map_or("unknown", |(chosen, _)| chosen).to_owned()
}

/// Records whose hooks are no ladder: kind, rung, hooks, and what they cannot see. `network` says
/// where the classifiers are.
const BESIDE_THE_LADDER: &[(Kind, &str, &[&str], &str)] = &[
    (
        Kind::Arguments,
        "raw_tracepoint",
        &["sched_process_exec"],
        "nothing",
    ),
    (Kind::Dns, "classifier", CLASSIFIERS, BLIND_CLASSIFIER),
    (Kind::Imds, "classifier", CLASSIFIERS, BLIND_CLASSIFIER),
    (Kind::Packet, "classifier", CLASSIFIERS, BLIND_CLASSIFIER),
];
const CLASSIFIERS: &[&str] = &["classifier/ingress", "classifier/egress"];
const BLIND_CLASSIFIER: &str = "interfaces without Ethernet headers, packets inside of tunnels, \
                                fragments but the first";

fn events(view: &View<'_>) -> Value {
    let mut events = Map::new();
    for rung in view.probes.rungs() {
        let (emitted, lost) = view.counts.of(rung.kind);
        let delivered = view.delivered.get(rung.kind as usize).copied().unwrap_or(0);
        events.insert(
            rung.kind.name().to_string(),
            json!({
                "rung": rung.rung,
                "hooks": rung.hooks,
                "blind_to": rung.blind_to,
                "notes": rung.notes,
                "emitted": emitted,
                "delivered": delivered,
                "lost": lost,
            }),
        );
    }
    for (kind, rung, hooks, blind_to) in BESIDE_THE_LADDER {
        let (emitted, lost) = view.counts.of(*kind);
        let delivered = view.delivered.get(*kind as usize).copied().unwrap_or(0);
        events.insert(
            kind.name().to_string(),
            json!({ "rung": rung, "hooks": hooks, "blind_to": blind_to, "notes": [],
                    "emitted": emitted, "delivered": delivered, "lost": lost }),
        );
    }
    Value::Object(events)
}

/// What is known of sessions of users, and how many messages changed nothing, by the reason;
/// `flood` is that their process had sent too many.
fn sessions(view: &View<'_>) -> Value {
    let (entries, limit) = view.sessions.size();
    let flood = view.counts.lost.get(SESSION_FLOOD).copied().unwrap_or(0);
    let refused = view.sessions.refused().chain([("flood", flood)]);
    json!({
        "entries": entries,
        "limit": limit,
        "without_user": view.sessions.without_user,
        "refused": refused.collect::<BTreeMap<_, _>>(),
    })
}

fn policies(report: &Report) -> Value {
    let policies = report.policies.iter().map(|policy| {
        let errors: Vec<String> = policy.problems().iter().map(ToString::to_string).collect();
        let mut summary = policy.summary();
        if let Some(fields) = summary.as_object_mut() {
            fields.insert("errors".to_string(), errors.into());
        }
        summary
    });
    policies.collect()
}

fn rules(rules: &RuleSet) -> Value {
    let (mut allowed, mut dropped) = (0u64, 0u64);
    for rule in rules.all() {
        allowed += rule.limiter.allowed();
        dropped += rule.limiter.dropped();
    }
    json!({ "matches_reported": allowed, "matches_limited": dropped })
}

fn variables(store: &Store) -> Value {
    let (scopes, bytes) = store.size();
    let dropped = store.counters();
    json!({
        "declared": store.declarations().all().len(),
        "scopes": scopes,
        "bytes": bytes,
        "evicted_scopes": dropped.evicted,
        "cut_texts": dropped.cut,
    })
}

fn self_test(last: &LastTest) -> Value {
    let since = last
        .at
        .duration_since(SystemTime::UNIX_EPOCH)
        .unwrap_or_default();
    let mut at = String::new();
    write_time(&mut at, u64::try_from(since.as_nanos()).unwrap_or(0));
    json!({
        "last": at.trim_matches('"'),
        "succeeded": last.outcome.succeeded,
        "failed": last.outcome.failed,
        "reason": last.outcome.reason,
    })
}
