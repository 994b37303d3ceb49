//! The language as a whole, against a fake scheme and fake records.

mod errors;
mod evaluation;
mod findings;
mod limits;
mod places;
mod reading;

use super::testing::{Held, TestRecord, TestScheme};
use super::{compile, parse, parse_macro, Compiled, Error, Macros};

/// cat reading /etc/passwd, below bash, below sshd, below init.
fn reading() -> TestRecord {
    let ip = |text: &str| text.parse().unwrap();
    TestRecord::default()
        .text("open.file.path", "/etc/passwd")
        .text("open.file.name", "passwd")
        .text("open.file.extension", ".Conf")
        .int("open.flags", 0o102)
        .int("open.retval", -13)
        .with("open.file.in_upper_layer", Held::Flags(vec![true]))
        .int("process.pid", 100)
        .int("process.uid", 1000)
        .int("process.created_at", 5_000_000_000)
        .text("process.file.path", "/usr/bin/cat")
        .text("process.file.name", "cat")
        .text("process.comm", "cat")
        .text("process.args", "-n --tail=3 /etc/passwd")
        .texts("process.argv", &["-n", "--tail=3", "/etc/passwd"])
        .with("process.ancestors", Held::Ints(vec![0, 0, 0]))
        .with("process.ancestors.pid", Held::Ints(vec![50, 20, 1]))
        .with("process.ancestors.uid", Held::Ints(vec![1000, 0, 0]))
        .texts("process.ancestors.file.name", &["bash", "sshd", "init"])
        .texts(
            "process.ancestors.file.path",
            &["/usr/bin/bash", "/usr/sbin/sshd", "/sbin/init"],
        )
        .with(
            "process.ancestors.is_kworker",
            Held::Flags(vec![false, false, true]),
        )
        .with(
            "process.ancestors.argv",
            Held::Nested(vec![vec!["-l"], vec!["-D", "-e"], vec![]]),
        )
        .with("host.ips", Held::Ips(vec![ip("10.0.0.1"), ip("fe80::1")]))
        .with("host.ports", Held::Ints(vec![22, 443]))
        .texts("$process.seen", &["passwd", "shadow"])
        .int("$limit", 3)
        .text("$name", "passwd")
        .text("$shell", "bash")
        .text("$top", "etc")
        .text("$conf", "CONF")
        .text("$stars", "*")
}

/// A connection to a public address.
fn connecting() -> TestRecord {
    let ip = |text: &str| vec![text.parse().unwrap()];
    TestRecord::default()
        .with("connect.addr.ip", Held::Ips(ip("93.184.216.34")))
        .texts(
            "connect.addr.hostname",
            &["WWW.Example.com", "edge.example.net"],
        )
}

fn macros() -> Macros {
    let mut macros = Macros::new();
    let owned = |values: &[&str]| values.iter().map(|v| (*v).to_owned()).collect::<Vec<_>>();
    for (id, text) in [
        ("is_cat", "process.file.name == \"cat\""),
        ("cat_as_user", "is_cat && process.uid > 0"),
        ("shells", "[\"bash\", \"sh\", ~\"z*\"]"),
        ("writing", "O_WRONLY | O_RDWR"),
        ("secret", "\"/etc/passwd\""),
        ("loop", "loop"),
        ("ping", "pong || is_cat"),
        ("pong", "ping"),
        ("broken", "open.file.pth == \"x\""),
        ("bad_glob", "[\"/a\", ~\"/a/**/b\"]"),
        ("local", "10.0.0.0/8"),
    ] {
        macros.insert(id, parse_macro(text).unwrap());
    }
    macros
        .from_values("files", &owned(&["/etc/shadow", "~\"/etc/p*\""]))
        .unwrap();
    macros.from_values("ports", &owned(&["22", "80"])).unwrap();
    macros
        .from_values("nets", &owned(&["10.0.0.0/8", "::1"]))
        .unwrap();
    macros.from_values("nothing", &[]).unwrap();
    macros
}

fn compiled(text: &str) -> Result<Compiled, Error> {
    compile(&parse(text)?, &macros(), &TestScheme)
}

fn check(record: &TestRecord, rows: &[(&str, bool)]) {
    for (text, expected) in rows {
        let rule = compiled(text).unwrap_or_else(|error| panic!("{text}: {error}"));
        assert_eq!(rule.matches(record), *expected, "{text}");
    }
}
