//! Giving memory back to the kernel.
//!
//! Starting a role runs code that its loop never needs again. The pages of that code stay mapped,
//! and count as resident in each of the three processes, until they are let go here; what is
//! needed after all is mapped again from the file when it runs.

use std::fs;
use std::ops::Range;

/// Lets go the pages of this program's code. Where /proc does not tell where it is, nothing
/// happens.
pub fn release_code() {
    let maps = fs::read_to_string("/proc/self/maps").unwrap_or_default();
    let here = release_code as *const () as usize;
    let Some(code) = maps.lines().find_map(|line| code_around(line, here)) else {
        return;
    };
    // SAFETY: the range is one whole mapping of this process as the kernel has just listed it:
    // private, readable and executable, not writable, backed by a file. Nothing has been written
    // to it, as the linker makes no text relocations, so its pages equal the file's, and the next
    // access, be it by the instruction after this call, maps them again (madvise(2),
    // MADV_DONTNEED on a private file mapping).
    let result = unsafe { libc::madvise(code.start as *mut _, code.len(), libc::MADV_DONTNEED) };
    if result != 0 {
        log::debug!(
            "the pages of code stay: {}",
            std::io::Error::last_os_error()
        );
    }
}

/// The range of a line of proc_pid_maps(5), if it is code from a file around this address.
fn code_around(line: &str, address: usize) -> Option<Range<usize>> {
    let mut fields = line.split_whitespace();
    let (start, end) = fields.next()?.split_once('-')?;
    let number = |text| usize::from_str_radix(text, 16).ok();
    let range = number(start)?..number(end)?;
    let is_code = fields.next()? == "r-xp" && line.contains(" /");
    (is_code && range.contains(&address)).then_some(range)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn code_runs_on_after_its_pages_were_let_go() {
        for _ in 0..3 {
            release_code();
            assert_eq!("12 34".split(' ').count(), 2);
        }
    }

    #[test]
    fn only_code_from_a_file_is_let_go() {
        let cases = [
            ("1000-3000 r-xp 00001000 fe:00 9 /bin/agent", true),
            ("1000-3000 r--p 00001000 fe:00 9 /bin/agent", false),
            ("1000-3000 rw-p 00001000 fe:00 9 /bin/agent", false),
            ("1000-3000 r-xp 00000000 00:00 0", false),
            ("4000-5000 r-xp 00001000 fe:00 9 /bin/agent", false),
            ("words", false),
        ];
        for (line, is_code) in cases {
            assert_eq!(code_around(line, 0x2000).is_some(), is_code, "{line}");
        }
    }
}
