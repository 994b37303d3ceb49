//! Mount namespaces of a thread's own: what is mounted there nobody else sees, and it is gone with
//! the thread and the programs that it started.

use std::path::Path;
use std::thread;

use nix::mount::{mount, MsFlags};
use nix::sched::{unshare, CloneFlags};

use crate::report::Failure;

/// Does `work` in a mount namespace of its own, in a thread of its own. Programs that it starts
/// are in that namespace too.
pub(crate) fn with_own_mounts<T: Send>(
    work: impl FnOnce() -> Result<T, Failure> + Send,
) -> Result<T, Failure> {
    let in_thread = || {
        unshare(CloneFlags::CLONE_NEWNS)?;
        let private = MsFlags::MS_REC | MsFlags::MS_PRIVATE;
        mount(None::<&str>, "/", None::<&str>, private, None::<&str>)?;
        work()
    };
    thread::scope(|scope| scope.spawn(in_thread).join())
        .unwrap_or_else(|_| Err(Failure::Failed("the test's thread panicked".to_owned())))
}

/// Mounts an empty tmpfs; `options` as mount(8) takes them.
pub(crate) fn mount_tmpfs(at: &Path, options: &str) -> nix::Result<()> {
    mount(
        Some("tmpfs"),
        at,
        Some("tmpfs"),
        MsFlags::empty(),
        Some(options),
    )
}

/// Makes `source` visible at `at` as well.
pub(crate) fn mount_bind(source: &Path, at: &Path) -> nix::Result<()> {
    mount(
        Some(source),
        at,
        None::<&str>,
        MsFlags::MS_BIND,
        None::<&str>,
    )
}

/// Mounts an overlay of `upper` on `lower`; fails with ENODEV where the kernel has none.
pub(crate) fn mount_overlay(lower: &Path, upper: &Path, work: &Path, at: &Path) -> nix::Result<()> {
    let options = format!(
        "lowerdir={},upperdir={},workdir={}",
        lower.display(),
        upper.display(),
        work.display()
    );
    mount(
        Some("overlay"),
        at,
        Some("overlay"),
        MsFlags::empty(),
        Some(options.as_str()),
    )
}
