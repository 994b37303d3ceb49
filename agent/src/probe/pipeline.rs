//! From a record to the lines that readers get.
//!
//! Decode, resolve, judge by the rules of that event type, limit, write as JSON, publish. Every
//! step that can lose something counts it.

use crate::event::json::{self, RuleInfo};
use crate::event::wire::{Record, KINDS};
use crate::event::{Event, HostInfo};
use crate::policy::{Rule, RuleSet};
use crate::resolve::Resolver;

use super::subscribers::Subscribers;

/// The way of an event, and its counters.
pub(super) struct Pipeline {
    pub(super) resolver: Resolver,
    pub(super) rules: RuleSet,
    pub(super) host: HostInfo,
    pub(super) subscribers: Subscribers,
    /// Records that came out of the stream, by kind number.
    pub(super) delivered: [u64; KINDS],
    /// Records that could not be decoded.
    pub(super) undecodable: u64,
    line: String,
}

impl Pipeline {
    pub(super) fn new(
        resolver: Resolver,
        rules: RuleSet,
        host: HostInfo,
        subscribers: Subscribers,
    ) -> Pipeline {
        Pipeline {
            resolver,
            rules,
            host,
            subscribers,
            delivered: [0; KINDS],
            undecodable: 0,
            line: String::new(),
        }
    }

    /// Takes one record, as bytes of the stream; `now` is CLOCK_MONOTONIC in nanoseconds, `late`
    /// says that a younger record was taken before.
    pub(super) fn take(&mut self, bytes: &[u8], late: bool, now: u64) {
        let Ok(record) = Record::decode(bytes) else {
            self.undecodable += 1;
            return;
        };
        if let Some(count) = self.delivered.get_mut(record.header.kind as usize) {
            *count += 1;
        }
        if let Some(mut event) = self.resolver.resolve(&record) {
            event.flags.late = late;
            self.judge(&event, now);
        }
    }

    fn judge(&mut self, event: &Event, now: u64) {
        for rule in self.rules.rules(event.kind.name()) {
            if !rule.compiled.matches(event) || !rule.allow(event, now) {
                continue;
            }
            self.line.clear();
            json::serialize(event, &info(rule), &self.host, &mut self.line);
            self.subscribers.publish(&rule.id, rule.silent, &self.line);
        }
    }
}

/// What the JSON says of a rule.
fn info(rule: &Rule) -> RuleInfo<'_> {
    RuleInfo {
        id: &rule.id,
        version: &rule.version,
        description: &rule.description,
        group_id: rule.group_id.as_deref(),
        policy_name: &rule.policy_name,
        policy_version: &rule.policy_version,
    }
}
