//! The status as text.
//!
//! What the roles say is read key by key; a key that is missing or of another kind leaves its line
//! out, so a status of another version still prints.

use std::fmt::Write as _;

use serde_json::Value;

use super::{delivery, probe, View};
use crate::sys::terminal::printable;

/// The whole text.
pub fn render(view: &View) -> String {
    let mut text = String::from("\nRuntime Security\n================\n\n");
    if let Some(reason) = &view.off {
        add(&mut text, 2, &format!("Not enabled: {reason}"));
        return text;
    }
    add(
        &mut text,
        2,
        &format!("Connected: {}", view.probe.is_ok() && view.agent.is_ok()),
    );
    for (name, role) in [
        ("system-probe", &view.probe),
        ("security-agent", &view.agent),
    ] {
        match role {
            Ok(role) => add(&mut text, 2, &format!("{name}: {}", running(role))),
            Err(error) => add(&mut text, 2, &format!("{name}: not running: {error}")),
        }
    }
    match &view.probe {
        Ok(status) => probe::add(&mut text, status),
        Err(_) => add_failure(&mut text),
    }
    if let Ok(agent) = &view.agent {
        delivery::add(&mut text, agent);
    }
    let warnings = [&view.probe, &view.agent].map(|role| {
        let warnings = role.as_ref().ok().and_then(|role| role.get("warnings"));
        texts(warnings)
    });
    add_list(&mut text, "Warnings", &warnings.concat());
    text
}

fn running(probe: &Value) -> String {
    let mut text = String::from("running");
    if let Some(pid) = number(probe, "pid") {
        let _ = write!(text, ", pid {pid}");
    }
    if let Some(version) = probe.get("version").and_then(Value::as_str) {
        let _ = write!(text, ", version {version}");
    }
    if let Some(seconds) = number(probe, "uptime_seconds") {
        let _ = write!(text, ", up {}", span(seconds));
    }
    if let Some(bytes) = at(probe, "/memory/resident_bytes") {
        let _ = write!(text, ", memory {}", size(bytes));
    }
    text
}

fn add_list(text: &mut String, title: &str, items: &[&str]) {
    if items.is_empty() {
        return;
    }
    heading(text, title);
    for item in items {
        add(text, 4, &format!("- {item}"));
    }
}

fn add_failure(text: &mut String) {
    text.push('\n');
    add(
        text,
        2,
        "Could not reach security agent: system-probe does not answer.",
    );
    add(
        text,
        2,
        "Make sure the agent is running before requesting the status.",
    );
}

pub(super) fn heading(text: &mut String, title: &str) {
    let _ = writeln!(text, "\n  {title}\n  {}", "-".repeat(title.len()));
}

pub(super) fn add(text: &mut String, indent: usize, line: &str) {
    let _ = writeln!(text, "{:indent$}{}", "", printable(line));
}

pub(super) fn number(value: &Value, key: &str) -> Option<u64> {
    value.get(key).and_then(Value::as_u64)
}

pub(super) fn texts(value: Option<&Value>) -> Vec<&str> {
    let items = value.and_then(Value::as_array);
    items
        .into_iter()
        .flatten()
        .filter_map(Value::as_str)
        .collect()
}

/// The number at this JSON pointer.
pub(super) fn at(value: &Value, pointer: &str) -> Option<u64> {
    value.pointer(pointer).and_then(Value::as_u64)
}

/// The text at this JSON pointer; empty when there is none.
pub(super) fn text_at<'a>(value: &'a Value, pointer: &str) -> &'a str {
    value.pointer(pointer).and_then(Value::as_str).unwrap_or("")
}

/// Names of numbers above zero with them, or `none`.
pub(super) fn counts(value: Option<&Value>) -> String {
    let members = value.and_then(Value::as_object);
    let numbers = members
        .into_iter()
        .flatten()
        .filter_map(|(name, number)| Some((name, number.as_u64().filter(|number| *number > 0)?)));
    let parts: Vec<String> = numbers
        .map(|(name, number)| format!("{name} {number}"))
        .collect();
    match parts.is_empty() {
        true => "none".to_owned(),
        false => parts.join(", "),
    }
}

/// Bytes in a unit that people read.
pub(super) fn size(bytes: u64) -> String {
    match bytes {
        0..10_000 => format!("{bytes} B"),
        10_000..10_000_000 => format!("{} kB", bytes / 1_000),
        _ => format!("{}.{} MB", bytes / 1_000_000, bytes / 100_000 % 10),
    }
}

/// Seconds in the two largest units.
pub(super) fn span(seconds: u64) -> String {
    let (minutes, hours, days) = (seconds / 60, seconds / 3600, seconds / 86_400);
    match () {
        () if days > 0 => format!("{days}d{}h", hours % 24),
        () if hours > 0 => format!("{hours}h{}m", minutes % 60),
        () if minutes > 0 => format!("{minutes}m{}s", seconds % 60),
        () => format!("{seconds}s"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn view(probe: Result<Value, String>) -> View {
        View {
            off: None,
            probe,
            agent: Ok(json!({"pid": 12})),
        }
    }

    #[test]
    fn a_running_agent_is_shown_with_rungs_policies_and_tests() {
        let text = render(&view(Ok(json!({
            "pid": 11, "version": "0.1.0", "uptime_seconds": 3723,
            "events": {"open": {"rung": "tracepoint", "hooks": ["sys_exit_openat"],
                "blind_to": "io_uring", "delivered": 5, "lost": 1}},
            "policies": [{"name": "default.policy", "version": "1.0", "source": "embedded",
                "status": "loaded", "rules_loaded": 20, "rules_failed": 1, "errors": ["x\u{1b}y"]}],
            "self_test": {"last": "2026-01-02T03:04:05Z", "succeeded": ["open"], "failed": []},
            "warnings": ["no BTF"],
        }))));
        for expected in [
            "Runtime Security\n================\n",
            "Connected: true",
            "system-probe: running, pid 11, version 0.1.0, up 1h2m",
            "security-agent: running, pid 12",
            "open       tracepoint (sys_exit_openat): delivered 5, lost 1",
            "cannot see io_uring",
            "default.policy 1.0 (from embedded): loaded, 20 rules loaded, 1 failed",
            "x\\u{1b}y",
            "Last execution: 2026-01-02T03:04:05Z",
            "Failed: none",
            "- no BTF",
        ] {
            assert!(text.contains(expected), "{expected} in {text}");
        }
    }

    #[test]
    fn a_status_of_another_shape_still_prints() {
        for odd in [
            json!(null),
            json!([]),
            json!({"events": [], "policies": {}, "self_test": 3}),
        ] {
            assert!(render(&view(Ok(odd))).contains("system-probe: running"));
        }
    }

    #[test]
    fn what_is_off_or_stopped_says_so() {
        let stopped = render(&view(Err("nobody on /s".to_owned())));
        assert!(stopped.contains("not running: nobody on /s") && stopped.contains("Make sure"));
        let mut off = view(Err(String::new()));
        off.off = Some("x is false (y)".to_owned());
        assert!(render(&off).ends_with("Not enabled: x is false (y)\n"));
    }
}
