//! What the roles' unix sockets have in common: connections of bounded lines, the command server
//! and its client.
//!
//! Lines enter and leave; what they mean is known to the roles. The listening sockets themselves
//! and who may connect to them are in [`crate::sys::socket`]. `PROTOCOL.md` beside the probe role
//! says what is spoken.

pub mod client;
mod commands;
mod connection;
mod reception;

pub use commands::{failure, Command, Commands, SUCCESS};
pub use connection::{Connection, Input};
pub use reception::{Reception, PEERS};
