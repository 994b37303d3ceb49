//! Conditions on the agent and its host under which a rule or macro counts.

pub mod filter;
pub mod host;
pub mod version;
