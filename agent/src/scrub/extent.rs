//! Where a secret begins and ends, once a rule has found the place.
//!
//! A line and what a pattern matched in it enter; the range of the secret leaves, or nothing when
//! there is none after all. In doubt a secret is longer: too much hidden is a nuisance, too little
//! is a leak. Each byte is looked at a bounded number of times.

use std::ops::Range;

use super::below::is_mark_of_block;
use super::command;
use super::rules::{Place, ABOUT};

/// Bytes of a URL's user, password and host at most; a limit keeps the search linear.
const LONGEST_AUTHORITY: usize = 2_048;

/// Bytes of a quote and the backslashes before it, where it is put around a mask.
const LONGEST_QUOTE: usize = 8;

/// Characters before a value in quotes that it is wrapped in, at most; a limit keeps the search
/// linear.
const LONGEST_WRAPPER: usize = 64;

/// Bytes of the name of a parameter of a URL at most; a limit keeps the search linear.
const LONGEST_PARAMETER: usize = 64;

/// Bytes of a JSON Web Token's header at most; a limit keeps the search linear.
const LONGEST_HEADER: usize = 1_024;

/// Characters of the shortest token of a service behind its prefix.
const SHORTEST_TOKEN: usize = 10;

/// Characters of a line of base64 from which on the line below belongs to it, too.
const WRAPPED: usize = 40;

/// Values that hide nothing.
const NO_SECRETS: &[&str] = &["null", "true", "false", "nil", "none", "None", "~"];

/// Signs that close something in front of which a value stands.
const CLOSING: [char; 5] = [',', ';', ')', '}', ']'];

/// A secret in a line.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Secret<'a> {
    pub(super) range: Range<usize>,
    /// What has to be put around its mask, so that JSON stays JSON.
    pub(super) quotes: &'a str,
}

impl Secret<'_> {
    /// A secret of this many bytes from `start`; none when there are none.
    pub(super) fn plain(start: usize, length: usize) -> Option<Self> {
        (length > 0).then_some(Secret {
            range: start..start + length,
            quotes: "",
        })
    }
}

/// The secret at the place where a pattern matched.
pub(super) fn secret(line: &str, found: Range<usize>, place: Place) -> Option<Secret<'_>> {
    let value = line.get(found.end..)?;
    match place {
        Place::Whole => Secret::plain(found.start, found.len()),
        Place::Block => {
            let end = end_of_block(value).map_or(line.len(), |end| found.end + end);
            Secret::plain(found.start, end - found.start)
        }
        // A token in quotes; a parameter of a URL may be empty before the quote that closes it.
        Place::Word if line.get(found.clone())?.ends_with([' ', '\t']) => {
            argument(value, found.end, false)
        }
        Place::Word => Secret::plain(found.end, word(value)),
        Place::Argument if value.starts_with(['-', '=', ':']) => None,
        Place::Argument => {
            let is_item = line.get(found)?.ends_with('\0');
            argument(value, line.len() - value.len(), is_item)
        }
        Place::Program => command::secret(line, found),
        Place::Url => Secret::plain(found.end, password_of_url(value)?),
        Place::Token => Secret::plain(found.start, token(line.get(found.start..)?)?),
        Place::WebToken => Secret::plain(found.start, web_token(line.get(found.start..)?)?),
        Place::Armor => Secret::plain(found.start, armor(line.get(found.start..)?)),
        Place::Members if !value.starts_with('{') => None,
        Place::Members => group(value, found.end, "\"", '{', '}'),
        Place::Value | Place::ExtraValue | Place::Header => named(line, found, place),
    }
}

/// Behind the end of a block that was begun before; `None` when it is not in this text.
pub(super) fn end_of_block(text: &str) -> Option<usize> {
    const END: &str = "-----END ";
    const DASHES: &str = "-----";
    let label = text.find(END)? + END.len();
    let length = text.get(label..)?.find(DASHES)?;
    Some(label + length + DASHES.len())
}

/// The value of a name; the pattern matched the name's end and the separator.
fn named(line: &str, found: Range<usize>, place: Place) -> Option<Secret<'_>> {
    let is_header = place == Place::Header;
    let (start, matched) = (found.end, line.get(found.clone())?);
    let value = line.get(start..)?;
    let (name, sign) = matched.split_at_checked(matched.find([':', '='])?)?;
    let stem = name.trim_end().trim_end_matches(['"', '\'', '\\']);
    let quotes = name.trim_end().get(stem.len()..)?;
    if place != Place::ExtraValue && is_about(stem) {
        return None;
    }
    let opener = opening(value);
    // A colon without a blank is that of a path of a program, an image's tag or a port.
    if sign == ":" && quotes.is_empty() && opener.is_empty() && !is_header && !value.is_empty() {
        return None;
    }
    if is_header && is_bearer(value) {
        return None;
    }
    let list_quotes = if quotes.is_empty() { "\"" } else { quotes };
    match (value.chars().next()?, quotes) {
        _ if !opener.is_empty() => return quoted(value, opener, start),
        ('[', _) => return group(value, start, list_quotes, '[', ']'),
        ('{', quotes) if !quotes.is_empty() => return None,
        ('|' | '>' | '&' | '!', _) if marks_block(line, &found) => return None,
        _ => {}
    }
    let length = match quotes.is_empty() {
        false => until(value, &[',', '}', ']', '\n']),
        true => bare(line, found.start + stem.len(), value, sign, is_header),
    };
    let text = value.get(..length)?.trim_end();
    if !is_secret(text) {
        return None;
    }
    let secret = Secret::plain(start, text.len())?;
    Some(Secret {
        quotes: bounded(quotes),
        ..secret
    })
}

/// Whether the value of a name that begins a line is the mark of a block. Only there, or each name
/// in a long line would have all that is behind it looked at.
fn marks_block(line: &str, found: &Range<usize>) -> bool {
    let value = line.get(found.end..).unwrap_or("");
    begins_line(line, found.start) && is_mark_of_block(value.lines().next().unwrap_or(""))
}

/// Bytes of a value without quotes, of a name without quotes that ends at `name_end`: all of the
/// line where the name is the line's, else up to the quote that the name stands in, else a word.
fn bare(line: &str, name_end: usize, value: &str, sign: &str, is_header: bool) -> usize {
    let before = line.get(..name_end).unwrap_or("");
    let stem = before.trim_end_matches(is_of_name);
    let name = before.get(stem.len()..).unwrap_or("");
    let is_entry = match sign.len() > 1 || sign.starts_with(':') {
        true => begins_line(line, name_end),
        false => is_alone(stem) && (is_variable(name) || name.starts_with('-')),
    };
    if is_entry {
        return until(value, &['\n', '\r', '\0']);
    }
    if stem.ends_with(['"', '\'']) {
        let slashes = stem.trim_end_matches(['"', '\'']).len();
        let outer = stem.get(..slashes).unwrap_or("");
        let opener = stem.get(outer.trim_end_matches('\\').len()..).unwrap_or("");
        if let Some(length) = closing(value, bounded(opener)) {
            return length;
        }
    }
    match is_header {
        true => header(value),
        false => wrapped(value).unwrap_or_else(|| word(value)),
    }
}

/// Whether a rule of its own finds the token in the value of a header.
fn is_bearer(value: &str) -> bool {
    let token = value.strip_prefix("Bearer ").map(str::trim_start);
    let is_quoted = |token: &str| (1..token.len()).contains(&opening(token).len());
    token.is_some_and(|token| word(token) > 0 || is_quoted(token))
}

/// Bytes of the value of a header that is not the line's own: up to the quote that it stands in.
/// Those behind `=` are of a parameter, and closed within it.
fn header(value: &str) -> usize {
    let mut at = 0;
    while let Some(rest) = value.get(at..) {
        let end = at + until(rest, &['\n', '\r', '\0', '"', '\'']);
        let before = value.get(..end).unwrap_or("").trim_end_matches('\\');
        let opener = opening(value.get(before.len()..).unwrap_or(""));
        let name = before.strip_suffix('=').unwrap_or("");
        if opener.is_empty() || !name.ends_with(is_of_name) {
            return end;
        }
        let inner = value.get(end + 1..).unwrap_or("");
        let closed = closing(inner, opener).map(|length| length + opener.len());
        at = end + 1 + closed.unwrap_or(inner.len());
    }
    value.len()
}

/// Bytes of a text in quotes with what it is wrapped in, as programs print their values:
/// `Secret("…"`, `b'…'`. `None` for anything else.
fn wrapped(value: &str) -> Option<usize> {
    let ends = |(_, c): &(usize, char)| c.is_whitespace() || matches!(c, '"' | '\'' | '\0');
    let (end, _) = value.char_indices().take(LONGEST_WRAPPER).find(ends)?;
    let wrapper = value.get(..end)?.trim_end_matches('\\');
    if !wrapper.ends_with('(') && !matches!(wrapper, "b" | "r" | "u" | "br" | "rb") {
        return None;
    }
    let text = value.get(wrapper.len()..)?;
    let opener = Some(opening(text)).filter(|opener| !opener.is_empty())?;
    let inner = text.get(opener.len()..)?;
    let closed = closing(inner, opener).map(|length| length + opener.len());
    Some(wrapper.len() + opener.len() + closed.unwrap_or(inner.len()))
}

/// Whether a name is written as those of environment variables are.
fn is_variable(name: &str) -> bool {
    let of_variable = |c: char| c.is_ascii_uppercase() || c.is_ascii_digit() || c == '_';
    !name.is_empty() && name.chars().all(of_variable)
}

/// The value of a flag; one that is an item of a list ends with the item.
pub(super) fn argument(value: &str, start: usize, is_item: bool) -> Option<Secret<'_>> {
    match opening(value) {
        _ if is_item => Secret::plain(start, until(value, &['\0'])),
        "" => Secret::plain(start, word(value)),
        quote => quoted(value, quote, start),
    }
}

/// A quote, unless it is so long that it would make a line much longer.
fn bounded(quotes: &str) -> &str {
    match quotes.len() <= LONGEST_QUOTE {
        true => quotes,
        false => "",
    }
}

/// Whether a name says something about a secret rather than what it is.
pub(super) fn is_about(name: &str) -> bool {
    ABOUT.iter().any(|end| {
        let tail = name.len().checked_sub(end.len());
        let tail = tail.and_then(|at| name.get(at..));
        tail.is_some_and(|tail| tail.eq_ignore_ascii_case(end))
    })
}

/// Whether the value of a secret name is one: it says something, and not where the secret is.
pub(super) fn is_secret(value: &str) -> bool {
    let text = value.trim();
    !text.is_empty() && !NO_SECRETS.contains(&text) && !is_reference(text)
}

/// Whether the value only says where the secret is: `ENC[…]`.
fn is_reference(value: &str) -> bool {
    value.starts_with("ENC[") && value.find(']') == value.len().checked_sub(1)
}

/// Whether nothing but blanks and the mark of a list is before the name that holds this place.
pub(super) fn begins_line(line: &str, at: usize) -> bool {
    let of_name = |c: char| is_of_name(c) || matches!(c, '"' | '\'' | '\\');
    let before = line.get(..at).unwrap_or("").trim_end_matches(of_name);
    is_alone(before)
}

/// Whether nothing but blanks and the mark of a list is before the end of this text in its line.
fn is_alone(before: &str) -> bool {
    let before = before.trim_end_matches([' ', '\t', '-']);
    before.is_empty() || before.ends_with(['\n', '\0'])
}

fn is_of_name(c: char) -> bool {
    c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.')
}

/// The quote that a value begins with, and the backslashes before it; empty for none.
pub(super) fn opening(value: &str) -> &str {
    let slashes = value.len() - value.trim_start_matches('\\').len();
    let end = match value.get(slashes..).and_then(|rest| rest.chars().next()) {
        Some('"' | '\'') => slashes + 1,
        _ => 0,
    };
    value.get(..end).unwrap_or("")
}

/// A value in quotes. What lacks the closing one was cut, and goes to the end.
fn quoted<'a>(value: &'a str, opener: &str, start: usize) -> Option<Secret<'a>> {
    let inner = value.get(opener.len()..)?;
    let length = closing(inner, opener).unwrap_or(inner.len());
    if inner.get(..length).is_some_and(is_reference) {
        return None;
    }
    Secret::plain(start + opener.len(), length)
}

/// Where in `text` the quote is closed that `opener` has opened. More backslashes than the opener
/// has make the quote part of the text, and so does doubling a single quote.
pub(super) fn closing(text: &str, opener: &str) -> Option<usize> {
    let quote = opener.chars().next_back()?;
    let outer = opener.len() - quote.len_utf8();
    let mut slashes = 0;
    let mut characters = text.char_indices().peekable();
    while let Some((at, character)) = characters.next() {
        if character == '\\' {
            slashes += 1;
            continue;
        }
        let is_end = slashes <= outer || outer == 0 && slashes % 2 == 0;
        if character == quote && is_end {
            let is_doubled =
                quote == '\'' && outer == 0 && characters.next_if(|next| next.1 == quote).is_some();
            if !is_doubled {
                return Some(at - slashes.min(outer));
            }
        }
        slashes = 0;
    }
    None
}

/// What stands between brackets or braces, as one secret.
fn group<'a>(
    value: &'a str,
    start: usize,
    quotes: &'a str,
    open: char,
    close: char,
) -> Option<Secret<'a>> {
    let end = end_of_group(value, open, close).unwrap_or(value.len());
    let secret = Secret::plain(start + 1, end.checked_sub(1)?)?;
    Some(Secret {
        quotes: bounded(if end < value.len() { quotes } else { "" }),
        ..secret
    })
}

/// Where the bracket or brace is closed that a text begins with.
pub(super) fn end_of_group(value: &str, open: char, close: char) -> Option<usize> {
    let mut depth = 0;
    let mut at = 0;
    while let Some(rest) = value.get(at..).filter(|rest| !rest.is_empty()) {
        let opener = opening(rest);
        if !opener.is_empty() {
            let inner = rest.get(opener.len()..)?;
            let length = closing(inner, opener).unwrap_or(inner.len());
            at = (at + opener.len() + length + opener.len()).min(value.len());
            continue;
        }
        let character = rest.chars().next()?;
        if character == open {
            depth += 1;
        } else if character == close {
            depth -= 1;
        }
        if depth == 0 {
            return Some(at);
        }
        at += character.len_utf8();
    }
    None
}

pub(super) fn until(value: &str, ends: &[char]) -> usize {
    value.find(ends).unwrap_or(value.len())
}

/// Bytes of the word that a text begins with, without what closes something behind it.
pub(super) fn word(value: &str) -> usize {
    let behind = |at: usize| value.get(at + 1..).unwrap_or("");
    let ends = |(at, c): &(usize, char)| match c {
        '&' => is_parameter(behind(*at)),
        '<' => behind(*at).starts_with('/'),
        c => c.is_whitespace() || matches!(c, '"' | '\'' | '`' | '\0'),
    };
    let end = value.char_indices().find(ends);
    let end = end.map_or(value.len(), |(at, _)| at);
    let text = value.get(..end).unwrap_or("");
    let text = match value
        .get(end..)
        .is_some_and(|rest| rest.starts_with(['"', '\'']))
    {
        // These belong to the quote.
        true => text.trim_end_matches('\\'),
        false => text,
    };
    text.trim_end_matches(CLOSING).len()
}

/// Whether a text begins with a name and `=`, as a parameter of a URL does.
fn is_parameter(text: &str) -> bool {
    let of_name = |byte: &u8| is_of_name(char::from(*byte));
    let name = text.bytes().take(LONGEST_PARAMETER);
    let length = name.take_while(of_name).count();
    length > 0 && text.as_bytes().get(length) == Some(&b'=')
}

/// Bytes of the password in what follows `scheme://user:`. It may hold what it ought not to, such
/// as a slash, but a port is none.
fn password_of_url(value: &str) -> Option<usize> {
    let ends = |c: char| c.is_whitespace() || matches!(c, '"' | '<' | '>' | '`' | '\0');
    let mut characters = value.char_indices();
    let end = characters.find(|(at, c)| *at >= LONGEST_AUTHORITY || ends(*c));
    let longest = value.get(..end.map_or(value.len(), |(at, _)| at))?;
    // A single quote may be the one that the URL stands in, or part of the password.
    let url = longest.get(..until(longest, &['\'']))?;
    let authority = url.get(..until(url, &['/', '?', '#']))?;
    if let Some(length) = authority.rfind('@') {
        return Some(length);
    }
    let is_port = authority.bytes().all(|byte| byte.is_ascii_digit());
    let is_cut = authority.len() == url.len();
    let behind = longest
        .get(..until(longest, &['/', '?', '#']))
        .filter(|_| is_cut);
    let length = url.rfind('@').or_else(|| behind?.rfind('@'));
    length.filter(|_| !is_port)
}

/// Bytes of the run of letters that tokens are made of.
fn run(text: &str) -> usize {
    let of_token = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-');
    text.find(|c| !of_token(c)).unwrap_or(text.len())
}

/// Bytes of a token that a service has made, its prefix included.
fn token(text: &str) -> Option<usize> {
    Some(run(text)).filter(|length| *length > SHORTEST_TOKEN)
}

/// Bytes of a JSON Web Token (RFC 7519): objects in base64, which begin with `eyJ`, and a signature.
fn web_token(text: &str) -> Option<usize> {
    let header = text.bytes().take(LONGEST_HEADER);
    let header = header
        .take_while(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-'))
        .count();
    let payload = text.get(header..)?;
    if !payload.starts_with(".eyJ") {
        return None;
    }
    let end = payload.find(|c: char| !(c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.')));
    Some(header + end.unwrap_or(payload.len()))
}

/// Bytes of base64 at the start of a text, on as many lines as it was wrapped over. Between the
/// lines are newlines, or what stands for one in JSON.
fn armor(text: &str) -> usize {
    let mut end = 0;
    while let Some(rest) = text.get(end..) {
        let line = base64(rest);
        end += line;
        if line < WRAPPED {
            break;
        }
        let rest = rest.get(line..).unwrap_or("");
        let below = rest.trim_start_matches("\\n").trim_start_matches("\\r\\n");
        let below = below.trim_start_matches(['\r', '\n', ' ', '\t']);
        // A line with something else in it is none of the block's.
        let next = base64(below);
        let behind = below.get(next..).unwrap_or("");
        let is_alone = behind.is_empty() || behind.starts_with(['\n', '\r', '\\', '"', '\'']);
        if below.len() == rest.len() || next == 0 || !is_alone {
            break;
        }
        end = text.len() - below.len();
    }
    end
}

/// Bytes of base64, of either alphabet, at the start of a text.
pub(super) fn base64(text: &str) -> usize {
    let of_base64 = |c: char| c.is_ascii_alphanumeric() || matches!(c, '+' | '/' | '_' | '-' | '=');
    text.find(|c| !of_base64(c)).unwrap_or(text.len())
}

/// Whether a line ends within base64 that goes on below.
pub(super) fn is_wrapped(line: &str) -> bool {
    let line = line.trim();
    line.len() >= WRAPPED && base64(line) == line.len()
}
