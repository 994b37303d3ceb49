//! How long to wait after failures.
//!
//! Results enter, pauses leave; there is no clock and no chance in here: the caller brings both.

use std::time::Duration;

use crate::config::{keys, Settings};

/// The longest pause that a server can ask for.
const LONGEST: Duration = Duration::from_secs(3_600);
/// By which part a pause is made longer or shorter, so that hosts do not come back all at once.
const SPREAD: f64 = 0.25;

/// Pauses that grow with failures and shrink with successes.
#[derive(Clone, Debug)]
pub(super) struct Backoff {
    base: Duration,
    factor: f64,
    max: Duration,
    recovery: u32,
    failures: u32,
}

impl Backoff {
    /// As configured, before any failure.
    pub(super) fn new(settings: &Settings) -> Backoff {
        let recovery = settings.count(&keys::ENDPOINTS_SENDER_RECOVERY_INTERVAL);
        Backoff {
            base: settings.duration(&keys::ENDPOINTS_SENDER_BACKOFF_BASE),
            factor: settings
                .count(&keys::ENDPOINTS_SENDER_BACKOFF_FACTOR)
                .max(1) as f64,
            max: settings.duration(&keys::ENDPOINTS_SENDER_BACKOFF_MAX),
            recovery: u32::try_from(recovery).unwrap_or(u32::MAX),
            failures: 0,
        }
    }

    /// The pause after one more failure. `asked` is the server's own wish, which counts when it is
    /// longer; `chance` is from -1 to 1.
    pub(super) fn fail(&mut self, asked: Option<Duration>, chance: f64) -> Duration {
        let times = i32::try_from(self.failures.min(64)).unwrap_or(64);
        self.failures = self.failures.saturating_add(1);
        let limit = self.max.as_secs_f64();
        let grown = (self.base.as_secs_f64() * self.factor.powi(times)).min(limit);
        let spread = (grown * (1.0 + SPREAD * chance.clamp(-1.0, 1.0))).min(limit);
        let own = Duration::try_from_secs_f64(spread).unwrap_or(self.max);
        own.max(asked.unwrap_or(Duration::ZERO)).min(LONGEST)
    }

    /// A success makes some failures forgotten.
    pub(super) fn succeed(&mut self) {
        self.failures = self.failures.saturating_sub(self.recovery);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_follow_the_table() {
        let mut backoff = Backoff::new(&Settings::empty(true));
        let seconds = Duration::from_secs;
        // Successes before it, the server's wish, chance, and the pause in milliseconds.
        let steps = [
            (0, None, 0.0, 1_000),
            (0, None, 0.0, 2_000),
            (0, None, 1.0, 5_000),
            (0, None, -1.0, 6_000),
            (0, Some(seconds(60)), 0.0, 60_000),
            (0, Some(seconds(3)), 0.0, 32_000),
            (0, Some(seconds(9_999)), 0.0, 3_600_000),
            (0, None, 1.0, 120_000),
            (0, None, -1.0, 90_000),
            (0, None, 0.0, 120_000),
            (1, None, 0.0, 120_000),
            (3, None, 0.0, 8_000),
            (1, None, 0.0, 4_000),
            (9, None, 0.0, 1_000),
        ];
        for (place, (successes, asked, chance, expected)) in steps.into_iter().enumerate() {
            (0..successes).for_each(|_| backoff.succeed());
            let pause = backoff.fail(asked, chance);
            assert_eq!(pause, Duration::from_millis(expected), "step {place}");
        }
    }
}
