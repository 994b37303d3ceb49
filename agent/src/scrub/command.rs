//! Flags of command lines whose value is a secret with certain programs only.
//!
//! A line and the place of a flag such as `-p` enter; the range of the secret leaves when the
//! program before the flag is one that takes a password there. Arguments are separated by blanks,
//! by NUL, or as items of a list in quotes.

use std::ops::Range;

use super::extent::{argument, word, Secret};
use super::MASK;

/// Bytes before a flag that its program may stand in; a limit keeps the search linear.
const LONGEST_COMMAND: usize = 512;

/// Where the secret stands.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Form {
    /// In the flag's own argument.
    Attached,
    /// In the argument behind.
    Next,
    /// Behind the colon of the argument behind, or of its own.
    BehindColon,
}

/// Flags, with the beginning of the name of the programs that they mean a secret for.
const FLAGS: &[(&str, &str, Form)] = &[
    ("-p", "mysql", Form::Attached),
    ("-p", "mariadb", Form::Attached),
    ("-p", "sshpass", Form::Attached),
    ("-p", "sshpass", Form::Next),
    ("-a", "redis-cli", Form::Next),
    ("-u", "curl", Form::BehindColon),
    ("-U", "curl", Form::BehindColon),
    ("--user", "curl", Form::BehindColon),
    ("--proxy-user", "curl", Form::BehindColon),
];

/// An argument of a program without the secret that it is there; `before` is the argument before
/// it. `None` when it is none.
pub fn masked(program: &str, before: &str, argument: &str) -> Option<String> {
    let program = program.rsplit('/').next().unwrap_or("");
    let mut known = FLAGS
        .iter()
        .filter(|(_, name, _)| program.starts_with(name));
    known.find_map(|(flag, _, form)| {
        let is_behind = before == *flag;
        let own = argument.strip_prefix(flag);
        let own = own.filter(|own| own.starts_with('=') || !flag.starts_with("--"));
        match form {
            Form::Attached => own
                .filter(|own| !own.is_empty())
                .map(|_| format!("{flag}{MASK}")),
            Form::Next if is_behind && !argument.starts_with('-') => Some(MASK.to_owned()),
            Form::Next => None,
            Form::BehindColon => {
                let (start, credentials) = match is_behind {
                    true => ("", argument),
                    false => (*flag, own?),
                };
                let (user, password) = credentials.split_once(':')?;
                (!password.is_empty()).then(|| format!("{start}{user}:{MASK}"))
            }
        }
    })
}

/// Whether an argument names a program of which flags are known.
pub fn is_program(argument: &str) -> bool {
    let program = argument.rsplit('/').next().unwrap_or("");
    let is_name = !argument.contains(char::is_whitespace);
    is_name && FLAGS.iter().any(|(_, name, _)| program.starts_with(name))
}

/// An argument that is a command line itself without the secrets in it. `None` when it has none.
pub fn masked_line(line: &str) -> Option<String> {
    let mut masked = String::new();
    let mut done = 0;
    for (at, _) in line.match_indices('-').filter(|_| line.contains(' ')) {
        let rest = line.get(at..)?;
        let mut flags = FLAGS.iter().filter(|_| at >= done);
        let flag = flags.find(|(flag, ..)| rest.starts_with(flag));
        let Some(secret) = flag.and_then(|(flag, ..)| secret(line, at..at + flag.len())) else {
            continue;
        };
        masked.push_str(line.get(done..secret.range.start)?);
        masked.push_str(MASK);
        done = secret.range.end;
    }
    masked.push_str(line.get(done..)?);
    (done > 0).then_some(masked)
}

/// The secret that belongs to the flag at this place.
pub(super) fn secret(line: &str, flag: Range<usize>) -> Option<Secret<'_>> {
    let (name, before) = (line.get(flag.clone())?, line.get(..flag.start)?);
    if !before.ends_with([' ', '\t', '\0', '"', '\'']) {
        return None;
    }
    // Arguments as the kernel lists them.
    let is_item = before.ends_with('\0');
    let behind = line.get(flag.end..)?;
    let next = behind.trim_start_matches(['\\', '"', '\'', ',', ' ', '\t', '\0', '=']);
    let of_name = FLAGS.iter().filter(|(known, ..)| *known == name);
    let mut of_program = of_name.filter(|(_, program, _)| runs(before, program));
    of_program.find_map(|(.., form)| {
        let is_attached = next.len() == behind.len();
        if is_attached && name.starts_with("--") {
            // A longer flag.
            return None;
        }
        let start = line.len() - next.len();
        let quote = line.get(..start)?.chars().next_back();
        let quote = quote.filter(|quote| matches!(quote, '"' | '\''));
        let whole = match quote {
            Some(quote) => next.split(quote).next()?.trim_end_matches('\\'),
            None if is_item => next.split('\0').next()?,
            None => next.get(..word(next))?,
        };
        match form {
            Form::Attached if is_attached => argument(behind, flag.end, is_item),
            Form::Next if !is_attached && !next.starts_with('-') => {
                Secret::plain(start, whole.len())
            }
            Form::BehindColon => {
                let colon = whole.find(':')? + 1;
                Secret::plain(start + colon, whole.len() - colon)
            }
            _ => None,
        }
    })
}

/// Whether the command that a line ends in runs a program with a name that begins so.
fn runs(before: &str, program: &str) -> bool {
    let start = before.len().saturating_sub(LONGEST_COMMAND);
    let start = (start..=before.len()).find(|at| before.is_char_boundary(*at));
    let near = start.and_then(|start| before.get(start..)).unwrap_or("");
    let command = near.rsplit(['\n', '|', ';', '&']).next().unwrap_or("");
    let mut words = command.split([' ', '\t', '\0', '"', '\'', ',', '[', '(', '=']);
    words.any(|word| {
        let name = word.rsplit('/').next().unwrap_or("");
        name.starts_with(program)
    })
}
