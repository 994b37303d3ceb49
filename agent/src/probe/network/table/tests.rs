//! The table, told of made-up changes and reports.

use super::space::{HASTE, LONG_PAUSE, PAUSE};
use super::*;
use crate::kernel::tc::attach::{Device, Report, Side, State};
use crate::probe::network::Lost;

mod crowd;
mod trouble;

const OWN: u32 = 100;
const POD: u32 = 200;

/// A table, and the time, which only passes when a test says so.
struct Scene {
    table: Table,
    now: Instant,
}

impl Scene {
    fn new() -> Scene {
        let now = Instant::now();
        let choice = Choice::new(&[], &["docker*".to_owned()]);
        let mut table = Table::new(OWN, choice, vec!["lo".to_owned()], now);
        let order = table.begin(now).unwrap();
        assert_eq!(order.inode, OWN);
        let report = Report::default();
        table.settled(OWN, order.serial, report, now);
        Scene { table, now }
    }

    fn pass(&mut self, time: Duration) {
        self.now += time;
    }

    /// What is due now.
    fn due(&mut self) -> Option<Order> {
        self.table.begin(self.now)
    }

    fn settle(&mut self, order: &Order, report: Report) -> Vec<Lost> {
        let (inode, serial) = (order.inode, order.serial);
        self.table.settled(inode, serial, report, self.now)
    }

    /// A pod with number 5, in which `devices` were found.
    fn add_pod(&mut self, devices: Vec<Device>) -> Order {
        self.table.note(POD, 42, self.now);
        self.table.heard();
        let order = self.due().unwrap();
        self.settle(&order, report(devices));
        order
    }

    /// A whole search has just found these.
    fn find(&mut self, inodes: &[u32]) {
        self.find_since(self.now, inodes);
    }

    /// One that began at this time.
    fn find_since(&mut self, started: Instant, inodes: &[u32]) {
        let found = inodes.iter().map(|inode| Found {
            inode: *inode,
            places: vec!["/run/netns/blue".into()],
        });
        let search = Search {
            found: found.collect(),
            is_whole: true,
        };
        self.table.found(search, started, self.now);
    }

    /// Visits the pod.
    fn visit_pod(&mut self, devices: Vec<Device>) -> (Order, Vec<Lost>) {
        let order = self.table.order(POD).unwrap();
        let lost = self.settle(&order, report(devices));
        (order, lost)
    }

    fn change(&mut self, heard_in: Option<i32>, change: Change) {
        self.table.changed(heard_in, change, self.now);
    }

    fn attached(&self) -> (u64, u64) {
        let status = self.table.status();
        let count = |direction: &str| status["attached"][direction].as_u64().unwrap();
        (count("ingress"), count("egress"))
    }
}

fn report(devices: Vec<Device>) -> Report {
    Report {
        number: Some(5),
        devices,
        ..Report::default()
    }
}

/// An interface whose egress side is as given.
fn device(index: u32, name: &str, egress: State) -> Device {
    let program = u32::from(matches!(egress, State::Attached | State::Kept)) * 77;
    let side = Side {
        state: egress,
        program,
    };
    Device {
        index,
        name: name.to_owned(),
        sides: Both {
            egress: side,
            ..Both::default()
        },
        ..Device::default()
    }
}

fn link(index: u32, name: &str) -> Change {
    Change::Link(Interface {
        index,
        hardware: 1,
        name: name.to_owned(),
        ..Interface::default()
    })
}

#[test]
fn a_new_namespace_is_visited_once() {
    let mut scene = Scene::new();
    scene.table.note(0, 1, scene.now);
    assert_eq!(scene.due(), None);
    scene.table.note(POD, 42, scene.now);
    let order = scene.due().unwrap();
    assert_eq!(order.inode, POD);
    assert_eq!(order.places, [PathBuf::from("/proc/42/ns/net")]);
    scene.table.note(POD, 43, scene.now);
    assert_eq!(scene.due(), None, "it is being visited");
    scene.settle(&order, report(vec![device(2, "eth0", State::Attached)]));
    assert_eq!(scene.due(), None);
    assert_eq!(scene.attached(), (0, 1));
    assert_eq!(scene.table.device_name(POD, 2), Some("eth0"));
    assert_eq!(scene.table.device_name(OWN, 2), None);
}

#[test]
fn changes_are_grouped_and_only_some_matter() {
    let kept = || vec![device(2, "eth0", State::Kept)];
    for (change, is_due) in [
        (link(2, "eth0"), false),
        (link(2, "eth1"), false),
        (link(2, "docker0"), true),
        (link(3, "docker0"), false),
        (link(3, "eth1"), true),
        (Change::LinkGone(2), false),
    ] {
        let mut scene = Scene::new();
        scene.add_pod(kept());
        scene.change(Some(5), change.clone());
        assert_eq!(scene.due(), None, "{change:?}");
        scene.pass(PAUSE);
        scene.change(Some(5), change.clone());
        let due = scene.due().map(|order| order.inode);
        assert_eq!(due, is_due.then_some(POD), "{change:?}");
    }
    let mut scene = Scene::new();
    scene.add_pod(kept());
    scene.change(Some(5), Change::LinkGone(2));
    scene.change(Some(5), link(3, "docker0"));
    scene.change(Some(9), link(4, "eth0"));
    assert_eq!(scene.attached(), (0, 0));
    assert_eq!(scene.table.device_name(POD, 2), None);
    assert_eq!(scene.table.device_name(POD, 3), None, "it takes no room");
}

#[test]
fn a_change_during_a_visit_makes_another_one() {
    let mut scene = Scene::new();
    scene.table.note(POD, 42, scene.now);
    let order = scene.due().unwrap();
    // Its number is not known yet.
    scene.change(Some(5), link(2, "eth0"));
    scene.settle(&order, report(Vec::new()));
    scene.pass(PAUSE);
    let order = scene.due().unwrap();
    scene.change(Some(5), Change::LinkGone(2));
    scene.settle(&order, report(vec![device(2, "eth0", State::Attached)]));
    scene.pass(PAUSE);
    assert_eq!(scene.due().unwrap().inode, POD);
}

#[test]
fn who_changes_things_all_the_time_waits_longer() {
    let mut scene = Scene::new();
    scene.add_pod(Vec::new());
    for _ in 0..HASTE {
        scene.visit_pod(Vec::new());
    }
    scene.change(Some(5), link(3, "eth1"));
    scene.pass(PAUSE);
    assert_eq!(scene.due(), None);
    scene.pass(LONG_PAUSE);
    assert!(scene.due().is_some());
}

#[test]
fn a_lost_filter_is_told_and_given_up_after_three_times() {
    let mut scene = Scene::new();
    scene.add_pod(vec![device(2, "eth0", State::Attached)]);
    let lost = Lost {
        namespace: POD,
        interface: "eth0".to_owned(),
        direction: Direction::Egress,
        attached_again: true,
    };
    for count in 0..3 {
        let (order, found) = scene.visit_pod(vec![device(2, "eth0", State::Attached)]);
        assert_eq!(order.given_up, [], "{count}");
        assert_eq!(order.programs.egress, 77);
        assert_eq!(found, std::slice::from_ref(&lost), "{count}");
    }
    let (order, found) = scene.visit_pod(vec![device(2, "eth0", State::Kept)]);
    assert_eq!(order.given_up, [(2, Direction::Egress)]);
    assert_eq!(found, []);
    let (_, found) = scene.visit_pod(vec![device(2, "eth0", State::Missing)]);
    let attached_again = false;
    let gone = Lost {
        attached_again,
        ..lost
    };
    assert_eq!(found, [gone]);
    let (_, found) = scene.visit_pod(vec![device(2, "eth0", State::Missing)]);
    assert_eq!(found, []);
    let status = scene.table.status();
    assert_eq!(status["lost"], 4);
    let sentence = status["given_up"][0].as_str().unwrap();
    assert!(sentence.starts_with("network namespace 200: eth0: somebody else removed the egress"));
}

#[test]
fn an_interface_that_was_gone_has_lost_nothing() {
    let mut scene = Scene::new();
    scene.add_pod(vec![device(2, "eth0", State::Attached)]);
    scene.change(Some(5), Change::LinkGone(2));
    let (_, lost) = scene.visit_pod(vec![device(2, "eth0", State::Attached)]);
    assert_eq!(lost, []);
    // What could not be seen is not lost, and what could not be read is not gone.
    let (_, lost) = scene.visit_pod(vec![device(2, "eth0", State::Unknown)]);
    assert_eq!(lost, []);
    let order = scene.table.order(POD).unwrap();
    let partial = Report {
        problem: "its interfaces could not be read".to_owned(),
        ..report(Vec::new())
    };
    assert_eq!(scene.settle(&order, partial), []);
    assert_eq!(scene.attached(), (0, 1));
    let problem = scene.table.status()["problems"][0].clone();
    assert_eq!(
        problem,
        "network namespace 200: its interfaces could not be read"
    );
    // Another namespace with the same inode.
    let order = scene.table.order(POD).unwrap();
    let other = Report {
        number: Some(6),
        ..report(vec![device(2, "eth0", State::Attached)])
    };
    assert_eq!(scene.settle(&order, other), []);
}

#[test]
fn the_end_of_a_namespace_is_the_end_of_its_entry() {
    let mut scene = Scene::new();
    let before = scene.add_pod(vec![device(2, "eth0", State::Attached)]);
    // Numbers that others give mean nothing here.
    scene.change(Some(8), Change::NamespaceGone(5));
    assert!(scene.table.knows(POD));
    scene.change(None, Change::NamespaceGone(5));
    assert!(!scene.table.knows(POD));
    assert!(!scene.table.has_forgotten());
    // A late report is not about the next namespace of this inode.
    scene.table.note(POD, 50, scene.now);
    let devices = vec![device(2, "eth0", State::Attached)];
    scene.settle(&before, report(devices));
    assert_eq!(scene.attached(), (0, 0));
}

#[test]
fn a_namespace_without_a_way_in_is_searched_for() {
    let mut scene = Scene::new();
    let order = scene.add_pod(vec![device(2, "eth0", State::Attached)]);
    assert!(!scene.table.take_wish());
    scene.table.order(POD).unwrap();
    let gone = Report {
        is_gone: true,
        ..Report::default()
    };
    scene.settle(&order, gone);
    assert!(scene.table.take_wish());
    scene.table.revisit(scene.now);
    assert_ne!(scene.due().unwrap().inode, POD);
    assert_eq!(scene.due(), None);
    scene.find(&[POD]);
    scene.pass(PAUSE);
    let places = scene.due().unwrap().places;
    assert_eq!(places, [PathBuf::from("/run/netns/blue")]);
    assert_eq!(scene.attached(), (0, 1));
}

#[test]
fn only_namespaces_with_lazy_interfaces_are_forgotten() {
    for (name, number, is_known) in [
        ("lo", Some(5), false),
        ("eth0", Some(5), true),
        ("eth0", None, false),
    ] {
        let mut scene = Scene::new();
        let order = scene.add_pod(Vec::new());
        let report = Report {
            number,
            ..report(vec![device(2, name, State::Attached)])
        };
        if number.is_none() {
            scene.table.spaces.get_mut(&POD).unwrap().number = None;
        }
        scene.table.order(POD).unwrap();
        scene.settle(&order, report);
        scene.pass(Duration::from_secs(1));
        scene.find(&[]);
        scene.table.expire(scene.now);
        assert!(scene.table.knows(POD), "{name}: it may be in use again");
        scene.pass(ABSENCE);
        scene.table.expire(scene.now);
        assert_eq!(scene.table.knows(POD), is_known, "{name} {number:?}");
        assert!(scene.table.knows(OWN));
        assert_eq!(
            scene.table.has_forgotten(),
            !is_known,
            "our filter was there"
        );
    }
}

#[test]
fn everything_is_swept_once_it_was_searched_and_visited() {
    let mut scene = Scene::new();
    assert!(!scene.table.is_swept());
    scene.find(&[POD]);
    assert!(!scene.table.is_swept());
    let order = scene.due().unwrap();
    let sentence = "it took too long".to_owned();
    scene.table.failed(POD, order.serial, sentence, scene.now);
    assert!(!scene.table.is_swept());
    assert_eq!(
        scene.table.with_filters(),
        [POD],
        "nobody knows what it did"
    );
    scene.visit_pod(Vec::new());
    assert!(scene.table.is_swept());
    assert!(scene.table.with_filters().is_empty());
}
