//! What the configuration says of the log.
//!
//! Settings and the name of a role enter, [`Options`] leave, with sentences about what was not
//! understood, for the log itself to say once it runs.

use log::{Level, LevelFilter};

use super::level_of;
use super::sink::FileOptions;
use super::syslog::Target;
use crate::config::{keys, Key, Settings};
use crate::scrub::Scrubber;

/// How the log of a process is to be.
#[derive(Clone, Debug)]
pub struct Options {
    pub(super) level: LevelFilter,
    /// Whether messages go to standard error.
    pub(super) console: bool,
    pub(super) json: bool,
    pub(super) file: Option<FileOptions>,
    pub(super) syslog: Option<SyslogOptions>,
    /// Knows the secrets of the configuration; nothing is written without it.
    pub(super) scrubber: Option<Scrubber>,
    pub(super) complaints: Vec<(Level, String)>,
}

/// How syslog is spoken to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct SyslogOptions {
    pub(super) target: Target,
    pub(super) rfc5424: bool,
    /// Name of this host.
    pub(super) host: String,
}

impl Options {
    /// The options of a role. Only `system-probe` and `security-agent` have a log file.
    pub fn new(settings: &Settings, role: &str) -> Options {
        let mut complaints = Vec::new();
        let level = level_of(settings.text(&keys::LOG_LEVEL)).unwrap_or_else(|error| {
            let source = settings.source(&keys::LOG_LEVEL);
            let text = format!("log_level ({source}) is ignored: {error}");
            complaints.push((Level::Warn, text));
            LevelFilter::Info
        });
        let syslog = syslog(settings).unwrap_or_else(|text| {
            complaints.push((Level::Warn, text));
            None
        });
        let scrubber = match Scrubber::of_settings(settings) {
            Ok((scrubber, warnings)) => {
                let warnings = warnings.into_iter().map(|text| (Level::Warn, text));
                complaints.extend(warnings);
                Some(scrubber)
            }
            Err(error) => {
                complaints.push((Level::Error, error.to_string()));
                None
            }
        };
        Options {
            level,
            console: settings.flag(&keys::LOG_TO_CONSOLE),
            json: settings.flag(&keys::LOG_FORMAT_JSON),
            file: file(settings, role),
            syslog,
            scrubber,
            complaints,
        }
    }
}

fn file(settings: &Settings, role: &str) -> Option<FileOptions> {
    let key: &Key = match role {
        "security-agent" => &keys::SECURITY_AGENT_LOG_FILE,
        "system-probe" => &keys::SYSTEM_PROBE_LOG_FILE,
        _ => return None,
    };
    let path = settings.text(key);
    if path.is_empty() || settings.flag(&keys::DISABLE_FILE_LOGGING) {
        return None;
    }
    let rolls = settings.count(&keys::LOG_FILE_MAX_ROLLS);
    Some(FileOptions {
        path: path.into(),
        max_size: settings.size(&keys::LOG_FILE_MAX_SIZE),
        rolls: usize::try_from(rolls).unwrap_or(usize::MAX),
        json: settings.flag(&keys::LOG_FORMAT_JSON),
    })
}

/// The error is a sentence about the URI.
fn syslog(settings: &Settings) -> Result<Option<SyslogOptions>, String> {
    if !settings.flag(&keys::LOG_TO_SYSLOG) {
        return Ok(None);
    }
    let target = Target::from_uri(settings.text(&keys::SYSLOG_URI));
    let host = match settings.text(&keys::HOSTNAME) {
        "" => nix::unistd::gethostname()
            .map(|name| name.to_string_lossy().into_owned())
            .unwrap_or_else(|_| String::from("-")),
        name => name.to_owned(),
    };
    Ok(Some(SyslogOptions {
        target: target.map_err(|error| error.to_string())?,
        rfc5424: settings.flag(&keys::SYSLOG_RFC),
        // A blank would end the field.
        host: host.replace(char::is_whitespace, "-"),
    }))
}
