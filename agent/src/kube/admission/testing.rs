//! What the tests of the webhook have in common: settings, reviews in our own words as API servers
//! of several versions send them, and a small JSON patch.

use serde_json::{json, Value};

use super::options::Options;
use super::review::Webhook;
use crate::config::{keys, Key, Settings, Value as Setting};

/// Settings under which init containers bring the helper.
pub(crate) fn settings() -> Settings {
    let mut settings = Settings::empty(true);
    let given: [(&'static Key, &str); 5] = [
        (&keys::ADMISSION_ENABLED, "true"),
        (&keys::ADMISSION_MODE, "init_container"),
        (&keys::ADMISSION_CONTAINER_REGISTRY, "reg.example"),
        (&keys::KUBE_RESOURCES_NAMESPACE, "agents"),
        (&keys::CLUSTER_AGENT_SERVICE_ACCOUNT_NAME, "hook"),
    ];
    set(&mut settings, &given);
    settings
}

fn set(settings: &mut Settings, changes: &[(&'static Key, &str)]) {
    for (key, text) in changes {
        let value = Setting::from_text(key.kind, text).unwrap();
        settings.set(key, value, "x");
    }
}

/// The options of those settings with some changes.
pub(crate) fn options(changes: &[(&'static Key, &str)]) -> Options {
    let mut settings = settings();
    set(&mut settings, changes);
    let (options, complaints) = Options::new(&settings);
    assert_eq!(complaints, Vec::<String>::new());
    options
}

/// A review of a pod that wants to be instrumented.
pub(crate) fn pod_review(pod: &Value) -> Value {
    json!({
        "apiVersion": "admission.k8s.io/v1",
        "kind": "AdmissionReview",
        "request": {
            "uid": "7f0b6c1e-0000-4000-8000-0123456789ab",
            "kind": {"group": "", "version": "v1", "kind": "Pod"},
            "resource": {"group": "", "version": "v1", "resource": "pods"},
            "requestKind": {"group": "", "version": "v1", "kind": "Pod"},
            "requestResource": {"group": "", "version": "v1", "resource": "pods"},
            "namespace": "shop",
            "operation": "CREATE",
            "userInfo": {
                "username": "system:serviceaccount:kube-system:replicaset-controller",
                "groups": ["system:serviceaccounts", "system:authenticated"],
            },
            "object": pod,
            "oldObject": null,
            "dryRun": false,
            "options": {"apiVersion": "meta.k8s.io/v1", "kind": "CreateOptions"},
        },
    })
}

/// A pod as a replica set makes it.
pub(crate) fn pod() -> Value {
    json!({
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {
            "generateName": "web-7d4b9c-",
            "labels": {
                "app": "web",
                "admission.datadoghq.com/cws-instrumentation.enabled": "true",
            },
        },
        "spec": {
            "containers": [{
                "name": "web",
                "image": "reg.example/web:1",
                "volumeMounts": [{"name": "token", "mountPath": "/var/run/token", "readOnly": true}],
            }],
            "volumes": [{"name": "token", "emptyDir": {}}],
        },
        "status": {},
    })
}

/// A review of a command that a user runs in a pod.
pub(crate) fn exec_review(command: &Value, user: &Value) -> Value {
    json!({
        "apiVersion": "admission.k8s.io/v1",
        "kind": "AdmissionReview",
        "request": {
            "uid": "9a1c2e3f-0000-4000-8000-0123456789ab",
            "kind": {"group": "", "version": "v1", "kind": "PodExecOptions"},
            "resource": {"group": "", "version": "v1", "resource": "pods"},
            "subResource": "exec",
            "requestKind": {"group": "", "version": "v1", "kind": "PodExecOptions"},
            "requestResource": {"group": "", "version": "v1", "resource": "pods"},
            "requestSubResource": "exec",
            "name": "web-7d4b9c-x2x7q",
            "namespace": "shop",
            "operation": "CONNECT",
            "userInfo": user,
            "object": {
                "kind": "PodExecOptions",
                "apiVersion": "v1",
                "stdin": true,
                "stdout": true,
                "tty": true,
                "container": "web",
                "command": command,
            },
            "oldObject": null,
            "dryRun": false,
            "options": null,
        },
    })
}

/// Reviews that are to change something, as API servers of several versions send them.
pub(crate) fn reviews() -> Vec<(&'static str, Webhook, Value)> {
    let user = json!({"username": "jane", "groups": ["dev"]});
    let versions = [
        ("1.15", old as fn(&mut Value)),
        ("1.20", |_| {}),
        ("1.29", |review| review["request"]["dryRun"] = Value::Null),
        ("1.34", new),
    ];
    let mut found = Vec::new();
    for (version, change) in versions {
        let bodies = [
            (Webhook::Pod, pod_review(&pod())),
            (
                Webhook::Command,
                exec_review(&json!(["sh", "-c", "id"]), &user),
            ),
        ];
        for (webhook, mut body) in bodies {
            change(&mut body);
            found.push((version, webhook, body));
        }
    }
    found
}

fn old(review: &mut Value) {
    review["apiVersion"] = "admission.k8s.io/v1beta1".into();
    let request = review["request"].as_object_mut().unwrap();
    for name in [
        "requestKind",
        "requestResource",
        "requestSubResource",
        "options",
        "dryRun",
    ] {
        request.remove(name);
    }
}

fn new(review: &mut Value) {
    review["request"]["futureField"] = json!({"deep": [1, {"x": null}]});
    review["request"]["object"]["futureField"] = json!(["y"]);
    review["request"]["userInfo"]["futureField"] = 7.into();
    review["request"]["userInfo"]["extra"] =
        json!({"authentication.kubernetes.io/credential-id": ["X509SHA256=00"]});
    review["futureField"] = "z".into();
}

/// The patch in an answer.
pub(crate) fn patch_of(answer: &Value) -> Value {
    const DIGITS: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let text = answer["response"]["patch"].as_str().unwrap();
    let mut bytes = Vec::new();
    let (mut bits, mut count) = (0u32, 0);
    for byte in text.trim_end_matches('=').bytes() {
        let digit = DIGITS.iter().position(|digit| *digit == byte).unwrap();
        bits = bits << 6 | digit as u32;
        count += 6;
        if count >= 8 {
            count -= 8;
            bytes.push((bits >> count) as u8);
        }
    }
    serde_json::from_slice(&bytes).unwrap()
}

/// Applies a patch of `add` and `replace` as RFC 6902 says.
pub(crate) fn apply(patch: &Value, document: &Value) -> Value {
    let mut document = document.clone();
    for operation in patch.as_array().unwrap() {
        let path = operation["path"].as_str().unwrap();
        let (parent, name) = path.rsplit_once('/').unwrap();
        let name = name.replace("~1", "/").replace("~0", "~");
        let value = operation["value"].clone();
        let is_add = operation["op"] == "add";
        assert!(is_add || operation["op"] == "replace");
        match document
            .pointer_mut(parent)
            .unwrap_or_else(|| panic!("no {parent}"))
        {
            Value::Object(fields) => {
                assert!(is_add || fields.contains_key(&name), "{path}");
                fields.insert(name, value);
            }
            Value::Array(items) if name == "-" => items.push(value),
            Value::Array(items) => items.insert(name.parse().unwrap(), value),
            other => panic!("{path} in {other}"),
        }
    }
    document
}
