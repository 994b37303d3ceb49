//! The run that our filters are named after, and the dead runs before it.
//!
//! A run is a random number with a lock file below the run path, held as long as system-probe lives.
//! A filter of another run is stale when that run's file is there and nobody holds its lock; a run
//! whose file is not seen may live in another mount namespace, and is left alone.

use std::fs::{self, File};
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use crate::sys::lock::{self, LockFile};

const PREFIX: &str = "tc-";
const SUFFIX: &str = ".lock";
const DIGITS: usize = 16;
/// Dead runs that are cleaned up behind at one start.
const MOST: usize = 64;

/// This run and the dead ones, whose locks are held so that nobody else cleans up there.
#[derive(Debug)]
pub(super) struct Runs {
    id: u64,
    own: LockFile,
    stale: Vec<LockFile>,
    stale_ids: Vec<u64>,
}

impl Runs {
    /// Begins a run. The error is that of the lock file.
    pub(super) fn start(run_path: &Path) -> Result<Runs, lock::Error> {
        let id = random().map_err(|source| lock::Error::Io {
            path: "/dev/urandom".into(),
            source,
        })?;
        let own = LockFile::acquire_private(&path_of(run_path, id))?;
        let mut runs = Runs {
            id,
            own,
            stale: Vec::new(),
            stale_ids: Vec::new(),
        };
        // Lazily: files that living runs hold do not count.
        let others = others(run_path, id).into_iter();
        let dead = others.filter_map(|id| Some((LockFile::take_over(&path_of(run_path, id))?, id)));
        for (lock, id) in dead.take(MOST) {
            runs.stale.push(lock);
            runs.stale_ids.push(id);
        }
        Ok(runs)
    }

    /// Whether there are lock files, of dead runs or of living ones.
    pub(super) fn are_left(run_path: &Path) -> bool {
        !others(run_path, 0).is_empty()
    }

    /// The number of this run.
    pub(super) fn id(&self) -> u64 {
        self.id
    }

    /// The dead runs that filters may be left of.
    pub(super) fn stale(&self) -> &[u64] {
        &self.stale_ids
    }

    /// Nothing is left of the dead runs: their lock files go.
    pub(super) fn forget_stale(&mut self) {
        self.stale.clear();
        self.stale_ids.clear();
    }

    /// Ends the run. The lock files of runs of which something may be left stay, so that the next
    /// start cleans up.
    pub(super) fn end(self, is_clean: bool) {
        for lock in self.stale {
            lock.leave();
        }
        if !is_clean {
            self.own.leave();
        }
    }
}

fn random() -> io::Result<u64> {
    let mut bytes = [0; 8];
    File::open("/dev/urandom")?.read_exact(&mut bytes)?;
    Ok(u64::from_ne_bytes(bytes))
}

fn path_of(run_path: &Path, id: u64) -> PathBuf {
    run_path.join(format!("{PREFIX}{id:016x}{SUFFIX}"))
}

/// Other runs that there are lock files of.
fn others(run_path: &Path, own: u64) -> Vec<u64> {
    let entries = fs::read_dir(run_path).into_iter().flatten().flatten();
    entries
        .filter_map(|entry| id_of(entry.file_name().to_str()?))
        .filter(|id| *id != own)
        .collect()
}

fn id_of(name: &str) -> Option<u64> {
    let digits = name.strip_prefix(PREFIX)?.strip_suffix(SUFFIX)?;
    let is_id = digits.len() == DIGITS && digits.bytes().all(|digit| digit.is_ascii_hexdigit());
    is_id.then(|| u64::from_str_radix(digits, 16).ok())?
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_runs_that_nobody_holds_are_stale() {
        let base = std::env::temp_dir().join(format!("tc-runs-{}", std::process::id()));
        fs::create_dir_all(&base).unwrap();
        let living = LockFile::acquire_private(&path_of(&base, 5)).unwrap();
        fs::write(path_of(&base, 6), "").unwrap();
        fs::write(base.join("tc-7.lock"), "").unwrap();
        fs::write(base.join("system-probe.lock"), "").unwrap();
        std::os::unix::fs::symlink("/proc/self/stat", path_of(&base, 8)).unwrap();

        let first = Runs::start(&base).unwrap();
        assert_eq!(first.stale(), [6]);
        let id = first.id();
        // Something is left of both.
        first.end(false);

        let mut second = Runs::start(&base).unwrap();
        let mut stale = second.stale().to_vec();
        stale.sort_unstable();
        let mut expected = [6, id];
        expected.sort_unstable();
        assert_eq!(stale, expected);
        let third = Runs::start(&base).unwrap();
        assert!(third.stale().is_empty(), "they are held");
        third.end(true);
        second.forget_stale();
        let own = path_of(&base, second.id());
        assert!(own.exists());
        second.end(true);
        for path in [own, path_of(&base, 6), path_of(&base, id)] {
            assert!(!path.exists(), "{}", path.display());
        }
        drop(living);
        fs::remove_dir_all(&base).unwrap();
    }

    #[test]
    fn names_lead_back_to_their_run() {
        for id in [0, 7, u64::MAX] {
            let path = path_of(Path::new("/run"), id);
            assert_eq!(id_of(path.file_name().unwrap().to_str().unwrap()), Some(id));
        }
        for name in [
            "tc-+000000000000007.lock",
            "tc-0000000000000007",
            "tc-.lock",
        ] {
            assert_eq!(id_of(name), None, "{name}");
        }
    }
}
