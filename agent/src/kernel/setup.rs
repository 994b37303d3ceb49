//! What is needed only while the probes are set up: the object's programs, the offsets of this
//! kernel, and how one program is loaded and attached.

use std::cell::RefCell;
use std::io;
use std::net::Ipv4Addr;

use super::constants::Constants;
use super::ladder::HookPlace;
use super::object::{Image, Object};
use super::program::{self, Hook, Loaded, Refusals};
use super::tracefs::Tracefs;
use super::{Error, Options};

/// What is needed only while the probes are set up.
pub(super) struct Setup<'a> {
    pub(super) images: Vec<Image>,
    pub(super) constants: Constants,
    pub(super) tracefs: Result<Tracefs, io::Error>,
    pub(super) refusals: RefCell<Refusals>,
    pub(super) options: &'a Options,
}

impl<'a> Setup<'a> {
    pub(super) fn new(options: &'a Options) -> Result<Setup<'a>, Error> {
        let mut constants = Constants::find(options.btf_file.as_deref(), &release());
        if !constants.are_known() {
            return Err(Error::Offsets(constants.origin));
        }
        constants.use_register_helper(true);
        let metadata = options.packets.unwrap_or(Ipv4Addr::UNSPECIFIED);
        // As it lies in a packet.
        constants.set(
            "METADATA_ADDRESS",
            u32::from_ne_bytes(metadata.octets()).into(),
        );
        Ok(Setup {
            images: Object::embedded().images()?,
            constants,
            tracefs: Tracefs::find(),
            refusals: RefCell::default(),
            options,
        })
    }

    pub(super) fn is_disabled(&self, place: &HookPlace) -> bool {
        let disabled = &self.options.disabled_hooks;
        disabled.iter().any(|name| name == place.target)
    }

    pub(super) fn allow_kprobes(&self) -> Result<(), String> {
        match self.options.use_kprobes {
            true => Ok(()),
            false => Err("switched off by configuration".to_string()),
        }
    }

    /// Loads a program; once more without the newest helper when the kernel refuses it.
    pub(super) fn load(&self, section: &str) -> Result<Loaded, program::Error> {
        let image = self.images.iter().find(|image| image.section == section);
        let image = image.ok_or_else(|| program::Error::UnknownKind(section.to_string()))?;
        let result = program::load(image, &self.constants, 0).or_else(|_| {
            let mut constants = self.constants.clone();
            constants.use_register_helper(false);
            program::load(image, &constants, 0)
        });
        if let Err(program::Error::Refused(error)) = &result {
            self.refusals.borrow_mut().note(error);
        }
        result
    }

    pub(super) fn attach(&self, place: &HookPlace) -> Result<Hook, String> {
        let loaded = self
            .load(place.section)
            .map_err(|error| error.to_string())?;
        program::attach(loaded, &self.tracefs).map_err(|error| error.to_string())
    }
}

/// Release of the running kernel; empty when it cannot be asked.
fn release() -> String {
    let names = nix::sys::utsname::uname().ok();
    let release = names.map(|names| names.release().to_string_lossy().into_owned());
    release.unwrap_or_default()
}
