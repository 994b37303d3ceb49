//! The functions that redbpf calls, under their libbpf names and with its manners.
//!
//! They take redbpf's pointers, return a descriptor or 0, or -1 with errno set; what fails is also
//! left for [`last_error`](crate::last_error). Their logs are plain ASCII and end with a zero, since
//! redbpf panics on anything else. XDP needs netlink, not bpf(2), and is not offered.

use std::ffi::{c_void, CStr};
use std::mem::size_of;
use std::slice;

use libc::{c_char, c_int};

use crate::attr;
use crate::error::{remember, LoadError};
use crate::map::{create_raw, freeze_raw, MapSpec, MapTypes};
use crate::program::{load_logged, load_raw, log_text, ProgramLoad};
use crate::registry::take_unfilled_rodata;
use crate::syscall::{bpf, fd_bits, set_errno, Command};
use crate::types::{bpf_create_map_attr, bpf_insn, bpf_load_program_attr};

/// Turns a result into libbpf's -1 and errno.
fn reply(result: Result<c_int, c_int>) -> c_int {
    result.unwrap_or_else(|errno| {
        set_errno(errno);
        -1
    })
}

/// [`reply`], and leaves the error for [`last_error`](crate::last_error).
fn reply_noted(operation: &'static str, name: &str, result: Result<c_int, c_int>) -> c_int {
    reply(result.inspect_err(|errno| {
        remember(LoadError::new(operation, name, *errno));
    }))
}

/// Text behind a pointer of redbpf; empty for null.
///
/// # Safety
/// `text` must be null or a zero-ended string that outlives the call.
unsafe fn text(text: *const c_char) -> String {
    if text.is_null() {
        return String::new();
    }
    // SAFETY: not null, so the caller vouches for a zero-ended string.
    unsafe { CStr::from_ptr(text) }
        .to_string_lossy()
        .into_owned()
}

/// Copies the end of `text`, which must be ASCII, and a zero to redbpf's log buffer.
///
/// # Safety
/// `target` must be null or valid for writes of `size` bytes.
unsafe fn fill_log(target: *mut c_char, size: usize, text: &str) {
    if target.is_null() || size == 0 {
        return;
    }
    // SAFETY: the caller vouches for `size` writable bytes, which nothing else refers to meanwhile.
    let buffer = unsafe { slice::from_raw_parts_mut(target.cast::<u8>(), size) };
    let start = text.len().saturating_sub(size - 1);
    let kept = text.as_bytes().get(start..).unwrap_or_default();
    let bytes = kept.iter().copied().chain(std::iter::once(0));
    for (slot, byte) in buffer.iter_mut().zip(bytes) {
        *slot = byte;
    }
}

/// Makes a map; returns its descriptor.
///
/// # Safety
/// `attr.name` must be null or a zero-ended string.
pub unsafe fn bpf_create_map_xattr(attr: *const bpf_create_map_attr) -> c_int {
    // SAFETY: redbpf passes a reference to its initialised attribute.
    let attr = unsafe { &*attr };
    // SAFETY: the caller vouches for the name.
    let name = unsafe { text(attr.name) };
    let spec = MapSpec {
        kind: attr.map_type,
        key_size: attr.key_size,
        value_size: attr.value_size,
        max_entries: attr.max_entries,
        flags: attr.map_flags,
        name: &name,
    };
    let types = MapTypes {
        btf_fd: attr.btf_fd,
        key: attr.btf_key_type_id,
        value: attr.btf_value_type_id,
    };
    reply_noted("create map", &name, create_raw(&spec, types))
}

/// Loads a program; returns its descriptor. With a log buffer, what the verifier said about a
/// refusal is copied to it, and the errno is that of the refusal, never ENOSPC.
///
/// # Safety
/// The pointers in `attr` must be valid: `insns_cnt` instructions, zero-ended name and license.
/// `log` must be null or valid for writes of `log_size` bytes.
pub unsafe fn bpf_load_program_xattr(
    attr: *const bpf_load_program_attr,
    log: *mut c_char,
    log_size: u64,
) -> c_int {
    // SAFETY: redbpf passes a reference to its initialised attribute.
    let attr = unsafe { &*attr };
    // SAFETY: the caller vouches for name and license; redbpf never passes a null license.
    let (name, license) = unsafe { (text(attr.name), CStr::from_ptr(attr.license)) };
    let length = (attr.insns_cnt as usize).saturating_mul(size_of::<bpf_insn>());
    // SAFETY: the caller vouches for insns_cnt instructions of 8 bytes without padding; redbpf takes
    // the pointer from a Vec, so it is not null.
    let instructions = unsafe { slice::from_raw_parts(attr.insns.cast::<u8>(), length) };
    let program = ProgramLoad {
        kind: attr.prog_type,
        expected_attach_type: attr.expected_attach_type,
        // SAFETY: all fields of the union are u32, and redbpf zeroes the struct first.
        attach_btf_id: unsafe { attr.__bindgen_anon_2.attach_btf_id },
        name: &name,
        license,
        // SAFETY: as above.
        kern_version: unsafe { attr.__bindgen_anon_1.kern_version },
        instructions,
    };
    let refused = match load_raw(&program) {
        Err(errno) if !log.is_null() => load_logged(&program, errno),
        plain => plain.map_err(|errno| LoadError::new("load program", &name, errno)),
    };
    reply(refused.map_err(|error| {
        // SAFETY: the caller vouches for the log buffer.
        unsafe { fill_log(log, log_size as usize, &error.log) };
        remember(error).errno
    }))
}

/// Loads BTF; returns its descriptor.
///
/// # Safety
/// `btf` must be valid for reads of `btf_size` bytes, `log` null or valid for writes of `log_size`.
pub unsafe fn bpf_load_btf(
    btf: *const c_void,
    btf_size: u32,
    log: *mut c_char,
    log_size: u32,
    _log_always: bool,
) -> c_int {
    let mut attr = attr::BtfLoad {
        btf: btf as u64,
        btf_size,
        ..Default::default()
    };
    // SAFETY: the caller vouches for `btf`; there is no log buffer.
    let first = unsafe { bpf(Command::BtfLoad, &mut attr) };
    let Err(errno) = first else {
        return reply(first);
    };
    let mut said = vec![0u8; crate::LOG_KEPT];
    attr.btf_log_buf = said.as_mut_ptr() as u64;
    attr.btf_log_size = said.len() as u32;
    attr.btf_log_level = 1;
    // SAFETY: as above, and `said` has btf_log_size writable bytes.
    let again = unsafe { bpf(Command::BtfLoad, &mut attr) };
    reply(again.map_err(|_| {
        let error = LoadError {
            log: log_text(&said),
            ..LoadError::new("load BTF", "", errno)
        };
        // SAFETY: the caller vouches for the log buffer.
        unsafe { fill_log(log, log_size as usize, &error.log) };
        remember(error).errno
    }))
}

/// One element command on pointers.
///
/// # Safety
/// `key` and `value` must be null where the command allows it, else valid for the map's sizes.
unsafe fn element(command: Command, fd: c_int, key: u64, value: u64, flags: u64) -> c_int {
    let mut attr = attr::MapElement {
        map_fd: fd_bits(fd),
        key,
        value,
        flags,
        ..Default::default()
    };
    // SAFETY: the caller vouches for both pointers.
    let result = unsafe { bpf(command, &mut attr) };
    if command == Command::MapUpdate {
        return reply_noted("update a map", "", result);
    }
    reply(result)
}

/// Sets an element. The first update of a `.rodata` map also freezes it: redbpf fills such a map
/// with one update and never writes to it again.
///
/// # Safety
/// `key` and `value` must be valid for reads of the map's sizes.
pub unsafe fn bpf_map_update_elem(
    fd: c_int,
    key: *const c_void,
    value: *const c_void,
    flags: u64,
) -> c_int {
    // SAFETY: the caller vouches for both pointers.
    let result = unsafe { element(Command::MapUpdate, fd, key as u64, value as u64, flags) };
    if take_unfilled_rodata(fd) && result == 0 {
        // A kernel before 5.2 cannot freeze: its verifier then just prunes no branches.
        let _ = freeze_raw(fd);
    }
    result
}

/// Reads an element.
///
/// # Safety
/// `key` must be valid for reads and `value` for writes of the map's sizes.
pub unsafe fn bpf_map_lookup_elem(fd: c_int, key: *const c_void, value: *mut c_void) -> c_int {
    // SAFETY: the caller vouches for both pointers.
    unsafe { element(Command::MapLookup, fd, key as u64, value as u64, 0) }
}

/// Removes an element.
///
/// # Safety
/// `key` must be valid for reads of the map's key size.
pub unsafe fn bpf_map_delete_elem(fd: c_int, key: *const c_void) -> c_int {
    // SAFETY: the caller vouches for the key; the command has no value.
    unsafe { element(Command::MapDelete, fd, key as u64, 0, 0) }
}

/// Finds the key after `key`, or the first one for null.
///
/// # Safety
/// `key` must be null or valid for reads, and `next` valid for writes, of the map's key size.
pub unsafe fn bpf_map_get_next_key(fd: c_int, key: *const c_void, next: *mut c_void) -> c_int {
    // SAFETY: the caller vouches for both pointers.
    unsafe { element(Command::MapNextKey, fd, key as u64, next as u64, 0) }
}

/// Pins an object to a path on a BPF file system.
///
/// # Safety
/// `path` must be a zero-ended string.
pub unsafe fn bpf_obj_pin(fd: c_int, path: *const c_char) -> c_int {
    let mut attr = attr::ObjectPath {
        pathname: path as u64,
        bpf_fd: fd_bits(fd),
        ..Default::default()
    };
    // SAFETY: the caller vouches for the path.
    let (result, path) = unsafe { (bpf(Command::ObjectPin, &mut attr), text(path)) };
    reply_noted("pin an object to", &path, result)
}

/// Opens a pinned object; returns its descriptor.
///
/// # Safety
/// `path` must be a zero-ended string.
pub unsafe fn bpf_obj_get(path: *const c_char) -> c_int {
    let mut attr = attr::ObjectPath {
        pathname: path as u64,
        ..Default::default()
    };
    // SAFETY: the caller vouches for the path.
    let (result, path) = unsafe { (bpf(Command::ObjectGet, &mut attr), text(path)) };
    reply_noted("open the pinned object", &path, result)
}

/// Asks about an object; the kernel's length replaces `*info_len`.
///
/// # Safety
/// `info` must be valid for reads and writes of `*info_len` bytes.
pub unsafe fn bpf_obj_get_info_by_fd(fd: c_int, info: *mut c_void, info_len: *mut u32) -> c_int {
    // SAFETY: redbpf passes a reference to its own variable.
    let length = unsafe { &mut *info_len };
    let mut attr = attr::ObjectInfo {
        bpf_fd: fd_bits(fd),
        info_len: *length,
        info: info as u64,
    };
    // SAFETY: the caller vouches for info_len bytes.
    let result = unsafe { bpf(Command::ObjectInfo, &mut attr) };
    *length = attr.info_len;
    reply_noted("read about an object", "", result)
}

/// Attaches a program to a map or cgroup.
///
/// # Safety
/// None beyond the name that redbpf expects to be unsafe: only numbers are passed.
pub unsafe fn bpf_prog_attach(prog: c_int, target: c_int, attach_type: u32, flags: u32) -> c_int {
    let mut attr = attr::ProgramAttach {
        target_fd: fd_bits(target),
        attach_bpf_fd: fd_bits(prog),
        attach_type,
        attach_flags: flags,
    };
    // SAFETY: the attribute of this command holds no pointer.
    let result = unsafe { bpf(Command::ProgramAttach, &mut attr) };
    reply_noted("attach a program", "", result)
}

/// Links a program to a target; returns the link's descriptor. Options are not supported.
///
/// # Safety
/// None beyond the name that redbpf expects to be unsafe: `options` is not read.
pub unsafe fn bpf_link_create(
    prog: c_int,
    target: c_int,
    attach_type: u32,
    _options: *const c_void,
) -> c_int {
    let mut attr = attr::LinkCreate {
        prog_fd: fd_bits(prog),
        target_fd: fd_bits(target),
        attach_type,
        ..Default::default()
    };
    // SAFETY: the attribute of this command holds no pointer.
    let result = unsafe { bpf(Command::LinkCreate, &mut attr) };
    reply_noted("link a program", "", result)
}

/// Starts an iterator of a link; returns its descriptor.
///
/// # Safety
/// None beyond the name that redbpf expects to be unsafe: only numbers are passed.
pub unsafe fn bpf_iter_create(link: c_int) -> c_int {
    let mut attr = attr::IterCreate {
        link_fd: fd_bits(link),
        ..Default::default()
    };
    // SAFETY: the attribute of this command holds no pointer.
    let result = unsafe { bpf(Command::IterCreate, &mut attr) };
    reply_noted("start an iterator", "", result)
}

/// Always fails with ENOSYS: XDP programs are attached by netlink, which this crate does not speak.
///
/// # Safety
/// None beyond the name that redbpf expects to be unsafe: only numbers are passed.
pub unsafe fn bpf_set_link_xdp_fd(_interface: c_int, _prog: c_int, _flags: u32) -> c_int {
    reply_noted("attach an XDP program", "", Err(libc::ENOSYS))
}

#[cfg(test)]
#[path = "compat_tests.rs"]
mod tests;
