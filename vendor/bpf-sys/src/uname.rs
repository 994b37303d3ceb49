//! The running kernel's version code, which kprobe programs must carry before kernel 5.0.
//!
//! `uname -r` is not always the version: Debian and Ubuntu print an ABI number there and the real
//! version elsewhere. The module's and the function's name are those that redbpf re-exports.

use libc::c_char;

use crate::attr::{field_bytes, name_text};

/// Ubuntu's file: the last of three words is the version that its kernel was made from.
const UBUNTU_SIGNATURE: &str = "/proc/version_signature";

/// The running kernel's `LINUX_VERSION_CODE`, or 0 when it cannot be found.
///
/// Never `None`, since redbpf unwraps it: kernels that still look at the number refuse a program
/// with 0, and the others do not care.
pub fn get_kernel_internal_version() -> Option<u32> {
    let signature = std::fs::read_to_string(UBUNTU_SIGNATURE).unwrap_or_default();
    let (release, version) = system_names();
    Some(version_code(&signature, &version, &release).unwrap_or(0))
}

/// `uname -r` and `uname -v`; empty when the kernel does not tell.
fn system_names() -> (String, String) {
    // SAFETY: utsname is arrays of characters, for which zeros are valid values.
    let mut names: libc::utsname = unsafe { std::mem::zeroed() };
    // SAFETY: `names` is a live utsname that the C library fills.
    if unsafe { libc::uname(&mut names) } != 0 {
        return Default::default();
    }
    (field_text(&names.release), field_text(&names.version))
}

fn field_text(field: &[c_char]) -> String {
    name_text(&field_bytes(field))
}

/// Picks the version from Ubuntu's signature, then Debian's `uname -v`, then `uname -r`.
fn version_code(signature: &str, version: &str, release: &str) -> Option<u32> {
    ubuntu_version(signature)
        .and_then(parse_version)
        .or_else(|| debian_version(version).and_then(parse_version))
        .or_else(|| parse_version(release))
        .map(|(major, minor, patch)| encode(major, minor, patch))
}

/// `Ubuntu 4.15.0-55.60-generic 4.15.18` gives `4.15.18`.
fn ubuntu_version(signature: &str) -> Option<&str> {
    let mut words = signature.split_whitespace();
    match (words.next(), words.next(), words.next(), words.next()) {
        (Some("Ubuntu"), Some(_), Some(version), None) => Some(version),
        _ => None,
    }
}

/// `#1 SMP Debian 4.19.316-1 (2024-06-25)` gives `4.19.316-1`.
fn debian_version(version: &str) -> Option<&str> {
    let mut words = version.split_whitespace();
    words.find(|word| *word == "Debian")?;
    words.next()
}

/// Reads `major.minor` or `major.minor.patch`, whatever follows.
fn parse_version(text: &str) -> Option<(u32, u32, u32)> {
    let (major, rest) = leading_number(text)?;
    let (minor, rest) = leading_number(rest.strip_prefix('.')?)?;
    let patch = rest.strip_prefix('.').and_then(leading_number);
    Some((major, minor, patch.map_or(0, |(number, _)| number)))
}

fn leading_number(text: &str) -> Option<(u32, &str)> {
    let end = text
        .find(|letter: char| !letter.is_ascii_digit())
        .unwrap_or(text.len());
    let (digits, rest) = text.split_at_checked(end)?;
    Some((digits.parse().ok()?, rest))
}

/// One byte per number; the kernel itself stops counting at 255.
fn encode(major: u32, minor: u32, patch: u32) -> u32 {
    (major.min(255) << 16) | (minor.min(255) << 8) | patch.min(255)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_of_distributions() {
        let cases = [
            (("", "#1 SMP", "6.18.44-fc-v669"), Some(0x06122c)),
            (("", "#1 SMP", "4.14.138+"), Some(0x040e8a)),
            (("", "#1 SMP", "4.14.316"), Some(0x040eff)),
            (("", "#1 SMP", "5.4"), Some(0x050400)),
            (("", "#1 SMP", "6.12.0-rc3"), Some(0x060c00)),
            (
                (
                    "",
                    "#1 SMP Debian 4.19.316-1 (2024-06-25)",
                    "4.19.0-27-amd64",
                ),
                Some(0x0413ff),
            ),
            (
                (
                    "",
                    "#1 SMP PREEMPT_DYNAMIC Debian 6.1.76-1 (2024-02-01)",
                    "6.1.0-18-amd64",
                ),
                Some(0x06014c),
            ),
            (
                (
                    "Ubuntu 4.15.0-55.60-generic 4.15.18\n",
                    "#60-Ubuntu SMP",
                    "4.15.0-55-generic",
                ),
                Some(0x040f12),
            ),
            (
                (
                    "Ubuntu 4.15.0-55.60-generic",
                    "#60-Ubuntu SMP",
                    "4.15.0-55-generic",
                ),
                Some(0x040f00),
            ),
            (("", "Debian", "5.10.0"), Some(0x050a00)),
            (("", "", "4"), None),
            (("", "", "linux"), None),
            (("", "", "99999999999.1.1"), None),
            (("", "", ""), None),
        ];
        for ((signature, version, release), wanted) in cases {
            let code = version_code(signature, version, release);
            assert_eq!(code, wanted, "{signature} | {version} | {release}");
        }
    }

    #[test]
    fn this_kernel_has_a_version() {
        assert!(get_kernel_internal_version() > Some(0x040000));
    }
}
