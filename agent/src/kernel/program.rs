//! Loads and attaches the program kinds that redbpf cannot: tracepoints, raw tracepoints, tp_btf,
//! programs on cgroups; loads classifiers, which `tc` attaches; from the images of `object` and
//! over the maps that redbpf created.
//!
//! A [`Hook`] is an attached program; dropping it detaches, which takes the kernel up to 75 ms
//! for a classic tracepoint, so that nothing drops one inside a loop.

use std::ffi::CString;
use std::fmt;
use std::fs::File;
use std::io::{self, Read};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd};

use bpf_sys::{LoadError, ProgramLoad};

use super::constants::Constants;
use super::object::Image;
use super::tracefs::{mount_privately, Tracefs};
use crate::sys::host;

const TYPE_SCHED_CLS: u32 = 3;
const TYPE_TRACEPOINT: u32 = 5;
const TYPE_CGROUP_SOCK: u32 = 9;
const TYPE_CGROUP_SOCK_ADDR: u32 = 18;
const TYPE_RAW_TRACEPOINT: u32 = 17;
const TYPE_TRACING: u32 = 26;
/// BPF_TRACE_RAW_TP, the attach type of tp_btf.
const ATTACH_TRACE_RAW: u32 = 23;
/// Programs on cgroups by what follows `cgroup/`: type and attach type (enum bpf_attach_type).
const CGROUP: [(&str, u32, u32); 4] = [
    ("sock_create", TYPE_CGROUP_SOCK, 2),
    ("sendmsg4", TYPE_CGROUP_SOCK_ADDR, 14),
    ("sendmsg6", TYPE_CGROUP_SOCK_ADDR, 15),
    ("sock_release", TYPE_CGROUP_SOCK, 34),
];
/// `src_reg` of an instruction whose immediate is a map's descriptor.
const PSEUDO_MAP_FD: u8 = 1;
const INSTRUCTION: usize = 8;
/// Lines of a verifier's log that are shown.
const VERIFIER_LINES: usize = 5;
/// Refusals that are kept, and bytes of each one's log.
const REFUSALS: usize = 32;
const REFUSAL_LOG: usize = 8 << 10;
const CALL: u8 = 0x85;
/// perf_event_open(2): PERF_TYPE_TRACEPOINT.
const PERF_TYPE_TRACEPOINT: u32 = 2;
/// include/uapi/linux/perf_event.h: _IO('$', 0) and _IOW('$', 8, __u32).
const PERF_EVENT_IOC_ENABLE: u64 = 0x2400;
const PERF_EVENT_IOC_SET_BPF: u64 = 0x4004_2408;

/// Why a program does not run.
#[derive(Debug)]
pub enum Error {
    /// It refers to a map that was not created.
    UnknownMap(String),
    /// No program of this kind can be loaded here.
    UnknownKind(String),
    /// The kernel refused it.
    Refused(LoadError),
    /// The kernel has no such tracepoint.
    NoTracepoint(String),
    /// Tracepoints cannot be looked up.
    Tracefs(String),
    /// It could not be attached.
    Attach {
        /// The section of the program.
        section: String,
        /// What the kernel said.
        error: io::Error,
    },
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Error::UnknownMap(map) => write!(f, "the probes refer to an unknown map {map}"),
            Error::UnknownKind(kind) => write!(f, "programs of the kind {kind} cannot be loaded"),
            Error::Refused(error) => {
                write!(
                    f,
                    "the kernel refused a program: {error}{}",
                    last_words(error)
                )
            }
            Error::NoTracepoint(name) => write!(f, "this kernel has no tracepoint {name}"),
            Error::Tracefs(error) => write!(
                f,
                "tracefs is not mounted and could not be mounted privately ({error}): mount it \
                 with `mount -t tracefs tracefs /sys/kernel/tracing`, or give the container the \
                 /sys/kernel/debug of the host"
            ),
            Error::Attach { section, error } => {
                write!(f, "{section} could not be attached: {error}")
            }
        }
    }
}

impl std::error::Error for Error {}

/// The end of the verifier's log, where it says what it refused.
fn last_words(error: &LoadError) -> String {
    let lines: Vec<&str> = error
        .log
        .lines()
        .filter(|line| !line.trim().is_empty())
        .collect();
    let kept = lines
        .iter()
        .skip(lines.len().saturating_sub(VERIFIER_LINES));
    kept.fold(String::new(), |text, line| text + " | " + line.trim())
}

/// A program that the kernel refused to load.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// Name of the program.
    pub program: String,
    /// The kernel's errno.
    pub errno: i32,
    /// The end of the verifier's log, ASCII; empty when the verifier was not asked.
    pub log: String,
}

/// The refusals so far: one for each program, at most 32.
#[derive(Debug, Default)]
pub struct Refusals(Vec<Refusal>);

impl Refusals {
    /// Keeps what matters of a refusal.
    pub fn note(&mut self, error: &LoadError) {
        let known = self.0.iter().any(|refusal| refusal.program == error.name);
        if known || self.0.len() == REFUSALS {
            return;
        }
        let start = error.log.len().saturating_sub(REFUSAL_LOG);
        self.0.push(Refusal {
            program: error.name.clone(),
            errno: error.errno,
            log: error.log.get(start..).unwrap_or_default().to_owned(),
        });
    }

    /// What was kept.
    pub fn all(&self) -> &[Refusal] {
        &self.0
    }
}

/// A program in the kernel.
pub struct Loaded {
    /// Section it came from.
    pub section: String,
    /// Keeps it loaded.
    pub fd: OwnedFd,
}

/// A program that runs; it is detached when this is dropped.
pub struct Hook {
    /// Keeps the program.
    pub program: OwnedFd,
    /// Keeps the attachment.
    _link: OwnedFd,
}

/// Patches, relocates and loads an image.
pub fn load(image: &Image, constants: &Constants, tp_btf_id: u32) -> Result<Loaded, Error> {
    let (kind, attach) = match image.kind() {
        "tracepoint" => (TYPE_TRACEPOINT, 0),
        "raw_tracepoint" => (TYPE_RAW_TRACEPOINT, 0),
        "tp_btf" => (TYPE_TRACING, ATTACH_TRACE_RAW),
        "classifier" => (TYPE_SCHED_CLS, 0),
        "cgroup" => cgroup_kind(image.target())?,
        other => return Err(Error::UnknownKind(other.to_string())),
    };
    let mut code = image.code.clone();
    constants.patch(&mut code);
    adapt_reads(&mut code);
    relocate(&mut code, image)?;
    let name: String = image.target().rsplit('/').next().unwrap_or("").to_string();
    let fd = bpf_sys::load_program(&ProgramLoad {
        kind,
        expected_attach_type: attach,
        attach_btf_id: tp_btf_id,
        name: &name,
        license: c"GPL",
        kern_version: 0,
        instructions: &code,
    })
    .map_err(Error::Refused)?;
    Ok(Loaded {
        section: image.section.clone(),
        fd,
    })
}

/// Puts the descriptors of the maps into the instructions.
fn relocate(code: &mut [u8], image: &Image) -> Result<(), Error> {
    for (index, map) in &image.maps {
        let fd = bpf_sys::map_fd(map).ok_or_else(|| Error::UnknownMap(map.clone()))?;
        let instruction = code
            .get_mut(index * INSTRUCTION..)
            .and_then(|rest| rest.first_chunk_mut::<INSTRUCTION>())
            .ok_or_else(|| Error::UnknownMap(map.clone()))?;
        let [_, registers, _, _, immediate @ ..] = instruction;
        *registers = (*registers & 0x0f) | (PSEUDO_MAP_FD << 4);
        *immediate = fd.to_le_bytes();
    }
    Ok(())
}

/// Whether the kernel separates reads of user and kernel memory (5.5).
fn has_split_reads() -> bool {
    const SPLIT_READS: u32 = (5 << 16) | (5 << 8);
    bpf_sys::uname::get_kernel_internal_version().is_none_or(|version| version >= SPLIT_READS)
}

/// On kernels without the split reads, rewrites calls of them to the two that there are.
pub(super) fn adapt_reads(code: &mut [u8]) {
    if !has_split_reads() {
        use_old_reads(code);
    }
}

fn use_old_reads(code: &mut [u8]) {
    for instruction in code.chunks_exact_mut(INSTRUCTION) {
        let [CALL, _, _, _, helper, 0, 0, 0] = instruction else {
            continue;
        };
        *helper = match *helper {
            112 | 113 => 4,
            114 | 115 => 45,
            other => other,
        };
    }
}

/// Attaches a loaded program to what its section names.
pub fn attach(loaded: Loaded, tracefs: &io::Result<Tracefs>) -> Result<Hook, Error> {
    let section = loaded.section;
    let (kind, target) = section.split_once('/').unwrap_or((section.as_str(), ""));
    let link = match kind {
        "tracepoint" => {
            let tracefs = tracefs
                .as_ref()
                .map_err(|error| Error::Tracefs(error.to_string()))?;
            attach_tracepoint(target, &section, loaded.fd.as_fd(), tracefs)?
        }
        "raw_tracepoint" => attach_raw(Some(target), &section, loaded.fd.as_fd())?,
        "tp_btf" => attach_raw(None, &section, loaded.fd.as_fd())?,
        "cgroup" => {
            let (_, attach) = cgroup_kind(target)?;
            attach_to_all_cgroups(&section, loaded.fd.as_fd(), attach)?
        }
        other => return Err(Error::UnknownKind(other.to_string())),
    };
    Ok(Hook {
        program: loaded.fd,
        _link: link,
    })
}

fn attach_raw(
    name: Option<&str>,
    section: &str,
    program: BorrowedFd<'_>,
) -> Result<OwnedFd, Error> {
    let failed = |error: io::Error| Error::Attach {
        section: section.to_string(),
        error,
    };
    let name = name
        .map(CString::new)
        .transpose()
        .map_err(|error| failed(error.into()))?;
    bpf_sys::raw_tracepoint_open(name.as_deref(), program).map_err(|error| failed(error.into()))
}

/// Type and attach type of a program on cgroups.
fn cgroup_kind(target: &str) -> Result<(u32, u32), Error> {
    let found = CGROUP.iter().find(|(name, ..)| *name == target);
    let (_, kind, attach) = found.ok_or_else(|| Error::UnknownKind(format!("cgroup/{target}")))?;
    Ok((*kind, *attach))
}

/// Attaches a program to the root of the unified hierarchy, so that it runs in every cgroup.
fn attach_to_all_cgroups(
    section: &str,
    program: BorrowedFd<'_>,
    attach: u32,
) -> Result<OwnedFd, Error> {
    let failed = |error: io::Error| Error::Attach {
        section: section.to_string(),
        error,
    };
    if !host::sees_cgroups() {
        let reason = "this process is in a cgroup namespace of its own: run it in that of the host";
        return Err(failed(io::Error::other(reason)));
    }
    let mount = mount_privately(c"cgroup2").map_err(failed)?;
    let root = File::open(format!("/proc/self/fd/{}", mount.as_raw_fd())).map_err(failed)?;
    bpf_sys::link_create(program, root.as_fd(), attach).map_err(|error| failed(error.into()))
}

fn attach_tracepoint(
    target: &str,
    section: &str,
    program: BorrowedFd<'_>,
    tracefs: &Tracefs,
) -> Result<OwnedFd, Error> {
    let failed = |error: io::Error| Error::Attach {
        section: section.to_string(),
        error,
    };
    let id = tracepoint_id(target, tracefs).map_err(|error| match error.kind() {
        io::ErrorKind::NotFound => Error::NoTracepoint(target.to_string()),
        _ => failed(error),
    })?;
    let event = open_tracepoint(id).map_err(failed)?;
    control(
        event.as_fd(),
        PERF_EVENT_IOC_SET_BPF,
        program.as_raw_fd() as u64,
    )
    .map_err(failed)?;
    control(event.as_fd(), PERF_EVENT_IOC_ENABLE, 0).map_err(failed)?;
    Ok(event)
}

/// The number of a tracepoint, from its `id` file.
fn tracepoint_id(target: &str, tracefs: &Tracefs) -> io::Result<u64> {
    let mut text = String::new();
    let file: File = tracefs.open(&format!("events/{target}/id"))?;
    file.take(32).read_to_string(&mut text)?;
    text.trim().parse().map_err(|_| {
        io::Error::new(
            io::ErrorKind::InvalidData,
            format!("the id of the tracepoint {target} is not a number"),
        )
    })
}

/// struct perf_event_attr up to PERF_ATTR_SIZE_VER0 (include/uapi/linux/perf_event.h).
#[repr(C)]
#[derive(Default)]
pub(super) struct PerfAttributes {
    pub(super) kind: u32,
    pub(super) size: u32,
    pub(super) config: u64,
    pub(super) sample_period: u64,
    pub(super) sample_type: u64,
    pub(super) read_format: u64,
    pub(super) flags: u64,
    pub(super) wakeup: u32,
    pub(super) breakpoint_type: u32,
    pub(super) config1: u64,
}

const _: () = assert!(std::mem::size_of::<PerfAttributes>() == 64);

/// perf_event_open(2) for a pid (-1: everyone) on a CPU.
pub(super) fn perf_event_open(
    attributes: &PerfAttributes,
    pid: i32,
    cpu: i32,
) -> io::Result<OwnedFd> {
    const FLAG_FD_CLOEXEC: u64 = 8;
    // SAFETY: the attributes live through the call and their size field says how many bytes the
    // kernel may read; the other arguments are plain numbers.
    let fd = unsafe {
        libc::syscall(
            libc::SYS_perf_event_open,
            std::ptr::from_ref(attributes),
            pid,
            cpu,
            -1,
            FLAG_FD_CLOEXEC,
        )
    };
    if fd < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the kernel just returned this descriptor and nobody else owns it.
    Ok(unsafe { OwnedFd::from_raw_fd(fd as i32) })
}

/// One event on CPU 0 without a pid runs the program on every CPU: a tracepoint's programs hang
/// on the tracepoint, not on the event.
fn open_tracepoint(id: u64) -> io::Result<OwnedFd> {
    let attributes = PerfAttributes {
        kind: PERF_TYPE_TRACEPOINT,
        size: std::mem::size_of::<PerfAttributes>() as u32,
        config: id,
        sample_period: 1,
        wakeup: 1,
        ..PerfAttributes::default()
    };
    perf_event_open(&attributes, -1, 0)
}

/// An ioctl of a perf event whose argument is a number.
fn control(event: BorrowedFd<'_>, request: u64, argument: u64) -> io::Result<()> {
    // SAFETY: both requests take a number or a descriptor by value and no pointer.
    let result = unsafe { libc::ioctl(event.as_raw_fd(), request as _, argument) };
    if result < 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refusals_are_kept_once_and_bounded() {
        let mut refusals = Refusals::default();
        for number in 0..40 {
            for errno in [libc::EACCES, libc::EPERM] {
                refusals.note(&LoadError {
                    errno,
                    operation: "load program",
                    name: format!("program{number}"),
                    log: "a".repeat(number * 1_000) + "end",
                });
            }
        }
        let kept = refusals.all();
        assert_eq!(kept.len(), REFUSALS);
        assert!(kept.iter().all(|kept| kept.errno == libc::EACCES));
        assert!(kept.iter().all(|kept| kept.log.len() <= REFUSAL_LOG));
        assert!(kept.iter().all(|kept| kept.log.ends_with("end")));
    }

    #[test]
    fn old_kernels_get_the_reads_that_they_have() {
        let call = |helper: u8| [CALL, 0, 0, 0, helper, 0, 0, 0];
        let mut code = [call(112), call(113), call(114), call(115), call(25)].concat();
        use_old_reads(&mut code);
        let expected = [call(4), call(4), call(45), call(45), call(25)].concat();
        assert_eq!(code, expected);
    }
}
