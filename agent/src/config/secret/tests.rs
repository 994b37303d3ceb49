//! Secrets from small scripts, as people write them.

use super::*;
use crate::config::Request;
use std::fs;
use std::path::PathBuf;
use std::process::Command;

/// A directory with a script, removed again.
struct Backend(PathBuf);

impl Backend {
    /// The script is written by another process: one that this one had open for writing could not
    /// be run while a third process is being started from a test beside this one.
    fn new(name: &str, mode: &str, script: &str) -> Backend {
        let directory = std::env::temp_dir().join(format!("secret-{}-{name}", std::process::id()));
        fs::create_dir_all(&directory).unwrap();
        let written = Command::new("/bin/sh")
            .args([
                "-c",
                "printf '#!/bin/sh\\n%s\\n' \"$1\" > \"$2\" && chmod \"$3\" \"$2\"",
                "sh",
            ])
            .arg(script)
            .arg(directory.join("backend"))
            .arg(mode)
            .status();
        assert!(written.unwrap().success());
        Backend(directory)
    }

    fn load(&self, file: &str, environment: &[(&str, &str)]) -> Settings {
        self.load_with(file, environment, false)
    }

    fn load_with(&self, file: &str, environment: &[(&str, &str)], keeps_handles: bool) -> Settings {
        let command = self.0.join("backend");
        let text = format!("secret_backend_command: {}\n{file}", command.display());
        let (path, empty) = (self.0.join("datadog.yaml"), self.0.join("empty.yaml"));
        fs::write(&path, text).unwrap();
        fs::write(&empty, "").unwrap();
        let environment = environment.iter();
        Settings::load(&Request {
            cfgpaths: vec![path],
            sysprobe_config: Some(empty),
            environment: environment
                .map(|(name, value)| (name.to_string(), value.to_string()))
                .collect(),
            keeps_handles,
            ..Request::default()
        })
    }
}

impl Drop for Backend {
    fn drop(&mut self) {
        fs::remove_dir_all(&self.0).unwrap();
    }
}

/// Keeps what it was asked and how often, then answers.
const GOOD: &str = r#"cat >> "$(dirname "$0")/asked"; echo >> "$(dirname "$0")/asked"
printf '%s\n' '{"key":{"value":"0123456789abcdef\n","error":null},"tag":{"value":"team:hidden-team"},"more":{"value":"fedcba9876543210","error":""},"extra":{"value":"x"}}'"#;

#[test]
fn nobody_is_asked_where_handles_are_kept() {
    let backend = Backend::new("kept", "700", GOOD);
    let settings = backend.load_with("api_key: ENC[key]\n", &[], true);
    assert_eq!(settings.errors(), Vec::<String>::new());
    assert_eq!(settings.text(&keys::API_KEY), "ENC[key]");
    assert!(!backend.0.join("asked").exists());
}

#[test]
fn one_run_gives_the_secrets_of_texts_lists_and_objects() {
    let backend = Backend::new("good", "700", GOOD);
    let file = "api_key: ENC[key]\ntags: [a:b, 'ENC[tag]']\nruntime_security_config:\n  endpoints:\n    additional_endpoints: [{api_key: 'ENC[more]', Host: h}]\n";
    let settings = backend.load(file, &[("DD_APP_KEY", " ENC[key] ")]);
    assert!(settings.errors().is_empty(), "{:?}", settings.errors());
    assert_eq!(settings.text(&keys::API_KEY), "0123456789abcdef");
    assert_eq!(settings.text(&keys::APP_KEY), "0123456789abcdef");
    assert_eq!(settings.list(&keys::TAGS), ["a:b", "team:hidden-team"]);
    let endpoints = settings.json(&keys::ENDPOINTS_ADDITIONAL).to_string();
    assert_eq!(endpoints, r#"[{"Host":"h","api_key":"fedcba9876543210"}]"#);
    let asked = fs::read_to_string(backend.0.join("asked")).unwrap();
    assert_eq!(asked.lines().count(), 1, "{asked}");
    let asked: Json = serde_json::from_str(&asked).unwrap();
    assert_eq!(
        asked,
        serde_json::json!({"version": "1.0", "secrets": ["key", "more", "tag"]})
    );
    let secrets = settings.secrets();
    assert_eq!(
        secrets,
        ["0123456789abcdef", "fedcba9876543210", "team:hidden-team"]
    );
    let printed = format!("{settings:?}");
    assert!(
        secrets.iter().all(|secret| !printed.contains(secret)),
        "{printed}"
    );
}

#[test]
fn every_failure_names_handle_and_key() {
    let cases = [
        (
            "status",
            "755",
            "echo no vault here >&2; exit 3",
            "no vault here",
        ),
        ("silent", "755", "exit 3", "exit status: 3"),
        (
            "words",
            "755",
            "echo secret-value",
            "did not print a JSON object",
        ),
        ("missing", "755", "echo '{}'", "did not answer it"),
        (
            "refused",
            "755",
            "echo '{\"key\":{\"value\":\"secret-value\",\"error\":\"locked\"}}'",
            "locked",
        ),
        (
            "empty",
            "755",
            "echo '{\"key\":{\"value\":\"\"}}'",
            "gave no value",
        ),
        (
            "long",
            "755",
            "while :; do echo secret-value; done",
            "more than 4096 bytes",
        ),
        (
            "late",
            "755",
            "sleep 600 & echo $! > \"$0.pid\"; wait",
            "took longer than 3s",
        ),
        ("group", "775", "echo '{}'", "others may write to it"),
        ("world", "757", "echo '{}'", "others may write to it"),
        ("plain", "644", "echo '{}'", "cannot be run"),
    ];
    for (name, mode, script, expected) in cases {
        let backend = Backend::new(name, mode, script);
        // It is to have said who it started before it is late.
        let limit = if name == "late" { "3s" } else { "30s" };
        let settings = backend.load(
            &format!("secret_backend_timeout: {limit}\nsecret_backend_output_max_size: 4096\napi_key: ENC[key]\n"),
            &[],
        );
        let [error] = settings.errors() else {
            panic!("{name}: {:?}", settings.errors());
        };
        assert!(error.contains(expected), "{name}: {error}");
        assert!(error.contains("secret key of api_key"), "{name}: {error}");
        assert!(!error.contains("secret-value"), "{name}: {error}");
        assert_eq!(settings.text(&keys::API_KEY), "");
        if name == "late" {
            let pid = fs::read_to_string(backend.0.join("backend.pid")).unwrap();
            let state = format!("/proc/{}/stat", pid.trim());
            let runs = || fs::read_to_string(&state).is_ok_and(|state| !state.contains(") Z "));
            // What the program started is killed with it, if not at the same moment.
            while runs() {
                std::thread::yield_now();
            }
        }
    }
}

#[test]
fn without_handles_nothing_is_run_and_without_a_program_a_sentence_says_so() {
    let backend = Backend::new("unused", "700", GOOD);
    let settings = backend.load("api_key: plain\ntags: ['ENC[]', 'x ENC[y]']\n", &[]);
    assert!(settings.errors().is_empty() && !backend.0.join("asked").exists());

    let command = [("DD_SECRET_BACKEND_COMMAND", "relative")];
    let settings = backend.load("api_key: ENC[key]\n", &command);
    assert!(
        settings.errors()[0].contains("from the root directory"),
        "{:?}",
        settings.errors()
    );
    let settings = backend.load("secret_backend_timeout: 30s\n", &[("DD_API_KEY", "ENC[a]")]);
    assert!(
        settings.errors()[0].contains("did not answer it"),
        "{:?}",
        settings.errors()
    );
}

#[test]
fn where_nothing_is_to_run_a_missing_secret_is_a_warning() {
    let backend = Backend::new("off", "700", "exit 1");
    let settings = backend.load(
        "api_key: ENC[key]\nruntime_security_config: {enabled: false}\n",
        &[],
    );
    assert!(settings.errors().is_empty(), "{:?}", settings.errors());
    assert!(settings.warnings()[0].contains("secret key of api_key"));
}
