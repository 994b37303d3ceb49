//! Calls into libc and nix that are no part of the kernel side: descriptors, locks, sockets,
//! signals, processes and terminals.
//!
//! Nothing here knows an event, a rule or a role; callers hand in paths and descriptors and get
//! values that clean up behind themselves. Together with `kernel` this is the only home of
//! `unsafe` in the crate.

pub mod beneath;
pub mod child;
pub mod descriptor;
pub mod directory;
pub mod files;
pub mod handover;
pub mod host;
pub mod inherited;
pub mod kernel_log;
pub mod lifeline;
pub mod lock;
pub mod memory;
pub mod pidfd;
pub mod private_file;
pub mod process;
pub mod rotating_file;
pub mod signals;
pub mod socket;
pub mod terminal;
#[cfg(all(panic = "abort", not(debug_assertions)))]
mod unwind;
