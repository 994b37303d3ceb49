//! A scheme with one field for each way in which texts compare, and a record with one text.
//!
//! Shared by the targets that compare a text with a pattern or a regexp.

use security_agent::secl::ast::{CompareOperator, Expression, ExpressionKind};
use security_agent::secl::{
    compile, Compiled, Constant, Error, Field, FieldId, FieldType, IpNet, Kind, Macros, Record,
    Scheme, TextKind,
};

/// The fields: name and how it compares.
pub const FIELDS: [(&str, TextKind); 3] = [
    ("plain", TextKind::Plain),
    ("path", TextKind::Path),
    ("host", TextKind::CaseInsensitive),
];

struct Words;

impl Scheme for Words {
    fn field(&self, name: &str) -> Option<Field> {
        let found = FIELDS.iter().position(|(own, _)| *own == name)?;
        Some(Field {
            id: FieldId(0),
            ty: FieldType {
                kind: Kind::Text,
                many: false,
                text: FIELDS[found].1,
            },
            events: &[],
            iterator: false,
        })
    }

    fn constant(&self, _name: &str) -> Option<Constant> {
        None
    }

    fn variable(&self, _name: &str) -> Option<Field> {
        None
    }

    fn names(&self) -> Vec<String> {
        FIELDS.iter().map(|(name, _)| (*name).to_owned()).collect()
    }

    fn event_types(&self) -> &'static [&'static str] {
        &[]
    }
}

/// The one text, whichever field is asked for.
pub struct Word<'a>(pub &'a str);

impl Record for Word<'_> {
    fn count(&self, _field: FieldId) -> usize {
        1
    }

    fn int(&self, _field: FieldId, _index: usize) -> i64 {
        0
    }

    fn boolean(&self, _field: FieldId, _index: usize) -> bool {
        false
    }

    fn text(&self, _field: FieldId, _index: usize) -> &str {
        self.0
    }

    fn ip(&self, _field: FieldId, _index: usize) -> Option<IpNet> {
        None
    }
}

/// Compiles `field =~ right`.
pub fn matching(field: &str, right: ExpressionKind) -> Result<Compiled, Error> {
    let place = |kind| Expression { kind, span: 0..0 };
    let whole = place(ExpressionKind::Compare(
        Box::new(place(ExpressionKind::Identifier(field.to_owned()))),
        CompareOperator::Matches,
        Box::new(place(right)),
    ));
    compile(&whole, &Macros::new(), &Words)
}

/// Splits an input at its first zero byte, or line end where there is none.
pub fn halves(text: &str) -> (&str, &str) {
    text.split_once(['\0', '\n']).unwrap_or((text, ""))
}
