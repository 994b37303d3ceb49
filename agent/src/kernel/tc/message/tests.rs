//! Messages made byte by byte, whole, cut and lying.

use super::*;

fn words(words: &[u32]) -> Vec<u8> {
    words.iter().flat_map(|word| word.to_ne_bytes()).collect()
}

fn attribute_bytes(kind: u16, value: &[u8]) -> Vec<u8> {
    let length = (value.len() + 4) as u16;
    let mut bytes = [length.to_ne_bytes(), kind.to_ne_bytes()].concat();
    bytes.extend_from_slice(value);
    bytes.resize(bytes.len().next_multiple_of(4), 0);
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
        words(&[0, 2, 1, 0]),
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
    assert_eq!((link.index, link.state), (2, 6));
    assert_eq!((&*link.name, &*link.kind), ("eth0", "veth"));
    assert_eq!(link.address, [2, 0, 0, 0, 0, 1]);
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
    assert_eq!(link_request().len(), LINK_HEADER + 8);
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
                }
            }
            link(&whole[..at.min(whole.len())]);
            filter(&whole[..at.min(whole.len())], Direction::Egress);
        }
    }
}
