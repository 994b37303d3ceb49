//! One agent under test: started with a run path of its own and configured by the environment
//! alone, watched through its standard output, its log and its `status`, ended when dropped.

use std::fs::{self, File};
use std::io::{self, BufRead, BufReader};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use nix::sys::signal::{kill, Signal};
use nix::unistd::Pid;
use serde_json::Value;

use crate::finished::{finish, Finished};
use crate::guard::{id_of, processes_of};
use crate::report::Failure;
use crate::scratch::{self, patience, wait_for};
use crate::socket::Client;

/// Seconds for an agent to be up.
const START_SECONDS: u64 = 30;
/// Seconds for an event to come.
const EVENT_SECONDS: u64 = 20;
/// Seconds for an agent to end after it was told to.
pub(crate) const STOP_SECONDS: u64 = 10;
/// Seconds for a command to end; a self-test alone may take 30.
const COMMAND_SECONDS: u64 = 40;
const PREFIX: &str = "DD_RUNTIME_SECURITY_CONFIG_";

/// How an agent is to be started.
pub(crate) struct Launch {
    home: PathBuf,
    arguments: Vec<String>,
    environment: Vec<(String, String)>,
    own_group: bool,
    stdout: Option<File>,
}

impl Launch {
    /// Both roles under their supervisor, JSON lines on standard output, no policy.
    pub(crate) fn new(name: &str) -> io::Result<Launch> {
        let home = scratch::directory(name)?;
        for directory in ["run", "policies"] {
            fs::create_dir(home.join(directory))?;
        }
        scratch::set_mode(&home.join("run"), 0o750)?;
        let mut launch = Launch {
            home: home.clone(),
            arguments: vec!["run".to_owned(), "--json".to_owned()],
            environment: Vec::new(),
            own_group: false,
            stdout: None,
        };
        let text = |path: PathBuf| path.to_string_lossy().into_owned();
        launch.set("DD_RUN_PATH", &text(home.join("run")));
        launch.configure("ENABLED", "true");
        launch.configure("SOCKET", &text(home.join("run/runtime-security.sock")));
        launch.configure("POLICIES_DIR", &text(home.join("policies")));
        launch.configure("POLICIES_DEFAULT_ENABLED", "false");
        launch.configure("NETWORK_ENABLED", "false");
        launch.configure("ENFORCEMENT_ENABLED", "false");
        Ok(launch)
    }

    /// Other arguments than `run --json`.
    pub(crate) fn arguments(mut self, arguments: &[&str]) -> Launch {
        self.arguments = arguments
            .iter()
            .map(|argument| (*argument).to_owned())
            .collect();
        self
    }

    /// Puts a policy file into the agent's directory.
    pub(crate) fn policy(self, name: &str, text: impl AsRef<[u8]>) -> io::Result<Launch> {
        fs::write(self.policies().join(name), text)?;
        Ok(self)
    }

    /// The directory of the policies.
    pub(crate) fn policies(&self) -> PathBuf {
        self.home.join("policies")
    }

    /// Where its sockets, locks and spool will be.
    pub(crate) fn run_path(&self) -> PathBuf {
        self.home.join("run")
    }

    /// Lets the policy that is built in load as well.
    pub(crate) fn default_policy(mut self) -> Launch {
        self.configure("POLICIES_DEFAULT_ENABLED", "true");
        self
    }

    /// Sets an environment variable.
    pub(crate) fn env(mut self, name: &str, value: &str) -> Launch {
        self.set(name, value);
        self
    }

    /// Leaves out an environment variable that every agent gets here.
    pub(crate) fn without(mut self, name: &str) -> Launch {
        self.environment.retain(|(known, _)| known != name);
        self
    }

    /// Writes a file beside the agent's directories; returns its path.
    pub(crate) fn file(&self, name: &str, text: &str) -> io::Result<String> {
        let path = self.home.join(name);
        fs::write(&path, text)?;
        Ok(path.to_string_lossy().into_owned())
    }

    /// In a process group of its own, as a shell starts its jobs.
    pub(crate) fn own_group(mut self) -> Launch {
        self.own_group = true;
        self
    }

    /// Standard output goes there instead of being collected.
    pub(crate) fn stdout(mut self, file: File) -> Launch {
        self.stdout = Some(file);
        self
    }

    /// Starts it and returns at once.
    pub(crate) fn spawn(self) -> io::Result<Agent> {
        let mut command = Command::new(scratch::agent_binary());
        command
            .args(&self.arguments)
            .envs(self.environment.iter().cloned())
            .stdin(Stdio::null());
        command.stderr(File::create(self.home.join("log"))?);
        match self.stdout {
            Some(file) => command.stdout(file),
            None => command.stdout(Stdio::piped()),
        };
        if self.own_group {
            command.process_group(0);
        }
        let started = Instant::now();
        let mut child = command.spawn()?;
        let output = Arc::new(Mutex::new(Output::default()));
        if let Some(stream) = child.stdout.take() {
            let output = Arc::clone(&output);
            thread::spawn(move || collect(BufReader::new(stream), &output));
        }
        let environment = self.environment;
        Ok(Agent {
            child,
            home: self.home,
            environment,
            output,
            started,
            ended: None,
        })
    }

    /// Starts it and waits until `status` says that it is up.
    pub(crate) fn start(self) -> Result<Agent, Failure> {
        let mut agent = self.spawn()?;
        agent.wait_until_up()?;
        Ok(agent)
    }

    fn configure(&mut self, key: &str, value: &str) {
        self.set(&format!("{PREFIX}{key}"), value);
    }

    fn set(&mut self, name: &str, value: &str) {
        self.environment.retain(|(known, _)| known != name);
        self.environment.push((name.to_owned(), value.to_owned()));
    }
}

/// What came on standard output.
#[derive(Default)]
struct Output {
    lines: Vec<Line>,
    invalid: Vec<String>,
}

/// One event as it was printed.
#[derive(Clone)]
pub(crate) struct Line {
    /// When it was read.
    pub(crate) at: Instant,
    /// As it was printed.
    pub(crate) text: String,
    /// What it says.
    pub(crate) event: Value,
}

fn collect(mut reader: impl BufRead, output: &Mutex<Output>) {
    let mut text = String::new();
    while matches!(reader.read_line(&mut text), Ok(size) if size > 0) {
        let line = std::mem::take(&mut text).trim_end_matches('\n').to_owned();
        let mut output = lock(output);
        match serde_json::from_str::<Value>(&line) {
            Ok(event) if event.is_object() => {
                output.lines.push(Line {
                    at: Instant::now(),
                    text: line,
                    event,
                });
            }
            _ => output.invalid.push(line),
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A running agent.
pub(crate) struct Agent {
    child: Child,
    home: PathBuf,
    environment: Vec<(String, String)>,
    output: Arc<Mutex<Output>>,
    started: Instant,
    ended: Option<ExitStatus>,
}

impl Agent {
    /// When it was started.
    pub(crate) fn started(&self) -> Instant {
        self.started
    }

    /// Where its sockets and locks are.
    pub(crate) fn run_path(&self) -> PathBuf {
        self.home.join("run")
    }

    /// The directory of its policies.
    pub(crate) fn policies(&self) -> PathBuf {
        self.home.join("policies")
    }

    /// Its event socket.
    pub(crate) fn event_socket(&self) -> PathBuf {
        self.run_path().join("runtime-security.sock")
    }

    /// Its command socket.
    pub(crate) fn command_socket(&self) -> PathBuf {
        self.run_path().join("cmd-runtime-security.sock")
    }

    /// The command socket of its security-agent role.
    pub(crate) fn agent_socket(&self) -> PathBuf {
        self.run_path().join("security-agent.sock")
    }

    /// Its process id: the supervisor's for `run`.
    pub(crate) fn pid(&self) -> Pid {
        id_of(&self.child)
    }

    /// The pids of the two roles, as they say themselves: system-probe in its status,
    /// security-agent in its lock file.
    pub(crate) fn roles(&self) -> Option<(i32, i32)> {
        let probe = self.command_status()?.get("pid")?.as_i64()?;
        let text = fs::read_to_string(self.run_path().join("security-agent.pid")).ok()?;
        Some((i32::try_from(probe).ok()?, text.trim().parse().ok()?))
    }

    /// Runs a command of the binary with this agent's environment.
    pub(crate) fn command(&self, arguments: &[&str]) -> Result<Finished, Failure> {
        let mut command = Command::new(scratch::agent_binary());
        command
            .args(arguments)
            .envs(self.environment.iter().cloned());
        finish(command, patience(COMMAND_SECONDS))
    }

    /// The same as another user, with only what that user needs to find the sockets.
    pub(crate) fn command_as(&self, user: u32, arguments: &[&str]) -> Result<Finished, Failure> {
        let mut command = Command::new(scratch::public_binary()?);
        command
            .args(arguments)
            .env("DD_RUN_PATH", self.run_path())
            .env(format!("{PREFIX}SOCKET"), self.event_socket())
            .uid(user)
            .gid(user);
        finish(command, patience(COMMAND_SECONDS))
    }

    /// Starts a command and returns at once; what it prints is thrown away.
    pub(crate) fn begin(&self, arguments: &[&str]) -> io::Result<Child> {
        self.begin_into(arguments, Stdio::null())
    }

    /// Starts a command that prints there and returns at once.
    pub(crate) fn begin_into(
        &self,
        arguments: &[&str],
        output: impl Into<Stdio>,
    ) -> io::Result<Child> {
        let mut command = Command::new(scratch::agent_binary());
        command
            .args(arguments)
            .envs(self.environment.iter().cloned());
        command.stdout(output).stderr(Stdio::null()).spawn()
    }

    /// The exit code of `status -j` and what it printed.
    pub(crate) fn status(&self) -> Result<(Option<i32>, Value), Failure> {
        let finished = self.command(&["status", "-j"])?;
        let value = serde_json::from_str(&finished.stdout)
            .map_err(|error| format!("status -j printed no JSON ({error}): {}", finished.said()))?;
        Ok((finished.code, value))
    }

    /// What system-probe itself answers to `status`; `None` when it does not.
    pub(crate) fn command_status(&self) -> Option<Value> {
        status_from(&self.command_socket())
    }

    /// What the security-agent role itself answers to `status`; `None` when it does not.
    pub(crate) fn agent_status(&self) -> Option<Value> {
        status_from(&self.agent_socket())
    }

    /// Waits until `status` ends with 0.
    pub(crate) fn wait_until_up(&mut self) -> Result<(), Failure> {
        let limit = patience(START_SECONDS);
        let up = wait_for(limit, || {
            if self.has_ended() {
                return Some(false);
            }
            matches!(self.status(), Ok((Some(0), _))).then_some(true)
        });
        match up {
            Some(true) => Ok(()),
            Some(false) => Err(Failure::Failed(format!(
                "the agent ended while starting ({:?}): {}",
                self.ended,
                self.log_tail()
            ))),
            None => Err(Failure::Failed(format!(
                "the agent is not up after {} s; status: {}; log: {}",
                limit.as_secs(),
                self.command(&["status"])
                    .map_or_else(|_| "-".to_owned(), |done| done.said()),
                self.log_tail()
            ))),
        }
    }

    /// The lines printed so far.
    pub(crate) fn lines(&self) -> Vec<Line> {
        lock(&self.output).lines.clone()
    }

    /// The lines printed so far without the first `skipped` ones.
    pub(crate) fn lines_after(&self, skipped: usize) -> Vec<Line> {
        let output = lock(&self.output);
        output.lines.get(skipped..).unwrap_or_default().to_vec()
    }

    /// The lines printed so far that are no JSON objects.
    pub(crate) fn invalid_lines(&self) -> Vec<String> {
        lock(&self.output).invalid.clone()
    }

    /// The first event for which this holds, waited for.
    pub(crate) fn event(&self, wanted: impl Fn(&Value) -> bool) -> Option<Value> {
        let mut seen = 0;
        wait_for(patience(EVENT_SECONDS), || {
            let output = lock(&self.output);
            let new = output.lines.get(seen..).unwrap_or_default();
            seen = output.lines.len();
            new.iter()
                .find(|line| wanted(&line.event))
                .map(|line| line.event.clone())
        })
    }

    /// The event that this rule reported for this process.
    pub(crate) fn event_of(&self, rule: &str, pid: i64) -> Result<Value, Failure> {
        let found = self.event(|event| rule_of(event) == rule && event["process"]["pid"] == pid);
        found.ok_or_else(|| {
            let near: Vec<String> = self
                .lines()
                .iter()
                .map(|line| summary(&line.event))
                .collect();
            let near = near.get(near.len().saturating_sub(5)..).unwrap_or_default();
            Failure::Failed(format!(
                "no event of rule {rule} for pid {pid}; the last events: {near:?}; {}",
                self.log_tail()
            ))
        })
    }

    /// Whether it has ended by itself.
    pub(crate) fn has_ended(&mut self) -> bool {
        if self.ended.is_none() {
            self.ended = self.child.try_wait().ok().flatten();
        }
        self.ended.is_some()
    }

    /// Waits for its end, up to `limit`.
    pub(crate) fn wait_end(&mut self, limit: Duration) -> Option<ExitStatus> {
        wait_for(limit, || self.has_ended().then_some(()));
        self.ended
    }

    /// Sends SIGTERM and waits.
    pub(crate) fn stop(&mut self) -> Result<ExitStatus, Failure> {
        kill(self.pid(), Signal::SIGTERM)?;
        self.wait_end(patience(STOP_SECONDS)).ok_or_else(|| {
            Failure::Failed(format!(
                "still there after {STOP_SECONDS} s; {}",
                self.log_tail()
            ))
        })
    }

    /// What it wrote to standard error.
    pub(crate) fn log(&self) -> String {
        String::from_utf8_lossy(&fs::read(self.home.join("log")).unwrap_or_default()).into_owned()
    }

    /// The processes that are left of it.
    pub(crate) fn processes(&self) -> Vec<i32> {
        processes_of(&self.run_path())
    }

    /// Another one with the same directories and environment.
    pub(crate) fn again(&self) -> Launch {
        Launch {
            home: self.home.clone(),
            arguments: vec!["run".to_owned(), "--json".to_owned()],
            environment: self.environment.clone(),
            own_group: false,
            stdout: None,
        }
    }

    fn log_tail(&self) -> String {
        let log = self.log();
        let lines: Vec<&str> = log.lines().collect();
        lines
            .get(lines.len().saturating_sub(6)..)
            .unwrap_or_default()
            .join(" | ")
    }
}

impl Drop for Agent {
    fn drop(&mut self) {
        if !self.has_ended() {
            let _ = kill(self.pid(), Signal::SIGTERM);
            if self.wait_end(patience(STOP_SECONDS)).is_none() {
                let _ = self.child.kill();
                let _ = self.child.wait();
            }
        }
        for pid in self.processes() {
            let _ = kill(Pid::from_raw(pid), Signal::SIGKILL);
        }
    }
}

fn status_from(socket: &Path) -> Option<Value> {
    let mut client = Client::connect(socket, patience(EVENT_SECONDS)).ok()?;
    let answer = client.ask(r#"{"command":"status"}"#).ok()?;
    answer.get("status").cloned()
}

/// The rule that an event is of; empty for what is no event.
pub(crate) fn rule_of(event: &Value) -> &str {
    event["agent"]["rule_id"].as_str().unwrap_or_default()
}

/// A few words about an event, for messages.
pub(crate) fn summary(event: &Value) -> String {
    let path = event["file"]["path"].as_str().unwrap_or("-");
    format!("{} pid {} {path}", rule_of(event), event["process"]["pid"])
}

/// A rule of a policy file; `extra` are further lines, indented by four.
pub(crate) fn rule(id: &str, expression: &str, extra: &str) -> String {
    format!("  - id: {id}\n    description: {id}\n    expression: '{expression}'\n{extra}")
}

/// A policy file of these rules.
pub(crate) fn policy(rules: &[String]) -> String {
    format!("version: 1.0.0\nrules:\n{}", rules.concat())
}
