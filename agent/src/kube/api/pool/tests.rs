//! Jobs and processes that are threads here: what they do is named by the pod.

use super::*;
use std::collections::HashSet;
use std::io::{BufRead, BufReader, Write};
use std::thread;

use mio::{Events, Poll};

const LONG: Duration = Duration::from_secs(60);

/// What a process does is named by the pod. It answers the how many-th line that was, and how
/// long it may take.
fn in_a_thread() -> io::Result<(StdStream, Option<Child>)> {
    let (ours, theirs) = StdStream::pair()?;
    thread::spawn(move || {
        let mut output = theirs.try_clone().unwrap();
        for (index, line) in BufReader::new(theirs).lines().enumerate() {
            let job: Job = serde_json::from_str(&line.unwrap()).unwrap();
            let path = format!("{index} {:?}", job.timeout);
            let answer = match job.pod.as_str() {
                "dies" => return,
                "hangs" => continue,
                "babbles" => "[1]".to_owned(),
                "floods" => "x".repeat(1 << 20),
                _ => serde_json::to_string(&(Outcome::Ready { path }, "")).unwrap(),
            };
            if output.write_all(format!("{answer}\n").as_bytes()).is_err() {
                return;
            }
        }
    });
    Ok((ours, None))
}

fn never() -> io::Result<(StdStream, Option<Child>)> {
    Err(io::ErrorKind::OutOfMemory.into())
}

fn job(pod: &str, container: &str) -> Job {
    Job {
        namespace: "shop".to_owned(),
        pod: pod.to_owned(),
        container: container.to_owned(),
        mode: Mode::RemoteCopy {
            directory: "/tmp".to_owned(),
            mount_volume: false,
        },
        mutate_unlabelled: false,
        timeout: LONG,
    }
}

fn pool(start: Start) -> (Poll, Pool) {
    let poll = Poll::new().unwrap();
    let pool = Pool::started_by(poll.registry(), 7, start).unwrap();
    (poll, pool)
}

/// Turns until so many jobs are over, woken by the pool's sockets only.
fn finish(poll: &mut Poll, pool: &mut Pool, count: usize) -> Vec<(Ticket, Outcome)> {
    let mut events = Events::with_capacity(8);
    let mut done = pool.turn(Instant::now());
    while done.len() < count {
        poll.poll(&mut events, Some(LONG)).unwrap();
        assert!(!events.is_empty());
        assert!(events.iter().all(|event| pool.owns(event.token())));
        done.extend(pool.turn(Instant::now()));
    }
    done
}

#[test]
fn each_job_gets_its_outcome_from_a_few_processes() {
    let (mut poll, mut pool) = pool(in_a_thread);
    let now = Instant::now();
    let submit = |index| pool.submit(job(&format!("web-{index}"), ""), now);
    let tickets: HashSet<Ticket> = (0..40).map(submit).collect();
    assert_eq!(pool.deadline(), Some(now + LONG));
    let done = finish(&mut poll, &mut pool, 40);
    assert_eq!(done.len(), 40);
    assert_eq!(tickets, done.iter().map(|(ticket, _)| *ticket).collect());
    let ready = |outcome: &Outcome| matches!(outcome, Outcome::Ready { .. });
    assert!(done.iter().all(|(_, outcome)| ready(outcome)));
    assert_eq!(pool.deadline(), None);
    assert!(!pool.owns(Token(6)) && !pool.owns(Token(7 + Pool::TOKENS)));
}

#[test]
fn a_process_that_runs_is_used_again_and_told_how_long_it_has() {
    let (mut poll, mut pool) = pool(in_a_thread);
    for index in 0..3 {
        pool.submit(job("web", ""), Instant::now());
        let path = format!("{index} 59.9s");
        let outcome = Outcome::Ready { path };
        assert_eq!(finish(&mut poll, &mut pool, 1)[0].1, outcome);
    }
    assert_eq!(pool.slots.iter().flat_map(|slot| &slot.process).count(), 1);
}

#[test]
fn a_pod_has_one_job_at_a_time_and_equal_ones_are_done_once() {
    let (mut poll, mut pool) = pool(in_a_thread);
    for (index, container) in ["a", "b", "a", "b", "a"].into_iter().enumerate() {
        let mut job = job("web", container);
        job.timeout -= Duration::from_secs(index as u64);
        pool.submit(job, Instant::now());
    }
    assert_eq!(pool.slots.iter().flat_map(|slot| &slot.work).count(), 1);
    assert_eq!(pool.queue.len(), 1);
    let done = finish(&mut poll, &mut pool, 5);
    let mut places: Vec<(u64, bool)> = Vec::new();
    for (ticket, outcome) in done {
        let Outcome::Ready { path } = outcome else {
            panic!("{outcome:?}");
        };
        places.push((ticket, path.starts_with("0 ")));
    }
    places.sort_unstable();
    let first = [true, false, true, false, true];
    assert_eq!(
        places.iter().map(|place| place.1).collect::<Vec<_>>(),
        first
    );
}

#[test]
fn processes_that_fail_cost_their_job_only() {
    let (mut poll, mut pool) = pool(in_a_thread);
    for pod in ["dies", "babbles", "floods"] {
        pool.submit(job(pod, ""), Instant::now());
        let skip = Outcome::Skip(Reason::CopyFailed);
        assert_eq!(finish(&mut poll, &mut pool, 1)[0].1, skip, "{pod}");
        pool.submit(job("web", ""), Instant::now());
        let outcome = &finish(&mut poll, &mut pool, 1)[0].1;
        assert!(matches!(outcome, Outcome::Ready { .. }), "{pod}");
    }
}

#[test]
fn late_jobs_are_skipped_whether_they_run_or_wait() {
    let (_poll, mut pool) = pool(in_a_thread);
    let now = Instant::now();
    let running = pool.submit(job("hangs", "a"), now);
    let mut second = job("hangs", "b");
    second.mode = Mode::InitContainer;
    second.timeout = LONG * 1_000;
    let waiting = pool.submit(second, now);
    let mut third = job("hangs", "c");
    third.timeout = LONG / 2;
    let hopeless = pool.submit(third, now);
    assert_eq!(pool.deadline(), Some(now + LONG / 2));
    assert_eq!(pool.turn(now + LONG / 4), []);
    let skip = |ticket, reason| [(ticket, Outcome::Skip(reason))];
    let got = pool.turn(now + LONG / 2);
    assert_eq!(got, skip(hopeless, Reason::DescribePod));
    // Nobody waits longer than a minute, whatever was configured.
    let mut got = pool.turn(now + LONG);
    got.sort_by_key(|(ticket, _)| *ticket);
    let expected = [
        (running, Reason::CopyFailed),
        (waiting, Reason::DescribePod),
    ];
    assert_eq!(
        got,
        expected.map(|(ticket, reason)| (ticket, Outcome::Skip(reason)))
    );
    assert!(pool.slots.iter().all(|slot| slot.process.is_none()));
    assert_eq!(pool.deadline(), None);
}

#[test]
fn too_many_jobs_are_refused() {
    let (mut poll, mut pool) = pool(in_a_thread);
    let now = Instant::now();
    for index in 0..MAX_JOBS {
        let container = format!("{}", index % 200);
        pool.submit(job("hangs", &container), now);
    }
    let refused = pool.submit(job("web", ""), now);
    let skip = Outcome::Skip(Reason::DescribePod);
    assert_eq!(pool.deadline(), Some(now));
    assert_eq!(pool.turn(now), [(refused, skip)]);
    assert_eq!(pool.turn(now + LONG).len(), MAX_JOBS);
    let taken = pool.submit(job("web", ""), now);
    assert_eq!(finish(&mut poll, &mut pool, 1)[0].0, taken);
}

#[test]
fn a_process_that_cannot_be_started_is_told_at_the_next_turn() {
    let (_poll, mut pool) = pool(never);
    let now = Instant::now();
    let ticket = pool.submit(job("web", ""), now);
    assert_eq!(pool.deadline(), Some(now));
    let skip = Outcome::Skip(Reason::DescribePod);
    assert_eq!(pool.turn(now), [(ticket, skip)]);
    assert_eq!(pool.deadline(), None);
}
