//! Patterns with `*`: wildcards over text and globs over paths.
//!
//! Both match without recursion and without backtracking: what lies between two stars is taken
//! where it comes first, which for stars is always right.

/// A pattern as it applies to the texts of one field.
#[derive(Clone, Debug)]
pub enum Pattern {
    /// `*` stands for any run of characters.
    Wildcard(Wildcard),
    /// `*` stays within one component of a path.
    Glob(Glob),
}

impl Pattern {
    /// Whether the whole text matches.
    pub fn matches(&self, text: &str) -> bool {
        match self {
            Pattern::Wildcard(wildcard) => wildcard.matches(text),
            Pattern::Glob(glob) => glob.matches(text),
        }
    }

    /// What every text that matches begins with; "" when that is nothing in particular.
    pub fn prefix(&self) -> &str {
        match self {
            Pattern::Wildcard(wildcard) => &wildcard.prefix,
            Pattern::Glob(glob) => &glob.prefix,
        }
    }

    /// What every text that matches ends with; "" when that is nothing in particular.
    pub fn suffix(&self) -> &str {
        match self {
            Pattern::Wildcard(wildcard) => wildcard.suffix.as_deref().unwrap_or(&wildcard.prefix),
            Pattern::Glob(glob) => &glob.suffix,
        }
    }

    /// The last component of every path that matches, when that is a single one.
    pub fn basename(&self) -> Option<&str> {
        match self {
            Pattern::Wildcard(_) => None,
            Pattern::Glob(glob) => match (glob.beneath, glob.components.last()?) {
                (false, last) if last.suffix.is_none() => Some(&last.prefix),
                _ => None,
            },
        }
    }
}

/// Literal parts with a star between each two of them.
#[derive(Clone, Debug)]
pub struct Wildcard {
    prefix: Box<str>,
    /// Absent when the pattern has no star: then the prefix is all of it.
    suffix: Option<Box<str>>,
    middle: Vec<Box<str>>,
    fold_case: bool,
}

impl Wildcard {
    /// Reads a pattern; every character but `*` stands for itself, without regard to ASCII case
    /// with `fold_case`.
    pub fn new(pattern: &str, fold_case: bool) -> Wildcard {
        let mut parts = pattern.split('*');
        let prefix = parts.next().unwrap_or("").into();
        let suffix = parts.next_back().map(Box::from);
        let middle = parts
            .filter(|part| !part.is_empty())
            .map(Box::from)
            .collect();
        Wildcard {
            prefix,
            suffix,
            middle,
            fold_case,
        }
    }

    /// Whether the whole text matches. Takes time linear in the text for exact case; folding case,
    /// at worst in the product of text and pattern, on names that are short.
    pub fn matches(&self, text: &str) -> bool {
        if self.fold_case {
            self.matches_folded(text.as_bytes()).unwrap_or(false)
        } else {
            self.matches_exactly(text).unwrap_or(false)
        }
    }

    fn matches_exactly(&self, text: &str) -> Option<bool> {
        let Some(suffix) = &self.suffix else {
            return Some(*text == *self.prefix);
        };
        let mut rest = text.strip_prefix(&*self.prefix)?.strip_suffix(&**suffix)?;
        for part in &self.middle {
            rest = rest.split_once(&**part)?.1;
        }
        Some(true)
    }

    fn matches_folded(&self, text: &[u8]) -> Option<bool> {
        let Some(suffix) = &self.suffix else {
            return Some(text.eq_ignore_ascii_case(self.prefix.as_bytes()));
        };
        let (head, rest) = text.split_at_checked(self.prefix.len())?;
        let (mut rest, tail) = rest.split_at_checked(rest.len().checked_sub(suffix.len())?)?;
        if !(head.eq_ignore_ascii_case(self.prefix.as_bytes())
            && tail.eq_ignore_ascii_case(suffix.as_bytes()))
        {
            return Some(false);
        }
        for part in &self.middle {
            let part = part.as_bytes();
            let mut windows = rest.windows(part.len());
            let start = windows.position(|window| window.eq_ignore_ascii_case(part))?;
            rest = rest.get(start + part.len()..)?;
        }
        Some(true)
    }
}

/// Path components, each a wildcard.
#[derive(Clone, Debug)]
pub struct Glob {
    /// What stands before the first star; most paths fail here already.
    prefix: Box<str>,
    /// What stands behind the last star.
    suffix: Box<str>,
    components: Vec<Wildcard>,
    /// Whether the pattern ends with `/**`.
    beneath: bool,
}

/// Why a path pattern is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GlobError;

impl std::fmt::Display for GlobError {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.write_str(
            "in a path pattern `**` can only be the whole last component, as in ~\"/etc/**\"; \
             within a component write `*`",
        )
    }
}

impl std::error::Error for GlobError {}

impl Glob {
    /// Reads a pattern.
    pub fn new(pattern: &str) -> Result<Glob, GlobError> {
        let (components, beneath) = match pattern.strip_suffix("**") {
            Some("") => ("", true),
            Some(directory) => (directory.strip_suffix('/').ok_or(GlobError)?, true),
            None => (pattern, false),
        };
        if components.contains("**") {
            return Err(GlobError);
        }
        let components = match pattern {
            "**" => Vec::new(),
            _ => components
                .split('/')
                .map(|part| Wildcard::new(part, false))
                .collect(),
        };
        Ok(Glob {
            prefix: pattern.split('*').next().unwrap_or("").into(),
            suffix: pattern.rsplit('*').next().unwrap_or("").into(),
            components,
            beneath,
        })
    }

    /// Whether the whole path matches.
    pub fn matches(&self, path: &str) -> bool {
        if !path.starts_with(&*self.prefix) {
            return false;
        }
        let mut parts = path.split('/');
        let each = self.components.iter().all(|component| match parts.next() {
            Some(part) => component.matches(part),
            None => false,
        });
        each && (parts.next().is_some() == self.beneath)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wildcards() {
        let rows = [
            ("", "", true),
            ("", "a", false),
            ("abc", "abc", true),
            ("abc", "abcd", false),
            ("*", "", true),
            ("*", "a/b", true),
            ("a*", "a", true),
            ("a*", "ba", false),
            ("*a", "ba", true),
            ("*a", "ab", false),
            ("a*a", "a", false),
            ("a*a", "aa", true),
            ("*b*", "abc", true),
            ("*b*", "ac", false),
            ("a*b*c", "a-b-b-c", true),
            ("a*b*c", "acb", false),
            ("*ab*ab*", "ab", false),
            ("*ab*ab*", "abab", true),
            ("**", "x", true),
            ("a**b", "a-b", true),
            ("*ü*", "grün", true),
            ("?", "a", false),
            ("A*", "abc", false),
        ];
        for (pattern, text, expected) in rows {
            assert_eq!(
                Wildcard::new(pattern, false).matches(text),
                expected,
                "{pattern} {text}"
            );
        }
    }

    #[test]
    fn wildcards_without_regard_to_case() {
        let rows = [
            ("*.Example.COM", "www.example.com", true),
            ("WWW.*", "www.x", true),
            ("a*B*c", "A-b-C", true),
            ("*xB*", "aXbc", true),
            ("*.org", "a.com", false),
            ("*é*", "É", false),
        ];
        for (pattern, text, expected) in rows {
            assert_eq!(
                Wildcard::new(pattern, true).matches(text),
                expected,
                "{pattern} {text}"
            );
        }
    }

    #[test]
    fn globs() {
        let rows = [
            ("/etc/passwd", "/etc/passwd", true),
            ("/etc/*", "/etc/passwd", true),
            ("/etc/*", "/etc/ssh/config", false),
            ("/etc/*", "/etc", false),
            ("/etc/**", "/etc/ssh/config", true),
            ("/etc/**", "/etc/passwd", true),
            ("/etc/**", "/etc", false),
            ("/etc/**", "/etcetera/x", false),
            ("/**", "/a/b", true),
            ("**", "/a/b", true),
            ("**", "memfd:x", true),
            ("/usr/*/py*", "/usr/bin/python3", true),
            ("/usr/*/py*", "/usr/bin/perl", false),
            ("/usr/*/py*", "/usr/local/bin/python3", false),
            ("/proc/*/mem", "/proc/1/mem", true),
            ("/h*/.ssh/**", "/home/.ssh/a/b", true),
            ("*", "name", true),
            ("*", "/name", false),
            ("/*/b", "/a/b", true),
            ("/*", "/a", true),
        ];
        for (pattern, path, expected) in rows {
            assert_eq!(
                Glob::new(pattern).unwrap().matches(path),
                expected,
                "{pattern} {path}"
            );
        }
        for pattern in ["/a/**/b", "/a**", "a**b", "***", "/**/**", "**/b"] {
            assert!(Glob::new(pattern).is_err(), "{pattern}");
        }
    }

    #[test]
    fn ends_that_every_match_has() {
        let rows = [
            ("/etc/passwd", "/etc/passwd", "/etc/passwd", Some("passwd")),
            ("/etc/*", "/etc/", "", None),
            ("/etc/**", "/etc/", "", None),
            ("**", "", "", None),
            ("*", "", "", None),
            ("/proc/*/mem", "/proc/", "/mem", Some("mem")),
            ("/h*/.ssh/id_*.pub", "/h", ".pub", None),
            ("/h*/", "/h", "/", Some("")),
        ];
        for (pattern, prefix, suffix, basename) in rows {
            let glob = Pattern::Glob(Glob::new(pattern).unwrap());
            assert_eq!(glob.prefix(), prefix, "{pattern}");
            assert_eq!(glob.suffix(), suffix, "{pattern}");
            assert_eq!(glob.basename(), basename, "{pattern}");
        }
        for (pattern, prefix, suffix) in [("a*b*c", "a", "c"), ("abc", "abc", "abc"), ("*", "", "")]
        {
            let wildcard = Pattern::Wildcard(Wildcard::new(pattern, false));
            assert_eq!(wildcard.prefix(), prefix, "{pattern}");
            assert_eq!(wildcard.suffix(), suffix, "{pattern}");
            assert_eq!(wildcard.basename(), None, "{pattern}");
        }
    }

    #[test]
    fn a_pattern_of_many_stars_takes_no_time() {
        let pattern = "a*".repeat(2_000) + "b";
        let text = "a".repeat(100_000);
        assert!(!Wildcard::new(&pattern, false).matches(&text));
        assert!(!Wildcard::new(&pattern, true).matches(&text));
    }
}
