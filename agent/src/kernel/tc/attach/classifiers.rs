//! The programs of the classifiers.

use std::os::fd::OwnedFd;

use crate::kernel::constants::Constants;
use crate::kernel::object::Object;
use crate::kernel::program;
use crate::kernel::tc::Direction;

/// The constant that tells a classifier which namespace it is in.
const NAMESPACE: &str = "NET_NAMESPACE";

/// Loads classifiers over the maps that redbpf has created. The object is unpacked only when a
/// program is needed, which is in a child, so that it takes no memory here.
#[derive(Clone, Debug)]
pub struct Classifiers {
    constants: Constants,
}

impl Classifiers {
    /// Classifiers with the constants of this kernel.
    pub fn new(constants: &Constants) -> Classifiers {
        Classifiers {
            constants: constants.clone(),
        }
    }

    /// Loads the program for a namespace and a direction. The error is a sentence.
    pub fn load(&self, namespace: u32, direction: Direction) -> Result<OwnedFd, String> {
        let images = Object::embedded()
            .images()
            .map_err(|error| error.to_string())?;
        let image = images
            .iter()
            .find(|image| image.kind() == "classifier" && image.target() == direction.name())
            .ok_or("the probe object has no such classifier")?;
        let mut constants = self.constants.clone();
        constants.set(NAMESPACE, namespace.into());
        let loaded = program::load(image, &constants, 0).map_err(|error| error.to_string())?;
        Ok(loaded.fd)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sys::child;
    use std::fs::File;
    use std::io::Write;
    use std::time::Duration;

    /// In a child: makes the maps, and loads what refers to them.
    fn load_both(out: &mut File) -> Result<(), String> {
        let mut constants = Constants::find(None, "");
        constants.use_register_helper(true);
        let mut object = Object::embedded();
        object
            .patch(&constants)
            .map_err(|error| error.to_string())?;
        let _maps = redbpf::Module::parse(object.bytes()).map_err(|error| format!("{error:?}"))?;
        let classifiers = Classifiers::new(&constants);
        for direction in Direction::ALL {
            classifiers.load(7, direction)?;
            writeln!(out, "{}", direction.name()).map_err(|error| error.to_string())?;
        }
        Ok(())
    }

    #[test]
    fn both_classifiers_can_be_loaded() {
        if !nix::unistd::geteuid().is_root() {
            println!("not run: loading programs needs root");
            return;
        }
        let mut work = |out: &mut File| {
            if let Err(error) = load_both(out) {
                let _ = write!(out, "failed: {error}");
            }
        };
        let text = child::output_of(&mut work, 100_000, Duration::from_secs(60)).unwrap();
        assert_eq!(String::from_utf8(text).unwrap(), "ingress\negress\n");
    }
}
