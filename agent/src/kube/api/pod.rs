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
    if needs_volume && (metadata["annotations"][STATUS] != "ready" || !has_volume(container)) {
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

/// Whether the helper's volume is in a container. It is not in one that came later for debugging,
/// whatever the pod's annotation says.
fn has_volume(container: &Value) -> bool {
    let mounts = container["volumeMounts"].as_array();
    let mut mounts = mounts.into_iter().flatten();
    mounts.any(|mount| {
        let path = mount["mountPath"].as_str().unwrap_or("");
        path.trim_end_matches('/') == VOLUME
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
                "initContainers": [{"name": "first"}],
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

    #[test]
    fn the_pod_decides() {
        use Reason::{
            CompletedPod, DescribePod, ExcludedByAnnotation, ExcludedByLabel, InvalidContainer,
            PodNotInstrumented,
        };
        type Change = fn(&mut Value);
        let app = || Ok("app".to_owned());
        let init = Mode::InitContainer;
        let cases: [(Change, &Mode, bool, Result<String, Reason>); 15] = [
            (|_| {}, &init, false, app()),
            (
                |pod| pod["metadata"]["labels"][ENABLED] = json!("false"),
                &init,
                true,
                Err(ExcludedByLabel),
            ),
            (
                |pod| pod["metadata"]["labels"] = json!(null),
                &init,
                false,
                Err(ExcludedByLabel),
            ),
            (
                |pod| pod["metadata"]["labels"] = json!(null),
                &init,
                true,
                app(),
            ),
            (
                |pod| pod["metadata"]["labels"][ENABLED] = json!("yes"),
                &init,
                false,
                Err(ExcludedByLabel),
            ),
            (
                |pod| pod["metadata"]["annotations"][ENABLED] = json!("false"),
                &init,
                true,
                Err(ExcludedByAnnotation),
            ),
            (
                |pod| pod["metadata"]["annotations"] = json!(null),
                &init,
                true,
                Err(PodNotInstrumented),
            ),
            (
                |pod| pod["metadata"]["annotations"] = json!(null),
                &copy(true),
                true,
                Err(PodNotInstrumented),
            ),
            (
                |pod| pod["metadata"]["annotations"] = json!(null),
                &copy(false),
                true,
                app(),
            ),
            (
                |pod| pod["status"]["phase"] = json!("Succeeded"),
                &init,
                false,
                Err(CompletedPod),
            ),
            (
                |pod| pod["status"]["phase"] = json!("Failed"),
                &copy(false),
                false,
                Err(CompletedPod),
            ),
            (
                |pod| pod["metadata"]["annotations"][DEFAULT_CONTAINER] = json!("side"),
                &init,
                false,
                Ok("side".to_owned()),
            ),
            (
                |pod| pod["metadata"]["annotations"][DEFAULT_CONTAINER] = json!("gone"),
                &init,
                false,
                Err(InvalidContainer),
            ),
            (
                |pod| pod["spec"] = json!({"containers": {}}),
                &init,
                false,
                Err(InvalidContainer),
            ),
            (
                |pod| *pod = json!({"kind": "Status", "code": 200}),
                &init,
                true,
                Err(DescribePod),
            ),
        ];
        for (index, (change, mode, mutate_unlabelled, expected)) in cases.into_iter().enumerate() {
            let mut pod = pod();
            change(&mut pod);
            let got = judged(&pod, &job(mode.clone(), "", mutate_unlabelled));
            assert_eq!(got, expected, "case {index}");
        }
        for odd in [json!(null), json!([]), json!("x"), json!({"metadata": 1})] {
            assert_eq!(judge(&odd, &job(init.clone(), "", true)), Err(DescribePod));
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
