//! The exit codes of every command.

use std::process::ExitCode;

/// How a command ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Exit {
    /// It did what it was asked to do.
    Success = 0,
    /// It did not; a sentence on standard error says why.
    Failure = 1,
    /// The command line was not understood.
    Usage = 2,
    /// This role cannot work on this host (rights, kernel); starting it again is of no use.
    CannotRun = 3,
    /// The supervisor stopped, but a role had to be killed.
    NotStopped = 4,
    /// The supervisor ended, because system-probe cannot work on this host.
    ProbeCannotRun = 5,
    /// The supervisor ended, because security-agent cannot work on this host.
    AgentCannotRun = 6,
    /// The user's command cannot be run (`cws-instrumentation inject`), as shells say it.
    CommandNotExecutable = 126,
    /// The user's command is not there, as shells say it.
    CommandNotFound = 127,
    /// The rule does not match the event (`runtime policy eval`).
    NoMatch = 255,
}

impl Exit {
    /// The number that the parent process sees.
    pub fn code(self) -> i32 {
        i32::from(self as u8)
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> ExitCode {
        ExitCode::from(exit as u8)
    }
}
