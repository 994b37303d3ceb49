//! The rate limiter of one rule.
//!
//! A token bucket kept as one number, the time at which the bucket is full again; no timer, no
//! allocation. With a `limiter_token` there is a bucket for each combination of values, so many
//! at most. Times enter as nanoseconds of a monotonic clock, the answer is yes or no.

use crate::secl::{FieldId, Kind, Record};
use std::cell::{Cell, RefCell};
use std::collections::hash_map::DefaultHasher;
use std::collections::HashMap;
use std::hash::{Hash, Hasher};
use std::time::Duration;

/// Events that a rule may send at once.
const BURST: u64 = 40;
/// Time in nanoseconds after which a rule may send one more event.
const REFILL_NS: u64 = 100_000_000;
/// Combinations of values that have a bucket of their own; the one that was used longest ago makes
/// room for a new one.
const MAX_BUCKETS: usize = 500;

/// Decides which matches of a rule become events, and counts both kinds.
#[derive(Debug, Default)]
pub struct Limiter {
    /// Nanoseconds for one token; 0 when the limiter is off.
    interval: u64,
    /// How far in nanoseconds the bucket may be from full and still give a token.
    slack: u64,
    token: Vec<(FieldId, Kind)>,
    full_at: Cell<u64>,
    /// With a token: by the hash of the values, when the bucket is full and when it was used.
    buckets: RefCell<HashMap<u64, (u64, u64)>>,
    allowed: Cell<u64>,
    dropped: Cell<u64>,
}

impl Limiter {
    /// The limiter of a rule: 40 at once and 10 a second, or one for each `every`, or none at all
    /// when `every` is zero. `token` names the fields of whose values each combination has a
    /// limiter of its own.
    pub fn new(every: Option<Duration>, token: Vec<(FieldId, Kind)>) -> Limiter {
        let (interval, burst) = match every {
            Some(every) => (u64::try_from(every.as_nanos()).unwrap_or(u64::MAX), 1),
            None => (REFILL_NS, BURST),
        };
        Limiter {
            interval,
            slack: interval.saturating_mul(burst - 1),
            token,
            ..Limiter::default()
        }
    }

    /// Takes a token at the time `now_ns`; false when there is none.
    pub fn allow(&self, record: &dyn Record, now_ns: u64) -> bool {
        let allow = if self.token.is_empty() {
            let (allow, full_at) = self.take(self.full_at.get(), now_ns);
            self.full_at.set(full_at);
            allow
        } else {
            self.take_of_bucket(self.key(record), now_ns)
        };
        let counter = if allow { &self.allowed } else { &self.dropped };
        counter.set(counter.get().saturating_add(1));
        allow
    }

    /// Whether a bucket gives a token, and when it is full then.
    fn take(&self, full_at: u64, now_ns: u64) -> (bool, u64) {
        let full_at = full_at.max(now_ns);
        match full_at - now_ns <= self.slack {
            true => (true, full_at.saturating_add(self.interval)),
            false => (false, full_at),
        }
    }

    fn take_of_bucket(&self, key: u64, now_ns: u64) -> bool {
        let mut buckets = self.buckets.borrow_mut();
        if buckets.len() >= MAX_BUCKETS && !buckets.contains_key(&key) {
            let oldest = buckets.iter().min_by_key(|(_, (_, used))| *used);
            if let Some(oldest) = oldest.map(|(key, _)| *key) {
                buckets.remove(&oldest);
            }
        }
        let bucket = buckets.entry(key).or_default();
        let (allow, full_at) = self.take(bucket.0, now_ns);
        *bucket = (full_at, now_ns);
        allow
    }

    fn key(&self, record: &dyn Record) -> u64 {
        let mut hasher = DefaultHasher::new();
        for (field, kind) in &self.token {
            for index in 0..record.count(*field) {
                match kind {
                    Kind::Bool => record.boolean(*field, index).hash(&mut hasher),
                    Kind::Int => record.int(*field, index).hash(&mut hasher),
                    Kind::Text => record.text(*field, index).hash(&mut hasher),
                    Kind::Ip => record.ip(*field, index).hash(&mut hasher),
                }
            }
            hasher.write_u8(0xff);
        }
        hasher.finish()
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
    use crate::secl::IpNet;

    const SECOND: u64 = 1_000_000_000;

    /// A record whose only field is this number.
    struct Number(i64);

    impl Record for Number {
        fn count(&self, _: FieldId) -> usize {
            1
        }
        fn int(&self, _: FieldId, _: usize) -> i64 {
            self.0
        }
        fn boolean(&self, _: FieldId, _: usize) -> bool {
            false
        }
        fn text(&self, _: FieldId, _: usize) -> &str {
            ""
        }
        fn ip(&self, _: FieldId, _: usize) -> Option<IpNet> {
            None
        }
    }

    fn allows(limiter: &Limiter, now: u64) -> bool {
        limiter.allow(&Number(0), now)
    }

    #[test]
    fn a_burst_of_forty_then_ten_a_second() {
        let limiter = Limiter::new(None, Vec::new());
        let now = 5 * SECOND;
        let burst = |now| (0..100).filter(|_| allows(&limiter, now)).count();
        assert_eq!(burst(now), 40);
        assert!(!allows(&limiter, now + REFILL_NS - 1));
        assert!(allows(&limiter, now + REFILL_NS));
        assert!(!allows(&limiter, now + REFILL_NS));
        assert_eq!(burst(now + 60 * SECOND), 40);
        assert_eq!((limiter.allowed(), limiter.dropped()), (81, 122));
    }

    #[test]
    fn every_is_one_per_duration_and_zero_is_off() {
        let limiter = Limiter::new(Some(Duration::from_secs(10)), Vec::new());
        assert!(allows(&limiter, SECOND));
        assert!(!allows(&limiter, 10 * SECOND));
        assert!(allows(&limiter, 11 * SECOND));

        let off = Limiter::new(Some(Duration::ZERO), Vec::new());
        assert_eq!((0..1000).filter(|_| allows(&off, 7)).count(), 1000);
    }

    #[test]
    fn an_endless_every_allows_one() {
        let limiter = Limiter::new(Some(Duration::MAX), Vec::new());
        assert!(allows(&limiter, 1));
        assert!(!allows(&limiter, u64::MAX - 1));
    }

    #[test]
    fn each_combination_of_values_has_its_own_bucket_up_to_a_bound() {
        let token = vec![(FieldId(1), Kind::Int)];
        let limiter = Limiter::new(Some(Duration::from_secs(10)), token);
        for value in 0..MAX_BUCKETS as i64 {
            assert!(
                limiter.allow(&Number(value), SECOND + value as u64),
                "{value}"
            );
            assert!(!limiter.allow(&Number(value), SECOND + value as u64));
        }
        assert!(!limiter.allow(&Number(0), 2 * SECOND));
        assert!(limiter.allow(&Number(-1), 2 * SECOND));
        assert_eq!(limiter.buckets.borrow().len(), MAX_BUCKETS);
        assert!(
            limiter.allow(&Number(1), 2 * SECOND),
            "its bucket made room"
        );
    }
}
