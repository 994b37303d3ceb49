//! What the webhook needs of somebody who may ask the API server.
//!
//! Jobs enter, outcomes leave later, by ticket. Nothing here blocks: the work is done elsewhere.

use std::time::Instant;

use crate::kube::job::{Job, Outcome};
use crate::kube::reason::Reason;

/// Somebody who prepares containers.
pub trait Prepare {
    /// Hands in a job; returns its ticket, which no other job has.
    fn submit(&mut self, job: Job, now: Instant) -> u64;

    /// What has come to an end since the last turn. Called whenever the loop wakes.
    fn turn(&mut self, now: Instant) -> Vec<(u64, Outcome)>;

    /// When to call [`Prepare::turn`] without being woken.
    fn deadline(&self) -> Option<Instant>;
}

/// Nobody: no pod can be looked at, so that every command stays as it is.
#[derive(Debug, Default)]
pub struct Nobody {
    tickets: u64,
    waiting: Vec<u64>,
}

impl Prepare for Nobody {
    fn submit(&mut self, _: Job, _: Instant) -> u64 {
        self.tickets += 1;
        self.waiting.push(self.tickets);
        self.tickets
    }

    fn turn(&mut self, _: Instant) -> Vec<(u64, Outcome)> {
        let waiting = std::mem::take(&mut self.waiting);
        let skip = |ticket| (ticket, Outcome::Skip(Reason::DescribePod));
        waiting.into_iter().map(skip).collect()
    }

    fn deadline(&self) -> Option<Instant> {
        (!self.waiting.is_empty()).then(Instant::now)
    }
}
