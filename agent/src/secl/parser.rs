//! Tokens to an expression, by recursive descent with one token of look-ahead.
//!
//! The grammar, lowest first:
//! ```text
//! expression = comparison { ("&&" | "and" | "||" | "or") comparison }
//! comparison = sum [ scalar-operator comparison | ("in" | "not in" | "allin") array ]
//! sum        = bits { ("+" | "-") bits }
//! bits       = unary { ("&" | "|" | "^") unary }
//! unary      = ("!" | "not" | "-" | "+" | "^") unary | primary
//! primary    = identifier | variable | literal | "(" expression ")"
//! array      = "[" literal { "," literal } "]" | identifier | variable | address
//! ```
//! Depth is bounded, so that no text can exhaust the stack.

use super::ast::{
    Array, ArrayKind, BitOperator, Chain, CompareOperator, Expression, ExpressionKind,
    LogicOperator, Macro, Membership, SumOperator, UnaryOperator,
};
use super::lexer::{self, Token, TokenKind};
use super::Error;

/// How deep parentheses, unary operators and comparisons of comparisons may nest.
pub(super) const MAX_DEPTH: usize = 100;

const END: Token = Token {
    kind: TokenKind::End,
    span: 0..0,
};

/// Reads a whole expression.
pub(super) fn expression(text: &str) -> Result<Expression, Error> {
    let mut parser = Parser::new(text)?;
    let expression = parser.expression()?;
    parser.end()?;
    Ok(expression)
}

/// Reads what a macro stands for.
pub(super) fn definition(text: &str) -> Result<Macro, Error> {
    let mut parser = Parser::new(text)?;
    let definition = if parser.at_symbol("[") {
        Macro::Array(parser.array()?)
    } else {
        Macro::Expression(parser.expression()?)
    };
    parser.end()?;
    Ok(definition)
}

struct Parser {
    tokens: std::vec::IntoIter<Token>,
    current: Token,
    /// Where the token before the current one ended.
    last_end: usize,
    depth: usize,
}

impl Parser {
    fn new(text: &str) -> Result<Parser, Error> {
        let mut tokens = lexer::tokens(text)?.into_iter();
        let current = tokens.next().unwrap_or(END);
        if current.kind == TokenKind::End {
            return Err(Error::new("the expression is empty", 0..text.len()));
        }
        Ok(Parser {
            tokens,
            current,
            last_end: 0,
            depth: 0,
        })
    }

    /// Takes the current token.
    fn take(&mut self) -> Token {
        self.last_end = self.current.span.end;
        // Behind the end there is nothing but the end.
        let end = Token {
            kind: TokenKind::End,
            span: self.last_end..self.last_end,
        };
        let next = self.tokens.next().unwrap_or(end);
        std::mem::replace(&mut self.current, next)
    }

    fn at_symbol(&self, symbol: &str) -> bool {
        matches!(self.current.kind, TokenKind::Symbol(found) if found == symbol)
    }

    fn at_word(&self, word: &str) -> bool {
        matches!(&self.current.kind, TokenKind::Word(found) if found == word)
    }

    fn take_if(&mut self, spelling: &str) -> bool {
        let found = self.at_symbol(spelling) || self.at_word(spelling);
        if found {
            self.take();
        }
        found
    }

    fn take_first<T: Copy>(&mut self, spellings: &[(&str, T)]) -> Option<T> {
        let found = spellings
            .iter()
            .find(|(spelling, _)| self.take_if(spelling));
        found.map(|(_, value)| *value)
    }

    fn end(&mut self) -> Result<(), Error> {
        match self.current.kind {
            TokenKind::End => Ok(()),
            _ => Err(self.unexpected("an operator or the end")),
        }
    }

    fn unexpected(&self, wanted: &str) -> Error {
        let found = match &self.current.kind {
            TokenKind::Word(word) => format!("`{word}`"),
            TokenKind::Variable(name) => format!("`${{{name}}}`"),
            TokenKind::Integer(_) => "a number".to_owned(),
            TokenKind::Duration(_) => "a duration".to_owned(),
            TokenKind::Text(_) => "a string".to_owned(),
            TokenKind::Pattern(_) => "a pattern".to_owned(),
            TokenKind::Regexp(_) => "a regexp".to_owned(),
            TokenKind::Ip(_) => "an address".to_owned(),
            TokenKind::Symbol(symbol) => format!("`{symbol}`"),
            TokenKind::End => "the end".to_owned(),
        };
        Error::new(
            format!("expected {wanted}, found {found}"),
            self.current.span.clone(),
        )
    }

    fn descend(&mut self) -> Result<(), Error> {
        self.depth += 1;
        if self.depth > MAX_DEPTH {
            let message = format!("the expression nests deeper than {MAX_DEPTH} levels");
            return Err(Error::new(message, self.current.span.clone()));
        }
        Ok(())
    }

    fn node(&self, start: usize, kind: ExpressionKind) -> Expression {
        Expression {
            kind,
            span: start..self.last_end,
        }
    }

    /// One or more operands with operators of one group between them.
    fn chain<T: Copy>(
        &mut self,
        operators: &[(&str, T)],
        operand: fn(&mut Parser) -> Result<Expression, Error>,
        kind: fn(Chain<T>) -> ExpressionKind,
    ) -> Result<Expression, Error> {
        let start = self.current.span.start;
        let first = operand(self)?;
        let mut rest = Vec::new();
        while let Some(operator) = self.take_first(operators) {
            rest.push((operator, operand(self)?));
        }
        if rest.is_empty() {
            return Ok(first);
        }
        Ok(self.node(
            start,
            kind(Chain {
                first: Box::new(first),
                rest,
            }),
        ))
    }

    fn expression(&mut self) -> Result<Expression, Error> {
        use LogicOperator::{And, Or};
        let operators = [("&&", And), ("and", And), ("||", Or), ("or", Or)];
        self.chain(&operators, Parser::comparison, ExpressionKind::Logic)
    }

    fn comparison(&mut self) -> Result<Expression, Error> {
        let start = self.current.span.start;
        let left = self.sum()?;
        if let Some(operator) = self.compare_operator() {
            self.descend()?;
            let right = self.comparison()?;
            self.depth -= 1;
            let kind = ExpressionKind::Compare(Box::new(left), operator, Box::new(right));
            return Ok(self.node(start, kind));
        }
        if let Some(membership) = self.membership()? {
            let array = self.array()?;
            let kind = ExpressionKind::Member(Box::new(left), membership, array);
            return Ok(self.node(start, kind));
        }
        Ok(left)
    }

    fn compare_operator(&mut self) -> Option<CompareOperator> {
        use CompareOperator::{
            DoesNotMatch, Equal, Greater, GreaterOrEqual, Less, LessOrEqual, Matches, NotEqual,
        };
        self.take_first(&[
            ("==", Equal),
            ("!=", NotEqual),
            (">", Greater),
            (">=", GreaterOrEqual),
            ("<", Less),
            ("<=", LessOrEqual),
            ("=~", Matches),
            ("!~", DoesNotMatch),
        ])
    }

    fn membership(&mut self) -> Result<Option<Membership>, Error> {
        if self.take_if("not") {
            if !self.take_if("in") {
                return Err(self.unexpected("`in` after `not`"));
            }
            return Ok(Some(Membership::NotIn));
        }
        Ok(self.take_first(&[("in", Membership::In), ("allin", Membership::AllIn)]))
    }

    fn sum(&mut self) -> Result<Expression, Error> {
        let operators = [("+", SumOperator::Plus), ("-", SumOperator::Minus)];
        self.chain(&operators, Parser::bits, ExpressionKind::Sum)
    }

    fn bits(&mut self) -> Result<Expression, Error> {
        let operators = [
            ("&", BitOperator::And),
            ("|", BitOperator::Or),
            ("^", BitOperator::Xor),
        ];
        self.chain(&operators, Parser::unary, ExpressionKind::Bits)
    }

    fn unary(&mut self) -> Result<Expression, Error> {
        let start = self.current.span.start;
        if self.at_symbol("+") {
            self.take();
            return match self.current.kind {
                TokenKind::Integer(_) => self.primary(),
                _ => Err(self.unexpected("a number after `+`")),
            };
        }
        let operator = self.take_first(&[
            ("!", UnaryOperator::Not),
            ("not", UnaryOperator::Not),
            ("-", UnaryOperator::Minus),
            ("^", UnaryOperator::Complement),
        ]);
        let Some(operator) = operator else {
            return self.primary();
        };
        self.descend()?;
        let operand = self.unary()?;
        self.depth -= 1;
        Ok(self.node(start, ExpressionKind::Unary(operator, Box::new(operand))))
    }

    fn primary(&mut self) -> Result<Expression, Error> {
        let start = self.current.span.start;
        if self.at_symbol("(") {
            return self.parenthesised();
        }
        if self.at_symbol("[") {
            let message = "a list can only stand after `in`, `not in` or `allin`";
            return Err(Error::new(message, self.current.span.clone()));
        }
        let operator_words = ["in", "allin", "and", "or"];
        if operator_words.iter().any(|word| self.at_word(word)) {
            return Err(self.unexpected("a field or value"));
        }
        let Some(kind) = literal(&self.current.kind) else {
            return Err(self.unexpected("a field or value"));
        };
        self.take();
        Ok(self.node(start, kind))
    }

    fn parenthesised(&mut self) -> Result<Expression, Error> {
        let open = self.take();
        self.descend()?;
        let inner = self.expression()?;
        self.depth -= 1;
        if !self.take_if(")") {
            let mut error = self.unexpected("an operator or `)`");
            if self.current.kind == TokenKind::End {
                error = Error::new("this parenthesis is never closed", open.span);
            }
            return Err(error);
        }
        Ok(Expression {
            kind: inner.kind,
            span: open.span.start..self.last_end,
        })
    }

    fn array(&mut self) -> Result<Array, Error> {
        let start = self.current.span.start;
        let kind = match &self.current.kind {
            TokenKind::Symbol("[") => return self.list(),
            TokenKind::Word(name) => ArrayKind::Identifier(name.clone()),
            TokenKind::Variable(name) => ArrayKind::Variable(name.clone()),
            TokenKind::Ip(net) => ArrayKind::Ip(*net),
            _ => return Err(self.unexpected("a list such as [\"a\", \"b\"]")),
        };
        self.take();
        Ok(Array {
            kind,
            span: start..self.last_end,
        })
    }

    fn list(&mut self) -> Result<Array, Error> {
        let open = self.take();
        let mut elements = Vec::new();
        while !self.at_symbol("]") {
            elements.push(self.element(&open)?);
            if !self.take_if(",") && !self.at_symbol("]") {
                return Err(self.in_list(&open, "`,` or `]`"));
            }
        }
        self.take();
        let span = open.span.start..self.last_end;
        Ok(Array {
            kind: ArrayKind::List(elements),
            span,
        })
    }

    fn element(&mut self, open: &Token) -> Result<Expression, Error> {
        let start = self.current.span.start;
        let negative = self.take_if("-");
        let kind = match (literal(&self.current.kind), negative) {
            (Some(ExpressionKind::Integer(number)), true) => ExpressionKind::Integer(-number),
            (Some(kind), false) => kind,
            _ => return Err(self.in_list(open, "a value")),
        };
        self.take();
        Ok(self.node(start, kind))
    }

    fn in_list(&self, open: &Token, wanted: &str) -> Error {
        match self.current.kind {
            TokenKind::End => Error::new("this list is never closed", open.span.clone()),
            _ => self.unexpected(wanted),
        }
    }
}

fn literal(token: &TokenKind) -> Option<ExpressionKind> {
    Some(match token {
        TokenKind::Word(name) => ExpressionKind::Identifier(name.clone()),
        TokenKind::Variable(name) => ExpressionKind::Variable(name.clone()),
        TokenKind::Integer(number) => ExpressionKind::Integer(*number),
        TokenKind::Duration(nanoseconds) => ExpressionKind::Duration(*nanoseconds),
        TokenKind::Text(text) => ExpressionKind::Text(text.clone()),
        TokenKind::Pattern(text) => ExpressionKind::Pattern(text.clone()),
        TokenKind::Regexp(text) => ExpressionKind::Regexp(text.clone()),
        TokenKind::Ip(net) => ExpressionKind::Ip(*net),
        TokenKind::Symbol(_) | TokenKind::End => return None,
    })
}
