//! The rows of the table: name, how to read it, what it says; by the subject of the events.
//!
//! Fields that nothing resolves yet (packages, hashes, sessions of SSH…) and those of events that
//! no probe observes are here and read as empty, so that rules that name them load.

mod context;
mod file;
mod kernel;
mod network;
mod process;

pub(super) use context::*;
pub(super) use file::*;
pub(super) use kernel::*;
pub(super) use network::*;
pub(super) use process::*;

use std::net::IpAddr;

use super::{Read, Row, View};
use crate::secl::{FieldType, Kind, TextKind};

const fn int(name: &'static str, about: &'static str, get: fn(View<'_>) -> i64) -> Row {
    let read = Read::Int(get);
    Row { name, read, about }
}

const fn age(name: &'static str, about: &'static str, get: fn(View<'_>) -> i64) -> Row {
    let read = Read::Age(get);
    Row { name, read, about }
}

const fn boolean(name: &'static str, about: &'static str, get: fn(View<'_>) -> bool) -> Row {
    let read = Read::Bool(get);
    Row { name, read, about }
}

const fn text(
    name: &'static str,
    about: &'static str,
    get: for<'a> fn(View<'a>) -> &'a str,
) -> Row {
    let read = Read::Text(TextKind::Plain, get);
    Row { name, read, about }
}

const fn list(
    name: &'static str,
    about: &'static str,
    get: for<'a> fn(View<'a>) -> &'a [String],
    show: for<'a> fn(&'a str) -> &'a str,
) -> Row {
    let read = Read::List(TextKind::Plain, get, show);
    Row { name, read, about }
}

/// The name of a host or domain.
const fn domain(
    name: &'static str,
    about: &'static str,
    get: for<'a> fn(View<'a>) -> &'a str,
) -> Row {
    let read = Read::Text(TextKind::CaseInsensitive, get);
    Row { name, read, about }
}

const fn domains(
    name: &'static str,
    about: &'static str,
    get: for<'a> fn(View<'a>) -> &'a [String],
) -> Row {
    let read = Read::List(TextKind::CaseInsensitive, get, whole);
    Row { name, read, about }
}

const fn ip(name: &'static str, about: &'static str, get: fn(View<'_>) -> Option<IpAddr>) -> Row {
    let read = Read::Ip(get);
    Row { name, read, about }
}

/// The result of the system call.
const fn result() -> Row {
    int("retval", "result of the system call", |v| v.event.retval)
}

const fn path(
    name: &'static str,
    about: &'static str,
    get: for<'a> fn(View<'a>) -> &'a str,
) -> Row {
    let read = Read::Text(TextKind::Path, get);
    Row { name, read, about }
}

const fn empty(
    name: &'static str,
    about: &'static str,
    kind: Kind,
    many: bool,
    text: TextKind,
) -> Row {
    let read = Read::Empty(FieldType { kind, many, text });
    Row { name, read, about }
}

const fn empty_int(name: &'static str, about: &'static str) -> Row {
    empty(name, about, Kind::Int, false, TextKind::Plain)
}

const fn empty_ints(name: &'static str, about: &'static str) -> Row {
    empty(name, about, Kind::Int, true, TextKind::Plain)
}

const fn empty_bool(name: &'static str, about: &'static str) -> Row {
    empty(name, about, Kind::Bool, false, TextKind::Plain)
}

const fn empty_ip(name: &'static str, about: &'static str) -> Row {
    empty(name, about, Kind::Ip, false, TextKind::Plain)
}

const fn empty_text(name: &'static str, about: &'static str) -> Row {
    empty(name, about, Kind::Text, false, TextKind::Plain)
}

const fn empty_list(name: &'static str, about: &'static str) -> Row {
    empty(name, about, Kind::Text, true, TextKind::Plain)
}

const fn empty_path(name: &'static str, about: &'static str) -> Row {
    empty(name, about, Kind::Text, false, TextKind::Path)
}

/// The result of a system call that no probe observes.
const fn empty_result() -> Row {
    empty_int("retval", "result of the system call")
}

fn whole(element: &str) -> &str {
    element
}
