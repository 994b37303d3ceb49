//! Where a flare goes: the URL that follows from the settings, and those that redirects lead to.
//!
//! Settings and texts enter, URLs leave. They hold the API key in their query (so Datadog wants
//! it), therefore none of them is for people.

use ureq::http::Uri;

use super::Error;
use crate::config::{keys, Settings};
use crate::policy::condition::version::REFERENCE;

/// Path of flares on a server.
const PATH: &str = "/support/flare";
/// Parameter that the API key is in.
const KEY: &str = "api_key";
/// Domains of Datadog; a data centre's name may stand before each.
const DOMAINS: [&str; 3] = ["datadoghq.com", "datadoghq.eu", "ddog-gov.com"];

/// URL of flares: below `dd_url` as it is written, or at the site's server of flares.
pub(super) fn endpoint(settings: &Settings) -> String {
    let base = match settings.text(&keys::DD_URL).trim() {
        "" => of_site(settings.text(&keys::SITE).trim()),
        url => url.trim_end_matches('/').to_owned(),
    };
    base + PATH
}

/// Datadog has a server of flares for each release of its agent; others have one at most.
fn of_site(site: &str) -> String {
    let site = match site {
        "" => keys::SITE.default,
        site => site,
    };
    let (major, minor, patch) = (REFERENCE.major, REFERENCE.minor, REFERENCE.patch);
    match is_datadog(site) {
        true => format!("https://{major}-{minor}-{patch}-flare.agent.{site}"),
        false => format!("https://app.{site}"),
    }
}

/// Whether a site is a domain of Datadog, such as `datadoghq.eu` or `us3.datadoghq.com`.
fn is_datadog(site: &str) -> bool {
    let is_domain = |name: &str| DOMAINS.contains(&name);
    let site = site.strip_suffix('.').unwrap_or(site);
    let rest = site
        .split_once('.')
        .filter(|(centre, _)| matches!(centre.as_bytes(), [b'a'..=b'z', b'a'..=b'z', b'0'..=b'9']));
    is_domain(site) || rest.is_some_and(|(_, domain)| is_domain(domain))
}

/// The endpoint with the case and the key; an account without key is for the server to refuse.
pub(super) fn with_key(endpoint: &str, case_id: Option<&str>, key: &str) -> String {
    let mut url = endpoint.to_owned();
    if let Some(case_id) = case_id.filter(|case_id| !case_id.is_empty()) {
        url.push('/');
        push_encoded(&mut url, case_id);
    }
    push_key(&mut url, '?', key);
    url
}

fn push_key(url: &mut String, separator: char, key: &str) {
    url.push(separator);
    url.push_str(KEY);
    url.push('=');
    push_encoded(url, key);
}

/// Percent-encoding (RFC 3986, section 2.1) of all but letters, digits, `-` and `_`: dots, too,
/// which could be a segment that leads upwards.
fn push_encoded(url: &mut String, text: &str) {
    const DIGITS: &[u8; 16] = b"0123456789ABCDEF";
    let digit = |value: u8| {
        DIGITS
            .get(usize::from(value))
            .map_or('0', |d| char::from(*d))
    };
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_') {
            url.push(char::from(byte));
        } else {
            url.extend(['%', digit(byte >> 4), digit(byte & 15)]);
        }
    }
}

/// The key as it stands in a URL.
pub(super) fn encoded(key: &str) -> String {
    let mut text = String::new();
    push_encoded(&mut text, key);
    text
}

/// The URL that `location`, an answer of `from`, leads to (RFC 3986, section 5.2).
///
/// The key goes nowhere that the asked server did not name: the query of `from` is not handed on.
/// A URL that the server sends with a key in it is followed as it is; one without it gets the key
/// on the same server only, so that a moved path needs no change there. From https it never leads
/// to http.
pub(super) fn redirected(from: &str, location: &str, key: &str) -> Result<String, Error> {
    let location = location.split('#').next().unwrap_or("");
    let from: Uri = from.parse().map_err(|_| Error::Location)?;
    let mut target = resolved(&from, location);
    let uri: Uri = target.parse().map_err(|_| Error::Location)?;
    let has_host = uri.host().is_some_and(|host| !host.is_empty());
    match (from.scheme_str(), uri.scheme_str()) {
        (Some("https"), Some("http")) => return Err(Error::Insecure),
        (_, Some("http" | "https")) if has_host => {}
        _ => return Err(Error::Location),
    }
    let query = uri.query();
    let mut names = query
        .unwrap_or("")
        .split('&')
        .filter_map(|pair| pair.split('=').next());
    if is_same_server(&from, &uri) && !names.any(|name| name == KEY) {
        let separator = if query.is_some() { '&' } else { '?' };
        push_key(&mut target, separator, key);
    }
    Ok(target)
}

fn resolved(from: &Uri, location: &str) -> String {
    let has_scheme = |(scheme, _): (&str, &str)| scheme.bytes().all(|b| b.is_ascii_alphanumeric());
    if location.split_once("://").is_some_and(has_scheme) {
        return location.to_owned();
    }
    let scheme = from.scheme_str().unwrap_or("");
    if location.starts_with("//") {
        return format!("{scheme}:{location}");
    }
    let authority = from.authority().map_or("", |one| one.as_str());
    let (path, query) = match location.find('?') {
        Some(place) => location.split_at(place),
        None => (location, ""),
    };
    let path = match path {
        "" => from.path().to_owned(),
        path if path.starts_with('/') => without_dots(path),
        path => {
            let folder = from
                .path()
                .rsplit_once('/')
                .map_or("", |(folder, _)| folder);
            without_dots(&format!("{folder}/{path}"))
        }
    };
    format!("{scheme}://{authority}{path}{query}")
}

/// A path without the segments `.` and `..`.
fn without_dots(path: &str) -> String {
    let mut kept = Vec::new();
    for segment in path.split('/').skip(1) {
        match segment {
            "." => {}
            ".." => {
                kept.pop();
            }
            segment => kept.push(segment),
        }
    }
    let is_folder = path.ends_with("/.") || path.ends_with("/..");
    let end = if is_folder && !kept.is_empty() {
        "/"
    } else {
        ""
    };
    format!("/{}{end}", kept.join("/"))
}

/// Whether two URLs are of one server; that of http on its usual port, and that of https on its,
/// count as one.
fn is_same_server(from: &Uri, to: &Uri) -> bool {
    let port = |uri: &Uri| {
        let usual = if uri.scheme_str() == Some("http") {
            80
        } else {
            443
        };
        uri.port_u16().unwrap_or(usual)
    };
    let is_same_host = from
        .host()
        .zip(to.host())
        .is_some_and(|(one, other)| one.eq_ignore_ascii_case(other));
    let is_upgrade = from.scheme_str() != to.scheme_str();
    let ports = (port(from), port(to));
    is_same_host
        && if is_upgrade {
            ports == (80, 443)
        } else {
            ports.0 == ports.1
        }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Value;

    fn settings(site: &str, dd_url: &str) -> Settings {
        let mut settings = Settings::empty(true);
        settings.set(&keys::SITE, Value::Text(site.to_owned()), "x");
        settings.set(&keys::DD_URL, Value::Text(dd_url.to_owned()), "x");
        settings
    }

    #[test]
    fn the_endpoint_follows_from_site_or_dd_url() {
        let cases = [
            ("", "", "https://7-83-0-flare.agent.datadoghq.com"),
            (
                "datadoghq.com",
                "",
                "https://7-83-0-flare.agent.datadoghq.com",
            ),
            (
                "datadoghq.com.",
                "",
                "https://7-83-0-flare.agent.datadoghq.com.",
            ),
            (
                "datadoghq.eu",
                "",
                "https://7-83-0-flare.agent.datadoghq.eu",
            ),
            (
                "us3.datadoghq.com",
                "",
                "https://7-83-0-flare.agent.us3.datadoghq.com",
            ),
            (
                "us5.datadoghq.com",
                "",
                "https://7-83-0-flare.agent.us5.datadoghq.com",
            ),
            (
                "ap1.datadoghq.com",
                "",
                "https://7-83-0-flare.agent.ap1.datadoghq.com",
            ),
            (
                "ap2.datadoghq.com",
                "",
                "https://7-83-0-flare.agent.ap2.datadoghq.com",
            ),
            (
                "ddog-gov.com",
                "",
                "https://7-83-0-flare.agent.ddog-gov.com",
            ),
            ("us33.datadoghq.com", "", "https://app.us33.datadoghq.com"),
            ("a.us3.datadoghq.com", "", "https://app.a.us3.datadoghq.com"),
            ("xdatadoghq.com", "", "https://app.xdatadoghq.com"),
            ("site.example", "", "https://app.site.example"),
            (
                "site.example",
                "http://h.example:8/a//",
                "http://h.example:8/a",
            ),
            ("", "https://app.datadoghq.com", "https://app.datadoghq.com"),
        ];
        for (site, dd_url, expected) in cases {
            let endpoint = endpoint(&settings(site, dd_url));
            assert_eq!(
                endpoint,
                format!("{expected}/support/flare"),
                "{site} {dd_url}"
            );
        }
    }

    #[test]
    fn case_and_key_cannot_change_the_rest_of_the_url() {
        let cases = [
            (None, "k3y", "u?api_key=k3y"),
            (Some(""), "", "u?api_key="),
            (Some("123"), "a b&c", "u/123?api_key=a%20b%26c"),
            (Some("../x?y=é"), "k", "u/%2E%2E%2Fx%3Fy%3D%C3%A9?api_key=k"),
        ];
        for (case_id, key, expected) in cases {
            assert_eq!(with_key("u", case_id, key), expected);
        }
    }

    #[test]
    fn redirects_lead_where_the_server_says_and_the_key_goes_no_further() {
        let from = "https://h.example/a/b?api_key=k";
        let cases = [
            (from, "/c", "https://h.example/c?api_key=k"),
            (from, "/c?x=1", "https://h.example/c?x=1&api_key=k"),
            (
                from,
                "/c?x=1&api_key=other",
                "https://h.example/c?x=1&api_key=other",
            ),
            (from, "/../../c/./d/..", "https://h.example/c/?api_key=k"),
            (from, "c", "https://h.example/a/c?api_key=k"),
            (from, "../c", "https://h.example/c?api_key=k"),
            (from, ".", "https://h.example/a/?api_key=k"),
            (from, "..", "https://h.example/?api_key=k"),
            (from, "?y=://", "https://h.example/a/b?y=://&api_key=k"),
            (from, "#part", "https://h.example/a/b?api_key=k"),
            (from, "/c#part", "https://h.example/c?api_key=k"),
            (from, "//i.example/c", "https://i.example/c"),
            (from, "https://i.example/c", "https://i.example/c"),
            (
                from,
                "https://i.example/c?api_key=k",
                "https://i.example/c?api_key=k",
            ),
            (
                from,
                "https://H.example:443/c",
                "https://H.example:443/c?api_key=k",
            ),
            (from, "https://h.example:444/c", "https://h.example:444/c"),
            (
                "http://h.example/a?b",
                "https://h.example/c",
                "https://h.example/c?api_key=k",
            ),
            (
                "http://h.example:8/a",
                "https://h.example/c",
                "https://h.example/c",
            ),
            (
                "http://h.example/a",
                "https://h.example:8/c",
                "https://h.example:8/c",
            ),
            (
                "http://u:p@h.example/a",
                "/c",
                "http://u:p@h.example/c?api_key=k",
            ),
        ];
        for (from, location, expected) in cases {
            let target = redirected(from, location, "k").unwrap();
            assert_eq!(target, expected, "{location}");
        }
        let cases = [
            ("http://h.example/c", "from https to http"),
            ("HTTP://i.example/c", "from https to http"),
            ("ftp://h.example/c", "no http or https URL"),
            ("https:///c", "no http or https URL"),
            ("/a b", "no http or https URL"),
        ];
        for (location, expected) in cases {
            let error = redirected(from, location, "k").unwrap_err().to_string();
            assert!(error.contains(expected), "{location}: {error}");
        }
    }
}
