//! The self-test: three actions of other processes must come back as events.
//!
//! system-probe makes the directory, starts a runner (this binary once more) and waits for its
//! answer in the loop. The runner reads the event socket like any reader, so that OK proves the
//! whole way: hook, record, rule, socket. The rules belong to a policy of their own and are silent.

use std::ffi::OsString;
use std::fmt::Write as _;
use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Read, Write as _};
use std::os::fd::{AsRawFd, RawFd};
use std::os::unix::ffi::OsStringExt;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

use crate::policy::Source;

/// What each test is called, and the rule that its event matches.
pub(super) const TESTS: [(&str, &str); 3] = [
    ("open", "datadog_agent_cws_self_test_rule_open"),
    ("chmod", "datadog_agent_cws_self_test_rule_chmod"),
    ("chown", "datadog_agent_cws_self_test_rule_chown"),
];
/// Name of the policy that holds the rules.
const POLICY: &str = "datadog-agent-cws-self-test-policy";
const DIRECTORY: &str = "datadog_agent_cws_self_test";
const TARGET: &str = "datadog_agent_cws_target_file";
/// The runner answers before this, or never.
const DEADLINE: Duration = Duration::from_secs(20);
/// Bytes of the runner's answer.
const ANSWER_LIMIT: u64 = 64 << 10;

/// Bytes of a note: the longest path.
const NOTE_LIMIT: u64 = 4096;

/// What a run found.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Outcome {
    /// Tests whose event came back.
    pub succeeded: Vec<String>,
    /// Tests whose event did not.
    pub failed: Vec<String>,
    /// Why, where that is known; empty otherwise.
    pub reason: String,
}

impl Outcome {
    /// Nothing came back, because of this.
    pub(super) fn failure(reason: String) -> Outcome {
        Outcome {
            succeeded: Vec::new(),
            failed: TESTS.iter().map(|(name, _)| (*name).to_string()).collect(),
            reason,
        }
    }

    /// Whether every event came back.
    pub fn is_ok(&self) -> bool {
        self.failed.is_empty()
    }
}

/// Where the test acts, and the run that is under way.
pub(super) struct SelfTest {
    directory: PathBuf,
    /// Remembers the directory across a kill -9.
    note: PathBuf,
    run: Option<Run>,
}

struct Run {
    runner: Child,
    output: ChildStdout,
    answer: Vec<u8>,
    started: Instant,
}

impl SelfTest {
    /// Chooses the directory, and removes one that a killed predecessor left.
    /// The note that remembers it has the name of the event socket, because agents with sockets
    /// of their own may share a run path.
    pub(super) fn new(run_path: &Path, event_socket: &Path) -> SelfTest {
        let socket = event_socket.file_name().unwrap_or_default();
        let mut name = OsString::from("self-test.");
        name.push(socket);
        name.push(".directory");
        let note = run_path.join(name);
        if let Ok(left) = read_note(&note) {
            remove_directory(&left);
            let _ = fs::remove_file(&note);
        }
        let base = std::env::temp_dir();
        let base = fs::canonicalize(&base).unwrap_or(base);
        let unique = format!("{DIRECTORY}{}", random_suffix());
        SelfTest {
            directory: base.join(unique),
            note,
            run: None,
        }
    }

    /// The policy whose rules the three events must match.
    pub(super) fn policy(&self) -> Source {
        let target = self.target();
        let target = quoted(&target.to_string_lossy());
        let rules: Vec<serde_json::Value> = TESTS
            .iter()
            .map(|(name, id)| {
                let also = match *name {
                    "open" => " && open.flags & O_CREAT > 0",
                    _ => "",
                };
                serde_json::json!({
                    "id": id,
                    "description": format!("self-test of {name} events"),
                    "silent": true,
                    "expression": format!("{name}.file.path == {target}{also}"),
                })
            })
            .collect();
        // JSON is YAML, and knows how to quote.
        let text = serde_json::json!({ "version": "1.0.0", "rules": rules }).to_string();
        Source {
            name: POLICY.to_string(),
            kind: "self-test",
            text: text.into_bytes(),
        }
    }

    /// Starts a run; an error is a sentence.
    pub(super) fn start(&mut self, socket: &Path) -> Result<RawFd, String> {
        self.make_directory()?;
        let spawned = Command::new("/proc/self/exe")
            .arg("self-test-runner")
            .arg(socket)
            .arg(self.target())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn();
        let mut runner = spawned.map_err(|error| {
            remove_directory(&self.directory);
            format!("the self-test's runner could not be started: {error}")
        })?;
        let output = runner.stdout.take().ok_or("the runner has no output")?;
        let descriptor = output.as_raw_fd();
        set_nonblocking(&output);
        self.run = Some(Run {
            runner,
            output,
            answer: Vec::new(),
            started: Instant::now(),
        });
        Ok(descriptor)
    }

    /// Whether a run is under way.
    pub(super) fn is_running(&self) -> bool {
        self.run.is_some()
    }

    /// Looks after the run; returns its outcome once it has ended or its time is up.
    pub(super) fn poll(&mut self) -> Option<Outcome> {
        let run = self.run.as_mut()?;
        let outcome = match run.read_answer() {
            Some(outcome) => outcome,
            None if run.started.elapsed() < DEADLINE => return None,
            None => Outcome::failure("the runner did not answer in time".to_string()),
        };
        self.end();
        Some(outcome)
    }

    /// Ends the run, if any, and removes its directory.
    pub(super) fn end(&mut self) {
        if let Some(mut run) = self.run.take() {
            let _ = run.runner.kill();
            let _ = run.runner.wait();
            remove_directory(&self.directory);
            let _ = fs::remove_file(&self.note);
        }
    }

    fn target(&self) -> PathBuf {
        self.directory.join(TARGET)
    }

    fn make_directory(&self) -> Result<(), String> {
        // The note comes first: without the directory it is harmless.
        let _ = write_note(&self.note, &self.directory);
        let made = DirBuilder::new().mode(0o700).create(&self.directory);
        made.map_err(|error| {
            let _ = fs::remove_file(&self.note);
            format!(
                "the directory {} could not be made: {error}; make room there or set TMPDIR",
                self.directory.display()
            )
        })
    }
}

impl Drop for SelfTest {
    fn drop(&mut self) {
        self.end();
    }
}

impl Run {
    /// The answer, once the runner has closed its output.
    fn read_answer(&mut self) -> Option<Outcome> {
        let mut piece = [0; 4096];
        loop {
            match self.output.read(&mut piece) {
                Ok(0) => break,
                Ok(read) if (self.answer.len() as u64) < ANSWER_LIMIT => {
                    self.answer.extend(piece.iter().take(read));
                }
                Ok(_) => break,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return None,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(_) => break,
            }
        }
        let parsed = serde_json::from_slice(&self.answer);
        Some(parsed.unwrap_or_else(|_| Outcome::failure("the runner ended early".to_string())))
    }
}

/// Others may be able to write where the note is: what they put there is replaced, not followed.
fn write_note(note: &Path, directory: &Path) -> io::Result<()> {
    let _ = fs::remove_file(note);
    let mut file = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .custom_flags(nix::libc::O_NOFOLLOW)
        .open(note)?;
    file.write_all(directory.as_os_str().as_encoded_bytes())
}

/// The directory that the note names, if the note is a file of our own.
fn read_note(note: &Path) -> io::Result<PathBuf> {
    let file = OpenOptions::new()
        .read(true)
        .custom_flags(nix::libc::O_NOFOLLOW | nix::libc::O_NONBLOCK)
        .open(note)?;
    let found = file.metadata()?;
    if !found.is_file() || found.uid() != nix::unistd::geteuid().as_raw() {
        return Err(io::ErrorKind::PermissionDenied.into());
    }
    let mut text = Vec::new();
    file.take(NOTE_LIMIT).read_to_end(&mut text)?;
    Ok(PathBuf::from(OsString::from_vec(text)))
}

/// Removes the directory with its one file, if its name is ours; never follows a symlink.
fn remove_directory(directory: &Path) {
    let name = directory.file_name().unwrap_or_default().to_string_lossy();
    if name.starts_with(DIRECTORY) {
        let _ = fs::remove_file(directory.join(TARGET));
        let _ = fs::remove_dir(directory);
    }
}

fn set_nonblocking(output: &ChildStdout) {
    use nix::fcntl::{fcntl, FcntlArg, OFlag};
    // A pipe that stays blocking is still read only when it is readable.
    let _ = fcntl(output, FcntlArg::F_SETFL(OFlag::O_NONBLOCK));
}

/// A string literal of the rule language.
fn quoted(text: &str) -> String {
    format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\""))
}

/// Sixteen characters that nobody can guess.
fn random_suffix() -> String {
    let mut bytes = [0; 8];
    let read = File::open("/dev/urandom").and_then(|mut file| file.read_exact(&mut bytes));
    if read.is_err() {
        bytes = std::process::id()
            .to_le_bytes()
            .repeat(2)
            .try_into()
            .unwrap_or(bytes);
    }
    bytes.iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_directory_left_by_a_killed_run_is_removed() {
        let run_path = std::env::temp_dir().join(format!("self-test-unit-{}", random_suffix()));
        fs::create_dir(&run_path).unwrap();
        let first = SelfTest::new(&run_path, Path::new("events.sock"));
        first.make_directory().unwrap();
        fs::write(first.target(), "").unwrap();
        let left = first.directory.clone();
        std::mem::forget(first);
        let second = SelfTest::new(&run_path, Path::new("events.sock"));
        assert!(!left.exists());
        assert_ne!(second.directory, left);
        drop(second);
        fs::remove_dir(run_path).unwrap();
    }

    #[test]
    fn only_our_own_directories_are_removed() {
        let foreign = std::env::temp_dir().join(format!("foreign-{}", random_suffix()));
        fs::create_dir(&foreign).unwrap();
        remove_directory(&foreign);
        assert!(foreign.exists());
        fs::remove_dir(foreign).unwrap();
    }

    #[test]
    fn a_note_is_not_written_through_a_symlink() {
        let run_path = std::env::temp_dir().join(format!("self-test-link-{}", random_suffix()));
        fs::create_dir(&run_path).unwrap();
        let precious = run_path.join("precious");
        fs::write(&precious, "precious").unwrap();
        let test = SelfTest::new(&run_path, Path::new("events.sock"));
        std::os::unix::fs::symlink(&precious, &test.note).unwrap();
        assert!(read_note(&test.note).is_err());
        test.make_directory().unwrap();
        assert_eq!(fs::read_to_string(&precious).unwrap(), "precious");
        assert_eq!(read_note(&test.note).unwrap(), test.directory);
        remove_directory(&test.directory);
        fs::remove_dir_all(run_path).unwrap();
    }

    #[test]
    fn the_policy_loads_whatever_the_directory_is_called() {
        let mut test = SelfTest::new(&std::env::temp_dir(), Path::new("events.sock"));
        for name in ["plain", "it's", "\"quoted\"", "back\\slash"] {
            test.directory = Path::new("/tmp").join(name);
            let options = crate::policy::Options {
                events: crate::event::types::RULE_TYPES.to_vec(),
                ..crate::policy::Options::default()
            };
            let rules =
                crate::policy::RuleSet::load(&[test.policy()], &options, &crate::event::Fields);
            assert_eq!(
                rules.all().count(),
                TESTS.len(),
                "{name}: {:?}",
                rules.report()
            );
            for (name, id) in TESTS {
                assert!(rules.rules(name).iter().any(|rule| rule.id == id));
            }
        }
    }
}
