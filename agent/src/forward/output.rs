//! Lines on standard output, without waiting for whoever reads it.
//!
//! Lines enter a bounded buffer and leave as fast as the reader takes them. When nobody reads any
//! more the lines are dropped, which is said once: detection goes on without an audience.

use std::io;
use std::os::fd::{AsFd, AsRawFd};
use std::time::Duration;

use mio::unix::SourceFd;
use mio::{Interest, Registry, Token};

use crate::sys::terminal::write_some;

/// Bytes that wait for the reader before no more events are taken.
const ROOM: usize = 1 << 20;
/// Bytes that are collected before a write is worth its system call.
const BATCH: usize = 64 * 1024;
/// Pause before a full output is tried again that cannot say when it has room.
const PAUSE: Duration = Duration::from_millis(20);

/// Standard output and what waits for it.
#[derive(Debug)]
pub struct Output {
    waiting: Vec<u8>,
    /// The loop is woken when there is room.
    announces_room: bool,
    closed: bool,
}

impl Output {
    /// Standard output; the loop is woken under this token when it has room again.
    pub fn stdout(registry: &Registry, token: Token) -> Output {
        let descriptor = io::stdout().as_raw_fd();
        let registered = registry.register(&mut SourceFd(&descriptor), token, Interest::WRITABLE);
        Output {
            waiting: Vec::new(),
            announces_room: registered.is_ok(),
            closed: false,
        }
    }

    /// Whether there is room for more lines.
    pub fn has_room(&self) -> bool {
        self.waiting.len() < ROOM
    }

    /// When to look again for room; `None` when nothing waits or the loop is woken.
    pub fn retry_after(&self) -> Option<Duration> {
        (!self.waiting.is_empty() && !self.announces_room).then_some(PAUSE)
    }

    /// Adds a line; its end is added here.
    pub fn add_line(&mut self, line: &[u8]) {
        if self.closed {
            return;
        }
        self.waiting.extend_from_slice(line);
        self.waiting.push(b'\n');
        if self.waiting.len() >= BATCH {
            self.flush();
        }
    }

    /// Writes what the reader takes.
    pub fn flush(&mut self) {
        if self.waiting.is_empty() {
            return;
        }
        match write_some(io::stdout().as_fd(), &self.waiting) {
            Ok(count) => {
                self.waiting.drain(..count);
            }
            Err(error) => {
                log::warn!("events are no longer printed, because standard output failed: {error}");
                self.waiting = Vec::new();
                self.closed = true;
            }
        }
    }
}
