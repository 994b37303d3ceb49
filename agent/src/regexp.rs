//! Regular expressions as policies and the configuration write them, without Unicode tables.
//!
//! Policies are written for Go's regexps, where `\w`, `\d`, `\s` and `\b` are about ASCII. Their
//! tree is rewritten before it is compiled: these become what they are in Go, and letters whose
//! case does not count become sets of letters, by the case mapping that the standard library has
//! anyway. The tables of Unicode would be 170 KB of the binary; without them letters, their cases,
//! numbers, spaces and controls (`\pL`, `\p{Lu}`, …) are what the standard library takes for them.
//! What it cannot tell is refused: `\p{Nd}`, `\p{P}`, `\p{S}`, `\p{M}`, `\p{Greek}` and the like.
//! How much the rewriting makes of a text is bounded. Texts enter, a [`Regex`] leaves.

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
/// The most letters that the ranges of a regexp may have looked at: each becomes an item of the
/// tree, of which there are about 160 bytes.
const ROOM: usize = 64 * 1024;
/// What a class such as `\pL` counts for; the longest has about 700 ranges.
const CLASS: usize = 1024;
/// Letters with one of which another one is the same when case does not count, though it is not
/// what that one becomes in the other case.
const THIRD_CASES: [(char, char); 7] = [
    ('k', '\u{212a}'),
    ('s', 'ſ'),
    ('å', '\u{212b}'),
    ('μ', '\u{b5}'),
    ('σ', 'ς'),
    ('ω', '\u{2126}'),
    ('ß', 'ẞ'),
];
/// What `\s` is: not `[[:space:]]`, which has the vertical tab, too.
const SPACES: [char; 5] = ['\t', '\n', '\x0c', '\r', ' '];

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
        .map(|text| parse(text.as_ref(), fold_case, limits.size))
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

fn parse(text: &str, fold_case: bool, size: usize) -> Result<Hir, Error> {
    let mut tree = Parser::new()
        .parse(text)
        .map_err(|error| Error::Syntax(error.kind().to_string()))?;
    let mut rewriting = Rewriting {
        fold: fold_case,
        room: Some(ROOM),
    };
    rewriting.rewrite(&mut tree);
    if rewriting.room.is_none() {
        return Err(Error::Size(size));
    }
    Translator::new()
        .translate(text, &tree)
        .map_err(|error| Error::Syntax(error.kind().to_string()))
}

/// The state of rewriting a tree.
struct Rewriting {
    /// Whether case does not count, here.
    fold: bool,
    /// What is left of [`ROOM`]; `None` once more was asked for, and nothing is made any more.
    room: Option<usize>,
}

impl Rewriting {
    /// Rewrites a tree. The parser bounds the depth.
    fn rewrite(&mut self, tree: &mut Ast) {
        match tree {
            Ast::Flags(set) => take_case(&mut set.flags, &mut self.fold),
            Ast::Literal(literal) if self.fold => {
                if let Some(set) = both_cases(literal) {
                    *tree = class(set);
                }
            }
            Ast::Assertion(assertion) if is_about_words(&assertion.kind) => {
                *tree = in_ascii(tree.clone());
            }
            Ast::ClassUnicode(unicode) => {
                if let Some(set) = self.letters(unicode) {
                    *tree = class(set);
                }
            }
            Ast::ClassPerl(perl) => *tree = class(as_in_go(perl)),
            Ast::ClassBracketed(bracketed) => self.rewrite_set(&mut bracketed.kind),
            Ast::Repetition(repetition) => self.rewrite(&mut repetition.ast),
            Ast::Group(group) => {
                let outside = self.fold;
                if let GroupKind::NonCapturing(flags) = &mut group.kind {
                    take_case(flags, &mut self.fold);
                }
                self.rewrite(&mut group.ast);
                self.fold = outside;
            }
            Ast::Alternation(all) => all.asts.iter_mut().for_each(|one| self.rewrite(one)),
            Ast::Concat(all) => all.asts.iter_mut().for_each(|one| self.rewrite(one)),
            _ => {}
        }
    }

    fn rewrite_set(&mut self, set: &mut ClassSet) {
        match set {
            ClassSet::Item(item) => self.rewrite_item(item),
            ClassSet::BinaryOp(operation) => {
                self.rewrite_set(&mut operation.lhs);
                self.rewrite_set(&mut operation.rhs);
            }
        }
    }

    fn rewrite_item(&mut self, item: &mut ClassSetItem) {
        let items = match item {
            ClassSetItem::Perl(perl) => Some(as_in_go(perl)),
            ClassSetItem::Unicode(unicode) => self.letters(unicode),
            ClassSetItem::Bracketed(bracketed) => return self.rewrite_set(&mut bracketed.kind),
            ClassSetItem::Union(union) => {
                return union
                    .items
                    .iter_mut()
                    .for_each(|one| self.rewrite_item(one))
            }
            ClassSetItem::Ascii(class) if self.fold => {
                if matches!(class.kind, ClassAsciiKind::Lower | ClassAsciiKind::Upper) {
                    class.kind = ClassAsciiKind::Alpha;
                }
                None
            }
            ClassSetItem::Literal(literal) if self.fold => both_cases(literal),
            ClassSetItem::Range(range) if self.fold => self.folded_range(range),
            _ => None,
        };
        if let Some(items) = items {
            *item = items;
        }
    }

    /// Takes so much of what is left; whether there was so much.
    fn spend(&mut self, count: usize) -> bool {
        self.room = self.room.and_then(|room| room.checked_sub(count));
        self.room.is_some()
    }

    /// A class such as `\p{Lu}` as ranges of characters.
    fn letters(&mut self, class: &ClassUnicode) -> Option<ClassSetItem> {
        let is_member = membership(class, self.fold)?;
        self.spend(CLASS).then(|| letters(class, is_member))
    }

    /// A range and the other cases of what is in it. Of a range that is long beyond ASCII only the
    /// letters of ASCII are folded.
    fn folded_range(&mut self, range: &ClassSetRange) -> Option<ClassSetItem> {
        let (start, end) = (range.start.c, range.end.c);
        let is_long = (end as usize).saturating_sub(start as usize) > FOLDED_RANGE;
        let last = if is_long { end.min('\x7f') } else { end };
        if !self.spend((start..=last).count()) {
            return None;
        }
        let mut items = vec![ClassSetItem::Range(range.clone())];
        let others = (start..=last).flat_map(other_cases);
        let outside = others.filter(|c| !(start..=end).contains(c));
        items.extend(outside.map(|c| ClassSetItem::Literal(with(&range.start, c))));
        Some(union(range.span, items))
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

/// `\d`, `\s`, `\w` and their opposites.
fn as_in_go(perl: &ClassPerl) -> ClassSetItem {
    let ascii = |kind| {
        ClassSetItem::Ascii(ClassAscii {
            span: perl.span,
            kind,
            negated: perl.negated,
        })
    };
    match perl.kind {
        ClassPerlKind::Digit => ascii(ClassAsciiKind::Digit),
        ClassPerlKind::Word => ascii(ClassAsciiKind::Word),
        ClassPerlKind::Space => {
            let space = |c| ClassSetItem::Literal(verbatim(perl.span, c));
            bracketed(perl.span, perl.negated, SPACES.map(space).into())
        }
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
        "N" => char::is_numeric,
        "Z" => |c| c.is_whitespace() && !c.is_control(),
        "Zs" => |c| c.is_whitespace() && !c.is_control() && !matches!(c, '\u{2028}' | '\u{2029}'),
        "C" | "Cc" => char::is_control,
        _ => return None,
    })
}

/// Such a class as ranges of characters.
fn letters(class: &ClassUnicode, is_member: fn(char) -> bool) -> ClassSetItem {
    let span = class.span;
    let mut ranges: Vec<(char, char)> = Vec::new();
    for c in ('\0'..=char::MAX).filter(|c| is_member(*c)) {
        match ranges.last_mut() {
            Some((_, last)) if *last as u32 + 1 == c as u32 => *last = c,
            _ => ranges.push((c, c)),
        }
    }
    let ranges = ranges.into_iter().map(|(start, end)| {
        ClassSetItem::Range(ClassSetRange {
            span,
            start: verbatim(span, start),
            end: verbatim(span, end),
        })
    });
    bracketed(span, class.is_negated(), ranges.collect())
}

fn bracketed(span: Span, negated: bool, items: Vec<ClassSetItem>) -> ClassSetItem {
    ClassSetItem::Bracketed(Box::new(ClassBracketed {
        span,
        negated,
        kind: ClassSet::Item(union(span, items)),
    }))
}

fn verbatim(span: Span, c: char) -> Literal {
    Literal {
        span,
        kind: LiteralKind::Verbatim,
        c,
    }
}

/// A letter in both cases; `None` for what has only one.
fn both_cases(literal: &Literal) -> Option<ClassSetItem> {
    let items: Vec<ClassSetItem> = std::iter::once(literal.c)
        .chain(other_cases(literal.c))
        .map(|c| ClassSetItem::Literal(with(literal, c)))
        .collect();
    (items.len() > 1).then(|| union(literal.span, items))
}

/// The other letters that are the same when case does not count.
fn other_cases(c: char) -> Vec<char> {
    let mut all = vec![c];
    // What is one step away, then what is one step away from that: ſ is S, which is s.
    for _ in 0..2 {
        for other in all.clone().into_iter().flat_map(next_cases) {
            if !all.contains(&other) {
                all.push(other);
            }
        }
    }
    all.retain(|other| *other != c);
    all
}

/// The other cases of a letter that are one letter, too. The ı of Turkish is no i.
fn next_cases(c: char) -> impl Iterator<Item = char> {
    let (lower, upper) = (c.to_lowercase(), c.to_uppercase());
    let lower = (lower.len() == 1).then_some(lower).into_iter().flatten();
    let upper = (upper.len() == 1 && c != 'ı').then_some(upper);
    let third = THIRD_CASES.into_iter().filter(move |(of, _)| *of == c);
    let third = third.map(|(_, third)| third);
    lower.chain(upper.into_iter().flatten()).chain(third)
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

#[cfg(test)]
mod tests;
