//! The kernel of this host: what it is, what it allows, what is loaded into it.
//!
//! All of it comes from the kernel's own file systems and from system calls; no path of a user is
//! opened here.

use std::fmt::Write as _;
use std::fs::{File, OpenOptions};
use std::io::{self, BufRead, BufReader, ErrorKind, Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use nix::unistd::geteuid;

use crate::config::keys;
use crate::flare::collect::Sources;
use crate::flare::stream::Writer;
use crate::kernel::tc::check;
use crate::kernel::tracefs::Tracefs;
use crate::kernel::{inventory, tc};
use crate::sys::files::read_limited;
use crate::sys::kernel_log;

const MIB: u64 = 1 << 20;
/// Bytes of a file with one value.
const SHORT: usize = 64 << 10;
/// Bytes of the header of BTF (include/uapi/linux/btf.h).
const BTF_HEADER: usize = 24;
/// Bytes of a kernel's configuration, unpacked.
const KERNEL_CONFIGURATION: u64 = 4 << 20;

/// Files with one value each that decide what probes may do.
const SWITCHES: &[&str] = &[
    "/sys/kernel/security/lockdown",
    "/sys/kernel/security/lsm",
    "/sys/fs/selinux/enforce",
    "/sys/module/apparmor/parameters/enabled",
    "/proc/sys/kernel/unprivileged_bpf_disabled",
    "/proc/sys/kernel/bpf_stats_enabled",
    "/proc/sys/kernel/perf_event_paranoid",
    "/proc/sys/kernel/kptr_restrict",
    "/proc/sys/kernel/dmesg_restrict",
    "/proc/sys/kernel/ftrace_enabled",
    "/proc/sys/kernel/tainted",
    "/proc/sys/net/core/bpf_jit_enable",
    "/proc/sys/net/core/bpf_jit_harden",
    "/sys/kernel/debug/kprobes/enabled",
];

/// Files about the machine as a whole.
const MACHINE: &[&str] = &[
    "/proc/version",
    "/proc/cmdline",
    "/proc/uptime",
    "/proc/loadavg",
    "/proc/meminfo",
    "/proc/pressure/cpu",
    "/proc/pressure/memory",
    "/proc/pressure/io",
    "/etc/os-release",
];

/// Words of the options of a kernel's configuration that matter here.
const OPTIONS: &[&str] = &[
    "BPF",
    "BTF",
    "PROBE",
    "FTRACE",
    "TRACEPOINTS",
    "TRACING",
    "CGROUP",
    "SECURITY",
    "LSM",
    "NET_CLS",
    "NET_SCH_INGRESS",
    "LOCKDOWN",
];

/// Tables of the tracing file system.
const TRACING: &[(&str, &str)] = &[
    ("kprobe_events", "kprobe_events"),
    ("available_events", "available_events"),
    ("available_filter_functions", "available_filter_functions"),
];

/// What runs here.
pub(super) fn kernel(_: &Sources, out: &mut Writer<'_>) -> io::Result<()> {
    out.file("kernel.txt", MIB);
    if let Ok(name) = nix::sys::utsname::uname() {
        let parts = [
            name.sysname(),
            name.nodename(),
            name.release(),
            name.version(),
            name.machine(),
        ];
        let parts = parts.map(|part| part.to_string_lossy().into_owned());
        writeln!(out, "{}", parts.join(" "))?;
    }
    values(MACHINE, out)?;
    let release = nix::sys::utsname::uname().map(|name| name.release().to_owned());
    let release = release.unwrap_or_default();
    let options = configuration(&release.to_string_lossy());
    writeln!(out, "\n== configuration\n{options}")
}

/// What the kernel allows.
pub(super) fn lockdown(_: &Sources, out: &mut Writer<'_>) -> io::Result<()> {
    out.file("lockdown.txt", MIB);
    values(SWITCHES, out)
}

/// Each file under its name; those that this kernel does not have are left out.
fn values(paths: &[&str], out: &mut Writer<'_>) -> io::Result<()> {
    for path in paths {
        match read_limited(Path::new(path), SHORT) {
            Ok(value) => {
                let value = String::from_utf8_lossy(&value);
                writeln!(out, "\n== {path}\n{}", value.trim_end())?;
            }
            Err(error) if error.kind() == ErrorKind::NotFound => {}
            Err(error) => writeln!(out, "\n== {path}\n({error})")?,
        }
    }
    Ok(())
}

/// The options that matter, as the kernel or its package tells them.
fn configuration(release: &str) -> String {
    let running = File::open("/proc/config.gz").map(flate2::read::GzDecoder::new);
    let mut text = String::new();
    let read = match running {
        Ok(packed) => packed.take(KERNEL_CONFIGURATION).read_to_string(&mut text),
        Err(_) => File::open(format!("/boot/config-{release}"))
            .and_then(|file| file.take(KERNEL_CONFIGURATION).read_to_string(&mut text)),
    };
    if read.is_err() {
        return "(neither /proc/config.gz nor a file in /boot tells it)".to_owned();
    }
    let matters = |line: &&str| {
        let name = line.split('=').next().unwrap_or(line);
        line.contains("CONFIG_") && OPTIONS.iter().any(|word| name.contains(word))
    };
    text.lines().filter(matters).collect::<Vec<_>>().join("\n")
}

/// What the types of this kernel are described by.
pub(super) fn btf(_: &Sources, out: &mut Writer<'_>) -> io::Result<()> {
    const PATH: &str = "/sys/kernel/btf/vmlinux";
    out.file("btf.txt", MIB);
    let text = match read_limited(Path::new(PATH), BTF_HEADER) {
        Ok(header) => describe_btf(&header),
        Err(error) => format!("{PATH}: {error}\n"),
    };
    out.write_all(text.as_bytes())?;
    let modules = std::fs::read_dir("/sys/kernel/btf").map_or(0, Iterator::count);
    writeln!(out, "files in /sys/kernel/btf: {modules}")
}

/// The header of BTF in words.
fn describe_btf(header: &[u8]) -> String {
    let number = |at: usize| {
        let bytes = header.get(at..at + 4)?.first_chunk::<4>()?;
        Some(u32::from_ne_bytes(*bytes))
    };
    let Some(magic) = header
        .first_chunk::<2>()
        .map(|bytes| u16::from_ne_bytes(*bytes))
    else {
        return "the file is too short for BTF\n".to_owned();
    };
    let mut text = format!("magic: {magic:#06x}\n");
    let parts = [
        ("header bytes", 4),
        ("types at", 8),
        ("types bytes", 12),
        ("strings at", 16),
        ("strings bytes", 20),
    ];
    for (name, at) in parts {
        if let Some(number) = number(at) {
            let _ = writeln!(text, "{name}: {number}");
        }
    }
    text
}

/// Programs and maps of BPF.
pub(super) fn bpf(_: &Sources, out: &mut Writer<'_>) -> io::Result<()> {
    table("bpf-programs.txt", &inventory::programs, out)?;
    table("bpf-maps.txt", &inventory::maps, out)
}

/// Interfaces, qdiscs and filters of traffic control, in every network namespace, and what
/// `runtime network check` makes of them. The configuration is not known here: where none of our
/// classifiers is attached, the check is about their usual priority, which it names.
pub(super) fn tc(_: &Sources, out: &mut Writer<'_>) -> io::Result<()> {
    let found = tc::survey();
    table(
        "tc.txt",
        &|out: &mut dyn Write| tc::dump::render(&found, out),
        out,
    )?;
    let usual = keys::NETWORK_CLASSIFIER_PRIORITY.default.parse();
    let priority = check::priority_in_use(&found).or(usual.ok()).unwrap_or(0);
    let checked = check::judge(&found, priority);
    out.file("network-check.txt", 8 * MIB);
    out.write_all(check::text::text(&checked).as_bytes())
}

/// Writes a table that may be refused.
fn table(
    name: &str,
    write: &dyn Fn(&mut dyn Write) -> io::Result<()>,
    out: &mut Writer<'_>,
) -> io::Result<()> {
    let mut text = Vec::new();
    let written = write(&mut text);
    if !text.is_empty() {
        out.file(name, 8 * MIB);
        out.write_all(&text)?;
    }
    match written {
        Ok(()) => Ok(()),
        Err(error) => out.note(&format!("{name}: {error}")),
    }
}

/// What is mounted where.
pub(super) fn mountinfo(_: &Sources, out: &mut Writer<'_>) -> io::Result<()> {
    let first = open(Path::new("/proc/1/mountinfo"));
    copy(
        "mountinfo",
        first.or_else(|_| open(Path::new("/proc/self/mountinfo"))),
        4 * MIB,
        out,
    )
    .map(drop)
}

/// The kernel's log.
pub(super) fn dmesg(sources: &Sources, out: &mut Writer<'_>) -> io::Result<()> {
    if sources.is_restricted && is_set("/proc/sys/kernel/dmesg_restrict") {
        return out.note("dmesg: kernel.dmesg_restrict is set; run this as root");
    }
    match kernel_log::read() {
        Ok(log) => {
            out.file("dmesg", 4 * MIB);
            out.write_all(&log)
        }
        Err(error) => out.note(&format!("dmesg: {error}")),
    }
}

/// What can be traced, and what is.
pub(super) fn tracefs(_: &Sources, out: &mut Writer<'_>) -> io::Result<()> {
    let tracefs = match Tracefs::find() {
        Ok(tracefs) => tracefs,
        Err(error) => return out.note(&format!("tracefs: it cannot be mounted: {error}")),
    };
    for (name, path) in TRACING {
        match tracefs.open(path) {
            // Kernels without kprobes, or without dynamic ftrace, lack these.
            Err(error) if error.kind() == ErrorKind::NotFound => {}
            // Locked down: that root may not see it is what there is to know.
            Err(error) if error.kind() == ErrorKind::PermissionDenied && geteuid().is_root() => {
                out.file(name, MIB);
                writeln!(out, "(this kernel does not show it to root: {error})")?;
            }
            file => {
                let is_whole = copy(name, file, 12 * MIB, out)?;
                if is_whole && out.is_empty() {
                    writeln!(out, "(the kernel has none)")?;
                }
            }
        }
    }
    Ok(())
}

/// The symbols of the kernel. Their addresses are root's to know, as the kernel has it.
pub(super) fn kallsyms(sources: &Sources, out: &mut Writer<'_>) -> io::Result<()> {
    const NAME: &str = "kallsyms";
    match open(Path::new("/proc/kallsyms")) {
        Ok(file) if sources.is_restricted => {
            out.file(NAME, 24 * MIB);
            for line in BufReader::new(file).lines().map_while(Result::ok) {
                let (address, rest) = line.split_once(' ').unwrap_or(("", &line));
                let line = format!("{} {rest}\n", "0".repeat(address.len()));
                out.write_all(line.as_bytes())?;
            }
            Ok(())
        }
        file => copy(NAME, file, 24 * MIB, out).map(drop),
    }
}

fn is_set(switch: &str) -> bool {
    read_limited(Path::new(switch), SHORT).is_ok_and(|value| value.trim_ascii() != b"0")
}

fn open(path: &Path) -> io::Result<File> {
    OpenOptions::new()
        .read(true)
        .custom_flags(libc::O_NONBLOCK | libc::O_NOCTTY)
        .open(path)
}

/// Copies a file of the kernel, or notes why it cannot be; says whether all of it was copied.
fn copy(name: &str, file: io::Result<File>, limit: u64, out: &mut Writer<'_>) -> io::Result<bool> {
    match file {
        Ok(mut file) => {
            out.file(name, limit);
            super::files::pour(name, &mut file, out)
        }
        Err(error) => out.note(&format!("{name}: {error}")).map(|()| false),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::flare::stream::Frame;

    #[test]
    fn addresses_of_the_kernel_are_roots_to_know() {
        let sources = Sources {
            is_restricted: true,
            ..Sources::default()
        };
        let mut bytes = Vec::new();
        kallsyms(&sources, &mut Writer::new(&mut bytes)).unwrap();
        let mut rest = bytes.as_slice();
        let mut text = Vec::new();
        while let Some(frame) = Frame::read(&mut rest).unwrap() {
            if let Frame::Data(data) = frame {
                text.extend(data);
            }
        }
        let text = String::from_utf8(text).unwrap();
        let zeros = |line: &str| line.trim_start_matches('0').starts_with(' ');
        assert!(
            text.lines().all(zeros) && text.contains(" T "),
            "{:?}",
            text.get(..200)
        );
    }

    #[test]
    fn the_header_of_btf_is_told_in_words() {
        let mut header = vec![0x9f, 0xeb, 1, 0];
        for number in [24u32, 0, 100, 100, 50] {
            header.extend(number.to_ne_bytes());
        }
        let text = describe_btf(&header);
        assert!(
            text.contains("0xeb9f") && text.contains("strings bytes: 50"),
            "{text}"
        );
        assert!(describe_btf(&[1]).contains("too short"));
        assert!(!describe_btf(&header[..10]).contains("strings"));
    }
}
