//! Look-up tables: from what an element is to the rules that wait for it.
//!
//! Filled once when rules are loaded, then only read. Whole strings are found by hash, numbers and
//! the ends of strings by binary search.

use crate::secl::matcher::Table;
use std::cmp::Ordering;
use std::collections::BTreeMap;

/// Numbers of rules, in the order they were added.
pub(super) type Rules = Vec<u32>;

/// Numbers and the rules that wait for each.
#[derive(Debug)]
pub(super) struct Ints(Vec<(i64, Rules)>);

impl Ints {
    pub(super) fn new(entries: impl IntoIterator<Item = (i64, u32)>) -> Ints {
        let mut sorted: BTreeMap<i64, Rules> = BTreeMap::new();
        for (value, rule) in entries {
            sorted.entry(value).or_default().push(rule);
        }
        Ints(sorted.into_iter().collect())
    }

    /// The rules that wait for that number.
    pub(super) fn find(&self, value: i64) -> &[u32] {
        let found = self.0.binary_search_by_key(&value, |entry| entry.0);
        let entry = found.ok().and_then(|at| self.0.get(at));
        entry.map_or(&[], |entry| &entry.1)
    }
}

/// Whole strings and the rules that wait for each.
#[derive(Debug)]
pub(super) struct Strings {
    table: Table,
    /// For each string of the table.
    rules: Vec<Rules>,
}

impl Strings {
    pub(super) fn new(entries: &[(&str, u32)], fold_case: bool) -> Strings {
        let texts: Vec<&str> = entries.iter().map(|(text, _)| *text).collect();
        let table = Table::new(&texts, fold_case);
        let mut rules = vec![Rules::new(); table.strings().count()];
        for (text, rule) in entries {
            let at = table.position(text);
            if let Some(waiting) = at.and_then(|at| rules.get_mut(at)) {
                waiting.push(*rule);
            }
        }
        Strings { table, rules }
    }

    /// The rules that wait for that string.
    pub(super) fn find(&self, text: &str) -> &[u32] {
        let at = self.table.position(text);
        at.and_then(|at| self.rules.get(at))
            .map_or(&[], |rules| rules)
    }
}

/// Ends of strings and the rules that wait for each: beginnings, or with `from_end` the last bytes.
///
/// They are sorted by their bytes, those that do not count for case in lower case, read from the
/// end with `from_end`. Every beginning of a text that is here sorts at most as the text, and is
/// the nearest such entry or a beginning of that entry.
#[derive(Debug)]
pub(super) struct Ends {
    entries: Vec<End>,
    from_end: bool,
    fold_case: bool,
}

#[derive(Debug)]
struct End {
    bytes: Vec<u8>,
    rules: Rules,
    /// The longest other entry that this one begins with.
    shorter: Option<usize>,
}

impl Ends {
    pub(super) fn new(entries: &[(&str, u32)], from_end: bool, fold_case: bool) -> Ends {
        let mut ends = Ends {
            entries: Vec::new(),
            from_end,
            fold_case,
        };
        let mut sorted: BTreeMap<Vec<u8>, Rules> = BTreeMap::new();
        for (text, rule) in entries {
            let text = text.as_bytes();
            let bytes = (0..text.len()).filter_map(|at| ends.byte(text, at));
            sorted.entry(bytes.collect()).or_default().push(*rule);
        }
        for (bytes, rules) in sorted {
            let mut shorter = ends.entries.len().checked_sub(1);
            while let Some(end) = shorter.and_then(|at| ends.entries.get(at)) {
                if bytes.starts_with(&end.bytes) {
                    break;
                }
                shorter = end.shorter;
            }
            ends.entries.push(End {
                bytes,
                rules,
                shorter,
            });
        }
        ends
    }

    /// Gives `found` the rules of each entry that is an end of the text.
    pub(super) fn find(&self, text: &str, mut found: impl FnMut(&[u32])) {
        let text = text.as_bytes();
        let behind = self
            .entries
            .partition_point(|end| self.compare(&end.bytes, text) != Ordering::Greater);
        let mut at = behind.checked_sub(1);
        while let Some(end) = at.and_then(|at| self.entries.get(at)) {
            if self.is_end(&end.bytes, text) {
                found(&end.rules);
            }
            at = end.shorter;
        }
    }

    /// A byte of the text as it is compared.
    fn byte(&self, text: &[u8], at: usize) -> Option<u8> {
        let at = match self.from_end {
            true => text.len().checked_sub(at.checked_add(1)?)?,
            false => at,
        };
        let byte = *text.get(at)?;
        Some(match self.fold_case {
            true => byte.to_ascii_lowercase(),
            false => byte,
        })
    }

    fn compare(&self, bytes: &[u8], text: &[u8]) -> Ordering {
        if !self.from_end && !self.fold_case {
            return bytes.cmp(text);
        }
        let differing = bytes.iter().zip(0..).find_map(|(byte, at)| {
            let order = Some(*byte).cmp(&self.byte(text, at));
            order.is_ne().then_some(order)
        });
        differing.unwrap_or_else(|| bytes.len().cmp(&text.len()))
    }

    fn is_end(&self, bytes: &[u8], text: &[u8]) -> bool {
        let mut bytes = bytes.iter().zip(0..);
        bytes.all(|(byte, at)| self.byte(text, at) == Some(*byte))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ints() {
        let ints = Ints::new([(7, 1), (-1, 2), (7, 3), (i64::MIN, 4)]);
        assert_eq!(ints.find(7), [1, 3]);
        assert_eq!(ints.find(-1), [2]);
        assert_eq!(ints.find(i64::MIN), [4]);
        assert!(ints.find(0).is_empty());
        assert!(Ints::new([]).find(0).is_empty());
    }

    #[test]
    fn strings() {
        let entries = [("a", 1), ("b", 2), ("A", 3), ("", 4)];
        let exact = Strings::new(&entries, false);
        assert_eq!(exact.find("a"), [1]);
        assert_eq!(exact.find("A"), [3]);
        assert_eq!(exact.find(""), [4]);
        assert!(exact.find("c").is_empty());
        let folded = Strings::new(&entries, true);
        assert_eq!(folded.find("a"), [1, 3]);
        assert!(Strings::new(&[], true).find("").is_empty());
    }

    #[test]
    fn ends() {
        let entries = [
            ("/", 1),
            ("/etc/", 2),
            ("/etc/p", 3),
            ("/etc/ssh/", 4),
            ("/etd", 5),
            ("/etc/", 6),
            ("/Usr", 7),
        ];
        let rows: [(&str, &[u32]); 8] = [
            ("/etc/passwd", &[3, 2, 6, 1]),
            ("/etc/p", &[3, 2, 6, 1]),
            ("/etc/ssh/x", &[4, 2, 6, 1]),
            ("/etc/zzz", &[2, 6, 1]),
            ("/etc", &[1]),
            ("/usr/bin", &[1]),
            ("zzz", &[]),
            ("", &[]),
        ];
        let turned: Vec<(String, u32)> = entries.iter().map(|(t, n)| (reverse(t), *n)).collect();
        let turned: Vec<(&str, u32)> = turned.iter().map(|(t, n)| (t.as_str(), *n)).collect();
        let forward = Ends::new(&entries, false, false);
        let backward = Ends::new(&turned, true, false);
        for (text, expected) in rows {
            assert_eq!(found(&forward, text), expected, "{text}");
            assert_eq!(found(&backward, &reverse(text)), expected, "{text}");
        }
        let folded = Ends::new(&turned, true, true);
        assert_eq!(found(&folded, &reverse("/uSR/x")), [7, 1]);
    }

    fn reverse(text: &str) -> String {
        text.chars().rev().collect()
    }

    fn found(ends: &Ends, text: &str) -> Vec<u32> {
        let mut all = Vec::new();
        ends.find(text, |rules| all.extend_from_slice(rules));
        all
    }
}
