//! Messages made byte by byte, whole, cut and lying.

use super::*;

fn attribute_bytes(kind: u16, value: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::new();
    put(&mut bytes, kind, value);
    bytes
}

fn message_bytes(kind: u16, body: &[u8]) -> Vec<u8> {
    let message = Message {
        kind,
        flags: 0,
        sequence: 7,
        body,
    };
    let mut bytes = Vec::new();
    write(&mut bytes, &message);
    bytes
}

fn link_body() -> Vec<u8> {
    // The kind of the link is nested, with the flag that newer kernels set.
    let information = [
        attribute_bytes(2, &[9; 12]),
        attribute_bytes(IFLA_INFO_KIND, b"veth\0"),
    ];
    [
        // ARPHRD_LOOPBACK is in the second half of the first word.
        [[0, 0], 772_u16.to_ne_bytes()].concat(),
        words(&[2, 1, 0]),
        attribute_bytes(IFLA_IFNAME, b"eth0\0"),
        attribute_bytes(99, &[1, 2, 3]),
        attribute_bytes(IFLA_OPERSTATE, &[6]),
        attribute_bytes(IFLA_ADDRESS, &[2, 0, 0, 0, 0, 1]),
        attribute_bytes(IFLA_LINKINFO | 0x8000, &information.concat()),
    ]
    .concat()
}

fn filter_body() -> Vec<u8> {
    let options = [
        attribute_bytes(TCA_BPF_NAME, b"cil_from_netdev\0"),
        attribute_bytes(TCA_BPF_FLAGS, &words(&[1])),
        attribute_bytes(TCA_BPF_TAG, &[0xab; 8]),
        attribute_bytes(TCA_BPF_ID, &words(&[123])),
    ];
    let information = 1 << 16 | u32::from(3_u16.to_be());
    [
        words(&[0, 2, 1, 0xffff_fff2, information]),
        attribute_bytes(TCA_KIND, b"bpf\0"),
        attribute_bytes(TCA_CHAIN, &words(&[5])),
        attribute_bytes(TCA_OPTIONS, &options.concat()),
    ]
    .concat()
}

#[test]
fn a_link_is_read() {
    let link = link(&link_body()).unwrap();
    assert_eq!((link.index, link.state, link.hardware), (2, 6, 772));
    assert!(is_of_link(&link_body()));
    assert_eq!((&*link.name, &*link.kind), ("eth0", "veth"));
    assert_eq!(link.address, [2, 0, 0, 0, 0, 1]);
    let mut long = link_body();
    long.extend(attribute_bytes(IFLA_IFNAME, &[b'a'; 1_000]));
    assert_eq!(super::link(&long).unwrap().name, "a".repeat(15));
}

#[test]
fn a_qdisc_is_read() {
    let mut body = words(&[0, 2, 0xffff_0000, 0xffff_fff1, 1]);
    body.extend(attribute_bytes(TCA_KIND, b"clsact\0"));
    let (index, qdisc) = qdisc(&body).unwrap();
    assert_eq!((index, &*qdisc.kind), (2, "clsact"));
    assert_eq!(qdisc.handle.to_string(), "ffff:");
    assert_eq!(qdisc.parent.to_string(), "ffff:fff1");
    assert_eq!(Handle(u32::MAX).to_string(), "root");
}

#[test]
fn a_filter_is_read_and_the_head_of_a_priority_is_none() {
    let found = filter(&filter_body(), Direction::Ingress).unwrap();
    assert_eq!((found.protocol, found.priority, found.handle), (3, 1, 1));
    assert_eq!((found.chain, &*found.kind), (5, "bpf"));
    let program = found.program.unwrap();
    assert_eq!((&*program.name, program.id), ("cil_from_netdev", 123));
    assert_eq!((program.tag, program.is_direct), ([0xab; 8], true));

    let mut head = words(&[0, 2, 0, 0xffff_fff2, 1 << 16]);
    head.extend(attribute_bytes(TCA_KIND, b"bpf\0"));
    assert_eq!(filter(&head, Direction::Ingress), None);
}

#[test]
fn requests_can_be_read_back() {
    for direction in [Direction::Ingress, Direction::Egress] {
        let body = tc_request(3, direction.parent());
        assert_eq!(body.len(), TC_HEADER);
        assert_eq!(filter_request(&body), Some((3, direction)));
    }
    assert_eq!(filter_request(&tc_request(3, Handle(0))), None);
    let body = place_request(2, Direction::Ingress, 1);
    // The handle alone is not asked for.
    let of_filter = filter_body();
    assert_eq!(body.get(12..), of_filter.get(12..TC_HEADER));
    assert_eq!(link_request().len(), LINK_HEADER + 8);
}

#[test]
#[cfg(target_endian = "little")]
fn a_new_filter_has_the_bytes_that_the_kernel_wants() {
    let name = "security-agent/0000000000000007/egress";
    let bytes = new_filter(&NewFilter {
        interface: 2,
        direction: Direction::Egress,
        priority: 10,
        handle: 5,
        program: 9,
        name,
    });
    let mut expected = vec![0, 0, 0, 0, 2, 0, 0, 0, 5, 0, 0, 0];
    expected.extend([0xf3, 0xff, 0xff, 0xff, 0, 3, 10, 0]);
    expected.extend(b"\x08\0\x01\0bpf\0");
    expected.extend([64, 0, 2, 0]);
    expected.extend([8, 0, 6, 0, 9, 0, 0, 0]);
    expected.extend([43, 0, 7, 0]);
    expected.extend(name.as_bytes());
    expected.extend([0, 0]);
    expected.extend([8, 0, 8, 0, 1, 0, 0, 0]);
    assert_eq!(bytes, expected);

    let bytes = new_qdisc(2);
    let mut expected = vec![0, 0, 0, 0, 2, 0, 0, 0, 0, 0, 0xff, 0xff];
    expected.extend([0xf1, 0xff, 0xff, 0xff, 0, 0, 0, 0]);
    expected.extend(b"\x0b\0\x01\0clsact\0\0");
    assert_eq!(bytes, expected);
}

#[test]
fn a_filter_that_was_read_can_be_named() {
    let mut found = filter(&filter_body(), Direction::Ingress).unwrap();
    let named = one_filter(2, &found).unwrap();
    assert_eq!(named.get(..TC_HEADER), filter_body().get(..TC_HEADER));
    for (priority, handle) in [(0, 1), (1, 0)] {
        (found.priority, found.handle) = (priority, handle);
        assert_eq!(one_filter(2, &found), None, "{priority} {handle}");
    }
}

#[test]
fn numbers_of_namespaces_are_asked_and_read() {
    let request = namespace_request(7, GET_NAMESPACE);
    assert_eq!(request.len(), NAMESPACE_HEADER + 8);
    let request = namespace_request(7, NEW_NAMESPACE);
    assert_eq!(namespace_number(&request), None, "the kernel chooses");
    let mut answer = vec![0; NAMESPACE_HEADER];
    assert_eq!(namespace_number(&answer), None);
    put(&mut answer, NETNSA_NSID, &3_i32.to_ne_bytes());
    assert_eq!(namespace_number(&answer), Some(3));
}

#[test]
fn messages_follow_each_other() {
    let bytes = [
        message_bytes(NEW_LINK, b"abcde"),
        message_bytes(DONE, &words(&[0])),
    ]
    .concat();
    let found: Vec<_> = Messages(&bytes)
        .map(|message| (message.kind, message.sequence, message.body.len()))
        .collect();
    assert_eq!(found, [(NEW_LINK, 7, 5), (DONE, 7, 4)]);
}

#[test]
fn errors_are_numbers_of_errno() {
    for (word, errno) in [(-2, 2), (0, 0), (i32::MIN, i32::MAX)] {
        let bytes = message_bytes(ERROR, &word.to_ne_bytes());
        assert_eq!(Messages(&bytes).next().unwrap().errno(), errno);
    }
    let empty = message_bytes(ERROR, &[]);
    assert_eq!(Messages(&empty).next().unwrap().errno(), 0);
}

#[test]
fn lying_lengths_end_the_list() {
    for length in [0_u32, 1, 15, 21, 4_000, u32::MAX] {
        let mut bytes = message_bytes(NEW_LINK, &[0; 4]);
        bytes[..4].copy_from_slice(&length.to_ne_bytes());
        assert_eq!(Messages(&bytes).count(), 0, "{length}");
    }
    for length in [0_u16, 3, 9, u16::MAX] {
        let mut bytes = attribute_bytes(1, &[0; 4]);
        bytes[..2].copy_from_slice(&length.to_ne_bytes());
        assert_eq!(Attributes(&bytes).count(), 0, "{length}");
    }
}

#[test]
fn no_cut_or_changed_byte_is_fatal() {
    for whole in [link_body(), filter_body()] {
        let messages = message_bytes(NEW_LINK, &whole);
        for at in 0..messages.len() {
            let mut changed = messages.clone();
            changed[at] ^= 0xff;
            for bytes in [&messages[..at], &changed[..]] {
                for message in Messages(bytes) {
                    link(message.body);
                    qdisc(message.body);
                    filter_request(message.body);
                    filter(message.body, Direction::Egress);
                    namespace_number(message.body);
                }
            }
            link(&whole[..at.min(whole.len())]);
            filter(&whole[..at.min(whole.len())], Direction::Egress);
        }
    }
}
