//! The values of a tree, found again in the text that it was parsed from, and changed there.
//!
//! Neither parser says where a value stands. But the tree has them in the order of the text, so
//! each is looked for behind the one before: what can stand between two is skipped, and what comes
//! then must look like the value. Where it does not, nothing is returned. Comments are lines of
//! text, and masked as such.

use super::super::{Scrubber, Stream};
use super::quoted;
use super::tree::{Leaf, Node};

/// Characters of the longest word for nothing: `null`.
const LONGEST_NULL: usize = 4;

/// A text that is gone through.
pub(super) struct Layout<'a> {
    scrubber: &'a Scrubber,
    text: &'a str,
    /// How far.
    at: usize,
    /// The new text for what is before that.
    out: String,
    comments: Stream<'a>,
    /// Comments that were changed.
    changed: u64,
}

impl<'a> Layout<'a> {
    pub(super) fn of(scrubber: &'a Scrubber, text: &'a str) -> Layout<'a> {
        Layout {
            scrubber,
            text,
            at: 0,
            out: String::with_capacity(text.len()),
            comments: Stream::new(scrubber),
            changed: 0,
        }
    }

    /// The text with the values of these documents as they are to be shown, and the number of
    /// comments that were changed. `None` when a value is not found.
    pub(super) fn edit(mut self, documents: &[Node]) -> Option<(String, u64)> {
        self.skip_if(|c| c == '\u{feff}');
        for document in documents {
            self.node(document)?;
        }
        self.skip()?;
        (self.at == self.text.len()).then_some((self.out, self.changed))
    }

    fn node(&mut self, node: &Node) -> Option<()> {
        self.skip()?;
        // What an alias stands for is where it was defined.
        if self.rest().starts_with('*') {
            self.keep(token(self.rest()));
            return Some(());
        }
        match node {
            Node::Null => {
                // No more is looked at than a longer word needs to be told by.
                let rest = self.rest();
                let end = rest.char_indices().nth(LONGEST_NULL + 2);
                let near = rest.get(..end.map_or(rest.len(), |(at, _)| at))?;
                let length = token(near);
                let word = near.get(..length)?;
                if matches!(word, "~" | "null" | "Null" | "NULL") {
                    self.keep(length);
                }
                Some(())
            }
            Node::Leaf(leaf) => self.leaf(leaf),
            Node::List(items) => items.iter().try_for_each(|item| self.node(item)),
            Node::Map(entries) => entries.iter().try_for_each(|(name, value)| {
                self.node(name)?;
                self.node(value)
            }),
        }
    }

    fn rest(&self) -> &'a str {
        self.text.get(self.at..).unwrap_or("")
    }

    /// Takes so many bytes over as they are.
    fn keep(&mut self, length: usize) {
        self.out
            .push_str(self.rest().get(..length).unwrap_or_default());
        self.at += length;
    }

    fn skip_if(&mut self, skipped: impl Fn(char) -> bool) {
        let rest = self.rest();
        let behind = rest.trim_start_matches(skipped);
        self.keep(rest.len() - behind.len());
    }

    /// Takes over what stands between two values.
    fn skip(&mut self) -> Option<()> {
        loop {
            self.skip_if(|c| matches!(c, ' ' | '\t' | '\n' | '\r'));
            let rest = self.rest();
            let begins_line = self.at == 0 || self.text.get(..self.at)?.ends_with('\n');
            let is_alone = |length: usize| {
                let behind = rest.get(length..).unwrap_or("");
                behind.is_empty() || behind.starts_with([' ', '\t', '\n', '\r'])
            };
            match rest.chars().next() {
                Some('#') => self.comment(),
                Some('%') if begins_line => self.keep(line(rest)),
                Some('-' | '.') if begins_line && is_marker(rest) && is_alone(3) => self.keep(3),
                Some('-' | '?') if is_alone(1) => self.keep(1),
                Some(':') if is_alone(1) || self.is_behind_value() || is_flow(rest.get(1..)?) => {
                    self.keep(1);
                }
                Some(',' | '[' | ']' | '{' | '}') => self.keep(1),
                Some('&' | '!') => self.keep(token(rest)),
                _ => return Some(()),
            }
        }
    }

    /// Whether a quote or a bracket was closed right before, which a colon may follow at once.
    fn is_behind_value(&self) -> bool {
        let before = self.text.get(..self.at).unwrap_or("");
        before.ends_with(['"', '\'', ']', '}'])
    }

    fn comment(&mut self) {
        let rest = self.rest();
        let length = line(rest);
        let content = rest.get(1..length).unwrap_or("");
        self.out.push('#');
        let shown = self.comments.line(content).unwrap_or_default();
        self.changed += u64::from(shown != content);
        self.out.push_str(&shown);
        self.at += length;
    }

    /// Takes over a value, or writes what is shown instead.
    fn leaf(&mut self, leaf: &Leaf) -> Option<()> {
        // What begins in a comment does not go on behind a value.
        self.comments = Stream::new(self.scrubber);
        let rest = self.rest();
        let (length, indent) = match rest.chars().next() {
            Some('"') => (in_double_quotes(rest)?, None),
            Some('\'') => (in_single_quotes(rest)?, None),
            Some('|' | '>') => {
                let (length, indent) = block(rest, &leaf.text);
                (length, rest.starts_with('|').then_some(indent))
            }
            _ if leaf.is_text => (plain(rest, &leaf.text)?, None),
            _ => (token(rest), None),
        };
        match (&leaf.masked, indent) {
            (None, _) => {
                self.keep(length);
                return Some(());
            }
            (Some(shown), Some(indent)) if shown.contains('\n') => {
                self.out.push_str(rest.get(..line(rest))?);
                for line in shown.trim_end_matches('\n').split('\n') {
                    self.out.push('\n');
                    self.out.extend(std::iter::repeat_n(' ', indent));
                    self.out.push_str(line);
                }
            }
            (Some(shown), _) => self.out.push_str(&quoted(shown)),
        }
        self.at += length;
        Some(())
    }
}

/// Bytes up to the end of the line.
fn line(text: &str) -> usize {
    text.find(['\n', '\r']).unwrap_or(text.len())
}

fn is_marker(text: &str) -> bool {
    text.starts_with("---") || text.starts_with("...")
}

fn is_flow(text: &str) -> bool {
    text.starts_with([',', '[', ']', '{', '}', '"'])
}

/// Bytes of a value without blanks, or of a tag or the name of an anchor.
fn token(text: &str) -> usize {
    let mut letters = text.char_indices().peekable();
    while let Some((at, letter)) = letters.next() {
        let next = letters.peek().map_or(' ', |(_, next)| *next);
        let ends = match letter {
            ' ' | '\t' | '\n' | '\r' | ',' | '[' | ']' | '{' | '}' => true,
            ':' => matches!(next, ' ' | '\t' | '\n' | '\r' | ',' | ']' | '}'),
            _ => false,
        };
        if ends {
            return at;
        }
    }
    text.len()
}

fn in_double_quotes(text: &str) -> Option<usize> {
    let mut is_escaped = false;
    let end = |(at, byte): (usize, u8)| {
        let is_end = at > 0 && byte == b'"' && !is_escaped;
        is_escaped = byte == b'\\' && !is_escaped;
        is_end.then_some(at + 1)
    };
    text.bytes().enumerate().find_map(end)
}

fn in_single_quotes(text: &str) -> Option<usize> {
    let mut at = 1;
    loop {
        at += text.get(at..)?.find('\'')? + 1;
        match text.get(at..)?.starts_with('\'') {
            true => at += 1,
            false => return Some(at),
        }
    }
}

/// Bytes of a plain text, which may go over several lines: blanks do not count.
fn plain(text: &str, value: &str) -> Option<usize> {
    let mut expected = value.chars().filter(|letter| !letter.is_whitespace());
    let mut end = 0;
    let mut next = expected.next();
    for (at, letter) in text.char_indices() {
        let Some(wanted) = next else {
            break;
        };
        if letter == wanted {
            end = at + letter.len_utf8();
            next = expected.next();
        } else if !letter.is_whitespace() {
            return None;
        }
    }
    next.is_none().then_some(end)
}

/// Bytes of a block with its header, up to its last line with text, and how far it is indented.
fn block(text: &str, value: &str) -> (usize, usize) {
    let blanks = |line: &str| line.len() - line.trim_start_matches(' ').len();
    let is_blank = |line: &&str| line.trim().is_empty();
    let mut end = line(text);
    let first = text.lines().skip(1).find(|line| !is_blank(line));
    let first_of_value = value.lines().find(|line| !is_blank(line));
    let (Some(first), Some(first_of_value)) = (first, first_of_value) else {
        return (end, 0);
    };
    let indent = blanks(first).saturating_sub(blanks(first_of_value));
    let mut at = 0;
    for (place, line) in text.split_inclusive('\n').enumerate() {
        let content = line.trim_end_matches(['\n', '\r']);
        if place > 0 && !is_blank(&content) {
            if blanks(content) < indent {
                break;
            }
            end = at + content.len();
        }
        at += line.len();
    }
    (end, indent)
}
