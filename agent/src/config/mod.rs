//! Configuration: files and environment variables become [`Settings`].
//!
//! [`keys`] is the one table of what can be configured, [`value`] types it, [`file`] reads one
//! file, [`load`] lays the layers over each other, [`names`] finds mistakes in names, [`secret`]
//! asks for secrets, [`show`] prints values without them, [`runtime`] changes some of them later.
//! A [`Request`] enters, [`Settings`] leave: the value of every key with its source, and sentences
//! about what was wrong. Who acts on them is decided elsewhere.

pub mod file;
pub mod keys;
pub mod load;
pub mod names;
pub mod runtime;
pub mod secret;
pub mod show;
pub mod value;

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

pub use keys::Key;
pub use load::Request;
pub use value::Value;

/// Name of the event socket below the run path.
const SOCKET_NAME: &str = "runtime-security.sock";
/// What the name of the command socket has before that of the event socket.
const COMMAND_PREFIX: &str = "cmd-";
/// Name of the command socket of security-agent below the run path.
const AGENT_SOCKET_NAME: &str = "security-agent.sock";

/// Where a value came from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Source {
    /// Nobody said anything.
    Default,
    /// A file.
    File(PathBuf),
    /// An environment variable.
    Environment(String),
    /// A flag of the command line.
    Flag(&'static str),
    /// A request to the running agent.
    Runtime,
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Source::Default => write!(f, "default"),
            Source::File(path) => write!(f, "{}", path.display()),
            Source::Environment(name) => write!(f, "environment variable {name}"),
            Source::Flag(name) => write!(f, "flag --{name}"),
            Source::Runtime => write!(f, "runtime"),
        }
    }
}

/// How much of Workload Protection is wanted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Mode {
    /// Nothing; the sentence says who decided so.
    Off(String),
    /// File events only.
    FilesOnly,
    /// Everything.
    Full,
}

/// The value of every key.
#[derive(Clone)]
pub struct Settings {
    values: BTreeMap<&'static str, (Value, Source)>,
    warnings: Vec<String>,
    errors: Vec<String>,
    without_effect: Vec<String>,
    resolved: Vec<String>,
    secrets: Vec<String>,
}

impl Settings {
    /// Defaults only.
    pub fn empty(enabled_by_default: bool) -> Settings {
        let mut values = BTreeMap::new();
        for key in keys::ALL {
            if let Ok(value) = Value::from_text(key.kind, key.default) {
                values.insert(key.name, (value, Source::Default));
            }
        }
        values.insert(
            keys::ENABLED.name,
            (Value::Flag(enabled_by_default), Source::Default),
        );
        Settings {
            values,
            warnings: Vec::new(),
            errors: Vec::new(),
            without_effect: Vec::new(),
            resolved: Vec::new(),
            secrets: Vec::new(),
        }
    }

    /// Makes Workload Protection run unless somebody said otherwise, as under a supervisor.
    pub fn enable_by_default(&mut self) {
        if *self.source(&keys::ENABLED) == Source::Default {
            self.values
                .insert(keys::ENABLED.name, (Value::Flag(true), Source::Default));
        }
    }

    /// Sentences about single values that were ignored or understood otherwise.
    pub fn warnings(&self) -> &[String] {
        &self.warnings
    }

    /// Sentences about files that could not be used and secrets that were not found; a daemon
    /// must not start with any.
    pub fn errors(&self) -> &[String] {
        &self.errors
    }

    /// Names of keys and variables that are set and known, but have no effect in this agent.
    pub fn without_effect(&self) -> &[String] {
        &self.without_effect
    }

    /// The value of a flag.
    pub fn flag(&self, key: &Key) -> bool {
        matches!(self.value(key), Some(Value::Flag(true)))
    }

    /// The value of a count.
    pub fn count(&self, key: &Key) -> u64 {
        match self.value(key) {
            Some(Value::Count(count)) => *count,
            _ => 0,
        }
    }

    /// The value of a duration.
    pub fn duration(&self, key: &Key) -> Duration {
        match self.value(key) {
            Some(Value::Duration(duration)) => *duration,
            _ => Duration::ZERO,
        }
    }

    /// The value of a text; empty when it is not set.
    pub fn text(&self, key: &Key) -> &str {
        match self.value(key) {
            Some(Value::Text(text)) => text,
            _ => "",
        }
    }

    /// The value of a list.
    pub fn list(&self, key: &Key) -> &[String] {
        match self.value(key) {
            Some(Value::List(items)) => items,
            _ => &[],
        }
    }

    /// The value of a size, in bytes.
    pub fn size(&self, key: &Key) -> u64 {
        match self.value(key) {
            Some(Value::Size(bytes)) => *bytes,
            _ => 0,
        }
    }

    /// The value of a list or object; null when there is none.
    pub fn json(&self, key: &Key) -> &serde_json::Value {
        match self.value(key) {
            Some(Value::Json(value)) => value,
            _ => &serde_json::Value::Null,
        }
    }

    /// Where the value of a key came from.
    pub fn source(&self, key: &Key) -> &Source {
        self.values
            .get(key.name)
            .map_or(&Source::Default, |(_, source)| source)
    }

    /// Replaces a value by one of the command line, which wins over everything.
    pub fn set(&mut self, key: &Key, value: Value, flag: &'static str) {
        self.values.insert(key.name, (value, Source::Flag(flag)));
    }

    /// What is to be watched. `fim_enabled` counts where `enabled` is not said to be true.
    pub fn mode(&self) -> Mode {
        let source = self.source(&keys::ENABLED);
        let enabled = self.flag(&keys::ENABLED);
        let said = *source != Source::Default;
        match (enabled, self.flag(&keys::FIM_ENABLED)) {
            (true, fim) if said || !fim => Mode::Full,
            (_, true) => Mode::FilesOnly,
            _ if said => Mode::Off(format!("{} is false ({source})", keys::ENABLED.name)),
            _ => Mode::Off(format!(
                "{} is not set; set it to true in {}/{}",
                keys::ENABLED.name,
                load::DIRECTORY,
                keys::ENABLED.home.file_name()
            )),
        }
    }

    /// Whether a file or the environment says that nothing is to run.
    pub fn is_said_off(&self) -> bool {
        let said = *self.source(&keys::ENABLED) != Source::Default;
        said && matches!(self.mode(), Mode::Off(_))
    }

    /// Directory of sockets and lock files.
    pub fn run_path(&self) -> PathBuf {
        PathBuf::from(self.text(&keys::RUN_PATH))
    }

    /// Path of the event socket.
    pub fn event_socket(&self) -> PathBuf {
        match self.text(&keys::SOCKET) {
            "" => self.run_path().join(SOCKET_NAME),
            path => PathBuf::from(path),
        }
    }

    /// Path of the command socket.
    pub fn command_socket(&self) -> PathBuf {
        match self.text(&keys::CMD_SOCKET) {
            "" => {
                let events = self.event_socket();
                let mut name = OsString::from(COMMAND_PREFIX);
                name.push(events.file_name().unwrap_or_default());
                events.with_file_name(name)
            }
            path => PathBuf::from(path),
        }
    }

    /// Path of the command socket of security-agent.
    pub fn agent_socket(&self) -> PathBuf {
        self.run_path().join(AGENT_SOCKET_NAME)
    }

    /// Directory of policy files.
    pub fn policies_dir(&self) -> PathBuf {
        PathBuf::from(self.text(&keys::POLICIES_DIR))
    }

    fn value(&self, key: &Key) -> Option<&Value> {
        self.values.get(key.name).map(|(value, _)| value)
    }
}
