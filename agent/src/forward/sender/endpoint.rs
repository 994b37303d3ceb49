//! Where events are sent to.
//!
//! Settings enter; a list of [`Endpoint`]s leaves, and sentences about what was left out of it.
//! API keys stay inside: neither the printable name nor `Debug` shows one.

use std::fmt;

use serde_json::Value;
use sha2::{Digest, Sha256};
use ureq::http::Uri;

use crate::config::{keys, Settings};
use crate::http::Transport;

/// Host of the intake, before the site.
const INTAKE: &str = "runtime-security-http-intake.logs.";

/// What the requests of an endpoint look like.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shape {
    /// The intake: a JSON array of log entries, to a track each.
    Intake,
    /// Events as lines of JSON.
    Native,
    /// One object per request, as Falco's `http_output` sends it.
    Falco,
}

impl Shape {
    /// Its name in the configuration and in status.
    pub fn name(self) -> &'static str {
        match self {
            Shape::Intake => "intake",
            Shape::Native => "native",
            Shape::Falco => "falco",
        }
    }
}

/// A place that events are sent to.
#[derive(Clone)]
pub struct Endpoint {
    /// Stable over restarts, and good for a file name: the name of its cursor in the spool.
    pub name: String,
    /// URL without user, password and query, for people.
    pub label: String,
    /// What its requests look like.
    pub shape: Shape,
    /// URL, before the path of a track where the shape has tracks.
    pub(super) url: String,
    /// The track that events of rules go to.
    pub(super) track: &'static str,
    /// Headers of every request, with the API key.
    pub(super) headers: Vec<(String, String)>,
    pub(super) transport: Transport,
}

impl fmt::Debug for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let label = &self.label;
        write!(f, "Endpoint({} {label})", self.shape.name())
    }
}

impl Endpoint {
    /// Every endpoint of the configuration, and sentences about those that cannot be used.
    pub fn all(settings: &Settings) -> (Vec<Endpoint>, Vec<String>) {
        let mut list = List {
            settings,
            endpoints: Vec::new(),
            notices: Vec::new(),
        };
        list.add_intake();
        list.add_additional();
        list.add_collector();
        (list.endpoints, list.notices)
    }
}

struct List<'a> {
    settings: &'a Settings,
    endpoints: Vec<Endpoint>,
    notices: Vec<String>,
}

impl List<'_> {
    fn add_intake(&mut self) {
        let key = self.settings.text(&keys::API_KEY);
        if key.is_empty() {
            return;
        }
        let named = [&keys::ENDPOINTS_LOGS_DD_URL, &keys::ENDPOINTS_DD_URL];
        let mut named = named.into_iter().map(|key| (key, self.settings.text(key)));
        let (source, url) = match named.find(|(_, url)| !url.is_empty()) {
            Some((key, url)) => (key.name, self.with_scheme(url, None)),
            None => {
                let site = self.settings.text(&keys::SITE);
                (keys::SITE.name, format!("https://{INTAKE}{site}"))
            }
        };
        self.add_shaped(source, &url, key);
    }

    fn with_scheme(&self, url: &str, use_ssl: Option<bool>) -> String {
        if url.contains("://") {
            return url.to_owned();
        }
        let plain = self.settings.flag(&keys::ENDPOINTS_LOGS_NO_SSL);
        match use_ssl.unwrap_or(!plain) {
            true => format!("https://{url}"),
            false => format!("http://{url}"),
        }
    }

    fn add_additional(&mut self) {
        let source = keys::ENDPOINTS_ADDITIONAL.name;
        let items = self.settings.json(&keys::ENDPOINTS_ADDITIONAL).as_array();
        for (place, item) in items.into_iter().flatten().enumerate() {
            let source = format!("entry {} of {source}", place + 1);
            let (host, key) = (text(item, "host"), text(item, "api_key"));
            if host.is_empty() || key.trim().is_empty() {
                self.notices
                    .push(format!("{source} is left out; it needs Host and api_key"));
                continue;
            }
            let port = text(item, "port");
            let host = match host.contains("://") || port.is_empty() {
                true => host,
                false => format!("{host}:{port}"),
            };
            let use_ssl = entry(item, "use_ssl").and_then(Value::as_bool);
            let url = self.with_scheme(&host, use_ssl);
            self.add_shaped(&source, &url, key.trim());
        }
    }

    fn add_shaped(&mut self, source: &str, url: &str, key: &str) {
        if !key.bytes().all(|byte| byte.is_ascii_graphic()) {
            self.notices.push(format!(
                "{source} is left out; its API key has characters that no key has"
            ));
            return;
        }
        let headers = [
            ("DD-API-KEY", key),
            ("Content-Type", "application/json"),
            ("DD-EVP-ORIGIN", "cloud-workload-security"),
        ];
        let reference = crate::policy::condition::version::REFERENCE.to_string();
        let version = ("DD-EVP-ORIGIN-VERSION", reference.as_str());
        let headers = headers.into_iter().chain([version]);
        self.add(source, url.trim_end_matches('/'), Shape::Intake, headers);
    }

    fn add_collector(&mut self) {
        let url = self.settings.text(&keys::OUTPUTS_HTTP_URL);
        if url.is_empty() || !self.settings.flag(&keys::OUTPUTS_HTTP_ENABLED) {
            return;
        }
        let (shape, content_type) = match self.settings.text(&keys::OUTPUTS_HTTP_FORMAT) {
            "falco" => (Shape::Falco, "application/json"),
            "native" => (Shape::Native, "application/x-ndjson"),
            other => {
                self.notices.push(format!(
                    "{} is `{other}`, which is not known; there are native and falco; native is used",
                    keys::OUTPUTS_HTTP_FORMAT.name
                ));
                (Shape::Native, "application/x-ndjson")
            }
        };
        let source = keys::OUTPUTS_HTTP_URL.name;
        let own = self.settings.json(&keys::OUTPUTS_HTTP_HEADERS).as_object();
        let own = own.into_iter().flatten();
        let own: Vec<(&str, &str)> = own
            .filter_map(|(name, value)| Some((name.as_str(), value.as_str()?)))
            .collect();
        let has_type = own
            .iter()
            .any(|(name, _)| name.eq_ignore_ascii_case("content-type"));
        let default = [("Content-Type", content_type)]
            .into_iter()
            .filter(|_| !has_type);
        self.add(source, url, shape, default.chain(own));
    }

    fn add<'b>(
        &mut self,
        source: &str,
        url: &str,
        shape: Shape,
        headers: impl Iterator<Item = (&'b str, &'b str)>,
    ) {
        let Some(label) = label(url) else {
            self.notices.push(format!(
                "{source} is left out; its URL is not understood: write host:port, http://host or https://host"
            ));
            return;
        };
        let agent = format!("datadog-agent/{}", env!("CARGO_PKG_VERSION"));
        let mut headers: Vec<(String, String)> = headers
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .collect();
        headers.push(("User-Agent".to_owned(), agent));
        let name = self.unused_name(&label, shape);
        let is_track = self.settings.flag(&keys::USE_SECRUNTIME_TRACK);
        self.endpoints.push(Endpoint {
            name,
            label,
            shape,
            transport: Transport::new(self.settings, url),
            url: url.to_owned(),
            track: if is_track { "secruntime" } else { "logs" },
            headers,
        });
    }

    /// A name that follows from the URL; two accounts at one URL are told apart by their order.
    fn unused_name(&self, label: &str, shape: Shape) -> String {
        let digest = Sha256::digest(format!("{} {label}", shape.name()));
        let base: String = digest
            .iter()
            .take(8)
            .map(|byte| format!("{byte:02x}"))
            .collect();
        let is_used = |name: &str| self.endpoints.iter().any(|one| one.name == name);
        if !is_used(&base) {
            return base;
        }
        let mut others = (2..).map(|number: u32| format!("{base}-{number}"));
        others.find(|name| !is_used(name)).unwrap_or(base)
    }
}

/// A URL without user, password and query; `None` for what is no http or https URL.
fn label(url: &str) -> Option<String> {
    let uri: Uri = url.parse().ok()?;
    let scheme = uri
        .scheme_str()
        .filter(|one| matches!(*one, "http" | "https"))?;
    let host = uri.host().filter(|host| !host.is_empty())?;
    let port = uri
        .port_u16()
        .map_or(String::new(), |port| format!(":{port}"));
    let path = uri.path().trim_end_matches('/');
    Some(format!("{scheme}://{host}{port}{path}"))
}

/// An entry of an object, whatever the case of its name.
fn entry<'a>(object: &'a Value, name: &str) -> Option<&'a Value> {
    let mut entries = object.as_object().into_iter().flatten();
    entries
        .find(|(one, _)| one.eq_ignore_ascii_case(name))
        .map(|(_, value)| value)
}

fn text(object: &Value, name: &str) -> String {
    match entry(object, name) {
        Some(Value::String(text)) => text.clone(),
        Some(Value::Number(number)) => number.to_string(),
        _ => String::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Key, Value as Setting};
    use serde_json::json;

    /// A key and its value as in the environment.
    type Text<'a> = (&'a Key, &'a str);

    fn settings(texts: &[Text<'_>]) -> Settings {
        let mut settings = Settings::empty(true);
        for (key, text) in texts {
            settings.set(key, Setting::from_text(key.kind, text).unwrap(), "x");
        }
        settings
    }

    fn urls(settings: &Settings) -> Vec<String> {
        let (all, notices) = Endpoint::all(settings);
        let urls = all.into_iter().map(|one| one.url);
        urls.chain(notices).collect()
    }

    #[test]
    fn the_intake_follows_from_the_settings() {
        let key = (&keys::API_KEY, "0123456789abcdef0123456789abcdef");
        let url = |text| (&keys::ENDPOINTS_LOGS_DD_URL, text);
        let cases: [(&[Text<'_>], &[&str]); 9] = [
            (&[], &[]),
            (&[key], &["https://runtime-security-http-intake.logs.datadoghq.com"]),
            (
                &[key, (&keys::SITE, "datadoghq.eu")],
                &["https://runtime-security-http-intake.logs.datadoghq.eu"],
            ),
            (&[key, url("h.example:10516")], &["https://h.example:10516"]),
            (
                &[key, url("h.example:80"), (&keys::ENDPOINTS_LOGS_NO_SSL, "true")],
                &["http://h.example:80"],
            ),
            (&[key, url("http://h.example/pre/")], &["http://h.example/pre"]),
            (&[key, (&keys::ENDPOINTS_DD_URL, "d.example")], &["https://d.example"]),
            (
                &[key, url("ftp://h.example")],
                &["runtime_security_config.endpoints.logs_dd_url is left out; its URL is not understood: write host:port, http://host or https://host"],
            ),
            (
                &[(&keys::API_KEY, "a b")],
                &["site is left out; its API key has characters that no key has"],
            ),
        ];
        for (texts, expected) in cases {
            assert_eq!(urls(&settings(texts)), expected);
        }
    }

    #[test]
    fn additional_endpoints_have_their_own_keys() {
        let list = json!([
            {"API_KEY": "k1", "host": "a.example", "Port": 443, "is_reliable": true},
            {"api_key": "k2", "Host": "b.example", "port": "80", "use_ssl": false},
            {"api_key": "k3", "Host": "http://c.example:1/x"},
            {"Host": "d.example"},
            "e.example",
            {"api_key": "k4", "Host": "a.example", "Port": 443},
        ]);
        let settings = settings(&[(&keys::ENDPOINTS_ADDITIONAL, &list.to_string())]);
        let (all, notices) = Endpoint::all(&settings);
        let urls: Vec<&str> = all.iter().map(|one| one.url.as_str()).collect();
        let same = "https://a.example:443";
        assert_eq!(
            urls,
            [same, "http://b.example:80", "http://c.example:1/x", same]
        );
        assert!(notices
            .iter()
            .all(|one| one.contains("needs Host and api_key")));
        assert_eq!(notices.len(), 2);
        assert_eq!(all[3].name, format!("{}-2", all[0].name));
        assert!(all[0].headers.contains(&("DD-API-KEY".into(), "k1".into())));
        assert!(!format!("{all:?}").contains("k1"));
    }

    #[test]
    fn a_collector_is_named_without_its_secrets() {
        let texts = [
            (&keys::OUTPUTS_HTTP_URL, "http://u:p@h.example:9/in?token=t"),
            (&keys::OUTPUTS_HTTP_FORMAT, "falco"),
            (&keys::OUTPUTS_HTTP_HEADERS, r#"{"X-Own": "v", "bad": 1}"#),
        ];
        let (all, notices) = Endpoint::all(&settings(&texts));
        assert!(notices.is_empty());
        assert_eq!(all[0].label, "http://h.example:9/in");
        assert_eq!(all[0].shape, Shape::Falco);
        assert_eq!(all[0].name.len(), 16);
        let names: Vec<&str> = all[0]
            .headers
            .iter()
            .map(|(name, _)| name.as_str())
            .collect();
        assert_eq!(names, ["Content-Type", "X-Own", "User-Agent"]);
        let off = [texts[0], (&keys::OUTPUTS_HTTP_ENABLED, "false")];
        assert!(Endpoint::all(&settings(&off)).0.is_empty());
        let odd = [texts[0], (&keys::OUTPUTS_HTTP_FORMAT, "xml")];
        let (all, notices) = Endpoint::all(&settings(&odd));
        assert_eq!((all[0].shape, notices.len()), (Shape::Native, 1));
    }
}
