//! Policies that are none: each is named in a sentence, the others run, nothing panics.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;

use nix::sys::stat::Mode;
use nix::unistd::mkfifo;

use crate::harness::{policy, rule, Agent, Launch};
use crate::report::{ensure, Failure, Outcome, Report};
use crate::scratch::{self, patience, wait_for};
use crate::tool;

const TEN_MEGABYTES: usize = 10 << 20;
/// As much as may pass for a policy, so that the parsers see it.
const THREE_MEGABYTES: usize = 3 << 20;
const GOOD: &str = "good.policy";

/// Makes a bad policy at this path.
type Make = fn(&Path) -> Outcome;

const BAD: &[(&str, Make)] = &[
    ("binary", |path| Ok(fs::write(path, binary())?)),
    ("empty", |path| Ok(fs::write(path, "")?)),
    ("unreadable", |path| Ok(fs::create_dir(path)?)),
    ("dangling", |path| Ok(symlink("/nonexistent/x", path)?)),
    ("fifo", |path| Ok(mkfifo(path, Mode::S_IRUSR)?)),
    ("device", |path| Ok(symlink("/dev/zero", path)?)),
    ("big", |path| {
        Ok(fs::write(
            path,
            "- aaaaaaaaaaaa\n".repeat(TEN_MEGABYTES / 15),
        )?)
    }),
    ("big_rule", |path| Ok(fs::write(path, big_rule())?)),
    ("many_rules", |path| Ok(fs::write(path, many_rules())?)),
    ("bomb", |path| Ok(fs::write(path, bomb())?)),
    ("nested", |path| {
        Ok(fs::write(path, "[".repeat(THREE_MEGABYTES))?)
    }),
    ("nested_rule", |path| Ok(fs::write(path, nested_rule())?)),
    ("not_yaml", |path| {
        Ok(fs::write(path, "rules: [}\n\tid: {")?)
    }),
    ("wrong_types", |path| {
        Ok(fs::write(
            path,
            "rules: 7\nmacros: [[1]]\nversion: {a: b}\n",
        )?)
    }),
    ("bad_rule", |path| {
        Ok(fs::write(
            path,
            policy(&[rule("bad", "open.file.nmae == \"x\"", "")]),
        )?)
    }),
];

fn binary() -> Vec<u8> {
    (0..=255_u8).cycle().take(1 << 16).collect()
}

/// Ten lists, each ten times the one before.
fn bomb() -> String {
    let mut text = String::from("version: 1.0.0\na0: &a0 [lol]\n");
    for level in 1..10 {
        let aliases = vec![format!("*a{}", level - 1); 10].join(",");
        text.push_str(&format!("a{level}: &a{level} [{aliases}]\n"));
    }
    text.push_str("rules: *a9\n");
    text
}

/// An expression that no computer wants to read.
fn big_rule() -> String {
    let terms = "open.file.name == \"x\" || ".repeat(THREE_MEGABYTES / 25);
    policy(&[rule("big", &format!("{terms}open.file.name == \"y\""), "")])
}

/// So many rules of one name that a sentence about each would be a flood.
fn many_rules() -> String {
    policy(&vec![
        "  - {id: a, expression: b}\n".to_owned();
        THREE_MEGABYTES / 27
    ])
}

fn nested_rule() -> String {
    let (open, close) = ("(".repeat(100_000), ")".repeat(100_000));
    policy(&[rule(
        "nested",
        &format!("{open}open.file.name == \"y\"{close}"),
        "",
    )])
}

/// Runs the tests of this file.
pub(crate) fn run(report: &mut Report) {
    for (name, make) in BAD {
        report.case(&format!("policy_check_{name}"), || check(name, *make));
    }
    report.case("policy_check_good", check_good);
    report.case("policy_others_run", others_run);
}

fn check_in(directory: &Path) -> Result<crate::finished::Finished, Failure> {
    let mut command = std::process::Command::new(scratch::agent_binary());
    command
        .args(["runtime", "policy", "check", "--policies-dir"])
        .arg(directory);
    crate::finished::finish(command, patience(20))
}

/// `runtime policy check` names the file and ends with 1.
fn check(name: &str, make: Make) -> Outcome {
    let directory = scratch::directory("check")?;
    make(&directory.join(format!("{name}.policy")))?;
    let finished = check_in(&directory)?;
    let said = format!("{}{}", finished.stdout, finished.stderr);
    ensure(!said.contains("panicked"), || finished.said())?;
    let shown: String = said.chars().take(600).collect();
    ensure(finished.code == Some(1), || {
        format!("code {:?}: {shown}", finished.code)
    })?;
    ensure(said.contains(&format!("{name}.policy")), || {
        format!("not named: {shown}")
    })?;
    ensure(said.len() < 100_000, || {
        format!("{} bytes were printed: {shown}", said.len())
    })
}

fn check_good() -> Outcome {
    let directory = scratch::directory("check")?;
    fs::write(directory.join(GOOD), good())?;
    let finished = check_in(&directory)?;
    ensure(finished.code == Some(0), || finished.said())
}

fn good() -> String {
    policy(&[rule("good", "open.file.name == \"good.e2e\"", "")])
}

/// An agent with all of them runs the good one, and its status names the bad ones.
fn others_run() -> Outcome {
    let launch = Launch::new("policies")?;
    for (name, make) in BAD {
        make(&launch.policies().join(format!("{name}.policy")))?;
    }
    let mut agent = launch.policy(GOOD, good())?.start()?;
    let path = scratch::directory("good")?.join("good.e2e");
    fs::write(&path, "")?;
    let call = tool::run(&["openat", "AT_FDCWD", &path.to_string_lossy(), "0"])?;
    agent.event_of("good", call.pid)?;
    bad_ones_are_named(&agent)?;
    agent.stop()?;
    ensure(!agent.log().contains("panicked"), || agent.log())
}

fn bad_ones_are_named(agent: &Agent) -> Outcome {
    let told = wait_for(patience(2), || {
        let status = agent.command_status()?.to_string();
        let missing: Vec<&str> = BAD
            .iter()
            .map(|(name, _)| *name)
            .filter(|name| !status.contains(&format!("{name}.policy")))
            .collect();
        Some((missing, status))
    });
    let (missing, status) = told.ok_or("system-probe does not answer")?;
    ensure(missing.is_empty(), || {
        let shown: String = status.chars().take(2000).collect();
        format!("status does not name {missing:?}: {shown}")
    })
}
