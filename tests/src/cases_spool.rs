//! The spool where it has little room or none: what does not fit is counted, trouble is said in a
//! sentence, and detection goes on.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;

use nix::mount::{mount, MsFlags};

use crate::delivery::{self, dropped, expect_below, pour, take};
use crate::http_server::HttpServer;
use crate::namespace::{mount_tmpfs, with_own_mounts};
use crate::numbers::Numbers;
use crate::report::{ensure, Failure, Outcome, Report};
use crate::scratch::{self, patience, wait_for};
use crate::socket::Client;

/// More than a spool of one megabyte holds.
const TOO_MANY: usize = 3_000;
/// As many as memory holds when the disk does not work.
const FEW: usize = 60;
/// More numbers than are made until the agent is up.
const MANY_TRIES: usize = 20_000;
/// Seconds for what waits to arrive.
const SECONDS: u64 = 30;

/// Does something to the directory of the spool.
type Spoil = fn(&Path) -> Outcome;

const TROUBLE: &[(&str, Spoil, &[&str])] = &[
    ("full", full, &["no space"]),
    ("read_only", read_only, &["read-only"]),
    ("file", |path| Ok(fs::write(path, "")?), &["no directory"]),
    ("link", link, &["link", "no directory"]),
];

/// Runs the tests of this file.
pub(crate) fn run(report: &mut Report) {
    report.case_of_user_space("spool_limit", limit);
    report.case_of_user_space("spool_restart", restart);
    for (name, spoil, words) in TROUBLE {
        report.case_of_user_space(&format!("spool_{name}"), || {
            with_own_mounts(|| trouble(*spoil, words))
        });
    }
    report.case_of_user_space("spool_read_only_run_path", || {
        with_own_mounts(read_only_run_path)
    });
}

/// What does not fit is dropped from the old end, and counted: together that is everything. The
/// agent's own events are among what is dropped, so the sum alone does not say that all is there.
fn limit() -> Outcome {
    let mut server = HttpServer::start()?;
    server.down();
    let numbers = Numbers::new()?;
    let mut tally = numbers.tally(TOO_MANY);
    let agent = delivery::launch("limit", &numbers, &server.url())?
        .env("DD_RUNTIME_SECURITY_CONFIG_SPOOL_MAX_SIZE", "1Mb")
        .start()?;
    pour(&agent, &numbers, 0..TOO_MANY)?;
    server.up()?;
    let all = wait_for(patience(SECONDS), || {
        take(&mut tally, &mut server).ok()?;
        let lost = usize::try_from(dropped(&agent)?).ok()?;
        let newest = tally.has(TOO_MANY - 1);
        (newest && tally.arrived() + lost >= TOO_MANY).then_some(lost)
    });
    let told = || format!("{}, {:?} dropped", tally.summary(), dropped(&agent));
    let lost = all.ok_or_else(told)?;
    println!("figure: {} arrived, {lost} dropped", tally.arrived());
    ensure(lost > 0, told)
}

/// What waits is there after an end and another start.
fn restart() -> Outcome {
    let mut server = HttpServer::start()?;
    server.down();
    let numbers = Numbers::new()?;
    let mut tally = numbers.tally(FEW);
    let mut agent = delivery::launch("restart", &numbers, &server.url())?.start()?;
    pour(&agent, &numbers, 0..FEW)?;
    agent.stop()?;
    server.up()?;
    let agent = agent.again().start()?;
    expect_below(FEW, &mut tally, &mut server, patience(SECONDS))
        .map_err(|failure| failure.at(&agent.log()))
}

fn full(path: &Path) -> Outcome {
    fs::create_dir(path)?;
    mount_tmpfs(path, "size=64k,mode=0700")?;
    Ok(())
}

fn read_only(path: &Path) -> Outcome {
    fs::create_dir(path)?;
    mount_read_only(path, "size=4m,mode=0700")
}

fn mount_read_only(path: &Path, options: &str) -> Outcome {
    mount_tmpfs(path, options)?;
    let flags = MsFlags::MS_REMOUNT | MsFlags::MS_RDONLY;
    mount(None::<&str>, path, None::<&str>, flags, None::<&str>)?;
    Ok(())
}

fn link(path: &Path) -> Outcome {
    Ok(symlink(scratch::directory("elsewhere")?, path)?)
}

/// Nothing can be written where locks, sockets and spool belong, and the sockets that matter are
/// elsewhere: a sentence, and events go from the kernel to the intake through memory.
fn read_only_run_path() -> Outcome {
    let mut server = HttpServer::start()?;
    let numbers = Numbers::new()?;
    let mut tally = numbers.tally(MANY_TRIES + FEW);
    let sockets = scratch::directory("sockets")?;
    scratch::set_mode(&sockets, 0o750)?;
    let socket = sockets.join("runtime-security.sock");
    let launch = delivery::launch("read-only", &numbers, &server.url())?.env(
        "DD_RUNTIME_SECURITY_CONFIG_SOCKET",
        &socket.to_string_lossy(),
    );
    mount_read_only(&launch.run_path(), "size=1m,mode=0750")?;
    let mut agent = launch.spawn()?;
    let mut next = 0;
    let first = wait_for(patience(SECONDS), || {
        numbers.open(next..next + 1).ok()?;
        next += 1;
        take(&mut tally, &mut server).ok()?;
        (tally.arrived() > 0).then_some(())
    });
    ensure(first.is_some() && next < MANY_TRIES, || {
        format!("nothing arrived; log: {}", agent.log())
    })?;
    // None of those from before the start is waited for.
    let mut tally = numbers.tally(FEW);
    numbers.open(0..FEW)?;
    expect_below(FEW, &mut tally, &mut server, patience(SECONDS))?;
    let log = agent.log().to_lowercase();
    ensure(
        log.contains("read-only") && !log.contains("panicked"),
        || agent.log(),
    )?;
    let answer = Client::connect(&sockets.join("cmd-runtime-security.sock"), patience(5))?
        .ask(r#"{"command":"status"}"#)?;
    ensure(answer["ok"] == true, || format!("status: {answer}"))?;
    let (code, status) = agent.status()?;
    println!("figure: status ends with {code:?} where its role has no socket");
    ensure(status.is_object(), || format!("status -j: {status}"))?;
    let status = agent.stop()?;
    ensure(status.success(), || {
        format!("ended with {status}; log: {}", agent.log())
    })
}

/// A sentence about it, events from memory, and nobody ends.
fn trouble(spoil: Spoil, words: &[&str]) -> Outcome {
    let mut server = HttpServer::start()?;
    server.down();
    let numbers = Numbers::new()?;
    let mut tally = numbers.tally(FEW);
    let launch = delivery::launch("trouble", &numbers, &server.url())?;
    spoil(&launch.run_path().join("spool"))?;
    let mut agent = launch.start()?;
    pour(&agent, &numbers, 0..FEW)?;
    let said = || {
        let log = agent.log().to_lowercase();
        log.contains("spool") && words.iter().any(|word| log.contains(word))
    };
    let told = wait_for(patience(10), || said().then_some(()));
    ensure(told.is_some(), || {
        format!("the log says none of {words:?}: {}", agent.log())
    })?;
    server.up()?;
    expect_below(FEW, &mut tally, &mut server, patience(SECONDS))?;
    ensure(!agent.log().contains("panicked"), || agent.log())?;
    let status = agent.stop()?;
    ensure(status.success(), || {
        format!("ended with {status}; log: {}", agent.log())
    })
    .map_err(|failure: Failure| failure.at("at the end"))
}
