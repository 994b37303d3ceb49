//! Finding the network namespaces of the host and looking into each.
//!
//! A forked child enters the namespace and writes what rtnetlink answers there to a pipe, each
//! answer about filters behind the request that it belongs to; the parent makes values of the
//! bytes. So this process never changes its namespace, and a child that hangs is killed. It still
//! takes time: no loop may call this.

use std::collections::BTreeSet;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use nix::sched::{setns, CloneFlags};

use super::message::{self, Message, Messages};
use super::route::{Route, LONGEST_DUMP};
use super::{Direction, Filter, Handle, Interface, Namespace, Program};
use crate::sys::{child, host};

/// Namespaces that are looked at.
const MOST: usize = 256;
/// Time for one namespace.
const PATIENCE: Duration = Duration::from_secs(5);
/// Time after which no other namespace is begun.
const TOTAL_PATIENCE: Duration = Duration::from_secs(12);
/// Bytes of answers of one namespace, and of all: users may make namespaces and fill them.
const LONGEST: usize = 2 * LONGEST_DUMP;
const LONGEST_SURVEY: usize = 4 * LONGEST_DUMP;
/// Where ip-netns(8) keeps namespaces of the host that no process needs to be in.
const NAMED: [&str; 2] = ["/run/netns", "/var/run/netns"];
/// The kind of what is no filter but asked like one, before all of them (6.6).
const TCX: &str = "tcx";
/// ETH_P_ALL of linux/if_ether.h.
const EVERY_PROTOCOL: u16 = 3;
/// The namespace of this process.
pub(super) const OWN: &str = "/proc/self/ns/net";

/// What was found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Survey {
    /// The namespaces, in the order of the lowest process in them, then the named ones.
    pub namespaces: Vec<Namespace>,
    /// How many more there are than are looked at.
    pub left_out: usize,
}

/// Looks at the network namespaces of the host, at most 256: those of processes and those that
/// have a name in /run/netns. It lasts at most five seconds for each and 17 for all.
pub fn survey() -> Survey {
    let deadline = Instant::now() + TOTAL_PATIENCE;
    let mut found = Survey::default();
    let Ok(own) = fs::metadata(OWN) else {
        return found;
    };
    let mut seen = BTreeSet::new();
    let mut room = LONGEST_SURVEY;
    for (path, found_at) in places() {
        // Most processes share a namespace that is done, and a file may be no namespace at all.
        let is_new = fs::metadata(&path)
            .is_ok_and(|file| file.dev() == own.dev() && !seen.contains(&file.ino()));
        let Some((file, inode)) = is_new.then(|| open(&path)).flatten() else {
            continue;
        };
        if !seen.insert(inode) {
            continue;
        }
        if found.namespaces.len() == MOST {
            found.left_out += 1;
            continue;
        }
        let mut namespace = if Instant::now() >= deadline {
            failed("not looked at: the others took too long".to_owned())
        } else if room == 0 {
            failed("not looked at: there is too much in the others".to_owned())
        } else {
            visit((inode != own.ino()).then_some(&file), &mut room)
        };
        namespace.inode = inode;
        namespace.found_at = found_at;
        found.namespaces.push(namespace);
    }
    found
}

/// Files that may stand for a network namespace, and what to call them.
fn places() -> impl Iterator<Item = (PathBuf, String)> {
    processes().chain(named())
}

/// Those of processes.
pub(super) fn processes() -> impl Iterator<Item = (PathBuf, String)> {
    let mut pids: Vec<u32> = entries(Path::new(host::proc()))
        .filter_map(|path| path.file_name()?.to_str()?.parse().ok())
        .collect();
    pids.sort_unstable();
    pids.into_iter()
        .map(|pid| (host::process(pid, "ns/net"), format!("pid {pid}")))
}

/// Those that have a name.
pub(super) fn named() -> impl Iterator<Item = (PathBuf, String)> {
    let entries = named_directories().flat_map(|directory| entries(&directory));
    entries.map(|path| {
        let name = path.display().to_string();
        (path, name)
    })
}

/// The directories of [`NAMED`], which usually are one.
pub(super) fn named_directories() -> impl Iterator<Item = PathBuf> {
    let identity = |directory: &Path| {
        let found = fs::metadata(directory).ok()?;
        Some((found.dev(), found.ino()))
    };
    let [first, second] = NAMED.map(host::file);
    let is_another = identity(&first) != identity(&second);
    [first].into_iter().chain(is_another.then_some(second))
}

fn entries(directory: &Path) -> impl Iterator<Item = PathBuf> {
    let entries = fs::read_dir(directory).into_iter().flatten().flatten();
    entries.map(|entry| entry.path())
}

/// Opens a namespace; another one may have taken its place since it was looked at.
pub(super) fn open(path: &Path) -> Option<(File, u64)> {
    let mut options = OpenOptions::new();
    let options = options.read(true).custom_flags(libc::O_NONBLOCK);
    let file = options.open(path).ok()?;
    let inode = file.metadata().ok()?.ino();
    Some((file, inode))
}

/// Looks into a namespace, or with `None` into that of this process. `room` is how many bytes of
/// answers there may still be.
fn visit(namespace: Option<&File>, room: &mut usize) -> Namespace {
    let mut work = |out: &mut File| {
        let result = enter(namespace).and_then(|()| tell(out).map_err(|error| unread(&error)));
        if let Err(sentence) = result {
            // Without the parent there is nobody to tell.
            let _ = out.write_all(&own_message(message::SENTENCE, sentence.as_bytes()));
        }
    };
    let limit = LONGEST.min(*room);
    let result = child::output_of(&mut work, limit, PATIENCE);
    let (namespace, used) = match result {
        Ok(bytes) => (understand(&bytes), bytes.len()),
        Err(error) if error.kind() == io::ErrorKind::FileTooLarge => {
            (failed(unread(&error)), limit)
        }
        Err(error) => (failed(unread(&error)), 0),
    };
    *room -= used;
    namespace
}

fn enter(namespace: Option<&File>) -> Result<(), String> {
    let Some(file) = namespace else {
        return Ok(());
    };
    setns(file, CloneFlags::CLONE_NEWNET).map_err(|error| {
        format!("it cannot be entered: {error}; run this as root, or with CAP_SYS_ADMIN")
    })
}

fn unread(error: &io::Error) -> String {
    format!("it could not be read: {error}")
}

fn failed(problem: String) -> Namespace {
    Namespace {
        problem,
        ..Namespace::default()
    }
}

/// Asks for links, programs of TCX, qdiscs and filters, and writes the answers.
fn tell(out: &mut File) -> io::Result<()> {
    let mut route = Route::open()?;
    let links = route.dump(message::GET_LINK, &message::link_request())?;
    out.write_all(&links)?;
    tell_early_programs(&links, out)?;
    let every_qdisc = message::tc_request(0, Handle(0));
    let qdiscs = route.dump(message::GET_QDISC, &every_qdisc)?;
    out.write_all(&qdiscs)?;
    let qdiscs = Messages(&qdiscs).filter(|message| message.kind == message::NEW_QDISC);
    for (interface, qdisc) in qdiscs.filter_map(|message| message::qdisc(message.body)) {
        let directions: &[Direction] = match qdisc.kind.as_str() {
            "clsact" => &[Direction::Ingress, Direction::Egress],
            "ingress" => &[Direction::Ingress],
            _ => &[],
        };
        for direction in directions {
            let request = message::tc_request(interface, direction.parent());
            out.write_all(&own_message(message::GET_FILTER, &request))?;
            out.write_all(&route.dump(message::GET_FILTER, &request)?)?;
        }
    }
    Ok(())
}

/// Writes which programs TCX runs before all filters; nothing on kernels without it.
fn tell_early_programs(links: &[u8], out: &mut File) -> io::Result<()> {
    let links = Messages(links).filter(|message| message.kind == message::NEW_LINK);
    for link in links.filter_map(|message| message::link(message.body)) {
        for direction in Direction::ALL {
            let programs = match bpf_sys::attached_programs(link.index, direction.attach_type()) {
                Ok(programs) => programs,
                Err(error) if error.raw_os_error() == Some(libc::EINVAL) => return Ok(()),
                // The interface is gone, or nobody may ask.
                Err(_) => continue,
            };
            for program in programs {
                let words = [link.index, direction.attach_type(), program];
                let body = words.map(u32::to_ne_bytes).concat();
                out.write_all(&own_message(message::EARLY_PROGRAMS, &body))?;
            }
        }
    }
    Ok(())
}

/// A program of TCX as the filter that is asked first: it returns what classifiers do.
fn early_program(body: &[u8]) -> Option<(u32, Filter)> {
    let mut words = body.chunks_exact(4).map(|word| word.first_chunk::<4>());
    let mut word = || Some(u32::from_ne_bytes(*words.next()??));
    let (index, attach_type, id) = (word()?, word()?, word()?);
    let mut directions = Direction::ALL.into_iter();
    let filter = Filter {
        direction: directions.find(|one| one.attach_type() == attach_type)?,
        chain: 0,
        kind: TCX.to_owned(),
        protocol: EVERY_PROTOCOL,
        priority: 0,
        handle: 0,
        program: Some(Program {
            id,
            is_direct: true,
            ..Program::default()
        }),
    };
    Some((index, filter))
}

/// A message to the parent.
fn own_message(kind: u16, body: &[u8]) -> Vec<u8> {
    let message = Message {
        kind,
        flags: 0,
        sequence: 0,
        body,
    };
    let mut bytes = Vec::new();
    message::write(&mut bytes, &message);
    bytes
}

/// Makes a namespace of what [`tell`] wrote.
fn understand(bytes: &[u8]) -> Namespace {
    let mut namespace = Namespace::default();
    let mut asked = None;
    for Message { kind, body, .. } in Messages(bytes) {
        let interfaces = &mut namespace.interfaces;
        match kind {
            message::NEW_LINK => interfaces.extend(message::link(body)),
            message::NEW_QDISC => {
                let (index, qdisc) = message::qdisc(body).unzip();
                if let Some(interface) = numbered(interfaces, index) {
                    interface.qdiscs.extend(qdisc);
                }
            }
            message::EARLY_PROGRAMS => {
                let (index, filter) = early_program(body).unzip();
                if let Some(interface) = numbered(interfaces, index) {
                    interface.filters.extend(filter);
                }
            }
            message::GET_FILTER => asked = message::filter_request(body),
            message::NEW_FILTER => {
                let (index, direction) = asked.unzip();
                if let Some(interface) = numbered(interfaces, index) {
                    let filter = direction.and_then(|way| message::filter(body, way));
                    interface.filters.extend(filter);
                }
            }
            message::SENTENCE => namespace.problem = String::from_utf8_lossy(body).into_owned(),
            _ => {}
        }
    }
    namespace
}

fn numbered(interfaces: &mut [Interface], index: Option<u32>) -> Option<&mut Interface> {
    interfaces
        .iter_mut()
        .find(|interface| Some(interface.index) == index)
}

#[cfg(test)]
mod tests;
