//! Why a review leaves what it is about as it is: the labels of a counter.

use serde::{Deserialize, Serialize};

macro_rules! reasons {
    ($($(#[$doc:meta])+ $ident:ident = $name:literal,)+) => {
        /// Why nothing was changed. The request is allowed all the same.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
        pub enum Reason {
            $($(#[$doc])+ $ident,)+
        }

        impl Reason {
            /// Every reason.
            pub const ALL: &[Reason] = &[$(Reason::$ident),+];

            /// Its name in metrics.
            pub fn name(self) -> &'static str {
                match self {
                    $(Reason::$ident => $name,)+
                }
            }
        }
    };
}

reasons! {
    /// There is no object in the review, or none that can be read.
    NilInput = "nil_input",
    /// The session has no command.
    NilCommand = "nil_command",
    /// It is the webhook's own session.
    ServiceAccount = "cluster_agent_service_account",
    /// It is the webhook's own copy of the helper.
    OwnCopy = "cluster_agent_kubectl_cp",
    /// It is the webhook's own test of the helper.
    OwnHealth = "cluster_agent_kubectl_exec_health",
    /// The namespace or the pod is excluded by configuration.
    ExcludedResource = "excluded_resource",
    /// The API server did not describe the pod.
    DescribePod = "describe_pod_error",
    /// An annotation of the pod excludes it.
    ExcludedByAnnotation = "excluded_by_annotation",
    /// A label of the pod excludes it, or lacks.
    ExcludedByLabel = "excluded_by_label",
    /// The pod was made without the helper.
    PodNotInstrumented = "pod_not_instrumented",
    /// The helper cannot be written into this container.
    ReadOnlyFileSystem = "readonly_filesystem",
    /// Nobody knows what machine the pod runs on.
    MissingArchitecture = "missing_arch",
    /// The pod has ended.
    CompletedPod = "completed_pod",
    /// The pod has no such container.
    InvalidContainer = "invalid_input_container",
    /// The helper was not copied into the container.
    CopyFailed = "remote_copy_failed",
    /// The configured mode is unknown.
    UnknownMode = "unknown_mode",
    /// The user does not fit into a session.
    Credentials = "credentials_serialization_error",
    /// The command begins with the helper already.
    AlreadyInstrumented = "already_instrumented",
    /// Nothing of it has to be changed.
    NotNeeded = "no_instrumentation_needed",
}
