//! Facts about the agent and its host, which the `filters` of rules ask for.
//!
//! Read once at start from uname, the os-release file and the environment. What the facts are
//! called in a filter is the business of [`super::filter`].

use std::fs::File;
use std::io::Read;
use std::path::Path;

use crate::sys::host;

/// The files that name the distribution, best first.
const OS_RELEASE: [&str; 2] = ["/etc/os-release", "/usr/lib/os-release"];
/// Bytes read of such a file; real ones have a few hundred.
const MAX_OS_RELEASE: u64 = 64 * 1024;

/// What a filter can ask for. A field that could not be read is empty.
#[derive(Debug, Clone, Default)]
pub struct Host {
    /// `ID` of os-release, such as `debian`.
    pub os_id: String,
    /// `PLATFORM_ID` of os-release, such as `platform:el9`.
    pub platform_id: String,
    /// `VERSION_ID` of os-release, such as `12`.
    pub version_id: String,
    /// Major, minor and patch number of the kernel.
    pub kernel: (i64, i64, i64),
    /// What follows the numbers of the kernel release up to the next dash, such as `26`.
    pub kernel_abi: String,
    /// What follows the last dash of the kernel release, such as `amd64` or `generic`.
    pub kernel_flavor: String,
    /// Whether the kernel describes its types, so that probes find their offsets.
    pub kernel_btf: bool,
    /// The host's name.
    pub hostname: String,
    /// How events come to be; `ebpf` here.
    pub origin: String,
    /// The environment of the agent, as `NAME=value`.
    pub envs: Vec<String>,
}

impl Host {
    /// Reads the facts of this host; what cannot be read stays empty.
    pub fn read() -> Host {
        let mut host = Host {
            origin: "ebpf".to_owned(),
            kernel_btf: std::path::Path::new("/sys/kernel/btf/vmlinux").exists(),
            envs: std::env::vars_os()
                .map(|(name, value)| {
                    format!("{}={}", name.to_string_lossy(), value.to_string_lossy())
                })
                .collect(),
            ..Host::default()
        };
        if let Ok(names) = nix::sys::utsname::uname() {
            host.hostname = names.nodename().to_string_lossy().into_owned();
            host.set_kernel(&names.release().to_string_lossy());
        }
        if let Some(text) = OS_RELEASE
            .into_iter()
            .find_map(|path| read_limited(&host::file(path)))
        {
            host.set_os_release(&text);
        }
        host
    }

    /// Takes the kernel's numbers from a release such as `6.1.0-26-amd64`.
    pub fn set_kernel(&mut self, release: &str) {
        let (numbers, rest) = release.split_once('-').unwrap_or((release, ""));
        let mut parts = numbers.split('.').map(leading_number);
        let mut next = || parts.next().unwrap_or(0);
        self.kernel = (next(), next(), next());
        self.kernel_abi = rest.split('-').next().unwrap_or("").to_owned();
        self.kernel_flavor = rest.rsplit('-').next().unwrap_or("").to_owned();
    }

    /// Takes the names of the distribution from the text of os-release.
    pub fn set_os_release(&mut self, text: &str) {
        for line in text.lines() {
            let Some((key, value)) = line.split_once('=') else {
                continue;
            };
            let value = value.trim().trim_matches(['"', '\'']).to_owned();
            match key.trim() {
                "ID" => self.os_id = value,
                "PLATFORM_ID" => self.platform_id = value,
                "VERSION_ID" => self.version_id = value,
                _ => {}
            }
        }
    }
}

fn leading_number(text: &str) -> i64 {
    let end = text
        .find(|c: char| !c.is_ascii_digit())
        .unwrap_or(text.len());
    text.get(..end)
        .and_then(|digits| digits.parse().ok())
        .unwrap_or(0)
}

fn read_limited(path: &Path) -> Option<String> {
    let mut text = String::new();
    let file = File::open(path).ok()?;
    file.take(MAX_OS_RELEASE).read_to_string(&mut text).ok()?;
    Some(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kernel_releases() {
        let table = [
            ("6.1.0-26-amd64", (6, 1, 0), "26", "amd64"),
            ("5.15.0-1051-aws", (5, 15, 0), "1051", "aws"),
            ("6.18.5", (6, 18, 5), "", ""),
            (
                "4.14.355-275.572.amzn2.x86_64",
                (4, 14, 355),
                "275.572.amzn2.x86_64",
                "275.572.amzn2.x86_64",
            ),
            ("5.10+", (5, 10, 0), "", ""),
            ("", (0, 0, 0), "", ""),
        ];
        for (release, numbers, abi, flavor) in table {
            let mut host = Host::default();
            host.set_kernel(release);
            let found = (
                host.kernel,
                host.kernel_abi.as_str(),
                host.kernel_flavor.as_str(),
            );
            assert_eq!(found, (numbers, abi, flavor), "{release}");
        }
    }

    #[test]
    fn os_release() {
        let mut host = Host::default();
        host.set_os_release(
            "NAME=\"Rocky\"\nID=\"rocky\"\nVERSION_ID='9.3'\nPLATFORM_ID=\"platform:el9\"\nx\n",
        );
        assert_eq!(host.os_id, "rocky");
        assert_eq!(host.version_id, "9.3");
        assert_eq!(host.platform_id, "platform:el9");
    }
}
