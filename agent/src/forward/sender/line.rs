//! A record of the spool: the line that system-probe made of an event.
//!
//! `{"seq":N,"rule_id":"R","silent":false,"tags":[…],"event":{…}}` enters; the rule, the tags and
//! the text of the event leave, the event unread but known to be JSON.

use serde::de::IgnoredAny;
use serde::Deserialize;

/// What comes between the head of a line and its event.
const SEPARATOR: &str = r#","event":"#;

/// A line, taken apart.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Line<'a> {
    pub(super) rule: String,
    pub(super) tags: Vec<String>,
    /// The event as JSON.
    pub(super) event: &'a str,
}

#[derive(Deserialize)]
struct Head {
    rule_id: String,
    #[serde(default)]
    tags: Vec<String>,
}

impl<'a> Line<'a> {
    /// Takes a line apart; `None` when it is none.
    pub(super) fn parse(bytes: &'a [u8]) -> Option<Line<'a>> {
        let text = std::str::from_utf8(bytes).ok()?.trim_end();
        let (head, rest) = text.split_once(SEPARATOR)?;
        let event = rest.strip_suffix('}')?;
        let head: Head = serde_json::from_str(&format!("{head}}}")).ok()?;
        serde_json::from_str::<IgnoredAny>(event).ok()?;
        event.starts_with('{').then_some(Line {
            rule: head.rule_id,
            tags: head.tags,
            event,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_taken_apart() {
        let line = br#"{"seq":1,"rule_id":"r","silent":false,"tags":["a:b","c"],"event":{"x":{"event":{}}}}"#;
        let expected = Line {
            rule: "r".to_owned(),
            tags: vec!["a:b".to_owned(), "c".to_owned()],
            event: r#"{"x":{"event":{}}}"#,
        };
        assert_eq!(Line::parse(line), Some(expected));
        for broken in [
            "",
            "{}",
            r#"{"seq":1,"event":{}}"#,
            r#"{"seq":1,"rule_id":"r","event":{}"#,
            r#"{"seq":1,"rule_id":"r","event":{"x":}}"#,
            r#"{"seq":1,"rule_id":"r","event":[]}"#,
            r#"{"seq":1,"rule_id":3,"event":{}}"#,
        ] {
            assert_eq!(Line::parse(broken.as_bytes()), None, "{broken}");
        }
        assert_eq!(Line::parse(b"\xff"), None);
    }
}
