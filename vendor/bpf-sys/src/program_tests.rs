//! Tests of programs on the running kernel.

use std::os::fd::AsFd;

use super::*;
use crate::syscall::tests::bpf_allowed;
use crate::{attach_kind, last_error, program_kind, Objects};

/// `r0 = 0; exit`
const RETURN_ZERO: [u8; 16] = [0xb7, 0, 0, 0, 0, 0, 0, 0, 0x95, 0, 0, 0, 0, 0, 0, 0];
/// `exit`, which returns a register that nothing was written to.
const RETURN_NOTHING: [u8; 8] = [0x95, 0, 0, 0, 0, 0, 0, 0];

fn program<'a>(name: &'a str, instructions: &'a [u8]) -> ProgramLoad<'a> {
    ProgramLoad {
        kind: program_kind::SOCKET_FILTER,
        expected_attach_type: 0,
        attach_btf_id: 0,
        name,
        license: c"GPL",
        kern_version: 0,
        instructions,
    }
}

#[test]
fn a_small_program_loads() {
    if !bpf_allowed("small program") {
        return;
    }
    let fd = load_program(&program("socket filter of two", &RETURN_ZERO)).unwrap();
    let info = program_info(fd.as_fd()).unwrap();
    assert_eq!(info.kind, program_kind::SOCKET_FILTER);
    assert_eq!(info.name, "socket_filter_o");
    assert_ne!(info.id, 0);
    assert_eq!(info.recursion_misses, 0);
    assert_ne!(info.tag, [0; 8]);
    assert!(program_maps(fd.as_fd()).unwrap().is_empty());
    let before = Objects::Programs.next(info.id - 1).unwrap();
    assert_eq!(before, Some(info.id));
    let again = Objects::Programs.open(info.id).unwrap().unwrap();
    assert_eq!(program_info(again.as_fd()).unwrap(), info);
}

#[test]
fn unaligned_instructions_load() {
    if !bpf_allowed("unaligned instructions") {
        return;
    }
    let mut bytes = vec![0];
    bytes.extend(RETURN_ZERO);
    load_program(&program("unaligned", &bytes[1..])).unwrap();
}

#[test]
fn a_refusal_has_a_number_and_a_log() {
    if !bpf_allowed("refused program") {
        return;
    }
    let error = load_program(&program("bad", &RETURN_NOTHING)).unwrap_err();
    assert_eq!(error.errno, libc::EACCES);
    assert_eq!((error.operation, &*error.name), ("load program", "bad"));
    assert!(error.log.contains("R0 !read_ok"), "{}", error.log);
    assert_eq!(last_error(), Some(error));
}

#[test]
fn half_an_instruction_is_refused() {
    let error = load_program(&program("half", &RETURN_ZERO[..12])).unwrap_err();
    assert_eq!((error.errno, &*error.log), (libc::EINVAL, ""));
}

#[test]
fn raw_tracepoints_open_by_name_and_unknown_ones_do_not() {
    if !bpf_allowed("raw tracepoint") {
        return;
    }
    let raw = ProgramLoad {
        kind: program_kind::RAW_TRACEPOINT,
        ..program("raw", &RETURN_ZERO)
    };
    let fd = load_program(&raw).unwrap();
    raw_tracepoint_open(Some(c"sched_process_fork"), fd.as_fd()).unwrap();
    let error = raw_tracepoint_open(Some(c"no_such_tracepoint"), fd.as_fd()).unwrap_err();
    assert_eq!(error.errno, libc::ENOENT);
    assert_eq!(error.name, "no_such_tracepoint");
}

#[test]
fn a_program_runs_on_trial() {
    if !bpf_allowed("program on trial") {
        return;
    }
    // `r0 = *(u32 *)(r1 + 0)`, which is the length of the packet, and `exit`.
    let length = [0x61, 0x10, 0, 0, 0, 0, 0, 0, 0x95, 0, 0, 0, 0, 0, 0, 0];
    let classifier = ProgramLoad {
        kind: program_kind::SCHED_CLS,
        ..program("length", &length)
    };
    let fd = load_program(&classifier).unwrap();
    assert_eq!(test_run(fd.as_fd(), &[0; 60]).unwrap(), 60);
    let error = test_run(fd.as_fd(), &[0; 3]).unwrap_err();
    assert_eq!(error.raw_os_error(), Some(libc::EINVAL));
}

#[test]
fn attach_type_and_btf_id_reach_the_kernel() {
    let tracing = ProgramLoad {
        kind: program_kind::TRACING,
        expected_attach_type: attach_kind::TRACE_RAW_TP,
        attach_btf_id: 42,
        kern_version: 7,
        ..program("tracing", &RETURN_ZERO)
    };
    let attr = load_attr(&tracing).unwrap();
    assert_eq!(attr.expected_attach_type, attach_kind::TRACE_RAW_TP);
    assert_eq!((attr.attach_btf_id, attr.kern_version), (42, 7));
    assert_eq!(attr.insn_cnt, 2);
    let any = load_attr(&program("any", &RETURN_ZERO)).unwrap();
    assert_eq!(Some(any.kern_version), get_kernel_internal_version());
}

#[test]
fn the_end_of_a_log_is_kept_as_text() {
    assert_eq!(log_text(b""), "");
    assert_eq!(log_text(b"\0\0"), "");
    assert_eq!(log_text(b"one\ntwo\0old"), "one\ntwo");
    assert_eq!(log_text(b"\xff\xfeok\0"), "??ok");
    let mut long = vec![b'a'; LOG_KEPT + 5];
    long.extend(b"end");
    let text = log_text(&long);
    assert_eq!(text.len(), LOG_KEPT);
    assert!(text.ends_with("aend"));
}
