//! Texts that are known to be secret, in the forms in which they are written.
//!
//! Secrets of the configuration enter; where one of their forms stands in a line, its range leaves
//! with what may be shown of it: as it is, as JSON escapes it, percent-encoded (RFC 3986), and in
//! base64 (RFC 4648), also as a part of what was encoded.

use std::cmp::Reverse;
use std::ops::Range;

use super::extent::base64;
use super::rules::Show;

/// Characters of the shortest text that is hidden wherever it stands; shorter ones are in words.
const SHORTEST: usize = 6;
/// Bytes of the shortest text that is looked for in base64: less is too little there.
const SHORTEST_ENCODED: usize = 8;
/// Characters of the shortest line of a secret over several lines that is hidden by itself.
const SHORTEST_LINE: usize = 16;
/// Forms that are hidden wherever they stand, at most: each is looked for in every line.
const MOST_FORMS: usize = 1_024;

/// A form of a secret.
#[derive(Clone)]
struct Form {
    text: String,
    show: Show,
    /// Whether it is part of base64, all of which is hidden then.
    is_encoded: bool,
}

/// The forms of all known secrets. It cannot be printed.
#[derive(Clone, Default)]
pub(super) struct Known {
    forms: Vec<Form>,
    /// Whether there were more than are looked for.
    pub(super) is_cut: bool,
}

impl Known {
    /// Adds the forms of a secret that [`Known::add_plain`] does not.
    pub(super) fn add_derived(&mut self, secret: &str) {
        for line in secret.lines().map(str::trim) {
            if line.len() >= SHORTEST_LINE && line.len() < secret.len() && !line.starts_with("---")
            {
                self.put(line.to_owned(), Show::Nothing, false);
            }
        }
        if secret.chars().count() < SHORTEST {
            return;
        }
        for letters in ["0123456789ABCDEF", "0123456789abcdef"] {
            self.put(percent_encoded(secret, letters), Show::Nothing, false);
        }
        if secret.len() < SHORTEST_ENCODED {
            return;
        }
        for offset in 0..3 {
            let text = within_base64(secret.as_bytes(), offset);
            let url_safe = text.replace('+', "-").replace('/', "_");
            self.put(text, Show::Nothing, true);
            self.put(url_safe, Show::Nothing, true);
        }
    }

    /// Adds a secret as it is and as JSON escapes it.
    pub(super) fn add_plain(&mut self, secret: &str, show: Show) {
        let escaped = serde_json::to_string(secret).unwrap_or_default();
        for text in [secret, escaped.trim_matches('"')] {
            self.put(text.to_owned(), show, false);
        }
    }

    fn put(&mut self, text: String, show: Show, is_encoded: bool) {
        let is_new = !self.forms.iter().any(|known| known.text == text);
        // Asterisks are in every mask.
        let is_stars = text.bytes().all(|byte| byte == b'*');
        let is_long = text.chars().count() >= SHORTEST && !is_stars;
        if !is_new || !is_long {
            return;
        }
        self.is_cut |= self.forms.len() >= MOST_FORMS;
        if self.forms.len() < MOST_FORMS {
            self.forms.push(Form {
                text,
                show,
                is_encoded,
            });
        }
    }

    /// Where known secrets stand in a line, in order; where several overlap, all of them as one.
    pub(super) fn find(&self, line: &str) -> Vec<(Range<usize>, Show)> {
        let mut found: Vec<(Range<usize>, Show)> = Vec::new();
        for form in &self.forms {
            let mut behind = 0;
            for (at, text) in line.match_indices(form.text.as_str()) {
                let mut range = at..at + text.len();
                if form.is_encoded {
                    if at < behind {
                        continue;
                    }
                    range = word_of_base64(line, range);
                    behind = range.end;
                }
                found.push((range, form.show));
            }
        }
        found.sort_by_key(|(range, _)| (range.start, Reverse(range.end)));
        let mut merged: Vec<(Range<usize>, Show)> = Vec::new();
        for (range, show) in found {
            match merged.last_mut() {
                Some((last, _)) if range.end <= last.end => {}
                Some((last, shown)) if range.start < last.end => {
                    last.end = range.end;
                    *shown = Show::Nothing;
                }
                _ => merged.push((range, show)),
            }
        }
        merged
    }
}

/// All of the base64 that a range is in.
fn word_of_base64(line: &str, range: Range<usize>) -> Range<usize> {
    let of_base64 = |c: char| base64(c.encode_utf8(&mut [0; 4])) > 0 && c != '=';
    let before = line.get(..range.start).unwrap_or("");
    let start = before.trim_end_matches(of_base64).len();
    let end = range.end + base64(line.get(range.end..).unwrap_or(""));
    start..end
}

/// What is not left as it is in a URL becomes `%` and two digits.
fn percent_encoded(text: &str, digits: &str) -> String {
    let digit = |value: u8| digits.chars().nth(usize::from(value)).unwrap_or('0');
    let mut out = String::new();
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            out.push(char::from(byte));
        } else {
            out.extend(['%', digit(byte >> 4), digit(byte & 15)]);
        }
    }
    out
}

/// The characters of base64 that these bytes alone decide, where so many bytes (modulo three) are
/// encoded in front of them.
fn within_base64(bytes: &[u8], offset: usize) -> String {
    const LETTERS: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let first = (8 * offset).div_ceil(6);
    let behind = 8 * (offset + bytes.len()) / 6;
    let byte = |at: usize| {
        let byte = at.checked_sub(offset).and_then(|at| bytes.get(at));
        u16::from(byte.copied().unwrap_or(0))
    };
    let letter = |place: usize| {
        let bit = 6 * place;
        let both = byte(bit / 8) << 8 | byte(bit / 8 + 1);
        let six = usize::from(both >> (10 - bit % 8) & 63);
        LETTERS.get(six).copied().map_or('A', char::from)
    };
    (first..behind).map(letter).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn base64_is_found_wherever_the_secret_begins_in_it() {
        // printf %s ann:hunter2hunter | base64, and with one and two letters less in front.
        for (encoded, offset) in [
            ("aHVudGVyMmh1bnRlcg==", 0),
            ("bm46aHVudGVyMmh1bnRlcg==", 0),
            ("bjpodW50ZXIyaHVudGVy", 2),
            ("YW5uOmh1bnRlcjJodW50ZXI=", 1),
        ] {
            let text = within_base64(b"hunter2hunter", offset);
            assert!(encoded.contains(&text), "{text} in {encoded}");
        }
    }

    #[test]
    fn percent_signs_stand_for_what_urls_do_not_have() {
        assert_eq!(percent_encoded("a/ß~", "0123456789ABCDEF"), "a%2F%C3%9F~");
    }
}
