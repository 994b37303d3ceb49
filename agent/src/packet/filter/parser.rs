//! Tokens to conditions, by recursive descent.
//!
//! ```text
//! expression = term { ("and" | "&&" | "or" | "||") term }
//! term       = ("not" | "!") term | item
//! item       = "(" expression ")" | comparison | primitive | identifier
//! comparison = arithmetic relation arithmetic
//! ```
//! A parenthesis can begin a condition or a number: both come as an [`Item`], and whoever needs one
//! kind asks for it. An identifier without words of its own takes the qualifiers of what stands
//! before it. Numbers are read by `arithmetic`, what follows qualifiers by `identifier`. Depth and
//! count are bounded, so that no text can exhaust stack or memory.

mod arithmetic;
mod identifier;

use super::ast::{Condition, Relation};
use super::lexer::{self, Token, TokenKind};
use super::names::{self, Protocol};
use super::primitives::{self, Direction, Kind, Qualifiers};
use super::{Error, MAX_DEPTH, MAX_PRIMITIVES};

use arithmetic::Value;

/// What can be asked for, for those who asked for something else.
const SUPPORTED: &str = "supported are host, net, port, portrange, proto, src, dst, ether, ip, \
    ip6, arp, tcp, udp, sctp, icmp, icmp6, less, greater, broadcast, multicast, and comparisons \
    such as tcp[13] & 2 != 0 or len > 100";

/// Those of a bare address.
const BARE: Qualifiers = Qualifiers {
    protocol: None,
    direction: Direction::Either,
    kind: Kind::Host,
};

/// What was read.
enum Item<'a> {
    /// A number, which is part of a comparison or a port without its word.
    Value(Value<'a>),
    /// A condition, and the qualifiers that hold for what follows.
    Condition(Condition, Option<Qualifiers>),
}

/// Reads a whole expression.
pub(super) fn parse(text: &str) -> Result<Condition, Error> {
    let mut parser = Parser {
        tokens: lexer::tokens(text)?,
        position: 0,
        depth: 0,
        primitives: 0,
    };
    if parser.current().kind == TokenKind::End {
        return Ok(primitives::always());
    }
    let item = parser.expression(None)?;
    let (condition, _) = parser.condition(item, None)?;
    match parser.current().kind {
        TokenKind::End => Ok(condition),
        _ => Err(parser.unexpected("`and`, `or` or the end")),
    }
}

struct Parser<'a> {
    tokens: Vec<Token<'a>>,
    position: usize,
    depth: usize,
    primitives: usize,
}

impl<'a> Parser<'a> {
    /// The token `ahead` of the current one; behind the last there is nothing but the end.
    fn ahead(&self, ahead: usize) -> Token<'a> {
        let at = self.position.saturating_add(ahead);
        let found = self.tokens.get(at).or(self.tokens.last()).copied();
        found.unwrap_or(Token {
            kind: TokenKind::End,
            at: 0,
            text: "",
        })
    }

    fn current(&self) -> Token<'a> {
        self.ahead(0)
    }

    fn take(&mut self) -> Token<'a> {
        let token = self.current();
        self.position = self.position.saturating_add(1);
        token
    }

    fn word(&self, ahead: usize) -> &'a str {
        match self.ahead(ahead).kind {
            TokenKind::Word(word) => word,
            _ => "",
        }
    }

    fn at(&self, spelling: &str) -> bool {
        let token = self.current();
        let names = matches!(token.kind, TokenKind::Word(_) | TokenKind::Symbol(_));
        names && token.text == spelling
    }

    fn take_if(&mut self, spelling: &str) -> bool {
        let found = self.at(spelling);
        if found {
            self.take();
        }
        found
    }

    fn expect(&mut self, symbol: &str) -> Result<(), Error> {
        if self.take_if(symbol) {
            return Ok(());
        }
        Err(self.unexpected(&format!("`{symbol}`")))
    }

    fn unexpected(&self, wanted: &str) -> Error {
        let token = self.current();
        let found = match token.kind {
            TokenKind::End => "the end".to_owned(),
            _ => format!("\"{}\"", token.text),
        };
        Error::new(token.at, format!("expected {wanted}, found {found}"))
    }

    /// Reads something one level deeper.
    fn nested<T>(&mut self, read: impl FnOnce(&mut Self) -> Result<T, Error>) -> Result<T, Error> {
        if self.depth == MAX_DEPTH {
            let message = format!("the expression nests deeper than {MAX_DEPTH} levels");
            return Err(Error::new(self.current().at, message));
        }
        self.depth += 1;
        let result = read(self);
        self.depth -= 1;
        result
    }

    /// Counts a primitive or an operand.
    fn count(&mut self) -> Result<(), Error> {
        if self.primitives == MAX_PRIMITIVES {
            let message =
                format!("the expression has more than {MAX_PRIMITIVES} primitives and operands");
            return Err(Error::new(self.current().at, message));
        }
        self.primitives += 1;
        Ok(())
    }

    /// Terms in a row; a lone number stays one, for parentheses around it.
    fn expression(&mut self, inherited: Option<Qualifiers>) -> Result<Item<'a>, Error> {
        let mut item = self.term(inherited)?;
        let mut qualifiers = inherited;
        while let Some(is_and) = self.logic() {
            let (left, from_left) = self.condition(item, qualifiers)?;
            let term = self.term(from_left)?;
            let (right, from_right) = self.condition(term, from_left)?;
            item = Item::Condition(join(left, is_and, right), from_right);
            qualifiers = from_right;
        }
        Ok(item)
    }

    /// Takes a word between two terms; true for `and`.
    fn logic(&mut self) -> Option<bool> {
        let is_and = self.at("and") || self.at("&&");
        let is_or = self.at("or") || self.at("||");
        if is_and || is_or {
            self.take();
            return Some(is_and);
        }
        None
    }

    fn term(&mut self, inherited: Option<Qualifiers>) -> Result<Item<'a>, Error> {
        if !(self.take_if("not") || self.take_if("!")) {
            return self.item(inherited);
        }
        let item = self.nested(|parser| parser.term(inherited))?;
        let (condition, qualifiers) = self.condition(item, inherited)?;
        Ok(Item::Condition(
            Condition::Not(Box::new(condition)),
            qualifiers,
        ))
    }

    /// Makes a condition of an item: a bare number is what the qualifiers say.
    fn condition(
        &self,
        item: Item<'a>,
        inherited: Option<Qualifiers>,
    ) -> Result<(Condition, Option<Qualifiers>), Error> {
        let value = match item {
            Item::Condition(condition, qualifiers) => return Ok((condition, qualifiers)),
            Item::Value(value) => value,
        };
        match (value.bare(), inherited) {
            (Some(token), Some(qualifiers)) => {
                let condition = self.number(&qualifiers, token)?;
                Ok((condition, inherited))
            }
            _ => Err(Error::new(
                value.at,
                "this number is not compared with anything: a comparison such as `len > 100`, or a \
                 word such as `port` before it, is missing",
            )),
        }
    }

    fn item(&mut self, inherited: Option<Qualifiers>) -> Result<Item<'a>, Error> {
        let token = self.current();
        let word = match token.kind {
            TokenKind::Symbol("(") => return self.parenthesis(inherited),
            TokenKind::Ip { .. } | TokenKind::Ip6(_) | TokenKind::Ethernet(_) => {
                return self.qualified(inherited.unwrap_or(BARE));
            }
            TokenKind::Number(_) if self.at_range(inherited) => {
                return self.qualified(inherited.unwrap_or(BARE));
            }
            TokenKind::Number(_) | TokenKind::Symbol("-") => return self.number_or_comparison(),
            TokenKind::Word(word) => word,
            TokenKind::Symbol(_) | TokenKind::End => {
                return Err(self.unexpected("a primitive such as `tcp` or `port 80`"));
            }
        };
        if word == "len" || names::constant(word).is_some() {
            return self.number_or_comparison();
        }
        if let Some(protocol) = names::protocol(word) {
            if matches!(self.ahead(1).kind, TokenKind::Symbol("[")) {
                return self.number_or_comparison();
            }
            self.take();
            return self.primitive(Some(protocol));
        }
        match inherited {
            Some(qualifiers) if identifier::knows(&qualifiers, word) => self.qualified(qualifiers),
            _ => self.primitive(None),
        }
    }

    /// A range of ports, whose first number would else be read as one minus the other.
    fn at_range(&self, inherited: Option<Qualifiers>) -> bool {
        let wanted = inherited.is_some_and(|qualifiers| qualifiers.kind == Kind::PortRange);
        wanted && matches!(self.ahead(1).kind, TokenKind::Symbol("-"))
    }

    /// An identifier with its qualifiers, which then hold for the next one.
    fn qualified(&mut self, qualifiers: Qualifiers) -> Result<Item<'a>, Error> {
        let condition = self.identifier(&qualifiers)?;
        Ok(Item::Condition(condition, Some(qualifiers)))
    }

    fn parenthesis(&mut self, inherited: Option<Qualifiers>) -> Result<Item<'a>, Error> {
        self.expect("(")?;
        let item = self.nested(|parser| parser.expression(inherited))?;
        self.expect(")")?;
        match item {
            Item::Value(value) => self.compare(value),
            Item::Condition(condition, _) => Ok(Item::Condition(condition, inherited)),
        }
    }

    fn number_or_comparison(&mut self) -> Result<Item<'a>, Error> {
        let value = self.operand()?;
        self.compare(value)
    }

    /// The rest of a comparison that begins with `first`, or of a number.
    fn compare(&mut self, first: Value<'a>) -> Result<Item<'a>, Error> {
        let left = self.operations(first, 0)?;
        let Some(relation) = self.relation() else {
            return Ok(Item::Value(left));
        };
        let first = self.operand()?;
        let right = self.operations(first, 0)?;
        let mut conditions = left.checks;
        merge(&mut conditions, right.checks);
        conditions.push(Condition::Compare(left.number, relation, right.number));
        Ok(Item::Condition(Condition::All(conditions), None))
    }

    fn relation(&mut self) -> Option<Relation> {
        let TokenKind::Symbol(symbol) = self.current().kind else {
            return None;
        };
        let relation = match symbol {
            "=" | "==" => Relation::Equal,
            "!=" => Relation::NotEqual,
            ">" => Relation::Greater,
            ">=" => Relation::GreaterOrEqual,
            "<" => Relation::Less,
            "<=" => Relation::LessOrEqual,
            _ => return None,
        };
        self.take();
        Some(relation)
    }

    /// A primitive whose protocol, if it has one, was taken.
    fn primitive(&mut self, protocol: Option<Protocol>) -> Result<Item<'a>, Error> {
        let token = self.current();
        let condition = match self.word(0) {
            "src" | "dst" | "host" | "net" | "port" | "portrange" | "proto" => {
                let qualifiers = self.qualifiers(protocol)?;
                return self.qualified(qualifiers);
            }
            "broadcast" => primitives::broadcast(protocol),
            "multicast" => primitives::multicast(protocol),
            "less" if protocol.is_none() => return self.length(Relation::LessOrEqual),
            "greater" if protocol.is_none() => return self.length(Relation::GreaterOrEqual),
            _ => return self.bare(protocol),
        };
        self.count()?;
        self.take();
        let condition = condition.ok_or_else(|| {
            let message = format!("\"{}\" goes with ether, ip or ip6 (multicast)", token.text);
            Error::new(token.at, message)
        })?;
        Ok(Item::Condition(condition, None))
    }

    /// A protocol without anything behind it.
    fn bare(&mut self, protocol: Option<Protocol>) -> Result<Item<'a>, Error> {
        let token = self.current();
        let Some(protocol) = protocol else {
            let message = format!("\"{}\" is not supported; {SUPPORTED}", token.text);
            return Err(Error::new(token.at, message));
        };
        self.count()?;
        match primitives::named(protocol) {
            Some(condition) => Ok(Item::Condition(condition, None)),
            None => Err(self.unexpected("host, src, dst, proto, broadcast, multicast or `[`")),
        }
    }

    fn length(&mut self, relation: Relation) -> Result<Item<'a>, Error> {
        self.count()?;
        self.take();
        let TokenKind::Number(bound) = self.current().kind else {
            return Err(self.unexpected("a number of bytes"));
        };
        self.take();
        Ok(Item::Condition(primitives::length(relation, bound), None))
    }

    /// The words before an identifier.
    fn qualifiers(&mut self, protocol: Option<Protocol>) -> Result<Qualifiers, Error> {
        let direction = self.direction();
        let start = self.current();
        let kind = match self.word(0) {
            "host" => Kind::Host,
            "net" => Kind::Net,
            "port" => Kind::Port,
            "portrange" => Kind::PortRange,
            "proto" => Kind::Protocol,
            _ => {
                return Ok(Qualifiers {
                    protocol,
                    direction: direction.unwrap_or(Direction::Either),
                    kind: Kind::Host,
                })
            }
        };
        if kind == Kind::Protocol && direction.is_some() {
            return Err(self.unexpected("an address, host, net, port or portrange"));
        }
        self.take();
        let qualifiers = Qualifiers {
            protocol,
            direction: direction.unwrap_or(Direction::Either),
            kind,
        };
        identifier::check(&qualifiers, start)?;
        Ok(qualifiers)
    }

    fn direction(&mut self) -> Option<Direction> {
        let single = match self.word(0) {
            "src" => Direction::Source,
            "dst" => Direction::Destination,
            _ => return None,
        };
        let (first, second) = (self.word(0), self.word(2));
        let is_pair = matches!((first, second), ("src", "dst") | ("dst", "src"));
        self.take();
        let pair = match self.current().text {
            "or" | "||" if is_pair => Direction::Either,
            "and" | "&&" if is_pair => Direction::Both,
            _ => return Some(single),
        };
        self.take();
        self.take();
        Some(pair)
    }
}

/// Two conditions in a row; chains become one list.
fn join(left: Condition, is_and: bool, right: Condition) -> Condition {
    match (left, is_and) {
        (Condition::All(mut all), true) => {
            all.push(right);
            Condition::All(all)
        }
        (Condition::Any(mut any), false) => {
            any.push(right);
            Condition::Any(any)
        }
        (left, true) => Condition::All(vec![left, right]),
        (left, false) => Condition::Any(vec![left, right]),
    }
}

/// Adds the checks that are not there yet.
fn merge(checks: &mut Vec<Condition>, more: Vec<Condition>) {
    for check in more {
        if !checks.contains(&check) {
            checks.push(check);
        }
    }
}
