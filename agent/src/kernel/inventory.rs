//! Every BPF program and map of the host, as tables for support.
//!
//! [`programs`] and [`maps`] ask bpf(2) and write one line for each object; nothing is loaded,
//! changed or kept open. It takes CAP_SYS_ADMIN. An object is ours when a process that runs our
//! executable holds it, which `/proc/<pid>/fdinfo` tells.

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::fs;
use std::io::{self, Write};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use bpf_sys::Objects;
use nix::time::{clock_gettime, ClockId};

use crate::event::json::write_time;
use crate::sys::files::read_limited;

/// Objects of one sort that are listed.
const MOST: usize = 4_096;
/// More than `/proc/<pid>/fdinfo/<fd>` has for a program or a map.
const FDINFO_BYTES: usize = 2_048;
/// Descriptors of our own processes that are looked at.
const MOST_DESCRIPTORS: usize = 16_384;
/// Names of the kinds of programs, in the order of `enum bpf_prog_type` (linux/bpf.h).
const PROGRAM_KINDS: &str = "unspec socket_filter kprobe sched_cls sched_act tracepoint xdp \
    perf_event cgroup_skb cgroup_sock lwt_in lwt_out lwt_xmit sock_ops sk_skb cgroup_device sk_msg \
    raw_tracepoint cgroup_sock_addr lwt_seg6local lirc_mode2 sk_reuseport flow_dissector \
    cgroup_sysctl raw_tracepoint_writable cgroup_sockopt tracing struct_ops ext lsm sk_lookup \
    syscall netfilter";
/// Names of the kinds of maps, in the order of `enum bpf_map_type` (linux/bpf.h).
const MAP_KINDS: &str = "unspec hash array prog_array perf_event_array percpu_hash percpu_array \
    stack_trace cgroup_array lru_hash lru_percpu_hash lpm_trie array_of_maps hash_of_maps devmap \
    sockmap cpumap xskmap sockhash cgroup_storage reuseport_sockarray percpu_cgroup_storage queue \
    stack sk_storage devmap_hash struct_ops ringbuf inode_storage task_storage bloom_filter \
    user_ringbuf cgrp_storage arena insn_array";

/// Writes a table of every BPF program: kind, name, age, size, what the verifier and the kernel
/// counted, the maps it uses. Run time and runs count only while `kernel.bpf_stats_enabled` is on;
/// what the kernel is too old to know is 0. Errors are those of `out` and the kernel's refusal, as a
/// sentence.
pub fn programs(out: &mut dyn Write) -> io::Result<()> {
    let clock = BootTime::measure();
    let ours = held_by_us("prog_id:");
    writeln!(
        out,
        "{:<8} {:<24} {:<16} {:<16} {:<24} {:>6} {:>8} {:>8} {:>12} {:>10} {:>6} {:<4} maps",
        "id",
        "type",
        "name",
        "tag",
        "loaded",
        "uid",
        "jited",
        "verified",
        "run_ns",
        "runs",
        "missed",
        "ours"
    )?;
    each(Objects::Programs, out, &mut |id, program, out| {
        let info = bpf_sys::program_info(program)?;
        let maps = bpf_sys::program_maps(program)?;
        let maps: Vec<String> = maps.iter().map(u32::to_string).collect();
        writeln!(
            out,
            "{:<8} {:<24} {:<16} {:016x} {:<24} {:>6} {:>8} {:>8} {:>12} {:>10} {:>6} {:<4} {}",
            id,
            kind_name(PROGRAM_KINDS, info.kind),
            shown(&info.name),
            u64::from_be_bytes(info.tag),
            clock.utc(info.load_time),
            info.uid,
            info.jited_bytes,
            info.verified_insns,
            info.run_time_ns,
            info.run_cnt,
            info.recursion_misses,
            yes(ours.contains(&id)),
            maps.join(","),
        )
    })
}

/// Writes a table of every BPF map: kind, name, sizes in bytes, flags (`BPF_F_*`) and the memory
/// that it is charged with. Errors as with [`programs`].
pub fn maps(out: &mut dyn Write) -> io::Result<()> {
    let ours = held_by_us("map_id:");
    writeln!(
        out,
        "{:<8} {:<21} {:<16} {:>6} {:>8} {:>10} {:>10} {:>12} ours",
        "id", "type", "name", "key", "value", "entries", "flags", "memory"
    )?;
    each(Objects::Maps, out, &mut |id, map, out| {
        let info = bpf_sys::map_info(map)?;
        let path = format!("/proc/self/fdinfo/{}", map.as_raw_fd());
        let memory = fdinfo_number(Path::new(&path), "memlock:");
        writeln!(
            out,
            "{:<8} {:<21} {:<16} {:>6} {:>8} {:>10} {:>#10x} {:>12} {}",
            id,
            kind_name(MAP_KINDS, info.kind),
            shown(&info.name),
            info.key_size,
            info.value_size,
            info.max_entries,
            info.flags,
            memory.map_or_else(|| "-".to_owned(), |bytes| bytes.to_string()),
            yes(ours.contains(&id)),
        )
    })
}

/// Writes the line of one object.
type Line<'a> = &'a mut dyn FnMut(u32, BorrowedFd<'_>, &mut dyn Write) -> io::Result<()>;

/// Walks the objects in the order of their numbers.
fn each(objects: Objects, out: &mut dyn Write, line: Line<'_>) -> io::Result<()> {
    let mut id = 0;
    for _ in 0..MOST {
        id = match objects.next(id) {
            Ok(Some(next)) => next,
            Ok(None) => return Ok(()),
            Err(error) => return Err(refusal(&error)),
        };
        match objects.open(id) {
            // One that cannot be described costs its own line only.
            Ok(Some(object)) => match line(id, object.as_fd(), out) {
                Err(error) if error.raw_os_error().is_some() => {
                    writeln!(out, "{id:<8} cannot be described: {error}")?;
                }
                result => result?,
            },
            Ok(None) => {}
            Err(error) => writeln!(out, "{id:<8} cannot be opened: {error}")?,
        }
    }
    writeln!(out, "There may be more; {MOST} are shown.")
}

fn refusal(error: &io::Error) -> io::Error {
    let advice = match error.raw_os_error() {
        Some(libc::EPERM) => "; run this as root, or with CAP_SYS_ADMIN",
        Some(libc::EINVAL | libc::ENOSYS) => "; it takes Linux 4.13 with CONFIG_BPF_SYSCALL",
        _ => "",
    };
    let sentence = format!("the kernel does not list its BPF objects: {error}{advice}");
    io::Error::new(error.kind(), sentence)
}

/// The name of a kind; its number when it is newer than our list.
fn kind_name(names: &str, kind: u32) -> String {
    let name = names.split_whitespace().nth(kind as usize);
    name.map_or_else(|| kind.to_string(), str::to_owned)
}

/// An object's name, which anybody may have chosen, without what would disturb a terminal.
pub fn shown(name: &str) -> String {
    match name {
        "" => "-".to_owned(),
        _ => name.replace(|letter: char| !letter.is_ascii_graphic(), "?"),
    }
}

fn yes(is_so: bool) -> &'static str {
    match is_so {
        true => "yes",
        false => "-",
    }
}

/// When the machine was started, in nanoseconds since the epoch.
struct BootTime(i128);

impl BootTime {
    fn measure() -> BootTime {
        let read = |clock| {
            clock_gettime(clock).map_or(0, |time| {
                i128::from(time.tv_sec()) * 1_000_000_000 + i128::from(time.tv_nsec())
            })
        };
        BootTime(read(ClockId::CLOCK_REALTIME) - read(ClockId::CLOCK_BOOTTIME))
    }

    /// Time since boot in nanoseconds as UTC.
    fn utc(&self, since_boot: u64) -> String {
        let mut text = String::new();
        write_time(
            &mut text,
            u64::try_from(self.0 + i128::from(since_boot)).unwrap_or(0),
        );
        text
    }
}

/// The numbers behind `key` in the descriptors of every process that runs our executable.
fn held_by_us(key: &str) -> BTreeSet<u32> {
    let mut held = BTreeSet::new();
    let descriptors = our_processes()
        .into_iter()
        .flat_map(|process| fs::read_dir(process.join("fdinfo")))
        .flatten()
        .flatten();
    for descriptor in descriptors.take(MOST_DESCRIPTORS) {
        let id = fdinfo_number(&descriptor.path(), key);
        held.extend(id.and_then(|id| u32::try_from(id).ok()));
    }
    held
}

fn our_processes() -> Vec<PathBuf> {
    let program = |process: &Path| {
        let file = fs::metadata(process.join("exe")).ok()?;
        Some((file.dev(), file.ino()))
    };
    let ours = program(Path::new("/proc/self"));
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    entries
        .filter(|entry| pid_of(&entry.file_name()).is_some())
        .map(|entry| entry.path())
        .filter(|path| ours.is_some() && program(path) == ours)
        .collect()
}

fn pid_of(name: &OsStr) -> Option<u32> {
    name.to_str()?.parse().ok()
}

/// The number behind a key of a file such as `/proc/self/fdinfo/3`.
fn fdinfo_number(path: &Path, key: &str) -> Option<u64> {
    let text = read_limited(path, FDINFO_BYTES).ok()?;
    let text = String::from_utf8_lossy(&text);
    let value = text.lines().find_map(|line| line.strip_prefix(key))?;
    value.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_running_kernel_is_listed_or_says_why_not() {
        let tables: [fn(&mut dyn Write) -> io::Result<()>; 2] = [programs, maps];
        for write in tables {
            let mut bytes = Vec::new();
            let result = write(&mut bytes);
            assert_eq!(result.is_ok(), nix::unistd::geteuid().is_root());
            let text = String::from_utf8(bytes).unwrap();
            let (header, lines) = text.split_once('\n').unwrap();
            assert!(header.starts_with("id "), "{header}");
            for line in lines.lines() {
                let id = line.split_whitespace().next().unwrap();
                assert!(id.parse::<u32>().is_ok(), "{line}");
            }
        }
    }

    #[test]
    fn kinds_have_the_names_of_their_numbers() {
        for (names, kind, name) in [
            (PROGRAM_KINDS, 3, "sched_cls"),
            (PROGRAM_KINDS, 17, "raw_tracepoint"),
            (PROGRAM_KINDS, 26, "tracing"),
            (PROGRAM_KINDS, 32, "netfilter"),
            (PROGRAM_KINDS, 99, "99"),
            (MAP_KINDS, 1, "hash"),
            (MAP_KINDS, 21, "percpu_cgroup_storage"),
            (MAP_KINDS, 27, "ringbuf"),
            (MAP_KINDS, 34, "insn_array"),
        ] {
            assert_eq!(kind_name(names, kind), name);
        }
    }

    #[test]
    fn a_refusal_is_a_sentence_with_advice() {
        let error = io::Error::from_raw_os_error(libc::EPERM);
        assert!(refusal(&error).to_string().ends_with("CAP_SYS_ADMIN"));
    }

    #[test]
    fn foreign_names_stay_on_their_line() {
        assert_eq!(shown("a b\n\u{e9}"), "a?b??");
        assert_eq!(shown(""), "-");
    }

    #[test]
    fn a_number_is_found_behind_its_key() {
        let pos = fdinfo_number(Path::new("/proc/self/fdinfo/0"), "pos:");
        assert!(pos.is_some());
        assert_eq!(
            fdinfo_number(Path::new("/proc/self/fdinfo/0"), "prog_id:"),
            None
        );
    }

    #[test]
    fn this_process_is_one_of_ours() {
        let own = PathBuf::from(format!("/proc/{}", std::process::id()));
        assert!(our_processes().contains(&own));
    }
}
