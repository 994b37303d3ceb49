//! What every event has around it: the event itself, its container and its cgroup.

use super::{age, boolean, empty_int, empty_list, empty_text, int, text, Row};

pub(in super::super) static EVENT: &[Row] = &[
    int(
        "timestamp",
        "when it happened, nanoseconds since the epoch",
        |v| i64::try_from(v.event.unix_time()).unwrap_or(i64::MAX),
    ),
    text("hostname", "name of the host", |v| &v.event.hostname),
    text("origin", "how it was observed: ebpf", |_| "ebpf"),
    text("os", "operating system: linux", |_| "linux"),
    text("service", "DD_SERVICE of the process", |v| {
        v.process.image.env("DD_SERVICE").unwrap_or("")
    }),
    text(
        "source",
        "runtime, or snapshot when read from /proc",
        |_| "runtime",
    ),
    boolean("async", "the kernel did it on behalf of the task", |v| {
        v.event.flags.asynchronous
    }),
    empty_list("rule.tags", "tags of the rule that matched"),
    empty_text("signature", "signature of the event"),
];

pub(in super::super) static CONTAINER: &[Row] = &[
    text("id", "container id", |v| {
        v.cgroup().map_or("", |cgroup| &cgroup.container_id)
    }),
    age("created_at", "age of the container, nanoseconds", |v| {
        let container = v.cgroup().filter(|cgroup| !cgroup.container_id.is_empty());
        v.age(container.map_or(0, |cgroup| cgroup.created))
    }),
    empty_list("tags", "tags of the container"),
];

pub(in super::super) static CGROUP: &[Row] = &[
    text("id", "path of the cgroup in its hierarchy", |v| {
        v.cgroup().map_or("", |cgroup| &cgroup.path)
    }),
    int("version", "version of the cgroup hierarchy, 1 or 2", |v| {
        v.cgroup().map_or(0, |cgroup| i64::from(cgroup.version))
    }),
    text("manager", "who made the cgroup", |v| {
        v.cgroup().map_or("", |cgroup| cgroup.manager)
    }),
    age("created_at", "age of the cgroup, nanoseconds", |v| {
        v.age(v.cgroup().map_or(0, |cgroup| cgroup.created))
    }),
    int("file.inode", "inode of the cgroup's directory", |v| {
        v.cgroup().map_or(0, |cgroup| cgroup.inode as i64)
    }),
    empty_int("file.mount_id", "mount id of the cgroup's directory"),
];
