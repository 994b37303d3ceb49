//! How the loop takes connections in and answers commands.

use log::warn;
use mio::{Interest, Token};

use super::{Agent, EVENT_SOCKET};
use crate::probe::commands::{failure, Command, Commands, SUCCESS};
use crate::probe::connection::Connection;
use crate::probe::filters;
use crate::probe::status::{self, View};
use crate::probe::subscribers::Subscribers;
use crate::sys::socket::Peer;

/// Connections of each socket at one time.
const PEERS: usize = 64;

impl Agent {
    pub(super) fn accept(&mut self, socket: Token) {
        loop {
            let listener = match socket {
                EVENT_SOCKET => &self.events,
                _ => &self.commands_listener,
            };
            match listener.accept() {
                Ok(Some(peer)) => self.admit(socket, peer),
                Ok(None) => return,
                Err(error) => return warn!("a connection could not be accepted: {error}"),
            }
        }
    }

    fn admit(&mut self, socket: Token, peer: Peer) {
        if !peer.admitted {
            let credentials = peer.credentials;
            warn!(
                "process {} of user {} was refused",
                credentials.pid, credentials.uid
            );
            return;
        }
        let is_reader = socket == EVENT_SOCKET;
        let (line, room) = if is_reader {
            Subscribers::LIMITS
        } else {
            Commands::LIMITS
        };
        let mut connection = Connection::new(peer.stream, peer.credentials, line, room);
        let connected = match is_reader {
            true => self.pipeline.subscribers.connected(),
            false => self.commands.connected(),
        };
        if connected >= PEERS {
            let sentence = format!("too many connections; close one of the {PEERS} that are open");
            connection.queue(&[&failure(&sentence), "\n"]);
            // Whether the sentence arrives is the peer's concern.
            let _ = connection.flush();
            return;
        }
        let token = self.next_token;
        self.next_token += 1;
        let interest = Interest::READABLE | Interest::WRITABLE;
        let registry = self.poll.registry();
        if let Err(error) = registry.register(connection.stream(), Token(token), interest) {
            return warn!("a connection could not be polled: {error}");
        }
        match is_reader {
            true => self.pipeline.subscribers.add(token, connection),
            false => self.commands.add(token, connection),
        }
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
            Command::Stop => {
                self.commands.reply(peer, SUCCESS);
                self.is_stopping = true;
            }
            Command::SelfTest if !self.tests_itself => {
                let sentence = failure("self-tests are disabled");
                self.commands.reply_to_test(peer, &sentence);
            }
            Command::SelfTest if self.self_test.is_running() => self.queued.push(peer),
            Command::SelfTest => {
                self.waiting.push(peer);
                self.start_test();
            }
        }
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
            slow_turns: self.slow_turns,
            slow_readers: self.pipeline.subscribers.slow(),
            undecodable: self.pipeline.undecodable,
            dropped_arguments: self.pipeline.resolver.dropped_arguments(),
            evicted: processes.counters.evicted,
            broken_lineage: processes.counters.broken_lineage,
            cache: (processes.len(), processes.limit()),
            warnings: &self.warnings,
        })
    }
}
