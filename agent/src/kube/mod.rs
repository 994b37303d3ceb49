//! Kubernetes: who typed it, and how the agent gets there.
//!
//! [`admission`] is the webhook that puts `cws-instrumentation` in front of the commands of
//! `kubectl exec`; what it must ask the API server goes as a [`job::Job`] to a process of [`api`].
//! [`certificate`] makes certificates for the webhook. [`instrument`] is what then runs in the pod,
//! [`render`] the manifests of it all. What the probes make of a session is not here but in
//! `resolve`.

pub mod admission;
pub mod api;
pub mod certificate;
mod der;
pub mod instrument;
pub mod job;
pub mod reason;
pub mod render;
