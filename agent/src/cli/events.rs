//! `events`: what the agent saw, read from the event socket.
//!
//! The latest events that system-probe keeps are printed, and with `--follow` those that come. On a
//! terminal an event is one coloured line for people, otherwise, or with `--json`, its JSON.

use std::fmt;
use std::io::{self, BufRead, BufReader, ErrorKind, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;

use serde_json::{json, Value};

use super::exit::Exit;
use super::flags::{FOLLOW, JSON_LINES, NO_COLOR, RULE};
use super::parse::Arguments;
use super::{print, settings};
use crate::forward::connection::{event_of, PROTOCOL};
use crate::forward::summary;
use crate::sys::terminal;

/// Why no events can be shown.
#[derive(Debug)]
enum Error {
    /// Nobody answers, or the connection broke.
    Socket(String, io::Error),
    /// system-probe refused, in its own words.
    Refused(String),
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Error::Socket(socket, error) if error.kind() == ErrorKind::PermissionDenied => write!(
                f,
                "the event socket {socket} cannot be read: {error}; run this as root or as a member of the group dd-agent"
            ),
            Error::Socket(socket, error) => write!(
                f,
                "the event socket {socket} cannot be read: {error}; start the agent (`security-agent run` or `system-probe run`)"
            ),
            Error::Refused(sentence) => write!(f, "system-probe refused: {sentence}"),
        }
    }
}

/// Prints events until there are no more, or with `--follow` until it is interrupted.
pub fn main(arguments: &Arguments) -> Exit {
    let settings = settings::of_client(arguments);
    let view = View {
        rule: arguments.value(&RULE).map(|rule| rule.to_string_lossy().into_owned()),
        json: arguments.has(&JSON_LINES) || !terminal::stdout_is_terminal(),
        colour: !arguments.has(&NO_COLOR) && std::env::var_os("NO_COLOR").is_none(),
    };
    match show(&settings.event_socket(), arguments.has(&FOLLOW), &view) {
        Ok(()) => Exit::Success,
        Err(error) => {
            print::error(&error);
            Exit::Failure
        }
    }
}

/// Which events are shown, and how.
struct View {
    rule: Option<String>,
    json: bool,
    colour: bool,
}

fn show(socket: &Path, follow: bool, view: &View) -> Result<(), Error> {
    let failed = |error| Error::Socket(socket.display().to_string(), error);
    let mut stream = UnixStream::connect(socket).map_err(failed)?;
    let request = json!({
        "subscribe": "events", "protocol": PROTOCOL, "recent": true, "follow": follow,
    });
    writeln!(stream, "{request}").map_err(failed)?;
    let mut lines = BufReader::new(stream).split(b'\n');
    let hello = lines.next().transpose().map_err(failed)?.unwrap_or_default();
    check_hello(&hello)?;
    let mut out = io::stdout().lock();
    for line in lines {
        let line = line.map_err(failed)?;
        let Some(event) = event_of(&line) else {
            continue;
        };
        if view.wants(event.rule_id) && !view.print(event.event, &mut out) {
            return Ok(());
        }
    }
    Ok(())
}

fn check_hello(line: &[u8]) -> Result<(), Error> {
    let hello: Value = serde_json::from_slice(line).unwrap_or_default();
    match hello.get("error").and_then(Value::as_str) {
        Some(sentence) => Err(Error::Refused(sentence.to_owned())),
        None if hello.get("hello").is_some() => Ok(()),
        None => Err(Error::Refused("it does not speak this protocol; use the programs of one release".to_owned())),
    }
}

impl View {
    fn wants(&self, rule: &str) -> bool {
        self.rule.as_deref().is_none_or(|wanted| wanted == rule)
    }

    /// Prints an event; false when nobody reads any more.
    fn print(&self, event: &[u8], out: &mut impl Write) -> bool {
        let line = match self.json {
            true => String::from_utf8_lossy(event).into_owned(),
            false => summary::coloured(event, self.colour),
        };
        line.is_empty() || (writeln!(out, "{line}").is_ok() && out.flush().is_ok())
    }
}
