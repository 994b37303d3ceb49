//! What the parts of system-probe are told at start: from settings to their options.

use std::net::Ipv4Addr;
use std::path::PathBuf;

use log::warn;

use crate::config::{keys, Mode, Settings};
use crate::kernel;
use crate::probe::filters::Options as GateOptions;
use crate::resolve::ranges::PrivateRanges;
use crate::resolve::{self, Resolver};
use crate::sys::directory;

pub(super) fn kernel_options(settings: &Settings) -> kernel::Options {
    let btf = settings.text(&keys::BTF_PATH);
    let size = settings.count(&keys::EVENT_STREAM_BUFFER_SIZE);
    kernel::Options {
        btf_file: (!btf.is_empty()).then(|| PathBuf::from(btf)),
        disabled_hooks: settings.list(&keys::DISABLED_HOOKS).to_vec(),
        buffer_size: usize::try_from(size).unwrap_or(0),
        use_kprobes: settings.flag(&keys::EVENT_STREAM_USE_KPROBE_FALLBACK),
        packets: watches_packets(settings).then(|| metadata_service(settings)),
    }
}

pub(super) fn gate_options(settings: &Settings) -> GateOptions {
    GateOptions {
        filtering: settings.flag(&keys::ENABLE_KERNEL_FILTERS),
        packets: watches_packets(settings),
        names: settings.flag(&keys::DNS_RESOLUTION_ENABLED),
    }
}

/// Whether classifiers are wanted: not when only files are watched.
pub(super) fn watches_packets(settings: &Settings) -> bool {
    settings.flag(&keys::NETWORK_ENABLED) && matches!(settings.mode(), Mode::Full)
}

/// The address of the metadata service of the cloud; one that is no address is that of nobody.
fn metadata_service(settings: &Settings) -> Ipv4Addr {
    let text = settings.text(&keys::IMDS_IPV4);
    text.parse().unwrap_or_else(|_| {
        warn!(
            "runtime_security_config.imds_ipv4 is {text}, which is no IPv4 address; requests to the \
             metadata service are not read"
        );
        Ipv4Addr::UNSPECIFIED
    })
}

pub(super) fn resolver(settings: &Settings, hostname: &str) -> Resolver {
    let size = |key| usize::try_from(settings.count(key)).unwrap_or(usize::MAX);
    let names = settings.flag(&keys::DNS_RESOLUTION_ENABLED);
    Resolver::new(resolve::Options {
        process_cache_size: size(&keys::PID_CACHE_SIZE),
        envs_with_value: settings.list(&keys::ENVS_WITH_VALUE).to_vec(),
        sensitive_words: settings.list(&keys::CUSTOM_SENSITIVE_WORDS).to_vec(),
        hostname: hostname.to_string(),
        hostnames: match names {
            true => size(&keys::DNS_RESOLUTION_CACHE_SIZE),
            false => 0,
        },
        alias_depth: size(&keys::DNS_RESOLUTION_CNAME_MAX_DEPTH),
        private_ranges: private_ranges(settings),
        sessions: size(&keys::USER_SESSIONS_CACHE_SIZE),
    })
}

/// The addresses that are not public; what is no range is told of and left out.
fn private_ranges(settings: &Settings) -> PrivateRanges {
    let (ranges, problems) = PrivateRanges::new(
        settings.list(&keys::NETWORK_PRIVATE_IP_RANGES),
        settings.list(&keys::NETWORK_EXTRA_PRIVATE_IP_RANGES),
    );
    for problem in problems {
        warn!("{problem}");
    }
    ranges
}

/// Takes write access to where sockets and lock files are from others, where nobody else uses it.
pub(super) fn narrow_directories(settings: &Settings) {
    for path in directories(settings) {
        directory::narrow(&path);
    }
}

/// The directories of sockets and lock files.
fn directories(settings: &Settings) -> Vec<PathBuf> {
    let sockets = [settings.event_socket(), settings.command_socket()];
    let parents = sockets.iter().filter_map(|socket| socket.parent());
    let mut directories: Vec<PathBuf> = parents.map(PathBuf::from).collect();
    directories.push(settings.run_path());
    directories.sort();
    directories.dedup();
    directories
}

/// What is wrong with who may write where sockets and lock files are, as sentences; they are
/// logged, too.
pub(super) fn unsafe_directories(settings: &Settings) -> Vec<String> {
    let sentences: Vec<String> = directories(settings)
        .iter()
        .filter_map(|path| directory::weakness(path))
        .collect();
    for sentence in &sentences {
        warn!("{sentence}");
    }
    sentences
}
