//! What events say of the host: read once at start.

use nix::sys::utsname::uname;

use crate::event::HostInfo;
use crate::sys::files::read_limited;
use crate::sys::host::file;

/// More than any os-release has.
const LIMIT: usize = 64 * 1024;

/// Describes this host; an empty `hostname` is replaced by the kernel's.
pub fn detect(hostname: &str) -> HostInfo {
    let mut host = HostInfo {
        hostname: hostname.to_owned(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        distribution: ["/etc/os-release", "/usr/lib/os-release"]
            .iter()
            .find_map(|path| read_limited(&file(path), LIMIT).ok())
            .map(|bytes| distribution(&String::from_utf8_lossy(&bytes)))
            .unwrap_or_default(),
        ..HostInfo::default()
    };
    if let Ok(names) = uname() {
        host.kernel_version = names.release().to_string_lossy().into_owned();
        host.arch = names.machine().to_string_lossy().into_owned();
        if host.hostname.is_empty() {
            host.hostname = names.nodename().to_string_lossy().into_owned();
        }
    }
    host
}

/// `<ID> - <VERSION_ID>` of an os-release file.
fn distribution(text: &str) -> String {
    let value = |key: &str| {
        text.lines()
            .find_map(|line| line.strip_prefix(key)?.strip_prefix('='))
            .map_or("", |value| value.trim_matches(['"', '\'']))
    };
    match (value("ID"), value("VERSION_ID")) {
        ("", _) => String::new(),
        (id, "") => id.to_owned(),
        (id, version) => format!("{id} - {version}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn distributions_are_named() {
        for (text, expected) in [
            ("NAME=x\nID=debian\nVERSION_ID=\"12\"\n", "debian - 12"),
            ("ID='arch'\n", "arch"),
            ("", ""),
        ] {
            assert_eq!(distribution(text), expected);
        }
    }

    #[test]
    fn this_host_has_a_kernel() {
        let host = detect("edge-1");
        assert_eq!(host.hostname, "edge-1");
        assert!(!host.kernel_version.is_empty() && !host.arch.is_empty());
        assert!(!detect("").hostname.is_empty());
    }
}
