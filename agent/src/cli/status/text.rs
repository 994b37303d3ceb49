//! The status as text.
//!
//! What system-probe says is read key by key; a key that is missing or of another kind leaves its
//! line out, so a status of another version still prints.

use std::fmt::Write as _;

use serde_json::Value;

use super::View;
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
    match &view.probe {
        Ok(probe) => add(&mut text, 2, &format!("system-probe: {}", running(probe))),
        Err(error) => add(&mut text, 2, &format!("system-probe: not running: {error}")),
    }
    match &view.agent {
        Ok(pid) => add(&mut text, 2, &format!("security-agent: running, pid {pid}")),
        Err(error) => add(
            &mut text,
            2,
            &format!("security-agent: not running: {error}"),
        ),
    }
    if let Ok(probe) = &view.probe {
        add_events(&mut text, probe);
        add_policies(&mut text, probe);
        add_self_tests(&mut text, probe);
        add_list(&mut text, "Warnings", texts(probe.get("warnings")));
    } else {
        add_failure(&mut text);
    }
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
    text
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
        add(text, 4, &format!("{name:<10} {rung}{hooks}: {counts}"));
        let blind = event.get("blind_to").and_then(Value::as_str).unwrap_or("");
        if !blind.is_empty() && blind != "nothing" {
            add(text, 15, &format!("cannot see {blind}"));
        }
        for note in texts(event.get("notes")) {
            add(text, 15, note);
        }
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
        let line = format!(
            "{name}{version} (from {source}): {status}, {loaded} rules loaded, {failed} failed"
        );
        add(text, 4, &line);
        for error in texts(policy.get("errors")) {
            add(text, 6, error);
        }
    }
}

fn add_self_tests(text: &mut String, probe: &Value) {
    heading(text, "Self Tests");
    let Some(test) = probe.get("self_test").filter(|test| test.is_object()) else {
        add(text, 4, "none has run yet");
        return;
    };
    let names = |key| match texts(test.get(key)).join(", ") {
        empty if empty.is_empty() => "none".to_owned(),
        names => names,
    };
    let last = test.get("last").and_then(Value::as_str).unwrap_or("never");
    add(text, 4, &format!("Last execution: {last}"));
    add(text, 4, &format!("Succeeded: {}", names("succeeded")));
    add(text, 4, &format!("Failed: {}", names("failed")));
    let reason = test.get("reason").and_then(Value::as_str).unwrap_or("");
    if !reason.is_empty() {
        add(text, 4, &format!("Reason: {reason}"));
    }
}

fn add_list(text: &mut String, title: &str, items: Vec<&str>) {
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

fn heading(text: &mut String, title: &str) {
    let _ = writeln!(text, "\n  {title}\n  {}", "-".repeat(title.len()));
}

fn add(text: &mut String, indent: usize, line: &str) {
    let _ = writeln!(text, "{:indent$}{}", "", printable(line));
}

fn number(value: &Value, key: &str) -> Option<u64> {
    value.get(key).and_then(Value::as_u64)
}

fn texts(value: Option<&Value>) -> Vec<&str> {
    let items = value.and_then(Value::as_array);
    items
        .into_iter()
        .flatten()
        .filter_map(Value::as_str)
        .collect()
}

/// Seconds in the two largest units.
fn span(seconds: u64) -> String {
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
            agent: Ok(12),
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
