//! Pods that are made: the volume, the mounts and the init container that bring the helper.
//!
//! The request of a review enters, a JSON patch (RFC 6902) leaves, or why there is none. Whatever
//! is there already is left as it is, so that a pod may pass through here again, with containers
//! that others have added meanwhile.

use serde_json::{json, Map, Value};

use super::options::Options;
use super::review::{is_about, text};
use super::{EXECUTABLE, MOUNT, VOLUME};
use crate::kube::job::Mode;
use crate::kube::reason::Reason;

/// Label, and annotation, that says whether a pod is to be instrumented.
pub(super) const ENABLED: &str = "admission.datadoghq.com/cws-instrumentation.enabled";
/// Annotation of pods that are.
const STATUS: &str = "admission.datadoghq.com/cws-instrumentation.status";
const READY: &str = "ready";
/// Annotation that names volumes which do not keep a node from being given up.
const SAFE_TO_EVICT: &str = "cluster-autoscaler.kubernetes.io/safe-to-evict-local-volumes";
/// Annotation of pods that only show what a kubelet runs by itself.
const MIRROR: &str = "kubernetes.io/config.mirror";
/// Label of nodes that says what system they run.
const SYSTEM_LABEL: &str = "kubernetes.io/os";
/// Name of the init container.
const INIT_CONTAINER: &str = "cws-instrumentation";
/// A user for an init container that must not run as root, whose pod names none.
const ANY_USER: u32 = 65_532;
/// Resources of the first container that the init container takes over where none are configured:
/// quotas of the namespace may demand them, and the pod's class of service stays what it was. A pod
/// needs the most that any init container asks for, so that this adds nothing.
const COPIED_RESOURCES: [&str; 3] = ["cpu", "memory", "ephemeral-storage"];
/// What an init container takes over from the pod's first container, because policies of the
/// cluster that let that one pass are to let this one pass, too.
const SECURITY_FIELDS: [&str; 4] = ["runAsNonRoot", "runAsUser", "runAsGroup", "seccompProfile"];

/// The patch that instruments a pod.
pub(super) fn mutate(request: &Value, options: &Options) -> Result<Value, Reason> {
    let pod = request.get("object").filter(|pod| pod.is_object());
    let pod = pod.ok_or(Reason::NilInput)?;
    if !is_about(request, "CREATE", "") {
        return Err(Reason::NilInput);
    }
    let pod = Pod::read(pod)?;
    let namespace = match text(request, "namespace") {
        "" => text(pod.metadata, "namespace"),
        namespace => namespace,
    };
    pod.select(namespace, options)?;
    let with_init_container = match options.mode.as_ref().ok_or(Reason::UnknownMode)? {
        Mode::InitContainer => true,
        Mode::RemoteCopy { mount_volume, .. } if *mount_volume => false,
        Mode::RemoteCopy { .. } => return Err(Reason::NotNeeded),
    };
    pod.patch(options, with_init_container)
}

struct Pod<'a> {
    metadata: &'a Value,
    spec: &'a Value,
    /// Each with its path.
    containers: Vec<(String, &'a Value)>,
}

impl<'a> Pod<'a> {
    fn read(pod: &'a Value) -> Result<Pod<'a>, Reason> {
        let part = |name| pod.get(name).filter(|part| part.is_object());
        let (metadata, spec) = (part("metadata"), part("spec"));
        let (metadata, spec) = metadata.zip(spec).ok_or(Reason::NilInput)?;
        let mut containers = Vec::new();
        for list in ["initContainers", "containers"] {
            for (place, container) in list_of(spec, list)?.iter().enumerate() {
                containers.push((format!("/spec/{list}/{place}"), container));
            }
        }
        let are_objects = containers.iter().all(|(_, one)| one.is_object());
        let maps = ["annotations", "labels"].map(|name| metadata.get(name));
        let are_maps = maps
            .iter()
            .flatten()
            .all(|map| map.is_object() || map.is_null());
        match are_objects && are_maps {
            true => Ok(Pod {
                metadata,
                spec,
                containers,
            }),
            false => Err(Reason::NilInput),
        }
    }

    fn annotations(&self) -> &'a Value {
        self.metadata.get("annotations").unwrap_or(&Value::Null)
    }

    fn annotation(&self, name: &str) -> &'a str {
        text(self.annotations(), name)
    }

    /// Whether this pod is to be instrumented at all.
    fn select(&self, namespace: &str, options: &Options) -> Result<(), Reason> {
        let name = match text(self.metadata, "name") {
            "" => text(self.metadata, "generateName"),
            name => name,
        };
        if options.filter.excludes(namespace, name) {
            return Err(Reason::ExcludedResource);
        }
        if self.annotation(ENABLED) == "false" {
            return Err(Reason::ExcludedByAnnotation);
        }
        let labels = self.metadata.get("labels").unwrap_or(&Value::Null);
        match text(labels, ENABLED) {
            "true" => {}
            "false" => return Err(Reason::ExcludedByLabel),
            _ if options.mutate_unlabelled => {}
            _ => return Err(Reason::ExcludedByLabel),
        }
        let of_system = |name| self.spec.get(name).unwrap_or(&Value::Null);
        let is_windows = text(of_system("os"), "name") == "windows"
            || text(of_system("nodeSelector"), SYSTEM_LABEL) == "windows";
        // The annotation of a mirror pod may have an empty value.
        let is_mirror = self.annotations().get(MIRROR).is_some();
        match is_windows || is_mirror {
            true => Err(Reason::NotNeeded),
            false => Ok(()),
        }
    }

    fn patch(&self, options: &Options, with_init_container: bool) -> Result<Value, Reason> {
        let mut operations = Vec::new();
        if !has(list_of(self.spec, "volumes")?, "name", VOLUME) {
            let volume = json!({ "name": VOLUME, "emptyDir": {} });
            append(&mut operations, self.spec, "/spec", "volumes", volume);
        }
        for (path, container) in &self.containers {
            let mounts = list_of(container, "volumeMounts")?;
            let is_there = |mount: &&Value| text(mount, "mountPath").trim_end_matches('/') == MOUNT;
            match mounts.iter().find(is_there) {
                None => {}
                Some(mount) if text(mount, "name") == VOLUME => continue,
                // It is the container's own, and commands would not find the helper there.
                Some(_) => return Err(Reason::PodNotInstrumented),
            }
            // Only who copies the helper there has to write.
            let mount = match with_init_container {
                true => json!({ "name": VOLUME, "mountPath": MOUNT, "readOnly": true }),
                false => json!({ "name": VOLUME, "mountPath": MOUNT }),
            };
            append(&mut operations, container, path, "volumeMounts", mount);
        }
        if with_init_container {
            self.add_init_container(&mut operations, options)?;
        }
        self.annotate(&mut operations);
        match operations.is_empty() {
            true => Err(Reason::AlreadyInstrumented),
            false => Ok(Value::Array(operations)),
        }
    }

    /// Puts the init container before all others; it comes last in the patch, because the places
    /// of those change.
    fn add_init_container(
        &self,
        operations: &mut Vec<Value>,
        options: &Options,
    ) -> Result<(), Reason> {
        if has(list_of(self.spec, "containers")?, "name", INIT_CONTAINER) {
            // Names of containers are unique.
            return Err(Reason::AlreadyInstrumented);
        }
        let present = list_of(self.spec, "initContainers")?;
        if has(present, "name", INIT_CONTAINER) {
            return Ok(());
        }
        let mut container = json!({
            "name": INIT_CONTAINER,
            "image": options.image,
            "command": [format!("/{EXECUTABLE}"), "setup", "--cws-volume-mount", MOUNT],
            "volumeMounts": [{ "name": VOLUME, "mountPath": MOUNT }],
            "securityContext": self.security_context(),
        });
        let resources = self.resources(&options.resources);
        if let (Some(fields), false) = (container.as_object_mut(), resources.is_empty()) {
            fields.insert("resources".to_owned(), resources.into());
        }
        operations.push(match present.is_empty() {
            true => add("/spec/initContainers".to_owned(), json!([container])),
            false => add("/spec/initContainers/0".to_owned(), container),
        });
        Ok(())
    }

    /// Those that are configured, and of the others those of the first container.
    fn resources(&self, configured: &Value) -> Map<String, Value> {
        let first = self.spec.pointer("/containers/0/resources");
        let mut resources = Map::new();
        for list in ["requests", "limits"] {
            let of = |resources: &'a Value| resources.get(list).and_then(Value::as_object);
            let mut amounts = configured.get(list).and_then(Value::as_object).cloned();
            for name in COPIED_RESOURCES {
                let amount = first.and_then(of).and_then(|amounts| amounts.get(name));
                if let Some(amount) = amount.filter(|amount| !amount.is_null()) {
                    let amounts = amounts.get_or_insert_default();
                    amounts.entry(name).or_insert_with(|| amount.clone());
                }
            }
            if let Some(amounts) = amounts {
                resources.insert(list.to_owned(), amounts.into());
            }
        }
        resources
    }

    /// The narrowest one, so that no policy of the cluster refuses the pod for it.
    fn security_context(&self) -> Map<String, Value> {
        let mut context = Map::new();
        context.insert("allowPrivilegeEscalation".to_owned(), false.into());
        context.insert("capabilities".to_owned(), json!({ "drop": ["ALL"] }));
        context.insert("readOnlyRootFilesystem".to_owned(), true.into());
        let of_pod = self.spec.get("securityContext");
        let of_first = self.spec.pointer("/containers/0/securityContext");
        let known = |context: Option<&'a Value>, field| {
            context?
                .get(field)
                .filter(|value: &&Value| !value.is_null())
        };
        for field in SECURITY_FIELDS {
            if let Some(value) = known(of_first, field) {
                context.insert(field.to_owned(), value.clone());
            }
        }
        let effective = |field| known(of_first, field).or(known(of_pod, field));
        let not_root = effective("runAsNonRoot") == Some(&Value::Bool(true));
        if not_root && effective("runAsUser").is_none() {
            context.insert("runAsUser".to_owned(), ANY_USER.into());
        }
        context
    }

    fn annotate(&self, operations: &mut Vec<Value>) {
        let before = operations.len();
        let evictable = self.annotation(SAFE_TO_EVICT);
        if !evictable.split(',').any(|name| name.trim() == VOLUME) {
            let volumes = match evictable.trim() {
                "" => VOLUME.to_owned(),
                others => format!("{others},{VOLUME}"),
            };
            operations.push(add(annotation_path(SAFE_TO_EVICT), volumes.into()));
        }
        if self.annotation(STATUS) != READY {
            operations.push(add(annotation_path(STATUS), READY.into()));
        }
        if self.annotations().is_null() && operations.len() > before {
            operations.insert(before, add("/metadata/annotations".to_owned(), json!({})));
        }
    }
}

fn annotation_path(name: &str) -> String {
    let escaped = name.replace('~', "~0").replace('/', "~1");
    format!("/metadata/annotations/{escaped}")
}

/// A list that may be missing or null.
fn list_of<'a>(object: &'a Value, name: &str) -> Result<&'a [Value], Reason> {
    match object.get(name) {
        None | Some(Value::Null) => Ok(&[]),
        Some(Value::Array(items)) => Ok(items),
        Some(_) => Err(Reason::NilInput),
    }
}

/// Whether a list has an object whose field is this text.
fn has(list: &[Value], field: &str, wanted: &str) -> bool {
    list.iter().any(|item| text(item, field) == wanted)
}

fn add(path: String, value: Value) -> Value {
    json!({ "op": "add", "path": path, "value": value })
}

/// Appends to a list of an object at a path, which may be missing or null.
fn append(operations: &mut Vec<Value>, object: &Value, path: &str, name: &str, item: Value) {
    operations.push(match object.get(name) {
        None | Some(Value::Null) => add(format!("{path}/{name}"), json!([item])),
        Some(_) => add(format!("{path}/{name}/-"), item),
    });
}

#[cfg(test)]
#[path = "pod/tests.rs"]
mod tests;
