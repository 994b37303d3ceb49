//! Classifiers of others, which the tests attach under other names, and what tc(8) shows of all.
//!
//! One is a classic or an extended BPF program that gives the same result for every packet. Extended
//! ones are loaded by tc(8) from object files that are written here, so that no compiler is needed.

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::net_places::Namespace;
use crate::report::{Failure, Outcome};
use crate::scratch;

/// What our filters' names begin with.
const OURS: &str = "security-agent/";

/// The two ways of a packet through an interface.
pub(crate) const DIRECTIONS: [&str; 2] = ["ingress", "egress"];

/// What a classifier answers (include/uapi/linux/pkt_cls.h).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// TC_ACT_UNSPEC: the next one decides.
    Unspecified,
    /// TC_ACT_OK: the packet passes, and no other one is asked.
    Pass,
    /// TC_ACT_SHOT: the packet is dropped.
    Drop,
    /// TC_ACT_REDIRECT, but nowhere: the packet is dropped.
    Redirect,
}

impl Verdict {
    /// Every one of them.
    pub(crate) const ALL: [Verdict; 4] = [
        Verdict::Unspecified,
        Verdict::Pass,
        Verdict::Drop,
        Verdict::Redirect,
    ];

    /// Whether packets get past it.
    pub(crate) fn lets_pass(self) -> bool {
        matches!(self, Verdict::Unspecified | Verdict::Pass)
    }

    fn number(self) -> i32 {
        match self {
            Verdict::Unspecified => -1,
            Verdict::Pass => 0,
            Verdict::Drop => 2,
            Verdict::Redirect => 7,
        }
    }
}

/// How a program comes into the kernel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Program {
    /// Classic BPF.
    Classic,
    /// Extended BPF.
    Extended,
}

/// A classifier of somebody else.
#[derive(Clone, Debug)]
pub(crate) struct Foreign {
    pub(crate) interface: String,
    pub(crate) direction: &'static str,
    pub(crate) priority: u32,
    pub(crate) verdict: Verdict,
    pub(crate) program: Program,
}

/// Gives each of these interfaces a clsact qdisc.
pub(crate) fn prepare<'a>(
    namespace: &Namespace,
    interfaces: impl Iterator<Item = &'a str>,
) -> Outcome {
    let lines: Vec<String> = interfaces
        .map(|interface| format!("qdisc add dev {interface} clsact"))
        .collect();
    namespace.tc_lines(&[], &lines).map(drop)
}

/// Attaches classifiers; the interfaces have their qdisc.
pub(crate) fn attach(namespace: &Namespace, foreign: &[Foreign]) -> Outcome {
    let objects = scratch::directory("objects")?;
    let lines = foreign
        .iter()
        .map(|one| Ok(format!("filter add {}", describe(one, &objects)?)))
        .collect::<Result<Vec<String>, Failure>>()?;
    let attached = namespace.tc_lines(&[], &lines).map(drop);
    fs::remove_dir_all(&objects)?;
    attached
}

/// The words of tc(8) for a classifier, from the interface on; objects are written there.
fn describe(one: &Foreign, objects: &Path) -> Result<String, Failure> {
    let number = one.verdict.number();
    let program = match one.program {
        // The kernel takes the number as unsigned.
        Program::Classic => format!("bytecode \"1,6 0 0 {}\"", number.cast_unsigned()),
        Program::Extended => {
            let path = write_object(objects, number)?;
            format!("object-file {} section classifier", path.display())
        }
    };
    Ok(format!(
        "dev {} {} prio {} handle 1 protocol all bpf direct-action {program}",
        one.interface, one.direction, one.priority
    ))
}

fn write_object(objects: &Path, number: i32) -> Result<PathBuf, Failure> {
    let path = objects.join(format!("neighbour{}.o", number.cast_unsigned()));
    if !path.exists() {
        fs::write(&path, object(number))?;
    }
    Ok(path)
}

/// A relocatable object (ELF64, little-endian, EM_BPF) whose section `classifier` returns a number.
fn object(number: i32) -> Vec<u8> {
    const NAMES: &[u8] = b"\0.strtab\0.symtab\0classifier\0license\0neighbour\0";
    const LICENSE: &[u8] = b"GPL\0";
    // r0 = number; exit
    let mut code = vec![0xb7, 0, 0, 0];
    code.extend(number.to_le_bytes());
    code.extend([0x95, 0, 0, 0, 0, 0, 0, 0]);
    // The empty symbol, then a global function in section 3.
    let mut symbols = vec![0; 24];
    symbols.extend(36_u32.to_le_bytes());
    symbols.extend([0x12, 0, 3, 0]);
    symbols.extend(0_u64.to_le_bytes());
    symbols.extend(16_u64.to_le_bytes());
    // Name, type, flags, link, info, alignment, size of an entry; content.
    let sections: [([u32; 7], &[u8]); 4] = [
        ([1, 3, 0, 0, 0, 1, 0], NAMES),
        ([9, 2, 0, 1, 1, 8, 24], &symbols),
        ([17, 1, 6, 0, 0, 8, 0], &code),
        ([28, 1, 3, 0, 0, 1, 0], LICENSE),
    ];
    let mut content = Vec::new();
    let mut headers = vec![0; 64];
    for ([name, kind, flags, link, info, alignment, entry], bytes) in sections {
        content.resize(content.len().next_multiple_of(8), 0);
        let offset = 64 + content.len() as u64;
        headers.extend(name.to_le_bytes());
        headers.extend(kind.to_le_bytes());
        for number in [u64::from(flags), 0, offset, bytes.len() as u64] {
            headers.extend(number.to_le_bytes());
        }
        headers.extend(link.to_le_bytes());
        headers.extend(info.to_le_bytes());
        headers.extend(u64::from(alignment).to_le_bytes());
        headers.extend(u64::from(entry).to_le_bytes());
        content.extend(bytes);
    }
    content.resize(content.len().next_multiple_of(8), 0);
    let mut file = b"\x7fELF\x02\x01\x01\0\0\0\0\0\0\0\0\0\x01\0\xf7\0\x01\0\0\0".to_vec();
    // No entry point and no program headers.
    file.extend([0; 16]);
    file.extend((64 + content.len() as u64).to_le_bytes());
    file.extend(0_u32.to_le_bytes());
    // Sizes and counts: this header, program headers, section headers; the section of names.
    for number in [64_u16, 0, 0, 64, 5, 1] {
        file.extend(number.to_le_bytes());
    }
    file.extend(content);
    file.extend(headers);
    file
}

/// One filter as tc(8) shows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Filter {
    pub(crate) interface: String,
    pub(crate) direction: &'static str,
    pub(crate) priority: u64,
    /// Its name; empty when it has none, as classic ones.
    pub(crate) name: String,
    /// Everything that is shown of it, without statistics.
    pub(crate) text: String,
}

impl Filter {
    /// Whether the agent attached it.
    pub(crate) fn is_ours(&self) -> bool {
        self.name.starts_with(OURS)
    }

    /// Its handle, in hexadecimal.
    pub(crate) fn handle(&self) -> String {
        let shown: Value = serde_json::from_str(&self.text).unwrap_or_default();
        let handle = shown["options"]["handle"].as_str();
        handle.unwrap_or_default().to_owned()
    }

    /// The start of the agent that attached it; empty for others.
    pub(crate) fn run(&self) -> &str {
        let rest = self.name.strip_prefix(OURS).unwrap_or_default();
        rest.split('/').next().unwrap_or_default()
    }
}

/// The filters of these interfaces, ingress before egress, in the order in which they are asked.
pub(crate) fn filters(
    namespace: &Namespace,
    interfaces: &[String],
) -> Result<Vec<Filter>, Failure> {
    let places: Vec<(&String, &'static str)> = interfaces
        .iter()
        .flat_map(|interface| DIRECTIONS.map(|direction| (interface, direction)))
        .collect();
    let lines: Vec<String> = places
        .iter()
        .map(|(interface, direction)| format!("filter show dev {interface} {direction}"))
        .collect();
    let printed = namespace.tc_lines(&["-j"], &lines)?;
    let mut shown = serde_json::Deserializer::from_str(&printed).into_iter::<Value>();
    let mut found = Vec::new();
    for (interface, direction) in places {
        let list = shown
            .next()
            .ok_or("tc shows less than it was asked for")??;
        // Each priority has a line of its own as well, which holds no filter.
        let entries = list.as_array().into_iter().flatten();
        for entry in entries.filter(|entry| entry["options"].is_object()) {
            let name = entry["options"]["bpf_name"].as_str().unwrap_or_default();
            found.push(Filter {
                interface: interface.clone(),
                direction,
                priority: entry["pref"].as_u64().unwrap_or(0),
                name: name.to_owned(),
                text: entry.to_string(),
            });
        }
    }
    Ok(found)
}

/// The filters of others among these.
pub(crate) fn of_others(filters: &[Filter]) -> Vec<Filter> {
    let others = filters.iter().filter(|filter| !filter.is_ours());
    others.cloned().collect()
}

/// Whether each of these interfaces has one filter of ours in each direction, and no other one.
pub(crate) fn all_attached(filters: &[Filter], interfaces: &[String]) -> bool {
    interfaces.iter().all(|interface| {
        DIRECTIONS.iter().all(|direction| {
            let ours = filters.iter().filter(|filter| filter.is_ours());
            ours.filter(|filter| filter.interface == *interface && filter.direction == *direction)
                .count()
                == 1
        })
    })
}

/// The qdiscs of a namespace, a line of text each, sorted.
pub(crate) fn qdiscs(namespace: &Namespace) -> Result<Vec<String>, Failure> {
    let list: Value = serde_json::from_str(&namespace.tc(&["-j", "qdisc", "show"])?)?;
    let mut lines: Vec<String> = list
        .as_array()
        .into_iter()
        .flatten()
        .map(Value::to_string)
        .collect();
    lines.sort();
    Ok(lines)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_object_points_at_what_it_holds() {
        let object = object(-1);
        let number = |at: usize| u64::from_le_bytes(object[at..at + 8].try_into().unwrap());
        let headers = usize::try_from(number(40)).unwrap();
        assert_eq!(object.len(), headers + 5 * 64);
        let code = usize::try_from(number(headers + 3 * 64 + 24)).unwrap();
        let expected = [0xb7, 0, 0, 0, 255, 255, 255, 255, 0x95, 0, 0, 0, 0, 0, 0, 0];
        assert_eq!(object[code..code + 16], expected);
        let names = usize::try_from(number(headers + 64 + 24)).unwrap();
        assert!(object[names + 17..].starts_with(b"classifier\0"));
        assert!(object[names + 36..].starts_with(b"neighbour\0"));
    }

    #[test]
    fn ours_are_told_by_their_names() {
        let filter = |name: &str| Filter {
            interface: "cwst0".to_owned(),
            direction: "ingress",
            priority: 10,
            name: name.to_owned(),
            text: String::new(),
        };
        let ours = filter("security-agent/00000000000000ff/ingress");
        assert!(ours.is_ours() && ours.run() == "00000000000000ff");
        assert!(!filter("neighbour0.o:[classifier]").is_ours());
        assert!(!all_attached(&[ours], &["cwst0".to_owned()]));
    }
}
