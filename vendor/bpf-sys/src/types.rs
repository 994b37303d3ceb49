//! Types and numbers of the kernel's BPF interface.
//!
//! Structs and constants with C names are here because redbpf names them so; their layouts are those
//! of `linux/bpf.h` and `linux/btf.h`, except the two attribute structs, which only redbpf fills and
//! only `compat` reads. The modules [`map_kind`], [`program_kind`] and [`attach_kind`] hold the same
//! numbers for the agent's own code. Nothing here calls the kernel.
#![allow(non_camel_case_types, non_upper_case_globals)]

use std::mem::{offset_of, size_of};

use libc::c_char;

/// Declares public constants whose documentation is the kernel's own name.
macro_rules! numbers {
    ($prefix:literal: $($name:ident = $value:expr),+ $(,)?) => {
        $(#[doc = concat!("The kernel's `", $prefix, stringify!($name), "`.")]
        pub const $name: u32 = $value;)+
    };
}

/// Kinds of maps (`enum bpf_map_type`).
pub mod map_kind {
    numbers! { "BPF_MAP_TYPE_":
        HASH = 1, ARRAY = 2, PROG_ARRAY = 3, PERF_EVENT_ARRAY = 4, PERCPU_HASH = 5,
        PERCPU_ARRAY = 6, STACK_TRACE = 7, CGROUP_ARRAY = 8, LRU_HASH = 9, LRU_PERCPU_HASH = 10,
        LPM_TRIE = 11, ARRAY_OF_MAPS = 12, HASH_OF_MAPS = 13, DEVMAP = 14, SOCKMAP = 15,
        PERCPU_CGROUP_STORAGE = 21, QUEUE = 22, STACK = 23, RINGBUF = 27, TASK_STORAGE = 29,
    }
}

/// Kinds of programs (`enum bpf_prog_type`).
pub mod program_kind {
    numbers! { "BPF_PROG_TYPE_":
        SOCKET_FILTER = 1, KPROBE = 2, SCHED_CLS = 3, SCHED_ACT = 4, TRACEPOINT = 5, XDP = 6,
        PERF_EVENT = 7, CGROUP_SKB = 8, CGROUP_SOCK = 9, SK_SKB = 14, RAW_TRACEPOINT = 17,
        CGROUP_SOCK_ADDR = 18, TRACING = 26, LSM = 29, SK_LOOKUP = 30,
    }
}

/// What a program expects to be attached to (`enum bpf_attach_type`).
pub mod attach_kind {
    numbers! { "BPF_":
        SK_SKB_STREAM_PARSER = 4, SK_SKB_STREAM_VERDICT = 5, TRACE_RAW_TP = 23, TRACE_FENTRY = 24,
        TRACE_FEXIT = 25, MODIFY_RETURN = 26, LSM_MAC = 27, TRACE_ITER = 28, SK_LOOKUP = 36,
        TCX_INGRESS = 46, TCX_EGRESS = 47,
    }
}

numbers! { "":
    BPF_ANY = 0, BPF_PSEUDO_MAP_FD = 1, BPF_PSEUDO_MAP_VALUE = 2, BPF_F_RDONLY_PROG = 1 << 7,
    XDP_FLAGS_UPDATE_IF_NOEXIST = 1, XDP_FLAGS_SKB_MODE = 2, XDP_FLAGS_DRV_MODE = 4,
    XDP_FLAGS_HW_MODE = 8, XDP_FLAGS_MODES = 14, XDP_FLAGS_MASK = 31,
    BTF_MAGIC = 0xeb9f, BTF_INT_SIGNED = 1, BTF_INT_CHAR = 2, BTF_INT_BOOL = 4, BTF_VAR_STATIC = 0,
    BTF_KIND_UNKN = 0, BTF_KIND_INT = 1, BTF_KIND_PTR = 2, BTF_KIND_ARRAY = 3,
    BTF_KIND_STRUCT = 4, BTF_KIND_UNION = 5, BTF_KIND_ENUM = 6, BTF_KIND_FWD = 7,
    BTF_KIND_TYPEDEF = 8, BTF_KIND_VOLATILE = 9, BTF_KIND_CONST = 10, BTF_KIND_RESTRICT = 11,
    BTF_KIND_FUNC = 12, BTF_KIND_FUNC_PROTO = 13, BTF_KIND_VAR = 14, BTF_KIND_DATASEC = 15,
    BTF_KIND_FLOAT = 16,
}

/// Number of a program's kind.
pub type bpf_prog_type = u32;

numbers! { "enum ":
    bpf_map_type_BPF_MAP_TYPE_ARRAY = map_kind::ARRAY,
    bpf_map_type_BPF_MAP_TYPE_HASH = map_kind::HASH,
    bpf_map_type_BPF_MAP_TYPE_LRU_HASH = map_kind::LRU_HASH,
    bpf_map_type_BPF_MAP_TYPE_LRU_PERCPU_HASH = map_kind::LRU_PERCPU_HASH,
    bpf_map_type_BPF_MAP_TYPE_PERCPU_ARRAY = map_kind::PERCPU_ARRAY,
    bpf_map_type_BPF_MAP_TYPE_PERCPU_HASH = map_kind::PERCPU_HASH,
    bpf_map_type_BPF_MAP_TYPE_PERF_EVENT_ARRAY = map_kind::PERF_EVENT_ARRAY,
    bpf_map_type_BPF_MAP_TYPE_DEVMAP = map_kind::DEVMAP,
    bpf_prog_type_BPF_PROG_TYPE_KPROBE = program_kind::KPROBE,
    bpf_prog_type_BPF_PROG_TYPE_XDP = program_kind::XDP,
    bpf_prog_type_BPF_PROG_TYPE_SOCKET_FILTER = program_kind::SOCKET_FILTER,
    bpf_prog_type_BPF_PROG_TYPE_TRACEPOINT = program_kind::TRACEPOINT,
    bpf_prog_type_BPF_PROG_TYPE_SK_SKB = program_kind::SK_SKB,
    bpf_prog_type_BPF_PROG_TYPE_TRACING = program_kind::TRACING,
    bpf_prog_type_BPF_PROG_TYPE_SK_LOOKUP = program_kind::SK_LOOKUP,
    bpf_attach_type_BPF_SK_LOOKUP = attach_kind::SK_LOOKUP,
    bpf_attach_type_BPF_SK_SKB_STREAM_PARSER = attach_kind::SK_SKB_STREAM_PARSER,
    bpf_attach_type_BPF_SK_SKB_STREAM_VERDICT = attach_kind::SK_SKB_STREAM_VERDICT,
    bpf_attach_type_BPF_TRACE_ITER = attach_kind::TRACE_ITER,
}

/// Declares a struct with C layout and public fields, each documented by its C name.
macro_rules! layout {
    ($(#[$about:meta])* $name:ident { $($field:ident: $kind:ty),+ $(,)? }) => {
        $(#[$about])*
        #[repr(C)]
        #[derive(Clone, Copy)]
        pub struct $name {
            $(#[doc = concat!("The kernel's `", stringify!($field), "`.")] pub $field: $kind),+
        }
    };
}

layout! {
    /// A map as objects define it in their `maps` sections: five words.
    #[derive(Debug, Default)]
    bpf_map_def { type_: u32, key_size: u32, value_size: u32, max_entries: u32, map_flags: u32 }
}

layout! {
    /// What the kernel tells about a map.
    #[derive(Debug, Default)]
    bpf_map_info {
        type_: u32, id: u32, key_size: u32, value_size: u32, max_entries: u32, map_flags: u32,
        name: [c_char; 16], ifindex: u32, btf_vmlinux_value_type_id: u32, netns_dev: u64,
        netns_ino: u64, btf_id: u32, btf_key_type_id: u32, btf_value_type_id: u32, reserved: u32,
        map_extra: u64,
    }
}

layout! {
    /// One instruction. `registers` holds the destination's number and the source's, 4 bits each.
    #[derive(Debug, Default)]
    bpf_insn { code: u8, registers: u8, off: i16, imm: i32 }
}

impl bpf_insn {
    /// Sets the source register, which for 64-bit loads says what the immediate means.
    pub fn set_src_reg(&mut self, register: u8) {
        self.registers = if cfg!(target_endian = "little") {
            (self.registers & 0x0f) | (register << 4)
        } else {
            (self.registers & 0xf0) | (register & 0x0f)
        };
    }
}

// SAFETY: five u32 with C layout: any bytes are a value, and there is no padding.
unsafe impl zero::Pod for bpf_map_def {}
// SAFETY: integers with C layout: any bytes are a value, and there is no padding.
unsafe impl zero::Pod for bpf_insn {}

layout! {
    /// What redbpf fills in to make a map.
    bpf_create_map_attr {
        name: *const c_char, map_type: u32, map_flags: u32, key_size: u32, value_size: u32,
        max_entries: u32, btf_fd: u32, btf_key_type_id: u32, btf_value_type_id: u32,
    }
}

/// The kernel's version, in a union because redbpf reaches for one.
#[repr(C)]
#[derive(Clone, Copy)]
pub union program_version {
    /// Version code of the kernel that the program is for.
    pub kern_version: u32,
}

/// The attachment's type, in a union because redbpf reaches for one.
#[repr(C)]
#[derive(Clone, Copy)]
pub union program_target {
    /// Type in the kernel's BTF.
    pub attach_btf_id: u32,
}

layout! {
    /// What redbpf fills in to load a program.
    bpf_load_program_attr {
        prog_type: u32, expected_attach_type: u32, name: *const c_char, insns: *const bpf_insn,
        insns_cnt: u64, license: *const c_char, __bindgen_anon_1: program_version,
        __bindgen_anon_2: program_target, log_level: u32,
    }
}

/// Size of a BTF type, or the type that it refers to, by kind.
#[repr(C)]
#[derive(Clone, Copy)]
pub union btf_size_or_type {
    /// Bytes.
    pub size: u32,
    /// Number of the other type.
    pub type_: u32,
}

layout! {
    /// Head of a BTF section.
    #[derive(Debug, Default)]
    btf_header {
        magic: u16, version: u8, flags: u8, hdr_len: u32, type_off: u32, type_len: u32,
        str_off: u32, str_len: u32,
    }
}

layout! {
    /// Head of a BTF type.
    btf_type { name_off: u32, info: u32, __bindgen_anon_1: btf_size_or_type }
}

layout! {
    /// What follows an array's head.
    #[derive(Debug, Default)]
    btf_array { type_: u32, index_type: u32, nelems: u32 }
}

layout! {
    /// One of an enumeration's values.
    #[derive(Debug, Default)]
    btf_enum { name_off: u32, val: i32 }
}

layout! {
    /// One member of a structure or union.
    #[derive(Debug, Default)]
    btf_member { name_off: u32, type_: u32, offset: u32 }
}

layout! {
    /// One parameter of a function.
    #[derive(Debug, Default)]
    btf_param { name_off: u32, type_: u32 }
}

layout! {
    /// What follows a variable's head.
    #[derive(Debug, Default)]
    btf_var { linkage: u32 }
}

layout! {
    /// One variable of a data section.
    #[derive(Debug, Default)]
    btf_var_secinfo { type_: u32, offset: u32, size: u32 }
}

const _: () = assert!(size_of::<bpf_map_def>() == 20);
const _: () = assert!(size_of::<bpf_map_info>() == 88);
const _: () = assert!(offset_of!(bpf_map_info, name) == 24);
const _: () = assert!(offset_of!(bpf_map_info, netns_dev) == 48);
const _: () = assert!(offset_of!(bpf_map_info, map_extra) == 80);
const _: () = assert!(size_of::<bpf_insn>() == 8);
const _: () = assert!(offset_of!(bpf_insn, imm) == 4);
const _: () = assert!(size_of::<btf_header>() == 24);
const _: () = assert!(size_of::<btf_type>() == 12);
const _: () = assert!(size_of::<btf_array>() == 12);
const _: () = assert!(size_of::<btf_enum>() == 8);
const _: () = assert!(size_of::<btf_member>() == 12);
const _: () = assert!(size_of::<btf_param>() == 8);
const _: () = assert!(size_of::<btf_var>() == 4);
const _: () = assert!(size_of::<btf_var_secinfo>() == 12);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_source_register_leaves_the_destination_alone() {
        let mut instruction = bpf_insn {
            registers: 0x21,
            ..Default::default()
        };
        instruction.set_src_reg(BPF_PSEUDO_MAP_VALUE as u8);
        let wanted = if cfg!(target_endian = "little") {
            0x21
        } else {
            0x22
        };
        assert_eq!(instruction.registers, wanted);
        instruction.set_src_reg(3);
        assert_ne!(instruction.registers, wanted);
    }
}
