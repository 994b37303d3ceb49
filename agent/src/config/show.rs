//! Values for people and other programs, without the secrets in them.
//!
//! Keys of an account show their last four characters, so that two can be told apart; resolved
//! secrets, passwords in URLs and what the members of objects are named after show nothing.

use std::fmt;

use serde_json::{json, Map, Value as Json};

use super::keys::{self, is_credential, Key};
use super::value::Value;
use super::Settings;

/// What stands for a secret.
const HIDDEN: &str = "********";
/// Characters of a key of an account that are shown.
const SHOWN: usize = 4;
/// Characters that such a key has at least; of a shorter one they would be too much.
const SHORTEST: usize = 2 * SHOWN;
/// Parts of the names of members, and of headers, whose values are secrets.
const TELLING: [&str; 6] = ["key", "token", "auth", "secret", "password", "cookie"];

impl fmt::Debug for Settings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Settings({})", self.to_json())
    }
}

impl Settings {
    /// Every key with its value and where it came from, secrets hidden:
    /// `{"key":{"value":…,"source":"…"},…}`.
    pub fn to_json(&self) -> Json {
        let entry = |key: &&'static Key| {
            let source = self.source(key).to_string();
            let entry = json!({"value": self.shown(key), "source": source});
            (key.name.to_owned(), entry)
        };
        keys::ALL.iter().map(entry).collect::<Map<_, _>>().into()
    }

    /// The value of a key, secrets hidden.
    pub fn shown(&self, key: &Key) -> Json {
        let hide = |text: &str| self.hide(text);
        match self.value(key) {
            None => Json::Null,
            Some(Value::Text(text)) if key.is_credential() => hide_credential(text).into(),
            Some(Value::Text(text)) => hide(text).into(),
            Some(Value::List(items)) => items.iter().map(|item| hide(item)).collect(),
            Some(Value::Json(value)) => self.hide_members(value),
            Some(value) => value.to_json(),
        }
    }

    /// What must appear in no log and no archive: keys of accounts, resolved secrets, passwords.
    pub fn secrets(&self) -> &[String] {
        &self.secrets
    }

    /// Remembers the secrets among the values.
    pub(super) fn collect_secrets(&mut self) {
        let mut secrets = self.resolved.clone();
        for (name, (value, _)) in &self.values {
            match value {
                Value::Text(text) if is_credential(name) => secrets.push(text.clone()),
                Value::Text(text) => {
                    secrets.extend(password(text).map(str::to_owned));
                    let (_, query) = parts_of_url(text);
                    let telling = query.filter_map(|part| part.split_once('='));
                    let telling = telling.filter(|(name, _)| is_telling(name));
                    secrets.extend(telling.map(|(_, secret)| secret.to_owned()));
                }
                Value::Json(value) => collect_members(value, &mut secrets),
                _ => {}
            }
        }
        secrets.retain(|secret| !secret.is_empty());
        secrets.sort_unstable();
        secrets.dedup();
        self.secrets = secrets;
    }

    fn hide(&self, text: &str) -> String {
        if self.resolved.iter().any(|secret| secret == text) {
            return HIDDEN.to_owned();
        }
        let text = hide_query(text);
        match password(&text) {
            Some(secret) => text.replacen(&format!(":{secret}@"), &format!(":{HIDDEN}@"), 1),
            None => text,
        }
    }

    fn hide_members(&self, value: &Json) -> Json {
        match value {
            Json::String(text) => self.hide(text).into(),
            Json::Array(items) => items.iter().map(|item| self.hide_members(item)).collect(),
            Json::Object(members) => {
                let hidden = |(name, value): (&String, &Json)| {
                    let shown = match value {
                        Json::String(text) if is_credential(name) => hide_credential(text).into(),
                        Json::Object(_) | Json::Array(_) => self.hide_members(value),
                        _ if is_telling(name) => HIDDEN.into(),
                        _ => self.hide_members(value),
                    };
                    (name.clone(), shown)
                };
                members.iter().map(hidden).collect::<Map<_, _>>().into()
            }
            other => other.clone(),
        }
    }
}

/// A value in one line.
pub fn text(value: &Json) -> String {
    match value {
        Json::String(text) => text.clone(),
        other => other.to_string(),
    }
}

fn hide_credential(text: &str) -> String {
    let length = text.chars().count();
    match length.checked_sub(SHOWN) {
        _ if length == 0 => String::new(),
        Some(before) if length >= SHORTEST => {
            let last: String = text.chars().skip(before).collect();
            format!("{HIDDEN}{last}")
        }
        _ => HIDDEN.to_owned(),
    }
}

/// The password in a URL.
fn password(text: &str) -> Option<&str> {
    let (_, rest) = text.split_once("://")?;
    let authority = rest.split(['/', '?', '#']).next()?;
    let (user, _) = authority.rsplit_once('@')?;
    let (_, password) = user.split_once(':')?;
    Some(password).filter(|password| !password.is_empty())
}

/// A URL up to its query, and the parts of that; other texts have no query.
fn parts_of_url(text: &str) -> (&str, impl Iterator<Item = &str>) {
    let parts = text.split_once('?').filter(|(url, _)| url.contains("://"));
    let (url, query) = parts.unwrap_or((text, ""));
    (url, query.split('&').filter(|part| !part.is_empty()))
}

/// A text in which the query of a URL shows no secrets.
fn hide_query(text: &str) -> String {
    let (url, query) = parts_of_url(text);
    let mut shown = url.to_owned();
    for (place, part) in query.enumerate() {
        shown.push(if place == 0 { '?' } else { '&' });
        match part.split_once('=') {
            Some((name, _)) if is_telling(name) => shown.push_str(&format!("{name}={HIDDEN}")),
            _ => shown.push_str(part),
        }
    }
    shown
}

fn is_telling(name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    TELLING.iter().any(|part| name.contains(part))
}

fn collect_members(value: &Json, secrets: &mut Vec<String>) {
    match value {
        Json::Array(items) => items.iter().for_each(|item| collect_members(item, secrets)),
        Json::Object(members) => {
            for (name, value) in members {
                match value {
                    Json::String(text) if is_telling(name) => secrets.push(text.clone()),
                    Json::String(text) => secrets.extend(password(text).map(str::to_owned)),
                    other => collect_members(other, secrets),
                }
            }
        }
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Source;

    #[test]
    fn secrets_are_never_shown() {
        let mut settings = Settings::empty(true);
        let values = [
            (&keys::API_KEY, "0123456789abcdef0123456789abcdef"),
            (&keys::APP_KEY, "short"),
            (&keys::PROXY_HTTP, "http://me:pass-word@proxy:3128/"),
            (
                &keys::OUTPUTS_HTTP_URL,
                "https://h/in?x=1&token=query-token&y",
            ),
            (&keys::TAGS, "[\"resolved-one\", \"a:b\"]"),
            (
                &keys::OUTPUTS_HTTP_HEADERS,
                "{\"Authorization\": \"Bearer header-token\", \"Accept\": \"*/*\"}",
            ),
            (
                &keys::ENDPOINTS_ADDITIONAL,
                "[{\"api_key\": \"fedcba9876543210\", \"Host\": \"h\"}]",
            ),
        ];
        for (key, text) in values {
            let value = Value::from_text(key.kind, text).unwrap();
            settings.values.insert(key.name, (value, Source::Runtime));
        }
        settings.resolved.push("resolved-one".to_owned());
        settings.collect_secrets();
        let printed = format!("{settings:?}");
        for secret in settings.secrets() {
            assert!(!printed.contains(secret), "{secret}");
        }
        let found = settings.secrets().len();
        assert_eq!(found, 7, "{:?}", settings.secrets());
        let shown = [
            "\"********cdef\"",
            "\"http://me:********@proxy:3128/\"",
            "\"https://h/in?x=1&token=********&y\"",
            "[\"********\",\"a:b\"]",
            "{\"Accept\":\"*/*\",\"Authorization\":\"********\"}",
            "[{\"Host\":\"h\",\"api_key\":\"********3210\"}]",
        ];
        for text in shown {
            assert!(printed.contains(text), "{text}: {printed}");
        }
        assert_eq!(settings.shown(&keys::APP_KEY), HIDDEN);
        assert_eq!(
            settings.to_json()["log_level"],
            json!({"value": "info", "source": "default"})
        );
    }
}
