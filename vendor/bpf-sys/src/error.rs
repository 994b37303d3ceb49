//! The error of a failed bpf(2) call, and the last one of this thread.
//!
//! redbpf reports failures without errno and without the verifier's log. Whatever fails in this
//! crate leaves a [`LoadError`] here, so that the agent can ask for it when redbpf returns an error.
//! A look-up that finds no key is an answer, not a failure, and leaves nothing.

use std::cell::RefCell;
use std::fmt;
use std::io;

use libc::c_int;

/// Why the kernel refused a map, a program, BTF or an attachment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LoadError {
    /// The kernel's errno.
    pub errno: i32,
    /// What was tried, as words that follow "cannot": `load program`, `create map`.
    pub operation: &'static str,
    /// Name of the map, program or tracepoint; empty where there is none.
    pub name: String,
    /// What the verifier said, at most [`LOG_KEPT`](crate::LOG_KEPT) bytes; empty without a log.
    pub log: String,
}

impl LoadError {
    /// Makes an error without a log.
    pub(crate) fn new(operation: &'static str, name: &str, errno: c_int) -> LoadError {
        LoadError {
            errno,
            operation,
            name: name.to_owned(),
            log: String::new(),
        }
    }

    /// What the user can do about this errno; empty where the number says nothing reliable.
    fn advice(&self) -> &'static str {
        match self.errno {
            libc::EPERM => "; run as root, and see whether kernel lockdown forbids this kind",
            libc::ENOSYS => "; the kernel needs CONFIG_BPF_SYSCALL",
            libc::ENOMEM => "; give the agent more memory or lower the sizes of its maps",
            libc::EACCES | libc::EINVAL if !self.log.is_empty() => "; the verifier's log says why",
            _ => "",
        }
    }
}

impl fmt::Display for LoadError {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "cannot {}", self.operation)?;
        if !self.name.is_empty() {
            write!(out, " {}", self.name)?;
        }
        let cause = io::Error::from_raw_os_error(self.errno);
        write!(out, ": {cause}{}", self.advice())
    }
}

impl std::error::Error for LoadError {}

impl From<LoadError> for io::Error {
    fn from(error: LoadError) -> io::Error {
        io::Error::from_raw_os_error(error.errno)
    }
}

thread_local! {
    static LAST: RefCell<Option<LoadError>> = const { RefCell::new(None) };
}

/// The last failure of this thread. A later success does not clear it: ask only after an error.
pub fn last_error() -> Option<LoadError> {
    LAST.try_with(|last| last.try_borrow().ok().and_then(|error| error.clone()))
        .ok()
        .flatten()
}

/// Empties what [`last_error`] reads: call it before redbpf, whose parser also fails without bpf(2).
pub fn forget_last_error() {
    // A thread that is ending has no table any more, and so nothing to forget.
    let _ = LAST.try_with(|last| {
        if let Ok(mut slot) = last.try_borrow_mut() {
            *slot = None;
        }
    });
}

/// Keeps `error` for [`last_error`] and hands it back.
pub(crate) fn remember(error: LoadError) -> LoadError {
    let kept = error.clone();
    // A thread that is ending has no table any more; nobody can ask it either.
    let _ = LAST.try_with(|last| {
        if let Ok(mut slot) = last.try_borrow_mut() {
            *slot = Some(kept);
        }
    });
    error
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_read_as_sentences() {
        let mut error = LoadError::new("load program", "on_open", libc::EACCES);
        assert_eq!(
            error.to_string(),
            "cannot load program on_open: Permission denied (os error 13)"
        );
        error.log = "R0 !read_ok".to_owned();
        assert!(error.to_string().ends_with("the verifier's log says why"));
        let unnamed = LoadError::new("load BTF", "", libc::ENOENT);
        assert!(unnamed.to_string().starts_with("cannot load BTF: "));
    }

    #[test]
    fn the_last_error_is_kept_per_thread_until_forgotten() {
        let error = remember(LoadError::new("create map", "counts", libc::EINVAL));
        assert_eq!(last_error(), Some(error));
        let other = std::thread::spawn(last_error).join();
        assert_eq!(other.ok(), Some(None));
        forget_last_error();
        assert_eq!(last_error(), None);
    }
}
