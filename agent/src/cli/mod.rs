//! The command line: arguments in, exit code out.
//!
//! [`flags`] is the one table of flags, [`commands`] that of commands; [`parse`] and [`help`] read
//! them. Each command
//! has a file of its own, which turns flags into settings, calls a role or asks a running one over
//! the command socket ([`crate::ipc::client`]), and prints. No command knows how events are made.

pub mod admission;
pub mod commands;
pub mod config;
pub mod config_schema;
pub mod events;
pub mod exit;
pub mod flags;
pub mod flare;
pub mod help;
pub mod instrument;
pub mod kube;
pub mod network_check;
pub mod network_dump;
pub mod parse;
pub mod policy;
pub mod policy_eval;
pub mod policy_fields;
pub mod policy_test;
pub mod print;
pub mod role_start;
pub mod run;
pub mod runtime;
pub mod self_test;
pub mod settings;
pub mod status;
pub mod supervisor;
pub mod version;

use std::ffi::OsString;

use exit::Exit;
use flags::Role;
use parse::{Error, Parsed};

pub use crate::ipc::client;
use crate::sys::signals;

/// Runs the command that the arguments name, the program's name first.
pub fn main(arguments: impl IntoIterator<Item = OsString>) -> Exit {
    match parse::parse(arguments) {
        Ok(Parsed::Run(command, arguments)) => {
            // The helper in pods hands on the mask that it was given.
            if arguments.role != Role::CwsInstrumentation {
                signals::unblock_all();
            }
            let exit = (command.run)(&arguments);
            log::logger().flush();
            exit
        }
        Ok(Parsed::Help(text)) => {
            print::line(&text);
            Exit::Success
        }
        Err(Error::Incomplete(help)) => {
            eprint_plain(&help);
            Exit::Usage
        }
        Err(error) => {
            print::error(&error);
            Exit::Usage
        }
    }
}

fn eprint_plain(text: &str) {
    use std::io::Write;
    let _ = write!(std::io::stderr(), "{text}");
}
