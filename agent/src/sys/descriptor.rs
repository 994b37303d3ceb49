//! Where descriptors stand in the table of the process.
//!
//! A killed process closes its descriptors from the highest number to the lowest, and closing
//! hooks takes the kernel seconds. What others watch to learn that the process is gone (locks,
//! sockets, lifelines) is therefore moved above everything else. An owned descriptor enters, the
//! same open file leaves under a high number.

use std::os::fd::{FromRawFd, OwnedFd};

use nix::fcntl::{fcntl, FcntlArg};

/// The lowest number that a raised descriptor gets. The usual limit of a process is 1024, and no
/// role holds this many hooks and buffers.
pub const HIGH: i32 = 960;

/// Moves a descriptor to a number of at least [`HIGH`], close-on-exec; where the limit of the
/// process forbids it, the descriptor is returned as it came.
pub fn raise(descriptor: OwnedFd) -> OwnedFd {
    match fcntl(&descriptor, FcntlArg::F_DUPFD_CLOEXEC(HIGH)) {
        // SAFETY: F_DUPFD_CLOEXEC has just returned this number, so it is open and nobody else
        // owns it.
        Ok(number) => unsafe { OwnedFd::from_raw_fd(number) },
        Err(_) => descriptor,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs::File;
    use std::io::Read;
    use std::os::fd::AsRawFd;

    #[test]
    fn a_raised_descriptor_is_the_same_file_under_a_high_number() {
        let file = File::open("/proc/self/stat").unwrap();
        let raised = raise(file.into());
        assert!(raised.as_raw_fd() >= HIGH);
        let mut text = String::new();
        File::from(raised).read_to_string(&mut text).unwrap();
        assert!(text.starts_with(&std::process::id().to_string()));
    }
}
