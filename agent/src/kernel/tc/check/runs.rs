//! What counters tell of classifiers: how often their programs run within a second.
//!
//! The kernel counts the runs of a program, not of a filter, and ours is one program on all
//! interfaces of a namespace. So what a foreign one does is told only when it is attached once, and
//! that packets pass only when the one behind it is, too. Differences are compared: the programs did
//! not begin to run at the same time.

use std::time::Duration;

use super::{is_ours, Direction, EndsChain, Filter, Survey};

/// Time between two readings.
pub(super) const PERIOD: Duration = Duration::from_secs(1);
/// Runs that tell something: a single packet may be dropped for good reason.
const ENOUGH: u64 = 10;

/// Programs that were counted, by their numbers.
#[derive(Default)]
pub(super) struct Runs(Vec<(u32, Ran)>);

/// How often a program ran between two readings.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Ran {
    /// `None` when that is not known.
    pub(super) count: Option<u64>,
    /// Whether one filter alone has it.
    pub(super) is_once: bool,
}

impl Runs {
    /// Reads the counters of ours and of what comes before them, waits, and reads them again. Does
    /// not wait when nothing comes before ours. `count` is the counter of a program.
    pub(super) fn read(
        found: &Survey,
        count: &dyn Fn(u32) -> Option<u64>,
        wait: &dyn Fn(),
    ) -> Runs {
        let programs = compared(found);
        if programs.is_empty() {
            return Runs::default();
        }
        let before: Vec<Option<u64>> = programs.iter().map(|id| count(*id)).collect();
        wait();
        let attached = attached(found);
        let ran = |(id, before): (u32, Option<u64>)| {
            let ran = Ran {
                count: count(id)
                    .zip(before)
                    .and_then(|(now, before)| now.checked_sub(before)),
                is_once: is_whole(found) && occurrences(&attached, id) == 1,
            };
            (id, ran)
        };
        Runs(programs.into_iter().zip(before).map(ran).collect())
    }

    /// What is known of a program.
    pub(super) fn of(&self, program: u32) -> Ran {
        let place = self.0.binary_search_by_key(&program, |(id, _)| *id);
        let found = place.ok().and_then(|place| self.0.get(place));
        found.map(|(_, ran)| *ran).unwrap_or_default()
    }
}

/// What a classifier does with packets, by its runs and those of the filters that are asked behind
/// it, up to ours. `sees_all`: it is asked about every packet.
pub(super) fn verdict(theirs: Ran, behind: &[Ran], sees_all: bool) -> Option<EndsChain> {
    let runs = theirs
        .count
        .filter(|runs| theirs.is_once && *runs >= ENOUGH)?;
    // Nine of ten: a provider may drop some packets and pass the others.
    let follows = |one: &Ran| {
        let is_enough = |count: u64| count.saturating_mul(10) >= runs.saturating_mul(9);
        one.is_once && one.count.is_some_and(is_enough)
    };
    if sees_all && behind.iter().any(follows) {
        return Some(EndsChain::Passes);
    }
    let is_end = !behind.is_empty() && behind.iter().all(|one| one.count == Some(0));
    is_end.then_some(EndsChain::Counted)
}

/// The programs of directions in which somebody comes before ours, sorted: ours and those.
fn compared(found: &Survey) -> Vec<u32> {
    let mut programs = Vec::new();
    let namespaces = found.namespaces.iter();
    for interface in namespaces.flat_map(|namespace| &namespace.interfaces) {
        for direction in Direction::ALL {
            let filters = || {
                let filters = interface.filters.iter();
                filters.filter(move |filter| filter.direction == direction && filter.chain == 0)
            };
            let ours = filters().filter(|filter| is_ours(filter));
            let Some(ours) = ours.map(|filter| filter.priority).min() else {
                continue;
            };
            let is_before = |filter: &&Filter| filter.priority <= ours;
            if filters().filter(is_before).any(|filter| !is_ours(filter)) {
                programs.extend(filters().filter(is_before).filter_map(program));
            }
        }
    }
    programs.sort_unstable();
    programs.dedup();
    programs
}

/// The programs of all filters, sorted: each as often as it is attached.
fn attached(found: &Survey) -> Vec<u32> {
    let namespaces = found.namespaces.iter();
    let interfaces = namespaces.flat_map(|namespace| &namespace.interfaces);
    let filters = interfaces.flat_map(|interface| &interface.filters);
    let mut programs: Vec<u32> = filters.filter_map(program).collect();
    programs.sort_unstable();
    programs
}

fn occurrences(sorted: &[u32], program: u32) -> usize {
    let end = sorted.partition_point(|one| *one <= program);
    end.saturating_sub(sorted.partition_point(|one| *one < program))
}

/// The number of a filter's program, where the kernel gives numbers (4.13, and not to classic BPF).
fn program(filter: &Filter) -> Option<u32> {
    let program = filter.program.as_ref()?;
    (program.id != 0).then_some(program.id)
}

/// Whether no filter can have been missed.
fn is_whole(found: &Survey) -> bool {
    let mut namespaces = found.namespaces.iter();
    found.left_out == 0 && namespaces.all(|namespace| namespace.problem.is_empty())
}

#[cfg(test)]
mod tests;
