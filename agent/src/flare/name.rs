//! What an archive and the folder in it are called.

use crate::event::json::write_time;
use crate::sys::terminal;

/// Characters of a host name at most (hostname(7) has 64 for each label, 253 in all).
const LONGEST_HOST: usize = 253;
/// What stands for a host whose name is not known.
const UNKNOWN: &str = "unknown";

/// Characters of a time down to the second, as in RFC 3339.
const SECONDS: usize = "2026-01-31T10:20:30".len();

/// The name of an archive that is made at this time, in seconds since 1970:
/// `datadog-agent-2026-01-31T10-20-30Z-info`, without what says how it is packed.
pub(super) fn of_archive(unix_seconds: u64, log_level: &str) -> String {
    let mut time = String::new();
    write_time(&mut time, unix_seconds.saturating_mul(1_000_000_000));
    time.truncate(SECONDS);
    let mut name = format!("datadog-agent-{}Z", time.replace(':', "-"));
    let level = log_level.chars().filter(char::is_ascii_alphanumeric);
    let level: String = level.collect();
    if !level.is_empty() {
        name.push('-');
        name.push_str(&level);
    }
    name
}

/// The name of the folder: the host's, with nothing in it that means something to a file system,
/// a shell or a terminal.
pub(super) fn of_host(hostname: &str) -> String {
    let keep = |c: char| match c {
        'a'..='z' | 'A'..='Z' | '0'..='9' | '-' | '.' | '_' => c,
        _ => '_',
    };
    let clean: String = hostname.chars().take(LONGEST_HOST).map(keep).collect();
    match clean.trim_matches(['.', '_', '-']).is_empty() {
        true => UNKNOWN.to_owned(),
        false => clean.trim_start_matches(['.', '-']).to_owned(),
    }
}

/// The path of a file in the archive, from parts that may be anything: relative, without `..`, and
/// with nothing that a terminal would obey.
pub(super) fn of_entry(path: &str) -> String {
    let parts = path
        .split('/')
        .filter(|part| !matches!(*part, "" | "." | ".."));
    let joined = parts.collect::<Vec<_>>().join("/");
    let clean = |c: char| match terminal::is_command(c) || c == '\\' {
        true => '_',
        false => c,
    };
    joined.chars().map(clean).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn archives_are_named_after_time_and_level() {
        let cases = [
            (
                1_769_854_830,
                "info",
                "datadog-agent-2026-01-31T10-20-30Z-info",
            ),
            (0, "", "datadog-agent-1970-01-01T00-00-00Z"),
            (0, "../x", "datadog-agent-1970-01-01T00-00-00Z-x"),
        ];
        for (seconds, level, expected) in cases {
            assert_eq!(of_archive(seconds, level), expected);
        }
    }

    #[test]
    fn hosts_become_names_of_folders() {
        let cases = [
            ("web-1.example.com", "web-1.example.com"),
            ("../../etc", "_.._etc"),
            ("", "unknown"),
            ("..", "unknown"),
            ("a b\nc", "a_b_c"),
            ("-rf", "rf"),
        ];
        for (host, expected) in cases {
            assert_eq!(of_host(host), expected, "{host}");
        }
        assert!(of_host(&"x".repeat(1_000)).len() <= LONGEST_HOST);
    }

    #[test]
    fn entries_stay_below_their_folder() {
        let cases = [
            ("logs/a.log", "logs/a.log"),
            ("logs/../../etc/passwd", "logs/etc/passwd"),
            ("/etc//./x", "etc/x"),
            ("logs/a\nb\u{1b}[2J.log", "logs/a_b_[2J.log"),
        ];
        for (path, expected) in cases {
            assert_eq!(of_entry(path), expected, "{path}");
        }
    }
}
