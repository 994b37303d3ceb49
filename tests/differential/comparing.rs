//! How two single values compare, the slow and obvious way.

use crate::stars::{self, Manner, Step};
use regex_lite::RegexBuilder;
use security_agent::secl::{IpNet, TextKind};
use std::cell::RefCell;
use std::collections::HashMap;
use std::net::IpAddr;

/// A part of a literal text.
#[derive(Clone, Debug)]
pub enum Piece {
    /// As it was written.
    Literal(String),
    /// What a variable holds.
    Held(String),
}

/// A literal that texts are compared with.
#[derive(Clone, Debug)]
pub enum Item {
    Text(Vec<Piece>),
    Pattern(Vec<Piece>),
    Regexp(String),
}

/// The pieces as one text.
pub fn joined(pieces: &[Piece]) -> String {
    let text = |piece: &Piece| match piece {
        Piece::Literal(text) | Piece::Held(text) => text.clone(),
    };
    pieces.iter().map(text).collect()
}

impl Item {
    /// Whether a text of a field of that kind is equal to it or matches it. With `is_match` a
    /// text is a pattern.
    pub fn is_like(&self, text: &str, kind: TextKind, is_match: bool) -> bool {
        match self {
            Item::Text(pieces) if !is_match => same_text(text, &joined(pieces), kind, kind),
            Item::Text(pieces) | Item::Pattern(pieces) => fits(pieces, text, kind),
            Item::Regexp(regexp) => is_match_of(regexp, text, kind),
        }
    }
}

/// Whether two texts are equal, one of them perhaps without regard to case.
pub fn same_text(left: &str, right: &str, left_kind: TextKind, right_kind: TextKind) -> bool {
    let is_folded = [left_kind, right_kind].contains(&TextKind::CaseInsensitive);
    left == right || (is_folded && left.eq_ignore_ascii_case(right))
}

fn fits(pieces: &[Piece], text: &str, kind: TextKind) -> bool {
    let manner = Manner {
        is_path: kind == TextKind::Path,
        fold_case: kind == TextKind::CaseInsensitive,
    };
    // A character that is nowhere else stands for each variable while stars are found.
    let mark = '\u{e000}';
    let marked: String = pieces
        .iter()
        .map(|piece| match piece {
            Piece::Literal(text) => text.clone(),
            Piece::Held(_) => mark.to_string(),
        })
        .collect();
    let mut held = pieces.iter().filter_map(|piece| match piece {
        Piece::Held(text) => Some(text),
        Piece::Literal(_) => None,
    });
    let mut all = Vec::new();
    for step in stars::steps(&marked, manner).unwrap() {
        match step {
            Step::Letter(letter) if letter == mark => {
                all.extend(held.next().unwrap().chars().map(Step::Letter));
            }
            step => all.push(step),
        }
    }
    stars::leads(&all, text, manner)
}

fn is_match_of(regexp: &str, text: &str, kind: TextKind) -> bool {
    thread_local! {
        static KNOWN: RefCell<HashMap<(String, bool), regex_lite::Regex>> = RefCell::default();
    }
    let fold_case = kind == TextKind::CaseInsensitive;
    let build = || {
        let mut builder = RegexBuilder::new(regexp);
        builder.case_insensitive(fold_case).build().unwrap()
    };
    KNOWN.with_borrow_mut(|known| {
        let key = (regexp.to_owned(), fold_case);
        known.entry(key).or_insert_with(build).is_match(text)
    })
}

/// Bits of an address, and how many of them count. An IPv4 address written as IPv6 is one of IPv4.
fn bits(net: &IpNet) -> Vec<bool> {
    let (number, width) = match net.addr {
        IpAddr::V4(v4) => (u128::from(v4.to_bits()), 32),
        IpAddr::V6(v6) => (v6.to_bits(), 128),
    };
    let all = (0..width).rev().map(|bit| number >> bit & 1 == 1);
    all.take(usize::from(net.prefix)).collect()
}

fn is_four_in_six(net: &IpNet) -> bool {
    match net.addr {
        IpAddr::V4(_) => false,
        IpAddr::V6(v6) => net.prefix >= 96 && v6.to_ipv4_mapped().is_some(),
    }
}

/// Whether an address lies within a network.
pub fn holds(net: &IpNet, ip: &IpNet) -> bool {
    let plain = |net: &IpNet| {
        let bits = bits(net);
        match is_four_in_six(net) {
            true => (true, bits[96..].to_vec()),
            false => (net.addr.is_ipv4(), bits),
        }
    };
    let ((own_family, own), (their_family, theirs)) = (plain(net), plain(ip));
    own_family == their_family && theirs.starts_with(&own)
}

/// The registered part of a host name: two labels, or three below a country's `co` and the like.
pub fn root_domain(host: &str) -> String {
    let host = host.strip_suffix('.').unwrap_or(host);
    let labels: Vec<&str> = host.split('.').collect();
    let is_country = |label: &str| label.len() == 2;
    let is_registry = |label: &str| ["co", "com", "org"].contains(&label.to_lowercase().as_str());
    let wanted = match labels.as_slice() {
        [.., second, top] if is_country(top) && is_registry(second) => 3,
        _ => 2,
    };
    labels[labels.len().saturating_sub(wanted)..].join(".")
}
