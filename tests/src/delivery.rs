//! Agents that send numbered events to an intake: how they are set up, how events are made at a
//! pace that loses none in front of the spool, and how the numbers are waited for.

use std::fs::OpenOptions;
use std::ops::Range;
use std::time::Duration;

use serde_json::Value;

use crate::harness::{Agent, Launch};
use crate::intake::{Intake, API_KEY};
use crate::numbers::{Numbers, Tally};
use crate::report::{ensure, Failure, Outcome};
use crate::scratch::{patience, wait_for};

/// Events that are made at most before system-probe is asked whether security-agent has them.
const STEP: usize = 200;
/// And at first, when nothing is known of their size.
const FIRST_STEP: usize = 10;
/// Bytes of such a step: half of what standard output holds, the smallest room on the way. An event
/// tells of all ancestors and the names of their variables, so its size depends on where the tests
/// were started; 20 KB have been seen.
const STEP_BYTES: u64 = 512 << 10;
/// Seconds for such a step to be in the spool.
const STEP_SECONDS: u64 = 20;
/// A spool that holds every number of the full form.
const ROOMY: &str = "4Gb";
/// Set to 1 for the full form.
const FULL_VARIABLE: &str = "SOAK";
/// Section of the keys about intakes, as in the environment.
pub(crate) const ENDPOINTS: &str = "DD_RUNTIME_SECURITY_CONFIG_ENDPOINTS_";

/// Whether the tests of delivery take the time for their full form.
pub(crate) fn is_full() -> bool {
    std::env::var_os(FULL_VARIABLE).is_some_and(|value| value == "1")
}

/// An agent with the rule of the numbers whose intake is there. It sends soon and tries again
/// soon; what it prints is thrown away, because there is a lot of it.
pub(crate) fn launch(name: &str, numbers: &Numbers, url: &str) -> Result<Launch, Failure> {
    let mut launch = Launch::new(name)?
        .policy("numbers.policy", numbers.policy())?
        .stdout(OpenOptions::new().write(true).open("/dev/null")?)
        .env("DD_API_KEY", API_KEY)
        .env("DD_RUNTIME_SECURITY_CONFIG_SPOOL_MAX_SIZE", ROOMY);
    for (key, value) in [
        ("LOGS_DD_URL", url),
        ("BATCH_WAIT", "100ms"),
        ("SENDER_BACKOFF_BASE", "100ms"),
        ("SENDER_BACKOFF_MAX", "1s"),
    ] {
        launch = launch.env(&format!("{ENDPOINTS}{key}"), value);
    }
    Ok(launch)
}

/// What system-probe says of the events on their way to security-agent.
#[derive(Clone, Copy, Debug)]
struct Wire {
    /// Events of the rule, the only one there is.
    reported: u64,
    unacknowledged: u64,
    /// Lines that it still has, and their bytes.
    kept: u64,
    bytes: u64,
}

impl Wire {
    fn of(agent: &Agent) -> Option<Wire> {
        let status = agent.command_status()?;
        let count = |name: &str| status.pointer(name)?.as_u64();
        Some(Wire {
            reported: count("/rules/matches_reported")?,
            unacknowledged: count("/journal/unacknowledged")?,
            kept: count("/journal/kept")?,
            bytes: count("/journal/bytes")?,
        })
    }

    /// How many events like these may be under way without being waited for.
    fn step(self) -> usize {
        let size = self.bytes.checked_div(self.kept);
        let step = size.and_then(|size| STEP_BYTES.checked_div(size));
        let step = step.and_then(|step| usize::try_from(step).ok());
        step.map_or(FIRST_STEP, |step| step.clamp(1, STEP))
    }
}

/// How many events may be under way without being waited for.
pub(crate) fn step(agent: &Agent) -> usize {
    Wire::of(agent).map_or(FIRST_STEP, Wire::step)
}

/// Makes an event for each of these numbers and sees that security-agent took them all.
pub(crate) fn pour(agent: &Agent, numbers: &Numbers, range: Range<usize>) -> Outcome {
    let limit = patience(STEP_SECONDS);
    let mut start = range.start;
    let mut step = FIRST_STEP;
    while start < range.end {
        let end = range.end.min(start + step);
        let before = wait_for(limit, || Wire::of(agent))
            .ok_or_else(|| format!("system-probe does not answer; log: {}", agent.log()))?;
        numbers.open(start..end)?;
        let wanted = before.reported + (end - start) as u64;
        let taken = wait_for(limit, || {
            Wire::of(agent).filter(|now| now.reported >= wanted && now.unacknowledged == 0)
        });
        let Some(taken) = taken else {
            let (now, log) = (Wire::of(agent), agent.log());
            let count = end - start;
            let failure = format!("{count} events were not taken: {before:?}, {now:?}; log: {log}");
            return Err(Failure::Failed(failure));
        };
        step = taken.step();
        start = end;
    }
    Ok(())
}

/// Waits until every number below `end` has arrived; each request on the way is looked at. `limit`
/// is the time without a new number: how many come in a second is the machine's affair.
pub(crate) fn expect_below(
    end: usize,
    tally: &mut Tally,
    intake: &mut dyn Intake,
    limit: Duration,
) -> Outcome {
    loop {
        let before = tally.missing_below(end);
        let mut wrong = None;
        let moved = wait_for(limit, || {
            wrong = take(tally, intake).err();
            (wrong.is_some() || tally.missing_below(end) < before || before == 0).then_some(())
        });
        match (wrong, moved) {
            (Some(failure), _) => return Err(failure),
            (None, Some(())) if before == 0 => return Ok(()),
            (None, Some(())) => {}
            (None, None) => return Err(Failure::Failed(tally.summary())),
        }
    }
}

/// Counts what has arrived so far.
pub(crate) fn take(tally: &mut Tally, intake: &mut dyn Intake) -> Outcome {
    for delivered in intake.take()? {
        delivered.expect_well_formed()?;
        for envelope in delivered.envelopes()? {
            tally.add(&envelope.event);
        }
    }
    Ok(())
}

/// What security-agent says of its spool and endpoints.
pub(crate) fn delivery_status(agent: &Agent) -> Option<Value> {
    agent.agent_status()?.get("delivery").cloned()
}

/// Events that wait for the first endpoint.
pub(crate) fn waiting(agent: &Agent) -> Option<u64> {
    delivery_status(agent)?["endpoints"][0]["waiting_events"].as_u64()
}

/// The sum of all counters of dropped events, of spool and endpoints.
pub(crate) fn dropped(agent: &Agent) -> Option<u64> {
    Some(sum_of_dropped(&delivery_status(agent)?))
}

fn sum_of_dropped(value: &Value) -> u64 {
    match value {
        Value::Object(fields) => fields
            .iter()
            .map(|(name, value)| match value.as_u64() {
                Some(count) if name.starts_with("dropped") => count,
                _ => sum_of_dropped(value),
            })
            .sum(),
        Value::Array(items) => items.iter().map(sum_of_dropped).sum(),
        _ => 0,
    }
}

/// Waits until what security-agent says of delivery holds all of these words, in small letters.
pub(crate) fn expect_status_words(agent: &Agent, words: &[&str], limit: Duration) -> Outcome {
    let said = || {
        delivery_status(agent).map_or_else(String::new, |status| status.to_string().to_lowercase())
    };
    let told = wait_for(limit, || {
        let said = said();
        words.iter().all(|word| said.contains(word)).then_some(())
    });
    ensure(told.is_some(), || {
        format!(
            "status does not say {words:?}: {}; log: {}",
            said(),
            agent.log()
        )
    })
}
