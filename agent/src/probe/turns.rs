//! How long the turns of the loop take.
//!
//! Times enter, one a turn, without the pause in front of it; counts by powers of two leave. A
//! turn above 50 ms is slow: something in it waited that must not.

use std::time::Duration;

use serde_json::{json, Map, Value};

/// A turn above this is slow.
const SLOW: Duration = Duration::from_millis(50);
/// Powers of two of microseconds: the last one is above half a minute.
const STEPS: usize = 26;

/// Counts of turns by how long they took.
#[derive(Clone, Debug, Default)]
pub(super) struct Turns {
    /// Turns of less than 1, 2, 4, … microseconds that do not belong to the step before.
    steps: [u64; STEPS],
    slow: u64,
    longest: Duration,
}

impl Turns {
    /// Counts a turn.
    pub(super) fn note(&mut self, took: Duration) {
        let micros = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
        let step = (u64::BITS - micros.leading_zeros()) as usize;
        let last = STEPS - 1;
        if let Some(count) = self.steps.get_mut(step.min(last)) {
            *count += 1;
        }
        self.slow += u64::from(took > SLOW);
        self.longest = self.longest.max(took);
    }

    /// Turns that were slow.
    pub(super) fn slow(&self) -> u64 {
        self.slow
    }

    /// For `status`: how many turns, the bounds below which half and 99 of 100 of them lie, and all
    /// counts by their bound, in microseconds.
    pub(super) fn json(&self) -> Value {
        let steps = self.steps.iter().enumerate();
        let counts: Map<String, Value> = steps
            .filter(|(_, count)| **count > 0)
            .map(|(step, count)| ((1_u64 << step).to_string(), json!(count)))
            .collect();
        json!({
            "count": self.steps.iter().sum::<u64>(),
            "p50_us": self.bound(50),
            "p99_us": self.bound(99),
            "longest_us": u64::try_from(self.longest.as_micros()).unwrap_or(u64::MAX),
            "below_us": counts,
        })
    }

    /// Microseconds below which so many of 100 turns took.
    fn bound(&self, percent: u64) -> u64 {
        let all: u64 = self.steps.iter().sum();
        let mut left = (all * percent).div_ceil(100);
        for (step, count) in self.steps.iter().enumerate() {
            if left <= *count {
                return 1 << step;
            }
            left -= count;
        }
        0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn turns_are_counted_by_powers_of_two() {
        let mut turns = Turns::default();
        for micros in [0, 1, 3, 3, 3, 900, 60_000] {
            turns.note(Duration::from_micros(micros));
        }
        turns.note(Duration::from_secs(3_600));
        let json = turns.json();
        assert_eq!(json["count"], 8);
        assert_eq!(json["below_us"]["1"], 1);
        assert_eq!(json["below_us"]["2"], 1);
        assert_eq!(json["below_us"]["4"], 3);
        assert_eq!(json["below_us"]["1024"], 1);
        assert_eq!(json["p50_us"], 4);
        assert_eq!(json["p99_us"], 1 << 25);
        assert_eq!(turns.slow(), 2);
        assert_eq!(Turns::default().json()["p99_us"], 1);
    }
}
