//! Flares: what support needs to know about this agent and its host, in one archive.
//!
//! [`gather`] runs the collectors of [`collect`] in processes that may hang ([`worker`], over the
//! frames of [`stream`]); [`archive`] scrubs, hashes and packs what they give, in the private
//! directory of [`staging`]; [`upload`] sends the result. Who is asked, and what the user is asked,
//! is decided by the command ([`crate::cli::flare`]). Nothing enters the archive but through
//! [`crate::scrub`].

pub mod archive;
pub mod collect;
pub mod environment;
mod error;
pub mod gather;
pub mod list;
mod name;
mod staging;
mod stream;
pub mod upload;
pub mod worker;

use std::io;
use std::os::fd::OwnedFd;
use std::process::Child;

pub use archive::{Archive, Place};
pub use collect::Sources;
pub use error::Error;
pub use gather::Gathering;

use collect::By;
use worker::Order;

/// Starts a process that runs those of these collectors that only root can run, and writes their
/// frames to `out`. For system-probe: the files that it reads are the same whoever asks.
pub fn start_collectors(names: &[String], out: OwnedFd) -> io::Result<Child> {
    let is_meant = |name: &&String| collect::find(name).is_some_and(|one| one.by == By::Root);
    let order = Order {
        collectors: names.iter().filter(is_meant).cloned().collect(),
        sources: Sources::default(),
    };
    gather::start_worker(&order, out)
}
