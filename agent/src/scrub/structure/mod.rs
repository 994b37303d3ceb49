//! Secrets in YAML and JSON, found by their structure.
//!
//! A text enters; the same text leaves with its secrets masked where they stand, comments and
//! layout kept, and the number of replacements. `tree` parses, `mark` decides what is a secret,
//! `text` finds each value again in what the author wrote. The result is parsed once more and must
//! be what was meant; otherwise the masked tree itself is written, as JSON, which is YAML, too. A
//! text that cannot be parsed is left to the rules of lines.

mod mark;
mod text;
mod tree;

use std::borrow::Cow;

use super::{Kind, Scrubber, Stream};
use mark::Marks;
use text::Layout;
use tree::{Leaf, Node};

/// Columns that the written tree is indented by at most, so that its size is bounded.
const MOST_INDENT: usize = 40;

/// The text without secrets; `None` when it does not parse as what it is said to be.
pub(super) fn scrub(scrubber: &Scrubber, kind: Kind, text: &str) -> Option<(String, u64)> {
    match kind {
        Kind::Lines => None,
        Kind::Yaml => of_documents(scrubber, text, tree::yaml),
        Kind::Json => {
            of_documents(scrubber, text, tree::json).or_else(|| lines_of_json(scrubber, text))
        }
    }
}

type Parse = fn(&str) -> Option<Vec<Node>>;

fn of_documents(scrubber: &Scrubber, text: &str, parse: Parse) -> Option<(String, u64)> {
    let mut documents = parse(text).filter(|documents| !documents.is_empty())?;
    let mut marks = Marks::of(scrubber);
    documents.iter_mut().for_each(|node| marks.named(node));
    let mut replaced = marks.replaced;
    let mut with_found = Cow::Borrowed(scrubber);
    for secret in marks.found {
        let shown = scrubber.shown_of_shape(&secret);
        with_found.to_mut().known.add_plain(&secret, shown);
    }
    for node in &mut documents {
        replaced += mark::shaped(&with_found, node);
    }
    let is_meant = |text: &str| {
        let parsed = parse(text);
        parsed.is_some_and(|parsed| tree::is_shown(&documents, &parsed))
    };
    let edited = Layout::of(&with_found, text).edit(&documents);
    let edited = edited.filter(|(edited, _)| {
        let is_untouched = replaced == 0 && *edited == text;
        (is_untouched || is_meant(edited)) && scrubber.mask_known(edited).is_none()
    });
    if let Some((edited, in_comments)) = edited {
        return Some((edited, replaced + in_comments));
    }
    let written = written(&documents);
    let changes = replaced.max(u64::from(written != text));
    is_meant(&written).then_some((written, changes))
}

/// Lines of which some are JSON; the others are plain lines.
fn lines_of_json(scrubber: &Scrubber, text: &str) -> Option<(String, u64)> {
    let mut out = String::new();
    let mut replaced = 0;
    let mut stream = Stream::new(scrubber);
    let mut is_json = false;
    for line in text.split_inclusive('\n') {
        let content = line.trim_end_matches(['\n', '\r']);
        let end = line.get(content.len()..).unwrap_or("");
        let starts = content.trim_start().starts_with(['{', '[']);
        let document = starts.then(|| of_documents(scrubber, content, tree::json));
        if let Some((shown, changes)) = document.flatten() {
            is_json = true;
            replaced += changes;
            out.push_str(&shown);
            out.push_str(end);
        } else if let Some(shown) = stream.line(content) {
            // Without its secrets it may have become what can be parsed.
            let is_changed = starts && shown != content;
            let again = is_changed.then(|| of_documents(scrubber, &shown, tree::json));
            let again = again.flatten();
            is_json |= again.is_some();
            replaced += again.as_ref().map_or(0, |(_, changes)| *changes);
            out.push_str(again.as_ref().map_or(&shown, |(text, _)| text));
            out.push_str(end);
        }
    }
    is_json.then(|| (out, replaced + stream.replaced()))
}

/// The documents with their secrets masked, as JSON.
fn written(documents: &[Node]) -> String {
    let mut out = String::new();
    for (place, document) in documents.iter().enumerate() {
        if place > 0 {
            out.push_str("---\n");
        }
        write(document, 0, &mut out);
        out.push('\n');
    }
    out
}

fn write(node: &Node, depth: usize, out: &mut String) {
    let line = |depth: usize, out: &mut String| {
        out.push('\n');
        out.extend(std::iter::repeat_n(' ', (2 * depth).min(MOST_INDENT)));
    };
    match node {
        Node::Null => out.push_str("null"),
        Node::Leaf(leaf) => out.push_str(&leaf_written(leaf)),
        Node::List(items) if items.is_empty() => out.push_str("[]"),
        Node::Map(entries) if entries.is_empty() => out.push_str("{}"),
        Node::List(items) => {
            for (place, item) in items.iter().enumerate() {
                out.push(if place == 0 { '[' } else { ',' });
                line(depth + 1, out);
                write(item, depth + 1, out);
            }
            line(depth, out);
            out.push(']');
        }
        Node::Map(entries) => {
            for (place, (name, value)) in entries.iter().enumerate() {
                out.push(if place == 0 { '{' } else { ',' });
                line(depth + 1, out);
                if matches!(name, Node::List(_) | Node::Map(_)) {
                    out.push_str("? ");
                }
                write(name, depth + 1, out);
                out.push_str(": ");
                write(value, depth + 1, out);
            }
            line(depth, out);
            out.push('}');
        }
    }
}

fn leaf_written(leaf: &Leaf) -> String {
    match leaf.is_text || leaf.masked.is_some() {
        true => quoted(leaf.shown()),
        false => leaf.text.clone(),
    }
}

/// A text in double quotes, as both JSON and YAML read it.
fn quoted(text: &str) -> String {
    let json = serde_json::to_string(text).unwrap_or_default();
    let is_special = |c: char| {
        c.is_control()
            || matches!(
                c,
                '\u{2028}' | '\u{2029}' | '\u{feff}' | '\u{fffe}' | '\u{ffff}'
            )
    };
    if !json.contains(is_special) {
        return json;
    }
    let mut out = String::with_capacity(json.len());
    for letter in json.chars() {
        match is_special(letter) {
            true => out.push_str(&format!("\\u{:04x}", u32::from(letter))),
            false => out.push(letter),
        }
    }
    out
}
