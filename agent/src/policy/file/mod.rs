//! Policy files: directory to bytes, bytes to definitions with their places.
//!
//! Everything that knows of YAML is here. Bytes come from [`source`], a [`document::Document`]
//! leaves; whether its rules count, join and compile is decided in the folder above.

pub mod definition;
pub mod document;
pub mod keys;
pub mod position;
pub mod source;
pub mod yaml;
