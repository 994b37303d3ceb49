use std::cell::Cell;

use super::super::tests::{filter, ingress, interface, survey_of, OURS};
use super::*;

fn ran(count: u64, is_once: bool) -> Ran {
    Ran {
        count: Some(count),
        is_once,
    }
}

/// Reads with counters of (program, before, after), and says whether it waited.
fn read(found: &Survey, counters: &[(u32, u64, u64)]) -> (Runs, bool) {
    let waited = Cell::new(false);
    let count = |id| {
        let known = counters.iter().find(|(known, ..)| *known == id)?;
        Some(if waited.get() { known.2 } else { known.1 })
    };
    let runs = Runs::read(found, &count, &|| waited.set(true));
    (runs, waited.get())
}

#[test]
fn runs_tell_what_a_classifier_does() {
    use EndsChain::{Counted, Passes};
    let unknown = Ran::default();
    let cases: [(Ran, &[Ran], bool, Option<EndsChain>); 14] = [
        (ran(100, true), &[ran(0, true)], true, Some(Counted)),
        (ran(100, true), &[ran(100, true)], true, Some(Passes)),
        (ran(100, true), &[ran(90, true)], true, Some(Passes)),
        (ran(100, true), &[ran(89, true)], true, None),
        // Too few.
        (ran(9, true), &[ran(0, true)], true, None),
        (ran(9, true), &[ran(9, true)], true, None),
        // The runs may be those of other interfaces.
        (ran(100, false), &[ran(0, true)], true, None),
        (ran(100, true), &[ran(100, false)], true, None),
        // None of them anywhere.
        (ran(100, true), &[ran(0, false)], true, Some(Counted)),
        // Ours may have seen what it was not asked about.
        (ran(100, true), &[ran(100, true)], false, None),
        // Who of the two does not let packets through.
        (ran(9, true), &[ran(0, true), ran(0, true)], true, None),
        (
            ran(100, true),
            &[ran(100, true), ran(0, true)],
            true,
            Some(Passes),
        ),
        (ran(100, true), &[unknown, ran(0, true)], true, None),
        (unknown, &[ran(0, true)], true, None),
    ];
    for (theirs, behind, sees_all, expected) in cases {
        let found = verdict(theirs, behind, sees_all);
        assert_eq!(found, expected, "{theirs:?} {behind:?} {sees_all}");
    }
    assert_eq!(verdict(ran(100, true), &[], true), None);
}

#[test]
fn the_time_before_does_not_count() {
    let filters = vec![ingress(5, "x", 1), ingress(10, OURS, 2)];
    let found = survey_of(vec![interface(1, "eth0", filters)]);
    // Ours has just been attached and nothing comes.
    let (runs, _) = read(&found, &[(1, 1_000_000, 1_000_003), (2, 0, 3)]);
    assert_eq!((runs.of(1), runs.of(2)), (ran(3, true), ran(3, true)));
    // A counter that fell, and one that cannot be read.
    let (runs, _) = read(&found, &[(1, 7, 6)]);
    assert_eq!((runs.of(1).count, runs.of(2).count), (None, None));
}

#[test]
fn a_program_that_is_attached_twice_is_known() {
    let both = || vec![ingress(5, "x", 1), ingress(10, OURS, 2)];
    let counters = [(1, 0, 50), (2, 0, 50)];
    let egress = filter(Direction::Egress, 10, 1, OURS, 2);
    for (more, theirs, ours) in [
        (vec![], true, true),
        (vec![ingress(10, OURS, 2)], true, false),
        (vec![egress], true, false),
        (vec![ingress(1, "x", 1)], false, true),
        (both(), false, false),
    ] {
        let found = survey_of(vec![
            interface(1, "eth0", both()),
            interface(2, "eth1", more),
        ]);
        let (runs, _) = read(&found, &counters);
        let once = (runs.of(1).is_once, runs.of(2).is_once);
        assert_eq!(once, (theirs, ours), "{found:?}");
    }
    let mut found = survey_of(vec![interface(1, "eth0", both())]);
    found.left_out = 1;
    assert!(!read(&found, &counters).0.of(1).is_once);
    found.left_out = 0;
    found.namespaces[0].problem = "it cannot be entered".to_owned();
    assert!(!read(&found, &counters).0.of(1).is_once);
}

#[test]
fn nothing_is_waited_for_when_nobody_comes_before_ours() {
    let egress = filter(Direction::Egress, 5, 1, "x", 1);
    for (filters, waits) in [
        (vec![], false),
        (vec![ingress(5, "x", 1)], false),
        (vec![ingress(10, OURS, 2)], false),
        (vec![ingress(10, OURS, 2), ingress(11, "x", 1)], false),
        (vec![egress, ingress(10, OURS, 2)], false),
        (vec![ingress(5, "", 0), ingress(10, OURS, 0)], false),
        (vec![ingress(5, "x", 1), ingress(10, OURS, 2)], true),
    ] {
        let found = survey_of(vec![interface(1, "eth0", filters)]);
        assert_eq!(read(&found, &[]).1, waits, "{found:?}");
    }
}
