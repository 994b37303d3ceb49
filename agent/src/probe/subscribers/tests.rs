//! Readers of the event socket: what reaches them, and what is counted when it does not.

use super::*;
use crate::sys::socket::Credentials;
use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::net::UnixStream;

use serde_json::Value;

type Peer = BufReader<UnixStream>;

const LOUD: &str = "{\"subscribe\":\"events\",\"protocol\":2}\n";
const SILENT: &str = "{\"subscribe\":\"events\",\"protocol\":2,\"silent\":true}\n";

fn start() -> Subscribers {
    Subscribers::new(HostInfo::default())
}

/// A request of the security-agent role with further members.
fn role(more: &str) -> String {
    format!(
        "{{\"subscribe\":\"events\",\"protocol\":2,\"role\":\"security-agent\",\
         \"acknowledge\":true{more}}}\n"
    )
}

/// A reader that has sent this and was not served yet.
fn knock(subscribers: &mut Subscribers, token: usize, pid: u32, request: &str) -> Peer {
    let credentials = Credentials {
        pid: pid as i32,
        uid: 0,
        gid: 0,
        groups: Vec::new(),
    };
    let (ours, mut theirs) = Connection::pair(credentials, Subscribers::LIMITS).unwrap();
    subscribers.add(token, ours);
    theirs.write_all(request.as_bytes()).unwrap();
    theirs.set_nonblocking(true).unwrap();
    BufReader::new(theirs)
}

/// A reader that was served; its hello was read.
fn join(subscribers: &mut Subscribers, token: usize, request: &str) -> Peer {
    let mut peer = knock(subscribers, token, std::process::id(), request);
    subscribers.ready(token);
    let hello = line(&mut peer);
    assert_eq!(hello["hello"]["protocol"], 2, "{hello}");
    peer
}

/// The next line, which has been sent already.
fn line(peer: &mut Peer) -> Value {
    let mut line = String::new();
    peer.read_line(&mut line).unwrap();
    serde_json::from_str(&line).unwrap()
}

fn publish(subscribers: &mut Subscribers, rule: &str, count: usize) {
    for _ in 0..count {
        subscribers.publish(rule, false, "[]", "{\"x\":1}");
    }
}

/// An event of about so many bytes.
fn large(size: usize) -> String {
    format!("{{\"x\":\"{}\"}}", "y".repeat(size))
}

/// Everything that reaches a reader who reads as fast as it is sent to.
fn all_of(subscribers: &mut Subscribers, peer: &mut Peer) -> Vec<Value> {
    let mut text = Vec::new();
    let mut quiet = 0;
    while quiet < 2 {
        subscribers.flush();
        let before = text.len();
        // Ends with an error as soon as nothing waits.
        let _ = peer.read_to_end(&mut text);
        quiet = if text.len() == before { quiet + 1 } else { 0 };
    }
    let lines = text
        .split(|byte| *byte == b'\n')
        .filter(|line| !line.is_empty());
    lines
        .map(|line| serde_json::from_slice(line).unwrap())
        .collect()
}

/// The sequence numbers of what reaches a reader; notices of loss have 0.
fn numbers_of(subscribers: &mut Subscribers, peer: &mut Peer) -> Vec<u64> {
    let lines = all_of(subscribers, peer);
    lines
        .iter()
        .map(|line| line["seq"].as_u64().unwrap())
        .collect()
}

fn acknowledge(subscribers: &mut Subscribers, token: usize, peer: &mut Peer, number: u64) {
    writeln!(peer.get_mut(), "{{\"ack\":{number}}}").unwrap();
    subscribers.ready(token);
}

/// How many lines notices of loss tell of.
fn told(lines: &[Value]) -> u64 {
    let notices = lines.iter().filter(|line| line["seq"] == 0);
    notices
        .map(|line| line["event"]["lost"].as_u64().unwrap())
        .sum()
}

#[test]
fn a_line_holds_tags_and_a_lasting_id() {
    let mut subscribers = start();
    let mut peer = join(&mut subscribers, 1, LOUD);
    subscribers.publish("a", false, "[\"rule_id:a\"]", "{\"x\":1}");
    subscribers.tell("heartbeat", "{\"x\":2}");
    let lines = all_of(&mut subscribers, &mut peer);
    let session = &subscribers.shared.session;
    assert_eq!(session.len(), 16);
    assert_eq!(lines[0]["tags"][0], "rule_id:a");
    assert_eq!(lines[0]["event"]["event_id"], format!("{session}-1"));
    assert_eq!(lines[1]["tags"][0], "rule_id:heartbeat");
    assert_eq!(lines[1]["event"]["event_id"], format!("{session}-2"));
    assert_ne!(*session, start().shared.session);
}

#[test]
fn silent_events_reach_only_who_asked() {
    let mut subscribers = start();
    subscribers.publish("early", true, "[]", "{}");
    let mut loud = join(&mut subscribers, 1, LOUD);
    let mut all = join(&mut subscribers, 2, SILENT);
    subscribers.publish("a", true, "[]", "{}");
    subscribers.publish("b", false, "[]", "{}");
    let rules = |lines: Vec<Value>| -> Vec<String> {
        let rules = lines.iter().map(|line| line["rule_id"].as_str().unwrap());
        rules.map(str::to_owned).collect()
    };
    assert_eq!(rules(all_of(&mut subscribers, &mut all)), ["a", "b"]);
    assert_eq!(rules(all_of(&mut subscribers, &mut loud)), ["b"]);
}

#[test]
fn a_reader_that_keeps_writing_is_closed() {
    for more in ["{}\n", "part", "{\"ack\":1}\n"] {
        let mut subscribers = start();
        let own = std::process::id();
        let mut peer = knock(&mut subscribers, 1, own, &format!("{LOUD}{more}"));
        assert_eq!(subscribers.ready(1), Change::Gone(None));
        assert!(line(&mut peer).get("hello").is_some());
        let sentence = line(&mut peer)["error"].to_string();
        assert!(sentence.contains("one line only"), "{sentence}");
    }
}

#[test]
fn another_program_is_not_believed_to_be_the_security_agent() {
    let mut subscribers = start();
    publish(&mut subscribers, "a", 3);
    // Process 0 is nobody's.
    let mut stranger = knock(&mut subscribers, 1, 0, &role(""));
    assert_eq!(subscribers.ready(1), Change::None);
    assert_eq!(line(&mut stranger)["hello"]["acknowledge"], false);
    stranger.get_mut().write_all(b"{\"ack\":3}\n").unwrap();
    assert_eq!(subscribers.ready(1), Change::Gone(None));
    assert_eq!(subscribers.shared.journal.acknowledged(), 0);
    let own = std::process::id();
    let mut peer = knock(&mut subscribers, 2, own, &role(""));
    assert_eq!(subscribers.ready(2), Change::Role(own));
    assert_eq!(line(&mut peer)["hello"]["acknowledge"], true);
    drop(peer);
    subscribers.publish("a", false, "[]", "{}");
    assert_eq!(subscribers.flush(), [Change::Gone(Some(own))]);
}

#[test]
fn a_role_is_known_although_its_request_was_there_before_the_poll_told_of_it() {
    let mut subscribers = start();
    let own = std::process::id();
    let _peer = knock(&mut subscribers, 1, own, &role(""));
    assert_eq!(subscribers.flush(), [Change::Role(own)]);
    assert_eq!(subscribers.ready(1), Change::None);
    assert_eq!(subscribers.flush(), []);
}

#[test]
fn who_asks_for_nothing_is_closed_in_time() {
    let mut subscribers = start();
    let _reader = join(&mut subscribers, 1, LOUD);
    let _mute = knock(&mut subscribers, 2, 0, "{");
    subscribers.ready(2);
    subscribers.expire(Duration::ZERO);
    assert!(subscribers.owns(1) && !subscribers.owns(2));
}

#[test]
fn another_protocol_is_refused_in_words() {
    let mut subscribers = start();
    let request = "{\"subscribe\":\"events\",\"protocol\":1}\n";
    let mut peer = knock(&mut subscribers, 1, 0, request);
    assert_eq!(subscribers.ready(1), Change::Gone(None));
    let sentence = line(&mut peer)["error"].to_string();
    assert!(
        sentence.contains("version 2 of the event protocol"),
        "{sentence}"
    );
}

#[test]
fn what_nobody_got_waits_for_the_next_reader() {
    let mut subscribers = start();
    publish(&mut subscribers, "early", 2);
    let mut first = join(&mut subscribers, 1, LOUD);
    assert_eq!(numbers_of(&mut subscribers, &mut first), [1, 2]);
    // It goes, and what it had no time to get is there for the next one.
    drop(first);
    publish(&mut subscribers, "left", 1);
    subscribers.flush();
    assert_eq!((subscribers.connected(), subscribers.slow()), (0, 0));
    let mut second = join(&mut subscribers, 2, LOUD);
    assert_eq!(numbers_of(&mut subscribers, &mut second), [3]);
    // While somebody reads, others get what happens from now on.
    let mut third = join(&mut subscribers, 3, LOUD);
    publish(&mut subscribers, "now", 1);
    assert_eq!(numbers_of(&mut subscribers, &mut third), [4]);
    assert_eq!(numbers_of(&mut subscribers, &mut second), [4]);
}

#[test]
fn the_self_test_wants_what_happens_from_now_on() {
    let mut subscribers = start();
    publish(&mut subscribers, "early", 1);
    let request = SILENT.replace("}", ",\"role\":\"self-test\"}");
    let mut test = join(&mut subscribers, 1, &request);
    subscribers.publish("test", true, "[]", "{}");
    let lines = all_of(&mut subscribers, &mut test);
    assert_eq!((lines.len(), &lines[0]["rule_id"]), (1, &"test".into()));
    // It takes nothing from others.
    let mut reader = join(&mut subscribers, 2, LOUD);
    assert_eq!(numbers_of(&mut subscribers, &mut reader), [1]);
}

#[test]
fn who_resumes_in_the_same_session_gets_no_double_and_no_gap() {
    let mut subscribers = start();
    let mut first = join(&mut subscribers, 1, &role(""));
    publish(&mut subscribers, "a", 5);
    assert_eq!(numbers_of(&mut subscribers, &mut first), [1, 2, 3, 4, 5]);
    acknowledge(&mut subscribers, 1, &mut first, 2);
    drop(first);
    publish(&mut subscribers, "a", 2);
    subscribers.flush();
    let session = subscribers.shared.session.clone();
    let resume = |after: u64| role(&format!(",\"session\":\"{session}\",\"after\":{after}"));
    let mut second = join(&mut subscribers, 2, &resume(3));
    assert_eq!(numbers_of(&mut subscribers, &mut second), [4, 5, 6, 7]);
    assert_eq!(subscribers.shared.journal.acknowledged(), 3);
    drop(second);
    // Numbers that do not exist yet are of no use: everything that is not acknowledged comes.
    let mut third = join(&mut subscribers, 3, &resume(100));
    assert_eq!(numbers_of(&mut subscribers, &mut third), [4, 5, 6, 7]);
}

#[test]
fn who_comes_from_another_session_gets_everything_that_is_kept() {
    let mut subscribers = start();
    publish(&mut subscribers, "a", 3);
    let request = role(",\"session\":\"00\",\"after\":2");
    let mut peer = join(&mut subscribers, 1, &request);
    assert_eq!(numbers_of(&mut subscribers, &mut peer), [1, 2, 3]);
}

#[test]
fn acknowledged_lines_leave_the_journal() {
    let mut subscribers = start();
    let mut peer = join(&mut subscribers, 1, &role(""));
    publish(&mut subscribers, "a", 1000);
    assert_eq!(numbers_of(&mut subscribers, &mut peer).len(), 1000);
    assert_eq!(subscribers.shared.journal.start(), 0);
    acknowledge(&mut subscribers, 1, &mut peer, 600);
    subscribers.flush();
    assert_eq!(subscribers.shared.journal.start(), 600);
    acknowledge(&mut subscribers, 1, &mut peer, 1000);
    subscribers.flush();
    // The recent ones stay.
    assert_eq!(subscribers.shared.journal.start(), 744);
    // One backwards changes nothing.
    acknowledge(&mut subscribers, 1, &mut peer, 5);
    assert_eq!(subscribers.shared.journal.acknowledged(), 1000);
    assert!(subscribers.owns(1));
}

#[test]
fn acknowledging_what_was_not_sent_is_refused_in_words() {
    for words in ["{\"ack\":4}\n", "{\"ack\":-1}\n", "{}\n", "no\n"] {
        let mut subscribers = start();
        let mut peer = join(&mut subscribers, 1, &role(""));
        publish(&mut subscribers, "a", 3);
        assert_eq!(numbers_of(&mut subscribers, &mut peer), [1, 2, 3]);
        peer.get_mut().write_all(words.as_bytes()).unwrap();
        let gone = subscribers.ready(1);
        assert_eq!(gone, Change::Gone(Some(std::process::id())));
        let sentence = line(&mut peer)["error"].to_string();
        assert!(sentence.contains("acknowledge"), "{sentence}");
        assert_eq!(subscribers.shared.journal.acknowledged(), 0);
    }
}

#[test]
fn many_acknowledgements_are_taken_over_several_turns() {
    let mut subscribers = start();
    let mut peer = join(&mut subscribers, 1, &role(""));
    publish(&mut subscribers, "a", 500);
    assert_eq!(numbers_of(&mut subscribers, &mut peer).len(), 500);
    let text: String = (1..=500)
        .map(|number| format!("{{\"ack\":{number}}}\n"))
        .collect();
    peer.get_mut().write_all(text.as_bytes()).unwrap();
    subscribers.ready(1);
    assert!((1..500).contains(&subscribers.shared.journal.acknowledged()));
    for _ in 0..10 {
        subscribers.flush();
    }
    assert_eq!(subscribers.shared.journal.acknowledged(), 500);
}

#[test]
fn what_happened_recently_comes_first_and_may_be_all() {
    let mut subscribers = start();
    let mut reader = join(&mut subscribers, 1, LOUD);
    publish(&mut subscribers, "a", 300);
    assert_eq!(numbers_of(&mut subscribers, &mut reader).len(), 300);
    let recent = LOUD.replace("}", ",\"recent\":true}");
    let mut follows = join(&mut subscribers, 2, &recent);
    let recent = recent.replace("}", ",\"follow\":false}");
    let mut ends = join(&mut subscribers, 3, &recent);
    publish(&mut subscribers, "a", 1);
    let numbers = numbers_of(&mut subscribers, &mut follows);
    assert_eq!(numbers, (45..=301).collect::<Vec<_>>());
    let lines = all_of(&mut subscribers, &mut ends);
    assert_eq!(lines.len(), 257);
    assert_eq!(lines[255]["seq"], 300);
    assert_eq!(lines[256], serde_json::json!({"end": true}));
    assert!(subscribers.owns(2) && !subscribers.owns(3));
}

#[test]
fn a_slow_reader_is_told_what_it_lost() {
    let mut subscribers = start();
    let mut slow = join(&mut subscribers, 1, LOUD);
    let event = large(10_000);
    for _ in 0..1000 {
        subscribers.publish("flood", false, "[]", &event);
    }
    let lines = all_of(&mut subscribers, &mut slow);
    let came = lines.iter().filter(|line| line["rule_id"] == "flood");
    let came = came.count() as u64;
    assert!((400..1000).contains(&came), "{came}");
    assert_eq!((subscribers.slow(), subscribers.lost()), (1000 - came, 0));
    assert_eq!(told(&lines), 1000 - came);
    let notice = lines.iter().find(|line| line["seq"] == 0).unwrap();
    assert_eq!(notice["event"]["map"], "reader");
    let id = notice["event"]["event_id"].as_str().unwrap();
    assert!(id.ends_with("-lost-1"), "{id}");
}

#[test]
fn a_fast_reader_beside_a_slow_one_gets_everything() {
    let mut subscribers = start();
    let mut slow = join(&mut subscribers, 1, LOUD);
    let mut fast = join(&mut subscribers, 2, &role(""));
    let event = large(10_000);
    let mut numbers = Vec::new();
    for _ in 0..1000 {
        subscribers.publish("flood", false, "[]", &event);
        numbers.extend(numbers_of(&mut subscribers, &mut fast));
        let last = *numbers.last().unwrap();
        acknowledge(&mut subscribers, 2, &mut fast, last);
    }
    assert_eq!(numbers, (1..=1000).collect::<Vec<_>>());
    let lines = all_of(&mut subscribers, &mut slow);
    assert_eq!(told(&lines), subscribers.slow());
    let came = lines.iter().filter(|line| line["seq"] != 0).count() as u64;
    assert_eq!(came + subscribers.slow(), 1000);
    assert_eq!(subscribers.lost(), 0);
}

#[test]
fn many_slow_readers_cost_no_more_than_one() {
    let mut subscribers = start();
    let peers: Vec<Peer> = (1..=64)
        .map(|token| join(&mut subscribers, token, LOUD))
        .collect();
    for size in [10_000, 300_000, LONGEST_LINE - 100] {
        let event = large(size);
        for _ in 0..(8 << 20) / size {
            subscribers.publish("flood", false, "[]", &event);
            subscribers.flush();
            assert!(!subscribers.shared.journal.is_too_large());
            assert!(subscribers.waiting() <= ROOM);
        }
    }
    assert!(subscribers.connected() >= 3);
    drop(peers);
    publish(&mut subscribers, "after", 1);
    subscribers.flush();
    assert_eq!(subscribers.connected(), 0);
}

#[test]
fn what_nobody_got_is_counted_once_it_leaves() {
    let mut subscribers = start();
    let event = large(10_000);
    for _ in 0..1000 {
        subscribers.publish("flood", false, "[]", &event);
    }
    let lost = subscribers.lost();
    assert!((400..700).contains(&lost), "{lost}");
    // Who is responsible for all events is told, without their being counted twice.
    let mut peer = join(&mut subscribers, 1, &role(""));
    let lines = all_of(&mut subscribers, &mut peer);
    assert_eq!(told(&lines), lost);
    assert_eq!(lines.len() as u64 - 1 + lost, 1000);
    assert_eq!((subscribers.lost(), subscribers.slow()), (lost, 0));
    subscribers.publish("long", false, "[]", &large(LONGEST_LINE));
    assert_eq!(subscribers.lost(), lost + 1);
}

#[test]
fn lines_that_left_unacknowledged_count_only_if_they_were_not_got() {
    for (after, is_exact) in [(1000, false), (900, false), (100, true)] {
        let mut subscribers = start();
        let mut first = join(&mut subscribers, 1, &role(""));
        let event = large(10_000);
        let mut came = 0;
        for _ in 0..1000 {
            subscribers.publish("flood", false, "[]", &event);
            came += numbers_of(&mut subscribers, &mut first).len();
        }
        assert_eq!(came, 1000);
        drop(first);
        for _ in 0..1000 {
            subscribers.publish("flood", false, "[]", &event);
        }
        // It has the first ones although it had not said so before it ended.
        let session = subscribers.shared.session.clone();
        let request = role(&format!(",\"session\":\"{session}\",\"after\":{after}"));
        let mut second = join(&mut subscribers, 2, &request);
        let lines = all_of(&mut subscribers, &mut second);
        let came = lines.iter().filter(|line| line["seq"] != 0).count() as u64;
        assert_eq!(after + told(&lines) + came, 2000);
        let counted = subscribers.lost() + subscribers.slow();
        let told = told(&lines);
        // Those that it got in its last moments count as lost all the same.
        assert!(
            counted == told || !is_exact && counted > told,
            "{counted} {told}"
        );
    }
}
