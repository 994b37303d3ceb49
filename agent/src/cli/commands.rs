//! The table of commands.
//!
//! Parsing ([`super::parse`]) and help ([`super::help`]) read this table and nothing else. A command
//! is one entry with its words, the roles that have it, its flags and the function that runs it.

use super::exit::Exit;
use super::flags::{
    Flag, Role, ARCHIVE, CASE_ID, COMMAND, DATA, DEBUG, EMAIL, EVENT, EVENT_FILE, EXAMPLE, FOLLOW,
    IMAGE, JSON, JSON_LINES, LIST, LOADED_POLICIES, LOCAL, NAMESPACE, NO_UPLOAD, OUTPUT, PID,
    PIDFILE, POLICIES_DIR, PRINT_CA_BUNDLE, RULE, RULE_ID, SECCOMP, SEND, SESSION_TYPE, SETTING,
    SETTING_AND_VALUE, SNAPSHOT_INTERFACES, SUPERVISOR, TEST_FILES, VALUES, VOLUME_MOUNT,
};
use super::parse::Arguments;
use super::{
    admission, config, events, flare, instrument, kube, network_check, network_dump, policy,
    policy_eval, policy_fields, policy_test, role_start, run, runtime, self_test, status, version,
};

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

const AGENT: &[Role] = &[Role::SecurityAgent];
const PROBE: &[Role] = &[Role::SystemProbe];
const HELPER: &[Role] = &[Role::CwsInstrumentation];
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
        words: &["events"],
        roles: BOTH,
        flags: &[&FOLLOW, &RULE, &JSON_LINES],
        raw: false,
        help: "Print the latest events, readable on a terminal, as JSON lines otherwise.",
        run: events::main,
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
        words: &["flare"],
        roles: AGENT,
        flags: &[
            &CASE_ID, &EMAIL, &SEND, &LOCAL, &OUTPUT, &NO_UPLOAD, &ARCHIVE, &LIST,
        ],
        raw: false,
        help: "Pack what support needs into an archive, without secrets, and upload it.",
        run: flare::main,
    },
    Command {
        words: &["admission-controller"],
        roles: AGENT,
        flags: &[&PRINT_CA_BUNDLE],
        raw: false,
        help: "Serve the admission webhook of Kubernetes that brings users of sessions to events.",
        run: admission::main,
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
        words: &["runtime", "network", "check"],
        roles: BOTH,
        flags: &[&JSON],
        raw: false,
        help: "Find network plug-ins that keep packets from network detections; exits 0 when there is nothing to do.",
        run: network_check::main,
    },
    Command {
        words: &["runtime", "network-namespace", "dump"],
        roles: BOTH,
        flags: &[&SNAPSHOT_INTERFACES],
        raw: false,
        help: "Write the network namespaces, interfaces and filters of this host to files.",
        run: network_dump::main,
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
        words: &["kube", "render"],
        roles: AGENT,
        flags: &[&VALUES, &NAMESPACE, &IMAGE],
        raw: false,
        help: "Print Kubernetes manifests, as the Helm chart makes them.",
        run: kube::render,
    },
    Command {
        words: &["kube", "install-seccomp"],
        roles: AGENT,
        flags: &[&SECCOMP],
        raw: false,
        help: "Write the seccomp profile of system-probe; an init container runs this.",
        run: kube::install_seccomp,
    },
    Command {
        words: &["setup"],
        roles: HELPER,
        flags: &[&VOLUME_MOUNT],
        raw: false,
        help: "Leave a copy of this program in a volume, for the containers of a pod.",
        run: instrument::setup,
    },
    Command {
        words: &["inject"],
        roles: HELPER,
        flags: &[&SESSION_TYPE, &DATA, &COMMAND],
        raw: true,
        help: "Tell the agent whose session this is, then become the command.",
        run: instrument::inject,
    },
    Command {
        words: &["health"],
        roles: HELPER,
        flags: &[],
        raw: false,
        help: "Print OK: this program runs here.",
        run: instrument::health,
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
        words: &["http-worker"],
        roles: AGENT,
        flags: &[],
        raw: true,
        help: "",
        run: runtime::http_worker,
    },
    Command {
        words: &["kube-worker"],
        roles: AGENT,
        flags: &[],
        raw: true,
        help: "",
        run: runtime::kube_worker,
    },
    Command {
        words: &["flare-worker"],
        roles: AGENT,
        flags: &[],
        raw: true,
        help: "",
        run: runtime::flare_worker,
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
