//! The check-list for network plug-ins: do other classifiers keep packets from ours?
//!
//! A [`Survey`] and the priority of our classifiers enter; what every eBPF classifier is, whose it
//! is, whether it comes before ours, and one advice for each interface leave ([`Check`]). [`vendors`]
//! is the table of known plug-ins, `advice` the rule, [`text`] the form for people. Nothing is
//! changed, and run statistics, which decide whether a classifier ends the chain, are read only
//! where `kernel.bpf_stats_enabled` is on already.
//!
//! What is not seen: programs of TCX and netkit (Linux 6.6) and of XDP, which run before every
//! filter and are in no dump of filters; and filters of other kinds (`flower`, `u32`), whose actions
//! can end the chain as well.

mod advice;
pub mod text;
pub mod vendors;

use std::os::fd::AsFd;
use std::path::Path;

use bpf_sys::{Objects, ProgramInfo};

pub use advice::Advice;

use super::{name, Direction, Filter, Interface, Namespace, Program, Survey};
use crate::sys::files::read_limited;
use vendors::Returns;

/// Whether the kernel counts the runs of programs.
const STATISTICS: &str = "/proc/sys/kernel/bpf_stats_enabled";
const CILIUM: &str =
    "Cilium 1.9 and older: a starting pod can lose connectivity while filters are \
    replaced; where that happens, disable network detections with ";
const UNSEEN: &str = "programs attached by TCX or netkit (Linux 6.6) and XDP run before every \
    filter and are not seen by this check";
const UNCOUNTED: &str = "kernel.bpf_stats_enabled is off, so counters cannot tell whether a \
    classifier ends the chain";

/// What was found on the host.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Check {
    /// The priority that ours have or would have.
    pub priority: u16,
    /// In the order of the survey.
    pub namespaces: Vec<CheckedNamespace>,
    /// Sentences about the host as a whole.
    pub notes: Vec<String>,
}

/// A network namespace.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CheckedNamespace {
    /// Inode in nsfs.
    pub inode: u64,
    /// Where it was found: `pid 812` or `/run/netns/blue`.
    pub found_at: String,
    /// Its interfaces in the kernel's order.
    pub interfaces: Vec<CheckedInterface>,
    /// Why something is missing, as a sentence; empty when nothing is.
    pub problem: String,
}

/// An interface.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CheckedInterface {
    /// Number, unique in its namespace.
    pub index: u32,
    /// Name, at most 15 bytes.
    pub name: String,
    /// Its eBPF classifiers, ingress first, in the kernel's order.
    pub classifiers: Vec<Classifier>,
    /// Whether somebody's `ingress` qdisc keeps clsact away.
    pub has_ingress_qdisc: bool,
    /// What to do.
    pub advice: Advice,
}

/// An eBPF classifier.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Classifier {
    /// What it sees.
    pub direction: Direction,
    /// The lowest is asked first.
    pub priority: u16,
    /// Number within its priority.
    pub handle: u32,
    /// The filter's name; that of the program when it has none.
    pub name: String,
    /// Number of the program (4.13).
    pub program_id: u32,
    /// Its result decides over the packet.
    pub is_direct: bool,
    /// Who is known to use such names, or `security-agent`.
    pub vendor: &'static str,
    /// Where it stands.
    pub position: Position,
    /// Whether what it lets through gets no further.
    pub ends_chain: EndsChain,
}

/// Where a classifier stands in its direction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Position {
    /// It is asked before ours, or would be.
    Before,
    /// It is asked after ours, or would be.
    After,
    /// It is ours.
    Ours,
}

impl Position {
    /// `before`, `after` or `ours`.
    pub fn code(self) -> &'static str {
        match self {
            Position::Before => "before",
            Position::After => "after",
            Position::Ours => "ours",
        }
    }
}

/// Whether a classifier lets no other one see the packets that it has granted access to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EndsChain {
    /// It has run and ours, which come after it, have not.
    Counted,
    /// Its vendor is known to return TC_ACT_OK.
    Known,
    /// Its vendor is known to return TC_ACT_UNSPEC.
    No,
    /// Nothing tells.
    Unknown,
}

impl EndsChain {
    /// `yes`, `no` or `unknown`.
    pub fn code(self) -> &'static str {
        match self {
            EndsChain::Counted | EndsChain::Known => "yes",
            EndsChain::No => "no",
            EndsChain::Unknown => "unknown",
        }
    }
}

/// What is known besides the survey.
struct Facts<'a> {
    priority: u16,
    /// Whether runs are counted.
    counts_runs: bool,
    /// A program by its number.
    program: &'a dyn Fn(u32) -> Option<ProgramInfo>,
}

/// Judges what a survey has found by the priority that ours have or would have. The programs are
/// asked for their names and runs, which takes CAP_SYS_ADMIN; without it these are left out.
pub fn judge(found: &Survey, priority: u16) -> Check {
    let program = |id| {
        let program = Objects::Programs.open(id).ok()??;
        bpf_sys::program_info(program.as_fd()).ok()
    };
    let statistics = read_limited(Path::new(STATISTICS), 16).unwrap_or_default();
    let facts = Facts {
        priority,
        counts_runs: statistics.trim_ascii() == b"1",
        program: &program,
    };
    check(found, &facts)
}

/// The priority of a classifier of ours that is attached; `None` without any.
pub fn priority_in_use(found: &Survey) -> Option<u16> {
    let interfaces = found
        .namespaces
        .iter()
        .flat_map(|namespace| &namespace.interfaces);
    let mut filters = interfaces.flat_map(|interface| &interface.filters);
    let ours = filters.find(|filter| filter.program.as_ref().is_some_and(is_ours))?;
    Some(ours.priority)
}

fn check(found: &Survey, facts: &Facts<'_>) -> Check {
    let namespaces: Vec<CheckedNamespace> = found
        .namespaces
        .iter()
        .map(|namespace| check_namespace(namespace, facts))
        .collect();
    let notes = notes(&namespaces, found.left_out, facts.counts_runs);
    Check {
        priority: facts.priority,
        namespaces,
        notes,
    }
}

fn notes(namespaces: &[CheckedNamespace], left_out: usize, counts_runs: bool) -> Vec<String> {
    let interfaces = || {
        namespaces
            .iter()
            .flat_map(|namespace| &namespace.interfaces)
    };
    let any = |wanted: &dyn Fn(&Classifier) -> bool| {
        interfaces().any(|interface| interface.classifiers.iter().any(wanted))
    };
    let mut notes = Vec::new();
    if left_out > 0 {
        notes.push(format!(
            "{left_out} more network namespaces are not looked at"
        ));
    }
    if any(&|one| one.vendor == vendors::CILIUM) {
        notes.push(format!("{CILIUM}{}", advice::SWITCH_OFF));
    }
    if !counts_runs && any(&|one| one.ends_chain == EndsChain::Unknown) {
        notes.push(UNCOUNTED.to_owned());
    }
    notes.push(UNSEEN.to_owned());
    notes
}

fn check_namespace(namespace: &Namespace, facts: &Facts<'_>) -> CheckedNamespace {
    let interfaces = namespace.interfaces.iter();
    CheckedNamespace {
        inode: namespace.inode,
        found_at: namespace.found_at.clone(),
        interfaces: interfaces
            .map(|interface| check_interface(interface, facts))
            .collect(),
        problem: namespace.problem.clone(),
    }
}

fn check_interface(interface: &Interface, facts: &Facts<'_>) -> CheckedInterface {
    let mut classifiers = Vec::new();
    for direction in [Direction::Ingress, Direction::Egress] {
        let filters = interface
            .filters
            .iter()
            .filter(|filter| filter.direction == direction);
        let seen: Vec<Seen<'_>> = filters
            .filter_map(|filter| Seen::of(filter, facts))
            .collect();
        classifiers.extend(classify(&seen, facts));
    }
    let mut qdiscs = interface.qdiscs.iter();
    CheckedInterface {
        index: interface.index,
        name: interface.name.clone(),
        advice: Advice::of(&classifiers, facts.priority),
        classifiers,
        has_ingress_qdisc: qdiscs.any(|qdisc| qdisc.kind == "ingress"),
    }
}

/// A filter with its program, and what the kernel says of that.
struct Seen<'a> {
    filter: &'a Filter,
    program: &'a Program,
    info: Option<ProgramInfo>,
    is_ours: bool,
}

impl<'a> Seen<'a> {
    fn of(filter: &'a Filter, facts: &Facts<'_>) -> Option<Seen<'a>> {
        let program = filter.program.as_ref()?;
        let has_number = program.id != 0;
        Some(Seen {
            filter,
            program,
            info: has_number.then(|| (facts.program)(program.id)).flatten(),
            is_ours: is_ours(program),
        })
    }

    fn runs(&self) -> Option<u64> {
        self.info.as_ref().map(|info| info.run_cnt)
    }
}

fn is_ours(program: &Program) -> bool {
    name::run_of(&program.name).is_some()
}

/// What stands in one direction of an interface.
fn classify(seen: &[Seen<'_>], facts: &Facts<'_>) -> Vec<Classifier> {
    let ours = || seen.iter().filter(|one| one.is_ours);
    let is_idle = facts.counts_runs && ours().all(|one| one.runs() == Some(0));
    let places = seen.iter().enumerate();
    // Within one priority the kernel asks in the order of its dump.
    let first = places
        .filter(|(_, one)| one.is_ours)
        .map(|(place, one)| (one.filter.priority, place))
        .min();
    let position = |place: usize, one: &Seen<'_>| {
        let priority = one.filter.priority;
        match first {
            _ if one.is_ours => Position::Ours,
            Some(first) if first < (priority, place) => Position::After,
            None if facts.priority < priority => Position::After,
            _ => Position::Before,
        }
    };
    let classifier = |(place, one): (usize, &Seen<'_>)| {
        let position = position(place, one);
        let is_stuck = position == Position::Before
            && first.is_some()
            && is_idle
            && one.runs().is_some_and(|runs| runs > 0);
        describe(one, position, is_stuck)
    };
    seen.iter().enumerate().map(classifier).collect()
}

/// `is_stuck`: its counters show that nothing comes through to ours.
fn describe(seen: &Seen<'_>, position: Position, is_stuck: bool) -> Classifier {
    let known = seen.info.as_ref().map_or("", |info| info.name.as_str());
    let vendor = vendors::of(&seen.program.name, known);
    let ends_chain = match vendor.returns {
        _ if seen.is_ours => EndsChain::No,
        _ if is_stuck => EndsChain::Counted,
        Returns::Ok => EndsChain::Known,
        Returns::Unspec => EndsChain::No,
        Returns::Unknown => EndsChain::Unknown,
    };
    let name = match seen.program.name.as_str() {
        "" => known,
        name => name,
    };
    Classifier {
        direction: seen.filter.direction,
        priority: seen.filter.priority,
        handle: seen.filter.handle,
        name: name.to_owned(),
        program_id: seen.program.id,
        is_direct: seen.program.is_direct,
        vendor: match seen.is_ours {
            true => "security-agent",
            false => vendor.name,
        },
        position,
        ends_chain,
    }
}

#[cfg(test)]
mod tests;
