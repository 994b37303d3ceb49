//! Tests of the functions that redbpf calls, called as redbpf calls them.

use std::ptr;

use super::*;
use crate::syscall::errno;
use crate::syscall::tests::bpf_allowed;
use crate::{last_error, map_fd, map_kind, program_kind, BPF_F_RDONLY_PROG};

fn map_attr(name: &CStr) -> bpf_create_map_attr {
    bpf_create_map_attr {
        name: name.as_ptr(),
        map_type: map_kind::ARRAY,
        map_flags: 0,
        key_size: 4,
        value_size: 8,
        max_entries: 1,
        btf_fd: 0,
        btf_key_type_id: 0,
        btf_value_type_id: 0,
    }
}

fn close(fd: c_int) {
    // SAFETY: the tests pass descriptors that they made and use no more.
    unsafe { libc::close(fd) };
}

fn update(fd: c_int, value: u64) -> c_int {
    let key = 0u32;
    // SAFETY: key and value have the sizes of the maps above and live through the call.
    unsafe {
        bpf_map_update_elem(
            fd,
            ptr::from_ref(&key).cast(),
            ptr::from_ref(&value).cast(),
            0,
        )
    }
}

#[test]
fn rodata_is_frozen_once_filled_and_other_maps_are_not() {
    if !bpf_allowed("rodata") {
        return;
    }
    let mut attr = map_attr(c".rodata.frozen");
    attr.map_flags = BPF_F_RDONLY_PROG;
    // SAFETY: the attribute is filled and its name is static.
    let rodata = unsafe { bpf_create_map_xattr(&attr) };
    assert!(rodata >= 0);
    assert_eq!(map_fd(".rodata.frozen"), Some(rodata));
    assert_eq!(update(rodata, 1), 0);
    assert_eq!((update(rodata, 2), errno()), (-1, libc::EPERM));
    // SAFETY: as above.
    let data = unsafe { bpf_create_map_xattr(&map_attr(c".data")) };
    assert_eq!((update(data, 1), update(data, 2)), (0, 0));
    close(rodata);
    close(data);
}

#[test]
fn elements_and_info_go_through_pointers() {
    if !bpf_allowed("pointers") {
        return;
    }
    let mut attr = map_attr(c"pointers");
    attr.map_type = map_kind::HASH;
    // SAFETY: the attribute is filled and its name is static.
    let fd = unsafe { bpf_create_map_xattr(&attr) };
    assert_eq!(update(fd, 77), 0);
    let (mut key, mut value) = (9u32, 0u64);
    let (key_at, value_at) = (ptr::from_mut(&mut key), ptr::from_mut(&mut value));
    // SAFETY: key and value have the map's sizes and live through the calls.
    unsafe {
        assert_eq!(bpf_map_get_next_key(fd, ptr::null(), key_at.cast()), 0);
        assert_eq!(bpf_map_lookup_elem(fd, key_at.cast(), value_at.cast()), 0);
        assert_eq!(bpf_map_delete_elem(fd, key_at.cast()), 0);
        assert_eq!(bpf_map_lookup_elem(fd, key_at.cast(), value_at.cast()), -1);
    }
    assert_eq!((key, value, errno()), (0, 77, libc::ENOENT));
    let mut info = crate::bpf_map_info::default();
    let mut length = size_of::<crate::bpf_map_info>() as u32;
    // SAFETY: `info` has `length` bytes and both live through the call.
    let told = unsafe { bpf_obj_get_info_by_fd(fd, ptr::from_mut(&mut info).cast(), &mut length) };
    assert_eq!((told, info.type_, info.value_size), (0, map_kind::HASH, 8));
    close(fd);
}

#[test]
fn a_refused_program_fills_the_callers_log() {
    if !bpf_allowed("refused program") {
        return;
    }
    let exit = [bpf_insn {
        code: 0x95,
        ..Default::default()
    }];
    // SAFETY: redbpf zeroes it alike; all fields are integers or pointers.
    let mut attr: bpf_load_program_attr = unsafe { std::mem::zeroed() };
    attr.prog_type = program_kind::SOCKET_FILTER;
    attr.name = c"refused".as_ptr();
    attr.license = c"GPL".as_ptr();
    attr.insns = exit.as_ptr();
    attr.insns_cnt = 1;
    let mut log = [1 as c_char; 24];
    // SAFETY: the attribute is filled with live pointers, and the log has the length given.
    let fd = unsafe { bpf_load_program_xattr(&attr, log.as_mut_ptr(), 24) };
    assert_eq!((fd, errno()), (-1, libc::EACCES));
    // SAFETY: the call ended the log with a zero.
    let said = unsafe { CStr::from_ptr(log.as_ptr()) };
    assert_eq!(said.to_bytes().len(), 23);
    let error = last_error().unwrap();
    assert!(error.log.ends_with(said.to_str().unwrap()));
    assert!(error.log.contains("R0 !read_ok"));
}

#[test]
fn refused_btf_says_why() {
    if !bpf_allowed("refused btf") {
        return;
    }
    let mut log = [0 as c_char; 256];
    let garbage = [0u8; 24];
    // SAFETY: both buffers have the lengths given.
    let fd = unsafe { bpf_load_btf(garbage.as_ptr().cast(), 24, log.as_mut_ptr(), 256, false) };
    assert_eq!((fd, errno()), (-1, libc::EINVAL));
    assert_ne!(log[0], 0);
    assert_eq!(last_error().unwrap().operation, "load BTF");
}

#[test]
fn what_cannot_work_fails_with_a_number() {
    // SAFETY: only numbers and static strings are passed; the descriptors are not open.
    let results = unsafe {
        [
            bpf_set_link_xdp_fd(1, -1, 0),
            bpf_obj_pin(-1, c"/nowhere/map".as_ptr()),
            bpf_obj_get(c"/nowhere/map".as_ptr()),
            bpf_prog_attach(-1, -1, 0, 0),
            bpf_link_create(-1, -1, 0, ptr::null()),
            bpf_iter_create(-1),
        ]
    };
    assert_eq!(results, [-1; 6]);
    assert_eq!(last_error().unwrap().operation, "start an iterator");
}

#[test]
fn logs_are_cut_to_the_buffer_from_the_front() {
    let cases = [
        ("", 4, ""),
        ("abc", 4, "abc"),
        ("abcdef", 4, "def"),
        ("abc", 1, ""),
    ];
    for (said, size, wanted) in cases {
        let mut buffer = [7 as c_char; 8];
        // SAFETY: the buffer is longer than every size above.
        let got = unsafe {
            fill_log(buffer.as_mut_ptr(), size, said);
            CStr::from_ptr(buffer.as_ptr())
        };
        assert_eq!(got.to_str(), Ok(wanted));
        assert_eq!(buffer[size], 7);
    }
    // SAFETY: null and size 0 are allowed.
    unsafe { fill_log(ptr::null_mut(), 0, "abc") };
}
