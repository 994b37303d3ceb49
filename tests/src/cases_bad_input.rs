//! Wrong users, files and paths: each ends with a sentence and the right exit code, never a panic.

use std::fs;
use std::os::unix::fs::chown;
use std::os::unix::process::CommandExt;
use std::process::Command;

use crate::finished::{finish, Finished};
use crate::harness::Launch;
use crate::report::{ensure, Failure, Outcome, Report};
use crate::scratch::{self, patience, wait_for};

const NOBODY: u32 = 65534;
/// Longer than the name of a unix socket may be.
const LONG_NAME: usize = 120;

/// Runs the tests of this file.
pub(crate) fn run(report: &mut Report) {
    report.case("bad_not_root", not_root);
    report.case("bad_not_root_commands", not_root_commands);
    report.case("bad_configuration", configuration);
    report.case("bad_run_path", run_path);
    report.case("bad_long_run_path", long_run_path);
    report.case("bad_disabled", disabled);
    report.case("bad_indentation", indentation);
}

/// It said something, did not panic, and ended with one of these codes.
fn expect_sentence(finished: &Finished, codes: &[i32], words: &[&str]) -> Outcome {
    let said = format!("{}{}", finished.stdout, finished.stderr);
    ensure(!said.contains("panicked"), || finished.said())?;
    ensure(
        finished.code.is_some_and(|code| codes.contains(&code)),
        || finished.said(),
    )?;
    ensure(
        words.iter().any(|word| said.to_lowercase().contains(word)),
        || format!("none of {words:?} is said: {}", finished.said()),
    )
}

fn as_nobody(arguments: &[&str]) -> Result<Finished, Failure> {
    let home = scratch::directory("nobody")?;
    chown(&home, Some(NOBODY), Some(NOBODY))?;
    let mut command = Command::new(scratch::public_binary()?);
    command.args(arguments).uid(NOBODY).gid(NOBODY);
    command.env("DD_RUN_PATH", &home);
    command.env("DD_RUNTIME_SECURITY_CONFIG_ENABLED", "true");
    command.env(
        "DD_RUNTIME_SECURITY_CONFIG_SOCKET",
        home.join("runtime-security.sock"),
    );
    finish(command, patience(20))
}

fn not_root() -> Outcome {
    // The supervisor says which role cannot run.
    for (arguments, codes) in [
        (&["run", "--json"][..], &[1, 5][..]),
        (&["system-probe", "run"], &[1, 3]),
    ] {
        let finished = as_nobody(arguments)?;
        expect_sentence(&finished, codes, &["root", "privilege", "cap_"])
            .map_err(|failure| failure.at(&arguments.join(" ")))?;
    }
    Ok(())
}

fn not_root_commands() -> Outcome {
    for arguments in [&["status"][..], &["runtime", "self-test"]] {
        let finished = as_nobody(arguments)?;
        expect_sentence(&finished, &[1], &["socket", ".sock", "not running"])
            .map_err(|failure| failure.at(&arguments.join(" ")))?;
    }
    Ok(())
}

/// A configuration file that cannot be read is a sentence that names it.
fn configuration() -> Outcome {
    let file = scratch::directory("configuration")?.join("system-probe.yaml");
    let path = file.to_string_lossy().into_owned();
    for text in [
        &b"runtime_security_config: [}\n"[..],
        b"\x00\xff\xfe\x01",
        b"just a word",
    ] {
        fs::write(&file, text)?;
        let agent = Launch::new("configuration")?.spawn()?;
        let finished = agent.command(&["status", "-c", &path])?;
        let said = format!("{}{}", finished.stdout, finished.stderr);
        ensure(!said.contains("panicked"), || finished.said())?;
        ensure(said.contains("system-probe.yaml"), || {
            format!("not named: {}", finished.said())
        })?;
    }
    Ok(())
}

/// The run path is a file.
fn run_path() -> Outcome {
    let file = scratch::directory("run-path")?.join("file");
    fs::write(&file, "")?;
    let agent = Launch::new("run-path")?
        .env("DD_RUN_PATH", &file.to_string_lossy())
        .env(
            "DD_RUNTIME_SECURITY_CONFIG_SOCKET",
            &file.join("s.sock").to_string_lossy(),
        );
    refuses(agent)
}

fn long_run_path() -> Outcome {
    let path = scratch::directory("long")?.join("l".repeat(LONG_NAME));
    fs::create_dir(&path)?;
    let agent = Launch::new("long")?
        .env("DD_RUN_PATH", &path.to_string_lossy())
        .env(
            "DD_RUNTIME_SECURITY_CONFIG_SOCKET",
            &path.join("s.sock").to_string_lossy(),
        );
    refuses(agent)
}

/// It ends by itself, with an error and a sentence.
fn refuses(launch: Launch) -> Outcome {
    let mut agent = launch.spawn()?;
    let ended = agent.wait_end(patience(10));
    let log = agent.log();
    let status = ended.ok_or_else(|| format!("it does not end: {log}"))?;
    ensure(status.code().is_some_and(|code| code != 0), || {
        format!("{status}: {log}")
    })?;
    ensure(log.contains(' ') && !log.contains("panicked"), || {
        format!("no sentence: {log}")
    })
}

/// Switched off, it says so, loads nothing and stays until it is told to end.
fn disabled() -> Outcome {
    expect_off(Launch::new("disabled")?.env("DD_RUNTIME_SECURITY_CONFIG_ENABLED", "false"))
}

/// `enabled: false` at the wrong depth is understood, and the right spelling is told.
fn indentation() -> Outcome {
    let file = scratch::directory("configuration")?.join("system-probe.yaml");
    fs::write(&file, "runtime_security_config:\nenabled: false\n")?;
    let path = file.to_string_lossy().into_owned();
    expect_off(Launch::new("indentation")?.arguments(&["run", "--json", "-c", &path]))
}

fn expect_off(launch: Launch) -> Outcome {
    let mut agent = launch.spawn()?;
    let told = || {
        agent
            .log()
            .contains("runtime_security_config.enabled")
            .then_some(())
    };
    let off = wait_for(patience(5), told);
    ensure(off.is_some(), || {
        format!("it does not say so: {}", agent.log())
    })?;
    let (code, _) = agent.status()?;
    ensure(code == Some(1), || format!("status ends with {code:?}"))?;
    ensure(!agent.event_socket().exists(), || {
        "it has an event socket".to_owned()
    })?;
    let status = agent.stop()?;
    ensure(status.success(), || format!("{status}: {}", agent.log()))
}
