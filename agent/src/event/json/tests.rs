use serde_json::Value;

use super::*;
use crate::event::testing::{cat, event, file, file_event, host, process, NOW};

const RULE: RuleInfo<'_> = RuleInfo {
    id: "credential_read",
    version: "1.0.0",
    description: "A credential file was read",
    group_id: None,
    policy_name: "default.policy",
    policy_version: "0.1.0",
    actions: "",
    variables: Variables {
        global: "",
        process: "",
        container: "",
        cgroup: "",
    },
};

fn line(event: &Event) -> String {
    let mut out = String::new();
    serialize(event, &RULE, &host(), &mut out);
    assert!(!out.contains('\n'));
    out
}

/// Compares with a file of `golden/`, key by key.
fn check(line: &str, golden: &str) {
    let got: Value = serde_json::from_str(line).unwrap();
    let expected: Value = serde_json::from_str(golden).unwrap();
    let pretty = serde_json::to_string_pretty(&got).unwrap();
    assert!(got == expected, "the event is now:\n{pretty}");
    assert_eq!(line.len(), got.to_string().len(), "no space is wasted");
}

#[test]
fn open() {
    let event = file_event(EventType::Open, "/etc/shadow", [0o1101, 0o640, 0, 0]);
    check(&line(&event), include_str!("../golden/open.json"));
}

#[test]
fn chmod_refused() {
    let mut event = file_event(EventType::Chmod, "/etc/shadow", [0o777, 0, 0, 0]);
    event.retval = -1;
    event.identity.uid = 1000;
    event.identity.euid = 1000;
    check(&line(&event), include_str!("../golden/chmod.json"));
}

#[test]
fn chown_of_a_file_known_by_name_only() {
    let mut event = file_event(EventType::Chown, "/srv/a.txt", [1000, u32::MAX, 0, 0]);
    if let Body::File { file, .. } = &mut event.body {
        *file = File {
            path: "/srv/a.txt".to_owned(),
            source: crate::event::PathSource::Lexical,
            path_error: crate::event::model::NOT_AVAILABLE,
            ..File::default()
        };
    }
    check(&line(&event), include_str!("../golden/chown.json"));
}

#[test]
fn exec_of_a_script() {
    let shell = cat().parent.clone();
    let script = process(1002, &["./a.sh", "--all"], "/srv/a.sh", shell.as_ref());
    let mut image = (*script.image).clone();
    image.interpreter = Some(file("/usr/bin/dash"));
    image.args_truncated = true;
    let process = crate::event::Process::new(
        script.info.clone(),
        image.into(),
        shell,
        script.identity(),
        script.cgroup(),
    );
    let mut event = event(EventType::Exec, process.into());
    event.body = Body::Exec {
        syscall_path: "./a.sh".to_owned(),
    };
    check(&line(&event), include_str!("../golden/exec.json"));
}

#[test]
fn exit_by_signal() {
    let mut event = event(EventType::Exit, cat());
    event.process.set_exit_time(NOW);
    event.body = Body::Exit { cause: 2, code: 9 };
    check(&line(&event), include_str!("../golden/exit.json"));
}

#[test]
fn custom_events() {
    let lines = [
        ruleset_loaded(&host(), NOW, r#"[{"name":"default.policy"}]"#, None),
        self_test(&host(), NOW, &["a_rule"], &[]),
        lost_events(&host(), NOW, "perf", &[("open", 7), ("chmod", 0)]),
    ];
    let all = format!("[{}]", lines.join(","));
    check(&all, include_str!("../golden/custom.json"));
}

#[test]
fn a_group_hides_the_id_of_its_rule() {
    let event = file_event(EventType::Open, "/x", [0; 4]);
    let rule = RuleInfo {
        group_id: Some("group"),
        ..RULE
    };
    let mut out = String::new();
    serialize(&event, &rule, &host(), &mut out);
    let got: Value = serde_json::from_str(&out).unwrap();
    assert_eq!(got["agent"]["rule_id"], "group");
    assert_eq!(got["agent"]["original_rule_id"], "credential_read");
}

#[test]
fn two_hundred_ancestors_and_no_more() {
    let mut last = process(1, &["init"], "/init", None);
    for pid in 2..300 {
        last = process(pid, &["sh"], "/bin/sh", Some(&last));
    }
    let got: Value = serde_json::from_str(&line(&event(EventType::Exec, last))).unwrap();
    assert_eq!(got["process"]["ancestors"].as_array().unwrap().len(), 200);
    assert_eq!(got["process"]["truncated_ancestors"], true);
}

#[test]
fn secrets_in_arguments_once_were_written() {
    let plain = process(1001, &["mysql", "--password=x"], "/usr/bin/mysql", None);
    let mut image = (*plain.image).clone();
    image.masked_args = Some(vec!["mysql".to_owned(), "--password=********".to_owned()]);
    let process = crate::event::Process::new(
        plain.info.clone(),
        image.into(),
        None,
        plain.identity(),
        plain.cgroup(),
    );
    let got: Value = serde_json::from_str(&line(&event(EventType::Exec, process.into()))).unwrap();
    let expected = serde_json::json!(["--password=********"]);
    assert_eq!(
        (&got["process"]["argv0"], &got["process"]["args"]),
        (&"mysql".into(), &expected)
    );
}
