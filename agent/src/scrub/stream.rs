//! Secrets over several lines: PEM blocks, and values on the lines below their name.
//!
//! Lines enter in their order; each leaves masked, or not at all when it is part of a secret that
//! began before. Each kind of secret over several lines has an end, so that one stray line cannot
//! hide a whole file.

use std::borrow::Cow;

use super::extent::end_of_block;
use super::Scrubber;

/// Lines of a PEM block at most. The longest keys have some two hundred.
const LONGEST_BLOCK: usize = 1_000;

/// What goes on over the lines.
#[derive(Clone, Copy, Debug)]
enum Hidden {
    /// A block that began this many lines ago.
    Block(usize),
    /// The value of a name that this many blanks are before: everything further in, and the items
    /// of a list as far in.
    Value(usize),
}

/// Masks the lines of one text, in their order.
#[derive(Debug)]
pub struct Stream<'a> {
    scrubber: &'a Scrubber,
    hidden: Option<Hidden>,
}

impl<'a> Stream<'a> {
    /// Begins a text.
    pub fn new(scrubber: &'a Scrubber) -> Stream<'a> {
        Stream {
            scrubber,
            hidden: None,
        }
    }

    /// The next line with its secrets masked; `None` when all of it is part of one.
    pub fn line<'l>(&mut self, line: &'l str) -> Option<Cow<'l, str>> {
        match self.hidden {
            Some(Hidden::Block(lines)) => match end_of_block(line) {
                Some(end) => {
                    self.hidden = None;
                    let rest = line.get(end..)?;
                    (!rest.trim().is_empty()).then(|| self.first(rest))
                }
                None => {
                    let lines = lines + 1;
                    self.hidden = (lines < LONGEST_BLOCK).then_some(Hidden::Block(lines));
                    None
                }
            },
            Some(Hidden::Value(blanks)) if is_below(line, blanks) => None,
            _ => Some(self.first(line)),
        }
    }

    /// A line that nothing from before goes on in.
    fn first<'l>(&mut self, line: &'l str) -> Cow<'l, str> {
        self.hidden = match (opens_block(line), self.scrubber.awaits_value(line)) {
            (_, true) => Some(Hidden::Value(blanks(line))),
            (true, false) => Some(Hidden::Block(0)),
            (false, false) => None,
        };
        self.scrubber.line(line)
    }
}

/// Whether a block begins in the line and does not end there.
fn opens_block(line: &str) -> bool {
    let Some((_, label)) = line.rsplit_once("-----BEGIN ") else {
        return false;
    };
    label.contains("-----") && end_of_block(label).is_none()
}

fn blanks(line: &str) -> usize {
    line.len() - line.trim_start().len()
}

/// Whether the line belongs to a value whose name has this many blanks before it.
fn is_below(line: &str, name: usize) -> bool {
    let text = line.trim_start();
    let own = line.len() - text.len();
    text.is_empty() || own > name || own == name && text.starts_with("- ")
}
