//! `ENC[handle]`: values that a program of the user has to give.
//!
//! All handles go to one run of `secret_backend_command`, as JSON on its standard input; its answer
//! replaces the values. Settings enter and leave; what went wrong is in their errors, with the
//! handle and the key, never with a value.

mod backend;

use std::collections::{BTreeMap, BTreeSet};

use serde::Deserialize;
use serde_json::Value as Json;

use super::keys::{self, Key};
use super::value::Value;
use super::{Settings, Source};

/// Longest explanation of the program that is passed on, in characters.
const LONGEST_REASON: usize = 200;

/// What the program says about one handle.
#[derive(Deserialize)]
struct Answer {
    #[serde(default)]
    value: Option<String>,
    #[serde(default)]
    error: Option<String>,
}

/// Secrets, or reasons why there is none, by handle.
type Answers = BTreeMap<String, Result<String, String>>;

impl Settings {
    /// Replaces every `ENC[handle]`; a key that keeps one falls back to its default. Where nothing
    /// is to run, a missing secret is only worth a warning.
    pub(super) fn resolve_secrets(&mut self) {
        let mut keys_of: BTreeMap<&'static str, BTreeSet<String>> = BTreeMap::new();
        for key in keys::ALL.iter().filter(|key| !is_own(key)) {
            let mut handles = BTreeSet::new();
            if let Some(value) = self.value(key) {
                replace(value, &mut |handle| {
                    handles.insert(handle.to_owned());
                    None
                });
            }
            if !handles.is_empty() {
                keys_of.insert(key.name, handles);
            }
        }
        if keys_of.is_empty() {
            return;
        }
        let handles: BTreeSet<&str> = keys_of.values().flatten().map(String::as_str).collect();
        let answers = self.ask(&handles);
        let mut problems = Vec::new();
        for (name, handles) in &keys_of {
            problems.extend(self.fill(name, handles, &answers));
        }
        if self.is_said_off() {
            self.warnings.append(&mut problems);
        } else {
            self.errors.append(&mut problems);
        }
        self.resolved = answers.into_values().filter_map(Result::ok).collect();
    }

    /// Fills the secrets into one value, and says which of them are missing.
    fn fill(
        &mut self,
        name: &'static str,
        handles: &BTreeSet<String>,
        answers: &Answers,
    ) -> Vec<String> {
        let problem = |handle: &String| match answers.get(handle) {
            Some(Ok(_)) => None,
            Some(Err(reason)) => Some(format!(
                "the secret {handle} of {name} is missing: {reason}"
            )),
            None => Some(format!("the secret {handle} of {name} is missing")),
        };
        let problems: Vec<String> = handles.iter().filter_map(problem).collect();
        let default = keys::find(name).and_then(|key| Value::from_text(key.kind, key.default).ok());
        if let Some((value, source)) = self.values.get_mut(name) {
            match default.filter(|_| !problems.is_empty()) {
                Some(default) => (*value, *source) = (default, Source::Default),
                None => {
                    *value = replace(value, &mut |handle| answers.get(handle)?.clone().ok());
                }
            }
        }
        problems
    }

    fn ask(&self, handles: &BTreeSet<&str>) -> Answers {
        let answered = backend::run(
            &backend::Command {
                path: self.text(&keys::SECRET_BACKEND_COMMAND).into(),
                arguments: self.list(&keys::SECRET_BACKEND_ARGUMENTS).to_vec(),
                limit: self.duration(&keys::SECRET_BACKEND_TIMEOUT),
                max_output: self.size(&keys::SECRET_BACKEND_OUTPUT_MAX_SIZE),
            },
            &serde_json::json!({"version": "1.0", "secrets": handles}).to_string(),
        );
        let answered = answered.and_then(|output| {
            serde_json::from_slice::<BTreeMap<String, Answer>>(&output)
                .map_err(|_| backend::Error::Malformed)
        });
        let each = |handle: &&str| {
            let answer = match &answered {
                Ok(answers) => said(answers.get(*handle)),
                Err(error) => Err(error.to_string()),
            };
            ((*handle).to_owned(), answer)
        };
        handles.iter().map(each).collect()
    }
}

fn said(answer: Option<&Answer>) -> Result<String, String> {
    let Some(answer) = answer else {
        return Err("secret_backend_command did not answer it".to_owned());
    };
    if let Some(reason) = answer.error.as_deref().filter(|reason| !reason.is_empty()) {
        let reason: String = reason.chars().take(LONGEST_REASON).collect();
        return Err(format!("secret_backend_command says: {reason}"));
    }
    match answer.value.as_deref().map(str::trim_ascii_end) {
        None | Some("") => Err("secret_backend_command gave no value".to_owned()),
        Some(value) => Ok(value.to_owned()),
    }
}

/// Whether a key is about the program itself, which cannot be asked for it.
fn is_own(key: &Key) -> bool {
    key.name.starts_with("secret_backend_")
}

/// The handle in a text that is nothing else.
fn handle(text: &str) -> Option<&str> {
    let handle = text.trim().strip_prefix("ENC[")?.strip_suffix(']')?;
    Some(handle).filter(|handle| !handle.is_empty())
}

/// A copy of a value with those handles replaced for which there is something.
fn replace(value: &Value, secret: &mut dyn FnMut(&str) -> Option<String>) -> Value {
    let mut text = |text: &String| {
        let found = handle(text).and_then(&mut *secret);
        found.unwrap_or_else(|| text.clone())
    };
    match value {
        Value::Text(whole) => Value::Text(text(whole)),
        Value::List(items) => Value::List(items.iter().map(text).collect()),
        Value::Json(json) => Value::Json(replace_members(json, &mut text)),
        other => other.clone(),
    }
}

fn replace_members(json: &Json, text: &mut dyn FnMut(&String) -> String) -> Json {
    match json {
        Json::String(whole) => Json::String(text(whole)),
        Json::Array(items) => items
            .iter()
            .map(|item| replace_members(item, text))
            .collect(),
        Json::Object(members) => {
            let members = members.iter();
            members
                .map(|(name, value)| (name.clone(), replace_members(value, text)))
                .collect::<serde_json::Map<_, _>>()
                .into()
        }
        other => other.clone(),
    }
}

#[cfg(test)]
mod tests;
