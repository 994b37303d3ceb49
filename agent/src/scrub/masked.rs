//! A text in which secrets are being replaced, and what may be seen of a secret.
//!
//! The text and the ranges of its secrets enter in their order; the new text leaves with the number
//! of places that changed. What is masked already is replaced by itself, and does not count.

use std::ops::Range;

use super::rules::Show;
use super::MASK;

/// Bytes of the shortest secret of which the end is shown.
const SHORTEST_WITH_END: usize = 16;

/// A line in which ranges are being replaced, in their order.
pub(super) struct Masked<'a> {
    line: &'a str,
    out: String,
    done: usize,
    changes: u64,
}

impl<'a> Masked<'a> {
    pub(super) fn of(line: &'a str) -> Masked<'a> {
        Masked {
            line,
            out: String::new(),
            done: 0,
            changes: 0,
        }
    }

    /// Replaces a range by what `show` leaves of it, with `quotes` around. A range that is none in
    /// this line hides the rest.
    pub(super) fn put(&mut self, range: Range<usize>, shown: Show, quotes: &str) {
        let before = self.line.get(self.done..range.start);
        let Some((before, secret)) = before.zip(self.line.get(range.clone())) else {
            self.out.push_str(MASK);
            self.done = self.line.len();
            self.changes += 1;
            return;
        };
        self.out.push_str(before);
        let start = self.out.len();
        self.out.push_str(quotes);
        show(shown, secret, &mut self.out);
        self.out.push_str(quotes);
        self.done = range.end;
        self.changes += u64::from(self.out.get(start..) != Some(secret));
    }

    /// The new line and the number of changes; `None` when there are none.
    pub(super) fn finish(mut self) -> Option<(String, u64)> {
        self.out.push_str(self.line.get(self.done..)?);
        (self.changes > 0).then_some((self.out, self.changes))
    }
}

/// Appends what may be seen of a secret.
pub(super) fn show(shown: Show, secret: &str, out: &mut String) {
    let (stars, kept) = match shown {
        Show::End { stars, kept } if secret.len() >= SHORTEST_WITH_END => (stars, kept),
        Show::EndOfToken if is_token(secret) => (59, 5),
        _ => (0, 0),
    };
    let end = secret
        .len()
        .checked_sub(kept)
        .and_then(|at| secret.get(at..));
    match end.filter(|end| !end.is_empty() && end.chars().all(|c| c.is_ascii_alphanumeric())) {
        Some(end) => {
            out.extend(std::iter::repeat_n('*', stars));
            out.push_str(end);
        }
        None => out.push_str(MASK),
    }
}

/// Whether it is a token of 64 hexadecimal digits, masked already or not.
fn is_token(word: &str) -> bool {
    let is_hex = |text: &str| text.chars().all(|c| c.is_ascii_hexdigit());
    let is_masked = |(hidden, end): (&str, &str)| hidden.chars().all(|c| c == '*') && is_hex(end);
    word.len() == 64 && (is_hex(word) || word.split_at_checked(59).is_some_and(is_masked))
}
