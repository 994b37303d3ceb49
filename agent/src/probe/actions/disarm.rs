//! A disarmer: how many different containers or programs a rule may hit in one period.
//!
//! A rule that is wrong, or is led astray, then stops killing before it has emptied the host.

use std::collections::HashMap;

/// What one rule has hit, and when.
#[derive(Debug, Default)]
pub(super) struct Disarmer {
    /// By name, monotonic nanoseconds of the first hit.
    hit: HashMap<String, u64>,
}

impl Disarmer {
    /// Whether one more of what `name` names may be hit: one that was hit in this period may be hit
    /// again, of others there may be `allowed` in all.
    pub(super) fn allows(&mut self, name: &str, now: u64, allowed: usize, period: u64) -> bool {
        self.hit
            .retain(|_, first| now.saturating_sub(*first) < period);
        if self.hit.contains_key(name) {
            return true;
        }
        let allows = self.hit.len() < allowed;
        if allows {
            self.hit.insert(name.to_owned(), now);
        }
        allows
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_next_name_beyond_the_allowed_disarms_until_the_period_is_over() {
        let mut disarmer = Disarmer::default();
        let mut allows = |name: &str, now: u64| disarmer.allows(name, now, 2, 60);
        assert!(allows("a", 0) && allows("a", 1) && allows("b", 10));
        assert!(!allows("c", 20) && allows("a", 21) && allows("b", 22));
        assert!(!allows("c", 59));
        assert!(allows("c", 60), "a was hit a period ago");
        assert!(!allows("a", 61));
    }
}
