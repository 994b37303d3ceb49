//! What the webhook asks of a process that may block, and what comes back.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::reason::Reason;

/// Where the helper comes from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Mode {
    /// An init container left it in a volume of the pod.
    InitContainer,
    /// It is copied into the container when it is needed.
    RemoteCopy {
        /// Directory in the container.
        directory: String,
        /// Whether that directory is in a volume that the pod was given.
        mount_volume: bool,
    },
}

/// A session whose container has to be prepared.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Job {
    /// Namespace of the pod.
    pub namespace: String,
    /// Name of the pod.
    pub pod: String,
    /// The container; empty when the caller named none.
    pub container: String,
    /// Where the helper comes from.
    pub mode: Mode,
    /// Whether pods without the label are instrumented, too.
    pub mutate_unlabelled: bool,
    /// How long it may take from now on.
    pub timeout: Duration,
}

/// What became of a [`Job`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Outcome {
    /// The helper is in the container.
    Ready {
        /// Its path there.
        path: String,
    },
    /// The session stays as it is.
    Skip(Reason),
}
