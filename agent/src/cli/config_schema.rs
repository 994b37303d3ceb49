//! The table of keys for people and for other programs: as JSON, and as an example file.

use std::fmt::Write as _;

use serde_json::{json, Value};

use crate::config::keys::{self, idle, variable_of, Home, Key};
use crate::config::{runtime, Value as Setting};

/// Every key: an array of objects, those without effect last.
pub fn json() -> Value {
    let known = keys::ALL.iter().map(|key| key_entry(key));
    let idle = idle::IDLE.iter().map(idle_entry);
    known.chain(idle).collect()
}

fn key_entry(key: &Key) -> Value {
    let old = key.old_name();
    let variables: Vec<String> = key
        .variable_names()
        .into_iter()
        .chain(old.as_deref().map(variable_of))
        .collect();
    json!({
        "name": key.name,
        "deprecated_name": old,
        "type": key.kind.name(),
        "default": default(key),
        "environment": variables,
        "file": key.home.file_name(),
        "help": key.help,
        "runtime": runtime::find(key.name).is_some(),
        "effect": key.has_effect,
    })
}

fn idle_entry(entry: &idle::Idle) -> Value {
    // One of the old names has become that of another key.
    let old = keys::old_name(entry.name).filter(|old| keys::find(old).is_none());
    json!({
        "name": entry.name,
        "deprecated_name": old,
        "help": entry.reason,
        "runtime": false,
        "effect": false,
    })
}

fn default(key: &Key) -> Value {
    Setting::from_text(key.kind, key.default).map_or(Value::Null, |value| value.to_json())
}

/// A file for each place of keys, one after the other: every key with its default, commented out.
/// A line without its first two characters is YAML.
pub fn example() -> String {
    let mut text = String::new();
    for home in Home::ALL {
        let _ = writeln!(text, "#### {}\n", home.file_name());
        let mut tree = Section::default();
        for key in keys::ALL.iter().filter(|key| key.home == home) {
            tree.add(key.name, key);
        }
        tree.write(&mut text, 0);
    }
    text
}

/// Keys below one name, in the order of the table.
#[derive(Default)]
struct Section {
    entries: Vec<(&'static str, Entry)>,
}

enum Entry {
    Key(&'static Key),
    Section(Section),
}

impl Section {
    fn add(&mut self, name: &'static str, key: &'static Key) {
        let Some((part, rest)) = name.split_once('.') else {
            self.entries.push((name, Entry::Key(key)));
            return;
        };
        for (known, entry) in &mut self.entries {
            match entry {
                Entry::Section(section) if *known == part => return section.add(rest, key),
                _ => {}
            }
        }
        let mut section = Section::default();
        section.add(rest, key);
        self.entries.push((part, Entry::Section(section)));
    }

    fn write(&self, text: &mut String, depth: usize) {
        let indent = "  ".repeat(depth);
        for (part, entry) in &self.entries {
            match entry {
                Entry::Section(section) => {
                    let _ = writeln!(text, "# {indent}{part}:");
                    section.write(text, depth + 1);
                }
                Entry::Key(key) => {
                    let _ = writeln!(text, "# {indent}## {}", key.help);
                    let _ = writeln!(text, "# {indent}{part}: {}", default(key));
                    if depth == 0 {
                        text.push('\n');
                    }
                }
            }
        }
        if depth == 1 {
            text.push('\n');
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Request, Settings};

    #[test]
    fn the_example_says_what_the_defaults_say() {
        let text = example();
        let lines = text.lines().filter_map(|line| line.strip_prefix("# "));
        let yaml: String = lines.map(|line| format!("{line}\n")).collect();
        // Sections appear once for each file, so each is read by itself.
        let files = text.split("#### ").skip(1).map(|part| {
            let lines = part.lines().filter_map(|line| line.strip_prefix("# "));
            lines.map(|line| format!("{line}\n")).collect::<String>()
        });
        let directory = std::env::temp_dir().join(format!("config-example-{}", std::process::id()));
        std::fs::create_dir_all(&directory).unwrap();
        let mut paths = Vec::new();
        for (number, file) in files.enumerate() {
            let path = directory.join(format!("{number}.yaml"));
            std::fs::write(&path, file).unwrap();
            paths.push(path);
        }
        let settings = Settings::load(&Request {
            sysprobe_config: paths.pop(),
            cfgpaths: paths,
            ..Request::default()
        });
        std::fs::remove_dir_all(&directory).unwrap();
        assert!(settings.errors().is_empty(), "{:?}", settings.errors());
        assert!(settings.warnings().is_empty(), "{:?}", settings.warnings());
        let defaults = Settings::empty(false);
        for key in keys::ALL {
            let last = key.name.rsplit('.').next().unwrap_or_default();
            assert!(yaml.contains(&format!("{last}: ")), "{}", key.name);
            assert_eq!(settings.shown(key), defaults.shown(key), "{}", key.name);
            let source = settings.source(key).to_string();
            assert!(source.ends_with(".yaml"), "{}: {source}", key.name);
        }
    }

    #[test]
    fn the_schema_has_every_key_once() {
        let Value::Array(entries) = json() else {
            panic!("no array");
        };
        assert_eq!(entries.len(), keys::ALL.len() + idle::IDLE.len());
        let of = |name: &str| entries.iter().find(|entry| entry["name"] == name).unwrap();
        let network = of("event_monitoring_config.network.enabled");
        assert_eq!(
            network["environment"],
            json!([
                "DD_EVENT_MONITORING_CONFIG_NETWORK_ENABLED",
                "DD_RUNTIME_SECURITY_CONFIG_NETWORK_ENABLED"
            ])
        );
        assert_eq!(
            (&network["type"], &network["default"]),
            (&json!("flag"), &json!(true))
        );
        assert_eq!(of("log_level")["runtime"], true);
        let sbom = of("runtime_security_config.sbom.*");
        assert_eq!(sbom["effect"], false);
    }
}
