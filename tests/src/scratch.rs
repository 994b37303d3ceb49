//! Settings from the environment, temporary directories, and waiting.
//!
//! Everything that a test writes lies under one root in the temporary directory, which the guard
//! makes and removes. Nothing here knows the agent.

use std::fs;
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread::sleep;
use std::time::{Duration, Instant};

use crate::report::{Failure, Outcome};

/// Names the root of all temporary files; set by the guard, so it also tells its child that it is
/// the one to run the tests.
pub(crate) const ROOT_VARIABLE: &str = "E2E_ROOT";
const BINARY_VARIABLE: &str = "SECURITY_AGENT_BIN";
const TOOLS_VARIABLE: &str = "SECURITY_AGENT_TOOLS";
const VM_VARIABLE: &str = "SECURITY_AGENT_VM";
/// How much longer everything may take where the processor is emulated.
const VM_FACTOR: u32 = 8;
/// Between two looks at a condition.
const PAUSE: Duration = Duration::from_millis(10);
/// Looks after which something is not there, and how many of them where each takes its time.
const LEAST_LOOKS: u32 = 20;
const LEAST_SLOW_LOOKS: u32 = 4;

static COUNTER: AtomicUsize = AtomicUsize::new(0);

/// Says what is missing for any test to run.
pub(crate) fn check_settings() -> Result<(), String> {
    for (variable, path) in [
        (BINARY_VARIABLE, agent_binary()),
        (TOOLS_VARIABLE, tool("syscalls")),
        (ROOT_VARIABLE, root()),
    ] {
        if !path.exists() {
            return Err(format!("{} does not exist; set {variable}", path.display()));
        }
    }
    if !nix::unistd::geteuid().is_root() {
        return Err("the end-to-end tests need root".to_owned());
    }
    Ok(())
}

/// The agent.
pub(crate) fn agent_binary() -> PathBuf {
    PathBuf::from(std::env::var_os(BINARY_VARIABLE).unwrap_or_default())
}

/// A copy of the agent that every user can run; the original may lie in a private directory.
pub(crate) fn public_binary() -> Result<PathBuf, Failure> {
    let path = root().join("public-agent");
    if !path.exists() {
        fs::copy(agent_binary(), &path)?;
        set_mode(&path, 0o755)?;
    }
    for directory in path.ancestors().skip(1) {
        if fs::metadata(directory)?.permissions().mode() & 0o001 == 0 {
            let sentence = format!("other users cannot enter {}", directory.display());
            return Err(Failure::Skipped(sentence));
        }
    }
    Ok(path)
}

/// A compiled C tool.
pub(crate) fn tool(name: &str) -> PathBuf {
    PathBuf::from(std::env::var_os(TOOLS_VARIABLE).unwrap_or_default()).join(name)
}

/// The root of all temporary files; its canonical path.
pub(crate) fn root() -> PathBuf {
    PathBuf::from(std::env::var_os(ROOT_VARIABLE).unwrap_or_default())
}

/// What tells a run from others that use the same names: the number of the guard's process.
pub(crate) fn run_number(root: &Path) -> String {
    let name = root.file_name().unwrap_or_default().to_string_lossy();
    name.rsplit('-').next().unwrap_or_default().to_owned()
}

/// Whether this is the test virtual machine.
pub(crate) fn in_vm() -> bool {
    std::env::var_os(VM_VARIABLE).is_some_and(|value| value == "1")
}

/// For a test that would touch what other programs of a machine use.
pub(crate) fn needs_own_machine() -> Outcome {
    match in_vm() {
        true => Ok(()),
        false => Err(Failure::NotApplicable(
            "it would touch interfaces of this machine; the test virtual machine runs it"
                .to_owned(),
        )),
    }
}

/// Of no meaning where the processor is emulated: it is long there, and not about the kernel.
pub(crate) fn needs_fast_machine() -> Outcome {
    match in_vm() {
        true => Err(Failure::NotApplicable(
            "it mostly waits, and shows the same on every kernel".to_owned(),
        )),
        false => Ok(()),
    }
}

/// Of no meaning in the virtual machine, which is there for its kernel; an emulated processor takes
/// long besides.
pub(crate) fn not_in_vm() -> Outcome {
    match in_vm() {
        true => Err(Failure::NotApplicable(
            "the kernel makes no difference to it".to_owned(),
        )),
        false => Ok(()),
    }
}

/// So many seconds, more where the processor is emulated.
pub(crate) fn patience(seconds: u64) -> Duration {
    stretched(Duration::from_secs(seconds))
}

/// This duration, longer where the processor is emulated.
pub(crate) fn stretched(duration: Duration) -> Duration {
    duration * if in_vm() { VM_FACTOR } else { 1 }
}

/// Waits until `look` gives a value; `None` after `limit`. A machine that stood still meanwhile has
/// not had that time: [`LEAST_LOOKS`] are taken at least, but for those that take long themselves.
pub(crate) fn wait_for<T>(limit: Duration, mut look: impl FnMut() -> Option<T>) -> Option<T> {
    let start = Instant::now();
    let mut looks = 0;
    loop {
        if let Some(value) = look() {
            return Some(value);
        }
        looks += 1;
        let time = start.elapsed();
        if time >= limit && looks >= LEAST_LOOKS || time >= 3 * limit && looks >= LEAST_SLOW_LOOKS {
            return None;
        }
        sleep(PAUSE);
    }
}

/// Waits until `check` finds nothing wrong; after `limit`, what it found last.
pub(crate) fn wait_until_right(limit: Duration, mut check: impl FnMut() -> Outcome) -> Outcome {
    let mut last = Ok(());
    wait_for(limit, || {
        last = check();
        last.is_ok().then_some(())
    });
    last
}

/// A new directory under the root, mode 0755, whose name begins with `name`.
pub(crate) fn directory(name: &str) -> io::Result<PathBuf> {
    let number = COUNTER.fetch_add(1, Ordering::Relaxed);
    let path = root().join(format!("{name}-{number}"));
    fs::create_dir(&path)?;
    set_mode(&path, 0o755)?;
    Ok(path)
}

/// Sets the permissions of a file or directory.
pub(crate) fn set_mode(path: &Path, mode: u32) -> io::Result<()> {
    fs::set_permissions(path, fs::Permissions::from_mode(mode))
}
