//! Which addresses are public: those outside of the configured private ranges.
//!
//! Two lists of networks enter, as they are configured; what is no network comes back as a
//! sentence and is left out.

use std::net::IpAddr;

use crate::config::keys;
use crate::secl::IpNet;

/// The ranges of addresses that are not public.
#[derive(Clone, Debug, Default)]
pub struct PrivateRanges {
    ranges: Vec<IpNet>,
}

impl PrivateRanges {
    /// The ranges of `event_monitoring_config.network.private_ip_ranges` and
    /// `….extra_private_ip_ranges`, and a sentence for each entry that is no network.
    pub fn new(list: &[String], extra: &[String]) -> (PrivateRanges, Vec<String>) {
        let mut found = PrivateRanges::default();
        let mut problems = Vec::new();
        for (key, entries) in [
            (&keys::NETWORK_PRIVATE_IP_RANGES, list),
            (&keys::NETWORK_EXTRA_PRIVATE_IP_RANGES, extra),
        ] {
            for entry in entries {
                match entry.trim().parse() {
                    Ok(range) => found.ranges.push(range),
                    Err(error) => problems.push(format!("{}: {error}", key.name)),
                }
            }
        }
        (found, problems)
    }

    /// Whether the address is in none of the ranges. An IPv4 address written as IPv6
    /// (`::ffff:10.0.0.1`) counts as IPv4.
    pub fn is_public(&self, address: IpAddr) -> bool {
        let address = IpNet::single(address);
        !self.ranges.iter().any(|range| range.contains(&address))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Settings;

    fn texts(list: &[&str]) -> Vec<String> {
        list.iter().map(|text| (*text).to_owned()).collect()
    }

    #[test]
    fn addresses_outside_of_the_default_ranges_are_public() {
        let settings = Settings::empty(false);
        let defaults = settings.list(&keys::NETWORK_PRIVATE_IP_RANGES);
        let (ranges, problems) = PrivateRanges::new(defaults, &[]);
        assert_eq!(problems, [""; 0]);
        for (address, expected) in [
            ("8.8.8.8", true),
            ("10.255.0.1", false),
            ("172.15.0.1", true),
            ("172.31.0.1", false),
            ("169.254.169.254", false),
            ("::ffff:127.0.0.1", false),
            ("::ffff:1.1.1.1", true),
            ("::1", false),
            ("fd00::1", false),
            ("2606:4700::1", true),
        ] {
            assert_eq!(
                ranges.is_public(address.parse().unwrap()),
                expected,
                "{address}"
            );
        }
    }

    #[test]
    fn more_ranges_count_and_what_is_none_is_told() {
        let list = texts(&["10.0.0.0/8", "10.0.0/8"]);
        let extra = texts(&[" 8.8.8.8", "2001:db8::/32", "1.1.1.1/33"]);
        let (ranges, problems) = PrivateRanges::new(&list, &extra);
        let expected = [
            "event_monitoring_config.network.private_ip_ranges: `10.0.0/8` is neither an IP \
             address nor a network such as 10.0.0.0/8",
            "event_monitoring_config.network.extra_private_ip_ranges: `1.1.1.1/33` is neither an \
             IP address nor a network such as 10.0.0.0/8",
        ];
        assert_eq!(problems, expected);
        for (address, expected) in [
            ("10.0.0.1", false),
            ("8.8.8.8", false),
            ("8.8.4.4", true),
            ("2001:db8::5", false),
            ("1.1.1.1", true),
        ] {
            assert_eq!(
                ranges.is_public(address.parse().unwrap()),
                expected,
                "{address}"
            );
        }
    }
}
