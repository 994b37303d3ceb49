//! The log from a message to what its sinks were given.

use std::fs;
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::*;
use crate::config::{keys, Key, Settings, Value};

/// A directory that is removed at the end.
struct Scratch(PathBuf);

impl Scratch {
    fn new(name: &str) -> Scratch {
        let name = format!("logger-test-{name}-{}", std::process::id());
        let path = std::env::temp_dir().join(name);
        fs::create_dir_all(&path).unwrap();
        Scratch(path)
    }

    /// Settings with nothing on standard error and the log files in here.
    fn settings(&self) -> Settings {
        let mut settings = Settings::empty(false);
        set(&mut settings, &keys::LOG_TO_CONSOLE, "false");
        for (key, name) in [
            (&keys::SECURITY_AGENT_LOG_FILE, "security-agent.log"),
            (&keys::SYSTEM_PROBE_LOG_FILE, "system-probe.log"),
        ] {
            set(&mut settings, key, &self.0.join(name).to_string_lossy());
        }
        settings
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn set(settings: &mut Settings, key: &Key, text: &str) {
    settings.set(key, Value::from_text(key.kind, text).unwrap(), "test");
}

fn state(settings: &Settings, role: &'static str) -> State {
    State::started(role, &Options::new(settings, role), Instant::now()).0
}

fn messages(path: &Path) -> Vec<String> {
    let text = fs::read_to_string(path).unwrap();
    let said = text.lines().filter_map(|line| line.split_once(": "));
    said.map(|(_, message)| message.to_owned()).collect()
}

#[test]
fn levels_have_their_usual_names() {
    for (name, expected) in [
        ("trace", LevelFilter::Trace),
        ("Debug", LevelFilter::Debug),
        ("info", LevelFilter::Info),
        ("warn", LevelFilter::Warn),
        ("WARNING", LevelFilter::Warn),
        ("error", LevelFilter::Error),
        ("critical", LevelFilter::Error),
        ("off", LevelFilter::Off),
    ] {
        assert_eq!(level_of(name), Ok(expected));
    }
    assert_eq!(level_of("loud"), Err(UnknownLevel("loud".to_owned())));
}

#[test]
fn the_level_can_be_changed_while_running() {
    let before = level();
    set_level("Warning").unwrap();
    assert_eq!(level(), "warn");
    assert!(set_level("loud").is_err());
    assert_eq!(level(), "warn");
    set_level(before).unwrap();
}

#[test]
fn each_role_has_its_file_and_the_supervisor_none() {
    let scratch = Scratch::new("roles");
    let settings = scratch.settings();
    let name = |role| {
        let file = Options::new(&settings, role).file?;
        Some(file.path.file_name()?.to_string_lossy().into_owned())
    };
    assert_eq!(
        name("security-agent").as_deref(),
        Some("security-agent.log")
    );
    assert_eq!(name("system-probe").as_deref(), Some("system-probe.log"));
    assert_eq!(name("supervisor"), None);
    let mut settings = scratch.settings();
    set(&mut settings, &keys::DISABLE_FILE_LOGGING, "true");
    assert_eq!(Options::new(&settings, "system-probe").file, None);
}

#[test]
fn what_is_not_understood_is_said_by_the_log_itself() {
    let scratch = Scratch::new("complaints");
    let mut settings = scratch.settings();
    set(&mut settings, &keys::LOG_LEVEL, "loud");
    set(&mut settings, &keys::LOG_TO_SYSLOG, "true");
    set(&mut settings, &keys::SYSLOG_URI, "tcp://h:1");
    let missing = scratch.0.join("missing/a.log");
    set(
        &mut settings,
        &keys::SYSTEM_PROBE_LOG_FILE,
        &missing.to_string_lossy(),
    );
    let options = Options::new(&settings, "system-probe");
    assert_eq!(options.level, LevelFilter::Info);
    let (state, complaints) = State::started("system-probe", &options, Instant::now());
    assert!(state.file.is_none() && state.syslog.is_none());
    let levels: Vec<Level> = complaints.iter().map(|(level, _)| *level).collect();
    assert_eq!(
        levels,
        [Level::Warn, Level::Warn, Level::Debug],
        "{complaints:?}"
    );
}

#[test]
fn no_secret_reaches_a_sink() {
    let scratch = Scratch::new("secrets");
    let path = scratch.0.join("daemon");
    let daemon = UnixDatagram::bind(&path).unwrap();
    let mut settings = scratch.settings();
    set(&mut settings, &keys::API_KEY, "an-odd-key");
    set(&mut settings, &keys::LOG_TO_SYSLOG, "true");
    set(
        &mut settings,
        &keys::SYSLOG_URI,
        &format!("unixgram://{}", path.display()),
    );
    set(&mut settings, &keys::LOG_FORMAT_JSON, "true");
    let mut state = state(&settings, "security-agent");
    let text = "with an-odd-key and password=hunter2 and \"quotes\"";
    for _ in 0..9 {
        state.log(Instant::now(), Level::Info, 1, text);
    }
    state.flush(Instant::now());
    let expected = "with ******** and password=******** and \"quotes\"";

    let log = fs::read_to_string(scratch.0.join("security-agent.log")).unwrap();
    let lines: Vec<serde_json::Value> = log
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    assert_eq!(lines.len(), 6);
    assert_eq!(lines[0]["msg"], expected);
    assert_eq!(lines[0]["agent"], "security-agent");
    assert!(lines[5]["msg"].as_str().unwrap().ends_with(expected));

    let mut buffer = [0; 512];
    let length = daemon.recv(&mut buffer).unwrap();
    let datagram = String::from_utf8_lossy(&buffer[..length]);
    assert!(
        datagram.starts_with("<30>") && datagram.ends_with(expected),
        "{datagram}"
    );
}

#[test]
fn repeats_are_told_when_their_time_is_over() {
    let scratch = Scratch::new("repeats");
    let mut state = state(&scratch.settings(), "system-probe");
    let start = Instant::now();
    for _ in 0..8 {
        state.log(start, Level::Info, 1, "again");
    }
    state.log(start + Duration::from_secs(10), Level::Info, 2, "other");
    let mut expected = vec!["again"; 5];
    expected.extend(["the previous message was repeated 3 times: again", "other"]);
    assert_eq!(messages(&scratch.0.join("system-probe.log")), expected);
}

#[test]
fn a_forked_process_leaves_the_file_alone() {
    let scratch = Scratch::new("forked");
    let mut state = state(&scratch.settings(), "system-probe");
    state.log(Instant::now(), Level::Info, 1, "ours");
    state.pid += 1;
    state.log(Instant::now(), Level::Info, 2, "theirs");
    assert_eq!(messages(&scratch.0.join("system-probe.log")), ["ours"]);
}

#[test]
fn without_a_scrubber_nothing_is_written_as_it_came() {
    let scratch = Scratch::new("unfit");
    let mut state = state(&scratch.settings(), "system-probe");
    state.scrubber = None;
    state.log(Instant::now(), Level::Info, 1, "password=x");
    assert_eq!(messages(&scratch.0.join("system-probe.log")).len(), 1);
    let log = fs::read_to_string(scratch.0.join("system-probe.log")).unwrap();
    assert!(log.contains("secrets in it could not be masked"), "{log}");
}
