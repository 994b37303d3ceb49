//! A Workload Protection agent for minimal hosts: the library behind the one binary.
//!
//! Events enter through [`kernel`], are named by [`resolve`], judged by [`policy`] with expressions
//! of [`secl`], and leave as JSON lines through [`probe`] and [`forward`]. [`packet`] reads what is
//! in packets and the filters that rules name, [`kube`] is what runs in a cluster. [`cli`] turns
//! arguments into one of these roles or into a [`flare`], [`config`] files and the environment into
//! settings, [`ipc`] is what the roles' sockets have in common. Arrows run one way: `cli`, then the
//! roles, then `ipc`, `policy`, `resolve` and `kernel`, then `secl` and `event`, then `packet`,
//! then `sys`.

pub mod cli;
pub mod config;
pub mod event;
pub mod flare;
pub mod forward;
pub mod http;
pub mod ipc;
pub mod kernel;
pub mod kube;
pub mod logger;
pub mod packet;
pub mod policy;
pub mod probe;
pub mod regexp;
pub mod resolve;
pub mod scrub;
pub mod secl;
pub mod sys;
