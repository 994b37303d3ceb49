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

/// Colours of a terminal (ECMA-48): the time faint, the rule in yellow, and in cyan where the agent
/// speaks of itself.
const FAINT: &str = "\u{1b}[2m";
const YELLOW: &str = "\u{1b}[33m";
const CYAN: &str = "\u{1b}[36m";
const PLAIN: &str = "\u{1b}[0m";

/// The line, without its end; empty for a self-test that went well, which is in system-probe's log
/// already. JSON that cannot be read is shown as it is.
pub fn line(json: &[u8]) -> String {
    match serde_json::from_slice::<Value>(json) {
        Ok(event) => Parts::of(&event).plain(),
        Err(_) => printable(&String::from_utf8_lossy(json)).into_owned(),
    }
}

/// The line with colours for a terminal, and also for a self-test that went well.
pub fn coloured(json: &[u8], colour: bool) -> String {
    let Ok(event) = serde_json::from_slice::<Value>(json) else {
        return line(json);
    };
    let mut parts = Parts::of(&event);
    if parts.is_empty() {
        parts.rest = format!("{} Runtime self test: OK", text(&event, "/date"));
    }
    match colour {
        true => parts.coloured(event.get("evt").is_some()),
        false => parts.plain(),
    }
}

/// What a line is made of.
#[derive(Default)]
struct Parts {
    date: String,
    rule: String,
    rest: String,
}

impl Parts {
    fn of(event: &Value) -> Parts {
        let rule = text(event, "/agent/rule_id");
        if rule == "self_test" {
            return Parts {
                rest: self_test(event),
                ..Parts::default()
            };
        }
        let mut rest = format!(": {}", text(event, "/title"));
        match rule {
            "ruleset_loaded" => rest.push_str(&ruleset(event)),
            _ => {
                rest.push_str(&action(event));
                rest.push_str(&process(event));
            }
        }
        Parts {
            date: text(event, "/date").to_owned(),
            rule: format!(" {rule}"),
            rest,
        }
    }

    fn is_empty(&self) -> bool {
        self.rule.is_empty() && self.rest.is_empty()
    }

    fn plain(&self) -> String {
        printable(&format!("{}{}{}", self.date, self.rule, self.rest)).into_owned()
    }

    fn coloured(&self, is_of_rule: bool) -> String {
        let rule_colour = match is_of_rule {
            true => YELLOW,
            false => CYAN,
        };
        let (date, rule, rest) = (
            printable(&self.date),
            printable(&self.rule),
            printable(&self.rest),
        );
        format!("{FAINT}{date}{PLAIN}{rule_colour}{rule}{PLAIN}{rest}")
    }
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
    part.push_str(&peer(event, name));
    let outcome = text(event, "/evt/outcome");
    if !outcome.is_empty() && outcome != "Success" {
        let _ = write!(part, " ({outcome})");
    }
    part
}

/// What was asked of a name or metadata server, and where a packet or connection goes to or comes
/// from.
fn peer(event: &Value, name: &str) -> String {
    let mut part = String::new();
    for asked in ["/dns/question/name", "/imds/url", "/hook", "/place"] {
        let asked = text(event, asked);
        if !asked.is_empty() {
            let _ = write!(part, " {asked}");
        }
    }
    let addresses = [
        ("", format!("/{name}/addr")),
        (" from", "/network/source".to_owned()),
        (" to", "/network/destination".to_owned()),
    ];
    for (word, place) in addresses {
        let ip = text(event, &format!("{place}/ip"));
        if !ip.is_empty() {
            let _ = write!(part, "{word} {ip}");
        }
        let port = event
            .pointer(&format!("{place}/port"))
            .and_then(Value::as_u64);
        if let Some(port) = port.filter(|_| !ip.is_empty()) {
            let _ = write!(part, " port {port}");
        }
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

    #[test]
    fn colours_surround_and_nothing_else_commands_the_terminal() {
        let event = json!({
            "agent": {"rule_id": "r"}, "title": "T\u{1b}[2J", "date": "D", "evt": {"name": "exec"},
        });
        let line = coloured(event.to_string().as_bytes(), true);
        assert_eq!(
            line,
            "\u{1b}[2mD\u{1b}[0m\u{1b}[33m r\u{1b}[0m: T\\u{1b}[2J | exec"
        );
        let ok = json!({"agent": {"rule_id": "self_test"}, "date": "D", "failed_tests": []});
        let line = coloured(ok.to_string().as_bytes(), false);
        assert_eq!(line, "D Runtime self test: OK");
    }
}
