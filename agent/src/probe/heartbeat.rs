//! When the agent says that it runs: five times every minute after the rules were loaded, every ten
//! minutes from then on.

use std::time::{Duration, Instant};

const FIRST_PAUSE: Duration = Duration::from_secs(60);
const FIRST_BEATS: u32 = 5;
const PAUSE: Duration = Duration::from_secs(600);

/// The times of heartbeats since a rule set was loaded.
#[derive(Debug)]
pub(super) struct Heartbeat {
    last: Instant,
    beats: u32,
}

impl Heartbeat {
    /// The rule set was loaded at this time.
    pub(super) fn new(loaded: Instant) -> Heartbeat {
        Heartbeat {
            last: loaded,
            beats: 0,
        }
    }

    /// Whether one is due; it counts as done then.
    pub(super) fn is_due(&mut self, now: Instant) -> bool {
        let pause = match self.beats < FIRST_BEATS {
            true => FIRST_PAUSE,
            false => PAUSE,
        };
        if now.saturating_duration_since(self.last) < pause {
            return false;
        }
        self.last = now;
        self.beats = self.beats.saturating_add(1);
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn five_beats_a_minute_apart_then_ten_minutes() {
        let loaded = Instant::now();
        let mut heartbeat = Heartbeat::new(loaded);
        let due: Vec<u64> = (0..=2_400)
            .filter(|second| heartbeat.is_due(loaded + Duration::from_secs(*second)))
            .collect();
        assert_eq!(due, [60, 120, 180, 240, 300, 900, 1_500, 2_100]);
    }
}
