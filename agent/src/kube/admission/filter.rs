//! Namespaces and pods that the configuration leaves alone.
//!
//! An item is a pattern of a namespace, or of a namespace and a pod as `NAMESPACE/POD`, in which
//! `*` stands for any characters; or `kube_namespace:EXPRESSION`, of whose regular expressions `^`,
//! `$` and `.*` are understood. What `exclude` names is left alone unless `include` names it, too.

use crate::secl::pattern::Wildcard;

/// Items that are looked at; each costs every review a comparison.
const MAX_ITEMS: usize = 1_000;
const NAMESPACE_PREFIX: &str = "kube_namespace:";

/// Who is left alone.
#[derive(Clone, Debug, Default)]
pub struct Filter {
    include: Vec<Item>,
    exclude: Vec<Item>,
}

#[derive(Clone, Debug)]
struct Item {
    namespace: Wildcard,
    pod: Option<Wildcard>,
}

impl Filter {
    /// Reads both lists; what is not understood is complained about.
    pub fn new(include: &[String], exclude: &[String], complaints: &mut Vec<String>) -> Filter {
        let mut read = |items: &[String]| -> Vec<Item> {
            let mut known = Vec::new();
            for text in items.iter().take(MAX_ITEMS) {
                match Item::read(text) {
                    Some(item) => known.push(item),
                    None => complaints.push(format!(
                        "`{text}` in include or exclude of the webhook is ignored: \
                         write NAMESPACE or NAMESPACE/POD, where * stands for any characters"
                    )),
                }
            }
            known
        };
        Filter {
            include: read(include),
            exclude: read(exclude),
        }
    }

    /// Whether this pod is left alone.
    pub fn excludes(&self, namespace: &str, pod: &str) -> bool {
        let named = |items: &[Item]| items.iter().any(|item| item.matches(namespace, pod));
        named(&self.exclude) && !named(&self.include)
    }
}

impl Item {
    fn read(text: &str) -> Option<Item> {
        if let Some(expression) = text.strip_prefix(NAMESPACE_PREFIX) {
            return Some(Item {
                namespace: Wildcard::new(&glob(expression)?, false),
                pod: None,
            });
        }
        let (namespace, pod) = match text.split_once('/') {
            Some((namespace, pod)) => (namespace, Some(pod)),
            None => (text, None),
        };
        if !is_pattern(namespace) || !pod.is_none_or(is_pattern) {
            return None;
        }
        Some(Item {
            namespace: Wildcard::new(namespace, false),
            pod: pod.map(|pod| Wildcard::new(pod, false)),
        })
    }

    fn matches(&self, namespace: &str, pod: &str) -> bool {
        let pods = self.pod.as_ref();
        self.namespace.matches(namespace) && pods.is_none_or(|wanted| wanted.matches(pod))
    }
}

/// Whether names of Kubernetes can match it at all.
fn is_pattern(text: &str) -> bool {
    let fits = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || "-.*".contains(c);
    !text.is_empty() && text.chars().all(fits)
}

/// A simple regular expression as a pattern; it matches anywhere unless it is anchored.
fn glob(expression: &str) -> Option<String> {
    let from_start = expression.strip_prefix('^');
    let inner = from_start.unwrap_or(expression);
    let to_end = inner.strip_suffix('$');
    let inner = to_end.unwrap_or(inner).replace(".*", "*");
    let star = |is_anchored| if is_anchored { "" } else { "*" };
    let pattern = [star(from_start.is_some()), &inner, star(to_end.is_some())].concat();
    // A dot alone would stand for any character.
    (is_pattern(&pattern) && !inner.contains('.')).then_some(pattern)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn owned(items: &[&str]) -> Vec<String> {
        items.iter().map(|item| (*item).to_owned()).collect()
    }

    /// Include, exclude, namespace, pod, and whether that is left alone.
    type Case<'a> = (&'a [&'a str], &'a [&'a str], &'a str, &'a str, bool);

    #[test]
    fn excluded_is_what_is_named_without_exception() {
        let cases: &[Case<'_>] = &[
            (&[], &[], "a", "b", false),
            (&[], &["a"], "a", "b", true),
            (&[], &["a"], "ab", "b", false),
            (&[], &["kube-*"], "kube-system", "b", true),
            (&[], &["a/b*"], "a", "b-1", true),
            (&[], &["a/b*"], "a", "c", false),
            (&[], &["*"], "a", "b", true),
            (&["a/b"], &["*"], "a", "b", false),
            (&["a/b"], &["*"], "a", "c", true),
            (&["a"], &[], "b", "c", false),
            (&[], &["kube_namespace:^a$"], "a", "b", true),
            (&[], &["kube_namespace:^a$"], "aa", "b", false),
            (&[], &["kube_namespace:a"], "xax", "b", true),
            (&[], &["kube_namespace:^a.*"], "ab", "b", true),
            (&[], &["kube_namespace:.*"], "ab", "b", true),
        ];
        for (include, exclude, namespace, pod, expected) in cases {
            let mut complaints = Vec::new();
            let filter = Filter::new(&owned(include), &owned(exclude), &mut complaints);
            assert_eq!(complaints, Vec::<String>::new());
            let found = filter.excludes(namespace, pod);
            assert_eq!(found, *expected, "{include:?} {exclude:?} {namespace}");
        }
    }

    #[test]
    fn what_is_not_understood_is_said() {
        let items = [
            "image:nginx",
            "name:web",
            "Prod",
            "",
            "a/",
            "a/b/c",
            "kube_namespace:(a|b)",
            "kube_namespace:a.b",
            r#"{"namespace":"a"}"#,
        ];
        let mut complaints = Vec::new();
        let filter = Filter::new(&[], &owned(&items), &mut complaints);
        assert_eq!(complaints.len(), items.len(), "{complaints:?}");
        assert!(filter.exclude.is_empty());
    }
}
