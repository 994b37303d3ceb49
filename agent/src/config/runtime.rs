//! What can be changed while the agent runs.
//!
//! [`RUNTIME`] is the list; [`get`] and [`set`] take names and texts as people type them. The
//! roles call them and act on what has changed; nothing is kept over a restart.

use super::keys::{self, Key};
use super::value::Value;
use super::{show, Settings, Source};

/// A setting that can be changed at run time.
#[derive(Debug)]
pub struct RuntimeSetting {
    /// Name of its key.
    pub name: &'static str,
    /// Whether it is left out of lists, because changing it may have side effects.
    pub hidden: bool,
    /// One sentence for people.
    pub help: &'static str,
}

/// Every setting that can be changed at run time.
pub static RUNTIME: &[RuntimeSetting] = &[
    RuntimeSetting {
        name: keys::LOG_LEVEL.name,
        hidden: false,
        help: "Lowest level that is logged: trace, debug, info, warn, error or off.",
    },
    RuntimeSetting {
        name: keys::ENFORCEMENT_ENABLED.name,
        hidden: false,
        help: "Whether rules may act, not only report.",
    },
    RuntimeSetting {
        name: keys::OUTPUTS_STDOUT_ENABLED.name,
        hidden: false,
        help: "Whether events are printed on standard output.",
    },
];

/// Names of levels of the log, those of the Datadog agent included.
const LEVELS: [&str; 8] = [
    "trace", "debug", "info", "warn", "warning", "error", "critical", "off",
];

/// The entry of a setting that can be changed at run time.
pub fn find(name: &str) -> Option<&'static RuntimeSetting> {
    RUNTIME.iter().find(|setting| setting.name == name)
}

/// The value of any key, without its secrets; the error says what is wrong with the name.
pub fn get(settings: &Settings, name: &str) -> Result<String, String> {
    let key = keys::find(name).ok_or_else(|| unknown(name))?;
    Ok(show::text(&settings.shown(key)))
}

/// Changes a setting until the next start; the error says why it stays as it was.
pub fn set(settings: &mut Settings, name: &str, value: &str) -> Result<(), String> {
    let key = keys::find(name).ok_or_else(|| unknown(name))?;
    if find(name).is_none() {
        return Err(format!("{name} cannot be changed at run time; change it in {} and start the agent again, or see `security-agent config list-runtime`", key.home.file_name()));
    }
    let value = checked(key, value)?;
    settings.values.insert(key.name, (value, Source::Runtime));
    Ok(())
}

fn checked(key: &Key, text: &str) -> Result<Value, String> {
    let value = Value::from_text(key.kind, text)
        .map_err(|_| format!("{} must be {}", key.name, key.kind.expected()))?;
    match value {
        Value::Text(level) if key.name == keys::LOG_LEVEL.name => {
            let level = level.to_ascii_lowercase();
            if !LEVELS.contains(&level.as_str()) {
                return Err(format!(
                    "{} must be trace, debug, info, warn, error or off",
                    key.name
                ));
            }
            Ok(Value::Text(level))
        }
        value => Ok(value),
    }
}

fn unknown(name: &str) -> String {
    let names: Vec<String> = keys::ALL.iter().map(|key| key.name.to_owned()).collect();
    match crate::secl::nearest_within(name, &names, 4) {
        Some(nearest) => format!("there is no setting `{name}`; did you mean {nearest}?"),
        None => format!("there is no setting `{name}`; see `security-agent config schema`"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_setting_has_its_key() {
        for setting in RUNTIME {
            assert!(keys::find(setting.name).is_some() && setting.help.ends_with('.'));
        }
    }

    #[test]
    fn settings_are_changed_or_a_sentence_says_why_not() {
        let mut settings = Settings::empty(false);
        let cases = [
            ("log_level", "DEBUG", Ok("debug")),
            ("log_level", "loud", Err("log_level must be trace")),
            (
                "runtime_security_config.enforcement.enabled",
                "no",
                Ok("false"),
            ),
            (
                "runtime_security_config.outputs.stdout.enabled",
                "2",
                Err("true or false"),
            ),
            ("api_key", "x", Err("cannot be changed at run time")),
            ("log_levle", "info", Err("did you mean log_level?")),
            ("", "info", Err("there is no setting")),
        ];
        for (name, value, expected) in cases {
            match (set(&mut settings, name, value), expected) {
                (Ok(()), Ok(expected)) => {
                    assert_eq!(get(&settings, name).as_deref(), Ok(expected));
                    let key = keys::find(name).unwrap();
                    assert_eq!(settings.source(key).to_string(), "runtime");
                }
                (Err(found), Err(expected)) => assert!(found.contains(expected), "{found}"),
                (found, expected) => panic!("{name}: {found:?} {expected:?}"),
            }
        }
        assert_eq!(
            get(&settings, "runtime_security_config.spool.max_age").as_deref(),
            Ok("24h")
        );
        assert!(get(&settings, "runtime_security_config").is_err());
    }
}
