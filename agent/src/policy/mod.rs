//! Policies: files in, a set of compiled rules and a report out.
//!
//! [`read_directory`] fetches bytes, [`RuleSet::load`] turns them into rules: YAML and typed
//! definitions ([`file`]), conditions on host and version ([`condition`]), joining of definitions
//! with the same id ([`merge`]), compilation by [`crate::secl`] ([`compile`]), actions ([`action`])
//! and the variables that they set ([`variable`]); [`load`] leads
//! through these steps. What went wrong, and where, is in the [`Report`]; a rule that does not
//! load never keeps the others from running. Which events exist is told by the caller; acting on
//! a match is the caller's too.

pub mod action;
pub mod compile;
pub mod condition;
pub mod error;
pub mod examples;
pub mod explain;
pub mod file;
pub mod fim;
pub mod limiter;
pub mod load;
pub mod merge;
pub mod report;
pub mod rule;
pub mod variable;

pub use condition::host::Host;
pub use file::position::Location;
pub use file::source::{read_directory, read_policy, ReadError, Source};
pub use limiter::Limiter;
pub use load::{Options, RuleSet};
pub use report::{PolicyReport, PolicyStatus, Problem, Report, RuleReport, Status};
pub use rule::Rule;

#[cfg(test)]
mod tests;
