//! The outer process: runs the tests in a child and cleans up after it, however it ended.
//!
//! Signals that end the run reach the guard, which kills the child, then the processes that the
//! tests started (found by the run path in their environment) and removes the temporary files, the
//! cgroups and the network namespaces.
//! Mounts need no cleaning: they live in mount namespaces of the tests' own threads.

use std::ffi::OsStr;
use std::fs;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitCode};
use std::thread;

use nix::sys::signal::{kill, SigSet, Signal};
use nix::unistd::Pid;

use crate::cgroup;
use crate::net_places;
use crate::scratch::ROOT_VARIABLE;

/// Tells whether a process belongs to this run.
const RUN_PATH_VARIABLE: &str = "DD_RUN_PATH";
/// The same of a process in a container, whose run path is that of the container.
pub(crate) const CONTAINER_VARIABLE: &str = "E2E_CONTAINER";
/// Variables that the tests, and the programs that they start, look at.
const PASSED_ON: &[&str] = &[
    "PATH",
    "HOME",
    "TMPDIR",
    "LANG",
    "RUST_BACKTRACE",
    "CI",
    "SOAK",
    "BENCH",
    "DD_RUNTIME_SECURITY_CONFIG_NETWORK_INTERFACES_INCLUDE",
];
/// Times that leftovers are looked for: one may fork while we look.
const ROUNDS: usize = 5;

/// Runs the tests of these names in a child; returns its exit code.
pub(crate) fn run(filters: &[String]) -> ExitCode {
    match guarded(filters) {
        Ok(code) => code,
        Err(error) => {
            println!("FAIL guard: the tests could not be started: {error}");
            println!("0 passed, 1 failed, 0 skipped");
            ExitCode::FAILURE
        }
    }
}

fn guarded(filters: &[String]) -> io::Result<ExitCode> {
    let signals = block_signals()?;
    let root = make_root()?;
    let networks = net_places::before();
    let result = run_child(filters, &root, signals);
    clean_up(&root);
    cgroup::clean_up(&root);
    net_places::clean_up(&root, &networks);
    result
}

/// Blocked here only: a started program begins with no signal blocked.
fn block_signals() -> io::Result<SigSet> {
    let mut signals = SigSet::empty();
    signals.add(Signal::SIGINT);
    signals.add(Signal::SIGTERM);
    signals.add(Signal::SIGHUP);
    signals.thread_block()?;
    Ok(signals)
}

fn make_root() -> io::Result<PathBuf> {
    let path = std::env::temp_dir().join(format!("e2e-{}", std::process::id()));
    fs::create_dir(&path)?;
    crate::scratch::set_mode(&path, 0o755)?;
    path.canonicalize()
}

fn run_child(filters: &[String], root: &Path, signals: SigSet) -> io::Result<ExitCode> {
    let mut child = Command::new(std::env::current_exe()?)
        .args(filters)
        .env_clear()
        .envs(std::env::vars_os().filter(|(name, _)| is_for_tests(name)))
        .env(ROOT_VARIABLE, root)
        .spawn()?;
    let pid = id_of(&child);
    thread::spawn(move || {
        if signals.wait().is_ok() {
            // Gone already: then there is nothing to end.
            let _ = kill(pid, Signal::SIGKILL);
        }
    });
    let status = child.wait()?;
    match status.code() {
        Some(code) => Ok(ExitCode::from(u8::try_from(code).unwrap_or(1))),
        None => {
            println!("FAIL guard: the tests were ended: {status}");
            println!("0 passed, 1 failed, 0 skipped");
            Ok(ExitCode::FAILURE)
        }
    }
}

/// Whether the tests are to see this variable. Each event names those of all ancestors, so its size
/// would depend on what else a machine has in its environment.
fn is_for_tests(name: &OsStr) -> bool {
    let name = name.to_string_lossy();
    name.starts_with("SECURITY_AGENT_") || PASSED_ON.contains(&name.as_ref())
}

/// The process id of a child, as nix has it.
pub(crate) fn id_of(child: &Child) -> Pid {
    Pid::from_raw(i32::try_from(child.id()).unwrap_or(i32::MAX))
}

fn clean_up(root: &Path) {
    for _ in 0..ROUNDS {
        let left = processes_of(root);
        if left.is_empty() {
            break;
        }
        for pid in left {
            let _ = kill(Pid::from_raw(pid), Signal::SIGKILL);
        }
    }
    if let Err(error) = fs::remove_dir_all(root) {
        println!(
            "FAIL guard: {} could not be removed: {error}",
            root.display()
        );
    }
}

/// The processes whose run path, or the directory of whose container, is `path` or lies below it;
/// zombies have no environment left.
pub(crate) fn processes_of(path: &Path) -> Vec<i32> {
    let path = path.as_os_str().as_bytes();
    let wanted = [RUN_PATH_VARIABLE, CONTAINER_VARIABLE]
        .map(|variable| [variable.as_bytes(), b"=", path].concat());
    let belongs = |pid: &i32| {
        let environment = fs::read(format!("/proc/{pid}/environ")).unwrap_or_default();
        environment.split(|byte| *byte == 0).any(|variable| {
            let rest = wanted.iter().find_map(|it| variable.strip_prefix(&it[..]));
            rest.is_some_and(|rest| matches!(rest.first(), None | Some(b'/')))
        })
    };
    let Ok(entries) = fs::read_dir("/proc") else {
        return Vec::new();
    };
    entries
        .flatten()
        .filter_map(|entry| entry.file_name().to_str()?.parse::<i32>().ok())
        .filter(belongs)
        .collect()
}
