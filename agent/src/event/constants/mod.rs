//! Names of numbers: the kernel's constants that rules may use, and the same tables read
//! backwards for JSON.
//!
//! A family is what documentation prints together. The numbers come from the libc crate for the
//! architecture that is built for; where musl gives another value than the kernel, or libc has
//! none, the kernel's is written down.

use crate::secl::Constant;
use std::sync::LazyLock;

/// A name and its number.
pub type Named = (&'static str, i64);

macro_rules! from_libc {
    ($($name:ident)*) => { &[$((stringify!($name), libc::$name as i64)),*] };
}

macro_rules! numbers {
    ($($name:ident $value:literal;)*) => { &[$((stringify!($name), $value)),*] };
}

macro_rules! names {
    ($($name:ident)*) => { &[$(stringify!($name)),*] };
}

mod bpf;
mod dns;
mod errors;
mod files;
mod memory;
mod network;
mod process;

pub use dns::{DNS_CLASS, DNS_TYPE};
pub use files::OPEN_FLAGS;
pub use network::{
    ADDRESS_FAMILY, DIRECTION, EGRESS, INGRESS, NETWORK_PROTOCOL, SOCKET_PROTOCOL, TLS_VERSION,
    TRANSPORT_PROTOCOL,
};
pub use process::{EXIT_CAUSES, LOGIN_UID_UNSET, SIGNALS};

/// How a list of names says its numbers.
#[derive(Clone, Copy, Debug)]
enum Values {
    /// Each name has its own.
    Named(&'static [Named]),
    /// 0, 1, 2 and so on.
    Counted(&'static [&'static str]),
    /// One bit each, the lowest first.
    Bits(&'static [&'static str]),
}

impl Values {
    fn get(self, index: usize) -> Option<Named> {
        let number = i64::try_from(index).ok()?;
        match self {
            Values::Named(list) => list.get(index).copied(),
            Values::Counted(list) => Some((*list.get(index)?, number)),
            Values::Bits(list) => Some((*list.get(index)?, 1 << (number & 63))),
        }
    }
}

/// Constants that belong together.
#[derive(Clone, Copy, Debug)]
pub struct Family {
    /// What they are.
    pub name: &'static str,
    values: &'static [Values],
}

impl Family {
    /// Its constants.
    pub fn constants(self) -> impl Iterator<Item = Named> {
        self.values
            .iter()
            .flat_map(|values| (0..).map_while(|index| values.get(index)))
    }

    /// The name of a number; the first where it has several, empty where it has none.
    pub fn name_of(self, number: i64) -> &'static str {
        self.constants()
            .find(|(_, value)| *value == number)
            .map_or("", |(name, _)| name)
    }
}

const BOOKS: &[&[Family]] = &[
    files::FAMILIES,
    process::FAMILIES,
    memory::FAMILIES,
    errors::FAMILIES,
    network::FAMILIES,
    dns::FAMILIES,
    bpf::FAMILIES,
];

/// Every family, in the order of documentation.
pub fn families() -> impl Iterator<Item = Family> {
    BOOKS.iter().flat_map(|book| book.iter().copied())
}

/// Every constant, by family.
pub fn all() -> impl Iterator<Item = Named> {
    families().flat_map(Family::constants)
}

static SORTED: LazyLock<Vec<Named>> = LazyLock::new(|| {
    let mut sorted: Vec<Named> = all().collect();
    sorted.sort_unstable();
    sorted.dedup();
    sorted
});

/// The constant with this name: a number of the kernel, `true` or `false`. Capabilities are
/// bits of a mask, as the capability fields are.
pub fn find(name: &str) -> Option<Constant> {
    match name {
        "true" => return Some(Constant::Bool(true)),
        "false" => return Some(Constant::Bool(false)),
        _ => {}
    }
    let place = SORTED.binary_search_by_key(&name, |(known, _)| known);
    let (_, value) = SORTED.get(place.ok()?)?;
    Some(Constant::Int(*value))
}

/// The names of the flags of open; `O_RDONLY` when neither writing flag is set.
pub fn open_flags(flags: u32) -> Vec<&'static str> {
    let mut left = i64::from(flags);
    let mut names = Vec::new();
    if flags & libc::O_ACCMODE as u32 == 0 {
        names.push("O_RDONLY");
    }
    for (name, bits) in OPEN_FLAGS {
        if *bits != 0 && left & bits == *bits {
            names.push(*name);
            left &= !bits;
        }
    }
    names
}

/// The names of a set of capabilities.
pub fn capabilities(set: u64) -> impl Iterator<Item = &'static str> {
    process::CAPABILITIES
        .iter()
        .enumerate()
        .filter(move |(bit, _)| set >> bit & 1 == 1)
        .map(|(_, name)| *name)
}

/// The name of an exit cause.
pub fn exit_cause(cause: u32) -> &'static str {
    EXIT_CAUSES
        .iter()
        .find(|(_, value)| *value == i64::from(cause))
        .map_or("", |(name, _)| name)
}

#[cfg(test)]
mod tests;
