//! The hidden commands that system-probe starts: for its self-test, and for hashing files.

use std::io;

use super::exit::Exit;
use super::parse::Arguments;
use super::print;
use crate::probe::{runner, worker};

/// Reads the events of a self-test from the event socket.
pub fn self_test_runner(arguments: &Arguments) -> Exit {
    ended(runner::run(&arguments.rest()))
}

/// Causes one event of a self-test.
pub fn self_test_trigger(arguments: &Arguments) -> Exit {
    ended(runner::trigger(&arguments.rest()))
}

/// Hashes the files that it is asked for.
pub fn hash_worker(_: &Arguments) -> Exit {
    ended(worker::run())
}

fn ended(result: io::Result<()>) -> Exit {
    match result {
        Ok(()) => Exit::Success,
        Err(error) => {
            print::error(&error);
            Exit::Failure
        }
    }
}
