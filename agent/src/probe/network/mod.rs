//! Classifiers on the network interfaces of every namespace, as long as system-probe runs.
//!
//! The loop turns a [`Network`] and tells it the namespaces of new processes; what comes back are
//! [`Lost`] filters, names of interfaces and a status. Inside, `table` knows what is to be done,
//! forked children do it (`kernel::tc`), `runs` says whose filters are whose. Nothing in a turn
//! waits; only [`Network::stop`] does, for five seconds at most.

mod keeper;
mod runs;
mod table;

use std::fmt;
use std::io;
use std::time::Instant;

use serde_json::{json, Value};

use crate::config::{keys, Mode, Settings};
use crate::kernel::constants::Constants;
use crate::kernel::tc::attach::{Choice, Classifiers, Options};
use crate::kernel::tc::Direction;
use crate::sys::lock;
use keeper::Keeper;
use runs::Runs;

/// Interfaces that never keep a namespace alive.
const LAZY: [&str; 2] = ["lo", "dummy"];
/// The priority where what is configured is none.
const PRIORITY: u16 = 10;
/// No interface has such a name (dev_valid_name in net/core/dev.c).
const NO_INTERFACE: &str = "/";

/// Why packets are not watched.
#[derive(Debug)]
pub(super) enum Error {
    /// The kernel does not tell of changes of interfaces.
    Watch(io::Error),
    /// The own network namespace is not known.
    Namespace(io::Error),
    /// Without a lock file, what a killed run leaves behind would never be removed.
    Lock(lock::Error),
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Error::Watch(error) => write!(
                f,
                "packets are not watched: no rtnetlink socket can be had ({error}); run as root, \
                 or with CAP_NET_ADMIN and CAP_NET_BROADCAST"
            ),
            Error::Namespace(error) => write!(
                f,
                "packets are not watched: /proc/self/ns/net cannot be read ({error}); mount /proc"
            ),
            Error::Lock(error) => write!(f, "packets are not watched: {error}"),
        }
    }
}

impl std::error::Error for Error {}

/// A filter of ours that somebody else removed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Lost {
    /// Inode of the network namespace.
    pub(super) namespace: u32,
    /// Name of the interface.
    pub(super) interface: String,
    /// What it saw.
    pub(super) direction: Direction,
    /// Whether it is there again.
    pub(super) attached_again: bool,
}

/// Our classifiers, or nothing at all when the network is not watched.
#[derive(Debug, Default)]
pub(super) struct Network {
    keeper: Option<Box<Keeper>>,
    /// It only removes what dead runs left, and ends then.
    is_leaving: bool,
}

impl Network {
    /// Begins to watch, unless that is switched off; the maps of the probes must be there. The
    /// first visits follow in the turns.
    pub(super) fn start(settings: &Settings, constants: &Constants) -> Result<Network, Error> {
        let is_wanted = settings.flag(&keys::NETWORK_ENABLED);
        if !is_wanted || settings.mode() == Mode::FilesOnly {
            return Network::leave(settings);
        }
        let classifiers = Classifiers::new(constants);
        let keeper = Keeper::start(
            &settings.run_path(),
            options(settings),
            lazy(settings),
            Box::new(move |namespace, direction| classifiers.load(namespace, direction)),
        )?;
        Ok(Network {
            keeper: Some(Box::new(keeper)),
            is_leaving: false,
        })
    }

    /// Removes what killed runs left behind, if they did, and nothing more: whoever switches the
    /// network off wants to be rid of it.
    fn leave(settings: &Settings) -> Result<Network, Error> {
        if !Runs::are_left(&settings.run_path()) {
            return Ok(Network::default());
        }
        let options = Options {
            choice: Choice::new(&[NO_INTERFACE.to_owned()], &[]),
            ..options(settings)
        };
        let unwanted = |_, _| Err("the network is not watched".to_owned());
        let keeper = Keeper::start(
            &settings.run_path(),
            options,
            lazy(settings),
            Box::new(unwanted),
        )?;
        Ok(Network {
            keeper: Some(Box::new(keeper)),
            is_leaving: true,
        })
    }

    /// A process was seen in the namespace of this inode.
    pub(super) fn note_namespace(&mut self, inode: u32, pid: u32) {
        if let Some(keeper) = &mut self.keeper {
            keeper.note(inode, pid);
        }
    }

    /// Does what is due. Returns the filters that somebody else has removed, at most 16 of one visit;
    /// they are attached again, up to three times each.
    pub(super) fn turn(&mut self, now: Instant) -> Vec<Lost> {
        let Some(keeper) = &mut self.keeper else {
            return Vec::new();
        };
        let lost = keeper.turn(now);
        if self.is_leaving && keeper.is_swept() {
            self.stop();
        }
        lost
    }

    /// The name of an interface; `None` when it is not known.
    pub(super) fn device_name(&self, namespace: u32, index: u32) -> Option<&str> {
        self.keeper.as_ref()?.device_name(namespace, index)
    }

    /// What `status` says of it.
    pub(super) fn status(&self) -> Value {
        match &self.keeper {
            Some(keeper) if !self.is_leaving => keeper.status(),
            _ => json!({ "enabled": false }),
        }
    }

    /// Removes our filters from all namespaces, which takes five seconds at most. What could not be
    /// removed is left to the next start.
    pub(super) fn stop(&mut self) {
        if let Some(keeper) = self.keeper.take() {
            keeper.stop();
        }
    }
}

impl Drop for Network {
    /// A loop that ends by an error must not leave filters behind whose lock file is gone.
    fn drop(&mut self) {
        self.stop();
    }
}

fn options(settings: &Settings) -> Options {
    let number = |key| u16::try_from(settings.count(key)).ok();
    let include = settings.list(&keys::INTERFACES_INCLUDE);
    let exclude = settings.list(&keys::INTERFACES_EXCLUDE);
    let priority = number(&keys::NETWORK_CLASSIFIER_PRIORITY).filter(|priority| *priority > 0);
    Options {
        choice: Choice::new(include, exclude),
        ingress: settings.flag(&keys::NETWORK_INGRESS_ENABLED),
        priority: priority.unwrap_or(PRIORITY),
        handle: number(&keys::NETWORK_CLASSIFIER_HANDLE).unwrap_or(0).into(),
    }
}

fn lazy(settings: &Settings) -> Vec<String> {
    let chosen = settings.list(&keys::NETWORK_LAZY_INTERFACE_PREFIXES).iter();
    let chosen = chosen.filter(|prefix| !prefix.is_empty()).cloned();
    chosen.chain(LAZY.map(String::from)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Value as Setting;
    use std::path::Path;

    fn settings() -> Settings {
        let mut settings = Settings::empty(true);
        // Nothing may be made there, not even by a failing test.
        settings.set(
            &keys::RUN_PATH,
            Setting::Text("/proc/cwst".to_owned()),
            "test",
        );
        settings
    }

    #[test]
    fn nothing_exists_when_it_is_switched_off() {
        let mut settings = settings();
        settings.set(&keys::NETWORK_ENABLED, Setting::Flag(false), "test");
        let constants = Constants::find(Some(Path::new("/")), "");
        let mut network = Network::start(&settings, &constants).unwrap();
        network.note_namespace(7, 7);
        assert_eq!(network.turn(Instant::now()), []);
        assert_eq!(network.device_name(7, 1), None);
        assert_eq!(network.status(), json!({ "enabled": false }));
        network.stop();
    }

    #[test]
    fn without_a_lock_file_nothing_is_attached() {
        let constants = Constants::find(Some(Path::new("/")), "");
        let error = Network::start(&settings(), &constants).unwrap_err();
        assert!(error.to_string().starts_with("packets are not watched: "));
    }

    #[test]
    fn settings_become_options() {
        let mut settings = settings();
        let list = |text: &str| Setting::List(vec![text.to_owned()]);
        settings.set(&keys::NETWORK_CLASSIFIER_HANDLE, Setting::Count(5), "test");
        let key = &keys::NETWORK_LAZY_INTERFACE_PREFIXES;
        settings.set(key, list("veth"), "test");
        let options = options(&settings);
        assert_eq!((options.priority, options.handle), (10, 5));
        assert!(options.ingress);
        assert_eq!(lazy(&settings), ["veth", "lo", "dummy"]);
    }
}
