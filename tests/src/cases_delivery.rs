//! Delivery: whatever the intake does and whoever is killed, every number arrives at least once.
//!
//! In the full form (`make soak`) every test takes 100,000 numbers, and an intake that is away or
//! hangs does so for a minute.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use nix::sys::signal::{kill, Signal};
use nix::unistd::Pid;
use serde_json::{json, Value};

use crate::delivery::{
    self, delivery_status, expect_below, is_full, pour, take, waiting, ENDPOINTS,
};
use crate::harness::{rule_of, Agent, Launch};
use crate::http_server::{Behaviour, HttpServer};
use crate::intake::{Intake, API_KEY};
use crate::nginx::Nginx;
use crate::numbers::{Numbers, Tally};
use crate::report::{ensure, Failure, Outcome, Report};
use crate::scratch::{self, patience, wait_for};

/// Numbers of each test in the full form.
const MANY: usize = 100_000;
/// Numbers that are sent to an intake that is away for a third of them.
const SEVERAL: usize = 30_000;
const SOME: usize = 6_000;
const SOME_IN_VM: usize = 600;
/// Times that each role is killed.
const KILLS: usize = 3;
/// Seconds without a new number among those that wait to arrive.
const ARRIVE_SECONDS: u64 = 60;
const ARRIVE_SECONDS_FULL: u64 = 600;
/// How long an intake is away or hangs in the full form.
const MINUTE: Duration = Duration::from_secs(60);
/// By how much the turns of the probe loop may differ between a good and a hanging intake: two of
/// the powers of two that they are counted by.
const SLOWER: u64 = 4;
/// Microseconds that a busy machine adds by itself: below this nothing has waited for an intake that
/// hangs for minutes.
const NOISE: u64 = 131_072;
/// Resident bytes of both roles.
const MEMORY_LIMIT: u64 = 20_000_000;
/// Seconds for a killed role to be back.
const BACK_SECONDS: u64 = 30;

/// Runs the tests of this file.
pub(crate) fn run(report: &mut Report) {
    report.case_of_user_space("delivery_outage", outage);
    report.case_of_user_space("delivery_faults", faults);
    report.case("delivery_kill_security_agent", kill_security_agent);
    report.case("delivery_kill_system_probe", kill_system_probe);
    report.case_of_user_space("delivery_hanging", hanging);
    report.case_of_user_space("delivery_several", several);
    report.case_of_user_space("delivery_self_test", self_test);
}

fn some() -> usize {
    match (is_full(), scratch::in_vm()) {
        (true, _) => MANY,
        (false, true) => SOME_IN_VM,
        (false, false) => SOME,
    }
}

fn arrival() -> Duration {
    patience(match is_full() {
        true => ARRIVE_SECONDS_FULL,
        false => ARRIVE_SECONDS,
    })
}

/// Lets something last as long as the full form wants it; the short form goes on at once.
fn last_since(begin: Instant) {
    if is_full() {
        std::thread::sleep(MINUTE.saturating_sub(begin.elapsed()));
        println!("figure: it lasted {} s", begin.elapsed().as_secs());
    }
}

fn tell(tally: &Tally) {
    println!(
        "figure: {} numbers arrived, {} came again",
        tally.arrived(),
        tally.duplicates()
    );
}

/// nginx is stopped while a third of the events comes. The spool has room for all of them.
fn outage() -> Outcome {
    let mut nginx = Nginx::start(None)?;
    let numbers = Numbers::new()?;
    let end = if is_full() { MANY } else { SEVERAL };
    let mut tally = numbers.tally(end);
    let agent = delivery::launch("outage", &numbers, &nginx.url("127.0.0.1"))?.start()?;
    let (first, second) = (end / 3, end / 3 * 2);
    pour(&agent, &numbers, 0..first)?;
    expect_below(first, &mut tally, &mut nginx, arrival())?;
    nginx.stop()?;
    let stopped = Instant::now();
    pour(&agent, &numbers, first..second)?;
    last_since(stopped);
    let kept = waiting(&agent).ok_or("status does not say how many events wait")?;
    ensure(kept >= (second - first) as u64, || {
        format!("only {kept} events wait for the stopped intake")
    })?;
    nginx.resume()?;
    pour(&agent, &numbers, second..end)?;
    expect_below(end, &mut tally, &mut nginx, arrival())
        .map_err(|failure| failure.at(&format!("{:?}", delivery_status(&agent))))?;
    tell(&tally);
    expect_nothing_waits(&agent)
}

fn expect_nothing_waits(agent: &Agent) -> Outcome {
    let empty = wait_for(patience(10), || (waiting(agent)? == 0).then_some(()));
    ensure(empty.is_some(), || {
        format!("all arrived, and status says {:?}", delivery_status(agent))
    })
}

/// Everything that can go wrong with an answer, one after the other.
fn all_faults() -> Vec<Behaviour> {
    let retry_after = || vec![("Retry-After", "1".to_owned())];
    vec![
        Behaviour::status(500),
        Behaviour::status(202),
        Behaviour::Status(429, retry_after()),
        // A single event is smaller, a full batch is not.
        Behaviour::TooLarge(4_000),
        Behaviour::status(202),
        Behaviour::status(403),
        Behaviour::status(401),
        Behaviour::Reset,
        Behaviour::status(202),
        Behaviour::HalfAnswer,
        Behaviour::Slow(Duration::from_millis(5)),
        Behaviour::Status(503, retry_after()),
        Behaviour::Status(301, vec![("Location", "http://127.0.0.1:1/".to_owned())]),
        Behaviour::status(202),
        Behaviour::Hang,
        Behaviour::status(404),
    ]
}

fn faults() -> Outcome {
    let mut server = HttpServer::start()?;
    let numbers = Numbers::new()?;
    let end = some();
    let mut tally = numbers.tally(end);
    let agent = delivery::launch("faults", &numbers, &server.url())?
        .env(&format!("{ENDPOINTS}READ_TIMEOUT"), "1s")
        .env(&format!("{ENDPOINTS}BATCH_MAX_SIZE"), "100")
        .start()?;
    server.then(all_faults());
    let half = end / 2;
    pour(&agent, &numbers, 0..half)?;
    expect_below(half, &mut tally, &mut server, arrival())?;
    let met = wait_for(arrival(), || (server.still_queued() == 0).then_some(()));
    // Which are left is of no interest: there were more batches than faults.
    ensure(met.is_some(), || {
        format!("{} faults were met by no request", server.still_queued())
    })?;
    server.release();
    server.down();
    let stopped = Instant::now();
    pour(&agent, &numbers, half..end)?;
    last_since(stopped);
    server.up()?;
    expect_below(end, &mut tally, &mut server, arrival())?;
    tell(&tally);
    println!(
        "figure: {} requests were refused",
        server.take_others().len()
    );
    expect_nothing_waits(&agent)?;
    ensure(delivery::dropped(&agent) == Some(0), || {
        format!("events were dropped: {:?}", delivery_status(&agent))
    })
}

fn roles(agent: &Agent) -> Result<(i32, i32), Failure> {
    Ok(wait_for(patience(5), || agent.roles()).ok_or("the roles do not say their pids")?)
}

/// Kills a role and waits until it is another process that answers.
fn kill_role(agent: &Agent, choose: impl Fn((i32, i32)) -> i32) -> Outcome {
    let before = choose(roles(agent)?);
    kill(Pid::from_raw(before), Signal::SIGKILL)?;
    let back = wait_for(patience(BACK_SECONDS), || {
        let now = choose(agent.roles()?);
        let up = matches!(agent.status(), Ok((Some(0), _)));
        (now != before && up && agent.agent_status().is_some()).then_some(())
    });
    ensure(back.is_some(), || {
        format!("the role is not back; log: {}", agent.log())
    })
}

/// Killed while events are under way: system-probe keeps what was not acknowledged, the spool what
/// was.
fn kill_security_agent() -> Outcome {
    let mut server = HttpServer::start()?;
    let numbers = Numbers::new()?;
    let step = some().div_ceil(2 * KILLS);
    let end = step * 2 * KILLS;
    let mut tally = numbers.tally(end);
    let agent = delivery::launch("kill-agent", &numbers, &server.url())?.start()?;
    for round in 0..KILLS {
        let start = round * 2 * step;
        pour(&agent, &numbers, start..start + step)?;
        // Not waited for: it dies with these somewhere on their way.
        let on_their_way = start + step + step.min(delivery::step(&agent));
        numbers.open(start + step..on_their_way)?;
        kill_role(&agent, |(_, agent)| agent)?;
        pour(&agent, &numbers, on_their_way..start + 2 * step)?;
        expect_below(start + 2 * step, &mut tally, &mut server, arrival())
            .map_err(|failure| failure.at(&said_of_lines(&agent)))?;
    }
    tell(&tally);
    ensure(tally.arrived() == end, || tally.summary())?;
    expect_nothing_waits(&agent)
}

/// What system-probe says of the lines that it keeps, and of those that it lost.
fn said_of_lines(agent: &Agent) -> String {
    let status = agent.command_status().unwrap_or_default();
    format!("{} {}", status["journal"], status["loss"])
}

/// Killed once its events have been taken: what it had in memory is lost with it.
fn kill_system_probe() -> Outcome {
    let mut server = HttpServer::start()?;
    let numbers = Numbers::new()?;
    let step = some() / (KILLS + 1);
    let mut tally = numbers.tally(step * (KILLS + 1));
    let agent = delivery::launch("kill-probe", &numbers, &server.url())?.start()?;
    server.down();
    for round in 0..KILLS {
        pour(&agent, &numbers, round * step..(round + 1) * step)?;
        kill_role(&agent, |(probe, _)| probe)?;
        expect_watched_again(&agent, &numbers)?;
    }
    pour(&agent, &numbers, KILLS * step..(KILLS + 1) * step)?;
    server.up()?;
    expect_below((KILLS + 1) * step, &mut tally, &mut server, arrival())?;
    tell(&tally);
    expect_nothing_waits(&agent)
}

/// A new system-probe has the rule, and security-agent is connected to it.
fn expect_watched_again(agent: &Agent, numbers: &Numbers) -> Outcome {
    let received = || agent.agent_status()?["received"].as_u64();
    let before = wait_for(patience(5), received).ok_or("security-agent does not answer")?;
    let seen = wait_for(patience(BACK_SECONDS), || {
        // A number that nobody counts.
        numbers.open(999_999..1_000_000).ok()?;
        received().filter(|now| *now > before)
    });
    ensure(seen.is_some(), || {
        format!(
            "nothing comes from the new system-probe; log: {}",
            agent.log()
        )
    })
}

/// An intake that takes requests and never answers slows nothing down and fills no memory: the
/// turns of the probe loop are compared with those before, under the same load.
fn hanging() -> Outcome {
    let mut server = HttpServer::start()?;
    let numbers = Numbers::new()?;
    let (half, end) = (some() / 2, some());
    let mut tally = numbers.tally(end + 1);
    let agent = delivery::launch("hanging", &numbers, &server.url())?
        .env(&format!("{ENDPOINTS}READ_TIMEOUT"), "300s")
        .env(&format!("{ENDPOINTS}TIMEOUT"), "300s")
        .start()?;
    let good = Turns::during(&agent, || pour(&agent, &numbers, 0..half))?;
    expect_below(half, &mut tally, &mut server, arrival())?;
    server.always(Behaviour::Hang);
    numbers.open(end..end + 1)?;
    let hangs = wait_for(patience(10), || (server.hanging() > 0).then_some(()));
    ensure(hangs.is_some(), || {
        format!("no request came; log: {}", agent.log())
    })?;
    let begin = Instant::now();
    let bad = Turns::during(&agent, || pour(&agent, &numbers, half..end))?;
    last_since(begin);
    ensure(server.hanging() > 0, || "nothing hangs any more".to_owned())?;
    expect_small(&agent)?;
    println!("figure: turns of the probe loop, good intake: {good}; hanging: {bad}");
    ensure(bad.p99() <= (SLOWER * good.p99()).max(NOISE), || {
        format!("good intake: {good}; hanging: {bad}")
    })?;
    server.always(Behaviour::status(202));
    server.release();
    expect_below(end + 1, &mut tally, &mut server, arrival())?;
    tell(&tally);
    Ok(())
}

/// Both roles together take little memory.
fn expect_small(agent: &Agent) -> Outcome {
    let resident =
        |status: Option<Value>| status.and_then(|all| all["memory"]["resident_bytes"].as_u64());
    let probe = resident(agent.command_status()).ok_or("system-probe tells no memory")?;
    let own = resident(agent.agent_status()).ok_or("security-agent tells no memory")?;
    println!("figure: {probe} bytes of system-probe, {own} of security-agent are resident");
    let is_release = !scratch::agent_binary()
        .to_string_lossy()
        .contains("/debug/");
    ensure(!is_release || probe + own < MEMORY_LIMIT, || {
        format!("{probe} and {own} bytes are resident")
    })
}

/// Turns of the probe loop, counted by a bound in microseconds below which they took.
struct Turns(BTreeMap<u64, u64>);

impl Turns {
    /// All since the start.
    fn of(agent: &Agent) -> Result<Turns, Failure> {
        let status = wait_for(patience(5), || agent.command_status());
        let status = status.ok_or("system-probe does not answer")?;
        let counts = status["turns"]["below_us"].as_object();
        let counts = counts.ok_or("status does not say how long turns took")?;
        let counts = counts
            .iter()
            .map(|(bound, count)| Some((bound.parse().ok()?, count.as_u64()?)));
        let counts: Option<BTreeMap<u64, u64>> = counts.collect();
        Ok(Turns(counts.ok_or("a turn is no number")?))
    }

    /// Those while something was done.
    fn during(agent: &Agent, work: impl FnOnce() -> Outcome) -> Result<Turns, Failure> {
        let before = Turns::of(agent)?;
        work()?;
        let mut turns = Turns::of(agent)?;
        for (bound, count) in &mut turns.0 {
            *count -= before.0.get(bound).copied().unwrap_or(0).min(*count);
        }
        Ok(turns)
    }

    fn count(&self) -> u64 {
        self.0.values().sum()
    }

    /// The bound below which 99 of 100 lie.
    fn p99(&self) -> u64 {
        let mut left = (self.count() * 99).div_ceil(100);
        for (bound, count) in &self.0 {
            if left <= *count {
                return *bound;
            }
            left -= count;
        }
        0
    }
}

impl std::fmt::Display for Turns {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (count, p99) = (self.count(), self.p99());
        write!(f, "99 of 100 of {count} below {p99} us")
    }
}

/// One endpoint that hangs does not stop another.
fn several() -> Outcome {
    let mut good = HttpServer::start()?;
    let mut bad = HttpServer::start()?;
    bad.always(Behaviour::Hang);
    let numbers = Numbers::new()?;
    let end = some();
    let (mut of_good, mut of_bad) = (numbers.tally(end), numbers.tally(end));
    let additional = json!([{ "api_key": API_KEY, "Host": bad.url() }]);
    let agent = delivery::launch("several", &numbers, &good.url())?
        .env(
            &format!("{ENDPOINTS}ADDITIONAL_ENDPOINTS"),
            &additional.to_string(),
        )
        .start()?;
    pour(&agent, &numbers, 0..end)?;
    expect_below(end, &mut of_good, &mut good, arrival())?;
    take(&mut of_bad, &mut bad)?;
    ensure(of_bad.arrived() == 0, || "the bad one accepted".to_owned())?;
    bad.always(Behaviour::status(202));
    bad.release();
    expect_below(end, &mut of_bad, &mut bad, arrival())
}

/// A self-test that somebody typed reaches standard output and intake; cases_self_test looks at the
/// event socket.
fn self_test() -> Outcome {
    let mut server = HttpServer::start()?;
    let agent = Launch::new("self-test")?
        .default_policy()
        .env("DD_API_KEY", API_KEY)
        .env(&format!("{ENDPOINTS}LOGS_DD_URL"), &server.url())
        .env(&format!("{ENDPOINTS}BATCH_WAIT"), "100ms")
        .start()?;
    let is_test = |event: &Value| rule_of(event) == "self_test";
    let printed = || {
        agent
            .lines()
            .iter()
            .filter(|line| is_test(&line.event))
            .count()
    };
    // That of the start is not the one that is meant.
    let first = wait_for(patience(30), || Some(printed()).filter(|count| *count > 0));
    let first = first.ok_or("the self-test of the start was not printed")?;
    let done = agent.command(&["runtime", "self-test"])?;
    ensure(done.code == Some(0), || done.said())?;
    let both = wait_for(patience(10), || (printed() > first).then_some(()));
    ensure(both.is_some(), || "it was not printed".to_owned())?;
    let mut arrived = 0;
    let mut wrong = None;
    wait_for(patience(20), || {
        match count_self_tests(&mut server) {
            Ok(count) => arrived += count,
            Err(failure) => wrong = Some(failure),
        }
        (arrived > first || wrong.is_some()).then_some(())
    });
    match wrong {
        Some(failure) => Err(failure),
        None => ensure(arrived > first, || {
            format!("{arrived} arrived, {} were printed", printed())
        }),
    }
}

fn count_self_tests(intake: &mut dyn Intake) -> Result<usize, Failure> {
    let mut count = 0;
    for delivered in intake.take()? {
        delivered.expect_well_formed()?;
        let envelopes = delivered.envelopes()?;
        let tests = envelopes
            .iter()
            .filter(|one| rule_of(&one.event) == "self_test");
        count += tests.count();
    }
    Ok(count)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ninety_nine_of_a_hundred_turns_lie_below_the_bound() {
        for (counts, expected) in [
            (&[(16, 99), (1024, 1)][..], 16),
            (&[(16, 98), (1024, 2)], 1024),
            (&[(16, 0), (32, 1)], 32),
            (&[], 0),
        ] {
            let turns = Turns(counts.iter().copied().collect());
            assert_eq!(turns.p99(), expected, "{turns}");
        }
    }
}
