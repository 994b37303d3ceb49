//! What `flare` asks at a terminal, what it does with every answer, and what it says where there
//! is nobody to ask.

use std::fs;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};

use nix::sys::signal::Signal;

use crate::flare_host::{self, archives_in, Host, Test, EMAIL, EXTENSION};
use crate::flare_server::{FlareServer, Received};
use crate::flare_terminal::{Conversation, CONTROL_C, CONTROL_D};
use crate::harness::Agent;
use crate::report::{ensure, Failure, Outcome, Report};
use crate::scratch::{self, patience, wait_for};

/// Seconds for a question to come, an archive to be made, and the end.
const SECONDS: u64 = 90;
/// The exit code of a shell's command that was interrupted.
const INTERRUPTED: i32 = 130;

const ASKS_EMAIL: &str = "Please enter your email: \r\n";
const BUILDS: &str = "Asking the Security Agent to build the flare archive.";
const ASKS_CONSENT: &str = "Are you sure you want to upload a flare? [y/N]\r\n";
const NO_EMAIL: &str = "Error reading email, please retry or contact support";
const SENT: &str =
    "Your logs were successfully uploaded. For future reference, your internal case id is 123";

/// What is typed at the second question.
struct Consent {
    name: &'static str,
    keys: &'static str,
    sent: bool,
}

const CONSENTS: &[Consent] = &[
    consent("small_y", "y\n", true),
    consent("large_y", " Y \n", true),
    consent("n", "n\n", false),
    consent("yes", "yes\n", false),
    consent("empty", "\n", false),
    consent("end", CONTROL_D, false),
];

const fn consent(name: &'static str, keys: &'static str, sent: bool) -> Consent {
    Consent { name, keys, sent }
}

/// One agent that all of these tests ask.
struct Asked {
    host: Host,
    _agent: Agent,
    server: FlareServer,
}

/// Runs the tests of this file.
pub(crate) fn run(report: &mut Report) {
    let names = CONSENTS.iter();
    let names: Vec<String> = names
        .map(|one| format!("flare_dialogue_{}", one.name))
        .collect();
    let others: &[Test<Asked>] = &[
        ("flare_dialogue_flags", flags),
        ("flare_dialogue_no_email", no_email),
        ("flare_dialogue_end_at_email", end_at_email),
        ("flare_dialogue_interrupted", interrupted),
        ("flare_dialogue_colours", colours),
        ("flare_dialogue_nobody", nobody),
        ("flare_dialogue_archive", of_archive),
    ];
    let wanted = names.iter().map(String::as_str);
    if !report.wants_any(wanted.chain(others.iter().map(|(name, _)| *name))) {
        return;
    }
    let made = prepare();
    for (one, name) in CONSENTS.iter().zip(&names) {
        report.case(name, || {
            flare_host::shared(&made).and_then(|it| consented(it, one))
        });
    }
    for (name, test) in others {
        report.case(name, || flare_host::shared(&made).and_then(test));
    }
}

fn prepare() -> Result<Asked, Failure> {
    scratch::not_in_vm()?;
    let server = FlareServer::start()?;
    let (host, launch) = Host::new("flare-dialogue", &server.url())?;
    let agent = launch.start()?;
    Ok(Asked {
        host,
        _agent: agent,
        server,
    })
}

impl Asked {
    fn talk(&self, arguments: &[&str]) -> Result<Conversation, Failure> {
        // What earlier tests sent is of no concern.
        self.server.take();
        let mut words = vec!["--no-color"];
        words.extend_from_slice(arguments);
        Conversation::start(&self.host.command(&words))
    }

    /// The flares; events of the agent go to the same server.
    fn sent(&self) -> Vec<Received> {
        let mut requests = self.server.take();
        requests.retain(|one| one.asked().starts_with("POST /support/flare"));
        requests
    }

    /// Ends a conversation; its text when it ended with this code.
    fn end(&self, talk: Conversation, code: i32) -> Result<String, Failure> {
        let (status, text) = talk.end(SECONDS)?;
        ensure(status.code() == Some(code), || {
            format!("it ended with {status:?}: {text:?}")
        })?;
        self.host.expect_tidy()?;
        Ok(text)
    }
}

/// The archive that a screen names.
fn named(text: &str) -> Result<PathBuf, Failure> {
    let path = archives_in(text).first().cloned();
    Ok(path.ok_or_else(|| format!("no archive is named: {text:?}"))?)
}

/// The whole dialogue, up to every answer that the last question can have.
fn consented(asked: &Asked, consent: &Consent) -> Outcome {
    let mut talk = asked.talk(&[])?;
    talk.expect(ASKS_EMAIL, SECONDS)?;
    talk.press(&format!("  {EMAIL} \n"))?;
    talk.expect(&format!("{BUILDS}\r\n"), SECONDS)?;
    talk.expect(" is going to be uploaded to Datadog\r\n", SECONDS)?;
    talk.expect(ASKS_CONSENT, SECONDS)?;
    ensure(asked.sent().is_empty(), || {
        "it was sent before anybody agreed".to_owned()
    })?;
    let path = named(&talk.text())?;
    talk.press(consent.keys)?;
    let text = asked.end(talk, 0)?;
    ensure(path.is_file(), || "the archive is not there".to_owned())?;
    let sent = asked.sent();
    let aborting = format!("Aborting. (You can still use {})\r\n", path.display());
    let right = match consent.sent {
        true => text.contains(SENT) && sent.len() == 1,
        false => text.contains(&aborting) && sent.is_empty(),
    };
    ensure(right, || format!("{} were sent: {text:?}", sent.len()))?;
    let with_email = sent
        .iter()
        .all(|one| one.holds(&format!("\r\n{EMAIL}\r\n")));
    ensure(with_email, || "the email was not sent".to_owned())
}

/// Nothing is asked that the command line says.
fn flags(asked: &Asked) -> Outcome {
    for (words, asks_email, asks_consent) in [
        (&["-e", EMAIL][..], false, true),
        (&["--email", EMAIL, "--send"], false, false),
        (&["-s"], true, false),
    ] {
        let mut talk = asked.talk(words)?;
        if asks_email {
            talk.expect(ASKS_EMAIL, SECONDS)?;
            talk.press(&format!("{EMAIL}\n"))?;
        }
        talk.expect(BUILDS, SECONDS)?;
        if asks_consent {
            talk.expect(ASKS_CONSENT, SECONDS)?;
            talk.press("y\n")?;
        }
        let text = asked.end(talk, 0)?;
        let questions = (text.contains(ASKS_EMAIL), text.contains(ASKS_CONSENT));
        let right = questions == (asks_email, asks_consent) && text.contains(SENT);
        let sent = asked.sent().len();
        ensure(right && sent == 1, || {
            format!("{words:?}, {sent} were sent: {text:?}")
        })?;
    }
    Ok(())
}

/// Who gives no email is asked for nothing more, and none is sent.
fn no_email(asked: &Asked) -> Outcome {
    let mut talk = asked.talk(&["-s"])?;
    talk.expect(ASKS_EMAIL, SECONDS)?;
    talk.press("\n")?;
    let text = asked.end(talk, 0)?;
    let sent = asked.sent();
    let without = sent.iter().all(|one| !one.holds("name=\"email\""));
    ensure(sent.len() == 1 && without && text.contains(SENT), || {
        format!("{} were sent: {text:?}", sent.len())
    })
}

/// The end instead of an email is an error, before anything is made.
fn end_at_email(asked: &Asked) -> Outcome {
    let mut talk = asked.talk(&[])?;
    talk.expect(ASKS_EMAIL, SECONDS)?;
    talk.press(CONTROL_D)?;
    let text = asked.end(talk, 1)?;
    let early = text.contains(NO_EMAIL) && !text.contains(BUILDS);
    ensure(early && asked.sent().is_empty(), || format!("{text:?}"))
}

/// Interrupted at either question, or while the archive is made: it ends at once, sends nothing
/// and leaves no directory behind.
fn interrupted(asked: &Asked) -> Outcome {
    expect_interruptible()?;
    for (words, until) in [
        (&[][..], ASKS_EMAIL),
        (&["-e", EMAIL], BUILDS),
        (&["-e", EMAIL], ASKS_CONSENT),
    ] {
        let at = |failure: Failure| failure.at(until.trim());
        let mut talk = asked.talk(words)?;
        talk.expect(until, SECONDS).map_err(at)?;
        talk.press(CONTROL_C)?;
        let (status, text) = talk.end(SECONDS).map_err(at)?;
        let by_signal = status.signal() == Some(Signal::SIGINT as i32);
        ensure(by_signal || status.code() == Some(INTERRUPTED), || {
            format!("it ended with {status:?} after {until:?}: {text:?}")
        })?;
        ensure(asked.sent().is_empty(), || format!("sent: {text:?}"))?;
    }
    // An agent that was building goes on for a moment.
    let tidy = wait_for(patience(SECONDS), || asked.host.expect_tidy().ok());
    ensure(tidy.is_some(), || {
        format!("left behind: {:?}", asked.host.left_behind().ok())
    })
}

/// What a shell without job control starts in the background ignores interrupts for good.
fn expect_interruptible() -> Outcome {
    let status = fs::read_to_string("/proc/self/status")?;
    let mut lines = status.lines();
    let ignored = lines.find_map(|line| line.strip_prefix("SigIgn:"));
    let ignored = u64::from_str_radix(ignored.unwrap_or("0").trim(), 16)?;
    if ignored >> (Signal::SIGINT as i32 - 1) & 1 == 1 {
        let sentence = "the tests were started with interrupts ignored";
        return Err(Failure::NotApplicable(sentence.to_owned()));
    }
    Ok(())
}

/// Blue for what is going on, unless colours are not wanted.
fn colours(asked: &Asked) -> Outcome {
    for (words, coloured) in [(&[][..], true), (&["--no-color"], false)] {
        let mut all = vec!["-e", EMAIL];
        all.extend_from_slice(words);
        let mut talk = Conversation::start(&asked.host.command(&all))?;
        talk.expect(ASKS_CONSENT, SECONDS)?;
        talk.press("n\n")?;
        let text = asked.end(talk, 0)?;
        let line = text.lines().find(|line| line.contains(BUILDS));
        let line = line.unwrap_or_default();
        ensure(line.contains("\u{1b}[") == coloured, || format!("{line:?}"))?;
    }
    Ok(())
}

/// Without a terminal nothing is asked: what is missing is said, and nothing is made.
fn nobody(asked: &Asked) -> Outcome {
    let count = || fs::read_dir(asked.host.tmp()).map(Iterator::count);
    let before = count()?;
    for (words, missing) in [
        (&[][..], &["--email", "--send"][..]),
        (&["-e", EMAIL], &["--send"]),
        (&["-s"], &["--email"]),
        (&["4711"], &["--email", "--send"]),
    ] {
        let done = asked.host.flare(words)?;
        let right = missing.iter().all(|word| done.stderr.contains(word));
        ensure(done.code == Some(2) && right, || done.said())?;
        let asks = done.stdout.contains("Please enter") || done.stdout.contains("Are you sure");
        ensure(!asks && !done.stdout.contains(BUILDS), || done.said())?;
    }
    ensure(count()? == before && asked.sent().is_empty(), || {
        "something was made or sent".to_owned()
    })?;
    asked.host.build().map(drop)
}

/// An archive that exists is asked about in the same way, and sent as it is.
fn of_archive(asked: &Asked) -> Outcome {
    let (_, path) = asked.host.build()?;
    let before = fs::read(&path)?;
    for (keys, sent) in [("n\n", 0), ("y\n", 1)] {
        let mut talk = asked.talk(&["--archive", &path.to_string_lossy()])?;
        talk.expect(ASKS_EMAIL, SECONDS)?;
        talk.press(&format!("{EMAIL}\n"))?;
        talk.expect(ASKS_CONSENT, SECONDS)?;
        talk.press(keys)?;
        let text = asked.end(talk, 0)?;
        let posts = asked.sent();
        ensure(posts.len() == sent && !text.contains(BUILDS), || {
            format!("{} were sent: {text:?}", posts.len())
        })?;
    }
    ensure(fs::read(&path)? == before, || {
        "the archive is another".to_owned()
    })?;
    let missing = format!("/nonexistent/x{EXTENSION}");
    let done = asked
        .host
        .flare(&["-s", "-e", EMAIL, "--archive", &missing])?;
    flare_host::expect_sentence(&done)?;
    ensure(
        asked.sent().is_empty() && !Path::new(&missing).exists(),
        || done.said(),
    )
}
