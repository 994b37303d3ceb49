//! The latest events, from the event socket of system-probe.

use std::io::{self, ErrorKind};
use std::path::Path;
use std::time::{Duration, Instant};

use mio::{Events, Poll, Token};

use crate::forward::connection::{Connection, Incoming, Subscription};

/// Bytes of events at most; the later ones are kept.
const MOST: usize = 4 << 20;

/// The events that system-probe still has, a line of JSON each; what has come within `limit`.
pub(super) fn events(socket: &Path, limit: Duration) -> io::Result<Vec<u8>> {
    let deadline = Instant::now() + limit;
    let subscription = Subscription {
        recent: true,
        ends: true,
        ..Subscription::default()
    };
    let mut poll = Poll::new()?;
    let mut connection = Connection::open(socket, &subscription, poll.registry(), Token(0))?;
    let mut ready = Events::with_capacity(1);
    let mut lines = Vec::new();
    loop {
        match connection
            .next_message()
            .map_err(|error| io::Error::other(error.to_string()))?
        {
            Some(Incoming::End) => return Ok(lines),
            Some(Incoming::Event { event, .. }) => {
                make_room(&mut lines, event.len() + 1);
                lines.extend_from_slice(event);
                lines.push(b'\n');
            }
            Some(_) => {}
            None => {
                let left = deadline.saturating_duration_since(Instant::now());
                if left.is_zero() {
                    return match lines.is_empty() {
                        true => Err(ErrorKind::TimedOut.into()),
                        false => Ok(lines),
                    };
                }
                match poll.poll(&mut ready, Some(left)) {
                    Err(error) if error.kind() != ErrorKind::Interrupted => return Err(error),
                    _ => {}
                }
            }
        }
    }
}

/// Drops the oldest lines, so that this many bytes more are within the limit.
fn make_room(lines: &mut Vec<u8>, wanted: usize) {
    let excess = (lines.len() + wanted).saturating_sub(MOST);
    if excess == 0 {
        return;
    }
    // A quarter at once, so that not every event moves all of them.
    let at_least = excess.max(MOST / 4).min(lines.len());
    let rest = lines.get(at_least..).unwrap_or_default();
    let end = rest.iter().position(|byte| *byte == b'\n');
    lines.drain(..end.map_or(lines.len(), |end| at_least + end + 1));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_oldest_lines_make_room() {
        let line = vec![b'x'; 1023];
        let mut lines = Vec::new();
        for _ in 0..MOST / 1024 {
            lines.extend_from_slice(&line);
            lines.push(b'\n');
        }
        make_room(&mut lines, 0);
        assert_eq!(lines.len(), MOST);
        make_room(&mut lines, 1);
        assert!(lines.len() < MOST && lines.len() >= MOST / 2);
        assert_eq!(lines.len() % 1024, 0, "lines are whole");
        make_room(&mut lines, 2 * MOST);
        assert!(lines.is_empty());
    }
}
