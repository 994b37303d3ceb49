//! `runtime network check`: the check-list for network plug-ins, as a command.
//!
//! The host is looked at by this process itself, so that it works before the agent runs. What is
//! found and advised comes from [`crate::kernel::tc::check`]; here it becomes an exit code and JSON.

use nix::unistd::geteuid;
use serde_json::{json, Value};

use super::exit::Exit;
use super::flags::JSON;
use super::parse::Arguments;
use super::{print, settings};
use crate::config::{keys, Settings};
use crate::kernel::tc::attach::{Choice, Options};
use crate::kernel::tc::check::{
    judge_with, priority_in_use, text, Advice, Check, CheckedInterface, CheckedNamespace,
    Classifier, Other, Unwatched,
};
use crate::kernel::tc::survey;

/// Said to others than root: what they cannot see is not even counted.
const RESTRICTED: &str =
    "network namespaces of other users' processes are not seen; run this as root";

/// Prints what is found; success only when there is nothing to do and nothing was kept from us.
pub fn main(arguments: &Arguments) -> Exit {
    let settings = settings::of_client(arguments);
    let (priority, mut notes) = configured(&settings);
    let is_root = geteuid().is_root();
    if !is_root {
        notes.push(RESTRICTED.to_owned());
    }
    let found = survey();
    let in_use = priority_in_use(&found);
    notes.extend(in_use.and_then(|in_use| waiting(in_use, priority)));
    let options = Options {
        choice: Choice::new(
            settings.list(&keys::INTERFACES_INCLUDE),
            settings.list(&keys::INTERFACES_EXCLUDE),
        ),
        ingress: settings.flag(&keys::NETWORK_INGRESS_ENABLED),
        priority: in_use.unwrap_or(priority),
        handle: 0,
    };
    let mut check = judge_with(&found, &options);
    notes.append(&mut check.notes);
    check.notes = notes;
    match arguments.has(&JSON) {
        true => print::line(&json(&check).to_string()),
        false => print::line(&text::text(&check)),
    }
    match is_root {
        true => exit(&check, settings.flag(&keys::NETWORK_ENABLED)),
        false => Exit::Failure,
    }
}

/// Says that a configured priority is not the one in use.
fn waiting(in_use: u16, configured: u16) -> Option<String> {
    (in_use != configured).then(|| {
        format!(
            "classifiers of ours are attached at priority {in_use}, but {configured} is configured: \
             restart the agent for it to take effect"
        )
    })
}

/// The priority of our classifiers, and sentences about what is configured.
fn configured(settings: &Settings) -> (u16, Vec<String>) {
    let key = &keys::NETWORK_CLASSIFIER_PRIORITY;
    let mut notes = Vec::new();
    if !settings.flag(&keys::NETWORK_ENABLED) {
        let source = settings.source(&keys::NETWORK_ENABLED);
        notes.push(format!(
            "network detections are switched off ({source}), so nothing of ours is attached"
        ));
    }
    let wished = settings.count(key);
    let priority = u16::try_from(wished).ok().filter(|wished| *wished > 0);
    let priority = priority.unwrap_or_else(|| {
        let usual = key.default;
        notes.push(format!(
            "{} is {wished}, which is no priority of a classifier (1 to 65535); {usual} is taken",
            key.name
        ));
        usual.parse().unwrap_or(1)
    });
    (priority, notes)
}

/// Where network detections are off, nobody is in their way. What was not looked at may need
/// something.
fn exit(check: &Check, is_enabled: bool) -> Exit {
    let is_unread = |namespace: &CheckedNamespace| !namespace.problem.is_empty();
    let needs_something = |namespace: &CheckedNamespace| {
        let mut interfaces = namespace.interfaces.iter();
        interfaces.any(|interface| interface.advice != Advice::Nothing)
    };
    let mut namespaces = check.namespaces.iter();
    let is_bad = |one| is_unread(one) || is_enabled && needs_something(one);
    match check.left_out > 0 || namespaces.any(is_bad) {
        true => Exit::Failure,
        false => Exit::Success,
    }
}

fn json(check: &Check) -> Value {
    let namespaces: Vec<Value> = check.namespaces.iter().map(namespace_json).collect();
    json!({
        "priority": check.priority,
        "namespaces": namespaces,
        "left_out": check.left_out,
        "notes": check.notes,
    })
}

fn namespace_json(namespace: &CheckedNamespace) -> Value {
    let interfaces: Vec<Value> = namespace.interfaces.iter().map(interface_json).collect();
    json!({
        "inode": namespace.inode,
        "found_at": namespace.found_at,
        "interfaces": interfaces,
        "problem": namespace.problem,
    })
}

fn interface_json(interface: &CheckedInterface) -> Value {
    let classifiers: Vec<Value> = interface.classifiers.iter().map(classifier_json).collect();
    let others: Vec<Value> = interface.others.iter().map(other_json).collect();
    json!({
        "index": interface.index,
        "name": interface.name,
        "classifiers": classifiers,
        "others": others,
        "ingress_qdisc": interface.has_ingress_qdisc,
        "not_watched": interface.unwatched.map_or("", Unwatched::code),
        "advice": interface.advice.to_string(),
        "code": interface.advice.code(),
    })
}

fn other_json(other: &Other) -> Value {
    json!({
        "direction": other.direction.name(),
        "priority": other.priority,
        "kind": other.kind,
    })
}

fn classifier_json(classifier: &Classifier) -> Value {
    json!({
        "direction": classifier.direction.name(),
        "priority": classifier.priority,
        "handle": classifier.handle,
        "name": classifier.name,
        "program_id": classifier.program_id,
        "direct_action": classifier.is_direct,
        "vendor": classifier.vendor,
        "ours": classifier.position.code() == "ours",
        "position": classifier.position.code(),
        "ends_chain": classifier.ends_chain.code(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Value as Setting;
    use crate::kernel::tc::check::{EndsChain, Position};
    use crate::kernel::tc::Direction;

    const LOWER: Advice = Advice::LowerPriority {
        below: 5,
        is_sure: true,
    };
    const IMPOSSIBLE: Advice = Advice::Impossible {
        is_early: false,
        is_sure: false,
    };

    fn checked(advice: Advice, problem: &str) -> Check {
        let classifier = Classifier {
            direction: Direction::Ingress,
            priority: 5,
            handle: 1,
            name: "cil_from_netdev".to_owned(),
            program_id: 42,
            is_direct: true,
            vendor: "Cilium",
            is_old_cilium: false,
            position: Position::Before,
            ends_chain: EndsChain::Known,
        };
        let interface = CheckedInterface {
            index: 2,
            name: "eth0".to_owned(),
            classifiers: vec![classifier],
            others: vec![Other {
                direction: Direction::Egress,
                priority: 3,
                kind: "flower".to_owned(),
            }],
            has_ingress_qdisc: false,
            unwatched: Some(Unwatched::IngressOff),
            advice,
        };
        Check {
            priority: 10,
            namespaces: vec![CheckedNamespace {
                inode: 7,
                found_at: "pid 1".to_owned(),
                interfaces: vec![interface],
                problem: problem.to_owned(),
            }],
            left_out: 0,
            notes: vec!["a note".to_owned()],
        }
    }

    #[test]
    fn a_check_becomes_json() {
        let advice = LOWER;
        let expected = json!({
            "priority": 10,
            "namespaces": [{
                "inode": 7,
                "found_at": "pid 1",
                "interfaces": [{
                    "index": 2,
                    "name": "eth0",
                    "classifiers": [{
                        "direction": "ingress",
                        "priority": 5,
                        "handle": 1,
                        "name": "cil_from_netdev",
                        "program_id": 42,
                        "direct_action": true,
                        "vendor": "Cilium",
                        "ours": false,
                        "position": "before",
                        "ends_chain": "yes",
                    }],
                    "others": [{"direction": "egress", "priority": 3, "kind": "flower"}],
                    "ingress_qdisc": false,
                    "not_watched": "ingress_off",
                    "advice": "set runtime_security_config.network.classifier_priority below 5",
                    "code": "lower_priority",
                }],
                "problem": "",
            }],
            "left_out": 0,
            "notes": ["a note"],
        });
        assert_eq!(json(&checked(advice, "")), expected);
    }

    #[test]
    fn success_means_that_there_is_nothing_to_do() {
        for (advice, problem, is_enabled, expected) in [
            (Advice::Nothing, "", true, Exit::Success),
            (LOWER, "", true, Exit::Failure),
            (IMPOSSIBLE, "", true, Exit::Failure),
            (IMPOSSIBLE, "", false, Exit::Success),
            (Advice::NoRoom, "", true, Exit::Failure),
            (Advice::NoRoom, "", false, Exit::Success),
            (Advice::Nothing, "it cannot be entered", true, Exit::Failure),
            (
                Advice::Nothing,
                "it cannot be entered",
                false,
                Exit::Failure,
            ),
        ] {
            let found = exit(&checked(advice, problem), is_enabled);
            assert_eq!(found, expected, "{advice} {problem} {is_enabled}");
        }
    }

    #[test]
    fn what_was_left_out_is_no_success() {
        for is_enabled in [true, false] {
            let mut check = checked(Advice::Nothing, "");
            check.left_out = 1;
            assert_eq!(exit(&check, is_enabled), Exit::Failure);
        }
    }

    #[test]
    fn a_priority_that_waits_for_a_restart_is_told() {
        assert_eq!(waiting(10, 10), None);
        let told = waiting(10, 4).unwrap();
        assert!(told.contains("priority 10") && told.contains("4 is configured"));
    }

    #[test]
    fn a_priority_that_is_none_is_told() {
        for (wished, expected, notes) in [
            (10, 10, 0),
            (1, 1, 0),
            (65_535, 65_535, 0),
            (0, 10, 1),
            (65_536, 10, 1),
        ] {
            let mut settings = Settings::empty(false);
            let key = &keys::NETWORK_CLASSIFIER_PRIORITY;
            settings.set(key, Setting::Count(wished), "test");
            let (priority, said) = configured(&settings);
            assert_eq!((priority, said.len()), (expected, notes), "{said:?}");
        }
    }

    #[test]
    fn a_switch_that_is_off_is_told() {
        let mut settings = Settings::empty(false);
        settings.set(&keys::NETWORK_ENABLED, Setting::Flag(false), "test");
        let (_, notes) = configured(&settings);
        assert!(notes.iter().any(|note| note.contains("switched off")));
    }
}
