//! `start` and `system-probe run`: a role in the foreground, alone or under a supervisor.
//!
//! What both have in common happens here: the tie to the supervisor, settings and log, pidfiles,
//! and staying alive with nothing loaded when Workload Protection is switched off. The rest is in
//! `forward` and `probe`.

use std::ffi::CString;
use std::io;
use std::path::Path;

use mio::{Events, Interest, Poll, Token};

use super::exit::Exit;
use super::flags::{Flag, JSON_LINES, PID, PIDFILE, SUPERVISOR};
use super::parse::Arguments;
use super::settings;
use crate::config::{Mode, Settings};
use crate::sys::lock::LockFile;
use crate::sys::signals::{Signal, Signals};
use crate::sys::{directory, lifeline, process};
use crate::{forward, probe};

/// Lock file of the security-agent role below the run path; its lock says that the role lives.
pub const SECURITY_AGENT_LOCK: &str = "security-agent.pid";

/// Runs the forwarder until it is told to stop.
pub fn security_agent(arguments: &Arguments) -> Exit {
    let role = match enter(arguments, &PIDFILE, Some(SECURITY_AGENT_LOCK)) {
        Ok(role) => role,
        Err(exit) => return exit,
    };
    if let Mode::Off(reason) = role.settings.mode() {
        return stay_idle(&reason);
    }
    let options = forward::Options {
        json: arguments.has(&JSON_LINES),
    };
    match forward::run(&role.settings, &options) {
        Ok(()) => Exit::Success,
        Err(error) => {
            log::error!("{error}");
            Exit::Failure
        }
    }
}

/// Runs the probes until they are told to stop.
pub fn system_probe(arguments: &Arguments) -> Exit {
    let role = match enter(arguments, &PID, None) {
        Ok(role) => role,
        Err(exit) => return exit,
    };
    if let Mode::Off(reason) = role.settings.mode() {
        return stay_idle(&reason);
    }
    match probe::run(
        &role.settings,
        probe::Options {
            supervisor: role.supervisor,
        },
    ) {
        Ok(()) => Exit::Success,
        Err(error) => {
            log::error!("{error}");
            match error.is_permanent() {
                true => Exit::CannotRun,
                false => Exit::Failure,
            }
        }
    }
}

/// A role that may begin its work.
struct Entered {
    settings: Settings,
    supervisor: Option<u32>,
    /// Held as long as the role runs.
    _locks: Vec<LockFile>,
}

/// Everything that comes before the role's own work.
fn enter(arguments: &Arguments, pidfile: &Flag, lock: Option<&str>) -> Result<Entered, Exit> {
    let role = arguments.role.name();
    let supervisor = follow_supervisor(arguments)?;
    name_process(role);
    let settings =
        settings::of_daemon(arguments, role, supervisor.is_some()).ok_or(Exit::Failure)?;
    directory::narrow(&settings.run_path());
    let own = lock.map(|name| settings.run_path().join(name));
    let given = arguments
        .value(pidfile)
        .map(|path| Path::new(path).to_owned());
    let given = given.filter(|given| own.as_ref() != Some(given));
    let mut locks = Vec::new();
    for path in own.into_iter().chain(given) {
        locks.extend(take_lock(&path)?);
    }
    Ok(Entered {
        settings,
        supervisor,
        _locks: locks,
    })
}

/// Takes a lock that says that this process runs. On a file system that takes no files the process
/// goes on without: whether another one runs is then told by system-probe's sockets alone.
pub(super) fn take_lock(path: &Path) -> Result<Option<LockFile>, Exit> {
    match LockFile::acquire(path) {
        Ok(lock) => Ok(Some(lock)),
        Err(error) if error.is_of_file_system() => {
            log::warn!("{error}; going on without it");
            Ok(None)
        }
        Err(error) => {
            log::error!("{error}");
            Err(Exit::Failure)
        }
    }
}

/// Ties this process to its supervisor, if it has one, before it opens anything.
fn follow_supervisor(arguments: &Arguments) -> Result<Option<u32>, Exit> {
    let Some(text) = arguments.value(&SUPERVISOR) else {
        return Ok(None);
    };
    let supervisor = text
        .to_str()
        .and_then(|text| text.parse().ok())
        .ok_or(Exit::Usage)?;
    if lifeline::hold().is_err() || !process::follow(supervisor) {
        // There is nobody left to tell.
        return Err(Exit::Failure);
    }
    Ok(Some(supervisor))
}

/// Gives the process the role's name in lists, which otherwise is that of the file it was run as.
fn name_process(role: &str) {
    if let Ok(name) = CString::new(role) {
        let _ = nix::sys::prctl::set_name(&name);
    }
}

/// Does nothing until it is told to stop, so that services and pods stay healthy.
fn stay_idle(reason: &str) -> Exit {
    log::info!("Workload Protection is off: {reason}; nothing is loaded");
    match wait_for_stop() {
        Ok(()) => Exit::Success,
        Err(error) => {
            log::error!("signals cannot be waited for: {error}");
            Exit::Failure
        }
    }
}

fn wait_for_stop() -> io::Result<()> {
    let mut signals = Signals::block(&[Signal::SIGTERM, Signal::SIGINT, Signal::SIGHUP])?;
    let mut poll = Poll::new()?;
    poll.registry()
        .register(&mut signals, Token(0), Interest::READABLE)?;
    let mut events = Events::with_capacity(1);
    loop {
        match poll.poll(&mut events, None) {
            Err(error) if error.kind() != io::ErrorKind::Interrupted => return Err(error),
            _ => {}
        }
        while let Some(signal) = signals.next() {
            if signal != Signal::SIGHUP {
                return Ok(());
            }
        }
    }
}
