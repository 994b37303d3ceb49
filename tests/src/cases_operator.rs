//! What operators type: `events`, and `config` with all that belongs to it. No secret is shown
//! anywhere.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Child, Command};

use serde_json::Value;

use crate::delivery::{self, pour};
use crate::finished::{finish, Finished};
use crate::harness::{policy, rule, rule_of, Agent, Launch};
use crate::http_server::{Behaviour, HttpServer};
use crate::intake::API_KEY;
use crate::numbers::Numbers;
use crate::report::{ensure, Failure, Outcome, Report};
use crate::scratch::{self, patience, wait_for};
use crate::socket::Client;
use crate::terminal::Terminal;
use crate::tool;

const NOBODY: u32 = 65534;
const FEW: usize = 20;
/// Readers beside the agent's own.
const READERS: usize = 3;
/// Seconds for something that was asked for to be seen.
const SECONDS: u64 = 10;
/// Files in the order of the example, and the flag that names each.
const FILES: &[(&str, &str)] = &[
    ("datadog.yaml", "-c"),
    ("security-agent.yaml", "-c"),
    ("system-probe.yaml", "--sysprobe-config"),
];

/// Runs the tests of this file.
pub(crate) fn run(report: &mut Report) {
    report.case("operator_events", events);
    report.case("operator_events_follow", follow);
    report.case("operator_events_terminal", on_terminal);
    report.case("operator_config_set", config_set);
    report.case("operator_config_set_refused", config_set_refused);
    report.case("operator_secret_in_environment", || secret(false));
    report.case("operator_secret_in_file", || secret(true));
    report.case("operator_schema", schema);
    report.case("operator_schema_example", schema_example);
}

fn start() -> Result<Agent, Failure> {
    let rules = [
        rule("first", "open.file.name == \"first.e2e\"", ""),
        rule("second", "open.file.name == \"second.e2e\"", ""),
    ];
    Launch::new("operator")?
        .policy("operator.policy", policy(&rules))?
        .start()
}

/// Opens a file of this name; the event that was printed.
fn open_file(agent: &Agent, rule: &str) -> Result<Value, Failure> {
    let path = scratch::directory("operator")?.join(format!("{rule}.e2e"));
    fs::write(&path, "")?;
    let pid = tool::run(&["openat", "AT_FDCWD", &path.to_string_lossy(), "0"])?.pid;
    agent.event_of(rule, pid)
}

fn lines(text: &str) -> Result<Vec<Value>, Failure> {
    let parse = |line| {
        serde_json::from_str(line).map_err(|error| Failure::Failed(format!("{error}: {line}")))
    };
    text.lines().map(parse).collect()
}

/// What was seen already, all of it or that of one rule.
fn events() -> Outcome {
    let agent = start()?;
    let first = open_file(&agent, "first")?;
    let second = open_file(&agent, "second")?;
    for (arguments, expected) in [
        (&["events"][..], [true, true]),
        (&["events", "--json"], [true, true]),
        (&["events", "--rule", "first"], [true, false]),
        (&["events", "--json", "--rule", "second"], [false, true]),
        (&["events", "--rule", "third"], [false, false]),
    ] {
        let at = |failure: Failure| failure.at(&arguments.join(" "));
        let done = agent.command(arguments).map_err(at)?;
        let seen = lines(&done.stdout).map_err(at)?;
        let found = [&first, &second].map(|event| seen.contains(event));
        ensure(done.code == Some(0) && found == expected, || {
            format!("{found:?}: {}", done.said())
        })
        .map_err(at)?;
        if let Some(rule) = arguments.iter().skip_while(|it| **it != "--rule").nth(1) {
            let only = seen.iter().all(|event| rule_of(event) == *rule);
            ensure(only, || done.said()).map_err(at)?;
        }
    }
    Ok(())
}

/// A command that reads events until it is dropped.
struct Reader {
    child: Child,
    path: PathBuf,
}

impl Reader {
    fn start(agent: &Agent, arguments: &[&str]) -> Result<Reader, Failure> {
        let path = scratch::directory("reader")?.join("output");
        let child = agent.begin_into(arguments, File::create(&path)?)?;
        Ok(Reader { child, path })
    }

    /// Whether it has printed exactly this event, once.
    fn has(&self, event: &Value) -> bool {
        let text = fs::read_to_string(&self.path).unwrap_or_default();
        let whole = text.rsplit_once('\n').map_or("", |(whole, _)| whole);
        let seen = lines(whole).unwrap_or_default();
        seen.iter().filter(|one| *one == event).count() == 1
    }
}

impl Drop for Reader {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Several readers see the same events, with the same ids, beside the one that passes them on.
fn follow() -> Outcome {
    let agent = start()?;
    let before = open_file(&agent, "first")?;
    let mut readers = Vec::new();
    for _ in 0..READERS {
        readers.push(Reader::start(&agent, &["events", "--follow", "--json"])?);
    }
    let chosen = ["events", "--follow", "--rule", "second"];
    let chosen = Reader::start(&agent, &chosen)?;
    let all_have = |event: &Value| {
        wait_for(patience(SECONDS), || {
            readers.iter().all(|one| one.has(event)).then_some(())
        })
    };
    ensure(all_have(&before).is_some(), || {
        format!("not everybody has what was before: {before}")
    })?;
    for rule in ["first", "second"] {
        let event = open_file(&agent, rule)?;
        ensure(event["event_id"].is_string(), || format!("no id: {event}"))?;
        ensure(all_have(&event).is_some(), || {
            format!("not everybody has {event}")
        })?;
        let expected = rule == "second";
        wait_for(patience(SECONDS), || {
            (chosen.has(&event) == expected).then_some(())
        })
        .ok_or_else(|| format!("the reader of one rule: {event}"))?;
    }
    // A reader that was killed is no trouble.
    drop(readers);
    open_file(&agent, "first").map(|_| ())
}

/// A line for people, in colours unless they are not wanted.
fn on_terminal() -> Outcome {
    let agent = start()?;
    let event = open_file(&agent, "first")?;
    let path = event["file"]["path"].as_str().unwrap_or_default();
    for (arguments, coloured) in [(&["events"][..], true), (&["events", "--no-color"], false)] {
        let terminal = Terminal::open()?;
        let mut child = agent.begin_into(arguments, terminal.output.try_clone()?)?;
        let shown = wait_for(patience(SECONDS), || {
            let text = terminal.text();
            (text.contains("first") && text.contains(path)).then_some(text)
        });
        let ended = wait_for(patience(SECONDS), || child.try_wait().ok().flatten());
        let _ = child.kill();
        let text = shown.ok_or_else(|| format!("it shows {}", terminal.text()))?;
        ensure(ended.is_some_and(|status| status.success()), || {
            format!("it ended with {ended:?}")
        })?;
        ensure(text.contains("\u{1b}[") == coloured, || {
            format!("{arguments:?} shows {text:?}")
        })?;
        ensure(!text.contains("{\""), || format!("JSON: {text}"))?;
    }
    Ok(())
}

/// Another level of the log is in force in both roles at once.
fn config_set() -> Outcome {
    let agent = start()?;
    let level = || agent.command(&["config", "get", "log_level"]);
    let said = |done: &Finished, text: &str| done.code == Some(0) && done.stdout.contains(text);
    let done = level()?;
    ensure(said(&done, "log_level is set to: info"), || done.said())?;
    let is_debug = |role: &str| {
        let log = agent.log();
        let mut lines = log.lines();
        lines.any(|line| line.contains(" DEBUG ") && line.contains(&format!(" {role}: ")))
    };
    let roles = ["system-probe", "security-agent"];
    ensure(!roles.iter().any(|role| is_debug(role)), || agent.log())?;
    let done = agent.command(&["config", "set", "log_level", "debug"])?;
    ensure(said(&done, "log_level is now set to: debug"), || {
        done.said()
    })?;
    let done = level()?;
    ensure(said(&done, "log_level is set to: debug"), || done.said())?;
    for role in roles {
        let told = wait_for(patience(SECONDS), || is_debug(role).then_some(()));
        ensure(told.is_some(), || {
            format!("no line of {role} is at level debug: {}", agent.log())
        })?;
    }
    let done = agent.command(&["config", "by-source"])?;
    let runtime = done.stdout.split("runtime:\n").nth(1).unwrap_or_default();
    ensure(runtime.trim_start().starts_with("log_level: debug"), || {
        done.said()
    })?;
    for (arguments, words) in [
        (["log_level", "loud"], "log_level must be trace"),
        (["log_levle", "info"], "did you mean log_level?"),
        (["api_key", "x"], "cannot be changed at run time"),
    ] {
        let done = agent.command(&["config", "set", arguments[0], arguments[1]])?;
        ensure(done.code == Some(1) && done.stderr.contains(words), || {
            format!("not `{words}`: {}", done.said())
        })?;
    }
    Ok(())
}

/// Who has no right to the sockets changes nothing.
fn config_set_refused() -> Outcome {
    let agent = start()?;
    // As it is, and where everybody gets as far as the check of the peer.
    for open in [false, true] {
        if open {
            scratch::set_mode(&agent.run_path(), 0o755)?;
            for socket in [agent.agent_socket(), agent.command_socket()] {
                scratch::set_mode(&socket, 0o666)?;
            }
        }
        let done = agent.command_as(NOBODY, &["config", "set", "log_level", "debug"])?;
        let sentence = done.stderr.contains(' ') && !done.stderr.contains("panicked");
        ensure(done.code == Some(1) && sentence, || done.said())?;
        let done = agent.command(&["config", "get", "log_level"])?;
        ensure(done.stdout.contains("is set to: info"), || done.said())?;
    }
    Ok(())
}

/// The key of the account is nowhere but where it was configured and in requests to the intake.
fn secret(in_file: bool) -> Outcome {
    let mut server = HttpServer::start()?;
    server.always(Behaviour::Hang);
    let numbers = Numbers::new()?;
    let mut launch = delivery::launch("secret", &numbers, &server.url())?;
    launch = launch.env("DD_LOG_LEVEL", "trace");
    if in_file {
        let file = launch.file("datadog.yaml", &format!("api_key: {API_KEY}\n"))?;
        launch = launch
            .without("DD_API_KEY")
            .arguments(&["run", "--json", "-c", &file]);
    }
    let agent = launch.start()?;
    pour(&agent, &numbers, 0..FEW)?;
    let hangs = wait_for(patience(SECONDS), || (server.hanging() > 0).then_some(()));
    ensure(hangs.is_some(), || {
        format!("no request came; log: {}", agent.log())
    })?;
    expect_no_key_in_worker(&agent)?;
    // The sentence about a wrong key must not hold it either.
    server.always(Behaviour::status(403));
    server.release();
    server.then([Behaviour::status(403), Behaviour::status(401)]);
    let told = wait_for(patience(SECONDS), || {
        agent.log().contains("403").then_some(())
    });
    ensure(told.is_some(), || {
        format!("the log does not say 403: {}", agent.log())
    })?;
    expect_no_key_in_answers(&agent)?;
    ensure(!agent.log().contains(API_KEY), || {
        "the log has the key".to_owned()
    })?;
    let used = server
        .take_others()
        .iter()
        .any(|request| request.header("dd-api-key") == API_KEY);
    ensure(used, || "no request had the key".to_owned())?;
    server.down();
    Ok(())
}

/// Commands and sockets show the last characters at most.
fn expect_no_key_in_answers(agent: &Agent) -> Outcome {
    let shown = API_KEY.get(API_KEY.len() - 4..).unwrap_or_default();
    for (arguments, shows) in [
        (&["config"][..], true),
        (&["config", "by-source"], true),
        (&["config", "get", "api_key"], true),
        (&["status", "-j"], false),
        (&["status"], false),
        (&["config", "schema"], false),
        (&["config", "schema", "--example"], false),
    ] {
        let done = agent.command(arguments)?;
        ensure(!done.said().contains(API_KEY), || {
            format!("{arguments:?} shows the key")
        })?;
        ensure(!shows || done.stdout.contains(shown), || {
            format!(
                "{arguments:?} does not tell one key from another: {}",
                done.said()
            )
        })?;
    }
    for socket in [agent.agent_socket(), agent.command_socket()] {
        let mut client = Client::connect(&socket, patience(5))?;
        for command in ["config", "status"] {
            let answer = client.ask(&format!(r#"{{"command":"{command}"}}"#))?;
            ensure(
                answer["ok"] == true && !answer.to_string().contains(API_KEY),
                || format!("{command} on {} shows the key", socket.display()),
            )?;
        }
    }
    Ok(())
}

/// The process that makes the requests is told the key in a way that `ps` does not show.
fn expect_no_key_in_worker(agent: &Agent) -> Outcome {
    let (_, role) = wait_for(patience(5), || agent.roles()).ok_or("the roles say no pids")?;
    let workers = children_with(role, "http-worker")?;
    let worker = workers.first().ok_or("there is no http-worker")?;
    for name in ["cmdline", "environ"] {
        let bytes = fs::read(worker.join(name))?;
        let text = String::from_utf8_lossy(&bytes);
        ensure(!text.contains(API_KEY), || {
            format!("{name} of the http-worker has the key")
        })?;
    }
    Ok(())
}

/// The directories in /proc of the children of a process that have this argument.
fn children_with(parent: i32, word: &str) -> Result<Vec<PathBuf>, Failure> {
    let belongs = |process: &Path| {
        let status = fs::read_to_string(process.join("status")).unwrap_or_default();
        let words = fs::read(process.join("cmdline")).unwrap_or_default();
        let is_child = status
            .lines()
            .any(|line| line == format!("PPid:\t{parent}"));
        is_child
            && words
                .split(|byte| *byte == 0)
                .any(|one| one == word.as_bytes())
    };
    let entries = fs::read_dir("/proc")?.flatten().map(|entry| entry.path());
    Ok(entries.filter(|process| belongs(process)).collect())
}

fn command(arguments: &[&str]) -> Result<Finished, Failure> {
    let mut command = Command::new(scratch::agent_binary());
    command.args(arguments);
    for (name, _) in std::env::vars_os() {
        // What the tests are configured by is no concern of these commands.
        if name.to_string_lossy().starts_with("DD_") {
            command.env_remove(name);
        }
    }
    command.env("DD_RUN_PATH", scratch::directory("nobody-runs")?);
    finish(command, patience(SECONDS))
}

/// The table names every key that the agent has.
fn schema() -> Outcome {
    let done = command(&["config", "schema"])?;
    let table: Vec<Value> = serde_json::from_str(&done.stdout)?;
    let agent = start()?;
    let mut client = Client::connect(&agent.agent_socket(), patience(5))?;
    let answer = client.ask(r#"{"command":"config"}"#)?;
    let keys = answer["config"].as_object().ok_or("no configuration")?;
    ensure(keys.len() > 50, || format!("{} keys", keys.len()))?;
    let find = |name: &str| table.iter().find(|entry| entry["name"] == name);
    for key in keys.keys() {
        let entry = find(key).ok_or_else(|| format!("{key} is not in the table"))?;
        let whole = entry["effect"].is_boolean()
            && entry["help"].as_str().is_some_and(|help| help.len() > 5)
            && entry["type"].is_string()
            && entry.get("default").is_some()
            && entry["environment"][0]
                .as_str()
                .is_some_and(|name| name.starts_with("DD_"))
            && FILES.iter().any(|(file, _)| entry["file"] == *file);
        ensure(whole, || format!("the entry of {key} is {entry}"))?;
    }
    let unknown = table
        .iter()
        .filter_map(|entry| entry["name"].as_str().filter(|_| entry["effect"] == true))
        .find(|name| !keys.contains_key(*name));
    ensure(unknown.is_none(), || {
        format!("the agent does not know {unknown:?}")
    })
}

/// The example is a configuration file, as it is printed and with its comment signs taken away.
fn schema_example() -> Outcome {
    let done = command(&["config", "schema", "--example"])?;
    let directory = scratch::directory("example")?;
    let whole = directory.join("whole.yaml");
    fs::write(&whole, &done.stdout)?;
    let whole = whole.to_string_lossy().into_owned();
    expect_accepted(&["-c", &whole, "--sysprobe-config", &whole])?;

    let parts: Vec<&str> = done.stdout.split("#### ").skip(1).collect();
    ensure(parts.len() == FILES.len(), || done.said())?;
    let mut flags = Vec::new();
    for (part, (name, flag)) in parts.iter().zip(FILES) {
        ensure(part.starts_with(&format!("{name}\n")), || {
            format!("not {name}: {part}")
        })?;
        let lines = part.lines().filter_map(|line| line.strip_prefix("# "));
        let text: String = lines.map(|line| format!("{line}\n")).collect();
        let path = directory.join(name);
        fs::write(&path, text)?;
        flags.push((*flag).to_owned());
        flags.push(path.to_string_lossy().into_owned());
    }
    let flags: Vec<&str> = flags.iter().map(String::as_str).collect();
    let done = expect_accepted(&flags)?;
    // Every key is said by some file now; the run path by the environment of the test.
    ensure(!done.stdout.contains("\ndefault:"), || done.said())
}

fn expect_accepted(flags: &[&str]) -> Result<Finished, Failure> {
    let arguments: Vec<&str> = ["config", "by-source"]
        .iter()
        .chain(flags)
        .copied()
        .collect();
    let done = command(&arguments)?;
    let complains = done.stderr.to_lowercase().contains("warn");
    ensure(done.code == Some(0) && !complains, || done.said())?;
    ensure(done.stdout.contains("log_level: info"), || done.said())?;
    Ok(done)
}
