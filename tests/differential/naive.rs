//! Expressions evaluated the slow and obvious way, by walking what was written.
//!
//! Every value is a list of its elements, every register is tried on every turn, and nothing is
//! shared with the compiled form but the syntax tree. What is no well-typed expression makes it
//! panic: only those that compile are asked about.

use crate::comparing::{self, Item, Piece};
use crate::world::{find, Element, Reading, Shape, CONSTANTS};
use security_agent::secl::ast::{
    Array, ArrayKind, BitOperator, Chain, CompareOperator, Expression, ExpressionKind,
    LogicOperator, Macro, Membership, SumOperator, UnaryOperator,
};
use security_agent::secl::{Constant, IpNet, Kind, TextKind};
use std::collections::BTreeMap;

/// Macros by id.
pub type Definitions = BTreeMap<&'static str, Macro>;

/// What a part of an expression comes to.
#[derive(Clone, Debug)]
pub enum Meaning {
    /// A condition.
    Truth(bool),
    /// A boolean field.
    Flags(Vec<bool>),
    /// Numbers; whether they are those of a field with many.
    Ints(Vec<i64>, bool),
    /// The texts of a field.
    Texts(Vec<String>, TextKind),
    /// A literal text, pattern or regexp.
    Item(Item),
    /// The addresses of a field.
    Ips(Vec<Option<IpNet>>),
    /// A literal address or network.
    Net(IpNet),
    /// A list of literals.
    List(Vec<Meaning>),
}

/// An evaluation under way.
pub struct Naive<'a> {
    pub reading: &'a Reading,
    pub macros: &'a Definitions,
    registers: BTreeMap<String, usize>,
}

/// A name of a field taken apart.
struct Reference {
    name: String,
    /// What stood in brackets.
    index: Option<String>,
}

fn reference(word: &str) -> Reference {
    match word.split_once('[') {
        None => Reference {
            name: word.to_owned(),
            index: None,
        },
        Some((before, behind)) => {
            let (index, after) = behind.split_once(']').unwrap();
            Reference {
                name: format!("{before}{after}"),
                index: Some(index.to_owned()),
            }
        }
    }
}

/// The field behind a name with `.length` or `.root_domain`.
fn base(name: &str) -> (&str, &str) {
    for view in [".length", ".root_domain"] {
        if let Some(base) = name.strip_suffix(view) {
            return (base, view);
        }
    }
    (name, "")
}

impl<'a> Naive<'a> {
    pub fn new(reading: &'a Reading, macros: &'a Definitions) -> Naive<'a> {
        Naive {
            reading,
            macros,
            registers: BTreeMap::new(),
        }
    }

    /// Whether the record satisfies the rule: for some choice of a turn for each register.
    pub fn matches(&mut self, rule: &Expression) -> bool {
        let mut words = Vec::new();
        self.words(rule, &mut words);
        let mut turns: BTreeMap<String, usize> = BTreeMap::new();
        for word in words {
            let Reference { name, index } = reference(&word);
            let Some(register) = index.filter(|index| index.parse::<usize>().is_err()) else {
                continue;
            };
            let (at, _) = find(base(&name).0).unwrap();
            let most = turns.entry(register).or_default();
            *most = (*most).max(self.reading.turns[at].len());
        }
        let turns: Vec<(String, usize)> = turns.into_iter().collect();
        self.choose(&turns, rule)
    }

    fn choose(&mut self, turns: &[(String, usize)], rule: &Expression) -> bool {
        let Some(((register, count), rest)) = turns.split_first() else {
            return self.truth(rule);
        };
        // Without any turn a register stands for nothing, and the rule is judged all the same.
        (0..(*count).max(1)).any(|turn| {
            self.registers.insert(register.clone(), turn);
            self.choose(rest, rule)
        })
    }

    /// Every identifier, macros expanded.
    fn words(&self, expression: &Expression, to: &mut Vec<String>) {
        match &expression.kind {
            ExpressionKind::Logic(chain) => self.words_of_chain(chain, to),
            ExpressionKind::Sum(chain) => self.words_of_chain(chain, to),
            ExpressionKind::Bits(chain) => self.words_of_chain(chain, to),
            ExpressionKind::Compare(left, _, right) => {
                self.words(left, to);
                self.words(right, to);
            }
            ExpressionKind::Member(left, _, array) => {
                self.words(left, to);
                self.words_of_array(array, to);
            }
            ExpressionKind::Unary(_, operand) => self.words(operand, to),
            ExpressionKind::Identifier(name) => self.word(name, to),
            _ => {}
        }
    }

    fn words_of_chain<T>(&self, chain: &Chain<T>, to: &mut Vec<String>) {
        self.words(&chain.first, to);
        for (_, operand) in &chain.rest {
            self.words(operand, to);
        }
    }

    fn words_of_array(&self, array: &Array, to: &mut Vec<String>) {
        match &array.kind {
            ArrayKind::Identifier(name) => self.word(name, to),
            ArrayKind::List(all) => all.iter().for_each(|one| self.words(one, to)),
            _ => {}
        }
    }

    fn word(&self, name: &str, to: &mut Vec<String>) {
        match self.macros.get(name) {
            Some(Macro::Expression(expression)) => self.words(expression, to),
            Some(Macro::Array(array)) => self.words_of_array(array, to),
            None => to.push(name.to_owned()),
        }
    }

    fn truth(&self, expression: &Expression) -> bool {
        match self.meaning(expression) {
            Meaning::Truth(value) => value,
            Meaning::Flags(values) => values.contains(&true),
            other => panic!("{other:?} is no condition"),
        }
    }

    fn ints(&self, expression: &Expression) -> (Vec<i64>, bool) {
        match self.meaning(expression) {
            Meaning::Ints(values, is_many) => (values, is_many),
            other => panic!("{other:?} is no number"),
        }
    }

    fn meaning(&self, expression: &Expression) -> Meaning {
        match &expression.kind {
            ExpressionKind::Logic(chain) => Meaning::Truth(self.logic(&chain.first, &chain.rest)),
            ExpressionKind::Compare(left, operator, right) => {
                let sides = (self.meaning(left), self.meaning(right));
                Meaning::Truth(compare(sides, *operator))
            }
            ExpressionKind::Member(left, membership, array) => {
                let sides = (self.meaning(left), self.array(array));
                Meaning::Truth(member(sides, *membership))
            }
            ExpressionKind::Sum(chain) => self.sum(chain),
            ExpressionKind::Bits(chain) => self.bits(&chain.first, &chain.rest),
            ExpressionKind::Unary(UnaryOperator::Not, operand) => {
                Meaning::Truth(!self.truth(operand))
            }
            ExpressionKind::Unary(operator, operand) => {
                let (values, is_many) = self.ints(operand);
                let values = values.into_iter().map(|value| match operator {
                    UnaryOperator::Minus => 0i64.wrapping_sub(value),
                    _ => value ^ -1,
                });
                Meaning::Ints(values.collect(), is_many)
            }
            ExpressionKind::Identifier(name) => self.identifier(name),
            ExpressionKind::Variable(name) => self.variable(name),
            ExpressionKind::Integer(value) | ExpressionKind::Duration(value) => {
                Meaning::Ints(vec![*value], false)
            }
            ExpressionKind::Text(text) => Meaning::Item(Item::Text(self.pieces(text))),
            ExpressionKind::Pattern(text) => Meaning::Item(Item::Pattern(self.pieces(text))),
            ExpressionKind::Regexp(text) => Meaning::Item(Item::Regexp(text.clone())),
            ExpressionKind::Ip(net) => Meaning::Net(*net),
        }
    }

    fn logic(&self, first: &Expression, rest: &[(LogicOperator, Expression)]) -> bool {
        let first = self.truth(first);
        match rest.split_first() {
            None => first,
            Some(((LogicOperator::And, next), rest)) => first && self.logic(next, rest),
            Some(((LogicOperator::Or, next), rest)) => first || self.logic(next, rest),
        }
    }

    fn sum(&self, chain: &Chain<SumOperator>) -> Meaning {
        let first = self.ints(&chain.first);
        let sum = chain.rest.iter().fold(first, |sum, (operator, operand)| {
            along(sum, self.ints(operand), |left, right| match operator {
                SumOperator::Plus => left.wrapping_add(right),
                SumOperator::Minus => left.wrapping_sub(right),
            })
        });
        Meaning::Ints(sum.0, sum.1)
    }

    fn bits(&self, first: &Expression, rest: &[(BitOperator, Expression)]) -> Meaning {
        let first = self.ints(first);
        let Some(((operator, next), rest)) = rest.split_first() else {
            return Meaning::Ints(first.0, first.1);
        };
        let Meaning::Ints(values, is_many) = self.bits(next, rest) else {
            panic!("bits are numbers");
        };
        let all = along(first, (values, is_many), |left, right| match operator {
            BitOperator::And => left & right,
            BitOperator::Or => left | right,
            BitOperator::Xor => left ^ right,
        });
        Meaning::Ints(all.0, all.1)
    }

    fn array(&self, array: &Array) -> Meaning {
        match &array.kind {
            ArrayKind::List(elements) => {
                Meaning::List(elements.iter().map(|one| self.meaning(one)).collect())
            }
            ArrayKind::Identifier(name) => self.identifier(name),
            ArrayKind::Variable(name) => self.variable(name),
            ArrayKind::Ip(net) => Meaning::List(vec![Meaning::Net(*net)]),
        }
    }

    fn identifier(&self, name: &str) -> Meaning {
        match self.macros.get(name) {
            Some(Macro::Expression(expression)) => return self.meaning(expression),
            Some(Macro::Array(array)) => return self.array(array),
            None => {}
        }
        match CONSTANTS.iter().find(|(own, _)| *own == name) {
            Some((_, Constant::Int(value))) => return Meaning::Ints(vec![*value], false),
            Some((_, Constant::Bool(value))) => return Meaning::Truth(*value),
            Some((_, Constant::Text(text))) => {
                let pieces = vec![Piece::Literal((*text).to_owned())];
                return Meaning::Item(Item::Text(pieces));
            }
            None => {}
        }
        self.field(&reference(name))
    }

    /// A variable, or else the field of that name.
    fn variable(&self, name: &str) -> Meaning {
        let own = format!("${name}");
        let is_own = find(base(&own).0).is_some();
        self.field(&Reference {
            name: if is_own { own } else { name.to_owned() },
            index: None,
        })
    }

    fn field(&self, reference: &Reference) -> Meaning {
        let (name, view) = base(&reference.name);
        let (at, row) = find(name).unwrap_or_else(|| panic!("{name} is no field"));
        let turns = &self.reading.turns[at];
        let elements: Vec<Element> = match &reference.index {
            None => turns.concat(),
            Some(index) => {
                let turn = index.parse().unwrap_or_else(|_| self.registers[index]);
                turns.get(turn).cloned().unwrap_or_default()
            }
        };
        let is_many = row.shape != Shape::Scalar;
        let is_array = row.shape == Shape::Array;
        match (view, row.kind) {
            (".length", Kind::Text) if !is_array => {
                let all = texts(&elements);
                let lengths = all.iter().map(|text| text.len() as i64);
                Meaning::Ints(lengths.collect(), is_many)
            }
            (".length", _) => Meaning::Ints(vec![elements.len() as i64], false),
            (".root_domain", _) => {
                let all = texts(&elements);
                let roots = all.iter().map(|text| comparing::root_domain(text));
                Meaning::Texts(roots.collect(), row.text)
            }
            (_, Kind::Text) => Meaning::Texts(texts(&elements), row.text),
            (_, Kind::Bool) => Meaning::Flags(
                elements
                    .iter()
                    .map(|one| *one == Element::Bool(true))
                    .collect(),
            ),
            (_, Kind::Int) => Meaning::Ints(elements.iter().map(int).collect(), is_many),
            (_, Kind::Ip) => Meaning::Ips(elements.iter().map(ip).collect()),
        }
    }

    /// A text with variables in it, in pieces.
    fn pieces(&self, text: &str) -> Vec<Piece> {
        let mut pieces = Vec::new();
        let mut rest = text;
        while let Some((before, behind)) = rest.split_once("${") {
            let (name, after) = behind.split_once('}').unwrap();
            pieces.push(Piece::Literal(before.to_owned()));
            pieces.push(Piece::Held(self.held(name)));
            rest = after;
        }
        pieces.push(Piece::Literal(rest.to_owned()));
        pieces
    }

    fn held(&self, name: &str) -> String {
        match self.variable(name.trim()) {
            Meaning::Flags(values) => values[0].to_string(),
            Meaning::Ints(values, _) => values[0].to_string(),
            Meaning::Texts(values, _) => values[0].clone(),
            Meaning::Ips(values) => values[0].map_or(String::new(), |net| net.to_string()),
            other => panic!("{other:?} is not held"),
        }
    }
}

fn texts(elements: &[Element]) -> Vec<String> {
    let text = |element: &Element| match element {
        Element::Text(text) => (*text).to_owned(),
        other => panic!("{other:?} is no text"),
    };
    elements.iter().map(text).collect()
}

fn int(element: &Element) -> i64 {
    match element {
        Element::Int(value) => *value,
        other => panic!("{other:?} is no number"),
    }
}

fn ip(element: &Element) -> Option<IpNet> {
    match element {
        Element::Ip(value) => *value,
        other => panic!("{other:?} is no address"),
    }
}

/// Numbers combined: one with each of many, or those of the same element with each other.
fn along(
    (left, left_many): (Vec<i64>, bool),
    (right, right_many): (Vec<i64>, bool),
    combine: impl Fn(i64, i64) -> i64,
) -> (Vec<i64>, bool) {
    let all = match (left_many, right_many) {
        (true, false) => left.iter().map(|one| combine(*one, right[0])).collect(),
        (false, true) => right.iter().map(|one| combine(left[0], *one)).collect(),
        _ => left
            .iter()
            .zip(&right)
            .map(|(left, right)| combine(*left, *right))
            .collect(),
    };
    (all, left_many || right_many)
}

/// `left operator right`: true when some two elements compare so; the negative forms are the
/// opposite of the positive ones.
fn compare((left, right): (Meaning, Meaning), operator: CompareOperator) -> bool {
    match operator {
        CompareOperator::NotEqual => !compare((left, right), CompareOperator::Equal),
        CompareOperator::DoesNotMatch => !compare((left, right), CompareOperator::Matches),
        _ => match (left, right) {
            (Meaning::Ints(left, _), Meaning::Ints(right, _)) => {
                any_pair(&left, &right, |l, r| match operator {
                    CompareOperator::Greater => l > r,
                    CompareOperator::GreaterOrEqual => l >= r,
                    CompareOperator::Less => l < r,
                    CompareOperator::LessOrEqual => l <= r,
                    _ => l == r,
                })
            }
            (left, right) => same(left, right, operator == CompareOperator::Matches),
        },
    }
}

fn any_pair<T>(left: &[T], right: &[T], fits: impl Fn(&T, &T) -> bool) -> bool {
    left.iter().any(|l| right.iter().any(|r| fits(l, r)))
}

/// Whether two of another type than numbers are equal, or match.
fn same(left: Meaning, right: Meaning, is_match: bool) -> bool {
    match (left, right) {
        (Meaning::Truth(left), Meaning::Truth(right)) => left == right,
        (Meaning::Truth(one), Meaning::Flags(many))
        | (Meaning::Flags(many), Meaning::Truth(one)) => many.contains(&one),
        (Meaning::Flags(left), Meaning::Flags(right)) => any_pair(&left, &right, |l, r| l == r),
        (Meaning::Texts(texts, kind), Meaning::Item(item)) => {
            texts.iter().any(|text| item.is_like(text, kind, is_match))
        }
        (Meaning::Item(item), Meaning::Texts(texts, kind)) => {
            texts.iter().any(|text| item.is_like(text, kind, false))
        }
        (Meaning::Texts(left, left_kind), Meaning::Texts(right, right_kind)) => {
            any_pair(&left, &right, |l, r| {
                comparing::same_text(l, r, left_kind, right_kind)
            })
        }
        (Meaning::Item(Item::Text(text)), Meaning::Item(item))
        | (Meaning::Item(item), Meaning::Item(Item::Text(text))) => {
            item.is_like(&comparing::joined(&text), TextKind::Plain, is_match)
        }
        (Meaning::Ips(ips), Meaning::Net(net)) | (Meaning::Net(net), Meaning::Ips(ips)) => {
            ips.iter().flatten().any(|ip| comparing::holds(&net, ip))
        }
        (Meaning::Ips(left), Meaning::Ips(right)) => any_pair(&left, &right, both_same),
        (left, right) => panic!("{left:?} does not compare with {right:?}"),
    }
}

fn both_same(left: &Option<IpNet>, right: &Option<IpNet>) -> bool {
    matches!((left, right), (Some(left), Some(right)) if comparing::holds(left, right))
}

/// `left in right` and its like.
fn member((left, right): (Meaning, Meaning), membership: Membership) -> bool {
    let each = split(left);
    let is_in = |one: &Meaning| listed(&right).iter().any(|other| is_same_as(one, other));
    match membership {
        Membership::In => each.iter().any(is_in),
        Membership::NotIn => !each.iter().any(is_in),
        Membership::AllIn => each.iter().all(is_in),
    }
}

fn is_same_as(one: &Meaning, other: &Meaning) -> bool {
    compare((one.clone(), other.clone()), CompareOperator::Equal)
}

/// Every element by itself.
fn split(meaning: Meaning) -> Vec<Meaning> {
    match meaning {
        Meaning::Ints(values, is_many) => {
            let each = values.into_iter();
            each.map(|one| Meaning::Ints(vec![one], is_many)).collect()
        }
        Meaning::Texts(values, kind) => {
            let each = values.into_iter();
            each.map(|one| Meaning::Texts(vec![one], kind)).collect()
        }
        Meaning::Ips(values) => {
            let each = values.into_iter();
            each.map(|one| Meaning::Ips(vec![one])).collect()
        }
        single => vec![single],
    }
}

/// What is in a list, in a list within it, or in an array field.
fn listed(meaning: &Meaning) -> Vec<Meaning> {
    match meaning {
        Meaning::List(all) => all.iter().flat_map(listed).collect(),
        single => vec![single.clone()],
    }
}
