//! An event as one line for people.
//!
//! The JSON of an event enters, a line leaves: when, which rule, what happened to which file, and
//! which process did it. Fields that are not there are left out; nothing in the line can command a
//! terminal.

use std::fmt::Write as _;

use serde_json::Value;

use crate::sys::terminal::printable;

/// Arguments of a process that are shown.
const ARGUMENTS: usize = 8;

/// The line, without its end; empty for a self-test that went well, which is in system-probe's log
/// already. JSON that cannot be read is shown as it is.
pub fn line(json: &[u8]) -> String {
    let text = match serde_json::from_slice::<Value>(json) {
        Ok(event) => describe(&event),
        Err(_) => String::from_utf8_lossy(json).into_owned(),
    };
    printable(&text).into_owned()
}

fn describe(event: &Value) -> String {
    let rule = text(event, "/agent/rule_id");
    if rule == "self_test" {
        return self_test(event);
    }
    let mut line = format!("{} {rule}: {}", text(event, "/date"), text(event, "/title"));
    match rule {
        "ruleset_loaded" => line.push_str(&ruleset(event)),
        _ => {
            line.push_str(&action(event));
            line.push_str(&process(event));
        }
    }
    line
}

/// What happened, and to what.
fn action(event: &Value) -> String {
    let name = text(event, "/evt/name");
    let mut part = if name.is_empty() {
        String::new()
    } else {
        format!(" | {name}")
    };
    let path = text(event, "/file/path");
    if !path.is_empty() && name != "exec" {
        let _ = write!(part, " {path}");
    }
    let outcome = text(event, "/evt/outcome");
    if !outcome.is_empty() && outcome != "Success" {
        let _ = write!(part, " ({outcome})");
    }
    part
}

/// Who did it.
fn process(event: &Value) -> String {
    let Some(pid) = event.pointer("/process/pid").and_then(Value::as_u64) else {
        return String::new();
    };
    let executable = match text(event, "/process/executable/path") {
        "" => text(event, "/process/comm"),
        path => path,
    };
    let mut part = format!(" | {executable}");
    let arguments = event.pointer("/process/args").and_then(Value::as_array);
    let arguments: Vec<&str> = arguments
        .into_iter()
        .flatten()
        .filter_map(Value::as_str)
        .collect();
    for argument in arguments.iter().take(ARGUMENTS) {
        let _ = write!(part, " {argument}");
    }
    if arguments.len() > ARGUMENTS {
        part.push_str(" …");
    }
    let _ = write!(part, " (pid {pid}");
    for (word, pointer) in [("", "/process/user"), ("container ", "/container/id")] {
        match text(event, pointer) {
            "" => {}
            value => {
                let _ = write!(part, ", {word}{value}");
            }
        }
    }
    part.push(')');
    part
}

fn ruleset(event: &Value) -> String {
    let policies = event.get("policies").and_then(Value::as_array);
    let rules = policies
        .into_iter()
        .flatten()
        .filter_map(|policy| policy.get("rules"));
    let rules = rules.filter_map(Value::as_array).flatten();
    let (loaded, other): (Vec<&Value>, Vec<&Value>) =
        rules.partition(|rule| text(rule, "/status") == "loaded");
    let policies = policies.map_or(0, Vec::len);
    format!(
        " | policies {policies}, rules loaded {}, not loaded {}",
        loaded.len(),
        other.len()
    )
}

/// The words of `runtime self-test`.
fn self_test(event: &Value) -> String {
    let failed = event.get("failed_tests").and_then(Value::as_array);
    let failed: Vec<&str> = failed
        .into_iter()
        .flatten()
        .filter_map(Value::as_str)
        .collect();
    match failed.as_slice() {
        [] => String::new(),
        names => format!(
            "Runtime self test: error: no event came for {}",
            names.join(", ")
        ),
    }
}

fn text<'a>(value: &'a Value, pointer: &str) -> &'a str {
    value.pointer(pointer).and_then(Value::as_str).unwrap_or("")
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn events_read_as_lines() {
        let chmod = json!({
            "agent": {"rule_id": "tmp_chmod"}, "title": "World writable", "date": "D",
            "evt": {"name": "chmod", "outcome": "Success"}, "file": {"path": "/tmp/a\u{1b}b"},
            "process": {"pid": 4, "user": "root", "executable": {"path": "/bin/chmod"},
                "args": ["777", "/tmp/x"]},
        });
        let refused = json!({
            "agent": {"rule_id": "r"}, "title": "T", "date": "D",
            "evt": {"name": "open", "outcome": "Refused"}, "file": {"path": "/etc/shadow"},
            "process": {"pid": 4, "comm": "cat", "args": ["1","2","3","4","5","6","7","8","9"]},
            "container": {"id": "abc"},
        });
        let loaded = json!({
            "agent": {"rule_id": "ruleset_loaded"}, "title": "New ruleset loaded", "date": "D",
            "policies": [{"rules": [{"status": "loaded"}, {"status": "syntax_error"}]}],
        });
        let ok = json!({"agent": {"rule_id": "self_test"}, "failed_tests": []});
        let ko = json!({"agent": {"rule_id": "self_test"}, "failed_tests": ["open", "chown"]});
        let cases = [
            (chmod, "D tmp_chmod: World writable | chmod /tmp/a\\u{1b}b | /bin/chmod 777 /tmp/x (pid 4, root)"),
            (refused, "D r: T | open /etc/shadow (Refused) | cat 1 2 3 4 5 6 7 8 … (pid 4, container abc)"),
            (loaded, "D ruleset_loaded: New ruleset loaded | policies 1, rules loaded 1, not loaded 1"),
            (ok, ""),
            (ko, "Runtime self test: error: no event came for open, chown"),
            (json!(3), " : "),
        ];
        for (event, expected) in cases {
            assert_eq!(line(event.to_string().as_bytes()), expected);
        }
        assert_eq!(line(b"{\"cut"), "{\"cut");
    }
}
