//! What a field's name says beyond the name: an index or register, `.length`, `.root_domain`.

use crate::secl::types::{Field, Kind, Scheme};

/// A name taken apart.
#[derive(Debug, PartialEq)]
pub(super) struct Reference {
    /// The name without its index.
    pub(super) name: String,
    pub(super) index: Option<Index>,
}

/// What stood in brackets.
#[derive(Debug, PartialEq)]
pub(super) enum Index {
    Number(usize),
    Register(String),
}

/// How a field is looked at.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum View {
    Plain,
    /// `.length` of a string, in bytes.
    Length,
    /// `.length` of an array or iterator, in elements.
    Count,
    /// `.root_domain`.
    RootDomain,
}

/// Takes a name apart. The error is a sentence.
pub(super) fn reference(word: &str) -> Result<Reference, String> {
    let Some((before, behind)) = word.split_once('[') else {
        return Ok(Reference {
            name: word.to_owned(),
            index: None,
        });
    };
    let (inner, after) = behind.split_once(']').unwrap_or((behind, ""));
    if after.contains('[') {
        return Err(format!("`{word}` has more than one index"));
    }
    let index = if inner.starts_with(|first: char| first.is_ascii_digit()) {
        let number = inner
            .parse()
            .map_err(|_| format!("`{inner}` is no index"))?;
        Index::Number(number)
    } else {
        Index::Register(inner.to_owned())
    };
    Ok(Reference {
        name: format!("{before}{after}"),
        index: Some(index),
    })
}

/// Finds a field: under its whole name, then as a view of a shorter one.
pub(super) fn lookup(scheme: &dyn Scheme, name: &str) -> Option<(Field, View)> {
    if let Some(field) = scheme.field(name) {
        return Some((field, View::Plain));
    }
    if let Some(base) = name.strip_suffix(".length") {
        let field = scheme.field(base)?;
        let per_element = !field.ty.many || field.iterator;
        return match (field.ty.kind, per_element) {
            (Kind::Text, true) => Some((field, View::Length)),
            _ if field.ty.many => Some((field, View::Count)),
            _ => None,
        };
    }
    let field = scheme.field(name.strip_suffix(".root_domain")?)?;
    (field.ty.kind == Kind::Text).then_some((field, View::RootDomain))
}

/// Finds what `${name}` stands for: a variable, a view of one, or else a field.
pub(super) fn variable(scheme: &dyn Scheme, name: &str) -> Option<(Field, View)> {
    if let Some(field) = scheme.variable(name) {
        return Some((field, View::Plain));
    }
    let base = name
        .strip_suffix(".length")
        .and_then(|base| scheme.variable(base));
    match base {
        Some(field) if field.ty.many => Some((field, View::Count)),
        Some(field) if field.ty.kind == Kind::Text => Some((field, View::Length)),
        _ => lookup(scheme, name),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_taken_apart() {
        let taken = |word: &str| reference(word).unwrap();
        assert_eq!(
            taken("a.b"),
            Reference {
                name: "a.b".to_owned(),
                index: None
            }
        );
        let expected = Reference {
            name: "a.b.c".to_owned(),
            index: Some(Index::Number(0)),
        };
        assert_eq!(taken("a.b[0].c"), expected);
        let index = Some(Index::Register("A".to_owned()));
        assert_eq!(
            taken("a.b[A]"),
            Reference {
                name: "a.b".to_owned(),
                index
            }
        );
        assert!(reference("a[0].b[1]").is_err());
        assert!(reference("a[99999999999999999999999]").is_err());
    }
}
