//! What the running roles say for a flare, and what can be said where they do not answer.
//!
//! Both roles are asked over their command sockets, each within a limit of time; replies become
//! [`Asked::pieces`], files of the archive in memory. A role that does not answer once is not asked
//! again. Nothing is on disk while this waits, and what may hang does so in a child.

use std::fs::File;
use std::io::Write;
use std::time::Duration;

use serde_json::{json, Map, Value};

use super::recent;
use crate::cli::{client, config, policy, status};
use crate::config::Settings;
use crate::flare::environment;
use crate::forward::metrics;
use crate::sys::child;

/// A loop that is alive answers at once.
const LIMIT: Duration = Duration::from_secs(5);
/// The report on the policies.
const POLICIES: &str = "policy-check.json";
/// How long loading the policies may take, and how long the report may be.
const CHECK: Duration = Duration::from_secs(10);
const LONGEST_CHECK: usize = 16 << 20;
/// How long a self-test may take here.
const SELF_TEST: Duration = Duration::from_secs(20);

/// What was asked and answered.
#[derive(Default)]
pub(super) struct Asked {
    /// Files of the archive.
    pub(super) pieces: Vec<(&'static str, Vec<u8>)>,
    /// What could not be had.
    pub(super) notes: Vec<String>,
    /// Processes of the agent: role and pid.
    pub(super) processes: Vec<(String, u32)>,
    /// Whether system-probe answers.
    pub(super) has_probe: bool,
}

/// The part that security-agent has in a flare; an error tells why there is none.
pub(super) fn agent_part(settings: &Settings) -> Result<Value, client::Error> {
    let request = json!({"command": "flare"});
    client::request_of(
        client::SECURITY_AGENT,
        &settings.agent_socket(),
        &request,
        LIMIT,
    )
}

impl Asked {
    /// Asks for everything but the agent's own part. Without `ask_probe`, nobody is asked.
    pub(super) fn gather(settings: &Settings, agent: Option<Value>, ask_probe: bool) -> Asked {
        let mut asked = Asked::default();
        let mut agent = agent;
        let mut of_agent = |name: &str| agent.as_mut()?.get_mut(name).map(Value::take);
        let (status, config, environment) = (
            of_agent("status"),
            of_agent("config"),
            of_agent("environment"),
        );
        let probe = match ask_probe {
            true => status::ask(&settings.command_socket()).map_err(|error| error.to_string()),
            false => Err("it was not asked".to_owned()),
        };
        asked.has_probe = probe.is_ok();
        match &probe {
            Ok(_) => asked.ask_probe(settings),
            Err(error) => asked.notes.push(format!("system-probe: {error}")),
        }
        if !asked.has(POLICIES) {
            asked.check_policies(settings);
        }
        asked.add_environment(environment.as_ref());
        asked.add_configuration(settings, config);
        asked.add_status(settings, probe, status);
        asked
    }

    fn has(&self, name: &str) -> bool {
        self.pieces.iter().any(|(known, _)| *known == name)
    }

    fn add(&mut self, name: &'static str, text: String) {
        self.pieces.push((name, text.into_bytes()));
    }

    /// Loads the policies as system-probe would; their files may lie where nobody answers.
    fn check_policies(&mut self, settings: &Settings) {
        let mut check = |out: &mut File| {
            let rules = policy::load_from(&settings.policies_dir(), settings);
            // Without the parent there is nobody to tell.
            let _ = out.write_all(policy::check_json(&rules).as_bytes());
        };
        match child::output_of(&mut check, LONGEST_CHECK, CHECK) {
            Ok(report) => self.pieces.push((POLICIES, report)),
            Err(error) => self.notes.push(format!("{POLICIES}: {error}")),
        }
    }

    /// What only system-probe knows.
    fn ask_probe(&mut self, settings: &Settings) {
        let socket = settings.command_socket();
        let questions = [
            ("diagnosis.json", "diagnosis", "diagnosis", LIMIT),
            (POLICIES, "loaded_policies", "check", LIMIT),
            ("self-test.json", "self_test", "", SELF_TEST),
        ];
        for (name, command, member, limit) in questions {
            match client::request(&socket, &json!({ "command": command }), limit) {
                Ok(reply) => {
                    let told = if member.is_empty() {
                        Some(&reply)
                    } else {
                        reply.get(member)
                    };
                    self.add(name, format!("{:#}\n", told.unwrap_or(&Value::Null)));
                }
                Err(client::Error::Refused(sentence)) => {
                    let told = json!({ "ok": false, "error": sentence });
                    self.add(name, format!("{told:#}\n"));
                }
                Err(error) => return self.notes.push(format!("{name}: {error}")),
            }
        }
        match recent::events(&settings.event_socket(), LIMIT) {
            Ok(events) if events.is_empty() => {}
            Ok(events) => self.pieces.push(("events.jsonl", events)),
            Err(error) => self.notes.push(format!("events.jsonl: {error}")),
        }
    }

    /// The variables of the agent; those of this command where it does not answer.
    fn add_environment(&mut self, told: Option<&Value>) {
        let told = told.and_then(|told| serde_json::from_value(told.clone()).ok());
        let variables: Vec<(String, String)> = told.unwrap_or_else(environment::allowed);
        self.add("envvars.log", environment::text(&variables));
    }

    /// The configuration in effect, by its sources.
    fn add_configuration(&mut self, settings: &Settings, told: Option<Value>) {
        let entries: Map<String, Value> = match told.unwrap_or_else(|| settings.to_json()) {
            Value::Object(entries) => entries,
            _ => Map::new(),
        };
        match serde_yaml::to_string(&config::by_sources(&entries)) {
            Ok(text) => self.add("config.yaml", text),
            Err(error) => self.notes.push(format!("config.yaml: {error}")),
        }
    }

    /// What runs: as text, as JSON, as numbers; and who.
    fn add_status(
        &mut self,
        settings: &Settings,
        probe: Result<Value, String>,
        agent: Option<Value>,
    ) {
        let delivery = agent.as_ref().and_then(|agent| agent.get("delivery"));
        if let Some(delivery) = delivery.filter(|delivery| !delivery.is_null()) {
            self.add("spool.json", format!("{delivery:#}\n"));
        }
        if let Some(agent) = &agent {
            self.add(
                "metrics.txt",
                metrics::text::render(probe.as_ref().ok(), agent),
            );
        }
        let view = status::View::of(settings, probe, agent);
        let json = view.json();
        for role in ["system_probe", "security_agent"] {
            let pid = json
                .pointer(&format!("/{role}/pid"))
                .and_then(Value::as_u64);
            if let Some(pid) = pid.and_then(|pid| u32::try_from(pid).ok()) {
                self.processes.push((role.replace('_', "-"), pid));
            }
        }
        self.add("security-agent-status.log", view.text());
        self.add("status.json", format!("{json:#}\n"));
    }
}
