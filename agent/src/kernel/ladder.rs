//! The hook ladder: for each event type its ways into the kernel, best first.
//!
//! Which rung serves is found by trying, never by the kernel's version or configuration. A rung
//! serves when all its required hooks are attached; optional ones are system calls that an
//! architecture or an older kernel does not have.

use crate::event::wire::Kind;

/// A place to hang a program.
pub struct HookPlace {
    /// Section of the program in the object.
    pub section: &'static str,
    /// Kernel function, for kprobes; the tracepoint's own name otherwise.
    pub target: &'static str,
    /// Without it the rung does not serve.
    pub required: bool,
}

/// One way to see an event type.
pub struct Rung {
    /// `kprobe`, `tracepoint` or `raw_tracepoint`.
    pub name: &'static str,
    /// What it cannot see, as a sentence.
    pub blind_to: &'static str,
    /// Its hooks.
    pub hooks: &'static [HookPlace],
}

/// The rungs of an event type, best first.
pub struct Ladder {
    /// The event type, as a kind of record.
    pub kind: Kind,
    /// Its rungs.
    pub rungs: &'static [Rung],
}

const fn required(section: &'static str, target: &'static str) -> HookPlace {
    HookPlace {
        section,
        target,
        required: true,
    }
}

const fn optional(section: &'static str, target: &'static str) -> HookPlace {
    HookPlace {
        section,
        target,
        required: false,
    }
}

const BLIND_OPEN_KPROBE: &str =
    "open_by_handle_at; opens made while too many others are blocked are counted as lost";
const BLIND_KPROBE: &str =
    "calls refused before the file was found (no permission on a directory of its path)";
const BLIND_TRACEPOINT: &str = "io_uring, 32-bit tasks and open_by_handle_at";
const BLIND_STRING: &str =
    "io_uring and 32-bit tasks; paths come from the caller's string, resolved after the call";
const BLIND_SOCKET: &str = "io_uring and 32-bit tasks";
const BLIND_LIFECYCLE: &str = "nothing";

/// Every event type of the probes.
pub const LADDERS: &[Ladder] = &[
    Ladder {
        kind: Kind::Fork,
        rungs: &[Rung {
            name: "raw_tracepoint",
            blind_to: BLIND_LIFECYCLE,
            hooks: &[required(
                "raw_tracepoint/sched_process_fork",
                "sched_process_fork",
            )],
        }],
    },
    Ladder {
        kind: Kind::Exec,
        rungs: &[Rung {
            name: "raw_tracepoint",
            blind_to: "execs that fail",
            hooks: &[required(
                "raw_tracepoint/sched_process_exec",
                "sched_process_exec",
            )],
        }],
    },
    Ladder {
        kind: Kind::Exit,
        rungs: &[Rung {
            name: "raw_tracepoint",
            blind_to: BLIND_LIFECYCLE,
            hooks: &[required(
                "raw_tracepoint/sched_process_exit",
                "sched_process_exit",
            )],
        }],
    },
    Ladder {
        kind: Kind::Cgroup,
        rungs: &[Rung {
            name: "raw_tracepoint",
            blind_to: BLIND_LIFECYCLE,
            hooks: &[required(
                "raw_tracepoint/cgroup_attach_task",
                "cgroup_attach_task",
            )],
        }],
    },
    Ladder {
        kind: Kind::Session,
        rungs: &[
            Rung {
                name: "kprobe",
                blind_to: BLIND_LIFECYCLE,
                hooks: &[required("kprobe/enter_do_vfs_ioctl", "do_vfs_ioctl")],
            },
            Rung {
                name: "tracepoint",
                blind_to: "32-bit tasks",
                hooks: &[required(
                    "tracepoint/syscalls/sys_exit_ioctl",
                    "sys_exit_ioctl",
                )],
            },
        ],
    },
    Ladder {
        kind: Kind::Open,
        rungs: &[
            Rung {
                name: "kprobe",
                blind_to: BLIND_OPEN_KPROBE,
                hooks: &[
                    required("kretprobe/exit_do_filp_open", "do_filp_open"),
                    required("kprobe/enter_do_filp_open", "do_filp_open"),
                    required("kretprobe/exit_vfs_truncate", "vfs_truncate"),
                    required("kprobe/enter_vfs_truncate", "vfs_truncate"),
                ],
            },
            Rung {
                name: "tracepoint",
                blind_to: BLIND_TRACEPOINT,
                hooks: &[
                    required("tracepoint/syscalls/sys_exit_openat", "sys_exit_openat"),
                    required("tracepoint/syscalls/sys_exit_truncate", "sys_exit_truncate"),
                    optional("tracepoint/syscalls/sys_exit_open", "sys_exit_open"),
                    optional("tracepoint/syscalls/sys_exit_openat2", "sys_exit_openat2"),
                    optional("tracepoint/syscalls/sys_exit_creat", "sys_exit_creat"),
                ],
            },
        ],
    },
    Ladder {
        kind: Kind::Chmod,
        rungs: &[
            Rung {
                name: "kprobe",
                blind_to: BLIND_KPROBE,
                hooks: &[
                    required("kretprobe/exit_chmod_common", "chmod_common"),
                    required("kprobe/enter_chmod_common", "chmod_common"),
                ],
            },
            Rung {
                name: "tracepoint",
                blind_to: BLIND_STRING,
                hooks: &[
                    required("tracepoint/syscalls/sys_exit_fchmod", "sys_exit_fchmod"),
                    required("tracepoint/syscalls/sys_exit_fchmodat", "sys_exit_fchmodat"),
                    optional("tracepoint/syscalls/sys_exit_chmod", "sys_exit_chmod"),
                    optional(
                        "tracepoint/syscalls/sys_exit_fchmodat2",
                        "sys_exit_fchmodat2",
                    ),
                ],
            },
        ],
    },
    Ladder {
        kind: Kind::Chown,
        rungs: &[
            Rung {
                name: "kprobe",
                blind_to: BLIND_KPROBE,
                hooks: &[
                    required("kretprobe/exit_chown_common", "chown_common"),
                    required("kprobe/enter_chown_common", "chown_common"),
                ],
            },
            Rung {
                name: "tracepoint",
                blind_to: BLIND_STRING,
                hooks: &[
                    required("tracepoint/syscalls/sys_exit_fchown", "sys_exit_fchown"),
                    required("tracepoint/syscalls/sys_exit_fchownat", "sys_exit_fchownat"),
                    optional("tracepoint/syscalls/sys_exit_chown", "sys_exit_chown"),
                    optional("tracepoint/syscalls/sys_exit_lchown", "sys_exit_lchown"),
                ],
            },
        ],
    },
    Ladder {
        kind: Kind::Connect,
        rungs: &[Rung {
            name: "tracepoint",
            blind_to: BLIND_SOCKET,
            hooks: &[required(
                "tracepoint/syscalls/sys_exit_connect",
                "sys_exit_connect",
            )],
        }],
    },
    Ladder {
        kind: Kind::Bind,
        rungs: &[Rung {
            name: "tracepoint",
            blind_to: BLIND_SOCKET,
            hooks: &[required(
                "tracepoint/syscalls/sys_exit_bind",
                "sys_exit_bind",
            )],
        }],
    },
    Ladder {
        kind: Kind::Accept,
        rungs: &[Rung {
            name: "tracepoint",
            blind_to: BLIND_SOCKET,
            hooks: &[
                required("tracepoint/syscalls/sys_exit_accept4", "sys_exit_accept4"),
                optional("tracepoint/syscalls/sys_exit_accept", "sys_exit_accept"),
            ],
        }],
    },
];

/// What learns whose sockets are when they are made, used and gone; not the ladder of an event
/// type.
pub const SOCKETS: &[HookPlace] = &[
    required("cgroup/sock_create", "sock_create"),
    optional("cgroup/sendmsg4", "sendmsg4"),
    optional("cgroup/sendmsg6", "sendmsg6"),
    optional("cgroup/sock_release", "sock_release"),
];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernel::object::Object;

    #[test]
    fn every_hook_names_a_program_of_the_object() {
        let images = Object::embedded().images().unwrap();
        for hook in LADDERS
            .iter()
            .flat_map(|ladder| ladder.rungs)
            .flat_map(|rung| rung.hooks)
        {
            assert!(
                images.iter().any(|image| image.section == hook.section),
                "{}",
                hook.section
            );
        }
    }
}
