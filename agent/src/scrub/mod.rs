//! Secrets in lines of logs, configuration and reports, and what readers get in their place.
//!
//! Lines enter as they were written; the same lines leave with secrets masked, borrowed where
//! there was nothing to mask. `rules` is the table of what a secret looks like or stands behind,
//! `extent` and `command` find where it ends, `known` finds the secrets of the configuration,
//! [`Stream`] hides what goes over several lines. Whole files go through [`Scrubber::copy`], which
//! knows the structure of YAML and JSON. Arguments of processes in events are another matter
//! (`resolve::scrub`): there every argument stands alone.
//!
//! Masking takes time in proportion to the text, adds no more than a mask for each secret, and
//! does nothing to a text that went through it before.

mod below;
pub mod command;
mod copy;
mod extent;
mod known;
mod masked;
mod rules;
mod stream;
mod structure;

#[cfg(test)]
mod tests;

use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;

use regex_automata::meta::{BuildError, Config, Regex};
use regex_automata::util::syntax;
use regex_automata::Input;

use crate::config::{keys, Settings};
use crate::regexp::{self, Limits};
pub use copy::Kind;
use known::Known;
use masked::Masked;
use rules::{Place, Rule, Show, API_KEY, EXTRA_NAME, NEXT, RULES, SEPARATOR};
pub use stream::Stream;

/// What stands in the place of a secret.
pub const MASK: &str = "********";

/// How often a line is gone through at most: a mask may set free what was part of a longer word.
const MOST_ROUNDS: usize = 16;
/// The most bytes that each direction of the rules' automaton may use while matching.
const CACHE: usize = 512 * 1024;
/// The most bytes that patterns of the configuration may take when compiled.
const PATTERN_SIZE: usize = 256 * 1024;
/// Patterns that the configuration may add.
const MOST_PATTERNS: usize = 256;
/// How many times as long as a line, and [`SHORT`] more, its masked form may become.
const MOST_GROWTH: usize = 64;
/// Bytes that a line may be taken for longer than it is where growth is bounded.
const SHORT: usize = 64;
/// Names that the configuration may add.
const MOST_NAMES: usize = 256;
/// Bytes of such a name at most.
const LONGEST_NAME: usize = 64;

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
#[derive(Clone)]
pub struct Scrubber {
    /// What the automatons remember while matching is shared by all copies.
    rules: Arc<Regex>,
    patterns: Option<Arc<Regex>>,
    known: Known,
}

impl fmt::Debug for Scrubber {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Scrubber")
    }
}

impl Scrubber {
    /// Knows the built-in rules; hides `extra_secrets` and what `extra_patterns` (regexps) match
    /// besides. Fails when a pattern is no regexp or matches nothing in particular.
    pub fn new(extra_secrets: &[String], extra_patterns: &[String]) -> Result<Scrubber, Error> {
        let mut scrubber = Scrubber {
            rules: Arc::new(rules(&[])?),
            patterns: patterns(extra_patterns)?.map(Arc::new),
            known: Known::default(),
        };
        scrubber.add_secrets(extra_secrets);
        Ok(scrubber)
    }

    /// Knows the secrets of the configuration besides, and the names and patterns that it adds.
    /// What of these cannot be used is left out, with a sentence for each.
    pub fn of_settings(settings: &Settings) -> Result<(Scrubber, Vec<String>), Error> {
        let mut warnings = Vec::new();
        let mut names: Vec<&str> = Vec::new();
        for key in [&keys::SCRUBBER_ADDITIONAL_KEYS, &keys::FLARE_STRIPPED_KEYS] {
            for name in settings.list(key).iter().map(|name| name.trim()) {
                if name.is_empty() || name.len() > LONGEST_NAME || names.len() >= MOST_NAMES {
                    warnings.push(format!(
                        "{}: a name is left out; give {MOST_NAMES} names of up to {LONGEST_NAME} bytes at most",
                        key.name
                    ));
                    continue;
                }
                names.push(name);
            }
        }
        let patterns = usable_patterns(settings, &mut warnings);
        let mut scrubber = Scrubber {
            rules: Arc::new(rules(&names)?),
            patterns: patterns.map(Arc::new),
            known: Known::default(),
        };
        // Those that matter most come first, should there be too many.
        let keys = [&keys::API_KEY, &keys::APP_KEY];
        let mut secrets = keys.map(|key| settings.text(key).to_owned()).to_vec();
        secrets.extend_from_slice(settings.secrets());
        scrubber.add_secrets(&secrets);
        if scrubber.known.is_cut {
            warnings.push(
                "the configuration has too many secrets: some of them, as they are or encoded, are not hidden where they stand without their name; give fewer".to_owned(),
            );
        }
        Ok((scrubber, warnings))
    }

    /// Hides these texts from now on wherever they stand, also as JSON, URLs and base64 write
    /// them. Those shorter than six characters are in too many words, and left out. Of one that has
    /// the shape of a key, the end that such keys show is shown.
    pub fn add_secrets(&mut self, secrets: &[String]) {
        let secrets = || secrets.iter().map(|secret| secret.trim());
        for secret in secrets() {
            let shown = self.shown_of_shape(secret);
            self.known.add_plain(secret, shown);
        }
        secrets().for_each(|secret| self.known.add_derived(secret));
    }

    /// The line with its secrets masked. Several lines in one text are all gone through, and a
    /// block that begins in the text and does not end there is hidden to the end.
    pub fn line<'a>(&self, line: &'a str) -> Cow<'a, str> {
        self.masked(line).0
    }

    /// The same, with the number of replacements.
    fn masked<'a>(&self, line: &'a str) -> (Cow<'a, str>, u64) {
        let (mut clean, mut replaced) = (Cow::Borrowed(line), 0);
        for _ in 0..MOST_ROUNDS {
            let Some((next, changes)) = self.round(&clean) else {
                return (clean, replaced);
            };
            replaced += changes;
            if next.len() > MOST_GROWTH * (line.len() + SHORT) {
                break;
            }
            clean = Cow::Owned(next);
        }
        (Cow::Borrowed(MASK), replaced.max(1))
    }

    /// Masks what can be seen now; `None` when there is nothing.
    fn round(&self, line: &str) -> Option<(String, u64)> {
        let mut clean: Option<(String, u64)> = None;
        for step in [
            Scrubber::mask_known,
            Scrubber::mask_ruled,
            Scrubber::mask_matches,
        ] {
            let (text, before) = match &clean {
                Some((text, changes)) => (text.as_str(), *changes),
                None => (line, 0),
            };
            if let Some((text, changes)) = step(self, text) {
                clean = Some((text, before + changes));
            }
        }
        clean
    }

    /// Masks the texts that are hidden wherever they stand; where they overlap, all of them.
    fn mask_known(&self, line: &str) -> Option<(String, u64)> {
        let mut masked = Masked::of(line);
        for (range, shown) in self.known.find(line) {
            masked.put(range, shown, "");
        }
        masked.finish()
    }

    fn mask_ruled(&self, line: &str) -> Option<(String, u64)> {
        let mut masked = Masked::of(line);
        let mut at = 0;
        while let Some(found) = self.rules.find(Input::new(line).range(at..)) {
            let rule = RULES.get(found.pattern().as_usize()).unwrap_or(&EXTRA_NAME);
            let secret = extent::secret(line, found.range(), rule.place);
            at = match (&secret, rule.place) {
                (Some(secret), _) => secret.range.end,
                // The name behind the hyphens may stand before a sign.
                (None, Place::Argument) => found.start() + 2,
                (None, Place::Program) => found.start() + 1,
                (None, _) => found.end(),
            };
            if let Some(secret) = secret {
                masked.put(secret.range, rule.show, secret.quotes);
            }
        }
        masked.finish()
    }

    /// Masks what the patterns of the configuration match.
    fn mask_matches(&self, line: &str) -> Option<(String, u64)> {
        let mut masked = Masked::of(line);
        let found = self.patterns.as_ref()?.find_iter(line);
        for found in found.filter(|found| !found.is_empty()) {
            masked.put(found.range(), Show::Nothing, "");
        }
        masked.finish()
    }

    /// What may be seen of a text that is a secret for sure: that of a key, when it looks like one.
    fn shown_of_shape(&self, secret: &str) -> Show {
        let found = self
            .rules
            .find(secret)
            .filter(|found| found.range() == (0..secret.len()));
        let rule = found.and_then(|found| RULES.get(found.pattern().as_usize()));
        rule.filter(|rule| rule.place == Place::Whole)
            .map_or(Show::Nothing, |rule| rule.show)
    }

    /// What may be seen of the value of a name; `None` when it is no secret.
    fn shown_of_name(&self, name: &str) -> Option<Show> {
        let name = name.trim();
        let line = format!("{name}: ");
        let mut found = self.rules.find_iter(&line);
        let found = found.find(|found| found.end() == line.len())?;
        let rule = RULES.get(found.pattern().as_usize()).unwrap_or(&EXTRA_NAME);
        let is_secret = match rule.place {
            Place::Value | Place::Header => !extent::is_about(name),
            place => place == Place::ExtraValue,
        };
        is_secret.then_some(rule.show)
    }

    /// Whether the value of a secret name at the start of this line stands on the lines below.
    fn awaits_value(&self, line: &str) -> bool {
        let Some(found) = self.rules.find(line) else {
            return false;
        };
        let rule = RULES.get(found.pattern().as_usize()).unwrap_or(&EXTRA_NAME);
        let is_named = matches!(
            rule.place,
            Place::Value | Place::ExtraValue | Place::Header | Place::Members
        );
        let value = line.get(found.end()..).unwrap_or("");
        is_named && extent::begins_line(line, found.start()) && below::goes_on_below(value)
    }
}

/// The built-in rules and one for names besides, as one automaton.
fn rules(names: &[&str]) -> Result<Regex, Error> {
    let written = |rule: &Rule| rule.pattern.replace("SEP", SEPARATOR).replace("NEXT", NEXT);
    let mut texts: Vec<String> = RULES.iter().map(written).collect();
    if !names.is_empty() {
        let names: Vec<String> = names.iter().map(|name| name_pattern(name)).collect();
        texts.push(format!("(?:{}){SEPARATOR}", names.join("|")));
    }
    let syntax = syntax::Config::new()
        .case_insensitive(true)
        .unicode(false)
        .utf8(false);
    Regex::builder()
        .configure(Config::new().hybrid_cache_capacity(CACHE))
        .syntax(syntax)
        .build_many(&texts)
        .map_err(|error| Error::Rules(reason(&error)))
}

/// A pattern for exactly this name.
fn name_pattern(name: &str) -> String {
    let is_word = |c: char| c.is_ascii_alphanumeric() || c == '_';
    let mut pattern = String::from(if name.starts_with(is_word) { r"\b" } else { "" });
    for letter in name.chars() {
        if letter.is_ascii() && !is_word(letter) {
            pattern.push('\\');
        }
        pattern.push(letter);
    }
    pattern
}

/// Those patterns of the configuration that can be used, with a sentence for each of the others.
fn usable_patterns(settings: &Settings, warnings: &mut Vec<String>) -> Option<Regex> {
    let key = &keys::SCRUBBER_ADDITIONAL_PATTERNS;
    let mut usable: Vec<String> = Vec::new();
    for pattern in settings.list(key) {
        if usable.len() >= MOST_PATTERNS {
            warnings.push(format!(
                "{}: patterns are left out; give {MOST_PATTERNS} at most",
                key.name
            ));
            break;
        }
        match check_pattern(pattern) {
            Ok(()) => usable.push(pattern.clone()),
            Err(error) => warnings.push(format!("{}: {error}", key.name)),
        }
    }
    // Each is small enough, but all together may not be.
    loop {
        match together(&usable) {
            Ok(regex) => return regex,
            Err(reason) => {
                let pattern = usable.pop()?;
                let error = Error::Pattern { pattern, reason };
                warnings.push(format!("{}: {error}", key.name));
            }
        }
    }
}

/// These patterns as one automaton; none without any.
fn patterns(texts: &[String]) -> Result<Option<Regex>, Error> {
    texts.iter().try_for_each(|text| check_pattern(text))?;
    together(texts).map_err(|reason| Error::Pattern {
        pattern: texts.join("` and `"),
        reason,
    })
}

/// Whether a pattern can be used. One that matches a part of a mask would find something to mask
/// in each mask that it has put, without an end.
fn check_pattern(text: &str) -> Result<(), Error> {
    let refused = |reason| Error::Pattern {
        pattern: text.to_owned(),
        reason,
    };
    let regex = together(&[text.to_owned()]).map_err(refused)?;
    let found = |text: &str| regex.as_ref()?.find(text).map(|found| found.range());
    if found("").is_some() {
        return Err(refused("it matches every line".to_owned()));
    }
    if found(MASK).is_some_and(|range| range != (0..MASK.len())) {
        return Err(refused("it matches what stands for secrets".to_owned()));
    }
    Ok(())
}

/// Patterns as one automaton, or why there is none.
fn together(texts: &[String]) -> Result<Option<Regex>, String> {
    let limits = Limits {
        size: PATTERN_SIZE,
        cache: CACHE,
    };
    if texts.is_empty() {
        return Ok(None);
    }
    let compiled = regexp::compile(texts, false, limits);
    compiled.map(Some).map_err(|error| error.to_string())
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
