//! Whole checks of made-up surveys.

use super::*;
use crate::kernel::tc::{Handle, Qdisc};

/// Numbers of programs and how often they have run; `None` where that is not counted.
type Runs = Option<&'static [(u32, u64)]>;
/// Priorities and names of filters.
type Filters = &'static [(u16, &'static str)];

/// A program that is called `handle_egress`; others have no name.
const NAMED: u32 = 99;
const OURS: &str = "security-agent/0000000000000007/ingress";

fn filter(direction: Direction, priority: u16, handle: u32, name: &str, id: u32) -> Filter {
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

fn ingress(priority: u16, name: &str, id: u32) -> Filter {
    filter(Direction::Ingress, priority, 1, name, id)
}

fn interface(index: u32, name: &str, filters: Vec<Filter>) -> Interface {
    Interface {
        index,
        name: name.to_owned(),
        filters,
        ..Interface::default()
    }
}

fn survey_of(interfaces: Vec<Interface>) -> Survey {
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

/// Checks with runs of programs by their numbers.
fn check_with(found: &Survey, priority: u16, runs: Runs) -> Check {
    let program = |id| {
        let (id, run_cnt) = *runs?.iter().find(|(known, _)| *known == id)?;
        Some(ProgramInfo {
            id,
            run_cnt,
            name: if id == NAMED { "handle_egress" } else { "" }.to_owned(),
            ..ProgramInfo::default()
        })
    };
    let facts = Facts {
        priority,
        counts_runs: runs.is_some(),
        program: &program,
    };
    check(found, &facts)
}

fn classifiers(found: &Survey, priority: u16, runs: Runs) -> Vec<Classifier> {
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
    use EndsChain::{Counted, Unknown};
    let found = survey_of(vec![interface(
        1,
        "eth0",
        vec![
            ingress(5, "x", 1),
            ingress(10, OURS, 2),
            ingress(20, "y", 3),
        ],
    )]);
    let cases: [(Runs, [EndsChain; 2]); 6] = [
        (Some(&[(1, 7), (2, 0), (3, 7)]), [Counted, Unknown]),
        (Some(&[(1, 7), (2, 1), (3, 7)]), [Unknown, Unknown]),
        (Some(&[(1, 0), (2, 0), (3, 0)]), [Unknown, Unknown]),
        (Some(&[(1, 7)]), [Unknown, Unknown]),
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
    let name = "classifier_ingress_x_1";
    let filters = vec![ingress(5, name, 1), ingress(10, OURS, 2)];
    let found = survey_of(vec![interface(1, "eth0", filters)]);
    let cases: [(Runs, Advice); 2] = [
        (Some(&[(1, 7), (2, 0)]), Advice::LowerPriority(5)),
        (Some(&[(1, 7), (2, 1)]), Advice::Nothing),
    ];
    for (runs, advice) in cases {
        let check = check_with(&found, 10, runs);
        assert_eq!(check.namespaces[0].interfaces[0].advice, advice);
    }
}

#[test]
fn a_filter_without_a_name_has_that_of_its_program() {
    let found = survey_of(vec![interface(1, "eth0", vec![ingress(5, "", NAMED)])]);
    let found = classifiers(&found, 10, Some(&[(NAMED, 0)]));
    assert_eq!(found[0].name, "handle_egress");
    assert_eq!(found[0].vendor, "AWS VPC CNI network policy agent");
}

#[test]
fn filters_of_other_kinds_are_no_classifiers() {
    let flower = Filter {
        kind: "flower".to_owned(),
        program: None,
        ..ingress(1, "", 0)
    };
    let found = survey_of(vec![interface(1, "eth0", vec![flower])]);
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
    let mut veth = interface(4, "veth\n1", vec![ingress(3, "mine", 8)]);
    veth.qdiscs.push(Qdisc {
        kind: "ingress".to_owned(),
        handle: Handle(0xffff_0000),
        parent: Handle(0xffff_fff1),
    });
    let egress = filter(Direction::Egress, 1, 0x2a, "cil_to_netdev-eth0", 6);
    let mut found = survey_of(vec![
        interface(1, "lo", Vec::new()),
        interface(
            2,
            "eth0",
            vec![
                egress,
                ingress(1, "cil_from_netdev-eth0", 5),
                ingress(10, OURS, 7),
            ],
        ),
        interface(3, "eth1", vec![ingress(20, "x", 9)]),
        veth,
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
     ingress priority=1 handle=0x1 cil_from_netdev-eth0 id=5 direct-action: Cilium, before ours, \
known to return TC_ACT_OK
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
     its ingress qdisc leaves no room for clsact: nothing is attached here
     advice: set runtime_security_config.network.classifier_priority below 3
network namespace 7 (/run/netns/blue)
  it cannot be entered
note: 2 more network namespaces are not looked at
note: {CILIUM}{}
note: {UNCOUNTED}
note: {UNSEEN}
network namespaces: 2, interfaces: 4; with classifiers of ours at priority 10: nothing to do on 2, \
a lower priority is needed on 1, impossible on 1
",
        Advice::Impossible,
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
