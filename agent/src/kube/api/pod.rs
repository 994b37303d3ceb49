//! What a pod says about itself: whether its sessions are to be changed, and where they run.
//!
//! Pure: the API server's JSON and a job enter, a [`Target`] or the reason for leaving it leaves.
//! Only the few fields that matter are looked at, so that nothing of a pod can be misread.

use serde_json::Value;

use crate::kube::job::{Job, Mode};
use crate::kube::reason::Reason;

/// Label and annotation that switch it on and off.
const ENABLED: &str = "admission.datadoghq.com/cws-instrumentation.enabled";
/// Annotation of pods that were made with the helper's volume.
const STATUS: &str = "admission.datadoghq.com/cws-instrumentation.status";
/// Annotation that names the container of sessions that name none.
const DEFAULT_CONTAINER: &str = "kubectl.kubernetes.io/default-container";
/// Label of a node: what its processor is.
const ARCHITECTURE: &str = "kubernetes.io/arch";
/// Where the helper's volume is mounted.
pub const VOLUME: &str = "/datadog-cws-instrumentation";
/// The name of that volume.
const VOLUME_NAME: &str = "datadog-cws-instrumentation";
/// The init container that leaves the helper in it.
const INIT_CONTAINER: &str = "cws-instrumentation";

/// Where a session runs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    /// The container, never empty.
    pub container: String,
    /// The node; empty when the pod has none yet.
    pub node: String,
}

/// Where this job's session runs.
///
/// # Errors
/// Why it stays as it is.
pub fn judge(pod: &Value, job: &Job) -> Result<Target, Reason> {
    let metadata = &pod["metadata"];
    let is_pod = metadata["name"] == *job.pod && metadata["namespace"] == *job.namespace;
    if !is_pod {
        return Err(Reason::DescribePod);
    }
    if metadata["annotations"][ENABLED] == "false" {
        return Err(Reason::ExcludedByAnnotation);
    }
    match metadata["labels"][ENABLED].as_str() {
        Some("true") => {}
        Some("false") => return Err(Reason::ExcludedByLabel),
        _ if job.mutate_unlabelled => {}
        _ => return Err(Reason::ExcludedByLabel),
    }
    if matches!(
        pod["status"]["phase"].as_str(),
        Some("Succeeded" | "Failed")
    ) {
        return Err(Reason::CompletedPod);
    }
    let container = container(pod, &job.container).ok_or(Reason::InvalidContainer)?;
    let needs_volume = match &job.mode {
        Mode::InitContainer => true,
        Mode::RemoteCopy { mount_volume, .. } => *mount_volume,
    };
    let has_helper = match &job.mode {
        // The same volume stays empty in pods that were made for copies.
        Mode::InitContainer => has_init_container(pod),
        Mode::RemoteCopy { .. } => true,
    };
    let is_ready = metadata["annotations"][STATUS] == "ready" && has_volume(container);
    if needs_volume && !(is_ready && has_helper) {
        return Err(Reason::PodNotInstrumented);
    }
    if !needs_volume && container["securityContext"]["readOnlyRootFilesystem"] == true {
        return Err(Reason::ReadOnlyFileSystem);
    }
    Ok(Target {
        container: text(&container["name"]),
        node: text(&pod["spec"]["nodeName"]),
    })
}

/// The container with this name; without a name the one that the pod chose, else its first.
fn container<'a>(pod: &'a Value, name: &str) -> Option<&'a Value> {
    let spec = &pod["spec"];
    let wished = pod["metadata"]["annotations"][DEFAULT_CONTAINER].as_str();
    let name = match (name, wished) {
        ("", None | Some("")) => spec["containers"][0]["name"].as_str()?,
        ("", Some(wished)) => wished,
        (name, _) => name,
    };
    let kinds = ["containers", "initContainers", "ephemeralContainers"];
    let lists = kinds.iter().filter_map(|kind| spec[*kind].as_array());
    lists
        .flatten()
        .find(|one| one["name"] == *name && !name.is_empty())
}

fn has_init_container(pod: &Value) -> bool {
    let present = pod["spec"]["initContainers"].as_array();
    let mut present = present.into_iter().flatten();
    present.any(|one| one["name"] == INIT_CONTAINER)
}

/// Whether the helper's volume, and all of it, is in a container. It is not in one that came later
/// for debugging, whatever the pod's annotation says.
fn has_volume(container: &Value) -> bool {
    let mounts = container["volumeMounts"].as_array();
    let mut mounts = mounts.into_iter().flatten();
    mounts.any(|mount| {
        let path = mount["mountPath"].as_str().unwrap_or("");
        let is_part = ["subPath", "subPathExpr"]
            .iter()
            .any(|field| mount[*field].as_str().is_some_and(|part| !part.is_empty()));
        mount["name"] == VOLUME_NAME && path.trim_end_matches('/') == VOLUME && !is_part
    })
}

/// The architecture of a node, as helpers are called after it.
pub fn architecture(node: &Value) -> Option<&'static str> {
    match node["metadata"]["labels"][ARCHITECTURE].as_str()? {
        "amd64" => Some("amd64"),
        "arm64" => Some("arm64"),
        _ => None,
    }
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or("").to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;
    use std::time::Duration;

    fn job(mode: Mode, container: &str, mutate_unlabelled: bool) -> Job {
        Job {
            namespace: "shop".to_owned(),
            pod: "web-0".to_owned(),
            container: container.to_owned(),
            mode,
            mutate_unlabelled,
            timeout: Duration::from_secs(2),
        }
    }

    fn copy(mount_volume: bool) -> Mode {
        Mode::RemoteCopy {
            directory: "/tmp".to_owned(),
            mount_volume,
        }
    }

    fn pod() -> Value {
        let mount = json!([{"name": "datadog-cws-instrumentation", "mountPath": VOLUME}]);
        json!({
            "kind": "Pod",
            "metadata": {
                "name": "web-0",
                "namespace": "shop",
                "labels": {ENABLED: "true", "app": "web"},
                "annotations": {STATUS: "ready"},
            },
            "spec": {
                "nodeName": "node-1",
                "containers": [
                    {"name": "app", "volumeMounts": mount},
                    {"name": "side", "volumeMounts": mount,
                     "securityContext": {"readOnlyRootFilesystem": true}},
                ],
                "initContainers": [{"name": "cws-instrumentation"}, {"name": "first"}],
                "ephemeralContainers": [{"name": "debugger"}],
            },
            "status": {"phase": "Running"},
        })
    }

    fn judged(pod: &Value, job: &Job) -> Result<String, Reason> {
        judge(pod, job).map(|target| {
            assert_eq!(target.node, "node-1");
            target.container
        })
    }

    #[test]
    fn the_container_decides() {
        use Reason::{InvalidContainer, PodNotInstrumented, ReadOnlyFileSystem};
        let init = Mode::InitContainer;
        let cases = [
            (&init, "", Ok("app")),
            (&init, "app", Ok("app")),
            (&init, "side", Ok("side")),
            (&init, "nobody", Err(InvalidContainer)),
            // They came without the volume.
            (&init, "debugger", Err(PodNotInstrumented)),
            (&copy(true), "debugger", Err(PodNotInstrumented)),
            (&copy(true), "side", Ok("side")),
            (&copy(false), "", Ok("app")),
            (&copy(false), "debugger", Ok("debugger")),
            (&copy(false), "first", Ok("first")),
            (&copy(false), "side", Err(ReadOnlyFileSystem)),
            (&copy(false), "nobody", Err(InvalidContainer)),
        ];
        for (mode, name, expected) in cases {
            let got = judged(&pod(), &job(mode.clone(), name, false));
            assert_eq!(got, expected.map(str::to_owned), "{mode:?} {name}");
        }
    }

    type Change = fn(&mut Value);

    /// What is changed in the pod, the mode, whether pods without a label are meant, and the outcome.
    type Case = (Change, fn() -> Mode, bool, Result<&'static str, Reason>);

    const CASES: &[Case] = &[
        (|_| {}, init, false, Ok("app")),
        (
            |pod| pod["metadata"]["labels"][ENABLED] = json!("false"),
            init,
            true,
            Err(Reason::ExcludedByLabel),
        ),
        (
            |pod| pod["metadata"]["labels"] = json!(null),
            init,
            false,
            Err(Reason::ExcludedByLabel),
        ),
        (
            |pod| pod["metadata"]["labels"] = json!(null),
            init,
            true,
            Ok("app"),
        ),
        (
            |pod| pod["metadata"]["labels"][ENABLED] = json!("yes"),
            init,
            false,
            Err(Reason::ExcludedByLabel),
        ),
        (
            |pod| pod["metadata"]["annotations"][ENABLED] = json!("false"),
            init,
            true,
            Err(Reason::ExcludedByAnnotation),
        ),
        (
            |pod| pod["metadata"]["annotations"] = json!(null),
            init,
            true,
            Err(Reason::PodNotInstrumented),
        ),
        (
            |pod| pod["metadata"]["annotations"] = json!(null),
            || copy(true),
            true,
            Err(Reason::PodNotInstrumented),
        ),
        (
            |pod| pod["metadata"]["annotations"] = json!(null),
            || copy(false),
            true,
            Ok("app"),
        ),
        // It was made for copies: the volume is there and empty.
        (
            |pod| pod["spec"]["initContainers"] = json!(null),
            init,
            false,
            Err(Reason::PodNotInstrumented),
        ),
        (
            |pod| pod["spec"]["initContainers"] = json!(null),
            || copy(true),
            false,
            Ok("app"),
        ),
        (
            |pod| pod["spec"]["containers"][0]["volumeMounts"][0]["name"] = json!("own"),
            || copy(true),
            false,
            Err(Reason::PodNotInstrumented),
        ),
        (
            |pod| pod["spec"]["containers"][0]["volumeMounts"][0]["subPath"] = json!("x"),
            init,
            false,
            Err(Reason::PodNotInstrumented),
        ),
        (
            |pod| pod["status"]["phase"] = json!("Succeeded"),
            init,
            false,
            Err(Reason::CompletedPod),
        ),
        (
            |pod| pod["status"]["phase"] = json!("Failed"),
            || copy(false),
            false,
            Err(Reason::CompletedPod),
        ),
        (
            |pod| pod["metadata"]["annotations"][DEFAULT_CONTAINER] = json!("side"),
            init,
            false,
            Ok("side"),
        ),
        (
            |pod| pod["metadata"]["annotations"][DEFAULT_CONTAINER] = json!("gone"),
            init,
            false,
            Err(Reason::InvalidContainer),
        ),
        (
            |pod| pod["spec"] = json!({"containers": {}}),
            init,
            false,
            Err(Reason::InvalidContainer),
        ),
        (
            |pod| *pod = json!({"kind": "Status", "code": 200}),
            init,
            true,
            Err(Reason::DescribePod),
        ),
    ];

    fn init() -> Mode {
        Mode::InitContainer
    }

    #[test]
    fn the_pod_decides() {
        for (index, (change, mode, mutate_unlabelled, expected)) in CASES.iter().enumerate() {
            let mut pod = pod();
            change(&mut pod);
            let got = judged(&pod, &job(mode(), "", *mutate_unlabelled));
            assert_eq!(
                got.as_deref(),
                expected.as_ref().map(|name| *name),
                "case {index}"
            );
        }
        for odd in [json!(null), json!([]), json!("x"), json!({"metadata": 1})] {
            let got = judge(&odd, &job(init(), "", true));
            assert_eq!(got, Err(Reason::DescribePod));
        }
    }

    #[test]
    fn only_machines_with_a_helper_are_known() {
        let node = |arch: Value| json!({"metadata": {"labels": {ARCHITECTURE: arch}}});
        assert_eq!(architecture(&node(json!("amd64"))), Some("amd64"));
        assert_eq!(architecture(&node(json!("arm64"))), Some("arm64"));
        for odd in [node(json!("../x")), node(json!(1)), json!({}), json!(null)] {
            assert_eq!(architecture(&odd), None);
        }
    }
}
