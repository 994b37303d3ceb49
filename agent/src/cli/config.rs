//! `config`: what is configured, and what can be changed while the agent runs.
//!
//! The running roles are asked over their command sockets; where none runs, what the files and the
//! environment say is printed, and a line on standard error says so. Secrets were hidden before
//! anything comes here.

use std::io::{ErrorKind, Write as _};
use std::path::Path;
use std::time::Duration;

use serde_json::{json, Map, Value};

use super::exit::Exit;
use super::flags::{EXAMPLE, SETTING, SETTING_AND_VALUE};
use super::parse::Arguments;
use super::{client, config_schema, print, settings};
use crate::config::{runtime, show, Settings};

/// How long an agent may take to answer.
const LIMIT: Duration = Duration::from_secs(5);
/// What is said after a hidden setting was changed.
const HIDDEN: &str = "IMPORTANT: you have modified a hidden option, this may incur billing charges or have other unexpected side-effects.";

/// Prints the effective configuration as YAML.
pub fn show(arguments: &Arguments) -> Exit {
    with_configuration(arguments, nested)
}

/// Prints the effective configuration as YAML, by where it comes from.
pub fn by_source(arguments: &Arguments) -> Exit {
    with_configuration(arguments, by_sources)
}

/// Prints what can be changed while the agent runs.
pub fn list_runtime(_: &Arguments) -> Exit {
    print::line("=== Settings that can be changed at runtime ===");
    for setting in runtime::RUNTIME.iter().filter(|setting| !setting.hidden) {
        print::line(&format!("{:<30} {}", setting.name, setting.help));
    }
    Exit::Success
}

/// Prints the value of one setting.
pub fn get(arguments: &Arguments) -> Exit {
    let texts = arguments.texts(&SETTING);
    let [name] = texts.as_slice() else {
        print::error(&"a single setting name must be specified");
        return Exit::Usage;
    };
    let settings = settings::of_client(arguments);
    let request = json!({"command": "config_get", "setting": name});
    let value = match ask_any(&settings, &request) {
        Ok(Some(reply)) => Ok(reply.get("value").map(show::text).unwrap_or_default()),
        Ok(None) => runtime::get(&settings, name),
        Err(error) => Err(error),
    };
    match value {
        Ok(value) => {
            print::line(&format!("{name} is set to: {value}"));
            Exit::Success
        }
        Err(error) => failed(&error),
    }
}

/// Changes one setting in the roles that run.
pub fn set(arguments: &Arguments) -> Exit {
    let texts = arguments.texts(&SETTING_AND_VALUE);
    let [name, value] = texts.as_slice() else {
        print::error(&"exactly two parameters are required: the setting name and its value");
        return Exit::Usage;
    };
    let settings = settings::of_client(arguments);
    let request = json!({"command": "config_set", "setting": name, "value": value});
    let mut changed = 0;
    let mut absent = Vec::new();
    for (role, socket) in roles(&settings) {
        match ask(&socket, &request) {
            Ok(Some(_)) => changed += 1,
            Ok(None) => absent.push(role),
            Err(error) => return failed(&format!("{role}: {error}")),
        }
    }
    if changed == 0 {
        return failed(&"no agent runs whose setting could be changed; start it (`security-agent run` or `system-probe run`), or change a configuration file");
    }
    for role in absent {
        note(&format!("{role} does not run; it was not told."));
    }
    if runtime::find(name).is_some_and(|setting| setting.hidden) {
        print::line(HIDDEN);
    }
    print::line(&format!(
        "Configuration setting {name} is now set to: {value}"
    ));
    Exit::Success
}

/// Prints the table of keys.
pub fn schema(arguments: &Arguments) -> Exit {
    if arguments.has(&EXAMPLE) {
        print::line(&config_schema::example());
    } else {
        print::line(&format!("{:#}", config_schema::json()));
    }
    Exit::Success
}

/// Prints what an agent runs with, or would.
fn with_configuration(arguments: &Arguments, form: fn(&Map<String, Value>) -> Value) -> Exit {
    let settings = settings::of_client(arguments);
    let configuration = match ask_any(&settings, &json!({"command": "config"})) {
        Ok(Some(mut reply)) => reply.get_mut("config").map(Value::take),
        Ok(None) => {
            for warning in settings.warnings() {
                note(&format!("Warning: {warning}"));
            }
            Some(settings.to_json())
        }
        Err(error) => return failed(&error),
    };
    let Some(Value::Object(entries)) = configuration else {
        return failed(&"the agent did not answer with a configuration; see that it has the version of this command");
    };
    match serde_yaml::to_string(&form(&entries)) {
        Ok(text) => {
            print::line(&text);
            Exit::Success
        }
        Err(error) => failed(&format!("the configuration cannot be printed: {error}")),
    }
}

fn nested(entries: &Map<String, Value>) -> Value {
    let mut tree = Map::new();
    for (name, entry) in entries {
        let value = entry.get("value").cloned().unwrap_or(Value::Null);
        insert(&mut tree, name, value);
    }
    tree.into()
}

/// Puts a value below its sections; a name that is a value and a section stays as it is.
fn insert(tree: &mut Map<String, Value>, name: &str, value: Value) {
    let Some((section, rest)) = name.split_once('.') else {
        tree.insert(name.to_owned(), value);
        return;
    };
    let below = tree
        .entry(section)
        .or_insert_with(|| Value::Object(Map::new()));
    if let Value::Object(below) = below {
        insert(below, rest, value);
    }
}

pub(super) fn by_sources(entries: &Map<String, Value>) -> Value {
    let mut sources = Map::new();
    for (name, entry) in entries {
        let source = entry.get("source").map(show::text).unwrap_or_default();
        let value = entry.get("value").cloned().unwrap_or(Value::Null);
        let keys = sources
            .entry(source)
            .or_insert_with(|| Value::Object(Map::new()));
        if let Value::Object(keys) = keys {
            keys.insert(name.clone(), value);
        }
    }
    sources.into()
}

fn roles(settings: &Settings) -> [(&'static str, std::path::PathBuf); 2] {
    [
        ("security-agent", settings.agent_socket()),
        ("system-probe", settings.command_socket()),
    ]
}

/// Asks the first role that runs; `None`, and a line on standard error, when none does.
fn ask_any(settings: &Settings, request: &Value) -> Result<Option<Value>, String> {
    for (role, socket) in roles(settings) {
        match ask(&socket, request) {
            Ok(None) => {}
            Ok(reply) => return Ok(reply),
            Err(error) => return Err(format!("{role}: {error}")),
        }
    }
    note("The agent does not run; this is what the files and the environment say.");
    Ok(None)
}

/// The reply of one role; `None` when it does not run.
fn ask(socket: &Path, request: &Value) -> Result<Option<Value>, String> {
    match client::request(socket, request, LIMIT) {
        Ok(reply) => Ok(Some(reply)),
        Err(client::Error::Connect { source, .. })
            if matches!(
                source.kind(),
                ErrorKind::NotFound | ErrorKind::ConnectionRefused
            ) =>
        {
            Ok(None)
        }
        Err(client::Error::Connect { source, .. }) => Err(format!(
            "{} cannot be reached: {source}; run this as root or as a member of the group dd-agent",
            socket.display()
        )),
        Err(client::Error::Refused(sentence)) => Err(sentence),
        Err(error) => Err(error.to_string()),
    }
}

fn failed(error: &dyn std::fmt::Display) -> Exit {
    print::error(error);
    Exit::Failure
}

fn note(sentence: &str) {
    let _ = writeln!(std::io::stderr(), "{sentence}");
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{keys, Request, Value as Setting};
    use std::io::{BufRead, BufReader};
    use std::os::unix::net::UnixListener;
    use std::thread::{spawn, JoinHandle};

    /// A role that gives this reply to one request, which it returns.
    fn serve(socket: &Path, reply: &'static str) -> JoinHandle<String> {
        let listener = UnixListener::bind(socket).unwrap();
        spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            let mut request = String::new();
            BufReader::new(stream.try_clone().unwrap())
                .read_line(&mut request)
                .unwrap();
            stream.write_all(reply.as_bytes()).unwrap();
            request
        })
    }

    #[test]
    fn the_first_role_that_runs_is_asked() {
        let refusal = "{\"ok\":false,\"error\":\"there is no setting `x`\"}\n";
        let value = "{\"ok\":true,\"value\":\"info\"}\n";
        let cases = [
            (None, None, Ok(None)),
            (Some(value), None, Ok(Some("info"))),
            (None, Some(value), Ok(Some("info"))),
            (Some(refusal), None, Err("security-agent: there is no")),
            (None, Some(refusal), Err("system-probe: there is no")),
        ];
        for (number, (agent, probe, expected)) in cases.into_iter().enumerate() {
            let pid = std::process::id();
            let directory = std::env::temp_dir().join(format!("config-ask-{pid}-{number}"));
            std::fs::create_dir_all(&directory).unwrap();
            let mut settings = Settings::empty(true);
            let run_path = Setting::Text(directory.to_string_lossy().into_owned());
            settings.set(&keys::RUN_PATH, run_path, "test");
            let [(_, agent_socket), (_, probe_socket)] = roles(&settings);
            let servers = [(agent, agent_socket), (probe, probe_socket)];
            let servers: Vec<_> = servers
                .into_iter()
                .filter_map(|(reply, socket)| Some(serve(&socket, reply?)))
                .collect();
            let request = json!({"command": "config_get", "setting": "log_level"});
            match (ask_any(&settings, &request), expected) {
                (Ok(reply), Ok(expected)) => {
                    let value = reply.as_ref().and_then(|reply| reply["value"].as_str());
                    assert_eq!(value, expected, "case {number}");
                }
                (Err(found), Err(expected)) => assert!(found.contains(expected), "{found}"),
                (found, expected) => panic!("case {number}: {found:?} {expected:?}"),
            }
            for server in servers {
                assert_eq!(server.join().unwrap(), format!("{request}\n"));
            }
            std::fs::remove_dir_all(&directory).unwrap();
        }
    }

    #[test]
    fn the_configuration_is_yaml_that_says_the_same_when_it_is_read() {
        let mut settings = Settings::empty(true);
        settings.set(&keys::TAGS, Setting::List(vec!["a:b".to_owned()]), "test");
        let Value::Object(entries) = settings.to_json() else {
            panic!("no object");
        };
        let text = serde_yaml::to_string(&nested(&entries)).unwrap();
        let path = std::env::temp_dir().join(format!("config-show-{}.yaml", std::process::id()));
        std::fs::write(&path, text).unwrap();
        let again = Settings::load(&Request {
            cfgpaths: vec![path.clone()],
            sysprobe_config: Some(path.clone()),
            ..Request::default()
        });
        std::fs::remove_file(&path).unwrap();
        assert!(again.warnings().is_empty(), "{:?}", again.warnings());
        for key in keys::ALL {
            assert_eq!(again.shown(key), settings.shown(key), "{}", key.name);
        }
        let sources = by_sources(&entries);
        assert_eq!(sources["flag --test"], json!({"tags": ["a:b"]}));
        assert_eq!(sources["default"]["log_level"], "info");
    }
}
