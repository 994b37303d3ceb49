//! Events: the probes' records, what they become, and how rules and readers see them.
//!
//! [`wire`] reads bytes, `resolve` turns the records into a [`model::Event`], [`fields`] gives
//! rules every field by name, [`json`] writes the line that subscribers get. Nothing here reads
//! the system: what an event says was put into it when it was built.

pub mod constants;
pub mod fields;
pub mod json;
pub mod model;
mod network;
pub mod process;
pub mod sample;
pub mod session;
pub mod types;
pub mod wire;

pub use fields::Fields;
pub use model::{
    Body, Cgroup, Event, File, Flags, Hashes, HostInfo, Names, Network, PathSource, Seen, Socket,
};
pub use process::{Image, Process, ProcessInfo};
pub use sample::Sample;
pub use types::EventType;

#[cfg(test)]
pub(crate) mod testing;
