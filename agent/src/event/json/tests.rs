use serde_json::Value;

use super::*;
use crate::event::testing::{
    cat, credentials, event, file, file_event, host, jane, network_event, packet, process,
    question, seen, socket, NOW,
};

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
fn open_in_a_session_that_is_learnt_late() {
    let event = file_event(EventType::Open, "/etc/shadow", [0o1101, 0o640, 0, 0]);
    // What is kept of its processes is made now.
    check(&line(&event), include_str!("../golden/open.json"));
    let shell = event.process.parent.as_ref().unwrap();
    shell.join_session(&jane());
    event.process.inherit_session(Some(shell));
    check(&line(&event), include_str!("../golden/session.json"));
}

#[test]
fn exit_by_signal() {
    let mut event = event(EventType::Exit, cat());
    event.process.set_exit_time(NOW);
    event.body = Body::Exit { cause: 2, code: 9 };
    check(&line(&event), include_str!("../golden/exit.json"));
}

#[test]
fn connect() {
    let event = network_event(EventType::Connect, Body::Socket(socket()));
    check(&line(&event), include_str!("../golden/connect.json"));
}

#[test]
fn bind_to_an_address_of_another_family() {
    let mut unix = socket();
    unix.family = 1;
    unix.protocol = 0;
    unix.address = None;
    unix.hostnames.clear();
    let event = network_event(EventType::Bind, Body::Socket(unix));
    check(&line(&event), include_str!("../golden/bind.json"));
}

#[test]
fn accept_by_ipv6() {
    let mut peer = socket();
    peer.family = 10;
    peer.address = Some("[2001:db8::1]:50000".parse().unwrap());
    peer.hostnames.clear();
    let event = network_event(EventType::Accept, Body::Socket(peer));
    check(&line(&event), include_str!("../golden/accept.json"));
}

#[test]
fn a_question_and_its_answer() {
    let event = network_event(EventType::Dns, Body::Dns(packet(), question()));
    check(&line(&event), include_str!("../golden/dns.json"));
    let mut answer = question();
    answer.is_response = true;
    answer.code = 3;
    answer.kind = 65_000;
    let event = network_event(EventType::Dns, Body::Dns(packet(), answer));
    let got: Value = serde_json::from_str(&line(&event)).unwrap();
    assert_eq!(got["dns"]["is_query"], false);
    assert_eq!(got["dns"]["response"]["code"], 3);
    assert_eq!(got["dns"]["question"]["type"], 65_000);
}

#[test]
fn what_is_no_message_of_a_name_server() {
    let event = network_event(EventType::FailedDns, Body::FailedDns(packet()));
    check(&line(&event), include_str!("../golden/failed_dns.json"));
}

#[test]
fn credentials_of_a_metadata_service() {
    let event = network_event(EventType::Imds, Body::Imds(packet(), credentials()));
    check(&line(&event), include_str!("../golden/imds.json"));
}

#[test]
fn a_packet_that_filters_let_pass() {
    let event = network_event(EventType::Packet, Body::Packet(packet(), seen()));
    check(&line(&event), include_str!("../golden/packet.json"));
}

#[test]
fn a_packet_without_ports_has_a_type() {
    let mut echo = packet();
    echo.egress = false;
    echo.headers.l4_protocol = 1;
    echo.headers.icmp_type = 0;
    let event = network_event(EventType::Packet, Body::Packet(echo, seen()));
    let got: Value = serde_json::from_str(&line(&event)).unwrap();
    assert_eq!(
        got["network"]["source"],
        serde_json::json!({"ip": "10.0.0.2"})
    );
    assert_eq!(got["network"]["network_direction"], "INGRESS");
    assert_eq!(got["network"]["type"], 0);
}

#[test]
fn custom_events() {
    let lines = [
        ruleset_loaded(&host(), NOW, r#"[{"name":"default.policy"}]"#, None),
        self_test(&host(), NOW, &["a_rule"], &[]),
        lost_events(&host(), NOW, "perf", &[("open", 7), ("chmod", 0)]),
        hook_lost(&host(), NOW, "classifier_egress", "eth0", false),
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
