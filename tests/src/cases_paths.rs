//! Paths: every variant of open, chmod and chown in every situation of [`places`]. The path in the
//! event must be the one that the runner found before the call; where the call returned a
//! descriptor, the kernel's own name for it must agree.

use std::collections::HashMap;
use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::harness::{policy, rule, rule_of, Agent, Launch};
use crate::namespace::with_own_mounts;
use crate::places::{Place, Situation, SITUATIONS};
use crate::report::{ensure, Failure, Outcome, Report};
use crate::scratch;
use crate::tool::{self, Staying, Waiting, ENOSYS};

/// The descriptor that a file is prepared as.
const FILE_DESCRIPTOR: &str = "8";
const OWNER: &str = "0";
const MODE: &str = "0640";

/// A system call, and which arguments make it act on a place.
struct Variant {
    name: &'static str,
    event: &'static str,
    /// The words of the call; see [`words`].
    call: &'static [&'static str],
    /// It does not follow a link in the last place.
    no_follow: bool,
    /// It makes the file.
    creates: bool,
    /// A directory cannot be its object.
    only_files: bool,
}

const fn variant(
    name: &'static str,
    event: &'static str,
    call: &'static [&'static str],
) -> Variant {
    Variant {
        name,
        event,
        call,
        no_follow: false,
        creates: false,
        only_files: false,
    }
}

const fn only_files(variant: Variant) -> Variant {
    Variant {
        only_files: true,
        ..variant
    }
}

const fn creates(variant: Variant) -> Variant {
    Variant {
        creates: true,
        only_files: true,
        ..variant
    }
}

const fn no_follow(variant: Variant) -> Variant {
    Variant {
        no_follow: true,
        ..variant
    }
}

// In a call PATH stands for the path, DIR for the directory descriptor, FD for the file's.
const VARIANTS: &[Variant] = &[
    variant("open", "open", &["open", "PATH", "0"]),
    variant("openat", "open", &["openat", "DIR", "PATH", "0"]),
    creates(variant(
        "openat_create",
        "open",
        &["openat", "DIR", "PATH", "0101", MODE],
    )),
    variant(
        "openat2",
        "open",
        &["openat2", "DIR", "PATH", "how:0:0:0", "24"],
    ),
    only_files(variant("creat", "open", &["creat", "PATH", MODE])),
    only_files(variant("truncate", "open", &["truncate", "PATH", "0"])),
    variant("chmod", "chmod", &["chmod", "PATH", MODE]),
    variant("fchmod", "chmod", &["fchmod", "FD", MODE]),
    variant("fchmodat", "chmod", &["fchmodat", "DIR", "PATH", MODE]),
    variant(
        "fchmodat2",
        "chmod",
        &["fchmodat2", "DIR", "PATH", MODE, "0"],
    ),
    variant(
        "fchmodat2_empty",
        "chmod",
        &["fchmodat2", "FD", "s:", MODE, "0x1000"],
    ),
    variant("chown", "chown", &["chown", "PATH", OWNER, OWNER]),
    no_follow(variant(
        "lchown",
        "chown",
        &["lchown", "PATH", OWNER, OWNER],
    )),
    variant("fchown", "chown", &["fchown", "FD", OWNER, OWNER]),
    variant(
        "fchownat",
        "chown",
        &["fchownat", "DIR", "PATH", OWNER, OWNER, "0"],
    ),
    no_follow(variant(
        "fchownat_link",
        "chown",
        &["fchownat", "DIR", "PATH", OWNER, OWNER, "0x100"],
    )),
    variant(
        "fchownat_empty",
        "chown",
        &["fchownat", "FD", "s:", OWNER, OWNER, "0x1000"],
    ),
];

impl Variant {
    fn applies(&self, situation: &Situation) -> bool {
        let takes_directory = self.call.contains(&"DIR");
        (!situation.only_at || takes_directory)
            && !(situation.name == "deleted_directory" && self.only_files)
    }

    fn rule(&self, situation: &Situation) -> String {
        format!("{}_{}", situation.name, self.name)
    }

    /// Names and rules differ in how the parts are joined, so that no pattern matches two.
    fn file_name(&self, situation: &Situation) -> String {
        format!("{}.{}.e2e", situation.name, self.name)
    }
}

/// A call that was made, and the path that its event must have.
struct Expected {
    variant: &'static Variant,
    rule: String,
    pid: i64,
    path: PathBuf,
    /// Who made it, where that one must live until the comparison is over.
    caller: Option<Staying>,
}

/// Runs the tests of this file.
pub(crate) fn run(report: &mut Report) {
    let name = |situation: &Situation| format!("paths_{}", situation.name);
    let names: Vec<String> = SITUATIONS
        .iter()
        .map(name)
        .chain(["paths_once".to_owned(), "paths_refused".to_owned()])
        .collect();
    if !report.wants_any(names.iter().map(String::as_str)) {
        return;
    }
    let agent = match start() {
        Ok(agent) => agent,
        Err(failure) => return report.not_started("paths_start", failure),
    };
    let mut calls = Vec::new();
    for situation in SITUATIONS {
        report.case(&name(situation), || check(&agent, situation, &mut calls));
    }
    report.case("paths_refused", || refused(&agent));
    report.case("paths_once", || once(&agent, &calls));
}

fn start() -> Result<Agent, Failure> {
    let mut rules = vec![rule("refused", "open.file.name == \"refused.e2e\"", "")];
    for situation in SITUATIONS {
        for variant in VARIANTS.iter().filter(|variant| variant.applies(situation)) {
            let expression = format!(
                "{}.file.name =~ \"{}*\"",
                variant.event,
                variant.file_name(situation)
            );
            rules.push(rule(&variant.rule(situation), &expression, ""));
        }
    }
    Launch::new("paths")?
        .policy("paths.policy", policy(&rules))?
        .start()
}

/// Makes all calls of a situation, and compares their events with what was expected.
fn check(agent: &Agent, situation: &'static Situation, calls: &mut Vec<Expected>) -> Outcome {
    let base = scratch::directory(situation.name)?;
    let mut call_and_compare = || {
        let mut expected = call_all(situation, &base)?;
        let outcome = compare(agent, &expected);
        expected.iter_mut().for_each(|call| call.caller = None);
        calls.extend(expected);
        outcome
    };
    let Some(mount) = situation.mount else {
        return call_and_compare();
    };
    with_own_mounts(|| {
        let names: Vec<String> = VARIANTS
            .iter()
            .map(|variant| variant.file_name(situation))
            .collect();
        mount(&base, &names)?;
        // As in a container, somebody stays when the caller is gone.
        let resident = Waiting::start(&["--wait", "getpid"])?;
        let outcome = call_and_compare();
        resident.release()?;
        outcome
    })
}

fn call_all(situation: &Situation, base: &Path) -> Result<Vec<Expected>, Failure> {
    let mut expected = Vec::new();
    for variant in VARIANTS.iter().filter(|variant| variant.applies(situation)) {
        let made = call(situation, variant, base).map_err(|failure| failure.at(variant.name))?;
        expected.extend(made);
    }
    Ok(expected)
}

/// Makes one call; `None` when this kernel does not have it.
fn call(
    situation: &Situation,
    variant: &'static Variant,
    base: &Path,
) -> Result<Option<Expected>, Failure> {
    let place = (situation.build)(base, &variant.file_name(situation))?;
    let path = real_path(&place, variant)?;
    if variant.creates {
        fs::remove_file(&path)?;
    }
    let words = words(&place, variant);
    let (call, caller) = match situation.stays {
        true => Staying::start(&words).map(|(call, caller)| (call, Some(caller)))?,
        false => (tool::run(&words)?, None),
    };
    if call.result == ENOSYS {
        return Ok(None);
    }
    ensure(call.result >= 0, || {
        format!("the call failed with {}", call.result)
    })?;
    if let (Some(link), false) = (&call.link, situation.own_root) {
        let link = without_deleted(link);
        ensure(link == path, || {
            format!(
                "the runner expects {}, the kernel says {}",
                path.display(),
                link.display()
            )
        })?;
    }
    Ok(Some(Expected {
        variant,
        rule: variant.rule(situation),
        pid: call.pid,
        path,
        caller,
    }))
}

/// The runner's own idea of the path.
fn real_path(place: &Place, variant: &Variant) -> Result<PathBuf, Failure> {
    if !variant.no_follow {
        return Ok(place.outside.canonicalize()?);
    }
    let parent = place
        .outside
        .parent()
        .unwrap_or(Path::new("/"))
        .canonicalize()?;
    Ok(parent.join(place.outside.file_name().unwrap_or_default()))
}

/// The kernel says so of a name that is gone.
fn without_deleted(link: &Path) -> PathBuf {
    let text = link.to_string_lossy();
    PathBuf::from(text.strip_suffix(" (deleted)").unwrap_or(&text))
}

/// The tool's arguments. A file that is prepared as a descriptor is opened last, for the options
/// before decide what its name means; of a directory to be deleted, first.
fn words(place: &Place, variant: &Variant) -> Vec<OsString> {
    let mut words = place.options.clone();
    if variant.call.contains(&"FD") {
        let mut value = if place.is_directory {
            &place.outside
        } else {
            &place.given
        }
        .clone()
        .into_os_string();
        value.push(format!(":{FILE_DESCRIPTOR}"));
        let at = if place.is_directory { 0 } else { words.len() };
        words.splice(at..at, [OsString::from("--open"), value]);
    }
    words.extend(variant.call.iter().map(|word| match *word {
        "PATH" => {
            let mut path = OsString::from("s:");
            path.push(&place.given);
            path
        }
        "DIR" => OsString::from(place.dirfd),
        "FD" => OsString::from(FILE_DESCRIPTOR),
        word => OsString::from(word),
    }));
    words
}

/// Compares each event with what was expected; names all that differ.
fn compare(agent: &Agent, expected: &[Expected]) -> Outcome {
    let mut wrong = Vec::new();
    for call in expected {
        match agent.event_of(&call.rule, call.pid) {
            Err(failure) if wrong.is_empty() => {
                wrong.push(format!("{}: {failure:?}", call.variant.name))
            }
            Err(_) => wrong.push(format!("{}: no event", call.variant.name)),
            Ok(event) => wrong.extend(difference(call, &event)),
        }
        // After a few there is nothing new to learn, and each missing one is waited for.
        if wrong.len() >= 4 {
            wrong.push("and perhaps more".to_owned());
            break;
        }
    }
    ensure(wrong.is_empty(), || wrong.join("; "))
}

fn difference(call: &Expected, event: &Value) -> Option<String> {
    let path = event["file"]["path"].as_str().unwrap_or_default();
    let wanted = call.path.to_string_lossy();
    let name = event["evt"]["name"].as_str().unwrap_or_default();
    if path == wanted && name == call.variant.event {
        return None;
    }
    Some(format!(
        "{}: expected {wanted}, the {name} event has {path}",
        call.variant.name
    ))
}

/// A call that was refused is an event too.
fn refused(agent: &Agent) -> Outcome {
    let path = scratch::directory("refused")?
        .canonicalize()?
        .join("refused.e2e");
    fs::write(&path, "")?;
    scratch::set_mode(&path, 0o600)?;
    let mut given = OsString::from("s:");
    given.push(&path);
    let words = ["--uid", "65534", "openat", "AT_FDCWD"].map(OsString::from);
    let call = tool::run(
        &words
            .into_iter()
            .chain([given, OsString::from("0")])
            .collect::<Vec<_>>(),
    )?;
    ensure(call.result == -13, || {
        format!("expected EACCES, the call returned {}", call.result)
    })?;
    let event = agent.event_of("refused", call.pid)?;
    let outcome = &event["evt"]["outcome"];
    ensure(outcome == "Refused", || format!("the outcome is {outcome}"))?;
    let found = event["file"]["path"].as_str().unwrap_or_default();
    ensure(Path::new(found) == path, || {
        format!("expected {}, got {found}", path.display())
    })
}

/// No call was reported twice.
fn once(agent: &Agent, calls: &[Expected]) -> Outcome {
    let mut counts: HashMap<(String, i64), usize> = HashMap::new();
    for line in agent.lines() {
        let pid = line.event["process"]["pid"].as_i64().unwrap_or_default();
        *counts
            .entry((rule_of(&line.event).to_owned(), pid))
            .or_default() += 1;
    }
    let twice: Vec<&str> = calls
        .iter()
        .filter(|call| {
            counts
                .get(&(call.rule.clone(), call.pid))
                .is_some_and(|count| *count > 1)
        })
        .map(|call| call.rule.as_str())
        .collect();
    ensure(twice.is_empty(), || {
        format!("reported more than once: {}", twice.join(", "))
    })
}
