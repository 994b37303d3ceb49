//! `version`.

use super::exit::Exit;
use super::parse::Arguments;
use super::print;

/// Version of this program.
pub const VERSION: &str = env!("CARGO_PKG_VERSION");

/// Prints the version.
pub fn main(arguments: &Arguments) -> Exit {
    let machine = std::env::consts::ARCH;
    print::line(&format!(
        "{} {VERSION} (linux, {machine})",
        arguments.role.name()
    ));
    Exit::Success
}
