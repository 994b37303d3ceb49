//! Many namespaces and interfaces, of which users may make as many as they like.

use super::*;

#[test]
fn both_tables_are_bounded() {
    let mut scene = Scene::new();
    let most = u32::try_from(find::MOST).unwrap();
    for inode in 1_000..1_000 + 2 * most {
        scene.pass(Duration::from_millis(1));
        scene.table.note(inode, 1, scene.now);
    }
    assert_eq!(scene.table.spaces.len(), find::MOST);
    assert!(scene.table.knows(OWN));
    assert!(!scene.table.knows(1_000));
    for number in 100..100 + 2 * 1_024 {
        scene.change(Some(number), link(9, "eth0"));
    }
    assert_eq!(scene.table.unknown.len(), UNKNOWN);
}

#[test]
fn no_namespace_takes_the_room_of_the_others() {
    let mut scene = Scene::new();
    assert_eq!(scene.table.order(OWN).unwrap().room, INTERFACES);
    let full = |count: u32| (0..count).map(|index| device(index, "eth", State::Kept));
    for inode in 1_000..1_013 {
        scene.table.note(inode, 1, scene.now);
        let order = scene.table.order(inode).unwrap();
        let room = u32::try_from(order.room).unwrap();
        assert_eq!(order.room, if inode < 1_012 { 256 } else { 4 }, "{inode}");
        let found = Report {
            devices: full(room).collect(),
            ..Report::default()
        };
        scene.settle(&order, found);
    }
    assert_eq!(scene.table.order(OWN).unwrap().room, OWN_INTERFACES);
    let again = scene.table.order(1_000).unwrap();
    assert_eq!(again.room, 256, "what it has stays known");
    // Others than these take none.
    let devices = (0..4_096).map(|index| device(index, "docker", State::Unwanted));
    let order = scene.table.order(OWN).unwrap();
    let known = scene.table.count();
    scene.settle(&order, report(devices.collect()));
    scene.change(None, link(9, "docker0"));
    assert_eq!(scene.table.count(), known);
}

#[test]
fn who_has_filters_stays_when_many_come() {
    let mut scene = Scene::new();
    scene.add_pod(vec![device(2, "eth0", State::Attached)]);
    scene.table.note(300, 1, scene.now);
    scene.pass(Duration::from_secs(1));
    let most = u32::try_from(find::MOST).unwrap();
    for inode in 1_000..1_000 + 2 * most {
        scene.table.note(inode, 1, scene.now);
    }
    assert!(scene.table.knows(POD), "it is older, but has filters");
    assert!(!scene.table.knows(300));
    assert!(!scene.table.has_forgotten());
}

#[test]
fn new_namespaces_and_known_ones_take_turns() {
    let mut scene = Scene::new();
    scene.add_pod(Vec::new());
    scene.table.revisit(scene.now);
    scene.pass(PAUSE);
    for inode in [300, 301, 302] {
        scene.table.note(inode, 1, scene.now);
    }
    let order = [(); 5].map(|()| scene.due().unwrap().inode);
    assert_eq!(order, [OWN, 300, POD, 301, 302]);
}

#[test]
fn lost_filters_of_one_visit_are_told_up_to_a_bound() {
    let mut scene = Scene::new();
    let all = || (0..100).map(|index| device(index, "eth", State::Attached));
    scene.add_pod(all().collect());
    let (_, lost) = scene.visit_pod(all().collect());
    assert_eq!((lost.len(), scene.table.lost()), (16, 100));
}

#[test]
fn what_was_missed_makes_everything_due_but_not_all_the_time() {
    let mut scene = Scene::new();
    scene.add_pod(Vec::new());
    scene.change(None, Change::Missed);
    assert!(scene.table.take_wish());
    scene.table.expire(scene.now);
    let due = [scene.due().unwrap().inode, scene.due().unwrap().inode];
    assert_eq!(due, [OWN, POD]);
    assert_eq!(scene.due(), None);
    scene.table.take_wish();
    let mut visits = 0;
    // A user makes the kernel drop messages for ten minutes.
    for _ in 0..600 {
        scene.pass(Duration::from_secs(1));
        scene.change(None, Change::Missed);
        scene.table.expire(scene.now);
        visits += usize::from(scene.table.take_wish());
    }
    assert!((10..30).contains(&visits), "{visits}");
    for _ in 0..2 {
        scene.pass(Duration::from_secs(200));
        scene.table.expire(scene.now);
    }
    scene.table.take_wish();
    scene.change(None, Change::Missed);
    assert!(scene.table.take_wish(), "that was long ago");
}
