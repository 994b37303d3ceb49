//! Patterns for names of interfaces: `*`, `?`, `[a-z]` and `[!a-z]` as in glob(7), without classes of
//! characters, and without a character that takes the meaning from the next one.
//!
//! Names are short (IFNAMSIZ, 16 bytes) and hold no `/`, so this tries one piece of the pattern after
//! the other. What no shell would take for a set, such as `[` without an end, stands for itself.

/// A pattern.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Glob(Vec<Piece>);

#[derive(Clone, Debug, PartialEq, Eq)]
enum Piece {
    /// Any characters, or none.
    Many,
    /// One character, whatever it is.
    Any,
    /// This character.
    One(char),
    /// A character within one of these ranges, or of none of them.
    Set {
        ranges: Vec<(char, char)>,
        is_negated: bool,
    },
}

impl Glob {
    /// Every text is a pattern.
    pub(super) fn new(text: &str) -> Glob {
        let characters: Vec<char> = text.chars().collect();
        let mut rest = characters.as_slice();
        let mut pieces = Vec::new();
        while let Some((first, after)) = rest.split_first() {
            let (piece, after) = match first {
                '*' => (Piece::Many, after),
                '?' => (Piece::Any, after),
                '[' => set(after).unwrap_or((Piece::One('['), after)),
                other => (Piece::One(*other), after),
            };
            pieces.push(piece);
            rest = after;
        }
        // Several of them in a row say no more than one.
        pieces.dedup_by(|second, first| *second == Piece::Many && *first == Piece::Many);
        Glob(pieces)
    }

    /// Whether the whole name fits.
    pub(super) fn matches(&self, name: &str) -> bool {
        let name: Vec<char> = name.chars().collect();
        fits(&self.0, &name)
    }
}

/// The set that begins behind a `[`, and what comes behind it. A `]` at the begin is a member.
fn set(text: &[char]) -> Option<(Piece, &[char])> {
    let is_negated = matches!(text.first(), Some('!' | '^'));
    let members = text.get(usize::from(is_negated)..)?;
    let later = members.get(1..)?.iter().position(|one| *one == ']')?;
    let (inside, after) = members.split_at(later + 1);
    let mut ranges = Vec::new();
    let mut rest = inside;
    while let Some((first, after)) = rest.split_first() {
        let (last, after) = match after {
            ['-', last, others @ ..] => (last, others),
            others => (first, others),
        };
        ranges.push((*first, *last));
        rest = after;
    }
    Some((Piece::Set { ranges, is_negated }, after.get(1..)?))
}

/// Goes on from the last `*` with one more character in it where the rest does not fit.
fn fits(pieces: &[Piece], name: &[char]) -> bool {
    let (mut at, mut place) = (0, 0);
    let mut last_many = None;
    loop {
        match (pieces.get(at), name.get(place)) {
            (None, None) => return true,
            (Some(Piece::Many), _) => {
                last_many = Some((at, place));
                at += 1;
                continue;
            }
            (Some(piece), Some(character)) if piece.takes(*character) => {
                (at, place) = (at + 1, place + 1);
                continue;
            }
            _ => {}
        }
        match last_many {
            Some((many, from)) if from < name.len() => {
                last_many = Some((many, from + 1));
                (at, place) = (many + 1, from + 1);
            }
            _ => return false,
        }
    }
}

impl Piece {
    fn takes(&self, character: char) -> bool {
        match self {
            Piece::Many | Piece::Any => true,
            Piece::One(own) => *own == character,
            Piece::Set { ranges, is_negated } => {
                let is_within =
                    |(first, last): &(char, char)| (*first..=*last).contains(&character);
                ranges.iter().any(is_within) != *is_negated
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_fit_as_in_a_shell() {
        let cases: &[(&str, &[&str], &[&str])] = &[
            ("eth0", &["eth0"], &["eth", "eth01", "Eth0", ""]),
            ("eth*", &["eth", "eth0", "eth0.5"], &["et", "veth0"]),
            ("*", &["", "lo", "a*"], &[]),
            ("**0", &["0", "eth0", "00"], &["", "eth1"]),
            (
                "*veth*a*",
                &["vetha", "xveth1a2", "vethvetha"],
                &["veth", "aveth"],
            ),
            ("eth?", &["eth0", "eth?"], &["eth", "eth10"]),
            ("??", &["lo", "ä1"], &["l", "lo0"]),
            ("eth[0-3]", &["eth0", "eth3"], &["eth4", "eth", "eth-"]),
            ("eth[!0-3]", &["eth4", "etha"], &["eth0", "eth"]),
            ("eth[^02]", &["eth1"], &["eth0", "eth2"]),
            ("e[tn][hp]*", &["eth0", "enp3s0"], &["eap0"]),
            ("a[]b]c", &["a]c", "abc"], &["ac", "a[c"]),
            ("a[!]b]", &["ac"], &["a]", "ab"]),
            ("a[b-]", &["ab", "a-"], &["ac"]),
            ("a[-b]", &["ab", "a-"], &["ac"]),
            ("a[3-1]", &[], &["a1", "a2", "a3"]),
            ("a[b", &["a[b"], &["ab", "a["]),
            ("a[", &["a["], &["a"]),
            ("a[]", &["a[]"], &["a", "a]"]),
            ("a[!]", &["a[!]"], &["a!", "ab"]),
            ("", &[""], &["a"]),
        ];
        for (text, fitting, others) in cases {
            let glob = Glob::new(text);
            for name in *fitting {
                assert!(glob.matches(name), "{text} {name}");
            }
            for name in *others {
                assert!(!glob.matches(name), "{text} {name}");
            }
        }
    }

    #[test]
    fn many_stars_take_no_time() {
        let glob = Glob::new(&"*a".repeat(1000));
        assert!(!glob.matches(&"a".repeat(999)));
        assert!(glob.matches(&"a".repeat(1000)));
    }
}
