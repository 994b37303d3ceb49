//! One supervised role: its process, its lifeline, and when to start it again.
//!
//! A role is waiting to be started or running. Its process is dead when it is reaped, or when its
//! lifeline is down for longer than an orderly end takes; a dead process that the kernel still
//! holds on to (see [`crate::sys::lifeline`]) is remembered until it is reaped.

use std::ffi::OsString;
use std::io::{self, ErrorKind, Read};
use std::os::fd::OwnedFd;
use std::os::unix::process::CommandExt;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use mio::net::UnixStream;
use mio::{Interest, Registry, Token};

use crate::cli::exit::Exit;
use crate::cli::flags::SUPERVISOR;
use crate::sys::lifeline;
use crate::sys::process::{self, Ending};
use crate::sys::signals::Signal;

/// Pause before the first restart; it doubles with every quick death that follows.
const FIRST_PAUSE: Duration = Duration::from_millis(100);
/// Longest pause between two starts.
const LONGEST_PAUSE: Duration = Duration::from_secs(60);
/// A role that ran for so long was well; its next restart is a first one.
const WELL: Duration = Duration::from_secs(10);
/// An orderly end is reaped within this time after the lifeline went down.
const ORDERLY_END: Duration = Duration::from_millis(150);

/// What to run.
#[derive(Clone, Debug)]
pub struct Plan {
    /// The role, which is also the name it is run as.
    pub role: &'static str,
    /// The command of the role.
    pub command: &'static str,
    /// Flags after the command.
    pub flags: Vec<OsString>,
    /// How the supervisor ends when this role cannot work here.
    pub failure: Exit,
}

/// What the end of a process means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// The supervisor goes on.
    GoOn,
    /// The role cannot work here, so everything stops, with this exit code.
    StopAll(Exit),
}

/// A role and its process.
pub(super) struct Role {
    token: Token,
    plan: Plan,
    state: State,
    quick_deaths: u32,
    /// Killed processes that are not reaped yet.
    leaving: Vec<u32>,
}

enum State {
    Waiting {
        until: Instant,
    },
    Running {
        pid: u32,
        since: Instant,
        line: UnixStream,
        down_since: Option<Instant>,
    },
}

impl Role {
    /// A role that is due at once.
    pub(super) fn new(token: Token, plan: Plan) -> Role {
        let state = State::Waiting {
            until: Instant::now(),
        };
        Role {
            token,
            plan,
            state,
            quick_deaths: 0,
            leaving: Vec::new(),
        }
    }

    /// When this role next wants attention.
    pub(super) fn deadline(&self) -> Option<Instant> {
        match &self.state {
            State::Waiting { until } => Some(*until),
            State::Running {
                down_since: Some(down),
                ..
            } => Some(*down + ORDERLY_END),
            _ => None,
        }
    }

    /// Whether no process of this role is left.
    pub(super) fn is_gone(&self) -> bool {
        matches!(self.state, State::Waiting { .. }) && self.leaving.is_empty()
    }

    /// Starts the process if it is time to.
    pub(super) fn start_when_due(&mut self, registry: &Registry, now: Instant) {
        if !matches!(self.state, State::Waiting { until } if until <= now) {
            return;
        }
        match self.start(registry, now) {
            Ok(()) => {}
            Err(error) => {
                log::error!("{} cannot be started: {error}", self.plan.role);
                self.wait(now);
            }
        }
    }

    /// Notes that the lifeline went down.
    pub(super) fn read_lifeline(&mut self, now: Instant) {
        let State::Running {
            line, down_since, ..
        } = &mut self.state
        else {
            return;
        };
        let mut piece = [0; 64];
        loop {
            match line.read(&mut piece) {
                Ok(0) => break,
                Ok(_) => {}
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) if error.kind() == ErrorKind::WouldBlock => return,
                Err(_) => break,
            }
        }
        down_since.get_or_insert(now);
    }

    /// Counts a process as dead whose lifeline is down and that is not reaped.
    pub(super) fn give_up_on_dead(&mut self, now: Instant) {
        let State::Running {
            pid,
            since,
            down_since: Some(down),
            ..
        } = &self.state
        else {
            return;
        };
        if now < *down + ORDERLY_END {
            return;
        }
        let (pid, since) = (*pid, *since);
        log::warn!("{} (pid {pid}) is dead or dying", self.plan.role);
        process::send(pid, Signal::SIGKILL);
        self.leaving.push(pid);
        self.count_death(since, now);
    }

    /// Takes note of a reaped process, whoever's it is.
    pub(super) fn ended(
        &mut self,
        pid: u32,
        ending: Ending,
        stopping: bool,
        now: Instant,
    ) -> Verdict {
        self.leaving.retain(|leaving| *leaving != pid);
        let State::Running {
            pid: own, since, ..
        } = &self.state
        else {
            return Verdict::GoOn;
        };
        if *own != pid {
            return Verdict::GoOn;
        }
        let since = *since;
        if stopping {
            self.state = State::Waiting { until: now };
            return Verdict::GoOn;
        }
        let role = self.plan.role;
        if is_final(ending) {
            log::error!("{role} cannot run here (it {ending}), so everything stops");
            self.state = State::Waiting { until: now };
            return Verdict::StopAll(self.plan.failure);
        }
        log::warn!("{role} (pid {pid}) {ending}");
        self.count_death(since, now);
        Verdict::GoOn
    }

    /// Sends a signal to the running process.
    pub(super) fn send(&self, signal: Signal) {
        if let State::Running { pid, .. } = &self.state {
            process::send(*pid, signal);
        }
    }

    /// Kills the process because it did not stop in time.
    pub(super) fn kill_at_end(&self) {
        if let State::Running { pid, .. } = &self.state {
            log::error!(
                "{} (pid {pid}) did not stop in time and is killed",
                self.plan.role
            );
            process::send(*pid, Signal::SIGKILL);
        }
    }

    fn start(&mut self, registry: &Registry, now: Instant) -> io::Result<()> {
        let (ours, theirs) = lifeline::pair()?;
        let mut line = UnixStream::from_std(ours);
        registry.register(&mut line, self.token, Interest::READABLE)?;
        let pid = spawn(&self.plan, OwnedFd::from(theirs))?;
        log::debug!("{} runs as pid {pid}", self.plan.role);
        self.state = State::Running {
            pid,
            since: now,
            line,
            down_since: None,
        };
        Ok(())
    }

    fn count_death(&mut self, since: Instant, now: Instant) {
        if now.saturating_duration_since(since) >= WELL {
            self.quick_deaths = 0;
        }
        self.wait(now);
        log::info!(
            "{} starts again in {:?}",
            self.plan.role,
            pause(self.quick_deaths)
        );
    }

    fn wait(&mut self, now: Instant) {
        self.quick_deaths = self.quick_deaths.saturating_add(1);
        self.state = State::Waiting {
            until: now + pause(self.quick_deaths),
        };
    }
}

/// Whether starting the role again cannot help.
fn is_final(ending: Ending) -> bool {
    [Exit::CannotRun, Exit::Usage]
        .iter()
        .any(|exit| ending == Ending::Code(exit.code()))
}

/// The pause before the next start, after this many quick deaths in a row.
fn pause(deaths: u32) -> Duration {
    let doublings = deaths.saturating_sub(1).min(16);
    FIRST_PAUSE
        .saturating_mul(1 << doublings)
        .min(LONGEST_PAUSE)
}

/// Runs this binary in another role; returns the pid. The loop reaps it.
fn spawn(plan: &Plan, line: OwnedFd) -> io::Result<u32> {
    let child = Command::new("/proc/self/exe")
        .arg0(plan.role)
        .arg(plan.command)
        .args(&plan.flags)
        .arg(format!("--{}", SUPERVISOR.long))
        .arg(std::process::id().to_string())
        .stdin(Stdio::from(line))
        .spawn()?;
    Ok(child.id())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_up_to_a_minute() {
        let seconds: Vec<f64> = [0, 1, 2, 3, 4, 5, 9, 10, 11, 12, u32::MAX]
            .into_iter()
            .map(|deaths| pause(deaths).as_secs_f64())
            .collect();
        let expected = [0.1, 0.1, 0.2, 0.4, 0.8, 1.6, 25.6, 51.2, 60.0, 60.0, 60.0];
        assert_eq!(seconds, expected);
    }

    #[test]
    fn only_a_role_that_cannot_work_stops_everything() {
        assert!(is_final(Ending::Code(3)) && is_final(Ending::Code(2)));
        for ending in [
            Ending::Code(0),
            Ending::Code(1),
            Ending::Code(101),
            Ending::Signal(9),
        ] {
            assert!(!is_final(ending));
        }
    }
}
