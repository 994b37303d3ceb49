//! The conditions under which a rule or macro counts: its `filters` and its `agent_version`.
//!
//! A filter is a SECL expression over facts of the host. One table names the facts and says how
//! each is read from a [`Host`]; it serves as scheme and as record.

use super::host::Host;
use super::version;
use crate::policy::file::definition::Conditions;
use crate::secl::{
    self, Constant, Field, FieldId, FieldType, IpNet, Kind, Macros, Record, Scheme, TextKind,
};
use std::collections::HashMap;
use std::fmt;

/// Why a definition does not count here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Error {
    /// The constraint on the agent's version is not met.
    AgentVersion,
    /// No filter is true.
    Filtered,
    /// The constraint cannot be read.
    Constraint(version::Error),
    /// A filter is no valid expression.
    Filter {
        /// The filter as written.
        filter: String,
        /// What is wrong with it.
        error: secl::Error,
    },
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Error::AgentVersion => f.write_str("agent version incompatible"),
            Error::Filtered => f.write_str("agent rule filtered"),
            Error::Constraint(error) => error.fmt(f),
            Error::Filter { filter, error } => write!(f, "filter `{filter}` error: {error}"),
        }
    }
}

impl std::error::Error for Error {}

/// Evaluates conditions on one host, each different filter once.
pub struct Filters<'a> {
    host: &'a Host,
    known: HashMap<String, bool>,
}

impl<'a> Filters<'a> {
    /// Filters over the facts of `host`.
    pub fn new(host: &'a Host) -> Filters<'a> {
        Filters {
            host,
            known: HashMap::new(),
        }
    }

    /// Succeeds when the version constraint holds and some filter is true (or there is none).
    pub fn admit(&mut self, conditions: &Conditions) -> Result<(), Error> {
        let allowed = version::allows(&conditions.agent_version, version::REFERENCE)
            .map_err(Error::Constraint)?;
        if !allowed {
            return Err(Error::AgentVersion);
        }
        let mut admitted = conditions.filters.is_empty();
        for filter in &conditions.filters {
            admitted |= self.is_true(filter)?;
        }
        if admitted {
            Ok(())
        } else {
            Err(Error::Filtered)
        }
    }

    fn is_true(&mut self, filter: &str) -> Result<bool, Error> {
        if let Some(truth) = self.known.get(filter) {
            return Ok(*truth);
        }
        let truth = evaluate(filter, self.host).map_err(|error| Error::Filter {
            filter: filter.to_owned(),
            error,
        })?;
        self.known.insert(filter.to_owned(), truth);
        Ok(truth)
    }
}

fn evaluate(filter: &str, host: &Host) -> Result<bool, secl::Error> {
    let expression = secl::parse(filter)?;
    let compiled = secl::compile(&expression, &Macros::new(), &Facts)?;
    Ok(compiled.matches(host))
}

/// A fact as it is read from a host.
enum Fact<'a> {
    Int(i64),
    Bool(bool),
    Text(&'a str),
    Texts(&'a [String]),
}

type Reader = for<'a> fn(&'a Host) -> Fact<'a>;

/// Every fact by name. The variant that a reader returns is the type of the field.
const FACTS: &[(&str, Reader)] = &[
    ("os", |_| Fact::Text("linux")),
    ("os.id", |host| Fact::Text(&host.os_id)),
    ("os.platform_id", |host| Fact::Text(&host.platform_id)),
    ("os.version_id", |host| Fact::Text(&host.version_id)),
    ("os.is_amazon_linux", |host| is_os(host, &["amzn"], "")),
    ("os.is_cos", |host| is_os(host, &["cos"], "")),
    ("os.is_debian", |host| is_os(host, &["debian"], "")),
    ("os.is_oracle", |host| is_os(host, &["ol"], "")),
    ("os.is_rhel", |host| is_os(host, &["rhel", "centos"], "")),
    ("os.is_rhel7", |host| is_os(host, &["rhel", "centos"], "7")),
    ("os.is_rhel8", |host| is_os(host, &["rhel", "centos"], "8")),
    ("os.is_sles", |host| is_os(host, &["sles"], "")),
    ("os.is_sles12", |host| is_os(host, &["sles"], "12")),
    ("os.is_sles15", |host| is_os(host, &["sles"], "15")),
    ("kernel.version.major", |host| Fact::Int(host.kernel.0)),
    ("kernel.version.minor", |host| Fact::Int(host.kernel.1)),
    ("kernel.version.patch", |host| Fact::Int(host.kernel.2)),
    ("kernel.version.abi", |host| Fact::Text(&host.kernel_abi)),
    ("kernel.version.flavor", |host| {
        Fact::Text(&host.kernel_flavor)
    }),
    ("kernel.core.enabled", |host| Fact::Bool(host.kernel_btf)),
    ("envs", |host| Fact::Texts(&host.envs)),
    ("origin", |host| Fact::Text(&host.origin)),
    ("hostname", |host| Fact::Text(&host.hostname)),
];

fn is_os<'a>(host: &Host, ids: &[&str], major: &str) -> Fact<'a> {
    let version = host.version_id.split('.').next().unwrap_or("");
    Fact::Bool(ids.contains(&host.os_id.as_str()) && (major.is_empty() || version == major))
}

fn read(host: &Host, field: FieldId) -> Option<Fact<'_>> {
    let row = usize::try_from(field.0).ok()?;
    FACTS.get(row).map(|(_, reader)| reader(host))
}

/// The names that a filter may use.
struct Facts;

impl Scheme for Facts {
    fn field(&self, name: &str) -> Option<Field> {
        let row = FACTS.iter().position(|(fact, _)| *fact == name)?;
        let id = FieldId(u32::try_from(row).ok()?);
        let (kind, many) = match read(&Host::default(), id)? {
            Fact::Int(_) => (Kind::Int, false),
            Fact::Bool(_) => (Kind::Bool, false),
            Fact::Text(_) => (Kind::Text, false),
            Fact::Texts(_) => (Kind::Text, true),
        };
        Some(Field {
            id,
            ty: FieldType {
                kind,
                many,
                text: TextKind::Plain,
            },
            events: &[],
            iterator: false,
        })
    }

    fn constant(&self, name: &str) -> Option<Constant> {
        match name {
            "true" => Some(Constant::Bool(true)),
            "false" => Some(Constant::Bool(false)),
            _ => None,
        }
    }

    fn variable(&self, _name: &str) -> Option<Field> {
        None
    }

    fn names(&self) -> Vec<String> {
        FACTS.iter().map(|(name, _)| (*name).to_owned()).collect()
    }

    fn event_types(&self) -> &'static [&'static str] {
        &[]
    }
}

impl Record for Host {
    fn count(&self, field: FieldId) -> usize {
        match read(self, field) {
            Some(Fact::Texts(texts)) => texts.len(),
            _ => 1,
        }
    }

    fn int(&self, field: FieldId, _index: usize) -> i64 {
        match read(self, field) {
            Some(Fact::Int(number)) => number,
            _ => 0,
        }
    }

    fn boolean(&self, field: FieldId, _index: usize) -> bool {
        matches!(read(self, field), Some(Fact::Bool(true)))
    }

    fn text(&self, field: FieldId, index: usize) -> &str {
        match read(self, field) {
            Some(Fact::Text(text)) => text,
            Some(Fact::Texts(texts)) => texts.get(index).map_or("", String::as_str),
            _ => "",
        }
    }

    fn ip(&self, _field: FieldId, _index: usize) -> Option<IpNet> {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn host() -> Host {
        let mut host = Host {
            hostname: "edge-1".to_owned(),
            origin: "ebpf".to_owned(),
            envs: vec!["A=1".to_owned(), "DEPLOY=edge".to_owned()],
            kernel_btf: true,
            ..Host::default()
        };
        host.set_kernel("5.10.102-1-amd64");
        host.set_os_release("ID=rhel\nVERSION_ID=8.9\n");
        host
    }

    fn admit(agent_version: &str, filters: &[&str]) -> Result<(), Error> {
        Filters::new(&host()).admit(&Conditions {
            agent_version: agent_version.to_owned(),
            filters: filters.iter().map(|filter| (*filter).to_owned()).collect(),
        })
    }

    #[test]
    fn filters_read_the_facts() {
        let table = [
            ("os == \"linux\"", true),
            ("os == \"windows\"", false),
            ("os.id == \"rhel\" && os.version_id =~ \"8*\"", true),
            ("os.is_rhel", true),
            ("os.is_rhel8 && !os.is_rhel7", true),
            ("os.is_debian || os.is_sles15", false),
            (
                "kernel.version.major == 5 && kernel.version.minor >= 10",
                true,
            ),
            ("kernel.version.patch < 102", false),
            ("kernel.version.flavor == \"amd64\"", true),
            ("kernel.core.enabled", true),
            ("envs in [\"DEPLOY=edge\"]", true),
            ("envs == \"B\"", false),
            ("origin == \"ebpf\" && hostname =~ \"edge-*\"", true),
        ];
        for (filter, expected) in table {
            let expected = if expected {
                Ok(())
            } else {
                Err(Error::Filtered)
            };
            assert_eq!(admit("", &[filter]), expected, "{filter}");
        }
    }

    #[test]
    fn one_true_filter_is_enough() {
        assert_eq!(admit("", &["os == \"windows\"", "os == \"linux\""]), Ok(()));
        assert_eq!(admit("", &[]), Ok(()));
    }

    #[test]
    fn versions_come_first_and_errors_are_named() {
        assert_eq!(admit("< 7.0", &["nonsense =="]), Err(Error::AgentVersion));
        assert_eq!(admit(">= 7.71", &["os == \"linux\""]), Ok(()));
        let error = admit("", &["os.idd == \"x\""]).unwrap_err().to_string();
        assert!(
            error.starts_with("filter `os.idd == \"x\"` error: "),
            "{error}"
        );
        let error = admit("new", &[]).unwrap_err().to_string();
        assert!(error.contains("`new`"), "{error}");
    }
}
