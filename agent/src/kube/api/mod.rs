//! The API server of the cluster: pods are asked for, the helper is copied, by a process that may
//! block.
//!
//! The webhook's loop gives a [`Job`](super::job::Job) to the [`Pool`], which hands it to one of a
//! few processes of this binary ([`serve`]) and gets an [`Outcome`](super::job::Outcome) back.
//! Such a process finds the server in its environment ([`cluster`]), reads the pod ([`pod`]) and, if
//! need be, writes the helper into the container ([`exec`], [`frame`], [`archive`]). What a review
//! looks like is not known here, nor what becomes of the path that leaves.

pub mod archive;
pub mod cluster;
pub mod connection;
pub mod error;
pub mod exec;
pub mod frame;
pub mod message;
pub mod pod;
pub mod pool;
pub mod prepare;
pub mod serve;

pub use error::Error;
pub use pool::{Pool, Ticket};
