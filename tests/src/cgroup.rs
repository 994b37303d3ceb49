//! Cgroups of the tests' own, removed when they are dropped.

use std::fs;
use std::path::PathBuf;

use crate::report::Failure;

/// A cgroup in the unified hierarchy. It is removed when it is dropped, if its last process is gone.
pub(crate) struct Cgroup(PathBuf);

impl Cgroup {
    /// Makes one at the top of the hierarchy; the name ends with the runner's pid.
    pub(crate) fn new(name: &str) -> Result<Cgroup, Failure> {
        Cgroup::make(unified()?.join(format!("cwst-{name}-{}", std::process::id())))
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
        let _ = fs::remove_dir(&self.0);
    }
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
