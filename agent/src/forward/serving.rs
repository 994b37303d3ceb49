//! The command socket of this role.
//!
//! Requests enter, one line each, and are answered in the loop: the status, and the settings that
//! can be changed while it runs.

use std::time::Duration;

use mio::{Interest, Registry, Token};
use serde::Deserialize;
use serde_json::json;

use super::{status, Forwarder, FIRST_PEER, OUTPUT};
use crate::config::{keys, runtime, Settings};
use crate::flare::environment;
use crate::ipc::{failure, Command, Commands, Reception, SUCCESS};
use crate::logger;
use crate::scrub::Scrubber;
use crate::sys::socket::{self, Listener};

/// A peer that says nothing for so long is closed.
const IDLE: Duration = Duration::from_secs(5);

/// What a peer asks for.
#[derive(Debug, Deserialize)]
#[serde(tag = "command", rename_all = "snake_case")]
enum Request {
    /// What came, and where it went.
    Status,
    /// Every setting with its source.
    Config,
    /// What this role knows for a flare.
    Flare,
    /// One setting.
    ConfigGet { setting: String },
    /// Another value for a setting.
    ConfigSet { setting: String, value: String },
}

impl Command for Request {
    fn is_for_owner(&self) -> bool {
        matches!(self, Request::ConfigSet { .. })
    }
}

/// The socket and who talks there.
pub(super) struct Server {
    /// Without one nobody can ask; everything else goes on.
    listener: Option<Listener>,
    /// What the listener is polled under.
    door: Token,
    reception: Reception,
    commands: Commands<Request>,
}

impl Server {
    /// Listens on the agent's socket of these settings; the loop is woken under `token`. What
    /// cannot be had is a sentence in the log.
    pub(super) fn new(settings: &Settings, (registry, token): (&Registry, Token)) -> Server {
        let listener = listen(settings, registry, token);
        Server {
            listener: listener
                .inspect_err(|error| log::warn!("this role answers no commands: {error}"))
                .ok(),
            door: token,
            reception: Reception::new(FIRST_PEER),
            commands: Commands::default(),
        }
    }

    /// Takes in who waits.
    pub(super) fn accept(&mut self, registry: &Registry) {
        let Some(listener) = &self.listener else {
            return;
        };
        let connected = self.commands.connected();
        let limits = Commands::<Request>::LIMITS;
        let commands = &mut self.commands;
        self.reception.admit(
            (self.door, listener),
            registry,
            connected,
            limits,
            |token, peer| {
                commands.add(token, peer);
            },
        );
    }

    /// Notes that somebody waits at the socket, or that a peer can be read from or written to.
    pub(super) fn wake(&mut self, token: Token) {
        match token == self.door {
            true => self.reception.knock(token),
            false => self.commands.wake(token.0),
        }
    }

    /// Whether some peer wants a turn, without which the loop may wait.
    pub(super) fn has_pending(&self) -> bool {
        self.commands.has_pending()
    }

    /// Closes who has been idle.
    pub(super) fn expire(&mut self) {
        self.commands.expire(IDLE);
    }
}

fn listen(
    settings: &Settings,
    registry: &Registry,
    token: Token,
) -> Result<Listener, socket::Error> {
    let path = settings.agent_socket();
    let mut listener = Listener::bind(&path)?;
    registry
        .register(&mut listener, token, Interest::READABLE)
        .map_err(|source| socket::Error::Io { path, source })?;
    Ok(listener)
}

impl Forwarder {
    /// Gives every peer of the command socket that wants one its turn.
    pub(super) fn serve(&mut self) {
        self.server.accept(self.poll.registry());
        for peer in self.server.commands.pending() {
            if let Some(request) = self.server.commands.ready(peer) {
                let reply = self.answer(&request);
                self.server.commands.reply(peer, &reply);
            }
        }
    }

    fn answer(&mut self, request: &Request) -> String {
        match request {
            Request::Status => json!({ "ok": true, "status": self.status() }).to_string(),
            Request::Config => json!({ "ok": true, "config": self.settings.to_json() }).to_string(),
            Request::Flare => self.flare(),
            Request::ConfigGet { setting } => match runtime::get(&self.settings, setting) {
                Ok(value) => json!({ "ok": true, "value": value }).to_string(),
                Err(sentence) => failure(&sentence),
            },
            Request::ConfigSet { setting, value } => {
                match runtime::set(&mut self.settings, setting, value) {
                    Ok(()) => {
                        self.apply();
                        SUCCESS.to_owned()
                    }
                    Err(sentence) => failure(&sentence),
                }
            }
        }
    }

    /// What this role knows for a flare. Who asks may not be who may see secrets.
    fn flare(&self) -> String {
        let environment = match Scrubber::of_settings(&self.settings) {
            Ok((scrubber, _)) => environment::masked(&scrubber),
            Err(error) => return failure(&error.to_string()),
        };
        json!({
            "ok": true,
            "status": self.status(),
            "config": self.settings.to_json(),
            "environment": environment,
        })
        .to_string()
    }

    /// Makes true what the settings say now.
    fn apply(&mut self) {
        // Only names of levels become settings.
        let _ = logger::set_level(self.settings.text(&keys::LOG_LEVEL));
        let stdout = self.settings.flag(&keys::OUTPUTS_STDOUT_ENABLED);
        self.outputs
            .set_stdout(stdout, self.poll.registry(), OUTPUT);
    }

    /// The status of this role.
    pub(super) fn status(&self) -> serde_json::Value {
        status::of(&status::View {
            uptime: self.started.elapsed(),
            received: self.received,
            link: &self.link,
            outputs: &self.outputs,
            delivery: self.delivery.as_ref(),
            warnings: self.settings.warnings(),
        })
    }
}
