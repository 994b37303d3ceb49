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
    /// Says that a thread group is at this end, unless the kernel knows better by now. `cgroup` is
    /// its id in the unified hierarchy or 0, `now` is CLOCK_MONOTONIC in nanoseconds.
    pub fn add(&self, flow: &Flow, tgid: u32, cgroup: u64, now: u64) -> io::Result<()> {
        const ONLY_NEW: u64 = 1;
        // struct owner
        let who = u64::from(flow.net_namespace) << 32 | u64::from(tgid);
        let owner = [who, now, cgroup].map(u64::to_le_bytes).concat();
        match self.0.update(&flow.key(), &owner, ONLY_NEW) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
            result => result,
        }
    }
}
