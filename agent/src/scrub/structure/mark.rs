//! Which values of a tree are secrets, and what is shown of them.
//!
//! A tree enters and is marked in two passes: first what stands below a name of a secret, then what
//! is one by its shape or its neighbours. The texts found by the first are handed out, because the
//! second hides them wherever else they stand. Trees are not deeper than their parsers allow.

use super::super::masked::show;
use super::super::{extent, Scrubber, Show, Stream, API_KEY, MASK};
use super::tree::{Leaf, Node};

/// The name of the section in which every value is a key of an account.
const ENDPOINTS: &str = "additional_endpoints";
/// Bytes of a list of texts that is read as the arguments of a program.
const LONGEST_ARGUMENTS: usize = 64 * 1024;

/// What the first pass has found.
pub(super) struct Marks<'a> {
    scrubber: &'a Scrubber,
    /// The secrets, as they were.
    pub(super) found: Vec<String>,
    /// How many were masked.
    pub(super) replaced: u64,
}

impl<'a> Marks<'a> {
    pub(super) fn of(scrubber: &'a Scrubber) -> Marks<'a> {
        Marks {
            scrubber,
            found: Vec::new(),
            replaced: 0,
        }
    }

    /// Masks what stands below names of secrets.
    pub(super) fn named(&mut self, node: &mut Node) {
        match node {
            Node::Null | Node::Leaf(_) => {}
            Node::List(items) => items.iter_mut().for_each(|item| self.named(item)),
            Node::Map(entries) => {
                for (name, value) in entries {
                    self.name(name);
                    match name {
                        Node::Leaf(leaf) => self.value(leaf, value),
                        _ => self.named(value),
                    }
                }
            }
        }
    }

    /// Masks what is secret in a name itself.
    fn name(&mut self, name: &mut Node) {
        match name {
            Node::Leaf(leaf) => self.replaced += text(self.scrubber, leaf),
            name => self.named(name),
        }
    }

    fn value(&mut self, name: &Leaf, value: &mut Node) {
        let is_section = name.text.rsplit('.').next() == Some(ENDPOINTS);
        let shown = self.scrubber.shown_of_name(&name.text);
        // The name that will be read the next time counts, too.
        let masked = name.masked.as_deref();
        let shown = shown.or_else(|| self.scrubber.shown_of_name(masked?));
        match (value, shown) {
            (Node::Map(entries), None) if is_section => {
                for (name, value) in entries {
                    self.name(name);
                    self.leaves(value, API_KEY);
                }
            }
            (value, Some(shown)) => self.leaves(value, shown),
            (value, None) => self.named(value),
        }
    }

    /// Masks every value below.
    fn leaves(&mut self, node: &mut Node, shown: Show) {
        match node {
            Node::Null => {}
            Node::Leaf(leaf) => self.leaf(leaf, shown),
            Node::List(items) => items.iter_mut().for_each(|item| self.leaves(item, shown)),
            Node::Map(entries) => {
                for (name, value) in entries {
                    self.name(name);
                    self.leaves(value, shown);
                }
            }
        }
    }

    fn leaf(&mut self, leaf: &mut Leaf, shown: Show) {
        let truth = !leaf.is_text && matches!(leaf.text.as_str(), "true" | "false");
        if truth || !extent::is_secret(&leaf.text) {
            return;
        }
        let secret = leaf.text.trim();
        let mut masked = String::new();
        show(shown, secret, &mut masked);
        if masked != leaf.text {
            self.found.push(secret.to_owned());
            self.replaced += 1;
            leaf.masked = Some(masked);
        }
    }
}

/// Masks what is a secret by its shape, and what follows a flag that takes one; returns the number
/// of replacements.
pub(super) fn shaped(scrubber: &Scrubber, node: &mut Node) -> u64 {
    match node {
        Node::Null => 0,
        Node::Leaf(leaf) => text(scrubber, leaf),
        Node::List(items) => {
            let together = arguments(scrubber, items);
            let mut alone = 0;
            for item in items {
                alone += shaped(scrubber, item);
            }
            together + alone
        }
        Node::Map(entries) => {
            let mut replaced = 0;
            for (name, value) in entries {
                // Names were masked by the first pass: what is secret in this text only may be a
                // word that names are made of.
                if !matches!(name, Node::Leaf(_)) {
                    replaced += shaped(scrubber, name);
                }
                replaced += shaped(scrubber, value);
            }
            replaced
        }
    }
}

/// Masks secrets in one text. Numbers are too short to be any by their shape alone.
fn text(scrubber: &Scrubber, leaf: &mut Leaf) -> u64 {
    if !leaf.is_text {
        return 0;
    }
    let (masked, replaced) = of_text(scrubber, leaf.shown());
    if replaced > 0 {
        leaf.masked = Some(masked);
    }
    replaced
}

/// A text of one line or several without its secrets.
fn of_text(scrubber: &Scrubber, text: &str) -> (String, u64) {
    if !text.contains('\n') {
        let (masked, replaced) = scrubber.masked(text);
        return (masked.into_owned(), replaced);
    }
    let known = scrubber.mask_known(text);
    let (text, mut replaced) = match &known {
        Some((text, replaced)) => (text.as_str(), *replaced),
        None => (text, 0),
    };
    let mut stream = Stream::new(scrubber);
    let mut out = String::new();
    for line in text.split_inclusive('\n') {
        let content = line.strip_suffix('\n').unwrap_or(line);
        if let Some(shown) = stream.line(content) {
            out.push_str(&shown);
            out.push_str(line.get(content.len()..).unwrap_or(""));
        }
    }
    replaced += stream.replaced();
    (out, replaced)
}

/// Masks items of a list as if they were the arguments of a program. Those that are none are empty
/// ones, and of a text over several lines only all of it is masked.
fn arguments(scrubber: &Scrubber, items: &mut [Node]) -> u64 {
    let mut line = String::new();
    let mut has_flag = false;
    for (place, item) in items.iter().enumerate() {
        let text = match item {
            Node::Leaf(leaf) => leaf.shown(),
            _ => "",
        };
        if line.len() + text.len() > LONGEST_ARGUMENTS {
            return 0;
        }
        has_flag |= text.starts_with('-');
        if place > 0 {
            line.push('\0');
        }
        line.push_str(&text.replace(['\0', '\n'], " "));
    }
    if !has_flag {
        return 0;
    }
    let (masked, _) = scrubber.masked(&line);
    let parts: Vec<&str> = masked.split('\0').collect();
    if parts.len() != items.len() {
        return 0;
    }
    let mut replaced = 0;
    for (item, part) in items.iter_mut().zip(parts) {
        if let Node::Leaf(leaf) = item {
            let is_word = part == MASK || !leaf.shown().contains(['\0', '\n']);
            if is_word && leaf.shown() != part {
                leaf.masked = Some(part.to_owned());
                replaced += 1;
            }
        }
    }
    replaced
}
