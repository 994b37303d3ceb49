//! Commands before and after, and those that are left alone.

use super::*;
use crate::config::{keys, Key};
use crate::kube::admission::testing::{apply, exec_review, options};

type Change = (&'static Key, &'static str);

const HELPER: &str = "/datadog-cws-instrumentation/cws-instrumentation";
const COPY: Change = (&keys::ADMISSION_MODE, "remote_copy");

fn jane() -> Value {
    json!({"username": "jane", "groups": ["dev"]})
}

fn reason(review: &Value, changes: &[Change]) -> Option<Reason> {
    prepare(&review["request"], &options(changes)).err()
}

/// The command that comes out.
fn wrapped(command: &Value, user: &Value, helper: &str) -> Vec<String> {
    let review = exec_review(command, user);
    let (_, session) = prepare(&review["request"], &options(&[])).unwrap();
    let after = apply(&session.patch(helper), &review["request"]["object"]);
    serde_json::from_value(after["command"].clone()).unwrap()
}

#[test]
fn commands_go_through_the_helper() {
    let review = exec_review(&json!(["sh", "-c", "id"]), &jane());
    let (job, session) = prepare(&review["request"], &options(&[COPY])).unwrap();
    let expected = Job {
        namespace: "shop".to_owned(),
        pod: "web-7d4b9c-x2x7q".to_owned(),
        container: "web".to_owned(),
        mode: crate::kube::job::Mode::RemoteCopy {
            directory: "/tmp".to_owned(),
            mount_volume: false,
        },
        mutate_unlabelled: false,
        timeout: std::time::Duration::from_secs(2),
    };
    assert_eq!(job, expected);
    let after = apply(&session.patch("/tmp/h"), &review["request"]["object"]);
    let data = r#"{"username":"jane","groups":["dev"]}"#;
    let command = json!([
        "/tmp/h",
        "inject",
        "--session-type",
        "k8s",
        "--data",
        data,
        "--",
        "sh",
        "-c",
        "id",
    ]);
    assert_eq!(after["command"], command);
    assert_eq!(after["tty"], true);
}

#[test]
fn users_and_words_of_any_script_come_through() {
    let user = json!({
        "username": "Jäne \"O'Neil\" 🦀\\n",
        "uid": "u-1",
        "groups": ["система", "a:b"],
        "extra": {"scopes.example/é": ["x", "y"]},
        "new": {"x": 1},
    });
    let words = json!(["sh", "-c", "echo 'é' \"$HOME\" 🦀", "", "--", "a\nb"]);
    let command = wrapped(&words, &user, HELPER);
    let data: Value = serde_json::from_str(&command[5]).unwrap();
    for name in ["username", "uid", "groups", "extra"] {
        assert_eq!(data[name], user[name]);
    }
    let rest: Vec<String> = serde_json::from_value(words).unwrap();
    assert_eq!(command[7..], rest);
}

#[test]
fn big_users_lose_what_matters_least() {
    let long = "x".repeat(700);
    let extra = json!({"scopes": [long]});
    let cases = [
        (
            json!({"username": "j", "groups": ["dev"], "extra": extra}),
            Some("extra"),
        ),
        (json!({"username": "j", "groups": [long, long]}), None),
    ];
    for (user, expected) in cases {
        let command = wrapped(&json!(["id"]), &user, HELPER);
        assert!(command[5].len() <= 1024);
        assert_eq!(command[5].contains("extra"), expected.is_some());
    }
    let user = json!({"username": "x".repeat(1100)});
    let review = exec_review(&json!(["id"]), &user);
    assert_eq!(reason(&review, &[]), Some(Reason::Credentials));
}

#[test]
fn only_what_this_webhook_made_counts_as_instrumented() {
    let command = wrapped(&json!(["sh"]), &jane(), HELPER);
    let other_helper: Vec<String> = wrapped(&json!(["sh"]), &jane(), "/tmp/x/cws-instrumentation");
    let other_user = wrapped(&json!(["sh"]), &json!({"username": "admin"}), HELPER);
    let bare = command[..7].to_vec();
    for (command, expected) in [
        (command, Some(Reason::AlreadyInstrumented)),
        (other_helper, None),
        (other_user, None),
        (bare, None),
    ] {
        let review = exec_review(&json!(command), &jane());
        assert_eq!(reason(&review, &[]), expected, "{command:?}");
    }
}

#[test]
fn own_sessions_are_left_alone() {
    let own = json!({"username": "system:serviceaccount:agents:hook"});
    let other = json!({"username": "system:serviceaccount:shop:hook"});
    let cases = [
        (
            json!(["tar", "-xmf", "-", "-C", "/tmp"]),
            &own,
            Some(Reason::OwnCopy),
        ),
        (
            json!(["/tmp/cws-instrumentation", "health"]),
            &own,
            Some(Reason::OwnHealth),
        ),
        (json!(["mv", "-f", "a", "b"]), &own, Some(Reason::OwnCopy)),
        (json!(["sh"]), &own, Some(Reason::ServiceAccount)),
        (json!(["tar", "-xmf", "-"]), &other, None),
    ];
    for (command, user, expected) in cases {
        let review = exec_review(&command, user);
        assert_eq!(reason(&review, &[COPY]), expected, "{command}");
    }
}

#[test]
fn doubtful_reviews_are_left() {
    let changed = |change: &dyn Fn(&mut Value)| {
        let mut review = exec_review(&json!(["sh"]), &jane());
        change(&mut review["request"]);
        review
    };
    let with = |name: &'static str, value: Value| {
        changed(&move |request: &mut Value| request[name] = value.clone())
    };
    let command = |value: Value| {
        changed(&move |request: &mut Value| request["object"]["command"] = value.clone())
    };
    let cases = [
        (with("object", Value::Null), Reason::NilInput),
        (with("object", json!([])), Reason::NilInput),
        (with("operation", json!("CREATE")), Reason::NilInput),
        (with("subResource", json!("attach")), Reason::NilInput),
        (with("userInfo", Value::Null), Reason::NilInput),
        (with("name", Value::Null), Reason::NilInput),
        (with("namespace", json!("")), Reason::NilInput),
        (with("dryRun", json!(true)), Reason::NotNeeded),
        (
            with("userInfo", json!({"username": 7})),
            Reason::Credentials,
        ),
        (command(Value::Null), Reason::NilCommand),
        (command(json!([])), Reason::NilCommand),
        (command(json!("sh")), Reason::NilInput),
        (command(json!(["sh", 1])), Reason::NilInput),
        (with("name", json!("x".repeat(254))), Reason::NilInput),
        (with("namespace", json!("x".repeat(254))), Reason::NilInput),
        (
            changed(&|request| request["object"]["container"] = "x".repeat(254).into()),
            Reason::NilInput,
        ),
        (command(json!(vec!["x"; 1025])), Reason::NotNeeded),
        (
            command(json!(["x".repeat((128 << 10) + 1)])),
            Reason::NotNeeded,
        ),
    ];
    for (review, expected) in cases {
        assert_eq!(reason(&review, &[]), Some(expected), "{review}");
    }
    for words in [json!(vec!["x"; 1024]), json!(["x".repeat(128 << 10)])] {
        assert_eq!(reason(&exec_review(&words, &jane()), &[]), None);
    }
    let review = exec_review(&json!(["sh"]), &jane());
    for (change, expected) in [
        (
            (&keys::ADMISSION_EXCLUDE, "shop/web*"),
            Reason::ExcludedResource,
        ),
        ((&keys::ADMISSION_MODE, "magic"), Reason::UnknownMode),
    ] {
        assert_eq!(reason(&review, &[change]), Some(expected));
    }
}
