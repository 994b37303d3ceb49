//! Lines on standard output, without waiting for whoever reads it.
//!
//! Lines enter a bounded buffer and leave as fast as the reader takes them. When nobody reads any
//! more the lines are dropped, which is said once: detection goes on without an audience.

use std::io;
use std::os::fd::{AsFd, AsRawFd};
use std::time::Duration;

use mio::unix::SourceFd;
use mio::{Interest, Registry, Token};
use serde_json::{json, Value};

use crate::event::{json as event_json, HostInfo};
use crate::resolve::clock::unix_now;
use crate::sys::terminal::write_some;

/// Bytes that wait for the reader before no more lines are taken.
const ROOM: usize = 1 << 20;
/// Bytes that are collected before a write is worth its system call.
const BATCH: usize = 64 * 1024;
/// Pause before a full output is tried again that cannot say when it has room.
const PAUSE: Duration = Duration::from_millis(20);

/// Standard output and what waits for it.
#[derive(Debug)]
pub(super) struct Stdout {
    waiting: Vec<u8>,
    /// The loop is woken when there is room.
    announces_room: bool,
    closed: bool,
    written: u64,
    lost: u64,
    /// Lost lines that the reader has not been told of.
    untold: u64,
}

impl Stdout {
    /// Standard output; the loop is woken under this token when it has room again.
    pub(super) fn new(registry: &Registry, token: Token) -> Stdout {
        let descriptor = io::stdout().as_raw_fd();
        let registered = registry.register(&mut SourceFd(&descriptor), token, Interest::WRITABLE);
        Stdout {
            waiting: Vec::new(),
            announces_room: registered.is_ok(),
            closed: false,
            written: 0,
            lost: 0,
            untold: 0,
        }
    }

    /// Whether there is room for more lines.
    pub(super) fn has_room(&self) -> bool {
        self.waiting.len() < ROOM
    }

    /// When to look again for room; `None` when nothing waits or the loop is woken.
    pub(super) fn retry_after(&self) -> Option<Duration> {
        (!self.waiting.is_empty() && !self.announces_room).then_some(PAUSE)
    }

    /// Adds a line; its end is added here. Without room the line is lost and counted.
    pub(super) fn add_line(&mut self, line: &[u8], host: &HostInfo) {
        if self.closed || !self.has_room() {
            self.lost += 1;
            self.untold += u64::from(!self.closed);
            return;
        }
        if self.untold > 0 {
            let lost = [("all", self.untold)];
            let notice = event_json::lost_events(host, unix_now(), "stdout", &lost);
            self.untold = 0;
            self.push(notice.as_bytes());
        }
        self.push(line);
        self.written += 1;
        if self.waiting.len() >= BATCH {
            self.flush();
        }
    }

    fn push(&mut self, line: &[u8]) {
        self.waiting.extend_from_slice(line);
        self.waiting.push(b'\n');
    }

    /// Writes what the reader takes.
    pub(super) fn flush(&mut self) {
        if self.waiting.is_empty() {
            return;
        }
        match write_some(io::stdout().as_fd(), &self.waiting) {
            Ok(count) => {
                self.waiting.drain(..count);
                if self.waiting.is_empty() {
                    self.waiting.shrink_to(BATCH);
                }
            }
            Err(error) => {
                log::warn!("events are no longer printed, because standard output failed: {error}");
                self.closed = true;
                self.give_up();
            }
        }
    }

    /// Counts the lines that nobody took as lost; returns how many they are.
    fn give_up(&mut self) -> u64 {
        let waiting = std::mem::take(&mut self.waiting);
        let lines = waiting.iter().filter(|byte| **byte == b'\n').count() as u64;
        self.written = self.written.saturating_sub(lines);
        self.lost += lines;
        lines
    }

    /// Writes what still goes, and takes it out of the loop.
    pub(super) fn close(&mut self, registry: &Registry) {
        self.flush();
        let lines = self.give_up();
        if lines > 0 {
            log::warn!(
                "{lines} events were not printed, because standard output did not take them"
            );
        }
        // It may never have been in the loop: a file cannot be.
        let _ = registry.deregister(&mut SourceFd(&io::stdout().as_raw_fd()));
    }

    /// What `status` says of it.
    pub(super) fn status(&self) -> Value {
        json!({ "open": !self.closed, "events": self.written, "lost": self.lost })
    }
}
