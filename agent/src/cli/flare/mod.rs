//! `flare`: makes an archive for support and sends it, or lists one that exists.
//!
//! The flags become a [`Wish`]; the roles are asked ([`asked`]), the archive is made
//! ([`crate::flare`]), and after the dialogue ([`dialogue`]) it is uploaded. Whatever fails after
//! the archive was made leaves it, with the command that tries again.

mod asked;
mod dialogue;
mod recent;

use std::ffi::OsStr;
use std::io::Write as _;
use std::path::{Path, PathBuf};

use serde_json::Value;

use super::exit::Exit;
use super::flags::{
    ARCHIVE, CASE_ID, CFGPATH, EMAIL, LIST, LOCAL, NO_COLOR, NO_UPLOAD, OUTPUT, SEND,
    SYSPROBE_CONFIG,
};
use super::parse::Arguments;
use super::{client, print, settings};
use crate::config::load::{AGENT_FILES, DIRECTORY, PROBE_FILE};
use crate::config::{keys, Settings};
use crate::flare::upload::Upload;
use crate::flare::{list, Archive, Configuration, Error, Gathering, Place, Sources};
use crate::forward::delivery;
use crate::resolve::host;
use crate::scrub::Scrubber;
use crate::sys::signals::{self, Signal, Signals};
use asked::Asked;
use dialogue::Dialogue;

/// Where archives go when no directory is named.
const DIRECTORIES: [&str; 2] = ["/tmp", "/var/tmp"];

/// What the command line asks for.
struct Wish {
    case_id: Option<String>,
    email: Option<String>,
    is_sure: bool,
    is_local: bool,
    uploads: bool,
    output: Option<PathBuf>,
    archive: Option<PathBuf>,
}

impl Wish {
    fn of(arguments: &Arguments) -> Wish {
        let text = |flag| {
            let value: Option<&OsStr> = arguments.value(flag);
            value.map(|value| value.to_string_lossy().into_owned())
        };
        Wish {
            case_id: text(&CASE_ID).filter(|case| !case.is_empty()),
            email: text(&EMAIL).map(|email| email.trim().to_owned()),
            is_sure: arguments.has(&SEND),
            is_local: arguments.has(&LOCAL),
            uploads: !arguments.has(&NO_UPLOAD),
            output: arguments.value(&OUTPUT).map(PathBuf::from),
            archive: arguments.value(&ARCHIVE).map(PathBuf::from),
        }
    }

    /// What has to be on the command line where nobody can be asked; `None` when it is.
    fn lacks(&self) -> Option<String> {
        let email = self.email.is_none().then_some("--email ADDRESS");
        let send = (!self.is_sure).then_some("--send");
        let missing: Vec<&str> = email.into_iter().chain(send).collect();
        (self.uploads && !missing.is_empty()).then(|| {
            format!(
                "there is no terminal to ask on; add {} to upload the archive, or --no-upload to make it only",
                missing.join(" and ")
            )
        })
    }
}

/// Makes an archive and sends it.
pub fn main(arguments: &Arguments) -> Exit {
    if let Some(path) = arguments.value(&LIST) {
        return list_contents(Path::new(path));
    }
    let dialogue = Dialogue::new(!arguments.has(&NO_COLOR));
    let mut wish = Wish::of(arguments);
    if let Some(sentence) = wish.lacks().filter(|_| !dialogue.is_interactive) {
        print::error(&sentence);
        return Exit::Usage;
    }
    let settings = settings::of_flare(arguments, &|error| {
        dialogue.warn(&format!("Config parsing warning: {error}"));
    });
    if wish.uploads && wish.email.is_none() {
        match dialogue.ask("Please enter your email: ") {
            Some(email) => wish.email = Some(email),
            None => {
                dialogue.say("Error reading email, please retry or contact support");
                return Exit::Failure;
            }
        }
    }
    let archive = match &wish.archive {
        Some(archive) => archive.clone(),
        None => match make(arguments, &settings, &wish, &dialogue) {
            Ok(archive) => archive,
            Err(exit) => return exit,
        },
    };
    finish(arguments, &settings, &wish, &archive, &dialogue)
}

/// What happens to the archive.
fn finish(
    arguments: &Arguments,
    settings: &Settings,
    wish: &Wish,
    archive: &Path,
    dialogue: &Dialogue,
) -> Exit {
    let path = archive.display();
    if !wish.uploads {
        dialogue.say(&format!("The flare archive is at {path}"));
        return Exit::Success;
    }
    dialogue.say(&format!("{path} is going to be uploaded to Datadog"));
    if !wish.is_sure {
        let answer = dialogue.ask("Are you sure you want to upload a flare? [y/N]");
        if !answer.is_some_and(|answer| answer == "y" || answer == "Y") {
            dialogue.say(&format!("Aborting. (You can still use {path})"));
            return Exit::Success;
        }
    }
    let upload = Upload {
        settings,
        archive,
        case_id: wish.case_id.as_deref(),
        email: wish.email.as_deref(),
        hostname: &host::detect(settings.text(&keys::HOSTNAME)).hostname,
    };
    let outcome = upload.send(&mut |sent, total| {
        let percent = sent.saturating_mul(100).checked_div(total).unwrap_or(100);
        dialogue.progress_in_place(&format!("uploading: {percent:>3} %"), sent >= total);
    });
    if !outcome.text.is_empty() {
        dialogue.say(&outcome.text);
    }
    match outcome.error {
        None => Exit::Success,
        Some(error) => {
            print::error(&error);
            if archive.exists() {
                let again = retry(arguments, wish, archive);
                let kept = "The archive is kept. To send it again:";
                dialogue.say(&format!("{kept}\n  {again}"));
            }
            Exit::Failure
        }
    }
}

/// Makes the archive; the error was told.
fn make(
    arguments: &Arguments,
    settings: &Settings,
    wish: &Wish,
    dialogue: &Dialogue,
) -> Result<PathBuf, Exit> {
    let agent = match wish.is_local {
        true => None,
        false => ask_agent(settings, dialogue),
    };
    if agent.is_none() {
        dialogue.yellow("Initiating flare locally, some logs will be missing.");
    }
    let is_local = agent.is_none();
    dialogue.progress("what the agent says");
    let asked = Asked::gather(settings, agent, !wish.is_local);
    build(arguments, settings, wish, dialogue, asked, is_local).map_err(|error| {
        if !matches!(error, Error::Interrupted) {
            dialogue.red(&format!("The flare zipfile failed to be created: {error}"));
        }
        print::error(&error);
        Exit::Failure
    })
}

/// What the agent says; that it says nothing was told.
fn ask_agent(settings: &Settings, dialogue: &Dialogue) -> Option<Value> {
    dialogue.blue("Asking the Security Agent to build the flare archive.");
    let error = match asked::agent_part(settings) {
        Ok(part) => return Some(part),
        Err(client::Error::Refused(body)) => {
            format!("The agent ran into an error while making the flare: {body}")
        }
        Err(error) => format!("The agent was unable to make a full flare: {error}."),
    };
    dialogue.red(&error);
    None
}

/// Puts everything into an archive.
fn build(
    arguments: &Arguments,
    settings: &Settings,
    wish: &Wish,
    dialogue: &Dialogue,
    asked: Asked,
    is_local: bool,
) -> Result<PathBuf, Error> {
    let (scrubber, warnings) = Scrubber::of_settings(settings).map_err(Error::Scrubber)?;
    // A broken terminal or a second ^C must not leave the private directory.
    let signals = Signals::block(&[Signal::SIGINT, Signal::SIGTERM, Signal::SIGHUP]).ok();
    let hostname = host::detect(settings.text(&keys::HOSTNAME)).hostname;
    let place = Place {
        directories: directories(settings),
        output: wish.output.clone(),
        log_level: settings.text(&keys::LOG_LEVEL).to_owned(),
    };
    let mut archive = Archive::begin(&place, &hostname, &scrubber)?;
    if is_local {
        archive.add_bytes("local", b"")?;
    }
    for note in warnings.iter().chain(&asked.notes) {
        archive.note(note);
    }
    for (name, content) in &asked.pieces {
        archive.add_bytes(name, content)?;
    }
    let socket = settings.command_socket();
    let gathering = Gathering {
        sources: &sources(arguments, settings, asked.processes),
        probe: asked.has_probe.then_some(socket.as_path()),
        signals: signals.as_ref(),
        progress: &mut |name| dialogue.progress(name),
    };
    gathering.run(&mut archive)?;
    let result = archive.finish();
    // The archive is there now; that it is not wanted any more comes too late.
    while signals
        .as_ref()
        .is_some_and(|signals| signals.next().is_some())
    {}
    signals::unblock_all();
    result
}

/// Directories for the archive, the first choice first.
fn directories(settings: &Settings) -> Vec<PathBuf> {
    let wished = std::env::var_os("TMPDIR").filter(|path| !path.is_empty());
    let usual = DIRECTORIES.iter().map(PathBuf::from);
    let own = std::iter::once(settings.run_path());
    wished
        .map(PathBuf::from)
        .into_iter()
        .chain(usual)
        .chain(own)
        .collect()
}

/// Where the files of this agent are.
fn sources(arguments: &Arguments, settings: &Settings, processes: Vec<(String, u32)>) -> Sources {
    let logs = [&keys::SECURITY_AGENT_LOG_FILE, &keys::SYSTEM_PROBE_LOG_FILE]
        .map(|key| Path::new(settings.text(key)).parent().map(Path::to_owned));
    let mut logs: Vec<PathBuf> = logs.into_iter().flatten().collect();
    logs.retain(|path| !path.as_os_str().is_empty());
    logs.dedup();
    Sources {
        configuration: configuration(arguments),
        logs,
        policies: settings.policies_dir(),
        compliance: PathBuf::from(settings.text(&keys::COMPLIANCE_DIR)),
        output: PathBuf::from(settings.text(&keys::OUTPUTS_FILE_PATH)),
        spool: settings.run_path().join(delivery::DIRECTORY),
        processes,
        is_restricted: false,
    }
}

/// The configuration files in use, and the usual ones beside the first of them.
fn configuration(arguments: &Arguments) -> Vec<Configuration> {
    let mut named = arguments.paths(&CFGPATH);
    let beside = named.first().and_then(|first| first.parent());
    let directory = beside.map_or_else(|| PathBuf::from(DIRECTORY), Path::to_owned);
    named.extend(arguments.paths(&SYSPROBE_CONFIG));
    let usual = AGENT_FILES.iter().chain([&PROBE_FILE]);
    let usual = usual.filter(|name| {
        let mut names = named.iter().filter_map(|file| file.file_name());
        !names.any(|known| known == OsStr::new(name))
    });
    let usual: Vec<PathBuf> = usual.map(|name| directory.join(name)).collect();
    let file = |path: PathBuf, is_named| {
        let name = path
            .file_name()
            .unwrap_or_default()
            .to_string_lossy()
            .into_owned();
        Configuration {
            name,
            path,
            is_named,
        }
    };
    let named = named.into_iter().map(|path| file(path, true));
    named
        .chain(usual.into_iter().map(|path| file(path, false)))
        .collect()
}

/// The command that sends this archive, for a shell.
fn retry(arguments: &Arguments, wish: &Wish, archive: &Path) -> String {
    let mut words = vec!["security-agent".to_owned(), "flare".to_owned()];
    words.extend(wish.case_id.clone());
    let path = |path: &Path| path.to_string_lossy().into_owned();
    for (flag, values) in [
        ("--cfgpath", arguments.paths(&CFGPATH)),
        ("--sysprobe-config", arguments.paths(&SYSPROBE_CONFIG)),
        ("--archive", vec![archive.to_owned()]),
    ] {
        words.extend(
            values
                .iter()
                .flat_map(|value| [flag.to_owned(), path(value)]),
        );
    }
    let email = wish.email.clone().unwrap_or_default();
    words.extend(["--email".to_owned(), email, "--send".to_owned()]);
    words
        .iter()
        .map(|word| quoted(word))
        .collect::<Vec<_>>()
        .join(" ")
}

/// A word as a shell reads it back.
fn quoted(word: &str) -> String {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "-_./:@%+=,".contains(c);
    match !word.is_empty() && word.chars().all(is_plain) {
        true => word.to_owned(),
        false => format!("'{}'", word.replace('\'', "'\\''")),
    }
}

fn list_contents(path: &Path) -> Exit {
    let mut out = std::io::stdout().lock();
    let listed = list::write(path, &mut out);
    let _ = out.flush();
    match listed {
        Ok(()) => Exit::Success,
        Err(error) => {
            print::error(&error);
            Exit::Failure
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wish(email: Option<&str>, is_sure: bool, uploads: bool) -> Wish {
        Wish {
            case_id: None,
            email: email.map(str::to_owned),
            is_sure,
            is_local: false,
            uploads,
            output: None,
            archive: None,
        }
    }

    #[test]
    fn what_cannot_be_asked_has_to_be_said() {
        let cases = [
            (wish(None, false, true), Some("--email ADDRESS and --send")),
            (wish(Some(""), false, true), Some("add --send")),
            (wish(None, true, true), Some("add --email ADDRESS to")),
            (wish(Some("a@b"), true, true), None),
            (wish(None, false, false), None),
        ];
        for (wish, expected) in cases {
            match (wish.lacks(), expected) {
                (Some(sentence), Some(expected)) => {
                    assert!(sentence.contains(expected), "{sentence}");
                }
                (lacks, expected) => assert_eq!(lacks.as_deref(), expected),
            }
        }
    }

    #[test]
    fn words_survive_a_shell() {
        let cases = [
            ("/tmp/a.tar.gz", "/tmp/a.tar.gz"),
            ("", "''"),
            ("a b", "'a b'"),
            ("it's", "'it'\\''s'"),
            ("$(x)", "'$(x)'"),
        ];
        for (word, expected) in cases {
            assert_eq!(quoted(word), expected);
        }
    }
}
