//! One direction of an interface: what stands there and in which order it is asked.

use bpf_sys::ProgramInfo;

use super::super::Program;
use super::runs::{self, Ran};
use super::vendors::{self, Returns};
use super::{is_ours, Classifier, Direction, EndsChain, Facts, Filter, Interface, Other, Position};

/// ETH_P_ALL of linux/if_ether.h.
const EVERY_PROTOCOL: u16 = 3;

/// A direction of an interface.
pub(super) struct Side {
    /// In the order in which they are asked.
    pub(super) classifiers: Vec<Classifier>,
    /// What is no eBPF and comes before ours.
    pub(super) others: Vec<Other>,
    pub(super) has_ours: bool,
    /// The priority that ours have here, or would have.
    pub(super) priority: u16,
}

/// A filter, and what the kernel says of its program.
struct Seen<'a> {
    filter: &'a Filter,
    info: Option<ProgramInfo>,
    is_ours: bool,
    ran: Ran,
}

impl<'a> Seen<'a> {
    fn of(filter: &'a Filter, facts: &Facts<'_>) -> Seen<'a> {
        let id = filter.program.as_ref().map(|program| program.id);
        let id = id.filter(|id| *id != 0);
        Seen {
            filter,
            info: id.and_then(facts.program),
            is_ours: is_ours(filter),
            ran: id.map(|id| facts.runs.of(id)).unwrap_or_default(),
        }
    }
}

impl Side {
    pub(super) fn of(interface: &Interface, direction: Direction, facts: &Facts<'_>) -> Side {
        let filters = interface.filters.iter();
        let filters = filters.filter(|one| one.direction == direction && one.chain == 0);
        let mut seen: Vec<Seen<'_>> = filters.map(|filter| Seen::of(filter, facts)).collect();
        // Within one priority the kernel asks in the order of its dump.
        seen.sort_by_key(|one| one.filter.priority);
        let first = seen.iter().position(|one| one.is_ours);
        let ours = first.and_then(|first| seen.get(first));
        let mut side = Side {
            classifiers: Vec::new(),
            others: Vec::new(),
            has_ours: ours.is_some(),
            priority: ours.map_or(facts.options.priority, |ours| ours.filter.priority),
        };
        for (place, one) in seen.iter().enumerate() {
            let position = match first {
                _ if one.is_ours => Position::Ours,
                Some(first) if place > first => Position::After,
                None if one.filter.priority > side.priority => Position::After,
                _ => Position::Before,
            };
            let behind = first.and_then(|first| seen.get(place + 1..=first));
            side.add(one, position, behind.unwrap_or_default());
        }
        side
    }

    /// Adds what stands at a position; `behind` are those that are asked after it, up to ours.
    fn add(&mut self, seen: &Seen<'_>, position: Position, behind: &[Seen<'_>]) {
        if let Some(program) = &seen.filter.program {
            let behind: Vec<Ran> = behind.iter().map(|one| one.ran).collect();
            let sees_all = seen.filter.protocol == EVERY_PROTOCOL;
            let counted = runs::verdict(seen.ran, &behind, sees_all);
            let classifier = describe(seen, program, position, counted);
            self.classifiers.push(classifier);
        } else if position == Position::Before {
            let other = Other {
                direction: seen.filter.direction,
                priority: seen.filter.priority,
                kind: seen.filter.kind.clone(),
            };
            // Each of its rules is in the dump.
            if self.others.last() != Some(&other) {
                self.others.push(other);
            }
        }
    }
}

/// `counted` is what its counters show.
fn describe(
    seen: &Seen<'_>,
    program: &Program,
    position: Position,
    counted: Option<EndsChain>,
) -> Classifier {
    let known = seen.info.as_ref().map_or("", |info| info.name.as_str());
    let vendor = vendors::of(&program.name, known);
    let usual = match vendor.returns {
        Returns::Ok => EndsChain::Known,
        Returns::Unspec => EndsChain::No,
        Returns::Unknown => EndsChain::Unknown,
    };
    let name = match program.name.as_str() {
        "" => known,
        name => name,
    };
    Classifier {
        direction: seen.filter.direction,
        priority: seen.filter.priority,
        handle: seen.filter.handle,
        name: name.to_owned(),
        program_id: program.id,
        is_direct: program.is_direct,
        vendor: match seen.is_ours {
            true => "security-agent",
            false => vendor.name,
        },
        is_old_cilium: vendors::is_old_cilium(&program.name, known),
        position,
        ends_chain: match seen.is_ours {
            true => EndsChain::No,
            false => counted.unwrap_or(usual),
        },
    }
}
