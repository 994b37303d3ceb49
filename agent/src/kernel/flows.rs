//! Which process is at an end of a connection, for the classifiers (probes/include/network.h).
//!
//! The probes learn it from system calls and packets; what was there before them the agent puts in
//! through [`Flows`]. The kernel keeps the ends that were used last.

use std::io;

use bpf_sys::MapHandle;

use crate::event::wire::Flow;

/// The kernel's table of them.
pub struct Flows(pub(super) MapHandle);

impl Flows {
    /// Says that a thread group is at this end, unless the kernel knows better by now.
    pub fn add(&self, flow: &Flow, tgid: u32) -> io::Result<()> {
        const ONLY_NEW: u64 = 1;
        match self.0.update(&flow.key(), &tgid.to_le_bytes(), ONLY_NEW) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
            result => result,
        }
    }
}
