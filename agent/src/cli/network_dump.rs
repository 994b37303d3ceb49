//! `runtime network-namespace dump`: the network namespaces of the host as two files.
//!
//! This process looks at them itself ([`survey`]) and writes JSON with everything that it found, and
//! a graph for Graphviz, in which namespaces are boxes around their interfaces. The files are new and
//! private ([`private_file`]); their paths are printed.

use std::fmt::Write as _;
use std::fs::{self, File};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use serde_json::{json, Value};

use super::exit::Exit;
use super::flags::SNAPSHOT_INTERFACES;
use super::parse::Arguments;
use super::print;
use crate::kernel::inventory::shown;
use crate::kernel::tc::dump::state_name;
use crate::kernel::tc::{survey, Filter, Interface, Namespace, Program, Qdisc, Survey};
use crate::sys::private_file;

/// Beginning of the files' names.
const STEM: &str = "network-namespace-dump";

/// Writes both files and prints where they are.
pub fn main(arguments: &Arguments) -> Exit {
    let wish = arguments.texts(&SNAPSHOT_INTERFACES);
    let wish = wish.last().map_or("", String::as_str);
    let Some(with_interfaces) = truth(wish) else {
        let flag = SNAPSHOT_INTERFACES.long;
        print::error(&format!("--{flag} takes true or false, not `{wish}`"));
        return Exit::Usage;
    };
    match write(&survey(), with_interfaces) {
        Ok((dump, graph)) => {
            print::line(&format!("Network namespace dump: {}", dump.display()));
            print::line(&format!(
                "Network namespace dump graph: {}",
                graph.display()
            ));
            Exit::Success
        }
        Err(error) => {
            print::error(&format!("couldn't dump network namespaces: {error}"));
            Exit::Failure
        }
    }
}

/// What a flag of this sort says; alone it says yes.
fn truth(text: &str) -> Option<bool> {
    match text.to_ascii_lowercase().as_str() {
        "" | "1" | "t" | "true" => Some(true),
        "0" | "f" | "false" => Some(false),
        _ => None,
    }
}

fn write(found: &Survey, with_interfaces: bool) -> io::Result<(PathBuf, PathBuf)> {
    if found.namespaces.is_empty() {
        return Err(io::Error::other(
            "none is to be seen; /proc must be mounted and readable",
        ));
    }
    let text = format!("{:#}\n", json(found, with_interfaces));
    let (dump, file) = private_file::create(STEM, "json")?;
    fill(&dump, file, &text)?;
    let second = private_file::create(STEM, "dot").and_then(|(graph, file)| {
        fill(&graph, file, &dot(found, with_interfaces))?;
        Ok(graph)
    });
    // One without the other would only be left lying about.
    let graph = second.inspect_err(|_| drop(fs::remove_file(&dump)))?;
    Ok((dump, graph))
}

/// Fills a file, or removes it.
fn fill(path: &Path, mut file: File, text: &str) -> io::Result<()> {
    file.write_all(text.as_bytes())
        .inspect_err(|_| drop(fs::remove_file(path)))
}

fn json(found: &Survey, with_interfaces: bool) -> Value {
    let namespaces = found.namespaces.iter();
    let namespaces: Vec<Value> = namespaces
        .map(|namespace| namespace_json(namespace, with_interfaces))
        .collect();
    json!({"namespaces": namespaces, "left_out": found.left_out})
}

fn namespace_json(namespace: &Namespace, with_interfaces: bool) -> Value {
    let mut value = json!({
        "inode": namespace.inode,
        "found_at": namespace.found_at,
        "problem": namespace.problem,
    });
    if let Some(members) = value.as_object_mut().filter(|_| with_interfaces) {
        let interfaces = namespace.interfaces.iter().map(interface_json);
        members.insert("interfaces".to_owned(), interfaces.collect());
    }
    value
}

fn interface_json(interface: &Interface) -> Value {
    json!({
        "index": interface.index,
        "name": interface.name,
        "kind": interface.kind,
        "state": state_name(interface.state),
        "address": address(&interface.address),
        "qdiscs": interface.qdiscs.iter().map(qdisc_json).collect::<Vec<_>>(),
        "filters": interface.filters.iter().map(filter_json).collect::<Vec<_>>(),
    })
}

fn address(bytes: &[u8]) -> String {
    let bytes: Vec<String> = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    bytes.join(":")
}

fn qdisc_json(qdisc: &Qdisc) -> Value {
    json!({
        "kind": qdisc.kind,
        "handle": qdisc.handle.to_string(),
        "parent": qdisc.parent.to_string(),
    })
}

fn filter_json(filter: &Filter) -> Value {
    json!({
        "direction": filter.direction.name(),
        "chain": filter.chain,
        "kind": filter.kind,
        "protocol": filter.protocol,
        "priority": filter.priority,
        "handle": filter.handle,
        "program": filter.program.as_ref().map(program_json),
    })
}

fn program_json(program: &Program) -> Value {
    json!({
        "name": program.name,
        "id": program.id,
        "tag": format!("{:016x}", u64::from_be_bytes(program.tag)),
        "direct_action": program.is_direct,
    })
}

/// The graph in the language of Graphviz. Names of strangers are cut down to plain characters.
fn dot(found: &Survey, with_interfaces: bool) -> String {
    let mut text = String::from("digraph network_namespaces {\n  node [shape=box];\n");
    for namespace in &found.namespaces {
        add_cluster(namespace, with_interfaces, &mut text);
    }
    text.push_str("}\n");
    text
}

fn add_cluster(namespace: &Namespace, with_interfaces: bool, text: &mut String) {
    let inode = namespace.inode;
    let words = namespace.found_at.split(' ').map(quotable);
    let found_at: Vec<String> = words.collect();
    let _ = writeln!(text, "  subgraph cluster_{inode} {{");
    let _ = writeln!(
        text,
        "    label=\"network namespace {inode}\\n{}\";",
        found_at.join(" ")
    );
    // A box around nothing would not be drawn.
    if !with_interfaces || namespace.interfaces.is_empty() {
        let _ = writeln!(text, "    \"{inode}\" [shape=point, style=invis];");
    }
    for interface in namespace.interfaces.iter().filter(|_| with_interfaces) {
        let (index, name) = (interface.index, quotable(&interface.name));
        let kind = match interface.kind.as_str() {
            "" => String::new(),
            kind => format!(" ({})", quotable(kind)),
        };
        let _ = write!(
            text,
            "    \"{inode}/{index}\" [label=\"{index}: {name}{kind}\\n{}",
            state_name(interface.state)
        );
        for filter in &interface.filters {
            add_filter(filter, text);
        }
        text.push_str("\"];\n");
    }
    text.push_str("  }\n");
}

/// A line in the box of its interface.
fn add_filter(filter: &Filter, text: &mut String) {
    let (direction, priority) = (filter.direction.name(), filter.priority);
    let kind = quotable(&filter.kind);
    let _ = write!(text, "\\n{direction} {priority} {kind}");
    if let Some(program) = &filter.program {
        let _ = write!(text, " {}", quotable(&program.name));
    }
}

/// A name that can stand between quotation marks.
fn quotable(name: &str) -> String {
    shown(name).replace(['"', '\\'], "?")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernel::tc::{Direction, Handle};
    use std::os::unix::fs::MetadataExt;

    fn found() -> Survey {
        let filter = Filter {
            direction: Direction::Egress,
            chain: 0,
            kind: "bpf".to_owned(),
            protocol: 3,
            priority: 1,
            handle: 2,
            program: Some(Program {
                name: "cil_to_netdev".to_owned(),
                id: 42,
                tag: [0xab; 8],
                is_direct: true,
            }),
        };
        let interface = Interface {
            index: 2,
            name: "e\"th\\0".to_owned(),
            kind: "veth".to_owned(),
            state: 6,
            address: vec![2, 0, 0xfc, 0, 0, 1],
            qdiscs: vec![Qdisc {
                kind: "clsact".to_owned(),
                handle: Handle(0xffff_0000),
                parent: Handle(0xffff_fff1),
            }],
            filters: vec![filter],
            ..Interface::default()
        };
        let problem = Namespace {
            inode: 8,
            found_at: "/run/netns/blue".to_owned(),
            problem: "it cannot be entered".to_owned(),
            ..Namespace::default()
        };
        Survey {
            namespaces: vec![
                Namespace {
                    inode: 7,
                    found_at: "pid 1".to_owned(),
                    interfaces: vec![interface],
                    problem: String::new(),
                },
                problem,
            ],
            left_out: 1,
        }
    }

    #[test]
    fn namespaces_become_json() {
        let expected = json!({
            "namespaces": [
                {
                    "inode": 7,
                    "found_at": "pid 1",
                    "problem": "",
                    "interfaces": [{
                        "index": 2,
                        "name": "e\"th\\0",
                        "kind": "veth",
                        "state": "up",
                        "address": "02:00:fc:00:00:01",
                        "qdiscs": [{"kind": "clsact", "handle": "ffff:", "parent": "ffff:fff1"}],
                        "filters": [{
                            "direction": "egress",
                            "chain": 0,
                            "kind": "bpf",
                            "protocol": 3,
                            "priority": 1,
                            "handle": 2,
                            "program": {
                                "name": "cil_to_netdev",
                                "id": 42,
                                "tag": "abababababababab",
                                "direct_action": true,
                            },
                        }],
                    }],
                },
                {
                    "inode": 8,
                    "found_at": "/run/netns/blue",
                    "problem": "it cannot be entered",
                    "interfaces": [],
                },
            ],
            "left_out": 1,
        });
        assert_eq!(json(&found(), true), expected);
        let without = json(&found(), false);
        assert_eq!(without["namespaces"][0]["inode"], 7);
        assert_eq!(without["namespaces"][0].get("interfaces"), None);
    }

    #[test]
    fn namespaces_become_a_graph() {
        let expected = r#"digraph network_namespaces {
  node [shape=box];
  subgraph cluster_7 {
    label="network namespace 7\npid 1";
    "7/2" [label="2: e?th?0 (veth)\nup\negress 1 bpf cil_to_netdev"];
  }
  subgraph cluster_8 {
    label="network namespace 8\n/run/netns/blue";
    "8" [shape=point, style=invis];
  }
}
"#;
        assert_eq!(dot(&found(), true), expected);
        assert!(!dot(&found(), false).contains("veth"));
    }

    #[test]
    fn both_files_are_written_for_their_owner_only() {
        let (dump, graph) = write(&found(), true).unwrap();
        for path in [&dump, &graph] {
            let mode = fs::metadata(path).unwrap().mode();
            assert_eq!(mode & 0o7777, 0o600, "{path:?}");
        }
        let text = fs::read_to_string(&dump).unwrap();
        let value: Value = serde_json::from_str(&text).unwrap();
        assert_eq!(value, json(&found(), true));
        let text = fs::read_to_string(&graph).unwrap();
        assert_eq!(text, dot(&found(), true));
        for path in [dump, graph] {
            fs::remove_file(path).unwrap();
        }
        assert!(write(&Survey::default(), true).is_err());
    }

    #[test]
    fn truth_is_understood_as_go_does() {
        for (text, expected) in [
            ("", Some(true)),
            ("true", Some(true)),
            ("T", Some(true)),
            ("1", Some(true)),
            ("FALSE", Some(false)),
            ("0", Some(false)),
            ("no", None),
        ] {
            assert_eq!(truth(text), expected, "{text}");
        }
    }
}
