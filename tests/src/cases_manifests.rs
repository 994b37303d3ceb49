//! Manifests against what the tests of the image run with: rights, mounts and namespaces are the
//! same, so that what works there works where the chart or Compose starts the container.
//!
//! Python turns YAML into JSON here; what the chart makes of values is tested elsewhere.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::process::Command;

use serde_json::{json, Value};

use crate::finished::finish;
use crate::oci::{CAPABILITIES, OF_HOST, OF_POD, UNUSED};
use crate::report::{ensure, Failure, Outcome, Report};
use crate::scratch::{self, patience};

const COMPOSE: &str = concat!(
    env!("CARGO_MANIFEST_DIR"),
    "/../scripts/docker-compose.yaml"
);
const VALUES: &str =
    "datadog: {securityAgent: {runtime: {enabled: true, policies: {configMap: ours}}}}\n";
/// Prints the documents of a file as a list.
const TO_JSON: &str =
    "import json, sys, yaml; print(json.dumps(list(yaml.safe_load_all(open(sys.argv[1])))))";
/// Where the policies of a user go; Compose has that as a comment.
const POLICIES: &str = "/etc/datadog-agent/runtime-security.d";
/// What the containers of a pod share sockets by; one container needs no volume for it.
const SOCKETS: &str = "/var/run/sysprobe";

/// What a node keeps when its pod is replaced.
const KEPT: (&str, &str) = ("/opt/datadog-agent/run", "/var/lib/security-agent");

/// Runs the tests of this file.
pub(crate) fn run(report: &mut Report) {
    report.case("deployment_pod_rights", pod_rights);
    report.case("deployment_compose_rights", compose_rights);
}

fn documents(path: &Path) -> Result<Value, Failure> {
    scratch::not_in_vm()?;
    let python = scratch::tool("venv/bin/python");
    if !python.exists() {
        return Err(Failure::Skipped(format!(
            "{} is missing: pip could not be reached when it was made",
            python.display()
        )));
    }
    let mut command = Command::new(python);
    command.args(["-c", TO_JSON]).arg(path);
    let done = finish(command, patience(30))?;
    ensure(done.code == Some(0), || done.said())?;
    Ok(serde_json::from_str(&done.stdout)?)
}

/// What system-probe is given, in the words of manifests.
fn capabilities() -> BTreeSet<&'static str> {
    let all = CAPABILITIES.into_iter().chain(UNUSED);
    all.map(|name| name.trim_start_matches("CAP_")).collect()
}

fn texts(list: &Value) -> BTreeSet<&str> {
    let items = list.as_array().into_iter().flatten();
    items.filter_map(Value::as_str).collect()
}

fn same<T: PartialEq + std::fmt::Debug>(what: &str, found: T, expected: T) -> Outcome {
    ensure(found == expected, || {
        format!("{what}: {found:?}, not {expected:?}")
    })
}

/// The pod of the chart.
fn pod_rights() -> Outcome {
    let directory = scratch::directory("manifests")?;
    let (values, manifests) = (directory.join("values"), directory.join("manifests"));
    fs::write(&values, VALUES)?;
    let mut command = Command::new(scratch::agent_binary());
    command.args(["kube", "render"]).arg(&values);
    let done = finish(command, patience(30))?;
    ensure(done.code == Some(0), || done.said())?;
    fs::write(&manifests, done.stdout)?;
    let documents = documents(&manifests)?;
    let mut objects = documents.as_array().into_iter().flatten();
    let daemons = objects.find(|object| object["kind"] == "DaemonSet");
    let pod = &daemons.ok_or("no DaemonSet")?["spec"]["template"]["spec"];
    same("hostPID", &pod["hostPID"], &json!(true))?;
    let [probe, agent] = ["system-probe", "security-agent"].map(|name| {
        let mut containers = pod["containers"].as_array().into_iter().flatten();
        containers.find(|container| container["name"] == name)
    });
    let (probe, agent) = (probe.ok_or("no probe")?, agent.ok_or("no agent")?);
    let rights = &probe["securityContext"]["capabilities"];
    same("add", texts(&rights["add"]), capabilities())?;
    same("drop", &rights["drop"], &json!(["ALL"]))?;
    let rights = &agent["securityContext"]["capabilities"];
    same("rights of the other", rights, &json!({"drop": ["ALL"]}))?;
    let mounts = mounts_of(probe, pod);
    let expected: BTreeSet<(String, String)> = OF_HOST
        .iter()
        .map(|(at, source, _)| ((*at).to_owned(), (*source).to_owned()))
        .chain(OF_POD.map(|(at, ..)| (at.to_owned(), String::new())))
        .filter(|(at, _)| *at != KEPT.0)
        .chain([kept()])
        .collect();
    same("mounts", &mounts, &expected)?;
    // It asks the host for its name, and keeps there what waits to be sent.
    let of_host: Vec<_> = mounts_of(agent, pod)
        .into_iter()
        .filter(|(_, source)| !source.is_empty())
        .collect();
    let release = (
        "/host/root/etc/os-release".to_owned(),
        "/etc/os-release".to_owned(),
    );
    same("mounts of the other", of_host, vec![release, kept()])
}

fn kept() -> (String, String) {
    (KEPT.0.to_owned(), KEPT.1.to_owned())
}

/// Where something is mounted, and the path on the host where it is from there.
fn mounts_of(container: &Value, pod: &Value) -> BTreeSet<(String, String)> {
    let volumes = || pod["volumes"].as_array().into_iter().flatten();
    let mounts = container["volumeMounts"].as_array().into_iter().flatten();
    mounts
        .map(|mount| {
            let volume = volumes().find(|volume| volume["name"] == mount["name"]);
            let source = volume.and_then(|volume| volume["hostPath"]["path"].as_str());
            let at = mount["mountPath"].as_str().unwrap_or_default();
            (at.to_owned(), source.unwrap_or_default().to_owned())
        })
        .collect()
}

/// The container of Compose.
fn compose_rights() -> Outcome {
    let documents = documents(Path::new(COMPOSE))?;
    let service = &documents[0]["services"]["datadog-agent"];
    same("cap_add", texts(&service["cap_add"]), capabilities())?;
    same("cap_drop", &service["cap_drop"], &json!(["ALL"]))?;
    for namespace in ["pid", "cgroup", "uts"] {
        same(namespace, &service[namespace], &json!("host"))?;
    }
    // What is not set for Compose is not set for the agent: the old name would win over the new one.
    let network = service["environment"].get("DD_RUNTIME_SECURITY_CONFIG_NETWORK_ENABLED");
    same("network", network, Some(&Value::Null))?;
    let volumes = texts(&service["volumes"]);
    let expected = OF_HOST.map(|(at, source, _)| (source, at));
    let mut found: BTreeSet<(&str, &str)> = volumes
        .iter()
        .filter_map(|volume| volume.split_once(':'))
        .map(|(source, rest)| (source, rest.split(':').next().unwrap_or_default()))
        .collect();
    for mount in expected {
        ensure(found.remove(&mount), || {
            format!("no {mount:?} in {volumes:?}")
        })?;
    }
    let mut own: BTreeSet<&str> = found.into_iter().map(|(_, at)| at).collect();
    own.extend(texts(&service["tmpfs"]));
    let expected = OF_POD.map(|(at, ..)| at);
    let expected = expected
        .into_iter()
        .filter(|at| ![POLICIES, SOCKETS].contains(at));
    same("volumes", own, expected.collect())
}
