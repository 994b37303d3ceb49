//! The bpf(2) system call for redbpf and for the agent's own loader, without libbpf.
//!
//! Two sets of names live here. `compat` and `types` hold exactly what redbpf 2.3.0 takes from the
//! crate that this one replaces, under the names and shapes that redbpf expects. The rest is a safe
//! interface for the agent: [`load_program`], [`raw_tracepoint_open`], [`create_map`],
//! [`MapHandle`], [`map_info`], [`program_info`], and [`Objects`] for those of the whole host.
//!
//! This crate also keeps what redbpf drops: [`map_fd`] finds the maps that were made in this process
//! by name, [`last_error`] has the error number and the verifier's log of the last failure, and a
//! map that redbpf makes from a `.rodata` section is frozen once it is filled.
//!
//! It parses no object files and attaches nothing but raw tracepoints and what redbpf asks for. Data
//! enters as byte slices or as redbpf's pointers, and leaves as file descriptors.

mod attr;
mod compat;
mod error;
mod identity;
mod map;
mod program;
mod registry;
mod syscall;
mod types;
pub mod uname;

pub use compat::*;
pub use error::{forget_last_error, last_error, LoadError};
pub use identity::Objects;
pub use map::{create_map, map_info, possible_cpus, MapHandle, MapInfo, MapSpec};
pub use program::{
    attached_programs, link_create, load_program, program_info, program_maps, raw_tracepoint_open,
    test_run, ProgramInfo, ProgramLoad, LOG_KEPT,
};
pub use registry::{forget_maps, map_fd};
pub use types::*;
