//! Where system-probe's rules come from: the directory, the embedded policy, the self-test.

use std::path::PathBuf;

use log::warn;

use super::self_test::SelfTest;
use crate::config::{keys, Mode, Settings};
use crate::event::types::{EventType, OBSERVED};
use crate::event::Fields;
use crate::policy::{self, RuleSet};

/// The category of the event types that are left when only files are watched.
const FILES: &str = "File Activity";

/// The event types that take classifiers on network interfaces.
const PACKETS: [&str; 5] = [
    "dns",
    "failed_dns",
    "imds",
    "packet",
    "network_flow_monitor",
];

/// Where the rules come from.
pub(super) struct Policies {
    directory: PathBuf,
    default_enabled: bool,
    options: policy::Options,
}

impl Policies {
    /// The directory and the switches of these settings.
    pub(super) fn new(settings: &Settings) -> Policies {
        Policies {
            directory: settings.policies_dir(),
            default_enabled: settings.flag(&keys::POLICIES_DEFAULT_ENABLED),
            options: policy::Options {
                host: policy::Host::read(),
                events: event_types(&settings.mode(), &without(settings)),
                enforcement_disabled: !settings.flag(&keys::ENFORCEMENT_ENABLED),
                enforcement_sources: settings.list(&keys::ENFORCEMENT_SOURCES).to_vec(),
            },
        }
    }

    /// Reads and compiles everything; what is wrong is logged and stays in the report.
    pub(super) fn load(&self, self_test: Option<&SelfTest>) -> RuleSet {
        let (mut sources, unread) = policy::read_directory(&self.directory, self.default_enabled);
        sources.extend(self_test.map(SelfTest::policy));
        let mut rules = RuleSet::load(&sources, &self.options, &Fields);
        rules.add_unread(&unread);
        for problem in rules.report().problems() {
            warn!("{problem}");
        }
        for warning in rules
            .report()
            .policies
            .iter()
            .flat_map(|policy| &policy.warnings)
        {
            warn!("{warning}");
        }
        rules
    }
}

/// The event types that the configuration switches off by themselves.
fn without(settings: &Settings) -> Vec<&'static str> {
    match settings.flag(&keys::NETWORK_ENABLED) {
        false => PACKETS.to_vec(),
        true if settings.flag(&keys::NETWORK_RAW_PACKET_ENABLED) => Vec::new(),
        true => vec!["packet"],
    }
}

/// The observed event types that rules can be about in this mode, without some.
fn event_types(mode: &Mode, without: &[&str]) -> Vec<&'static str> {
    let is_wanted = |name: &&str| match mode {
        Mode::FilesOnly => EventType::from_name(name).is_some_and(|kind| kind.category() == FILES),
        Mode::Off(_) | Mode::Full => !without.contains(name),
    };
    OBSERVED.iter().copied().filter(is_wanted).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_only_means_no_process_events() {
        let files = event_types(&Mode::FilesOnly, &[]);
        assert_eq!(files, ["open", "chmod", "chown"]);
        assert_eq!(event_types(&Mode::Full, &[]), OBSERVED);
    }

    #[test]
    fn without_network_no_rule_is_about_packets() {
        let types = event_types(&Mode::Full, &PACKETS);
        assert!(types.contains(&"exec") && !types.iter().any(|name| PACKETS.contains(name)));
    }
}
