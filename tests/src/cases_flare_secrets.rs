//! Hundreds of secrets on one host, and none in its flares: in configuration, logs, policies, the
//! environment and arguments of processes. What may be seen of them is seen, and what only looks
//! like one stays as it is.

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

use crate::finished::Finished;
use crate::flare_archive::Archive;
use crate::flare_host::{self, archive_of, Host, Test, HOSTNAME, NOWHERE};
use crate::flare_planted::{base64, Needles, Planter, Shape, Template};
use crate::flare_templates::{ARGUMENTS, HARMLESS, LOGS, POLICY, VARIABLES, YAML};
use crate::harness::{policy, rule, Agent, Launch};
use crate::report::{ensure, Failure, Outcome, Report};
use crate::scratch;

/// So many secrets and harmless texts at least.
const SECRETS: usize = 200;
const LOOK_ALIKES: usize = 100;
/// Secrets that are told in a message.
const TOLD: usize = 12;
const CONFIGURATION: &[&str] = &["datadog.yaml", "security-agent.yaml", "system-probe.yaml"];
const LOG_FILES: &[&str] = &["planted.log", "planted.log.1", "deeper/planted.log"];
const POLICY_FILE: &str = "secrets.policy";
/// Named by the configuration to be secret.
const EXTRA: &[Template] = &[
    (Shape::Word, "garden: %S"),
    (Shape::Word, "meadow: %S"),
    (Shape::Word, "note: hidden-%S"),
];
const EXTRA_KEYS: &str = "scrubber:\n  additional_keys: [garden]\n  \
    additional_patterns: ['hidden-[A-Za-z0-9]+']\nflare_stripped_keys: [meadow]\n";

/// The host, and archives of it that were made by the agent and without it.
struct Planted {
    planter: Planter,
    api_key: String,
    app_key: String,
    made: Vec<(&'static str, Archive, Finished)>,
}

/// Runs the tests of this file.
pub(crate) fn run(report: &mut Report) {
    let tests: &[Test<Planted>] = &[
        ("flare_secrets_none", none),
        ("flare_secrets_events", events),
        ("flare_secrets_ends", ends),
        ("flare_secrets_look_alikes", look_alikes),
        ("flare_secrets_counted", counted),
        ("flare_secrets_structure", structure),
    ];
    flare_host::run_all(report, tests, prepare);
}

fn prepare() -> Result<Planted, Failure> {
    scratch::not_in_vm()?;
    let mut planter = Planter::new();
    let (host, launch) = Host::new("flare-secrets", NOWHERE)?;
    let (api_key, app_key) = plant_configuration(&host, &mut planter)?;
    plant_logs(&host, &mut planter, &api_key)?;
    let program = program()?;
    plant_policy(&host, &mut planter, &program)?;
    let variables = plant_environment(&mut planter);
    let mut launch: Launch = launch;
    for (name, value) in &variables {
        launch = launch.env(name, value);
    }
    let mut agent = launch.start()?;
    run_processes(&agent, &mut planter, &program)?;
    let flare = || {
        let mut command = host.command(&["--no-upload"]);
        command.envs(variables.iter().cloned());
        let done = flare_host::run(command)?;
        let archive = Archive::open(&archive_of(&done)?)?;
        Ok::<_, Failure>((archive, done))
    };
    let (archive, done) = flare()?;
    let mut made = vec![("by the agent", archive, done)];
    agent.stop()?;
    let (archive, done) = flare()?;
    made.push(("locally", archive, done));
    Ok(Planted {
        planter,
        api_key,
        app_key,
        made,
    })
}

/// The keys of the account and of an application, which are in a file and nowhere else.
fn plant_configuration(host: &Host, planter: &mut Planter) -> Result<(String, String), Failure> {
    let mut keys = Vec::new();
    for (name, first) in host.first_files() {
        let place = format!("etc/{name}");
        let mut text = first;
        if name == "datadog.yaml" {
            text = format!("hostname: {HOSTNAME}\n{EXTRA_KEYS}");
            for template in [
                (Shape::Hex(32), "api_key: %S\n"),
                (Shape::Hex(40), "app_key: %S\n"),
            ] {
                text.push_str(&planter.secret(&place, template));
                keys.extend(planter.secrets.last().map(|secret| secret.text.clone()));
            }
        }
        text.push_str("integrations:\n");
        let extra = EXTRA.iter().filter(|_| name == "datadog.yaml");
        for (number, template) in YAML.iter().chain(extra).enumerate() {
            let body = planter.secret(&place, *template);
            text.push_str(&entry(&format!("entry_{number}"), &body));
        }
        for (number, template) in HARMLESS.iter().enumerate() {
            let body = planter.harmless(&place, template);
            text.push_str(&entry(&format!("plain_{number}"), &body));
        }
        fs::write(host.etc(name), text)?;
    }
    let app_key = keys.pop().unwrap_or_default();
    Ok((keys.pop().unwrap_or_default(), app_key))
}

/// An entry of a YAML mapping, below another.
fn entry(name: &str, body: &str) -> String {
    let lines = body.lines().map(|line| format!("    {line}\n"));
    format!("  {name}:\n{}", lines.collect::<String>())
}

/// Lines of logs; what the configuration has as a secret is one in other spellings too.
fn plant_logs(host: &Host, planter: &mut Planter, api_key: &str) -> Outcome {
    for name in LOG_FILES {
        let place = format!("logs/{name}");
        let mut lines = Vec::new();
        for template in LOGS {
            lines.push("a line that is nobody's secret".to_owned());
            lines.push(planter.secret(&place, *template));
        }
        lines.extend(HARMLESS.iter().map(|one| planter.harmless(&place, one)));
        for text in [api_key.to_owned(), format!("user:{api_key}")] {
            lines.push(format!("sent {} there", base64(text.as_bytes())));
        }
        let path = host.logs().join(name);
        fs::create_dir_all(path.parent().unwrap_or(Path::new("/")))?;
        fs::write(path, lines.join("\n") + "\n")?;
    }
    Ok(())
}

fn plant_policy(host: &Host, planter: &mut Planter, program: &str) -> Outcome {
    let place = format!("runtime-security.d/{POLICY_FILE}");
    let mut text = String::new();
    for template in POLICY {
        text.push_str(&format!("{}\n", planter.secret(&place, *template)));
    }
    for template in HARMLESS {
        text.push_str(&format!("# {}\n", planter.harmless(&place, template)));
    }
    let description = (Shape::Word, "    description: run with password=%S\n");
    let tag = (Shape::Word, "    tags: {owner: me, api_token: %S}\n");
    let extra = planter.secret(&place, tag);
    let expression = format!("exec.file.path == \"{program}\"");
    let run = rule("run", &expression, &extra);
    let run = run.replace(
        "    description: run\n",
        &planter.secret(&place, description),
    );
    text.push_str(&policy(&[run]));
    fs::write(host.policies().join(POLICY_FILE), text)?;
    let place = "compliance.d/planted.yaml";
    let body = planter.secret(place, (Shape::Word, "password: %S"));
    fs::write(
        host.compliance().join("planted.yaml"),
        entry("planted", &body),
    )?;
    Ok(())
}

/// The same variables for the agent and for its flares.
fn plant_environment(planter: &mut Planter) -> Vec<(String, String)> {
    let set = |template: &Template| {
        let text = planter.secret("the environment", *template);
        let (name, value) = text.split_once('=')?;
        Some((name.to_owned(), value.to_owned()))
    };
    VARIABLES.iter().filter_map(set).collect()
}

/// A program of the test's own whose name is that of one that takes passwords.
fn program() -> Result<String, Failure> {
    let path = scratch::directory("programs")?.canonicalize()?.join("curl");
    fs::copy("/bin/true", &path)?;
    Ok(path.to_string_lossy().into_owned())
}

/// Processes whose arguments are secrets; each is seen in an event.
fn run_processes(agent: &Agent, planter: &mut Planter, program: &str) -> Outcome {
    for template in ARGUMENTS {
        let text = planter.secret("arguments", *template);
        let variable = (Shape::Word, "%S");
        let mut command = Command::new(program);
        command
            .args(text.split('|'))
            .env(
                "AWS_SECRET_ACCESS_KEY",
                planter.secret("a variable", variable),
            )
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        let mut child = command.spawn()?;
        let pid = i64::from(child.id());
        child.wait()?;
        agent.event_of("run", pid)?;
    }
    Ok(())
}

/// Not one of them is in an archive or was printed, as it is or in base64.
fn none(planted: &Planted) -> Outcome {
    let secrets = &planted.planter.secrets;
    ensure(secrets.len() >= SECRETS, || {
        format!("{} secrets only", secrets.len())
    })?;
    let needles = Needles::of(secrets);
    let mut told = Vec::new();
    for (how, archive, done) in &planted.made {
        let mut look = |name: &str, bytes: &[u8]| {
            let mut found = needles.find(bytes);
            found.sort_unstable();
            found.dedup();
            for secret in found.iter().filter_map(|number| secrets.get(*number)) {
                told.push(format!(
                    "{name} ({how}) holds what was planted in {} as {:?} {:?}: {}",
                    secret.place, secret.shape, secret.template, secret.text
                ));
            }
        };
        for name in archive.files() {
            look(name, &archive.bytes(name)?);
        }
        look("what was printed", done.said().as_bytes());
    }
    ensure(told.is_empty(), || {
        let first = told.get(..TOLD.min(told.len())).unwrap_or_default();
        let seed = planted.planter.seed;
        format!(
            "{} are seen (seed {seed}): {}",
            told.len(),
            first.join("; ")
        )
    })
}

/// The processes were seen: what is not there cannot be hidden.
fn events(planted: &Planted) -> Outcome {
    let agents = planted.made.iter().filter(|(how, ..)| *how != "locally");
    for (how, archive, _) in agents {
        let events = archive.text("events.jsonl")?;
        let lines = events.lines().filter(|line| line.contains("\"run\""));
        let count = lines.count();
        ensure(count >= ARGUMENTS.len(), || {
            format!("{how}: {count} events: {events}")
        })?;
    }
    Ok(())
}

/// The end of a secret of this shape that stays, behind so many asterisks; none when all goes.
fn end_of(shape: Shape) -> Option<(usize, usize)> {
    match shape {
        Shape::Hex(32) => Some((28, 4)),
        Shape::Hex(40) => Some((36, 4)),
        Shape::Hex(64) => Some((59, 5)),
        Shape::Application | Shape::Remote => Some((0, 4)),
        _ => None,
    }
}

/// Keys can be told from each other by their ends.
fn ends(planted: &Planted) -> Outcome {
    let mut missing = Vec::new();
    for (how, archive, _) in &planted.made {
        let datadog = archive.text("etc/datadog.yaml")?;
        for (name, key, stars) in [
            ("api_key", &planted.api_key, 28),
            ("app_key", &planted.app_key, 36),
        ] {
            let end = key.get(key.len() - 4..).unwrap_or_default();
            let masked = format!("{}{end}", "*".repeat(stars));
            let line = datadog.lines().find(|line| line.starts_with(name));
            let line = line.unwrap_or_default();
            ensure(line.contains(&masked), || {
                format!("{how}: {line:?} for {masked}")
            })?;
        }
        for secret in &planted.planter.secrets {
            let known = secret.place.starts_with("etc/") || secret.place.starts_with("logs/");
            let keyed = [
                "api_key",
                "app_key",
                "application_key",
                "apikey",
                "seen",
                "request",
                "Bearer",
            ];
            let keeps = keyed.iter().any(|word| secret.template.contains(word));
            let Some((stars, kept)) = end_of(secret.shape).filter(|_| known && keeps) else {
                continue;
            };
            let end = secret
                .text
                .get(secret.text.len() - kept..)
                .unwrap_or_default();
            let masked = format!("{}{end}", "*".repeat(stars));
            if !archive.text(&secret.place)?.contains(&masked) {
                missing.push(format!("{how}: {} in {}", secret.template, secret.place));
            }
        }
    }
    ensure(missing.is_empty(), || format!("no ends of {missing:?}"))
}

/// Nothing else was touched.
fn look_alikes(planted: &Planted) -> Outcome {
    let harmless = &planted.planter.harmless;
    ensure(harmless.len() >= LOOK_ALIKES, || {
        format!("{} look-alikes only", harmless.len())
    })?;
    let mut missing = Vec::new();
    for (how, archive, _) in &planted.made {
        for (place, text) in harmless {
            if !archive.text(place)?.contains(text.as_str()) {
                missing.push(format!("{place} ({how}): {text}"));
            }
        }
    }
    ensure(missing.is_empty(), || {
        let first = missing.get(..TOLD.min(missing.len())).unwrap_or_default();
        format!("{} were changed: {}", missing.len(), first.join("; "))
    })
}

/// The manifest tells where something was hidden, and the environment what may be seen of it.
fn counted(planted: &Planted) -> Outcome {
    for (how, archive, _) in &planted.made {
        archive.expect_manifest()?;
        let manifest = archive.manifest()?;
        let etc = CONFIGURATION.iter().map(|name| format!("etc/{name}"));
        let logs = LOG_FILES.iter().map(|name| format!("logs/{name}"));
        for (name, least) in etc
            .map(|name| (name, YAML.len()))
            .chain(logs.map(|name| (name, LOGS.len())))
            .chain([(format!("runtime-security.d/{POLICY_FILE}"), POLICY.len())])
        {
            let count = manifest
                .get(&name)
                .and_then(|entry| entry["replacements"].as_u64());
            // Some secrets of a line are one.
            ensure(count.is_some_and(|count| count >= least as u64 / 2), || {
                format!("{how}: {count:?} replacements in {name}")
            })?;
        }
        let variables = archive.text("envvars.log")?;
        let proxy = " -  HTTP_PROXY=http://agent:********@proxy.example:3128";
        ensure(variables.contains(proxy), || variables.clone())?;
        ensure(!variables.contains("MY_PASSWORD"), || variables.clone())?;
    }
    Ok(())
}

/// What was YAML is YAML still: the agent reads it again.
fn structure(planted: &Planted) -> Outcome {
    for (how, archive, _) in &planted.made {
        for name in CONFIGURATION {
            let text = archive.text(&format!("etc/{name}"))?;
            let copy = scratch::directory("again")?.join(name);
            fs::write(&copy, &text)?;
            let mut command = Command::new(scratch::agent_binary());
            let path = copy.to_string_lossy();
            command.args([
                "config",
                "by-source",
                "-c",
                &path,
                "--sysprobe-config",
                &path,
            ]);
            command.env("DD_RUN_PATH", scratch::directory("nobody-runs")?);
            let done = flare_host::run(command)?;
            let broken = done.stderr.contains("parsing") || done.stderr.contains("YAML");
            ensure(done.code == Some(0) && !broken, || {
                format!("{how}: {name} is not read again: {}", done.said())
            })?;
            let entries = text.matches("\n  entry_").count();
            ensure(entries >= YAML.len(), || {
                format!("{how}: {entries} entries: {text}")
            })?;
        }
    }
    Ok(())
}
