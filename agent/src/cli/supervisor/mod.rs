//! The supervisor: starts both roles, starts again what dies, passes signals on.
//!
//! A single-threaded loop over signals and lifelines. [`role`] holds what is known of one role and
//! decides when it is due; this module owns the loop, the signals and the end. The roles are
//! children of this process, and whatever else it adopts as pid 1 is reaped.

mod role;

use std::io;
use std::time::{Duration, Instant};

use mio::{Events, Interest, Poll, Token};

pub use role::Plan;
use role::{Role, Verdict};

use super::exit::Exit;
use crate::sys::signals::{Signal, Signals};
use crate::sys::{memory, process};

/// How long the roles may take to stop before they are killed: with [`LAST_PATIENCE`] less than the
/// ten seconds that whoever stops this process usually waits.
const PATIENCE: Duration = Duration::from_secs(8);
/// How long a killed role may take to be gone.
const LAST_PATIENCE: Duration = Duration::from_secs(1);

const SIGNALS: Token = Token(usize::MAX);

/// Both roles and the loop that looks after them.
pub struct Supervisor {
    poll: Poll,
    signals: Signals,
    roles: Vec<Role>,
    stop: Option<Stop>,
}

/// An end that is under way.
struct Stop {
    deadline: Instant,
    killed: bool,
    exit: Exit,
}

impl Supervisor {
    /// Prepares to run these roles. From here on the signals are blocked and read in the loop.
    pub fn new(plans: impl IntoIterator<Item = Plan>) -> io::Result<Supervisor> {
        let mut signals = Signals::block(&[
            Signal::SIGCHLD,
            Signal::SIGTERM,
            Signal::SIGINT,
            Signal::SIGHUP,
        ])?;
        let poll = Poll::new()?;
        poll.registry()
            .register(&mut signals, SIGNALS, Interest::READABLE)?;
        let roles = plans
            .into_iter()
            .enumerate()
            .map(|(number, plan)| Role::new(Token(number), plan));
        Ok(Supervisor {
            poll,
            signals,
            roles: roles.collect(),
            stop: None,
        })
    }

    /// Runs until a signal or a role that cannot work here ends it.
    pub fn run(mut self) -> io::Result<Exit> {
        let mut events = Events::with_capacity(16);
        let mut has_begun = false;
        loop {
            let now = Instant::now();
            if let Some(exit) = self.progress(now) {
                return Ok(exit);
            }
            if !std::mem::replace(&mut has_begun, true) {
                memory::release_program();
            }
            let timeout = self
                .next_deadline()
                .map(|at| at.saturating_duration_since(now));
            match self.poll.poll(&mut events, timeout) {
                Err(error) if error.kind() != io::ErrorKind::Interrupted => return Err(error),
                _ => {}
            }
            for event in &events {
                if let Some(role) = self.roles.get_mut(event.token().0) {
                    role.read_lifeline(Instant::now());
                }
            }
            self.handle_signals();
        }
    }

    /// Does what is due; returns the exit code once everything has ended.
    fn progress(&mut self, now: Instant) -> Option<Exit> {
        let stopping = self.stop.is_some();
        if !stopping {
            for role in &mut self.roles {
                role.give_up_on_dead(now);
                role.start_when_due(self.poll.registry(), now);
            }
        }
        let stop = self.stop.as_mut()?;
        if self.roles.iter().all(Role::is_gone) {
            return Some(stop.exit);
        }
        if now < stop.deadline {
            return None;
        }
        if stop.killed {
            return Some(Exit::NotStopped);
        }
        for role in &self.roles {
            role.kill_at_end();
        }
        stop.killed = true;
        stop.exit = Exit::NotStopped;
        stop.deadline = now + LAST_PATIENCE;
        None
    }

    fn next_deadline(&self) -> Option<Instant> {
        match &self.stop {
            Some(stop) => Some(stop.deadline),
            None => self.roles.iter().filter_map(Role::deadline).min(),
        }
    }

    fn handle_signals(&mut self) {
        while let Some(signal) = self.signals.next() {
            match signal {
                Signal::SIGCHLD => self.reap(),
                Signal::SIGHUP => self.roles.iter().for_each(|role| role.send(Signal::SIGHUP)),
                signal => {
                    log::info!("stopping, because of {signal}");
                    self.stop(Exit::Success);
                }
            }
        }
    }

    fn reap(&mut self) {
        while let Some((pid, ending)) = process::reap() {
            let now = Instant::now();
            let stopping = self.stop.is_some();
            let verdicts: Vec<Verdict> = self
                .roles
                .iter_mut()
                .map(|role| role.ended(pid, ending, stopping, now))
                .collect();
            for verdict in verdicts {
                if let Verdict::StopAll(exit) = verdict {
                    self.stop(exit);
                }
            }
        }
    }

    /// Begins the end; what began it first decides the exit code.
    fn stop(&mut self, exit: Exit) {
        if self.stop.is_some() {
            return;
        }
        self.roles
            .iter()
            .for_each(|role| role.send(Signal::SIGTERM));
        let deadline = Instant::now() + PATIENCE;
        self.stop = Some(Stop {
            deadline,
            killed: false,
            exit,
        });
    }
}
