//! Policies in the style of public ones: their fields, operators and lengths of lists, and as many
//! rules as are wanted.

use std::fmt::Write;

const MACROS: &str = r#"macros:
  - id: shells
    values: [sh, bash, dash, zsh, ash, busybox, ksh, csh, tcsh, fish]
  - id: writes
    expression: open.flags & (O_CREAT | O_TRUNC | O_RDWR | O_WRONLY) > 0
  - id: package_managers
    values: [/usr/bin/apt, /usr/bin/apt-get, /usr/bin/dpkg, /usr/bin/rpm, /usr/bin/dnf, /usr/bin/yum,
      /sbin/apk, /usr/bin/snap, ~"/usr/lib/apt/**", ~"/snap/*/usr/lib/snapd/*", /usr/bin/pacman]
  - id: services
    values: [~"/usr/lib/systemd/*", /usr/sbin/sshd, /usr/sbin/cron, /usr/bin/containerd, /usr/bin/dockerd]
rules:
"#;

/// A policy of rules, as many about each type as the pairs say.
pub fn policy(wanted: &[(&str, usize)]) -> String {
    let mut text = MACROS.to_owned();
    for (kind, count) in wanted {
        for number in 0..*count {
            let expression = expression(kind, number);
            let _ = write!(
                text,
                "  - id: {kind}_{number}\n    expression: >-\n      {expression}\n"
            );
            // Public policies set variables in two rules of five.
            if number % 5 < 2 {
                let _ = write!(
                    text,
                    "    actions:\n      - set: {{name: seen_{}, value: true, scope: process}}\n",
                    number % 20
                );
            }
        }
    }
    text
}

fn expression(kind: &str, number: usize) -> String {
    match kind {
        "exec" => exec(number),
        "open" => open(number),
        "exit" => format!("exit.code == {number} && exit.file.name == \"name{number}\""),
        _ => format!(
            "{kind}.file.path in {} && process.file.path not in package_managers",
            paths(number, "/etc/app", 8)
        ),
    }
}

fn exec(number: usize) -> String {
    let ancestors = format!(
        "process.ancestors.file.path not in [~\"/opt/agent{number}/*\", ~\"/usr/lib/jvm/**\", \"/usr/bin/tool{number}\"]"
    );
    match number % 9 {
        0 => format!(
            "exec.file.name in {} && process.ancestors.file.name in shells && {ancestors}",
            names(number, "miner", 12)
        ),
        1 => format!(
            "exec.comm in {} && exec.args_flags in [\"e\", \"c\", \"exec{number}\"]",
            names(number, "nc", 5)
        ),
        2 => format!(
            "exec.args in [~\"*stratum{number}+tcp*\", ~\"*--pool {number}*\", ~\"*/dev/tcp/{number}*\"] && {ancestors}"
        ),
        3 => format!(
            "exec.file.path in {} && process.parent.file.path not in package_managers",
            paths(number, "/usr/bin/tool", 40)
        ),
        4 => format!(
            "process.parent.file.name in {} && exec.file.name in shells && exec.args =~ ~\"*curl{number} *\"",
            names(number, "httpd", 20)
        ),
        5 => format!(
            "exec.file.name == \"kubectl{number}\" && container.id != \"\" && ${{process.seen_{}}}",
            number % 2
        ),
        6 => format!(
            "exec.args =~ ~\"*authorized_keys{number}*\" && process.file.path not in services && process.created_at < 30s"
        ),
        7 => format!(
            "(exec.file.path in [~\"/tmp/{number}/**\", ~\"/dev/shm/*\", ~\"/var/tmp/*/{number}\"] || exec.file.name =~ ~\".*{number}\") && {ancestors}"
        ),
        _ => format!(
            "exec.args =~ r\"(^| )--(token|secret{number})=[a-z0-9]+\" && exec.file.name in {}",
            names(number, "vault", 6)
        ),
    }
}

fn open(number: usize) -> String {
    match number % 7 {
        0 => format!(
            "open.file.path in {} && writes && process.file.path not in package_managers",
            paths(number, "/etc/security/file", 15)
        ),
        1 => format!(
            "writes && open.file.path in [~\"/etc/cron{number}.d/*\", ~\"/var/spool/cron{number}/**\"] && container.id == \"\""
        ),
        2 => format!(
            "open.file.path in [~\"/home/*/.ssh/key{number}\", ~\"/root/.ssh/*{number}\"] && process.ancestors.file.path not in [~\"/opt/agent/*\", \"/usr/sbin/sshd\"]"
        ),
        3 => format!(
            "open.file.name in {} && open.flags & O_CREAT > 0",
            names(number, "libevil", 30)
        ),
        4 => format!(
            "open.file.path =~ ~\"/proc/*/mem{number}\" && process.file.path not in services && process.uid != 0"
        ),
        5 => format!(
            "open.file.path == \"/usr/bin/tool{number}\" && writes && ${{process.seen_{}}}",
            number % 2
        ),
        _ => format!(
            "open.file.path in {} && process.created_at > 5s",
            paths(number, "/usr/lib/x86_64-linux-gnu/security/pam", 40)
        ),
    }
}

fn list(length: usize, element: impl Fn(usize) -> String) -> String {
    let elements: Vec<String> = (0..length).map(element).collect();
    format!("[{}]", elements.join(", "))
}

fn names(number: usize, stem: &str, length: usize) -> String {
    list(length, |place| format!("\"{stem}{number}x{place}\""))
}

fn paths(number: usize, stem: &str, length: usize) -> String {
    list(length, |place| format!("\"{stem}{number}/{place}\""))
}
