//! The local outputs: the file, with rotation and trouble, and the collector over HTTP in both
//! shapes, down for a while.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use nix::sys::signal::{kill, Signal};
use serde_json::{json, Value};

use crate::delivery::{pour, waiting, ENDPOINTS};
use crate::harness::{rule_of, Agent, Launch};
use crate::http_server::{HttpServer, Request};
use crate::numbers::{Numbers, Tally, RULE};
use crate::report::{ensure, Failure, Outcome, Report};
use crate::scratch::{self, patience, wait_for, wait_until_right};

/// Section of the keys about outputs, as in the environment.
const OUTPUTS: &str = "DD_RUNTIME_SECURITY_CONFIG_OUTPUTS_";
/// Bytes of a file before it is rotated, and files that are kept beside it.
const MAX_SIZE: u64 = 64_000;
const MAX_FILES: usize = 2;
/// More events than those files hold.
const MANY: usize = 400;
const FEW: usize = 50;
/// More numbers than are made while something is waited for.
const MOST: usize = 20_000;
/// Seconds for the file to be there again; it is looked for every few seconds.
const SECONDS: u64 = 20;
/// The mode of every file.
const MODE: u32 = 0o640;
/// Priorities that Falco knows.
const PRIORITIES: &[&str] = &[
    "Emergency",
    "Alert",
    "Critical",
    "Error",
    "Warning",
    "Notice",
    "Informational",
    "Debug",
];

/// What the collector has to understand of a request: the events in it.
type Reader = fn(&Request) -> Result<Vec<Value>, Failure>;

/// Runs the tests of this file.
pub(crate) fn run(report: &mut Report) {
    report.case_of_user_space("outputs_file_rotation", rotation);
    report.case_of_user_space("outputs_file_moved_away", moved_away);
    report.case_of_user_space("outputs_file_directory_missing", directory_missing);
    report.case_of_user_space("outputs_http_native", || http("native", read_native));
    report.case_of_user_space("outputs_http_falco", || http("falco", read_falco));
}

fn to_file(name: &str, numbers: &Numbers, path: &Path) -> Result<Launch, Failure> {
    Ok(Launch::new(name)?
        .policy("numbers.policy", numbers.policy())?
        .env(&format!("{OUTPUTS}FILE_ENABLED"), "true")
        .env(&format!("{OUTPUTS}FILE_PATH"), &path.to_string_lossy()))
}

/// What security-agent says of the file.
fn file_status(agent: &Agent) -> Result<Value, Failure> {
    let status = wait_for(patience(5), || agent.agent_status());
    let status = status.ok_or("security-agent does not answer")?;
    Ok(status["outputs"]["file"].clone())
}

/// The events in a file, which has nothing but whole lines of JSON and the right mode.
fn events_of(path: &Path) -> Result<Vec<Value>, Failure> {
    let at = |failure: Failure| failure.at(&path.to_string_lossy());
    let mode = fs::metadata(path)
        .map_err(|error| at(error.into()))?
        .permissions()
        .mode()
        & 0o7777;
    ensure(mode == MODE, || format!("mode {mode:o}")).map_err(at)?;
    let text = fs::read_to_string(path)?;
    ensure(text.is_empty() || text.ends_with('\n'), || {
        "the last line is torn".to_owned()
    })
    .map_err(at)?;
    text.lines()
        .map(|line| {
            let event: Value = serde_json::from_str(line)
                .map_err(|error| at(Failure::Failed(format!("{error}: {line}"))))?;
            ensure(!rule_of(&event).is_empty(), || format!("no event: {line}")).map_err(at)?;
            Ok(event)
        })
        .collect()
}

/// The files that are kept are of the size that was asked for, and hold the newest events without
/// a gap.
fn rotation() -> Outcome {
    let directory = scratch::directory("rotation")?;
    let path = directory.join("events.json");
    let numbers = Numbers::new()?;
    let mut tally = numbers.tally(MANY);
    let agent = to_file("rotation", &numbers, &path)?
        .env(&format!("{OUTPUTS}FILE_MAX_SIZE"), &MAX_SIZE.to_string())
        .env(&format!("{OUTPUTS}FILE_MAX_FILES"), &MAX_FILES.to_string())
        .start()?;
    pour(&agent, &numbers, 0..MANY)?;
    let status = file_status(&agent)?;
    ensure(status["lost"] == 0 && status["problem"] == "", || {
        format!("status says {status}")
    })?;
    let mut names: Vec<String> = fs::read_dir(&directory)?
        .flatten()
        .map(|entry| entry.file_name().to_string_lossy().into_owned())
        .collect();
    names.sort();
    ensure(
        names == ["events.json", "events.json.1", "events.json.2"],
        || format!("there are {names:?}"),
    )?;
    for name in names {
        let file = directory.join(name);
        let size = fs::metadata(&file)?.len();
        ensure(size <= MAX_SIZE, || {
            format!("{} has {size} bytes", file.display())
        })?;
        events_of(&file)?.iter().for_each(|event| tally.add(event));
    }
    let kept = tally.arrived();
    let older = MANY - kept;
    println!(
        "figure: {kept} of {MANY} events are in {} files",
        MAX_FILES + 1
    );
    ensure(
        kept > 0 && tally.missing_below(older) == older && tally.duplicates() == 0,
        || tally.summary(),
    )
}

/// Whoever moves the file away gets another one, with SIGHUP and without; nothing is lost.
fn moved_away() -> Outcome {
    let directory = scratch::directory("moved")?;
    let path = directory.join("events.json");
    let numbers = Numbers::new()?;
    let agent = to_file("moved", &numbers, &path)?.start()?;
    let mut next = 0;
    let mut files = vec![path.clone()];
    for (name, signal) in [("told", Some(Signal::SIGHUP)), ("not-told", None)] {
        pour(&agent, &numbers, next..next + FEW)?;
        next += FEW;
        let away = directory.join(name);
        fs::rename(&path, &away)?;
        files.push(away);
        if let Some(signal) = signal {
            kill(agent.pid(), signal)?;
        }
        open_until_there(&numbers, &mut next, &path)
            .map_err(|failure| failure.at(name).at(&agent.log()))?;
    }
    pour(&agent, &numbers, next..next + FEW)?;
    wait_until_right(patience(SECONDS), || {
        expect_all(&files, &numbers, next + FEW)
    })?;
    let status = file_status(&agent)?;
    ensure(status["lost"] == 0 && status["problem"] == "", || {
        format!("status says {status}")
    })
}

/// Makes one event after the other until the file is there.
fn open_until_there(numbers: &Numbers, next: &mut usize, path: &Path) -> Outcome {
    let there = wait_for(patience(SECONDS), || {
        numbers.open(*next..*next + 1).ok()?;
        *next += 1;
        path.exists().then_some(())
    });
    ensure(there.is_some() && *next < MOST, || {
        format!("{} was not made, {next} events", path.display())
    })
}

fn expect_all(files: &[PathBuf], numbers: &Numbers, end: usize) -> Outcome {
    let mut tally = numbers.tally(end);
    for file in files {
        events_of(file)?.iter().for_each(|event| tally.add(event));
    }
    ensure(
        tally.missing_below(end) == 0 && tally.duplicates() == 0,
        || tally.summary(),
    )
}

/// A directory that is made later: until then a sentence and a count, afterwards the events and
/// how many are missing.
fn directory_missing() -> Outcome {
    let directory = scratch::directory("missing")?.join("later");
    let path = directory.join("events.json");
    let numbers = Numbers::new()?;
    let agent = to_file("missing", &numbers, &path)?.start()?;
    pour(&agent, &numbers, 0..FEW)?;
    let status = file_status(&agent)?;
    ensure(
        status["lost"].as_u64() >= Some(FEW as u64)
            && status["events"] == 0
            && status["problem"]
                .as_str()
                .is_some_and(|text| text.contains(' ')),
        || format!("status says {status}"),
    )?;
    let log = agent.log();
    ensure(
        log.contains("events cannot be written to") && log.contains("counted as lost"),
        || format!("the log does not say it: {log}"),
    )?;
    fs::create_dir(&directory)?;
    let mut next = FEW;
    open_until_there(&numbers, &mut next, &path)
        .map_err(|failure| failure.at(&file_status(&agent).unwrap_or_default().to_string()))?;
    pour(&agent, &numbers, next..next + FEW)?;
    wait_until_right(patience(SECONDS), || {
        expect_losses_told(&agent, &path)?;
        let mut tally = numbers.tally(next + FEW);
        events_of(&path)?.iter().for_each(|event| tally.add(event));
        let has_all = (next..next + FEW).all(|number| tally.has(number));
        ensure(has_all, || tally.summary())
    })?;
    println!(
        "figure: {} events were lost while there was no directory",
        file_status(&agent)?["lost"]
    );
    expect_printed(&agent, &numbers, next + FEW)
}

/// What the file holds and what it says that it misses is all that there was.
fn expect_losses_told(agent: &Agent, path: &Path) -> Outcome {
    let events = events_of(path)?;
    let is_loss = |event: &&Value| rule_of(event) == "lost_events" && event["map"] == "file";
    let losses: Vec<&Value> = events.iter().filter(is_loss).collect();
    let told: u64 = losses
        .iter()
        .filter_map(|event| event["lost"].as_u64())
        .sum();
    let status = file_status(agent)?;
    ensure(
        losses.len() == 1 && events.first().as_ref().is_some_and(is_loss),
        || format!("not one line about losses at the begin: {losses:?}"),
    )?;
    ensure(status["lost"] == told, || {
        format!("the file says {losses:?}, status {status}")
    })?;
    let written = (events.len() - losses.len()) as u64;
    let received = agent.agent_status().map(|all| all["received"].clone());
    ensure(
        status["events"] == written && received == Some(json!(written + told)),
        || format!("{written} written, {told} lost, {received:?} received; status {status}"),
    )?;
    ensure(status["problem"] == "", || format!("status says {status}"))
}

/// Standard output has every number: detection did not stop.
fn expect_printed(agent: &Agent, numbers: &Numbers, end: usize) -> Outcome {
    let printed = || {
        let mut tally = numbers.tally(end);
        agent.lines().iter().for_each(|line| tally.add(&line.event));
        tally
    };
    let all = wait_for(patience(SECONDS), || {
        (printed().missing_below(end) == 0).then_some(())
    });
    ensure(all.is_some(), || {
        format!("printed: {}", printed().summary())
    })
}

/// A collector gets everything, also what came while it was down, and no key of an account.
fn http(format: &str, read: Reader) -> Outcome {
    let mut server = HttpServer::start()?;
    let numbers = Numbers::new()?;
    let mut tally = numbers.tally(3 * FEW);
    let url = format!("{}/collect?from=edge", server.url());
    let mut launch = Launch::new("collector")?
        .policy("numbers.policy", numbers.policy())?
        .env(&format!("{OUTPUTS}HTTP_URL"), &url)
        .env(&format!("{OUTPUTS}HTTP_FORMAT"), format)
        .env(&format!("{OUTPUTS}HTTP_HEADERS"), r#"{"X-Site":"north"}"#);
    for (key, value) in [
        ("BATCH_WAIT", "100ms"),
        ("SENDER_BACKOFF_BASE", "100ms"),
        ("SENDER_BACKOFF_MAX", "1s"),
    ] {
        launch = launch.env(&format!("{ENDPOINTS}{key}"), value);
    }
    let agent = launch.start()?;
    pour(&agent, &numbers, 0..FEW)?;
    expect_collected(&server, read, &mut tally, FEW)?;
    server.down();
    pour(&agent, &numbers, FEW..2 * FEW)?;
    ensure(waiting(&agent) >= Some(FEW as u64), || {
        format!(
            "{:?} events wait for a server that is down",
            waiting(&agent)
        )
    })?;
    server.up()?;
    pour(&agent, &numbers, 2 * FEW..3 * FEW)?;
    expect_collected(&server, read, &mut tally, 3 * FEW)
        .map_err(|failure| failure.at(&agent.log()))?;
    let empty = wait_for(patience(10), || (waiting(&agent)? == 0).then_some(()));
    ensure(empty.is_some(), || {
        format!("all arrived, and {:?} wait", waiting(&agent))
    })
}

fn expect_collected(server: &HttpServer, read: Reader, tally: &mut Tally, end: usize) -> Outcome {
    let mut wrong = None;
    wait_for(patience(SECONDS), || {
        for request in server.take_accepted() {
            match expect_post(&request).and_then(|()| read(&request)) {
                Ok(events) => events.iter().for_each(|event| tally.add(event)),
                Err(failure) => wrong = Some(failure),
            }
        }
        (wrong.is_some() || tally.missing_below(end) == 0).then_some(())
    });
    match wrong {
        Some(failure) => Err(failure),
        None => ensure(tally.missing_below(end) == 0, || tally.summary()),
    }
}

fn expect_post(request: &Request) -> Outcome {
    let right = request.method == "POST"
        && request.target == "/collect?from=edge"
        && request.header("x-site") == "north"
        && request.header("dd-api-key").is_empty();
    ensure(right, || {
        let Request {
            method,
            target,
            headers,
            ..
        } = request;
        format!("{method} {target} {headers:?}")
    })
}

/// Lines of events as they are on the event socket.
fn read_native(request: &Request) -> Result<Vec<Value>, Failure> {
    let kind = request.header("content-type");
    ensure(kind == "application/x-ndjson", || format!("it is {kind}"))?;
    let text = std::str::from_utf8(&request.body)?;
    text.lines()
        .map(|line| {
            let event: Value = serde_json::from_str(line)?;
            let whole = event["event_id"].is_string() && !rule_of(&event).is_empty();
            ensure(whole, || format!("no event: {line}"))?;
            Ok(event)
        })
        .collect()
}

/// One object with the members and types of Falco's `http_output`; as much of the event as a tally
/// needs leaves.
fn read_falco(request: &Request) -> Result<Vec<Value>, Failure> {
    let kind = request.header("content-type");
    ensure(kind == "application/json", || format!("it is {kind}"))?;
    let object: Value = serde_json::from_slice(&request.body)?;
    let text = |name: &str| object[name].as_str().unwrap_or_default();
    let named = ["rule", "output", "hostname", "source"]
        .iter()
        .all(|name| !text(name).is_empty());
    let fields = &object["output_fields"];
    let tags = object["tags"].as_array();
    let right = named
        && PRIORITIES.contains(&text("priority"))
        && is_time(text("time"))
        && fields.is_object()
        && tags.is_some_and(|tags| tags.iter().all(Value::is_string));
    ensure(right, || format!("Falco sends no {object}"))?;
    if text("rule") != RULE {
        return Ok(Vec::new());
    }
    let right = fields["evt.type"] == "open"
        && fields["evt.time"].is_u64()
        && fields["proc.pid"].is_u64()
        && fields["proc.name"].is_string()
        && text("source") == "syscall"
        && text("output").contains(RULE);
    ensure(right, || format!("no number: {object}"))?;
    Ok(vec![json!({ "file": { "path": fields["fd.name"] } })])
}

/// RFC 3339 with nanoseconds, in UTC.
fn is_time(text: &str) -> bool {
    let form = "0000-00-00T00:00:00.000000000Z";
    text.len() == form.len()
        && text.chars().zip(form.chars()).all(|pair| match pair {
            (found, '0') => found.is_ascii_digit(),
            (found, wanted) => found == wanted,
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_of_falco_has_nine_digits_of_a_second() {
        for (text, expected) in [
            ("2026-01-02T03:04:05.678000000Z", true),
            ("2026-01-02T03:04:05.678Z", false),
            ("2026-01-02T03:04:05.678000000+00:00", false),
            ("2026-01-02 03:04:05.678000000Z", false),
            ("", false),
        ] {
            assert_eq!(is_time(text), expected, "{text}");
        }
    }
}
