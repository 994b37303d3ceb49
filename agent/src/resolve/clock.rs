//! From the kernel's clocks to the time of day.
//!
//! Records carry `CLOCK_MONOTONIC`, processes start by boot time, readers want UTC. The distances
//! between the clocks are measured once and again whenever the owner asks (a clock that was set,
//! a suspended machine); nanoseconds enter and leave.

use nix::time::{clock_gettime, ClockId};

/// Distances between clocks, in nanoseconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Clock {
    /// From monotonic time to time since the epoch.
    pub monotonic_to_unix: i128,
    /// From time since boot to time since the epoch.
    pub boot_to_unix: i128,
}

fn read(clock: ClockId) -> i128 {
    clock_gettime(clock).map_or(0, |time| {
        i128::from(time.tv_sec()) * 1_000_000_000 + i128::from(time.tv_nsec())
    })
}

fn shift(time: u64, by: i128) -> u64 {
    u64::try_from(i128::from(time) + by).unwrap_or(0)
}

/// Monotonic time now, in nanoseconds.
pub fn monotonic_now() -> u64 {
    shift(0, read(ClockId::CLOCK_MONOTONIC))
}

/// The time of day now, in nanoseconds since the epoch.
pub fn unix_now() -> u64 {
    shift(0, read(ClockId::CLOCK_REALTIME))
}

impl Clock {
    /// The distances now.
    pub fn measure() -> Clock {
        let unix = read(ClockId::CLOCK_REALTIME);
        Clock {
            monotonic_to_unix: unix - read(ClockId::CLOCK_MONOTONIC),
            boot_to_unix: unix - read(ClockId::CLOCK_BOOTTIME),
        }
    }

    /// Monotonic time as nanoseconds since the epoch.
    pub fn from_monotonic(&self, time: u64) -> u64 {
        shift(time, self.monotonic_to_unix)
    }

    /// Time since boot as nanoseconds since the epoch; 0, which is no time, stays 0.
    pub fn from_boot(&self, time: u64) -> u64 {
        match time {
            0 => 0,
            _ => shift(time, self.boot_to_unix),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::{SystemTime, UNIX_EPOCH};

    use super::*;

    #[test]
    fn now_is_now() {
        let clock = Clock::measure();
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
        let ours = clock.from_monotonic(monotonic_now());
        assert!(now.as_nanos().abs_diff(ours.into()) < 1_000_000_000);
        assert_eq!(clock.from_boot(0), 0);
        assert_eq!(Clock::default().from_boot(7), 7);
    }
}
