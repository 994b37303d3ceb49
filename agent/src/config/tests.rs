//! Whole loads: files and environments as people write them.

use super::*;
use std::fs;

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

#[test]
fn every_key_is_read_from_a_file_and_from_the_environment() {
    for key in keys::ALL {
        let (text, wrong) = match key.kind {
            value::Kind::Flag => (
                if key.default == "true" {
                    "false"
                } else {
                    "true"
                },
                "{a: 1}",
            ),
            value::Kind::Count => ("77", "many"),
            value::Kind::Duration => ("77s", "long"),
            value::Kind::Text => ("/some/text", "[a]"),
            value::Kind::List => ("[\"x\", \"y z\"]", "{a: b}"),
            value::Kind::Size => ("77Mb", "large"),
            value::Kind::Json => ("[{\"x\": 1}]", "x"),
        };
        let expected = Value::from_text(key.kind, text).unwrap();
        let good = Files::new(
            "key",
            &[("datadog.yaml", &format!("{}: {text}\n", key.name))],
        );
        assert_eq!(good.load(&[]).value(key), Some(&expected), "{}", key.name);
        for variable in key.variable_names() {
            let settings = good.load(&[(&variable, text)]);
            assert_eq!(settings.value(key), Some(&expected), "{variable}");
            assert_eq!(*settings.source(key), Source::Environment(variable));
        }
        drop(good);
        let bad = Files::new(
            "key",
            &[("datadog.yaml", &format!("{}: {wrong}\n", key.name))],
        );
        let settings = bad.load(&[]);
        assert_eq!(*settings.source(key), Source::Default, "{}", key.name);
        assert_eq!(settings.warnings().len(), 1, "{:?}", settings.warnings());
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
