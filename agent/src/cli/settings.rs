//! From the flags of a command to its settings.

use std::path::PathBuf;

use super::flags::{CFGPATH, CONFIG, SUPERVISOR, SYSPROBE_CONFIG};
use super::parse::Arguments;
use super::print;
use super::run::LOCK as SUPERVISOR_LOCK;
use crate::config::{Request, Settings};
use crate::logger;
use crate::sys::lock;

/// The files that the flags name, and the environment.
pub fn request(arguments: &Arguments) -> Request {
    let probe = arguments
        .value(&SYSPROBE_CONFIG)
        .or(arguments.value(&CONFIG));
    Request {
        cfgpaths: arguments.paths(&CFGPATH),
        sysprobe_config: probe.map(PathBuf::from),
        ..Request::standard()
    }
}

/// Settings of a command that asks a running agent: problems of the configuration are said, but
/// do not stop it. Under a living supervisor they are those that it runs its roles with.
pub fn of_client(arguments: &Arguments) -> Settings {
    let mut settings = Settings::load(&request(arguments));
    for error in settings.errors() {
        print::error(error);
    }
    let supervisor = settings.run_path().join(SUPERVISOR_LOCK);
    if matches!(lock::holder(&supervisor), Ok(Some(_))) {
        settings.enable_by_default();
    }
    settings
}

/// Settings of a flare, which is wanted most when the configuration is broken: whatever is wrong
/// with it is told and nothing more.
pub fn of_flare(arguments: &Arguments, tell: &dyn Fn(&str)) -> Settings {
    let settings = Settings::load(&request(arguments));
    for problem in settings.errors().iter().chain(settings.warnings()) {
        tell(problem);
    }
    settings
}

/// Settings of a daemon, and its log: a file that cannot be used stops it, because it may have
/// said that nothing is to run. `None` then; the sentences are said.
pub fn of_daemon(
    arguments: &Arguments,
    role: &'static str,
    enabled_by_default: bool,
) -> Option<Settings> {
    let request = Request {
        enabled_by_default,
        ..request(arguments)
    };
    of_daemon_by(&request, arguments, role)
}

/// The same for a request that differs in more.
pub fn of_daemon_by(
    request: &Request,
    arguments: &Arguments,
    role: &'static str,
) -> Option<Settings> {
    let settings = Settings::load(request);
    logger::start(role, &logger::Options::new(&settings, role));
    // The supervisor has read the same configuration and said the same already.
    if arguments.value(&SUPERVISOR).is_none() {
        for warning in settings.warnings() {
            log::warn!("{warning}");
        }
        if !settings.without_effect().is_empty() {
            let names = settings.without_effect().join(", ");
            log::debug!("what is set but has no effect in this agent: {names}");
        }
    }
    for error in settings.errors() {
        log::error!("{error}");
    }
    settings.errors().is_empty().then_some(settings)
}
