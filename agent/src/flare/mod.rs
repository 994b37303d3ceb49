//! Flares: archives that tell the support what an agent does and on what host.
//!
//! [`upload`] takes a finished archive and sends it; what is in it, and who asked for it, it does
//! not know.

pub mod upload;
