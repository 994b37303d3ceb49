//! The table of flags and commands.
//!
//! Parsing ([`super::parse`]) and help ([`super::help`]) read this table and nothing else. A flag
//! is one constant; a command is one entry with its words, the roles that have it, its flags and
//! the function that runs it.

use super::exit::Exit;
use super::parse::Arguments;
use super::{
    config, policy, policy_eval, policy_fields, policy_test, role_start, run, runtime, self_test,
    status, version,
};

/// What the binary was called as.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// The commands people type, and the forwarder.
    SecurityAgent,
    /// The probes.
    SystemProbe,
    /// The helper in pods.
    CwsInstrumentation,
}

impl Role {
    /// Every role.
    pub const ALL: [Role; 3] = [
        Role::SecurityAgent,
        Role::SystemProbe,
        Role::CwsInstrumentation,
    ];

    /// The name of the binary in this role.
    pub fn name(self) -> &'static str {
        match self {
            Role::SecurityAgent => "security-agent",
            Role::SystemProbe => "system-probe",
            Role::CwsInstrumentation => "cws-instrumentation",
        }
    }

    /// The role with this name.
    pub fn from_name(name: &str) -> Option<Role> {
        Role::ALL.into_iter().find(|role| role.name() == name)
    }

    /// The flags that every command of the role has.
    pub fn global_flags(self) -> &'static [&'static Flag] {
        match self {
            Role::SystemProbe => PROBE_GLOBALS,
            _ => AGENT_GLOBALS,
        }
    }
}

/// A flag, or what a command takes beside its flags.
#[derive(Debug)]
pub struct Flag {
    /// Its name after two dashes; empty for what stands without a flag, such as the files of a
    /// command.
    pub long: &'static str,
    /// Its letter after one dash.
    pub short: Option<char>,
    /// What its value is called in help; empty when it takes none.
    pub value: &'static str,
    /// One sentence; empty for flags that people do not need.
    pub help: &'static str,
}

/// A command.
#[derive(Debug)]
pub struct Command {
    /// Its words, such as `runtime policy check`.
    pub words: &'static [&'static str],
    /// The roles that have it.
    pub roles: &'static [Role],
    /// Its own flags.
    pub flags: &'static [&'static Flag],
    /// Everything after its words is for the command itself.
    pub raw: bool,
    /// One sentence; empty for commands that people do not need.
    pub help: &'static str,
    /// Runs it.
    pub run: fn(&Arguments) -> Exit,
}

/// Configuration files of the agent.
pub static CFGPATH: Flag = Flag {
    long: "cfgpath",
    short: Some('c'),
    value: "FILE",
    help: "Configuration file, may be given again (default datadog.yaml and security-agent.yaml in /etc/datadog-agent).",
};
/// The same without the letter, which is [`CONFIG`]'s in system-probe.
static CFGPATH_LONG: Flag = Flag {
    long: "cfgpath",
    short: None,
    value: "FILE",
    help: CFGPATH.help,
};
/// Configuration file of system-probe.
pub static SYSPROBE_CONFIG: Flag = Flag {
    long: "sysprobe-config",
    short: None,
    value: "FILE",
    help: "Configuration file of system-probe (default /etc/datadog-agent/system-probe.yaml).",
};
/// The same, as system-probe calls it.
pub static CONFIG: Flag = Flag {
    long: "config",
    short: Some('c'),
    value: "FILE",
    help: "The same as --sysprobe-config.",
};
/// No colours.
pub static NO_COLOR: Flag = Flag {
    long: "no-color",
    short: Some('n'),
    value: "",
    help: "Print without colours.",
};
/// A pidfile of `start`.
pub static PIDFILE: Flag = Flag {
    long: "pidfile",
    short: Some('p'),
    value: "FILE",
    help: "Also write the process id to this file, and lock it.",
};
/// A pidfile of `system-probe run`.
pub static PID: Flag = Flag {
    long: "pid",
    short: Some('p'),
    value: "FILE",
    help: PIDFILE.help,
};
/// Events as JSON lines.
pub static JSON_LINES: Flag = Flag {
    long: "json",
    short: Some('j'),
    value: "",
    help: "Print events as JSON lines, even on a terminal; logs go to standard error.",
};
/// Output as JSON.
pub static JSON: Flag = Flag {
    long: "json",
    short: Some('j'),
    value: "",
    help: "Print one JSON object.",
};
/// The directory of policies.
pub static POLICIES_DIR: Flag = Flag {
    long: "policies-dir",
    short: None,
    value: "DIR",
    help: "Directory of policies (default: as configured, /etc/datadog-agent/runtime-security.d).",
};
/// The policies that run.
pub static LOADED_POLICIES: Flag = Flag {
    long: "loaded-policies",
    short: None,
    value: "",
    help: "Ask system-probe for the policies that it runs.",
};
/// An event type.
pub static EVENT: Flag = Flag {
    long: "event",
    short: None,
    value: "TYPE",
    help: "Only what rules about this event type can say.",
};
/// The rule to evaluate.
pub static RULE_ID: Flag = Flag {
    long: "rule-id",
    short: None,
    value: "ID",
    help: "The rule.",
};
/// The event to evaluate it on.
pub static EVENT_FILE: Flag = Flag {
    long: "event-file",
    short: None,
    value: "FILE",
    help: "The event as JSON: {\"Type\": \"open\", \"Values\": {\"open.file.path\": \"/etc/shadow\"}}.",
};
/// The values of all parts of a rule.
pub static DEBUG: Flag = Flag {
    long: "debug",
    short: None,
    value: "",
    help: "Show the value of each part of the rule.",
};
/// Files of tests.
pub static TEST_FILES: Flag = Flag {
    long: "",
    short: None,
    value: "FILE...",
    help: "Test files in YAML.",
};
/// The name of a setting.
pub static SETTING: Flag = Flag {
    long: "",
    short: None,
    value: "SETTING",
    help: "Its dotted name, such as log_level.",
};
/// The name of a setting, and its new value.
pub static SETTING_AND_VALUE: Flag = Flag {
    long: "",
    short: None,
    value: "SETTING VALUE",
    help: "Its dotted name, such as log_level, and the new value.",
};
/// An example file instead of JSON.
pub static EXAMPLE: Flag = Flag {
    long: "example",
    short: None,
    value: "",
    help: "Print an example of the configuration files instead of JSON.",
};
/// The pid of the supervisor; roles that it starts get this.
pub static SUPERVISOR: Flag = Flag {
    long: "supervisor",
    short: None,
    value: "PID",
    help: "",
};

static AGENT_GLOBALS: &[&Flag] = &[&CFGPATH, &SYSPROBE_CONFIG, &NO_COLOR];
static PROBE_GLOBALS: &[&Flag] = &[&CONFIG, &CFGPATH_LONG, &SYSPROBE_CONFIG, &NO_COLOR];

const AGENT: &[Role] = &[Role::SecurityAgent];
const PROBE: &[Role] = &[Role::SystemProbe];
const BOTH: &[Role] = &[Role::SecurityAgent, Role::SystemProbe];

/// Every command; help lists them in this order.
pub static COMMANDS: &[Command] = &[
    Command {
        words: &["run"],
        roles: AGENT,
        flags: &[&JSON_LINES],
        raw: false,
        help: "Run both roles under one supervisor; enabled unless configured otherwise.",
        run: run::main,
    },
    Command {
        words: &["start"],
        roles: AGENT,
        flags: &[&JSON_LINES, &PIDFILE, &SUPERVISOR],
        raw: false,
        help: "Take events from system-probe and pass them on.",
        run: role_start::security_agent,
    },
    Command {
        words: &["run"],
        roles: PROBE,
        flags: &[&PID, &SUPERVISOR],
        raw: false,
        help: "Load the probes, judge events by rules and serve them on the sockets.",
        run: role_start::system_probe,
    },
    Command {
        words: &["status"],
        roles: BOTH,
        flags: &[&JSON],
        raw: false,
        help: "Show what runs; exits 0 only when everything does.",
        run: status::main,
    },
    Command {
        words: &["config"],
        roles: BOTH,
        flags: &[],
        raw: false,
        help: "Print the configuration that the agent runs with, as YAML; secrets are hidden.",
        run: config::show,
    },
    Command {
        words: &["config", "by-source"],
        roles: BOTH,
        flags: &[],
        raw: false,
        help: "Print the same by where each value comes from.",
        run: config::by_source,
    },
    Command {
        words: &["config", "list-runtime"],
        roles: BOTH,
        flags: &[],
        raw: false,
        help: "List the settings that can be changed while the agent runs.",
        run: config::list_runtime,
    },
    Command {
        words: &["config", "get"],
        roles: BOTH,
        flags: &[&SETTING],
        raw: false,
        help: "Print the value of a setting.",
        run: config::get,
    },
    Command {
        words: &["config", "set"],
        roles: BOTH,
        flags: &[&SETTING_AND_VALUE],
        raw: false,
        help: "Change a setting until the agent is started again.",
        run: config::set,
    },
    Command {
        words: &["config", "schema"],
        roles: BOTH,
        flags: &[&EXAMPLE],
        raw: false,
        help: "Print the table of every key: type, default, variables, file.",
        run: config::schema,
    },
    Command {
        words: &["runtime", "self-test"],
        roles: BOTH,
        flags: &[],
        raw: false,
        help: "Test that events come through kernel, rules and sockets.",
        run: self_test::main,
    },
    Command {
        words: &["runtime", "policy", "check"],
        roles: BOTH,
        flags: &[&POLICIES_DIR, &LOADED_POLICIES, &JSON],
        raw: false,
        help: "Load policies without running them and report what is wrong.",
        run: policy::check,
    },
    Command {
        words: &["runtime", "policy", "eval"],
        roles: BOTH,
        flags: &[&RULE_ID, &EVENT_FILE, &POLICIES_DIR, &DEBUG],
        raw: false,
        help: "Evaluate a rule on an event from a file; exits 255 when it does not match.",
        run: policy_eval::main,
    },
    Command {
        words: &["runtime", "policy", "test"],
        roles: BOTH,
        flags: &[&TEST_FILES, &POLICIES_DIR],
        raw: false,
        help: "Run unit tests of rules: events from files and the rules that they match.",
        run: policy_test::main,
    },
    Command {
        words: &["runtime", "policy", "reload"],
        roles: BOTH,
        flags: &[],
        raw: false,
        help: "Make system-probe read its policies again.",
        run: policy::reload,
    },
    Command {
        words: &["runtime", "policy", "fields"],
        roles: BOTH,
        flags: &[&EVENT, &JSON],
        raw: false,
        help: "Print the event types, fields and constants that rules can name.",
        run: policy_fields::main,
    },
    Command {
        words: &["runtime", "check-policies"],
        roles: BOTH,
        flags: &[&POLICIES_DIR, &LOADED_POLICIES, &JSON],
        raw: false,
        help: "",
        run: policy::check,
    },
    Command {
        words: &["runtime", "reload"],
        roles: BOTH,
        flags: &[],
        raw: false,
        help: "",
        run: policy::reload,
    },
    Command {
        words: &["version"],
        roles: &Role::ALL,
        flags: &[],
        raw: false,
        help: "Print the version.",
        run: version::main,
    },
    Command {
        words: &["self-test-runner"],
        roles: AGENT,
        flags: &[],
        raw: true,
        help: "",
        run: runtime::self_test_runner,
    },
    Command {
        words: &["hash-worker"],
        roles: AGENT,
        flags: &[],
        raw: true,
        help: "",
        run: runtime::hash_worker,
    },
    Command {
        words: &["self-test-trigger"],
        roles: AGENT,
        flags: &[],
        raw: true,
        help: "",
        run: runtime::self_test_trigger,
    },
];

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn no_command_has_two_meanings_for_a_flag() {
        for role in Role::ALL {
            for command in COMMANDS
                .iter()
                .filter(|command| command.roles.contains(&role))
            {
                let flags = role.global_flags().iter().chain(command.flags);
                let mut names = HashSet::from(["help".to_owned(), "h".to_owned()]);
                for flag in flags {
                    assert!(
                        names.insert(flag.long.to_owned()),
                        "{:?} {}",
                        command.words,
                        flag.long
                    );
                    let letter = flag.short.map(String::from);
                    assert!(
                        letter.is_none_or(|letter| names.insert(letter)),
                        "{}",
                        flag.long
                    );
                }
            }
        }
    }

    #[test]
    fn every_help_is_a_sentence() {
        for command in COMMANDS {
            assert!(command.help.is_empty() || command.help.ends_with('.'));
            for flag in command.flags {
                assert!(
                    flag.help.is_empty() || flag.help.ends_with('.'),
                    "{}",
                    flag.long
                );
            }
        }
    }
}
