//! `run`: both roles under one supervisor.

use std::ffi::OsString;

use super::exit::Exit;
use super::flags::{CFGPATH, JSON_LINES, SYSPROBE_CONFIG};
use super::parse::Arguments;
use super::role_start::take_lock;
use super::settings;
use super::supervisor::{Plan, Supervisor};

/// Lock file of the supervisor below the run path.
pub(super) const LOCK: &str = "supervisor.pid";

/// Runs both roles until it is told to stop.
pub fn main(arguments: &Arguments) -> Exit {
    let Some(settings) = settings::of_daemon(arguments, "supervisor", true) else {
        return Exit::Failure;
    };
    let _lock = match take_lock(&settings.run_path().join(LOCK)) {
        Ok(lock) => lock,
        Err(exit) => return exit,
    };
    let files = file_flags(arguments);
    let mut forwarder = files.clone();
    if arguments.has(&JSON_LINES) {
        forwarder.push(format!("--{}", JSON_LINES.long).into());
    }
    let plans = [
        Plan {
            role: "system-probe",
            command: "run",
            flags: files,
            failure: Exit::ProbeCannotRun,
        },
        Plan {
            role: "security-agent",
            command: "start",
            flags: forwarder,
            failure: Exit::AgentCannotRun,
        },
    ];
    match Supervisor::new(plans).and_then(Supervisor::run) {
        Ok(exit) => exit,
        Err(error) => {
            log::error!("the supervisor cannot work: {error}");
            Exit::Failure
        }
    }
}

/// The flags that name files, as the roles are to get them.
fn file_flags(arguments: &Arguments) -> Vec<OsString> {
    let mut flags = Vec::new();
    for flag in [&CFGPATH, &SYSPROBE_CONFIG] {
        for path in arguments.paths(flag) {
            flags.push(format!("--{}", flag.long).into());
            flags.push(path.into());
        }
    }
    flags
}
