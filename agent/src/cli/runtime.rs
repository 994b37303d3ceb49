//! The hidden commands that roles start: for the self-test, for hashing files, for HTTP, for
//! the API server of a cluster and for flares.

use std::io;

use super::exit::Exit;
use super::parse::Arguments;
use super::print;
use crate::flare;
use crate::http::serve;
use crate::kube::api;
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

/// Makes the HTTP requests that it is asked for.
pub fn http_worker(_: &Arguments) -> Exit {
    ended(serve::run())
}

/// Asks the API server of the cluster about the pods that it is asked for.
pub fn kube_worker(_: &Arguments) -> Exit {
    ended(api::serve::run())
}

/// Runs the collectors of a flare that it is asked for.
pub fn flare_worker(_: &Arguments) -> Exit {
    ended(flare::worker::run())
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
