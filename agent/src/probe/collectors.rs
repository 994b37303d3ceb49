//! The process that collects for a flare what only root can see.
//!
//! Who asks gives up the connection to that process, which writes to it what it finds; the loop
//! neither reads nor writes any of it. There is one such process at a time, and it is killed when it
//! takes too long.

use std::os::fd::OwnedFd;
use std::process::Child;
use std::time::{Duration, Instant};

use crate::flare;

/// How long the process may live: longer than all its collectors together may take.
const LIMIT: Duration = Duration::from_secs(150);

/// The process, while there is one.
#[derive(Default)]
pub(super) struct Collecting {
    running: Option<(Child, Instant)>,
}

impl Collecting {
    /// The pid of the process.
    pub(super) fn pid(&self) -> Option<u32> {
        self.running.as_ref().map(|(child, _)| child.id())
    }

    /// Starts the process for these collectors. The error is a sentence.
    pub(super) fn start(
        &mut self,
        names: &[String],
        is_restricted: bool,
        out: OwnedFd,
    ) -> Result<(), String> {
        let child = flare::start_collectors(names, is_restricted, out)
            .map_err(|error| format!("the process that collects cannot be started: {error}"))?;
        self.running = Some((child, Instant::now()));
        Ok(())
    }

    /// Lets go of a process that has ended, and ends one that does not.
    pub(super) fn look_after(&mut self) {
        let Some((child, started)) = &mut self.running else {
            return;
        };
        if started.elapsed() > LIMIT {
            let _ = child.kill();
        }
        if !matches!(child.try_wait(), Ok(None)) {
            self.running = None;
        }
    }
}

impl Drop for Collecting {
    fn drop(&mut self) {
        if let Some((child, _)) = &mut self.running {
            // One that waits for a device stays behind; whoever is pid 1 reaps it.
            let _ = child.kill();
            let _ = child.try_wait();
        }
    }
}
