//! What may be asked of system-probe on its command socket.

use serde::Deserialize;
use serde_json::Value;

use crate::ipc;

/// A request; its name stands in the member `command`.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(tag = "command", rename_all = "snake_case")]
pub enum Command {
    /// What is attached, loaded, counted.
    Status,
    /// What helps support and is too large for the status.
    Diagnosis,
    /// Run the self-test; the reply comes when it has ended.
    SelfTest,
    /// Read the policies again.
    ReloadPolicies,
    /// The report on the rules that run.
    LoadedPolicies,
    /// Run these collectors of a flare; once that is agreed to, their frames follow.
    Flare {
        /// Their names.
        collectors: Vec<String>,
    },
    /// End this process.
    Stop,
    /// The configuration in effect.
    Config,
    /// One setting of it.
    ConfigGet {
        /// Its dotted name.
        setting: String,
    },
    /// Change a setting.
    ConfigSet {
        /// Its dotted name.
        setting: String,
        /// What it is to be.
        value: Value,
    },
}

impl ipc::Command for Command {
    fn is_for_owner(&self) -> bool {
        matches!(
            self,
            Command::Stop | Command::ReloadPolicies | Command::ConfigSet { .. }
        )
    }

    fn takes_long(&self) -> bool {
        *self == Command::SelfTest
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ipc::Command as _;

    #[test]
    fn requests_are_known_by_their_names() {
        let get = |setting: &str| Command::ConfigGet {
            setting: setting.to_owned(),
        };
        let set = Command::ConfigSet {
            setting: "log_level".to_owned(),
            value: "debug".into(),
        };
        for (text, command) in [
            (r#"{"command":"status"}"#, Some(Command::Status)),
            (r#"{"command":"diagnosis"}"#, Some(Command::Diagnosis)),
            (r#"{"command":"self_test"}"#, Some(Command::SelfTest)),
            (
                r#"{"command":"reload_policies"}"#,
                Some(Command::ReloadPolicies),
            ),
            (
                r#"{"command":"loaded_policies"}"#,
                Some(Command::LoadedPolicies),
            ),
            (r#"{"command":"stop"}"#, Some(Command::Stop)),
            (r#"{"command":"config"}"#, Some(Command::Config)),
            (
                r#"{"command":"config_get","setting":"log_level"}"#,
                Some(get("log_level")),
            ),
            (r#"{"command":"config_get"}"#, None),
            (
                r#"{"command":"config_set","setting":"log_level","value":"debug"}"#,
                Some(set),
            ),
            (r#"{"command":"config_set","setting":"log_level"}"#, None),
            (r#"{"command":"other"}"#, None),
            ("status", None),
        ] {
            let parsed = serde_json::from_str::<Command>(text).ok();
            assert_eq!(parsed, command, "{text}");
        }
    }

    #[test]
    fn only_the_owner_may_change_what_runs() {
        let may_all = |command: Command| !command.is_for_owner();
        assert!(may_all(Command::Status) && may_all(Command::Config));
        assert!(may_all(Command::Diagnosis));
        assert!(!may_all(Command::Stop) && !may_all(Command::ReloadPolicies));
        assert!(!may_all(Command::ConfigSet {
            setting: String::new(),
            value: Value::Null,
        }));
    }
}
