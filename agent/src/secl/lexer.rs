//! Text to tokens.
//!
//! A token carries what it means (a duration in nanoseconds, a string without its quotes) and its
//! bytes in the source. Comments (`#` or `//` to the end of the line) and blanks are dropped. In
//! strings and patterns `\"` is a quote and every other backslash stands for itself; regexps are
//! left raw.

use super::types::IpNet;
use super::{Error, MAX_LENGTH};
use std::ops::Range;

/// A token with its place.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Token {
    pub(super) kind: TokenKind,
    pub(super) span: Range<usize>,
}

/// What a token is.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum TokenKind {
    /// A field, constant, macro or word operator.
    Word(String),
    /// The name within `${…}`.
    Variable(String),
    Integer(i64),
    /// Nanoseconds.
    Duration(i64),
    Text(String),
    Pattern(String),
    Regexp(String),
    Ip(IpNet),
    /// An operator or bracket, as listed in [`SYMBOLS`].
    Symbol(&'static str),
    /// Behind the last token.
    End,
}

/// Operators and brackets; longer ones before those they begin with.
const SYMBOLS: &[&str] = &[
    "==", "!=", "=~", "!~", ">=", "<=", "&&", "||", ">", "<", "!", "&", "|", "^", "+", "-", "(",
    ")", "[", "]", ",",
];

/// Words that are operators; a bracket behind one opens a list and is no index.
const OPERATORS: &[&str] = &["in", "allin", "not", "and", "or"];

const UNITS: &[(&str, i64)] = &[
    ("ns", 1),
    ("us", 1_000),
    ("ms", 1_000_000),
    ("s", 1_000_000_000),
    ("m", 60_000_000_000),
    ("h", 3_600_000_000_000),
    ("d", 86_400_000_000_000),
];

/// Splits an expression; the last token is always [`TokenKind::End`].
pub(super) fn tokens(text: &str) -> Result<Vec<Token>, Error> {
    if text.len() > MAX_LENGTH {
        return Err(Error::new(
            format!(
                "the expression has {} bytes, at most {MAX_LENGTH} are read; split the rule",
                text.len()
            ),
            0..text.len(),
        ));
    }
    let mut lexer = Lexer { text, at: 0 };
    let mut tokens = Vec::new();
    loop {
        let token = lexer.next()?;
        let end = token.kind == TokenKind::End;
        tokens.push(token);
        if end {
            return Ok(tokens);
        }
    }
}

struct Lexer<'a> {
    text: &'a str,
    at: usize,
}

impl<'a> Lexer<'a> {
    fn rest(&self) -> &'a str {
        self.text.get(self.at..).unwrap_or("")
    }

    /// The longest run of such characters from here.
    fn run(&self, accept: impl Fn(char) -> bool) -> &'a str {
        let rest = self.rest();
        let end = rest.find(|letter| !accept(letter)).unwrap_or(rest.len());
        rest.get(..end).unwrap_or("")
    }

    fn skip_blanks(&mut self) {
        loop {
            let blanks = self.run(char::is_whitespace).len();
            self.at += blanks;
            let rest = self.rest();
            if !(rest.starts_with('#') || rest.starts_with("//")) {
                return;
            }
            self.at += self.run(|letter| letter != '\n').len();
        }
    }

    fn next(&mut self) -> Result<Token, Error> {
        self.skip_blanks();
        let start = self.at;
        let kind = self.kind()?;
        Ok(Token {
            kind,
            span: start..self.at,
        })
    }

    fn kind(&mut self) -> Result<TokenKind, Error> {
        let rest = self.rest();
        let Some(first) = rest.chars().next() else {
            return Ok(TokenKind::End);
        };
        if rest.starts_with("~\"") {
            return self
                .quoted(2)
                .map(|raw| TokenKind::Pattern(without_escapes(raw)));
        }
        if rest.starts_with("r\"") {
            return self.quoted(2).map(|raw| TokenKind::Regexp(raw.to_owned()));
        }
        if first == '"' {
            return self
                .quoted(1)
                .map(|raw| TokenKind::Text(without_escapes(raw)));
        }
        if rest.starts_with("${") {
            return self.variable();
        }
        if let Some(kind) = self.address()? {
            return Ok(kind);
        }
        if first.is_ascii_digit() {
            return self.number();
        }
        if first.is_ascii_alphabetic() || first == '_' {
            return Ok(TokenKind::Word(self.word()));
        }
        self.symbol(first)
    }

    /// What lies between the quotes; `opening` is the length of the first quote with its mark.
    fn quoted(&mut self, opening: usize) -> Result<&'a str, Error> {
        let start = self.at + opening;
        let mut escaped = false;
        for (offset, letter) in self.text.get(start..).unwrap_or("").char_indices() {
            match letter {
                _ if escaped => escaped = false,
                '\\' => escaped = true,
                '"' => {
                    self.at = start + offset + 1;
                    return Ok(self.text.get(start..start + offset).unwrap_or(""));
                }
                _ => {}
            }
        }
        Err(Error::new(
            "this string has no closing quote",
            self.at..self.text.len(),
        ))
    }

    fn variable(&mut self) -> Result<TokenKind, Error> {
        let start = self.at;
        let rest = self.rest();
        let Some(close) = rest.find('}') else {
            return Err(Error::new(
                "this variable has no closing `}`",
                start..self.text.len(),
            ));
        };
        self.at += close + 1;
        let name = rest.get(2..close).unwrap_or("").trim();
        let fits = |letter: char| letter.is_ascii_alphanumeric() || letter == '_' || letter == '.';
        if name.is_empty() || !name.chars().all(fits) {
            return Err(Error::new(
                "a variable is written ${name}, with letters, digits, `_` and `.` in its name",
                start..self.at,
            ));
        }
        Ok(TokenKind::Variable(name.to_owned()))
    }

    /// An address or network, when what follows can be nothing else.
    fn address(&mut self) -> Result<Option<TokenKind>, Error> {
        let run = self.run(|letter| letter.is_ascii_hexdigit() || letter == ':' || letter == '.');
        let colons = run.matches(':').count();
        let dots = run.matches('.').count();
        let decimal = run.starts_with(|first: char| first.is_ascii_digit());
        if colons < 2 && !(decimal && dots == 3) {
            return Ok(None);
        }
        let start = self.at;
        self.at += run.len();
        let prefix = self.rest().strip_prefix('/').unwrap_or("");
        if prefix.starts_with(|first: char| first.is_ascii_digit()) {
            self.at += 1;
            self.at += self.run(|letter| letter.is_ascii_digit()).len();
        }
        let parsed: Result<IpNet, _> = self.text.get(start..self.at).unwrap_or("").parse();
        parsed
            .map(|net| Some(TokenKind::Ip(net)))
            .map_err(|error| Error::new(error.to_string(), start..self.at))
    }

    fn number(&mut self) -> Result<TokenKind, Error> {
        let start = self.at;
        let run = self.run(|letter| letter.is_ascii_alphanumeric() || letter == '_');
        self.at += run.len();
        let span = start..self.at;
        let digits_end = run
            .find(|letter: char| !letter.is_ascii_digit())
            .unwrap_or(run.len());
        let (digits, unit) = run.split_at_checked(digits_end).unwrap_or((run, ""));
        if unit.is_empty() {
            return integer(digits, span).map(TokenKind::Integer);
        }
        let Some((_, nanoseconds)) = UNITS.iter().find(|(name, _)| *name == unit) else {
            return Err(Error::new(
                format!("`{run}` is neither a decimal number nor a duration such as 10s or 5m"),
                span,
            ));
        };
        let count: Option<i64> = digits.parse().ok();
        count
            .and_then(|count| count.checked_mul(*nanoseconds))
            .map(TokenKind::Duration)
            .ok_or_else(|| Error::new(format!("the duration `{run}` is too long"), span))
    }

    /// A word with its indices: `process.ancestors[0].file.name` is one.
    fn word(&mut self) -> String {
        let start = self.at;
        let part = |letter: char| letter.is_ascii_alphanumeric() || letter == '_' || letter == '.';
        loop {
            self.at += self.run(part).len();
            let word = self.text.get(start..self.at).unwrap_or("");
            let index = self.index();
            if index == 0 || OPERATORS.contains(&word) {
                return word.to_owned();
            }
            self.at += index;
        }
    }

    /// The length of an index `[0]` or `[A]` right here, else 0.
    fn index(&self) -> usize {
        let Some(inner) = self.rest().strip_prefix('[') else {
            return 0;
        };
        let fits = |letter: char| letter.is_ascii_alphanumeric() || letter == '_';
        let end = inner.find(|letter| !fits(letter)).unwrap_or(inner.len());
        let closed = inner.get(end..).unwrap_or("").starts_with(']');
        if closed && end > 0 {
            end + 2
        } else {
            0
        }
    }

    fn symbol(&mut self, first: char) -> Result<TokenKind, Error> {
        let rest = self.rest();
        if let Some(symbol) = SYMBOLS.iter().find(|symbol| rest.starts_with(**symbol)) {
            self.at += symbol.len();
            return Ok(TokenKind::Symbol(symbol));
        }
        let span = self.at..self.at + first.len_utf8();
        let message = match first {
            '=' => "`=` is no operator; equality is written `==`".to_owned(),
            '~' => "`~` must be followed by a quoted pattern, as in ~\"*.so\"".to_owned(),
            '\'' => "strings are written with double quotes".to_owned(),
            _ => format!("unexpected character `{}`", first.escape_debug()),
        };
        Err(Error::new(message, span))
    }
}

/// Digits as a number: octal after a leading zero, as file modes are written.
fn integer(digits: &str, span: Range<usize>) -> Result<i64, Error> {
    let octal = digits.len() > 1 && digits.starts_with('0');
    let parsed = i64::from_str_radix(digits, if octal { 8 } else { 10 });
    parsed.map_err(|_| {
        let message = if octal && digits.contains(['8', '9']) {
            format!("`{digits}` begins with 0 and is therefore octal, which has no digits 8 and 9")
        } else {
            format!("`{digits}` does not fit into 64 bits")
        };
        Error::new(message, span)
    })
}

fn without_escapes(raw: &str) -> String {
    raw.replace("\\\"", "\"")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kinds(text: &str) -> Vec<TokenKind> {
        let mut kinds: Vec<_> = tokens(text)
            .unwrap()
            .into_iter()
            .map(|token| token.kind)
            .collect();
        assert_eq!(kinds.pop(), Some(TokenKind::End));
        kinds
    }

    #[test]
    fn each_literal_is_one_token() {
        let text = |text: &str| TokenKind::Text(text.to_owned());
        let rows = [
            ("\"a b\"", text("a b")),
            ("\"\"", text("")),
            (r#""a\"b""#, text("a\"b")),
            (r#""C:\dir""#, text(r"C:\dir")),
            (r#""ends\\""#, text(r"ends\\")),
            ("\"# no // comment\"", text("# no // comment")),
            ("~\"/etc/*\"", TokenKind::Pattern("/etc/*".to_owned())),
            (r#"r"\.py\"$""#, TokenKind::Regexp(r#"\.py\"$"#.to_owned())),
            ("0", TokenKind::Integer(0)),
            ("42", TokenKind::Integer(42)),
            ("0777", TokenKind::Integer(0o777)),
            ("5s", TokenKind::Duration(5_000_000_000)),
            ("10ms", TokenKind::Duration(10_000_000)),
            ("2d", TokenKind::Duration(172_800_000_000_000)),
            ("10.0.0.1", TokenKind::Ip("10.0.0.1".parse().unwrap())),
            ("10.0.0.0/8", TokenKind::Ip("10.0.0.0/8".parse().unwrap())),
            ("::", TokenKind::Ip("::".parse().unwrap())),
            ("::1", TokenKind::Ip("::1".parse().unwrap())),
            ("fe80::/10", TokenKind::Ip("fe80::/10".parse().unwrap())),
            ("2001:db8::1", TokenKind::Ip("2001:db8::1".parse().unwrap())),
            ("${process.x}", TokenKind::Variable("process.x".to_owned())),
            ("a.b[0].c", TokenKind::Word("a.b[0].c".to_owned())),
            ("a[A].c", TokenKind::Word("a[A].c".to_owned())),
            ("dead.beef", TokenKind::Word("dead.beef".to_owned())),
            ("x # comment", TokenKind::Word("x".to_owned())),
            ("// one\nx", TokenKind::Word("x".to_owned())),
        ];
        for (source, expected) in rows {
            assert_eq!(kinds(source), [expected], "{source}");
        }
    }

    #[test]
    fn brackets_behind_operators_open_lists() {
        for source in ["x in[A]", "x allin[A]", "x in [A]"] {
            assert_eq!(kinds(source).len(), 5, "{source}");
        }
        assert_eq!(kinds("[O_CREAT,O_RDWR]").len(), 5);
        assert_eq!(kinds("10.0.0.1//comment").len(), 1);
    }

    #[test]
    fn any_prefix_of_anything_ends_without_harm() {
        let text = "a.b[0] == \"ü\\\"\" && ~\"x\" !~ r\"\\d\" || ${v} in [1, 5s, ::1/64] # ende ü";
        for end in (0..=text.len()).filter(|end| text.is_char_boundary(*end)) {
            let _ = tokens(&text[..end]);
        }
    }
}
