//! Paths through /proc that mean something else to everyone who looks.
//!
//! `/proc/self` is the caller's to the caller and ours to us, and its handles (`fd/3`, `cwd`,
//! `root`, `exe`) are not followed by a walk that stays in a root. A path as the caller means it
//! enters, the same handle as we see it leaves.

use std::path::PathBuf;

use crate::sys::files::read_limited;
use crate::sys::host;

/// More than any `/proc/<pid>/status` has.
const MAX_STATUS: usize = 16 * 1024;

/// The handle in /proc that a path of process `pid` goes through, as we see it, and the rest of
/// the path: `/proc/self/fd/3/x`, `/dev/fd/3`, `/dev/stdin`, `/proc/1/root/x`.
pub(super) fn handle(path: &[u8], pid: u32) -> Option<(PathBuf, Vec<u8>)> {
    let names: Vec<&[u8]> = path
        .split(|byte| *byte == b'/')
        .filter(|name| !name.is_empty() && *name != b".")
        .collect();
    let (owner, link, used) = match names.as_slice() {
        [b"dev", b"stdin", ..] => (pid, "fd/0".to_owned(), 2),
        [b"dev", b"stdout", ..] => (pid, "fd/1".to_owned(), 2),
        [b"dev", b"stderr", ..] => (pid, "fd/2".to_owned(), 2),
        [b"dev", b"fd", number, ..] => (pid, descriptor(number)?, 3),
        [b"proc", owner, b"task", _, rest @ ..] => {
            let (link, used) = link(rest)?;
            (owner_pid(owner, pid)?, link, used + 4)
        }
        [b"proc", owner, rest @ ..] => {
            let (link, used) = link(rest)?;
            (owner_pid(owner, pid)?, link, used + 2)
        }
        _ => return None,
    };
    let mut rest = names.get(used..)?.join(&b'/');
    if !rest.is_empty() && path.ends_with(b"/") {
        rest.push(b'/');
    }
    Some((host::process(owner, &link), rest))
}

/// A handle below a process's directory, and how many components it has.
fn link(names: &[&[u8]]) -> Option<(String, usize)> {
    match names {
        [b"fd", number, ..] => Some((descriptor(number)?, 2)),
        [b"cwd", ..] => Some(("cwd".to_owned(), 1)),
        [b"root", ..] => Some(("root".to_owned(), 1)),
        [b"exe", ..] => Some(("exe".to_owned(), 1)),
        _ => None,
    }
}

fn number(name: &[u8]) -> Option<u32> {
    let digits = name.iter().all(u8::is_ascii_digit);
    let text = std::str::from_utf8(name).ok().filter(|_| digits)?;
    text.parse().ok()
}

fn descriptor(name: &[u8]) -> Option<String> {
    number(name).map(|number| format!("fd/{number}"))
}

/// Who the second component of a path in /proc is, by our numbers.
fn owner_pid(name: &[u8], caller: u32) -> Option<u32> {
    if matches!(name, b"self" | b"thread-self") {
        return Some(caller);
    }
    let number = number(name)?;
    match namespace_pids(caller)?.as_slice() {
        [_] => Some(number),
        [.., innermost] if *innermost == number => Some(caller),
        _ => None,
    }
}

/// The numbers of a process in our pid namespace and in those below, down to its own.
fn namespace_pids(pid: u32) -> Option<Vec<u32>> {
    let bytes = read_limited(&host::process(pid, "status"), MAX_STATUS).ok()?;
    let text = String::from_utf8_lossy(&bytes);
    let line = text.lines().find_map(|line| line.strip_prefix("NSpid:"))?;
    line.split_whitespace()
        .map(|number| number.parse().ok())
        .collect()
}

/// Puts the caller's number where a walk of ours through `/proc/self` has left our own; whether
/// it did, in which case the file that was found is not the one that was meant.
pub(super) fn correct_self(path: &mut Vec<u8>, caller: u32) -> bool {
    let own = host::own_number();
    let prefix = format!("/proc/{own}");
    let rest = match path.strip_prefix(prefix.as_bytes()) {
        Some(rest) if caller != own && (rest.is_empty() || rest.starts_with(b"/")) => rest,
        _ => return false,
    };
    *path = [format!("/proc/{caller}").as_bytes(), rest].concat();
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn handles_are_recognised() {
        let own = std::process::id();
        for (path, expected) in [
            ("/proc/self/fd/3", Some(("fd/3", ""))),
            ("/proc/self/fd/3/a/b/", Some(("fd/3", "a/b/"))),
            ("//proc/./thread-self/cwd/x", Some(("cwd", "x"))),
            ("/proc/self/task/7/root/etc", Some(("root", "etc"))),
            ("/dev/fd/0", Some(("fd/0", ""))),
            ("/dev/stdin", Some(("fd/0", ""))),
            (&format!("/proc/{own}/exe"), Some(("exe", ""))),
            ("/proc/self/status", None),
            ("/proc/self/fd", None),
            ("/proc/self/fd/..", None),
            ("/proc/99999999999/root", None),
            ("/etc/passwd", None),
        ] {
            let expected = expected.map(|(link, rest): (&str, &str)| {
                (
                    PathBuf::from(format!("/proc/{own}/{link}")),
                    rest.as_bytes().to_vec(),
                )
            });
            assert_eq!(handle(path.as_bytes(), own), expected, "{path}");
        }
    }

    #[test]
    fn our_own_number_is_replaced() {
        let own = std::process::id();
        let mut path = format!("/proc/{own}/mounts").into_bytes();
        assert!(correct_self(&mut path, 1));
        assert_eq!(path, b"/proc/1/mounts");
        let mut path = format!("/proc/{own}0/mounts").into_bytes();
        assert!(!correct_self(&mut path, 1));
    }
}
