//! `runtime policy fields`: the manual of what rules can say, made from the tables.
//!
//! Event types, fields and constants, as text for people or as JSON for editors and generators.
//! Everything comes from [`crate::event`]; nothing is asked of a running role.

use std::fmt::{self, Write as _};

use serde_json::{json, Value};

use super::exit::Exit;
use super::flags::{EVENT, JSON};
use super::parse::Arguments;
use super::{help, print};
use crate::event::constants;
use crate::event::fields::{self, FieldRow};
use crate::event::types::{RuleType, RULE_TYPES, TYPES};

/// Why there is nothing to print.
#[derive(Debug, PartialEq, Eq)]
enum Error {
    /// There is no such event type; perhaps this one was meant.
    UnknownType { name: String, nearest: &'static str },
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Error::UnknownType { name, nearest } = self;
        write!(
            f,
            "there is no event type `{name}`; did you mean `{nearest}`?"
        )
    }
}

impl std::error::Error for Error {}

/// Prints the manual, of one event type or of all.
pub fn main(arguments: &Arguments) -> Exit {
    let event = arguments
        .value(&EVENT)
        .map(|event| event.to_string_lossy().into_owned());
    match Manual::new(event.as_deref()) {
        Ok(manual) if arguments.has(&JSON) => print::line(&format!("{:#}", manual.json())),
        Ok(manual) => print::line(&manual.text()),
        Err(error) => {
            print::error(&error);
            return Exit::Failure;
        }
    }
    Exit::Success
}

/// What is to be printed.
struct Manual {
    types: Vec<RuleType>,
    fields: Vec<FieldRow>,
}

impl Manual {
    /// Of one event type and what all types share, or of every type.
    fn new(event: Option<&str>) -> Result<Manual, Error> {
        let Some(event) = event else {
            return Ok(Manual {
                types: TYPES.to_vec(),
                fields: fields::all().collect(),
            });
        };
        let types: Vec<RuleType> = TYPES
            .iter()
            .copied()
            .filter(|one| one.name == event)
            .collect();
        if types.is_empty() {
            return Err(Error::UnknownType {
                name: event.to_owned(),
                nearest: nearest(event),
            });
        }
        let belongs = |row: &FieldRow| {
            let events = row.field.events;
            events.is_empty() || events.contains(&event)
        };
        Ok(Manual {
            types,
            fields: fields::all().filter(belongs).collect(),
        })
    }

    fn text(&self) -> String {
        let mut text = String::from("EVENT TYPES\n\n");
        for one in &self.types {
            let remark = match one.observed() {
                true => "",
                false => "  (not observed by this release)",
            };
            let _ = writeln!(text, "  {:22}{}{remark}", one.name, one.category);
        }
        text.push_str("\nFIELDS\n");
        let mut section = None;
        for row in &self.fields {
            let events = row.field.events;
            if section.replace(events) != Some(events) {
                let _ = writeln!(text, "\n{}:", heading(events));
            }
            add_field(&mut text, row);
        }
        text.push_str(
            "\nA type with [] has any number of elements. Strings, lists and iterators have \
             .length too,\nnames of hosts .root_domain.\n\nCONSTANTS\n",
        );
        for family in constants::families() {
            let _ = writeln!(text, "\n{}:", family.name);
            for (name, value) in family.constants() {
                let _ = writeln!(text, "  {name:44}{value}");
            }
        }
        text
    }

    fn json(&self) -> Value {
        let types = self.types.iter().map(
            |one| json!({"name": one.name, "category": one.category, "observed": one.observed()}),
        );
        let fields = self.fields.iter().map(|row| {
            json!({
                "name": row.name,
                "type": row.type_name(),
                "events": row.field.events,
                "about": row.about,
                "observed": row.observed,
            })
        });
        let constants = constants::families().flat_map(|family| {
            family.constants().map(
                move |(name, value)| json!({"family": family.name, "name": name, "value": value}),
            )
        });
        json!({
            "event_types": types.collect::<Vec<_>>(),
            "fields": fields.collect::<Vec<_>>(),
            "constants": constants.collect::<Vec<_>>(),
        })
    }
}

fn heading(events: &[&str]) -> String {
    match events {
        [] => "Of every event".to_owned(),
        _ => format!("Of {}", events.join(", ")),
    }
}

fn add_field(text: &mut String, row: &FieldRow) {
    let remark = if row.observed {
        ""
    } else {
        " (empty in this release)"
    };
    let (name, ty, about) = (&row.name, row.type_name(), row.about);
    let _ = writeln!(text, "  {name:54} {ty:9} {about}{remark}");
}

/// The event type whose name looks most like this one.
fn nearest(name: &str) -> &'static str {
    // The cost is quadratic, and no name is half as long.
    let name: String = name.chars().take(64).collect();
    RULE_TYPES
        .iter()
        .copied()
        .min_by_key(|known| help::distance(&name, known))
        .unwrap_or("")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_text_has_types_fields_and_constants() {
        let text = Manual::new(None).unwrap().text();
        for line in [
            "EVENT TYPES",
            "  open                  File Activity",
            "  dns                   Network Activity",
            "  bpf                   Kernel Activity  (not observed by this release)",
            "FIELDS",
            "Of every event:",
            "Of dns, failed_dns, imds, packet:",
            "CONSTANTS",
            "open flags:",
        ] {
            assert!(text.lines().any(|one| one == line), "{line}");
        }
        let line = |name: &str| {
            let found = text
                .lines()
                .find(|line| line.split_whitespace().next() == Some(name));
            let words: Vec<&str> = found.unwrap().split_whitespace().collect();
            words.join(" ")
        };
        assert_eq!(line("open.file.path"), "open.file.path path absolute path");
        assert_eq!(
            line("bpf.prog.helpers"),
            "bpf.prog.helpers int[] helper functions that the program calls (empty in this release)"
        );
        assert_eq!(line("O_CREAT"), "O_CREAT 64");
        assert!(line("process.ancestors.file.path").contains(" path[] "));
    }

    #[test]
    fn one_type_has_its_own_fields_and_those_of_every_type() {
        let manual = Manual::new(Some("chmod")).unwrap();
        let names: Vec<&str> = manual.types.iter().map(|one| one.name).collect();
        assert_eq!(names, ["chmod"]);
        let has = |name: &str| manual.fields.iter().any(|row| row.name == name);
        assert!(has("chmod.file.path") && has("process.pid") && has("container.id"));
        assert!(!has("open.file.path") && !has("network.size"));
        let dns = Manual::new(Some("dns")).unwrap();
        assert!(dns.fields.iter().any(|row| row.name == "network.size"));
    }

    #[test]
    fn the_json_has_what_the_tables_have() {
        let json = Manual::new(Some("connect")).unwrap().json();
        let expected = json!([
            {"name": "connect", "category": "Network Activity", "observed": true}
        ]);
        assert_eq!(json["event_types"], expected);
        let find = |list: &str, name: &str| {
            let items = json[list].as_array().unwrap();
            let found = items.iter().find(|one| one["name"] == name);
            found.unwrap_or_else(|| panic!("{name}")).clone()
        };
        let port = json!({
            "name": "connect.addr.port",
            "type": "int",
            "events": ["connect"],
            "about": "port that was connected to",
            "observed": true,
        });
        assert_eq!(find("fields", "connect.addr.port"), port);
        for (name, ty) in [
            ("connect.addr.ip", "ip"),
            ("connect.addr.is_public", "bool"),
            ("connect.addr.hostname", "string[]"),
            ("process.comm", "string"),
        ] {
            assert_eq!(find("fields", name)["type"], ty, "{name}");
        }
        assert_eq!(find("fields", "process.comm")["events"], json!([]));
        let constant = json!({"family": "address families", "name": "AF_INET", "value": 2});
        assert_eq!(find("constants", "AF_INET"), constant);
    }

    #[test]
    fn unknown_types_are_told_the_nearest() {
        for (name, nearest) in [
            ("opne", "open"),
            ("Connect", "connect"),
            ("chmods", "chmod"),
        ] {
            let error = Manual::new(Some(name)).err().unwrap();
            let expected = format!("there is no event type `{name}`; did you mean `{nearest}`?");
            assert_eq!(error.to_string(), expected);
        }
        assert!(Manual::new(Some(&"x".repeat(10_000))).is_err());
    }
}
