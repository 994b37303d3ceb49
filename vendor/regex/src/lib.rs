//! An empty stand-in for regex.
//!
//! redbpf 2.3.0 lists regex as a dependency and never names it in its code. It asks for every
//! feature of it, which would put 350 KB of Unicode tables and engines into the agent. What the
//! agent matches with is regex-automata, with the features that it wants. Nothing lives here, and
//! nothing enters or leaves.
#![no_std]
