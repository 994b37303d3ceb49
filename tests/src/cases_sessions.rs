//! Sessions of users: who typed it, on the events of everything that came of it; and what forged,
//! malformed and too many messages do not change.

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::{json, Value};

use crate::harness::{policy, rule, Agent, Launch};
use crate::report::{ensure, Failure, Outcome, Report};
use crate::scratch::{self, patience, wait_for};
use crate::tool::{self, Call, Waiting};

/// What the opened files are called; the part before is the rule's name.
const SUFFIX: &str = ".session-e2e";
const NOBODY: u32 = 65534;
/// Seconds for a counter to change.
const COUNT_SECONDS: u64 = 5;
/// Messages that a process may send.
const MESSAGES: usize = 8;

type Test = fn(&Bench) -> Outcome;

const TESTS: &[(&str, Test)] = &[
    ("session_of_a_command", of_a_command),
    ("session_of_descendants", of_descendants),
    ("session_of_a_clone_beside", of_a_clone_beside),
    ("session_of_nobody", of_nobody),
    ("session_by_a_thread", by_a_thread),
    ("session_stays", stays),
    ("session_forged", forged),
    ("session_between_forks", between_forks),
    ("session_without_user", without_user),
    ("session_malformed", malformed),
    ("session_flood", flood),
];

/// An agent and the directory of the files that are opened.
struct Bench {
    agent: Agent,
    directory: PathBuf,
}

/// Runs the tests of this file.
pub(crate) fn run(report: &mut Report) {
    if !report.wants_any(TESTS.iter().map(|(name, _)| *name)) {
        return;
    }
    let bench = match start() {
        Ok(started) => started,
        Err(failure) => return report.not_started("session_start", failure),
    };
    for (name, test) in TESTS {
        report.case(name, || test(&bench));
    }
}

fn start() -> Result<Bench, Failure> {
    let directory = scratch::directory("sessions")?.canonicalize()?;
    let is = |name: &str| format!("open.file.name == \"{name}{SUFFIX}\"");
    let jane = "process.user_session.k8s_username == \"jane\" && \
                process.user_session.k8s_groups == \"dev\" && \
                process.user_session.session_type == K8S";
    let rules = [
        rule("opened", &is("opened"), ""),
        rule("by_jane", &format!("{} && {jane}", is("by_jane")), ""),
        rule(
            "below_jane",
            &format!(
                "{} && {jane} && process.parent.user_session.id == \"b0b\" && \
                 process.ancestors.user_session.k8s_uid == \"u-1\"",
                is("below_jane")
            ),
            "",
        ),
    ];
    let agent = Launch::new("sessions")?
        .policy("sessions.policy", policy(&rules))?
        .start()?;
    Ok(Bench { agent, directory })
}

/// A user whose data takes several messages.
fn jane() -> String {
    let scopes = ["read".repeat(60), "write\u{e9}".to_owned()];
    let groups = ["dev", "system:masters"];
    let extra = json!({ "scopes": scopes, "node": ["n1"] });
    json!({ "username": "jane", "uid": "u-1", "groups": groups, "extra": extra }).to_string()
}

/// The messages of a session of this user of Kubernetes.
fn data(id: &str, user: &str) -> String {
    format!("data:{id}:1:{user}")
}

/// What makes a user of this name.
fn named(name: &str) -> String {
    json!({ "username": name }).to_string()
}

impl Bench {
    /// The words that let the tool open the file of this rule, after these options.
    fn opens(&self, rule: &str, options: &[&str]) -> Result<Vec<String>, Failure> {
        let path = self.directory.join(format!("{rule}{SUFFIX}"));
        fs::write(&path, "")?;
        let tool = public_tool(&self.directory, "syscalls")?;
        let call = ["openat", "AT_FDCWD", &path.to_string_lossy(), "0"].map(str::to_owned);
        let options = options.iter().map(|option| (*option).to_owned());
        let words = ["--".to_owned(), tool];
        Ok(words.into_iter().chain(options).chain(call).collect())
    }

    /// Sends messages, opens the file of this rule, and returns the event.
    fn event(&self, words: &[&str], rule: &str, options: &[&str]) -> Result<Value, Failure> {
        let call = self.call(words, rule, options)?;
        self.agent.event_of(rule, call.pid)
    }

    fn call(&self, words: &[&str], rule: &str, options: &[&str]) -> Result<Call, Failure> {
        let opens = self.opens(rule, options)?;
        let opens = opens.iter().map(String::as_str);
        let words: Vec<&str> = words.iter().copied().chain(opens).collect();
        tool::run_session(&words)
    }

    /// How many messages were refused for this reason.
    fn refused(&self, reason: &str) -> Option<u64> {
        self.agent.command_status()?["user_sessions"]["refused"][reason].as_u64()
    }

    /// Does something, and waits until so many more messages were refused for that reason.
    fn refuses(&self, reason: &str, count: u64, act: impl FnOnce() -> Outcome) -> Outcome {
        let before = self.refused(reason).ok_or("status counts no refusals")?;
        act()?;
        let mut last = None;
        let reached = wait_for(patience(COUNT_SECONDS), || {
            last = self.refused(reason);
            last.filter(|now| *now == before + count)
        });
        ensure(reached.is_some(), || {
            format!("{reason}: {before} before, {last:?} after, {count} more expected")
        })
    }
}

/// A copy of a tool that every user can run; the original may lie in a private directory.
fn public_tool(directory: &Path, name: &str) -> Result<String, Failure> {
    let path = directory.join(name);
    if !path.exists() {
        fs::copy(scratch::tool(name), &path)?;
        scratch::set_mode(&path, 0o755)?;
    }
    Ok(path.to_string_lossy().into_owned())
}

/// Fails unless the process of an event is in this session of a user of this name.
fn expect_user(event: &Value, id: &str, name: &str) -> Outcome {
    let session = &event["process"]["user_session"];
    let is_so = session["id"] == id && session["k8s_username"] == name;
    ensure(is_so, || format!("{session}, expected {name} in {id}"))
}

fn expect_none(event: &Value) -> Outcome {
    let session = &event["process"]["user_session"];
    ensure(session.is_null(), || format!("a session: {session}"))
}

fn of_a_command(bench: &Bench) -> Outcome {
    let event = bench.event(&[&data("a11ce", &jane())], "by_jane", &[])?;
    let expected = json!({
        "id": "a11ce", "session_type": "k8s", "k8s_username": "jane", "k8s_uid": "u-1",
        "k8s_groups": ["dev", "system:masters"],
        "k8s_extra": { "scopes": ["read".repeat(60), "write\u{e9}"], "node": ["n1"] },
    });
    let session = &event["process"]["user_session"];
    ensure(*session == expected, || format!("{session}"))?;
    let parent = &event["process"]["parent"];
    // What it was before it became another program.
    ensure(parent["user_session"] == expected, || format!("{parent}"))?;
    expect_none(&bench.event(&[], "opened", &[])?)
}

fn of_descendants(bench: &Bench) -> Outcome {
    let forks = ["--fork", "--fork", "--fork"];
    let event = bench.event(&[&data("b0b", &jane())], "below_jane", &forks)?;
    expect_user(&event, "b0b", "jane")
}

/// Its parent is in no session, but who made it is.
fn of_a_clone_beside(bench: &Bench) -> Outcome {
    let user = data("c10e", &named("joe"));
    let event = bench.event(&["--fork", &user, "--clone-parent"], "opened", &[])?;
    expect_user(&event, "c10e", "joe")
}

fn of_nobody(bench: &Bench) -> Outcome {
    scratch::public_binary()?;
    let user = data("d0e", &named("joe"));
    let nobody = NOBODY.to_string();
    let event = bench.event(&["--uid", &nobody, &user], "opened", &[])?;
    expect_user(&event, "d0e", "joe")?;
    let uid = &event["process"]["uid"];
    ensure(*uid == NOBODY, || format!("uid {uid}"))
}

fn by_a_thread(bench: &Bench) -> Outcome {
    let user = data("e1e", &named("joe"));
    let event = bench.event(&["--thread", &user], "opened", &[])?;
    expect_user(&event, "e1e", "joe")
}

fn stays(bench: &Bench) -> Outcome {
    let first = data("f00", &named("joe"));
    let (second, third) = (data("f01", &named("eve")), data("f02", &named("mallory")));
    bench.refuses("other_session", 2, || {
        let words = [&first[..], &second, "--fork", &third];
        expect_user(&bench.event(&words, "opened", &[])?, "f00", "joe")
    })
}

/// Another process completes a session that has begun, and then claims it.
fn forged(bench: &Bench) -> Outcome {
    let (begun, end) = (r#"{"username":"#, r#""joe"}"#);
    let (first, second) = (padded(begun), format!("piece:5ee:2:1:{end}"));
    let first = format!("piece:5ee:1:1:{first}");
    let opens = bench.opens("opened", &[])?;
    let opens = opens.iter().map(String::as_str);
    let words: Vec<&str> = [&first[..], "--wait", &second]
        .into_iter()
        .chain(opens)
        .collect();
    let entries = || bench.agent.command_status()?["user_sessions"]["entries"].as_u64();
    let before = entries().ok_or("status counts no sessions")?;
    let waiting = Waiting::start_session(&words)?;
    let begun = wait_for(patience(COUNT_SECONDS), || {
        entries().filter(|now| *now > before)
    });
    ensure(begun.is_some(), || "the session has not begun".to_owned())?;
    bench.refuses("other_process", 2, || {
        let forged = ["piece:5ee:2:1:\"eve\"}", &data("5ee", &named("eve"))];
        expect_none(&bench.event(&forged, "opened", &[])?)
    })?;
    let call = waiting.release()?;
    expect_user(&bench.agent.event_of("opened", call.pid)?, "5ee", "joe")
}

/// Fills a piece up with spaces, which JSON allows.
fn padded(text: &str) -> String {
    format!("{text:239}")
}

/// The child is there when only half of the session is, the other half comes from its parent.
fn between_forks(bench: &Bench) -> Outcome {
    let first = format!("piece:8a1f:1:1:{}", padded(r#"{"username":"#));
    let own = format!("piece:8a1f:2:1:{}", r#""eve"}"#);
    bench.refuses("other_process", 1, || {
        let event = bench.event(&[&first, "--fork", &own], "opened", &[])?;
        let session = &event["process"]["user_session"];
        let is_so = session["id"] == "8a1f" && session["k8s_username"].is_null();
        ensure(is_so, || format!("{session}"))
    })
}

fn without_user(bench: &Bench) -> Outcome {
    let count = || bench.agent.command_status()?["user_sessions"]["without_user"].as_u64();
    let before = count().ok_or("status does not count them")?;
    let event = bench.event(&["data:9a9:1:no JSON"], "opened", &[])?;
    let session = &event["process"]["user_session"];
    let expected = json!({ "id": "9a9", "session_type": "k8s" });
    ensure(*session == expected, || format!("{session}"))?;
    ensure(count() == Some(before + 1), || format!("{:?}", count()))
}

fn malformed(bench: &Bench) -> Outcome {
    for (reason, word) in [
        ("malformed", "nowhere"),
        ("malformed", "raw:0b"),
        ("malformed", "piece:0:1:1:{}"),
        ("malformed", "piece:7e57:0:1:{}"),
        ("malformed", "piece:7e57:6:1:{}"),
        ("malformed", "piece:7e57:1:3:{}"),
        ("malformed", "piece:7e57:1:1:"),
        ("operation", "raw:00"),
        ("operation", "raw:01ffffffffffffffffff"),
        ("operation", "raw:0c"),
    ] {
        let refused = bench.refuses(reason, 1, || {
            expect_none(&bench.event(&[word], "opened", &[])?)
        });
        if let Err(Failure::Failed(why)) = refused {
            return Err(format!("{word}: {why}").into());
        }
    }
    let twice = [&data("7e58", &named("joe"))[..], "piece:7e58:1:1:{}"];
    bench.refuses("repeated", 1, || {
        expect_user(&bench.event(&twice, "opened", &[])?, "7e58", "joe")
    })
}

/// What a process sends beyond its share does not reach the agent.
fn flood(bench: &Bench) -> Outcome {
    let mut words = vec!["raw:00"; 3 * MESSAGES];
    let late = data("f1d", &named("joe"));
    words.push(&late);
    bench.refuses("flood", 2 * MESSAGES as u64 + 1, || {
        bench.refuses("operation", MESSAGES as u64, || {
            expect_none(&bench.event(&words, "opened", &[])?)
        })
    })?;
    // Another process is not concerned, nor is one that gets the share anew.
    let user = data("f1e", &named("joe"));
    let event = bench.event(
        &[&["raw:00"; MESSAGES][..], &["--fork", &user]].concat(),
        "opened",
        &[],
    )?;
    expect_user(&event, "f1e", "joe")
}
