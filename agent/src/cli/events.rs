//! `events`: what the agent saw, read from the event socket.
//!
//! The latest events that system-probe keeps are printed, and with `--follow` those that come. On a
//! terminal an event is one coloured line for people, otherwise, or with `--json`, its JSON.

use std::fmt;
use std::io::{self, ErrorKind, Write};
use std::path::Path;

use mio::{Events, Poll, Token};

use super::exit::Exit;
use super::flags::{FOLLOW, JSON_LINES, NO_COLOR, RULE};
use super::parse::Arguments;
use super::{print, settings};
use crate::forward::connection::{self, Connection, Incoming, Subscription};
use crate::forward::summary;
use crate::sys::terminal;

/// Why no events can be shown.
#[derive(Debug)]
enum Error {
    /// Nobody answers.
    Socket(String, io::Error),
    /// The subscription ended.
    Connection(connection::Error),
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Error::Socket(socket, error) => {
                let advice = match error.kind() {
                    ErrorKind::PermissionDenied => {
                        "run this as root or as a member of the group dd-agent"
                    }
                    _ => "start the agent (`security-agent run` or `system-probe run`)",
                };
                write!(
                    f,
                    "the event socket {socket} cannot be read: {error}; {advice}"
                )
            }
            Error::Connection(error) => write!(f, "{error}"),
        }
    }
}

/// Prints events until there are no more, or with `--follow` until it is interrupted.
pub fn main(arguments: &Arguments) -> Exit {
    let settings = settings::of_client(arguments);
    let view = View {
        rule: arguments
            .value(&RULE)
            .map(|rule| rule.to_string_lossy().into_owned()),
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
    let subscription = Subscription {
        recent: true,
        ends: !follow,
        ..Subscription::default()
    };
    let mut poll = Poll::new().map_err(failed)?;
    let mut connection =
        Connection::open(socket, &subscription, poll.registry(), Token(0)).map_err(failed)?;
    let mut ready = Events::with_capacity(1);
    let mut out = io::stdout().lock();
    loop {
        match connection.next_message().map_err(Error::Connection)? {
            Some(Incoming::Hello { .. }) => {}
            Some(Incoming::End) => return Ok(()),
            Some(Incoming::Event { event, rule_id, .. }) => {
                if view.wants(rule_id) && !view.print(event, &mut out) {
                    return Ok(());
                }
            }
            None => match poll.poll(&mut ready, None) {
                Err(error) if error.kind() != ErrorKind::Interrupted => return Err(failed(error)),
                _ => {}
            },
        }
    }
}

impl View {
    /// What this reader has missed is told whatever it asked for.
    fn wants(&self, rule: &str) -> bool {
        let wanted = self.rule.as_deref();
        wanted.is_none_or(|wanted| wanted == rule || rule == "lost_events")
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
