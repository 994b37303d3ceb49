//! The one place that calls bpf(2), and the little that every caller of it needs.
//!
//! A command and its attribute struct enter; the kernel's result or its error number leaves. What
//! the pointers in an attribute mean is the caller's business.

use std::io;
use std::mem::size_of;

use libc::{c_int, c_long};

/// Commands of bpf(2) (`enum bpf_cmd`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub(crate) enum Command {
    MapCreate = 0,
    MapLookup = 1,
    MapUpdate = 2,
    MapDelete = 3,
    MapNextKey = 4,
    ProgramLoad = 5,
    ObjectPin = 6,
    ObjectGet = 7,
    ProgramAttach = 8,
    ProgramTestRun = 10,
    ProgramNextId = 11,
    MapNextId = 12,
    ProgramById = 13,
    MapById = 14,
    ObjectInfo = 15,
    ProgramQuery = 16,
    RawTracepointOpen = 17,
    BtfLoad = 18,
    MapFreeze = 22,
    LinkCreate = 28,
    IterCreate = 33,
}

/// Calls bpf(2); the error is an errno value.
///
/// # Safety
/// `attr` must be the attribute struct of `command`, and every pointer in it must be null or valid
/// for the bytes that the kernel reads or writes through it.
pub(crate) unsafe fn bpf<T>(command: Command, attr: &mut T) -> Result<c_int, c_int> {
    // SAFETY: the kernel reads size_of::<T>() bytes from `attr`, a live exclusive reference, and
    // writes at most as many back. The caller vouches for the pointers inside.
    let result = unsafe {
        libc::syscall(
            libc::SYS_bpf,
            command as c_long,
            std::ptr::from_mut(attr),
            size_of::<T>() as c_long,
        )
    };
    c_int::try_from(result)
        .ok()
        .filter(|value| *value >= 0)
        .ok_or_else(errno)
}

/// The calling thread's errno.
pub(crate) fn errno() -> c_int {
    io::Error::last_os_error().raw_os_error().unwrap_or(0)
}

/// Sets the calling thread's errno: redbpf reads it after a failed call.
pub(crate) fn set_errno(value: c_int) {
    // SAFETY: the C library returns the valid address of this thread's own errno.
    unsafe { *libc::__errno_location() = value };
}

/// The bits of a descriptor as attributes carry them.
pub(crate) fn fd_bits(fd: c_int) -> u32 {
    fd as u32
}

/// Address of a byte slice as attributes carry it; an empty slice gives null.
pub(crate) fn address(bytes: &[u8]) -> u64 {
    if bytes.is_empty() {
        return 0;
    }
    bytes.as_ptr() as u64
}

/// Address of a slice that the kernel may write to; an empty slice gives null.
pub(crate) fn address_mut(bytes: &mut [u8]) -> u64 {
    if bytes.is_empty() {
        return 0;
    }
    bytes.as_mut_ptr() as u64
}

/// Runs `call`, and once more after lifting RLIMIT_MEMLOCK when it fails with EPERM: kernels before
/// 5.11 count maps and programs against that limit.
pub(crate) fn with_memlock<T>(mut call: impl FnMut() -> Result<T, c_int>) -> Result<T, c_int> {
    match call() {
        Err(libc::EPERM) if lift_memlock_limit() => call(),
        result => result,
    }
}

/// Lifts RLIMIT_MEMLOCK of this process. False when it was unlimited already or may not be lifted.
fn lift_memlock_limit() -> bool {
    let mut limit = libc::rlimit {
        rlim_cur: 0,
        rlim_max: 0,
    };
    // SAFETY: `limit` is a live rlimit that the kernel fills.
    let read = unsafe { libc::getrlimit(libc::RLIMIT_MEMLOCK, &mut limit) } == 0;
    if !read || limit.rlim_cur == libc::RLIM_INFINITY {
        return false;
    }
    limit.rlim_cur = libc::RLIM_INFINITY;
    limit.rlim_max = libc::RLIM_INFINITY;
    // SAFETY: `limit` is a live rlimit that the kernel only reads.
    unsafe { libc::setrlimit(libc::RLIMIT_MEMLOCK, &limit) == 0 }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::attr::MapFreeze;

    /// True when the test may use bpf(2); prints why it does not run otherwise.
    pub(crate) fn bpf_allowed(test: &str) -> bool {
        // SAFETY: geteuid has no arguments and cannot fail.
        let root = unsafe { libc::geteuid() } == 0;
        if !root {
            println!("{test}: not run, bpf(2) needs root");
        }
        root
    }

    #[test]
    fn kernel_refusal_is_an_error_number() {
        let mut attr = MapFreeze { map_fd: u32::MAX };
        // SAFETY: the attribute of this command holds no pointer.
        let result = unsafe { bpf(Command::MapFreeze, &mut attr) };
        assert!(matches!(result, Err(libc::EBADF | libc::EPERM)));
    }

    #[test]
    fn errno_survives_a_round_trip() {
        set_errno(libc::ENOSPC);
        assert_eq!(errno(), libc::ENOSPC);
    }

    #[test]
    fn calls_that_do_not_fail_with_eperm_run_once() {
        let mut calls = 0;
        let result: Result<(), c_int> = with_memlock(|| {
            calls += 1;
            Err(libc::EINVAL)
        });
        assert_eq!((result, calls), (Err(libc::EINVAL), 1));
    }
}
