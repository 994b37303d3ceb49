//! Giving memory back to the kernel.
//!
//! Starting a role runs code, and reads constants, that its loop never needs again; so do commands
//! and self-tests that come now and then. Their pages stay mapped, and count as resident in each of
//! the three processes, until they are let go here; what is needed after all is mapped again from
//! the file.

use std::fs;
use std::ops::Range;
use std::time::{Duration, Instant};

/// How long a start takes, connecting included.
const START: Duration = Duration::from_secs(2);
/// Between two times that pages are let go. Mapping again what a loop needs takes it some dozens of
/// faults.
const PAUSE: Duration = Duration::from_secs(60);

/// When the program's pages are let go next.
#[derive(Debug)]
pub struct ProgramPages {
    due: Instant,
}

impl ProgramPages {
    /// First once a start is over that begins now.
    pub fn new(now: Instant) -> ProgramPages {
        ProgramPages { due: now + START }
    }

    /// Lets them go if it is time to.
    pub fn release_when_due(&mut self, now: Instant) {
        if now >= self.due {
            self.release(now);
        }
    }

    /// Lets them go, because something has ended that is rarely done.
    pub fn release(&mut self, now: Instant) {
        self.due = now + PAUSE;
        release_program();
    }
}

/// Lets go the pages of this program's file, code and constants. Where /proc does not tell where
/// they are, nothing happens.
pub fn release_program() {
    let maps = fs::read_to_string("/proc/self/smaps").unwrap_or_default();
    let here = release_program as *const () as usize;
    for range in unchanged_parts(&maps, here) {
        // SAFETY: the range is one whole mapping of this process as the kernel has just listed it:
        // private, not writable, backed by the file of this very code, and without a single
        // anonymous or swapped page, so that nothing was ever written to it, not even by a
        // relocation. Its pages equal the file's, and the next access, be it by the instruction
        // after this call, maps them again (madvise(2), MADV_DONTNEED on a private file mapping).
        let result =
            unsafe { libc::madvise(range.start as *mut _, range.len(), libc::MADV_DONTNEED) };
        if result != 0 {
            let error = std::io::Error::last_os_error();
            log::debug!("the pages of the program stay: {error}");
        }
    }
}

/// A mapping of proc_pid_smaps(5).
struct Mapping<'a> {
    range: Range<usize>,
    rights: &'a str,
    /// Device and inode.
    file: (&'a str, &'a str),
    /// Kilobytes of it that are no longer as in the file: in memory, and swapped out. Unknown while
    /// their lines have not come.
    anonymous: Option<u64>,
    swapped: Option<u64>,
}

/// The parts of the file that is mapped around this address which nobody writes to and nobody
/// ever has.
fn unchanged_parts(smaps: &str, address: usize) -> Vec<Range<usize>> {
    let mut mappings: Vec<Mapping<'_>> = Vec::new();
    for line in smaps.lines() {
        if let Some(mapping) = mapping_of(line) {
            mappings.push(mapping);
        } else if let Some(last) = mappings.last_mut() {
            last.anonymous = last.anonymous.or(kilobytes(line, "Anonymous:"));
            last.swapped = last.swapped.or(kilobytes(line, "Swap:"));
        }
    }
    let around = mappings.iter().find(|part| part.range.contains(&address));
    let Some(file) = around.map(|part| part.file).filter(|file| file.1 != "0") else {
        return Vec::new();
    };
    let is_unchanged = |part: &&Mapping<'_>| {
        let is_fixed = matches!(part.rights, "r-xp" | "r--p");
        let is_as_in_file = (part.anonymous, part.swapped) == (Some(0), Some(0));
        part.file == file && is_fixed && is_as_in_file
    };
    let parts = mappings.iter().filter(is_unchanged);
    parts.map(|part| part.range.clone()).collect()
}

/// The mapping that a line begins: addresses, rights, offset, device, inode.
fn mapping_of(line: &str) -> Option<Mapping<'_>> {
    let mut fields = line.split_whitespace();
    let (start, end) = fields.next()?.split_once('-')?;
    let number = |text| usize::from_str_radix(text, 16).ok();
    let range = number(start)?..number(end)?;
    let rights = fields.next()?;
    let file = (fields.nth(1)?, fields.next()?);
    Some(Mapping {
        range,
        rights,
        file,
        anonymous: None,
        swapped: None,
    })
}

fn kilobytes(line: &str, name: &str) -> Option<u64> {
    let value = line.strip_prefix(name)?;
    value.trim().strip_suffix(" kB")?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_program_runs_on_after_its_pages_were_let_go() {
        let here = release_program as *const () as usize;
        // What holds addresses is not as in the file, and stays.
        let table: &'static [&'static (dyn Fn() -> u8 + Sync)] = &[&|| 1, &|| 2];
        for _ in 0..3 {
            release_program();
            let sum: u8 = table.iter().map(|function| function()).sum();
            assert_eq!(sum, 3);
            let smaps = fs::read_to_string("/proc/self/smaps").unwrap();
            let parts = unchanged_parts(&smaps, here);
            let holds = |address: usize| parts.iter().any(|part| part.contains(&address));
            assert!(holds(here), "{smaps}");
            assert!(!holds(table.as_ptr() as usize), "{smaps}");
        }
    }

    /// A mapping at these addresses, and its anonymous and swapped kilobytes as smaps has them.
    fn part(addresses: &str, rest: &str, anonymous: &str, swapped: &str) -> String {
        format!(
            "{addresses} {rest} /bin/an agent\nSize:  8 kB\nAnonymous:  {anonymous}\n\
             Swap:  {swapped}\nSwapPss:  4 kB\nVmFlags: rd mr\n"
        )
    }

    #[test]
    fn only_what_equals_the_file_of_this_code_is_let_go() {
        let code = part("1000-3000", "r-xp 00001000 fe:00 9", "0 kB", "0 kB");
        let cases = [
            ("r--p 00003000 fe:00 9", "0 kB", "0 kB", true),
            ("r--p 00003000 fe:00 9", "4 kB", "0 kB", false),
            ("r--p 00003000 fe:00 9", "0 kB", "4 kB", false),
            ("r--p 00003000 fe:00 9", "words", "0 kB", false),
            ("r--p 00003000 fe:00 9", "0 kB", "words", false),
            ("rw-p 00003000 fe:00 9", "0 kB", "0 kB", false),
            ("r--s 00003000 fe:00 9", "0 kB", "0 kB", false),
            ("r--p 00003000 fe:00 8", "0 kB", "0 kB", false),
            ("r--p 00003000 fe:01 9", "0 kB", "0 kB", false),
            ("r--p 00000000 00:00 0", "0 kB", "0 kB", false),
        ];
        for (rest, anonymous, swapped, is_released) in cases {
            let smaps = format!("{code}{}", part("4000-5000", rest, anonymous, swapped));
            let released = unchanged_parts(&smaps, 0x2000);
            let starts: Vec<usize> = released.iter().map(|part| part.start).collect();
            let expected: &[usize] = match is_released {
                true => &[0x1000, 0x4000],
                false => &[0x1000],
            };
            assert_eq!(starts, expected, "{rest} {anonymous} {swapped}");
        }
        let nameless = part("1000-3000", "r-xp 00001000 00:00 0", "0 kB", "0 kB");
        for smaps in [nameless.as_str(), "", "words\nAnonymous: 0 kB\n"] {
            assert!(unchanged_parts(smaps, 0x2000).is_empty(), "{smaps}");
        }
    }
}
