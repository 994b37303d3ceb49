//! How the loop runs the self-test and tells its result: to who asked, to readers, to the log.

use std::os::fd::RawFd;
use std::time::{Instant, SystemTime};

use log::{info, warn};
use mio::unix::SourceFd;
use mio::Interest;

use super::{Agent, SELF_TEST};
use crate::event::json;
use crate::ipc::{failure, SUCCESS};
use crate::probe::self_test::Outcome;
use crate::probe::status::LastTest;
use crate::probe::unix_now;

impl Agent {
    /// Starts a run for the peers that wait.
    pub(super) fn start_test(&mut self) {
        match self.self_test.start(self.events.path()) {
            Ok(descriptor) => self.watch_test(descriptor),
            Err(reason) => self.finish_test(Outcome::failure(reason)),
        }
    }

    fn watch_test(&mut self, descriptor: RawFd) {
        // Without this the tick finds the answer all the same, a little later.
        let registry = self.poll.registry();
        let _ = registry.register(&mut SourceFd(&descriptor), SELF_TEST, Interest::READABLE);
    }

    pub(super) fn finish_test(&mut self, outcome: Outcome) {
        let reply = match outcome.is_ok() {
            true => SUCCESS.to_string(),
            false => failure(&self.explain(&outcome)),
        };
        for peer in std::mem::take(&mut self.waiting) {
            self.commands.reply_late(peer, &reply);
        }
        if self.sends_report {
            let (succeeded, failed) = (&outcome.succeeded, &outcome.failed);
            let line = json::self_test(&self.pipeline.host, unix_now(), succeeded, failed);
            self.pipeline.subscribers.tell("self_test", &line);
        }
        match outcome.is_ok() {
            true => info!("Runtime self test: OK"),
            false => warn!("Runtime self test: error: {}", self.explain(&outcome)),
        }
        self.last_test = Some(LastTest {
            at: SystemTime::now(),
            outcome,
        });
        // The first test ends the start, and none is in a hurry.
        self.pages.release(Instant::now());
        self.waiting = std::mem::take(&mut self.queued);
        if !self.waiting.is_empty() {
            self.start_test();
        }
    }

    /// Which event did not come, and the likely cause, as a sentence.
    fn explain(&self, outcome: &Outcome) -> String {
        let failed = outcome.failed.join(", ");
        let rungs = self.probes.rungs().iter();
        let mut causes: Vec<String> = rungs
            .filter(|rung| outcome.failed.iter().any(|name| name == rung.kind.name()))
            .filter(|rung| rung.rung == "none")
            .map(|rung| {
                format!(
                    "no hook for {} is attached ({})",
                    rung.kind.name(),
                    rung.notes.join("; ")
                )
            })
            .collect();
        if !outcome.reason.is_empty() {
            causes.push(outcome.reason.clone());
        }
        if causes.is_empty() {
            causes.push("it was not delivered in time; see lost events in `status`".to_string());
        }
        format!("the event of {failed} did not come: {}", causes.join("; "))
    }
}
