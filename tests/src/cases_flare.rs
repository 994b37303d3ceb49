//! The archive of a flare on a host where all is well: its name, its place, everything that belongs
//! in it, and that it is what its manifest says.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde_json::Value;

use crate::finished::{finish, Finished};
use crate::flare_archive::Archive;
use crate::flare_host::{
    self, archive_of, archives_in, expect_sentence, Host, Test, EXTENSION, HOSTNAME,
};
use crate::harness::{policy, rule, Agent};
use crate::http_server::HttpServer;
use crate::report::{ensure, Failure, Outcome, Report};
use crate::scratch::{self, patience, wait_for};
use crate::tool;

/// What is not empty in the archive of any host with an agent.
const ALWAYS: &[&str] = &[
    "security-agent-status.log",
    "status.json",
    "logs/planted.log",
    "etc/datadog.yaml",
    "etc/security-agent.yaml",
    "etc/system-probe.yaml",
    "runtime-security.d/flare.policy",
    "compliance.d/planted.yaml",
    "envvars.log",
    "kallsyms",
    "mountinfo",
    "permissions.log",
    "manifest.json",
    "policy-check.json",
    "self-test.json",
    "diagnosis.json",
    "spool.json",
    "events.jsonl",
    "config.yaml",
    "bpf-programs.txt",
    "bpf-maps.txt",
    "tc.txt",
    "cgroup.txt",
    "btf.txt",
    "lockdown.txt",
    "kernel.txt",
    "metrics.txt",
];
/// Those that are JSON.
const JSON: &[&str] = &[
    "status.json",
    "policy-check.json",
    "self-test.json",
    "diagnosis.json",
    "spool.json",
];
/// Files of the kernel that not every kernel has, and what they are called in the archive.
const TRACING: &[&str] = &[
    "kprobe_events",
    "available_events",
    "available_filter_functions",
];
/// Where they may be.
const TRACING_DIRECTORIES: &[&str] = &["/sys/kernel/tracing", "/sys/kernel/debug/tracing"];
/// Lines at the start of a file that are compared.
const LINES: usize = 200;
/// Seconds for a look at the archive to be worth it.
const SECONDS: u64 = 10;
/// Flares that are made at the same time.
const AT_ONCE: usize = 3;

/// A healthy host, its agent, and an archive of it.
struct Healthy {
    host: Host,
    _agent: Agent,
    _intake: HttpServer,
    path: PathBuf,
    archive: Archive,
    said: Finished,
}

/// Runs the tests of this file.
pub(crate) fn run(report: &mut Report) {
    let tests: &[Test<Healthy>] = &[
        ("flare_archive_name", name),
        ("flare_archive_complete", complete),
        ("flare_archive_json", json),
        ("flare_archive_contents", contents),
        ("flare_archive_kernel", kernel),
        ("flare_archive_manifest", manifest),
        ("flare_archive_at_once", at_once),
        ("flare_archive_output", output),
        ("flare_archive_list", list),
        ("flare_archive_local", local),
    ];
    flare_host::run_all(report, tests, prepare);
}

fn prepare() -> Result<Healthy, Failure> {
    let intake = HttpServer::start()?;
    let (host, launch) = Host::new("flare-archive", &intake.url())?;
    let rules = [rule("opened", "open.file.name == \"opened.flare\"", "")];
    let agent = launch.policy("flare.policy", policy(&rules))?.start()?;
    let opened = scratch::directory("opened")?.join("opened.flare");
    fs::write(&opened, "")?;
    let pid = tool::run(&["openat", "AT_FDCWD", &opened.to_string_lossy(), "0"])?.pid;
    agent.event_of("opened", pid)?;
    agent.command(&["runtime", "self-test"])?;
    let (said, path) = host.build()?;
    Ok(Healthy {
        archive: Archive::open(&path)?,
        host,
        _agent: agent,
        _intake: intake,
        path,
        said,
    })
}

/// `datadog-agent-2026-01-31T10-20-30Z-info.tar.gz`; a number tells those of one second apart.
fn is_name(path: &Path) -> bool {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let middle = name
        .strip_prefix("datadog-agent-")
        .and_then(|rest| rest.strip_suffix(EXTENSION));
    let Some((time, level)) = middle.and_then(|middle| middle.split_once("Z-")) else {
        return false;
    };
    let shape: String = time
        .chars()
        .map(|one| if one.is_ascii_digit() { '0' } else { one })
        .collect();
    let more = level.strip_prefix("info");
    shape == "0000-00-00T00-00-00"
        && more.is_some_and(|more| {
            more.is_empty()
                || more
                    .strip_prefix('-')
                    .is_some_and(|number| number.parse::<u32>().is_ok())
        })
}

/// In the directory of temporary files, of this moment, private, with nothing beside it.
fn name(healthy: &Healthy) -> Outcome {
    let path = &healthy.path;
    let right = is_name(path) && path.parent() == Some(&healthy.host.tmp());
    ensure(right, || format!("the archive is {}", path.display()))?;
    let status = fs::metadata(path)?;
    let mut date = Command::new("date");
    date.args(["-u", "-d", &format!("@{}", status.mtime()), "+%Y-%m-%dT%H"]);
    let hour = finish(date, patience(SECONDS))?;
    let name = path.to_string_lossy();
    // An hour may have begun in between.
    let now = name.contains(hour.stdout.trim()) || status.mtime() % 3600 < 60;
    ensure(now, || format!("{name} is of {}", hour.said()))?;
    ensure(healthy.archive.root() == HOSTNAME, || {
        format!("its folder is {}", healthy.archive.root())
    })?;
    let upload = healthy.said.stdout.contains("is going to be uploaded");
    ensure(!upload, || healthy.said.said())?;
    healthy.host.expect_tidy()
}

/// Everything is there, and nothing went wrong.
fn complete(healthy: &Healthy) -> Outcome {
    let archive = &healthy.archive;
    let is_empty = |name: &&&str| archive.bytes(name).map_or(true, |bytes| bytes.is_empty());
    let missing: Vec<&&str> = ALWAYS.iter().filter(is_empty).collect();
    ensure(missing.is_empty(), || {
        format!("missing or empty: {missing:?} of {:?}", archive.files())
    })?;
    let log = archive.text("flare_creation.log")?;
    ensure(log.is_empty(), || format!("something went wrong: {log}"))?;
    ensure(!archive.has("local"), || {
        format!("it was built without the agent: {}", healthy.said.said())
    })
}

fn json(healthy: &Healthy) -> Outcome {
    for name in JSON {
        healthy.archive.json(name)?;
    }
    let events = healthy.archive.text("events.jsonl")?;
    let mut seen = BTreeSet::new();
    for line in events.lines() {
        let event: Value = serde_json::from_str(line)?;
        seen.insert(event["agent"]["rule_id"].as_str().unwrap_or("-").to_owned());
    }
    ensure(seen.contains("opened"), || {
        format!("rules with events: {seen:?}")
    })?;
    let report = healthy.archive.text("policy-check.json")?;
    ensure(
        report.contains("flare.policy") || report.contains("opened"),
        || report.clone(),
    )
}

/// Each file tells what it is there to tell.
fn contents(healthy: &Healthy) -> Outcome {
    let command = "root=";
    let line = fs::read_to_string("/proc/cmdline")?;
    for (name, words) in [
        ("security-agent-status.log", &["Events"][..]),
        ("config.yaml", &["hostname", HOSTNAME, "datadog.yaml"]),
        ("etc/datadog.yaml", &["hostname: flare-host-1"]),
        ("logs/planted.log", &["a line of a log"]),
        (
            "runtime-security.d/flare.policy",
            &["open.file.name == \"opened.flare\""],
        ),
        (
            "permissions.log",
            &["datadog.yaml", "planted.log", "flare.policy"],
        ),
        (
            "envvars.log",
            &["Found the following envvars:\n", " -  DD_RUN_PATH=/"],
        ),
        ("bpf-programs.txt", &["\n"]),
        ("bpf-maps.txt", &["\n"]),
        ("tc.txt", &["network namespace", ": lo"]),
        (
            "kernel.txt",
            &[if line.contains(command) { command } else { "" }],
        ),
    ] {
        let text = healthy.archive.text(name)?;
        for word in words {
            ensure(text.to_lowercase().contains(&word.to_lowercase()), || {
                let start: String = text.chars().take(500).collect();
                format!("{name} has no {word:?}: {start}")
            })?;
        }
    }
    let release = fs::read_to_string("/proc/sys/kernel/osrelease")?;
    let kernel = healthy.archive.text("kernel.txt")?;
    ensure(kernel.contains(release.trim()), || kernel.clone())
}

/// What the kernel shows is in the archive as the kernel shows it.
fn kernel(healthy: &Healthy) -> Outcome {
    let archive = &healthy.archive;
    let first =
        |text: &str| -> Vec<String> { text.lines().take(LINES).map(str::to_owned).collect() };
    let symbols = fs::read("/proc/kallsyms")?;
    let expected = first(&String::from_utf8_lossy(&symbols));
    let found = first(&archive.text("kallsyms")?);
    ensure(found == expected, || {
        format!("kallsyms begins with {:?}", found.first())
    })?;
    for name in TRACING {
        let mut sources = TRACING_DIRECTORIES
            .iter()
            .map(|one| Path::new(one).join(name));
        // A kernel may lock some of them away from everybody.
        let Some(text) = sources.find_map(|path| fs::read_to_string(path).ok()) else {
            continue;
        };
        let expected = first(&text);
        let found = archive.text(name)?;
        // Probes of others, and ours, come and go.
        ensure(
            *name == "kprobe_events" || first(&found) == expected,
            || format!("{name} begins with {:?}", found.lines().next()),
        )?;
    }
    let mut dmesg = Command::new("dmesg");
    dmesg.env("LC_ALL", "C");
    let readable = finish(dmesg, patience(SECONDS));
    if readable.is_ok_and(|done| done.code == Some(0) && !done.stdout.is_empty()) {
        archive.expect("dmesg")?;
    }
    let mount = archive.text("mountinfo")?;
    ensure(mount.contains(" / /proc "), || mount.clone())
}

fn manifest(healthy: &Healthy) -> Outcome {
    healthy.archive.expect_manifest()
}

/// Flares that are made at the same time all succeed, with names of their own.
fn at_once(healthy: &Healthy) -> Outcome {
    scratch::not_in_vm()?;
    let directory = scratch::directory("at-once")?;
    let mut children = Vec::new();
    for number in 0..AT_ONCE {
        let output = directory.join(number.to_string());
        let mut command = healthy.host.command(&["--no-upload"]);
        command.stdin(Stdio::null()).stderr(Stdio::null());
        command.stdout(fs::File::create(&output)?);
        children.push((command.spawn()?, output));
    }
    let mut failed = None;
    let mut paths = BTreeSet::new();
    for (mut child, output) in children {
        let limit = patience(flare_host::FLARE_SECONDS);
        let status = wait_for(limit, || child.try_wait().ok().flatten());
        let _ = child.kill();
        let _ = child.wait();
        let text = fs::read_to_string(output)?;
        if !status.is_some_and(|status| status.success()) {
            failed = Some(format!("one ended with {status:?}: {text}"));
        }
        paths.extend(archives_in(&text));
    }
    ensure(failed.is_none(), || failed.unwrap_or_default())?;
    ensure(
        paths.len() == AT_ONCE && !paths.contains(&healthy.path),
        || format!("they are {paths:?}"),
    )?;
    for path in paths {
        ensure(is_name(&path), || format!("one is {}", path.display()))?;
        Archive::open(&path)?.expect_manifest()?;
    }
    healthy.host.expect_tidy()
}

/// The archive is where it was wanted, and nowhere else.
fn output(healthy: &Healthy) -> Outcome {
    scratch::not_in_vm()?;
    let path = scratch::directory("output")?.join("mine.tar.gz");
    let count = || fs::read_dir(healthy.host.tmp()).map(Iterator::count);
    let before = count()?;
    let text = path.to_string_lossy();
    let done = healthy.host.flare(&["--no-upload", "--output", &text])?;
    let named = archive_of(&done)?;
    ensure(named == path, || done.said())?;
    Archive::open(&path)?.expect_manifest()?;
    ensure(count()? == before, || "something else was made".to_owned())?;
    let nowhere = path.with_file_name("missing").join("x.tar.gz");
    let done = healthy
        .host
        .flare(&["--no-upload", "--output", &nowhere.to_string_lossy()])?;
    expect_sentence(&done)?;
    healthy.host.expect_tidy()
}

/// What is in an archive can be seen without unpacking it, and what is none is said to be none.
fn list(healthy: &Healthy) -> Outcome {
    let done = healthy
        .host
        .flare(&["--list", &healthy.path.to_string_lossy()])?;
    let files = healthy.archive.files();
    let missing = files.iter().find(|name| !done.stdout.contains(*name));
    ensure(done.code == Some(0) && missing.is_none(), || {
        format!("{missing:?} is missing: {}", done.said())
    })?;
    let directory = scratch::directory("broken")?;
    let whole = fs::read(&healthy.path)?;
    let half = whole.get(..whole.len() / 2).unwrap_or_default();
    for (name, bytes) in [("half", half), ("empty", &[]), ("text", b"no archive")] {
        let path = directory.join(format!("{name}{EXTENSION}"));
        fs::write(&path, bytes)?;
        let done = healthy.host.flare(&["--list", &path.to_string_lossy()])?;
        expect_sentence(&done).map_err(|failure| failure.at(name))?;
    }
    Ok(())
}

/// With `--local` nobody is asked, although an agent runs.
fn local(healthy: &Healthy) -> Outcome {
    let done = healthy.host.flare(&["--no-upload", "--local"])?;
    let archive = Archive::open(&archive_of(&done)?)?;
    archive.expect_manifest()?;
    let asked = ["diagnosis.json", "self-test.json", "events.jsonl"];
    let answered = asked.iter().find(|name| archive.has(name));
    let is_said =
        done.stdout.contains("Initiating flare locally") && !done.stdout.contains("Asking");
    ensure(
        answered.is_none() && archive.has("local") && is_said,
        || format!("{answered:?} is there: {}", done.said()),
    )?;
    for name in [
        "etc/datadog.yaml",
        "policy-check.json",
        "kallsyms",
        "tc.txt",
    ] {
        archive.expect(name)?;
    }
    Ok(())
}
