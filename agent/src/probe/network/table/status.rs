//! The table as `status` shows it.

use serde_json::{json, Value};

use super::{Space, Table};
use crate::kernel::tc::attach::State;
use crate::kernel::tc::Direction;

/// Sentences of a kind that are shown.
const MOST: usize = 64;

impl Table {
    /// How many namespaces and interfaces there are, and sentences about what is not as it should
    /// be: at most 64 of each kind.
    pub(in crate::probe::network) fn status(&self) -> Value {
        let mut attached = [0_usize; 2];
        for entry in self
            .spaces
            .values()
            .flat_map(|space| space.entries.values())
        {
            for (direction, count) in Direction::ALL.into_iter().zip(&mut attached) {
                *count += usize::from(entry.device.sides.of(direction).is_attached());
            }
        }
        let [ingress, egress] = attached;
        let left_out: usize = self.spaces.values().map(|space| space.left_out).sum();
        json!({
            "namespaces": self.spaces.len(),
            "interfaces": self.count(),
            "left_out": left_out,
            "attached": { "ingress": ingress, "egress": egress },
            "refused": self.sentences(&refusals),
            "lost": self.lost,
            "given_up": self.sentences(&given_up),
            "problems": self.sentences(&|space| {
                let problem = Some(space.problem.clone());
                problem.filter(|problem| !problem.is_empty()).into_iter().collect()
            }),
        })
    }

    fn sentences(&self, of: &dyn Fn(&Space) -> Vec<String>) -> Vec<String> {
        let sentences = self.spaces.iter().flat_map(|(inode, space)| {
            let sentences = of(space).into_iter();
            sentences.map(move |sentence| format!("network namespace {inode}: {sentence}"))
        });
        sentences.take(MOST).collect()
    }
}

/// Why interfaces have no filters.
fn refusals(space: &Space) -> Vec<String> {
    let devices = space.entries.values().map(|entry| &entry.device.sentence);
    devices
        .filter(|sentence| !sentence.is_empty())
        .cloned()
        .collect()
}

/// What is not attached any more.
fn given_up(space: &Space) -> Vec<String> {
    let mut sentences = Vec::new();
    for entry in space.entries.values() {
        for direction in Direction::ALL {
            if entry.device.sides.of(direction).state == State::Missing {
                sentences.push(format!(
                    "{}: somebody else removed the {} classifier {} times, and it is not attached \
                     again; see who manages the filters of this interface, then restart \
                     system-probe",
                    entry.device.name,
                    direction.name(),
                    entry.losses.of(direction)
                ));
            }
        }
    }
    sentences
}
