//! To whom a written event belongs: read from its fields, as the kernel would tell it.

use std::collections::HashSet;

use crate::policy::variable::{ProcessKey, Store, Subject};
use crate::secl::{FieldId, Record, Scheme};

/// The processes of one test, and the fields that name them.
pub(super) struct Owners {
    pid: Option<FieldId>,
    ancestors: Option<FieldId>,
    container: Option<FieldId>,
    cgroup: Option<FieldId>,
    /// Processes that an event was of.
    seen: HashSet<u32>,
}

/// To whom an event belongs.
pub(super) struct Owner {
    pid: u32,
    /// Parent first.
    ancestors: Vec<u32>,
    container: String,
    cgroup: String,
}

impl Owners {
    pub(super) fn new(scheme: &dyn Scheme) -> Owners {
        let id = |name: &str| scheme.field(name).map(|field| field.id);
        Owners {
            pid: id("process.pid"),
            ancestors: id("process.ancestors.pid"),
            container: id("container.id"),
            cgroup: id("cgroup.id"),
            seen: HashSet::new(),
        }
    }

    pub(super) fn of(&self, record: &dyn Record) -> Owner {
        let text = |field: Option<FieldId>| {
            field.map_or_else(String::new, |field| record.text(field, 0).to_owned())
        };
        let pid = |field, index| u32::try_from(record.int(field, index)).unwrap_or(0);
        let ancestors = self.ancestors.map_or_else(Vec::new, |field| {
            let turns = 0..record.count(field);
            turns.map(|turn| pid(field, turn)).collect()
        });
        Owner {
            pid: self.pid.map_or(0, |field| pid(field, 0)),
            ancestors,
            container: text(self.container),
            cgroup: text(self.cgroup),
        }
    }

    /// Parent and child, when this is the first event of a process.
    pub(super) fn birth(&mut self, owner: &Owner) -> Option<(ProcessKey, ProcessKey)> {
        if !self.seen.insert(owner.pid) {
            return None;
        }
        let parent = owner.ancestors.first()?;
        Some((key(*parent), key(owner.pid)))
    }

    /// The process of an event has ended.
    pub(super) fn end(&mut self, owner: &Owner, variables: &mut Store) {
        self.seen.remove(&owner.pid);
        variables.release_process(key(owner.pid));
    }
}

fn key(pid: u32) -> ProcessKey {
    ProcessKey { pid, start: 0 }
}

impl Subject for Owner {
    fn process(&self) -> Option<ProcessKey> {
        Some(key(self.pid))
    }

    fn container(&self) -> &str {
        &self.container
    }

    fn cgroup(&self) -> &str {
        &self.cgroup
    }

    fn find(&self, pid: u32) -> Option<ProcessKey> {
        let is_known = pid == self.pid || self.ancestors.contains(&pid);
        is_known.then(|| key(pid))
    }
}
