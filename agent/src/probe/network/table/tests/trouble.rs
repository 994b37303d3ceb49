//! Visits that fail, namespaces that end unheard, interfaces that are too new.

use super::*;
use crate::probe::network::table::space::{LONGEST_PAUSE, SETTLING};

const SECOND: Duration = Duration::from_secs(1);

fn gone() -> Report {
    Report {
        is_gone: true,
        ..Report::default()
    }
}

/// An interface with something wrong about it.
fn bad_device() -> Device {
    Device {
        sentence: "eth0: no".to_owned(),
        ..device(2, "eth0", State::Refused)
    }
}

#[test]
fn only_a_whole_report_tells_that_no_filter_is_left() {
    let partial = || Report {
        problem: "no".to_owned(),
        ..report(Vec::new())
    };
    let crowded = || Report {
        left_out: 1,
        ..report(Vec::new())
    };
    for (found, is_open) in [
        (report(Vec::new()), false),
        (report(vec![bad_device()]), true),
        (partial(), true),
        (crowded(), true),
        (gone(), true),
    ] {
        let mut scene = Scene::new();
        scene.table.note(POD, 42, scene.now);
        // It was killed; perhaps it had attached something.
        let order = scene.due().unwrap();
        let sentence = "it took too long".to_owned();
        scene.table.failed(POD, order.serial, sentence, scene.now);
        let order = scene.table.order(POD).unwrap();
        let text = format!("{found:?}");
        scene.settle(&order, found);
        let open = scene.table.with_filters();
        assert_eq!(open == [POD], is_open, "{text}");
    }
    let mut scene = Scene::new();
    scene.table.note(POD, 42, scene.now);
    let order = scene.due().unwrap();
    scene.settle(&order, gone());
    assert!(scene.table.with_filters().is_empty(), "it did nothing");
}

#[test]
fn dead_runs_are_known_until_every_namespace_was_seen_to() {
    let untidy = Report {
        untidy: 1,
        ..report(Vec::new())
    };
    let crowded = Report {
        left_out: 1,
        ..report(Vec::new())
    };
    for (found, is_swept) in [
        (untidy, false),
        (crowded, false),
        (gone(), false),
        // Filters of dead runs were removed before this was refused.
        (report(vec![bad_device()]), true),
    ] {
        let mut scene = Scene::new();
        scene.find(&[POD]);
        let order = scene.due().unwrap();
        let text = format!("{found:?}");
        scene.settle(&order, found);
        assert_eq!(scene.table.is_swept(), is_swept, "{text}");
        // What came later has none.
        scene.table.note(300, 1, scene.now);
        assert_eq!(scene.table.is_swept(), is_swept, "{text}");
    }
    let mut scene = Scene::new();
    scene.table.found(Search::default(), scene.now, scene.now);
    assert!(!scene.table.is_swept(), "there are more");
}

#[test]
fn a_failed_visit_is_repeated_later_each_time() {
    let mut scene = Scene::new();
    scene.add_pod(Vec::new());
    let mut order = scene.table.order(POD).unwrap();
    for seconds in [1, 2, 4, 8, 16, 32, 60, 60] {
        match seconds % 3 {
            0 => {
                let sentence = "it took too long".to_owned();
                scene.table.failed(POD, order.serial, sentence, scene.now);
            }
            _ => drop(scene.settle(&order, report(vec![bad_device()]))),
        }
        scene.pass(Duration::from_secs(seconds) - PAUSE);
        assert_eq!(scene.due(), None, "{seconds}");
        scene.pass(PAUSE);
        order = scene.due().unwrap();
    }
    scene.settle(&order, report(Vec::new()));
    scene.pass(LONGEST_PAUSE);
    assert_eq!(scene.due(), None);
}

#[test]
fn a_namespace_that_stays_unreachable_costs_less_and_less() {
    let mut scene = Scene::new();
    scene.add_pod(Vec::new());
    let (mut visits, mut searches) = (0, 0);
    let order = scene.table.order(POD).unwrap();
    scene.settle(&order, gone());
    for _ in 0..600 {
        scene.pass(SECOND);
        scene.find(&[POD]);
        while let Some(order) = scene.due() {
            visits += 1;
            scene.settle(&order, gone());
        }
        searches += usize::from(scene.table.take_wish());
    }
    assert_eq!(searches, 1);
    assert!((5..20).contains(&visits), "{visits}");
    let problems = scene.table.status()["problems"].clone();
    assert_eq!(problems.as_array().unwrap().len(), 1);
}

#[test]
fn a_number_that_another_namespace_has_is_a_missed_end() {
    let mut scene = Scene::new();
    scene.add_pod(vec![device(2, "eth0", State::Attached)]);
    scene.table.note(300, 1, scene.now);
    let order = scene.due().unwrap();
    scene.settle(&order, report(vec![device(3, "eth0", State::Attached)]));
    assert!(!scene.table.knows(POD));
    assert!(!scene.table.has_forgotten(), "it took its filters along");
    scene.change(Some(5), Change::LinkGone(3));
    assert_eq!(scene.table.device_name(300, 3), None);
    // An end that may have been missed, of one whose number nobody has now.
    scene.change(None, Change::Missed);
    scene.table.expire(scene.now);
    scene.pass(SECOND);
    scene.find(&[]);
    scene.pass(ABSENCE);
    scene.table.expire(scene.now);
    assert!(!scene.table.knows(300));
}

#[test]
fn a_namespace_that_ends_before_its_first_report_is_read_is_forgotten() {
    for (is_found, is_search_late) in [(false, false), (false, true), (true, false)] {
        let mut scene = Scene::new();
        scene.table.note(POD, 42, scene.now);
        scene.table.heard();
        let order = scene.due().unwrap();
        let before = scene.now;
        scene.pass(PAUSE);
        scene.change(None, Change::NamespaceGone(5));
        scene.settle(&order, report(vec![device(2, "eth0", State::Attached)]));
        scene.pass(PAUSE);
        if is_search_late {
            // It began before the end, and saw it.
            scene.find_since(before, &[POD]);
        }
        scene.pass(PAUSE);
        scene.find(if is_found { &[POD] } else { &[] });
        scene.pass(ABSENCE);
        scene.table.expire(scene.now);
        assert_eq!(scene.table.knows(POD), is_found, "{is_search_late}");
    }
}

#[test]
fn an_inode_that_was_announced_again_outlives_the_end_of_the_first() {
    let mut scene = Scene::new();
    let first = scene.add_pod(vec![device(2, "eth0", State::Attached)]);
    // Records of the probes are read before what the kernel says of namespaces.
    scene.table.note(POD, 50, scene.now);
    scene.change(None, Change::NamespaceGone(5));
    let order = scene.due().unwrap();
    assert_eq!(order.places, [PathBuf::from("/proc/50/ns/net")]);
    assert_ne!(order.serial, first.serial);
    assert_eq!(order.programs, Both::default());
    assert_eq!(scene.attached(), (0, 0));
}

#[test]
fn a_new_interface_is_fresh_for_a_second() {
    let mut scene = Scene::new();
    scene.add_pod(Vec::new());
    scene.change(Some(5), link(3, "eth1"));
    scene.pass(PAUSE);
    let order = scene.due().unwrap();
    assert_eq!(order.fresh, [3]);
    // Without a qdisc nothing is told of it.
    scene.settle(&order, report(Vec::new()));
    scene.change(Some(5), link(3, "eth1"));
    scene.pass(PAUSE);
    assert_eq!(scene.due(), None);
    scene.pass(SETTLING - PAUSE * 2);
    let order = scene.due().unwrap();
    assert_eq!((order.inode, order.fresh), (POD, Vec::new()));
}
