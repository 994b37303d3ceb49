//! The shape of Falco's `http_output`: one flat object per event.
//!
//! A line and the host's name enter, a JSON object leaves. `output_fields` has the names that
//! Falco gives to what an event says; fields that the event does not have are left out.

use serde_json::{json, Map, Value};

use super::line::Line;
use crate::forward::summary;
use crate::http::date;

/// Falco's names, and where the event has the value.
const FIELDS: [(&str, &str); 15] = [
    ("evt.type", "/evt/name"),
    ("proc.pid", "/process/pid"),
    ("proc.ppid", "/process/ppid"),
    ("proc.name", "/process/comm"),
    ("proc.exepath", "/process/executable/path"),
    ("proc.pname", "/process/parent/comm"),
    ("user.name", "/process/user"),
    ("user.uid", "/process/uid"),
    ("group.name", "/process/group"),
    ("group.gid", "/process/gid"),
    ("fd.name", "/file/path"),
    ("container.id", "/container/id"),
    ("dd.rule_id", "/agent/rule_id"),
    ("dd.policy_name", "/agent/policy_name"),
    ("dd.event_id", "/event_id"),
];

/// The object; `time` (nanoseconds since the epoch) is that of the record, for events without one.
pub(super) fn object(line: &Line<'_>, hostname: &str, time: u64) -> Value {
    let event: Value = serde_json::from_str(line.event).unwrap_or(Value::Null);
    let date = text(&event, "/date");
    let time = date::from_rfc3339(date).unwrap_or(time);
    let output = match summary::line(line.event.as_bytes()) {
        empty if empty.is_empty() => text(&event, "/title").to_owned(),
        output => output,
    };
    json!({
        "hostname": hostname,
        "output": output,
        "output_fields": fields(&event, time),
        "priority": priority(line, &event),
        "rule": line.rule,
        "source": "syscall",
        "tags": line.tags,
        "time": in_nanoseconds(time),
    })
}

fn fields(event: &Value, time: u64) -> Map<String, Value> {
    let mut fields = Map::new();
    fields.insert("evt.time".to_owned(), time.into());
    for (name, pointer) in FIELDS {
        if let Some(value) = event.pointer(pointer).filter(|value| !value.is_null()) {
            fields.insert(name.to_owned(), value.clone());
        }
    }
    let arguments = event.pointer("/process/args").and_then(Value::as_array);
    let words = event.pointer("/process/argv0").into_iter();
    let words = words.chain(arguments.into_iter().flatten());
    let words: Vec<&str> = words.filter_map(Value::as_str).collect();
    if !words.is_empty() {
        fields.insert("proc.cmdline".to_owned(), words.join(" ").into());
    }
    fields
}

/// What the tags `severity` and `priority` say, in Falco's words; without them events of rules are
/// warnings, and what the agent tells of itself are notices.
fn priority(line: &Line<'_>, event: &Value) -> &'static str {
    let said = line.tags.iter().filter_map(|tag| tag.split_once(':'));
    let mut said = said.filter(|(name, _)| matches!(*name, "severity" | "priority"));
    let named = said.find_map(|(_, value)| match value.to_ascii_lowercase().as_str() {
        "emergency" => Some("Emergency"),
        "alert" => Some("Alert"),
        "critical" => Some("Critical"),
        "high" | "error" => Some("Error"),
        "medium" | "warning" => Some("Warning"),
        "low" | "notice" => Some("Notice"),
        "info" | "informational" => Some("Informational"),
        "debug" => Some("Debug"),
        _ => None,
    });
    let default = match event.pointer("/evt/name") {
        Some(_) => "Warning",
        None => "Notice",
    };
    named.unwrap_or(default)
}

/// RFC 3339 with nine digits of a second, as Falco writes it.
fn in_nanoseconds(time: u64) -> String {
    let mut text = String::new();
    crate::event::json::write_time(&mut text, time);
    let seconds = text.split('.').next().unwrap_or("");
    format!("{seconds}.{:09}Z", time % 1_000_000_000)
}

fn text<'a>(value: &'a Value, pointer: &str) -> &'a str {
    value.pointer(pointer).and_then(Value::as_str).unwrap_or("")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line<'a>(event: &'a str, tags: &[&str]) -> Line<'a> {
        Line {
            rule: "r".to_owned(),
            tags: tags.iter().map(|tag| (*tag).to_owned()).collect(),
            event,
        }
    }

    #[test]
    fn an_event_has_the_shape_of_falco() {
        let event = r#"{"event_id":"s-1","agent":{"rule_id":"r","policy_name":"p"},"title":"T",
            "date":"2026-01-02T03:04:05.678Z","evt":{"name":"open","outcome":"Success"},
            "file":{"path":"/etc/shadow"},"process":{"pid":4,"ppid":1,"uid":0,"user":"root",
            "comm":"cat","executable":{"path":"/bin/cat"},"argv0":"cat","args":["/etc/shadow"],
            "parent":{"comm":"sh"}}}"#;
        let got = object(&line(event, &["type:open"]), "edge-1", 7);
        let expected = json!({
            "hostname": "edge-1",
            "output": "2026-01-02T03:04:05.678Z r: T | open /etc/shadow | /bin/cat /etc/shadow (pid 4, root)",
            "output_fields": {
                "evt.time": 1_767_323_045_678_000_000_u64, "evt.type": "open", "proc.pid": 4,
                "proc.ppid": 1, "proc.name": "cat", "proc.exepath": "/bin/cat",
                "proc.cmdline": "cat /etc/shadow", "proc.pname": "sh", "user.name": "root",
                "user.uid": 0, "fd.name": "/etc/shadow", "dd.rule_id": "r",
                "dd.policy_name": "p", "dd.event_id": "s-1",
            },
            "priority": "Warning", "rule": "r", "source": "syscall", "tags": ["type:open"],
            "time": "2026-01-02T03:04:05.678000000Z",
        });
        assert_eq!(got, expected);
    }

    #[test]
    fn priorities_follow_the_tags() {
        let (ours, own) = (r#"{"evt":{"name":"open"}}"#, r#"{"title":"Heartbeat"}"#);
        let cases: [(&str, &[&str], &str); 6] = [
            (ours, &[], "Warning"),
            (own, &[], "Notice"),
            (own, &["severity:High"], "Error"),
            (ours, &["x", "priority:debug"], "Debug"),
            (ours, &["severity:odd", "severity:info"], "Informational"),
            (ours, &["severity:critical"], "Critical"),
        ];
        for (event, tags, expected) in cases {
            let got = object(&line(event, tags), "h", 1_500_000_000);
            assert_eq!(got["priority"], expected, "{tags:?}");
            assert_eq!(got["time"], "1970-01-01T00:00:01.500000000Z");
        }
        let well = r#"{"agent":{"rule_id":"self_test"},"title":"Self tests result"}"#;
        assert_eq!(
            object(&line(well, &[]), "h", 0)["output"],
            "Self tests result"
        );
    }
}
