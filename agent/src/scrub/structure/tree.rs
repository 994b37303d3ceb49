//! YAML and JSON as one tree, with bounded memory.
//!
//! A text enters; its documents leave as trees that keep the order of entries and those that stand
//! twice. Aliases are followed on a budget, so that a small text whose aliases multiply ends as
//! one that does not parse. Depth is bounded by both parsers, to 128.

use std::cell::Cell;
use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, EnumAccess, Error, MapAccess, SeqAccess};
use serde::de::{VariantAccess, Visitor};

/// Values in one text after aliases were followed.
const MOST_NODES: usize = 250_000;
/// Bytes of text after aliases were followed.
const MOST_TEXT: usize = 8 << 20;
/// Marks that can begin an item. The parser of YAML keeps some 130 bytes for each.
const MOST_MARKS: usize = 400_000;
/// Brackets that may be open at once, those in texts included.
const MOST_OPEN: usize = 1_000;

/// A value.
#[derive(Debug)]
pub(super) enum Node {
    /// Nothing.
    Null,
    /// What has nothing below it.
    Leaf(Leaf),
    /// Items.
    List(Vec<Node>),
    /// Names and values.
    Map(Vec<(Node, Node)>),
}

/// A text, a number or a truth value.
#[derive(Debug)]
pub(super) struct Leaf {
    /// Of a number, as it could be written.
    pub(super) text: String,
    /// What is shown instead, as a text.
    pub(super) masked: Option<String>,
    /// Whether it is a text.
    pub(super) is_text: bool,
}

impl Leaf {
    /// What is shown.
    pub(super) fn shown(&self) -> &str {
        self.masked.as_deref().unwrap_or(&self.text)
    }
}

/// Whether the second trees are what the first show.
pub(super) fn is_shown(documents: &[Node], parsed: &[Node]) -> bool {
    documents.len() == parsed.len()
        && documents
            .iter()
            .zip(parsed)
            .all(|(document, parsed)| is_same(document, parsed))
}

fn is_same(node: &Node, parsed: &Node) -> bool {
    match (node, parsed) {
        (Node::Null, Node::Null) => true,
        (Node::Leaf(leaf), Node::Leaf(parsed)) => {
            let is_text = leaf.is_text || leaf.masked.is_some();
            is_text == parsed.is_text && leaf.shown() == parsed.text
        }
        (Node::List(items), Node::List(parsed)) => is_shown(items, parsed),
        (Node::Map(entries), Node::Map(parsed)) => {
            let mut pairs = entries.iter().zip(parsed);
            entries.len() == parsed.len()
                && pairs.all(|((name, value), (parsed_name, parsed_value))| {
                    is_same(name, parsed_name) && is_same(value, parsed_value)
                })
        }
        _ => false,
    }
}

/// The documents of a YAML text.
pub(super) fn yaml(text: &str) -> Option<Vec<Node>> {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    if !is_within_marks(text) {
        return None;
    }
    let budget = Budget::new();
    let documents = serde_yaml::Deserializer::from_str(text);
    documents
        .map(|document| Seed(&budget).deserialize(document).ok())
        .collect()
}

/// The one document of a JSON text.
pub(super) fn json(text: &str) -> Option<Vec<Node>> {
    let budget = Budget::new();
    let mut document = serde_json::Deserializer::from_str(text);
    let node = Seed(&budget).deserialize(&mut document).ok()?;
    document.end().ok()?;
    Some(vec![node])
}

/// Whether the parser of YAML will need no more than it may, judged by the bytes alone.
fn is_within_marks(text: &str) -> bool {
    let (mut marks, mut open) = (0_usize, 0_usize);
    for byte in text.bytes() {
        match byte {
            b'[' | b'{' => open += 1,
            b']' | b'}' => open = open.saturating_sub(1),
            b',' | b':' | b'-' | b'?' => {}
            _ => continue,
        }
        marks += 1;
        if open > MOST_OPEN || marks > MOST_MARKS {
            return false;
        }
    }
    true
}

/// What a tree may still grow by.
struct Budget {
    nodes: Cell<usize>,
    bytes: Cell<usize>,
}

impl Budget {
    fn new() -> Budget {
        Budget {
            nodes: Cell::new(MOST_NODES),
            bytes: Cell::new(MOST_TEXT),
        }
    }

    /// Whether it is enough for a node with so much text.
    fn spend(&self, bytes: usize) -> bool {
        let nodes = self.nodes.get().checked_sub(1);
        let bytes = self.bytes.get().checked_sub(bytes);
        self.nodes.set(nodes.unwrap_or(0));
        self.bytes.set(bytes.unwrap_or(0));
        nodes.is_some() && bytes.is_some()
    }

    fn node<E: Error>(&self, node: Node) -> Result<Node, E> {
        let bytes = match &node {
            Node::Leaf(leaf) => leaf.text.len(),
            _ => 0,
        };
        match self.spend(bytes) {
            true => Ok(node),
            false => Err(E::custom("too large")),
        }
    }

    fn leaf<E: Error>(&self, text: String, is_text: bool) -> Result<Node, E> {
        self.node(Node::Leaf(Leaf {
            text,
            masked: None,
            is_text,
        }))
    }
}

/// Builds one value and everything below it on the budget.
#[derive(Clone, Copy)]
struct Seed<'a>(&'a Budget);

impl<'de> DeserializeSeed<'de> for Seed<'_> {
    type Value = Node;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Node, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Seed<'_> {
    type Value = Node;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value")
    }

    fn visit_bool<E: Error>(self, value: bool) -> Result<Node, E> {
        self.0.leaf(value.to_string(), false)
    }

    fn visit_i64<E: Error>(self, value: i64) -> Result<Node, E> {
        self.0.leaf(value.to_string(), false)
    }

    fn visit_u64<E: Error>(self, value: u64) -> Result<Node, E> {
        self.0.leaf(value.to_string(), false)
    }

    fn visit_i128<E: Error>(self, value: i128) -> Result<Node, E> {
        self.0.leaf(value.to_string(), false)
    }

    fn visit_u128<E: Error>(self, value: u128) -> Result<Node, E> {
        self.0.leaf(value.to_string(), false)
    }

    fn visit_f64<E: Error>(self, value: f64) -> Result<Node, E> {
        let text = match serde_json::Number::from_f64(value) {
            Some(number) => number.to_string(),
            None if value.is_nan() => ".nan".to_owned(),
            None if value > 0.0 => ".inf".to_owned(),
            None => "-.inf".to_owned(),
        };
        self.0.leaf(text, false)
    }

    fn visit_str<E: Error>(self, value: &str) -> Result<Node, E> {
        self.0.leaf(value.to_owned(), true)
    }

    fn visit_unit<E: Error>(self) -> Result<Node, E> {
        self.0.node(Node::Null)
    }

    fn visit_none<E: Error>(self) -> Result<Node, E> {
        self.0.node(Node::Null)
    }

    fn visit_some<D: Deserializer<'de>>(self, deserializer: D) -> Result<Node, D::Error> {
        deserializer.deserialize_any(self)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut access: A) -> Result<Node, A::Error> {
        let mut items = Vec::new();
        while let Some(item) = access.next_element_seed(self)? {
            items.push(item);
        }
        self.0.node(Node::List(items))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut access: A) -> Result<Node, A::Error> {
        let mut entries = Vec::new();
        while let Some(entry) = access.next_entry_seed(self, self)? {
            entries.push(entry);
        }
        self.0.node(Node::Map(entries))
    }

    /// A value with a tag, which says nothing here.
    fn visit_enum<A: EnumAccess<'de>>(self, access: A) -> Result<Node, A::Error> {
        let (_, value) = access.variant_seed(self)?;
        value.newtype_variant_seed(self)
    }
}
