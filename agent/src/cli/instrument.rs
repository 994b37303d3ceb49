//! The commands of `cws-instrumentation`, the helper in pods.

use std::path::Path;

use super::exit::Exit;
use super::flags::VOLUME_MOUNT;
use super::parse::Arguments;
use super::{help, print};
use crate::kube::instrument::inject::{Request, NOT_EXECUTABLE, NOT_FOUND};
use crate::kube::instrument::setup;
use crate::sys::inherited;

/// Leaves a copy of the helper in a volume.
pub fn setup(arguments: &Arguments) -> Exit {
    let Some(volume) = arguments.value(&VOLUME_MOUNT) else {
        print::error(&"--cws-volume-mount is missing: name the directory of the volume");
        return Exit::Usage;
    };
    match setup::copy_into(Path::new(volume)) {
        Ok(()) => Exit::Success,
        Err(error) => {
            print::error(&error);
            Exit::Failure
        }
    }
}

/// Says whose session it is and becomes the user's command.
pub fn inject(arguments: &Arguments) -> Exit {
    let request = Request::parse(arguments.raw_rest());
    if request.wants_help && !request.has_command() {
        print::line(&help::text(arguments.role, &["inject".to_owned()]));
        return Exit::Success;
    }
    if request.has_command() {
        if let Err(error) = request.hand_over() {
            print::error(&format_args!(
                "{error}; the command runs without a user session"
            ));
        }
    }
    inherited::restore();
    let error = request.execute();
    print::error(&error);
    match error.code() {
        NOT_FOUND => Exit::CommandNotFound,
        NOT_EXECUTABLE => Exit::CommandNotExecutable,
        _ => Exit::Failure,
    }
}

/// Says that the helper runs here.
pub fn health(_: &Arguments) -> Exit {
    print::line("OK");
    Exit::Success
}
