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
pub use collect::{Configuration, Sources};
pub use error::Error;
pub use gather::Gathering;

use collect::{By, COLLECTORS};
use worker::Order;

/// Starts a process that runs those of these collectors that only root can run, each once, and
/// writes their frames to `out`. For system-probe: the files that it reads are the same whoever
/// asks, but who `is_restricted` does not get what the kernel shows to root only.
pub fn start_collectors(names: &[String], is_restricted: bool, out: OwnedFd) -> io::Result<Child> {
    let order = Order {
        collectors: of_root(names).map(str::to_owned).collect(),
        sources: Sources {
            is_restricted,
            ..Sources::default()
        },
    };
    gather::start_worker(&order, out)
}

/// The names among these that are of collectors for root, each once.
fn of_root(names: &[String]) -> impl Iterator<Item = &'static str> + '_ {
    let of_root = COLLECTORS.iter().filter(|one| one.by == By::Root);
    let known = of_root.map(|one| one.name);
    known.filter(|known| names.iter().any(|name| name == known))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_peer_has_each_collector_of_root_once() {
        let asked = ["kallsyms", "logs", "kallsyms", "x", "btf"].map(str::to_owned);
        assert_eq!(of_root(&asked).collect::<Vec<_>>(), ["btf", "kallsyms"]);
    }
}
