//! The tracing file system, wherever it is: mounted, under debugfs, or mounted privately.
//!
//! The private mount is a descriptor that appears in no mount table and vanishes with it.

use std::ffi::CStr;
use std::fs::{File, OpenOptions};
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

const PLACES: [&str; 2] = ["/sys/kernel/tracing", "/sys/kernel/debug/tracing"];
/// include/uapi/linux/mount.h
const FSOPEN_CLOEXEC: u32 = 1;
const FSCONFIG_CMD_CREATE: u32 = 6;
const FSMOUNT_CLOEXEC: u32 = 1;

/// Where tracepoints are described.
pub struct Tracefs {
    root: PathBuf,
    /// Keeps a private mount alive.
    _mount: Option<OwnedFd>,
}

impl Tracefs {
    /// Finds the file system or mounts it privately (Linux 5.2).
    pub fn find() -> io::Result<Tracefs> {
        let mounted = PLACES
            .iter()
            .find(|place| Path::new(place).join("events").is_dir());
        if let Some(place) = mounted {
            return Ok(Tracefs {
                root: PathBuf::from(place),
                _mount: None,
            });
        }
        let mount = mount_privately(c"tracefs")?;
        Ok(Tracefs {
            root: PathBuf::from(format!("/proc/self/fd/{}", mount.as_raw_fd())),
            _mount: Some(mount),
        })
    }

    /// Opens a file by its path below the root.
    pub fn open(&self, path: &str) -> io::Result<File> {
        OpenOptions::new()
            .read(true)
            .custom_flags(libc::O_NONBLOCK)
            .open(self.root.join(path))
    }
}

/// A detached mount of a file system that needs no source (fsopen(2), fsmount(2)).
pub(super) fn mount_privately(kind: &CStr) -> io::Result<OwnedFd> {
    // SAFETY: fsopen reads a zero-ended string that lives through the call.
    let context = owned(unsafe { libc::syscall(libc::SYS_fsopen, kind.as_ptr(), FSOPEN_CLOEXEC) })?;
    create(context.as_fd())?;
    // SAFETY: fsmount takes a descriptor that is open and plain flags.
    owned(unsafe { libc::syscall(libc::SYS_fsmount, context.as_raw_fd(), FSMOUNT_CLOEXEC, 0) })
}

fn create(context: BorrowedFd<'_>) -> io::Result<()> {
    let nothing = std::ptr::null::<libc::c_char>();
    // SAFETY: FSCONFIG_CMD_CREATE takes neither key nor value; both pointers are null.
    let result = unsafe {
        libc::syscall(
            libc::SYS_fsconfig,
            context.as_raw_fd(),
            FSCONFIG_CMD_CREATE,
            nothing,
            nothing,
            0,
        )
    };
    if result < 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(())
}

/// The descriptor that a system call returned.
fn owned(result: libc::c_long) -> io::Result<OwnedFd> {
    if result < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the system call just returned this descriptor and nobody else owns it.
    Ok(unsafe { OwnedFd::from_raw_fd(result as i32) })
}
