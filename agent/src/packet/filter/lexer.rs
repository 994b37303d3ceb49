//! Text to tokens.
//!
//! Addresses and numbers leave as values. A word keeps its spelling: a backslash before it stays,
//! so that it is no keyword any more, as pcap-filter(7) has it.

use std::net::Ipv6Addr;

use super::{Error, MAX_LENGTH};

/// A token with the byte that it begins at, counted from 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Token<'a> {
    pub(super) kind: TokenKind<'a>,
    pub(super) at: usize,
    /// As it was written.
    pub(super) text: &'a str,
}

/// What a token is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum TokenKind<'a> {
    Word(&'a str),
    Number(u32),
    /// One to four parts with dots: the parts that are missing are zero, and `bits` counts those
    /// that are there.
    Ip {
        address: u32,
        bits: u32,
    },
    Ip6(u128),
    Ethernet([u8; 6]),
    /// An operator or bracket, as listed in [`SYMBOLS`].
    Symbol(&'static str),
    /// Behind the last token.
    End,
}

/// Operators and brackets; longer ones before those they begin with.
const SYMBOLS: &[&str] = &[
    "&&", "||", "==", "!=", ">=", "<=", "<<", ">>", "(", ")", "[", "]", ":", "+", "-", "*", "/",
    "%", "&", "|", "^", ">", "<", "=", "!",
];

/// What a name with a dash begins with: `tcp-syn`. Any other dash is a minus.
const DASHED: &[&str] = &["tcp", "icmp", "icmp6"];

/// Splits an expression; the last token is always [`TokenKind::End`].
pub(super) fn tokens(text: &str) -> Result<Vec<Token<'_>>, Error> {
    if text.len() > MAX_LENGTH {
        return Err(Error::new(
            MAX_LENGTH,
            format!(
                "the expression has {} bytes, at most {MAX_LENGTH} are read; split it",
                text.len()
            ),
        ));
    }
    let mut tokens = Vec::new();
    let mut at = 0;
    loop {
        let rest = text.get(at..).unwrap_or("");
        let trimmed = rest.trim_ascii_start();
        at += rest.len() - trimmed.len();
        let (kind, length) = token(trimmed, at)?;
        tokens.push(Token {
            kind,
            at,
            text: trimmed.get(..length).unwrap_or(""),
        });
        if kind == TokenKind::End {
            return Ok(tokens);
        }
        at += length;
    }
}

/// The token at the beginning of `rest`, and its bytes.
fn token(rest: &str, at: usize) -> Result<(TokenKind<'_>, usize), Error> {
    let Some(first) = rest.chars().next() else {
        return Ok((TokenKind::End, 0));
    };
    if let Some(found) = address(rest, at)? {
        return Ok(found);
    }
    if first.is_ascii_digit() {
        let digits = run(rest, |byte| byte.is_ascii_alphanumeric());
        return Ok((TokenKind::Number(number(digits, at)?), digits.len()));
    }
    if first.is_ascii_alphabetic() || first == '\\' {
        let word = word(rest, at)?;
        return Ok((TokenKind::Word(word), word.len()));
    }
    match SYMBOLS.iter().find(|symbol| rest.starts_with(**symbol)) {
        Some(symbol) => Ok((TokenKind::Symbol(symbol), symbol.len())),
        None => Err(Error::new(
            at,
            format!("unexpected character \"{}\"", first.escape_debug()),
        )),
    }
}

/// The longest run of such bytes, which are ASCII.
fn run(rest: &str, accept: impl Fn(u8) -> bool) -> &str {
    let end = rest.bytes().position(|byte| !accept(byte));
    rest.get(..end.unwrap_or(rest.len())).unwrap_or("")
}

/// An address, when what follows can be nothing else: with two colons or more, or digits and a dot.
fn address(rest: &str, at: usize) -> Result<Option<(TokenKind<'_>, usize)>, Error> {
    let colons = run(rest, |byte| {
        byte.is_ascii_hexdigit() || byte == b':' || byte == b'.'
    });
    if colons.matches(':').count() >= 2 {
        let kind = colons
            .parse::<Ipv6Addr>()
            .map(|address| TokenKind::Ip6(address.into()))
            .ok()
            .or_else(|| ethernet(colons));
        let wrong = || {
            let message = "is neither an IPv6 address nor one of Ethernet (02:00:5e:10:00:01)";
            Error::new(at, format!("\"{colons}\" {message}"))
        };
        return kind
            .map(|kind| Some((kind, colons.len())))
            .ok_or_else(wrong);
    }
    let dots = run(rest, |byte| byte.is_ascii_digit() || byte == b'.');
    if !rest.starts_with(|first: char| first.is_ascii_digit()) || !dots.contains('.') {
        return Ok(None);
    }
    let whole = run(rest, |byte| byte.is_ascii_alphanumeric() || byte == b'.');
    let wrong = || {
        let message = "is no IPv4 address, and names of hosts are not looked up";
        Error::new(at, format!("\"{whole}\" {message}"))
    };
    ip(whole)
        .map(|kind| Some((kind, whole.len())))
        .ok_or_else(wrong)
}

fn ip(text: &str) -> Option<TokenKind<'static>> {
    let mut address: u32 = 0;
    let mut bits = 0;
    for part in text.split('.') {
        let part: u8 = part.parse().ok()?;
        address = address.checked_shl(8)? | u32::from(part);
        bits += 8;
    }
    let missing = 32_u32.checked_sub(bits)?;
    Some(TokenKind::Ip {
        address: address.checked_shl(missing)?,
        bits,
    })
}

fn ethernet(text: &str) -> Option<TokenKind<'static>> {
    let mut address = [0; 6];
    let mut parts = text.split(':');
    for byte in &mut address {
        *byte = u8::from_str_radix(parts.next()?, 16).ok()?;
    }
    parts
        .next()
        .is_none()
        .then_some(TokenKind::Ethernet(address))
}

/// Digits as C writes them: hexadecimal after `0x`, octal after `0`.
fn number(digits: &str, at: usize) -> Result<u32, Error> {
    let (radix, plain) = match digits.strip_prefix("0x").or(digits.strip_prefix("0X")) {
        Some(plain) => (16, plain),
        None if digits.len() > 1 && digits.starts_with('0') => (8, digits),
        None => (10, digits),
    };
    let valid = !plain.is_empty() && plain.chars().all(|digit| digit.is_digit(radix));
    u32::from_str_radix(plain, radix).map_err(|_| {
        let message = match valid {
            true => format!("\"{digits}\" does not fit into 32 bits"),
            false => format!("\"{digits}\" is no number to the base {radix}"),
        };
        Error::new(at, message)
    })
}

/// A word: letters, digits, `_` and `.`; a backslash may stand before it, and names such as
/// `tcp-syn` go on after their dash.
fn word(rest: &str, at: usize) -> Result<&str, Error> {
    let escape = usize::from(rest.starts_with('\\'));
    let plain = rest.get(escape..).unwrap_or("");
    let letters = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'.';
    let mut length = run(plain, letters).len();
    if length == 0 {
        return Err(Error::new(at, "a name must stand right after \"\\\""));
    }
    let stem = plain.get(..length).unwrap_or("");
    let dash = plain.get(length..).and_then(|tail| tail.strip_prefix('-'));
    let tail = dash.map_or("", |tail| run(tail, |byte| byte.is_ascii_alphanumeric()));
    if DASHED.contains(&stem) && tail.starts_with(|first: char| first.is_ascii_alphabetic()) {
        length += 1 + tail.len();
    }
    Ok(rest.get(..escape + length).unwrap_or(""))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kinds(text: &str) -> Vec<TokenKind<'_>> {
        let mut kinds: Vec<_> = tokens(text)
            .unwrap()
            .iter()
            .map(|token| token.kind)
            .collect();
        assert_eq!(kinds.pop(), Some(TokenKind::End));
        kinds
    }

    #[test]
    fn each_literal_is_one_token() {
        let ip = |address, bits| TokenKind::Ip { address, bits };
        let rows = [
            ("0", TokenKind::Number(0)),
            ("42", TokenKind::Number(42)),
            ("0x1F", TokenKind::Number(31)),
            ("017", TokenKind::Number(15)),
            ("4294967295", TokenKind::Number(u32::MAX)),
            ("10.0.0.1", ip(0x0a00_0001, 32)),
            ("10.1", ip(0x0a01_0000, 16)),
            ("1.2.3", ip(0x0102_0300, 24)),
            ("::", TokenKind::Ip6(0)),
            ("::1", TokenKind::Ip6(1)),
            ("fe80::1", TokenKind::Ip6(0xfe80 << 112 | 1)),
            ("::ffff:1.2.3.4", TokenKind::Ip6(0xffff_0102_0304)),
            ("1:2:3:4:5:6", TokenKind::Ethernet([1, 2, 3, 4, 5, 6])),
            (
                "aA:bb:cc:dd:ee:ff",
                TokenKind::Ethernet([0xaa, 0xbb, 0xcc, 0xdd, 0xee, 0xff]),
            ),
            ("tcp-syn", TokenKind::Word("tcp-syn")),
            ("icmp6-echo", TokenKind::Word("icmp6-echo")),
            ("\\tcp", TokenKind::Word("\\tcp")),
            ("a.example", TokenKind::Word("a.example")),
            ("&&", TokenKind::Symbol("&&")),
            ("<<", TokenKind::Symbol("<<")),
        ];
        for (text, kind) in rows {
            assert_eq!(kinds(text), [kind], "{text}");
        }
    }

    #[test]
    fn tokens_end_where_the_next_begins() {
        let rows = [
            ("tcp[12:4]", 6),
            ("len-4", 3),
            ("tcp-4", 3),
            ("80-90", 3),
            ("10.0.0.0/8", 3),
            ("a&b", 3),
            (" a \t\n b ", 2),
            ("1<=2", 3),
            ("!!a", 3),
        ];
        for (text, count) in rows {
            assert_eq!(kinds(text).len(), count, "{text}");
        }
    }

    #[test]
    fn what_is_no_token_is_refused_where_it_stands() {
        let rows = [
            ("a 1.2.3.4.5", 3),
            ("256.1.1.1", 1),
            ("1.2.", 1),
            ("1.example", 1),
            ("1:2:3", 1),
            ("aa:bb:cc:dd:ee:fff", 1),
            ("len = 4294967296", 7),
            ("09", 1),
            ("0x", 1),
            ("80abc", 1),
            ("a $", 3),
            ("ü", 1),
            ("\\", 1),
            ("a , b", 3),
        ];
        for (text, column) in rows {
            let error = tokens(text).unwrap_err();
            assert_eq!(error.column, column, "{text}: {error}");
        }
    }
}
