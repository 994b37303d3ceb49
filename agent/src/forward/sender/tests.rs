//! The sender against answers, and against a server on 127.0.0.1.

use std::io::Read;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use flate2::read::GzDecoder;
use mio::{Events, Poll, Token};

use super::*;
use crate::config::Value as Setting;
use crate::http::testing::{Reply, Server, OK};
use crate::http::tests::in_a_thread;

/// A spool in memory with one consumer.
#[derive(Default)]
struct Spool {
    records: Vec<Record>,
    accepted: u64,
}

impl Spool {
    fn add(&mut self, payload: &str, time: SystemTime) {
        let number = self.records.len() as u64 + 1;
        self.records.push(Record {
            number,
            time,
            payload: payload.into(),
        });
    }

    fn waiting(&self) -> impl Iterator<Item = &Record> {
        self.records.iter().filter(|one| one.number > self.accepted)
    }
}

impl Source for Spool {
    fn pending(&self, _: usize) -> Pending {
        Pending {
            records: self.waiting().count() as u64,
            bytes: self.waiting().map(|one| one.payload.len() as u64).sum(),
            oldest: self.waiting().map(|one| one.time).next(),
        }
    }

    fn read(&mut self, _: usize, max_records: usize, _: usize) -> Vec<Record> {
        self.waiting().take(max_records).cloned().collect()
    }

    fn accept(&mut self, _: usize, through: u64) {
        assert!(through > self.accepted);
        self.accepted = through;
    }
}

fn event(rule: &str, number: usize) -> String {
    format!(
        r#"{{"seq":{number},"rule_id":"{rule}","silent":false,"tags":["rule_id:{rule}","type:open"],"event":{{"event_id":"s-{number}"}}}}"#
    )
}

fn settings(texts: &[(&crate::config::Key, &str)]) -> Settings {
    let mut settings = Settings::empty(true);
    for (key, text) in texts {
        settings.set(key, Setting::from_text(key.kind, text).unwrap(), "x");
    }
    settings
}

fn sender(settings: &Settings, poll: &Poll) -> Sender {
    let (endpoints, notices) = Endpoint::all(settings);
    assert!(notices.is_empty(), "{notices:?}");
    let endpoint = endpoints.into_iter().next().unwrap();
    let worker = Worker::started_by(poll.registry(), Token(0), in_a_thread).unwrap();
    let mut sender = Sender::with(endpoint, settings, 0, worker);
    sender.chance = || 0.0;
    sender
}

fn answer(status: u16) -> Result<Answer, String> {
    Ok(Answer {
        status,
        ..Answer::default()
    })
}

/// Turns, woken by the worker only, until everything is accepted.
fn drain(sender: &mut Sender, spool: &mut Spool, poll: &mut Poll, wall: SystemTime) {
    let mut events = Events::with_capacity(4);
    loop {
        sender.turn(spool, Instant::now(), wall);
        if spool.waiting().count() == 0 {
            return;
        }
        if sender.worker.is_busy() {
            poll.poll(&mut events, Some(Duration::from_secs(20)))
                .unwrap();
        }
    }
}

#[test]
fn the_intake_gets_batches_of_one_track_each() {
    let server = Server::start(&[OK]);
    let url = server.url("/pre");
    let settings = settings(&[
        (&keys::API_KEY, "k"),
        (&keys::ENDPOINTS_LOGS_DD_URL, &url),
        (&keys::HOSTNAME, "edge-1"),
        (&keys::TAGS, "a:b"),
        (&keys::ENV, "test"),
    ]);
    let mut poll = Poll::new().unwrap();
    let mut sender = sender(&settings, &poll);
    let start = UNIX_EPOCH + Duration::from_millis(1_700_000_000_123);
    let wall = start + Duration::from_secs(5);
    let mut spool = Spool::default();
    spool.add("garbage", start);
    spool.add(&event("r1", 1), start);
    spool.add(&event("r2", 2), start);
    spool.add(&event("heartbeat", 3), start);
    drain(&mut sender, &mut spool, &mut poll, wall);
    let first = server.got.recv().unwrap();
    assert_eq!(first.first_line, "POST /pre/api/v2/secruntime HTTP/1.1");
    for (name, expected) in [
        ("dd-api-key", "k"),
        ("content-type", "application/json"),
        ("content-encoding", "gzip"),
        ("dd-evp-origin", "cloud-workload-security"),
        ("dd-evp-origin-version", "7.83.0"),
        ("dd-message-timestamp", "1700000000123"),
        ("dd-current-timestamp", "1700000005123"),
    ] {
        assert_eq!(first.header(name), expected, "{name}");
    }
    assert!(first.header("user-agent").starts_with("datadog-agent/"));
    let mut text = String::new();
    GzDecoder::new(&first.body[..])
        .read_to_string(&mut text)
        .unwrap();
    let entries: Value = serde_json::from_str(&text).unwrap();
    assert_eq!(entries.as_array().unwrap().len(), 2);
    let expected = json!({
        "message": r#"{"event_id":"s-1"}"#, "status": "info", "timestamp": 1_700_000_000_123_u64,
        "hostname": "edge-1", "service": "runtime-security-agent",
        "ddsource": "runtime-security-agent", "ddtags": "rule_id:r1,type:open,a:b,env:test",
    });
    assert_eq!(entries[0], expected);
    let second = server.got.recv().unwrap();
    assert_eq!(second.first_line, "POST /pre/api/v2/secinfo HTTP/1.1");
    let status = sender.status();
    assert_eq!(
        (&status["sent_events"], &status["dropped"]),
        (&json!(3), &json!(1))
    );
    assert!(!status.to_string().contains("\"k\""));
}

#[test]
fn collectors_get_lines_or_one_object_a_request() {
    for (format, bodies) in [
        (
            "native",
            vec!["{\"event_id\":\"s-1\"}\n{\"event_id\":\"s-2\"}\n"],
        ),
        (
            "falco",
            vec!["\"dd.event_id\":\"s-1\"", "\"dd.event_id\":\"s-2\""],
        ),
    ] {
        let server = Server::start(&[Reply::Send("HTTP/1.1 204 No Content\r\n\r\n")]);
        let url = server.url("/in?token=t");
        let settings = settings(&[
            (&keys::OUTPUTS_HTTP_URL, &url),
            (&keys::OUTPUTS_HTTP_FORMAT, format),
        ]);
        let mut poll = Poll::new().unwrap();
        let mut sender = sender(&settings, &poll);
        let mut spool = Spool::default();
        let wall = SystemTime::now();
        spool.add(&event("r", 1), wall - Duration::from_secs(9));
        spool.add(&event("r", 2), wall - Duration::from_secs(9));
        drain(&mut sender, &mut spool, &mut poll, wall);
        for body in bodies {
            let got = server.got.recv().unwrap();
            assert_eq!(got.first_line, "POST /in?token=t HTTP/1.1");
            assert_eq!(got.header("content-encoding"), "");
            let text = String::from_utf8(got.body).unwrap();
            assert!(text.contains(body), "{text}");
        }
        assert!(!sender.status().to_string().contains("token"));
    }
}

#[test]
fn a_batch_is_due_when_it_is_full_or_its_oldest_record_has_waited() {
    let poll = Poll::new().unwrap();
    let settings = settings(&[(&keys::API_KEY, "k")]);
    let mut sender = sender(&settings, &poll);
    let (now, wall) = (Instant::now(), SystemTime::now());
    let seconds = Duration::from_secs;
    let pending = |records, bytes, oldest| Pending {
        records,
        bytes,
        oldest: Some(oldest),
    };
    let cases = [
        (Pending::default(), None),
        (pending(1, 1, wall), Some(5)),
        (pending(1, 1, wall - seconds(2)), Some(3)),
        (pending(1, 1, wall - seconds(7)), Some(0)),
        (pending(1, 1, wall + seconds(7)), Some(0)),
        (pending(1_000, 1, wall), Some(0)),
        (pending(1, 5_000_000, wall), Some(0)),
    ];
    for (pending, expected) in cases {
        let due = sender.due(pending, now, wall);
        assert_eq!(due, expected.map(|s| now + seconds(s)), "{pending:?}");
    }
    sender.pause = Some(now + seconds(60));
    let due = sender.due(pending(1_000, 1, wall), now, wall);
    assert_eq!(due, Some(now + seconds(60)));
}

#[test]
fn answers_decide_what_happens_to_a_batch() {
    let poll = Poll::new().unwrap();
    let settings = settings(&[(&keys::API_KEY, "k")]);
    let (now, wall) = (Instant::now(), SystemTime::now());
    let late = Ok(Answer {
        status: 503,
        retry_after: Some(Duration::from_secs(30)),
        ..Answer::default()
    });
    // Events of the batch; then the record that is accepted, the pause, the size of the next batch.
    let cases = [
        (answer(202), 4, 4, 0, 1_000),
        (answer(204), 1, 4, 0, 1_000),
        (answer(413), 4, 0, 0, 2),
        (answer(400), 5, 0, 0, 2),
        (answer(413), 1, 4, 0, 1_000),
        (answer(400), 1, 4, 1, 1_000),
        (answer(401), 4, 0, 1, 1_000),
        (answer(403), 4, 0, 1, 1_000),
        (answer(404), 4, 0, 1, 1_000),
        (answer(308), 4, 0, 1, 1_000),
        (answer(429), 4, 0, 1, 1_000),
        (answer(500), 4, 0, 1, 1_000),
        (late, 4, 0, 30, 1_000),
        (
            Err("h: the connection was refused".to_owned()),
            4,
            0,
            1,
            1_000,
        ),
    ];
    for (result, events, accepted, pause, next) in cases {
        let mut sender = sender(&settings, &poll);
        let mut spool = Spool::default();
        sender.under_way = Some(UnderWay {
            through: 4,
            events,
            bytes: 9,
            dropped: 0,
        });
        let name = format!("{result:?} {events}");
        sender.settle(result, &mut spool, now, wall);
        assert_eq!(spool.accepted, accepted, "{name}");
        let expected = (pause > 0).then(|| now + Duration::from_secs(pause));
        assert_eq!(sender.pause, expected, "{name}");
        let size = sender.narrowed.map_or(1_000, |one| one.events);
        assert_eq!(size, next, "{name}");
        let was_dropped = events == 1 && accepted == 4 && sender.counters.batches == 0;
        assert_eq!(sender.counters.dropped, u64::from(was_dropped), "{name}");
    }
}

#[test]
fn one_event_that_is_refused_does_not_take_others_with_it() {
    let poll = Poll::new().unwrap();
    let settings = settings(&[(&keys::API_KEY, "k")]);
    let mut sender = sender(&settings, &poll);
    let mut spool = Spool::default();
    let wall = SystemTime::now();
    let poison = 700;
    (1..=1_000).for_each(|number| spool.add(&event("r", number), wall));
    let mut now = Instant::now();
    let (mut requests, mut events) = (0, 0);
    while spool.waiting().count() > 0 {
        let size = sender.narrowed.as_ref().map_or(1_000, |one| one.events);
        let numbers: Vec<u64> = spool.waiting().take(size).map(|one| one.number).collect();
        let is_refused = numbers.contains(&poison);
        sender.under_way = Some(UnderWay {
            through: *numbers.last().unwrap(),
            events: numbers.len() as u64,
            bytes: 0,
            dropped: 0,
        });
        let status = if is_refused { 400 } else { 202 };
        sender.settle(answer(status), &mut spool, now, wall);
        events += if is_refused { 0 } else { numbers.len() };
        requests += 1;
        now += Duration::from_secs(1);
    }
    assert_eq!((events, sender.counters.dropped), (999, 1));
    assert!(requests < 50, "{requests}");
    assert!(sender.narrowed.is_none() && sender.trouble.is_none());
}

#[test]
fn an_event_that_no_batch_can_hold_is_dropped() {
    let poll = Poll::new().unwrap();
    let settings = settings(&[
        (&keys::API_KEY, "k"),
        (&keys::ENDPOINTS_BATCH_MAX_CONTENT_SIZE, "600"),
    ]);
    let sender = sender(&settings, &poll);
    let mut spool = Spool::default();
    let long = event("r", 1).replace("s-1", &"x".repeat(900));
    for line in [&long, &event("r", 2), &event("r", 3), &long, &event("r", 4)] {
        spool.add(line, SystemTime::now());
    }
    let records = spool.read(0, 9, 0);
    let batch = Batch::new(&sender.endpoint, &sender.host, sender.limits, records);
    assert_eq!((batch.dropped, batch.events, batch.through), (1, 2, 3));
    assert!(batch.body.len() <= 600);
    let array: Value = serde_json::from_slice(&batch.body).unwrap();
    assert_eq!(array.as_array().unwrap().len(), 2);
}

#[test]
fn what_can_never_be_sent_is_counted_once_however_often_its_batch_fails() {
    let busy = Reply::Send("HTTP/1.1 503 Busy\r\nContent-Length: 0\r\n\r\n");
    let server = Server::start(&[busy, busy, OK]);
    let url = server.url("");
    let settings = settings(&[
        (&keys::API_KEY, "k"),
        (&keys::ENDPOINTS_LOGS_DD_URL, &url),
        (&keys::ENDPOINTS_SENDER_BACKOFF_BASE, "0s"),
    ]);
    let mut poll = Poll::new().unwrap();
    let mut sender = sender(&settings, &poll);
    let mut spool = Spool::default();
    let wall = SystemTime::now();
    spool.add("garbage", wall - Duration::from_secs(9));
    spool.add(&event("r", 1), wall);
    drain(&mut sender, &mut spool, &mut poll, wall);
    let counters = &sender.counters;
    assert_eq!((counters.retries, counters.events), (2, 1));
    assert_eq!(counters.dropped, 1);
}
