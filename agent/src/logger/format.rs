//! How a message looks: a line of text or of JSON, and the header that syslog wants.
//!
//! Values enter, a line leaves, with its newline where a file wants one. A line is one line, of
//! bounded length, without anything that a terminal would obey.

use std::time::SystemTime;

use log::Level;

use crate::event::json::write_time;
use crate::sys::terminal::printable;

/// Bytes of a line; longer ones are cut. A pipe takes so many at once.
pub(super) const LONGEST_LINE: usize = 4096;
/// Facility of daemons in syslog.
const DAEMON: u8 = 3;
const MONTHS: [&str; 12] = [
    "Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec",
];
const CUT: char = '…';

/// A message as every sink gets it: scrubbed, not yet cut.
#[derive(Clone, Copy, Debug)]
pub(super) struct Message<'a> {
    pub(super) role: &'a str,
    pub(super) time: SystemTime,
    pub(super) level: Level,
    pub(super) text: &'a str,
}

/// The line of a file or a terminal.
pub(super) fn line(message: &Message<'_>, json: bool) -> String {
    match json {
        true => json_line(message),
        false => text_line(message),
    }
}

fn text_line(message: &Message<'_>) -> String {
    let mut line = rfc3339(message.time);
    let level = message.level.as_str();
    line.push_str(&format!(" {level:<5} {}: ", message.role));
    let room = LONGEST_LINE.saturating_sub(line.len() + 1);
    push_cut(&mut line, &printable(message.text), room, char::len_utf8);
    line.push('\n');
    line
}

/// One object with the names that the agent's own JSON logs have.
fn json_line(message: &Message<'_>) -> String {
    let mut line = format!(
        r#"{{"agent":"{}","time":"{}","level":"{}","msg":"#,
        message.role,
        rfc3339(message.time),
        message.level.as_str()
    );
    let room = LONGEST_LINE.saturating_sub(line.len() + "\"\"}\n".len());
    let mut text = String::new();
    push_cut(&mut text, &printable(message.text), room, |c| match c {
        '"' | '\\' => 2,
        c => c.len_utf8(),
    });
    line.push_str(&serde_json::to_string(&text).unwrap_or_else(|_| String::from("\"\"")));
    line.push_str("}\n");
    line
}

/// A datagram for syslog. By RFC 3164 the host is left out where the daemon knows it; as in other
/// programs of this C library the time is UTC.
pub(super) fn syslog(message: &Message<'_>, rfc5424: bool, host: Option<&str>) -> String {
    let priority = DAEMON * 8 + severity(message.level);
    let (role, pid, time) = (message.role, std::process::id(), rfc3339(message.time));
    let mut line = match (rfc5424, host) {
        (true, host) => {
            let host = host.unwrap_or("-");
            format!("<{priority}>1 {time} {host} {role} {pid} - - ")
        }
        (false, Some(host)) => format!("<{priority}>{} {host} {role}[{pid}]: ", stamp(&time)),
        (false, None) => format!("<{priority}>{} {role}[{pid}]: ", stamp(&time)),
    };
    let room = LONGEST_LINE.saturating_sub(line.len());
    push_cut(&mut line, &printable(message.text), room, char::len_utf8);
    line
}

fn severity(level: Level) -> u8 {
    match level {
        Level::Error => 3,
        Level::Warn => 4,
        Level::Info => 6,
        Level::Debug | Level::Trace => 7,
    }
}

/// `Mmm dd hh:mm:ss` of a time as RFC 3339 writes it, the day padded with a blank.
fn stamp(time: &str) -> String {
    let part = |range: std::ops::Range<usize>| time.get(range).unwrap_or_default();
    let month: usize = part(5..7).parse().unwrap_or(1);
    let day: u8 = part(8..10).parse().unwrap_or(1);
    let month = month.checked_sub(1).and_then(|index| MONTHS.get(index));
    format!("{} {day:>2} {}", month.unwrap_or(&"Jan"), part(11..19))
}

/// Appends what of `text` fits into `room` bytes, as `size` counts them, and a sign when something
/// did not.
fn push_cut(line: &mut String, text: &str, room: usize, size: impl Fn(char) -> usize) {
    let mut used = 0;
    let mut last_with_sign = 0;
    for (at, character) in text.char_indices() {
        if used + CUT.len_utf8() <= room {
            last_with_sign = at;
        }
        used += size(character);
        if used > room {
            line.push_str(text.get(..last_with_sign).unwrap_or_default());
            line.push(CUT);
            return;
        }
    }
    line.push_str(text);
}

/// The time as RFC 3339 in UTC.
fn rfc3339(time: SystemTime) -> String {
    let since = time
        .duration_since(SystemTime::UNIX_EPOCH)
        .unwrap_or_default();
    let mut text = String::with_capacity(128);
    write_time(&mut text, u64::try_from(since.as_nanos()).unwrap_or(0));
    text
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn message(text: &str) -> Message<'_> {
        Message {
            role: "role",
            time: SystemTime::UNIX_EPOCH + Duration::from_secs(5 * 86_400 + 3_723),
            level: Level::Info,
            text,
        }
    }

    #[test]
    fn a_line_is_one_line_of_bounded_length() {
        let long = format!("first\nsecond {}", "ß".repeat(5000));
        let text = line(&message(&long), false);
        assert_eq!(text.matches('\n').count(), 1);
        assert!(text.len() <= LONGEST_LINE && text.ends_with("…\n"));
        assert!(text.contains("INFO  role: first\\u{a}second"), "{text}");
    }

    #[test]
    fn lines_of_json_can_be_read_whatever_the_message() {
        let long = "\\\"ß\u{1b}".repeat(5000);
        for text in ["plain", "two\nlines \"quoted\" \u{202e}", &long] {
            let line = line(&message(text), true);
            assert!(line.len() <= LONGEST_LINE && line.ends_with("}\n"));
            let value: serde_json::Value = serde_json::from_str(&line).unwrap();
            assert_eq!(value["agent"], "role");
            assert_eq!(value["level"], "INFO");
            assert_eq!(value["time"], "1970-01-06T01:02:03.000Z");
            let read = value["msg"].as_str().unwrap();
            match read.strip_suffix(CUT) {
                Some(start) => assert!(printable(text).starts_with(start)),
                None => assert_eq!(read, printable(text)),
            }
        }
    }

    #[test]
    fn what_fits_exactly_is_not_cut() {
        for (text, expected) in [
            ("abcd", "abcd"),
            ("abcde", "a…"),
            ("ßß", "ßß"),
            ("aßß", "a…"),
        ] {
            let mut line = String::new();
            push_cut(&mut line, text, 4, char::len_utf8);
            assert_eq!(line, expected);
        }
    }

    #[test]
    fn syslog_has_the_header_of_either_rfc() {
        let pid = std::process::id();
        for (rfc5424, host, expected) in [
            (false, None, format!("<30>Jan  6 01:02:03 role[{pid}]: a")),
            (
                false,
                Some("h"),
                format!("<30>Jan  6 01:02:03 h role[{pid}]: a"),
            ),
            (
                true,
                Some("h"),
                format!("<30>1 1970-01-06T01:02:03.000Z h role {pid} - - a"),
            ),
            (
                true,
                None,
                format!("<30>1 1970-01-06T01:02:03.000Z - role {pid} - - a"),
            ),
        ] {
            assert_eq!(syslog(&message("a"), rfc5424, host), expected);
        }
    }
}
