//! Variables: what rules remember from one event to the next.
//!
//! The `set` actions of a rule set declare them ([`Declarations`], which also is the scheme that
//! rules are checked against); [`Store`] keeps what they hold, by scope; [`Scoped`] is an event
//! together with the variables that it sees, as rules are evaluated on it. Who an event belongs to
//! is told by a [`Subject`]; time enters as monotonic nanoseconds.

mod declare;
mod scoped;
mod store;

pub use declare::{is_variable, Declarations, Undeclared};
pub use scoped::Scoped;
pub use store::{Counters, Store};

/// A process: its id, and when it started, which tells it from others that had the id.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ProcessKey {
    /// Process id.
    pub pid: u32,
    /// Its start, in whatever unit the events have.
    pub start: u64,
}

/// To whom an event belongs.
pub trait Subject {
    /// The process that did it; `None` when nothing is known of it.
    fn process(&self) -> Option<ProcessKey>;
    /// Its container, or "".
    fn container(&self) -> &str;
    /// Its cgroup, or "".
    fn cgroup(&self) -> &str;
    /// The process with this id at the time of the event.
    fn find(&self, pid: u32) -> Option<ProcessKey>;
}

#[cfg(test)]
mod tests;
