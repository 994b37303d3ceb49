//! The table of configuration keys.
//!
//! One entry names a key, its kind, its default, the file that it usually stands in and a sentence
//! about it; the environment variables follow from the name. Loading, typed access and
//! documentation all read this table, so a new key is one new entry.

use super::value::Kind;

/// The file that a key usually stands in; every file may hold every key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Home {
    /// `datadog.yaml`, shared by all roles.
    Agent,
    /// `system-probe.yaml`.
    SystemProbe,
}

impl Home {
    /// Name of the file.
    pub fn file_name(self) -> &'static str {
        match self {
            Home::Agent => "datadog.yaml",
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
    /// One sentence for people.
    pub help: &'static str,
}

/// Section of the keys of the probes.
const PROBE_SECTION: &str = "event_monitoring_config.";
/// Section that those keys stood in before.
const OLD_PROBE_SECTION: &str = "runtime_security_config.";

impl Key {
    /// The deprecated name of a key of the probes, which still wins when it is set.
    pub fn old_name(&self) -> Option<String> {
        let rest = self.name.strip_prefix(PROBE_SECTION)?;
        Some(format!("{OLD_PROBE_SECTION}{rest}"))
    }

    /// The environment variables of the present name, the winning one first.
    pub fn variable_names(&self) -> Vec<String> {
        let named = self.variables.iter().map(|name| String::from(*name));
        named.chain([variable_of(self.name)]).collect()
    }
}

/// The environment variable that follows from a key: `DD_`, capitals, underscores for dots.
pub fn variable_of(name: &str) -> String {
    format!("DD_{}", name.to_uppercase().replace('.', "_"))
}

macro_rules! keys {
    ($($(#[env($($variable:literal),+)])? $ident:ident: $kind:ident = $name:literal, $default:literal, $home:ident, $help:literal;)+) => {
        $(
            #[doc = concat!("`", $name, "`: ", $help)]
            pub static $ident: Key = Key {
                name: $name,
                kind: Kind::$kind,
                default: $default,
                home: Home::$home,
                variables: &[$($($variable),+)?],
                help: $help,
            };
        )+

        /// Every key, in the order of documentation.
        pub static ALL: &[&Key] = &[$(&$ident),+];
    };
}

keys! {
    API_KEY: Text = "api_key", "", Agent, "Key of the account that events are sent to; without one nothing is sent.";
    SITE: Text = "site", "datadoghq.com", Agent, "Site of the intake that events are sent to.";
    HOSTNAME: Text = "hostname", "", Agent, "Name of this host in events; the system's own name when empty.";
    LOG_LEVEL: Text = "log_level", "info", Agent, "Lowest level that is logged: trace, debug, info, warn, error or off.";
    RUN_PATH: Text = "run_path", "/opt/datadog-agent/run", Agent, "Directory of sockets, lock files and spools.";

    ENABLED: Flag = "runtime_security_config.enabled", "false", SystemProbe, "Whether Workload Protection runs; one false in any file or in the environment wins.";
    FIM_ENABLED: Flag = "runtime_security_config.fim_enabled", "false", SystemProbe, "Whether file events are watched when Workload Protection itself is not enabled.";
    SOCKET: Text = "runtime_security_config.socket", "", SystemProbe, "Socket of events; runtime-security.sock under run_path when empty.";
    CMD_SOCKET: Text = "runtime_security_config.cmd_socket", "", SystemProbe, "Socket of commands; beside the socket of events, its name prefixed with cmd-, when empty.";
    POLICIES_DIR: Text = "runtime_security_config.policies.dir", "/etc/datadog-agent/runtime-security.d", SystemProbe, "Directory of policy files.";
    POLICIES_DEFAULT_ENABLED: Flag = "runtime_security_config.policies.default_enabled", "true", SystemProbe, "Whether the built-in policy is loaded; a default.policy in the directory takes its place.";
    SELF_TEST_ENABLED: Flag = "runtime_security_config.self_test.enabled", "true", SystemProbe, "Whether self-tests run, at start and on request.";
    SELF_TEST_SEND_REPORT: Flag = "runtime_security_config.self_test.send_report", "true", SystemProbe, "Whether the result of a self-test is reported as an event.";
    ENFORCEMENT_ENABLED: Flag = "runtime_security_config.enforcement.enabled", "true", SystemProbe, "Whether rules may act, not only report.";
    ENFORCEMENT_SOURCES: List = "runtime_security_config.enforcement.rule_source_allowed", "file remote-config", SystemProbe, "Sources of policies whose rules may kill.";
    ENFORCEMENT_EXCLUDE_BINARIES: List = "runtime_security_config.enforcement.exclude_binaries", "", SystemProbe, "Paths of programs whose processes are never killed.";
    ENFORCEMENT_ONLY_CGROUP: Text = "runtime_security_config.enforcement.only_cgroup", "", SystemProbe, "Path of the cgroup outside of which nothing is killed; no limit when empty.";
    DISARMER_CONTAINER_ENABLED: Flag = "runtime_security_config.enforcement.disarmer.container.enabled", "true", SystemProbe, "Whether a rule stops killing when it hits many containers.";
    DISARMER_CONTAINER_MAX: Count = "runtime_security_config.enforcement.disarmer.container.max_allowed", "5", SystemProbe, "Containers that a rule may hit in one period.";
    DISARMER_CONTAINER_PERIOD: Duration = "runtime_security_config.enforcement.disarmer.container.period", "1m", SystemProbe, "Period in which the hit containers are counted.";
    DISARMER_EXECUTABLE_ENABLED: Flag = "runtime_security_config.enforcement.disarmer.executable.enabled", "true", SystemProbe, "Whether a rule stops killing when it hits many programs.";
    DISARMER_EXECUTABLE_MAX: Count = "runtime_security_config.enforcement.disarmer.executable.max_allowed", "5", SystemProbe, "Programs that a rule may hit in one period.";
    DISARMER_EXECUTABLE_PERIOD: Duration = "runtime_security_config.enforcement.disarmer.executable.period", "1m", SystemProbe, "Period in which the hit programs are counted.";
    HASH_ENABLED: Flag = "runtime_security_config.hash_resolver.enabled", "true", SystemProbe, "Whether files are hashed for rules that ask for it.";
    HASH_EVENT_TYPES: List = "runtime_security_config.hash_resolver.event_types", "exec open", SystemProbe, "Event types whose files are hashed.";
    HASH_MAX_FILE_SIZE: Count = "runtime_security_config.hash_resolver.max_file_size", "5242880", SystemProbe, "Bytes of the largest file that is hashed.";
    HASH_MAX_RATE: Count = "runtime_security_config.hash_resolver.max_hash_rate", "500", SystemProbe, "Files that are hashed in a second.";
    HASH_ALGORITHMS: List = "runtime_security_config.hash_resolver.hash_algorithms", "sha1 sha256", SystemProbe, "Hashes that are computed: md5, sha1, sha256; ssdeep is not supported.";
    HASH_CACHE_SIZE: Count = "runtime_security_config.hash_resolver.cache_size", "500", SystemProbe, "Files whose hashes are remembered.";
    INTERFACES_INCLUDE: List = "runtime_security_config.network.interfaces_include", "", SystemProbe, "Names or patterns (*) of the network interfaces that may be touched; all of them when empty.";
    #[env("DD_SYSTEM_PROBE_BTF_PATH")]
    BTF_PATH: Text = "system_probe_config.btf_path", "", SystemProbe, "File with the types of this kernel, where the kernel does not offer them itself.";

    NETWORK_ENABLED: Flag = "event_monitoring_config.network.enabled", "true", SystemProbe, "Whether packets are watched, which takes classifiers on network interfaces.";
    ENABLE_KERNEL_FILTERS: Flag = "event_monitoring_config.enable_kernel_filters", "true", SystemProbe, "Whether the kernel drops events that no rule can match.";
    PID_CACHE_SIZE: Count = "event_monitoring_config.pid_cache_size", "10000", SystemProbe, "Processes that are kept in memory at most.";
    ENVS_WITH_VALUE: List = "event_monitoring_config.envs_with_value", "LD_PRELOAD LD_LIBRARY_PATH PATH HISTSIZE HISTFILESIZE GLIBC_TUNABLES SSH_CLIENT DD_SERVICE OTEL_SERVICE_NAME CLAUDECODE RUNNER_TRACKING_ID", SystemProbe, "Environment variables of processes that are reported with their value; of others only the name is.";
    CUSTOM_SENSITIVE_WORDS: List = "event_monitoring_config.custom_sensitive_words", "", SystemProbe, "Words that mark an argument of a process as secret, besides the usual ones.";
    EVENT_STREAM_BUFFER_SIZE: Count = "event_monitoring_config.event_stream.buffer_size", "0", SystemProbe, "Bytes of each buffer between kernel and agent; computed from memory and processors when 0.";
    EVENT_STREAM_USE_KPROBE_FALLBACK: Flag = "event_monitoring_config.event_stream.use_kprobe_fallback", "true", SystemProbe, "Whether kprobes may be used where the kernel has them.";
    DISABLED_HOOKS: List = "event_monitoring_config.disabled_hooks", "", SystemProbe, "Kernel functions and tracepoints that must not be hooked.";
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
                .all(|c| c.is_ascii_lowercase() || "._".contains(c)));
            for variable in key.variable_names() {
                assert!(variable.starts_with("DD_") && variables.insert(variable));
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
        let old = NETWORK_ENABLED.old_name().unwrap();
        assert_eq!(
            variable_of(&old),
            "DD_RUNTIME_SECURITY_CONFIG_NETWORK_ENABLED"
        );
    }
}
