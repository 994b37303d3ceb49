//! The way of an event through this process: decode, resolve, judge, act, write, publish.
//!
//! Bytes of the stream enter, lines for the readers leave. Of the rules only those of the event's
//! type are asked. An event whose rule has an action that takes its time is held back until the
//! report is complete; the others pass it.

use std::rc::Rc;

use super::actions::{self, Actions, Complete, Held, Moment};
use super::network::Network;
use super::packets::Packets;
use super::subject::EventSubject;
use super::subscribers::Subscribers;
use super::tags::Tags;
use super::{unix_now, variables};
use crate::event::json::{self, RuleInfo, Variables};
use crate::event::wire::{self, Record, KINDS};
use crate::event::{Event, EventType, HostInfo};
use crate::policy::variable::Store;
use crate::policy::{Rule, RuleSet};
use crate::resolve::Resolver;
use crate::secl::Candidates;
use crate::sys::host;

/// What one event passes through.
pub(super) struct Pipeline {
    pub(super) resolver: Resolver,
    pub(super) rules: RuleSet,
    pub(super) variables: Store,
    pub(super) actions: Actions,
    pub(super) host: HostInfo,
    pub(super) subscribers: Subscribers,
    /// Processes of the agent, which no rule may signal.
    pub(super) protected: Vec<u32>,
    /// This process and the security-agent roles: what their children do is the agent's own, too.
    pub(super) agents: Vec<u32>,
    /// Records that came through, by kind.
    pub(super) delivered: [u64; KINDS],
    /// Records that could not be decoded.
    pub(super) undecodable: u64,
    /// What rules want of packets.
    pub(super) packets: Packets,
    held: Held,
    candidates: Candidates,
    tags: Tags,
    line: String,
}

/// Tells of the namespaces that processes run in; what was captured of a packet is returned.
fn note_places<'a>(record: &Record<'a>, network: Option<&mut Network>) -> &'a [u8] {
    let seen = match &record.body {
        wire::Body::Packet(packet) => return packet.data,
        wire::Body::Fork(fork) => (fork.net_namespace, fork.child),
        wire::Body::Exec(exec) => (exec.net_namespace, record.header.tgid),
        _ => return &[],
    };
    if let Some(network) = network {
        network.note_namespace(seen.0, seen.1);
    }
    &[]
}

impl Pipeline {
    pub(super) fn new(
        resolver: Resolver,
        rules: RuleSet,
        actions: Actions,
        host: HostInfo,
        subscribers: Subscribers,
    ) -> Pipeline {
        Pipeline {
            resolver,
            variables: Store::new(rules.declarations()),
            rules,
            actions,
            host,
            subscribers,
            protected: vec![host::own_number()],
            agents: vec![host::own_number()],
            delivered: [0; KINDS],
            undecodable: 0,
            packets: Packets::default(),
            held: Held::default(),
            candidates: Candidates::new(),
            tags: Tags::default(),
            line: String::new(),
        }
    }

    /// Lets other rules run from the next event on; what their variables hold stays where they are
    /// declared alike.
    pub(super) fn replace_rules(&mut self, rules: RuleSet) {
        let mut variables = Store::new(rules.declarations());
        variables.take_over(std::mem::take(&mut self.variables));
        self.variables = variables;
        self.actions.follow(&rules);
        self.rules = rules;
        self.tags.clear();
    }

    /// Takes one record, as bytes of the stream; `now` is CLOCK_MONOTONIC in nanoseconds, `late`
    /// says that a younger record was taken before, `network` knows interfaces where packets are
    /// watched.
    pub(super) fn take(
        &mut self,
        bytes: &[u8],
        late: bool,
        now: u64,
        mut network: Option<&mut Network>,
    ) {
        let Ok(record) = Record::decode(bytes) else {
            self.undecodable += 1;
            return;
        };
        if let Some(count) = self.delivered.get_mut(record.header.kind as usize) {
            *count += 1;
        }
        let data = note_places(&record, network.as_deref_mut());
        let mut next = self.resolver.resolve(&record);
        while let Some(mut event) = next {
            event.flags.late = late;
            self.complete(&mut event, data, network.as_deref());
            self.follow(event, now);
            next = self.resolver.next_of_record();
        }
    }

    /// Adds to an event about a packet the name of its interface and the filters that it passes.
    fn complete(&mut self, event: &mut Event, data: &[u8], network: Option<&Network>) {
        if let (Some(packet), Some(network)) = (event.network_mut(), network) {
            let name = network.device_name(packet.namespace, packet.interface);
            packet.device = name.unwrap_or_default().to_owned();
        }
        self.packets.judge(event, data);
    }

    /// What an event means for variables and for events that wait, around its being judged.
    fn follow(&mut self, event: Event, now: u64) {
        let (kind, pid) = (event.kind, event.process.info.pid);
        if kind == EventType::Fork {
            if let Some((parent, child)) = EventSubject::fork(&event) {
                self.variables.fork(parent, child);
            }
            return;
        }
        let hashes = kind.has_file() && self.actions.worker() == Some(pid);
        let is_own = hashes || self.agents.contains(&event.process.info.ppid);
        if is_own {
            return;
        }
        let key = EventSubject::key(&event.process);
        let time = event.unix_time();
        self.judge(event, now);
        if kind == EventType::Exit {
            self.variables.release_process(key);
            self.held.note_exit(pid, time);
            self.actions.note_exit(pid);
        }
    }

    fn judge(&mut self, event: Event, now: u64) {
        let event = Rc::new(event);
        let name = event.kind.name();
        let mut candidates = std::mem::take(&mut self.candidates);
        self.rules.candidates(name, &*event, &mut candidates);
        if self.variables.is_used() {
            let subject = EventSubject::new(&event, &self.resolver.processes);
            self.variables.advance(&subject, now);
        }
        for place in candidates.iter() {
            let rule = self.rules.rules(name).get(place);
            let Some(rule) = rule.filter(|rule| self.matches(rule, &event)) else {
                continue;
            };
            let rule = Rc::clone(rule);
            self.act(&rule, &event, now);
        }
        self.candidates = candidates;
    }

    fn matches(&self, rule: &Rule, event: &Event) -> bool {
        if !self.variables.is_used() {
            return rule.compiled.matches(event);
        }
        let subject = EventSubject::new(event, &self.resolver.processes);
        rule.compiled
            .matches(&self.variables.scoped(event, &subject))
    }

    /// Carries out what a rule that matched asks for, and sends its event if the limiter lets it.
    fn act(&mut self, rule: &Rc<Rule>, event: &Rc<Event>, now: u64) {
        let subject = EventSubject::new(event, &self.resolver.processes);
        rule.set_variables(&mut self.variables, &**event, &subject, now);
        let mut reports = Vec::new();
        if !rule.actions.is_empty() {
            let moment = Moment {
                processes: &self.resolver.processes,
                protected: &self.protected,
                now,
                unix_now: unix_now(),
            };
            let scoped = self.variables.scoped(&**event, &subject);
            reports = self.actions.enforce(rule, event, &scoped, &moment);
        }
        let scoped = self.variables.scoped(&**event, &subject);
        if !rule.allow(&scoped, now) {
            return;
        }
        self.actions
            .accompany(rule, event, &scoped, now, &mut reports);
        let shown = match self.variables.is_used() {
            true => variables::shown(&scoped, |text| self.resolver.masked(text)),
            false => Default::default(),
        };
        let complete = Complete {
            rule: Rc::clone(rule),
            event: Rc::clone(event),
            reports,
            variables: shown,
        };
        if let Some(ready) = self.held.keep(complete) {
            self.send(&ready);
        }
    }

    /// Sends what has waited for its reports; to be called in every turn.
    pub(super) fn release(&mut self) {
        if self.held.is_empty() {
            return;
        }
        for (id, hashes) in self.actions.hashes() {
            self.held.note_hashes(id, &hashes);
        }
        for ready in self.held.complete() {
            self.send(&ready);
        }
    }

    /// Sends everything that waits, as it is.
    pub(super) fn release_all(&mut self) {
        for ready in self.held.all() {
            self.send(&ready);
        }
    }

    fn send(&mut self, ready: &Complete) {
        let (rule, event) = (&ready.rule, &ready.event);
        let actions = actions::json(&ready.reports, event);
        let [global, process, container, cgroup] = &ready.variables;
        let info = RuleInfo {
            id: &rule.id,
            version: &rule.version,
            description: &rule.description,
            group_id: rule.group_id.as_deref(),
            policy_name: &rule.policy_name,
            policy_version: &rule.policy_version,
            actions: &actions,
            variables: Variables {
                global,
                process,
                container,
                cgroup,
            },
        };
        self.line.clear();
        json::serialize(event, &info, &self.host, &mut self.line);
        let tags = self.tags.of(rule, event);
        self.subscribers
            .publish(&rule.id, rule.silent, tags, &self.line);
    }

    /// Forgets variables and network filters of what is gone; to be called every second.
    pub(super) fn sweep(&mut self, now: u64) {
        self.actions
            .sweep(&self.resolver.processes, &self.protected);
        if self.variables.size().1 == 0 {
            return;
        }
        let alive = variables::Alive::new(&self.resolver.processes);
        self.variables.sweep(
            now,
            |key| alive.has_process(key),
            |id| alive.has_container(id),
            |path| alive.has_cgroup(path),
        );
    }
}
