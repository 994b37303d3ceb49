//! Policies: files in, a set of compiled rules and a report out.
//!
//! [`read_directory`] fetches bytes, [`RuleSet::load`] turns them into rules: YAML ([`yaml`]),
//! typed definitions ([`definition`]), conditions on host and version ([`filter`], [`version`]),
//! joining of definitions with the same id ([`merge`]), compilation by [`crate::secl`]
//! ([`compile`]); [`load`] leads through these steps. What went wrong, and where ([`position`]), is in the [`Report`]; a rule that does
//! not load never keeps the others from running. Which events exist is told by the caller; acting
//! on a match is the caller's too.

pub mod compile;
pub mod definition;
pub mod document;
pub mod error;
pub mod filter;
pub mod host;
pub mod limiter;
pub mod load;
pub mod merge;
pub mod position;
pub mod report;
pub mod rule;
pub mod source;
pub mod version;
pub mod yaml;

pub use host::Host;
pub use limiter::Limiter;
pub use load::{Options, RuleSet};
pub use position::Location;
pub use report::{PolicyReport, PolicyStatus, Problem, Report, RuleReport, Status};
pub use rule::Rule;
pub use source::{read_directory, ReadError, Source};
