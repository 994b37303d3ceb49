//! Our classifiers on the interfaces of one network namespace.
//!
//! A [`Visit`] says what is wanted there; a short-lived forked child enters the namespace, makes it
//! so and answers with the bytes of a [`Report`]. `interfaces` does the work, `glob` knows which of
//! them are meant, `programs` which program a filter has, [`Classifiers`] loads them. Who is visited
//! when, and what a report means, is decided above.

mod classifiers;
mod glob;
mod interfaces;
mod programs;
mod report;
#[cfg(test)]
mod tests;

use std::fs::{self, File};
use std::io;
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;
use std::time::Duration;

use nix::sched::{setns, CloneFlags};

use super::message::{self, Messages};
use super::route::Route;
use super::{survey, Both, Direction, Interface};
use crate::sys::child::{self, Running};
use glob::Glob;

pub use classifiers::Classifiers;
pub use report::{Device, Report, Side, State};

/// Time for one namespace.
const PATIENCE: Duration = Duration::from_secs(5);
/// Bytes of a report: some thousand interfaces with a sentence each.
const LONGEST: usize = 2 << 20;
/// ARPHRD_ETHER and ARPHRD_LOOPBACK of linux/if_arp.h: what has Ethernet headers.
const ETHERNET: [u16; 2] = [1, LOOPBACK];
const LOOPBACK: u16 = 772;

/// Which interfaces may be touched.
#[derive(Clone, Debug, Default)]
pub struct Choice {
    include: Vec<Glob>,
    exclude: Vec<Glob>,
}

impl Choice {
    /// Names or patterns (`glob`). Where some are included, only those are chosen, also when they are
    /// excluded.
    pub fn new(include: &[String], exclude: &[String]) -> Choice {
        let patterns =
            |texts: &[String]| -> Vec<Glob> { texts.iter().map(|text| Glob::new(text)).collect() };
        Choice {
            include: patterns(include),
            exclude: patterns(exclude),
        }
    }

    /// Whether an interface gets classifiers.
    pub fn takes(&self, interface: &Interface) -> bool {
        let name = &interface.name;
        let is_among = |patterns: &[Glob]| patterns.iter().any(|one| one.matches(name));
        let is_chosen = match self.include.is_empty() {
            true => !is_among(&self.exclude),
            false => is_among(&self.include),
        };
        is_chosen && ETHERNET.contains(&interface.hardware)
    }
}

/// What the user may choose.
#[derive(Clone, Debug)]
pub struct Options {
    /// The interfaces.
    pub choice: Choice,
    /// Whether incoming packets are seen, too.
    pub ingress: bool,
    /// Priority of the filters, from 1; the lowest is asked first.
    pub priority: u16,
    /// Handle of the filters; one that nobody else uses is chosen when 0.
    pub handle: u32,
}

/// Gives a program for a namespace and a direction; the error is a sentence.
pub type Load<'a> = dyn FnMut(u32, Direction) -> Result<OwnedFd, String> + 'a;

/// What is to be done in a namespace.
#[derive(Clone, Debug)]
pub struct Visit<'a> {
    /// What the user chose.
    pub options: &'a Options,
    /// The run whose name our filters have.
    pub run: u64,
    /// Dead runs, whose filters are removed.
    pub stale: &'a [u64],
    /// Whether our filters are removed instead of attached.
    pub removes: bool,
    /// Inode of the namespace.
    pub inode: u32,
    /// Files that may stand for it.
    pub places: Vec<PathBuf>,
    /// Numbers of the programs that were attached there before; 0 for none.
    pub programs: Both<u32>,
    /// Where nothing is attached again: index of the interface and direction.
    pub given_up: Vec<(u32, Direction)>,
    /// Interfaces that have just come: they get no qdisc yet, since who made them may want to add
    /// one.
    pub fresh: Vec<u32>,
    /// How many interfaces may get filters; the others take no room.
    pub room: usize,
}

impl Visit<'_> {
    /// Starts the child. Its output is for [`Report::understand`].
    ///
    /// # Errors
    /// Those of fork(2) and pipe(2).
    pub fn start(&self, load: &mut Load<'_>) -> io::Result<Running> {
        let mut work = |out: &mut File| {
            let mut report = Report::default();
            if let Err(problem) = self.carry_out(load, &mut report) {
                report.problem = problem;
            }
            // Without the parent there is nobody to tell.
            let _ = report.write(out);
        };
        child::start(&mut work, LONGEST, PATIENCE)
    }

    fn carry_out(&self, load: &mut Load<'_>, report: &mut Report) -> Result<(), String> {
        let own = fs::metadata(survey::OWN)
            .map_err(|error| format!("the own network namespace is not known: {error}"))?;
        let Some(namespace) = self.open(own.dev()) else {
            report.is_gone = true;
            return Ok(());
        };
        let is_own = own.ino() == u64::from(self.inode);
        // Without a number, changes are only noticed by looking again.
        report.number = number(&namespace, is_own).unwrap_or_default();
        if !is_own {
            setns(&namespace, CloneFlags::CLONE_NEWNET)
                .map_err(|error| format!("it cannot be entered: {error}"))?;
        }
        self.settle(load, report)
    }

    /// Opens the namespace by the first file that still stands for it.
    fn open(&self, device: u64) -> Option<File> {
        self.places.iter().find_map(|place| {
            let (file, inode) = survey::open(place)?;
            let is_right = inode == u64::from(self.inode) && file.metadata().ok()?.dev() == device;
            is_right.then_some(file)
        })
    }

    /// Makes the namespace of this process what it should be.
    fn settle(&self, load: &mut Load<'_>, report: &mut Report) -> Result<(), String> {
        interfaces::settle(self, load, report)
            .map_err(|error| format!("its interfaces could not be read: {error}"))
    }
}

/// The number of a namespace in that of this process. One that has none gets one, so that its
/// changes are heard of; our own needs none.
fn number(namespace: &File, is_own: bool) -> io::Result<Option<i32>> {
    let mut route = Route::open()?;
    let mut ask = |kind| route.ask(kind, message::ACKNOWLEDGE, &request(namespace, kind));
    let found = number_in(ask(message::GET_NAMESPACE)?);
    if found.is_some() || is_own {
        return Ok(found);
    }
    // Somebody else may have been faster; then the answer is in the second look.
    let _ = ask(message::NEW_NAMESPACE);
    Ok(number_in(ask(message::GET_NAMESPACE)?))
}

fn request(namespace: &File, kind: u16) -> Vec<u8> {
    message::namespace_request(namespace.as_raw_fd(), kind)
}

fn number_in(answer: Option<Vec<u8>>) -> Option<i32> {
    let answer = answer?;
    let mut found = Messages(&answer).filter(|message| message.kind == message::NEW_NAMESPACE);
    message::namespace_number(found.next()?.body)
}
