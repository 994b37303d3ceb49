//! The chart as it is in the binary: `scripts/chart`, deflated at build time.

use std::io::Read;
use std::sync::LazyLock;

use flate2::read::DeflateDecoder;

/// Names and contents in turns, each ended by a zero byte.
const EMBEDDED: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/chart.deflate"));

static FILES: LazyLock<String> = LazyLock::new(|| {
    let mut text = String::new();
    // In a damaged binary files are missing, which rendering says.
    let _ = DeflateDecoder::new(EMBEDDED).read_to_string(&mut text);
    text
});

/// A file of the chart by its path in it.
pub(super) fn file(name: &str) -> Option<&'static str> {
    files()
        .find(|(known, _)| *known == name)
        .map(|(_, text)| text)
}

/// The templates with their paths, in the order of these.
pub(super) fn templates() -> impl Iterator<Item = (&'static str, &'static str)> {
    files().filter(|(name, _)| name.starts_with("templates/"))
}

/// The seccomp profile of system-probe; without the system calls that end processes when it may not
/// kill. `None` when the one in this binary is damaged.
pub fn seccomp_profile(may_kill: bool) -> Option<String> {
    let mut profile: serde_json::Value =
        serde_json::from_str(file("files/system-probe-seccomp.json")?).ok()?;
    if !may_kill {
        let rules = profile.get_mut("syscalls")?.as_array_mut()?;
        rules.retain(|rule| {
            let mut names = rule["names"].as_array().into_iter().flatten();
            !names.any(|name| name == "kill")
        });
    }
    Some(format!("{profile:#}\n"))
}

fn files() -> impl Iterator<Item = (&'static str, &'static str)> {
    let mut parts = FILES.split('\0');
    std::iter::from_fn(move || Some((parts.next()?, parts.next()?)))
}
