//! The table of keys, grouped by what they are about.
//!
//! One line is one key: what its value is, its name, its default as it would be written in the
//! environment, its usual file and a sentence. Nothing is decided here.

use super::{Home, Key};
use crate::config::value::Kind;

/// Keys of what this release does not do yet are marked as `planned`.
macro_rules! effect {
    () => {
        true
    };
    (planned) => {
        false
    };
}

macro_rules! keys {
    ($($(#[env($($variable:literal),+)])? $(#[fallback($($fallback:literal),+)])? $ident:ident: $kind:ident = $name:literal, $default:literal, $home:ident, $help:literal $(, $planned:ident)?;)+) => {
        $(
            #[doc = concat!("`", $name, "`: ", $help)]
            pub static $ident: Key = Key {
                name: $name,
                kind: Kind::$kind,
                default: $default,
                home: Home::$home,
                variables: &[$($($variable),+)?],
                fallbacks: &[$($($fallback),+)?],
                help: $help,
                has_effect: effect!($($planned)?),
            };
        )+

        /// Every key, in the order of documentation.
        pub static ALL: &[&Key] = &[$(&$ident),+];
    };
}

keys! {
    API_KEY: Text = "api_key", "", Agent, "Key of the account that events are sent to; without one nothing is sent to the intake.";
    APP_KEY: Text = "app_key", "", Agent, "Key of an application of the account; policies are downloaded with it.", planned;
    SITE: Text = "site", "datadoghq.com", Agent, "Site of the intake that events are sent to.";
    #[env("DD_URL")]
    DD_URL: Text = "dd_url", "", Agent, "URL that flares are sent to instead of the one that follows from the site.";
    FLARE_UPLOAD_TIMEOUT: Duration = "flare.upload_timeout", "60s", Agent, "How long nothing may move while a flare is sent and while its answer is awaited.";
    HOSTNAME: Text = "hostname", "", Agent, "Name of this host in events; the system's own name when empty.";
    TAGS: List = "tags", "", Agent, "Tags of this host that go with every event.";
    EXTRA_TAGS: List = "extra_tags", "", Agent, "More tags of this host.";
    ENV: Text = "env", "", Agent, "Environment that this host belongs to; becomes the tag env.";
    RUN_PATH: Text = "run_path", "/opt/datadog-agent/run", Agent, "Directory of sockets, lock files and the spool.";
    SECRET_BACKEND_COMMAND: Text = "secret_backend_command", "", Agent, "Program that turns ENC[handle] in other values into secrets; nobody but root or the agent's user may be able to change it.";
    SECRET_BACKEND_ARGUMENTS: List = "secret_backend_arguments", "", Agent, "Arguments of that program.";
    SECRET_BACKEND_TIMEOUT: Duration = "secret_backend_timeout", "30s", Agent, "How long that program may take.";
    SECRET_BACKEND_OUTPUT_MAX_SIZE: Size = "secret_backend_output_max_size", "1048576", Agent, "Bytes that that program may print.";

    SCRUBBER_ADDITIONAL_KEYS: List = "scrubber.additional_keys", "", Agent, "More names whose values are hidden in logs and flares.";
    SCRUBBER_ADDITIONAL_PATTERNS: List = "scrubber.additional_patterns", "", Agent, "Regular expressions of what is hidden in logs and flares besides.";
    FLARE_STRIPPED_KEYS: List = "flare_stripped_keys", "", Agent, "The older name of scrubber.additional_keys; the names of both count.";

    LOG_LEVEL: Text = "log_level", "info", Agent, "Lowest level that is logged: trace, debug, info, warn, error or off.";
    LOG_TO_CONSOLE: Flag = "log_to_console", "true", Agent, "Whether messages go to standard error.";
    LOG_FILE_MAX_SIZE: Size = "log_file_max_size", "10Mb", Agent, "Size at which a log file is rotated.";
    LOG_FILE_MAX_ROLLS: Count = "log_file_max_rolls", "1", Agent, "Old log files that are kept.";
    DISABLE_FILE_LOGGING: Flag = "disable_file_logging", "false", Agent, "Whether no log files are written.";
    LOG_FORMAT_JSON: Flag = "log_format_json", "false", Agent, "Whether messages are written as JSON.";
    LOG_TO_SYSLOG: Flag = "log_to_syslog", "false", Agent, "Whether messages go to syslog, too.";
    SYSLOG_URI: Text = "syslog_uri", "", Agent, "Where syslog listens: unixgram:///path, udp://host:port; /dev/log when empty.";
    SYSLOG_RFC: Flag = "syslog_rfc", "false", Agent, "Whether syslog messages have the header of RFC 5424.";
    SECURITY_AGENT_LOG_FILE: Text = "security_agent.log_file", "/var/log/datadog/security-agent.log", SecurityAgent, "Log file of security-agent; written when its directory exists.";
    SYSTEM_PROBE_LOG_FILE: Text = "system_probe_config.log_file", "/var/log/datadog/system-probe.log", SystemProbe, "Log file of system-probe; written when its directory exists.";

    #[fallback("HTTP_PROXY", "http_proxy")]
    PROXY_HTTP: Text = "proxy.http", "", Agent, "Proxy for http URLs.";
    #[fallback("HTTPS_PROXY", "https_proxy")]
    PROXY_HTTPS: Text = "proxy.https", "", Agent, "Proxy for https URLs.";
    #[fallback("NO_PROXY", "no_proxy")]
    PROXY_NO_PROXY: List = "proxy.no_proxy", "", Agent, "Hosts that are reached without a proxy.";
    NO_PROXY_NONEXACT_MATCH: Flag = "no_proxy_nonexact_match", "false", Agent, "Whether a name in proxy.no_proxy stands for the hosts below it, too.";
    SKIP_SSL_VALIDATION: Flag = "skip_ssl_validation", "false", Agent, "Whether the certificates of servers are not checked.";
    TLS_CA_FILE: Text = "tls_ca_file", "", Agent, "PEM file with certificates of authorities to trust besides those of the system.";

    ENDPOINTS_LOGS_DD_URL: Text = "runtime_security_config.endpoints.logs_dd_url", "", SecurityAgent, "Intake instead of the one that follows from the site: host:port or an http or https URL.";
    ENDPOINTS_DD_URL: Text = "runtime_security_config.endpoints.dd_url", "", SecurityAgent, "The same; logs_dd_url wins.";
    ENDPOINTS_LOGS_NO_SSL: Flag = "runtime_security_config.endpoints.logs_no_ssl", "false", SecurityAgent, "Whether an intake given as host:port is spoken to in plain HTTP.";
    ENDPOINTS_USE_COMPRESSION: Flag = "runtime_security_config.endpoints.use_compression", "true", SecurityAgent, "Whether batches are compressed with gzip.";
    ENDPOINTS_COMPRESSION_LEVEL: Count = "runtime_security_config.endpoints.compression_level", "6", SecurityAgent, "Level of gzip, from 1 to 9.";
    ENDPOINTS_BATCH_WAIT: Duration = "runtime_security_config.endpoints.batch_wait", "5s", SecurityAgent, "How long an event may wait for others before its batch is sent.";
    ENDPOINTS_BATCH_MAX_SIZE: Count = "runtime_security_config.endpoints.batch_max_size", "1000", SecurityAgent, "Events of a batch at most.";
    ENDPOINTS_BATCH_MAX_CONTENT_SIZE: Count = "runtime_security_config.endpoints.batch_max_content_size", "5000000", SecurityAgent, "Bytes of a batch at most, before compression.";
    ENDPOINTS_SENDER_BACKOFF_FACTOR: Count = "runtime_security_config.endpoints.sender_backoff_factor", "2", SecurityAgent, "By how much the pause grows with each failure.";
    ENDPOINTS_SENDER_BACKOFF_BASE: Duration = "runtime_security_config.endpoints.sender_backoff_base", "1s", SecurityAgent, "Pause after a first failure.";
    ENDPOINTS_SENDER_BACKOFF_MAX: Duration = "runtime_security_config.endpoints.sender_backoff_max", "120s", SecurityAgent, "Longest pause after failures.";
    ENDPOINTS_SENDER_RECOVERY_INTERVAL: Count = "runtime_security_config.endpoints.sender_recovery_interval", "2", SecurityAgent, "Failures that a success makes forgotten.";
    ENDPOINTS_CONNECT_TIMEOUT: Duration = "runtime_security_config.endpoints.connect_timeout", "10s", SecurityAgent, "How long connecting to an intake may take.";
    ENDPOINTS_READ_TIMEOUT: Duration = "runtime_security_config.endpoints.read_timeout", "20s", SecurityAgent, "How long the answer of an intake may take.";
    ENDPOINTS_TIMEOUT: Duration = "runtime_security_config.endpoints.timeout", "60s", SecurityAgent, "How long sending a batch may take in all.";
    ENDPOINTS_ADDITIONAL: Json = "runtime_security_config.endpoints.additional_endpoints", "[]", SecurityAgent, "More intakes: a list of objects with api_key, Host, Port and use_ssl.";
    USE_SECRUNTIME_TRACK: Flag = "runtime_security_config.use_secruntime_track", "true", SecurityAgent, "Whether events go to the track secruntime, and not to logs.";
    ENV_AS_TAGS: List = "runtime_security_config.env_as_tags", "", SystemProbe, "Environment variables of a process that become tags of its events.", planned;
    SPOOL_ENABLED: Flag = "runtime_security_config.spool.enabled", "true", SecurityAgent, "Whether events that wait for an intake are kept on disk; in memory only when false.";
    SPOOL_MAX_SIZE: Size = "runtime_security_config.spool.max_size", "64Mb", SecurityAgent, "Size of the events on disk at most; the oldest are dropped first.";
    SPOOL_MAX_AGE: Duration = "runtime_security_config.spool.max_age", "24h", SecurityAgent, "How long an event is kept for an intake that does not take it.";
    OUTPUTS_FILE_ENABLED: Flag = "runtime_security_config.outputs.file.enabled", "false", SecurityAgent, "Whether events are written to a file, a line of JSON each.";
    OUTPUTS_FILE_PATH: Text = "runtime_security_config.outputs.file.path", "/var/log/datadog/runtime-security-events.json", SecurityAgent, "That file.";
    OUTPUTS_FILE_MAX_SIZE: Size = "runtime_security_config.outputs.file.max_size", "10Mb", SecurityAgent, "Size at which it is rotated.";
    OUTPUTS_FILE_MAX_FILES: Count = "runtime_security_config.outputs.file.max_files", "5", SecurityAgent, "Rotated files that are kept.";
    OUTPUTS_STDOUT_ENABLED: Flag = "runtime_security_config.outputs.stdout.enabled", "true", SecurityAgent, "Whether events are printed on standard output.";
    OUTPUTS_HTTP_ENABLED: Flag = "runtime_security_config.outputs.http.enabled", "true", SecurityAgent, "Whether events are sent to outputs.http.url, when there is one.";
    OUTPUTS_HTTP_URL: Text = "runtime_security_config.outputs.http.url", "", SecurityAgent, "URL of a collector that events are posted to.";
    OUTPUTS_HTTP_FORMAT: Text = "runtime_security_config.outputs.http.format", "native", SecurityAgent, "Shape of what is posted: native (events as lines of JSON) or falco (one object a request, as Falco's http_output sends it).";
    OUTPUTS_HTTP_HEADERS: Json = "runtime_security_config.outputs.http.headers", "{}", SecurityAgent, "Headers of those requests, names with values.";
    COMPLIANCE_DIR: Text = "compliance_config.dir", "/etc/datadog-agent/compliance.d", SecurityAgent, "Directory of rules of compliance; this agent has none itself, but puts them into flares.";
    METRICS_SOCKET: Text = "runtime_security_config.metrics.socket", "", SecurityAgent, "Unix socket on which metrics can be read in the format of Prometheus; none when empty.";
    METRICS_PORT: Count = "runtime_security_config.metrics.port", "0", SecurityAgent, "Port of 127.0.0.1 on which metrics can be read in the format of Prometheus; none when 0.";

    ENABLED: Flag = "runtime_security_config.enabled", "false", SystemProbe, "Whether Workload Protection runs; one false in any file or in the environment wins.";
    FIM_ENABLED: Flag = "runtime_security_config.fim_enabled", "false", SystemProbe, "Whether file events are watched when Workload Protection itself is not enabled.";
    SOCKET: Text = "runtime_security_config.socket", "", SystemProbe, "Socket of events; runtime-security.sock under run_path when empty.";
    CMD_SOCKET: Text = "runtime_security_config.cmd_socket", "", SystemProbe, "Socket of commands; beside the socket of events, its name prefixed with cmd-, when empty.";
    POLICIES_DIR: Text = "runtime_security_config.policies.dir", "/etc/datadog-agent/runtime-security.d", SystemProbe, "Directory of policy files.";
    POLICIES_DEFAULT_ENABLED: Flag = "runtime_security_config.policies.default_enabled", "true", SystemProbe, "Whether the built-in policy is loaded; a default.policy in the directory takes its place.";
    SELF_TEST_ENABLED: Flag = "runtime_security_config.self_test.enabled", "true", SystemProbe, "Whether self-tests run, at start and on request.";
    SELF_TEST_SEND_REPORT: Flag = "runtime_security_config.self_test.send_report", "true", SystemProbe, "Whether the result of a self-test is reported as an event.";
    ENFORCEMENT_ENABLED: Flag = "runtime_security_config.enforcement.enabled", "true", SystemProbe, "Whether rules may act, not only report.";
    ENFORCEMENT_SOURCES: List = "runtime_security_config.enforcement.rule_source_allowed", "file remote-config", SystemProbe, "Sources of policies whose rules may kill.";
    ENFORCEMENT_EXCLUDE_BINARIES: List = "runtime_security_config.enforcement.exclude_binaries", "", SystemProbe, "Paths of programs whose processes are never killed.";
    ENFORCEMENT_ONLY_CGROUP: Text = "runtime_security_config.enforcement.only_cgroup", "", SystemProbe, "Path of the cgroup outside of which nothing is killed; no limit when empty.";
    DISARMER_CONTAINER_ENABLED: Flag = "runtime_security_config.enforcement.disarmer.container.enabled", "true", SystemProbe, "Whether a rule stops killing when it hits many containers.";
    DISARMER_CONTAINER_MAX: Count = "runtime_security_config.enforcement.disarmer.container.max_allowed", "5", SystemProbe, "Containers that a rule may hit in one period.";
    DISARMER_CONTAINER_PERIOD: Duration = "runtime_security_config.enforcement.disarmer.container.period", "1m", SystemProbe, "Period in which the hit containers are counted.";
    DISARMER_EXECUTABLE_ENABLED: Flag = "runtime_security_config.enforcement.disarmer.executable.enabled", "true", SystemProbe, "Whether a rule stops killing when it hits many programs.";
    DISARMER_EXECUTABLE_MAX: Count = "runtime_security_config.enforcement.disarmer.executable.max_allowed", "5", SystemProbe, "Programs that a rule may hit in one period.";
    DISARMER_EXECUTABLE_PERIOD: Duration = "runtime_security_config.enforcement.disarmer.executable.period", "1m", SystemProbe, "Period in which the hit programs are counted.";
    HASH_ENABLED: Flag = "runtime_security_config.hash_resolver.enabled", "true", SystemProbe, "Whether files are hashed for rules that ask for it.";
    HASH_EVENT_TYPES: List = "runtime_security_config.hash_resolver.event_types", "exec open", SystemProbe, "Event types whose files are hashed.";
    HASH_MAX_FILE_SIZE: Count = "runtime_security_config.hash_resolver.max_file_size", "5242880", SystemProbe, "Bytes of the largest file that is hashed.";
    HASH_MAX_RATE: Count = "runtime_security_config.hash_resolver.max_hash_rate", "500", SystemProbe, "Files that are hashed in a second.";
    HASH_ALGORITHMS: List = "runtime_security_config.hash_resolver.hash_algorithms", "sha1 sha256", SystemProbe, "Hashes that are computed: md5, sha1, sha256; ssdeep is not supported.";
    HASH_CACHE_SIZE: Count = "runtime_security_config.hash_resolver.cache_size", "500", SystemProbe, "Files whose hashes are remembered.";
    USER_SESSIONS_CACHE_SIZE: Count = "runtime_security_config.user_sessions.cache_size", "1024", SystemProbe, "Sessions of users that are remembered.";
    USER_SESSIONS_SSH_ENABLED: Flag = "runtime_security_config.user_sessions.ssh.enabled", "true", SystemProbe, "Whether sessions of SSH are recognised.", planned;
    IMDS_IPV4: Text = "runtime_security_config.imds_ipv4", "169.254.169.254", SystemProbe, "Address of the metadata service of the cloud; requests to it are read.";
    INTERFACES_INCLUDE: List = "runtime_security_config.network.interfaces.include", "", SystemProbe, "Names of the network interfaces that may be touched, or patterns with *, ?, [a-z] and [!a-z]; all of them when empty, none when they match none.";
    INTERFACES_EXCLUDE: List = "runtime_security_config.network.interfaces.exclude", "", SystemProbe, "Names of network interfaces that are not touched, or patterns with *, ?, [a-z] and [!a-z]; it does not count where include names some.";
    #[env("DD_SYSTEM_PROBE_BTF_PATH")]
    BTF_PATH: Text = "system_probe_config.btf_path", "", SystemProbe, "File with the types of this kernel, where the kernel does not offer them itself.";

    NETWORK_ENABLED: Flag = "event_monitoring_config.network.enabled", "true", SystemProbe, "Whether packets are watched, which takes classifiers on network interfaces.";
    NETWORK_INGRESS_ENABLED: Flag = "event_monitoring_config.network.ingress.enabled", "true", SystemProbe, "Whether incoming packets are watched, too.";
    NETWORK_RAW_PACKET_ENABLED: Flag = "event_monitoring_config.network.raw_packet.enabled", "true", SystemProbe, "Whether rules can be about raw packets.";
    NETWORK_RAW_PACKET_LIMITER_RATE: Count = "event_monitoring_config.network.raw_packet.limiter_rate", "10", SystemProbe, "Raw packets that are reported in a second.";
    NETWORK_RAW_PACKET_FILTER: Text = "event_monitoring_config.network.raw_packet.filter", "no_pid_tcp_syn", SystemProbe, "Which raw packets without a process are reported.";
    NETWORK_CLASSIFIER_PRIORITY: Count = "event_monitoring_config.network.classifier_priority", "10", SystemProbe, "Priority of the classifiers on network interfaces; it must be strictly below that of a network plug-in which stops the chain.";
    NETWORK_CLASSIFIER_HANDLE: Count = "event_monitoring_config.network.classifier_handle", "0", SystemProbe, "Handle of the classifiers; one of the run's own when 0.";
    NETWORK_RAW_CLASSIFIER_HANDLE: Count = "event_monitoring_config.network.raw_classifier_handle", "0", SystemProbe, "Set together with classifier_handle, or neither of them; this agent has one classifier for all packets, and gives it the other one.";
    NETWORK_LAZY_INTERFACE_PREFIXES: List = "event_monitoring_config.network.lazy_interface_prefixes", "", SystemProbe, "Beginnings of names of interfaces that do not keep a network namespace alive, besides lo and dummy.";
    NETWORK_PRIVATE_IP_RANGES: List = "event_monitoring_config.network.private_ip_ranges", "10.0.0.0/8 172.16.0.0/12 192.168.0.0/16 0.0.0.0/8 127.0.0.0/8 169.254.0.0/16 192.0.0.0/24 192.0.2.0/24 198.18.0.0/15 198.51.100.0/24 203.0.113.0/24 224.0.0.0/4 240.0.0.0/4 100.64.0.0/10 fc00::/7 ::1/128", SystemProbe, "Addresses that are not public.";
    NETWORK_EXTRA_PRIVATE_IP_RANGES: List = "event_monitoring_config.network.extra_private_ip_ranges", "", SystemProbe, "More addresses that are not public.";
    NETWORK_FLOW_MONITOR_ENABLED: Flag = "event_monitoring_config.network.flow_monitor.enabled", "false", SystemProbe, "Whether the flows of processes are counted.", planned;
    NETWORK_FLOW_MONITOR_PERIOD: Duration = "event_monitoring_config.network.flow_monitor.period", "10s", SystemProbe, "How often those counts are reported.", planned;
    DNS_RESOLUTION_ENABLED: Flag = "event_monitoring_config.dns_resolution.enabled", "true", SystemProbe, "Whether addresses are named after the answers of name servers that were seen.";
    DNS_RESOLUTION_CACHE_SIZE: Count = "event_monitoring_config.dns_resolution.cache_size", "1024", SystemProbe, "Addresses whose names are remembered.";
    DNS_RESOLUTION_CNAME_MAX_DEPTH: Count = "event_monitoring_config.dns_resolution.cname_max_depth", "2", SystemProbe, "Aliases of a name that are followed.";
    ENABLE_KERNEL_FILTERS: Flag = "event_monitoring_config.enable_kernel_filters", "true", SystemProbe, "Whether the kernel drops events that no rule can match.";
    PID_CACHE_SIZE: Count = "event_monitoring_config.pid_cache_size", "10000", SystemProbe, "Processes that are kept in memory at most.";
    ENVS_WITH_VALUE: List = "event_monitoring_config.envs_with_value", "LD_PRELOAD LD_LIBRARY_PATH PATH HISTSIZE HISTFILESIZE GLIBC_TUNABLES SSH_CLIENT DD_SERVICE OTEL_SERVICE_NAME CLAUDECODE RUNNER_TRACKING_ID", SystemProbe, "Environment variables of processes that are reported with their value; of others only the name is.";
    CUSTOM_SENSITIVE_WORDS: List = "event_monitoring_config.custom_sensitive_words", "", SystemProbe, "Words that mark an argument of a process as secret, besides the usual ones.";
    EVENT_STREAM_BUFFER_SIZE: Count = "event_monitoring_config.event_stream.buffer_size", "0", SystemProbe, "Bytes of each buffer between kernel and agent; computed from memory and processors when 0.";
    EVENT_STREAM_USE_KPROBE_FALLBACK: Flag = "event_monitoring_config.event_stream.use_kprobe_fallback", "true", SystemProbe, "Whether kprobes may be used where the kernel has them.";
    DISABLED_HOOKS: List = "event_monitoring_config.disabled_hooks", "", SystemProbe, "Kernel functions and tracepoints that must not be hooked.";

    #[env("DD_RUNTIME_ADMISSION_CONTROLLER_CWS_INSTRUMENTATION_ENABLED")]
    ADMISSION_ENABLED: Flag = "admission_controller.cws_instrumentation.enabled", "false", Agent, "Whether the webhook instruments pods and the commands that users run in them; every review is allowed unmodified when false.";
    ADMISSION_PORT: Count = "admission_controller.port", "8000", Agent, "Port that the webhook listens on, on all addresses.";
    ADMISSION_SERVICE_NAME: Text = "admission_controller.service_name", "datadog-admission-controller", Agent, "Name of the service that API servers reach the webhook by; its own certificate is for that.";
    ADMISSION_CERTIFICATE_DIRECTORY: Text = "admission_controller.certificate.directory", "", Agent, "Directory of tls.crt and tls.key of the webhook, and of ca.crt if an authority vouches for them; a certificate of its own is kept below run_path when empty.";
    ADMISSION_POD_ENDPOINT: Text = "admission_controller.cws_instrumentation.pod_endpoint", "/inject-pod-cws", Agent, "Path of the webhook for pods.";
    ADMISSION_COMMAND_ENDPOINT: Text = "admission_controller.cws_instrumentation.command_endpoint", "/inject-command-cws", Agent, "Path of the webhook for commands.";
    ADMISSION_INCLUDE: List = "admission_controller.cws_instrumentation.include", "", Agent, "Exceptions from exclude, written in the same way.";
    ADMISSION_EXCLUDE: List = "admission_controller.cws_instrumentation.exclude", "", Agent, "Namespaces, or pods as NAMESPACE/POD, that are left alone, where * stands for any characters; kube_namespace:EXPRESSION is understood for simple expressions.";
    ADMISSION_MUTATE_UNLABELLED: Flag = "admission_controller.cws_instrumentation.mutate_unlabelled", "false", Agent, "Whether pods without the label admission.datadoghq.com/cws-instrumentation.enabled are instrumented, too.";
    ADMISSION_CONTAINER_REGISTRY: Text = "admission_controller.cws_instrumentation.container_registry", "", Agent, "Registry of the init container's image.";
    ADMISSION_IMAGE_NAME: Text = "admission_controller.cws_instrumentation.image_name", "cws-instrumentation", Agent, "Name of the init container's image; nothing is instrumented when empty.";
    ADMISSION_IMAGE_TAG: Text = "admission_controller.cws_instrumentation.image_tag", "latest", Agent, "Tag or digest of the init container's image.";
    ADMISSION_INIT_RESOURCES_CPU: Text = "admission_controller.cws_instrumentation.init_resources.cpu", "", Agent, "Processor time that the init container requests and may use, such as 50m.";
    ADMISSION_INIT_RESOURCES_MEMORY: Text = "admission_controller.cws_instrumentation.init_resources.memory", "", Agent, "Memory that the init container requests and may use, such as 64Mi.";
    ADMISSION_MODE: Text = "admission_controller.cws_instrumentation.mode", "remote_copy", Agent, "How the helper gets into a pod: remote_copy when a command is run, init_container when the pod is made.";
    ADMISSION_REMOTE_COPY_MOUNT_VOLUME: Flag = "admission_controller.cws_instrumentation.remote_copy.mount_volume", "false", Agent, "Whether pods get a volume that the helper is copied to.";
    ADMISSION_REMOTE_COPY_DIRECTORY: Text = "admission_controller.cws_instrumentation.remote_copy.directory", "/tmp", Agent, "Directory in the container, or in that volume, that the helper is copied to.";
    ADMISSION_TIMEOUT: Duration = "admission_controller.cws_instrumentation.timeout", "2s", Agent, "How long an API server waits for the webhook; a review is answered before that.";
    CLUSTER_AGENT_SERVICE_ACCOUNT_NAME: Text = "cluster_agent.service_account_name", "", Agent, "Service account of the webhook's pod; remote_copy needs it, to leave its own copies alone.";
    #[fallback("POD_NAMESPACE")]
    KUBE_RESOURCES_NAMESPACE: Text = "kube_resources_namespace", "", Agent, "Namespace of the webhook's pod; that of its service account when empty.";
}
