//! The constants of the probes: which there are, and their values on this kernel.
//!
//! The table comes from `probes/include/constants.def` through build.rs. Values are looked up in
//! BTF: the kernel's own, then a file named in the configuration; without either, the built-in
//! table (`offsets.txt`) may know the kernel's release. [`Constants::patch`] writes the values over
//! the recognisable immediates.

use std::fs;
use std::path::{Path, PathBuf};

use super::btf::Btf;

/// Where a constant's value comes from.
pub(crate) enum Source {
    /// Byte offset of the first of the `|`-separated members that exists.
    Offset {
        structure: &'static str,
        member: &'static str,
    },
    /// The agent decides.
    Value,
}

/// One line of `constants.def`.
pub(crate) struct Constant {
    pub(crate) name: &'static str,
    pub(crate) source: Source,
}

include!(concat!(env!("OUT_DIR"), "/constants.rs"));

/// Offsets of kernels that show no BTF: `RELEASE NAME=VALUE …` a line, where one `*` in RELEASE
/// stands for any characters. `status -j` prints the values of a kernel that does show it.
const TABLE: &str = include_str!("offsets.txt");

/// What a member that does not exist is patched to; the probes compare with it.
pub const MISSING: u64 = u64::MAX;
/// The upper half of every placeholder (`CONSTANT_MAGIC`).
const MAGIC: u32 = 0x5ec0_a9e7;
/// First byte of `ld_imm64` (include/uapi/linux/bpf.h: BPF_LD | BPF_DW | BPF_IMM).
const LOAD_IMMEDIATE: u8 = 0x18;
const INSTRUCTION: usize = 8;
/// `ld_imm64` takes two.
const WIDE: usize = 2 * INSTRUCTION;
/// THREAD_SIZE of both architectures without sanitizers (page_64_types.h, memory.h).
const THREAD_SIZE: u64 = 16384;

/// The values for this kernel.
#[derive(Clone, Debug)]
pub struct Constants {
    values: Vec<u64>,
    /// Where the offsets came from, for people.
    pub origin: String,
    /// Names of the members that this kernel lacks or hides.
    pub missing: Vec<&'static str>,
}

impl Constants {
    /// Looks the offsets up for the kernel of this release; `btf_file` is asked when it shows no
    /// BTF, the built-in table last.
    ///
    /// Where nothing is known every offset is missing, and `origin` says so.
    pub fn find(btf_file: Option<&Path>, release: &str) -> Constants {
        let kernel = PathBuf::from("/sys/kernel/btf/vmlinux");
        let candidates = [Some(kernel.as_path()), btf_file];
        for path in candidates.into_iter().flatten() {
            if let Ok(bytes) = fs::read(path) {
                let found = Constants::from_btf(&bytes, &path.display().to_string());
                if let Some(found) = found.filter(Constants::are_known) {
                    return found;
                }
            }
        }
        Constants::from_table(TABLE, release).unwrap_or_else(Constants::unknown)
    }

    fn unknown() -> Constants {
        Constants {
            values: vec![MISSING; CONSTANTS.len()],
            origin: "nowhere: the kernel shows no BTF in /sys/kernel/btf/vmlinux; name a BTF file \
                     of this kernel in system_probe_config.btf_path"
                .to_string(),
            missing: offsets().map(|(name, _, _)| name).collect(),
        }
    }

    /// The values in these bytes of BTF; `None` when they are not BTF.
    pub fn from_btf(bytes: &[u8], origin: &str) -> Option<Constants> {
        let structures: Vec<&str> = offsets().map(|(_, structure, _)| structure).collect();
        let btf = Btf::parse(bytes, &structures).ok()?;
        let mut found = Constants {
            values: vec![MISSING; CONSTANTS.len()],
            origin: origin.to_string(),
            missing: Vec::new(),
        };
        for (constant, value) in CONSTANTS.iter().zip(found.values.iter_mut()) {
            let Source::Offset { structure, member } = constant.source else {
                continue;
            };
            match member
                .split('|')
                .find_map(|name| btf.offset(structure, name))
            {
                Some(offset) => *value = offset,
                None => found.missing.push(constant.name),
            }
        }
        if let Some(bits) = btf.field_bits("sock", "sk_protocol") {
            found.set("SOCK_PROTOCOL_BITS", bits);
        }
        Some(found)
    }

    /// The values that a table like [`TABLE`] has for a release.
    fn from_table(table: &str, release: &str) -> Option<Constants> {
        let (pattern, row) = table
            .lines()
            .filter_map(|line| line.split_once(' '))
            .find(|(pattern, _)| is_release(pattern, release))?;
        let mut found = Constants::unknown();
        found.origin = format!("the built-in table for {pattern}");
        for pair in row.split_whitespace() {
            let (name, value) = pair.split_once('=')?;
            found.set(name, value.parse().ok()?);
            found.missing.retain(|missing| *missing != name);
        }
        Some(found)
    }

    /// Name and value of every offset that is known.
    pub fn offsets(&self) -> impl Iterator<Item = (&'static str, u64)> + '_ {
        let pairs = CONSTANTS.iter().zip(self.values.iter().copied());
        pairs
            .filter(|(constant, value)| {
                matches!(constant.source, Source::Offset { .. }) && *value != MISSING
            })
            .map(|(constant, value)| (constant.name, value))
    }

    /// Sets a constant that the agent decides.
    pub fn set(&mut self, name: &str, value: u64) {
        let slot = CONSTANTS
            .iter()
            .zip(self.values.iter_mut())
            .find(|(constant, _)| constant.name == name);
        if let Some((_, slot)) = slot {
            *slot = value;
        }
    }

    /// Chooses how the probes find a task's saved registers: the helper of 5.15 and later, or
    /// their place below the top of the kernel stack.
    pub fn use_register_helper(&mut self, yes: bool) {
        let registers = if cfg!(target_arch = "aarch64") {
            336
        } else {
            168
        };
        self.set("HAS_TASK_PT_REGS", yes.into());
        self.set("PT_REGS_IN_STACK", THREAD_SIZE - registers);
    }

    /// Whether any offset is known.
    pub fn are_known(&self) -> bool {
        self.missing.len() < offsets().count()
    }

    /// Writes the values over the placeholders in a program's instructions.
    pub fn patch(&self, code: &mut [u8]) {
        let mut rest = code;
        while let Some((wide, _)) = rest.split_first_chunk_mut::<WIDE>() {
            if is_placeholder(wide) {
                let index = half(wide, 4) as usize;
                let value = self.values.get(index).copied().unwrap_or(MISSING);
                write_wide(wide, value);
            }
            rest = rest.get_mut(INSTRUCTION..).unwrap_or(&mut []);
        }
    }
}

/// Whether these two instructions load a placeholder.
fn is_placeholder(wide: &[u8; WIDE]) -> bool {
    wide.first() == Some(&LOAD_IMMEDIATE) && half(wide, 12) == MAGIC
}

/// The immediate at `offset`: 4 is the lower half, 12 the upper.
fn half(wide: &[u8; WIDE], offset: usize) -> u32 {
    let bytes = wide.get(offset..).and_then(|rest| rest.first_chunk::<4>());
    bytes.map_or(0, |bytes| u32::from_le_bytes(*bytes))
}

fn write_wide(wide: &mut [u8; WIDE], value: u64) {
    let bytes = value.to_le_bytes();
    let immediates = [4, 5, 6, 7, 12, 13, 14, 15];
    for (offset, byte) in immediates.into_iter().zip(bytes) {
        if let Some(target) = wide.get_mut(offset) {
            *target = byte;
        }
    }
}

/// Whether a release is of a pattern with at most one `*`.
fn is_release(pattern: &str, release: &str) -> bool {
    match pattern.split_once('*') {
        None => pattern == release,
        Some((start, end)) => {
            release.len() >= start.len() + end.len()
                && release.starts_with(start)
                && release.ends_with(end)
        }
    }
}

/// Name, structure and members of every offset.
fn offsets() -> impl Iterator<Item = (&'static str, &'static str, &'static str)> {
    CONSTANTS
        .iter()
        .filter_map(|constant| match constant.source {
            Source::Offset { structure, member } => Some((constant.name, structure, member)),
            Source::Value => None,
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_offset_is_known_here() {
        let constants = Constants::find(None, "");
        assert_eq!(
            constants.missing,
            Vec::<&str>::new(),
            "{}",
            constants.origin
        );
    }

    #[test]
    fn the_built_in_table_is_sound() {
        for line in TABLE.lines() {
            let release = line.split(' ').next().unwrap().replace('*', "x");
            let found = Constants::from_table(TABLE, &release).unwrap();
            assert_eq!(found.missing, Vec::<&str>::new(), "{release}");
        }
        assert!(Constants::from_table(TABLE, "2.6.32").is_none());
    }

    #[test]
    fn releases_are_known_by_pattern() {
        for (pattern, release, is) in [
            ("6.1.0-*-amd64", "6.1.0-21-amd64", true),
            ("6.1.0-*-amd64", "6.1.0-amd64", false),
            ("6.1.0", "6.1.0", true),
            ("6.1.0", "6.1.01", false),
        ] {
            assert_eq!(is_release(pattern, release), is, "{pattern} {release}");
        }
    }

    #[test]
    fn patches_only_placeholders() {
        let mut constants = Constants::find(None, "");
        let last = CONSTANTS.len() - 1;
        constants.set(CONSTANTS[last].name, 0x1122_3344_5566_7788);
        let mut code = vec![0u8; 32];
        code[0] = LOAD_IMMEDIATE;
        code[4] = 9;
        code[16] = LOAD_IMMEDIATE;
        code[20..24].copy_from_slice(&(last as u32).to_le_bytes());
        code[28..32].copy_from_slice(&MAGIC.to_le_bytes());
        constants.patch(&mut code);
        assert_eq!(code[4], 9);
        assert_eq!(code[20..24], 0x5566_7788u32.to_le_bytes());
        assert_eq!(code[28..32], 0x1122_3344u32.to_le_bytes());
    }
}
