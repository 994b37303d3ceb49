//! Secrets over several lines: PEM blocks, as they are or in base64, and values on the lines below
//! their name.
//!
//! Lines enter in their order; each leaves masked, or not at all when it is part of a secret that
//! began before. Each kind of secret over several lines has an end, so that one stray line cannot
//! hide a whole file.

use std::borrow::Cow;

use super::extent::{end_of_block, is_wrapped};
use super::{Scrubber, MASK};

/// Lines of a PEM block at most. The longest keys have some two hundred.
const LONGEST_BLOCK: usize = 1_000;

/// Lines of a block that look like none of one, at most.
const MOST_STRANGE: usize = 8;

/// Lines of a value below its name, at most.
const LONGEST_VALUE: usize = 1_000;

/// Characters of base64 in a line of a block that has something else in it, such as a time.
const LONG_RUN: usize = 32;

/// What lines of a block begin with that are no base64 (RFC 1421, RFC 4880).
const HEADERS: &[&str] = &["Proc-Type:", "DEK-Info:", "Version:", "Comment:", "Hash:"];

/// Bytes of what a block says it holds.
const LONGEST_LABEL: usize = 48;

/// What a PEM block in base64 begins with.
const ARMOR: &str = "LS0tLS1CRUdJTi";

/// What goes on over the lines.
#[derive(Clone, Copy, Debug)]
enum Hidden {
    /// A block that began this many lines ago, and the number of those that look like none of it.
    Block { lines: usize, strange: usize },
    /// Base64 that began this many lines ago.
    Armor(usize),
    /// The value of a name that this many blanks are before: everything further in, and the items
    /// of a list as far in. A mask stands for all of it once that was `said`.
    Value {
        blanks: usize,
        said: bool,
        lines: usize,
    },
}

/// Masks the lines of one text, in their order.
#[derive(Debug)]
pub struct Stream<'a> {
    scrubber: &'a Scrubber,
    hidden: Option<Hidden>,
    /// What goes on after that, because the line as it was shown begins it.
    later: Option<Hidden>,
    replaced: u64,
}

impl<'a> Stream<'a> {
    /// Begins a text.
    pub fn new(scrubber: &'a Scrubber) -> Stream<'a> {
        Stream {
            scrubber,
            hidden: None,
            later: None,
            replaced: 0,
        }
    }

    /// Replacements so far; a line that was left out is one, too.
    pub fn replaced(&self) -> u64 {
        self.replaced
    }

    /// The next line with its secrets masked; `None` when all of it is part of one.
    pub fn line<'l>(&mut self, line: &'l str) -> Option<Cow<'l, str>> {
        let shown = self.next(line);
        self.replaced += u64::from(shown.is_none());
        shown
    }

    fn next<'l>(&mut self, mut line: &'l str) -> Option<Cow<'l, str>> {
        while let Some(hidden) = self.hidden.take() {
            match hidden {
                Hidden::Block { lines, strange } => {
                    if let Some(end) = end_of_block(line) {
                        self.hidden = self.later.take();
                        line = line.get(end..).filter(|rest| !rest.trim().is_empty())?;
                        self.replaced += 1;
                        continue;
                    }
                    let (lines, strange) = (lines + 1, strange + usize::from(!is_of_block(line)));
                    if strange <= MOST_STRANGE {
                        self.go_on(lines < LONGEST_BLOCK, Hidden::Block { lines, strange });
                        return None;
                    }
                }
                Hidden::Armor(lines) if is_base64(line) => {
                    let goes_on = is_wrapped(line) && lines < LONGEST_BLOCK;
                    self.go_on(goes_on, Hidden::Armor(lines + 1));
                    return None;
                }
                Hidden::Value {
                    blanks,
                    said,
                    lines,
                } if is_below(line, blanks) => return self.value(line, blanks, said, lines),
                Hidden::Armor(_) | Hidden::Value { .. } => {}
            }
            self.hidden = self.later.take();
        }
        Some(self.first(line))
    }

    /// A line of a value. A mask that is as far in as the name ends one that is too long.
    fn value<'l>(
        &mut self,
        line: &'l str,
        blanks: usize,
        said: bool,
        lines: usize,
    ) -> Option<Cow<'l, str>> {
        if lines >= LONGEST_VALUE {
            self.hidden = self.later.take();
            self.replaced += 1;
            let before = line.get(..blanks).unwrap_or("");
            return Some(Cow::Owned(format!("{before}{MASK}")));
        }
        let said_now = said || !line.trim().is_empty();
        self.hidden = Some(Hidden::Value {
            blanks,
            said: said_now,
            lines: lines + 1,
        });
        (said_now && !said).then(|| self.told(line))
    }

    /// Sets what goes on below: this, or else what was to come later.
    fn go_on(&mut self, goes_on: bool, hidden: Hidden) {
        self.hidden = match goes_on {
            true => Some(hidden),
            false => self.later.take(),
        };
    }

    /// A mask where the line begins.
    fn told<'l>(&mut self, line: &'l str) -> Cow<'l, str> {
        let text = line.trim_start();
        let mark = if text.starts_with("- ") { "- " } else { "" };
        let before = line.get(..line.len() - text.len()).unwrap_or("");
        let told = format!("{before}{mark}{MASK}");
        self.replaced += u64::from(told != line);
        Cow::Owned(told)
    }

    /// A line that nothing from before goes on in.
    fn first<'l>(&mut self, line: &'l str) -> Cow<'l, str> {
        let (shown, replaced) = self.scrubber.masked(line);
        let began = self.begins(line);
        let later = (replaced > 0).then(|| self.begins(&shown)).flatten();
        (self.hidden, self.later) = match began {
            Some(_) => (began, later),
            None => (later, None),
        };
        self.replaced += replaced;
        shown
    }

    /// What begins in a line and goes on below.
    fn begins(&self, line: &str) -> Option<Hidden> {
        if self.scrubber.awaits_value(line) {
            Some(Hidden::Value {
                blanks: blanks(line),
                said: false,
                lines: 0,
            })
        } else if opens_block(line) {
            Some(Hidden::Block {
                lines: 0,
                strange: 0,
            })
        } else if opens_armor(line) {
            Some(Hidden::Armor(0))
        } else {
            None
        }
    }
}

/// Whether a block begins in the line, as the rule of blocks has it, and does not end there.
fn opens_block(line: &str) -> bool {
    let behind = line.rsplit_once("-----BEGIN ").map(|(_, behind)| behind);
    let Some((label, behind)) = behind.and_then(|behind| behind.split_once("-----")) else {
        return false;
    };
    let is_label = label.chars().all(|c| c.is_ascii_alphanumeric() || c == ' ');
    is_label && (1..=LONGEST_LABEL).contains(&label.len()) && end_of_block(behind).is_none()
}

/// Whether a block in base64 begins in the line and reaches its end.
fn opens_armor(line: &str) -> bool {
    let start = line.rfind(ARMOR);
    start.is_some_and(|start| line.get(start..).is_some_and(is_wrapped))
}

/// Whether a line looks like one of a block.
fn is_of_block(line: &str) -> bool {
    let text = line.trim();
    let mut runs = text.split(|c: char| !(c.is_ascii_alphanumeric() || "+/_-=".contains(c)));
    text.is_empty()
        || is_base64(text)
        || HEADERS.iter().any(|header| text.starts_with(header))
        || runs.any(|run| run.len() >= LONG_RUN)
}

/// Whether there is nothing but base64 in the line.
fn is_base64(line: &str) -> bool {
    let line = line.trim();
    !line.is_empty() && super::extent::base64(line) == line.len()
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
