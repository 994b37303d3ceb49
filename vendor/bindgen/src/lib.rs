//! An empty stand-in for bindgen.
//!
//! redbpf 2.3.0 lists bindgen as a dependency, with the feature `runtime`, and never names it in its
//! code. This crate satisfies the dependency without libclang. Nothing lives here, and nothing enters
//! or leaves.
#![no_std]
