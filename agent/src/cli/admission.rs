//! `admission-controller`: the admission webhook, in the foreground.

use std::io;

use mio::Registry;

use super::exit::Exit;
use super::flags::{Role, PRINT_CA_BUNDLE};
use super::parse::Arguments;
use super::{print, settings};
use crate::config::{Request, Settings};
use crate::kube::admission::options::Options;
use crate::kube::admission::prepare::Prepare;
use crate::kube::admission::server::{Server, FIRST_PREPARE};
use crate::kube::admission::{certificate, Error};
use crate::kube::api::Pool;

const ROLE: &str = "admission-controller";

/// Serves the webhook until it is told to stop, or prints what API servers are to trust.
pub fn main(arguments: &Arguments) -> Exit {
    if arguments.has(&PRINT_CA_BUNDLE) {
        return print_ca_bundle(arguments);
    }
    // The loop reads it again, and must not wait for the program that knows secrets.
    let request = Request {
        keeps_handles: true,
        ..settings::request(arguments)
    };
    let Some(settings) = settings::of_daemon_by(&request, arguments, ROLE) else {
        return Exit::Failure;
    };
    match serve(&settings, request) {
        Ok(()) => Exit::Success,
        Err(error) => {
            log::error!("{error}");
            Exit::Failure
        }
    }
}

fn print_ca_bundle(arguments: &Arguments) -> Exit {
    match certificate::ca_bundle(&settings::of_client(arguments)) {
        Ok(bundle) => {
            print::line(&bundle);
            Exit::Success
        }
        Err(error) => {
            print::error(&error);
            Exit::Failure
        }
    }
}

fn serve(settings: &Settings, request: Request) -> Result<(), Error> {
    let reload = Box::new(move || read_options(&request));
    let server = Server::new(settings, reload, prepare)?;
    log::info!(
        "`{} {ROLE} --{}` prints the caBundle of the webhook",
        Role::SecurityAgent.name(),
        PRINT_CA_BUNDLE.long
    );
    server.run()
}

/// The processes that ask the API server.
fn prepare(registry: &Registry) -> io::Result<Box<dyn Prepare>> {
    Ok(Box::new(Pool::new(registry, FIRST_PREPARE)?))
}

/// The options as they are now. A file that cannot be used may have said that nothing is to be
/// instrumented.
fn read_options(request: &Request) -> Options {
    let settings = Settings::load(request);
    let (mut options, complaints) = Options::new(&settings);
    complaints.iter().for_each(|text| log::warn!("{text}"));
    if let Some(error) = settings.errors().first() {
        options.off = Some(error.clone());
    }
    options
}
