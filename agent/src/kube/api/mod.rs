//! The API server of the cluster: pods are asked for, the helper is copied, by a process that may block.
