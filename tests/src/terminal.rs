//! A pseudo terminal: what the agent prints for people.

use std::fs::{File, OpenOptions};
use std::io::Read;
use std::os::unix::fs::OpenOptionsExt;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;

use nix::fcntl::OFlag;
use nix::pty::{grantpt, posix_openpt, ptsname_r, unlockpt};

use crate::report::Failure;

/// A terminal whose screen is read all the time.
pub(crate) struct Terminal {
    /// The end for a program's output.
    pub(crate) output: File,
    /// The path of that end.
    pub(crate) name: String,
    text: Arc<Mutex<Vec<u8>>>,
}

impl Terminal {
    /// A new one; it is nobody's controlling terminal.
    pub(crate) fn open() -> Result<Terminal, Failure> {
        let mut master = posix_openpt(OFlag::O_RDWR | OFlag::O_NOCTTY | OFlag::O_CLOEXEC)?;
        grantpt(&master)?;
        unlockpt(&master)?;
        let name = ptsname_r(&master)?;
        let flags = OFlag::O_NOCTTY.bits();
        let output = OpenOptions::new()
            .read(true)
            .write(true)
            .custom_flags(flags)
            .open(&name)?;
        let text = Arc::new(Mutex::new(Vec::new()));
        let screen = Arc::clone(&text);
        thread::spawn(move || {
            let mut piece = [0; 4096];
            // Fails when the last program has closed the other end.
            while let Ok(size @ 1..) = master.read(&mut piece) {
                let bytes = piece.get(..size).unwrap_or_default();
                screen
                    .lock()
                    .unwrap_or_else(PoisonError::into_inner)
                    .extend_from_slice(bytes);
            }
        });
        Ok(Terminal { output, name, text })
    }

    /// What has been printed so far.
    pub(crate) fn text(&self) -> String {
        let bytes = self.text.lock().unwrap_or_else(PoisonError::into_inner);
        String::from_utf8_lossy(&bytes).into_owned()
    }
}
