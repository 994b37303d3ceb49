//! What the texts of a field are compared with: strings, patterns and regexps in one set.
//!
//! Plain strings are looked up by hash, so that a long list costs no more than a short one;
//! patterns and regexps are tried one by one behind them. The part of a host name that
//! `.root_domain` stands for is found here too.

use super::pattern::{Glob, Pattern, Wildcard};
use super::template::{Template, TemplateMatcher};
use super::types::TextKind;
use crate::packet::filter::Filter;
use crate::regexp::{self, Limits};
use regex_automata::meta::Regex;

/// What a regexp may use.
const REGEXP: Limits = Limits {
    size: 256 * 1024,
    cache: 256 * 1024,
};

/// What a pattern or regexp cannot be compared with.
const ONLY_STRINGS: &str = "a pcap filter compares with strings, by `==` and `in`";

/// One text to compare with, as written.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum TextItem {
    Plain(String),
    Pattern(String),
    Regexp(String),
    Template(Template),
}

impl TextItem {
    /// What it is, with an article.
    pub(super) fn describe(&self) -> &'static str {
        match self {
            TextItem::Plain(_) => "a string",
            TextItem::Template(template) if !template.is_pattern => "a string",
            TextItem::Pattern(_) | TextItem::Template(_) => "a pattern",
            TextItem::Regexp(_) => "a regexp",
        }
    }
}

/// The templates among the items, made ready for a field of that kind. The error is a sentence,
/// with the place of the item among the items.
pub(super) fn templates<'a>(
    items: impl IntoIterator<Item = &'a TextItem>,
    kind: TextKind,
) -> Result<Vec<TemplateMatcher>, (usize, String)> {
    let mut templates = Vec::new();
    for (at, item) in items.into_iter().enumerate() {
        if let TextItem::Template(template) = item {
            let matcher = TemplateMatcher::new(template, kind);
            templates.push(matcher.map_err(|message| (at, message))?);
        }
    }
    Ok(templates)
}

/// A set of texts, patterns and regexps.
#[derive(Clone, Debug)]
pub(super) struct TextMatcher {
    plain: Table,
    patterns: Vec<Pattern>,
    regexps: Vec<Regex>,
}

impl TextMatcher {
    /// Makes the set ready for a field of that kind. The error is a sentence, with the place of the
    /// item among the items.
    pub(super) fn new<'a>(
        items: impl IntoIterator<Item = &'a TextItem>,
        kind: TextKind,
    ) -> Result<TextMatcher, (usize, String)> {
        let fold_case = kind.folds_case();
        let mut plain = Vec::new();
        let mut patterns = Vec::new();
        let mut regexps = Vec::new();
        for (at, item) in items.into_iter().enumerate() {
            let placed = |message| (at, message);
            match item {
                TextItem::Plain(text) => {
                    check_plain(text, kind).map_err(placed)?;
                    plain.push(kind.spelled(text));
                }
                TextItem::Pattern(_) if kind == TextKind::PacketFilter => {
                    return Err(placed(ONLY_STRINGS.to_owned()));
                }
                TextItem::Pattern(text) if !text.contains('*') => plain.push(kind.spelled(text)),
                TextItem::Pattern(text) => {
                    patterns.push(pattern(&kind.spelled(text), kind).map_err(placed)?);
                }
                TextItem::Regexp(text) => regexps.push(regexp(text, kind).map_err(placed)?),
                // It is not constant; see [`templates`].
                TextItem::Template(_) => {}
            }
        }
        let plain: Vec<&str> = plain.iter().map(AsRef::as_ref).collect();
        Ok(TextMatcher {
            plain: Table::new(&plain, fold_case),
            patterns,
            regexps,
        })
    }

    /// The plain strings and the patterns when there is nothing else in the set.
    pub(super) fn strings_and_patterns(&self) -> Option<(&Table, &[Pattern])> {
        // Whoever adds a field here has to say what it means for those who look up the others.
        let TextMatcher {
            plain,
            patterns,
            regexps,
        } = self;
        regexps.is_empty().then_some((plain, patterns))
    }

    /// The plain strings in the set.
    pub(super) fn strings(&self) -> impl Iterator<Item = &str> {
        self.plain.strings()
    }

    /// Whether the text is in the set.
    pub(super) fn matches(&self, text: &str) -> bool {
        self.plain.contains(text)
            || self.patterns.iter().any(|pattern| pattern.matches(text))
            || self.regexps.iter().any(|regexp| regexp.is_match(text))
    }
}

/// Whether a string has the form that texts of that kind have.
fn check_plain(text: &str, kind: TextKind) -> Result<(), String> {
    match kind {
        TextKind::PacketFilter => match Filter::parse(text) {
            Ok(_) => Ok(()),
            Err(error) => Err(format!("this is no pcap filter: {error}")),
        },
        _ => Ok(()),
    }
}

fn pattern(text: &str, kind: TextKind) -> Result<Pattern, String> {
    Ok(match kind {
        TextKind::PacketFilter => return Err(ONLY_STRINGS.to_owned()),
        TextKind::Plain | TextKind::CaseInsensitive | TextKind::Extension => {
            Pattern::Wildcard(Wildcard::new(text, kind.folds_case()))
        }
        TextKind::Path => Pattern::Glob(Glob::new(text).map_err(|error| error.to_string())?),
    })
}

fn regexp(text: &str, kind: TextKind) -> Result<Regex, String> {
    if kind == TextKind::PacketFilter {
        return Err(ONLY_STRINGS.to_owned());
    }
    if kind == TextKind::Path {
        return Err("a path cannot be matched with a regexp; use a pattern ~\"…\"".to_owned());
    }
    regexp::compile(&[text], kind.folds_case(), REGEXP).map_err(|error| error.to_string())
}

/// A hash table of strings, fixed once made. Written by hand because the standard one can neither
/// look up without regard to case nor do without a keyed hash; what is in the table comes from
/// policies, so nobody can aim for collisions.
#[derive(Clone, Debug)]
pub(super) struct Table {
    entries: Vec<Box<str>>,
    /// Indices into `entries` plus one, 0 for a free slot; a power of two of them, half free.
    slots: Vec<u32>,
    fold_case: bool,
}

impl Table {
    pub(super) fn new(texts: &[&str], fold_case: bool) -> Table {
        let size = texts.len().saturating_mul(2).max(1).next_power_of_two();
        let mut table = Table {
            entries: Vec::new(),
            slots: vec![0; size],
            fold_case,
        };
        for text in texts {
            if let Err(free) = table.find(text) {
                table.entries.push((*text).into());
                let number = u32::try_from(table.entries.len()).unwrap_or(0);
                if let Some(slot) = table.slots.get_mut(free) {
                    *slot = number;
                }
            }
        }
        table
    }

    fn contains(&self, text: &str) -> bool {
        match self.entries.as_slice() {
            [] => false,
            [only] => self.same(only, text),
            _ => self.find(text).is_ok(),
        }
    }

    /// The strings, each once, in the order they were given.
    pub(super) fn strings(&self) -> impl Iterator<Item = &str> {
        self.entries.iter().map(|entry| &**entry)
    }

    /// Which of the strings the text is.
    pub(super) fn position(&self, text: &str) -> Option<usize> {
        let slot = self.find(text).ok()?;
        (self.slots.get(slot).copied()? as usize).checked_sub(1)
    }

    /// Whether ASCII case does not count.
    pub(super) fn folds_case(&self) -> bool {
        self.fold_case
    }

    fn same(&self, left: &str, right: &str) -> bool {
        if self.fold_case {
            left.eq_ignore_ascii_case(right)
        } else {
            left == right
        }
    }

    /// The text's slot, or the free one where it belongs.
    fn find(&self, text: &str) -> Result<usize, usize> {
        let mask = self.slots.len().saturating_sub(1);
        let mut at = self.hash(text) & mask;
        loop {
            let number = self.slots.get(at).copied().unwrap_or(0) as usize;
            match number
                .checked_sub(1)
                .and_then(|index| self.entries.get(index))
            {
                Some(entry) if self.same(entry, text) => return Ok(at),
                Some(_) => at = (at + 1) & mask,
                None => return Err(at),
            }
        }
    }

    /// Mixes the bytes in words of eight, of their lower case where case does not count.
    fn hash(&self, text: &str) -> usize {
        let (words, rest) = text.as_bytes().as_chunks::<8>();
        let mut last = [0; 8];
        last.iter_mut().zip(rest).for_each(|(to, from)| *to = *from);
        let hash = words.iter().chain([&last]).fold(0, |hash: u64, word| {
            let mut word = *word;
            if self.fold_case {
                word.make_ascii_lowercase();
            }
            (hash.rotate_left(5) ^ u64::from_le_bytes(word)).wrapping_mul(0x9e37_79b9_7f4a_7c15)
        });
        // The low bits choose the slot; the high ones are better mixed.
        (hash ^ (hash >> 32)) as usize
    }
}

/// Labels below country codes under which names are registered as under a country code itself.
const SECOND_LEVEL: &[&str] = &[
    "ac", "co", "com", "edu", "go", "gov", "ne", "net", "or", "org",
];

/// The registered part of a host name: its last two labels, or three where a country registers
/// below `co`, `com` and the like. A trailing dot does not count.
pub(super) fn root_domain(host: &str) -> &str {
    let host = host.strip_suffix('.').unwrap_or(host);
    let mut labels = host.rsplit('.');
    let (Some(top), Some(second)) = (labels.next(), labels.next()) else {
        return host;
    };
    let registry = SECOND_LEVEL
        .iter()
        .any(|label| label.eq_ignore_ascii_case(second));
    let by_country = top.len() == 2 && registry;
    let mut length = top.len() + 1 + second.len();
    if let (true, Some(third)) = (by_country, labels.next()) {
        length += 1 + third.len();
    }
    host.get(host.len().saturating_sub(length)..)
        .unwrap_or(host)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tables_hold_what_was_put_in() {
        let texts: Vec<String> = (0..1_000)
            .map(|number| format!("/usr/bin/{number}"))
            .collect();
        let borrowed: Vec<&str> = texts.iter().map(String::as_str).collect();
        for fold_case in [false, true] {
            let table = Table::new(&borrowed, fold_case);
            assert!(texts.iter().all(|text| table.contains(text)));
            assert!(!table.contains("/usr/bin/1000"));
            assert!(!table.contains(""));
            assert_eq!(table.contains("/USR/bin/7"), fold_case);
        }
        assert!(!Table::new(&[], false).contains(""));
        assert_eq!(Table::new(&["a", "a", "A"], true).entries.len(), 1);
    }

    #[test]
    fn bad_regexps_are_explained() {
        let error = regexp("a(", TextKind::Plain).unwrap_err();
        assert_eq!(error, "this is no valid regexp: unclosed group");
        let error = regexp("(a{1000}){1000}", TextKind::Plain).unwrap_err();
        assert!(error.starts_with("this regexp takes more than"), "{error}");
        assert!(regexp("a", TextKind::Path).is_err());
    }

    #[test]
    fn root_domains() {
        let rows = [
            ("", ""),
            ("localhost", "localhost"),
            ("example.com", "example.com"),
            ("a.b.example.com", "example.com"),
            ("www.example.com.", "example.com"),
            ("www.example.co.uk", "example.co.uk"),
            ("co.uk", "co.uk"),
            ("example.de", "example.de"),
            ("www.example.de", "example.de"),
        ];
        for (host, expected) in rows {
            assert_eq!(root_domain(host), expected, "{host}");
        }
    }
}
