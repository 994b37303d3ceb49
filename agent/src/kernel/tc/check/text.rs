//! A check as text for people: namespaces, interfaces, classifiers, one advice for each interface.

use std::fmt::Write as _;

use super::{Advice, Check, CheckedInterface, CheckedNamespace, Classifier, EndsChain, Position};
use crate::kernel::inventory::shown;
use crate::sys::terminal::printable;

/// Interfaces of one namespace that are named though nothing is on them.
const MOST_BARE: usize = 50;

/// The whole check; the last line counts.
pub fn text(check: &Check) -> String {
    let mut text = String::new();
    for namespace in &check.namespaces {
        add_namespace(namespace, &mut text);
    }
    for note in &check.notes {
        let _ = writeln!(text, "note: {note}");
    }
    add_summary(check, &mut text);
    text
}

fn add_namespace(namespace: &CheckedNamespace, text: &mut String) {
    let (inode, found_at) = (namespace.inode, printable(&namespace.found_at));
    let _ = writeln!(text, "network namespace {inode} ({found_at})");
    let bare = namespace.interfaces.iter().filter(|one| is_bare(one));
    let bare = Some(bare.count()).filter(|count| *count > MOST_BARE);
    for interface in &namespace.interfaces {
        if bare.is_none() || !is_bare(interface) {
            add_interface(interface, text);
        }
    }
    if let Some(count) = bare {
        let _ = writeln!(
            text,
            "  {count} interfaces without classifiers: {}",
            Advice::Nothing
        );
    }
    if !namespace.problem.is_empty() {
        let _ = writeln!(text, "  {}", namespace.problem);
    }
}

fn is_bare(interface: &CheckedInterface) -> bool {
    let has_filters = !interface.classifiers.is_empty() || !interface.others.is_empty();
    !has_filters && interface.advice == Advice::Nothing
}

fn add_interface(interface: &CheckedInterface, text: &mut String) {
    let _ = write!(text, "  {}: {}", interface.index, shown(&interface.name));
    if is_bare(interface) {
        text.push_str(": no classifiers");
        if let Some(unwatched) = interface.unwatched {
            let _ = write!(text, ", {unwatched}");
        }
        let _ = writeln!(text, ": {}", interface.advice);
        return;
    }
    text.push('\n');
    for classifier in &interface.classifiers {
        add_classifier(classifier, text);
    }
    for other in &interface.others {
        let (direction, priority) = (other.direction.name(), other.priority);
        let _ = writeln!(
            text,
            "     {direction} priority={priority} {}: no eBPF, before ours, its actions may end the \
             chain",
            shown(&other.kind)
        );
    }
    if let Some(unwatched) = interface.unwatched {
        let _ = writeln!(text, "     {unwatched}");
    }
    let _ = writeln!(text, "     advice: {}", interface.advice);
}

fn add_classifier(classifier: &Classifier, text: &mut String) {
    let (direction, priority) = (classifier.direction.name(), classifier.priority);
    let (handle, name, id) = (
        classifier.handle,
        shown(&classifier.name),
        classifier.program_id,
    );
    let direct = match classifier.is_direct {
        true => " direct-action",
        false => "",
    };
    let place = match classifier.position {
        Position::Ours => "",
        Position::Before => ", before ours",
        Position::After => ", behind ours",
    };
    let end = match (classifier.position, classifier.ends_chain) {
        (Position::Ours, _) => "",
        (_, EndsChain::Counted) => ", ends the chain before ours, as far as its counters show",
        (_, EndsChain::Passes) => ", passes packets on, as far as its counters show",
        (_, EndsChain::Known) => ", known to return TC_ACT_OK",
        (_, EndsChain::No) => ", known to return TC_ACT_UNSPEC",
        (_, EndsChain::Unknown) => ", what it returns is unknown",
    };
    let order = match priority {
        0 => "tcx".to_owned(),
        _ => format!("priority={priority} handle={handle:#x}"),
    };
    let vendor = classifier.vendor;
    let _ = writeln!(
        text,
        "     {direction} {order} {name} id={id}{direct}: {vendor}{place}{end}"
    );
}

fn add_summary(check: &Check, text: &mut String) {
    let interfaces = || {
        check
            .namespaces
            .iter()
            .flat_map(|namespace| &namespace.interfaces)
    };
    let count = |code: &str| interfaces().filter(|one| one.advice.code() == code).count();
    let _ = writeln!(
        text,
        "network namespaces: {}, interfaces: {}; with classifiers of ours at priority {}: \
         nothing to do on {}, a lower priority is needed on {}, impossible on {}, \
         no room on {}",
        check.namespaces.len(),
        interfaces().count(),
        check.priority,
        count("nothing"),
        count("lower_priority"),
        count("impossible"),
        count("no_room"),
    );
}
