//! Variables as events show them, and whose owners still live.

use std::collections::HashSet;

use serde_json::{Map, Value as Json};

use super::subject::EventSubject;
use crate::policy::action::Scope;
use crate::policy::variable::{ProcessKey, Scoped};
use crate::resolve::process::ProcessCache;
use crate::secl::Value;

/// The variables that an event shows, as JSON objects: of the host, the process, the container and
/// the cgroup; empty where there is nothing to show. `mask` hides secrets in texts.
pub(super) fn shown(scoped: &Scoped<'_>, mask: impl Fn(&str) -> String) -> [String; 4] {
    let scopes = [
        Scope::Global,
        Scope::Process,
        Scope::Container,
        Scope::Cgroup,
    ];
    scopes.map(|scope| {
        let mut object = Map::new();
        for (name, values) in scoped.shown(scope) {
            let mut values: Vec<Json> = values.iter().map(|value| json(value, &mask)).collect();
            let value = match scoped.is_list(scope, name) {
                true => Json::Array(values),
                false => values.pop().unwrap_or_default(),
            };
            object.insert(name.to_owned(), value);
        }
        match object.is_empty() {
            true => String::new(),
            false => Json::Object(object).to_string(),
        }
    })
}

fn json(value: &Value, mask: &impl Fn(&str) -> String) -> Json {
    match value {
        Value::Bool(value) => Json::from(*value),
        Value::Int(value) => Json::from(*value),
        Value::Text(text) => Json::from(mask(text)),
        other => Json::from(other.to_string()),
    }
}

/// Who lives at this time.
pub(super) struct Alive {
    processes: HashSet<ProcessKey>,
    containers: HashSet<String>,
    cgroups: HashSet<String>,
}

impl Alive {
    pub(super) fn new(processes: &ProcessCache) -> Alive {
        let mut alive = Alive {
            processes: HashSet::new(),
            containers: HashSet::new(),
            cgroups: HashSet::new(),
        };
        for process in processes.living() {
            alive.processes.insert(EventSubject::key(process));
            let cgroup = process.cgroup();
            if !alive.cgroups.contains(&cgroup.path) {
                alive.cgroups.insert(cgroup.path.clone());
                alive.containers.insert(cgroup.container_id.clone());
            }
        }
        alive
    }

    pub(super) fn has_process(&self, key: ProcessKey) -> bool {
        self.processes.contains(&key)
    }

    pub(super) fn has_container(&self, id: &str) -> bool {
        self.containers.contains(id)
    }

    pub(super) fn has_cgroup(&self, path: &str) -> bool {
        self.cgroups.contains(path)
    }
}
