//! Whether system-probe sees the host from the container that it runs in.
//!
//! Called once, before the probes start. What a container keeps from it leaves as sentences, which
//! are logged and shown by `status`; capabilities and mounts are judged elsewhere.

use std::path::Path;

use log::{info, warn};

use crate::sys::host::{self, Numbers};

/// Goes to the host's cgroup namespace where that is possible; returns what is not as it should be.
pub(super) fn enter() -> Vec<String> {
    let joined = match host::sees_cgroups() {
        true => None,
        false => Some(host::join_cgroups().is_ok()),
    };
    if joined == Some(true) {
        info!("system-probe has left the cgroup namespace of its container for that of the host");
    }
    let mut sentences = sentences(host::process_numbers(), joined != Some(false), host::proc());
    sentences.extend(host::unmounted().map(|(variable, path)| unmounted(variable, &path)));
    for sentence in &sentences {
        warn!("{sentence}");
    }
    sentences
}

fn unmounted(variable: &str, path: &Path) -> String {
    let source = match variable {
        "HOST_PROC" => "/proc",
        _ => "/",
    };
    format!(
        "{variable} is {}, where nothing of the host is mounted: what is there is taken from the \
         container; mount the host's {source} there, or unset {variable}",
        path.display()
    )
}

fn sentences(numbers: Numbers, sees_cgroups: bool, proc: &str) -> Vec<String> {
    let processes = match numbers {
        Numbers::Same => None,
        Numbers::Mounted => Some(format!(
            "system-probe is in a process namespace of its own: it reads the host's processes in \
             {proc}, but rules cannot kill any; set hostPID: true, or run the container with \
             --pid host"
        )),
        Numbers::Unseen => Some(
            "system-probe is in a process namespace of its own and does not see the host's \
             processes, so that events lack theirs; set hostPID: true, or run the container with \
             --pid host"
                .to_owned(),
        ),
    };
    let cgroups = (!sees_cgroups).then(|| {
        "system-probe is in a cgroup namespace of its own, so that cgroups and containers of \
         processes are not known for certain; set hostPID: true and give it SYS_ADMIN and \
         SYS_PTRACE, or run the container with --cgroupns host"
            .to_owned()
    });
    processes.into_iter().chain(cgroups).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_missing_is_named() {
        for (numbers, sees_cgroups, expected) in [
            (Numbers::Same, true, &[][..]),
            (Numbers::Mounted, true, &["in /host/proc, but"]),
            (Numbers::Unseen, true, &["--pid host"]),
            (Numbers::Same, false, &["--cgroupns host"]),
            (
                Numbers::Unseen,
                false,
                &["hostPID: true", "--cgroupns host"],
            ),
        ] {
            let said = sentences(numbers, sees_cgroups, "/host/proc");
            assert_eq!(said.len(), expected.len());
            for (sentence, expected) in said.iter().zip(expected) {
                assert!(sentence.contains(expected), "{sentence}");
            }
        }
    }
}
