//! What this process was given by who started it, as far as the libraries change it before `main`:
//! the standard library ignores SIGPIPE, and opens `/dev/null` where a standard descriptor is
//! closed; the C library unblocks the signals that it uses itself.
//!
//! A function that runs before the standard library begins remembers all three. Who becomes another
//! program, which must find everything as it was given, calls [`restore`].

use std::ffi::c_int;
use std::mem::MaybeUninit;
use std::ptr;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicU8, Ordering::Relaxed};

use nix::libc;

static IGNORES_SIGPIPE: AtomicBool = AtomicBool::new(false);
/// A bit for each standard descriptor.
static CLOSED: AtomicU8 = AtomicU8::new(0);
/// A bit for each blocked signal, as the kernel has them.
static BLOCKED: AtomicU64 = AtomicU64::new(0);

const STANDARD: [c_int; 3] = [0, 1, 2];

/// The C library calls what this section lists, in the order of the list, before `main`.
#[used]
#[link_section = ".init_array"]
static REMEMBER: extern "C" fn() = remember;

/// Makes system calls and writes to atomics, nothing else: nothing of Rust is set up yet.
extern "C" fn remember() {
    let mut action = MaybeUninit::<libc::sigaction>::zeroed();
    // SAFETY: without a new action sigaction(2) only writes to the old one, which is as large as
    // the type says; all of its fields are valid when they are zero, if the call should fail.
    let action = unsafe {
        libc::sigaction(libc::SIGPIPE, ptr::null(), action.as_mut_ptr());
        action.assume_init()
    };
    IGNORES_SIGPIPE.store(action.sa_sigaction == libc::SIG_IGN, Relaxed);
    let mut blocked = 0u64;
    // SAFETY: without a new mask the kernel writes the old one, of the size that it is told. The C
    // library's function would leave its own signals out.
    unsafe {
        libc::syscall(
            libc::SYS_rt_sigprocmask,
            libc::SIG_SETMASK,
            ptr::null::<u64>(),
            &raw mut blocked,
            size_of::<u64>(),
        )
    };
    BLOCKED.store(blocked, Relaxed);
    let mut closed = 0;
    for descriptor in STANDARD {
        // SAFETY: F_GETFD reads a flag of whatever the number is and touches no memory.
        if unsafe { libc::fcntl(descriptor, libc::F_GETFD) } == -1 {
            closed |= 1 << descriptor;
        }
    }
    CLOSED.store(closed, Relaxed);
}

/// Puts everything back. Standard streams that were closed are closed again: what is printed after
/// that is lost, as it was before.
pub fn restore() {
    if !IGNORES_SIGPIPE.load(Relaxed) {
        // SAFETY: the default action runs no code of ours.
        unsafe { libc::signal(libc::SIGPIPE, libc::SIG_DFL) };
    }
    let closed = CLOSED.load(Relaxed);
    for descriptor in STANDARD {
        if closed & (1 << descriptor) != 0 {
            // SAFETY: the standard library has put `/dev/null` there, and nobody owns the standard
            // descriptors: std::io::Stdout and its like tolerate that they are closed.
            unsafe { libc::close(descriptor) };
        }
    }
    let blocked = BLOCKED.load(Relaxed);
    // SAFETY: the kernel reads a mask of the size that it is told, and writes nothing.
    unsafe {
        libc::syscall(
            libc::SYS_rt_sigprocmask,
            libc::SIG_SETMASK,
            &raw const blocked,
            ptr::null_mut::<u64>(),
            size_of::<u64>(),
        )
    };
}
