//! The loop of system-probe and what it looks after.

mod children;
mod packets;
mod serving;
mod setup;
mod testing;

use std::rc::Rc;
use std::time::{Duration, Instant};

use log::{info, warn};
use mio::unix::SourceFd;
use mio::{Events, Interest, Poll, Token};

use super::actions::Actions;
use super::collectors::Collecting;
use super::commands::Command;
use super::container;
use super::filters::{Gates, Options as GateOptions};
use super::heartbeat::Heartbeat;
use super::network::Network;
use super::pipeline::Pipeline;
use super::policies::Policies;
use super::rights;
use super::self_test::SelfTest;
use super::status::LastTest;
use super::subscribers::{Change, Subscribers};
use super::turns::Turns;
use super::{unix_now, Error, Options};
use crate::config::{keys, Settings};
use crate::event::json;
use crate::event::wire::Kind;
use crate::ipc::{Commands, Reception};
use crate::kernel::{self, Counts, EventStream, PacketPrograms, Probes};
use crate::resolve;
use crate::resolve::clock::monotonic_now;
use crate::sys::host::{self, Numbers};
use crate::sys::memory::ProgramPages;
use crate::sys::signals::{Signal, Signals};
use crate::sys::socket::Listener;
use setup::{
    gate_options, kernel_options, narrow_directories, resolver, unsafe_directories, watches_packets,
};

const SIGNALS: Token = Token(0);
const EVENT_SOCKET: Token = Token(1);
const COMMAND_SOCKET: Token = Token(2);
const SELF_TEST: Token = Token(3);
const RING: Token = Token(4);
const FIRST_PEER: usize = 5;
/// Longest pause between two turns: bounds how long a record waits in a ring below its watermark.
const TICK: Duration = Duration::from_millis(20);
/// Between two looks at the counters.
const WATCH: Duration = Duration::from_secs(1);
/// Bytes of the report on the rules that readers get.
const LONGEST_REPORT: usize = 512 << 10;
/// A peer that says nothing for so long is closed.
const IDLE: Duration = Duration::from_secs(5);

/// system-probe.
pub(super) struct Agent {
    poll: Poll,
    signals: Signals,
    events: Listener,
    commands_listener: Listener,
    commands: Commands<Command>,
    reception: Reception,
    probes: Probes,
    stream: EventStream,
    pipeline: Pipeline,
    self_test: SelfTest,
    /// Peers whose request waits for the run under way, and for the one after it.
    waiting: Vec<usize>,
    queued: Vec<usize>,
    last_test: Option<LastTest>,
    policies: Policies,
    heartbeat: Heartbeat,
    gates: Gates,
    gate_options: GateOptions,
    /// Both absent where packets are not watched.
    network: Option<Network>,
    packet_programs: Option<Rc<PacketPrograms>>,
    collecting: Collecting,
    /// The last diagnosis, and when it was made.
    diagnosis: (Option<Instant>, String),
    /// The processes that we have started, as far as the kernel was told of them.
    ignored: [Option<u32>; children::KINDS],
    started: Instant,
    watched: Instant,
    pages: ProgramPages,
    reported: Losses,
    turns: Turns,
    settings: Settings,
    warnings: Vec<String>,
    sends_report: bool,
    tests_itself: bool,
    is_stopping: bool,
}

/// What readers have been told was lost.
#[derive(Default)]
struct Losses {
    counts: Counts,
    recursion_misses: u64,
    undecodable: u64,
    packets_limited: u64,
}

impl Losses {
    /// Names and numbers of what was lost after `before`; empty when nothing was.
    fn since(&self, before: &Losses) -> Vec<(&'static str, u64)> {
        let kinds = Kind::ALL.into_iter().map(|kind| {
            let (now, then) = (self.counts.of(kind).1, before.counts.of(kind).1);
            (kind.name(), now.saturating_sub(then))
        });
        let misses = self
            .recursion_misses
            .saturating_sub(before.recursion_misses);
        let undecodable = self.undecodable.saturating_sub(before.undecodable);
        let limited = self.packets_limited.saturating_sub(before.packets_limited);
        let others = [
            ("recursion_misses", misses),
            ("undecodable", undecodable),
            ("packets_limited", limited),
        ];
        kinds.chain(others).filter(|(_, lost)| *lost > 0).collect()
    }
}

impl Agent {
    /// Binds, loads and attaches. The sockets come first: they hold the lowest descriptors, so
    /// that a killed process's readers hear of it before its hooks are gone.
    pub(super) fn start(settings: &Settings, options: &Options) -> Result<Agent, Error> {
        let started = Instant::now();
        let poll = Poll::new().map_err(|error| Error::Io("polling", error))?;
        let signals = Signals::block(&[Signal::SIGTERM, Signal::SIGINT, Signal::SIGHUP])
            .map_err(|error| Error::Io("taking signals", error))?;
        narrow_directories(settings);
        let events = Listener::bind(&settings.event_socket()).map_err(Error::Socket)?;
        let commands_listener =
            Listener::bind(&settings.command_socket()).map_err(Error::Socket)?;
        let tests_itself = settings.flag(&keys::SELF_TEST_ENABLED);
        let self_test = SelfTest::new(&settings.run_path(), events.path());
        let policies = Policies::new(settings);
        let rules = policies.load(tests_itself.then_some(&self_test));
        let mut warnings = settings.warnings().to_vec();
        warnings.extend(container::enter());
        warnings.extend(rights::missing(settings, watches_packets(settings)));
        warnings.extend(unsafe_directories(settings));
        let (probes, stream) = Probes::start(&kernel_options(settings)).map_err(Error::Kernel)?;
        let host = resolve::host::detect(settings.text(&keys::HOSTNAME));
        let resolver = resolver(settings, &host.hostname);
        let subscribers = Subscribers::new(host.clone());
        let mut agent = Agent {
            poll,
            signals,
            events,
            commands_listener,
            commands: Commands::default(),
            reception: Reception::new(FIRST_PEER),
            probes,
            stream,
            pipeline: Pipeline::new(resolver, rules, Actions::new(settings), host, subscribers),
            heartbeat: Heartbeat::new(started),
            gates: Gates::default(),
            gate_options: gate_options(settings),
            network: None,
            packet_programs: None,
            collecting: Collecting::default(),
            diagnosis: (None, String::new()),
            ignored: [None; children::KINDS],
            self_test,
            waiting: Vec::new(),
            queued: Vec::new(),
            last_test: None,
            policies,
            started,
            watched: started,
            pages: ProgramPages::new(started),
            reported: Losses::default(),
            turns: Turns::default(),
            settings: settings.clone(),
            warnings,
            sends_report: settings.flag(&keys::SELF_TEST_SEND_REPORT),
            tests_itself,
            is_stopping: false,
        };
        agent.prepare(options)?;
        Ok(agent)
    }

    /// What follows once the hooks are attached: nothing that happens now is missed.
    fn prepare(&mut self, options: &Options) -> Result<(), Error> {
        self.pipeline.resolver.snapshot();
        self.watch_packets();
        let own = options.supervisor.into_iter().chain([std::process::id()]);
        for tgid in own.filter_map(host::number_of) {
            self.probes.ignore(tgid, true).map_err(Error::Kernel)?;
            self.pipeline.protected.push(tgid);
        }
        self.set_gates().map_err(Error::Kernel)?;
        self.register()
            .map_err(|error| Error::Io("polling", error))?;
        self.report_rungs();
        self.publish_rules();
        if self.tests_itself {
            self.start_test();
        }
        Ok(())
    }

    fn register(&mut self) -> std::io::Result<()> {
        let registry = self.poll.registry();
        registry.register(&mut self.signals, SIGNALS, Interest::READABLE)?;
        registry.register(&mut self.events, EVENT_SOCKET, Interest::READABLE)?;
        registry.register(
            &mut self.commands_listener,
            COMMAND_SOCKET,
            Interest::READABLE,
        )?;
        for descriptor in self.stream.descriptors() {
            registry.register(&mut SourceFd(&descriptor), RING, Interest::READABLE)?;
        }
        Ok(())
    }

    /// Says how each event type is seen.
    fn report_rungs(&mut self) {
        for rung in self.probes.rungs() {
            let name = rung.kind.name();
            info!(
                "{name}: {} ({}); blind to {}",
                rung.rung,
                rung.hooks.join(", "),
                rung.blind_to
            );
            if rung.rung == "none" {
                let notes = rung.notes.join("; ");
                warn!("{name} events cannot be seen: {notes}");
                self.warnings
                    .push(format!("{name} events cannot be seen: {notes}"));
            }
        }
        let missing = &self.probes.constants().missing;
        if !missing.is_empty() {
            warn!(
                "this kernel lacks {}; fields that need them stay empty",
                missing.join(", ")
            );
        }
    }

    /// Lets the kernel report only what some rule can match.
    fn set_gates(&mut self) -> Result<(), kernel::Error> {
        let filters = self.probes.filters();
        self.gates = Gates::set(filters, &self.pipeline.rules, self.gate_options)?;
        self.set_packet_filters();
        Ok(())
    }

    /// Turns until it is told to end.
    pub(super) fn run(mut self) -> Result<(), Error> {
        let mut ready = Events::with_capacity(64);
        let mut more = false;
        while !self.is_stopping {
            let pause = if more { Duration::ZERO } else { TICK };
            match self.poll.poll(&mut ready, Some(pause)) {
                Err(error) if error.kind() != std::io::ErrorKind::Interrupted => {
                    return Err(Error::Io("polling", error));
                }
                _ => {}
            }
            let turn = Instant::now();
            more = self.drain();
            for event in &ready {
                self.serve(event.token());
            }
            self.admit();
            self.serve_commands();
            more |= self.commands.has_pending();
            self.look_after();
            self.flush();
            self.turns.note(turn.elapsed());
        }
        self.stop();
        Ok(())
    }

    /// Takes what the probes have; true when more waits.
    fn drain(&mut self) -> bool {
        let now = monotonic_now();
        let (pipeline, network) = (&mut self.pipeline, &mut self.network);
        self.stream.turn(now, |record, late| {
            pipeline.take(record, late, now, network.as_mut());
        })
    }

    fn serve(&mut self, token: Token) {
        match token {
            SIGNALS => self.take_signals(),
            EVENT_SOCKET | COMMAND_SOCKET => self.reception.knock(token),
            SELF_TEST | RING => {}
            Token(peer) if self.pipeline.subscribers.owns(peer) => {
                let change = self.pipeline.subscribers.ready(peer);
                self.follow(&change);
            }
            Token(peer) => self.commands.wake(peer),
        }
    }

    /// The security-agent role's own file events are not news.
    fn follow(&mut self, change: &Change) {
        // The probes know peers by other numbers then.
        if host::process_numbers() != Numbers::Same {
            return;
        }
        let result = match change {
            Change::Role(pid) => {
                self.pipeline.protected.push(*pid);
                self.pipeline.agents.push(*pid);
                self.probes.ignore(*pid, true)
            }
            Change::Gone(Some(pid)) => {
                self.pipeline.protected.retain(|known| known != pid);
                self.pipeline.agents.retain(|known| known != pid);
                self.probes.ignore(*pid, false)
            }
            Change::None | Change::Gone(None) => Ok(()),
        };
        if let Err(error) = result {
            warn!("{error}");
        }
    }

    fn take_signals(&mut self) {
        while let Some(signal) = self.signals.next() {
            match signal {
                // The log says what was wrong.
                Signal::SIGHUP => drop(self.reload()),
                _ => self.is_stopping = true,
            }
        }
    }

    /// Reads the policies again. A set in which something is wrong is refused as a whole, and the
    /// rules that run keep running; the error is a sentence.
    fn reload(&mut self) -> Result<(), String> {
        let rules = self
            .policies
            .load(self.tests_itself.then_some(&self.self_test));
        if rules.report().has_errors() {
            let problems = rules.report().problems();
            let first = problems.first().map(ToString::to_string);
            let sentence = format!(
                "{}; nothing was changed, the rules loaded before still run ({} problems in all)",
                first.unwrap_or_default(),
                problems.len()
            );
            warn!("the policies were not loaded again: {sentence}");
            return Err(sentence);
        }
        self.pipeline.replace_rules(rules);
        if let Err(error) = self.set_gates() {
            warn!("{error}");
        }
        self.publish_rules();
        self.heartbeat = Heartbeat::new(Instant::now());
        info!("the policies were loaded again");
        Ok(())
    }

    fn publish_rules(&mut self) {
        let report = self.pipeline.rules.report();
        let policies = report.policies_json(LONGEST_REPORT);
        let line = json::ruleset_loaded(&self.pipeline.host, unix_now(), &policies, None);
        self.pipeline.subscribers.tell("ruleset_loaded", &line);
    }

    /// What is due between turns: the self-test, counters, the process cache.
    fn look_after(&mut self) {
        if let Some(outcome) = self.self_test.poll() {
            self.finish_test(outcome);
        }
        self.pipeline.release();
        self.look_after_network();
        if self.watched.elapsed() >= WATCH {
            self.watched = Instant::now();
            self.pages.release_when_due(self.watched);
            let now = monotonic_now();
            self.pipeline.resolver.expire(now);
            self.pipeline.sweep(now);
            self.collecting.look_after();
            self.ignore_children();
            self.beat();
            self.commands.expire(IDLE);
            self.pipeline.subscribers.expire(IDLE);
            self.report_losses();
        }
    }

    /// Says of each policy that it runs, when that is due.
    fn beat(&mut self) {
        if !self.heartbeat.is_due(Instant::now()) {
            return;
        }
        for policy in &self.pipeline.rules.report().policies {
            let policy = policy.identity().to_string();
            let line = json::heartbeat(&self.pipeline.host, unix_now(), &policy);
            self.pipeline.subscribers.tell("heartbeat", &line);
        }
    }

    /// Tells the readers what was lost since the last look: what the rings could not take, what
    /// the kernel skipped because a program was running already, what could not be decoded, and
    /// packets beyond their limit.
    fn report_losses(&mut self) {
        let Ok(counts) = self.probes.counts() else {
            return;
        };
        let seen = Losses {
            counts,
            recursion_misses: self.probes.recursion_misses(),
            undecodable: self.pipeline.undecodable,
            packets_limited: self.packet_counts().limited,
        };
        let fresh = seen.since(&self.reported);
        self.reported = seen;
        if !fresh.is_empty() {
            let line = json::lost_events(&self.pipeline.host, unix_now(), "events", &fresh);
            self.pipeline.subscribers.tell("lost_events", &line);
        }
    }

    fn flush(&mut self) {
        for change in self.pipeline.subscribers.flush() {
            self.follow(&change);
        }
    }

    /// Delivers what is left. The hooks go with the process: detaching them takes the kernel
    /// longer than anyone should wait here.
    fn stop(&mut self) {
        Gates::close(self.probes.filters());
        let (pipeline, network) = (&mut self.pipeline, &mut self.network);
        let now = monotonic_now();
        self.stream
            .flush(|record, late| pipeline.take(record, late, now, network.as_mut()));
        pipeline.release();
        pipeline.release_all();
        pipeline.actions.stop();
        self.self_test.end();
        self.flush();
        if let Some(network) = &mut self.network {
            network.stop();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_new_losses_are_told() {
        let mut before = Losses::default();
        before.counts.lost[Kind::Open as usize] = 5;
        let mut now = Losses {
            undecodable: 1,
            packets_limited: 4,
            ..Losses::default()
        };
        now.counts.lost[Kind::Open as usize] = 7;
        now.counts.lost[Kind::Exec as usize] = 1;
        let told = [
            ("exec", 1),
            ("open", 2),
            ("undecodable", 1),
            ("packets_limited", 4),
        ];
        assert_eq!(now.since(&before), told);
        assert!(now.since(&now).is_empty());
    }
}
