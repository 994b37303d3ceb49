//! How a server is reached: through which proxy, trusting whom, and for how long.
//!
//! Settings and a URL enter, a [`Transport`] leaves, which knows the one proxy for that URL. It can
//! be written as JSON, because the process that makes the connection is another one.

use std::net::IpAddr;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use ureq::http::Uri;

use crate::config::{keys, Settings};

/// How the server of one URL is reached.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Transport {
    /// URL of the proxy, with its user and password; `None` for a direct connection.
    pub proxy: Option<String>,
    /// PEM file of authorities to trust besides those of the system.
    pub ca_file: Option<String>,
    /// Whether any certificate is taken.
    pub skip_verification: bool,
    /// How long resolving the name may take, and then connecting.
    pub connect: Duration,
    /// How long the answer may take once everything is sent.
    pub read: Duration,
    /// How long all of it may take.
    pub overall: Duration,
    /// When given, how long nothing may move once it is connected, in either direction; the two
    /// limits above do not count then.
    pub stall: Option<Duration>,
}

impl Transport {
    /// The way to a URL: the proxy for its scheme unless `proxy.no_proxy` names its host, and the
    /// timeouts of the intake.
    pub fn new(settings: &Settings, url: &str) -> Transport {
        let ca_file = settings.text(&keys::TLS_CA_FILE);
        Transport {
            proxy: proxy(settings, url),
            ca_file: (!ca_file.is_empty()).then(|| ca_file.to_owned()),
            skip_verification: settings.flag(&keys::SKIP_SSL_VALIDATION),
            connect: settings.duration(&keys::ENDPOINTS_CONNECT_TIMEOUT),
            read: settings.duration(&keys::ENDPOINTS_READ_TIMEOUT),
            overall: settings.duration(&keys::ENDPOINTS_TIMEOUT),
            stall: None,
        }
    }
}

fn proxy(settings: &Settings, url: &str) -> Option<String> {
    let uri: Uri = url.parse().ok()?;
    let (key, default_port) = match uri.scheme_str()? {
        "https" => (&keys::PROXY_HTTPS, 443),
        _ => (&keys::PROXY_HTTP, 80),
    };
    let proxy = settings.text(key);
    let host = bare_host(uri.host()?);
    let port = uri.port_u16().unwrap_or(default_port);
    let with_subdomains = settings.flag(&keys::NO_PROXY_NONEXACT_MATCH);
    let list = settings.list(&keys::PROXY_NO_PROXY);
    let is_direct = proxy.is_empty()
        || is_loopback(host)
        // The list may be one text with commas, as NO_PROXY usually is.
        || list
            .iter()
            .flat_map(|item| item.split(','))
            .any(|item| excludes(item.trim(), host, port, with_subdomains));
    (!is_direct).then(|| proxy.to_owned())
}

/// A host as it stands in a URL, without the brackets around an IPv6 address.
fn bare_host(host: &str) -> &str {
    let inner = host.strip_prefix('[').and_then(|h| h.strip_suffix(']'));
    inner.unwrap_or(host)
}

/// Whether a host is this one.
fn is_loopback(host: &str) -> bool {
    let name = host.trim_end_matches('.').to_ascii_lowercase();
    match name.parse::<IpAddr>() {
        Ok(address) => address.to_canonical().is_loopback(),
        Err(_) => name == "localhost" || name.ends_with(".localhost"),
    }
}

/// Whether an item of `proxy.no_proxy` names a host: a name or address, with or without a port, a
/// domain as `.domain` or `*.domain`, a network in CIDR notation, or `*`.
fn excludes(item: &str, host: &str, port: u16, with_subdomains: bool) -> bool {
    if item == "*" {
        return true;
    }
    let host = host.trim_end_matches('.').to_ascii_lowercase();
    let item = item.to_ascii_lowercase();
    if let (Some(network), Ok(address)) = (network(&item), host.parse::<IpAddr>()) {
        return contains(network, address.to_canonical());
    }
    let (name, wanted_port) = match item.rsplit_once(':') {
        Some((name, digits)) if !name.contains(':') || name.ends_with(']') => {
            match digits.parse::<u16>() {
                Ok(wanted) => (name, Some(wanted)),
                Err(_) => return false,
            }
        }
        _ => (item.as_str(), None),
    };
    if wanted_port.is_some_and(|wanted| wanted != port) {
        return false;
    }
    let name = bare_host(name).trim_end_matches('.');
    let is_below = |domain: &str| {
        let prefix = host.strip_suffix(domain);
        !domain.is_empty() && prefix.is_some_and(|rest| rest.len() > 1 && rest.ends_with('.'))
    };
    match name.strip_prefix("*.").or_else(|| name.strip_prefix('.')) {
        Some(domain) => is_below(domain),
        None => !name.is_empty() && (host == name || (with_subdomains && is_below(name))),
    }
}

/// An address alone, or a network as `address/bits`.
fn network(item: &str) -> Option<(IpAddr, u8)> {
    let (address, bits) = match item.split_once('/') {
        Some((address, bits)) => (address.parse::<IpAddr>().ok()?, bits.parse().ok()?),
        None => (bare_host(item).parse::<IpAddr>().ok()?, 128),
    };
    let longest = if address.is_ipv4() { 32 } else { 128 };
    let has_bits = item.contains('/');
    match bits {
        bits if bits <= longest => Some((address, bits)),
        _ if !has_bits => Some((address, longest)),
        _ => None,
    }
}

fn contains((network, bits): (IpAddr, u8), address: IpAddr) -> bool {
    let differing = match (network, address) {
        (IpAddr::V4(one), IpAddr::V4(other)) => u128::from(one.to_bits() ^ other.to_bits()) << 96,
        (IpAddr::V6(one), IpAddr::V6(other)) => one.to_bits() ^ other.to_bits(),
        _ => return false,
    };
    differing.leading_zeros() >= u32::from(bits)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Value;

    #[test]
    fn hosts_that_the_list_names_are_reached_without_a_proxy() {
        let cases = [
            ("*", "a.example", 443, false, true),
            ("a.example", "a.example", 443, false, true),
            ("A.Example", "a.example.", 443, false, true),
            ("a.example", "b.a.example", 443, false, false),
            ("a.example", "b.a.example", 443, true, true),
            ("a.example", "ba.example", 443, true, false),
            ("a.example:8443", "a.example", 8443, false, true),
            ("a.example:8443", "a.example", 443, false, false),
            ("a.example:x", "a.example", 443, false, false),
            (".example", "a.example", 443, false, true),
            ("*.example", "b.a.example", 443, false, true),
            (".a.example", "a.example", 443, false, false),
            (".", "a.example", 443, false, false),
            ("", "a.example", 443, true, false),
            ("10.1.2.3", "10.1.2.3", 80, false, true),
            ("10.1.2.3:80", "10.1.2.3", 80, false, true),
            ("10.1.2.3:81", "10.1.2.3", 80, false, false),
            ("10.0.0.0/8", "10.1.2.3", 80, false, true),
            ("10.0.0.0/8", "11.1.2.3", 80, false, false),
            ("0.0.0.0/0", "11.1.2.3", 80, false, true),
            ("10.0.0.0/33", "10.0.0.0", 80, false, false),
            ("10.0.0.0/8", "ten.example", 80, false, false),
            ("fd00::/8", "fd12::1", 443, false, true),
            ("fd00::/8", "10.1.2.3", 443, false, false),
            ("[fd12::1]:443", "fd12::1", 443, false, true),
            ("fd12::1", "fd12::1", 443, false, true),
        ];
        for (item, host, port, with_subdomains, expected) in cases {
            assert_eq!(
                excludes(item, host, port, with_subdomains),
                expected,
                "{item} {host} {port} {with_subdomains}"
            );
        }
    }

    #[test]
    fn the_scheme_chooses_the_proxy() {
        let mut settings = Settings::empty(true);
        let text = |text: &str| Value::Text(text.to_owned());
        settings.set(&keys::PROXY_HTTP, text("http://plain:1"), "x");
        settings.set(&keys::PROXY_HTTPS, text("http://secure:2"), "x");
        let list = vec!["a.example,b.example".to_owned(), "c.example".to_owned()];
        settings.set(&keys::PROXY_NO_PROXY, Value::List(list), "x");
        let cases = [
            ("http://h.example/x", Some("http://plain:1")),
            ("https://h.example", Some("http://secure:2")),
            ("https://b.example", None),
            ("https://c.example:8443", None),
            ("http://localhost:1", None),
            ("http://x.localhost:1", None),
            ("http://127.0.0.9:1", None),
            ("http://[::1]:1", None),
            ("http://[::ffff:127.0.0.1]:1", None),
            ("http://[fd00::1]:1", Some("http://plain:1")),
            ("no url", None),
        ];
        for (url, expected) in cases {
            let transport = Transport::new(&settings, url);
            assert_eq!(transport.proxy.as_deref(), expected, "{url}");
        }
        settings.set(&keys::PROXY_HTTP, text(""), "x");
        assert_eq!(Transport::new(&settings, "http://h.example").proxy, None);
    }
}
