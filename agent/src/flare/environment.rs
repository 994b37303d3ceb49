//! Which variables of the environment support may see, and how they are listed.
//!
//! Names are allowed one by one, or because a key of the configuration is bound to them; those that
//! name a key or a token are never listed.

use std::fmt::Write as _;

use crate::config::keys;
use crate::scrub::{Scrubber, MASK};

/// Names that are allowed; a `*` stands for any end.
const ALLOWED: &[&str] = &[
    "AGENT_DAEMONSET",
    "CHART_RELEASE_NAME",
    "CLUSTER_AGENT_DEPLOYMENT",
    "CONTAINER_ID",
    "DD_PROXY_*",
    "DOCKER_*",
    "HOST_ETC",
    "HOST_PROC",
    "HOST_ROOT",
    "HTTP_PROXY",
    "HTTPS_PROXY",
    "NO_PROXY",
    "SSL_CERT_*",
    "TMPDIR",
];
/// Parts of names that are never listed.
const FORBIDDEN: [&str; 2] = ["_KEY", "_AUTH_TOKEN"];
/// Variables that are listed at most.
const MOST: usize = 1_000;

/// The variables of this process that may be seen, in the order of their names.
pub fn allowed() -> Vec<(String, String)> {
    let text = |text: std::ffi::OsString| text.to_string_lossy().into_owned();
    let all = std::env::vars_os().map(|(name, value)| (text(name), text(value)));
    let mut found: Vec<_> = all
        .filter(|(name, _)| is_allowed(name))
        .take(MOST)
        .collect();
    found.sort();
    found
}

/// The same, their secrets masked.
pub fn masked(scrubber: &Scrubber) -> Vec<(String, String)> {
    let mask = |(name, value): (String, String)| {
        let line = format!("{name}={value}");
        let line = scrubber.line(&line);
        let value = line.split_once('=').map_or(MASK, |(_, value)| value);
        (name, value.to_owned())
    };
    allowed().into_iter().map(mask).collect()
}

fn is_allowed(name: &str) -> bool {
    let upper = name.to_ascii_uppercase();
    if FORBIDDEN.iter().any(|part| upper.contains(part)) {
        return false;
    }
    let is_named = ALLOWED
        .iter()
        .any(|allowed| match allowed.strip_suffix('*') {
            Some(start) => upper.starts_with(start),
            None => upper == *allowed,
        });
    is_named
        || keys::ALL
            .iter()
            .any(|key| key.variable_names().iter().any(|one| one == name))
}

/// The variables as `envvars.log` has them.
pub fn text(variables: &[(String, String)]) -> String {
    if variables.is_empty() {
        return "Found no allowed envvar\n".to_owned();
    }
    let mut text = String::from("Found the following envvars:\n");
    for (name, value) in variables {
        let _ = writeln!(text, " -  {name}={}", value.replace('\n', "\\n"));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_allowed_is_listed() {
        let cases = [
            ("DD_LOG_LEVEL", true),
            ("DD_RUNTIME_SECURITY_CONFIG_ENABLED", true),
            ("DOCKER_HOST", true),
            ("https_proxy", true),
            ("HOST_PROC", true),
            ("DD_API_KEY", false),
            ("DD_AUTH_TOKEN_FILE_PATH", false),
            ("DD_SOMETHING_ELSE", false),
            ("AWS_SECRET_ACCESS_KEY", false),
            ("HOME", false),
            ("HOST_PROCX", false),
        ];
        for (name, expected) in cases {
            assert_eq!(is_allowed(name), expected, "{name}");
        }
    }

    #[test]
    fn the_list_is_that_of_the_reference() {
        let pair = |name: &str, value: &str| (name.to_owned(), value.to_owned());
        assert_eq!(text(&[]), "Found no allowed envvar\n");
        assert_eq!(
            text(&[pair("DD_SITE", "a"), pair("HOST_ETC", "/h\nx")]),
            "Found the following envvars:\n -  DD_SITE=a\n -  HOST_ETC=/h\\nx\n"
        );
    }
}
