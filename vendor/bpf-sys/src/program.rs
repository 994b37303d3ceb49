//! Programs: loading them, opening raw tracepoints, running them on trial, reading the kernel's
//! statistics.
//!
//! A program is loaded without a log first, since a log costs the verifier time and can itself make
//! a load fail for want of space; only a refusal is repeated with one. Instructions must be relocated
//! already. Descriptors leave; what the verifier said leaves in [`LoadError::log`].

use std::ffi::CStr;
use std::io;
use std::mem::size_of;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};

use libc::c_int;

use crate::attr::{self, name_text, object_name};
use crate::error::{remember, LoadError};
use crate::syscall::{address, address_mut, bpf, fd_bits, with_memlock, Command};
use crate::uname::get_kernel_internal_version;

/// At most this many bytes at the end of a verifier's log are kept.
pub const LOG_KEPT: usize = 64 * 1024;

/// Room for the verifier's log. Older kernels keep its beginning, so it must be larger than what we
/// keep for the end of it, which holds the reason, to be there.
const LOG_ROOM: usize = 1024 * 1024;

/// Maps of one program that are told (`MAX_USED_MAPS` of the kernel).
const MAPS_SHOWN: usize = 64;
/// Programs of an interface that are told of.
const PROGRAMS_SHOWN: usize = 64;

/// Bytes of one instruction.
const INSTRUCTION: usize = 8;

/// The verifier gives up with EAGAIN when a signal arrives: that often a load is tried.
const TRIES: u32 = 5;

/// Version sections hold this number for "whatever kernel runs".
const ANY_VERSION: u32 = 0xFFFF_FFFE;

/// A program to load.
#[derive(Clone, Copy, Debug)]
pub struct ProgramLoad<'a> {
    /// One of [`program_kind`](crate::program_kind).
    pub kind: u32,
    /// One of [`attach_kind`](crate::attach_kind) where the program's kind needs it, else 0.
    pub expected_attach_type: u32,
    /// Type in the kernel's BTF to attach to, for tracing and LSM programs, else 0.
    pub attach_btf_id: u32,
    /// Name; the kernel gets its first 15 bytes, cleaned.
    pub name: &'a str,
    /// License, `GPL` where GPL-only helpers are called.
    pub license: &'a CStr,
    /// Kernel's version code, which kprobes need before 5.0; 0 means the running kernel's.
    pub kern_version: u32,
    /// Instructions of 8 bytes each, relocated.
    pub instructions: &'a [u8],
}

/// What the kernel knows of a program. Fields that it is too old to know are 0.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ProgramInfo {
    /// One of [`program_kind`](crate::program_kind).
    pub kind: u32,
    /// Number that the kernel gave to this program.
    pub id: u32,
    /// The kernel's name: at most 15 bytes.
    pub name: String,
    /// SHA-1 of the instructions, its first 8 bytes; programs of the same code have the same.
    pub tag: [u8; 8],
    /// When it was loaded: nanoseconds since boot (4.15).
    pub load_time: u64,
    /// User who loaded it (4.15).
    pub uid: u32,
    /// Bytes of machine code; 0 also without the right to know.
    pub jited_bytes: u32,
    /// Nanoseconds spent in the program; counted only while `kernel.bpf_stats_enabled` is on (5.1).
    pub run_time_ns: u64,
    /// Runs; counted only while `kernel.bpf_stats_enabled` is on (5.1).
    pub run_cnt: u64,
    /// Runs that were skipped because the program, or another, was already running here (5.12).
    pub recursion_misses: u64,
    /// Instructions that the verifier processed (5.16).
    pub verified_insns: u32,
}

/// Loads a program.
///
/// # Errors
/// The kernel's refusal with the verifier's log, where it wrote one; EINVAL when the instructions
/// are no multiple of 8 bytes.
pub fn load_program(program: &ProgramLoad) -> Result<OwnedFd, LoadError> {
    let raw = with_memlock(|| load_raw(program))
        .or_else(|errno| load_logged(program, errno))
        .map_err(remember)?;
    // SAFETY: the kernel just made this descriptor for us, and nothing else holds it.
    Ok(unsafe { OwnedFd::from_raw_fd(raw) })
}

/// Loads without a log.
pub(crate) fn load_raw(program: &ProgramLoad) -> Result<RawFd, c_int> {
    load_with(program, &mut [])
}

/// Loads again after a refusal with `errno`, for the log. The first errno is the one that counts: the
/// second can be ENOSPC for want of log space.
pub(crate) fn load_logged(program: &ProgramLoad, errno: c_int) -> Result<RawFd, LoadError> {
    let mut log = vec![0; LOG_ROOM];
    load_with(program, &mut log).map_err(|_| LoadError {
        log: log_text(&log),
        ..LoadError::new("load program", program.name, errno)
    })
}

fn load_with(program: &ProgramLoad, log: &mut [u8]) -> Result<RawFd, c_int> {
    let mut attr = load_attr(program)?;
    attr.log_level = u32::from(!log.is_empty());
    attr.log_size = log.len() as u32;
    attr.log_buf = address_mut(log);
    let mut result = load_once(&mut attr);
    // Kernels before 4.15 know no names and have a shorter attribute. Programs that are too large
    // fail alike, and fail again.
    if matches!(result, Err(libc::E2BIG)) && !program.name.is_empty() {
        attr.prog_name = Default::default();
        result = load_once(&mut attr);
    }
    result
}

fn load_attr(program: &ProgramLoad) -> Result<attr::ProgramLoad, c_int> {
    if !program.instructions.len().is_multiple_of(INSTRUCTION) {
        return Err(libc::EINVAL);
    }
    let count = program.instructions.len() / INSTRUCTION;
    let kern_version = match program.kern_version {
        0 | ANY_VERSION => get_kernel_internal_version().unwrap_or(0),
        given => given,
    };
    Ok(attr::ProgramLoad {
        prog_type: program.kind,
        insn_cnt: u32::try_from(count).map_err(|_| libc::E2BIG)?,
        insns: address(program.instructions),
        license: program.license.as_ptr() as u64,
        kern_version,
        prog_name: object_name(program.name),
        expected_attach_type: program.expected_attach_type,
        attach_btf_id: program.attach_btf_id,
        ..Default::default()
    })
}

fn load_once(attr: &mut attr::ProgramLoad) -> Result<RawFd, c_int> {
    let mut result = Err(libc::EAGAIN);
    for _ in 0..TRIES {
        // SAFETY: load_with filled `attr` from live slices: insn_cnt instructions of 8 bytes, a
        // zero-ended license, and log_size writable bytes or null.
        result = unsafe { bpf(Command::ProgramLoad, attr) };
        if result != Err(libc::EAGAIN) {
            break;
        }
    }
    result
}

/// The end of a zero-ended log as text, at most [`LOG_KEPT`] bytes.
pub(crate) fn log_text(log: &[u8]) -> String {
    let written = log.split(|byte| *byte == 0).next().unwrap_or_default();
    let start = written.len().saturating_sub(LOG_KEPT);
    let kept = written.get(start..).unwrap_or_default();
    kept.iter().map(|byte| ascii(*byte)).collect()
}

/// One byte per character, so that a cut at any byte leaves text.
fn ascii(byte: u8) -> char {
    if byte.is_ascii() {
        char::from(byte)
    } else {
        '?'
    }
}

/// Attaches a program to a raw tracepoint, or, with `name` `None`, to the target that its
/// `attach_btf_id` names (tp_btf, fentry, fexit, LSM). Closing the descriptor detaches it.
///
/// # Errors
/// The kernel's refusal: ENOENT when there is no such tracepoint.
pub fn raw_tracepoint_open(name: Option<&CStr>, prog: BorrowedFd) -> Result<OwnedFd, LoadError> {
    let mut attr = attr::RawTracepoint {
        name: name.map_or(0, |name| name.as_ptr() as u64),
        prog_fd: fd_bits(prog.as_raw_fd()),
        ..Default::default()
    };
    // SAFETY: the name is null or a live zero-ended string.
    let result = unsafe { bpf(Command::RawTracepointOpen, &mut attr) };
    let raw = result.map_err(|errno| {
        let name = name.map(CStr::to_string_lossy).unwrap_or_default();
        remember(LoadError::new("open raw tracepoint", &name, errno))
    })?;
    // SAFETY: the kernel just made this descriptor for us, and nothing else holds it.
    Ok(unsafe { OwnedFd::from_raw_fd(raw) })
}

/// Attaches a program to an object that a descriptor stands for, such as a cgroup (5.7). Closing the
/// descriptor that is returned detaches it.
///
/// # Errors
/// The kernel's refusal: EPERM when another program was attached there to be the only one.
pub fn link_create(
    prog: BorrowedFd,
    target: BorrowedFd,
    attach_type: u32,
) -> Result<OwnedFd, LoadError> {
    let mut attr = attr::LinkCreate {
        prog_fd: fd_bits(prog.as_raw_fd()),
        target_fd: fd_bits(target.as_raw_fd()),
        attach_type,
        ..Default::default()
    };
    // SAFETY: the attribute has no pointers.
    let result = unsafe { bpf(Command::LinkCreate, &mut attr) };
    let raw = result.map_err(|errno| remember(LoadError::new("attach a link", "", errno)))?;
    // SAFETY: the kernel just made this descriptor for us, and nothing else holds it.
    Ok(unsafe { OwnedFd::from_raw_fd(raw) })
}

/// The numbers of the programs that are attached to a network interface of this thread's namespace, in
/// the order in which they run, at most 64: for attach types of TCX (6.6).
///
/// # Errors
/// EINVAL where the kernel does not know the attach type, ENODEV without such an interface, EPERM
/// without CAP_NET_ADMIN, ENOSPC when there are more.
pub fn attached_programs(interface: u32, attach_type: u32) -> io::Result<Vec<u32>> {
    let mut ids = [0_u32; PROGRAMS_SHOWN];
    let mut attr = attr::ProgramQuery {
        // The same place as the number of an interface.
        target_fd: interface,
        attach_type,
        prog_ids: ids.as_mut_ptr() as u64,
        prog_cnt: PROGRAMS_SHOWN as u32,
        ..Default::default()
    };
    // SAFETY: the kernel writes at most prog_cnt numbers to the array, which outlives the call, and
    // nothing through the other addresses, which are 0.
    unsafe { bpf(Command::ProgramQuery, &mut attr) }.map_err(io::Error::from_raw_os_error)?;
    let count = usize::try_from(attr.prog_cnt).unwrap_or_default();
    Ok(ids.into_iter().take(count).collect())
}

/// Runs a classifier once on a packet that is nowhere else (4.12 and later), and returns its result.
/// For tests: the packet begins with its Ethernet header and has no more bytes than a page less a few
/// hundred.
///
/// # Errors
/// The kernel's refusal: EINVAL for a packet that is too short or too long, ENOTSUPP for a kind of
/// program that cannot be tried.
pub fn test_run(program: BorrowedFd, packet: &[u8]) -> io::Result<u32> {
    let mut attr = attr::ProgramTestRun {
        prog_fd: fd_bits(program.as_raw_fd()),
        data_size_in: u32::try_from(packet.len()).unwrap_or(u32::MAX),
        data_in: address(packet),
        repeat: 1,
        ..Default::default()
    };
    // SAFETY: the kernel reads data_size_in bytes from a live slice, or fewer. There is no buffer for
    // the packet as the program left it, so nothing is written but the attribute itself.
    unsafe { bpf(Command::ProgramTestRun, &mut attr) }.map_err(io::Error::from_raw_os_error)?;
    Ok(attr.retval)
}

/// Asks the kernel about a program (4.13 and later).
///
/// # Errors
/// EBADF and the like when `fd` is no BPF object. A descriptor of a map gives nonsense: the kernel
/// answers for both kinds alike.
pub fn program_info(fd: BorrowedFd) -> io::Result<ProgramInfo> {
    read_program_info(fd, &mut []).map(|(info, _)| info)
}

/// The numbers of the maps that a program uses, as [`MapInfo::id`](crate::MapInfo) has them (4.15),
/// at most 64.
///
/// # Errors
/// Those of [`program_info`].
pub fn program_maps(fd: BorrowedFd) -> io::Result<Vec<u32>> {
    let mut ids = [0; MAPS_SHOWN];
    let (_, count) = read_program_info(fd, &mut ids)?;
    Ok(ids.into_iter().take(count as usize).collect())
}

/// Fills `map_ids` as far as it goes; returns how many maps there are, too.
fn read_program_info(fd: BorrowedFd, map_ids: &mut [u32]) -> io::Result<(ProgramInfo, u32)> {
    let mut info = attr::KernelProgramInfo {
        nr_map_ids: map_ids.len() as u32,
        map_ids: map_ids.as_mut_ptr() as u64,
        ..Default::default()
    };
    let mut attr = attr::ObjectInfo {
        bpf_fd: fd_bits(fd.as_raw_fd()),
        info_len: size_of::<attr::KernelProgramInfo>() as u32,
        info: std::ptr::from_mut(&mut info) as u64,
    };
    // SAFETY: the kernel writes at most info_len bytes to `info`, which is that large, plain integers
    // and alive, and at most nr_map_ids numbers to `map_ids`, which has that many and is borrowed for
    // the call. All other pointers and counts are zero: nothing else is written.
    unsafe { bpf(Command::ObjectInfo, &mut attr) }.map_err(io::Error::from_raw_os_error)?;
    let known = ProgramInfo {
        kind: info.kind,
        id: info.id,
        name: name_text(&info.name),
        tag: info.tag,
        load_time: info.load_time,
        uid: info.created_by_uid,
        jited_bytes: info.jited_prog_len,
        run_time_ns: info.run_time_ns,
        run_cnt: info.run_cnt,
        recursion_misses: info.recursion_misses,
        verified_insns: info.verified_insns,
    };
    Ok((known, info.nr_map_ids))
}

#[cfg(test)]
#[path = "program_tests.rs"]
mod tests;
