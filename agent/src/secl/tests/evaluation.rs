//! Expressions against records: what is true and what is not.

use super::{check, compiled, connecting, reading};
use crate::secl::testing::TestRecord;

#[test]
fn texts() {
    check(
        &reading(),
        &[
            ("open.file.name == \"passwd\"", true),
            ("open.file.name == \"Passwd\"", false),
            ("open.file.name != \"passwd\"", false),
            ("open.file.name != \"shadow\"", true),
            ("\"passwd\" == open.file.name", true),
            ("open.file.name == NAME", true),
            ("open.file.name == \"pass*\"", false),
            ("open.file.name =~ \"pass*\"", true),
            ("open.file.name !~ \"pass*\"", false),
            ("open.file.name =~ \"passwd\"", true),
            ("open.file.name =~ \"pass\"", false),
            ("open.file.name =~ ~\"p*d\"", true),
            ("open.file.name == ~\"p*d\"", true),
            ("open.file.name != ~\"p*d\"", false),
            ("~\"p*d\" == open.file.name", true),
            ("open.file.name =~ r\"^pass\"", true),
            ("open.file.name =~ r\"asswd$\"", true),
            ("open.file.name =~ r\"^asswd$\"", false),
            ("open.file.name !~ r\"^asswd$\"", true),
            ("open.file.name == r\"s{2}\"", true),
            ("process.args =~ ~\"* /etc/*\"", true),
            ("process.args =~ r\"--tail=\\d+\\b\"", true),
            ("process.file.name == process.comm", true),
            ("process.file.name != process.comm", false),
            ("process.file.name == open.file.name", false),
            ("process.tty_name == \"\"", true),
            ("process.tty_name != \"\"", false),
            ("open.file.extension == \".conf\"", true),
            ("open.file.extension != \".CONF\"", false),
            ("open.file.extension == \"Conf\"", true),
            ("open.file.extension == \"onf\"", false),
            ("open.file.extension =~ \"c*f\"", true),
            ("open.file.extension =~ ~\".C*F\"", true),
            ("open.file.extension =~ r\"^\\.conf$\"", true),
            ("open.file.extension in [\".sh\", \".CONF\"]", true),
            ("open.file.extension in [\".sh\", \".py\"]", false),
            ("open.file.name.length == 6", true),
            ("open.file.path.length > 11", false),
            ("open.file.name.length in [5, 6]", true),
            ("\"a\" == \"a\"", true),
            ("\"abc\" == ~\"a*\"", true),
        ],
    );
}

#[test]
fn paths() {
    check(
        &reading(),
        &[
            ("open.file.path == \"/etc/passwd\"", true),
            ("open.file.path == \"/etc/*\"", false),
            ("open.file.path =~ \"/etc/*\"", true),
            ("open.file.path =~ \"/*\"", false),
            ("open.file.path =~ \"/**\"", true),
            ("open.file.path =~ ~\"/e*/p*d\"", true),
            ("open.file.path !~ ~\"/e*/p*d\"", false),
            ("open.file.path =~ ~\"*passwd\"", false),
            ("open.file.path in [\"/etc/shadow\", ~\"/etc/pass*\"]", true),
            (
                "open.file.path not in [\"/etc/shadow\", ~\"/etc/pass*\"]",
                false,
            ),
            (
                "open.file.path not in [\"/etc/shadow\", ~\"/var/**\"]",
                true,
            ),
            ("process.ancestors.file.path =~ ~\"/usr/sbin/*\"", true),
            ("process.ancestors.file.path =~ ~\"/opt/**\"", false),
        ],
    );
}

#[test]
fn numbers_and_bits() {
    check(
        &reading(),
        &[
            ("process.uid == 1000", true),
            ("process.uid != 1000", false),
            ("process.uid == +1000", true),
            ("process.uid > 999", true),
            ("process.uid > 1000", false),
            ("process.uid >= 1000", true),
            ("process.uid < 1001", true),
            ("process.uid <= 999", false),
            ("999 < process.uid", true),
            ("1000 <= process.uid", true),
            ("1001 > process.uid", true),
            ("1001 <= process.uid", false),
            ("open.retval == -EACCES", true),
            ("open.retval == -13", true),
            ("open.retval < 0", true),
            ("open.retval in [-13, -1]", true),
            ("open.retval not in [0, 1]", true),
            ("open.flags == 0102", true),
            ("open.flags == 102", false),
            ("open.flags & O_CREAT > 0", true),
            ("open.flags & O_WRONLY > 0", false),
            ("open.flags & (O_WRONLY|O_CREAT) > 0", true),
            ("open.flags & (O_CREAT | O_RDWR) == O_CREAT | O_RDWR", true),
            ("open.flags & O_WRONLY | O_RDWR > 0", true),
            ("open.flags ^ O_CREAT == O_RDWR", true),
            ("open.flags & ^O_CREAT == O_RDWR", true),
            ("open.flags & ^O_CREAT == 0", false),
            ("open.flags in [O_RDONLY, 66]", true),
            ("^0 == -1", true),
            ("--1 == 1", true),
            ("process.pid + 1 == 101", true),
            ("process.pid - 1 - 1 == 98", true),
            ("process.pid -1 == 99", true),
            ("process.pid + 1 > process.uid", false),
            ("process.pid & 64 + 1 == 65", true),
            ("process.created_at > 4s", true),
            ("process.created_at > 5s", false),
            ("process.created_at < 1m", true),
            ("process.created_at >= 5000ms", true),
            ("process.created_at == 5000000000", true),
            ("process.pid < process.uid", true),
            ("6 & 3 == 2 | 0", true),
            ("host.ports == 443", true),
            ("host.ports != 443", false),
            ("host.ports != 80", true),
            ("host.ports > 400", true),
            ("host.ports > 443", false),
            ("host.ports in [80, 443]", true),
            ("host.ports not in [80, 443]", false),
            ("host.ports allin [22, 80, 443]", true),
            ("host.ports allin [22, 80]", false),
            ("host.ports + 1 == 23", true),
            ("22 in host.ports", true),
            ("23 in host.ports", false),
        ],
    );
}

#[test]
fn logic() {
    check(
        &reading(),
        &[
            ("true", true),
            ("false", false),
            ("!true", false),
            ("not false", true),
            ("!!true", true),
            ("true && false", false),
            ("true and true", true),
            ("false || true", true),
            ("false or false", false),
            ("true || false && false", true),
            ("false && true || true", false),
            ("(false && true) || true", true),
            ("true || (true && false)", true),
            ("false || true && false", false),
            ("true && false || true", true),
            ("!(true && false)", true),
            ("!false && !false", true),
            ("true == true", true),
            ("true != false", true),
            ("true == false", false),
            ("(1 == 1) == (2 == 2)", true),
            ("true == 1 == 1", true),
            ("open.file.in_upper_layer", true),
            ("!open.file.in_upper_layer", false),
            ("open.file.in_upper_layer == true", true),
            ("open.file.in_upper_layer == false", false),
            ("open.file.in_upper_layer != false", true),
            ("true == open.file.in_upper_layer", true),
            ("process.is_kworker", false),
            ("process.is_kworker == false", true),
            ("not process.is_kworker && process.uid > 0", true),
            ("process.is_kworker == open.file.in_upper_layer", false),
            ("process.uid > 0 # a comment\n && true // another", true),
            ("  ( ( process.uid > 0 ) )  ", true),
        ],
    );
}

#[test]
fn arrays() {
    check(
        &reading(),
        &[
            ("process.argv == \"-n\"", true),
            ("process.argv == \"-x\"", false),
            ("process.argv != \"-n\"", false),
            ("process.argv != \"-x\"", true),
            ("process.argv =~ ~\"--tail*\"", true),
            ("process.argv !~ ~\"--tail*\"", false),
            ("process.argv !~ ~\"--head*\"", true),
            ("process.argv in [\"-n\", \"-m\"]", true),
            ("process.argv in [~\"--*\"]", true),
            ("process.argv in [r\"^--\", \"x\"]", true),
            ("process.argv not in [\"-n\", \"-m\"]", false),
            ("process.argv not in [\"-x\", ~\"-y*\"]", true),
            ("process.argv not in [\"-x\", ~\"-n*\"]", false),
            ("process.argv allin [\"-n\", ~\"--*\", r\"passwd\"]", true),
            ("process.argv allin [\"-n\", ~\"--*\"]", false),
            ("process.argv.length == 3", true),
            ("process.argv.length > 3", false),
            ("\"-n\" in process.argv", true),
            ("\"-x\" in process.argv", false),
            ("\"-x\" not in process.argv", true),
            ("open.file.path in process.argv", true),
            ("process.comm in process.argv", false),
            ("open.file.name in ${process.seen}", true),
            ("open.file.name not in ${process.seen}", false),
            ("process.comm in ${process.seen}", false),
            ("process.argv.length == ${limit}", true),
            ("${limit} > 3", false),
            ("${process.seen} == \"shadow\"", true),
            ("process.comm in []", false),
            ("process.comm not in []", true),
            ("open.file.name in [NAME, \"x\"]", true),
            ("process.comm in [\"dog\", \"cat\",]", true),
        ],
    );
}

#[test]
fn addresses() {
    check(
        &connecting(),
        &[
            ("connect.addr.ip == 93.184.216.34", true),
            ("connect.addr.ip != 93.184.216.34", false),
            ("connect.addr.ip == 93.184.0.0/16", true),
            ("connect.addr.ip in 93.184.0.0/16", true),
            ("connect.addr.ip not in 10.0.0.0/8", true),
            ("connect.addr.ip in [10.0.0.0/8, 93.184.216.34]", true),
            ("connect.addr.ip in [10.0.0.0/8, ::1, fe80::/10]", false),
            ("connect.addr.ip not in [10.0.0.0/8, ::1, fe80::/10]", true),
            ("connect.addr.ip allin [93.0.0.0/8]", true),
            ("connect.addr.ip in local", false),
            ("connect.addr.ip in nets", false),
            ("93.184.216.34 == connect.addr.ip", true),
            ("connect.addr.hostname == \"www.example.com\"", true),
            ("connect.addr.hostname in [\"WWW.EXAMPLE.COM\"]", true),
            ("connect.addr.hostname =~ ~\"*.example.NET\"", true),
            ("connect.addr.hostname.root_domain == \"example.net\"", true),
            (
                "connect.addr.hostname.root_domain allin [\"example.net\", \"example.com\"]",
                true,
            ),
            (
                "connect.addr.hostname.root_domain allin [\"example.net\"]",
                false,
            ),
            ("connect.addr.hostname.length == 2", true),
        ],
    );
    check(
        &reading(),
        &[
            ("host.ips in 10.0.0.0/8", true),
            ("host.ips not in 10.0.0.0/8", false),
            ("host.ips allin 10.0.0.0/8", false),
            ("host.ips allin [10.0.0.0/8, fe80::/10]", true),
            ("10.0.0.1 in host.ips", true),
            ("10.0.0.2 in host.ips", false),
        ],
    );
    check(
        &TestRecord::default(),
        &[
            ("connect.addr.ip == 0.0.0.0", false),
            ("connect.addr.ip not in 0.0.0.0/0", true),
            ("host.ips in 0.0.0.0/0", false),
        ],
    );
}

const ANCESTORS: &[(&str, bool)] = &[
    ("process.ancestors.file.name == \"sshd\"", true),
    ("process.ancestors.file.name != \"sshd\"", false),
    ("process.ancestors.file.name not in shells", false),
    ("process.ancestors.file.name in [\"nginx\", ~\"ss*\"]", true),
    ("process.ancestors.length == 3", true),
    ("process.ancestors.file.name.length == 4", true),
    ("process.ancestors.file.name.length > 4", false),
    ("process.ancestors[0].file.name == \"bash\"", true),
    ("process.ancestors[1].file.name == \"bash\"", false),
    ("process.ancestors[2].pid == 1", true),
    ("process.ancestors[3].pid == 0", false),
    ("process.ancestors[3].file.name == \"\"", false),
    ("process.ancestors[3].file.name != \"x\"", true),
    ("process.ancestors.is_kworker", true),
    ("!process.ancestors.is_kworker", false),
    ("process.ancestors.is_kworker == false", true),
    ("process.ancestors[0].is_kworker", false),
    ("process.ancestors.argv == \"-e\"", true),
    ("process.ancestors[0].argv == \"-e\"", false),
    ("process.ancestors[1].argv == \"-e\"", true),
    ("\"-D\" in process.ancestors[1].argv", true),
    (
        "process.ancestors.file.name == \"sshd\" && process.ancestors.pid == 50",
        true,
    ),
    (
        "process.ancestors[A].file.name == \"sshd\" && process.ancestors[A].pid == 50",
        false,
    ),
    (
        "process.ancestors[A].file.name == \"sshd\" && process.ancestors[A].pid == 20",
        true,
    ),
    (
        "process.ancestors[A].file.name == \"bash\" && process.ancestors[B].pid == 1",
        true,
    ),
    (
        "process.ancestors[A].pid == process.ancestors[B].pid + 30",
        true,
    ),
    (
        "process.ancestors[A].pid + process.ancestors[A].uid == 20",
        true,
    ),
    (
        "process.ancestors[A].pid + process.ancestors[A].uid == 50",
        false,
    ),
    (
        "process.ancestors[A].uid == 0 && process.ancestors[A].file.name != \"init\"",
        true,
    ),
    (
        "process.ancestors[A].argv == \"-e\" && process.ancestors[A].pid == 20",
        true,
    ),
    (
        "process.ancestors[A].argv == \"-e\" && process.ancestors[A].pid == 50",
        false,
    ),
    (
        "process.ancestors[A].argv != \"-e\" && process.ancestors[A].pid == 20",
        false,
    ),
    ("process.ancestors.uid == process.uid", true),
];

#[test]
fn ancestors_and_registers() {
    check(&reading(), ANCESTORS);
    let orphan = TestRecord::default().text("process.comm", "init");
    check(
        &orphan,
        &[
            ("process.ancestors.file.name == \"sshd\"", false),
            ("process.ancestors.file.name != \"sshd\"", true),
            ("process.ancestors.length == 0", true),
            ("process.ancestors[A].file.name == \"\"", false),
            ("process.ancestors[A].file.name not in shells", true),
            (
                "process.ancestors[A].pid == 1 || process.comm == \"init\"",
                true,
            ),
            ("process.argv == \"\"", false),
            ("process.argv not in [\"\"]", true),
        ],
    );
}

#[test]
fn macros_stand_for_what_they_name() {
    check(
        &reading(),
        &[
            ("is_cat", true),
            ("!is_cat", false),
            ("cat_as_user && is_cat", true),
            ("process.ancestors.file.name in shells", true),
            ("process.comm in shells", false),
            ("process.comm not in shells", true),
            ("open.flags & (writing) > 0", true),
            ("open.flags & writing > 0", true),
            ("open.file.path == secret", true),
            ("open.file.path in secret", true),
            ("open.file.path in files", true),
            ("open.file.path in [\"/x\", secret]", true),
            ("process.comm in [\"dog\", shells]", false),
            ("host.ports in ports", true),
            ("process.pid not in ports", true),
            ("host.ips in nets", true),
            ("process.comm in nothing", false),
            ("process.pid in nothing", false),
        ],
    );
}

#[test]
fn events_are_those_that_have_every_field() {
    let rows: [(&str, &[&str]); 5] = [
        ("process.uid == 0", &[]),
        ("open.flags > 0 && process.uid == 0", &["open"]),
        ("process.uid == 0 || exec.file.path == \"/x\"", &["exec"]),
        ("network.size > 1", &["dns", "imds"]),
        ("network.size > 1 && dns.question.name == \"x\"", &["dns"]),
    ];
    for (text, expected) in rows {
        assert_eq!(compiled(text).unwrap().events(), expected, "{text}");
    }
    let rule = compiled("process.uid == 0 && process.uid < 1 && process.pid == 1").unwrap();
    assert_eq!(rule.fields().len(), 2);
}

#[test]
fn variables_within_strings() {
    check(
        &reading(),
        &[
            ("open.file.path != \"/etc/${name}\"", false),
            ("\"/etc/${name}\" == open.file.path", true),
            ("open.file.path == \"${name}\"", false),
            ("open.file.name == \"${name}\"", true),
            ("open.file.name == \"${name}${name}\"", false),
            ("open.file.path == ~\"/*/${name}\"", true),
            ("open.file.path == \"/*/${name}\"", false),
            ("open.file.path =~ \"/*/${name}\"", true),
            ("open.file.path !~ \"/*/${name}\"", false),
            ("open.file.path =~ ~\"*/${name}\"", false),
            ("open.file.path in [\"/x\", ~\"/e*c/${name}\"]", true),
            ("open.file.path not in [\"/x\", \"/etc/${name}\"]", false),
            ("process.args =~ ~\"*${name}\"", true),
            ("process.args =~ ~\"*=${limit} *\"", true),
            ("process.args =~ ~\"*${open.file.path}*\"", true),
            ("process.args =~ ~\"*${stars}*\"", false),
            ("process.argv in [\"--tail=${limit}\"]", true),
            (
                "process.argv allin [\"-n\", ~\"*${limit}\", ~\"/etc/${name}\"]",
                true,
            ),
            (
                "process.ancestors.file.path in [~\"/usr/*bin/${shell}\"]",
                true,
            ),
            (
                "process.ancestors.file.path in [~\"/usr/*/${name}\"]",
                false,
            ),
            ("open.file.path =~ ~\"/${top}/**\"", true),
            ("process.file.path =~ ~\"/${top}/**\"", false),
            ("open.file.extension == \".${conf}\"", true),
            ("${process.seen.length} == 2", true),
            ("${name.length} == 6 && ${process.pid} == 100", true),
        ],
    );
}

#[test]
fn formulas_give_values() {
    use super::super::types::Value;
    let text = |text: &str| Value::Text(text.to_owned());
    let list = |values: &[Value]| Value::List(values.to_vec());
    for (source, expected) in [
        ("5", Value::Int(5)),
        ("\"a\"", text("a")),
        ("true", Value::Bool(true)),
        ("process.pid", Value::Int(100)),
        ("${limit} + 1", Value::Int(4)),
        ("process.file.path", text("/usr/bin/cat")),
        (
            "\"${limit}-${process.pid}:${process.argv}\"",
            text("3-100:-n,--tail=3,/etc/passwd"),
        ),
        ("process.uid > 0", Value::Bool(true)),
        ("is_cat", Value::Bool(true)),
        ("[\"a\", \"b\"]", list(&[text("a"), text("b")])),
        ("[1, 2]", list(&[Value::Int(1), Value::Int(2)])),
        ("10.0.0.1", Value::Ip("10.0.0.1".parse().unwrap())),
        (
            "process.ancestors.pid",
            list(&[Value::Int(50), Value::Int(20), Value::Int(1)]),
        ),
        ("process.ancestors[0].file.name", list(&[text("bash")])),
        ("${process.seen}", list(&[text("passwd"), text("shadow")])),
    ] {
        let parsed = super::parse_macro(source).unwrap();
        let formula = super::super::formula(&parsed, &super::macros(), &super::TestScheme).unwrap();
        assert_eq!(
            formula.evaluate(&reading()),
            Some(expected.clone()),
            "{source}"
        );
        assert_eq!(formula.kind(), expected.kind(), "{source}");
    }
}
