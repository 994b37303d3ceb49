//! Whether the value of a name goes on in the lines below it.
//!
//! What stands behind a name in its line enters, as YAML or JSON or what was cut from them; whether
//! it is all of the value leaves. `Stream` hides what is below.

use super::extent::{closing, end_of_group, opening, until};

/// Whether the value stands on the lines below: the mark of a block in YAML.
fn is_block_mark(value: &str) -> bool {
    let mark = |c: char| matches!(c, '|' | '>' | '+' | '-') || c.is_ascii_digit();
    value.starts_with(['|', '>']) && value.trim_end().chars().all(mark)
}

/// Whether a value is the mark of a block.
pub(super) fn is_mark_of_block(value: &str) -> bool {
    is_block_mark(bare_of_yaml(value))
}

/// Whether more of a value stands on the lines below, or all of it.
pub(super) fn goes_on_below(value: &str) -> bool {
    let value = bare_of_yaml(value);
    let opener = opening(value);
    match value.chars().next() {
        None => true,
        Some('[') => end_of_group(value, '[', ']').is_none(),
        Some('{') => end_of_group(value, '{', '}').is_none(),
        _ if opener.is_empty() => is_block_mark(value),
        _ => closing(value.get(opener.len()..).unwrap_or(""), opener).is_none(),
    }
}

/// A value without the anchors and tags of YAML before it, and without the comment behind it.
fn bare_of_yaml(value: &str) -> &str {
    let mut value = value.trim();
    while value.starts_with(['&', '!']) {
        let end = until(value, &[' ', '\t']);
        value = value.get(end..).unwrap_or("").trim_start();
    }
    let comment = match value.starts_with('#') {
        true => Some(0),
        false if opening(value).is_empty() => value.find(" #"),
        false => None,
    };
    value
        .get(..comment.unwrap_or(value.len()))
        .unwrap_or("")
        .trim_end()
}
