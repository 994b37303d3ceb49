//! From the text of a template to nodes.

use std::iter::Peekable;
use std::str::Chars;
use std::vec::IntoIter;

use serde_json::Value;

use super::Wrong;

/// A part of a template.
#[derive(Debug)]
pub(super) enum Node {
    /// Stands for itself.
    Text(String),
    /// The text of a value; nothing where the value gets a name.
    Action(Pipeline),
    /// `if`, `with` or `range`.
    Block(Box<Block>),
}

/// A block with a condition.
#[derive(Debug)]
pub(super) struct Block {
    pub(super) kind: Kind,
    pub(super) of: Pipeline,
    pub(super) body: Vec<Node>,
    pub(super) otherwise: Vec<Node>,
}

/// What a block does with its value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    If,
    With,
    Range,
}

/// Commands, each of which gets the value of the one before as its last argument.
#[derive(Debug)]
pub(super) struct Pipeline {
    /// Variables that the value is given to.
    pub(super) names: Vec<String>,
    /// Whether these are new.
    pub(super) declares: bool,
    pub(super) commands: Vec<Vec<Operand>>,
}

/// A value, and the fields to take from it.
#[derive(Debug)]
pub(super) struct Operand {
    pub(super) base: Base,
    pub(super) fields: Vec<String>,
}

/// Where a value comes from.
#[derive(Debug)]
pub(super) enum Base {
    Dot,
    /// By its name without the dollar sign; empty for the value that the template began with.
    Variable(String),
    Literal(Value),
    Function(String),
    Group(Pipeline),
}

type Definitions = Vec<(String, Vec<Node>)>;

/// The nodes of a file, and those of what it defines.
pub(super) fn file(text: &str) -> Result<(Vec<Node>, Definitions), Wrong> {
    let mut pieces = pieces(text)?.into_iter();
    let mut defined = Vec::new();
    match block(&mut pieces, &mut defined)? {
        (nodes, End::File) => Ok((nodes, defined)),
        _ => Err("an end without a beginning"),
    }
}

enum Piece<'a> {
    Text(&'a str),
    Action(&'a str),
}

/// Takes the text apart; white space beside a dash goes, and comments do.
fn pieces(text: &str) -> Result<Vec<Piece<'_>>, Wrong> {
    let mut found = Vec::new();
    let mut rest = text;
    while let Some((before, after)) = rest.split_once("{{") {
        let (mut action, mut after) = after.split_once("}}").ok_or("an action without an end")?;
        let mut before = before;
        if let Some(inner) = action.strip_prefix('-') {
            (action, before) = (inner, before.trim_end());
        }
        if let Some(inner) = action.strip_suffix('-') {
            (action, after) = (inner, after.trim_start());
        }
        found.push(Piece::Text(before));
        let action = action.trim();
        if !action.starts_with("/*") {
            found.push(Piece::Action(action));
        }
        rest = after;
    }
    found.push(Piece::Text(rest));
    Ok(found)
}

/// What a list of nodes ended with.
enum End<'a> {
    File,
    Closed,
    /// What stands after the word.
    Else(&'a str),
}

fn block<'a>(
    pieces: &mut IntoIter<Piece<'a>>,
    defined: &mut Definitions,
) -> Result<(Vec<Node>, End<'a>), Wrong> {
    let mut nodes = Vec::new();
    while let Some(piece) = pieces.next() {
        let action = match piece {
            Piece::Text("") => continue,
            Piece::Text(text) => {
                nodes.push(Node::Text(text.to_owned()));
                continue;
            }
            Piece::Action(action) => action,
        };
        let (word, rest) = action.split_once(' ').unwrap_or((action, ""));
        match word {
            "end" => return Ok((nodes, End::Closed)),
            "else" => return Ok((nodes, End::Else(rest.trim()))),
            "define" => {
                let (body, _) = block(pieces, defined)?;
                defined.push((rest.trim().trim_matches('"').to_owned(), body));
            }
            "if" => nodes.push(conditional(Kind::If, rest, pieces, defined)?),
            "with" => nodes.push(conditional(Kind::With, rest, pieces, defined)?),
            "range" => nodes.push(conditional(Kind::Range, rest, pieces, defined)?),
            _ => nodes.push(Node::Action(pipeline(action)?)),
        }
    }
    Ok((nodes, End::File))
}

/// The rest of a block that begins with this condition.
fn conditional<'a>(
    kind: Kind,
    condition: &str,
    pieces: &mut IntoIter<Piece<'a>>,
    defined: &mut Definitions,
) -> Result<Node, Wrong> {
    let (body, end) = block(pieces, defined)?;
    let otherwise = match end {
        End::File => return Err("a block without an end"),
        End::Closed => Vec::new(),
        End::Else("") => match block(pieces, defined)? {
            (nodes, End::Closed) => nodes,
            _ => return Err("an else without an end"),
        },
        End::Else(next) => {
            let condition = next.strip_prefix("if ").ok_or("an else of another kind")?;
            // The end of the inner block is that of this one.
            vec![conditional(Kind::If, condition, pieces, defined)?]
        }
    };
    Ok(Node::Block(Box::new(Block {
        kind,
        of: pipeline(condition)?,
        body,
        otherwise,
    })))
}

fn pipeline(text: &str) -> Result<Pipeline, Wrong> {
    let mut names = Vec::new();
    let mut declares = false;
    let mut value = text;
    if let Some((left, right)) = text.split_once('=') {
        // An equals sign in a literal has something else than names before it.
        let left = left.trim_end();
        let listed = left.strip_suffix(':').unwrap_or(left).trim_end();
        let all: Option<Vec<String>> = listed
            .split(',')
            .map(|name| Some(name.trim().strip_prefix('$')?.to_owned()))
            .collect();
        if let Some(all) = all.filter(|all| all.iter().all(|name| name.chars().all(is_of_name))) {
            (names, declares, value) = (all, left.ends_with(':'), right);
        }
    }
    let mut chars = value.chars().peekable();
    let commands = commands(&mut chars)?;
    match chars.next() {
        None => Ok(Pipeline {
            names,
            declares,
            commands,
        }),
        Some(_) => Err("a bracket is closed that was not opened"),
    }
}

fn commands(chars: &mut Peekable<Chars<'_>>) -> Result<Vec<Vec<Operand>>, Wrong> {
    let mut commands = Vec::new();
    let mut command = Vec::new();
    loop {
        match chars.peek() {
            Some(' ' | '\n') => {
                chars.next();
            }
            Some('|') => {
                chars.next();
                commands.push(std::mem::take(&mut command));
            }
            None | Some(')') => break,
            Some(_) => command.push(operand(chars)?),
        }
    }
    commands.push(command);
    Ok(commands)
}

fn operand(chars: &mut Peekable<Chars<'_>>) -> Result<Operand, Wrong> {
    let base = match chars.peek() {
        Some('.') => {
            let mut fields = fields(chars);
            fields.retain(|field| !field.is_empty());
            return Ok(Operand {
                base: Base::Dot,
                fields,
            });
        }
        Some('$') => {
            chars.next();
            Base::Variable(name(chars))
        }
        Some('"') => {
            chars.next();
            Base::Literal(quoted(chars)?.into())
        }
        Some('(') => {
            chars.next();
            let commands = commands(chars)?;
            chars.next().ok_or("a bracket is not closed")?;
            Base::Group(Pipeline {
                names: Vec::new(),
                declares: false,
                commands,
            })
        }
        _ => word(&name(chars))?,
    };
    Ok(Operand {
        base,
        fields: fields(chars),
    })
}

fn word(word: &str) -> Result<Base, Wrong> {
    Ok(match word {
        "" => return Err("a sign that is not understood"),
        "true" => Base::Literal(true.into()),
        "false" => Base::Literal(false.into()),
        number if number.starts_with(|first: char| first.is_ascii_digit()) => {
            let number: u64 = number.parse().map_err(|_| "no number")?;
            Base::Literal(number.into())
        }
        function => Base::Function(function.to_owned()),
    })
}

/// Fields that follow without a space: `.a.b`.
fn fields(chars: &mut Peekable<Chars<'_>>) -> Vec<String> {
    let mut fields = Vec::new();
    while chars.next_if_eq(&'.').is_some() {
        fields.push(name(chars));
    }
    fields
}

fn name(chars: &mut Peekable<Chars<'_>>) -> String {
    let mut name = String::new();
    while let Some(next) = chars.next_if(|next| is_of_name(*next)) {
        name.push(next);
    }
    name
}

fn is_of_name(c: char) -> bool {
    c.is_ascii_alphanumeric() || c == '_'
}

/// The rest of a text in quotes, without escapes.
fn quoted(chars: &mut Peekable<Chars<'_>>) -> Result<String, Wrong> {
    let mut text = String::new();
    loop {
        match chars.next() {
            Some('"') => return Ok(text),
            Some('\\') | None => return Err("a text with escapes, or without an end"),
            Some(next) => text.push(next),
        }
    }
}
