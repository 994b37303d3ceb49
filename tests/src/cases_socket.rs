//! The sockets: who may talk, what is answered, and that nothing said to them does harm.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use serde_json::Value;

use crate::harness::{policy, rule, Agent, Launch};
use crate::report::{ensure, Failure, Outcome, Report};
use crate::scratch::{self, patience};
use crate::socket::Client;
use crate::tool;

const SUBSCRIBE: &str = r#"{"subscribe":"events","protocol":2,"silent":false}"#;
const SUBSCRIBE_SILENT: &str = r#"{"subscribe":"events","protocol":2,"silent":true}"#;
const NOBODY: u32 = 65534;

/// What another user asks for, and what the answer would hold.
const STRANGERS: &[(&[&str], &str)] = &[
    (&["runtime", "self-test"], ": OK"),
    (&["runtime", "policy", "reload"], "eloaded"),
    (&["events"], "{"),
    (&["status", "-j"], "\"received\""),
    (&["config"], "log_level"),
    (&["config", "get", "log_level"], "is set to"),
    (&["config", "set", "log_level", "trace"], "is now set"),
];

type Test = fn(&Agent) -> Outcome;

const TESTS: &[(&str, Test)] = &[
    ("socket_modes", modes),
    ("socket_events", events),
    ("socket_silent", silent),
    ("socket_recent", recent),
    ("socket_resume", resume),
    ("socket_protocol", protocol),
    ("socket_commands", commands),
    ("socket_garbage", garbage),
    ("socket_strangers", strangers),
];

/// Runs the tests of this file.
pub(crate) fn run(report: &mut Report) {
    if !report.wants_any(TESTS.iter().map(|(name, _)| *name)) {
        return;
    }
    let agent = match start() {
        Ok(agent) => agent,
        Err(failure) => return report.not_started("socket_start", failure),
    };
    for (name, test) in TESTS {
        report.case(name, || test(&agent));
    }
}

fn start() -> Result<Agent, Failure> {
    let rules = [
        rule("loud", "open.file.name == \"loud.e2e\"", ""),
        rule(
            "quiet",
            "open.file.name == \"quiet.e2e\"",
            "    silent: true\n",
        ),
    ];
    Launch::new("socket")?
        .policy("socket.policy", policy(&rules))?
        .start()
}

fn connect(path: &Path) -> Result<Client, Failure> {
    Ok(Client::connect(path, patience(5))?)
}

fn modes(agent: &Agent) -> Outcome {
    let mode = |path: &Path| -> Result<u32, Failure> {
        Ok(fs::metadata(path)?.permissions().mode() & 0o777)
    };
    for socket in [
        agent.event_socket(),
        agent.command_socket(),
        agent.agent_socket(),
    ] {
        let found = mode(&socket)?;
        ensure(found == 0o660, || {
            format!("{} has mode {found:o}", socket.display())
        })?;
    }
    let found = mode(&agent.run_path())?;
    ensure(found == 0o750, || {
        format!("the run path has mode {found:o}")
    })
}

/// Opens a file of this name; returns the pid of the caller.
fn open_file(name: &str) -> Result<i64, Failure> {
    let path = scratch::directory("socket")?.join(name);
    fs::write(&path, "")?;
    Ok(tool::run(&["openat", "AT_FDCWD", &path.to_string_lossy(), "0"])?.pid)
}

/// The lines up to the event of this process, it included.
fn lines_until(client: &mut Client, pid: i64) -> Result<Vec<Value>, Failure> {
    let mut lines = Vec::new();
    while let Some(line) = client.receive()? {
        let found = line["event"]["process"]["pid"] == pid;
        lines.push(line);
        if found {
            return Ok(lines);
        }
    }
    Err(Failure::Failed("the event socket was closed".to_owned()))
}

fn events(agent: &Agent) -> Outcome {
    let mut client = connect(&agent.event_socket())?;
    let hello = client.ask(SUBSCRIBE)?;
    ensure(hello["hello"]["protocol"] == 2, || {
        format!("it answered {hello}")
    })?;
    ensure(
        hello["hello"]["pid"].as_i64().is_some_and(|pid| pid > 0),
        || format!("{hello}"),
    )?;
    let quiet = open_file("quiet.e2e")?;
    let loud = open_file("loud.e2e")?;
    let lines = lines_until(&mut client, loud)?;
    let last = lines.last().ok_or("no line")?;
    ensure(last["rule_id"] == "loud" && last["silent"] == false, || {
        format!("{last}")
    })?;
    ensure(last["seq"].is_u64(), || format!("it has no seq: {last}"))?;
    let id = format!(
        "{}-{}",
        hello["hello"]["session"].as_str().unwrap_or_default(),
        last["seq"]
    );
    ensure(last["event"]["event_id"] == id, || {
        format!("not {id}: {last}")
    })?;
    let tags = serde_json::json!(["rule_id:loud", "source_rule_id:loud", "type:open"]);
    let begin = last["tags"].as_array().map(|tags| tags.iter().take(3));
    ensure(
        begin.is_some_and(|begin| tags.as_array().is_some_and(|tags| begin.eq(tags))),
        || format!("{last}"),
    )?;
    let told = lines
        .iter()
        .any(|line| line["event"]["process"]["pid"] == quiet);
    ensure(!told, || "an event of a silent rule came".to_owned())
}

fn silent(agent: &Agent) -> Outcome {
    let mut client = connect(&agent.event_socket())?;
    client.ask(SUBSCRIBE_SILENT)?;
    let quiet = open_file("quiet.e2e")?;
    let lines = lines_until(&mut client, quiet)?;
    let last = lines.last().ok_or("no line")?;
    ensure(last["rule_id"] == "quiet" && last["silent"] == true, || {
        format!("{last}")
    })
}

/// What has happened already comes to who asks for it, up to the end.
fn recent(agent: &Agent) -> Outcome {
    let loud = open_file("loud.e2e")?;
    agent.event_of("loud", loud)?;
    let mut client = connect(&agent.event_socket())?;
    client.ask(r#"{"subscribe":"events","protocol":2,"recent":true,"follow":false}"#)?;
    let lines = lines_until(&mut client, loud)?;
    ensure(lines.len() <= 256, || format!("{} lines", lines.len()))?;
    let mut last = Value::Null;
    while let Some(line) = client.receive()? {
        last = line;
    }
    ensure(last["end"] == true, || format!("it ended with {last}"))
}

/// A reader that comes back gets what it has missed, and nothing twice.
fn resume(agent: &Agent) -> Outcome {
    let mut client = connect(&agent.event_socket())?;
    let hello = client.ask(SUBSCRIBE)?;
    let before = open_file("loud.e2e")?;
    let lines = lines_until(&mut client, before)?;
    let number = lines
        .last()
        .map_or(&Value::Null, |line| &line["seq"])
        .as_u64();
    let number = number.ok_or("a line without a number")?;
    drop(client);
    let missed = open_file("loud.e2e")?;
    agent.event_of("loud", missed)?;
    let request = serde_json::json!({
        "subscribe": "events", "protocol": 2,
        "session": hello["hello"]["session"], "after": number,
    });
    let mut client = connect(&agent.event_socket())?;
    client.ask(&request.to_string())?;
    let lines = lines_until(&mut client, missed)?;
    let numbers: Vec<u64> = lines
        .iter()
        .filter_map(|line| line["seq"].as_u64())
        .collect();
    let expected: Vec<u64> = (number + 1..).take(numbers.len()).collect();
    ensure(numbers == expected, || {
        format!("{numbers:?} after {number}")
    })
}

/// A sentence, then the end, for whoever speaks something else.
fn protocol(agent: &Agent) -> Outcome {
    for line in [
        r#"{"subscribe":"events","protocol":99}"#,
        "{}",
        "GET / HTTP/1.1",
        "\u{0}\u{1}",
    ] {
        let mut client = connect(&agent.event_socket())?;
        let answer = client
            .ask(line)
            .map_err(|error| format!("{line:?}: {error}"))?;
        let sentence = answer["error"].as_str().unwrap_or_default();
        ensure(sentence.contains(' '), || {
            format!("{line:?} was answered {answer}")
        })?;
        ensure(client.receive()?.is_none(), || {
            format!("still open after {line:?}")
        })?;
    }
    Ok(())
}

fn commands(agent: &Agent) -> Outcome {
    let mut client = connect(&agent.command_socket())?;
    for command in ["status", "loaded_policies", "reload_policies"] {
        let answer = client.ask(&format!(r#"{{"command":"{command}"}}"#))?;
        ensure(answer["ok"] == true, || format!("{command}: {answer}"))?;
    }
    for request in [
        r#"{"command":"no_such_command"}"#,
        r#"{"command":"config_get"}"#,
        r#"{"command":"config_set","setting":"no.such.setting","value":1}"#,
    ] {
        let mut client = connect(&agent.command_socket())?;
        let answer = client.ask(request)?;
        ensure(answer["ok"] == false && answer["error"].is_string(), || {
            format!("{request}: {answer}")
        })?;
    }
    Ok(())
}

/// Endless lines, bytes of no meaning and clients that never read or end must not hurt others.
fn garbage(agent: &Agent) -> Outcome {
    let mut silent_clients = Vec::new();
    for socket in [
        agent.event_socket(),
        agent.command_socket(),
        agent.agent_socket(),
    ] {
        for _ in 0..20 {
            silent_clients.push(connect(&socket)?);
        }
        let mut client = connect(&socket)?;
        // Refused in the middle, or taken and dropped: both are right.
        let _ = client.send_bytes(&vec![b'a'; 4 << 20]);
        let mut client = connect(&socket)?;
        let bytes: Vec<u8> = (0..=255).cycle().take(10_000).collect();
        let _ = client.send_bytes(&bytes);
        let mut client = connect(&socket)?;
        let _ = client.send_bytes("[".repeat(100_000).as_bytes());
        let _ = client.send_bytes(b"\n");
    }
    let (code, _) = agent.status()?;
    ensure(code == Some(0), || {
        format!("status ends with {code:?}; log: {}", agent.log())
    })?;
    let loud = open_file("loud.e2e")?;
    agent.event_of("loud", loud)?;
    ensure(!agent.log().contains("panicked"), || agent.log())
}

/// Another user gets a sentence and no answer, whichever socket is asked.
fn strangers(agent: &Agent) -> Outcome {
    let sockets = [
        agent.event_socket(),
        agent.command_socket(),
        agent.agent_socket(),
    ];
    // In a directory that everybody can enter, so that the peer check has to refuse.
    scratch::set_mode(&agent.run_path(), 0o755)?;
    for socket in &sockets {
        scratch::set_mode(socket, 0o666)?;
    }
    let refused = STRANGERS.iter().try_for_each(|(arguments, secret)| {
        expect_refused(agent, arguments, secret).map_err(|failure| failure.at(arguments[0]))
    });
    scratch::set_mode(&agent.run_path(), 0o750)?;
    for socket in &sockets {
        scratch::set_mode(socket, 0o660)?;
    }
    refused?;
    let (_, status) = agent.status()?;
    let level = agent.command(&["config", "get", "log_level"])?;
    ensure(level.stdout.contains("info"), || {
        format!("the level was changed: {}; {status}", level.said())
    })
}

fn expect_refused(agent: &Agent, arguments: &[&str], secret: &str) -> Outcome {
    let finished = agent.command_as(NOBODY, arguments)?;
    let refused = finished.code.is_some_and(|code| code != 0);
    ensure(refused && !finished.stdout.contains(secret), || {
        finished.said()
    })?;
    let said = format!("{}{}", finished.stdout, finished.stderr);
    ensure(said.contains(' ') && !said.contains("panicked"), || {
        finished.said()
    })
}
