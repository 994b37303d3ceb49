//! From `argv` to a role, a command and its flags.
//!
//! The words of a command and its flags may come in any order: `status -c x` and `-c x status` are
//! the same. [`parse`] takes the arguments with the program name and gives [`Arguments`] for a
//! command, a text of help, or an error whose message is for people.

use std::ffi::{OsStr, OsString};
use std::fmt;
use std::path::{Path, PathBuf};

use lexopt::{Arg, Parser};

use super::commands::{Command, COMMANDS};
use super::flags::{Flag, Role};
use super::help;

/// What the command line says.
#[derive(Debug)]
pub enum Parsed {
    /// Run this command.
    Run(&'static Command, Arguments),
    /// Print this text.
    Help(String),
}

/// What a command was given.
#[derive(Debug)]
pub struct Arguments {
    /// The role that was called.
    pub role: Role,
    given: Vec<(&'static str, OsString)>,
    rest: Vec<OsString>,
}

impl Arguments {
    /// Whether a flag was given.
    pub fn has(&self, flag: &Flag) -> bool {
        self.given.iter().any(|(name, _)| *name == flag.long)
    }

    /// The value of a flag; the last one when it was given again.
    pub fn value(&self, flag: &Flag) -> Option<&OsStr> {
        self.values(flag).last()
    }

    /// The values of a flag that may be given again, as paths.
    pub fn paths(&self, flag: &Flag) -> Vec<PathBuf> {
        self.values(flag).map(PathBuf::from).collect()
    }

    /// The values of a flag that may be given again, as texts.
    pub fn texts(&self, flag: &Flag) -> Vec<String> {
        self.values(flag)
            .map(|value| value.to_string_lossy().into_owned())
            .collect()
    }

    /// What follows a command that reads its arguments itself.
    pub fn rest(&self) -> Vec<String> {
        self.rest
            .iter()
            .map(|text| text.to_string_lossy().into_owned())
            .collect()
    }

    /// The same as the operating system gave it.
    pub fn raw_rest(&self) -> &[OsString] {
        &self.rest
    }

    fn values<'a>(&'a self, flag: &Flag) -> impl Iterator<Item = &'a OsStr> + use<'a> {
        let long = flag.long;
        let named = self.given.iter().filter(move |(name, _)| *name == long);
        named.map(|(_, value)| value.as_os_str())
    }
}

/// The command line was not understood.
#[derive(Debug)]
pub enum Error {
    /// There is no such command; perhaps this one was meant.
    UnknownCommand {
        /// The binary's name in this role.
        role: &'static str,
        /// What was typed.
        words: String,
        /// The command that looks most like it.
        nearest: Option<String>,
    },
    /// The command does not have this flag.
    UnknownFlag {
        /// The flag as it was typed.
        flag: String,
        /// The command.
        command: String,
    },
    /// Only a part of a command was typed; this is its help.
    Incomplete(String),
    /// A value is missing, or there is one that should not be.
    Malformed(lexopt::Error),
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Error::UnknownCommand {
                role,
                words,
                nearest: Some(nearest),
            } => write!(
                f,
                "`{role}` has no command `{words}`; did you mean `{nearest}`? See `{role} --help`"
            ),
            Error::UnknownCommand {
                role,
                words,
                nearest: None,
            } => {
                write!(f, "`{role}` has no command `{words}`; see `{role} --help`")
            }
            Error::UnknownFlag { flag, command } => {
                write!(
                    f,
                    "`{command}` has no flag `{flag}`; see `{command} --help`"
                )
            }
            Error::Incomplete(help) => f.write_str(help.trim_end()),
            Error::Malformed(error) => write!(f, "the command line is not understood: {error}"),
        }
    }
}

impl std::error::Error for Error {}

impl From<lexopt::Error> for Error {
    fn from(error: lexopt::Error) -> Error {
        Error::Malformed(error)
    }
}

/// Reads a command line, the program's name first.
pub fn parse(arguments: impl IntoIterator<Item = OsString>) -> Result<Parsed, Error> {
    let mut arguments = arguments.into_iter().peekable();
    let program = arguments.next().unwrap_or_default();
    let role = match role_of_program(&program) {
        Some(role) => role,
        None => {
            let named = arguments
                .peek()
                .and_then(|first| Role::from_name(&first.to_string_lossy()));
            if named.is_some() {
                arguments.next();
            }
            named.unwrap_or(Role::SecurityAgent)
        }
    };
    let mut line = Line {
        role,
        words: Vec::new(),
        given: Vec::new(),
        rest: Vec::new(),
        help: false,
    };
    line.read(Parser::from_args(arguments))?;
    line.finish()
}

/// The role that the name of the program says; the agent's own name leaves it to the arguments. What
/// follows a dot is not part of it: packages have `cws-instrumentation.amd64`.
fn role_of_program(program: &OsStr) -> Option<Role> {
    let name = Path::new(program).file_stem()?.to_str()?;
    Role::from_name(name).filter(|role| *role != Role::SecurityAgent)
}

struct Line {
    role: Role,
    words: Vec<String>,
    given: Vec<(&'static Flag, OsString)>,
    rest: Vec<OsString>,
    help: bool,
}

impl Line {
    fn read(&mut self, mut parser: Parser) -> Result<(), Error> {
        while let Some(argument) = parser.next()? {
            let (typed, flag) = match argument {
                Arg::Value(word) => {
                    if let Some(operand) = self.operand() {
                        self.given.push((operand, word));
                        continue;
                    }
                    self.add_word(word.to_string_lossy().into_owned())?;
                    if self.command().is_some_and(|command| command.raw) {
                        self.rest = parser.raw_args()?.collect();
                    }
                    continue;
                }
                Arg::Short('h') | Arg::Long("help") => {
                    self.help = true;
                    continue;
                }
                Arg::Short(letter) => (
                    format!("-{letter}"),
                    self.flag(|flag| flag.short == Some(letter)),
                ),
                Arg::Long(name) => (
                    format!("--{name}"),
                    self.flag(|flag| flag.long == name && !name.is_empty()),
                ),
            };
            let Some(flag) = flag else {
                return Err(Error::UnknownFlag {
                    flag: typed,
                    command: self.typed(),
                });
            };
            let value = if flag.value.is_empty() {
                OsString::new()
            } else if flag.value.starts_with("[=") {
                parser.optional_value().unwrap_or_default()
            } else {
                parser.value()?
            };
            self.given.push((flag, value));
        }
        Ok(())
    }

    fn finish(mut self) -> Result<Parsed, Error> {
        // Containers start it as `system-probe --config=FILE`.
        if self.words.is_empty() && self.role == Role::SystemProbe && !self.given.is_empty() {
            self.words.push("run".to_owned());
        }
        if self.help {
            return Ok(Parsed::Help(help::text(self.role, &self.words)));
        }
        let Some(command) = self.command() else {
            return Err(Error::Incomplete(help::text(self.role, &self.words)));
        };
        let globals = self.role.global_flags();
        for (flag, _) in &self.given {
            let known = globals
                .iter()
                .chain(command.flags)
                .any(|own| own.long == flag.long);
            if !known {
                let flag = format!("--{}", flag.long);
                return Err(Error::UnknownFlag {
                    flag,
                    command: self.typed(),
                });
            }
        }
        let given = self
            .given
            .into_iter()
            .map(|(flag, value)| (flag.long, value))
            .collect();
        Ok(Parsed::Run(
            command,
            Arguments {
                role: self.role,
                given,
                rest: self.rest,
            },
        ))
    }

    fn add_word(&mut self, word: String) -> Result<(), Error> {
        self.words.push(word);
        if self.commands().next().is_some() {
            return Ok(());
        }
        let words = self.words.join(" ");
        let nearest = help::nearest_command(self.role, &words);
        Err(Error::UnknownCommand {
            role: self.role.name(),
            words,
            nearest,
        })
    }

    /// The commands that begin with the words so far.
    fn commands(&self) -> impl Iterator<Item = &'static Command> + '_ {
        COMMANDS.iter().filter(|command| {
            let typed = self.words.iter().map(String::as_str);
            let begins = command
                .words
                .iter()
                .copied()
                .take(self.words.len())
                .eq(typed);
            begins && command.roles.contains(&self.role)
        })
    }

    /// The command, once all its words are there.
    fn command(&self) -> Option<&'static Command> {
        self.commands()
            .find(|command| command.words.len() == self.words.len())
    }

    /// What the command takes beside its flags, once all its words are there.
    fn operand(&self) -> Option<&'static Flag> {
        let mut flags = self.command()?.flags.iter().copied();
        flags.find(|flag| flag.long.is_empty())
    }

    fn flag(&self, is: impl Fn(&Flag) -> bool) -> Option<&'static Flag> {
        let own = self.commands().flat_map(|command| command.flags);
        self.role
            .global_flags()
            .iter()
            .chain(own)
            .copied()
            .find(|flag| is(flag))
    }

    fn typed(&self) -> String {
        let mut text = String::from(self.role.name());
        for word in &self.words {
            text.push(' ');
            text.push_str(word);
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::super::flags::{
        CFGPATH, CONFIG, JSON, PIDFILE, SNAPSHOT_INTERFACES, SYSPROBE_CONFIG, TEST_FILES,
    };
    use super::*;

    fn read(line: &str) -> Result<Parsed, Error> {
        parse(line.split(' ').map(OsString::from))
    }

    fn run(line: &str) -> (Role, String, Arguments) {
        match read(line) {
            Ok(Parsed::Run(command, arguments)) => {
                (arguments.role, command.words.join(" "), arguments)
            }
            other => panic!("{line}: {other:?}"),
        }
    }

    #[test]
    fn role_and_command_come_from_name_or_first_argument() {
        let cases = [
            ("security-agent status", Role::SecurityAgent, "status"),
            ("/opt/x/system-probe run", Role::SystemProbe, "run"),
            ("security-agent system-probe run", Role::SystemProbe, "run"),
            ("exe security-agent start", Role::SecurityAgent, "start"),
            ("/proc/self/exe run", Role::SecurityAgent, "run"),
            (
                "system-probe runtime self-test",
                Role::SystemProbe,
                "runtime self-test",
            ),
            (
                "security-agent -c x runtime policy check",
                Role::SecurityAgent,
                "runtime policy check",
            ),
            ("system-probe --config=/x.yaml", Role::SystemProbe, "run"),
            (
                "cws-instrumentation version",
                Role::CwsInstrumentation,
                "version",
            ),
            (
                "/x/cws-instrumentation.arm64 health",
                Role::CwsInstrumentation,
                "health",
            ),
            (
                "cws-instrumentation inject --odd -- sh -it",
                Role::CwsInstrumentation,
                "inject",
            ),
            (
                "security-agent self-test-runner --odd -x",
                Role::SecurityAgent,
                "self-test-runner",
            ),
        ];
        for (line, role, words) in cases {
            let (found_role, found_words, _) = run(line);
            assert_eq!((found_role, found_words.as_str()), (role, words), "{line}");
        }
    }

    #[test]
    fn flags_come_before_or_after_the_command() {
        for line in [
            "security-agent -c a --cfgpath=b --sysprobe-config s status -j",
            "security-agent status --json -ca --sysprobe-config=s --cfgpath b",
        ] {
            let (_, _, arguments) = run(line);
            assert_eq!(
                arguments.paths(&CFGPATH),
                [PathBuf::from("a"), PathBuf::from("b")]
            );
            assert_eq!(arguments.value(&SYSPROBE_CONFIG), Some(OsStr::new("s")));
            assert!(arguments.has(&JSON) && !arguments.has(&PIDFILE));
        }
        for (line, value) in [
            ("", None),
            (" --snapshot-interfaces", Some("")),
            (" --snapshot-interfaces=false", Some("false")),
        ] {
            let line = format!("security-agent runtime network-namespace dump{line}");
            let (_, _, arguments) = run(&line);
            assert_eq!(arguments.value(&SNAPSHOT_INTERFACES), value.map(OsStr::new));
        }
        let (_, _, arguments) = run("system-probe run -c s");
        assert_eq!(arguments.value(&CONFIG), Some(OsStr::new("s")));
        let (_, _, arguments) = run("security-agent self-test-runner a --b");
        assert_eq!(arguments.rest(), ["a", "--b"]);
        let (_, _, arguments) =
            run("security-agent runtime policy test a --policies-dir d -- b --json");
        let files = ["a", "b", "--json"].map(PathBuf::from);
        assert_eq!(arguments.paths(&TEST_FILES), files);
    }

    #[test]
    fn mistakes_are_answered_in_words() {
        let cases = [
            ("security-agent statsu", "did you mean `status`?"),
            (
                "security-agent runtime selftest",
                "did you mean `runtime self-test`?",
            ),
            ("security-agent status extra", "no command `status extra`"),
            (
                "security-agent status --yaml",
                "`security-agent status` has no flag `--yaml`",
            ),
            ("security-agent --json", "has no command"),
            ("security-agent status --json=x", "not understood"),
            ("security-agent status -c", "not understood"),
            ("security-agent version -j", "has no flag `-j`"),
            (
                "security-agent runtime policy test --=x",
                "has no flag `--`",
            ),
            ("security-agent", "Usage: security-agent"),
            ("security-agent runtime", "self-test"),
        ];
        for (line, expected) in cases {
            let said = match read(line) {
                Err(error) => error.to_string(),
                Ok(Parsed::Help(text)) => text,
                Ok(Parsed::Run(command, _)) => panic!("{line}: {:?}", command.words),
            };
            let incomplete = line.ends_with("--json") && said.contains("Usage");
            assert!(said.contains(expected) || incomplete, "{line}: {said}");
        }
    }

    #[test]
    fn help_is_everywhere() {
        for command in COMMANDS.iter().filter(|command| !command.raw) {
            for role in command.roles {
                let line = format!(
                    "security-agent {} {} -h",
                    role.name(),
                    command.words.join(" ")
                );
                match read(&line) {
                    Ok(Parsed::Help(text)) => assert!(text.starts_with("Usage: "), "{text}"),
                    other => panic!("{line}: {other:?}"),
                }
            }
        }
    }
}
