//! Events that wait for the reports of their rule's actions.

use std::rc::Rc;
use std::time::{Duration, Instant};

use super::hash::Hashing;
use super::Report;
use crate::event::{Event, Hashes};
use crate::policy::Rule;

/// How long an event waits: longer than the worker may take for a file.
const PATIENCE: Duration = Duration::from_secs(12);
/// How long an event waits for nothing but the end of a killed process.
const EXIT_PATIENCE: Duration = Duration::from_secs(2);
/// Events that wait; with more, the one that has waited longest goes as it is.
const MAX_HELD: usize = 256;

/// An event whose reports are complete, or whose time is up.
pub(in crate::probe) struct Complete {
    pub(in crate::probe) rule: Rc<Rule>,
    pub(in crate::probe) event: Rc<Event>,
    pub(in crate::probe) reports: Vec<Report>,
    /// The variables as they were when it happened.
    pub(in crate::probe) variables: [String; 4],
}

struct Waiting {
    inner: Complete,
    since: Instant,
}

/// Events that wait, in the order of their coming.
#[derive(Default)]
pub(in crate::probe) struct Held {
    waiting: Vec<Waiting>,
}

impl Held {
    /// Keeps an event until its reports are complete; returns what can go now: the event itself
    /// when nothing is open, or the oldest when there are too many.
    pub(in crate::probe) fn keep(&mut self, event: Complete) -> Option<Complete> {
        if !event.reports.iter().any(Report::is_open) {
            return Some(event);
        }
        self.waiting.push(Waiting {
            inner: event,
            since: Instant::now(),
        });
        (self.waiting.len() > MAX_HELD).then(|| self.waiting.remove(0).inner)
    }

    pub(in crate::probe) fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }

    /// Notes the end of a process, in nanoseconds since the epoch.
    pub(in crate::probe) fn note_exit(&mut self, pid: u32, at: u64) {
        for report in self
            .waiting
            .iter_mut()
            .flat_map(|one| &mut one.inner.reports)
        {
            if let Report::Kill(report) = report {
                if report.pid == pid && report.is_open() {
                    report.exited_at = at;
                }
            }
        }
    }

    /// Notes hashes that were asked for.
    pub(in crate::probe) fn note_hashes(&mut self, id: u64, hashes: &Hashes) {
        for waiting in &mut self.waiting {
            let event = &waiting.inner.event;
            for report in &mut waiting.inner.reports {
                let Report::Hash { field, hashing } = report else {
                    continue;
                };
                if *hashing == Hashing::Asked(id) {
                    event.set_hashes(field, hashes);
                    *hashing = Hashing::Done(hashes.clone());
                }
            }
        }
    }

    /// What can go now.
    pub(in crate::probe) fn complete(&mut self) -> Vec<Complete> {
        let is_done = |waiting: &mut Waiting| {
            let open = || {
                waiting
                    .inner
                    .reports
                    .iter()
                    .filter(|report| report.is_open())
            };
            let only_exits = open().all(|report| matches!(report, Report::Kill(_)));
            let patience = if only_exits { EXIT_PATIENCE } else { PATIENCE };
            open().next().is_none() || waiting.since.elapsed() > patience
        };
        let done = self.waiting.extract_if(.., is_done);
        done.map(|waiting| waiting.inner).collect()
    }

    /// Everything, as it is.
    pub(in crate::probe) fn all(&mut self) -> Vec<Complete> {
        let all = self.waiting.drain(..);
        all.map(|waiting| waiting.inner).collect()
    }
}
