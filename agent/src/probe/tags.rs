//! The tags that go with an event of a rule, as a JSON list.
//!
//! A rule and an event enter, text leaves. What depends on the rule alone is written once.

use std::collections::HashMap;
use std::rc::Rc;

use crate::event::Event;
use crate::policy::Rule;

/// The tags of rules, as far as they have been needed.
#[derive(Default)]
pub(super) struct Tags {
    prepared: HashMap<String, Prepared>,
    text: String,
}

/// What is the same for all events of a rule: the begin and the rest of the list, around the type.
struct Prepared {
    rule: Rc<Rule>,
    begin: String,
    rest: String,
}

impl Tags {
    /// The tags of this event.
    pub(super) fn of(&mut self, rule: &Rc<Rule>, event: &Event) -> &str {
        self.text.clear();
        if !self.append_prepared(rule, event) {
            let prepared = Prepared::new(rule);
            self.prepared.insert(rule.id.clone(), prepared);
            self.append_prepared(rule, event);
        }
        if !event.cgroup.container_id.is_empty() {
            push(&mut self.text, "container_id", &event.cgroup.container_id);
        }
        self.text.push(']');
        &self.text
    }

    /// False when the rule is a new one, or replaced another of the same id.
    fn append_prepared(&mut self, rule: &Rc<Rule>, event: &Event) -> bool {
        let prepared = self.prepared.get(&rule.id);
        let Some(prepared) = prepared.filter(|prepared| Rc::ptr_eq(&prepared.rule, rule)) else {
            return false;
        };
        let pieces = [&prepared.begin, event.kind.name(), &prepared.rest];
        self.text.extend(pieces);
        true
    }

    /// Forgets the rules; others will come.
    pub(super) fn clear(&mut self) {
        self.prepared.clear();
    }
}

impl Prepared {
    fn new(rule: &Rc<Rule>) -> Prepared {
        let mut begin = String::from("[");
        let reported = rule.group_id.as_deref().unwrap_or(&rule.id);
        push(&mut begin, "rule_id", reported);
        push(&mut begin, "source_rule_id", &rule.id);
        begin.push_str(",\"type:");
        let mut rest = String::from("\"");
        for (name, value) in &rule.tags {
            push(&mut rest, name, value);
        }
        Prepared {
            rule: Rc::clone(rule),
            begin,
            rest,
        }
    }
}

/// Appends one tag to a list.
fn push(list: &mut String, name: &str, value: &str) {
    if list.len() > 1 || !list.starts_with('[') {
        list.push(',');
    }
    let tag = serde_json::Value::String(format!("{name}:{value}"));
    list.push_str(&tag.to_string());
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::{testing, Cgroup, EventType, Fields};
    use crate::policy::{Host, Options, RuleSet, Source};

    fn rule(extra: &str) -> Rc<Rule> {
        let text = format!("rules:\n  - id: r\n    expression: open.retval == 0\n{extra}");
        let source = Source {
            name: "test.policy".to_owned(),
            kind: "file",
            text: text.into_bytes(),
        };
        let options = Options {
            host: Host::default(),
            events: vec!["open"],
            enforcement_disabled: false,
            enforcement_sources: Vec::new(),
        };
        let rules = RuleSet::load(&[source], &options, &Fields);
        Rc::clone(rules.rules("open").first().unwrap())
    }

    #[test]
    fn tags_name_rule_type_and_container() {
        let mut event = testing::event(EventType::Open, testing::cat());
        event.cgroup = Rc::default();
        let mut tags = Tags::default();
        let plain = rule("");
        let expected = r#"["rule_id:r","source_rule_id:r","type:open"]"#;
        assert_eq!(tags.of(&plain, &event), expected);
        let full = rule("    group_id: g\n    tags: {a: \"b\\\"c\", tactic: x}\n");
        event.cgroup = Rc::new(Cgroup {
            container_id: "0f".to_owned(),
            ..Cgroup::default()
        });
        let expected =
            r#"["rule_id:g","source_rule_id:r","type:open","a:b\"c","tactic:x","container_id:0f"]"#;
        for _ in 0..2 {
            assert_eq!(tags.of(&full, &event), expected);
        }
    }
}
