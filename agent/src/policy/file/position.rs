//! Finds the places of rules and of errors inside their expressions in the text of a policy.
//!
//! serde_yaml keeps no places, so the block style in which policies are written is scanned by
//! line: the sections `rules` and `macros`, and where each of their items begins and ends. A file
//! in another style (JSON, flow) still gets the line of the id. Nothing here can fail a load.

use serde::Serialize;
use std::fmt;
use std::iter::Peekable;
use std::ops::Range;
use std::str::CharIndices;

/// A place in a file; lines and columns count from 1, columns in characters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Location {
    /// Line, from 1.
    pub line: usize,
    /// Column in characters, from 1.
    pub column: usize,
}

impl fmt::Display for Location {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.line, self.column)
    }
}

/// Where the items of the two sections stand, as byte ranges of the text.
#[derive(Debug, Default)]
pub struct Index {
    /// One range for each item of `rules`.
    pub rules: Vec<Range<usize>>,
    /// One range for each item of `macros`.
    pub macros: Vec<Range<usize>>,
    /// Where each line begins.
    lines: Vec<usize>,
}

#[derive(Clone, Copy, PartialEq)]
enum Section {
    Rules,
    Macros,
    Other,
}

impl Index {
    /// Scans a policy in block style; what it does not recognise is left out.
    pub fn new(text: &str) -> Index {
        let mut index = Index::default();
        let mut section = Section::Other;
        let mut item_indent = None;
        for (start, line) in lines(text) {
            index.lines.push(start);
            let content = line.trim_start_matches(' ');
            if content.trim().is_empty() || content.starts_with('#') {
                continue;
            }
            let indent = line.len() - content.len();
            let dash = content.starts_with("- ") || content.trim_end() == "-";
            if indent == 0 && !dash {
                section = section_of(content);
                item_indent = None;
            } else if dash && *item_indent.get_or_insert(indent) == indent {
                index.begin(section, start + indent..text.len());
                continue;
            }
            index.extend(section, start + line.len());
        }
        index
    }

    /// Forgets the items of a section unless there are as many as the parser found.
    pub fn trust(&mut self, rules: usize, macros: usize) {
        if self.rules.len() != rules {
            self.rules.clear();
        }
        if self.macros.len() != macros {
            self.macros.clear();
        }
    }

    /// Line and column of a byte offset of the text that was scanned; an offset past the end
    /// gives the last place.
    pub fn location(&self, text: &str, offset: usize) -> Location {
        let line = self.lines.partition_point(|start| *start <= offset).max(1);
        let start = self.lines.get(line - 1).copied().unwrap_or(0);
        let before = text.get(start..offset.min(text.len())).unwrap_or("");
        Location {
            line,
            column: before.chars().count() + 1,
        }
    }

    fn items(&mut self, section: Section) -> Option<&mut Vec<Range<usize>>> {
        match section {
            Section::Rules => Some(&mut self.rules),
            Section::Macros => Some(&mut self.macros),
            Section::Other => None,
        }
    }

    fn begin(&mut self, section: Section, range: Range<usize>) {
        if let Some(items) = self.items(section) {
            let end = range.start;
            if let Some(previous) = items.last_mut() {
                previous.end = previous.end.min(end);
            }
            items.push(range);
        }
    }

    fn extend(&mut self, section: Section, end: usize) {
        if let Some(last) = self.items(section).and_then(|items| items.last_mut()) {
            last.end = end;
        }
    }
}

fn section_of(line: &str) -> Section {
    let Some((key, rest)) = line.split_once(':') else {
        return Section::Other;
    };
    let rest = rest.trim();
    if !rest.is_empty() && !rest.starts_with('#') {
        return Section::Other;
    }
    match key.trim().trim_matches(['"', '\'']) {
        "rules" => Section::Rules,
        "macros" => Section::Macros,
        _ => Section::Other,
    }
}

/// Each line with its byte offset, without its line end.
fn lines(text: &str) -> impl Iterator<Item = (usize, &str)> {
    text.split_inclusive('\n').scan(0, |offset, line| {
        let start = *offset;
        *offset += line.len();
        Some((start, line.trim_end_matches(['\n', '\r'])))
    })
}

/// Byte offset of the first place that names `id`, for files whose items were not recognised.
pub fn find_id(text: &str, id: &str) -> Option<usize> {
    if id.is_empty() {
        return None;
    }
    text.match_indices(id)
        .map(|(start, _)| start)
        .find(|start| {
            let before = text.get(..*start).unwrap_or("");
            let before = before.trim_end_matches(['"', '\'', ' ']);
            before
                .strip_suffix(':')
                .is_some_and(|key| key.trim_end_matches(['"', '\'', ' ']).ends_with("id"))
        })
}

/// Byte offset in `text` of the byte `offset` of the value of `key` in the item at `item`.
///
/// `value` is the decoded value. Where the two cannot be laid side by side (aliases, unusual
/// escapes) the result is the start of the value, or the last place where they agreed.
pub fn inside(text: &str, item: &Range<usize>, key: &str, value: &str, offset: usize) -> usize {
    let block = text.get(item.clone()).unwrap_or("");
    let line = text.get(..item.start).and_then(|before| before.rfind('\n'));
    let indent = item.start - line.map_or(0, |newline| newline + 1);
    let Some(start) = value_start(block, indent, key) else {
        return item.start;
    };
    let raw = block.get(start..).unwrap_or("");
    let prefix = value.get(..offset).unwrap_or(value);
    item.start + start + align(raw, prefix)
}

/// Offset in an item of the value of one of its keys; the item's dash stands at `indent`.
fn value_start(block: &str, indent: usize, key: &str) -> Option<usize> {
    let after_dash = block.strip_prefix('-')?;
    let first = 1 + (after_dash.len() - after_dash.trim_start_matches(' ').len());
    for (start, line) in lines(block) {
        // The first key follows the dash, the others stand below it; deeper lines are values.
        let at = if start == 0 { first } else { indent + first };
        let (blank, content) = line.split_at_checked(at).unwrap_or_default();
        if start != 0 && !blank.bytes().all(|byte| byte == b' ') {
            continue;
        }
        if let Some(rest) = strip_key(content, key) {
            let value = rest.trim_start_matches(' ');
            return Some(start + line.len() - value.len());
        }
    }
    None
}

/// What follows `key:` on a line, for a plain or quoted key.
fn strip_key<'a>(content: &'a str, key: &str) -> Option<&'a str> {
    let content = content.strip_prefix(['"', '\'']).unwrap_or(content);
    let rest = content.strip_prefix(key)?;
    let rest = rest.strip_prefix(['"', '\'']).unwrap_or(rest);
    rest.strip_prefix(':')
}

#[derive(Clone, Copy, PartialEq)]
enum Style {
    Plain,
    Single,
    Double,
}

/// Bytes of `raw` (a YAML scalar as written) that hold the decoded text `prefix`.
fn align(raw: &str, prefix: &str) -> usize {
    let (style, skip) = match raw.chars().next() {
        Some('|' | '>') => (Style::Plain, raw.find('\n').map_or(0, |end| end + 1)),
        Some('"') => (Style::Double, 1),
        Some('\'') => (Style::Single, 1),
        _ => (Style::Plain, 0),
    };
    let body = raw.get(skip..).unwrap_or("");
    let mut written = body.char_indices().peekable();
    for wanted in prefix.chars() {
        let mut ahead = written.clone();
        if !advance(&mut ahead, style, wanted) {
            break;
        }
        written = ahead;
    }
    skip_blank(&mut written, style);
    skip + written.peek().map_or(body.len(), |(offset, _)| *offset)
}

/// Moves over what stands for one decoded character; false when something else stands there.
fn advance(written: &mut Peekable<CharIndices<'_>>, style: Style, wanted: char) -> bool {
    skip_blank(written, style);
    // Folding makes any run of blanks one blank or one line end: runs are compared as runs.
    if wanted.is_whitespace() {
        return true;
    }
    let Some((_, found)) = written.next() else {
        return false;
    };
    match (style, found) {
        (Style::Double, '\\') => written.next().is_some_and(|(_, escaped)| escaped == wanted),
        (Style::Single, '\'') => wanted == '\'' && written.next().is_some(),
        _ => found == wanted,
    }
}

fn skip_blank(written: &mut Peekable<CharIndices<'_>>, style: Style) {
    loop {
        if written
            .next_if(|(_, found)| found.is_whitespace())
            .is_some()
        {
            continue;
        }
        let mut ahead = written.clone();
        let escape = ahead.next().is_some_and(|(_, found)| found == '\\')
            && ahead
                .next()
                .is_some_and(|(_, found)| matches!(found, 'n' | 't' | '\n'));
        if style != Style::Double || !escape {
            return;
        }
        *written = ahead;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "version: 1\n\nmacros:\n- id: m\n  values: [a]\n\n# - a comment\nrules:\n\
        \x20 - id: one\n    expression: >-\n      open.file.path == \"/a\" &&\n\
        \x20     open.wrong == 1\n    tags:\n      - odd\n  -   description: 'id: two'\n      id: two\n\
        \x20     expression: \"exec.file.name == \\\"x\\\" && bad\"\nother: 1\n";

    #[test]
    fn items_of_both_sections_are_found() {
        let index = Index::new(TEXT);
        assert_eq!(index.macros.len(), 1);
        assert_eq!(index.rules.len(), 2);
        assert_eq!(
            index.location(TEXT, index.macros[0].start).to_string(),
            "4:1"
        );
        assert_eq!(
            index.location(TEXT, index.rules[0].start).to_string(),
            "9:3"
        );
        assert_eq!(
            index.location(TEXT, index.rules[1].start).to_string(),
            "15:3"
        );
        assert!(TEXT[index.rules[1].clone()].ends_with("bad\""));
    }

    #[test]
    fn an_offset_in_an_expression_becomes_a_place_in_the_file() {
        let table = [
            ("expression: a == b\n", "a == b", "b", "1:20"),
            ("expression: 'it''s == b'\n", "it's == b", "b", "1:25"),
            ("expression: \"a \\\"q\\\" b\"\n", "a \"q\" b", "b", "1:24"),
            ("expression: \"a\\n  b\"\n", "a\n  b", "b", "1:21"),
            (
                "expression: |\n    a ==\n    # c\n    b\n",
                "a ==\n# c\nb\n",
                "b",
                "4:5",
            ),
            (
                "expression: >\n    a ==\n\n    b\n",
                "a ==\nb\n",
                "b",
                "4:5",
            ),
            ("expression: a ==\n    b\n", "a == b", "b", "2:5"),
            ("id: x\n  \"expression\": a == b\n", "a == b", "b", "2:22"),
            ("expression: *alias\n", "a == b", "b", "1:15"),
        ];
        for (yaml, value, wanted, expected) in table {
            let text = format!("- {yaml}");
            let offset = value.rfind(wanted).unwrap();
            let found = inside(&text, &(0..text.len()), "expression", value, offset);
            assert_eq!(
                Index::new(&text).location(&text, found).to_string(),
                expected,
                "{text}"
            );
        }
    }

    #[test]
    fn a_key_inside_a_text_is_no_key() {
        let text = "- description: |\n    expression: no\n  expression: a == b\n";
        let found = inside(text, &(0..text.len()), "expression", "a == b", 5);
        assert_eq!(Index::new(text).location(text, found).to_string(), "3:20");
    }

    #[test]
    fn other_styles_fall_back_to_the_id() {
        let text = "{\"rules\": [\n {\"id\": \"one\", \"expression\": \"one\"}]}";
        assert!(Index::new(text).rules.is_empty());
        let found = find_id(text, "one").unwrap();
        assert_eq!(Index::new(text).location(text, found).to_string(), "2:10");
        assert_eq!(find_id(text, ""), None);
        assert_eq!(find_id(text, "two"), None);
    }

    #[test]
    fn odd_texts_do_no_harm() {
        for text in [
            "",
            "-",
            "- ",
            "rules:\n-",
            "rules:\n- ",
            "\u{e9}",
            "rules:\n-\u{e9}: 1",
        ] {
            let index = Index::new(text);
            for item in &index.rules {
                inside(text, item, "expression", "abc", 9);
            }
            index.location(text, 99);
        }
    }
}
