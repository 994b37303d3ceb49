use super::*;
use crate::event::Fields;
use crate::secl::{Kind, Scheme};
use serde_json::json;

fn sample<'c>(catalog: &'c Catalog<'c>, event: &str, values: Value) -> Result<Sample<'c>, Error> {
    Sample::new(catalog, event, values.as_object().unwrap())
}

/// Every element of a field, as text.
fn read(sample: &Sample<'_>, name: &str) -> String {
    let field = Fields.field(name).unwrap_or_else(|| panic!("{name}"));
    let one = |index| match field.ty.kind {
        Kind::Bool => sample.boolean(field.id, index).to_string(),
        Kind::Int => sample.int(field.id, index).to_string(),
        Kind::Text => sample.text(field.id, index).to_owned(),
        Kind::Ip => match sample.ip(field.id, index) {
            Some(ip) => ip.to_string(),
            None => "-".to_owned(),
        },
    };
    let all: Vec<String> = (0..sample.count(field.id)).map(one).collect();
    all.join(" ")
}

fn check(event: &str, values: Value, expected: &[(&str, &str)]) {
    let catalog = Catalog::new(&Fields);
    let sample = sample(&catalog, event, values).unwrap();
    for (name, expected) in expected {
        assert_eq!(read(&sample, name), *expected, "{name}");
    }
}

#[test]
fn values_of_every_type_are_read() {
    check(
        "open",
        json!({
            "open.flags": "O_CREAT|O_WRONLY",
            "open.retval": "-EACCES",
            "open.file.mode": "S_ISUID | 0755",
            "open.file.inode": u64::MAX,
            "open.file.change_time": "1h",
            "open.file.in_upper_layer": true,
            "process.pid": 12,
            "process.envp": "A=1",
            "process.argv": ["-p", 80],
            "process.user_session.ssh_client_ip": "10.0.0.1",
        }),
        &[
            ("open.flags", "65"),
            ("open.retval", "-13"),
            ("open.file.mode", "2541"),
            ("open.file.rights", "2541"),
            ("open.file.inode", "-1"),
            ("open.file.change_time", "3600000000000"),
            ("open.file.in_upper_layer", "true"),
            ("process.pid", "12"),
            ("process.envs", "A"),
            ("process.argv", "-p 80"),
            ("process.user_session.ssh_client_ip", "10.0.0.1"),
            ("process.parent.user_session.ssh_client_ip", "-"),
            ("process.comm", ""),
            ("process.uid", "0"),
            ("process.is_exec", "false"),
            ("process.args_flags", "p"),
            ("process.user_session.k8s_groups", ""),
            ("process.ancestors.pid", ""),
            ("process.ancestors.length", "0"),
            ("event.os", "linux"),
        ],
    );
}

#[test]
fn iterators_have_as_many_turns_as_their_longest_list() {
    let values = json!({
        "process.ancestors.file.path": ["/bin/sh", "/sbin/init"],
        "process.ancestors.argv": [["a"], null, ["b", "c"]],
        "process.ancestors.pid": [null, 1],
    });
    let catalog = Catalog::new(&Fields);
    let sample = sample(&catalog, "exec", values).unwrap();
    for (name, expected) in [
        ("process.ancestors.file.path", "/bin/sh /sbin/init "),
        ("process.ancestors.file.name", "sh init "),
        ("process.ancestors.argv", "a b c"),
        ("process.ancestors.args", "a  b c"),
        ("process.ancestors.pid", "0 1 0"),
        ("process.ancestors.uid", "0 0 0"),
        ("process.ancestors.envs", ""),
        ("process.ancestors.length", "3"),
        ("process.parent.file.name", "sh"),
        ("process.parent.args", "a"),
    ] {
        assert_eq!(read(&sample, name), expected, "{name}");
    }
    let id = |name| Fields.field(name).unwrap().id;
    for (name, turn, expected) in [
        ("process.ancestors.argv", 0, 0..1),
        ("process.ancestors.argv", 1, 1..1),
        ("process.ancestors.argv", 2, 1..3),
        ("process.ancestors.argv", 3, 0..0),
        ("process.ancestors.pid", 2, 2..3),
        ("process.ancestors.uid", 2, 2..3),
        ("process.ancestors.envs", 2, 0..0),
    ] {
        assert_eq!(sample.iterations(id(name)), 3, "{name}");
        assert_eq!(sample.elements(id(name), turn), expected, "{name} {turn}");
    }
}

#[test]
fn what_follows_is_filled_in() {
    check(
        "exec",
        json!({
            "exec.file.path": "/opt/run.SH",
            "exec.args": "-la --width=8 -T 8 x",
            "process.container.id": "abc",
            "cgroup.id": "/c",
            "process.parent.file.path": "/bin/sh",
        }),
        &[
            ("process.file.path", "/opt/run.SH"),
            ("exec.file.name", "run.SH"),
            ("process.file.extension", ".SH"),
            ("process.argv", "-la --width=8 -T 8 x"),
            ("exec.args_flags", "la l a T"),
            ("process.args_options", "width=8 T=8"),
            ("container.id", "abc"),
            ("exec.container.id", "abc"),
            ("exec.cgroup.id", "/c"),
            ("process.ancestors.file.path", "/bin/sh"),
            ("process.ancestors.file.name", "sh"),
            ("process.ancestors.length", "1"),
        ],
    );
    // What is written stays.
    check(
        "open",
        json!({"open.file.path": "/a/b", "open.file.name": "c", "event.origin": "x"}),
        &[("open.file.name", "c"), ("event.origin", "x")],
    );
    check(
        "exit",
        json!({"process.args": "a b", "exit.code": 3}),
        &[("exit.argv", "a b"), ("exit.code", "3")],
    );
    check(
        "chmod",
        json!({"chmod.file.destination.mode": "S_ISUID|0100755", "process.ancestors.length": 2}),
        &[
            ("chmod.file.destination.rights", "2541"),
            ("process.ancestors.pid", "0 0"),
        ],
    );
}

#[test]
fn what_follows_of_addresses_and_packets_is_filled_in() {
    check(
        "connect",
        json!({"connect.addr.ip": "10.0.0.1", "connect.addr.hostname": ["a.b", "c.d"]}),
        &[
            ("connect.addr.family", "2"),
            ("connect.addr.hostname", "a.b c.d"),
            ("connect.addr.is_public", "false"),
        ],
    );
    check(
        "bind",
        json!({"bind.addr.ip": "::1", "bind.protocol": "IPPROTO_TCP"}),
        &[("bind.addr.family", "10"), ("bind.protocol", "6")],
    );
    check(
        "packet",
        json!({
            "packet.filter": "icmp",
            "packet.source.ip": "10.0.0.1",
            "network.size": 60,
            "network.network_direction": "INGRESS",
        }),
        &[
            ("packet.filter", "icmp"),
            ("network.source.ip", "10.0.0.1"),
            ("packet.size", "60"),
            ("packet.network_direction", "2"),
        ],
    );
    check(
        "dns",
        json!({"dns.question.type": "TXT", "dns.response.code": "NXDOMAIN"}),
        &[("dns.question.type", "16"), ("dns.response.code", "3")],
    );
}

fn refuses(rows: &[(&str, Value, &str)]) {
    let catalog = Catalog::new(&Fields);
    for (event, values, expected) in rows {
        let error = sample(&catalog, event, values.clone()).unwrap_err();
        let said = error.to_string();
        assert!(said.contains(expected), "{values}: {said}");
    }
}

#[test]
fn wrong_names_and_types_are_refused_in_words() {
    refuses(&[
        (
            "opne",
            json!({}),
            "unknown event type `opne`, did you mean `open`?",
        ),
        ("fork", json!({}), "unknown event type `fork`"),
        (
            "open",
            json!({"open.file.pth": "x"}),
            "unknown field `open.file.pth`, did you mean `open.file.path`?",
        ),
        (
            "open",
            json!({"process.ancestors[0].pid": 1}),
            "did you mean `process.ancestors.pid`?",
        ),
        (
            "open",
            json!({"chmod.retval": 0}),
            "field `chmod.retval` not available for event type `open`, available for `[chmod]`",
        ),
        (
            "open",
            json!({"open.file.path": true}),
            "the value of `open.file.path` must be a string, not `true`",
        ),
        (
            "open",
            json!({"open.file.path": ["x"]}),
            "must be a string, not a list",
        ),
        ("open", json!({"open.flags": 1.5}), "a whole number, or"),
        ("open", json!({"open.flags": null}), "not nothing"),
        ("open", json!({"open.flags": {}}), "not a mapping"),
        (
            "open",
            json!({"open.flags": "O_CRAT"}),
            "the value of `open.flags` is no number: unknown field, constant or macro `O_CRAT`",
        ),
    ]);
}

#[test]
fn wrong_values_are_refused_in_words() {
    let many = vec!["x"; MAX_ELEMENTS + 1];
    let turns = vec![1; MAX_TURNS + 1];
    refuses(&[
        (
            "open",
            json!({"open.flags": "process.pid"}),
            "names a field where a number",
        ),
        (
            "open",
            json!({"process.is_exec": "yes"}),
            "must be true or false, not the string `yes`",
        ),
        (
            "open",
            json!({"process.user_session.ssh_client_ip": "10.0"}),
            "must be an IP address",
        ),
        (
            "open",
            json!({"process.ancestors.argv": ["a"]}),
            "a list of lists",
        ),
        (
            "open",
            json!({"process.ancestors.pid": [[1]]}),
            "not a list",
        ),
        ("open", json!({"process.argv": many}), "more than 4096"),
        (
            "open",
            json!({"process.ancestors.pid": turns}),
            "more than 200 turns",
        ),
        (
            "open",
            json!({"process.ancestors.length": 1000}),
            "more than 200 turns",
        ),
        (
            "open",
            json!({"process.ancestors.length": 1, "process.ancestors.pid": [1, 2]}),
            "`process.ancestors.length` is less than the 2 values",
        ),
        (
            "exec",
            json!({"exec.file.path": "/a", "process.file.path": "/b"}),
            "`exec.file.path` and `process.file.path` are the same",
        ),
        (
            "packet",
            json!({"packet.size": 1, "network.size": 2}),
            "`packet.size` and `network.size` are the same",
        ),
        (
            "open",
            json!({"process.parent.pid": 5, "process.ancestors.pid": [6]}),
            "give one of them",
        ),
    ]);
}

#[test]
fn every_field_of_the_table_can_be_written() {
    let catalog = Catalog::new(&Fields);
    for root in catalog.roots() {
        let length = Fields.field(&format!("{root}.length"));
        assert!(length.is_some(), "{root} is no iterator");
    }
    for row in crate::event::fields::all() {
        let event = row.field.events.first().copied().unwrap_or("open");
        let (one, shown) = match row.field.ty.kind {
            Kind::Bool => (json!(true), "true"),
            Kind::Int => (json!(7), "7"),
            Kind::Text => (json!("/x"), "/x"),
            Kind::Ip => (json!("::1"), "::1"),
        };
        let written = match catalog.shape(row.field.id) {
            Shape::One => one,
            Shape::List => json!([one]),
            Shape::Turns { nested: false, .. } => json!([one]),
            Shape::Turns { nested: true, .. } => json!([[one]]),
        };
        let sample = sample(&catalog, event, json!({row.name.as_str(): written}));
        let sample = sample.unwrap_or_else(|error| panic!("{}: {error}", row.name));
        assert_eq!(read(&sample, &row.name), shown, "{}", row.name);
    }
}

#[test]
fn an_unknown_field_id_reads_as_absent() {
    let catalog = Catalog::new(&Fields);
    let sample = sample(&catalog, "open", json!({})).unwrap();
    let wrong = FieldId(u32::MAX);
    assert_eq!(sample.text(wrong, 9), "");
    assert_eq!(sample.int(wrong, 0), 0);
    assert_eq!((sample.count(wrong), sample.iterations(wrong)), (1, 1));
    assert_eq!(sample.event(), "open");
}
