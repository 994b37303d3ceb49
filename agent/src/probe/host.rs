//! What events say of this host, read once at start.

use std::fs;

use nix::sys::utsname::uname;

use crate::event::HostInfo;

/// Reads names and versions; what cannot be read stays empty.
pub(super) fn read(configured_hostname: &str) -> HostInfo {
    let names = uname().ok();
    let field = |read: fn(&nix::sys::utsname::UtsName) -> &std::ffi::OsStr| {
        let text = names.as_ref().map(|names| read(names).to_string_lossy().into_owned());
        text.unwrap_or_default()
    };
    let hostname = match configured_hostname {
        "" => field(|names| names.nodename()),
        configured => configured.to_string(),
    };
    HostInfo {
        hostname,
        version: env!("CARGO_PKG_VERSION").to_string(),
        kernel_version: field(|names| names.release()),
        distribution: distribution(&fs::read_to_string("/etc/os-release").unwrap_or_default()),
        arch: field(|names| names.machine()),
    }
}

/// `<ID> - <VERSION_ID>` of an os-release file; empty when it names no distribution.
fn distribution(text: &str) -> String {
    let value = |key: &str| {
        let line = text.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix('='));
        line.unwrap_or("").trim_matches(['"', '\'']).to_string()
    };
    let (id, version) = (value("ID"), value("VERSION_ID"));
    match id.is_empty() {
        true => String::new(),
        false => format!("{id} - {version}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_the_distribution() {
        for (text, name) in [
            ("NAME=\"D\"\nID=debian\nVERSION_ID=\"12\"\n", "debian - 12"),
            ("ID=\"alpine\"\nVERSION_ID=3.20.1\n", "alpine - 3.20.1"),
            ("", ""),
        ] {
            assert_eq!(distribution(text), name);
        }
    }
}
