//! Hosts that flares are made of: configuration files, directories of logs, policies and temporary
//! files, and the environment that the agent and its flares share.
//!
//! Every address that something could be sent to is one of this machine. What a flare printed
//! leaves as [`Finished`]; [`archive_of`] finds the archive that it names.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::finished::{finish, Finished};
use crate::harness::Launch;
use crate::intake::API_KEY;
use crate::report::{ensure, Failure, Outcome, Report};
use crate::scratch::{self, patience};

/// Seconds for a flare to be made and sent, whatever stands in its way.
pub(crate) const FLARE_SECONDS: u64 = 60;
/// What the host is called, and so the folder in its archives.
pub(crate) const HOSTNAME: &str = "flare-host-1";
/// Nobody listens there.
pub(crate) const NOWHERE: &str = "http://127.0.0.1:9";
/// Who sends the flares of the tests.
pub(crate) const EMAIL: &str = "jane@example.com";
/// The end of every archive's name.
pub(crate) const EXTENSION: &str = ".tar.gz";

const PREFIX: &str = "DD_RUNTIME_SECURITY_CONFIG_";

/// Directories and environment of one host.
pub(crate) struct Host {
    directory: PathBuf,
    policies: PathBuf,
    variables: Vec<(String, String)>,
}

impl Host {
    /// A host with configuration files that say little, and an agent for it that is not started.
    /// Flares go to `url`, as events do.
    pub(crate) fn new(name: &str, url: &str) -> Result<(Host, Launch), Failure> {
        let directory = scratch::directory(name)?;
        for part in ["etc", "logs", "compliance.d", "tmp"] {
            fs::create_dir(directory.join(part))?;
        }
        let launch = Launch::new(name)?;
        let text = |path: &Path| path.to_string_lossy().into_owned();
        let variables = [
            ("DD_RUN_PATH".to_owned(), text(&launch.run_path())),
            ("DD_URL".to_owned(), url.to_owned()),
            (
                format!("{PREFIX}SOCKET"),
                text(&launch.run_path().join("runtime-security.sock")),
            ),
            (format!("{PREFIX}POLICIES_DIR"), text(&launch.policies())),
            (format!("{PREFIX}ENDPOINTS_LOGS_DD_URL"), url.to_owned()),
            ("TMPDIR".to_owned(), text(&directory.join("tmp"))),
        ];
        let host = Host {
            policies: launch.policies(),
            variables: variables.into(),
            directory,
        };
        for (name, text) in host.first_files() {
            fs::write(host.etc(name), text)?;
        }
        fs::write(host.logs().join("planted.log"), "a line of a log\n")?;
        let rules = "rules:\n  - id: nothing\n    title: nothing\n";
        fs::write(host.compliance().join("planted.yaml"), rules)?;
        let launch = host.launch(launch);
        Ok((host, launch))
    }

    /// The configuration files as they are made.
    pub(crate) fn first_files(&self) -> [(&'static str, String); 3] {
        let logs = self.logs().display().to_string();
        let enabled = "runtime_security_config:\n  enabled: true\n";
        [
            (
                "datadog.yaml",
                format!("api_key: {API_KEY}\nhostname: {HOSTNAME}\n"),
            ),
            (
                "security-agent.yaml",
                format!(
                    "{enabled}security_agent:\n  log_file: {logs}/security-agent.log\n\
                     compliance_config:\n  dir: {}\n",
                    self.compliance().display()
                ),
            ),
            (
                "system-probe.yaml",
                format!("{enabled}system_probe_config:\n  log_file: {logs}/system-probe.log\n"),
            ),
        ]
    }

    fn launch(&self, launch: Launch) -> Launch {
        let flags = self.flags();
        let mut words = vec!["run", "--json"];
        words.extend(flags.iter().map(String::as_str));
        let mut launch = launch.arguments(&words);
        for (name, value) in &self.variables {
            launch = launch.env(name, value);
        }
        launch
    }

    /// One of its configuration files.
    pub(crate) fn etc(&self, name: &str) -> PathBuf {
        self.directory.join("etc").join(name)
    }

    /// The directory of the agent's log files.
    pub(crate) fn logs(&self) -> PathBuf {
        self.directory.join("logs")
    }

    /// The directory of benchmarks.
    pub(crate) fn compliance(&self) -> PathBuf {
        self.directory.join("compliance.d")
    }

    /// The directory of policies.
    pub(crate) fn policies(&self) -> &Path {
        &self.policies
    }

    /// The directory of temporary files: where archives are made.
    pub(crate) fn tmp(&self) -> PathBuf {
        self.directory.join("tmp")
    }

    /// The command line's flags that name the configuration.
    fn flags(&self) -> Vec<String> {
        let path = |name| self.etc(name).to_string_lossy().into_owned();
        [
            ("-c", "datadog.yaml"),
            ("-c", "security-agent.yaml"),
            ("--sysprobe-config", "system-probe.yaml"),
        ]
        .into_iter()
        .flat_map(|(flag, name)| [flag.to_owned(), path(name)])
        .collect()
    }

    /// `flare` with these arguments, not started.
    pub(crate) fn command(&self, arguments: &[&str]) -> Command {
        self.command_of(&scratch::agent_binary(), arguments)
    }

    /// The same of another copy of the agent.
    pub(crate) fn command_of(&self, binary: &Path, arguments: &[&str]) -> Command {
        let mut command = Command::new(binary);
        command
            .arg("flare")
            .args(arguments)
            .args(self.flags())
            .envs(self.variables.iter().cloned());
        command
    }

    /// Runs `flare` with these arguments; standard input is no terminal.
    pub(crate) fn flare(&self, arguments: &[&str]) -> Result<Finished, Failure> {
        run(self.command(arguments))
    }

    /// Makes an archive without sending it.
    pub(crate) fn build(&self) -> Result<(Finished, PathBuf), Failure> {
        let done = self.flare(&["--no-upload"])?;
        let path = archive_of(&done)?;
        Ok((done, path))
    }

    /// What lies in the directory of temporary files and is no archive.
    pub(crate) fn left_behind(&self) -> Result<Vec<String>, Failure> {
        let mut names = Vec::new();
        for entry in fs::read_dir(self.tmp())? {
            let name = entry?.file_name().to_string_lossy().into_owned();
            if !(name.starts_with("datadog-agent-") && name.ends_with(EXTENSION)) {
                names.push(name);
            }
        }
        Ok(names)
    }

    /// Fails when something is left there.
    pub(crate) fn expect_tidy(&self) -> Outcome {
        let left = self.left_behind()?;
        ensure(left.is_empty(), || format!("left behind: {left:?}"))
    }
}

/// Runs a flare to its end, which comes in bounded time and without a panic.
pub(crate) fn run(command: Command) -> Result<Finished, Failure> {
    let done = finish(command, patience(FLARE_SECONDS))?;
    ensure(!done.stderr.contains("panicked"), || done.said())?;
    ensure(done.code.is_some(), || {
        format!("a signal ended it: {}", done.said())
    })?;
    Ok(done)
}

/// The archives that a text names, each once.
pub(crate) fn archives_in(text: &str) -> Vec<PathBuf> {
    let mut found: Vec<PathBuf> = Vec::new();
    for word in text.split_whitespace() {
        let word = word.trim_matches(['(', ')', '`', '\'', '"', ',']);
        let word = word.trim_end_matches(['.', ';', ':']);
        let path = PathBuf::from(word);
        if word.starts_with('/') && word.ends_with(EXTENSION) && !found.contains(&path) {
            found.push(path);
        }
    }
    found
}

/// The archive that a flare which succeeded names.
pub(crate) fn archive_of(done: &Finished) -> Result<PathBuf, Failure> {
    ensure(done.code == Some(0), || done.said())?;
    let found = archives_in(&done.stdout);
    match found.as_slice() {
        [path] if path.is_file() => Ok(path.clone()),
        _ => Err(Failure::Failed(format!(
            "no archive is named, or none is there: {}",
            done.said()
        ))),
    }
}

/// Fails unless a command failed and said why in words.
pub(crate) fn expect_sentence(done: &Finished) -> Outcome {
    let said = done.stderr.trim();
    ensure(done.code == Some(1) && said.contains(' '), || done.said())
}

/// A test of something that several tests have in common.
pub(crate) type Test<T> = (&'static str, fn(&T) -> Outcome);

/// Runs those of these tests that were asked for; what they have in common is made once, if one was.
pub(crate) fn run_all<T>(
    report: &mut Report,
    tests: &[Test<T>],
    prepare: impl FnOnce() -> Result<T, Failure>,
) {
    if report.wants_any(tests.iter().map(|(name, _)| *name)) {
        let made = prepare();
        for (name, test) in tests {
            report.case(name, || shared(&made).and_then(test));
        }
    }
}

/// What was made once for several tests, or why it could not be made.
pub(crate) fn shared<T>(made: &Result<T, Failure>) -> Result<&T, Failure> {
    made.as_ref().map_err(|failure| match failure {
        Failure::Failed(why) => Failure::Failed(why.clone()),
        Failure::Skipped(why) => Failure::Skipped(why.clone()),
        Failure::NotApplicable(why) => Failure::NotApplicable(why.clone()),
    })
}
