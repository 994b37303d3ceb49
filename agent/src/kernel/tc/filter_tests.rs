//! The classifiers that pcap filters become, on the running kernel: its verifier takes them, and
//! they say of each packet what the evaluation in user space says.
//!
//! Nothing is attached: the kernel runs a program on packets that it is given. This needs root.

use std::os::fd::{AsFd, AsRawFd, OwnedFd};

use bpf_sys::{map_kind, program_kind, MapHandle, MapSpec, ProgramLoad};

use crate::packet::filter::samples::{self, Random};
use crate::packet::filter::{program, Filter, MAX_INSTRUCTIONS};

/// Slots of the map, and what the programs in them return.
const MATCHED: u32 = 3;
const OTHERWISE: u32 = 5;
const EMPTY: u32 = 6;
const IS_MATCHED: u32 = 1;
const IS_OTHERWISE: u32 = 2;
/// Where the headers of Ethernet and IPv6 end.
const IP6_PAYLOAD: usize = 54;
/// TC_ACT_UNSPEC.
const UNSPEC: u32 = u32::MAX;

fn load(instructions: &[u8]) -> OwnedFd {
    let loaded = bpf_sys::load_program(&ProgramLoad {
        kind: program_kind::SCHED_CLS,
        expected_attach_type: 0,
        attach_btf_id: 0,
        name: "pcap",
        license: c"GPL",
        kern_version: 0,
        instructions,
    });
    loaded.unwrap_or_else(|error| panic!("{error}\n{}", error.log))
}

/// A program that returns a number.
fn constant(number: u32) -> OwnedFd {
    let [a, b, c, d] = number.to_le_bytes();
    load(&[0xb7, 0, 0, 0, a, b, c, d, 0x95, 0, 0, 0, 0, 0, 0, 0])
}

/// A PROG_ARRAY with a program for either end; it holds them.
fn programs() -> MapHandle {
    let map = bpf_sys::create_map(&MapSpec {
        kind: map_kind::PROG_ARRAY,
        key_size: 4,
        value_size: 4,
        max_entries: 8,
        flags: 0,
        name: "pcap_tests",
    });
    let map = MapHandle::new(map.unwrap()).unwrap();
    for (slot, number) in [(MATCHED, IS_MATCHED), (OTHERWISE, IS_OTHERWISE)] {
        let program = constant(number);
        let descriptor = program.as_raw_fd().to_ne_bytes();
        map.update(&slot.to_ne_bytes(), &descriptor, 0).unwrap();
    }
    map
}

/// A classifier over the slots.
fn classifier(filters: &[&Filter], map: &MapHandle) -> OwnedFd {
    let descriptor = map.as_fd().as_raw_fd();
    load(&program(filters, descriptor, MATCHED, OTHERWISE).unwrap())
}

fn expected(filters: &[&Filter], packet: &[u8]) -> u32 {
    let length = packet.len() as u32;
    match filters.iter().any(|filter| filter.matches(packet, length)) {
        true => IS_MATCHED,
        false => IS_OTHERWISE,
    }
}

fn agree(classifier: &OwnedFd, filters: &[&Filter], texts: &[&str], packet: &[u8]) {
    let result = match bpf_sys::test_run(classifier.as_fd(), packet) {
        Ok(result) => result,
        // Newer kernels do not try a program on IP without a whole header of IP.
        Err(_) if packet.len() < IP6_PAYLOAD => return,
        Err(error) => panic!("{error}: {packet:02x?}"),
    };
    let wanted = expected(filters, packet);
    assert_eq!(result, wanted, "{texts:?} {packet:02x?}");
}

#[test]
fn known_filters_agree_on_known_and_changed_packets() {
    let map = programs();
    let packets = samples::packets();
    let mut random = Random(0x2545_f491_4f6c_dd1d);
    for (text, _) in samples::ANSWERS {
        let filter = Filter::parse(text).unwrap();
        let classifier = classifier(&[&filter], &map);
        for (_, packet) in &packets {
            agree(&classifier, &[&filter], &[text], packet);
        }
        for _ in 0..50 {
            let packet = samples::random_packet(&mut random, &packets);
            agree(&classifier, &[&filter], &[text], &packet);
        }
    }
}

#[test]
fn random_filters_agree_on_changed_packets() {
    let map = programs();
    let packets = samples::packets();
    let mut random = Random(0x9e37_79b9_7f4a_7c15);
    for _ in 0..400 {
        let text = samples::random_expression(&mut random, 3);
        let filter = Filter::parse(&text).unwrap();
        let classifier = classifier(&[&filter], &map);
        for _ in 0..30 {
            let packet = samples::random_packet(&mut random, &packets);
            agree(&classifier, &[&filter], &[&text], &packet);
        }
    }
}

#[test]
fn one_of_several_filters_is_enough() {
    let map = programs();
    let packets = samples::packets();
    let texts: [&[&str]; 5] = [
        &[],
        &["ip[100] = 0", "tcp"],
        &["udp port 53", "icmp", "ether[60:4] = 1", "arp"],
        &["tcp", ""],
        &[
            "not ip[200] = 0",
            "not ip6[200] = 0",
            "len / (len - 14) = 1",
            "len = 14",
        ],
    ];
    for texts in texts {
        let filters: Vec<Filter> = texts
            .iter()
            .map(|text| Filter::parse(text).unwrap())
            .collect();
        let filters: Vec<&Filter> = filters.iter().collect();
        let classifier = classifier(&filters, &map);
        for (_, packet) in &packets {
            agree(&classifier, &filters, texts, packet);
        }
    }
}

#[test]
fn offsets_and_shifts_beyond_every_bound_agree() {
    let map = programs();
    let packets = samples::packets();
    for text in [
        "ether[0xffffffff] = 0",
        "ether[0x7ffffffe:4] = 0",
        "ether[-len] = 0",
        "ip[-14] = 2",
        "tcp[-20] = 0x45",
        "tcp[0 - ip[0]] != 0",
        "icmp6[0 - 40] = 0x60",
        "len << len = 0",
        "len >> (len - 40) != 0",
        "1 << (ip[0] & 0x3f) = 32",
        "0xffffffff >> ip[8] != 0",
        "len % (len - 14) = 0",
        "len / (ip[1]) = 0",
        "0 - len > 0x80000000",
        "0x80000000 < len or 0x80000000 > len",
        "len * 0xffffffff > 0xffffff00",
    ] {
        let filter = Filter::parse(text).unwrap();
        let classifier = classifier(&[&filter], &map);
        for (_, packet) in &packets {
            agree(&classifier, &[&filter], &[text], packet);
        }
    }
}

#[test]
fn what_one_branch_loads_is_not_taken_for_what_another_does() {
    let map = programs();
    let packets = samples::packets();
    for text in [
        "(ether[0] = 1 and ether[1] = 2) or ether[1] = 0",
        "(ether[0] = 2 or ether[1] = 2) and ether[1] = 0",
        "(ether[0] = 2 or ether[1] = 2 or ether[1] = 3) and ether[1] = 0",
        "not (ether[0] = 1 and ether[1] = 2) and ether[1] = 0",
        "(len > 60 and ether[13] = 6) or ether[13] = 0 or ether[13] = 0xdd",
        "(ether[13] = 0 or ether[13] = 6) and ether[13] > 1",
        "ether[60:4] = 1 or ether[0] = 2",
    ] {
        let filter = Filter::parse(text).unwrap();
        let classifier = classifier(&[&filter], &map);
        for (_, packet) in &packets {
            agree(&classifier, &[&filter], &[text], packet);
        }
    }
}

#[test]
fn an_empty_slot_decides_nothing() {
    let map = programs();
    let descriptor = map.as_fd().as_raw_fd();
    for text in ["", "len = 0"] {
        let filter = Filter::parse(text).unwrap();
        let classifier = load(&program(&[&filter], descriptor, EMPTY, EMPTY).unwrap());
        let result = bpf_sys::test_run(classifier.as_fd(), &[0; 60]).unwrap();
        assert_eq!(result, UNSPEC, "{text}");
    }
}

#[test]
fn the_verifier_takes_the_deepest_and_the_longest() {
    let map = programs();
    let packets = samples::packets();
    let deep = format!("{}len{} = 77", "(1 + (len & ".repeat(7), "))".repeat(7));
    let right = (0..15).fold("len".to_owned(), |text, _| format!("len - ({text})"));
    let bytes = (0..10).fold("0".to_owned(), |text, _| format!("ip[{text} & 31]"));
    let mut texts = vec![deep, format!("{right} = 0"), format!("{bytes} = {bytes}")];
    for part in ["port", "tcp[0:2] =", "host", "len & 1 ="] {
        texts.push(longest(part));
    }
    for text in texts {
        let filter = Filter::parse(&text).unwrap_or_else(|error| panic!("{text}: {error}"));
        let classifier = classifier(&[&filter], &map);
        for (_, packet) in &packets {
            agree(&classifier, &[&filter], &[&text], packet);
        }
    }
}

/// As many of one primitive as fit into a program, or into an expression.
fn longest(part: &str) -> String {
    let primitive = |number: usize| match part {
        "host" => format!("host 10.0.1.{number}"),
        _ => format!("{part} {number}"),
    };
    let mut text = primitive(0);
    for number in 1..255 {
        let longer = format!("{text} or {}", primitive(number));
        match Filter::parse(&longer).map(|filter| program(&[&filter], 0, 0, 0)) {
            Ok(Ok(_)) => text = longer,
            Ok(Err(error)) => {
                assert!(error.instructions > MAX_INSTRUCTIONS, "{error}");
                break;
            }
            Err(_) => break,
        }
    }
    text
}
