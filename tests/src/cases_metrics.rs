//! Metrics for Prometheus: what a scrape gets, over both ways, whoever else scrapes and whoever
//! has died.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::time::Duration;

use nix::sys::signal::{kill, Signal};
use nix::unistd::Pid;

use crate::delivery::{self, expect_below, pour};
use crate::harness::{Agent, Launch};
use crate::http_server::HttpServer;
use crate::numbers::Numbers;
use crate::report::{ensure, Failure, Outcome, Report};
use crate::scratch::{self, patience, wait_for, wait_until_right};

/// Section of the keys about metrics, as in the environment.
const METRICS: &str = "DD_RUNTIME_SECURITY_CONFIG_METRICS_";
/// What the name of every metric begins with.
const PREFIX: &str = "runtime_security_";
const FEW: usize = 50;
/// Seconds for one scrape, more than the agent allows for it.
const SCRAPE_SECONDS: u64 = 10;
/// Seconds for a killed role to be back.
const BACK_SECONDS: u64 = 30;
/// As many scrapes as are served at one time.
const SLOW: usize = 8;

/// Runs the tests of this file.
pub(crate) fn run(report: &mut Report) {
    report.case_of_user_space("metrics_socket", || growing(Way::unix()?));
    report.case_of_user_space("metrics_port", || growing(Way::tcp()?));
    report.case_of_user_space("metrics_probe_killed", probe_killed);
    report.case_of_user_space("metrics_slow_reader", slow_reader);
}

/// How metrics are read.
enum Way {
    Unix(PathBuf),
    Tcp(u16),
}

/// A connection for one scrape.
trait Stream: Read + Write {}

impl<S: Read + Write> Stream for S {}

impl Way {
    fn unix() -> Result<Way, Failure> {
        let directory = scratch::directory("metrics")?;
        scratch::set_mode(&directory, 0o750)?;
        Ok(Way::Unix(directory.join("metrics.sock")))
    }

    /// A port that nobody had a moment ago.
    fn tcp() -> Result<Way, Failure> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
        Ok(Way::Tcp(listener.local_addr()?.port()))
    }

    fn configure(&self, launch: Launch) -> Launch {
        match self {
            Way::Unix(path) => launch.env(&format!("{METRICS}SOCKET"), &path.to_string_lossy()),
            Way::Tcp(port) => launch.env(&format!("{METRICS}PORT"), &port.to_string()),
        }
    }

    fn connect(&self) -> Result<Box<dyn Stream>, Failure> {
        let limit: Option<Duration> = Some(patience(SCRAPE_SECONDS));
        Ok(match self {
            Way::Unix(path) => {
                let stream = UnixStream::connect(path)?;
                stream.set_read_timeout(limit)?;
                Box::new(stream)
            }
            Way::Tcp(port) => {
                let stream = TcpStream::connect((Ipv4Addr::LOCALHOST, *port))?;
                stream.set_read_timeout(limit)?;
                Box::new(stream)
            }
        })
    }

    /// Asks as Prometheus does, and waits for the end of the answer.
    fn scrape(&self) -> Result<Vec<Sample>, Failure> {
        let mut stream = self.connect()?;
        stream.write_all(b"GET /metrics HTTP/1.1\r\nHost: localhost\r\nAccept: */*\r\n\r\n")?;
        let mut answer = String::new();
        stream
            .read_to_string(&mut answer)
            .map_err(|error| format!("no whole answer ({error}): {answer}"))?;
        let (head, body) = answer
            .split_once("\r\n\r\n")
            .ok_or_else(|| format!("no HTTP: {answer}"))?;
        let length = format!("content-length: {}", body.len());
        let head = head.to_lowercase();
        ensure(
            head.starts_with("http/1.1 200 ")
                && head.contains("content-type: text/plain; version=0.0.4")
                && head.contains(&length),
            || format!("the head of {} bytes is {head}", body.len()),
        )?;
        let samples = body.lines().map(|line| {
            sample(line).map_err(|()| Failure::Failed(format!("a line is no metric: {line}")))
        });
        let samples: Result<Vec<Option<Sample>>, Failure> = samples.collect();
        Ok(samples?.into_iter().flatten().collect())
    }
}

/// One number.
#[derive(Debug, PartialEq)]
struct Sample {
    name: String,
    /// As it is written between the braces.
    labels: String,
    value: f64,
}

/// Reads a line; `None` for a comment.
fn sample(line: &str) -> Result<Option<Sample>, ()> {
    if let Some(comment) = line.strip_prefix("# ") {
        let mut words = comment.splitn(3, ' ');
        let (kind, name, rest) = (words.next(), words.next(), words.next());
        let known = match kind {
            Some("HELP") => rest.is_some_and(|rest| !rest.is_empty()),
            Some("TYPE") => matches!(rest, Some("counter" | "gauge")),
            _ => false,
        };
        return match known && name.is_some_and(is_name) {
            true => Ok(None),
            false => Err(()),
        };
    }
    let (series, value) = line.rsplit_once(' ').ok_or(())?;
    let (name, labels) = match series.split_once('{') {
        Some((name, rest)) => (name, rest.strip_suffix('}').ok_or(())?),
        None => (series, ""),
    };
    let value = value.parse().map_err(|_| ())?;
    if !is_name(name) || !are_labels(labels) {
        return Err(());
    }
    let (name, labels) = (name.to_owned(), labels.to_owned());
    Ok(Some(Sample {
        name,
        labels,
        value,
    }))
}

fn is_name(text: &str) -> bool {
    text.starts_with(PREFIX)
        && text
            .chars()
            .all(|c| c.is_ascii_alphanumeric() || c == '_' || c == ':')
}

/// None, or one name with a value in quotation marks.
fn are_labels(text: &str) -> bool {
    let value = text.split_once("=\"").and_then(|(name, rest)| {
        let known = !name.is_empty() && name.chars().all(|c| c.is_ascii_lowercase() || c == '_');
        known.then_some(rest)?.strip_suffix('"')
    });
    text.is_empty() || value.is_some_and(|value| !value.contains('"'))
}

/// The value of a metric without labels, or with these.
fn value(samples: &[Sample], name: &str, labels: &str) -> Result<f64, Failure> {
    let name = format!("{PREFIX}{name}");
    let mut found = samples
        .iter()
        .filter(|sample| sample.name == name && sample.labels == labels);
    match (found.next(), found.next()) {
        (Some(sample), None) => Ok(sample.value),
        (None, _) => Err(Failure::Failed(format!("no {name} of `{labels}`"))),
        _ => Err(Failure::Failed(format!("{name} of `{labels}` came twice"))),
    }
}

fn start(way: &Way, numbers: &Numbers) -> Result<Agent, Failure> {
    let launch = Launch::new("metrics")?.policy("numbers.policy", numbers.policy())?;
    way.configure(launch).start()
}

/// The first numbers that say that system-probe answers, too.
fn scrape_up(way: &Way) -> Result<Vec<Sample>, Failure> {
    let mut found = Vec::new();
    wait_until_right(patience(SCRAPE_SECONDS), || {
        found = way.scrape()?;
        ensure(value(&found, "up", "")? == 1.0, || format!("{found:?}"))
    })?;
    Ok(found)
}

/// The numbers parse, and they grow with what happens.
fn growing(way: Way) -> Outcome {
    let numbers = Numbers::new()?;
    let agent = start(&way, &numbers)?;
    let before = scrape_up(&way)?;
    println!("figure: a scrape has {} numbers", before.len());
    pour(&agent, &numbers, 0..FEW)?;
    let after = way.scrape()?;
    let opens = "type=\"open\"";
    for (name, labels) in [
        ("events_emitted_total", opens),
        ("events_delivered_total", opens),
        ("received_events_total", ""),
        ("rule_matches_reported_total", ""),
    ] {
        let (old, new) = (value(&before, name, labels)?, value(&after, name, labels)?);
        ensure(new >= old + FEW as f64, || {
            format!("{name} went from {old} to {new} with {FEW} events")
        })?;
    }
    for name in ["resident_bytes", "agent_resident_bytes", "buffer_bytes"] {
        let bytes = value(&after, name, "")?;
        ensure(bytes > 0.0, || format!("{name} is {bytes}"))?;
    }
    Ok(())
}

/// Every scrape is answered while system-probe is killed and comes back.
fn probe_killed() -> Outcome {
    let way = Way::unix()?;
    let numbers = Numbers::new()?;
    let agent = start(&way, &numbers)?;
    let (before, _) = wait_for(patience(5), || agent.roles()).ok_or("the roles say no pids")?;
    kill(Pid::from_raw(before), Signal::SIGKILL)?;
    let (mut scrapes, mut down) = (0, 0);
    let mut wrong = None;
    let back = wait_for(patience(BACK_SECONDS), || {
        let up = way.scrape().and_then(|all| value(&all, "up", ""));
        scrapes += 1;
        match up {
            Ok(0.0) => down += 1,
            Ok(1.0) => {
                let (now, _) = agent.roles()?;
                return (now != before).then_some(());
            }
            Ok(other) => wrong = Some(Failure::Failed(format!("up is {other}"))),
            Err(failure) => wrong = Some(failure),
        }
        wrong.is_some().then_some(())
    });
    if let Some(failure) = wrong {
        return Err(failure.at("while system-probe was away"));
    }
    println!("figure: {down} of {scrapes} scrapes were told that system-probe is down");
    ensure(back.is_some(), || {
        format!("system-probe is not back; log: {}", agent.log())
    })
}

/// Who connects and never finishes its request stops neither deliveries nor, for long, others.
fn slow_reader() -> Outcome {
    let way = Way::tcp()?;
    let mut server = HttpServer::start()?;
    let numbers = Numbers::new()?;
    let mut tally = numbers.tally(FEW);
    let launch = delivery::launch("metrics", &numbers, &server.url())?;
    let agent = way.configure(launch).start()?;
    let mut slow = Vec::new();
    for _ in 0..SLOW {
        let mut stream = way.connect()?;
        stream.write_all(b"GET /metrics HTTP/1.1\r\nHo")?;
        slow.push(stream);
    }
    // One that asks and does not read.
    let mut deaf = way.connect()?;
    deaf.write_all(b"GET /metrics HTTP/1.1\r\n\r\n")?;
    pour(&agent, &numbers, 0..FEW)?;
    expect_below(FEW, &mut tally, &mut server, patience(SCRAPE_SECONDS))?;
    let samples = scrape_up(&way).map_err(|failure| failure.at("behind slow ones"))?;
    ensure(!samples.is_empty(), || "there are no numbers".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_numbers_or_comments_or_wrong() {
        let of = |name: &str, labels: &str, value: f64| {
            let (name, labels) = (format!("{PREFIX}{name}"), labels.to_owned());
            Ok(Some(Sample {
                name,
                labels,
                value,
            }))
        };
        for (line, expected) in [
            ("runtime_security_up 1", of("up", "", 1.0)),
            (
                "runtime_security_e_total{type=\"open\"} 25",
                of("e_total", "type=\"open\"", 25.0),
            ),
            ("# HELP runtime_security_up Whether.", Ok(None)),
            ("# TYPE runtime_security_up gauge", Ok(None)),
            ("# TYPE runtime_security_up number", Err(())),
            ("# up", Err(())),
            ("runtime_security_up", Err(())),
            ("runtime_security_up one", Err(())),
            ("other_up 1", Err(())),
            ("runtime_security_up{type=\"open\" 1", Err(())),
            ("runtime_security_up{type=open} 1", Err(())),
            ("", Err(())),
        ] {
            assert_eq!(sample(line), expected, "{line}");
        }
    }
}
