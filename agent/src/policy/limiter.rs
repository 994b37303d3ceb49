//! The rate limiter of one rule.
//!
//! A token bucket kept as one number, the time at which the bucket is full again; no timer, no
//! allocation. Times enter as nanoseconds of a monotonic clock, the answer is yes or no.

use std::cell::Cell;
use std::time::Duration;

/// Events that a rule may send at once.
const BURST: u64 = 40;
/// Time in nanoseconds after which a rule may send one more event.
const REFILL_NS: u64 = 100_000_000;

/// Decides which matches of a rule become events, and counts both kinds.
#[derive(Debug, Default)]
pub struct Limiter {
    /// Nanoseconds for one token; 0 when the limiter is off.
    interval: u64,
    /// How far in nanoseconds the bucket may be from full and still give a token.
    slack: u64,
    full_at: Cell<u64>,
    allowed: Cell<u64>,
    dropped: Cell<u64>,
}

impl Limiter {
    /// The limiter of a rule: 40 at once and 10 a second, or one for each `every`, or none at all
    /// when `every` is zero.
    pub fn new(every: Option<Duration>) -> Limiter {
        let (interval, burst) = match every {
            Some(every) => (u64::try_from(every.as_nanos()).unwrap_or(u64::MAX), 1),
            None => (REFILL_NS, BURST),
        };
        Limiter {
            interval,
            slack: interval.saturating_mul(burst - 1),
            ..Limiter::default()
        }
    }

    /// Takes a token at the time `now_ns`; false when there is none.
    pub fn allow(&self, now_ns: u64) -> bool {
        let full_at = self.full_at.get().max(now_ns);
        let allow = full_at - now_ns <= self.slack;
        if allow {
            self.full_at.set(full_at.saturating_add(self.interval));
        }
        let counter = if allow { &self.allowed } else { &self.dropped };
        counter.set(counter.get().saturating_add(1));
        allow
    }

    /// Matches that were let through since the rules were loaded.
    pub fn allowed(&self) -> u64 {
        self.allowed.get()
    }

    /// Matches that were held back since the rules were loaded.
    pub fn dropped(&self) -> u64 {
        self.dropped.get()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: u64 = 1_000_000_000;

    #[test]
    fn a_burst_of_forty_then_ten_a_second() {
        let limiter = Limiter::new(None);
        let now = 5 * SECOND;
        assert_eq!((0..100).filter(|_| limiter.allow(now)).count(), 40);
        assert!(!limiter.allow(now + REFILL_NS - 1));
        assert!(limiter.allow(now + REFILL_NS));
        assert!(!limiter.allow(now + REFILL_NS));
        assert_eq!(
            (0..100)
                .filter(|_| limiter.allow(now + 60 * SECOND))
                .count(),
            40
        );
        assert_eq!((limiter.allowed(), limiter.dropped()), (81, 122));
    }

    #[test]
    fn every_is_one_per_duration_and_zero_is_off() {
        let limiter = Limiter::new(Some(Duration::from_secs(10)));
        assert!(limiter.allow(SECOND));
        assert!(!limiter.allow(10 * SECOND));
        assert!(limiter.allow(11 * SECOND));

        let off = Limiter::new(Some(Duration::ZERO));
        assert_eq!((0..1000).filter(|_| off.allow(7)).count(), 1000);
    }

    #[test]
    fn an_endless_every_allows_one() {
        let limiter = Limiter::new(Some(Duration::MAX));
        assert!(limiter.allow(1));
        assert!(!limiter.allow(u64::MAX - 1));
    }
}
