//! Cgroups of the tests' own, removed when they are dropped, or by the guard when the run was killed.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::report::Failure;
use crate::scratch::{self, run_number, wait_for};

/// What their names begin with.
const PREFIX: &str = "cwst-";
/// A killed process leaves its cgroup a moment later.
const REMOVE_TIME: Duration = Duration::from_secs(5);

/// A cgroup in the unified hierarchy. It is removed when it is dropped, if its last process is gone.
pub(crate) struct Cgroup(PathBuf);

impl Cgroup {
    /// Makes one at the top of the hierarchy; the name ends with the number of the run.
    pub(crate) fn new(name: &str) -> Result<Cgroup, Failure> {
        let number = run_number(&scratch::root());
        Cgroup::make(unified()?.join(format!("{PREFIX}{name}-{number}")))
    }

    /// Makes one within this one.
    pub(crate) fn child(&self, name: &str) -> Result<Cgroup, Failure> {
        Cgroup::make(self.0.join(name))
    }

    fn make(path: PathBuf) -> Result<Cgroup, Failure> {
        fs::create_dir(&path)?;
        Ok(Cgroup(path))
    }

    /// Its directory.
    pub(crate) fn directory(&self) -> String {
        self.0.to_string_lossy().into_owned()
    }

    /// Its path as the kernel shows it to its processes.
    pub(crate) fn path(&self) -> Result<String, Failure> {
        let path = self.0.strip_prefix(unified()?).unwrap_or(&self.0);
        Ok(format!("/{}", path.display()))
    }
}

impl Drop for Cgroup {
    fn drop(&mut self) {
        // Its last process may still be on its way out.
        wait_for(REMOVE_TIME, || fs::remove_dir(&self.0).ok());
    }
}

/// Removes the cgroups of the run with this root that are left, whose processes were killed.
pub(crate) fn clean_up(root: &Path) {
    let ending = format!("-{}", run_number(root));
    for path in unified().map(|top| within(&top)).unwrap_or_default() {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        let is_ours = name.starts_with(PREFIX) && name.ends_with(&ending);
        if is_ours && wait_for(REMOVE_TIME, || remove(&path).ok()).is_none() {
            println!(
                "FAIL guard: the cgroup {} could not be removed",
                path.display()
            );
        }
    }
}

/// The cgroups right within one.
fn within(path: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(path).into_iter().flatten().flatten();
    let paths = entries.map(|entry| entry.path());
    paths.filter(|path| path.is_dir()).collect()
}

/// Removes a cgroup and those within it.
fn remove(path: &Path) -> io::Result<()> {
    for inner in within(path) {
        remove(&inner)?;
    }
    fs::remove_dir(path)
}

/// Where the unified hierarchy is mounted.
fn unified() -> Result<PathBuf, Failure> {
    let mounts = fs::read_to_string("/proc/self/mounts")?;
    let found = mounts.lines().find_map(|line| {
        let mut words = line.split(' ').skip(1);
        let (path, kind) = (words.next()?, words.next()?);
        (kind == "cgroup2").then(|| PathBuf::from(path))
    });
    found.ok_or_else(|| Failure::Skipped("no cgroup2 file system is mounted".to_owned()))
}
