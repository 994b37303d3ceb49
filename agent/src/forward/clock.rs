//! Whether somebody set the clock.
//!
//! The time of day is compared with time that only goes forward, once a second; a sentence leaves
//! when they have come apart. Nothing here changes what is done with events: ages are taken from
//! the time of day, and one in the future counts as none.

use std::time::{Duration, Instant, SystemTime};

/// What the clock may gain or lose between two looks without a word: time daemons steer it.
const TOLERANCE: Duration = Duration::from_secs(2);

/// The two times at the last look.
#[derive(Clone, Copy, Debug)]
pub(super) struct ClockWatch {
    at: Instant,
    wall: SystemTime,
}

impl ClockWatch {
    /// Begins with these times.
    pub(super) fn new(at: Instant, wall: SystemTime) -> ClockWatch {
        ClockWatch { at, wall }
    }

    /// A sentence when the clock was set since the last look.
    pub(super) fn look(&mut self, at: Instant, wall: SystemTime) -> Option<String> {
        let expected = self.wall + at.saturating_duration_since(self.at);
        *self = ClockWatch { at, wall };
        match wall.duration_since(expected) {
            Ok(ahead) if ahead > TOLERANCE => Some(format!(
                "the clock was set forward by {} s; events that wait may be too old for the spool now",
                ahead.as_secs()
            )),
            Err(error) if error.duration() > TOLERANCE => Some(format!(
                "the clock was set back by {} s; events keep the times that they had, and none is dropped for its age because of it",
                error.duration().as_secs()
            )),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clock_that_was_set_is_noticed_once() {
        let (at, wall) = (Instant::now(), SystemTime::now());
        let seconds = Duration::from_secs;
        let mut watch = ClockWatch::new(at, wall);
        assert_eq!(watch.look(at + seconds(1), wall + seconds(1)), None);
        assert_eq!(watch.look(at + seconds(2), wall + seconds(3)), None);
        let back = watch.look(at + seconds(3), wall - seconds(3600)).unwrap();
        assert!(back.contains("set back by 3604 s"), "{back}");
        assert_eq!(watch.look(at + seconds(4), wall - seconds(3599)), None);
        let forward = watch.look(at + seconds(5), wall + seconds(400)).unwrap();
        assert!(forward.contains("set forward by 3998 s"), "{forward}");
    }
}
