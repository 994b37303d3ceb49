//! Programs and maps of the whole host, by the numbers that the kernel gives them.
//!
//! [`Objects`] walks the numbers upwards and hands out descriptors, which others ask for what they
//! are. The kernel tells them to CAP_SYS_ADMIN alone, since 4.13.

use std::io;
use std::os::fd::{FromRawFd, OwnedFd};

use crate::attr::ObjectId;
use crate::syscall::{bpf, Command};

/// What is walked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Objects {
    /// Every program.
    Programs,
    /// Every map.
    Maps,
}

impl Objects {
    /// The lowest number above `id` that is taken; `None` behind the last. 0 begins.
    ///
    /// # Errors
    /// EPERM without the right, EINVAL on kernels that number nothing.
    pub fn next(self, id: u32) -> io::Result<Option<u32>> {
        let command = match self {
            Objects::Programs => Command::ProgramNextId,
            Objects::Maps => Command::MapNextId,
        };
        let mut attr = ObjectId {
            id,
            ..Default::default()
        };
        // SAFETY: the attribute of these commands holds no pointer.
        match unsafe { bpf(command, &mut attr) } {
            Ok(_) => Ok(Some(attr.next_id)),
            Err(libc::ENOENT) => Ok(None),
            Err(errno) => Err(io::Error::from_raw_os_error(errno)),
        }
    }

    /// Opens one by its number; `None` when it is gone.
    ///
    /// # Errors
    /// Those of [`Objects::next`], and EMFILE.
    pub fn open(self, id: u32) -> io::Result<Option<OwnedFd>> {
        let command = match self {
            Objects::Programs => Command::ProgramById,
            Objects::Maps => Command::MapById,
        };
        let mut attr = ObjectId {
            id,
            ..Default::default()
        };
        // SAFETY: the attribute of these commands holds no pointer.
        match unsafe { bpf(command, &mut attr) } {
            // SAFETY: the kernel just made this descriptor for us, and nothing else holds it.
            Ok(raw) => Ok(Some(unsafe { OwnedFd::from_raw_fd(raw) })),
            Err(libc::ENOENT) => Ok(None),
            Err(errno) => Err(io::Error::from_raw_os_error(errno)),
        }
    }
}
