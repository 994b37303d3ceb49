//! The set of rules that may match: a bit for each, and a bit for each word that has any.

use std::iter;

/// Numbers of rules, in a form that a caller keeps and that is filled anew for every event. Makes
/// room when it is used with a bigger index than before, and not after that.
#[derive(Clone, Debug, Default)]
pub struct Candidates {
    words: Vec<u64>,
    /// For each word whether it has a bit, so that few rules among many are found without reading
    /// all of `words`.
    summary: Vec<u64>,
}

impl Candidates {
    /// An empty set.
    pub fn new() -> Candidates {
        Candidates::default()
    }

    /// The rules in it, by their place in load order, in that order.
    pub fn iter(&self) -> impl Iterator<Item = usize> + '_ {
        bits(&self.summary).flat_map(|word| {
            let held = self.words.get(word..=word).unwrap_or_default();
            bits(held).map(move |bit| word * 64 + bit)
        })
    }

    /// Empties it and makes room for as many rules.
    pub(super) fn reset(&mut self, rules: usize) {
        for (base, summary) in (0..).step_by(64).zip(&mut self.summary) {
            for bit in bits(std::slice::from_ref(summary)) {
                if let Some(word) = self.words.get_mut(base + bit) {
                    *word = 0;
                }
            }
            *summary = 0;
        }
        let words = rules.div_ceil(64);
        self.words.resize(words, 0);
        self.summary.resize(words.div_ceil(64), 0);
    }

    /// Adds those of the 64 rules from `word * 64` on that have a bit in `mask`, which has one.
    pub(super) fn add(&mut self, word: usize, mask: u64) {
        let summary = self.summary.get_mut(word / 64);
        if let (Some(held), Some(summary)) = (self.words.get_mut(word), summary) {
            *held |= mask;
            *summary |= 1 << (word % 64);
        }
    }
}

/// The places of the bits that are set.
fn bits(words: &[u64]) -> impl Iterator<Item = usize> + '_ {
    (0..).step_by(64).zip(words).flat_map(|(base, word)| {
        let rest = iter::successors(Some(*word), |rest| Some(rest & rest.wrapping_sub(1)));
        rest.take_while(|rest| *rest != 0)
            .map(move |rest| base + rest.trailing_zeros() as usize)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn holds_what_was_added_last() {
        let mut candidates = Candidates::new();
        let rows: [(usize, &[usize]); 4] = [
            (10_000, &[0, 1, 63, 64, 4_095, 4_096, 9_999]),
            (10, &[3, 9]),
            (0, &[]),
            (10_000, &[128]),
        ];
        for (rules, numbers) in rows {
            candidates.reset(rules);
            assert_eq!(candidates.iter().count(), 0);
            for number in numbers.iter().rev() {
                candidates.add(number / 64, 1 << (number % 64));
            }
            assert_eq!(candidates.iter().collect::<Vec<_>>(), numbers);
        }
    }

    #[test]
    fn leaves_out_what_has_no_room() {
        let mut candidates = Candidates::new();
        candidates.reset(64);
        candidates.add(1, 1);
        assert_eq!(candidates.iter().count(), 0);
    }
}
