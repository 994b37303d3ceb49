//! Hands a session to the probes, then becomes the user's command.
//!
//! Arguments enter as the operating system gives them and leave as the command's, byte for byte;
//! environment, descriptors, signals and all else that a process hands on are not touched. Whatever
//! fails on the way there costs the session, never the command.

use std::ffi::{CString, OsStr, OsString};
use std::fmt;
use std::io;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::time::{SystemTime, UNIX_EPOCH};

use nix::errno::Errno;
use nix::unistd::{execv, execvp};

use crate::event::session::{messages, SessionKind, UserInfo, COMMAND};
use crate::sys::handover;

/// Exit code of a command that is not there, as shells have it.
pub const NOT_FOUND: u8 = 127;
/// Exit code of a command that cannot be run.
pub const NOT_EXECUTABLE: u8 = 126;

/// What the command line says.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Request {
    session_type: OsString,
    data: OsString,
    command: Vec<OsString>,
    unknown: Option<OsString>,
    /// Help is asked for.
    pub wants_help: bool,
}

/// Why the session or the command could not be had.
#[derive(Debug)]
pub enum Error {
    /// A flag is not known.
    UnknownFlag(OsString),
    /// The type of the session is not known.
    UnknownType(OsString),
    /// The data is not what it should be.
    Data(serde_json::Error),
    /// The data is too long, whatever is left out of it.
    TooLong,
    /// The kernel did not take it.
    HandOver(io::Error),
    /// There is no command.
    NoCommand,
    /// The command does not run.
    Command(OsString, Errno),
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Error::UnknownFlag(flag) => write!(
                f,
                "{} is no flag of inject, whose command begins after `--`",
                flag.display()
            ),
            Error::UnknownType(name) => write!(
                f,
                "the session type `{}` is neither k8s nor ssh",
                name.display()
            ),
            Error::Data(error) => write!(f, "the data is no user in JSON: {error}"),
            Error::TooLong => f.write_str("the user does not fit into 1,024 bytes"),
            Error::HandOver(error) => write!(f, "the kernel did not take the session: {error}"),
            Error::NoCommand => f.write_str(
                "there is no command after `--`; if sessions are disturbed, set \
                 admission_controller.cws_instrumentation.enabled to false",
            ),
            Error::Command(name, error) => {
                write!(f, "{} does not run: {}", name.display(), error.desc())
            }
        }
    }
}

impl std::error::Error for Error {}

impl Error {
    /// What the helper ends with, when this was the reason.
    pub fn code(&self) -> u8 {
        match self {
            Error::Command(_, Errno::ENOENT) => NOT_FOUND,
            Error::Command(..) => NOT_EXECUTABLE,
            _ => 1,
        }
    }
}

impl Request {
    /// Reads the arguments after the word `inject`. There is no mistake that keeps the command from
    /// being found: it begins after `--`, or with the first word that is no flag.
    pub fn parse(arguments: &[OsString]) -> Request {
        let mut request = Request::default();
        let mut rest = arguments;
        while let Some((argument, after)) = rest.split_first() {
            rest = after;
            let bytes = argument.as_bytes();
            let (name, value) = match bytes.iter().position(|byte| *byte == b'=') {
                Some(end) if bytes.starts_with(b"--") => bytes.split_at(end),
                _ => (bytes, &b""[..]),
            };
            match name {
                b"--" => {
                    request.command = after.to_vec();
                    break;
                }
                b"--session-type" => request.session_type = take(value, &mut rest),
                b"--data" => request.data = take(value, &mut rest),
                b"-h" | b"--help" => request.wants_help = true,
                [b'-', ..] => request.unknown = Some(argument.clone()),
                // It may be the value of the flag that is not known.
                _ if request.unknown.is_some() && after.iter().any(|word| word == "--") => {}
                _ => {
                    request.command = [std::slice::from_ref(argument), after].concat();
                    break;
                }
            }
        }
        request
    }

    /// Whether there is a command to run.
    pub fn has_command(&self) -> bool {
        !self.command.is_empty()
    }

    /// Tells the probes whose session this is.
    ///
    /// # Errors
    /// When the session is not described as it should be; nobody is told of it then.
    pub fn hand_over(&self) -> Result<(), Error> {
        if let Some(flag) = &self.unknown {
            return Err(Error::UnknownFlag(flag.clone()));
        }
        let kind = self.session_type.to_str().and_then(SessionKind::from_name);
        let kind = kind.ok_or_else(|| Error::UnknownType(self.session_type.clone()))?;
        let user: UserInfo = serde_json::from_slice(self.data.as_bytes()).map_err(Error::Data)?;
        let data = user.to_data().ok_or(Error::TooLong)?;
        let id = session_id().map_err(Error::HandOver)?;
        handover::send(COMMAND, messages(id, kind, data.as_bytes())).map_err(Error::HandOver)
    }

    /// Becomes the command; returns only why it did not.
    pub fn execute(&self) -> Error {
        let Some(name) = self.command.first() else {
            return Error::NoCommand;
        };
        let failed = |error| Error::Command(name.clone(), error);
        // Arguments of a process hold no zero byte.
        let words = self.command.iter().cloned().map(OsString::into_vec);
        let words: Result<Vec<CString>, _> = words.map(CString::new).collect();
        let Ok(words) = words else {
            return failed(Errno::EINVAL);
        };
        let Some(program) = words.first() else {
            return Error::NoCommand;
        };
        let Err(error) = execvp(program, &words);
        // What is not on PATH may be in the working directory.
        if !name.as_bytes().contains(&b'/') {
            let Err(_) = execv(program, &words);
        }
        failed(error)
    }
}

/// The value of a flag: what follows its `=`, else the next argument.
fn take(value: &[u8], rest: &mut &[OsString]) -> OsString {
    if let Some((_, value)) = value.split_first() {
        return OsStr::from_bytes(value).to_owned();
    }
    let Some((next, after)) = rest.split_first() else {
        return OsString::new();
    };
    *rest = after;
    next.clone()
}

/// A random number above, seconds since the epoch below; never 0.
fn session_id() -> io::Result<u64> {
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    let seconds = now.map_or(0, |now| now.as_secs()) & u64::from(u32::MAX);
    let random = handover::random()?;
    Ok((u64::from(random) << 32 | seconds).max(1))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(words: &[&str]) -> Request {
        let words: Vec<OsString> = words.iter().map(OsString::from).collect();
        Request::parse(&words)
    }

    /// Type, data and command.
    type Expected<'a> = (&'a str, &'a str, &'a [&'a str]);

    #[test]
    fn the_command_is_found_whatever_stands_before_it() {
        let cases: &[(&[&str], Expected<'_>)] = &[
            (
                &[
                    "--session-type",
                    "k8s",
                    "--data",
                    "{}",
                    "--",
                    "sh",
                    "-it",
                    "--data",
                    "x",
                ],
                ("k8s", "{}", &["sh", "-it", "--data", "x"]),
            ),
            (
                &[
                    "--session-type=ssh",
                    "--data={\"a\":\"=\"}",
                    "--",
                    "a=b",
                    "--",
                ],
                ("ssh", "{\"a\":\"=\"}", &["a=b", "--"]),
            ),
            (&["--data=", "--", ""], ("", "", &[""])),
            (&["--data", "--", "sh", "-h"], ("", "--", &["sh", "-h"])),
            (&["sh", "--", "x"], ("", "", &["sh", "--", "x"])),
            (&["--new", "value", "--", "sh"], ("", "", &["sh"])),
            (&["--new", "sh", "-c"], ("", "", &["sh", "-c"])),
            (&["--data"], ("", "", &[])),
            (&["--"], ("", "", &[])),
            (&[], ("", "", &[])),
        ];
        for (words, (session_type, data, command)) in cases {
            let request = parse(words);
            assert_eq!(request.session_type, *session_type, "{words:?}");
            assert_eq!(request.data, *data, "{words:?}");
            assert_eq!(request.command, *command, "{words:?}");
            assert_eq!(request.has_command(), !command.is_empty());
        }
        assert!(parse(&["--help"]).wants_help && !parse(&["--", "--help"]).wants_help);
    }

    #[test]
    fn bytes_that_are_no_text_stay() {
        let odd = OsString::from_vec(b"--data=\xff=\xfe".to_vec());
        let request = Request::parse(&[odd.clone(), "--".into(), odd.clone()]);
        assert_eq!(request.data.as_bytes(), b"\xff=\xfe");
        assert_eq!(request.command, [odd]);
    }

    #[test]
    fn what_is_wrong_with_a_session_is_said() {
        let long = format!("{{\"username\":\"{}\"}}", "x".repeat(2000));
        for (words, expected) in [
            (
                &["--session-type", "tty"][..],
                "`tty` is neither k8s nor ssh",
            ),
            (&[][..], "`` is neither k8s nor ssh"),
            (&["--session-type=k8s", "--data=[1"][..], "no user in JSON"),
            (&["--session-type=k8s"][..], "no user in JSON"),
            (&["--session-type=k8s", "--data", &long][..], "does not fit"),
            (&["--session-type=k8s", "--odd"][..], "--odd is no flag"),
        ] {
            let error = parse(words).hand_over().unwrap_err();
            assert!(error.to_string().contains(expected), "{error}");
            assert_eq!(error.code(), 1);
        }
        let fits = format!(
            "{{\"username\":\"a\",\"extra\":{{\"x\":[{:?}]}}}}",
            "x".repeat(2000)
        );
        parse(&["--session-type=k8s", "--data", &fits])
            .hand_over()
            .unwrap();
    }

    #[test]
    fn a_command_that_does_not_run_has_the_code_of_shells() {
        for (command, code) in [
            ("no-such-command-anywhere", NOT_FOUND),
            ("/no/such/command", NOT_FOUND),
            ("/proc/self/stat", NOT_EXECUTABLE),
            ("/", NOT_EXECUTABLE),
            ("", NOT_FOUND),
        ] {
            assert_eq!(parse(&["--", command]).execute().code(), code, "{command}");
        }
        let said = parse(&[]).execute().to_string();
        assert!(said.contains("admission_controller.cws_instrumentation.enabled"));
    }

    #[test]
    fn sessions_differ() {
        let (one, other) = (session_id().unwrap(), session_id().unwrap());
        assert!(one != other && one & 0xffff_ffff > 1_600_000_000);
    }
}
