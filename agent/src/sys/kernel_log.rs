//! The log of the kernel, as dmesg(1) shows it.

use std::io;

/// Bytes that are read at most; the newest are at the end of what the kernel gives.
const LARGEST: libc::c_int = 4 << 20;
/// Actions of syslog(2).
const READ_ALL: libc::c_int = 3;
const SIZE_BUFFER: libc::c_int = 10;

/// Everything that the kernel still has. Fails as syslog(2) does: with `EPERM` where
/// `kernel.dmesg_restrict` is set and the caller is not privileged.
pub fn read() -> io::Result<Vec<u8>> {
    // SAFETY: with this action the kernel neither reads nor writes the buffer, which may be null.
    let size = unsafe { libc::klogctl(SIZE_BUFFER, std::ptr::null_mut(), 0) };
    if size < 0 {
        return Err(io::Error::last_os_error());
    }
    let size = size.min(LARGEST);
    let mut log = vec![0u8; usize::try_from(size).unwrap_or(0)];
    // SAFETY: the buffer has `size` writable bytes and outlives the call; the kernel writes no
    // more than that.
    let read = unsafe { libc::klogctl(READ_ALL, log.as_mut_ptr().cast(), size) };
    match usize::try_from(read) {
        Ok(read) => {
            log.truncate(read);
            Ok(log)
        }
        Err(_) => Err(io::Error::last_os_error()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_log_is_read_or_refused() {
        match read() {
            Ok(log) => assert!(log.len() <= LARGEST as usize),
            Err(error) => assert_eq!(error.kind(), io::ErrorKind::PermissionDenied),
        }
    }
}
