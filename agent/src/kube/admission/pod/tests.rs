//! Pods before and after, through the patch as an API server would apply it.

use super::*;
use crate::config::{keys, Key};
use crate::kube::admission::testing::{apply, options, pod, pod_review};

type Change = (&'static Key, &'static str);

const COPY: Change = (&keys::ADMISSION_MODE, "remote_copy");
const VOLUME_TOO: Change = (&keys::ADMISSION_REMOTE_COPY_MOUNT_VOLUME, "true");

fn judged(pod: &Value, changes: &[Change]) -> Result<Value, Reason> {
    let review = pod_review(pod);
    let patch = mutate(&review["request"], &options(changes))?;
    Ok(apply(&patch, pod))
}

fn with(change: impl Fn(&mut Value)) -> Value {
    let mut pod = pod();
    change(&mut pod);
    pod
}

#[test]
fn init_containers_bring_the_helper() {
    let after = judged(&pod(), &[]).unwrap();
    let spec = &after["spec"];
    assert_eq!(spec["volumes"][1], json!({"name": VOLUME, "emptyDir": {}}));
    assert_eq!(
        spec["containers"][0]["volumeMounts"][1],
        json!({"name": VOLUME, "mountPath": MOUNT, "readOnly": true})
    );
    let init = &spec["initContainers"][0];
    assert_eq!(init["name"], "cws-instrumentation");
    assert_eq!(init["image"], "reg.example/cws-instrumentation:latest");
    assert_eq!(
        init["command"],
        json!(["/cws-instrumentation", "setup", "--cws-volume-mount", MOUNT])
    );
    assert_eq!(
        init["volumeMounts"],
        json!([{"name": VOLUME, "mountPath": MOUNT}])
    );
    assert_eq!(init.get("resources"), None);
    let annotations = json!({ STATUS: "ready", SAFE_TO_EVICT: VOLUME });
    assert_eq!(after["metadata"]["annotations"], annotations);
    assert_eq!(judged(&after, &[]), Err(Reason::AlreadyInstrumented));
}

#[test]
fn what_is_missing_or_null_is_made() {
    let cases: [fn(&mut Value); 6] = [
        |pod| pod["metadata"]["annotations"] = Value::Null,
        |pod| pod["metadata"]["annotations"] = json!({}),
        |pod| pod["spec"]["volumes"] = Value::Null,
        |pod| pod["spec"]["initContainers"] = Value::Null,
        |pod| pod["spec"]["initContainers"] = json!([]),
        |pod| {
            pod["spec"]["containers"] = json!([
                {"name": "a"}, {"name": "b", "volumeMounts": null}, {"name": "c", "volumeMounts": []},
            ]);
        },
    ];
    for (number, change) in cases.into_iter().enumerate() {
        let after = judged(&with(change), &[]).unwrap();
        for container in after["spec"]["containers"].as_array().unwrap() {
            assert!(has(
                container["volumeMounts"].as_array().unwrap(),
                "name",
                VOLUME
            ));
        }
        assert!(has(
            after["spec"]["volumes"].as_array().unwrap(),
            "name",
            VOLUME
        ));
        assert_eq!(after["spec"]["initContainers"][0]["name"], INIT_CONTAINER);
        assert_eq!(
            after["metadata"]["annotations"][STATUS], "ready",
            "{number}"
        );
    }
}

#[test]
fn what_is_there_stays() {
    let before = with(|pod| {
        pod["metadata"]["annotations"] = json!({"a/b~c": "é", SAFE_TO_EVICT: "token, cache"});
        pod["spec"]["initContainers"] = json!([
            {"name": "first", "volumeMounts": [{"name": "token", "mountPath": "/t"}]},
            {"name": "sidecar", "restartPolicy": "Always"},
        ]);
    });
    let after = judged(&before, &[]).unwrap();
    let annotations = &after["metadata"]["annotations"];
    assert_eq!(annotations["a/b~c"], "é");
    let evictable = "token, cache,datadog-cws-instrumentation";
    assert_eq!(annotations[SAFE_TO_EVICT], evictable);
    let names = |list: &Value| -> Vec<String> {
        let items = list.as_array().unwrap().iter();
        items
            .map(|item| item["name"].as_str().unwrap().to_owned())
            .collect()
    };
    let init = &after["spec"]["initContainers"];
    assert_eq!(names(init), ["cws-instrumentation", "first", "sidecar"]);
    assert_eq!(names(&init[1]["volumeMounts"]), ["token", VOLUME]);
    assert_eq!(names(&init[2]["volumeMounts"]), [VOLUME]);
}

#[test]
fn containers_that_others_add_later_get_the_mount() {
    let mut after = judged(&pod(), &[]).unwrap();
    let containers = after["spec"]["containers"].as_array_mut().unwrap();
    containers.push(json!({"name": "added"}));
    let again = judged(&after, &[]).unwrap();
    assert_eq!(again["spec"]["initContainers"].as_array().unwrap().len(), 1);
    assert_eq!(again["spec"]["volumes"].as_array().unwrap().len(), 2);
    let mounts = &again["spec"]["containers"][1]["volumeMounts"];
    assert_eq!(mounts[0]["name"], VOLUME);
}

#[test]
fn copies_need_a_volume_or_nothing() {
    assert_eq!(judged(&pod(), &[COPY]), Err(Reason::NotNeeded));
    let after = judged(&pod(), &[COPY, VOLUME_TOO]).unwrap();
    assert_eq!(after["spec"].get("initContainers"), None);
    assert_eq!(after["metadata"]["annotations"][STATUS], "ready");
    assert_eq!(
        after["spec"]["containers"][0]["volumeMounts"][1],
        json!({"name": VOLUME, "mountPath": MOUNT})
    );
}

#[test]
fn resources_are_requested_and_limited() {
    let cpu: Change = (&keys::ADMISSION_INIT_RESOURCES_CPU, "50m");
    let after = judged(&pod(), &[cpu]).unwrap();
    let resources = &after["spec"]["initContainers"][0]["resources"];
    assert_eq!(
        *resources,
        json!({"requests": {"cpu": "50m"}, "limits": {"cpu": "50m"}})
    );
}

#[test]
fn resources_of_the_first_container_are_copied() {
    let cpu: Change = (&keys::ADMISSION_INIT_RESOURCES_CPU, "50m");
    let before = with(|pod| {
        pod["spec"]["containers"][0]["resources"] = json!({
            "requests": {"cpu": "1", "memory": "64Mi", "example.com/gpu": "1"},
            "limits": {"memory": "64Mi", "ephemeral-storage": "1Gi", "cpu": null},
        });
    });
    let memory = json!({
        "requests": {"cpu": "1", "memory": "64Mi"},
        "limits": {"memory": "64Mi", "ephemeral-storage": "1Gi"},
    });
    let both = json!({
        "requests": {"cpu": "50m", "memory": "64Mi"},
        "limits": {"cpu": "50m", "memory": "64Mi", "ephemeral-storage": "1Gi"},
    });
    for (changes, expected) in [(&[][..], memory), (&[cpu], both)] {
        let after = judged(&before, changes).unwrap();
        assert_eq!(after["spec"]["initContainers"][0]["resources"], expected);
    }
}

#[test]
fn the_init_container_runs_as_the_pod_does() {
    let profile = json!({"type": "RuntimeDefault"});
    let cases = [
        (json!(null), json!(null), json!({})),
        (
            json!({"runAsNonRoot": true}),
            json!(null),
            json!({"runAsUser": ANY_USER}),
        ),
        (
            json!({"runAsNonRoot": true, "runAsUser": 7}),
            json!(null),
            json!({}),
        ),
        (
            json!(null),
            json!({"runAsNonRoot": true, "seccompProfile": profile, "privileged": true}),
            json!({"runAsNonRoot": true, "seccompProfile": profile, "runAsUser": ANY_USER}),
        ),
        (
            json!({"runAsUser": 8}),
            json!({"runAsNonRoot": true, "runAsUser": 7, "runAsGroup": 9}),
            json!({"runAsNonRoot": true, "runAsUser": 7, "runAsGroup": 9}),
        ),
    ];
    for (of_pod, of_container, expected) in cases {
        let before = with(|pod| {
            pod["spec"]["securityContext"] = of_pod.clone();
            pod["spec"]["containers"][0]["securityContext"] = of_container.clone();
        });
        let after = judged(&before, &[]).unwrap();
        let mut context = after["spec"]["initContainers"][0]["securityContext"].clone();
        let fields = context.as_object_mut().unwrap();
        for (name, value) in [
            ("allowPrivilegeEscalation", json!(false)),
            ("capabilities", json!({"drop": ["ALL"]})),
            ("readOnlyRootFilesystem", json!(true)),
        ] {
            assert_eq!(fields.remove(name), Some(value));
        }
        assert_eq!(context, expected);
    }
}

#[test]
fn only_pods_that_are_meant_are_changed() {
    let unlabelled: Change = (&keys::ADMISSION_MUTATE_UNLABELLED, "true");
    let label = |value: Value| with(|pod| pod["metadata"]["labels"][ENABLED] = value.clone());
    let annotation = |name: &str, value: &str| {
        with(|pod| pod["metadata"]["annotations"] = json!({ name: value }))
    };
    let spec = |name: &str, value: Value| with(|pod| pod["spec"][name] = value.clone());
    let cases: Vec<(Value, Vec<Change>, Option<Reason>)> = vec![
        (pod(), vec![], None),
        (label(json!("false")), vec![], Some(Reason::ExcludedByLabel)),
        (
            label(json!("false")),
            vec![unlabelled],
            Some(Reason::ExcludedByLabel),
        ),
        (label(Value::Null), vec![], Some(Reason::ExcludedByLabel)),
        (label(Value::Null), vec![unlabelled], None),
        (label(json!("True")), vec![], Some(Reason::ExcludedByLabel)),
        (
            annotation(ENABLED, "false"),
            vec![],
            Some(Reason::ExcludedByAnnotation),
        ),
        (annotation(MIRROR, ""), vec![], Some(Reason::NotNeeded)),
        (
            spec("os", json!({"name": "windows"})),
            vec![],
            Some(Reason::NotNeeded),
        ),
        (
            spec("nodeSelector", json!({SYSTEM_LABEL: "windows"})),
            vec![],
            Some(Reason::NotNeeded),
        ),
        (
            spec("nodeSelector", json!({SYSTEM_LABEL: "linux"})),
            vec![],
            None,
        ),
        (
            pod(),
            vec![(&keys::ADMISSION_EXCLUDE, "shop")],
            Some(Reason::ExcludedResource),
        ),
        (
            pod(),
            vec![(&keys::ADMISSION_EXCLUDE, "shop/web-*")],
            Some(Reason::ExcludedResource),
        ),
        (
            pod(),
            vec![
                (&keys::ADMISSION_EXCLUDE, "*"),
                (&keys::ADMISSION_INCLUDE, "shop"),
            ],
            None,
        ),
        (
            pod(),
            vec![(&keys::ADMISSION_MODE, "magic")],
            Some(Reason::UnknownMode),
        ),
        (
            with(|pod| pod["spec"]["containers"][0]["name"] = INIT_CONTAINER.into()),
            vec![],
            Some(Reason::AlreadyInstrumented),
        ),
        // Two mounts at one path would make the pod invalid.
        (
            with(|pod| pod["spec"]["containers"][0]["volumeMounts"][0]["mountPath"] = MOUNT.into()),
            vec![],
            Some(Reason::PodNotInstrumented),
        ),
    ];
    for (pod, changes, expected) in cases {
        assert_eq!(judged(&pod, &changes).err(), expected, "{changes:?} {pod}");
    }
}

#[test]
fn pods_that_are_none_are_left() {
    let broken: [fn(&mut Value); 9] = [
        |pod| *pod = Value::Null,
        |pod| *pod = json!([]),
        |pod| pod["metadata"] = Value::Null,
        |pod| pod["spec"] = json!("x"),
        |pod| pod["spec"]["containers"] = json!({}),
        |pod| pod["spec"]["containers"][0] = json!(1),
        |pod| pod["spec"]["containers"][0]["volumeMounts"] = json!("x"),
        |pod| pod["spec"]["volumes"] = json!(true),
        |pod| pod["metadata"]["annotations"] = json!([]),
    ];
    for change in broken {
        let pod = with(change);
        assert_eq!(judged(&pod, &[]), Err(Reason::NilInput), "{pod}");
    }
    let mut review = pod_review(&pod());
    review["request"]["operation"] = "UPDATE".into();
    let found = mutate(&review["request"], &options(&[]));
    assert_eq!(found, Err(Reason::NilInput));
}
