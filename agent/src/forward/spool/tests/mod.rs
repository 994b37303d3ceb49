//! The spool as its callers see it: restarts, damage and bounds; disks that fail in [`failing`].

mod failing;

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::disk::cursor_name;
use super::*;

static SCRATCHES: AtomicUsize = AtomicUsize::new(0);

/// A directory for a spool, removed with everything in it.
struct Scratch(PathBuf);

impl Scratch {
    fn new() -> Scratch {
        let count = SCRATCHES.fetch_add(1, Ordering::Relaxed);
        let name = format!("spool-test-{}-{count}", std::process::id());
        let path = std::env::temp_dir().join(name);
        fs::create_dir(&path).unwrap();
        Scratch(path)
    }

    fn directory(&self) -> PathBuf {
        self.0.join("spool")
    }

    fn options(&self) -> Options {
        Options {
            directory: Some(self.directory()),
            max_bytes: 1024 * 1024,
            max_age: Duration::from_secs(86_400),
        }
    }

    fn open(&self, consumers: &[&str]) -> Spool {
        open_with(self.options(), consumers)
    }

    /// Segment files, oldest first.
    fn segments(&self) -> Vec<PathBuf> {
        self.files(".spool")
    }

    fn files(&self, end: &str) -> Vec<PathBuf> {
        let entries = fs::read_dir(self.directory()).unwrap();
        let paths = entries.map(|entry| entry.unwrap().path());
        let mut paths: Vec<PathBuf> = paths
            .filter(|path| path.to_str().unwrap().ends_with(end))
            .collect();
        paths.sort();
        paths
    }

    fn cursor(&self, consumer: &str) -> PathBuf {
        self.directory().join(cursor_name(consumer))
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        fs::remove_dir_all(&self.0).unwrap();
    }
}

fn open_with(options: Options, consumers: &[&str]) -> Spool {
    let names: Vec<String> = consumers.iter().map(|name| (*name).to_owned()).collect();
    Spool::open(options, &names, at(0))
}

fn at(seconds: u64) -> SystemTime {
    UNIX_EPOCH + Duration::from_secs(1_700_000_000 + seconds)
}

fn payload(number: u64) -> Vec<u8> {
    format!("{{\"seq\":{number}}}").into_bytes()
}

/// Appends records whose payload tells their number.
fn fill(spool: &mut Spool, count: u64) {
    for _ in 0..count {
        let number = spool.store.next;
        assert_eq!(spool.append(&payload(number), at(0)), number);
    }
}

/// Reads and checks what waits, and returns the numbers.
fn numbers(spool: &mut Spool, consumer: usize) -> Vec<u64> {
    let records = spool.read(consumer, usize::MAX, usize::MAX);
    for record in &records {
        assert_eq!(record.payload, payload(record.number), "{record:?}");
    }
    records.iter().map(|record| record.number).collect()
}

fn range(first: u64, last: u64) -> Vec<u64> {
    (first..=last).collect()
}

#[test]
fn what_was_appended_is_there_after_a_sudden_death() {
    let scratch = Scratch::new();
    let mut spool = scratch.open(&["intake"]);
    fill(&mut spool, 10);
    assert!(spool.is_on_disk());
    // Nothing is done when it is dropped, but for the lock, which the kernel frees as well.
    drop(spool);
    let mut spool = scratch.open(&["intake"]);
    assert_eq!(numbers(&mut spool, 0), range(1, 10));
    spool.accept(0, 4);
    drop(spool);
    let mut spool = scratch.open(&["intake"]);
    fill(&mut spool, 2);
    assert_eq!(numbers(&mut spool, 0), range(5, 12));
    assert_eq!(spool.pending(0).records, 8);
    assert_eq!(spool.take_notices(), Vec::<String>::new());
    let mode = |path: PathBuf| fs::metadata(path).unwrap().permissions().mode() & 0o7777;
    assert_eq!(mode(scratch.directory()), 0o700);
    assert_eq!(mode(scratch.segments().remove(0)), 0o600);
    assert_eq!(mode(scratch.cursor("intake")), 0o600);
}

#[test]
fn numbers_go_on_after_everything_was_accepted() {
    let scratch = Scratch::new();
    let mut spool = scratch.open(&["intake"]);
    fill(&mut spool, 3);
    numbers(&mut spool, 0);
    spool.accept(0, 3);
    spool.maintain(at(1));
    assert!(scratch.segments().is_empty());
    assert_eq!(spool.pending(0), Pending::default());
    drop(spool);
    let mut spool = scratch.open(&["intake"]);
    fill(&mut spool, 1);
    assert_eq!(numbers(&mut spool, 0), [4]);
    assert_eq!(spool.counters().consumers, [Losses::default()]);
}

#[test]
fn reading_keeps_to_its_limits_and_does_not_move() {
    let scratch = Scratch::new();
    let mut spool = scratch.open(&["intake"]);
    let long = vec![b'x'; 30_000];
    for _ in 0..20 {
        spool.append(&long, at(7));
    }
    assert!(scratch.segments().len() > 5);
    let counts = [
        (3, usize::MAX, 3),
        (100, 90_000, 3),
        (100, 1, 1),
        (100, usize::MAX, 20),
    ];
    for (records, bytes, expected) in counts {
        let found = spool.read(0, records, bytes);
        assert_eq!(found.len(), expected, "{records} {bytes}");
        assert_eq!(found[0].number, 1);
        assert_eq!(found[0].time, at(7));
    }
    let pending = spool.pending(0);
    assert_eq!((pending.records, pending.oldest), (20, Some(at(7))));
    assert_eq!(pending.bytes, 20 * 30_024);
    // What was never handed out is not accepted.
    spool.accept(0, 1_000);
    assert_eq!(spool.pending(0).records, 0);
    fill(&mut spool, 1);
    spool.accept(0, u64::MAX);
    assert_eq!(numbers(&mut spool, 0), [21]);
}

#[test]
fn each_consumer_has_its_own_cursor_and_the_slowest_keeps_the_segments() {
    let scratch = Scratch::new();
    let mut spool = scratch.open(&["fast", "slow"]);
    for _ in 0..40 {
        spool.append(&[b'x'; 10_000], at(0));
    }
    let all = scratch.segments().len();
    for through in [7, 23, 40] {
        spool.read(0, 50, usize::MAX);
        spool.accept(0, through);
        assert_eq!(scratch.segments().len(), all);
    }
    spool.read(1, 25, usize::MAX);
    spool.accept(1, 25);
    let left = scratch.segments().len();
    assert!(left < all && left > 1);
    drop(spool);
    let mut spool = scratch.open(&["fast", "slow"]);
    assert_eq!(spool.read(0, 50, usize::MAX).len(), 0);
    assert_eq!(spool.read(1, 50, usize::MAX).len(), 15);
    assert_eq!(spool.pending(1).records, 15);
}

#[test]
fn consumers_come_and_go() {
    let scratch = Scratch::new();
    let mut spool = scratch.open(&["old", "other"]);
    fill(&mut spool, 6);
    numbers(&mut spool, 0);
    spool.accept(0, 2);
    drop(spool);
    // A new one starts at the end, one that is named no more holds nothing up.
    let mut spool = scratch.open(&["old", "new"]);
    assert!(!scratch.cursor("other").exists());
    assert_eq!(numbers(&mut spool, 0), range(3, 6));
    assert_eq!(numbers(&mut spool, 1), range(7, 6));
    let notices = spool.take_notices();
    assert!(notices[0].contains("are given up"), "{notices:?}");
    drop(spool);
    // None at all may be an oversight: nothing is given up.
    let mut spool = open_with(scratch.options(), &[]);
    fill(&mut spool, 1);
    spool.maintain(at(1));
    drop(spool);
    assert_eq!(scratch.files(".cursor").len(), 2);
    // Without any cursor everything is new to everybody.
    fs::remove_file(scratch.cursor("old")).unwrap();
    fs::remove_file(scratch.cursor("new")).unwrap();
    let mut spool = scratch.open(&["new"]);
    assert_eq!(numbers(&mut spool, 0), range(1, 6));
}

#[test]
fn who_takes_the_place_of_all_others_gets_what_waited_for_them() {
    let scratch = Scratch::new();
    let mut spool = scratch.open(&["wrong"]);
    fill(&mut spool, 6);
    drop(spool);
    let mut spool = scratch.open(&["right"]);
    assert_eq!(numbers(&mut spool, 0), range(1, 6));
    assert!(spool.take_notices().is_empty());
    assert!(!scratch.cursor("wrong").exists());
}

#[test]
fn what_would_be_lost_with_the_process_is_known() {
    let scratch = Scratch::new();
    let mut spool = scratch.open(&["intake"]);
    fill(&mut spool, 3);
    assert_eq!(spool.unsaved(0), 0);
    let options = Options {
        directory: None,
        ..scratch.options()
    };
    let mut spool = open_with(options, &["intake"]);
    fill(&mut spool, 3);
    numbers(&mut spool, 0);
    spool.accept(0, 1);
    assert_eq!((spool.unsaved(0), spool.unsaved(1)), (2, 0));
}

#[test]
fn a_cursor_that_cannot_be_right_means_that_all_is_read_again() {
    let whole = format::cursor("intake", 3);
    let mut cases: Vec<Vec<u8>> = (0..whole.len()).map(|end| whole[..end].to_vec()).collect();
    cases.extend((0..whole.len()).map(|place| {
        let mut bytes = whole.clone();
        bytes[place] ^= 4;
        bytes
    }));
    cases.push(format::cursor("intake", 1 << 40));
    cases.push(vec![0; 100_000]);
    let scratch = Scratch::new();
    let mut spool = scratch.open(&["intake"]);
    fill(&mut spool, 5);
    drop(spool);
    for bytes in cases {
        fs::write(scratch.cursor("intake"), &bytes).unwrap();
        let mut spool = scratch.open(&["intake"]);
        let notices = spool.take_notices();
        assert!(notices[0].contains("are sent again"), "{notices:?}");
        assert_eq!(numbers(&mut spool, 0), range(1, 5), "{bytes:?}");
        assert_eq!(spool.store.next, 6);
    }
}

#[test]
fn records_that_a_power_cut_took_are_not_missed_by_those_who_accepted_them() {
    let scratch = Scratch::new();
    let mut spool = scratch.open(&["quick", "slow"]);
    fill(&mut spool, 10);
    numbers(&mut spool, 0);
    spool.accept(0, 10);
    drop(spool);
    let segment = scratch.segments().remove(0);
    let length = fs::metadata(&segment).unwrap().len();
    let file = fs::OpenOptions::new().write(true).open(&segment).unwrap();
    file.set_len(length - 40).unwrap();
    let mut spool = scratch.open(&["quick", "slow"]);
    fill(&mut spool, 1);
    assert_eq!(numbers(&mut spool, 0), [11]);
    let mut expected = range(1, 8);
    expected.push(11);
    assert_eq!(numbers(&mut spool, 1), expected);
    spool.accept(1, 11);
    let damaged = |spool: &Spool| -> Vec<u64> {
        let losses = spool.counters().consumers;
        losses.iter().map(|losses| losses.damaged).collect()
    };
    assert_eq!(damaged(&spool), [0, 2]);
    drop(spool);
    // They are counted once.
    assert_eq!(damaged(&scratch.open(&["quick", "slow"])), [0, 0]);
}

/// Checks what is left of five records after the bytes of their segment were changed at a place.
fn check_damage(scratch: &Scratch, bytes: &[u8], place: usize, ends: &[usize]) {
    let path = scratch.directory().join(segment::name(1));
    for old in scratch.segments() {
        fs::remove_file(old).unwrap();
    }
    fs::write(&path, bytes).unwrap();
    fs::write(scratch.cursor("intake"), format::cursor("intake", 1)).unwrap();
    let before = ends.iter().filter(|end| **end <= place).count() as u64;
    let mut spool = scratch.open(&["intake"]);
    let notices = spool.take_notices();
    let kept = match before {
        0 => 0,
        _ => ends[before as usize - 1],
    };
    if bytes.len() > kept {
        assert_eq!(notices.len(), 1, "{place}: {notices:?}");
        assert!(notices[0].contains(&format!("{} is damaged", path.display())));
        assert!(notices[0].contains(&format!("{} bytes", bytes.len() - kept)));
    } else {
        assert!(notices.is_empty(), "{place}: {notices:?}");
    }
    assert_eq!(numbers(&mut spool, 0), range(1, before), "at {place}");
    fill(&mut spool, 1);
    drop(spool);
    let mut spool = scratch.open(&["intake"]);
    assert!(spool.take_notices().is_empty());
    assert_eq!(numbers(&mut spool, 0), range(1, before + 1), "at {place}");
}

#[test]
fn damage_at_any_byte_costs_only_what_is_behind_it() {
    let scratch = Scratch::new();
    let mut spool = scratch.open(&["intake"]);
    fill(&mut spool, 5);
    drop(spool);
    let whole = fs::read(scratch.segments().remove(0)).unwrap();
    let size = format::OVERHEAD + payload(1).len();
    // The end of the header too is a place that the first record needs.
    let ends: Vec<usize> = (1..=5).map(|count| format::HEADER + count * size).collect();
    assert_eq!(ends[4], whole.len());
    for place in 0..whole.len() {
        check_damage(&scratch, &whole[..place], place, &ends);
        let mut flipped = whole.clone();
        flipped[place] ^= 0x41;
        check_damage(&scratch, &flipped, place, &ends);
        let mut zeroed = whole.clone();
        zeroed[place..].fill(0);
        if zeroed[place..] != whole[place..] {
            let first = (place..).find(|at| zeroed[*at] != whole[*at]).unwrap();
            check_damage(&scratch, &zeroed, first, &ends);
        }
    }
    let mut longer = whole.clone();
    longer.extend_from_slice(&[0xff; 30]);
    check_damage(&scratch, &longer, whole.len(), &ends);
}

#[test]
fn damage_in_an_older_segment_is_a_counted_gap() {
    let scratch = Scratch::new();
    let mut spool = scratch.open(&["a", "b"]);
    for _ in 0..30 {
        spool.append(&[b'x'; 10_000], at(0));
    }
    drop(spool);
    let segments = scratch.segments();
    let per_segment =
        segment::number_in(segments[1].file_name().unwrap().to_str().unwrap()).unwrap() - 1;
    let mut bytes = fs::read(&segments[1]).unwrap();
    let place = format::HEADER + 10_024 + 500;
    bytes[place] ^= 1;
    fs::write(&segments[1], &bytes).unwrap();
    let mut spool = scratch.open(&["a", "b"]);
    let notices = spool.take_notices();
    assert!(notices[0].contains("cut off"), "{notices:?}");
    let records = spool.read(0, 100, usize::MAX);
    let lost = per_segment - 1;
    assert_eq!(records.len() as u64, 30 - lost);
    assert_eq!(records.last().unwrap().number, 30);
    spool.accept(0, 30);
    assert_eq!(spool.counters().consumers[0].damaged, lost);
    assert_eq!(spool.counters().consumers[1].damaged, 0);
    assert_eq!(spool.pending(1).records, 30 - lost);
}

#[test]
fn damage_while_it_runs_is_skipped_and_counted() {
    let scratch = Scratch::new();
    let mut spool = scratch.open(&["a", "b"]);
    fill(&mut spool, 9);
    numbers(&mut spool, 1);
    spool.accept(1, 7);
    let path = scratch.segments().remove(0);
    let mut bytes = fs::read(&path).unwrap();
    let size = format::OVERHEAD + payload(1).len();
    bytes[format::HEADER + 3 * size + 30] ^= 1;
    fs::write(&path, &bytes).unwrap();
    assert_eq!(numbers(&mut spool, 0), range(1, 3));
    fill(&mut spool, 2);
    assert_eq!(numbers(&mut spool, 0), [1, 2, 3, 10, 11]);
    assert_eq!(numbers(&mut spool, 1), [10, 11]);
    for consumer in [0, 1] {
        spool.accept(consumer, 11);
    }
    let damaged: Vec<u64> = spool
        .counters()
        .consumers
        .iter()
        .map(|losses| losses.damaged)
        .collect();
    assert_eq!(damaged, [6, 2]);
    assert_eq!(spool.take_notices().len(), 1);
    // Files that somebody removes are no endless loop either.
    fs::remove_file(scratch.segments().pop().unwrap()).unwrap();
    fill(&mut spool, 1);
    spool.maintain(at(1));
    fill(&mut spool, 1);
    assert_eq!(numbers(&mut spool, 0), [13]);
}

#[test]
fn the_oldest_go_when_there_are_too_many_bytes() {
    let scratch = Scratch::new();
    let options = Options {
        max_bytes: 200_000,
        ..scratch.options()
    };
    let mut spool = open_with(options, &["up", "down"]);
    for _ in 0..100 {
        let number = spool.append(&[b'x'; 5_000], at(0));
        spool.read(0, 10, usize::MAX);
        spool.accept(0, number);
        let files = scratch.segments();
        let sizes = files.iter().map(|path| fs::metadata(path).unwrap().len());
        assert!(sizes.sum::<u64>() <= 200_000);
    }
    let counters = spool.counters();
    let left = spool.read(1, 100, usize::MAX);
    assert_eq!(counters.consumers[0], Losses::default());
    let dropped = counters.consumers[1].dropped_for_size;
    assert_eq!(dropped + left.len() as u64, 100);
    assert!(left.len() > 25, "{}", left.len());
    assert_eq!(left[0].number, dropped + 1);
    // Longer than the whole spool, and longer than anything may be.
    assert_eq!(spool.append(&[b'x'; 250_000], at(0)), 101);
    assert_eq!(spool.append(&vec![b'x'; format::LONGEST + 1], at(0)), 102);
    assert_eq!(spool.counters().consumers[0].dropped_for_size, 2);
    let number = spool.append(&[b'x'; 100_000], at(0));
    let found = spool.read(0, 10, usize::MAX);
    assert_eq!((number, found.len(), found[0].number), (103, 1, 103));
    spool.accept(0, 103);
    assert_eq!(spool.counters().consumers[0].damaged, 0);
}

#[test]
fn the_clock_decides_about_age_only_when_it_goes_forward() {
    let scratch = Scratch::new();
    let mut spool = scratch.open(&["intake"]);
    fill(&mut spool, 3);
    spool.append(b"later", at(80_000));
    for seconds in [80_001, 0, 86_400] {
        spool.maintain(at(seconds));
        assert_eq!(spool.pending(0).records, 4, "{seconds}");
    }
    spool.maintain(UNIX_EPOCH);
    assert_eq!(spool.pending(0).records, 4);
    spool.maintain(at(86_401));
    assert_eq!(spool.pending(0).records, 1);
    assert_eq!(spool.counters().consumers[0].dropped_for_age, 3);
    drop(spool);
    let spool = Spool::open(scratch.options(), &["intake".to_owned()], at(1_000_000));
    assert_eq!(spool.pending(0).records, 0);
    assert_eq!(spool.counters().consumers[0].dropped_for_age, 1);
}
