//! The kernel side: the probes, how they get into the kernel, and the stream of their records.
//!
//! [`Probes::start`] prepares the object with the offsets of this kernel, lets redbpf create the
//! maps and attach kprobes, adds the kinds that redbpf cannot load, and climbs down the hook
//! ladder of every event type. Records leave through [`EventStream`]. Rules are unknown here.

pub mod btf;
pub mod constants;
mod counters;
mod filter;
mod flows;
pub mod inventory;
mod ladder;
mod object;
mod packets;
mod perf;
mod program;
mod setup;
mod sizes;
pub mod stream;
pub mod tc;
pub mod tracefs;

use std::fmt;
use std::io;
use std::net::Ipv4Addr;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};
use std::path::PathBuf;

use bpf_sys::MapHandle;

pub use counters::{Counters, Counts};
pub use filter::{Filters, Gate, Nobody};
pub use flows::Flows;
pub use packets::{PacketCounts, PacketPrograms, Scope, DROP, DROPS, NEXT_DROP, REPORT};
pub use program::Refusal;
pub use stream::EventStream;

use crate::event::wire::Kind;
use constants::Constants;
use ladder::{HookPlace, Ladder, Rung, LADDERS};
use object::Object;
use program::{Hook, Loaded, Refusals};
use setup::Setup;

/// Why nothing can be watched.
#[derive(Debug)]
pub enum Error {
    /// The embedded object is damaged.
    Object(object::Error),
    /// redbpf could not create the maps.
    Maps(String),
    /// A program that everything rests on was refused.
    Program(program::Error),
    /// A map could not be used.
    Map(&'static str, io::Error),
    /// No ring buffer could be opened.
    Buffers(io::Error),
    /// No structure offsets are known.
    Offsets(String),
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Error::Object(error) => write!(f, "{error}"),
            Error::Maps(error) => write!(
                f,
                "the BPF maps could not be created ({error}): run as root, or with CAP_BPF, \
                 CAP_PERFMON and CAP_SYS_PTRACE, on a kernel whose lockdown and seccomp profile \
                 allow bpf(2)"
            ),
            Error::Program(error) => write!(f, "{error}"),
            Error::Map(map, error) => write!(f, "the BPF map {map} cannot be used: {error}"),
            Error::Buffers(error) => write!(
                f,
                "no event buffer could be opened ({error}): check kernel.perf_event_paranoid and \
                 the memory limit of the cgroup"
            ),
            Error::Offsets(origin) => {
                write!(f, "the offsets of kernel structures were found {origin}")
            }
        }
    }
}

impl std::error::Error for Error {}

impl From<object::Error> for Error {
    fn from(error: object::Error) -> Error {
        Error::Object(error)
    }
}

impl From<program::Error> for Error {
    fn from(error: program::Error) -> Error {
        Error::Program(error)
    }
}

/// What the user may choose.
#[derive(Clone, Debug)]
pub struct Options {
    /// A BTF file for kernels that show none.
    pub btf_file: Option<PathBuf>,
    /// Hooks that must not be attached, by function or tracepoint name.
    pub disabled_hooks: Vec<String>,
    /// Bytes of one CPU's event ring; 0 computes it.
    pub buffer_size: usize,
    /// Whether kprobes may be used where the kernel has them.
    pub use_kprobes: bool,
    /// Address of the metadata service when packets are to be watched, else `None`.
    pub packets: Option<Ipv4Addr>,
}

/// How one event type is seen.
#[derive(Clone, Debug)]
pub struct RungStatus {
    /// The event type, as a kind of record.
    pub kind: Kind,
    /// Name of the rung; `none` when no rung serves.
    pub rung: &'static str,
    /// Functions or tracepoints that are attached.
    pub hooks: Vec<&'static str>,
    /// What this rung cannot see.
    pub blind_to: &'static str,
    /// Why better rungs, or optional hooks of this one, do not serve.
    pub notes: Vec<String>,
}

/// The probes, running.
pub struct Probes {
    // redbpf's kprobes are attached as long as their module lives.
    module: redbpf::Module,
    walkers: Vec<Loaded>,
    hooks: Vec<Hook>,
    rungs: Vec<RungStatus>,
    refusals: Refusals,
    /// Why the makers of sockets are not learnt from the start; empty when they are.
    sockets_unseen: String,
    /// Why packets cannot be looked at behind their classifier; empty when they can.
    packets_unseen: String,
    filters: Filters,
    flows: Flows,
    ignored: MapHandle,
    counters: Counters,
    constants: Constants,
    ring_bytes: usize,
}

impl Probes {
    /// Loads and attaches everything that this kernel allows.
    ///
    /// Hooks of processes are attached first, so that a snapshot of /proc taken afterwards misses
    /// nothing.
    pub fn start(options: &Options) -> Result<(Probes, EventStream), Error> {
        let mut setup = Setup::new(options)?;
        let mut object = Object::embedded();
        object.patch(&setup.constants)?;
        bpf_sys::forget_last_error();
        let module = redbpf::Module::parse(object.bytes()).map_err(|error| maps_error(&error))?;
        let mut stream = EventStream::new();
        let ring_bytes = add_rings(&mut stream, options.buffer_size)?;
        let mut probes = Probes {
            module,
            walkers: Vec::new(),
            hooks: Vec::new(),
            rungs: Vec::new(),
            refusals: Refusals::default(),
            sockets_unseen: String::new(),
            packets_unseen: String::new(),
            filters: Filters::new(named("gates")?, named("open_names")?),
            flows: Flows(named("flows")?),
            ignored: named("ignored")?,
            counters: Counters::open().map_err(|error| Error::Map("counts", error))?,
            constants: setup.constants.clone(),
            ring_bytes,
        };
        probes.add_walkers(&mut setup)?;
        for ladder in LADDERS {
            let status = probes.climb(ladder, &setup);
            probes.rungs.push(status);
        }
        probes.watch_sockets(&setup);
        probes.refusals = setup.refusals.take();
        Ok((probes, stream))
    }

    /// What decides in the kernel which records are reported.
    pub fn filters(&mut self) -> &mut Filters {
        &mut self.filters
    }

    /// Whose the ends of connections are.
    pub fn flows(&self) -> &Flows {
        &self.flows
    }

    /// Leaves the file events of one thread group out, or reports them again.
    pub fn ignore(&self, tgid: u32, ignored: bool) -> Result<(), Error> {
        let key = tgid.to_le_bytes();
        let result = if ignored {
            self.ignored.update(&key, &1u32.to_le_bytes(), 0)
        } else {
            self.ignored.delete(&key).map(|_| ())
        };
        result.map_err(|error| Error::Map("ignored", error))
    }

    /// How each event type is seen.
    pub fn rungs(&self) -> &[RungStatus] {
        &self.rungs
    }

    /// The programs that the kernel refused to load.
    pub fn refusals(&self) -> &[Refusal] {
        self.refusals.all()
    }

    /// The structure offsets of this kernel; a missing one costs the fields that need it.
    pub fn constants(&self) -> &Constants {
        &self.constants
    }

    /// Bytes of all ring buffers.
    pub fn ring_bytes(&self) -> usize {
        self.ring_bytes
    }

    /// Emitted and lost records by kind, since the start.
    pub fn counts(&self) -> io::Result<Counts> {
        self.counters.read()
    }

    /// Events that the kernel skipped because a program was already running on that CPU.
    pub fn recursion_misses(&self) -> u64 {
        let hooks = self.hooks.iter().map(|hook| hook.program.as_fd());
        let walkers = self.walkers.iter().map(|walker| walker.fd.as_fd());
        let kprobes = self.module.programs.iter().filter_map(|program| {
            let fd = (*program.fd())?;
            // SAFETY: redbpf owns this descriptor and keeps it open as long as the module, which
            // this borrow does not outlive.
            Some(unsafe { BorrowedFd::borrow_raw(fd) })
        });
        hooks
            .chain(walkers)
            .chain(kprobes)
            .filter_map(|fd| bpf_sys::program_info(fd).ok())
            .map(|info| info.recursion_misses)
            .sum()
    }

    /// Loads a path walker for every program type and puts it where tail calls find it.
    fn add_walkers(&mut self, setup: &mut Setup<'_>) -> Result<(), Error> {
        for (section, map) in [
            ("tracepoint/walk", "walk_tracepoint"),
            ("raw_tracepoint/walk", "walk_raw"),
        ] {
            let walker = setup.load(section)?;
            set_walker(map, walker.fd.as_fd())?;
            self.walkers.push(walker);
        }
        Ok(())
    }

    /// Why packets of sockets that neither connect nor bind have no process; empty when they have.
    pub fn sockets_unseen(&self) -> &str {
        &self.sockets_unseen
    }

    /// Why no packet is reported as a whole and none dropped, whatever the rules say; empty when
    /// the programs for that are in their places. [`PacketPrograms`] are of no use without.
    pub fn packets_unseen(&self) -> &str {
        &self.packets_unseen
    }

    /// Learns whose each new socket is, when packets are watched.
    fn watch_sockets(&mut self, setup: &Setup<'_>) {
        if setup.options.packets.is_none() {
            return;
        }
        if let Err(error) = self.add_packet_programs(setup) {
            self.packets_unseen = error.to_string();
        }
        for place in ladder::SOCKETS {
            match setup.attach(place) {
                Ok(hook) => self.hooks.push(hook),
                Err(reason) if place.required => self.sockets_unseen = reason,
                // Owners are learnt less exactly then.
                Err(_) => {}
            }
        }
    }

    /// Loads what packets go through behind their classifier; without it no rule on packets works.
    fn add_packet_programs(&mut self, setup: &Setup<'_>) -> Result<(), Error> {
        let programs = PacketPrograms::open()?;
        for (section, place) in packets::FIXED {
            let program = setup.load(section)?;
            programs.put(place, &program.fd)?;
            self.walkers.push(program);
        }
        Ok(())
    }

    /// Tries the rungs of an event type from the best down.
    fn climb(&mut self, ladder: &Ladder, setup: &Setup<'_>) -> RungStatus {
        let mut notes = Vec::new();
        for rung in ladder.rungs {
            match self.try_rung(rung, setup, &mut notes) {
                Ok(hooks) => {
                    return RungStatus {
                        kind: ladder.kind,
                        rung: rung.name,
                        hooks,
                        blind_to: rung.blind_to,
                        notes,
                    }
                }
                Err(reason) => notes.push(format!("{}: {reason}", rung.name)),
            }
        }
        RungStatus {
            kind: ladder.kind,
            rung: "none",
            hooks: Vec::new(),
            blind_to: "everything",
            notes,
        }
    }

    /// Attaches a rung's hooks, all required ones or none.
    fn try_rung(
        &mut self,
        rung: &Rung,
        setup: &Setup<'_>,
        notes: &mut Vec<String>,
    ) -> Result<Vec<&'static str>, String> {
        let mut hooks = Vec::new();
        let mut names: Vec<&'static str> = Vec::new();
        for place in rung.hooks {
            let attached = if setup.is_disabled(place) {
                notes.push(format!("{}: switched off by configuration", place.target));
                continue;
            } else if rung.name == "kprobe" {
                setup
                    .allow_kprobes()
                    .and_then(|()| self.attach_kprobe(place, setup))
            } else {
                setup.attach(place).map(|hook| hooks.push(hook))
            };
            match attached {
                Ok(()) => names.push(place.target),
                Err(reason) if place.required => {
                    self.detach_kprobes(rung, &names);
                    return Err(reason);
                }
                Err(reason) => notes.push(reason),
            }
        }
        if names.is_empty() {
            return Err("no hook of it is attached".to_string());
        }
        names.dedup();
        self.hooks.append(&mut hooks);
        Ok(names)
    }

    /// Loads and attaches a kprobe or kretprobe through redbpf.
    fn attach_kprobe(&mut self, place: &HookPlace, setup: &Setup<'_>) -> Result<(), String> {
        // redbpf panics without this file.
        if !std::path::Path::new("/sys/bus/event_source/devices/kprobe/type").exists() {
            return Err("this kernel has no kprobes".to_string());
        }
        self.load_kprobe_walker(setup)?;
        let name = place.section.rsplit('/').next().unwrap_or("");
        self.load_by_redbpf(name, setup)?;
        let probe = self.module.kprobe_mut(name).ok_or("no such program")?;
        probe
            .attach_kprobe(place.target, 0)
            .map_err(|error| format!("{} could not be attached: {error:?}", place.target))
    }

    /// Takes back the kprobes of a rung that does not serve after all.
    fn detach_kprobes(&mut self, rung: &Rung, attached: &[&str]) {
        for place in rung
            .hooks
            .iter()
            .filter(|place| attached.contains(&place.target))
        {
            let name = place.section.rsplit('/').next().unwrap_or("");
            if let Some(probe) = self.module.kprobe_mut(name) {
                // It only forgets the attachment, which cannot fail.
                let _ = probe.detach_kprobe(place.target, 0);
            }
        }
    }

    fn load_kprobe_walker(&mut self, setup: &Setup<'_>) -> Result<(), String> {
        if self
            .module
            .program("walk")
            .and_then(|walk| *walk.fd())
            .is_some()
        {
            return Ok(());
        }
        self.load_by_redbpf("walk", setup)?;
        let walker = self.module.program("walk").and_then(|walk| *walk.fd());
        let walker = walker.ok_or("the path walker was not loaded")?;
        // SAFETY: redbpf owns this descriptor and keeps it open as long as the module, which
        // outlives this call.
        let walker = unsafe { BorrowedFd::borrow_raw(walker) };
        set_walker("walk_kprobe", walker).map_err(|error| error.to_string())
    }

    fn load_by_redbpf(&mut self, name: &str, setup: &Setup<'_>) -> Result<(), String> {
        let (version, license) = (self.module.version, self.module.license.clone());
        let program = self.module.program_mut(name).ok_or("no such program")?;
        if program.fd().is_some() {
            return Ok(());
        }
        bpf_sys::forget_last_error();
        program.load(version, license).map_err(|error| {
            let Some(reason) = bpf_sys::last_error() else {
                return format!("{error:?}");
            };
            setup.refusals.borrow_mut().note(&reason);
            reason.to_string()
        })
    }
}

fn named(map: &'static str) -> Result<MapHandle, Error> {
    MapHandle::named(map).map_err(|error| Error::Map(map, error))
}

fn maps_error(error: &redbpf::Error) -> Error {
    let reason = bpf_sys::last_error();
    Error::Maps(reason.map_or_else(|| format!("{error:?}"), |reason| reason.to_string()))
}

fn set_walker(map: &'static str, walker: BorrowedFd<'_>) -> Result<(), Error> {
    let fd = walker.as_raw_fd().to_le_bytes();
    let result = named(map)?.update(&0u32.to_le_bytes(), &fd, 0);
    result.map_err(|error| Error::Map(map, error))
}

/// Opens the rings of every CPU and registers them; returns their bytes.
///
/// Fork, exec and exit have rings of their own, an eighth of the others' size, so that a flood
/// of file events cannot push them out. Where memory is short, the rings are halved until they
/// fit.
fn add_rings(stream: &mut EventStream, configured: usize) -> Result<usize, Error> {
    let cpus = sizes::possible_cpus().map_err(Error::Buffers)?;
    let (events, lifecycle) = (named("events")?, named("lifecycle")?);
    let online = sizes::online_cpus().map_err(Error::Buffers)?;
    let mut size = sizes::ring_size(online, configured);
    loop {
        let small = (size / 8).max(sizes::SMALLEST_LIFECYCLE_RING).min(size);
        let mut opened = EventStream::new();
        let result = register_rings(&lifecycle, &mut opened, &cpus, small)
            .and_then(|()| register_rings(&events, &mut opened, &cpus, size));
        match result {
            Ok(()) => {
                *stream = opened;
                return Ok((size + small) * stream.descriptors().count() / 2);
            }
            Err(error) if size / 2 < sizes::SMALLEST_RING => return Err(Error::Buffers(error)),
            Err(_) => size /= 2,
        }
    }
}

fn register_rings(
    map: &MapHandle,
    stream: &mut EventStream,
    cpus: &[u32],
    size: usize,
) -> io::Result<()> {
    stream.add_rings(cpus, size, |cpu, fd| {
        map.update(&cpu.to_le_bytes(), &fd.to_le_bytes(), 0)
    })
}
