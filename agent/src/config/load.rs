//! Layers of configuration laid over each other: defaults, files in order, the environment.
//!
//! A [`Request`] says which files and which environment; [`Settings::load`] answers with the value
//! of every key and where it came from. Nothing here fails: what could not be used is in the
//! warnings (one value was ignored) and errors (a whole file was) of the settings.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsString;
use std::path::{Path, PathBuf};

use serde_yaml::Value as Yaml;

use super::file::Layer;
use super::keys::{self, variable_of, Key};
use super::names::Names;
use super::value::{Value, WrongKind};
use super::{Settings, Source};

/// Directory of the files that are read when none is named.
pub const DIRECTORY: &str = "/etc/datadog-agent";
/// Files of the agent in that directory; later ones win.
pub const AGENT_FILES: [&str; 2] = ["datadog.yaml", "security-agent.yaml"];
/// File of system-probe in that directory; it wins over those of the agent.
pub const PROBE_FILE: &str = "system-probe.yaml";

/// What to load. The environment may hold secrets, so it cannot be printed.
#[derive(Clone, Default)]
pub struct Request {
    /// Files that were named with `--cfgpath`; empty for the usual ones.
    pub cfgpaths: Vec<PathBuf>,
    /// File that was named with `--sysprobe-config`; `None` for the usual one.
    pub sysprobe_config: Option<PathBuf>,
    /// What `runtime_security_config.enabled` is when nobody says anything.
    pub enabled_by_default: bool,
    /// Whether `ENC[handle]`s stay as they are: for a role that needs no secret and cannot wait for
    /// the program that knows them.
    pub keeps_handles: bool,
    /// The variables of the environment that begin with `DD_`, and those of the system that keys
    /// fall back on; empty ones count as unset.
    pub environment: BTreeMap<String, String>,
}

impl Request {
    /// The usual files and the environment of this process.
    pub fn standard() -> Request {
        let texts = |(name, value): (OsString, OsString)| {
            Some((
                name.into_string().ok()?,
                value.to_string_lossy().into_owned(),
            ))
        };
        let environment = std::env::vars_os()
            .filter_map(texts)
            .filter(|(name, _)| {
                let mut fallbacks = keys::ALL.iter().flat_map(|key| key.fallbacks);
                name.starts_with("DD_") || fallbacks.any(|fallback| fallback == name)
            })
            .collect();
        Request {
            environment,
            ..Request::default()
        }
    }
}

impl Settings {
    /// Reads files and environment; see the module for what happens to errors.
    pub fn load(request: &Request) -> Settings {
        let mut settings = Settings::empty(request.enabled_by_default);
        let layers = read_layers(request, &mut settings);
        settings.judge_names(&layers, &request.environment);
        for key in keys::ALL {
            settings.resolve(key, &layers, &request.environment);
        }
        for switch in [&keys::ENABLED, &keys::ADMISSION_ENABLED] {
            settings.resolve_switch(switch, &layers, &request.environment);
        }
        settings.judge_classifiers();
        if !request.keeps_handles {
            settings.resolve_secrets();
        }
        settings.collect_secrets();
        settings
    }

    /// What the names in files and environment are worth saying.
    fn judge_names(&mut self, layers: &[Layer], environment: &BTreeMap<String, String>) {
        let names = Names::collect();
        let mut idle = BTreeSet::new();
        for layer in layers {
            self.warnings.extend(layer.warnings.iter().cloned());
            self.warnings.extend(names.judge_file(layer, &mut idle));
        }
        self.warnings
            .extend(names.judge_environment(environment, &mut idle));
        self.without_effect = idle.into_iter().collect();
    }

    /// The old name of a key wins over its present one, the environment over files, later files
    /// over earlier ones.
    fn resolve(
        &mut self,
        key: &'static Key,
        layers: &[Layer],
        environment: &BTreeMap<String, String>,
    ) {
        if let Some(old) = key.old_name() {
            let variables = [variable_of(&old)];
            let mut found = self.candidates(key, &old, &variables, layers, environment);
            if let Some((value, source)) = found.pop() {
                self.warnings
                    .push(format!("{old} ({source}) is deprecated; use {}", key.name));
                self.values.insert(key.name, (value, source));
                return;
            }
        }
        let mut found = match key.second_name() {
            Some(name) => self.candidates(key, &name, &[variable_of(&name)], layers, environment),
            None => Vec::new(),
        };
        found.extend(self.candidates(key, key.name, &key.variable_names(), layers, environment));
        if let Some(winner) = found.pop() {
            self.values.insert(key.name, winner);
        }
    }

    /// One `false` anywhere wins, whatever comes later.
    fn resolve_switch(
        &mut self,
        key: &'static Key,
        layers: &[Layer],
        environment: &BTreeMap<String, String>,
    ) {
        let before = self.warnings.len();
        let found = self.candidates(key, key.name, &key.variable_names(), layers, environment);
        // They were all given when the key was resolved as every other.
        self.warnings.truncate(before);
        let off = found
            .into_iter()
            .find(|(value, _)| *value == Value::Flag(false));
        if let Some(winner) = off {
            self.values.insert(key.name, winner);
        }
    }

    /// Numbers of the classifiers that the kernel would take for something else, or not at all.
    fn judge_classifiers(&mut self) {
        if !self.flag(&keys::NETWORK_ENABLED) {
            return;
        }
        let numbers = [
            (&keys::NETWORK_CLASSIFIER_PRIORITY, 1),
            (&keys::NETWORK_CLASSIFIER_HANDLE, 0),
            (&keys::NETWORK_RAW_CLASSIFIER_HANDLE, 0),
        ];
        for (key, least) in numbers {
            let (number, most) = (self.count(key), u64::from(u16::MAX));
            if !(least..=most).contains(&number) {
                self.errors.push(format!(
                    "{} must be a number from {least} to {most}: got {number} ({})",
                    key.name,
                    self.source(key)
                ));
            }
        }
        let handle = self.count(&keys::NETWORK_CLASSIFIER_HANDLE);
        let raw = self.count(&keys::NETWORK_RAW_CLASSIFIER_HANDLE);
        let got = format!("got classifier_handle={handle}, raw_classifier_handle={raw}");
        let names = "network.classifier_handle and network.raw_classifier_handle";
        if (handle == 0) != (raw == 0) {
            let sentence = format!("none or both of {names} must be provided: {got}");
            self.errors.push(sentence);
        } else if handle == raw && handle != 0 {
            let sentence = format!("{names} can't be equal and not null: {got}");
            self.errors.push(sentence);
        }
    }

    /// Every usable value of a key, the winning one last.
    fn candidates(
        &mut self,
        key: &'static Key,
        name: &str,
        variables: &[String],
        layers: &[Layer],
        environment: &BTreeMap<String, String>,
    ) -> Vec<(Value, Source)> {
        let mut found = Vec::new();
        let mut keep =
            |value: Result<Value, WrongKind>, source, place: &dyn Fn() -> String| match value {
                Ok(value) => found.push((value, source)),
                Err(WrongKind) => self.warnings.push(format!(
                    "{name} ({}) is ignored: it must be {}",
                    place(),
                    key.kind.expected()
                )),
            };
        for layer in layers {
            match layer.values.get(name) {
                None | Some(Yaml::Null) => {}
                Some(yaml) => {
                    let source = Source::File(layer.path.clone());
                    keep(from_file(key, yaml), source, &|| layer.place(name));
                }
            }
        }
        for variable in variables.iter().rev() {
            if let Some(text) = environment
                .get(variable)
                .filter(|text| !text.trim().is_empty())
            {
                let source = Source::Environment(variable.clone());
                let place = || format!("environment variable {variable}");
                keep(from_environment(key, text), source, &place);
            }
        }
        found
    }
}

/// A value of a file; hosts that are reached without a proxy may also stand in one text.
fn from_file(key: &Key, yaml: &Yaml) -> Result<Value, WrongKind> {
    match yaml {
        Yaml::String(text) => from_environment(key, text),
        _ => Value::from_yaml(key.kind, yaml),
    }
}

/// A value of the environment; everybody separates the hosts of `NO_PROXY` by commas.
fn from_environment(key: &Key, text: &str) -> Result<Value, WrongKind> {
    if key.name == keys::PROXY_NO_PROXY.name && !text.trim_start().starts_with('[') {
        return Value::from_text(key.kind, &text.replace(',', " "));
    }
    Value::from_text(key.kind, text)
}

fn read_layers(request: &Request, settings: &mut Settings) -> Vec<Layer> {
    if !request.cfgpaths.is_empty()
        && request
            .cfgpaths
            .iter()
            .all(|path| path.as_os_str().is_empty())
    {
        settings
            .errors
            .push("no Security Agent config files to load, exiting".to_owned());
    }
    let mut layers = Vec::new();
    for (path, named) in paths(request) {
        match Layer::read(&path) {
            Ok(layer) => layers.push(layer),
            Err(error) if error.is_missing() && !named => {}
            Err(error) => settings.errors.push(error.to_string()),
        }
    }
    layers
}

/// The files in the order in which they are laid over each other, and whether somebody named them.
fn paths(request: &Request) -> Vec<(PathBuf, bool)> {
    let usual = |name: &str| (Path::new(DIRECTORY).join(name), false);
    let [agent_file, _] = AGENT_FILES;
    let mut paths: Vec<_> = match request.cfgpaths.as_slice() {
        [] => AGENT_FILES.into_iter().map(usual).collect(),
        named => named
            .iter()
            .filter(|path| !path.as_os_str().is_empty())
            .map(|path| (within(path, agent_file), true))
            .collect(),
    };
    paths.push(match &request.sysprobe_config {
        Some(path) => (within(path, PROBE_FILE), true),
        None => usual(PROBE_FILE),
    });
    paths
}

/// A directory stands for the file of this name in it.
fn within(path: &Path, name: &str) -> PathBuf {
    if path.is_dir() {
        return path.join(name);
    }
    path.to_owned()
}
