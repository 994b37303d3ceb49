//! The processes that system-probe starts: what they do to files is not news.

use log::warn;

use super::Agent;
use crate::sys::host;

/// Kinds of them: the one that hashes files, and the one that collects for a flare.
pub(super) const KINDS: usize = 2;

impl Agent {
    /// Keeps the file events of those processes out, and protects them from rules that kill.
    pub(super) fn ignore_children(&mut self) {
        let now = [self.pipeline.actions.worker(), self.collecting.pid()];
        let now = now.map(|pid| pid.and_then(host::number_of));
        let before = std::mem::replace(&mut self.ignored, now);
        for (before, now) in before.into_iter().zip(now).filter(|(old, new)| old != new) {
            self.ignore_child(before, false);
            self.ignore_child(now, true);
        }
    }

    fn ignore_child(&mut self, pid: Option<u32>, ignored: bool) {
        let Some(pid) = pid else { return };
        match ignored {
            true => self.pipeline.protected.push(pid),
            false => self.pipeline.protected.retain(|known| *known != pid),
        }
        if let Err(error) = self.probes.ignore(pid, ignored) {
            warn!("{error}");
        }
    }
}
