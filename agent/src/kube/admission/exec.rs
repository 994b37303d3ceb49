//! Commands that are run in a pod: the helper in front of them, told who typed them.
//!
//! The request of a review enters; what leaves is a [`Job`] that prepares the container and a
//! [`Session`] that waits for its end, or why neither is needed.

use serde::Deserialize;
use serde_json::{json, Value};

use super::options::Options;
use super::review::{is_about, text};
use crate::event::session::{SessionKind, UserInfo};
use crate::kube::job::Job;
use crate::kube::reason::Reason;

/// Bytes of the name of an object.
const LONGEST_NAME: usize = 253;
/// Words of a command that is changed, and their bytes: it is held until its container is ready.
const LONGEST_COMMAND: (usize, usize) = (1024, 128 << 10);

/// A command that is to be run through the helper.
#[derive(Debug)]
pub struct Session {
    command: Vec<String>,
    /// The user, as the helper gets it.
    data: String,
}

impl Session {
    /// The JSON patch that puts the helper at this path before the command.
    pub fn patch(&self, helper: &str) -> Value {
        let prefix = prefix(helper, &self.data);
        let own = self.command.iter().map(String::as_str);
        let command: Vec<&str> = prefix.into_iter().chain(own).collect();
        json!([{ "op": "replace", "path": "/command", "value": command }])
    }
}

/// What is put before a command.
fn prefix<'a>(helper: &'a str, data: &'a str) -> [&'a str; 7] {
    let kind = SessionKind::Kubernetes.name();
    [
        helper,
        "inject",
        "--session-type",
        kind,
        "--data",
        data,
        "--",
    ]
}

/// Decides what a command needs.
pub(super) fn prepare(request: &Value, options: &Options) -> Result<(Job, Session), Reason> {
    let object = request.get("object").filter(|object| object.is_object());
    let object = object.ok_or(Reason::NilInput)?;
    if !is_about(request, "CONNECT", "exec") || text(object, "kind") != "PodExecOptions" {
        return Err(Reason::NilInput);
    }
    let (namespace, pod) = (text(request, "namespace"), text(request, "name"));
    let user = request.get("userInfo").filter(|user| user.is_object());
    let user = user.ok_or(Reason::NilInput)?;
    let container = text(object, "container");
    let is_long = |name: &&str| name.len() > LONGEST_NAME;
    if namespace.is_empty() || pod.is_empty() || [namespace, pod, container].iter().any(is_long) {
        return Err(Reason::NilInput);
    }
    let command = command_of(object)?;
    if let Some(reason) = own_session(text(user, "username"), &command, options) {
        return Err(reason);
    }
    if options.filter.excludes(namespace, pod) {
        return Err(Reason::ExcludedResource);
    }
    let mode = options.mode.clone().ok_or(Reason::UnknownMode)?;
    let user = UserInfo::deserialize(user).map_err(|_| Reason::Credentials)?;
    let data = user.to_data().ok_or(Reason::Credentials)?;
    if is_instrumented(&command, options, &data) {
        return Err(Reason::AlreadyInstrumented);
    }
    if request.get("dryRun") == Some(&Value::Bool(true)) {
        // Preparing the container would change it.
        return Err(Reason::NotNeeded);
    }
    let job = Job {
        namespace: namespace.to_owned(),
        pod: pod.to_owned(),
        container: container.to_owned(),
        mode,
        mutate_unlabelled: options.mutate_unlabelled,
        timeout: options.timeout,
    };
    Ok((job, Session { command, data }))
}

fn command_of(object: &Value) -> Result<Vec<String>, Reason> {
    let words = match object.get("command") {
        None | Some(Value::Null) => return Err(Reason::NilCommand),
        Some(Value::Array(words)) if words.is_empty() => return Err(Reason::NilCommand),
        Some(Value::Array(words)) => words,
        Some(_) => return Err(Reason::NilInput),
    };
    let bytes: usize = words.iter().flat_map(Value::as_str).map(str::len).sum();
    if words.len() > LONGEST_COMMAND.0 || bytes > LONGEST_COMMAND.1 {
        return Err(Reason::NotNeeded);
    }
    let words = words.iter().map(|word| word.as_str().map(str::to_owned));
    words.collect::<Option<Vec<_>>>().ok_or(Reason::NilInput)
}

/// Whether it is this webhook that copies the helper, or tries it out: that must not ask for a
/// copy in turn.
fn own_session(username: &str, command: &[String], options: &Options) -> Option<Reason> {
    if options.own_user.is_empty() || username != options.own_user {
        return None;
    }
    let helper = options.helper().unwrap_or_default();
    Some(match command {
        [program, ..] if ["tar", "mv", "rm"].contains(&program.as_str()) => Reason::OwnCopy,
        [program, word, ..] if *program == helper && word == "health" => Reason::OwnHealth,
        _ => Reason::ServiceAccount,
    })
}

/// Whether the command begins with what would be put before it. Another helper, or another user,
/// does not count: whoever types such a command would be somebody else.
fn is_instrumented(command: &[String], options: &Options, data: &str) -> bool {
    let helper = options.helper().unwrap_or_default();
    let prefix = prefix(&helper, data);
    command.len() > prefix.len() && command.iter().zip(prefix).all(|(word, own)| word == own)
}

#[cfg(test)]
#[path = "exec/tests.rs"]
mod tests;
