//! What can be configured: the type of a key, and how its other names follow from it.
//!
//! One entry of [`table`] names a key, its kind, its default, the file that it usually stands in
//! and a sentence about it; the environment variables follow from the name. Loading, typed access
//! and documentation all read that table, so a new key is one new entry. [`idle`] lists what the
//! Datadog agent knows and this one has no use for.

pub mod idle;
pub mod table;

pub use table::*;

use super::value::Kind;

/// The file that a key usually stands in; every file may hold every key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Home {
    /// `datadog.yaml`, shared by all roles.
    Agent,
    /// `security-agent.yaml`.
    SecurityAgent,
    /// `system-probe.yaml`.
    SystemProbe,
}

impl Home {
    /// Every file, in the order in which they are laid over each other.
    pub const ALL: [Home; 3] = [Home::Agent, Home::SecurityAgent, Home::SystemProbe];

    /// Name of the file.
    pub fn file_name(self) -> &'static str {
        match self {
            Home::Agent => "datadog.yaml",
            Home::SecurityAgent => "security-agent.yaml",
            Home::SystemProbe => "system-probe.yaml",
        }
    }
}

/// A configuration key.
#[derive(Debug)]
pub struct Key {
    /// Dotted path in the YAML files.
    pub name: &'static str,
    /// What its value is.
    pub kind: Kind,
    /// Its default as it would be written in the environment; empty for none.
    pub default: &'static str,
    /// Where it usually stands.
    pub home: Home,
    /// Environment variables besides the one that follows from the name; they win over it.
    pub variables: &'static [&'static str],
    /// Variables of the system that count when none of the others is set; the first one wins.
    pub fallbacks: &'static [&'static str],
    /// One sentence for people.
    pub help: &'static str,
    /// Whether this release reads it; if not, it is of something that is still to come.
    pub has_effect: bool,
}

/// Section of the keys of the probes.
const PROBE_SECTION: &str = "event_monitoring_config.";
/// Section that those keys stood in before.
const OLD_PROBE_SECTION: &str = "runtime_security_config.";

impl Key {
    /// The deprecated name of a key of the probes, which still wins when it is set.
    pub fn old_name(&self) -> Option<String> {
        old_name(self.name)
    }

    /// The name beside the other keys of the network, for one that is found below the section of
    /// the probes' old names; it counts when the key's own name is not set.
    pub fn second_name(&self) -> Option<String> {
        let rest = self.name.strip_prefix(OLD_PROBE_SECTION)?;
        let is_of_network = rest.starts_with("network.");
        is_of_network.then(|| format!("{PROBE_SECTION}{rest}"))
    }

    /// The present name and others that are understood.
    pub fn names(&self) -> impl Iterator<Item = String> {
        [
            Some(self.name.to_owned()),
            self.old_name(),
            self.second_name(),
        ]
        .into_iter()
        .flatten()
    }

    /// The environment variables of the present name, the winning one first.
    pub fn variable_names(&self) -> Vec<String> {
        let named = self.variables.iter().map(|name| String::from(*name));
        let fallbacks = self.fallbacks.iter().map(|name| String::from(*name));
        named
            .chain([variable_of(self.name)])
            .chain(fallbacks)
            .collect()
    }

    /// Whether its value opens an account: hidden but for the last characters.
    pub fn is_credential(&self) -> bool {
        is_credential(self.name)
    }
}

/// The deprecated name of a key, or a section, of the probes.
pub fn old_name(name: &str) -> Option<String> {
    let rest = name.strip_prefix(PROBE_SECTION)?;
    Some(format!("{OLD_PROBE_SECTION}{rest}"))
}

/// Whether a name, in capitals or not, is that of a key of an account.
pub fn is_credential(name: &str) -> bool {
    ["api_key", "app_key"]
        .iter()
        .any(|known| name.eq_ignore_ascii_case(known))
}

/// The key with this present name.
pub fn find(name: &str) -> Option<&'static Key> {
    ALL.iter().copied().find(|key| key.name == name)
}

/// Whether the value below this name is read as a whole, whatever it holds.
pub fn is_whole(name: &str) -> bool {
    ALL.iter()
        .any(|key| key.kind == Kind::Json && key.name == name)
}

/// The environment variable that follows from a key: `DD_`, capitals, underscores for dots.
pub fn variable_of(name: &str) -> String {
    format!("DD_{}", name.to_uppercase().replace('.', "_"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::value::Value;
    use std::collections::HashSet;

    #[test]
    fn every_entry_is_sound() {
        let mut names = HashSet::new();
        let mut variables = HashSet::new();
        for key in ALL {
            assert!(
                names.insert(key.name.to_owned()),
                "{} stands twice",
                key.name
            );
            assert!(key.old_name().is_none_or(|name| names.insert(name)));
            assert!(
                Value::from_text(key.kind, key.default).is_ok(),
                "{}",
                key.name
            );
            assert!(key.help.ends_with('.'), "{}", key.name);
            assert!(key
                .name
                .chars()
                .all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || "._".contains(c)));
            for variable in key.variable_names() {
                let own = variable.starts_with("DD_") || key.fallbacks.contains(&&*variable);
                assert!(own && variables.insert(variable), "{}", key.name);
            }
        }
    }

    #[test]
    fn names_of_variables_follow_from_the_key() {
        assert_eq!(RUN_PATH.variable_names(), ["DD_RUN_PATH"]);
        assert_eq!(
            POLICIES_DIR.variable_names(),
            ["DD_RUNTIME_SECURITY_CONFIG_POLICIES_DIR"]
        );
        assert_eq!(
            PROXY_HTTP.variable_names(),
            ["DD_PROXY_HTTP", "HTTP_PROXY", "http_proxy"]
        );
        assert_eq!(
            INTERFACES_INCLUDE.variable_names(),
            ["DD_RUNTIME_SECURITY_CONFIG_NETWORK_INTERFACES_INCLUDE"]
        );
        let old = NETWORK_ENABLED.old_name().unwrap();
        assert_eq!(
            variable_of(&old),
            "DD_RUNTIME_SECURITY_CONFIG_NETWORK_ENABLED"
        );
    }
}
