//! Fields by which events can be left out before rules see them, by event type: what a report on
//! approvers is about.

use super::Fields;
use crate::secl::{Capability, CapabilityKind, Scheme};
use CapabilityKind::{Basename, Boolean, Element, Flags, Range, Value};

/// The capable fields, without the event type in front.
type Row = (
    &'static [&'static str],
    &'static [(&'static str, CapabilityKind)],
);

const TABLE: &[Row] = &[
    (
        &["open"],
        &[
            ("file.path", Basename),
            ("file.name", Basename),
            ("flags", Flags),
            ("file.in_upper_layer", Boolean),
        ],
    ),
    (
        &[
            "chmod", "chown", "mkdir", "rmdir", "unlink", "utimes", "chdir", "exec",
        ],
        &[("file.path", Basename), ("file.name", Basename)],
    ),
    (
        &["link", "rename"],
        &[
            ("file.path", Basename),
            ("file.name", Basename),
            ("file.destination.path", Basename),
            ("file.destination.name", Basename),
        ],
    ),
    (
        &["mmap"],
        &[
            ("file.path", Basename),
            ("file.name", Basename),
            ("protection", Flags),
            ("flags", Flags),
        ],
    ),
    (
        &["mprotect"],
        &[("vm_protection", Flags), ("req_protection", Flags)],
    ),
    (
        &["splice"],
        &[
            ("file.path", Basename),
            ("file.name", Basename),
            ("pipe_entry_flag", Flags),
            ("pipe_exit_flag", Flags),
        ],
    ),
    (&["bpf"], &[("cmd", Value)]),
    (&["sysctl"], &[("action", Value)]),
    (&["connect"], &[("addr.family", Value)]),
    (&["packet"], &[("filter", Element)]),
    (&["prctl"], &[("option", Value)]),
    (&["setsockopt"], &[("level", Value), ("optname", Value)]),
    (
        &["socket"],
        &[("domain", Value), ("type", Value), ("protocol", Value)],
    ),
];

/// The fields by which events of a type can be left out.
pub fn capabilities(event: &str) -> Vec<Capability> {
    let rows = TABLE.iter().filter(|(events, _)| events.contains(&event));
    let named = rows.flat_map(|(_, fields)| fields.iter());
    let named: Vec<(String, CapabilityKind)> = named
        .map(|(name, kind)| (format!("{event}.{name}"), *kind))
        .chain([("process.auid".to_owned(), Range)])
        .collect();
    capabilities_of(&named, &Fields)
}

/// Capabilities of fields by name; names that are no fields are left out.
pub fn capabilities_of<T: AsRef<str>>(
    named: &[(T, CapabilityKind)],
    scheme: &dyn Scheme,
) -> Vec<Capability> {
    let found = named.iter().filter_map(|(name, kind)| {
        let field = scheme.field(name.as_ref())?.id;
        Some(Capability { field, kind: *kind })
    });
    found.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_capable_field_is_a_field() {
        for (events, fields) in TABLE {
            for event in *events {
                assert_eq!(capabilities(event).len(), fields.len() + 1, "{event}");
            }
        }
    }
}
