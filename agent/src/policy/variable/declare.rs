//! Which variables a rule set has, and their types: declared by its `set` actions.

use crate::policy::action::definition::{Scope, Set};
use crate::policy::action::{self, Error, Surroundings};
use crate::secl::{Constant, Field, FieldId, FieldType, Kind, Macros, Scheme, TextKind, Value};
use std::collections::HashMap;

/// Variables of one rule set.
const MAX_VARIABLES: usize = 2_000;
/// How often types are looked for again; what is defined before it is used needs one round.
const MAX_ROUNDS: usize = 16;
/// The bit by which the ids of variables differ from those of fields.
const VARIABLE: u32 = 1 << 31;
/// A new identifier each time an action asks for it.
pub(super) const UUID: &str = "builtins.uuid4";
/// The id of [`UUID`].
pub(super) const UUID_ID: FieldId = FieldId(u32::MAX);

/// Whether an id is that of a variable, whose value rules may change.
pub fn is_variable(field: FieldId) -> bool {
    field.0 >= VARIABLE
}

/// A variable.
#[derive(Debug, Clone, PartialEq)]
pub struct Declaration {
    /// Name by which rules refer to it, with its scope.
    pub name: String,
    /// Whose it is.
    pub scope: Scope,
    /// What its values are.
    pub kind: Kind,
    /// Whether it is a list.
    pub many: bool,
    /// What it holds before it was set.
    pub default: Option<Value>,
    /// Children get a copy.
    pub inherited: bool,
    /// Not shown in events.
    pub private: bool,
}

impl Declaration {
    /// The name without its scope, as events show it.
    pub fn short_name(&self) -> &str {
        let prefix = self.scope.name();
        let rest = self.name.strip_prefix(prefix).unwrap_or(&self.name);
        rest.strip_prefix('.').unwrap_or(rest)
    }
}

/// A `set` action whose variable could not be declared: which one, and why.
pub type Undeclared = (usize, Error);

/// The variables of a rule set.
#[derive(Debug, Default)]
pub struct Declarations {
    all: Vec<Declaration>,
    by_name: HashMap<String, usize>,
}

impl Declarations {
    /// Declares the variables of `sets`. The type of one may follow from another, so what cannot
    /// be typed is tried again as long as something else could.
    pub fn of(
        sets: &[&Set],
        macros: &Macros,
        scheme: &dyn Scheme,
    ) -> (Declarations, Vec<Undeclared>) {
        let mut declarations = Declarations::default();
        let mut wrong = Vec::new();
        let mut left: Vec<usize> = (0..sets.len()).collect();
        for _ in 0..MAX_ROUNDS {
            let before = left.len();
            left.retain(|at| {
                let Some(set) = sets.get(*at) else {
                    return false;
                };
                let Some((kind, many)) = declarations.infer(set, macros, scheme) else {
                    return true;
                };
                if let Err(error) = declarations.declare(set, kind, many, scheme) {
                    wrong.push((*at, error));
                }
                false
            });
            if left.is_empty() || left.len() == before {
                break;
            }
        }
        for at in left {
            if let Some(set) = sets.get(at) {
                wrong.push((at, declarations.untyped(set, macros, scheme)));
            }
        }
        (declarations, wrong)
    }

    /// The kind of the value that the action gives, when that can be said now.
    fn infer(&self, set: &Set, macros: &Macros, scheme: &dyn Scheme) -> Option<(Kind, bool)> {
        let with_variables = self.scheme(scheme);
        let around = Surroundings {
            macros,
            scheme: &with_variables,
            enforcement: true,
        };
        let inferred = action::formula(set, &around).ok().map(|found| found.kind());
        let (kind, many) = match (inferred, &set.default_value) {
            (Some(kind), _) => kind,
            (None, Some(default)) => default.kind(),
            (None, None) => return None,
        };
        Some((kind, many || set.append))
    }

    /// Why the variable of this action has no type: the expression is wrong, or refers to itself.
    fn untyped(&self, set: &Set, macros: &Macros, scheme: &dyn Scheme) -> Error {
        let with_variables = self.scheme(scheme);
        let around = Surroundings {
            macros,
            scheme: &with_variables,
            enforcement: true,
        };
        let name = set.full_name();
        match action::formula(set, &around) {
            Err(error) if !set.expression.contains("${") => error,
            _ => Error::Untyped(name),
        }
    }

    fn declare(
        &mut self,
        set: &Set,
        kind: Kind,
        many: bool,
        scheme: &dyn Scheme,
    ) -> Result<(), Error> {
        let name = set.full_name();
        if name == UUID || scheme.variable(&name).is_some() {
            return Err(Error::Reserved(name));
        }
        if let Some(known) = self.by_name.get(&name).and_then(|at| self.all.get_mut(*at)) {
            if known.kind != kind {
                return Err(Error::Conflict(name, known.kind, kind));
            }
            known.many |= many;
            known.inherited |= set.inherited;
            known.private |= set.private;
            known.default = known.default.take().or_else(|| set.default_value.clone());
            return Ok(());
        }
        if self.all.len() >= MAX_VARIABLES {
            return Err(Error::TooMany);
        }
        self.by_name.insert(name.clone(), self.all.len());
        self.all.push(Declaration {
            name,
            scope: set.scope,
            kind,
            many,
            default: set.default_value.clone(),
            inherited: set.inherited,
            private: set.private,
        });
        Ok(())
    }

    /// Fields, constants and these variables together.
    pub fn scheme<'a>(&'a self, fields: &'a dyn Scheme) -> impl Scheme + 'a {
        WithVariables {
            declarations: self,
            fields,
        }
    }

    /// Every variable, in the order of the ids.
    pub fn all(&self) -> &[Declaration] {
        &self.all
    }

    /// The place of the variable that an id stands for; `None` for fields.
    pub(super) fn place(field: FieldId) -> Option<usize> {
        let place = field.0.checked_sub(VARIABLE)?;
        usize::try_from(place).ok()
    }

    /// The place of the variable of that name.
    pub fn find(&self, name: &str) -> Option<usize> {
        self.by_name.get(name).copied()
    }
}

struct WithVariables<'a> {
    declarations: &'a Declarations,
    fields: &'a dyn Scheme,
}

impl Scheme for WithVariables<'_> {
    fn field(&self, name: &str) -> Option<Field> {
        self.fields.field(name)
    }

    fn constant(&self, name: &str) -> Option<Constant> {
        self.fields.constant(name)
    }

    fn variable(&self, name: &str) -> Option<Field> {
        if name == UUID {
            return Some(variable(UUID_ID, Kind::Text, false));
        }
        let declared = self.declarations.find(name).and_then(|place| {
            let found = self.declarations.all.get(place)?;
            let id = VARIABLE | u32::try_from(place).ok()?;
            Some(variable(FieldId(id), found.kind, found.many))
        });
        declared.or_else(|| self.fields.variable(name))
    }

    fn names(&self) -> Vec<String> {
        self.fields.names()
    }

    fn variables(&self) -> Vec<String> {
        let declared = self.declarations.all.iter().map(|one| one.name.clone());
        declared.chain(self.fields.variables()).collect()
    }

    fn event_types(&self) -> &'static [&'static str] {
        self.fields.event_types()
    }
}

fn variable(id: FieldId, kind: Kind, many: bool) -> Field {
    Field {
        id,
        ty: FieldType {
            kind,
            many,
            text: TextKind::Plain,
        },
        events: &[],
        iterator: false,
    }
}
