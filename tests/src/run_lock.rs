//! One run at a time on a machine, for what two of them would take from each other.
//!
//! The lock is on the network namespace of the machine itself, so that no file is left behind; it goes
//! with the process.

use std::fs::{File, TryLockError};
use std::io;
use std::path::Path;
use std::sync::OnceLock;

use crate::report::{Failure, Outcome};
use crate::scratch::{patience, wait_for};

const LOCKED: &str = "/proc/self/ns/net";
/// Seconds for the other run to end.
const SECONDS: u64 = 1800;

static LOCK: OnceLock<Result<File, String>> = OnceLock::new();

/// Waits until no other run holds the lock, and holds it from then on.
pub(crate) fn hold() -> Outcome {
    let held = LOCK.get_or_init(|| take(Path::new(LOCKED))).as_ref();
    held.map(drop)
        .map_err(|why| Failure::Failed(why.to_owned()))
}

fn take(path: &Path) -> Result<File, String> {
    let failed = |error: io::Error| format!("{} cannot be locked: {error}", path.display());
    let file = File::open(path).map_err(failed)?;
    let mut told = false;
    let limit = patience(SECONDS);
    let taken = wait_for(limit, || match file.try_lock() {
        Ok(()) => Some(Ok(())),
        Err(TryLockError::Error(error)) => Some(Err(failed(error))),
        Err(TryLockError::WouldBlock) => {
            if !std::mem::replace(&mut told, true) {
                println!("waiting for another run of the network tests on this machine to end");
            }
            None
        }
    });
    let late = || {
        Err(format!(
            "another run of the network tests has not ended within {} s",
            limit.as_secs()
        ))
    };
    taken.unwrap_or_else(late)?;
    Ok(file)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_one_finds_it_locked() {
        let path = std::env::temp_dir().join(format!("run-lock-{}", std::process::id()));
        File::create(&path).unwrap();
        let first = take(&path).unwrap();
        let second = File::open(&path).unwrap();
        assert!(matches!(second.try_lock(), Err(TryLockError::WouldBlock)));
        drop(first);
        assert!(take(&path).is_ok());
        std::fs::remove_file(&path).unwrap();
    }
}
