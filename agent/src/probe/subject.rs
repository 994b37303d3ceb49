//! To whom an event belongs, as variables ask: its process, container and cgroup.

use crate::event::{Event, Process};
use crate::policy::variable::{ProcessKey, Subject};
use crate::resolve::process::ProcessCache;
use crate::resolve::snapshot::TICK;

/// An event, and the processes that are known.
pub(super) struct EventSubject<'a> {
    event: &'a Event,
    processes: &'a ProcessCache,
}

impl<'a> EventSubject<'a> {
    pub(super) fn new(event: &'a Event, processes: &'a ProcessCache) -> EventSubject<'a> {
        EventSubject { event, processes }
    }

    /// The identity of a process. Its start is told in ticks, because that is all that /proc knows
    /// of processes that were there before the agent.
    pub(super) fn key(process: &Process) -> ProcessKey {
        ProcessKey {
            pid: process.info.pid,
            start: process.info.start_time / TICK,
        }
    }

    /// Parent and child of a fork.
    pub(super) fn fork(event: &Event) -> Option<(ProcessKey, ProcessKey)> {
        let parent = event.process.parent.as_ref()?;
        Some((EventSubject::key(parent), EventSubject::key(&event.process)))
    }
}

impl Subject for EventSubject<'_> {
    fn process(&self) -> Option<ProcessKey> {
        Some(EventSubject::key(&self.event.process))
    }

    fn container(&self) -> &str {
        &self.event.cgroup.container_id
    }

    fn cgroup(&self) -> &str {
        &self.event.cgroup.path
    }

    fn find(&self, pid: u32) -> Option<ProcessKey> {
        let own: &Process = &self.event.process;
        let mut lineage = std::iter::once(own).chain(own.ancestors());
        let found = lineage.find(|process| process.info.pid == pid);
        found.map(EventSubject::key).or_else(|| {
            self.processes
                .get(pid)
                .map(|found| EventSubject::key(&found))
        })
    }
}
