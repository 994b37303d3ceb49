//! The check-list for network plug-ins: do other classifiers keep packets from ours?
//!
//! A [`Survey`] and what the agent would attach enter; what every eBPF classifier is, whose it is,
//! whether it comes before ours, and one advice for each interface leave ([`Check`]). [`vendors`] is
//! the table of known plug-ins, `side` orders one direction, `runs` reads counters, `advice` is the
//! rule, `watched` says where ours belong, [`text`] is the form for people. Nothing is changed, and
//! run statistics, which tell whether a classifier ends the chain, are read only where
//! `kernel.bpf_stats_enabled` is on already.
//!
//! Programs of TCX (Linux 6.6) count as classifiers of priority 0: they are asked before every filter,
//! and what they return means the same. What is not seen: programs of netkit (Linux 6.7) and of XDP,
//! which are in no dump of filters. Filters of other kinds (`flower`, `u32`) before ours are
//! listed, as their actions can end the chain as well, but not judged. Chains other than 0 are left
//! out: only filters of chain 0 send packets there.

mod advice;
mod runs;
mod side;
pub mod text;
pub mod vendors;
mod watched;

use std::os::fd::AsFd;
use std::path::Path;
use std::thread::sleep;

use bpf_sys::{Objects, ProgramInfo};

pub use advice::Advice;
pub use watched::Unwatched;

use super::attach::{Choice, Options};
use super::{name, Direction, Filter, Interface, Namespace, Survey};
use crate::sys::files::read_limited;
use runs::Runs;
use side::Side;

/// Whether the kernel counts the runs of programs.
const STATISTICS: &str = "/proc/sys/kernel/bpf_stats_enabled";
const CILIUM: &str =
    "Cilium 1.9 and older: a starting pod can lose connectivity while filters are \
    replaced; where that happens, disable network detections with ";
const UNSEEN: &str =
    "programs attached by netkit (Linux 6.7) and XDP may see packets before every \
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
    /// How many more namespaces there are than were looked at.
    pub left_out: usize,
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
    /// Filters of other kinds before ours, ingress first.
    pub others: Vec<Other>,
    /// Whether somebody's `ingress` qdisc keeps clsact away.
    pub has_ingress_qdisc: bool,
    /// Why ours are not, or not in both directions, on it.
    pub unwatched: Option<Unwatched>,
    /// What to do.
    pub advice: Advice,
}

/// A filter of another kind than `bpf`. It may have several rules.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Other {
    /// What it sees.
    pub direction: Direction,
    /// The lowest is asked first.
    pub priority: u16,
    /// `flower`, `u32`…
    pub kind: String,
}

/// An eBPF classifier.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Classifier {
    /// What it sees.
    pub direction: Direction,
    /// The lowest is asked first; 0 for a program of TCX.
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
    /// Its names are those that Cilium gave before 1.12.
    pub is_old_cilium: bool,
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
    /// What comes after it has run about as often.
    Passes,
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
            EndsChain::No | EndsChain::Passes => "no",
            EndsChain::Unknown => "unknown",
        }
    }
}

/// What is known besides the survey.
struct Facts<'a> {
    options: &'a Options,
    /// Whether runs are counted.
    counts_runs: bool,
    /// A program by its number.
    program: &'a dyn Fn(u32) -> Option<ProgramInfo>,
    runs: &'a Runs,
}

/// Judges what a survey has found by the priority that ours have or would have, where the
/// configuration is not known: as if every interface were watched. Else as [`judge_with`].
pub fn judge(found: &Survey, priority: u16) -> Check {
    let options = Options {
        choice: Choice::default(),
        ingress: true,
        priority,
        handle: 0,
    };
    judge_with(found, &options)
}

/// Judges what a survey has found by what the agent attaches. The programs are asked for their names
/// and runs, which takes CAP_SYS_ADMIN; without it these are left out. It lasts a second where runs
/// are counted and others come before ours.
pub fn judge_with(found: &Survey, options: &Options) -> Check {
    let program = |id| {
        let program = Objects::Programs.open(id).ok()??;
        bpf_sys::program_info(program.as_fd()).ok()
    };
    let count = |id| program(id).map(|info| info.run_cnt);
    let statistics = read_limited(Path::new(STATISTICS), 16).unwrap_or_default();
    let counts_runs = statistics.trim_ascii() == b"1";
    let runs = match counts_runs {
        true => Runs::read(found, &count, &|| sleep(runs::PERIOD)),
        false => Runs::default(),
    };
    let facts = Facts {
        options,
        counts_runs,
        program: &program,
        runs: &runs,
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
    let ours = filters.find(|filter| is_ours(filter))?;
    Some(ours.priority)
}

/// We use no chain but the first.
fn is_ours(filter: &Filter) -> bool {
    let program = filter.program.as_ref();
    filter.chain == 0 && program.is_some_and(|program| name::run_of(&program.name).is_some())
}

fn check(found: &Survey, facts: &Facts<'_>) -> Check {
    let namespaces: Vec<CheckedNamespace> = found
        .namespaces
        .iter()
        .map(|namespace| check_namespace(namespace, facts))
        .collect();
    let notes = notes(&namespaces, found.left_out, facts.counts_runs);
    Check {
        priority: facts.options.priority,
        namespaces,
        left_out: found.left_out,
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
    if any(&|one| one.is_old_cilium) {
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
    let unwatched = Unwatched::of(interface, facts.options);
    let mut in_the_way = Vec::new();
    let mut classifiers = Vec::new();
    let mut others = Vec::new();
    let mut is_bound = false;
    for direction in Direction::ALL {
        let mut side = Side::of(interface, direction, facts);
        // What is attached is watched, whatever the configuration says by now.
        if side.has_ours || unwatched.is_none_or(|why| why.allows(direction)) {
            in_the_way.extend(advice::in_the_way(&side.classifiers, side.priority));
        } else {
            is_bound = true;
        }
        classifiers.append(&mut side.classifiers);
        others.append(&mut side.others);
    }
    let unwatched = unwatched.filter(|_| is_bound);
    let is_wanted = unwatched.is_none_or(|why| why.allows(Direction::Egress));
    let mut qdiscs = interface.qdiscs.iter();
    let has_ingress_qdisc = qdiscs.any(|qdisc| qdisc.kind == "ingress");
    CheckedInterface {
        index: interface.index,
        name: interface.name.clone(),
        classifiers,
        others,
        has_ingress_qdisc,
        unwatched,
        advice: match has_ingress_qdisc && is_wanted {
            true => Advice::NoRoom,
            false => Advice::about(in_the_way.into_iter().min()),
        },
    }
}

#[cfg(test)]
mod tests;
