//! `runtime self-test`: asks system-probe to run its self-test and waits for the result.

use std::time::Duration;

use serde_json::json;

use super::client::{self, Error};
use super::exit::Exit;
use super::parse::Arguments;
use super::{print, settings};

/// A request waits up to 30 s for a run that is under way, then for its own.
const LIMIT: Duration = Duration::from_secs(35);

/// Prints the result; success only when every event came back.
pub fn main(arguments: &Arguments) -> Exit {
    let settings = settings::of_client(arguments);
    let request = json!({"command": "self_test"});
    match client::request(&settings.command_socket(), &request, LIMIT) {
        Ok(_) => {
            print::line("Runtime self test: OK");
            Exit::Success
        }
        Err(Error::Refused(sentence)) => {
            print::line(&format!("Runtime self test: error: {sentence}"));
            Exit::Failure
        }
        Err(error @ Error::Connect { .. }) => {
            print::error(&format!(
                "unable to create a runtime security client instance: {error}"
            ));
            Exit::Failure
        }
        Err(error) => {
            print::error(&format!("unable to get a process self test: {error}"));
            Exit::Failure
        }
    }
}
