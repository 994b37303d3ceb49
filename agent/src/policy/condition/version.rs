//! Versions, and the constraints that policies put on them (`agent_version: ">= 7.71"`).
//!
//! Pure text to truth. The grammar is that of the usual semantic version constraints: conditions
//! joined by blanks or commas must all hold, `||` separates alternatives, a version may leave out
//! its last parts or write `x` or `*` for them.

use std::fmt;

/// A version, or the text of a condition, that cannot be read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Error {
    text: String,
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "`{}` is no version constraint; write one such as `>= 7.71` or `>=7.65 <7.70`",
            self.text
        )
    }
}

impl std::error::Error for Error {}

/// A released version: major, minor and patch.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Version {
    /// First number.
    pub major: u64,
    /// Second number.
    pub minor: u64,
    /// Third number.
    pub patch: u64,
}

/// The level of the reference agent that this agent implements; constraints compare with it.
pub const REFERENCE: Version = Version {
    major: 7,
    minor: 83,
    patch: 0,
};

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}.{}", self.major, self.minor, self.patch)
    }
}

impl Version {
    const fn new(major: u64, minor: u64, patch: u64) -> Version {
        Version {
            major,
            minor,
            patch,
        }
    }
}

/// A version as a constraint writes it, with the parts that it leaves open.
struct Partial {
    floor: Version,
    /// Numbers given: 0 (`*`) to 3.
    parts: usize,
    /// Whether a pre-release such as `-rc.1` follows, which sorts before the release.
    pre_release: bool,
}

impl Partial {
    /// The first version that is above everything this one covers.
    fn ceiling(&self) -> Option<Version> {
        let Version {
            major,
            minor,
            patch,
        } = self.floor;
        match self.parts {
            0 => None,
            1 => Some(Version::new(major.saturating_add(1), 0, 0)),
            2 => Some(Version::new(major, minor.saturating_add(1), 0)),
            _ => Some(Version::new(major, minor, patch.saturating_add(1))),
        }
    }

    fn covers(&self, version: Version) -> bool {
        let exact_pre_release = self.pre_release && self.parts == 3;
        !exact_pre_release && self.floor <= version && self.is_not_above(version)
    }

    /// Whether `version` is at or below the highest version that this one covers.
    fn is_not_above(&self, version: Version) -> bool {
        if self.pre_release && version == self.floor {
            return false;
        }
        self.ceiling().is_none_or(|ceiling| version < ceiling)
    }
}

/// Whether `version` meets the constraint `text`; an empty constraint is always met.
pub fn allows(text: &str, version: Version) -> Result<bool, Error> {
    let mut allowed = text.trim().is_empty();
    for alternative in text.split("||") {
        allowed |= all_hold(alternative, version).ok_or_else(|| Error {
            text: text.to_owned(),
        })?;
    }
    Ok(allowed)
}

/// Evaluates conditions joined by blanks or commas; `None` when one cannot be read.
fn all_hold(text: &str, version: Version) -> Option<bool> {
    if let Some((low, high)) = text.split_once(" - ") {
        let (low, high) = (partial(low.trim())?, partial(high.trim())?);
        return Some(low.floor <= version && high.is_not_above(version));
    }
    let mut holds = true;
    let mut operator = String::new();
    for word in text.split([',', ' ', '\t']).filter(|word| !word.is_empty()) {
        let rest = word.trim_start_matches(['<', '>', '=', '!', '~', '^']);
        operator.push_str(word.get(..word.len() - rest.len())?);
        if !rest.is_empty() {
            holds &= holds_one(&operator, &partial(rest)?, version)?;
            operator.clear();
        }
    }
    operator.is_empty().then_some(holds)
}

fn holds_one(operator: &str, wanted: &Partial, version: Version) -> Option<bool> {
    Some(match operator {
        "" | "=" | "==" => wanted.covers(version),
        "!=" => !wanted.covers(version),
        ">" => !wanted.is_not_above(version),
        ">=" | "=>" => wanted.floor <= version,
        "<" => version < wanted.floor,
        "<=" | "=<" => wanted.is_not_above(version),
        "~" | "~>" => wanted.floor <= version && below(version, wanted, wanted.parts.min(2)),
        "^" => wanted.floor <= version && below(version, wanted, caret_parts(wanted)),
        _ => return None,
    })
}

/// Whether `version` agrees with the first `parts` numbers of `wanted`, or is lower.
fn below(version: Version, wanted: &Partial, parts: usize) -> bool {
    let range = Partial {
        floor: wanted.floor,
        parts,
        pre_release: false,
    };
    range.is_not_above(version)
}

/// Numbers that a caret holds fast: up to the first that is not zero.
fn caret_parts(wanted: &Partial) -> usize {
    let leading = match wanted.floor {
        Version { major: 1.., .. } => 1,
        Version { minor: 1.., .. } => 2,
        _ => 3,
    };
    leading.min(wanted.parts)
}

fn partial(text: &str) -> Option<Partial> {
    let text = text.strip_prefix(['v', 'V']).unwrap_or(text);
    let (text, _build) = text.split_once('+').unwrap_or((text, ""));
    let (numbers, pre_release) = match text.split_once('-') {
        Some((numbers, pre)) if !pre.is_empty() => (numbers, true),
        Some(_) => return None,
        None => (text, false),
    };
    let mut given = [0u64; 3];
    let mut parts = 0;
    let mut open = false;
    let mut words = numbers.split('.');
    for slot in &mut given {
        let Some(word) = words.next() else { break };
        if matches!(word, "x" | "X" | "*") {
            open = true;
        } else if open || word.is_empty() || !word.bytes().all(|byte| byte.is_ascii_digit()) {
            return None;
        } else {
            *slot = word.parse().ok()?;
            parts += 1;
        }
    }
    if words.next().is_some() {
        return None;
    }
    let [major, minor, patch] = given;
    Some(Partial {
        floor: Version::new(major, minor, patch),
        parts,
        pre_release,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn constraints_against_the_reference_level() {
        let table = [
            ("", true),
            (">= 7.71", true),
            (">=7.65 <7.70", false),
            (">=7.65, <7.90", true),
            ("> 7.82", true),
            ("> 7.83", false),
            (">= 7.83", true),
            ("< 7.83", false),
            ("<= 7.83", true),
            ("<=7", true),
            ("< 7", false),
            ("> 7", false),
            ("= 7.83", true),
            ("7.83.0", true),
            ("7.83.1", false),
            ("!= 7.83", false),
            ("!=7.82.0", true),
            ("7.x", true),
            ("*", true),
            ("~7.83", true),
            ("~7.82", false),
            ("~> 7.83.0", true),
            ("~7", true),
            ("^7.10", true),
            ("^6.1", false),
            ("^0.2", false),
            ("< 7.1 || >= 7.80", true),
            ("7.1 - 7.83", true),
            ("7.1 - 7.82", false),
            (">= 7.83.0-rc.1", true),
            ("7.83.0-rc1", false),
            ("<= 7.83.0-rc1", false),
            ("> 7.83.0-rc1", true),
            (">= 7.84.0-0", false),
            ("v7.83.0", true),
            (">= 7.42.0+git.1", true),
        ];
        for (constraint, expected) in table {
            assert_eq!(
                allows(constraint, REFERENCE),
                Ok(expected),
                "{constraint:?}"
            );
        }
    }

    #[test]
    fn what_is_no_constraint_is_named() {
        let bad = [
            "newest",
            ">= ",
            ">> 7",
            "7.1.2.3",
            "7..1",
            "7.1-",
            ">= 7.71 ||| 1",
            "x.1",
            "99999999999999999999999",
        ];
        for text in bad {
            let error = allows(text, REFERENCE).unwrap_err().to_string();
            assert!(error.contains(text), "{text:?}: {error}");
        }
    }
}
