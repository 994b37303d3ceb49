//! Regular expressions as policies and the configuration write them, without Unicode tables.
//!
//! Policies are written for Go's regexps, where `\w`, `\d`, `\s` and `\b` are about ASCII. Their
//! tree is rewritten before it is compiled: these become what they are in Go, and letters whose
//! case does not count become sets of letters, by the case mapping that the standard library has
//! anyway. The tables of Unicode would be 170 KB of the binary; without them letters, their cases,
//! numbers, spaces and controls (`\pL`, `\p{Lu}`, …) are what the standard library takes for them,
//! and `\p{Greek}` and the like are refused. Texts enter, a [`Regex`] leaves.

use std::fmt;

use regex_automata::meta::{Config, Regex};
use regex_syntax::ast::parse::Parser;
use regex_syntax::ast::{
    AssertionKind, Ast, ClassAscii, ClassAsciiKind, ClassBracketed, ClassPerl, ClassPerlKind,
    ClassSet, ClassSetItem, ClassSetRange, ClassSetUnion, ClassUnicode, ClassUnicodeKind, Flag,
    Flags, FlagsItem, FlagsItemKind, Group, GroupKind, Literal, LiteralKind, Span,
};
use regex_syntax::hir::{translate::Translator, Hir};

/// The most letters of a range that are looked at one by one for their other case.
const FOLDED_RANGE: usize = 1024;

/// How much a regexp may use.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Bytes of the compiled regexp.
    pub size: usize,
    /// Bytes of its automaton while matching; it gets slower, not wrong, with less than it wants.
    pub cache: usize,
}

/// Why there is no regexp.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Error {
    /// It is not written as regexps are.
    Syntax(String),
    /// It takes more than this many bytes.
    Size(usize),
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Error::Syntax(reason) => write!(f, "this is no valid regexp: {reason}"),
            Error::Size(limit) => {
                write!(f, "this regexp takes more than {limit} bytes when compiled")
            }
        }
    }
}

impl std::error::Error for Error {}

/// Compiles regexps into one automaton that tells them apart.
pub fn compile<T: AsRef<str>>(
    texts: &[T],
    fold_case: bool,
    limits: Limits,
) -> Result<Regex, Error> {
    let trees: Result<Vec<Hir>, Error> = texts
        .iter()
        .map(|text| parse(text.as_ref(), fold_case))
        .collect();
    let config = Config::new()
        .nfa_size_limit(Some(limits.size))
        .hybrid_cache_capacity(limits.cache);
    Regex::builder()
        .configure(config)
        .build_many_from_hir(&trees?)
        .map_err(|error| match error.size_limit() {
            Some(_) => Error::Size(limits.size),
            None => Error::Syntax(error.to_string()),
        })
}

fn parse(text: &str, fold_case: bool) -> Result<Hir, Error> {
    let mut tree = Parser::new()
        .parse(text)
        .map_err(|error| Error::Syntax(error.kind().to_string()))?;
    let mut fold = fold_case;
    rewrite(&mut tree, &mut fold);
    Translator::new()
        .translate(text, &tree)
        .map_err(|error| Error::Syntax(error.kind().to_string()))
}

/// Rewrites a tree. `fold` says whether case does not count where it begins, and where it ended.
/// The parser bounds the depth.
fn rewrite(tree: &mut Ast, fold: &mut bool) {
    match tree {
        Ast::Flags(set) => take_case(&mut set.flags, fold),
        Ast::Literal(literal) if *fold => {
            if let Some(set) = both_cases(literal) {
                *tree = class(set);
            }
        }
        Ast::Assertion(assertion) if is_about_words(&assertion.kind) => {
            *tree = in_ascii(tree.clone());
        }
        Ast::ClassUnicode(unicode) => {
            if let Some(set) = letters(unicode, *fold) {
                *tree = class(set);
            }
        }
        Ast::ClassPerl(perl) => *tree = class(ClassSetItem::Ascii(ascii(perl))),
        Ast::ClassBracketed(bracketed) => rewrite_set(&mut bracketed.kind, *fold),
        Ast::Repetition(repetition) => rewrite(&mut repetition.ast, fold),
        Ast::Group(group) => {
            let outside = *fold;
            if let GroupKind::NonCapturing(flags) = &mut group.kind {
                take_case(flags, fold);
            }
            rewrite(&mut group.ast, fold);
            *fold = outside;
        }
        Ast::Alternation(all) => all.asts.iter_mut().for_each(|one| rewrite(one, fold)),
        Ast::Concat(all) => all.asts.iter_mut().for_each(|one| rewrite(one, fold)),
        _ => {}
    }
}

/// Takes `i` out of flags.
fn take_case(flags: &mut Flags, fold: &mut bool) {
    if let Some(wanted) = flags.flag_state(Flag::CaseInsensitive) {
        *fold = wanted;
    }
    let is_case = |item: &FlagsItem| item.kind == FlagsItemKind::Flag(Flag::CaseInsensitive);
    flags.items.retain(|item| !is_case(item));
}

fn is_about_words(kind: &AssertionKind) -> bool {
    !matches!(
        kind,
        AssertionKind::StartLine
            | AssertionKind::EndLine
            | AssertionKind::StartText
            | AssertionKind::EndText
    )
}

/// `(?-u:…)`
fn in_ascii(tree: Ast) -> Ast {
    let span = *tree.span();
    let item = |kind| FlagsItem { span, kind };
    let items = vec![
        item(FlagsItemKind::Negation),
        item(FlagsItemKind::Flag(Flag::Unicode)),
    ];
    Ast::group(Group {
        span,
        kind: GroupKind::NonCapturing(Flags { span, items }),
        ast: Box::new(tree),
    })
}

/// A bracketed class of one item.
fn class(item: ClassSetItem) -> Ast {
    Ast::class_bracketed(ClassBracketed {
        span: *item.span(),
        negated: false,
        kind: ClassSet::Item(item),
    })
}

fn ascii(perl: &ClassPerl) -> ClassAscii {
    ClassAscii {
        span: perl.span,
        kind: match perl.kind {
            ClassPerlKind::Digit => ClassAsciiKind::Digit,
            ClassPerlKind::Space => ClassAsciiKind::Space,
            ClassPerlKind::Word => ClassAsciiKind::Word,
        },
        negated: perl.negated,
    }
}

fn rewrite_set(set: &mut ClassSet, fold: bool) {
    match set {
        ClassSet::Item(item) => rewrite_item(item, fold),
        ClassSet::BinaryOp(operation) => {
            rewrite_set(&mut operation.lhs, fold);
            rewrite_set(&mut operation.rhs, fold);
        }
    }
}

fn rewrite_item(item: &mut ClassSetItem, fold: bool) {
    match item {
        ClassSetItem::Perl(perl) => *item = ClassSetItem::Ascii(ascii(perl)),
        ClassSetItem::Unicode(unicode) => {
            if let Some(set) = letters(unicode, fold) {
                *item = set;
            }
        }
        ClassSetItem::Bracketed(bracketed) => rewrite_set(&mut bracketed.kind, fold),
        ClassSetItem::Union(union) => union
            .items
            .iter_mut()
            .for_each(|one| rewrite_item(one, fold)),
        ClassSetItem::Ascii(class) if fold => {
            if matches!(class.kind, ClassAsciiKind::Lower | ClassAsciiKind::Upper) {
                class.kind = ClassAsciiKind::Alpha;
            }
        }
        ClassSetItem::Literal(literal) if fold => {
            if let Some(set) = both_cases(literal) {
                *item = set;
            }
        }
        ClassSetItem::Range(range) if fold => *item = folded_range(range),
        _ => {}
    }
}

/// Which characters a class such as `\p{Lu}` is about; `None` when only tables know.
fn membership(class: &ClassUnicode, fold: bool) -> Option<fn(char) -> bool> {
    let mut letter = [0; 4];
    let name: &str = match &class.kind {
        ClassUnicodeKind::OneLetter(c) => c.encode_utf8(&mut letter),
        ClassUnicodeKind::Named(name) => name,
        ClassUnicodeKind::NamedValue { .. } => return None,
    };
    Some(match name {
        "Lu" | "Ll" if fold => |c| c.is_uppercase() || c.is_lowercase(),
        "L" => char::is_alphabetic,
        "Lu" => char::is_uppercase,
        "Ll" => char::is_lowercase,
        "N" | "Nd" => char::is_numeric,
        "Z" | "Zs" => char::is_whitespace,
        "C" | "Cc" => char::is_control,
        _ => return None,
    })
}

/// Such a class as ranges of characters.
fn letters(class: &ClassUnicode, fold: bool) -> Option<ClassSetItem> {
    let is_member = membership(class, fold)?;
    let literal = |c| Literal {
        span: class.span,
        kind: LiteralKind::Verbatim,
        c,
    };
    let mut ranges: Vec<(char, char)> = Vec::new();
    for c in ('\0'..=char::MAX).filter(|c| is_member(*c)) {
        match ranges.last_mut() {
            Some((_, last)) if *last as u32 + 1 == c as u32 => *last = c,
            _ => ranges.push((c, c)),
        }
    }
    let ranges = ranges.into_iter().map(|(start, end)| {
        ClassSetItem::Range(ClassSetRange {
            span: class.span,
            start: literal(start),
            end: literal(end),
        })
    });
    Some(ClassSetItem::Bracketed(Box::new(ClassBracketed {
        span: class.span,
        negated: class.is_negated(),
        kind: ClassSet::Item(union(class.span, ranges.collect())),
    })))
}

/// A letter in both cases; `None` for what has only one.
fn both_cases(literal: &Literal) -> Option<ClassSetItem> {
    let items: Vec<ClassSetItem> = std::iter::once(literal.c)
        .chain(other_cases(literal.c))
        .map(|c| ClassSetItem::Literal(with(literal, c)))
        .collect();
    (items.len() > 1).then(|| union(literal.span, items))
}

/// The other cases of a letter that are one letter, too.
fn other_cases(c: char) -> impl Iterator<Item = char> {
    let (lower, upper) = (c.to_lowercase(), c.to_uppercase());
    let lower = (lower.len() == 1).then_some(lower).into_iter().flatten();
    let upper = (upper.len() == 1).then_some(upper).into_iter().flatten();
    lower.chain(upper).filter(move |other| *other != c)
}

fn with(literal: &Literal, c: char) -> Literal {
    Literal {
        c,
        ..literal.clone()
    }
}

fn union(span: Span, items: Vec<ClassSetItem>) -> ClassSetItem {
    ClassSetItem::Union(ClassSetUnion { span, items })
}

/// A range and the other cases of what is in it. Of a range that is long beyond ASCII only the
/// letters of ASCII are folded.
fn folded_range(range: &ClassSetRange) -> ClassSetItem {
    let (start, end) = (range.start.c, range.end.c);
    let is_long = (end as usize).saturating_sub(start as usize) > FOLDED_RANGE;
    let last = if is_long { end.min('\x7f') } else { end };
    let mut items = vec![ClassSetItem::Range(range.clone())];
    let others = (start..=last).flat_map(other_cases);
    let outside = others.filter(|c| !(start..=end).contains(c));
    items.extend(outside.map(|c| ClassSetItem::Literal(with(&range.start, c))));
    union(range.span, items)
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMITS: Limits = Limits {
        size: 1 << 18,
        cache: 1 << 18,
    };

    fn matches(regexp: &str, text: &str, fold_case: bool) -> bool {
        compile(&[regexp], fold_case, LIMITS)
            .unwrap()
            .is_match(text)
    }

    #[test]
    fn case_is_folded_where_flags_say_so() {
        let rows = [
            ("(?i)nginx", "NginX", true),
            ("nginx", "Nginx", false),
            ("(?i)a(?-i)b", "Ab", true),
            ("(?i)a(?-i)b", "AB", false),
            ("(?i:a)b", "Ab", true),
            ("(?i:a)b", "AB", false),
            ("a(?i)b|c", "C", true),
            ("x(a(?i)b)c", "xaBc", true),
            ("x(a(?i)b)c", "xaBC", false),
            ("(?i)[a-c]+$", "ABC", true),
            ("(?i)^[^a-c]$", "B", false),
            ("(?i)[[:lower:]]", "A", true),
            ("(?i)^[B-z]$", "b", true),
            ("(?i)(?m:^a)", "x\nA", true),
            ("(?i)grün", "GRÜN", true),
            ("(?i)[ä-ü]", "Ö", true),
            ("(?i)привет", "ПРИВЕТ", true),
            ("(?i)^.$", "é", true),
            ("(?i)a{2}", "aA", true),
            ("(?i)\x41", "a", true),
            ("(?is)a.b", "A\nB", true),
            ("(?i)stra\u{df}e", "STRASSE", false),
        ];
        for (regexp, text, expected) in rows {
            assert_eq!(matches(regexp, text, false), expected, "{regexp} {text}");
        }
        assert!(matches("nginx[a-c]", "NGINXB", true));
        assert!(!matches("(?-i)nginx", "NGINX", true));
    }

    #[test]
    fn classes_are_those_of_go() {
        let rows = [
            (r"^\w+$", "ab_9", true),
            (r"^\w$", "é", false),
            (r"^\W$", "é", true),
            (r"^[\w-]+$", "a-b", true),
            (r"^[^\w]$", "é", true),
            (r"^\d$", "٣", false),
            (r"^\D$", "٣", true),
            (r"^\s$", "\u{2003}", false),
            (r"\bcat\b", "a cat.", true),
            (r"\bcat\b", "concat", false),
            (r"é\b", "é", false),
            (r"\Bcat", "concat", true),
            (r"^[\d&&[3-5]]$", "4", true),
            (r"^.$", "語", true),
            (r"^\pL$", "語", true),
            (r"^\p{Lu}$", "Ü", true),
            (r"^\p{Lu}$", "ü", false),
            (r"(?i)^\p{Lu}$", "ü", true),
            (r"^\P{Ll}$", "ü", false),
            (r"^[\p{Nd}x]+$", "x٣", true),
        ];
        for (regexp, text, expected) in rows {
            assert_eq!(matches(regexp, text, false), expected, "{regexp} {text}");
        }
    }

    #[test]
    fn errors_are_sentences() {
        let refused = |regexp: &str| compile(&[regexp], false, LIMITS).unwrap_err().to_string();
        assert_eq!(refused("a("), "this is no valid regexp: unclosed group");
        assert!(refused("(a{1000}){1000}").starts_with("this regexp takes more than"));
        assert!(refused(r"\p{Greek}").contains("Unicode"));
    }

    #[test]
    fn several_are_told_apart() {
        let regex = compile(&["a", "(?i)b"], false, LIMITS).unwrap();
        assert_eq!(regex.find("xB").unwrap().pattern().as_usize(), 1);
    }
}
