//! Whole checks of made-up surveys.

use std::cell::Cell;

use super::*;
use crate::kernel::tc::{Handle, Program, Qdisc};

/// Numbers of programs and how often they run in a second; `None` where that is not counted.
type Counts = Option<&'static [(u32, u64)]>;
/// Priorities and names of filters.
type Filters = &'static [(u16, &'static str)];

/// A program that is called `handle_egress`; others have no name.
const NAMED: u32 = 99;
/// ARPHRD_ETHER of linux/if_arp.h.
const ETHERNET: u16 = 1;
pub(super) const OURS: &str = "security-agent/0000000000000007/ingress";

pub(super) fn filter(
    direction: Direction,
    priority: u16,
    handle: u32,
    name: &str,
    id: u32,
) -> Filter {
    Filter {
        direction,
        chain: 0,
        kind: "bpf".to_owned(),
        protocol: 3,
        priority,
        handle,
        program: Some(Program {
            name: name.to_owned(),
            id,
            tag: [0; 8],
            is_direct: true,
        }),
    }
}

pub(super) fn ingress(priority: u16, name: &str, id: u32) -> Filter {
    filter(Direction::Ingress, priority, 1, name, id)
}

fn flower(priority: u16) -> Filter {
    Filter {
        kind: "flower".to_owned(),
        program: None,
        ..ingress(priority, "", 0)
    }
}

fn ingress_qdisc() -> Qdisc {
    Qdisc {
        kind: "ingress".to_owned(),
        handle: Handle(0xffff_0000),
        parent: Handle(0xffff_fff1),
    }
}

pub(super) fn interface(index: u32, name: &str, filters: Vec<Filter>) -> Interface {
    Interface {
        index,
        name: name.to_owned(),
        hardware: ETHERNET,
        filters,
        ..Interface::default()
    }
}

pub(super) fn survey_of(interfaces: Vec<Interface>) -> Survey {
    Survey {
        namespaces: vec![Namespace {
            inode: 4_026_531_840,
            found_at: "pid 1".to_owned(),
            interfaces,
            problem: String::new(),
        }],
        left_out: 0,
    }
}

fn options(priority: u16) -> Options {
    Options {
        choice: Choice::default(),
        ingress: true,
        priority,
        handle: 0,
    }
}

/// Checks with runs of programs by their numbers.
fn check_with(found: &Survey, priority: u16, runs: Counts) -> Check {
    check_as(found, &options(priority), runs)
}

fn check_as(found: &Survey, options: &Options, runs: Counts) -> Check {
    let known = |id| {
        let (_, runs) = runs?.iter().find(|(known, _)| *known == id)?;
        Some(*runs)
    };
    let program = |id| {
        known(id).map(|_| ProgramInfo {
            id,
            name: if id == NAMED { "handle_egress" } else { "" }.to_owned(),
            ..ProgramInfo::default()
        })
    };
    let has_waited = Cell::new(false);
    let count = |id| known(id).map(|runs| if has_waited.get() { runs } else { 0 });
    let facts = Facts {
        options,
        counts_runs: runs.is_some(),
        program: &program,
        runs: &Runs::read(found, &count, &|| has_waited.set(true)),
    };
    check(found, &facts)
}

/// The advice on the first interface.
fn advice(check: &Check) -> Advice {
    check.namespaces[0].interfaces[0].advice
}

fn classifiers(found: &Survey, priority: u16, runs: Counts) -> Vec<Classifier> {
    let mut check = check_with(found, priority, runs);
    check.namespaces[0].interfaces.remove(0).classifiers
}

#[test]
fn positions_follow_priority_and_order() {
    use Position::{After, Before, Ours};
    let cases: [(Filters, u16, &[Position]); 6] = [
        (
            &[(9, "x"), (10, "y"), (11, "z")],
            10,
            &[Before, Before, After],
        ),
        (
            &[(9, "x"), (10, OURS), (11, "z")],
            10,
            &[Before, Ours, After],
        ),
        (
            &[(10, "x"), (10, OURS), (10, "z")],
            10,
            &[Before, Ours, After],
        ),
        (&[(10, OURS), (10, "x")], 10, &[Ours, After]),
        // Ours are where they are, whatever the configuration says by now.
        (&[(5, "x"), (10, OURS)], 4, &[Before, Ours]),
        (&[], 10, &[]),
    ];
    for (filters, priority, expected) in cases {
        let filters = filters.iter();
        let filters = filters.map(|(priority, name)| ingress(*priority, name, 0));
        let found = survey_of(vec![interface(1, "lo", filters.collect())]);
        let found = classifiers(&found, priority, None);
        let positions: Vec<Position> = found.iter().map(|one| one.position).collect();
        assert_eq!(positions, expected, "{found:?}");
    }
}

#[test]
fn directions_are_apart() {
    let filters = vec![
        ingress(10, OURS, 1),
        filter(Direction::Egress, 10, 1, "x", 2),
    ];
    let found = survey_of(vec![interface(1, "lo", filters)]);
    let found = classifiers(&found, 10, None);
    assert_eq!(found[1].position, Position::Before);
}

#[test]
fn counters_show_where_a_chain_ends() {
    use EndsChain::{Counted, Passes, Unknown};
    let found = survey_of(vec![interface(
        1,
        "eth0",
        vec![
            ingress(5, "x", 1),
            ingress(10, OURS, 2),
            ingress(20, "y", 3),
        ],
    )]);
    let cases: [(Counts, [EndsChain; 2]); 8] = [
        (Some(&[(1, 70), (2, 0), (3, 70)]), [Counted, Unknown]),
        (Some(&[(1, 70), (2, 70), (3, 70)]), [Passes, Unknown]),
        (Some(&[(1, 70), (2, 7), (3, 0)]), [Unknown, Unknown]),
        (Some(&[(1, 7), (2, 0), (3, 7)]), [Unknown, Unknown]),
        (Some(&[(1, 0), (2, 0), (3, 0)]), [Unknown, Unknown]),
        (Some(&[(1, 70)]), [Unknown, Unknown]),
        (Some(&[]), [Unknown, Unknown]),
        (None, [Unknown, Unknown]),
    ];
    for (runs, expected) in cases {
        let found = classifiers(&found, 10, runs);
        let ends = [found[0].ends_chain, found[2].ends_chain];
        assert_eq!(ends, expected, "{runs:?}");
    }
}

#[test]
fn counters_weigh_more_than_what_a_vendor_is_known_for() {
    let sure = Advice::LowerPriority {
        below: 5,
        is_sure: true,
    };
    let cases: [(&str, Counts, Advice); 6] = [
        ("classifier_ingress_x_1", None, Advice::Nothing),
        ("classifier_ingress_x_1", Some(&[(1, 70), (2, 0)]), sure),
        (
            "classifier_ingress_x_1",
            Some(&[(1, 70), (2, 7)]),
            Advice::Nothing,
        ),
        ("cil_from_netdev", None, sure),
        (
            "cil_from_netdev",
            Some(&[(1, 70), (2, 70)]),
            Advice::Nothing,
        ),
        ("cil_from_netdev", Some(&[(1, 70), (2, 7)]), sure),
    ];
    for (name, runs, expected) in cases {
        let filters = vec![ingress(5, name, 1), ingress(10, OURS, 2)];
        let found = survey_of(vec![interface(1, "eth0", filters)]);
        assert_eq!(advice(&check_with(&found, 10, runs)), expected, "{name}");
    }
}

#[test]
fn a_tracer_at_priority_1_is_no_hindrance() {
    let filters = vec![ingress(1, "tracer", 1), ingress(10, OURS, 2)];
    let found = survey_of(vec![interface(1, "eth0", filters)]);
    let passes = check_with(&found, 10, Some(&[(1, 70), (2, 70)]));
    assert_eq!(advice(&passes), Advice::Nothing);
    let unknown = advice(&check_with(&found, 10, None));
    assert_eq!(
        unknown,
        Advice::Impossible {
            is_early: false,
            is_sure: false
        }
    );
}

#[test]
fn only_what_would_be_attached_is_in_danger() {
    let chosen = |include: &[&str], ingress| Options {
        choice: Choice::new(
            &include.iter().map(ToString::to_string).collect::<Vec<_>>(),
            &[],
        ),
        ingress,
        ..options(10)
    };
    let unsure = Advice::Impossible {
        is_early: false,
        is_sure: false,
    };
    let way_in = || vec![ingress(1, "x", 1)];
    let way_out = || vec![filter(Direction::Egress, 1, 1, "x", 1)];
    let attached = || vec![ingress(1, "x", 1), ingress(10, OURS, 2)];
    use Unwatched::{Excluded, IngressOff, NotEthernet};
    for (include, is_on, hardware, filters, expected) in [
        (&[][..], true, ETHERNET, way_in(), (unsure, None)),
        (&["e*"], true, ETHERNET, way_in(), (unsure, None)),
        (
            &["w*"],
            true,
            ETHERNET,
            way_in(),
            (Advice::Nothing, Some(Excluded)),
        ),
        (
            &[],
            true,
            65_534,
            way_in(),
            (Advice::Nothing, Some(NotEthernet)),
        ),
        (
            &[],
            false,
            ETHERNET,
            way_in(),
            (Advice::Nothing, Some(IngressOff)),
        ),
        (&[], false, ETHERNET, way_out(), (unsure, Some(IngressOff))),
        // Attached by an agent that was configured otherwise.
        (&[], false, ETHERNET, attached(), (unsure, None)),
        (
            &["w*"],
            true,
            ETHERNET,
            attached(),
            (unsure, Some(Excluded)),
        ),
    ] {
        let mut eth0 = interface(1, "eth0", filters);
        eth0.hardware = hardware;
        let check = check_as(&survey_of(vec![eth0]), &chosen(include, is_on), None);
        let unwatched = check.namespaces[0].interfaces[0].unwatched;
        assert_eq!((advice(&check), unwatched), expected, "{include:?} {is_on}");
    }
}

#[test]
fn an_ingress_qdisc_leaves_no_room_where_ours_are_wanted() {
    let mut eth0 = interface(1, "eth0", vec![ingress(1, "x", 1)]);
    eth0.qdiscs.push(ingress_qdisc());
    let found = survey_of(vec![eth0]);
    let mut options = options(10);
    assert_eq!(advice(&check_as(&found, &options, None)), Advice::NoRoom);
    options.ingress = false;
    assert_eq!(advice(&check_as(&found, &options, None)), Advice::NoRoom);
    options.choice = Choice::new(&[], &["eth*".to_owned()]);
    assert_eq!(advice(&check_as(&found, &options, None)), Advice::Nothing);
}

#[test]
fn each_direction_is_judged_by_the_priority_of_ours_there() {
    let filters = vec![ingress(4, OURS, 2), ingress(5, "x", 1)];
    let found = survey_of(vec![interface(1, "eth0", filters)]);
    assert_eq!(advice(&check_with(&found, 10, None)), Advice::Nothing);
}

#[test]
fn the_note_about_old_cilium_is_for_old_names() {
    for (name, is_told) in [
        ("bpf_lxc.o:[from-container]", true),
        ("cil_from_container", false),
        ("handle_ingress", false),
    ] {
        let found = survey_of(vec![interface(1, "eth0", vec![ingress(1, name, 1)])]);
        let notes = check_with(&found, 10, None).notes;
        let found = notes.iter().any(|note| note.contains("Cilium 1.9"));
        assert_eq!(found, is_told, "{name}");
    }
}

#[test]
fn other_chains_are_not_before_ours() {
    let mut there = ingress(1, "x", 1);
    there.chain = 7;
    let mut flower = flower(1);
    flower.chain = 7;
    let mut like_ours = ingress(3, OURS, 2);
    like_ours.chain = 7;
    let found = survey_of(vec![interface(1, "eth0", vec![there, flower, like_ours])]);
    assert_eq!(priority_in_use(&found), None);
    let mut check = check_with(&found, 10, None);
    let eth0 = check.namespaces[0].interfaces.remove(0);
    assert!(eth0.classifiers.is_empty() && eth0.others.is_empty());
    assert_eq!(eth0.advice, Advice::Nothing);
}

#[test]
fn a_filter_without_a_name_has_that_of_its_program() {
    let found = survey_of(vec![interface(1, "eth0", vec![ingress(5, "", NAMED)])]);
    let found = classifiers(&found, 10, Some(&[(NAMED, 0)]));
    assert_eq!(found[0].name, "handle_egress");
    assert_eq!(found[0].vendor, "AWS VPC CNI network policy agent");
}

#[test]
fn filters_of_other_kinds_before_ours_are_listed_once() {
    let filters = vec![
        flower(1),
        flower(1),
        flower(10),
        ingress(10, OURS, 0),
        flower(11),
    ];
    let mut found = survey_of(vec![interface(1, "eth0", filters)]);
    let priorities = |found: &Survey| {
        let mut check = check_with(found, 10, None);
        let eth0 = check.namespaces[0].interfaces.remove(0);
        assert_eq!(eth0.advice, Advice::Nothing);
        let others = eth0.others.iter();
        others.map(|other| other.priority).collect::<Vec<u16>>()
    };
    assert_eq!(priorities(&found), [1, 10]);
    found.namespaces[0].interfaces[0].filters.remove(3);
    assert_eq!(priorities(&found), [1, 10]);
    assert!(classifiers(&found, 10, None).is_empty());
}

#[test]
fn the_priority_in_use_is_that_of_ours() {
    let of = |name| {
        let filters = vec![ingress(1, "x", 1), ingress(7, name, 2)];
        priority_in_use(&survey_of(vec![interface(1, "lo", filters)]))
    };
    assert_eq!(of(OURS), Some(7));
    assert_eq!(of("y"), None);
}

#[test]
fn a_check_becomes_text() {
    let mut veth = interface(4, "veth\n1", vec![flower(2), ingress(3, "mine", 8)]);
    veth.qdiscs.push(ingress_qdisc());
    let mut tun = interface(5, "tun0", Vec::new());
    tun.hardware = 65_534;
    let egress = filter(Direction::Egress, 1, 0x2a, "cil_to_netdev-eth0", 6);
    let mut found = survey_of(vec![
        interface(1, "lo", Vec::new()),
        interface(
            2,
            "eth0",
            vec![
                egress,
                ingress(1, "bpf_netdev_eth0.o:[from-netdev]", 5),
                ingress(10, OURS, 7),
            ],
        ),
        interface(3, "eth1", vec![ingress(20, "x", 9)]),
        veth,
        tun,
        interface(6, "eth2", vec![ingress(2, "y", 10)]),
    ]);
    found.namespaces.push(Namespace {
        inode: 7,
        found_at: "/run/netns/blue".to_owned(),
        problem: "it cannot be entered".to_owned(),
        ..Namespace::default()
    });
    found.left_out = 2;
    let expected = format!(
        "\
network namespace 4026531840 (pid 1)
  1: lo: no classifiers: nothing to do
  2: eth0
     ingress priority=1 handle=0x1 bpf_netdev_eth0.o:[from-netdev] id=5 direct-action: Cilium, \
before ours, known to return TC_ACT_OK
     ingress priority=10 handle=0x1 {OURS} id=7 direct-action: security-agent
     egress priority=1 handle=0x2a cil_to_netdev-eth0 id=6 direct-action: Cilium, before ours, \
known to return TC_ACT_OK
     advice: {}
  3: eth1
     ingress priority=20 handle=0x1 x id=9 direct-action: unknown provider, behind ours, \
what it returns is unknown
     advice: nothing to do
  4: veth?1
     ingress priority=3 handle=0x1 mine id=8 direct-action: unknown provider, before ours, \
what it returns is unknown
     ingress priority=2 flower: no eBPF, before ours, its actions may end the chain
     advice: {}
  5: tun0: no classifiers, not watched, as its packets have no Ethernet headers: nothing to do
  6: eth2
     ingress priority=2 handle=0x1 y id=10 direct-action: unknown provider, before ours, \
what it returns is unknown
     advice: set runtime_security_config.network.classifier_priority below 2 (if it returns \
TC_ACT_UNSPEC, nothing to do about it)
network namespace 7 (/run/netns/blue)
  it cannot be entered
note: 2 more network namespaces are not looked at
note: {CILIUM}{}
note: {UNCOUNTED}
note: {UNSEEN}
network namespaces: 2, interfaces: 6; with classifiers of ours at priority 10: nothing to do on 3, \
a lower priority is needed on 1, impossible on 1, no room on 1
",
        Advice::Impossible {
            is_early: false,
            is_sure: true
        },
        Advice::NoRoom,
        advice::SWITCH_OFF,
    );
    assert_eq!(text::text(&check_with(&found, 10, None)), expected);
}

#[test]
fn many_bare_interfaces_are_counted() {
    let bare = |count| (1..=count).map(|index| interface(index, "veth", Vec::new()));
    for (count, lines) in [(50, 50), (51, 1)] {
        let found = survey_of(bare(count).collect());
        let text = text::text(&check_with(&found, 10, None));
        let about = text
            .lines()
            .filter(|line| line.ends_with(": nothing to do"));
        assert_eq!(about.count(), lines, "{text}");
    }
}
