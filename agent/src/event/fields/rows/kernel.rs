//! The events of the kernel itself: BPF, memory, modules, settings.

use super::{empty_bool, empty_int, empty_ints, empty_list, empty_result, empty_text, Row};

pub(in super::super) static BPF: &[Row] = &[
    empty_int("cmd", "command of the call"),
    empty_text("map.name", "name of the map"),
    empty_int("map.type", "type of the map"),
    empty_text("prog.name", "name of the program"),
    empty_text("prog.tag", "tag of the program"),
    empty_int("prog.type", "type of the program"),
    empty_int("prog.attach_type", "what the program is to be attached to"),
    empty_ints("prog.helpers", "helper functions that the program calls"),
    empty_result(),
];

pub(in super::super) static PTRACE: &[Row] =
    &[empty_int("request", "what was asked for"), empty_result()];

pub(in super::super) static MMAP: &[Row] = &[
    empty_int("protection", "protection of the mapping"),
    empty_int("flags", "flags of the mapping"),
    empty_result(),
];

pub(in super::super) static MPROTECT: &[Row] = &[
    empty_int("vm_protection", "protection that the memory had"),
    empty_int("req_protection", "protection that was asked for"),
    empty_result(),
];

pub(in super::super) static LOAD_MODULE: &[Row] = &[
    empty_text("name", "name of the module"),
    empty_bool("loaded_from_memory", "it came from no file"),
    empty_text("args", "parameters joined by spaces"),
    empty_list("argv", "parameters"),
    empty_bool("args_truncated", "some parameters are missing"),
    empty_result(),
];

pub(in super::super) static UNLOAD_MODULE: &[Row] =
    &[empty_text("name", "name of the module"), empty_result()];

pub(in super::super) static SELINUX: &[Row] = &[
    empty_text("bool.name", "name of the SELinux boolean"),
    empty_text("bool.state", "new state of the boolean, on or off"),
    empty_bool("bool_commit.state", "the booleans were committed"),
    empty_text(
        "enforce.status",
        "new mode: enforcing, permissive or disabled",
    ),
];

pub(in super::super) static SYSCTL: &[Row] = &[
    empty_int("action", "SYSCTL_READ or SYSCTL_WRITE"),
    empty_int("file_position", "where in the file it began"),
    empty_text("name", "name of the setting"),
    empty_bool("name_truncated", "the name is cut off"),
    empty_text("old_value", "value before"),
    empty_bool("old_value_truncated", "the value before is cut off"),
    empty_text("value", "value after"),
    empty_bool("value_truncated", "the value after is cut off"),
];

pub(in super::super) static CGROUP_WRITE: &[Row] =
    &[empty_int("pid", "process that was moved into the cgroup")];

pub(in super::super) static UNSHARE: &[Row] = &[
    empty_int("flags", "namespaces that were left"),
    empty_result(),
];

pub(in super::super) static ONDEMAND: &[Row] = &[
    empty_text("name", "name of the function"),
    empty_text("arg1.str", "argument 1 as text"),
    empty_int("arg1.uint", "argument 1 as a number"),
    empty_text("arg2.str", "argument 2 as text"),
    empty_int("arg2.uint", "argument 2 as a number"),
    empty_text("arg3.str", "argument 3 as text"),
    empty_int("arg3.uint", "argument 3 as a number"),
    empty_text("arg4.str", "argument 4 as text"),
    empty_int("arg4.uint", "argument 4 as a number"),
    empty_text("arg5.str", "argument 5 as text"),
    empty_int("arg5.uint", "argument 5 as a number"),
    empty_text("arg6.str", "argument 6 as text"),
    empty_int("arg6.uint", "argument 6 as a number"),
];
