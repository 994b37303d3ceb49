//! The loop's side of the processes that ask the API server ([`super::serve`]).
//!
//! A [`Job`] enters with [`Pool::submit`] and is answered with a [`Ticket`]; the [`Outcome`] leaves
//! with [`Pool::turn`], which the loop calls whenever a socket of the pool is ready and when the
//! deadline has come. Nothing here blocks. A process is started when
//! it is needed, killed when its job is late, and ends by itself when it is idle.
//!
//! Jobs that are equal are done once, and those of one pod one after the other: otherwise a second
//! copy could replace the helper while the first session starts it.

use std::collections::VecDeque;
use std::io;
use std::os::unix::net::UnixStream as StdStream;
use std::process::Child;
use std::time::{Duration, Instant};

use mio::{Registry, Token};

use super::cluster::VARIABLES;
use super::prepare::LONGEST;
use crate::http::worker::{once_more, Running, Start};
use crate::kube::admission::prepare::Prepare;
use crate::kube::job::{Job, Mode, Outcome};
use crate::kube::reason::Reason;

/// Processes at most.
const PROCESSES: usize = 4;
/// Jobs that were taken and have no outcome yet.
const MAX_JOBS: usize = 256;
/// How much earlier than it is killed a process is to give up, so that it can say why.
const RESERVE: Duration = Duration::from_millis(100);

/// A job that was submitted; no other job of a pool has the same.
pub type Ticket = u64;

/// A job and who waits for it.
struct Work {
    job: Job,
    tickets: Vec<Ticket>,
    until: Instant,
}

impl Work {
    fn is_of_the_pod_of(&self, other: &Work) -> bool {
        (&self.job.namespace, &self.job.pod) == (&other.job.namespace, &other.job.pod)
    }

    /// Its outcome when it was given up in the middle.
    fn given_up(&self) -> Outcome {
        Outcome::Skip(match self.job.mode {
            Mode::InitContainer => Reason::DescribePod,
            Mode::RemoteCopy { .. } => Reason::CopyFailed,
        })
    }
}

/// A place for a process.
struct Slot {
    token: Token,
    process: Option<Running>,
    work: Option<Work>,
}

/// A few processes and the jobs that wait for them.
pub struct Pool {
    registry: Registry,
    first_token: usize,
    start: Start,
    slots: Vec<Slot>,
    queue: VecDeque<Work>,
    next_ticket: u64,
    /// What [`Pool::turn`] is to return.
    done: Vec<(Ticket, Outcome)>,
    /// Since when something of it waits for that.
    due: Option<Instant>,
    /// Jobs that were taken and not returned.
    jobs: usize,
    /// The sentence that was logged last.
    logged: String,
}

impl Pool {
    /// Tokens that a pool needs, its first one included.
    pub const TOKENS: usize = PROCESSES;

    /// A pool without a process.
    ///
    /// # Errors
    /// The registry cannot be used twice.
    pub fn new(registry: &Registry, first_token: usize) -> io::Result<Pool> {
        Pool::started_by(registry, first_token, start)
    }

    fn started_by(registry: &Registry, first_token: usize, start: Start) -> io::Result<Pool> {
        let slot = |index| Slot {
            token: Token(first_token + index),
            process: None,
            work: None,
        };
        Ok(Pool {
            registry: registry.try_clone()?,
            first_token,
            start,
            slots: (0..PROCESSES).map(slot).collect(),
            queue: VecDeque::new(),
            next_ticket: 0,
            done: Vec::new(),
            due: None,
            jobs: 0,
            logged: String::new(),
        })
    }

    /// Whether an event with this token is one of the pool's.
    pub fn owns(&self, token: Token) -> bool {
        (self.first_token..self.first_token + PROCESSES).contains(&token.0)
    }
}

impl Prepare for Pool {
    /// Takes a job. When too many wait, it is over with the next turn.
    fn submit(&mut self, mut job: Job, now: Instant) -> Ticket {
        let until = now + job.timeout.min(LONGEST);
        // What is left is told to the process; what was given makes no job another one.
        job.timeout = Duration::ZERO;
        let ticket = self.next_ticket;
        self.next_ticket += 1;
        self.jobs += 1;
        if self.jobs > MAX_JOBS {
            self.log("too many sessions wait for the API server");
            self.done.push((ticket, Outcome::Skip(Reason::DescribePod)));
            self.due = Some(now);
            return ticket;
        }
        let running = self.slots.iter_mut().filter_map(|slot| slot.work.as_mut());
        let mut all = running.chain(&mut self.queue);
        // It began earlier, and so ends earlier than if it began once more.
        if let Some(equal) = all.find(|work| work.job == job) {
            equal.tickets.push(ticket);
            return ticket;
        }
        self.queue.push_back(Work {
            job,
            tickets: vec![ticket],
            until,
        });
        self.assign(now);
        ticket
    }

    /// When [`Pool::turn`] must be called at the latest.
    fn deadline(&self) -> Option<Instant> {
        let running = self.slots.iter().filter_map(|slot| slot.work.as_ref());
        let until = running.chain(&self.queue).map(|work| work.until);
        until.chain(self.due).min()
    }

    /// Goes on with the jobs; what became of those that are over.
    fn turn(&mut self, now: Instant) -> Vec<(Ticket, Outcome)> {
        for index in 0..self.slots.len() {
            self.turn_slot(index, now);
        }
        while let Some(index) = self.queue.iter().position(|work| work.until <= now) {
            if let Some(work) = self.queue.remove(index) {
                self.log("all processes that ask the API server were busy for too long");
                self.finish(work, Outcome::Skip(Reason::DescribePod));
            }
        }
        self.assign(now);
        self.due = None;
        let done = std::mem::take(&mut self.done);
        self.jobs = self.jobs.saturating_sub(done.len());
        done
    }
}

impl Pool {
    fn turn_slot(&mut self, index: usize, now: Instant) {
        let Some(slot) = self.slots.get_mut(index) else {
            return;
        };
        let Some(process) = &mut slot.process else {
            return;
        };
        let result = process.write().and_then(|()| process.read());
        let is_late = slot.work.as_ref().is_some_and(|work| work.until <= now);
        let answer = match &result {
            Ok(Some(line)) => serde_json::from_slice(line).ok(),
            Ok(None) if !is_late => return,
            _ => None,
        };
        if answer.is_none() {
            // It has ended, hangs, or says what it must not.
            if let Some(process) = slot.process.take() {
                process.stop(&self.registry);
            }
        }
        let Some(work) = slot.work.take() else {
            return;
        };
        let (outcome, sentence) = answer.unwrap_or_else(|| {
            let sentence = "a process that asked the API server had to be ended";
            (work.given_up(), sentence.to_owned())
        });
        self.log(&sentence);
        self.finish(work, outcome);
    }

    /// Gives waiting jobs to processes that have none.
    fn assign(&mut self, now: Instant) {
        loop {
            // One that runs is better than one that has to be started.
            let idle = self.slots.iter().enumerate();
            let idle = idle.filter(|(_, slot)| slot.work.is_none());
            let Some((index, _)) = idle.min_by_key(|(_, slot)| slot.process.is_none()) else {
                return;
            };
            let slots = &self.slots;
            let is_free = |work: &Work| {
                let mut running = slots.iter().filter_map(|slot| slot.work.as_ref());
                !running.any(|other| work.is_of_the_pod_of(other))
            };
            let next = self.queue.iter().position(is_free);
            let Some(work) = next.and_then(|next| self.queue.remove(next)) else {
                return;
            };
            self.begin(index, work, now);
        }
    }

    fn begin(&mut self, index: usize, work: Work, now: Instant) {
        let Some(slot) = self.slots.get_mut(index) else {
            return;
        };
        match slot.begin(&work, self.start, &self.registry, now) {
            Ok(()) => slot.work = Some(work),
            Err(error) => {
                if let Some(process) = slot.process.take() {
                    process.stop(&self.registry);
                }
                self.log(&format!(
                    "the process that asks the API server cannot be started: {error}"
                ));
                self.finish(work, Outcome::Skip(Reason::DescribePod));
                self.due = Some(now);
            }
        }
    }

    fn finish(&mut self, work: Work, outcome: Outcome) {
        let tickets = work.tickets.into_iter();
        self.done
            .extend(tickets.map(|ticket| (ticket, outcome.clone())));
    }

    /// Logs a sentence, once until there is another one to log.
    fn log(&mut self, sentence: &str) {
        if !sentence.is_empty() && sentence != self.logged {
            log::warn!("a session is left without its user: {sentence}");
            sentence.clone_into(&mut self.logged);
        }
    }
}

impl Slot {
    fn begin(
        &mut self,
        work: &Work,
        start: Start,
        registry: &Registry,
        now: Instant,
    ) -> io::Result<()> {
        // A process that has ended since its last job is noticed now.
        if let Some(mut process) = self.process.take() {
            match process.read() {
                Ok(None) => self.process = Some(process),
                _ => process.stop(registry),
            }
        }
        let left = work.until.saturating_duration_since(now);
        let mut job = work.job.clone();
        job.timeout = left - RESERVE.min(left / 8);
        let mut line = serde_json::to_vec(&job)?;
        line.push(b'\n');
        let process = match &mut self.process {
            Some(process) => process,
            none => none.insert(Running::start(start, registry, self.token)?),
        };
        process.ask(vec![(line, 0)])
    }
}

impl Drop for Pool {
    fn drop(&mut self) {
        for slot in &mut self.slots {
            if let Some(process) = slot.process.take() {
                process.stop(&self.registry);
            }
        }
    }
}

fn start() -> io::Result<(StdStream, Option<Child>)> {
    once_more("kube-worker", &VARIABLES)
}

#[cfg(test)]
mod tests;
