//! Whole loads: files and environments as people write them.

use super::*;
use std::fs;

mod classifiers;
mod elsewhere;

type Variables = &'static [(&'static str, &'static str)];

/// Files that are removed again.
struct Files(PathBuf);

impl Files {
    fn new(name: &str, files: &[(&str, &str)]) -> Files {
        let directory = std::env::temp_dir().join(format!("config-{}-{name}", std::process::id()));
        fs::create_dir_all(&directory).unwrap();
        for (file, text) in files {
            fs::write(directory.join(file), text).unwrap();
        }
        Files(directory)
    }

    fn load(&self, environment: &[(&str, &str)]) -> Settings {
        let named = |file: &str| Some(self.0.join(file)).filter(|path| path.exists());
        let empty = self.0.join("empty.yaml");
        fs::write(&empty, "").unwrap();
        let mut cfgpaths = vec![empty.clone()];
        cfgpaths.extend(named("datadog.yaml"));
        cfgpaths.extend(named("security-agent.yaml"));
        Settings::load(&Request {
            keeps_handles: false,
            cfgpaths,
            sysprobe_config: Some(named("system-probe.yaml").unwrap_or(empty)),
            enabled_by_default: false,
            environment: environment
                .iter()
                .map(|(n, v)| (n.to_string(), v.to_string()))
                .collect(),
        })
    }
}

impl Drop for Files {
    fn drop(&mut self) {
        fs::remove_dir_all(&self.0).unwrap();
    }
}

const ON: &str = "runtime_security_config:\n  enabled: true\n";
const OFF: &str = "runtime_security_config:\n  enabled: false\n";
const SLIP: &str = "runtime_security_config:\nenabled: false\n";
const VARIABLE: &str = "DD_RUNTIME_SECURITY_CONFIG_ENABLED";

#[test]
fn one_false_anywhere_wins() {
    let cases: [(&str, &str, Option<&str>, bool, &str); 10] = [
        ("", "", None, false, "default"),
        (ON, "", None, true, "security-agent.yaml"),
        (ON, ON, None, true, "system-probe.yaml"),
        (OFF, ON, None, false, "security-agent.yaml"),
        (ON, OFF, None, false, "system-probe.yaml"),
        (SLIP, ON, Some("true"), false, "security-agent.yaml"),
        (ON, SLIP, None, false, "system-probe.yaml"),
        (ON, ON, Some("false"), false, VARIABLE),
        ("", "", Some("true"), true, VARIABLE),
        (ON, "", Some("flase"), true, "security-agent.yaml"),
    ];
    for (number, (agent, probe, variable, expected, source)) in cases.into_iter().enumerate() {
        let files = Files::new(
            &format!("enabled{number}"),
            &[("security-agent.yaml", agent), ("system-probe.yaml", probe)],
        );
        let environment: Vec<_> = variable
            .map(|value| (VARIABLE, value))
            .into_iter()
            .collect();
        let settings = files.load(&environment);
        assert_eq!(settings.flag(&keys::ENABLED), expected, "case {number}");
        let found = settings.source(&keys::ENABLED).to_string();
        assert!(found.ends_with(source), "case {number}: {found}");
        assert!(settings.errors().is_empty());
        let warned = agent == SLIP || probe == SLIP || variable == Some("flase");
        assert_eq!(
            settings.warnings().len(),
            usize::from(warned),
            "{:?}",
            settings.warnings()
        );
    }
}

#[test]
fn both_sections_of_probe_keys_are_read_and_the_old_one_wins() {
    let old = "runtime_security_config: {network: {enabled: false}}";
    let new = "event_monitoring_config: {network: {enabled: false}}";
    let cases: [(&str, Variables, bool, usize); 6] = [
        ("", &[], true, 0),
        (old, &[], false, 1),
        (new, &[], false, 0),
        (
            old,
            &[("DD_EVENT_MONITORING_CONFIG_NETWORK_ENABLED", "true")],
            false,
            1,
        ),
        (
            new,
            &[("DD_RUNTIME_SECURITY_CONFIG_NETWORK_ENABLED", "true")],
            true,
            1,
        ),
        (
            new,
            &[("DD_EVENT_MONITORING_CONFIG_NETWORK_ENABLED", "true")],
            true,
            0,
        ),
    ];
    for (number, (probe, environment, expected, warnings)) in cases.into_iter().enumerate() {
        let files = Files::new(&format!("network{number}"), &[("system-probe.yaml", probe)]);
        let settings = files.load(environment);
        assert_eq!(
            settings.flag(&keys::NETWORK_ENABLED),
            expected,
            "case {number}"
        );
        assert_eq!(
            settings.warnings().len(),
            warnings,
            "{:?}",
            settings.warnings()
        );
    }
}

/// What stands for a value of a kind, and what cannot be one in a file and in the environment.
fn samples(key: &Key) -> (&'static str, &'static str, Option<&'static str>) {
    match key.kind {
        value::Kind::Flag if key.default == "true" => ("false", "{a: 1}", Some("flase")),
        value::Kind::Flag => ("true", "{a: 1}", Some("ture")),
        value::Kind::Count => ("77", "many", Some("-1")),
        value::Kind::Duration => ("77s", "long", Some("5 parsecs")),
        value::Kind::Text => ("/some/text", "[a]", None),
        value::Kind::List => ("[\"x\", \"y z\"]", "{a: b}", Some("[1")),
        value::Kind::Size => ("77Mb", "large", Some("7 miles")),
        value::Kind::Json => ("[{\"x\": 1}]", "x", Some("x")),
    }
}

#[test]
fn every_key_is_read_from_a_file_and_from_the_environment() {
    for key in keys::ALL {
        let (text, wrong, wrong_variable) = samples(key);
        let expected = Value::from_text(key.kind, text).unwrap();
        for name in key.names() {
            let deprecated = usize::from(key.old_name().as_ref() == Some(&name));
            let good = Files::new("key", &[("datadog.yaml", &format!("{name}: {text}\n"))]);
            let settings = good.load(&[]);
            assert_eq!(settings.value(key), Some(&expected), "{name}");
            assert_eq!(settings.warnings().len(), deprecated, "{name}");
            drop(good);

            let bad = Files::new("key", &[("datadog.yaml", &format!("\n{name}: {wrong}\n"))]);
            let settings = bad.load(&[]);
            assert_eq!(*settings.source(key), Source::Default, "{name}");
            let [warning] = settings.warnings() else {
                panic!("{name}: {:?}", settings.warnings());
            };
            let place = "datadog.yaml line 2) is ignored: ";
            assert!(warning.contains(place), "{warning}");
            assert!(warning.contains(key.kind.expected()), "{warning}");
        }
        let none = Files::new("key", &[]);
        let old = key.old_name().map(|name| keys::variable_of(&name));
        for variable in key.variable_names().into_iter().chain(old) {
            let settings = none.load(&[(&variable, text)]);
            assert_eq!(settings.value(key), Some(&expected), "{variable}");
            assert_eq!(*settings.source(key), Source::Environment(variable.clone()));
            let settings = none.load(&[(&variable, "  ")]);
            assert_eq!(*settings.source(key), Source::Default, "{variable}");
            let Some(wrong) = wrong_variable else {
                continue;
            };
            let settings = none.load(&[(&variable, wrong)]);
            assert_eq!(*settings.source(key), Source::Default, "{variable}");
            let expected = format!("(environment variable {variable}) is ignored: ");
            let warning = settings.warnings().first().unwrap();
            assert!(warning.contains(&expected), "{warning}");
        }
    }
}

#[test]
fn defaults_are_those_of_the_reference() {
    let cases = [
        (&keys::API_KEY, ""),
        (&keys::APP_KEY, ""),
        (&keys::SITE, "datadoghq.com"),
        (&keys::DD_URL, ""),
        (
            &keys::SECURITY_AGENT_LOG_FILE,
            "/var/log/datadog/security-agent.log",
        ),
        (
            &keys::SYSTEM_PROBE_LOG_FILE,
            "/var/log/datadog/system-probe.log",
        ),
        (&keys::LOG_FILE_MAX_SIZE, "10000000"),
        (&keys::LOG_FILE_MAX_ROLLS, "1"),
        (&keys::BTF_PATH, ""),
        (&keys::ENABLED, "false"),
        (&keys::FIM_ENABLED, "false"),
        (&keys::CMD_SOCKET, ""),
        (&keys::POLICIES_DIR, "/etc/datadog-agent/runtime-security.d"),
        (&keys::USE_SECRUNTIME_TRACK, "true"),
        (&keys::SELF_TEST_ENABLED, "true"),
        (&keys::SELF_TEST_SEND_REPORT, "true"),
        (&keys::ENV_AS_TAGS, "[]"),
        (&keys::IMDS_IPV4, "169.254.169.254"),
        (&keys::USER_SESSIONS_CACHE_SIZE, "1024"),
        (&keys::USER_SESSIONS_SSH_ENABLED, "true"),
        (&keys::HASH_ENABLED, "true"),
        (&keys::HASH_EVENT_TYPES, "[\"exec\",\"open\"]"),
        (&keys::HASH_MAX_FILE_SIZE, "5242880"),
        (&keys::HASH_MAX_RATE, "500"),
        (&keys::HASH_CACHE_SIZE, "500"),
        (&keys::ENFORCEMENT_ENABLED, "true"),
        (&keys::ENFORCEMENT_EXCLUDE_BINARIES, "[]"),
        (&keys::ENFORCEMENT_SOURCES, "[\"file\",\"remote-config\"]"),
        (&keys::DISARMER_CONTAINER_ENABLED, "true"),
        (&keys::DISARMER_CONTAINER_MAX, "5"),
        (&keys::DISARMER_CONTAINER_PERIOD, "1m"),
        (&keys::DISARMER_EXECUTABLE_ENABLED, "true"),
        (&keys::DISARMER_EXECUTABLE_MAX, "5"),
        (&keys::DISARMER_EXECUTABLE_PERIOD, "1m"),
        (&keys::ENABLE_KERNEL_FILTERS, "true"),
        (&keys::PID_CACHE_SIZE, "10000"),
        (&keys::DNS_RESOLUTION_ENABLED, "true"),
        (&keys::DNS_RESOLUTION_CACHE_SIZE, "1024"),
        (&keys::DNS_RESOLUTION_CNAME_MAX_DEPTH, "2"),
        (&keys::CUSTOM_SENSITIVE_WORDS, "[]"),
        (&keys::EVENT_STREAM_USE_KPROBE_FALLBACK, "true"),
        (&keys::EVENT_STREAM_BUFFER_SIZE, "0"),
        (&keys::NETWORK_ENABLED, "true"),
        (&keys::NETWORK_INGRESS_ENABLED, "true"),
        (&keys::NETWORK_RAW_PACKET_ENABLED, "true"),
        (&keys::NETWORK_RAW_PACKET_LIMITER_RATE, "10"),
        (&keys::NETWORK_RAW_PACKET_FILTER, "no_pid_tcp_syn"),
        (&keys::NETWORK_CLASSIFIER_PRIORITY, "10"),
        (&keys::NETWORK_CLASSIFIER_HANDLE, "0"),
        (&keys::NETWORK_RAW_CLASSIFIER_HANDLE, "0"),
        (&keys::NETWORK_LAZY_INTERFACE_PREFIXES, "[]"),
        (&keys::NETWORK_EXTRA_PRIVATE_IP_RANGES, "[]"),
        (&keys::NETWORK_FLOW_MONITOR_ENABLED, "false"),
        (&keys::NETWORK_FLOW_MONITOR_PERIOD, "10s"),
        (&keys::ENDPOINTS_BATCH_WAIT, "5s"),
        (&keys::ENDPOINTS_BATCH_MAX_SIZE, "1000"),
        (&keys::ENDPOINTS_BATCH_MAX_CONTENT_SIZE, "5000000"),
        (&keys::ENDPOINTS_SENDER_BACKOFF_FACTOR, "2"),
        (&keys::ENDPOINTS_SENDER_BACKOFF_BASE, "1s"),
        (&keys::ENDPOINTS_SENDER_BACKOFF_MAX, "2m"),
        (&keys::ENDPOINTS_SENDER_RECOVERY_INTERVAL, "2"),
    ];
    let settings = Settings::empty(false);
    for (key, expected) in cases {
        assert_eq!(show::text(&settings.shown(key)), expected, "{}", key.name);
    }
    assert_eq!(settings.list(&keys::NETWORK_PRIVATE_IP_RANGES).len(), 16);
    assert_eq!(settings.list(&keys::ENVS_WITH_VALUE).len(), 11);
}

#[test]
fn variables_of_the_system_count_below_ours_and_above_files() {
    let files = Files::new(
        "proxy",
        &[(
            "datadog.yaml",
            "proxy: {https: 'http://file', no_proxy: 'f,g'}\n",
        )],
    );
    let cases: [(Variables, &str, &[&str]); 5] = [
        (&[], "http://file", &["f", "g"]),
        (
            &[("https_proxy", "http://small"), ("NO_PROXY", "a, b,c")],
            "http://small",
            &["a", "b", "c"],
        ),
        (
            &[
                ("https_proxy", "http://small"),
                ("HTTPS_PROXY", "http://large"),
                ("no_proxy", "a b"),
            ],
            "http://large",
            &["a", "b"],
        ),
        (
            &[
                ("DD_PROXY_HTTPS", "http://ours"),
                ("HTTPS_PROXY", "http://large"),
                ("DD_PROXY_NO_PROXY", "x,y"),
                ("NO_PROXY", "a"),
            ],
            "http://ours",
            &["x", "y"],
        ),
        (
            &[
                ("DD_PROXY_HTTPS", " "),
                ("HTTPS_PROXY", "http://large"),
                ("DD_PROXY_NO_PROXY", "[\"p,q\"]"),
            ],
            "http://large",
            &["p,q"],
        ),
    ];
    for (environment, proxy, hosts) in cases {
        let settings = files.load(environment);
        assert_eq!(settings.text(&keys::PROXY_HTTPS), proxy, "{environment:?}");
        assert_eq!(
            settings.list(&keys::PROXY_NO_PROXY),
            hosts,
            "{environment:?}"
        );
        assert!(settings.warnings().is_empty(), "{:?}", settings.warnings());
    }
    let settings = files.load(&[("DD_API_KEY", " 0123456789abcdef \n")]);
    assert_eq!(settings.text(&keys::API_KEY), "0123456789abcdef");
}

/// The snippets of the guide for hosts, as it nests them, and its variables.
#[test]
fn everything_the_guide_says_about_turning_off_is_understood() {
    const NETWORK: &str = "runtime_security_config:\n  network:\n    enabled: false\n";
    const FIM: &str = "runtime_security_config:\n  fim_enabled: true\n";
    const SLIPPED_FIM: &str = "runtime_security_config:\nenabled: false\nfim_enabled: true\n";
    const BESIDE: &str = "runtime_security_config:\n  socket: /x\nenabled: false\n";
    const OVERRULED: &str = "runtime_security_config:\n  enabled: true\nenabled: false\n";
    let network_off = [("DD_RUNTIME_SECURITY_CONFIG_NETWORK_ENABLED", "false")];
    let new_network_off = [("DD_EVENT_MONITORING_CONFIG_NETWORK_ENABLED", "false")];
    let off = [(VARIABLE, "false")];
    // security-agent.yaml, system-probe.yaml, environment, the mode, whether packets are watched
    type Case<'a> = (&'a str, &'a str, &'a [(&'a str, &'a str)], &'a str, bool);
    let cases: [Case<'_>; 15] = [
        (ON, ON, &[], "full", true),
        (BESIDE, ON, &[], "security-agent.yaml", true),
        (ON, OVERRULED, &[], "system-probe.yaml", true),
        (SLIP, SLIP, &[], "security-agent.yaml", true),
        (SLIP, "", &[], "security-agent.yaml", true),
        ("", SLIP, &[], "system-probe.yaml", true),
        (OFF, OFF, &[], "security-agent.yaml", true),
        (ON, ON, &off, VARIABLE, true),
        ("", "", &off, VARIABLE, true),
        (ON, NETWORK, &[], "full", false),
        (ON, ON, &network_off, "full", false),
        (ON, ON, &new_network_off, "full", false),
        ("", FIM, &[], "files", true),
        (SLIPPED_FIM, "", &[], "files", true),
        (FIM, "", &off, "files", true),
    ];
    for (number, (agent, probe, environment, mode, network)) in cases.into_iter().enumerate() {
        let files = Files::new(
            &format!("guide{number}"),
            &[("security-agent.yaml", agent), ("system-probe.yaml", probe)],
        );
        let settings = files.load(environment);
        match settings.mode() {
            Mode::Full => assert_eq!(mode, "full", "case {number}"),
            Mode::FilesOnly => assert_eq!(mode, "files", "case {number}"),
            Mode::Off(reason) => {
                let expected = format!(
                    "runtime_security_config.enabled is false ({}",
                    settings.source(&keys::ENABLED)
                );
                assert!(reason.starts_with(&expected), "case {number}: {reason}");
                assert!(reason.contains(mode), "case {number}: {reason}");
                assert!(settings.is_said_off());
            }
        }
        assert_eq!(
            settings.flag(&keys::NETWORK_ENABLED),
            network,
            "case {number}"
        );
        assert!(settings.errors().is_empty());
        let slips = [agent, probe]
            .iter()
            .filter(|text| text.contains("\nenabled"))
            .count();
        let named = settings
            .warnings()
            .iter()
            .filter(|text| text.contains("indent it"))
            .count();
        assert!(named >= slips, "{:?}", settings.warnings());
    }
}

#[test]
fn the_sockets_follow_the_run_path() {
    let cases: [(Variables, &str, &str); 4] = [
        (
            &[],
            "/opt/datadog-agent/run/runtime-security.sock",
            "/opt/datadog-agent/run/cmd-runtime-security.sock",
        ),
        (
            &[("DD_RUN_PATH", "/r")],
            "/r/runtime-security.sock",
            "/r/cmd-runtime-security.sock",
        ),
        (
            &[
                ("DD_RUN_PATH", "/r"),
                ("DD_RUNTIME_SECURITY_CONFIG_SOCKET", "/s/e.sock"),
            ],
            "/s/e.sock",
            "/s/cmd-e.sock",
        ),
        (
            &[("DD_RUNTIME_SECURITY_CONFIG_CMD_SOCKET", "/c.sock")],
            "/opt/datadog-agent/run/runtime-security.sock",
            "/c.sock",
        ),
    ];
    let files = Files::new("sockets", &[]);
    for (environment, events, commands) in cases {
        let settings = files.load(environment);
        assert_eq!(settings.event_socket(), PathBuf::from(events));
        assert_eq!(settings.command_socket(), PathBuf::from(commands));
    }
}

#[test]
fn files_only_where_enabled_is_not_said_to_be_true() {
    let fim = "runtime_security_config: {fim_enabled: true";
    let cases = [
        (format!("{fim}}}"), Mode::FilesOnly),
        (format!("{fim}, enabled: false}}"), Mode::FilesOnly),
        (format!("{fim}, enabled: true}}"), Mode::Full),
        (ON.to_owned(), Mode::Full),
    ];
    for (text, expected) in cases {
        let files = Files::new("mode", &[("system-probe.yaml", &text)]);
        assert_eq!(files.load(&[]).mode(), expected, "{text}");
    }
    assert_eq!(Settings::empty(true).mode(), Mode::Full);
    assert!(
        matches!(Settings::empty(false).mode(), Mode::Off(reason) if reason.contains("not set"))
    );
}

#[test]
fn a_named_file_must_be_there_and_sound() {
    let files = Files::new("errors", &[("system-probe.yaml", "a: [b")]);
    let settings = files.load(&[]);
    let error = settings.errors().first().unwrap();
    assert!(
        error.contains("system-probe.yaml") && error.contains("line 1"),
        "{error}"
    );

    let missing = Request {
        cfgpaths: vec![files.0.join("no.yaml")],
        ..Request::default()
    };
    assert!(Settings::load(&missing)
        .errors()
        .first()
        .unwrap()
        .contains("no.yaml"));
    let empty = Request {
        cfgpaths: vec![PathBuf::new()],
        ..Request::default()
    };
    let errors = Settings::load(&empty).errors().to_vec();
    assert_eq!(
        errors.first().unwrap(),
        "no Security Agent config files to load, exiting"
    );
}

#[test]
fn a_value_in_the_place_of_a_section_is_named() {
    let files = Files::new(
        "shape",
        &[("datadog.yaml", "runtime_security_config: true\n")],
    );
    let settings = files.load(&[]);
    let warning = settings.warnings().first().unwrap();
    assert!(warning.contains("it is a section"), "{warning}");
}
