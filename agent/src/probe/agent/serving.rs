//! How the loop takes connections in and answers commands.

use std::os::fd::OwnedFd;
use std::time::{Duration, Instant};

use mio::event::Source;
use serde_json::{json, Value};

use super::{Agent, COMMAND_SOCKET, EVENT_SOCKET};
use crate::config::{keys, runtime};
use crate::ipc::{failure, Commands, SUCCESS};
use crate::logger;
use crate::probe::commands::Command;
use crate::probe::diagnosis;
use crate::probe::filters;
use crate::probe::status::{self, View};
use crate::probe::subscribers::Subscribers;
use crate::probe::unix_now;

/// How long a peer that is collected for may not read.
const UNREAD: Duration = Duration::from_secs(20);
/// How long a diagnosis stands.
const DIAGNOSIS: Duration = Duration::from_secs(5);

/// The descriptor of a stream that its writer may wait at, for a while.
fn blocking(stream: mio::net::UnixStream) -> std::io::Result<OwnedFd> {
    let stream = std::os::unix::net::UnixStream::from(stream);
    stream.set_nonblocking(false)?;
    stream.set_write_timeout(Some(UNREAD))?;
    Ok(OwnedFd::from(stream))
}

impl Agent {
    /// Takes in who waits at the sockets.
    pub(super) fn admit(&mut self) {
        let registry = self.poll.registry();
        let readers = &mut self.pipeline.subscribers;
        let connected = readers.connected();
        let limits = Subscribers::LIMITS;
        let door = (EVENT_SOCKET, &self.events);
        self.reception
            .admit(door, registry, connected, limits, |token, peer| {
                readers.add(token, peer);
            });
        let commands = &mut self.commands;
        let (connected, limits) = (commands.connected(), Commands::<Command>::LIMITS);
        let door = (COMMAND_SOCKET, &self.commands_listener);
        self.reception
            .admit(door, registry, connected, limits, |token, peer| {
                commands.add(token, peer);
            });
    }

    /// Gives every peer of the command socket that wants one its turn.
    pub(super) fn serve_commands(&mut self) {
        for peer in self.commands.pending() {
            if let Some(command) = self.commands.ready(peer) {
                self.answer(peer, command);
            }
        }
    }

    fn answer(&mut self, peer: usize, command: Command) {
        match command {
            Command::Status => {
                let reply = self.status();
                self.commands.reply(peer, &reply);
            }
            Command::Diagnosis => {
                self.diagnose();
                self.commands.reply(peer, &self.diagnosis.1);
            }
            Command::LoadedPolicies => {
                let check = filters::report(&self.pipeline.rules);
                let reply = format!("{{\"ok\":true,\"check\":{check}}}");
                self.commands.reply(peer, &reply);
            }
            Command::ReloadPolicies => {
                let reply = match self.reload() {
                    Ok(()) => SUCCESS.to_string(),
                    Err(sentence) => failure(&sentence),
                };
                self.commands.reply(peer, &reply);
            }
            Command::Config | Command::ConfigGet { .. } | Command::ConfigSet { .. } => {
                let reply = self.configure(&command);
                self.commands.reply(peer, &reply);
            }
            Command::Flare { collectors } => self.collect(peer, &collectors),
            Command::Stop => {
                self.commands.reply(peer, SUCCESS);
                self.is_stopping = true;
            }
            Command::SelfTest if !self.tests_itself => {
                let sentence = failure("self-tests are disabled");
                self.commands.reply_late(peer, &sentence);
            }
            Command::SelfTest if self.self_test.is_running() => self.queued.push(peer),
            Command::SelfTest => {
                self.waiting.push(peer);
                self.start_test();
            }
        }
    }

    /// Makes the diagnosis, unless there is one: it takes a walk through all processes.
    fn diagnose(&mut self) {
        if self
            .diagnosis
            .0
            .is_none_or(|made| made.elapsed() >= DIAGNOSIS)
        {
            let processes = &self.pipeline.resolver.processes;
            let reply = diagnosis::reply(self.probes.refusals(), processes, unix_now());
            self.diagnosis = (Some(Instant::now()), reply);
        }
    }

    /// Hands a peer over to a process that collects for it.
    fn collect(&mut self, peer: usize, collectors: &[String]) {
        if self.collecting.pid().is_some() {
            let sentence = failure("another flare is being made; try again when it is ready");
            return self.commands.reply(peer, &sentence);
        }
        self.commands.reply(peer, SUCCESS);
        let Some(connection) = self.commands.take(peer) else {
            return;
        };
        let is_restricted = !connection.credentials.is_owner();
        let mut stream = connection.into_stream();
        let handed_over = stream
            .deregister(self.poll.registry())
            .map_err(|error| error.to_string())
            .and_then(|()| blocking(stream).map_err(|error| error.to_string()))
            .and_then(|stream| self.collecting.start(collectors, is_restricted, stream));
        match handed_over {
            Ok(()) => self.ignore_children(),
            Err(sentence) => log::warn!("nothing is collected for a flare: {sentence}"),
        }
    }

    /// Answers what is asked of the configuration.
    fn configure(&mut self, command: &Command) -> String {
        let result = match command {
            Command::ConfigGet { setting } => runtime::get(&self.settings, setting)
                .map(|value| json!({ "ok": true, "value": value }).to_string()),
            Command::ConfigSet { setting, value } => {
                let text = match value {
                    Value::String(text) => text.clone(),
                    other => other.to_string(),
                };
                self.change(setting, &text).map(|()| SUCCESS.to_string())
            }
            _ => Ok(json!({ "ok": true, "config": self.settings.to_json() }).to_string()),
        };
        result.unwrap_or_else(|sentence| failure(&sentence))
    }

    /// Changes a setting and makes it true.
    fn change(&mut self, setting: &str, value: &str) -> Result<(), String> {
        runtime::set(&mut self.settings, setting, value)?;
        // Only names of levels become settings.
        let _ = logger::set_level(self.settings.text(&keys::LOG_LEVEL));
        let enforces = self.settings.flag(&keys::ENFORCEMENT_ENABLED);
        self.pipeline.actions.set_enforcement(enforces);
        Ok(())
    }

    fn status(&self) -> String {
        let processes = &self.pipeline.resolver.processes;
        status::reply(&View {
            uptime: self.started.elapsed(),
            probes: &self.probes,
            counts: self.probes.counts().unwrap_or_default(),
            delivered: &self.pipeline.delivered,
            late: self.stream.seen().late,
            skipped: self.probes.recursion_misses(),
            rules: &self.pipeline.rules,
            variables: &self.pipeline.variables,
            gates: &self.gates,
            last_test: self.last_test.as_ref(),
            subscribers: self.pipeline.subscribers.count(),
            unread: self.pipeline.subscribers.lost(),
            turns: &self.turns,
            journal: self.pipeline.subscribers.journal(),
            slow_readers: self.pipeline.subscribers.slow(),
            undecodable: self.pipeline.undecodable,
            dropped_arguments: self.pipeline.resolver.dropped_arguments(),
            evicted: processes.counters.evicted,
            broken_lineage: processes.counters.broken_lineage,
            cache: (processes.len(), processes.limit()),
            sessions: &self.pipeline.resolver.sessions,
            network: self.network_status(),
            warnings: &self.warnings,
        })
    }
}
