//! What the webhook needs of somebody who may ask the API server.
//!
//! Jobs enter, outcomes leave later, by ticket. Nothing here blocks: the work is done elsewhere.

use std::time::Instant;

use crate::kube::job::{Job, Outcome};

/// Somebody who prepares containers.
pub trait Prepare {
    /// Hands in a job; returns its ticket, which no other job has.
    fn submit(&mut self, job: Job, now: Instant) -> u64;

    /// What has come to an end since the last turn. Called whenever the loop wakes.
    fn turn(&mut self, now: Instant) -> Vec<(u64, Outcome)>;

    /// When to call [`Prepare::turn`] without being woken.
    fn deadline(&self) -> Option<Instant>;
}
