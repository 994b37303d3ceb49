//! An AdmissionReview: what an API server asks, and what it is told.
//!
//! Bytes of a body enter [`Review::read`], whatever they are, and an answer leaves, which always
//! allows. What is changed is decided by [`super::pod`] and [`super::exec`]; [`judge`] calls them.

use serde_json::{json, Value};

use super::exec::{self, Session};
use super::options::Options;
use super::pod;
use crate::http::client::base64;
use crate::kube::job::Job;
use crate::kube::reason::Reason;

const KIND: &str = "AdmissionReview";
const PRESENT_VERSION: &str = "admission.k8s.io/v1";
const VERSIONS: [&str; 2] = [PRESENT_VERSION, "admission.k8s.io/v1beta1"];
/// Objects in a body at most: each takes a hundred times the memory of its two braces.
const MOST_OBJECTS: usize = 65_536;
/// Characters of a uid at most; real ones have 36.
const LONGEST_UID: usize = 256;

/// Which webhook was asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Webhook {
    /// Pods that are made.
    Pod,
    /// Commands that are run in one.
    Command,
}

impl Webhook {
    /// Both.
    pub const ALL: [Webhook; 2] = [Webhook::Pod, Webhook::Command];

    /// Its name in metrics.
    pub fn name(self) -> &'static str {
        match self {
            Webhook::Pod => "cws_pod_instrumentation",
            Webhook::Command => "cws_exec_instrumentation",
        }
    }
}

/// What is to be done about a review.
#[derive(Debug)]
pub enum Verdict {
    /// It is allowed as it is.
    Leave(Reason),
    /// It is allowed with this JSON patch.
    Change(Value),
    /// The container has to be prepared first.
    Prepare(Job, Session),
}

/// A review as far as it could be read.
#[derive(Debug)]
pub struct Review {
    api_version: String,
    uid: String,
    /// Null when there is none that can be understood.
    request: Value,
}

impl Review {
    /// Reads a body; what is no review has at least the uid that can be found in it.
    pub fn read(body: &[u8]) -> Review {
        let objects = body.iter().filter(|byte| **byte == b'{').count();
        let mut value: Value = match objects > MOST_OBJECTS {
            true => Value::Null,
            false => serde_json::from_slice(body).unwrap_or(Value::Null),
        };
        let api_version = text(&value, "apiVersion");
        let is_known = VERSIONS.contains(&api_version) && text(&value, "kind") == KIND;
        let api_version = match api_version {
            "" => PRESENT_VERSION,
            version => version,
        };
        let api_version = api_version.to_owned();
        let request = value.get_mut("request").map_or(Value::Null, Value::take);
        let uid = match text(&request, "uid") {
            "" => find_uid(body),
            uid => uid.to_owned(),
        };
        Review {
            api_version,
            uid,
            request: if is_known { request } else { Value::Null },
        }
    }

    /// What is asked for; null when that is not understood.
    pub fn request(&self) -> &Value {
        &self.request
    }

    /// The part of the review that the answer needs, so that the rest need not wait for it.
    pub fn into_answer(self) -> Answer {
        Answer {
            api_version: self.api_version,
            uid: self.uid,
        }
    }
}

/// The begin of an answer.
#[derive(Debug)]
pub struct Answer {
    api_version: String,
    uid: String,
}

impl Answer {
    /// The body that allows the request, with a patch if there is one.
    pub fn render(&self, patch: Option<&Value>) -> String {
        let mut response = json!({ "uid": self.uid, "allowed": true });
        if let (Some(patch), Some(fields)) = (patch, response.as_object_mut()) {
            let patch = base64(patch.to_string().as_bytes());
            fields.insert("patchType".to_owned(), "JSONPatch".into());
            fields.insert("patch".to_owned(), patch.into());
        }
        json!({ "apiVersion": self.api_version, "kind": KIND, "response": response }).to_string()
    }
}

/// Decides what becomes of a review.
pub fn judge(webhook: Webhook, review: &Review, options: &Options) -> Verdict {
    let verdict = match webhook {
        Webhook::Pod => pod::mutate(review.request(), options).map(Verdict::Change),
        Webhook::Command => exec::prepare(review.request(), options)
            .map(|(job, session)| Verdict::Prepare(job, session)),
    };
    verdict.unwrap_or_else(Verdict::Leave)
}

/// A text of an object; empty when there is none.
pub(super) fn text<'a>(value: &'a Value, name: &str) -> &'a str {
    value.get(name).and_then(Value::as_str).unwrap_or("")
}

/// Whether a request is about this (sub)resource of pods.
pub(super) fn is_about(request: &Value, operation: &str, subresource: &str) -> bool {
    let resource = request.get("resource").unwrap_or(&Value::Null);
    text(request, "operation") == operation
        && text(resource, "group").is_empty()
        && text(resource, "resource") == "pods"
        && text(request, "subResource") == subresource
}

/// The first `"uid": "…"` of a body that is no JSON: an API server writes that of the request
/// before anything else that has one.
fn find_uid(body: &[u8]) -> String {
    const NAME: &[u8] = b"\"uid\"";
    let found = || {
        let at = body.windows(NAME.len()).position(|bytes| bytes == NAME)?;
        let rest = body.get(at + NAME.len()..)?.trim_ascii_start();
        let rest = rest.strip_prefix(b":")?.trim_ascii_start();
        let rest = rest.strip_prefix(b"\"")?;
        let uid = rest.split(|byte| *byte == b'"').next()?;
        let is_plain = |byte: &u8| byte.is_ascii_alphanumeric() || b"-_.".contains(byte);
        let is_uid = uid.len() <= LONGEST_UID && uid.iter().all(is_plain);
        is_uid.then(|| String::from_utf8_lossy(uid).into_owned())
    };
    found().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kube::admission::testing::{options, patch_of};

    fn answer(body: &[u8]) -> Value {
        let answer = Review::read(body).into_answer().render(None);
        serde_json::from_str(&answer).unwrap()
    }

    #[test]
    fn garbage_is_allowed_with_what_uid_it_has() {
        let deep = format!(r#"{{"request":{{"uid":"d","object":{}"#, "[".repeat(10_000));
        let cases: &[(&[u8], &str)] = &[
            (b"", ""),
            (b"null", ""),
            (b"[]", ""),
            (b"\xff\xfe", ""),
            (b"{\"request\":{\"uid\":\"a-1\"", "a-1"),
            (
                b"{\"request\":{\"uid\" : \"a-1\", \"name\":\"\\ud800\"}}",
                "a-1",
            ),
            (b"{\"request\":{\"uid\":\"a b\"", ""),
            (b"{\"request\":{\"uid\":7}}", ""),
            (b"{\"request\":{\"uid\":\"", ""),
            (deep.as_bytes(), "d"),
        ];
        for (body, uid) in cases {
            let answer = answer(body);
            let expected = json!({
                "apiVersion": "admission.k8s.io/v1",
                "kind": "AdmissionReview",
                "response": { "uid": uid, "allowed": true },
            });
            assert_eq!(answer, expected, "{}", String::from_utf8_lossy(body));
        }
    }

    #[test]
    fn bodies_of_very_many_objects_are_garbage() {
        for (count, expected) in [(10, false), (MOST_OBJECTS, true)] {
            let objects = vec!["{}"; count].join(",");
            let body = format!(
                r#"{{"apiVersion":"{PRESENT_VERSION}","kind":"{KIND}",
                "request":{{"uid":"a-1","object":[{objects}]}}}}"#
            );
            let review = Review::read(body.as_bytes());
            assert_eq!(review.request().is_null(), expected, "{count}");
            assert_eq!(answer(body.as_bytes())["response"]["uid"], "a-1");
        }
    }

    #[test]
    fn only_known_reviews_are_judged() {
        for (version, kind, expected) in [
            ("admission.k8s.io/v1", "AdmissionReview", true),
            ("admission.k8s.io/v1beta1", "AdmissionReview", true),
            ("admission.k8s.io/v2", "AdmissionReview", false),
            ("admission.k8s.io/v1", "Review", false),
        ] {
            let body = json!({"apiVersion": version, "kind": kind, "request": {"uid": "é\"1"}});
            let review = Review::read(body.to_string().as_bytes());
            assert_eq!(!review.request().is_null(), expected, "{version} {kind}");
            let answer: Value = serde_json::from_str(&review.into_answer().render(None)).unwrap();
            assert_eq!(answer["apiVersion"], version);
            assert_eq!(answer["response"]["uid"], "é\"1");
        }
    }

    #[test]
    fn a_patch_goes_as_base64() {
        let review = Review::read(b"{}");
        let patch = json!([{"op": "add", "path": "/x", "value": "ü"}]);
        let answer = review.into_answer().render(Some(&patch));
        let answer: Value = serde_json::from_str(&answer).unwrap();
        assert_eq!(answer["response"]["patchType"], "JSONPatch");
        assert_eq!(patch_of(&answer), patch);
    }

    #[test]
    fn the_wrong_webhook_changes_nothing() {
        use crate::kube::admission::testing::reviews;
        for (name, webhook, body) in reviews() {
            let review = Review::read(body.to_string().as_bytes());
            for other in Webhook::ALL {
                let verdict = judge(other, &review, &options(&[]));
                let is_left = matches!(verdict, Verdict::Leave(Reason::NilInput));
                assert_eq!(is_left, other != webhook, "{name}: {verdict:?}");
            }
        }
    }
}
