//! Secrets in lines of logs, configuration and reports, and what readers get in their place.
//!
//! Lines enter as they were written; the same lines leave with secrets masked, borrowed where
//! there was nothing to mask. `rules` is the table of what a secret looks like or stands behind,
//! `extent` finds where it ends, [`Stream`] hides what goes over several lines. Arguments of
//! processes in events are another matter (`resolve::scrub`): there every argument stands alone.
//!
//! Masking takes time in proportion to the line, adds no more than a mask for each secret, and
//! does nothing to a line that went through it before.

mod extent;
mod rules;
mod stream;

#[cfg(test)]
mod tests;

use std::borrow::Cow;
use std::fmt;
use std::ops::Range;

use regex_automata::meta::{BuildError, Config, Regex};
use regex_automata::util::syntax;
use regex_automata::Input;

use rules::{Place, Rule, Show, RULES, SEPARATOR};
pub use stream::Stream;

/// What stands in the place of a secret.
pub const MASK: &str = "********";

/// Characters of the shortest text that is hidden wherever it stands; shorter ones are in words.
const SHORTEST_SECRET: usize = 6;
/// Texts that are hidden wherever they stand, at most: each is looked for in every line.
const MOST_SECRETS: usize = 256;
/// Bytes of the shortest secret of which the end is shown.
const SHORTEST_WITH_END: usize = 16;
/// How often a line is gone through at most: a mask may set free what was part of a longer word.
const MOST_ROUNDS: usize = 8;
/// The most bytes that each direction of the rules' automaton may use while matching.
const CACHE: usize = 512 * 1024;
/// The most bytes that patterns of the configuration may take when compiled.
const PATTERN_SIZE: usize = 256 * 1024;

/// Why a scrubber cannot be made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Error {
    /// A pattern of the configuration cannot be used.
    Pattern {
        /// As it was given.
        pattern: String,
        /// What is wrong with it.
        reason: String,
    },
    /// The built-in rules cannot be used.
    Rules(String),
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Error::Pattern { pattern, reason } => write!(
                f,
                "the pattern `{pattern}` of secrets cannot be used: {reason}; correct or remove it"
            ),
            Error::Rules(reason) => {
                write!(f, "the built-in rules of secrets cannot be used ({reason}); report this as a fault of the program")
            }
        }
    }
}

impl std::error::Error for Error {}

/// Masks secrets in lines.
#[derive(Clone, Debug)]
pub struct Scrubber {
    rules: Regex,
    patterns: Option<Regex>,
    secrets: Vec<String>,
}

impl Scrubber {
    /// Knows the built-in rules; hides `extra_secrets` and what `extra_patterns` (regexps) match
    /// besides. Fails when a pattern is no regexp or matches nothing in particular.
    pub fn new(extra_secrets: &[String], extra_patterns: &[String]) -> Result<Scrubber, Error> {
        let rules: Vec<String> = RULES
            .iter()
            .map(|rule| rule.pattern.replace("SEP", SEPARATOR))
            .collect();
        let syntax = syntax::Config::new()
            .case_insensitive(true)
            .unicode(false)
            .utf8(false);
        let rules = Regex::builder()
            .configure(Config::new().hybrid_cache_capacity(CACHE))
            .syntax(syntax)
            .build_many(&rules)
            .map_err(|error| Error::Rules(reason(&error)))?;
        let mut scrubber = Scrubber {
            rules,
            patterns: patterns(extra_patterns)?,
            secrets: Vec::new(),
        };
        scrubber.add_secrets(extra_secrets);
        Ok(scrubber)
    }

    /// Hides these texts from now on wherever they stand, also as JSON writes them. Those shorter
    /// than six characters are in too many words, and left out.
    pub fn add_secrets(&mut self, secrets: &[String]) {
        for secret in secrets.iter().map(|secret| secret.trim()) {
            let escaped = serde_json::to_string(secret).unwrap_or_default();
            for form in [secret, escaped.trim_matches('"')] {
                let is_new = !self.secrets.iter().any(|known| known == form);
                let is_long = form.chars().count() >= SHORTEST_SECRET;
                if is_new && is_long && self.secrets.len() < MOST_SECRETS {
                    self.secrets.push(form.to_owned());
                }
            }
        }
    }

    /// The line with its secrets masked. Several lines in one text are all gone through, and a
    /// block that begins in the text and does not end there is hidden to the end.
    pub fn line<'a>(&self, line: &'a str) -> Cow<'a, str> {
        let mut clean = Cow::Borrowed(line);
        for _ in 0..MOST_ROUNDS {
            match self.round(&clean) {
                Some(next) if next != clean => clean = Cow::Owned(next),
                _ => break,
            }
        }
        clean
    }

    /// Masks what can be seen now; `None` when there is nothing.
    fn round(&self, line: &str) -> Option<String> {
        let known = self.mask_known(line);
        let line = known.as_deref().unwrap_or(line);
        let ruled = self.mask_ruled(line);
        let line = ruled.as_deref().unwrap_or(line);
        let matched = self
            .patterns
            .as_ref()
            .and_then(|regex| mask_matches(regex, line));
        matched.or(ruled).or(known)
    }

    /// Masks the texts that are hidden wherever they stand; where they overlap, all of them.
    fn mask_known(&self, line: &str) -> Option<String> {
        let mut ranges: Vec<Range<usize>> = Vec::new();
        for secret in &self.secrets {
            let places = line.match_indices(secret.as_str());
            ranges.extend(places.map(|(at, text)| at..at + text.len()));
        }
        ranges.sort_by_key(|range| range.start);
        let mut masked = Masked::of(line);
        let mut ranges = ranges.into_iter().peekable();
        while let Some(mut range) = ranges.next() {
            while let Some(next) = ranges.next_if(|next| next.start < range.end) {
                range.end = range.end.max(next.end);
            }
            masked.put(range, |out, _| out.push_str(MASK));
        }
        masked.finish()
    }

    fn mask_ruled(&self, line: &str) -> Option<String> {
        let mut masked = Masked::of(line);
        let mut at = 0;
        while let Some(found) = self.rules.find(Input::new(line).range(at..)) {
            let rule = RULES.get(found.pattern().as_usize())?;
            let secret = extent::secret(line, found.range(), rule.place);
            at = match (&secret, rule.place) {
                (Some(secret), _) => secret.range.end,
                // The name behind the hyphens may stand before a sign.
                (None, Place::Argument) => found.start() + 2,
                (None, _) => found.end(),
            };
            if let Some(secret) = secret {
                masked.put(secret.range, |out, text| {
                    out.push_str(secret.quotes);
                    show(rule, text, out);
                    out.push_str(secret.quotes);
                });
            }
        }
        masked.finish()
    }

    /// Whether the value of a secret name at the start of this line stands on the lines below.
    fn awaits_value(&self, line: &str) -> bool {
        let Some(found) = self.rules.find(line) else {
            return false;
        };
        let place = RULES.get(found.pattern().as_usize()).map(|rule| rule.place);
        let is_named = matches!(place, Some(Place::Value | Place::Header));
        let value = line.get(found.end()..).unwrap_or("").trim();
        is_named
            && extent::begins_line(line, found.start())
            && (value.is_empty() || extent::is_block_mark(value))
    }
}

/// A line in which ranges are being replaced, in their order.
struct Masked<'a> {
    line: &'a str,
    out: String,
    done: usize,
}

impl<'a> Masked<'a> {
    fn of(line: &'a str) -> Masked<'a> {
        Masked {
            line,
            out: String::new(),
            done: 0,
        }
    }

    /// Replaces a range by what `write` appends. A range that is none in this line hides the rest.
    fn put(&mut self, range: Range<usize>, write: impl FnOnce(&mut String, &str)) {
        let before = self.line.get(self.done..range.start);
        match before.zip(self.line.get(range.clone())) {
            Some((before, secret)) => {
                self.out.push_str(before);
                write(&mut self.out, secret);
                self.done = range.end;
            }
            None => {
                self.out.push_str(MASK);
                self.done = self.line.len();
            }
        }
    }

    /// The new line; `None` when nothing was replaced.
    fn finish(mut self) -> Option<String> {
        self.out.push_str(self.line.get(self.done..)?);
        (self.done > 0).then_some(self.out)
    }
}

/// Appends what may be seen of a secret.
fn show(rule: &Rule, secret: &str, out: &mut String) {
    let (stars, kept) = match rule.show {
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

fn mask_matches(regex: &Regex, line: &str) -> Option<String> {
    let mut masked = Masked::of(line);
    for found in regex.find_iter(line).filter(|found| !found.is_empty()) {
        masked.put(found.range(), |out, _| out.push_str(MASK));
    }
    masked.finish()
}

/// The patterns of the configuration as one automaton; none without any.
fn patterns(texts: &[String]) -> Result<Option<Regex>, Error> {
    let build = |texts: &[String]| {
        let config = Config::new()
            .nfa_size_limit(Some(PATTERN_SIZE))
            .hybrid_cache_capacity(CACHE);
        let built = Regex::builder().configure(config).build_many(texts);
        built.map_err(|error| reason(&error))
    };
    for text in texts {
        let refused = |reason| Error::Pattern {
            pattern: text.clone(),
            reason,
        };
        let regex = build(std::slice::from_ref(text)).map_err(refused)?;
        if regex.is_match("") {
            return Err(refused("it matches every line".to_owned()));
        }
    }
    let together = (!texts.is_empty()).then(|| build(texts)).transpose();
    together.map_err(|reason| Error::Pattern {
        pattern: texts.join("` and `"),
        reason,
    })
}

/// Why a regexp was refused: the last line of a drawing over several.
fn reason(error: &BuildError) -> String {
    let text = match error.syntax_error() {
        Some(error) => error.to_string(),
        None => error.to_string(),
    };
    let last = text.lines().last().unwrap_or_default().trim();
    last.strip_prefix("error: ").unwrap_or(last).to_owned()
}
