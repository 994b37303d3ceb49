//! Maps: making them, reading what the kernel knows of them, and safe access to their elements.
//!
//! bpf(2) takes keys and values as bare pointers and copies as many bytes as the map was made with.
//! [`MapHandle`] asks the kernel for these sizes once and refuses slices of any other length, which
//! is what makes the element functions safe. Bytes enter and leave in the machine's own order.

use std::io;
use std::mem::size_of;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};

use libc::c_int;

use crate::attr::{self, field_bytes, name_text, object_name};
use crate::error::{remember, LoadError};
use crate::registry;
use crate::syscall::{address, address_mut, bpf, fd_bits, with_memlock, Command};
use crate::types::{bpf_map_info, map_kind};

/// Where the kernel lists the CPUs that may ever come up.
const POSSIBLE_CPUS: &str = "/sys/devices/system/cpu/possible";

/// What a new map shall be.
#[derive(Clone, Copy, Debug)]
pub struct MapSpec<'a> {
    /// One of [`map_kind`].
    pub kind: u32,
    /// Bytes of a key.
    pub key_size: u32,
    /// Bytes of a value (of one CPU, for per-CPU maps).
    pub value_size: u32,
    /// Entries; bytes for ring buffers.
    pub max_entries: u32,
    /// `BPF_F_*` flags of map creation.
    pub flags: u32,
    /// Full name; the kernel gets its first 15 bytes, cleaned.
    pub name: &'a str,
}

/// BTF that describes the keys and values of a map.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct MapTypes {
    /// Descriptor of the loaded BTF, as bits.
    pub btf_fd: u32,
    /// Type of the key.
    pub key: u32,
    /// Type of the value.
    pub value: u32,
}

/// What the kernel knows of a map.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MapInfo {
    /// One of [`map_kind`].
    pub kind: u32,
    /// Number that the kernel gave to this map; unique while the host is up.
    pub id: u32,
    /// Bytes of a key.
    pub key_size: u32,
    /// Bytes of a value (of one CPU, for per-CPU maps).
    pub value_size: u32,
    /// Entries; bytes for ring buffers.
    pub max_entries: u32,
    /// `BPF_F_*` flags of map creation.
    pub flags: u32,
    /// The kernel's name: at most 15 bytes.
    pub name: String,
}

/// Makes a map and enters it into the table that [`map_fd`](crate::map_fd) reads.
///
/// # Errors
/// The kernel's refusal. A refused name (before 4.15) is left out rather than failing.
pub fn create_map(spec: &MapSpec) -> Result<OwnedFd, LoadError> {
    let raw = with_memlock(|| create_raw(spec, MapTypes::default()))
        .map_err(|errno| remember(LoadError::new("create map", spec.name, errno)))?;
    // SAFETY: the kernel just made this descriptor for us; redbpf never hears of it.
    Ok(unsafe { OwnedFd::from_raw_fd(raw) })
}

/// Makes and records a map: first as asked, then without BTF, then without a name.
pub(crate) fn create_raw(spec: &MapSpec, types: MapTypes) -> Result<RawFd, c_int> {
    let mut attr = attr::MapCreate {
        map_type: spec.kind,
        key_size: spec.key_size,
        value_size: spec.value_size,
        max_entries: spec.max_entries,
        map_flags: spec.flags,
        map_name: object_name(spec.name),
        btf_fd: types.btf_fd,
        btf_key_type_id: types.key,
        btf_value_type_id: types.value,
        ..Default::default()
    };
    let mut result = create_once(&mut attr);
    if result.is_err() && types.btf_fd != 0 {
        attr.btf_fd = 0;
        attr.btf_key_type_id = 0;
        attr.btf_value_type_id = 0;
        result = create_once(&mut attr);
    }
    // Kernels before 4.15 know no names and answer to bytes they do not know with one of these.
    if matches!(result, Err(libc::EINVAL | libc::E2BIG)) && !spec.name.is_empty() {
        attr.map_name = Default::default();
        result = create_once(&mut attr);
    }
    let fd = result?;
    registry::record_map(spec.name, fd);
    Ok(fd)
}

fn create_once(attr: &mut attr::MapCreate) -> Result<RawFd, c_int> {
    // SAFETY: the attribute of this command holds no pointer.
    unsafe { bpf(Command::MapCreate, attr) }
}

/// Makes a map read-only for system calls (5.2 and later), so that the verifier may trust it.
pub(crate) fn freeze_raw(fd: RawFd) -> Result<(), c_int> {
    let mut attr = attr::MapFreeze {
        map_fd: fd_bits(fd),
    };
    // SAFETY: the attribute of this command holds no pointer.
    unsafe { bpf(Command::MapFreeze, &mut attr) }.map(drop)
}

/// Asks the kernel about a map.
///
/// # Errors
/// EBADF and the like when `fd` is no BPF object. A descriptor of a program gives nonsense: the
/// kernel answers for both kinds alike.
pub fn map_info(fd: BorrowedFd) -> io::Result<MapInfo> {
    read_map_info(fd.as_raw_fd()).map_err(io::Error::from_raw_os_error)
}

/// [`map_info`] for a bare number, which may be closed or someone else's by now.
pub(crate) fn read_map_info(fd: RawFd) -> Result<MapInfo, c_int> {
    let mut info = bpf_map_info::default();
    let mut attr = attr::ObjectInfo {
        bpf_fd: fd_bits(fd),
        info_len: size_of::<bpf_map_info>() as u32,
        info: std::ptr::from_mut(&mut info) as u64,
    };
    // SAFETY: the kernel writes at most info_len bytes to `info`, which is that large, plain integers
    // and alive.
    unsafe { bpf(Command::ObjectInfo, &mut attr) }?;
    Ok(MapInfo {
        kind: info.type_,
        id: info.id,
        key_size: info.key_size,
        value_size: info.value_size,
        max_entries: info.max_entries,
        flags: info.map_flags,
        name: name_text(&field_bytes(&info.name)),
    })
}

/// Number of CPUs that the kernel keeps per-CPU values for.
///
/// # Errors
/// When the kernel's list in /sys cannot be read or understood.
pub fn possible_cpus() -> io::Result<usize> {
    let list = std::fs::read_to_string(POSSIBLE_CPUS)?;
    count_cpus(&list).ok_or_else(|| {
        let message = format!("{POSSIBLE_CPUS} holds {list:?}, which is no list of CPUs");
        io::Error::new(io::ErrorKind::InvalidData, message)
    })
}

/// Counts a list such as `0-3,5`.
fn count_cpus(list: &str) -> Option<usize> {
    list.trim()
        .split(',')
        .map(|part| {
            let (first, last) = part.split_once('-').unwrap_or((part, part));
            let (first, last) = (first.parse::<usize>().ok()?, last.parse::<usize>().ok()?);
            last.checked_sub(first)?.checked_add(1)
        })
        .try_fold(0, |sum: usize, count| sum.checked_add(count?))
}

/// A map with a descriptor of its own and the sizes that the kernel copies.
#[derive(Debug)]
pub struct MapHandle {
    fd: OwnedFd,
    info: MapInfo,
    value_len: usize,
}

impl MapHandle {
    /// Takes over a descriptor of a map.
    ///
    /// # Errors
    /// When the kernel does not tell about it, or the number of CPUs cannot be read.
    pub fn new(fd: OwnedFd) -> io::Result<MapHandle> {
        let info = map_info(fd.as_fd())?;
        let value_len = value_len(&info)?;
        Ok(MapHandle {
            fd,
            info,
            value_len,
        })
    }

    /// Opens a map that was made in this process under `name`, redbpf's maps included.
    ///
    /// # Errors
    /// `NotFound` when there is none (see [`map_fd`](crate::map_fd)), and those of [`Self::new`].
    pub fn named(name: &str) -> io::Result<MapHandle> {
        let raw = registry::map_fd(name).ok_or_else(|| {
            let message = format!("no map {name} was made, or it is closed");
            io::Error::new(io::ErrorKind::NotFound, message)
        })?;
        // SAFETY: the table just checked that this number is that open map. The borrow ends with this
        // line; were the number closed meanwhile, duplicating it would only fail.
        let fd = unsafe { BorrowedFd::borrow_raw(raw) }.try_clone_to_owned()?;
        MapHandle::new(fd)
    }

    /// What the kernel knows of the map.
    pub fn info(&self) -> &MapInfo {
        &self.info
    }

    /// Bytes of a key.
    pub fn key_len(&self) -> usize {
        self.info.key_size as usize
    }

    /// Bytes of a value as look-ups and updates copy it: for per-CPU maps one value per possible CPU,
    /// each rounded up to 8 bytes; 4 bytes for maps of descriptors.
    pub fn value_len(&self) -> usize {
        self.value_len
    }

    /// Sets `key` to `value`. `flags`: 0 any, 1 only new keys, 2 only known keys.
    ///
    /// # Errors
    /// `InvalidInput` when a length is not the map's; else the kernel's refusal.
    pub fn update(&self, key: &[u8], value: &[u8], flags: u64) -> io::Result<()> {
        self.check("key", key.len(), self.key_len())?;
        self.check("value", value.len(), self.value_len)?;
        self.element(Command::MapUpdate, address(key), address(value), flags)
            .map(drop)
            .map_err(io::Error::from_raw_os_error)
    }

    /// Copies the value of `key` to `value`. False when the map has no such key.
    ///
    /// # Errors
    /// `InvalidInput` when a length is not the map's; else the kernel's refusal.
    pub fn lookup(&self, key: &[u8], value: &mut [u8]) -> io::Result<bool> {
        self.check("key", key.len(), self.key_len())?;
        self.check("value", value.len(), self.value_len)?;
        let target = address_mut(value);
        found(self.element(Command::MapLookup, address(key), target, 0))
    }

    /// Removes `key`. False when the map has no such key.
    ///
    /// # Errors
    /// `InvalidInput` when the length is not the map's; else the kernel's refusal.
    pub fn delete(&self, key: &[u8]) -> io::Result<bool> {
        self.check("key", key.len(), self.key_len())?;
        found(self.element(Command::MapDelete, address(key), 0, 0))
    }

    /// Copies the key that follows `after` (the first one for `None`, or when `after` is gone) to
    /// `next`. False at the end.
    ///
    /// # Errors
    /// `InvalidInput` when a length is not the map's; else the kernel's refusal.
    pub fn next_key(&self, after: Option<&[u8]>, next: &mut [u8]) -> io::Result<bool> {
        if let Some(after) = after {
            self.check("key", after.len(), self.key_len())?;
        }
        self.check("key", next.len(), self.key_len())?;
        let start = after.map_or(0, address);
        let target = address_mut(next);
        found(self.element(Command::MapNextKey, start, target, 0))
    }

    fn check(&self, what: &str, got: usize, wanted: usize) -> io::Result<()> {
        if got == wanted {
            return Ok(());
        }
        let name = &self.info.name;
        let message = format!("a {what} of map {name} has {wanted} bytes, not {got}");
        Err(io::Error::new(io::ErrorKind::InvalidInput, message))
    }

    /// `key` and `value` must come from slices of the lengths that `check` passed.
    fn element(&self, cmd: Command, key: u64, value: u64, flags: u64) -> Result<c_int, c_int> {
        let mut attr = attr::MapElement {
            map_fd: fd_bits(self.fd.as_raw_fd()),
            key,
            value,
            flags,
            ..Default::default()
        };
        // SAFETY: every caller passes addresses of live slices (exclusive ones where the kernel
        // writes) after comparing their lengths with the sizes that the kernel copies.
        unsafe { bpf(cmd, &mut attr) }
    }
}

impl AsFd for MapHandle {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

/// Bytes that the kernel copies for one value of this map.
fn value_len(info: &MapInfo) -> io::Result<usize> {
    let size = info.value_size as usize;
    Ok(match info.kind {
        map_kind::PERCPU_HASH
        | map_kind::PERCPU_ARRAY
        | map_kind::LRU_PERCPU_HASH
        | map_kind::PERCPU_CGROUP_STORAGE => size.next_multiple_of(8) * possible_cpus()?,
        map_kind::PROG_ARRAY
        | map_kind::PERF_EVENT_ARRAY
        | map_kind::CGROUP_ARRAY
        | map_kind::ARRAY_OF_MAPS
        | map_kind::HASH_OF_MAPS => size_of::<u32>(),
        _ => size,
    })
}

/// ENOENT is an answer: there is no such key, or no further one.
fn found(result: Result<c_int, c_int>) -> io::Result<bool> {
    match result {
        Ok(_) => Ok(true),
        Err(libc::ENOENT) => Ok(false),
        Err(errno) => Err(io::Error::from_raw_os_error(errno)),
    }
}

#[cfg(test)]
#[path = "map_tests.rs"]
mod tests;
