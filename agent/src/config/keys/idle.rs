//! Keys that the Datadog agent knows and that have no effect here.
//!
//! Files of existing installations hold them, so they are no mistakes; but someone who asks for a
//! feature that does not exist here must learn it. A dotted name enters, an entry of the table
//! leaves.

use super::{find as find_key, old_name};

/// When a key without effect is worth a warning.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Notice {
    /// Never: nothing is lost.
    Never,
    /// When something named `enabled` is true.
    Enabled,
    /// Whenever it is set to something.
    Set,
}

/// A key, or all the keys of a section, without effect.
#[derive(Debug)]
pub struct Idle {
    /// Its dotted name; `.*` at the end stands for every key below.
    pub name: &'static str,
    /// When it is worth a warning.
    pub notice: Notice,
    /// Why it has no effect, as a sentence.
    pub reason: &'static str,
}

impl Idle {
    /// Whether a dotted name is this key or lies in this section, old names included.
    pub fn covers(&self, name: &str) -> bool {
        let Some(section) = self.name.strip_suffix(".*") else {
            return name == self.name || old_name(self.name).is_some_and(|old| name == old);
        };
        let within = |section: &str| {
            name.strip_prefix(section)
                .is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
        };
        within(section) || old_name(section).is_some_and(|old| within(&old))
    }
}

/// The entry that a dotted name belongs to.
pub fn find(name: &str) -> Option<&'static Idle> {
    if find_key(name).is_some() {
        return None;
    }
    IDLE.iter().find(|idle| idle.covers(name))
}

macro_rules! idle {
    ($($notice:ident $reason:literal: $($name:literal)+;)+) => {
        /// Every entry.
        pub static IDLE: &[Idle] = &[
            $($(Idle { name: $name, notice: Notice::$notice, reason: $reason }),+),+
        ];
    };
}

idle! {
    Enabled "This agent does not have this feature.":
        "runtime_security_config.activity_dump.*"
        "runtime_security_config.security_profile.*"
        "runtime_security_config.sbom.*"
        "runtime_security_config.remote_configuration.*"
        "runtime_security_config.event_sampling.*"
        "runtime_security_config.on_demand.*"
        "runtime_security_config.compliance_module.*"
        "runtime_security_config.ebpfless.*"
        "runtime_security_config.network_monitoring.*"
        "runtime_security_config.internal_monitoring.*"
        "runtime_security_config.file_metadata_resolver.*"
        "runtime_security_config.sysctl.*"
        "runtime_security_config.enforcement.raw_syscall.*"
        "runtime_security_config.policies.monitor.*"
        "runtime_security_config.windows.*"
        "event_monitoring_config.syscalls_monitor.*"
        "event_monitoring_config.span_tracking.*"
        "event_monitoring_config.capabilities_monitoring.*"
        "event_monitoring_config.runtime_compilation.*"
        "event_monitoring_config.network_process.*"
        "event_monitoring_config.network.flow_monitor.sk_storage.*"
        "event_monitoring_config.process.*"
        "compliance_config.*";
    Set "This agent cannot do this.":
        "runtime_security_config.policies.watch_dir"
        "runtime_security_config.hash_resolver.replace"
        "runtime_security_config.container_include"
        "runtime_security_config.container_exclude"
        "runtime_security_config.event_grpc_server"
        "event_monitoring_config.custom_sensitive_regexps"
        "event_monitoring_config.env_vars_resolution.enabled"
        "event_monitoring_config.enable_all_probes";
    Never "The result of every system call is reported.":
        "runtime_security_config.syscalls.*";
    Never "This agent needs no such setting.":
        "runtime_security_config.policies.rule_cache_enabled"
        "runtime_security_config.event_server.*"
        "runtime_security_config.event_retry_queue_threshold"
        "runtime_security_config.direct_send_from_system_probe"
        "runtime_security_config.cookie_cache_size"
        "runtime_security_config.log_patterns"
        "runtime_security_config.log_tags"
        "runtime_security_config.exclude_pause_container"
        "runtime_security_config.reduced_proc_pid_cache_size"
        "runtime_security_config.endpoints.use_http"
        "runtime_security_config.endpoints.use_tcp"
        "runtime_security_config.endpoints.use_v2_api"
        "runtime_security_config.endpoints.compression_kind"
        "runtime_security_config.endpoints.zstd_compression_level"
        "runtime_security_config.endpoints.connection_reset_interval"
        "runtime_security_config.endpoints.batch_max_concurrent_send"
        "runtime_security_config.endpoints.input_chan_size"
        "runtime_security_config.endpoints.sender_recovery_reset"
        "event_monitoring_config.socket"
        "event_monitoring_config.enable_approvers"
        "event_monitoring_config.enable_discarders"
        "event_monitoring_config.basename_approvers_size"
        "event_monitoring_config.flush_discarder_window"
        "event_monitoring_config.dentry_cache_size"
        "event_monitoring_config.erpc_dentry_resolution_enabled"
        "event_monitoring_config.map_dentry_resolution_enabled"
        "event_monitoring_config.events_stats.*"
        "event_monitoring_config.event_stream.use_ring_buffer"
        "event_monitoring_config.event_stream.use_fentry"
        "event_monitoring_config.event_stream.kretprobe_max_active"
        "event_monitoring_config.snapshot_using_listmount";
    Never "This agent opens no TCP ports; it is asked over its command sockets.":
        "security_agent.cmd_port"
        "security_agent.expvar_port";
    Never "This belongs to another part of the Datadog agent.":
        "security_agent.remote_tagger"
        "security_agent.remote_workloadmeta"
        "security_agent.internal_profiling.*"
        "security_agent.disable_thp"
        "security_agent.log_level"
        "system_probe_config.enabled"
        "system_probe_config.external"
        "system_probe_config.sysprobe_socket"
        "system_probe_config.log_level"
        "system_probe_config.debug_port"
        "system_probe_config.health_port"
        "system_probe_config.telemetry_enabled"
        "system_probe_config.dynamic_instrumentation.*"
        "system_probe_config.process_config.*"
        "system_probe_config.language_detection.*"
        "system_probe_config.internal_profiling.*"
        "system_probe_config.disable_thp";
    Never "The probes are inside the binary, and need no compiler and no headers.":
        "system_probe_config.bpf_debug"
        "system_probe_config.bpf_dir"
        "system_probe_config.btf_output_dir"
        "system_probe_config.enable_co_re"
        "system_probe_config.enable_runtime_compiler"
        "system_probe_config.enable_kernel_header_download"
        "system_probe_config.allow_prebuilt_fallback"
        "system_probe_config.allow_precompiled_fallback"
        "system_probe_config.kernel_header_dirs"
        "system_probe_config.runtime_compiler_output_dir"
        "system_probe_config.attach_kprobes_with_kprobe_events_abi";
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::keys;

    #[test]
    fn no_key_with_effect_is_covered() {
        for key in keys::ALL {
            let present = find(key.name);
            assert!(present.is_none(), "{present:?}");
        }
        for idle in IDLE {
            assert!(idle.reason.ends_with('.'), "{}", idle.name);
            let same = IDLE.iter().filter(|other| other.name == idle.name);
            assert_eq!(same.count(), 1, "{}", idle.name);
        }
    }

    #[test]
    fn sections_cover_what_is_below_them_under_both_names() {
        let cases = [
            ("runtime_security_config.sbom.host.enabled", true),
            ("runtime_security_config.sbom", true),
            ("runtime_security_config.sbomb", false),
            ("event_monitoring_config.span_tracking.enabled", true),
            ("runtime_security_config.span_tracking.enabled", true),
            ("event_monitoring_config.sbom.enabled", false),
            ("security_agent.cmd_port", true),
            ("security_agent.cmd_port.x", false),
        ];
        for (name, expected) in cases {
            assert_eq!(find(name).is_some(), expected, "{name}");
        }
    }
}
