//! The `actions` of a rule as they are written: YAML to typed definitions.
//!
//! Only what an action says by itself is checked here; names, types and event types are the
//! business of [`super::compile`].

use super::Error;
use crate::packet::filter::Filter;
use crate::policy::file::keys::{scalar, wrong, Keys};
use crate::secl::Value;
use serde_yaml::Value as Yaml;
use std::time::Duration;

/// Entries that a list variable keeps when its action does not say.
const DEFAULT_SIZE: usize = 100;
/// The most entries that a list variable may keep.
const MAX_SIZE: usize = 10_000;

/// What a variable or an action is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Hash, PartialOrd, Ord)]
pub enum Scope {
    /// The whole host.
    #[default]
    Global,
    /// One process.
    Process,
    /// One container.
    Container,
    /// One cgroup.
    Cgroup,
}

impl Scope {
    /// How policies name it; global is the empty word.
    pub fn name(self) -> &'static str {
        match self {
            Scope::Global => "",
            Scope::Process => "process",
            Scope::Container => "container",
            Scope::Cgroup => "cgroup",
        }
    }
}

/// One item of `actions`.
#[derive(Debug, Clone)]
pub struct Definition {
    /// `filter`, or "".
    pub filter: String,
    /// The one action of the item.
    pub kind: Kind,
}

/// The action itself.
#[derive(Debug, Clone)]
pub enum Kind {
    /// `set`
    Set(Set),
    /// `kill`
    Kill(Kill),
    /// `hash`
    Hash(Hash),
    /// `log`
    Log(Log),
    /// `network_filter`
    NetworkFilter(NetworkFilter),
    /// `coredump`
    CoreDump,
}

impl Kind {
    /// The name of an action that acts on the system, which `enforcement` may forbid.
    pub fn enforcing(&self) -> Option<&'static str> {
        match self {
            Kind::Kill(_) => Some("kill"),
            Kind::NetworkFilter(_) => Some("network_filter"),
            _ => None,
        }
    }
}

/// Gives a value to a variable.
#[derive(Debug, Clone, Default)]
pub struct Set {
    /// `name`, without the scope.
    pub name: String,
    /// `value`
    pub value: Option<Value>,
    /// `field`, or "".
    pub field: String,
    /// `expression`, or "".
    pub expression: String,
    /// `default_value`: what the variable holds before it was set.
    pub default_value: Option<Value>,
    /// `scope`
    pub scope: Scope,
    /// `scope_field`: a field that names the process whose variable it is, or "".
    pub scope_field: String,
    /// `append`: the value joins what is there.
    pub append: bool,
    /// `size`: entries that are kept.
    pub size: usize,
    /// `ttl`: how long the value lasts.
    pub ttl: Option<Duration>,
    /// `inherited`: children get a copy.
    pub inherited: bool,
    /// `private`: not shown in events.
    pub private: bool,
}

impl Set {
    /// The name by which rules refer to the variable.
    pub fn full_name(&self) -> String {
        match self.scope {
            Scope::Global => self.name.clone(),
            scope => format!("{}.{}", scope.name(), self.name),
        }
    }
}

/// Sends a signal.
#[derive(Debug, Clone, Default)]
pub struct Kill {
    /// `signal`, such as `SIGKILL`.
    pub signal: String,
    /// `scope`: what is signalled; never [`Scope::Global`].
    pub scope: Scope,
    /// `disable_container_disarmer`
    pub ignores_container_disarmer: bool,
    /// `disable_executable_disarmer`
    pub ignores_executable_disarmer: bool,
}

/// Hashes a file of the event.
#[derive(Debug, Clone, Default)]
pub struct Hash {
    /// `field`: the file, such as `exec.file`, or "".
    pub field: String,
    /// `max_file_size` in bytes.
    pub max_file_size: Option<u64>,
}

/// Writes to the agent's log.
#[derive(Debug, Clone)]
pub struct Log {
    /// `level`
    pub level: log::Level,
    /// `message`, or "".
    pub message: String,
}

/// Filters packets of a process or cgroup.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct NetworkFilter {
    /// `filter`, a packet filter expression.
    pub filter: String,
    /// `policy`: whether what matches is dropped.
    pub drops: bool,
    /// `scope`
    pub scope: Scope,
}

const ACTIONS: &[&str] = &["set", "kill", "hash", "log", "network_filter", "coredump"];

/// Reads one item of `actions`.
pub fn read(item: &Yaml) -> Result<Definition, Error> {
    let keys = Keys::of(item, "an action").map_err(Error::Shape)?;
    let named = || ACTIONS.iter().filter(|name| keys.get(name).is_some());
    let Some(name) = named().next() else {
        return Err(Error::NoAction);
    };
    if named().count() > 1 {
        return Err(Error::SeveralActions);
    }
    let body = keys.get(name).map_or(Ok(None), |body| {
        Keys::of(body, name).map(Some).map_err(Error::Shape)
    })?;
    let Some(body) = body else {
        return Err(Error::NoAction);
    };
    Ok(Definition {
        filter: keys.text("filter").map_err(Error::Shape)?,
        kind: match *name {
            "set" => Kind::Set(set(&body)?),
            "kill" => Kind::Kill(kill(&body)?),
            "hash" => Kind::Hash(hash(&body)?),
            "log" => Kind::Log(log_line(&body)?),
            "network_filter" => Kind::NetworkFilter(network_filter(&body)?),
            _ => {
                core_dump(&body)?;
                Kind::CoreDump
            }
        },
    })
}

fn set(keys: &Keys<'_>) -> Result<Set, Error> {
    let set = Set {
        name: keys.text("name").map_err(Error::Shape)?,
        value: value(keys, "value")?,
        field: keys.text("field").map_err(Error::Shape)?,
        expression: keys.text("expression").map_err(Error::Shape)?,
        default_value: value(keys, "default_value")?,
        scope: scope(keys, Scope::Global)?,
        scope_field: keys.text("scope_field").map_err(Error::Shape)?,
        append: keys.boolean("append").map_err(Error::Shape)?,
        size: size(keys)?,
        ttl: keys
            .duration("ttl")
            .map_err(Error::Shape)?
            .filter(|ttl| !ttl.is_zero()),
        inherited: keys.boolean("inherited").map_err(Error::Shape)?,
        private: keys.boolean("private").map_err(Error::Shape)?,
    };
    check_set(&set)?;
    Ok(set)
}

fn check_set(set: &Set) -> Result<(), Error> {
    let is_word = |letter: char| letter.is_ascii_alphanumeric() || letter == '_' || letter == '.';
    if set.name.is_empty() {
        return Err(Error::NoVariableName);
    }
    if !set.name.chars().all(is_word) {
        return Err(Error::VariableName(set.name.clone()));
    }
    let given = [
        set.value.is_some(),
        !set.field.is_empty(),
        !set.expression.is_empty(),
    ];
    match given.iter().filter(|is_given| **is_given).count() {
        0 => return Err(Error::NoValue),
        1 => {}
        _ => return Err(Error::SeveralValues),
    }
    if set.inherited && set.scope != Scope::Process {
        return Err(Error::Inherited);
    }
    if !set.scope_field.is_empty() && set.scope != Scope::Process {
        return Err(Error::ScopeFieldScope);
    }
    match (&set.default_value, &set.value) {
        (Some(default), Some(value)) if default.kind().0 != value.kind().0 => {
            Err(Error::DefaultType(default.kind().0, value.kind().0))
        }
        _ => Ok(()),
    }
}

/// A value as YAML has it: a number, a boolean, a text, or a list of one of these.
fn value(keys: &Keys<'_>, key: &str) -> Result<Option<Value>, Error> {
    let wrong = || {
        Error::Shape(wrong(
            key,
            "a number, true or false, text, or a list of one of these",
        ))
    };
    let single = |value: &Yaml| match value {
        Yaml::Bool(truth) => Some(Value::Bool(*truth)),
        Yaml::Number(number) => number.as_i64().map(Value::Int),
        other => scalar(other).map(Value::Text),
    };
    let Some(found) = keys.get(key) else {
        return Ok(None);
    };
    let Some(items) = found.as_sequence() else {
        return single(found).map(Some).ok_or_else(wrong);
    };
    let values: Option<Vec<Value>> = items.iter().map(single).collect();
    let values = values.ok_or_else(wrong)?;
    let mut kinds = values.iter().map(|value| value.kind().0);
    let first = kinds.next();
    match kinds.all(|kind| Some(kind) == first) {
        true => Ok(Some(Value::List(values))),
        false => Err(wrong()),
    }
}

fn scope(keys: &Keys<'_>, default: Scope) -> Result<Scope, Error> {
    match keys.text("scope").map_err(Error::Shape)?.as_str() {
        "" => Ok(default),
        "process" => Ok(Scope::Process),
        "container" => Ok(Scope::Container),
        "cgroup" => Ok(Scope::Cgroup),
        "global" if default == Scope::Global => Ok(Scope::Global),
        other => Err(Error::Scope(other.to_owned())),
    }
}

fn size(keys: &Keys<'_>) -> Result<usize, Error> {
    let size = keys.integer("size").map_err(Error::Shape)?;
    match usize::try_from(size) {
        Ok(0) => Ok(DEFAULT_SIZE),
        Ok(size) => Ok(size.min(MAX_SIZE)),
        Err(_) => Err(Error::Shape(wrong("size", "a number of entries"))),
    }
}

fn kill(keys: &Keys<'_>) -> Result<Kill, Error> {
    let signal = keys.text("signal").map_err(Error::Shape)?;
    if signal.is_empty() {
        return Err(Error::NoSignal);
    }
    Ok(Kill {
        signal,
        scope: scope(keys, Scope::Process)?,
        ignores_container_disarmer: keys
            .boolean("disable_container_disarmer")
            .map_err(Error::Shape)?,
        ignores_executable_disarmer: keys
            .boolean("disable_executable_disarmer")
            .map_err(Error::Shape)?,
    })
}

fn hash(keys: &Keys<'_>) -> Result<Hash, Error> {
    let size = keys.integer("max_file_size").map_err(Error::Shape)?;
    let size = u64::try_from(size)
        .map_err(|_| Error::Shape(wrong("max_file_size", "a number of bytes")))?;
    Ok(Hash {
        field: keys.text("field").map_err(Error::Shape)?,
        max_file_size: Some(size).filter(|size| *size > 0),
    })
}

fn log_line(keys: &Keys<'_>) -> Result<Log, Error> {
    let level = keys.text("level").map_err(Error::Shape)?;
    let level = match level.to_ascii_lowercase().as_str() {
        "warning" => Ok(log::Level::Warn),
        "critical" => Ok(log::Level::Error),
        other => other.parse(),
    };
    Ok(Log {
        level: level.map_err(|_| Error::LogLevel)?,
        message: keys.text("message").map_err(Error::Shape)?,
    })
}

fn network_filter(keys: &Keys<'_>) -> Result<NetworkFilter, Error> {
    let filter = keys.text("filter").map_err(Error::Shape)?;
    if filter.trim().is_empty() {
        return Err(Error::NoPacketFilter);
    }
    Filter::parse(&filter).map_err(|error| Error::PacketFilter(error.to_string()))?;
    let drops = match keys.text("policy").map_err(Error::Shape)?.as_str() {
        "drop" => true,
        "allow" | "" => false,
        _ => return Err(Error::Shape(wrong("policy", "`allow` or `drop`"))),
    };
    let scope = scope(keys, Scope::Process)?;
    if scope == Scope::Container {
        return Err(Error::Scope("container".to_owned()));
    }
    Ok(NetworkFilter {
        filter,
        drops,
        scope,
    })
}

fn core_dump(keys: &Keys<'_>) -> Result<(), Error> {
    let mut any = false;
    for part in ["process", "mount", "dentry"] {
        any |= keys.boolean(part).map_err(Error::Shape)?;
    }
    any.then_some(()).ok_or(Error::EmptyCoreDump)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn item(text: &str) -> Result<Definition, Error> {
        read(&serde_yaml::from_str(text).unwrap())
    }

    fn set_of(text: &str) -> Set {
        match item(text).unwrap().kind {
            Kind::Set(set) => set,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn set_takes_all_its_keys() {
        let set = set_of(
            "{filter: process.uid == 0, set: {name: seen, field: process.file.path, scope: process, \
             append: true, size: 5, ttl: 1h, inherited: true, private: true, default_value: none}}",
        );
        assert_eq!(set.full_name(), "process.seen");
        assert_eq!(
            (set.append, set.size, set.inherited, set.private),
            (true, 5, true, true)
        );
        assert_eq!(set.ttl, Some(Duration::from_secs(3600)));
        assert_eq!(set.default_value, Some(Value::Text("none".to_owned())));
        let set = set_of("set: {name: a, value: [1, 2], ttl: 600000000000}");
        assert_eq!(
            set.value,
            Some(Value::List(vec![Value::Int(1), Value::Int(2)]))
        );
        assert_eq!(
            (set.size, set.ttl),
            (DEFAULT_SIZE, Some(Duration::from_secs(600)))
        );
        assert_eq!(
            set_of("set: {name: a, value: true}").value,
            Some(Value::Bool(true))
        );
    }

    #[test]
    fn other_actions_are_read() {
        for text in [
            "{kill: {signal: SIGKILL, scope: container, disable_container_disarmer: true}}",
            "{hash: {field: exec.file, max_file_size: 1000}, filter: process.uid > 0}",
            "{hash: {}}",
            "{log: {level: INFO, message: hello}}",
            "{log: {level: warning}}",
            "{network_filter: {filter: tcp, policy: drop, scope: cgroup}}",
            "{coredump: {process: true, no_compression: true}}",
        ] {
            assert!(item(text).is_ok(), "{text}: {:?}", item(text).err());
        }
    }

    #[test]
    fn what_is_wrong_is_said_in_words() {
        for (text, message) in [
            ("{}", "either `set`, `kill`, `hash`, `log`, `network_filter` or `coredump` section of an action must be specified"),
            ("{filter: a}", "either `set`"),
            ("{set: {name: a, value: 1}, log: {level: info}}", "only one action can be specified"),
            ("set: {value: 1}", "variable name is empty"),
            ("set: {name: a-b, value: 1}", "variable name `a-b`"),
            ("set: {name: a}", "either 'value', 'field' or 'expression' must be specified"),
            ("set: {name: a, value: 1, field: process.pid}", "only one of 'value', 'field' and 'expression'"),
            ("set: {name: a, value: 1, inherited: true}", "only variables scoped to process can be marked as inherited"),
            ("set: {name: a, value: 1, scope_field: process.pid}", "only variables scoped to process can have a custom scope_field"),
            ("set: {name: a, value: 1, default_value: b}", "'default_value' and 'value' must be of the same type (string != number)"),
            ("set: {name: a, value: {b: c}}", "`value` must be"),
            ("set: {name: a, value: [1, b]}", "`value` must be"),
            ("set: {name: a, value: 1, scope: pod}", "invalid scope 'pod'"),
            ("set: {name: a, value: 1, size: -1}", "`size` must be"),
            ("set: 5", "`set` must be a mapping"),
            ("kill: {scope: process}", "a valid signal has to be specified to the 'kill' action"),
            ("kill: {signal: SIGKILL, scope: global}", "invalid scope 'global'"),
            ("log: {message: a}", "a valid log level must be specified to the 'log' action"),
            ("network_filter: {policy: drop}", "a valid BPF filter must be specified to the 'network_filter' action"),
            ("network_filter: {filter: tcp, scope: container}", "invalid scope 'container'"),
            ("network_filter: {filter: tcp, policy: reject}", "`policy` must be"),
            ("coredump: {no_compression: true}", "one of 'process', 'mount' and 'dentry'"),
            ("hash: {max_file_size: -1}", "`max_file_size` must be"),
        ] {
            let error = item(text).unwrap_err().to_string();
            assert!(error.starts_with(message) || error.contains(message), "{text}: {error}");
        }
    }
}
