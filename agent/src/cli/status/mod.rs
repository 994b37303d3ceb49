//! `status`: what runs, as text for people or as one JSON object.
//!
//! Both roles are asked over their command sockets; a security-agent role that does not answer, but
//! holds the lock on its pidfile, is alive all the same. A [`View`] is gathered from both, and
//! [`text`] prints it.

mod delivery;
mod probe;
mod text;

use std::path::Path;
use std::time::Duration;

use serde_json::{json, Value};

use super::client;
use super::exit::Exit;
use super::flags::JSON;
use super::parse::Arguments;
use super::role_start::SECURITY_AGENT_LOCK;
use super::{print, settings};
use crate::config::{Mode, Settings};
use crate::sys::lock;

/// A loop that is alive answers at once.
const LIMIT: Duration = Duration::from_secs(5);

/// What is known of both roles.
pub(super) struct View {
    /// Why nothing is enabled; `None` when something is.
    off: Option<String>,
    /// The status of system-probe, or why there is none.
    probe: Result<Value, String>,
    /// The status of the security-agent role, or why it is not running. Of one that does not answer
    /// only the pid is known.
    agent: Result<Value, String>,
}

/// Prints the status; success only when both roles run, every hook is attached and rules are
/// loaded.
pub fn main(arguments: &Arguments) -> Exit {
    let settings = settings::of_client(arguments);
    let as_json = arguments.has(&JSON);
    if !as_json {
        print::line("Getting the status from the agent.");
    }
    let view = View::gather(&settings);
    print::line(&if as_json {
        view.json().to_string()
    } else {
        view.text()
    });
    match view.all_is_well() {
        true => Exit::Success,
        false => Exit::Failure,
    }
}

impl View {
    fn gather(settings: &Settings) -> View {
        let probe = ask(&settings.command_socket()).map_err(|error| error.to_string());
        View::of(settings, probe, ask(&settings.agent_socket()).ok())
    }

    /// What is known when system-probe has answered this, and security-agent that if anything.
    pub(super) fn of(
        settings: &Settings,
        probe: Result<Value, String>,
        answer: Option<Value>,
    ) -> View {
        let agent = answer.map_or_else(|| agent(settings), Ok);
        let off = off(settings, probe.is_ok());
        View { off, probe, agent }
    }

    /// The text for people.
    pub(super) fn text(&self) -> String {
        text::render(self)
    }

    fn all_is_well(&self) -> bool {
        let Ok(probe) = &self.probe else { return false };
        let attached = probe.get("hooks_attached").and_then(Value::as_bool) == Some(true);
        self.agent.is_ok() && attached && rules_loaded(probe) > 0
    }

    /// The same as JSON.
    pub(super) fn json(&self) -> Value {
        let mut probe = self
            .probe
            .clone()
            .unwrap_or_else(|error| json!({ "error": error }));
        if let Some(fields) = probe.as_object_mut() {
            fields.insert("running".to_owned(), json!(self.probe.is_ok()));
        }
        let mut agent = self
            .agent
            .clone()
            .unwrap_or_else(|error| json!({ "error": error }));
        if let Some(fields) = agent.as_object_mut() {
            fields.insert("running".to_owned(), json!(self.agent.is_ok()));
        }
        json!({
            "ok": self.all_is_well(),
            "enabled": self.off.is_none(),
            "reason": self.off,
            "system_probe": probe,
            "security_agent": agent,
        })
    }
}

/// Rules that run, over all policies.
pub(super) fn rules_loaded(probe: &Value) -> u64 {
    let policies = probe.get("policies").and_then(Value::as_array);
    let counts = policies
        .into_iter()
        .flatten()
        .filter_map(|policy| policy.get("rules_loaded"));
    counts.filter_map(Value::as_u64).sum()
}

/// Why nothing is enabled. What is merely not set says nothing of a role that does not answer: it
/// may have been started with another environment.
fn off(settings: &Settings, probe_answers: bool) -> Option<String> {
    match settings.mode() {
        Mode::Off(reason) if settings.is_said_off() && !probe_answers => Some(reason),
        _ => None,
    }
}

/// The status of whoever answers on this socket.
pub(super) fn ask(socket: &Path) -> Result<Value, client::Error> {
    let request = json!({"command": "status"});
    let mut reply = client::request(socket, &request, LIMIT)?;
    Ok(reply.get_mut("status").map(Value::take).unwrap_or_default())
}

/// What is known of a security-agent role that does not answer.
fn agent(settings: &Settings) -> Result<Value, String> {
    let path = settings.run_path().join(SECURITY_AGENT_LOCK);
    match lock::holder(&path) {
        Ok(Some(pid)) => Ok(json!({ "pid": pid })),
        Ok(None) => Err(format!("nobody holds {}; start it", path.display())),
        Err(error) => Err(error.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{keys, Value as ConfigValue};

    fn view(agent: bool, hooks: bool, rules: u64) -> View {
        let probe = json!({
            "pid": 7,
            "hooks_attached": hooks,
            "policies": [{ "name": "a", "rules_loaded": 0 }, { "name": "b", "rules_loaded": rules }],
        });
        let agent = if agent {
            Ok(json!({"pid": 8}))
        } else {
            Err("nobody".to_owned())
        };
        View {
            off: None,
            probe: Ok(probe),
            agent,
        }
    }

    #[test]
    fn everything_has_to_be_well() {
        assert!(view(true, true, 1).all_is_well());
        assert!(!view(false, true, 1).all_is_well());
        assert!(!view(true, false, 1).all_is_well());
        assert!(!view(true, true, 0).all_is_well());
        let mut off = view(true, true, 1);
        off.probe = Err("nobody".to_owned());
        assert!(!off.all_is_well());
    }

    #[test]
    fn a_probe_that_does_not_answer_is_not_off() {
        let mut settings = Settings::empty(false);
        assert_eq!(off(&settings, false), None);
        settings.set(&keys::ENABLED, ConfigValue::Flag(false), "test");
        assert!(off(&settings, false).is_some());
        assert_eq!(off(&settings, true), None);
    }

    #[test]
    fn json_keeps_what_system_probe_said() {
        let json = view(false, true, 1).json();
        assert_eq!(json["ok"], false);
        assert_eq!(json["system_probe"]["pid"], 7);
        assert_eq!(json["system_probe"]["running"], true);
        assert_eq!(json["security_agent"]["running"], false);
    }
}
