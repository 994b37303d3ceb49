//! Any bytes as the body of a review, for both webhooks and in every mode: the answer is JSON and
//! allows, and a patch is one.

#![no_main]

use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;
use security_agent::config::{keys, Settings, Value as Setting};
use security_agent::kube::admission::options::Options;
use security_agent::kube::admission::review::{judge, Review, Verdict, Webhook};
use serde_json::Value;

static OPTIONS: LazyLock<Vec<Options>> = LazyLock::new(|| {
    let modes = [("init_container", "false"), ("remote_copy", "true")];
    modes.map(|(mode, volume)| options(mode, volume)).into()
});

fn options(mode: &str, volume: &str) -> Options {
    let mut settings = Settings::empty(true);
    for (key, text) in [
        (&keys::ADMISSION_ENABLED, "true"),
        (&keys::ADMISSION_MUTATE_UNLABELLED, "true"),
        (&keys::ADMISSION_EXCLUDE, "left-*/alone*"),
        (&keys::ADMISSION_MODE, mode),
        (&keys::ADMISSION_REMOTE_COPY_MOUNT_VOLUME, volume),
        (&keys::KUBE_RESOURCES_NAMESPACE, "agents"),
        (&keys::CLUSTER_AGENT_SERVICE_ACCOUNT_NAME, "hook"),
    ] {
        let value = Setting::from_text(key.kind, text).unwrap();
        settings.set(key, value, "fuzz");
    }
    let (options, complaints) = Options::new(&settings);
    assert!(options.off.is_none() && complaints.is_empty());
    options
}

fuzz_target!(|bytes: &[u8]| {
    for options in OPTIONS.iter() {
        for webhook in Webhook::ALL {
            let review = Review::read(bytes);
            let patch = match judge(webhook, &review, options) {
                Verdict::Leave(_) => None,
                Verdict::Change(patch) => Some(patch),
                Verdict::Prepare(_, session) => Some(session.patch("/tmp/helper")),
            };
            if let Some(patch) = &patch {
                assert!(patch.as_array().is_some_and(|list| !list.is_empty()));
            }
            let answer = review.into_answer().render(patch.as_ref());
            let answer: Value = serde_json::from_str(&answer).unwrap();
            let response = &answer["response"];
            assert!(answer["kind"] == "AdmissionReview" && answer["apiVersion"].is_string());
            assert!(response["allowed"] == true && response["uid"].is_string());
            assert_eq!(response["patch"].is_string(), patch.is_some());
        }
    }
});
