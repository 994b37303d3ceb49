//! The helper in pods: what a command finds that it has become, how it ends, and whose session its
//! events tell of.

use std::ffi::{OsStr, OsString};
use std::fs;
use std::os::unix::ffi::OsStringExt;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

use crate::finished::{finish, Finished};
use crate::harness::{policy, rule, rule_of, Agent, Launch};
use crate::report::{ensure, Failure, Outcome, Report};
use crate::scratch::{self, patience};

const JANE: &str = r#"{"username":"jane","uid":"7","groups":["dev","ops"]}"#;
const MALLORY: &str = r#"{"username":"mallory"}"#;
/// What every failure but that of the command itself ends with.
const RUNS_ANYWAY: &str = "the command runs without a user session";

type Test = fn(&Path) -> Outcome;

const TESTS: &[(&str, Test)] = &[
    ("instrument_setup", setup),
    ("instrument_inheritance", inheritance),
    ("instrument_endings", endings),
    ("instrument_failures", failures),
    ("instrument_path", path_lookup),
];
const SESSION: &str = "instrument_session";

/// Runs the tests of this file.
pub(crate) fn run(report: &mut Report) {
    if !report.wants_any(TESTS.iter().map(|(name, _)| *name).chain([SESSION])) {
        return;
    }
    let helper = match install() {
        Ok(helper) => helper,
        Err(failure) => return report.not_started("instrument_start", failure),
    };
    for (name, test) in TESTS {
        report.case(name, || test(&helper));
    }
    report.case(SESSION, || session(&helper));
}

/// The helper, as `setup` leaves it in a volume.
fn install() -> Result<PathBuf, Failure> {
    let volume = scratch::directory("instrument")?;
    let mut command = Command::new(scratch::agent_binary());
    command
        .args(["cws-instrumentation", "setup", "--cws-volume-mount"])
        .arg(&volume);
    let finished = finish(command, patience(30))?;
    ensure(finished.code == Some(0), || finished.said())?;
    Ok(volume.join("cws-instrumentation"))
}

fn run_helper<S: AsRef<OsStr>>(helper: &Path, arguments: &[S]) -> Result<Finished, Failure> {
    let mut command = Command::new(helper);
    command.args(arguments);
    finish(command, patience(30))
}

/// `inject` with jane's session before a command.
fn as_jane<'a>(command: &[&'a str]) -> Vec<&'a str> {
    let session = ["inject", "--session-type", "k8s", "--data", JANE, "--"];
    [&session[..], command].concat()
}

fn setup(helper: &Path) -> Outcome {
    let mode = fs::metadata(helper)?.permissions().mode() & 0o7777;
    ensure(mode == 0o755, || format!("the mode is {mode:o}"))?;
    let health = run_helper(helper, &["health"])?;
    ensure(
        (health.code, health.stdout.as_str()) == (Some(0), "OK\n"),
        || health.said(),
    )?;
    // A new one takes the place of one that runs.
    let volume = helper.parent().unwrap_or(helper);
    let volume = volume.to_string_lossy().into_owned();
    let again = as_jane(&[
        helper.to_str().unwrap_or_default(),
        "setup",
        "--cws-volume-mount",
        &volume,
    ]);
    let again = run_helper(helper, &again)?;
    ensure(again.code == Some(0), || again.said())?;
    let missing = run_helper(helper, &["setup", "--cws-volume-mount", "/proc/none"])?;
    ensure(
        missing.code == Some(1) && missing.stderr.contains("/proc/none cannot be written"),
        || missing.said(),
    )
}

/// The state that a command finds is the same with and without the helper before it.
fn inheritance(helper: &Path) -> Outcome {
    let states: &[&[&str]] = &[
        &[],
        &["--ignore", "13", "--ignore", "2", "--ignore", "17"],
        &["--block", "10", "--pending", "15", "--block", "34"],
        &[
            "--open", "3", "--open", "7", "--umask", "137", "--nice", "5",
        ],
        &["--odd-environment", "--cwd", "/proc/sys"],
        &["--close", "0"],
        &["--close", "1", "--open", "200"],
        &["--close", "2", "--ignore", "13"],
        &["--close", "0", "--close", "1", "--close", "2"],
    ];
    for state in states {
        let plain = report_of(None, state)?;
        let through = report_of(Some(helper), state)?;
        ensure(plain == through, || {
            let lost = difference(&plain, &through);
            let added = difference(&through, &plain);
            format!("{state:?}: without the helper {lost:?}, with it {added:?}")
        })?;
    }
    Ok(())
}

/// What a program that is started in a state says of it, with the helper before it or without.
fn report_of(helper: Option<&Path>, state: &[&str]) -> Result<Vec<u8>, Failure> {
    let tool = scratch::tool("inheritance").canonicalize()?;
    let path = scratch::directory("inheritance")?.join("report");
    let mut command = Command::new(&tool);
    command.arg("give").args(state).arg("--");
    if let Some(helper) = helper {
        command.arg(helper).args(as_jane(&[]));
    }
    command.arg(&tool).arg("report").arg(&path);
    command.args(["", "-it", "--", "--data", "a b\n\"$x\""]);
    command.arg(OsString::from_vec(b"\xff\xfe=\x01".to_vec()));
    // The files of `finish` have other names each time.
    command.stdin(fs::File::open("/dev/null")?);
    command.stdout(fs::File::create("/dev/null")?);
    command.stderr(fs::File::create("/dev/null")?);
    let mut child = command.spawn()?;
    let status = scratch::wait_for(patience(30), || child.try_wait().ok().flatten());
    if status.is_none() {
        let _ = child.kill();
        let _ = child.wait();
    }
    ensure(status.is_some_and(|status| status.success()), || {
        format!("{state:?} ended with {status:?}")
    })?;
    Ok(fs::read(&path)?)
}

fn difference(one: &[u8], other: &[u8]) -> Vec<String> {
    let lines = |bytes: &[u8]| -> Vec<String> {
        let text = String::from_utf8_lossy(bytes);
        text.lines().map(str::to_owned).collect()
    };
    let others = lines(other);
    let mut lines = lines(one);
    lines.retain(|line| !others.contains(line));
    lines
}

/// The command's end is that of the helper.
fn endings(helper: &Path) -> Outcome {
    for (script, code) in [("exit 7", Some(7)), ("true", Some(0)), ("kill -9 $$", None)] {
        let ended = run_helper(helper, &as_jane(&["sh", "-c", script]))?;
        ensure(ended.code == code && ended.stderr.is_empty(), || {
            ended.said()
        })?;
    }
    for (command, code) in [
        ("no-such-command-e2e", 127),
        ("/no/such/command", 127),
        ("/proc/self/stat", 126),
        ("", 127),
    ] {
        let ended = run_helper(helper, &as_jane(&[command]))?;
        ensure(
            ended.code == Some(code) && ended.stderr.lines().count() == 1,
            || ended.said(),
        )?;
    }
    let empty = run_helper(helper, &as_jane(&[]))?;
    let hint = "admission_controller.cws_instrumentation.enabled";
    ensure(empty.code == Some(1) && empty.stderr.contains(hint), || {
        empty.said()
    })
}

/// Whatever is wrong with the session is one sentence, and the command runs.
fn failures(helper: &Path) -> Outcome {
    let long = format!("{{\"username\":\"{}\"}}", "x".repeat(3000));
    let data = format!("--data={JANE}");
    let cases: &[(&[&str], &str)] = &[
        (&["--session-type", "k8s", "--data", "{"], "no user in JSON"),
        (&["--session-type", "k8s"], "no user in JSON"),
        (&["--session-type=k8s", "--data", &long], "1,024 bytes"),
        (&["--session-type", "tty", &data], "`tty` is neither"),
        (&[&data], "neither k8s nor ssh"),
        (&["--session-type=k8s", &data, "--new", "flag"], "--new"),
        (&["-x"], "-x is no flag"),
    ];
    for (flags, sentence) in cases {
        let arguments = [&["inject"], *flags, &["--", "sh", "-c", "echo ran; exit 7"]].concat();
        let ended = run_helper(helper, &arguments)?;
        let said = ended.stderr.contains(sentence) && ended.stderr.contains(RUNS_ANYWAY);
        ensure(
            said && ended.stderr.lines().count() == 1
                && (ended.code, ended.stdout.as_str()) == (Some(7), "ran\n"),
            || format!("{flags:?}: {}", ended.said()),
        )?;
    }
    let extra = format!(
        r#"{{"username":"jane","extra":{{"scopes":["{}"]}}}}"#,
        "x".repeat(3000)
    );
    let fits = [
        "inject",
        "--session-type=k8s",
        "--data",
        &extra,
        "--",
        "true",
    ];
    let fits = run_helper(helper, &fits)?;
    ensure(fits.code == Some(0) && fits.stderr.is_empty(), || {
        fits.said()
    })
}

/// Commands are looked for as execvp(3) does, then in the working directory.
fn path_lookup(helper: &Path) -> Outcome {
    let base = scratch::directory("instrument-path")?;
    for (directory, mode) in [("unusable", 0o644), ("usable", 0o755), ("here", 0o755)] {
        let place = base.join(directory);
        fs::create_dir(&place)?;
        let name = match directory {
            "here" => "e2e-here",
            _ => "e2e-there",
        };
        fs::write(place.join(name), "#!/bin/sh\nexit 9\n")?;
        scratch::set_mode(&place.join(name), mode)?;
    }
    let path = format!("{0}/none:{0}/unusable:{0}/usable", base.display());
    for (name, path, code) in [
        ("e2e-there", Some(path.as_str()), 9),
        ("e2e-here", Some(path.as_str()), 9),
        ("e2e-nowhere", Some(path.as_str()), 127),
        ("./e2e-here", Some(""), 9),
        ("true", None, 0),
    ] {
        let mut command = Command::new(helper);
        command
            .args(as_jane(&[name]))
            .current_dir(base.join("here"));
        match path {
            Some(path) => command.env("PATH", path),
            None => command.env_remove("PATH"),
        };
        let ended = finish(command, patience(30))?;
        ensure(ended.code == Some(code), || {
            format!("{name}: {}", ended.said())
        })?;
    }
    Ok(())
}

/// What the user's command does carries the user, whatever it starts and whatever it says itself.
fn session(helper: &Path) -> Outcome {
    let directory = scratch::directory("instrument-session")?.canonicalize()?;
    let agent = Launch::new("instrument-agent")?
        .policy(
            "sessions.policy",
            policy(&[rule(
                "touched",
                "open.file.name in [\"mine.e2e\", \"deep.e2e\", \"again.e2e\", \"none.e2e\"]",
                "",
            )]),
        )?
        .start()?;
    let tool = scratch::tool("syscalls").canonicalize()?;
    let path = |name: &str| directory.join(name).to_string_lossy().into_owned();
    let open = format!("{} --fork --fork --fork openat AT_FDCWD", tool.display());
    let again = format!(
        "{} inject --session-type k8s --data '{MALLORY}' -- touch {}",
        helper.display(),
        path("again.e2e")
    );
    let script = format!(
        "touch {}; {open} {} 0x42 0600; {again}; exit 7",
        path("mine.e2e"),
        path("deep.e2e")
    );
    let ended = run_helper(helper, &as_jane(&["sh", "-c", &script]))?;
    ensure(ended.code == Some(7), || ended.said())?;
    for name in ["mine.e2e", "deep.e2e", "again.e2e"] {
        let session = session_of(&agent, name)?;
        ensure(
            session["k8s_username"] == "jane"
                && session["k8s_uid"] == "7"
                && session["k8s_groups"] == serde_json::json!(["dev", "ops"]),
            || format!("{name} has {session}"),
        )?;
    }
    // The same program outside of the session belongs to nobody.
    let mut outside = Command::new("touch");
    outside.arg0("touch").arg(path("none.e2e"));
    finish(outside, patience(10))?;
    let none = session_of(&agent, "none.e2e")?;
    ensure(none.is_null(), || format!("an outsider has {none}"))
}

/// The user session of the process that opened the file of this name.
fn session_of(agent: &Agent, name: &str) -> Result<Value, Failure> {
    let event = agent.event(|event| {
        let path = event["file"]["path"].as_str().unwrap_or_default();
        rule_of(event) == "touched" && path.ends_with(name)
    });
    match event {
        Some(event) => Ok(event["process"]["user_session"].clone()),
        None => Err(Failure::Failed(format!("no event of {name} came"))),
    }
}
