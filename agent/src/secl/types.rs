//! The vocabulary between the language and whoever owns the fields.
//!
//! [`Scheme`] is asked while a rule is checked: which fields, constants and variables exist, and of
//! which type they are. [`Record`] is asked while a rule is evaluated: what a field holds now. The
//! language itself knows no event and no field name; it keeps opaque [`FieldId`]s.

use std::borrow::Cow;
use std::fmt;
use std::net::IpAddr;
use std::ops::Range;
use std::str::FromStr;

/// What a value is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// True or false.
    Bool,
    /// A signed number of 64 bits; times and durations are nanoseconds.
    Int,
    /// A string.
    Text,
    /// An address or a network.
    Ip,
}

impl Kind {
    /// The word for messages: "number", "string"….
    pub fn name(self) -> &'static str {
        match self {
            Kind::Bool => "boolean",
            Kind::Int => "number",
            Kind::Text => "string",
            Kind::Ip => "IP address",
        }
    }
}

/// How the strings of a field compare, and what `~"…"` means on them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum TextKind {
    /// Byte for byte; in patterns `*` stands for any run of characters.
    Plain,
    /// A file path: byte for byte; a pattern is a glob, `*` stays within one path component and a
    /// final `**` takes everything beneath.
    Path,
    /// Without regard to ASCII case, as domain names; patterns as in `Plain`.
    CaseInsensitive,
    /// The extension of a file with its dot: as `CaseInsensitive`, and what it is compared with
    /// may leave the dot out.
    Extension,
    /// A pcap filter: byte for byte, and only with texts that are filters.
    PacketFilter,
}

impl TextKind {
    /// Whether ASCII case does not count.
    pub fn folds_case(self) -> bool {
        matches!(self, TextKind::CaseInsensitive | TextKind::Extension)
    }

    /// A string or pattern that is compared with the field, written as the field is.
    pub(super) fn spelled(self, text: &str) -> Cow<'_, str> {
        let is_bare = !text.is_empty() && !text.starts_with(['.', '*']);
        match self {
            TextKind::Extension if is_bare => format!(".{text}").into(),
            _ => text.into(),
        }
    }
}

/// The type of a field.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FieldType {
    /// What one element is.
    pub kind: Kind,
    /// Whether there may be any number of elements: an array, or a field read through an iterator.
    pub many: bool,
    /// How the text compares; of no meaning for other kinds.
    pub text: TextKind,
}

/// The key under which a [`Record`] knows a field or variable.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct FieldId(pub u32);

/// A field or variable as the [`Scheme`] describes it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Field {
    /// The key for reading it.
    pub id: FieldId,
    /// Its type.
    pub ty: FieldType,
    /// The event types that have it; empty means every one.
    pub events: &'static [&'static str],
    /// Whether it is read through an iterator such as `process.ancestors`, so that `[0]` and
    /// registers `[A]` may follow the iterator's name.
    pub iterator: bool,
}

/// A named value of the kernel or the language, such as `O_CREAT` or `true`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Constant {
    /// A number.
    Int(i64),
    /// `true` or `false`.
    Bool(bool),
    /// A string.
    Text(&'static str),
}

/// The names a rule may use.
pub trait Scheme {
    /// The field of that name, without `[…]`. For `process.argv.length` the whole name is asked
    /// first, then the name without `.length` or `.root_domain`: those need no entry of their own.
    fn field(&self, name: &str) -> Option<Field>;
    /// The constant of that name.
    fn constant(&self, name: &str) -> Option<Constant>;
    /// The variable written `${name}`.
    fn variable(&self, name: &str) -> Option<Field>;
    /// Every field name, for suggestions.
    fn names(&self) -> Vec<String>;
    /// Every variable's name, for suggestions.
    fn variables(&self) -> Vec<String> {
        Vec::new()
    }
    /// Every event type.
    fn event_types(&self) -> &'static [&'static str];
}

/// What a formula gives and a variable holds.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Value {
    /// True or false.
    Bool(bool),
    /// A number.
    Int(i64),
    /// A string.
    Text(String),
    /// An address or a network.
    Ip(IpNet),
    /// Any number of values of one kind.
    List(Vec<Value>),
}

impl Value {
    /// Its kind, and whether it is a list. An empty list counts as one of strings.
    pub fn kind(&self) -> (Kind, bool) {
        match self {
            Value::Bool(_) => (Kind::Bool, false),
            Value::Int(_) => (Kind::Int, false),
            Value::Text(_) => (Kind::Text, false),
            Value::Ip(_) => (Kind::Ip, false),
            Value::List(values) => {
                let first = values.first().map_or(Kind::Text, |value| value.kind().0);
                (first, true)
            }
        }
    }
}

impl fmt::Display for Value {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Value::Bool(value) => write!(out, "{value}"),
            Value::Int(value) => write!(out, "{value}"),
            Value::Text(value) => out.write_str(value),
            Value::Ip(value) => write!(out, "{value}"),
            Value::List(values) => {
                for (place, value) in values.iter().enumerate() {
                    if place > 0 {
                        out.write_str(",")?;
                    }
                    write!(out, "{value}")?;
                }
                Ok(())
            }
        }
    }
}

/// Something a rule is evaluated on. Nothing here may allocate or block.
pub trait Record {
    /// The number of elements: 1 for a scalar, any number for `many`.
    fn count(&self, field: FieldId) -> usize;
    /// An element as a number, 0 when absent.
    fn int(&self, field: FieldId, index: usize) -> i64;
    /// An element as a boolean, false when absent.
    fn boolean(&self, field: FieldId, index: usize) -> bool;
    /// An element as a string, "" when absent.
    fn text(&self, field: FieldId, index: usize) -> &str;
    /// An element as an address or network.
    fn ip(&self, field: FieldId, index: usize) -> Option<IpNet>;

    /// The number of turns of the iterator of that field. Differs from [`Record::count`] only for
    /// an array behind an iterator, such as `process.ancestors.argv`.
    fn iterations(&self, field: FieldId) -> usize {
        self.count(field)
    }

    /// Which elements of the field belong to one turn of its iterator. Differs from the one
    /// element only for an array behind an iterator.
    fn elements(&self, field: FieldId, iteration: usize) -> Range<usize> {
        let _ = field;
        iteration..iteration.saturating_add(1)
    }
}

/// An address with the length of its network prefix: 32 or 128 for a single address.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct IpNet {
    /// The address; bits beyond the prefix do not count.
    pub addr: IpAddr,
    /// The number of leading bits that count.
    pub prefix: u8,
}

impl IpNet {
    /// The network that holds one address only.
    pub fn single(addr: IpAddr) -> IpNet {
        IpNet {
            addr,
            prefix: width(&addr),
        }
    }

    /// Whether `other` lies within this network. An IPv4 address written as IPv6
    /// (`::ffff:10.0.0.1`) counts as IPv4: that is how dual-stack sockets report it.
    pub fn contains(&self, other: &IpNet) -> bool {
        let (own, own_prefix) = self.canonical();
        let (theirs, their_prefix) = other.canonical();
        own_prefix <= their_prefix
            && match (own, theirs) {
                (IpAddr::V4(a), IpAddr::V4(b)) => {
                    let shift = 32u32.saturating_sub(u32::from(own_prefix));
                    let differ = a.to_bits() ^ b.to_bits();
                    differ.checked_shr(shift).unwrap_or(0) == 0
                }
                (IpAddr::V6(a), IpAddr::V6(b)) => {
                    let shift = 128u32.saturating_sub(u32::from(own_prefix));
                    let differ = a.to_bits() ^ b.to_bits();
                    differ.checked_shr(shift).unwrap_or(0) == 0
                }
                _ => false,
            }
    }

    fn canonical(&self) -> (IpAddr, u8) {
        match self.addr {
            IpAddr::V6(v6) if self.prefix >= 96 => match v6.to_ipv4_mapped() {
                Some(v4) => (IpAddr::V4(v4), self.prefix.saturating_sub(96)),
                None => (self.addr, self.prefix),
            },
            addr => (addr, self.prefix),
        }
    }
}

fn width(addr: &IpAddr) -> u8 {
    match addr {
        IpAddr::V4(_) => 32,
        IpAddr::V6(_) => 128,
    }
}

/// A text that is neither an address nor a network.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IpError(String);

impl fmt::Display for IpError {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            out,
            "`{}` is neither an IP address nor a network such as 10.0.0.0/8",
            self.0
        )
    }
}

impl std::error::Error for IpError {}

impl FromStr for IpNet {
    type Err = IpError;

    fn from_str(text: &str) -> Result<IpNet, IpError> {
        let wrong = || IpError(text.to_owned());
        let (addr, prefix) = match text.split_once('/') {
            Some((addr, prefix)) => (addr, Some(prefix)),
            None => (text, None),
        };
        let addr: IpAddr = addr.parse().map_err(|_| wrong())?;
        let prefix = match prefix {
            Some(digits) => digits.parse().map_err(|_| wrong())?,
            None => width(&addr),
        };
        if prefix > width(&addr) {
            return Err(wrong());
        }
        Ok(IpNet { addr, prefix })
    }
}

impl fmt::Display for IpNet {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.prefix == width(&self.addr) {
            write!(out, "{}", self.addr)
        } else {
            write!(out, "{}/{}", self.addr, self.prefix)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn net(text: &str) -> IpNet {
        text.parse().unwrap()
    }

    #[test]
    fn networks_contain_what_shares_their_prefix() {
        let rows = [
            ("10.0.0.0/8", "10.255.0.1", true),
            ("10.0.0.0/8", "11.0.0.1", false),
            ("10.1.2.3/8", "10.9.9.9", true),
            ("0.0.0.0/0", "8.8.8.8", true),
            ("0.0.0.0/0", "::1", false),
            ("::/0", "fe80::1", true),
            ("fe80::/10", "febf::1", true),
            ("fe80::/10", "fec0::1", false),
            ("10.0.0.1", "10.0.0.1", true),
            ("10.0.0.1", "10.0.0.2", false),
            ("10.0.0.0/8", "::ffff:10.0.0.1", true),
            ("::ffff:10.0.0.0/104", "10.3.0.1", true),
            ("10.0.0.0/16", "10.0.0.0/8", false),
        ];
        for (network, address, expected) in rows {
            assert_eq!(
                net(network).contains(&net(address)),
                expected,
                "{address} in {network}"
            );
        }
    }

    #[test]
    fn what_is_no_network_is_refused() {
        for text in [
            "",
            "10.0.0",
            "10.0.0.0/33",
            "::/129",
            "10.0.0.0/",
            "10.0.0.0/x",
            "a",
        ] {
            assert!(text.parse::<IpNet>().is_err(), "{text}");
        }
        assert_eq!(net("10.0.0.0/8").to_string(), "10.0.0.0/8");
        assert_eq!(net("10.0.0.1/32").to_string(), "10.0.0.1");
    }
}
