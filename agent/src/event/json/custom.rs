//! The agent's own events: a rule set was loaded, the self-test ran, events or a hook were lost.
//!
//! They have the same `agent`, `title` and `date` as events of rules; the rule id names them.

use super::write_host;
use super::writer::Object;
use crate::event::model::HostInfo;

/// The `service` of every event that the agent tells of itself.
const SERVICE: &str = "runtime-security-agent";

fn custom(
    rule_id: &str,
    title: &str,
    time: u64,
    host: &HostInfo,
    fill: impl FnOnce(&mut Object<'_>),
) -> String {
    let mut out = String::with_capacity(512);
    let mut object = Object::begin(&mut out);
    object.object("agent", |agent| {
        agent.text("rule_id", rule_id);
        write_host(agent, host);
    });
    object.text("title", title);
    object.time("date", time);
    object.text("service", SERVICE);
    fill(&mut object);
    object.end();
    out
}

/// A rule set was loaded. `policies` and `filters` are JSON already: the list of policies with
/// the state of their rules, and what the kernel filters by; `time` is in nanoseconds since the
/// epoch.
pub fn ruleset_loaded(host: &HostInfo, time: u64, policies: &str, filters: Option<&str>) -> String {
    custom(
        "ruleset_loaded",
        "New ruleset loaded",
        time,
        host,
        |object| {
            object.raw("policies", policies);
            if let Some(filters) = filters {
                object.raw("filters", filters);
            }
        },
    )
}

/// The agent runs with this policy, given as JSON: its name, version, source and status; `time` is
/// in nanoseconds since the epoch.
pub fn heartbeat(host: &HostInfo, time: u64, policy: &str) -> String {
    custom("heartbeat", "Heartbeat", time, host, |object| {
        object.raw("policy", policy);
    })
}

/// The self-test ran: the ids of the tests whose event came back, and of those whose did not;
/// `time` is in nanoseconds since the epoch.
pub fn self_test<T: AsRef<str>>(
    host: &HostInfo,
    time: u64,
    succeeded: &[T],
    failed: &[T],
) -> String {
    custom("self_test", "Self tests result", time, host, |object| {
        object.all_texts("succeeded_tests", succeeded);
        object.all_texts("failed_tests", failed);
    })
}

/// Events were lost: where (`stage`: the buffer or the step that lost them) and how many of each
/// type; `time` is in nanoseconds since the epoch.
pub fn lost_events(host: &HostInfo, time: u64, stage: &str, per_event: &[(&str, u64)]) -> String {
    custom("lost_events", "Lost events", time, host, |object| {
        object.text("map", stage);
        object.number("lost", per_event.iter().map(|(_, lost)| lost).sum::<u64>());
        object.object("per_event", |object| {
            for (kind, lost) in per_event {
                object.positive(kind, *lost);
            }
        });
    })
}

/// Something took a hook away: its name (`hook`), where it was, such as the interface of a
/// classifier (`place`), and whether it is there again; `time` is in nanoseconds since the epoch.
pub fn hook_lost(
    host: &HostInfo,
    time: u64,
    hook: &str,
    place: &str,
    attached_again: bool,
) -> String {
    custom("hook_lost", "Hook lost", time, host, |object| {
        object.text("hook", hook);
        object.text("place", place);
        object.boolean("attached_again", attached_again);
    })
}
