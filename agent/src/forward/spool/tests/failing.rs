//! Disks that are full, in use, not ours, or not there.

use std::os::unix::fs::symlink;

use super::*;

#[test]
fn a_full_disk_is_bridged_by_memory() {
    let scratch = Scratch::new();
    let mut spool = scratch.open(&["intake"]);
    fill(&mut spool, 3);
    let length = fs::metadata(&scratch.segments()[0]).unwrap().len();
    for room in [0, 1, 20] {
        spool.store.disk.as_mut().unwrap().room = Some(room);
        fill(&mut spool, 2);
        assert!(!spool.is_on_disk());
        // What did not fit whole was cut off.
        assert_eq!(fs::metadata(&scratch.segments()[0]).unwrap().len(), length);
        spool.maintain(at(29));
        assert!(!spool.is_on_disk());
        // The second attempt finds the same, which is not worth another word.
        spool.maintain(at(31));
        spool.store.disk.as_mut().unwrap().room = Some(0);
        spool.maintain(at(62));
    }
    let last = spool.store.next - 1;
    assert_eq!(numbers(&mut spool, 0), range(1, last));
    assert_eq!(spool.pending(0).records, last);
    let notices = spool.take_notices();
    assert_eq!(notices.len(), 1, "{notices:?}");
    assert!(notices[0].contains("free some space"), "{notices:?}");
    assert!(spool.state().starts_with("in memory, because"));
    spool.store.disk.as_mut().unwrap().room = None;
    spool.maintain(at(1_000));
    assert!(spool.is_on_disk());
    assert_eq!(spool.take_notices().len(), 1);
    fill(&mut spool, 1);
    assert_eq!(numbers(&mut spool, 0), range(1, last + 1));
    drop(spool);
    let mut spool = scratch.open(&["intake"]);
    assert_eq!(numbers(&mut spool, 0), range(1, last + 1));
    assert!(spool.take_notices().is_empty());
}

#[test]
fn what_memory_cannot_hold_is_counted_once() {
    let scratch = Scratch::new();
    let mut spool = open_with(
        Options {
            max_bytes: 64 * 1024 * 1024,
            ..scratch.options()
        },
        &["a", "b"],
    );
    fill(&mut spool, 2);
    spool.store.disk.as_mut().unwrap().room = Some(0);
    for _ in 0..10 {
        spool.append(&[b'x'; 1_000_000], at(0));
    }
    let lost = Losses {
        dropped_for_size: 6,
        ..Losses::default()
    };
    assert_eq!(spool.counters().consumers, [lost, lost]);
    spool.store.disk.as_mut().unwrap().room = None;
    spool.maintain(at(100));
    let found = spool.read(0, 100, usize::MAX);
    let numbers: Vec<u64> = found.iter().map(|record| record.number).collect();
    assert_eq!(numbers, [1, 2, 9, 10, 11, 12]);
    spool.accept(0, 12);
    assert_eq!(spool.counters().consumers[0], lost);
    drop(spool);
    // The gap says of itself that it is accounted for.
    let mut spool = scratch.open(&["a", "b"]);
    assert_eq!(spool.read(1, 100, usize::MAX).len(), 6);
    spool.accept(1, 12);
    assert_eq!(spool.counters().consumers[1], Losses::default());
}

#[test]
fn what_waits_in_memory_is_not_skipped_while_room_is_made_for_it() {
    let scratch = Scratch::new();
    let options = Options {
        max_bytes: 100_000,
        ..scratch.options()
    };
    let mut spool = open_with(options, &["up", "down"]);
    for _ in 0..40 {
        spool.append(&[b'x'; 5_000], at(0));
        spool.read(0, 10, usize::MAX);
        spool.accept(0, u64::MAX);
    }
    spool.store.disk.as_mut().unwrap().room = Some(0);
    for _ in 0..8 {
        spool.append(&[b'x'; 5_000], at(0));
    }
    spool.store.disk.as_mut().unwrap().room = None;
    spool.maintain(at(31));
    assert!(spool.is_on_disk());
    let found = spool.read(0, 100, usize::MAX);
    let numbers: Vec<u64> = found.iter().map(|record| record.number).collect();
    assert_eq!(numbers, range(41, 48));
    assert_eq!(spool.counters().consumers[0], Losses::default());
    let left = spool.read(1, 100, usize::MAX).len() as u64;
    assert_eq!(spool.counters().consumers[1].dropped_for_size + left, 48);
}

#[test]
fn memory_alone_serves_as_well() {
    let options = Options {
        directory: None,
        max_bytes: 1024 * 1024,
        max_age: Duration::from_secs(60),
    };
    let mut spool = open_with(options, &["a", "b"]);
    fill(&mut spool, 5);
    assert_eq!(numbers(&mut spool, 0), range(1, 5));
    spool.accept(0, 3);
    assert_eq!(spool.pending(0).records, 2);
    assert_eq!(numbers(&mut spool, 1), range(1, 5));
    assert_eq!(spool.state(), "in memory, as configured");
    spool.maintain(at(61));
    let dropped: Vec<u64> = spool
        .counters()
        .consumers
        .iter()
        .map(|losses| losses.dropped_for_age)
        .collect();
    assert_eq!(dropped, [2, 5]);
    assert!(spool.take_notices().is_empty());
}

#[test]
fn a_spool_is_used_by_one_process_at_a_time() {
    let scratch = Scratch::new();
    let mut first = scratch.open(&["intake"]);
    fill(&mut first, 3);
    let mut second = scratch.open(&["intake"]);
    assert!(!second.is_on_disk());
    let notices = second.take_notices();
    assert!(notices[0].contains("another process uses"), "{notices:?}");
    for text in ["one", "two"] {
        second.append(text.as_bytes(), at(0));
    }
    assert_eq!(second.read(0, 10, usize::MAX).len(), 2);
    drop(first);
    second.maintain(at(31));
    assert!(second.is_on_disk());
    // An answer that was under way does not accept other records of the same number.
    second.accept(0, 2);
    let found = second.read(0, 10, usize::MAX);
    let numbers: Vec<u64> = found.iter().map(|record| record.number).collect();
    assert_eq!(numbers, range(1, 5));
    assert_eq!(found[4].payload, b"two");
}

#[test]
fn a_directory_that_is_not_ours_is_not_used() {
    let scratch = Scratch::new();
    let elsewhere = scratch.0.join("elsewhere");
    fs::create_dir(&elsewhere).unwrap();
    symlink(&elsewhere, scratch.directory()).unwrap();
    let mut spool = scratch.open(&["intake"]);
    fill(&mut spool, 2);
    let notices = spool.take_notices();
    assert!(notices[0].contains("is a link"), "{notices:?}");
    assert_eq!(fs::read_dir(&elsewhere).unwrap().count(), 0);
    fs::remove_file(scratch.directory()).unwrap();
    spool.maintain(at(31));
    assert!(spool.is_on_disk());
    assert_eq!(numbers(&mut spool, 0), range(1, 2));
    // Replaced while it is used.
    fs::rename(scratch.directory(), scratch.0.join("moved")).unwrap();
    symlink(&elsewhere, scratch.directory()).unwrap();
    spool.maintain(at(32));
    assert!(!spool.is_on_disk());
    fill(&mut spool, 1);
    assert_eq!(numbers(&mut spool, 0), [3]);
    assert_eq!(spool.counters().consumers[0].damaged, 2);
    assert_eq!(fs::read_dir(&elsewhere).unwrap().count(), 0);
    fs::remove_file(scratch.directory()).unwrap();
}

#[test]
fn files_in_it_that_are_links_are_not_followed() {
    let scratch = Scratch::new();
    fs::create_dir(scratch.directory()).unwrap();
    let target = scratch.0.join("target");
    fs::write(&target, "precious").unwrap();
    for name in [segment::name(1), segment::name(9), cursor_name("intake")] {
        symlink(&target, scratch.directory().join(name)).unwrap();
    }
    let mut spool = scratch.open(&["intake"]);
    fill(&mut spool, 3);
    numbers(&mut spool, 0);
    spool.accept(0, 20);
    spool.maintain(at(1));
    assert_eq!(fs::read_to_string(&target).unwrap(), "precious");
}
