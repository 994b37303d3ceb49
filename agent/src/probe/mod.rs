//! The system-probe role: probes in, judged events out, commands answered, all in one loop.
//!
//! [`run`] binds the sockets, loads the policies, starts the probes and then turns until a signal
//! or a command ends it. Nothing in a turn waits: sockets are non-blocking, the self-test is a
//! child whose output is polled.

mod actions;
mod agent;
mod collectors;
pub mod commands;
mod container;
mod diagnosis;
mod filters;
mod heartbeat;
mod journal;
mod network;
mod packets;
mod pipeline;
mod policies;
mod reader;
mod rights;
pub mod runner;
pub mod self_test;
mod status;
mod subject;
pub mod subscribers;
mod subscription;
mod tags;
mod turns;
mod variables;

use std::fmt;
use std::io;

use crate::config::Settings;
use crate::kernel;
use crate::resolve::clock::unix_now;
use crate::sys::socket;

pub use actions::worker;

/// What the command line adds to the settings.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// Process id of the supervisor, whose file events are the agent's own.
    pub supervisor: Option<u32>,
}

/// Why the role ended.
#[derive(Debug)]
pub enum Error {
    /// The loop or its sockets failed; trying again may help.
    Io(&'static str, io::Error),
    /// A socket could not be had.
    Socket(socket::Error),
    /// Nothing can be watched on this host as it is; trying again does not help.
    Kernel(kernel::Error),
}

impl Error {
    /// Whether starting again cannot help.
    pub fn is_permanent(&self) -> bool {
        matches!(
            self,
            Error::Kernel(_) | Error::Socket(socket::Error::TooLong(_))
        )
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Error::Io(what, error) => write!(f, "{what} failed: {error}"),
            Error::Socket(error) => write!(f, "{error}"),
            Error::Kernel(error) => write!(f, "{error}"),
        }
    }
}

impl std::error::Error for Error {}

/// Runs the role until it is told to end.
pub fn run(settings: &Settings, options: Options) -> Result<(), Error> {
    agent::Agent::start(settings, &options)?.run()
}
