//! The helper in pods: it is set up, hands a session to the probes and becomes the user's command.
//!
//! The command line enters as the operating system gives it, and nothing is configured or logged:
//! whoever types in a pod waits for it. Why it could not do its work leaves as a sentence, and the
//! user's command runs all the same.

pub mod inject;
pub mod setup;
