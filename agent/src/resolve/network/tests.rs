//! Packets built byte by byte, and what becomes of them.

use super::*;
use crate::event::wire::Record;
use crate::resolve::Options;

/// An id that no process can have.
const NOBODY: u32 = 5_000_000;
const SECOND: u64 = 1_000_000_000;
const CLIENT: u16 = 40_000;

fn resolver() -> Resolver {
    Resolver::new(Options::default())
}

/// A message of a name server: a question for A of `example.org`, and with `answer` its answer.
fn message(id: u16, answer: Option<[u8; 4]>) -> Vec<u8> {
    let flags: u16 = if answer.is_some() { 0x8180 } else { 0x0100 };
    let answers = u16::from(answer.is_some());
    let mut bytes: Vec<u8> = [id, flags, 1, answers, 0, 0]
        .into_iter()
        .flat_map(u16::to_be_bytes)
        .collect();
    bytes.extend(b"\x07example\x03org\x00\x00\x01\x00\x01");
    if let Some(address) = answer {
        bytes.extend(b"\xc0\x0c\x00\x01\x00\x01\x00\x00\x00\x3c\x00\x04");
        bytes.extend(address);
    }
    bytes
}

/// A frame with a datagram in it, from 10.0.0.1 to 10.0.0.2.
fn frame(ports: (u16, u16), payload: &[u8]) -> Vec<u8> {
    let mut frame = vec![2; 12];
    frame.extend([8, 0]);
    let total = 28 + payload.len() as u16;
    frame.extend([0x45, 0]);
    frame.extend(total.to_be_bytes());
    frame.extend([0, 0, 0, 0, 64, 17, 0, 0, 10, 0, 0, 1, 10, 0, 0, 2]);
    frame.extend(ports.0.to_be_bytes());
    frame.extend(ports.1.to_be_bytes());
    frame.extend((total - 20).to_be_bytes());
    frame.extend([0, 0]);
    frame.extend(payload);
    frame
}

struct Seen<'a> {
    tgid: u32,
    at: u64,
    segment: u16,
    /// Bytes at its end that were not captured.
    cut: usize,
    data: &'a [u8],
}

fn take(resolver: &mut Resolver, seen: &Seen<'_>) -> Vec<Event> {
    let header = Header {
        timestamp: seen.at,
        kind: Kind::Dns,
        tgid: seen.tgid,
        tid: seen.tgid,
        retval: 0,
        identity: Identity::default(),
    };
    let packet = wire::Packet {
        cookie: 0,
        learnt: 0,
        net_namespace: 8,
        interface: 2,
        length: (seen.data.len() + seen.cut) as u32,
        segment: seen.segment,
        egress: true,
        data: seen.data,
    };
    let body = wire::Body::Packet(packet);
    let mut events: Vec<Event> = resolver
        .resolve(&Record { header, body })
        .into_iter()
        .collect();
    events.extend(std::iter::from_fn(|| resolver.next_of_record()));
    events
}

fn question(id: u16, at: u64) -> (Vec<u8>, u64) {
    (frame((CLIENT, 53), &message(id, None)), at)
}

fn seen((data, at): &(Vec<u8>, u64)) -> Seen<'_> {
    Seen {
        tgid: 0,
        at: *at,
        segment: 0,
        cut: 0,
        data,
    }
}

#[test]
fn a_packet_of_nobody_is_not_one_of_root() {
    let mut resolver = resolver();
    let events = take(&mut resolver, &seen(&question(1, SECOND)));
    let event = &events[0];
    assert_eq!(event.kind, EventType::Dns);
    assert!(event.flags.no_process && event.identity.uid == u32::MAX);
    assert_eq!(resolver.network.unattributed, 1);
}

#[test]
fn what_passes_through_is_told_once_and_what_is_sent_again_each_time() {
    let mut resolver = resolver();
    for (id, at, expected) in [
        (1, SECOND, 1),
        (1, SECOND + 1_000, 0),
        (2, SECOND + 2_000, 1),
        (1, 3 * SECOND, 1),
    ] {
        let events = take(&mut resolver, &seen(&question(id, at)));
        assert_eq!(events.len(), expected, "{id} at {at}");
    }
    assert_eq!(resolver.network.copies, 1);
    // Where a process is known it is never a copy.
    for _ in 0..2 {
        let (data, at) = question(7, 4 * SECOND);
        let mine = Seen {
            tgid: NOBODY,
            at,
            segment: 0,
            cut: 0,
            data: &data,
        };
        assert_eq!(take(&mut resolver, &mine).len(), 1);
    }
}

#[test]
fn an_answer_that_differs_is_no_copy() {
    let mut resolver = resolver();
    for last in [1, 2] {
        let data = frame((53, CLIENT), &message(1, Some([192, 0, 2, last])));
        assert_eq!(take(&mut resolver, &seen(&(data, SECOND))).len(), 1);
    }
}

#[test]
fn names_come_from_answers_to_questions_that_were_seen_alone() {
    let address = [192, 0, 2, 7];
    let names = |asked: Option<u64>, ports: (u16, u16), at: u64| {
        let mut resolver = resolver();
        if let Some(asked) = asked {
            take(&mut resolver, &seen(&question(1, asked)));
        }
        let data = frame(ports, &message(1, Some(address)));
        take(&mut resolver, &seen(&(data, at)));
        resolver.network.names_of(Some(IpAddr::from(address))).len()
    };
    assert_eq!(names(Some(SECOND), (53, CLIENT), 2 * SECOND), 1);
    assert_eq!(names(None, (53, CLIENT), SECOND), 0, "nobody asked");
    assert_eq!(names(Some(SECOND), (53, CLIENT), 9 * SECOND), 0, "too late");
    assert_eq!(
        names(Some(SECOND), (53, CLIENT + 1), SECOND),
        0,
        "somebody else asked"
    );
    assert_eq!(
        names(Some(SECOND), (5353, CLIENT), SECOND),
        0,
        "no name server"
    );
}

#[test]
fn each_packet_that_a_large_one_is_cut_into_is_read() {
    let mut resolver = resolver();
    let payload = [message(1, None), message(2, None)].concat();
    let segment = (payload.len() / 2) as u16;
    let data = frame((CLIENT, 53), &payload);
    let large = Seen {
        tgid: 0,
        at: SECOND,
        segment,
        cut: 0,
        data: &data,
    };
    let events = take(&mut resolver, &large);
    let ids: Vec<u16> = events
        .iter()
        .filter_map(|event| Some(event.dns()?.id))
        .collect();
    assert_eq!(ids, [1, 2]);
    assert_eq!(resolver.network.unread, 0);
}

#[test]
fn what_was_not_captured_is_counted_and_not_called_malformed() {
    let one = message(1, None).len();
    let payload = [1, 2, 3].map(|id| message(id, None)).concat();
    let data = frame((CLIENT, 53), &payload);
    for (segment, left, read, unread) in [(one, one + 5, 1, 2), (one, 3 * one, 3, 0), (0, 9, 0, 1)]
    {
        let mut resolver = resolver();
        let cut = 3 * one - left;
        let large = Seen {
            tgid: 0,
            at: SECOND,
            segment: segment as u16,
            cut,
            data: &data[..data.len() - cut],
        };
        let events = take(&mut resolver, &large);
        assert!(events.iter().all(|event| event.kind == EventType::Dns));
        assert_eq!(events.len(), read, "{left}");
        let counted = (resolver.network.unread, resolver.network.malformed);
        assert_eq!(counted, (unread, 0), "{left}");
    }
}

#[test]
fn what_is_no_message_is_counted_and_told() {
    let mut resolver = resolver();
    let data = frame((CLIENT, 53), b"not a message");
    let events = take(&mut resolver, &seen(&(data, SECOND)));
    assert_eq!(events[0].kind, EventType::FailedDns);
    assert_eq!(resolver.network.malformed, 1);
}

#[test]
fn a_process_that_is_younger_than_its_socket_is_another_one() {
    let mut resolver = resolver();
    let process = crate::event::testing::process(7, &[], "/bin/x", None);
    let begun = |time| {
        let mut info = process.info.clone();
        info.fork_time = time;
        let (image, cgroup) = (Rc::clone(&process.image), Rc::default());
        Process::new(info, image, None, process.identity(), cgroup)
    };
    // Record times count from the boot of this machine, these from 1970: one long before, one in
    // the year 2096.
    assert!(!resolver.is_younger(&begun(1), 0));
    assert!(resolver.is_younger(&begun(4_000_000_000 * SECOND), 0));
    assert_eq!(resolver.network.outlived, 1);
}
