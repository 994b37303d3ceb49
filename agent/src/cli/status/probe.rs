//! What system-probe says, as text.

use serde_json::Value;

use super::text::{add as line, at, counts, heading, number, size, text_at, texts};

/// Appends everything that is known of system-probe.
pub(super) fn add(text: &mut String, probe: &Value) {
    add_environment(text, probe);
    add_events(text, probe);
    add_losses(text, probe);
    add_policies(text, probe);
    add_self_tests(text, probe);
}

fn add_environment(text: &mut String, probe: &Value) {
    let mut lines = Vec::new();
    let release = text_at(probe, "/kernel/release");
    if !release.is_empty() {
        let lockdown = match text_at(probe, "/kernel/lockdown") {
            "" => "unknown",
            lockdown => lockdown,
        };
        lines.push(format!("Kernel: {release}, lockdown: {lockdown}"));
    }
    let origin = text_at(probe, "/constants/from");
    if !origin.is_empty() {
        let missing = texts(probe.pointer("/constants/missing")).join(", ");
        let missing = match missing.as_str() {
            "" => "none missing",
            _ => &format!("missing: {missing}"),
        };
        lines.push(format!("Offsets: from {origin}, {missing}"));
    }
    if let Some(bytes) = at(probe, "/buffer_bytes") {
        lines.push(format!("Buffers: {} between kernel and agent", size(bytes)));
    }
    if let (Some(entries), Some(limit)) = (
        at(probe, "/process_cache/entries"),
        at(probe, "/process_cache/limit"),
    ) {
        lines.push(format!("Processes: {entries} of at most {limit} in memory"));
    }
    if let (Some(count), Some(p99)) = (at(probe, "/turns/count"), at(probe, "/turns/p99_us")) {
        let slow = at(probe, "/slow_turns").unwrap_or(0);
        lines.push(format!(
            "Loop: {count} turns, 99 of 100 below {p99} us, {slow} above 50 ms"
        ));
    }
    if lines.is_empty() {
        return;
    }
    heading(text, "Environment");
    for found in lines {
        line(text, 4, &found);
    }
}

fn add_events(text: &mut String, probe: &Value) {
    let Some(events) = probe.get("events").and_then(Value::as_object) else {
        return;
    };
    heading(text, "Events");
    for (name, event) in events {
        let rung = event.get("rung").and_then(Value::as_str).unwrap_or("none");
        let hooks = texts(event.get("hooks")).join(", ");
        let hooks = if hooks.is_empty() {
            hooks
        } else {
            format!(" ({hooks})")
        };
        let count = |key| number(event, key).unwrap_or(0);
        let counts = format!("delivered {}, lost {}", count("delivered"), count("lost"));
        line(text, 4, &format!("{name:<10} {rung}{hooks}: {counts}"));
        let blind = event.get("blind_to").and_then(Value::as_str).unwrap_or("");
        if !blind.is_empty() && blind != "nothing" {
            line(text, 15, &format!("cannot see {blind}"));
        }
        for note in texts(event.get("notes")) {
            line(text, 15, note);
        }
    }
}

/// What was lost behind the buffers, what the rules' limiters held back, and what the kernel leaves
/// out.
fn add_losses(text: &mut String, probe: &Value) {
    heading(text, "Losses and Limits");
    line(
        text,
        4,
        &format!("Lost by stage: {}", counts(probe.get("loss"))),
    );
    if let Some(limited) = at(probe, "/rules/matches_limited") {
        let reported = at(probe, "/rules/matches_reported").unwrap_or(0);
        line(
            text,
            4,
            &format!("Matches of rules: {reported} reported, {limited} limited"),
        );
    }
    let gates = probe.get("filters").and_then(Value::as_object);
    for (name, gate) in gates.into_iter().flatten() {
        let names = number(gate, "names").map_or(String::new(), |names| format!(", {names} names"));
        line(
            text,
            4,
            &format!("Kernel filter of {name}: {}{names}", text_at(gate, "/mode")),
        );
    }
}

fn add_policies(text: &mut String, probe: &Value) {
    let Some(policies) = probe.get("policies").and_then(Value::as_array) else {
        return;
    };
    heading(text, "Policies");
    for policy in policies {
        let word = |key| policy.get(key).and_then(Value::as_str).unwrap_or("");
        let version = match word("version") {
            "" => String::new(),
            version => format!(" {version}"),
        };
        let loaded = number(policy, "rules_loaded").unwrap_or(0);
        let failed = number(policy, "rules_failed").unwrap_or(0);
        let (name, source, status) = (word("name"), word("source"), word("status"));
        let found = format!(
            "{name}{version} (from {source}): {status}, {loaded} rules loaded, {failed} failed"
        );
        line(text, 4, &found);
        for error in texts(policy.get("errors")) {
            line(text, 6, error);
        }
    }
}

fn add_self_tests(text: &mut String, probe: &Value) {
    heading(text, "Self Tests");
    let Some(test) = probe.get("self_test").filter(|test| test.is_object()) else {
        line(text, 4, "none has run yet");
        return;
    };
    let names = |key| match texts(test.get(key)).join(", ") {
        empty if empty.is_empty() => "none".to_owned(),
        names => names,
    };
    let last = test.get("last").and_then(Value::as_str).unwrap_or("never");
    line(text, 4, &format!("Last execution: {last}"));
    line(text, 4, &format!("Succeeded: {}", names("succeeded")));
    line(text, 4, &format!("Failed: {}", names("failed")));
    let reason = test.get("reason").and_then(Value::as_str).unwrap_or("");
    if !reason.is_empty() {
        line(text, 4, &format!("Reason: {reason}"));
    }
}
