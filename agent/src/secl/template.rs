//! Strings and patterns with variables in them: `"${process.pid}.lock"`, `~"/run/${name}/*"`.
//!
//! The checker splits the text and settles what each variable is; here a text of a record is
//! compared with the whole, piece by piece, without building it. What a variable holds stands for
//! itself: a `*` in it is no star. Variables are read through the record like fields.

use super::compile::View;
use super::types::{FieldId, IpNet, Kind, TextKind};
use std::fmt::Write;

/// The most variables within one string.
pub(super) const MAX_VARIABLES: usize = 8;

/// A string with variables, as the checker found it.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Template {
    pub(super) pieces: Vec<Piece>,
    /// Whether `*` in the literal pieces is a star.
    pub(super) is_pattern: bool,
}

/// A part of a [`Template`].
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Piece {
    Literal(Box<str>),
    /// What the field or variable holds.
    Value {
        field: FieldId,
        kind: Kind,
        many: bool,
    },
}

/// A part of the text with `${…}` in it.
#[derive(Debug, PartialEq)]
pub(super) enum Part<'a> {
    Literal(&'a str),
    Variable(&'a str),
}

/// Splits a text at its variables; `None` when it has none. A `${` that is not closed, or holds
/// what cannot be a name, is text.
pub(super) fn split(text: &str) -> Option<Vec<Part<'_>>> {
    let mut parts = Vec::new();
    let mut literal_start = 0;
    let mut at = 0;
    while let Some(open) = text.get(at..).and_then(|rest| rest.find("${")) {
        let open = at + open;
        at = open + 2;
        let rest = text.get(at..).unwrap_or("");
        let Some(name) = rest.find('}').and_then(|close| rest.get(..close)) else {
            break;
        };
        if !is_name(name.trim()) {
            continue;
        }
        let before = text.get(literal_start..open).unwrap_or("");
        if !before.is_empty() {
            parts.push(Part::Literal(before));
        }
        parts.push(Part::Variable(name.trim()));
        at += name.len() + 1;
        literal_start = at;
    }
    let has_variable = parts.iter().any(|part| matches!(part, Part::Variable(_)));
    let behind = text.get(literal_start..).unwrap_or("");
    if !behind.is_empty() {
        parts.push(Part::Literal(behind));
    }
    has_variable.then_some(parts)
}

/// Whether a variable can have this name.
pub(super) fn is_name(name: &str) -> bool {
    let fits = |letter: char| letter.is_ascii_alphanumeric() || letter == '_' || letter == '.';
    !name.is_empty() && name.chars().all(fits)
}

/// A template as it applies to the texts of one field.
#[derive(Clone, Debug)]
pub(super) struct TemplateMatcher {
    tokens: Vec<Token>,
    fold_case: bool,
    /// Whether a star stays within one component of a path.
    is_path: bool,
}

#[derive(Clone, Debug)]
enum Token {
    Literal(Box<str>),
    Value(FieldId, Kind),
    Star,
    /// A final `**` of a path: everything beneath.
    Beneath,
}

impl TemplateMatcher {
    /// Makes the template ready for a field of that kind. The error is a sentence.
    pub(super) fn new(template: &Template, kind: TextKind) -> Result<TemplateMatcher, String> {
        let is_path = kind == TextKind::Path;
        let mut tokens = Vec::new();
        let last = template.pieces.len().saturating_sub(1);
        for (place, piece) in template.pieces.iter().enumerate() {
            match piece {
                Piece::Value { many: true, .. } => {
                    return Err(
                        "a list of values cannot stand within a string to compare with".to_owned(),
                    );
                }
                Piece::Value { field, kind, .. } => tokens.push(Token::Value(*field, *kind)),
                Piece::Literal(text) => {
                    // Only where the whole text begins can something be missing.
                    let text = match place {
                        0 => kind.spelled(text),
                        _ => text.as_ref().into(),
                    };
                    match template.is_pattern {
                        true => stars(&text, is_path, place == last, &mut tokens)?,
                        false => tokens.push(Token::Literal(text.into())),
                    }
                }
            }
        }
        Ok(TemplateMatcher {
            tokens,
            fold_case: kind.folds_case(),
            is_path,
        })
    }

    /// Whether the whole text matches with what the variables hold now.
    ///
    /// A mismatch goes back to the last star only: an earlier one could not have stopped at a
    /// better place. Takes time linear in the product of text and template at worst.
    pub(super) fn matches(&self, view: &View<'_>, text: &str) -> bool {
        let held = Held::read(&self.tokens, view);
        let text = text.as_bytes();
        let (mut cursor, mut at) = (Cursor::default(), 0);
        let mut star: Option<(Cursor, usize)> = None;
        loop {
            match self.step(&held, &mut cursor) {
                Step::End if at == text.len() => return true,
                Step::Beneath => return true,
                Step::Star => {
                    star = Some((cursor, at));
                    continue;
                }
                Step::Byte(byte) if text.get(at).is_some_and(|own| self.same(byte, *own)) => {
                    at += 1;
                    continue;
                }
                Step::End | Step::Byte(_) => {}
            }
            // The last star takes one character more, if it may.
            let Some((behind, from)) = &mut star else {
                return false;
            };
            match text.get(*from) {
                Some(b'/') if self.is_path => return false,
                None => return false,
                Some(_) => *from += 1,
            }
            (cursor, at) = (*behind, *from);
        }
    }

    fn same(&self, wanted: u8, found: u8) -> bool {
        wanted == found || (self.fold_case && wanted.eq_ignore_ascii_case(&found))
    }

    /// What comes next in the template; the cursor moves past it.
    fn step(&self, held: &Held<'_>, cursor: &mut Cursor) -> Step {
        loop {
            let bytes = match self.tokens.get(cursor.token) {
                None => return Step::End,
                Some(Token::Star) => {
                    cursor.next();
                    return Step::Star;
                }
                Some(Token::Beneath) => return Step::Beneath,
                Some(Token::Literal(text)) => text.as_bytes(),
                Some(Token::Value(..)) => held.bytes(cursor.value),
            };
            if let Some(byte) = bytes.get(cursor.byte) {
                cursor.byte += 1;
                return Step::Byte(*byte);
            }
            cursor.value += usize::from(matches!(
                self.tokens.get(cursor.token),
                Some(Token::Value(..))
            ));
            cursor.next();
        }
    }
}

/// Splits a literal piece of a pattern at its stars.
fn stars(text: &str, is_path: bool, is_last: bool, to: &mut Vec<Token>) -> Result<(), String> {
    let mut text = text;
    let mut is_beneath = false;
    if is_path && text.contains("**") {
        let before = text.strip_suffix("**").filter(|_| is_last);
        text = before
            .filter(|before| !before.contains("**") && before.ends_with('/'))
            .ok_or_else(|| super::pattern::GlobError.to_string())?;
        is_beneath = true;
    }
    for (place, literal) in text.split('*').enumerate() {
        if place > 0 {
            to.push(Token::Star);
        }
        if !literal.is_empty() {
            to.push(Token::Literal(literal.into()));
        }
    }
    if is_beneath {
        to.push(Token::Beneath);
    }
    Ok(())
}

enum Step {
    Byte(u8),
    Star,
    Beneath,
    End,
}

/// A place in a template: the token, the byte in it, and how many values were passed.
#[derive(Clone, Copy, Default)]
struct Cursor {
    token: usize,
    byte: usize,
    value: usize,
}

impl Cursor {
    fn next(&mut self) {
        self.token += 1;
        self.byte = 0;
    }
}

/// What the variables of a template hold now.
struct Held<'a> {
    values: [Value<'a>; MAX_VARIABLES],
}

impl<'a> Held<'a> {
    fn read(tokens: &[Token], view: &View<'a>) -> Held<'a> {
        let mut held = Held {
            values: [Value::Text(""); MAX_VARIABLES],
        };
        let fields = tokens.iter().filter_map(|token| match token {
            Token::Value(field, kind) => Some((*field, *kind)),
            _ => None,
        });
        for ((field, kind), slot) in fields.zip(&mut held.values) {
            *slot = Value::read(field, kind, view);
        }
        held
    }

    fn bytes(&self, place: usize) -> &[u8] {
        self.values.get(place).map_or(&[], Value::bytes)
    }
}

/// The longest text of a number or address: an IPv6 network with an embedded IPv4 address.
const LONGEST: usize = 64;

#[derive(Clone, Copy)]
enum Value<'a> {
    Text(&'a str),
    Written(Written),
}

impl<'a> Value<'a> {
    fn read(field: FieldId, kind: Kind, view: &View<'a>) -> Value<'a> {
        let record = view.record;
        match kind {
            Kind::Text => Value::Text(record.text(field, 0)),
            Kind::Bool if record.boolean(field, 0) => Value::Text("true"),
            Kind::Bool => Value::Text("false"),
            Kind::Int => Value::Written(Written::of(record.int(field, 0))),
            Kind::Ip => match record.ip(field, 0) {
                Some(net) => Value::Written(Written::of(net)),
                None => Value::Text(""),
            },
        }
    }

    fn bytes(&self) -> &[u8] {
        match self {
            Value::Text(text) => text.as_bytes(),
            Value::Written(written) => written.bytes.get(..written.length).unwrap_or(&[]),
        }
    }
}

/// A short text on the stack.
#[derive(Clone, Copy)]
struct Written {
    bytes: [u8; LONGEST],
    length: usize,
}

impl Written {
    fn of(value: impl std::fmt::Display) -> Written {
        let mut written = Written {
            bytes: [0; LONGEST],
            length: 0,
        };
        // Nothing that is written here is longer.
        let _ = write!(written, "{value}");
        written
    }
}

impl Write for Written {
    fn write_str(&mut self, text: &str) -> std::fmt::Result {
        let end = self.length + text.len();
        let room = self.bytes.get_mut(self.length..end);
        room.ok_or(std::fmt::Error)?
            .copy_from_slice(text.as_bytes());
        self.length = end;
        Ok(())
    }
}

impl Template {
    /// The whole text with what the variables hold now.
    pub(super) fn joined(&self, view: &View<'_>) -> String {
        let mut text = String::new();
        for piece in &self.pieces {
            match piece {
                Piece::Literal(literal) => text.push_str(literal),
                Piece::Value { field, kind, .. } => append(&mut text, *field, *kind, view),
            }
        }
        text
    }
}

/// Appends what a field holds; several elements with commas between them.
fn append(text: &mut String, field: FieldId, kind: Kind, view: &View<'_>) {
    for index in 0..view.record.count(field) {
        if index > 0 {
            text.push(',');
        }
        // Writing into a String cannot fail.
        let _ = match kind {
            Kind::Text => text.write_str(view.record.text(field, index)),
            Kind::Int => write!(text, "{}", view.record.int(field, index)),
            Kind::Bool => write!(text, "{}", view.record.boolean(field, index)),
            Kind::Ip => {
                let net: Option<IpNet> = view.record.ip(field, index);
                net.map_or(Ok(()), |net| write!(text, "{net}"))
            }
        };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_are_split_at_their_variables() {
        use Part::{Literal, Variable};
        let rows: &[(&str, Option<&[Part<'_>]>)] = &[
            ("", None),
            ("plain $ { }", None),
            ("${", None),
            ("${}", None),
            ("${a b}", None),
            ("${open", None),
            ("${a}", Some(&[Variable("a")])),
            ("${ a.b }", Some(&[Variable("a.b")])),
            ("x${a}y", Some(&[Literal("x"), Variable("a"), Literal("y")])),
            ("${a}${b}", Some(&[Variable("a"), Variable("b")])),
            ("${-}${a}", Some(&[Literal("${-}"), Variable("a")])),
        ];
        for (text, expected) in rows {
            assert_eq!(split(text).as_deref(), *expected, "{text}");
        }
    }
}
