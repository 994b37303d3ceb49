//! The text format of Prometheus.
//!
//! The status of both roles enters, as JSON; metrics leave, by the tables below. A number that the
//! status does not have leaves its metric out.

use std::fmt::Write as _;

use serde_json::Value;

/// What every name begins with.
const PREFIX: &str = "runtime_security";

/// A metric with one value.
struct Single {
    name: &'static str,
    kind: &'static str,
    help: &'static str,
    pointer: &'static str,
}

/// A metric with one value for each member of an object or element of a list.
struct Family {
    name: &'static str,
    kind: &'static str,
    help: &'static str,
    /// Where the object or the list stands.
    pointer: &'static str,
    /// What the members are, as a label.
    label: &'static str,
    /// Where an element of a list has its label; members of an object have their name.
    named_by: &'static str,
    /// Where the number of a member is; empty when the member is the number.
    value: &'static str,
}

const COUNTER: &str = "counter";
const GAUGE: &str = "gauge";

const PROBE: &[Single] = &[
    single(
        "uptime_seconds",
        GAUGE,
        "Seconds since system-probe started.",
        "/uptime_seconds",
    ),
    single(
        "process_cache_entries",
        GAUGE,
        "Processes that are kept in memory.",
        "/process_cache/entries",
    ),
    single(
        "rule_matches_reported_total",
        COUNTER,
        "Matches of rules that became events.",
        "/rules/matches_reported",
    ),
    single(
        "rule_matches_limited_total",
        COUNTER,
        "Matches of rules that the rate limiters dropped.",
        "/rules/matches_limited",
    ),
    single(
        "slow_turns_total",
        COUNTER,
        "Turns of the loop above 50 ms.",
        "/slow_turns",
    ),
    single(
        "buffer_bytes",
        GAUGE,
        "Bytes of the buffers between kernel and agent.",
        "/buffer_bytes",
    ),
    single(
        "resident_bytes",
        GAUGE,
        "Resident memory of system-probe.",
        "/memory/resident_bytes",
    ),
    single(
        "unacknowledged_events",
        GAUGE,
        "Events that security-agent has not taken yet.",
        "/journal/unacknowledged",
    ),
];

const PROBE_FAMILIES: &[Family] = &[
    family(
        "events_emitted_total",
        "Records that the probes made.",
        "/events",
        "type",
        "emitted",
    ),
    family(
        "events_delivered_total",
        "Records that arrived in system-probe.",
        "/events",
        "type",
        "delivered",
    ),
    family(
        "events_lost_total",
        "Records that the buffers could not take.",
        "/events",
        "type",
        "lost",
    ),
    family(
        "losses_total",
        "What was lost behind the buffers, by stage.",
        "/loss",
        "stage",
        "",
    ),
];

const AGENT: &[Single] = &[
    single(
        "agent_uptime_seconds",
        GAUGE,
        "Seconds since security-agent started.",
        "/uptime_seconds",
    ),
    single(
        "agent_resident_bytes",
        GAUGE,
        "Resident memory of security-agent.",
        "/memory/resident_bytes",
    ),
    single(
        "received_events_total",
        COUNTER,
        "Events that came from system-probe.",
        "/received",
    ),
    single(
        "spool_bytes",
        GAUGE,
        "Bytes of the spool.",
        "/delivery/spool/bytes",
    ),
    single(
        "stdout_lost_total",
        COUNTER,
        "Events that standard output did not take.",
        "/outputs/stdout/lost",
    ),
    single(
        "file_lost_total",
        COUNTER,
        "Events that the output file did not take.",
        "/outputs/file/lost",
    ),
];

const AGENT_FAMILIES: &[Family] = &[
    endpoint(
        "endpoint_waiting_events",
        GAUGE,
        "Events that wait for the endpoint.",
        "waiting_events",
    ),
    endpoint(
        "endpoint_oldest_seconds",
        GAUGE,
        "Age of the oldest of them.",
        "oldest_seconds",
    ),
    endpoint(
        "endpoint_sent_events_total",
        COUNTER,
        "Events that the endpoint accepted.",
        "sent_events",
    ),
    endpoint(
        "endpoint_sent_batches_total",
        COUNTER,
        "Requests that the endpoint accepted.",
        "sent_batches",
    ),
    endpoint(
        "endpoint_retries_total",
        COUNTER,
        "Requests that failed and are tried again.",
        "retries",
    ),
    endpoint(
        "endpoint_dropped_events_total",
        COUNTER,
        "Events that the endpoint refused or that no request can hold.",
        "dropped",
    ),
    endpoint(
        "endpoint_dropped_for_size_total",
        COUNTER,
        "Events that the spool had no room for before the endpoint had them.",
        "dropped_for_size",
    ),
    endpoint(
        "endpoint_dropped_for_age_total",
        COUNTER,
        "Events that became too old before the endpoint had them.",
        "dropped_for_age",
    ),
    endpoint(
        "endpoint_damaged_events_total",
        COUNTER,
        "Events that could not be read from the spool again.",
        "damaged",
    ),
];

const fn single(
    name: &'static str,
    kind: &'static str,
    help: &'static str,
    pointer: &'static str,
) -> Single {
    Single {
        name,
        kind,
        help,
        pointer,
    }
}

const fn family(
    name: &'static str,
    help: &'static str,
    pointer: &'static str,
    label: &'static str,
    value: &'static str,
) -> Family {
    Family {
        name,
        kind: COUNTER,
        help,
        pointer,
        label,
        named_by: "",
        value,
    }
}

const fn endpoint(
    name: &'static str,
    kind: &'static str,
    help: &'static str,
    value: &'static str,
) -> Family {
    Family {
        name,
        kind,
        help,
        pointer: "/delivery/endpoints",
        label: "endpoint",
        named_by: "url",
        value,
    }
}

/// The whole text; `probe` is the status of system-probe, when it answers, and `agent` that of
/// this role.
pub fn render(probe: Option<&Value>, agent: &Value) -> String {
    let mut text = String::new();
    let up = u8::from(probe.is_some());
    head(&mut text, "up", GAUGE, "Whether system-probe answers.");
    let _ = writeln!(text, "{PREFIX}_up {up}");
    if let Some(probe) = probe {
        add_singles(&mut text, PROBE, probe);
        add_families(&mut text, PROBE_FAMILIES, probe);
    }
    add_singles(&mut text, AGENT, agent);
    add_families(&mut text, AGENT_FAMILIES, agent);
    text
}

fn add_singles(text: &mut String, metrics: &[Single], status: &Value) {
    for metric in metrics {
        if let Some(number) = status.pointer(metric.pointer).and_then(Value::as_u64) {
            head(text, metric.name, metric.kind, metric.help);
            let _ = writeln!(text, "{PREFIX}_{} {number}", metric.name);
        }
    }
}

fn add_families(text: &mut String, families: &[Family], status: &Value) {
    for family in families {
        let members = match status.pointer(family.pointer) {
            Some(Value::Object(members)) => members
                .iter()
                .map(|(name, member)| (name.as_str(), member))
                .collect(),
            Some(Value::Array(elements)) => elements
                .iter()
                .filter_map(|element| Some((element.get(family.named_by)?.as_str()?, element)))
                .collect(),
            _ => Vec::new(),
        };
        let numbers = members.into_iter().filter_map(|(name, member)| {
            let number = match family.value {
                "" => member.as_u64(),
                key => member.get(key)?.as_u64(),
            };
            Some((name, number?))
        });
        let mut numbers = numbers.peekable();
        if numbers.peek().is_some() {
            head(text, family.name, family.kind, family.help);
        }
        let mut before: Vec<&str> = Vec::new();
        for (name, number) in numbers {
            // Two accounts at one URL; a name that came twice would make the text invalid.
            let count = before.iter().filter(|one| **one == name).count();
            before.push(name);
            let label = match count {
                0 => escape(name),
                more => format!("{} #{}", escape(name), more + 1),
            };
            let _ = writeln!(
                text,
                "{PREFIX}_{}{{{}=\"{label}\"}} {number}",
                family.name, family.label
            );
        }
    }
}

fn head(text: &mut String, name: &str, kind: &str, help: &str) {
    let _ = writeln!(text, "# HELP {PREFIX}_{name} {help}");
    let _ = writeln!(text, "# TYPE {PREFIX}_{name} {kind}");
}

/// The value of a label, as the format wants it.
fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '\\' => escaped.push_str("\\\\"),
            '"' => escaped.push_str("\\\""),
            '\n' => escaped.push_str("\\n"),
            other => escaped.push(other),
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn every_loss_of_every_endpoint_is_told() {
        let endpoint = json!({"url": "https://x", "dropped": 1, "dropped_for_size": 2,
            "dropped_for_age": 3, "damaged": 4});
        let agent = json!({"delivery": {"endpoints": [endpoint, endpoint]}});
        let text = render(None, &agent);
        for label in ["https://x", "https://x #2"] {
            for (name, number) in [
                ("dropped_events", 1),
                ("dropped_for_size", 2),
                ("dropped_for_age", 3),
                ("damaged_events", 4),
            ] {
                let line = format!(
                    "runtime_security_endpoint_{name}_total{{endpoint=\"{label}\"}} {number}"
                );
                assert_eq!(
                    text.lines().filter(|found| *found == line).count(),
                    1,
                    "{line} in {text}"
                );
            }
        }
    }

    #[test]
    fn both_roles_become_metrics() {
        let probe = json!({
            "uptime_seconds": 7,
            "events": {"open": {"emitted": 5, "delivered": 4, "lost": 1}, "exec": {"emitted": 2}},
            "loss": {"late": 3},
        });
        let agent = json!({
            "received": 9,
            "delivery": {"endpoints": [{"url": "https://x/\"y\"", "waiting_events": 2}], "spool": {"bytes": 8}},
            "outputs": {"stdout": null},
        });
        let text = render(Some(&probe), &agent);
        for line in [
            "runtime_security_up 1",
            "# TYPE runtime_security_uptime_seconds gauge",
            "runtime_security_uptime_seconds 7",
            "runtime_security_events_emitted_total{type=\"open\"} 5",
            "runtime_security_events_emitted_total{type=\"exec\"} 2",
            "runtime_security_events_lost_total{type=\"open\"} 1",
            "runtime_security_losses_total{stage=\"late\"} 3",
            "runtime_security_received_events_total 9",
            "runtime_security_spool_bytes 8",
            "runtime_security_endpoint_waiting_events{endpoint=\"https://x/\\\"y\\\"\"} 2",
        ] {
            assert!(text.lines().any(|found| found == line), "{line} in {text}");
        }
        assert!(!text.contains("stdout"));
        assert!(render(None, &agent).starts_with("# HELP runtime_security_up"));
    }
}
