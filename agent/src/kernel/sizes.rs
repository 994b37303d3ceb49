//! How large the ring buffers may be on this machine.

use std::fs;
use std::io;

use super::perf::page_size;

/// All rings together stay below this many bytes.
const LARGEST_TOTAL: usize = 32 << 20;
/// The ring of fork, exec and exit holds a few execs with the largest arguments.
pub(super) const SMALLEST_LIFECYCLE_RING: usize = 256 << 10;
/// A ring below this many bytes is not worth opening.
pub(super) const SMALLEST_RING: usize = 64 << 10;

/// Numbers of the CPUs that there may be, online or not: in a container the list of those that
/// are online may be another one than the kernel's.
pub(super) fn possible_cpus() -> io::Result<Vec<u32>> {
    cpus("possible")
}

/// How many CPUs are online.
pub(super) fn online_cpus() -> io::Result<usize> {
    Ok(cpus("online")?.len())
}

/// One of the lists of CPUs in sysfs.
fn cpus(list: &str) -> io::Result<Vec<u32>> {
    let path = format!("/sys/devices/system/cpu/{list}");
    parse_cpus(fs::read_to_string(&path)?.trim()).ok_or_else(|| {
        let sentence = format!("{path} is not a list of CPUs");
        io::Error::new(io::ErrorKind::InvalidData, sentence)
    })
}

/// A list as in `0-3,7`.
fn parse_cpus(text: &str) -> Option<Vec<u32>> {
    let mut cpus = Vec::new();
    for part in text.split(',') {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        let (first, last): (u32, u32) = (first.parse().ok()?, last.parse().ok()?);
        cpus.extend(first..=last.min(first.saturating_add(8191)));
    }
    Some(cpus)
}

/// Bytes of one CPU's event ring: a power of two of pages, such that all rings together take at
/// most 32 MiB or a 64th of the memory; `configured` wins when it is set, rounded down.
pub(super) fn ring_size(cpus: usize, configured: usize) -> usize {
    if configured > 0 {
        return largest_power_of_two(configured).max(page_size());
    }
    let total = LARGEST_TOTAL.min(memory() / 64).max(SMALLEST_RING * cpus);
    // The rings of fork, exec and exit take another eighth.
    let share = total / cpus.max(1) * 8 / 9;
    largest_power_of_two(share).max(SMALLEST_RING)
}

fn largest_power_of_two(limit: usize) -> usize {
    match limit {
        0 => 0,
        limit => 1 << (usize::BITS - 1 - limit.leading_zeros()),
    }
}

/// Bytes of memory, from /proc/meminfo; 1 GiB when it cannot be read.
fn memory() -> usize {
    let text = fs::read_to_string("/proc/meminfo").unwrap_or_default();
    let line = text.lines().find(|line| line.starts_with("MemTotal:"));
    let kibibytes = line.and_then(|line| line.split_whitespace().nth(1)?.parse::<usize>().ok());
    kibibytes.map_or(1 << 30, |kibibytes| kibibytes << 10)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_lists_of_cpus() {
        for (text, cpus) in [
            ("0", Some(vec![0])),
            ("0-2,5", Some(vec![0, 1, 2, 5])),
            ("", None),
            ("a", None),
        ] {
            assert_eq!(parse_cpus(text), cpus, "{text}");
        }
    }

    #[test]
    fn rings_stay_within_their_total() {
        for cpus in [1, 2, 3, 8, 64] {
            let size = ring_size(cpus, 0);
            assert!(size.is_power_of_two());
            assert!(size * cpus * 9 / 8 <= LARGEST_TOTAL || size == SMALLEST_RING);
        }
        assert_eq!(ring_size(4, 1 << 20), 1 << 20);
        assert_eq!(ring_size(4, 1_500_000), 1 << 20);
    }
}
