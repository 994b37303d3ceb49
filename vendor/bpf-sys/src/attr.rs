//! The parts of `union bpf_attr` that we use, one struct per command.
//!
//! Layouts are those of the kernel's `linux/bpf.h`; the assertions below pin every size and the
//! offsets that alignment could move. Pointers travel as `u64`. A struct may be shorter than the
//! kernel's union: the kernel takes the rest as zero. Nothing here calls the kernel.

use std::mem::{offset_of, size_of};

use libc::c_char;

/// Bytes of an object name, the ending zero included (`BPF_OBJ_NAME_LEN`).
pub(crate) const OBJECT_NAME_LEN: usize = 16;

/// `BPF_MAP_CREATE`.
#[repr(C)]
#[derive(Clone, Copy, Default)]
pub(crate) struct MapCreate {
    pub map_type: u32,
    pub key_size: u32,
    pub value_size: u32,
    pub max_entries: u32,
    pub map_flags: u32,
    pub inner_map_fd: u32,
    pub numa_node: u32,
    pub map_name: [u8; OBJECT_NAME_LEN],
    pub map_ifindex: u32,
    pub btf_fd: u32,
    pub btf_key_type_id: u32,
    pub btf_value_type_id: u32,
}

/// `BPF_MAP_{LOOKUP,UPDATE,DELETE}_ELEM` and `BPF_MAP_GET_NEXT_KEY`, where `value` is the next key.
#[repr(C)]
#[derive(Clone, Copy, Default)]
pub(crate) struct MapElement {
    pub map_fd: u32,
    pub reserved: u32,
    pub key: u64,
    pub value: u64,
    pub flags: u64,
}

/// `BPF_MAP_FREEZE`.
#[repr(C)]
#[derive(Clone, Copy, Default)]
pub(crate) struct MapFreeze {
    pub map_fd: u32,
}

/// `BPF_PROG_LOAD`, up to `attach_btf_id`.
#[repr(C)]
#[derive(Clone, Copy, Default)]
pub(crate) struct ProgramLoad {
    pub prog_type: u32,
    pub insn_cnt: u32,
    pub insns: u64,
    pub license: u64,
    pub log_level: u32,
    pub log_size: u32,
    pub log_buf: u64,
    pub kern_version: u32,
    pub prog_flags: u32,
    pub prog_name: [u8; OBJECT_NAME_LEN],
    pub prog_ifindex: u32,
    pub expected_attach_type: u32,
    pub prog_btf_fd: u32,
    pub func_info_rec_size: u32,
    pub func_info: u64,
    pub func_info_cnt: u32,
    pub line_info_rec_size: u32,
    pub line_info: u64,
    pub line_info_cnt: u32,
    pub attach_btf_id: u32,
}

/// `BPF_OBJ_PIN` and `BPF_OBJ_GET`.
#[repr(C)]
#[derive(Clone, Copy, Default)]
pub(crate) struct ObjectPath {
    pub pathname: u64,
    pub bpf_fd: u32,
    pub file_flags: u32,
}

/// `BPF_PROG_ATTACH`.
#[repr(C)]
#[derive(Clone, Copy, Default)]
pub(crate) struct ProgramAttach {
    pub target_fd: u32,
    pub attach_bpf_fd: u32,
    pub attach_type: u32,
    pub attach_flags: u32,
}

/// `BPF_PROG_TEST_RUN`, up to `duration`.
#[repr(C)]
#[derive(Clone, Copy, Default)]
pub(crate) struct ProgramTestRun {
    pub prog_fd: u32,
    pub retval: u32,
    pub data_size_in: u32,
    pub data_size_out: u32,
    pub data_in: u64,
    pub data_out: u64,
    pub repeat: u32,
    pub duration: u32,
}

/// `BPF_{PROG,MAP}_GET_NEXT_ID` and `BPF_{PROG,MAP}_GET_FD_BY_ID`.
#[repr(C)]
#[derive(Clone, Copy, Default)]
pub(crate) struct ObjectId {
    pub id: u32,
    pub next_id: u32,
    pub open_flags: u32,
}

/// `BPF_OBJ_GET_INFO_BY_FD`.
#[repr(C)]
#[derive(Clone, Copy, Default)]
pub(crate) struct ObjectInfo {
    pub bpf_fd: u32,
    pub info_len: u32,
    pub info: u64,
}

/// `BPF_RAW_TRACEPOINT_OPEN`.
#[repr(C)]
#[derive(Clone, Copy, Default)]
pub(crate) struct RawTracepoint {
    pub name: u64,
    pub prog_fd: u32,
    pub reserved: u32,
}

/// `BPF_BTF_LOAD`.
#[repr(C)]
#[derive(Clone, Copy, Default)]
pub(crate) struct BtfLoad {
    pub btf: u64,
    pub btf_log_buf: u64,
    pub btf_size: u32,
    pub btf_log_size: u32,
    pub btf_log_level: u32,
    pub reserved: u32,
}

/// `BPF_PROG_QUERY`, up to the count.
#[repr(C)]
#[derive(Clone, Copy, Default)]
pub(crate) struct ProgramQuery {
    pub target_fd: u32,
    pub attach_type: u32,
    pub query_flags: u32,
    pub attach_flags: u32,
    pub prog_ids: u64,
    pub prog_cnt: u32,
    pub padding: u32,
    pub prog_attach_flags: u64,
    pub link_ids: u64,
    pub link_attach_flags: u64,
    pub revision: u64,
}

/// `BPF_LINK_CREATE` without options.
#[repr(C)]
#[derive(Clone, Copy, Default)]
pub(crate) struct LinkCreate {
    pub prog_fd: u32,
    pub target_fd: u32,
    pub attach_type: u32,
    pub flags: u32,
}

/// `BPF_ITER_CREATE`.
#[repr(C)]
#[derive(Clone, Copy, Default)]
pub(crate) struct IterCreate {
    pub link_fd: u32,
    pub flags: u32,
}

/// `struct bpf_prog_info` up to `attach_btf_id`: what the kernel tells about a program.
#[repr(C)]
#[derive(Clone, Copy, Default)]
pub(crate) struct KernelProgramInfo {
    pub kind: u32,
    pub id: u32,
    pub tag: [u8; 8],
    pub jited_prog_len: u32,
    pub xlated_prog_len: u32,
    pub jited_prog_insns: u64,
    pub xlated_prog_insns: u64,
    pub load_time: u64,
    pub created_by_uid: u32,
    pub nr_map_ids: u32,
    pub map_ids: u64,
    pub name: [u8; OBJECT_NAME_LEN],
    pub ifindex: u32,
    pub gpl_compatible: u32,
    pub netns_dev: u64,
    pub netns_ino: u64,
    pub nr_jited_ksyms: u32,
    pub nr_jited_func_lens: u32,
    pub jited_ksyms: u64,
    pub jited_func_lens: u64,
    pub btf_id: u32,
    pub func_info_rec_size: u32,
    pub func_info: u64,
    pub nr_func_info: u32,
    pub nr_line_info: u32,
    pub line_info: u64,
    pub jited_line_info: u64,
    pub nr_jited_line_info: u32,
    pub line_info_rec_size: u32,
    pub jited_line_info_rec_size: u32,
    pub nr_prog_tags: u32,
    pub prog_tags: u64,
    pub run_time_ns: u64,
    pub run_cnt: u64,
    pub recursion_misses: u64,
    pub verified_insns: u32,
    pub attach_btf_obj_id: u32,
    pub attach_btf_id: u32,
    pub reserved: u32,
}

const _: () = assert!(size_of::<MapCreate>() == 60);
const _: () = assert!(offset_of!(MapCreate, map_name) == 28);
const _: () = assert!(offset_of!(MapCreate, btf_fd) == 48);
const _: () = assert!(size_of::<MapElement>() == 32);
const _: () = assert!(offset_of!(MapElement, key) == 8);
const _: () = assert!(offset_of!(MapElement, flags) == 24);
const _: () = assert!(size_of::<MapFreeze>() == 4);
const _: () = assert!(size_of::<ProgramLoad>() == 112);
const _: () = assert!(offset_of!(ProgramLoad, log_buf) == 32);
const _: () = assert!(offset_of!(ProgramLoad, prog_name) == 48);
const _: () = assert!(offset_of!(ProgramLoad, expected_attach_type) == 68);
const _: () = assert!(offset_of!(ProgramLoad, func_info) == 80);
const _: () = assert!(offset_of!(ProgramLoad, line_info) == 96);
const _: () = assert!(offset_of!(ProgramLoad, attach_btf_id) == 108);
const _: () = assert!(size_of::<ObjectPath>() == 16);
const _: () = assert!(size_of::<ProgramAttach>() == 16);
const _: () = assert!(size_of::<ProgramTestRun>() == 40);
const _: () = assert!(offset_of!(ProgramTestRun, data_in) == 16);
const _: () = assert!(size_of::<ObjectId>() == 12);
const _: () = assert!(size_of::<ObjectInfo>() == 16);
const _: () = assert!(offset_of!(ObjectInfo, info) == 8);
const _: () = assert!(size_of::<RawTracepoint>() == 16);
const _: () = assert!(offset_of!(RawTracepoint, prog_fd) == 8);
const _: () = assert!(size_of::<BtfLoad>() == 32);
const _: () = assert!(offset_of!(BtfLoad, btf_log_level) == 24);
const _: () = assert!(size_of::<ProgramQuery>() == 64);
const _: () = assert!(offset_of!(ProgramQuery, prog_cnt) == 24);
const _: () = assert!(size_of::<LinkCreate>() == 16);
const _: () = assert!(size_of::<IterCreate>() == 8);
const _: () = assert!(size_of::<KernelProgramInfo>() == 232);
const _: () = assert!(offset_of!(KernelProgramInfo, name) == 64);
const _: () = assert!(offset_of!(KernelProgramInfo, netns_dev) == 88);
const _: () = assert!(offset_of!(KernelProgramInfo, run_time_ns) == 192);
const _: () = assert!(offset_of!(KernelProgramInfo, recursion_misses) == 208);

/// Turns any text into a name that the kernel takes: at most 15 bytes of `[A-Za-z0-9_]`, everything
/// else replaced by `_`, then zeros.
pub(crate) fn object_name(text: &str) -> [u8; OBJECT_NAME_LEN] {
    let mut name = [0; OBJECT_NAME_LEN];
    for (slot, byte) in name.iter_mut().take(OBJECT_NAME_LEN - 1).zip(text.bytes()) {
        *slot = if byte.is_ascii_alphanumeric() {
            byte
        } else {
            b'_'
        };
    }
    name
}

/// Reads a zero-ended name that the kernel filled in.
pub(crate) fn name_text(name: &[u8]) -> String {
    let bytes = name.split(|byte| *byte == 0).next().unwrap_or_default();
    String::from_utf8_lossy(bytes).into_owned()
}

/// A field of C characters, which are signed on some machines, as bytes.
pub(crate) fn field_bytes(field: &[c_char]) -> Vec<u8> {
    field
        .iter()
        .map(|letter| u8::from_ne_bytes(letter.to_ne_bytes()))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn object_names_are_cut_and_cleaned() {
        let cases = [
            ("", ""),
            ("events", "events"),
            ("path_walker_state", "path_walker_sta"),
            (".rodata", "_rodata"),
            ("sys_enter@a b", "sys_enter_a_b"),
            ("\u{e9}t\u{e9}", "__t__"),
        ];
        for (text, wanted) in cases {
            assert_eq!(name_text(&object_name(text)), wanted, "{text}");
        }
    }

    #[test]
    fn name_without_an_ending_zero_is_read_whole() {
        assert_eq!(name_text(b"abc"), "abc");
        assert_eq!(name_text(b"abc\0def"), "abc");
        assert_eq!(name_text(b""), "");
    }
}
