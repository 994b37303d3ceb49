//! Deployment: what the chart makes of values, by Helm's own library and by `kube render`.
//!
//! A case is a file, and what it changes: both renderings are equal, both are valid for an old and a
//! new Kubernetes, and they differ from those of other values in exactly the places that are named.
//! Python does the rendering (`tests/fixtures/render_chart.py`), for all cases at once.

use std::fs;
use std::io::Write;
use std::process::{Command, Stdio};

use serde_json::{json, Map, Value};

use crate::finished::finish;
use crate::report::{ensure, Failure, Outcome, Report};
use crate::scratch::{self, patience};

const CHART: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../scripts/chart");
const SCRIPT: &str = include_str!("../fixtures/render_chart.py");

const NETWORK_OFF: &str = include_str!("../fixtures/guide/network_off.yaml");
const SESSIONS_OFF: &str = include_str!("../fixtures/guide/sessions_off.yaml");
const EVERYTHING_OFF: &str = include_str!("../fixtures/guide/everything_off.yaml");
const RESOURCE_OFF: &str = include_str!("../fixtures/guide/sessions_off_resource.yaml");

const ON: &str = "datadog: {securityAgent: {runtime: {enabled: true}}}\n";
const SESSIONS_ON: &str =
    "clusterAgent: {admissionController: {cwsInstrumentation: {enabled: true}}}\n";
const INIT_CONTAINER: &str =
    "clusterAgent: {admissionController: {cwsInstrumentation: {enabled: true, mode: init_container}}}\n";
const RESOURCE_ON: &str = "apiVersion: datadoghq.com/v2alpha1\nkind: DatadogAgent\n\
    metadata: {name: datadog}\nspec: {features: {cws: {enabled: true}, \
    admissionController: {cwsInstrumentation: {enabled: true}}}}\n";
const BOTH_ON: &str = "datadog: {securityAgent: {runtime: {enabled: true}}}\n\
    clusterAgent: {admissionController: {cwsInstrumentation: {enabled: true}}}\n";

/// A file, and how it differs from another case.
struct Case {
    name: &'static str,
    file: &'static str,
    /// The same for Helm; the file itself when empty.
    values: &'static str,
    /// What the file is laid over, and the same for Helm; for both the first when the second is empty.
    over: (&'static str, &'static str),
    arguments: &'static [&'static str],
    base: &'static str,
    /// Changed places as [`changes`] names them, in any order.
    changed: &'static [&'static str],
    /// Part of a warning; nothing is said when empty.
    said: &'static str,
}

const fn case(name: &'static str, file: &'static str) -> Case {
    Case {
        name,
        file,
        values: "",
        over: ("", ""),
        arguments: &[],
        base: "default",
        changed: &[],
        said: "",
    }
}

const IS_OFF: &str = "Workload Protection is off";
const LABELLED: &str = "pods with the label";
const SESSIONS: &[&str] = &[
    "+ Secret/datadog-webhook",
    "+ MutatingWebhookConfiguration/datadog-webhook webhooks.datadog.webhook.cws.exec.instrumentation",
    "+ MutatingWebhookConfiguration/datadog-webhook webhooks.datadog.webhook.cws.pod.instrumentation",
    "ClusterRole/datadog-cluster-agent rules = [{\"apiGroups\":[\"\"],\"resources\":[\"pods\"],\"verbs\":[\"get\"]},{\"apiGroups\":[\"\"],\"resources\":[\"pods/exec\"],\"verbs\":[\"create\",\"get\"]},{\"apiGroups\":[\"\"],\"resources\":[\"nodes\"],\"verbs\":[\"get\"]}]",
    "Deployment/datadog-cluster-agent automountServiceAccountToken = true",
    "+ Deployment/datadog-cluster-agent containers.cluster-agent.env.DD_ADMISSION_CONTROLLER_CERTIFICATE_DIRECTORY",
    "Deployment/datadog-cluster-agent containers.cluster-agent.env.DD_ADMISSION_CONTROLLER_CWS_INSTRUMENTATION_ENABLED.value = \"true\"",
    "+ Deployment/datadog-cluster-agent containers.cluster-agent.volumeMounts.certificate",
    "+ Deployment/datadog-cluster-agent volumes.certificate",
];

const CASES: &[Case] = &[
    Case { said: IS_OFF, ..case("default", "") },
    Case {
        changed: &[
            "DaemonSet/datadog-agent containers.security-agent.env.DD_RUNTIME_SECURITY_CONFIG_ENABLED.value = \"true\"",
            "DaemonSet/datadog-agent containers.system-probe.env.DD_RUNTIME_SECURITY_CONFIG_ENABLED.value = \"true\"",
        ],
        ..case("on", ON)
    },
    Case { said: IS_OFF, changed: SESSIONS, ..case("sessions_on", SESSIONS_ON) },
    // The guide's, as it prints them, over values that have switched on what they switch off.
    Case {
        over: (ON, ""),
        base: "on",
        changed: &[
            "+ DaemonSet/datadog-agent containers.security-agent.env.DD_RUNTIME_SECURITY_CONFIG_NETWORK_ENABLED",
            "+ DaemonSet/datadog-agent containers.system-probe.env.DD_RUNTIME_SECURITY_CONFIG_NETWORK_ENABLED",
        ],
        ..case("guide_network_off", NETWORK_OFF)
    },
    Case { over: (BOTH_ON, ""), base: "on", ..case("guide_sessions_off", SESSIONS_OFF) },
    Case {
        over: (RESOURCE_ON, BOTH_ON),
        base: "on",
        values: SESSIONS_OFF,
        ..case("guide_sessions_off_resource", RESOURCE_OFF)
    },
    Case {
        over: (BOTH_ON, ""),
        base: "sessions_on",
        said: "write `datadog.securityAgent`",
        ..case("guide_everything_off", EVERYTHING_OFF)
    },
    Case {
        said: "write `datadog.securityAgent`",
        ..case("slip_wins", "datadog: {securityAgent: {runtime: {enabled: true}}}\nsecurityAgent: {runtime: {enabled: false}}\n")
    },
    Case {
        base: "on",
        said: "write `datadog.securityAgent`",
        ..case("slip_switches_on", "datadog:\nsecurityAgent: {runtime: {enabled: true}}\n")
    },
    Case {
        base: "both_on",
        said: LABELLED,
        changed: &[
            "+ Deployment/datadog-cluster-agent containers.cluster-agent.env.DD_RUNTIME_ADMISSION_CONTROLLER_CWS_INSTRUMENTATION_ENABLED",
        ],
        ..case("guide_sessions_off_by_hand", "datadog: {securityAgent: {runtime: {enabled: true}}}\n\
            clusterAgent:\n  admissionController: {cwsInstrumentation: {enabled: true}}\n  env:\n    \
            - name: DD_RUNTIME_ADMISSION_CONTROLLER_CWS_INSTRUMENTATION_ENABLED\n      value: \"false\"\n")
    },
    case_both(),
    Case {
        base: "both_on",
        changed: &[
            "+ MutatingWebhookConfiguration/datadog-webhook webhooks.datadog.webhook.cws.pod.instrumentation.objectSelector.matchExpressions",
            "- MutatingWebhookConfiguration/datadog-webhook webhooks.datadog.webhook.cws.pod.instrumentation.objectSelector.matchLabels",
            "Deployment/datadog-cluster-agent containers.cluster-agent.env.DD_ADMISSION_CONTROLLER_CWS_INSTRUMENTATION_MUTATE_UNLABELLED.value = \"true\"",
        ],
        ..case("unlabelled", "datadog: {securityAgent: {runtime: {enabled: true}}}\n\
            clusterAgent: {admissionController: {mutateUnlabelled: true, cwsInstrumentation: {enabled: true}}}\n")
    },
    Case {
        base: "on",
        changed: &[
            "- DaemonSet/datadog-agent containers.security-agent.securityContext.allowPrivilegeEscalation",
            "- DaemonSet/datadog-agent containers.security-agent.securityContext.capabilities",
            "- DaemonSet/datadog-agent containers.security-agent.securityContext.readOnlyRootFilesystem",
            "DaemonSet/datadog-agent containers.security-agent.securityContext.runAsUser = 7",
        ],
        ..case("security_context", "datadog: {securityAgent: {runtime: {enabled: true}}}\n\
            agents: {containers: {securityAgent: {securityContext: {runAsUser: 7}}}}\n")
    },
    Case {
        base: "on",
        changed: &["DaemonSet/datadog-agent volumes.run.hostPath.path = \"/data/agent\""],
        ..case("run_root", "datadog: {securityAgent: {runtime: {enabled: true}}, systemProbe: {runRoot: /data/agent}}\n")
    },
    Case { base: "both_on", said: LABELLED, values: BOTH_ON, ..case("resource_on", RESOURCE_ON) },
    Case {
        base: "sessions_on",
        said: IS_OFF,
        changed: &[
            "ClusterRole/datadog-cluster-agent rules = [{\"apiGroups\":[\"\"],\"resources\":[\"pods\"],\"verbs\":[\"get\"]}]",
            "Deployment/datadog-cluster-agent containers.cluster-agent.env.DD_ADMISSION_CONTROLLER_CWS_INSTRUMENTATION_MODE.value = \"init_container\"",
        ],
        ..case("init_container", INIT_CONTAINER)
    },
    Case {
        base: "on",
        changed: &[
            "- DaemonSet/datadog-agent initContainers",
            "- DaemonSet/datadog-agent volumes.seccomp-root",
            "- DaemonSet/datadog-agent containers.system-probe.securityContext.seccompProfile.localhostProfile",
            "DaemonSet/datadog-agent containers.system-probe.securityContext.seccompProfile.type = \"Unconfined\"",
        ],
        ..case("seccomp_off", "datadog: {securityAgent: {runtime: {enabled: true}}, systemProbe: {seccomp: unconfined}}\n")
    },
    Case {
        base: "on",
        changed: &[
            "DaemonSet/datadog-agent containers.security-agent.env.DD_RUNTIME_SECURITY_CONFIG_ENFORCEMENT_ENABLED.value = \"false\"",
            "DaemonSet/datadog-agent containers.system-probe.env.DD_RUNTIME_SECURITY_CONFIG_ENFORCEMENT_ENABLED.value = \"false\"",
            "DaemonSet/datadog-agent initContainers.seccomp-setup.env.DD_RUNTIME_SECURITY_CONFIG_ENFORCEMENT_ENABLED.value = \"false\"",
            "- DaemonSet/datadog-agent containers.system-probe.securityContext.capabilities.add.KILL",
        ],
        ..case("enforcement_off", "datadog: {securityAgent: {runtime: {enabled: true, enforcement: {enabled: false}}}}\n")
    },
    Case {
        base: "on",
        changed: &[
            "+ DaemonSet/datadog-agent containers.security-agent.volumeMounts.policies",
            "+ DaemonSet/datadog-agent containers.system-probe.volumeMounts.policies",
            "+ DaemonSet/datadog-agent volumes.policies",
        ],
        ..case("policies", "datadog: {securityAgent: {runtime: {enabled: true, policies: {configMap: ours}}}}\n")
    },
    Case {
        said: IS_OFF,
        changed: &[
            "- Deployment/datadog-cluster-agent",
            "- Service/datadog-cluster-agent",
            "- ServiceAccount/datadog-cluster-agent",
            "- ClusterRole/datadog-cluster-agent",
            "- ClusterRoleBinding/datadog-cluster-agent",
            "- MutatingWebhookConfiguration/datadog-webhook",
        ],
        ..case("no_cluster_agent", "clusterAgent: {enabled: false}\n")
    },
    // The objects stay, so that applying them ends what the API server asks.
    Case {
        said: IS_OFF,
        ..case("no_admission", "clusterAgent: {admissionController: {enabled: false, cwsInstrumentation: {enabled: true}}}\n")
    },
    Case {
        said: IS_OFF,
        values: "clusterAgent: {admissionController: {enabled: false, cwsInstrumentation: {enabled: true}}}\n",
        ..case("no_admission_resource", "apiVersion: datadoghq.com/v2alpha1\nkind: DatadogAgent\nmetadata: {name: datadog}\n\
            spec: {features: {admissionController: {enabled: false, cwsInstrumentation: {enabled: true}}}}\n")
    },
    Case {
        base: "both_on",
        said: LABELLED,
        changed: &[
            "Deployment/datadog-cluster-agent containers.cluster-agent.env.DD_ADMISSION_CONTROLLER_CWS_INSTRUMENTATION_TIMEOUT.value = \"9s\"",
            "Deployment/datadog-cluster-agent replicas = 0",
            "MutatingWebhookConfiguration/datadog-webhook webhooks.datadog.webhook.cws.exec.instrumentation.timeoutSeconds = 10",
            "MutatingWebhookConfiguration/datadog-webhook webhooks.datadog.webhook.cws.pod.instrumentation.timeoutSeconds = 10",
        ],
        ..case("numbers", "datadog: {securityAgent: {runtime: {enabled: true}}}\n\
            clusterAgent: {replicas: 0, admissionController: {timeoutSeconds: 10, cwsInstrumentation: {enabled: true}}}\n")
    },
    Case {
        base: "on",
        changed: &[
            "+ DaemonSet/datadog-agent containers.security-agent.env.MINE",
            "+ DaemonSet/datadog-agent containers.system-probe.env.MINE",
            "+ Deployment/datadog-cluster-agent containers.cluster-agent.env.MINE",
            "DaemonSet/datadog-agent containers.system-probe.env.DD_SITE.value = \"own\"",
            "DaemonSet/datadog-agent containers.security-agent.env.DD_SITE.value = \"common\"",
            "+ Deployment/datadog-cluster-agent containers.cluster-agent.env.DD_SITE",
            "+ DaemonSet/datadog-agent nodeSelector.disk",
            "Deployment/datadog-cluster-agent nodeSelector.kubernetes.io/os = \"plan9\"",
        ],
        ..case("nearest_wins", "datadog:\n  securityAgent: {runtime: {enabled: true}}\n  \
            env: [{name: MINE, value: common}, {name: DD_SITE, value: common}]\n\
            agents:\n  nodeSelector: {kubernetes.io/os: linux, disk: fast}\n  \
            containers: {systemProbe: {envDict: {DD_SITE: own}}}\n\
            clusterAgent: {nodeSelector: {kubernetes.io/os: plan9}}\n")
    },
    Case {
        base: "on",
        said: "`datadog.securityAgent.runtime.netwrok` has no effect; did you mean `datadog.securityAgent.runtime.network`?",
        ..case("unknown", "datadog: {securityAgent: {runtime: {enabled: true, netwrok: {enabled: false}}}}\n")
    },
    Case {
        base: "on",
        said: "`spec.features.cws.enable` has no effect; did you mean `spec.features.cws.enabled`?",
        values: ON,
        ..case("unknown_resource", "apiVersion: datadoghq.com/v2alpha1\nkind: DatadogAgent\nspec: {features: {cws: {enabled: true, enable: false}}}\n")
    },
    Case {
        base: "on",
        changed: &[
            "+ Secret/datadog-api-key",
            "+ DaemonSet/datadog-agent containers.security-agent.env.DD_API_KEY",
            "+ DaemonSet/datadog-agent containers.system-probe.env.DD_API_KEY",
            "DaemonSet/datadog-agent containers.security-agent.env.DD_SITE.value = \"datadoghq.eu\"",
            "DaemonSet/datadog-agent containers.system-probe.env.DD_SITE.value = \"datadoghq.eu\"",
            "DaemonSet/datadog-agent containers.system-probe.env.DD_LOG_LEVEL.value = \"debug\"",
            "+ DaemonSet/datadog-agent containers.system-probe.env.MINE",
            "+ DaemonSet/datadog-agent containers.system-probe.resources",
            "+ DaemonSet/datadog-agent tolerations",
        ],
        ..case("many", "datadog: {apiKey: '0123', site: datadoghq.eu, securityAgent: {runtime: {enabled: true}}}\n\
            agents:\n  tolerations: [{operator: Exists}]\n  containers:\n    systemProbe:\n      \
            envDict: {MINE: 3}\n      logLevel: debug\n      resources: {limits: {cpu: 300m}}\n")
    },
    Case {
        base: "on",
        values: "datadog: {securityAgent: {runtime: {enabled: true}}}\nagents: {image: {repository: 'registry:5000/ours', tag: '7'}}\n",
        arguments: &["--image", "registry:5000/ours:7"],
        changed: &[
            "DaemonSet/datadog-agent containers.security-agent.image = \"registry:5000/ours:7\"",
            "DaemonSet/datadog-agent containers.system-probe.image = \"registry:5000/ours:7\"",
            "DaemonSet/datadog-agent initContainers.seccomp-setup.image = \"registry:5000/ours:7\"",
            "Deployment/datadog-cluster-agent containers.cluster-agent.image = \"registry:5000/ours:7\"",
            "Deployment/datadog-cluster-agent containers.cluster-agent.env.DD_ADMISSION_CONTROLLER_CWS_INSTRUMENTATION_IMAGE_NAME.value = \"registry:5000/ours\"",
            "Deployment/datadog-cluster-agent containers.cluster-agent.env.DD_ADMISSION_CONTROLLER_CWS_INSTRUMENTATION_IMAGE_TAG.value = \"7\"",
        ],
        ..case("image", ON)
    },
];

const fn case_both() -> Case {
    Case {
        base: "sessions_on",
        said: LABELLED,
        changed: &[
            "DaemonSet/datadog-agent containers.security-agent.env.DD_RUNTIME_SECURITY_CONFIG_ENABLED.value = \"true\"",
            "DaemonSet/datadog-agent containers.system-probe.env.DD_RUNTIME_SECURITY_CONFIG_ENABLED.value = \"true\"",
        ],
        ..case("both_on", BOTH_ON)
    }
}

/// Runs the tests of this file.
pub(crate) fn run(report: &mut Report) {
    let names: Vec<String> = CASES
        .iter()
        .map(|case| format!("deployment_{}", case.name))
        .collect();
    if report.wants_any(names.iter().map(String::as_str)) {
        match scratch::not_in_vm().and_then(|()| render_all()) {
            Ok(all) => {
                for (name, case) in names.iter().zip(CASES) {
                    report.case(name, || check(case, &all));
                }
            }
            Err(failure) => report.not_started("deployment_cases", failure),
        }
    }
    report.case("deployment_seccomp_profile", seccomp_profile);
    report.case("deployment_bad_files", bad_files);
}

/// Both renderings of every case.
fn render_all() -> Result<Value, Failure> {
    let python = scratch::tool("venv/bin/python");
    if !python.exists() {
        return Err(Failure::Skipped(format!(
            "{} is missing: pip could not be reached when it was made",
            python.display()
        )));
    }
    let directory = scratch::directory("deployment")?;
    let script = directory.join("render_chart.py");
    fs::write(&script, SCRIPT)?;
    let cases: Vec<Value> = CASES
        .iter()
        .map(|case| {
            let or = |text: &'static str, other| if text.is_empty() { other } else { text };
            json!({
                "name": case.name,
                "file": [case.over.0, case.file],
                "values": [or(case.over.1, case.over.0), or(case.values, case.file)],
                "arguments": case.arguments,
            })
        })
        .collect();
    let mut child = Command::new(python)
        .args([
            script.as_os_str(),
            scratch::agent_binary().as_os_str(),
            CHART.as_ref(),
        ])
        .stdin(Stdio::piped())
        .stdout(fs::File::create(directory.join("out"))?)
        .stderr(fs::File::create(directory.join("err"))?)
        .spawn()?;
    let input = child.stdin.take();
    input
        .ok_or("no standard input")?
        .write_all(Value::from(cases).to_string().as_bytes())?;
    let status = child.wait()?;
    ensure(status.success(), || {
        fs::read_to_string(directory.join("err")).unwrap_or_default()
    })?;
    Ok(serde_json::from_str(&fs::read_to_string(
        directory.join("out"),
    )?)?)
}

fn check(case: &Case, all: &Value) -> Outcome {
    let result = &all[case.name];
    ensure(result["wrong"] == json!([]), || result["wrong"].to_string())?;
    let mut apart = Vec::new();
    changes("", &result["helm"], &result["own"], &mut apart);
    ensure(apart.is_empty(), || {
        format!("Helm and the agent differ: {apart:?}")
    })?;
    let mut found = Vec::new();
    changes("", &all[case.base]["own"], &result["own"], &mut found);
    let mut expected = case.changed.to_vec();
    expected.sort_unstable();
    found.sort_unstable();
    ensure(found == expected, || {
        format!("changed is {found:#?}, not {expected:#?}")
    })?;
    let said = result["said"].as_str().unwrap_or_default();
    let fits = match case.said {
        "" => said.is_empty(),
        part => said.contains(part),
    };
    ensure(fits, || format!("it says `{said}`, not `{}`", case.said))?;
    // Helm says what is about values that both know.
    let notes = result["notes"].as_str().unwrap_or_default();
    let noted =
        case.said.is_empty() || case.said.contains("has no effect") || notes.contains(case.said);
    ensure(noted, || format!("Helm's notes are `{notes}`"))
}

/// Where two values differ: `+ PLACE` and `- PLACE` for what is new and gone, `PLACE = VALUE` for what
/// changed. Items of lists go by their names.
fn changes(place: &str, before: &Value, after: &Value, found: &mut Vec<String>) {
    if before == after {
        return;
    }
    match (fields(before), fields(after)) {
        (Some(before), Some(after)) => {
            for (key, value) in &before {
                match after.get(key) {
                    Some(other) => changes(&below(place, key), value, other, found),
                    None => found.push(format!("- {}", below(place, key))),
                }
            }
            let new = after.keys().filter(|key| !before.contains_key(*key));
            found.extend(new.map(|key| format!("+ {}", below(place, key))));
        }
        _ => found.push(format!("{place} = {after}")),
    }
}

fn fields(value: &Value) -> Option<Map<String, Value>> {
    match value {
        Value::Object(fields) => Some(fields.clone()),
        Value::Array(items) => items
            .iter()
            .map(|item| {
                let name = item.get("name").unwrap_or(item).as_str()?;
                Some((name.to_owned(), item.clone()))
            })
            .collect(),
        _ => None,
    }
}

/// The object stands apart from the place in it; the specification of pods is understood.
fn below(place: &str, key: &str) -> String {
    match (place.is_empty(), place.contains(' '), key) {
        (true, ..) => key.to_owned(),
        (_, _, "spec" | "template") if place.matches('.').count() == 0 => place.to_owned(),
        (_, true, _) => format!("{place}.{key}"),
        _ => format!("{place} {key}"),
    }
}

/// The init container's command: only with enforcement may the profile let processes be killed.
fn seccomp_profile() -> Outcome {
    let directory = scratch::directory("seccomp")?.join("profiles");
    for (enforcement, name, expected) in [("true", "one", true), ("false", "two", false)] {
        let mut command = Command::new(scratch::agent_binary());
        command
            .args(["kube", "install-seccomp"])
            .arg(&directory)
            .arg(name)
            .env(
                "DD_RUNTIME_SECURITY_CONFIG_ENFORCEMENT_ENABLED",
                enforcement,
            );
        let finished = finish(command, patience(30))?;
        ensure(finished.code == Some(0), || finished.said())?;
        let profile: Value = serde_json::from_str(&fs::read_to_string(directory.join(name))?)?;
        ensure(profile["defaultAction"] == "SCMP_ACT_ERRNO", || {
            profile.to_string()
        })?;
        let rules = profile["syscalls"].as_array().into_iter().flatten();
        let mut names = rules.flat_map(|rule| rule["names"].as_array().into_iter().flatten());
        ensure(names.any(|name| name == "kill") == expected, || {
            format!("with enforcement {enforcement}: {profile}")
        })?;
    }
    let left = fs::read_dir(&directory)?.count();
    ensure(left == 2, || format!("{left} files are there"))
}

/// Files that cannot be rendered are refused with a sentence.
fn bad_files() -> Outcome {
    let directory = scratch::directory("values")?;
    for (text, expected) in [
        ("a: [", "no YAML"),
        ("- a\n", "neither values"),
        ("apiVersion: v1\nkind: Pod\n", "kind Pod"),
    ] {
        let path = directory.join("values.yaml");
        fs::write(&path, text)?;
        let mut command = Command::new(scratch::agent_binary());
        command.args(["kube", "render"]).arg(&path);
        let finished = finish(command, patience(30))?;
        ensure(
            finished.code == Some(1)
                && finished.stderr.contains(expected)
                && finished.stdout.is_empty(),
            || finished.said(),
        )?;
    }
    Ok(())
}
