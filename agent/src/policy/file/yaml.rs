//! Text of a policy file to a tree of YAML values, with bounded memory.
//!
//! A text with too many marks is refused before it is parsed, because the parser keeps every
//! event of it at once; a tree that grows past [`MAX_NODES`] or [`MAX_TEXT`] is refused while it
//! is built, so that a small file whose aliases multiply (a "YAML bomb") ends as a sentence. The
//! size of the file is bounded by [`super::source`]. What the keys mean is decided in
//! [`super::definition`].

use super::position::Location;
use serde::de::{DeserializeSeed, Deserializer, Error as _, MapAccess, SeqAccess, Visitor};
use serde_yaml::{Mapping, Value};
use std::cell::Cell;
use std::fmt;

/// Values in one file after aliases were followed: some 20,000 rules with all their keys.
const MAX_NODES: usize = 400_000;
/// Bytes of text in one file after aliases were followed, twice the largest file.
const MAX_TEXT: usize = 8 << 20;
/// Marks that can begin an item in one file. The parser needs some 130 bytes for each; the public
/// policies have one in 25 bytes.
const MAX_MARKS: usize = 500_000;
/// Brackets that may be open at once. Real nesting is below ten, but brackets inside texts count
/// too, and not each of them is closed.
const MAX_OPEN: usize = 1000;

/// Why a file could not be read as YAML.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Error {
    /// The file has no bytes, or only blanks and comments.
    Empty,
    /// The file is not UTF-8 text, or holds control characters that YAML forbids.
    Binary {
        /// Byte offset of the first byte that is not text.
        offset: usize,
    },
    /// The file has more marks than are parsed.
    TooMany,
    /// The file has more open brackets than are parsed.
    TooDeep,
    /// The YAML parser refused the text.
    Syntax {
        /// The sentence of the parser, without its place.
        message: String,
        /// Where in the file, when the parser says so.
        location: Option<Location>,
    },
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Error::Empty => f.write_str("the policy is empty"),
            Error::Binary { offset } => write!(
                f,
                "the file is not text (byte {offset}); a policy is YAML in UTF-8"
            ),
            Error::TooMany => write!(
                f,
                "the file has more than {MAX_MARKS} items and separators; split the policy"
            ),
            Error::TooDeep => write!(f, "more than {MAX_OPEN} brackets are open at once"),
            Error::Syntax { message, .. } => write!(f, "the YAML cannot be read: {message}"),
        }
    }
}

impl std::error::Error for Error {}

/// Reads the bytes of a file as UTF-8 text, without a byte order mark.
pub fn text(bytes: &[u8]) -> Result<&str, Error> {
    if let Some(offset) = bytes.iter().position(|byte| *byte == 0) {
        return Err(Error::Binary { offset });
    }
    let text = std::str::from_utf8(bytes).map_err(|error| Error::Binary {
        offset: error.valid_up_to(),
    })?;
    Ok(text.strip_prefix('\u{feff}').unwrap_or(text))
}

/// Parses one YAML document; merge keys (`<<`) are applied.
pub fn parse(text: &str) -> Result<Value, Error> {
    if text.lines().all(is_blank) {
        return Err(Error::Empty);
    }
    check_marks(text)?;
    let budget = Budget {
        nodes: Cell::new(MAX_NODES),
        bytes: Cell::new(MAX_TEXT),
    };
    let mut value = Node(&budget)
        .deserialize(serde_yaml::Deserializer::from_str(text))
        .map_err(syntax)?;
    value.apply_merge().map_err(syntax)?;
    match value {
        Value::Null => Err(Error::Empty),
        value => Ok(value),
    }
}

/// Bounds what the parser will need, from the bytes alone.
fn check_marks(text: &str) -> Result<(), Error> {
    let mut marks = 0usize;
    let mut open = 0usize;
    for byte in text.bytes() {
        match byte {
            b'[' | b'{' => open += 1,
            b']' | b'}' => open = open.saturating_sub(1),
            b',' | b':' | b'-' | b'?' => {}
            _ => continue,
        }
        marks += 1;
        if open > MAX_OPEN {
            return Err(Error::TooDeep);
        }
    }
    if marks > MAX_MARKS {
        return Err(Error::TooMany);
    }
    Ok(())
}

fn is_blank(line: &str) -> bool {
    let line = line.trim();
    line.is_empty() || line.starts_with('#') || line == "---"
}

fn syntax(error: serde_yaml::Error) -> Error {
    let mut message = error.to_string();
    let location = error.location().map(|place| Location {
        line: place.line(),
        column: place.column(),
    });
    if let Some(Location { line, column }) = location {
        // The report prints the place in front.
        message = message.replacen(&format!(" at line {line} column {column}"), "", 1);
    }
    Error::Syntax { message, location }
}

/// What a tree may still grow by while it is built.
struct Budget {
    nodes: Cell<usize>,
    bytes: Cell<usize>,
}

impl Budget {
    fn spend<E: serde::de::Error>(&self, bytes: usize) -> Result<(), E> {
        let nodes = self.nodes.get().checked_sub(1);
        let bytes = self.bytes.get().checked_sub(bytes);
        let (Some(nodes), Some(bytes)) = (nodes, bytes) else {
            return Err(E::custom(format!(
                "the document holds more than {MAX_NODES} values or {MAX_TEXT} bytes once its \
                 aliases are followed; use fewer aliases or split the policy"
            )));
        };
        self.nodes.set(nodes);
        self.bytes.set(bytes);
        Ok(())
    }
}

/// Builds one value and everything below it on the budget.
struct Node<'a>(&'a Budget);

impl<'de> DeserializeSeed<'de> for Node<'_> {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Node<'_> {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a plain YAML value without a tag")
    }

    fn visit_bool<E: serde::de::Error>(self, value: bool) -> Result<Value, E> {
        self.0.spend(0)?;
        Ok(Value::Bool(value))
    }

    fn visit_i64<E: serde::de::Error>(self, value: i64) -> Result<Value, E> {
        self.0.spend(0)?;
        Ok(Value::Number(value.into()))
    }

    fn visit_u64<E: serde::de::Error>(self, value: u64) -> Result<Value, E> {
        self.0.spend(0)?;
        Ok(Value::Number(value.into()))
    }

    fn visit_f64<E: serde::de::Error>(self, value: f64) -> Result<Value, E> {
        self.0.spend(0)?;
        Ok(Value::Number(value.into()))
    }

    fn visit_str<E: serde::de::Error>(self, value: &str) -> Result<Value, E> {
        self.0.spend(value.len())?;
        Ok(Value::String(value.to_owned()))
    }

    fn visit_unit<E: serde::de::Error>(self) -> Result<Value, E> {
        self.0.spend(0)?;
        Ok(Value::Null)
    }

    fn visit_none<E: serde::de::Error>(self) -> Result<Value, E> {
        self.visit_unit()
    }

    fn visit_some<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        deserializer.deserialize_any(self)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Value, A::Error> {
        self.0.spend(0)?;
        let mut sequence = Vec::new();
        while let Some(item) = items.next_element_seed(Node(self.0))? {
            sequence.push(item);
        }
        Ok(Value::Sequence(sequence))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Value, A::Error> {
        self.0.spend(0)?;
        let mut mapping = Mapping::new();
        while let Some((key, value)) = entries.next_entry_seed(Node(self.0), Node(self.0))? {
            if mapping.contains_key(&key) {
                let key = key.as_str().unwrap_or("?");
                return Err(A::Error::custom(format!("the key `{key}` stands twice")));
            }
            mapping.insert(key, value);
        }
        Ok(Value::Mapping(mapping))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(source: &str) -> String {
        parse(source).unwrap_err().to_string()
    }

    #[test]
    fn reads_values_and_merge_keys() {
        let value = parse("a: &x {k: 1}\nb: {<<: *x, l: yes}\nc: [true, 1.5, ~, -3]\n").unwrap();
        assert_eq!(value["b"]["k"], Value::from(1));
        assert_eq!(value["b"]["l"], Value::from("yes"));
        assert_eq!(value["c"][2], Value::Null);
        assert_eq!(value["c"][3], Value::from(-3));
    }

    #[test]
    fn empty_documents_are_named() {
        for source in ["", "\n \n", "# only a comment\n", "---\n", "~"] {
            assert_eq!(parse(source), Err(Error::Empty), "{source:?}");
        }
    }

    #[test]
    fn bytes_that_are_no_text_are_named() {
        assert_eq!(text(b"ab\0c"), Err(Error::Binary { offset: 2 }));
        assert_eq!(text(b"ab\xff"), Err(Error::Binary { offset: 2 }));
        assert_eq!(text("\u{feff}a".as_bytes()), Ok("a"));
    }

    #[test]
    fn a_syntax_error_has_its_place() {
        let Err(Error::Syntax { location, message }) = parse("rules:\n  - id: [a\n") else {
            panic!("no error");
        };
        assert_eq!(location, Some(Location { line: 3, column: 1 }));
        assert!(!message.contains("line 3"), "{message}");
    }

    #[test]
    fn a_bomb_is_refused() {
        let mut bomb = String::from("a0: &a0 [x,x,x,x,x,x,x,x,x]\n");
        for level in 1..12 {
            let items = format!("*a{},", level - 1).repeat(9);
            bomb.push_str(&format!("a{level}: &a{level} [{items}]\n"));
        }
        // Many events raise serde_yaml's own limit on repetitions; the budget does not move.
        bomb.push_str(&format!("pad: [{}]\n", "x,".repeat(50_000)));
        assert!(message(&bomb).contains("aliases"), "{}", message(&bomb));
    }

    #[test]
    fn a_long_text_behind_aliases_is_refused() {
        let source = format!(
            "a: &a {}\nb: [{}]\n",
            "x".repeat(100_000),
            "*a,".repeat(100)
        );
        assert!(message(&source).contains("bytes"), "{}", message(&source));
    }

    #[test]
    fn depth_twice_and_tags_are_refused() {
        assert!(message(&"[".repeat(500)).contains("recursion limit"));
        assert!(message(&"[".repeat(5000)).contains("brackets are open"));
        assert!(message(&"- ".repeat(5000)).contains("recursion limit"));
        assert!(message(&"- ".repeat(MAX_MARKS + 1)).contains("split the policy"));
        assert!(message("a: 1\na: 2\n").contains("`a` stands twice"));
        assert!(message("a: !x 1\n").contains("without a tag"));
        assert!(message("a: 1\n---\nb: 1\n").contains("more than one document"));
    }
}
