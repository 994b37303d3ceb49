//! A DatadogAgent resource (datadoghq.com/v2alpha1) as values of the chart.
//!
//! One line of the table is one field that has an effect here. What else the resource holds is
//! named, as it is for values.

use serde_json::Value;

use super::{values, Error};

const GROUP: &str = "datadoghq.com/";
const API_VERSION: &str = "datadoghq.com/v2alpha1";
const KIND: &str = "DatadogAgent";

/// Field below `spec`, and the value that it is.
const FIELDS: &[(&str, &str)] = &[
    ("global.site", "datadog.site"),
    ("global.logLevel", "datadog.logLevel"),
    ("global.tags", "datadog.tags"),
    ("global.env", "datadog.env"),
    ("global.registry", "registry"),
    ("global.credentials.apiKey", "datadog.apiKey"),
    (
        "global.credentials.apiSecret.secretName",
        "datadog.apiKeyExistingSecret",
    ),
    (
        "global.credentials.apiSecret.keyName",
        "datadog.apiKeyExistingSecretKey",
    ),
    (
        "features.cws.enabled",
        "datadog.securityAgent.runtime.enabled",
    ),
    (
        "features.cws.network.enabled",
        "datadog.securityAgent.runtime.network.enabled",
    ),
    (
        "features.cws.enforcement.enabled",
        "datadog.securityAgent.runtime.enforcement.enabled",
    ),
    (
        "features.cws.customPolicies.configMap.name",
        "datadog.securityAgent.runtime.policies.configMap",
    ),
    (
        "features.admissionController.enabled",
        "clusterAgent.admissionController.enabled",
    ),
    (
        "features.admissionController.failurePolicy",
        "clusterAgent.admissionController.failurePolicy",
    ),
    (
        "features.admissionController.mutateUnlabelled",
        "clusterAgent.admissionController.mutateUnlabelled",
    ),
    (
        "features.admissionController.cwsInstrumentation.enabled",
        "clusterAgent.admissionController.cwsInstrumentation.enabled",
    ),
    (
        "features.admissionController.cwsInstrumentation.mode",
        "clusterAgent.admissionController.cwsInstrumentation.mode",
    ),
    (
        "override.nodeAgent.env",
        "agents.containers.systemProbe.env",
    ),
    (
        "override.nodeAgent.env",
        "agents.containers.securityAgent.env",
    ),
    (
        "override.nodeAgent.containers.system-probe.env",
        "agents.containers.systemProbe.env",
    ),
    (
        "override.nodeAgent.containers.system-probe.logLevel",
        "agents.containers.systemProbe.logLevel",
    ),
    (
        "override.nodeAgent.containers.system-probe.resources",
        "agents.containers.systemProbe.resources",
    ),
    (
        "override.nodeAgent.containers.security-agent.env",
        "agents.containers.securityAgent.env",
    ),
    (
        "override.nodeAgent.containers.security-agent.logLevel",
        "agents.containers.securityAgent.logLevel",
    ),
    (
        "override.nodeAgent.containers.security-agent.resources",
        "agents.containers.securityAgent.resources",
    ),
    ("override.nodeAgent.image.name", "agents.image.name"),
    ("override.nodeAgent.image.tag", "agents.image.tag"),
    (
        "override.nodeAgent.image.pullPolicy",
        "agents.image.pullPolicy",
    ),
    (
        "override.nodeAgent.image.pullSecrets",
        "agents.image.pullSecrets",
    ),
    ("override.nodeAgent.annotations", "agents.podAnnotations"),
    ("override.nodeAgent.labels", "agents.podLabels"),
    ("override.nodeAgent.nodeSelector", "agents.nodeSelector"),
    ("override.nodeAgent.tolerations", "agents.tolerations"),
    ("override.nodeAgent.affinity", "agents.affinity"),
    (
        "override.nodeAgent.priorityClassName",
        "agents.priorityClassName",
    ),
    ("override.nodeAgent.updateStrategy", "agents.updateStrategy"),
    ("override.clusterAgent.env", "clusterAgent.env"),
    (
        "override.clusterAgent.containers.cluster-agent.env",
        "clusterAgent.env",
    ),
    (
        "override.clusterAgent.containers.cluster-agent.resources",
        "clusterAgent.resources",
    ),
    ("override.clusterAgent.replicas", "clusterAgent.replicas"),
    (
        "override.clusterAgent.annotations",
        "clusterAgent.podAnnotations",
    ),
    ("override.clusterAgent.labels", "clusterAgent.podLabels"),
    (
        "override.clusterAgent.nodeSelector",
        "clusterAgent.nodeSelector",
    ),
    (
        "override.clusterAgent.tolerations",
        "clusterAgent.tolerations",
    ),
    ("override.clusterAgent.affinity", "clusterAgent.affinity"),
    (
        "override.clusterAgent.priorityClassName",
        "clusterAgent.priorityClassName",
    ),
];

/// What a release is called and where it goes.
pub(super) struct Release {
    pub(super) name: String,
    pub(super) namespace: Option<String>,
}

/// The values that a file stands for: its own, or those of the resource in it.
pub(super) fn to_values(
    mut given: Value,
    warnings: &mut Vec<String>,
) -> Result<(Value, Release), Error> {
    let text = |value: &Value| value.as_str().map(str::to_owned);
    let name = text(&given["metadata"]["name"]);
    let mut release = Release {
        name: name.unwrap_or_else(|| "datadog".to_owned()),
        namespace: text(&given["metadata"]["namespace"]),
    };
    match (&given["apiVersion"], &given["kind"]) {
        (Value::String(version), Value::String(kind)) => {
            if kind != KIND || !version.starts_with(GROUP) {
                return Err(Error::OtherResource(kind.clone()));
            }
            if version != API_VERSION {
                warnings.push(format!("`{version}` is read as `{API_VERSION}`"));
            }
            let mut spec = given.get_mut("spec").map(Value::take).unwrap_or_default();
            let values = moved(&spec);
            for (field, _) in FIELDS {
                remove(&mut spec, field);
            }
            let known: Vec<String> = FIELDS
                .iter()
                .map(|(field, _)| format!("spec.{field}"))
                .collect();
            name_rest(&spec, "spec", &known, warnings);
            Ok((values, release))
        }
        _ => {
            // Metadata of values would be a key of the user's own.
            release.name = "datadog".to_owned();
            release.namespace = None;
            Ok((given, release))
        }
    }
}

/// The fields that have an effect, under the names of values.
fn moved(spec: &Value) -> Value {
    let mut values = Value::Object(serde_json::Map::new());
    for (field, key) in FIELDS {
        let found = at(spec, field);
        if found.is_null() {
            continue;
        }
        let mut found = found.clone();
        // The environment of a container comes from two places.
        if let (Some(Value::Array(before)), Value::Array(more)) = (
            Some(at(&values, key)).filter(|value| value.is_array()),
            &mut found,
        ) {
            // A name stands once; the nearer place wins.
            let mut kept = before.clone();
            kept.retain(|one| more.iter().all(|other| other["name"] != one["name"]));
            more.splice(0..0, kept);
        }
        values::set(&mut values, key, found);
    }
    values
}

fn at<'a>(value: &'a Value, name: &str) -> &'a Value {
    name.split('.').fold(value, |value, part| &value[part])
}

fn remove(value: &mut Value, name: &str) {
    let (parent, key) = name.rsplit_once('.').unwrap_or(("", name));
    let pointer: String = parent.split('.').map(|part| format!("/{part}")).collect();
    if let Some(Value::Object(fields)) = value.pointer_mut(&pointer) {
        fields.remove(key);
    }
}

/// Names what is left, as deep as it goes without leaving the known sections.
fn name_rest(rest: &Value, path: &str, known: &[String], warnings: &mut Vec<String>) {
    let Value::Object(fields) = rest else {
        if !rest.is_null() {
            warnings.push(values::no_section(path));
        }
        return;
    };
    for (key, value) in fields {
        let name = format!("{path}.{key}");
        let section = format!("{name}.");
        if known.iter().any(|known| known.starts_with(&section)) {
            name_rest(value, &name, known, warnings);
        } else if !value.is_null() {
            warnings.push(values::unknown(&name, known));
        }
    }
}
