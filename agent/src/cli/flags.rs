//! The table of flags, and the roles that the binary has.
//!
//! A flag is one constant. Which command has which of them is in [`super::commands`].

/// What the binary was called as.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// The commands people type, and the forwarder.
    SecurityAgent,
    /// The probes.
    SystemProbe,
    /// The helper in pods.
    CwsInstrumentation,
}

impl Role {
    /// Every role.
    pub const ALL: [Role; 3] = [
        Role::SecurityAgent,
        Role::SystemProbe,
        Role::CwsInstrumentation,
    ];

    /// The name of the binary in this role.
    pub fn name(self) -> &'static str {
        match self {
            Role::SecurityAgent => "security-agent",
            Role::SystemProbe => "system-probe",
            Role::CwsInstrumentation => "cws-instrumentation",
        }
    }

    /// The role with this name.
    pub fn from_name(name: &str) -> Option<Role> {
        Role::ALL.into_iter().find(|role| role.name() == name)
    }

    /// The flags that every command of the role has.
    pub fn global_flags(self) -> &'static [&'static Flag] {
        match self {
            Role::SystemProbe => PROBE_GLOBALS,
            Role::SecurityAgent => AGENT_GLOBALS,
            Role::CwsInstrumentation => &[],
        }
    }
}

/// A flag, or what a command takes beside its flags.
#[derive(Debug)]
pub struct Flag {
    /// Its name after two dashes; empty for what stands without a flag, such as the files of a
    /// command.
    pub long: &'static str,
    /// Its letter after one dash.
    pub short: Option<char>,
    /// What its value is called in help; empty when it takes none. One that may be left out
    /// begins with `[=`.
    pub value: &'static str,
    /// One sentence; empty for flags that people do not need.
    pub help: &'static str,
}

/// Configuration files of the agent.
pub static CFGPATH: Flag = Flag {
    long: "cfgpath",
    short: Some('c'),
    value: "FILE",
    help: "Configuration file, may be given again (default datadog.yaml and security-agent.yaml in /etc/datadog-agent).",
};
/// The same without the letter, which is [`CONFIG`]'s in system-probe.
static CFGPATH_LONG: Flag = Flag {
    long: "cfgpath",
    short: None,
    value: "FILE",
    help: CFGPATH.help,
};
/// Configuration file of system-probe.
pub static SYSPROBE_CONFIG: Flag = Flag {
    long: "sysprobe-config",
    short: None,
    value: "FILE",
    help: "Configuration file of system-probe (default /etc/datadog-agent/system-probe.yaml).",
};
/// The same, as system-probe calls it.
pub static CONFIG: Flag = Flag {
    long: "config",
    short: Some('c'),
    value: "FILE",
    help: "The same as --sysprobe-config.",
};
/// No colours.
pub static NO_COLOR: Flag = Flag {
    long: "no-color",
    short: Some('n'),
    value: "",
    help: "Print without colours.",
};
/// A pidfile of `start`.
pub static PIDFILE: Flag = Flag {
    long: "pidfile",
    short: Some('p'),
    value: "FILE",
    help: "Also write the process id to this file, and lock it.",
};
/// A pidfile of `system-probe run`.
pub static PID: Flag = Flag {
    long: "pid",
    short: Some('p'),
    value: "FILE",
    help: PIDFILE.help,
};
/// Events as JSON lines.
pub static JSON_LINES: Flag = Flag {
    long: "json",
    short: Some('j'),
    value: "",
    help: "Print events as JSON lines, even on a terminal; logs go to standard error.",
};
/// Events as they come.
pub static FOLLOW: Flag = Flag {
    long: "follow",
    short: Some('f'),
    value: "",
    help: "Go on with the events that come.",
};
/// The events of one rule.
pub static RULE: Flag = Flag {
    long: "rule",
    short: None,
    value: "ID",
    help: "Only events of this rule.",
};
/// Output as JSON.
pub static JSON: Flag = Flag {
    long: "json",
    short: Some('j'),
    value: "",
    help: "Print one JSON object.",
};
/// The directory of policies.
pub static POLICIES_DIR: Flag = Flag {
    long: "policies-dir",
    short: None,
    value: "DIR",
    help: "Directory of policies (default: as configured, /etc/datadog-agent/runtime-security.d).",
};
/// The policies that run.
pub static LOADED_POLICIES: Flag = Flag {
    long: "loaded-policies",
    short: None,
    value: "",
    help: "Ask system-probe for the policies that it runs.",
};
/// An event type.
pub static EVENT: Flag = Flag {
    long: "event",
    short: None,
    value: "TYPE",
    help: "Only what rules about this event type can say.",
};
/// The rule to evaluate.
pub static RULE_ID: Flag = Flag {
    long: "rule-id",
    short: None,
    value: "ID",
    help: "The rule.",
};
/// The event to evaluate it on.
pub static EVENT_FILE: Flag = Flag {
    long: "event-file",
    short: None,
    value: "FILE",
    help: "The event as JSON: {\"Type\": \"open\", \"Values\": {\"open.file.path\": \"/etc/shadow\"}}.",
};
/// The values of all parts of a rule.
pub static DEBUG: Flag = Flag {
    long: "debug",
    short: None,
    value: "",
    help: "Show the value of each part of the rule.",
};
/// Files of tests.
pub static TEST_FILES: Flag = Flag {
    long: "",
    short: None,
    value: "FILE...",
    help: "Test files in YAML.",
};
/// The name of a setting.
pub static SETTING: Flag = Flag {
    long: "",
    short: None,
    value: "SETTING",
    help: "Its dotted name, such as log_level.",
};
/// The name of a setting, and its new value.
pub static SETTING_AND_VALUE: Flag = Flag {
    long: "",
    short: None,
    value: "SETTING VALUE",
    help: "Its dotted name, such as log_level, and the new value.",
};
/// An example file instead of JSON.
pub static EXAMPLE: Flag = Flag {
    long: "example",
    short: None,
    value: "",
    help: "Print an example of the configuration files instead of JSON.",
};
/// Whether interfaces are in a dump.
pub static SNAPSHOT_INTERFACES: Flag = Flag {
    long: "snapshot-interfaces",
    short: None,
    value: "[=true|false]",
    help: "Whether interfaces, qdiscs and filters are in it (default true).",
};
/// The support case of a flare.
pub static CASE_ID: Flag = Flag {
    long: "",
    short: None,
    value: "[CASE_ID]",
    help: "The support case that it belongs to; a new one without.",
};
/// Who asks for support.
pub static EMAIL: Flag = Flag {
    long: "email",
    short: Some('e'),
    value: "ADDRESS",
    help: "Your e-mail address.",
};
/// No question before a flare is sent.
pub static SEND: Flag = Flag {
    long: "send",
    short: Some('s'),
    value: "",
    help: "Upload without asking for confirmation.",
};
/// A flare without the roles.
pub static LOCAL: Flag = Flag {
    long: "local",
    short: Some('l'),
    value: "",
    help: "Make the archive without asking the running agent for anything.",
};
/// Where a flare goes.
pub static OUTPUT: Flag = Flag {
    long: "output",
    short: Some('o'),
    value: "FILE",
    help: "Path of the archive (default: named after the time, in $TMPDIR or /tmp).",
};
/// A flare that is not sent.
pub static NO_UPLOAD: Flag = Flag {
    long: "no-upload",
    short: None,
    value: "",
    help: "Only make the archive.",
};
/// A flare that was made before.
pub static ARCHIVE: Flag = Flag {
    long: "archive",
    short: None,
    value: "FILE",
    help: "Upload this archive, which was made before, instead of making one.",
};
/// What is in a flare.
pub static LIST: Flag = Flag {
    long: "list",
    short: None,
    value: "FILE",
    help: "List what is in an archive.",
};
/// What is rendered.
pub static VALUES: Flag = Flag {
    long: "",
    short: None,
    value: "FILE",
    help: "Values of the chart or a DatadogAgent resource in YAML; - for standard input.",
};
/// The namespace of manifests.
pub static NAMESPACE: Flag = Flag {
    long: "namespace",
    short: None,
    value: "NAMESPACE",
    help: "Namespace of the manifests (default: that of the resource, or default).",
};
/// The image of manifests.
pub static IMAGE: Flag = Flag {
    long: "image",
    short: None,
    value: "IMAGE",
    help: "Image of every container, with its registry and tag or digest.",
};
/// Where a seccomp profile goes.
pub static SECCOMP: Flag = Flag {
    long: "",
    short: None,
    value: "DIR [NAME]",
    help: "Directory of the kubelet's seccomp profiles, and the name of this one (default system-probe).",
};
/// What a MutatingWebhookConfiguration needs, instead of the webhook.
pub static PRINT_CA_BUNDLE: Flag = Flag {
    long: "print-ca-bundle",
    short: None,
    value: "",
    help: "Print the caBundle for the MutatingWebhookConfiguration and end.",
};
/// The pid of the supervisor; roles that it starts get this.
pub static SUPERVISOR: Flag = Flag {
    long: "supervisor",
    short: None,
    value: "PID",
    help: "",
};
/// Where the helper in pods leaves its copy.
pub static VOLUME_MOUNT: Flag = Flag {
    long: "cws-volume-mount",
    short: None,
    value: "DIR",
    help: "Directory of the volume.",
};
/// What kind of session it is.
pub static SESSION_TYPE: Flag = Flag {
    long: "session-type",
    short: None,
    value: "k8s|ssh",
    help: "What kind of session it is.",
};
/// Whose session it is.
pub static DATA: Flag = Flag {
    long: "data",
    short: None,
    value: "JSON",
    help: "The user: {\"username\": …, \"uid\": …, \"groups\": […], \"extra\": {…}}.",
};
/// What inject becomes.
pub static COMMAND: Flag = Flag {
    long: "",
    short: None,
    value: "-- COMMAND...",
    help: "The command to run, with its arguments.",
};

static AGENT_GLOBALS: &[&Flag] = &[&CFGPATH, &SYSPROBE_CONFIG, &NO_COLOR];
static PROBE_GLOBALS: &[&Flag] = &[&CONFIG, &CFGPATH_LONG, &SYSPROBE_CONFIG, &NO_COLOR];
